//! Caches and persisted results.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};

use prefect_rs::prelude::*;
use proptest::prelude::*;

use crate::history::History;

static CALLS: AtomicU32 = AtomicU32::new(0);

#[task(cache_key_fn = input_hash)]
async fn square(n: u32) -> u32 {
    CALLS.fetch_add(1, Ordering::Relaxed);
    n * n
}

#[flow]
async fn squares(numbers: Vec<u32>) -> Result<Vec<u32>> {
    let mut all = Vec::new();
    for n in numbers {
        all.push(square(n).await?);
    }
    Ok(all)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_or_refreshed_result_is_made_again() {
    static MADE: AtomicU32 = AtomicU32::new(0);
    #[task(cache_key_fn = |_| "the one".to_owned())]
    async fn make() -> u32 {
        MADE.fetch_add(1, Ordering::Relaxed)
    }
    #[flow]
    async fn flow() -> Result<Vec<u32>> {
        Ok(vec![
            make().await?,
            make().await?,
            make()
                .with_refresh_cache(true)
                .with_cache_expiration_seconds(0)
                .await?,
            make().await?,
        ])
    }
    let history = History::new().await;
    assert_eq!(history.session.run(flow()).await.unwrap(), [0, 0, 1, 2]);
    insta::assert_snapshot!(history.states().await, @"
    make-0: Pending Running Completed
    make-1: Pending Cached
    make-2: Pending Running Completed
    make-3: Pending Running Completed
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_not_cached() {
    static TRIES: AtomicU32 = AtomicU32::new(0);
    #[task(cache_key_fn = input_hash)]
    async fn second_time() -> Result<u32> {
        ensure!(TRIES.fetch_add(1, Ordering::Relaxed) > 0, "the first time");
        Ok(1)
    }
    #[flow]
    async fn flow() -> Result<u32> {
        assert!(second_time().state().await.is_failed());
        Ok(second_time().await?)
    }
    let history = History::new().await;
    assert_eq!(history.session.run(flow()).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_json_cannot_say_is_never_taken_for_something_else() {
    #[task(cache_key_fn = input_hash)]
    async fn size(map: HashMap<(u8, u8), u8>) -> usize {
        map.len()
    }
    #[flow]
    async fn flow() -> Result<Vec<usize>> {
        let one = HashMap::from([((1, 1), 1)]);
        let two = HashMap::from([((1, 1), 1), ((2, 2), 2)]);
        Ok(vec![size(one).await?, size(two).await?])
    }
    let history = History::new().await;
    assert_eq!(history.session.run(flow()).await.unwrap(), [1, 2]);
    let logs = history.logs().await;
    let says = |log: &serde_json::Value| {
        let message = log["message"].as_str().unwrap_or_default();
        message.contains("argument `map` cannot be written as JSON: key must be a string")
    };
    assert_eq!(logs.iter().filter(|log| says(log)).count(), 2, "{logs:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_json_has_no_words_for_share_no_result() {
    #[task(cache_key_fn = input_hash)]
    async fn text(numbers: Vec<f64>) -> String {
        format!("{numbers:?}")
    }
    #[flow]
    async fn flow() -> Result<Vec<String>> {
        let mut texts = Vec::new();
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1.5] {
            texts.push(text(vec![0.5, number]).await?);
        }
        Ok(texts)
    }
    let history = History::new().await;
    let texts = history.session.run(flow()).await.unwrap();
    assert_eq!(
        texts,
        ["[0.5, NaN]", "[0.5, inf]", "[0.5, -inf]", "[0.5, 1.5]"]
    );
    let logs = history.logs().await;
    let says = |log: &serde_json::Value| {
        let message = log["message"].as_str().unwrap_or_default();
        message.contains("argument `numbers` cannot be written as JSON: inf is no number of JSON")
    };
    assert_eq!(logs.iter().filter(|log| says(log)).count(), 1, "{logs:?}");
}

#[test]
fn a_cache_changes_how_often_a_task_runs_and_never_what_it_gives() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let config = ProptestConfig {
        cases: 12,
        ..ProptestConfig::default()
    };
    proptest!(config, |(numbers in prop::collection::vec(0u32..5, 0..12))| {
        let history = runtime.block_on(History::new());
        let before = CALLS.load(Ordering::Relaxed);
        let actual = runtime.block_on(history.session.run(squares(numbers.clone()))).unwrap();
        let expected: Vec<u32> = numbers.iter().map(|n| n * n).collect();
        prop_assert_eq!(actual, expected);
        let distinct: HashMap<_, ()> = numbers.iter().map(|n| (n, ())).collect();
        prop_assert_eq!(CALLS.load(Ordering::Relaxed) - before, distinct.len() as u32);
    });
}

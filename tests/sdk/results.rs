//! Caches and persisted results.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};

use prefect_rs::prelude::*;
use prefect_rs::sdk::Session;
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

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
async fn a_call_without_a_key_just_runs() {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    #[task(cache_key_fn = |arguments: &Arguments| arguments.get::<Option<String>>("key").flatten())]
    async fn make(key: Option<String>) -> u32 {
        let _ = key;
        RUNS.fetch_add(1, Ordering::Relaxed)
    }
    #[flow]
    async fn flow() -> Result<Vec<u32>> {
        let mut made = Vec::new();
        for key in [None, None, Some(""), Some(""), Some("a"), Some("a")] {
            made.push(make(key.map(str::to_owned)).await?);
        }
        Ok(made)
    }
    let history = History::new().await;
    let made = history.session.run(flow()).await.unwrap();
    assert_eq!(made, [0, 1, 2, 3, 4, 4]);
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

/// The results under this key expire at once.
const FLEETING: u8 = 2;

#[task(cache_key_fn = |arguments| arguments.get::<u8>("key").unwrap_or_default().to_string())]
async fn keyed(key: u8, number: usize) -> usize {
    let _ = key;
    number
}

#[flow]
async fn keyed_calls(calls: Vec<(u8, bool)>) -> Result<Vec<usize>> {
    let mut given = Vec::new();
    for (number, (key, refreshes)) in calls.into_iter().enumerate() {
        let mut call = keyed(key, number).with_refresh_cache(refreshes);
        if key == FLEETING {
            call = call.with_cache_expiration_seconds(0);
        }
        given.push(call.await?);
    }
    Ok(given)
}

/// Which calls run, when each of their transitions is proposed to the server's rules for tasks.
async fn by_the_rules(session: &Session, calls: &[(u8, bool)]) -> Vec<bool> {
    let client = session.client();
    let post = async |path: &str, body: Value| client.post::<Value>(path, &body).await.unwrap();
    let flow = post("/flows/", json!({"name": "rules"})).await;
    let body = json!({"flow_id": flow["id"], "state": {"type": "RUNNING"}});
    let flow_run = post("/flow_runs/", body).await;
    let case = Uuid::new_v4();
    let mut ran = Vec::new();
    for (key, refreshes) in calls {
        let body = json!({
            "flow_run_id": flow_run["id"], "task_key": "t", "dynamic_key": Uuid::new_v4(),
            "state": {"type": "PENDING"},
        });
        let run = post("/task_runs/", body).await;
        let path = format!("/task_runs/{}/set_state", run["id"].as_str().unwrap());
        let cache_key = format!("{case}-{key}");
        let details = json!({"cache_key": cache_key, "refresh_cache": refreshes});
        let state = json!({"type": "RUNNING", "state_details": details});
        let answer = post(&path, json!({"state": state})).await;
        ran.push(answer["state"]["type"] == "RUNNING");
        if answer["state"]["type"] == "RUNNING" {
            let expiration = (*key == FLEETING).then_some("2020-01-01T00:00:00Z");
            let details = json!({"cache_key": cache_key, "cache_expiration": expiration});
            let state = json!({"type": "COMPLETED", "state_details": details});
            post(&path, json!({"state": state})).await;
        }
    }
    ran
}

#[test]
fn any_script_of_calls_finds_what_the_rules_find() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let rules = runtime.block_on(History::new());
    let config = ProptestConfig {
        cases: 16,
        ..ProptestConfig::default()
    };
    proptest!(config, |(calls in prop::collection::vec((0u8..=FLEETING, prop::bool::weighted(0.2)), 1..10))| {
        let (expected, given) = runtime.block_on(async {
            let expected = by_the_rules(&rules.session, &calls).await;
            let fresh = History::new().await;
            (expected, fresh.session.run(keyed_calls(calls.clone())).await.unwrap())
        });
        let ran: Vec<bool> = given.iter().enumerate().map(|(number, given)| *given == number).collect();
        prop_assert_eq!(&expected, &ran);
        // What is found is the latest that was made.
        for (number, (key, _)) in calls.iter().enumerate() {
            let made = (0..=number).rev().find(|n| ran[*n] && calls[*n].0 == *key);
            prop_assert_eq!(Some(given[number]), made);
        }
    });
}

//! Functions as people write them, with the attributes above them.

#![deny(dead_code, unused, clippy::too_many_arguments)]

use std::collections::HashMap;
use std::path::Path;

use prefect_rs::prelude::*;

use crate::history::History;

/// Its arguments have names that the attribute or the language uses itself.
#[task]
async fn named(inputs: Vec<u8>, n: u8, r#type: &str) -> String {
    format!("{inputs:?} {n} {type}")
}

#[task]
fn r#match(mut word: String, path: &Path) -> String {
    word.push_str(&path.display().to_string());
    word
}

#[task]
#[cfg(target_os = "none")]
async fn elsewhere() -> NoSuchType {
    no_such_function().await
}

#[flow]
#[cfg(target_os = "none")]
async fn flow_elsewhere() -> NoSuchType {
    no_such_function().await
}

#[task]
#[allow(dead_code)]
async fn not_called() {}

#[task]
#[expect(clippy::too_many_arguments, reason = "as many as are needed")]
async fn many(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8, h: u8) -> u32 {
    [a, b, c, d, e, f, g, h].into_iter().map(u32::from).sum()
}

#[task]
async fn total(rows: &[u32], by_name: &HashMap<String, u32>) -> u32 {
    rows.iter().chain(by_name.values()).sum()
}

#[task]
async fn kept(names: Vec<&'static str>, first: &'static str) -> usize {
    names.len() + first.len()
}

/// Has what other attributes and the language allow.
#[task(description = "said here")]
#[tracing::instrument(skip_all, fields(n = n))]
#[cfg_attr(all(), inline)]
#[allow(clippy::toplevel_ref_arg, reason = "that it works is what is shown")]
async fn decorated(
    /// How many.
    n: u32,
    mut list: Vec<u32>,
    ref word: String,
) -> std::result::Result<u32, std::num::ParseIntError> {
    list.push(word.parse()?);
    Ok(list.into_iter().sum::<u32>() + n)
}

#[tracing::instrument]
#[task]
async fn instrumented(n: u32) -> Result<u32> {
    info!("in a span");
    Ok(n)
}

macro_rules! tasks {
    ($($name:ident: $n:literal;)*) => {$(
        #[task]
        async fn $name(n: u32) -> Result<u32> {
            let more = $n;
            Ok(n + more)
        }
    )*};
}

tasks! {
    plus_one: 1;
    plus_two: 2;
}

#[flow]
async fn decorations() -> Result<u32> {
    let decorated = decorated(1u32, vec![2], "3").await?;
    let instrumented = instrumented(decorated).await?;
    plus_two(plus_one(instrumented)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn other_attributes_and_macros_go_together_with_ours() {
    let history = History::new().await;
    assert_eq!(history.session.run(decorations()).await.unwrap(), 9);
    let logs = history.logs().await;
    let in_span = logs.iter().find(|log| log["message"] == "in a span");
    assert!(!in_span.unwrap()["task_run_id"].is_null());
}

mod inner {
    use prefect_rs::prelude::*;

    #[task]
    pub(super) async fn total(rows: Vec<u32>) -> u32 {
        rows.len() as u32
    }
}

#[flow]
async fn everything(r#type: String) -> Result<Vec<String>> {
    let rows = vec![1, 2, 3];
    let by_name = HashMap::from([("a".to_owned(), 4)]);
    let name = "x".to_owned();
    let doubled = total::map([vec![1], vec![2, 3]], &by_name).await?;
    Ok(vec![
        named(vec![1], 2, &r#type).await?,
        r#match(&name, "/tmp").await?,
        many(1, 1, 1, 1, 1, 1, 1, 1).await?.to_string(),
        // As a function that borrows is called.
        total(&rows, &by_name).await?.to_string(),
        total(&[1, 2], by_name).await?.to_string(),
        format!("{doubled:?}"),
        inner::total(&rows[1..]).await?.to_string(),
        kept(vec!["a", "b"], "c").await?.to_string(),
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_are_written_and_called_as_ever() {
    let history = History::new().await;
    let given = history.session.run(everything("t")).await.unwrap();
    assert_eq!(
        given,
        ["[1] 2 t", "x/tmp", "8", "10", "7", "[5, 9]", "2", "3"]
    );
    let runs = history.flow_runs().await;
    assert_eq!(runs[0]["parameters"], serde_json::json!({"type": "t"}));
    let names = history.states().await;
    assert!(
        names.contains("match-0: Pending Running Completed"),
        "{names}"
    );
    // Two functions of one name are two tasks.
    assert_eq!(names.matches("total-0").count(), 2, "{names}");
}

#[flow]
async fn countdown(n: u32) -> Result<u32> {
    match n {
        0 => Ok(0),
        n => Ok(countdown(n - 1).await? + 1),
    }
}

#[task]
async fn sum_to(n: u32) -> Result<u32> {
    match n {
        0 => Ok(0),
        n => Ok(sum_to(n - 1).await? + n),
    }
}

#[flow]
async fn deep() -> Result<u32> {
    sum_to(100u32).await
}

#[tokio::test(flavor = "multi_thread")]
async fn flows_and_tasks_may_call_themselves() {
    let history = History::new().await;
    assert_eq!(history.session.run(countdown(40u32)).await.unwrap(), 40);
    assert_eq!(history.flow_runs().await.len(), 41);
    assert_eq!(history.session.run(deep()).await.unwrap(), 5050);
}

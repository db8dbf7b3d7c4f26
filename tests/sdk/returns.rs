//! What functions return, whatever it is called; how they may end; and what they may be called with.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use prefect_rs::prelude::*;
use prefect_rs::sdk::Flow;

use crate::history::History;

/// Its error could be written as JSON, and so could the whole.
type Res<T> = std::result::Result<T, String>;
type Any<T> = Result<T>;
type Bytes = Vec<u8>;
type Decided = State<u8>;

mod lamp {
    use prefect_rs::prelude::*;

    /// Not the state of a run.
    #[data]
    #[derive(PartialEq)]
    pub(super) enum State {
        On,
        Off,
    }

    #[task]
    pub(super) fn switched() -> State {
        State::On
    }

    #[task]
    pub(super) fn switched_back() -> Result<State> {
        Ok(State::Off)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_by_another_name_is_a_result() {
    #[task(retries = 1, retry_delay_seconds = 0)]
    async fn flaky() -> Res<u8> {
        Err("down".into())
    }
    #[task]
    fn fine() -> Any<Bytes> {
        Ok(vec![1])
    }
    #[task]
    fn plain() -> Bytes {
        vec![2]
    }
    #[task]
    fn decided() -> Decided {
        Completed(7).with_name("Decided")
    }
    #[flow]
    async fn flow() -> Any<u8> {
        let error = flaky().await.unwrap_err();
        assert!(error.state().is_failed());
        assert_eq!(lamp::switched().await?, lamp::State::On);
        assert_eq!(lamp::switched_back().await?, lamp::State::Off);
        Ok(fine().await?[0] + plain().await?[0] + decided().await?)
    }
    let history = History::new().await;
    assert_eq!(history.session.run(flow()).await.unwrap(), 10);
    let states = history.states().await;
    assert!(states.contains("Retrying Failed"), "{states}");
    assert!(states.contains("Running Decided"), "{states}");
}

macro_rules! shown {
    ($($name:ident: $from:ty => $to:ty;)*) => {$(
        #[task]
        async fn $name(value: $from) -> $to {
            Ok(value.to_string())
        }
    )*};
}

shown! {
    number: u8 => Result<String>;
    text: &str => Res<String>;
}

#[task]
async fn double(double: i64) -> i64 {
    double * 2
}

#[task]
async fn one() -> Result<i64> {
    Ok(1)
}

#[flow]
async fn behind_return(early: bool) -> Result<i64> {
    if early {
        return one().await;
    }
    let future = one().submit();
    future.await
}

#[flow]
async fn in_parentheses() -> std::result::Result<i64, RunError> {
    (one().await)
}

#[flow]
fn run() -> Result<i64> {
    one().run()
}

#[flow]
fn got() -> Result<i64> {
    let future = one().submit();
    future.get()
}

async fn ready<E: From<std::io::Error>>() -> std::result::Result<i64, E> {
    Ok(1)
}

/// What error it ends with only its own type tells.
#[flow]
async fn of_any_error() -> Result<i64> {
    ready().await
}

async fn forever() -> ! {
    std::future::pending().await
}

#[task]
#[allow(dead_code, reason = "that it compiles is what is shown")]
async fn never() -> Result<()> {
    forever().await
}

#[flow]
async fn all_ends() -> Result<i64> {
    let ends = [
        behind_return(true).await?,
        behind_return(false).await?,
        in_parentheses().await?,
        run().await?,
        got().await?,
        of_any_error().await?,
        double(1).await?,
    ];
    assert_eq!(number(3).await?, "3");
    assert_eq!(text("x").await?, "x");
    Ok(ends.iter().sum())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_may_end_with_a_call() {
    let history = History::new().await;
    assert_eq!(history.session.run(all_ends()).await.unwrap(), 8);
}

#[task]
async fn total(numbers: Vec<i64>) -> i64 {
    numbers.into_iter().sum()
}

#[task]
async fn joined(path: &Path, name: &str) -> PathBuf {
    path.join(name)
}

#[flow]
async fn calls() -> Result<i64> {
    assert_eq!(total(vec![]).await?, 0);
    assert_eq!(total(Vec::new()).await?, 0);
    let path = joined(String::from("/a"), Cow::from("b")).await?;
    assert_eq!(path, Path::new("/a/b"));
    let futures: Vec<_> = (1..3).map(|n| double(n).submit()).collect();
    let given = [
        total([&futures[0]]).await?,
        total([double(1).submit(), one().submit()]).await?,
        total(gather(&futures)).await?,
        total(gather([double(4), one()])).await?,
    ];
    total(gather(futures)).await?;
    Ok(given.iter().sum())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_takes_empty_lists_and_lists_of_futures() {
    let history = History::new().await;
    assert_eq!(history.session.run(calls()).await.unwrap(), 20);
}

#[flow]
async fn defaults(
    #[default] number: u32,
    #[default(vec![])] list: Vec<u8>,
    #[default(Default::default())] maybe: Option<String>,
    #[default("a".into())] made: String,
    #[default("b")] text: String,
    #[default] path: &Path,
) -> String {
    format!("{number}{list:?}{maybe:?}{made}{text}{}", path.display())
}

#[test]
fn a_default_is_of_the_type_or_any_expression_of_it() {
    let schema = defaults::definition().schema();
    let written = ["number", "list", "maybe", "made", "text", "path"]
        .map(|name| schema["properties"][name]["default"].to_string());
    assert_eq!(written, ["0", "[]", "null", "\"a\"", "\"b\"", "\"\""]);
}

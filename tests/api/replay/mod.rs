//! Replays recorded traffic of the genuine 2.0b3 client and compares every answer.
//!
//! The files under `traces/` are histories of genuine servers: what came in, what went out. A
//! server with the same behaviour gives the same answers, apart from the ids it makes, the time
//! it is, and the names it invents. [`compare`] knows these three and nothing else; in all other
//! respects an answer must be equal, down to its keys, since the 2.0b3 client refuses keys that
//! it does not know.

pub mod compare;
mod newer;

use crate::app::TestApp;
use chrono::{DateTime, TimeDelta, Utc};
pub use compare::Bindings;
use serde::Deserialize;
use serde_json::Value;

/// Recordings that were made one after the other against one database.
///
/// Later ones speak of objects that earlier ones made, so a history is replayed as a whole.
pub const HISTORIES: [&[(&str, &str)]; 2] = [
    &[
        ("tutorial", include_str!("../traces/2.0b3-tutorial.jsonl")),
        (
            "features-flow",
            include_str!("../traces/2.0b3-features-flow.jsonl"),
        ),
        (
            "features-cli",
            include_str!("../traces/2.0b3-features-cli.jsonl"),
        ),
        (
            "deploy-schedules",
            include_str!("../traces/2.0b3-deploy-schedules.jsonl"),
        ),
    ],
    &[
        ("deploy", include_str!("../traces/2.0b3-deploy.jsonl")),
        (
            "features-api",
            include_str!("../traces/2.0b3-features-api.jsonl"),
        ),
        (
            "features-concurrency",
            include_str!("../traces/2.0b3-features-concurrency.jsonl"),
        ),
        (
            "features-api2",
            include_str!("../traces/2.0b3-features-api2.jsonl"),
        ),
    ],
];

/// What the recorded client sent with each request, as far as a server looks at it.
pub const HEADERS: [(&str, &str); 2] = [
    ("user-agent", "python-httpx/0.23.3"),
    ("x-prefect-api-version", "0.3.0"),
];

/// One recorded request with its answer.
#[derive(Debug, Clone, Deserialize)]
pub struct Exchange {
    /// When the request was sent.
    pub at: DateTime<Utc>,
    /// The HTTP method.
    pub method: String,
    /// The path, from `/api` on.
    pub path: String,
    /// The request's body.
    pub request: Option<Value>,
    /// The request's body where it is no JSON.
    #[serde(default)]
    pub text: Option<String>,
    /// The recorded status.
    pub status: u16,
    /// The recorded body.
    pub response: Option<Value>,
    /// How much of the answer is compared.
    #[serde(default)]
    pub compare: Depth,
}

/// How much of an answer is compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Depth {
    /// All of it.
    #[default]
    Everything,
    /// Only the keys that are named: a step that no recording has, but a later one relies on.
    Named,
    /// All of it when the server's clock can be set, else the status: schedules are at work.
    InTime,
    /// All of it, but rows are paired by their ids: the recorded order is that of random ids, and
    /// ours, which are made in order, come in another. Where a limit cuts the list short, rows
    /// that one side has alone are compared by their keys.
    Rows,
    /// Status, length and keys: the runs are those of a recurrence rule without a start, which
    /// begins whenever a server looks at it.
    Shape,
    /// Only the status: settings, of which each server has its own.
    Status,
    /// Nothing: the genuine server failed here.
    Nothing,
}

/// What a server answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body, when there was one.
    pub body: Option<Value>,
}

/// Replays a history through `send` and returns what differed, one line a difference.
///
/// `shift` moves the times in requests: zero for a server whose clock is set to each exchange's
/// time, and the distance to the present for one that lives in it.
pub async fn replay(
    history: &[(&str, &str)],
    shift: TimeDelta,
    mut send: impl AsyncFnMut(&Exchange) -> Answer,
) -> Vec<String> {
    let mut bindings = Bindings::new(shift);
    let mut differences = Vec::new();
    for (name, recording) in history {
        for (number, line) in recording.lines().enumerate() {
            let recorded: Exchange = serde_json::from_str(line).expect("a recording is valid");
            for difference in repeat(&recorded, shift, &mut bindings, &mut send).await {
                differences.push(format!(
                    "{name}:{} {} {}: {difference}",
                    number + 1,
                    recorded.method,
                    recorded.path
                ));
            }
        }
    }
    differences
}

/// Sends one recorded request and returns how the answer differs.
pub async fn repeat(
    recorded: &Exchange,
    shift: TimeDelta,
    bindings: &mut Bindings,
    send: &mut impl AsyncFnMut(&Exchange) -> Answer,
) -> Vec<String> {
    let ours = Exchange {
        path: bindings.request_text(&recorded.path),
        request: recorded.request.as_ref().map(|body| bindings.request(body)),
        ..recorded.clone()
    };
    let answer = send(&ours).await;
    differences_of(recorded, &answer, shift, bindings)
}

fn differences_of(
    recorded: &Exchange,
    answer: &Answer,
    shift: TimeDelta,
    bindings: &mut Bindings,
) -> Vec<String> {
    if recorded.compare == Depth::Nothing {
        return Vec::new();
    }
    if recorded.status != answer.status {
        let body = answer.body.as_ref().map(Value::to_string);
        return vec![format!(
            "status {} instead of {}: {}",
            answer.status,
            recorded.status,
            body.unwrap_or_default()
        )];
    }
    let expected = recorded.response.clone().unwrap_or(Value::Null);
    let actual = answer.body.clone().unwrap_or(Value::Null);
    match recorded.compare {
        Depth::InTime if !shift.is_zero() => Vec::new(),
        Depth::Everything | Depth::InTime => bindings.compare(&expected, &actual),
        Depth::Named => bindings.compare_named(&expected, &actual),
        Depth::Rows => {
            let asked = recorded.request.as_ref();
            let limit = asked.and_then(|body| body["limit"].as_u64());
            bindings.compare_rows(&expected, &actual, limit)
        }
        Depth::Shape => compare::shapes(&expected, &actual),
        Depth::Status | Depth::Nothing => Vec::new(),
    }
}

#[tokio::test]
async fn we_give_the_recorded_answers_on_sqlite() {
    for history in HISTORIES {
        answers_as_recorded(TestApp::on_sqlite().await, history).await;
    }
}

#[tokio::test]
async fn we_give_the_recorded_answers_on_postgres() {
    for history in HISTORIES {
        let Some(app) = TestApp::on_postgres().await else {
            return;
        };
        answers_as_recorded(app, history).await;
    }
}

/// Sends a request of the first generation's client to a server of ours at its own time.
pub async fn ask(app: &TestApp, exchange: &Exchange) -> Answer {
    ask_as(app, exchange, &HEADERS).await
}

/// Sends a request of another generation's client.
pub async fn ask_as(app: &TestApp, exchange: &Exchange, headers: &[(&str, &str)]) -> Answer {
    app.clock.set(exchange.at);
    let (method, path) = (exchange.method.as_str(), exchange.path.as_str());
    let (status, body) = match &exchange.text {
        Some(text) => {
            app.send_text(method, path, headers, Some(text.clone()))
                .await
        }
        None => {
            app.send(method, path, headers, exchange.request.as_ref())
                .await
        }
    };
    Answer { status, body }
}

async fn answers_as_recorded(app: TestApp, history: &[(&str, &str)]) {
    let ask = async |exchange: &Exchange| ask(&app, exchange).await;
    let differences = replay(history, TimeDelta::zero(), ask).await;
    app.close().await;
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

//! Replays recorded traffic of the genuine 2.20 and 3.8 clients.
//!
//! What a 3.x client told over its socket of events is sent in requests, at the same times.

use super::{Answer, Exchange, ask_as, replay};
use crate::app::TestApp;
use chrono::TimeDelta;

/// What a generation's client sent with each request, and its recordings in the order in which they were made against one
/// database.
struct History {
    agent: &'static str,
    recordings: &'static [&'static str],
}

const TWO: History = History {
    agent: "prefect/2.20.26 (API 0.8.4)",
    recordings: &[
        "2.20-tutorial",
        "2.20-deploy-worker",
        "2.20-deploy-agent",
        "2.20-deploy-serve",
        "2.20-features-flow",
        "2.20-features-cancel",
    ],
};

const THREE: History = History {
    agent: "prefect/3.8.8 (API 0.8.4)",
    recordings: &[
        "3.8-tutorial",
        "3.8-deploy-serve",
        "3.8-deploy-worker",
        "3.8-features-flow",
        "3.8-features-pause",
        "3.8-features-states",
        "3.8-features-cli",
        "3.8-features-cancel",
        "3.8-features-suspend",
        "3.8-features-cli2",
    ],
};

fn read(name: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/api/traces");
    let path = std::path::Path::new(folder).join(format!("{name}.jsonl"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

async fn answers_as_recorded(app: TestApp, history: &History) {
    let texts: Vec<_> = history.recordings.iter().map(|name| read(name)).collect();
    let recordings: Vec<_> = history
        .recordings
        .iter()
        .zip(&texts)
        .map(|(name, text)| (*name, text.as_str()))
        .collect();
    let headers = [
        ("user-agent", history.agent),
        ("x-prefect-api-version", "0.8.4"),
    ];
    let ask = async |exchange: &Exchange| -> Answer { ask_as(&app, exchange, &headers).await };
    let differences = replay(&recordings, TimeDelta::zero(), ask).await;
    app.close().await;
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[tokio::test]
async fn we_give_the_answers_recorded_by_2_20_on_sqlite() {
    answers_as_recorded(TestApp::on_sqlite().await, &TWO).await;
}

#[tokio::test]
async fn we_give_the_answers_recorded_by_2_20_on_postgres() {
    if let Some(app) = TestApp::on_postgres().await {
        answers_as_recorded(app, &TWO).await;
    }
}

#[tokio::test]
async fn we_give_the_answers_recorded_by_3_8_on_sqlite() {
    answers_as_recorded(TestApp::on_sqlite().await, &THREE).await;
}

#[tokio::test]
async fn we_give_the_answers_recorded_by_3_8_on_postgres() {
    if let Some(app) = TestApp::on_postgres().await {
        answers_as_recorded(app, &THREE).await;
    }
}

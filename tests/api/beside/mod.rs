//! Asks genuine servers and ours the same, good and bad, and compares the answers.
//!
//! `requests.txt` walks through each operation of the 2.0b3 document in one story, so that both
//! servers are in the same state all along; `operations.txt` lists that document's operations.
//! `two.txt` and `three.txt` do so with the documents of 2.20 and 3.8. The genuine answers are taken
//! first and then replayed against ours, on both databases, as the recorded histories are.

mod builtin;
pub mod conversations;
mod csrf;
mod members;
mod sockets;

use std::collections::{BTreeSet, HashMap};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::FutureExt;
use prefect_rs::clock::{Clock, SystemClock};
use serde_json::Value;

use crate::app::TestApp;
use crate::genuine_server::GenuineServer;
use crate::replay::{Bindings, Depth, Exchange, HEADERS, ask_as, repeat};

/// What one generation's client asks.
struct Story {
    /// The genuine version that is asked.
    version: &'static str,
    /// The files that tell what, in this order.
    requests: &'static [&'static str],
    /// Settings of the genuine server.
    settings: &'static [(&'static str, &'static str)],
    headers: &'static [(&'static str, &'static str)],
}

const FIRST: Story = Story {
    version: "2.0b3",
    requests: &["requests.txt"],
    settings: &[],
    headers: &HEADERS,
};
const TWO: Story = Story {
    version: "2.20",
    requests: &["two.txt", "events.txt", "results.txt"],
    // Automations, events and background tasks were an experiment then.
    settings: &[
        ("PREFECT_EXPERIMENTAL_EVENTS", "true"),
        ("PREFECT_EXPERIMENTAL_ENABLE_TASK_SCHEDULING", "true"),
        ("PREFECT_API_SERVICES_TRIGGERS_ENABLED", "true"),
        ("PREFECT_API_SERVICES_EVENT_PERSISTER_ENABLED", "true"),
        ("PREFECT_API_SERVICES_EVENT_PERSISTER_FLUSH_INTERVAL", "0.3"),
        ("PREFECT_API_SERVICES_SCHEDULER_ENABLED", "false"),
        ("PREFECT_API_SERVICES_LATE_RUNS_ENABLED", "false"),
        ("PREFECT_API_SERVICES_FOREMAN_ENABLED", "false"),
    ],
    headers: &[
        ("user-agent", "prefect/2.20.26 (API 0.8.4)"),
        ("x-prefect-api-version", "0.8.4"),
    ],
};
const THREE: Story = Story {
    version: "3.8",
    requests: &[
        "runs.txt",
        "three.txt",
        "events.txt",
        "deploying.txt",
        "results.txt",
    ],
    settings: &[
        // They meet requests at its database, which refuses these then.
        ("PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED", "false"),
        (
            "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_FLUSH_INTERVAL",
            "0.3",
        ),
        ("PREFECT_SERVER_LOGS_STREAM_OUT_ENABLED", "true"),
        ("PREFECT_SERVER_LOGS_STREAM_PUBLISHING_ENABLED", "true"),
        ("PREFECT_SERVER_SERVICES_LATE_RUNS_ENABLED", "false"),
        ("PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED", "false"),
        ("PREFECT_SERVER_SERVICES_FOREMAN_ENABLED", "false"),
    ],
    headers: &[
        ("user-agent", "prefect/3.8.8 (API 0.8.4)"),
        ("x-prefect-api-version", "0.8.4"),
    ],
};
/// What is told as events of nouns, which needs a server that has told nothing before.
const NOUNS: Story = Story {
    requests: &["nouns.txt"],
    ..THREE
};
/// Job variables, in pools of their own.
const JOBS_OF_TWO: Story = Story {
    requests: &["jobs.txt"],
    ..TWO
};
const JOBS_OF_THREE: Story = Story {
    requests: &["jobs.txt"],
    ..THREE
};
const OPERATIONS: &str = include_str!("operations.txt");
const THREE_OPERATIONS: &str = include_str!("three-operations.txt");

/// How often a genuine server is asked.
const TRIES: u32 = 20;
const BETWEEN_TRIES: Duration = Duration::from_millis(500);

/// A line of the story.
#[derive(Debug, Clone)]
struct Step {
    /// The file and line.
    place: String,
    method: String,
    path: String,
    body: Option<Value>,
    text: Option<String>,
    name: Option<String>,
    compare: Depth,
    /// The status that we answer instead.
    ours: Option<u16>,
    /// How many objects there are in all once the genuine server has kept what it was sent before.
    total: Option<u64>,
}

fn steps(story: &Story) -> Vec<Step> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/api/beside");
    let yesterday = SystemClock.now() - TimeDelta::days(1);
    let yesterday = yesterday.format("%Y-%m-%d").to_string();
    let mut steps = Vec::new();
    for file in story.requests {
        let text = std::fs::read_to_string(format!("{folder}/{file}")).expect("a story");
        let text = text.replace("YESTERDAY", &yesterday);
        let lines = text.lines().enumerate();
        let lines = lines.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
        steps.extend(lines.map(|(at, line)| step(format!("{file}:{}", at + 1), line)));
    }
    steps
}

fn step(place: String, text: &str) -> Step {
    let mut parts = text.splitn(3, ' ');
    let mut next = || parts.next().unwrap_or_default().to_owned();
    let (method, path, mut rest) = (next(), next(), next());
    let mut step = Step {
        place,
        method,
        path,
        body: None,
        text: None,
        name: None,
        compare: Depth::Everything,
        ours: None,
        total: None,
    };
    if let Some(raw) = rest.strip_prefix('!') {
        step.text = Some(raw.to_owned());
        return step;
    }
    if !rest.is_empty() && !rest.starts_with(['=', '~']) {
        let mut values = serde_json::Deserializer::from_str(&rest).into_iter::<Value>();
        let body = values.next().expect("a body");
        step.body = Some(body.unwrap_or_else(|error| panic!("{}: {error}", step.place)));
        rest = rest[values.byte_offset()..].to_owned();
    }
    let mut marks = rest.split_whitespace();
    while let Some(mark) = marks.next() {
        match mark {
            "=>" => step.name = marks.next().map(str::to_owned),
            "~rows" => step.compare = Depth::Rows,
            "~status" => step.compare = Depth::Status,
            "~shape" => step.compare = Depth::Shape,
            "~ours" => step.ours = marks.next().and_then(|status| status.parse().ok()),
            "~total" => step.total = marks.next().and_then(|total| total.parse().ok()),
            other => panic!("{}: what is {other}?", step.place),
        }
    }
    step
}

/// The ids that the genuine server gave, by the names of the story.
#[derive(Default)]
struct Names(HashMap<String, String>);

impl Names {
    fn fill(&self, text: &str) -> String {
        let mut names: Vec<_> = self.0.iter().collect();
        // Longer names first, so that `$t10` is not taken for `$t1`.
        names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        names.into_iter().fold(text.to_owned(), |text, (name, id)| {
            text.replace(&format!("${name}"), id)
        })
    }

    fn learn(&mut self, name: &str, answer: &Value) {
        // The answer to a proposal has only a state, and the run keeps its id.
        let page = answer["next_page"].as_str();
        let id = answer["id"]
            .as_str()
            .or_else(|| answer["lease_id"].as_str())
            .or_else(|| page?.split_once("page-token=").map(|(_, token)| token));
        if let Some(id) = id {
            self.0.insert(name.to_owned(), id.to_owned());
        }
        let state = &answer["state"];
        if let Some(id) = state["id"].as_str() {
            self.0.insert(format!("{name}.state"), id.to_owned());
        }
        if let Some(id) = state["state_details"]["deployment_concurrency_lease_id"].as_str() {
            self.0.insert(format!("{name}.lease"), id.to_owned());
        }
    }
}

/// Tells the story to the genuine server and returns what it answered.
async fn genuine_answers(story: &Story, api: &str) -> Vec<(String, Exchange)> {
    // After a failure the genuine server closes the connection; a kept one would be reset.
    let client = prefect_rs::http::client().pool_max_idle_per_host(0);
    let client = client.build().expect("a client");
    let mut names = Names::default();
    let mut exchanges = Vec::new();
    for step in steps(story) {
        let path = names.fill(&step.path);
        let body = step.body.map(|body| names.fill(&body.to_string()));
        let method = step.method.parse().expect("a method");
        let mut request = client.request(method, format!("{api}{path}"));
        for (name, value) in story.headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = step.text.clone().or_else(|| body.clone()) {
            request = request
                .header("content-type", "application/json")
                .body(body);
        }
        let (at, status, answer) = answer(request, step.total).await;
        // Asked again since its database was locked, the genuine server tells again what it had told
        // although nothing was done.
        let told = answer.as_ref().and_then(|answer| answer["total"].as_u64());
        let is_retold = step.total.is_some_and(|total| told > Some(total));
        let compare = match is_retold {
            true => Depth::Status,
            false => step.compare,
        };
        if let (Some(name), Some(answer)) = (&step.name, &answer) {
            names.learn(name, answer);
        }
        let differs = step.ours.is_none_or(|ours| ours != status);
        assert!(differs, "{}: genuine answers {status} too", step.place);
        let exchange = Exchange {
            at,
            method: step.method,
            path: format!("/api{path}"),
            request: body.map(|body| serde_json::from_str(&body).expect("it was JSON")),
            text: step.text,
            status: step.ours.unwrap_or(status),
            response: answer,
            compare: step.ours.map_or(compare, |_| Depth::Status),
        };
        exchanges.push((step.place, exchange));
    }
    exchanges
}

/// Sends a request until it is answered; a genuine server that finds its database locked says to try
/// again, and keeps events a while after it has taken them.
async fn answer(
    request: reqwest::RequestBuilder,
    total: Option<u64>,
) -> (DateTime<Utc>, u16, Option<Value>) {
    let mut tries = 0;
    loop {
        let again = request.try_clone().expect("a body of text");
        let at = SystemClock.now();
        tries += 1;
        let whole = async {
            let response = again.send().await?;
            Ok::<_, reqwest::Error>((response.status(), response.bytes().await?))
        };
        let (status, bytes) = match whole.await {
            Ok(answer) => answer,
            // Under load a genuine server breaks off connections that it has just taken.
            Err(error) if tries < TRIES => {
                println!("asked again, since the genuine server broke off: {error:?}");
                tokio::time::sleep(BETWEEN_TRIES).await;
                continue;
            }
            Err(error) => panic!("never answered: {error:?}"),
        };
        let answer: Option<Value> = serde_json::from_slice(&bytes).ok();
        let is_kept = total.is_none_or(|total| {
            answer.as_ref().and_then(|answer| answer["total"].as_u64()) == Some(total)
        });
        // In bulk it is told item by item, within an answer of 200.
        let is_locked = String::from_utf8_lossy(&bytes).contains("database is locked");
        let is_unavailable = status == reqwest::StatusCode::SERVICE_UNAVAILABLE || is_locked;
        let is_answered = !is_unavailable && is_kept;
        if is_answered || tries == TRIES {
            return (at, status.as_u16(), answer);
        }
        tokio::time::sleep(BETWEEN_TRIES).await;
    }
}

/// What newer clients are told beyond what a genuine server says, and ignore.
const BEYOND: [&str; 6] = [
    // Members of actions that 2.20 has not.
    ".force is not in the contract",
    ".schedule_after is not in the contract",
    // Our agent reads these of any deployment.
    ".schedule is not in the contract",
    ".is_schedule_active is not in the contract",
    ".flow_data is not in the contract",
    ".flow_runner is not in the contract",
];

async fn differences(
    story: &Story,
    app: &TestApp,
    exchanges: &[(String, Exchange)],
) -> Vec<String> {
    let mut bindings = Bindings::new(TimeDelta::zero());
    let mut send = async |exchange: &Exchange| ask_as(app, exchange, story.headers).await;
    let mut found = Vec::new();
    for (place, exchange) in exchanges {
        let differences = repeat(exchange, TimeDelta::zero(), &mut bindings, &mut send).await;
        let is_news = |difference: &&String| {
            let is_known = BEYOND.iter().any(|known| difference.ends_with(known));
            // Whatever ends without having begun has no end here; see `COMPATIBILITY.md`.
            let is_unbegun = [".start_time is null instead", ".end_time is null instead"]
                .iter()
                .any(|known| difference.contains(known));
            story.version == FIRST.version || !(is_known || is_unbegun)
        };
        for difference in differences.iter().filter(is_news) {
            let Exchange { method, path, .. } = exchange;
            found.push(format!("{place} {method} {path}: {difference}"));
        }
    }
    found
}

#[tokio::test]
async fn we_answer_as_the_genuine_server_does() {
    answers_as_genuine(&FIRST).await;
}

#[tokio::test]
async fn we_answer_as_the_genuine_2_20_server_does() {
    answers_as_genuine(&TWO).await;
}

#[tokio::test]
async fn we_answer_as_the_genuine_3_8_server_does() {
    answers_as_genuine(&THREE).await;
}

#[tokio::test]
async fn we_tell_of_nouns_what_the_genuine_3_8_server_does() {
    answers_as_genuine(&NOUNS).await;
}

#[tokio::test]
async fn we_check_job_variables_as_the_genuine_2_20_server_does() {
    answers_as_genuine(&JOBS_OF_TWO).await;
}

#[tokio::test]
async fn we_check_job_variables_as_the_genuine_3_8_server_does() {
    answers_as_genuine(&JOBS_OF_THREE).await;
}

/// Tells the story twice where the first telling found differences, since a genuine server under load
/// loses what it has taken and breaks connections off; what differs with both counts.
async fn answers_as_genuine(story: &'static Story) {
    let mut found = Vec::new();
    for telling in 1..=2 {
        // A panic has been printed where it came from.
        found = AssertUnwindSafe(differences_from_genuine(story))
            .catch_unwind()
            .await
            .unwrap_or_else(|_| vec!["the telling did not come to its end".to_owned()]);
        if found.is_empty() {
            return;
        }
        println!("telling {telling}: {}", found.join("\n"));
    }
    panic!("{}", found.join("\n"));
}

async fn differences_from_genuine(story: &Story) -> Vec<String> {
    let Some(genuine) = GenuineServer::start(story.version, story.settings).await else {
        return Vec::new();
    };
    // Members, sockets and built-in blocks are asked about once.
    let is_main = [TWO.requests, THREE.requests].contains(&story.requests);
    // These before the story, which adds to them.
    let known = match is_main {
        true => builtin::of_genuine(&genuine.api).await,
        false => builtin::Known::new(),
    };
    let exchanges = genuine_answers(story, &genuine.api).await;
    let members = match story.version {
        "2.0b3" => Vec::new(),
        _ if !is_main => Vec::new(),
        _ => members::of_requests(&genuine.api).await,
    };
    let closed = match story.version {
        "3.8" if is_main => sockets::outcomes(&genuine.api.replacen("http", "ws", 1)).await,
        // Older ones have no sockets by default.
        _ => Vec::new(),
    };
    let heard = match is_main {
        true => conversations::heard(story.version, &genuine.api).await,
        false => Vec::new(),
    };
    drop(genuine);
    let mut apps = vec![("SQLite", TestApp::on_sqlite().await)];
    apps.extend(TestApp::on_postgres().await.map(|app| ("PostgreSQL", app)));
    let mut found = Vec::new();
    for (database, app) in apps {
        let mut of_one = match is_main {
            true => builtin::differences(&app, story.headers, &known).await,
            false => Vec::new(),
        };
        of_one.extend(differences(story, &app, &exchanges).await);
        found.extend(of_one.into_iter().map(|text| format!("{database}: {text}")));
        if database == "SQLite" {
            found.extend(members::refused(&app, story.headers, &members).await);
            found.extend(sockets::differences(&app, &closed).await);
            found.extend(conversations::differences(&app, story.version, &heard).await);
        }
        app.close().await;
    }
    found
}

/// Tells whether a path of the story is one of the document, whose parts in braces are free.
fn is_of(path: &str, pattern: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    // The name of a work queue may hold slashes.
    if let Some(start) = pattern.strip_suffix("name/{name}") {
        return path.starts_with(&format!("{start}name/"));
    }
    let (path, pattern): (Vec<_>, Vec<_>) =
        (path.split('/').collect(), pattern.split('/').collect());
    path.len() == pattern.len()
        && path
            .iter()
            .zip(&pattern)
            .all(|(part, wanted)| part == wanted || wanted.starts_with('{'))
}

#[test]
fn the_story_asks_for_each_operation_of_the_document() {
    let steps = steps(&FIRST);
    let is_told = |operation: &&str| {
        let (method, pattern) = operation.split_once(' ').expect("a method and a path");
        steps
            .iter()
            .any(|step| step.method == method && is_of(&step.path, pattern))
    };
    let missing: Vec<_> = OPERATIONS.lines().filter(|line| !is_told(line)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn each_operation_of_the_document_is_routed() {
    let missing = not_routed(OPERATIONS);
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn each_operation_of_the_3_8_document_is_routed() {
    let missing = not_routed(THREE_OPERATIONS);
    assert!(missing.is_empty(), "{missing:?}");
}

fn not_routed(operations: &'static str) -> Vec<&'static str> {
    let document = serde_json::to_value(prefect_rs::server::openapi()).expect("a document");
    let paths = document["paths"].as_object().expect("paths");
    // What a part in braces is called is ours to choose, and a name with slashes is marked.
    let unnamed = |path: &str| {
        let parts = path.split('/').map(|part| match part.starts_with('{') {
            true => "{}",
            false => part,
        });
        parts.collect::<Vec<_>>().join("/")
    };
    let mut routed = BTreeSet::new();
    for (path, item) in paths {
        for method in item.as_object().expect("methods").keys() {
            let path = path.trim_start_matches("/api");
            routed.insert(format!("{} {}", method.to_uppercase(), unnamed(path)));
        }
    }
    let is_missing = |operation: &&str| {
        let (method, path) = operation.split_once(' ').expect("a method and a path");
        !routed.contains(&format!("{method} {}", unnamed(path)))
    };
    operations.lines().filter(is_missing).collect()
}

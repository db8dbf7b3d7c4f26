//! Asks genuine servers and ours the same, good and bad, and compares the answers.
//!
//! `requests.txt` walks through each operation of the 2.0b3 document in one story, so that both
//! servers are in the same state all along; `operations.txt` lists that document's operations.
//! `three.txt` does so with what the 3.8 document adds. The genuine answers are taken first and then replayed against ours, on both databases, as the
//! recorded histories are.

use std::collections::{BTreeSet, HashMap};

use chrono::TimeDelta;
use prefect_rs::clock::{Clock, SystemClock};
use serde_json::Value;

use crate::app::TestApp;
use crate::genuine_server::GenuineServer;
use crate::replay::{Bindings, Depth, Exchange, HEADERS, ask_as, repeat};

/// What one generation's client asks.
struct Story {
    /// The genuine version that is asked.
    version: &'static str,
    requests: &'static str,
    headers: &'static [(&'static str, &'static str)],
}

const FIRST: Story = Story {
    version: "2.0b3",
    requests: include_str!("requests.txt"),
    headers: &HEADERS,
};
const THREE: Story = Story {
    version: "3.8",
    requests: include_str!("three.txt"),
    headers: &[
        ("user-agent", "prefect/3.8.8 (API 0.8.4)"),
        ("x-prefect-api-version", "0.8.4"),
    ],
};
const OPERATIONS: &str = include_str!("operations.txt");
const THREE_OPERATIONS: &str = include_str!("three-operations.txt");
/// Operations of the 3.8 document that we do not have.
const NOT_YET: &[&str] = &[
    // A greeting that no client asks for.
    "GET /hello",
    "POST /ui/schemas/validate",
    "GET /flow_runs/{id}/graph-v2",
    "POST /work_pools/{name}/concurrency_status",
    "POST /work_queues/{id}/concurrency_status",
    "POST /flow_runs/{id}/resume",
];

/// A line of the story.
#[derive(Debug, Clone)]
struct Step {
    line: usize,
    method: String,
    path: String,
    body: Option<Value>,
    text: Option<String>,
    name: Option<String>,
    compare: Depth,
    /// The status that we answer instead.
    ours: Option<u16>,
}

fn steps(story: &Story) -> Vec<Step> {
    let lines = story.requests.lines().enumerate();
    let lines = lines.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    lines.map(|(at, line)| step(at + 1, line)).collect()
}

fn step(line: usize, text: &str) -> Step {
    let mut parts = text.splitn(3, ' ');
    let mut next = || parts.next().unwrap_or_default().to_owned();
    let (method, path, mut rest) = (next(), next(), next());
    let mut step = Step {
        line,
        method,
        path,
        body: None,
        text: None,
        name: None,
        compare: Depth::Everything,
        ours: None,
    };
    if let Some(raw) = rest.strip_prefix('!') {
        step.text = Some(raw.to_owned());
        return step;
    }
    if !rest.is_empty() && !rest.starts_with(['=', '~']) {
        let mut values = serde_json::Deserializer::from_str(&rest).into_iter::<Value>();
        let body = values.next().expect("a body");
        step.body = Some(body.unwrap_or_else(|error| panic!("line {line}: {error}")));
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
            other => panic!("line {line}: what is {other}?"),
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
        let id = answer["id"]
            .as_str()
            .or_else(|| answer["lease_id"].as_str());
        if let Some(id) = id {
            self.0.insert(name.to_owned(), id.to_owned());
        }
        if let Some(id) = answer["state"]["id"].as_str() {
            self.0.insert(format!("{name}.state"), id.to_owned());
        }
    }
}

/// Tells the story to the genuine server and returns what it answered.
async fn genuine_answers(story: &Story, api: &str) -> Vec<(usize, Exchange)> {
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
        let at = SystemClock.now();
        let response = request.send().await.expect("an answer");
        let status = response.status().as_u16();
        let bytes = response.bytes().await.expect("a whole answer");
        let answer: Option<Value> = serde_json::from_slice(&bytes).ok();
        if let (Some(name), Some(answer)) = (&step.name, &answer) {
            names.learn(name, answer);
        }
        let differs = step.ours.is_none_or(|ours| ours != status);
        assert!(differs, "line {}: genuine answers {status} too", step.line);
        let exchange = Exchange {
            at,
            method: step.method,
            path: format!("/api{path}"),
            request: body.map(|body| serde_json::from_str(&body).expect("it was JSON")),
            text: step.text,
            status: step.ours.unwrap_or(status),
            response: answer,
            compare: step.ours.map_or(step.compare, |_| Depth::Status),
        };
        exchanges.push((step.line, exchange));
    }
    exchanges
}

/// Where answers to 3.8 clients are not yet those of a genuine server, and what those clients ignore.
const NOT_YET_ALIKE: [&str; 12] = [
    // Runs do not inherit the labels of their flows.
    ".labels.x is missing",
    ".labels.prefect.flow.id is missing",
    ".labels.prefect.flow-run.id is missing",
    // What nobody has set is nothing here, and a default there.
    ".state_details.deferred is null instead of false",
    ".parameter_openapi_schema is null instead of {}",
    ".pull_steps is null instead of []",
    ".enforce_parameter_schema is false instead of true",
    // Our agent reads these of any deployment.
    ".schedule is not in the contract",
    ".is_schedule_active is not in the contract",
    ".flow_data is not in the contract",
    ".flow_runner is not in the contract",
    ".flow_run_name is missing",
];

async fn differences(story: &Story, app: &TestApp, exchanges: &[(usize, Exchange)]) -> Vec<String> {
    let mut bindings = Bindings::new(TimeDelta::zero());
    let mut send = async |exchange: &Exchange| ask_as(app, exchange, story.headers).await;
    let mut found = Vec::new();
    for (line, exchange) in exchanges {
        let differences = repeat(exchange, TimeDelta::zero(), &mut bindings, &mut send).await;
        let is_news = |difference: &&String| {
            story.version != THREE.version
                || !NOT_YET_ALIKE
                    .iter()
                    .any(|known| difference.ends_with(known))
        };
        for difference in differences.iter().filter(is_news) {
            let Exchange { method, path, .. } = exchange;
            found.push(format!("line {line} {method} {path}: {difference}"));
        }
    }
    found
}

#[tokio::test]
async fn we_answer_as_the_genuine_server_does() {
    answers_as_genuine(&FIRST).await;
}

#[tokio::test]
async fn we_answer_as_the_genuine_3_8_server_does() {
    answers_as_genuine(&THREE).await;
}

async fn answers_as_genuine(story: &Story) {
    let Some(genuine) = GenuineServer::start(story.version).await else {
        return;
    };
    let exchanges = genuine_answers(story, &genuine.api).await;
    drop(genuine);
    let mut apps = vec![("SQLite", TestApp::on_sqlite().await)];
    apps.extend(TestApp::on_postgres().await.map(|app| ("PostgreSQL", app)));
    let mut found = Vec::new();
    for (database, app) in apps {
        let of_one = differences(story, &app, &exchanges).await;
        found.extend(of_one.into_iter().map(|text| format!("{database}: {text}")));
        app.close().await;
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
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
fn each_operation_of_the_3_8_document_is_routed_but_for_those_that_are_named() {
    let mut missing = not_routed(THREE_OPERATIONS);
    missing.retain(|operation| !NOT_YET.contains(operation));
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

//! Requests that nobody means well, made from our own document: whatever comes in, the answer is a
//! success or a clear refusal, never a failure of ours and never a panic.
//!
//! Each request starts from what the document asks for, and some of its values are replaced by
//! those that break programs. A run is made from a seed, which a failure names; set
//! `PREFECT_RS_TEST_SEED` to repeat it, and `PREFECT_RS_TEST_CASES` for more cases an operation.

use axum::body::Body;
use axum::http::Request;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::app::TestApp;

/// Cases an operation, enough for each hostile value to turn up somewhere.
const CASES: usize = 60;

/// Values in JSON that have broken programs before.
const HOSTILE: [&str; 42] = [
    "null",
    "true",
    "0",
    "-1",
    "1.5",
    "-0.0",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "18446744073709551616",
    "123456789012345678901234567890",
    "1e308",
    "-1e308",
    "1e-320",
    "1e400",
    r#""""#,
    r#"" ""#,
    r#""\u0000""#,
    r#""a\u0000b""#,
    r#""\ud800""#,
    r#""\udc00\ud800""#,
    r#""\uffff\u202e\u200b""#,
    r#""%00""#,
    r#""'; DROP TABLE flow; --""#,
    r#""%_\\""#,
    r#""../../etc/passwd""#,
    r#""NaN""#,
    r#""1e9""#,
    r#""0000-00-00T00:00:00Z""#,
    r#""0001-01-01T00:00:00+14:00""#,
    r#""9999-12-31T23:59:59.999999-14:00""#,
    r#""10000-01-01T00:00:00Z""#,
    r#""-0001-01-01T00:00:00Z""#,
    r#""2026-02-30T25:61:61Z""#,
    r#""P99999999999D""#,
    r#""00000000-0000-0000-0000-000000000000""#,
    "[]",
    "[[]]",
    "[null]",
    "{}",
    r#"{"": {"": null}}"#,
    r#"{"a": 1, "a": 2}"#,
];

/// Ids of objects that exist, so that requests get past the first look.
type Known = Vec<String>;

struct Maker<'a> {
    random: StdRng,
    document: &'a Value,
    known: &'a Known,
}

impl Maker<'_> {
    fn chance(&mut self, percent: u32) -> bool {
        self.random.random_range(0..100) < percent
    }

    fn pick<'b>(&mut self, from: &[&'b str]) -> &'b str {
        from.choose(&mut self.random)
            .expect("there is something to pick from")
    }

    fn hostile(&mut self) -> String {
        match self.random.random_range(0..50) {
            0 => format!("\"{}\"", "x".repeat(200_000)),
            1 => format!("{}1{}", "[".repeat(100), "]".repeat(100)),
            2 => format!("{}1{}", "[".repeat(20_000), "]".repeat(20_000)),
            3 => format!("{}1{}", r#"{"a":"#.repeat(5_000), "}".repeat(5_000)),
            4 => format!("[{}]", vec!["\"t\""; 20_000].join(",")),
            _ => self.pick(&HOSTILE).to_owned(),
        }
    }

    /// Makes a value of a schema, as text, since not all that is sent can be a `Value`.
    fn value(&mut self, schema: &Value, depth: usize) -> String {
        if self.chance(12) || depth > 12 {
            return self.hostile();
        }
        if let Some(name) = schema["$ref"].as_str() {
            let document = self.document;
            let target = document.pointer(name.trim_start_matches('#'));
            return self.value(target.expect("the document is whole"), depth + 1);
        }
        for combined in ["oneOf", "anyOf", "allOf"] {
            if let Some(parts) = schema[combined].as_array() {
                let part = parts.choose(&mut self.random).expect("a part");
                return self.value(part, depth + 1);
            }
        }
        if let Some(members) = schema["enum"].as_array() {
            return members
                .choose(&mut self.random)
                .expect("a member")
                .to_string();
        }
        let kind = match &schema["type"] {
            Value::Array(kinds) => kinds.choose(&mut self.random).and_then(Value::as_str),
            kind => kind.as_str(),
        };
        match kind {
            Some("object") | None => self.object(schema, depth),
            Some("array") => {
                let count = self.random.random_range(0..4);
                let items: Vec<_> = (0..count)
                    .map(|_| self.value(&schema["items"], depth + 1))
                    .collect();
                format!("[{}]", items.join(","))
            }
            Some("string") => self.text(schema["format"].as_str()),
            Some("integer") => self.random.random_range(0..300).to_string(),
            Some("number") => self.random.random_range(0.0..1e5).to_string(),
            Some("boolean") => self.pick(&["true", "false"]).to_owned(),
            Some(_) => "null".to_owned(),
        }
    }

    fn object(&mut self, schema: &Value, depth: usize) -> String {
        let mut members = Vec::new();
        for (name, part) in schema["properties"].as_object().into_iter().flatten() {
            let is_required = schema["required"]
                .as_array()
                .is_some_and(|required| required.contains(&json!(name)));
            if self.chance(if is_required { 95 } else { 40 }) {
                members.push(format!("{}:{}", json!(name), self.value(part, depth + 1)));
            }
        }
        if self.chance(5) {
            members.push(format!("\"bogus\":{}", self.hostile()));
        }
        format!("{{{}}}", members.join(","))
    }

    fn text(&mut self, format: Option<&str>) -> String {
        match format {
            Some("uuid") => format!("\"{}\"", self.id()),
            Some("date-time") => self
                .pick(&[
                    r#""2026-01-01T00:00:00Z""#,
                    r#""2026-01-01 00:00:00.5+05:30""#,
                    r#""2099-01-01T00:00:00Z""#,
                    "1795416626.76",
                ])
                .to_owned(),
            _ => self
                .pick(&[r#""a""#, r#""ü""#, r#""name""#, r#""ETL""#])
                .to_owned(),
        }
    }

    fn id(&mut self) -> String {
        let known = self.known;
        if self.chance(70) {
            return known.choose(&mut self.random).expect("an id").clone();
        }
        uuid::Uuid::from_u128(self.random.random()).to_string()
    }

    /// Fills the parts of a path.
    fn path(&mut self, pattern: &str) -> String {
        let parts = pattern.split('/').map(|part| match part.starts_with('{') {
            false => part.to_owned(),
            true if self.chance(60) => self.id(),
            true => self
                .pick(&[
                    "name",
                    "ETL",
                    "%00",
                    "%FF%FE",
                    "..%2F..",
                    "not-an-id",
                    "%F0%9F%92%A5",
                    "0",
                    "a%20b",
                ])
                .to_owned(),
        });
        parts.collect::<Vec<_>>().join("/")
    }

    fn query(&mut self, parameters: &Value) -> String {
        let mut pairs = Vec::new();
        for parameter in parameters.as_array().into_iter().flatten() {
            if parameter["in"] == "query" && self.chance(80) {
                let value = if self.chance(60) {
                    self.id()
                } else {
                    self.pick(&["", "x", "%00", "%FF", "-1", "9223372036854775808", "null"])
                        .to_owned()
                };
                pairs.push(format!(
                    "{}={value}",
                    parameter["name"].as_str().unwrap_or_default()
                ));
            }
        }
        match pairs.is_empty() {
            true => String::new(),
            false => format!("?{}", pairs.join("&")),
        }
    }

    /// Makes the bytes of a body, now and then no JSON at all.
    fn body(&mut self, operation: &Value) -> Vec<u8> {
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        let mut bytes = match schema.is_null() {
            true if self.chance(90) => Vec::new(),
            true => self.hostile().into_bytes(),
            false => self.value(schema, 0).into_bytes(),
        };
        match self.random.random_range(0..100) {
            0..4 if !bytes.is_empty() => {
                let at = self.random.random_range(0..bytes.len());
                bytes[at] = self.random.random();
            }
            4..7 => bytes.truncate(bytes.len() / 2),
            7 => bytes.extend(b" trailing"),
            8 => bytes.splice(0..0, *b"\xef\xbb\xbf").for_each(drop),
            _ => {}
        }
        bytes
    }
}

/// What was sent, for people.
struct Sent {
    seed: u64,
    operation: String,
    path: String,
    body: Vec<u8>,
}

impl std::fmt::Display for Sent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let body = String::from_utf8_lossy(&self.body);
        let body: String = body.chars().take(600).collect();
        let Self {
            seed,
            operation,
            path,
            ..
        } = self;
        write!(f, "seed {seed}, {operation} as {path} with {body:?}")
    }
}

async fn attack(app: &TestApp, seed: u64) {
    let document = serde_json::to_value(prefect_rs::server::openapi()).expect("a document");
    let known = prepare(app).await;
    let cases = number("PREFECT_RS_TEST_CASES").map_or(CASES, |cases| cases as usize);
    let mut maker = Maker {
        random: StdRng::seed_from_u64(seed),
        document: &document,
        known: &known,
    };
    let mut failures = Vec::new();
    for (pattern, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("methods") {
            // These leave nothing to attack.
            if pattern.starts_with("/api/admin/database") {
                continue;
            }
            for _ in 0..cases {
                let query = maker.query(&operation["parameters"]);
                let sent = Sent {
                    seed,
                    operation: format!("{} {pattern}", method.to_uppercase()),
                    path: maker.path(pattern) + &query,
                    body: maker.body(operation),
                };
                failures.extend(send(app, &mut maker, &method.to_uppercase(), sent).await);
            }
        }
    }
    // A few tell enough.
    failures.truncate(20);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Sends a request and returns what is wrong with the answer.
async fn send(app: &TestApp, maker: &mut Maker<'_>, method: &str, sent: Sent) -> Option<String> {
    let mut request = Request::builder().method(method).uri(&sent.path);
    let kind = match maker.chance(97) {
        true => "application/json",
        false => maker.pick(&[
            "text/plain",
            "application/x-www-form-urlencoded",
            "\u{e9}",
            "a/b/c",
        ]),
    };
    request = request.header("content-type", kind);
    match maker.random.random_range(0..10) {
        0..5 => request = request.header("x-prefect-api-version", "0.3.0"),
        5 => request = request.header("x-prefect-api-version", "three"),
        6 => request = request.header("user-agent", "prefect/2.20.26 (API 0.8.4)"),
        _ => {}
    }
    let request = request
        .body(Body::from(sent.body.clone()))
        .expect("a request");
    let (status, answer) = app.send_whole(request).await;
    let is_clear = || {
        let answer = answer.as_ref()?;
        let reason = answer.get("detail");
        reason.or_else(|| answer.get("exception_message"))
    };
    let is_fine = status < 400 || status < 500 && is_clear().is_some();
    (!is_fine).then(|| format!("{status} {answer:?}: {sent}"))
}

/// Makes one object of each kind and returns their ids.
async fn prepare(app: &TestApp) -> Known {
    let mut ids: Known = Vec::new();
    for (path, body) in [
        ("flows/", json!({"name": "name", "tags": ["ETL"]})),
        (
            "flow_runs/",
            json!({"flow_id": "$0", "state": {"type": "RUNNING"}}),
        ),
        (
            "flow_runs/",
            json!({"flow_id": "$0", "state": {"type": "SCHEDULED"}}),
        ),
        (
            "task_runs/",
            json!({"flow_run_id": "$1", "task_key": "k", "dynamic_key": "0", "tags": ["ETL"]}),
        ),
        (
            "deployments/",
            json!({"name": "name", "flow_id": "$0", "schedule": {"interval": 3600}}),
        ),
        ("work_queues/", json!({"name": "name"})),
        (
            "concurrency_limits/",
            json!({"tag": "ETL", "concurrency_limit": 1}),
        ),
        ("block_specs/", json!({"name": "name", "version": "1"})),
        (
            "blocks/",
            json!({"name": "name", "block_spec_id": "$7", "data": {"a": 1}}),
        ),
    ] {
        let mut body = body.to_string();
        for (at, id) in ids.iter().enumerate() {
            body = body.replace(&format!("${at}"), id);
        }
        let path = format!("/api/{path}");
        let (status, made) = app.send_text("POST", &path, &[], Some(body)).await;
        let id = made.as_ref().and_then(|made| made["id"].as_str());
        ids.push(
            id.unwrap_or_else(|| panic!("{path}: {status} {made:?}"))
                .to_owned(),
        );
    }
    ids
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn seed() -> u64 {
    number("PREFECT_RS_TEST_SEED").unwrap_or_else(rand::random)
}

#[tokio::test]
async fn nothing_that_is_sent_makes_the_server_fail_on_sqlite() {
    let app = TestApp::on_sqlite().await;
    attack(&app, seed()).await;
    app.close().await;
}

#[tokio::test]
async fn nothing_that_is_sent_makes_the_server_fail_on_postgres() {
    let Some(app) = TestApp::on_postgres().await else {
        return;
    };
    attack(&app, seed()).await;
    app.close().await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_with_the_bound() {
    let app = TestApp::on_sqlite().await;
    let body = format!("{{\"name\": \"{}\"}}", "x".repeat(33 << 20));
    let (status, answer) = app.send_text("POST", "/api/flows/", &[], Some(body)).await;
    let answer = answer.expect("a body");
    assert_eq!(status, 413);
    assert!(
        answer["detail"]
            .as_str()
            .is_some_and(|text| text.contains("33554432")),
        "{answer}"
    );
    app.close().await;
}

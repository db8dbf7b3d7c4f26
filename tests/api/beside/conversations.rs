//! Whole conversations on the sockets, held with a genuine server and then with ours: what is told
//! there, in which words and order.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta};
use futures_util::{SinkExt, StreamExt};
use prefect_rs::clock::{Clock, SystemClock};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use uuid::Uuid;

use crate::app::TestApp;

/// How long something is waited for that will come; a genuine server keeps events a while.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long nothing must come for silence.
const SILENCE: Duration = Duration::from_millis(700);

/// The sockets that conversations are held on, and the first version that has them.
const SOCKETS: [(&str, &str); 5] = [
    ("/events/in", "2.20"),
    ("/events/out", "2.20"),
    ("/task_runs/subscriptions/scheduled", "2.20"),
    ("/logs/out", "3.8"),
    ("/work_pools/{work_pool_name}/workers/connect", "3.8"),
];

/// Tells whether a conversation is held on a socket with the server of a version.
pub fn is_held(version: &str, path: &str) -> bool {
    SOCKETS
        .iter()
        .any(|(socket, first)| *socket == path && (*first == version || version == "3.8"))
}

/// Holds every conversation that a version knows and returns what was heard in each.
pub async fn heard(version: &str, api: &str) -> Vec<(&'static str, Vec<Value>)> {
    let server = Server::at(api);
    let mut heard = vec![
        ("events", server.events(version).await),
        ("background tasks", server.background_tasks().await),
    ];
    if version == "3.8" {
        heard.push(("logs", server.logs().await));
        heard.push(("worker", server.worker().await));
    }
    heard
}

/// Returns where our server tells something else.
pub async fn differences(
    app: &TestApp,
    version: &str,
    genuine: &[(&'static str, Vec<Value>)],
) -> Vec<String> {
    let api = format!("http://{}/api", app.listen().await);
    // What changes is told by when it has, so time has to pass.
    let time_passes = async {
        loop {
            app.clock.set(SystemClock.now());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let ours = tokio::select! {
        ours = heard(version, &api) => ours,
        () = time_passes => unreachable!("time has no end"),
    };
    let mut found = Vec::new();
    for ((name, ours), (_, theirs)) in ours.iter().zip(genuine) {
        for at in 0..ours.len().max(theirs.len()) {
            let (ours, theirs) = (ours.get(at), theirs.get(at));
            let is_alike = match (ours, theirs) {
                (Some(ours), Some(theirs)) => is_alike(version, ours, theirs),
                _ => false,
            };
            if !is_alike {
                let shown =
                    |frame: Option<&Value>| frame.map_or("nothing".to_owned(), Value::to_string);
                found.push(format!(
                    "{version}, {name}, {at}: ours: {}\n  genuine: {}",
                    shown(ours),
                    shown(theirs)
                ));
            }
        }
    }
    found
}

/// Members that are a matter of the moment, or that a genuine server leaves out in some frames.
const PASSING: [&str; 4] = [
    "created",
    "updated",
    "estimated_run_time",
    "estimated_start_time_delta",
];

/// Tells whether all that the genuine server says is said by ours too, and nothing else, except to 2.20, whose
/// sockets do not say which generation they are of and which ignores what it does not know.
fn is_alike(version: &str, ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => {
            let is_known = |name: &String| theirs.contains_key(name);
            let has_more = !ours.keys().all(is_known);
            let is_passing = |name: &str| PASSING.contains(&name);
            (version == "2.20" || !has_more)
                && theirs.iter().all(|(name, theirs)| {
                    is_passing(name)
                        || ours
                            .get(name)
                            .is_some_and(|ours| is_alike(version, ours, theirs))
                })
        }
        (Value::Array(ours), Value::Array(theirs)) => {
            ours.len() == theirs.len()
                && ours
                    .iter()
                    .zip(theirs)
                    .all(|(ours, theirs)| is_alike(version, ours, theirs))
        }
        _ => ours == theirs,
    }
}

/// Where conversations are held.
struct Server {
    client: reqwest::Client,
    http: String,
    ws: String,
}

impl Server {
    fn at(api: &str) -> Self {
        Self {
            client: prefect_rs::http::client().build().expect("a client"),
            http: api.to_owned(),
            ws: api.replacen("http", "ws", 1),
        }
    }

    /// Sends until it is taken, since the database of a genuine server may be locked.
    async fn send(&self, method: reqwest::Method, path: &str, body: &Value) -> Value {
        let url = format!("{}{path}", self.http);
        for _ in 0..20 {
            let request = self.client.request(method.clone(), &url).json(body);
            let request = request.header("x-prefect-api-version", "0.8.4");
            let response = request.send().await.expect("an answer");
            // What is not there need not be deleted.
            let is_gone = method == reqwest::Method::DELETE && response.status() == 404;
            if response.status().is_success() || is_gone {
                let text = response.text().await.expect("a whole answer");
                return serde_json::from_str(&text).unwrap_or_default();
            }
            assert!(
                response.status().is_server_error(),
                "{method} {path}: {response:?}"
            );
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        panic!("{method} {path} is never taken");
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        self.send(reqwest::Method::POST, path, body).await
    }

    /// Opens a socket; without a subprotocol there is no handshake.
    async fn connect(&self, path: &str, protocol: Option<&str>) -> Talk {
        let socket = path.replace("/talk/", "/{work_pool_name}/");
        assert!(is_held("3.8", &socket), "{socket} is none of the sockets");
        let url = format!("{}{path}", self.ws);
        let mut request = url.into_client_request().expect("an address");
        if let Some(protocol) = protocol {
            let protocol = protocol.parse().expect("a header");
            request
                .headers_mut()
                .insert("sec-websocket-protocol", protocol);
        }
        let (socket, _) = connect_async(request).await.expect("a socket");
        let mut talk = Talk {
            socket,
            heard: Vec::new(),
            names: Names::default(),
        };
        if protocol.is_some() {
            talk.say(&json!({"type": "auth", "token": null})).await;
            talk.hear(1).await;
        }
        talk
    }

    /// What is sent in comes out again to those who ask for it.
    async fn events(&self, version: &str) -> Vec<Value> {
        let event = |n: u32, name: &str| {
            json!({
                "id": Uuid::new_v4(), "occurred": SystemClock.now(), "event": name,
                "resource": {"prefect.resource.id": format!("talk.{n}"), "color": "red"},
                "related": [{"prefect.resource.id": "talk.flow", "prefect.resource.role": "flow"}],
                "payload": {"n": n, "deep": {"text": "\u{1f600}", "none": null}}, "follows": null,
            })
        };
        let mut out = self.connect("/events/out", Some("prefect")).await;
        // Without it a genuine server tells nothing that happens later than it was asked.
        let until = SystemClock.now() + TimeDelta::days(1);
        let filter = json!({"event": {"prefix": ["talk."], "exclude_name": ["talk.not"]}, "occurred": {"until": until}});
        out.say(&json!({"type": "filter", "filter": filter})).await;
        // The genuine server begins to listen a while after it was told to.
        out.is_silent().await;
        // 2.20 takes events from anybody.
        let protocol = (version == "3.8").then_some("prefect");
        let mut into = self.connect("/events/in", protocol).await;
        for (n, name) in ["talk.a", "other", "talk.not", "talk.b"].iter().enumerate() {
            into.say(&event(n as u32, name)).await;
        }
        out.hear(2).await;
        self.post("/events", &json!([event(9, "talk.c"), event(10, "other")]))
            .await;
        out.hear(1).await;
        out.is_silent().await;
        let mut heard = into.heard;
        heard.extend(out.heard);
        heard
    }

    /// Each is handed out to one who serves it, once the last was acknowledged.
    async fn background_tasks(&self) -> Vec<Value> {
        let delay = async |key: &str, n: u32| {
            let state = json!({"type": "SCHEDULED", "state_details": {"deferred": true}});
            let run = json!({"flow_run_id": null, "task_key": key, "dynamic_key": Uuid::new_v4(), "name": format!("talk {n}"), "state": state});
            self.post("/task_runs/", &run).await;
        };
        let path = "/task_runs/subscriptions/scheduled";
        let mut talk = self.connect(path, Some("prefect")).await;
        let subscribe = json!({"type": "subscribe", "keys": ["talk-1"], "client_id": "talker"});
        talk.say(&subscribe).await;
        delay("talk-1", 1).await;
        talk.hear(1).await;
        delay("talk-2", 2).await;
        delay("talk-1", 3).await;
        // Until it is told that the first has arrived.
        talk.is_silent().await;
        talk.say(&json!({"type": "ack"})).await;
        talk.hear(1).await;
        talk.say(&json!({"type": "ack"})).await;
        talk.is_silent().await;
        talk.heard
    }

    async fn logs(&self) -> Vec<Value> {
        let mut talk = self.connect("/logs/out", Some("prefect")).await;
        let filter = json!({"level": {"ge_": 30}});
        talk.say(&json!({"type": "filter", "filter": filter})).await;
        talk.is_silent().await;
        let run = Uuid::new_v4();
        let line = |level: u32| {
            json!({"name": "talk", "level": level, "message": format!("at {level}"),
                "timestamp": SystemClock.now(), "flow_run_id": run})
        };
        let lines: Vec<Value> = [20, 30, 10, 40].into_iter().map(line).collect();
        self.post("/logs/", &json!(lines)).await;
        talk.hear(2).await;
        talk.is_silent().await;
        talk.heard
    }

    /// Holds the worker's conversation again where a genuine server gave it up since its database was locked.
    async fn worker(&self) -> Vec<Value> {
        let mut heard = self.worker_once().await;
        for _ in 0..5 {
            let is_given_up = |frame: &Value| {
                let text = frame.to_string();
                text.contains("heartbeat_persistence_failed")
                    || text.contains("transient_server_error")
            };
            if !heard.iter().any(is_given_up) {
                break;
            }
            self.send(reqwest::Method::DELETE, "/work_pools/talk", &json!({}))
                .await;
            heard = self.worker_once().await;
        }
        heard
    }

    /// A worker says who it is, and is told of its pool and of each change of it.
    async fn worker_once(&self) -> Vec<Value> {
        let consumer = Uuid::new_v4();
        let frame = |kind: &str, payload: Value| json!({"type": kind, "id": Uuid::new_v4(), "sent_at": SystemClock.now(), "payload": payload});
        let path = "/work_pools/talk/workers/connect";
        let mut talk = self.connect(path, Some("prefect")).await;
        talk.say(&frame(
            "worker.hello.v1",
            json!({
                "consumer_id": consumer, "worker_name": "w1", "worker_type": "process",
                "heartbeat_interval_seconds": 30,
                "supported_channel_versions": ["work_pool_worker_channel.v1"],
                "requested_capabilities": ["worker_heartbeat.v1", "work_pool_snapshot.v1"],
                "work_queue_names": [], "handled_cleanup_kinds": [],
                "max_cleanup_concurrency": 0, "create_pool_if_not_found": true,
                "default_base_job_template": {"job_configuration": {"env": "{{ env }}"}, "variables": {"type": "object", "properties": {"env": {"type": "object"}}}},
            }),
        ))
        .await;
        talk.hear(1).await;
        talk.say(&frame(
            "worker.heartbeat.v1",
            json!({"consumer_id": consumer, "worker_name": "w1", "heartbeat_interval_seconds": 30}),
        ))
        .await;
        talk.is_silent().await;
        for change in [json!({"concurrency_limit": 3}), json!({"is_paused": true})] {
            self.send(reqwest::Method::PATCH, "/work_pools/talk", &change)
                .await;
            talk.hear(1).await;
        }
        talk.is_silent().await;
        talk.heard
    }
}

/// One socket, and what was heard on it.
struct Talk {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    heard: Vec<Value>,
    names: Names,
}

impl Talk {
    async fn say(&mut self, frame: &Value) {
        let frame = Message::text(frame.to_string());
        // Who closes says so, which is heard.
        let _ = self.socket.send(frame).await;
    }

    /// Hears so many frames; what does not come is noted too.
    async fn hear(&mut self, count: usize) {
        for _ in 0..count {
            if !self.hears_within(PATIENCE).await {
                self.heard.push(json!("silence"));
            }
        }
    }

    /// Notes what comes although nothing should.
    async fn is_silent(&mut self) {
        while self.hears_within(SILENCE).await {}
    }

    async fn hears_within(&mut self, span: Duration) -> bool {
        let told = async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Text(text))) => {
                        let frame = serde_json::from_str(&text);
                        return frame.unwrap_or_else(|_| json!(text.to_string()));
                    }
                    Some(Ok(Message::Close(frame))) => return json!(format!("closed: {frame:?}")),
                    Some(Ok(_)) => {}
                    // A closed socket is silent from then on.
                    Some(Err(_)) | None => std::future::pending().await,
                }
            }
        };
        let Ok(frame) = timeout(span, told).await else {
            return false;
        };
        let frame = self.names.without_chance(frame);
        self.heard.push(frame);
        true
    }
}

/// What ids stand for, in the order in which they were met.
#[derive(Default)]
struct Names(HashMap<Uuid, usize>);

impl Names {
    /// Returns a frame with ids and instants by what they stand for.
    fn without_chance(&mut self, value: Value) -> Value {
        match value {
            Value::String(text) => {
                if let Ok(id) = text.parse::<Uuid>() {
                    let next = self.0.len();
                    return json!(format!("id {}", self.0.entry(id).or_insert(next)));
                }
                match DateTime::parse_from_rfc3339(&text) {
                    Ok(_) => json!("an instant"),
                    Err(_) => Value::String(text),
                }
            }
            Value::Array(items) => items
                .into_iter()
                .map(|item| self.without_chance(item))
                .collect(),
            Value::Object(members) => {
                // Their order is nobody's concern, and ids are numbered in it.
                let mut members: Vec<_> = members.into_iter().collect();
                members.sort_by(|(one, _), (other, _)| one.cmp(other));
                let members = members
                    .into_iter()
                    .map(|(name, member)| (name, self.without_chance(member)));
                Value::Object(members.collect())
            }
            other => other,
        }
    }
}

//! Whole conversations on sockets, held with a genuine server and then with ours: whatever a server says in
//! them has to be alike, ids and times aside.
//!
//! `conversations.txt` lists which sockets of which generation are spoken to, for the table of operations.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::TimeDelta;
use futures_util::{SinkExt, StreamExt};
use prefect_rs::clock::{Clock, SystemClock};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use uuid::Uuid;

use super::{Story, THREE, TWO};
use crate::app::TestApp;
use crate::genuine_server::GenuineServer;
use crate::replay::Bindings;

/// Longer than any answer takes on a machine that is busy compiling.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often something is told until it is heard; what is missed was told before somebody listened.
const TRIES: u128 = 20;

type Stream = WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>;

/// One server, as a client speaks to it, and what it has said.
struct Speaker {
    /// Where its API is, without the scheme.
    api: String,
    headers: &'static [(&'static str, &'static str)],
    client: reqwest::Client,
    said: Vec<(&'static str, Value)>,
    /// The sockets that were opened, by their paths.
    opened: BTreeSet<&'static str>,
}

impl Speaker {
    fn new(api: &str, story: &Story) -> Self {
        let client = prefect_rs::http::client().pool_max_idle_per_host(0);
        Self {
            api: api.trim_start_matches("http://").to_owned(),
            headers: story.headers,
            client: client.build().expect("a client"),
            said: Vec::new(),
            opened: BTreeSet::new(),
        }
    }

    /// Opens a socket; one that asks who speaks has a protocol for it.
    async fn open(&mut self, operation: &'static str, path: &str, asks_who: bool) -> Stream {
        self.opened.insert(operation);
        let request = format!("ws://{}{path}", self.api).into_client_request();
        let mut request = request.expect("an address");
        let headers = request.headers_mut();
        if asks_who {
            let prefect = "prefect".parse().expect("a header");
            headers.insert("sec-websocket-protocol", prefect);
        }
        for (name, value) in self.headers {
            headers.insert(*name, value.parse().expect("a header"));
        }
        connect_async(request).await.expect("a socket").0
    }

    /// Opens a socket that asks who speaks, and says so.
    async fn open_known(&mut self, operation: &'static str, path: &str) -> Stream {
        let mut socket = self.open(operation, path, true).await;
        say(&mut socket, &json!({"type": "auth", "token": null})).await;
        self.hear(operation, &mut socket).await;
        socket
    }

    /// Waits for what the server says next and remembers it.
    async fn hear(&mut self, of: &'static str, socket: &mut Stream) -> Value {
        let heard = loop {
            match timeout(PATIENCE, socket.next()).await.expect("no silence") {
                Some(Ok(Message::Text(text))) => {
                    break serde_json::from_str(&text).expect("JSON");
                }
                Some(Ok(Message::Close(frame))) => {
                    let frame =
                        frame.map(|frame| (u16::from(frame.code), frame.reason.to_string()));
                    break json!({"closed": frame});
                }
                Some(Ok(_)) => {}
                other => break json!({"broken": format!("{other:?}")}),
            }
        };
        self.said.push((of, heard.clone()));
        heard
    }

    async fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let method = method.parse().expect("a method");
        let url = format!("http://{}{path}", self.api);
        let mut request = self.client.request(method, url).json(body);
        for (name, value) in self.headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.expect("an answer");
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.json().await.unwrap_or_default()
    }
}

async fn say(socket: &mut Stream, what: &Value) {
    let text = what.to_string();
    socket
        .send(Message::Text(text.into()))
        .await
        .expect("an open socket");
}

fn event(n: u128, name: &str, ago: i64) -> Value {
    let room = json!({"prefect.resource.id": "room.1", "prefect.resource.role": "room"});
    // Finer times are none to older servers.
    let occurred = (SystemClock.now() - TimeDelta::seconds(ago)).format("%Y-%m-%dT%H:%M:%S%.6fZ");
    json!({
        "occurred": occurred.to_string(), "event": name, "related": [room],
        "resource": {"prefect.resource.id": "pot.1", "prefect.resource.name": "one"},
        "payload": {"cups": n as u64}, "id": Uuid::from_u128(n), "follows": null,
    })
}

const IN: &str = "WS /events/in";
const OUT: &str = "WS /events/out";
const LOGS: &str = "WS /logs/out";
const TASKS: &str = "WS /task_runs/subscriptions/scheduled";
const WORKERS: &str = "WS /work_pools/{work_pool_name}/workers/connect";

/// Events that one client tells are heard by another, who may ask for what has been told before.
async fn events(speaker: &mut Speaker, asks_who: bool) {
    let filter =
        json!({"type": "filter", "backfill": false, "filter": {"event": {"prefix": ["pot."]}}});
    let mut out = speaker.open_known(OUT, "/events/out").await;
    say(&mut out, &filter).await;
    // Whoever is told live has to have begun to listen, which no server confirms: so an event is sent
    // again, under other ids, until it is heard.
    let mut told = match asks_who {
        true => speaker.open_known(IN, "/events/in").await,
        false => speaker.open(IN, "/events/in", false).await,
    };
    let mut n = 100;
    loop {
        assert!(n < 100 + TRIES, "no event is heard");
        say(&mut told, &event(n, "pot.filled", 5)).await;
        n += 1;
        match timeout(Duration::from_secs(2), out.next()).await {
            Ok(Some(Ok(Message::Text(_)))) => break,
            // A ping.
            Ok(Some(Ok(_))) | Err(_) => {}
            Ok(other) => panic!("not heard: {other:?}"),
        }
    }
    say(&mut told, &event(1, "cup.filled", 4)).await;
    say(&mut told, &event(2, "pot.boiled", 3)).await;
    loop {
        let heard = speaker.hear(OUT, &mut out).await;
        if heard["event"]["event"] == "pot.boiled" {
            break;
        }
        // One of those that were sent again.
        speaker.said.pop();
    }
    // What has been told is stored a moment later.
    let stored = json!({"filter": {"event": {"name": ["pot.boiled"]}}});
    let deadline = SystemClock.now() + TimeDelta::seconds(60);
    while speaker.ask("POST", "/events/filter", &stored).await["total"] == 0 {
        assert!(SystemClock.now() < deadline, "the event is not stored");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let mut again = speaker.open_known(OUT, "/events/out").await;
    let since = SystemClock.now() - TimeDelta::minutes(5);
    let occurred = json!({"since": since, "until": SystemClock.now() + TimeDelta::hours(1)});
    let filter = json!({"event": {"name": ["pot.boiled", "cup.filled"]}, "occurred": occurred});
    say(&mut again, &json!({"type": "filter", "filter": filter})).await;
    for _ in 0..2 {
        speaker.hear(OUT, &mut again).await;
    }
}

/// Lines of a log are heard as they come.
async fn logs(speaker: &mut Speaker) {
    let run = Uuid::from_u128(77);
    let filter = json!({"flow_run_id": {"any_": [run]}, "level": {"ge_": 20}});
    let mut out = speaker.open_known(LOGS, "/logs/out").await;
    say(&mut out, &json!({"type": "filter", "filter": filter})).await;
    let line = |level: u32, message: &str| {
        let at = "2026-01-02T03:04:05.123456Z";
        json!({"name": "a", "level": level, "message": message, "timestamp": at, "flow_run_id": run})
    };
    for _ in 0..TRIES {
        let lines = json!([line(10, "too low"), line(20, "told")]);
        speaker.ask("POST", "/logs/", &lines).await;
        match timeout(Duration::from_secs(2), out.next()).await {
            Ok(Some(Ok(Message::Text(text)))) => {
                let heard = serde_json::from_str(&text).expect("JSON");
                speaker.said.push((LOGS, heard));
                return;
            }
            // A ping.
            Ok(Some(Ok(_))) | Err(_) => {}
            Ok(other) => panic!("not heard: {other:?}"),
        }
    }
    panic!("no line is heard");
}

/// A background task goes to whoever serves it, and the next one after a word.
async fn tasks(speaker: &mut Speaker) {
    let mut served = speaker
        .open_known(TASKS, "/task_runs/subscriptions/scheduled")
        .await;
    let subscribe = json!({"type": "subscribe", "keys": ["brew-1"], "client_id": "kitchen"});
    say(&mut served, &subscribe).await;
    for n in ["one", "two"] {
        let deferred = json!({"type": "SCHEDULED", "state_details": {"deferred": true, "task_parameters_id": null}});
        let run = json!({"task_key": "brew-1", "dynamic_key": n, "name": n, "state": deferred});
        speaker.ask("POST", "/task_runs/", &run).await;
    }
    speaker.hear(TASKS, &mut served).await;
    say(&mut served, &json!({"type": "ack"})).await;
    speaker.hear(TASKS, &mut served).await;
    say(&mut served, &json!({"type": "quit"})).await;
    speaker.hear(TASKS, &mut served).await;
}

/// A worker says who it is, tells that it is alive, and hears what becomes of its pool.
async fn workers(speaker: &mut Speaker) {
    let frame = |kind: &str, payload: Value| {
        let id = Uuid::new_v4();
        json!({"type": kind, "id": id, "sent_at": "2026-01-01T00:00:00.5Z", "payload": payload})
    };
    let consumer = Uuid::from_u128(7);
    let hello = json!({
        "consumer_id": consumer, "worker_name": "w1", "worker_type": "process",
        "heartbeat_interval_seconds": 30,
        "supported_channel_versions": ["work_pool_worker_channel.v1"],
        "requested_capabilities": ["worker_heartbeat.v1", "work_pool_snapshot.v1"],
        "work_queue_names": [], "handled_cleanup_kinds": [], "max_cleanup_concurrency": 0,
        "create_pool_if_not_found": true,
        "default_base_job_template": {"job_configuration": {"env": "{{ env }}"}, "variables": {"properties": {"env": {"type": "object"}}}},
    });
    let path = "/work_pools/spoken/workers/connect";
    let mut channel = speaker.open_known(WORKERS, path).await;
    say(&mut channel, &frame("worker.hello.v1", hello)).await;
    speaker.hear(WORKERS, &mut channel).await;
    let alive =
        json!({"consumer_id": consumer, "worker_name": "w1", "heartbeat_interval_seconds": 30});
    say(&mut channel, &frame("worker.heartbeat.v1", alive)).await;
    let change = json!({"concurrency_limit": 3, "description": "new"});
    speaker.ask("PATCH", "/work_pools/spoken", &change).await;
    loop {
        let news = speaker.hear(WORKERS, &mut channel).await;
        let news = &news["payload"]["work_pool"];
        if news.is_null() || news["concurrency_limit"] == 3 {
            break;
        }
        // What the heartbeat has found out, before the change.
        speaker.said.pop();
    }
    speaker
        .ask("DELETE", "/work_pools/spoken", &json!(null))
        .await;
    speaker.hear(WORKERS, &mut channel).await;
}

async fn converse(speaker: &mut Speaker, story: &Story) {
    let is_newest = story.version == THREE.version;
    events(speaker, is_newest).await;
    tasks(speaker).await;
    if is_newest {
        logs(speaker).await;
        workers(speaker).await;
    }
}

async fn are_held_as_with_genuine(story: &Story) {
    // Logs are streamed by the newest only where its settings say so.
    let settings = [
        story.settings,
        &[
            ("PREFECT_SERVER_LOGS_STREAM_OUT_ENABLED", "true"),
            ("PREFECT_SERVER_LOGS_STREAM_PUBLISHING_ENABLED", "true"),
        ],
    ]
    .concat();
    let Some(genuine) = GenuineServer::start(story.version, &settings).await else {
        return;
    };
    let mut theirs = Speaker::new(&genuine.api, story);
    converse(&mut theirs, story).await;
    drop(genuine);
    let mut apps = vec![TestApp::on_sqlite().await];
    apps.extend(TestApp::on_postgres().await);
    for app in apps {
        // It stands still, and what is told is of the past.
        app.clock.set(SystemClock.now() + TimeDelta::minutes(1));
        let address = app.listen().await;
        let mut ours = Speaker::new(&format!("http://{address}/api"), story);
        converse(&mut ours, story).await;
        app.close().await;
        let mut bindings = Bindings::new(TimeDelta::zero());
        let mut found = Vec::new();
        for ((of, theirs), (_, ours)) in theirs.said.iter().zip(&ours.said) {
            let differences = bindings.compare(theirs, ours);
            found.extend(
                differences
                    .into_iter()
                    .map(|text| format!("{of}: {text}\n  ours: {ours}\n  genuine: {theirs}")),
            );
        }
        assert!(found.is_empty(), "{}", found.join("\n"));
        assert_eq!(ours.said.len(), theirs.said.len());
        let listed = include_str!("conversations.txt").lines();
        let listed = listed.filter_map(|line| line.strip_prefix(story.version)?.strip_prefix(' '));
        assert_eq!(ours.opened, listed.collect());
    }
}

#[tokio::test]
async fn sockets_are_held_as_by_the_genuine_2_20_server() {
    are_held_as_with_genuine(&TWO).await;
}

#[tokio::test]
async fn sockets_are_held_as_by_the_genuine_3_8_server() {
    are_held_as_with_genuine(&THREE).await;
}

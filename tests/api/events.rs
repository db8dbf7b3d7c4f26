//! Events in: what they record of task runs, and what the sockets promise.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{SinkExt, StreamExt};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use uuid::Uuid;

use crate::app::TestApp;

pub const CLIENT: &[(&str, &str)] = &[("user-agent", "prefect/3.8.8 (API 0.8.4)")];

/// Longer than any answer takes, even on a machine that is busy compiling.
const PATIENCE: Duration = Duration::from_secs(60);

pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

pub async fn post(app: &TestApp, path: &str, body: &Value) -> (u16, Value) {
    let (status, body) = app.send("POST", path, CLIENT, Some(body)).await;
    (status, body.unwrap_or_default())
}

async fn flow_run(app: &TestApp) -> Uuid {
    let (_, flow) = post(app, "/api/flows/", &json!({"name": "etl"})).await;
    let run = json!({"flow_id": flow["id"], "state": {"type": "PENDING"}});
    let (status, run) = post(app, "/api/flow_runs/", &run).await;
    assert_eq!(status, 201, "{run}");
    run["id"].as_str().unwrap().parse().unwrap()
}

fn at(seconds: f64) -> String {
    let start: DateTime<Utc> = "2026-11-23T06:39:24Z".parse().unwrap();
    (start + TimeDelta::microseconds((seconds * 1e6) as i64)).to_rfc3339()
}

/// A transition of a task run, as a 3.x client tells it.
fn transition(
    run: Uuid,
    flow_run: Uuid,
    id: Uuid,
    seconds: f64,
    state: (&str, &str),
    count: i64,
) -> Value {
    json!({
        "occurred": at(seconds),
        "event": format!("prefect.task-run.{}", state.1),
        "resource": {
            "prefect.resource.id": format!("prefect.task-run.{run}"),
            "prefect.resource.name": "extract-0",
            "prefect.orchestration": "client",
        },
        "related": [{
            "prefect.resource.id": format!("prefect.flow-run.{flow_run}"),
            "prefect.resource.role": "flow-run",
        }],
        "payload": {
            "intended": {"from": null, "to": state.0},
            "validated_state": {"type": state.0, "name": state.1, "message": "", "state_details": {}, "data": null},
            "task_run": {
                "name": "extract-0", "task_key": "extract-1", "dynamic_key": run.to_string(),
                "empirical_policy": {"max_retries": 0, "retry_delay_seconds": 0.0, "retries": 2, "retry_delay": 1},
                "tags": ["a"], "labels": {"team": "x"}, "task_inputs": {"url": []},
                "run_count": count, "flow_run_run_count": 1,
                "expected_start_time": at(0.0), "total_run_time": seconds,
            },
        },
        "id": id, "follows": null,
    })
}

/// The transitions of some task runs in the order in which they happened.
fn history(flow_run: Uuid, random: &mut StdRng) -> Vec<Value> {
    const LIFE: [(&str, &str); 6] = [
        ("PENDING", "Pending"),
        ("RUNNING", "Running"),
        ("SCHEDULED", "AwaitingRetry"),
        ("RUNNING", "Retrying"),
        ("RUNNING", "Running"),
        ("COMPLETED", "Completed"),
    ];
    let mut events = Vec::new();
    for _ in 0..random.random_range(1..40) {
        let (run, states) = (
            Uuid::from_u128(random.random()),
            random.random_range(1..=LIFE.len()),
        );
        for (n, state) in LIFE[..states].iter().enumerate() {
            let id = Uuid::from_u128(random.random());
            // Two states may be of one instant.
            events.push(transition(
                run,
                flow_run,
                id,
                (n / 2) as f64,
                *state,
                n as i64 / 2,
            ));
        }
    }
    events
}

/// Everything that the server knows of task runs, without the times of its own clock.
async fn picture(app: &TestApp, flow_run: Uuid) -> Vec<Value> {
    let filter = json!({"flow_runs": {"id": {"any_": [flow_run]}}, "sort": "ID_DESC"});
    let (status, runs) = post(app, "/api/task_runs/filter", &filter).await;
    assert_eq!(status, 200, "{runs}");
    let mut picture = Vec::new();
    for run in runs.as_array().unwrap() {
        let path = format!(
            "/api/task_run_states/?task_run_id={}",
            run["id"].as_str().unwrap()
        );
        let (_, mut states) = app.send("GET", &path, CLIENT, None).await;
        let mut run = run.clone();
        for own in [
            "created",
            "updated",
            "estimated_run_time",
            "estimated_start_time_delta",
        ] {
            run.as_object_mut().unwrap().remove(own);
        }
        run["states"] = states.take().unwrap();
        picture.push(run);
    }
    picture
}

async fn deliver(app: &TestApp, events: &[Value], random: &mut StdRng) {
    let mut rest = events;
    while !rest.is_empty() {
        let (batch, others) = rest.split_at(random.random_range(1..=rest.len()));
        let (status, body) = post(app, "/api/events", &json!(batch)).await;
        assert_eq!(status, 204, "{body}");
        rest = others;
    }
}

async fn order_and_repetition_do_not_matter(app: TestApp, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let random = &mut StdRng::seed_from_u64(seed);
        let one = flow_run(&app).await;
        let events = history(one, random);
        deliver(&app, &events, random).await;
        let in_order = picture(&app, one).await;

        // The same runs again, after the first ones are gone.
        for run in &in_order {
            let path = format!("/api/task_runs/{}", run["id"].as_str().unwrap());
            assert_eq!(app.send("DELETE", &path, CLIENT, None).await.0, 204);
        }
        let mut told = events.clone();
        for _ in 0..events.len() / 2 {
            told.push(events[random.random_range(0..events.len())].clone());
        }
        told.shuffle(random);
        deliver(&app, &told, random).await;
        similar_asserts(&picture(&app, one).await, &in_order, seed);
    }
    app.close().await;
}

fn similar_asserts(now: &[Value], then: &[Value], seed: u64) {
    assert_eq!(now.len(), then.len(), "seed {seed}");
    for (now, then) in now.iter().zip(then) {
        assert_eq!(now, then, "seed {seed}");
    }
}

#[tokio::test]
async fn order_and_repetition_of_events_do_not_matter() {
    order_and_repetition_do_not_matter(TestApp::on_sqlite().await, 0..24).await;
}

#[tokio::test]
async fn order_and_repetition_of_events_do_not_matter_on_postgres() {
    if let Some(app) = TestApp::on_postgres().await {
        order_and_repetition_do_not_matter(app, 0..6).await;
    }
}

#[tokio::test]
async fn a_run_is_what_its_latest_event_says_and_keeps_each_state_once() {
    let app = TestApp::on_sqlite().await;
    let (flow_run, run) = (flow_run(&app).await, Uuid::from_u128(7));
    let id = |n: u128| Uuid::from_u128(100 + n);
    let events = json!([
        transition(run, flow_run, id(2), 2.0, ("COMPLETED", "Completed"), 1),
        transition(run, flow_run, id(1), 1.0, ("RUNNING", "Running"), 1),
        transition(run, flow_run, id(1), 1.0, ("RUNNING", "Running"), 1),
    ]);
    assert_eq!(post(&app, "/api/events", &events).await.0, 204);
    let late = json!([transition(
        run,
        flow_run,
        id(0),
        0.0,
        ("PENDING", "Pending"),
        0
    )]);
    assert_eq!(post(&app, "/api/events", &late).await.0, 204);
    let picture = picture(&app, flow_run).await;
    let [run] = &picture[..] else {
        panic!("{picture:?}")
    };
    assert_eq!(run["state_name"], "Completed");
    assert_eq!(run["state_id"], json!(id(2)));
    assert_eq!(
        (&run["run_count"], &run["total_run_time"]),
        (&json!(1), &json!(2.0))
    );
    assert_eq!(
        (&run["labels"], &run["flow_run_run_count"]),
        (&json!({"team": "x"}), &json!(1))
    );
    let names: Vec<_> = run["states"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| &s["name"])
        .collect();
    assert_eq!(names, ["Pending", "Running", "Completed"]);
    assert_eq!(
        run["states"][0]["state_details"]["flow_run_id"],
        json!(flow_run)
    );
    app.close().await;
}

/// Events that make no task run do not keep others from being recorded.
#[tokio::test]
async fn what_cannot_be_recorded_does_not_take_the_rest_with_it() {
    let app = TestApp::on_sqlite().await;
    let flow_run = flow_run(&app).await;
    let of_server = |mut event: Value| {
        event["resource"]["prefect.orchestration"] = json!("server");
        event
    };
    let broken = |mut event: Value| {
        event["payload"] = json!({"task_run": 3});
        event
    };
    let one = |n: u128, flow_run| {
        transition(
            Uuid::from_u128(n),
            flow_run,
            Uuid::from_u128(50 + n),
            1.0,
            ("RUNNING", "Running"),
            1,
        )
    };
    let events = json!([
        of_server(one(1, flow_run)),
        broken(one(2, flow_run)),
        one(3, Uuid::from_u128(999)),
        one(4, flow_run),
    ]);
    assert_eq!(post(&app, "/api/events", &events).await.0, 204);
    let ids: Vec<_> = picture(&app, flow_run)
        .await
        .iter()
        .map(|run| run["id"].clone())
        .collect();
    assert_eq!(ids, [json!(Uuid::from_u128(4))]);
    app.close().await;
}

/// A call that is known under another id keeps that id, in the run and in its states.
#[tokio::test]
async fn one_call_of_a_task_is_one_task_run() {
    let app = TestApp::on_sqlite().await;
    let flow_run = flow_run(&app).await;
    let known = json!({"flow_run_id": flow_run, "task_key": "extract-1", "dynamic_key": "call"});
    let (_, known) = post(&app, "/api/task_runs/", &known).await;
    let mut event = transition(
        Uuid::from_u128(7),
        flow_run,
        Uuid::from_u128(8),
        1.0,
        ("RUNNING", "Running"),
        1,
    );
    event["payload"]["task_run"]["dynamic_key"] = json!("call");
    assert_eq!(post(&app, "/api/events", &json!([event])).await.0, 204);
    let picture = picture(&app, flow_run).await;
    let [run] = &picture[..] else {
        panic!("{picture:?}")
    };
    assert_eq!(
        (&run["id"], &run["state_name"]),
        (&known["id"], &json!("Running"))
    );
    assert_eq!(
        run["states"][0]["state_details"]["task_run_id"],
        known["id"]
    );
    app.close().await;
}

#[tokio::test]
async fn a_malformed_event_is_refused_with_its_place() {
    let app = TestApp::on_sqlite().await;
    let fine = transition(
        Uuid::from_u128(7),
        Uuid::from_u128(1),
        Uuid::from_u128(8),
        1.0,
        ("RUNNING", "Running"),
        1,
    );
    let mut nameless = fine.clone();
    nameless["resource"] = json!({"color": "red"});
    let (status, body) = post(&app, "/api/events", &json!([fine, nameless])).await;
    assert_eq!(status, 422);
    assert_eq!(
        body["exception_detail"][0]["loc"],
        json!(["body", 1, "resource"])
    );
    assert_eq!(
        post(&app, "/api/events", &json!([{"event": "x"}])).await.0,
        422
    );
    assert_eq!(post(&app, "/api/events", &json!([])).await.0, 204);
    app.close().await;
}

pub async fn connect(address: &str, path: &str, protocol: Option<&str>) -> Result<Socket, u16> {
    let mut request = format!("ws://{address}{path}")
        .into_client_request()
        .unwrap();
    if let Some(protocol) = protocol {
        request
            .headers_mut()
            .insert("sec-websocket-protocol", protocol.parse().unwrap());
    }
    match connect_async(request).await {
        Ok((socket, response)) => {
            let chosen = response.headers().get("sec-websocket-protocol");
            assert_eq!(chosen.and_then(|value| value.to_str().ok()), protocol);
            Ok(socket)
        }
        Err(tokio_tungstenite::tungstenite::Error::Http(response)) => {
            Err(response.status().as_u16())
        }
        Err(error) => panic!("{error}"),
    }
}

pub async fn say(socket: &mut Socket, value: &Value) {
    socket.send(Message::text(value.to_string())).await.unwrap();
}

pub async fn hear(socket: &mut Socket) -> Message {
    tokio::time::timeout(PATIENCE, socket.next())
        .await
        .expect("a frame in time")
        .unwrap()
        .unwrap()
}

pub async fn authenticated(address: &str, path: &str, token: Option<&str>) -> Socket {
    let mut socket = connect(address, path, Some("prefect")).await.unwrap();
    say(&mut socket, &json!({"type": "auth", "token": token})).await;
    let answer: Value = serde_json::from_str(hear(&mut socket).await.to_text().unwrap()).unwrap();
    assert_eq!(answer, json!({"type": "auth_success"}));
    socket
}

#[tokio::test]
async fn a_pong_means_that_what_came_before_is_recorded() {
    let app = TestApp::on_sqlite().await;
    let (address, flow_run) = (app.listen().await, flow_run(&app).await);
    let mut socket = authenticated(&address, "/api/events/in", None).await;
    for round in 1..=3u128 {
        say(&mut socket, &json!("no event")).await;
        for n in 0..100u128 {
            let (run, id) = (
                Uuid::from_u128(1000 * round + n),
                Uuid::from_u128(9000 * round + n),
            );
            say(
                &mut socket,
                &transition(run, flow_run, id, 1.0, ("RUNNING", "Running"), 1),
            )
            .await;
        }
        socket
            .send(Message::Ping("are you there".into()))
            .await
            .unwrap();
        assert_eq!(
            hear(&mut socket).await,
            Message::Pong("are you there".into())
        );
        let filter = json!({"flow_runs": {"id": {"any_": [flow_run]}}});
        let (_, count) = post(&app, "/api/task_runs/count", &filter).await;
        assert_eq!(count, json!(100 * round));
    }
    app.close().await;
}

#[tokio::test]
async fn a_client_that_closes_finds_everything_recorded() {
    let app = TestApp::on_sqlite().await;
    let (address, flow_run) = (app.listen().await, flow_run(&app).await);
    // Older clients offer no subprotocol and begin at once.
    let mut socket = connect(&address, "/api/events/in", None).await.unwrap();
    for n in 0..700u128 {
        let (run, id) = (Uuid::from_u128(1000 + n), Uuid::from_u128(9000 + n));
        say(
            &mut socket,
            &transition(run, flow_run, id, 1.0, ("RUNNING", "Running"), 1),
        )
        .await;
    }
    socket.close(None).await.unwrap();
    assert!(matches!(hear(&mut socket).await, Message::Close(_)));
    let (_, count) = post(&app, "/api/task_runs/count", &json!({})).await;
    assert_eq!(count, json!(700));
    app.close().await;
}

#[tokio::test]
async fn credentials_are_asked_for_in_the_first_frame() {
    let secret = "admin:pass";
    let app = TestApp::with_settings(|settings| {
        settings.server_api_auth_string =
            Some(prefect_rs::settings::Secret::new(secret.to_owned()));
    })
    .await;
    let address = app.listen().await;
    authenticated(&address, "/api/events/in", Some(secret)).await;
    for first in [
        json!({"type": "auth", "token": "admin:word"}),
        json!({"type": "auth", "token": null}),
        json!({"type": "filter", "token": secret}),
    ] {
        let mut socket = connect(&address, "/api/events/in", Some("prefect"))
            .await
            .unwrap();
        say(&mut socket, &first).await;
        let Message::Close(Some(frame)) = hear(&mut socket).await else {
            panic!("{first} was accepted");
        };
        assert_eq!(u16::from(frame.code), 1008, "{first}");
    }
    assert_eq!(
        connect(&address, "/api/events/in", None).await.err(),
        Some(403)
    );
    app.close().await;
}

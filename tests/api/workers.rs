//! Workers: the channel of 3.x ones, and the stream that tells ours that something is due.

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use crate::app::TestApp;
use crate::events::{Socket, authenticated, hear, post, say};

const PATH: &str = "/api/work_pools/shed/workers/connect";
const CONSUMER: Uuid = Uuid::from_u128(7);

fn frame(kind: &str, payload: Value) -> Value {
    let id = Uuid::new_v4();
    json!({"type": kind, "id": id, "sent_at": "2026-01-01T00:00:00.5Z", "payload": payload})
}

fn hello(change: impl FnOnce(&mut Value)) -> Value {
    let mut payload = json!({
        "consumer_id": CONSUMER, "worker_name": "w1", "worker_type": "process",
        "heartbeat_interval_seconds": 30,
        "supported_channel_versions": ["work_pool_worker_channel.v1"],
        "requested_capabilities": ["worker_heartbeat.v1", "work_pool_snapshot.v1", "cleanup_delivery.v1"],
        "work_queue_names": [], "handled_cleanup_kinds": ["pending_claim_teardown.v1"],
        "max_cleanup_concurrency": 1, "create_pool_if_not_found": true,
        "default_base_job_template": {"job_configuration": {"env": "{{ env }}"}, "variables": {}},
    });
    change(&mut payload);
    frame("worker.hello.v1", payload)
}

fn heartbeat(worker: &str) -> Value {
    let payload =
        json!({"consumer_id": CONSUMER, "worker_name": worker, "heartbeat_interval_seconds": 30});
    frame("worker.heartbeat.v1", payload)
}

async fn told(socket: &mut Socket) -> Value {
    let message = hear(socket).await;
    serde_json::from_str(message.to_text().expect("a text")).expect("a frame")
}

/// Returns the code and the reason with which the server closes.
async fn closed(socket: &mut Socket) -> (u16, String) {
    match hear(socket).await {
        Message::Close(Some(frame)) => (frame.code.into(), frame.reason.to_string()),
        other => panic!("not closed: {other:?}"),
    }
}

async fn status_of_worker(app: &TestApp) -> Value {
    let path = "/api/work_pools/shed/workers/filter";
    post(app, path, &json!({})).await.1[0]["status"].clone()
}

async fn a_worker_and_its_channel(app: TestApp) {
    let address = app.listen().await;
    let mut socket = authenticated(&address, PATH, None).await;
    say(&mut socket, &hello(|_| ())).await;
    let ready = told(&mut socket).await;
    assert_eq!(ready["type"], "worker.ready.v1", "{ready}");
    let ready = &ready["payload"];
    assert_eq!(ready["consumer_id"], json!(CONSUMER));
    assert_eq!(
        ready["rejected_capabilities"],
        json!(["cleanup_delivery.v1"])
    );
    assert_eq!(ready["resolved_work_queues"][0]["name"], "default");
    let pool = &ready["initial_snapshot"]["work_pool"];
    assert_eq!(
        (&pool["name"], &pool["type"]),
        (&json!("shed"), &json!("process"))
    );
    assert_eq!(
        pool["base_job_template"]["job_configuration"]["env"],
        "{{ env }}"
    );
    assert_eq!(pool["status"], "READY");

    app.clock.advance(TimeDelta::seconds(91));
    assert_eq!(status_of_worker(&app).await, "OFFLINE");
    say(&mut socket, &heartbeat("w1")).await;
    let deadline = Instant::now() + Duration::from_secs(30);
    while status_of_worker(&app).await != "ONLINE" {
        assert!(Instant::now() < deadline, "the heartbeat is not heard");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    let path = "/api/work_pools/shed";
    for (limit, number) in [(3, 2), (4, 3)] {
        app.clock.advance(TimeDelta::seconds(1));
        let change = json!({"concurrency_limit": limit});
        assert_eq!(app.send("PATCH", path, &[], Some(&change)).await.0, 204);
        let news = told(&mut socket).await;
        assert_eq!(news["type"], "work_pool.snapshot.v1", "{news}");
        let news = &news["payload"];
        assert_eq!(news["snapshot_sequence"], number);
        // What follows the heartbeat may be the first to see the change.
        let reasons = ["work_pool_updated", "heartbeat_reconciliation"];
        assert!(
            reasons.contains(&news["reason"].as_str().unwrap()),
            "{news}"
        );
        assert_eq!(news["work_pool"]["concurrency_limit"], limit);
    }
    assert_eq!(app.send("DELETE", path, &[], None).await.0, 204);
    let gone = (1008, "authorization_failed".to_owned());
    assert_eq!(closed(&mut socket).await, gone);
    app.close().await;
}

#[tokio::test]
async fn a_worker_keeps_a_channel_to_its_pool() {
    a_worker_and_its_channel(TestApp::on_sqlite().await).await;
}

#[tokio::test]
async fn a_worker_keeps_a_channel_to_its_pool_on_postgres() {
    if let Some(app) = TestApp::on_postgres().await {
        a_worker_and_its_channel(app).await;
    }
}

#[tokio::test]
async fn a_channel_is_closed_with_the_reason() {
    let app = TestApp::on_sqlite().await;
    let address = app.listen().await;
    let pool = json!({"name": "shed", "type": "process"});
    post(&app, "/api/work_pools/", &pool).await;
    let refused = async |path: &str, frames: &[Value]| {
        let mut socket = authenticated(&address, path, None).await;
        for frame in frames {
            say(&mut socket, frame).await;
        }
        loop {
            match hear(&mut socket).await {
                Message::Close(Some(frame)) => {
                    return (u16::from(frame.code), frame.reason.to_string());
                }
                Message::Text(_) => {}
                other => panic!("not closed: {other:?}"),
            }
        }
    };
    let nowhere = "/api/work_pools/nowhere/workers/connect";
    let stays_out = hello(|hello| hello["create_pool_if_not_found"] = json!(false));
    let reserved = "/api/work_pools/prefect-own/workers/connect";
    let queue = hello(|hello| hello["work_queue_names"] = json!(["absent"]));
    let version = hello(|hello| hello["supported_channel_versions"] = json!(["v9"]));
    let stranger = heartbeat("w2");
    for (path, frames, code, reason) in [
        (nowhere, vec![stays_out], 1008, "authorization_failed"),
        (reserved, vec![hello(|_| ())], 1008, "authorization_failed"),
        (PATH, vec![queue], 1008, "authorization_failed"),
        (PATH, vec![version], 1008, "unsupported_version"),
        (PATH, vec![heartbeat("w1")], 1002, "protocol_error"),
        (PATH, vec![hello(|_| ()), stranger], 1002, "protocol_error"),
        (
            PATH,
            vec![hello(|_| ()), hello(|_| ())],
            1002,
            "protocol_error",
        ),
    ] {
        let told = refused(path, &frames).await;
        assert_eq!(told, (code, reason.to_owned()), "{path} {frames:?}");
    }
    app.close().await;
}

#[tokio::test]
async fn only_a_pool_that_is_there_tells_what_is_due() {
    let app = TestApp::on_sqlite().await;
    let path = "/api/work_pools/shed/due";
    let (status, answer) = app.send("GET", path, &[], None).await;
    assert_eq!(status, 404, "{answer:?}");
    let pool = json!({"name": "shed", "type": "process"});
    post(&app, "/api/work_pools/", &pool).await;
    assert_eq!(app.send("GET", path, &[], None).await.0, 200);
    app.close().await;
}

/// Claims a run through its queue, as workers of ours do.
async fn claim(app: &TestApp, run: &Value) -> (Value, Value) {
    let id = run["id"].as_str().expect("an id");
    let queue = run["work_queue_id"].as_str().expect("a queue");
    let path = format!("/api/flow_runs/{id}/set_state?work_queue_id={queue}");
    let (_, answer) = post(app, &path, &json!({"state": {"type": "PENDING"}})).await;
    (
        answer["status"].clone(),
        answer["details"]["reason"].clone(),
    )
}

async fn claims_within_a_limited_pool(app: TestApp) {
    let pool = json!({"name": "shed", "type": "process", "concurrency_limit": 1});
    post(&app, "/api/work_pools/", &pool).await;
    post(
        &app,
        "/api/work_pools/shed/queues",
        &json!({"name": "other"}),
    )
    .await;
    let (_, flow) = post(&app, "/api/flows/", &json!({"name": "etl"})).await;
    let mut runs = Vec::new();
    for queue in ["default", "other"] {
        let deployment = json!({
            "name": queue, "flow_id": flow["id"], "work_pool_name": "shed", "work_queue_name": queue,
        });
        let (_, deployment) = post(&app, "/api/deployments/", &deployment).await;
        let id = deployment["id"].as_str().expect("an id");
        let path = format!("/api/deployments/{id}/create_flow_run");
        runs.push(post(&app, &path, &json!({})).await.1);
    }
    assert_eq!(claim(&app, &runs[0]).await.0, "ACCEPT");
    let (status, reason) = claim(&app, &runs[1]).await;
    assert_eq!(status, "ABORT");
    assert_eq!(
        reason,
        "The limit of work pool 'shed', 1 runs at once, is reached."
    );
    let change = json!({"concurrency_limit": null, "is_paused": true});
    app.send("PATCH", "/api/work_pools/shed", &[], Some(&change))
        .await;
    let (_, reason) = claim(&app, &runs[1]).await;
    assert_eq!(reason, "Work pool 'shed' is paused.");
    app.send(
        "PATCH",
        "/api/work_pools/shed",
        &[],
        Some(&json!({"is_paused": false})),
    )
    .await;
    assert_eq!(claim(&app, &runs[1]).await.0, "ACCEPT");
    app.close().await;
}

#[tokio::test]
async fn the_limit_of_a_pool_holds_whatever_workers_race() {
    claims_within_a_limited_pool(TestApp::on_sqlite().await).await;
}

#[tokio::test]
async fn the_limit_of_a_pool_holds_whatever_workers_race_on_postgres() {
    if let Some(app) = TestApp::on_postgres().await {
        claims_within_a_limited_pool(app).await;
    }
}

#[tokio::test]
async fn a_run_that_is_begun_anew_has_no_process_until_somebody_takes_it() {
    let app = TestApp::on_sqlite().await;
    let (_, flow) = post(&app, "/api/flows/", &json!({"name": "etl"})).await;
    let deployment = json!({"name": "d", "flow_id": flow["id"]});
    let (_, deployment) = post(&app, "/api/deployments/", &deployment).await;
    let id = deployment["id"].as_str().expect("an id");
    let path = format!("/api/deployments/{id}/create_flow_run");
    let (_, run) = post(&app, &path, &json!({})).await;
    let path = format!("/api/flow_runs/{}", run["id"].as_str().expect("an id"));
    let pid = json!({"infrastructure_pid": "host:42"});
    assert_eq!(app.send("PATCH", &path, &[], Some(&pid)).await.0, 204);
    let set = format!("{path}/set_state");
    let propose = async |kind: &str, force: bool| {
        let body = json!({"state": {"type": kind}, "force": force});
        let (_, answer) = post(&app, &set, &body).await;
        answer["state"]["type"].clone()
    };
    for kind in ["PENDING", "RUNNING", "FAILED"] {
        assert_eq!(propose(kind, false).await, kind);
    }
    assert_eq!(propose("SCHEDULED", true).await, "SCHEDULED");
    // There is nobody to confirm it.
    assert_eq!(propose("CANCELLING", false).await, "CANCELLED");
    app.close().await;
}

/// What lies in the way of the second of two runs that are due.
async fn two_runs_and_one_slot(app: &TestApp, limited: &str) -> Vec<Value> {
    let pool = json!({"name": "shed", "type": "process"});
    post(app, "/api/work_pools/", &pool).await;
    let change = json!({"concurrency_limit": 1});
    let (status, _) = app.send("PATCH", limited, &[], Some(&change)).await;
    assert_eq!(status, 204);
    let (_, flow) = post(app, "/api/flows/", &json!({"name": "etl"})).await;
    let deployment = json!({"name": "d", "flow_id": flow["id"], "work_pool_name": "shed"});
    let (_, deployment) = post(app, "/api/deployments/", &deployment).await;
    let id = deployment["id"].as_str().expect("an id");
    let path = format!("/api/deployments/{id}/create_flow_run");
    let mut runs = Vec::new();
    for _ in 0..2 {
        runs.push(post(app, &path, &json!({})).await.1);
    }
    runs
}

async fn a_slot_that_is_given_back(app: TestApp, limited: &str) {
    let runs = two_runs_and_one_slot(&app, limited).await;
    let due = async || {
        let path = "/api/work_pools/shed/get_scheduled_flow_runs";
        let (_, due) = post(&app, path, &json!({})).await;
        let ids = due.as_array().expect("a list").iter();
        ids.map(|run| run["flow_run"]["id"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(due().await, [runs[0]["id"].clone()]);
    assert_eq!(claim(&app, &runs[0]).await.0, "ACCEPT");
    assert_eq!(due().await, Vec::<Value>::new(), "there is no slot");

    let stream = app.response("GET", "/api/work_pools/shed/due", &[]).await;
    let mut hints = stream.into_body().into_data_stream();
    let id = runs[0]["id"].as_str().expect("an id");
    let path = format!("/api/flow_runs/{id}/set_state");
    for state in ["RUNNING", "COMPLETED"] {
        post(&app, &path, &json!({"state": {"type": state}})).await;
    }
    let hint = tokio::time::timeout(Duration::from_secs(30), hints.next());
    let hint = hint.await.expect("workers are told at once");
    let hint = hint.expect("an event").expect("a frame");
    let hint = String::from_utf8_lossy(&hint).into_owned();
    assert!(hint.contains("event: due"), "{hint}");
    assert_eq!(due().await, [runs[1]["id"].clone()]);
    assert_eq!(claim(&app, &runs[1]).await.0, "ACCEPT");
    drop(hints);
    app.close().await;
}

#[tokio::test]
async fn a_slot_of_a_pool_that_is_given_back_is_told_to_workers() {
    a_slot_that_is_given_back(TestApp::on_sqlite().await, "/api/work_pools/shed").await;
}

#[tokio::test]
async fn a_slot_of_a_queue_that_is_given_back_is_told_to_workers() {
    let queue = "/api/work_pools/shed/queues/default";
    a_slot_that_is_given_back(TestApp::on_sqlite().await, queue).await;
    if let Some(app) = TestApp::on_postgres().await {
        a_slot_that_is_given_back(app, queue).await;
    }
}

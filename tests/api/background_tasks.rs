//! Background tasks are handed to those who serve them, one by one, and none is lost.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::app::TestApp;
use crate::events::{Socket, authenticated, hear, post, say};

const PATH: &str = "/api/task_runs/subscriptions/scheduled";

async fn subscribed(address: &str, client: &str) -> Socket {
    let mut socket = authenticated(address, PATH, None).await;
    say(
        &mut socket,
        &json!({"type": "subscribe", "keys": ["greet-1"], "client_id": client}),
    )
    .await;
    socket
}

async fn delay(app: &TestApp, key: &str, n: u32) -> Value {
    let state = json!({"type": "SCHEDULED", "state_details": {"deferred": true}});
    let run =
        json!({"flow_run_id": null, "task_key": key, "dynamic_key": n.to_string(), "state": state});
    let (status, run) = post(app, "/api/task_runs/", &run).await;
    assert_eq!(status, 201, "{run}");
    run["id"].clone()
}

async fn run_id(socket: &mut Socket) -> Value {
    let frame: Value = serde_json::from_str(hear(socket).await.to_text().unwrap()).unwrap();
    assert_eq!(frame["state"]["state_details"]["deferred"], true);
    frame["id"].clone()
}

async fn handed_out(app: TestApp) {
    let address = app.listen().await;
    let waiting = delay(&app, "greet-1", 1).await;
    delay(&app, "other-1", 2).await;
    let mut first = subscribed(&address, "first").await;
    assert_eq!(run_id(&mut first).await, waiting);
    // The first one goes without a word, so the second one gets it.
    let mut second = subscribed(&address, "second").await;
    drop(first);
    assert_eq!(run_id(&mut second).await, waiting);
    say(&mut second, &json!({"type": "ack"})).await;
    let live = delay(&app, "greet-1", 3).await;
    assert_eq!(run_id(&mut second).await, live);
    let (_, workers) = post(&app, "/api/task_workers/filter", &json!({})).await;
    assert_eq!(workers[0]["identifier"], "second", "{workers}");
    say(&mut second, &json!({"type": "quit"})).await;
    assert!(matches!(hear(&mut second).await, Message::Close(_)));
    let mut third = subscribed(&address, "third").await;
    assert_eq!(run_id(&mut third).await, live);
    app.close().await;
}

#[tokio::test]
async fn a_scheduled_task_run_is_handed_out_until_somebody_has_it() {
    handed_out(TestApp::on_sqlite().await).await;
}

#[tokio::test]
async fn a_scheduled_task_run_is_handed_out_until_somebody_has_it_on_postgres() {
    if let Some(app) = TestApp::on_postgres().await {
        handed_out(app).await;
    }
}

#[tokio::test]
async fn a_task_run_without_a_flow_run_is_handed_out_where_its_client_is_of_2_20() {
    let app = TestApp::on_sqlite().await;
    let address = app.listen().await;
    let headers = [
        ("x-prefect-api-version", "0.8.4"),
        ("user-agent", "prefect/2.20.26 (API 0.8.4)"),
    ];
    let ask = async |path: &str, body: Value| {
        let (status, answer) = app.send("POST", path, &headers, Some(&body)).await;
        assert!(status < 300, "{path}: {answer:?}");
        answer.unwrap_or_default()
    };
    let flow = ask("/api/flows/", json!({"name": "f"})).await;
    let flow_run = ask("/api/flow_runs/", json!({"flow_id": flow["id"]})).await;
    let scheduled = json!({"type": "SCHEDULED"});
    let run = |of: &Value, n: &str| json!({"flow_run_id": of, "task_key": "greet-1", "dynamic_key": n, "state": scheduled});
    // The engine of a flow run waits for its own task runs.
    ask("/api/task_runs/", run(&flow_run["id"], "0")).await;
    let waiting = ask("/api/task_runs/", run(&Value::Null, "1")).await;
    let mut socket = subscribed(&address, "worker").await;
    assert_eq!(run_id(&mut socket).await, waiting["id"]);
    say(&mut socket, &json!({"type": "ack"})).await;

    // Scheduled anew, it is handed out anew.
    let path = format!(
        "/api/task_runs/{}/set_state",
        waiting["id"].as_str().unwrap()
    );
    for state in ["PENDING", "RUNNING", "FAILED", "SCHEDULED"] {
        ask(&path, json!({"state": {"type": state}})).await;
    }
    assert_eq!(run_id(&mut socket).await, waiting["id"]);
    app.close().await;
}

#[tokio::test]
async fn a_subscription_without_keys_is_refused() {
    let app = TestApp::on_sqlite().await;
    let address = app.listen().await;
    for first in [
        json!({"type": "hello"}),
        json!({"type": "subscribe", "keys": [], "client_id": "x"}),
        json!({"type": "subscribe", "keys": ["a"]}),
    ] {
        let mut socket = authenticated(&address, PATH, None).await;
        say(&mut socket, &first).await;
        let Message::Close(Some(frame)) = hear(&mut socket).await else {
            panic!("{first} was accepted")
        };
        assert_eq!(u16::from(frame.code), 4001);
    }
    app.close().await;
}

//! A clock that is set back or forward while runs are under way: their histories stay in order.

use chrono::{DateTime, TimeDelta, Utc};
use prefect_rs::clock::Clock;
use serde_json::{Value, json};

use crate::app::TestApp;

async fn post(app: &TestApp, path: &str, body: Value) -> Value {
    let (status, answer) = app.send("POST", path, &[], Some(&body)).await;
    assert!(status < 300, "{path}: {status} {answer:?}");
    answer.unwrap_or_default()
}

async fn get(app: &TestApp, path: &str) -> Value {
    let (status, answer) = app.send("GET", path, &[], None).await;
    assert_eq!(status, 200, "{path}");
    answer.unwrap_or_default()
}

fn id(value: &Value) -> String {
    value["id"].as_str().expect("an id").to_owned()
}

fn instant(value: &Value) -> DateTime<Utc> {
    value
        .as_str()
        .and_then(|text| text.parse().ok())
        .expect("an instant")
}

/// Takes a run through its life with a jump of the clock before each step, and returns it.
async fn life(app: &TestApp, nouns: &str, mut body: Value, jumps: [i64; 3]) -> Value {
    body["state"] = json!({"type": "PENDING"});
    let run = id(&post(app, &format!("/api/{nouns}/"), body).await);
    for (seconds, state) in jumps.iter().zip(["RUNNING", "RUNNING", "COMPLETED"]) {
        app.clock
            .set(app.clock.now() + TimeDelta::seconds(*seconds));
        let path = format!("/api/{nouns}/{run}/set_state");
        let answer = post(app, &path, json!({"state": {"type": state}})).await;
        assert_eq!(answer["status"], "ACCEPT", "{answer}");
    }
    get(app, &format!("/api/{nouns}/{run}")).await
}

#[tokio::test]
async fn a_history_stays_in_order_when_the_clock_jumps() {
    let app = TestApp::on_sqlite().await;
    app.clock.set(app.clock.now() + TimeDelta::days(10_000));
    let flow = id(&post(&app, "/api/flows/", json!({"name": "f"})).await);
    for jumps in [
        [0, 0, -3600],
        [-3600, 10, 7200],
        [86_400, -86_400, 1],
        [-1, -1, -1],
    ] {
        let flow_run = life(&app, "flow_runs", json!({"flow_id": flow}), jumps).await;
        let states = format!("/api/flow_run_states/?flow_run_id={}", id(&flow_run));
        let states = get(&app, &states).await;
        let types: Vec<&Value> = states
            .as_array()
            .expect("a list")
            .iter()
            .map(|s| &s["type"])
            .collect();
        assert_eq!(
            types,
            ["PENDING", "RUNNING", "RUNNING", "COMPLETED"],
            "{jumps:?}"
        );
        assert_eq!(flow_run["state"]["id"], states[3]["id"], "{jumps:?}");
        assert!(
            instant(&flow_run["start_time"]) <= instant(&flow_run["end_time"]),
            "{flow_run}"
        );
        assert!(
            flow_run["total_run_time"].as_f64() >= Some(0.0),
            "{flow_run}"
        );
        assert!(
            flow_run["estimated_run_time"].as_f64() >= Some(0.0),
            "{flow_run}"
        );
    }
    app.close().await;
}

#[tokio::test]
async fn a_run_that_is_due_is_given_whatever_the_clock_did_before() {
    let app = TestApp::on_sqlite().await;
    app.clock.set(app.clock.now() + TimeDelta::days(10_000));
    let flow = id(&post(&app, "/api/flows/", json!({"name": "f"})).await);
    let body = json!({"name": "d", "flow_id": flow});
    let deployment = id(&post(&app, "/api/deployments/", body).await);
    let queue = json!({"name": "q", "filter": {}});
    let queue = id(&post(&app, "/api/work_queues/", queue).await);
    let create = format!("/api/deployments/{deployment}/create_flow_run");
    let run = post(&app, &create, json!({"state": {"type": "SCHEDULED"}})).await;
    let given = async || {
        let path = format!("/api/work_queues/{queue}/get_runs");
        let due = json!({"scheduled_before": app.clock.now()});
        let runs = post(&app, &path, due).await;
        runs.as_array().expect("a list").len()
    };
    assert_eq!(given().await, 1);
    app.clock.set(app.clock.now() - TimeDelta::hours(1));
    assert_eq!(given().await, 0, "it is due in an hour again");
    app.clock.set(app.clock.now() + TimeDelta::hours(2));
    assert_eq!(given().await, 1);
    let claim = format!("/api/flow_runs/{}/set_state", id(&run));
    let claimed = post(&app, &claim, json!({"state": {"type": "PENDING"}})).await;
    assert_eq!(claimed["status"], "ACCEPT");
    assert_eq!(given().await, 0);
    app.close().await;
}

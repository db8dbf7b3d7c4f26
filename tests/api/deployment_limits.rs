//! Limits of deployments over time, which a comparison with a genuine server cannot wait for.

use chrono::TimeDelta;
use prefect_rs::server::services::{FreedSlots, LateRuns, LeaseRepossessor, Service};
use serde_json::{Value, json};

use crate::app::{BETA, THREE, TWO, TestApp};

async fn ask(
    app: &TestApp,
    headers: &[(&str, &str)],
    method: &str,
    path: &str,
    body: Value,
) -> (u16, Value) {
    let (status, answer) = app
        .send(method, &format!("/api{path}"), headers, Some(&body))
        .await;
    (status, answer.unwrap_or_default())
}

/// Makes a flow with a deployment that lets so many runs be under way at once.
async fn deployment(app: &TestApp, name: &str, limit: Value) -> String {
    let (_, flow) = ask(app, &THREE, "POST", "/flows/", json!({"name": "f"})).await;
    let mut body = json!({"name": name, "flow_id": flow["id"]});
    let members = body.as_object_mut().expect("an object");
    members.extend(limit.as_object().expect("an object").clone());
    let (status, made) = ask(app, &THREE, "POST", "/deployments/", body).await;
    assert_eq!(status, 201, "{made}");
    made["id"].as_str().expect("an id").to_owned()
}

async fn run(app: &TestApp, deployment: &str) -> String {
    let path = format!("/deployments/{deployment}/create_flow_run");
    let (status, made) = ask(app, &THREE, "POST", &path, json!({})).await;
    assert_eq!(status, 201, "{made}");
    made["id"].as_str().expect("an id").to_owned()
}

/// Proposes a state, and returns the status with the name of the state that the run has then.
async fn propose(app: &TestApp, headers: &[(&str, &str)], run: &str, to: &str) -> String {
    let path = format!("/flow_runs/{run}/set_state");
    let body = json!({"state": {"type": to}});
    let (_, answer) = ask(app, headers, "POST", &path, body).await;
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    format!(
        "{} {}",
        text(&answer["status"]),
        text(&answer["state"]["name"])
    )
}

async fn taken(app: &TestApp, limit: &str) -> i64 {
    let path = format!("/v2/concurrency_limits/{limit}");
    let (_, answer) = ask(app, &THREE, "GET", &path, Value::Null).await;
    answer["active_slots"].as_i64().expect("a number")
}

async fn pass_time(app: &TestApp, seconds: i64) {
    app.clock.advance(TimeDelta::seconds(seconds));
    LeaseRepossessor.pass(app.state()).await.expect("a pass");
}

/// Returns how many seconds from now a run is to start.
async fn starts_in(app: &TestApp, run: &str) -> i64 {
    let path = format!("/flow_runs/{run}");
    let (_, answer) = ask(app, &THREE, "GET", &path, Value::Null).await;
    let at = answer["next_scheduled_start_time"]
        .as_str()
        .expect("a run that waits");
    let at: chrono::DateTime<chrono::Utc> = at.parse().expect("an instant");
    (at - app.state().now()).num_seconds()
}

#[tokio::test]
async fn a_slot_that_becomes_free_brings_the_first_waiting_run_forward_and_no_other() {
    TestApp::on_each(async |app| {
        let id = deployment(app, "d", json!({"concurrency_limit": 1})).await;
        let running = run(app, &id).await;
        assert_eq!(
            propose(app, &THREE, &running, "PENDING").await,
            "ACCEPT Pending"
        );
        let mut waiting = Vec::new();
        for _ in 0..2 {
            app.clock.advance(TimeDelta::seconds(1));
            let waiter = run(app, &id).await;
            let told = propose(app, &THREE, &waiter, "PENDING").await;
            assert_eq!(told, "REJECT AwaitingConcurrencySlot");
            waiting.push(waiter);
        }
        FreedSlots.pass(app.state()).await.expect("a pass");
        assert_eq!(starts_in(app, &waiting[0]).await, 29);
        assert_eq!(
            propose(app, &THREE, &running, "FAILED").await,
            "ACCEPT Failed"
        );
        for _ in 0..2 {
            FreedSlots.pass(app.state()).await.expect("a pass");
            assert_eq!(starts_in(app, &waiting[0]).await, 0);
        }
        // The slot is given once, to whoever claims it first.
        assert_eq!(
            propose(app, &THREE, &waiting[0], "PENDING").await,
            "ACCEPT Pending"
        );
        FreedSlots.pass(app.state()).await.expect("a pass");
        assert_eq!(starts_in(app, &waiting[1]).await, 30);
        assert_eq!(
            propose(app, &THREE, &waiting[1], "PENDING").await,
            "REJECT AwaitingConcurrencySlot"
        );
    })
    .await;
}

#[tokio::test]
async fn a_claim_that_comes_to_nothing_gives_its_slot_back() {
    TestApp::on_each(async |app| {
        let id = deployment(app, "d", json!({"concurrency_limit": 1})).await;
        let limit = format!("deployment:{id}");
        let (first, second) = (run(app, &id).await, run(app, &id).await);
        assert_eq!(
            propose(app, &THREE, &first, "PENDING").await,
            "ACCEPT Pending"
        );
        let waits = propose(app, &THREE, &second, "PENDING").await;
        assert_eq!(waits, "REJECT AwaitingConcurrencySlot");
        pass_time(app, 301).await;
        assert_eq!(taken(app, &limit).await, 0);
        assert_eq!(
            propose(app, &THREE, &second, "PENDING").await,
            "ACCEPT Pending"
        );
        // The first one comes back to life when somebody else has its place.
        assert_eq!(
            propose(app, &THREE, &first, "RUNNING").await,
            "REJECT Cancelled"
        );
        assert_eq!(
            propose(app, &THREE, &second, "RUNNING").await,
            "ACCEPT Running"
        );
        assert_eq!(taken(app, &limit).await, 1);
        assert_eq!(
            propose(app, &THREE, &second, "COMPLETED").await,
            "ACCEPT Completed"
        );
        assert_eq!(taken(app, &limit).await, 0);
    })
    .await;
}

#[tokio::test]
async fn a_slot_that_is_still_free_is_taken_again() {
    TestApp::on_each(async |app| {
        let options = json!({"collision_strategy": "ENQUEUE", "grace_period_seconds": 60});
        let wanted = json!({"concurrency_limit": 1, "concurrency_options": options});
        let id = deployment(app, "d", wanted).await;
        let limit = format!("deployment:{id}");
        let slow = run(app, &id).await;
        propose(app, &THREE, &slow, "PENDING").await;
        pass_time(app, 59).await;
        assert_eq!(taken(app, &limit).await, 1);
        pass_time(app, 2).await;
        assert_eq!(taken(app, &limit).await, 0);
        assert_eq!(
            propose(app, &THREE, &slow, "RUNNING").await,
            "ACCEPT Running"
        );
        assert_eq!(taken(app, &limit).await, 1);
        // Whoever renews leases and stops doing so is gone.
        pass_time(app, 61).await;
        assert_eq!(taken(app, &limit).await, 0);
    })
    .await;
}

#[tokio::test]
async fn runs_of_clients_that_renew_nothing_keep_their_slots_until_they_end() {
    TestApp::on_each(async |app| {
        let id = deployment(app, "d", json!({"concurrency_limit": 1})).await;
        let limit = format!("deployment:{id}");
        for older in [&BETA, &TWO] {
            let first = run(app, &id).await;
            assert_eq!(
                propose(app, older, &first, "PENDING").await,
                "ACCEPT Pending"
            );
            assert_eq!(
                propose(app, older, &first, "RUNNING").await,
                "ACCEPT Running"
            );
            pass_time(app, 86_400).await;
            assert_eq!(taken(app, &limit).await, 1);
            let second = run(app, &id).await;
            let waits = propose(app, older, &second, "PENDING").await;
            assert_eq!(waits, "REJECT AwaitingConcurrencySlot");
            assert_eq!(
                propose(app, older, &first, "COMPLETED").await,
                "ACCEPT Completed"
            );
            assert_eq!(taken(app, &limit).await, 0);
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_late_for_a_full_limit_is_cancelled_where_new_runs_are() {
    TestApp::on_each(async |app| {
        let options = json!({"collision_strategy": "CANCEL_NEW"});
        let wanted = json!({"concurrency_limit": 1, "concurrency_options": options});
        let id = deployment(app, "d", wanted).await;
        let (first, second) = (run(app, &id).await, run(app, &id).await);
        propose(app, &THREE, &first, "PENDING").await;
        propose(app, &TWO, &first, "RUNNING").await;
        app.clock.advance(TimeDelta::seconds(60));
        LateRuns.pass(app.state()).await.expect("a pass");
        let (_, late) = ask(
            app,
            &THREE,
            "GET",
            &format!("/flow_runs/{second}"),
            Value::Null,
        )
        .await;
        assert_eq!(late["state_name"], "Cancelled");
        let reason = "Deployment concurrency limit reached.";
        assert_eq!(late["state"]["message"], reason);
    })
    .await;
}

#[tokio::test]
async fn a_shared_limit_outlives_its_deployments_and_their_own_does_not() {
    TestApp::on_each(async |app| {
        let body = json!({"name": "shared", "limit": 1});
        let (_, shared) = ask(app, &THREE, "POST", "/v2/concurrency_limits/", body).await;
        let wanted = json!({"global_concurrency_limit_id": shared["id"]});
        let one = deployment(app, "one", wanted.clone()).await;
        let two = deployment(app, "two", wanted).await;
        let (first, second) = (run(app, &one).await, run(app, &two).await);
        assert_eq!(
            propose(app, &THREE, &first, "PENDING").await,
            "ACCEPT Pending"
        );
        let waits = propose(app, &THREE, &second, "PENDING").await;
        assert_eq!(waits, "REJECT AwaitingConcurrencySlot");
        let (status, _) = ask(
            app,
            &THREE,
            "DELETE",
            &format!("/deployments/{one}"),
            Value::Null,
        )
        .await;
        assert_eq!(status, 204);
        assert_eq!(taken(app, "shared").await, 1);
        assert_eq!(
            propose(app, &THREE, &first, "CRASHED").await,
            "ACCEPT Crashed"
        );
        assert_eq!(taken(app, "shared").await, 0);

        let own = deployment(app, "own", json!({"concurrency_limit": 2})).await;
        let path = format!("/deployments/{own}");
        let change = json!({"global_concurrency_limit_id": shared["id"]});
        assert_eq!(ask(app, &THREE, "PATCH", &path, change).await.0, 204);
        let (_, shown) = ask(app, &THREE, "GET", &path, Value::Null).await;
        assert_eq!(shown["global_concurrency_limit"]["name"], "shared");
        let (status, _) = ask(
            app,
            &THREE,
            "GET",
            &format!("/v2/concurrency_limits/deployment:{own}"),
            Value::Null,
        )
        .await;
        assert_eq!(status, 404);
    })
    .await;
}

#[tokio::test]
async fn what_is_deleted_gives_back_the_slots_that_only_it_could() {
    TestApp::on_each(async |app| {
        let body = json!({"name": "shared", "limit": 9});
        let (_, shared) = ask(app, &THREE, "POST", "/v2/concurrency_limits/", body).await;
        let body = json!({"tag": "db", "concurrency_limit": 9});
        ask(app, &TWO, "POST", "/concurrency_limits/", body).await;
        let wanted = json!({"global_concurrency_limit_id": shared["id"]});
        let one = deployment(app, "one", wanted).await;
        let own = deployment(app, "own", json!({"concurrency_limit": 9})).await;
        let mut task_runs = Vec::new();
        let mut flow_runs = Vec::new();
        for _ in 0..3 {
            let begun = run(app, &one).await;
            propose(app, &BETA, &begun, "PENDING").await;
            propose(app, &BETA, &begun, "RUNNING").await;
            for key in ["a", "b"] {
                let body = json!({"flow_run_id": begun, "task_key": key, "dynamic_key": "0", "tags": ["db"]});
                let (_, made) = ask(app, &BETA, "POST", "/task_runs/", body).await;
                let task_run = made["id"].as_str().expect("an id").to_owned();
                let path = format!("/task_runs/{task_run}/set_state");
                let body = json!({"state": {"type": "RUNNING"}});
                let (_, answer) = ask(app, &BETA, "POST", &path, body).await;
                assert_eq!(answer["status"], "ACCEPT", "{answer}");
                task_runs.push(task_run);
            }
            flow_runs.push(begun);
        }
        let both = async || (taken(app, "shared").await, taken(app, "tag:db").await);
        assert_eq!(both().await, (3, 6));
        let delete = async |path: String| ask(app, &THREE, "DELETE", &path, Value::Null).await.0;
        assert_eq!(delete(format!("/task_runs/{}", task_runs[0])).await, 204);
        assert_eq!(both().await, (3, 5));
        assert_eq!(delete(format!("/flow_runs/{}", flow_runs[1])).await, 204);
        assert_eq!(both().await, (2, 3));
        let (_, flow) = ask(app, &THREE, "GET", "/flows/name/f", Value::Null).await;
        let flow = flow["id"].as_str().expect("an id");
        assert_eq!(delete(format!("/flows/{flow}")).await, 204);
        assert_eq!(both().await, (0, 0));
        // The limit of a deployment goes with it.
        let path = format!("/v2/concurrency_limits/deployment:{own}");
        assert_eq!(ask(app, &THREE, "GET", &path, Value::Null).await.0, 404);
    })
    .await;
}

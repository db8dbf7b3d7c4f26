//! Slots of concurrency limits: one store behind two doors, leases, and rates.

use chrono::TimeDelta;
use prefect_rs::server::services::{LeaseRepossessor, Service};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::app::{BETA, THREE, TWO, TestApp};

async fn post(app: &TestApp, headers: &[(&str, &str)], path: &str, body: Value) -> (u16, Value) {
    let (status, answer) = app
        .send("POST", &format!("/api{path}"), headers, Some(&body))
        .await;
    (status, answer.unwrap_or_default())
}

async fn taken(app: &TestApp, name: &str) -> Value {
    let path = format!("/api/v2/concurrency_limits/{name}");
    let (_, answer) = app.send("GET", &path, &THREE, None).await;
    answer.expect("a limit")["active_slots"].clone()
}

/// Takes a slot by a lease and returns the status with the lease.
async fn lease(app: &TestApp, name: &str, holder: Option<Uuid>) -> (u16, Value) {
    let holder = holder.map(|id| json!({"type": "task_run", "id": id}));
    let body = json!({"names": [name], "slots": 1, "lease_duration": 60, "holder": holder});
    post(
        app,
        &THREE,
        "/v2/concurrency_limits/increment-with-lease",
        body,
    )
    .await
}

#[tokio::test]
async fn task_runs_of_each_generation_share_the_limit_of_a_tag() {
    TestApp::on_each(async |app| {
        let limit = json!({"tag": "db", "concurrency_limit": 1});
        let (status, _) = post(app, &BETA, "/concurrency_limits/", limit).await;
        assert_eq!(status, 200);
        let flow = json!({"name": "f"});
        let (_, flow) = post(app, &BETA, "/flows/", flow).await;
        let run = json!({"flow_id": flow["id"], "state": {"type": "RUNNING"}});
        let (_, run) = post(app, &BETA, "/flow_runs/", run).await;
        let task =
            json!({"flow_run_id": run["id"], "task_key": "t", "dynamic_key": "0", "tags": ["db"]});
        let (_, task) = post(app, &BETA, "/task_runs/", task).await;
        let set = format!(
            "/task_runs/{}/set_state",
            task["id"].as_str().expect("an id")
        );
        let running = json!({"state": {"type": "RUNNING"}});

        // A task of 3.x is at work, so that of 2.0b3 waits.
        let newer = Uuid::new_v4();
        let (status, held) = lease(app, "tag:db", Some(newer)).await;
        assert_eq!(status, 200, "{held}");
        let (_, answer) = post(app, &BETA, &set, running.clone()).await;
        assert_eq!(answer["status"], "WAIT");
        let (_, listed) = post(app, &BETA, "/concurrency_limits/filter", json!({})).await;
        assert_eq!(listed[0]["active_slots"], json!([newer]));

        let end = json!({"lease_id": held["lease_id"]});
        post(
            app,
            &THREE,
            "/v2/concurrency_limits/decrement-with-lease",
            end.clone(),
        )
        .await;
        let (_, answer) = post(app, &BETA, &set, running).await;
        assert_eq!(answer["status"], "ACCEPT");
        // What was given back once is not given back again.
        post(
            app,
            &THREE,
            "/v2/concurrency_limits/decrement-with-lease",
            end,
        )
        .await;
        let (status, _) = lease(app, "tag:db", Some(newer)).await;
        assert_eq!(status, 423);

        post(app, &BETA, &set, json!({"state": {"type": "COMPLETED"}})).await;
        let (status, _) = lease(app, "tag:db", Some(newer)).await;
        assert_eq!(status, 200);
        assert_eq!(taken(app, "tag:db").await, 1);
    })
    .await;
}

#[tokio::test]
async fn a_lease_that_runs_out_gives_its_slots_back_once_and_a_renewed_one_keeps_them() {
    TestApp::on_each(async |app| {
        let limit = json!({"name": "gpu", "limit": 2});
        post(app, &THREE, "/v2/concurrency_limits/", limit).await;
        let (_, lost) = lease(app, "gpu", None).await;
        let (_, kept) = lease(app, "gpu", None).await;
        app.clock.advance(TimeDelta::seconds(50));
        let path = |lease: &Value| {
            let id = lease["lease_id"].as_str().expect("an id").to_owned();
            format!("/v2/concurrency_limits/leases/{id}/renew")
        };
        let (status, _) = post(app, &THREE, &path(&kept), json!({"lease_duration": 60})).await;
        assert_eq!(status, 204);
        app.clock.advance(TimeDelta::seconds(11));
        for _ in 0..2 {
            let next = LeaseRepossessor.pass(app.state()).await.expect("a pass");
            assert_eq!(next, Some(app.state().now() + TimeDelta::seconds(49)));
            assert_eq!(taken(app, "gpu").await, 1);
        }
        let (status, answer) = post(app, &THREE, &path(&lost), json!({})).await;
        assert_eq!(status, 410, "{answer}");
        let (status, _) = post(app, &THREE, &path(&kept), json!({})).await;
        assert_eq!(status, 204);
    })
    .await;
}

#[tokio::test]
async fn a_rate_lets_through_as_many_as_decay() {
    TestApp::on_each(async |app| {
        let limit = json!({"name": "api", "limit": 2, "slot_decay_per_second": 0.5});
        post(app, &THREE, "/v2/concurrency_limits/", limit).await;
        let one = json!({"names": ["api"], "slots": 1, "mode": "rate_limit"});
        let mut let_through = 0;
        // Somebody asks each tenth of a second for a minute.
        for _ in 0..600 {
            let (status, _) =
                post(app, &THREE, "/v2/concurrency_limits/increment", one.clone()).await;
            let_through += u32::from(status == 200);
            app.clock.advance(TimeDelta::milliseconds(100));
        }
        assert!((31..=32).contains(&let_through), "{let_through}");
    })
    .await;
}

#[tokio::test]
async fn only_2_20_gets_limits_that_are_missing() {
    TestApp::on_each(async |app| {
        let one = json!({"names": ["new"], "slots": 1});
        let path = "/v2/concurrency_limits/increment";
        let (_, answer) = post(app, &THREE, path, one.clone()).await;
        assert_eq!(answer, json!([]));
        let (_, answer) = post(app, &TWO, path, one).await;
        assert_eq!(answer[0]["name"], "new");
        let (_, listed) = post(app, &TWO, "/v2/concurrency_limits/filter", json!({})).await;
        assert_eq!(
            (&listed[0]["active"], &listed[0]["limit"]),
            (&json!(false), &json!(1))
        );
        let not = json!({"names": ["other"], "slots": 1, "create_if_missing": false});
        assert_eq!(post(app, &TWO, path, not).await.1, json!([]));
    })
    .await;
}

//! Deployments of newer clients, the pools that their runs wait in, and who asks for them.

use chrono::TimeDelta;
use prefect_rs::clock::Clock;
use serde_json::{Value, json};

use crate::app::{BETA, THREE, TWO, TestApp};

async fn post(app: &TestApp, path: &str, body: &Value) -> Value {
    let (status, answer) = app.send("POST", path, &[], Some(body)).await;
    assert!(status < 300, "{path}: {status} {answer:?}");
    answer.unwrap_or_default()
}

fn id(value: &Value) -> String {
    value["id"].as_str().expect("an id").to_owned()
}

/// A pool `shed` with the queues `default` and `urgent` (before it), and a flow.
async fn shed(app: &TestApp) -> String {
    let pool = json!({"name": "shed", "type": "process", "base_job_template": {}});
    let pool = post(app, "/api/work_pools/", &pool).await;
    assert_eq!(pool["status"], "NOT_READY", "{pool}");
    assert!(pool["default_queue_id"].is_string(), "{pool}");
    let queue = json!({"name": "urgent", "priority": 1});
    post(app, "/api/work_pools/shed/queues", &queue).await;
    id(&post(app, "/api/flows/", &json!({"name": "etl"})).await)
}

async fn deploy(app: &TestApp, body: Value) -> Value {
    post(app, "/api/deployments/", &body).await
}

async fn run_of(app: &TestApp, deployment: &Value, body: Value) -> Value {
    let path = format!("/api/deployments/{}/create_flow_run", id(deployment));
    post(app, &path, &body).await
}

/// Returns the names of the queues whose runs a pool gives, in order.
async fn given(app: &TestApp, body: Value) -> Vec<String> {
    let path = "/api/work_pools/shed/get_scheduled_flow_runs";
    let runs = post(app, path, &body).await;
    let queue = |run: &Value| {
        run["flow_run"]["work_queue_name"]
            .as_str()
            .map(str::to_owned)
    };
    runs.as_array()
        .expect("a list")
        .iter()
        .filter_map(queue)
        .collect()
}

async fn a_pool_gives_runs_in_order_and_within_limits(app: &TestApp) {
    let flow = shed(app).await;
    let slow = json!({"name": "slow", "flow_id": flow, "work_pool_name": "shed"});
    let slow = deploy(app, slow).await;
    assert_eq!(slow["work_queue_name"], "default");
    let fast = json!({"name": "fast", "flow_id": flow, "work_pool_name": "shed", "work_queue_name": "urgent"});
    let fast = deploy(app, fast).await;
    let run = run_of(app, &slow, json!({})).await;
    assert_eq!(run["work_pool_name"], "shed", "{run}");
    run_of(app, &fast, json!({})).await;
    let far = json!({"state": {"type": "SCHEDULED", "state_details": {"scheduled_time": "2099-01-01T00:00:00Z"}}});
    let far = run_of(app, &slow, far).await;
    // Who names no end sees what is to come, which a preview shows.
    assert_eq!(
        given(app, json!({})).await,
        ["urgent", "default", "default"]
    );
    let path = format!("/api/flow_runs/{}", id(&far));
    assert_eq!(app.send("DELETE", &path, &[], None).await.0, 204);
    assert_eq!(given(app, json!({})).await, ["urgent", "default"]);
    assert_eq!(given(app, json!({"limit": 1})).await, ["urgent"]);
    let only = json!({"work_queue_names": ["default"]});
    assert_eq!(given(app, only).await, ["default"]);
    let unknown = json!({"work_queue_names": ["nowhere"]});
    let path = "/api/work_pools/shed/get_scheduled_flow_runs";
    assert_eq!(app.send("POST", path, &[], Some(&unknown)).await.0, 404);

    let pool = "/api/work_pools/shed";
    let limit = json!({"concurrency_limit": 1});
    assert_eq!(app.send("PATCH", pool, &[], Some(&limit)).await.0, 204);
    assert_eq!(given(app, json!({})).await, ["urgent"]);
    let pending = json!({"state": {"type": "PENDING"}});
    let claim = format!("/api/flow_runs/{}/set_state", id(&run));
    post(app, &claim, &pending).await;
    assert!(given(app, json!({})).await.is_empty(), "the pool is full");
    let pause = json!({"is_paused": true, "concurrency_limit": null});
    assert_eq!(app.send("PATCH", pool, &[], Some(&pause)).await.0, 204);
    assert!(given(app, json!({})).await.is_empty(), "the pool is paused");
}

async fn who_looks_at_what_comes_serves_nobody(app: &TestApp) {
    shed(app).await;
    let tagged = json!({"name": "tagged", "filter": {"tags": ["ETL"]}});
    let tagged = id(&post(app, "/api/work_queues/", &tagged).await);
    for (queue, asked) in [
        (
            "/api/work_pools/shed/queues/urgent".to_owned(),
            "/api/work_pools/shed/get_scheduled_flow_runs".to_owned(),
        ),
        (
            format!("/api/work_queues/{tagged}"),
            format!("/api/work_queues/{tagged}/get_runs"),
        ),
    ] {
        let polled = async || {
            let (status, queue) = app.send("GET", &queue, &[], None).await;
            assert_eq!(status, 200);
            queue.expect("a queue")["last_polled"].is_string()
        };
        let ahead =
            |minutes| json!({"scheduled_before": app.clock.now() + TimeDelta::minutes(minutes)});
        for preview in [json!({}), ahead(60)] {
            post(app, &asked, &preview).await;
            assert!(!polled().await, "{asked} {preview}");
        }
        post(app, &asked, &ahead(1)).await;
        assert!(polled().await, "{asked}");
    }
}

async fn a_pool_is_ready_while_a_worker_is_heard(app: &TestApp) {
    shed(app).await;
    let heartbeat = json!({"name": "w1", "heartbeat_interval_seconds": 10.0});
    let path = "/api/work_pools/shed/workers/heartbeat";
    assert_eq!(app.send("POST", path, &[], Some(&heartbeat)).await.0, 204);
    let status = async || {
        let pool = app.send("GET", "/api/work_pools/shed", &[], None).await.1;
        let workers = post(app, "/api/work_pools/shed/workers/filter", &json!({})).await;
        let pool = pool.expect("a pool")["status"].clone();
        (pool, workers[0]["status"].clone())
    };
    assert_eq!(status().await, (json!("READY"), json!("ONLINE")));
    app.clock.advance(TimeDelta::seconds(31));
    assert_eq!(status().await, (json!("NOT_READY"), json!("OFFLINE")));
    let worker = "/api/work_pools/shed/workers/w1";
    assert_eq!(app.send("DELETE", worker, &[], None).await.0, 204);
    assert_eq!(app.send("DELETE", worker, &[], None).await.0, 404);
}

async fn each_generation_sees_schedules_in_its_words(app: &TestApp) {
    let flow = shed(app).await;
    let body = json!({
        "name": "nightly", "flow_id": flow, "version": "1", "description": "at night",
        "schedules": [
            {"schedule": {"cron": "0 1 * * *"}, "slug": "one"},
            {"schedule": {"cron": "0 2 * * *"}, "slug": "two", "parameters": {"n": 2}},
        ],
    });
    let made = deploy(app, body).await;
    assert_eq!(
        made["schedules"].as_array().map(Vec::len),
        Some(2),
        "{made}"
    );
    let path = format!("/api/deployments/{}", id(&made));
    let seen = app
        .send("GET", &path, &BETA, None)
        .await
        .1
        .expect("a deployment");
    assert_eq!(seen["is_schedule_active"], true, "{seen}");
    assert!(seen["schedule"]["cron"].is_string(), "{seen}");
    assert!(seen.get("schedules").is_none(), "{seen}");
    let seen = app
        .send("GET", &path, &TWO, None)
        .await
        .1
        .expect("a deployment");
    assert_eq!(seen["infra_overrides"], json!({}), "{seen}");

    // What is not said stays; what is null goes.
    let update = json!({"description": null, "tags": ["night"]});
    assert_eq!(app.send("PATCH", &path, &[], Some(&update)).await.0, 204);
    let seen = app
        .send("GET", &path, &[], None)
        .await
        .1
        .expect("a deployment");
    assert_eq!(
        (&seen["description"], &seen["version"]),
        (&json!(null), &json!("1"))
    );
    assert_eq!(
        seen["schedules"].as_array().map(Vec::len),
        Some(2),
        "{seen}"
    );

    let first = id(&made["schedules"][0]);
    let one = format!("{path}/schedules/{first}");
    let inactive = json!({"active": false});
    assert_eq!(app.send("PATCH", &one, &[], Some(&inactive)).await.0, 204);
    assert_eq!(app.send("DELETE", &one, &[], None).await.0, 204);
    assert_eq!(app.send("DELETE", &one, &[], None).await.0, 404);
    let pause = format!("{path}/pause_deployment");
    assert_eq!(app.send("POST", &pause, &[], None).await.0, 200);
    let seen = app
        .send("GET", &path, &[], None)
        .await
        .1
        .expect("a deployment");
    assert_eq!(seen["paused"], true);
    assert_eq!(
        seen["schedules"].as_array().map(Vec::len),
        Some(1),
        "{seen}"
    );
}

async fn a_served_deployment_gives_its_runs_itself(app: &TestApp) {
    let flow = shed(app).await;
    let served = deploy(
        app,
        json!({"name": "served", "flow_id": flow, "parameters": {"n": 1}}),
    )
    .await;
    assert_eq!(served["status"], "NOT_READY");
    let run = run_of(app, &served, json!({"parameters": {"m": 2}})).await;
    assert_eq!(run["parameters"], json!({"n": 1, "m": 2}));
    let ask = json!({"deployment_ids": [served["id"]]});
    let path = "/api/deployments/get_scheduled_flow_runs";
    let due = post(app, path, &ask).await;
    assert_eq!(due[0]["id"], run["id"], "{due}");
    assert!(
        given(app, json!({})).await.is_empty(),
        "it waits in no pool"
    );
    let path = format!("/api/deployments/{}", id(&served));
    let seen = app
        .send("GET", &path, &[], None)
        .await
        .1
        .expect("a deployment");
    assert_eq!(seen["status"], "READY");
    let elsewhere = json!({"name": "x", "flow_id": flow, "work_pool_name": "nowhere"});
    let refused = app
        .send("POST", "/api/deployments/", &[], Some(&elsewhere))
        .await;
    assert_eq!(refused.0, 404, "{refused:?}");
}

/// An agent runs what it is given as a process of its own machine, which a pool's type may rule out
/// and which lacks the files of a program that serves.
async fn a_queue_with_a_filter_leaves_runs_of_pools_and_programs_to_them(app: &TestApp) {
    let flow = shed(app).await;
    let queue = json!({"name": "all", "filter": {}, "concurrency_limit": 2});
    let queue = id(&post(app, "/api/work_queues/", &queue).await);
    let taken_by = async |headers: &[(&str, &str)]| {
        let path = format!("/api/work_queues/{queue}/get_runs");
        let runs = app.send("POST", &path, headers, Some(&json!({}))).await.1;
        let runs = runs.expect("runs");
        let name = |run: &Value| run["name"].as_str().map(str::to_owned);
        let runs = runs.as_array().expect("a list").iter();
        runs.filter_map(name).collect::<Vec<_>>()
    };
    let taken = async || taken_by(&[]).await;
    let deployed = async |body: Value, name: &str| {
        let deployment = deploy(app, body).await;
        let run = run_of(app, &deployment, json!({"name": name})).await;
        (id(&deployment), id(&run))
    };
    let pool = json!({"name": "pooled", "flow_id": flow, "work_pool_name": "shed"});
    let (_, pooled) = deployed(pool, "pooled").await;
    let agents = json!({"name": "named", "flow_id": flow, "work_pool_name": "default-agent-pool", "entrypoint": "f.py:f"});
    deployed(agents, "named").await;
    let served = json!({"name": "served", "flow_id": flow});
    let (served, _) = deployed(served, "served").await;
    let path = "/api/deployments/get_scheduled_flow_runs";
    post(app, path, &json!({"deployment_ids": [served]})).await;
    let old =
        json!({"name": "old", "flow_id": flow, "flow_data": {"encoding": "file", "blob": "{}"}});
    deployed(old, "old").await;
    assert_eq!(taken().await, ["named", "old"]);
    // Each generation finds code in a way of its own.
    let first = [("x-prefect-api-version", "0.3.1")];
    assert_eq!(taken_by(&first).await, ["old"]);
    let second = [("user-agent", "prefect/2.20.26 (API 0.8.4)")];
    assert_eq!(taken_by(&second).await, ["named"]);

    // What a pool's worker runs takes none of the queue's slots either.
    let path = format!("/api/flow_runs/{pooled}/set_state");
    post(app, &path, &json!({"state": {"type": "RUNNING"}})).await;
    assert_eq!(taken().await, ["named", "old"]);
    let path = format!("/api/ui/deployments/{served}");
    let page = app.send("GET", &path, &[], None).await.1.expect("a page");
    assert_eq!(page["queues"], json!([]), "{page}");
}

/// Who has a run and tries it again keeps it; what somebody retries after its end is for whoever asks first.
async fn a_retried_run_is_given_again_and_one_that_tries_again_is_not(app: &TestApp) {
    let flow = shed(app).await;
    let pooled = json!({"name": "pooled", "flow_id": flow, "work_pool_name": "shed"});
    let pooled = deploy(app, pooled).await;
    let tagged =
        json!({"name": "tagged", "flow_id": flow, "flow_data": {"encoding": "file", "blob": "{}"}});
    let tagged = deploy(app, tagged).await;
    let queue = json!({"name": "all", "filter": {}});
    let queue = id(&post(app, "/api/work_queues/", &queue).await);
    let given_by_queue = async || {
        let path = format!("/api/work_queues/{queue}/get_runs");
        let runs = post(app, &path, &json!({})).await;
        runs.as_array().expect("a list").len()
    };
    let again = json!({"type": "SCHEDULED", "name": "AwaitingRetry"});
    for deployment in [&pooled, &tagged] {
        let policy = json!({"empirical_policy": {"retries": 1, "retry_delay": 0}});
        let run = id(&run_of(app, deployment, json!({})).await);
        let path = format!("/api/flow_runs/{run}");
        assert_eq!(app.send("PATCH", &path, &[], Some(&policy)).await.0, 204);
        let is_given = async || match deployment == &pooled {
            true => given(app, json!({})).await.len(),
            false => given_by_queue().await,
        };
        let set = async |state: Value| {
            let path = format!("/api/flow_runs/{run}/set_state");
            let answer = post(app, &path, &json!({"state": state})).await;
            answer["state"]["name"].as_str().map(str::to_owned)
        };
        assert_eq!(is_given().await, 1);
        for state in ["PENDING", "RUNNING"] {
            set(json!({"type": state})).await;
        }
        let retrying = set(json!({"type": "FAILED"})).await;
        assert_eq!(retrying.as_deref(), Some("AwaitingRetry"));
        assert_eq!(is_given().await, 0, "its process has it");
        for state in ["RUNNING", "FAILED"] {
            set(json!({"type": state})).await;
        }
        assert_eq!(set(again.clone()).await.as_deref(), Some("AwaitingRetry"));
        assert_eq!(is_given().await, 1, "somebody wants it again");
        assert_eq!(
            set(json!({"type": "PENDING"})).await.as_deref(),
            Some("Pending")
        );
        set(json!({"type": "RUNNING"})).await;
        set(json!({"type": "COMPLETED"})).await;
        assert_eq!(set(again.clone()).await.as_deref(), Some("AwaitingRetry"));
        assert_eq!(is_given().await, 1, "also after it has completed");
    }
}

/// Makes a test of each story on each database.
macro_rules! on_both {
    ($($story:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test]
            async fn $story() {
                super::$story(&super::TestApp::on_sqlite().await).await;
            })*
        }
        mod on_postgres {
            $(#[tokio::test]
            async fn $story() {
                if let Some(app) = super::TestApp::on_postgres().await {
                    super::$story(&app).await;
                }
            })*
        }
    };
}

async fn queues_have_places_and_a_pool_keeps_its_own(app: &TestApp) {
    let places = async |app: &TestApp| {
        let path = "/api/work_pools/shed/queues/filter";
        let queues = post(app, path, &json!({})).await;
        let place = |queue: &Value| {
            let name = queue["name"].as_str().expect("a name");
            format!("{} {name}", queue["priority"])
        };
        let queues = queues.as_array().expect("a list").iter();
        queues.map(place).collect::<Vec<_>>()
    };
    shed(app).await;
    let path = "/api/work_pools/shed/queues";
    for queue in [
        json!({"name": "far", "priority": 7}),
        json!({"name": "gap"}),
    ] {
        post(app, path, &queue).await;
    }
    let before = ["1 urgent", "2 default", "3 gap", "7 far"];
    assert_eq!(places(app).await, before);
    // What stands behind a gap need not move.
    post(app, path, &json!({"name": "first", "priority": 1})).await;
    let after = ["1 first", "2 urgent", "3 default", "4 gap", "7 far"];
    assert_eq!(places(app).await, after);
    let move_up = Some(json!({"priority": 2}));
    let path = "/api/work_pools/shed/queues/default";
    let moved = app.send("PATCH", path, &[], move_up.as_ref()).await;
    assert_eq!(moved.0, 204);
    let after = ["1 first", "2 default", "3 urgent", "4 gap", "7 far"];
    assert_eq!(places(app).await, after);
    let (status, why) = app.send("DELETE", path, &[], None).await;
    assert_eq!(status, 409, "{why:?}");
    assert_eq!(places(app).await, after);
    // A queue that a deployment names beside no pool goes before all others of agents.
    let flow = id(&post(app, "/api/flows/", &json!({"name": "agents"})).await);
    for (queue, pool) in [("a", None), ("b", Some("default-agent-pool")), ("c", None)] {
        let body = json!({"name": queue, "flow_id": flow, "work_queue_name": queue, "work_pool_name": pool});
        deploy(app, body).await;
    }
    let queues = post(
        app,
        "/api/work_pools/default-agent-pool/queues/filter",
        &json!({}),
    )
    .await;
    let names: Vec<&Value> = queues
        .as_array()
        .expect("a list")
        .iter()
        .map(|queue| &queue["name"])
        .collect();
    assert_eq!(names, ["c", "a", "default", "b"]);
}

on_both!(
    queues_have_places_and_a_pool_keeps_its_own,
    a_pool_gives_runs_in_order_and_within_limits,
    a_pool_is_ready_while_a_worker_is_heard,
    each_generation_sees_schedules_in_its_words,
    who_looks_at_what_comes_serves_nobody,
    a_served_deployment_gives_its_runs_itself,
    a_queue_with_a_filter_leaves_runs_of_pools_and_programs_to_them,
    a_retried_run_is_given_again_and_one_that_tries_again_is_not,
);

#[tokio::test]
async fn to_2_0b3_a_queue_named_default_is_like_any_other() {
    let app = TestApp::on_sqlite().await;
    let beta = [("x-prefect-api-version", "0.3.0")];
    let create = async |name: &str| {
        let body = json!({"name": name, "filter": {"tags": ["etl"]}});
        app.send("POST", "/api/work_queues/", &beta, Some(&body))
            .await
    };
    // The first queue of all makes the pool that such queues are in, and the pool has one.
    assert_eq!(create("other").await.0, 201);
    let by_name = "/api/work_queues/name/default";
    assert_eq!(app.send("GET", by_name, &beta, None).await.0, 404);
    let (status, queue) = create("default").await;
    let queue = queue.expect("a queue");
    assert_eq!((status, &queue["filter"]["tags"]), (201, &json!(["etl"])));
    assert_eq!(create("default").await.0, 409);
    let (_, found) = app.send("GET", by_name, &beta, None).await;
    assert_eq!(found.expect("a queue")["id"], queue["id"]);
    let all = Some(json!({}));
    let (_, all) = app
        .send("POST", "/api/work_queues/filter", &beta, all.as_ref())
        .await;
    let names = all.expect("a list");
    let names: Vec<&Value> = names
        .as_array()
        .expect("a list")
        .iter()
        .map(|q| &q["name"])
        .collect();
    assert_eq!(names, [&json!("default"), &json!("other")]);
    // To be rid of it leaves the pool its own.
    let path = format!("/api/work_queues/{}", id(&queue));
    assert_eq!(app.send("DELETE", &path, &beta, None).await.0, 204);
    assert_eq!(app.send("GET", by_name, &beta, None).await.0, 404);
    assert_eq!(create("default").await.0, 201);
    app.close().await;
}

#[tokio::test]
async fn new_schedules_of_one_slug_are_refused_by_its_name() {
    let app = TestApp::on_sqlite().await;
    let flow = id(&post(&app, "/api/flows/", &json!({"name": "f"})).await);
    let schedule = |slug: &str| json!({"schedule": {"interval": 60}, "slug": slug});
    let body = json!({"name": "d", "flow_id": flow, "schedules": [schedule("a")]});
    let path = format!("/api/deployments/{}", id(&deploy(&app, body).await));
    let twice = json!({"schedules": [schedule("x"), schedule("x")]});
    let (status, refusal) = app.send("PATCH", &path, &THREE, Some(&twice)).await;
    assert_eq!(status, 409);
    assert!(
        refusal.expect("a reason")["detail"]
            .to_string()
            .contains("'x'")
    );
    app.close().await;
}

/// `prefect deployment run` of 2.20 looks for each parameter in the schema, and for a schema without asking.
#[tokio::test]
async fn a_deployment_of_2_0b3_has_a_schema_for_2_20() {
    let app = TestApp::on_sqlite().await;
    let flow = id(&post(&app, "/api/flows/", &json!({"name": "old"})).await);
    let old = json!({
        "name": "old", "flow_id": flow, "parameters": {"url": "x"},
        "flow_data": {"encoding": "file", "blob": "{}"},
    });
    let (_, old) = app
        .send("POST", "/api/deployments/", &BETA, Some(&old))
        .await;
    let path = format!("/api/deployments/{}", id(&old.expect("a deployment")));
    let schema = async |dialect: &[(&str, &str)]| {
        let (_, seen) = app.send("GET", &path, dialect, None).await;
        seen.expect("a deployment")["parameter_openapi_schema"].clone()
    };
    let named =
        json!({"title": "Parameters", "type": "object", "properties": {"url": {"title": "url"}}});
    assert_eq!(schema(&TWO).await, named);
    // Newer ones see that nothing is known, and take it for that.
    assert_eq!(schema(&THREE).await, json!(null));
    app.close().await;
}

#[tokio::test]
async fn a_claim_whose_answer_was_lost_may_be_repeated() {
    let app = TestApp::on_sqlite().await;
    let flow = post(&app, "/api/flows/", &json!({"name": "f"})).await;
    let body = json!({"name": "d", "flow_id": flow["id"]});
    let deployment = post(&app, "/api/deployments/", &body).await;
    let path = format!("/api/deployments/{}/create_flow_run", id(&deployment));
    let run = post(&app, &path, &json!({})).await;
    let path = format!("/api/flow_runs/{}/set_state", id(&run));
    let claim = async |transition: &str| {
        let details = json!({"transition_id": transition});
        let body = json!({"state": {"type": "PENDING", "state_details": details}});
        post(&app, &path, &body).await
    };
    let first = claim("00000000-0000-0000-0000-000000000001").await;
    let again = claim("00000000-0000-0000-0000-000000000001").await;
    let other = claim("00000000-0000-0000-0000-000000000002").await;
    assert_eq!(first["status"], "ACCEPT");
    assert_eq!(again["status"], "REJECT");
    assert_eq!(again["state"]["id"], first["state"]["id"]);
    assert_eq!(other["status"], "ABORT");
    app.close().await;
}

#[tokio::test]
async fn a_claim_through_a_queue_keeps_its_limit() {
    let app = TestApp::on_sqlite().await;
    let send = async |method: &str, path: &str, body: Value| {
        let (status, answer) = app.send(method, path, &[], Some(&body)).await;
        assert!(status < 300, "{path}: {status} {answer:?}");
        answer.unwrap_or_default()
    };
    let flow = send("POST", "/api/flows/", json!({"name": "f"})).await;
    let body = json!({"name": "d", "flow_id": flow["id"]});
    let deployment = send("POST", "/api/deployments/", body).await;
    let body = json!({"name": "q", "filter": {}, "concurrency_limit": 1});
    let queue = send("POST", "/api/work_queues/", body).await;
    let text = |value: &Value| value["id"].as_str().expect("an id").to_owned();
    let create = format!("/api/deployments/{}/create_flow_run", text(&deployment));
    let first = text(&send("POST", &create, json!({})).await);
    let second = text(&send("POST", &create, json!({})).await);
    // Both agents were given a run while the slot was free.
    let claim = async |run: &str| {
        let path = format!(
            "/api/flow_runs/{run}/set_state?work_queue_id={}",
            text(&queue)
        );
        let pending = json!({"state": {"type": "PENDING"}});
        send("POST", &path, pending).await["status"].clone()
    };
    assert_eq!(claim(&first).await, "ACCEPT");
    assert_eq!(claim(&second).await, "ABORT");
    let path = format!("/api/flow_runs/{first}/set_state");
    send("POST", &path, json!({"state": {"type": "RUNNING"}})).await;
    assert_eq!(claim(&second).await, "ABORT");
    send("POST", &path, json!({"state": {"type": "COMPLETED"}})).await;
    let path = format!("/api/work_queues/{}", text(&queue));
    send("PATCH", &path, json!({"is_paused": true})).await;
    assert_eq!(claim(&second).await, "ABORT");
    send("PATCH", &path, json!({"is_paused": false})).await;
    assert_eq!(claim(&second).await, "ACCEPT");
    app.close().await;
}

#[tokio::test]
async fn queues_are_found_by_how_their_names_begin() {
    TestApp::on_each(async |app| {
        app.make(
            "/api/work_pools/",
            json!({"name": "bay", "type": "process"}),
        )
        .await;
        for name in ["Nightly", "hourly"] {
            app.make("/api/work_pools/bay/queues", json!({"name": name}))
                .await;
        }
        let filter = json!({"work_queues": {"name": {"startswith_": ["night", "x"]}}});
        for path in [
            "/api/work_queues/filter",
            "/api/work_pools/bay/queues/filter",
        ] {
            let (_, found) = app.ask("POST", path, filter.clone()).await;
            let names: Vec<_> = found.as_array().expect("a list").iter().collect();
            assert_eq!(names.len(), 1, "{found}");
            assert_eq!(names[0]["name"], "Nightly");
        }
    })
    .await;
}

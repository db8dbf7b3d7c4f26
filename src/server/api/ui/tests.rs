//! Every page of a small database, asked through the router.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use chrono::{TimeZone, Utc};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::clock::MockClock;
use crate::db::{Db, query};
use crate::server::changes::Kind;
use crate::server::router;
use crate::settings::{DatabaseUrl, Settings, Synchronous};

const FLOW: &str = "00000000-0000-0000-0000-0000000000f1";
const DEPLOYMENT: &str = "00000000-0000-0000-0000-0000000000d1";
const DONE: &str = "00000000-0000-0000-0000-000000000001";
const LATE: &str = "00000000-0000-0000-0000-000000000002";
const TASK: &str = "00000000-0000-0000-0000-000000000011";
const QUEUE: &str = "00000000-0000-0000-0000-0000000000aa";

struct App {
    router: axum::Router,
    changes: Changes,
    _home: tempfile::TempDir,
}

impl App {
    async fn new() -> Self {
        Self::with(&[]).await
    }

    /// An app whose database has more in it.
    async fn with(more: &[&'static str]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let url = DatabaseUrl::Sqlite(home.path().join("orion.db"));
        let db = Db::open(&url, Synchronous::Normal).await.unwrap();
        seed(&db).await;
        for statement in more.iter().copied() {
            db.write(async move |conn| query(statement).execute(conn).await)
                .await
                .unwrap();
        }
        let now = Utc.with_ymd_and_hms(2026, 11, 23, 12, 0, 0).unwrap();
        let settings = Settings::default_for(home.path());
        let state = AppState::new(db, Arc::new(MockClock::at(now)), settings);
        Self {
            changes: state.changes.clone(),
            router: router(state),
            _home: home,
        }
    }

    async fn ask(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let request = Request::builder().method(method).uri(format!("/api{path}"));
        let response = self
            .router
            .clone()
            .oneshot(request.body(Body::from(body)).unwrap());
        let response = response.await.unwrap();
        let status = response.status().as_u16();
        let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (
            status,
            serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        )
    }

    async fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask("GET", path, Value::Null).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let (status, body) = self.ask("POST", path, body).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }
}

/// One flow, its deployment, a run that is done with a task and a log, and one that is late.
async fn seed(db: &Db) {
    let at = "2026-11-23 11:00:00.000000";
    let statements = [
        format!(
            "INSERT INTO flow (id, created, updated, name, tags) VALUES ('{FLOW}', '{at}', '{at}', 'etl', '[\"a\"]')"
        ),
        format!(
            "INSERT INTO deployment (id, created, updated, name, flow_id, is_schedule_active, tags) \
             VALUES ('{DEPLOYMENT}', '{at}', '{at}', 'prod', '{FLOW}', 1, '[\"ETL\"]')"
        ),
        format!(
            "INSERT INTO deployment_schedule (id, created, updated, deployment_id, schedule) \
             VALUES ('{DEPLOYMENT}', '{at}', '{at}', '{DEPLOYMENT}', '{{\"interval\": 3600.0}}')"
        ),
        run(DONE, "quiet-heron", "COMPLETED", "Completed", Some(at)),
        run(LATE, "amber-lynx", "SCHEDULED", "Late", None),
        format!(
            "INSERT INTO flow_run_state (id, created, updated, flow_run_id, type, name, timestamp, message) VALUES \
             ('{DONE}', '{at}', '{at}', '{DONE}', 'COMPLETED', 'Completed', '{at}', 'All states completed.')"
        ),
        format!(
            "INSERT INTO task_run (id, created, updated, name, flow_run_id, task_key, dynamic_key, state_type, state_name, expected_start_time, start_time) \
             VALUES ('{TASK}', '{at}', '{at}', 'call-0', '{DONE}', 'call', '0', 'FAILED', 'Failed', '{at}', '{at}')"
        ),
        format!(
            "INSERT INTO task_run (id, created, updated, name, flow_run_id, task_key, dynamic_key, state_type, state_name, expected_start_time, task_inputs) \
             VALUES ('{QUEUE}', '{at}', '{at}', 'write-0', '{DONE}', 'write', '0', 'PENDING', 'Pending', '{at}', \
             '{{\"data\": [{{\"input_type\": \"task_run\", \"id\": \"{TASK}\"}}]}}')"
        ),
        format!(
            "INSERT INTO log (id, created, updated, name, level, flow_run_id, task_run_id, message, timestamp) VALUES \
             ('{TASK}', '{at}', '{at}', 'prefect', 40, '{DONE}', '{TASK}', '50% <b>done</b>', '{at}')"
        ),
        format!(
            "INSERT INTO work_queue (id, created, updated, name, filter) VALUES \
             ('{QUEUE}', '{at}', '{at}', 'etl-queue', '{{\"tags\": [\"ETL\"], \"deployment_ids\": null}}')"
        ),
    ];
    for statement in statements {
        db.write(async move |conn| query(statement).execute(conn).await)
            .await
            .unwrap();
    }
}

fn run(id: &str, name: &str, state: &str, state_name: &str, start: Option<&str>) -> String {
    let start = start.map_or("NULL".to_owned(), |at| format!("'{at}'"));
    format!(
        "INSERT INTO flow_run (id, created, updated, name, flow_id, deployment_id, state_id, state_type, state_name, \
           expected_start_time, next_scheduled_start_time, start_time, total_run_time, tags) \
         VALUES ('{id}', '2026-11-23 10:00:00.000000', '2026-11-23 10:00:00.000000', '{name}', '{FLOW}', '{DEPLOYMENT}', \
           '{id}', '{state}', '{state_name}', '2026-11-23 10:59:58.000000', '2026-11-23 10:59:58.000000', {start}, 4.5, '[\"ETL\"]')"
    )
}

fn day() -> Value {
    json!({"start": "2026-11-22T12:00:00Z", "end": "2026-11-24T12:00:00Z", "interval_seconds": 5760,
        "flow_runs": {"expected_start_time": {"after_": "2026-11-22T12:00:00Z", "before_": "2026-11-24T12:00:00Z"}}})
}

#[tokio::test]
async fn the_first_page_counts_bars_cards_and_lists_alike() {
    let app = App::new().await;
    let page = app.post("/ui/overview", day()).await;
    assert_eq!(page["first_run"], false);
    assert_eq!(page["history"].as_array().unwrap().len(), 30);
    let full: Vec<_> = page["history"]
        .as_array()
        .unwrap()
        .iter()
        .enumerate()
        .filter(|(_, b)| b["states"] != json!([]))
        .collect();
    assert_eq!(full.len(), 1, "both runs are due in one interval");
    assert_eq!(full[0].0, 14);
    let states = full[0].1["states"].as_array().unwrap();
    let late = states.iter().find(|s| s["state_name"] == "Late").unwrap();
    assert_eq!(late["count_runs"], 1);
    assert!((late["sum_estimated_lateness"].as_f64().unwrap() - 3602.0).abs() < 0.1);
    assert_eq!(
        page["counts"],
        json!({"flows": 1, "deployments": 1, "flow_runs": 2, "task_runs": 2})
    );
    assert_eq!(page["flows"][0]["flow_runs"], 2);
    assert_eq!(page["flows"][0]["last_run"]["name"], "quiet-heron");
    assert_eq!(
        page["attention"][0]["summary"],
        "1 run is late: no agent polls work queue etl-queue"
    );
    assert_eq!(
        page["attention"][0]["command"],
        "prefect-rs agent start etl-queue"
    );
}

#[tokio::test]
async fn a_card_and_the_list_behind_it_agree() {
    let app = App::new().await;
    let mut ask = day();
    ask["state"] = json!({"name": {"any_": ["Late"]}});
    let page = app.post("/ui/overview", ask.clone()).await;
    assert_eq!(page["counts"]["flow_runs"], 1);
    assert_eq!(
        page["states"].as_array().unwrap().len(),
        2,
        "the cards keep counting every state"
    );
    let mut list = day();
    list["flow_runs"]["state"] = ask["state"].clone();
    list["points"] = json!(100);
    let list = app.post("/ui/flow_runs", list).await;
    assert_eq!(
        (list["count"].clone(), list["results"][0]["name"].clone()),
        (json!(1), json!("amber-lynx"))
    );
    assert_eq!(list["points"], json!([]));
}

/// Five hundred runs more, of which every fifth waits; ids end in numbers without an order.
const MANY: &str = "INSERT INTO flow_run (id, created, updated, name, flow_id, state_type, state_name, \
       expected_start_time, start_time, end_time, total_run_time, tags) \
     WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 499) \
     SELECT printf('10000000-0000-4000-8000-%08x%04x', i, (i * 40503) % 65536), '2026-11-23 10:00:00.000000', \
       '2026-11-23 10:00:00.000000', printf('run-%03d', (i * 7) % 500), '00000000-0000-0000-0000-0000000000f1', \
       CASE WHEN i % 5 THEN 'COMPLETED' ELSE 'PENDING' END, CASE WHEN i % 5 THEN 'Completed' ELSE 'Pending' END, \
       printf('2026-11-23 09:%02d:00.000000', i % 60), \
       CASE WHEN i % 5 THEN printf('2026-11-23 09:%02d:01.000000', i % 60) END, \
       CASE WHEN i % 5 THEN printf('2026-11-23 09:%02d:30.000000', (i * 11) % 60) END, 1.0, '[]' FROM n";

#[tokio::test]
async fn the_pages_of_a_list_are_one_list_from_its_first_to_its_last() {
    let app = App::with(&[MANY]).await;
    let key = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    for (sort, field, falls) in [
        ("EXPECTED_START_TIME_DESC", "expected_start_time", true),
        ("EXPECTED_START_TIME_ASC", "expected_start_time", false),
        ("END_TIME_DESC", "end_time", true),
        ("NAME_ASC", "name", false),
    ] {
        let mut rows = Vec::new();
        for offset in (0..600).step_by(40) {
            let mut ask = day();
            ask["sort"] = json!(sort);
            ask["limit"] = json!(40);
            ask["offset"] = json!(offset);
            let page = app.post("/ui/flow_runs", ask).await;
            assert_eq!(page["count"], 502);
            rows.extend(page["results"].as_array().unwrap().clone());
        }
        let ids: std::collections::HashSet<_> = rows.iter().map(|row| key(row, "id")).collect();
        assert_eq!((rows.len(), ids.len()), (502, 502), "{sort}: each run once");
        let got: Vec<_> = rows.iter().map(|row| key(row, field)).collect();
        let mut wanted = got.clone();
        wanted.sort();
        if falls {
            wanted.reverse();
        }
        assert_eq!(got, wanted, "{sort}");
    }
}

#[tokio::test]
async fn the_newest_run_of_a_flow_is_found_among_many() {
    let app = App::with(&[MANY]).await;
    let mut late = day();
    late["state"] = json!({"name": {"any_": ["Late"]}});
    for ask in [day(), late] {
        let page = app.post("/ui/overview", ask).await;
        assert_eq!(page["flows"][0]["last_run"]["name"], "quiet-heron");
    }
    let mut before = day();
    before["flow_runs"]["expected_start_time"]["before_"] = json!("2026-11-23T10:30:00Z");
    let page = app.post("/ui/overview", before).await;
    let at = page["flows"][0]["last_run"]["at"].as_str().unwrap();
    assert!(at.starts_with("2026-11-23T09:59:01"), "{at}");
}

#[tokio::test]
async fn dots_are_taken_evenly_of_what_has_started() {
    let app = App::with(&[MANY]).await;
    let mut ask = day();
    ask["points"] = json!(100);
    let page = app.post("/ui/flow_runs", ask.clone()).await;
    assert_eq!(page["started"], 401);
    let drawn = page["points"].as_array().unwrap();
    assert!((60..=140).contains(&drawn.len()), "{} dots", drawn.len());
    let minutes: std::collections::HashSet<_> = drawn
        .iter()
        .map(|dot| dot["at"].as_str().unwrap()[14..15].to_owned())
        .collect();
    assert_eq!(minutes.len(), 6, "of every ten minutes");
    ask["points"] = json!(1000);
    let page = app.post("/ui/flow_runs", ask).await;
    assert_eq!(page["points"].as_array().unwrap().len(), 401);
}

#[tokio::test]
async fn the_first_page_counts_the_deployments_that_its_list_has() {
    let app = App::new().await;
    for (flow, count) in [("etl", 1), ("another", 0)] {
        let mut ask = day();
        ask["flows"] = json!({"name": {"any_": [flow]}});
        let page = app.post("/ui/overview", ask.clone()).await;
        let list = app.post("/ui/deployments", ask).await;
        assert_eq!(page["counts"]["deployments"], count);
        assert_eq!(list["count"], count);
    }
}

#[tokio::test]
async fn every_page_of_one_thing_can_be_read() {
    let app = App::new().await;
    let run = app.get(&format!("/ui/flow_runs/{DONE}")).await;
    assert_eq!(run["run"]["state"]["message"], "All states completed.");
    assert_eq!(
        run["counts"],
        json!({"task_runs": 2, "subflow_runs": 0, "logs": 1})
    );
    assert_eq!(run["task_failures"][0]["name"], "call-0");
    let graph = app.get(&format!("/ui/flow_runs/{DONE}/graph")).await;
    assert_eq!(graph["upstream"], json!([[], [0]]));
    assert_eq!(graph["start"][1], Value::Null);
    let task = app.get(&format!("/ui/task_runs/{TASK}/page")).await;
    assert_eq!(task["flow_run"]["flow_name"], "etl");
    let panel = app.get(&format!("/ui/flows/{FLOW}")).await;
    assert_eq!(panel["deployments"][0]["recent"][0]["name"], "quiet-heron");
    assert_eq!(panel["deployment_count"], 1);
    let deployment = app.get(&format!("/ui/deployments/{DEPLOYMENT}")).await;
    assert_eq!(deployment["queues"][0]["name"], "etl-queue");
    let queue = app.get(&format!("/ui/work_queues/{QUEUE}")).await;
    assert_eq!(
        (queue["due"].clone(), queue["late"].clone()),
        (json!(1), json!(1))
    );
    assert_eq!(queue["runs"][0]["name"], "amber-lynx");
    for path in [
        "/ui/work_queues",
        "/ui/concurrency_limits",
        "/ui/blocks",
        "/ui/info",
    ] {
        app.get(path).await;
    }
    let (status, _) = app
        .ask("GET", &format!("/ui/flow_runs/{QUEUE}"), Value::Null)
        .await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn a_limit_shows_who_holds_its_slots_and_who_was_refused() {
    let app = App::new().await;
    let (status, _) = app
        .ask(
            "POST",
            "/v2/concurrency_limits/",
            json!({"name": "tag:db", "limit": 2}),
        )
        .await;
    assert_eq!(status, 201);
    let take = async |kind: &str, id: &str, slots: i64| {
        let holder = json!({"type": kind, "id": id});
        let wish =
            json!({"names": ["tag:db"], "slots": slots, "lease_duration": 60, "holder": holder});
        let path = "/v2/concurrency_limits/increment-with-lease";
        app.ask("POST", path, wish).await
    };
    let (status, lease) = take("task_run", TASK, 2).await;
    assert_eq!(status, 200);
    assert_eq!(take("flow_run", LATE, 1).await.0, 423);
    let shown = app.get("/ui/concurrency_limits").await[0].take();
    assert_eq!(
        (&shown["tag"], &shown["limit"], &shown["active_slots"]),
        (&json!("db"), &json!(2), &json!(2))
    );
    let holder = &shown["holders"][0];
    assert_eq!(
        (&holder["name"], &holder["slots"], &holder["flow_run_name"]),
        (&json!("call-0"), &json!(2), &json!("quiet-heron"))
    );
    assert_eq!(
        (&shown["waiting"][0]["type"], &shown["waiting"][0]["name"]),
        (&json!("flow_run"), &json!("amber-lynx"))
    );
    let done = json!({"lease_id": lease["lease_id"]});
    let path = "/v2/concurrency_limits/decrement-with-lease";
    assert_eq!(app.ask("POST", path, done).await.0, 204);
    assert_eq!(take("flow_run", LATE, 1).await.0, 200);
    let shown = app.get("/ui/concurrency_limits").await[0].take();
    assert_eq!(shown["holders"][0]["name"], "amber-lynx");
    assert_eq!(shown["waiting"], json!([]));
}

#[tokio::test]
async fn a_run_shows_its_artifacts_in_its_graph_and_what_its_states_say_of_results() {
    let app = App::new().await;
    let artifact = json!({"key": "report", "type": "markdown", "data": "# Hi", "flow_run_id": DONE, "task_run_id": TASK});
    let (status, _) = app.ask("POST", "/artifacts/", artifact).await;
    assert_eq!(status, 201);
    let graph = app.get(&format!("/ui/flow_runs/{DONE}/graph")).await;
    assert_eq!(
        (
            &graph["artifacts"][0]["key"],
            &graph["artifacts"][0]["node"]
        ),
        (&json!("report"), &json!(0))
    );
    let results = format!("/ui/flow_runs/{DONE}/results");
    assert_eq!(app.get(&results).await, json!([]));
    let data = json!({"storage_key": "k", "serializer": {"type": "json"}});
    let state = json!({"state": {"type": "COMPLETED", "data": data}, "force": true});
    let path = format!("/task_runs/{TASK}/set_state");
    assert_eq!(app.ask("POST", &path, state).await.0, 201);
    let shown = app.get(&results).await;
    assert_eq!(
        (&shown[0]["name"], &shown[0]["task_run_id"]),
        (&json!("call-0"), &json!(TASK))
    );
    assert!(shown[0]["data"].as_str().unwrap().contains("storage_key"));
    let (status, _) = app
        .ask(
            "GET",
            &format!("/ui/flow_runs/{QUEUE}/results"),
            Value::Null,
        )
        .await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn every_flaw_of_an_automation_is_told_with_its_place() {
    let app = App::new().await;
    let trigger = |within: i64| json!({"posture": "Proactive", "within": within});
    let body = json!({
        "name": " ",
        "trigger": {"type": "compound", "require": 3, "triggers": [trigger(5), trigger(20)]},
        "actions": [{"type": "pause-deployment"}, {"type": "do-nothing"}],
        "actions_on_resolve": [{"type": "send-notification", "block_document_id": QUEUE, "subject": "{{", "body": "x"}],
    });
    let (status, told) = app.ask("POST", "/automations/", body).await;
    assert_eq!(status, 422);
    let place = |detail: &Value| {
        let steps = detail["loc"].as_array().unwrap()[1..].iter();
        let steps: Vec<_> = steps.map(|s| s.to_string().replace('"', "")).collect();
        steps.join(".")
    };
    let places: Vec<_> = told["exception_detail"]
        .as_array()
        .unwrap_or_else(|| panic!("{told}"))
        .iter()
        .map(place)
        .collect();
    assert_eq!(
        places,
        [
            "name",
            "trigger.require",
            "trigger.triggers.0.within",
            "actions.0.deployment_id",
            "actions_on_resolve.0.subject"
        ]
    );
}

#[tokio::test]
async fn lists_search_texts_as_they_stand() {
    let app = App::new().await;
    let logs = app
        .post(
            "/ui/logs",
            json!({"flow_run_id": DONE, "search": "50%", "level": 30}),
        )
        .await;
    assert_eq!(logs["results"][0]["task_run_name"], "call-0");
    let none = app
        .post("/ui/logs", json!({"flow_run_id": DONE, "search": "5_%"}))
        .await;
    assert_eq!(none["count"], 0);
    let tasks = app
        .post(
            "/ui/task_runs",
            json!({"flow_runs": {"id": {"any_": [DONE]}}, "failures_first": true}),
        )
        .await;
    assert_eq!(tasks["results"][0]["name"], "call-0");
    let deployments = app
        .post(
            "/ui/deployments",
            json!({"deployments": {"tags": {"all_": ["ETL"]}}}),
        )
        .await;
    assert_eq!(deployments["results"][0]["late"], 1);
}

#[tokio::test]
async fn a_waiting_run_says_why_and_a_finished_one_has_no_reasons() {
    let app = App::new().await;
    let late = app.get(&format!("/flow_runs/{LATE}/explain")).await;
    assert_eq!(late["reasons"][0]["code"], "no_agent");
    let done = app.get(&format!("/flow_runs/{DONE}/explain")).await;
    assert_eq!(
        (done["waiting"].clone(), done["reasons"].clone()),
        (json!(false), json!([]))
    );
}

#[tokio::test]
async fn a_schedule_is_previewed_by_its_own_rule_or_refused() {
    let app = App::new().await;
    let idea = json!({"schedule": {"cron": "0 9 * * *", "timezone": "Europe/Berlin"}});
    let page = app.post("/ui/schedule", idea).await;
    assert_eq!(page["dates"][0], "2026-11-24T08:00:00Z");
    assert_eq!(page["dates"].as_array().unwrap().len(), 5);
    let (status, _) = app
        .ask(
            "POST",
            "/ui/schedule",
            json!({"schedule": {"cron": "never"}}),
        )
        .await;
    assert_eq!(status, 422);
}

#[tokio::test]
async fn a_deployment_shows_each_of_its_schedules_and_what_its_parameters_are() {
    let app = App::new().await;
    let path = format!("/deployments/{DEPLOYMENT}/schedules");
    let more = json!([{"schedule": {"cron": "0 9 * * *", "timezone": "UTC"}, "active": false}]);
    let (status, _) = app.ask("POST", &path, more).await;
    assert_eq!(status, 201);
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    let path = format!("/deployments/{DEPLOYMENT}");
    let change = json!({"parameter_openapi_schema": schema, "description": "of *weather*", "entrypoint": "flow.py:etl"});
    let (status, _) = app.ask("PATCH", &path, change).await;
    assert_eq!(status, 204);
    let page = app.get(&format!("/ui/deployments/{DEPLOYMENT}")).await;
    let shown = &page["deployment"];
    assert_eq!(shown["parameter_openapi_schema"], schema);
    assert_eq!(
        (&shown["description"], &shown["entrypoint"]),
        (&json!("of *weather*"), &json!("flow.py:etl"))
    );
    let schedules: Vec<_> = shown["schedules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| (s["active"].as_bool().unwrap(), s["next"].as_str().unwrap()))
        .collect();
    assert_eq!(
        schedules,
        [
            (true, "2026-11-23T12:00:00Z"),
            (false, "2026-11-24T09:00:00Z")
        ]
    );
    let list = app.post("/ui/deployments", json!({})).await;
    assert_eq!(list["results"][0]["schedule_count"], 2);
}

#[tokio::test]
async fn a_work_pool_shows_its_queues_workers_and_what_waits() {
    let app = App::new().await;
    let (status, _) = app
        .ask(
            "POST",
            "/work_pools/",
            json!({"name": "k8s", "type": "kubernetes", "concurrency_limit": 3}),
        )
        .await;
    assert_eq!(status, 201);
    let (status, _) = app
        .ask(
            "POST",
            "/work_pools/k8s/queues",
            json!({"name": "fast", "priority": 1}),
        )
        .await;
    assert_eq!(status, 201);
    let (status, _) = app
        .ask(
            "PATCH",
            &format!("/deployments/{DEPLOYMENT}"),
            json!({"work_pool_name": "k8s", "work_queue_name": "fast"}),
        )
        .await;
    assert_eq!(status, 204);
    let (status, _) = app
        .ask(
            "POST",
            &format!("/deployments/{DEPLOYMENT}/create_flow_run"),
            json!({"name": "waits", "tags": ["other"]}),
        )
        .await;
    assert_eq!(status, 201);
    let page = app.get("/ui/work_pools/k8s").await;
    assert_eq!(
        (
            page["pool"]["due"].clone(),
            page["pool"]["queues"].clone(),
            page["pool"]["workers_online"].clone()
        ),
        (json!(1), json!(2), json!(0))
    );
    assert_eq!(page["runs"][0]["name"], "waits");
    assert_eq!(page["deployments"][0]["work_queue_name"], "fast");
    let fast = page["queues"].as_array().unwrap();
    assert_eq!(fast.iter().find(|q| q["name"] == "fast").unwrap()["due"], 1);
    let (status, _) = app
        .ask(
            "POST",
            "/work_pools/k8s/workers/heartbeat",
            json!({"name": "one"}),
        )
        .await;
    assert_eq!(status, 204);
    let list = app.get("/ui/work_pools").await;
    assert_eq!(list[0]["workers_online"], 1);
    let (status, _) = app.ask("GET", "/ui/work_pools/none", Value::Null).await;
    assert_eq!(status, 404);
}

/// A browser draws a page first and follows the changes then; what happened in between must reach it.
#[tokio::test]
async fn every_page_names_the_change_from_which_the_stream_goes_on() {
    let app = App::new().await;
    app.changes.tell(Change::of(Kind::Flow, Uuid::from_u128(1)));
    let ask = |path: &str, last: Option<&str>| {
        let is_list = path.ends_with("overview") || path.ends_with("flow_runs");
        let request = Request::builder().method(if is_list { "POST" } else { "GET" });
        let mut request = request.uri(format!("/api{path}"));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let body = if is_list { "{}" } else { "" };
        app.router
            .clone()
            .oneshot(request.body(Body::from(body)).unwrap())
    };
    for path in [
        "/ui/overview".to_owned(),
        "/ui/flow_runs".to_owned(),
        format!("/ui/flow_runs/{DONE}"),
        format!("/ui/work_queues/{QUEUE}"),
        "/ui/work_queues".to_owned(),
        "/ui/work_pools".to_owned(),
        "/ui/concurrency_limits".to_owned(),
        "/ui/blocks".to_owned(),
    ] {
        let answer = ask(&path, None).await.unwrap();
        let mark = answer.headers()["x-last-change"].to_str().unwrap();
        assert_eq!(app.changes.number(mark), Some(1), "{path}");
    }
    let answer = ask("/ui/overview", None).await.unwrap();
    let mark = answer.headers()["x-last-change"].to_str().unwrap();
    app.changes.tell(Change::of(Kind::Flow, Uuid::from_u128(2)));
    let stream = ask("/ui/stream", Some(mark)).await.unwrap();
    let mut pieces = stream.into_body().into_data_stream();
    let mut said = String::new();
    while !said.contains("event: changes") {
        let piece = futures_util::StreamExt::next(&mut pieces).await.unwrap();
        said.push_str(std::str::from_utf8(&piece.unwrap()).unwrap());
    }
    assert!(
        said.contains("00000000-0000-0000-0000-000000000002"),
        "{said}"
    );
    assert!(
        !said.contains("00000000-0000-0000-0000-000000000001"),
        "{said}"
    );
}

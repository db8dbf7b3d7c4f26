//! Old flow runs go with all that belongs to them, old events each in their time, and nothing else does.

use chrono::{DateTime, TimeDelta, Utc};
use prefect_rs::server::services::{EventRetention, FlowRunRetention, Service};
use prefect_rs::settings::{Settings, Spans, Vacuum, Value as _};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::app::TestApp;

const DAYS: i64 = 90;

fn vacuum(settings: &mut Settings) {
    settings.db_vacuum_enabled = Vacuum {
        events: true,
        flow_runs: true,
        orphans: true,
    };
    // Less than what there is of a run.
    settings.db_vacuum_batch_size = 3;
}

fn start() -> DateTime<Utc> {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

async fn run(app: &TestApp, flow: &Value, name: &str, more: Value) -> Value {
    let mut body = json!({"flow_id": flow["id"], "name": name});
    body.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    app.make("/api/flow_runs/", body).await["id"].clone()
}

async fn set(app: &TestApp, run: &Value, state: &str) {
    let path = format!("/api/flow_runs/{}/set_state", run.as_str().unwrap());
    let body = json!({"state": {"type": state}, "force": true});
    app.make(&path, body).await;
}

async fn names(app: &TestApp) -> Vec<String> {
    let (_, runs) = app.ask("POST", "/api/flow_runs/filter", json!({})).await;
    let mut names: Vec<String> = runs
        .as_array()
        .unwrap()
        .iter()
        .map(|run| run["name"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

async fn count(app: &TestApp, path: &str) -> Value {
    app.ask("POST", path, json!({})).await.1
}

async fn logs(app: &TestApp) -> usize {
    let (_, lines) = app.ask("POST", "/api/logs/filter", json!({})).await;
    lines.as_array().unwrap().len()
}

#[tokio::test]
async fn old_flow_runs_go_with_all_that_belongs_to_them() {
    TestApp::on_each_with(vacuum, async |app| {
        app.clock.set(start());
        let flow = app.make("/api/flows/", json!({"name": "etl"})).await;
        let old = run(app, &flow, "old", json!({"state": {"type": "RUNNING"}})).await;
        let mut tasks = Vec::new();
        for n in 0..7 {
            let body = json!({"flow_run_id": old, "task_key": "t", "dynamic_key": n.to_string()});
            tasks.push(app.make("/api/task_runs/", body).await["id"].clone());
        }
        let inner = json!({"parent_task_run_id": tasks[0], "state": {"type": "RUNNING"}});
        let inner = run(app, &flow, "inner", inner).await;
        let line = |n: i64, run: &Value| {
            json!({"name": "a", "level": 20, "message": "m", "flow_run_id": run,
                "timestamp": start() + TimeDelta::seconds(n / 2)})
        };
        let lines: Vec<Value> = (0..8).map(|n| line(n, &old)).collect();
        assert_eq!(app.ask("POST", "/api/logs/", json!(lines)).await.0, 201);
        let artifact = |key: &str, data: &str, run: &Value| {
            json!({"key": key, "type": "markdown", "data": data, "flow_run_id": run})
        };
        let waits = run(app, &flow, "waits", json!({"state": {"type": "RUNNING"}})).await;
        app.make("/api/artifacts/", artifact("shared", "kept", &waits)).await;
        app.clock.advance(TimeDelta::seconds(1));
        app.make("/api/artifacts/", artifact("shared", "gone", &old)).await;
        app.make("/api/artifacts/", artifact("alone", "gone", &old)).await;
        for ended in [&inner, &old] {
            set(app, ended, "COMPLETED").await;
        }
        let unbegun = run(app, &flow, "unbegun", json!({"state": {"type": "SCHEDULED"}})).await;
        set(app, &unbegun, "CANCELLED").await;
        run(app, &flow, "scheduled", json!({"state": {"type": "SCHEDULED"}})).await;
        app.clock.advance(TimeDelta::days(1));
        let young = run(app, &flow, "young", json!({"state": {"type": "RUNNING"}})).await;
        set(app, &young, "FAILED").await;
        // Of runs that were never there.
        let nobody = json!(Uuid::from_u128(99));
        let lines: Vec<Value> = (0..8).map(|n| line(n, &nobody)).collect();
        assert_eq!(app.ask("POST", "/api/logs/", json!(lines)).await.0, 201);
        app.make("/api/artifacts/", artifact("orphaned", "gone", &nobody)).await;

        let mut service = FlowRunRetention::default();
        let all = ["inner", "old", "scheduled", "unbegun", "waits", "young"];
        // Half a day before.
        app.clock.set(start() + TimeDelta::days(DAYS) - TimeDelta::hours(12));
        let next = service.pass(app.state()).await.unwrap();
        assert_eq!(names(app).await, all);
        let due = start() + TimeDelta::days(DAYS) + TimeDelta::seconds(1);
        assert_eq!(next, Some(due));
        assert_eq!((logs(app).await, count(app, "/api/artifacts/count").await), (8, json!(3)));

        app.clock.set(due + TimeDelta::seconds(1));
        service.pass(app.state()).await.unwrap();
        assert_eq!(names(app).await, ["scheduled", "waits", "young"]);
        assert_eq!(count(app, "/api/task_runs/count").await, 0);
        assert_eq!(logs(app).await, 0);
        let (_, latest) = app.ask("GET", "/api/artifacts/shared/latest", Value::Null).await;
        assert_eq!(latest["data"], "kept");
        assert_eq!(count(app, "/api/artifacts/count").await, 1);
        assert_eq!(app.ask("GET", "/api/artifacts/alone/latest", Value::Null).await.0, 404);
        // Nothing is left to do.
        service.pass(app.state()).await.unwrap();
        assert_eq!(names(app).await, ["scheduled", "waits", "young"]);
    })
    .await;
}

/// Keeps one name for an hour, one for longer than anything is kept, and the others for a week.
fn spans(settings: &mut Settings) {
    let overrides = Spans::parse(r#"{"ping": 3600, "order": "P30D"}"#).unwrap();
    settings.db_vacuum_event_retention_overrides = overrides;
}

#[tokio::test]
async fn events_go_when_those_of_their_name_are_old() {
    TestApp::on_each_with(spans, async |app| {
        app.clock.set(start());
        let names = ["ping", "order", "other"];
        let event = |name: &str, hours: i64| {
            json!({"event": name, "occurred": start() + TimeDelta::hours(hours), "id": Uuid::new_v4(),
                "resource": {"prefect.resource.id": "r"}})
        };
        let events: Vec<Value> = names.iter().flat_map(|name| [event(name, -2), event(name, 0)]).collect();
        assert_eq!(app.ask("POST", "/api/events", json!(events)).await.0, 204);
        let left = async || {
            let count = app.ask("POST", "/api/events/count-by/event", json!({"filter": {}})).await.1;
            let count_of = |name: &str| {
                let of_name = |found: &&Value| found["value"] == name;
                count.as_array().unwrap().iter().find(of_name).map_or(0, |found| found["count"].as_i64().unwrap())
            };
            names.map(count_of)
        };
        assert_eq!(left().await, [2, 2, 2]);
        for (hours, expected) in [(0, [1, 2, 2]), (2, [0, 2, 2]), (24 * 7 - 1, [0, 1, 1]), (24 * 7 + 1, [0, 0, 0])] {
            app.clock.set(start() + TimeDelta::hours(hours));
            EventRetention.pass(app.state()).await.unwrap();
            assert_eq!(left().await, expected, "after {hours} h");
        }
    })
    .await;
}

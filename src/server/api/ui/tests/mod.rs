//! Every page of a small database, asked through the service.

mod lists;
mod pages;
mod stream;

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use chrono::{TimeZone, Utc};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::clock::MockClock;
use crate::db::{Db, query};
use crate::server::HttpService;
use crate::server::changes::{Change, Kind};
use crate::settings::{DatabaseUrl, Settings, Synchronous};

const FLOW: &str = "00000000-0000-0000-0000-0000000000f1";
const DEPLOYMENT: &str = "00000000-0000-0000-0000-0000000000d1";
const DONE: &str = "00000000-0000-0000-0000-000000000001";
const LATE: &str = "00000000-0000-0000-0000-000000000002";
const TASK: &str = "00000000-0000-0000-0000-000000000011";
const QUEUE: &str = "00000000-0000-0000-0000-0000000000aa";

struct App {
    service: HttpService,
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
            service: HttpService::new(state),
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
            .service
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
    let next = match state {
        "SCHEDULED" => "'2026-11-23 10:59:58.000000'",
        _ => "NULL",
    };
    format!(
        "INSERT INTO flow_run (id, created, updated, name, flow_id, deployment_id, state_id, state_type, state_name, \
           expected_start_time, next_scheduled_start_time, start_time, total_run_time, tags) \
         VALUES ('{id}', '2026-11-23 10:00:00.000000', '2026-11-23 10:00:00.000000', '{name}', '{FLOW}', '{DEPLOYMENT}', \
           '{id}', '{state}', '{state_name}', '2026-11-23 10:59:58.000000', {next}, {start}, 4.5, '[\"ETL\"]')"
    )
}

fn day() -> Value {
    json!({"start": "2026-11-22T12:00:00Z", "end": "2026-11-24T12:00:00Z", "interval_seconds": 5760,
        "flow_runs": {"expected_start_time": {"after_": "2026-11-22T12:00:00Z", "before_": "2026-11-24T12:00:00Z"}}})
}

//! The ceiling: what the least server one could write costs for the same load.
//!
//! It answers the paths of a run's life, so that `prefect-rs bench` drives it like any server:
//! `echo` reads JSON and writes JSON and keeps nothing in a file; `group` also stores every
//! transition through one SQLite writer that gathers what waits into one transaction; `single` does
//! the same with a transaction for each. Both flush to the disk before they answer, as our server
//! does. No rules, no filters, no other tables: a real server can come near, never below. `writer`
//! measures that writer alone, without HTTP.
//!
//! Run by `make bench`: `cargo bench --bench ceiling -- echo|group|single PORT FILE`, or `-- writer FILE`.

use std::collections::HashMap;
use std::path::{Path as FilePath, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use axum::{Json, Router};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use uuid::Uuid;

/// Transitions that the bare writer is measured with.
const WRITER_TRANSITIONS: usize = 40_000;

/// Transitions in one transaction of the bare writer, and the most that `group` gathers.
const GROUP: usize = 64;

#[derive(Deserialize)]
struct CreateRun {
    flow_id: Option<Uuid>,
    name: Option<String>,
    #[serde(default)]
    parameters: Value,
    #[serde(default)]
    tags: Vec<String>,
    state: NewState,
}

#[derive(Deserialize)]
struct SetState {
    state: NewState,
}

#[derive(Deserialize, Serialize, Clone)]
struct NewState {
    r#type: String,
    #[serde(default)]
    state_details: Value,
}

#[derive(Serialize)]
struct Run {
    id: Uuid,
    flow_id: Option<Uuid>,
    name: Option<String>,
    parameters: Value,
    tags: Vec<String>,
    state_type: String,
    state: NewState,
}

/// A change, and who waits for it to be durable.
struct Job {
    change: Change,
    done: oneshot::Sender<()>,
}

enum Change {
    Create {
        id: Uuid,
        body: String,
        state: String,
    },
    SetState {
        id: Uuid,
        state: String,
    },
}

#[derive(Clone)]
struct App {
    writer: Option<Sender<Job>>,
    /// State types, for the reading back.
    kept: Arc<Mutex<HashMap<Uuid, String>>>,
}

fn main() {
    // `cargo bench` adds `--bench` of its own.
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| arg != "--bench")
        .collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["writer", file] => measure_writer(FilePath::new(file)),
        [mode @ ("echo" | "group" | "single"), port, file] => {
            let port = port.parse().expect("the port is a number");
            serve(mode, port, file.into());
        }
        // A plain `cargo bench` or `cargo test --benches` has nothing to drive it with.
        _ => println!("usage: ceiling echo|group|single PORT FILE; ceiling writer FILE"),
    }
}

#[tokio::main]
async fn serve(mode: &str, port: u16, file: PathBuf) {
    let writer = match mode {
        "echo" => None,
        "group" => Some(start_writer(&file, GROUP)),
        _ => Some(start_writer(&file, 1)),
    };
    let app = App {
        writer,
        kept: Arc::default(),
    };
    let id = || Json(json!({"id": Uuid::new_v4()}));
    let router = Router::new()
        .route("/api/admin/version", get(async || Json("3.0.0+ceiling")))
        .route("/api/flows/", post(async move || id()))
        .route("/api/work_queues/", post(async move || id()))
        .route("/api/deployments/", post(async move || id()))
        .route(
            "/api/deployments/{id}/create_flow_run",
            post(async move || id()),
        )
        .route("/api/flow_runs/", post(create_flow_run))
        .route("/api/flow_runs/{id}/set_state", post(set_flow_run_state))
        .route("/api/flow_runs/filter", post(read_runs))
        .route("/api/task_runs/", post(create_flow_run))
        .route("/api/task_runs/{id}/set_state", post(set_flow_run_state))
        .route("/api/task_runs/filter", post(read_runs))
        .with_state(app);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port))
        .await
        .expect("the port is free");
    let listener = listener.tap_io(|stream| {
        // Without it an answer may wait for the other side's delayed acknowledgement.
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, router)
        .await
        .expect("the server runs");
}

async fn create_flow_run(
    State(app): State<App>,
    Json(body): Json<CreateRun>,
) -> (StatusCode, Json<Run>) {
    let run = Run {
        id: Uuid::now_v7(),
        flow_id: body.flow_id,
        name: body.name,
        parameters: body.parameters,
        tags: body.tags,
        state_type: body.state.r#type.clone(),
        state: body.state,
    };
    if app.writer.is_some() {
        let body = serde_json::to_string(&run).expect("a run can be written");
        app.write(Change::Create {
            id: run.id,
            body,
            state: run.state_type.clone(),
        })
        .await;
    }
    app.keep(run.id, &run.state_type);
    (StatusCode::CREATED, Json(run))
}

async fn set_flow_run_state(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    Json(body): Json<SetState>,
) -> (StatusCode, Json<Value>) {
    let state = body.state.r#type.clone();
    app.write(Change::SetState {
        id,
        state: state.clone(),
    })
    .await;
    app.keep(id, &state);
    (
        StatusCode::CREATED,
        Json(json!({"status": "ACCEPT", "details": {}, "state": body.state})),
    )
}

async fn read_runs(State(app): State<App>, Json(body): Json<Value>) -> Json<Value> {
    let of = |noun: &str| serde_json::from_value(body[noun]["id"]["any_"].clone()).ok();
    let ids: Vec<Uuid> = of("flow_runs")
        .or_else(|| of("task_runs"))
        .unwrap_or_default();
    let kept = app.kept.lock().expect("no holder panics");
    let found = ids
        .into_iter()
        .filter_map(|id| Some(json!({"id": id, "state_type": kept.get(&id)?})));
    Json(found.collect())
}

impl App {
    fn keep(&self, id: Uuid, state: &str) {
        self.kept
            .lock()
            .expect("no holder panics")
            .insert(id, state.to_owned());
    }

    async fn write(&self, change: Change) {
        let Some(writer) = &self.writer else { return };
        let (done, answered) = oneshot::channel();
        writer
            .send(Job { change, done })
            .expect("the writer lives as long as the server");
        answered.await.expect("the writer answers each job");
    }
}

fn start_writer(file: &FilePath, most: usize) -> Sender<Job> {
    let connection = open(file);
    let (sender, jobs) = channel();
    std::thread::spawn(move || write_groups(&connection, &jobs, most));
    sender
}

fn write_groups(connection: &Connection, jobs: &Receiver<Job>, most: usize) {
    while let Ok(first) = jobs.recv() {
        let mut group = vec![first];
        group.extend(jobs.try_iter().take(most - 1));
        connection
            .execute_batch("BEGIN IMMEDIATE")
            .expect("nothing else writes");
        for job in &group {
            apply(connection, &job.change);
        }
        connection
            .execute_batch("COMMIT")
            .expect("the disk takes it");
        for job in group {
            // A client that went away needs no answer.
            let _ = job.done.send(());
        }
    }
}

fn open(file: &FilePath) -> Connection {
    let connection = Connection::open(file).expect("the file can be made");
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL;
             PRAGMA synchronous = FULL;
             CREATE TABLE run (id BLOB PRIMARY KEY, body TEXT, state_type TEXT, state_id BLOB, run_count BIGINT) WITHOUT ROWID;
             CREATE TABLE state (id BLOB PRIMARY KEY, run_id BLOB, type TEXT, timestamp BIGINT) WITHOUT ROWID;
             CREATE INDEX state_of_run ON state (run_id, timestamp);",
        )
        .expect("the schema is right");
    connection
}

/// One bare transition: read the run, insert the state, update the run.
fn apply(connection: &Connection, change: &Change) {
    let run = |sql: &str, values: &[&dyn rusqlite::ToSql]| {
        let mut statement = connection
            .prepare_cached(sql)
            .expect("the statement is right");
        statement.execute(values).expect("the disk takes it");
    };
    let (id, state) = match change {
        Change::Create { id, body, state } => {
            run(
                "INSERT INTO run (id, body, state_type, run_count) VALUES (?1, ?2, ?3, 0)",
                &[&id.as_bytes(), body, state],
            );
            (id, state)
        }
        Change::SetState { id, state } => {
            let mut read = connection
                .prepare_cached("SELECT state_type, run_count FROM run WHERE id = ?1")
                .expect("the statement is right");
            read.query_row([id.as_bytes()], |row| row.get::<_, String>(0))
                .ok();
            (id, state)
        }
    };
    let state_id = Uuid::now_v7();
    run(
        "INSERT INTO state (id, run_id, type, timestamp) VALUES (?1, ?2, ?3, ?4)",
        &[&state_id.as_bytes(), &id.as_bytes(), state, &0],
    );
    run(
        "UPDATE run SET state_type = ?2, state_id = ?3, run_count = run_count + 1 WHERE id = ?1",
        &[&id.as_bytes(), state, &state_id.as_bytes()],
    );
}

fn measure_writer(file: &FilePath) {
    let connection = open(file);
    let ids: Vec<Uuid> = (0..1000).map(|_| Uuid::now_v7()).collect();
    for &id in &ids {
        apply(
            &connection,
            &Change::Create {
                id,
                body: "{}".into(),
                state: "PENDING".into(),
            },
        );
    }
    let mut figures = serde_json::Map::new();
    for (name, group) in [("group", GROUP), ("single", 1)] {
        let begun = Instant::now();
        for first in (0..WRITER_TRANSITIONS).step_by(group) {
            connection
                .execute_batch("BEGIN IMMEDIATE")
                .expect("nothing else writes");
            for number in first..first + group {
                let id = ids[number % ids.len()];
                apply(
                    &connection,
                    &Change::SetState {
                        id,
                        state: "RUNNING".into(),
                    },
                );
            }
            connection
                .execute_batch("COMMIT")
                .expect("the disk takes it");
        }
        let micros = begun.elapsed().as_secs_f64() * 1e6 / WRITER_TRANSITIONS as f64;
        figures.insert(format!("{name}_us_per_transition"), json!(micros));
    }
    println!("{}", Value::Object(figures));
}

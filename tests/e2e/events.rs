//! What a genuine 3.x client tells by events, against a real server process: its task runs, and
//! background tasks.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::genuine;
use crate::ours::Server;

/// A process that takes longer than this hangs; its imports alone take seconds.
const PATIENCE: Duration = Duration::from_secs(240);

struct Stage {
    server: Server,
    home: tempfile::TempDir,
    python: PathBuf,
}

impl Stage {
    /// Starts a server for a genuine 3.8, or nothing where that is not installed.
    async fn new() -> Option<Self> {
        let python = genuine::python_of("3.8")?;
        Some(Self {
            server: Server::start().await,
            home: tempfile::tempdir().expect("a temporary directory"),
            python,
        })
    }

    fn command(&self, argument: &str) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/flows/events.py");
        let mut command = Command::new(&self.python);
        command
            .arg(script)
            .arg(argument)
            .env("PREFECT_HOME", self.home.path())
            .env("PREFECT_API_URL", format!("{}/api", self.server.url))
            .env("DO_NOT_TRACK", "1")
            .stdin(Stdio::null());
        command
    }

    async fn run(&self, argument: &str) -> String {
        let mut command = tokio::process::Command::from(self.command(argument));
        let running = command.kill_on_drop(true).output();
        let output = tokio::time::timeout(PATIENCE, running)
            .await
            .expect("the process ends")
            .expect("the process starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let client = prefect_rs::http::client().build().expect("a client");
        let answer = client
            .post(format!("{}/api{path}", self.server.url))
            .json(&body)
            .send()
            .await;
        answer.expect("an answer").json().await.expect("JSON")
    }

    /// The states of every task run, as `task: first, second, ...`, sorted.
    async fn histories(&self) -> Vec<String> {
        let client = prefect_rs::http::client().build().expect("a client");
        let mut histories = Vec::new();
        for run in self
            .post("/task_runs/filter", json!({}))
            .await
            .as_array()
            .expect("a list")
        {
            let path = format!(
                "/api/task_run_states/?task_run_id={}",
                run["id"].as_str().unwrap()
            );
            let answer = client
                .get(format!("{}{path}", self.server.url))
                .send()
                .await
                .expect("an answer");
            let states: Value = answer.json().await.expect("JSON");
            let names = states
                .as_array()
                .unwrap()
                .iter()
                .map(|state| state["name"].as_str().unwrap());
            let names: Vec<&str> = names.collect();
            assert_eq!(run["state_name"], **names.last().unwrap(), "{run}");
            let task = run["task_key"]
                .as_str()
                .unwrap()
                .split('-')
                .next()
                .unwrap()
                .to_owned();
            histories.push(format!("{task}: {}", names.join(", ")));
        }
        histories.sort();
        histories
    }
}

#[tokio::test]
async fn every_state_of_a_3x_flows_task_runs_is_recorded() {
    let Some(stage) = Stage::new().await else {
        return;
    };
    stage.run("flow").await;
    let completed = "Pending, Running, Completed";
    assert_eq!(
        stage.histories().await,
        [
            format!("add: {completed}"),
            format!("add: {completed}"),
            format!("add: {completed}"),
            format!("add: {completed}"),
            "broken: Pending, Running, Failed".to_owned(),
            "double: Pending, Running, Cached".to_owned(),
            format!("double: {completed}"),
            "flaky: Pending, Running, AwaitingRetry, Retrying, AwaitingRetry, Retrying, Completed"
                .to_owned(),
            // The stand-in of the subflow; its client tells PENDING beside the server.
            "inner: Pending, Pending, Running, Completed".to_owned(),
        ]
    );
}

#[tokio::test]
async fn background_tasks_reach_the_process_that_serves_them() {
    let Some(stage) = Stage::new().await else {
        return;
    };
    let mut serving = stage
        .command("serve")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let states = stage.run("delay").await;
    let _ = serving.kill();
    let _ = serving.wait();
    assert_eq!(states.trim(), "['Completed', 'Completed', 'Completed']");
    assert_eq!(
        stage.histories().await,
        ["greet: Scheduled, Pending, Running, Completed"; 3]
    );
}

//! What users of the genuine 2.0b3 client do, against a real server process.
//!
//! A story is told to two servers: the genuine one, which proves that the story is true, and
//! ours. The flows are in `flows/`; what they did is read back through the API, where the 2.0b3
//! dialect is asked for as the client does.

use crate::genuine;
use crate::ours;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// A flow process that takes longer than this hangs; its imports alone take seconds.
const PATIENCE: Duration = Duration::from_secs(180);

/// The server that a story is told to, and a client's own home.
pub struct Stage {
    /// The API's address, `/api` included.
    pub api: String,
    /// The client's PREFECT_HOME.
    pub home: tempfile::TempDir,
    /// Sent as the client's key and by `ask`.
    pub key: Option<&'static str>,
    client: reqwest::Client,
}

/// What a flow process left behind.
pub struct Outcome {
    /// The exit code, when it ended by itself.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it said.
    pub stderr: String,
}

impl Stage {
    /// Prepares for a story that is told to the server at `url`.
    pub fn new(url: &str) -> Self {
        Self {
            api: format!("{url}/api"),
            home: tempfile::tempdir().expect("a temporary directory"),
            key: None,
            client: prefect_rs::http::client().build().expect("a client"),
        }
    }

    /// Runs a Python program with the genuine client, to its end.
    pub async fn python(&self, arguments: &[&str]) -> Outcome {
        let python =
            genuine::python_of("2.0b3").expect("stories are told only where the client is");
        let running = Command::new(python)
            .args(arguments)
            .env("PREFECT_HOME", self.home.path())
            .env("PREFECT_API_URL", &self.api)
            .env("DO_NOT_TRACK", "1")
            .envs(self.key.map(|key| ("PREFECT_API_KEY", key)))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(PATIENCE, running)
            .await
            .expect("the flow process ends")
            .expect("the flow process starts");
        Outcome {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs one of `flows/features.py`.
    pub async fn feature(&self, flow: &str, arguments: &[&str]) -> Outcome {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/flows/features.py");
        self.python(&[&[script, flow], arguments].concat()).await
    }

    /// Starts one of `flows/features.py` and leaves it running.
    pub fn start(&self, arguments: &[&str]) -> tokio::process::Child {
        let python =
            genuine::python_of("2.0b3").expect("stories are told only where the client is");
        // Where the tests run in the background of a shell, it has them ignore what is sent to a flow here.
        Command::new("env")
            .arg("--default-signal=INT")
            .arg(python)
            .arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/tests/e2e/flows/features.py"
            ))
            .args(arguments)
            .env("PREFECT_HOME", self.home.path())
            .env("PREFECT_API_URL", &self.api)
            .env("DO_NOT_TRACK", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the flow process starts")
    }

    /// Waits until a process has printed a line.
    pub async fn wait_for_output(&self, process: &mut tokio::process::Child, wanted: &str) {
        use tokio::io::{AsyncBufReadExt, BufReader};
        let mut lines = BufReader::new(process.stdout.as_mut().expect("a pipe")).lines();
        let waiting = async {
            while let Some(line) = lines.next_line().await.expect("text") {
                if line == wanted {
                    return;
                }
            }
            panic!("it ended without printing {wanted}");
        };
        tokio::time::timeout(PATIENCE, waiting)
            .await
            .expect("it prints");
    }

    /// Posts to the API as the 2.0b3 client does, and expects a success.
    pub async fn post(&self, path: &str, body: Value) -> Value {
        let mut request = self
            .client
            .post(format!("{}{path}", self.api))
            .header("x-prefect-api-version", "0.3.0")
            .json(&body);
        if let Some(key) = self.key {
            request = request.bearer_auth(key);
        }
        let response = request.send().await.expect("the server answers");
        let status = response.status();
        let text = response.text().await.expect("a whole body");
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// Returns the runs of a flow, oldest first.
    pub async fn flow_runs(&self, flow: &str) -> Vec<Value> {
        let filter = json!({
            "flows": {"name": {"any_": [flow]}},
            "sort": "EXPECTED_START_TIME_DESC",
        });
        let mut runs = self.post("/flow_runs/filter", filter).await;
        let mut runs = std::mem::take(runs.as_array_mut().expect("a list"));
        runs.reverse();
        runs
    }

    /// Returns the task runs of a flow run, as `name: state` with the trailing number left out.
    pub async fn task_states(&self, flow_run: &Value) -> Vec<String> {
        let filter = json!({
            "flow_runs": {"id": {"any_": [flow_run["id"]]}},
            "sort": "EXPECTED_START_TIME_DESC",
        });
        let runs = self.post("/task_runs/filter", filter).await;
        let mut states: Vec<String> = runs
            .as_array()
            .expect("a list")
            .iter()
            .map(|run| {
                let name = run["name"].as_str().unwrap_or_default();
                let task = name.split('-').next().unwrap_or_default();
                format!(
                    "{task}: {}",
                    run["state"]["name"].as_str().unwrap_or_default()
                )
            })
            .collect();
        states.sort();
        states
    }

    /// Returns the messages of a flow run's logs, in order.
    pub async fn messages(&self, flow_run: &Value) -> Vec<String> {
        let filter = json!({"logs": {"flow_run_id": {"any_": [flow_run["id"]]}}});
        let logs = self.post("/logs/filter", filter).await;
        let logs = logs.as_array().expect("a list");
        logs.iter()
            .map(|log| log["message"].as_str().unwrap_or_default().to_owned())
            .collect()
    }
}

async fn caching(stage: &Stage) {
    let outcome = stage.feature("caching", &[]).await;
    assert_eq!(
        outcome.stdout.matches("computed 7").count(),
        1,
        "{}",
        outcome.stderr
    );
    let runs = stage.flow_runs("caching").await;
    assert_eq!(
        stage.task_states(&runs[0]).await,
        ["square: Cached", "square: Completed"]
    );
}

async fn subflows(stage: &Stage) {
    let outcome = stage.feature("subflows", &[]).await;
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let (parent, child) = (
        stage.flow_runs("subflows").await,
        stage.flow_runs("child").await,
    );
    assert_eq!(parent[0]["state"]["type"], "COMPLETED");
    assert_eq!(child[0]["state"]["type"], "COMPLETED");
    let stand_in = &child[0]["parent_task_run_id"];
    assert!(
        stand_in.is_string(),
        "the child knows its place in the parent"
    );
    assert_eq!(
        stage.task_states(&parent[0]).await,
        ["child: Completed", "square: Completed"]
    );
}

async fn limits(stage: &Stage) {
    let limit = json!({"tag": "scarce", "concurrency_limit": 1});
    stage.post("/concurrency_limits/", limit).await;
    let notes = stage.home.path().join("notes");
    let outcome = stage.feature("limits", &[text(&notes)]).await;
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let notes = std::fs::read_to_string(notes).expect("the tasks wrote notes");
    let lines: Vec<&str> = notes.lines().collect();
    for pair in lines.chunks(2) {
        assert!(
            pair[0].starts_with("begin") && pair[1].starts_with("end"),
            "{lines:?}"
        );
    }
    assert_eq!(lines.len(), 4, "{lines:?}");
}

async fn concurrent(stage: &Stage) {
    let meeting = stage.home.path().join("meeting");
    std::fs::create_dir(&meeting).expect("a new directory");
    let outcome = stage.feature("concurrent", &[text(&meeting)]).await;
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let runs = stage.flow_runs("concurrent").await;
    assert_eq!(
        stage.task_states(&runs[0]).await,
        ["together: Completed"; 3]
    );
}

async fn failing(stage: &Stage) {
    stage.feature("failing", &[]).await;
    let runs = stage.flow_runs("failing").await;
    assert_eq!(runs[0]["state"]["type"], "FAILED");
    assert_eq!(stage.task_states(&runs[0]).await, ["fails: Failed"]);
    let tries = stage
        .messages(&runs[0])
        .await
        .iter()
        .filter(|message| message.contains("ValueError: no luck"))
        .count();
    assert_eq!(tries, 3, "one try and two retries are in the logs");
}

async fn timing_out(stage: &Stage) {
    stage.feature("timing_out", &[]).await;
    let runs = stage.flow_runs("timing out").await;
    assert_eq!(runs[0]["state"]["type"], "FAILED");
    assert_eq!(runs[0]["state"]["name"], "TimedOut");
}

/// Ctrl-C where the client tells of it: with a task under way it sometimes ends before it can.
async fn interrupted(stage: &Stage) {
    let mut flow = stage.start(&["interrupted"]);
    stage.wait_for_output(&mut flow, "waiting").await;
    send(&flow, nix::sys::signal::Signal::SIGINT);
    flow.wait().await.expect("a child of ours");
    let runs = stage.flow_runs("interrupted").await;
    assert_eq!(runs[0]["state"]["type"], "FAILED", "{}", runs[0]);
}

/// A killed program tells nobody, so its run stays as it was until somebody ends it.
async fn killed(stage: &Stage) {
    let mut flow = stage.start(&["interrupted"]);
    stage.wait_for_output(&mut flow, "waiting").await;
    send(&flow, nix::sys::signal::Signal::SIGKILL);
    flow.wait().await.expect("a child of ours");
    let runs = stage.flow_runs("interrupted").await;
    assert_eq!(runs[0]["state"]["type"], "RUNNING");
    let id = runs[0]["id"].as_str().expect("an id");
    let cancel = Command::new(env!("CARGO_BIN_EXE_prefect-rs"))
        .args(["flow-run", "cancel", id])
        .env("PREFECT_HOME", stage.home.path())
        .env("PREFECT_API_URL", &stage.api)
        .status();
    assert!(cancel.await.expect("our executable starts").success());
    let runs = stage.flow_runs("interrupted").await;
    assert_eq!(runs[0]["state"]["type"], "CANCELLED");
}

fn send(process: &tokio::process::Child, signal: nix::sys::signal::Signal) {
    let pid = process.id().expect("a process that runs");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid.cast_signed()), signal)
        .expect("a process of ours");
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a temporary path is text")
}

/// Makes a test of each story.
macro_rules! stories {
    ($($story:ident),* $(,)?) => {
        mod told_to_ours {
            $(#[tokio::test]
            async fn $story() {
                if super::genuine::python_of("2.0b3").is_some() {
                    let server = super::ours::Server::start().await;
                    super::$story(&super::Stage::new(&server.url)).await;
                }
            })*
        }
    };
}

stories!(
    caching,
    subflows,
    limits,
    concurrent,
    failing,
    timing_out,
    interrupted,
    killed,
);

#[tokio::test]
async fn a_flow_runs_where_a_key_is_asked_for() {
    if genuine::python_of("2.0b3").is_none() {
        return;
    }
    let server = ours::Server::start_with(&[
        ("PREFECT_SERVER_API_AUTH_STRING", "admin:secret"),
        // Such clients know no tokens, and are asked for none.
        ("PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED", "true"),
    ])
    .await;
    let mut stage = Stage::new(&server.url);
    stage.key = Some("admin:secret");
    subflows(&stage).await;
    stage.key = Some("admin:wrong");
    let outcome = stage.feature("subflows", &[]).await;
    assert_ne!(outcome.code, Some(0), "a wrong key opens nothing");
    assert!(outcome.stderr.contains("401"), "{}", outcome.stderr);
}

//! Our agents against our server, all of them real processes.
//!
//! What an agent does when its API misbehaves is in `agent.rs`; here the real server keeps limits,
//! pushes and cancellations.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::ours::Server;

/// A server, a deployed script, a queue named `q`, and agents that end with the test.
struct Yard {
    server: Server,
    home: tempfile::TempDir,
    deployment: String,
    agents: Vec<Child>,
    http: reqwest::Client,
}

impl Drop for Yard {
    fn drop(&mut self) {
        for agent in &mut self.agents {
            let _ = agent.kill();
            let _ = agent.wait();
        }
    }
}

impl Yard {
    async fn with_script(script: &str, queue: &[&str]) -> Self {
        let mut yard = Self {
            server: Server::start().await,
            home: tempfile::tempdir().unwrap(),
            deployment: String::new(),
            agents: Vec::new(),
            http: prefect_rs::http::client().build().unwrap(),
        };
        let flow = yard.path("flow.sh");
        std::fs::write(&flow, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&flow, PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::write(yard.path("d.yaml"), "name: d\nflow_location: flow.sh\n").unwrap();
        let spec = yard.path("d.yaml");
        yard.deployment = yard.types(&["deployment", "create", spec.to_str().unwrap()]);
        yard.types(&[&["work-queue", "create", "q"], queue].concat());
        yard
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_prefect-rs"));
        command
            .args(arguments)
            .env("PREFECT_HOME", self.home.path())
            .env("PREFECT_API_URL", format!("{}/api", self.server.url))
            .stdin(Stdio::null());
        command
    }

    /// Types a command that must end well and returns what it printed.
    fn types(&self, arguments: &[&str]) -> String {
        let Output {
            status,
            stdout,
            stderr,
        } = self.command(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&stderr);
        assert!(status.success(), "{arguments:?}: {said}");
        String::from_utf8_lossy(&stdout).trim().to_owned()
    }

    /// Starts an agent of the queue with this poll interval in seconds.
    fn agent(&mut self, interval: &str) {
        let agent = self
            .command(&["agent", "start", "q"])
            .env("PREFECT_AGENT_QUERY_INTERVAL", interval)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.agents.push(agent);
    }

    fn schedules(&self) -> String {
        self.types(&["deployment", "run", &self.deployment])
    }

    async fn get(&self, path: &str) -> Value {
        let url = format!("{}/api{path}", self.server.url);
        let response = self.http.get(url).send().await.unwrap();
        assert!(response.status().is_success(), "{path}");
        serde_json::from_str(&response.text().await.unwrap()).unwrap()
    }

    /// Waits until a run has ended and returns its states.
    async fn states(&self, run: &str) -> Vec<Value> {
        let bound = Instant::now() + Duration::from_secs(120);
        loop {
            let run = self.get(&format!("/flow_runs/{run}")).await;
            let is_over = ["COMPLETED", "FAILED", "CRASHED", "CANCELLED"]
                .map(Value::from)
                .contains(&run["state"]["type"]);
            if is_over {
                break;
            }
            assert!(Instant::now() < bound, "it does not end: {run}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let states = self
            .get(&format!("/flow_run_states/?flow_run_id={run}"))
            .await;
        states.as_array().unwrap().clone()
    }

    async fn wait_for_file(&self, name: &str) -> String {
        let bound = Instant::now() + Duration::from_secs(120);
        loop {
            let text = std::fs::read_to_string(self.path(name)).unwrap_or_default();
            if text.ends_with('\n') {
                return text.trim().to_owned();
            }
            assert!(Instant::now() < bound, "{name} does not appear");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn types_of(states: &[Value]) -> Vec<&str> {
    states
        .iter()
        .map(|state| state["type"].as_str().unwrap())
        .collect()
}

fn instant(state: &Value) -> chrono::DateTime<chrono::Utc> {
    state["timestamp"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_quick_run_on_an_idle_queue_is_pushed_to_an_agent_that_hardly_polls() {
    let mut yard = Yard::with_script("true", &[]).await;
    yard.agent("86400");
    // The first run may come while the agent starts; the second one finds it listening.
    let first = yard.schedules();
    yard.states(&first).await;
    let second = yard.schedules();
    let states = yard.states(&second).await;
    assert_eq!(
        types_of(&states),
        ["SCHEDULED", "PENDING", "RUNNING", "COMPLETED"]
    );
    let delay = instant(&states[2]) - instant(&states[0]);
    println!(
        "RUNNING {} ms after the quick run",
        delay.num_milliseconds()
    );
}

#[tokio::test]
async fn a_queue_limit_holds_under_many_agents() {
    let script = "mkdir \"$PREFECT_HOME/alone\" && sleep 0.1 && rmdir \"$PREFECT_HOME/alone\"";
    let mut yard = Yard::with_script(script, &["--limit", "1"]).await;
    let runs: Vec<String> = (0..6).map(|_| yard.schedules()).collect();
    for _ in 0..3 {
        yard.agent("0.1");
    }
    for run in runs {
        let states = yard.states(&run).await;
        // Two at once would find the folder there, and fail.
        assert_eq!(
            types_of(&states),
            ["SCHEDULED", "PENDING", "RUNNING", "COMPLETED"]
        );
    }
}

#[tokio::test]
async fn a_run_that_is_cancelled_from_the_command_line_ends_with_its_whole_tree() {
    let script = "sleep 1000 & echo $! > \"$PREFECT_HOME/child\"; wait";
    let mut yard = Yard::with_script(script, &[]).await;
    yard.agent("0.1");
    let run = yard.schedules();
    let child = yard.wait_for_file("child").await;
    yard.types(&["flow-run", "cancel", &run]);
    let states = yard.states(&run).await;
    assert_eq!(types_of(&states).last(), Some(&"CANCELLED"));
    let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
    assert!(stat.is_empty() || stat.contains(") Z "), "{stat}");
}

#[tokio::test]
async fn output_that_is_no_text_is_kept_as_far_as_it_is() {
    let mut yard = Yard::with_script("printf 'caf\\351 \\0 end\\n'", &[]).await;
    yard.agent("0.1");
    let run = yard.schedules();
    yard.states(&run).await;
    let logs: Value =
        serde_json::from_str(&yard.types(&["flow-run", "logs", &run, "-o", "json"])).unwrap();
    assert_eq!(logs[0]["message"], json!("caf\u{fffd} \u{fffd} end"));
}

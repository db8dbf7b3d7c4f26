//! What users of genuine 2.20 and 3.x clients do, both against one server process of ours.
//!
//! The flows are in `flows/newer.py`; what they did is read back as each client reads it.

use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{genuine, ours};

/// The generations, with how each names itself.
pub const CLIENTS: [(&str, &str); 2] = [
    ("2.20", "prefect/2.20.26 (API 0.8.4)"),
    ("3.8", "prefect/3.8.8 (API 0.8.4)"),
];
/// A client that takes longer than this hangs; its imports alone take seconds.
pub const PATIENCE: Duration = Duration::from_secs(240);

/// A client of one generation, its home, and the server that it talks to.
pub struct Client {
    pub bin: PathBuf,
    agent: &'static str,
    pub api: String,
    pub home: tempfile::TempDir,
    pub http: reqwest::Client,
    environment: Vec<(&'static str, &'static str)>,
}

impl Client {
    pub fn of(generation: &(&'static str, &'static str), url: &str) -> Option<Self> {
        let python = genuine::python_of(generation.0)?;
        Some(Self {
            bin: python.parent().expect("a folder of programs").to_owned(),
            agent: generation.1,
            api: format!("{url}/api"),
            home: tempfile::tempdir().expect("a temporary directory"),
            http: prefect_rs::http::client().build().expect("a client"),
            environment: Vec::new(),
        })
    }

    /// Returns a name that no other generation gives.
    pub fn named(&self, what: &str) -> String {
        let generation = if self.agent.starts_with("prefect/2") {
            "2"
        } else {
            "3"
        };
        format!("{what}-{generation}")
    }

    pub fn command(&self, program: &str, arguments: &[&str]) -> std::process::Command {
        let mut command = std::process::Command::new(self.bin.join(program));
        command
            .args(arguments)
            .env("PREFECT_HOME", self.home.path())
            .env("PREFECT_API_URL", &self.api)
            .env("DO_NOT_TRACK", "1")
            // Tables are not cut to the width of no terminal.
            .env("COLUMNS", "200")
            .envs(self.environment.iter().copied())
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/flows"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs a program of the client to its end and returns what it printed.
    pub async fn run(&self, program: &str, arguments: &[&str]) -> String {
        let mut command = tokio::process::Command::from(self.command(program, arguments));
        let output = tokio::time::timeout(PATIENCE, command.kill_on_drop(true).output())
            .await
            .expect("the client ends")
            .expect("the client starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Starts a program of the client that goes on until it is dropped.
    pub fn start(&self, program: &str, arguments: &[&str]) -> Running {
        let mut command = self.command(program, arguments);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Running(command.spawn().expect("the client starts"))
    }

    pub async fn ask(&self, path: &str, body: Value) -> Value {
        let request = self.http.post(format!("{}{path}", self.api));
        let request = request.header("user-agent", self.agent);
        let request = request.header("x-prefect-api-version", "0.8.4");
        let response = request.json(&body).send().await;
        let response = response.expect("the server answers");
        assert!(
            response.status().is_success(),
            "{path}: {}",
            response.status()
        );
        response.json().await.expect("an answer in JSON")
    }

    /// Waits until the newest run of a deployment has ended, and returns it.
    pub async fn ended_run_of(&self, deployment: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        let filter = json!({
            "deployments": {"name": {"any_": [deployment]}},
            "flow_runs": {"state": {"type": {"any_": ["COMPLETED", "FAILED", "CRASHED"]}}},
        });
        loop {
            let runs = self.ask("/flow_runs/filter", filter.clone()).await;
            if let Some(run) = runs.as_array().and_then(|runs| runs.first()) {
                return run.clone();
            }
            assert!(Instant::now() < deadline, "no run of {deployment} ended");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits until a deployment is there.
    pub async fn deployed(&self, deployment: &str) {
        let deadline = Instant::now() + PATIENCE;
        let filter = json!({"deployments": {"name": {"any_": [deployment]}}});
        while self.ask("/deployments/count", filter.clone()).await == json!(0) {
            assert!(Instant::now() < deadline, "{deployment} is not deployed");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

impl Client {
    /// Waits until the newest flow run that a filter finds is in a state, and returns it.
    pub async fn run_in_state(&self, filter: Value, state: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        let body = json!({"flow_runs": filter, "sort": "EXPECTED_START_TIME_DESC", "limit": 1});
        loop {
            let runs = self.ask("/flow_runs/filter", body.clone()).await;
            if runs[0]["state_type"] == *state {
                return runs[0].clone();
            }
            assert!(Instant::now() < deadline, "not {state}: {runs}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// A process of a client; asked to end on drop.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Tells a story to our server with each client, one after the other on the same database.
async fn with_each(story: impl AsyncFn(&Client)) {
    let server = ours::Server::start().await;
    for generation in &CLIENTS {
        if let Some(client) = Client::of(generation, &server.url) {
            story(&client).await;
        }
    }
}

#[tokio::test]
async fn a_flow_runs_by_itself() {
    with_each(async |client| {
        let said = client.run("python", &["newer.py", "adhoc"]).await;
        assert!(said.contains("result 5"), "{said}");
        let filter = json!({
            "flow_runs": {"name": {"any_": ["squares-to-3"]}},
            "sort": "EXPECTED_START_TIME_DESC",
        });
        let runs = client.ask("/flow_runs/filter", filter).await;
        assert_eq!(runs[0]["state_type"], "COMPLETED", "{runs}");
        assert_eq!(runs[0]["run_count"], 1);
        let logs = json!({"logs": {"flow_run_id": {"any_": [runs[0]["id"]]}}});
        let logs = client.ask("/logs/filter", logs).await.to_string();
        assert!(logs.contains("squaring up to 3"), "{logs}");
    })
    .await;
}

#[tokio::test]
async fn slots_are_taken_and_variables_and_artifacts_kept() {
    with_each(async |client| {
        // Names of variables and keys of artifacts have no character in common but letters and digits.
        let word = client.named("word").replace('-', "");
        let tag = json!({"tag": "scarce", "concurrency_limit": 1});
        client.ask("/concurrency_limits/", tag).await;
        let limit = |name: &str, decay: u32| json!({"name": format!("{name}-{word}"), "limit": 1, "slot_decay_per_second": decay});
        client.ask("/v2/concurrency_limits/", limit("desk", 0)).await;
        client.ask("/v2/concurrency_limits/", limit("calls", 1)).await;
        let said = client.run("python", &["newer.py", "kept", &word]).await;
        // Two tasks with the tag did not run at once.
        assert!(said.contains("result (True, ") && said.contains("'north'"), "{said}");
        let limits = client.ask("/v2/concurrency_limits/filter", json!({})).await;
        let taken = |name: &str| {
            let named = limits.as_array().expect("a list").iter().find(|limit| limit["name"] == name);
            named.expect("a limit")["active_slots"].clone()
        };
        assert_eq!(taken("tag:scarce"), 0);
        assert_eq!(taken(&format!("desk-{word}")), 0);
        let shown = client.run("prefect", &["variable", "inspect", &format!("region_{word}")]).await;
        assert!(shown.contains("north"), "{shown}");
        let report = format!("report-{word}");
        let shown = client.run("prefect", &["artifact", "inspect", &report]).await;
        assert!(shown.contains(&report), "{shown}");
        let desk = format!("desk-{word}");
        let shown = client.run("prefect", &["gcl", "inspect", &desk]).await;
        assert!(shown.contains(&desk), "{shown}");
    })
    .await;
}

#[tokio::test]
async fn a_flow_runs_where_credentials_and_tokens_are_asked_for() {
    let server = ours::Server::start_with(&[
        ("PREFECT_SERVER_API_AUTH_STRING", "admin:secret"),
        ("PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED", "true"),
    ])
    .await;
    let mut told = 0;
    for generation in &CLIENTS {
        let Some(mut client) = Client::of(generation, &server.url) else {
            continue;
        };
        // Only the newest sends a string of its own; older ones have their key for it.
        let variable = match generation.0 {
            "3.8" => "PREFECT_API_AUTH_STRING",
            _ => "PREFECT_API_KEY",
        };
        client.environment = vec![(variable, "admin:secret")];
        let said = client.run("python", &["newer.py", "adhoc"]).await;
        assert!(said.contains("result 5"), "{said}");
        client.environment = vec![(variable, "admin:wrong")];
        let output = client.command("python", &["newer.py", "adhoc"]).output();
        let output = output.expect("the client starts");
        assert!(!output.status.success(), "a wrong string opens nothing");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("401"), "{said}");
        // Clients of 2.0b3 know no tokens, and this asks as they do.
        let asked = prefect_rs::http::client().build().expect("a client");
        let asked = asked
            .post(format!("{}/flow_runs/count", client.api))
            .header("authorization", "Bearer admin:secret")
            .header("x-prefect-api-version", "0.3.0")
            .json(&json!({
                "flow_runs": {"name": {"any_": ["squares-to-3"]}, "state": {"type": {"any_": ["COMPLETED"]}}}
            }));
        let count = asked.send().await.expect("the server answers");
        let count: Value = count.json().await.expect("a number");
        told += 1;
        assert_eq!(count, told, "each client's run is there");
    }
}

#[tokio::test]
async fn a_flow_is_served() {
    with_each(async |client| {
        let name = client.named("served");
        let _serving = client.start("python", &["newer.py", "serve", &name]);
        client.deployed(&name).await;
        let full_name = format!("adhoc/{name}");
        let run = ["deployment", "run", &full_name, "-p", "n=4"];
        client.run("prefect", &run).await;
        let run = client.ended_run_of(&name).await;
        assert_eq!(run["state_name"], "Completed", "{run}");
        assert_eq!(run["parameters"]["n"], 4);
    })
    .await;
}

#[tokio::test]
async fn a_specification_of_the_first_generation_is_deployed_and_run() {
    with_each(async |client| {
        let ours = env!("CARGO_BIN_EXE_prefect-rs");
        let python = client.bin.join("python");
        let python = python.to_str().expect("a path in UTF-8");
        let create = ["deployment", "create", "--python", python, "specified.py"];
        client.run(ours, &create).await;
        let execute = ["deployment", "execute", "specified/specified"];
        client.run(ours, &execute).await;
        let run = client.ended_run_of("specified").await;
        assert_eq!(run["state_name"], "Completed", "{run}");
        assert_eq!(run["parameters"]["n"], 3);
        let logs = json!({"logs": {"flow_run_id": {"any_": [run["id"]]}}});
        let logs = client.ask("/logs/filter", logs).await;
        assert!(logs.to_string().contains("doubled: 6 with b"), "{logs}");
        let deployments = client.ask("/deployments/filter", json!({})).await;
        assert_eq!(deployments[0]["description"], "Doubles a number.");
        let schema = &deployments[0]["parameter_openapi_schema"];
        assert_eq!(schema["properties"]["n"]["type"], "integer", "{schema}");
    })
    .await;
}

#[tokio::test]
async fn a_worker_runs_what_is_deployed_to_its_pool() {
    with_each(async |client| {
        let (name, pool) = (client.named("pooled"), client.named("shed"));
        let create = ["work-pool", "create", "--type", "process", &pool];
        client.run("prefect", &create).await;
        let deploy = ["newer.py", "deploy", &name, &pool];
        client.run("python", &deploy).await;
        let _worker = client.start("prefect", &["worker", "start", "--pool", &pool]);
        let run = ["deployment", "run", &format!("adhoc/{name}")];
        client.run("prefect", &run).await;
        let run = client.ended_run_of(&name).await;
        assert_eq!(run["state_name"], "Completed", "{run}");
        assert_eq!(run["work_pool_name"], *pool);
        assert_eq!(run["work_queue_name"], "default");
    })
    .await;
}

#[tokio::test]
async fn blocks_are_kept_with_their_secrets() {
    with_each(async |client| {
        let name = client.named("mine");
        let said = client.run("python", &["blocks.py", &name]).await;
        assert!(said.contains("loaded hunter2 9 inline"), "{said}");
        let listed = client.run("prefect", &["block", "ls"]).await;
        assert!(listed.contains(&format!("nested/{name}")), "{listed}");
        let secret = format!("secret/{name}");
        let shown = client.run("prefect", &["block", "inspect", &secret]).await;
        assert!(
            shown.contains("********") && !shown.contains("hunter2"),
            "{shown}"
        );
        let listed = client.run("prefect", &["block", "type", "ls"]).await;
        assert!(listed.contains("pager-duty-webhook"), "{listed}");
        // The client has found the schema of its own code, so it has registered none.
        let types = json!({"block_types": {"slug": {"any_": ["secret"]}}});
        let types = client.ask("/block_types/filter", types).await;
        let schemas = json!({"block_schemas": {"block_type_id": {"any_": [types[0]["id"]]}}});
        let schemas = client.ask("/block_schemas/filter", schemas).await;
        assert_eq!(schemas.as_array().map(Vec::len), Some(1), "{schemas}");
        client.run("prefect", &["block", "delete", &secret]).await;
        let listed = client.run("prefect", &["block", "ls"]).await;
        assert!(!listed.contains(&secret), "{listed}");
    })
    .await;
}

#[tokio::test]
async fn a_paused_flow_goes_on_with_the_input_that_it_asked_for() {
    with_each(async |client| {
        let name = client.named("asking");
        let _asking = client.start("python", &["pauses.py", &name]);
        let of_name = json!({"name": {"any_": [name]}});
        let run = client.run_in_state(of_name.clone(), "PAUSED").await;
        let run = run["id"].as_str().expect("an id");
        // Some clients say what they ask for only after they have paused.
        let asked = format!("/flow_runs/{run}/input/filter");
        let deadline = Instant::now() + PATIENCE;
        while client.ask(&asked, json!({"prefix": "paused"})).await == json!([]) {
            assert!(Instant::now() < deadline, "{run} asks for nothing");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let path = format!("/flow_runs/{run}/resume");
        let wrong = json!({"run_input": {"value": "many"}});
        let answer = client.ask(&path, wrong).await;
        assert_eq!(answer["status"], "REJECT", "{answer}");
        let right = json!({"run_input": {"value": 5}});
        let answer = client.ask(&path, right).await;
        assert_eq!(answer["status"], "ACCEPT", "{answer}");
        let run = client.run_in_state(of_name, "COMPLETED").await;
        let logs = json!({"logs": {"flow_run_id": {"any_": [run["id"]]}}});
        // The last lines may come after the state.
        loop {
            let logs = client.ask("/logs/filter", logs.clone()).await.to_string();
            if logs.contains("twice is 10") {
                break;
            }
            assert!(Instant::now() < deadline, "{logs}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    })
    .await;
}

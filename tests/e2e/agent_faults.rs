//! kill -9 of agents in the middle of their work, and many agents on two servers, and an audit.
//!
//! Each run leaves a line when its process starts, so what really ran is compared with what the
//! server tells. Which agent is killed, and after how much work, is decided by chance from a seed.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use prefect_rs::db::Db;
use prefect_rs::settings::{DatabaseUrl, Secret, Synchronous};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::audit::{Acknowledged, audit};
use crate::postgres;

const SEED: u64 = 20_261_128;

/// How often an agent is killed.
const KILLS: usize = 6;

/// How many agents there are.
const AGENTS: usize = 3;

/// Much more than anything here takes, since the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(180);

const EXECUTABLE: &str = env!("CARGO_BIN_EXE_prefect-rs");

/// Leaves a line and takes a while.
const SCRIPT: &str = "echo $PREFECT__FLOW_RUN_ID >> $PREFECT_HOME/started; sleep 0.3";

/// Servers on one database, agents, and a deployed script.
struct Fleet {
    home: tempfile::TempDir,
    database: DatabaseUrl,
    servers: Vec<(u16, Option<Child>)>,
    agents: Vec<Child>,
    deployment: String,
    http: reqwest::Client,
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for agent in &mut self.agents {
            kill(agent);
        }
        for (_, server) in &mut self.servers {
            if let Some(server) = server {
                kill(server);
            }
        }
    }
}

/// SIGKILL: nothing of the process gets to run again.
fn kill(process: &mut Child) {
    // It may have ended by itself, which is as good.
    let _ = process.kill();
    let _ = process.wait();
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port()
}

impl Fleet {
    /// Starts servers and agents, and deploys a script whose runs go to the queue `q`.
    async fn start(
        servers: usize,
        database: impl FnOnce(&Path) -> DatabaseUrl,
        script: &str,
        queue: &[&str],
        agents: usize,
    ) -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        let mut fleet = Self {
            database: database(home.path()),
            servers: (0..servers).map(|_| (free_port(), None)).collect(),
            agents: Vec::new(),
            deployment: String::new(),
            http: prefect_rs::http::client()
                .timeout(PATIENCE)
                .build()
                .expect("a client"),
            home,
        };
        for server in 0..servers {
            fleet.start_server(server).await;
        }
        let flow = fleet.path("flow.sh");
        std::fs::write(&flow, format!("#!/bin/sh\n{script}\n")).expect("a script");
        std::fs::set_permissions(&flow, PermissionsExt::from_mode(0o755)).expect("executable");
        let spec = fleet.path("d.yaml");
        std::fs::write(&spec, "name: d\nflow_location: flow.sh\n").expect("a specification");
        fleet.deployment = fleet.types(&[
            "deployment",
            "create",
            spec.to_str().expect("a path in UTF-8"),
        ]);
        fleet.types(&[&["work-queue", "create", "q"], queue].concat());
        for agent in 0..agents {
            let agent = fleet.new_agent(agent);
            fleet.agents.push(agent);
        }
        fleet
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn api(&self, server: usize) -> String {
        format!("http://127.0.0.1:{}/api", self.servers[server].0)
    }

    async fn start_server(&mut self, server: usize) {
        let database = match &self.database {
            DatabaseUrl::Postgres(url) => url.reveal().to_owned(),
            other => other.to_string(),
        };
        let process = Command::new(EXECUTABLE)
            .args(["orion", "start", "--host", "127.0.0.1", "--port"])
            .arg(self.servers[server].0.to_string())
            .env("PREFECT_HOME", self.home.path())
            .env("PREFECT_API_DATABASE_CONNECTION_URL", database)
            .env_remove("PREFECT_API_URL")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("our executable starts");
        self.servers[server].1 = Some(process);
        let health = format!("{}/health", self.api(server));
        let deadline = Instant::now() + PATIENCE;
        while self.http.get(&health).send().await.is_err() {
            assert!(Instant::now() < deadline, "no answer after a start");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn command(&self, server: usize, arguments: &[&str]) -> Command {
        let mut command = Command::new(EXECUTABLE);
        command
            .args(arguments)
            .env("PREFECT_HOME", self.home.path())
            .env("PREFECT_API_URL", self.api(server))
            .env("PREFECT_AGENT_QUERY_INTERVAL", "0.2")
            .env("PREFECT_RS", EXECUTABLE)
            .stdin(Stdio::null());
        command
    }

    /// Types a command that must end well and returns what it printed.
    fn types(&self, arguments: &[&str]) -> String {
        let output = self.command(0, arguments).output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Starts an agent; each talks to the next server.
    fn new_agent(&self, number: usize) -> Child {
        self.command(number % self.servers.len(), &["agent", "start", "q"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("an agent starts")
    }

    /// Makes a run; the answer means that it is not lost any more.
    async fn schedules(&self, server: usize) -> Uuid {
        self.schedules_with(server, json!({})).await
    }

    /// Makes a run with more than its state.
    async fn schedules_with(&self, server: usize, mut body: Value) -> Uuid {
        let deployment = &self.deployment;
        let url = format!(
            "{}/deployments/{deployment}/create_flow_run",
            self.api(server)
        );
        body["state"] = json!({"type": "SCHEDULED"});
        let answer = self.http.post(url).json(&body).send().await;
        let answer = answer.expect("the server answers");
        let run: Value = answer.json().await.expect("an answer in JSON");
        run["id"]
            .as_str()
            .and_then(|id| id.parse().ok())
            .expect("an id")
    }

    /// Returns how often the process of each run was started.
    fn started(&self) -> BTreeMap<Uuid, usize> {
        let text = std::fs::read_to_string(self.path("started")).unwrap_or_default();
        let mut started = BTreeMap::new();
        for line in text.lines() {
            let id = line.parse().expect("a line is an id");
            *started.entry(id).or_default() += 1;
        }
        started
    }

    async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds().await {
            assert!(Instant::now() < deadline, "{what} does not come true");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn state_of(&self, run: Uuid) -> Value {
        let url = format!("{}/flow_runs/{run}", self.api(0));
        let answer = self.http.get(url).send().await.expect("an answer");
        let run: Value = answer.json().await.expect("an answer in JSON");
        run["state"].clone()
    }

    async fn types_of(&self, run: Uuid) -> Vec<String> {
        let url = format!("{}/flow_run_states/?flow_run_id={run}", self.api(0));
        let answer = self.http.get(url).send().await.expect("an answer");
        let states: Vec<Value> = answer.json().await.expect("an answer in JSON");
        let of = |state: &Value| state["type"].as_str().unwrap_or_default().to_owned();
        states.iter().map(of).collect()
    }

    /// Waits until each run has ended.
    async fn until_ended(&self, runs: &[Uuid]) {
        for run in runs {
            self.until(&format!("the end of {run}"), async || {
                let state = self.state_of(*run).await;
                ["COMPLETED", "FAILED", "CRASHED"].contains(&state["type"].as_str().unwrap_or(""))
            })
            .await;
        }
    }

    /// Stops everything and returns what is wrong with what they left.
    async fn audit(mut self, runs: &[Uuid]) -> Vec<String> {
        for agent in &mut self.agents {
            kill(agent);
        }
        for (_, server) in &mut self.servers {
            if let Some(server) = server {
                kill(server);
            }
        }
        let db = Db::open(&self.database, Synchronous::Normal)
            .await
            .expect("the database opens");
        let scheduled = |run: &Uuid| Acknowledged {
            run: *run,
            state_type: "SCHEDULED",
        };
        let wrong = audit(&db, runs.iter().map(scheduled).collect()).await;
        db.close().await;
        wrong
    }
}

/// Returns the processes that were started for one of these runs and still are at work.
fn processes_of(runs: &[Uuid]) -> Vec<String> {
    let entries: Vec<String> = runs
        .iter()
        .map(|run| format!("PREFECT__FLOW_RUN_ID={run}"))
        .collect();
    let mut found = Vec::new();
    for process in std::fs::read_dir("/proc").expect("Linux").flatten() {
        let environment = std::fs::read(process.path().join("environ")).unwrap_or_default();
        let environment = String::from_utf8_lossy(&environment);
        if environment
            .split('\0')
            .any(|variable| entries.iter().any(|entry| entry == variable))
        {
            found.push(process.file_name().to_string_lossy().into_owned());
        }
    }
    found
}

/// Kills agents, and now and then the server too, and checks what is left.
async fn torture(mut fleet: Fleet, kills_servers: bool) {
    let mut chance = StdRng::seed_from_u64(SEED);
    let mut runs = Vec::new();
    for round in 0..KILLS {
        for n in 0..AGENTS * 2 {
            runs.push(fleet.schedules(n % fleet.servers.len()).await);
        }
        let enough = fleet.started().len() + chance.random_range(1..=AGENTS);
        fleet
            .until("the start of runs", async || {
                fleet.started().len() >= enough
            })
            .await;
        let victim = chance.random_range(0..AGENTS);
        kill(&mut fleet.agents[victim]);
        if kills_servers && round % 2 == 1 {
            let server = chance.random_range(0..fleet.servers.len());
            if let Some(process) = &mut fleet.servers[server].1 {
                kill(process);
            }
            // What is to be told to it waits in agents and guards.
            fleet.start_server(server).await;
        }
        fleet.agents[victim] = fleet.new_agent(victim);
    }
    fleet.until_ended(&runs).await;
    fleet
        .until("the end of all processes", async || {
            processes_of(&runs).is_empty()
        })
        .await;
    let started = fleet.started();
    let mut crashed = 0;
    for run in &runs {
        let state = fleet.state_of(*run).await;
        let times = started.get(run).copied().unwrap_or_default();
        match state["type"].as_str() {
            Some("COMPLETED") => assert_eq!(times, 1, "{run} is said to have run once"),
            Some("CRASHED") => {
                crashed += 1;
                let message = state["message"].as_str().unwrap_or_default();
                assert!(message.contains("agent"), "{state}");
                assert!(times <= 1, "{run} was started {times} times");
            }
            _ => panic!("{run} neither ran nor was lost with its agent: {state}"),
        }
    }
    assert!(crashed > 0, "no run was under way when an agent was killed");
    assert_eq!(fleet.audit(&runs).await, Vec::<String>::new());
}

fn file(home: &Path) -> DatabaseUrl {
    DatabaseUrl::Sqlite(home.join("orion.db"))
}

#[tokio::test]
async fn runs_of_killed_agents_end_and_run_once() {
    let fleet = Fleet::start(1, file, SCRIPT, &[], AGENTS).await;
    torture(fleet, false).await;
}

#[tokio::test]
async fn the_same_holds_when_the_server_dies_with_them() {
    let fleet = Fleet::start(1, file, SCRIPT, &[], AGENTS).await;
    torture(fleet, true).await;
}

#[tokio::test]
async fn the_same_holds_with_two_servers_on_postgresql() {
    let Some(url) = postgres::new_database().await else {
        return;
    };
    let database = |_: &Path| DatabaseUrl::Postgres(Secret::new(url));
    let fleet = Fleet::start(2, database, SCRIPT, &[], AGENTS).await;
    torture(fleet, true).await;
}

#[tokio::test]
async fn a_claim_that_takes_effect_after_its_agent_was_killed_is_handed_back() {
    let fleet = Fleet::start(1, file, SCRIPT, &[], 0).await;
    let run = fleet.schedules(0).await;
    let transition = Uuid::new_v4();
    let mut guard = fleet
        .command(0, &["agent", "guard"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a guard starts");
    let mut pipe = guard.stdin.take().expect("the agent's end of the pipe");
    writeln!(pipe, "of agent\nclaim {run} {transition}").expect("the guard listens");
    // The agent is killed; a busy database takes its claim only after the guard has looked twice.
    drop(pipe);
    tokio::time::sleep(Duration::from_secs(6)).await;
    let url = format!("{}/flow_runs/{run}/set_state", fleet.api(0));
    let details = json!({"transition_id": transition});
    let body = json!({"state": {"type": "PENDING", "state_details": details}});
    let answer = fleet.http.post(url).json(&body).send().await;
    let answer: Value = answer.expect("an answer").json().await.expect("JSON");
    assert_eq!(answer["status"], "ACCEPT", "{answer}");
    fleet
        .until("the hand-back", async || {
            fleet.state_of(run).await["type"] == "SCHEDULED"
        })
        .await;
    let message = fleet.state_of(run).await["message"].clone();
    assert_eq!(message, "The agent that had claimed the run was killed.");
    assert!(guard.wait().expect("the guard ends").success());
}

/// Fails the first time.
const SECOND_TIME: &str = "mkdir $PREFECT_HOME/tried 2>/dev/null && exit 1; exit 0";

#[tokio::test]
async fn a_run_that_waits_for_its_retry_outlives_its_agent() {
    let mut fleet = Fleet::start(1, file, SECOND_TIME, &[], 1).await;
    let policy = json!({"empirical_policy": {"retries": 1, "retry_delay": 5}});
    let run = fleet.schedules_with(0, policy).await;
    fleet
        .until("the first failure", async || {
            fleet.state_of(run).await["name"] == "AwaitingRetry"
        })
        .await;
    kill(&mut fleet.agents[0]);
    fleet.agents[0] = fleet.new_agent(0);
    fleet.until_ended(&[run]).await;
    assert_eq!(
        fleet.types_of(run).await,
        [
            "SCHEDULED",
            "PENDING",
            "RUNNING",
            "SCHEDULED",
            "SCHEDULED",
            "PENDING",
            "RUNNING",
            "COMPLETED"
        ]
    );
    assert_eq!(fleet.audit(&[run]).await, Vec::<String>::new());
}

/// All runs go the straight way, or the script has found more of its kind than there may be.
async fn runs_straight(fleet: Fleet, count: usize) {
    let mut runs = Vec::new();
    for n in 0..count {
        runs.push(fleet.schedules(n % fleet.servers.len()).await);
    }
    fleet.until_ended(&runs).await;
    for run in &runs {
        assert_eq!(
            fleet.types_of(*run).await,
            ["SCHEDULED", "PENDING", "RUNNING", "COMPLETED"]
        );
    }
    assert_eq!(fleet.audit(&runs).await, Vec::<String>::new());
}

/// Takes one of two places for a moment; fails when both are taken.
const TWO_PLACES: &str = "for n in 1 2; do\n\
    if mkdir $PREFECT_HOME/place$n 2>/dev/null; then sleep 0.1; rmdir $PREFECT_HOME/place$n; exit 0; fi\n\
    done\nexit 1";

#[tokio::test]
async fn a_queue_limit_holds_on_two_servers() {
    let Some(url) = postgres::new_database().await else {
        return;
    };
    let database = |_: &Path| DatabaseUrl::Postgres(Secret::new(url));
    let fleet = Fleet::start(2, database, TWO_PLACES, &["--limit", "2"], 4).await;
    runs_straight(fleet, 16).await;
}

/// Each run has a step with a tag, of which one may run at once.
const TAGGED: &str = "step=$($PREFECT_RS task-run start step -t few) || exit 1\n\
    mkdir $PREFECT_HOME/alone || exit 2\nsleep 0.05\nrmdir $PREFECT_HOME/alone\n\
    $PREFECT_RS task-run complete $step";

#[tokio::test]
async fn a_tag_limit_holds_under_many_agents() {
    let fleet = Fleet::start(1, file, TAGGED, &[], 4).await;
    fleet.types(&["concurrency-limit", "create", "few", "1"]);
    runs_straight(fleet, 8).await;
}

#[tokio::test]
async fn a_tag_limit_holds_on_two_servers() {
    let Some(url) = postgres::new_database().await else {
        return;
    };
    let database = |_: &Path| DatabaseUrl::Postgres(Secret::new(url));
    let fleet = Fleet::start(2, database, TAGGED, &[], 4).await;
    fleet.types(&["concurrency-limit", "create", "few", "1"]);
    runs_straight(fleet, 8).await;
}

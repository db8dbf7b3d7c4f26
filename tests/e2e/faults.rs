//! kill -9 of the server in the middle of its work, again and again, and an audit at the end.
//!
//! When it is killed is decided by how many answers clients have had, by chance from a seed, never
//! by the clock. Clients know what they were answered; the auditor finds it, or says what is lost.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use prefect_rs::db::Db;
use prefect_rs::settings::{DatabaseUrl, Secret, Synchronous};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::Client;
use serde_json::{Value, json};
use sqlx::Connection;
use tokio::sync::watch;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::audit::{Acknowledged, audit};
use crate::postgres;

const SEED: u64 = 20_261_124;

/// How often the server is killed.
const KILLS: usize = 4;

/// Clients that take runs through their life.
const CLIENTS: usize = 12;

/// Agents that race for the same runs.
const AGENTS: usize = 4;

/// Much more than a start takes, since the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server process that may be killed and started again on the same home.
struct Victim {
    home: tempfile::TempDir,
    database: DatabaseUrl,
    url: String,
    process: Option<Child>,
}

impl Victim {
    fn on(database: impl FnOnce(&std::path::Path) -> DatabaseUrl) -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        let database = database(home.path());
        Self {
            home,
            database,
            url: String::new(),
            process: None,
        }
    }

    async fn start(&mut self, client: &Client) {
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let database = match &self.database {
            DatabaseUrl::Postgres(url) => url.reveal().to_owned(),
            other => other.to_string(),
        };
        let process = Command::new(env!("CARGO_BIN_EXE_prefect-rs"))
            .args(["orion", "start", "--host", "127.0.0.1", "--port"])
            .arg(port.to_string())
            .env("PREFECT_HOME", self.home.path())
            .env("PREFECT_API_DATABASE_CONNECTION_URL", database)
            .env_remove("PREFECT_API_URL")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("our executable starts");
        self.process = Some(process);
        self.url = format!("http://127.0.0.1:{port}/api");
        let deadline = Instant::now() + PATIENCE;
        while client
            .get(format!("{}/health", self.url))
            .send()
            .await
            .is_err()
        {
            assert!(Instant::now() < deadline, "no answer after a start");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// SIGKILL: nothing of the process gets to run again.
    fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("a child of ours");
            process.wait().expect("a child of ours");
        }
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What clients know together.
struct Known {
    answers: Mutex<Vec<Acknowledged>>,
    /// Which runs an agent was given.
    claims: Mutex<BTreeMap<Uuid, usize>>,
    /// How many answers there were, for the one who waits to kill.
    count: watch::Sender<usize>,
}

impl Known {
    fn note(&self, run: Uuid, state_type: &'static str) {
        let answer = Acknowledged { run, state_type };
        self.answers.lock().unwrap().push(answer);
        self.count.send_modify(|count| *count += 1);
    }
}

/// One client of one life of the server; ends with it.
#[derive(Clone)]
struct Asking {
    client: Client,
    url: String,
    known: Arc<Known>,
}

impl Asking {
    /// Sends a request; `None` when the server is gone.
    async fn ask(&self, path: &str, body: Value) -> Option<Value> {
        let request = self.client.post(format!("{}{path}", self.url)).json(&body);
        let response = request.send().await.ok()?;
        let status = response.status();
        let body = response.text().await.ok()?;
        assert!(status.is_success(), "{path}: {status} {body}");
        serde_json::from_str(&body).ok()
    }

    async fn create(&self, path: &str, body: Value) -> Option<Uuid> {
        self.ask(path, body).await?["id"].as_str()?.parse().ok()
    }

    /// Proposes a state and notes it when it was accepted; tells whether it was.
    async fn propose(&self, nouns: &str, run: Uuid, state_type: &'static str) -> Option<bool> {
        let body = json!({"state": {"type": state_type}});
        let answer = self.ask(&format!("/{nouns}/{run}/set_state"), body).await?;
        let is_accepted = answer["status"] == "ACCEPT";
        if is_accepted {
            self.known.note(run, state_type);
        }
        Some(is_accepted)
    }

    /// Takes flow runs with a task run each through their life, until the server is gone.
    async fn live(self, flow: Uuid) {
        while self.one_life(flow).await.is_some() {}
    }

    async fn one_life(&self, flow: Uuid) -> Option<()> {
        let body = json!({"flow_id": flow, "state": {"type": "PENDING"}});
        let run = self.create("/flow_runs/", body).await?;
        self.known.note(run, "PENDING");
        self.propose("flow_runs", run, "RUNNING").await?;
        let body = json!({"flow_run_id": run, "task_key": "t", "dynamic_key": "0", "tags": ["few"],
                          "state": {"type": "PENDING"}});
        let task = self.create("/task_runs/", body).await?;
        self.known.note(task, "PENDING");
        // With the limit's slots taken it has to wait, and ends without having run.
        if self.propose("task_runs", task, "RUNNING").await? {
            self.propose("task_runs", task, "COMPLETED").await?;
        } else {
            self.propose("task_runs", task, "CANCELLED").await?;
        }
        self.propose("flow_runs", run, "COMPLETED").await.map(drop)
    }

    /// Claims every run that is offered, as all the other agents do.
    async fn claim(self, mut offered: tokio::sync::broadcast::Receiver<Uuid>) {
        while let Ok(run) = offered.recv().await {
            match self.propose("flow_runs", run, "PENDING").await {
                Some(true) => *self.known.claims.lock().unwrap().entry(run).or_default() += 1,
                Some(false) => {}
                None => return,
            }
        }
    }

    /// Makes runs of a deployment and offers them to the agents.
    async fn offer(self, deployment: Uuid, offers: tokio::sync::broadcast::Sender<Uuid>) {
        let path = format!("/deployments/{deployment}/create_flow_run");
        while let Some(run) = self.create(&path, json!({})).await {
            self.known.note(run, "SCHEDULED");
            // Without agents left the server is about to go as well.
            let _ = offers.send(run);
        }
    }
}

/// Kills the server again and again, and returns what is wrong afterwards.
async fn torture(mut victim: Victim) -> Vec<String> {
    let mut chance = StdRng::seed_from_u64(SEED);
    let client = prefect_rs::http::client()
        .timeout(PATIENCE)
        .build()
        .expect("a client");
    let known = Arc::new(Known {
        answers: Mutex::default(),
        claims: Mutex::default(),
        count: watch::channel(0).0,
    });
    victim.start(&client).await;
    let asking = |url: &str| Asking {
        client: client.clone(),
        url: url.to_owned(),
        known: known.clone(),
    };
    let first = asking(&victim.url);
    let flow = first
        .create("/flows/", json!({"name": "etl"}))
        .await
        .expect("a flow");
    let body = json!({"name": "d", "flow_id": flow});
    let deployment = first
        .create("/deployments/", body)
        .await
        .expect("a deployment");
    let limit = json!({"tag": "few", "concurrency_limit": CLIENTS / 2});
    first
        .create("/concurrency_limits/", limit)
        .await
        .expect("a limit");
    for _ in 0..KILLS {
        let asking = asking(&victim.url);
        let mut work = JoinSet::new();
        let (offers, _) = tokio::sync::broadcast::channel(4096);
        for _ in 0..CLIENTS {
            work.spawn(asking.clone().live(flow));
        }
        for _ in 0..AGENTS {
            work.spawn(asking.clone().claim(offers.subscribe()));
        }
        work.spawn(asking.clone().offer(deployment, offers));
        let mut count = known.count.subscribe();
        let enough = *count.borrow() + chance.random_range(100..400);
        let waited = tokio::time::timeout(PATIENCE, count.wait_for(|count| *count >= enough));
        waited
            .await
            .expect("the server answers")
            .expect("somebody counts");
        victim.kill();
        for outcome in work.join_all().await {
            let () = outcome;
        }
        victim.start(&client).await;
    }
    victim.kill();
    let db = Db::open(&victim.database, Synchronous::Normal)
        .await
        .expect("the database opens");
    let answers = known.answers.lock().unwrap().clone();
    let mut wrong = audit(&db, answers).await;
    db.close().await;
    let twice = known
        .claims
        .lock()
        .unwrap()
        .iter()
        .filter(|(_, times)| **times > 1)
        .count();
    if twice > 0 {
        wrong.push(format!("{twice} runs were given to several agents"));
    }
    // What was never claimed would prove nothing.
    assert!(
        !known.claims.lock().unwrap().is_empty(),
        "no agent got a run"
    );
    wrong
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_under_load_loses_nothing_and_does_nothing_twice() {
    let victim = Victim::on(|home| DatabaseUrl::Sqlite(home.join("orion.db")));
    assert_eq!(torture(victim).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_holds_on_postgresql() {
    let Some(url) = postgres::new_database().await else {
        return;
    };
    let victim = Victim::on(|_| DatabaseUrl::Postgres(Secret::new(url)));
    assert_eq!(torture(victim).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgresql_that_restarts_costs_refusals_and_nothing_else() {
    let Some(url) = postgres::new_database().await else {
        return;
    };
    let client = prefect_rs::http::client()
        .timeout(PATIENCE)
        .build()
        .expect("a client");
    let mut victim = Victim::on(|_| DatabaseUrl::Postgres(Secret::new(url.clone())));
    victim.start(&client).await;
    let create = async |name: &str| {
        let body = json!({"name": name});
        let request = client.post(format!("{}/flows/", victim.url)).json(&body);
        request.send().await.expect("an answer").status().as_u16()
    };
    assert_eq!(create("before").await, 201);
    let mut other = sqlx::PgConnection::connect(&url)
        .await
        .expect("a connection");
    for round in 0..5 {
        // To the server it looks as if PostgreSQL had gone down and come up again.
        sqlx::raw_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .execute(&mut other)
        .await
        .expect("its connections end");
        let mut statuses = Vec::new();
        while statuses.last() != Some(&201) {
            statuses.push(create(&format!("{round} {}", statuses.len())).await);
            assert!(statuses.len() < 50, "it does not heal: {statuses:?}");
        }
        let strange = statuses.iter().any(|status| ![201, 503].contains(status));
        assert!(!strange, "{statuses:?}");
    }
}

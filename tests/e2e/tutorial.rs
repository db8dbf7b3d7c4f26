//! The README's tutorial as a user lives it: real files, real processes, the genuine 2.0b3 client.
//!
//! It is told twice. Once our own command deploys and our own agent runs the flow, once the genuine
//! command and agent do; the server is ours both times, and everything that can be read afterwards
//! (API, command line, the database file) must be the same.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::{genuine, ours};

const OURS: &str = env!("CARGO_BIN_EXE_prefect-rs");
/// Only keeps a failing test from hanging: a Python start takes seconds, and more on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);
/// Chance of this seed: fails, works, fails, works, works, fails, fails, works, fails, fails, works, …
const SEED: &str = "3";

/// Whose commands are typed.
#[derive(Clone, Copy, PartialEq)]
enum Hand {
    Ours,
    Genuine,
}

/// A user's desk: a folder with the tutorial's files, a home, and the API that fails.
struct Desk {
    folder: tempfile::TempDir,
    python: PathBuf,
    server: Option<ours::Server>,
    http: reqwest::Client,
    /// The flaky API's address.
    records: String,
    _api: Child,
}

impl Desk {
    /// Lays out the tutorial, or returns nothing where the genuine client is not installed.
    async fn lay_out() -> Option<Self> {
        let python = genuine::python_of("2.0b3")?;
        let folder = tempfile::tempdir().unwrap();
        let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/tutorial");
        for name in ["etl.py", "deployment.py", "flaky_api.py"] {
            std::fs::copy(files.join(name), folder.path().join(name)).unwrap();
        }
        let mut api = Command::new(&python)
            .args(["flaky_api.py", "0", SEED])
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let port = first_line(&mut api).await;
        let desk = Self {
            records: format!("http://127.0.0.1:{port}/"),
            folder,
            python,
            server: None,
            http: prefect_rs::http::client().build().unwrap(),
            _api: api,
        };
        desk.edit("deployment.py", "http://127.0.0.1:4299/", &desk.records);
        desk.edit("deployment.py", "/tmp/etl.db", text(&desk.path("etl.db")));
        Some(desk)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Replaces text in a file of the user.
    fn edit(&self, name: &str, old: &str, new: &str) {
        let before = std::fs::read_to_string(self.path(name)).unwrap();
        assert!(before.contains(old), "{name} has no {old}");
        std::fs::write(self.path(name), before.replace(old, new)).unwrap();
    }

    /// Makes a command in the user's terminal.
    fn command(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("PREFECT_HOME", self.path("home"))
            .env_remove("PREFECT_API_URL")
            .env("DO_NOT_TRACK", "1")
            .env("COLUMNS", "200")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        if let Some(server) = &self.server {
            command.env("PREFECT_API_URL", format!("{}/api", server.url));
        }
        command
    }

    /// Runs a command to its end; returns its code, its stdout, and all it said.
    async fn run(&self, program: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
        let running = self.command(program, arguments).output();
        let output = tokio::time::timeout(PATIENCE, running)
            .await
            .unwrap_or_else(|_| panic!("{arguments:?} does not end"))
            .unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let said = stdout.clone() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code(), stdout, said)
    }

    /// Runs a Python program that must end well, and returns all it said.
    async fn python(&self, arguments: &[&str]) -> String {
        let (code, _, said) = self.run(&self.python, arguments).await;
        assert_eq!(code, Some(0), "{arguments:?}: {said}");
        said
    }

    /// Types a command of ours or of the genuine client, which must end well; returns its stdout.
    async fn types(&self, hand: Hand, arguments: &[&str]) -> String {
        let program = self.program(hand);
        let (code, stdout, said) = self.run(&program, arguments).await;
        assert_eq!(code, Some(0), "{arguments:?}: {said}");
        stdout
    }

    fn program(&self, hand: Hand) -> PathBuf {
        match hand {
            Hand::Ours => OURS.into(),
            Hand::Genuine => self.python.with_file_name("prefect"),
        }
    }

    /// Types a command and returns the id that it prints; the genuine one prints `UUID('..')`.
    async fn id_of(&self, hand: Hand, arguments: &[&str]) -> String {
        let stdout = self.types(hand, arguments).await;
        let id = stdout
            .trim()
            .trim_start_matches("UUID('")
            .trim_end_matches("')");
        assert!(uuid::Uuid::parse_str(id).is_ok(), "{arguments:?}: {stdout}");
        id.to_owned()
    }

    async fn start_server(&mut self) {
        self.server = Some(ours::Server::start().await);
    }

    /// Sends a request as a 2.0b3 client (or as its dashboard, which sends no version).
    async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let url = format!("{}/api{path}", self.server.as_ref().unwrap().url);
        let mut request = self.http.request(method.parse().unwrap(), url);
        if !path.ends_with("/create_flow_run") {
            request = request.header("x-prefect-api-version", "0.3.0");
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        assert!(status.is_success(), "{method} {path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    async fn deployment(&self) -> Value {
        let path = "/deployments/name/My%20ETL%20flow/etl-deployment";
        self.call("GET", path, None).await
    }

    /// Presses Quick Run in the dashboard and returns the run's id.
    async fn quick_run(&self) -> String {
        let id = self.deployment().await["id"].as_str().unwrap().to_owned();
        let path = format!("/deployments/{id}/create_flow_run");
        let body =
            json!({"state": {"type": "SCHEDULED", "message": "Quick run through the Orion UI."}});
        let run = self.call("POST", &path, Some(body)).await;
        run["id"].as_str().unwrap().to_owned()
    }

    /// Waits until a run's state has this name, and returns the run.
    async fn wait_for(&self, run: &str, state: &str) -> Value {
        let bound = Instant::now() + PATIENCE;
        loop {
            let run = self.call("GET", &format!("/flow_runs/{run}"), None).await;
            if run["state"]["name"] == state {
                return run;
            }
            let is_over = ["COMPLETED", "FAILED"]
                .map(Value::from)
                .contains(&run["state"]["type"]);
            assert!(!is_over && Instant::now() < bound, "not {state}: {run}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Starts an agent, which ends with the returned value.
    fn agent(&self, hand: Hand, queue: &str) -> Child {
        let log = std::fs::File::create(self.path("agent.log")).unwrap();
        self.command(&self.program(hand), &["agent", "start", queue])
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    /// Returns the facts that runs wrote to the user's database, oldest first.
    fn facts(&self) -> Vec<String> {
        column(
            &self.path("etl.db"),
            "SELECT fact FROM record ORDER BY rowid",
            "",
        )
    }
}

/// Reads a column of a SQLite file as any program could; `$1` is the parameter.
fn column(file: &Path, query: &str, parameter: &str) -> Vec<String> {
    let database =
        Connection::open_with_flags(file, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut statement = database.prepare(query).unwrap();
    let parameters: &[&str] = if query.contains("$1") {
        &[parameter]
    } else {
        &[]
    };
    let rows = statement
        .query_map(rusqlite::params_from_iter(parameters), |row| {
            row.get::<_, String>(0)
        })
        .unwrap();
    rows.map(Result::unwrap).collect()
}

async fn first_line(child: &mut Child) -> String {
    use tokio::io::{AsyncBufReadExt, BufReader};
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut line).await.unwrap();
    line.trim().to_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a temporary path is text")
}

/// What the first call's task run goes through: the API fails once, the retry succeeds.
const RETRIED: [&str; 5] = [
    "Pending",
    "Running",
    "AwaitingRetry",
    "Retrying",
    "Completed",
];
const STATES_OF_CALL: &str = "SELECT s.name FROM task_run_state s JOIN task_run t ON t.id = s.task_run_id \
     WHERE t.name LIKE 'Call API%' AND t.flow_run_id = $1 ORDER BY s.timestamp";

#[tokio::test]
async fn without_a_server_the_genuine_client_keeps_its_own_database_and_ours_stays_out_of_its_way()
{
    let Some(desk) = Desk::lay_out().await else {
        return;
    };
    let arguments = ["etl.py", &desk.records.clone(), "etl.db"];
    let said = desk.python(&arguments).await;
    assert!(said.contains("Finished in state Completed"), "{said}");
    let database = desk.path("home/orion.db");
    let runs = column(&database, "SELECT id FROM flow_run", "");
    let call = column(&database, STATES_OF_CALL, &runs[0]);
    assert_eq!(call, RETRIED);
    assert_eq!(desk.facts(), ["fact 2"]);

    // Our server finds that file at its own default place: it says so and changes nothing.
    let before = std::fs::read(&database).unwrap();
    let (code, _, said) = desk
        .run(Path::new(OURS), &["orion", "start", "--port", "0"])
        .await;
    assert_eq!(code, Some(5), "{said}");
    assert!(
        said.contains("a database of genuine Prefect") && said.contains("Hint: move it away"),
        "{said}"
    );
    assert_eq!(std::fs::read(&database).unwrap(), before);

    // The other way round: without PREFECT_API_URL the client opens our file, and is told.
    std::fs::remove_file(&database).unwrap();
    desk.types(Hand::Ours, &["database", "upgrade"]).await;
    let before = column(
        &database,
        "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL",
        "",
    );
    let (code, _, said) = desk.run(&desk.python, &arguments).await;
    assert_ne!(code, Some(0));
    assert!(
        said.contains("this database belongs to prefect-rs: set PREFECT_API_URL"),
        "{said}"
    );
    assert_eq!(
        column(
            &database,
            "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL",
            ""
        ),
        before
    );
}

#[tokio::test]
async fn the_tutorial_with_our_command_and_our_agent() {
    tell(Hand::Ours).await;
}

#[tokio::test]
async fn the_tutorial_with_the_genuine_command_and_the_genuine_agent() {
    tell(Hand::Genuine).await;
}

async fn tell(hand: Hand) {
    let Some(mut desk) = Desk::lay_out().await else {
        return;
    };
    desk.start_server().await;

    // Ad hoc: the program runs as it is, and the server hears of it.
    let said = desk
        .python(&["etl.py", &desk.records.clone(), "etl.db"])
        .await;
    assert!(
        said.contains("Received non-final state 'AwaitingRetry'"),
        "{said}"
    );
    assert_eq!(desk.facts(), ["fact 2"]);

    // The genuine command creates a deployment again only where a default storage is set.
    if hand == Hand::Genuine {
        let folder = format!("storage_path={}", text(&desk.path("home/storage")));
        let kind = ["--kind", "Local Storage", "--name", "local"];
        let rest = ["--field", &folder, "--default"];
        desk.types(
            Hand::Ours,
            &[&["storage", "create"], &kind[..], &rest[..]].concat(),
        )
        .await;
    }

    // A deployment, and a queue that takes it; nobody runs it yet.
    create(&desk, hand).await;
    let queue = desk
        .id_of(hand, &["work-queue", "create", "-t", "ETL", "etl-queue"])
        .await;
    assert!(
        desk.types(hand, &["work-queue", "ls"])
            .await
            .contains("etl-queue")
    );
    let first = desk.quick_run().await;
    let late = desk.wait_for(&first, "Late").await;
    assert_eq!(late["state"]["type"], "SCHEDULED");
    assert!(
        desk.types(hand, &["work-queue", "preview", &queue])
            .await
            .contains(&first)
    );

    // An agent comes, and the next run does not wait.
    let _agent = desk.agent(hand, &queue);
    desk.wait_for(&first, "Completed").await;
    let second = desk.quick_run().await;
    desk.wait_for(&second, "Completed").await;
    assert_eq!(desk.facts(), ["fact 2", "fact 4", "fact 5"]);

    // What runs is what was deployed, until it is deployed again.
    desk.edit(
        "etl.py",
        "(record[\"fact\"],",
        "(\"edited \" + record[\"fact\"],",
    );
    let third = desk.quick_run().await;
    desk.wait_for(&third, "Completed").await;
    create(&desk, hand).await;
    let fourth = desk.quick_run().await;
    desk.wait_for(&fourth, "Completed").await;
    assert_eq!(desk.facts()[3..], ["fact 8", "edited fact 11"]);

    has_scheduled_runs(&desk).await;
    can_be_read_back(&desk, hand, &first).await;
}

/// Creates the deployment and sees to it that there is one, with code that is not the user's file.
async fn create(desk: &Desk, hand: Hand) {
    match hand {
        Hand::Ours => {
            let python = text(&desk.python).to_owned();
            let id = desk
                .id_of(
                    hand,
                    &["deployment", "create", "--python", &python, "deployment.py"],
                )
                .await;
            assert_eq!(desk.deployment().await["id"], *id);
        }
        Hand::Genuine => {
            desk.types(hand, &["deployment", "create", "deployment.py"])
                .await;
        }
    }
    let deployment = desk.deployment().await;
    assert_eq!(deployment["tags"], json!(["ETL"]));
    assert_eq!(deployment["parameters"]["url"], *desk.records);
    assert_eq!(deployment["flow_runner"]["type"], "subprocess");
    let blob: Value =
        serde_json::from_str(deployment["flow_data"]["blob"].as_str().unwrap()).unwrap();
    let stored: PathBuf = serde_json::from_str(blob["data"].as_str().unwrap()).unwrap();
    assert!(
        stored.starts_with(desk.path("home")),
        "{}",
        stored.display()
    );
    assert_eq!(
        std::fs::read(stored).unwrap(),
        std::fs::read(desk.path("etl.py")).unwrap()
    );
    assert_eq!(
        desk.types(hand, &["deployment", "ls"])
            .await
            .matches("My ETL flow/etl-deployment")
            .count(),
        1
    );
}

/// The hourly schedule has made its next runs, an hour apart.
async fn has_scheduled_runs(desk: &Desk) {
    let filter = json!({
        "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}},
        "sort": "NEXT_SCHEDULED_START_TIME_ASC",
    });
    let runs = desk.call("POST", "/flow_runs/filter", Some(filter)).await;
    let starts: Vec<chrono::DateTime<chrono::Utc>> = runs
        .as_array()
        .unwrap()
        .iter()
        .filter(|run| run["auto_scheduled"] == true)
        .map(|run| {
            run["next_scheduled_start_time"]
                .as_str()
                .unwrap()
                .parse()
                .unwrap()
        })
        .collect();
    assert!(starts.len() >= 3, "{starts:?}");
    assert!(
        starts
            .windows(2)
            .all(|pair| (pair[1] - pair[0]).num_seconds() == 3600),
        "{starts:?}"
    );
}

/// States, retries and logs of a run, through the API, the command line and the database.
async fn can_be_read_back(desk: &Desk, hand: Hand, run: &str) {
    let filter = json!({"flow_runs": {"id": {"any_": [run]}}});
    let tasks = desk.call("POST", "/task_runs/filter", Some(filter)).await;
    let call = tasks
        .as_array()
        .unwrap()
        .iter()
        .find(|task| task["name"].as_str().unwrap().starts_with("Call API"))
        .unwrap();
    assert_eq!(call["run_count"], 2);
    assert_eq!(call["empirical_policy"]["max_retries"], 3);
    let path = format!(
        "/task_run_states/?task_run_id={}",
        call["id"].as_str().unwrap()
    );
    let states = desk.call("GET", &path, None).await;
    let names: Vec<&str> = states
        .as_array()
        .unwrap()
        .iter()
        .map(|state| state["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, RETRIED);

    let database = desk.server.as_ref().unwrap().database();
    assert_eq!(column(&database, STATES_OF_CALL, run), RETRIED);
    let states = "SELECT name FROM flow_run_state WHERE flow_run_id = $1 ORDER BY timestamp";
    let expected = ["Scheduled", "Late", "Pending", "Running", "Completed"];
    assert_eq!(column(&database, states, run), expected);

    let logs = desk.types(Hand::Ours, &["flow-run", "logs", run]).await;
    let stored = column(
        &database,
        "SELECT message FROM log WHERE flow_run_id = $1 ORDER BY timestamp",
        run,
    );
    assert!(
        logs.contains("RuntimeError: the API answered 500"),
        "{logs}"
    );
    assert!(
        stored.iter().all(|message| logs.contains(message)),
        "{stored:?} {logs}"
    );
    let inspected = desk.types(Hand::Ours, &["flow-run", "inspect", run]).await;
    assert!(
        expected.iter().all(|name| inspected.contains(name)),
        "{inspected}"
    );
    let listed = desk.types(hand, &["flow-run", "ls"]).await;
    assert!(listed.contains(run), "{listed}");
}

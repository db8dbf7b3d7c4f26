//! The agent as a real process, with real flow processes, against an API that the test controls.
//!
//! The API is a small one of the test's own, so that it can go away, lose answers and count
//! claims at will. It keeps the one promise that matters: PENDING is accepted from SCHEDULED only.

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Json;
use axum::Router;
use axum::extract::{Path as UrlPath, State};
use axum::http::StatusCode;
use axum::http::header::DATE;
use axum::middleware::map_response_with_state;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use chrono::TimeDelta;
use futures_util::Stream;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use prefect_rs::clock::{Clock, SystemClock};
use prefect_rs::deployments::{self, Interpreter, Storage};
use serde_json::{Value, json};
use tokio::sync::broadcast;
use uuid::Uuid;

const QUEUE: Uuid = Uuid::from_u128(1);

/// What the API of a test knows.
struct Known {
    runs: Mutex<HashMap<Uuid, Run>>,
    deployment: Mutex<Value>,
    logs: Mutex<Vec<Value>>,
    /// While true, every request is answered with 503.
    is_away: AtomicBool,
    /// How far its clock is ahead of this machine's.
    ahead_seconds: AtomicI64,
    due: broadcast::Sender<()>,
}

struct Run {
    parameters: Value,
    states: Vec<Value>,
}

type Api = Arc<Known>;

/// A story's stage: the API, a home with a stored flow, and agents that end with the test.
struct Stage {
    api: Api,
    url: String,
    home: tempfile::TempDir,
    agents: Vec<Child>,
}

impl Drop for Stage {
    fn drop(&mut self) {
        for agent in &mut self.agents {
            let _ = agent.kill();
            let _ = agent.wait();
        }
    }
}

impl Stage {
    async fn with_script(script: &str) -> Self {
        let api = Arc::new(Known {
            runs: Mutex::default(),
            deployment: Mutex::default(),
            logs: Mutex::default(),
            is_away: AtomicBool::new(false),
            ahead_seconds: AtomicI64::new(0),
            due: broadcast::channel(16).0,
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/api", listener.local_addr().unwrap());
        let router = Router::new()
            .nest("/api", routes())
            .layer(map_response_with_state(api.clone(), dated))
            .with_state(api.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let home = tempfile::tempdir().unwrap();
        let stage = Stage {
            api,
            url,
            home,
            agents: Vec::new(),
        };
        *stage.api.deployment.lock().unwrap() = stage.deploy(script);
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Stores a script the way `deployment create` does and returns the deployment.
    fn deploy(&self, script: &str) -> Value {
        std::fs::write(self.path("flow.sh"), format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(self.path("flow.sh"), PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::write(self.path("d.yaml"), "name: d\nflow_location: flow.sh\n").unwrap();
        let interpreter = Interpreter {
            path: "python3".into(),
            chosen_by: "test",
        };
        let spec = deployments::read(&self.path("d.yaml"), &interpreter)
            .unwrap()
            .remove(0);
        let storage = Storage::at(&self.path("storage"));
        let deployment = deployments::resolve(&spec, &interpreter, &storage).unwrap();
        json!({
            "id": Uuid::from_u128(2), "name": "d", "flow_id": Uuid::from_u128(3),
            "flow_data": deployment.code.to_value(), "flow_runner": deployment.flow_runner,
        })
    }

    /// Adds a run that is due and tells the agents that listen.
    fn schedule(&self, parameters: Value) -> Uuid {
        self.schedule_at("2020-01-01T00:00:00Z", parameters)
    }

    /// Adds a run that is due at an instant.
    fn schedule_at(&self, due: &str, parameters: Value) -> Uuid {
        let id = Uuid::new_v4();
        let state = json!({"type": "SCHEDULED", "name": "Scheduled", "state_details": {"scheduled_time": due}});
        self.api.runs.lock().unwrap().insert(
            id,
            Run {
                parameters,
                states: vec![state],
            },
        );
        let _ = self.api.due.send(());
        id
    }

    /// Starts an agent; `seconds` is its poll interval.
    fn agent(&mut self, seconds: &str) -> Pid {
        self.agent_by(&["env"], seconds)
    }

    /// Starts an agent by a program that becomes it.
    fn agent_by(&mut self, starter: &[&str], seconds: &str) -> Pid {
        let agent = Command::new(starter[0])
            .args(&starter[1..])
            .arg(env!("CARGO_BIN_EXE_prefect-rs"))
            .args(["agent", "start", "--grace", "60", &QUEUE.to_string()])
            .env("PREFECT_HOME", self.home.path())
            .env("PREFECT_API_URL", &self.url)
            .env("PREFECT_AGENT_QUERY_INTERVAL", seconds)
            .stdin(Stdio::null())
            // Otherwise `nohup` makes a file of it.
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let pid = Pid::from_raw(agent.id() as i32);
        self.agents.push(agent);
        pid
    }

    fn types(&self, run: Uuid) -> Vec<String> {
        let runs = self.api.runs.lock().unwrap();
        runs[&run]
            .states
            .iter()
            .map(|state| state["type"].as_str().unwrap().to_owned())
            .collect()
    }

    fn state(&self, run: Uuid) -> Value {
        self.api.runs.lock().unwrap()[&run]
            .states
            .last()
            .unwrap()
            .clone()
    }

    /// Waits until a run's state has a type; the bound only keeps a failing test from hanging.
    async fn wait_for(&self, run: Uuid, kind: &str) {
        until(&format!("{kind} of a run"), || {
            self.state(run)["type"] == kind
        })
        .await;
    }

    async fn wait_for_file(&self, name: &str) -> String {
        let path = self.path(name);
        until(name, || {
            std::fs::read_to_string(&path).is_ok_and(|text| text.ends_with('\n'))
        })
        .await;
        std::fs::read_to_string(path).unwrap()
    }
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let bound = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < bound, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn is_alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.trim()).join("stat"))
        .unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

fn routes() -> Router<Api> {
    Router::new()
        .route("/work_queues/{id}", get(read_queue))
        .route("/work_queues/{id}/get_runs", post(get_runs))
        .route("/work_queues/{id}/due", get(due))
        .route("/deployments/{id}", get(read_deployment))
        .route("/flow_runs/filter", post(filter))
        .route("/flow_runs/{id}", get(read_run))
        .route("/flow_runs/{id}/set_state", post(set_state))
        .route("/logs/", post(create_logs))
}

fn when_here(api: &Known, answer: impl FnOnce() -> Value) -> Response {
    if api.is_away.load(Ordering::SeqCst) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    Json(answer()).into_response()
}

/// Puts the time of the API's clock on an answer.
async fn dated(State(api): State<Api>, mut response: Response) -> Response {
    let ahead = TimeDelta::seconds(api.ahead_seconds.load(Ordering::SeqCst));
    let date = (SystemClock.now() + ahead).format("%a, %d %b %Y %H:%M:%S GMT");
    let date = date.to_string().parse().unwrap();
    response.headers_mut().insert(DATE, date);
    response
}

fn shown(id: Uuid, run: &Run) -> Value {
    let due = &run.states[0]["state_details"]["scheduled_time"];
    json!({
        "id": id, "name": "able-fox", "flow_id": Uuid::from_u128(3), "deployment_id": Uuid::from_u128(2),
        "parameters": run.parameters, "state": run.states.last(),
        "expected_start_time": due, "next_scheduled_start_time": due,
    })
}

async fn read_queue(State(api): State<Api>) -> Response {
    when_here(&api, || json!({"id": QUEUE, "name": "q"}))
}

async fn get_runs(State(api): State<Api>) -> Response {
    when_here(&api, || {
        let runs = api.runs.lock().unwrap();
        let is_due = |run: &Run| run.states.last().unwrap()["type"] == "SCHEDULED";
        runs.iter()
            .filter(|(_, run)| is_due(run))
            .map(|(id, run)| shown(*id, run))
            .collect()
    })
}

async fn due(State(api): State<Api>) -> Sse<impl Stream<Item = Result<Event, axum::Error>>> {
    let receiver = api.due.subscribe();
    Sse::new(futures_util::stream::unfold(
        receiver,
        |mut receiver| async {
            receiver.recv().await.ok()?;
            Some((Ok(Event::default().event("due").data("{}")), receiver))
        },
    ))
}

async fn read_deployment(State(api): State<Api>) -> Response {
    when_here(&api, || api.deployment.lock().unwrap().clone())
}

async fn read_run(State(api): State<Api>, UrlPath(id): UrlPath<Uuid>) -> Response {
    when_here(&api, || shown(id, &api.runs.lock().unwrap()[&id]))
}

async fn filter(State(api): State<Api>, Json(body): Json<Value>) -> Response {
    let types = body["flow_runs"]["state"]["type"]["any_"].clone();
    when_here(&api, || {
        let runs = api.runs.lock().unwrap();
        let wanted = |run: &Run| {
            types
                .as_array()
                .unwrap()
                .contains(&run.states.last().unwrap()["type"])
        };
        runs.iter()
            .filter(|(_, run)| wanted(run))
            .map(|(id, run)| shown(*id, run))
            .collect()
    })
}

async fn set_state(
    State(api): State<Api>,
    UrlPath(id): UrlPath<Uuid>,
    Json(body): Json<Value>,
) -> Response {
    when_here(&api, || {
        let mut runs = api.runs.lock().unwrap();
        let run = runs.get_mut(&id).unwrap();
        let current = run.states.last().unwrap()["type"]
            .as_str()
            .unwrap()
            .to_owned();
        let proposed = body["state"]["type"].as_str().unwrap();
        let is_over = matches!(&*current, "COMPLETED" | "FAILED" | "CANCELLED" | "CRASHED");
        if is_over || (proposed == "PENDING" && current != "SCHEDULED") {
            return json!({"status": "ABORT", "state": null, "details": {"reason": "not now"}});
        }
        if proposed == "RUNNING" && run.parameters["waits"] == true {
            return json!({"status": "WAIT", "state": null, "details": {"delay_seconds": 3600}});
        }
        let tries = run
            .states
            .iter()
            .filter(|state| state["type"] == "RUNNING")
            .count();
        if proposed == "FAILED"
            && run.parameters["retries"]
                .as_u64()
                .is_some_and(|retries| tries as u64 <= retries)
        {
            let again = json!({"type": "SCHEDULED", "name": "AwaitingRetry", "state_details": {"scheduled_time": "2020-01-01T00:00:00Z"}});
            run.states.push(again.clone());
            return json!({"status": "REJECT", "state": again, "details": {"reason": "Retrying"}});
        }
        run.states.push(body["state"].clone());
        json!({"status": "ACCEPT", "state": body["state"], "details": {}})
    })
}

async fn create_logs(State(api): State<Api>, Json(body): Json<Value>) -> Response {
    when_here(&api, || {
        api.logs
            .lock()
            .unwrap()
            .extend(body.as_array().unwrap().clone());
        json!(null)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_runs_and_tells_its_output_and_code() {
    let script = "for i in 1 2 3; do echo \"line $i of $PREFECT__PARAMETER_WHO\"; done; echo oh no >&2; exit $PREFECT__PARAMETER_CODE";
    let mut stage = Stage::with_script(script).await;
    stage.agent("0.2");
    let good = stage.schedule(json!({"who": "x", "code": 0}));
    stage.wait_for(good, "COMPLETED").await;
    assert_eq!(
        stage.types(good),
        ["SCHEDULED", "PENDING", "RUNNING", "COMPLETED"]
    );
    let of_good =
        |log: &&Value| log["flow_run_id"] == good.to_string() && log["name"] == "process.stdout";
    let logs = stage.api.logs.lock().unwrap().clone();
    let lines: Vec<_> = logs
        .iter()
        .filter(of_good)
        .map(|log| log["message"].as_str().unwrap())
        .collect();
    assert_eq!(lines, ["line 1 of x", "line 2 of x", "line 3 of x"]);

    let bad = stage.schedule(json!({"who": "y", "code": 3}));
    stage.wait_for(bad, "FAILED").await;
    assert_eq!(
        stage.state(bad)["message"],
        "The flow exited with code 3. Its last line of error output: oh no"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_agents_run_each_run_once() {
    let mut stage = Stage::with_script("echo $PREFECT__FLOW_RUN_ID >> \"$PREFECT_HOME/ran\"").await;
    let runs: Vec<Uuid> = (0..30).map(|_| stage.schedule(json!({}))).collect();
    stage.agent("0.1");
    stage.agent("0.1");
    for run in &runs {
        stage.wait_for(*run, "COMPLETED").await;
    }
    let text = std::fs::read_to_string(stage.path("ran")).unwrap();
    let mut ran: Vec<Uuid> = text.lines().map(|line| line.parse().unwrap()).collect();
    let mut expected = runs.clone();
    ran.sort();
    expected.sort();
    assert_eq!(ran, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pushed_run_does_not_wait_for_the_next_poll() {
    let mut stage = Stage::with_script("true").await;
    stage.agent("86400");
    until("the agent to listen", || stage.api.due.receiver_count() > 0).await;
    let run = stage.schedule(json!({}));
    stage.wait_for(run, "COMPLETED").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_agent_leaves_neither_process_nor_running_run() {
    let mut stage =
        Stage::with_script("sleep 1000 & echo $! > \"$PREFECT_HOME/child\"; wait").await;
    let agent = stage.agent("0.2");
    let run = stage.schedule(json!({}));
    let child = stage.wait_for_file("child").await;
    kill(agent, Signal::SIGKILL).unwrap();
    stage.wait_for(run, "CRASHED").await;
    assert!(!is_alive(&child));
    assert!(
        stage.state(run)["message"]
            .as_str()
            .unwrap()
            .contains("agent that ran the flow was killed")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_agent_waits_for_its_run_and_takes_no_other() {
    let script = "echo here > \"$PREFECT_HOME/started\"; while [ ! -e \"$PREFECT_HOME/go\" ]; do sleep 0.05; done";
    let mut stage = Stage::with_script(script).await;
    let agent = stage.agent("0.2");
    let first = stage.schedule(json!({}));
    stage.wait_for_file("started").await;
    kill(agent, Signal::SIGTERM).unwrap();
    let pid = agent.to_string();
    std::fs::write(stage.path("go"), "").unwrap();
    until("the agent to end", || !is_alive(&pid)).await;
    assert_eq!(
        stage.types(first),
        ["SCHEDULED", "PENDING", "RUNNING", "COMPLETED"]
    );
    let second = stage.schedule(json!({}));
    assert_eq!(stage.types(second), ["SCHEDULED"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_that_closes_stops_the_agent_and_does_not_kill_it() {
    let script = "echo here > \"$PREFECT_HOME/started\"; while [ ! -e \"$PREFECT_HOME/go\" ]; do sleep 0.05; done";
    let mut stage = Stage::with_script(script).await;
    // Whoever runs the tests may have been started with `nohup`.
    let agent = stage.agent_by(&["env", "--default-signal=HUP"], "0.2");
    let run = stage.schedule(json!({}));
    stage.wait_for_file("started").await;
    // By the shell, and by the kernel, which ends no run.
    kill(agent, Signal::SIGHUP).unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    kill(agent, Signal::SIGHUP).unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    std::fs::write(stage.path("go"), "").unwrap();
    let pid = agent.to_string();
    until("the agent to end", || !is_alive(&pid)).await;
    assert_eq!(
        stage.types(run),
        ["SCHEDULED", "PENDING", "RUNNING", "COMPLETED"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_to_outlive_its_terminal_does() {
    let mut stage = Stage::with_script("echo here > \"$PREFECT_HOME/started\"").await;
    let agent = stage.agent_by(&["nohup"], "0.2");
    let first = stage.schedule(json!({}));
    stage.wait_for(first, "COMPLETED").await;
    kill(agent, Signal::SIGHUP).unwrap();
    let second = stage.schedule(json!({}));
    stage.wait_for(second, "COMPLETED").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_agent_hands_back_at_once_what_it_has_not_started() {
    let mut stage = Stage::with_script("true").await;
    let agent = stage.agent("0.2");
    let run = stage.schedule(json!({"waits": true}));
    stage.wait_for(run, "PENDING").await;
    kill(agent, Signal::SIGTERM).unwrap();
    // The grace is as long as this waits.
    stage.wait_for(run, "SCHEDULED").await;
    let pid = agent.to_string();
    until("the agent to end", || !is_alive(&pid)).await;
    assert_eq!(stage.types(run), ["SCHEDULED", "PENDING", "SCHEDULED"]);
    let state = stage.state(run);
    assert_eq!(
        state["state_details"]["scheduled_time"],
        "2020-01-01T00:00:00Z"
    );
    let message = "The agent that had claimed the run stops.";
    assert_eq!(state["message"], message);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_never_started_is_cancelled_by_its_agent() {
    let mut stage = Stage::with_script("true").await;
    stage.agent("0.2");
    let run = stage.schedule(json!({"waits": true}));
    stage.wait_for(run, "PENDING").await;
    stage
        .api
        .runs
        .lock()
        .unwrap()
        .get_mut(&run)
        .unwrap()
        .states
        .push(json!({"type": "CANCELLING", "name": "Cancelling"}));
    stage.wait_for(run, "CANCELLED").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_are_due_by_the_clock_of_the_server() {
    let from_now = |hours| (SystemClock.now() + TimeDelta::hours(hours)).to_rfc3339();
    let mut behind = Stage::with_script("true").await;
    behind.api.ahead_seconds.store(7_200, Ordering::SeqCst);
    behind.agent("0.2");
    let due = behind.schedule_at(&from_now(1), json!({}));
    behind.wait_for(due, "COMPLETED").await;

    let mut ahead = Stage::with_script("true").await;
    ahead.api.ahead_seconds.store(-7_200, Ordering::SeqCst);
    let early = ahead.schedule_at(&from_now(-1), json!({}));
    let due = ahead.schedule_at(&from_now(-3), json!({}));
    ahead.agent("0.2");
    ahead.wait_for(due, "COMPLETED").await;
    assert_eq!(ahead.types(early), ["SCHEDULED"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_the_run() {
    let mut stage = Stage::with_script("echo $$ > \"$PREFECT_HOME/pid\"; exec sleep 1000").await;
    let agent = stage.agent("0.2");
    let run = stage.schedule(json!({}));
    let flow = stage.wait_for_file("pid").await;
    kill(agent, Signal::SIGINT).unwrap();
    // Two pending signals of one kind are one; another kind is not.
    kill(agent, Signal::SIGTERM).unwrap();
    stage.wait_for(run, "CRASHED").await;
    assert!(!is_alive(&flow));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_cannot_tell_an_end_leaves_that_to_its_guard() {
    let mut stage = Stage::with_script("echo $$ > \"$PREFECT_HOME/pid\"; exec sleep 1000").await;
    let agent = stage.agent("0.2");
    let run = stage.schedule(json!({}));
    let flow = stage.wait_for_file("pid").await;
    stage.api.is_away.store(true, Ordering::SeqCst);
    kill(agent, Signal::SIGINT).unwrap();
    kill(agent, Signal::SIGTERM).unwrap();
    until("the flow to end", || !is_alive(&flow)).await;
    kill(agent, Signal::SIGINT).unwrap();
    let pid = agent.to_string();
    until("the agent to end", || !is_alive(&pid)).await;
    let status = stage.agents[0].wait().unwrap();
    assert_eq!(status.code(), Some(1));
    stage.api.is_away.store(false, Ordering::SeqCst);
    stage.wait_for(run, "CRASHED").await;
    let message = stage.state(run)["message"].to_string();
    assert!(
        message.contains("agent that ran the flow was stopped"),
        "{message}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_outlives_an_api_that_is_away() {
    let script = "echo here > \"$PREFECT_HOME/started\"; while [ ! -e \"$PREFECT_HOME/go\" ]; do sleep 0.05; done; echo done; echo over > \"$PREFECT_HOME/over\"";
    let mut stage = Stage::with_script(script).await;
    stage.agent("0.2");
    let first = stage.schedule(json!({}));
    stage.wait_for_file("started").await;
    stage.api.is_away.store(true, Ordering::SeqCst);
    std::fs::write(stage.path("go"), "").unwrap();
    stage.wait_for_file("over").await;
    stage.api.is_away.store(false, Ordering::SeqCst);
    stage.wait_for(first, "COMPLETED").await;
    let logs = stage.api.logs.lock().unwrap().clone();
    assert!(logs.iter().any(|log| log["message"] == "done"), "{logs:?}");
    let second = stage.schedule(json!({}));
    stage.wait_for(second, "COMPLETED").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_ends_with_its_whole_tree() {
    let script = "setsid sleep 1000 & echo $! > \"$PREFECT_HOME/daemon\"; sleep 1000 & echo $! > \"$PREFECT_HOME/child\"; wait";
    let mut stage = Stage::with_script(script).await;
    stage.agent("0.2");
    let run = stage.schedule(json!({}));
    let daemon = stage.wait_for_file("daemon").await;
    let child = stage.wait_for_file("child").await;
    stage
        .api
        .runs
        .lock()
        .unwrap()
        .get_mut(&run)
        .unwrap()
        .states
        .push(json!({"type": "CANCELLING", "name": "Cancelling"}));
    stage.wait_for(run, "CANCELLED").await;
    assert!(!is_alive(&child));
    assert!(!is_alive(&daemon));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_flow_is_told_as_crashed() {
    let mut stage = Stage::with_script("kill -9 $$").await;
    stage.agent("0.2");
    let run = stage.schedule(json!({}));
    stage.wait_for(run, "CRASHED").await;
    assert!(
        stage.state(run)["message"]
            .as_str()
            .unwrap()
            .contains("SIGKILL")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_is_claimed_again_and_runs_once() {
    let script = "echo x >> \"$PREFECT_HOME/tries\"; [ $(wc -l < \"$PREFECT_HOME/tries\") -eq 3 ]";
    let mut stage = Stage::with_script(script).await;
    stage.agent("0.1");
    stage.agent("0.1");
    let run = stage.schedule(json!({"retries": 2}));
    stage.wait_for(run, "COMPLETED").await;
    let once = ["SCHEDULED", "PENDING", "RUNNING"];
    assert_eq!(
        stage.types(run),
        [&once[..], &once, &once, &["COMPLETED"]].concat()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_output_arrives_whole_and_in_order_before_the_end_is_told() {
    let mut stage = Stage::with_script("seq 100000").await;
    stage.agent("0.2");
    let run = stage.schedule(json!({}));
    stage.wait_for(run, "COMPLETED").await;
    let logs = stage.api.logs.lock().unwrap();
    assert_eq!(logs.len(), 100_000);
    let is_next =
        |(i, log): (usize, &Value)| log["message"].as_str() == Some((i + 1).to_string().as_str());
    assert!(logs.iter().enumerate().all(is_next));
}

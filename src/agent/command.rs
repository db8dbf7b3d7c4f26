//! A command run as a flow run, here and now: what `prefect-rs run -- CMD` does.
//!
//! It is what an agent does with an executable, without a queue and a deployment: output becomes logs and is shown as it
//! comes, the exit code the outcome, and the server decides about retries.

use std::collections::VecDeque;
use std::io::IsTerminal;
use std::process::ExitStatus;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tokio::time::sleep;
use uuid::Uuid;

use super::logs::{Forwarder, INFO, Line, WARNING};
use super::process::{self, Ended, Group, Halt, Invocation, Stream};
use super::report::{Patience, Reporter};
use super::role::Role;
use super::runners;
use super::states::{self, Answer};
use crate::client::{self, Client, Document, FlowRun};
use crate::clock::{Clock, SystemClock};

/// How long the last log lines may take.
const LAST_FLUSH: Duration = Duration::from_secs(15);
/// How often the server is asked whether the run was cancelled.
const WATCH: Duration = Duration::from_secs(5);

/// A command and how it is to be run.
#[derive(Debug, Clone)]
pub struct Command {
    /// The flow's name.
    pub flow_name: String,
    /// The flow run's name; the server makes one up otherwise.
    pub run_name: Option<String>,
    /// The program and its arguments.
    pub words: Vec<String>,
    /// Parameters of the run, which the command finds in its environment.
    pub parameters: Map<String, Value>,
    /// Tags of the run.
    pub tags: Vec<String>,
    /// How long an attempt may take.
    pub timeout: Option<Duration>,
    /// How often the command is run again when it fails.
    pub retries: u32,
    /// How long to wait before that.
    pub retry_delay: Duration,
}

/// What became of a command.
#[derive(Debug)]
pub struct Outcome {
    /// The flow run.
    pub run: Uuid,
    /// How the last attempt ended by itself; nothing if there was none, or it was ended.
    pub status: Option<ExitStatus>,
    /// Whether somebody at this terminal wished its end.
    pub is_interrupted: bool,
    /// Whether the run completed.
    pub is_completed: bool,
    /// What there is to say about its end.
    pub message: String,
}

/// Runs a command to its end, of which each message of `stops` is a wish.
pub async fn run(
    client: Client,
    command: Command,
    mut stops: mpsc::Receiver<()>,
) -> client::Result<Outcome> {
    let run = create(&client, &command).await?;
    tokio::select! {
        outcome = carry_out(&client, &command, &run, &mut stops) => Ok(outcome),
        () = client.send_heartbeats(run.id, &run.name, "command") => unreachable!("they have no end"),
    }
}

async fn carry_out(
    client: &Client,
    command: &Command,
    run: &FlowRun,
    stops: &mut mpsc::Receiver<()>,
) -> Outcome {
    let id = run.id;
    let reporter = Reporter::new(client.clone(), Patience::Endless);
    let (logs, forwarding) = Forwarder::start(client.clone());
    let mut outcome = Outcome {
        run: id,
        status: None,
        is_interrupted: false,
        is_completed: false,
        message: "The run was not started.".to_owned(),
    };
    while begin(&reporter, id, &mut outcome, stops).await {
        let (kind, name) = match attempt(client, command, run, &logs, stops).await {
            Ok(Attempt {
                ended,
                tail,
                is_interrupted,
            }) => {
                outcome.status = ended.halt.is_none().then_some(ended.status);
                outcome.is_interrupted = is_interrupted;
                let limit = command.timeout.unwrap_or_default().as_secs_f64();
                let last_error = tail.back().map(String::as_str);
                let (kind, name, message) =
                    states::of_executable(&ended, last_error, limit, Role::Agent);
                outcome.message = message;
                (kind, name)
            }
            Err(message) => {
                outcome.message = message;
                ("FAILED", "Failed")
            }
        };
        outcome.is_completed = kind == "COMPLETED";
        states::end_what_was_left_open(client, id).await;
        logs.flush(LAST_FLUSH).await;
        match reporter
            .propose(id, kind, name, Some(&outcome.message))
            .await
        {
            Some(Answer::Rescheduled(at)) => {
                let wait = reporter.until(at);
                tokio::select! {
                    () = sleep(wait) => {}
                    _ = stops.recv() => {
                        cancel(&reporter, id, &mut outcome).await;
                        break;
                    }
                }
            }
            // A run that somebody has cancelled already needs no other reason.
            Some(Answer::Refused(_)) if kind == "CANCELLED" => break,
            Some(Answer::Refused(reason)) => {
                outcome.is_completed = false;
                outcome.message = reason;
                break;
            }
            Some(Answer::Accepted | Answer::Wait(_)) | None => break,
        }
    }
    drop(logs);
    let _ = tokio::time::timeout(LAST_FLUSH, forwarding).await;
    outcome
}

async fn create(client: &Client, command: &Command) -> client::Result<Document<FlowRun>> {
    let flow = client.create_flow(&command.flow_name, &[]).await?;
    let request = json!({
        "flow_id": flow.id,
        "name": command.run_name,
        "parameters": command.parameters,
        "tags": command.tags,
        "empirical_policy": {
            "retries": command.retries,
            "retry_delay": command.retry_delay.as_secs_f64(),
        },
        "state": {"type": "PENDING"},
    });
    client.post("/flow_runs/", &request).await
}

/// Makes the run RUNNING; `false` means that it has ended without.
async fn begin(
    reporter: &Reporter,
    run: Uuid,
    outcome: &mut Outcome,
    stops: &mut mpsc::Receiver<()>,
) -> bool {
    loop {
        let wait = match reporter.propose(run, "RUNNING", "Running", None).await {
            Some(Answer::Accepted) => return true,
            Some(Answer::Wait(seconds)) => Duration::from_secs_f64(seconds.clamp(0.05, 3600.0)),
            Some(Answer::Rescheduled(at)) => reporter.until(at),
            Some(Answer::Refused(reason)) => {
                outcome.message = reason;
                return false;
            }
            None => return false,
        };
        tokio::select! {
            () = sleep(wait) => {}
            _ = stops.recv() => {
                cancel(reporter, run, outcome).await;
                return false;
            }
        }
    }
}

async fn cancel(reporter: &Reporter, run: Uuid, outcome: &mut Outcome) {
    outcome.is_completed = false;
    outcome.is_interrupted = true;
    outcome.message = "The run was interrupted.".to_owned();
    let message = Some(outcome.message.as_str());
    reporter
        .propose(run, "CANCELLED", "Cancelled", message)
        .await;
}

/// How an attempt went.
struct Attempt {
    ended: Ended,
    /// The last words of error output.
    tail: VecDeque<String>,
    is_interrupted: bool,
}

async fn attempt(
    client: &Client,
    command: &Command,
    run: &FlowRun,
    logs: &Forwarder,
    stops: &mut mpsc::Receiver<()>,
) -> Result<Attempt, String> {
    let invocation = invocation(client, command, run)?;
    let program = invocation.program.display();
    let group = Group::start(&invocation).map_err(|error| {
        let why = process::why_not_started(&invocation.program, &error);
        format!("`{program}` could not be started: {why}.")
    })?;
    let pgid = group.id();
    let (lines, mut received) = mpsc::channel(64);
    let (halt, mut halts) = mpsc::channel(1);
    let forward = async {
        let mut tail = VecDeque::new();
        while let Some((stream, line)) = received.recv().await {
            take_line(run.id, stream, line, logs, &mut tail).await;
        }
        tail
    };
    let mut is_interrupted = false;
    let listen = async {
        while stops.recv().await.is_some() {
            match is_interrupted {
                // A full channel means that the end is under way.
                false => drop(halt.try_send(Halt::Cancelled)),
                // Who asks twice does not want to wait.
                true => process::kill_run(pgid, &run.id.to_string()),
            }
            is_interrupted = true;
        }
        std::future::pending::<()>().await;
    };
    let watch = async {
        cancelled(client, run.id).await;
        let _ = halt.try_send(Halt::Cancelled);
        std::future::pending::<()>().await;
    };
    let wait = async { tokio::join!(group.wait(lines, &mut halts, None), forward) };
    let (ended, tail) = tokio::select! {
        ended = wait => ended,
        () = listen => unreachable!("listening has no end"),
        () = watch => unreachable!("watching has no end"),
    };
    let ended = ended.map_err(|error| format!("`{program}` could not be waited for: {error}."))?;
    Ok(Attempt {
        ended,
        tail,
        is_interrupted,
    })
}

/// Returns once somebody has cancelled the run, from the dashboard or another terminal.
async fn cancelled(client: &Client, run: Uuid) {
    loop {
        sleep(WATCH).await;
        let state = client.read_flow_run(run).await.ok();
        let state = state.and_then(|run| run.into_view().state);
        if state.is_some_and(|state| matches!(state.r#type.as_str(), "CANCELLED" | "CANCELLING")) {
            return;
        }
    }
}

fn invocation(client: &Client, command: &Command, run: &FlowRun) -> Result<Invocation, String> {
    let (program, arguments) = command.words.split_first().ok_or("there is no command")?;
    let mut invocation = Invocation {
        program: program.into(),
        arguments: arguments.iter().map(Into::into).collect(),
        timeout: command.timeout,
        // A terminal stops a group in the background that reads from it, and a second attempt would find a pipe empty.
        reads_ours: command.retries == 0 && !std::io::stdin().is_terminal(),
        writes_ours: true,
        ..Default::default()
    };
    runners::describe_run(&mut invocation, run)?;
    if let Some(url) = client.transport().url() {
        invocation.set.push(("PREFECT_API_URL".into(), url.into()));
    }
    Ok(invocation)
}

async fn take_line(
    run: Uuid,
    stream: Stream,
    line: String,
    logs: &Forwarder,
    tail: &mut VecDeque<String>,
) {
    let (name, level) = match stream {
        Stream::Out => ("process.stdout", INFO),
        Stream::Err => ("process.stderr", WARNING),
    };
    if stream == Stream::Err && !line.trim().is_empty() {
        tail.clear();
        tail.push_back(line.clone());
    }
    let timestamp = SystemClock.now();
    logs.send(Line {
        flow_run_id: run,
        name,
        level,
        message: line,
        timestamp,
    })
    .await;
}

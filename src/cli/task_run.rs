//! `task-run`: the task runs of flow runs.

use std::time::Duration;

use clap::Subcommand;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    Context,
    error::{Code, Error, Result},
    output::{self, OutputArg},
};
use crate::client::{Client, Document, OrchestrationResult, TaskRun};
use crate::sdk::program::FLOW_RUN_ID;

/// List and show task runs, and report those of a script.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  prefect-rs task-run ls --limit 20")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List task runs, the newest first.
    #[command(
        after_help = "Example:\n  prefect-rs task-run ls --flow-run 0191f7c2-6b1e-7c3a-8000-000000000000 --state FAILED"
    )]
    Ls(Ls),
    /// Show a task run with the states it went through.
    #[command(
        after_help = "Example:\n  prefect-rs task-run inspect 0191f7c2-6b1e-7c3a-8000-000000000000"
    )]
    Inspect {
        /// The task run's id, the beginning of it, or its name.
        task_run: String,
        #[command(flatten)]
        output: OutputArg,
    },
    /// Print the logs of a task run.
    #[command(
        after_help = "Example:\n  prefect-rs task-run logs 0191f7c2-6b1e-7c3a-8000-000000000000"
    )]
    Logs {
        /// The task run's id, the beginning of it, or its name.
        task_run: String,
        #[command(flatten)]
        output: OutputArg,
    },
    /// Begin a task run of the flow run that this script is part of, and print its id.
    ///
    /// Where one of its tags has a concurrency limit, it waits for a slot.
    #[command(after_help = "Example:\n  step=$(prefect-rs task-run start 'load rows')")]
    Start {
        /// The task's name.
        #[arg(value_parser = output::name)]
        name: String,
        /// The flow run [default: the one in PREFECT__FLOW_RUN_ID].
        #[arg(long, value_name = "ID", env = FLOW_RUN_ID)]
        flow_run: Uuid,
        /// A tag; may be given several times.
        #[arg(short = 't', long = "tag", value_name = "TAG", value_parser = output::name)]
        tags: Vec<String>,
    },
    /// Say that a task run has completed.
    #[command(after_help = "Example:\n  prefect-rs task-run complete $step --message '42 rows'")]
    Complete(End),
    /// Say that a task run has failed.
    #[command(after_help = "Example:\n  prefect-rs task-run fail $step --message 'no rows'")]
    Fail(End),
    /// Say that a task run was cancelled.
    #[command(after_help = "Example:\n  prefect-rs task-run cancel $step")]
    Cancel(End),
}

#[derive(Debug, clap::Args)]
struct End {
    /// Its id, as `start` printed it.
    id: Uuid,
    /// What a person should know.
    #[arg(short = 'm', long, value_name = "TEXT", allow_hyphen_values = true)]
    message: Option<String>,
}

#[derive(Debug, clap::Args)]
struct Ls {
    /// Only those of this flow run, given by its id, the beginning of it, or its name.
    #[arg(long, value_name = "FLOW_RUN")]
    flow_run: Option<String>,
    /// Only those whose state has this name or type; may be given several times.
    #[arg(long = "state", value_name = "STATE")]
    states: Vec<String>,
    /// How many to show at most.
    #[arg(long, default_value_t = 15)]
    limit: usize,
    #[command(flatten)]
    output: OutputArg,
}

impl Args {
    pub(super) async fn run(self, cx: &Context) -> Result {
        let client = cx.client().await?;
        match self.command {
            Command::Ls(args) => ls(cx, &client, args).await,
            Command::Inspect { task_run, output } => inspect(cx, &client, &task_run, output).await,
            Command::Logs { task_run, output } => {
                let id = find(&client, &task_run).await?.id;
                let lines = client.read_task_run_logs(id).await?;
                super::flow_run::print_logs(&lines, output, "The task run has no logs.");
                Ok(())
            }
            Command::Start {
                name,
                flow_run,
                tags,
            } => start(&client, &name, flow_run, &tags).await,
            Command::Complete(end) => conclude(&client, end, "COMPLETED").await,
            Command::Fail(end) => conclude(&client, end, "FAILED").await,
            Command::Cancel(end) => conclude(&client, end, "CANCELLED").await,
        }
    }
}

async fn start(client: &Client, name: &str, flow_run: Uuid, tags: &[String]) -> Result {
    super::flow_run::read(client, flow_run).await?;
    let body = json!({
        "name": name, "flow_run_id": flow_run, "task_key": name,
        // Each start is a run of its own, also of the same task.
        "dynamic_key": Uuid::new_v4(), "tags": tags,
        "state": {"type": "PENDING"},
    });
    let run: Document<TaskRun> = client.post("/task_runs/", &body).await?;
    let path = format!("/task_runs/{}/set_state", run.id);
    let mut has_said = false;
    loop {
        // Not by force: a limit on one of the tags has to let it through.
        let body = json!({"state": {"type": "RUNNING"}, "force": false});
        let answer: OrchestrationResult = client.post(&path, &body).await?;
        let is_paused = answer.state.as_ref().is_some_and(|s| s.r#type == "PAUSED");
        match answer.status.as_str() {
            "ACCEPT" => break,
            // Somebody has paused the flow run; what has begun goes on, and this begins when it is resumed.
            "WAIT" | "REJECT" if answer.status == "WAIT" || is_paused => {
                if !has_said {
                    output::say(&format!("Waiting: {}", reason(&answer)));
                }
                has_said = true;
                // The server tells engines to ask seldom; a script has nothing else to do.
                let pause = answer.details["delay_seconds"].as_f64().unwrap_or(1.0);
                tokio::time::sleep(Duration::from_secs_f64(pause.clamp(0.1, 2.0))).await;
            }
            _ => return Err(refused(&answer)),
        }
    }
    output::print_line(&run.id.to_string());
    Ok(())
}

fn reason(answer: &OrchestrationResult) -> String {
    let reason = answer.details["reason"].as_str();
    output::clean(reason.unwrap_or("no reason was given"))
}

fn refused(answer: &OrchestrationResult) -> Error {
    Error::new(
        Code::Conflict,
        format!("the server does not take the state: {}", reason(answer)),
    )
}

async fn conclude(client: &Client, end: End, kind: &str) -> Result {
    let run = Client::optional(client.read_task_run(end.id).await)?
        .ok_or_else(|| Error::not_found("task run", end.id))?;
    // What others ended, as with its flow run, is the script's to say better; its own word stays.
    let said = run.state.as_ref().map_or("", |state| state.r#type.as_str());
    if matches!(said, "COMPLETED" | "FAILED") && said != kind {
        let text = format!(
            "task run '{}' has ended as {} already",
            output::clean(&run.name),
            run.state.as_ref().map_or(said, |state| state.label()),
        );
        return Err(Error::new(Code::Conflict, text)
            .hint("a step that is tried again is another task run: `prefect-rs task-run start`"));
    }
    let state = json!({"type": kind, "message": end.message});
    set_state(client, end.id, &state).await
}

/// Tells a state that has come true already, so no rule is asked.
async fn set_state(client: &Client, id: Uuid, state: &Value) -> Result {
    let body = json!({"state": state, "force": true});
    let path = format!("/task_runs/{id}/set_state");
    let answer: OrchestrationResult = Client::optional(client.post(&path, &body).await)?
        .ok_or_else(|| Error::not_found("task run", id))?;
    match answer.status.as_str() {
        "ACCEPT" => Ok(()),
        _ => Err(refused(&answer)),
    }
}

async fn ls(cx: &Context, client: &Client, args: Ls) -> Result {
    let mut task_runs = Map::new();
    if let Some(state) = super::flow_run::state_filter(&args.states) {
        task_runs.insert("state".into(), state);
    }
    let mut filter = json!({"sort": "EXPECTED_START_TIME_DESC", "task_runs": task_runs});
    if let Some(flow_run) = &args.flow_run {
        let id = super::flow_run::find(client, flow_run).await?.id;
        filter["flow_runs"] = json!({"id": {"any_": [id]}});
    }
    let runs = client.read_task_runs(filter, Some(args.limit)).await?;
    if args.output.is_json() {
        output::print_json(&runs);
        return Ok(());
    }
    if runs.is_empty() {
        output::say("No task runs found.");
        return Ok(());
    }
    let now = cx.now();
    let mut table = cx
        .style
        .table(["ID", "Name", "State", "Runs", "Ran", "When"])
        .wraps(&["Name"]);
    if !args.output.is_wide() {
        table = table.spares(&["Ran", "When", "Runs"]);
    }
    for run in &runs {
        let at = run
            .state
            .as_ref()
            .and_then(|state| state.timestamp)
            .or(run.expected_start_time);
        table.row(vec![
            cx.style.id(run.id),
            cx.style.name(&run.name),
            cx.style.state(run.state.as_ref()),
            cx.style.text(run.run_count),
            cx.style.text(output::duration(run.total_run_time)),
            cx.style
                .text(at.map_or_else(String::new, |at| output::relative(now, at))),
        ]);
    }
    table.print();
    Ok(())
}

/// Finds a task run by its id, the beginning of it, or its name.
async fn find(client: &Client, task_run: &str) -> Result<Document<TaskRun>> {
    if let Ok(id) = Uuid::parse_str(task_run)
        && let Some(run) = Client::optional(client.read_task_run(id).await)?
    {
        return Ok(run);
    }
    super::find::run(task_run, async |condition, limit| {
        let filter = json!({"task_runs": condition, "sort": "EXPECTED_START_TIME_DESC"});
        client.read_task_runs(filter, Some(limit)).await
    })
    .await
}

async fn inspect(cx: &Context, client: &Client, task_run: &str, output: OutputArg) -> Result {
    let run = find(client, task_run).await?;
    if output.is_json() {
        output::print_json(&run);
        return Ok(());
    }
    output::print_fields(&run.raw);
    let states = client.read_task_run_states(run.id).await?;
    output::print_line("\nStates:");
    super::flow_run::print_states(cx, &states);
    Ok(())
}

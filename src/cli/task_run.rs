//! `task-run`: the task runs of flow runs.

use clap::Subcommand;
use serde_json::{Map, json};
use uuid::Uuid;

use super::{
    Context,
    error::{Error, Result},
    output::{self, OutputArg},
};
use crate::client::Client;

/// List and show task runs.
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
        /// Its id.
        id: Uuid,
        #[command(flatten)]
        output: OutputArg,
    },
}

#[derive(Debug, clap::Args)]
struct Ls {
    /// Only those of this flow run.
    #[arg(long, value_name = "ID")]
    flow_run: Option<Uuid>,
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
            Command::Inspect { id, output } => inspect(cx, &client, id, output).await,
        }
    }
}

async fn ls(cx: &Context, client: &Client, args: Ls) -> Result {
    let mut task_runs = Map::new();
    if let Some(state) = super::flow_run::state_filter(&args.states) {
        task_runs.insert("state".into(), state);
    }
    let mut filter = json!({"sort": "EXPECTED_START_TIME_DESC", "task_runs": task_runs});
    if let Some(id) = args.flow_run {
        filter["flow_runs"] = json!({"id": {"any_": [id]}});
    }
    let runs = client.read_task_runs(filter, Some(args.limit)).await?;
    if args.output.is_json() {
        output::print_json(&runs);
        return Ok(());
    }
    let now = cx.now();
    let mut table = cx
        .style
        .table(["ID", "Name", "State", "Runs", "Ran", "When"]);
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
    table.keep(0);
    table.print();
    Ok(())
}

async fn inspect(cx: &Context, client: &Client, id: Uuid, output: OutputArg) -> Result {
    let run = Client::optional(client.read_task_run(id).await)?.ok_or_else(|| {
        Error::not_found("task run", id).hint("list them with `prefect-rs task-run ls`")
    })?;
    if output.is_json() {
        output::print_json(&run);
        return Ok(());
    }
    output::print_fields(&run.raw);
    let states = client.read_task_run_states(id).await?;
    output::print_line("\nStates:");
    super::flow_run::print_states(cx, &states);
    Ok(())
}

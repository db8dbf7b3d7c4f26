//! `flow-run`: what ran, what runs, and why something does not.

mod change;
pub(super) mod watch;

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use clap::Subcommand;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    Context,
    error::Result,
    explain, find,
    output::{self, OutputArg},
};
use crate::client::{Client, Document, FlowRun, Log, LogPlace, PAGE, State};
use crate::schemas::StateType;
use crate::settings::Value as _;

/// What is said where there are no log lines.
const NO_LOGS: &str = "The flow run has no logs.";

/// Names of states beside those of their types.
const STATE_NAMES: &[&str] = &[
    "Late",
    "AwaitingRetry",
    "AwaitingConcurrencySlot",
    "Retrying",
    "Resuming",
    "Suspended",
    "TimedOut",
    "Cached",
    "NotReady",
];

/// List, show, follow and stop flow runs.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  prefect-rs flow-run ls --limit 5")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List flow runs, the newest first; what is scheduled for later only if `--state` asks for it.
    #[command(
        after_help = "Examples:\n  prefect-rs flow-run ls --flow-name etl --state Late --state FAILED\n  prefect-rs flow-run ls --state Scheduled"
    )]
    Ls(Ls),
    /// Show a flow run with the states it went through.
    #[command(
        after_help = "Example:\n  prefect-rs flow-run inspect 0191f7c2-6b1e-7c3a-8000-000000000000"
    )]
    Inspect {
        /// The flow run's id, the beginning of it, or its name.
        flow_run: String,
        #[command(flatten)]
        output: OutputArg,
    },
    /// Print the logs of a flow run.
    #[command(
        after_help = "Example:\n  prefect-rs flow-run logs -f 0191f7c2-6b1e-7c3a-8000-000000000000"
    )]
    Logs(Logs),
    /// Stop a flow run.
    #[command(
        after_help = "Example:\n  prefect-rs flow-run cancel 0191f7c2-6b1e-7c3a-8000-000000000000"
    )]
    Cancel {
        /// The flow run's id, the beginning of it, or its name.
        flow_run: String,
    },
    /// Have a flow run that is over begin again, by an agent or worker.
    #[command(
        after_help = "Example:\n  prefect-rs flow-run retry 0191f7c2-6b1e-7c3a-8000-000000000000"
    )]
    Retry {
        /// The flow run's id, the beginning of it, or its name.
        flow_run: String,
    },
    /// Hold up a flow run that is running; what it has begun goes on.
    #[command(
        after_help = "Example:\n  prefect-rs flow-run pause --timeout 1:00:00 0191f7c2-6b1e-7c3a-8000-000000000000"
    )]
    Pause {
        /// The flow run's id, the beginning of it, or its name.
        flow_run: String,
        /// Let it fail when nobody has resumed it after this time span [default: it waits].
        #[arg(long, value_name = "SPAN", value_parser = Duration::parse)]
        timeout: Option<Duration>,
    },
    /// Let a paused flow run go on.
    #[command(
        after_help = "Examples:\n  prefect-rs flow-run resume calm-otter\n  prefect-rs flow-run resume calm-otter --input '{\"approved\": true}'"
    )]
    Resume {
        /// The flow run's id, the beginning of it, or its name.
        flow_run: String,
        /// What the run waits for, as a JSON object.
        #[arg(long, value_name = "JSON")]
        input: Option<String>,
    },
    /// Tell the states of a flow run until it has ended; the exit code says whether it completed.
    #[command(
        after_help = "Example:\n  prefect-rs flow-run watch 0191f7c2-6b1e-7c3a-8000-000000000000"
    )]
    Watch {
        /// The flow run's id, the beginning of it, or its name.
        flow_run: String,
    },
    /// Delete a flow run with its task runs and logs.
    #[command(
        after_help = "Example:\n  prefect-rs flow-run delete 0191f7c2-6b1e-7c3a-8000-000000000000"
    )]
    Delete {
        /// The flow run's id, the beginning of it, or its name.
        flow_run: String,
    },
    /// Say what a flow run waits for, and what would start it.
    #[command(
        after_help = "Example:\n  prefect-rs flow-run explain 0191f7c2-6b1e-7c3a-8000-000000000000"
    )]
    Explain {
        /// The flow run's id, the beginning of it, or its name.
        flow_run: String,
    },
}

#[derive(Debug, clap::Args)]
struct Ls {
    /// Only those of this flow; may be given several times.
    #[arg(long = "flow-name", value_name = "NAME")]
    flow_names: Vec<String>,
    /// Only those whose state has this name or type; may be given several times.
    #[arg(long = "state", visible_alias = "state-type", value_name = "STATE")]
    states: Vec<String>,
    /// How many to show at most.
    #[arg(long, default_value_t = 15)]
    limit: usize,
    #[command(flatten)]
    output: OutputArg,
}

#[derive(Debug, clap::Args)]
struct Logs {
    /// The flow run's id, the beginning of it, or its name.
    flow_run: String,
    /// Go on until the run has ended.
    #[arg(short, long)]
    follow: bool,
    /// Print only the last lines.
    #[arg(short = 'n', long, value_name = "LINES", conflicts_with = "follow")]
    tail: Option<usize>,
    #[command(flatten)]
    output: OutputArg,
}

impl Args {
    pub(super) async fn run(self, cx: &Context) -> Result {
        let client = cx.client().await?;
        match self.command {
            Command::Ls(args) => ls(cx, &client, args).await,
            Command::Inspect { flow_run, output } => inspect(cx, &client, &flow_run, output).await,
            Command::Logs(args) => logs(cx, &client, &args).await,
            Command::Cancel { flow_run } => change::cancel(&client, &flow_run).await,
            Command::Retry { flow_run } => change::retry(&client, &flow_run).await,
            Command::Pause { flow_run, timeout } => {
                change::pause(cx, &client, &flow_run, timeout).await
            }
            Command::Resume { flow_run, input } => {
                change::resume(&client, &flow_run, input.as_deref()).await
            }
            Command::Watch { flow_run } => {
                let run = find(&client, &flow_run).await?;
                watch::until_end(cx, &client, &run).await
            }
            Command::Delete { flow_run } => delete(&client, &flow_run).await,
            Command::Explain { flow_run } => explain::run(cx, &client, &flow_run).await,
        }
    }
}

/// Finds a flow run by its id, the beginning of it, or its name.
pub(super) async fn find(client: &Client, flow_run: &str) -> Result<Document<FlowRun>> {
    // Whoever names runs may give them what looks like an id.
    if let Ok(id) = Uuid::parse_str(flow_run)
        && let Some(run) = Client::optional(client.read_flow_run(id).await)?
    {
        return Ok(run);
    }
    find::run(flow_run, async |condition, limit| {
        let filter = json!({"flow_runs": condition, "sort": "EXPECTED_START_TIME_DESC"});
        client.read_flow_runs(filter, Some(limit)).await
    })
    .await
}

/// Reads a flow run that is known to exist.
pub(super) async fn read(client: &Client, id: Uuid) -> Result<Document<FlowRun>> {
    Client::optional(client.read_flow_run(id).await)?
        .ok_or_else(|| find::nothing::<FlowRun>(&id.to_string(), None))
}

/// Returns the filter for states given by name or by type, or `None` for no condition.
///
/// A type is written in capitals or in small letters, and a name as it is shown: `FAILED` and `failed` are also runs that
/// timed out, `Failed` are those of this name.
pub(super) fn state_filter(states: &[String]) -> Option<Value> {
    if states.is_empty() {
        return None;
    }
    let mut types = Vec::new();
    let mut names = Vec::new();
    for state in states {
        let is_one_case = *state == state.to_uppercase() || *state == state.to_lowercase();
        let kind = StateType::ALL
            .into_iter()
            .find(|kind| is_one_case && kind.as_str().eq_ignore_ascii_case(state));
        let name = || {
            STATE_NAMES
                .iter()
                .find(|name| name.eq_ignore_ascii_case(state))
        };
        match kind {
            Some(kind) => types.push(kind.as_str()),
            None => names.push(name().map_or(state.as_str(), |name| *name)),
        }
    }
    let mut filter = Map::new();
    // A run has one state, so types and names together mean either.
    if !types.is_empty() && !names.is_empty() {
        filter.insert("operator".into(), json!("or_"));
    }
    if !types.is_empty() {
        filter.insert("type".into(), json!({"any_": types}));
    }
    if !names.is_empty() {
        filter.insert("name".into(), json!({"any_": names}));
    }
    Some(Value::Object(filter))
}

/// Prints the states that a run went through, one a line.
pub(super) fn print_states(cx: &Context, states: &[Document<State>]) {
    let mut states: Vec<&Document<State>> = states.iter().collect();
    states.sort_by_key(|state| state.timestamp);
    for state in states {
        let at = state
            .timestamp
            .map_or_else(|| "-".to_owned(), output::instant);
        let message = state
            .message
            .as_deref()
            .filter(|message| !message.is_empty());
        let message = message
            .map(|message| format!("  {}", output::clean(message)))
            .unwrap_or_default();
        output::print_line(&format!("  {at}  {}{message}", cx.style.state_line(state)));
    }
}

async fn ls(cx: &Context, client: &Client, args: Ls) -> Result {
    let mut filter = json!({"sort": "EXPECTED_START_TIME_DESC"});
    if !args.flow_names.is_empty() {
        filter["flows"] = json!({"name": {"any_": args.flow_names}});
    }
    filter["flow_runs"] = match state_filter(&args.states) {
        Some(state) => json!({"state": state}),
        None => not_for_later(cx.now()),
    };
    let runs = client.read_flow_runs(filter, Some(args.limit)).await?;
    if args.output.is_json() {
        output::print_json(&runs);
        return Ok(());
    }
    if args.states.is_empty() {
        say_later(client, &args.flow_names, cx.now()).await;
    }
    if runs.is_empty() {
        output::say("No flow runs found.");
        return Ok(());
    }
    let flows = flow_names(client, runs.iter().map(|run| run.flow_id)).await?;
    let now = cx.now();
    let is_wide = args.output.is_wide();
    let mut table = match is_wide {
        true => cx
            .style
            .table([
                "ID",
                "Flow",
                "Name",
                "State",
                "When",
                "Runs",
                "Ran",
                "Tags",
                "Deployment ID",
            ])
            .wraps(&["Flow", "Name", "Tags"]),
        false => cx
            .style
            .table(["ID", "Flow", "Name", "State", "When"])
            .wraps(&["Flow", "Name"])
            .spares(&["Name", "When"]),
    };
    for run in &runs {
        let mut row = vec![
            cx.style.id(run.id),
            cx.style
                .text(flows.get(&run.flow_id).map_or("-", String::as_str)),
            cx.style.name(&run.name),
            cx.style.state(run.state.as_ref()),
            cx.style
                .text(moment(run).map_or_else(String::new, |at| output::relative(now, at))),
        ];
        if is_wide {
            row.extend([
                cx.style.text(run.run_count),
                cx.style.text(output::duration(run.total_run_time)),
                cx.style.text(run.tags.join(", ")),
                cx.style.id(run
                    .deployment_id
                    .map_or_else(|| "-".to_owned(), |id| id.to_string())),
            ]);
        }
        table.row(row);
    }
    table.print();
    Ok(())
}

/// Returns the condition for runs that are due or have begun.
///
/// A schedule makes runs for days ahead, which would hide all that has happened.
fn not_for_later(now: DateTime<Utc>) -> Value {
    let has_begun = StateType::ALL
        .into_iter()
        .filter(|kind| *kind != StateType::Scheduled)
        .map(StateType::as_str);
    let state = json!({
        "operator": "or_",
        "type": {"any_": has_begun.collect::<Vec<_>>()},
        "name": {"any_": ["Late", "AwaitingRetry", "AwaitingConcurrencySlot"]},
    });
    json!({"operator": "or_", "state": state, "expected_start_time": {"before_": now}})
}

/// Says how many runs were left out of the list, if any.
async fn say_later(client: &Client, flow_names: &[String], now: DateTime<Utc>) {
    let mut filter = json!({"flow_runs": {
        "state": {"name": {"any_": ["Scheduled"]}}, "expected_start_time": {"after_": now},
    }});
    if !flow_names.is_empty() {
        filter["flows"] = json!({"name": {"any_": flow_names}});
    }
    // The list is what was asked for, and it is there.
    let later: u64 = client.post("/flow_runs/count", &filter).await.unwrap_or(0);
    if later > 0 {
        output::say(&format!(
            "{later} scheduled for later: `prefect-rs flow-run ls --state Scheduled`"
        ));
    }
}

/// Returns when a scheduled run is due, or since when another is in its state.
fn moment(run: &FlowRun) -> Option<DateTime<Utc>> {
    let state = run.state.as_ref();
    let due = state
        .filter(|state| state.is_scheduled())
        .and_then(|state| state.state_details.scheduled_time);
    due.or_else(|| state.and_then(|state| state.timestamp))
        .or(run.expected_start_time)
}

/// Returns the names of flows by their ids.
pub(super) async fn flow_names(
    client: &Client,
    ids: impl Iterator<Item = Uuid>,
) -> Result<HashMap<Uuid, String>> {
    let mut ids: Vec<Uuid> = ids.collect();
    ids.sort();
    ids.dedup();
    let flows = client.read_flows_by_id(&ids).await?;
    Ok(flows
        .into_iter()
        .map(|flow| (flow.id, flow.name.clone()))
        .collect())
}

async fn inspect(cx: &Context, client: &Client, flow_run: &str, output: OutputArg) -> Result {
    let run = find(client, flow_run).await?;
    if output.is_json() {
        output::print_json(&run);
        return Ok(());
    }
    output::print_fields(&run.raw);
    let states = client.read_flow_run_states(run.id).await?;
    output::print_line("\nStates:");
    print_states(cx, &states);
    Ok(())
}

async fn logs(cx: &Context, client: &Client, args: &Logs) -> Result {
    let id = find(client, &args.flow_run).await?.id;
    if let Some(count) = args.tail {
        let lines = client.read_last_flow_run_logs(id, count).await?;
        print_logs(&lines, args.output, NO_LOGS);
        return Ok(());
    }
    let is_list = args.output.is_json() && !args.follow;
    let mut list = Vec::new();
    let mut place = LogPlace::default();
    let mut is_empty = true;
    loop {
        // Asked before the logs are read, so that nothing said before the end is missed.
        let state = read(client, id).await?.into_view().state;
        let has_ended = state.is_none_or(|state| is_silent(&state, cx.now()));
        let was_there = place.clone();
        loop {
            let lines = client.read_next_flow_run_logs(id, &mut place).await?;
            let is_last = lines.len() < PAGE;
            is_empty &= lines.is_empty();
            match is_list {
                true => list.extend(lines),
                false => lines.iter().for_each(|line| print_log(line, args.output)),
            }
            if is_last {
                break;
            }
        }
        if !args.follow || (has_ended && place == was_there) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    if is_list {
        output::print_json(&list);
    } else if is_empty && !args.output.is_json() {
        output::say(NO_LOGS);
    }
    Ok(())
}

/// Returns whether a run has ended and has said its last.
///
/// Genuine clients send their log lines every two seconds, the last ones after the final state.
fn is_silent(state: &State, now: DateTime<Utc>) -> bool {
    let since = state.timestamp.map_or(TimeDelta::MAX, |ended| now - ended);
    state.is_terminal() && since > TimeDelta::seconds(3)
}

/// Prints log lines that are all there are.
pub(super) fn print_logs(lines: &[Document<Log>], output: OutputArg, none: &str) {
    match (output.is_json(), lines.is_empty()) {
        (true, _) => output::print_json(&lines),
        (false, true) => output::say(none),
        (false, false) => lines.iter().for_each(|line| print_log(line, output)),
    }
}

fn print_log(line: &Document<Log>, output: OutputArg) {
    if output.is_json() {
        return output::print_line(&line.raw.to_string());
    }
    output::print_line(&format!(
        "{} | {:<8} | {} - {}",
        line.timestamp.format("%Y-%m-%d %H:%M:%S%.3f"),
        level_name(line.level),
        output::clean(&line.name),
        output::clean(&line.message)
    ));
}

fn level_name(level: i64) -> &'static str {
    match level {
        50.. => "CRITICAL",
        40.. => "ERROR",
        30.. => "WARNING",
        20.. => "INFO",
        _ => "DEBUG",
    }
}

async fn delete(client: &Client, flow_run: &str) -> Result {
    let run = find(client, flow_run).await?;
    client.delete_flow_run(run.id).await?;
    output::say(&format!("Deleted flow run '{}'.", output::clean(&run.name)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_asked_for_by_type_or_by_name() {
        let filter = |states: &[&str]| {
            let states: Vec<String> = states.iter().map(|state| (*state).to_owned()).collect();
            state_filter(&states).unwrap_or_default().to_string()
        };
        assert_eq!(filter(&[]), "null");
        assert_eq!(
            filter(&["failed", "CRASHED"]),
            r#"{"type":{"any_":["FAILED","CRASHED"]}}"#
        );
        assert_eq!(
            filter(&["Failed", "late"]),
            r#"{"name":{"any_":["Failed","Late"]}}"#
        );
        assert_eq!(
            filter(&["Mine", "RUNNING"]),
            r#"{"operator":"or_","type":{"any_":["RUNNING"]},"name":{"any_":["Mine"]}}"#
        );
    }
}

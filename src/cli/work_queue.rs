//! `work-queue`: which runs agents and the workers of a pool may take.

use chrono::{DateTime, TimeDelta, Utc};
use clap::Subcommand;
use serde_json::json;
use uuid::Uuid;

use super::{
    Context,
    error::{Code, Error, Result},
    find,
    output::{self, OutputArg},
    work_pool,
};
use crate::client::{Client, CreateWorkQueue, Document, FlowRun, QueueFilter, WorkQueue};
use crate::schemas::work_pools::DEFAULT_AGENT_POOL;

/// Make and watch work queues, from which agents take runs, and workers those of their pool.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  prefect-rs work-queue create -t ETL etl-queue")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a work queue and print its id.
    #[command(
        after_help = "Examples:\n  prefect-rs work-queue create -t ETL etl-queue\n  prefect-rs agent start \"$(prefect-rs work-queue create -t ETL etl-queue)\"\n  prefect-rs work-queue create --pool shed --priority 1 urgent"
    )]
    Create(Create),
    /// List the work queues.
    #[command(after_help = "Example:\n  prefect-rs work-queue ls -o wide")]
    Ls {
        /// Show filters and descriptions too, as `-o wide` does.
        #[arg(short, long)]
        verbose: bool,
        /// Only those whose names begin so.
        #[arg(short = 'm', long = "match", value_name = "PREFIX")]
        beginning: Option<String>,
        /// Only those of this work pool, in the order of their priorities.
        #[arg(short, long)]
        pool: Option<String>,
        #[command(flatten)]
        output: OutputArg,
    },
    /// Show a work queue.
    #[command(after_help = "Example:\n  prefect-rs work-queue inspect etl-queue")]
    Inspect(OneOutput),
    /// Show the runs that are due or coming.
    #[command(after_help = "Example:\n  prefect-rs work-queue preview etl-queue --hours 24")]
    Preview(Preview),
    /// Show the runs that an agent would be given now.
    #[command(after_help = "Example:\n  prefect-rs work-queue read-runs etl-queue -o json")]
    ReadRuns(OneOutput),
    /// Give out no runs until it is resumed.
    #[command(after_help = "Example:\n  prefect-rs work-queue pause etl-queue")]
    Pause(One),
    /// Give out runs again.
    #[command(after_help = "Example:\n  prefect-rs work-queue resume etl-queue")]
    Resume(One),
    /// Limit how many runs of the queue may be under way.
    #[command(after_help = "Example:\n  prefect-rs work-queue set-concurrency-limit etl-queue 5")]
    SetConcurrencyLimit {
        /// The queue's id, the beginning of it, or its name.
        queue: String,
        /// How many.
        #[arg(allow_negative_numbers = true)]
        limit: u32,
        /// The work pool that it is in.
        #[arg(short, long)]
        pool: Option<String>,
    },
    /// Take the limit away.
    #[command(after_help = "Example:\n  prefect-rs work-queue clear-concurrency-limit etl-queue")]
    ClearConcurrencyLimit(One),
    /// Delete a work queue; its runs stay.
    #[command(after_help = "Example:\n  prefect-rs work-queue delete etl-queue")]
    Delete(One),
}

#[derive(Debug, clap::Args)]
struct Create {
    /// Its name.
    #[arg(value_parser = output::name)]
    name: String,
    /// Take runs that have this tag; several times means all of them.
    #[arg(short = 't', long = "tag", value_name = "TAG", value_parser = output::name)]
    tags: Vec<String>,
    /// Take runs of this deployment; several times means any of them.
    #[arg(short = 'd', long = "deployment", value_name = "ID")]
    deployment_ids: Vec<Uuid>,
    /// Take runs of this flow runner type (also `-fr`); several times means any of them.
    #[arg(long = "flow-runner", value_name = "TYPE")]
    flow_runner_types: Vec<String>,
    /// Let at most this many of its runs be under way.
    #[arg(short, long, value_name = "N", allow_negative_numbers = true)]
    limit: Option<u32>,
    /// Make it in this work pool, where it gives the runs that are sent to it.
    #[arg(short, long, conflicts_with_all = ["tags", "deployment_ids", "flow_runner_types"])]
    pool: Option<String>,
    /// Its place among the queues of the pool; the first gives its runs first [default: the last].
    #[arg(short = 'q', long, value_name = "N", requires = "pool", value_parser = clap::value_parser!(u32).range(1..))]
    priority: Option<u32>,
    #[command(flatten)]
    output: OutputArg,
}

#[derive(Debug, clap::Args)]
struct One {
    /// The queue's id, the beginning of it, or its name.
    queue: String,
    /// The work pool that it is in.
    #[arg(short, long)]
    pool: Option<String>,
}

#[derive(Debug, clap::Args)]
struct OneOutput {
    /// The queue's id, the beginning of it, or its name.
    queue: String,
    /// The work pool that it is in.
    #[arg(short, long)]
    pool: Option<String>,
    #[command(flatten)]
    output: OutputArg,
}

#[derive(Debug, clap::Args)]
struct Preview {
    /// The queue's id, the beginning of it, or its name.
    queue: String,
    /// How many hours to look ahead.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(i64).range(0..=876_000))]
    hours: i64,
    /// How many runs to show at most.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=200))]
    limit: u16,
    /// The work pool that it is in.
    #[arg(short, long)]
    pool: Option<String>,
    #[command(flatten)]
    output: OutputArg,
}

impl Args {
    pub(super) async fn run(self, cx: &Context) -> Result {
        let client = cx.client().await?;
        match self.command {
            Command::Create(args) => create(&client, args).await,
            Command::Ls {
                verbose,
                beginning,
                pool,
                output,
            } => {
                let queues = listed(&client, pool.as_deref(), beginning.as_deref()).await?;
                ls(cx, queues, verbose, output)
            }
            Command::Inspect(args) => inspect(&client, &args).await,
            Command::Preview(args) => preview(cx, &client, &args).await,
            Command::ReadRuns(args) => read_runs(cx, &client, &args).await,
            Command::Pause(one) => {
                update(&client, &one, json!({"is_paused": true}), "Paused").await
            }
            Command::Resume(one) => {
                update(&client, &one, json!({"is_paused": false}), "Resumed").await
            }
            Command::SetConcurrencyLimit { queue, limit, pool } => {
                let verb = format!("Set a concurrency limit of {limit} on");
                let one = One { queue, pool };
                update(&client, &one, json!({"concurrency_limit": limit}), &verb).await
            }
            Command::ClearConcurrencyLimit(one) => {
                let change = json!({"concurrency_limit": null});
                update(&client, &one, change, "Cleared the concurrency limit of").await
            }
            Command::Delete(one) => delete(&client, &one).await,
        }
    }
}

/// Finds a work queue of a pool, or any, by its id, the beginning of it, or its name.
async fn find_in(client: &Client, queue: &str, pool: Option<&str>) -> Result<Document<WorkQueue>> {
    let Some(pool) = pool else {
        return find(client, queue).await;
    };
    if let Some(found) = Client::optional(client.read_pool_queue(pool, queue).await)? {
        return Ok(found);
    }
    work_pool::find(client, pool).await?;
    find::among(queue, client.read_pool_queues(pool).await?).map_err(|error| {
        error.hint(format!(
            "list those of the pool with `prefect-rs work-queue ls --pool {}`",
            output::word(pool)
        ))
    })
}

/// Finds a work queue by its id, the beginning of it, or its name.
pub(super) async fn find(client: &Client, queue: &str) -> Result<Document<WorkQueue>> {
    let found = match Uuid::parse_str(queue) {
        Ok(id) => Client::optional(client.read_work_queue(id).await)?,
        Err(_) => Client::optional(client.read_work_queue_by_name(queue).await)?,
    };
    match found {
        Some(queue) => Ok(queue),
        None => find::among(queue, client.read_work_queues().await?),
    }
}

async fn create_in_pool(client: &Client, pool: &str, args: &Create) -> Result<Document<WorkQueue>> {
    work_pool::find(client, pool).await?;
    let mut queue = json!({"name": args.name});
    if let Some(limit) = args.limit {
        queue["concurrency_limit"] = limit.into();
    }
    if let Some(priority) = args.priority {
        queue["priority"] = priority.into();
    }
    match client.create_pool_queue(pool, &queue).await {
        Err(error) if error.status().is_some_and(|status| status == 409) => {
            let text = format!(
                "work pool '{pool}' has a work queue '{}' already",
                args.name
            );
            Err(Error::new(Code::Conflict, text).hint(format!(
                "show it with `prefect-rs work-queue inspect {} --pool {}`",
                output::word(&args.name),
                output::word(pool)
            )))
        }
        outcome => Ok(outcome?),
    }
}

async fn create(client: &Client, args: Create) -> Result {
    if let Some(pool) = &args.pool {
        let created = create_in_pool(client, pool, &args).await?;
        args.output.show_id(&created, created.id);
        return Ok(());
    }
    let some = |list: Vec<String>| (!list.is_empty()).then_some(list);
    let queue = CreateWorkQueue {
        name: args.name,
        filter: QueueFilter {
            tags: some(args.tags),
            deployment_ids: (!args.deployment_ids.is_empty()).then_some(args.deployment_ids),
            flow_runner_types: some(args.flow_runner_types),
        },
        description: None,
        concurrency_limit: args.limit.map(i64::from),
    };
    let created = match client.create_work_queue(&queue).await {
        Err(error) if error.status().is_some_and(|status| status == 409) => {
            return Err(Error::new(
                Code::Conflict,
                format!("a work queue '{}' exists already", queue.name),
            )
            .hint(format!(
                "show it with `prefect-rs work-queue inspect {}`",
                output::word(&queue.name)
            )));
        }
        outcome => outcome?,
    };
    args.output.show_id(&created, created.id);
    Ok(())
}

/// Returns queues: those of a pool in their order, or all by name.
async fn listed(
    client: &Client,
    pool: Option<&str>,
    beginning: Option<&str>,
) -> Result<Vec<Document<WorkQueue>>> {
    let mut queues = match pool {
        None => client.read_work_queues().await?,
        Some(pool) => {
            work_pool::find(client, pool).await?;
            client.read_pool_queues(pool).await?
        }
    };
    queues.retain(|queue| beginning.is_none_or(|beginning| queue.name.starts_with(beginning)));
    if pool.is_none() {
        queues.sort_by(|a, b| (&a.name, &a.work_pool_name).cmp(&(&b.name, &b.work_pool_name)));
    }
    Ok(queues)
}

/// Says whether something is paused, else in what status the server sees it.
pub(super) fn status(cx: &Context, is_paused: bool, status: Option<&str>) -> comfy_table::Cell {
    match status {
        _ if is_paused => cx.style.warning("paused"),
        Some("READY") => cx.style.text("ready"),
        Some("NOT_READY") => cx.style.warning("not ready"),
        Some(_) | None => cx.style.text("-"),
    }
}

fn ls(cx: &Context, queues: Vec<Document<WorkQueue>>, verbose: bool, output: OutputArg) -> Result {
    if output.is_json() {
        output::print_json(&queues);
        return Ok(());
    }
    if queues.is_empty() {
        output::say(
            "There are no work queues. Make one with `prefect-rs work-queue create -t TAG NAME`.",
        );
        return Ok(());
    }
    // Who knows no pools is not told of them.
    let has_pools = queues.iter().any(|queue| {
        let pool = queue.work_pool_name.as_deref();
        pool.is_some_and(|pool| pool != DEFAULT_AGENT_POOL)
    });
    let is_wide = verbose || output.is_wide();
    let mut table = match (has_pools, is_wide) {
        (true, true) => cx
            .style
            .table([
                "ID", "Name", "Pool", "Priority", "Limit", "Status", "Filter",
            ])
            .wraps(&["Name", "Pool", "Filter"]),
        (true, false) => cx
            .style
            .table(["ID", "Name", "Pool", "Priority", "Limit", "Status"])
            .wraps(&["Name", "Pool"])
            .spares(&["Priority", "Limit"]),
        (false, true) => cx
            .style
            .table(["ID", "Name", "Limit", "Paused", "Filter"])
            .wraps(&["Name", "Filter"]),
        (false, false) => cx
            .style
            .table(["ID", "Name", "Limit", "Paused"])
            .wraps(&["Name"]),
    };
    for queue in &queues {
        let text = |number: Option<i64>| number.map_or_else(|| "-".to_owned(), |n| n.to_string());
        let mut row = vec![cx.style.id(queue.id), cx.style.name(&queue.name)];
        if has_pools {
            row.push(
                cx.style
                    .name(queue.work_pool_name.as_deref().unwrap_or("-")),
            );
            row.push(cx.style.text(text(queue.priority)));
        }
        row.push(cx.style.text(text(queue.concurrency_limit)));
        row.push(match has_pools {
            true => status(cx, queue.is_paused, queue.status.as_deref()),
            false => status(cx, queue.is_paused, None),
        });
        if is_wide {
            row.push(cx.style.text(filter_text(queue.filter.as_ref())));
        }
        table.row(row);
    }
    table.print();
    Ok(())
}

/// Returns what a queue takes, in words.
pub(super) fn filter_text(filter: Option<&QueueFilter>) -> String {
    let Some(filter) = filter else {
        return "runs sent to it by name".to_owned();
    };
    let mut parts = Vec::new();
    let list = |list: &Option<Vec<String>>| {
        list.as_ref()
            .filter(|list| !list.is_empty())
            .map(|list| list.join(", "))
    };
    if let Some(tags) = list(&filter.tags) {
        parts.push(format!("tags: {tags}"));
    }
    if let Some(types) = list(&filter.flow_runner_types) {
        parts.push(format!("flow runners: {types}"));
    }
    if let Some(ids) = filter.deployment_ids.as_ref().filter(|ids| !ids.is_empty()) {
        let ids: Vec<String> = ids.iter().map(Uuid::to_string).collect();
        parts.push(format!("deployments: {}", ids.join(", ")));
    }
    match parts.is_empty() {
        true => "every run of a deployment".to_owned(),
        false => parts.join("; "),
    }
}

async fn inspect(client: &Client, args: &OneOutput) -> Result {
    let queue = find_in(client, &args.queue, args.pool.as_deref()).await?;
    args.output.show(&queue);
    Ok(())
}

async fn preview(cx: &Context, client: &Client, args: &Preview) -> Result {
    let queue = find_in(client, &args.queue, args.pool.as_deref()).await?;
    let ahead = TimeDelta::hours(args.hours);
    let runs = look(cx, client, queue.id, ahead, usize::from(args.limit)).await?;
    if runs.is_empty() && !args.output.is_json() {
        let reason = match queue.is_paused {
            true => format!(
                "Queue '{}' is paused; `prefect-rs work-queue resume {}` ends that.",
                queue.name,
                output::word(&queue.name)
            ),
            false => "No runs found; look further ahead with --hours.".to_owned(),
        };
        output::say(&reason);
        return Ok(());
    }
    show_runs(cx, &runs, args.output);
    Ok(())
}

async fn read_runs(cx: &Context, client: &Client, args: &OneOutput) -> Result {
    let queue = find_in(client, &args.queue, args.pool.as_deref()).await?;
    // What our agent asks: due now or within its prefetch.
    let prefetch = TimeDelta::from_std(cx.settings().agent_prefetch_seconds).unwrap_or_default();
    let runs = look(cx, client, queue.id, prefetch, crate::client::PAGE).await?;
    if runs.is_empty() && !args.output.is_json() {
        output::say("No runs are due.");
        return Ok(());
    }
    show_runs(cx, &runs, args.output);
    Ok(())
}

/// Returns what a queue has for the next time, the earliest first.
///
/// Asked an hour ahead at least, which no agent does, so that the server does not take it for a poll.
async fn look(
    cx: &Context,
    client: &Client,
    queue: Uuid,
    ahead: TimeDelta,
    limit: usize,
) -> Result<Vec<Document<FlowRun>>> {
    let before = cx.now() + ahead.max(TimeDelta::hours(1));
    let runs = client.read_work_queue_runs(queue, before, limit).await?;
    Ok(until(runs, cx.now() + ahead))
}

/// Keeps the runs that are due until an instant.
pub(super) fn until(
    mut runs: Vec<Document<FlowRun>>,
    end: DateTime<Utc>,
) -> Vec<Document<FlowRun>> {
    runs.retain(|run| run.next_scheduled_start_time.is_none_or(|due| due <= end));
    runs
}

pub(super) fn show_runs(cx: &Context, runs: &[Document<FlowRun>], output: OutputArg) {
    if output.is_json() {
        return output::print_json(&runs);
    }
    let now = cx.now();
    let mut table = cx
        .style
        .table([
            "Scheduled start",
            "When",
            "Run ID",
            "Name",
            "State",
            "Deployment ID",
        ])
        .wraps(&["Name"]);
    if !output.is_wide() {
        table = table.spares(&["Deployment ID", "Scheduled start", "State"]);
    }
    for run in runs {
        let due = run.next_scheduled_start_time.or(run.expected_start_time);
        let is_late = due.is_some_and(|due| due < now);
        let when = due.map_or_else(|| "-".to_owned(), |due| output::relative(now, due));
        table.row(vec![
            cx.style
                .text(due.map_or_else(|| "-".to_owned(), output::instant)),
            if is_late {
                cx.style.warning(when)
            } else {
                cx.style.text(when)
            },
            cx.style.id(run.id),
            cx.style.name(&run.name),
            cx.style.state(run.state.as_ref()),
            cx.style.id(run
                .deployment_id
                .map_or_else(|| "-".to_owned(), |id| id.to_string())),
        ]);
    }
    table.print();
}

async fn update(client: &Client, one: &One, changes: serde_json::Value, verb: &str) -> Result {
    let queue = find_in(client, &one.queue, one.pool.as_deref()).await?;
    client.update_work_queue(queue.id, &changes).await?;
    output::say(&format!(
        "{verb} work queue '{}'.",
        output::clean(&queue.name)
    ));
    Ok(())
}

async fn delete(client: &Client, one: &One) -> Result {
    let queue = find_in(client, &one.queue, one.pool.as_deref()).await?;
    client.delete_work_queue(queue.id).await?;
    output::say(&format!(
        "Deleted work queue '{}'.",
        output::clean(&queue.name)
    ));
    Ok(())
}

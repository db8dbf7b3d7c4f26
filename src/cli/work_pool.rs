//! `work-pool`: where the runs of deployments wait for workers, and how their processes are made.

use std::path::{Path, PathBuf};

use chrono::TimeDelta;
use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::{
    Context, config,
    error::{Code, Error, Result},
    output::{self, OutputArg},
    suggest, work_queue,
};
use crate::client::{Client, Document, PAGE, WorkPool};
use crate::schemas::work_pools::{PROCESS_TYPE, process_template};

/// The setting that names the pool of those who name none.
const DEFAULT_POOL: &str = "PREFECT_DEFAULT_WORK_POOL_NAME";

/// Make and watch work pools, from which workers take runs.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  prefect-rs work-pool create --type process shed")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a work pool and print its id.
    #[command(
        after_help = "Examples:\n  prefect-rs work-pool create --type process shed\n  prefect-rs work-pool create --base-job-template template.json --overwrite shed"
    )]
    Create(Create),
    /// List the work pools.
    #[command(after_help = "Example:\n  prefect-rs work-pool ls -o wide")]
    Ls {
        /// Show what they are for too, as `-o wide` does.
        #[arg(short, long)]
        verbose: bool,
        #[command(flatten)]
        output: OutputArg,
    },
    /// Show a work pool with its queues and workers.
    #[command(after_help = "Example:\n  prefect-rs work-pool inspect shed")]
    Inspect {
        /// The pool's name.
        name: String,
        #[command(flatten)]
        output: OutputArg,
    },
    /// Change a work pool.
    #[command(
        after_help = "Example:\n  prefect-rs work-pool update --concurrency-limit 5 --description 'heavy work' shed"
    )]
    Update(Update),
    /// Give out no runs until it is resumed.
    #[command(after_help = "Example:\n  prefect-rs work-pool pause shed")]
    Pause(One),
    /// Give out runs again.
    #[command(after_help = "Example:\n  prefect-rs work-pool resume shed")]
    Resume(One),
    /// Limit how many runs of the pool may be under way.
    #[command(after_help = "Example:\n  prefect-rs work-pool set-concurrency-limit shed 5")]
    SetConcurrencyLimit {
        /// The pool's name.
        name: String,
        /// How many.
        #[arg(allow_negative_numbers = true)]
        limit: u32,
    },
    /// Take the limit away.
    #[command(after_help = "Example:\n  prefect-rs work-pool clear-concurrency-limit shed")]
    ClearConcurrencyLimit(One),
    /// Show the runs that are due or coming, in the order in which workers take them.
    #[command(after_help = "Example:\n  prefect-rs work-pool preview shed --hours 24")]
    Preview(Preview),
    /// Print the base job template that a new pool of a type gets.
    #[command(
        after_help = "Example:\n  prefect-rs work-pool get-default-base-job-template --type process"
    )]
    GetDefaultBaseJobTemplate {
        /// The type of pool.
        #[arg(short = 't', long = "type", default_value = PROCESS_TYPE, value_name = "TYPE")]
        pool_type: String,
        /// Write it to this file.
        #[arg(short, long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Delete a work pool with its queues; its runs stay.
    #[command(after_help = "Example:\n  prefect-rs work-pool delete shed")]
    Delete(One),
}

#[derive(Debug, clap::Args)]
struct Create {
    /// Its name.
    #[arg(value_parser = output::name)]
    name: String,
    /// Which workers serve it [default: process, or that of the pool to overwrite].
    #[arg(short = 't', long = "type", value_name = "TYPE")]
    pool_type: Option<String>,
    /// The JSON file of its base job template [default: that of the type].
    #[arg(long, value_name = "FILE")]
    base_job_template: Option<PathBuf>,
    /// Give out no runs until it is resumed.
    #[arg(long)]
    paused: bool,
    /// Make it the pool of those who name none, in the active profile.
    #[arg(long)]
    set_as_default: bool,
    /// Change the pool of this name, if there is one.
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    output: OutputArg,
}

#[derive(Debug, clap::Args)]
struct Update {
    /// The pool's name.
    name: String,
    /// The JSON file of its base job template.
    #[arg(long, value_name = "FILE")]
    base_job_template: Option<PathBuf>,
    /// How many of its runs may be under way.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    concurrency_limit: Option<u32>,
    /// What it is for.
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
}

#[derive(Debug, clap::Args)]
struct One {
    /// The pool's name.
    name: String,
}

#[derive(Debug, clap::Args)]
struct Preview {
    /// The pool's name [default: that of PREFECT_DEFAULT_WORK_POOL_NAME].
    name: Option<String>,
    /// How many hours to look ahead.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(i64).range(0..=876_000))]
    hours: i64,
    #[command(flatten)]
    output: OutputArg,
}

impl Args {
    pub(super) async fn run(self, cx: &Context) -> Result {
        let client = cx.client().await?;
        match self.command {
            Command::Create(args) => create(cx, &client, args).await,
            Command::Ls { verbose, output } => ls(cx, &client, verbose, output).await,
            Command::Inspect { name, output } => inspect(cx, &client, &name, output).await,
            Command::Update(args) => change(&client, args).await,
            Command::Pause(One { name }) => {
                update(&client, &name, json!({"is_paused": true}), "Paused").await
            }
            Command::Resume(One { name }) => {
                update(&client, &name, json!({"is_paused": false}), "Resumed").await
            }
            Command::SetConcurrencyLimit { name, limit } => {
                let verb = format!("Set a concurrency limit of {limit} on");
                update(&client, &name, json!({"concurrency_limit": limit}), &verb).await
            }
            Command::ClearConcurrencyLimit(One { name }) => {
                let change = json!({"concurrency_limit": null});
                update(&client, &name, change, "Cleared the concurrency limit of").await
            }
            Command::Preview(args) => preview(cx, &client, &args).await,
            Command::GetDefaultBaseJobTemplate { pool_type, file } => {
                print_template(&client, &pool_type, file.as_deref()).await
            }
            Command::Delete(One { name }) => {
                find(&client, &name).await?;
                client.delete_work_pool(&name).await?;
                output::say(&format!("Deleted work pool '{}'.", output::clean(&name)));
                Ok(())
            }
        }
    }
}

/// Returns the pool of those who name none.
pub(super) fn or_default(cx: &Context, name: Option<String>) -> Result<String> {
    let default = || cx.settings().default_work_pool_name.clone();
    name.or_else(default).ok_or_else(|| {
        Error::new(Code::Usage, "no work pool is named").hint(format!(
            "name one, or choose one for good with `prefect-rs config set {DEFAULT_POOL}=NAME`"
        ))
    })
}

/// Finds a pool by its name.
pub(super) async fn find(client: &Client, name: &str) -> Result<Document<WorkPool>> {
    // No name would ask for something else.
    if !name.is_empty()
        && let Some(found) = Client::optional(client.read_work_pool(name).await)?
    {
        return Ok(found);
    }
    let known = client.read_work_pools().await.unwrap_or_default();
    let names = known.iter().map(|pool| pool.name.as_str());
    Err(Error::not_found("work pool", name)
        .maybe_hint(suggest::hint(name, names))
        .hint("list the work pools with `prefect-rs work-pool ls`"))
}

/// Reads a base job template, which is an object with `job_configuration` and `variables`.
pub(super) fn read_template(path: &Path) -> Result<Value> {
    let shown = path.display();
    let wrong = |what: String| {
        Error::new(Code::Usage, what).hint(
            "see what one looks like with `prefect-rs work-pool get-default-base-job-template`",
        )
    };
    let text = std::fs::read_to_string(path)
        .map_err(|error| wrong(format!("the template '{shown}' cannot be read: {error}")))?;
    let template: Value = serde_json::from_str(&text)
        .map_err(|error| wrong(format!("the template '{shown}' is not JSON: {error}")))?;
    match template["job_configuration"].is_object() && template["variables"].is_object() {
        true => Ok(template),
        false => Err(wrong(format!(
            "the template '{shown}' is no object with `job_configuration` and `variables`"
        ))),
    }
}

/// Returns the template of a type: our own, or the one that the server knows; workers of other types bring theirs.
async fn template_of(client: &Client, pool_type: &str) -> Result<Option<Value>> {
    if pool_type == PROCESS_TYPE {
        return Ok(Some(process_template()));
    }
    let view = client.get::<Value>("/collections/views/aggregate-worker-metadata");
    let known = Client::optional(view.await)?.unwrap_or_default();
    let packages = known.as_object().into_iter().flatten();
    let template = packages
        .map(|(_, package)| &package[pool_type]["default_base_job_configuration"])
        .find(|template| {
            template
                .as_object()
                .is_some_and(|members| !members.is_empty())
        });
    Ok(template.cloned())
}

async fn print_template(client: &Client, pool_type: &str, file: Option<&Path>) -> Result {
    let Some(template) = template_of(client, pool_type).await? else {
        return Err(Error::not_found("type of work pool", pool_type).hint(
            "workers of other types than `process` set the template of a pool that has none",
        ));
    };
    let Some(file) = file else {
        output::print_json(&template);
        return Ok(());
    };
    let text = format!("{template:#}\n");
    std::fs::write(file, text)
        .map_err(|error| Error::failure(format!("'{}' cannot be written: {error}", file.display())))
}

async fn create(cx: &Context, client: &Client, args: Create) -> Result {
    let given = args.base_job_template.as_deref().map(read_template);
    let given = given.transpose()?;
    let known = match args.overwrite {
        true => Client::optional(client.read_work_pool(&args.name).await)?,
        false => None,
    };
    let created = match known {
        Some(known) => overwrite(client, known, &args, given).await?,
        None => insert(client, &args, given).await?,
    };
    if args.set_as_default {
        config::store(cx, DEFAULT_POOL, &args.name)?;
    }
    args.output.show_id(&created, created.id);
    if created.r#type == PROCESS_TYPE && !args.output.is_json() {
        let name = output::word(&created.name);
        output::say(&format!(
            "Start a worker for it with `prefect-rs worker start --pool {name}`."
        ));
    }
    Ok(())
}

async fn insert(
    client: &Client,
    args: &Create,
    given: Option<Value>,
) -> Result<Document<WorkPool>> {
    let pool_type = args.pool_type.as_deref().unwrap_or(PROCESS_TYPE);
    let template = match given {
        Some(template) => template,
        None => template_of(client, pool_type).await?.unwrap_or(json!({})),
    };
    let pool = json!({
        "name": args.name, "type": pool_type,
        "base_job_template": template, "is_paused": args.paused,
    });
    match client.create_work_pool(&pool).await {
        Err(error) if error.status().is_some_and(|status| status == 409) => {
            let text = format!("a work pool '{}' exists already", args.name);
            Err(Error::new(Code::Conflict, text)
                .hint(format!(
                    "show it with `prefect-rs work-pool inspect {}`",
                    output::word(&args.name)
                ))
                .hint("change it by adding --overwrite"))
        }
        // Not of credentials: the server keeps some names for itself.
        Err(error) if error.status().is_some_and(|status| status == 403) => {
            Err(Error::new(Code::Usage, error.to_string()).hint("choose another name"))
        }
        outcome => Ok(outcome?),
    }
}

async fn overwrite(
    client: &Client,
    known: Document<WorkPool>,
    args: &Create,
    given: Option<Value>,
) -> Result<Document<WorkPool>> {
    if let Some(asked) = args
        .pool_type
        .as_ref()
        .filter(|asked| **asked != known.r#type)
    {
        let text = format!(
            "work pool '{}' is of the type '{}', which cannot become '{asked}'",
            args.name, known.r#type
        );
        return Err(Error::new(Code::Conflict, text).hint(format!(
            "delete it first with `prefect-rs work-pool delete {}`",
            output::word(&args.name)
        )));
    }
    let mut changes = json!({"is_paused": args.paused});
    if let Some(template) = given {
        changes["base_job_template"] = template;
    }
    client.update_work_pool(&args.name, &changes).await?;
    Ok(client.read_work_pool(&args.name).await?)
}

async fn ls(cx: &Context, client: &Client, verbose: bool, output: OutputArg) -> Result {
    let pools = client.read_work_pools().await?;
    if output.is_json() {
        output::print_json(&pools);
        return Ok(());
    }
    if pools.is_empty() {
        output::say("There are no work pools. Make one with `prefect-rs work-pool create NAME`.");
        return Ok(());
    }
    let mut table = match verbose || output.is_wide() {
        true => cx
            .style
            .table(["Name", "Type", "ID", "Limit", "Status", "Description"])
            .wraps(&["Name", "Description"]),
        false => cx
            .style
            .table(["Name", "Type", "ID", "Limit", "Status"])
            .wraps(&["Name"])
            .spares(&["ID"]),
    };
    for pool in &pools {
        let limit = pool.concurrency_limit;
        let mut row = vec![
            cx.style.name(&pool.name),
            cx.style.text(&pool.r#type),
            cx.style.id(pool.id),
            cx.style
                .text(limit.map_or_else(|| "-".to_owned(), |limit| limit.to_string())),
            work_queue::status(cx, pool.is_paused, pool.status.as_deref()),
        ];
        if verbose || output.is_wide() {
            row.push(cx.style.text(pool.description.as_deref().unwrap_or("-")));
        }
        table.row(row);
    }
    table.print();
    Ok(())
}

async fn inspect(cx: &Context, client: &Client, name: &str, output: OutputArg) -> Result {
    let pool = find(client, name).await?;
    if output.is_json() {
        output::print_json(&pool);
        return Ok(());
    }
    output::print_fields(&pool.raw);
    output::print_line("\nQueues:");
    for queue in client.read_pool_queues(name).await? {
        let state = queue.status.as_deref().unwrap_or("-");
        let name = output::clean(&queue.name);
        output::print_line(&format!("  {name}  {state}"));
    }
    let workers = client.read_workers(name).await?;
    if !workers.is_empty() {
        output::print_line("\nWorkers:");
    }
    for worker in workers {
        let name = output::clean(worker["name"].as_str().unwrap_or("-"));
        let state = worker["status"].as_str().unwrap_or("-");
        let heard = worker["last_heartbeat_time"].as_str();
        let heard = heard.and_then(|at| chrono::DateTime::parse_from_rfc3339(at).ok());
        let heard = heard.map(|at| format!(", heard {}", output::relative(cx.now(), at.to_utc())));
        let heard = heard.unwrap_or_default();
        output::print_line(&format!("  {name}  {state}{heard}"));
    }
    Ok(())
}

async fn change(client: &Client, args: Update) -> Result {
    let mut changes = Map::new();
    if let Some(path) = &args.base_job_template {
        changes.insert("base_job_template".into(), read_template(path)?);
    }
    if let Some(limit) = args.concurrency_limit {
        changes.insert("concurrency_limit".into(), limit.into());
    }
    if let Some(description) = args.description {
        changes.insert("description".into(), description.into());
    }
    if changes.is_empty() {
        return Err(Error::new(Code::Usage, "nothing to change was given")
            .hint("give what shall change, such as `--concurrency-limit 5`"));
    }
    update(client, &args.name, Value::Object(changes), "Changed").await
}

async fn update(client: &Client, name: &str, changes: Value, verb: &str) -> Result {
    find(client, name).await?;
    client.update_work_pool(name, &changes).await?;
    output::say(&format!("{verb} work pool '{}'.", output::clean(name)));
    Ok(())
}

async fn preview(cx: &Context, client: &Client, args: &Preview) -> Result {
    let name = or_default(cx, args.name.clone())?;
    let pool = find(client, &name).await?;
    // Further ahead than a worker looks, so that the server does not take it for a poll.
    let before = cx.now() + TimeDelta::hours(args.hours.max(1));
    let runs = client.read_work_pool_runs(&name, &[], before, PAGE).await?;
    let runs = runs.into_iter().map(|run| run.flow_run).collect();
    let runs = work_queue::until(runs, cx.now() + TimeDelta::hours(args.hours));
    if runs.is_empty() && !args.output.is_json() {
        let reason = match pool.is_paused {
            true => format!(
                "Work pool '{name}' is paused; `prefect-rs work-pool resume {}` ends that.",
                output::word(&name)
            ),
            false => "No runs found; look further ahead with --hours.".to_owned(),
        };
        output::say(&output::clean(&reason));
        return Ok(());
    }
    work_queue::show_runs(cx, &runs, args.output);
    Ok(())
}

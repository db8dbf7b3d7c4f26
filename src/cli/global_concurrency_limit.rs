//! `global-concurrency-limit`: how many slots of a name may be taken at once, or how often.

use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::{
    Context,
    error::{Code, Error, Result},
    output::{self, OutputArg},
    suggest,
};
use crate::client::{Client, Document, GlobalConcurrencyLimit};

/// Limit how much of anything runs at once, or how often.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  prefect-rs global-concurrency-limit create database --limit 10"
)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create a limit.
    #[command(
        after_help = "Examples:\n  prefect-rs gcl create database --limit 10\n  prefect-rs gcl create web-api --limit 60 --slot-decay-per-second 1"
    )]
    Create {
        /// Its name.
        name: String,
        /// How many slots there are.
        #[arg(long, short, allow_negative_numbers = true)]
        limit: u32,
        /// How many slots a second come back by themselves; with it, the limit is one of the rate.
        #[arg(long, default_value_t = 0.0, value_name = "SLOTS")]
        slot_decay_per_second: f64,
        /// Create it without putting it in force.
        #[arg(long)]
        disable: bool,
    },
    /// List the limits, those of tags too.
    #[command(after_help = "Example:\n  prefect-rs gcl ls -o json")]
    Ls {
        #[command(flatten)]
        output: OutputArg,
    },
    /// Show a limit.
    #[command(after_help = "Example:\n  prefect-rs gcl inspect database")]
    Inspect {
        /// Its name or id.
        name: String,
        #[command(flatten)]
        output: OutputArg,
    },
    /// Change a limit.
    #[command(after_help = "Example:\n  prefect-rs gcl update database --limit 20")]
    Update {
        /// Its name or id.
        name: String,
        /// How many slots there are.
        #[arg(long, short, allow_negative_numbers = true)]
        limit: Option<u32>,
        /// How many slots are taken.
        #[arg(long, value_name = "SLOTS")]
        active_slots: Option<u32>,
        /// How many slots a second come back by themselves.
        #[arg(long, value_name = "SLOTS")]
        slot_decay_per_second: Option<f64>,
    },
    /// Put a limit in force.
    #[command(after_help = "Example:\n  prefect-rs gcl enable database")]
    Enable {
        /// Its name or id.
        name: String,
    },
    /// Put a limit out of force.
    #[command(after_help = "Example:\n  prefect-rs gcl disable database")]
    Disable {
        /// Its name or id.
        name: String,
    },
    /// Delete a limit.
    #[command(after_help = "Example:\n  prefect-rs gcl delete database")]
    Delete {
        /// Its name or id.
        name: String,
    },
}

impl Args {
    pub(super) async fn run(self, cx: &Context) -> Result {
        let client = cx.client().await?;
        match self.command {
            Command::Create {
                name,
                limit,
                slot_decay_per_second,
                disable,
            } => {
                let limit = json!({
                    "name": name, "limit": limit, "active": !disable,
                    "slot_decay_per_second": slot_decay_per_second,
                });
                let created = match client.create_global_concurrency_limit(&limit).await {
                    Err(error) if error.status().is_some_and(|status| status == 409) => {
                        let name = output::clean(&name);
                        return Err(Error::new(
                            Code::Conflict,
                            format!("a concurrency limit '{name}' exists already"),
                        )
                        .hint(format!(
                            "change it with `prefect-rs global-concurrency-limit update {}`",
                            output::word(&name)
                        )));
                    }
                    created => created?,
                };
                output::print_line(&created.id.to_string());
                Ok(())
            }
            Command::Ls { output } => ls(cx, &client, output).await,
            Command::Inspect { name, output } => {
                let found = find(&client, &name).await?;
                output.show(&found);
                Ok(())
            }
            Command::Update {
                name,
                limit,
                active_slots,
                slot_decay_per_second,
            } => {
                let given = [
                    ("limit", limit.map(Value::from)),
                    ("active_slots", active_slots.map(Value::from)),
                    (
                        "slot_decay_per_second",
                        slot_decay_per_second.map(Value::from),
                    ),
                ];
                let given = given.into_iter();
                let change: Map<String, Value> = given
                    .filter_map(|(key, value)| Some((key.to_owned(), value?)))
                    .collect();
                if change.is_empty() {
                    return Err(Error::new(Code::Usage, "nothing to change was given")
                        .hint("give a new size, such as `--limit 20`"));
                }
                update(&client, &name, change.into(), "Changed").await
            }
            Command::Enable { name } => {
                update(&client, &name, json!({"active": true}), "Enabled").await
            }
            Command::Disable { name } => {
                update(&client, &name, json!({"active": false}), "Disabled").await
            }
            Command::Delete { name } => {
                let found = find(&client, &name).await?;
                let id = found.id.to_string();
                client.delete_global_concurrency_limit(&id).await?;
                let name = output::clean(&found.name);
                output::say(&format!("Deleted the concurrency limit '{name}'."));
                Ok(())
            }
        }
    }
}

async fn update(client: &Client, which: &str, change: Value, done: &str) -> Result {
    let found = find(client, which).await?;
    let id = found.id.to_string();
    client.update_global_concurrency_limit(&id, &change).await?;
    let name = output::clean(&found.name);
    output::say(&format!("{done} the concurrency limit '{name}'."));
    Ok(())
}

async fn ls(cx: &Context, client: &Client, output: OutputArg) -> Result {
    let limits = client.read_global_concurrency_limits(None).await?;
    if output.is_json() {
        output::print_json(&limits);
        return Ok(());
    }
    if limits.is_empty() {
        output::say("There are no concurrency limits.");
        return Ok(());
    }
    let mut table = cx
        .style
        .table([
            "ID",
            "Name",
            "Active",
            "Limit",
            "Active slots",
            "Decay per second",
        ])
        .wraps(&["Name"])
        .spares(&["Decay per second", "ID"]);
    for limit in &limits {
        table.row(vec![
            cx.style.id(limit.id),
            cx.style.name(&limit.name),
            cx.style.text(if limit.active { "yes" } else { "no" }),
            cx.style.text(limit.limit),
            cx.style.text(limit.active_slots),
            cx.style.text(limit.slot_decay_per_second),
        ]);
    }
    table.print();
    Ok(())
}

async fn find(client: &Client, which: &str) -> Result<Document<GlobalConcurrencyLimit>> {
    // No name would ask for something else.
    if !which.is_empty()
        && let Some(found) = Client::optional(client.read_global_concurrency_limit(which).await)?
    {
        return Ok(found);
    }
    let known = client
        .read_global_concurrency_limits(None)
        .await
        .unwrap_or_default();
    let names = known.iter().map(|limit| limit.name.as_str());
    Err(Error::not_found("concurrency limit", which)
        .maybe_hint(suggest::hint(which, names))
        .hint("list the limits with `prefect-rs global-concurrency-limit ls`"))
}

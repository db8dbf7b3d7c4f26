//! `concurrency-limit`: how many task runs with a tag may run at once.

use clap::Subcommand;
use uuid::Uuid;

use super::{
    Context,
    error::{Error, Result},
    output::{self, OutputArg},
    suggest,
};
use crate::client::{Client, ConcurrencyLimit, Document};

/// Limit how many task runs with a tag may run at once.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  prefect-rs concurrency-limit create database 10")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Limit a tag, or change its limit.
    #[command(after_help = "Example:\n  prefect-rs concurrency-limit create database 10")]
    Create {
        /// The tag.
        #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
        tag: String,
        /// How many task runs with the tag may run at once.
        #[arg(allow_negative_numbers = true)]
        concurrency_limit: u32,
        #[command(flatten)]
        output: OutputArg,
    },
    /// List the limits.
    #[command(after_help = "Example:\n  prefect-rs concurrency-limit ls")]
    Ls {
        /// How many to show at most.
        #[arg(long, default_value_t = 200)]
        limit: usize,
        /// How many to leave out first.
        #[arg(long, default_value_t = 0)]
        offset: usize,
        #[command(flatten)]
        output: OutputArg,
    },
    /// Show a limit with the task runs that hold its slots.
    #[command(
        visible_alias = "read",
        after_help = "Example:\n  prefect-rs concurrency-limit inspect database"
    )]
    Inspect {
        /// The tag.
        tag: String,
        #[command(flatten)]
        output: OutputArg,
    },
    /// Free all slots of a limit.
    #[command(after_help = "Example:\n  prefect-rs concurrency-limit reset database")]
    Reset {
        /// The tag.
        tag: String,
    },
    /// Take a limit away.
    #[command(after_help = "Example:\n  prefect-rs concurrency-limit delete database")]
    Delete {
        /// The tag.
        tag: String,
    },
}

impl Args {
    pub(super) async fn run(self, cx: &Context) -> Result {
        let client = cx.client().await?;
        match self.command {
            Command::Create {
                tag,
                concurrency_limit,
                output,
            } => {
                let limit = client
                    .create_concurrency_limit(&tag, concurrency_limit)
                    .await?;
                output.show_id(&limit, limit.id);
                Ok(())
            }
            Command::Ls {
                limit,
                offset,
                output,
            } => ls(cx, &client, offset, limit, output).await,
            Command::Inspect { tag, output } => inspect(&client, &tag, output).await,
            Command::Reset { tag } => reset(&client, &tag).await,
            Command::Delete { tag } => delete(&client, &tag).await,
        }
    }
}

async fn find(client: &Client, tag: &str) -> Result<Document<ConcurrencyLimit>> {
    if let Some(limit) = Client::optional(client.read_concurrency_limit_by_tag(tag).await)? {
        return Ok(limit);
    }
    let limits = client
        .read_concurrency_limits(0, None)
        .await
        .unwrap_or_default();
    let tags = limits.iter().map(|limit| limit.tag.as_str());
    Err(Error::not_found("concurrency limit for the tag", tag)
        .maybe_hint(suggest::hint(tag, tags))
        .hint("list the limits with `prefect-rs concurrency-limit ls`"))
}

async fn ls(
    cx: &Context,
    client: &Client,
    offset: usize,
    limit: usize,
    output: OutputArg,
) -> Result {
    let mut limits = client.read_concurrency_limits(offset, Some(limit)).await?;
    limits.sort_by(|a, b| a.tag.cmp(&b.tag));
    if output.is_json() {
        output::print_json(&limits);
        return Ok(());
    }
    if limits.is_empty() {
        output::say("There are no concurrency limits.");
        return Ok(());
    }
    let now = cx.now();
    let mut table = cx
        .style
        .table([
            "Tag",
            "ID",
            "Concurrency limit",
            "Active task runs",
            "Updated",
        ])
        .wraps(&["Tag"])
        .spares(&["Updated", "ID"]);
    for limit in &limits {
        table.row(vec![
            cx.style.name(&limit.tag),
            cx.style.id(limit.id),
            cx.style.text(limit.concurrency_limit),
            cx.style.text(limit.active_slots.len()),
            cx.style.text(
                limit
                    .updated
                    .map_or_else(String::new, |at| output::relative(now, at)),
            ),
        ]);
    }
    table.print();
    Ok(())
}

async fn inspect(client: &Client, tag: &str, output: OutputArg) -> Result {
    let limit = find(client, tag).await?;
    if output.is_json() {
        output::print_json(&limit);
        return Ok(());
    }
    output::print_fields(&limit.raw);
    if limit.active_slots.is_empty() {
        output::say("No task run holds a slot.");
    }
    Ok(())
}

async fn reset(client: &Client, tag: &str) -> Result {
    let limit = find(client, tag).await?;
    let freed: Vec<Uuid> = limit.active_slots.clone();
    let size = u32::try_from(limit.concurrency_limit).unwrap_or(0);
    // Made anew, since the first generation of the API has no other way to free slots.
    client.delete_concurrency_limit_by_tag(tag).await?;
    client.create_concurrency_limit(tag, size).await?;
    output::say(&format!(
        "Freed {} slots of the tag '{}'.",
        freed.len(),
        output::clean(tag)
    ));
    Ok(())
}

async fn delete(client: &Client, tag: &str) -> Result {
    find(client, tag).await?;
    client.delete_concurrency_limit_by_tag(tag).await?;
    output::say(&format!(
        "Deleted the concurrency limit of the tag '{}'.",
        output::clean(tag)
    ));
    Ok(())
}

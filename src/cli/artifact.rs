//! `artifact`: what flows leave for people to look at.

use clap::Subcommand;
use uuid::Uuid;

use super::{
    Context,
    error::{Error, Result},
    output::{self, OutputArg},
    suggest,
};
use crate::client::{Artifact, Client, Document};

/// List, show and delete artifacts: what flows leave for people to look at.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  prefect-rs artifact inspect daily-report")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the newest artifact of each key.
    #[command(after_help = "Example:\n  prefect-rs artifact ls --all")]
    Ls {
        /// How many to show at most.
        #[arg(long, default_value_t = 100)]
        limit: usize,
        /// List older artifacts too, and those without a key.
        #[arg(long, short)]
        all: bool,
        #[command(flatten)]
        output: OutputArg,
    },
    /// Show the artifacts of a key, the newest first, or the one of an id.
    #[command(after_help = "Example:\n  prefect-rs artifact inspect daily-report --limit 1")]
    Inspect {
        /// The key, or the id of one artifact.
        key: String,
        /// How many to show at most.
        #[arg(long, default_value_t = 10)]
        limit: usize,
        #[command(flatten)]
        output: OutputArg,
    },
    /// Delete all artifacts of a key, or the one of an id.
    #[command(after_help = "Example:\n  prefect-rs artifact delete daily-report")]
    Delete {
        /// The key, or the id of one artifact.
        key: String,
    },
}

impl Args {
    pub(super) async fn run(self, cx: &Context) -> Result {
        let client = cx.client().await?;
        match self.command {
            Command::Ls { limit, all, output } => ls(cx, &client, limit, all, output).await,
            Command::Inspect { key, limit, output } => {
                let found = find(&client, &key, Some(limit)).await?;
                if output.is_json() {
                    output::print_json(&found);
                    return Ok(());
                }
                for artifact in &found {
                    output::print_fields(&artifact.raw);
                }
                Ok(())
            }
            Command::Delete { key } => {
                let found = find(&client, &key, None).await?;
                for artifact in &found {
                    client.delete_artifact(artifact.id).await?;
                }
                let key = output::clean(&key);
                output::say(&match found.len() {
                    1 => format!("Deleted 1 artifact of '{key}'."),
                    count => format!("Deleted {count} artifacts of '{key}'."),
                });
                Ok(())
            }
        }
    }
}

async fn ls(cx: &Context, client: &Client, limit: usize, all: bool, output: OutputArg) -> Result {
    let artifacts = match all {
        true => client.read_artifacts(None, Some(limit)).await?,
        false => client.read_latest_artifacts(limit).await?,
    };
    if output.is_json() {
        output::print_json(&artifacts);
        return Ok(());
    }
    if artifacts.is_empty() {
        output::say("There are no artifacts.");
        return Ok(());
    }
    let now = cx.now();
    let mut table = cx
        .style
        .table(["ID", "Key", "Type", "Updated"])
        .wraps(&["Key"])
        .spares(&["Updated"]);
    for artifact in &artifacts {
        let updated = artifact.updated;
        table.row(vec![
            cx.style.id(artifact.latest_id.unwrap_or(artifact.id)),
            cx.style.name(artifact.key.as_deref().unwrap_or_default()),
            cx.style
                .text(artifact.artifact_type.as_deref().unwrap_or_default()),
            cx.style
                .text(updated.map_or_else(String::new, |at| output::relative(now, at))),
        ]);
    }
    table.print();
    Ok(())
}

async fn find(
    client: &Client,
    which: &str,
    limit: Option<usize>,
) -> Result<Vec<Document<Artifact>>> {
    let found = match which.parse::<Uuid>() {
        Ok(id) => {
            let found = Client::optional(client.read_artifact(id).await)?;
            found.into_iter().collect()
        }
        Err(_) => client.read_artifacts(Some(which), limit).await?,
    };
    if !found.is_empty() {
        return Ok(found);
    }
    let known = client.read_latest_artifacts(200).await.unwrap_or_default();
    let keys = known.iter().filter_map(|artifact| artifact.key.as_deref());
    Err(Error::not_found("artifact", which)
        .maybe_hint(suggest::hint(which, keys))
        .hint("list the artifacts with `prefect-rs artifact ls`"))
}

//! `block`: stored configurations of the first generation.

use clap::Subcommand;
use uuid::Uuid;

use super::{
    Context,
    error::Result,
    output::{self, OutputArg},
};
use crate::client::{Block, Client, Document};

/// List, show and delete blocks, which are stored configurations.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  prefect-rs block ls")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the blocks.
    #[command(after_help = "Example:\n  prefect-rs block ls -o json")]
    Ls {
        #[command(flatten)]
        output: OutputArg,
    },
    /// Show a block with its data.
    #[command(
        after_help = "Example:\n  prefect-rs block inspect 0191f7c2-6b1e-7c3a-8000-000000000000"
    )]
    Inspect {
        /// The block's id, the beginning of it, or its name.
        block: String,
        #[command(flatten)]
        output: OutputArg,
    },
    /// List the kinds of blocks.
    #[command(after_help = "Example:\n  prefect-rs block specs")]
    Specs {
        #[command(flatten)]
        output: OutputArg,
    },
    /// Delete a block.
    #[command(
        after_help = "Example:\n  prefect-rs block delete 0191f7c2-6b1e-7c3a-8000-000000000000"
    )]
    Delete {
        /// The block's id, the beginning of it, or its name.
        block: String,
    },
}

impl Args {
    pub(super) async fn run(self, cx: &Context) -> Result {
        let client = cx.client().await?;
        match self.command {
            Command::Ls { output } => ls(cx, &client, output).await,
            Command::Inspect { block, output } => inspect(&client, &block, output).await,
            Command::Specs { output } => specs(cx, &client, output).await,
            Command::Delete { block } => delete(&client, &block).await,
        }
    }
}

async fn ls(cx: &Context, client: &Client, output: OutputArg) -> Result {
    let blocks = client.read_blocks(None).await?;
    if output.is_json() {
        output::print_json(&blocks);
        return Ok(());
    }
    if blocks.is_empty() {
        output::say("There are no blocks.");
        return Ok(());
    }
    let mut table = cx
        .style
        .table(["ID", "Name", "Kind", "Version"])
        .wraps(&["Name", "Kind"])
        .spares(&["Version"]);
    for block in &blocks {
        let spec = block.block_spec.as_ref();
        table.row(vec![
            cx.style.id(block.id),
            cx.style.name(block.name.as_deref().unwrap_or("-")),
            cx.style.text(spec.map_or("-", |spec| &spec.name)),
            cx.style.text(spec.map_or("-", |spec| &spec.version)),
        ]);
    }
    table.print();
    Ok(())
}

async fn find(client: &Client, block: &str) -> Result<Document<Block>> {
    let Ok(id) = Uuid::parse_str(block) else {
        return super::find::among(block, client.read_blocks(None).await?);
    };
    Client::optional(client.read_block(id).await)?
        .ok_or_else(|| super::find::nothing::<Block>(block, None))
}

async fn inspect(client: &Client, block: &str, output: OutputArg) -> Result {
    let block = find(client, block).await?;
    match output.is_json() {
        true => output::print_json(&block),
        false => output::print_fields(&block.raw),
    }
    Ok(())
}

async fn specs(cx: &Context, client: &Client, output: OutputArg) -> Result {
    let specs = client.read_block_specs(None).await?;
    if output.is_json() {
        output::print_json(&specs);
        return Ok(());
    }
    let mut table = cx
        .style
        .table(["ID", "Kind", "Version", "Type"])
        .wraps(&["Kind"])
        .spares(&["Version"]);
    for spec in &specs {
        table.row(vec![
            cx.style.id(spec.id),
            cx.style.name(&spec.name),
            cx.style.text(&spec.version),
            cx.style.text(spec.r#type.as_deref().unwrap_or("-")),
        ]);
    }
    table.print();
    Ok(())
}

async fn delete(client: &Client, block: &str) -> Result {
    let block = find(client, block).await?;
    client.delete_block(block.id).await?;
    let name = block.name.clone().unwrap_or_else(|| block.id.to_string());
    output::say(&format!("Deleted block '{}'.", output::clean(&name)));
    Ok(())
}

//! `block`: stored configurations, of the first generation and of later ones.
//!
//! To the server these are two kinds of things; to people they are blocks, so both are listed and found here. A block of a
//! later generation is also known as TYPE/NAME, as the genuine command has it.

use clap::Subcommand;
use uuid::Uuid;

use super::{
    Context,
    error::{Error, Result},
    output::{self, OutputArg},
    suggest,
};
use crate::client::{Block, BlockType, Client, Document};

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
    /// Show a block with its data, its secrets masked.
    #[command(after_help = "Example:\n  prefect-rs block inspect secret/api-key")]
    Inspect {
        /// TYPE/NAME, or the block's name, its id, or the beginning of it.
        block: String,
        #[command(flatten)]
        output: OutputArg,
    },
    /// Delete a block.
    #[command(after_help = "Example:\n  prefect-rs block delete secret/api-key")]
    Delete {
        /// TYPE/NAME, or the block's name, its id, or the beginning of it.
        block: String,
    },
    /// List, show and delete the types of blocks.
    #[command(after_help = "Example:\n  prefect-rs block type ls")]
    Type(TypeArgs),
    /// List the kinds of blocks of the first generation.
    #[command(after_help = "Example:\n  prefect-rs block specs")]
    Specs {
        #[command(flatten)]
        output: OutputArg,
    },
}

#[derive(Debug, clap::Args)]
struct TypeArgs {
    #[command(subcommand)]
    command: TypeCommand,
}

#[derive(Debug, Subcommand)]
enum TypeCommand {
    /// List the types of blocks.
    #[command(after_help = "Example:\n  prefect-rs block type ls")]
    Ls {
        #[command(flatten)]
        output: OutputArg,
    },
    /// Show a type of block.
    #[command(after_help = "Example:\n  prefect-rs block type inspect secret")]
    Inspect {
        /// Its slug.
        slug: String,
        #[command(flatten)]
        output: OutputArg,
    },
    /// Delete a type of block with its blocks.
    #[command(after_help = "Example:\n  prefect-rs block type delete my-block")]
    Delete {
        /// Its slug.
        slug: String,
    },
}

impl Args {
    pub(super) async fn run(self, cx: &Context) -> Result {
        let client = cx.client().await?;
        match self.command {
            Command::Ls { output } => ls(cx, &client, output).await,
            Command::Inspect { block, output } => inspect(&client, &block, output).await,
            Command::Delete { block } => delete(&client, &block).await,
            Command::Type(args) => args.run(cx, &client).await,
            Command::Specs { output } => specs(cx, &client, output).await,
        }
    }
}

/// Returns the blocks of all generations that the server knows.
async fn all(client: &Client) -> Result<Vec<Document<Block>>> {
    let documents = Client::optional(client.read_block_documents().await)?;
    let first = Client::optional(client.read_blocks(None).await)?;
    Ok(documents.into_iter().chain(first).flatten().collect())
}

async fn ls(cx: &Context, client: &Client, output: OutputArg) -> Result {
    let blocks = all(client).await?;
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
        .table(["ID", "Name", "Kind"])
        .wraps(&["Name", "Kind"]);
    for block in &blocks {
        let kind = match (&block.block_type, &block.block_spec) {
            (Some(kind), _) => kind.name.clone(),
            (None, Some(spec)) => format!("{} {}", spec.name, spec.version),
            (None, None) => "-".to_owned(),
        };
        table.row(vec![
            cx.style.id(block.id),
            cx.style.name(full_name(block)),
            cx.style.text(kind),
        ]);
    }
    table.print();
    Ok(())
}

/// What a block can be called: with its type, where it has one.
fn full_name(block: &Block) -> String {
    let name = block.name.as_deref().unwrap_or("-");
    match &block.block_type {
        Some(kind) => format!("{}/{name}", kind.slug),
        None => name.to_owned(),
    }
}

async fn find(client: &Client, block: &str) -> Result<Document<Block>> {
    let found = match (Uuid::parse_str(block), block.split_once('/')) {
        (Ok(id), _) => match Client::optional(client.read_block_document(id).await)? {
            Some(found) => Some(found),
            None => Client::optional(client.read_block(id).await)?,
        },
        (Err(_), Some((slug, name))) => {
            Client::optional(client.read_block_document_by_name(slug, name).await)?
        }
        (Err(_), None) => return super::find::among(block, all(client).await?),
    };
    let Some(found) = found else {
        let known = all(client).await.unwrap_or_default();
        let names: Vec<String> = known.iter().map(|block| full_name(block)).collect();
        let hint = suggest::hint(block, names.iter().map(String::as_str));
        return Err(super::find::nothing::<Block>(block, hint));
    };
    Ok(found)
}

async fn inspect(client: &Client, block: &str, output: OutputArg) -> Result {
    let block = find(client, block).await?;
    output.show(&block);
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
    match block.block_type {
        Some(_) => client.delete_block_document(block.id).await?,
        None => client.delete_block(block.id).await?,
    }
    let name = full_name(&block);
    output::say(&format!("Deleted block '{}'.", output::clean(&name)));
    Ok(())
}

impl TypeArgs {
    async fn run(self, cx: &Context, client: &Client) -> Result {
        match self.command {
            TypeCommand::Ls { output } => types(cx, client, output).await,
            TypeCommand::Inspect { slug, output } => {
                let found = find_type(client, &slug).await?;
                output.show(&found);
                Ok(())
            }
            TypeCommand::Delete { slug } => {
                let found = find_type(client, &slug).await?;
                client.delete_block_type(found.id).await?;
                let slug = output::clean(&found.slug);
                output::say(&format!("Deleted block type '{slug}'."));
                Ok(())
            }
        }
    }
}

async fn types(cx: &Context, client: &Client, output: OutputArg) -> Result {
    let types = client.read_block_types().await?;
    if output.is_json() {
        output::print_json(&types);
        return Ok(());
    }
    if types.is_empty() {
        output::say("There are no block types; clients register those that they use.");
        return Ok(());
    }
    let mut table = cx
        .style
        .table(["Slug", "Name", "ID"])
        .wraps(&["Slug", "Name"]);
    for kind in &types {
        table.row(vec![
            cx.style.name(&kind.slug),
            cx.style.text(&kind.name),
            cx.style.id(kind.id),
        ]);
    }
    table.print();
    Ok(())
}

async fn find_type(client: &Client, slug: &str) -> Result<Document<BlockType>> {
    let types = client.read_block_types().await?;
    let hint = suggest::hint(slug, types.iter().map(|kind| kind.slug.as_str()));
    types
        .into_iter()
        .find(|kind| kind.slug == slug)
        .ok_or_else(|| {
            Error::not_found("block type", slug)
                .maybe_hint(hint)
                .hint("list them with `prefect-rs block type ls`")
        })
}

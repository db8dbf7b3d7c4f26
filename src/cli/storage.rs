//! `storage`: where flow code and results are kept, in the words of the first generation.

use std::io::{self, BufRead, IsTerminal};

use clap::Subcommand;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{
    Context,
    error::{Code, Error, Result},
    find,
    output::{self, OutputArg},
    suggest,
};
use crate::client::{BlockSpec, Client, Document};

/// What blocks of this kind are for.
const STORAGE: &str = "STORAGE";

/// Choose where flow code and results are kept.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  prefect-rs storage ls")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a storage and print its id; asks for what is not given.
    #[command(
        after_help = "Example:\n  prefect-rs storage create --kind 'Local Storage' --name flows --field storage_path=/data/flows --default"
    )]
    Create(Create),
    /// List the storages; a star marks the default one.
    #[command(after_help = "Example:\n  prefect-rs storage ls")]
    Ls {
        #[command(flatten)]
        output: OutputArg,
    },
    /// Show the default storage.
    #[command(after_help = "Example:\n  prefect-rs storage get-default")]
    GetDefault {
        #[command(flatten)]
        output: OutputArg,
    },
    /// Make a storage the default one.
    #[command(
        after_help = "Example:\n  prefect-rs storage set-default 0191f7c2-6b1e-7c3a-8000-000000000000"
    )]
    SetDefault {
        /// The storage's id, the beginning of it, or its name.
        storage: String,
    },
    /// Leave no default storage.
    #[command(after_help = "Example:\n  prefect-rs storage reset-default")]
    ResetDefault,
}

#[derive(Debug, clap::Args)]
struct Create {
    /// The kind of storage, such as `Local Storage`.
    #[arg(long)]
    kind: Option<String>,
    /// Its name.
    #[arg(long)]
    name: Option<String>,
    /// A value of its configuration; may be given several times.
    #[arg(long = "field", value_name = "NAME=VALUE")]
    fields: Vec<String>,
    /// Make it the default storage.
    #[arg(long)]
    default: bool,
}

impl Args {
    pub(super) async fn run(self, cx: &Context) -> Result {
        let client = cx.client().await?;
        match self.command {
            Command::Create(args) => create(&client, args).await,
            Command::Ls { output } => ls(cx, &client, output).await,
            Command::GetDefault { output } => get_default(&client, output).await,
            Command::SetDefault { storage } => {
                let id = match Uuid::parse_str(&storage) {
                    Ok(id) => id,
                    Err(_) => find::among(&storage, client.read_blocks(Some(STORAGE)).await?)?.id,
                };
                set_default(&client, id).await
            }
            Command::ResetDefault => {
                client.clear_default_storage().await?;
                output::say("There is no default storage now.");
                Ok(())
            }
        }
    }
}

async fn create(client: &Client, args: Create) -> Result {
    let specs = client.read_block_specs(Some(STORAGE)).await?;
    let kind = match args.kind {
        Some(kind) => kind,
        None => {
            for spec in &specs {
                output::say(&format!("  {}", spec.name));
            }
            ask("Kind of storage", "--kind")?
        }
    };
    let spec = find_spec(&specs, &kind)?;
    let mut data = given_fields(&args.fields)?;
    for name in required_fields(spec) {
        if !data.contains_key(&name) {
            let value = ask(&name, &format!("--field {name}=VALUE"))?;
            data.insert(name, Value::String(value));
        }
    }
    let name = match args.name {
        Some(name) => name,
        None => ask("Name of the storage", "--name")?,
    };
    let block = match client
        .create_block(&name, spec.id, &Value::Object(data))
        .await
    {
        Err(error) if error.status().is_some_and(|status| status == 409) => {
            return Err(Error::new(
                Code::Conflict,
                format!("a storage '{name}' of this kind exists already"),
            )
            .hint("choose another name with --name"));
        }
        outcome => outcome?,
    };
    output::print_line(&block.id.to_string());
    if args.default {
        set_default(client, block.id).await?;
    }
    Ok(())
}

fn find_spec<'a>(specs: &'a [Document<BlockSpec>], kind: &str) -> Result<&'a Document<BlockSpec>> {
    specs
        .iter()
        .find(|spec| spec.name.eq_ignore_ascii_case(kind))
        .ok_or_else(|| {
            let names: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
            Error::not_found("kind of storage", kind)
                .maybe_hint(suggest::hint(kind, names.iter().copied()))
                .hint(format!("there are: {}", names.join(", ")))
        })
}

fn given_fields(fields: &[String]) -> Result<Map<String, Value>> {
    fields
        .iter()
        .map(|field| {
            let (name, value) = field.split_once('=').ok_or_else(|| {
                Error::new(
                    Code::Usage,
                    format!("'{field}' is not of the form NAME=VALUE"),
                )
            })?;
            Ok((name.to_owned(), Value::String(value.to_owned())))
        })
        .collect()
}

fn required_fields(spec: &BlockSpec) -> Vec<String> {
    let required = spec.fields.get("required").and_then(Value::as_array);
    required
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

/// Asks for a value on the terminal; a script is told the option instead.
fn ask(what: &str, option: &str) -> Result<String> {
    if !io::stdin().is_terminal() {
        return Err(Error::new(Code::Usage, format!("'{what}' is missing"))
            .hint(format!("give it with {option}")));
    }
    output::say(&format!("{what}:"));
    let mut answer = String::new();
    io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|error| Error::failure(format!("the answer cannot be read: {error}")))?;
    match answer.trim() {
        "" => Err(Error::new(Code::Usage, format!("'{what}' is missing"))
            .hint(format!("give it with {option}"))),
        answer => Ok(answer.to_owned()),
    }
}

async fn ls(cx: &Context, client: &Client, output: OutputArg) -> Result {
    let blocks = client.read_blocks(Some(STORAGE)).await?;
    if output.is_json() {
        output::print_json(&blocks);
        return Ok(());
    }
    let default = client.read_default_storage().await?.map(|block| block.id);
    if blocks.is_empty() {
        output::say("No storage is configured.");
    } else {
        let mut table = cx
            .style
            .table(["ID", "Kind", "Version", "Name", "Default"])
            .wraps(&["Kind", "Name"])
            .spares(&["Version"]);
        for block in &blocks {
            let spec = block.block_spec.as_ref();
            table.row(vec![
                cx.style.id(block.id),
                cx.style.text(spec.map_or("-", |spec| &spec.name)),
                cx.style.text(spec.map_or("-", |spec| &spec.version)),
                cx.style.name(block.name.as_deref().unwrap_or("-")),
                cx.style
                    .text(if default == Some(block.id) { "*" } else { "" }),
            ]);
        }
        table.print();
    }
    if default.is_none() {
        output::say(
            "No default is set; flow runs keep their results in a temporary directory. Set one with `prefect-rs storage set-default ID`.",
        );
    }
    Ok(())
}

async fn get_default(client: &Client, output: OutputArg) -> Result {
    let Some(block) = client.read_default_storage().await? else {
        return Err(Error::new(Code::NotFound, "no default storage is set")
            .hint("set one with `prefect-rs storage set-default ID`"));
    };
    output.show(&block);
    Ok(())
}

async fn set_default(client: &Client, id: Uuid) -> Result {
    if Client::optional(client.set_default_storage(id).await)?.is_none() {
        return Err(
            Error::not_found("storage", id).hint("list the storages with `prefect-rs storage ls`")
        );
    }
    output::say(&format!("Storage '{id}' is the default now."));
    Ok(())
}

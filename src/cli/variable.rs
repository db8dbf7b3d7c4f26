//! `variable`: values that flows and deployments look up by name.

use clap::Subcommand;
use serde_json::Value;

use super::{
    Context,
    error::{Code, Error, Result},
    output::{self, OutputArg},
    suggest,
};
use crate::client::{Client, Document, Variable};

/// Set, show and delete variables: values that flows look up by name.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  prefect-rs variable set region eu-west-1")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Set a variable.
    ///
    /// A value that is JSON is kept as such, any other as text.
    #[command(
        after_help = "Examples:\n  prefect-rs variable set region eu-west-1\n  prefect-rs variable set limits '{\"rows\": 1000}' --overwrite"
    )]
    Set {
        /// Its name: lowercase letters, numbers, dashes and underscores.
        name: String,
        /// Its value.
        value: String,
        /// Replace the value that the variable has.
        #[arg(long)]
        overwrite: bool,
        /// A tag; give several times for several.
        #[arg(long = "tag", value_name = "TAG", value_parser = output::name)]
        tags: Vec<String>,
    },
    /// Print the value of a variable.
    #[command(after_help = "Example:\n  prefect-rs variable get region")]
    Get {
        /// Its name.
        name: String,
    },
    /// List the variables.
    #[command(after_help = "Example:\n  prefect-rs variable ls -o json")]
    Ls {
        /// How many to show at most.
        #[arg(long, default_value_t = 200)]
        limit: usize,
        #[command(flatten)]
        output: OutputArg,
    },
    /// Show a variable.
    #[command(after_help = "Example:\n  prefect-rs variable inspect region")]
    Inspect {
        /// Its name.
        name: String,
        #[command(flatten)]
        output: OutputArg,
    },
    /// Delete a variable.
    #[command(
        visible_alias = "delete",
        after_help = "Example:\n  prefect-rs variable unset region"
    )]
    Unset {
        /// Its name.
        name: String,
    },
}

impl Args {
    pub(super) async fn run(self, cx: &Context) -> Result {
        let client = cx.client().await?;
        match self.command {
            Command::Set {
                name,
                value,
                overwrite,
                tags,
            } => set(&client, &name, &value, overwrite, &tags).await,
            Command::Get { name } => {
                let found = find(&client, &name).await?;
                output::print_line(&shown(&found.value));
                Ok(())
            }
            Command::Ls { limit, output } => ls(cx, &client, limit, output).await,
            Command::Inspect { name, output } => {
                let found = find(&client, &name).await?;
                output.show(&found);
                Ok(())
            }
            Command::Unset { name } => {
                find(&client, &name).await?;
                client.delete_variable(&name).await?;
                output::say(&format!("Deleted variable '{}'.", output::clean(&name)));
                Ok(())
            }
        }
    }
}

/// A text as it is, and any other value as JSON.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

async fn set(client: &Client, name: &str, value: &str, overwrite: bool, tags: &[String]) -> Result {
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
    let known = Client::optional(client.read_variable(name).await)?;
    let clean = output::clean(name);
    match known {
        Some(_) if overwrite => client.update_variable(name, &value, tags).await?,
        Some(_) => {
            let text = format!("variable '{clean}' has a value already");
            return Err(Error::new(Code::Conflict, text).hint("replace it with `--overwrite`"));
        }
        None => client.create_variable(name, &value, tags).await.map(drop)?,
    }
    output::say(&format!("Set variable '{clean}'."));
    Ok(())
}

async fn ls(cx: &Context, client: &Client, limit: usize, output: OutputArg) -> Result {
    let variables = client.read_variables(Some(limit)).await?;
    if output.is_json() {
        output::print_json(&variables);
        return Ok(());
    }
    if variables.is_empty() {
        output::say("There are no variables.");
        return Ok(());
    }
    let now = cx.now();
    let mut table = cx
        .style
        .table(["Name", "Value", "Updated"])
        .wraps(&["Value"])
        .spares(&["Updated"]);
    for variable in &variables {
        let updated = variable.updated;
        table.row(vec![
            cx.style.name(&variable.name),
            cx.style.text(shown(&variable.value)),
            cx.style
                .text(updated.map_or_else(String::new, |at| output::relative(now, at))),
        ]);
    }
    table.print();
    Ok(())
}

async fn find(client: &Client, name: &str) -> Result<Document<Variable>> {
    if let Some(found) = Client::optional(client.read_variable(name).await)? {
        return Ok(found);
    }
    let known = client.read_variables(None).await.unwrap_or_default();
    let names = known.iter().map(|variable| variable.name.as_str());
    Err(Error::not_found("variable", name)
        .maybe_hint(suggest::hint(name, names))
        .hint("list the variables with `prefect-rs variable ls`"))
}

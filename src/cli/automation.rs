//! `automation`: what events set off.

use clap::Subcommand;
use uuid::Uuid;

use super::{
    Context,
    error::{Code, Error, Result},
    output::{self, OutputArg},
};
use crate::client::{Automation, Client, Document};

/// List, show, pause, resume and delete automations: events that set off actions.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  prefect-rs automation ls")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the automations.
    #[command(after_help = "Example:\n  prefect-rs automation ls -o json")]
    Ls {
        #[command(flatten)]
        output: OutputArg,
    },
    /// Show an automation with its trigger and actions.
    #[command(after_help = "Example:\n  prefect-rs automation inspect restart-on-failure")]
    Inspect {
        /// Its name or id.
        automation: String,
        #[command(flatten)]
        output: OutputArg,
    },
    /// Switch an automation off.
    #[command(after_help = "Example:\n  prefect-rs automation pause restart-on-failure")]
    Pause {
        /// Its name or id.
        automation: String,
    },
    /// Switch an automation on.
    #[command(after_help = "Example:\n  prefect-rs automation resume restart-on-failure")]
    Resume {
        /// Its name or id.
        automation: String,
    },
    /// Delete an automation.
    #[command(after_help = "Example:\n  prefect-rs automation delete restart-on-failure")]
    Delete {
        /// Its name or id.
        automation: String,
    },
}

impl Args {
    pub(super) async fn run(self, cx: &Context) -> Result {
        let client = cx.client().await?;
        match self.command {
            Command::Ls { output } => ls(cx, &client, output).await,
            Command::Inspect { automation, output } => {
                let found = find(&client, &automation).await?;
                match output.is_json() {
                    true => output::print_json(&found),
                    false => output::print_fields(&found.raw),
                }
                Ok(())
            }
            Command::Pause { automation } => switch(&client, &automation, false).await,
            Command::Resume { automation } => switch(&client, &automation, true).await,
            Command::Delete { automation } => {
                let found = find(&client, &automation).await?;
                client.delete_automation(found.id).await?;
                output::say(&format!("Deleted automation '{}'.", found.name));
                Ok(())
            }
        }
    }
}

async fn ls(cx: &Context, client: &Client, output: OutputArg) -> Result {
    let automations = client.read_automations(None).await?;
    if output.is_json() {
        output::print_json(&automations);
        return Ok(());
    }
    if automations.is_empty() {
        output::say("There are no automations.");
        return Ok(());
    }
    let mut table = cx
        .style
        .table(["ID", "Name", "Enabled", "Actions"])
        .wraps(&["Name"])
        .spares(&["Actions"]);
    for automation in &automations {
        let actions: Vec<&str> = automation
            .actions
            .iter()
            .filter_map(|action| action["type"].as_str())
            .collect();
        table.row(vec![
            cx.style.id(automation.id),
            cx.style.name(&automation.name),
            cx.style.text(if automation.enabled { "yes" } else { "no" }),
            cx.style.text(actions.join(", ")),
        ]);
    }
    table.print();
    Ok(())
}

async fn switch(client: &Client, which: &str, enabled: bool) -> Result {
    let found = find(client, which).await?;
    client.set_automation_enabled(found.id, enabled).await?;
    let word = if enabled { "Resumed" } else { "Paused" };
    output::say(&format!("{word} automation '{}'.", found.name));
    Ok(())
}

async fn find(client: &Client, which: &str) -> Result<Document<Automation>> {
    let missing = || {
        Error::not_found("automation", which)
            .hint("list the automations with `prefect-rs automation ls`")
    };
    if let Ok(id) = which.parse::<Uuid>() {
        return Client::optional(client.read_automation(id).await)?.ok_or_else(missing);
    }
    let mut found = client.read_automations(Some(which)).await?;
    if found.len() > 1 {
        let text = format!("{} automations are named '{which}'", found.len());
        return Err(Error::new(Code::Usage, text)
            .hint("name one by its id, from `prefect-rs automation ls`"));
    }
    found.pop().ok_or_else(missing)
}

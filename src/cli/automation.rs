//! `automation`: what events set off.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::Value;
use uuid::Uuid;

use super::{
    Context,
    error::{Code, Error, Result},
    output::{self, OutputArg},
};
use crate::client::{Automation, Client, Document};
use crate::deployments::text::yaml_message;

/// Create, list, show, pause, resume and delete automations: events that set off actions.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  prefect-rs automation ls")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create automations from a file and print their ids
    ///
    /// The file is YAML or JSON and has one automation, a list of them, or a
    /// list under `automations`:
    ///
    ///   name: retry-crashed
    ///   trigger:
    ///     type: event
    ///     posture: Reactive
    ///     match: {prefect.resource.id: prefect.flow-run.*}
    ///     expect: [prefect.flow-run.Crashed]
    ///     threshold: 1
    ///     within: 0
    ///   actions:
    ///     - type: run-deployment
    ///       source: selected
    ///       deployment_id: 0191f7c2-6b1e-7c3a-8000-000000000000
    #[command(
        after_help = "Examples:\n  prefect-rs automation create --from-file automation.yaml\n  prefect-rs automation create --from-json \"$(cat automation.json)\""
    )]
    #[command(verbatim_doc_comment)]
    Create(Source),
    /// Put the automation of a file in the place of one.
    #[command(
        after_help = "Example:\n  prefect-rs automation update restart-on-failure --from-file automation.yaml"
    )]
    Update {
        /// Its name or id.
        automation: String,
        #[command(flatten)]
        source: Source,
    },
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
    #[command(
        visible_alias = "disable",
        after_help = "Example:\n  prefect-rs automation pause restart-on-failure"
    )]
    Pause {
        /// Its name or id.
        automation: String,
    },
    /// Switch an automation on.
    #[command(
        visible_alias = "enable",
        after_help = "Example:\n  prefect-rs automation resume restart-on-failure"
    )]
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

/// Where automations are written: one of these.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Source {
    /// A YAML or JSON file; `-` is the standard input.
    #[arg(short = 'f', long, value_name = "FILE")]
    from_file: Option<PathBuf>,
    /// JSON.
    #[arg(short = 'j', long, value_name = "JSON")]
    from_json: Option<String>,
}

impl Source {
    /// Returns the automations, as they are written.
    fn read(&self) -> Result<Vec<Value>> {
        let wrong = |what: String| {
            Error::new(Code::Usage, what)
                .hint("see what one looks like with `prefect-rs automation create --help`")
        };
        let written = match (&self.from_file, &self.from_json) {
            (Some(path), _) => {
                let text = match path.as_os_str() == "-" {
                    true => std::io::read_to_string(std::io::stdin()),
                    false => std::fs::read_to_string(path),
                };
                let shown = path.display();
                let text = text.map_err(|error| {
                    Error::new(Code::NotFound, format!("'{shown}' cannot be read: {error}"))
                })?;
                // JSON is YAML too.
                serde_saphyr::from_str(&text).map_err(|error| {
                    let line = error
                        .location()
                        .map(|place| format!(" line {}", place.line()));
                    let (line, message) = (line.unwrap_or_default(), yaml_message(&error));
                    wrong(format!(
                        "'{shown}'{line} is neither YAML nor JSON: {message}"
                    ))
                })?
            }
            (None, Some(text)) => serde_json::from_str(text)
                .map_err(|error| wrong(format!("--from-json is not JSON: {error}")))?,
            (None, None) => Value::Null,
        };
        let all = match written {
            Value::Array(all) => all,
            Value::Object(mut one) => match one.remove("automations") {
                Some(Value::Array(all)) => all,
                Some(_) => return Err(wrong("`automations` is not a list".to_owned())),
                None => vec![Value::Object(one)],
            },
            _ => Vec::new(),
        };
        match all.is_empty() || !all.iter().all(Value::is_object) {
            true => Err(wrong("there is no automation in it".to_owned())),
            false => Ok(all),
        }
    }
}

impl Args {
    pub(super) async fn run(self, cx: &Context) -> Result {
        let client = cx.client().await?;
        match self.command {
            Command::Create(source) => create(&client, &source).await,
            Command::Update { automation, source } => {
                let found = find(&client, &automation).await?;
                let [wanted] = &source.read()?[..] else {
                    return Err(Error::new(
                        Code::Usage,
                        "one automation takes the place of one; the file has several or none",
                    ));
                };
                client.replace_automation(found.id, wanted).await?;
                output::say(&format!(
                    "Updated automation '{}'.",
                    output::clean(&found.name)
                ));
                Ok(())
            }
            Command::Ls { output } => ls(cx, &client, output).await,
            Command::Inspect { automation, output } => {
                let found = find(&client, &automation).await?;
                output.show(&found);
                Ok(())
            }
            Command::Pause { automation } => switch(&client, &automation, false).await,
            Command::Resume { automation } => switch(&client, &automation, true).await,
            Command::Delete { automation } => {
                let found = find(&client, &automation).await?;
                client.delete_automation(found.id).await?;
                output::say(&format!(
                    "Deleted automation '{}'.",
                    output::clean(&found.name)
                ));
                Ok(())
            }
        }
    }
}

async fn create(client: &Client, source: &Source) -> Result {
    for wanted in source.read()? {
        let created = client.create_automation(&wanted).await?;
        output::print_line(&created.id.to_string());
        output::say(&format!(
            "Created automation '{}'.",
            output::clean(&created.name)
        ));
    }
    Ok(())
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
    output::say(&format!(
        "{word} automation '{}'.",
        output::clean(&found.name)
    ));
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

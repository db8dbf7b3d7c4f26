//! `artifact`: what flows leave for people to look at.

use clap::Subcommand;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Context,
    error::{Code, Error, Result},
    output::{self, OutputArg},
    suggest,
};
use crate::client::{Artifact, Client, Document};
use crate::sdk::program::FLOW_RUN_ID;

/// Leave, list, show and delete artifacts: what flows leave for people to look at.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  prefect-rs artifact create daily-report --markdown '# All well'"
)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Leave an artifact and print its id.
    ///
    /// A script that is run by an agent or by `prefect-rs run` leaves it with its flow run, whose id it finds in
    /// PREFECT__FLOW_RUN_ID. A text of `-` is read from the standard input.
    #[command(
        after_help = "Examples:\n  prefect-rs artifact create daily-report --markdown '# All well'\n  ./rows-as-json | prefect-rs artifact create rows --table -\n  upload=$(prefect-rs artifact create upload --progress 0)"
    )]
    Create(Create),
    /// Change what an artifact shows, such as how far something has come.
    #[command(after_help = "Example:\n  prefect-rs artifact update $upload --progress 60")]
    Update(Update),
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

#[derive(Debug, clap::Args)]
struct Create {
    /// What its versions have in common: lowercase letters, digits and dashes.
    key: String,
    #[command(flatten)]
    content: Content,
    /// What a person should know about it.
    #[arg(short, long, value_name = "TEXT", allow_hyphen_values = true)]
    description: Option<String>,
    /// The flow run that leaves it [default: the one in PREFECT__FLOW_RUN_ID].
    #[arg(long, value_name = "ID", env = FLOW_RUN_ID, hide_env = true)]
    flow_run: Option<Uuid>,
    /// The task run that leaves it, as `task-run start` printed it.
    #[arg(long, value_name = "ID")]
    task_run: Option<Uuid>,
}

#[derive(Debug, clap::Args)]
struct Update {
    /// The id of an artifact, or a key, whose newest one is changed.
    artifact: String,
    #[command(flatten)]
    content: Content,
    /// What a person should know about it.
    #[arg(short, long, value_name = "TEXT", allow_hyphen_values = true)]
    description: Option<String>,
}

/// What an artifact shows: one of these.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Content {
    /// A text in Markdown.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    markdown: Option<String>,
    /// Rows, as a JSON list of objects or of lists, or an object of columns.
    #[arg(long, value_name = "JSON", allow_hyphen_values = true)]
    table: Option<String>,
    /// The address of a page.
    #[arg(long, value_name = "URL")]
    link: Option<String>,
    /// How much is done, from 0 to 100.
    #[arg(long, value_name = "PERCENT", value_parser = percent, allow_hyphen_values = true)]
    progress: Option<f64>,
    /// The address of a picture.
    #[arg(long, value_name = "URL")]
    image: Option<String>,
}

fn percent(text: &str) -> std::result::Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim().parse::<f64>();
    match number {
        Ok(number) if (0.0..=100.0).contains(&number) => Ok(number),
        Ok(_) | Err(_) => Err("it is no number from 0 to 100".to_owned()),
    }
}

impl Content {
    /// Returns type and data, in the forms that clients of all languages give them.
    fn read(self) -> Result<(&'static str, Value)> {
        let content = match (self.markdown, self.table, self.link, self.image) {
            (Some(text), ..) => ("markdown", Value::from(text_of(text)?)),
            (_, Some(text), ..) => ("table", Value::from(table(text_of(text)?)?)),
            // A link is known as the Markdown that shows it.
            (_, _, Some(url), _) => ("markdown", Value::from(format!("[{url}]({url})"))),
            (_, _, _, Some(url)) => ("image", Value::from(url)),
            (None, None, None, None) => ("progress", json!(self.progress.unwrap_or_default())),
        };
        Ok(content)
    }
}

fn text_of(given: String) -> Result<String> {
    if given != "-" {
        return Ok(given);
    }
    std::io::read_to_string(std::io::stdin())
        .map_err(|error| Error::failure(format!("the standard input cannot be read: {error}")))
}

/// Returns the text of a table, which is kept as JSON in a text.
fn table(text: String) -> Result<String> {
    let wrong = |what: String| {
        Error::new(Code::Usage, what)
            .hint(r#"an example: --table '[{"name": "a.csv", "rows": 120}]'"#)
    };
    let table: Value = serde_json::from_str(&text)
        .map_err(|error| wrong(format!("the table is not JSON: {error}")))?;
    let is_table = match &table {
        Value::Array(rows) => rows.iter().all(|row| row.is_object() || row.is_array()),
        Value::Object(columns) => columns.values().all(Value::is_array),
        _ => false,
    };
    match is_table {
        true => Ok(table.to_string()),
        false => Err(wrong(
            "the table is neither a list of rows nor an object of columns".to_owned(),
        )),
    }
}

impl Args {
    pub(super) async fn run(self, cx: &Context) -> Result {
        let client = cx.client().await?;
        match self.command {
            Command::Create(args) => create(&client, args).await,
            Command::Update(args) => update(&client, args).await,
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

async fn create(client: &Client, args: Create) -> Result {
    let (kind, data) = args.content.read()?;
    let body = json!({
        "key": args.key, "type": kind, "data": data, "description": args.description,
        "flow_run_id": args.flow_run, "task_run_id": args.task_run,
    });
    let artifact = client.create_artifact(&body).await?;
    output::print_line(&artifact.id.to_string());
    Ok(())
}

async fn update(client: &Client, args: Update) -> Result {
    let (kind, data) = args.content.read()?;
    let found = find(client, &args.artifact, Some(1)).await?;
    let Some(artifact) = found.first() else {
        return Err(Error::not_found("artifact", &args.artifact));
    };
    let known = artifact.artifact_type.as_deref().unwrap_or("unknown");
    if known != kind {
        return Err(Error::new(
            Code::Conflict,
            format!(
                "artifact '{}' is of the type {}, not {kind}",
                args.artifact,
                output::clean(known)
            ),
        )
        .hint("leave another one with `prefect-rs artifact create`"));
    }
    let mut change = json!({"data": data});
    if let Some(description) = args.description {
        change["description"] = json!(description);
    }
    client.update_artifact(artifact.id, &change).await?;
    Ok(())
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

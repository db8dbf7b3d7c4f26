//! `event`: what has happened, and telling that something has.

use clap::Subcommand;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Context,
    error::{Code, Error, Result},
    output::{self, OutputArg},
};

/// List events, and tell the server of one.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  prefect-rs event ls --prefix prefect.flow-run.")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the newest events, the newest first.
    #[command(after_help = "Example:\n  prefect-rs event ls --prefix prefect.flow-run. --limit 10")]
    Ls {
        /// Only events whose names begin so.
        #[arg(long, value_name = "TEXT")]
        prefix: Option<String>,
        /// Only events that involve this resource.
        #[arg(long, value_name = "ID")]
        resource: Option<String>,
        /// How many, 50 at most.
        #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=50))]
        limit: u32,
        #[command(flatten)]
        output: OutputArg,
    },
    /// Tell the server that something has happened; its id goes to stdout.
    #[command(
        after_help = "Example:\n  prefect-rs event emit file.arrived --resource-id bucket.in --payload '{\"name\": \"a.csv\"}'"
    )]
    Emit {
        /// What has happened.
        event: String,
        /// What it has happened to.
        #[arg(long, value_name = "ID")]
        resource_id: String,
        /// More about it, as a JSON object.
        #[arg(long, value_name = "JSON", default_value = "{}")]
        payload: String,
    },
}

impl Args {
    pub(super) async fn run(self, cx: &Context) -> Result {
        match self.command {
            Command::Ls {
                prefix,
                resource,
                limit,
                output,
            } => {
                let mut filter = json!({});
                if let Some(prefix) = prefix {
                    filter["event"] = json!({"prefix": [prefix]});
                }
                if let Some(resource) = resource {
                    filter["any_resource"] = json!({"id": [resource]});
                }
                ls(cx, &filter, limit, output).await
            }
            Command::Emit {
                event,
                resource_id,
                payload,
            } => emit(cx, &event, &resource_id, &payload).await,
        }
    }
}

async fn ls(cx: &Context, filter: &Value, limit: u32, output: OutputArg) -> Result {
    let events = cx.client().await?.read_events(filter, limit).await?;
    if output.is_json() {
        output::print_json(&events);
        return Ok(());
    }
    if events.is_empty() {
        output::say("There are no such events.");
        return Ok(());
    }
    let mut table = cx
        .style
        .table(["Occurred", "Event", "Resource"])
        .wraps(&["Event", "Resource"]);
    for event in &events {
        let resource = &event.resource;
        let name = resource["prefect.resource.name"].as_str();
        let name = name.or_else(|| resource["prefect.resource.id"].as_str());
        table.row(vec![
            cx.style.text(output::instant(event.occurred)),
            cx.style.name(&event.event),
            cx.style.text(name.unwrap_or("-")),
        ]);
    }
    table.print();
    Ok(())
}

async fn emit(cx: &Context, event: &str, resource: &str, payload: &str) -> Result {
    let payload: Value = serde_json::from_str(payload)
        .ok()
        .filter(Value::is_object)
        .ok_or_else(|| {
            Error::new(Code::Usage, "--payload is not a JSON object")
                .hint("an example: --payload '{\"name\": \"a.csv\"}'")
        })?;
    let id = Uuid::now_v7();
    let events = json!([{
        "id": id, "occurred": cx.now(), "event": event, "payload": payload,
        "resource": {"prefect.resource.id": resource}, "related": [],
    }]);
    cx.client().await?.create_events(&events).await?;
    output::print_line(&id.to_string());
    Ok(())
}

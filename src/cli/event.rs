//! `event`: what has happened, and telling that something has.

use std::collections::HashSet;
use std::time::Duration;

use chrono::TimeDelta;
use clap::Subcommand;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Context,
    error::{Code, Error, Result},
    output::{self, OutputArg},
};
use crate::client::{Document, Event};

/// How often a stream asks for more.
const PAUSE: Duration = Duration::from_secs(1);
/// How far a stream looks back each time: events are told after they have happened, and not in order.
const LOOK_BACK: TimeDelta = TimeDelta::seconds(30);

/// List and follow events, and tell the server of one.
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
        #[command(flatten)]
        wanted: Wanted,
        /// How many, 50 at most.
        #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=50))]
        limit: u32,
        #[command(flatten)]
        output: OutputArg,
    },
    /// Print events as they come, one a line, until Ctrl+C.
    #[command(
        after_help = "Example:\n  prefect-rs event stream --prefix prefect.flow-run. -o json"
    )]
    Stream {
        #[command(flatten)]
        wanted: Wanted,
        /// End after the first event.
        #[arg(long)]
        run_once: bool,
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

/// Which events are asked for.
#[derive(Debug, clap::Args)]
struct Wanted {
    /// Only events whose names begin so.
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,
    /// Only events that involve this resource.
    #[arg(long, value_name = "ID")]
    resource: Option<String>,
}

impl Wanted {
    fn filter(self) -> Value {
        let mut filter = json!({});
        if let Some(prefix) = self.prefix {
            filter["event"] = json!({"prefix": [prefix]});
        }
        if let Some(resource) = self.resource {
            filter["any_resource"] = json!({"id": [resource]});
        }
        filter
    }
}

impl Args {
    pub(super) async fn run(self, cx: &Context) -> Result {
        match self.command {
            Command::Ls {
                wanted,
                limit,
                output,
            } => ls(cx, &wanted.filter(), limit, output).await,
            Command::Stream {
                wanted,
                run_once,
                output,
            } => stream(cx, wanted.filter(), run_once, output).await,
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
        table.row(vec![
            cx.style.text(output::instant(event.occurred)),
            cx.style.name(&event.event),
            cx.style.text(subject(event)),
        ]);
    }
    table.print();
    Ok(())
}

/// Returns what an event has happened to, by its name if it has one.
fn subject(event: &Event) -> &str {
    let resource = &event.resource;
    let name = resource["prefect.resource.name"].as_str();
    let name = name.or_else(|| resource["prefect.resource.id"].as_str());
    name.unwrap_or("-")
}

async fn stream(cx: &Context, mut filter: Value, run_once: bool, output: OutputArg) -> Result {
    let client = cx.client().await?;
    filter["order"] = json!("ASC");
    let begun = cx.now();
    let mut told: HashSet<Uuid> = HashSet::new();
    loop {
        let since = begun.max(cx.now() - LOOK_BACK);
        filter["occurred"] = json!({"since": since});
        let events = client.read_all_events(&filter).await?;
        for event in events.iter().filter(|event| !told.contains(&event.id)) {
            print_event(event, output);
            if run_once {
                return Ok(());
            }
        }
        // What is older than the look-back is not answered again.
        told = events.iter().map(|event| event.id).collect();
        tokio::time::sleep(PAUSE).await;
    }
}

fn print_event(event: &Document<Event>, output: OutputArg) {
    output::print_line(&match output.is_json() {
        true => event.raw.to_string(),
        false => format!(
            "{} | {} | {}",
            output::instant(event.occurred),
            output::clean(&event.event),
            output::clean(subject(event))
        ),
    });
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

//! `server services`: what a server does by itself, in a process of its own where one is not enough.

use clap::Subcommand;
use serde_json::json;

use super::{
    Context,
    error::{Error, Result},
    orion,
    output::{self, OutputArg},
    stop,
};
use crate::advert::Attendance;
use crate::server::{Server, services::SERVICES};

/// Show what a server does by itself, or do that alone.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  prefect-rs server services ls")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the services, and which of them the settings switch on.
    #[command(after_help = "Example:\n  prefect-rs server services ls")]
    Ls {
        #[command(flatten)]
        output: OutputArg,
    },
    /// Run the services without the API, beside servers that were started with `--no-services`.
    #[command(
        after_help = "Example:\n  prefect-rs server start --no-services &\n  prefect-rs server services start"
    )]
    Start,
}

impl Args {
    pub(super) async fn run(self, cx: &Context) -> Result {
        match self.command {
            Command::Ls { output } => {
                ls(cx, output);
                Ok(())
            }
            Command::Start => start(cx).await,
        }
    }
}

fn ls(cx: &Context, output: OutputArg) {
    let settings = cx.settings();
    if output.is_json() {
        let all = SERVICES.iter().map(|service| {
            json!({
                "name": (service.name)(),
                "description": service.does,
                "setting": service.setting,
                "enabled": (service.is_enabled)(settings),
            })
        });
        output::print_json(&all.collect::<Vec<_>>());
        return;
    }
    let mut table = cx
        .style
        .table(["Service", "On", "It", "Setting"])
        .wraps(&["It"])
        .spares(&["Setting"]);
    for service in SERVICES {
        let is_on = (service.is_enabled)(settings);
        table.row(vec![
            cx.style.name((service.name)()),
            cx.style.text(if is_on { "yes" } else { "no" }),
            cx.style.text(service.does),
            cx.style.text(service.setting.unwrap_or("-")),
        ]);
    }
    table.print();
}

async fn start(cx: &Context) -> Result {
    let settings = cx.settings().clone();
    orion::show_logs(&settings)?;
    let stops = stop::requests()?;
    let server = Server::open(settings.clone()).await?;
    // So that nobody deletes the database meanwhile.
    let _attendance = match settings.database_url.sqlite_path() {
        Some(database) => Some(
            Attendance::to(database)
                .map_err(|error| Error::failure(error.to_string()).hint(orion::UNWRITABLE))?,
        ),
        None => None,
    };
    let on = SERVICES
        .iter()
        .filter(|service| (service.is_enabled)(&settings))
        .count();
    output::print_line(&format!(
        "Running {on} services on {}. Press Ctrl+C to stop.",
        settings.database_url
    ));
    server.run_services(stop::requested(stops)).await;
    output::say("Stopped.");
    Ok(())
}

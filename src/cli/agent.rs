//! `agent`: run what is due on this machine.

use std::ffi::OsString;
use std::time::Duration;

use clap::Subcommand;

use super::{
    Context,
    error::{Code, Error, Result},
    output, stop,
};
use crate::{
    agent::{self, Options, Queue},
    client::Client,
    settings::Settings,
    telemetry,
};

/// Start agents, which run what is due on this machine.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  prefect-rs agent start etl-queue")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Take due runs of a work queue and run them until interrupted.
    ///
    /// A first Ctrl-C or SIGTERM takes no more runs and waits for those under way; a second one ends them.
    #[command(
        after_help = "Examples:\n  prefect-rs agent start etl-queue\n  prefect-rs agent start --limit 4 --grace 600 etl-queue"
    )]
    Start(Start),
    /// End what a killed agent left behind; agents start this themselves.
    #[command(hide = true, after_help = "Example:\n  prefect-rs agent guard < pipe")]
    Guard,
}

#[derive(Debug, clap::Args)]
struct Start {
    /// The work queue's id or name.
    #[arg(value_name = "QUEUE", value_parser = output::name)]
    queue: String,
    /// Run at most this many at once [default: no limit].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Seconds that a stopping agent waits for its runs before it ends them.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    grace: u64,
    /// Say nothing when it starts.
    #[arg(long)]
    hide_welcome: bool,
}

impl Args {
    pub(super) async fn run(self, cx: &Context) -> Result {
        match self.command {
            Command::Start(start) => start.run(cx).await,
            Command::Guard => Ok(agent::watch_agent(cx.client().await?)
                .await
                .map_err(|error| Error::failure(format!("the guard failed: {error}")))?),
        }
    }
}

impl Start {
    async fn run(self, cx: &Context) -> Result {
        show_logs(cx);
        let (client, url) = server(cx, "an agent").await?;
        let settings = cx.settings();
        if !self.hide_welcome {
            output::say(&format!(
                "Agent takes runs of work queue '{}' from {url}, and asks every {} s. Stop it with Ctrl-C.",
                output::clean(&self.queue),
                settings.agent_query_interval.as_secs_f64(),
            ));
        }
        let options = Options {
            queue: Queue::Named(self.queue),
            limit: self.limit.map(|limit| limit as usize),
            grace: Duration::from_secs(self.grace),
            guard: guard_command(),
        };
        let stops = stop::requests()?;
        agent::run(client, settings, options, stops)
            .await
            .map_err(failed)
    }
}

/// Returns a client of the server that is set or runs on this home, and its URL.
///
/// The database of the home is no way out: what an agent starts reports to a URL.
pub(super) async fn server(cx: &Context, who: &str) -> Result<(Client, String)> {
    if cx.api_url().is_some() {
        let client = cx.client().await?;
        // None where the server has ended in between.
        if let Some(url) = client.transport().url().map(str::to_owned) {
            return Ok((client, url));
        }
    }
    Err(no_server(cx.settings(), who))
}

fn no_server(settings: &Settings, who: &str) -> Error {
    let found = match settings.database_url.sqlite_path() {
        Some(_) => format!(
            "no server of the home {} is running",
            settings.home.display()
        ),
        None => "a server on PostgreSQL is found by nothing else".to_owned(),
    };
    let text = format!("{who} needs a server: PREFECT_API_URL is not set, and {found}");
    with_ways_to_a_server(Error::new(Code::Unreachable, text))
}

fn with_ways_to_a_server(error: Error) -> Error {
    error
        .hint("start one with `prefect-rs server start`")
        .hint("or name one that runs elsewhere: `prefect-rs config set PREFECT_API_URL=http://HOST:4200/api`")
}

/// Says why an agent could not go on.
pub(super) fn failed(error: agent::Error) -> Error {
    match error {
        agent::Error::NoQueue(id) => Error::not_found("work queue", id)
            .hint("list the work queues with `prefect-rs work-queue ls`"),
        agent::Error::NoServer => {
            with_ways_to_a_server(Error::new(Code::Unreachable, error.to_string()))
        }
        agent::Error::Client(error) => error.into(),
        agent::Error::LeftBehind { .. } | agent::Error::LogsLost => {
            Error::failure(error.to_string())
        }
        // Only a worker can say the others.
        agent::Error::NoPool(_)
        | agent::Error::NoPort { .. }
        | agent::Error::NoPoolQueue { .. }
        | agent::Error::NoPoolOfQueue { .. }
        | agent::Error::WrongPool { .. } => Error::failure(error.to_string()),
    }
}

/// Returns the command line of this executable's guard.
pub(super) fn guard_command() -> Vec<OsString> {
    match std::env::current_exe() {
        Ok(program) => vec![program.into_os_string(), "agent".into(), "guard".into()],
        Err(_) => Vec::new(),
    }
}

pub(super) fn show_logs(cx: &Context) {
    // A subscriber that is there already is as good.
    let _ = telemetry::init(cx.settings().logging_level, cx.settings().logging_format);
}

//! `run`: any command as a flow run.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use super::{
    Context, deployment,
    error::{Code, Error, Result},
    output, stop,
};
use crate::agent::command;
use crate::settings::Value as _;

/// The exit code of what was interrupted, in the list of exit codes too.
const INTERRUPTED: i32 = 130;

/// Run a command and record it as a flow run.
///
/// Its output is shown and kept as logs, its exit code is the outcome. It finds the id of the run in PREFECT__FLOW_RUN_ID, so
/// that it can report with `prefect-rs task-run`, and its parameters as JSON in PREFECT__PARAMETERS and one by one in
/// PREFECT__PARAMETER_<NAME>. What is piped in reaches it, unless it may be retried. Without a server it is recorded in the local database.
///
/// A first Ctrl+C, or cancelling the run from elsewhere, sends SIGTERM to the command and what it has started, and SIGKILL
/// ten seconds later; a second Ctrl+C does so at once.
///
/// The exit code is that of the command, 128 and the number of the signal that killed it, 130 when interrupted, else 1.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  prefect-rs run -- ./backup.sh /data\n  prefect-rs run --name nightly --retries 2 --retry-delay 30 --timeout 600 -- ./backup.sh"
)]
pub struct Args {
    /// The flow's name [default: the program's].
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The flow run's name [default: one is made up].
    #[arg(long, value_name = "NAME")]
    run_name: Option<String>,
    /// A parameter; the value is JSON, or else text. May be given several times.
    #[arg(short = 'p', long = "param", value_name = "NAME=VALUE")]
    params: Vec<String>,
    /// A tag; may be given several times.
    #[arg(short = 't', long = "tag", value_name = "TAG", value_parser = output::name)]
    tags: Vec<String>,
    /// End the command when it takes longer than this time span, such as `90` or `1:30:00`.
    #[arg(long, value_name = "SPAN", value_parser = Duration::parse)]
    timeout: Option<Duration>,
    /// Run the command again when it fails, this often.
    #[arg(long, value_name = "N", default_value_t = 0)]
    retries: u32,
    /// Wait this time span before each retry.
    #[arg(long, value_name = "SPAN", default_value = "0", value_parser = Duration::parse)]
    retry_delay: Duration,
    /// The command and its arguments.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    words: Vec<String>,
}

impl Args {
    pub(super) async fn run(self, cx: &Context) -> Result {
        if self.words[0].is_empty() {
            let message = "the command after `--` is empty";
            return Err(Error::new(Code::Usage, message));
        }
        let client = cx.client().await?;
        let stops = stop::requests()?;
        let program = Path::new(&self.words[0]).file_name().unwrap_or_default();
        let command = command::Command {
            flow_name: self
                .name
                .unwrap_or_else(|| program.to_string_lossy().into_owned()),
            run_name: self.run_name,
            parameters: deployment::pairs(&self.params)?,
            words: self.words,
            tags: self.tags,
            timeout: self.timeout,
            retries: self.retries,
            retry_delay: self.retry_delay,
        };
        let outcome = command::run(client, command, stops).await?;
        output::say(&format!(
            "Flow run {}: {}",
            outcome.run,
            output::clean(&outcome.message)
        ));
        match outcome.is_completed {
            true => Ok(()),
            false if outcome.is_interrupted => Err(Error::passed_on(Some(INTERRUPTED))),
            false => Err(Error::passed_on(outcome.status.and_then(as_shells_do))),
        }
    }
}

/// Returns the exit code, or what shells say of a process that was killed.
fn as_shells_do(status: ExitStatus) -> Option<i32> {
    status.code().or_else(|| Some(128 + status.signal()?))
}

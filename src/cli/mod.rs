//! The command line: `prefect-rs NOUN VERB`, one file a noun.
//!
//! Nouns and verbs are those of the genuine command, so that what a user has in the fingers works. A noun is listed only
//! when everything it lists works.

mod agent;
mod artifact;
mod automation;
mod bench;
mod block;
mod completions;
mod concurrency_limit;
mod config;
mod context;
mod database;
mod deployment;
mod dev;
mod error;
mod event;
mod explain;
mod find;
mod flow;
mod flow_run;
mod global_concurrency_limit;
mod instant;
mod orion;
pub mod output;
mod profile;
mod run;
mod services;
mod stop;
mod storage;
mod suggest;
mod task_run;
mod variable;
mod version;
mod work_pool;
mod work_queue;
mod worker;

use std::{ffi::OsString, process::ExitCode};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use tokio::signal::unix::SignalKind;

use crate::settings::{self, Loaded};

pub use context::Context;
pub use error::{Code, EXIT_CODES, Error, Result};

/// Coordinates, schedules and observes data flows: server, command line, agent and dashboard in one.
#[derive(Debug, Parser)]
#[command(
    name = "prefect-rs",
    version,
    disable_help_subcommand = true,
    arg_required_else_help = true,
    max_term_width = 100
)]
pub struct Cli {
    /// Use another profile than the active one for this command.
    #[arg(short = 'p', long, value_name = "NAME")]
    profile: Option<String>,

    #[command(subcommand)]
    command: Command,
}

/// The nouns.
#[derive(Debug, Subcommand)]
enum Command {
    #[command(visible_alias = "server")]
    Orion(orion::Args),
    Deployment(deployment::Args),
    WorkPool(work_pool::Args),
    WorkQueue(work_queue::Args),
    Worker(worker::Args),
    Agent(agent::Args),
    Flow(flow::Args),
    FlowRun(flow_run::Args),
    TaskRun(task_run::Args),
    Run(run::Args),
    ConcurrencyLimit(concurrency_limit::Args),
    #[command(visible_alias = "gcl")]
    GlobalConcurrencyLimit(global_concurrency_limit::Args),
    Variable(variable::Args),
    Artifact(artifact::Args),
    Block(block::Args),
    Automation(automation::Args),
    Event(event::Args),
    Storage(storage::Args),
    Config(config::Args),
    Profile(profile::Args),
    Bench(bench::Args),
    Database(database::Args),
    Dev(dev::Args),
    Version(version::Args),
    Completions(completions::Args),
}

/// Lets a write beyond the size that a file may have (`ulimit -f`) fail as one on a full disk does, instead of ending the
/// process without a word.
///
/// A handler and not a signal that is ignored, since what this process starts would inherit that.
fn outlive_size_limits() {
    let signal = SignalKind::from_raw(nix::libc::SIGXFSZ);
    if let Err(error) = tokio::signal::unix::signal(signal) {
        tracing::debug!("files beyond their size limit end this process: {error}");
    }
}

impl Command {
    async fn run(self, cx: &Context) -> Result {
        match self {
            Self::Orion(args) => args.run(cx).await,
            Self::Deployment(args) => args.run(cx).await,
            Self::WorkPool(args) => args.run(cx).await,
            Self::WorkQueue(args) => args.run(cx).await,
            Self::Worker(args) => args.run(cx).await,
            Self::Agent(args) => args.run(cx).await,
            Self::Flow(args) => args.run(cx).await,
            Self::FlowRun(args) => args.run(cx).await,
            Self::TaskRun(args) => args.run(cx).await,
            Self::Run(args) => args.run(cx).await,
            Self::ConcurrencyLimit(args) => args.run(cx).await,
            Self::GlobalConcurrencyLimit(args) => args.run(cx).await,
            Self::Variable(args) => args.run(cx).await,
            Self::Artifact(args) => args.run(cx).await,
            Self::Block(args) => args.run(cx).await,
            Self::Automation(args) => args.run(cx).await,
            Self::Event(args) => args.run(cx).await,
            Self::Storage(args) => args.run(cx).await,
            Self::Config(args) => args.run(cx),
            Self::Profile(args) => args.run(cx),
            Self::Bench(args) => args.run(cx).await,
            Self::Dev(args) => args.run(cx).await,
            Self::Database(args) => args.run(cx).await,
            Self::Version(args) => args.run(cx).await,
            Self::Completions(args) => args.run(),
        }
    }

    /// Returns whether the command works although the settings do not: it repairs them, or has no use for them.
    fn works_despite(&self, error: &settings::Error) -> bool {
        // A file that cannot be read at all is repaired by hand.
        let repairs = matches!(self, Self::Config(_) | Self::Profile(_))
            && !matches!(error, settings::Error::Profiles { .. });
        repairs || matches!(self, Self::Completions(_))
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = parse(std::env::args_os());
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::say(&error.to_string());
            ExitCode::from(error.exit_code())
        }
    }
}

/// Returns the whole command with the parts of its help that come from lists.
pub fn command() -> clap::Command {
    let codes: Vec<String> = EXIT_CODES
        .iter()
        .map(|(code, meaning)| format!("  {code:>3}  {meaning}"))
        .collect();
    Cli::command().after_help(format!(
        "Examples:\n  prefect-rs work-queue create -t ETL etl-queue\n  prefect-rs flow-run ls --limit 5 -o json\n\nExit codes:\n{}",
        codes.join("\n")
    ))
}

fn parse(args: impl Iterator<Item = OsString>) -> Cli {
    let command = command();
    let args = help_word(&command, args.map(one_dash_words).collect());
    let matches = command.get_matches_from(args);
    Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

/// Lets `help` be typed where a command is expected: `help flow-run ls` and `flow-run help` are `--help`.
///
/// As a subcommand of the parser it would stand in every list and in every completion.
fn help_word(root: &clap::Command, mut args: Vec<OsString>) -> Vec<OsString> {
    let mut command = root;
    let mut at = 1;
    while let Some(word) = args.get(at).and_then(|arg| arg.to_str()) {
        match (word, command.find_subcommand(word)) {
            ("-p" | "--profile", _) => at += 2,
            (_, Some(found)) => {
                command = found;
                at += 1;
            }
            ("help", None) if command.has_subcommands() => {
                args.remove(at);
                args.push("--help".into());
                break;
            }
            _ => break,
        }
    }
    args
}

/// Lets `-fr` of the first generation be `--flow-runner`, which a parser of single letters cannot say.
fn one_dash_words(arg: OsString) -> OsString {
    match arg.to_str() {
        Some("-fr") => "--flow-runner".into(),
        _ => arg,
    }
}

fn run(cli: Cli) -> Result {
    let loaded = match Loaded::from_process(cli.profile.as_deref()) {
        Err(error) if cli.command.works_despite(&error) => {
            output::say(&format!("Warning: {error}"));
            Loaded::without_values(cli.profile.as_deref())?
        }
        outcome => outcome?,
    };
    let cx = Context::new(loaded);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::failure(format!("the runtime does not start: {error}")))?;
    runtime.block_on(async {
        outlive_size_limits();
        cli.command.run(&cx).await
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verify_cli() {
        command().debug_assert();
    }

    #[test]
    fn help_may_be_typed_as_a_word() {
        let read = |line: &str| {
            let args = line.split(' ').map(OsString::from).collect();
            let args = help_word(&command(), args);
            args.join(" ".as_ref()).into_string().expect("plain words")
        };
        for (typed, meant) in [
            ("prefect-rs help", "prefect-rs --help"),
            (
                "prefect-rs help flow-run ls",
                "prefect-rs flow-run ls --help",
            ),
            (
                "prefect-rs -p x flow-run help",
                "prefect-rs -p x flow-run --help",
            ),
            (
                "prefect-rs server help start",
                "prefect-rs server start --help",
            ),
            // A run, and a command, of that name.
            (
                "prefect-rs flow-run inspect help",
                "prefect-rs flow-run inspect help",
            ),
            ("prefect-rs run -- help", "prefect-rs run -- help"),
        ] {
            assert_eq!(read(typed), meant);
        }
    }

    #[test]
    fn every_command_has_a_summary_and_an_example() {
        fn walk(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            assert!(command.get_about().is_some(), "{path} has no summary");
            let after = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(after.contains("Example"), "{path} has no example");
            command
                .get_subcommands()
                .for_each(|command| walk(command, &path));
        }
        walk(&command(), "");
    }
}

//! The guard: a process beside the agent that ends what a killed agent leaves behind.
//!
//! An agent that gets SIGKILL can do nothing any more: its flow processes would go on with broken
//! pipes, out of reach of cancellation, and an executable's run would say RUNNING for ever. Linux
//! offers PR_SET_PDEATHSIG, but that reaches only the first process, fires when the *thread* that
//! spawned it ends, and tells no server. So the agent names its runs to a guard over a pipe; when
//! the pipe closes, the guard ends the named groups, hands claims back and marks runs as crashed.
//! The guard is in a group of its own and ignores SIGINT and SIGTERM, so that stopping the
//! agent's group does not stop it first.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::Stdio;
use std::sync::Arc;

use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Mutex;
use tracing::warn;
use uuid::Uuid;

use super::process::end_group;
use super::report::{Patience, Reporter};
use crate::client::Client;

/// The agent's end of the pipe.
#[derive(Clone, Default)]
pub struct Guard {
    /// Absent when the agent has no guard, or lost it.
    pipe: Option<Arc<Mutex<ChildStdin>>>,
}

/// What the guard knows of a run.
#[derive(Debug, Clone, PartialEq)]
enum Known {
    /// The agent proposes PENDING with this transition id.
    Claiming(Uuid),
    /// This process group runs it.
    Running(i32),
}

impl Guard {
    /// Starts a guard; the agent works without one where that fails.
    pub fn start(program: &[OsString], api_url: &str) -> (Self, Option<Child>) {
        let Some((program, arguments)) = program.split_first() else {
            return (Guard::default(), None);
        };
        let child = Command::new(program)
            .args(arguments)
            .env("PREFECT_API_URL", api_url)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .process_group(0)
            .spawn();
        match child {
            Ok(mut child) => {
                let pipe = child.stdin.take().map(|pipe| Arc::new(Mutex::new(pipe)));
                (Guard { pipe }, Some(child))
            }
            Err(error) => {
                warn!(%error, "the guard of this agent's runs did not start");
                (Guard::default(), None)
            }
        }
    }

    /// Says that a claim is about to be proposed.
    pub async fn claiming(&self, run: Uuid, transition: Uuid) {
        self.tell(format!("claim {run} {transition}\n")).await;
    }

    /// Says which process group runs a flow run.
    pub async fn running(&self, run: Uuid, pgid: i32) {
        self.tell(format!("start {run} {pgid}\n")).await;
    }

    /// Says that a run is no longer this agent's.
    pub async fn done(&self, run: Uuid) {
        self.tell(format!("done {run}\n")).await;
    }

    async fn tell(&self, line: String) {
        let Some(pipe) = &self.pipe else { return };
        // A guard that is gone must not stop the agent.
        let _ = pipe.lock().await.write_all(line.as_bytes()).await;
    }
}

/// Runs the guard until its agent is gone and what it left is settled.
pub async fn watch(client: Client) -> std::io::Result<()> {
    // Taking a signal and doing nothing with it is to ignore it, without unsafe code.
    let _signals = [
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
        signal(SignalKind::hangup())?,
    ];
    let mut runs = BTreeMap::new();
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        note(&mut runs, &line);
    }
    let settling: Vec<_> = runs
        .into_iter()
        .map(|(run, known)| tokio::spawn(settle(client.clone(), run, known)))
        .collect();
    for task in settling {
        let _ = task.await;
    }
    Ok(())
}

fn note(runs: &mut BTreeMap<Uuid, Known>, line: &str) {
    let mut words = line.split(' ');
    let (Some(verb), Some(Ok(run))) = (words.next(), words.next().map(str::parse::<Uuid>)) else {
        return;
    };
    match (verb, words.next()) {
        ("claim", Some(transition)) => {
            let Ok(transition) = transition.parse() else {
                return;
            };
            runs.insert(run, Known::Claiming(transition));
        }
        ("start", Some(pgid)) => {
            let Ok(pgid) = pgid.parse() else { return };
            runs.insert(run, Known::Running(pgid));
        }
        _ => {
            runs.remove(&run);
        }
    }
}

async fn settle(client: Client, run: Uuid, known: Known) {
    let reporter = Reporter::new(client, Patience::minutes(10));
    if let Known::Running(pgid) = known {
        end_group(Pid::from_raw(pgid)).await;
    }
    let Some(current) = reporter.read(run).await else {
        return;
    };
    let state = &current.raw["state"];
    let kind = state["type"].as_str().unwrap_or_default();
    match known {
        Known::Claiming(transition) => {
            if kind == "PENDING"
                && state["state_details"]["transition_id"] == transition.to_string()
            {
                reporter
                    .hand_back(&current, "The agent that had claimed the run was killed.")
                    .await;
            }
        }
        Known::Running(_) if kind == "CANCELLING" => {
            reporter
                .propose(
                    run,
                    "CANCELLED",
                    "Cancelled",
                    Some("The run was cancelled."),
                )
                .await;
        }
        Known::Running(_) if matches!(kind, "RUNNING" | "PENDING") => {
            let message =
                "The agent that ran the flow was killed; the flow's processes were ended.";
            reporter
                .propose(run, "CRASHED", "Crashed", Some(message))
                .await;
        }
        Known::Running(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guard_knows_what_is_not_settled() {
        let (a, b, t) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(9));
        let mut runs = BTreeMap::new();
        for line in [
            format!("claim {a} {t}"),
            format!("claim {b} {t}"),
            format!("start {b} 42"),
            "nonsense".into(),
        ] {
            note(&mut runs, &line);
        }
        assert_eq!(
            runs,
            BTreeMap::from([(a, Known::Claiming(t)), (b, Known::Running(42))])
        );
        note(&mut runs, &format!("done {a}"));
        note(&mut runs, &format!("done {b}"));
        assert!(runs.is_empty());
    }
}

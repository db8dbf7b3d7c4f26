//! The guard: a process beside the agent that ends what a killed agent leaves behind.
//!
//! An agent that gets SIGKILL can do nothing any more: its flow processes would go on with broken
//! pipes, out of reach of cancellation, and an executable's run would say RUNNING for ever. Linux
//! offers PR_SET_PDEATHSIG, but that reaches only the first process, fires when the *thread* that
//! spawned it ends, and tells no server. So the agent names its runs to a guard over a pipe; when
//! the pipe closes, the guard ends the named groups, hands claims back and marks runs as crashed.
//! The guard is in a group of its own and ignores SIGINT and SIGTERM, so that stopping the
//! agent's group does not stop it first.
//!
//! An agent that stops while its server is away leaves what it could not tell to the guard as well,
//! so it says how each run has ended before it tells the server.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Mutex;
use tokio::time::sleep;
use tracing::warn;
use uuid::Uuid;

use super::process::{end_run, groups_with};
use super::report::{Patience, Reporter};
use super::role::Role;
use super::states::Answer;
use crate::client::Client;
use crate::clock::{Clock, SystemClock};
use crate::sdk::program::FLOW_RUN_ID;

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
    /// The proposal was accepted: what becomes of the run now is this agent's doing.
    Owned(Uuid),
    /// It waits for its retry, which the agent itself would make.
    Retrying,
    /// This process group runs it.
    Running(i32),
    /// Its processes have ended, which the server may not have heard.
    Ended(End),
}

/// How a run has ended.
#[derive(Debug, Clone, PartialEq)]
struct End {
    at: DateTime<Utc>,
    /// The type of the state that it means.
    kind: String,
    /// The name of that state.
    name: String,
    message: String,
}

impl End {
    /// Reads what follows the run in a line of the pipe.
    fn read<'a>(mut words: impl Iterator<Item = &'a str>) -> Option<Self> {
        Some(End {
            at: DateTime::from_timestamp_micros(words.next()?.parse().ok()?)?,
            kind: words.next()?.to_owned(),
            name: words.next()?.to_owned(),
            message: words.collect::<Vec<_>>().join(" "),
        })
    }

    /// Says when it was, since a state has the time at which the server hears of it.
    fn told_late(&self) -> String {
        let at = self.at.to_rfc3339_opts(SecondsFormat::Secs, true);
        format!(
            "{} This was at {at}; the server did not hear of it then.",
            self.message
        )
    }
}

/// Whose guard it is, and what became of that.
#[derive(Debug, Clone, Copy)]
struct Owner {
    role: Role,
    fate: &'static str,
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
            // An agent may be part of a run, and what its guard has to do begins where that is ended.
            .env_remove(FLOW_RUN_ID)
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

    /// Says whose guard it is, as messages name it.
    pub async fn of(&self, role: Role) {
        self.tell(format!("of {role}\n")).await;
    }

    /// Says that a claim is about to be proposed.
    pub async fn claiming(&self, run: Uuid, transition: Uuid) {
        self.tell(format!("claim {run} {transition}\n")).await;
    }

    /// Says that the claim was accepted.
    pub async fn owned(&self, run: Uuid) {
        self.tell(format!("own {run}\n")).await;
    }

    /// Says that the agent runs what nobody has to claim: it was made PENDING for this agent.
    pub async fn given(&self, run: Uuid) {
        self.claiming(run, Uuid::nil()).await;
        self.owned(run).await;
    }

    /// Says which process group runs a flow run.
    pub async fn running(&self, run: Uuid, pgid: i32) {
        self.tell(format!("start {run} {pgid}\n")).await;
    }

    /// Says how a run has ended, before the server is told.
    pub async fn ended(&self, run: Uuid, kind: &str, name: &str, message: &str) {
        let at = SystemClock.now().timestamp_micros();
        let message = message.replace(char::is_control, " ");
        self.tell(format!("ended {run} {at} {kind} {name} {message}\n"))
            .await;
    }

    /// Says that the agent stops by itself and leaves what it has not said to be done.
    pub async fn stops(&self) {
        self.tell("stop\n".to_owned()).await;
    }

    /// Returns whether there is a guard.
    pub fn is_there(&self) -> bool {
        self.pipe.is_some()
    }

    /// Says that a run has ended and is to be tried again by this agent.
    pub async fn retrying(&self, run: Uuid) {
        self.tell(format!("retry {run}\n")).await;
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
    let mut owner = Owner {
        role: Role::default(),
        fate: "was killed",
    };
    while let Ok(Some(line)) = lines.next_line().await {
        match line.strip_prefix("of ") {
            Some(word) => owner.role = Role::of(word),
            None if line == "stop" => owner.fate = "was stopped",
            None => note(&mut runs, &line),
        }
    }
    let settling: Vec<_> = runs
        .into_iter()
        .map(|(run, known)| tokio::spawn(settle(client.clone(), run, known, owner)))
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
        ("own", None) => {
            if let Some(Known::Claiming(transition)) = runs.get(&run) {
                let transition = *transition;
                runs.insert(run, Known::Owned(transition));
            }
        }
        ("retry", None) => {
            runs.insert(run, Known::Retrying);
        }
        ("ended", Some(at)) => {
            let Some(end) = End::read(std::iter::once(at).chain(words)) else {
                return;
            };
            runs.insert(run, Known::Ended(end));
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

/// How long what a killed agent has said may be on its way into the database; a judgement before
/// that would be overtaken.
const ON_ITS_WAY: Duration = Duration::from_secs(2);

async fn settle(client: Client, run: Uuid, known: Known, owner: Owner) {
    let reporter = Reporter::new(client, Patience::minutes(10));
    let Owner { role, fate } = owner;
    let had_claimed = format!("The {role} that had claimed the run {fate}.");
    let would_try_again = format!("The {role} that would have tried the run again {fate}.");
    if let Known::Claiming(transition) = known {
        return reporter.retract(run, transition, &had_claimed).await;
    }
    if !matches!(known, Known::Running(_)) {
        sleep(ON_ITS_WAY).await;
    }
    let groups = match &known {
        Known::Claiming(_) | Known::Retrying | Known::Ended(_) => Vec::new(),
        // The agent may have been killed before it could say what it had started.
        Known::Owned(_) => groups_with(FLOW_RUN_ID, &run.to_string()).await,
        Known::Running(pgid) => vec![Pid::from_raw(*pgid)],
    };
    let has_started = !groups.is_empty();
    for group in groups {
        end_run(group, &run.to_string()).await;
    }
    let Some(current) = reporter.read(run).await else {
        return;
    };
    let state = &current.raw["state"];
    let kind = state["type"].as_str().unwrap_or_default();
    match &known {
        Known::Owned(transition)
            if !has_started
                && kind == "PENDING"
                && state["state_details"]["transition_id"] == transition.to_string() =>
        {
            reporter.hand_back(&current, &had_claimed).await;
        }
        Known::Claiming(_) => {}
        // No other agent takes it while it seems to have one. This one may have been killed before it could
        // say that there is to be a retry.
        Known::Retrying | Known::Running(_) | Known::Ended(_) if current.waits_for_retry() => {
            reporter.hand_back(&current, &would_try_again).await;
        }
        Known::Retrying => {}
        Known::Owned(_) | Known::Running(_) | Known::Ended(_) if kind == "CANCELLING" => {
            reporter
                .propose(
                    run,
                    "CANCELLED",
                    "Cancelled",
                    Some("The run was cancelled."),
                )
                .await;
        }
        // Somebody else's by now, unless it was made to be run here and nowhere else.
        Known::Owned(transition) if kind == "PENDING" && !has_started && !transition.is_nil() => {}
        Known::Ended(end) if matches!(kind, "RUNNING" | "PENDING") => {
            let message = end.told_late();
            let answer = reporter
                .propose(run, &end.kind, &end.name, Some(&message))
                .await;
            if let Some(Answer::Rescheduled(_)) = answer
                && let Some(current) = reporter.read(run).await
                && current.waits_for_retry()
            {
                reporter.hand_back(&current, &would_try_again).await;
            }
        }
        Known::Owned(_) | Known::Running(_) if matches!(kind, "RUNNING" | "PENDING") => {
            let message =
                format!("The {role} that ran the flow {fate}; the flow's processes were ended.");
            reporter
                .propose(run, "CRASHED", "Crashed", Some(&message))
                .await;
        }
        Known::Owned(_) | Known::Running(_) | Known::Ended(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guard_knows_what_is_not_settled() {
        let [a, b, c, d, e, t] = [1, 2, 3, 4, 5, 9].map(Uuid::from_u128);
        let mut runs = BTreeMap::new();
        for line in [
            format!("claim {a} {t}"),
            format!("claim {b} {t}"),
            format!("own {b}"),
            format!("start {b} 42"),
            format!("claim {c} {t}"),
            format!("own {c}"),
            // Nobody owns what was never claimed.
            format!("own {t}"),
            format!("retry {d}"),
            format!("start {e} 43"),
            format!("ended {e} 1500000 CRASHED Crashed It was  stopped."),
            // What cannot be read changes nothing.
            format!("ended {e} now CRASHED"),
            "nonsense".into(),
        ] {
            note(&mut runs, &line);
        }
        let end = End {
            at: DateTime::from_timestamp_micros(1_500_000).unwrap(),
            kind: "CRASHED".into(),
            name: "Crashed".into(),
            message: "It was  stopped.".into(),
        };
        assert_eq!(
            end.told_late(),
            "It was  stopped. This was at 1970-01-01T00:00:01Z; the server did not hear of it then."
        );
        let known = [
            (a, Known::Claiming(t)),
            (b, Known::Running(42)),
            (c, Known::Owned(t)),
            (d, Known::Retrying),
            (e, Known::Ended(end)),
        ];
        assert_eq!(runs, BTreeMap::from(known));
        note(&mut runs, &format!("done {e}"));
        note(&mut runs, &format!("done {c}"));
        note(&mut runs, &format!("done {d}"));
        note(&mut runs, &format!("done {a}"));
        note(&mut runs, &format!("done {b}"));
        assert!(runs.is_empty());
    }
}

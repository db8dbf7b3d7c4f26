//! The life of a claimed run: it becomes RUNNING, its process runs, its end is told, and it is tried again.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::mpsc;
use tokio::time::sleep;
use tracing::{debug, error, info};
use uuid::Uuid;

use super::Shared;
use crate::agent::dispatcher::Event;
use crate::agent::logs::ERROR;
use crate::agent::process::Halt;
use crate::agent::runners::{Engine, Launch};
use crate::agent::states::{self, Answer};
use crate::client::FlowRun;

/// How long logs may take to be sent before the end of their run is told.
const FLUSH_LIMIT: Duration = Duration::from_secs(10);

/// What became of the wish to start.
enum Begun {
    Running,
    Later(DateTime<Utc>),
    No,
}

impl Shared {
    /// Carries out a claimed run, and tells the dispatcher when it has left this agent.
    pub(super) async fn execute(&self, run: FlowRun, mut halts: mpsc::Receiver<Halt>) {
        let id = run.id;
        tokio::select! {
            () = self.carry_out(&run, &mut halts) => {}
            // A machine that is lost with agent and guard can tell nothing; by these it is missed.
            () = self.client.send_heartbeats(id, &run.name, "agent") => {}
        }
        self.guard.done(id).await;
        self.tell(Event::Gone(id));
    }

    async fn carry_out(&self, run: &FlowRun, halts: &mut mpsc::Receiver<Halt>) {
        let id = run.id;
        let prepared = tokio::select! {
            prepared = self.prepare(run) => prepared,
            why = self.is_let_go(halts) => return self.leave(id, why).await,
        };
        match prepared {
            Ok(launch) if launch.engine == Engine::Process => {
                self.run_engine(run, &launch, halts).await
            }
            Ok(launch) => self.run_executable(run, &launch, halts).await,
            Err(reason) => {
                self.tell_why_not_started(id, &reason).await;
                self.guard.ended(id, "CRASHED", "Crashed", &reason).await;
                self.conclude(id, "CRASHED", "Crashed", &reason).await;
            }
        }
    }

    /// Says where people look for it, the agent's log and the run's, why a run did not start.
    async fn tell_why_not_started(&self, run: Uuid, reason: &str) {
        error!(flow_run.id = %run, "failed to start flow run `{run}`: {reason}");
        self.log(run, ERROR, reason.to_owned()).await;
    }

    /// Runs a process whose engine reports its own states.
    async fn run_engine(&self, run: &FlowRun, launch: &Launch, halts: &mut mpsc::Receiver<Halt>) {
        let id = run.id;
        let (ended, tail) = match self.supervise(run, launch, halts).await {
            Ok(end) => end,
            Err(reason) => {
                self.tell_why_not_started(id, &reason).await;
                self.guard.ended(id, "CRASHED", "Crashed", &reason).await;
                return self.conclude(id, "CRASHED", "Crashed", &reason).await;
            }
        };
        info!(flow_run.id = %id, "the process of flow run `{}` {}", run.name, ended.describe());
        let last_error = tail.back().map(String::as_str);
        // What it means if the engine has not told its end, which only the server knows.
        if let Some((kind, name, message)) =
            states::of_engine(&ended, "RUNNING", last_error, self.host.role)
        {
            self.guard.ended(id, kind, name, &message).await;
        }
        let Some(current) = self.reporter().read(id).await else {
            return;
        };
        let kind = current
            .state
            .as_ref()
            .map_or("", |state| state.r#type.as_str());
        let was_crashed = kind == "CRASHED";
        let Some((kind, name, message)) =
            states::of_engine(&ended, kind, last_error, self.host.role)
        else {
            return;
        };
        if kind == "CRASHED" && !tail.is_empty() {
            // The engine could not send these any more, and they say why.
            self.log(id, ERROR, tail.into_iter().collect::<Vec<_>>().join("\n"))
                .await;
        }
        if was_crashed {
            // It took its cancellation for a crash, and an end is not changed by asking.
            let state = states::propose(kind, name, Some(&message), Uuid::new_v4());
            self.logs.flush(FLUSH_LIMIT).await;
            self.reporter().insist(id, state).await;
            return;
        }
        self.conclude(id, kind, name, &message).await;
    }

    /// Runs a process for which the agent is the engine, again for each retry that the server asks for.
    async fn run_executable(
        &self,
        run: &FlowRun,
        launch: &Launch,
        halts: &mut mpsc::Receiver<Halt>,
    ) {
        let mut again_at = None;
        loop {
            again_at = match self.begin(run.id, again_at, halts).await {
                Begun::Running => self.attempt(run, launch, halts).await,
                Begun::Later(at) => Some(at),
                Begun::No => return,
            };
            if again_at.is_none() {
                return;
            }
        }
    }

    /// Makes the run RUNNING, at once or for a retry at its time.
    async fn begin(
        &self,
        run: Uuid,
        again_at: Option<DateTime<Utc>>,
        halts: &mut mpsc::Receiver<Halt>,
    ) -> Begun {
        let mut steps = vec![("RUNNING", "Running")];
        if let Some(at) = again_at {
            if let Some(why) = self.pause(self.client.clock().until(at), halts).await {
                self.leave(run, why).await;
                return Begun::No;
            }
            // A run that waits for its retry is in the queue like any other, so it is claimed again.
            steps.insert(0, ("PENDING", "Pending"));
        }
        for (kind, name) in steps {
            let is_claim = kind == "PENDING";
            loop {
                let transition = Uuid::new_v4();
                if is_claim {
                    self.guard.claiming(run, transition).await;
                }
                let state = states::propose(kind, name, None, transition);
                match self.reporter().propose_as(run, state, transition).await {
                    Some(Answer::Accepted) => {
                        if is_claim {
                            self.guard.owned(run).await;
                        }
                        break;
                    }
                    Some(Answer::Wait(seconds)) => {
                        let wait = Duration::from_secs_f64(seconds.clamp(0.05, 3600.0));
                        if let Some(why) = self.pause(wait, halts).await {
                            self.leave(run, why).await;
                            return Begun::No;
                        }
                    }
                    Some(Answer::Rescheduled(at)) => return Begun::Later(at),
                    Some(Answer::Refused(reason)) => {
                        info!(flow_run.id = %run, "flow run `{run}` was not started: {reason}");
                        return Begun::No;
                    }
                    None => return Begun::No,
                }
            }
        }
        Begun::Running
    }

    /// Leaves a run without a process to other agents, unless it was cancelled.
    async fn leave(&self, run: Uuid, why: Halt) {
        let Some(current) = self.reporter().read(run).await else {
            return;
        };
        let kind = current
            .state
            .as_ref()
            .map_or("", |state| state.r#type.as_str());
        match (kind, why) {
            // Nobody else tells the end of a run that is this agent's.
            ("CANCELLING", _) | ("PENDING", Halt::Cancelled) => {
                let message = "The run was cancelled before its process was started.";
                self.conclude(run, "CANCELLED", "Cancelled", message).await;
            }
            ("PENDING", Halt::AgentStopped | Halt::TimedOut) => {
                self.hand_back_claimed(&current).await;
            }
            _ if current.waits_for_retry() => {
                let message = format!(
                    "The {} that would have tried the run again stops.",
                    self.host.role
                );
                self.reporter().hand_back(&current, &message).await;
            }
            _ => {}
        }
    }

    /// Returns once a run without a process is to leave this agent, since it was halted or the agent stops.
    async fn is_let_go(&self, halts: &mut mpsc::Receiver<Halt>) -> Halt {
        let mut letting_go = self.lets_go.subscribe();
        let lets_go = async { letting_go.wait_for(|lets_go| *lets_go).await.is_ok() };
        tokio::select! {
            Some(why) = halts.recv() => why,
            true = lets_go => Halt::AgentStopped,
            else => std::future::pending().await,
        }
    }

    /// Waits, unless the run is to leave this agent meanwhile; returns why.
    async fn pause(&self, time: Duration, halts: &mut mpsc::Receiver<Halt>) -> Option<Halt> {
        tokio::select! {
            () = sleep(time) => None,
            why = self.is_let_go(halts) => Some(why),
        }
    }

    /// Runs the process once and tells how it ended; returns the time of a retry, if there is to be one.
    async fn attempt(
        &self,
        run: &FlowRun,
        launch: &Launch,
        halts: &mut mpsc::Receiver<Halt>,
    ) -> Option<DateTime<Utc>> {
        let id = run.id;
        let (kind, name, message) = match self.supervise(run, launch, halts).await {
            Ok((ended, tail)) => {
                let timeout = launch.invocation.timeout.unwrap_or_default().as_secs_f64();
                let last_error = tail.back().map(String::as_str);
                let end = states::of_executable(&ended, last_error, timeout, self.host.role);
                info!(flow_run.id = %id, "flow run `{}`: {}", run.name, end.2);
                end
            }
            Err(reason) => {
                self.tell_why_not_started(id, &reason).await;
                ("CRASHED", "Crashed", reason)
            }
        };
        self.guard.ended(id, kind, name, &message).await;
        states::end_what_was_left_open(&self.client, id).await;
        self.logs.flush(FLUSH_LIMIT).await;
        match self
            .reporter()
            .propose(id, kind, name, Some(&message))
            .await
        {
            Some(Answer::Rescheduled(at)) => {
                self.guard.retrying(id).await;
                Some(at)
            }
            Some(Answer::Refused(reason)) => {
                debug!(flow_run.id = %id, "the end of flow run `{id}` was known already: {reason}");
                None
            }
            Some(Answer::Accepted | Answer::Wait(_)) | None => None,
        }
    }

    /// Tells how a run has ended, once its logs are sent.
    async fn conclude(&self, run: Uuid, kind: &str, name: &str, message: &str) {
        self.logs.flush(FLUSH_LIMIT).await;
        if let Some(Answer::Refused(reason)) = self
            .reporter()
            .propose(run, kind, name, Some(message))
            .await
        {
            debug!(flow_run.id = %run, "the end of flow run `{run}` was known already: {reason}");
        }
    }
}

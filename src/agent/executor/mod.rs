//! The executor: carries out what the dispatcher decided, one task a command, and tells it what came of it.
//!
//! Asking for runs and claiming them is here. From a claimed run to its process is `launch`, from its start to
//! its end `lifecycle`, and `supervise` watches the process itself.

mod launch;
mod lifecycle;
mod supervise;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::{debug, info, warn};
use uuid::Uuid;

use super::Source;
use super::dispatcher::{Command, Event};
use super::guard::Guard;
use super::health::Health;
use super::logs::Forwarder;
use super::process::Halt;
use super::report::{Patience, Reporter};
use super::runners::Host;
use super::states::Answer;
use crate::client::{self, Client, Document, FlowRun, PAGE};
use crate::clock::Clock;

/// What all tasks of the executor share.
pub struct Shared {
    /// The API.
    pub client: Client,
    /// Where runs come from.
    pub source: Source,
    /// How far ahead of their time runs are asked for.
    pub prefetch: Duration,
    /// Where output goes.
    pub logs: Forwarder,
    /// Who ends what this agent leaves behind.
    pub guard: Guard,
    /// What flow processes are given.
    pub host: Host,
    /// Whether the output of a flow is also this process's own.
    pub is_foreground: bool,
    /// Where it is noted that the server answers.
    pub health: Option<Arc<Health>>,
    /// The way back to the dispatcher.
    pub events: mpsc::UnboundedSender<Event>,
    /// Why runs were refused at the last poll, if they were.
    pub last_refusal: Mutex<Option<String>>,
    /// True once what has no process yet is to leave; an [`Executor`] sets it.
    pub lets_go: watch::Sender<bool>,
}

/// Carries out commands.
pub struct Executor {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
    /// One entry for each launched run; a full channel means that a halt is under way already.
    halts: HashMap<Uuid, mpsc::Sender<Halt>>,
}

impl Executor {
    /// Returns an executor without work.
    pub fn new(shared: Shared) -> Self {
        Executor {
            shared: Arc::new(shared),
            tasks: JoinSet::new(),
            halts: HashMap::new(),
        }
    }

    /// Lets go of the claimed runs whose processes have not started, and starts none any more.
    pub fn let_go(&self) {
        self.shared.lets_go.send_replace(true);
    }

    /// Begins to carry out a command that is not the dispatcher's own affair.
    pub fn perform(&mut self, command: Command) {
        // Finished tasks are collected here, since each command is a chance to.
        while self.tasks.try_join_next().is_some() {}
        self.halts.retain(|_, halt| !halt.is_closed());
        let shared = self.shared.clone();
        match command {
            Command::Poll { limit } => {
                drop(self.tasks.spawn(async move { shared.poll(limit).await }))
            }
            Command::Watch(runs) => drop(self.tasks.spawn(async move { shared.watch(runs).await })),
            Command::Claim(run, queue) => drop(
                self.tasks
                    .spawn(async move { shared.claim(run, queue).await }),
            ),
            Command::HandBack(run) => {
                drop(self.tasks.spawn(async move { shared.hand_back(run).await }))
            }
            Command::Launch(run) => {
                let (halt, halts) = mpsc::channel(1);
                self.halts.insert(run.id, halt);
                self.tasks
                    .spawn(async move { shared.execute(*run, halts).await });
            }
            Command::Halt(run, why) => {
                if let Some(halt) = self.halts.get(&run) {
                    let _ = halt.try_send(why);
                }
            }
            // The loop that owns this executor handles these.
            Command::StartGrace | Command::StartPatience | Command::Exit => {}
        }
    }
}

impl Shared {
    fn tell(&self, event: Event) {
        // The dispatcher is gone only when the agent exits.
        let _ = self.events.send(event);
    }

    fn reporter(&self) -> Reporter {
        Reporter::new(self.client.clone(), Patience::Endless)
    }

    async fn poll(&self, limit: usize) {
        match self.due_runs(limit).await {
            Ok(runs) => {
                *self
                    .last_refusal
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner) = None;
                if let Some(health) = &self.health {
                    health.note();
                }
                self.tell(Event::Polled(Some(runs)));
            }
            Err(error) => {
                // Each wake of the push channel asks, and the same answer is worth a line once.
                let said = error.to_string();
                let mut last = self
                    .last_refusal
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                if last.as_deref() != Some(said.as_str()) {
                    match (&self.source, error.is_not_found()) {
                        (Source::Queue(queue), true) => {
                            warn!("the work queue {} is gone; waiting for it", queue.queue)
                        }
                        _ => warn!("failed to ask for due runs: {said}"),
                    }
                    *last = Some(said);
                }
                drop(last);
                self.tell(Event::Polled(None));
            }
        }
    }

    async fn due_runs(&self, limit: usize) -> client::Result<Vec<FlowRun>> {
        let ahead = TimeDelta::from_std(self.prefetch).unwrap_or_default();
        let before = self.client.clock().now() + ahead;
        match &self.source {
            Source::Queue(queue) => {
                let mut id = queue.id();
                let mut runs = self.client.read_work_queue_runs(id, before, limit).await;
                let is_gone = runs.as_ref().is_err_and(client::Error::is_not_found);
                if is_gone && let Some(other) = queue.again(&self.client).await? {
                    id = other;
                    runs = self.client.read_work_queue_runs(id, before, limit).await;
                }
                // A run may be in several queues, and this is the one through which it comes.
                Ok(runs?
                    .into_iter()
                    .map(|run| FlowRun {
                        work_queue_id: Some(id),
                        ..run.into_view()
                    })
                    .collect())
            }
            Source::Pool { name, queues, .. } => {
                let runs = self.client.read_work_pool_runs(name, queues, before, limit);
                Ok(runs
                    .await?
                    .into_iter()
                    .map(|run| FlowRun {
                        work_queue_id: Some(run.work_queue_id),
                        ..run.flow_run.into_view()
                    })
                    .collect())
            }
            // Its one run was given to it.
            Source::Given => Ok(Vec::new()),
        }
    }

    async fn watch(&self, runs: Vec<Uuid>) {
        for ids in runs.chunks(PAGE) {
            let cancelled = match self.cancelled(ids, &["CANCELLED", "CANCELLING"]).await {
                // A server of the first generation has no state of being cancelled.
                Err(error) if error.is_refusal() => self.cancelled(ids, &["CANCELLED"]).await,
                outcome => outcome,
            };
            match cancelled {
                Ok(cancelled) => cancelled
                    .into_iter()
                    .for_each(|run| self.tell(Event::Cancelled(run.id))),
                Err(error) => debug!("failed to ask for cancelled runs: {error}"),
            }
        }
    }

    async fn cancelled(
        &self,
        ids: &[Uuid],
        types: &[&str],
    ) -> client::Result<Vec<Document<FlowRun>>> {
        let filter = json!({"flow_runs": {
            "id": {"any_": ids},
            "state": {"type": {"any_": types}},
        }});
        self.client.read_flow_runs(filter, Some(ids.len())).await
    }

    async fn claim(&self, run: Uuid, queue: Option<Uuid>) {
        let transition = Uuid::new_v4();
        // Told before the proposal, since the agent may be killed before it hears the answer.
        self.guard.claiming(run, transition).await;
        // Not forever: while the server is away somebody else cannot take the run either.
        let reporter = Reporter::new(self.client.clone(), Patience::minutes(1));
        match reporter.claim(run, queue, transition).await {
            Some(Answer::Accepted) => {
                info!(flow_run.id = %run, "claimed flow run `{run}`");
                self.guard.owned(run).await;
                self.tell(Event::Won(run));
                return;
            }
            Some(Answer::Refused(reason)) => {
                debug!(flow_run.id = %run, "flow run `{run}` is not for this {}: {reason}", self.host.role)
            }
            Some(Answer::Rescheduled(_) | Answer::Wait(_)) => {
                debug!(flow_run.id = %run, "flow run `{run}` is not due yet")
            }
            // The server may have taken it, and may yet. The guard goes on to know of it, until the next claim.
            None => {
                self.tell(Event::Lost(run));
                let role = self.host.role;
                let message = format!("The {role} did not hear that its claim was accepted.");
                return self.reporter().retract(run, transition, &message).await;
            }
        }
        self.guard.done(run).await;
        self.tell(Event::Lost(run));
    }

    async fn hand_back(&self, id: Uuid) {
        // Should the agent end before the server hears of it, the guard does it.
        if let Some(run) = self.reporter().read(id).await {
            self.hand_back_claimed(&run).await;
        }
        self.guard.done(id).await;
        self.tell(Event::Gone(id));
    }

    async fn hand_back_claimed(&self, run: &Document<FlowRun>) {
        let message = format!("The {} that had claimed the run stops.", self.host.role);
        self.reporter().hand_back(run, &message).await;
        info!(flow_run.id = %run.id, "handed back flow run `{}`", run.id);
    }
}

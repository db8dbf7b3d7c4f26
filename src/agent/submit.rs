//! The executor: carries out what the dispatcher decided, one task a command, and tells it what came of it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::{debug, error, info, warn};
use uuid::Uuid;

use super::dispatcher::{Command, Event};
use super::guard::Guard;
use super::logs::{Forwarder, Line};
use super::process::{self, Ended, Group, Halt, Stream};
use super::report::{Patience, Reporter};
use super::runners::{self, Engine, Host, Launch};
use super::states::{self, Answer};
use crate::client::{self, Client, Document, FlowRun, PAGE};
use crate::clock::{Clock, SystemClock};

/// How long logs may take to be sent before the end of their run is told.
const FLUSH_LIMIT: Duration = Duration::from_secs(10);
/// How much error output is kept to explain a crash.
const TAIL_LINES: usize = 50;
/// Levels as Python counts them.
const INFO: u8 = 20;
const WARNING: u8 = 30;
const ERROR: u8 = 40;

/// What all tasks of the executor share.
pub struct Shared {
    /// The API.
    pub client: Client,
    /// The work queue.
    pub queue_id: Uuid,
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
    /// The way back to the dispatcher.
    pub events: mpsc::UnboundedSender<Event>,
}

/// What became of the wish to start.
enum Begun {
    Running,
    Later(DateTime<Utc>),
    No,
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
            Command::Claim(run) => drop(self.tasks.spawn(async move { shared.claim(run).await })),
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
            // The loop that owns this executor handles both.
            Command::StartGrace | Command::Exit => {}
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
        let before = SystemClock.now() + TimeDelta::from_std(self.prefetch).unwrap_or_default();
        match self
            .client
            .read_work_queue_runs(self.queue_id, before, limit)
            .await
        {
            Ok(runs) => self.tell(Event::Polled(Some(
                runs.into_iter().map(|run| run.into_view()).collect(),
            ))),
            Err(error) => {
                warn!("failed to ask for due runs: {error}");
                self.tell(Event::Polled(None));
            }
        }
    }

    async fn watch(&self, runs: Vec<Uuid>) {
        for ids in runs.chunks(PAGE) {
            let cancelled = match self.cancelled(ids, &["CANCELLED", "CANCELLING"]).await {
                // A server of the first generation has no state of being cancelled.
                Err(error) if error.status().is_some_and(|s| s.is_client_error()) => {
                    self.cancelled(ids, &["CANCELLED"]).await
                }
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

    async fn claim(&self, run: Uuid) {
        let transition = Uuid::new_v4();
        // Told before the proposal, since the agent may be killed before it hears the answer.
        self.guard.claiming(run, transition).await;
        // Not forever: while the server is away somebody else cannot take the run either.
        let reporter = Reporter::new(self.client.clone(), Patience::minutes(1));
        match reporter.claim(run, self.queue_id, transition).await {
            Some(Answer::Accepted) => {
                info!(flow_run.id = %run, "claimed flow run `{run}`");
                self.guard.owned(run).await;
                self.tell(Event::Won(run));
                return;
            }
            Some(Answer::Refused(reason)) => {
                debug!(flow_run.id = %run, "flow run `{run}` is not for this agent: {reason}")
            }
            Some(Answer::Rescheduled(_) | Answer::Wait(_)) => {
                debug!(flow_run.id = %run, "flow run `{run}` is not due yet")
            }
            None => {}
        }
        self.guard.done(run).await;
        self.tell(Event::Lost(run));
    }

    async fn hand_back(&self, id: Uuid) {
        let reporter = Reporter::new(self.client.clone(), Patience::minutes(1));
        if let Some(run) = reporter.read(id).await {
            reporter
                .hand_back(&run, "The agent that had claimed the run stops.")
                .await;
            info!(flow_run.id = %id, "handed back flow run `{id}`");
        }
        self.guard.done(id).await;
        self.tell(Event::Gone(id));
    }

    async fn execute(&self, run: FlowRun, mut halts: mpsc::Receiver<Halt>) {
        let id = run.id;
        tokio::select! {
            () = self.carry_out(&run, &mut halts) => {}
            // A machine that is lost with agent and guard can tell nothing; by these it is missed.
            () = self.client.send_heartbeats(id, "agent") => {}
        }
        self.guard.done(id).await;
        self.tell(Event::Gone(id));
    }

    async fn carry_out(&self, run: &FlowRun, halts: &mut mpsc::Receiver<Halt>) {
        let id = run.id;
        match self.prepare(run).await {
            Ok(launch) if launch.engine == Engine::Process => {
                self.run_engine(run, &launch, halts).await
            }
            Ok(launch) => self.run_executable(run, &launch, halts).await,
            Err(reason) => {
                error!(flow_run.id = %id, "failed to start flow run `{id}`: {reason}");
                self.log(id, ERROR, reason.clone()).await;
                self.conclude(id, "CRASHED", "Crashed", &reason).await;
            }
        }
    }

    async fn prepare(&self, run: &FlowRun) -> Result<Launch, String> {
        let Some(deployment) = run.deployment_id else {
            return Err(
                "The run belongs to no deployment, so this agent does not know what to start."
                    .into(),
            );
        };
        let mut pause = Duration::from_millis(250);
        loop {
            match self.client.read_deployment(deployment).await {
                Ok(deployment) => return runners::launch(run, &deployment.raw, &self.host),
                Err(error)
                    if error
                        .status()
                        .is_some_and(|status| status.is_client_error()) =>
                {
                    return Err(format!("The run's deployment could not be read: {error}"));
                }
                Err(error) => {
                    warn!("will try again to read deployment `{deployment}`: {error}");
                    sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(10));
                }
            }
        }
    }

    /// Runs a process whose engine reports its own states.
    async fn run_engine(&self, run: &FlowRun, launch: &Launch, halts: &mut mpsc::Receiver<Halt>) {
        let id = run.id;
        let (ended, tail) = match self.supervise(run, launch, halts).await {
            Ok(end) => end,
            Err(reason) => return self.conclude(id, "CRASHED", "Crashed", &reason).await,
        };
        info!(flow_run.id = %id, "the process of flow run `{}` {}", run.name, ended.describe());
        let Some(current) = self.reporter().read(id).await else {
            return;
        };
        let kind = current
            .state
            .as_ref()
            .map_or("", |state| state.r#type.as_str());
        let Some((kind, name, message)) =
            states::of_engine(&ended, kind, tail.back().map(String::as_str))
        else {
            return;
        };
        if kind == "CRASHED" && !tail.is_empty() {
            // The engine could not send these any more, and they say why.
            self.log(id, ERROR, tail.into_iter().collect::<Vec<_>>().join("\n"))
                .await;
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
            if pause(until(at), halts).await {
                self.give_up_retry(run).await;
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
                        if pause(wait, halts).await {
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

    /// Leaves a run that waits for its retry to other agents, unless it was cancelled.
    async fn give_up_retry(&self, run: Uuid) {
        let reporter = Reporter::new(self.client.clone(), Patience::minutes(1));
        if let Some(current) = reporter.read(run).await
            && current.waits_for_retry()
        {
            let message = "The agent that would have tried the run again stops.";
            reporter.hand_back(&current, message).await;
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
                let timeout = launch.invocation.timeout.unwrap_or_default();
                let last_error = tail.back().map(String::as_str);
                states::of_executable(&ended, last_error, timeout.as_secs_f64())
            }
            Err(reason) => ("CRASHED", "Crashed", reason),
        };
        info!(flow_run.id = %id, "flow run `{}`: {message}", run.name);
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

    /// Starts the process, forwards its output and waits for its end; returns its last error output.
    async fn supervise(
        &self,
        run: &FlowRun,
        launch: &Launch,
        halts: &mut mpsc::Receiver<Halt>,
    ) -> Result<(Ended, VecDeque<String>), String> {
        let program = launch.invocation.program.display();
        let group = Group::start(&launch.invocation).map_err(|error| {
            let reason = process::why_not_started(&launch.invocation.program, &error);
            format!("The flow's process `{program}` could not be started: {reason}.")
        })?;
        info!(flow_run.id = %run.id, process.id = group.id(), "started flow run `{}`", run.name);
        self.guard.running(run.id, group.id()).await;
        // A small channel: what is not forwarded yet stays in the pipe.
        let (lines, mut received) = mpsc::channel(64);
        let forward = async {
            let mut tail = VecDeque::new();
            while let Some((stream, line)) = received.recv().await {
                self.take_line(run, launch, stream, line, &mut tail).await;
            }
            tail
        };
        let (ended, tail) = tokio::join!(group.wait(lines, halts), forward);
        let ended = ended.map_err(|error| {
            format!("The flow's process `{program}` could not be waited for: {error}.")
        })?;
        Ok((ended, tail))
    }

    async fn take_line(
        &self,
        run: &FlowRun,
        launch: &Launch,
        stream: Stream,
        line: String,
        tail: &mut VecDeque<String>,
    ) {
        match stream {
            Stream::Err if self.is_foreground => eprintln!("{line}"),
            Stream::Out if self.is_foreground || launch.streams_output => println!("{line}"),
            Stream::Out | Stream::Err => {}
        }
        if stream == Stream::Err && !line.trim().is_empty() {
            if tail.len() == TAIL_LINES {
                tail.pop_front();
            }
            tail.push_back(line.clone());
        }
        // An engine writes its log lines to stderr and sends them itself, so what is left
        // for the agent is what the flow prints; stderr is kept to explain a crash.
        let (name, level) = match (stream, launch.engine) {
            (Stream::Err, Engine::Process) => return,
            (Stream::Out, _) => ("process.stdout", INFO),
            (Stream::Err, Engine::Agent) => ("process.stderr", WARNING),
        };
        let timestamp = SystemClock.now();
        self.logs
            .send(Line {
                flow_run_id: run.id,
                name,
                level,
                message: line,
                timestamp,
            })
            .await;
    }

    async fn log(&self, run: Uuid, level: u8, message: String) {
        let timestamp = SystemClock.now();
        self.logs
            .send(Line {
                flow_run_id: run,
                name: "prefect.agent",
                level,
                message,
                timestamp,
            })
            .await;
    }

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

/// Waits; `true` means that the run was halted meanwhile.
async fn pause(time: Duration, halts: &mut mpsc::Receiver<Halt>) -> bool {
    tokio::select! {
        () = sleep(time) => false,
        halt = halts.recv() => halt.is_some(),
    }
}

fn until(instant: DateTime<Utc>) -> Duration {
    (instant - SystemClock.now()).to_std().unwrap_or_default()
}

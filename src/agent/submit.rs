//! The executor: carries out what the dispatcher decided, one task a command, and tells it what came of it.

use std::collections::{HashMap, VecDeque};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::{debug, error, info, warn};
use uuid::Uuid;

use super::Source;
use super::control::Control;
use super::dispatcher::{Command, Event};
use super::guard::Guard;
use super::health::Health;
use super::jobs::{self, Job, Variables};
use super::logs::{Forwarder, Line};
use super::process::{self, Ended, Group, Halt, Stream};
use super::report::{Patience, Reporter};
use super::runners::{self, Engine, Host, Launch};
use super::states::{self, Answer};
use crate::client::{self, Client, Deployment, Document, FlowRun, PAGE};
use crate::clock::{Clock, SystemClock};
use crate::schemas::work_pools::PROCESS_TYPE;

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
        match self.due_runs(limit).await {
            Ok(runs) => {
                if let Some(health) = &self.health {
                    health.note();
                }
                self.tell(Event::Polled(Some(runs)));
            }
            Err(error) => {
                warn!("failed to ask for due runs: {error}");
                self.tell(Event::Polled(None));
            }
        }
    }

    async fn due_runs(&self, limit: usize) -> client::Result<Vec<FlowRun>> {
        let before = SystemClock.now() + TimeDelta::from_std(self.prefetch).unwrap_or_default();
        match &self.source {
            Source::Queue(id) => {
                let runs = self.client.read_work_queue_runs(*id, before, limit).await?;
                // A run may be in several queues, and this is the one through which it comes.
                Ok(runs
                    .into_iter()
                    .map(|run| FlowRun {
                        work_queue_id: Some(*id),
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
        let reporter = Reporter::new(self.client.clone(), Patience::minutes(1));
        if let Some(run) = reporter.read(id).await {
            reporter
                .hand_back(
                    &run,
                    &format!("The {} that had claimed the run stops.", self.host.role),
                )
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
        let Some(id) = run.deployment_id else {
            return Err(format!(
                "The run belongs to no deployment, so this {} does not know what to start.",
                self.host.role
            ));
        };
        let read = || self.client.read_deployment(id);
        let deployment = persist("The run's deployment", read).await?;
        let has_code = deployment.raw["flow_data"].is_object();
        if let (true, Source::Queue(_) | Source::Given) = (has_code, &self.source) {
            return runners::launch(run, &deployment.raw, &self.host);
        }
        let job = self.job(run, &deployment).await?;
        let mut launch = if has_code {
            let mut launch = runners::launch(run, &deployment.raw, &self.host)?;
            runners::add_job(&mut launch, &job)?;
            launch
        } else {
            runners::launch_job(run, &job, &self.host)?
        };
        let set = &mut launch.invocation.set;
        let mut tell = |name: &str, value: String| set.insert(0, (name.into(), value.into()));
        tell("PREFECT__FLOW_ID", run.flow_id.to_string());
        tell("PREFECT__DEPLOYMENT_ID", id.to_string());
        tell("PREFECT__DEPLOYMENT_NAME", deployment.name.clone());
        if let Source::Pool { worker, .. } = &self.source {
            tell("PREFECT__WORKER_NAME", worker.clone());
        }
        Ok(launch)
    }

    /// Reads what the process of a run is given: by its pool, or by the infrastructure block of a 2.20 deployment.
    async fn job(&self, run: &FlowRun, deployment: &Document<Deployment>) -> Result<Job, String> {
        let none = serde_json::Map::new();
        let variables = Variables::of(
            deployment.raw["job_variables"].as_object().unwrap_or(&none),
            run.job_variables.as_ref().unwrap_or(&none),
        );
        let template = match &self.source {
            Source::Pool { name, .. } => {
                let read = || self.client.read_work_pool(name);
                let pool = persist(&format!("Work pool `{name}`"), read).await?;
                pool.base_job_template.clone()
            }
            Source::Queue(_) | Source::Given => self.infrastructure(deployment).await?,
        };
        let mut pause = Duration::from_millis(250);
        loop {
            match jobs::resolve(&self.client, &template, &variables).await {
                Ok(job) => return Ok(job),
                Err(jobs::Error::Wrong(reason)) => return Err(reason),
                Err(jobs::Error::Away(reason)) => {
                    warn!(flow_run.id = %run.id, "will try again to make the job of flow run `{}`: {reason}", run.name);
                    sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(10));
                }
            }
        }
    }

    /// Returns a template of the infrastructure block that a deployment of a 2.20 agent names.
    async fn infrastructure(
        &self,
        deployment: &Document<Deployment>,
    ) -> Result<serde_json::Value, String> {
        let Some(id) = deployment.raw["infrastructure_document_id"].as_str() else {
            return Ok(json!({}));
        };
        let path = format!("/block_documents/{id}?include_secrets=true");
        let read = || self.client.get::<serde_json::Value>(&path);
        let block = persist("The deployment's infrastructure block", read).await?;
        match block["block_type"]["slug"].as_str() {
            Some("process") | None => Ok(jobs::template_of_block(&block["data"])),
            Some(other) => Err(format!(
                "This {} starts processes, and the deployment's infrastructure is a block of the type `{other}`. Deploy the flow again with a `process` block, or start {} that has `{other}`.",
                self.host.role,
                self.host.role.one()
            )),
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
        let was_crashed = kind == "CRASHED";
        let Some((kind, name, message)) = states::of_engine(
            &ended,
            kind,
            tail.back().map(String::as_str),
            self.host.role,
        ) else {
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
            let message = format!(
                "The {} that would have tried the run again stops.",
                self.host.role
            );
            reporter.hand_back(&current, &message).await;
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
                states::of_executable(&ended, last_error, timeout.as_secs_f64(), self.host.role)
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
        let folder = match launch.has_own_folder {
            true => Some(OwnFolder::make(run.id).map_err(|error| {
                format!("A folder for the flow's process could not be made: {error}.")
            })?),
            false => None,
        };
        let mut invocation = launch.invocation.clone();
        if let Some(folder) = &folder {
            invocation.directory = Some(folder.0.clone());
        }
        let control = match invocation.hears_why {
            true => control(&mut invocation).await,
            false => None,
        };
        let group = Group::start(&invocation).map_err(|error| {
            let reason = process::why_not_started(&invocation.program, &error);
            format!("The flow's process `{program}` could not be started: {reason}.")
        })?;
        let process_id = group.id();
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
        let note = self.note_infrastructure(run.id, launch.engine, process_id);
        let wait = group.wait(lines, halts, control.as_ref());
        let (ended, tail, ()) = tokio::join!(wait, forward, note);
        let ended = ended.map_err(|error| {
            format!("The flow's process `{program}` could not be waited for: {error}.")
        })?;
        Ok((ended, tail))
    }

    /// Tells where a run is, so that those who cancel it know that there is something to stop.
    async fn note_infrastructure(&self, run: Uuid, engine: Engine, process_id: i32) {
        let labels = match &self.source {
            Source::Pool { name, worker, .. } => Some(json!({
                "prefect.worker.name": worker,
                "prefect.worker.type": PROCESS_TYPE,
                "prefect.work-pool.name": name,
            })),
            // What ends by this agent alone is not worth a request.
            _ if engine == Engine::Agent => return,
            Source::Queue(_) | Source::Given => None,
        };
        let host = nix::unistd::gethostname().unwrap_or_default();
        let pid = format!("{}:{process_id}", host.to_string_lossy());
        // A server of the first generation knows neither.
        let path = format!("/flow_runs/{run}");
        let told = self
            .client
            .patch(&path, &json!({"infrastructure_pid": pid}))
            .await;
        if let Err(error) = told {
            debug!(flow_run.id = %run, "the process of flow run `{run}` was not noted: {error}");
        }
        if let Some(labels) = labels
            && let Err(error) = self.client.patch(&format!("{path}/labels"), &labels).await
        {
            debug!(flow_run.id = %run, "the labels of flow run `{run}` were not noted: {error}");
        }
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
            Stream::Err if self.is_foreground || launch.streams_output => eprintln!("{line}"),
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
            (Stream::Out, Engine::Process) if !launch.logs_output => return,
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
                name: self.host.role.logger(),
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

/// Asks until the server answers; its refusal is a sentence.
async fn persist<T, F>(what: &str, mut ask: impl FnMut() -> F) -> Result<T, String>
where
    F: Future<Output = client::Result<T>>,
{
    let mut pause = Duration::from_millis(250);
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error)
                if error
                    .status()
                    .is_some_and(|status| status.is_client_error()) =>
            {
                return Err(format!("{what} could not be read: {error}"));
            }
            Err(error) => {
                warn!("will try again; {what} could not be read: {error}");
                sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(10));
            }
        }
    }
}

/// Opens the way to tell an engine why it is ended; without one it is ended all the same.
async fn control(invocation: &mut process::Invocation) -> Option<Control> {
    let opened = async {
        let control = Control::open().await?;
        let variables = control.variables()?;
        std::io::Result::Ok((control, variables))
    };
    match opened.await {
        Ok((control, variables)) => {
            invocation.set.extend(variables);
            Some(control)
        }
        Err(error) => {
            warn!("the flow's engine cannot be told why it is ended: {error}");
            None
        }
    }
}

/// A folder that a process starts in and that goes with it.
struct OwnFolder(PathBuf);

impl OwnFolder {
    fn make(run: Uuid) -> std::io::Result<Self> {
        let mut builder = std::fs::DirBuilder::new();
        builder.mode(0o700);
        // A run that is started again may have left one of its name behind.
        let name = format!("prefect-{run}-{}", Uuid::new_v4().simple());
        let folder = std::env::temp_dir().join(name);
        builder.create(&folder)?;
        Ok(OwnFolder(folder))
    }
}

impl Drop for OwnFolder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            warn!("the folder `{}` was not removed: {error}", self.0.display());
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

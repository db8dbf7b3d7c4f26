//! Flow runs on their way: begun, attempted, and ended, each with the server's consent.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::{interval, sleep};
use tracing::{error, info, warn};
use uuid::Uuid;

use super::attempt::{self, Ended};
use super::flow_runs::{FlowRun, Made, policy, update};
use super::proposals::{Answer, is_cancelling, propose};
use super::{Engine, on_runtime, runtime, signals};
use crate::client::Client;
use crate::sdk::context::{Cancellation, Context, Reason};
use crate::sdk::flow::FlowDefinition;
use crate::sdk::options::{FlowOptions, On, Run};
use crate::sdk::outcome::{Completion, Outcome, RunError, State, StateType, recorded};
use crate::sdk::value::{self, Inputs, Shared};

/// How often the server is asked whether a run was cancelled.
const WATCH: Duration = Duration::from_secs(5);

/// A flow run that is being carried out.
pub(super) struct Execution {
    flow_run: Arc<FlowRun>,
    definition: &'static FlowDefinition,
    options: Arc<FlowOptions>,
    /// Whether the server knows how the run ended.
    is_over: bool,
    _signals: signals::Told,
    watch: AbortHandle,
}

impl Execution {
    pub(super) fn new(
        engine: Arc<Engine>,
        definition: &'static FlowDefinition,
        options: Arc<FlowOptions>,
        made: Made,
        parent: Option<&Context>,
    ) -> Self {
        let cancellation = Cancellation::new();
        let parent = parent.map(|parent| parent.flow_run.cancellation.clone());
        // An inner run ends with the outer one, which is missed for both.
        let beats = parent.is_none() && engine.takes_events;
        let watching = watch(engine.client.clone(), made.id, cancellation.clone(), parent);
        let (client, id, name) = (engine.client.clone(), made.id, made.name.clone());
        let watching = async move {
            match beats {
                true => tokio::select! {
                    () = watching => {}
                    () = client.send_heartbeats(id, &name, "engine") => {}
                },
                false => watching.await,
            }
        };
        let name = definition.name();
        let flow_run = Arc::new(FlowRun::new(engine, made, name, cancellation.clone()));
        Self {
            _signals: signals::tell(&cancellation, Some(flow_run.clone())),
            flow_run,
            definition,
            options,
            is_over: false,
            watch: runtime().spawn(watching).abort_handle(),
        }
    }

    fn context(&self) -> Context {
        Context {
            flow_run: self.flow_run.clone(),
            task_run: None,
            depth: 0,
        }
    }

    pub(super) async fn execute(mut self, inputs: Inputs) -> Result<(Shared, State), RunError> {
        let outcome = self.context().scope(self.attempts(inputs)).await;
        self.flow_run.engine.flush().await;
        outcome
    }

    async fn attempts(&mut self, inputs: Inputs) -> Result<(Shared, State), RunError> {
        let FlowRun {
            name, flow_name, ..
        } = &*self.flow_run;
        info!(target: "prefect.flow_runs", "Flow run `{name}` of flow `{flow_name}` begins");
        loop {
            self.begin().await?;
            self.hook(On::Running, &State::new(StateType::Running));
            let outcome = self.attempt(inputs.clone()).await;
            // What was submitted is not waited for longer than the flow may take.
            let is_last = self.flow_run.run_count() > self.options.common.retries;
            if is_last && matches!(&outcome, Outcome::Ended(state, _) if state.name == "TimedOut") {
                self.flow_run.cancellation.cancel(Reason::TimedOut);
            }
            // What was submitted is part of the run, awaited or not.
            self.flow_run.open.wait().await;
            self.flow_run.engine.recorder.flush().await;
            if let Some(end) = self.end(outcome).await {
                return end;
            }
        }
    }

    /// Makes the run RUNNING, as soon as the server allows.
    async fn begin(&mut self) -> Result<(), RunError> {
        let state = json!({"type": "RUNNING", "name": "Running"});
        loop {
            match self.propose(state.clone()).await {
                Answer::Accepted => {
                    self.flow_run.run_count.fetch_add(1, Ordering::Relaxed);
                    return Ok(());
                }
                Answer::Wait(wait) => self.pause(wait).await?,
                Answer::Later(at) => {
                    let wait = (at - self.flow_run.engine.now())
                        .to_std()
                        .unwrap_or_default();
                    self.pause(wait).await?;
                }
                Answer::Refused(state, reason) => {
                    self.is_over = true;
                    warn!(target: "prefect.flow_runs", "Flow run `{}` does not start: {reason}", self.flow_run.name);
                    return Err(RunError::new(self.label(), state, Some(reason.into())));
                }
            }
        }
    }

    async fn pause(&mut self, wait: Duration) -> Result<(), RunError> {
        let cancellation = self.flow_run.cancellation.clone();
        tokio::select! {
            () = sleep(wait) => Ok(()),
            () = cancellation.wait() => {
                let state = self.cancelled_state().await;
                let state = self.tell_end(&state, None).await.err().unwrap_or(state);
                Err(RunError::new(self.label(), state, None))
            }
        }
    }

    async fn attempt(&self, inputs: Inputs) -> Outcome {
        let run = self.definition.run;
        let limit = self.options.common.timeout;
        let cancellation = &self.flow_run.cancellation;
        let ended = attempt::run(|| run(inputs), self.context(), limit, cancellation, "flow").await;
        let is_cancelled = cancellation.reason() == Some(Reason::Cancelled);
        let is_asked = cancellation.reason().is_some();
        match ended {
            // What was cancelled within the run is no reason of its own; the function's own words are.
            Ended::Outcome(Outcome::Ended(state, Some(_))) if is_asked && state.is_cancelled() => {
                Outcome::Ended(self.cancelled_state().await, None)
            }
            Ended::Outcome(outcome) if !is_cancelled => outcome,
            Ended::Outcome(_) | Ended::Dropped => {
                Outcome::Ended(self.cancelled_state().await, None)
            }
        }
    }

    /// Returns the state of a run that was asked to end.
    async fn cancelled_state(&self) -> State {
        let cancelled = State::new(StateType::Cancelled);
        match self.flow_run.cancellation.reason() {
            Some(Reason::Interrupted) => {
                cancelled.with_message("The run was interrupted with Ctrl-C.")
            }
            Some(Reason::Terminated) if !self.is_cancelled_on_server().await => {
                State::new(StateType::Crashed)
                    .with_message("The process of the run was asked to end by SIGTERM or SIGHUP.")
            }
            Some(Reason::Terminated | Reason::Cancelled | Reason::TimedOut) | None => {
                cancelled.with_message("The run was cancelled.")
            }
        }
    }

    async fn is_cancelled_on_server(&self) -> bool {
        let (client, id) = (self.flow_run.engine.client.clone(), self.flow_run.id);
        let run = on_runtime(async move { client.read_flow_run(id).await }).await;
        run.is_ok_and(|run| run.state.as_ref().is_some_and(is_cancelling))
    }

    /// Tells the end; `None` means that the server wants another attempt, and its time has come.
    async fn end(&mut self, outcome: Outcome) -> Option<Result<(Shared, State), RunError>> {
        let (state, value, source) = match outcome {
            Outcome::Completed(Completion {
                value,
                name,
                message,
            }) => {
                let mut state = State::new(StateType::Completed);
                state.name = name.unwrap_or(state.name);
                state.message = message;
                (state, Some(value), None)
            }
            Outcome::Ended(state, source) => (state, None, source),
        };
        if state.is_failed() {
            self.tell_delay().await;
        }
        let at = match self.tell_end(&state, value.as_ref()).await {
            Ok(None) => {
                self.say_end(&state);
                return Some(match value {
                    Some(value) => Ok((value, state)),
                    None => Err(RunError::new(self.label(), state, source)),
                });
            }
            Ok(Some(at)) => at,
            // The server knows better how the run ended.
            Err(held) => {
                self.say_end(&held);
                return Some(Err(RunError::new(self.label(), held, source)));
            }
        };
        let wait = (at - self.flow_run.engine.now())
            .to_std()
            .unwrap_or_default();
        warn!(target: "prefect.flow_runs", "Flow run `{}` failed ({state}); it starts again in {} seconds", self.flow_run.name, (wait.as_secs_f64() * 10.0).round() / 10.0);
        self.pause(wait).await.err().map(Err)
    }

    /// Tells the server, which knows one delay, the one before the next attempt where each has its own.
    async fn tell_delay(&self) {
        let common = &self.options.common;
        let retry = self.flow_run.run_count();
        let Some(delay) = common.retry_delay.as_ref().filter(|delay| delay.varies()) else {
            return;
        };
        // The first one was told when the run was made.
        if retry < 2 || retry > common.retries {
            return;
        }
        let (client, id) = (self.flow_run.engine.client.clone(), self.flow_run.id);
        let policy = policy(common, delay.before(retry, 0.0, 0.0));
        let change = json!({"empirical_policy": policy});
        let told = on_runtime(async move { update(&client, id, &change).await }).await;
        if let Err(error) = told {
            warn!(target: "prefect.flow_runs", "The delay before the next attempt stays as it was: {error}");
        }
    }

    /// Proposes the end; a time means another attempt at that time, an error that another state holds.
    async fn tell_end(
        &mut self,
        state: &State,
        value: Option<&Shared>,
    ) -> Result<Option<DateTime<Utc>>, State> {
        let data = match (value, self.options.common.persist_result) {
            (Some(value), Some(true)) => self.keep(value),
            _ => None,
        };
        let proposal = json!({
            "type": state.state_type.as_str(), "name": state.name,
            "message": state.message.as_deref().map(recorded), "data": data,
        });
        loop {
            match self.propose(proposal.clone()).await {
                Answer::Accepted => {
                    self.is_over = true;
                    return Ok(None);
                }
                Answer::Wait(wait) => sleep(wait).await,
                Answer::Later(at) => return Ok(Some(at)),
                Answer::Refused(held, reason) => {
                    self.is_over = true;
                    warn!(target: "prefect.flow_runs", "Flow run `{}` ended as {state}, but the server says {held}: {reason}", self.flow_run.name);
                    return Err(held);
                }
            }
        }
    }

    fn keep(&self, value: &Shared) -> Option<Value> {
        let key = format!("flow-run-{}", self.flow_run.id);
        let results = &self.flow_run.engine.results;
        let written = attempt::caught("the result", || value::to_json(value))
            .map_err(|state| state.message.unwrap_or_default())
            .and_then(|json| json.map_err(|error| error.to_string()));
        let kept = written.and_then(|json| {
            let kept = results.keep(&key, &json, None);
            kept.map_err(|error| error.to_string())
        });
        match kept {
            Ok(()) => Some(results.document(&key, None)),
            Err(reason) => {
                warn!(target: "prefect.flow_runs", "The result of flow run `{}` could not be kept: {reason}", self.flow_run.name);
                None
            }
        }
    }

    fn say_end(&self, state: &State) {
        let on = self.log_end(state);
        self.hook(on, state);
    }

    /// Says how the run ended, and returns which hooks that calls.
    fn log_end(&self, state: &State) -> On {
        let name = &self.flow_run.name;
        match state.state_type {
            StateType::Completed => {
                info!(target: "prefect.flow_runs", "Flow run `{name}`: finished in state {state}");
                On::Completion
            }
            StateType::Cancelled => {
                warn!(target: "prefect.flow_runs", "Flow run `{name}`: finished in state {state}");
                On::Cancellation
            }
            _ => {
                error!(target: "prefect.flow_runs", "Flow run `{name}`: finished in state {state}");
                On::Failure
            }
        }
    }

    /// Fails a run whose parameters are not those of the flow.
    pub(super) async fn refuse(mut self, reason: &str) -> State {
        let state = State::new(StateType::Failed).with_message(reason);
        let context = self.context();
        context
            .scope(async {
                error!(target: "prefect.flow_runs", "{reason}");
                // A retry would find the same parameters, so the rules for retries are not asked.
                let force = json!({"type": "FAILED", "name": "Failed", "message": reason});
                propose(&self.flow_run.engine, self.flow_run.id, force, true).await;
                self.is_over = true;
                state
            })
            .await
    }

    fn hook(&self, on: On, state: &State) {
        if self.options.common.hooks.is_empty() {
            return;
        }
        self.options.common.call(on, &self.as_run(), state);
    }

    /// Returns the run as hooks see it.
    fn as_run(&self) -> Run {
        Run {
            id: self.flow_run.id,
            name: self.flow_run.name.clone(),
            of: self.flow_run.flow_name.clone(),
            run_count: self.flow_run.run_count(),
        }
    }

    fn label(&self) -> String {
        format!("flow run `{}`", self.flow_run.name)
    }

    async fn propose(&self, state: Value) -> Answer {
        propose(&self.flow_run.engine, self.flow_run.id, state, false).await
    }
}

impl Drop for Execution {
    /// A call that is dropped on its way does not stay RUNNING for ever.
    fn drop(&mut self) {
        self.watch.abort();
        if self.is_over {
            return;
        }
        let flow_run = self.flow_run.clone();
        // What was submitted has nobody left who waits for it.
        flow_run.cancellation.cancel(Reason::Cancelled);
        let state = State::new(StateType::Cancelled).with_message(DROPPED);
        let context = self.context();
        let on = context.clone().sync_scope(|| self.log_end(&state));
        let (options, run) = (self.options.clone(), self.as_run());
        let (told, is_told) = std::sync::mpsc::channel::<()>();
        runtime().spawn(async move {
            flow_run.give_up(StateType::Cancelled, DROPPED).await;
            if !options.common.hooks.is_empty() {
                // Hooks may block, and the thread of this runtime has others to serve.
                let hooks = move || {
                    context.sync_scope(|| options.common.call(on, &run, &state));
                };
                let _ = tokio::task::spawn_blocking(hooks).await;
                flow_run.engine.logs.flush().await;
            }
            drop(told);
        });
        // The program may end with this, as when a `timeout` around the call was the last thing in its `main`. The engine's own
        // thread has to go on, since it is the one that tells.
        let own = runtime().handle().id();
        if !Handle::try_current().is_ok_and(|current| current.id() == own) {
            let _ = is_told.recv_timeout(FAREWELL);
        }
    }
}

/// What is said of a run whose call was dropped.
pub(super) const DROPPED: &str = "The call was dropped before it ended.";

/// How long the end of a run that is given up may take to be told, before the program goes on without.
pub(super) const FAREWELL: Duration = Duration::from_secs(5);

impl FlowRun {
    /// Tells that the run ends here and now, and what was running in it.
    pub(super) async fn give_up(&self, end: StateType, message: &str) {
        self.engine.recorder.flush().await;
        let (kind, name) = (end.as_str(), end.default_name());
        let state = json!({"type": kind, "name": name, "message": message});
        propose(&self.engine, self.id, state.clone(), false).await;
        self.engine.client.end_open_task_runs(self.id, &state).await;
        self.engine.logs.flush().await;
    }
}

/// Watches for the end of a run that comes from outside: its parent's, or somebody's wish on the server.
async fn watch(client: Client, id: Uuid, own: Cancellation, parent: Option<Cancellation>) {
    let ask = async {
        let mut times = interval(WATCH);
        times.tick().await;
        loop {
            times.tick().await;
            let run = client.read_flow_run(id).await;
            if run.is_ok_and(|run| run.state.as_ref().is_some_and(is_cancelling)) {
                return Reason::Cancelled;
            }
        }
    };
    let reason = match parent {
        Some(parent) => tokio::select! {
            reason = ask => reason,
            () = parent.wait() => parent.reason().unwrap_or(Reason::Cancelled),
        },
        None => ask.await,
    };
    own.cancel(reason);
}

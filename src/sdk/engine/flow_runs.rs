//! Flow runs: made by a call, or taken over from an agent, and carried to the state they end in.
//!
//! States of flow runs are proposed to the server, which has the last word: it may ask to wait, to retry, or to end.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use tokio::task::AbortHandle;
use tokio::time::{interval, sleep};
use tracing::{error, info, warn};
use uuid::Uuid;

use super::attempt::{self, Ended};
use super::recorder::{creation, related};
use super::signals;
use super::task_runs::{json_of, stand_in};
use super::{Engine, on_runtime, runtime};
use crate::client::{Client, OrchestrationResult};
use crate::sdk::context::{Cancellation, Context, FlowRunInfo, Open, OpenGuard, Reason, apart};
use crate::sdk::flow::{FlowCallInner, FlowDefinition};
use crate::sdk::options::{self, Common, FlowOptions, On, Run};
use crate::sdk::outcome::{Completion, Outcome, RunError, State, StateType, recorded};
use crate::sdk::task::submit;
use crate::sdk::value::{self, Inputs, Shared, Source};

/// How often the server is asked whether a run was cancelled.
const WATCH: Duration = Duration::from_secs(5);
/// A flow with more results than this has the later ones unnamed.
const MAX_PRODUCED: usize = 200_000;

/// A flow run of this process.
pub(crate) struct FlowRun {
    pub(crate) engine: Arc<Engine>,
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) flow_name: String,
    deployment_id: Option<Uuid>,
    tags: Vec<String>,
    run_count: AtomicU32,
    pub(crate) cancellation: Cancellation,
    /// The related resources of events about its task runs, and the same as JSON.
    pub(crate) related: Vec<Value>,
    pub(crate) related_json: Arc<RawValue>,
    /// How many runs each task has.
    numbers: Mutex<HashMap<&'static str, u32>>,
    /// The latest task run that gave a value, by the value's mark.
    produced: Mutex<HashMap<u64, Uuid>>,
    open: Arc<Open>,
}

impl FlowRun {
    pub(crate) fn info(&self) -> FlowRunInfo {
        FlowRunInfo {
            id: self.id,
            name: self.name.clone(),
            flow_name: self.flow_name.clone(),
            deployment_id: self.deployment_id,
            tags: self.tags.clone(),
            run_count: self.run_count(),
        }
    }

    pub(crate) fn run_count(&self) -> u32 {
        self.run_count.load(Ordering::Relaxed)
    }

    /// Returns the number of the next run of a task.
    pub(crate) fn number(&self, key: &'static str) -> u32 {
        let mut numbers = self.numbers.lock().expect("nobody panics while counting");
        let number = numbers.entry(key).or_default();
        *number += 1;
        *number - 1
    }

    /// Notes that a value is the result of a task run.
    pub(crate) fn remember(&self, value: &Shared, task_run: Uuid) {
        if let Some(mark) = value::fingerprint(value).whole {
            let mut produced = self.produced.lock().expect("nobody panics while noting");
            if produced.len() < MAX_PRODUCED {
                produced.insert(mark, task_run);
            }
        }
    }

    /// Returns whose results a value is, or is a list of.
    pub(crate) fn producers(&self, value: &Shared) -> Vec<Uuid> {
        if self
            .produced
            .lock()
            .expect("nobody panics while noting")
            .is_empty()
        {
            return Vec::new();
        }
        let marks = value::fingerprint(value);
        let produced = self.produced.lock().expect("nobody panics while noting");
        if let Some(whole) = marks.whole.and_then(|mark| produced.get(&mark)) {
            return vec![*whole];
        }
        let mut ids: Vec<Uuid> = Vec::new();
        for id in marks.elements.iter().filter_map(|mark| produced.get(mark)) {
            if !ids.contains(id) {
                ids.push(*id);
            }
        }
        ids
    }

    /// Counts something that the flow run does not end before.
    pub(crate) fn open(&self) -> OpenGuard {
        self.open.enter()
    }
}

/// What a flow run is made of.
struct Made {
    id: Uuid,
    name: String,
    flow_id: Uuid,
    deployment_id: Option<Uuid>,
    tags: Vec<String>,
}

/// Runs a call to its end.
pub(crate) fn run(call: FlowCallInner) -> BoxFuture<'static, Result<(Shared, State), RunError>> {
    Box::pin(async move {
        let parent = Context::current();
        let label = format!("flow `{}`", call.definition.name());
        let engine = match &parent {
            Some(parent) => parent.flow_run.engine.clone(),
            None => Engine::global()
                .await
                .map_err(|reason| RunError::not_run(&label, reason))?,
        };
        match parent {
            Some(parent) => apart(parent.clone(), start(engine, Some(parent), call)).await,
            None => start(engine, None, call).await,
        }
    })
}

/// Runs a call with an engine of the caller's choice.
pub(crate) async fn start(
    engine: Arc<Engine>,
    parent: Option<Context>,
    mut call: FlowCallInner,
) -> Result<(Shared, State), RunError> {
    let label = format!("flow `{}`", call.definition.name());
    for input in &mut call.inputs {
        if matches!(input.0, Source::Call(_))
            && let Source::Call(inner) =
                std::mem::replace(&mut input.0, Source::Futures(Vec::new(), none))
        {
            input.0 = Source::Future(submit(*inner));
        }
    }
    let links = parent.as_ref().map(|parent| {
        let names = call.definition.parameter_names();
        let key = call.definition.key();
        stand_in(
            parent,
            key,
            call.definition.name(),
            names,
            &call.inputs,
            &call.wait_for,
        )
    });
    let inputs = resolve(&call).await?;
    let names = call.definition.parameter_names();
    let (parameters, unwritable) = json_of(names, &inputs.0);
    if let Some(reason) = unwritable {
        warn!(target: "prefect.flow_runs", "A parameter of {label} is recorded as null: {reason}");
    }
    let common = &call.options.common;
    let name = call.run_name.clone().or_else(|| {
        let template = common.run_name.as_deref()?;
        Some(options::fill(template, &parameters))
    });
    let request = json!({
        "name": name,
        "parameters": parameters,
        "tags": common.tags,
        "flow_version": common.version,
        "parent_task_run_id": links.as_ref().map(|links| links.id),
        "empirical_policy": policy(common, first_delay(common)),
        "state": {"type": "PENDING"},
    });
    let stand_in = links.as_ref().map(creation);
    let client = engine.client.clone();
    let flow_name = common.name.clone();
    let made = on_runtime(async move { create(&client, &flow_name, stand_in, request).await })
        .await
        .map_err(|error| RunError::not_run(&label, error.to_string()))?;
    let stand_in_id = links.map(|links| links.id);
    let run = Execution::new(engine, call.definition, call.options, made, parent.as_ref());
    let outcome = run.execute(inputs).await;
    if let (Some(parent), Some(id), Ok((value, _))) = (&parent, stand_in_id, &outcome) {
        parent.flow_run.remember(value, id);
    }
    outcome
}

fn none(_: Vec<Shared>) -> Shared {
    Arc::new(())
}

/// Carries out a flow run that an agent has claimed; returns the state it ended in.
pub(crate) async fn take_over(
    engine: Arc<Engine>,
    definition: &'static FlowDefinition,
    id: Uuid,
) -> Result<State, String> {
    let client = engine.client.clone();
    let run = on_runtime(async move { client.read_flow_run(id).await })
        .await
        .map_err(|error| format!("flow run `{id}` could not be read: {error}"))?;
    let mut made = Made {
        id,
        name: run.name.clone(),
        flow_id: run.flow_id,
        deployment_id: run.deployment_id,
        tags: run.tags.clone(),
    };
    let inputs = definition.parse(&run.parameters);
    let options = definition.options();
    if let Some(template) = &options.common.run_name {
        made.name = options::fill(template, &run.parameters);
    }
    describe(&engine, options, &made).await?;
    let run = Execution::new(
        engine.clone(),
        definition,
        definition.options().clone(),
        made,
        None,
    );
    let ended = match inputs {
        Ok(inputs) => match run.execute(inputs).await {
            Ok((_, state)) => state,
            Err(error) => error.state().clone(),
        },
        Err(reason) => run.refuse(&reason).await,
    };
    engine.flush().await;
    Ok(ended)
}

/// Tells the server what only the program knows of a run that was made from outside: its retries, its version, its name.
async fn describe(engine: &Engine, options: &FlowOptions, made: &Made) -> Result<(), String> {
    let common = &options.common;
    let mut changes = Map::new();
    if common.retries > 0 {
        changes.insert(
            "empirical_policy".into(),
            policy(common, first_delay(common)),
        );
    }
    if let Some(version) = &common.version {
        changes.insert("flow_version".into(), json!(version));
    }
    if common.run_name.is_some() {
        changes.insert("name".into(), json!(made.name));
    }
    if changes.is_empty() {
        return Ok(());
    }
    let (client, id) = (engine.client.clone(), made.id);
    let update = async move { client.update_flow_run(id, &Value::Object(changes)).await };
    on_runtime(update)
        .await
        .map_err(|error| format!("flow run `{id}` could not be described: {error}"))
}

fn policy(common: &Common, delay: Duration) -> Value {
    json!({"retries": common.retries, "retry_delay": delay.as_secs_f64()})
}

fn first_delay(common: &Common) -> Duration {
    let delay = common.retry_delay.as_ref();
    delay.map_or(Duration::ZERO, |delay| delay.before(1, 0.0, 0.0))
}

async fn resolve(call: &FlowCallInner) -> Result<Inputs, RunError> {
    for handle in &call.wait_for {
        handle.result().await?;
    }
    let mut inputs = Inputs(Default::default());
    for input in &call.inputs {
        inputs.0.push_back(match &input.0 {
            Source::Value(value) => value.clone(),
            Source::Future(handle) => handle.result().await?,
            Source::Futures(handles, gather) => {
                let mut results = Vec::with_capacity(handles.len());
                for handle in handles {
                    results.push(handle.result().await?);
                }
                gather(results)
            }
            Source::Call(_) => unreachable!("calls have been submitted"),
        });
    }
    Ok(inputs)
}

async fn create(
    client: &Client,
    flow_name: &str,
    stand_in: Option<Value>,
    mut request: Value,
) -> crate::client::Result<Made> {
    let flow = client.create_flow(flow_name, &[]).await?;
    if let Some(stand_in) = stand_in {
        client.post_only("/task_runs/", &stand_in).await?;
    }
    request["flow_id"] = json!(flow.id);
    let run: crate::client::Document<crate::client::FlowRun> =
        client.post("/flow_runs/", &request).await?;
    Ok(Made {
        id: run.id,
        name: run.name.clone(),
        flow_id: flow.id,
        deployment_id: run.deployment_id,
        tags: run.tags.clone(),
    })
}

/// What the server made of a proposal.
enum Answer {
    Accepted,
    Wait(Duration),
    /// The run is to start again at this time.
    Later(DateTime<Utc>),
    /// Another state holds.
    Refused(State, String),
}

struct Execution {
    flow_run: Arc<FlowRun>,
    definition: &'static FlowDefinition,
    options: Arc<FlowOptions>,
    /// Whether the server knows how the run ended.
    is_over: bool,
    _signals: signals::Told,
    watch: AbortHandle,
}

impl Execution {
    fn new(
        engine: Arc<Engine>,
        definition: &'static FlowDefinition,
        options: Arc<FlowOptions>,
        made: Made,
        parent: Option<&Context>,
    ) -> Self {
        let resources = resources(&made, definition.name());
        let cancellation = Cancellation::new();
        let parent = parent.map(|parent| parent.flow_run.cancellation.clone());
        // An inner run ends with the outer one, which is missed for both.
        let beats = parent.is_none() && engine.takes_events;
        let watching = watch(engine.client.clone(), made.id, cancellation.clone(), parent);
        let (client, id) = (engine.client.clone(), made.id);
        let watching = async move {
            match beats {
                true => tokio::select! {
                    () = watching => {}
                    () = client.send_heartbeats(id, "engine") => {}
                },
                false => watching.await,
            }
        };
        let flow_run = Arc::new(FlowRun {
            engine,
            id: made.id,
            name: made.name,
            flow_name: definition.name().to_owned(),
            deployment_id: made.deployment_id,
            tags: made.tags,
            run_count: AtomicU32::new(0),
            cancellation: cancellation.clone(),
            related_json: related(&resources, &[]),
            related: resources,
            numbers: Mutex::default(),
            produced: Mutex::default(),
            open: Arc::default(),
        });
        Self {
            flow_run,
            definition,
            options,
            is_over: false,
            _signals: signals::tell(&cancellation),
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

    async fn execute(mut self, inputs: Inputs) -> Result<(Shared, State), RunError> {
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
                    .with_message("The process of the run was asked to end (SIGTERM).")
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
        warn!(target: "prefect.flow_runs", "Flow run `{}` failed ({state}); it starts again in {} seconds", self.flow_run.name, wait.as_secs());
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
        let told = on_runtime(async move { client.update_flow_run(id, &change).await }).await;
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
        let json = value::to_json(value).ok()?;
        match results.keep(&key, &json, None) {
            Ok(()) => Some(results.document(&key, None)),
            Err(error) => {
                warn!(target: "prefect.flow_runs", "The result of flow run `{}` could not be kept: {error}", self.flow_run.name);
                None
            }
        }
    }

    fn say_end(&self, state: &State) {
        let name = &self.flow_run.name;
        let on = match state.state_type {
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
        };
        self.hook(on, state);
    }

    /// Fails a run whose parameters are not those of the flow.
    async fn refuse(mut self, reason: &str) -> State {
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
        let run = Run {
            id: self.flow_run.id,
            name: self.flow_run.name.clone(),
            of: self.flow_run.flow_name.clone(),
            run_count: self.flow_run.run_count(),
        };
        self.options.common.call(on, &run, state);
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
        let (engine, id) = (self.flow_run.engine.clone(), self.flow_run.id);
        let message = "The call was dropped before it ended.";
        let state = json!({"type": "CANCELLED", "name": "Cancelled", "message": message});
        runtime().spawn(async move { drop(propose(&engine, id, state, false).await) });
    }
}

/// Proposes a state until the server has answered, however long it is away.
async fn propose(engine: &Engine, id: Uuid, mut state: Value, force: bool) -> Answer {
    let transition = Uuid::now_v7();
    state["state_details"] = json!({"transition_id": transition});
    let client = engine.client.clone();
    let kind = state["type"].as_str().unwrap_or_default().to_owned();
    on_runtime(async move {
        let mut pause = Duration::from_millis(250);
        loop {
            match client.set_flow_run_state(id, &state, force).await {
                Ok(answer) => return read(answer, &kind),
                Err(error)
                    if error
                        .status()
                        .is_some_and(|status| status.is_client_error()) =>
                {
                    let held = State::new(StateType::Crashed).with_message(error.to_string());
                    return Answer::Refused(held, error.to_string());
                }
                Err(error) => {
                    warn!(target: "prefect", "a state is kept until the API is back: {error}");
                    sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(5));
                }
            }
        }
    })
    .await
}

fn read(answer: OrchestrationResult, proposed: &str) -> Answer {
    let reason = answer.details["reason"]
        .as_str()
        .unwrap_or("no reason given")
        .to_owned();
    match (answer.status.as_str(), answer.state) {
        ("WAIT", _) => {
            let seconds = answer.details["delay_seconds"].as_f64().unwrap_or(1.0);
            Answer::Wait(Duration::from_secs_f64(seconds.clamp(0.05, 3600.0)))
        }
        ("ACCEPT" | "REJECT", Some(state)) if state.r#type == proposed => Answer::Accepted,
        ("ACCEPT" | "REJECT", Some(state)) if state.r#type == "SCHEDULED" => {
            Answer::Later(state.state_details.scheduled_time.unwrap_or_default())
        }
        (_, Some(state)) => Answer::Refused(as_state(&state), reason),
        (_, None) => Answer::Refused(State::new(StateType::Cancelled), reason),
    }
}

fn as_state(state: &crate::client::State) -> State {
    let state_type = match state.r#type.as_str() {
        "SCHEDULED" => StateType::Scheduled,
        "PENDING" => StateType::Pending,
        "RUNNING" => StateType::Running,
        "COMPLETED" => StateType::Completed,
        "FAILED" => StateType::Failed,
        "CANCELLED" => StateType::Cancelled,
        "CANCELLING" => StateType::Cancelling,
        "PAUSED" => StateType::Paused,
        _ => StateType::Crashed,
    };
    let mut read = State::new(state_type);
    read.name = state.name.clone().unwrap_or(read.name);
    read.message = state.message.clone();
    read
}

fn is_cancelling(state: &crate::client::State) -> bool {
    matches!(state.r#type.as_str(), "CANCELLING" | "CANCELLED")
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

/// Returns the related resources of events about the run's task runs.
fn resources(made: &Made, flow_name: &str) -> Vec<Value> {
    let resource = |kind: &str, id: Uuid, name: &str| {
        json!({
            "prefect.resource.id": format!("prefect.{kind}.{id}"),
            "prefect.resource.role": kind,
            "prefect.resource.name": name,
        })
    };
    let mut all = vec![
        resource("flow-run", made.id, &made.name),
        resource("flow", made.flow_id, flow_name),
    ];
    if let Some(id) = made.deployment_id {
        all.push(json!({
            "prefect.resource.id": format!("prefect.deployment.{id}"),
            "prefect.resource.role": "deployment",
        }));
    }
    all
}

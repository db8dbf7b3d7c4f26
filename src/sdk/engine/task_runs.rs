//! Task runs: from a call to the state it ends in.
//!
//! What decides is here and nowhere else: dependencies first, then the cache, then limits, then attempts. The server is told
//! each transition and is asked only for slots of limits.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};
use tokio::time::sleep;
use tracing::{error, info, warn};
use uuid::Uuid;

use super::attempt::{self, Ended};
use super::flow_runs::FlowRun;
use super::limits::{Granted, Slots};
use super::patience::patiently;
use super::recorder::{Policy, Recorder, StateRecord, TaskRecord, related, state_json};
use super::{Engine, on_runtime};
use crate::client::OrchestrationResult;
use crate::sdk::context::{Context, TaskRunInfo, apart};
use crate::sdk::futures::{Handle, submit};
use crate::sdk::options::{self, Arguments, On, RetryDelay, Run, TaskOptions};
use crate::sdk::outcome::{Completion, Outcome, RunError, State, StateType, recorded};
use crate::sdk::task::{Call, TaskDefinition};
use crate::sdk::value::{self, Input, Inputs, Shared, Source};

/// What is said of a task that is called where it cannot run.
pub(crate) const OUTSIDE: &str =
    "it was called outside of a flow; call it in a function with #[flow]";

/// Runs a call to its end.
pub(crate) fn run(call: Call) -> BoxFuture<'static, Result<(Shared, State), RunError>> {
    Box::pin(async move {
        let Some(context) = Context::current() else {
            let run = format!("task `{}`", call.definition.name());
            return Err(RunError::not_run(run, OUTSIDE));
        };
        let prepared = Prepared::of(call, &context.flow_run);
        match context.depth {
            0 => run_prepared(context, prepared, None).await,
            _ => apart(context.clone(), run_prepared(context, prepared, None)).await,
        }
    })
}

/// Runs what was prepared to its end.
pub(crate) async fn run_prepared(
    context: Context,
    prepared: Prepared,
    handle: Option<Arc<Handle>>,
) -> Result<(Shared, State), RunError> {
    context.flow_run.engine.recorder.room().await;
    TaskRun::create(context, prepared, handle).execute().await
}

/// A call with what is settled when it is made: its number, and whose results its arguments are.
///
/// Settled then, since no run that began later can have given a value that was there before.
pub(crate) struct Prepared {
    definition: &'static TaskDefinition,
    options: Arc<TaskOptions>,
    run_name: Option<String>,
    number: u32,
    arguments: Vec<Argument>,
    wait_for: Vec<Arc<Handle>>,
    inputs: Vec<(&'static str, Vec<Uuid>)>,
}

impl Prepared {
    pub(crate) fn of(call: Call, flow_run: &FlowRun) -> Self {
        let arguments = ready(call.inputs);
        let mut inputs = dependencies(flow_run, call.definition.arguments, &arguments);
        if !call.wait_for.is_empty() {
            inputs.push((
                "wait_for",
                call.wait_for.iter().map(|handle| handle.id).collect(),
            ));
        }
        Self {
            number: flow_run.number(call.definition.key()),
            definition: call.definition,
            options: call.options,
            run_name: call.run_name,
            arguments,
            wait_for: call.wait_for,
            inputs,
        }
    }
}

/// An argument that is known, or will be.
enum Argument {
    Value(Shared),
    /// A value of which is known whose result it is.
    Traced(Shared, Arc<[Uuid]>),
    Future(Arc<Handle>),
    Futures(Vec<Arc<Handle>>, fn(Vec<Shared>) -> Shared),
}

struct TaskRun {
    engine: Arc<Engine>,
    flow_run: Arc<FlowRun>,
    definition: &'static TaskDefinition,
    options: Arc<TaskOptions>,
    arguments: Vec<Argument>,
    wait_for: Vec<Arc<Handle>>,
    handle: Option<Arc<Handle>>,
    record: TaskRecord,
    /// What the run's own code sees of it; made again when that changes.
    info: OnceLock<Arc<TaskRunInfo>>,
    /// How many task runs it is in, with itself.
    depth: usize,
    /// Whether the server is told each state by itself, since it keeps this run's limits.
    is_told_directly: bool,
}

impl TaskRun {
    /// Makes the run and tells that it is pending.
    fn create(context: Context, prepared: Prepared, handle: Option<Arc<Handle>>) -> Self {
        let Prepared {
            definition,
            options,
            run_name,
            number,
            arguments,
            wait_for,
            mut inputs,
        } = prepared;
        let flow_run = context.flow_run;
        let engine = flow_run.engine.clone();
        if let Some(parent) = &context.task_run {
            inputs.push(("__parents__", vec![parent.id]));
        }
        let name = run_name.unwrap_or_else(|| format!("{}-{number}", options.common.name));
        let record = record(
            &flow_run,
            &options,
            definition.key(),
            number,
            name,
            inputs,
            handle.as_ref(),
        );
        engine.recorder.record(&record, None);
        Self {
            engine,
            flow_run,
            definition,
            options,
            arguments,
            wait_for,
            handle,
            record,
            info: OnceLock::new(),
            depth: context.depth + 1,
            is_told_directly: false,
        }
    }

    async fn execute(mut self) -> Result<(Shared, State), RunError> {
        let values = match self.resolve().await {
            Ok(values) => values,
            Err(upstream) => return Err(self.not_ready(&upstream)),
        };
        let key = self.look_at_arguments(&values);
        if let Some(key) = &key
            && !self.options.refresh_cache
            && let Some(hit) = self.cached(key)
        {
            return Ok(hit);
        }
        let mut values = Some(values);
        for attempt in 1.. {
            let slots = match self.begin().await {
                Ok(slots) => slots,
                Err(state) => return Err(self.end(state, None)),
            };
            self.hook(On::Running);
            // The last attempt takes the values, so that large ones need no copy.
            let may_repeat = attempt <= self.options.common.retries;
            let inputs = match may_repeat {
                true => values.clone(),
                false => values.take(),
            };
            let outcome = self.attempt(inputs.unwrap_or_default()).await;
            drop(slots);
            match outcome {
                Outcome::Completed(completion) => return Ok(self.complete(completion, key).await),
                Outcome::Ended(state, source) => {
                    let failure = self.failure(&state, source);
                    if !may_repeat || !self.should_retry(&failure) {
                        return Err(self.end(state, Some(failure)));
                    }
                    self.wait_for_retry(attempt, &state).await;
                }
            }
        }
        unreachable!("attempts are counted until one returns")
    }

    /// Waits for what the arguments come from.
    async fn resolve(&mut self) -> Result<VecDeque<Shared>, RunError> {
        for handle in &self.wait_for {
            handle.result().await?;
        }
        let mut values = VecDeque::with_capacity(self.arguments.len());
        for argument in std::mem::take(&mut self.arguments) {
            values.push_back(match argument {
                Argument::Value(value) | Argument::Traced(value, _) => value,
                Argument::Future(handle) => handle.result().await?,
                Argument::Futures(handles, gather) => {
                    let mut results = Vec::with_capacity(handles.len());
                    for handle in &handles {
                        results.push(handle.result().await?);
                    }
                    gather(results)
                }
            });
        }
        Ok(values)
    }

    fn not_ready(&mut self, upstream: &RunError) -> RunError {
        let state = State::new(StateType::Pending)
            .with_name("NotReady")
            .with_message(format!("What it depends on gave no result: {upstream}"));
        self.say(
            |name| warn!(target: "prefect.task_runs", "Task run `{name}` does not run: {upstream}"),
        );
        self.enter(&state, |_| {});
        RunError::new(self.label(), state, None)
    }

    /// Does what needs the arguments as JSON: the run's name, and the key of its result, if there is to be one.
    fn look_at_arguments(&mut self, values: &VecDeque<Shared>) -> Option<String> {
        let options = self.options.clone();
        let persists = options.common.persist_result == Some(true);
        if options.cache_key_fn.is_none() && !persists && options.common.run_name.is_none() {
            return None;
        }
        let names = self.definition.arguments;
        let not_finite = not_finite(names, values);
        let (values, unwritable) = json_of(names.iter().copied(), values);
        if let Some(template) = &options.common.run_name {
            self.record.name = options::fill(template, &values);
            self.record.is_renamed = true;
            self.info.take();
        }
        // Without it, calls with other arguments would have the same key.
        if let Some(reason) = unwritable.or(not_finite) {
            self.say(|name| warn!(target: "prefect.task_runs", "The result of task run `{name}` is neither looked for nor kept: {reason}"));
            return None;
        }
        let arguments = Arguments {
            task_key: self.record.task_key.to_owned(),
            flow_run_id: self.flow_run.id,
            values,
        };
        match &options.cache_key_fn {
            Some(key) => Some(key(&arguments)),
            // So a retry of the flow finds what its first attempt did.
            None => persists.then(|| options::input_hash_of_run(&arguments)),
        }
    }

    fn cached(&mut self, key: &str) -> Option<(Shared, State)> {
        let found = self.engine.results.find(key, self.engine.now())?;
        let value = (self.definition.decode)(&found.json).ok()?;
        let state = State::new(StateType::Completed).with_name("Cached");
        let data = self.engine.results.document(key, found.expiration);
        self.enter(&state, |record| {
            record.cache_key = Some(key.to_owned());
            record.cache_expiration = found.expiration;
            record.data = Some(data);
        });
        self.say(|name| info!(target: "prefect.task_runs", "Task run `{name}`: finished in state Cached"));
        self.flow_run.remember(&value, self.record.id);
        Some((value, state))
    }

    /// Makes the run RUNNING once its limits have room; the error is the state that it ends in instead.
    async fn begin(&mut self) -> Result<Option<Slots>, State> {
        let cancellation = self.flow_run.cancellation.clone();
        // Nothing begins in a run that is ending, also where there is no limit to wait for.
        if cancellation.reason().is_some() {
            return Err(cancelled());
        }
        if self.record.tags.is_empty() {
            self.enter_running();
            return Ok(None);
        }
        let tags = self.record.tags.clone();
        let granted = tokio::select! {
            biased;
            () = cancellation.wait() => return Err(cancelled()),
            granted = self.engine.limits.take(&tags, self.record.id) => granted,
        };
        let slots = match granted {
            Granted::Slots(slots) => slots,
            Granted::Never(reason) => {
                return Err(State::new(StateType::Failed).with_message(reason));
            }
            Granted::Elsewhere => return self.begin_elsewhere(&tags).await.map(|()| None),
        };
        self.enter_running();
        Ok(slots)
    }

    fn enter_running(&mut self) {
        self.record.run_count += 1;
        self.info.take();
        let name = match self.record.run_count {
            1 => "Running",
            _ => "Retrying",
        };
        self.enter(&State::new(StateType::Running).with_name(name), |_| {});
    }

    /// Lets a server that keeps limits by itself decide when the run may run.
    async fn begin_elsewhere(&mut self, tags: &[String]) -> Result<(), State> {
        if !self.is_told_directly {
            if !has_limit(&self.engine, tags).await {
                self.enter_running();
                return Ok(());
            }
            self.engine.recorder.flush().await;
            self.is_told_directly = true;
        }
        self.engine.states.flush().await;
        let cancellation = self.flow_run.cancellation.clone();
        loop {
            let wait = match self.propose_running().await {
                Ok(None) => return Ok(()),
                Ok(Some(wait)) => wait,
                Err(reason) => return Err(State::new(StateType::Failed).with_message(reason)),
            };
            tokio::select! {
                () = sleep(wait) => {}
                () = cancellation.wait() => return Err(cancelled()),
            }
        }
    }

    /// Proposes RUNNING; a time means that the same is to be proposed again after it.
    async fn propose_running(&mut self) -> Result<Option<Duration>, String> {
        let mut next = StateRecord::new(StateType::Running, self.next_time());
        if self.record.run_count > 0 {
            next.name = "Retrying".to_owned();
        }
        let client = self.engine.client.clone();
        let path = format!("/task_runs/{}/set_state", self.record.id);
        let body = json!({"state": state_json(&next), "force": false});
        let answer =
            on_runtime(async move { client.post::<OrchestrationResult>(&path, &body).await }).await;
        match answer {
            Ok(answer) if answer.status == "ACCEPT" => {
                self.record.run_count += 1;
                self.info.take();
                self.record.start_time.get_or_insert(next.timestamp);
                self.set_handle(&State::new(StateType::Running));
                self.record.state = next;
                Ok(None)
            }
            Ok(answer) if answer.status == "WAIT" => {
                // The server asks for half a minute; a slot may be free long before.
                let asked = answer.details["delay_seconds"].as_f64().unwrap_or(1.0);
                Ok(Some(Duration::from_secs_f64(asked.clamp(0.05, 1.0))))
            }
            Ok(answer) => {
                let reason = answer.details["reason"]
                    .as_str()
                    .unwrap_or("no reason given");
                Err(format!("The server does not let the task run: {reason}"))
            }
            Err(error) if error.is_away() => Ok(Some(Duration::from_secs(1))),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Returns the context of the run's own code.
    fn context(&self) -> Context {
        let info = self.info.get_or_init(|| {
            Arc::new(TaskRunInfo {
                id: self.record.id,
                name: self.record.name.clone(),
                task_name: self.options.common.name.clone(),
                run_count: self.record.run_count,
            })
        });
        Context {
            flow_run: self.flow_run.clone(),
            task_run: Some(info.clone()),
            depth: self.depth,
        }
    }

    /// Says something as the run.
    fn say(&self, say: impl FnOnce(&str)) {
        self.context().sync_scope(|| say(&self.record.name));
    }

    async fn attempt(&self, inputs: VecDeque<Shared>) -> Outcome {
        let context = self.context();
        let body = || (self.definition.run)(Inputs(inputs));
        let limit = self.options.common.timeout;
        match attempt::run(body, context, limit, &self.flow_run.cancellation, "task").await {
            Ended::Outcome(outcome) => outcome,
            Ended::Dropped => Outcome::Ended(cancelled(), None),
        }
    }

    fn should_retry(&self, failure: &RunError) -> bool {
        let is_wanted = self
            .options
            .retry_condition
            .as_ref()
            .is_none_or(|condition| condition(failure));
        failure.state().is_failed() && is_wanted && self.flow_run.cancellation.reason().is_none()
    }

    async fn wait_for_retry(&mut self, retry: u32, failed: &State) {
        let common = &self.options.common;
        let chance = rand::random::<f64>();
        let delay = common.retry_delay.as_ref().map_or(Duration::ZERO, |delay| {
            delay.before(retry, self.options.retry_jitter_factor, chance)
        });
        let (retries, seconds) = (common.retries, delay.as_secs_f64());
        self.say(|name| {
            warn!(
                target: "prefect.task_runs",
                "Task run `{name}` failed ({failed}); retry {retry} of {retries} in {seconds} seconds",
            );
        });
        if delay.is_zero() {
            return;
        }
        let at = self.next_time() + TimeDelta::from_std(delay).unwrap_or(TimeDelta::MAX);
        let mut state = State::new(StateType::Scheduled).with_name("AwaitingRetry");
        state.message = failed.message.clone();
        self.enter(&state, |record| record.scheduled_time = Some(at));
        tokio::select! {
            () = sleep(delay) => {}
            () = self.flow_run.cancellation.wait() => {}
        }
    }

    async fn complete(&mut self, completion: Completion, key: Option<String>) -> (Shared, State) {
        let Completion {
            value,
            name,
            message,
        } = completion;
        let mut state = State::new(StateType::Completed);
        state.name = name.unwrap_or(state.name);
        state.message = message;
        let kept = match key {
            Some(key) => self.keep(&value, key).await,
            None => None,
        };
        // Told before the state, so that whoever waits for this run finds its result named.
        self.flow_run.remember(&value, self.record.id);
        self.enter(&state, |record| {
            if let Some((key, expiration, data)) = kept {
                record.cache_key = Some(key);
                record.cache_expiration = expiration;
                record.data = Some(data);
            }
        });
        self.say(|name| info!(target: "prefect.task_runs", "Task run `{name}`: finished in state {state}"));
        self.hook(On::Completion);
        (value, state)
    }

    async fn keep(
        &self,
        value: &Shared,
        key: String,
    ) -> Option<(String, Option<DateTime<Utc>>, Value)> {
        let expiration = self
            .options
            .cache_expiration
            .and_then(|span| TimeDelta::from_std(span).ok())
            .and_then(|span| self.engine.now().checked_add_signed(span));
        let (results, value, kept) = (self.engine.results.clone(), value.clone(), key.clone());
        let keep = move || {
            let json = value::to_json(&value).map_err(|error| error.to_string())?;
            results
                .keep(&kept, &json, expiration)
                .map_err(|error| error.to_string())
        };
        match tokio::task::spawn_blocking(keep).await {
            Ok(Ok(())) => {
                let data = self.engine.results.document(&key, expiration);
                Some((key, expiration, data))
            }
            Ok(Err(reason)) => {
                self.say(|name| warn!(target: "prefect.task_runs", "The result of task run `{name}` could not be kept: {reason}"));
                None
            }
            Err(_) => None,
        }
    }

    fn failure(&self, state: &State, source: Option<crate::sdk::outcome::BoxError>) -> RunError {
        RunError::new(self.label(), state.clone(), source)
    }

    fn end(&mut self, state: State, failure: Option<RunError>) -> RunError {
        self.enter(&state, |_| {});
        self.say(|name| error!(target: "prefect.task_runs", "Task run `{name}`: finished in state {state}"));
        self.hook(match state.state_type {
            StateType::Cancelled => On::Cancellation,
            _ => On::Failure,
        });
        failure.unwrap_or_else(|| RunError::new(self.label(), state, None))
    }

    fn label(&self) -> String {
        format!("task run `{}`", self.record.name)
    }

    fn hook(&self, on: On) {
        if self.options.common.hooks.is_empty() {
            return;
        }
        let run = Run {
            id: self.record.id,
            name: self.record.name.clone(),
            of: self.options.common.name.clone(),
            run_count: self.record.run_count,
        };
        let record = &self.record.state;
        let state = State {
            state_type: record.state_type,
            name: record.name.clone(),
            message: record.message.clone(),
            data: None,
        };
        self.options.common.call(on, &run, &state);
    }

    /// Returns the time of the next state, which is later than that of the present one.
    fn next_time(&self) -> DateTime<Utc> {
        let least = self.record.state.timestamp + TimeDelta::microseconds(1);
        self.engine.now().max(least)
    }

    /// Enters a state and tells it.
    fn enter(&mut self, state: &State, change: impl FnOnce(&mut StateRecord)) {
        let now = self.next_time();
        let mut next = StateRecord::named(state.state_type, state.name.clone(), now);
        next.message = state.message.as_deref().map(recorded);
        change(&mut next);
        let record = &mut self.record;
        let previous = std::mem::replace(&mut record.state, next);
        match (previous.state_type, record.state.state_type) {
            (_, StateType::Running) => drop(record.start_time.get_or_insert(now)),
            (StateType::Running, _) => record.total_run_time += now - previous.timestamp,
            _ => {}
        }
        if state.is_terminal() {
            record.end_time = Some(now);
        }
        let recorder: &Recorder = match self.is_told_directly {
            true => &self.engine.states,
            false => &self.engine.recorder,
        };
        recorder.record(&self.record, Some(&previous));
        self.set_handle(state);
    }

    fn set_handle(&self, state: &State) {
        // The end is set together with the result.
        if let Some(handle) = &self.handle
            && !state.is_terminal()
        {
            handle.enter(state.clone());
        }
    }
}

impl Drop for TaskRun {
    /// A call that is dropped on its way, as by a `select!`, does not stay RUNNING for ever.
    fn drop(&mut self) {
        let state = &self.record.state;
        if state.state_type.is_terminal() || state.name == "NotReady" {
            return;
        }
        let state =
            State::new(StateType::Cancelled).with_message("The call was dropped before it ended.");
        self.enter(&state, |_| {});
    }
}

fn cancelled() -> State {
    State::new(StateType::Cancelled).with_message("The flow run is ending.")
}

/// Returns whether a server that keeps limits by itself has one for any of the tags.
async fn has_limit(engine: &Engine, tags: &[String]) -> bool {
    for tag in tags {
        let (client, tag) = (engine.client.clone(), tag.clone());
        let limit = on_runtime(async move {
            let read = || client.read_concurrency_limit_by_tag(&tag);
            patiently("a task run waits to hear of its limits", read).await
        });
        if limit.await.is_ok() {
            return true;
        }
    }
    false
}

/// Submits calls among the arguments, so that all are values or futures.
fn ready(inputs: Vec<Input>) -> Vec<Argument> {
    inputs
        .into_iter()
        .map(|input| match input.0 {
            Source::Value(value) => Argument::Value(value),
            Source::Traced(value, producers) => Argument::Traced(value, producers),
            Source::Future(handle) => Argument::Future(handle),
            Source::Futures(handles, gather) => Argument::Futures(handles, gather),
            Source::Call(call) => Argument::Future(submit(*call)),
        })
        .collect()
}

/// Returns whose results the arguments are.
fn dependencies(
    flow_run: &FlowRun,
    names: &'static [&'static str],
    arguments: &[Argument],
) -> Vec<(&'static str, Vec<Uuid>)> {
    let of = |argument: &Argument| match argument {
        Argument::Value(value) => flow_run.producers(value),
        Argument::Traced(_, producers) => producers.to_vec(),
        Argument::Future(handle) => vec![handle.id],
        Argument::Futures(handles, _) => handles.iter().map(|handle| handle.id).collect(),
    };
    names
        .iter()
        .copied()
        .zip(arguments.iter().map(of))
        .collect()
}

/// Returns values as JSON under the names of their arguments, and why one of them cannot be written so.
///
/// It is null then. What JSON has no words for is found out here alone, such as keys that are no texts.
pub(crate) fn json_of<'a>(
    names: impl IntoIterator<Item = &'static str>,
    values: impl IntoIterator<Item = &'a Shared>,
) -> (Map<String, Value>, Option<String>) {
    let mut unwritable = None;
    let mut json = Map::new();
    for (name, value) in names.into_iter().zip(values) {
        let written = value::to_json(value).and_then(|json| serde_json::from_slice(&json));
        let value = written.unwrap_or_else(|error| {
            unwritable.get_or_insert_with(|| {
                format!("argument `{name}` cannot be written as JSON: {error}")
            });
            Value::Null
        });
        json.insert(name.to_owned(), value);
    }
    (json, unwritable)
}

/// Says which argument has a number that JSON writes as null, as it writes others.
fn not_finite(names: &[&str], values: &VecDeque<Shared>) -> Option<String> {
    let mut checked = names.iter().zip(values);
    checked.find_map(|(name, value)| {
        let error = value.check().err()?;
        Some(format!(
            "argument `{name}` cannot be written as JSON: {error}"
        ))
    })
}

fn record(
    flow_run: &FlowRun,
    options: &TaskOptions,
    task_key: &'static str,
    number: u32,
    name: String,
    inputs: Vec<(&'static str, Vec<Uuid>)>,
    handle: Option<&Arc<Handle>>,
) -> TaskRecord {
    let common = &options.common;
    let inputs = bounded(inputs);
    let now = flow_run.engine.now();
    let delay = common.retry_delay.as_ref();
    TaskRecord {
        id: handle.map_or_else(Uuid::now_v7, |handle| handle.id),
        name,
        is_renamed: false,
        flow_run_id: flow_run.id,
        task_key,
        dynamic_key: number.to_string(),
        policy: Policy {
            max_retries: 0,
            retry_delay_seconds: 0.0,
            retries: common.retries,
            retry_delay: delay.map_or(json!(0), |delay: &RetryDelay| delay.shown(common.retries)),
            retry_jitter_factor: (options.retry_jitter_factor > 0.0)
                .then_some(options.retry_jitter_factor),
        },
        tags: common.tags.clone(),
        inputs,
        run_count: 0,
        flow_run_run_count: flow_run.run_count(),
        expected_start_time: now,
        start_time: None,
        end_time: None,
        total_run_time: TimeDelta::zero(),
        state: StateRecord::new(StateType::Pending, now),
        related: match common.tags.is_empty() {
            true => flow_run.related_json.clone(),
            false => related(&flow_run.related, &common.tags),
        },
    }
}

/// Each event of a run names all that its arguments come from, and servers take events of 1.5 MB.
const MAX_LINKS: usize = 10_000;

/// Leaves out what a run comes from beyond what can be told.
fn bounded(mut inputs: Vec<(&'static str, Vec<Uuid>)>) -> Vec<(&'static str, Vec<Uuid>)> {
    let mut room = MAX_LINKS;
    for (_, ids) in &mut inputs {
        ids.truncate(room);
        room -= ids.len();
    }
    inputs
}

/// Makes the record of the task run that stands for a subflow run.
pub(crate) fn stand_in(
    parent: &Context,
    key: &'static str,
    name: &str,
    names: impl Iterator<Item = &'static str>,
    inputs: &[Input],
    wait_for: &[Arc<Handle>],
) -> TaskRecord {
    let flow_run = &parent.flow_run;
    let number = flow_run.number(key);
    let of = |input: &Input| match &input.0 {
        Source::Value(value) => flow_run.producers(value),
        Source::Traced(_, producers) => producers.to_vec(),
        Source::Future(handle) => vec![handle.id],
        Source::Futures(handles, _) => handles.iter().map(|handle| handle.id).collect(),
        Source::Call(_) => Vec::new(),
    };
    let mut links: Vec<_> = names.zip(inputs.iter().map(of)).collect();
    if !wait_for.is_empty() {
        links.push((
            "wait_for",
            wait_for.iter().map(|handle| handle.id).collect(),
        ));
    }
    let options = TaskOptions::new(name);
    record(
        flow_run,
        &options,
        key,
        number,
        format!("{name}-{number}"),
        links,
        None,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_told_up_to_a_bound() {
        let many = |n| vec![Uuid::nil(); n];
        let given = vec![("a", many(3)), ("b", many(MAX_LINKS)), ("c", many(1))];
        let told: Vec<_> = bounded(given)
            .into_iter()
            .map(|(_, ids)| ids.len())
            .collect();
        assert_eq!(told, [3, MAX_LINKS - 3, 0]);
    }
}

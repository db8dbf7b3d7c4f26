//! Task runs: from a call to the state it ends in.
//!
//! What decides is here and nowhere else: dependencies first ([`super::calls`]), then the cache, then limits
//! ([`super::admission`]), then attempts ([`super::attempt`]). The server is told each transition and is asked only for slots
//! of limits.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio::time::sleep;
use tracing::{error, info, warn};
use uuid::Uuid;

use super::attempt::{self, Ended};
use super::calls::{Needs, Prepared};
use super::execution::DROPPED;
use super::flow_runs::FlowRun;
use super::recorder::{Policy, Recorder, StateRecord, TaskRecord, related};
use super::{Engine, runtime};
use crate::sdk::arguments::{self, Arguments, json_of, not_finite};
use crate::sdk::context::{Context, TaskRunInfo, apart};
use crate::sdk::delays::RetryDelay;
use crate::sdk::futures::Handle;
use crate::sdk::links::{Ids, Links};
use crate::sdk::options::{On, Run, TaskOptions};
use crate::sdk::outcome::{Completion, Outcome, RunError, State, StateType, recorded, whole};
use crate::sdk::task::{Call, TaskDefinition};
use crate::sdk::value::{self, Inputs, Shared};

/// What is said of a task that is called where it cannot run.
pub(crate) const OUTSIDE: &str = "it was called outside of a flow; call it in a function with #[flow], and spawn what calls it there with \
     `prefect_rs::prelude::spawn` or `spawn_blocking` instead of those of tokio and std";

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

pub(super) struct TaskRun {
    pub(super) engine: Arc<Engine>,
    pub(super) flow_run: Arc<FlowRun>,
    definition: &'static TaskDefinition,
    options: Arc<TaskOptions>,
    needs: Needs,
    handle: Option<Arc<Handle>>,
    pub(super) record: TaskRecord,
    /// Whether the call has named it, so that no template does.
    is_named: bool,
    /// What the run's own code sees of it; made again when that changes.
    pub(super) info: OnceLock<Arc<TaskRunInfo>>,
    /// How many task runs it is in, with itself.
    depth: usize,
    /// Whether the server is told each state by itself, since it keeps this run's limits.
    pub(super) is_told_directly: bool,
}

impl TaskRun {
    /// Makes the run and tells that it is pending.
    fn create(context: Context, prepared: Prepared, handle: Option<Arc<Handle>>) -> Self {
        let Prepared {
            definition,
            options,
            run_name,
            number,
            needs,
            mut links,
        } = prepared;
        let flow_run = context.flow_run;
        let engine = flow_run.engine.clone();
        if let Some(parent) = &context.task_run {
            links.add("__parents__", Ids::One(parent.id));
        }
        let is_named = run_name.is_some();
        let name = run_name.unwrap_or_else(|| format!("{}-{number}", options.common.name));
        let record = record(
            &flow_run,
            &options,
            definition.key(),
            number,
            name,
            links,
            handle.as_ref(),
        );
        engine.recorder.record(&record, None);
        Self {
            engine,
            flow_run,
            definition,
            options,
            needs,
            handle,
            record,
            is_named,
            info: OnceLock::new(),
            depth: context.depth + 1,
            is_told_directly: false,
        }
    }

    /// Carries the run out; what panics in it beside its body, such as a `cache_key_fn`, fails it as its body would.
    async fn execute(mut self) -> Result<(Shared, State), RunError> {
        match AssertUnwindSafe(self.carry_out()).catch_unwind().await {
            Ok(end) => end,
            Err(payload) => {
                let state = attempt::panic_state("what decides about the task", &*payload);
                match self.record.state.state_type.is_terminal() {
                    // It has been told how the run ended, which stays.
                    true => Err(RunError::new(self.label(), state, None)),
                    false => Err(self.end(state, None)),
                }
            }
        }
    }

    async fn carry_out(&mut self) -> Result<(Shared, State), RunError> {
        let values = match std::mem::take(&mut self.needs).met().await {
            Ok(values) => values,
            Err(upstream) => return Err(self.not_ready(&upstream)),
        };
        let key = match self.look_at_arguments(&values) {
            Ok(key) => key,
            Err(state) => return Err(self.end(state, None)),
        };
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
                Outcome::Completed(completion) => return self.complete(completion, key).await,
                Outcome::Ended(state, source) => {
                    let failure = self.failure(&state, source);
                    let is_wanted = match may_repeat {
                        true => self.should_retry(&failure),
                        false => Ok(false),
                    };
                    match is_wanted {
                        Ok(true) => {}
                        Ok(false) => return Err(self.end(state, Some(failure))),
                        Err(state) => return Err(self.end(state, None)),
                    }
                    self.wait_for_retry(attempt, &state).await;
                }
            }
        }
        unreachable!("attempts are counted until one returns")
    }

    fn not_ready(&mut self, upstream: &RunError) -> RunError {
        let reason = whole(upstream);
        let state = State::new(StateType::Pending)
            .with_name("NotReady")
            .with_message(format!("What it depends on gave no result: {reason}"));
        self.say(
            |name| warn!(target: "prefect.task_runs", "Task run `{name}` does not run: {reason}"),
        );
        self.enter(&state, |_| {});
        RunError::new(self.label(), state, None)
    }

    /// Does what needs the arguments as JSON: the run's name, and the key of its result, if there is to be one.
    ///
    /// The error is how the run ends when its `cache_key_fn` panics.
    fn look_at_arguments(&mut self, values: &VecDeque<Shared>) -> Result<Option<String>, State> {
        let options = self.options.clone();
        let persists = options.common.persist_result == Some(true);
        let template = options.common.run_name.as_ref();
        let template = template.filter(|_| !self.is_named);
        if options.cache_key_fn.is_none() && !persists && template.is_none() {
            return Ok(None);
        }
        let names = self.definition.arguments;
        let not_finite = not_finite(names, values);
        let (values, unwritable) = json_of(names.iter().copied(), values);
        if let Some(template) = template {
            self.record.name = arguments::fill(template, &values);
            self.record.is_renamed = true;
            self.engine.recorder.rename(&self.record);
            self.info.take();
        }
        // Without it, calls with other arguments would have the same key.
        if let Some(reason) = unwritable.or(not_finite) {
            self.say(|name| warn!(target: "prefect.task_runs", "The result of task run `{name}` is neither looked for nor kept: {reason}"));
            return Ok(None);
        }
        let arguments = Arguments {
            task_key: self.record.task_key.to_owned(),
            flow_run_id: self.flow_run.id,
            values,
        };
        let key = match &options.cache_key_fn {
            Some(key) => attempt::caught("the `cache_key_fn`", || key(&arguments))?,
            // So a retry of the flow finds what its first attempt did.
            None => persists.then(|| arguments::input_hash_of_run(&arguments)),
        };
        // All tasks that make one would share its result.
        if key.as_deref() == Some("") {
            self.say(|name| warn!(target: "prefect.task_runs", "The result of task run `{name}` is neither looked for nor kept: its cache key is empty"));
            return Ok(None);
        }
        Ok(key)
    }

    fn cached(&mut self, key: &str) -> Option<(Shared, State)> {
        let found = self.engine.results.find(key, self.engine.now())?;
        let value = (self.definition.decode)(&found.json).ok()?;
        self.flow_run.remember(&value, self.record.id);
        let state = State::new(StateType::Completed).with_name("Cached");
        let data = self.engine.results.document(key, found.expiration);
        self.enter(&state, |record| {
            record.cache_key = Some(key.to_owned());
            record.cache_expiration = found.expiration;
            record.data = Some(data);
        });
        self.say(|name| info!(target: "prefect.task_runs", "Task run `{name}`: finished in state Cached"));
        Some((value, state))
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

    /// Tells whether a failure is worth another attempt; the error is how the run ends when nobody can tell.
    fn should_retry(&self, failure: &RunError) -> Result<bool, State> {
        let is_wanted = match &self.options.retry_condition {
            Some(condition) => attempt::caught("the `retry_condition`", || condition(failure))
                .map_err(|state| {
                    let said = state.message.unwrap_or_default();
                    let failed = failure.state();
                    State::new(StateType::Failed)
                        .with_message(format!("{said} (asked about: {failed})"))
                })?,
            None => true,
        };
        let is_asked = self.flow_run.cancellation.reason().is_some();
        Ok(failure.state().is_failed() && is_wanted && !is_asked)
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

    async fn complete(
        &mut self,
        completion: Completion,
        key: Option<String>,
    ) -> Result<(Shared, State), RunError> {
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
        let noted = attempt::caught("the `Serialize` of the result", || {
            self.flow_run.remember(&value, self.record.id);
        });
        if let Err(state) = noted {
            return Err(self.end(state, None));
        }
        self.enter(&state, |record| {
            if let Some((key, expiration, data)) = kept {
                record.cache_key = Some(key);
                record.cache_expiration = expiration;
                record.data = Some(data);
            }
        });
        self.say(|name| info!(target: "prefect.task_runs", "Task run `{name}`: finished in state {state}"));
        self.hook(On::Completion);
        Ok((value, state))
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
            // It panics again when the result is noted, which fails the run.
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
        let (run, state) = self.as_hooks_see_it();
        self.options.common.call(on, &run, &state);
    }

    fn as_hooks_see_it(&self) -> (Run, State) {
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
        (run, state)
    }

    /// Returns the time of the next state, which is later than that of the present one.
    pub(super) fn next_time(&self) -> DateTime<Utc> {
        let least = self.record.state.timestamp + TimeDelta::microseconds(1);
        self.engine.now().max(least)
    }

    /// Enters a state and tells it.
    pub(super) fn enter(&mut self, state: &State, change: impl FnOnce(&mut StateRecord)) {
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

    pub(super) fn set_handle(&self, state: &State) {
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
        let state = State::new(StateType::Cancelled).with_message(DROPPED);
        self.enter(&state, |_| {});
        self.say(|name| warn!(target: "prefect.task_runs", "Task run `{name}`: finished in state {state}"));
        if self.options.common.hooks.is_empty() {
            return;
        }
        let (run, state) = self.as_hooks_see_it();
        let (context, options) = (self.context(), self.options.clone());
        // The flow run does not end before them.
        let open = self.flow_run.open();
        // Not here, since whoever drops a call does not expect to wait for anything.
        runtime().spawn_blocking(move || {
            context.sync_scope(|| options.common.call(On::Cancellation, &run, &state));
            drop(open);
        });
    }
}

pub(super) fn cancelled() -> State {
    State::new(StateType::Cancelled).with_message("The flow run is ending.")
}

fn record(
    flow_run: &FlowRun,
    options: &TaskOptions,
    task_key: &'static str,
    number: u32,
    name: String,
    mut links: Links,
    handle: Option<&Arc<Handle>>,
) -> TaskRecord {
    let common = &options.common;
    flow_run.links.tell(&mut links);
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
        links,
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

/// Makes the record of the task run that stands for a subflow run.
pub(super) fn stand_in(
    parent: &FlowRun,
    key: &'static str,
    name: &str,
    links: Links,
) -> TaskRecord {
    let number = parent.number(key);
    let run_name = format!("{name}-{number}");
    let options = TaskOptions::new(name);
    record(parent, &options, key, number, run_name, links, None)
}

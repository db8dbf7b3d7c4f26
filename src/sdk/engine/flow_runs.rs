//! Flow runs: made by a call, or taken over from an agent, and what the task runs in them share.
//!
//! How they are carried to their ends is in [`super::execution`]. States of flow runs are proposed to the server, which has the
//! last word: it may ask to wait, to retry, or to end.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use tracing::warn;
use uuid::Uuid;

use super::attempt;
use super::calls::Needs;
use super::execution::Execution;
use super::patience::patiently;
use super::recorder::{creation, related};
use super::task_runs::stand_in;
use super::{Engine, on_runtime};
use crate::client::Client;
use crate::sdk::arguments::{self, json_of};
use crate::sdk::context::{Cancellation, Context, FlowRunInfo, Open, OpenGuard, apart};
use crate::sdk::flow::{FlowCallInner, FlowDefinition};
use crate::sdk::links::{Budget, Ids};
use crate::sdk::options::{Common, FlowOptions};
use crate::sdk::outcome::{RunError, State};
use crate::sdk::value::{self, Inputs, Shared};

/// A flow with more results than this has the later ones unnamed.
const MAX_PRODUCED: usize = 200_000;
/// What is directly in a result is looked for too, as far as a person would pass it on by itself.
const MOST_ELEMENTS: usize = 100;
/// Of more runs than these that gave an equal value, the last are told.
const MOST_EQUAL: usize = 8;

/// A flow run of this process.
pub(crate) struct FlowRun {
    pub(crate) engine: Arc<Engine>,
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) flow_name: String,
    deployment_id: Option<Uuid>,
    tags: Vec<String>,
    pub(super) run_count: AtomicU32,
    pub(crate) cancellation: Cancellation,
    /// The related resources of events about its task runs, and the same as JSON.
    pub(crate) related: Vec<Value>,
    pub(crate) related_json: Arc<RawValue>,
    /// How many runs each task has.
    numbers: Mutex<HashMap<&'static str, u32>>,
    /// The latest task run that gave a value, by the value's mark.
    produced: Mutex<HashMap<u64, Ids>>,
    pub(super) links: Budget,
    pub(super) open: Arc<Open>,
}

impl FlowRun {
    pub(super) fn new(
        engine: Arc<Engine>,
        made: Made,
        flow_name: &str,
        cancellation: Cancellation,
    ) -> Self {
        let resources = resources(&made, flow_name);
        Self {
            engine,
            id: made.id,
            name: made.name,
            flow_name: flow_name.to_owned(),
            deployment_id: made.deployment_id,
            tags: made.tags,
            run_count: AtomicU32::new(0),
            cancellation,
            related_json: related(&resources, &[]),
            related: resources,
            numbers: Mutex::default(),
            produced: Mutex::default(),
            links: Budget::default(),
            open: Arc::default(),
        }
    }

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

    /// Notes that a value is the result of a task run; panics if its `Serialize` does.
    pub(crate) fn remember(&self, value: &Shared, task_run: Uuid) {
        let marks = value::fingerprint(value);
        let elements = marks.elements.into_iter().take(MOST_ELEMENTS);
        // Parts leave room for the results that are still to come.
        let whole = marks.whole.into_iter().map(|mark| (mark, MAX_PRODUCED));
        let elements = elements.map(|mark| (mark, MAX_PRODUCED / 2));
        let mut marks = whole.chain(elements).peekable();
        if marks.peek().is_none() {
            return;
        }
        let mut produced = self.produced.lock().expect("nobody panics while noting");
        for (mark, room) in marks {
            if produced.len() < room {
                produced.entry(mark).or_default().add(task_run, MOST_EQUAL);
            }
        }
    }

    /// Returns whose results a value is, is a part of, or is made of; where several gave an equal one, each of them.
    pub(crate) fn producers(&self, value: &Shared) -> Ids {
        if self
            .produced
            .lock()
            .expect("nobody panics while noting")
            .is_empty()
        {
            return Ids::None;
        }
        // An argument that panics when it is written is told of by the run it is for, not by the caller.
        let Ok(marks) = attempt::caught("an argument", || value::fingerprint(value)) else {
            return Ids::None;
        };
        let produced = self.produced.lock().expect("nobody panics while noting");
        if let Some(whole) = marks.whole.and_then(|mark| produced.get(&mark)) {
            return whole.clone();
        }
        let ids = marks.elements.iter().filter_map(|mark| produced.get(mark));
        let mut seen = HashSet::new();
        let ids = ids.flat_map(|ids| ids.as_slice().iter().copied());
        ids.filter(|id| seen.insert(*id)).collect()
    }

    /// Counts something that the flow run does not end before.
    pub(crate) fn open(&self) -> OpenGuard {
        self.open.enter()
    }
}

/// What a flow run is made of.
pub(super) struct Made {
    pub(super) id: Uuid,
    pub(super) name: String,
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
    call: FlowCallInner,
) -> Result<(Shared, State), RunError> {
    let label = format!("flow `{}`", call.definition.name());
    let definition = call.definition;
    check_name(&call.options.common.name).map_err(|reason| RunError::not_run(&label, reason))?;
    let needs = Needs::of(call.inputs, call.wait_for);
    let stand_in = parent.as_ref().map(|parent| {
        let mut links = needs.links(definition.parameter_names(), &parent.flow_run);
        if let Some(task_run) = &parent.task_run {
            links.add("__parents__", Ids::One(task_run.id));
        }
        stand_in(&parent.flow_run, definition.key(), definition.name(), links)
    });
    let inputs = Inputs(needs.met().await?);
    let (parameters, unwritable) = json_of(definition.parameter_names(), &inputs.0);
    if let Some(reason) = unwritable {
        warn!(target: "prefect.flow_runs", "A parameter of {label} is recorded as null: {reason}");
    }
    let common = &call.options.common;
    let name = call.run_name.clone().or_else(|| {
        let template = common.run_name.as_deref()?;
        Some(arguments::fill(template, &parameters))
    });
    let stand_in_id = stand_in.as_ref().map(|record| record.id);
    let request = json!({
        "name": name,
        // An answer that is lost makes no second run.
        "idempotency_key": stand_in_id.unwrap_or_else(Uuid::now_v7),
        "parameters": parameters,
        "tags": common.tags,
        "flow_version": common.version,
        "parent_task_run_id": stand_in_id,
        "empirical_policy": policy(common, first_delay(common)),
        "state": {"type": "PENDING"},
    });
    let stand_in = stand_in.as_ref().map(creation);
    let client = engine.client.clone();
    let flow_name = common.name.clone();
    let made = on_runtime(async move {
        let create = || create(&client, &flow_name, stand_in.as_ref(), &request);
        match &stand_in {
            // What has begun goes on when the server is back; what is about to begin says so at once.
            Some(_) => patiently(&client, "a subflow run waits", create).await,
            None => create().await,
        }
    });
    let made = made
        .await
        .map_err(|error| RunError::not_run(&label, error.to_string()))?;
    let run = Execution::new(engine, definition, call.options, made, parent.as_ref());
    let outcome = run.execute(inputs).await;
    if let (Some(parent), Some(id), Ok((value, _))) = (&parent, stand_in_id, &outcome) {
        // The run is over, so that a result which cannot be written is only one that nobody recognises.
        let _ = attempt::caught("the result", || parent.flow_run.remember(value, id));
    }
    outcome
}

/// What servers take in no name, since they make addresses of names.
const NOT_IN_NAMES: [char; 5] = ['/', '%', '&', '>', '<'];

/// Refuses a name with which the flow could be run by hand and never be deployed.
fn check_name(name: &str) -> Result<(), String> {
    match name.find(NOT_IN_NAMES) {
        Some(_) => Err(format!(
            "its name contains one of {}, which no name of a flow may; give it another with `#[flow(name = \"...\")]`",
            NOT_IN_NAMES.map(String::from).join(" ")
        )),
        None => Ok(()),
    }
}

/// Carries out a flow run that an agent has claimed; returns the state it ended in.
pub(crate) async fn take_over(
    engine: Arc<Engine>,
    definition: &'static FlowDefinition,
    id: Uuid,
) -> Result<State, String> {
    let client = engine.client.clone();
    let run = on_runtime(async move {
        patiently(&client, "a flow run waits", || client.read_flow_run(id)).await
    });
    let run = run
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
        made.name = arguments::fill(template, &run.parameters);
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
    // What made the run knows the tags of its deployment alone.
    let own = common.tags.iter().filter(|tag| !made.tags.contains(tag));
    let own: Vec<&String> = own.collect();
    if !own.is_empty() {
        let all: Vec<&String> = made.tags.iter().chain(own).collect();
        changes.insert("tags".into(), json!(all));
    }
    if changes.is_empty() {
        return Ok(());
    }
    let (client, id) = (engine.client.clone(), made.id);
    let update = async move {
        let changes = Value::Object(changes);
        patiently(&client, "a flow run waits", || {
            update(&client, id, &changes)
        })
        .await
    };
    on_runtime(update)
        .await
        .map_err(|error| format!("flow run `{id}` could not be described: {error}"))
}

pub(super) fn policy(common: &Common, delay: Duration) -> Value {
    // Genuine servers of 3.x take no fraction, not even one of zero.
    let delay = match delay.subsec_nanos() {
        0 => json!(delay.as_secs()),
        _ => json!(delay.as_secs_f64()),
    };
    json!({"retries": common.retries, "retry_delay": delay})
}

/// Changes a flow run, in whole seconds where the server takes no others.
pub(super) async fn update(
    client: &Client,
    id: Uuid,
    changes: &Value,
) -> crate::client::Result<()> {
    match client.update_flow_run(id, changes).await {
        Err(error) if is_misfit(&error) => match in_whole_seconds(changes) {
            Some(changes) => client.update_flow_run(id, &changes).await,
            None => Err(error),
        },
        done => done,
    }
}

fn is_misfit(error: &crate::client::Error) -> bool {
    error.status().is_some_and(|status| status.as_u16() == 422)
}

/// Returns a request with the delay of its retries in whole seconds, which is all that genuine servers of 3.x take; none if
/// it is already.
fn in_whole_seconds(request: &Value) -> Option<Value> {
    let delay = request["empirical_policy"]["retry_delay"].as_f64()?;
    if delay.fract() == 0.0 {
        return None;
    }
    let mut request = request.clone();
    request["empirical_policy"]["retry_delay"] = json!(delay.ceil() as u64);
    Some(request)
}

fn first_delay(common: &Common) -> Duration {
    let delay = common.retry_delay.as_ref();
    delay.map_or(Duration::ZERO, |delay| delay.before(1, 0.0, 0.0))
}

async fn create(
    client: &Client,
    flow_name: &str,
    stand_in: Option<&Value>,
    request: &Value,
) -> crate::client::Result<Made> {
    let flow = client.create_flow(flow_name, &[]).await?;
    if let Some(stand_in) = stand_in {
        client.post_only("/task_runs/", stand_in).await?;
    }
    let mut request = request.clone();
    request["flow_id"] = json!(flow.id);
    let made = client.post("/flow_runs/", &request).await;
    let run: crate::client::Document<crate::client::FlowRun> = match made {
        Err(error) if is_misfit(&error) => match in_whole_seconds(&request) {
            Some(request) => client.post("/flow_runs/", &request).await?,
            None => return Err(error),
        },
        made => made?,
    };
    Ok(Made {
        id: run.id,
        name: run.name.clone(),
        flow_id: flow.id,
        deployment_id: run.deployment_id,
        tags: run.tags.clone(),
    })
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

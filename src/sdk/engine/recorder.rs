//! How the states of task runs reach the server.
//!
//! A task run is orchestrated here, as the newest genuine client does it, and each transition is told. A server of this
//! project takes records ([`super::records`]), a genuine one an event for each transition; both go in batches. A server that
//! takes neither is told by a request for each transition, in order, with `force`, since what is told has happened already.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;
use tracing::warn;
use uuid::Uuid;

use super::outbox::{Lines, Outbox};
use super::patience::{Failing, patiently_since};
use super::records::Records;
use crate::client::Client;
use crate::sdk::links::Links;
use crate::sdk::outcome::StateType;

/// Where records go; genuine servers have no such route.
pub(crate) const RECORDS: &str = "/task_runs/record";

/// More transitions than this are not kept for a server that takes them one by one.
const MAX_WAITING: usize = 10_000;

/// Servers take events with a hundred related resources; the tags are also told as tags.
const MAX_RELATED: usize = 100;

/// A task run as the server should know it.
pub(crate) struct TaskRecord {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    /// Whether it was told under another name at first.
    pub(crate) is_renamed: bool,
    pub(crate) flow_run_id: Uuid,
    pub(crate) task_key: &'static str,
    pub(crate) dynamic_key: String,
    pub(crate) policy: Policy,
    pub(crate) tags: Vec<String>,
    pub(crate) links: Links,
    pub(crate) run_count: u32,
    pub(crate) flow_run_run_count: u32,
    pub(crate) expected_start_time: DateTime<Utc>,
    pub(crate) start_time: Option<DateTime<Utc>>,
    pub(crate) end_time: Option<DateTime<Utc>>,
    pub(crate) total_run_time: TimeDelta,
    pub(crate) state: StateRecord,
    /// The related resources of its events: flow run, flow, tags.
    pub(crate) related: Arc<RawValue>,
}

/// How a task is retried, in the words of old and new servers.
#[derive(Serialize)]
pub(crate) struct Policy {
    pub(crate) max_retries: u32,
    pub(crate) retry_delay_seconds: f64,
    pub(crate) retries: u32,
    pub(crate) retry_delay: Value,
    pub(crate) retry_jitter_factor: Option<f64>,
}

/// A state that a task run is in.
pub(crate) struct StateRecord {
    pub(crate) id: Uuid,
    pub(crate) state_type: StateType,
    pub(crate) name: String,
    pub(crate) message: Option<String>,
    pub(crate) timestamp: DateTime<Utc>,
    pub(crate) scheduled_time: Option<DateTime<Utc>>,
    pub(crate) cache_key: Option<String>,
    pub(crate) cache_expiration: Option<DateTime<Utc>>,
    pub(crate) data: Option<Value>,
}

impl StateRecord {
    pub(crate) fn new(state_type: StateType, now: DateTime<Utc>) -> Self {
        Self::named(state_type, state_type.default_name().to_owned(), now)
    }

    pub(crate) fn named(state_type: StateType, name: String, now: DateTime<Utc>) -> Self {
        Self {
            id: Uuid::now_v7(),
            state_type,
            name,
            message: None,
            timestamp: now,
            scheduled_time: None,
            cache_key: None,
            cache_expiration: None,
            data: None,
        }
    }
}

/// Tells the server.
#[derive(Clone)]
pub(crate) enum Recorder {
    /// Takes records.
    Records(Outbox<Records>),
    /// Takes events.
    Events(Outbox<Lines>),
    /// Takes one transition a request.
    States(mpsc::Sender<Told>),
}

/// What the loop that tells transitions one by one is given.
pub(crate) enum Told {
    Transition(Box<Transition>),
    Name { id: Uuid, name: String },
    Flush(oneshot::Sender<()>),
}

pub(crate) struct Transition {
    id: Uuid,
    create: Option<Value>,
    state: Value,
}

impl Recorder {
    pub(crate) fn records(client: Client, runtime: &tokio::runtime::Handle) -> Self {
        Self::Records(Outbox::open(client, RECORDS, runtime))
    }

    pub(crate) fn events(client: Client, runtime: &tokio::runtime::Handle) -> Self {
        Self::Events(Outbox::open(client, "/events", runtime))
    }

    pub(crate) fn states(client: Client, runtime: &tokio::runtime::Handle) -> Self {
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        runtime.spawn(tell(client, receiver));
        Self::States(sender)
    }

    /// Tells that the run has entered its present state from `previous`.
    pub(crate) fn record(&self, run: &TaskRecord, previous: Option<&StateRecord>) {
        match self {
            Self::Records(outbox) => outbox.change(|records| records.add(run)),
            Self::Events(outbox) => outbox.push(|body| write_event(body, run, previous)),
            Self::States(sender) => {
                let told = Told::Transition(Box::new(Transition {
                    id: run.id,
                    create: previous.is_none().then(|| creation(run)),
                    state: state_json(&run.state),
                }));
                // Full only when the server has been away for long: `room` holds new runs back before that.
                if sender.try_send(told).is_err() {
                    warn!(target: "prefect", "a state of task run `{}` could not be kept for the server", run.name);
                }
            }
        }
    }

    /// Tells the name that a run has been given since it was first told.
    pub(crate) fn rename(&self, run: &TaskRecord) {
        match self {
            // The next state says it.
            Self::Records(_) | Self::Events(_) => {}
            Self::States(sender) => {
                let (id, name) = (run.id, run.name.clone());
                if sender.try_send(Told::Name { id, name }).is_err() {
                    warn!(target: "prefect", "the name of task run `{}` could not be kept for the server", run.name);
                }
            }
        }
    }

    /// Waits until there is room for the transitions of another run.
    pub(crate) async fn room(&self) {
        match self {
            Self::Records(outbox) => outbox.room().await,
            Self::Events(outbox) => outbox.room().await,
            Self::States(sender) => {
                while sender.capacity() < MAX_WAITING / 2 && !sender.is_closed() {
                    sleep(Duration::from_millis(20)).await;
                }
            }
        }
    }

    /// Waits until everything told so far has reached the server.
    pub(crate) async fn flush(&self) {
        match self {
            Self::Records(outbox) => outbox.flush().await,
            Self::Events(outbox) => outbox.flush().await,
            Self::States(sender) => {
                let (done, told) = oneshot::channel();
                if sender.send(Told::Flush(done)).await.is_ok() {
                    let _ = told.await;
                }
            }
        }
    }
}

async fn tell(client: Client, mut receiver: mpsc::Receiver<Told>) {
    let failing = Failing::default();
    while let Some(told) = receiver.recv().await {
        match told {
            Told::Transition(transition) => tell_one(&client, &failing, *transition).await,
            Told::Name { id, name } => tell_name(&client, &failing, id, name).await,
            Told::Flush(done) => drop(done.send(())),
        }
    }
}

async fn tell_one(client: &Client, failing: &Failing, transition: Transition) {
    let (path, body) = match transition.create {
        Some(body) => ("/task_runs/".to_owned(), body),
        None => (
            format!("/task_runs/{}/set_state", transition.id),
            json!({"state": transition.state, "force": true}),
        ),
    };
    let tell = || client.post_only(&path, &body);
    let told = patiently_since(failing, client, "what happens is kept", tell);
    if let Err(error) = told.await {
        warn!(target: "prefect", "a state was refused by the API and is lost: {error}");
    }
}

async fn tell_name(client: &Client, failing: &Failing, id: Uuid, name: String) {
    let path = format!("/task_runs/{id}");
    let body = json!({"name": name});
    let tell = || client.patch(&path, &body);
    let told = patiently_since(failing, client, "what happens is kept", tell);
    if let Err(error) = told.await {
        warn!(target: "prefect", "the name `{name}` of a task run was refused by the API: {error}");
    }
}

pub(crate) fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// Returns the body that creates a task run in its first state.
pub(crate) fn creation(run: &TaskRecord) -> Value {
    json!({
        "id": run.id,
        "name": run.name,
        "flow_run_id": run.flow_run_id,
        "task_key": run.task_key,
        "dynamic_key": run.dynamic_key,
        "empirical_policy": run.policy,
        "tags": run.tags,
        "task_inputs": run.links,
        "state": state_json(&run.state),
    })
}

/// Returns a state as `set_state` takes it.
pub(crate) fn state_json(state: &StateRecord) -> Value {
    json!({
        "type": state.state_type.as_str(),
        "name": state.name,
        "message": state.message,
        "state_details": DetailsJson::of(state),
        "data": state.data,
    })
}

/// What rules should know of a state.
#[derive(Serialize)]
pub(crate) struct DetailsJson<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    scheduled_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_expiration: Option<String>,
}

impl<'a> DetailsJson<'a> {
    pub(crate) fn of(state: &'a StateRecord) -> Self {
        Self {
            scheduled_time: state.scheduled_time.map(time),
            cache_key: state.cache_key.as_deref(),
            cache_expiration: state.cache_expiration.map(time),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.scheduled_time.is_none() && self.cache_key.is_none() && self.cache_expiration.is_none()
    }
}

#[derive(Serialize)]
struct EventJson<'a> {
    occurred: String,
    event: String,
    resource: ResourceJson<'a>,
    related: &'a RawValue,
    payload: PayloadJson<'a>,
    id: Uuid,
    follows: Option<Uuid>,
}

#[derive(Serialize)]
struct ResourceJson<'a> {
    #[serde(rename = "prefect.resource.id")]
    id: String,
    #[serde(rename = "prefect.resource.name")]
    name: &'a str,
    #[serde(rename = "prefect.run-count")]
    run_count: String,
    #[serde(rename = "prefect.state-message")]
    state_message: &'a str,
    #[serde(rename = "prefect.state-name")]
    state_name: &'a str,
    #[serde(rename = "prefect.state-timestamp")]
    state_timestamp: &'a str,
    #[serde(rename = "prefect.state-type")]
    state_type: &'a str,
    #[serde(rename = "prefect.orchestration")]
    orchestration: &'a str,
}

#[derive(Serialize)]
struct PayloadJson<'a> {
    intended: IntendedJson,
    initial_state: Option<InitialJson<'a>>,
    validated_state: Value,
    task_run: TaskRunJson<'a>,
}

#[derive(Serialize)]
struct IntendedJson {
    from: Option<&'static str>,
    to: &'static str,
}

#[derive(Serialize)]
struct InitialJson<'a> {
    r#type: &'static str,
    name: &'a str,
    message: &'a str,
    state_details: Value,
}

#[derive(Serialize)]
struct TaskRunJson<'a> {
    name: &'a str,
    task_key: &'a str,
    dynamic_key: &'a str,
    empirical_policy: &'a Policy,
    tags: &'a [String],
    labels: Value,
    task_inputs: &'a Links,
    run_count: u32,
    flow_run_run_count: u32,
    expected_start_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<String>,
    total_run_time: f64,
}

/// Writes the event of a transition in the shape of the newest genuine client.
fn write_event(body: &mut Vec<u8>, run: &TaskRecord, previous: Option<&StateRecord>) {
    let state = &run.state;
    let occurred = time(state.timestamp);
    let event = EventJson {
        occurred: occurred.clone(),
        event: format!("prefect.task-run.{}", state.name),
        resource: ResourceJson {
            id: format!("prefect.task-run.{}", run.id),
            name: &run.name,
            run_count: run.run_count.to_string(),
            state_message: state.message.as_deref().unwrap_or_default(),
            state_name: &state.name,
            state_timestamp: &occurred,
            state_type: state.state_type.as_str(),
            orchestration: "client",
        },
        related: &run.related,
        payload: PayloadJson {
            intended: IntendedJson {
                from: previous.map(|state| state.state_type.as_str()),
                to: state.state_type.as_str(),
            },
            initial_state: previous.map(|state| InitialJson {
                r#type: state.state_type.as_str(),
                name: &state.name,
                message: state.message.as_deref().unwrap_or_default(),
                state_details: json!({}),
            }),
            validated_state: state_json(state),
            task_run: TaskRunJson {
                name: &run.name,
                task_key: run.task_key,
                dynamic_key: &run.dynamic_key,
                empirical_policy: &run.policy,
                tags: &run.tags,
                labels: json!({}),
                task_inputs: &run.links,
                run_count: run.run_count,
                flow_run_run_count: run.flow_run_run_count,
                expected_start_time: time(run.expected_start_time),
                start_time: run.start_time.map(time),
                end_time: run.end_time.map(time),
                total_run_time: run.total_run_time.as_seconds_f64(),
            },
        },
        id: state.id,
        follows: previous.map(|state| state.id),
    };
    serde_json::to_writer(body, &event).expect("texts, numbers and ids are JSON");
}

/// Returns the related resources of a flow run's events, with tags of a task run.
pub(crate) fn related(resources: &[Value], tags: &[String]) -> Arc<RawValue> {
    let tags = tags.iter().map(|tag| {
        json!({
            "prefect.resource.id": format!("prefect.tag.{tag}"),
            "prefect.resource.role": "tag",
        })
    });
    let all = resources.iter().cloned().chain(tags);
    let all: Vec<Value> = all.take(MAX_RELATED).collect();
    serde_json::value::to_raw_value(&all)
        .expect("texts are JSON")
        .into()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::sdk::links::Ids;

    pub(crate) fn record() -> TaskRecord {
        let at = DateTime::UNIX_EPOCH;
        let mut links = Links::default();
        links.add("rows", Ids::One(Uuid::nil()));
        TaskRecord {
            id: Uuid::nil(),
            name: "load-0".into(),
            is_renamed: false,
            flow_run_id: Uuid::nil(),
            task_key: "load-00",
            dynamic_key: "0".into(),
            policy: Policy {
                max_retries: 0,
                retry_delay_seconds: 0.0,
                retries: 2,
                retry_delay: json!(1),
                retry_jitter_factor: None,
            },
            tags: vec!["db".into()],
            links,
            run_count: 1,
            flow_run_run_count: 1,
            expected_start_time: at,
            start_time: Some(at),
            end_time: None,
            total_run_time: TimeDelta::milliseconds(1500),
            state: StateRecord {
                id: Uuid::nil(),
                ..StateRecord::new(StateType::Running, at)
            },
            related: related(
                &[
                    json!({"prefect.resource.id": "prefect.flow-run.1", "prefect.resource.role": "flow-run"}),
                ],
                &["db".to_owned()],
            ),
        }
    }

    #[test]
    fn an_event_says_all_that_a_recorder_needs() {
        let mut body = Vec::new();
        let before = StateRecord {
            id: Uuid::nil(),
            ..StateRecord::new(StateType::Pending, DateTime::UNIX_EPOCH)
        };
        write_event(&mut body, &record(), Some(&before));
        let event: Value = serde_json::from_slice(&body).unwrap();
        insta::assert_json_snapshot!(event);
    }
}

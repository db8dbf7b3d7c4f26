//! The units of work that are measured: what one is, and the requests that make it.
//!
//! A unit is what a user counts (a run, a log line, a poll), not a request, so that servers which
//! need different requests for the same thing stay comparable.

use std::fmt;
use std::str::FromStr;

use hyper::Method;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::contract;
use super::load::{Client, Refusal};

/// Lines in one batch of logs. A client sends what two seconds of a chatty flow gather.
pub(super) const LOG_BATCH: usize = 100;

/// Something to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A flow run created in state PENDING.
    Create,
    /// A flow run's life: created SCHEDULED, then PENDING, RUNNING, COMPLETED.
    Lifecycle,
    /// A task run's life in a running flow run: created PENDING, then RUNNING, COMPLETED.
    TaskRun,
    /// A log line, sent in batches of a hundred.
    Log,
    /// An agent's poll of a work queue where nothing is due.
    Poll,
    /// A list of 200 flow runs, newest first.
    Filter,
    /// The history of all flow runs in the span asked for, in 50 intervals.
    History,
}

impl Unit {
    /// All units, in the order of a run's life.
    pub const ALL: [Self; 7] = [
        Self::Create,
        Self::Lifecycle,
        Self::TaskRun,
        Self::Log,
        Self::Poll,
        Self::Filter,
        Self::History,
    ];

    /// Returns the unit's name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Lifecycle => "lifecycle",
            Self::TaskRun => "task-run",
            Self::Log => "log",
            Self::Poll => "poll",
            Self::Filter => "filter",
            Self::History => "history",
        }
    }

    /// Does the unit once, and returns how many units that were.
    pub(super) async fn run(self, client: &mut Client) -> Result<u64, Refusal> {
        match self {
            Self::Create => create(client).await,
            Self::Lifecycle => lifecycle(client).await,
            Self::TaskRun => task_run(client).await,
            Self::Log => log(client).await,
            Self::Poll => poll(client).await,
            Self::Filter => filter(client).await,
            Self::History => history(client).await,
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Unit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|unit| unit.name() == text)
            .ok_or_else(|| format!("expected one of {}", Self::ALL.map(Self::name).join(", ")))
    }
}

/// What an answer to a create says, as far as the generator needs it.
#[derive(Deserialize)]
pub(super) struct Created {
    pub(super) id: Uuid,
}

#[derive(Deserialize)]
struct Transition<'a> {
    #[serde(borrow)]
    status: std::borrow::Cow<'a, str>,
}

async fn create(client: &mut Client) -> Result<u64, Refusal> {
    let body = json!({
        "flow_id": client.fixture.flow,
        "name": "bench",
        "parameters": {"rows": 20, "url": "http://127.0.0.1/api"},
        "tags": ["bench"],
        "state": contract::state("PENDING"),
    });
    let run: Created = client.create("/flow_runs/", &body).await?;
    client.kept.push(run.id);
    Ok(1)
}

async fn lifecycle(client: &mut Client) -> Result<u64, Refusal> {
    let body = json!({
        "flow_id": client.fixture.flow,
        "name": "bench",
        "parameters": {"rows": 20, "url": "http://127.0.0.1/api"},
        "tags": ["bench"],
        "state": contract::scheduled(client.now()),
    });
    let run: Created = client.create("/flow_runs/", &body).await?;
    for kind in ["PENDING", "RUNNING", "COMPLETED"] {
        set_state(client, "flow_runs", run.id, kind).await?;
    }
    client.kept.push(run.id);
    Ok(1)
}

async fn task_run(client: &mut Client) -> Result<u64, Refusal> {
    let serial = client.next_serial();
    let body = json!({
        "flow_run_id": client.flow_run,
        "name": "bench-task",
        "task_key": "bench.task",
        "dynamic_key": serial.to_string(),
        "tags": [],
        "task_inputs": {},
        "state": contract::state("PENDING"),
    });
    let run: Created = client.create("/task_runs/", &body).await?;
    for kind in ["RUNNING", "COMPLETED"] {
        set_state(client, "task_runs", run.id, kind).await?;
    }
    client.kept.push(run.id);
    Ok(1)
}

async fn log(client: &mut Client) -> Result<u64, Refusal> {
    let batch = contract::logs(client.flow_run, LOG_BATCH, client.now());
    client.ask(Method::POST, "/logs/", Some(&batch)).await?;
    client.lines += LOG_BATCH as u64;
    Ok(LOG_BATCH as u64)
}

async fn poll(client: &mut Client) -> Result<u64, Refusal> {
    let queue = client.fixture.queue;
    let queue = queue.expect("the set-up makes a queue for this unit");
    let path = format!("/work_queues/{queue}/get_runs");
    let body = json!({"scheduled_before": contract::instant(client.now()), "limit": 10});
    client.ask(Method::POST, &path, Some(&body)).await?;
    Ok(1)
}

async fn filter(client: &mut Client) -> Result<u64, Refusal> {
    let body = json!({"limit": 200, "sort": "EXPECTED_START_TIME_DESC"});
    client
        .ask(Method::POST, "/flow_runs/filter", Some(&body))
        .await?;
    Ok(1)
}

async fn history(client: &mut Client) -> Result<u64, Refusal> {
    let end = client.now();
    let start = end - client.fixture.history;
    let body = json!({
        "history_start": contract::instant(start),
        "history_end": contract::instant(end),
        "history_interval_seconds": client.fixture.history.as_secs_f64() / 50.0,
    });
    client
        .ask(Method::POST, "/flow_runs/history", Some(&body))
        .await?;
    Ok(1)
}

/// Proposes a state; anything but its acceptance is a refusal.
pub(super) async fn set_state(
    client: &mut Client,
    nouns: &str,
    id: Uuid,
    kind: &str,
) -> Result<(), Refusal> {
    let path = format!("/{nouns}/{id}/set_state");
    let body = json!({"state": contract::state(kind)});
    let answer = client.ask(Method::POST, &path, Some(&body)).await?;
    let status = serde_json::from_slice::<Transition>(&answer.body)
        .map(|transition| transition.status.into_owned())
        .unwrap_or_default();
    if status == "ACCEPT" {
        Ok(())
    } else {
        Err(client.refuse(format!("{kind}: {status}")))
    }
}

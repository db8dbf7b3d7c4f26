//! `/work_queues/{id}/due` and `/work_pools/{name}/due`: tell agents and workers that it is worth asking, so that they need
//! not wait for their next poll.
//!
//! Hints and not work: what an agent may take is decided where it is claimed. So events are not
//! filtered by the queue, which would cost a read for each change and each agent; a burst of
//! changes becomes one event.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{self, Stream};
use serde_json::json;
use tokio::sync::broadcast::{
    Receiver,
    error::{RecvError, TryRecvError},
};
use uuid::Uuid;

use crate::schemas::{StateType, WorkQueueId};
use crate::server::changes::{Change, Kind};
use crate::server::extract::Id;
use crate::server::{ApiError, AppState, models};

/// Proxies and agents take a connection that is silent for longer as dead.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// What is asked about.
#[derive(Debug, Clone)]
enum Source {
    Queue(WorkQueueId),
    Pool(String),
}

/// What an agent is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hint {
    /// A run has ended: if the source is limited, ask for due runs now.
    Freed,
    /// Ask for due runs now.
    Due(Option<Uuid>),
    /// End this run, if it is yours.
    Cancelled(Uuid),
}

/// Streams hints that runs are due or cancelled, as server-sent events.
#[utoipa::path(get, path = "/work_queues/{id}/due", params(("id" = WorkQueueId, Path)), responses((status = 200, content_type = "text/event-stream", body = String)))]
pub async fn stream_due_runs(
    State(state): State<AppState>,
    Id(id): Id<WorkQueueId>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    // Listening begins before the queue is looked for, so that nothing falls between.
    let changes = state.changes.listen();
    let read = async move |conn: &mut _| models::work_queues::read(conn, id).await;
    if state.db.read(read).await?.is_none() {
        return Err(ApiError::not_found("Work queue", id));
    }
    Ok(hints(state, changes, Source::Queue(id)))
}

/// Streams hints that runs of a pool are due or cancelled, as server-sent events.
#[utoipa::path(get, path = "/work_pools/{name}/due", params(("name" = String, Path)), responses((status = 200, content_type = "text/event-stream", body = String)))]
pub async fn stream_due_runs_of_pool(
    State(state): State<AppState>,
    Id(name): Id<String>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let changes = state.changes.listen();
    let which = name.clone();
    let read = async move |conn: &mut _| models::work_pools::read_by_name(conn, &name).await;
    if state.db.read(read).await?.is_none() {
        return Err(ApiError::no_work_pool(&which));
    }
    Ok(hints(state, changes, Source::Pool(which)))
}

/// Makes hints of changes, those of a queue's own settings for that queue only, if one is named.
fn hints(
    state: AppState,
    changes: Receiver<Change>,
    source: Source,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let begin = (state, changes, source, VecDeque::new());
    let hints = stream::unfold(begin, |(state, mut changes, source, mut told)| async move {
        let queue = match &source {
            Source::Queue(id) => Some(id.0),
            Source::Pool(_) => None,
        };
        loop {
            while told.is_empty() {
                gather(&mut changes, queue, &mut told).await?;
            }
            let mut hint = told.pop_front()?;
            if hint == Hint::Freed {
                if !is_limited(&state, source.clone()).await {
                    continue;
                }
                hint = Hint::Due(None);
            }
            return Some((Ok(event(hint)), (state, changes, source, told)));
        }
    });
    Sse::new(hints).keep_alive(KeepAlive::new().interval(HEARTBEAT))
}

/// Tells whether a slot may have become free, so that somebody who was told of no run finds one now.
async fn is_limited(state: &AppState, source: Source) -> bool {
    let read = async move |conn: &mut _| match source {
        Source::Queue(id) => models::work_queues::is_limited(conn, id).await,
        Source::Pool(name) => models::work_pools::is_limited(conn, &name).await,
    };
    // A hint that is lost costs no more than the wait for the next poll.
    state.db.read_short(read).await.unwrap_or_default()
}

/// Waits for changes and notes what they mean; `None` when there will be no more.
async fn gather(
    changes: &mut Receiver<Change>,
    queue: Option<Uuid>,
    told: &mut VecDeque<Hint>,
) -> Option<()> {
    match changes.recv().await {
        Ok(change) => note(&change, queue, told),
        Err(RecvError::Lagged(_)) => told.push_back(Hint::Due(None)),
        Err(RecvError::Closed) => return None,
    }
    loop {
        match changes.try_recv() {
            Ok(change) => note(&change, queue, told),
            Err(TryRecvError::Lagged(_)) => told.push_back(Hint::Due(None)),
            Err(TryRecvError::Empty | TryRecvError::Closed) => return Some(()),
        }
    }
}

fn note(change: &Change, queue: Option<Uuid>, told: &mut VecDeque<Hint>) {
    if (change.kind, change.state_type) == (Kind::FlowRun, Some(StateType::Cancelled)) {
        told.push_back(Hint::Cancelled(change.id));
    }
    let hint = match (change.kind, change.state_type) {
        (Kind::FlowRun, Some(StateType::Scheduled)) if change.deployment_id.is_some() => {
            Hint::Due(Some(change.id))
        }
        (Kind::FlowRun, Some(StateType::Cancelling)) => Hint::Cancelled(change.id),
        (Kind::FlowRun, Some(ended)) if ended.is_terminal() && change.deployment_id.is_some() => {
            Hint::Freed
        }
        // The queue may have been resumed, or its limit raised.
        (Kind::WorkQueue, _) if queue.is_none_or(|queue| change.id == queue) => Hint::Due(None),
        _ => return,
    };
    // One look at the queue finds everything that is due.
    let is_look = |hint: &Hint| matches!(hint, Hint::Due(_) | Hint::Freed);
    let is_known = match hint {
        Hint::Due(_) => {
            told.retain(|hint| *hint != Hint::Freed);
            told.iter().any(is_look)
        }
        Hint::Freed => told.iter().any(is_look),
        Hint::Cancelled(_) => false,
    };
    if !is_known {
        told.push_back(hint);
    }
}

fn event(hint: Hint) -> Event {
    let (name, run) = match hint {
        Hint::Freed => ("due", None),
        Hint::Due(run) => ("due", run),
        Hint::Cancelled(run) => ("cancelled", Some(run)),
    };
    Event::default()
        .event(name)
        .data(json!({"flow_run_id": run}).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schemas::DeploymentId;
    use crate::server::changes::Changes;

    fn change(id: u128, state: StateType) -> Change {
        Change {
            state_type: Some(state),
            deployment_id: Some(DeploymentId(Uuid::from_u128(9))),
            ..Change::of(Kind::FlowRun, Uuid::from_u128(id))
        }
    }

    #[tokio::test]
    async fn a_burst_of_changes_is_one_hint_and_each_cancellation_its_own() {
        let hub = Changes::new();
        let mut changes = hub.listen();
        for id in 1..4 {
            hub.tell(change(id, StateType::Scheduled));
        }
        hub.tell(change(5, StateType::Running));
        hub.tell(change(6, StateType::Cancelled));
        hub.tell(change(7, StateType::Cancelling));
        let mut told = VecDeque::new();
        gather(&mut changes, Some(Uuid::nil()), &mut told)
            .await
            .unwrap();
        let run = |id| Uuid::from_u128(id);
        assert_eq!(
            told,
            [
                Hint::Due(Some(run(1))),
                Hint::Cancelled(run(6)),
                Hint::Cancelled(run(7))
            ]
        );
    }
}

//! Events on their way in: kept, recorded as task runs where they are some, and told to listeners.
//!
//! One batch is one write. What is told to listeners afterwards are only those events that were
//! new, so that one that a client sends twice counts once.

mod hub;
pub mod lifecycle;
mod recorder;
mod task_run_records;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tracing::{error, warn};

pub use hub::{Batch, Hub};
pub use task_run_records::record;

use super::AppState;
use super::automations::{Consequences, Look};
use super::changes::{Change, Kind};
use super::models;
use super::models::events::Rows;
use super::models::notification_policies;
use super::models::task_run_records::{self as records, As, Told};
use crate::db::{self, Conn, Error};
use crate::schemas::TaskRunId;
use crate::schemas::automations::Automation;
use crate::schemas::events::{Event, Limits, ReceivedEvent};
use crate::settings::Settings;

/// How often a write is tried that another server's write got in the way of.
const TRIES: u32 = 5;

/// Returns how large an event may be.
pub fn limits(settings: &Settings) -> Limits {
    let number = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
    Limits {
        labels: number(settings.events_maximum_labels_per_resource),
        related: number(settings.events_maximum_related_resources),
        name: number(settings.events_maximum_event_name_length),
        bytes: number(settings.events_maximum_size_bytes),
    }
}

/// Keeps events and all that follows from them; they are durable when this returns.
///
/// # Errors
/// When the database cannot take them now; the same events may be given again.
pub async fn receive(app: &AppState, events: Vec<Event>) -> db::Result<()> {
    let received = app.now();
    let events: Vec<_> = events
        .into_iter()
        .map(|event| event.receive(received))
        .collect();
    keep_own(app, events).await
}

/// Keeps events that are known to be in order, such as the server's own.
pub async fn keep_own(app: &AppState, events: Vec<ReceivedEvent>) -> db::Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    let events = Arc::new(events);
    match write_again(app, &events).await {
        Err(cause) if is_of_an_entry(&cause) && events.len() > 1 => {
            // One event that cannot be kept must not take the others with it.
            warn!(
                "a batch of {} events is kept one by one: {cause}",
                events.len()
            );
            for event in events.iter() {
                one_by_one(app, event.clone()).await?;
            }
            Ok(())
        }
        done => done,
    }
}

async fn one_by_one(app: &AppState, event: ReceivedEvent) -> db::Result<()> {
    let id = event.event.id;
    let events = Arc::new(vec![event]);
    match write_again(app, &events).await {
        Err(cause) if is_of_an_entry(&cause) => {
            error!(event.id = %id, "event {id} is dropped, since it cannot be kept: {cause}");
            Ok(())
        }
        done => done,
    }
}

/// Tells whether a write failed by what it wrote, which is then kept one by one.
fn is_of_an_entry(error: &Error) -> bool {
    matches!(
        error,
        Error::Decode(_) | Error::Driver(_) | Error::NotUnique(_) | Error::NoParent(_)
    )
}

/// Tells whether a write is to be tried again: where several servers record the same task runs, the
/// later one sees them the next time.
fn is_in_the_way(outcome: &db::Result<()>, tries: u32) -> bool {
    let is_passing = matches!(
        outcome,
        Err(Error::NotUnique(_) | Error::NoParent(_) | Error::Busy(_))
    );
    is_passing && tries < TRIES
}

async fn write_again(app: &AppState, events: &Arc<Vec<ReceivedEvent>>) -> db::Result<()> {
    let mut tries = 1;
    loop {
        let outcome = write(app, events).await;
        if !is_in_the_way(&outcome, tries) {
            return outcome;
        }
        tries += 1;
    }
}

async fn write(app: &AppState, events: &Arc<Vec<ReceivedEvent>>) -> db::Result<()> {
    let now = app.now();
    let told: Vec<Told> = events.iter().filter_map(recorder::told).collect();
    let recorded = records::Rows::of(&told, As::OfEvents, now);
    let rows = models::events::Rows::of(events, now);
    let (batch, told) = (Arc::clone(events), Arc::new(told));
    let automations = automations(app);
    let of_task_runs = Arc::clone(&told);
    let written = async move |conn: &mut Conn| {
        let told = (of_task_runs.as_slice(), recorded);
        keep(conn, &batch, rows, told, &automations, now).await
    };
    let Kept {
        new,
        recorded,
        consequences,
    } = app.db.write(written).await?;
    tell_task_runs(app, &told, &recorded);
    if !new.is_empty() {
        app.events.tell(Batch::new(Arc::clone(events), new));
        app.changes.tell(Change::of(Kind::Event, uuid::Uuid::nil()));
    }
    tell_own(app, consequences.told, consequences.has_actions);
    Ok(())
}

/// Tells what followed from events, after it is durable.
pub fn tell_own(app: &AppState, told: Vec<ReceivedEvent>, has_actions: bool) {
    if !told.is_empty() {
        let all = (0..told.len()).collect();
        app.events.tell(Batch::new(Arc::new(told), all));
        app.changes.tell(Change::of(Kind::Event, uuid::Uuid::nil()));
    }
    if has_actions {
        app.changes
            .tell(Change::of(Kind::Automation, uuid::Uuid::nil()));
    }
}

/// Returns the automations that look at events.
fn automations(app: &AppState) -> Arc<Vec<Automation>> {
    match app.settings.triggers_enabled {
        true => app.automations.get(),
        false => Arc::default(),
    }
}

/// Tells in which states task runs are now, under the ids that they are known by.
fn tell_task_runs(app: &AppState, told: &[Told], ids: &[Option<TaskRunId>]) {
    for (one, id) in told.iter().zip(ids) {
        let Some(id) = id else { continue };
        let state = one.latest();
        app.changes.tell(Change {
            state_type: Some(state.state_type),
            state_name: Some(state.name.clone()),
            ..Change::of(Kind::TaskRun, id.0)
        });
    }
}

/// What one write has kept.
struct Kept {
    /// The places of the new events.
    new: Vec<usize>,
    /// Under which ids task runs were recorded.
    recorded: Vec<Option<TaskRunId>>,
    /// What automations make of it.
    consequences: Consequences,
}

async fn keep(
    conn: &mut Conn,
    events: &[ReceivedEvent],
    rows: Rows,
    told: (&[Told], records::Rows),
    automations: &[Automation],
    now: DateTime<Utc>,
) -> db::Result<Kept> {
    let mut created = models::events::create(conn, rows).await?;
    let mut new = Vec::with_capacity(created.len());
    for (n, event) in events.iter().enumerate() {
        // An event that is twice in a batch is new once.
        if created.remove(&event.event.id.0) {
            new.push(n);
        }
    }
    let recorded = records::record(conn, told.0, told.1).await?.ids;
    let looked_at = new.iter().map(|n| &events[*n]).collect();
    let mut consequences = Look::new(automations, now)
        .at_events(conn, looked_at)
        .await?;
    let states = new.iter().map(|n| &events[*n].event);
    let states = states.filter(|event| event.event.starts_with("prefect.flow-run."));
    let states = states.map(|event| event.id.0).collect();
    if notification_policies::queue(conn, states, now).await? {
        consequences.has_actions = true;
    }
    Ok(Kept {
        new,
        recorded,
        consequences,
    })
}

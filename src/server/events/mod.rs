//! Events on their way in: kept, recorded as task runs where they are some, and told to listeners.
//!
//! One batch is one write. What is told to listeners afterwards are only those events that were
//! new, so that one that a client sends twice counts once.

mod hub;
mod recorder;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tracing::{error, warn};

pub use hub::{Batch, Hub};

use super::AppState;
use super::automations::{Consequences, Look};
use super::changes::{Change, Kind};
use super::models;
use super::models::events::Rows;
use super::models::notification_policies;
use super::models::task_run_events::Told;
use crate::db::{self, Conn, Error};
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
        Err(
            Error::Decode(cause)
            | Error::Driver(cause)
            | Error::NotUnique(cause)
            | Error::NoParent(cause),
        ) if events.len() > 1 => {
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
    match write_again(app, &Arc::new(vec![event])).await {
        Err(
            Error::Decode(cause)
            | Error::Driver(cause)
            | Error::NotUnique(cause)
            | Error::NoParent(cause),
        ) => {
            error!(event.id = %id, "event {id} is dropped, since it cannot be kept: {cause}");
            Ok(())
        }
        done => done,
    }
}

/// Writes; where several servers record the same task runs, the later one sees them the next time.
async fn write_again(app: &AppState, events: &Arc<Vec<ReceivedEvent>>) -> db::Result<()> {
    let mut tries = 1;
    loop {
        match write(app, events).await {
            Err(Error::NotUnique(_) | Error::NoParent(_) | Error::Busy(_)) if tries < TRIES => {
                tries += 1
            }
            done => return done,
        }
    }
}

async fn write(app: &AppState, events: &Arc<Vec<ReceivedEvent>>) -> db::Result<()> {
    let now = app.now();
    let told: Vec<Told> = events.iter().filter_map(recorder::told).collect();
    let rows = models::events::Rows::of(events, now);
    let batch = Arc::clone(events);
    let automations = match app.settings.triggers_enabled {
        true => app.automations.get(),
        false => Arc::default(),
    };
    let written =
        async move |conn: &mut Conn| keep(conn, &batch, rows, told, &automations, now).await;
    let Kept {
        new,
        recorded,
        consequences,
    } = app.db.write(written).await?;
    for one in recorded {
        app.changes.tell(Change {
            state_type: Some(one.state.state_type),
            state_name: Some(one.state.name),
            ..Change::of(Kind::TaskRun, one.id.0)
        });
    }
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

/// What one write has kept.
struct Kept {
    /// The places of the new events.
    new: Vec<usize>,
    /// What was recorded of task runs.
    recorded: Vec<Told>,
    /// What automations make of it.
    consequences: Consequences,
}

async fn keep(
    conn: &mut Conn,
    events: &[ReceivedEvent],
    rows: Rows,
    told: Vec<Told>,
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
    let recorded = models::task_run_events::record(conn, told, now).await?;
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

//! Task runs that are told as records: without an event for each state.
//!
//! The states are the events ([`of_states`]). They are made into some at once only where somebody
//! listens, and are stored only where an automation might count them, in the write that records them.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tracing::{error, warn};
use uuid::Uuid;

use super::{automations, is_in_the_way, is_of_an_entry, tell_own, tell_task_runs};
use crate::db::{self, Conn};
use crate::schemas::automations::{Automation, EventTrigger};
use crate::schemas::events::ReceivedEvent;
use crate::schemas::task_run_records::TaskRunRecord;
use crate::server::AppState;
use crate::server::automations::{Consequences, Look};
use crate::server::changes::{Change, Kind};
use crate::server::models::events::of_states::{self, Of};
use crate::server::models::events::{self, Rows};
use crate::server::models::task_run_records::{self as records, As, Told};

/// Records task runs and all that follows from it; they are durable when this returns.
///
/// # Errors
/// When the database cannot take them now; the same records may be given again.
pub async fn record(app: &AppState, records: Vec<TaskRunRecord>) -> db::Result<()> {
    if records.is_empty() {
        return Ok(());
    }
    let told: Vec<Told> = records.into_iter().map(Told::from).collect();
    let told = Arc::new(told);
    match write_again(app, &told).await {
        Err(cause) if is_of_an_entry(&cause) && told.len() > 1 => {
            // One record that cannot be kept must not take the others with it.
            warn!(
                "a batch of {} task runs is kept one by one: {cause}",
                told.len()
            );
            for one in told.iter() {
                one_by_one(app, one.clone()).await?;
            }
            Ok(())
        }
        done => done,
    }
}

async fn one_by_one(app: &AppState, one: Told) -> db::Result<()> {
    let id = one.id;
    let told = Arc::new(vec![one]);
    match write_again(app, &told).await {
        Err(cause) if is_of_an_entry(&cause) => {
            error!(task_run.id = %id, "what was told of task run {id} is dropped, since it cannot be kept: {cause}");
            Ok(())
        }
        done => done,
    }
}

async fn write_again(app: &AppState, told: &Arc<Vec<Told>>) -> db::Result<()> {
    let mut tries = 1;
    loop {
        let outcome = write(app, told).await;
        if !is_in_the_way(&outcome, tries) {
            return outcome;
        }
        tries += 1;
    }
}

async fn write(app: &AppState, told: &Arc<Vec<Told>>) -> db::Result<()> {
    let now = app.now();
    let automations = automations(app);
    let counts = automations.iter().any(|automation| {
        let triggers = automation.body.trigger.event_triggers();
        triggers.into_iter().any(may_count)
    });
    let listens = app.events.has_listeners();
    let (rows, batch) = (records::Rows::of(told, As::Events, now), Arc::clone(told));
    let written = async move |conn: &mut Conn| {
        let recorded = records::record(conn, &batch, rows).await?;
        let has_news = !recorded.states.is_empty();
        let mut events = Vec::new();
        if has_news && (counts || listens) {
            let states = recorded.states.into_iter().collect();
            events = of_states::of_task_run_states(conn, states).await?;
        }
        let mut consequences = Consequences::default();
        if counts {
            consequences = count(conn, &mut events, &automations, now).await?;
        }
        Ok((recorded.ids, has_news, events, consequences))
    };
    let (ids, has_news, events, consequences) = app.db.write(written).await?;
    tell_task_runs(app, told, &ids);
    match listens {
        true => tell_own(app, events, false),
        false if has_news => app.changes.tell(Change::of(Kind::Event, Uuid::nil())),
        false => {}
    }
    tell_own(app, consequences.told, consequences.has_actions);
    Ok(())
}

/// Tells whether a trigger may be interested in a state of a task run.
fn may_count(trigger: &EventTrigger) -> bool {
    let prefix = Of::TaskRuns.prefix();
    let may_be = |pattern: &String| match pattern.find(['*', '?']) {
        _ if pattern.starts_with('!') => true,
        Some(wild) => pattern.starts_with(prefix) || prefix.starts_with(&pattern[..wild]),
        None => pattern.starts_with(prefix),
    };
    trigger.expect.is_empty() || trigger.expect.iter().chain(&trigger.after).any(may_be)
}

/// Stores events and lets automations look at them; leaves those that were new.
async fn count(
    conn: &mut Conn,
    events: &mut Vec<ReceivedEvent>,
    automations: &[Automation],
    now: DateTime<Utc>,
) -> db::Result<Consequences> {
    let stored: HashSet<Uuid> = events::create(conn, Rows::of(events, now)).await?;
    events.retain(|event| stored.contains(&event.event.id.0));
    let look = Look::new(automations, now);
    look.at_events(conn, events.iter().collect()).await
}

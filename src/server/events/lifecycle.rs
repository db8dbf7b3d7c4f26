//! Writes that tell what happens to nouns, see [`crate::server::models::events::lifecycle`].
//!
//! What has happened is kept, and looked at by automations, in the write that makes it happen; so it
//! is known exactly if it is so, and each automation sees it once.

use chrono::{DateTime, Utc};

use super::{automations, limits, tell_own};
use crate::db::{self, Conn};
use crate::schemas::Document;
use crate::schemas::automations::Automation;
use crate::schemas::events::{Event, Limits, ReceivedEvent};
use crate::server::AppState;
use crate::server::automations::Look;
use crate::server::models::events::lifecycle::Happened;
use crate::server::models::events::{Rows, create};

/// Runs a write and keeps what it notes as having happened; tells it after the commit.
///
/// # Errors
/// As [`crate::db::Db::write`]; then nothing has happened.
pub async fn write<T: Send + 'static>(
    app: &AppState,
    change: impl AsyncFnOnce(&mut Conn, &mut Happened) -> db::Result<T> + Send + 'static,
) -> db::Result<T> {
    let (now, limits, automations) = (app.now(), limits(&app.settings), automations(app));
    let write = async move |conn: &mut Conn| {
        let mut happened = Happened::at(now);
        let done = change(conn, &mut happened).await?;
        let kept = keep(conn, happened, &limits, &automations, now).await?;
        Ok((done, kept))
    };
    let (done, (told, has_actions)) = app.db.write(write).await?;
    tell_own(app, told, has_actions);
    Ok(done)
}

/// Keeps what has happened; returns the events to be told, and whether automations have to act.
async fn keep(
    conn: &mut Conn,
    happened: Happened,
    limits: &Limits,
    automations: &[Automation],
    now: DateTime<Utc>,
) -> db::Result<(Vec<ReceivedEvent>, bool)> {
    let (events, gone) = happened.into_parts();
    if events.is_empty() {
        return Ok((Vec::new(), false));
    }
    let bounded = events.into_iter().map(|event| bounded(event, limits));
    let mut told: Vec<ReceivedEvent> = bounded.map(|event| event.receive(now)).collect();
    create(conn, Rows::of(&told, now)).await?;
    let in_force: Vec<Automation>;
    let automations = match gone.is_empty() {
        true => automations,
        false => {
            let all = automations.iter();
            in_force = all.filter(|one| !gone.contains(&one.id)).cloned().collect();
            &in_force
        }
    };
    let consequences = Look::new(automations, now)
        .at_events(conn, told.iter().collect())
        .await?;
    told.extend(consequences.told);
    Ok((told, consequences.has_actions))
}

/// An event that is too large is told without what makes it so: that something has happened matters
/// more than what it is now, which can be asked.
fn bounded(event: Event, limits: &Limits) -> Event {
    match event.check(limits) {
        Err(("payload", _)) => Event {
            payload: Document::empty_object(),
            ..event
        },
        _ => event,
    }
}

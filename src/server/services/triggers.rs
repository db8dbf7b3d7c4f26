//! Lets triggers fire whose time has come without an event.
//!
//! Reasons to wake: the span of a proactive trigger ends, an event has waited too long for the one
//! that it follows, or an automation has changed. Events themselves are looked at where they are
//! kept, see [`crate::server::automations`].

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::Service;
use crate::db::{self, Conn};
use crate::schemas::automations::Posture;
use crate::server::automations::evaluate::LOOK_BACK;
use crate::server::automations::{Consequences, Look};
use crate::server::changes::{Change, Kind};
use crate::server::models::triggers;
use crate::server::{AppState, events};

/// How late a span's end may be noticed that an event began after the last look.
const GRANULARITY: Duration = Duration::from_secs(5);

/// Spans that ended so long ago are forgotten, unless something is waited for.
const FORGOTTEN: TimeDelta = TimeDelta::hours(1);

/// The service; see the module.
#[derive(Debug, Clone, Copy)]
pub struct Triggers;

/// The event triggers in force, by what they need of time.
#[derive(Default)]
struct Timed {
    proactive: Vec<Uuid>,
    /// Those that wait from the beginning, for nothing in particular.
    immediate: Vec<Uuid>,
    /// Reactive ones with a span.
    spanned: Vec<Uuid>,
}

impl Timed {
    fn of(app: &AppState) -> Self {
        let mut timed = Self::default();
        for automation in app.automations.get().iter() {
            for trigger in automation.body.trigger.event_triggers() {
                match trigger.posture {
                    Posture::Proactive => {
                        timed.proactive.push(trigger.id);
                        if trigger.after.is_empty() && trigger.for_each.is_empty() {
                            timed.immediate.push(trigger.id);
                        }
                    }
                    Posture::Reactive if !trigger.is_immediate() => timed.spanned.push(trigger.id),
                    Posture::Reactive => {}
                }
            }
        }
        timed
    }
}

impl Service for Triggers {
    fn name(&self) -> &'static str {
        "triggers"
    }

    fn longest_sleep(&self, app: &AppState) -> Duration {
        match app.is_shared() || !Timed::of(app).proactive.is_empty() {
            true => GRANULARITY,
            false => Duration::from_secs(300),
        }
    }

    fn concerns(change: &Change) -> bool {
        change.kind == Kind::Automation
    }

    async fn pass(&mut self, app: &AppState) -> db::Result<Option<DateTime<Utc>>> {
        if app.is_shared() {
            // Another server may have changed them.
            app.automations.reload(&app.db).await?;
        }
        let (now, timed) = (app.now(), Timed::of(app));
        let Timed {
            proactive,
            immediate,
            spanned,
        } = timed;
        let asked = proactive.clone();
        let read = async move |conn: &mut Conn| {
            let next = triggers::next_end(conn, &asked).await?;
            let parked = triggers::first_parked(conn).await?;
            let begun = triggers::count_of(conn, &immediate).await?;
            let old = triggers::has_ended(conn, &spanned, now - FORGOTTEN).await?;
            Ok((next, parked, begun < immediate.len() as i64, old, spanned))
        };
        let (next, parked, has_to_begin, has_old, spanned) = app.db.read(read).await?;
        let is_due = |at: Option<DateTime<Utc>>| at.is_some_and(|at| at <= now);
        let lost = parked.map(|parked| parked + LOOK_BACK);
        let mut then = [next, lost].into_iter().flatten().min();
        if has_to_begin || has_old || is_due(next) || is_due(lost) {
            let automations = app.automations.get();
            let asked = proactive.clone();
            let write = async move |conn: &mut Conn| {
                let timely = Look::new(&automations, now).at_time(conn).await?;
                let lost = Look::new(&automations, now)
                    .at_lost(conn, now - LOOK_BACK)
                    .await?;
                triggers::delete_ended(conn, &spanned, now - FORGOTTEN).await?;
                Ok((timely, lost, triggers::next_end(conn, &asked).await?))
            };
            let (timely, lost, next) = app.db.write(write).await?;
            then = next;
            for Consequences { told, has_actions } in [timely, lost] {
                events::tell_own(app, told, has_actions);
            }
        }
        Ok(then)
    }
}

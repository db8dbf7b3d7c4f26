//! Tells as events how flow runs change their states.
//!
//! Reasons to wake: a flow run has changed in this process, or a second has passed (another server
//! on the same database may have changed one). The events are read from the states, in batches,
//! after those are durable: a transition itself does not pay for them. They are stored only where
//! automations or notification policies have to see each of them exactly once, and even looked at
//! only if somebody listens: everybody else finds them in the states.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::{NoContext, Timestamp, Uuid};

use super::Service;
use crate::db;
use crate::server::AppState;
use crate::server::changes::{Change, Kind};
use crate::server::events;
use crate::server::models::events::of_states;
use crate::server::models::notification_policies;

/// States a pass reads at a time.
const BATCH: i64 = 500;

/// States that old are told when the server starts; older ones are history.
const LOOK_BACK: TimeDelta = TimeDelta::minutes(5);

/// Other servers' states may become visible that much later than their ids say.
const SLACK: TimeDelta = TimeDelta::seconds(5);

/// The teller; see the module.
#[derive(Debug, Default)]
pub struct FlowRunEvents {
    /// The last state that was told; ids of states are in order of time.
    told: Option<Uuid>,
    /// Those behind [`SLACK`] that were told without being stored.
    recent: HashSet<Uuid>,
}

impl Service for FlowRunEvents {
    fn name(&self) -> &'static str {
        "flow run events"
    }

    fn longest_sleep(&self, app: &AppState) -> Duration {
        match app.is_shared() {
            true => Duration::from_secs(1),
            // Only flow runs without a server share the file, and those are told at leisure.
            false => Duration::from_secs(10),
        }
    }

    fn concerns(change: &Change) -> bool {
        change.kind == Kind::FlowRun
    }

    async fn pass(&mut self, app: &AppState) -> db::Result<Option<DateTime<Utc>>> {
        let read = async |conn: &mut db::Conn| {
            let newest = of_states::newest(conn).await?;
            Ok((newest, notification_policies::is_any_active(conn).await?))
        };
        let (newest, has_policies) = app.db.read(read).await?;
        let told = self
            .told
            .unwrap_or_else(|| earliest(real_now() - LOOK_BACK));
        let Some(newest) = newest.filter(|newest| *newest > told || app.is_shared()) else {
            return Ok(None);
        };
        let has_triggers = app.settings.triggers_enabled && !app.automations.get().is_empty();
        if has_policies || has_triggers {
            self.tell(app, told, true).await?;
        } else if app.events.has_listeners() && self.told.is_some() {
            // What came before the start is no news to those who have subscribed since.
            self.tell(app, told, false).await?;
        } else if newest > told {
            app.changes.tell(Change::of(Kind::Event, Uuid::nil()));
        }
        self.told = Some(self.told.unwrap_or(told).max(newest));
        Ok(None)
    }
}

impl FlowRunEvents {
    /// Tells the events behind `told`, and stores them first if they have to count once.
    async fn tell(&mut self, app: &AppState, told: Uuid, stores: bool) -> db::Result<()> {
        let slack = earliest(real_now() - SLACK);
        let mut after = if app.is_shared() {
            told.min(slack)
        } else {
            told
        };
        self.recent.retain(|id| *id > slack);
        loop {
            let read = async move |conn: &mut db::Conn| of_states::untold(conn, after, BATCH).await;
            let mut untold = app.db.read(read).await?;
            let is_last = (untold.len() as i64) < BATCH;
            after = untold.last().map_or(after, |last| last.event.id.0);
            if stores {
                events::keep_own(app, untold).await?;
            } else {
                untold.retain(|event| self.recent.insert(event.event.id.0));
                events::tell_own(app, untold, false);
            }
            self.told = Some(after.max(told));
            if is_last {
                return Ok(());
            }
        }
    }
}

/// Ids are made by the machine's time, whatever the server's clock says.
fn real_now() -> DateTime<Utc> {
    let (seconds, nanos) = Uuid::now_v7()
        .get_timestamp()
        .map_or((0, 0), |at| at.to_unix());
    DateTime::from_timestamp(seconds.cast_signed(), nanos).unwrap_or_default()
}

/// Returns an id that is before those made from an instant on.
fn earliest(at: DateTime<Utc>) -> Uuid {
    let seconds = u64::try_from(at.timestamp()).unwrap_or(0);
    let id = Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, 0));
    // The bits behind the time are random; without them the id is the least of its second.
    Uuid::from_u128(id.as_u128() >> 80 << 80)
}

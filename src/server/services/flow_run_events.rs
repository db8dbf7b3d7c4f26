//! Tells as events how flow runs change their states.
//!
//! Reasons to wake: a flow run has changed in this process, or a second has passed (another server
//! on the same database may have changed one). The events are read from the states, in batches,
//! after those are durable: a transition itself does not pay for them, and what was not told
//! before a crash is told afterwards.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::{NoContext, Timestamp, Uuid};

use super::Service;
use crate::db;
use crate::server::changes::{Change, Kind};
use crate::server::{AppState, events, models};

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
}

impl Service for FlowRunEvents {
    fn name(&self) -> &'static str {
        "flow run events"
    }

    fn longest_sleep(&self, app: &AppState) -> Duration {
        match app.db.dialect() {
            // Only flow runs without a server share the file, and those are told at leisure.
            db::Dialect::Sqlite => Duration::from_secs(10),
            db::Dialect::Postgres => Duration::from_secs(1),
        }
    }

    fn concerns(change: &Change) -> bool {
        change.kind == Kind::FlowRun
    }

    async fn pass(&mut self, app: &AppState) -> db::Result<Option<DateTime<Utc>>> {
        let told = self
            .told
            .unwrap_or_else(|| earliest(real_now() - LOOK_BACK));
        let mut after = match app.db.dialect() {
            db::Dialect::Sqlite => told,
            db::Dialect::Postgres => told.min(earliest(real_now() - SLACK)),
        };
        loop {
            let now = app.now();
            let read = async move |conn: &mut db::Conn| {
                models::flow_run_events::untold(conn, after, BATCH, now).await
            };
            let (untold, last) = app.db.read(read).await?;
            let count = untold.len();
            events::keep_own(app, untold).await?;
            after = last.unwrap_or(after);
            self.told = Some(after.max(told));
            if (count as i64) < BATCH {
                return Ok(None);
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

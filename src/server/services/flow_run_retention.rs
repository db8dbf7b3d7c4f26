//! Deletes flow runs that ended longer ago than they are kept, and what is left of runs that are gone.
//!
//! Off unless the settings name it, since nothing brings a run back. Each write deletes a bounded
//! number of rows, so that a server with years of history stays at work; whatever interrupts it, the
//! next pass goes on where it was.
//!
//! Reasons to wake: the oldest flow run becomes old, or the loop's seconds have passed.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tracing::info;
use uuid::Uuid;

use super::Service;
use crate::db::{self, Conn};
use crate::server::AppState;
use crate::server::changes::{Change, Kind};
use crate::server::models::retention::{self, Left};

/// The least time that a flow run is kept.
const LEAST: TimeDelta = TimeDelta::hours(1);

/// The retention; see the module.
#[derive(Debug, Default)]
pub struct FlowRunRetention {
    /// When what is left of runs that are gone was last looked for.
    looked: Option<DateTime<Utc>>,
}

impl Service for FlowRunRetention {
    fn name(&self) -> &'static str {
        "flow run retention"
    }

    fn longest_sleep(&self, app: &AppState) -> Duration {
        app.settings.db_vacuum_loop_seconds
    }

    fn concerns(_: &Change) -> bool {
        false
    }

    async fn pass(&mut self, app: &AppState) -> db::Result<Option<DateTime<Utc>>> {
        let vacuum = app.settings.db_vacuum_enabled;
        let next = match vacuum.flow_runs {
            true => delete_old(app).await?,
            false => None,
        };
        if !vacuum.orphans {
            return Ok(next);
        }
        let now = app.now();
        let pause = TimeDelta::from_std(app.settings.db_vacuum_orphan_cleanup_loop_seconds);
        let again = |looked: DateTime<Utc>| {
            let pause = pause.unwrap_or(TimeDelta::MAX);
            looked
                .checked_add_signed(pause)
                .unwrap_or(DateTime::<Utc>::MAX_UTC)
        };
        if self.looked.is_none_or(|looked| again(looked) <= now) {
            for left in [Left::Logs, Left::Artifacts] {
                delete_orphans(app, left).await?;
            }
            self.looked = Some(now);
        }
        let then = self.looked.map(again);
        Ok([next, then].into_iter().flatten().min())
    }
}

/// Deletes flow runs that are old; returns when the next one is.
async fn delete_old(app: &AppState) -> db::Result<Option<DateTime<Utc>>> {
    let kept = TimeDelta::from_std(app.settings.db_vacuum_retention_period);
    let kept = kept.unwrap_or(TimeDelta::MAX).max(LEAST);
    let Some(before) = app.now().checked_sub_signed(kept) else {
        return Ok(None);
    };
    let most = batch(app);
    let mut gone = 0;
    loop {
        // An idle pass writes nothing.
        let read = async move |conn: &mut Conn| retention::has_old(conn, before).await;
        if !app.db.read(read).await? {
            break;
        }
        let (since, now) = (app.events_since(), app.now());
        let delete = async move |conn: &mut Conn| {
            retention::delete_old(conn, before, most, since, now).await
        };
        let deleted = app.db.write(delete).await?;
        // What is there is in somebody else's hands, and looked for again after the loop's seconds.
        if deleted.is_nothing() {
            return Ok(None);
        }
        gone += deleted.flow_runs.len();
        for run in deleted.flow_runs {
            app.changes.tell(Change::of(Kind::FlowRun, run));
        }
    }
    if gone > 0 {
        info!("Deleted {gone} flow runs that ended before {before}.");
    }
    let read = async |conn: &mut Conn| retention::first_end(conn).await;
    let first = app.db.read(read).await?;
    Ok(first.and_then(|first| first.checked_add_signed(kept)))
}

fn batch(app: &AppState) -> i64 {
    i64::from(app.settings.db_vacuum_batch_size.max(1))
}

async fn delete_orphans(app: &AppState, left: Left) -> db::Result<()> {
    let most = batch(app);
    let (mut after, mut rows) = (Some(Uuid::nil()), 0);
    while let Some(from) = after {
        let read = async move |conn: &mut Conn| retention::orphans(conn, left, from, most).await;
        let (orphans, last) = app.db.read(read).await?;
        for run in orphans {
            loop {
                let now = app.now();
                let delete = async move |conn: &mut Conn| {
                    retention::delete_left(conn, left, run, most, now).await
                };
                let deleted = app.db.write(delete).await?;
                rows += deleted;
                if (deleted as i64) < most {
                    break;
                }
            }
        }
        after = last;
    }
    if rows > 0 {
        info!("Deleted {rows} rows ({left:?}) of flow runs that are gone.");
    }
    Ok(())
}

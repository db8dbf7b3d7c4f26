//! Marks runs that should have started as `Late`.
//!
//! Reasons to wake: a run that is known becomes late, or the loop's seconds have passed. A new
//! run is no reason, since it cannot be late before a pass that the timer brings about.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tracing::info;

use super::Service;
use crate::db;
use crate::schemas::time;
use crate::server::AppState;
use crate::server::changes::Change;
use crate::server::models::scheduled_runs::{self, Overdue};

/// Runs marked in one write, so that other writes get their turn.
const BATCH: i64 = 400;

/// The late marker; see the module.
#[derive(Debug, Clone, Copy)]
pub struct LateRuns;

impl Service for LateRuns {
    fn name(&self) -> &'static str {
        "late runs"
    }

    fn longest_sleep(&self, app: &AppState) -> Duration {
        app.settings.late_runs_loop_seconds
    }

    fn concerns(_: &Change) -> bool {
        false
    }

    async fn pass(&mut self, app: &AppState) -> db::Result<Option<DateTime<Utc>>> {
        let grace = time::span(app.settings.late_runs_after_seconds);
        let now = app.now();
        loop {
            let read = async move |conn: &mut db::Conn| {
                scheduled_runs::list_overdue(conn, now - grace, BATCH).await
            };
            let overdue = app.db.read(read).await?;
            let is_last = i64::try_from(overdue.len()).is_ok_and(|found| found < BATCH);
            if !overdue.is_empty() {
                mark(app, overdue, now).await?;
            }
            if is_last {
                break;
            }
        }
        let read = async |conn: &mut db::Conn| scheduled_runs::next_due(conn).await;
        Ok(app.db.read(read).await?.map(|due| due + grace))
    }
}

async fn mark(app: &AppState, overdue: Vec<Overdue>, now: DateTime<Utc>) -> db::Result<()> {
    let write = async move |conn: &mut db::Conn| {
        let mut marked = Vec::new();
        for run in overdue {
            if let Some(state) = scheduled_runs::mark_late(conn, &run, now).await? {
                marked.push((run, state));
            }
        }
        Ok(marked)
    };
    let marked = app.db.write(write).await?;
    for (run, state) in &marked {
        let change = Change::of_flow_run(run.id, Some(state), run.deployment_id);
        app.changes.tell(change);
    }
    if !marked.is_empty() {
        info!("Marked {} runs as late.", marked.len());
    }
    Ok(())
}

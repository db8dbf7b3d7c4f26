//! Deletes events that are older than they are kept.
//!
//! Reason to wake: the oldest event becomes old, or ten minutes have passed.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tracing::info;

use super::Service;
use crate::db;
use crate::server::AppState;
use crate::server::changes::Change;
use crate::server::models;

/// Events deleted in one write, so that other writes get their turn.
const BATCH: i64 = 500;

/// The retention; see the module.
#[derive(Debug, Clone, Copy)]
pub struct EventRetention;

impl Service for EventRetention {
    fn name(&self) -> &'static str {
        "event retention"
    }

    fn longest_sleep(&self, _: &AppState) -> Duration {
        Duration::from_secs(600)
    }

    fn concerns(_: &Change) -> bool {
        false
    }

    async fn pass(&mut self, app: &AppState) -> db::Result<Option<DateTime<Utc>>> {
        let kept = app.settings.events_retention_period;
        let shorter = &app.settings.db_vacuum_event_retention_overrides.0;
        for (name, span) in shorter.iter().filter(|(_, span)| **span < kept) {
            delete(app, Some(name), app.instant_before(*span)).await?;
        }
        delete(app, None, app.events_since()).await?;
        Ok(None)
    }
}

/// Deletes what happened before an instant, of one name or of any.
async fn delete(app: &AppState, name: Option<&str>, before: DateTime<Utc>) -> db::Result<()> {
    let of = name.map(str::to_owned);
    let mut deleted = 0;
    loop {
        let name = of.clone();
        let read =
            async move |conn: &mut db::Conn| models::events::oldest(conn, name.as_deref()).await;
        let oldest = app.db.read(read).await?;
        if oldest.is_none_or(|oldest| oldest >= before) {
            break;
        }
        let name = of.clone();
        let delete = async move |conn: &mut db::Conn| {
            models::events::delete_before(conn, before, name.as_deref(), BATCH).await
        };
        deleted += app.db.write(delete).await?;
    }
    if deleted > 0 {
        let name = name.unwrap_or("any name");
        info!("Deleted {deleted} events of {name} that happened before {before}.");
    }
    Ok(())
}

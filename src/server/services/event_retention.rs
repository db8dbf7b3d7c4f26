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
        let before = app.events_since();
        let mut deleted = 0;
        loop {
            let oldest = app
                .db
                .read(async |conn: &mut db::Conn| models::events::oldest(conn).await)
                .await?;
            if oldest.is_none_or(|oldest| oldest >= before) {
                break;
            }
            let delete = async move |conn: &mut db::Conn| {
                models::events::delete_before(conn, before, BATCH).await
            };
            deleted += app.db.write(delete).await?;
        }
        if deleted > 0 {
            info!("Deleted {deleted} events that happened before {before}.");
        }
        Ok(None)
    }
}

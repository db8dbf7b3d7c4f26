//! Takes slots back whose holders have let their lease run out.
//!
//! Reasons to wake: a lease runs out, or the loop's seconds have passed. A new lease is no reason,
//! since it lasts for longer than the loop sleeps.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tracing::info;

use super::Service;
use crate::db;
use crate::server::AppState;
use crate::server::changes::{Change, Kind};
use crate::server::models::slots;

/// Leases ended in one write, so that other writes get their turn.
const BATCH: i64 = 100;

/// The repossessor; see the module.
#[derive(Debug, Clone, Copy)]
pub struct LeaseRepossessor;

impl Service for LeaseRepossessor {
    fn name(&self) -> &'static str {
        "lease repossessor"
    }

    fn longest_sleep(&self, app: &AppState) -> Duration {
        app.settings.repossessor_loop_seconds
    }

    fn concerns(_: &Change) -> bool {
        false
    }

    async fn pass(&mut self, app: &AppState) -> db::Result<Option<DateTime<Utc>>> {
        let now = app.now();
        loop {
            let read = async move |conn: &mut db::Conn| slots::list_expired(conn, now, BATCH).await;
            let expired = app.db.read(read).await?;
            if expired.is_empty() {
                break;
            }
            let end = async move |conn: &mut db::Conn| {
                let mut freed = Vec::new();
                for lease in expired {
                    if let Some(limits) = slots::repossess(conn, lease, now).await? {
                        freed.push((lease, limits));
                    }
                }
                Ok(freed)
            };
            for (lease, limits) in app.db.write(end).await? {
                info!(lease.id = %lease, "lease {lease} ran out; its slots are free again");
                for id in limits {
                    app.changes.tell(Change::of(Kind::ConcurrencyLimit, id.0));
                }
            }
        }
        let read = async |conn: &mut db::Conn| slots::next_expiry(conn).await;
        app.db.read(read).await
    }
}

//! Tells who has come to poll for runs and who has fallen silent, since whoever goes away tells nobody.
//!
//! Reasons to wake: the loop's seconds have passed. It writes nothing, so that every server on one
//! database tells its own listeners.

use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::Service;
use crate::db;
use crate::server::AppState;
use crate::server::changes::{Change, Kind};
use crate::server::models::presence::{self, Present};

/// How long somebody's coming and going may be unknown to those who listen.
const LOOP: Duration = Duration::from_secs(5);

/// The watch on who polls; see the module.
#[derive(Debug, Default)]
pub struct Presence {
    /// Who was there at the last pass; none before the first.
    known: Option<Present>,
}

impl Service for Presence {
    fn name(&self) -> &'static str {
        "presence"
    }

    fn longest_sleep(&self, _: &AppState) -> Duration {
        LOOP
    }

    fn concerns(_: &Change) -> bool {
        false
    }

    async fn pass(&mut self, app: &AppState) -> db::Result<Option<DateTime<Utc>>> {
        let now = app.now();
        let read = async move |conn: &mut db::Conn| presence::read(conn, now).await;
        let present = app.db.read(read).await?;
        let known = self
            .known
            .replace(present.clone())
            .unwrap_or(present.clone());
        let mut polled: Vec<Uuid> = known
            .symmetric_difference(&present)
            .map(|(polled, _)| *polled)
            .collect();
        polled.dedup();
        for id in polled {
            app.changes.tell(Change::of(Kind::Poller, id));
        }
        Ok(None)
    }
}

//! Does what automations have to do, after the write that says so.
//!
//! Reasons to wake: an automation was set off in this process, or half a minute has passed (another
//! server may have died before it did what it had taken).

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::Service;
use crate::db::{self, Conn};
use crate::server::AppState;
use crate::server::automations::actions::Actor;
use crate::server::changes::{Change, Kind};
use crate::server::models::triggers;

/// Actions taken at a time.
const BATCH: i64 = 20;

/// An action that was taken so long ago and is not done was taken by a server that is gone.
const GONE: TimeDelta = TimeDelta::minutes(5);

/// The service; see the module.
#[derive(Default)]
pub struct AutomationActions {
    actor: Option<Actor>,
}

impl Service for AutomationActions {
    fn name(&self) -> &'static str {
        "automation actions"
    }

    fn longest_sleep(&self, _: &AppState) -> Duration {
        Duration::from_secs(30)
    }

    fn concerns(change: &Change) -> bool {
        change.kind == Kind::Automation
    }

    async fn pass(&mut self, app: &AppState) -> db::Result<Option<DateTime<Utc>>> {
        loop {
            let now = app.now();
            let read = async |conn: &mut Conn| triggers::has_actions(conn).await;
            if !app.db.read(read).await? {
                return Ok(None);
            }
            let claim = async move |conn: &mut Conn| {
                triggers::claim_actions(conn, now, now - GONE, BATCH).await
            };
            let actions = app.db.write(claim).await?;
            if actions.is_empty() {
                return Ok(None);
            }
            let actor = self.actor.get_or_insert_with(|| Actor::new(app));
            for action in actions {
                actor.perform(&action).await;
                let id = action.id;
                let finish = async move |conn: &mut Conn| triggers::finish_action(conn, id).await;
                app.db.write(finish).await?;
            }
        }
    }
}

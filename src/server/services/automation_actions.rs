//! Does what automations have to do.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::errands::{Errand, Errands};
use crate::db::{self, Conn};
use crate::schemas::automations::TriggeredAction;
use crate::server::AppState;
use crate::server::automations::actions::Actor;
use crate::server::models::triggers;

/// Actions taken at a time.
const BATCH: i64 = 20;

/// The service.
pub type AutomationActions = Errands<TriggeredAction>;

impl Errand for TriggeredAction {
    const NAME: &'static str = "automation actions";

    fn id(&self) -> Uuid {
        self.id
    }

    async fn carry_out(&self, _: &AppState, actor: &Actor) {
        actor.perform(self).await;
    }

    async fn has_any(conn: &mut Conn) -> db::Result<bool> {
        triggers::has_actions(conn).await
    }

    async fn claim(
        conn: &mut Conn,
        now: DateTime<Utc>,
        gone: DateTime<Utc>,
    ) -> db::Result<Vec<Self>> {
        triggers::claim_actions(conn, now, gone, BATCH).await
    }

    async fn finish(conn: &mut Conn, id: Uuid) -> db::Result<()> {
        triggers::finish_action(conn, id).await
    }
}

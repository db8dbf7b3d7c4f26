//! Tells people of states of flow runs, as notification policies say.

use chrono::{DateTime, Utc};
use tracing::{debug, warn};
use uuid::Uuid;

use super::errands::{Errand, Errands};
use crate::db::{self, Conn};
use crate::schemas::json_schema::python;
use crate::schemas::notification_policies::{USUAL_MESSAGE, fill};
use crate::schemas::{Dialect, time};
use crate::server::AppState;
use crate::server::automations::actions::Actor;
use crate::server::models::notification_policies::{self as policies, Notification};

/// What every notification is about.
const SUBJECT: &str = "Prefect flow run notification";

/// The service.
pub type FlowRunNotifications = Errands<Notification>;

impl Errand for Notification {
    const NAME: &'static str = "flow run notifications";

    fn id(&self) -> Uuid {
        self.id
    }

    async fn carry_out(&self, app: &AppState, actor: &Actor) {
        let done = match message(self, &app.ui_url()) {
            Ok(body) => actor.notify(self.block_document_id.0, SUBJECT, &body).await,
            Err(cause) => Err(cause),
        };
        let (policy, run) = (self.policy_id, self.flow_run_id);
        match done {
            Ok(()) => {
                debug!(flow_run.id = %run, "notification policy {policy} has told of flow run {run}")
            }
            Err(cause) => {
                warn!(flow_run.id = %run, "notification policy {policy} could not tell of flow run {run}: {cause}")
            }
        }
    }

    async fn has_any(conn: &mut Conn) -> db::Result<bool> {
        policies::has_any(conn).await
    }

    /// Takes one at a time, so that what a server that dies has sent is sent again by nobody but
    /// the last of them.
    async fn claim(
        conn: &mut Conn,
        now: DateTime<Utc>,
        gone: DateTime<Utc>,
    ) -> db::Result<Vec<Self>> {
        let taken = policies::claim(conn, now, gone).await?;
        Ok(taken.into_iter().collect())
    }

    async fn finish(conn: &mut Conn, id: Uuid) -> db::Result<()> {
        policies::finish(conn, id).await
    }
}

fn message(notification: &Notification, ui_url: &str) -> Result<String, String> {
    let Notification { state, .. } = notification;
    let template = notification.message_template.as_deref();
    fill(template.unwrap_or(USUAL_MESSAGE), |name| match name {
        "flow_run_notification_policy_id" => notification.policy_id.to_string(),
        "flow_id" => notification.flow_id.to_string(),
        "flow_name" => notification.flow_name.clone(),
        "flow_run_url" => format!("{ui_url}/flow-runs/flow-run/{}", notification.flow_run_id),
        "flow_run_id" => notification.flow_run_id.to_string(),
        "flow_run_name" => notification.flow_run_name.clone(),
        "flow_run_parameters" => python(&notification.parameters.read().unwrap_or_default()),
        "flow_run_state_type" => state.state_type.as_str().to_owned(),
        "flow_run_state_name" => state.name.clone(),
        "flow_run_state_timestamp" => time::format(state.timestamp, Dialect::Two),
        _ => state.message.clone().unwrap_or_else(|| "None".to_owned()),
    })
}

//! Tells people of states of flow runs, as notification policies say.
//!
//! Reasons to wake: something is to be sent since a state was told in this process, or half a minute
//! has passed (another server may have died before it sent what it had taken).

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tracing::{debug, warn};

use super::Service;
use crate::db::{self, Conn};
use crate::schemas::json_schema::python;
use crate::schemas::notification_policies::{USUAL_MESSAGE, fill};
use crate::schemas::{Dialect, time};
use crate::server::AppState;
use crate::server::automations::actions::Actor;
use crate::server::changes::{Change, Kind};
use crate::server::models::notification_policies::{self as policies, Notification};

/// What every notification is about.
const SUBJECT: &str = "Prefect flow run notification";

/// One that was taken so long ago and is still there was taken by a server that is gone.
const GONE: TimeDelta = TimeDelta::minutes(5);

/// The service; see the module.
#[derive(Default)]
pub struct FlowRunNotifications {
    actor: Option<Actor>,
}

impl Service for FlowRunNotifications {
    fn name(&self) -> &'static str {
        "flow run notifications"
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
            let read = async |conn: &mut Conn| policies::has_any(conn).await;
            if !app.db.read(read).await? {
                return Ok(None);
            }
            // One at a time, so that what a server that dies has sent is sent again by nobody but
            // the last of them.
            let claim = async move |conn: &mut Conn| policies::claim(conn, now, now - GONE).await;
            let Some(notification) = app.db.write(claim).await? else {
                return Ok(None);
            };
            let actor = self.actor.get_or_insert_with(|| Actor::new(app));
            send(app, actor, &notification).await;
            let id = notification.id;
            let finish = async move |conn: &mut Conn| policies::finish(conn, id).await;
            app.db.write(finish).await?;
        }
    }
}

async fn send(app: &AppState, actor: &Actor, notification: &Notification) {
    let block = notification.block_document_id.0;
    let body = message(notification, &app.ui_url());
    let done = match body {
        Ok(body) => actor.notify(block, SUBJECT, &body).await,
        Err(cause) => Err(cause),
    };
    let (policy, run) = (notification.policy_id, notification.flow_run_id);
    match done {
        Ok(()) => {
            debug!(flow_run.id = %run, "notification policy {policy} has told of flow run {run}")
        }
        Err(cause) => {
            warn!(flow_run.id = %run, "notification policy {policy} could not tell of flow run {run}: {cause}")
        }
    }
}

fn message(notification: &Notification, ui_url: &str) -> Result<String, String> {
    let Notification { state, .. } = notification;
    let template = notification.message_template.as_deref();
    fill(template.unwrap_or(USUAL_MESSAGE), |name| match name {
        "flow_run_notification_policy_id" => notification.policy_id.to_string(),
        "flow_id" => notification.flow_id.to_string(),
        "flow_name" => notification.flow_name.clone(),
        "flow_run_url" => format!("{ui_url}/flow-run/{}", notification.flow_run_id),
        "flow_run_id" => notification.flow_run_id.to_string(),
        "flow_run_name" => notification.flow_run_name.clone(),
        "flow_run_parameters" => python(&notification.parameters.read().unwrap_or_default()),
        "flow_run_state_type" => state.state_type.as_str().to_owned(),
        "flow_run_state_name" => state.name.clone(),
        "flow_run_state_timestamp" => time::format(state.timestamp, Dialect::Two),
        _ => state.message.clone().unwrap_or_else(|| "None".to_owned()),
    })
}

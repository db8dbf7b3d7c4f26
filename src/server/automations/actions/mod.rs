//! Does what automations do.
//!
//! An action is a request to our own API, in this process: it is checked, recorded and told as if
//! a person had sent it, and every noun is changed in one place only.

mod account;
mod own_api;
mod rendering;

use chrono::TimeDelta;
use serde_json::{Value as Json, json};
use tracing::{info, warn};
use uuid::Uuid;

use self::account::Account;
use self::own_api::{OwnApi, text};
use super::notify::{self, Block, Clients};
use crate::http::percent_encoded;
use crate::schemas::automations::{Action, Source, TriggeredAction};
use crate::schemas::events::RESOURCE_ID;
use crate::schemas::{Dialect, time};
use crate::server::{AppState, events};

/// The longest that a suspended run waits by default, in seconds.
const SUSPENDED_SECONDS: i64 = 3600;

/// Does actions.
pub struct Actor {
    app: AppState,
    api: OwnApi,
    clients: Clients,
}

impl Actor {
    /// Prepares to do actions of a server.
    pub fn new(app: &AppState) -> Self {
        Self {
            app: app.clone(),
            api: OwnApi::new(app),
            clients: Clients::default(),
        }
    }

    /// Sends a notification to where a block says.
    ///
    /// # Errors
    /// Says why it was not sent.
    pub async fn notify(&self, block: Uuid, subject: &str, body: &str) -> Result<(), String> {
        let block = self
            .block(&mut Account::of("send-notification"), block)
            .await?;
        let answer = notify::notify(&self.clients, &block, subject, body).await;
        answer.map(drop)
    }

    /// Does an action and tells how it went.
    pub async fn perform(&self, action: &TriggeredAction) {
        let mut account = Account::of(&action.action.kind());
        let failure = self.act(action, &mut account).await.err();
        let id = action.automation.id;
        let (name, kind) = (&action.automation.body.name, action.action.kind());
        match &failure {
            None => info!(automation.id = %id, "automation `{name}` has done {kind}"),
            Some(reason) => {
                warn!(automation.id = %id, "automation `{name}` could not do {kind}: {reason}");
            }
        }
        let told = account.events(action, failure, self.app.now());
        if let Err(cause) = events::receive(&self.app, told).await {
            warn!(automation.id = %id, "the events of an action are lost: {cause}");
        }
    }

    async fn act(&self, action: &TriggeredAction, account: &mut Account) -> Result<(), String> {
        let by = |verb: &str| format!("{verb} by Automation {}", action.automation.id);
        match &action.action {
            Action::DoNothing {} => Ok(()),
            Action::RunDeployment {
                parameters,
                job_variables,
                schedule_after,
                ..
            } => {
                let id = self.target(action, account)?;
                let after = TimeDelta::from_std(*schedule_after).unwrap_or_default();
                let at = time::format(self.app.now() + after, Dialect::Three);
                let parameters = self.parameters(action, parameters.as_ref()).await;
                let parameters = parameters.map_err(|cause| {
                    format!("Unable to create flow run from deployment: {cause}")
                })?;
                let run = json!({
                    "state": {"type": "SCHEDULED", "state_details": {"scheduled_time": at}},
                    "parameters": parameters,
                    "idempotency_key": action.id,
                    "job_variables": job_variables,
                });
                self.run_deployment(action, id, account, &run).await
            }
            Action::PauseDeployment { .. } => {
                self.switch_deployment(action, account, "pause_deployment")
                    .await
            }
            Action::ResumeDeployment { .. } => {
                self.switch_deployment(action, account, "resume_deployment")
                    .await
            }
            Action::CancelFlowRun {} => {
                let state = json!({"type": "CANCELLING", "message": by("Cancelled")});
                self.set_state(action, account, state, false).await
            }
            Action::ChangeFlowRunState {
                name,
                state,
                message,
                force,
            } => {
                let message = message.clone().unwrap_or_else(|| by("State changed"));
                let state = json!({"type": state, "name": name, "message": message});
                self.set_state(action, account, state, *force).await
            }
            Action::SuspendFlowRun {} => {
                let until = self.app.now() + TimeDelta::seconds(SUSPENDED_SECONDS);
                let until = time::format(until, Dialect::Three);
                let details = json!({"pause_reschedule": true, "pause_timeout": until});
                let state = json!({
                    "type": "PAUSED", "name": "Suspended", "message": by("Suspended"),
                    "state_details": details,
                });
                self.set_state(action, account, state, false).await
            }
            Action::ResumeFlowRun {} => {
                let path = format!("/flow_runs/{}/resume", flow_run(action, account)?);
                let aside = &mut account.aside();
                let answer = self.api.request(aside, "POST", &path, &json!({})).await?;
                accepted(&answer, "Failed to resume flow run")
            }
            Action::DeleteFlowRun {} => {
                let path = format!("/flow_runs/{}", flow_run(action, account)?);
                let answer = self.api.request(account, "DELETE", &path, &Json::Null);
                answer.await.map(drop)
            }
            Action::PauseWorkPool { .. } => self.set_work_pool(action, account, true).await,
            Action::ResumeWorkPool { .. } => self.set_work_pool(action, account, false).await,
            Action::PauseWorkQueue { .. } => {
                self.patch(action, account, "work_queues", json!({"is_paused": true}))
                    .await
            }
            Action::ResumeWorkQueue { .. } => {
                self.patch(action, account, "work_queues", json!({"is_paused": false}))
                    .await
            }
            Action::PauseAutomation { .. } => {
                self.patch(action, account, "automations", json!({"enabled": false}))
                    .await
            }
            Action::ResumeAutomation { .. } => {
                self.patch(action, account, "automations", json!({"enabled": true}))
                    .await
            }
            Action::CallWebhook {
                block_document_id,
                payload,
            } => {
                let block = self.block(account, *block_document_id).await?;
                let payload = self.render(action, account, payload).await?;
                let answer = notify::call(&self.clients, &block, &payload).await;
                let answer = answer.map_err(|cause| format!("Webhook call failed: {cause}"))?;
                account.note("status_code", answer.status);
                account.note("response_body", answer.body);
                account.note("response_headers", answer.headers);
                Ok(())
            }
            Action::SendNotification {
                block_document_id,
                subject,
                body,
            } => {
                let block = self.block(account, *block_document_id).await?;
                let subject = self.render(action, account, subject).await?;
                let body = self.render(action, account, body).await?;
                let answer = notify::notify(&self.clients, &block, &subject, &body).await;
                answer.map(drop).map_err(|cause| {
                    account.note("notification_log", cause);
                    "Notification failed".to_owned()
                })
            }
        }
    }

    /// Returns what the action is done to: what it names, or what the event is about.
    fn target(&self, action: &TriggeredAction, account: &mut Account) -> Result<Uuid, String> {
        let target = action.action.target().ok_or("the action has no target")?;
        let word = target.kind.replace('-', " ");
        if target.source == Source::Inferred && action.triggering_event.is_none() {
            return Err(format!("No event to infer the {word}"));
        }
        let id = match target.source {
            Source::Selected => target.id,
            Source::Inferred => involved(action, target.kind),
        };
        let id = id.ok_or_else(|| format!("No {word} could be inferred"))?;
        account.relate(target.kind, id, "target");
        Ok(id)
    }

    async fn read(&self, account: &mut Account, path: &str) -> Result<Json, String> {
        self.api.request(account, "GET", path, &Json::Null).await
    }

    async fn run_deployment(
        &self,
        action: &TriggeredAction,
        id: Uuid,
        account: &mut Account,
        run: &Json,
    ) -> Result<(), String> {
        let path = format!("/deployments/{id}/create_flow_run");
        let run = self
            .api
            .make_for(&action.automation, account, &path, run)
            .await?;
        account.relate_named(
            "flow-run",
            &text(&run, "id"),
            "flow-run",
            text(&run, "name"),
        );
        Ok(())
    }

    async fn switch_deployment(
        &self,
        action: &TriggeredAction,
        account: &mut Account,
        verb: &str,
    ) -> Result<(), String> {
        let path = format!("/deployments/{}/{verb}", self.target(action, account)?);
        let answer = self.api.request(account, "POST", &path, &Json::Null);
        answer.await.map(drop)
    }

    async fn patch(
        &self,
        action: &TriggeredAction,
        account: &mut Account,
        noun: &str,
        change: Json,
    ) -> Result<(), String> {
        let path = format!("/{noun}/{}", self.target(action, account)?);
        let answer = self.api.request(account, "PATCH", &path, &change);
        answer.await.map(drop)
    }

    /// Work pools are changed by their names.
    async fn set_work_pool(
        &self,
        action: &TriggeredAction,
        account: &mut Account,
        is_paused: bool,
    ) -> Result<(), String> {
        let id = self.target(action, account)?;
        let pool = self.api.work_pool(&mut account.aside(), id).await?;
        let name = pool["name"].as_str();
        let name = name.ok_or_else(|| format!("Work pool {id} not found"))?;
        let path = format!("/work_pools/{}", percent_encoded(name));
        let change = json!({"is_paused": is_paused});
        let answer = self.api.request(account, "PATCH", &path, &change);
        answer.await.map(drop)
    }

    async fn set_state(
        &self,
        action: &TriggeredAction,
        account: &mut Account,
        state: Json,
        force: bool,
    ) -> Result<(), String> {
        let path = format!("/flow_runs/{}/set_state", flow_run(action, account)?);
        let body = json!({"state": state, "force": force});
        let answer = self.api.request(account, "POST", &path, &body).await?;
        // What has no process yet is cancelled at once, which is told as another state than was asked for.
        let is_cancelled = (state_type(&body), state_type(&answer)) == ("CANCELLING", "CANCELLED");
        match is_cancelled {
            true => Ok(()),
            false => accepted(&answer, "Failed to set state"),
        }
    }

    async fn block(&self, account: &mut Account, id: Uuid) -> Result<Block, String> {
        let path = format!("/block_documents/{id}?include_secrets=true");
        // What the action comes to is told, not that its block was found.
        let found = self.read(&mut account.aside(), &path).await?;
        let slug = text(&found["block_type"], "slug");
        let name = text(&found, "name");
        account.relate_named("block-document", &id.to_string(), "block", name);
        account.relate("block-type", &slug, "block-type");
        Ok(Block {
            slug,
            data: found["data"].clone(),
        })
    }
}

fn state_type(of: &Json) -> &str {
    of["state"]["type"].as_str().unwrap_or_default()
}

fn accepted(answer: &Json, failure: &str) -> Result<(), String> {
    if answer["status"] == "ACCEPT" {
        return Ok(());
    }
    let reason = answer["details"]["reason"]
        .as_str()
        .unwrap_or("the state was not accepted");
    Err(format!("{failure}: {reason}"))
}

/// Returns the first object of a kind, such as `flow-run`, that the event involves.
fn involved(action: &TriggeredAction, kind: &str) -> Option<Uuid> {
    let prefix = format!("prefect.{kind}.");
    action
        .triggering_event
        .as_ref()?
        .involved()
        .find_map(|resource| resource.object_id(&prefix))
}

/// Returns the flow run that the action is done to: the one that was counted apart, or the event's.
fn flow_run(action: &TriggeredAction, account: &mut Account) -> Result<Uuid, String> {
    let label = action.firing.triggering_labels.get(RESOURCE_ID);
    let counted = label
        .and_then(Json::as_str)
        .and_then(|id| id.strip_prefix("prefect.flow-run.")?.parse().ok());
    let id = counted.or_else(|| involved(action, "flow-run"));
    let id = id.ok_or("No flow run could be inferred")?;
    account.relate("flow-run", id, "target");
    Ok(id)
}

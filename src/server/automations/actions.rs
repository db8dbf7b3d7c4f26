//! Does what automations do.
//!
//! An action is a request to our own API, in this process: it is checked, recorded and told as if
//! a person had sent it, and every noun is changed in one place only.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use serde_json::{Map, Value as Json, json};
use tower::ServiceExt;
use tracing::{info, warn};
use uuid::Uuid;

use super::notify::{self, Block};
use super::templates;
use crate::schemas::automations::{Action, Source, Trigger, TriggeredAction};
use crate::schemas::events::{Event, RESOURCE_NAME, Resource};
use crate::schemas::time::{self, Instant};
use crate::schemas::{Dialect, Document, EventId};
use crate::server::{AppState, events};

/// More than any answer to an action.
const MAX_ANSWER: usize = 32 * 1024 * 1024;

/// The longest that a suspended run waits by default, in seconds.
const SUSPENDED_SECONDS: i64 = 3600;

/// Does actions.
pub struct Actor {
    app: AppState,
    router: Router,
    client: reqwest::Client,
}

/// What is told of an action afterwards.
#[derive(Default)]
struct Account {
    details: Map<String, Json>,
    related: Vec<Resource>,
}

impl Actor {
    /// Prepares to do actions of a server.
    pub fn new(app: &AppState) -> Self {
        Self {
            app: app.clone(),
            router: crate::server::router(app.clone()),
            client: crate::http::client()
                .user_agent(concat!("prefect-rs/", env!("CARGO_PKG_VERSION")))
                .build()
                .expect("the TLS library starts"),
        }
    }

    /// Sends a notification to where a block says.
    ///
    /// # Errors
    /// Says why it was not sent.
    pub async fn notify(&self, block: Uuid, subject: &str, body: &str) -> Result<(), String> {
        let block = self.block(&mut Account::default(), block).await?;
        let answer = notify::notify(&self.client, &block, subject, body).await;
        answer.map(drop)
    }

    /// Does an action and tells how it went.
    pub async fn perform(&self, action: &TriggeredAction) {
        let mut account = Account::default();
        let failure = self.act(action, &mut account).await.err();
        let id = action.automation.id;
        match &failure {
            None => {
                info!(automation.id = %id, "automation `{}` has done {}", action.automation.body.name, action.action.kind())
            }
            Some(reason) => {
                warn!(automation.id = %id, "automation `{}` could not do {}: {reason}", action.automation.body.name, action.action.kind());
            }
        }
        let told = self.account(action, account, failure);
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
                let mut run = json!({
                    "state": {"type": "SCHEDULED", "state_details": {"scheduled_time": at}},
                    "parameters": self.parameters(action, parameters.as_ref()).await?,
                    "idempotency_key": action.id,
                });
                if let Some(job_variables) = job_variables {
                    run["job_variables"] = json!(job_variables);
                }
                let run = self
                    .request(
                        account,
                        "POST",
                        &format!("/deployments/{id}/create_flow_run"),
                        &run,
                    )
                    .await?;
                let resource = Resource::new(format!("prefect.flow-run.{}", text(&run, "id")))
                    .in_role("flow-run");
                account
                    .related
                    .push(resource.with(RESOURCE_NAME, text(&run, "name")));
                Ok(())
            }
            Action::PauseDeployment { .. } => {
                self.command(action, account, "deployments", "/pause_deployment")
                    .await
            }
            Action::ResumeDeployment { .. } => {
                self.command(action, account, "deployments", "/resume_deployment")
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
                let details = json!({"pause_reschedule": true, "pause_timeout": time::format(until, Dialect::Three)});
                let state = json!({"type": "PAUSED", "name": "Suspended", "message": by("Suspended"), "state_details": details});
                self.set_state(action, account, state, false).await
            }
            Action::ResumeFlowRun {} => {
                let id = flow_run(action, account)?;
                let answer = self
                    .request(
                        account,
                        "POST",
                        &format!("/flow_runs/{id}/resume"),
                        &json!({}),
                    )
                    .await?;
                accepted(&answer)
            }
            Action::DeleteFlowRun {} => {
                let id = flow_run(action, account)?;
                self.request(account, "DELETE", &format!("/flow_runs/{id}"), &Json::Null)
                    .await
                    .map(|_| ())
            }
            Action::PauseWorkPool { .. } => self.set_pool(action, account, true).await,
            Action::ResumeWorkPool { .. } => self.set_pool(action, account, false).await,
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
                let payload = self.render(action, payload).await?;
                let answer = notify::call(&self.client, &block, &payload).await;
                let answer = answer.map_err(|cause| format!("Webhook call failed: {cause}"))?;
                account
                    .details
                    .insert("status_code".into(), answer.status.into());
                account
                    .details
                    .insert("response_body".into(), answer.body.into());
                Ok(())
            }
            Action::SendNotification {
                block_document_id,
                subject,
                body,
            } => {
                let block = self.block(account, *block_document_id).await?;
                let (subject, body) = (
                    self.render(action, subject).await?,
                    self.render(action, body).await?,
                );
                let answer = notify::notify(&self.client, &block, &subject, &body).await;
                answer
                    .map(|_| ())
                    .map_err(|cause| format!("Notification failed: {cause}"))
            }
        }
    }

    /// Returns what the action is done to: what it names, or what the event is about.
    fn target(&self, action: &TriggeredAction, account: &mut Account) -> Result<Uuid, String> {
        let target = action.action.target().ok_or("the action has no target")?;
        let word = target.kind.replace('-', " ");
        let id = match target.source {
            Source::Selected => target.id,
            Source::Inferred => involved(action, &format!("prefect.{}.", target.kind)),
        };
        let id = id.ok_or_else(|| format!("No {word} could be inferred"))?;
        account
            .related
            .push(Resource::new(format!("prefect.{}.{id}", target.kind)).in_role("target"));
        Ok(id)
    }

    async fn command(
        &self,
        action: &TriggeredAction,
        account: &mut Account,
        noun: &str,
        verb: &str,
    ) -> Result<(), String> {
        let id = self.target(action, account)?;
        self.request(account, "POST", &format!("/{noun}/{id}{verb}"), &Json::Null)
            .await
            .map(|_| ())
    }

    async fn patch(
        &self,
        action: &TriggeredAction,
        account: &mut Account,
        noun: &str,
        body: Json,
    ) -> Result<(), String> {
        let id = self.target(action, account)?;
        self.request(account, "PATCH", &format!("/{noun}/{id}"), &body)
            .await
            .map(|_| ())
    }

    /// Work pools are changed by their names.
    async fn set_pool(
        &self,
        action: &TriggeredAction,
        account: &mut Account,
        is_paused: bool,
    ) -> Result<(), String> {
        let id = self.target(action, account)?;
        let asked = json!({"work_pools": {"id": {"any_": [id]}}});
        let found = self
            .request(account, "POST", "/work_pools/filter", &asked)
            .await?;
        let name = found[0]["name"]
            .as_str()
            .ok_or_else(|| format!("Work pool {id} not found"))?;
        let path = format!(
            "/work_pools/{}",
            name.replace('%', "%25")
                .replace(' ', "%20")
                .replace('#', "%23")
                .replace('?', "%3F")
        );
        self.request(account, "PATCH", &path, &json!({"is_paused": is_paused}))
            .await
            .map(|_| ())
    }

    async fn set_state(
        &self,
        action: &TriggeredAction,
        account: &mut Account,
        state: Json,
        force: bool,
    ) -> Result<(), String> {
        let id = flow_run(action, account)?;
        let body = json!({"state": state, "force": force});
        let answer = self
            .request(
                account,
                "POST",
                &format!("/flow_runs/{id}/set_state"),
                &body,
            )
            .await?;
        accepted(&answer)
    }

    async fn block(&self, account: &mut Account, id: Uuid) -> Result<Block, String> {
        let found = self
            .request(
                account,
                "GET",
                &format!("/block_documents/{id}?include_secrets=true"),
                &Json::Null,
            )
            .await?;
        let slug = text(&found["block_type"], "slug");
        let resource = Resource::new(format!("prefect.block-document.{id}")).in_role("block");
        account
            .related
            .push(resource.with(RESOURCE_NAME, text(&found, "name")));
        account
            .related
            .push(Resource::new(format!("prefect.block-type.{slug}")).in_role("block-type"));
        Ok(Block {
            slug,
            data: found["data"].clone(),
        })
    }

    /// Renders templates inside parameters; a text that is one expression keeps the value's type.
    async fn parameters(
        &self,
        action: &TriggeredAction,
        parameters: Option<&Map<String, Json>>,
    ) -> Result<Json, String> {
        let mut parameters = Json::Object(parameters.cloned().unwrap_or_default());
        let mut texts = Vec::new();
        collect(&mut parameters, &mut texts);
        for text in texts {
            let Json::String(template) = &*text else {
                continue;
            };
            let trimmed = template.trim();
            let inner = trimmed
                .strip_prefix("{{")
                .and_then(|rest| rest.strip_suffix("}}"));
            *text = match inner.filter(|inner| !inner.contains("{{")) {
                Some(inner) => {
                    let rendered = self
                        .render(action, &format!("{{{{ ({inner}) | tojson }}}}"))
                        .await?;
                    serde_json::from_str(&rendered).unwrap_or(Json::Null)
                }
                None => Json::String(self.render(action, template).await?),
            };
        }
        Ok(parameters)
    }

    async fn render(&self, action: &TriggeredAction, template: &str) -> Result<String, String> {
        if !templates::is_template(template) {
            return Ok(template.to_owned());
        }
        let mut context = templates::context(action);
        let nouns = [
            ("flow_run", "flow-run", "flow_runs"),
            ("flow", "flow", "flows"),
            ("task_run", "task-run", "task_runs"),
            ("deployment", "deployment", "deployments"),
            ("work_queue", "work-queue", "work_queues"),
        ];
        for (word, kind, noun) in nouns {
            if template.contains(word)
                && let Some(id) = involved(action, &format!("prefect.{kind}."))
                && let Ok(mut object) = self
                    .request(
                        &mut Account::default(),
                        "GET",
                        &format!("/{noun}/{id}"),
                        &Json::Null,
                    )
                    .await
            {
                object["__kind"] = format!("prefect.{kind}").into();
                as_it_was(&mut object, action);
                context.insert(word.to_owned(), object);
            }
        }
        if template.contains("work_pool")
            && let Some(id) = involved(action, "prefect.work-pool.")
        {
            let asked = json!({"work_pools": {"id": {"any_": [id]}}});
            if let Ok(found) = self
                .request(
                    &mut Account::default(),
                    "POST",
                    "/work_pools/filter",
                    &asked,
                )
                .await
            {
                let mut pool = found[0].clone();
                pool["__kind"] = "prefect.work-pool".into();
                context.insert("work_pool".to_owned(), pool);
            }
        }
        if template.contains("variables") {
            let found = self
                .request(
                    &mut Account::default(),
                    "POST",
                    "/variables/filter",
                    &json!({}),
                )
                .await;
            let found = found.unwrap_or_default();
            let variables = found
                .as_array()
                .into_iter()
                .flatten()
                .map(|one| (text(one, "name"), one["value"].clone()));
            context.insert("variables".to_owned(), Json::Object(variables.collect()));
        }
        templates::render(template, &Json::Object(context), &self.app.ui_url())
            .map_err(|cause| format!("Template rendering failed: {cause}"))
    }

    /// Sends a request to our own API; an answer that is no success is the reason of a failure.
    async fn request(
        &self,
        account: &mut Account,
        method: &str,
        path: &str,
        body: &Json,
    ) -> Result<Json, String> {
        let mut request = Request::builder().method(method).uri(format!("/api{path}"));
        if let Some(credentials) = &self.app.settings.server_api_auth_string {
            let credentials = STANDARD.encode(credentials.reveal());
            request = request.header(header::AUTHORIZATION, format!("Basic {credentials}"));
        }
        let body = if body.is_null() {
            Body::empty()
        } else {
            Body::from(body.to_string())
        };
        let request = request
            .header(header::CONTENT_TYPE, "application/json")
            .body(body);
        let request = request.map_err(|cause| cause.to_string())?;
        let answer = self
            .router
            .clone()
            .oneshot(request)
            .await
            .unwrap_or_else(|never| match never {});
        let status = answer.status();
        account
            .details
            .insert("status_code".into(), status.as_u16().into());
        let body = to_bytes(answer.into_body(), MAX_ANSWER)
            .await
            .map_err(|cause| cause.to_string())?;
        let body: Json = serde_json::from_slice(&body).unwrap_or_default();
        if status.is_success() {
            return Ok(body);
        }
        let reason = body["detail"]
            .as_str()
            .or_else(|| body["exception_message"].as_str());
        Err(format!(
            "Unexpected status from '{}' action: {} {}",
            method,
            status.as_u16(),
            reason.unwrap_or_default()
        ))
    }

    fn account(
        &self,
        action: &TriggeredAction,
        account: Account,
        failure: Option<String>,
    ) -> Vec<Event> {
        let automation = &action.automation;
        let mut resource = super::resource(automation)
            .with("prefect.trigger-type", automation.body.trigger.kind());
        if let Trigger::Event(trigger) = &automation.body.trigger {
            resource = resource.with("prefect.posture", super::posture(trigger.posture));
        }
        let mut related = account.related;
        related.push(super::event_resource(
            action.told_by,
            "automation-triggered-event",
        ));
        if let Some(event) = &action.triggering_event {
            related.push(super::event_resource(event.event.id, "triggering-event"));
        }
        let payload = json!({
            "action_index": action.action_index, "action_type": action.action.kind(), "invocation": action.id,
        });
        let begun = Event {
            occurred: Instant(action.firing.triggered),
            event: "prefect.automation.action.triggered".to_owned(),
            resource: resource.clone(),
            related: related.clone(),
            payload: Document::of(&payload).expect("a value is JSON"),
            id: EventId::new(),
            follows: None,
        };
        let mut payload = payload;
        for (name, value) in account.details {
            payload[name] = value;
        }
        let word = if failure.is_some() {
            "failed"
        } else {
            "executed"
        };
        if let Some(reason) = failure {
            payload["reason"] = reason.into();
        }
        let ended = Event {
            occurred: Instant(self.app.now()),
            event: format!("prefect.automation.action.{word}"),
            resource,
            related,
            payload: Document::of(&payload).expect("a value is JSON"),
            id: EventId::new(),
            follows: Some(begun.id),
        };
        vec![begun, ended]
    }
}

fn text(object: &Json, field: &str) -> String {
    object[field].as_str().unwrap_or_default().to_owned()
}

fn accepted(answer: &Json) -> Result<(), String> {
    if answer["status"] == "ACCEPT" {
        return Ok(());
    }
    let reason = answer["details"]["reason"]
        .as_str()
        .unwrap_or("the state was not accepted");
    Err(format!("Failed to set state: {reason}"))
}

/// Returns the first object of a kind that the event involves.
fn involved(action: &TriggeredAction, prefix: &str) -> Option<Uuid> {
    action
        .triggering_event
        .as_ref()?
        .involved()
        .find_map(|resource| resource.object_id(prefix))
}

fn flow_run(action: &TriggeredAction, account: &mut Account) -> Result<Uuid, String> {
    let label = action
        .firing
        .triggering_labels
        .get(crate::schemas::events::RESOURCE_ID);
    let counted = label
        .and_then(Json::as_str)
        .and_then(|id| id.strip_prefix("prefect.flow-run.")?.parse().ok());
    let id = counted.or_else(|| involved(action, "prefect.flow-run."));
    let id = id.ok_or("No flow run could be inferred")?;
    account
        .related
        .push(Resource::new(format!("prefect.flow-run.{id}")).in_role("target"));
    Ok(id)
}

/// A run may have gone on since; the template is about the state that the event tells of.
fn as_it_was(run: &mut Json, action: &TriggeredAction) {
    let Some(event) = &action.triggering_event else {
        return;
    };
    let resource = &event.event.resource;
    let is_this = resource.id().ends_with(&text(run, "id")) && run["state"].is_object();
    let state = ["type", "name", "message", "timestamp"]
        .map(|part| resource.get(&format!("prefect.state-{part}")));
    if let ([Some(state_type), Some(name), Some(message), Some(timestamp)], true) = (state, is_this)
    {
        let state = [
            ("type", state_type),
            ("name", name),
            ("message", message),
            ("timestamp", timestamp),
        ];
        for (part, value) in state {
            run["state"][part] = value.into();
        }
    }
}

fn collect<'a>(value: &'a mut Json, texts: &mut Vec<&'a mut Json>) {
    match value {
        Json::String(text) if templates::is_template(text) => texts.push(value),
        Json::Array(items) => items.iter_mut().for_each(|item| collect(item, texts)),
        // What names its kind is expanded where the run is made.
        Json::Object(members) if !members.contains_key("__prefect_kind") => {
            members.values_mut().for_each(|item| collect(item, texts));
        }
        _ => {}
    }
}

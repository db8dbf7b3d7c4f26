//! Requests to our own API, in this process.

use axum::body::{Body, to_bytes};
use axum::http::{self, Request, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};
use tower::ServiceExt;
use uuid::Uuid;

use super::account::Account;
use crate::schemas::automations::Automation;
use crate::server::extract::{AUTOMATION_ID, AUTOMATION_NAME};
use crate::server::{AppState, HttpService};

/// More than any answer to an action.
const MAX_ANSWER_BYTES: usize = 32 * 1024 * 1024;

/// Our own API.
pub(super) struct OwnApi {
    service: HttpService,
    /// The value of `Authorization`, where credentials are asked for.
    authorization: Option<String>,
}

impl OwnApi {
    pub(super) fn new(app: &AppState) -> Self {
        let credentials = app.settings.server_api_auth_string.as_ref();
        OwnApi {
            service: HttpService::new(app.clone()),
            authorization: credentials
                .map(|credentials| format!("Basic {}", STANDARD.encode(credentials.reveal()))),
        }
    }

    /// Sends a request, whose status the account notes.
    ///
    /// # Errors
    /// An answer that is no success is the reason of a failure.
    pub(super) async fn request(
        &self,
        account: &mut Account,
        method: &str,
        path: &str,
        body: &Json,
    ) -> Result<Json, String> {
        let request = Request::builder().method(method);
        self.send(account, request, method, path, body).await
    }

    /// As [`Self::request`], to make something in the name of an automation.
    pub(super) async fn make_for(
        &self,
        automation: &Automation,
        account: &mut Account,
        path: &str,
        body: &Json,
    ) -> Result<Json, String> {
        let request = Request::builder()
            .method("POST")
            .header(AUTOMATION_ID, automation.id.to_string())
            .header(AUTOMATION_NAME, STANDARD.encode(&automation.body.name));
        self.send(account, request, "POST", path, body).await
    }

    async fn send(
        &self,
        account: &mut Account,
        request: http::request::Builder,
        method: &str,
        path: &str,
        body: &Json,
    ) -> Result<Json, String> {
        let mut request = request
            .uri(format!("/api{path}"))
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let body = if body.is_null() {
            Body::empty()
        } else {
            Body::from(body.to_string())
        };
        let request = request.body(body).map_err(|cause| cause.to_string())?;
        let answer = self.service.clone().oneshot(request).await;
        let answer = answer.unwrap_or_else(|never| match never {});
        let status = answer.status();
        account.note("status_code", status.as_u16());
        let body = to_bytes(answer.into_body(), MAX_ANSWER_BYTES).await;
        let body = body.map_err(|cause| cause.to_string())?;
        let body: Json = serde_json::from_slice(&body).unwrap_or_default();
        if status.is_success() {
            return Ok(body);
        }
        let reason = body["detail"]
            .as_str()
            .or_else(|| body["exception_message"].as_str())
            .unwrap_or_default();
        let status = status.as_u16();
        Err(format!(
            "Unexpected status from '{method}' action: {status} {reason}"
        ))
    }

    /// Reads a work pool by its id, which the API knows by name; null, if there is none.
    pub(super) async fn work_pool(&self, account: &mut Account, id: Uuid) -> Result<Json, String> {
        let asked = json!({"work_pools": {"id": {"any_": [id]}}});
        let mut found = self
            .request(account, "POST", "/work_pools/filter", &asked)
            .await?;
        Ok(found[0].take())
    }
}

/// Returns a text in an answer; empty, if there is none.
pub(super) fn text(object: &Json, field: &str) -> String {
    object[field].as_str().unwrap_or_default().to_owned()
}

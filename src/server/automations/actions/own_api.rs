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
use crate::schemas::json_schema::python;
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
    /// An answer that is no success is the reason of a failure, and the account has it whole.
    pub(super) async fn request(
        &self,
        account: &mut Account,
        method: &str,
        path: &str,
        body: &Json,
    ) -> Result<Json, String> {
        let request = Request::builder().method(method);
        self.send(account, request, path, body).await
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
        self.send(account, request, path, body).await
    }

    async fn send(
        &self,
        account: &mut Account,
        request: http::request::Builder,
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
        if !body.is_null() {
            account.note("answer", body.clone());
        }
        if (account.kind(), status.as_u16()) == ("run-deployment", 409) {
            account.note("validation_error", body["detail"].clone());
        }
        Err(reason(account.kind(), status.as_u16(), &body))
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

/// Says why an action has failed, in the words of genuine servers, which people match in triggers.
fn reason(kind: &str, status: u16, answer: &Json) -> String {
    let detail = match &answer["detail"] {
        Json::Null => None,
        Json::String(text) if text.is_empty() => None,
        Json::String(text) => Some(text.clone()),
        detail => Some(python(detail)),
    };
    match (status, detail) {
        (409 | 422, Some(detail)) => format!("Validation error occurred for '{kind}' - {detail}"),
        (422, None) => format!("Validation error occurred for '{kind}'"),
        (409, None) => {
            let answer = Json::from(answer.to_string());
            format!("Conflict (409) occurred for '{kind}' - {}", python(&answer))
        }
        (status, _) => format!("Unexpected status from '{kind}' action: {status}"),
    }
}

/// Returns a text in an answer; empty, if there is none.
pub(super) fn text(object: &Json, field: &str) -> String {
    object[field].as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_in_the_words_of_genuine_servers() {
        let told = |status, answer| reason("run-deployment", status, &answer);
        let all = [
            told(404, json!({"detail": "Deployment not found"})),
            told(
                409,
                json!({"detail": "Error creating flow run: it does not fit"}),
            ),
            told(409, json!({"no": 1})),
            told(
                422,
                json!({"exception_message": "Invalid request received."}),
            ),
            told(422, json!({"detail": [{"a": true}]})),
            told(500, Json::Null),
        ];
        insta::assert_snapshot!(all.join("\n"), @r#"
        Unexpected status from 'run-deployment' action: 404
        Validation error occurred for 'run-deployment' - Error creating flow run: it does not fit
        Conflict (409) occurred for 'run-deployment' - '{"no":1}'
        Validation error occurred for 'run-deployment'
        Validation error occurred for 'run-deployment' - [{'a': True}]
        Unexpected status from 'run-deployment' action: 500
        "#);
    }
}

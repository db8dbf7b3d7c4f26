//! The API as a function in this process, for commands and flows when no server runs.
//!
//! It is the same service on the same database; only the connection and the services are missing.

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use tower::ServiceExt;

use super::{HttpService, Server};
use crate::db;
use crate::settings::Settings;

/// The API of a local database.
#[derive(Clone)]
pub struct Local {
    service: HttpService,
    user_agent: HeaderValue,
}

/// An answer: status, headers, body.
pub type Answer = (StatusCode, HeaderMap, Vec<u8>);

impl Local {
    /// Opens the database that the settings name, for a client of this `User-Agent`.
    pub async fn open(settings: &Settings, user_agent: &'static str) -> Result<Self, db::Error> {
        let mut settings = settings.clone();
        // Whoever may open the file needs no password to it.
        settings.server_api_auth_string = None;
        settings.server_csrf_protection_enabled = false;
        let server = Server::open(settings).await?;
        Ok(Self {
            service: HttpService::new(server.state().clone()),
            user_agent: HeaderValue::from_static(user_agent),
        })
    }

    /// Answers one request; the error says why it could not be made.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<Answer, String> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/api{path}"))
            .header(header::USER_AGENT, self.user_agent.clone());
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let request = request
            .body(Body::from(body.unwrap_or_default()))
            .map_err(|error| error.to_string())?;
        let Ok(response) = self.service.clone().oneshot(request).await;
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX)
            .await
            .map_err(|error| error.to_string())?;
        Ok((parts.status, parts.headers, body.to_vec()))
    }
}

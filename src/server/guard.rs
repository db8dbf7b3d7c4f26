//! Asks requests for credentials, and changing ones for a CSRF token, where the settings want it.
//!
//! The string is sent as `Basic` by 3.x clients and as `Bearer` by older ones, which know nothing
//! else. Whether the server is well is answered to everybody, and sockets ask in their first
//! frame. A CSRF token is made for one client, which repeats its name beside it; clients of 2.0b3
//! have never heard of tokens and are let through.

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{ApiError, AppState, models};
use crate::schemas::Dialect;
use crate::settings::Settings;

/// Routes that answer everybody.
const OPEN: [&str; 2] = ["/api/health", "/api/ready"];

/// Routes whose first frame carries the credentials.
const SOCKETS: [&str; 5] = [
    "/api/events/in",
    "/api/events/out",
    "/api/logs/out",
    "/api/task_runs/subscriptions/scheduled",
    "/api/work_pools/{name}/workers/connect",
];

/// Tells whether the settings ask for anything.
pub fn is_needed(settings: &Settings) -> bool {
    settings.server_api_auth_string.is_some() || settings.server_csrf_protection_enabled
}

/// Lets a request through, or says what it lacks.
pub async fn guard(
    State(state): State<AppState>,
    path: MatchedPath,
    request: Request,
    next: Next,
) -> Response {
    // The same routes lie under the base of the dashboard.
    let base = super::ui::base(&state.settings.server_ui_serve_base);
    let path = path.as_str();
    let path = path.strip_prefix(base.as_str()).unwrap_or(path);
    if OPEN.contains(&path) || SOCKETS.contains(&path) {
        return next.run(request).await;
    }
    if !is_authorized(&state.settings, request.headers()) {
        return ApiError::Unauthorized.into_response();
    }
    let (method, headers) = (request.method().clone(), request.headers().clone());
    match check_csrf(&state, &method, &headers).await {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

fn is_authorized(settings: &Settings, headers: &HeaderMap) -> bool {
    let Some(wanted) = &settings.server_api_auth_string else {
        return true;
    };
    let given = headers.get(header::AUTHORIZATION);
    let Some((scheme, given)) = given
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
    else {
        return false;
    };
    let wanted = wanted.reveal();
    if scheme.eq_ignore_ascii_case("basic") {
        is_same(given.trim(), &STANDARD.encode(wanted))
    } else {
        scheme.eq_ignore_ascii_case("bearer") && is_same(given.trim(), wanted)
    }
}

/// Compares without telling by its duration where, or by how much in length, the texts differ.
fn is_same(given: &str, wanted: &str) -> bool {
    Sha256::digest(given).ct_eq(&Sha256::digest(wanted)).into()
}

async fn check_csrf(
    state: &AppState,
    method: &Method,
    headers: &HeaderMap,
) -> Result<(), ApiError> {
    let is_changing = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE].contains(method);
    if !state.settings.server_csrf_protection_enabled
        || !is_changing
        || matches!(Dialect::of_headers(headers), Ok(Dialect::B))
    {
        return Ok(());
    }
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let refusal = |text: &str| ApiError::Forbidden(text.to_owned());
    let token = text("prefect-csrf-token").ok_or_else(|| refusal("Missing CSRF token."))?;
    let client =
        text("prefect-csrf-client").ok_or_else(|| refusal("Missing client identifier."))?;
    let (client, now) = (client.to_owned(), state.now());
    let read = async move |conn: &mut _| models::csrf_tokens::read(conn, &client, now).await;
    let known = state.db.read(read).await?;
    if known.is_some_and(|known| is_same(token, &known.token)) {
        Ok(())
    } else {
        Err(refusal("Invalid CSRF token or client identifier."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Secret;

    #[test]
    fn the_string_is_taken_as_basic_and_as_bearer_and_nothing_else_is() {
        let mut settings = Settings::default_for("/tmp");
        let is_authorized = |settings: &Settings, value: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            }
            is_authorized(settings, &headers)
        };
        assert!(is_authorized(&settings, None));
        settings.server_api_auth_string = Some(Secret::new("admin:pass".to_owned()));
        for (value, wanted) in [
            (Some("Basic YWRtaW46cGFzcw=="), true),
            (Some("basic YWRtaW46cGFzcw=="), true),
            (Some("Bearer admin:pass"), true),
            (Some("Basic admin:pass"), false),
            (Some("Bearer YWRtaW46cGFzcw=="), false),
            (Some("Basic YWRtaW46cGFzcw"), false),
            (Some("Bearer admin:pas"), false),
            (Some("Bearer admin:passs"), false),
            (Some("Bearer "), false),
            (Some("Bearer"), false),
            (Some("admin:pass"), false),
            (Some(""), false),
            (None, false),
        ] {
            assert_eq!(is_authorized(&settings, value), wanted, "{value:?}");
        }
    }
}

//! `/csrf-token`: what a client must send with each change, where the settings want it.

use axum::extract::State;
use axum::response::IntoResponse;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::schemas::Dialect;
use crate::schemas::csrf_tokens::CsrfToken;
use crate::server::extract::{Asked, view};
use crate::server::{ApiError, AppState, models};

/// Longer than any id or name that a client gives itself.
const LONGEST_CLIENT: usize = 200;

/// Who asks.
#[derive(Debug, Deserialize, IntoParams)]
pub struct Who {
    /// What the client calls itself, the same each time.
    client: String,
}

/// Gives a client a token.
#[utoipa::path(get, path = "/csrf-token", params(Who), responses((status = 200, body = CsrfToken)))]
pub async fn create_csrf_token(
    State(state): State<AppState>,
    dialect: Dialect,
    Asked(Who { client }): Asked<Who>,
) -> Result<impl IntoResponse, ApiError> {
    if !state.settings.server_csrf_protection_enabled {
        // Clients know this text, and ask for no token then.
        return Err(ApiError::Unfit("CSRF protection is disabled.".to_owned()));
    }
    if client.is_empty() || client.len() > LONGEST_CLIENT {
        let text = format!("a client's name has 1 to {LONGEST_CLIENT} characters");
        return Err(ApiError::invalid(&["query", "client"], text));
    }
    let now = state.now();
    let life = TimeDelta::from_std(state.settings.server_csrf_token_expiration).ok();
    let expiration = life
        .and_then(|life| now.checked_add_signed(life))
        .unwrap_or(now);
    let token = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
    let write = async move |conn: &mut _| {
        models::csrf_tokens::create(conn, &client, &token, expiration, now).await
    };
    Ok(view(dialect, state.db.write(write).await?))
}

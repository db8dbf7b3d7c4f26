//! What all WebSockets of later clients have in common: the subprotocol and the handshake.
//!
//! A client that offers the subprotocol `prefect` begins with `{"type": "auth", "token": …}` and
//! waits for `auth_success`. Older clients offer none and begin at once, which is only possible
//! where the server asks for no credentials.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};
use subtle::ConstantTimeEq;
use tokio::time::timeout;

use crate::server::{ApiError, AppState};

/// The subprotocol of clients that shake hands.
const PROTOCOL: &str = "prefect";

/// The close code of a client that does not keep to the protocol.
pub const PROTOCOL_ERROR: u16 = 1002;
/// The close code of a client that may not connect.
pub const POLICY_VIOLATION: u16 = 1008;
/// The close code that asks a client to connect again.
pub const TRY_AGAIN: u16 = 1013;

/// An event is at most 1.5 MB, and so is every other frame.
const MAX_FRAME_BYTES: usize = 4 * 1024 * 1024;

/// A client that says nothing for so long is gone.
const FIRST_WORD: Duration = Duration::from_secs(30);

/// Answers an upgrade: after the handshake `serve` has the socket.
pub fn accept<F>(
    upgrade: WebSocketUpgrade,
    state: AppState,
    serve: impl FnOnce(AppState, WebSocket) -> F + Send + 'static,
) -> Response
where
    F: Future<Output = ()> + Send + 'static,
{
    accept_in_words(upgrade, state, |reason| reason, serve)
}

/// Answers an upgrade of a client that always shakes hands and knows one reason for a refusal.
pub fn accept_with_hands<F>(
    upgrade: WebSocketUpgrade,
    state: AppState,
    refused: &'static str,
    serve: impl FnOnce(AppState, WebSocket) -> F + Send + 'static,
) -> Response
where
    F: Future<Output = ()> + Send + 'static,
{
    let upgrade = upgrade.protocols([PROTOCOL]);
    if upgrade.selected_protocol().is_none() {
        let text = "the subprotocol `prefect` is required";
        return ApiError::Forbidden(text.to_owned()).into_response();
    }
    accept_in_words(upgrade, state, move |_| refused, serve)
}

fn accept_in_words<F>(
    upgrade: WebSocketUpgrade,
    state: AppState,
    in_words: impl FnOnce(&'static str) -> &'static str + Send + 'static,
    serve: impl FnOnce(AppState, WebSocket) -> F + Send + 'static,
) -> Response
where
    F: Future<Output = ()> + Send + 'static,
{
    let upgrade = upgrade
        .protocols([PROTOCOL])
        .max_message_size(MAX_FRAME_BYTES)
        .max_frame_size(MAX_FRAME_BYTES);
    let shakes_hands = upgrade.selected_protocol().is_some();
    if !shakes_hands && state.settings.server_api_auth_string.is_some() {
        let text = "the subprotocol `prefect` is required, since the server asks for credentials";
        return ApiError::Forbidden(text.to_owned()).into_response();
    }
    upgrade.on_upgrade(async move |mut socket| {
        if shakes_hands && let Err(reason) = shake_hands(&state, &mut socket).await {
            close(socket, POLICY_VIOLATION, in_words(reason)).await;
            return;
        }
        serve(state, socket).await;
    })
}

async fn shake_hands(state: &AppState, socket: &mut WebSocket) -> Result<(), &'static str> {
    let first = timeout(FIRST_WORD, receive_json(socket)).await;
    let Ok(Some(first)) = first else {
        return Err("Expected 'auth' message");
    };
    if first["type"] != "auth" {
        return Err("Expected 'auth' message");
    }
    if let Some(wanted) = &state.settings.server_api_auth_string {
        let token = first["token"].as_str().filter(|token| !token.is_empty());
        let token = token.ok_or("Auth required but no token provided")?;
        if !bool::from(token.as_bytes().ct_eq(wanted.reveal().as_bytes())) {
            return Err("Invalid token");
        }
    }
    let done = send_json(socket, &json!({"type": "auth_success"})).await;
    done.map_err(|_| "the socket was closed")
}

/// Returns the next frame as JSON; none when the client is gone or sends something else.
pub async fn receive_json(socket: &mut WebSocket) -> Option<Value> {
    loop {
        match socket.recv().await? {
            Ok(Message::Text(text)) => return serde_json::from_str(&text).ok(),
            Ok(Message::Binary(bytes)) => return serde_json::from_slice(&bytes).ok(),
            // The library answers pings by itself.
            Ok(Message::Ping(_) | Message::Pong(_)) => {}
            Ok(Message::Close(_)) | Err(_) => return None,
        }
    }
}

/// What a client subscribes to.
pub struct Subscribed<T> {
    /// Its filter.
    pub filter: T,
    /// The whole frame.
    pub message: Value,
}

/// Reads the frame that subscribes: `{"type": "filter", "filter": …}`.
///
/// # Errors
/// The reason for which the socket is to be closed.
pub async fn subscription<T: serde::de::DeserializeOwned>(
    socket: &mut WebSocket,
) -> Result<Subscribed<T>, String> {
    let first = timeout(FIRST_WORD, receive_json(socket)).await;
    let Ok(Some(message)) = first else {
        return Err("Expected 'filter' message".to_owned());
    };
    if message["type"] != "filter" {
        return Err("Expected 'filter' message".to_owned());
    }
    let filter = serde_json::from_value(message["filter"].clone());
    let filter = filter.map_err(|cause| format!("Invalid filter: {cause}"))?;
    Ok(Subscribed { filter, message })
}

/// Sends a frame.
pub async fn send_json(socket: &mut WebSocket, value: &impl Serialize) -> Result<(), axum::Error> {
    let text = serde_json::to_string(value).map_err(axum::Error::new)?;
    socket.send(Message::Text(text.into())).await
}

/// Says why, and closes.
pub async fn close(mut socket: WebSocket, code: u16, reason: impl Into<String>) {
    // A reason has at most 123 bytes; see RFC 6455, 5.5.
    let mut reason: String = reason.into();
    let end = (0..=reason.len().min(123))
        .rev()
        .find(|end| reason.is_char_boundary(*end));
    reason.truncate(end.unwrap_or(0));
    let frame = CloseFrame {
        code,
        reason: reason.into(),
    };
    // The client may be gone already.
    if socket.send(Message::Close(Some(frame))).await.is_ok() {
        // Its own close frame ends the connection in order.
        let _ = timeout(Duration::from_secs(1), socket.recv()).await;
    }
}

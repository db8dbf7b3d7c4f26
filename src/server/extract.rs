//! What handlers take from a request: the dialect, an id, a JSON body, each with a clear refusal.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::HttpBody;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::timeout;
use uuid::Uuid;

use super::{ApiError, refusal};
use crate::schemas::objects::Objects;
use crate::schemas::{Dialect, Document, Render, View, dialect};

/// Bodies larger than this are refused; the largest that a client sends is a batch of logs, 4 MB.
pub const MAX_BODY_BYTES: usize = 32 * 1024 * 1024;

/// How deep a body may be nested, which is as deep as the parser of JSON goes.
pub const MAX_DEPTH: usize = 128;

/// How long a body may take to arrive; the largest does within a second on any network in use.
const PATIENCE: Duration = Duration::from_secs(60);

impl<S: Sync> FromRequestParts<S> for Dialect {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Self::of_headers(&parts.headers)
    }
}

impl Dialect {
    /// Tells the dialect of a request by its headers.
    pub fn of_headers(headers: &HeaderMap) -> Result<Self, ApiError> {
        let text = |name: &str| {
            headers
                .get(name)
                .map(|value| value.to_str().unwrap_or_default())
        };
        Self::of(
            text("x-prefect-api-version"),
            text(header::USER_AGENT.as_str()),
        )
        .map_err(ApiError::BadRequest)
    }
}

/// Whether the client renews the leases of its runs on their deployments' limits.
pub struct RenewsLeases(pub bool);

impl<S: Sync> FromRequestParts<S> for RenewsLeases {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let agent = parts.headers.get(header::USER_AGENT);
        let agent = agent.and_then(|agent| agent.to_str().ok());
        Ok(Self(dialect::renews_leases(agent)))
    }
}

/// The automation that a request is made for.
pub struct Author(pub Option<Document>);

/// The header that names it by its id.
pub const AUTOMATION_ID: &str = "prefect-automation-id";
/// The header that has its name, in base64.
pub const AUTOMATION_NAME: &str = "prefect-automation-name";

impl<S: Sync> FromRequestParts<S> for Author {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let text = |name: &str| parts.headers.get(name)?.to_str().ok();
        let id = text(AUTOMATION_ID).and_then(|id| id.parse::<Uuid>().ok());
        let name = text(AUTOMATION_NAME)
            .and_then(|name| STANDARD.decode(name).ok())
            .and_then(|name| String::from_utf8(name).ok());
        let author = id.zip(name).map(|(id, name)| {
            let by = json!({"id": id, "type": "AUTOMATION", "display_value": name});
            Document::of(&by).expect("a value is JSON")
        });
        Ok(Self(author))
    }
}

/// The query of a request.
pub struct Asked<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query
            .map(|Query(asked)| Self(asked))
            .map_err(|rejection| refusal::query(&rejection.body_text(), parts.uri.query()))
    }
}

/// An id in the path.
pub struct Id<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Id<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        if let Ok(Path(id)) = Path::<T>::from_request_parts(parts, state).await {
            return Ok(Self(id));
        }
        let raw = RawPathParams::from_request_parts(parts, state).await;
        let raw = raw.iter().flat_map(|raw| raw.iter());
        let (name, given) = raw
            .filter(|(_, given)| Uuid::parse_str(given).is_err())
            .last()
            .unwrap_or_default();
        // Servers of the newest generation have no route there, but for one that gives back slots.
        let is_routed =
            name == "lease_id" || Dialect::of_headers(&parts.headers)? != Dialect::Three;
        if !is_routed {
            return Err(ApiError::NotFound("Not Found".to_owned()));
        }
        let name = if name == "lease_id" { name } else { "id" };
        let text = "UUID parsing failed";
        Err(ApiError::invalid_input(&["path", name], text, given))
    }
}

/// A JSON body; none at all counts as `{}`, as clients send to list everything, but not where something is changed.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let is_json = is_json(request.headers());
        let is_change = matches!(*request.method(), Method::PATCH | Method::PUT);
        let encoding = request.headers().get(header::CONTENT_ENCODING);
        if encoding.is_some_and(|encoding| encoding != "identity") {
            return Err(ApiError::Encoded);
        }
        // What says its length is refused before anybody sends it.
        if request.body().size_hint().lower() > MAX_BODY_BYTES as u64 {
            return Err(ApiError::TooLarge(MAX_BODY_BYTES));
        }
        let whole = Limited::new(request.into_body(), MAX_BODY_BYTES).collect();
        let bytes = timeout(PATIENCE, whole)
            .await
            .map_err(|_| ApiError::TooSlow(PATIENCE.as_secs()))?
            .map_err(|error| {
                if error.is::<LengthLimitError>() {
                    ApiError::TooLarge(MAX_BODY_BYTES)
                } else {
                    ApiError::BadRequest("the body did not arrive whole; send it again".to_owned())
                }
            })?
            .to_bytes();
        if bytes.is_empty() || bytes.as_ref() == b"null" {
            // A change without a body is rather a mistake than a change of nothing.
            if is_change {
                return Err(refusal::missing_body());
            }
            // Elsewhere the body is needed only where a member is.
            return serde_json::from_slice(b"{}")
                .or_else(|_| serde_json::from_slice(b"null"))
                .map(Self)
                .map_err(|_| refusal::missing_body());
        }
        if !is_json {
            return Err(ApiError::NotJson);
        }
        let text: &[u8] = &bytes;
        if is_too_deep(text) {
            return Err(ApiError::TooDeep(MAX_DEPTH));
        }
        // The path of an error costs time, so it is looked for only when there is one.
        let mut json = serde_json::Deserializer::from_slice(text);
        T::deserialize(Objects(&mut json))
            .and_then(|read| json.end().map(|()| Self(read)))
            .map_err(|_| refusal::explain::<T>(text))
    }
}

/// Tells whether brackets open more often than they close by more than the bound.
///
/// What is too deep for a parser that goes down step by step, as most do, could be stored here and
/// never be read again by a client.
fn is_too_deep(text: &[u8]) -> bool {
    // Almost always there are not enough of them to look any closer.
    if text.len() <= MAX_DEPTH || memchr::memchr2_iter(b'[', b'{', text).count() <= MAX_DEPTH {
        return false;
    }
    let (mut depth, mut rest) = (0usize, text);
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        match byte {
            b'"' => rest = behind_text(rest),
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return true;
        }
    }
    false
}

/// Returns what stands behind the end of a text in quotes, which is most of every body.
fn behind_text(mut rest: &[u8]) -> &[u8] {
    while let Some(at) = memchr::memchr2(b'"', b'\\', rest) {
        let length = if rest[at] == b'"' { 1 } else { 2 };
        rest = rest.get(at + length..).unwrap_or_default();
        if length == 1 {
            return rest;
        }
    }
    &[]
}

/// Tells whether a body says that it is JSON, or says nothing.
///
/// A page of another origin can send what calls itself text or a form without being asked first,
/// so nothing else is taken for JSON.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(header::CONTENT_TYPE) else {
        return true;
    };
    let kind = kind.to_str().unwrap_or_default().split(';').next();
    let kind = kind.unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || kind.starts_with("application/") && kind.ends_with("+json")
}

/// A JSON answer.
pub struct Answer<T>(pub T);

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        let mut text = Vec::with_capacity(1024);
        match serde_json::to_writer(&mut text, &self.0) {
            Ok(()) => ([(header::CONTENT_TYPE, "application/json")], text).into_response(),
            Err(error) => ApiError::Internal(error.to_string()).into_response(),
        }
    }
}

/// A value as the client's generation sees it.
pub fn view<T: Render>(dialect: Dialect, value: T) -> Answer<View<T>> {
    Answer(View(dialect, value))
}

/// What an action created (201) or found (200).
pub fn created<T: Render>(
    dialect: Dialect,
    is_new: bool,
    value: T,
) -> (StatusCode, Answer<View<T>>) {
    let status = if is_new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    (status, view(dialect, value))
}

/// Answers that something was changed or deleted (204), or that there is no such thing.
pub fn no_content(
    is_found: bool,
    absent: impl FnOnce() -> ApiError,
) -> Result<StatusCode, ApiError> {
    if is_found {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(absent())
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_DEPTH, is_too_deep};

    #[test]
    fn depth_is_that_of_brackets_outside_of_texts() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let many = "[],".repeat(MAX_DEPTH);
        for (text, expected) in [
            (nested(MAX_DEPTH), false),
            (nested(MAX_DEPTH + 1), true),
            (format!("[{many}{}]", nested(MAX_DEPTH)), true),
            (format!("[{many}{}]", nested(MAX_DEPTH - 1)), false),
            (format!("[{many}\"{}\"]", "{".repeat(500)), false),
            (format!("[{many}\"\\\"{}\"]", "{".repeat(500)), false),
            (format!("[{many}\"\\\\\"{}", "{".repeat(500)), true),
            // What does not end is refused by the parser.
            (format!("[{many}\"{}", "{".repeat(500)), false),
            (format!("[{many}\"\\"), false),
        ] {
            assert_eq!(is_too_deep(text.as_bytes()), expected, "{text}");
        }
    }
}

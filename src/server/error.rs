//! Errors of the API: one enum, one place that gives status and body.
//!
//! Absence and refusals become an [`ApiError`] in the handler that knows the noun; a
//! [`db::Error`] is converted here. The cause of an internal failure is logged once and never
//! sent. The bodies are those of the genuine servers (FastAPI's).

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::mistake::{Mistake, refuse};
use crate::db;
use crate::schemas::Dialect;

/// Why a request was not carried out.
#[derive(Debug)]
pub enum ApiError {
    /// There is no such thing.
    NotFound(String),
    /// There is no such thing to work on; the genuine servers say it in other words than of one
    /// that is asked for.
    NoObject(String),
    /// The request contradicts what there is.
    Conflict(String),
    /// The request is not understood; each detail says where and why.
    Invalid {
        /// All that is wrong.
        details: Vec<Mistake>,
        /// The body as it came, where it was JSON.
        body: Value,
    },
    /// The request is understood, but what it names cannot do that.
    Unfit(String),
    /// Somebody else has what is wanted; after so many seconds it may be free.
    Locked(String, Option<f64>),
    /// It was there, and is not any more.
    Gone(String),
    /// The limit of a list is out of range.
    Limit(i64),
    /// The request cannot be carried out as it is.
    BadRequest(String),
    /// The request needs other credentials.
    Unauthorized,
    /// The request is not allowed.
    Forbidden(String),
    /// The body is no JSON, and says so.
    NotJson,
    /// The body is compressed or encoded in another way.
    Encoded,
    /// The path knows other methods.
    MethodNotAllowed,
    /// The body is larger than this many bytes.
    TooLarge(usize),
    /// The body is nested deeper than this.
    TooDeep(usize),
    /// The body took longer than this many seconds to arrive.
    TooSlow(u64),
    /// Trying again later may succeed.
    Unavailable(String),
    /// The server lacks something that only its operator can give it.
    Misconfigured(String),
    /// A failure of ours.
    Internal(String),
}

impl ApiError {
    /// There is no `noun` of that id or name.
    pub fn not_found(noun: &str, which: impl std::fmt::Display) -> Self {
        Self::NotFound(format!("{noun} {which} not found"))
    }

    /// There is no work pool of that name.
    pub fn no_work_pool(name: &str) -> Self {
        Self::NotFound(format!("Work pool \"{name}\" not found."))
    }

    /// There is no queue of that name in a work pool.
    pub fn no_work_queue(pool: &str, queue: &str) -> Self {
        Self::NotFound(format!("Work pool queue '{pool}/{queue}' not found."))
    }

    /// Says `detail` if a unique key is taken; any other failure stays what it is.
    pub fn or_taken(error: db::Error, detail: &str) -> Self {
        match error {
            db::Error::NotUnique(_) => Self::Conflict(detail.to_owned()),
            error => error.into(),
        }
    }

    /// Returns what is wrong, for an answer that tells of several things.
    pub fn detail(self) -> String {
        match self {
            Self::NotFound(text)
            | Self::NoObject(text)
            | Self::Conflict(text)
            | Self::Unfit(text)
            | Self::Locked(text, _)
            | Self::Gone(text)
            | Self::BadRequest(text)
            | Self::Forbidden(text)
            | Self::Unavailable(text)
            | Self::Misconfigured(text) => text,
            Self::Invalid { details, body } => {
                let told = details
                    .iter()
                    .map(|mistake| mistake.told(Dialect::Three, &body));
                Value::from_iter(told).to_string()
            }
            Self::Internal(cause) => {
                tracing::error!("a part of a request failed: {cause}");
                "Internal Server Error".to_owned()
            }
            Self::Limit(_)
            | Self::Unauthorized
            | Self::NotJson
            | Self::Encoded
            | Self::MethodNotAllowed
            | Self::TooLarge(_)
            | Self::TooDeep(_)
            | Self::TooSlow(_) => "the request is refused as a whole".to_owned(),
        }
    }

    /// A list is asked for with a limit below zero.
    pub fn negative_limit() -> Self {
        Self::Unfit("Invalid limit: must be greater than or equal to 0.".to_owned())
    }

    /// One part of a request is wrong, for a reason in words that `Mistake::of` reads.
    pub fn invalid(loc: &[&str], message: impl AsRef<str>) -> Self {
        let loc = loc.iter().map(|step| json!(step)).collect();
        Self::Invalid {
            details: vec![Mistake::of(loc, message.as_ref())],
            body: Value::Null,
        }
    }

    /// As [`Self::invalid`], and names what was given there.
    pub fn invalid_input(loc: &[&str], message: impl AsRef<str>, input: impl Into<Value>) -> Self {
        let loc = loc.iter().map(|step| json!(step)).collect();
        let mut mistake = Mistake::of(loc, message.as_ref());
        mistake.input = Some(input.into());
        Self::Invalid {
            details: vec![mistake],
            body: Value::Null,
        }
    }
}

impl From<db::Error> for ApiError {
    fn from(error: db::Error) -> Self {
        match error {
            db::Error::NotUnique(_) | db::Error::NoParent(_) => Self::Conflict(
                "Data integrity conflict. This usually means a unique or foreign key constraint was violated. \
                 See server logs for details."
                    .to_owned(),
            ),
            db::Error::Busy(_)
            | db::Error::Unwritable(_)
            | db::Error::NotPermitted(_)
            | db::Error::Unopened { .. }
            | db::Error::Closed => {
                // By this name programs of flows leave it out, which say by themselves that they wait and why.
                tracing::error!(target: "prefect_rs::server::unavailable", "the database refused an operation: {error}");
                Self::Unavailable(error.to_string())
            }
            // The text names keys by their fingerprint only, and whoever reads it can do something.
            db::Error::Sealed(text) => Self::Misconfigured(text),
            db::Error::Foreign { .. } | db::Error::Decode(_) | db::Error::Driver(_) => {
                Self::Internal(error.to_string())
            }
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let exception = |message: &str| json!({"exception_message": message});
        let (status, body) = match self {
            Self::NotFound(detail) => (StatusCode::NOT_FOUND, json!({"detail": detail})),
            Self::NoObject(text) => (StatusCode::NOT_FOUND, exception(&text)),
            Self::Conflict(detail) => (StatusCode::CONFLICT, json!({"detail": detail})),
            Self::Invalid { details, body } => return refuse(details, body),
            Self::Unfit(detail) => (StatusCode::UNPROCESSABLE_ENTITY, json!({"detail": detail})),
            Self::Gone(detail) => (StatusCode::GONE, json!({"detail": detail})),
            Self::Locked(detail, retry_after) => {
                let mut response =
                    (StatusCode::LOCKED, Json(json!({"detail": detail}))).into_response();
                let seconds = retry_after.map(|seconds| HeaderValue::try_from(seconds.to_string()));
                if let Some(Ok(seconds)) = seconds {
                    response.headers_mut().insert(header::RETRY_AFTER, seconds);
                }
                return response;
            }
            Self::Limit(most) => (
                StatusCode::UNPROCESSABLE_ENTITY,
                json!({"detail": format!("Invalid limit: must be less than or equal to {most}.")}),
            ),
            Self::BadRequest(detail) => (StatusCode::BAD_REQUEST, json!({"detail": detail})),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, exception("Unauthorized")),
            Self::Forbidden(detail) => (StatusCode::FORBIDDEN, json!({"detail": detail})),
            Self::NotJson => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                json!({"detail": "Send the body as JSON, with `Content-Type: application/json`."}),
            ),
            Self::Encoded => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                json!({"detail": "Send the body as it is, without `Content-Encoding`."}),
            ),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                json!({"detail": "Method Not Allowed"}),
            ),
            Self::TooLarge(most) => (
                StatusCode::PAYLOAD_TOO_LARGE,
                json!({"detail": format!("The body is larger than {most} bytes; send it in parts.")}),
            ),
            Self::TooDeep(most) => (
                StatusCode::UNPROCESSABLE_ENTITY,
                json!({"detail": format!("The body is nested deeper than {most} levels.")}),
            ),
            Self::TooSlow(seconds) => (
                StatusCode::REQUEST_TIMEOUT,
                json!({"detail": format!("The body did not arrive within {seconds} seconds.")}),
            ),
            Self::Unavailable(detail) => {
                let body = json!({"exception_message": "Service Unavailable", "detail": detail});
                let mut response = (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response();
                response
                    .headers_mut()
                    .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
                return response;
            }
            Self::Misconfigured(text) => {
                tracing::error!("a request failed: {text}");
                (StatusCode::INTERNAL_SERVER_ERROR, exception(&text))
            }
            Self::Internal(cause) => {
                tracing::error!("a request failed: {cause}");
                (
                    StatusCode::INTERNAL_SERVER_ERROR,
                    exception("Internal Server Error"),
                )
            }
        };
        (status, Json(body)).into_response()
    }
}

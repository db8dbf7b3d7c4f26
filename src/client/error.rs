//! What can go wrong between a client and an API.
//!
//! An error carries the method, the path, the status and what the server said, since the person who reads it often sees
//! neither the server nor its log.

use std::time::Duration;

use reqwest::{Method, StatusCode};

/// A call of the API that failed.
///
/// ```no_run
/// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
/// use prefect_rs::client::Error;
///
/// match client.health().await {
///     Err(Error::Unreachable { url, .. }) => println!("nobody answers at {url}"),
///     other => println!("{other:?}"),
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server refused.
    #[error("{method} {path} was answered with {status}{}", said(message))]
    Refused {
        /// The request's method.
        method: Method,
        /// The request's path below `/api`.
        path: String,
        /// The answer's status.
        status: StatusCode,
        /// What the server said.
        message: String,
        /// How long the server asks to wait before the next attempt.
        retry_after: Option<Duration>,
    },
    /// The server could not be reached, or did not answer.
    #[error("{method} {path} got no answer from {url}: {reason}")]
    Unreachable {
        /// The request's method.
        method: Method,
        /// The request's path below `/api`.
        path: String,
        /// The API's URL.
        url: String,
        /// Why not.
        reason: String,
        /// Whether the request took longer than allowed.
        is_timeout: bool,
    },
    /// The server answered with something else than was asked for.
    #[error("{method} {path} was answered with something unexpected: {source}")]
    Unreadable {
        /// The request's method.
        method: Method,
        /// The request's path below `/api`.
        path: String,
        /// What is wrong with the body.
        source: serde_json::Error,
    },
    /// The server answered with more than anything that is asked for may have.
    #[error(
        "{method} {path} was answered with more than {most} MiB; ask for less at once, or see what answers at {url}"
    )]
    TooLong {
        /// The request's method.
        method: Method,
        /// The request's path below `/api`.
        path: String,
        /// The API's URL.
        url: String,
        /// How much is taken.
        most: usize,
    },
    /// A request that could not be made.
    #[error("a request could not be made: {0}")]
    Request(String),
}

/// Returns what the server said, as it follows the status.
fn said(message: &str) -> String {
    match message.is_empty() {
        true => String::new(),
        false => format!(": {message}"),
    }
}

impl Error {
    /// Returns what is the matter with the URL, where the answer is none that an API gives.
    #[cfg(feature = "sdk")]
    pub(crate) fn doubt_of_url(&self) -> Option<&'static str> {
        match self {
            Self::Unreadable { .. } => Some(
                "what answers there is no API of Prefect: the dashboard, if the URL does not end in /api, or a proxy with a page of its own",
            ),
            // What servers of all generations say where they have no such operation.
            Self::Refused {
                status, message, ..
            } if status.as_u16() == 405 || (status.as_u16() == 404 && message == "Not Found") => {
                Some("the URL of an API ends in /api")
            }
            Self::Refused { .. }
            | Self::Unreachable { .. }
            | Self::TooLong { .. }
            | Self::Request(_) => None,
        }
    }

    /// Returns the status of a refusal.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// if let Err(error) = client.read_flow(id).await {
    ///     println!("{:?}", error.status());
    /// }
    /// # Ok(()) }
    /// ```
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            Self::Unreachable { .. }
            | Self::Unreadable { .. }
            | Self::TooLong { .. }
            | Self::Request(_) => None,
        }
    }

    /// Returns how long the server asks to wait before the next attempt.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
    /// if let Err(error) = client.health().await {
    ///     println!("again in {:?}", error.retry_after());
    /// }
    /// # Ok(()) }
    /// ```
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            Self::Unreachable { .. }
            | Self::Unreadable { .. }
            | Self::TooLong { .. }
            | Self::Request(_) => None,
        }
    }

    /// Returns whether the server has refused the request itself, so that sending it again changes nothing.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// if let Err(error) = client.delete_flow_run(id).await {
    ///     println!("sending it again helps: {}", !error.is_refusal());
    /// }
    /// # Ok(()) }
    /// ```
    pub fn is_refusal(&self) -> bool {
        self.status().is_some_and(|status| status.is_client_error())
    }

    /// Returns whether the thing asked for does not exist.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// if client.read_flow(id).await.is_err_and(|error| error.is_not_found()) {
    ///     println!("there is no such flow");
    /// }
    /// # Ok(()) }
    /// ```
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(StatusCode::NOT_FOUND)
    }

    /// Returns whether the server could not be reached.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
    /// if client.health().await.is_err_and(|error| error.is_unreachable()) {
    ///     println!("start the server");
    /// }
    /// # Ok(()) }
    /// ```
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }

    /// Returns whether the request has taken longer than allowed; the server may still be at it.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
    /// if client.health().await.is_err_and(|error| error.is_timeout()) {
    ///     println!("the server is slow");
    /// }
    /// # Ok(()) }
    /// ```
    pub fn is_timeout(&self) -> bool {
        matches!(
            self,
            Self::Unreachable {
                is_timeout: true,
                ..
            }
        )
    }

    /// Returns whether the server is away or unable to answer, so that the same request may succeed once it is back.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
    /// if client.health().await.is_err_and(|error| error.is_away()) {
    ///     println!("it will be back");
    /// }
    /// # Ok(()) }
    /// ```
    pub fn is_away(&self) -> bool {
        match self {
            Self::Refused { status, .. } => status.is_server_error() || is_passing(*status),
            Self::Unreachable { .. } => true,
            Self::Unreadable { .. } | Self::TooLong { .. } | Self::Request(_) => false,
        }
    }

    /// Returns whether the server says that it failed at the request, which it may do each time.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// if client.read_flow(id).await.is_err_and(|error| error.is_failure()) {
    ///     println!("the log of the server says why");
    /// }
    /// # Ok(()) }
    /// ```
    pub fn is_failure(&self) -> bool {
        self.status().is_some_and(|status| {
            status.is_server_error() && !is_passing(status) && status != StatusCode::GATEWAY_TIMEOUT
        })
    }

    /// Returns whether the same request may succeed a moment later.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
    /// if client.health().await.is_err_and(|error| error.is_passing()) {
    ///     println!("a moment later it may work");
    /// }
    /// # Ok(()) }
    /// ```
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Refused { status, .. } => is_passing(*status),
            Self::Unreachable { is_timeout, .. } => !is_timeout,
            Self::Unreadable { .. } | Self::TooLong { .. } | Self::Request(_) => false,
        }
    }
}

/// Returns whether a status means "try again".
pub(super) fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 502 | 503)
}

//! How a request reaches its API: over a connection, or as a call in this process.
//!
//! The in-process way takes a function and not a router, so that the client needs to know nothing of the server.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::BoxFuture;
use reqwest::{Method, StatusCode, header};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::{Error, Result, USER_AGENT, error::is_passing};
use crate::settings::Settings;

/// A function that answers requests in this process; an error is the reason why it cannot.
pub type Handler =
    Arc<dyn Fn(Request) -> BoxFuture<'static, std::result::Result<Response, String>> + Send + Sync>;

/// The way to an API.
///
/// ```no_run
/// # fn f(client: prefect_rs::client::Client) {
/// use prefect_rs::client::Transport;
///
/// match client.transport() {
///     Transport::Http { url, .. } => println!("a server at {url}"),
///     Transport::InProcess(_) => println!("a function in this process"),
/// }
/// # }
/// ```
#[derive(Clone)]
pub enum Transport {
    /// A connection.
    Http {
        /// The API's URL without a slash at its end.
        url: String,
        /// The shared connections.
        http: reqwest::Client,
        /// The token that changes need on servers that want one; none until one wants it.
        csrf: Arc<Csrf>,
    },
    /// A function.
    InProcess(Handler),
}

/// A request as both ways take it.
///
/// ```
/// use prefect_rs::client::Request;
/// use prefect_rs::client::reqwest::Method;
///
/// assert_eq!(Request::new(Method::GET, "/health").path, "/health");
/// ```
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The path below `/api`, query included.
    pub path: String,
    /// The JSON body, if there is one.
    pub body: Option<Vec<u8>>,
}

/// An answer as both ways give it.
///
/// ```
/// use prefect_rs::client::Response;
/// use prefect_rs::client::reqwest::StatusCode;
///
/// let response = Response {
///     status: StatusCode::OK,
///     headers: Default::default(),
///     body: b"true".to_vec(),
/// };
/// assert!(response.status.is_success());
/// ```
#[derive(Clone, Debug)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: header::HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// Makes a request without a body.
    ///
    /// ```
    /// use prefect_rs::client::Request;
    /// use prefect_rs::client::reqwest::Method;
    ///
    /// assert_eq!(Request::new(Method::GET, "/health").body, None);
    /// ```
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            body: None,
        }
    }

    /// Makes a request with a JSON body.
    ///
    /// ```
    /// use prefect_rs::client::Request;
    /// use prefect_rs::client::reqwest::Method;
    ///
    /// let request = Request::with_body(Method::POST, "/logs/", &[1, 2]).unwrap();
    /// assert_eq!(request.body.unwrap(), b"[1,2]");
    /// ```
    pub fn with_body(method: Method, path: &str, body: &impl Serialize) -> Result<Self> {
        let body = serde_json::to_vec(body).map_err(|error| Error::Request(error.to_string()))?;
        Ok(Self {
            body: Some(body),
            ..Self::new(method, path)
        })
    }
}

impl Response {
    pub(super) fn is_passing_failure(&self) -> bool {
        is_passing(self.status)
    }

    /// Returns how long the server asks to wait.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let text = self.headers.get(header::RETRY_AFTER)?.to_str().ok()?;
        Duration::try_from_secs_f64(text.trim().parse().ok()?).ok()
    }

    pub(super) fn into_success(self, request: &Request) -> Result<Self> {
        if self.status.is_success() {
            return Ok(self);
        }
        Err(Error::Refused {
            method: request.method.clone(),
            path: request.path.clone(),
            status: self.status,
            message: said(&self.body),
            retry_after: self.retry_after(),
        })
    }
}

impl Transport {
    /// Makes connections to the API at `url` as the settings say.
    pub(super) fn http(url: &str, settings: &Settings) -> Result<Self> {
        let http = crate::http::client()
            .user_agent(USER_AGENT)
            .default_headers(headers(settings)?)
            .timeout(settings.api_request_timeout)
            .connect_timeout(Duration::from_secs(5))
            .build()
            .map_err(|error| Error::Request(reasons(&error)))?;
        Ok(Self::Http {
            url: url.trim_end_matches('/').to_owned(),
            http,
            csrf: Arc::default(),
        })
    }

    /// Returns the API's URL, if it has one.
    ///
    /// ```no_run
    /// # fn f(client: prefect_rs::client::Client) {
    /// println!("{:?}", client.transport().url());
    /// # }
    /// ```
    pub fn url(&self) -> Option<&str> {
        match self {
            Self::Http { url, .. } => Some(url),
            Self::InProcess(_) => None,
        }
    }

    pub(super) async fn send(&self, request: &Request) -> Result<Response> {
        match self {
            Self::Http { url, http, csrf } => {
                send_http(http, url, csrf, request)
                    .await
                    .map_err(|failure| match failure {
                        Failure::Http(error) => {
                            unreachable(request, url, &reasons(&error), error.is_timeout())
                        }
                        Failure::TooLong => Error::TooLong {
                            method: request.method.clone(),
                            path: request.path.clone(),
                            url: url.clone(),
                            most: MOST_BYTES >> 20,
                        },
                    })
            }
            Self::InProcess(handler) => handler(request.clone())
                .await
                .map_err(|reason| unreachable(request, "the local database", &reason, true)),
        }
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Transport({})",
            self.url().unwrap_or("the local database")
        )
    }
}

/// What a client sends with changes where the server wants a token.
#[doc(hidden)]
#[derive(Debug)]
pub struct Csrf {
    client: Uuid,
    token: Mutex<Option<String>>,
}

impl Default for Csrf {
    fn default() -> Self {
        Self {
            client: Uuid::new_v4(),
            token: Mutex::default(),
        }
    }
}

impl Csrf {
    fn token(&self) -> Option<String> {
        self.token
            .lock()
            .expect("no holder of this lock panics")
            .clone()
    }

    /// Asks for a token; tells whether there is one.
    async fn renew(&self, http: &reqwest::Client, url: &str) -> Received<bool> {
        let path = format!("{url}/csrf-token?client={}", self.client);
        let response = http.get(path).send().await?;
        if !response.status().is_success() {
            return Ok(false);
        }
        let body: Value = serde_json::from_slice(&whole(response).await?).unwrap_or_default();
        let token = body["token"].as_str().map(str::to_owned);
        let is_given = token.is_some();
        *self.token.lock().expect("no holder of this lock panics") = token;
        Ok(is_given)
    }
}

/// The largest answer that is read: several times what a server gives at once, and what every machine has.
const MOST_BYTES: usize = 256 << 20;

/// Why there is no answer.
enum Failure {
    Http(reqwest::Error),
    TooLong,
}

type Received<T> = std::result::Result<T, Failure>;

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Self {
        Self::Http(error)
    }
}

/// Sends a request, and again with a token if that is what it lacked.
async fn send_http(
    http: &reqwest::Client,
    url: &str,
    csrf: &Csrf,
    request: &Request,
) -> Received<Response> {
    let response = send_once(http, url, csrf, request).await?;
    let lacks_token =
        response.status == StatusCode::FORBIDDEN && said(&response.body).contains("CSRF token");
    if lacks_token && csrf.renew(http, url).await? {
        return send_once(http, url, csrf, request).await;
    }
    Ok(response)
}

async fn send_once(
    http: &reqwest::Client,
    url: &str,
    csrf: &Csrf,
    request: &Request,
) -> Received<Response> {
    let mut builder = http.request(request.method.clone(), format!("{url}{}", request.path));
    if let Some(token) = csrf.token() {
        builder = builder
            .header("Prefect-Csrf-Token", token)
            .header("Prefect-Csrf-Client", csrf.client.to_string());
    }
    if let Some(body) = &request.body {
        builder = builder
            .header(header::CONTENT_TYPE, "application/json")
            .body(body.clone());
    }
    let response = builder.send().await?;
    Ok(Response {
        status: response.status(),
        headers: response.headers().clone(),
        body: whole(response).await?,
    })
}

/// Reads the body of an answer, as far as somebody means it as one.
async fn whole(mut response: reqwest::Response) -> Received<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > MOST_BYTES {
            return Err(Failure::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// What every request carries: who asks, and the credentials.
fn headers(settings: &Settings) -> Result<header::HeaderMap> {
    let mut headers = credentials(settings)?;
    // A host may have any name; one that no header can carry goes unnamed.
    if let Ok(value) = header::HeaderValue::try_from(process_name()) {
        headers.insert("x-prefect-agent", value);
    }
    Ok(headers)
}

/// Names this process for whoever reads which agents poll a queue.
fn process_name() -> String {
    #[cfg(feature = "server")]
    let host = nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok());
    #[cfg(not(feature = "server"))]
    let host: Option<String> = None;
    let host = host.unwrap_or_else(|| "unknown".to_owned());
    format!("{host}:{}", std::process::id())
}

/// Returns the `Authorization` header that the settings ask for, an auth string before a key.
fn credentials(settings: &Settings) -> Result<header::HeaderMap> {
    let value = match (&settings.api_auth_string, &settings.api_key) {
        (Some(auth), _) => format!("Basic {}", base64(auth.reveal().as_bytes())),
        (None, Some(key)) => format!("Bearer {}", key.reveal()),
        (None, None) => return Ok(header::HeaderMap::new()),
    };
    let mut value = header::HeaderValue::try_from(value).map_err(|_| {
        Error::Request("the API key or auth string has characters that no header can carry".into())
    })?;
    value.set_sensitive(true);
    Ok([(header::AUTHORIZATION, value)].into_iter().collect())
}

/// Encodes as RFC 4648 section 4 says, with padding.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().enumerate().fold(0u32, |group, (i, byte)| {
            group | u32::from(*byte) << (16 - 8 * i)
        });
        for i in 0..4 {
            let digit = ALPHABET[(group >> (18 - 6 * i)) as usize & 63] as char;
            text.push(if i <= chunk.len() { digit } else { '=' });
        }
    }
    text
}

fn unreachable(request: &Request, url: &str, reason: &str, is_timeout: bool) -> Error {
    Error::Unreachable {
        method: request.method.clone(),
        path: request.path.clone(),
        url: url.to_owned(),
        reason: reason.to_owned(),
        is_timeout,
    }
}

/// Returns the innermost reason, which is the one a person can act on.
fn reasons(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// How many characters are told of an answer that is no JSON.
const SAID_LENGTH: usize = 200;

/// Returns what a server says in an error body of any of its forms.
fn said(body: &[u8]) -> String {
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return said_by_a_stranger(&String::from_utf8_lossy(body));
    };
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match (body.get("detail"), body.get("exception_message")) {
        (Some(detail), _) => text(detail),
        (None, Some(message)) => match body.get("exception_detail").map(details) {
            Some(details) if !details.is_empty() => details,
            Some(_) | None => text(message),
        },
        (None, None) => body.to_string(),
    }
}

/// Returns on one line what something says that does not speak as an API does: a proxy, or another program on the port.
fn said_by_a_stranger(text: &str) -> String {
    if text.trim_start().starts_with('<') {
        return "a page that is no answer of a Prefect API".to_owned();
    }
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    let line: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    line.join(" ").chars().take(SAID_LENGTH).collect()
}

/// Joins the parts of a validation error: where in the body, and what.
fn details(details: &Value) -> String {
    let Some(list) = details.as_array() else {
        return details.as_str().unwrap_or_default().to_owned();
    };
    let one = |detail: &Value| {
        let place: Vec<String> = detail["loc"]
            .as_array()
            .into_iter()
            .flatten()
            .skip_while(|part| *part == "body")
            .map(|part| {
                part.as_str()
                    .map_or_else(|| part.to_string(), str::to_owned)
            })
            .collect();
        let why = detail["msg"].as_str().unwrap_or("not valid");
        match place.is_empty() {
            true => why.to_owned(),
            false => format!("{}: {why}", place.join(".")),
        }
    };
    list.iter().map(one).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_pads_as_the_standard_says() {
        let encoded = ["", "f", "fo", "foo", "admin:pass"].map(|text| base64(text.as_bytes()));
        assert_eq!(encoded, ["", "Zg==", "Zm8=", "Zm9v", "YWRtaW46cGFzcw=="]);
    }

    #[test]
    fn a_validation_error_is_told_with_its_place() {
        let body = br#"{"exception_message": "Invalid request received.", "exception_detail": [{"loc": ["body", "name"], "msg": "field required", "type": "x"}]}"#;
        assert_eq!(said(body), "name: field required");
        let whole = br#"{"exception_message": "Invalid request received.", "exception_detail": [{"loc": ["body"], "msg": "Field required"}]}"#;
        assert_eq!(said(whole), "Field required");
        assert_eq!(said(br#"{"detail": "Flow not found"}"#), "Flow not found");
    }

    #[test]
    fn what_is_no_answer_of_an_api_is_told_on_one_line() {
        let page = b"\n<!DOCTYPE HTML>\n<html>\n<h1>Error response</h1>\n</html>\n";
        assert_eq!(said(page), "a page that is no answer of a Prefect API");
        assert_eq!(
            said(b"Internal\r\n\tServer\x1b[1m Error\n"),
            "Internal Server [1m Error"
        );
        assert_eq!(
            said("\u{e9}".repeat(1000).as_bytes()).chars().count(),
            SAID_LENGTH
        );
        assert_eq!(said(b""), "");
    }
}

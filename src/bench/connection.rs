//! One keep-alive HTTP/1.1 connection of one client.
//!
//! A pool, redirects and TLS would cost the generator more than a fast server's answer does, so
//! each client owns a bare connection and opens it again when the server closes it.

use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;

use super::Error;
use super::contract::Generation;

/// Longest wait for one answer: when the oldest genuine clients give up.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Where the server is.
#[derive(Debug, Clone)]
pub(super) struct Address {
    /// Host and port, as in the `Host` header.
    pub(super) host: String,
    /// The path before every route, `/api` unless the address says more.
    pub(super) base: String,
    /// The port alone, by which the server's process is found.
    pub(super) port: u16,
}

impl Address {
    /// Reads `http://host:port`, with or without a path.
    pub(super) fn parse(url: &str) -> Result<Self, Error> {
        let wrong = || Error::Url(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        if uri.scheme_str() != Some("http") {
            return Err(wrong());
        }
        let name = uri.host().ok_or_else(wrong)?;
        let port = uri.port_u16().unwrap_or(80);
        let base = uri.path().trim_end_matches('/');
        Ok(Self {
            host: format!("{name}:{port}"),
            base: if base.is_empty() { "/api" } else { base }.to_owned(),
            port,
        })
    }
}

/// A whole answer.
pub(super) struct Answer {
    /// The HTTP status.
    pub(super) status: u16,
    /// The body as it came.
    pub(super) body: Bytes,
}

impl Answer {
    /// Returns true for a 2xx status.
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Reads the body as JSON, if it has that shape.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.body).ok()
    }
}

/// A client's connection.
pub(super) struct Connection {
    address: Address,
    generation: Generation,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Connection {
    /// Makes a connection that opens at the first request.
    pub(super) fn new(address: Address, generation: Generation) -> Self {
        Self {
            address,
            generation,
            sender: None,
        }
    }

    /// Returns host and port of the server.
    pub(super) fn host(&self) -> &str {
        &self.address.host
    }

    /// Returns true if the last request broke the connection.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_none()
    }

    /// Drops the connection, and with it what is still asked on it.
    pub(super) fn close(&mut self) {
        self.sender = None;
    }

    /// Sends a request and reads the whole answer; `Err` says what went wrong in two words.
    pub(super) async fn ask(
        &mut self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Answer, String> {
        let request = self.request(method, path, body);
        match tokio::time::timeout(ANSWER_TIMEOUT, self.send(request)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(reason)) => {
                self.sender = None;
                Err(reason)
            }
            Err(_) => {
                self.sender = None;
                Err("no answer in time".into())
            }
        }
    }

    fn request(&self, method: Method, path: &str, body: Vec<u8>) -> Request<Full<Bytes>> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.address.base))
            .header("host", &self.address.host)
            .header("user-agent", self.generation.user_agent())
            .header("content-type", "application/json");
        if let Some(version) = self.generation.api_version() {
            request = request.header("x-prefect-api-version", version);
        }
        request
            .body(Full::new(Bytes::from(body)))
            .expect("paths and headers here are plain ASCII")
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, String> {
        if let Some(sender) = &mut self.sender
            && sender.ready().await.is_err()
        {
            self.sender = None;
        }
        let sender = match &mut self.sender {
            Some(sender) => sender,
            None => self.sender.insert(open(&self.address.host).await?),
        };
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| format!("connection broke: {error}"))?;
        let status = response.status().as_u16();
        let body = response
            .into_body()
            .collect()
            .await
            .map_err(|error| format!("answer broke off: {error}"))?
            .to_bytes();
        Ok(Answer { status, body })
    }
}

async fn open(host: &str) -> Result<SendRequest<Full<Bytes>>, String> {
    let stream = TcpStream::connect(host)
        .await
        .map_err(|error| format!("cannot connect: {error}"))?;
    stream
        .set_nodelay(true)
        .map_err(|error| format!("cannot connect: {error}"))?;
    let (sender, connection) = handshake(TokioIo::new(stream))
        .await
        .map_err(|error| format!("cannot connect: {error}"))?;
    // Ends when its sender is dropped; what breaks it is told to the sender.
    tokio::spawn(connection);
    Ok(sender)
}

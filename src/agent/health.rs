//! Tells over HTTP whether a worker still reaches its server, for whoever supervises the worker.
//!
//! `GET /health` is all there is, so no framework is needed: a connection carries one request.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::clock::{Clock, SystemClock};

/// So many polls may fail before a worker counts as unwell.
const MISSED_POLLS: u32 = 30;
/// A request's head is short, and comes at once.
const MAX_HEAD_BYTES: usize = 8 * 1024;
const PATIENCE: Duration = Duration::from_secs(5);

/// When the server last answered.
#[derive(Debug)]
pub struct Health {
    /// Milliseconds since 1970.
    answered: AtomicI64,
    patience: Duration,
}

impl Health {
    /// Returns the health of a worker that has just started and asks so often.
    pub fn of(interval: Duration) -> Self {
        let health = Health {
            answered: AtomicI64::new(0),
            patience: interval.max(Duration::from_secs(1)) * MISSED_POLLS,
        };
        health.note();
        health
    }

    /// Notes that the server has answered.
    pub fn note(&self) {
        let now = SystemClock.now().timestamp_millis();
        self.answered.store(now, Ordering::Relaxed);
    }

    fn is_well(&self, now: DateTime<Utc>) -> bool {
        let silent = now.timestamp_millis() - self.answered.load(Ordering::Relaxed);
        u128::try_from(silent).unwrap_or(0) <= self.patience.as_millis()
    }
}

/// Answers until the worker ends.
pub async fn serve(listener: TcpListener, health: Arc<Health>) {
    let mut open = JoinSet::new();
    loop {
        while open.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let health = health.clone();
                open.spawn(async move { timeout(PATIENCE, answer(stream, &health)).await });
            }
            // Out of files, most likely; they come back.
            Err(_) => sleep(Duration::from_millis(200)).await,
        }
    }
}

async fn answer(mut stream: TcpStream, health: &Health) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < MAX_HEAD_BYTES {
        if stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let (status, message) = response(&head, health.is_well(SystemClock.now()));
    let body = format!(r#"{{"message":"{message}"}}"#);
    let text = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(text.as_bytes()).await
}

fn response(head: &[u8], is_well: bool) -> (&'static str, &'static str) {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ');
    match (words.next(), words.next(), is_well) {
        (Some(b"GET"), Some(b"/health"), true) => ("200 OK", "OK"),
        (Some(b"GET"), Some(b"/health"), false) => (
            "503 Service Unavailable",
            "The server has not answered this worker for a while",
        ),
        _ => ("404 Not Found", "There is only GET /health"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_worker_is_well_while_its_server_answers() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let health = Arc::new(Health::of(Duration::from_secs(10)));
        let serving = tokio::spawn(serve(listener, health.clone()));
        let ask = async |path: &str| {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let request = format!("GET {path} HTTP/1.1\r\nhost: h\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        };
        assert!(ask("/health").await.starts_with("HTTP/1.1 200 OK"));
        assert!(ask("/").await.starts_with("HTTP/1.1 404"));
        let long_ago = SystemClock.now().timestamp_millis() - 300_001;
        health.answered.store(long_ago, Ordering::Relaxed);
        assert!(ask("/health").await.starts_with("HTTP/1.1 503"));
        health.note();
        assert!(ask("/health").await.ends_with(r#"{"message":"OK"}"#));
        serving.abort();
    }
}

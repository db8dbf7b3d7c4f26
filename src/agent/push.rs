//! The push channel: the server says when something is due, so that nobody waits for the next poll.
//!
//! It only ever makes the agent ask sooner. A server without the route (a genuine one) is polled,
//! and asked again now and then in case it was replaced by one that has it.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tracing::debug;
use uuid::Uuid;

use super::Source;
use super::dispatcher::Event;
use crate::client::{Client, Transport, reqwest};
use crate::http::percent_encoded;

/// Longer than two of the server's heartbeats: silence means that the connection is dead.
const SILENCE: Duration = Duration::from_secs(40);
/// How soon a server without the route is asked again.
const ABSENT: Duration = Duration::from_secs(60);

/// Returns the path at which a server tells that something of a source is due; nothing where that cannot be.
pub fn path(source: &Source) -> Option<String> {
    match source {
        Source::Queue(queue) => Some(format!("/work_queues/{}/due", queue.id())),
        Source::Pool { name, .. } => Some(format!("/work_pools/{}/due", percent_encoded(name))),
        Source::Given => None,
    }
}

/// Listens until the agent exits.
pub async fn listen(client: Client, path: Option<String>, events: mpsc::UnboundedSender<Event>) {
    let (Transport::Http { url, http, .. }, Some(path)) = (client.transport(), path) else {
        return;
    };
    let url = format!("{url}{path}");
    let mut pause = Duration::from_millis(100);
    loop {
        // The shared client's timeout is for answers; this one is meant to last.
        let request = http
            .get(&url)
            .header("Accept", "text/event-stream")
            .timeout(Duration::from_secs(86_400));
        match timeout(SILENCE, request.send()).await {
            Ok(Ok(response)) if response.status().is_success() => {
                pause = Duration::from_millis(100);
                // What became due before the channel was open.
                let _ = events.send(Event::Nudge);
                follow(response, &events).await;
                debug!("the push channel was closed");
            }
            Ok(Ok(response)) if response.status().is_client_error() => pause = ABSENT,
            Ok(Ok(_) | Err(_)) | Err(_) => {}
        }
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(10));
    }
}

async fn follow(response: reqwest::Response, events: &mpsc::UnboundedSender<Event>) {
    let mut stream = response.bytes_stream();
    let mut reader = EventReader::default();
    while let Ok(Some(Ok(bytes))) = timeout(SILENCE, stream.next()).await {
        for event in reader.take(&bytes) {
            let _ = events.send(event);
        }
    }
}

/// Cuts a stream of server-sent events into what the agent acts on.
#[derive(Default)]
struct EventReader {
    pending: Vec<u8>,
    name: String,
    data: String,
}

impl EventReader {
    fn take(&mut self, bytes: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        for byte in bytes {
            match byte {
                b'\n' => {
                    let line = String::from_utf8_lossy(&self.pending)
                        .trim_end_matches('\r')
                        .to_owned();
                    self.pending.clear();
                    events.extend(self.line(&line));
                }
                // No event of ours is long; a stream that is something else must not fill the memory.
                _ if self.pending.len() < 64 * 1024 => self.pending.push(*byte),
                _ => {}
            }
        }
        events
    }

    fn line(&mut self, line: &str) -> Option<Event> {
        if let Some(name) = line.strip_prefix("event:") {
            self.name = name.trim().to_owned();
        } else if let Some(data) = line.strip_prefix("data:") {
            self.data = data.trim().to_owned();
        } else if line.is_empty() {
            let (name, data) = (
                std::mem::take(&mut self.name),
                std::mem::take(&mut self.data),
            );
            return match name.as_str() {
                "due" => Some(Event::Nudge),
                "cancelled" | "cancelling" => run_id(&data).map(Event::Cancelled),
                _ => None,
            };
        }
        None
    }
}

fn run_id(data: &str) -> Option<Uuid> {
    let data: Value = serde_json::from_str(data).ok()?;
    data["flow_run_id"].as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_however_they_are_cut() {
        let text = ": heartbeat\n\nevent: due\ndata: {\"flow_run_id\": null}\n\nevent: cancelled\r\ndata: {\"flow_run_id\": \"00000000-0000-0000-0000-000000000007\"}\r\n\r\nevent: other\n\n";
        for size in [1, 7, 1000] {
            let mut reader = EventReader::default();
            let events: Vec<_> = text
                .as_bytes()
                .chunks(size)
                .flat_map(|chunk| reader.take(chunk))
                .collect();
            assert!(
                matches!(events[..], [Event::Nudge, Event::Cancelled(id)] if id == Uuid::from_u128(7)),
                "{events:?}"
            );
        }
    }
}

//! Forwards output of flow processes as logs: in order, in batches, bounded in memory.
//!
//! While the API answers, a full buffer slows the flow down, as any pipe would. While the API is
//! away the flow must go on, so lines beyond the buffer are dropped and counted, and the count
//! is sent as a line of its own once the API is back.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::warn;
use uuid::Uuid;

use super::backoff::Backoff;
use crate::client::Client;
use crate::clock::{Clock, SystemClock};

/// What is kept in memory for all runs together.
const BUFFER_BYTES: usize = 16 * 1024 * 1024;
/// What one request carries; genuine servers take 4 MB.
const BATCH_BYTES: usize = 1024 * 1024;
const BATCH_LINES: usize = 1000;
/// How long a line waits for company.
const LINGER: Duration = Duration::from_millis(200);
/// What a line costs beside its text.
const LINE_OVERHEAD_BYTES: usize = 200;

/// Levels as Python counts them.
pub const INFO: u8 = 20;
pub const WARNING: u8 = 30;
pub const ERROR: u8 = 40;

/// A log line of a flow run.
#[derive(Debug, Clone)]
pub struct Line {
    /// The run that said it.
    pub flow_run_id: Uuid,
    /// The logger's name.
    pub name: &'static str,
    /// The level as Python counts it.
    pub level: u8,
    /// The text.
    pub message: String,
    /// When it was read.
    pub timestamp: DateTime<Utc>,
}

enum Item {
    Line(Line, OwnedSemaphorePermit),
    Flush(oneshot::Sender<()>),
}

/// The way in; cheap to clone.
#[derive(Clone)]
pub struct Forwarder {
    queue: mpsc::UnboundedSender<Item>,
    /// Bounds the bytes in `queue`: a line holds its permits until it is sent or given up.
    room: Arc<Semaphore>,
    /// True from the first failed request until the next that succeeds.
    is_away: Arc<AtomicBool>,
    dropped: Arc<std::sync::Mutex<HashMap<Uuid, u64>>>,
}

impl Forwarder {
    /// Starts forwarding; the task ends when all clones are gone and all lines are sent.
    pub fn start(client: Client) -> (Self, JoinHandle<()>) {
        let (queue, items) = mpsc::unbounded_channel();
        let forwarder = Forwarder {
            queue,
            room: Arc::new(Semaphore::new(BUFFER_BYTES)),
            is_away: Arc::default(),
            dropped: Arc::default(),
        };
        let task = tokio::spawn(forward(
            client,
            items,
            forwarder.is_away.clone(),
            forwarder.dropped.clone(),
        ));
        (forwarder, task)
    }

    /// Takes a line; waits for room while the API is there, and drops the line while it is not.
    pub async fn send(&self, line: Line) {
        let size = (line.message.len() + LINE_OVERHEAD_BYTES) as u32;
        let permit = loop {
            if let Ok(permit) = self.room.clone().try_acquire_many_owned(size) {
                break Some(permit);
            }
            if self.is_away.load(Ordering::Relaxed) {
                break None;
            }
            // The API may go away while a flow waits here, so the wait is cut into pieces.
            let waited = timeout(
                Duration::from_millis(500),
                self.room.clone().acquire_many_owned(size),
            )
            .await;
            if let Ok(Ok(permit)) = waited {
                break Some(permit);
            }
        };
        match permit {
            Some(permit) => {
                let _ = self.queue.send(Item::Line(line, permit));
            }
            None => {
                *self
                    .dropped
                    .lock()
                    .expect("nobody panics while counting")
                    .entry(line.flow_run_id)
                    .or_default() += 1
            }
        }
    }

    /// Returns whether no line is on its way.
    pub fn has_sent_all(&self) -> bool {
        self.room.available_permits() == BUFFER_BYTES
    }

    /// Waits until every line taken so far has been sent, or `limit` has passed; `true` means that they were sent.
    pub async fn flush(&self, limit: Duration) -> bool {
        let (done, sent) = oneshot::channel();
        self.queue.send(Item::Flush(done)).is_ok()
            && matches!(timeout(limit, sent).await, Ok(Ok(())))
    }
}

async fn forward(
    client: Client,
    mut items: mpsc::UnboundedReceiver<Item>,
    is_away: Arc<AtomicBool>,
    dropped: Arc<std::sync::Mutex<HashMap<Uuid, u64>>>,
) {
    while let Some(first) = items.recv().await {
        let (lines, flushes, permits) = gather(first, &mut items).await;
        if !lines.is_empty() {
            deliver(&client, &lines, &is_away).await;
        }
        drop(permits);
        let lost: Vec<_> = dropped
            .lock()
            .expect("nobody panics while counting")
            .drain()
            .collect();
        if !lost.is_empty() {
            let notes: Vec<Value> = lost
                .into_iter()
                .map(|(id, count)| lost_note(id, count))
                .collect();
            deliver(&client, &notes, &is_away).await;
        }
        for flush in flushes {
            let _ = flush.send(());
        }
    }
}

/// Gathers lines until the batch is full, the linger time is over, or somebody waits for them.
async fn gather(
    first: Item,
    items: &mut mpsc::UnboundedReceiver<Item>,
) -> (
    Vec<Value>,
    Vec<oneshot::Sender<()>>,
    Vec<OwnedSemaphorePermit>,
) {
    let (mut lines, mut flushes, mut permits, mut size) = (Vec::new(), Vec::new(), Vec::new(), 0);
    let deadline = Instant::now() + LINGER;
    let mut next = Some(first);
    while let Some(item) = next {
        match item {
            Item::Line(line, permit) => {
                size += line.message.len() + LINE_OVERHEAD_BYTES;
                lines.push(as_value(&line));
                permits.push(permit);
            }
            Item::Flush(done) => flushes.push(done),
        }
        if !flushes.is_empty() || size >= BATCH_BYTES || lines.len() >= BATCH_LINES {
            break;
        }
        next = timeout_at(deadline, items.recv()).await.ok().flatten();
    }
    (lines, flushes, permits)
}

/// Sends a batch, again and again while the API is away; a batch that the API refuses is given up.
async fn deliver(client: &Client, lines: &[Value], is_away: &AtomicBool) {
    let mut backoff = Backoff::new();
    loop {
        match client.create_logs(lines).await {
            Ok(()) => return is_away.store(false, Ordering::Relaxed),
            Err(error) if error.is_refusal() => {
                warn!(%error, "{} log lines were refused by the API", lines.len());
                return;
            }
            Err(error) => {
                if !is_away.swap(true, Ordering::Relaxed) {
                    warn!(%error, "log lines are kept until the API is back");
                }
                backoff.pause().await;
            }
        }
    }
}

fn as_value(line: &Line) -> Value {
    json!({
        "name": line.name,
        "level": line.level,
        "message": line.message,
        "timestamp": line.timestamp.to_rfc3339_opts(SecondsFormat::Micros, false),
        "flow_run_id": line.flow_run_id,
        "task_run_id": null,
    })
}

fn lost_note(flow_run_id: Uuid, count: u64) -> Value {
    as_value(&Line {
        flow_run_id,
        name: "prefect.agent",
        level: WARNING,
        message: format!(
            "{count} lines of output are missing here: the API was away and the buffer full"
        ),
        timestamp: SystemClock.now(),
    })
}

//! What goes to the API in batches: task runs and log lines.
//!
//! While batches are on their way the next one gathers, so batches are small when there is little to say and large when there
//! is much. The API may take them in any order: each entry has its time. While the API is away everything is kept and sent
//! again; the memory for it is bounded, and whoever fills it waits ([`Outbox::room`]) or is told that there is none
//! ([`Outbox::try_push`]).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::stream::{FuturesOrdered, StreamExt};
use serde_json::value::RawValue;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use super::patience::Pause;
use crate::client::{Client, Error};

/// What one request carries at most; genuine servers take 4 MB of logs.
const BATCH_BYTES: usize = 2 * 1024 * 1024;
/// How many entries one request carries at most.
const BATCH_ENTRIES: usize = 2000;
/// Batches under way at once: while one is written, the API reads the next.
const ON_THEIR_WAY: usize = 2;
/// How long an entry waits for company.
const LINGER: Duration = Duration::from_millis(5);
/// What is kept in memory at most.
const MAX_BYTES: usize = 32 * 1024 * 1024;
/// A batch of no more entries than this is not made smaller for a server that is slow.
const FEW_ENTRIES: usize = 100;

/// What a batch gathers, and becomes one body.
pub(crate) trait Gathered: Default + Send + 'static {
    /// Returns how many entries there are.
    fn entries(&self) -> usize;
    /// Returns about how many bytes they take.
    fn bytes(&self) -> usize;
    /// Makes the body of a request of them: a list.
    fn into_body(self) -> Vec<u8>;
}

/// Entries that are JSON once they are there.
#[derive(Default)]
pub(crate) struct Lines {
    body: Vec<u8>,
    entries: usize,
}

impl Lines {
    /// Takes an entry that `write` appends as JSON.
    fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.body.push(if self.entries == 0 { b'[' } else { b',' });
        write(&mut self.body);
        self.entries += 1;
    }
}

impl Gathered for Lines {
    fn entries(&self) -> usize {
        self.entries
    }

    fn bytes(&self) -> usize {
        self.body.len()
    }

    fn into_body(mut self) -> Vec<u8> {
        self.body.push(b']');
        self.body
    }
}

/// The way out; cheap to clone.
pub(crate) struct Outbox<G>(Arc<Inner<G>>);

impl<G> Clone for Outbox<G> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

struct Inner<G> {
    path: &'static str,
    queue: Mutex<Queue<G>>,
    /// Held by the one that waits for room, so that those behind it are not all woken for each batch.
    turn: tokio::sync::Mutex<()>,
    /// Told when there is something to send, or somebody waits for it.
    wake: Notify,
    /// Told when something was sent or given up.
    sent: Notify,
}

struct Queue<G> {
    /// Only the last one is still open; none is empty.
    batches: VecDeque<Batch<G>>,
    /// Bytes in `batches` and in those that are on their way.
    bytes: usize,
    pushed: u64,
    sent: u64,
    /// Entries that there was no room for.
    dropped: u64,
    is_urgent: bool,
}

struct Batch<G> {
    gathered: G,
    opened: Instant,
}

impl<G: Gathered> Batch<G> {
    fn open() -> Self {
        Self {
            gathered: G::default(),
            opened: Instant::now(),
        }
    }

    fn is_full(&self) -> bool {
        self.gathered.bytes() >= BATCH_BYTES || self.gathered.entries() >= BATCH_ENTRIES
    }
}

impl Outbox<Lines> {
    /// Takes an entry that `write` appends as JSON.
    pub(crate) fn push(&self, write: impl FnOnce(&mut Vec<u8>)) {
        self.change(|lines| lines.add(write));
    }

    /// Takes an entry if there is room, and counts it if there is not.
    pub(crate) fn try_push(&self, write: impl FnOnce(&mut Vec<u8>)) {
        {
            let mut queue = self.queue();
            if queue.bytes > MAX_BYTES {
                queue.dropped += 1;
                return;
            }
        }
        self.push(write);
    }
}

impl<G: Gathered> Outbox<G> {
    /// Opens an outbox to a path that takes lists; sends until the process ends.
    pub(crate) fn open(
        client: Client,
        path: &'static str,
        runtime: &tokio::runtime::Handle,
    ) -> Self {
        let queue = Queue {
            batches: VecDeque::new(),
            bytes: 0,
            pushed: 0,
            sent: 0,
            dropped: 0,
            is_urgent: false,
        };
        let outbox = Self(Arc::new(Inner {
            path,
            queue: Mutex::new(queue),
            turn: tokio::sync::Mutex::default(),
            wake: Notify::new(),
            sent: Notify::new(),
        }));
        runtime.spawn(deliver(outbox.clone(), client));
        outbox
    }

    fn queue(&self) -> std::sync::MutexGuard<'_, Queue<G>> {
        self.0
            .queue
            .lock()
            .expect("nobody panics while writing an entry")
    }

    /// Adds to the batch that is open.
    pub(crate) fn change(&self, change: impl FnOnce(&mut G)) {
        let mut queue = self.queue();
        if queue.batches.back().is_none_or(Batch::is_full) {
            queue.batches.push_back(Batch::open());
        }
        let batch = queue.batches.back_mut().expect("one was just pushed");
        let gathered = &mut batch.gathered;
        let (entries, bytes) = (gathered.entries(), gathered.bytes());
        change(gathered);
        let added = gathered.entries() - entries;
        let grown = gathered.bytes() - bytes;
        // All others are sent with the first of their batch.
        let is_news = (entries == 0 && added > 0) || batch.is_full();
        queue.bytes += grown;
        queue.pushed += added as u64;
        drop(queue);
        if is_news {
            self.0.wake.notify_one();
        }
    }

    /// Waits until there is room for more.
    pub(crate) async fn room(&self) {
        let has_room = |queue: &Queue<G>| queue.bytes <= MAX_BYTES;
        if has_room(&self.queue()) {
            return;
        }
        let _turn = self.0.turn.lock().await;
        self.wait(has_room).await;
    }

    /// Waits until everything taken so far has been sent or given up.
    pub(crate) async fn flush(&self) {
        let goal = {
            let mut queue = self.queue();
            queue.is_urgent = true;
            queue.pushed
        };
        self.0.wake.notify_one();
        self.wait(|queue| queue.sent >= goal).await;
    }

    async fn wait(&self, is_met: impl Fn(&Queue<G>) -> bool) {
        loop {
            let mut sent = std::pin::pin!(self.0.sent.notified());
            sent.as_mut().enable();
            if is_met(&self.queue()) {
                return;
            }
            sent.await;
        }
    }

    /// Takes the oldest batch, and how many entries have been dropped since the last time.
    fn next(&self) -> Option<(Batch<G>, u64)> {
        let mut queue = self.queue();
        let batch = queue.batches.pop_front();
        if queue.batches.is_empty() {
            queue.is_urgent = false;
        }
        let dropped = match batch {
            Some(_) => std::mem::take(&mut queue.dropped),
            None => 0,
        };
        batch.map(|batch| (batch, dropped))
    }

    fn done(&self, entries: usize, bytes: usize) {
        {
            let mut queue = self.queue();
            queue.sent += entries as u64;
            queue.bytes -= bytes;
        }
        self.0.sent.notify_waiters();
    }

    /// Returns until when the oldest batch may wait for more; none if it is to go at once.
    fn lingers_until(&self) -> Option<Instant> {
        let queue = self.queue();
        let oldest = queue.batches.front()?;
        (!queue.is_urgent && !oldest.is_full()).then(|| oldest.opened + LINGER)
    }
}

async fn deliver<G: Gathered>(outbox: Outbox<G>, client: Client) {
    let mut on_their_way = FuturesOrdered::new();
    loop {
        let has_room = on_their_way.len() < ON_THEIR_WAY;
        let lingers = outbox
            .lingers_until()
            .filter(|until| *until > Instant::now());
        if has_room
            && lingers.is_none()
            && let Some((batch, dropped)) = outbox.next()
        {
            let gathered = batch.gathered;
            let (entries, bytes) = (gathered.entries(), gathered.bytes());
            if dropped > 0 {
                warn!(target: "prefect", "{dropped} entries for {} were dropped: the API was away and the buffer full", outbox.0.path);
            }
            let (client, path) = (&client, outbox.0.path);
            on_their_way.push_back(async move {
                send(client, path, gathered.into_body()).await;
                (entries, bytes)
            });
            continue;
        }
        tokio::select! {
            Some((entries, bytes)) = on_their_way.next() => outbox.done(entries, bytes),
            () = outbox.0.wake.notified() => {}
            () = sleep_until(lingers.unwrap_or_else(Instant::now)), if has_room && lingers.is_some() => {}
        }
    }
}

/// Sends a batch; an entry that the API refuses is given up, and no other with it.
async fn send(client: &Client, path: &'static str, body: Vec<u8>) {
    let mut waiting = vec![body];
    while let Some(body) = waiting.pop() {
        let Err(error) = send_whole(client, path, &body).await else {
            continue;
        };
        let is_of_an_entry = error
            .status()
            .is_some_and(|status| matches!(status.as_u16(), 400 | 413 | 422));
        let least = if is_of_an_entry { 1 } else { FEW_ENTRIES };
        match halves(&body, least).filter(|_| is_of_an_entry || error.is_timeout()) {
            Some([first, second]) => waiting.extend([second, first]),
            None if error.is_timeout() => waiting.push(body),
            None => {
                warn!(target: "prefect", "what was told to {path} was refused by the API and is lost: {error}");
            }
        }
    }
}

/// Returns the two halves of a list, if it has more entries than `least`.
fn halves(body: &[u8], least: usize) -> Option<[Vec<u8>; 2]> {
    let entries: Vec<&RawValue> = serde_json::from_slice(body).ok()?;
    let (first, second) = entries.split_at(entries.len() / 2);
    let list = |entries: &[&RawValue]| serde_json::to_vec(entries).expect("JSON is JSON");
    (entries.len() > least).then(|| [list(first), list(second)])
}

/// Sends a batch, again and again while the API is away; the error is that of a refusal, or says that it took too long.
///
/// A server that is slower than requests may take would be slower still if it got all of it again.
async fn send_whole(client: &Client, path: &'static str, body: &[u8]) -> Result<(), Error> {
    let mut pause = Pause::default();
    loop {
        match client.post_bytes(path, body.to_vec()).await {
            Err(error) if error.is_away() => {
                if pause.is_first() {
                    warn!(target: "prefect", "what happens is kept until the API is back: {error}");
                }
                pause.wait().await;
                if error.is_timeout() {
                    return Err(error);
                }
            }
            answer => return answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_halved_until_one_entry_is_left() {
        let texts = |body: &[u8], least| {
            let parts = halves(body, least)?;
            Some(parts.map(|part| String::from_utf8(part).unwrap()))
        };
        assert_eq!(
            texts(br#"[{"a": "],["},2,[3]]"#, 1).unwrap(),
            [r#"[{"a": "],["}]"#, "[2,[3]]"]
        );
        assert_eq!(texts(b"[1,2,3]", 3), None);
        assert_eq!(texts(b"[1]", 1), None);
        assert_eq!(texts(b"[]", 1), None);
    }
}

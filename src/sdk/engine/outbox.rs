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

use super::patience::{Failing, Pause, is_failure};
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
    let failing = Failing::default();
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
            let (client, failing, path) = (&client, &failing, outbox.0.path);
            on_their_way.push_back(async move {
                send(client, failing, path, gathered.into_body()).await;
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

/// So many parts of a batch are refused one after another before the server is taken to refuse all of it.
const REFUSED_IN_A_ROW: usize = 64;

/// Sends a batch; an entry that the API refuses is given up, and no other with it.
async fn send(client: &Client, failing: &Failing, path: &'static str, body: Vec<u8>) {
    let mut waiting = vec![Part {
        body,
        is_tried_once: false,
    }];
    let (mut lost, mut refused, mut reason) = (0, 0, None);
    while let Some(part) = waiting.pop() {
        let Err(error) = part.send(client, failing, path).await else {
            refused = 0;
            continue;
        };
        if error.is_timeout() {
            match part.halves(FEW_ENTRIES, part.is_tried_once) {
                Some([first, second]) => waiting.extend([second, first]),
                None => waiting.push(part),
            }
            continue;
        }
        refused += 1;
        // An entry may be to blame for these; others are refused for what the client is.
        let is_of_an_entry = error.is_failure()
            || error
                .status()
                .is_some_and(|status| matches!(status.as_u16(), 400 | 413 | 422));
        let is_searched = is_of_an_entry && refused < REFUSED_IN_A_ROW;
        let halves = part.halves(1, error.is_failure() || part.is_tried_once);
        match halves.filter(|_| is_searched) {
            Some([first, second]) => waiting.extend([second, first]),
            None => {
                lost += part.entries().map_or(1, |entries| entries.len());
                reason = Some(error);
            }
        }
    }
    if let Some(error) = reason {
        warn!(target: "prefect", "{lost} entries that were told to {path} were refused by the API and are lost: {error}");
    }
}

/// A batch or a part of one.
struct Part {
    /// A list.
    body: Vec<u8>,
    /// Whether it is of a batch at which the server has failed for long enough.
    is_tried_once: bool,
}

impl Part {
    fn entries(&self) -> Option<Vec<&RawValue>> {
        serde_json::from_slice(&self.body).ok()
    }

    /// Returns the two halves, if it has more entries than `least`.
    fn halves(&self, least: usize, is_tried_once: bool) -> Option<[Self; 2]> {
        let entries = self.entries().filter(|entries| entries.len() > least)?;
        let (first, second) = entries.split_at(entries.len() / 2);
        Some([first, second].map(|entries| Self {
            body: serde_json::to_vec(entries).expect("JSON is JSON"),
            is_tried_once,
        }))
    }

    /// Sends it, again and again while the API is away; the error is that of a refusal, or says that it took too long.
    ///
    /// A server that is slower than requests may take would be slower still if it got all of it again.
    async fn send(
        &self,
        client: &Client,
        failing: &Failing,
        path: &'static str,
    ) -> Result<(), Error> {
        let mut pause = Pause::default();
        loop {
            match client.post_bytes(path, self.body.clone()).await {
                Ok(()) => {
                    failing.has_answered();
                    return Ok(());
                }
                Err(error) if self.is_tried_once && is_failure(&error, client) => {
                    return Err(error);
                }
                Err(error) if failing.is_worth_waiting(&error, client) => {
                    if pause.is_first() {
                        failing.warn("what happens is kept", &error, client);
                    }
                    pause.wait().await;
                    if error.is_timeout() {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Handler, Response};
    use crate::settings::Settings;
    use reqwest::StatusCode;

    #[test]
    fn a_batch_is_halved_until_one_entry_is_left() {
        let texts = |body: &[u8], least| {
            let part = Part {
                body: body.to_vec(),
                is_tried_once: false,
            };
            let halves = part.halves(least, true)?;
            assert!(halves.iter().all(|half| half.is_tried_once));
            Some(halves.map(|half| String::from_utf8(half.body).unwrap()))
        };
        assert_eq!(
            texts(br#"[{"a": "],["},2,[3]]"#, 1).unwrap(),
            [r#"[{"a": "],["}]"#, "[2,[3]]"]
        );
        assert_eq!(texts(b"[1,2,3]", 3), None);
        assert_eq!(texts(b"[1]", 1), None);
        assert_eq!(texts(b"[]", 1), None);
    }

    /// A client of an API that fails at each batch with `poison` in it, and what that API has taken.
    fn failing_api(poison: &'static str) -> (Client, Arc<Mutex<Vec<String>>>) {
        let taken = Arc::<Mutex<Vec<String>>>::default();
        let kept = taken.clone();
        let handler: Handler = Arc::new(move |request| {
            let body = String::from_utf8(request.body.unwrap_or_default()).unwrap();
            let status = match body.contains(poison) {
                true => StatusCode::INTERNAL_SERVER_ERROR,
                false => StatusCode::CREATED,
            };
            if status.is_success() {
                let entries: Vec<String> = serde_json::from_str(&body).unwrap();
                kept.lock().unwrap().extend(entries);
            }
            Box::pin(async move {
                Ok(Response {
                    status,
                    headers: Default::default(),
                    body: Vec::new(),
                })
            })
        });
        let mut settings = Settings::default_for("/nowhere");
        settings.flow_failing_server_timeout = Duration::ZERO;
        (Client::in_process(handler, &settings), taken)
    }

    #[tokio::test]
    async fn an_entry_at_which_the_server_fails_for_ever_is_lost_alone() {
        let (client, taken) = failing_api("e13");
        let all: Vec<String> = (0..50).map(|n| format!("e{n}")).collect();
        let body = serde_json::to_vec(&all).unwrap();
        send(&client, &Failing::default(), "/logs/", body).await;
        let mut expected = all;
        expected.remove(13);
        assert_eq!(*taken.lock().unwrap(), expected);
    }

    #[tokio::test]
    async fn a_server_that_fails_at_everything_keeps_nobody_for_ever() {
        let (client, taken) = failing_api("");
        let runtime = tokio::runtime::Handle::current();
        let outbox: Outbox<Lines> = Outbox::open(client, "/logs/", &runtime);
        for n in 0..5000 {
            outbox.push(|body| body.extend(format!("\"e{n}\"").bytes()));
        }
        outbox.flush().await;
        assert!(taken.lock().unwrap().is_empty());
    }
}

//! The stream of changes that the pages of the dashboard follow.

use std::collections::HashSet;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::IntoResponse;
use axum::response::sse::{Event, Sse};
use futures_util::stream;
use tokio::sync::watch;

use crate::server::AppState;
use crate::server::changes::{Change, Changes, Missed};

/// At most four batches a second reach a browser.
const BATCH: Duration = Duration::from_millis(250);
/// A quiet stream says so this often, so that a page can tell quiet from dead.
const BEAT: Duration = Duration::from_secs(10);

/// Streams what changes, in batches; a browser that comes back names the last batch it had.
#[utoipa::path(get, path = "/ui/stream", responses((status = 200, content_type = "text/event-stream", body = Vec<Change>)))]
pub async fn stream_changes(
    State(state): State<AppState>,
    headers: HeaderMap,
) -> impl IntoResponse {
    let follower = Follower::new(state.changes.clone(), headers.get("last-event-id"));
    let events = stream::unfold(follower, async |mut follower| {
        let event = follower.next().await?;
        Some((Ok::<_, Infallible>(event), follower))
    });
    // Proxies that gather answers would hold the changes back.
    (
        [
            (header::CACHE_CONTROL, "no-store"),
            (HeaderName::from_static("x-accel-buffering"), "no"),
        ],
        Sse::new(events),
    )
}

/// One browser's place in the changes.
struct Follower {
    changes: Changes,
    head: watch::Receiver<u64>,
    /// The number of the last change that it was told; `None` before it was told anything.
    at: Option<u64>,
    /// What to say first.
    greeting: Option<&'static str>,
    /// Whether a batch has just been sent.
    is_fresh: bool,
}

impl Follower {
    fn new(changes: Changes, last: Option<&HeaderValue>) -> Self {
        let head = changes.head();
        let known = last
            .and_then(|mark| mark.to_str().ok())
            .map(|mark| changes.number(mark));
        let greeting = match known {
            // The server was another one when the browser last heard of it.
            Some(None) => "lost",
            Some(Some(_)) | None => "beat",
        };
        Self {
            at: known.flatten(),
            greeting: Some(greeting),
            is_fresh: false,
            changes,
            head,
        }
    }

    /// The next batch, a beat when nothing happens, or "lost" when more happened than is kept.
    async fn next(&mut self) -> Option<Event> {
        let at = *self.at.get_or_insert_with(|| *self.head.borrow());
        if let Some(greeting) = self.greeting.take() {
            return Some(self.event(greeting, at).data("{}"));
        }
        if std::mem::take(&mut self.is_fresh) {
            tokio::time::sleep(BATCH).await;
        }
        loop {
            self.head.mark_unchanged();
            match self.changes.since(at) {
                Missed::Lost(head) => {
                    self.at = Some(head);
                    return Some(self.event("lost", head).data("{}"));
                }
                Missed::Told(batch, head) if !batch.is_empty() => {
                    self.at = Some(head);
                    self.is_fresh = true;
                    return self.event("changes", head).json_data(newest(batch)).ok();
                }
                Missed::Told(..) => match tokio::time::timeout(BEAT, self.head.changed()).await {
                    Err(_) => return Some(self.event("beat", at).data("{}")),
                    Ok(changed) => changed.ok()?,
                },
            }
        }
    }

    fn event(&self, name: &str, number: u64) -> Event {
        Event::default().event(name).id(self.changes.mark(number))
    }
}

/// The last change of each thing; what it was in between no page can show.
fn newest(batch: Vec<Change>) -> Vec<Change> {
    let mut seen = HashSet::new();
    let mut out: Vec<_> = batch
        .into_iter()
        .rev()
        .filter(|change| seen.insert((change.kind, change.id)))
        .collect();
    out.reverse();
    out
}

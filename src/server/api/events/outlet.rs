//! `/events/out`: events as they happen, to whoever subscribes.
//!
//! A subscriber that reads slowly slows nobody else: what it misses of the live events it gets
//! from the database, and nothing is kept for it in memory.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::MissedTickBehavior;
use tracing::warn;
use uuid::Uuid;

use crate::schemas::event_filters::{EventFilter, Order};
use crate::schemas::events::ReceivedEvent;
use crate::schemas::time::Instant;
use crate::server::api::sockets::{self, Subscribed};
use crate::server::events::Batch;
use crate::server::{AppState, models};

/// How far back events may have happened that were missed while the subscriber was slow.
const SLACK: TimeDelta = TimeDelta::seconds(60);

/// How often events are looked for that other servers on the same database have kept.
const LOOK: Duration = Duration::from_secs(1);

/// How far back those may have happened.
const OTHERS: TimeDelta = TimeDelta::seconds(10);

/// Ids that are remembered, so that nothing is sent twice where stored and live events overlap.
const REMEMBERED: usize = 20_000;

/// Streams events.
pub async fn stream_events_out(
    State(state): State<AppState>,
    upgrade: WebSocketUpgrade,
) -> Response {
    sockets::accept(upgrade, state, serve)
}

async fn serve(state: AppState, mut socket: WebSocket) {
    // Listening begins before anything is read, so that nothing falls between.
    let live = state.events.listen();
    let Subscribed {
        mut filter,
        message,
    } = match sockets::subscription::<EventFilter>(&mut socket).await {
        Ok(subscribed) => subscribed,
        Err(reason) => return sockets::close(socket, sockets::PROTOCOL_ERROR, reason).await,
    };
    let now = state.now();
    let oldest = TimeDelta::from_std(state.settings.events_maximum_websocket_backfill);
    let oldest = now - oldest.unwrap_or(TimeDelta::minutes(15));
    filter.occurred.clamp(oldest.max(state.events_since()));
    filter.order = Order::Asc;
    let since = filter.occurred.since.map_or(oldest, |since| since.0);
    let mut outlet = Outlet {
        state,
        socket,
        filter,
        sent: Sent::default(),
        latest: now,
    };
    if message["backfill"].as_bool().unwrap_or(true) && outlet.catch_up(since).await.is_none() {
        return;
    }
    outlet.follow(live).await;
}

/// One subscriber.
struct Outlet {
    state: AppState,
    socket: WebSocket,
    filter: EventFilter,
    sent: Sent,
    /// When the newest event that was sent or passed over had come.
    latest: DateTime<Utc>,
}

impl Outlet {
    /// Sends live events until the client goes; `None` means that it has gone.
    async fn follow(&mut self, mut live: Receiver<Batch>) -> Option<()> {
        let is_shared = self.state.is_shared();
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = look.tick(), if is_shared => {
                    let since = self.latest - OTHERS;
                    self.catch_up(since).await?;
                }
                batch = live.recv() => match batch {
                    Ok(batch) => self.pass_on(&batch).await?,
                    Err(RecvError::Lagged(_)) => {
                        let since = self.latest - SLACK;
                        self.catch_up(since).await?;
                    }
                    Err(RecvError::Closed) => return None,
                },
                frame = self.socket.recv() => match frame {
                    // Nothing is expected of the client any more but that it stays.
                    Some(Ok(Message::Text(_) | Message::Binary(_) | Message::Ping(_) | Message::Pong(_))) => {}
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                },
            }
        }
    }

    async fn pass_on(&mut self, batch: &Batch) -> Option<()> {
        for event in batch.events() {
            self.latest = self.latest.max(event.received);
            if self.filter.includes(event) && self.sent.is_new(event.event.id.0) {
                self.send(event).await?;
            }
        }
        Some(())
    }

    /// Sends what is stored and has happened since an instant, page by page.
    async fn catch_up(&mut self, since: DateTime<Utc>) -> Option<()> {
        let limit = i64::from(
            self.state
                .settings
                .events_websocket_backfill_page_size
                .max(1),
        );
        let mut filter = self.filter.clone();
        filter.occurred.clamp(since);
        let mut after = None;
        loop {
            let now = self.state.now();
            let mut asked = filter.clone();
            // Clocks of senders may be ahead of ours.
            asked.occurred.until.get_or_insert(Instant(now + SLACK));
            let read = async move |conn: &mut _| {
                models::events::list(conn, &asked, after, limit, now).await
            };
            let page = self.state.db.read(read).await;
            let page = page
                .inspect_err(|cause| warn!("a subscriber's events cannot be read: {cause}"))
                .ok()?;
            for event in &page {
                self.latest = self.latest.max(event.received);
                if self.sent.is_new(event.event.id.0) {
                    self.send(event).await?;
                }
            }
            after = page
                .last()
                .map(|last| (last.event.occurred.0, last.event.id.0));
            if (page.len() as i64) < limit {
                return Some(());
            }
        }
    }

    async fn send(&mut self, event: &ReceivedEvent) -> Option<()> {
        let frame = json!({"type": "event", "event": event});
        sockets::send_json(&mut self.socket, &frame).await.ok()
    }
}

/// The ids that were sent last.
#[derive(Default)]
struct Sent {
    known: HashSet<Uuid>,
    order: VecDeque<Uuid>,
}

impl Sent {
    fn is_new(&mut self, id: Uuid) -> bool {
        if !self.known.insert(id) {
            return false;
        }
        self.order.push_back(id);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

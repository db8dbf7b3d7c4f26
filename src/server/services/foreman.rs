//! Tells as events when work pools, work queues and deployments begin and cease to be served.
//!
//! Whether they are is computed from their last sign of life wherever it is shown, so nothing is
//! marked here; automations learn it by these events. An event's id comes from what has changed
//! and when, so that several servers on one database tell each change once, and a server that is
//! started again tells nothing twice. What began to be served while no server ran is not told.
//!
//! Reasons to wake: a queue was changed or is asked again, something ceases to be served, or the
//! loop's seconds have passed.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};
use uuid::Builder;

use super::Service;
use crate::db;
use crate::schemas::events::{Event, ReceivedEvent};
use crate::schemas::time::Instant;
use crate::schemas::{Document, EventId};
use crate::server::changes::{Change, Kind};
use crate::server::models::served::{self, Served};
use crate::server::{AppState, events};

/// What ceased to be served this long ago is still told; what did before is history.
const LOOK_BACK: TimeDelta = TimeDelta::minutes(5);

/// The foreman; see the module.
#[derive(Debug, Default)]
pub struct Foreman {
    /// What was seen by the last pass, by the id of its resource; nothing before the first one.
    seen: Option<HashMap<String, Seen>>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Seen {
    status: Status,
    until: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Ready,
    NotReady,
    Paused,
}

impl Status {
    fn of(served: &Served, now: DateTime<Utc>) -> Self {
        match served.until {
            _ if served.is_paused => Self::Paused,
            Some(until) if now <= until => Self::Ready,
            Some(_) | None => Self::NotReady,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::NotReady => "not-ready",
            Self::Paused => "paused",
        }
    }
}

impl Service for Foreman {
    fn name(&self) -> &'static str {
        "foreman"
    }

    fn longest_sleep(&self, app: &AppState) -> Duration {
        app.settings.foreman_loop_seconds
    }

    fn concerns(change: &Change) -> bool {
        change.kind == Kind::WorkQueue
    }

    async fn pass(&mut self, app: &AppState) -> db::Result<Option<DateTime<Utc>>> {
        let now = app.now();
        let read = async move |conn: &mut db::Conn| served::list(conn, now - LOOK_BACK).await;
        let all = app.db.read(read).await?;
        let mut seen = HashMap::with_capacity(all.len());
        let mut told = Vec::new();
        let mut next = None;
        for served in all {
            let status = Status::of(&served, now);
            let id = served.resource.id().to_owned();
            let until = served.until;
            if let (Status::Ready, Some(until)) = (status, until) {
                // Until then, and the moment itself, it counts as served.
                let ends = until + TimeDelta::milliseconds(1);
                next = Some(next.map_or(ends, |next: DateTime<Utc>| next.min(ends)));
            }
            if self.is_news(&id, status, until, now) {
                told.push(self.event(served, status, now));
            }
            seen.insert(id, Seen { status, until });
        }
        events::keep_own(app, told).await?;
        // Only what was told is known.
        self.seen = Some(seen);
        Ok(next)
    }
}

impl Foreman {
    fn is_news(
        &self,
        id: &str,
        status: Status,
        until: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> bool {
        let before = self.seen.as_ref().map(|seen| seen.get(id));
        match before {
            Some(Some(before)) => before.status != status,
            // What is made is not served yet.
            Some(None) => status == Status::Ready,
            None => {
                status == Status::NotReady && until.is_some_and(|until| now - until < LOOK_BACK)
            }
        }
    }

    fn event(&self, served: Served, status: Status, now: DateTime<Utc>) -> ReceivedEvent {
        let id = served.resource.id();
        let before = self.seen.as_ref().and_then(|seen| seen.get(id));
        let since = match status {
            Status::NotReady => served.until,
            Status::Ready | Status::Paused => before.and_then(|before| before.until),
        };
        let text = |at: Option<DateTime<Utc>>| at.map_or(0, |at| at.timestamp_micros());
        let mark = format!(
            "{id} {} {} {}",
            status.word(),
            text(since),
            text(Some(served.updated))
        );
        let digest = Sha256::digest(mark.as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        let kind = id.rsplit_once('.').map_or(id, |(kind, _)| kind);
        Event {
            occurred: Instant(now),
            event: format!("{kind}.{}", status.word()),
            resource: served.resource,
            related: served.related,
            payload: Document::empty_object(),
            id: EventId(Builder::from_custom_bytes(bytes).into_uuid()),
            follows: None,
        }
        .receive(now)
    }
}

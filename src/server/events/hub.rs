//! Tells events, and log lines, to whoever listens in this process, after they are durable.
//!
//! Batches are shared, not copied. A listener that is too slow is told so, and reads what it
//! missed from the database.

use std::sync::Arc;

use tokio::sync::broadcast;

use crate::schemas::events::ReceivedEvent;

/// Batches that a slow listener may lag behind.
const BACKLOG: usize = 256;

/// The new events of one write.
#[derive(Debug, Clone)]
pub struct Batch {
    events: Arc<Vec<ReceivedEvent>>,
    new: Arc<[usize]>,
}

impl Batch {
    /// Names those events of a batch that are new, by their places.
    pub fn new(events: Arc<Vec<ReceivedEvent>>, new: Vec<usize>) -> Self {
        Self {
            events,
            new: new.into(),
        }
    }

    /// Returns the new events in the order in which they came.
    pub fn events(&self) -> impl Iterator<Item = &ReceivedEvent> {
        self.new.iter().filter_map(|n| self.events.get(*n))
    }
}

/// A hub of batches of one kind.
#[derive(Debug, Clone)]
pub struct Hub<T>(broadcast::Sender<T>);

impl<T: Clone> Hub<T> {
    /// Makes a hub without listeners.
    #[expect(clippy::new_without_default, reason = "a hub is made once, on purpose")]
    pub fn new() -> Self {
        Self(broadcast::channel(BACKLOG).0)
    }

    /// Tells everybody; call it after the commit.
    pub fn tell(&self, batch: T) {
        // Nobody listening is fine.
        let _ = self.0.send(batch);
    }

    /// Tells whether anybody listens.
    pub fn has_listeners(&self) -> bool {
        self.0.receiver_count() > 0
    }

    /// Starts to listen.
    pub fn listen(&self) -> broadcast::Receiver<T> {
        self.0.subscribe()
    }
}

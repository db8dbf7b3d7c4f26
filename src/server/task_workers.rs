//! Who serves background tasks at this server now; it is gone with the connection, so memory is
//! where it belongs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use chrono::{DateTime, Utc};

/// A worker that serves tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskWorker {
    /// The name that it has given itself.
    pub identifier: String,
    /// The tasks that it serves.
    pub task_keys: Vec<String>,
    /// When it was last heard of.
    pub seen: DateTime<Utc>,
}

/// The workers that are connected.
#[derive(Debug, Clone, Default)]
pub struct TaskWorkers(Arc<Mutex<BTreeMap<String, TaskWorker>>>);

impl TaskWorkers {
    /// Notes that a worker is there.
    pub fn observe(&self, identifier: &str, task_keys: &[String], now: DateTime<Utc>) {
        let worker = TaskWorker {
            identifier: identifier.to_owned(),
            task_keys: task_keys.to_vec(),
            seen: now,
        };
        self.0
            .lock()
            .expect("no holder of this lock panics")
            .insert(identifier.to_owned(), worker);
    }

    /// Notes that a worker has gone.
    pub fn forget(&self, identifier: &str) {
        self.0
            .lock()
            .expect("no holder of this lock panics")
            .remove(identifier);
    }

    /// Returns all of them.
    pub fn list(&self) -> Vec<TaskWorker> {
        self.0
            .lock()
            .expect("no holder of this lock panics")
            .values()
            .cloned()
            .collect()
    }
}

//! Who asks for slots of concurrency limits in vain.
//!
//! Nobody queues for a slot: who is refused asks again after a while. So this is what one server has
//! heard lately, kept in memory only; it helps people to see what a full limit holds up.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::schemas::global_concurrency_limits::HolderType;

/// Who has not asked again for so long has given up: clients wait 30 s at most before they do.
const GIVEN_UP: TimeDelta = TimeDelta::seconds(75);
/// More are not kept; a crowd is told by its first.
const MOST: usize = 10_000;

/// Somebody who waits for slots of a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiter {
    /// The limit's name.
    pub limit: String,
    /// What it is.
    pub kind: HolderType,
    /// Which one.
    pub id: Uuid,
    /// When it asked first.
    pub since: DateTime<Utc>,
    last: DateTime<Utc>,
}

/// Everybody who waits; see the module.
#[derive(Debug, Clone, Default)]
pub struct Waiting(Arc<Mutex<HashMap<(String, Uuid), Waiter>>>);

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, HashMap<(String, Uuid), Waiter>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that slots were refused to somebody; tells whether it had not been before.
    pub fn refused<'a>(
        &self,
        limits: impl IntoIterator<Item = &'a str>,
        kind: HolderType,
        id: Uuid,
        now: DateTime<Utc>,
    ) -> bool {
        let mut waiting = self.lock();
        let mut is_new = false;
        for limit in limits {
            if let Some(waiter) = waiting.get_mut(&(limit.to_owned(), id)) {
                waiter.last = now;
                continue;
            }
            if waiting.len() >= MOST {
                waiting.retain(|_, waiter| now - waiter.last < GIVEN_UP);
                if waiting.len() >= MOST {
                    break;
                }
            }
            let waiter = Waiter {
                limit: limit.to_owned(),
                kind,
                id,
                since: now,
                last: now,
            };
            waiting.insert((limit.to_owned(), id), waiter);
            is_new = true;
        }
        is_new
    }

    /// Notes that somebody waits no more.
    pub fn settled(&self, id: Uuid) {
        let mut waiting = self.lock();
        if !waiting.is_empty() {
            waiting.retain(|(_, waiter), _| *waiter != id);
        }
    }

    /// Returns who waits, those who came first before the others.
    pub fn list(&self, now: DateTime<Utc>) -> Vec<Waiter> {
        let mut waiting = self.lock();
        waiting.retain(|_, waiter| now - waiter.last < GIVEN_UP);
        let mut all: Vec<Waiter> = waiting.values().cloned().collect();
        drop(waiting);
        all.sort_by_key(|waiter| (waiter.since, waiter.id));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_refused_waits_until_it_is_served_or_asks_no_more() {
        let waiting = Waiting::default();
        let at = |seconds: i64| {
            DateTime::from_timestamp(1_700_000_000 + seconds, 0).expect("an instant")
        };
        let [first, second] = [1, 2].map(Uuid::from_u128);
        assert!(waiting.refused(["db", "api"], HolderType::TaskRun, first, at(0)));
        assert!(waiting.refused(["db"], HolderType::FlowRun, second, at(1)));
        assert!(!waiting.refused(["db"], HolderType::TaskRun, first, at(30)));
        let told = |now| {
            let of = |w: &Waiter| {
                (
                    w.limit.clone(),
                    w.id.as_u128(),
                    (w.since - at(0)).num_seconds(),
                )
            };
            let mut all: Vec<_> = waiting.list(now).iter().map(of).collect();
            all.sort();
            all
        };
        let db = || "db".to_owned();
        assert_eq!(
            told(at(60)),
            [("api".to_owned(), 1, 0), (db(), 1, 0), (db(), 2, 1)]
        );
        // What has given up is forgotten, each limit by itself.
        assert_eq!(told(at(80)), [(db(), 1, 0)]);
        waiting.settled(first);
        assert_eq!(told(at(80)), []);
    }
}

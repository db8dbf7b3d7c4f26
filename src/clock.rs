//! The one place that asks what time it is.
//!
//! Everything else takes the time from a [`Clock`], so that tests can decide it and a recorded
//! history can be replayed.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};

/// Tells the time.
pub trait Clock: Send + Sync + 'static {
    /// Returns the current instant, in whole microseconds (what both databases keep).
    fn now(&self) -> DateTime<Utc>;
}

/// The clock as it is handed around.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn now(&self) -> DateTime<Utc> {
        whole_microseconds(Utc::now())
    }
}

impl SystemClock {
    /// Returns how long it is until an instant; nothing, if that is over.
    pub fn until(self, instant: DateTime<Utc>) -> Duration {
        (instant - self.now()).to_std().unwrap_or_default()
    }
}

/// A clock that stands still until it is told otherwise.
#[derive(Debug)]
pub struct MockClock(Mutex<DateTime<Utc>>);

impl MockClock {
    /// Makes a clock that shows `now`.
    pub fn at(now: DateTime<Utc>) -> Self {
        Self(Mutex::new(whole_microseconds(now)))
    }

    /// Moves the clock, forward or (negative) back.
    pub fn advance(&self, by: TimeDelta) {
        *self.0.lock().expect("no holder of this lock panics") += by;
    }

    /// Sets the clock.
    pub fn set(&self, now: DateTime<Utc>) {
        *self.0.lock().expect("no holder of this lock panics") = whole_microseconds(now);
    }
}

impl Clock for MockClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().expect("no holder of this lock panics")
    }
}

fn whole_microseconds(instant: DateTime<Utc>) -> DateTime<Utc> {
    instant
        .duration_trunc(TimeDelta::microseconds(1))
        .unwrap_or(instant)
}

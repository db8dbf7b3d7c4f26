//! How long after its last sign of life something still counts as served.
//!
//! Whether a pool, queue, deployment or worker is served is no fact that is stored, but what its last
//! sign of life means now; it is computed where it is rendered, far from any settings. So this is
//! one for the whole process, chosen once before the server answers, and the only idea of it: what the
//! API calls ready, what the dashboard calls polled and what keeps a run waiting agree at each moment.
//! A minute is what genuine servers wait; the slowest agents ask every fifteen seconds, and a poll is
//! noted once the last note is fifteen seconds old.

use std::sync::OnceLock;

use chrono::{DateTime, TimeDelta, Utc};

use super::time::LONGEST_SPAN;

/// How far ahead those look who run what they are given; their prefetch is seconds. Commands that show
/// what comes look an hour ahead or more.
const PREFETCH: TimeDelta = TimeDelta::minutes(45);

static CHOSEN: OnceLock<Patience> = OnceLock::new();

/// The patience of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// How many heartbeats a worker may miss.
    pub missed_heartbeats: u32,
    /// Seconds between the heartbeats of a worker that does not say.
    pub heartbeat_seconds: u32,
    /// How long a deployment counts as served after somebody has asked for its runs.
    pub deployment: TimeDelta,
    /// How long a work queue does.
    pub work_queue: TimeDelta,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            missed_heartbeats: 3,
            heartbeat_seconds: 30,
            deployment: TimeDelta::seconds(60),
            work_queue: TimeDelta::seconds(60),
        }
    }
}

/// Returns whether asking for the runs due before an instant is a sign of life of an agent or worker.
///
/// Genuine servers take a preview for one, and so call a queue served that nobody serves.
pub fn is_poll(before: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    before.signed_duration_since(now) < PREFETCH
}

impl Patience {
    /// Makes this the patience of the process; the first one counts.
    pub fn choose(self) {
        let _ = CHOSEN.set(self);
    }

    /// Returns the patience of the process.
    pub fn chosen() -> Self {
        CHOSEN.get().copied().unwrap_or_default()
    }

    /// Returns whether a work queue that was last polled at an instant counts as served.
    pub fn is_queue_served(self, polled: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        now - polled < self.work_queue
    }

    /// Returns whether a deployment whose runs were last asked for at an instant counts as served.
    pub fn is_deployment_served(self, polled: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        now - polled <= self.deployment
    }

    /// Returns until when a worker counts as alive without another heartbeat.
    pub fn alive_until(self, heartbeat: DateTime<Utc>, interval_seconds: i64) -> DateTime<Utc> {
        let interval = TimeDelta::seconds(interval_seconds.clamp(1, i64::from(u32::MAX)));
        let missed = i32::try_from(self.missed_heartbeats).unwrap_or(i32::MAX);
        let patience = interval.checked_mul(missed).unwrap_or(LONGEST_SPAN);
        heartbeat + patience.min(LONGEST_SPAN)
    }
}

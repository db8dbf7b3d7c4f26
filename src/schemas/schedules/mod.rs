//! Schedules: when a deployment runs.
//!
//! A pure library. It knows the dates of a schedule and nothing of databases or clocks, so its
//! golden tests can ask genuine Prefect's own classes the same questions. The three kinds are
//! told apart by the key that only they have (`interval`, `cron`, `rrule`); reading goes through
//! a visitor of our own since "matches no variant" would tell a user nothing.
//!
//! All input is hostile: lengths, ranges and the work for one answer are bounded in each kind.

mod cron;
mod describe;
mod document;
mod expression;
mod interval;
mod periods;
mod recurrence;
mod rrule;
#[cfg(test)]
mod tests;
mod walk;
mod year;
mod zone;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

pub use cron::CronSchedule;
pub use interval::IntervalSchedule;
pub use rrule::RRuleSchedule;

/// The most dates that one call of [`Schedule::dates`] gives.
///
/// Generation 3 looks at a thousand candidates, 2.0b3 at ten thousand; none plans more than a
/// hundred runs.
pub const MOST_DATES: usize = 1_000;

/// When a deployment runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// After a fixed time, again and again.
    Interval(IntervalSchedule),
    /// By a cron expression.
    Cron(CronSchedule),
    /// By recurrence rules.
    RRule(RRuleSchedule),
}

impl Schedule {
    /// Returns what genuine Prefect calls this kind of schedule.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Interval(_) => "IntervalSchedule",
            Self::Cron(_) => "CronSchedule",
            Self::RRule(_) => "RRuleSchedule",
        }
    }

    /// Returns the first `n` dates from `after` on (a date equal to it counts), in order, none
    /// later than `end`.
    ///
    /// There are fewer when the schedule ends, and at most [`MOST_DATES`].
    pub fn dates(
        &self,
        after: DateTime<Utc>,
        n: usize,
        end: Option<DateTime<Utc>>,
    ) -> Vec<DateTime<Tz>> {
        let n = n.min(MOST_DATES);
        if n == 0 {
            return Vec::new();
        }
        match self {
            Self::Interval(schedule) => schedule.dates(after, n, end),
            Self::Cron(schedule) => schedule.dates(after, n, end),
            Self::RRule(schedule) => schedule.dates(after, n, end),
        }
    }

    /// Returns the zone whose wall clock the schedule follows.
    pub fn zone(&self) -> Tz {
        match self {
            Self::Interval(schedule) => schedule.zone(),
            Self::Cron(schedule) => schedule.timezone().unwrap_or(Tz::UTC),
            Self::RRule(schedule) => schedule.timezone(),
        }
    }
}

/// Why something is not a schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// An interval of zero or less.
    #[error("`interval` must be more than zero seconds")]
    IntervalNotPositive,
    /// An interval beyond all use.
    #[error("`interval` must not be longer than 366000 days")]
    IntervalTooLong,
    /// A zone that the time zone database does not know.
    #[error("`{0}` is not a time zone; give a name such as `Europe/Berlin` or `UTC`")]
    Timezone(String),
    /// An expression that is not cron.
    #[error("`{cron}` is not a cron expression: {reason}")]
    Cron {
        /// The expression, shortened.
        cron: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A text that is not recurrence rules.
    #[error("`rrule` is not a recurrence rule: {reason}")]
    RRule {
        /// What is wrong with it.
        reason: String,
    },
    /// A document that is not one of the three kinds.
    #[error("{0}")]
    Document(String),
}

/// Reads the name of a time zone.
pub fn parse_timezone(name: &str) -> Result<Tz, Error> {
    name.parse().map_err(|_| {
        let short: String = name.chars().take(60).collect();
        Error::Timezone(short)
    })
}

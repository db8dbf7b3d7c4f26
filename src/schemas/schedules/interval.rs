//! Schedules that repeat after a fixed interval, counted from an anchor date.
//!
//! An interval shorter than a day counts elapsed time. A longer one counts on the wall clock
//! of the schedule's zone, so that "every day at nine" stays at nine when the clocks change.
//!
//! Genuine Prefect promises the same, but leaps from the anchor to the first date in elapsed
//! seconds. Asked in July, a schedule anchored at nine in January answers ten, and a server
//! that had already planned the nine o'clock run runs twice that day. Here every date is
//! counted from the anchor on the wall clock, whenever one asks; the golden tests hold genuine
//! Prefect to it by giving it an anchor close to the dates.

use chrono::{DateTime, FixedOffset, NaiveDateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

use super::Error;
use super::zone::{self, Lean};

/// The longest interval that is accepted, about a thousand years.
const LONGEST_DAYS: i64 = 366_000;

/// A schedule that repeats after an interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntervalSchedule {
    /// Positive and at most [`LONGEST_DAYS`].
    interval: TimeDelta,
    anchor_date: DateTime<FixedOffset>,
    timezone: Option<Tz>,
}

impl IntervalSchedule {
    /// Makes a schedule; without an anchor it counts from the first of January 2020, midnight.
    pub fn new(
        interval: TimeDelta,
        anchor_date: Option<DateTime<FixedOffset>>,
        timezone: Option<Tz>,
    ) -> Result<Self, Error> {
        if interval <= TimeDelta::zero() {
            return Err(Error::IntervalNotPositive);
        }
        if interval > TimeDelta::days(LONGEST_DAYS) {
            return Err(Error::IntervalTooLong);
        }
        let anchor_date = anchor_date.unwrap_or_else(|| default_anchor(timezone));
        Ok(Self {
            interval,
            anchor_date,
            timezone,
        })
    }

    /// Returns the time between two dates.
    pub fn interval(&self) -> TimeDelta {
        self.interval
    }

    /// Returns the date that all others are counted from.
    pub fn anchor_date(&self) -> DateTime<FixedOffset> {
        self.anchor_date
    }

    /// Returns the zone whose wall clock long intervals follow; none means UTC.
    pub fn timezone(&self) -> Option<Tz> {
        self.timezone
    }

    /// Says whether the anchor is the one that a schedule without an anchor gets.
    pub(super) fn has_default_anchor(&self) -> bool {
        self.anchor_date == default_anchor(self.timezone)
    }

    /// Returns at most `n` dates from `after` on, none later than `end`.
    pub(super) fn dates(
        &self,
        after: DateTime<Utc>,
        n: usize,
        end: Option<DateTime<Utc>>,
    ) -> Vec<DateTime<Tz>> {
        let Some(first) = self.steps_until(after) else {
            return Vec::new();
        };
        let mut dates = Vec::new();
        for step in first.. {
            let Some(date) = self.date(step) else { break };
            if end.is_some_and(|end| date > end) {
                break;
            }
            if date >= after {
                dates.push(date);
            }
            if dates.len() >= n {
                break;
            }
        }
        zone::settle(dates)
    }

    /// Returns how many intervals after the anchor the first candidate lies.
    fn steps_until(&self, after: DateTime<Utc>) -> Option<i128> {
        let since_anchor = if self.keeps_wall_clock() {
            // A wall clock and elapsed time differ by less than two days in any zone.
            let wall = zone::wall(self.zone(), after).checked_sub_signed(TimeDelta::days(2))?;
            wall - self.anchor_wall()
        } else {
            after.signed_duration_since(self.anchor_date)
        };
        let (distance, interval) = (nanoseconds(since_anchor), nanoseconds(self.interval));
        Some(distance.div_euclid(interval) + i128::from(distance.rem_euclid(interval) > 0))
    }

    fn date(&self, step: i128) -> Option<DateTime<Tz>> {
        if step == 0 || !self.keeps_wall_clock() {
            let instant = self
                .anchor_date
                .to_utc()
                .checked_add_signed(self.span(step)?)?;
            return zone::resolve(Tz::UTC, instant.naive_utc(), Lean::Early)
                .map(|instant| instant.with_timezone(&self.zone()));
        }
        let wall = self.anchor_wall().checked_add_signed(self.span(step)?)?;
        zone::resolve(self.zone(), wall, Lean::Late)
    }

    fn span(&self, steps: i128) -> Option<TimeDelta> {
        let nanoseconds = nanoseconds(self.interval).checked_mul(steps)?;
        let seconds = i64::try_from(nanoseconds.div_euclid(1_000_000_000)).ok()?;
        let rest = u32::try_from(nanoseconds.rem_euclid(1_000_000_000)).ok()?;
        TimeDelta::new(seconds, rest)
    }

    pub(super) fn keeps_wall_clock(&self) -> bool {
        self.interval >= TimeDelta::days(1)
    }

    pub(super) fn anchor_wall(&self) -> NaiveDateTime {
        zone::wall(self.zone(), self.anchor_date.to_utc())
    }

    pub(super) fn zone(&self) -> Tz {
        self.timezone.unwrap_or(Tz::UTC)
    }
}

fn default_anchor(timezone: Option<Tz>) -> DateTime<FixedOffset> {
    let midnight = chrono::NaiveDate::from_ymd_opt(2020, 1, 1)
        .and_then(|date| date.and_hms_opt(0, 0, 0))
        .expect("the first of January 2020 is a date");
    zone::resolve(timezone.unwrap_or(Tz::UTC), midnight, Lean::Late)
        .unwrap_or_else(|| Tz::UTC.from_utc_datetime(&midnight))
        .fixed_offset()
}

fn nanoseconds(span: TimeDelta) -> i128 {
    i128::from(span.num_seconds()) * 1_000_000_000 + i128::from(span.subsec_nanos())
}

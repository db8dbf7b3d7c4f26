//! One recurrence rule of RFC 5545, and which days it allows.
//!
//! The results are those of Python's `dateutil`, on which genuine Prefect stands, including
//! where it reads the standard in its own way (an nth weekday and a plain one must both match).
//! [`Walk`] goes through its times.

use std::iter::Peekable;

use chrono::{Datelike, NaiveDate, NaiveDateTime, Timelike};

use super::walk::Walk;
use super::year::Year;

/// How often a rule repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Frequency {
    Yearly,
    Monthly,
    Weekly,
    Daily,
    Hourly,
    Minutely,
    Secondly,
}

/// A rule, its numbers checked when it was parsed.
///
/// Empty lists mean that the part was not given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Recurrence {
    pub(super) start: NaiveDateTime,
    pub(super) frequency: Frequency,
    /// At least one.
    pub(super) interval: i64,
    /// Days from Monday.
    pub(super) week_start: u32,
    pub(super) count: Option<u64>,
    pub(super) until: Option<NaiveDateTime>,
    pub(super) set_positions: Vec<i64>,
    pub(super) months: Vec<u32>,
    pub(super) month_days: Vec<i32>,
    pub(super) year_days: Vec<i32>,
    pub(super) easter_days: Vec<i64>,
    pub(super) week_numbers: Vec<i32>,
    /// Days from Monday.
    pub(super) weekdays: Vec<u32>,
    /// Days from Monday, and which of the month or year; negative counts from the end.
    pub(super) nth_weekdays: Vec<(u32, i64)>,
    pub(super) hours: Vec<u32>,
    pub(super) minutes: Vec<u32>,
    pub(super) seconds: Vec<u32>,
}

impl Recurrence {
    /// Gives the parts that were left out the values of the start, as the standard says.
    pub(super) fn complete(&mut self) {
        let no_days = self.week_numbers.is_empty()
            && self.year_days.is_empty()
            && self.month_days.is_empty()
            && self.weekdays.is_empty()
            && self.nth_weekdays.is_empty()
            && self.easter_days.is_empty();
        let day = i32::try_from(self.start.day()).expect("a day of a month is small");
        match self.frequency {
            Frequency::Yearly if no_days => {
                if self.months.is_empty() {
                    self.months.push(self.start.month());
                }
                self.month_days.push(day);
            }
            Frequency::Monthly if no_days => self.month_days.push(day),
            Frequency::Weekly if no_days => {
                self.weekdays
                    .push(self.start.weekday().num_days_from_monday());
            }
            _ => {}
        }
        if self.hours.is_empty() && self.frequency < Frequency::Hourly {
            self.hours.push(self.start.hour());
        }
        if self.minutes.is_empty() && self.frequency < Frequency::Minutely {
            self.minutes.push(self.start.minute());
        }
        if self.seconds.is_empty() && self.frequency < Frequency::Secondly {
            self.seconds.push(self.start.second());
        }
    }

    /// Walks the wall-clock times from about `from` on; `budget` bounds the steps.
    pub(super) fn walk(&self, from: NaiveDateTime, budget: usize) -> Peekable<Walk<'_>> {
        Walk::new(self, from, budget).peekable()
    }

    pub(super) fn unit_seconds(&self) -> Option<i64> {
        match self.frequency {
            Frequency::Hourly => Some(3_600),
            Frequency::Minutely => Some(60),
            Frequency::Secondly => Some(1),
            Frequency::Yearly | Frequency::Monthly | Frequency::Weekly | Frequency::Daily => None,
        }
    }

    /// Says whether a day passes every condition on days; `year` is the year of its period.
    pub(super) fn allows(&self, date: NaiveDate, year: &Year) -> bool {
        let index = year.index(date);
        let within = |mask: &[bool]| {
            usize::try_from(index)
                .ok()
                .and_then(|index| mask.get(index).copied())
                .unwrap_or(false)
        };
        (self.months.is_empty() || self.months.contains(&date.month()))
            && (self.week_numbers.is_empty() || within(&year.weeks))
            && (self.weekdays.is_empty()
                || self
                    .weekdays
                    .contains(&date.weekday().num_days_from_monday()))
            && (self.month_days.is_empty() || self.allows_month_day(date))
            && (self.year_days.is_empty() || self.allows_year_day(date))
            && (self.easter_days.is_empty()
                || year
                    .easter
                    .is_some_and(|easter| self.easter_days.contains(&(index - easter))))
            && (self.nth_weekdays.is_empty()
                || self.frequency > Frequency::Monthly
                || self.allows_nth_weekday(date))
    }

    fn allows_month_day(&self, date: NaiveDate) -> bool {
        let day = i32::try_from(date.day()).unwrap_or_default();
        let length = i32::from(date.num_days_in_month());
        self.month_days.contains(&day) || self.month_days.contains(&(day - length - 1))
    }

    fn allows_year_day(&self, date: NaiveDate) -> bool {
        let day = i32::try_from(date.ordinal()).unwrap_or_default();
        let length = if date.leap_year() { 366 } else { 365 };
        self.year_days.contains(&day) || self.year_days.contains(&(day - length - 1))
    }

    /// Counts within the month, or within the year when a yearly rule names no months.
    fn allows_nth_weekday(&self, date: NaiveDate) -> bool {
        let by_year = self.frequency == Frequency::Yearly && self.months.is_empty();
        let (day, length) = if by_year {
            (date.ordinal(), if date.leap_year() { 366 } else { 365 })
        } else {
            (date.day(), u32::from(date.num_days_in_month()))
        };
        let from_start = i64::from((day - 1) / 7 + 1);
        let from_end = -i64::from((length - day) / 7 + 1);
        let weekday = date.weekday().num_days_from_monday();
        self.nth_weekdays
            .iter()
            .any(|(wanted, nth)| *wanted == weekday && (*nth == from_start || *nth == from_end))
    }
}

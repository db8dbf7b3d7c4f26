//! Schedules written as cron expressions.
//!
//! An expression is understood as the cron library understands it that genuine Prefect 3
//! carries within itself: 5 fields, 6 with seconds at the end, 7 with years at the end; names,
//! ranges that wrap around, steps, `L` for the last day, `L5` for the last Friday, `2#3` for the
//! third Tuesday, `?` for any day, and `@daily` and its like. Its oddities are kept, since an
//! expression must not change its meaning with the server: `59/15` in a field that ends at 59
//! means every fifteen, and in 6 and 7 fields Sunday is 0, not 7. Hashed and random fields
//! (`H`, `R`) are refused as there.
//!
//! Matching happens on the wall clock, as in generation 3: each wall-clock time fires once,
//! the first time it comes round, and one that the clock skips fires at the instant it would
//! have had on the new clock. Generation 2.0b3 leaves this to whichever cron library is
//! installed, so clients of it see the same dates except in the hours around a clock change.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike, Utc};
use chrono_tz::Tz;

use super::Error;
use super::expression::{Day, Expression, Field};
use super::zone::{self, LAST_YEAR, Lean};

/// How far ahead a match is looked for, as in genuine Prefect.
const YEARS_BETWEEN_MATCHES: i32 = 50;

/// Wall-clock times tried for one answer; the worst honest case is a schedule of every second
/// whose zone skipped a whole day.
const MOST_CANDIDATES: usize = 100_000;

/// A schedule written as a cron expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CronSchedule {
    /// As the user wrote it.
    cron: String,
    expression: Expression,
    timezone: Option<Tz>,
    day_or: bool,
}

impl CronSchedule {
    /// Makes a schedule; `day_or` says whether day of month and day of week are alternatives.
    pub fn new(cron: &str, timezone: Option<Tz>, day_or: bool) -> Result<Self, Error> {
        Ok(Self {
            cron: cron.to_owned(),
            expression: Expression::parse(cron)?,
            timezone,
            day_or,
        })
    }

    /// Returns the expression as the user wrote it.
    pub fn cron(&self) -> &str {
        &self.cron
    }

    /// Returns the zone whose wall clock is matched; none means UTC.
    pub fn timezone(&self) -> Option<Tz> {
        self.timezone
    }

    /// Says whether one matching day field is enough when both are given.
    pub fn day_or(&self) -> bool {
        self.day_or
    }

    pub(super) fn expression(&self) -> &Expression {
        &self.expression
    }

    /// Returns at most `n` dates from `after` on, none later than `end`.
    ///
    /// In the second pass of a repeated hour genuine Prefect names times of the first pass,
    /// which are before `after`. They are left out here.
    pub(super) fn dates(
        &self,
        after: DateTime<Utc>,
        n: usize,
        end: Option<DateTime<Utc>>,
    ) -> Vec<DateTime<Tz>> {
        let zone = self.timezone.unwrap_or(Tz::UTC);
        let mut dates: Vec<DateTime<Tz>> = Vec::new();
        let Some(mut from) = whole_second(zone::wall(zone, after)) else {
            return dates;
        };
        for _ in 0..MOST_CANDIDATES {
            let Some(wall) = self.next_wall(from) else {
                break;
            };
            let Some(date) = zone::resolve(zone, wall, Lean::Early) else {
                break;
            };
            if end.is_some_and(|end| date > end) {
                break;
            }
            if date >= after && !dates.iter().rev().take(WINDOW).any(|known| *known == date) {
                dates.push(date);
            }
            if dates.len() >= n {
                break;
            }
            from = wall + TimeDelta::seconds(1);
        }
        zone::settle(dates)
    }

    /// Returns the first matching wall-clock time that is not before `from`.
    fn next_wall(&self, from: NaiveDateTime) -> Option<NaiveDateTime> {
        let last_year = (from.year() + YEARS_BETWEEN_MATCHES).min(LAST_YEAR);
        let mut date = from.date();
        let mut earliest = from.time();
        while date.year() <= last_year {
            if !self.matches_month(date) {
                date = first_of_next_month(date)?;
                earliest = NaiveTime::MIN;
                continue;
            }
            if self.matches_day(date)
                && let Some(time) = self.next_time(earliest)
            {
                return Some(date.and_time(time));
            }
            date = date.succ_opt()?;
            earliest = NaiveTime::MIN;
        }
        None
    }

    fn matches_month(&self, date: NaiveDate) -> bool {
        let year = date.year();
        self.expression.months.has(date.month())
            && (self.expression.years.is_empty() || self.expression.years.contains(&year))
    }

    fn matches_day(&self, date: NaiveDate) -> bool {
        let Expression {
            days,
            weekdays,
            nth,
            ..
        } = &self.expression;
        // An nth weekday is a condition of its own that an OR does not loosen.
        if !nth.is_empty() && !nth.iter().any(|nth| nth.matches(date)) {
            return false;
        }
        let weekday = nth.is_empty() && weekdays.has(date.weekday().num_days_from_sunday());
        match (days, weekdays) {
            (Day::Any, Field::Any) => true,
            (Day::Any, Field::Only(_)) => weekday || !nth.is_empty(),
            (Day::Only { .. }, Field::Any) => days.has(date),
            (Day::Only { .. }, Field::Only(_)) if self.day_or => {
                days.has(date) || weekday || !nth.is_empty()
            }
            (Day::Only { .. }, Field::Only(_)) => days.has(date) && (weekday || !nth.is_empty()),
        }
    }

    fn next_time(&self, earliest: NaiveTime) -> Option<NaiveTime> {
        let Expression {
            hours,
            minutes,
            seconds,
            ..
        } = &self.expression;
        let (mut minute, mut second) = (earliest.minute(), earliest.second());
        for hour in earliest.hour()..24 {
            if hours.has(hour) {
                while minute < 60 {
                    if let Some(minute_found) = minutes.next(minute, 59) {
                        if minute_found > minute {
                            (minute, second) = (minute_found, 0);
                        }
                        if let Some(second) = seconds.next(second, 59) {
                            return NaiveTime::from_hms_opt(hour, minute, second);
                        }
                        (minute, second) = (minute + 1, 0);
                    } else {
                        break;
                    }
                }
            }
            (minute, second) = (0, 0);
        }
        None
    }
}

/// Dates that a new one can equal: those of one skipped stretch of wall-clock time.
const WINDOW: usize = 1_000;

fn whole_second(wall: NaiveDateTime) -> Option<NaiveDateTime> {
    let floor = wall.with_nanosecond(0)?;
    if floor == wall {
        Some(wall)
    } else {
        floor.checked_add_signed(TimeDelta::seconds(1))
    }
}

fn first_of_next_month(date: NaiveDate) -> Option<NaiveDate> {
    date.with_day(1)?.checked_add_months(chrono::Months::new(1))
}

//! The walk through the wall-clock times of a recurrence rule.
//!
//! It need not begin at the start of the rule: all periods lie on a grid, so a rule without a count
//! jumps to the period of interest, and one of every second that matches nothing costs no more than
//! a step a day.

use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike};

use super::periods::{day_end, first_period, hour_end, minute_end, next_period, on_grid, period};
use super::recurrence::{Frequency, Recurrence};
use super::year::Year;
use super::zone::LAST_YEAR;

/// The wall-clock times of a rule, in order within each period.
pub(super) struct Walk<'a> {
    rule: &'a Recurrence,
    year: Year,
    /// Where the next period begins: a date for days and longer, a time for shorter ones.
    at: Option<NaiveDateTime>,
    /// Times of day for rules that repeat daily or more seldom.
    times: Vec<NaiveTime>,
    /// What is left of the current period, last first.
    pending: Vec<NaiveDateTime>,
    /// The days of the current period not yet turned into times, last first.
    days: Vec<NaiveDate>,
    /// Times before this one may be left out, since nobody asks for them or counts them.
    from: Option<NaiveDateTime>,
    left: Option<u64>,
    budget: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn new(rule: &'a Recurrence, from: NaiveDateTime, budget: usize) -> Self {
        let skips = rule.count.is_none() && from > rule.start;
        let at = if skips {
            first_period(rule, from)
        } else {
            Some(rule.start)
        };
        Self {
            rule,
            year: Year::new(at.map_or(rule.start.year(), |at| at.year()), rule),
            at,
            times: if rule.unit_seconds().is_none() {
                combine(&rule.hours, &rule.minutes, &rule.seconds)
            } else {
                Vec::new()
            },
            pending: Vec::new(),
            days: Vec::new(),
            from: skips.then_some(from),
            left: rule.count,
            budget,
        }
    }

    /// Fills `days` or `pending` from the next period; says no at the end of the rule.
    fn advance(&mut self) -> bool {
        let Some(at) = self.at else { return false };
        let ended = self
            .rule
            .until
            .is_some_and(|until| until.date() < at.date());
        if ended || at.year() > LAST_YEAR || self.budget == 0 {
            return false;
        }
        self.budget -= 1;
        if at.year() != self.year.number {
            self.year = Year::new(at.year(), self.rule);
        }
        if self.rule.unit_seconds().is_some() {
            self.advance_within_day(at);
        } else {
            self.advance_days(at);
        }
        true
    }

    fn advance_days(&mut self, at: NaiveDateTime) {
        let (first, last) = period(self.rule, at.date());
        let mut days: Vec<NaiveDate> = first
            .iter_days()
            .take_while(|date| *date <= last)
            .filter(|date| self.rule.allows(*date, &self.year))
            .collect();
        if self.rule.set_positions.is_empty() {
            let first = self.from.unwrap_or(self.rule.start).date();
            days.retain(|date| *date >= first);
            days.reverse();
            self.days = days;
        } else {
            self.pending = self.positions(&days, &self.times);
        }
        self.at = next_period(self.rule, at);
    }

    fn advance_within_day(&mut self, at: NaiveDateTime) {
        let rule = self.rule;
        let unit = rule.unit_seconds().unwrap_or(1);
        let allows = |list: &[u32], value: u32| list.is_empty() || list.contains(&value);
        let below = |frequency| rule.frequency >= frequency;
        let next = if !rule.allows(at.date(), &self.year) {
            day_end(at)
        } else if !allows(&rule.hours, at.hour()) {
            hour_end(at)
        } else if below(Frequency::Minutely) && !allows(&rule.minutes, at.minute()) {
            minute_end(at)
        } else {
            let matches = !below(Frequency::Secondly) || allows(&rule.seconds, at.second());
            if matches {
                self.emit_within_day(at);
            }
            at.checked_add_signed(TimeDelta::seconds(1))
        };
        self.at = next.and_then(|next| on_grid(rule.start, next, unit.checked_mul(rule.interval)?));
    }

    fn emit_within_day(&mut self, at: NaiveDateTime) {
        let rule = self.rule;
        let (hour, minute, second) = ([at.hour()], [at.minute()], [at.second()]);
        let times = match rule.frequency {
            Frequency::Hourly => combine(&hour, &rule.minutes, &rule.seconds),
            Frequency::Minutely => combine(&hour, &minute, &rule.seconds),
            _ => combine(&hour, &minute, &second),
        };
        self.pending = if rule.set_positions.is_empty() {
            times
                .into_iter()
                .rev()
                .map(|time| at.date().and_time(time))
                .collect()
        } else {
            self.positions(&[at.date()], &times)
        };
    }

    /// Picks the wanted positions of a period, last first.
    fn positions(&self, days: &[NaiveDate], times: &[NaiveTime]) -> Vec<NaiveDateTime> {
        let (Ok(day_count), Ok(time_count)) =
            (i64::try_from(days.len()), i64::try_from(times.len()))
        else {
            return Vec::new();
        };
        let mut picked: Vec<NaiveDateTime> = Vec::new();
        if time_count == 0 {
            return picked;
        }
        for position in &self.rule.set_positions {
            let position = if *position > 0 {
                position - 1
            } else {
                *position
            };
            let day = position.div_euclid(time_count);
            let day = if day < 0 { day + day_count } else { day };
            let time = position.rem_euclid(time_count);
            let day = usize::try_from(day).ok().and_then(|day| days.get(day));
            let time = usize::try_from(time).ok().and_then(|time| times.get(time));
            if let (Some(day), Some(time)) = (day, time) {
                picked.push(day.and_time(*time));
            }
        }
        picked.sort_unstable_by(|one, other| other.cmp(one));
        picked.dedup();
        picked
    }
}

impl Iterator for Walk<'_> {
    type Item = NaiveDateTime;

    fn next(&mut self) -> Option<NaiveDateTime> {
        loop {
            if let Some(wall) = self.pending.pop() {
                if self.rule.until.is_some_and(|until| wall > until) {
                    self.at = None;
                    self.pending.clear();
                    self.days.clear();
                    return None;
                }
                if wall < self.rule.start {
                    continue;
                }
                if let Some(left) = &mut self.left {
                    if *left == 0 {
                        return None;
                    }
                    *left -= 1;
                }
                if self.from.is_none_or(|from| wall >= from) {
                    return Some(wall);
                }
            } else if let Some(day) = self.days.pop() {
                self.pending = self
                    .times
                    .iter()
                    .rev()
                    .map(|time| day.and_time(*time))
                    .collect();
            } else if !self.advance() {
                return None;
            }
        }
    }
}

fn combine(hours: &[u32], minutes: &[u32], seconds: &[u32]) -> Vec<NaiveTime> {
    let mut times = Vec::with_capacity(hours.len() * minutes.len() * seconds.len());
    for hour in hours {
        for minute in minutes {
            for second in seconds {
                times.extend(NaiveTime::from_hms_opt(*hour, *minute, *second));
            }
        }
    }
    times.sort_unstable();
    times
}

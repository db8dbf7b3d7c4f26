//! One recurrence rule of RFC 5545 and the walk through its wall-clock times.
//!
//! The results are those of Python's `dateutil`, on which genuine Prefect stands, including
//! where it reads the standard in its own way (an nth weekday and a plain one must both match).
//! Unlike there, a walk need not begin at the start of the rule: all periods lie on a grid, so a
//! rule without a count jumps to the period of interest, and one of every second that matches
//! nothing costs no more than a step a day.

use std::iter::Peekable;

use chrono::{Datelike, Months, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike};

use super::zone::LAST_YEAR;

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

    fn unit_seconds(&self) -> Option<i64> {
        match self.frequency {
            Frequency::Hourly => Some(3_600),
            Frequency::Minutely => Some(60),
            Frequency::Secondly => Some(1),
            Frequency::Yearly | Frequency::Monthly | Frequency::Weekly | Frequency::Daily => None,
        }
    }

    /// Says whether a day passes every condition on days; `year` is the year of its period.
    fn allows(&self, date: NaiveDate, year: &Year) -> bool {
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

/// What depends on the year of a period.
struct Year {
    number: i32,
    /// By day of the year, and of the week beyond its end.
    weeks: Vec<bool>,
    /// The index of Easter Sunday.
    easter: Option<i64>,
}

impl Year {
    fn new(number: i32, rule: &Recurrence) -> Self {
        Self {
            number,
            weeks: if rule.week_numbers.is_empty() {
                Vec::new()
            } else {
                week_mask(number, rule)
            },
            easter: (!rule.easter_days.is_empty())
                .then(|| easter(number))
                .flatten(),
        }
    }

    fn index(&self, date: NaiveDate) -> i64 {
        let first = NaiveDate::from_ymd_opt(self.number, 1, 1);
        first.map_or(-1, |first| date.signed_duration_since(first).num_days())
    }
}

/// Marks the days whose week number is wanted, seen from one year.
fn week_mask(year: i32, rule: &Recurrence) -> Vec<bool> {
    let length = year_length(year);
    let weekday = first_weekday(year);
    let start = i64::from(rule.week_start);
    let mut mask = vec![false; usize::try_from(length + 7).unwrap_or(373)];
    let first_start = (7 - weekday + start).rem_euclid(7);
    // The first week belongs to the year if at least four of its days do.
    let (first_week, week_days) = if first_start >= 4 {
        (0, length + (weekday - start).rem_euclid(7))
    } else {
        (first_start, length - first_start)
    };
    let weeks = week_days / 7 + week_days % 7 / 4;
    let week_at = |number: i64| {
        let begin = first_week + (number - 1) * 7;
        if number > 1 && first_week != first_start {
            begin - (7 - first_start)
        } else {
            begin
        }
    };
    let mut mark = |begin: i64| {
        for index in begin..begin + 7 {
            if let Some(day) = usize::try_from(index)
                .ok()
                .and_then(|index| mask.get_mut(index))
            {
                *day = true;
            }
            if (weekday + index + 1).rem_euclid(7) == start {
                break;
            }
        }
    };
    for number in &rule.week_numbers {
        let number = i64::from(*number);
        let number = if number < 0 {
            number + weeks + 1
        } else {
            number
        };
        if 0 < number && number <= weeks {
            mark(week_at(number));
        }
    }
    if rule.week_numbers.contains(&1) {
        let next_year = week_at(weeks + 1);
        if next_year < length {
            mark(next_year);
        }
    }
    if first_week > 0 && wants_last_week_of_previous_year(year, rule, length, first_week) {
        for index in 0..first_week {
            mark_one(&mut mask, index);
        }
    }
    mask
}

fn mark_one(mask: &mut [bool], index: i64) {
    if let Some(day) = usize::try_from(index)
        .ok()
        .and_then(|index| mask.get_mut(index))
    {
        *day = true;
    }
}

fn wants_last_week_of_previous_year(
    year: i32,
    rule: &Recurrence,
    length: i64,
    first_week: i64,
) -> bool {
    if rule.week_numbers.contains(&-1) {
        return true;
    }
    let start = i64::from(rule.week_start);
    let weekday = first_weekday(year - 1);
    let first_start = (7 - weekday + start).rem_euclid(7);
    let weeks = if first_start >= 4 {
        52 + (year_length(year - 1) + (weekday - start).rem_euclid(7)) % 7 / 4
    } else {
        // This year's length, not last year's: dateutil counts so.
        52 + (length - first_week) % 7 / 4
    };
    rule.week_numbers
        .iter()
        .any(|number| i64::from(*number) == weeks)
}

fn year_length(year: i32) -> i64 {
    NaiveDate::from_ymd_opt(year, 12, 31).map_or(365, |date| i64::from(date.ordinal()))
}

fn first_weekday(year: i32) -> i64 {
    NaiveDate::from_ymd_opt(year, 1, 1)
        .map_or(0, |date| i64::from(date.weekday().num_days_from_monday()))
}

/// Returns the day of the year, from zero, of Easter Sunday in the western churches.
///
/// The "anonymous Gregorian" method, as in Meeus, Astronomical Algorithms, chapter 8.
fn easter(year: i32) -> Option<i64> {
    let golden = year % 19;
    let (century, of_century) = (year / 100, year % 100);
    let moon = (century - century / 4 - (century - (century + 8) / 25 + 1) / 3 + 19 * golden + 15)
        .rem_euclid(30);
    let weekday =
        (32 + 2 * (century % 4) + 2 * (of_century / 4) - moon - of_century % 4).rem_euclid(7);
    let late = (golden + 11 * moon + 22 * weekday) / 451;
    let sum = moon + weekday - 7 * late + 114;
    let month = u32::try_from(sum / 31).ok()?;
    let day = u32::try_from(sum % 31).ok()? + 1;
    NaiveDate::from_ymd_opt(year, month, day).map(|date| i64::from(date.ordinal0()))
}

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
    fn new(rule: &'a Recurrence, from: NaiveDateTime, budget: usize) -> Self {
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

/// Returns the first and last day of the period that begins at a date.
fn period(rule: &Recurrence, date: NaiveDate) -> (NaiveDate, NaiveDate) {
    let whole = |first: Option<NaiveDate>, next: Option<NaiveDate>| {
        let last = next.and_then(|next| next.pred_opt());
        (first.unwrap_or(date), last.unwrap_or(date))
    };
    match rule.frequency {
        Frequency::Yearly => whole(
            date.with_ordinal(1),
            NaiveDate::from_ymd_opt(date.year() + 1, 1, 1),
        ),
        Frequency::Monthly => {
            let first = date.with_day(1);
            whole(
                first,
                first.and_then(|first| first.checked_add_months(Months::new(1))),
            )
        }
        Frequency::Weekly => {
            let days = (date.weekday().num_days_from_monday() + 7 - rule.week_start) % 7;
            let last = date.checked_add_signed(TimeDelta::days(6 - i64::from(days)));
            (date, last.unwrap_or(date))
        }
        Frequency::Daily | Frequency::Hourly | Frequency::Minutely | Frequency::Secondly => {
            (date, date)
        }
    }
}

fn next_period(rule: &Recurrence, at: NaiveDateTime) -> Option<NaiveDateTime> {
    let interval = rule.interval;
    match rule.frequency {
        Frequency::Yearly => {
            let year = i32::try_from(i64::from(at.year()).checked_add(interval)?).ok()?;
            NaiveDate::from_ymd_opt(year, 1, 1).map(|date| date.and_time(NaiveTime::MIN))
        }
        Frequency::Monthly => at
            .with_day(1)?
            .checked_add_months(Months::new(u32::try_from(interval).ok()?)),
        Frequency::Weekly => {
            let days = (at.weekday().num_days_from_monday() + 7 - rule.week_start) % 7;
            at.checked_add_signed(TimeDelta::try_days(
                interval.checked_mul(7)? - i64::from(days),
            )?)
        }
        Frequency::Daily => at.checked_add_signed(TimeDelta::try_days(interval)?),
        Frequency::Hourly | Frequency::Minutely | Frequency::Secondly => None,
    }
}

/// Returns the last period that begins at or before `from`, which is after the rule's start.
fn first_period(rule: &Recurrence, from: NaiveDateTime) -> Option<NaiveDateTime> {
    let interval = rule.interval;
    let start = rule.start;
    match rule.frequency {
        Frequency::Yearly => {
            let years = i64::from(from.year() - start.year()) / interval * interval;
            let year = start.year() + i32::try_from(years).ok()?;
            NaiveDate::from_ymd_opt(year, 1, 1).map(|date| date.and_time(NaiveTime::MIN))
        }
        Frequency::Monthly => {
            let months = |at: NaiveDateTime| i64::from(at.year()) * 12 + i64::from(at.month0());
            let skipped = (months(from) - months(start)) / interval * interval;
            start
                .with_day(1)?
                .checked_add_months(Months::new(u32::try_from(skipped).ok()?))
        }
        Frequency::Weekly => {
            let days = (start.weekday().num_days_from_monday() + 7 - rule.week_start) % 7;
            let week = start.checked_sub_signed(TimeDelta::days(days.into()))?;
            let length = interval.checked_mul(7)?;
            let skipped = (from.date() - week.date()).num_days() / length * length;
            let at = week.checked_add_signed(TimeDelta::try_days(skipped)?)?;
            Some(at.max(start))
        }
        Frequency::Daily => {
            let skipped = (from.date() - start.date()).num_days() / interval * interval;
            start.checked_add_signed(TimeDelta::try_days(skipped)?)
        }
        Frequency::Hourly | Frequency::Minutely | Frequency::Secondly => {
            let unit = rule.unit_seconds()?;
            // An hour's times lie up to an hour after its place on the grid.
            let early = from
                .checked_sub_signed(TimeDelta::seconds(unit))?
                .max(start);
            on_grid(start, early, unit.checked_mul(interval)?)
        }
    }
}

/// Returns the first time of the grid through `start` that is not before `from`.
fn on_grid(start: NaiveDateTime, from: NaiveDateTime, step: i64) -> Option<NaiveDateTime> {
    let distance = (from - start).num_seconds();
    let steps = distance.div_euclid(step) + i64::from(distance.rem_euclid(step) > 0);
    start.checked_add_signed(TimeDelta::try_seconds(steps.checked_mul(step)?)?)
}

fn day_end(at: NaiveDateTime) -> Option<NaiveDateTime> {
    at.date()
        .succ_opt()
        .map(|date| date.and_time(NaiveTime::MIN))
}

fn hour_end(at: NaiveDateTime) -> Option<NaiveDateTime> {
    let hour = at.with_minute(0)?.with_second(0)?;
    hour.checked_add_signed(TimeDelta::hours(1))
}

fn minute_end(at: NaiveDateTime) -> Option<NaiveDateTime> {
    at.with_second(0)?.checked_add_signed(TimeDelta::minutes(1))
}

//! Schedules written as recurrence rules (RFC 5545).
//!
//! The text may be one rule, or lines of `DTSTART`, `RRULE`, `EXRULE`, `RDATE` and `EXDATE`,
//! separated by any white space. All times are read on the wall clock of the schedule's zone:
//! a `Z` or `TZID` in the text does not move them, as in every generation of genuine Prefect.
//! A rule without `DTSTART` begins on the first of January 2020, as in generation 3 (2.0b3
//! begins such a rule at the moment of asking, so that its dates depend on when one asks).
//!
//! Genuine Prefect walks from the start of the rule on every question; here the walk jumps,
//! and its length is bounded.

use std::iter::Peekable;
use std::str::FromStr;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike, Utc};
use chrono_tz::Tz;

use super::Error;
use super::recurrence::{Frequency, Recurrence};
use super::walk::Walk;
use super::zone::{self, Lean};

/// Longer texts are refused, as in genuine Prefect: about a year of daily `RDATE`s.
const LONGEST: usize = 6_500;

/// A rule with a count is walked from its start, so the count is bounded.
const MOST_COUNT: u64 = 1_000_000;

/// Periods walked for one answer: five centuries of days.
const MOST_STEPS: usize = 200_000;

/// Periods walked for one answer when the rule has a count.
const MOST_COUNTED_STEPS: usize = 3_000_000;

/// A schedule written as recurrence rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RRuleSchedule {
    /// As the user wrote it.
    rrule: String,
    set: RecurrenceSet,
    timezone: Tz,
}

/// What a text says, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RecurrenceSet {
    pub(super) rules: Vec<Recurrence>,
    pub(super) excluded_rules: Vec<Recurrence>,
    /// Sorted.
    pub(super) dates: Vec<NaiveDateTime>,
    /// Sorted.
    pub(super) excluded_dates: Vec<NaiveDateTime>,
}

impl RRuleSchedule {
    /// Makes a schedule; no zone means UTC.
    pub fn new(rrule: &str, timezone: Option<Tz>) -> Result<Self, Error> {
        Ok(Self {
            rrule: rrule.to_owned(),
            set: RecurrenceSet::parse(rrule)?,
            timezone: timezone.unwrap_or(Tz::UTC),
        })
    }

    /// Returns the text as the user wrote it.
    pub fn rrule(&self) -> &str {
        &self.rrule
    }

    /// Returns the zone whose wall clock the rules follow.
    pub fn timezone(&self) -> Tz {
        self.timezone
    }

    pub(super) fn set(&self) -> &RecurrenceSet {
        &self.set
    }

    /// Returns at most `n` dates from `after` on, none later than `end`.
    pub(super) fn dates(
        &self,
        after: DateTime<Utc>,
        n: usize,
        end: Option<DateTime<Utc>>,
    ) -> Vec<DateTime<Tz>> {
        let zone = self.timezone;
        // A wall clock and the instants behind it may disagree by a day, where a day is skipped.
        let from = zone::wall(zone, after).checked_sub_signed(TimeDelta::days(2));
        let Some(from) = from.and_then(|from| from.with_nanosecond(0)) else {
            return Vec::new();
        };
        let mut dates: Vec<DateTime<Tz>> = Vec::new();
        for wall in self.set.walls(from) {
            let Some(date) = zone::resolve(zone, wall, Lean::Early) else {
                break;
            };
            if date < after {
                continue;
            }
            if end.is_some_and(|end| date > end) {
                break;
            }
            if !dates.contains(&date) {
                dates.push(date);
            }
            if dates.len() >= n {
                break;
            }
        }
        zone::settle(dates)
    }
}

impl RecurrenceSet {
    /// Walks the wall-clock times of the set in order, from about `from` on.
    fn walls(&self, from: NaiveDateTime) -> Walls<'_> {
        Walls {
            rules: self.rules.iter().map(|rule| walk(rule, from)).collect(),
            excluded_rules: self
                .excluded_rules
                .iter()
                .map(|rule| walk(rule, from))
                .collect(),
            dates: &self.dates[self.dates.partition_point(|date| *date < from)..],
            excluded_dates: &self.excluded_dates,
        }
    }
}

fn walk(rule: &Recurrence, from: NaiveDateTime) -> Peekable<Walk<'_>> {
    let steps = match rule.count {
        Some(_) => MOST_COUNTED_STEPS,
        None => MOST_STEPS,
    };
    rule.walk(from, steps)
}

/// Merges the walks of a set.
struct Walls<'a> {
    rules: Vec<Peekable<Walk<'a>>>,
    excluded_rules: Vec<Peekable<Walk<'a>>>,
    dates: &'a [NaiveDateTime],
    excluded_dates: &'a [NaiveDateTime],
}

impl Walls<'_> {
    fn is_excluded(&mut self, wall: NaiveDateTime) -> bool {
        let mut excluded = self.excluded_dates.binary_search(&wall).is_ok();
        for rule in &mut self.excluded_rules {
            while rule.next_if(|other| *other < wall).is_some() {}
            excluded |= rule.peek() == Some(&wall);
        }
        excluded
    }
}

impl Iterator for Walls<'_> {
    type Item = NaiveDateTime;

    fn next(&mut self) -> Option<NaiveDateTime> {
        loop {
            let of_rules = self
                .rules
                .iter_mut()
                .filter_map(|rule| rule.peek().copied())
                .min();
            let wall = of_rules
                .into_iter()
                .chain(self.dates.first().copied())
                .min()?;
            for rule in &mut self.rules {
                while rule.next_if(|other| *other <= wall).is_some() {}
            }
            let passed = self.dates.partition_point(|date| *date <= wall);
            self.dates = &self.dates[passed..];
            if !self.is_excluded(wall) {
                return Some(wall);
            }
        }
    }
}

impl RecurrenceSet {
    fn parse(text: &str) -> Result<Self, Error> {
        let bad = |reason: String| Error::RRule { reason };
        if text.len() > LONGEST {
            return Err(bad(format!("it is longer than {LONGEST} characters")));
        }
        let upper = text.to_ascii_uppercase();
        Lines::read(&upper).and_then(Lines::into_set).map_err(bad)
    }
}

/// The lines of a text by their kind.
#[derive(Default)]
struct Lines<'a> {
    start: Option<When>,
    rules: Vec<&'a str>,
    excluded_rules: Vec<&'a str>,
    dates: Vec<NaiveDateTime>,
    excluded_dates: Vec<NaiveDateTime>,
}

impl<'a> Lines<'a> {
    fn read(text: &'a str) -> Result<Self, String> {
        let mut lines = Self::default();
        for line in text.split_whitespace() {
            lines.add(line)?;
        }
        if lines.rules.is_empty() && lines.dates.is_empty() {
            return Err("it has neither an RRULE nor an RDATE".to_owned());
        }
        Ok(lines)
    }

    fn add(&mut self, line: &'a str) -> Result<(), String> {
        let (head, value) = line.split_once(':').unwrap_or(("RRULE", line));
        let mut parameters = head.split(';');
        let name = parameters.next().unwrap_or_default();
        let parameters: Vec<&str> = parameters.collect();
        if matches!(name, "RRULE" | "EXRULE") && !parameters.is_empty() {
            return Err(format!("{name} takes no parameters before the colon"));
        }
        match name {
            "RRULE" => self.rules.push(value),
            "EXRULE" => self.excluded_rules.push(value),
            "RDATE" => self
                .dates
                .extend(whens(value, &parameters)?.iter().map(|when| when.wall)),
            "EXDATE" => {
                let dates = whens(value, &parameters)?;
                self.excluded_dates
                    .extend(dates.iter().map(|when| when.wall));
            }
            "DTSTART" => match whens(value, &parameters)?.as_slice() {
                [start] => self.start = Some(*start),
                _ => return Err("DTSTART takes one date".to_owned()),
            },
            _ => {
                return Err(format!(
                    "`{name}` is not one of DTSTART, RRULE, EXRULE, RDATE, EXDATE"
                ));
            }
        }
        Ok(())
    }

    fn into_set(mut self) -> Result<RecurrenceSet, String> {
        let parse = |text: &&str| parse_rule(text, self.start);
        let rules = self.rules.iter().map(parse).collect::<Result<_, _>>()?;
        let excluded_rules = self
            .excluded_rules
            .iter()
            .map(parse)
            .collect::<Result<_, _>>()?;
        self.dates.sort_unstable();
        self.excluded_dates.sort_unstable();
        Ok(RecurrenceSet {
            rules,
            excluded_rules,
            dates: self.dates,
            excluded_dates: self.excluded_dates,
        })
    }
}

/// A date of a text: its wall-clock digits, and whether it named a zone.
#[derive(Clone, Copy)]
struct When {
    wall: NaiveDateTime,
    zoned: bool,
}

fn whens(value: &str, parameters: &[&str]) -> Result<Vec<When>, String> {
    let mut zoned = false;
    for parameter in parameters {
        match *parameter {
            "VALUE=DATE-TIME" | "VALUE=DATE" => {}
            other if other.starts_with("TZID=") => zoned = true,
            other => return Err(format!("the parameter `{other}` is not supported")),
        }
    }
    value
        .split(',')
        .map(|text| {
            let when = parse_when(text)?;
            Ok(When {
                zoned: when.zoned || zoned,
                ..when
            })
        })
        .collect()
}

fn parse_when(text: &str) -> Result<When, String> {
    let (digits, zoned) = split_zone(text);
    let date_time = [
        "%Y%m%dT%H%M%S",
        "%Y%m%dT%H%M",
        "%Y-%m-%dT%H:%M:%S",
        "%Y-%m-%dT%H:%M",
    ];
    let wall = date_time
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(digits, format).ok())
        .or_else(|| {
            ["%Y%m%d", "%Y-%m-%d"]
                .iter()
                .find_map(|format| NaiveDate::parse_from_str(digits, format).ok())
                .map(|date| date.and_time(NaiveTime::MIN))
        });
    match wall {
        // chrono reads a second of 60 as a leap second, which no schedule can mean.
        Some(wall) if wall.nanosecond() == 0 && in_range(wall) => Ok(When { wall, zoned }),
        _ => Err(format!("`{text}` is not a date such as 20220131T093000")),
    }
}

fn in_range(wall: NaiveDateTime) -> bool {
    (1..=zone::LAST_YEAR).contains(&chrono::Datelike::year(&wall))
}

fn split_zone(text: &str) -> (&str, bool) {
    if let Some(digits) = text.strip_suffix('Z') {
        return (digits, true);
    }
    match text.rfind(['+', '-']) {
        Some(at) if text[..at].contains('T') => (&text[..at], true),
        _ => (text, false),
    }
}

fn default_start() -> NaiveDateTime {
    NaiveDate::from_ymd_opt(2020, 1, 1)
        .map(|date| date.and_time(NaiveTime::MIN))
        .expect("the first of January 2020 is a date")
}

fn parse_rule(text: &str, start: Option<When>) -> Result<Recurrence, String> {
    let mut rule = Recurrence {
        start: start.map_or_else(default_start, |start| start.wall),
        frequency: frequency(text)?,
        interval: 1,
        week_start: 0,
        count: None,
        until: None,
        set_positions: Vec::new(),
        months: Vec::new(),
        month_days: Vec::new(),
        year_days: Vec::new(),
        easter_days: Vec::new(),
        week_numbers: Vec::new(),
        weekdays: Vec::new(),
        nth_weekdays: Vec::new(),
        hours: Vec::new(),
        minutes: Vec::new(),
        seconds: Vec::new(),
    };
    for pair in text.split(';') {
        let Some((name, value)) = pair.split_once('=') else {
            return Err(format!("`{pair}` is not of the form NAME=VALUE"));
        };
        set_part(&mut rule, name, value, start)?;
    }
    check_reachable(&rule)?;
    rule.complete();
    Ok(rule)
}

fn frequency(text: &str) -> Result<Frequency, String> {
    let value = text
        .split(';')
        .filter_map(|pair| pair.strip_prefix("FREQ="))
        .next_back();
    match value {
        Some("YEARLY") => Ok(Frequency::Yearly),
        Some("MONTHLY") => Ok(Frequency::Monthly),
        Some("WEEKLY") => Ok(Frequency::Weekly),
        Some("DAILY") => Ok(Frequency::Daily),
        Some("HOURLY") => Ok(Frequency::Hourly),
        Some("MINUTELY") => Ok(Frequency::Minutely),
        Some("SECONDLY") => Ok(Frequency::Secondly),
        Some(other) => Err(format!("`{other}` is not a frequency such as DAILY")),
        None => Err("a rule has no FREQ".to_owned()),
    }
}

fn set_part(
    rule: &mut Recurrence,
    name: &str,
    value: &str,
    start: Option<When>,
) -> Result<(), String> {
    match name {
        "FREQ" => {}
        "INTERVAL" => rule.interval = number(name, value, 1, 10_000_000)?,
        "COUNT" => rule.count = Some(number(name, value, 0, MOST_COUNT)?),
        "UNTIL" => rule.until = Some(until(value, start)?),
        "WKST" => rule.week_start = weekday(value)?,
        "BYSETPOS" => rule.set_positions = signed(name, value, 366)?,
        "BYMONTH" => rule.months = numbers(name, value, 1, 12)?,
        "BYMONTHDAY" => rule.month_days = signed(name, value, 31)?,
        "BYYEARDAY" => rule.year_days = signed(name, value, 366)?,
        "BYEASTER" => rule.easter_days = numbers(name, value, -366, 366)?,
        "BYWEEKNO" => rule.week_numbers = signed(name, value, 53)?,
        "BYDAY" | "BYWEEKDAY" => set_weekdays(rule, value)?,
        "BYHOUR" => rule.hours = numbers(name, value, 0, 23)?,
        "BYMINUTE" => rule.minutes = numbers(name, value, 0, 59)?,
        "BYSECOND" => rule.seconds = numbers(name, value, 0, 59)?,
        _ => return Err(format!("`{name}` is not a known part of a rule")),
    }
    Ok(())
}

fn until(value: &str, start: Option<When>) -> Result<NaiveDateTime, String> {
    let until = parse_when(value)?;
    match start {
        Some(start) if start.zoned && !until.zoned => {
            Err("UNTIL must end in Z since DTSTART names a zone".to_owned())
        }
        Some(start) if !start.zoned && until.zoned => {
            Err("UNTIL must not end in Z since DTSTART names no zone".to_owned())
        }
        Some(_) | None => Ok(until.wall),
    }
}

fn number<T>(name: &str, text: &str, low: T, high: T) -> Result<T, String>
where
    T: FromStr + PartialOrd + std::fmt::Display,
{
    match text.parse::<T>() {
        Ok(number) if low <= number && number <= high => Ok(number),
        _ => Err(format!(
            "{name} `{text}` is not a number from {low} to {high}"
        )),
    }
}

fn numbers<T>(name: &str, text: &str, low: T, high: T) -> Result<Vec<T>, String>
where
    T: FromStr + Ord + Copy + std::fmt::Display,
{
    let mut numbers = text
        .split(',')
        .map(|text| number(name, text, low, high))
        .collect::<Result<Vec<T>, String>>()?;
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
}

/// Reads numbers that count from the start if positive and from the end if negative.
fn signed<T>(name: &str, text: &str, most: i16) -> Result<Vec<T>, String>
where
    T: FromStr + Ord + Copy + std::fmt::Display + From<i16>,
{
    let numbers = numbers(name, text, T::from(-most), T::from(most))?;
    if numbers.contains(&T::from(0)) {
        return Err(format!("{name} counts from 1 or from -1, there is no 0"));
    }
    Ok(numbers)
}

fn set_weekdays(rule: &mut Recurrence, text: &str) -> Result<(), String> {
    rule.weekdays.clear();
    rule.nth_weekdays.clear();
    for entry in text.split(',') {
        let (day, nth) = match entry
            .strip_suffix(')')
            .and_then(|entry| entry.split_once('('))
        {
            Some((day, nth)) => (day, nth),
            None => {
                let digits = entry.len() - entry.trim_start_matches(is_numeric).len();
                (&entry[digits..], &entry[..digits])
            }
        };
        let day = weekday(day)?;
        let nth = if nth.is_empty() {
            0
        } else {
            number("BYDAY", nth, -53, 53)?
        };
        if nth == 0 || rule.frequency > Frequency::Monthly {
            rule.weekdays.push(day);
        } else {
            rule.nth_weekdays.push((day, nth));
        }
    }
    Ok(())
}

fn is_numeric(character: char) -> bool {
    character.is_ascii_digit() || matches!(character, '+' | '-')
}

fn weekday(text: &str) -> Result<u32, String> {
    let days = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"];
    let day = days.iter().position(|day| *day == text);
    day.and_then(|day| u32::try_from(day).ok())
        .ok_or_else(|| format!("`{text}` is not a weekday such as MO"))
}

/// Refuses a rule whose interval steps over every value that it allows.
fn check_reachable(rule: &Recurrence) -> Result<(), String> {
    let start = rule.start;
    let (name, wanted, first, base) = match rule.frequency {
        Frequency::Hourly => ("BYHOUR", &rule.hours, start.hour(), 24),
        Frequency::Minutely => ("BYMINUTE", &rule.minutes, start.minute(), 60),
        Frequency::Secondly => ("BYSECOND", &rule.seconds, start.second(), 60),
        Frequency::Yearly | Frequency::Monthly | Frequency::Weekly | Frequency::Daily => {
            return Ok(());
        }
    };
    let step = greatest_common_divisor(rule.interval, base);
    let reached = |value: &u32| (i64::from(*value) - i64::from(first)) % step == 0;
    if wanted.is_empty() || wanted.iter().any(reached) {
        Ok(())
    } else {
        Err(format!("its INTERVAL never reaches a value of {name}"))
    }
}

fn greatest_common_divisor(one: i64, other: i64) -> i64 {
    if other == 0 {
        one
    } else {
        greatest_common_divisor(other, one % other)
    }
}

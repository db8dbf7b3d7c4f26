//! The grammar of cron expressions.
//!
//! See [`super::cron`] for the dialect. What a field allows is a set of small numbers, so a
//! [`Field`] is a bit mask, and matching never depends on how an expression was written.

use chrono::{Datelike, NaiveDate};

use super::Error;

/// Longer expressions are refused; a list of every minute needs 169 characters.
const LONGEST: usize = 1_000;

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

const ALIASES: [(&str, &str); 7] = [
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// The numbers that a field allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// All of them.
    Any,
    /// Those whose bit is set.
    Only(u64),
}

impl Field {
    pub(super) fn has(self, number: u32) -> bool {
        match self {
            Self::Any => true,
            Self::Only(bits) => bits >> number & 1 == 1,
        }
    }

    /// Returns the first allowed number from `from` to `last`.
    pub(super) fn next(self, from: u32, last: u32) -> Option<u32> {
        (from..=last).find(|number| self.has(*number))
    }
}

/// The days of the month that are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Day {
    /// All of them.
    Any,
    /// Those whose bit is set, and the last one if `last`.
    Only { bits: u64, last: bool },
}

impl Day {
    pub(super) fn has(self, date: NaiveDate) -> bool {
        match self {
            Self::Any => true,
            Self::Only { bits, last } => {
                bits >> date.day() & 1 == 1 || last && date.day() == days_in_month(date)
            }
        }
    }
}

/// A weekday counted within its month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Nth {
    /// Days from Sunday.
    pub(super) weekday: u32,
    /// One to five, or none for the last.
    pub(super) nth: Option<u32>,
}

impl Nth {
    pub(super) fn matches(self, date: NaiveDate) -> bool {
        date.weekday().num_days_from_sunday() == self.weekday
            && match self.nth {
                Some(nth) => (date.day() - 1) / 7 + 1 == nth,
                None => date.day() + 7 > days_in_month(date),
            }
    }
}

fn days_in_month(date: NaiveDate) -> u32 {
    u32::from(date.num_days_in_month())
}

/// A cron expression, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expression {
    pub(super) minutes: Field,
    pub(super) hours: Field,
    pub(super) days: Day,
    pub(super) months: Field,
    pub(super) weekdays: Field,
    /// Empty unless the weekday field counts within the month; it then replaces `weekdays`.
    pub(super) nth: Vec<Nth>,
    /// Only zero in an expression of 5 fields.
    pub(super) seconds: Field,
    /// Empty for all years.
    pub(super) years: Vec<i32>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Minute,
    Hour,
    Day,
    Month,
    Weekday,
    Second,
    Year,
}

const PARTS: [Part; 7] = [
    Part::Minute,
    Part::Hour,
    Part::Day,
    Part::Month,
    Part::Weekday,
    Part::Second,
    Part::Year,
];

impl Part {
    fn range(self) -> (u32, u32) {
        match self {
            Self::Minute | Self::Second => (0, 59),
            Self::Hour => (0, 23),
            Self::Day => (1, 31),
            Self::Month => (1, 12),
            Self::Weekday => (0, 6),
            Self::Year => (1970, 2099),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day of month",
            Self::Month => "month",
            Self::Weekday => "day of week",
            Self::Second => "second",
            Self::Year => "year",
        }
    }

    fn number_of(self, name: &str) -> Option<u32> {
        let names: &[&str] = match self {
            Self::Month => &MONTHS,
            Self::Weekday => &WEEKDAYS,
            Self::Minute | Self::Hour | Self::Day | Self::Second | Self::Year => &[],
        };
        let index = names.iter().position(|known| *known == name)?;
        u32::try_from(index)
            .ok()
            .map(|index| index + u32::from(self == Self::Month))
    }
}

/// What the entries of one field add up to.
#[derive(Default)]
struct Gathered {
    star: bool,
    last: bool,
    numbers: Vec<u32>,
    nth: Vec<Nth>,
}

impl Expression {
    pub(super) fn parse(cron: &str) -> Result<Self, Error> {
        let bad = |reason: String| Error::Cron {
            cron: shortened(cron),
            reason,
        };
        if cron.len() > LONGEST {
            return Err(bad(format!("it is longer than {LONGEST} characters")));
        }
        let lower = cron.to_ascii_lowercase();
        let alias = ALIASES.iter().find(|(name, _)| *name == lower);
        let text = alias.map_or(lower.as_str(), |(_, meaning)| meaning);
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        if !(5..=7).contains(&fields.len()) {
            return Err(bad(format!(
                "it has {} fields instead of 5 (minute, hour, day of month, month, day of week), \
                 6 (a second at the end) or 7 (a year after it)",
                fields.len()
            )));
        }
        let mut gathered = Vec::with_capacity(7);
        for (part, field) in PARTS.into_iter().zip(&fields) {
            gathered.push(gather(part, field, fields.len()).map_err(|reason| {
                bad(format!("{reason} in its {} field `{field}`", part.name()))
            })?);
        }
        Self::assemble(&gathered, &fields).map_err(bad)
    }

    fn assemble(gathered: &[Gathered], fields: &[&str]) -> Result<Self, String> {
        let [minute, hour, day, month, weekday, ..] = gathered else {
            return Err("it has too few fields".to_owned());
        };
        let nth = nth_weekdays(weekday)?;
        // A full list of days counts as a star unless the other day field restricts.
        let day_full = day.numbers.len() + usize::from(day.last) == 31 && fields[4].contains('*');
        let weekday_full = weekday.numbers.len() == 7 && fields[2].contains('*');
        Ok(Self {
            minutes: minute.field(60),
            hours: hour.field(24),
            days: if day.star || day_full {
                Day::Any
            } else {
                Day::Only {
                    bits: bits(&day.numbers),
                    last: day.last,
                }
            },
            months: month.field(12),
            weekdays: if weekday.star || weekday_full {
                Field::Any
            } else {
                Field::Only(bits(&weekday.numbers))
            },
            nth,
            seconds: gathered
                .get(5)
                .map_or(Field::Only(1), |second| second.field(60)),
            years: gathered
                .get(6)
                .filter(|year| !year.star)
                .map_or_else(Vec::new, |year| {
                    year.numbers
                        .iter()
                        .filter_map(|year| i32::try_from(*year).ok())
                        .collect()
                }),
        })
    }
}

impl Gathered {
    fn field(&self, all: usize) -> Field {
        if self.star || self.numbers.len() == all {
            Field::Any
        } else {
            Field::Only(bits(&self.numbers))
        }
    }

    fn add(&mut self, number: u32) {
        if !self.numbers.contains(&number) {
            self.numbers.push(number);
        }
    }
}

/// Refuses plain weekdays beside counted ones, which no cron gives a meaning to.
fn nth_weekdays(weekday: &Gathered) -> Result<Vec<Nth>, String> {
    let counted = |number: &u32| weekday.nth.iter().any(|nth| nth.weekday == *number);
    if !weekday.nth.is_empty() && weekday.numbers.len() != 7 && !weekday.numbers.iter().all(counted)
    {
        return Err("its day of week field mixes plain days with `#` or `L`".to_owned());
    }
    Ok(weekday.nth.clone())
}

fn gather(part: Part, field: &str, fields: usize) -> Result<Gathered, String> {
    let mut gathered = Gathered::default();
    if field == "?" {
        if !matches!(part, Part::Day | Part::Weekday) {
            return Err("`?` is only understood as a day".to_owned());
        }
        gathered.star = true;
        return Ok(gathered);
    }
    if is_hashed(field) {
        return Err("random and hashed values (`R`, `H`) are not supported".to_owned());
    }
    for entry in field.split(',') {
        add_entry(&mut gathered, part, entry, fields)?;
    }
    Ok(gathered)
}

fn is_hashed(field: &str) -> bool {
    let rest = field.strip_prefix(['h', 'r']);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['(', '/']))
}

fn add_entry(to: &mut Gathered, part: Part, entry: &str, fields: usize) -> Result<(), String> {
    if part == Part::Weekday
        && let Some((days, nth)) = counted_weekday(entry)?
    {
        let mut plain = Gathered::default();
        add_plain(&mut plain, part, days, fields)?;
        for weekday in plain.numbers {
            to.add(weekday);
            to.nth.push(Nth { weekday, nth });
        }
        return Ok(());
    }
    add_plain(to, part, entry, fields)
}

/// Splits `2#3` and `l5`; other entries are none.
fn counted_weekday(entry: &str) -> Result<Option<(&str, Option<u32>)>, String> {
    if let Some(day) = entry.strip_prefix('l')
        && is_number(day)
    {
        return Ok(Some((day, None)));
    }
    let Some((days, nth)) = entry.split_once('#') else {
        return Ok(None);
    };
    match nth.parse() {
        Ok(nth @ 1..=5) if !days.is_empty() && !days.contains('*') => Ok(Some((days, Some(nth)))),
        _ => Err(format!(
            "`{entry}` is not a weekday and a number from 1 to 5"
        )),
    }
}

fn add_plain(to: &mut Gathered, part: Part, entry: &str, fields: usize) -> Result<(), String> {
    let (low, high) = part.range();
    if entry == "*" {
        to.star = true;
        return Ok(());
    }
    if entry == "l" && part == Part::Day {
        to.last = true;
        return Ok(());
    }
    let (bounds, step) = match entry.split_once('/') {
        Some((bounds, step)) => (bounds, Some(parse_step(step)?)),
        None => (entry, None),
    };
    let number = |text: &str| parse_number(part, text, fields);
    let (first, last) = match (bounds.split_once('-'), step) {
        (Some((first, last)), _) => {
            let last = if last == "l" && part == Part::Day {
                "31"
            } else {
                last
            };
            (number(first)?, number(last)?)
        }
        (None, Some(_)) if bounds == "*" => (low, high),
        (None, Some(_)) => (number(bounds)?, high),
        (None, None) => {
            to.add(in_range(part, number(bounds)?)?);
            return Ok(());
        }
    };
    for number in stepped(part, first, last, step.unwrap_or(1))? {
        to.add(in_range(part, number)?);
    }
    Ok(())
}

fn parse_step(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(step) if is_number(text) && step > 0 => Ok(step),
        _ => Err(format!("`{text}` is not a step of at least 1")),
    }
}

fn parse_number(part: Part, text: &str, fields: usize) -> Result<u32, String> {
    let number = if is_number(text) {
        text.parse().ok()
    } else {
        part.number_of(text)
    };
    let number = number.ok_or_else(|| format!("`{text}` is not understood"))?;
    Ok(match (part, number, fields) {
        (Part::Weekday, 7, 5) => 0,
        (Part::Day, 0, 6) => 1,
        _ => number,
    })
}

fn in_range(part: Part, number: u32) -> Result<u32, String> {
    let (low, high) = part.range();
    if (low..=high).contains(&number) {
        Ok(number)
    } else {
        Err(format!("{number} is not between {low} and {high}"))
    }
}

/// Lists the numbers of a range; equal bounds mean the whole field, and a first bound above the
/// last wraps around, the step counting on.
fn stepped(part: Part, first: u32, last: u32, step: u32) -> Result<Vec<u32>, String> {
    let (low, high) = part.range();
    if first.max(last) > high {
        return Err(format!(
            "{} is not between {low} and {high}",
            first.max(last)
        ));
    }
    let step_size = usize::try_from(step).unwrap_or(usize::MAX);
    if first == last {
        return Ok((low..=high).step_by(step_size).collect());
    }
    if first < last {
        return Ok((first..=last).step_by(step_size).collect());
    }
    let mut numbers: Vec<u32> = (first..=high).step_by(step_size).collect();
    let reached = numbers.last().copied().unwrap_or(first);
    let skipped = high - reached;
    // The count from the field's low end, which decides whether the step reaches past the top.
    let position = reached - low;
    let skip = if position + step > high - low + 1 && skipped < step {
        step - skipped
    } else {
        0
    };
    numbers.extend((low.saturating_add(skip)..=last).step_by(step_size));
    Ok(numbers)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.len() <= 9 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn bits(numbers: &[u32]) -> u64 {
    numbers
        .iter()
        .filter(|number| **number < 64)
        .fold(0, |bits, number| bits | 1 << number)
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((cut, _)) => format!("{}...", &text[..cut]),
        None => text.to_owned(),
    }
}

//! What a recurrence rule has to know of a year: its weeks by number, and Easter.

use chrono::{Datelike, NaiveDate};

use super::recurrence::Recurrence;

/// What depends on the year of a period.
pub(super) struct Year {
    pub(super) number: i32,
    /// By day of the year, and of the week beyond its end.
    pub(super) weeks: Vec<bool>,
    /// The index of Easter Sunday.
    pub(super) easter: Option<i64>,
}

impl Year {
    pub(super) fn new(number: i32, rule: &Recurrence) -> Self {
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

    /// Returns the place of a day, counted from the first of January.
    pub(super) fn index(&self, date: NaiveDate) -> i64 {
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
            mark_day(&mut mask, index);
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
            mark_day(&mut mask, index);
        }
    }
    mask
}

/// Marks a day, unless it lies outside.
fn mark_day(mask: &mut [bool], index: i64) {
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

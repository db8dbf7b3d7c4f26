//! Schedules in words, for people.
//!
//! Only the common shapes get a sentence of their own. A wrong sentence is worse than an
//! unfriendly one, so anything else shows the expression itself.

use chrono::{NaiveTime, TimeDelta, Timelike};
use chrono_tz::Tz;

use super::expression::{Day, Expression, Field};
use super::recurrence::{Frequency, Recurrence};
use super::{CronSchedule, IntervalSchedule, RRuleSchedule, Schedule};

/// Full names, from Sunday.
const WEEKDAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

impl Schedule {
    /// Returns one line for people, such as "Every day at 09:00, Europe/Berlin".
    pub fn describe(&self) -> String {
        let words = match self {
            Self::Interval(schedule) => interval_words(schedule),
            Self::Cron(schedule) => cron_words(schedule),
            Self::RRule(schedule) => rrule_words(schedule),
        };
        match self.zone() {
            Tz::UTC if matches!(self, Self::Interval(schedule) if !schedule.keeps_wall_clock()) => {
                words
            }
            zone => format!("{words}, {}", zone.name()),
        }
    }
}

fn interval_words(schedule: &IntervalSchedule) -> String {
    let span = schedule.interval();
    if span.subsec_nanos() == 0 && span.num_seconds() % 86_400 == 0 {
        let time = clock(schedule.anchor_wall().time());
        let days = span.num_days();
        return if days % 7 == 0 {
            format!("{} at {time}", every(days / 7, "week"))
        } else {
            format!("{} at {time}", every(days, "day"))
        };
    }
    format!("Every {}", span_words(span))
}

fn span_words(span: TimeDelta) -> String {
    let total = span.num_seconds();
    let units = [
        (total / 86_400, "day"),
        (total / 3_600 % 24, "hour"),
        (total / 60 % 60, "minute"),
        (total % 60, "second"),
    ];
    let milliseconds = i64::from(span.subsec_nanos()) / 1_000_000;
    let mut parts: Vec<(i64, &str)> = units.into_iter().filter(|(count, _)| *count > 0).collect();
    if milliseconds > 0 {
        parts.push((milliseconds, "millisecond"));
    }
    match parts.as_slice() {
        [] => "moment".to_owned(),
        [(1, unit)] => (*unit).to_owned(),
        several => {
            let words: Vec<String> = several
                .iter()
                .map(|(count, unit)| counted(*count, unit))
                .collect();
            words.join(" ")
        }
    }
}

fn counted(count: i64, unit: &str) -> String {
    if count == 1 {
        format!("1 {unit}")
    } else {
        format!("{count} {unit}s")
    }
}

fn every(count: i64, unit: &str) -> String {
    if count == 1 {
        format!("Every {unit}")
    } else {
        format!("Every {count} {unit}s")
    }
}

fn cron_words(schedule: &CronSchedule) -> String {
    let expression = schedule.expression();
    let days = cron_days(expression);
    let times = cron_times(expression);
    match (days, times) {
        (Some(days), Some(Times::At(times))) => format!("{days} at {times}"),
        (Some(days), Some(Times::Often(often))) if days == "Every day" => often,
        (Some(days), Some(Times::Often(often))) => format!("{often} on {}", lower_first(&days)),
        _ => format!("Cron `{}`", schedule.cron()),
    }
}

enum Times {
    At(String),
    Often(String),
}

fn cron_days(expression: &Expression) -> Option<String> {
    let every_month = expression.months == Field::Any && expression.years.is_empty();
    if !every_month || !expression.nth.is_empty() {
        return None;
    }
    match (expression.days, expression.weekdays) {
        (Day::Any, Field::Any) => Some("Every day".to_owned()),
        (Day::Any, Field::Only(bits)) => Some(weekday_words(bits)),
        (
            Day::Only {
                bits: 0,
                last: true,
            },
            Field::Any,
        ) => Some("Every month on the last day".to_owned()),
        (Day::Only { bits, last: false }, Field::Any) => {
            let days: Vec<String> = members(bits, 31).map(|day| day.to_string()).collect();
            Some(format!("Every month on day {}", listed(&days)))
        }
        (Day::Only { .. }, Field::Any | Field::Only(_)) => None,
    }
}

fn weekday_words(bits: u64) -> String {
    match bits {
        0b011_1110 => "Every weekday".to_owned(),
        0b100_0001 => "Every Saturday and Sunday".to_owned(),
        _ => {
            let names: Vec<String> = members(bits, 6)
                .map(|day| WEEKDAYS[day].to_owned())
                .collect();
            format!("Every {}", listed(&names))
        }
    }
}

fn cron_times(expression: &Expression) -> Option<Times> {
    if expression.seconds != Field::Only(1) {
        return None;
    }
    match (expression.hours, expression.minutes) {
        (Field::Any, Field::Any) => Some(Times::Often("Every minute".to_owned())),
        (Field::Any, Field::Only(1)) => Some(Times::Often("Every hour".to_owned())),
        (Field::Any, Field::Only(bits)) => match even_step(bits, 60) {
            Some(step) => Some(Times::Often(format!("Every {step} minutes"))),
            None => {
                let minutes: Vec<String> = members(bits, 59)
                    .map(|minute| format!(":{minute:02}"))
                    .collect();
                (minutes.len() <= 6)
                    .then(|| Times::Often(format!("Every hour at {}", listed(&minutes))))
            }
        },
        (Field::Only(hours), Field::Only(minutes)) => {
            if minutes == 1
                && let Some(step) = even_step(hours, 24)
            {
                return Some(Times::Often(format!("Every {step} hours")));
            }
            let times: Vec<String> = members(hours, 23)
                .flat_map(|hour| {
                    members(minutes, 59).map(move |minute| format!("{hour:02}:{minute:02}"))
                })
                .collect();
            (times.len() <= 6).then(|| Times::At(listed(&times)))
        }
        (Field::Only(_), Field::Any) => None,
    }
}

/// Returns the step of a list such as 0, 15, 30, 45 that goes around evenly.
fn even_step(bits: u64, base: usize) -> Option<usize> {
    let step = (2..base).find(|number| bits >> number & 1 == 1)?;
    let even = base.is_multiple_of(step)
        && (0..base).all(|number| (bits >> number & 1 == 1) == number.is_multiple_of(step));
    even.then_some(step)
}

fn members(bits: u64, last: usize) -> impl Iterator<Item = usize> {
    (0..=last).filter(move |number| bits >> number & 1 == 1)
}

fn rrule_words(schedule: &RRuleSchedule) -> String {
    let set = schedule.set();
    let plain =
        set.dates.is_empty() && set.excluded_dates.is_empty() && set.excluded_rules.is_empty();
    let words = match set.rules.as_slice() {
        [rule] if plain => recurrence_words(rule),
        _ => None,
    };
    words.unwrap_or_else(|| format!("Rule `{}`", shortened(schedule.rrule())))
}

fn recurrence_words(rule: &Recurrence) -> Option<String> {
    let simple = rule.set_positions.is_empty()
        && rule.year_days.is_empty()
        && rule.easter_days.is_empty()
        && rule.week_numbers.is_empty()
        && rule.nth_weekdays.is_empty()
        && rule.months.is_empty();
    let at = || {
        let [hour] = rule.hours.as_slice() else {
            return None;
        };
        let [minute] = rule.minutes.as_slice() else {
            return None;
        };
        let time = NaiveTime::from_hms_opt(*hour, *minute, *rule.seconds.first()?)?;
        (rule.seconds.len() == 1).then(|| clock(time))
    };
    if !simple {
        return None;
    }
    let interval = rule.interval;
    let no_days = rule.weekdays.is_empty() && rule.month_days.is_empty();
    let words = match rule.frequency {
        Frequency::Daily if no_days => format!("{} at {}", every(interval, "day"), at()?),
        Frequency::Weekly if rule.month_days.is_empty() => {
            let days: Vec<String> = rule
                .weekdays
                .iter()
                .map(|day| WEEKDAYS[(*day as usize + 1) % 7].to_owned())
                .collect();
            format!(
                "{} on {} at {}",
                every(interval, "week"),
                listed(&days),
                at()?
            )
        }
        Frequency::Monthly if rule.weekdays.is_empty() && rule.month_days == [-1] => {
            format!("{} on the last day at {}", every(interval, "month"), at()?)
        }
        Frequency::Monthly
            if rule.weekdays.is_empty() && rule.month_days.iter().all(|day| *day > 0) =>
        {
            let days: Vec<String> = rule.month_days.iter().map(i32::to_string).collect();
            format!(
                "{} on day {} at {}",
                every(interval, "month"),
                listed(&days),
                at()?
            )
        }
        Frequency::Hourly if no_days && rule.hours.is_empty() => every(interval, "hour"),
        Frequency::Minutely if no_days && rule.hours.is_empty() && rule.minutes.is_empty() => {
            every(interval, "minute")
        }
        Frequency::Secondly
            if no_days
                && rule.hours.is_empty()
                && rule.minutes.is_empty()
                && rule.seconds.is_empty() =>
        {
            every(interval, "second")
        }
        Frequency::Yearly
        | Frequency::Monthly
        | Frequency::Weekly
        | Frequency::Daily
        | Frequency::Hourly
        | Frequency::Minutely
        | Frequency::Secondly => return None,
    };
    Some(match (rule.count, rule.until) {
        (Some(count), _) => format!("{words}, {count} times"),
        (None, Some(until)) => format!("{words}, until {}", until.format("%Y-%m-%d %H:%M")),
        (None, None) => words,
    })
}

fn clock(time: NaiveTime) -> String {
    let format = if time.second() == 0 {
        "%H:%M"
    } else {
        "%H:%M:%S"
    };
    time.format(format).to_string()
}

fn listed(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

fn lower_first(words: &str) -> String {
    words.replacen("Every", "every", 1)
}

fn shortened(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(100) {
        Some((cut, _)) => format!("{}...", &line[..cut]),
        None => line,
    }
}

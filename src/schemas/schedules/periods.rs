//! The periods of a recurrence rule (years, months, weeks, …), and where on their grid an instant lies.

use chrono::{Datelike, Months, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike};

use super::recurrence::{Frequency, Recurrence};

/// Returns the first and last day of the period that begins at a date.
pub(super) fn period(rule: &Recurrence, date: NaiveDate) -> (NaiveDate, NaiveDate) {
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

pub(super) fn next_period(rule: &Recurrence, at: NaiveDateTime) -> Option<NaiveDateTime> {
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
pub(super) fn first_period(rule: &Recurrence, from: NaiveDateTime) -> Option<NaiveDateTime> {
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
pub(super) fn on_grid(
    start: NaiveDateTime,
    from: NaiveDateTime,
    step: i64,
) -> Option<NaiveDateTime> {
    let distance = (from - start).num_seconds();
    let steps = distance.div_euclid(step) + i64::from(distance.rem_euclid(step) > 0);
    start.checked_add_signed(TimeDelta::try_seconds(steps.checked_mul(step)?)?)
}

pub(super) fn day_end(at: NaiveDateTime) -> Option<NaiveDateTime> {
    at.date()
        .succ_opt()
        .map(|date| date.and_time(NaiveTime::MIN))
}

pub(super) fn hour_end(at: NaiveDateTime) -> Option<NaiveDateTime> {
    let hour = at.with_minute(0)?.with_second(0)?;
    hour.checked_add_signed(TimeDelta::hours(1))
}

pub(super) fn minute_end(at: NaiveDateTime) -> Option<NaiveDateTime> {
    at.with_second(0)?.checked_add_signed(TimeDelta::minutes(1))
}

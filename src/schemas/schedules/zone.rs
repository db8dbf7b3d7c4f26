//! Turns wall-clock times into instants, also where the clock jumps.
//!
//! Twice a year a wall-clock time may not exist or may exist twice. Genuine Prefect answers
//! both questions in two ways, depending on the library that a kind of schedule stands on, so
//! a caller says which way it leans instead of leaving the choice to a time library.

use chrono::{
    DateTime, Datelike, MappedLocalTime, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc,
};
use chrono_tz::Tz;

/// The last year that the wire format and Python's `datetime` can express.
pub(super) const LAST_YEAR: i32 = 9999;

/// Which instant stands for a wall-clock time that is missing or double.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lean {
    /// The first of two; in a gap, as if the clock had already been put forward.
    Early,
    /// The second of two; in a gap, as if the clock had not yet been put forward.
    Late,
}

/// Returns the instant of a wall-clock time, or nothing beyond the range of dates.
pub(super) fn resolve(zone: Tz, wall: NaiveDateTime, lean: Lean) -> Option<DateTime<Tz>> {
    let (least, most) = offsets(zone, wall)?;
    let seconds = match lean {
        Lean::Early => most,
        Lean::Late => least,
    };
    let utc = wall.checked_sub_signed(TimeDelta::seconds(seconds.into()))?;
    let instant = zone.from_utc_datetime(&utc);
    (utc.year() <= LAST_YEAR && instant.year() <= LAST_YEAR).then_some(instant)
}

/// Returns the smallest and largest UTC offset, in seconds, that could apply to a wall time.
fn offsets(zone: Tz, wall: NaiveDateTime) -> Option<(i32, i32)> {
    let seconds = |offset: chrono_tz::TzOffset| offset.fix().local_minus_utc();
    Some(match zone.offset_from_local_datetime(&wall) {
        MappedLocalTime::Single(only) => (seconds(only), seconds(only)),
        MappedLocalTime::Ambiguous(one, other) => {
            let (one, other) = (seconds(one), seconds(other));
            (one.min(other), one.max(other))
        }
        MappedLocalTime::None => {
            // No zone is a day away from UTC and no gap is longer than a day, thus the times a
            // day earlier and later, read as UTC, lie on both sides of the gap.
            let day = TimeDelta::days(1);
            let before = zone.offset_from_utc_datetime(&wall.checked_sub_signed(day)?);
            let after = zone.offset_from_utc_datetime(&wall.checked_add_signed(day)?);
            let (before, after) = (seconds(before), seconds(after));
            (before.min(after), before.max(after))
        }
    })
}

/// Returns the wall-clock time of an instant.
pub(super) fn wall(zone: Tz, instant: DateTime<Utc>) -> NaiveDateTime {
    instant.with_timezone(&zone).naive_local()
}

/// Sorts dates and drops those that occur twice.
pub(super) fn settle(mut dates: Vec<DateTime<Tz>>) -> Vec<DateTime<Tz>> {
    dates.sort_unstable();
    dates.dedup();
    dates
}

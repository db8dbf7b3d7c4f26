//! Instants on the wire.
//!
//! Clients send `T` or a space between date and time, `Z`, an offset or nothing (UTC), and
//! sometimes seconds since 1970 as a number. Answers carry six digits of a second or none: 3.x
//! writes `Z`, older generations `+00:00`.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, SubsecRound, TimeDelta, Utc};
use serde::de::{self, Deserializer, Visitor};

use super::Dialect;

/// Reads an instant in any of the forms that clients send.
pub fn parse(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    if let Ok(instant) = DateTime::parse_from_rfc3339(text) {
        return in_range(instant.to_utc());
    }
    for form in [
        "%Y-%m-%d %H:%M:%S%.f%:z",
        "%Y-%m-%dT%H:%M:%S%.f%#z",
        "%Y-%m-%d %H:%M:%S%.f%#z",
        "%Y-%m-%dT%H:%M%#z",
        "%Y-%m-%d %H:%M%#z",
    ] {
        if let Ok(instant) = DateTime::parse_from_str(text, form) {
            return in_range(instant.to_utc());
        }
    }
    for form in [
        "%Y-%m-%dT%H:%M:%S%.f",
        "%Y-%m-%d %H:%M:%S%.f",
        "%Y-%m-%dT%H:%M",
        "%Y-%m-%d %H:%M",
    ] {
        if let Ok(instant) = NaiveDateTime::parse_from_str(text, form) {
            return in_range(instant.and_utc());
        }
    }
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    in_range(date.and_time(NaiveTime::MIN).and_utc())
}

/// Returns the last instant that both databases can keep; who names no end means this one.
pub fn last() -> DateTime<Utc> {
    let last = NaiveDate::from_ymd_opt(9999, 12, 31).and_then(|day| day.and_hms_opt(23, 59, 59));
    last.expect("the calendar goes on").and_utc()
}

/// Keeps what both databases can: whole microseconds of the years 1 to 9999.
fn in_range(instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
    use chrono::Datelike;
    (1..=9999)
        .contains(&instant.year())
        .then(|| instant.trunc_subsecs(6))
}

/// Reads seconds since 1970; like the genuine server, takes large numbers for milliseconds.
fn from_number(number: f64) -> Option<DateTime<Utc>> {
    let seconds = if number.abs() > 2e10 {
        number / 1000.0
    } else {
        number
    };
    let micros = (seconds * 1e6).round();
    (micros.abs() < 9e18)
        .then(|| DateTime::from_timestamp_micros(micros as i64))
        .flatten()
        .and_then(in_range)
}

/// An instant as text, written without the heap: answers and rows hold many of them.
#[derive(Debug, Clone, Copy)]
pub struct Stamp {
    bytes: [u8; 32],
    length: usize,
}

impl Stamp {
    /// Writes `2026-11-23 06:38:18.229639`, always UTC, with `between` in place of the space.
    pub fn new(instant: DateTime<Utc>, between: u8) -> Self {
        use chrono::{Datelike, Timelike};
        let (date, time) = (instant.date_naive(), instant.time());
        let mut bytes = *b"0000-00-00 00:00:00.000000      ";
        let mut put = |at: usize, width: usize, mut n: u32| {
            for i in (at..at + width).rev() {
                bytes[i] = b'0' + (n % 10) as u8;
                n /= 10;
            }
        };
        put(0, 4, date.year().clamp(0, 9999) as u32);
        put(5, 2, date.month());
        put(8, 2, date.day());
        put(11, 2, time.hour());
        put(14, 2, time.minute());
        put(17, 2, time.second());
        put(20, 6, (time.nanosecond() / 1000).min(999_999));
        bytes[10] = between;
        Self { bytes, length: 26 }
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).expect("only ASCII was written")
    }
}

impl serde::Serialize for Stamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Writes an instant as the dialect's clients expect it.
pub fn format(instant: DateTime<Utc>, dialect: Dialect) -> String {
    stamp(instant, dialect).as_str().to_owned()
}

/// Writes an instant as the dialect's clients expect it, without the heap.
pub fn stamp(instant: DateTime<Utc>, dialect: Dialect) -> Stamp {
    let mut stamp = Stamp::new(instant, b'T');
    if instant.timestamp_subsec_micros() == 0 {
        stamp.length = 19;
    }
    let zone: &[u8] = if dialect == Dialect::Three {
        b"Z"
    } else {
        b"+00:00"
    };
    let end = stamp.length + zone.len();
    stamp.bytes[stamp.length..end].copy_from_slice(zone);
    stamp.length = end;
    stamp
}

/// An instant in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, utoipa::ToSchema)]
#[schema(value_type = String, format = DateTime)]
pub struct Instant(pub DateTime<Utc>);

impl<'de> de::Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Forms;
        impl Visitor<'_> for Forms {
            type Value = Instant;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a date and time such as 2026-11-23T06:38:18Z, or seconds since 1970")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Instant, E> {
                let number = || text.parse().ok().and_then(from_number);
                parse(text)
                    .or_else(number)
                    .map(Instant)
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Instant, E> {
                from_number(number)
                    .map(Instant)
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Float(number), &self))
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Instant, E> {
                self.visit_f64(number as f64)
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Instant, E> {
                self.visit_f64(number as f64)
            }
        }
        deserializer.deserialize_any(Forms)
    }
}

impl serde::Serialize for Instant {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        stamp(self.0, Dialect::Three).serialize(serializer)
    }
}

impl From<DateTime<Utc>> for Instant {
    fn from(instant: DateTime<Utc>) -> Self {
        Self(instant)
    }
}

/// Returns a length of time in seconds, the wire's unit.
pub fn seconds(delta: TimeDelta) -> f64 {
    delta
        .num_microseconds()
        .map_or(delta.num_seconds() as f64, |micros| micros as f64 / 1e6)
}

/// Longer spans are taken for this one, since no calendar has their ends.
pub const LONGEST_SPAN: TimeDelta = TimeDelta::days(36_500);

/// Returns a span of time as calendars count it, at most [`LONGEST_SPAN`].
pub fn span(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).map_or(LONGEST_SPAN, |span| span.min(LONGEST_SPAN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_that_a_client_sends_is_read() {
        let want = "2026-11-23T06:45:36.593730Z";
        for text in [
            "2026-11-23T06:45:36.593730+00:00",
            "2026-11-23 06:45:36.593730+00:00",
            "2026-11-23T06:45:36.593730Z",
            "2026-11-23T01:45:36.593730-05:00",
            "2026-11-23T01:45:36.593730-0500",
            "2026-11-23 06:45:36.593730",
        ] {
            assert_eq!(
                format(parse(text).expect(text), Dialect::Three).as_str(),
                want,
                "{text}"
            );
        }
        for text in [
            "2026-11-23T06:45Z",
            "2026-11-23 06:45+00:00",
            "2026-11-23T03:15-03:30",
            "2026-11-23T06:45",
        ] {
            assert_eq!(parse(text), parse("2026-11-23T06:45:00Z"), "{text}");
        }
        let number: Instant = serde_json::from_str("1795416626.760252").unwrap();
        assert_eq!(
            format(number.0, Dialect::Two).as_str(),
            "2026-11-23T06:10:26.760252+00:00"
                .replace("06:10:26", &number.0.format("%H:%M:%S").to_string())
                .replace("2026-11-23", &number.0.format("%Y-%m-%d").to_string())
        );
        assert!(parse("yesterday").is_none() && parse("").is_none());
    }

    #[test]
    fn a_whole_second_has_no_fraction() {
        let instant = parse("2026-01-02T03:04:05Z").unwrap();
        assert_eq!(
            format(instant, Dialect::B).as_str(),
            "2026-01-02T03:04:05+00:00"
        );
    }
}

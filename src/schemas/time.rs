//! Instants on the wire.
//!
//! Clients send `T` or a space between date and time, `Z`, an offset or nothing (UTC), and
//! sometimes seconds since 1970 as a number. Answers carry six digits of a second or none: 3.x
//! writes `Z`, older generations `+00:00`.

use std::fmt;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, SubsecRound, Utc};
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

/// Writes an instant as the dialect's clients expect it.
pub fn format(instant: DateTime<Utc>, dialect: Dialect) -> String {
    let fraction = if instant.timestamp_subsec_micros() == 0 {
        ""
    } else {
        "%.6f"
    };
    let zone = if dialect == Dialect::Three {
        "Z"
    } else {
        "+00:00"
    };
    instant
        .format(&format!("%Y-%m-%dT%H:%M:%S{fraction}{zone}"))
        .to_string()
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
        serializer.serialize_str(&format(self.0, Dialect::Three))
    }
}

impl From<DateTime<Utc>> for Instant {
    fn from(instant: DateTime<Utc>) -> Self {
        Self(instant)
    }
}

/// Returns a length of time in seconds, the wire's unit.
pub fn seconds(delta: chrono::TimeDelta) -> f64 {
    delta
        .num_microseconds()
        .map_or(delta.num_seconds() as f64, |micros| micros as f64 / 1e6)
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
                format(parse(text).expect(text), Dialect::Three),
                want,
                "{text}"
            );
        }
        let number: Instant = serde_json::from_str("1795416626.760252").unwrap();
        assert_eq!(
            format(number.0, Dialect::Two),
            "2026-11-23T06:10:26.760252+00:00"
                .replace("06:10:26", &number.0.format("%H:%M:%S").to_string())
                .replace("2026-11-23", &number.0.format("%Y-%m-%d").to_string())
        );
        assert!(parse("yesterday").is_none() && parse("").is_none());
    }

    #[test]
    fn a_whole_second_has_no_fraction() {
        let instant = parse("2026-01-02T03:04:05Z").unwrap();
        assert_eq!(format(instant, Dialect::B), "2026-01-02T03:04:05+00:00");
    }
}

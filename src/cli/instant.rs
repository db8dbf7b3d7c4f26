//! Instants as people type them: with an offset, or on the clock of this machine.

use chrono::{DateTime, Local, NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Utc};

/// What the help calls them.
pub(super) const HELP: &str = "such as `2026-12-01`, `2026-12-01 08:00` (on the clock of this machine, or of the zone of a schedule) or `2026-12-01T08:00:00Z`";

/// Reads an instant; the error says what can be read.
pub(super) fn parse(text: &str) -> Result<DateTime<Utc>, String> {
    on_clock_of(&Local, text)
}

/// Reads an instant; without an offset it is on the clock of the zone of this name.
pub(super) fn parse_in(zone: &str, text: &str) -> Result<DateTime<Utc>, String> {
    match zone.parse::<chrono_tz::Tz>() {
        Ok(zone) => on_clock_of(&zone, text),
        Err(_) => Err(format!("'{zone}' is not a time zone")),
    }
}

/// Reads an instant; without an offset it is on the clock of `zone`.
fn on_clock_of<Z: TimeZone>(zone: &Z, text: &str) -> Result<DateTime<Utc>, String> {
    let text = text.trim();
    if let Ok(instant) = DateTime::parse_from_rfc3339(&text.replacen(' ', "T", 1)) {
        return Ok(instant.to_utc());
    }
    // ISO 8601 lets go of the seconds, and of the minutes of an offset.
    let joined = text.replacen(' ', "T", 1);
    let with_offset = ["%Y-%m-%dT%H:%M%#z", "%Y-%m-%dT%H:%M:%S%.f%#z"]
        .iter()
        .find_map(|form| DateTime::parse_from_str(&joined, form).ok());
    if let Some(instant) = with_offset {
        return Ok(instant.to_utc());
    }
    let local = wall_time(text).ok_or_else(|| format!("an instant is {HELP}"))?;
    // Of an hour that clocks show twice, the first is meant.
    let instant = zone.from_local_datetime(&local).earliest();
    instant
        .map(|instant| instant.to_utc())
        .ok_or_else(|| "no clock of that zone ever shows that".to_owned())
}

/// Reads a date, or a date and a time of day.
fn wall_time(text: &str) -> Option<NaiveDateTime> {
    let (date, time) = match text.split_once(['T', ' ']) {
        Some((date, time)) => (date, Some(time.trim())),
        None => (text, None),
    };
    let date = NaiveDate::parse_from_str(date, "%Y-%m-%d").ok()?;
    let time = match time {
        None => NaiveTime::MIN,
        Some(time) => ["%H:%M", "%H:%M:%S%.f"]
            .iter()
            .find_map(|form| NaiveTime::parse_from_str(time, form).ok())?,
    };
    Some(date.and_time(time))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::{HELP, on_clock_of, parse_in};

    #[rstest]
    #[case("2026-12-01", "2026-11-30T23:00:00Z")]
    #[case("2026-12-01 08:00", "2026-12-01T07:00:00Z")]
    #[case(" 2026-12-01T08:00:30.5 ", "2026-12-01T07:00:30.500Z")]
    #[case("2026-12-01T08:00:00Z", "2026-12-01T08:00:00Z")]
    #[case("2026-12-01 08:00:00+02:00", "2026-12-01T06:00:00Z")]
    #[case("2026-12-01T08:00Z", "2026-12-01T08:00:00Z")]
    #[case("2026-12-01 08:00+01:00", "2026-12-01T07:00:00Z")]
    #[case("2026-12-01 08:00 -0230", "2026-12-01T10:30:00Z")]
    #[case("2026-12-01T08:00:30+01", "2026-12-01T07:00:30Z")]
    // Shown twice, an hour apart.
    #[case("2026-10-25 02:30", "2026-10-25T00:30:00Z")]
    fn what_people_type(#[case] text: &str, #[case] expected: &str) {
        let read = on_clock_of(&chrono_tz::Europe::Berlin, text);
        assert_eq!(read, Ok(expected.parse().unwrap()), "{text}");
    }

    #[test]
    fn a_zone_may_be_named() {
        let read = |zone| parse_in(zone, "2026-12-01 08:00");
        let tokyo = "2026-11-30T23:00:00Z".parse().unwrap();
        assert_eq!(read("Asia/Tokyo"), Ok(tokyo));
        assert!(read("Mars/X").unwrap_err().contains("Mars/X"));
    }

    #[rstest]
    #[case("tomorrow", HELP)]
    #[case("2026-13-01", HELP)]
    #[case("08:00", HELP)]
    #[case("2026-12-01 8 o'clock", HELP)]
    #[case("", HELP)]
    #[case("2026-03-29 02:30", "ever shows")]
    fn what_is_none(#[case] text: &str, #[case] expected: &str) {
        let read = on_clock_of(&chrono_tz::Europe::Berlin, text);
        let message = read.unwrap_err();
        assert!(message.contains(expected), "{message}");
    }
}

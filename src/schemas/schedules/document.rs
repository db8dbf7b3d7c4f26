//! Schedules as documents: reading, writing, and their place in the API document.

use chrono::{DateTime, FixedOffset, NaiveDateTime, TimeDelta};
use chrono_tz::Tz;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeStruct, Serializer};
use serde_json::{Map, Value, json};
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, SchemaType, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema, openapi};

use super::zone::{self, Lean};
use super::{CronSchedule, Error, IntervalSchedule, RRuleSchedule, Schedule, parse_timezone};
use crate::schemas::{Dialect, Render};

const KINDS: [&str; 3] = ["interval", "cron", "rrule"];

impl Serialize for Schedule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Interval(schedule) => {
                let mut fields = serializer.serialize_struct("IntervalSchedule", 3)?;
                fields.serialize_field("interval", &seconds(schedule.interval()))?;
                fields.serialize_field("anchor_date", &date_text(schedule.anchor_date()))?;
                fields.serialize_field("timezone", &schedule.timezone().map(Tz::name))?;
                fields.end()
            }
            Self::Cron(schedule) => {
                let mut fields = serializer.serialize_struct("CronSchedule", 3)?;
                fields.serialize_field("cron", schedule.cron())?;
                fields.serialize_field("timezone", &schedule.timezone().map(Tz::name))?;
                fields.serialize_field("day_or", &schedule.day_or())?;
                fields.end()
            }
            Self::RRule(schedule) => {
                let mut fields = serializer.serialize_struct("RRuleSchedule", 2)?;
                fields.serialize_field("rrule", schedule.rrule())?;
                fields.serialize_field("timezone", schedule.timezone().name())?;
                fields.end()
            }
        }
    }
}

impl Schedule {
    /// Returns the document with the zone of an interval that has none: the newer generations always
    /// tell one.
    fn with_zone(&self, mut value: Value) -> Value {
        if let (Self::Interval(schedule), Value::Object(fields)) = (self, &mut value)
            && schedule.timezone().is_none()
            && schedule.anchor_date().offset().local_minus_utc() == 0
        {
            fields.insert("timezone".to_owned(), "UTC".into());
        }
        value
    }

    fn to_value(&self) -> Value {
        serde_json::to_value(self).expect("a schedule is plain data")
    }

    /// Returns the document with its anchor as clients of the second generation write it.
    fn to_second_value(&self) -> Value {
        let mut value = self.to_value();
        if let (Self::Interval(schedule), Value::Object(fields)) = (self, &mut value) {
            let date = schedule
                .anchor_date()
                .format(date_form(schedule.anchor_date()));
            fields.insert("anchor_date".to_owned(), Value::String(date.to_string()));
        }
        value
    }

    /// Writes the schedule as it is stored.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a schedule is plain data")
    }

    /// Returns the document that a client of generation 2.0b3 accepts.
    ///
    /// It refuses an interval with both anchor and zone, so whichever says more stays: the zone
    /// if the anchor is the default one, else the anchor with its offset.
    pub fn to_legacy_value(&self) -> Value {
        let mut value = self.to_second_value();
        if let (Self::Interval(schedule), Value::Object(fields)) = (self, &mut value)
            && schedule.timezone().is_some()
        {
            if schedule.has_default_anchor() {
                fields.shift_remove("anchor_date");
            } else {
                fields.insert("timezone".to_owned(), Value::Null);
            }
        }
        value
    }
}

impl Render for Schedule {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        match dialect {
            Dialect::B => self.to_legacy_value().serialize(serializer),
            Dialect::Two => self.with_zone(self.to_second_value()).serialize(serializer),
            Dialect::Three => self.with_zone(self.to_value()).serialize(serializer),
        }
    }
}

fn seconds(span: TimeDelta) -> f64 {
    // Exact for every interval of less than 285 years at microsecond precision.
    #[expect(clippy::cast_precision_loss, reason = "the wire format is a float")]
    let whole = span.num_seconds() as f64;
    whole + f64::from(span.subsec_nanos()) / 1e9
}

/// Returns the form that Python gives to dates: six digits of a second, or none.
fn date_form(date: DateTime<FixedOffset>) -> &'static str {
    match date.timestamp_subsec_micros() {
        0 => "%Y-%m-%dT%H:%M:%S%:z",
        _ => "%Y-%m-%dT%H:%M:%S%.6f%:z",
    }
}

/// As [`date_form`], but universal time ends in `Z`.
fn date_text(date: DateTime<FixedOffset>) -> String {
    let text = date.format(date_form(date)).to_string();
    match text.strip_suffix("+00:00") {
        Some(wall) => format!("{wall}Z"),
        None => text,
    }
}

impl<'de> Deserialize<'de> for Schedule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ScheduleVisitor)
    }
}

struct ScheduleVisitor;

impl<'de> Visitor<'de> for ScheduleVisitor {
    type Value = Schedule;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a schedule: an object with one of `interval`, `cron`, `rrule`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Schedule, A::Error> {
        let mut fields = Map::new();
        while let Some((key, value)) = map.next_entry::<String, Value>()? {
            if fields.insert(key.clone(), value).is_some() {
                return Err(de::Error::custom(format!("`{key}` is given twice")));
            }
        }
        read(fields).map_err(de::Error::custom)
    }
}

fn read(mut fields: Map<String, Value>) -> Result<Schedule, Error> {
    let given: Vec<&str> = KINDS
        .into_iter()
        .filter(|kind| fields.contains_key(*kind))
        .collect();
    let kind = match given.as_slice() {
        [kind] => *kind,
        [] => {
            return Err(Error::Document(
                "a schedule needs one of `interval`, `cron`, `rrule`".to_owned(),
            ));
        }
        several => {
            return Err(Error::Document(format!(
                "a schedule has one of `interval`, `cron`, `rrule`, not {} of them",
                several.len()
            )));
        }
    };
    let main = fields.shift_remove(kind).unwrap_or_default();
    let timezone = read_timezone(fields.shift_remove("timezone"))?;
    let schedule = match kind {
        "interval" => {
            let anchor = read_anchor(fields.shift_remove("anchor_date"), timezone)?;
            Schedule::Interval(IntervalSchedule::new(
                read_interval(&main)?,
                anchor,
                timezone,
            )?)
        }
        "cron" => {
            let day_or = read_day_or(fields.shift_remove("day_or"))?;
            Schedule::Cron(CronSchedule::new(text("cron", &main)?, timezone, day_or)?)
        }
        _ => Schedule::RRule(RRuleSchedule::new(text("rrule", &main)?, timezone)?),
    };
    match fields.keys().next() {
        Some(key) => {
            let key: String = key.chars().take(60).collect();
            Err(Error::Document(format!(
                "`{key}` is not a field of a schedule with `{kind}`"
            )))
        }
        None => Ok(schedule),
    }
}

fn text<'a>(key: &str, value: &'a Value) -> Result<&'a str, Error> {
    value
        .as_str()
        .ok_or_else(|| Error::Document(format!("`{key}` must be a text")))
}

fn read_timezone(value: Option<Value>) -> Result<Option<Tz>, Error> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match text("timezone", &value)? {
            "" => Ok(None),
            name => parse_timezone(name).map(Some),
        },
    }
}

fn read_day_or(value: Option<Value>) -> Result<bool, Error> {
    match value {
        None => Ok(true),
        Some(Value::Bool(day_or)) => Ok(day_or),
        Some(_) => Err(Error::Document("`day_or` must be true or false".to_owned())),
    }
}

/// Reads seconds as a number, or a duration as ISO 8601 or `[days ]HH:MM:SS` writes it.
fn read_interval(value: &Value) -> Result<TimeDelta, Error> {
    let bad = || {
        Error::Document(
            "`interval` must be a number of seconds or a duration such as `PT1H`".to_owned(),
        )
    };
    match value {
        Value::Number(number) => from_seconds(number.as_f64().ok_or_else(bad)?),
        Value::String(text) if text.len() <= 60 => match text.trim().parse::<f64>() {
            Ok(seconds) => from_seconds(seconds),
            Err(_) => from_seconds(
                iso_seconds(text)
                    .or_else(|| clock_seconds(text))
                    .ok_or_else(bad)?,
            ),
        },
        _ => Err(bad()),
    }
}

fn from_seconds(seconds: f64) -> Result<TimeDelta, Error> {
    if seconds.is_nan() || seconds <= 0.0 {
        return Err(Error::IntervalNotPositive);
    }
    if seconds > 1e12 {
        return Err(Error::IntervalTooLong);
    }
    #[expect(clippy::cast_possible_truncation, reason = "bounded above")]
    let micros = (seconds * 1e6).round() as i64;
    Ok(TimeDelta::microseconds(micros))
}

fn iso_seconds(text: &str) -> Option<f64> {
    let (date, time) = {
        let body = text.trim().strip_prefix('P')?;
        body.split_once('T').unwrap_or((body, ""))
    };
    let of = |part: &str, units: &[(char, f64)]| {
        let mut total = 0.0;
        let mut rest = part;
        for (unit, seconds) in units {
            if let Some((number, after)) = rest.split_once(*unit) {
                total += number.parse::<f64>().ok()? * seconds;
                rest = after;
            }
        }
        rest.is_empty().then_some(total)
    };
    let days = of(date, &[('W', 604_800.0), ('D', 86_400.0)])?;
    Some(days + of(time, &[('H', 3_600.0), ('M', 60.0), ('S', 1.0)])?)
}

fn clock_seconds(text: &str) -> Option<f64> {
    let (days, clock) = match text.trim().split_once(' ') {
        Some((days, clock)) => (
            days.parse::<u32>().ok()?,
            clock.trim_start_matches("days, "),
        ),
        None => (0, text.trim()),
    };
    let mut parts = clock.rsplit(':');
    let seconds: f64 = parts.next()?.parse().ok()?;
    let minutes: u32 = parts.next()?.parse().ok()?;
    let hours: u32 = parts.next().unwrap_or("0").parse().ok()?;
    let whole = f64::from(days) * 86_400.0 + f64::from(hours) * 3_600.0 + f64::from(minutes) * 60.0;
    parts.next().is_none().then_some(whole + seconds)
}

/// Reads an anchor date; one without an offset is on the wall clock of the zone.
fn read_anchor(
    value: Option<Value>,
    timezone: Option<Tz>,
) -> Result<Option<DateTime<FixedOffset>>, Error> {
    let value = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(value) => value,
    };
    let bad = || {
        Error::Document("`anchor_date` must be a date such as `2020-01-01T00:00:00Z`".to_owned())
    };
    let anchor = match &value {
        Value::String(text) => anchor_from_text(text.trim(), timezone),
        Value::Number(number) => number.as_f64().and_then(anchor_from_timestamp),
        _ => None,
    };
    let anchor = anchor.ok_or_else(bad)?;
    if !(1..=zone::LAST_YEAR).contains(&chrono::Datelike::year(&anchor)) {
        return Err(bad());
    }
    Ok(Some(anchor))
}

fn anchor_from_text(text: &str, timezone: Option<Tz>) -> Option<DateTime<FixedOffset>> {
    if let Ok(date) = DateTime::parse_from_rfc3339(text) {
        return Some(date);
    }
    let text = text.replacen(' ', "T", 1);
    for form in ["%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M%#z"] {
        if let Ok(date) = DateTime::parse_from_str(&text, form) {
            return Some(date);
        }
    }
    let wall = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"]
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(&text, format).ok())
        .or_else(|| {
            let date = chrono::NaiveDate::parse_from_str(&text, "%Y-%m-%d").ok()?;
            Some(date.and_time(chrono::NaiveTime::MIN))
        })?;
    zone::resolve(timezone.unwrap_or(Tz::UTC), wall, Lean::Early).map(|date| date.fixed_offset())
}

/// Reads seconds since 1970, or milliseconds if there are too many of them for seconds.
fn anchor_from_timestamp(number: f64) -> Option<DateTime<FixedOffset>> {
    let seconds = match number.abs() > 2e10 {
        true => number / 1_000.0,
        false => number,
    };
    let micros = (seconds * 1e6).round();
    #[expect(clippy::cast_possible_truncation, reason = "bounded here")]
    let date = (micros.abs() < 9e18).then(|| DateTime::from_timestamp_micros(micros as i64))?;
    date.map(|date| date.fixed_offset())
}

impl PartialSchema for Schedule {
    fn schema() -> RefOr<openapi::schema::Schema> {
        let one_of = ["IntervalSchedule", "CronSchedule", "RRuleSchedule"]
            .into_iter()
            .fold(
                OneOfBuilder::new().description(Some("When a deployment runs.")),
                |one_of, name| one_of.item(Ref::from_schema_name(name)),
            );
        RefOr::T(openapi::schema::Schema::OneOf(one_of.build()))
    }
}

impl ToSchema for Schedule {
    fn schemas(schemas: &mut Vec<(String, RefOr<openapi::schema::Schema>)>) {
        schemas.push(("IntervalSchedule".to_owned(), interval_schema()));
        schemas.push(("CronSchedule".to_owned(), cron_schema()));
        schemas.push(("RRuleSchedule".to_owned(), rrule_schema()));
    }
}

fn interval_schema() -> RefOr<openapi::schema::Schema> {
    ObjectBuilder::new()
        .title(Some("IntervalSchedule"))
        .description(Some(
            "Repeats after a fixed interval, counted from an anchor date.",
        ))
        .property(
            "interval",
            ObjectBuilder::new()
                .schema_type(Type::Number)
                .exclusive_minimum(Some(0))
                .description(Some("Seconds between two runs.")),
        )
        .property(
            "anchor_date",
            ObjectBuilder::new()
                .schema_type(Type::String)
                .format(Some(openapi::SchemaFormat::KnownFormat(
                    openapi::KnownFormat::DateTime,
                )))
                .description(Some("The date that all others are counted from.")),
        )
        .property("timezone", timezone_schema())
        .required("interval")
        .build()
        .into()
}

fn cron_schema() -> RefOr<openapi::schema::Schema> {
    ObjectBuilder::new()
        .title(Some("CronSchedule"))
        .description(Some("Runs by a cron expression."))
        .property(
            "cron",
            ObjectBuilder::new()
                .schema_type(Type::String)
                .examples([json!("0 0 * * *")])
                .description(Some("An expression of 5, 6 or 7 fields.")),
        )
        .property("timezone", timezone_schema())
        .property(
            "day_or",
            ObjectBuilder::new()
                .schema_type(Type::Boolean)
                .default(Some(json!(true)))
                .description(Some(
                    "Whether day of month and day of week are alternatives.",
                )),
        )
        .required("cron")
        .build()
        .into()
}

fn rrule_schema() -> RefOr<openapi::schema::Schema> {
    ObjectBuilder::new()
        .title(Some("RRuleSchedule"))
        .description(Some("Runs by recurrence rules (RFC 5545)."))
        .property(
            "rrule",
            ObjectBuilder::new()
                .schema_type(Type::String)
                .description(Some(
                    "A rule, or lines of DTSTART, RRULE, EXRULE, RDATE, EXDATE.",
                )),
        )
        .property("timezone", timezone_schema())
        .required("rrule")
        .build()
        .into()
}

fn timezone_schema() -> openapi::schema::Object {
    ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
        .examples([json!("America/New_York")])
        .description(Some(
            "The zone whose wall clock is followed; UTC if absent.",
        ))
        .build()
}

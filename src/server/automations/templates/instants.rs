//! Instants in templates, as those of Python are, which genuine servers render with: their parts,
//! what they can do, how they are written and which of two is the earlier.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, Datelike, Timelike, Utc};
use minijinja::value::{DynObject, Object, ObjectRepr};
use minijinja::{Error, ErrorKind, State, Value};
use serde_json::Value as Json;

/// The members of events, runs, states and the like that are instants.
const NAMES: [&str; 16] = [
    "created",
    "updated",
    "occurred",
    "received",
    "triggered",
    "timestamp",
    "start_time",
    "end_time",
    "expected_start_time",
    "next_scheduled_start_time",
    "scheduled_time",
    "state_timestamp",
    "last_polled",
    "cache_expiration",
    "pause_timeout",
    "last_heartbeat_time",
];

/// The members whose content is its owner's, in which a text is a text.
const OWNED: [&str; 8] = [
    "payload",
    "parameters",
    "job_variables",
    "base_job_template",
    "variables",
    "labels",
    "data",
    "context",
];

/// Returns what a template sees of a value: instants where members of that name are known to be some.
pub fn seen(value: &Json) -> Value {
    match value {
        Json::Object(members) => Value::from_pairs(
            members
                .iter()
                .map(|(name, member)| (name.as_str(), seen_member(name, member))),
        ),
        Json::Array(items) => items.iter().map(seen).collect(),
        other => plain(other),
    }
}

fn seen_member(name: &str, member: &Json) -> Value {
    if OWNED.contains(&name) {
        return plain(member);
    }
    let instant = match member {
        Json::String(text) if NAMES.contains(&name) => DateTime::parse_from_rfc3339(text).ok(),
        _ => None,
    };
    match instant {
        Some(instant) => Value::from_object(Moment(instant.to_utc())),
        None => seen(member),
    }
}

fn plain(value: &Json) -> Value {
    Value::from(minijinja::value::Serde(value))
}

/// An instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Moment(DateTime<Utc>);

/// As Python writes it where no form is asked for.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Microseconds are left out where there are none.
        let form = match self.0.timestamp_subsec_micros() {
            0 => "%Y-%m-%d %H:%M:%S%:z",
            _ => "%Y-%m-%d %H:%M:%S%.6f%:z",
        };
        write!(f, "{}", self.0.format(form))
    }
}

impl Object for Moment {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let at = self.0;
        Some(match key.as_str()? {
            "year" => Value::from(at.year()),
            "month" => Value::from(at.month()),
            "day" => Value::from(at.day()),
            "hour" => Value::from(at.hour()),
            "minute" => Value::from(at.minute()),
            "second" => Value::from(at.second()),
            "microsecond" => Value::from(at.timestamp_subsec_micros()),
            _ => return None,
        })
    }

    fn call_method(
        self: &Arc<Self>,
        _state: &mut State<'_, '_>,
        method: &str,
        arguments: &[Value],
    ) -> Result<Value, Error> {
        let at = self.0;
        Ok(match method {
            "isoformat" => self.to_string().replacen(' ', "T", 1).into(),
            "date" => at.format("%Y-%m-%d").to_string().into(),
            "timestamp" => (at.timestamp_micros() as f64 / 1e6).into(),
            "weekday" => at.weekday().num_days_from_monday().into(),
            "isoweekday" => at.weekday().number_from_monday().into(),
            "strftime" => {
                let pattern = arguments
                    .first()
                    .and_then(Value::as_str)
                    .unwrap_or_default();
                // Printing with one that is wrong would panic.
                if StrftimeItems::new(pattern).any(|item| item == Item::Error) {
                    let text = format!("strftime does not know the pattern '{pattern}'");
                    return Err(Error::new(ErrorKind::InvalidOperation, text));
                }
                at.format(pattern).to_string().into()
            }
            _ => {
                let text = format!("an instant has no method '{method}'");
                return Err(Error::new(ErrorKind::UnknownMethod, text));
            }
        })
    }

    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<Ordering> {
        Some(self.0.cmp(&other.downcast_ref::<Self>()?.0))
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

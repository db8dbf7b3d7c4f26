//! Instants and spans of time in templates, as those of Python are, which genuine servers render with:
//! their parts, what they can do, how they are written and which of two is the smaller.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, Datelike, Timelike, Utc};
use minijinja::value::{DynObject, Object, ObjectRepr};
use minijinja::{Error, ErrorKind, State, Value};

/// An instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(pub(super) DateTime<Utc>);

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

/// Microseconds of a second.
const SECOND: i64 = 1_000_000;

/// Microseconds of a day.
const DAY: i64 = 86_400 * SECOND;

/// A span of time, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span(i64);

impl Span {
    /// Returns the span of so many seconds.
    pub(super) fn of(seconds: f64) -> Self {
        // What is out of range ends at it.
        Self((seconds * SECOND as f64).round() as i64)
    }

    /// Returns how many seconds it has.
    pub(super) fn seconds(self) -> f64 {
        self.0 as f64 / SECOND as f64
    }
}

/// As Python writes it.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, within) = (self.0.div_euclid(DAY), self.0.rem_euclid(DAY));
        match days {
            0 => {}
            1 | -1 => write!(f, "{days} day, ")?,
            _ => write!(f, "{days} days, ")?,
        }
        let (seconds, micros) = (within / SECOND, within % SECOND);
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
        write!(f, "{hours}:{minutes:02}:{:02}", seconds % 60)?;
        match micros {
            0 => Ok(()),
            _ => write!(f, ".{micros:06}"),
        }
    }
}

impl Object for Span {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let within = self.0.rem_euclid(DAY);
        Some(match key.as_str()? {
            "days" => Value::from(self.0.div_euclid(DAY)),
            "seconds" => Value::from(within / SECOND),
            "microseconds" => Value::from(within % SECOND),
            _ => return None,
        })
    }

    fn is_true(self: &Arc<Self>) -> bool {
        self.0 != 0
    }

    fn call_method(
        self: &Arc<Self>,
        _state: &mut State<'_, '_>,
        method: &str,
        _arguments: &[Value],
    ) -> Result<Value, Error> {
        match method {
            "total_seconds" => Ok(self.seconds().into()),
            _ => {
                let text = format!("a span of time has no method '{method}'");
                Err(Error::new(ErrorKind::UnknownMethod, text))
            }
        }
    }

    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<Ordering> {
        Some(self.0.cmp(&other.downcast_ref::<Self>()?.0))
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

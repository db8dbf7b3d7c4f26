//! Reads what serde or we ourselves say of a value, since serde keeps no kind of error beside its text.

use serde_json::Value;

use super::{Bound, Kind, Wrong};

impl Wrong {
    /// Reads what serde says, or what is said of a value in the words of the genuine servers.
    pub(super) fn of(message: &str) -> Self {
        let expected = message
            .rsplit_once("expected ")
            .map_or("", |(_, what)| what);
        if message.starts_with("missing field") || message == "field required" {
            return Self::Missing;
        }
        if message.starts_with("unknown field") {
            return Self::Unknown;
        }
        if message.starts_with("unknown variant") {
            let (_, list) = message.split_once(", expected ").unwrap_or_default();
            let members = list.split('`').skip(1).step_by(2);
            return Self::NoMember(members.map(str::to_owned).collect());
        }
        if message.starts_with("invalid type: null") {
            return Self::Null(Kind::of(expected));
        }
        if message.contains("UUID") {
            return Self::Not(Kind::Uuid);
        }
        if message.starts_with("invalid ") && Kind::of(expected) != Kind::Other {
            return Self::Not(Kind::of(expected));
        }
        if message == "value could not be parsed to a boolean" {
            return Self::Not(Kind::Truth);
        }
        let rest = message
            .strip_prefix("ensure this value ")
            .unwrap_or_default();
        Self::beyond(rest)
            .or_else(|| Self::of_length(rest))
            .or_else(|| {
                let pattern = message.strip_prefix("String should match pattern '")?;
                Some(Self::Unlike(pattern.strip_suffix('\'')?.to_owned()))
            })
            .unwrap_or_else(|| Self::Said(message.to_owned()))
    }

    fn beyond(rest: &str) -> Option<Self> {
        let rest = rest.strip_prefix("is ")?;
        Bound::ALL.into_iter().find_map(|(bound, words, ..)| {
            let number = rest.strip_prefix(words)?.trim().parse().ok()?;
            Some(Self::Beyond(bound, Value::Number(number)))
        })
    }

    fn of_length(rest: &str) -> Option<Self> {
        let (least, rest) = match rest.strip_prefix("has at least ") {
            Some(rest) => (true, rest),
            None => (false, rest.strip_prefix("has at most ")?),
        };
        let count = rest.strip_suffix(" characters")?.parse().ok()?;
        Some(if least {
            Self::TooShort(count)
        } else {
            Self::TooLong(count)
        })
    }
}

impl Kind {
    /// Reads what serde expected.
    fn of(expected: &str) -> Self {
        let is_any = |words: &[&str]| words.iter().any(|word| expected.starts_with(word));
        if is_any(&["a string", "a borrowed string", "string"]) {
            Self::Text
        } else if is_any(&["i64", "u32", "u64", "i32", "u16", "usize"]) {
            Self::Integer
        } else if is_any(&["f64"]) {
            Self::Number
        } else if is_any(&["a boolean"]) {
            Self::Truth
        } else if is_any(&["a sequence"]) {
            Self::List
        } else if is_any(&["struct"]) {
            Self::Object
        } else if is_any(&["a map", "an object"]) {
            Self::Map
        } else if is_any(&["an instant", "a date"]) {
            Self::Instant
        } else if expected.contains("UUID") {
            Self::Uuid
        } else {
            Self::Other
        }
    }
}

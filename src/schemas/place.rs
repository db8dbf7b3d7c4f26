//! Keeps the place of a mistake where serde would forget it.
//!
//! What is read by way of a JSON value, because its kind decides how, loses its place in the body.
//! So the place is put in front of the message, and taken off where the mistake is told.

use serde::de::Error;
use serde_json::{Value, json};
use serde_path_to_error::{Path, Segment};

/// Stands before and behind a place; no message has it.
const MARK: char = '\u{1}';

/// Returns the steps of a path, as clients know them.
pub(crate) fn steps(path: &Path) -> Vec<Value> {
    let step = |segment: &Segment| match segment {
        Segment::Seq { index } => Some(json!(index)),
        Segment::Map { key } => Some(json!(key)),
        Segment::Enum { .. } | Segment::Unknown => None,
    };
    path.iter().filter_map(step).collect()
}

/// Puts a place in front of a message.
pub(crate) fn misplaced<E: Error>(place: &[Value], message: impl std::fmt::Display) -> E {
    let place = Value::from(place.to_vec());
    E::custom(format!("{MARK}{place}{MARK}{message}"))
}

/// Reads a part of a value, and keeps the place of a mistake in it.
pub(crate) fn read<T: serde::de::DeserializeOwned, E: Error>(value: &Value) -> Result<T, E> {
    serde_path_to_error::deserialize(value)
        .map_err(|error| misplaced(&steps(error.path()), error.inner()))
}

/// Takes the places off a message, the outermost first.
pub(crate) fn split(mut message: &str) -> (Vec<Value>, &str) {
    let mut place = Vec::new();
    while let Some((steps, rest)) = message
        .strip_prefix(MARK)
        .and_then(|rest| rest.split_once(MARK))
    {
        let steps: Vec<Value> = serde_json::from_str(steps).unwrap_or_default();
        place.extend(steps);
        message = rest;
    }
    (place, message)
}

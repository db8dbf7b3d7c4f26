//! Spans of time as triggers and actions say them: numbers of seconds, or ISO 8601 of seconds alone.

use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serializer};
use serde_json::Value as Json;

pub(super) fn serialize<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(span.as_secs_f64())
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Duration, D::Error> {
    let value = Json::deserialize(deserializer)?;
    read(&value).ok_or_else(|| D::Error::custom("a span of time is a number of seconds, 0 or more"))
}

pub(super) fn read(value: &Json) -> Option<Duration> {
    let text = value
        .as_str()
        .and_then(|text| text.trim_matches(['P', 'T', 'S']).parse().ok());
    Duration::try_from_secs_f64(value.as_f64().or(text)?).ok()
}

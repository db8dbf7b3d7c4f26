//! What templates see: events, their resources and firings with what those of genuine servers know, and
//! instants and spans of time where members of that name are known to be some.

use std::fmt;
use std::sync::Arc;

use chrono::DateTime;
use minijinja::Value;
use minijinja::value::{Enumerator, Object, ObjectRepr};
use serde_json::{Map, Value as Json};

use super::instants::{Moment, Span};
use crate::schemas::events::{RESOURCE_ID, RESOURCE_NAME, RESOURCE_ROLE};

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

/// The members that are spans of time, in seconds.
const SPANS: [&str; 6] = [
    "total_run_time",
    "estimated_run_time",
    "estimated_start_time_delta",
    "within",
    "schedule_after",
    "interval",
];

/// How deep labels are nested by the dots in their names.
const MAX_PARTS: usize = 32;

/// Returns what a template sees of all that it can name.
pub fn seen(context: &Json) -> Value {
    let members = context.as_object().into_iter().flatten();
    Value::from_pairs(members.map(|(name, member)| {
        let member = match name.as_str() {
            "event" => event(member),
            "events" => each(member, event),
            "firing" => firing(member),
            "firings" => each(member, firing),
            "labels" => labels(member),
            _ => seen_member(name, member),
        };
        (name.as_str(), member)
    }))
}

fn seen_value(value: &Json) -> Value {
    match value {
        Json::Object(members) => Value::from_pairs(
            members
                .iter()
                .map(|(name, member)| (name.as_str(), seen_member(name, member))),
        ),
        Json::Array(_) => each(value, seen_value),
        other => plain(other),
    }
}

fn seen_member(name: &str, member: &Json) -> Value {
    if OWNED.contains(&name) {
        return plain(member);
    }
    let instant = match member {
        Json::String(text) if NAMES.contains(&name) => DateTime::parse_from_rfc3339(text).ok(),
        Json::Number(seconds) if SPANS.contains(&name) => {
            return Value::from_object(Span::of(seconds.as_f64().unwrap_or_default()));
        }
        _ => None,
    };
    match instant {
        Some(instant) => Value::from_object(Moment(instant.to_utc())),
        None => seen_value(member),
    }
}

fn plain(value: &Json) -> Value {
    Value::from(minijinja::value::Serde(value))
}

fn each(list: &Json, seen: impl Fn(&Json) -> Value) -> Value {
    list.as_array().into_iter().flatten().map(seen).collect()
}

/// An event knows its resources by their roles too.
fn event(received: &Json) -> Value {
    let Json::Object(members) = received else {
        return plain(received);
    };
    let own = resource(&received["resource"]);
    let others = received["related"].as_array().into_iter().flatten();
    let related: Vec<(&str, Value)> = others
        .map(|one| {
            (
                one[RESOURCE_ROLE].as_str().unwrap_or_default(),
                resource(one),
            )
        })
        .collect();
    let all: Vec<Value> = related.iter().map(|(_, one)| one.clone()).collect();
    let mut roles: Vec<(&str, Vec<Value>)> = Vec::new();
    for (role, one) in related {
        match roles.iter_mut().find(|(known, _)| *known == role) {
            Some((_, in_role)) => in_role.push(one),
            None => roles.push((role, vec![one])),
        }
    }
    let involved: Vec<Value> = [own.clone()].into_iter().chain(all.clone()).collect();
    let first = roles.iter().map(|(role, ones)| (*role, ones[0].clone()));
    let first = Value::from_pairs(first);
    let each = roles
        .iter()
        .map(|(role, ones)| (*role, Value::from(ones.clone())));
    let each = Value::from_pairs(each);
    Value::from_object(Model {
        fields: Value::from_pairs(members.iter().map(|(name, member)| {
            let member = match name.as_str() {
                "resource" => own.clone(),
                "related" => Value::from(all.clone()),
                _ => seen_member(name, member),
            };
            (name.as_str(), member)
        })),
        derived: vec![
            ("involved_resources", Value::from(involved)),
            ("resource_in_role", first),
            ("resources_in_role", each),
        ],
    })
}

fn resource(resource: &Json) -> Value {
    let label = |name: &str| plain(&resource[name]);
    Value::from_object(Model {
        fields: plain(resource),
        derived: vec![
            ("id", label(RESOURCE_ID)),
            ("name", label(RESOURCE_NAME)),
            ("role", label(RESOURCE_ROLE)),
            ("labels", labels(resource)),
        ],
    })
}

fn firing(firing: &Json) -> Value {
    let Json::Object(members) = firing else {
        return plain(firing);
    };
    let states = ("trigger_states", Value::from_object(Triggered));
    let members = members.iter().map(|(name, member)| {
        let member = match name.as_str() {
            "triggering_event" => event(member),
            "triggering_firings" => each(member, self::firing),
            "triggering_labels" => plain(member),
            _ => seen_member(name, member),
        };
        (name.as_str(), member)
    });
    Value::from_pairs([states].into_iter().chain(members))
}

fn labels(labels: &Json) -> Value {
    let empty = Map::new();
    let all = labels.as_object().unwrap_or(&empty);
    let all = all
        .iter()
        .map(|(name, value)| (name.as_str(), plain(value)));
    Value::from_object(Labels::of(all.collect(), String::new(), MAX_PARTS))
}

/// An object that knows more than its fields, which are what is written where it is printed.
#[derive(Debug)]
struct Model {
    fields: Value,
    derived: Vec<(&'static str, Value)>,
}

impl Object for Model {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let field = self.fields.get_item(key).ok();
        field.filter(|field| !field.is_undefined()).or_else(|| {
            let name = key.as_str()?;
            let derived = self.derived.iter().find(|(known, _)| *known == name);
            derived.map(|(_, value)| value.clone())
        })
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let names = self.fields.try_iter().into_iter().flatten();
        Enumerator::Values(names.collect())
    }
}

/// Labels, also by the parts of their names: `{{ labels.prefect.resource.id }}`.
#[derive(Debug)]
struct Labels {
    /// What the label of this very name has.
    value: String,
    all: Vec<(String, Value)>,
    parts: Vec<(String, Value)>,
}

/// The labels whose names begin with the same part.
struct Part<'a> {
    name: &'a str,
    own: Option<Value>,
    /// Those that have more parts, by the rest of their names.
    inner: Vec<(&'a str, Value)>,
}

impl Labels {
    fn of(all: Vec<(&str, Value)>, value: String, depth: usize) -> Self {
        let mut parts: Vec<Part<'_>> = Vec::new();
        for (name, value) in &all {
            let (part, rest) = match name.split_once('.') {
                Some((part, rest)) if depth > 0 && !rest.is_empty() => (part, Some(rest)),
                _ => (*name, None),
            };
            let at = parts.iter().position(|known| known.name == part);
            let at = at.unwrap_or_else(|| {
                parts.push(Part {
                    name: part,
                    own: None,
                    inner: Vec::new(),
                });
                parts.len() - 1
            });
            match rest {
                Some(rest) => parts[at].inner.push((rest, value.clone())),
                None => parts[at].own = Some(value.clone()),
            }
        }
        let parts = parts.into_iter().map(|part| {
            let own = part.own.unwrap_or_else(|| "".into());
            let value = match part.inner.is_empty() {
                true => own,
                false => Value::from_object(Self::of(part.inner, own.to_string(), depth - 1)),
            };
            (part.name.to_owned(), value)
        });
        Self {
            value,
            parts: parts.collect(),
            all: all
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
        }
    }
}

impl Object for Labels {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Iterable
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        let mut known = self.parts.iter().chain(&self.all);
        known
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.clone())
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let pair = |(name, value): &(String, Value)| vec![Value::from(name), value.clone()].into();
        Enumerator::Values(self.all.iter().map(pair).collect())
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.value)
    }
}

/// The states of a firing; ours are told only of triggers that have fired.
#[derive(Debug)]
struct Triggered;

impl Object for Triggered {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Iterable
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(vec![Value::from("Triggered")])
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{TriggerState.Triggered}")
    }
}

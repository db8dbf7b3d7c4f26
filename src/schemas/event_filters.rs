//! What a client may ask of events: a grammar of its own, older and newer than the other filters.
//!
//! Here an empty list is no condition, as clients send all members and leave them empty. A filter
//! works in two ways with one meaning: on stored events as SQL, and on each live event by
//! [`EventFilter::includes`].

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::events::{RESOURCE_ROLE, ReceivedEvent, Resource};
use super::text_search::TextFilter;
use super::time::Instant;
use super::{Document, EventId};

/// Conditions on events, joined by AND.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EventFilter {
    /// When it happened.
    #[serde(deserialize_with = "or_default")]
    pub occurred: Occurred,
    /// What happened.
    pub event: Option<Names>,
    /// What it happened to.
    pub resource: Option<ResourceFilter>,
    /// What else was involved; each condition may be met by another resource.
    #[serde(deserialize_with = "one_or_many")]
    pub related: Vec<RelatedFilter>,
    /// What was involved in any way; each condition may be met by another resource.
    #[serde(deserialize_with = "one_or_many")]
    pub any_resource: Vec<AnyResourceFilter>,
    /// Which events.
    #[serde(deserialize_with = "or_default")]
    pub id: Ids,
    /// Words anywhere in the event.
    pub text: Option<TextFilter>,
    /// The order of a list.
    #[serde(deserialize_with = "or_default")]
    pub order: Order,
}

/// The order of a list of events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Order {
    /// The oldest first.
    Asc,
    /// The newest first.
    #[default]
    Desc,
}

/// Bounds of when events happened, inclusive.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Occurred {
    /// Not before; by default half a year ago.
    pub since: Option<Instant>,
    /// Not after; by default now, and for live events whenever they come.
    pub until: Option<Instant>,
}

/// Conditions on the names of events.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "lists of names and of beginnings")]
pub struct Names {
    #[serde(deserialize_with = "or_default")]
    pub prefix: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub exclude_prefix: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub name: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub exclude_name: Vec<String>,
}

/// Conditions on the resource of an event.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ResourceFilter {
    /// Has one of these ids.
    #[serde(deserialize_with = "or_default")]
    pub id: Vec<String>,
    /// Has an id with one of these beginnings.
    #[serde(deserialize_with = "or_default")]
    pub id_prefix: Vec<String>,
    /// Has all these labels.
    pub labels: Option<Labels>,
    /// Only one event of each resource.
    #[serde(deserialize_with = "or_default")]
    pub distinct: bool,
}

/// Conditions on one related resource.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RelatedFilter {
    /// Has one of these ids.
    #[serde(deserialize_with = "or_default")]
    pub id: Vec<String>,
    /// Is in one of these roles.
    #[serde(deserialize_with = "or_default")]
    pub role: Vec<String>,
    /// Is one of these in this role: pairs of id and role.
    #[serde(deserialize_with = "or_default")]
    pub resources_in_roles: Vec<(String, String)>,
    /// Has all these labels.
    pub labels: Option<Labels>,
}

/// Conditions on one resource, be it the event's own or a related one.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AnyResourceFilter {
    /// Has one of these ids.
    #[serde(deserialize_with = "or_default")]
    pub id: Vec<String>,
    /// Has an id with one of these beginnings.
    #[serde(deserialize_with = "or_default")]
    pub id_prefix: Vec<String>,
    /// Has all these labels.
    pub labels: Option<Labels>,
}

/// Conditions on ids of events.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = EventIds)]
pub struct Ids {
    /// Has one of these ids.
    #[serde(deserialize_with = "or_default")]
    pub id: Vec<EventId>,
}

/// Labels and what their values must look like: `*` is any text, `?` any character, and `!` in
/// front turns it round. Of several values of a label one must fit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels(pub Vec<(String, Wanted)>);

/// What the value of a label must look like, in the form in which it was said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Wanted {
    /// As this.
    One(String),
    /// As one of these.
    AnyOf(Vec<String>),
}

impl std::ops::Deref for Wanted {
    type Target = [String];

    fn deref(&self) -> &[String] {
        match self {
            Self::One(pattern) => std::slice::from_ref(pattern),
            Self::AnyOf(patterns) => patterns,
        }
    }
}

impl Labels {
    /// Tells whether a resource has all labels.
    pub fn matches(&self, resource: &Resource) -> bool {
        self.0.iter().all(|(label, wanted)| {
            let value = resource.get(label);
            value.is_some_and(|value| wanted.iter().any(|wanted| is_match(wanted, value)))
        })
    }

    /// Tells whether any of the resources has all labels; no labels are no condition.
    pub fn match_any<'r>(&self, mut resources: impl Iterator<Item = &'r Resource>) -> bool {
        self.0.is_empty() || resources.any(|resource| self.matches(resource))
    }

    /// Returns the values that a label may have.
    pub fn get(&self, label: &str) -> Option<&[String]> {
        let found = self.0.iter().find(|(name, _)| name == label);
        found.map(|(_, values)| &**values)
    }
}

/// Tells whether a value fits a pattern, as [`Labels`] describes them.
pub fn is_match(pattern: &str, value: &str) -> bool {
    match pattern.strip_prefix('!') {
        Some(pattern) => !glob(pattern, value),
        None => glob(pattern, value),
    }
}

/// Matches `*` and `?`; on a mismatch only the last `*` needs to take one character more.
fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            Some(_) | None => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    p = at + 1;
                    t = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

impl Serialize for Labels {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(label, values)| (label, values)))
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let members = serde_json::Map::<String, serde_json::Value>::deserialize(deserializer)?;
        let mut labels = Vec::with_capacity(members.len());
        for (label, value) in members {
            let values = match value {
                serde_json::Value::String(value) => Wanted::One(value),
                value => Wanted::AnyOf(serde_json::from_value(value).map_err(|_| {
                    D::Error::custom(format!(
                        "the label `{label}` needs a text or a list of texts"
                    ))
                })?),
            };
            labels.push((label, values));
        }
        Ok(Self(labels))
    }
}

impl utoipa::PartialSchema for Labels {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        utoipa::openapi::ObjectBuilder::new().into()
    }
}

impl ToSchema for Labels {}

impl EventFilter {
    /// Tells whether a live event meets all conditions.
    pub fn includes(&self, received: &ReceivedEvent) -> bool {
        let event = &received.event;
        let at = event.occurred.0;
        let Occurred { since, until } = self.occurred;
        since.is_none_or(|since| since.0 <= at)
            && until.is_none_or(|until| at <= until.0)
            && (self.id.id.is_empty() || self.id.id.contains(&event.id))
            && self
                .event
                .as_ref()
                .is_none_or(|names| names.include(&event.event))
            && self
                .resource
                .as_ref()
                .is_none_or(|resource| resource.includes(&event.resource))
            && self
                .related
                .iter()
                .all(|filter| event.related.iter().any(|r| filter.includes(r)) || filter.is_empty())
            && self
                .any_resource
                .iter()
                .all(|filter| received.involved().any(|r| filter.includes(r)))
            && self
                .text
                .as_ref()
                .is_none_or(|text| has_words(text, received))
    }
}

impl Occurred {
    /// Leaves out what is older than `earliest`.
    pub fn clamp(&mut self, earliest: chrono::DateTime<chrono::Utc>) {
        let since = self.since.map_or(earliest, |since| since.0.max(earliest));
        self.since = Some(Instant(since));
    }
}

impl Names {
    fn include(&self, name: &str) -> bool {
        let begins = |list: &[String]| list.iter().any(|prefix| name.starts_with(prefix.as_str()));
        let is_in = |list: &[String]| list.iter().any(|one| one == name);
        (self.prefix.is_empty() || begins(&self.prefix))
            && !begins(&self.exclude_prefix)
            && (self.name.is_empty() || is_in(&self.name))
            && !is_in(&self.exclude_name)
    }
}

fn has_id(resource: &Resource, ids: &[String], prefixes: &[String]) -> bool {
    let id = resource.id();
    (ids.is_empty() || ids.iter().any(|wanted| wanted == id))
        && (prefixes.is_empty()
            || prefixes
                .iter()
                .any(|prefix| id.starts_with(prefix.as_str())))
}

fn has_labels(resource: &Resource, labels: Option<&Labels>) -> bool {
    labels.is_none_or(|labels| labels.matches(resource))
}

impl ResourceFilter {
    fn includes(&self, resource: &Resource) -> bool {
        has_id(resource, &self.id, &self.id_prefix) && has_labels(resource, self.labels.as_ref())
    }
}

impl RelatedFilter {
    /// Tells whether there is no condition.
    pub fn is_empty(&self) -> bool {
        let Self {
            id,
            role,
            resources_in_roles,
            labels,
        } = self;
        id.is_empty() && role.is_empty() && resources_in_roles.is_empty() && labels.is_none()
    }

    fn includes(&self, resource: &Resource) -> bool {
        let pairs = &self.resources_in_roles;
        has_id(resource, &self.id, &[])
            && (self.role.is_empty() || self.role.iter().any(|role| role == resource.role()))
            && (pairs.is_empty()
                || pairs
                    .iter()
                    .any(|(id, role)| id == resource.id() && role == resource.role()))
            && has_labels(resource, self.labels.as_ref())
    }
}

impl AnyResourceFilter {
    fn includes(&self, resource: &Resource) -> bool {
        has_id(resource, &self.id, &self.id_prefix) && has_labels(resource, self.labels.as_ref())
    }

    /// Tells whether there is a condition on the role, which only related resources have.
    pub fn asks_for_role(&self) -> bool {
        self.labels
            .as_ref()
            .is_some_and(|labels| labels.get(RESOURCE_ROLE).is_some())
    }
}

fn has_words(filter: &TextFilter, received: &ReceivedEvent) -> bool {
    let mut text = received.event.event.clone();
    for resource in received.involved() {
        for (_, value) in resource.labels() {
            text.push(' ');
            text.push_str(value);
        }
    }
    text.push(' ');
    text.push_str(received.event.payload.get());
    filter.words().are_in(&text)
}

/// Reads null as the default, since clients send every member.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

fn one_or_many<'de, D: Deserializer<'de>, T: for<'a> Deserialize<'a>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    let document = Document::deserialize(deserializer)?;
    let read = match document.get().as_bytes().first() {
        Some(b'[') => document.read(),
        Some(b'n') => Ok(Vec::new()),
        _ => document.read().map(|one| vec![one]),
    };
    read.map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schemas::events::Event;
    use serde_json::json;

    fn includes(filter: serde_json::Value) -> bool {
        let event = json!({
            "occurred": "2026-11-23T06:39:24Z", "event": "prefect.flow-run.Failed",
            "resource": {"prefect.resource.id": "prefect.flow-run.1", "prefect.resource.name": "Brave"},
            "related": [
                {"prefect.resource.id": "prefect.flow.2", "prefect.resource.role": "flow"},
                {"prefect.resource.id": "prefect.tag.etl", "prefect.resource.role": "tag", "team": "x_1"},
            ],
            "payload": {"why": "Out of memory"}, "id": "01a20721-7be1-712d-b7ad-6451d5edfba4",
        });
        let event: Event = serde_json::from_value(event).unwrap();
        let received = event.receive("2026-11-23T06:39:25Z".parse().unwrap());
        serde_json::from_value::<EventFilter>(filter)
            .unwrap()
            .includes(&received)
    }

    #[test]
    fn empty_and_null_members_are_no_condition() {
        assert!(includes(json!({})));
        assert!(includes(json!({
            "occurred": {"since": null}, "event": {"prefix": [], "name": null}, "related": null,
            "resource": {"id": null, "labels": null}, "any_resource": [], "id": {"id": []}, "text": null,
        })));
    }

    #[test]
    fn each_member_is_a_condition() {
        let cases = [
            (json!({"event": {"prefix": ["prefect.flow-run."]}}), true),
            (
                json!({"event": {"exclude_name": ["prefect.flow-run.Failed"]}}),
                false,
            ),
            (
                json!({"resource": {"id_prefix": ["prefect.task-run."]}}),
                false,
            ),
            (
                json!({"resource": {"labels": {"prefect.resource.name": ["B*e", "x"]}}}),
                true,
            ),
            (
                json!({"resource": {"labels": {"prefect.resource.name": "!Brave"}}}),
                false,
            ),
            (json!({"resource": {"labels": {"absent": "*"}}}), false),
            (
                json!({"related": {"role": ["flow"], "id": ["prefect.flow.2"]}}),
                true,
            ),
            (
                json!({"related": {"role": ["tag"], "id": ["prefect.flow.2"]}}),
                false,
            ),
            (
                json!({"related": [{"role": ["tag"]}, {"id": ["prefect.flow.2"]}]}),
                true,
            ),
            (
                json!({"related": {"resources_in_roles": [["prefect.flow.2", "tag"]]}}),
                false,
            ),
            (json!({"related": {"labels": {"team": "x?1"}}}), true),
            (
                json!({"any_resource": {"id": ["prefect.flow-run.1"]}}),
                true,
            ),
            (
                json!({"any_resource": {"id_prefix": ["prefect.work-pool."]}}),
                false,
            ),
            (
                json!({"occurred": {"until": "2026-11-23T06:39:23Z"}}),
                false,
            ),
            (
                json!({"id": {"id": ["01a20721-7be1-712d-b7ad-6451d5edfba5"]}}),
                false,
            ),
            (json!({"text": {"query": "MEMORY disk"}}), true),
            (json!({"text": {"query": "\"of memory\" -brave"}}), false),
            (json!({"text": {"query": "+brave +etl"}}), true),
        ];
        for (filter, is_included) in cases {
            assert_eq!(includes(filter.clone()), is_included, "{filter}");
        }
    }

    #[test]
    fn stars_take_as_much_as_is_needed() {
        for (pattern, text, fits) in [
            ("", "", true),
            ("*", "", true),
            ("a*b*c", "a1b2b3c", true),
            ("a*b", "abc", false),
            ("?", "", false),
            ("prefect.flow-run.*", "prefect.flow-run.", true),
            ("[a]", "a", false),
        ] {
            assert_eq!(is_match(pattern, text), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn a_misspelt_member_is_refused() {
        assert!(serde_json::from_value::<EventFilter>(json!({"event": {"names": []}})).is_err());
        let long = "x".repeat(201);
        assert!(serde_json::from_value::<EventFilter>(json!({"text": {"query": long}})).is_err());
    }
}

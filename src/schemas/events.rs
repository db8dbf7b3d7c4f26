//! Events: what happened to which resource, as clients and the server tell it.
//!
//! Labels stay in the order in which they came, and a payload stays the text that came in: most
//! events are only kept, and few are ever looked into.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use super::dialect::{Fields, Render};
use super::time::Instant;
use super::{Dialect, Document, EventId};

/// The label that every resource has.
pub const RESOURCE_ID: &str = "prefect.resource.id";
/// The label that says what a related resource has to do with the event.
pub const RESOURCE_ROLE: &str = "prefect.resource.role";
/// The label that holds a name for people.
pub const RESOURCE_NAME: &str = "prefect.resource.name";

/// Something that events are about: labels, of which `prefect.resource.id` is always there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resource(Vec<(String, String)>);

impl Resource {
    /// Makes a resource of an id and more labels.
    pub fn new(id: impl Into<String>) -> Self {
        Self(vec![(RESOURCE_ID.to_owned(), id.into())])
    }

    /// Adds a label.
    pub fn with(mut self, label: &str, value: impl Into<String>) -> Self {
        self.0.push((label.to_owned(), without_nul(value.into())));
        self
    }

    /// Adds the role that makes this a related resource.
    pub fn in_role(self, role: &str) -> Self {
        self.with(RESOURCE_ROLE, role)
    }

    /// Returns a label's value.
    pub fn get(&self, label: &str) -> Option<&str> {
        let found = self.0.iter().find(|(name, _)| name == label);
        found.map(|(_, value)| value.as_str())
    }

    /// Returns the id, empty only where [`Event::check`] would complain.
    pub fn id(&self) -> &str {
        self.get(RESOURCE_ID).unwrap_or_default()
    }

    /// Returns the role of a related resource, empty for an event's own one.
    pub fn role(&self) -> &str {
        self.get(RESOURCE_ROLE).unwrap_or_default()
    }

    /// Returns the UUID behind a prefix such as `prefect.flow-run.`.
    pub fn object_id(&self, prefix: &str) -> Option<Uuid> {
        Uuid::try_parse(self.id().strip_prefix(prefix)?).ok()
    }

    /// Returns labels and values in order.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(label, value)| (label.as_str(), value.as_str()))
    }
}

/// PostgreSQL looks into labels, and knows no NUL.
fn without_nul(value: String) -> String {
    match value.contains('\0') {
        true => value.replace('\0', "\u{fffd}"),
        false => value,
    }
}

impl Serialize for Resource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (label, value) in &self.0 {
            map.serialize_entry(label, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Resource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Labels;
        impl<'de> Visitor<'de> for Labels {
            type Value = Resource;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of labels, each with a text")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Resource, A::Error> {
                let mut labels: Vec<(String, String)> = Vec::with_capacity(8);
                while let Some((label, value)) = map.next_entry::<String, String>()? {
                    let value = without_nul(value);
                    // As in any JSON object the last one of a name counts.
                    match labels.iter_mut().find(|(known, _)| *known == label) {
                        Some(known) => known.1 = value,
                        None => labels.push((label, value)),
                    }
                }
                Ok(Resource(labels))
            }
        }
        deserializer.deserialize_map(Labels)
    }
}

impl utoipa::PartialSchema for Resource {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        utoipa::openapi::ObjectBuilder::new().into()
    }
}

impl utoipa::ToSchema for Resource {}

/// Names and ids are keys of indexes, and PostgreSQL has none longer than a third of a page.
const KEY_BYTES: usize = 2000;

/// How large an event may be.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Labels of one resource.
    pub labels: usize,
    /// Related resources.
    pub related: usize,
    /// Characters of the name.
    pub name: usize,
    /// Bytes of the whole, as JSON.
    pub bytes: usize,
}

/// An event as its sender tells it.
#[derive(Debug, Clone, PartialEq, Deserialize, utoipa::ToSchema)]
pub struct Event {
    /// When it happened, by the sender's clock.
    #[schema(value_type = String, format = DateTime)]
    pub occurred: Instant,
    /// What happened, such as `prefect.flow-run.Completed`.
    pub event: String,
    /// What it happened to.
    pub resource: Resource,
    /// What else was involved, each in a role.
    #[serde(default)]
    pub related: Vec<Resource>,
    /// More about it.
    #[serde(default = "Document::empty_object")]
    pub payload: Document,
    /// The sender's id; the same id again is the same event.
    pub id: EventId,
    /// An event that is known to have happened before.
    #[serde(default)]
    pub follows: Option<EventId>,
}

impl Event {
    /// Says what is wrong with the event, if anything: where, and why.
    pub fn check(&self, limits: &Limits) -> Result<(), (&'static str, String)> {
        let Limits {
            labels,
            related,
            name,
            bytes,
        } = *limits;
        if self.event.chars().count() > name {
            return Err((
                "event",
                format!("Event name must be at most {name} characters"),
            ));
        }
        if !self.payload.is_object() {
            return Err(("payload", "the payload is an object".to_owned()));
        }
        if self.related.len() > related {
            let text = format!("The maximum number of related resources is {related}");
            return Err(("related", text));
        }
        if self.event.len() > KEY_BYTES {
            return Err((
                "event",
                format!("Event name must be at most {KEY_BYTES} bytes"),
            ));
        }
        let resources = std::iter::once(&self.resource).chain(&self.related);
        let fields = std::iter::once("resource").chain(std::iter::repeat("related"));
        for (field, resource) in fields.zip(resources) {
            if resource.0.len() > labels {
                let text = format!("The maximum number of labels per resource is {labels}");
                return Err((field, text));
            }
            if resource.id().len() > KEY_BYTES {
                return Err((field, format!("a resource id is at most {KEY_BYTES} bytes")));
            }
            if resource.id().is_empty() {
                return Err((field, format!("a resource needs the label {RESOURCE_ID}")));
            }
            if field == "related" && resource.role().is_empty() {
                return Err((
                    field,
                    format!("a related resource needs the label {RESOURCE_ROLE}"),
                ));
            }
        }
        if self.size() > bytes {
            return Err((
                "payload",
                format!("an event is at most {bytes} bytes; send less"),
            ));
        }
        Ok(())
    }

    /// Returns about how many bytes the event has as JSON.
    fn size(&self) -> usize {
        let labels = |resource: &Resource| -> usize {
            resource
                .0
                .iter()
                .map(|(label, value)| label.len() + value.len() + 6)
                .sum()
        };
        let related: usize = self.related.iter().map(labels).sum();
        self.event.len() + labels(&self.resource) + related + self.payload.get().len()
    }

    /// Notes when the server got the event.
    pub fn receive(self, received: DateTime<Utc>) -> ReceivedEvent {
        ReceivedEvent {
            event: self,
            received,
        }
    }
}

/// An event as the server has it.
#[derive(Debug, Clone, PartialEq, utoipa::ToSchema)]
pub struct ReceivedEvent {
    /// The event.
    pub event: Event,
    /// When the server got it.
    pub received: DateTime<Utc>,
}

impl ReceivedEvent {
    /// Returns the first related resource in a role.
    pub fn in_role(&self, role: &str) -> Option<&Resource> {
        self.event
            .related
            .iter()
            .find(|resource| resource.role() == role)
    }

    /// Returns the resource and then the related ones.
    pub fn involved(&self) -> impl Iterator<Item = &Resource> {
        std::iter::once(&self.event.resource).chain(&self.event.related)
    }
}

impl Render for ReceivedEvent {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        let Event {
            occurred,
            event,
            resource,
            related,
            payload,
            id,
            follows,
        } = &self.event;
        let mut fields = Fields::begin(dialect, serializer)?;
        fields.time("occurred", occurred.0)?;
        fields.all("event", event)?;
        fields.all("resource", resource)?;
        fields.all("related", related)?;
        fields.all("payload", payload)?;
        fields.all("id", id)?;
        fields.all("follows", follows)?;
        fields.time("received", self.received)?;
        fields.end()
    }
}

impl Serialize for ReceivedEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.render(Dialect::Three, serializer)
    }
}

impl<'de> Deserialize<'de> for ReceivedEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Received {
            received: Instant,
        }
        let document = Document::deserialize(deserializer)?;
        let event: Event = document.read().map_err(serde::de::Error::custom)?;
        let Received { received } = document.read().map_err(serde::de::Error::custom)?;
        Ok(event.receive(received.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        labels: 2,
        related: 1,
        name: 20,
        bytes: 400,
    };

    fn complaint(change: impl FnOnce(&mut serde_json::Value)) -> Option<&'static str> {
        let mut event = serde_json::json!({
            "occurred": "2026-11-23T06:39:24.641257Z",
            "event": "coffee.brewed",
            "resource": {"prefect.resource.id": "pot.1"},
            "related": [{"prefect.resource.id": "kitchen", "prefect.resource.role": "place"}],
            "payload": {"cups": 3},
            "id": "01a20721-7be1-712d-b7ad-6451d5edfba4",
        });
        change(&mut event);
        let event: Event = serde_json::from_value(event).unwrap();
        event.check(&LIMITS).err().map(|(field, _)| field)
    }

    #[test]
    fn an_event_that_lacks_or_exceeds_something_is_refused_with_the_place() {
        assert_eq!(complaint(|_| {}), None);
        assert_eq!(
            complaint(|e| e["event"] = "x".repeat(21).into()),
            Some("event")
        );
        assert_eq!(
            complaint(|e| e["resource"] = serde_json::json!({"a": "b"})),
            Some("resource")
        );
        let many = serde_json::json!({"prefect.resource.id": "pot.1", "a": "b", "c": "d"});
        assert_eq!(complaint(|e| e["resource"] = many), Some("resource"));
        let lonely = serde_json::json!([{"prefect.resource.id": "kitchen"}]);
        assert_eq!(complaint(|e| e["related"] = lonely), Some("related"));
        let two = serde_json::json!([{"prefect.resource.id": "a"}, {"prefect.resource.id": "b"}]);
        assert_eq!(complaint(|e| e["related"] = two), Some("related"));
        assert_eq!(
            complaint(|e| e["payload"] = serde_json::json!([1])),
            Some("payload")
        );
        let long = serde_json::json!({"text": "x".repeat(400)});
        assert_eq!(complaint(|e| e["payload"] = long), Some("payload"));
    }
}

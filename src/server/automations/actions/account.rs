//! The account of an action: what is told of it afterwards, as events.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value as Json, json};

use crate::schemas::automations::{Trigger, TriggeredAction};
use crate::schemas::events::{Event, RESOURCE_NAME, Resource};
use crate::schemas::time::Instant;
use crate::schemas::{Document, EventId};
use crate::server::automations::{event_resource, posture, resource};

/// What was seen while an action was done.
pub(super) struct Account {
    /// The word for the type of the action.
    kind: String,
    details: Map<String, Json>,
    related: Vec<Resource>,
}

impl Account {
    /// Begins the account of an action of a type.
    pub(super) fn of(kind: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            details: Map::new(),
            related: Vec::new(),
        }
    }

    /// Begins an account of the same action that is not told, such as of what is read for it.
    pub(super) fn aside(&self) -> Self {
        Self::of(&self.kind)
    }

    /// Returns the word for the type of the action.
    pub(super) fn kind(&self) -> &str {
        &self.kind
    }

    /// Notes a detail; a later one of the same name goes over it.
    pub(super) fn note(&mut self, detail: &str, value: impl Into<Json>) {
        self.details.insert(detail.to_owned(), value.into());
    }

    /// Notes that an object, such as a `flow-run`, has a role in the action.
    pub(super) fn relate(&mut self, kind: &str, id: impl std::fmt::Display, role: &str) {
        let resource = Resource::new(format!("prefect.{kind}.{id}"));
        self.related.push(resource.in_role(role));
    }

    /// The same of an object whose name is known.
    pub(super) fn relate_named(&mut self, kind: &str, id: &str, role: &str, name: String) {
        let resource = Resource::new(format!("prefect.{kind}.{id}"));
        self.related
            .push(resource.in_role(role).with(RESOURCE_NAME, name));
    }

    /// Returns the events that tell of an action: that it was begun, and how it ended.
    pub(super) fn events(
        self,
        action: &TriggeredAction,
        failure: Option<String>,
        now: DateTime<Utc>,
    ) -> Vec<Event> {
        let automation = &action.automation;
        let trigger = &automation.body.trigger;
        let mut resource = resource(automation).with("prefect.trigger-type", trigger.kind());
        if let Trigger::Event(trigger) = trigger {
            resource = resource.with("prefect.posture", posture(trigger.posture));
        }
        let mut related = self.related;
        related.push(event_resource(action.told_by, "automation-triggered-event"));
        if let Some(event) = &action.triggering_event {
            related.push(event_resource(event.event.id, "triggering-event"));
        }
        let mut payload = json!({
            "action_index": action.action_index,
            "action_type": action.action.kind(),
            "invocation": action.id,
        });
        let begun = Event {
            occurred: Instant(action.firing.triggered),
            event: "prefect.automation.action.triggered".to_owned(),
            resource: resource.clone(),
            related: related.clone(),
            payload: Document::of(&payload).expect("a value is JSON"),
            id: EventId::new(),
            follows: None,
        };
        for (name, value) in self.details {
            payload[name] = value;
        }
        let word = match failure {
            Some(reason) => {
                payload["reason"] = reason.into();
                "failed"
            }
            None => "executed",
        };
        let ended = Event {
            occurred: Instant(now),
            event: format!("prefect.automation.action.{word}"),
            resource,
            related,
            payload: Document::of(&payload).expect("a value is JSON"),
            id: EventId::new(),
            follows: Some(begun.id),
        };
        vec![begun, ended]
    }
}

//! Automations and events.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Automation, Client, Document, Event, Result};

#[derive(serde::Deserialize)]
struct EventPage {
    events: Vec<Document<Event>>,
    #[serde(default)]
    next_page: Option<String>,
}

impl Client {
    /// Returns the automations, of a name where one is given.
    pub async fn read_automations(&self, name: Option<&str>) -> Result<Vec<Document<Automation>>> {
        let filter = match name {
            Some(name) => json!({"automations": {"name": {"any_": [name]}}}),
            None => json!({}),
        };
        self.pages("/automations/filter", filter, 0, None).await
    }

    /// Returns an automation.
    pub async fn read_automation(&self, id: Uuid) -> Result<Document<Automation>> {
        self.get(&format!("/automations/{id}")).await
    }

    /// Creates an automation.
    pub async fn create_automation(&self, automation: &Value) -> Result<Document<Automation>> {
        self.post("/automations/", automation).await
    }

    /// Puts another automation in the place of one.
    pub async fn replace_automation(&self, id: Uuid, automation: &Value) -> Result<()> {
        self.put(&format!("/automations/{id}"), automation).await
    }

    /// Switches an automation on or off.
    pub async fn set_automation_enabled(&self, id: Uuid, enabled: bool) -> Result<()> {
        self.patch(&format!("/automations/{id}"), &json!({"enabled": enabled}))
            .await
    }

    /// Deletes an automation.
    pub async fn delete_automation(&self, id: Uuid) -> Result<()> {
        self.delete(&format!("/automations/{id}")).await
    }

    /// Returns the newest events that a filter finds, at most 50.
    pub async fn read_events(&self, filter: &Value, limit: u32) -> Result<Vec<Document<Event>>> {
        let asked = json!({"filter": filter, "limit": limit});
        let page: EventPage = self.post("/events/filter", &asked).await?;
        Ok(page.events)
    }

    /// Returns all events that a filter finds, page by page.
    pub async fn read_all_events(&self, filter: &Value) -> Result<Vec<Document<Event>>> {
        let asked = json!({"filter": filter, "limit": 50});
        let mut page: EventPage = self.post("/events/filter", &asked).await?;
        let mut events = page.events;
        // The address of the next page is told in full; the way to this server is known.
        while let Some((_, token)) = page
            .next_page
            .as_deref()
            .and_then(|url| url.split_once('?'))
        {
            page = self.get(&format!("/events/filter/next?{token}")).await?;
            events.append(&mut page.events);
        }
        Ok(events)
    }

    /// Tells of events.
    pub async fn create_events(&self, events: &Value) -> Result<()> {
        self.post_only("/events", events).await
    }
}

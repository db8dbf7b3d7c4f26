//! Automations and events.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Automation, Client, Document, Event, Result};

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
        #[derive(serde::Deserialize)]
        struct Page {
            events: Vec<Document<Event>>,
        }
        let asked = json!({"filter": filter, "limit": limit});
        let page: Page = self.post("/events/filter", &asked).await?;
        Ok(page.events)
    }

    /// Tells of events.
    pub async fn create_events(&self, events: &Value) -> Result<()> {
        self.post_only("/events", events).await
    }
}

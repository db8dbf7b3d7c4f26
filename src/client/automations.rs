//! Automations and events.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Client, Document, Result};

/// An automation.
///
/// ```no_run
/// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
/// let automation: prefect_rs::client::Automation = client.read_automation(id).await?.into_view();
/// println!("{}", automation.actions.len());
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Deserialize)]
pub struct Automation {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Whether it is in force.
    pub enabled: bool,
    /// What it does.
    #[serde(default)]
    pub actions: Vec<Value>,
}

/// An event.
///
/// ```no_run
/// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
/// let all = serde_json::json!({});
/// let events: Vec<prefect_rs::client::Event> = client.read_events(&all, 5).await?.into_iter().map(|event| event.into_view()).collect();
/// # drop(events);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Deserialize)]
pub struct Event {
    /// Its id.
    pub id: Uuid,
    /// When it happened.
    pub occurred: DateTime<Utc>,
    /// What happened.
    pub event: String,
    /// What it happened to: its labels.
    pub resource: Value,
}

#[derive(serde::Deserialize)]
struct EventPage {
    events: Vec<Document<Event>>,
    #[serde(default)]
    next_page: Option<String>,
}

impl Client {
    /// Returns the automations, of a name where one is given.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
    /// for automation in client.read_automations(Some("nightly")).await? {
    ///     println!("{}", automation.enabled);
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn read_automations(&self, name: Option<&str>) -> Result<Vec<Document<Automation>>> {
        let filter = match name {
            Some(name) => json!({"automations": {"name": {"any_": [name]}}}),
            None => json!({}),
        };
        self.pages("/automations/filter", filter, 0, None).await
    }

    /// Returns an automation.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// println!("{}", client.read_automation(id).await?.name);
    /// # Ok(()) }
    /// ```
    pub async fn read_automation(&self, id: Uuid) -> Result<Document<Automation>> {
        self.get(&format!("/automations/{id}")).await
    }

    /// Creates an automation.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// let automation = serde_json::json!({
    ///     "name": "tell of failures",
    ///     "trigger": {"type": "event", "posture": "Reactive", "expect": ["prefect.flow-run.Failed"], "threshold": 1, "within": 0},
    ///     "actions": [{"type": "do-nothing"}],
    /// });
    /// println!("{}", client.create_automation(&automation).await?.id);
    /// # Ok(()) }
    /// ```
    pub async fn create_automation(&self, automation: &Value) -> Result<Document<Automation>> {
        self.post("/automations/", automation).await
    }

    /// Puts another automation in the place of one.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// let mut automation = client.read_automation(id).await?.raw.clone();
    /// automation["name"] = "another name".into();
    /// client.replace_automation(id, &automation).await?;
    /// # Ok(()) }
    /// ```
    pub async fn replace_automation(&self, id: Uuid, automation: &Value) -> Result<()> {
        self.put(&format!("/automations/{id}"), automation).await
    }

    /// Switches an automation on or off.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// client.set_automation_enabled(id, false).await?;
    /// # Ok(()) }
    /// ```
    pub async fn set_automation_enabled(&self, id: Uuid, enabled: bool) -> Result<()> {
        self.patch(&format!("/automations/{id}"), &json!({"enabled": enabled}))
            .await
    }

    /// Deletes an automation.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// client.delete_automation(id).await?;
    /// # Ok(()) }
    /// ```
    pub async fn delete_automation(&self, id: Uuid) -> Result<()> {
        self.delete(&format!("/automations/{id}")).await
    }

    /// Returns the newest events that a filter finds, at most 50.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
    /// let filter = serde_json::json!({"event": {"prefix": ["prefect.flow-run."]}});
    /// for event in client.read_events(&filter, 20).await? {
    ///     println!("{} {}", event.occurred, event.event);
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn read_events(&self, filter: &Value, limit: u32) -> Result<Vec<Document<Event>>> {
        let asked = json!({"filter": filter, "limit": limit});
        let page: EventPage = self.post("/events/filter", &asked).await?;
        Ok(page.events)
    }

    /// Returns all events that a filter finds, page by page.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
    /// let filter = serde_json::json!({"event": {"name": ["pump.broken"]}});
    /// println!("{}", client.read_all_events(&filter).await?.len());
    /// # Ok(()) }
    /// ```
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
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// let event = serde_json::json!({
    ///     "id": uuid::Uuid::now_v7(), "occurred": "2026-11-29T12:00:00Z",
    ///     "event": "pump.broken", "resource": {"prefect.resource.id": "pump.7"},
    /// });
    /// client.create_events(&serde_json::json!([event])).await?;
    /// # Ok(()) }
    /// ```
    pub async fn create_events(&self, events: &Value) -> Result<()> {
        self.post_only("/events", events).await
    }
}

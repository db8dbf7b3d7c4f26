//! Automations at work: which events set off which actions.
//!
//! Events are looked at in the write that keeps them, so that each counts exactly once, whatever
//! crashes and however many servers there are. What is to be done is noted in the same write and
//! done afterwards by a service.

pub mod actions;
pub mod evaluate;
mod notify;
pub mod templates;

use std::sync::{Arc, RwLock};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use uuid::Uuid;

use self::evaluate::{LOOK_BACK, is_complete, on_event, on_time};
use super::models::{self, triggers};
use crate::db::{self, Conn, Db};
use crate::schemas::automations::{
    Automation, EventTrigger, Firing, Posture, Trigger, TriggeredAction,
};
use crate::schemas::events::{Event, RESOURCE_NAME, ReceivedEvent, Resource};
use crate::schemas::time::Instant;
use crate::schemas::{Document, EventId};

/// Automations that set each other off do so at most this often in one write.
const MAX_DEPTH: usize = 10;

/// The automations in force, kept in memory: nearly every event concerns none of them.
#[derive(Debug, Clone, Default)]
pub struct InForce(Arc<RwLock<Arc<Vec<Automation>>>>);

impl InForce {
    /// Returns the automations as they are now.
    pub fn get(&self) -> Arc<Vec<Automation>> {
        Arc::clone(&self.0.read().expect("no holder of this lock panics"))
    }

    /// Reads them anew; call it after a change.
    pub async fn reload(&self, db: &Db) -> db::Result<()> {
        let enabled = db
            .read(async |conn: &mut Conn| models::automations::list_enabled(conn).await)
            .await?;
        *self.0.write().expect("no holder of this lock panics") = Arc::new(enabled);
        Ok(())
    }
}

/// What came of looking at events.
#[derive(Debug, Default)]
pub struct Consequences {
    /// Events of ours that tell of automations being set off.
    pub told: Vec<ReceivedEvent>,
    /// Whether there are actions to do.
    pub has_actions: bool,
}

/// One look at some events, within the write that keeps them.
pub struct Look<'a> {
    automations: &'a [Automation],
    now: DateTime<Utc>,
    consequences: Consequences,
}

impl<'a> Look<'a> {
    /// Begins a look.
    pub fn new(automations: &'a [Automation], now: DateTime<Utc>) -> Self {
        Self {
            automations,
            now,
            consequences: Consequences::default(),
        }
    }

    /// Looks at new events, and at those that waited for them.
    pub async fn at_events(
        mut self,
        conn: &mut Conn,
        events: Vec<&ReceivedEvent>,
    ) -> db::Result<Consequences> {
        if self.automations.is_empty() {
            return Ok(self.consequences);
        }
        let mut next: Vec<ReceivedEvent> = Vec::new();
        for event in &events {
            self.at_event(conn, event, true).await?;
        }
        let mut leaders: Vec<Uuid> = events.iter().map(|event| event.event.id.0).collect();
        for _ in 0..MAX_DEPTH {
            next.extend(triggers::unpark(conn, std::mem::take(&mut leaders)).await?);
            let before = self.consequences.told.len();
            for event in &next {
                self.at_event(conn, event, false).await?;
            }
            leaders = next.drain(..).map(|event| event.event.id.0).collect();
            next.extend(self.consequences.told[before..].iter().cloned());
            if leaders.is_empty() && next.is_empty() {
                break;
            }
        }
        Ok(self.consequences)
    }

    /// Looks at events that have waited too long for others.
    pub async fn at_lost(
        mut self,
        conn: &mut Conn,
        before: DateTime<Utc>,
    ) -> db::Result<Consequences> {
        for event in triggers::unpark_before(conn, before).await? {
            self.at_event(conn, &event, false).await?;
        }
        Ok(self.consequences)
    }

    async fn at_event(
        &mut self,
        conn: &mut Conn,
        event: &ReceivedEvent,
        may_wait: bool,
    ) -> db::Result<()> {
        let mut has_waited = !may_wait;
        for automation in self.automations {
            // What came before it was as it is now does not set it off.
            if event.received < automation.updated.0 {
                continue;
            }
            for trigger in automation.body.trigger.event_triggers() {
                if !trigger.covers(event) {
                    continue;
                }
                if !has_waited && self.waits(conn, event).await? {
                    return Ok(());
                }
                has_waited = true;
                let key = trigger.key(event);
                let known = triggers::read_bucket(conn, trigger, &key).await?;
                let is_known = known.is_some();
                let evaluated = on_event(trigger, known, event);
                if is_known || evaluated.bucket.is_some() {
                    triggers::write_bucket(
                        conn,
                        automation.id,
                        trigger,
                        &key,
                        evaluated.bucket.as_ref(),
                    )
                    .await?;
                }
                if let Some(event) = evaluated.fired {
                    self.fire(conn, automation, trigger, &key, event).await?;
                }
            }
        }
        Ok(())
    }

    /// An event that follows another is looked at after it, if that comes in time.
    async fn waits(&self, conn: &mut Conn, event: &ReceivedEvent) -> db::Result<bool> {
        let Some(leader) = event.event.follows else {
            return Ok(false);
        };
        if self.now - event.event.occurred.0 > LOOK_BACK
            || triggers::is_known(conn, leader.0).await?
        {
            return Ok(false);
        }
        triggers::park(conn, leader.0, event).await?;
        Ok(true)
    }

    /// Looks at the spans of proactive triggers that have ended.
    pub async fn at_time(mut self, conn: &mut Conn) -> db::Result<Consequences> {
        for automation in self.automations {
            for trigger in automation.body.trigger.event_triggers() {
                if trigger.posture != Posture::Proactive {
                    continue;
                }
                self.begin(conn, automation, trigger).await?;
                for (key, bucket) in triggers::list_ended(conn, trigger, self.now).await? {
                    let evaluated = on_time(trigger, bucket, self.now);
                    triggers::write_bucket(
                        conn,
                        automation.id,
                        trigger,
                        &key,
                        evaluated.bucket.as_ref(),
                    )
                    .await?;
                    if let Some(event) = evaluated.fired {
                        self.fire(conn, automation, trigger, &key, event).await?;
                    }
                }
            }
        }
        Ok(self.consequences)
    }

    /// What is expected from the beginning, of nothing in particular, is waited for at once.
    async fn begin(
        &self,
        conn: &mut Conn,
        automation: &Automation,
        trigger: &EventTrigger,
    ) -> db::Result<()> {
        if !trigger.after.is_empty() || !trigger.for_each.is_empty() {
            return Ok(());
        }
        if triggers::read_bucket(conn, trigger, &[]).await?.is_none() {
            let bucket = evaluate::Bucket {
                start: self.now,
                end: self.now + trigger.span(),
                count: 0,
                last_event: None,
            };
            triggers::write_bucket(conn, automation.id, trigger, &[], Some(&bucket)).await?;
        }
        Ok(())
    }

    async fn fire(
        &mut self,
        conn: &mut Conn,
        automation: &Automation,
        trigger: &EventTrigger,
        key: &[String],
        event: Option<ReceivedEvent>,
    ) -> db::Result<()> {
        let labels = trigger
            .for_each
            .iter()
            .cloned()
            .zip(key.iter().map(|value| json!(value)));
        let mut firing = Firing {
            id: Uuid::now_v7(),
            trigger_id: trigger.id,
            triggered: self.now,
            triggering_labels: labels.collect(),
            triggering_event: event,
            triggering_firings: Vec::new(),
        };
        let root = &automation.body.trigger;
        while let Some(parent) = root.parent_of(firing.trigger_id) {
            let span = parent
                .within()
                .and_then(|span| TimeDelta::from_std(span).ok());
            let since = span.map(|span| self.now - span);
            let firings =
                triggers::note_firing(conn, automation.id, parent.id(), &firing, since).await?;
            let fired: Vec<Uuid> = firings.iter().map(|firing| firing.trigger_id).collect();
            if !is_complete(parent, &fired) {
                return Ok(());
            }
            triggers::clear_firings(conn, parent.id()).await?;
            firing = Firing {
                id: Uuid::now_v7(),
                trigger_id: parent.id(),
                triggering_labels: serde_json::Map::new(),
                triggering_firings: firings,
                ..firing
            };
        }
        self.act(conn, automation, firing).await
    }

    /// Tells that an automation is set off, and notes what is to be done.
    async fn act(
        &mut self,
        conn: &mut Conn,
        automation: &Automation,
        firing: Firing,
    ) -> db::Result<()> {
        let told = triggered_event(automation, &firing).receive(self.now);
        let rows = models::events::Rows::of(std::slice::from_ref(&told), self.now);
        models::events::create(conn, rows).await?;
        let body = &automation.body;
        let all = body
            .actions
            .iter()
            .map(|action| (action, firing.triggering_event.clone()));
        let on_trigger = body
            .actions_on_trigger
            .iter()
            .map(|action| (action, Some(told.clone())));
        for (action_index, (action, triggering_event)) in all.chain(on_trigger).enumerate() {
            let action = TriggeredAction {
                id: Uuid::now_v7(),
                automation: automation.clone(),
                firing: firing.clone(),
                triggering_event,
                told_by: told.event.id.0,
                action: action.clone(),
                action_index,
            };
            triggers::add_action(conn, &action, self.now).await?;
            self.consequences.has_actions = true;
        }
        self.consequences.told.push(told);
        Ok(())
    }
}

/// The resource that events of an automation are about.
fn resource(automation: &Automation) -> Resource {
    Resource::new(format!("prefect.automation.{}", automation.id))
        .with(RESOURCE_NAME, &automation.body.name)
}

/// The related resource that is an event.
fn event_resource(id: impl std::fmt::Display, role: &str) -> Resource {
    Resource::new(format!("prefect.event.{id}")).in_role(role)
}

fn triggered_event(automation: &Automation, firing: &Firing) -> Event {
    let mut resource = resource(automation);
    if let Trigger::Event(trigger) = &automation.body.trigger {
        resource = resource.with("prefect.posture", posture(trigger.posture));
    }
    let event = firing.triggering_event.as_ref();
    let payload = json!({"triggering_labels": firing.triggering_labels, "triggering_event": event});
    Event {
        occurred: Instant(firing.triggered),
        event: "prefect.automation.triggered".to_owned(),
        resource,
        related: event
            .map(|event| event_resource(event.event.id, "triggering-event"))
            .into_iter()
            .collect(),
        payload: Document::of(&payload).expect("a value is JSON"),
        id: EventId::new(),
        follows: None,
    }
}

fn posture(posture: Posture) -> &'static str {
    match posture {
        Posture::Reactive => "Reactive",
        Posture::Proactive => "Proactive",
    }
}

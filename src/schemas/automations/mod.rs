//! Automations: which events set off which actions.

mod actions;
mod seconds;
mod triggers;

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value as Json;
use utoipa::ToSchema;
use uuid::Uuid;

pub use actions::{Action, Source, Target};
pub use triggers::{CompoundTrigger, EventTrigger, Posture, Require, SequenceTrigger, Trigger};

use super::dialect::{Dialect, Fields, Render};
use super::event_filters::Labels;
use super::events::ReceivedEvent;
use super::{AutomationId, Tags, place};

/// An automation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Automation {
    /// The automation's id.
    pub id: AutomationId,
    /// When it was created.
    #[schema(value_type = String, format = DateTime)]
    pub created: super::time::Instant,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated: super::time::Instant,
    /// What it is and does.
    #[serde(flatten)]
    pub body: AutomationBody,
}

impl Render for Automation {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        let body = &self.body;
        let mut fields = Fields::begin(dialect, serializer)?;
        fields.all("name", &body.name)?;
        fields.all("description", &body.description)?;
        fields.all("enabled", &body.enabled)?;
        fields.newest("tags", &body.tags)?;
        fields.all("trigger", &body.trigger)?;
        fields.all("actions", &body.actions)?;
        fields.all("actions_on_trigger", &body.actions_on_trigger)?;
        fields.all("actions_on_resolve", &body.actions_on_resolve)?;
        fields.all("id", &self.id)?;
        fields.time("created", self.created.0)?;
        fields.time("updated", self.updated.0)?;
        fields.end()
    }
}

/// What an automation is and does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AutomationBody {
    /// A name for people.
    pub name: String,
    /// More about it.
    #[serde(default)]
    pub description: String,
    /// Whether it is in force.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Tags.
    #[serde(default)]
    pub tags: Tags,
    /// What sets it off.
    pub trigger: Trigger,
    /// What it does then.
    pub actions: Vec<Action>,
    /// What it does when its trigger comes into force.
    #[serde(default)]
    pub actions_on_trigger: Vec<Action>,
    /// What it does when what triggered it is over.
    #[serde(default)]
    pub actions_on_resolve: Vec<Action>,
}

/// Creates an automation.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AutomationCreate {
    /// What it is and does.
    #[serde(flatten)]
    pub body: AutomationBody,
    /// The resource that it goes away with, such as a deployment.
    pub owner_resource: Option<String>,
}

impl<'de> Deserialize<'de> for AutomationCreate {
    /// Not derived, since what is flattened has no place when it is wrong.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Owner {
            #[serde(default)]
            owner_resource: Option<String>,
        }
        let mut value = Json::deserialize(deserializer)?;
        let Owner { owner_resource } = place::read(&value)?;
        if let Some(members) = value.as_object_mut() {
            members.shift_remove("owner_resource");
        }
        Ok(Self {
            body: place::read(&value)?,
            owner_resource,
        })
    }
}

/// Changes what an automation is and does; what need not be given stays as it was.
#[derive(Debug, Clone, ToSchema)]
pub struct AutomationUpdate {
    /// What it shall be and do.
    #[schema(inline)]
    pub body: AutomationBody,
    given: Given,
}

/// Which of the members were given that need not be.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
struct Given {
    #[serde(default, deserialize_with = "is_given")]
    description: bool,
    #[serde(default, deserialize_with = "is_given")]
    enabled: bool,
    #[serde(default, deserialize_with = "is_given")]
    tags: bool,
    #[serde(default, deserialize_with = "is_given")]
    actions_on_trigger: bool,
    #[serde(default, deserialize_with = "is_given")]
    actions_on_resolve: bool,
}

fn is_given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    serde::de::IgnoredAny::deserialize(deserializer).map(|_| true)
}

impl<'de> Deserialize<'de> for AutomationUpdate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Json::deserialize(deserializer)?;
        Ok(Self {
            body: place::read(&value)?,
            given: place::read(&value)?,
        })
    }
}

impl AutomationUpdate {
    /// Returns what the automation will be and do.
    pub fn over(self, known: AutomationBody) -> AutomationBody {
        let Self { mut body, given } = self;
        macro_rules! stay {
            ($($member:ident)*) => {$(
                if !given.$member {
                    body.$member = known.$member;
                }
            )*};
        }
        stay!(description enabled tags actions_on_trigger actions_on_resolve);
        body
    }
}

/// Switches an automation on or off.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AutomationPatch {
    /// Whether it is in force.
    #[serde(default = "yes")]
    pub enabled: bool,
}

fn yes() -> bool {
    true
}

/// What is wrong with a part of an automation that can be read.
#[derive(Debug, Clone, PartialEq)]
pub struct Flaw {
    /// The steps that lead to the part.
    pub place: Vec<Json>,
    /// What is wrong with it.
    pub text: String,
}

impl Flaw {
    /// Names a part and what is wrong with it.
    pub fn new(place: &[Json], text: impl Into<String>) -> Self {
        Self {
            place: place.to_vec(),
            text: text.into(),
        }
    }
}

impl AutomationBody {
    /// Returns all actions.
    pub fn all_actions(&self) -> impl Iterator<Item = &Action> {
        self.actions
            .iter()
            .chain(&self.actions_on_trigger)
            .chain(&self.actions_on_resolve)
    }

    /// Returns all actions with their places.
    pub fn placed_actions(&self) -> impl Iterator<Item = ([Json; 2], &Action)> {
        let lists = [
            ("actions", &self.actions),
            ("actions_on_trigger", &self.actions_on_trigger),
            ("actions_on_resolve", &self.actions_on_resolve),
        ];
        lists.into_iter().flat_map(|(list, actions)| {
            let placed = move |(index, action)| ([Json::from(list), Json::from(index)], action);
            actions.iter().enumerate().map(placed)
        })
    }

    /// Says all that is wrong with it.
    pub fn flaws(&self) -> Vec<Flaw> {
        let mut flaws = Vec::new();
        if self.name.trim().is_empty() {
            flaws.push(Flaw::new(&["name".into()], "an automation needs a name"));
        }
        self.trigger.flaws(1, &["trigger".into()], &mut flaws);
        let actions = self.placed_actions();
        flaws.extend(actions.filter_map(|(place, action)| action.flaw(&place)));
        flaws.extend(self.loops());
        flaws
    }

    /// A run of a deployment must not set off the next run of a deployment, for ever.
    fn loops(&self) -> Option<Flaw> {
        const ALWAYS: [&str; 4] = [
            "prefect.flow-run.Scheduled",
            "prefect.flow-run.Pending",
            "prefect.flow-run.Running",
            "prefect.flow-run.*",
        ];
        let Trigger::Event(trigger) = &self.trigger else {
            return None;
        };
        let is_always = ALWAYS.iter().any(|name| trigger.expect.contains(*name));
        if !self.enabled || trigger.posture != Posture::Reactive || !is_always {
            return None;
        }
        for (index, action) in self.actions.iter().enumerate() {
            let Action::RunDeployment { source, .. } = action else {
                continue;
            };
            let is_every = |labels: &Labels| {
                labels.0.is_empty()
                    || matches!(&labels.0[..], [(label, values)] if label == super::events::RESOURCE_ID
                        && values.iter().any(|value| value == "prefect.flow-run.*"))
            };
            let is_unfiltered = is_every(&trigger.matches)
                && (trigger.match_related.is_empty() || trigger.match_related.iter().any(is_every));
            if *source == Source::Inferred || is_unfiltered {
                let text = "running a deployment whenever a flow run changes its state would go on for ever; name the \
                     deployment, and narrow down the flow runs by `match` or `match_related`";
                return Some(Flaw::new(&["actions".into(), index.into()], text));
            }
        }
        None
    }

    /// Returns the ids of the resources that it has to do with.
    pub fn resources(&self) -> BTreeSet<String> {
        let targets = self.all_actions().filter_map(Action::target);
        let mut resources: BTreeSet<String> = targets
            .filter_map(|target| Some(format!("prefect.{}.{}", target.kind, target.id?)))
            .collect();
        for trigger in self.trigger.event_triggers() {
            for labels in std::iter::once(&trigger.matches).chain(&trigger.match_related) {
                let ids = labels.get(super::events::RESOURCE_ID).unwrap_or_default();
                resources.extend(ids.iter().filter(|id| !id.contains(['*', '!'])).cloned());
            }
        }
        resources
    }
}

/// One firing of a trigger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Firing {
    /// The firing's id.
    pub id: Uuid,
    /// The trigger that fired.
    pub trigger_id: Uuid,
    /// When it fired.
    pub triggered: DateTime<Utc>,
    /// The values of the labels by which events are counted apart.
    pub triggering_labels: serde_json::Map<String, Json>,
    /// The latest event.
    pub triggering_event: Option<ReceivedEvent>,
    /// The firings that made a composite trigger fire.
    pub triggering_firings: Vec<Firing>,
}

impl Firing {
    /// Returns this and all firings behind it.
    pub fn all(&self) -> Vec<&Firing> {
        let mut all = vec![self];
        all.extend(self.triggering_firings.iter().flat_map(Self::all));
        all
    }
}

/// An action that is to be done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TriggeredAction {
    /// Names this one doing, so that it is done once.
    pub id: Uuid,
    /// The automation as it was.
    pub automation: Automation,
    /// What set it off.
    pub firing: Firing,
    /// The event that the action is about.
    pub triggering_event: Option<ReceivedEvent>,
    /// The event that tells of the automation's being set off.
    pub told_by: Uuid,
    /// The action.
    pub action: Action,
    /// Its place among the automation's actions.
    pub action_index: usize,
}

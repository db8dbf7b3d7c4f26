//! Automations: which events set off which actions.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value as Json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::dialect::{Dialect, Fields, Render};
use super::event_filters::{Labels, is_match};
use super::events::{Event, ReceivedEvent};
use super::{AutomationId, Document, StateType, Tags, place};

/// The least time in which a proactive trigger can notice that something did not happen.
const LEAST_PROACTIVE: Duration = Duration::from_secs(10);

/// Triggers inside triggers go no deeper than this.
const MAX_DEPTH: usize = 8;

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

/// What sets an automation off.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Trigger {
    /// Events that happen, or do not.
    Event(EventTrigger),
    /// Some of several triggers.
    Compound(CompoundTrigger),
    /// Several triggers, one after the other.
    Sequence(SequenceTrigger),
}

/// Whether events are meant to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum Posture {
    /// Fires when they happen.
    Reactive,
    /// Fires when they do not.
    Proactive,
}

/// Fires on the presence or absence of events in a span of time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventTrigger {
    /// The trigger's id; the server makes it.
    #[serde(default = "Uuid::now_v7")]
    pub id: Uuid,
    /// Labels of the event's resource.
    #[serde(default, rename = "match")]
    pub matches: Labels,
    /// Labels of related resources; each set may be met by another one.
    #[serde(
        default,
        deserialize_with = "one_or_many",
        serialize_with = "one_if_one"
    )]
    #[schema(value_type = Object)]
    pub match_related: Vec<Labels>,
    /// Events that begin the span; by default it begins at once.
    #[serde(default)]
    pub after: BTreeSet<String>,
    /// Events that count; by default any.
    #[serde(default)]
    pub expect: BTreeSet<String>,
    /// Labels whose values are counted apart.
    #[serde(default)]
    pub for_each: BTreeSet<String>,
    /// Whether events are meant to happen.
    pub posture: Posture,
    /// How many events it takes.
    #[serde(default = "one")]
    pub threshold: i64,
    /// The span of time.
    #[serde(default, with = "seconds")]
    #[schema(value_type = f64)]
    pub within: Duration,
}

fn one() -> i64 {
    1
}

/// Fires when some of its triggers have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CompoundTrigger {
    /// The trigger's id; the server makes it.
    #[serde(default = "Uuid::now_v7")]
    pub id: Uuid,
    /// The triggers.
    #[schema(no_recursion)]
    pub triggers: Vec<Trigger>,
    /// The span of time in which they must fire; none is for ever.
    #[serde(default, with = "seconds_or_none")]
    #[schema(value_type = Option<f64>)]
    pub within: Option<Duration>,
    /// How many of them must fire.
    pub require: Require,
}

/// Fires when its triggers have, in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SequenceTrigger {
    /// The trigger's id; the server makes it.
    #[serde(default = "Uuid::now_v7")]
    pub id: Uuid,
    /// The triggers.
    #[schema(no_recursion)]
    pub triggers: Vec<Trigger>,
    /// The span of time in which they must fire; none is for ever.
    #[serde(default, with = "seconds_or_none")]
    #[schema(value_type = Option<f64>)]
    pub within: Option<Duration>,
}

/// How many triggers of a compound one must fire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
pub enum Require {
    /// One.
    Any,
    /// All of them.
    All,
    /// So many.
    Number(usize),
}

impl Serialize for Require {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Any => serializer.serialize_str("any"),
            Self::All => serializer.serialize_str("all"),
            Self::Number(n) => serializer.serialize_u64(*n as u64),
        }
    }
}

impl<'de> Deserialize<'de> for Require {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Json::deserialize(deserializer)?;
        match (value.as_str(), value.as_u64()) {
            (Some("any"), _) => Ok(Self::Any),
            (Some("all"), _) => Ok(Self::All),
            (_, Some(n)) if n >= 1 => Ok(Self::Number(usize::try_from(n).unwrap_or(usize::MAX))),
            _ => Err(D::Error::custom(
                "require is \"any\", \"all\" or a number of at least 1",
            )),
        }
    }
}

impl<'de> Deserialize<'de> for Trigger {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut value = Json::deserialize(deserializer)?;
        let kind = value
            .as_object_mut()
            .and_then(|members| members.remove("type"));
        let kind = kind
            .as_ref()
            .map_or("event", |kind| kind.as_str().unwrap_or_default());
        let unfit = |message: String| Err(place::misplaced(&["type".into()], message));
        match kind {
            "event" => place::read(&value).map(|mut trigger: EventTrigger| {
                let is_said = value.get("within").is_some_and(|within| !within.is_null());
                if trigger.posture == Posture::Proactive && !is_said {
                    trigger.within = LEAST_PROACTIVE;
                }
                Self::Event(trigger)
            }),
            "compound" => place::read(&value).map(Self::Compound),
            "sequence" => place::read(&value).map(Self::Sequence),
            "metric" => unfit(
                "metric triggers need the metrics of Prefect Cloud; use an event trigger with a threshold".to_owned(),
            ),
            kind => unfit(format!(
                "`{kind}` is not a trigger; use event, compound or sequence"
            )),
        }
    }
}

impl Trigger {
    /// Returns the trigger's id.
    pub fn id(&self) -> Uuid {
        match self {
            Self::Event(trigger) => trigger.id,
            Self::Compound(trigger) => trigger.id,
            Self::Sequence(trigger) => trigger.id,
        }
    }

    /// Returns the word for its type.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Event(_) => "event",
            Self::Compound(_) => "compound",
            Self::Sequence(_) => "sequence",
        }
    }

    /// Returns the triggers inside.
    pub fn children(&self) -> &[Trigger] {
        match self {
            Self::Event(_) => &[],
            Self::Compound(trigger) => &trigger.triggers,
            Self::Sequence(trigger) => &trigger.triggers,
        }
    }

    /// Returns the event triggers, at any depth.
    pub fn event_triggers(&self) -> Vec<&EventTrigger> {
        match self {
            Self::Event(trigger) => vec![trigger],
            Self::Compound(_) | Self::Sequence(_) => self
                .children()
                .iter()
                .flat_map(Self::event_triggers)
                .collect(),
        }
    }

    /// Returns the trigger that holds the one of this id, if that is inside.
    pub fn parent_of(&self, id: Uuid) -> Option<&Trigger> {
        if self.children().iter().any(|child| child.id() == id) {
            return Some(self);
        }
        self.children().iter().find_map(|child| child.parent_of(id))
    }

    /// Gives every trigger an id of the server's.
    pub fn renew_ids(&mut self) {
        let children = match self {
            Self::Event(trigger) => {
                trigger.id = Uuid::now_v7();
                return;
            }
            Self::Compound(CompoundTrigger { id, triggers, .. })
            | Self::Sequence(SequenceTrigger { id, triggers, .. }) => {
                *id = Uuid::now_v7();
                triggers
            }
        };
        children.iter_mut().for_each(Self::renew_ids);
    }

    /// Returns the span in which the triggers of a composite one must fire.
    pub fn within(&self) -> Option<Duration> {
        match self {
            Self::Event(trigger) => Some(trigger.within),
            Self::Compound(trigger) => trigger.within,
            Self::Sequence(trigger) => trigger.within,
        }
    }

    /// Adds what is wrong with it and with the triggers inside, which lies at `place`.
    fn flaws(&self, depth: usize, place: &[Json], flaws: &mut Vec<Flaw>) {
        if depth > MAX_DEPTH {
            let text = format!("triggers are at most {MAX_DEPTH} deep");
            return flaws.push(Flaw::new(place, text));
        }
        let at = |step: &str| [place, &[step.into()]].concat();
        match self {
            Self::Event(trigger) => {
                let is_short = !trigger.within.is_zero() && trigger.within < LEAST_PROACTIVE;
                if trigger.posture == Posture::Proactive && is_short {
                    let text = "`within` for Proactive triggers must be at least 10 seconds";
                    flaws.push(Flaw::new(&at("within"), text));
                }
            }
            Self::Compound(CompoundTrigger {
                triggers, require, ..
            }) => {
                if triggers.is_empty() {
                    let text = "a compound trigger needs triggers";
                    flaws.push(Flaw::new(&at("triggers"), text));
                }
                if matches!(require, Require::Number(n) if *n > triggers.len()) {
                    let text = "require must be less than or equal to the number of triggers";
                    flaws.push(Flaw::new(&at("require"), text));
                }
            }
            Self::Sequence(trigger) if trigger.triggers.is_empty() => {
                flaws.push(Flaw::new(&at("triggers"), "a sequence needs triggers"));
            }
            Self::Sequence(_) => {}
        }
        for (index, child) in self.children().iter().enumerate() {
            let place = [&at("triggers")[..], &[index.into()]].concat();
            child.flaws(depth + 1, &place, flaws);
        }
    }
}

impl EventTrigger {
    /// Returns the span, which proactive triggers always have.
    pub fn span(&self) -> chrono::TimeDelta {
        let within = match self.posture {
            Posture::Proactive if self.within.is_zero() => LEAST_PROACTIVE,
            Posture::Proactive | Posture::Reactive => self.within,
        };
        chrono::TimeDelta::from_std(within).unwrap_or(chrono::TimeDelta::days(36_500))
    }

    /// Tells whether every event is looked at by itself.
    pub fn is_immediate(&self) -> bool {
        self.posture == Posture::Reactive && self.within.is_zero()
    }

    /// Tells whether an event begins the span.
    pub fn starts_after(&self, event: &str) -> bool {
        self.after.iter().any(|pattern| is_match(pattern, event))
    }

    /// Tells whether an event counts.
    pub fn expects(&self, event: &str) -> bool {
        self.expect.is_empty() || self.expect.iter().any(|pattern| is_match(pattern, event))
    }

    /// Tells whether an event is of interest.
    pub fn covers(&self, received: &ReceivedEvent) -> bool {
        let Event {
            event,
            resource,
            related,
            ..
        } = &received.event;
        (self.expects(event) || self.starts_after(event))
            && self.matches.matches(resource)
            && self
                .match_related
                .iter()
                .all(|labels| labels.match_any(related.iter()))
    }

    /// Returns the values by which an event is counted apart, in the order of the labels.
    pub fn key(&self, received: &ReceivedEvent) -> Vec<String> {
        let value = |label: &String| {
            let found = match label
                .strip_prefix("related:")
                .and_then(|rest| rest.split_once(':'))
            {
                Some((role, label)) => received
                    .in_role(role)
                    .and_then(|resource| resource.get(label)),
                None => received.event.resource.get(label),
            };
            found.unwrap_or_default().to_owned()
        };
        self.for_each.iter().map(value).collect()
    }

    /// Tells whether so many events set it off.
    pub fn is_met_by(&self, count: i64) -> bool {
        match self.posture {
            Posture::Reactive => count >= self.threshold,
            Posture::Proactive => count < self.threshold,
        }
    }
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

/// Where an action's target comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// It is named.
    #[default]
    Selected,
    /// It is in the event.
    Inferred,
}

/// A target that is named or in the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// The kind, such as `deployment`.
    pub kind: &'static str,
    /// Where it comes from.
    pub source: Source,
    /// The id, where it is named.
    pub id: Option<Uuid>,
}

/// What an automation does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "kebab-case", remote = "Self")]
#[expect(missing_docs, reason = "the field's own words")]
pub enum Action {
    DoNothing {},
    RunDeployment {
        #[serde(default)]
        source: Source,
        #[serde(default)]
        deployment_id: Option<Uuid>,
        #[serde(default)]
        parameters: Option<serde_json::Map<String, Json>>,
        #[serde(default)]
        job_variables: Option<serde_json::Map<String, Json>>,
        #[serde(default, with = "seconds")]
        #[schema(value_type = f64)]
        schedule_after: Duration,
    },
    PauseDeployment {
        #[serde(default)]
        source: Source,
        #[serde(default)]
        deployment_id: Option<Uuid>,
    },
    ResumeDeployment {
        #[serde(default)]
        source: Source,
        #[serde(default)]
        deployment_id: Option<Uuid>,
    },
    CancelFlowRun {},
    ChangeFlowRunState {
        #[serde(default)]
        name: Option<String>,
        state: StateType,
        #[serde(default)]
        message: Option<String>,
        #[serde(default)]
        force: bool,
    },
    DeleteFlowRun {},
    SuspendFlowRun {},
    ResumeFlowRun {},
    CallWebhook {
        block_document_id: Uuid,
        #[serde(default, deserialize_with = "payload")]
        payload: String,
    },
    SendNotification {
        block_document_id: Uuid,
        #[serde(default = "default_subject")]
        subject: String,
        body: String,
    },
    PauseWorkPool {
        #[serde(default)]
        source: Source,
        #[serde(default)]
        work_pool_id: Option<Uuid>,
    },
    ResumeWorkPool {
        #[serde(default)]
        source: Source,
        #[serde(default)]
        work_pool_id: Option<Uuid>,
    },
    PauseWorkQueue {
        #[serde(default)]
        source: Source,
        #[serde(default)]
        work_queue_id: Option<Uuid>,
    },
    ResumeWorkQueue {
        #[serde(default)]
        source: Source,
        #[serde(default)]
        work_queue_id: Option<Uuid>,
    },
    PauseAutomation {
        #[serde(default)]
        source: Source,
        #[serde(default)]
        automation_id: Option<Uuid>,
    },
    ResumeAutomation {
        #[serde(default)]
        source: Source,
        #[serde(default)]
        automation_id: Option<Uuid>,
    },
}

impl Serialize for Action {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Action {
    /// Around what is derived: whose kind is one of its members forgets which member was wrong.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Json::deserialize(deserializer)?;
        let message = match Self::deserialize(&value) {
            Ok(action) => return Ok(action),
            Err(error) => error.to_string(),
        };
        Err(place::misplaced(&wrong_member(&value, &message), message))
    }
}

/// The member without which another complaint comes, or none.
fn wrong_member(action: &Json, message: &str) -> Vec<Json> {
    let members = action
        .as_object()
        .filter(|_| !message.starts_with("missing field"));
    let others = |name: &&String| *name != "type";
    let is_wrong = |name: &&String| {
        let mut rest = action.clone();
        rest.as_object_mut().map(|members| members.remove(*name));
        Action::deserialize(&rest).map_or_else(|error| error.to_string() != message, |_| true)
    };
    let named = members.and_then(|members| members.keys().filter(others).find(is_wrong));
    // A kind that nobody knows is complained of whatever else there is.
    let kind = members.filter(|members| members.contains_key("type"));
    match (named, kind) {
        (Some(name), _) => vec![name.as_str().into()],
        (None, Some(_)) => vec!["type".into()],
        (None, None) => Vec::new(),
    }
}

fn default_subject() -> String {
    "Prefect automated notification".to_owned()
}

impl Action {
    /// Returns the word for its type.
    pub fn kind(&self) -> String {
        let value = serde_json::to_value(self).unwrap_or_default();
        value["type"].as_str().unwrap_or_default().to_owned()
    }

    /// Returns what it is done to, where that can be named.
    pub fn target(&self) -> Option<Target> {
        let (kind, source, id) = match self {
            Self::RunDeployment {
                source,
                deployment_id,
                ..
            }
            | Self::PauseDeployment {
                source,
                deployment_id,
            }
            | Self::ResumeDeployment {
                source,
                deployment_id,
            } => ("deployment", source, deployment_id),
            Self::PauseWorkPool {
                source,
                work_pool_id,
            }
            | Self::ResumeWorkPool {
                source,
                work_pool_id,
            } => ("work-pool", source, work_pool_id),
            Self::PauseWorkQueue {
                source,
                work_queue_id,
            }
            | Self::ResumeWorkQueue {
                source,
                work_queue_id,
            } => ("work-queue", source, work_queue_id),
            Self::PauseAutomation {
                source,
                automation_id,
            }
            | Self::ResumeAutomation {
                source,
                automation_id,
            } => ("automation", source, automation_id),
            Self::DoNothing {}
            | Self::CancelFlowRun {}
            | Self::ChangeFlowRunState { .. }
            | Self::DeleteFlowRun {}
            | Self::SuspendFlowRun {}
            | Self::ResumeFlowRun {}
            | Self::CallWebhook { .. }
            | Self::SendNotification { .. } => return None,
        };
        Some(Target {
            kind,
            source: *source,
            id: *id,
        })
    }

    fn flaw(&self, place: &[Json]) -> Option<Flaw> {
        let Target { kind, source, id } = self.target()?;
        let field = format!("{}_id", kind.replace('-', "_"));
        let text = match (source, id) {
            (Source::Selected, None) => format!("{field} is required"),
            (Source::Inferred, Some(_)) => format!("{field} is not allowed"),
            (Source::Selected, Some(_)) | (Source::Inferred, None) => return None,
        };
        Some(Flaw::new(&[place, &[field.into()]].concat(), text))
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

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Labels>, D::Error> {
    let document = Document::deserialize(deserializer)?;
    let read = match document.get().as_bytes().first() {
        Some(b'[') => document.read::<Vec<Labels>>(),
        Some(b'n') => Ok(Vec::new()),
        _ => document.read::<Labels>().map(|one| vec![one]),
    };
    let mut labels = read.map_err(D::Error::custom)?;
    labels.retain(|labels| !labels.0.is_empty());
    Ok(labels)
}

fn one_if_one<S: Serializer>(labels: &[Labels], serializer: S) -> Result<S::Ok, S::Error> {
    match labels {
        [] => Labels::default().serialize(serializer),
        [one] => one.serialize(serializer),
        many => many.serialize(serializer),
    }
}

fn payload<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(match Json::deserialize(deserializer)? {
        Json::Null => String::new(),
        Json::String(text) => text,
        value => serde_json::to_string_pretty(&value).map_err(D::Error::custom)?,
    })
}

mod seconds {
    use super::*;

    pub(super) fn serialize<S: Serializer>(
        span: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(span.as_secs_f64())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        let value = Json::deserialize(deserializer)?;
        read(&value)
            .ok_or_else(|| D::Error::custom("a span of time is a number of seconds, 0 or more"))
    }

    pub(super) fn read(value: &Json) -> Option<Duration> {
        let text = value
            .as_str()
            .and_then(|text| text.trim_matches(['P', 'T', 'S']).parse().ok());
        Duration::try_from_secs_f64(value.as_f64().or(text)?).ok()
    }
}

mod seconds_or_none {
    use super::*;

    pub(super) fn serialize<S: Serializer>(
        span: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        span.map(|span| span.as_secs_f64()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        match Json::deserialize(deserializer)? {
            Json::Null => Ok(None),
            value => seconds::read(&value).map(Some).ok_or_else(|| {
                D::Error::custom("a span of time is a number of seconds, 0 or more")
            }),
        }
    }
}

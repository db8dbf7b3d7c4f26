//! Triggers: which events, or which absence of them, set an automation off.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value as Json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Flaw, seconds};
use crate::schemas::event_filters::{Labels, is_match};
use crate::schemas::events::{Event, ReceivedEvent};
use crate::schemas::{Document, place, time};

/// The least time in which a proactive trigger can notice that something did not happen.
const LEAST_PROACTIVE: Duration = Duration::from_secs(10);

/// Triggers inside triggers go no deeper than this.
const MAX_DEPTH: usize = 8;

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
        // A client that changes an automation leaves out what its user has not written.
        let has = |member: &str| value.get(member).is_some();
        let kind = match &kind {
            Some(kind) => kind.as_str().unwrap_or_default(),
            None if has("triggers") && has("require") => "compound",
            None if has("triggers") => "sequence",
            None if has("metric") => "metric",
            None => "event",
        };
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
    pub(super) fn flaws(&self, depth: usize, place: &[Json], flaws: &mut Vec<Flaw>) {
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
        time::span(within)
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

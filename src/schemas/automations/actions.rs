//! Actions: what an automation does, and to what.

use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value as Json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Flaw, seconds};
use crate::schemas::{StateType, place};

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
        let mut value = Json::deserialize(deserializer)?;
        if let Some(members) = value.as_object_mut()
            && !members.contains_key("type")
            && let Some(kind) = implied(members)
        {
            members.insert("type".to_owned(), kind.into());
        }
        let message = match Self::deserialize(&value) {
            Ok(action) => return Ok(action),
            Err(error) => error.to_string(),
        };
        Err(place::misplaced(&wrong_member(&value, &message), message))
    }
}

/// The kind of an action that does not say it, by what it has; a client that changes an automation leaves out
/// what its user has not written.
///
/// What pauses and what resumes look alike; genuine servers take them for the first that fits, and so do we.
/// What has no member is taken by them for doing nothing, though it may have been meant to cancel: that is refused.
fn implied(members: &serde_json::Map<String, Json>) -> Option<&'static str> {
    let kinds = [
        ("deployment_id", "run-deployment"),
        ("state", "change-flow-run-state"),
        ("body", "send-notification"),
        ("block_document_id", "call-webhook"),
        ("work_pool_id", "pause-work-pool"),
        ("work_queue_id", "pause-work-queue"),
        ("automation_id", "pause-automation"),
    ];
    let mut kinds = kinds.into_iter();
    kinds.find_map(|(member, kind)| members.contains_key(member).then_some(kind))
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

    pub(super) fn flaw(&self, place: &[Json]) -> Option<Flaw> {
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

fn payload<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(match Json::deserialize(deserializer)? {
        Json::Null => String::new(),
        Json::String(text) => text,
        value => serde_json::to_string_pretty(&value).map_err(D::Error::custom)?,
    })
}

//! Who is told when a flow run comes into which state, as 2.20 has it.
//!
//! A message is a template in the manner of Python's `str.format`: names in braces, and braces
//! that are doubled for those that are meant.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serializer};
use utoipa::ToSchema;

use super::actions::given;
use super::dialect::{Dialect, Fields, Render};
use super::filters::offset;
use super::{BlockDocumentId, NotificationPolicyId, Tags};

/// What a message can name.
pub const NAMES: [&str; 11] = [
    "flow_run_notification_policy_id",
    "flow_id",
    "flow_name",
    "flow_run_url",
    "flow_run_id",
    "flow_run_name",
    "flow_run_parameters",
    "flow_run_state_type",
    "flow_run_state_name",
    "flow_run_state_timestamp",
    "flow_run_state_message",
];

/// The message of a policy that has none.
pub const USUAL_MESSAGE: &str = "
Flow run {flow_name}/{flow_run_name} entered state `{flow_run_state_name}` at {flow_run_state_timestamp}.

Flow ID: {flow_id}
Flow run ID: {flow_run_id}
Flow run URL: {flow_run_url}
State message: {flow_run_state_message}
";

/// A policy.
#[derive(Debug, Clone, PartialEq, ToSchema)]
pub struct NotificationPolicy {
    /// The policy's id.
    pub id: NotificationPolicyId,
    /// When it was created.
    pub created: DateTime<Utc>,
    /// When it was last changed.
    pub updated: DateTime<Utc>,
    /// Whether it is in force.
    pub is_active: bool,
    /// The names of the states that are told of; none is all.
    pub state_names: Tags,
    /// Tags of which a run must have one; none is all runs.
    pub tags: Tags,
    /// The block that says where to.
    pub block_document_id: BlockDocumentId,
    /// What is said; see [`fill`].
    pub message_template: Option<String>,
}

impl Render for NotificationPolicy {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = Fields::begin(dialect, serializer)?;
        fields.all("id", &self.id)?;
        fields.time("created", self.created)?;
        fields.time("updated", self.updated)?;
        fields.all("is_active", &self.is_active)?;
        fields.all("state_names", &self.state_names)?;
        fields.all("tags", &self.tags)?;
        fields.all("block_document_id", &self.block_document_id)?;
        fields.all("message_template", &self.message_template)?;
        fields.end()
    }
}

/// Creates a policy.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are those of `NotificationPolicy`")]
pub struct NotificationPolicyCreate {
    #[serde(default = "truth")]
    pub is_active: bool,
    pub state_names: Tags,
    pub tags: Tags,
    pub block_document_id: BlockDocumentId,
    #[serde(default, deserialize_with = "template")]
    pub message_template: Option<String>,
}

fn truth() -> bool {
    true
}

/// Changes a policy; what is not given stays.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are those of `NotificationPolicy`")]
pub struct NotificationPolicyUpdate {
    pub is_active: Option<bool>,
    pub state_names: Option<Tags>,
    pub tags: Option<Tags>,
    pub block_document_id: Option<BlockDocumentId>,
    #[serde(deserialize_with = "given_template")]
    #[schema(value_type = Option<String>)]
    pub message_template: Option<Option<String>>,
}

/// Asks for policies.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
pub struct NotificationPoliciesQuery {
    /// Which ones; all by default.
    #[serde(default)]
    pub flow_run_notification_policy_filter: Option<NotificationPolicyFilter>,
    /// How many at most.
    #[serde(default)]
    pub limit: Option<i64>,
    /// How many to leave out first.
    #[serde(default, deserialize_with = "offset")]
    pub offset: Option<u32>,
}

/// Conditions on policies.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NotificationPolicyFilter {
    /// Whether they are in force.
    #[serde(default = "not_active", deserialize_with = "given")]
    #[schema(value_type = Option<IsActive>)]
    pub is_active: Option<Option<IsActive>>,
}

// A filter that says nothing asks for those that are not in force: 2.20 has it so.
fn not_active() -> Option<Option<IsActive>> {
    Some(Some(IsActive { eq_: Some(false) }))
}

/// A condition on a truth.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IsActive {
    /// What it must be.
    #[serde(default)]
    pub eq_: Option<bool>,
}

impl NotificationPoliciesQuery {
    /// Returns whether those asked for are in force, if that matters.
    pub fn is_active(&self) -> Option<bool> {
        let filter = self.flow_run_notification_policy_filter.as_ref()?;
        filter.is_active.flatten().and_then(|truth| truth.eq_)
    }
}

fn template<'de, D: Deserializer<'de>>(d: D) -> Result<Option<String>, D::Error> {
    let template = Option::<String>::deserialize(d)?;
    if let Some(template) = &template {
        fill(template, |_| String::new()).map_err(D::Error::custom)?;
    }
    Ok(template)
}

fn given_template<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Option<String>>, D::Error> {
    template(d).map(Some)
}

/// Fills a message's names in with what `value` says of each of [`NAMES`].
///
/// # Errors
/// Says what is wrong with the template.
pub fn fill(template: &str, value: impl Fn(&str) -> String) -> Result<String, String> {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        filled.push_str(&rest[..at]);
        let brace = &rest[at..=at];
        let behind = &rest[at + 1..];
        if behind.starts_with(brace) {
            filled.push_str(brace);
            rest = &behind[1..];
            continue;
        }
        let field = behind.split_once('}').filter(|_| brace == "{");
        let Some((field, behind)) = field else {
            return Err(format!(
                "Single '{brace}' encountered in the message template; double it to mean itself"
            ));
        };
        // How it is to be written is for Python to know.
        let name = field.split(['!', ':', '.', '[']).next().unwrap_or_default();
        if !NAMES.contains(&name) {
            return Err(format!("Invalid template variable provided: '{name}'"));
        }
        let _ = write!(filled, "{}", value(name));
        rest = behind;
    }
    filled.push_str(rest);
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_what_it_is_about() {
        let named = |name: &str| format!("<{name}>");
        for (template, filled) in [
            ("plain", Ok("plain")),
            (
                "{flow_name}: {flow_run_state_name!r:>5}",
                Ok("<flow_name>: <flow_run_state_name>"),
            ),
            ("{{flow_name}} {{}}", Ok("{flow_name} {}")),
            ("{nope}", Err("Invalid template variable provided: 'nope'")),
            ("{}", Err("Invalid template variable provided: ''")),
            (
                "{flow_name",
                Err("Single '{' encountered in the message template; double it to mean itself"),
            ),
            (
                "a } b",
                Err("Single '}' encountered in the message template; double it to mean itself"),
            ),
        ] {
            let found = fill(template, named);
            assert_eq!(
                found.as_deref().map_err(String::as_str),
                filled,
                "{template}"
            );
        }
        assert!(fill(USUAL_MESSAGE, named).is_ok());
    }
}

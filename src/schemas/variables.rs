//! Variables: values that flows and deployments look up by name.

use chrono::{DateTime, Utc};
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serializer};
use utoipa::ToSchema;

use super::actions::given;
use super::dialect::{Dialect, Fields, Render};
use super::filters::{VariableFilter, offset};
use super::{Document, Tags, VariableId};

/// The longest name.
const LONGEST_NAME: usize = 255;
/// The longest value, as JSON.
const LONGEST_VALUE: usize = 5000;

/// A variable.
#[derive(Debug, Clone, ToSchema)]
pub struct Variable {
    /// The variable's id.
    pub id: VariableId,
    /// When it was created.
    pub created: DateTime<Utc>,
    /// When it was last changed.
    pub updated: DateTime<Utc>,
    /// The name, unique on the server.
    pub name: String,
    /// The value, any JSON.
    pub value: Document,
    /// Its tags.
    pub tags: Tags,
}

impl Render for Variable {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = Fields::begin(dialect, serializer)?;
        fields.all("id", &self.id)?;
        fields.time("created", self.created)?;
        fields.time("updated", self.updated)?;
        fields.all("name", &self.name)?;
        match self.text() {
            // To 2.20 a value is a text, and one that is none breaks the whole list there.
            Some(text) if dialect == Dialect::Two => fields.all("value", &text)?,
            _ => fields.all("value", &self.value)?,
        }
        fields.all("tags", &self.tags)?;
        fields.end()
    }
}

impl Variable {
    /// Returns a value that is no text as the JSON that it is.
    fn text(&self) -> Option<String> {
        (!self.value.get().starts_with('"')).then(|| self.value.get().to_owned())
    }
}

/// Creates a variable.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are those of `Variable`")]
pub struct VariableCreate {
    #[serde(deserialize_with = "name")]
    pub name: String,
    #[serde(deserialize_with = "value")]
    pub value: Document,
    #[serde(default)]
    pub tags: Option<Tags>,
}

/// Changes a variable; what is not given stays.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are those of `Variable`")]
pub struct VariableUpdate {
    #[serde(default, deserialize_with = "name_or_null")]
    pub name: Option<String>,
    /// `null` is a value.
    #[serde(default, deserialize_with = "given_value")]
    pub value: Option<Document>,
    #[serde(default)]
    pub tags: Option<Tags>,
}

/// The order of variables.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "a column and a direction")]
pub enum VariableSort {
    CreatedDesc,
    UpdatedDesc,
    NameDesc,
    #[default]
    NameAsc,
}

/// Asks for variables.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "filter, order and page")]
pub struct VariablesQuery {
    #[serde(default)]
    pub variables: Option<VariableFilter>,
    #[serde(default)]
    pub sort: Option<VariableSort>,
    #[serde(default)]
    pub limit: Option<i64>,
    #[serde(default, deserialize_with = "offset")]
    pub offset: Option<u32>,
}

/// Counts variables.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
pub struct VariablesCount {
    /// Which ones.
    #[serde(default)]
    pub variables: Option<VariableFilter>,
}

fn fit_name<E: serde::de::Error>(name: String) -> Result<String, E> {
    let is_fit = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(is_fit) {
        return Err(E::custom(format!(
            "a variable name has 1 to {LONGEST_NAME} lowercase letters, numbers, dashes and underscores"
        )));
    }
    Ok(name)
}

fn name<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    fit_name(String::deserialize(d)?)
}

fn name_or_null<'de, D: Deserializer<'de>>(d: D) -> Result<Option<String>, D::Error> {
    Option::deserialize(d)?.map(fit_name).transpose()
}

fn value<'de, D: Deserializer<'de>>(d: D) -> Result<Document, D::Error> {
    let value = Document::deserialize(d)?;
    if value.get().chars().count() > LONGEST_VALUE {
        return Err(D::Error::custom(format!(
            "a variable value has at most {LONGEST_VALUE} characters"
        )));
    }
    Ok(value)
}

fn given_value<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Document>, D::Error> {
    struct Fit(Document);
    impl<'de> Deserialize<'de> for Fit {
        fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
            value(d).map(Self)
        }
    }
    Ok(given(d)?.map(|Fit(value)| value))
}

//! JSON that passes through untouched.
//!
//! Parameters, results and contexts are the user's. They are checked to be JSON and otherwise
//! stay the text that came in: the order of keys and the form of numbers survive, and no tree is
//! built for them.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// A JSON document as text.
#[derive(Debug, Clone)]
pub struct Document(Box<RawValue>);

impl Document {
    /// Checks that `text` is JSON and keeps it.
    pub fn parse(text: String) -> Result<Self, serde_json::Error> {
        RawValue::from_string(text).map(Self)
    }

    /// Makes a document of anything that serializes.
    pub fn of(value: &impl Serialize) -> Result<Self, serde_json::Error> {
        serde_json::value::to_raw_value(value).map(Self)
    }

    /// The document `{}`.
    pub fn empty_object() -> Self {
        Self::parse("{}".to_owned()).expect("an empty object is JSON")
    }

    /// The document `[]`.
    pub fn empty_list() -> Self {
        Self::parse("[]".to_owned()).expect("an empty list is JSON")
    }

    /// Returns the text.
    pub fn get(&self) -> &str {
        self.0.get()
    }

    /// Takes the text out.
    pub fn into_text(self) -> String {
        let text: Box<str> = self.0.into();
        text.into()
    }

    /// Tells whether this is `null`.
    pub fn is_null(&self) -> bool {
        self.get() == "null"
    }

    /// Reads the document as a type.
    pub fn read<'de, T: Deserialize<'de>>(&'de self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.get())
    }
}

impl PartialEq for Document {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl Serialize for Document {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(Self)
    }
}

impl utoipa::PartialSchema for Document {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        utoipa::openapi::ObjectBuilder::new().into()
    }
}

impl utoipa::ToSchema for Document {}

/// The tags of a flow, run or deployment, in the order given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(transparent)]
pub struct Tags(pub Vec<String>);

impl Tags {
    /// Writes the list as it is stored.
    pub fn to_json(&self) -> String {
        serde_json::to_string(&self.0).expect("a list of strings is JSON")
    }

    /// Adds the tags of `other` that are not there yet.
    pub fn union(mut self, other: &Self) -> Self {
        for tag in &other.0 {
            if !self.0.contains(tag) {
                self.0.push(tag.clone());
            }
        }
        self
    }
}

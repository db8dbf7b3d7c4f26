//! JSON that passes through untouched.
//!
//! Parameters, results and contexts are the user's. They are checked to be JSON and otherwise
//! stay the text that came in: the order of keys and the form of numbers survive, and no tree is
//! built for them.

use serde::de::{MapAccess, Visitor};
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

    /// Tells whether this is an object.
    pub fn is_object(&self) -> bool {
        self.get().starts_with('{')
    }

    /// Tells whether this is what 2.0b3 keeps results and flows in.
    pub fn is_data_document(&self) -> bool {
        self.read::<DataDocument<'_>>().is_ok()
    }

    /// Returns the members of both objects; where both have one, that of `over`.
    ///
    /// What is no object counts as empty.
    pub fn merge(&self, over: &Self) -> Self {
        let mut members: Members = self.read().unwrap_or_default();
        for (key, value) in over.read::<Members>().unwrap_or_default().0 {
            match members.0.iter_mut().find(|(known, _)| *known == key) {
                Some(member) => member.1 = value,
                None => members.0.push((key, value)),
            }
        }
        Self::of(&members).expect("documents under text keys are JSON")
    }

    /// Reads the document as a type.
    pub fn read<'de, T: Deserialize<'de>>(&'de self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.get())
    }
}

/// What 2.0b3 keeps results and flows in.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only the shape matters")]
pub(super) struct DataDocument<'a> {
    #[serde(borrow)]
    encoding: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    blob: std::borrow::Cow<'a, str>,
}

/// The members of an object in their order, each still a text.
#[derive(Default)]
struct Members(Vec<(String, Document)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

impl Serialize for Members {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
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
        let text = |tags: &[String]| serde_json::to_string(tags).expect("texts are JSON");
        if self.0.iter().all(|tag| !tag.contains('\0')) {
            return text(&self.0);
        }
        // PostgreSQL indexes tags, and its JSON knows no NUL; a single text loses it as well.
        let tags: Vec<_> = self
            .0
            .iter()
            .map(|tag| tag.replace('\0', "\u{fffd}"))
            .collect();
        text(&tags)
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

#[cfg(test)]
mod tests {
    use super::Document;

    #[test]
    fn merging_keeps_order_and_the_form_of_numbers() {
        let document = |text: &str| Document::parse(text.to_owned()).unwrap();
        let merged = document(r#"{"b": 1.50, "a": {"x": 1}}"#).merge(&document(
            r#"{"a": [], "c": 123456789012345678901234567890}"#,
        ));
        assert_eq!(
            merged.get(),
            r#"{"b":1.50,"a":[],"c":123456789012345678901234567890}"#
        );
        assert_eq!(document("null").merge(&document("{}")).get(), "{}");
    }
}

//! Block schemas: what the data of a block type looks like, in one version of its client's code.
//!
//! Clients know a schema by a checksum of its fields and look for it before they register theirs,
//! so it must be theirs to the byte. They hash JSON as Python writes it: members in order of
//! their names, a space after each comma and colon, nothing beyond ASCII, floats as `repr` has them.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serializer};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::actions::object;
use super::block_types::BlockType;
use super::dialect::{Dialect, Fields, Render};
use super::filters::{Operator, offset};
use super::{BlockSchemaId, BlockTypeId, Document, Tags};

/// The version of schemas that have none.
const NON_VERSIONED: &str = "non-versioned";

/// A block schema.
#[derive(Debug, Clone, PartialEq, ToSchema)]
pub struct BlockSchema {
    /// The schema's id.
    pub id: BlockSchemaId,
    /// When it was created.
    pub created: DateTime<Utc>,
    /// When it was last changed.
    pub updated: DateTime<Utc>,
    /// The checksum of its fields.
    pub checksum: String,
    /// The JSON schema of its blocks' data.
    pub fields: Document,
    /// The type that it is of.
    pub block_type: BlockType,
    /// What its blocks can do, such as `write-path`.
    pub capabilities: Tags,
    /// The version of the code that registered it.
    pub version: String,
}

impl Render for BlockSchema {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = Fields::begin(dialect, serializer)?;
        fields.all("id", &self.id)?;
        fields.time("created", self.created)?;
        fields.time("updated", self.updated)?;
        fields.all("checksum", &self.checksum)?;
        fields.all("fields", &self.fields)?;
        fields.all("block_type_id", &self.block_type.id)?;
        fields.part("block_type", &self.block_type)?;
        fields.all("capabilities", &self.capabilities)?;
        fields.all("version", &self.version)?;
        fields.end()
    }
}

/// Creates a block schema, or finds the one of that checksum and version.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are those of `BlockSchema`")]
pub struct BlockSchemaCreate {
    pub block_type_id: BlockTypeId,
    #[serde(default, deserialize_with = "object")]
    pub fields: Option<Document>,
    #[serde(default)]
    pub capabilities: Tags,
    #[serde(default = "non_versioned")]
    pub version: String,
}

fn non_versioned() -> String {
    NON_VERSIONED.to_owned()
}

macro_rules! conditions {
    ($($(#[doc = $doc:literal])+ $name:ident { $($field:ident: $type:ty,)* })*) => {$(
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Default, Deserialize, ToSchema)]
        #[serde(deny_unknown_fields)]
        #[expect(missing_docs, reason = "named as the fields and operators that they are about")]
        pub struct $name { $(#[serde(default)] pub $field: $type,)* }
    )*};
}

conditions! {
    /// Ids of block types.
    BlockTypeIds { any_: Option<Vec<BlockTypeId>>, }
    /// Ids of block schemas.
    BlockSchemaIds { any_: Option<Vec<BlockSchemaId>>, }
    /// What blocks must be able to do.
    Capabilities { all_: Option<Vec<String>>, }
    /// Versions of block schemas.
    Versions { any_: Option<Vec<String>>, }
    /// Conditions on block schemas.
    BlockSchemaFilter {
        operator: Operator, id: Option<BlockSchemaIds>, block_type_id: Option<BlockTypeIds>,
        block_capabilities: Option<Capabilities>, version: Option<Versions>,
    }
}

/// Asks for block schemas.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
pub struct BlockSchemasQuery {
    /// Which schemas.
    pub block_schemas: Option<BlockSchemaFilter>,
    /// How many at most.
    pub limit: Option<i64>,
    /// How many to leave out first.
    #[serde(default, deserialize_with = "offset")]
    pub offset: Option<u32>,
}

/// Returns the checksum by which clients know these fields.
///
/// Which fields are secret does not count, and of the definitions only those that are used and
/// are no blocks, since blocks have checksums of their own.
pub fn checksum(fields: &Value) -> String {
    let mut counted = fields.clone();
    forget(&mut counted, "secret_fields");
    if let Some(members) = counted.as_object_mut() {
        keep_plain_definitions(members);
    }
    let mut text = String::from("[[");
    write_python(&counted, &mut text);
    text.push_str("], {}]");
    let digest = Sha256::digest(text.as_bytes());
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

fn forget(value: &mut Value, name: &str) {
    match value {
        Value::Object(members) => {
            members.shift_remove(name);
            members.values_mut().for_each(|member| forget(member, name));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| forget(item, name)),
        _ => {}
    }
}

fn keep_plain_definitions(members: &mut Map<String, Value>) {
    let Some(Value::Object(definitions)) = members.shift_remove("definitions") else {
        return;
    };
    if definitions.is_empty() {
        members.insert("definitions".to_owned(), Value::Object(definitions));
        return;
    }
    let mut used = BTreeSet::new();
    let mut unread: Vec<&Value> = members.values().collect();
    while let Some(value) = unread.pop() {
        match value {
            Value::Object(inner) => {
                let name = inner.get("$ref").and_then(Value::as_str);
                let name = name.and_then(|text| text.strip_prefix("#/definitions/"));
                if let Some((name, definition)) =
                    name.and_then(|name| definitions.get_key_value(name))
                    && definition.get("block_type_slug").is_none()
                    // One that says nothing counts as none to clients; secrets of 3.x may be any JSON, which is such a one.
                    && definition.as_object().is_some_and(|words| !words.is_empty())
                    && used.insert(name.clone())
                {
                    unread.push(definition);
                }
                unread.extend(inner.values());
            }
            Value::Array(items) => unread.extend(items),
            _ => {}
        }
    }
    let kept: Map<_, _> = definitions
        .iter()
        .filter(|(name, _)| used.contains(*name))
        .map(|(name, definition)| (name.clone(), definition.clone()))
        .collect();
    if !kept.is_empty() {
        members.insert("definitions".to_owned(), Value::Object(kept));
    }
}

/// Writes JSON as Python's `json.dumps(…, sort_keys=True)` does.
fn write_python(value: &Value, out: &mut String) {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            out.push('{');
            for (at, (name, member)) in members.into_iter().enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                write_python_text(name, out);
                out.push_str(": ");
                write_python(member, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                write_python(item, out);
            }
            out.push(']');
        }
        Value::String(text) => write_python_text(text, out),
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            Some(float) => out.push_str(&python_float(float)),
            None => out.push_str(&number.to_string()),
        },
        Value::Bool(_) | Value::Null => out.push_str(&value.to_string()),
    }
}

fn write_python_text(text: &str, out: &mut String) {
    use std::fmt::Write;
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(c),
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
}

/// Writes a float as Python's `repr`: with an exponent when it is below 1e-4 or from 1e16 on.
fn python_float(float: f64) -> String {
    let scientific = format!("{float:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let plain = float.to_string();
        return if plain.contains('.') {
            plain
        } else {
            format!("{plain}.0")
        };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::{checksum, python_float};
    use serde_json::json;

    // The checksums are what a genuine 3.8 server answered to these fields.
    #[test]
    fn checksums_are_those_of_the_genuine_server() {
        let title = "sha256:3a78445b02bd0cd93223227bc469ab15478a6f2b96abf3f9dd25d0b40ebdd85e";
        let plain = json!({"title": "x"});
        assert_eq!(checksum(&plain), title);
        let secret = json!({"title": "x", "secret_fields": ["a"]});
        assert_eq!(checksum(&secret), title);
        let unused = json!({"title": "x", "definitions": {"A": {"title": "A"}}});
        assert_eq!(checksum(&unused), title);
        let empty = json!({"title": "x", "definitions": {}});
        assert_eq!(
            checksum(&empty),
            "sha256:d2bd069d0bec9062204121d89e2221422493cc05682afbf1cce1ec47df124baa"
        );
        assert_eq!(
            checksum(&json!({"title": "é"})),
            "sha256:bcdd734173862d034e1c1e5287972db51995e37b32f451d638767ce1f169b190"
        );
        assert_eq!(
            checksum(&json!({"title": "x", "z": 1.0})),
            "sha256:b82e1069272d05d3e1ae45934d13b872aedcad528ce34d2f5b1100c8cfa9f4da"
        );
        let described =
            json!({"properties": {"a": {"b": [1, 2], "description": "k"}}, "title": "x"});
        assert_eq!(
            checksum(&described),
            "sha256:b5be9fecd028202896715a8f0d88f7b82bd67b5fbbaa192f71bc0a27f4bf2d8f"
        );
    }

    #[test]
    fn definitions_count_when_they_are_used_and_are_no_blocks() {
        let uses = json!({"a": {"items": {"$ref": "#/definitions/A"}}});
        let of = |definitions| checksum(&json!({"properties": uses, "definitions": definitions}));
        let without = checksum(&json!({"properties": uses}));
        let a = json!({"properties": {"b": {"$ref": "#/definitions/B"}}});
        let both = of(json!({"A": a, "B": {"title": "B"}}));
        assert_ne!(both, without);
        assert_eq!(both, of(json!({"A": a, "B": {"title": "B"}, "C": {}})));
        assert_ne!(both, of(json!({"A": a})));
        assert_eq!(without, of(json!({"A": {"block_type_slug": "a"}})));
    }

    #[test]
    fn a_definition_that_says_nothing_does_not_count() {
        // The schema of `Secret` as a genuine 3.8 client sends it, with the checksum that it looks for.
        let secret = json!({
            "block_schema_references": {}, "block_type_slug": "secret",
            "description": "A block that represents a secret value. The value stored in this block will be \
                obfuscated when this block is viewed or edited in the UI.",
            "properties": {"value": {
                "anyOf": [
                    {"format": "password", "type": "string", "writeOnly": true},
                    {"title": "string", "type": "string"},
                    {"$ref": "#/definitions/JsonValue", "title": "JSON"},
                ],
                "description": "A value that should be kept secret.",
                "examples": ["sk-1234567890", {"password": "s3cr3t", "username": "johndoe"}],
                "format": "password", "title": "Value", "writeOnly": true, "position": 0,
            }},
            "required": ["value"], "secret_fields": ["value", "value"], "title": "Secret", "type": "object",
            "definitions": {"JsonValue": {}},
        });
        assert_eq!(
            checksum(&secret),
            "sha256:c078ed9c1e813e224c0b353d7ad4564a11d51d3198d9ac0686478165a1911c78"
        );
    }

    #[test]
    fn floats_are_written_as_python_does() {
        let written: Vec<_> = [1.0, -0.5, 1e16, 1.5e300, 1e15, 0.0001, 1e-7, 123456.789]
            .map(python_float)
            .into();
        assert_eq!(
            written,
            [
                "1.0",
                "-0.5",
                "1e+16",
                "1.5e+300",
                "1000000000000000.0",
                "0.0001",
                "1e-07",
                "123456.789"
            ]
        );
    }
}

//! Schemas themselves: how the clients that made them mean them, and what is wrong with them.

use serde_json::{Value, json};

use super::checker::is_of_type;
use super::{DEEPEST, python};

/// Returns a schema as the clients that made it mean it: what need not be given may be null, a list of
/// items' schemas is one of the first items, and for a block a reference to one may be given.
///
/// The schemas that Python tools made of types were so before the draft of 2020, and genuine
/// servers read newer ones in the same way.
pub fn as_meant(schema: &Value) -> Value {
    meant(schema, Defaults::NotNull)
}

/// As [`as_meant`], but what has a default may be null as well, as in the templates of work pools.
pub fn as_meant_of_jobs(schema: &Value) -> Value {
    meant(schema, Defaults::OrNull)
}

/// Whether what has a default may be null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Defaults {
    NotNull,
    OrNull,
}

fn meant(schema: &Value, defaults: Defaults) -> Value {
    let mut schema = schema.clone();
    mean_members(&mut schema, defaults);
    if let Some(Value::Object(definitions)) = schema.get_mut("definitions") {
        for definition in definitions.values_mut() {
            mean_members(definition, defaults);
            if definition.get("block_type_slug").is_some() {
                *definition = json!({"anyOf": [definition.take(), block_reference()]});
            }
        }
    }
    schema
}

/// The schema of what stands for a block: its id, or what finds it.
fn block_reference() -> Value {
    let finding = json!({"type": "object", "additionalProperties": {"type": "string"}});
    json!({
        "type": "object",
        "required": ["$ref"],
        "properties": {"$ref": {"anyOf": [{"type": "string", "format": "uuid"}, finding]}},
    })
}

fn mean_members(schema: &mut Value, defaults: Defaults) {
    let required = schema.get("required").cloned().unwrap_or_default();
    let is_required = |name: &str| {
        let names = required.as_array();
        names.is_some_and(|names| names.iter().any(|one| one.as_str() == Some(name)))
    };
    let Some(Value::Object(members)) = schema.get_mut("properties") else {
        return;
    };
    for (name, member) in members {
        let Some(words) = member.as_object_mut() else {
            continue;
        };
        let is_plain = words.get("type").is_some_and(|kind| *kind != "null");
        let may_be_null = defaults == Defaults::OrNull || !words.contains_key("default");
        if is_plain && !is_required(name) && may_be_null {
            let kind = words.shift_remove("type").unwrap_or_default();
            words.insert(
                "anyOf".to_owned(),
                json!([{"type": kind}, {"type": "null"}]),
            );
        }
        if words
            .get("items")
            .is_some_and(|items| items.as_array().is_some_and(|l| !l.is_empty()))
            && !words.contains_key("prefixItems")
            && let Some(items) = words.shift_remove("items")
        {
            words.insert("prefixItems".to_owned(), items);
        }
        mean_members(member, defaults);
    }
}

/// Says what is wrong with a schema itself; nothing if it can be used.
pub fn why_no_schema(schema: &Value) -> Option<String> {
    why_no_schema_at(schema, 0)
}

const KINDS: [&str; 7] = [
    "array", "boolean", "integer", "null", "number", "object", "string",
];

/// What the value of a schema's word has to be.
enum Shape {
    /// The name of a type, or several.
    Types,
    /// A schema.
    Schema,
    /// Schemas, at least one.
    Schemas,
    /// A schema, or a list of them as older drafts have it.
    SchemaOrSchemas,
    /// Schemas by name.
    Members,
    /// Texts.
    Names,
    List,
    Number,
    Integer,
    Text,
    Truth,
}

impl Shape {
    /// Returns what a word asks for; nothing is asked of words that are not known.
    fn of(word: &str) -> Option<Self> {
        Some(match word {
            "type" => Shape::Types,
            "not"
            | "if"
            | "then"
            | "else"
            | "contains"
            | "propertyNames"
            | "additionalProperties" => Shape::Schema,
            "allOf" | "anyOf" | "oneOf" | "prefixItems" => Shape::Schemas,
            "items" => Shape::SchemaOrSchemas,
            "properties" | "$defs" | "definitions" | "patternProperties" | "dependentSchemas" => {
                Shape::Members
            }
            "required" => Shape::Names,
            "enum" => Shape::List,
            "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf" => {
                Shape::Number
            }
            "minLength" | "maxLength" | "minItems" | "maxItems" | "minProperties"
            | "maxProperties" => Shape::Integer,
            "$ref" | "pattern" | "format" | "title" | "description" | "$schema" | "$id" => {
                Shape::Text
            }
            "uniqueItems" | "deprecated" | "readOnly" | "writeOnly" => Shape::Truth,
            _ => return None,
        })
    }
}

fn why_no_schema_at(schema: &Value, depth: usize) -> Option<String> {
    let words = match schema {
        Value::Object(words) => words,
        Value::Bool(_) => return None,
        other => {
            let shown = python(other);
            return Some(format!("{shown} is not of type 'object', 'boolean'"));
        }
    };
    // What is deeper nobody will look at.
    if depth > DEEPEST {
        return None;
    }
    words
        .iter()
        .find_map(|(word, value)| why_not(&Shape::of(word)?, value, depth))
}

/// Says why a value has not the shape that its word asks for.
fn why_not(shape: &Shape, value: &Value, depth: usize) -> Option<String> {
    let below = |schema: &Value| why_no_schema_at(schema, depth + 1);
    let is_not = |value: &Value, kind: &str| format!("{} is not of type '{kind}'", python(value));
    let unless = |fits: bool, kind: &str| (!fits).then(|| is_not(value, kind));
    let is_type = |kind: &Value| kind.as_str().is_some_and(|kind| KINDS.contains(&kind));
    match (shape, value) {
        (Shape::Types, Value::Array(kinds)) if !kinds.is_empty() && kinds.iter().all(is_type) => {
            None
        }
        (Shape::Types, kind) if is_type(kind) => None,
        (Shape::Types, kind) => {
            let shown = python(kind);
            Some(format!(
                "{shown} is not valid under any of the given schemas"
            ))
        }
        (Shape::Schemas, Value::Array(schemas)) if schemas.is_empty() => {
            Some("[] should be non-empty".to_owned())
        }
        (Shape::Schemas | Shape::SchemaOrSchemas, Value::Array(schemas)) => {
            schemas.iter().find_map(below)
        }
        (Shape::Schema | Shape::SchemaOrSchemas, schema) => below(schema),
        (Shape::Members, Value::Object(members)) => members.values().find_map(below),
        (Shape::Members, other) => Some(is_not(other, "object")),
        (Shape::Names, Value::Array(names)) => names
            .iter()
            .find(|name| !name.is_string())
            .map(|name| is_not(name, "string")),
        (Shape::Schemas | Shape::Names | Shape::List, other) => unless(other.is_array(), "array"),
        (Shape::Number, other) => unless(other.is_number(), "number"),
        (Shape::Integer, other) => unless(is_of_type(&json!("integer"), other), "integer"),
        (Shape::Text, other) => unless(other.is_string(), "string"),
        (Shape::Truth, other) => unless(other.is_boolean(), "boolean"),
    }
}

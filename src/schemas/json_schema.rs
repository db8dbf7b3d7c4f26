//! Checks values against JSON schemas, as clients describe parameters and inputs of flows by them.
//!
//! It knows the words that those schemas are made of, follows references inside the schema only,
//! and lets pass what it does not know: a value is refused for a reason that can be told, in the
//! words that clients know.

use std::cell::Cell;
use std::collections::HashMap;

use serde_json::{Map, Value, json};

/// References that lead to references, and values inside values, end here.
const DEEPEST: usize = 64;

/// Comparisons of a value with a part of a schema; schemas that refer to themselves several times
/// would need more of them than there are atoms.
const MOST_STEPS: u32 = 100_000;

/// Reasons that are told of one value.
const MOST_MISFITS: usize = 1000;

/// A step into a value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Step {
    /// The member of this name.
    Member(String),
    /// The item of this number.
    Item(usize),
}

/// Why a value does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// Where in the value; empty for the whole.
    pub path: Vec<Step>,
    /// What is wrong there.
    pub reason: String,
    /// The member that is missing there, if that is it.
    pub missing: Option<String>,
}

impl std::fmt::Display for Misfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { path, reason, .. } = self;
        let mut field = String::new();
        for step in path {
            match step {
                Step::Member(name) if field.is_empty() => field.push_str(name),
                Step::Member(name) => field.push_str(&format!(".{name}")),
                Step::Item(index) => field.push_str(&format!("[{index}]")),
            }
        }
        if field.is_empty() {
            write!(f, "Validation failed. Failure reason: {reason}")
        } else {
            write!(
                f,
                "Validation failed for field '{field}'. Failure reason: {reason}"
            )
        }
    }
}

/// Whether fields that are required must be there; a deployment may leave them to its runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Required {
    /// They must.
    Checked,
    /// They may come later.
    Ignored,
}

/// Values that nobody knows yet, by their places, each with what is known to be wrong with it.
pub type Unknown = HashMap<Vec<Step>, Option<String>>;

/// Checks a value against a schema and tells of the mistake that is closest to the whole.
pub fn check(schema: &Value, value: &Value, required: Required) -> Result<(), Misfit> {
    let misfits = check_all(schema, value, required, &Unknown::new());
    let closest = misfits.into_iter().min_by_key(|misfit| misfit.path.len());
    closest.map_or(Ok(()), Err)
}

/// Checks a value of which parts are not known yet, and tells of all mistakes.
pub fn check_all(
    schema: &Value,
    value: &Value,
    required: Required,
    unknown: &Unknown,
) -> Vec<Misfit> {
    let checker = Checker {
        root: schema,
        required,
        unknown,
        steps: Cell::new(0),
    };
    let mut found = Found::default();
    checker.check(schema, value, 0, &mut found);
    found.misfits
}

/// Returns a schema as the clients that made it mean it: what need not be given may be null, and a
/// list of items' schemas is one of the first items.
///
/// The schemas that Python tools made of types were so before the draft of 2020, and genuine
/// servers read newer ones in the same way.
pub fn as_meant(schema: &Value) -> Value {
    let mut schema = schema.clone();
    mean_members(&mut schema);
    if let Some(Value::Object(definitions)) = schema.get_mut("definitions") {
        definitions.values_mut().for_each(mean_members);
    }
    schema
}

fn mean_members(schema: &mut Value) {
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
        if is_plain && !is_required(name) && !words.contains_key("default") {
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
        mean_members(member);
    }
}

/// Says what is wrong with a schema itself; nothing if it can be used.
pub fn why_no_schema(schema: &Value) -> Option<String> {
    why_no_schema_at(schema, 0)
}

const KINDS: [&str; 7] = [
    "array", "boolean", "integer", "null", "number", "object", "string",
];

fn why_no_schema_at(schema: &Value, depth: usize) -> Option<String> {
    let words = match schema {
        Value::Object(words) => words,
        Value::Bool(_) => return None,
        other => {
            return Some(format!(
                "{} is not of type 'object', 'boolean'",
                python(other)
            ));
        }
    };
    // What is deeper nobody will look at.
    if depth > DEEPEST {
        return None;
    }
    let wrong =
        |value: &Value, kind: &str| Some(format!("{} is not of type '{kind}'", python(value)));
    let below = |schema: &Value| why_no_schema_at(schema, depth + 1);
    for (word, value) in words {
        let reason = match (word.as_str(), value) {
            ("type", Value::String(kind)) if KINDS.contains(&kind.as_str()) => None,
            ("type", Value::Array(kinds))
                if !kinds.is_empty()
                    && kinds
                        .iter()
                        .all(|k| k.as_str().is_some_and(|k| KINDS.contains(&k))) =>
            {
                None
            }
            ("type", kind) => Some(format!(
                "{} is not valid under any of the given schemas",
                python(kind)
            )),
            (
                "properties" | "$defs" | "definitions" | "patternProperties" | "dependentSchemas",
                members,
            ) => match members {
                Value::Object(members) => members.values().find_map(below),
                other => wrong(other, "object"),
            },
            ("allOf" | "anyOf" | "oneOf" | "prefixItems", Value::Array(parts)) => {
                if parts.is_empty() {
                    Some("[] should be non-empty".to_owned())
                } else {
                    parts.iter().find_map(below)
                }
            }
            ("allOf" | "anyOf" | "oneOf" | "prefixItems", other) => wrong(other, "array"),
            // A list is a word of older drafts.
            ("items", Value::Array(parts)) => parts.iter().find_map(below),
            (
                "items"
                | "additionalProperties"
                | "not"
                | "if"
                | "then"
                | "else"
                | "contains"
                | "propertyNames",
                part,
            ) => below(part),
            ("required", Value::Array(names)) => names
                .iter()
                .find(|name| !name.is_string())
                .and_then(|name| wrong(name, "string")),
            ("required" | "enum", other) if !other.is_array() => wrong(other, "array"),
            (
                "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf",
                other,
            ) if !other.is_number() => wrong(other, "number"),
            (
                "minLength" | "maxLength" | "minItems" | "maxItems" | "minProperties"
                | "maxProperties",
                other,
            ) if !is_of_type(&json!("integer"), other) => wrong(other, "integer"),
            (
                "$ref" | "pattern" | "format" | "title" | "description" | "$schema" | "$id",
                other,
            ) if !other.is_string() => wrong(other, "string"),
            ("uniqueItems" | "deprecated" | "readOnly" | "writeOnly", other)
                if !other.is_boolean() =>
            {
                wrong(other, "boolean")
            }
            _ => None,
        };
        if reason.is_some() {
            return reason;
        }
    }
    None
}

/// The mistakes so far, and where the checker is.
#[derive(Default)]
struct Found {
    at: Vec<Step>,
    misfits: Vec<Misfit>,
}

impl Found {
    fn add(&mut self, reason: String) {
        self.push(reason, None);
    }

    fn push(&mut self, reason: String, missing: Option<String>) {
        if self.misfits.len() < MOST_MISFITS {
            self.misfits.push(Misfit {
                path: self.at.clone(),
                reason,
                missing,
            });
        }
    }
}

struct Checker<'a> {
    root: &'a Value,
    required: Required,
    unknown: &'a Unknown,
    steps: Cell<u32>,
}

impl Checker<'_> {
    fn check(&self, schema: &Value, value: &Value, depth: usize, found: &mut Found) {
        self.steps.set(self.steps.get().saturating_add(1));
        if self.steps.get() > MOST_STEPS {
            // Told once, whatever comes of it.
            if self.steps.get() == MOST_STEPS + 1 {
                found.add(format!("checking it takes more than {MOST_STEPS} steps"));
            }
            return;
        }
        if !self.unknown.is_empty()
            && let Some(wrong) = self.unknown.get(&found.at)
        {
            let is_told = found.misfits.iter().any(|misfit| misfit.path == found.at);
            if let Some(reason) = wrong.as_ref().filter(|_| !is_told) {
                found.add(reason.clone());
            }
            return;
        }
        let Some(schema) = schema.as_object() else {
            if *schema == Value::Bool(false) {
                found.add(format!("False schema does not allow {}", python(value)));
            }
            return;
        };
        if depth > DEEPEST {
            found.add(format!(
                "the schema refers to itself more than {DEEPEST} levels deep"
            ));
            return;
        }
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            let target = reference
                .strip_prefix('#')
                .and_then(|pointer| self.root.pointer(pointer));
            match target {
                Some(target) => self.check(target, value, depth + 1, found),
                None => found.add(format!("the schema's reference {reference} leads nowhere")),
            }
        }
        if let Some(kind) = schema.get("type")
            && !is_of_type(kind, value)
        {
            let kinds = match kind {
                Value::Array(kinds) => kinds.iter().map(python).collect::<Vec<_>>().join(", "),
                kind => python(kind),
            };
            found.add(format!("{} is not of type {kinds}", python(value)));
        }
        if let Some(Value::Array(options)) = schema.get("enum")
            && !options.iter().any(|option| is_same(option, value))
        {
            let options = python(&Value::Array(options.clone()));
            found.add(format!("{} is not one of {options}", python(value)));
        }
        if let Some(wanted) = schema.get("const")
            && !is_same(wanted, value)
        {
            found.add(format!("{} was expected", python(wanted)));
        }
        self.check_combinations(schema, value, depth, found);
        match value {
            Value::Object(members) => self.check_object(schema, members, depth, found),
            Value::Array(items) => self.check_array(schema, items, depth, found),
            Value::String(text) => check_text(schema, text, found),
            Value::Number(number) => {
                check_number(schema, number.as_f64().unwrap_or(f64::NAN), found);
            }
            Value::Bool(_) | Value::Null => {}
        }
    }

    fn fits(&self, schema: &Value, value: &Value, depth: usize, at: &[Step]) -> bool {
        let mut found = Found {
            at: at.to_vec(),
            misfits: Vec::new(),
        };
        self.check(schema, value, depth + 1, &mut found);
        // Nothing is known to fit once looking has been given up.
        found.misfits.is_empty() && self.steps.get() <= MOST_STEPS
    }

    fn check_combinations(
        &self,
        schema: &Map<String, Value>,
        value: &Value,
        depth: usize,
        found: &mut Found,
    ) {
        let words = ["allOf", "anyOf", "oneOf", "not"];
        if !words.iter().any(|word| schema.contains_key(*word)) {
            return;
        }
        let all = |word: &str| schema.get(word).and_then(Value::as_array);
        let at = found.at.clone();
        let fits = |schema: &&Value| self.fits(schema, value, depth, &at);
        for part in all("allOf").into_iter().flatten() {
            self.check(part, value, depth + 1, found);
        }
        let mut misfit = |reason: &str| found.add(format!("{} {reason}", python(value)));
        if let Some(parts) = all("anyOf")
            && !parts.iter().any(|part| fits(&part))
        {
            misfit("is not valid under any of the given schemas");
        }
        if let Some(parts) = all("oneOf") {
            match parts.iter().filter(fits).count() {
                1 => {}
                0 => misfit("is not valid under any of the given schemas"),
                _ => misfit("is valid under more than one of the given schemas"),
            }
        }
        if let Some(not) = schema.get("not")
            && fits(&not)
        {
            misfit("should not be valid under the schema's `not`");
        }
    }

    fn check_object(
        &self,
        schema: &Map<String, Value>,
        members: &Map<String, Value>,
        depth: usize,
        found: &mut Found,
    ) {
        let known = schema.get("properties").and_then(Value::as_object);
        let inside = |name: &str, schema: &Value, member: &Value, found: &mut Found| {
            found.at.push(Step::Member(name.to_owned()));
            self.check(schema, member, depth + 1, found);
            found.at.pop();
        };
        for (name, schema) in known.into_iter().flatten() {
            if let Some(member) = members.get(name) {
                inside(name, schema, member, found);
            }
        }
        let required = schema.get("required").and_then(Value::as_array);
        let required = required.filter(|_| self.required == Required::Checked);
        let names = required.into_iter().flatten().filter_map(Value::as_str);
        for name in names.filter(|name| !members.contains_key(*name)) {
            let reason = format!("'{name}' is a required property");
            found.push(reason, Some(name.to_owned()));
        }
        let Some(others) = schema.get("additionalProperties") else {
            return;
        };
        let is_other = |name: &String| known.is_none_or(|known| !known.contains_key(name));
        let extra = members.iter().filter(|(name, _)| is_other(name));
        if *others != Value::Bool(false) {
            extra.for_each(|(name, member)| inside(name, others, member, found));
            return;
        }
        let names: Vec<_> = extra.map(|(name, _)| format!("'{name}'")).collect();
        if !names.is_empty() {
            let verb = if names.len() == 1 { "was" } else { "were" };
            found.add(format!(
                "Additional properties are not allowed ({} {verb} unexpected)",
                names.join(", ")
            ));
        }
    }

    fn check_array(
        &self,
        schema: &Map<String, Value>,
        items: &[Value],
        depth: usize,
        found: &mut Found,
    ) {
        let shown = || python(&Value::Array(items.to_vec()));
        if count(schema, "minItems").is_some_and(|least| items.len() < least) {
            found.add(format!("{} is too short", shown()));
        }
        if count(schema, "maxItems").is_some_and(|most| items.len() > most) {
            found.add(format!("{} is too long", shown()));
        }
        let is_unique = schema.get("uniqueItems") == Some(&Value::Bool(true));
        if is_unique && (1..items.len()).any(|at| items[..at].contains(&items[at])) {
            found.add(format!("{} has non-unique elements", shown()));
        }
        // The first ones may have schemas of their own, by the word of either draft.
        let first = match schema.get("prefixItems").or(schema.get("items")) {
            Some(Value::Array(first)) => first.as_slice(),
            _ => &[],
        };
        let rest = schema
            .get("items")
            .filter(|items| !items.is_array())
            .or(schema.get("additionalItems"));
        for (n, item) in items.iter().enumerate() {
            if let Some(schema) = first.get(n).or(rest) {
                found.at.push(Step::Item(n));
                self.check(schema, item, depth + 1, found);
                found.at.pop();
            }
        }
    }
}

fn count(schema: &Map<String, Value>, word: &str) -> Option<usize> {
    let count = schema.get(word)?.as_u64()?;
    usize::try_from(count).ok()
}

fn check_text(schema: &Map<String, Value>, text: &str, found: &mut Found) {
    let length = text.chars().count();
    let shown = || python(&Value::from(text));
    if count(schema, "minLength").is_some_and(|least| length < least) {
        found.add(format!("{} is too short", shown()));
    }
    if count(schema, "maxLength").is_some_and(|most| length > most) {
        found.add(format!("{} is too long", shown()));
    }
}

fn check_number(schema: &Map<String, Value>, number: f64, found: &mut Found) {
    let bound = |word: &str| schema.get(word).and_then(Value::as_f64);
    let checks = [
        ("minimum", "is less than the minimum of"),
        (
            "exclusiveMinimum",
            "is less than or equal to the minimum of",
        ),
        ("maximum", "is greater than the maximum of"),
        (
            "exclusiveMaximum",
            "is greater than or equal to the maximum of",
        ),
    ];
    for (word, says) in checks {
        let Some(bound) = bound(word) else { continue };
        let is_beyond = match word {
            "minimum" => number < bound,
            "exclusiveMinimum" => number <= bound,
            "maximum" => number > bound,
            _ => number >= bound,
        };
        if is_beyond {
            found.add(format!("{number} {says} {bound}"));
        }
    }
    if let Some(step) = bound("multipleOf")
        && step > 0.0
        && (number / step).fract() != 0.0
    {
        found.add(format!("{number} is not a multiple of {step}"));
    }
}

fn is_of_type(kind: &Value, value: &Value) -> bool {
    let is = |kind: &str| match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => {
            let is_whole = |float: f64| float.fract() == 0.0;
            value.is_i64() || value.is_u64() || value.as_f64().is_some_and(is_whole)
        }
        _ => true,
    };
    match kind {
        Value::String(kind) => is(kind),
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).any(is),
        _ => true,
    }
}

/// Compares as JSON schemas do: numbers by what they are worth.
fn is_same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}

/// Writes a value as Python shows it, which is how clients tell of it.
pub(crate) fn python(value: &Value) -> String {
    let list = |items: Vec<String>| items.join(", ");
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => {
            let quote = if text.contains('\'') && !text.contains('"') {
                '"'
            } else {
                '\''
            };
            format!("{quote}{text}{quote}")
        }
        Value::Array(items) => format!("[{}]", list(items.iter().map(python).collect())),
        Value::Object(members) => {
            let member = |(name, value): (&String, &Value)| format!("'{name}': {}", python(value));
            format!("{{{}}}", list(members.iter().map(member).collect()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn says(value: Value) -> String {
        let schema = json!({
            "type": "object",
            "properties": {
                "n": {"type": "integer"}, "m": {"$ref": "#/definitions/M"}, "e": {"enum": ["a", "b"]},
                "l": {"type": "array", "items": {"type": "integer"}, "maxItems": 2},
                "o": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                "p": {"allOf": [{"type": "number"}], "minimum": 1, "exclusiveMaximum": 5},
                "s": {"$ref": "#/definitions/S"},
            },
            "required": ["n"],
            "definitions": {
                "M": {"type": "object", "properties": {"k": {"type": "number"}}, "required": ["k"],
                    "additionalProperties": false},
                "S": {"$ref": "#/definitions/S"},
            },
        });
        check(&schema, &value, Required::Checked)
            .map_or_else(|misfit| misfit.to_string(), |()| "fits".to_owned())
    }

    // The texts are those with which a genuine 3.8 server refuses the same parameters.
    #[test]
    fn a_misfit_is_told_as_clients_know_it() {
        let at = |field: &str, reason: &str| {
            format!("Validation failed for field '{field}'. Failure reason: {reason}")
        };
        let whole = "Validation failed. Failure reason: 'n' is a required property";
        assert_eq!(says(json!({})), whole);
        for fits in [
            json!({"n": 1, "z": 1}),
            json!({"n": 1.0, "o": null}),
            json!({"n": 1, "m": {"k": 2.5}, "l": [1, 2], "p": 1}),
        ] {
            assert_eq!(says(fits), "fits");
        }
        for (value, field, reason) in [
            (json!({"n": "x"}), "n", "'x' is not of type 'integer'"),
            (json!({"n": true}), "n", "True is not of type 'integer'"),
            (json!({"n": 1.5}), "n", "1.5 is not of type 'integer'"),
            (json!({"n": 1, "m": {}}), "m", "'k' is a required property"),
            (
                json!({"n": 1, "m": {"k": "s"}}),
                "m.k",
                "'s' is not of type 'number'",
            ),
            (
                json!({"n": 1, "e": "c"}),
                "e",
                "'c' is not one of ['a', 'b']",
            ),
            (
                json!({"n": 1, "l": [1, "x"]}),
                "l[1]",
                "'x' is not of type 'integer'",
            ),
            (
                json!({"n": 1, "l": [1, 2, 3]}),
                "l",
                "[1, 2, 3] is too long",
            ),
            (
                json!({"n": 1, "o": 5}),
                "o",
                "5 is not valid under any of the given schemas",
            ),
            (
                json!({"n": 1, "p": 5}),
                "p",
                "5 is greater than or equal to the maximum of 5",
            ),
            (
                json!({"n": 1, "m": {"k": 1, "z": 2}}),
                "m",
                "Additional properties are not allowed ('z' was unexpected)",
            ),
        ] {
            assert_eq!(says(value.clone()), at(field, reason), "{value}");
        }
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        assert!(says(json!({"n": 1, "s": 1})).contains("more than 64 levels deep"));
    }

    #[test]
    fn a_schema_that_multiplies_ends() {
        let itself = json!({"anyOf": [{"$ref": "#"}, {"$ref": "#"}, {"$ref": "#"}]});
        assert!(check(&itself, &json!(1), Required::Checked).is_err());
    }

    #[test]
    fn every_mistake_has_its_place() {
        let schema = json!({
            "properties": {"a": {"type": "integer"}, "l": {"items": {"type": "string"}}},
            "required": ["b", "c"],
        });
        let value = json!({"a": "x", "l": ["y", 1, 2]});
        let place = |misfit: &Misfit| format!("{misfit} {:?}", misfit.missing);
        let found = check_all(&schema, &value, Required::Checked, &Unknown::new());
        assert_eq!(
            found.iter().map(place).collect::<Vec<_>>(),
            [
                "Validation failed for field 'a'. Failure reason: 'x' is not of type 'integer' None",
                "Validation failed for field 'l[1]'. Failure reason: 1 is not of type 'string' None",
                "Validation failed for field 'l[2]'. Failure reason: 2 is not of type 'string' None",
                "Validation failed. Failure reason: 'b' is a required property Some(\"b\")",
                "Validation failed. Failure reason: 'c' is a required property Some(\"c\")",
            ]
        );
        // Told alone is what is closest to the whole.
        let first = check(&schema, &value, Required::Checked).unwrap_err();
        assert_eq!(first.reason, "'b' is a required property");
        let at = |name: &str| vec![Step::Member(name.to_owned())];
        let unknown = Unknown::from([(at("a"), None), (at("l"), Some("not made".to_owned()))]);
        let found = check_all(&schema, &value, Required::Ignored, &unknown);
        assert_eq!(found.len(), 1);
        assert_eq!(
            (&found[0].path, found[0].reason.as_str()),
            (&at("l"), "not made")
        );
    }

    #[test]
    fn what_need_not_be_given_may_be_null() {
        let schema = json!({
            "properties": {
                "n": {"type": "integer"}, "d": {"type": "integer", "default": 1}, "r": {"type": "integer"},
                "t": {"items": [{"type": "integer"}]},
            },
            "required": ["r"],
        });
        let fits = |value: Value| check(&as_meant(&schema), &value, Required::Checked).is_ok();
        assert!(fits(json!({"n": null, "r": 1, "t": [1, "x"]})));
        assert!(!fits(json!({"d": null, "r": 1})));
        assert!(!fits(json!({"r": null})));
        assert!(!fits(json!({"r": 1, "t": ["x"]})));
    }

    #[test]
    fn what_is_no_schema_is_told() {
        for (schema, reason) in [
            (
                json!({"type": "strange"}),
                Some("'strange' is not valid under any of the given schemas"),
            ),
            (
                json!({"properties": {"a": {"type": 5}}}),
                Some("5 is not valid under any of the given schemas"),
            ),
            (
                json!({"properties": []}),
                Some("[] is not of type 'object'"),
            ),
            (json!({"required": [1]}), Some("1 is not of type 'string'")),
            (json!({"anyOf": []}), Some("[] should be non-empty")),
            (json!({"minimum": "x"}), Some("'x' is not of type 'number'")),
            (
                json!({"type": ["string", "null"], "items": true, "x": 5, "minLength": 2.0}),
                None,
            ),
        ] {
            assert_eq!(why_no_schema(&schema).as_deref(), reason, "{schema}");
        }
    }

    #[test]
    fn what_a_run_must_have_a_deployment_may_lack() {
        let schema = json!({"required": ["n"], "properties": {"n": {"type": "integer"}}});
        assert!(check(&schema, &json!({}), Required::Ignored).is_ok());
        assert!(check(&schema, &json!({"n": "x"}), Required::Ignored).is_err());
    }
}

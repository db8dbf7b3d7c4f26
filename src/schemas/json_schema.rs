//! Checks values against JSON schemas, as clients describe parameters and inputs of flows by them.
//!
//! It knows the words that those schemas are made of, follows references inside the schema only,
//! and lets pass what it does not know: a value is refused for a reason that can be told, in the
//! words that clients know.

use std::cell::Cell;

use serde_json::{Map, Value};

/// References that lead to references, and values inside values, end here.
const DEEPEST: usize = 64;

/// Comparisons of a value with a part of a schema; schemas that refer to themselves several times
/// would need more of them than there are atoms.
const MOST_STEPS: u32 = 100_000;

/// Why a value does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// Where in the value, such as `hosts[0].port`; empty for the whole.
    pub field: String,
    /// What is wrong there.
    pub reason: String,
}

impl std::fmt::Display for Misfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { field, reason } = self;
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

/// Checks a value against a schema.
pub fn check(schema: &Value, value: &Value, required: Required) -> Result<(), Misfit> {
    let checker = Checker {
        root: schema,
        required,
        steps: Cell::new(0),
    };
    checker.check(schema, value, "", 0)
}

struct Checker<'a> {
    root: &'a Value,
    required: Required,
    steps: Cell<u32>,
}

impl Checker<'_> {
    fn check(&self, schema: &Value, value: &Value, at: &str, depth: usize) -> Result<(), Misfit> {
        let misfit = |reason: String| {
            Err(Misfit {
                field: at.to_owned(),
                reason,
            })
        };
        self.steps.set(self.steps.get().saturating_add(1));
        if self.steps.get() > MOST_STEPS {
            return misfit(format!("checking it takes more than {MOST_STEPS} steps"));
        }
        let Some(schema) = schema.as_object() else {
            return match schema {
                Value::Bool(false) => {
                    misfit(format!("False schema does not allow {}", python(value)))
                }
                _ => Ok(()),
            };
        };
        if depth > DEEPEST {
            return misfit(format!(
                "the schema refers to itself more than {DEEPEST} levels deep"
            ));
        }
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            let target = reference
                .strip_prefix('#')
                .and_then(|pointer| self.root.pointer(pointer));
            match target {
                Some(target) => self.check(target, value, at, depth + 1)?,
                None => return misfit(format!("the schema's reference {reference} leads nowhere")),
            }
        }
        if let Some(kind) = schema.get("type")
            && !is_of_type(kind, value)
        {
            let kinds = match kind {
                Value::Array(kinds) => kinds.iter().map(python).collect::<Vec<_>>().join(", "),
                kind => python(kind),
            };
            return misfit(format!("{} is not of type {kinds}", python(value)));
        }
        if let Some(Value::Array(options)) = schema.get("enum")
            && !options.iter().any(|option| is_same(option, value))
        {
            let options = python(&Value::Array(options.clone()));
            return misfit(format!("{} is not one of {options}", python(value)));
        }
        if let Some(wanted) = schema.get("const")
            && !is_same(wanted, value)
        {
            return misfit(format!("{} was expected", python(wanted)));
        }
        self.check_combinations(schema, value, at, depth)?;
        match value {
            Value::Object(members) => self.check_object(schema, members, at, depth),
            Value::Array(items) => self.check_array(schema, items, at, depth),
            Value::String(text) => check_text(schema, text).or_else(misfit),
            Value::Number(number) => {
                check_number(schema, number.as_f64().unwrap_or(f64::NAN)).or_else(misfit)
            }
            Value::Bool(_) | Value::Null => Ok(()),
        }
    }

    fn check_combinations(
        &self,
        schema: &Map<String, Value>,
        value: &Value,
        at: &str,
        depth: usize,
    ) -> Result<(), Misfit> {
        let misfit = |reason: &str| {
            Err(Misfit {
                field: at.to_owned(),
                reason: format!("{} {reason}", python(value)),
            })
        };
        let all = |word: &str| schema.get(word).and_then(Value::as_array);
        let fits = |schema: &&Value| self.check(schema, value, at, depth + 1).is_ok();
        for part in all("allOf").into_iter().flatten() {
            self.check(part, value, at, depth + 1)?;
        }
        if let Some(parts) = all("anyOf")
            && !parts.iter().any(|part| fits(&part))
        {
            return misfit("is not valid under any of the given schemas");
        }
        if let Some(parts) = all("oneOf") {
            match parts.iter().filter(fits).count() {
                1 => {}
                0 => return misfit("is not valid under any of the given schemas"),
                _ => return misfit("is valid under more than one of the given schemas"),
            }
        }
        if let Some(not) = schema.get("not")
            && fits(&not)
        {
            return misfit("should not be valid under the schema's `not`");
        }
        Ok(())
    }

    fn check_object(
        &self,
        schema: &Map<String, Value>,
        members: &Map<String, Value>,
        at: &str,
        depth: usize,
    ) -> Result<(), Misfit> {
        let misfit = |reason: String| {
            Err(Misfit {
                field: at.to_owned(),
                reason,
            })
        };
        let known = schema.get("properties").and_then(Value::as_object);
        for (name, schema) in known.into_iter().flatten() {
            if let Some(member) = members.get(name) {
                self.check(schema, member, &inside(at, name), depth + 1)?;
            }
        }
        let required = schema.get("required").and_then(Value::as_array);
        let missing = required
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .find(|name| !members.contains_key(*name));
        if let Some(name) = missing.filter(|_| self.required == Required::Checked) {
            return misfit(format!("'{name}' is a required property"));
        }
        if let Some(others) = schema.get("additionalProperties") {
            let is_other = |name: &String| known.is_none_or(|known| !known.contains_key(name));
            for (name, member) in members.iter().filter(|(name, _)| is_other(name)) {
                if *others == Value::Bool(false) {
                    return misfit(format!(
                        "Additional properties are not allowed ('{name}' was unexpected)"
                    ));
                }
                self.check(others, member, &inside(at, name), depth + 1)?;
            }
        }
        Ok(())
    }

    fn check_array(
        &self,
        schema: &Map<String, Value>,
        items: &[Value],
        at: &str,
        depth: usize,
    ) -> Result<(), Misfit> {
        let misfit = |reason: String| {
            Err(Misfit {
                field: at.to_owned(),
                reason,
            })
        };
        let shown = || python(&Value::Array(items.to_vec()));
        if count(schema, "minItems").is_some_and(|least| items.len() < least) {
            return misfit(format!("{} is too short", shown()));
        }
        if count(schema, "maxItems").is_some_and(|most| items.len() > most) {
            return misfit(format!("{} is too long", shown()));
        }
        let is_unique = schema.get("uniqueItems") == Some(&Value::Bool(true));
        if is_unique && (1..items.len()).any(|at| items[..at].contains(&items[at])) {
            return misfit(format!("{} has non-unique elements", shown()));
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
                self.check(schema, item, &format!("{at}[{n}]"), depth + 1)?;
            }
        }
        Ok(())
    }
}

fn inside(at: &str, name: &str) -> String {
    if at.is_empty() {
        name.to_owned()
    } else {
        format!("{at}.{name}")
    }
}

fn count(schema: &Map<String, Value>, word: &str) -> Option<usize> {
    let count = schema.get(word)?.as_u64()?;
    usize::try_from(count).ok()
}

fn check_text(schema: &Map<String, Value>, text: &str) -> Result<(), String> {
    let length = text.chars().count();
    let shown = || python(&Value::from(text));
    if count(schema, "minLength").is_some_and(|least| length < least) {
        return Err(format!("{} is too short", shown()));
    }
    if count(schema, "maxLength").is_some_and(|most| length > most) {
        return Err(format!("{} is too long", shown()));
    }
    Ok(())
}

fn check_number(schema: &Map<String, Value>, number: f64) -> Result<(), String> {
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
            return Err(format!("{number} {says} {bound}"));
        }
    }
    match bound("multipleOf") {
        Some(step) if step > 0.0 && (number / step).fract() != 0.0 => {
            Err(format!("{number} is not a multiple of {step}"))
        }
        _ => Ok(()),
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
fn python(value: &Value) -> String {
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
    fn what_a_run_must_have_a_deployment_may_lack() {
        let schema = json!({"required": ["n"], "properties": {"n": {"type": "integer"}}});
        assert!(check(&schema, &json!({}), Required::Ignored).is_ok());
        assert!(check(&schema, &json!({"n": "x"}), Required::Ignored).is_err());
    }
}

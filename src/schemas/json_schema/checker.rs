//! The walk through a value and its schema at once.

use std::cell::Cell;

use serde_json::{Map, Value};

use super::{DEEPEST, Misfit, Required, Step, Unknown, python};

/// Comparisons of a value with a part of a schema; schemas that refer to themselves several times
/// would need more of them than there are atoms.
const MOST_STEPS: u32 = 100_000;

/// Reasons that are told of one value.
const MOST_MISFITS: usize = 1000;

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

/// Checks one value.
pub(super) struct Checker<'a> {
    root: &'a Value,
    required: Required,
    unknown: &'a Unknown,
    steps: Cell<u32>,
}
impl<'a> Checker<'a> {
    pub(super) fn new(root: &'a Value, required: Required, unknown: &'a Unknown) -> Self {
        Checker {
            root,
            required,
            unknown,
            steps: Cell::new(0),
        }
    }

    /// Returns all that is wrong with a value.
    pub(super) fn misfits(&self, value: &Value) -> Vec<Misfit> {
        let mut found = Found::default();
        self.check(self.root, value, 0, &mut found);
        found.misfits
    }
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

/// Whether a value is of a type, or of one of several, that a schema names.
pub(super) fn is_of_type(kind: &Value, value: &Value) -> bool {
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

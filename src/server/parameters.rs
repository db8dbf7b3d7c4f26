//! Values that say how they are made: JSON in a text, a template, a variable.
//!
//! Forms of dashboards and callers of the API send parameters as objects with `__prefect_kind`.
//! They are worth what they make, wherever they stand. A value without its content is left out.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Map, Value};

use super::automations::templates;
use super::models::{self, variables::Which};
use crate::db::{Conn, Result};
use crate::schemas::Document;
use crate::schemas::json_schema::{Step, Unknown};

/// The member that says how a value is made.
pub const KIND: &str = "__prefect_kind";

/// Returns a document with the worth of each value in it; the inner error says what is wrong.
pub async fn expand(
    conn: &mut Conn,
    document: Document,
) -> Result<std::result::Result<Document, String>> {
    // Almost no document has any, and what has none stays as it was written.
    if !document.get().contains(KIND) {
        return Ok(Ok(document));
    }
    let Ok(value) = document.read::<Value>() else {
        return Ok(Ok(document));
    };
    let mut maker = Maker::new(conn, &value, None).await?;
    let made = maker.make(value);
    Ok(made.map(|made| {
        Document::of(&made.unwrap_or_else(|| Map::new().into())).expect("a value is JSON")
    }))
}

/// Returns a value with the worth of each value in it, as far as it is known now, and what is not:
/// a template is worth something only once a run is made.
pub async fn expand_partly(conn: &mut Conn, value: Value) -> Result<(Value, Unknown)> {
    let mut maker = Maker::new(conn, &value, Some(Unknown::new())).await?;
    let made = maker.make(value).ok().flatten();
    Ok((
        made.unwrap_or_else(|| Map::new().into()),
        maker.unknown.unwrap_or_default(),
    ))
}

fn name_variables(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            if members.get(KIND).and_then(Value::as_str) == Some("workspace_variable") {
                let name = members.get("variable_name").and_then(Value::as_str);
                names.extend(name.map(str::to_owned));
            }
            members
                .values()
                .for_each(|member| name_variables(member, names));
        }
        Value::Array(items) => items.iter().for_each(|item| name_variables(item, names)),
        _ => {}
    }
}

/// Makes values.
struct Maker {
    variables: HashMap<String, Value>,
    /// What cannot be made now, where that does not end it all.
    unknown: Option<Unknown>,
    /// Where the value being made will stand.
    at: Vec<Step>,
}

impl Maker {
    async fn new(conn: &mut Conn, value: &Value, unknown: Option<Unknown>) -> Result<Self> {
        let mut names = BTreeSet::new();
        name_variables(value, &mut names);
        let mut variables = HashMap::new();
        for name in names {
            let which = Which::Name(name.clone());
            if let Some(variable) = models::variables::read(conn, &which).await? {
                variables.insert(name, variable.value.read().unwrap_or_default());
            }
        }
        Ok(Self {
            variables,
            unknown,
            at: Vec::new(),
        })
    }

    /// Returns what a value is worth, or none if it is left out.
    fn make(&mut self, value: Value) -> std::result::Result<Option<Value>, String> {
        match value {
            Value::Object(members) => match members.get(KIND).cloned() {
                Some(kind) => match self.make_kind(kind.as_str(), members) {
                    Err(text) if self.unknown.is_some() => Ok(Some(self.unknown_here(Some(text)))),
                    made => made,
                },
                None => {
                    let mut made = Map::new();
                    for (name, member) in members {
                        let step = Step::Member(name.clone());
                        if let Some(member) = self.make_inside(step, member)? {
                            made.insert(name, member);
                        }
                    }
                    Ok(Some(made.into()))
                }
            },
            Value::Array(items) => {
                let mut made = Vec::with_capacity(items.len());
                for item in items {
                    made.extend(self.make_inside(Step::Item(made.len()), item)?);
                }
                Ok(Some(made.into()))
            }
            plain => Ok(Some(plain)),
        }
    }

    fn make_inside(
        &mut self,
        step: Step,
        value: Value,
    ) -> std::result::Result<Option<Value>, String> {
        self.at.push(step);
        let made = self.make(value);
        self.at.pop();
        made
    }

    /// Notes that the value here is not known, and returns what stands for it.
    fn unknown_here(&mut self, wrong: Option<String>) -> Value {
        if let Some(unknown) = &mut self.unknown {
            unknown.insert(self.at.clone(), wrong);
        }
        Value::Null
    }

    fn is_unknown_here(&self) -> bool {
        let unknown = self.unknown.as_ref();
        unknown.is_some_and(|unknown| unknown.contains_key(&self.at))
    }

    fn make_kind(
        &mut self,
        kind: Option<&str>,
        mut members: Map<String, Value>,
    ) -> std::result::Result<Option<Value>, String> {
        let mut part = |name: &str| members.shift_remove(name);
        match kind {
            Some("json") => {
                let Some(content) = part("value") else {
                    return Ok(None);
                };
                match self.make(content)? {
                    _ if self.is_unknown_here() => Ok(Some(Value::Null)),
                    Some(Value::String(text)) => serde_json::from_str(&text)
                        .map(Some)
                        .map_err(|error| format!("Invalid JSON: {error}")),
                    made => Ok(made),
                }
            }
            Some("jinja") => match part("template") {
                Some(content) => match self.make(content)? {
                    _ if self.is_unknown_here() => Ok(Some(Value::Null)),
                    Some(Value::String(template)) => self.make_template(&template),
                    _ => Err("Invalid jinja: the template must be a text".to_owned()),
                },
                None => Err("Missing 'template' key in __prefect object".to_owned()),
            },
            Some("workspace_variable") => match part("variable_name") {
                Some(Value::String(name)) => match self.variables.get(&name) {
                    Some(value) => Ok(Some(value.clone())),
                    None => Err(format!("Variable '{name}' not found in workspace.")),
                },
                Some(_) => Err("the name of a variable must be a text".to_owned()),
                None => Ok(None),
            },
            Some("none") => match part("value") {
                Some(content) => self.make(content),
                None => Err("Missing 'value' key in __prefect object".to_owned()),
            },
            // A kind of later clients is worth what it holds.
            _ => Ok(Some(part("value").unwrap_or_default())),
        }
    }

    fn make_template(&mut self, template: &str) -> std::result::Result<Option<Value>, String> {
        let wrong = |error: String| format!("Invalid jinja: {error}");
        if self.unknown.is_some() {
            templates::check(template).map_err(|fault| wrong(fault.text))?;
            return Ok(Some(self.unknown_here(None)));
        }
        let context = Map::new().into();
        templates::render(template, &context, "")
            .map(|text| Some(text.into()))
            .map_err(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn made(value: Value) -> std::result::Result<Value, String> {
        let variables = HashMap::from([("v".to_owned(), json!({"a": 1}))]);
        let mut maker = Maker {
            variables,
            unknown: None,
            at: Vec::new(),
        };
        let made = maker.make(value);
        made.map(|made| made.unwrap_or(json!("nothing")))
    }

    #[test]
    fn values_are_worth_what_they_make() {
        let kind = |kind: &str, name: &str, content: Value| json!({KIND: kind, name: content});
        let all = json!({
            "plain": [1, {"b": 2}], "json": kind("json", "value", json!("[1, 2]")),
            "inside": {"deep": [kind("none", "value", json!(5))]},
            "jinja": kind("jinja", "template", json!("{{ 1 + 1 }}")),
            "both": kind("json", "value", kind("jinja", "template", json!("[{{ 3 }}]"))),
            "variable": kind("workspace_variable", "variable_name", json!("v")),
            "left out": {KIND: "json"},
        });
        let wanted = json!({
            "plain": [1, {"b": 2}], "json": [1, 2], "inside": {"deep": [5]}, "jinja": "2", "both": [3],
            "variable": {"a": 1},
        });
        assert_eq!(made(all), Ok(wanted));
        for (value, told) in [
            (kind("json", "value", json!("{")), "Invalid JSON"),
            (kind("jinja", "template", json!("{{ bad")), "Invalid jinja"),
            (
                kind("workspace_variable", "variable_name", json!("w")),
                "Variable 'w' not found",
            ),
            (json!({KIND: "none"}), "Missing 'value'"),
        ] {
            let error = made(json!({"n": value})).unwrap_err();
            assert!(error.starts_with(told), "{error}");
        }
    }
}

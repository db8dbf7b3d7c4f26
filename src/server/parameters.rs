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

const KIND: &str = "__prefect_kind";

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
    let mut names = BTreeSet::new();
    name_variables(&value, &mut names);
    let mut variables = HashMap::new();
    for name in names {
        if let Some(variable) = models::variables::read(conn, &Which::Name(name.clone())).await? {
            variables.insert(name, variable.value.read().unwrap_or_default());
        }
    }
    let made = make(value, &variables);
    Ok(made.map(|made| {
        Document::of(&made.unwrap_or_else(|| Map::new().into())).expect("a value is JSON")
    }))
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

/// Returns what a value is worth, or none if it is left out.
fn make(
    value: Value,
    variables: &HashMap<String, Value>,
) -> std::result::Result<Option<Value>, String> {
    match value {
        Value::Object(members) => match members.get(KIND).cloned() {
            Some(kind) => make_kind(kind.as_str(), members, variables),
            None => {
                let mut made = Map::new();
                for (name, member) in members {
                    if let Some(member) = make(member, variables)? {
                        made.insert(name, member);
                    }
                }
                Ok(Some(made.into()))
            }
        },
        Value::Array(items) => {
            let made = items.into_iter().map(|item| make(item, variables));
            let made: std::result::Result<Vec<_>, _> = made.collect();
            Ok(Some(made?.into_iter().flatten().collect()))
        }
        plain => Ok(Some(plain)),
    }
}

fn make_kind(
    kind: Option<&str>,
    mut members: Map<String, Value>,
    variables: &HashMap<String, Value>,
) -> std::result::Result<Option<Value>, String> {
    let mut part = |name: &str| members.shift_remove(name);
    match kind {
        Some("json") => {
            let Some(content) = part("value") else {
                return Ok(None);
            };
            match make(content, variables)? {
                Some(Value::String(text)) => serde_json::from_str(&text)
                    .map(Some)
                    .map_err(|error| format!("Invalid JSON: {error}")),
                Some(_) => Err("Invalid JSON: the value must be a text".to_owned()),
                None => Ok(None),
            }
        }
        Some("jinja") => match part("template") {
            Some(Value::String(template)) => {
                let context = Map::new().into();
                templates::render(&template, &context, "")
                    .map(|text| Some(text.into()))
                    .map_err(|error| format!("Invalid jinja: {error}"))
            }
            Some(_) => Err("Invalid jinja: the template must be a text".to_owned()),
            None => Ok(None),
        },
        Some("workspace_variable") => match part("variable_name") {
            Some(Value::String(name)) => match variables.get(&name) {
                Some(value) => Ok(Some(value.clone())),
                None => Err(format!("Variable '{name}' not found in workspace.")),
            },
            Some(_) => Err("the name of a variable must be a text".to_owned()),
            None => Ok(None),
        },
        _ => match part("value") {
            Some(content) => make(content, variables),
            None => Err("Missing 'value' key in __prefect object".to_owned()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn made(value: Value) -> std::result::Result<Value, String> {
        let variables = HashMap::from([("v".to_owned(), json!({"a": 1}))]);
        make(value, &variables).map(|made| made.unwrap_or(json!("nothing")))
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

//! What a job names of the server: blocks and variables, found in it, read, and put in place.

use std::collections::BTreeMap;

use serde_json::Value;
use uuid::Uuid;

use super::Error;
use super::placeholders::{Found, at, fill, next_placeholder};
use crate::client::{self, Client};
use crate::http::percent_encoded;

const BLOCKS: &str = "prefect.blocks.";
const VARIABLES: &str = "prefect.variables.";

/// Puts in place what only the server knows.
pub(super) async fn read(client: &Client, configuration: Value) -> Result<Value, Error> {
    let mut references = BTreeMap::new();
    collect(&configuration, &mut references);
    for (reference, value) in &mut references {
        *value = fetch(client, reference).await?;
    }
    Ok(in_place(configuration, &references))
}

/// Whether a placeholder names something of the server.
pub(super) fn is_of_server(name: &str) -> bool {
    name.starts_with(BLOCKS) || name.starts_with(VARIABLES)
}

/// Returns the block that an object stands for: `{"$ref": {"block_document_id": …}}`.
fn reference(value: &Value) -> Option<Uuid> {
    let members = value.as_object().filter(|members| members.len() == 1)?;
    let reference = members.get("$ref")?;
    let id = match reference {
        Value::String(id) => id,
        reference => reference["block_document_id"].as_str()?,
    };
    id.parse().ok()
}

/// Notes what is still to be asked for.
pub(super) fn collect(value: &Value, references: &mut BTreeMap<String, Value>) {
    if let Some(id) = reference(value) {
        references.insert(id.to_string(), Value::Null);
        return;
    }
    match value {
        Value::String(text) => {
            let mut rest = text.as_str();
            while let Some((_, name, after)) = next_placeholder(rest) {
                if is_of_server(name.trim()) {
                    references.insert(name.trim().to_owned(), Value::Null);
                }
                rest = after;
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, references)),
        Value::Object(members) => members
            .values()
            .for_each(|value| collect(value, references)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Asks the server for what a name means.
async fn fetch(client: &Client, name: &str) -> Result<Value, Error> {
    let cannot = |failure: client::Error| match failure.is_refusal() {
        true => Error::Wrong(format!(
            "The job's `{name}` could not be read from the server: {failure}"
        )),
        false => Error::Away(failure),
    };
    if let Some(variable) = name.strip_prefix(VARIABLES) {
        let found = Client::optional(client.read_variable(variable).await).map_err(cannot)?;
        return Ok(found.map_or(Value::Null, |variable| variable.value.clone()));
    }
    let (path, inside) = match name.strip_prefix(BLOCKS) {
        None => (
            format!("/block_documents/{name}?include_secrets=true"),
            None,
        ),
        Some(block) => {
            let mut parts = block.splitn(3, '.');
            let (Some(slug), Some(block)) = (parts.next(), parts.next()) else {
                return Err(Error::Wrong(format!(
                    "The job's `{name}` names no block; write `{BLOCKS}<type>.<name>`."
                )));
            };
            let path = format!(
                "/block_types/slug/{}/block_documents/name/{}?include_secrets=true",
                percent_encoded(slug),
                percent_encoded(block)
            );
            (path, Some(parts.next().unwrap_or_default()))
        }
    };
    let document = Client::optional(client.get::<Value>(&path).await).map_err(cannot)?;
    let document = document.ok_or_else(|| {
        Error::Wrong(format!("The job needs `{name}`, and there is no such block; create it, or change the pool's template or the job variables."))
    })?;
    let data = document["data"].clone();
    match inside {
        None => Ok(data),
        Some(inside) => inside_of(&data, inside).cloned().ok_or_else(|| {
            Error::Wrong(format!(
                "The job's `{name}` is not in that block; look with `prefect-rs block inspect`."
            ))
        }),
    }
}

/// Returns what a path means in a block; of one that only wraps a value, the value is meant.
pub(super) fn inside_of<'a>(data: &'a Value, path: &str) -> Option<&'a Value> {
    let wraps = data
        .as_object()
        .is_some_and(|data| data.len() == 1 && data.contains_key("value"));
    let is_of_value = path == "value" || path.starts_with("value.") || path.starts_with("value[");
    let data = if wraps && !is_of_value {
        &data["value"]
    } else {
        data
    };
    if path.is_empty() {
        Some(data)
    } else {
        at(data, path)
    }
}

/// Puts in place what was asked for.
pub(super) fn in_place(value: Value, references: &BTreeMap<String, Value>) -> Value {
    if let Some(id) = reference(&value) {
        return references.get(&id.to_string()).cloned().unwrap_or_default();
    }
    let lookup = |name: &str| match references.get(name) {
        // A variable's own text may look like a placeholder.
        None => Found::Later,
        Some(Value::Null) => Found::Nothing,
        Some(value) => Found::Value(value.clone()),
    };
    match value {
        Value::Object(members) => Value::Object(
            members
                .into_iter()
                .map(|(name, value)| (name, in_place(value, references)))
                .collect(),
        ),
        Value::Array(items) => items
            .into_iter()
            .map(|item| in_place(item, references))
            .collect(),
        value => fill(&value, &lookup).unwrap_or_default(),
    }
}

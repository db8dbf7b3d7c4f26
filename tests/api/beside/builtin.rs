//! Compares the block types and schemas that a server has before any client has registered one.
//!
//! Each server describes them in its own words. All else must be the same: a client looks for a
//! schema by its checksum and version, and takes the newest of a type where it has no code for it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::app::TestApp;

/// More than any server has; a page holds no more.
const LIMIT: usize = 200;

/// What a server knows from the beginning, each under a name that says what it is.
pub type Known = BTreeMap<String, Value>;

/// Asks a genuine server that nobody has told anything yet.
pub async fn of_genuine(api: &str) -> Known {
    let client = prefect_rs::http::client().build().expect("a client");
    let ask = async |noun: &str| {
        let request = client.post(format!("{api}/{noun}/filter"));
        let request = request.json(&json!({"limit": LIMIT}));
        let answer = request.send().await.expect("an answer");
        answer.json::<Value>().await.expect("a list")
    };
    known(&ask("block_types").await, &ask("block_schemas").await)
}

/// Returns what ours says otherwise.
pub async fn differences(app: &TestApp, headers: &[(&str, &str)], genuine: &Known) -> Vec<String> {
    let ask = async |noun: &str| {
        let path = format!("/api/{noun}/filter");
        let body = json!({"limit": LIMIT});
        let (status, answer) = app.send("POST", &path, headers, Some(&body)).await;
        assert_eq!(status, 200, "{path}: {answer:?}");
        answer.unwrap_or_default()
    };
    let ours = known(&ask("block_types").await, &ask("block_schemas").await);
    let names: BTreeSet<&String> = genuine.keys().chain(ours.keys()).collect();
    let text = |known: &Known, name: &String| {
        let value = known.get(name);
        value.map_or_else(|| "nothing".to_owned(), Value::to_string)
    };
    names
        .into_iter()
        .filter(|name| genuine.get(*name) != ours.get(*name))
        .map(|name| {
            let (ours, genuine) = (text(&ours, name), text(genuine, name));
            format!("{name} is {ours} instead of {genuine}")
        })
        .collect()
}

fn known(types: &Value, schemas: &Value) -> Known {
    let mut known = Known::new();
    for kind in list(types) {
        let said = json!({"name": kind["name"], "is_protected": kind["is_protected"]});
        known.insert(format!("type {}", kind["slug"]), said);
    }
    let mut seen = BTreeSet::new();
    for schema in list(schemas) {
        let slug = &schema["block_type"]["slug"];
        let capabilities = schema["capabilities"].as_array().expect("a list");
        let capabilities: BTreeSet<_> = capabilities.iter().filter_map(Value::as_str).collect();
        let said = json!({
            "capabilities": capabilities,
            "fields": facts(&schema["fields"]),
            "is_newest": seen.insert(slug.to_string()),
        });
        let (version, checksum) = (&schema["version"], &schema["checksum"]);
        known.insert(format!("schema {slug} {version} {checksum}"), said);
    }
    known
}

fn list(answer: &Value) -> &Vec<Value> {
    let list = answer.as_array().unwrap_or_else(|| panic!("{answer}"));
    assert!(list.len() < LIMIT, "there may be more");
    list
}

/// Returns a schema without the prose that describes it.
fn facts(schema: &Value) -> Value {
    match schema {
        Value::Array(items) => items.iter().map(facts).collect(),
        Value::Object(members) => members
            .iter()
            .filter(|(word, _)| !["description", "example", "examples"].contains(&word.as_str()))
            .map(|(word, said)| (word.clone(), facts_of(word, said)))
            .collect(),
        other => other.clone(),
    }
}

fn facts_of(word: &str, said: &Value) -> Value {
    match (word, said) {
        // What stands here are names, which may be any word.
        ("properties" | "definitions", Value::Object(schemas)) => schemas
            .iter()
            .map(|(name, schema)| (name.clone(), facts(schema)))
            .collect(),
        ("default" | "enum" | "const" | "block_schema_references", _) => said.clone(),
        _ => facts(said),
    }
}

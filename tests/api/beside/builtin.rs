//! Compares the block types and schemas that a server has before any client has registered one, and
//! the templates of its pools' jobs.
//!
//! Each server describes them in its own words. All else must be the same: a client looks for a
//! schema by its checksum and version, and takes the newest of a type where it has no code for it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::app::TestApp;

/// More than any server has; a page holds no more.
const LIMIT: usize = 200;

/// Where a server says what kinds of pools there are.
const POOL_TYPES: &str = "/collections/views/aggregate-worker-metadata";

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
    let mut known = known(&ask("block_types").await, &ask("block_schemas").await);
    let answer = client.get(format!("{api}{POOL_TYPES}")).send().await;
    let answer = answer.expect("an answer").json::<Value>().await;
    known.extend(templates(&answer.expect("pool types")));
    known
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
    let mut ours = known(&ask("block_types").await, &ask("block_schemas").await);
    let path = format!("/api{POOL_TYPES}");
    let (status, answer) = app.send("GET", &path, headers, None).await;
    assert_eq!(status, 200, "{path}: {answer:?}");
    ours.extend(templates(&answer.unwrap_or_default()));
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

/// The templates of those pools that need no worker to bring one, and the order of their variables.
fn templates(packages: &Value) -> Known {
    let packages = packages.as_object().expect("packages").values();
    let kinds = packages.flat_map(|package| package.as_object().expect("types"));
    let mut known = Known::new();
    // 2.20 lacks what the packages of workers have got since, and we have one template for all.
    let is_newest = kinds.clone().all(|(name, _)| name != "prefect-agent");
    for (name, kind) in kinds {
        let is_compared = match name.as_str() {
            "prefect-agent" | "process" => true,
            "docker" | "kubernetes" => is_newest,
            _ => false,
        };
        if is_compared {
            let template = &kind["default_base_job_configuration"];
            let order = |members: &Value| {
                let members = members.as_object().into_iter().flatten();
                members.map(|(name, _)| name.clone()).collect::<Vec<_>>()
            };
            let said = json!({
                "template": facts(template),
                "configuration": order(&template["job_configuration"]),
                "variables": order(&template["variables"]["properties"]),
            });
            known.insert(format!("template of {name}"), said);
        }
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

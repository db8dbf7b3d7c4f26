//! Each member that a genuine server's document knows of a request is one that ours takes.
//!
//! A story asks for what its author thought of; a client sends members that have not been, such as
//! defaults, and what we do not know of we refuse.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::app::TestApp;

/// How deep members of members are looked at.
const DEEPEST: usize = 6;

/// A request with one member, and where that is.
#[derive(Debug)]
pub struct Member {
    method: String,
    path: String,
    place: Vec<String>,
}

/// Reads a genuine server's document and returns the members of all bodies.
pub async fn of_requests(api: &str) -> Vec<Member> {
    let client = prefect_rs::http::client().build().expect("a client");
    let url = format!("{}/openapi.json", api.trim_end_matches("/api"));
    let answer = client.get(url).send().await.expect("an answer");
    let document: Value = answer.json().await.expect("a document");
    let mut members = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        let parts = path.split('/').map(|part| match part.starts_with('{') {
            true => "00000000-0000-0000-0000-000000000000",
            false => part,
        });
        let path = parts.collect::<Vec<_>>().join("/");
        let path = format!("/api{}", path.trim_start_matches("/api"));
        // They would empty the database.
        if path.starts_with("/api/admin") {
            continue;
        }
        for (method, operation) in item.as_object().expect("methods") {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            let mut places = BTreeSet::new();
            collect(&document, schema, &mut Vec::new(), &mut places);
            members.extend(places.into_iter().map(|place| Member {
                method: method.to_uppercase(),
                path: path.clone(),
                place,
            }));
        }
    }
    assert!(members.len() > 100, "only {} members", members.len());
    members
}

fn collect(
    document: &Value,
    schema: &Value,
    place: &mut Vec<String>,
    places: &mut BTreeSet<Vec<String>>,
) {
    if let Some(reference) = schema["$ref"].as_str() {
        let schema = document.pointer(reference.trim_start_matches('#'));
        collect(document, schema.expect("a schema"), place, places);
    }
    for choice in ["anyOf", "oneOf", "allOf"] {
        for schema in schema[choice].as_array().into_iter().flatten() {
            collect(document, schema, place, places);
        }
    }
    if place.len() == DEEPEST {
        return;
    }
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        place.push(name.clone());
        places.insert(place.clone());
        collect(document, schema, place, places);
        place.pop();
    }
}

/// Returns the members that our server calls unknown.
pub async fn refused(app: &TestApp, headers: &[(&str, &str)], members: &[Member]) -> Vec<String> {
    let mut refused = Vec::new();
    for member in members {
        let name = |inner: Value, name: &String| json!({ name: inner });
        let body = member.place.iter().rev().fold(Value::Null, name);
        let (_, answer) = app
            .send(&member.method, &member.path, headers, Some(&body))
            .await;
        let answer = answer.unwrap_or_default();
        let details = answer["exception_detail"].as_array();
        let is_unknown = |detail: &&Value| {
            let kind = detail["type"].as_str().unwrap_or_default();
            let loc = detail["loc"].as_array().into_iter().flatten().skip(1);
            // What is asked of one kind of several is told at the kind that it was taken for.
            kind.contains("extra")
                && loc
                    .map(|step| step.as_str().unwrap_or_default())
                    .eq(&member.place)
        };
        if details
            .into_iter()
            .flatten()
            .any(|detail| is_unknown(&detail))
        {
            refused.push(format!("{member:?} is not known"));
        }
    }
    refused
}

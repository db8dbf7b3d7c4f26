//! The document of what the dashboard reads, from which its types are generated.
//!
//! It lies beside the dashboard's sources as `openapi.json`, since npm builds the dashboard before
//! cargo builds the server that could be asked. A test compares the two.

use serde_json::{Value, json};

use super::router::dashboard_openapi;

/// What a browser sends; it may leave out what it does not ask for.
const SENT: [&str; 28] = [
    "Ask",
    "Of",
    "Words",
    "Ids",
    "HasTags",
    "Span",
    "Absent",
    "InState",
    "LogAsk",
    "BlocksAsk",
    "ScheduleIdea",
    "NamesAsk",
    "EventsQuery",
    "EventFilter",
    "Occurred",
    "Names",
    "ResourceFilter",
    "RelatedFilter",
    "AnyResourceFilter",
    "TextFilter",
    "AutomationsQuery",
    "AutomationsCount",
    "AutomationFilter",
    "AutomationNameFilter",
    "AutomationCreatedFilter",
    "AutomationTagsFilter",
    "Order",
    "AutomationSort",
];

/// Returns the document as text: what the server sends always has all of its fields.
pub fn dashboard_document() -> String {
    let mut document = serde_json::to_value(dashboard_openapi()).expect("a document is JSON");
    document["info"] = json!({"title": "What the dashboard reads", "version": "1"});
    let schemas = document["components"]["schemas"].as_object_mut();
    for (name, schema) in schemas.into_iter().flatten() {
        if !SENT.contains(&name.as_str()) {
            require_all(schema);
        }
    }
    let mut text = serde_json::to_string_pretty(&document).expect("a document is JSON");
    text.push('\n');
    text
}

fn require_all(schema: &mut Value) {
    let properties = schema.get("properties").and_then(Value::as_object);
    if let Some(properties) = properties {
        schema["required"] = properties.keys().cloned().collect();
    }
    match schema {
        Value::Object(parts) => parts.values_mut().for_each(require_all),
        Value::Array(parts) => parts.iter_mut().for_each(require_all),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dashboard_is_built_from_the_document_of_this_server() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/ui-static/openapi.json");
        let now = dashboard_document();
        if std::env::var_os("PREFECT_RS_WRITE_OPENAPI").is_some() {
            std::fs::write(path, &now).unwrap();
        }
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            kept == now,
            "ui-static/openapi.json is of another server: run `make ui-types` and look at the difference"
        );
    }
}

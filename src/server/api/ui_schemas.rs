//! `/ui/schemas/validate`: checks what somebody fills into a form against the form's schema.

use axum::extract::State;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::schemas::json_schema::{self, Misfit, Required, Step};
use crate::server::extract::{Answer, Body};
use crate::server::{ApiError, AppState, parameters};

/// A form's schema and what is filled in.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct Filled {
    /// The schema.
    #[schema(value_type = Object)]
    schema: Map<String, Value>,
    /// The values, each plain or in a form that says how it is made.
    #[schema(value_type = Object)]
    values: Map<String, Value>,
}

/// Says whether values fit a schema, and what is wrong with which.
#[utoipa::path(post, path = "/ui/schemas/validate", request_body = Filled, responses((status = 200), (status = 422, description = "the schema is none")))]
pub async fn validate_values(
    State(state): State<AppState>,
    Body(filled): Body<Filled>,
) -> Result<Answer<Value>, ApiError> {
    let schema = json_schema::as_meant(&Value::Object(filled.schema));
    if let Some(reason) = json_schema::why_no_schema(&schema) {
        return Err(ApiError::Unfit(format!("Invalid schema: {reason}")));
    }
    let values = Value::Object(filled.values);
    let read = async move |conn: &mut _| parameters::expand_partly(conn, values).await;
    let (values, unknown) = state.db.read(read).await?;
    let misfits = json_schema::check_all(&schema, &values, Required::Checked, &unknown);
    let mut errors = Vec::new();
    for misfit in misfits {
        place(&mut errors, misfit);
    }
    Ok(Answer(
        json!({"valid": errors.is_empty(), "errors": errors}),
    ))
}

/// Adds a mistake to those of the value that it is in.
fn place(errors: &mut Vec<Value>, misfit: Misfit) {
    let mut path = misfit.path;
    // What is missing is a mistake of the field that it would fill.
    path.extend(misfit.missing.map(Step::Member));
    let Some((last, outer)) = path.split_last() else {
        errors.push(misfit.reason.into());
        return;
    };
    let mut errors = errors;
    for step in outer {
        errors = inside(errors, step);
    }
    let (name, at) = named(last);
    errors.push(json!({name: at, "errors": [misfit.reason]}));
}

fn named(step: &Step) -> (&'static str, Value) {
    match step {
        Step::Member(name) => ("property", name.as_str().into()),
        Step::Item(index) => ("index", (*index).into()),
    }
}

/// Returns the mistakes within a part, which is added if it has none so far.
fn inside<'a>(errors: &'a mut Vec<Value>, step: &Step) -> &'a mut Vec<Value> {
    let (name, at) = named(step);
    let known = errors.iter().position(|error| error[name] == at);
    let place = known.unwrap_or_else(|| {
        errors.push(json!({name: at, "errors": []}));
        errors.len() - 1
    });
    errors[place]["errors"]
        .as_array_mut()
        .expect("each part lists its mistakes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_told_where_they_are() {
        let schema = json!({
            "properties": {"a": {"properties": {"b": {"items": {"type": "integer"}}}, "required": ["c"]}},
            "required": ["d"], "minProperties": 1,
        });
        let value = json!({"a": {"b": [1, "x", "y"]}});
        let mut errors = Vec::new();
        let unknown = json_schema::Unknown::new();
        for misfit in json_schema::check_all(&schema, &value, Required::Checked, &unknown) {
            place(&mut errors, misfit);
        }
        let wanted = json!([
            {"property": "a", "errors": [
                {"property": "b", "errors": [
                    {"index": 1, "errors": ["'x' is not of type 'integer'"]},
                    {"index": 2, "errors": ["'y' is not of type 'integer'"]},
                ]},
                {"property": "c", "errors": ["'c' is a required property"]},
            ]},
            {"property": "d", "errors": ["'d' is a required property"]},
        ]);
        assert_eq!(Value::from(errors), wanted);
    }
}

//! What fits, what does not, and in which words.

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
fn every_mistake_has_its_place() {
    let schema = json!({
        "properties": {"a": {"type": "integer"}, "l": {"items": {"type": "string"}}},
        "required": ["b", "c"],
    });
    let value = json!({"a": "x", "l": ["y", 1, 2]});
    let place = |misfit: &Misfit| format!("{misfit} {:?}", misfit.missing);
    let found = check_all(&schema, &value, Required::Checked, &Unknown::new());
    assert_eq!(
        found.iter().map(place).collect::<Vec<_>>(),
        [
            "Validation failed for field 'a'. Failure reason: 'x' is not of type 'integer' None",
            "Validation failed for field 'l[1]'. Failure reason: 1 is not of type 'string' None",
            "Validation failed for field 'l[2]'. Failure reason: 2 is not of type 'string' None",
            "Validation failed. Failure reason: 'b' is a required property Some(\"b\")",
            "Validation failed. Failure reason: 'c' is a required property Some(\"c\")",
        ]
    );
    // Told alone is what is closest to the whole.
    let first = check(&schema, &value, Required::Checked).unwrap_err();
    assert_eq!(first.reason, "'b' is a required property");
    let at = |name: &str| vec![Step::Member(name.to_owned())];
    let unknown = Unknown::from([(at("a"), None), (at("l"), Some("not made".to_owned()))]);
    let found = check_all(&schema, &value, Required::Ignored, &unknown);
    assert_eq!(found.len(), 1);
    assert_eq!(
        (&found[0].path, found[0].reason.as_str()),
        (&at("l"), "not made")
    );
}

#[test]
fn what_need_not_be_given_may_be_null() {
    let schema = json!({
        "properties": {
            "n": {"type": "integer"}, "d": {"type": "integer", "default": 1}, "r": {"type": "integer"},
            "t": {"items": [{"type": "integer"}]},
        },
        "required": ["r"],
    });
    let fits = |value: Value| check(&as_meant(&schema), &value, Required::Checked).is_ok();
    assert!(fits(json!({"n": null, "r": 1, "t": [1, "x"]})));
    assert!(!fits(json!({"d": null, "r": 1})));
    assert!(!fits(json!({"r": null})));
    assert!(!fits(json!({"r": 1, "t": ["x"]})));
}

#[test]
fn what_is_no_schema_is_told() {
    for (schema, reason) in [
        (
            json!({"type": "strange"}),
            Some("'strange' is not valid under any of the given schemas"),
        ),
        (
            json!({"properties": {"a": {"type": 5}}}),
            Some("5 is not valid under any of the given schemas"),
        ),
        (
            json!({"properties": []}),
            Some("[] is not of type 'object'"),
        ),
        (json!({"required": [1]}), Some("1 is not of type 'string'")),
        (json!({"anyOf": []}), Some("[] should be non-empty")),
        (json!({"minimum": "x"}), Some("'x' is not of type 'number'")),
        (
            json!({"type": ["string", "null"], "items": true, "x": 5, "minLength": 2.0}),
            None,
        ),
    ] {
        assert_eq!(why_no_schema(&schema).as_deref(), reason, "{schema}");
    }
}

#[test]
fn what_a_run_must_have_a_deployment_may_lack() {
    let schema = json!({"required": ["n"], "properties": {"n": {"type": "integer"}}});
    assert!(check(&schema, &json!({}), Required::Ignored).is_ok());
    assert!(check(&schema, &json!({"n": "x"}), Required::Ignored).is_err());
}

#[test]
fn for_a_block_a_reference_to_one_may_be_given() {
    let schema = json!({
        "properties": {"relay": {"$ref": "#/definitions/Relay"}, "plain": {"$ref": "#/definitions/Plain"}},
        "definitions": {
            "Relay": {"block_type_slug": "relay", "type": "object", "properties": {"host": {"type": "string"}}, "required": ["host"]},
            "Plain": {"type": "object", "properties": {"host": {"type": "string"}}, "required": ["host"]},
        },
    });
    let fits = |value: Value| check(&as_meant(&schema), &value, Required::Checked).is_ok();
    let id = "00000000-0000-0000-0000-0000000000b1";
    for reference in [json!(id), json!({"block_document_id": id})] {
        assert!(fits(json!({"relay": {"$ref": reference}})));
        assert!(!fits(json!({"plain": {"$ref": reference}})));
    }
    assert!(fits(json!({"relay": {"host": "relay.example"}})));
    assert!(!fits(json!({"relay": {"$ref": 7}})));
    assert!(!fits(json!({"relay": {}})));
}

//! The words for each kind of mistake, and that an answer is as long as it says.

use axum::body::{Body, to_bytes};
use axum::http::Request;
use axum::{Router, routing};
use tower::ServiceExt;

use super::*;

#[tokio::test]
async fn a_refusal_is_as_long_as_it_says_whoever_is_told() {
    let refusing = async || {
        let missing = Mistake::of(vec![json!("body"), json!("name")], "field required");
        refuse(vec![missing], json!({}))
    };
    let routes = Router::new().route("/", routing::get(refusing));
    for dialect in [Dialect::B, Dialect::Two, Dialect::Three] {
        let answer = routes.clone().oneshot(Request::new(Body::empty())).await;
        let answer = in_words_of(dialect, answer.expect("an answer"));
        let said = answer.headers().get(header::CONTENT_LENGTH);
        let said = said.map(|said| said.to_str().expect("a number").to_owned());
        let body = to_bytes(answer.into_body(), 4096).await.expect("a body");
        // What is not said is counted by whoever sends it.
        let is_true = said
            .as_ref()
            .is_none_or(|said| *said == body.len().to_string());
        assert!(is_true, "{dialect:?}: {said:?} of {}", body.len());
        assert_eq!(said.is_some(), dialect == Dialect::Three);
    }
}

fn second(message: &str, input: Value) -> String {
    let mistake = Mistake::of(vec![json!("body"), json!("x")], message);
    let told = mistake.told(Dialect::Three, &json!({"x": input}));
    assert_eq!(told["input"], input);
    let ctx = told.get("ctx").map(|ctx| format!(" {ctx}"));
    let ctx = ctx.unwrap_or_default();
    format!("{} {}{ctx}", told["type"], told["msg"])
}

#[test]
fn the_newest_clients_are_told_what_was_given_too() {
    let told = [
        second("unknown field `x`, expected `y`", json!(1)),
        second(
            "unknown variant `x`, expected one of `A`, `B`, `C`",
            json!("x"),
        ),
        second("unknown variant `x`, expected `A`", json!("x")),
        second("invalid type: null, expected a string", Value::Null),
        second("invalid type: string \"many\", expected i64", json!("many")),
        second(
            "invalid type: floating point `1.5`, expected i64",
            json!(1.5),
        ),
        second("invalid type: sequence, expected i64", json!([])),
        second("invalid type: string \"x\", expected f64", json!("x")),
        second("invalid type: integer `7`, expected a boolean", json!(7)),
        second("invalid type: map, expected a sequence", json!({})),
        second("invalid type: sequence, expected struct Flow", json!([])),
        second("invalid type: sequence, expected a map", json!([])),
        second("UUID parsing failed", json!("x")),
        second("UUID parsing failed", json!(5)),
        second(
            "invalid value: string \"soon\", expected a date and time",
            json!("soon"),
        ),
        second("ensure this value is greater than or equal to 0", json!(-1)),
        second("ensure this value is less than 0.5", json!(1)),
        second(
            "ensure this value has at most 255 characters",
            json!("long"),
        ),
        second("ensure this value has at least 1 characters", json!("")),
        second("String should match pattern '^a$'", json!("b")),
        second("something of ours", json!("b")),
    ];
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn what_is_missing_is_told_with_what_is_around_it() {
    let loc = vec![json!("body"), json!("state"), json!("type")];
    let mistake = Mistake::of(loc, "missing field `type`");
    let body = json!({"state": {"name": 3}});
    let told = mistake.told(Dialect::Three, &body);
    assert_eq!(told["input"], json!({"name": 3}));
    assert_eq!(told["type"], "missing");
    assert_eq!(
        mistake.told(Dialect::Two, &body)["type"],
        "value_error.missing"
    );
}

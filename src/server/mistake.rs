//! A mistake in a request, and the words in which each generation of clients is told of it.
//!
//! The genuine servers validate with pydantic, and clients and scripts know what it says. 2.0b3 and
//! 2.20 have its first version. 3.x has the second, which uses other words and repeats what it was
//! given. So a mistake is kept as what it is, and put into words at the edge, where the headers of
//! the request are known.

use std::sync::Arc;

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::schemas::Dialect;

/// One thing that is wrong with a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Mistake {
    /// Where: `body`, `path` or `query`, and the steps from there.
    pub loc: Vec<Value>,
    /// What.
    pub wrong: Wrong,
    /// What stands there, if not in the body.
    pub input: Option<Value>,
}

/// What can be wrong with a part of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Wrong {
    /// It is not there.
    Missing,
    /// Nobody knows it.
    Unknown,
    /// It is of another kind.
    Not(Kind),
    /// It is null, and of a kind that cannot be.
    Null(Kind),
    /// It is none of these words.
    NoMember(Vec<String>),
    /// A number is beyond a bound.
    Beyond(Bound, Value),
    /// A text has more characters than this.
    TooLong(u64),
    /// A text has fewer characters than this.
    TooShort(u64),
    /// A text is not of this form.
    Unlike(String),
    /// The text is no JSON, for this reason.
    NoJson(String),
    /// Anything else, in words of ours.
    Said(String),
}

/// The kinds of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    Integer,
    Number,
    Truth,
    List,
    /// An object with members that are known.
    Object,
    /// An object with any members.
    Map,
    Uuid,
    Instant,
    /// Something that only its own message describes.
    Other,
}

/// On which side of a number others are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    Above,
    AtLeast,
    Below,
    AtMost,
}

impl Bound {
    /// Each with its words, and with its names in the first and second version of pydantic.
    const ALL: [(Self, &'static str, &'static str, &'static str, &'static str); 4] = [
        (
            Self::AtLeast,
            "greater than or equal to",
            "not_ge",
            "greater_than_equal",
            "ge",
        ),
        (
            Self::AtMost,
            "less than or equal to",
            "not_le",
            "less_than_equal",
            "le",
        ),
        (Self::Above, "greater than", "not_gt", "greater_than", "gt"),
        (Self::Below, "less than", "not_lt", "less_than", "lt"),
    ];

    fn names(self) -> (&'static str, &'static str, &'static str, &'static str) {
        let mut all = Self::ALL.into_iter();
        let found = all.find(|(bound, ..)| *bound == self);
        let (_, words, old, new, short) = found.expect("each bound is listed");
        (words, old, new, short)
    }
}

impl Mistake {
    /// A mistake in the body, as a message of a parser or of ours tells of it.
    pub fn of(loc: Vec<Value>, message: &str) -> Self {
        Self {
            loc,
            wrong: Wrong::of(message),
            input: None,
        }
    }

    /// Returns the words that clients of a generation know.
    pub fn told(&self, dialect: Dialect, body: &Value) -> Value {
        match dialect {
            Dialect::B | Dialect::Two => self.first_words(),
            Dialect::Three => self.second_words(body),
        }
    }

    fn first_words(&self) -> Value {
        let (kind, msg, ctx) = self.wrong.first();
        let mut told = json!({"loc": self.loc, "msg": msg, "type": kind});
        if !ctx.is_null() {
            told["ctx"] = ctx;
        }
        told
    }

    fn second_words(&self, body: &Value) -> Value {
        let input = match (&self.input, &self.wrong) {
            (Some(input), _) => input.clone(),
            (None, Wrong::NoJson(_)) => json!({}),
            (None, wrong) => self.found_in(body, *wrong == Wrong::Missing),
        };
        let (kind, msg, ctx) = self.wrong.second(&input);
        let mut told = json!({"type": kind, "loc": self.loc, "msg": msg, "input": input});
        if !ctx.is_null() {
            told["ctx"] = ctx;
        }
        told
    }

    /// Returns what stands at the place, or around it where nothing does.
    fn found_in(&self, body: &Value, is_missing: bool) -> Value {
        let Some((Value::String(part), mut path)) = self.loc.split_first() else {
            return Value::Null;
        };
        if part != "body" {
            return Value::Null;
        }
        if is_missing {
            path = path.split_last().map_or(path, |(_, outer)| outer);
        }
        let found = path.iter().try_fold(body, |value, step| match step {
            Value::String(name) => value.get(name.as_str()),
            step => value.get(usize::try_from(step.as_u64()?).ok()?),
        });
        found.cloned().unwrap_or_default()
    }
}

impl Wrong {
    /// Reads what serde says, or what is said of a value in the words of the genuine servers.
    fn of(message: &str) -> Self {
        let expected = message
            .rsplit_once("expected ")
            .map_or("", |(_, what)| what);
        if message.starts_with("missing field") || message == "field required" {
            return Self::Missing;
        }
        if message.starts_with("unknown field") {
            return Self::Unknown;
        }
        if message.starts_with("unknown variant") {
            let (_, list) = message.split_once(", expected ").unwrap_or_default();
            let members = list.split('`').skip(1).step_by(2);
            return Self::NoMember(members.map(str::to_owned).collect());
        }
        if message.starts_with("invalid type: null") {
            return Self::Null(Kind::of(expected));
        }
        if message.contains("UUID") {
            return Self::Not(Kind::Uuid);
        }
        if message.starts_with("invalid ") && Kind::of(expected) != Kind::Other {
            return Self::Not(Kind::of(expected));
        }
        if message == "value could not be parsed to a boolean" {
            return Self::Not(Kind::Truth);
        }
        let rest = message
            .strip_prefix("ensure this value ")
            .unwrap_or_default();
        Self::beyond(rest)
            .or_else(|| Self::of_length(rest))
            .or_else(|| {
                let pattern = message.strip_prefix("String should match pattern '")?;
                Some(Self::Unlike(pattern.strip_suffix('\'')?.to_owned()))
            })
            .unwrap_or_else(|| Self::Said(message.to_owned()))
    }

    fn beyond(rest: &str) -> Option<Self> {
        let rest = rest.strip_prefix("is ")?;
        Bound::ALL.into_iter().find_map(|(bound, words, ..)| {
            let number = rest.strip_prefix(words)?.trim().parse().ok()?;
            Some(Self::Beyond(bound, Value::Number(number)))
        })
    }

    fn of_length(rest: &str) -> Option<Self> {
        let (least, rest) = match rest.strip_prefix("has at least ") {
            Some(rest) => (true, rest),
            None => (false, rest.strip_prefix("has at most ")?),
        };
        let count = rest.strip_suffix(" characters")?.parse().ok()?;
        Some(if least {
            Self::TooShort(count)
        } else {
            Self::TooLong(count)
        })
    }

    /// Type, message and context in the first version's words.
    fn first(&self) -> (String, String, Value) {
        let plain = |kind: &str, msg: &str| (kind.to_owned(), msg.to_owned(), Value::Null);
        match self {
            Self::Missing => plain("value_error.missing", "field required"),
            Self::Unknown => plain("value_error.extra", "extra fields not permitted"),
            Self::Null(_) => plain(
                "type_error.none.not_allowed",
                "none is not an allowed value",
            ),
            Self::Not(kind) => match kind {
                Kind::Text => plain("type_error.str", "str type expected"),
                Kind::Integer => plain("type_error.integer", "value is not a valid integer"),
                Kind::Number => plain("type_error.float", "value is not a valid float"),
                Kind::Truth => plain("type_error.bool", "value could not be parsed to a boolean"),
                Kind::List => plain("type_error.list", "value is not a valid list"),
                Kind::Object | Kind::Map => plain("type_error.dict", "value is not a valid dict"),
                Kind::Uuid => plain("type_error.uuid", "value is not a valid uuid"),
                Kind::Instant => plain("value_error.datetime", "invalid datetime format"),
                Kind::Other => plain("value_error", "value is not valid"),
            },
            Self::NoMember(members) => {
                let quoted: Vec<String> = members.iter().map(|m| format!("'{m}'")).collect();
                let msg = format!(
                    "value is not a valid enumeration member; permitted: {}",
                    quoted.join(", ")
                );
                (
                    "type_error.enum".to_owned(),
                    msg,
                    json!({"enum_values": members}),
                )
            }
            Self::Beyond(bound, number) => {
                let (words, old, ..) = bound.names();
                let msg = format!("ensure this value is {words} {number}");
                (
                    format!("value_error.number.{old}"),
                    msg,
                    json!({"limit_value": number}),
                )
            }
            Self::TooLong(most) => (
                "value_error.any_str.max_length".to_owned(),
                format!("ensure this value has at most {most} characters"),
                json!({"limit_value": most}),
            ),
            Self::TooShort(least) => (
                "value_error.any_str.min_length".to_owned(),
                format!("ensure this value has at least {least} characters"),
                json!({"limit_value": least}),
            ),
            Self::Unlike(pattern) => (
                "value_error.str.regex".to_owned(),
                format!("string does not match regex \"{pattern}\""),
                json!({"pattern": pattern}),
            ),
            Self::NoJson(why) => plain("value_error.jsondecode", why),
            Self::Said(text) => plain("value_error", text),
        }
    }

    /// Type, message and context in the second version's words, which also look at what was given.
    fn second(&self, input: &Value) -> (String, String, Value) {
        let plain = |kind: &str, msg: &str| (kind.to_owned(), msg.to_owned(), Value::Null);
        match self {
            Self::Missing => plain("missing", "Field required"),
            Self::Unknown => plain("extra_forbidden", "Extra inputs are not permitted"),
            Self::Null(kind) | Self::Not(kind) => kind.second(input),
            Self::NoMember(members) => {
                let quoted: Vec<String> = members.iter().map(|m| format!("'{m}'")).collect();
                let expected = match quoted.split_last() {
                    Some((last, [])) => last.clone(),
                    Some((last, others)) => format!("{} or {last}", others.join(", ")),
                    None => String::new(),
                };
                let msg = format!("Input should be {expected}");
                ("enum".to_owned(), msg, json!({"expected": expected}))
            }
            Self::Beyond(bound, number) => {
                let (words, _, name, short) = bound.names();
                let msg = format!("Input should be {words} {number}");
                (name.to_owned(), msg, json!({short: number}))
            }
            Self::TooLong(most) => (
                "string_too_long".to_owned(),
                format!("String should have at most {}", characters(*most)),
                json!({"max_length": most}),
            ),
            Self::TooShort(least) => (
                "string_too_short".to_owned(),
                format!("String should have at least {}", characters(*least)),
                json!({"min_length": least}),
            ),
            Self::Unlike(pattern) => (
                "string_pattern_mismatch".to_owned(),
                format!("String should match pattern '{pattern}'"),
                json!({"pattern": pattern}),
            ),
            Self::NoJson(why) => (
                "json_invalid".to_owned(),
                "JSON decode error".to_owned(),
                json!({"error": pythonic(why)}),
            ),
            Self::Said(text) => (
                "value_error".to_owned(),
                format!("Value error, {text}"),
                json!({"error": {}}),
            ),
        }
    }
}

impl Kind {
    /// Reads what serde expected.
    fn of(expected: &str) -> Self {
        let is_any = |words: &[&str]| words.iter().any(|word| expected.starts_with(word));
        if is_any(&["a string", "a borrowed string", "string"]) {
            Self::Text
        } else if is_any(&["i64", "u32", "u64", "i32", "u16", "usize"]) {
            Self::Integer
        } else if is_any(&["f64"]) {
            Self::Number
        } else if is_any(&["a boolean"]) {
            Self::Truth
        } else if is_any(&["a sequence"]) {
            Self::List
        } else if is_any(&["struct"]) {
            Self::Object
        } else if is_any(&["a map", "an object"]) {
            Self::Map
        } else if is_any(&["an instant", "a date"]) {
            Self::Instant
        } else if expected.contains("UUID") {
            Self::Uuid
        } else {
            Self::Other
        }
    }

    fn second(self, input: &Value) -> (String, String, Value) {
        let plain = |kind: &str, msg: &str| (kind.to_owned(), msg.to_owned(), Value::Null);
        match (self, input) {
            (Self::Text, _) => plain("string_type", "Input should be a valid string"),
            (Self::Integer, Value::String(_)) => plain(
                "int_parsing",
                "Input should be a valid integer, unable to parse string as an integer",
            ),
            (Self::Integer, Value::Number(number)) if number.is_f64() => plain(
                "int_from_float",
                "Input should be a valid integer, got a number with a fractional part",
            ),
            (Self::Integer, _) => plain("int_type", "Input should be a valid integer"),
            (Self::Number, Value::String(_)) => plain(
                "float_parsing",
                "Input should be a valid number, unable to parse string as a number",
            ),
            (Self::Number, _) => plain("float_type", "Input should be a valid number"),
            (Self::Truth, Value::String(_) | Value::Number(_)) => plain(
                "bool_parsing",
                "Input should be a valid boolean, unable to interpret input",
            ),
            (Self::Truth, _) => plain("bool_type", "Input should be a valid boolean"),
            (Self::List, _) => plain("list_type", "Input should be a valid list"),
            (Self::Object, _) => plain(
                "model_attributes_type",
                "Input should be a valid dictionary or object to extract fields from",
            ),
            (Self::Map, _) => plain("dict_type", "Input should be a valid dictionary"),
            (Self::Uuid, Value::String(text)) => {
                let error = Uuid::parse_str(text).err().map(|error| error.to_string());
                let error = counted_from_one(error.unwrap_or_default());
                let told = format!("Input should be a valid UUID, {error}");
                ("uuid_parsing".to_owned(), told, json!({"error": error}))
            }
            (Self::Uuid, _) => plain(
                "uuid_type",
                "UUID input should be a string, bytes or UUID object",
            ),
            (Self::Instant, Value::String(text)) => (
                "value_error".to_owned(),
                format!("Value error, Unable to parse string [{text}]"),
                json!({"error": {}}),
            ),
            (Self::Instant, _) => plain("value_error", "value is not a valid datetime"),
            (Self::Other, _) => (
                "value_error".to_owned(),
                "Value error, it is of another kind".to_owned(),
                json!({"error": {}}),
            ),
        }
    }
}

/// Clients are told of the first character as of number 1.
fn counted_from_one(error: String) -> String {
    let Some((text, at)) = error.rsplit_once(" at ") else {
        return error;
    };
    match at.parse::<usize>() {
        Ok(at) => format!("{text} at {}", at + 1),
        Err(_) => error,
    }
}

fn characters(count: u64) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} character{plural}")
}

/// What Python's parser says where ours says something else.
fn pythonic(why: &str) -> &str {
    let known = [
        (
            "EOF while parsing a string",
            "Unterminated string starting at",
        ),
        ("EOF while parsing an object", "Expecting ',' delimiter"),
        ("EOF while parsing a list", "Expecting ',' delimiter"),
        ("EOF while parsing a value", "Expecting value"),
        ("expected value", "Expecting value"),
        ("expected ident", "Expecting value"),
        ("trailing characters", "Extra data"),
        ("expected `,`", "Expecting ',' delimiter"),
        ("expected `:`", "Expecting ':' delimiter"),
        (
            "key must be a string",
            "Expecting property name enclosed in double quotes",
        ),
        (
            "trailing comma",
            "Expecting property name enclosed in double quotes",
        ),
        ("control character", "Invalid control character at"),
    ];
    let mut all = known.into_iter();
    all.find(|(ours, _)| why.starts_with(ours))
        .map_or(why, |(_, theirs)| theirs)
}

/// A refusal on its way to the edge.
#[derive(Clone)]
struct Refusal(Arc<(Vec<Mistake>, Value)>);

/// Answers with what is wrong, in the newest words; [`in_words_of`] changes them.
pub fn refuse(mistakes: Vec<Mistake>, body: Value) -> Response {
    let refusal = Refusal(Arc::new((mistakes, body)));
    let mut response = refusal.told(Dialect::Three);
    response.extensions_mut().insert(refusal);
    response
}

impl Refusal {
    fn told(&self, dialect: Dialect) -> Response {
        let (mistakes, body) = &*self.0;
        let details = mistakes.iter().map(|mistake| mistake.told(dialect, body));
        let told = json!({
            "exception_message": "Invalid request received.",
            "exception_detail": details.collect::<Vec<_>>(),
            "request_body": body,
        });
        (StatusCode::UNPROCESSABLE_ENTITY, Json(told)).into_response()
    }
}

/// Tells a refusal in the words of the client's generation; other answers stay as they are.
pub fn in_words_of(dialect: Dialect, mut response: Response) -> Response {
    let refusal = response.extensions_mut().remove::<Refusal>();
    match refusal {
        Some(refusal) if dialect != Dialect::Three => {
            *response.body_mut() = refusal.told(dialect).into_body();
            // The routes have counted the first words; these are counted as they are sent.
            response.headers_mut().remove(header::CONTENT_LENGTH);
            response
        }
        _ => response,
    }
}

#[cfg(test)]
mod tests {
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
}

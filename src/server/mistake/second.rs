//! The words of the second version of pydantic, which clients of 3.x know.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Kind, Wrong};

impl Wrong {
    /// Type, message and context in the second version's words, which also look at what was given.
    pub(super) fn second(&self, input: &Value) -> (String, String, Value) {
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

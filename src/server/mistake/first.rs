//! The words of the first version of pydantic, which clients of 2.0b3 and 2.20 know.

use serde_json::{Value, json};

use super::{Kind, Wrong};

impl Wrong {
    /// Type, message and context in the first version's words.
    pub(super) fn first(&self) -> (String, String, Value) {
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
}

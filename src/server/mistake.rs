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

use crate::schemas::Dialect;

mod first;
mod reading;
mod second;
#[cfg(test)]
mod tests;

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

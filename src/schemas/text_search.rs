//! The words that events and log lines are searched for: one grammar for both.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

/// The longest text that may be searched for.
const MAX_QUERY: usize = 200;

/// Words anywhere in a text: any of the plain ones, none of those with `-` or `!`, all of those
/// with `+`; quotes keep words together.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TextFilter {
    /// The words.
    #[serde(deserialize_with = "query")]
    pub query: String,
}

/// The words of a [`TextFilter`], in lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words {
    /// Any of them, if there are some.
    pub any: Vec<String>,
    /// None of them.
    pub none: Vec<String>,
    /// All of them.
    pub all: Vec<String>,
}

impl Words {
    /// Tells whether a text has them.
    pub fn are_in(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        let has = |word: &String| text.contains(word.as_str());
        (self.any.is_empty() || self.any.iter().any(has))
            && !self.none.iter().any(has)
            && self.all.iter().all(has)
    }
}

impl TextFilter {
    /// Cuts the query into words.
    pub fn words(&self) -> Words {
        let mut words = Words::default();
        let mut rest = self.query.chars().peekable();
        while let Some(first) = rest.peek().copied() {
            if first.is_whitespace() {
                rest.next();
                continue;
            }
            let sign = matches!(first, '-' | '!' | '+').then_some(first);
            if sign.is_some() {
                rest.next();
                // A sign on its own means nothing.
                if rest.peek().is_none_or(|next| next.is_whitespace()) {
                    continue;
                }
            }
            let word = take_word(&mut rest).to_lowercase();
            if !word.trim().is_empty() {
                match sign {
                    Some('+') => words.all.push(word),
                    Some(_) => words.none.push(word),
                    None => words.any.push(word),
                }
            }
        }
        words
    }
}

fn take_word(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> String {
    let mut word = String::new();
    if rest.peek() == Some(&'"') {
        rest.next();
        while let Some(c) = rest.next() {
            match (c, rest.peek()) {
                ('\\', Some('"' | '\\')) => word.extend(rest.next()),
                ('"', _) => break,
                _ => word.push(c),
            }
        }
        return word;
    }
    while let Some(c) = rest.next_if(|c| !c.is_whitespace() && *c != '"') {
        word.push(c);
    }
    word
}

fn query<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let query = String::deserialize(deserializer)?;
    if query.chars().count() > MAX_QUERY {
        return Err(D::Error::custom(format!(
            "a query has at most {MAX_QUERY} characters"
        )));
    }
    Ok(query)
}

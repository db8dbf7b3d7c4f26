//! Finds what is wrong with a body that is not understood.
//!
//! What serde says becomes a [`Mistake`]: its text is read, since serde keeps no kind of error
//! beside it. A text that is not recognised is passed on as it is, without its position, which
//! the place tells better.

use std::collections::VecDeque;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::ApiError;
use super::mistake::{Mistake, Wrong};
use crate::schemas::objects::Objects;
use crate::schemas::place;

/// Bodies larger than this are not sent back.
const LARGEST_ECHO_BYTES: usize = 16 * 1024;

/// At most so many mistakes are told of; looking for each costs reading the body again.
const MOST_MISTAKES: usize = 16;

/// Explains why `text` is no `T`: all that is wrong with it, as far as can be told.
pub fn explain<T: DeserializeOwned>(text: &[u8]) -> ApiError {
    if has_negative_limit::<T>(text) {
        return ApiError::negative_limit();
    }
    let details = details_of::<T>(text);
    if details.is_empty() {
        return ApiError::invalid(&["body"], "the body has something behind its end");
    }
    let body = if text.len() <= LARGEST_ECHO_BYTES {
        serde_json::from_slice(text)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(text).into_owned()))
    } else {
        Value::Null
    };
    ApiError::Invalid { details, body }
}

/// Tells whether a list is asked for with a limit below zero, which genuine servers look at before all else.
///
/// What reads such a limit and no other kind leaves it to the handler to refuse it.
fn has_negative_limit<T: DeserializeOwned>(text: &[u8]) -> bool {
    let is_negative = |body: Value| body["limit"].as_i64().is_some_and(|limit| limit < 0);
    let reads = |text: &[u8]| detail_of::<T>(text).is_none();
    text.len() <= LARGEST_ECHO_BYTES
        && serde_json::from_slice(text).is_ok_and(is_negative)
        && reads(br#"{"limit": -1}"#)
        && !reads(br#"{"limit": []}"#)
}

/// Says that a body is missing which is needed.
pub fn missing_body() -> ApiError {
    let mistake = Mistake {
        loc: vec![json!("body")],
        wrong: Wrong::Missing,
        input: None,
    };
    ApiError::Invalid {
        details: vec![mistake],
        body: Value::Null,
    }
}

/// Explains what `text` says of a query: which parameter is missing or wrong.
pub fn query(text: &str, given: Option<&str>) -> ApiError {
    let text = text.rsplit("query string: ").next().unwrap_or(text);
    let (name, message) = match between(text, "missing field `", "`") {
        Some(name) => (name, text),
        None => text.split_once(": ").unwrap_or(("", text)),
    };
    let pairs = given.unwrap_or_default().split('&');
    let input = pairs
        .filter_map(|pair| pair.split_once('='))
        .find_map(|(key, value)| (key == name).then(|| json!(value)));
    let mistake = Mistake {
        input,
        ..Mistake::of(vec![json!("query"), json!(name)], message)
    };
    ApiError::Invalid {
        details: vec![mistake],
        body: Value::Null,
    }
}

/// Lists what is wrong.
///
/// A parser stops at the first mistake. So each one is mended in a copy, by leaving the member out
/// or by putting something there that is taken, and the copy is read again.
fn details_of<T: DeserializeOwned>(text: &[u8]) -> Vec<Mistake> {
    let Some(first) = detail_of::<T>(text) else {
        return Vec::new();
    };
    let copy = (text.len() <= LARGEST_ECHO_BYTES).then(|| serde_json::from_slice(text));
    let Some(Ok(mut copy)) = copy else {
        return vec![first];
    };
    let mut next = Some(first);
    let mut details: Vec<Mistake> = Vec::new();
    // What stands in for a member has members of its own, which nobody has sent.
    let mut stands_in: Vec<Vec<Value>> = Vec::new();
    for _ in 0..MOST_MISTAKES {
        let Some(detail) = next.take() else { break };
        let loc = detail.loc.clone();
        let mended = mend::<T>(&mut copy, &detail);
        // Where leaving a member out was the remedy, it may be missed later.
        let is_told = details.iter().any(|told| told.loc == loc);
        if !is_told && !stands_in.iter().any(|outer| is_within(&loc, outer)) {
            details.push(detail);
        }
        match mended {
            Some((following, is_object)) => {
                next = following;
                if is_object {
                    stands_in.push(loc);
                }
            }
            None => break,
        }
    }
    details
}

fn is_within(loc: &[Value], outer: &[Value]) -> bool {
    loc.len() > outer.len() && loc.starts_with(outer)
}

/// Changes the place of a mistake so that reading goes beyond it; returns the next mistake, and
/// whether an object was made up.
fn mend<T: DeserializeOwned>(
    copy: &mut Value,
    detail: &Mistake,
) -> Option<(Option<Mistake>, bool)> {
    let (place, path) = detail.loc.get(1..)?.split_last()?;
    let next_of = |copy: &Value| detail_of::<T>(copy.to_string().as_bytes());
    let is_here = |next: &Option<Mistake>| next.as_ref().is_some_and(|n| n.loc == detail.loc);
    let mut trial = copy.clone();
    if let (Some(name), Some(outer)) = (place.as_str(), child(&mut trial, path))
        && let Some(members) = outer.as_object_mut()
        && members.shift_remove(name).is_some()
    {
        let next = next_of(&trial);
        if !is_here(&next) {
            *copy = trial;
            return Some((next, false));
        }
    }
    let mut fillers = VecDeque::from([
        json!("00000000-0000-0000-0000-000000000000"),
        json!("2000-01-01T00:00:00+00:00"),
        json!(1),
        json!(false),
        json!([]),
        json!({}),
    ]);
    let mut member = first_member(Some(detail));
    loop {
        // What may stand there is told once something else does.
        let filler = member.take().or_else(|| fillers.pop_front())?;
        let is_object = filler.is_object();
        let mut trial = copy.clone();
        match (place, child(&mut trial, path)?) {
            (Value::String(name), Value::Object(members)) => {
                members.insert(name.clone(), filler.clone());
            }
            (Value::Number(index), Value::Array(elements)) => {
                let index = usize::try_from(index.as_u64()?).ok()?;
                *elements.get_mut(index)? = filler.clone();
            }
            _ => return None,
        }
        let next = next_of(&trial);
        if !is_here(&next) {
            *copy = trial;
            return Some((next, is_object));
        }
        member = first_member(next.as_ref()).filter(|told| *told != filler);
    }
}

fn first_member(mistake: Option<&Mistake>) -> Option<Value> {
    match &mistake?.wrong {
        Wrong::NoMember(members) => members.first().map(|member| json!(member)),
        _ => None,
    }
}

fn child<'a>(value: &'a mut Value, path: &[Value]) -> Option<&'a mut Value> {
    path.iter().try_fold(value, |value, step| match step {
        Value::String(name) => value.get_mut(name.as_str()),
        step => value.get_mut(usize::try_from(step.as_u64()?).ok()?),
    })
}

/// Returns the first mistake, if there is one.
fn detail_of<T: DeserializeOwned>(text: &[u8]) -> Option<Mistake> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let error = match serde_path_to_error::deserialize::<_, T>(Objects(&mut deserializer)) {
        Ok(_) => match deserializer.end() {
            Ok(()) => return None,
            Err(error) => return Some(broken(text, &error)),
        },
        Err(error) => error,
    };
    let mut loc = vec![json!("body")];
    loc.extend(place::steps(error.path()));
    let error = error.into_inner();
    if !error.is_data() {
        return Some(no_member::<T>(text, &loc).unwrap_or_else(|| broken(text, &error)));
    }
    let message = without_position(&error.to_string());
    let (inside, message) = place::split(&message);
    loc.extend(inside);
    if let Some(field) = between(message, "missing field `", "`") {
        loc.push(json!(field));
    }
    Some(Mistake::of(loc, message))
}

/// Says which members there are where there is one of them to choose, and something else than a text.
///
/// The parser calls that no JSON, though it is; what it would say of another text tells the members.
fn no_member<T: DeserializeOwned>(text: &[u8], loc: &[Value]) -> Option<Mistake> {
    if text.len() > LARGEST_ECHO_BYTES {
        return None;
    }
    let mut copy: Value = serde_json::from_slice(text).ok()?;
    let place = child(&mut copy, loc.get(1..)?)?;
    if place.is_string() {
        return None;
    }
    *place = json!("");
    let mistake = detail_of::<T>(copy.to_string().as_bytes())?;
    (mistake.loc == loc && matches!(mistake.wrong, Wrong::NoMember(_))).then_some(mistake)
}

/// Says where the text stops being JSON.
fn broken(text: &[u8], error: &serde_json::Error) -> Mistake {
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    let before: usize = lines
        .take(error.line().saturating_sub(1))
        .map(<[u8]>::len)
        .sum();
    let mut at = before + error.column().saturating_sub(1);
    let message = without_position(&error.to_string());
    if error.is_eof() {
        at = text.len();
    } else if message == "expected ident" {
        // The word began before the letter that makes it none.
        while at > 0 && text.get(at - 1).is_some_and(u8::is_ascii_alphabetic) {
            at -= 1;
        }
    }
    Mistake {
        loc: vec![json!("body"), json!(at)],
        wrong: Wrong::NoJson(message),
        input: None,
    }
}

fn without_position(message: &str) -> String {
    let end = message.rfind(" at line ").unwrap_or(message.len());
    message[..end].to_owned()
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.strip_prefix(before)?.split(after).next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schemas::actions::{FlowRunCreate, LogCreate, SetState};
    use crate::schemas::filters::FlowRunsQuery;

    fn places<T: DeserializeOwned>(text: &str) -> Vec<String> {
        let place = |detail: &Mistake| {
            let steps = detail.loc[1..]
                .iter()
                .map(|step| step.to_string().replace('"', ""));
            steps.collect::<Vec<_>>().join(".")
        };
        details_of::<T>(text.as_bytes()).iter().map(place).collect()
    }

    #[test]
    fn every_mistake_is_named_and_no_other() {
        let sound = r#"{"flow_id": "00000000-0000-0000-0000-000000000001"}"#;
        assert_eq!(places::<FlowRunCreate>(sound), Vec::<String>::new());
        assert_eq!(
            places::<FlowRunCreate>(r#"{"bogus": 1, "tags": 3, "name": [], "more": 2}"#),
            ["bogus", "tags", "name", "more", "flow_id"]
        );
        assert_eq!(
            places::<SetState>(r#"{"state": {"name": 3, "extra": 1}, "force": 7}"#),
            ["state.name", "state.extra", "state.type", "force"]
        );
        // What a state lacks that nobody has sent is no mistake of its own.
        assert_eq!(places::<SetState>(r#"{"force": 7}"#), ["force", "state"]);
        assert_eq!(
            places::<Vec<LogCreate>>(
                r#"[{"name": "a", "level": 1, "message": ""}, {"level": "x"}, 7]"#
            ),
            [
                "0.timestamp",
                "1.level",
                "1.name",
                "1.message",
                "1.timestamp",
                "2"
            ]
        );
    }

    #[test]
    fn mistakes_are_found_in_what_is_read_by_its_kind() {
        use crate::schemas::automations::AutomationCreate;
        let trigger = r#"{"posture": "Sideways", "threshold": "many", "within": -1}"#;
        let compound = r#"{"type": "compound", "require": "none", "triggers": [{"posture": "Reactive"}, {"type": "never"}]}"#;
        let of = |trigger: &str, actions: &str| {
            let body = format!(r#"{{"name": "n", "trigger": {trigger}, "actions": {actions}}}"#);
            let mut places = places::<AutomationCreate>(&body);
            places.sort();
            places
        };
        assert_eq!(
            of(trigger, "[]"),
            ["trigger.posture", "trigger.threshold", "trigger.within"]
        );
        assert_eq!(
            of(compound, "[]"),
            // What is no known kind is taken for an event from there on.
            [
                "trigger.require",
                "trigger.triggers.1.posture",
                "trigger.triggers.1.type"
            ]
        );
        let sound = r#"{"posture": "Reactive"}"#;
        let actions = r#"[{"type": "do-nothing"}, {"type": "call-webhook", "block_document_id": 3},
            {"type": "send-notification", "block_document_id": "00000000-0000-0000-0000-000000000001"}, {"type": "explode"}]"#;
        assert_eq!(
            of(sound, actions),
            [
                "actions.1.block_document_id",
                "actions.2.body",
                "actions.3.type"
            ]
        );
    }

    #[test]
    fn a_body_full_of_mistakes_is_read_only_so_often() {
        let members: Vec<String> = (0..500).map(|n| format!("\"x{n}\": 1")).collect();
        let body = format!("{{{}}}", members.join(","));
        assert_eq!(places::<FlowRunCreate>(&body).len(), MOST_MISTAKES);
    }

    #[test]
    fn a_limit_below_zero_is_refused_before_anything_else() {
        let is_first = |text: &str| {
            matches!(
                explain::<FlowRunsQuery>(text.as_bytes()),
                ApiError::Unfit(_)
            )
        };
        assert!(is_first(r#"{"limit": -3, "offset": -1}"#));
        assert!(!is_first(r#"{"limit": 3, "offset": -1}"#));
        assert!(!is_first(r#"{"limit": "x", "offset": -1}"#));
        // Others know a limit of their own, or none.
        let text = br#"{"limit": -3, "state": 1}"#;
        assert!(matches!(
            explain::<SetState>(text),
            ApiError::Invalid { .. }
        ));
    }

    fn told<T: DeserializeOwned>(text: &str) -> String {
        let mistake = detail_of::<T>(text.as_bytes()).expect("the body is wrong");
        let detail = mistake.told(crate::schemas::Dialect::Two, &Value::Null);
        format!("{} {} [{}]", detail["loc"], detail["msg"], detail["type"])
    }

    #[test]
    fn each_kind_of_mistake_is_named_as_clients_know_it() {
        let told = [
            told::<FlowRunCreate>("{}"),
            told::<FlowRunCreate>(r#"{"flow_id": "x"}"#),
            told::<FlowRunCreate>(r#"{"flow_id": 5}"#),
            told::<FlowRunCreate>(r#"{"bogus": 1}"#),
            told::<FlowRunCreate>(r#"{"tags": null}"#),
            told::<FlowRunCreate>(r#"{"tags": "x"}"#),
            told::<FlowRunCreate>(r#"{"name": []}"#),
            told::<FlowRunCreate>("[]"),
            told::<FlowRunCreate>("{\n \"name\": }"),
            told::<FlowRunCreate>("{} {}"),
            told::<SetState>(r#"{"state": {"type": "LOST"}}"#),
            told::<FlowRunsQuery>(r#"{"flow_runs": {"operator": []}}"#),
            told::<FlowRunsQuery>(r#"{"flow_runs": []}"#),
            told::<FlowRunsQuery>("[]"),
            told::<SetState>(r#"{"state": {"type": "RUNNING"}, "force": 7}"#),
            told::<Vec<LogCreate>>(r#"[{"name": "a", "level": "x"}]"#),
            told::<Vec<LogCreate>>(
                r#"[{"name": "a", "level": 1, "message": "", "timestamp": "soon"}]"#,
            ),
        ];
        insta::assert_snapshot!(told.join("\n"));
    }
}

//! Compares a recorded answer with another server's, ids, times and invented names aside.
//!
//! Ids are bound: the first time a recorded id appears in an answer, the id in the same place of
//! our answer is its counterpart from then on, in both directions. So two answers that name the
//! same object must name the same object in the replay, which a mere mask would not notice.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// Numbers that measure elapsed time; only their kind is compared.
const DURATIONS: [&str; 8] = [
    "time_in_current_state",
    "total_run_time",
    "estimated_run_time",
    "estimated_start_time_delta",
    "sum_estimated_run_time",
    "sum_estimated_lateness",
    "duration",
    "lateness",
];

/// The length of an id in text.
const ID_LENGTH: usize = 36;

/// Which of our ids stands for which recorded one, and what clients have said so far.
pub struct Bindings {
    shift: TimeDelta,
    ours: HashMap<String, String>,
    recorded: HashMap<String, String>,
    /// Every text that a request carried: a name among them was not invented by the server.
    said: HashSet<String>,
    /// Names that the recorded server invented, which requests may repeat.
    invented: HashSet<String>,
    /// What our server calls the pages that the recorded one named.
    pages: Vec<(String, String)>,
}

impl Bindings {
    pub fn new(shift: TimeDelta) -> Self {
        Self {
            shift,
            ours: HashMap::new(),
            recorded: HashMap::new(),
            said: HashSet::new(),
            invented: HashSet::new(),
            pages: Vec::new(),
        }
    }

    /// Returns a request's body with our ids and times in place of the recorded ones.
    pub fn request(&mut self, body: &Value) -> Value {
        match body {
            Value::String(text) => {
                if !self.invented.contains(text) {
                    self.said.insert(text.clone());
                }
                match time(text).filter(|_| !self.shift.is_zero()) {
                    Some(at) => Value::String((at + self.shift).to_rfc3339()),
                    None => Value::String(self.request_text(text)),
                }
            }
            Value::Array(items) => items.iter().map(|item| self.request(item)).collect(),
            Value::Object(members) => members
                .iter()
                .map(|(key, member)| (key.clone(), self.request(member)))
                .collect(),
            other => other.clone(),
        }
    }

    /// Returns a text (a path, say) with our ids in place of the recorded ones.
    pub fn request_text(&self, text: &str) -> String {
        let mut changed = text.to_owned();
        for (recorded, ours) in &self.pages {
            changed = changed.replace(recorded, ours);
        }
        for id in ids(text) {
            if let Some(ours) = self.ours.get(id) {
                changed = changed.replace(id, ours);
            }
        }
        changed
    }

    /// Returns how `actual` differs from `expected`.
    pub fn compare(&mut self, expected: &Value, actual: &Value) -> Vec<String> {
        let mut found = Vec::new();
        self.walk("", expected, actual, Keys::Same, &mut found);
        found
    }

    /// As [`Self::compare`], but `actual` may have more keys.
    pub fn compare_named(&mut self, expected: &Value, actual: &Value) -> Vec<String> {
        let mut found = Vec::new();
        self.walk("", expected, actual, Keys::AtLeast, &mut found);
        found
    }

    /// Compares lists row by row, each with the one whose id stands for the same object.
    ///
    /// A list as long as `limit` was cut short, so that the other side may have other rows.
    pub fn compare_rows(
        &mut self,
        expected: &Value,
        actual: &Value,
        limit: Option<u64>,
    ) -> Vec<String> {
        let mut found = shapes(expected, actual);
        let (Value::Array(left), Value::Array(right)) = (expected, actual) else {
            return found;
        };
        for one in left {
            let Some(ours) = one["id"].as_str().and_then(|id| self.ours.get(id)).cloned() else {
                found.push(format!("{} is not known", one["id"]));
                continue;
            };
            let pair = right
                .iter()
                .find(|other| other["id"].as_str() == Some(ours.as_str()));
            match pair {
                Some(other) => self.walk("", one, other, Keys::Same, &mut found),
                None if limit == Some(left.len() as u64) => {}
                None => found.push(format!("{} is missing", one["id"])),
            }
        }
        found
    }

    fn walk(
        &mut self,
        at: &str,
        expected: &Value,
        actual: &Value,
        keys: Keys,
        found: &mut Vec<String>,
    ) {
        match (expected, actual) {
            (Value::Object(left), Value::Object(right)) => {
                for (key, member) in left {
                    match right.get(key) {
                        Some(other) => {
                            self.walk(&format!("{at}.{key}"), member, other, keys, found);
                        }
                        // Some genuine servers say of a body what they made of it.
                        None if at == ".request_body" && key == "parameters" => {}
                        None => found.push(format!("{at}.{key} is missing")),
                    }
                }
                if keys == Keys::Same {
                    for key in right.keys().filter(|key| !left.contains_key(*key)) {
                        found.push(format!("{at}.{key} is not in the contract"));
                    }
                }
            }
            // The genuine server gives them in the order of a hash.
            (Value::Array(_), Value::Array(_)) if at.ends_with(".upstream_dependencies") => {
                found.extend(self.compare_rows(expected, actual, None));
            }
            // The genuine server keeps these in a set.
            (Value::Array(left), Value::Array(right)) if at.ends_with(".updated_fields") => {
                let sorted = |list: &[Value]| {
                    let mut names: Vec<_> = list.iter().map(Value::to_string).collect();
                    names.sort_unstable();
                    names
                };
                if sorted(left) != sorted(right) {
                    found.push(format!("{at} is {actual} instead of {expected}"));
                }
            }
            // The genuine server names each mistake of a body, ours the first that it meets.
            (Value::Array(left), Value::Array(right)) if at == ".exception_detail" => {
                mistakes(left, right, found);
            }
            (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
                for (index, (one, other)) in left.iter().zip(right).enumerate() {
                    self.walk(&format!("{at}[{index}]"), one, other, keys, found);
                }
            }
            (Value::Array(left), Value::Array(right)) => {
                found.push(format!(
                    "{at} has {} items instead of {}",
                    right.len(),
                    left.len()
                ));
            }
            // Nobody has said anything about the job.
            (Value::Null, Value::Object(job))
                if at.ends_with(".job_variables") && job.is_empty() => {}
            // A path that is wrong is refused before the body is read.
            (_, Value::Null) if at == ".request_body" => {}
            // Each server has links of its own.
            (Value::String(left), Value::String(right)) if at == ".next_page" => {
                let token = |link: &str| link.split_once("page-token=").map(|(_, t)| t.to_owned());
                match (token(left), token(right)) {
                    (Some(recorded), Some(ours)) => self.pages.push((recorded, ours)),
                    _ => found.push(format!("{at} is {right} instead of {left}")),
                }
            }
            // The fields of built-in blocks are described in each server's own words.
            (Value::String(_), Value::String(_)) if at.contains(".fields.") => {}
            (Value::String(left), Value::String(right)) => self.texts(at, left, right, found),
            (Value::Number(left), Value::Number(right)) => {
                if !same_number(at, left.as_f64(), right.as_f64()) {
                    found.push(format!("{at} is {right} instead of {left}"));
                }
            }
            (left, right) if left == right => {}
            (left, right) => found.push(format!("{at} is {right} instead of {left}")),
        }
    }

    fn texts(&mut self, at: &str, expected: &str, actual: &str, found: &mut Vec<String>) {
        let differs = || format!("{at} is {actual:?} instead of {expected:?}");
        if time(expected).is_some() {
            // A time of another zone is the same instant in ours.
            let is_zoned = !["Z", "+00:00"].contains(&offset(expected));
            let same_form = match time(actual) {
                Some(_) if is_zoned => time(actual) == time(expected),
                Some(_) => offset(expected) == offset(actual),
                None => false,
            };
            if !same_form {
                found.push(differs());
            }
            return;
        }
        if is_invented(expected) && !self.said.contains(expected) {
            self.invented.insert(expected.to_owned());
            if !is_invented(actual) {
                found.push(differs());
            }
            return;
        }
        // A refusal of ours also says which one was not found.
        let is_absence = |text: &str| text.trim_end_matches('.').ends_with("not found");
        if [".detail", ".exception_message"].contains(&at)
            && is_absence(expected)
            && is_absence(actual)
        {
            return;
        }
        let (left, right) = (ids(expected), ids(actual));
        if left.len() != right.len() || without_ids(expected) != without_ids(actual) {
            found.push(differs());
            return;
        }
        for (recorded, ours) in left.into_iter().zip(right) {
            let bound = self
                .ours
                .entry(recorded.into())
                .or_insert_with(|| ours.into());
            let back = self
                .recorded
                .entry(ours.into())
                .or_insert_with(|| recorded.into());
            if bound != ours || back != recorded {
                found.push(format!("{at} names another object: {ours} for {recorded}"));
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Keys {
    Same,
    AtLeast,
}

fn mistakes(expected: &[Value], actual: &[Value], found: &mut Vec<String>) {
    // What is wrong with text that is no JSON older parsers say in their own words, and later
    // generations know more states.
    let is_same = |one: &Value, other: &Value| {
        let is_any = |kinds: &[&str]| kinds.iter().any(|kind| one["type"] == *kind);
        if is_any(&["value_error.jsondecode"]) {
            return one["type"] == other["type"];
        }
        if one["loc"] != other["loc"] {
            return false;
        }
        // An enumeration may be of words or of values, which is how its server is written.
        if is_any(&["literal_error"]) {
            return other["type"] == "enum" && one["msg"] == other["msg"];
        }
        // What is around a member that is missing is told by some routes only, and what is wrong
        // with a value beyond its kind each server says in its own words.
        let is_free = is_any(&["type_error.enum", "enum", "missing"]);
        let is_newest = one.get("input").is_some();
        if is_free || is_newest && is_any(&["value_error"]) {
            return one["type"] == other["type"];
        }
        is_same_value(one, other)
    };
    for other in actual {
        if !expected.iter().any(|one| is_same(one, other)) {
            let expected = Value::from(expected);
            found.push(format!("{other} is none of {expected}"));
        }
    }
    if actual.is_empty() {
        found.push("no mistake is named".to_owned());
    }
}

/// Tells whether two values are equal, whole numbers with and without a fraction alike.
fn is_same_value(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::Object(one), Value::Object(other)) => {
            let is_in = |(key, value): (&String, &Value)| {
                other
                    .get(key)
                    .is_some_and(|other| is_same_value(value, other))
            };
            one.len() == other.len() && one.iter().all(is_in)
        }
        (one, other) => one == other,
    }
}

/// Returns how `actual` differs from `expected` in length and in its items' keys.
pub fn shapes(expected: &Value, actual: &Value) -> Vec<String> {
    let (Value::Array(left), Value::Array(right)) = (expected, actual) else {
        return vec!["is not a list".into()];
    };
    if left.len() != right.len() {
        return vec![format!(
            "has {} items instead of {}",
            right.len(),
            left.len()
        )];
    }
    let keys = |item: &Value| -> HashSet<String> {
        item.as_object()
            .map(|members| members.keys().cloned().collect())
            .unwrap_or_default()
    };
    left.iter()
        .zip(right)
        .filter(|(one, other)| keys(one) != keys(other))
        .map(|(one, other)| format!("keys {:?} instead of {:?}", keys(other), keys(one)))
        .collect()
}

fn same_number(at: &str, expected: Option<f64>, actual: Option<f64>) -> bool {
    let key = at.rsplit('.').next().unwrap_or(at);
    if DURATIONS.contains(&key) {
        return true;
    }
    let (Some(expected), Some(actual)) = (expected, actual) else {
        return expected == actual;
    };
    // A wait until a given time is shorter by the time that the request took.
    let tolerance = if key == "delay_seconds" && expected > 60.0 {
        5.0
    } else {
        0.0
    };
    (expected - actual).abs() <= tolerance
}

fn time(text: &str) -> Option<DateTime<Utc>> {
    // Shorter texts, a date say, are left alone.
    if text.len() < 19 {
        return None;
    }
    Some(DateTime::parse_from_rfc3339(text).ok()?.to_utc())
}

fn offset(time: &str) -> &str {
    if time.ends_with('Z') {
        "Z"
    } else {
        &time[time.len() - 6..]
    }
}

/// Whether this looks like a name that a server makes up: two lower-case words and a hyphen.
fn is_invented(text: &str) -> bool {
    text.split_once('-').is_some_and(|(one, other)| {
        [one, other]
            .iter()
            .all(|word| word.len() > 2 && word.bytes().all(|byte| byte.is_ascii_lowercase()))
    })
}

fn ids(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut start = 0;
    while start + ID_LENGTH <= text.len() {
        match text
            .get(start..start + ID_LENGTH)
            .filter(|part| is_id(part))
        {
            Some(id) => {
                found.push(id);
                start += ID_LENGTH;
            }
            None => start += 1,
        }
    }
    found
}

fn is_id(text: &str) -> bool {
    text.bytes().enumerate().all(|(index, byte)| match index {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
    })
}

fn without_ids(text: &str) -> String {
    ids(text)
        .into_iter()
        .fold(text.to_owned(), |text, id| text.replace(id, "<id>"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const A: &str = "0496449f-71df-4174-a8e7-6034daeeabe8";
    const B: &str = "937a87f7-f886-4373-8cc8-6b8c25fce967";
    const C: &str = "da301978-7e04-4b6b-8de9-e60d01230139";

    fn fresh() -> Bindings {
        Bindings::new(TimeDelta::zero())
    }

    #[test]
    fn an_id_stands_for_one_object_only() {
        let mut bindings = fresh();
        assert!(
            bindings
                .compare(&json!({"id": A}), &json!({"id": B}))
                .is_empty()
        );
        assert!(
            bindings
                .compare(&json!({"flow_id": A}), &json!({"flow_id": B}))
                .is_empty()
        );
        assert_eq!(
            bindings
                .compare(&json!({"flow_id": A}), &json!({"flow_id": C}))
                .len(),
            1
        );
        assert_eq!(
            bindings
                .compare(&json!({"flow_id": C}), &json!({"flow_id": B}))
                .len(),
            1
        );
        assert_eq!(
            bindings.request_text(&format!("/api/flows/{A}")),
            format!("/api/flows/{B}")
        );
    }

    #[test]
    fn keys_values_and_time_forms_must_be_equal() {
        let mut bindings = fresh();
        let mut count = |left, right| bindings.compare(&left, &right).len();
        assert_eq!(count(json!({"a": 1}), json!({"a": 1, "b": 2})), 1);
        assert_eq!(count(json!({"a": 1, "b": null}), json!({"a": 1})), 1);
        assert_eq!(count(json!({"a": 1}), json!({"a": 2})), 1);
        assert_eq!(count(json!({"a": "x"}), json!({"a": null})), 1);
        let (old, new) = (
            "2026-11-23T06:38:18.229639+00:00",
            "2027-01-01T00:00:00+00:00",
        );
        assert_eq!(count(json!({"a": old}), json!({"a": new})), 0);
        assert_eq!(
            count(json!({"a": old}), json!({"a": "2027-01-01T00:00:00Z"})),
            1
        );
    }

    #[test]
    fn only_names_that_nobody_said_are_invented() {
        let mut bindings = fresh();
        assert!(
            bindings
                .compare(&json!("celestial-koala"), &json!("brave-newt"))
                .is_empty()
        );
        assert_eq!(
            bindings
                .compare(&json!("celestial-koala"), &json!("Brave"))
                .len(),
            1
        );
        bindings.request(&json!({"name": "boreal-koala"}));
        assert_eq!(
            bindings
                .compare(&json!("boreal-koala"), &json!("brave-newt"))
                .len(),
            1
        );
    }
}

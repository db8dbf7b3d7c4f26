//! Specifications written in YAML and JSON.
//!
//! A relative `flow_location` is relative to the file that says it, as with genuine clients. Unknown fields are
//! refused with the list of known ones: a misspelt `schedule` that is silently ignored is a deployment
//! that never runs.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Error;
use super::spec::{FlowRunner, Specification, WorkPool};
use crate::settings::Value as _;

const FIELDS: &str = "a specification has name, flow_location, flow_name, parameters, tags, flow_runner {type, config}, work_pool {name, work_queue_name, job_variables} and schedule";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a specification")]
struct Document {
    name: Option<String>,
    flow_name: Option<String>,
    flow_location: Option<String>,
    flow_storage: Option<Value>,
    parameters: Option<Map<String, Value>>,
    tags: Option<Vec<String>>,
    schedule: Option<Value>,
    is_schedule_active: Option<bool>,
    flow_runner: Option<FlowRunner>,
    work_pool: Option<WorkPool>,
}

/// Reads a YAML file: one specification, a list of them, or a document for each.
pub fn read_yaml(path: &Path) -> Result<Vec<Specification>, Error> {
    let text = read_text(path)?;
    let invalid = |error: serde_saphyr::Error| Error::Invalid {
        file: path.to_path_buf(),
        line: error.location().map(|location| location.line()),
        message: match error.location().and_then(|at| line_of(&text, at.line())) {
            Some(line) => format!("{}: {line}", yaml_message(&error)),
            None => yaml_message(&error),
        },
        hint: Some(match too_large(&error) {
            Some(_) => SMALLER.into(),
            None => FIELDS.into(),
        }),
    };
    let shapes: Vec<Value> = serde_saphyr::from_multiple(&text).map_err(invalid)?;
    let lists = shapes.iter().filter(|shape| shape.is_array()).count();
    let documents: Vec<serde_saphyr::Spanned<Document>> = match lists {
        0 if shapes.iter().all(Value::is_null) => Vec::new(),
        0 => serde_saphyr::from_multiple(&text).map_err(invalid)?,
        lists if lists == shapes.len() => {
            let lists: Vec<Vec<_>> = serde_saphyr::from_multiple(&text).map_err(invalid)?;
            lists.into_iter().flatten().collect()
        }
        _ => {
            return Err(Error::Invalid {
                file: path.to_path_buf(),
                line: None,
                message: "has both lists and single specifications".into(),
                hint: Some("make it one list, or one document for each specification".into()),
            });
        }
    };
    some(path, documents)?
        .into_iter()
        .map(|one| {
            let line = one.referenced.line();
            one.value.into_specification(path, Some(line))
        })
        .collect()
}

/// Reads a JSON file: one specification or a list of them.
pub fn read_json(path: &Path) -> Result<Vec<Specification>, Error> {
    let text = read_text(path)?;
    // Editors of other systems put a byte order mark before it, which YAML knows and JSON does not.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    if text.trim().is_empty() {
        return some(path, Vec::new());
    }
    let shape: Value = serde_json::from_str(text).map_err(|error| json_error(path, &error, ""))?;
    let items = if shape.is_array() {
        serde_json::from_str::<Vec<&serde_json::value::RawValue>>(text)
            .map_err(|error| json_error(path, &error, ""))?
    } else {
        vec![serde_json::from_str(text).map_err(|error| json_error(path, &error, ""))?]
    };
    some(path, items)?
        .into_iter()
        .map(|item| {
            // Errors count lines within the item, so the lines above it are added.
            let above = item.get().as_ptr() as usize - text.as_ptr() as usize;
            let before = &text[..above];
            let line = before.matches('\n').count() as u64 + 1;
            let mut reading = serde_json::Deserializer::from_str(item.get());
            let document = serde_path_to_error::deserialize::<_, Document>(&mut reading);
            let document = document.map_err(|error| {
                let field = error.path().to_string();
                let mut told = json_error(path, error.inner(), before);
                // A path of nothing is a dot; a question mark, something between fields.
                if let Error::Invalid { message, .. } = &mut told
                    && !matches!(field.as_str(), "." | "?")
                {
                    *message = format!("field `{field}`: {message}");
                }
                told
            })?;
            document.into_specification(path, Some(line))
        })
        .collect()
}

/// Refuses a file that specifies nothing, since deploying nothing is never what is meant.
fn some<T>(path: &Path, specifications: Vec<T>) -> Result<Vec<T>, Error> {
    if !specifications.is_empty() {
        return Ok(specifications);
    }
    Err(Error::Invalid {
        file: path.to_path_buf(),
        line: None,
        message: "has no deployment specification".into(),
        hint: Some(FIELDS.into()),
    })
}

impl Document {
    fn into_specification(self, file: &Path, line: Option<u64>) -> Result<Specification, Error> {
        let folder = file.parent().unwrap_or(Path::new("."));
        let spec = Specification {
            file: file.to_path_buf(),
            line,
            name: self.name,
            flow_name: self.flow_name,
            flow_location: self.flow_location.map(|location| folder.join(location)),
            flow: None,
            parameters: self.parameters.unwrap_or_default(),
            tags: self.tags.unwrap_or_default(),
            schedule: self.schedule.map(in_seconds),
            is_schedule_active: self.is_schedule_active.unwrap_or(true),
            flow_runner: self.flow_runner.unwrap_or_default(),
            work_pool: self.work_pool,
        };
        if self.flow_storage.is_some_and(|storage| !storage.is_null()) {
            return Err(spec.invalid(
                "flow_storage",
                "can only be given in Python",
                "leave it out: code goes to $PREFECT_HOME/storage",
            ));
        }
        spec.check()
    }
}

/// Turns an interval in the forms of Python's time spans (`1:30:00`, `P1D`) into seconds.
fn in_seconds(mut schedule: Value) -> Value {
    let text = schedule.get("interval").and_then(Value::as_str);
    if let Some(span) = text.and_then(|text| Duration::parse(text).ok()) {
        schedule["interval"] = json!(span.as_secs_f64());
    }
    schedule
}

fn read_text(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|error| Error::io("read", path, error))
}

/// What to do about a file that is more than the parser takes.
const SMALLER: &str = "spread it over several files, write out what `*` and `<<` repeat, and keep large values in a file that the flow reads";

/// Says what there is too much of, where the parser gave up for that.
fn too_large(error: &serde_saphyr::Error) -> Option<String> {
    use serde_saphyr::Error;
    use serde_saphyr::budget::BudgetBreach;
    let expanded = "more than the parser takes once its aliases are expanded";
    Some(match error.without_snippet() {
        Error::AliasError { error, .. } => return too_large(error),
        Error::AliasReplayCounterOverflow { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => format!("the file is {expanded}"),
        Error::Budget { breach, .. } => match breach {
            BudgetBreach::Nodes { nodes } => {
                format!("the file has {nodes} values, {expanded}")
            }
            BudgetBreach::Depth { depth } => {
                format!("the file is nested {depth} deep, more than the parser takes")
            }
            BudgetBreach::Documents { documents } => {
                format!("the file has {documents} documents, more than the parser takes")
            }
            BudgetBreach::Aliases { aliases } | BudgetBreach::AliasAnchorRatio { aliases, .. } => {
                format!("the file has {aliases} aliases (`*`), more than the parser takes")
            }
            BudgetBreach::Anchors { anchors } => {
                format!("the file has {anchors} anchors (`&`), more than the parser takes")
            }
            BudgetBreach::MergeKeys { merge_keys } => {
                format!("the file has {merge_keys} merge keys (`<<`), more than the parser takes")
            }
            BudgetBreach::ScalarBytes { total_scalar_bytes } => {
                format!("the file has {total_scalar_bytes} bytes of text, {expanded}")
            }
            BudgetBreach::SequenceUnbalanced => return None,
            _ => format!("the file is {expanded}"),
        },
        _ => return None,
    })
}

/// Returns what is wrong without the place, which is told apart, and without advice for programmers.
pub(crate) fn yaml_message(error: &serde_saphyr::Error) -> String {
    if let Some(said) = too_large(error) {
        return said;
    }
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    let line = line.strip_prefix("error: ").unwrap_or(line);
    let line = match line.split_once(": ") {
        Some((place, rest)) if place.starts_with("line ") => rest,
        _ => line,
    };
    let line = line.split(", set ").next().unwrap_or(line);
    // What it says in the words of its own events.
    let said = [
        ("expected mapping start", "expected a mapping"),
        ("expected sequence start", "expected a list"),
        ("expected string scalar", "expected a text"),
        (
            "cannot deserialize null into string; use Option<String>",
            "expected a text instead of nothing",
        ),
    ];
    match said.iter().find(|(theirs, _)| *theirs == line) {
        Some((_, ours)) => (*ours).to_owned(),
        None => line.replace(
            " rejected by the configured policy",
            " is no number in JSON",
        ),
    }
}

/// How much of a line a message shows.
const LONGEST_SHOWN: usize = 80;

/// Returns a line as a message shows it, unless there is nothing on it.
fn line_of(text: &str, line: u64) -> Option<String> {
    let line = text
        .lines()
        .nth(usize::try_from(line).ok()?.checked_sub(1)?)?;
    let line: String = line.trim().chars().take(LONGEST_SHOWN).collect();
    (!line.is_empty()).then(|| format!("`{line}`"))
}

fn json_error(path: &Path, error: &serde_json::Error, before: &str) -> Error {
    let message = error.to_string();
    let message = message
        .rsplit_once(" at line ")
        .map_or(message.as_str(), |(text, _)| text)
        .to_owned();
    Error::Invalid {
        file: path.to_path_buf(),
        line: Some(error.line() as u64 + before.matches('\n').count() as u64),
        message,
        hint: Some(FIELDS.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, text: &str) -> Result<Vec<Specification>, Error> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        if name.ends_with("json") {
            read_json(&path)
        } else {
            read_yaml(&path)
        }
    }

    fn refusal(name: &str, text: &str) -> String {
        let error = read(name, text).unwrap_err();
        let shown = error.to_string();
        let at = shown.find(name).unwrap();
        format!("{} [{}]", &shown[at..], error.hint().unwrap_or_default())
    }

    const LIST: &str = "- name: first\n  flow_location: ./flow.py\n  flow_name: My flow\n  tags: [ETL]\n  parameters:\n    url: http://x\n  schedule:\n    interval: 3600\n- name: second\n  flow_location: /abs/run.sh\n  flow_runner:\n    type: subprocess\n    config:\n      env: {A: b}\n";

    #[test]
    fn a_work_pool_is_read_with_what_its_workers_are_told() {
        let text = "flow_location: f.sh\nwork_pool: {name: shed, job_variables: {env: {A: b}}}\n";
        let pool = read("d.yaml", text).unwrap()[0].work_pool.clone().unwrap();
        assert_eq!((pool.name.as_str(), pool.work_queue_name), ("shed", None));
        assert_eq!(
            Value::Object(pool.job_variables),
            json!({"env": {"A": "b"}})
        );
        let text = "flow_location: f.sh\nwork_pool: {name: shed, queue: urgent}\n";
        assert!(
            refusal("d.yaml", text).contains("`queue`"),
            "{}",
            refusal("d.yaml", text)
        );
    }

    #[test]
    fn a_yaml_list_gives_each_specification_with_its_line() {
        let specs = read("d.yaml", LIST).unwrap();
        assert_eq!(
            specs
                .iter()
                .map(|s| (s.name.as_deref(), s.line))
                .collect::<Vec<_>>(),
            [(Some("first"), Some(1)), (Some("second"), Some(9))]
        );
        assert!(specs[0].flow_location.as_ref().unwrap().is_absolute());
        assert_eq!(specs[0].schedule, Some(json!({"interval": 3600})));
        assert_eq!(
            specs[0].flow_runner.to_value(),
            json!({"type": "universal", "config": {"env": {}}})
        );
        assert_eq!(
            specs[1].flow_runner.to_value()["config"],
            json!({"env": {"A": "b"}, "stream_output": false, "condaenv": null, "virtualenv": null})
        );
    }

    #[test]
    fn json_gives_the_same_as_yaml() {
        let specs = read("d.json", "\u{feff}[\n {\"name\": \"a\", \"flow_location\": \"x.py\"},\n {\"name\": \"b\", \"flow_location\": \"x.py\"}]").unwrap();
        assert_eq!(
            specs
                .iter()
                .map(|s| (s.name.as_deref().unwrap(), s.line.unwrap()))
                .collect::<Vec<_>>(),
            [("a", 2), ("b", 3)]
        );
    }

    #[test]
    fn yaml_documents_give_a_specification_each() {
        let text = "---\nname: a\nflow_location: x.py\n---\nname: b\nflow_location: x.py\nschedule: {interval: '1:00:00'}\n";
        let specs = read("d.yaml", text).unwrap();
        let told: Vec<_> = specs
            .iter()
            .map(|s| (s.name.as_deref().unwrap(), s.line.unwrap()))
            .collect();
        assert_eq!(told, [("a", 2), ("b", 5)]);
        assert_eq!(specs[1].schedule, Some(json!({"interval": 3600.0})));
        let mixed = refusal("d.yaml", "- name: a\n---\nname: b\n");
        assert!(mixed.contains("both lists and single"), "{mixed}");
    }

    #[rstest::rstest]
    #[case("d.yaml", "")]
    #[case("d.yaml", "# only a comment\n")]
    #[case("d.yaml", "[]")]
    #[case("d.json", "")]
    #[case("d.json", "[]")]
    fn a_file_that_specifies_nothing_is_refused(#[case] name: &str, #[case] text: &str) {
        let shown = refusal(name, text);
        assert!(shown.contains("has no deployment specification"), "{shown}");
    }

    #[test]
    fn an_error_of_yaml_is_told_with_its_line_and_without_advice_for_programmers() {
        insta::assert_snapshot!(refusal("d.yaml", "name: a\nname: b\n"), @"d.yaml, line 2: duplicate mapping key: name: `name: b` [a specification has name, flow_location, flow_name, parameters, tags, flow_runner {type, config}, work_pool {name, work_queue_name, job_variables} and schedule]");
        insta::assert_snapshot!(refusal("d.yaml", "hello\n"), @"d.yaml, line 1: expected a mapping: `hello` [a specification has name, flow_location, flow_name, parameters, tags, flow_runner {type, config}, work_pool {name, work_queue_name, job_variables} and schedule]");
    }

    #[test]
    fn a_file_that_expands_to_too_much_is_refused_in_words() {
        let mut bomb = "parameters:\n  a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..10 {
            let before = vec![format!("*a{}", level - 1); 10].join(", ");
            bomb.push_str(&format!("  a{level}: &a{level} [{before}]\n"));
        }
        let deep = format!(
            "parameters: {{x: {}{}}}\n",
            "[".repeat(100),
            "]".repeat(100)
        );
        let many = "---\nname: a\n".repeat(2000);
        for (text, expected) in [
            (bomb, "once its aliases are expanded"),
            (deep, "deep, more than the parser takes"),
            (many, "documents, more than the parser takes"),
        ] {
            let shown = refusal("d.yaml", &text);
            assert!(shown.contains(expected), "{shown}");
            assert!(shown.contains("[spread it over"), "{shown}");
            assert!(!shown.contains("budget"), "{shown}");
        }
    }

    #[test]
    fn a_misspelt_field_is_named_with_its_line() {
        let shown = refusal(
            "d.yaml",
            "name: a\nflow_location: x.py\nshedule:\n  interval: 5\n",
        );
        assert!(
            shown.contains("line 3") && shown.contains("shedule"),
            "{shown}"
        );
        let shown = refusal("d.json", "{\n \"name\": \"a\",\n \"shedule\": 1}");
        assert!(
            shown.contains("line 3") && shown.contains("shedule"),
            "{shown}"
        );
    }

    #[rstest::rstest]
    #[case("schedule: {interval: -5}", "interval -5")]
    #[case("schedule: {cron: '* * * * *', rrule: 'FREQ=DAILY'}", "more than one")]
    #[case("schedule: {crn: '* * * * *'}", "no time")]
    #[case("schedule: {cron: '99 * * * *'}", "99 is not between 0 and 59")]
    #[case(
        "schedule: {cron: '0 3 * * *', timezone: Mars/X}",
        "`Mars/X` is not a time zone"
    )]
    #[case("schedule: {rrule: 'FREQ=NEVER'}", "`NEVER` is not a frequency")]
    #[case("schedule: {interval: soon}", "not a number of seconds")]
    #[case("flow_runner: {type: subproces}", "`subproces` is unknown")]
    #[case(
        "flow_runner: {type: subprocess, config: {condaenv: a, virtualenv: b}}",
        "both"
    )]
    #[case(
        "flow_runner: {type: subprocess, config: {env: {PORT: 80}}}",
        "quote the values"
    )]
    #[case("flow_runner: {type: subprocess, config: {arg: 1}}", "has `arg`")]
    #[case(
        "flow_runner: {type: subprocess, config: {args: a b}}",
        "is not a list"
    )]
    #[case(
        "flow_runner: {type: docker, config: {working_dir: 5}}",
        "`flow_runner.config.working_dir` of `a`: is not text"
    )]
    #[case(
        "flow_runner: {type: universal, config: {timeout_seconds: abc}}",
        "is \"abc\", not a number"
    )]
    #[case(
        "flow_runner: {type: universal, config: {timeout_seconds: -1}}",
        "is -1"
    )]
    #[case("flow_runner: {type: universal, config: {env: [A]}}", "env` of `a`")]
    #[case("flow_storage: {a: 1}", "only be given in Python")]
    #[case("tags: ETL", "line 2: expected a list: `tags: ETL`")]
    #[case("parameters: {x: .nan}", "`.nan` is no number in JSON")]
    fn a_wrong_value_is_refused_with_a_remedy(#[case] field: &str, #[case] expected: &str) {
        let shown = refusal(
            "d.yaml",
            &format!("name: a\n{field}\nflow_location: x.py\n"),
        );
        assert!(shown.contains(expected), "{shown}");
    }

    #[test]
    fn a_location_that_is_missing_or_absent_is_refused() {
        let spec = read("d.yaml", "name: a\n").unwrap().remove(0);
        assert!(
            spec.location()
                .unwrap_err()
                .to_string()
                .contains("`flow_location` of `a`: is missing")
        );
        let spec = read("d.yaml", "flow_location: nowhere.py\n")
            .unwrap()
            .remove(0);
        assert!(
            spec.location()
                .unwrap_err()
                .to_string()
                .contains("nowhere.py` cannot be read")
        );
        for (place, expected) in [
            ("~/x.py", "`~` is known"),
            ("https://a/x.py", "download it"),
        ] {
            let spec = read("d.yaml", &format!("flow_location: {place}\n"))
                .unwrap()
                .remove(0);
            let error = spec.location().unwrap_err();
            assert!(
                error.hint().unwrap_or_default().contains(expected),
                "{error:?}"
            );
        }
    }

    #[test]
    fn a_location_that_is_no_regular_file_or_no_text_is_refused() {
        use std::os::unix::ffi::OsStrExt;
        let folder = tempfile::tempdir().unwrap();
        let odd = folder.path().join(std::ffi::OsStr::from_bytes(b"f\xff.py"));
        std::fs::write(&odd, "").unwrap();
        let mut spec = read("d.yaml", "flow_location: /dev/null\n")
            .unwrap()
            .remove(0);
        let told = spec.location().unwrap_err().to_string();
        assert!(told.contains("is not a regular file"), "{told}");
        spec.flow_location = Some(odd);
        let told = spec.location().unwrap_err().to_string();
        assert!(
            told.contains("`flow_location`") && told.contains("is not UTF-8"),
            "{told}"
        );
    }
}

//! Deployment specifications: what they say, in whichever language they are written, and what is refused.
//!
//! The fields are those of 2.0b3, and `work_pool` as 3.x has it in `prefect.yaml`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Error, document::OPTIONS, python};
use crate::schemas::schedules::Schedule;

/// One deployment as its author wrote it.
#[derive(Debug, Clone, PartialEq)]
pub struct Specification {
    /// The file that says it.
    pub file: PathBuf,
    /// The line where it begins.
    pub line: Option<u64>,
    /// The deployment's name; the flow's by default.
    pub name: Option<String>,
    /// The flow's name; inferred where there is one flow.
    pub flow_name: Option<String>,
    /// The code, absolute.
    pub flow_location: Option<PathBuf>,
    /// The flow, where a Python specification had it at hand.
    pub flow: Option<python::Flow>,
    /// Default parameters.
    pub parameters: Map<String, Value>,
    /// Tags.
    pub tags: Vec<String>,
    /// The schedule as the wire has it.
    pub schedule: Option<Value>,
    /// Whether the schedule is on.
    pub is_schedule_active: bool,
    /// How runs are started.
    pub flow_runner: FlowRunner,
    /// The pool whose workers take the runs.
    pub work_pool: Option<WorkPool>,
}

/// Which workers take the runs of a deployment, and what they are told beside it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a work pool {name, work_queue_name, job_variables}"
)]
pub struct WorkPool {
    /// The pool's name.
    pub name: String,
    /// A queue of it; its default one if there is none.
    pub work_queue_name: Option<String>,
    /// Values for the pool's base job template.
    #[serde(default)]
    pub job_variables: Map<String, Value>,
}

/// How runs are started: a type and what that type wants to know.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowRunner {
    /// `universal`, `subprocess`, `docker` or `kubernetes`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Settings of the type.
    #[serde(default)]
    pub config: Option<Map<String, Value>>,
}

/// The types of flow runners, and what each is told; nothing is known of what the last two are.
const FLOW_RUNNERS: [(&str, &[&str]); 4] = [
    ("universal", &["env"]),
    (
        "subprocess",
        &["env", "stream_output", "condaenv", "virtualenv"],
    ),
    ("docker", &[]),
    ("kubernetes", &[]),
];

impl Default for FlowRunner {
    fn default() -> Self {
        FlowRunner {
            kind: "universal".into(),
            config: Some(Map::from_iter([("env".into(), json!({}))])),
        }
    }
}

impl FlowRunner {
    /// Returns what only our flow runners understand.
    pub fn options(&self) -> Map<String, Value> {
        let config = self.config.iter().flatten();
        config
            .filter(|(key, value)| OPTIONS.contains(&key.as_str()) && !value.is_null())
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    /// Returns `{type, config}` as 2.0b3 has it, with the type's defaults.
    pub fn to_value(&self) -> Value {
        let mut config = self.config.clone().unwrap_or_default();
        config.retain(|key, _| !OPTIONS.contains(&key.as_str()));
        config.entry("env").or_insert_with(|| json!({}));
        if self.kind == "subprocess" {
            config.entry("stream_output").or_insert(json!(false));
            config.entry("condaenv").or_insert(Value::Null);
            config.entry("virtualenv").or_insert(Value::Null);
        }
        json!({"type": self.kind, "config": config})
    }
}

/// Says what a path is, in the way in which this one may have been misunderstood.
fn way_to(location: &Path) -> &'static str {
    let mut parts = location.components().map(|part| part.as_os_str());
    if parts.clone().any(|part| part == "~") {
        "`~` is known to shells alone, so write the path of the home folder"
    } else if parts.any(|part| part == "http:" || part == "https:" || part == "git:") {
        "code is taken from this machine's files, so download it first"
    } else {
        "a relative path is relative to the specification's folder"
    }
}

impl Specification {
    /// Returns the code's place, once it is known to exist.
    pub fn location(&self) -> Result<PathBuf, Error> {
        let Some(location) = &self.flow_location else {
            return Err(self.invalid(
                "flow_location",
                "is missing",
                "give the path of the flow's code",
            ));
        };
        let found = std::fs::canonicalize(location).map_err(|error| {
            self.invalid(
                "flow_location",
                &format!("`{}` cannot be read: {error}", location.display()),
                way_to(location),
            )
        })?;
        if found.is_dir() {
            return Err(self.invalid(
                "flow_location",
                &format!("`{}` is a folder", location.display()),
                "give the one file that starts the flow",
            ));
        }
        if !found.is_file() {
            return Err(self.invalid(
                "flow_location",
                &format!("`{}` is not a regular file", location.display()),
                "give the one file that starts the flow",
            ));
        }
        // The document that tells of it is text.
        if found.to_str().is_none() {
            return Err(self.invalid(
                "flow_location",
                &format!("`{}` is not UTF-8", found.display()),
                "give the file and its folders names that are, or copy it to such a place",
            ));
        }
        Ok(found)
    }

    pub(crate) fn invalid(&self, field: &str, problem: &str, hint: &str) -> Error {
        let whose = self
            .name
            .as_deref()
            .map(|name| format!(" of `{name}`"))
            .unwrap_or_default();
        Error::Invalid {
            file: self.file.clone(),
            line: self.line,
            message: format!("field `{field}`{whose}: {problem}"),
            hint: Some(hint.to_owned()),
        }
    }

    /// Checks what can be checked without reading the code.
    pub fn check(self) -> Result<Self, Error> {
        if let Some(name) = self
            .name
            .as_deref()
            .filter(|n| n.trim().is_empty() || n.contains('/'))
        {
            return Err(self.invalid(
                "name",
                &format!("`{name}` is no name for a deployment"),
                "give a name of letters that can be seen, without `/`",
            ));
        }
        if let Some(schedule) = &self.schedule {
            check_schedule(schedule).map_err(|problem| {
                self.invalid(
                    "schedule",
                    &problem,
                    "a schedule has `interval` (seconds, `1:30:00` or `P1D`), `cron`, or `rrule`, and a `timezone`",
                )
            })?;
        }
        self.check_flow_runner()?;
        Ok(self)
    }

    /// Refuses parameters that the flow does not have: a misspelt one would otherwise fail each run.
    pub(super) fn check_parameters(&self, flow: &str, schema: &Value) -> Result<(), Error> {
        let known = schema["properties"].as_object();
        let is_known = |name: &String| known.is_some_and(|known| known.contains_key(name));
        let Some(name) = self.parameters.keys().find(|name| !is_known(name)) else {
            return Ok(());
        };
        let names: Vec<_> = known
            .into_iter()
            .flatten()
            .map(|(name, _)| name.as_str())
            .collect();
        let remedy = match names[..] {
            [] => "it has none".to_owned(),
            _ => format!("it has: {}", names.join(", ")),
        };
        let problem = format!("flow `{flow}` has no parameter `{name}`");
        Err(self.invalid("parameters", &problem, &remedy))
    }

    fn check_flow_runner(&self) -> Result<(), Error> {
        let FlowRunner { kind, config } = &self.flow_runner;
        let Some((_, known)) = FLOW_RUNNERS.iter().find(|(known, _)| kind == known) else {
            return Err(self.invalid(
                "flow_runner.type",
                &format!("`{kind}` is unknown"),
                "use `subprocess`",
            ));
        };
        let Some(config) = config else { return Ok(()) };
        let is_given = |key: &str| config.get(key).is_some_and(|value| !value.is_null());
        if is_given("condaenv") && is_given("virtualenv") {
            return Err(self.invalid(
                "flow_runner.config",
                "names both a `condaenv` and a `virtualenv`",
                "keep one of them",
            ));
        }
        let is_known = |key: &str| known.contains(&key) || OPTIONS.contains(&key);
        let unknown = config.keys().find(|key| !is_known(key));
        if let Some(key) = unknown.filter(|_| !known.is_empty()) {
            return Err(self.invalid(
                "flow_runner.config",
                &format!("has `{key}`, which the type `{kind}` does not know"),
                &format!("it knows {}", [known, &OPTIONS[..]].concat().join(", ")),
            ));
        }
        self.check_env(config)?;
        self.check_options(config)
    }

    /// Checks that each variable can be one of a process.
    fn check_env(&self, config: &Map<String, Value>) -> Result<(), Error> {
        let Some(env) = config.get("env") else {
            return Ok(());
        };
        let refuse = |problem: &str, remedy: &str| {
            Err(self.invalid("flow_runner.config.env", problem, remedy))
        };
        let texts = env.as_object().map(|env| {
            let texts = env
                .iter()
                .map(|(name, value)| Some((name, value.as_str()?)));
            texts.collect::<Option<Vec<_>>>()
        });
        let Some(Some(texts)) = texts else {
            return refuse(
                "is not a mapping of names to strings",
                "quote the values: PORT: \"80\"",
            );
        };
        for (name, value) in texts {
            if name.is_empty() || name.contains(['=', '\0']) {
                let problem = format!("has the name {name:?}, which no variable can have");
                return refuse(&problem, "write names without `=`, such as PORT");
            }
            if value.contains('\0') {
                let problem = format!("has a value of `{name}` with a NUL character");
                return refuse(&problem, "take it out; a process cannot be given one");
            }
        }
        Ok(())
    }

    /// Checks what only our flow runners understand, by the rules that they have when a run starts.
    fn check_options(&self, config: &Map<String, Value>) -> Result<(), Error> {
        let given = |key: &str| config.get(key).filter(|value| !value.is_null());
        if given("args").is_some_and(|args| !args.is_array()) {
            return Err(self.invalid(
                "flow_runner.config.args",
                "is not a list",
                "write each argument by itself: args: [\"--days\", \"3\"]",
            ));
        }
        let has_nul = |arg: &Value| arg.as_str().is_some_and(|arg| arg.contains('\0'));
        if given("args").is_some_and(|args| args.as_array().into_iter().flatten().any(has_nul)) {
            return Err(self.invalid(
                "flow_runner.config.args",
                "has an argument with a NUL character",
                "take it out; a process cannot be given one",
            ));
        }
        if given("working_dir").is_some_and(|folder| !folder.is_string()) {
            return Err(self.invalid(
                "flow_runner.config.working_dir",
                "is not text",
                "give the path of a folder where the runs are started",
            ));
        }
        let is_span = |value: &Value| {
            value.as_f64().is_some_and(|seconds| {
                seconds > 0.0 && Duration::try_from_secs_f64(seconds).is_ok()
            })
        };
        match given("timeout_seconds").filter(|value| !is_span(value)) {
            None => Ok(()),
            Some(value) => Err(self.invalid(
                "flow_runner.config.timeout_seconds",
                &format!("is {value}, not a number of seconds above zero and below 1.8e19"),
                "write it without quotes and unit: timeout_seconds: 90",
            )),
        }
    }
}

fn check_schedule(schedule: &Value) -> Result<(), String> {
    let Some(schedule) = schedule.as_object() else {
        return Err("is not a mapping".into());
    };
    let kinds: Vec<_> = ["interval", "cron", "rrule"]
        .into_iter()
        .filter(|kind| schedule.contains_key(*kind))
        .collect();
    let known: &[&str] = match kinds[..] {
        ["interval"] => &["interval", "anchor_date", "timezone"],
        ["cron"] => &["cron", "timezone", "day_or"],
        ["rrule"] => &["rrule", "timezone"],
        [] => return Err("says no time".into()),
        _ => return Err(format!("has more than one of {}", kinds.join(", "))),
    };
    if let Some(key) = schedule.keys().find(|key| !known.contains(&key.as_str())) {
        return Err(format!(
            "has `{key}`, which is none of {}",
            known.join(", ")
        ));
    }
    if kinds[0] == "interval"
        && !schedule["interval"]
            .as_f64()
            .is_some_and(|seconds| seconds > 0.0)
    {
        return Err(format!(
            "has the interval {}, which is not a number of seconds above zero",
            schedule["interval"]
        ));
    }
    if kinds[0] != "interval" && !schedule[kinds[0]].is_string() {
        return Err(format!("has a `{}` that is not text", kinds[0]));
    }
    serde_json::from_value::<Schedule>(Value::Object(schedule.clone()))
        .map(drop)
        .map_err(|error| error.to_string())
}

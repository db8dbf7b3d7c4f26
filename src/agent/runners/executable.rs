//! Flows in Rust and any other executables: the arguments and variables that tell them of their run.

use std::collections::HashMap;
use std::ffi::OsString;

use serde_json::{Map, Value};

use super::{Engine, Host, Launch, directory, missing, plain, python, timeout};
use crate::agent::process::Invocation;
use crate::client::FlowRun;
use crate::deployments::document::{ExecutableCode, PythonCode};
use crate::sdk::program;

/// What an environment variable can hold: Linux allows 32 pages for one string.
const MAX_VARIABLE_BYTES: usize = 128 * 1024 - 4096;

/// Decides what to start for an executable: a program of flows in Rust, or any other.
pub(super) fn executable(
    run: &FlowRun,
    code: &ExecutableCode,
    config: &Map<String, Value>,
    host: &Host,
) -> Result<Launch, String> {
    if !code.path.exists() {
        return Err(missing(&code.path, host.role));
    }
    let arguments = match config.get("args") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(items)) => items
            .iter()
            .map(|item| fill(&plain(item), run).map(OsString::from))
            .collect::<Result<_, _>>()?,
        Some(_) => return Err("The flow runner's `args` is not a list.".into()),
    };
    let mut invocation = Invocation {
        directory: directory(config)?,
        timeout: timeout(config)?,
        ..Default::default()
    };
    // A script may call the Python of an environment too.
    let names = |key: &str| {
        config
            .get(key)
            .and_then(Value::as_str)
            .is_some_and(|text| !text.is_empty())
    };
    if names("condaenv") || names("virtualenv") {
        python::choose_python(&mut invocation, &PythonCode::default(), config, host)?;
    }
    python::start_instead(&mut invocation, code.path.clone().into());
    invocation.arguments.extend(arguments);
    invocation
        .set
        .push(("PREFECT__FLOW_RUN_NAME".into(), run.name.clone().into()));
    let engine = match &code.function {
        Some(function) => {
            let name = function.into();
            invocation.set.push((program::FLOW_NAME.into(), name));
            // It reads its parameters from the API, however large they are.
            Engine::Process
        }
        None => {
            push_parameters(&mut invocation, run)?;
            Engine::Agent
        }
    };
    Ok(Launch {
        invocation,
        engine,
        streams_output: false,
        logs_output: true,
        has_own_folder: false,
    })
}

/// Tells a command which flow run it is, and with what parameters.
pub(in crate::agent) fn describe_run(
    invocation: &mut Invocation,
    run: &FlowRun,
) -> Result<(), String> {
    let set = &mut invocation.set;
    set.push((program::FLOW_RUN_ID.into(), run.id.to_string().into()));
    set.push(("PREFECT__FLOW_RUN_NAME".into(), run.name.clone().into()));
    push_parameters(invocation, run)
}

fn push_parameters(invocation: &mut Invocation, run: &FlowRun) -> Result<(), String> {
    let all = Value::Object(run.parameters.clone()).to_string();
    push_parameter(invocation, "PREFECT__PARAMETERS".into(), all)?;
    let mut known: HashMap<String, &String> = HashMap::new();
    for (name, value) in &run.parameters {
        let key = format!("PREFECT__PARAMETER_{}", variable_name(name));
        // One of the two would be lost without a word.
        if let Some(other) = known.insert(key.clone(), name) {
            return Err(format!(
                "The parameters `{other}` and `{name}` would both be the environment variable `{key}`. Give one of them another name."
            ));
        }
        push_parameter(invocation, key, plain(value))?;
    }
    Ok(())
}

fn push_parameter(invocation: &mut Invocation, key: String, value: String) -> Result<(), String> {
    if value.len() > MAX_VARIABLE_BYTES {
        return Err(format!(
            "The parameters are too large for an environment variable: `{key}` would have {} bytes, and at most {MAX_VARIABLE_BYTES} fit into one. Put the data into a file, a variable or an artifact, and pass its path or name as the parameter.",
            value.len()
        ));
    }
    if !value.contains('\0') {
        invocation.set.push((key, value.into()));
    }
    Ok(())
}

/// Returns the part of a variable's name that stands for a parameter: capitals, digits and underscores.
fn variable_name(parameter: &str) -> String {
    parameter
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_uppercase()
            } else {
                '_'
            }
        })
        .collect()
}

/// Replaces `{{ parameters.name }}`, `{{ flow_run.id }}` and `{{ flow_run.name }}`.
fn fill(template: &str, run: &FlowRun) -> Result<String, String> {
    let mut filled = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((name, after)) = after.split_once("}}") else {
            return Err(format!(
                "The argument `{template}` opens a placeholder that it does not close."
            ));
        };
        filled.push_str(before);
        filled.push_str(&lookup(name.trim(), run).ok_or_else(|| format!(
            "The argument `{template}` asks for `{}`, which this run does not have; there are flow_run.id, flow_run.name and parameters.<name>.", name.trim()
        ))?);
        rest = after;
    }
    filled.push_str(rest);
    if filled.contains('\0') {
        return Err(format!(
            "The argument `{template}` would contain a zero character, which no argument can."
        ));
    }
    Ok(filled)
}

fn lookup(name: &str, run: &FlowRun) -> Option<String> {
    match name {
        "flow_run.id" => return Some(run.id.to_string()),
        "flow_run.name" => return Some(run.name.clone()),
        _ => {}
    }
    let path = name.strip_prefix("parameters.")?;
    // A name may have dots of its own.
    if let Some(value) = run.parameters.get(path) {
        return Some(plain(value));
    }
    let mut path = path.split('.');
    let first = run.parameters.get(path.next()?)?;
    let inner = |value: &Value, key: &str| match value {
        Value::Array(items) => items.get(key.parse::<usize>().ok()?).cloned(),
        value => value.get(key).cloned(),
    };
    path.try_fold(first.clone(), |value, key| inner(&value, key))
        .as_ref()
        .map(plain)
}

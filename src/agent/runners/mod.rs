//! Flow runners: from a flow run and its deployment to what to start.
//!
//! Pure: what the machine has (environment, folders) comes in as a [`Host`], so each choice is a
//! table in the tests.

mod executable;
mod python;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value};

use super::jobs::Job;
use super::process::Invocation;
use super::role::Role;
use crate::client::FlowRun;
use crate::deployments::FlowCode;
use crate::deployments::document::PythonCode;

pub(super) use executable::describe_run;

/// What a flow process is given by the machine and the agent.
#[derive(Debug, Clone, Default)]
pub struct Host {
    /// The URL under which flows reach the API.
    pub api_url: String,
    /// The token for it.
    pub api_key: Option<String>,
    /// The interpreter that the agent's owner chose for all flows without one.
    pub python: Option<PathBuf>,
    /// The active virtual environment.
    pub virtual_env: Option<PathBuf>,
    /// The search path.
    pub path: OsString,
    /// What takes the runs, in words.
    pub role: Role,
}

/// Who tells the server about RUNNING and the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// An engine in the process does: that of Python, or of flows in Rust.
    Process,
    /// The agent does.
    Agent,
}

/// What to start and how to treat it.
#[derive(Debug, Clone, PartialEq)]
pub struct Launch {
    /// The process.
    pub invocation: Invocation,
    /// Who reports its states.
    pub engine: Engine,
    /// Whether its output goes to the agent's terminal as well.
    pub streams_output: bool,
    /// Whether what it prints becomes logs of the run.
    pub logs_output: bool,
    /// Whether it starts in a folder that is made for it and removed afterwards.
    pub has_own_folder: bool,
}

/// Decides what to start for a flow run; an error is a sentence for the run's final state.
pub fn launch(run: &FlowRun, deployment: &Value, host: &Host) -> Result<Launch, String> {
    let runner = run
        .flow_runner
        .as_ref()
        .filter(|runner| runner["type"].is_string())
        .unwrap_or(&deployment["flow_runner"]);
    let role = host.role;
    match runner["type"].as_str().unwrap_or("universal") {
        "universal" | "subprocess" => {}
        other => {
            return Err(format!(
                "This {role} cannot start flow runs with the flow runner `{other}`; it has `subprocess`. Deploy the flow again with that one, or start {} that has `{other}`.",
                role.one()
            ));
        }
    }
    let mut config = runner["config"].as_object().cloned().unwrap_or_default();
    let code = FlowCode::from_value(&deployment["flow_data"])?;
    config.extend(code.options().clone());
    let mut launch = match code {
        FlowCode::Python(code) => python::python(run, &code, &config, host)?,
        FlowCode::Executable(code) => executable::executable(run, &code, &config, host)?,
    };
    add_host(&mut launch.invocation, host);
    let set = &mut launch.invocation.set;
    set.push(("PREFECT__FLOW_RUN_ID".into(), run.id.to_string().into()));
    for (key, value) in config
        .get("env")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let value = plain(value);
        check_variable("The flow runner's", key, &value)?;
        set.push((key.clone(), value.into()));
    }
    launch.streams_output = config
        .get("stream_output")
        .and_then(Value::as_bool)
        .unwrap_or(false);
    Ok(launch)
}

/// Decides what to start for a run of a newer client's deployment: its engine, which fetches the code by itself.
///
/// These flows say with `log_prints` whether what they print becomes logs.
pub fn launch_job(run: &FlowRun, job: &Job, host: &Host) -> Result<Launch, String> {
    let mut invocation = Invocation {
        hears_why: true,
        ..Default::default()
    };
    let id = run.id.simple().to_string();
    let engine = ["python", "-m", "prefect.engine", &id].map(str::to_owned);
    let words = job.command.as_deref().unwrap_or(&engine);
    take_command(&mut invocation, words, job, host)?;
    invocation.set.push(("PYTHONUNBUFFERED".into(), "1".into()));
    invocation
        .set
        .push(("PREFECT__FLOW_RUN_ID".into(), run.id.to_string().into()));
    let mut launch = Launch {
        invocation,
        engine: Engine::Process,
        streams_output: true,
        logs_output: false,
        has_own_folder: false,
    };
    add_host(&mut launch.invocation, host);
    add_job(&mut launch, job)?;
    launch.has_own_folder = launch.invocation.directory.is_none();
    Ok(launch)
}

/// Puts what a work pool and its job variables say over a launch.
pub fn add_job(launch: &mut Launch, job: &Job) -> Result<(), String> {
    launch.streams_output = job.streams_output;
    for (name, value) in &job.env {
        check_variable("The job's", name, value)?;
        launch.invocation.set.push((name.clone(), value.into()));
    }
    if let Some(folder) = &job.working_dir {
        launch.invocation.directory = Some(folder_of("The job's `working_dir`", folder)?);
    }
    Ok(())
}

fn check_variable(whose: &str, name: &str, value: &str) -> Result<(), String> {
    match name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
        true => Err(format!(
            "{whose} variable `{name}` cannot be one of a process."
        )),
        false => Ok(()),
    }
}

/// Makes a command the one to start, with the chosen interpreter where it names Python or the client's own program.
fn take_command(
    invocation: &mut Invocation,
    words: &[String],
    job: &Job,
    host: &Host,
) -> Result<(), String> {
    let (program, arguments) = words.split_first().ok_or("The job's command is empty.")?;
    let own: &[&str] = match program.as_str() {
        "python" | "python3" => &["python"],
        "prefect" => &["python", "-m", "prefect"],
        program => &[program],
    };
    if own[0] == "python" || !job.interpreter.is_empty() {
        python::choose_python(invocation, &PythonCode::default(), &job.interpreter, host)?;
    }
    if own[0] != "python" {
        python::start_instead(invocation, program.into());
    }
    let own = own[1..].iter().map(OsString::from);
    invocation
        .arguments
        .extend(own.chain(arguments.iter().map(OsString::from)));
    Ok(())
}

fn add_host(invocation: &mut Invocation, host: &Host) {
    let set = &mut invocation.set;
    set.push(("PREFECT_API_URL".into(), host.api_url.clone().into()));
    if let Some(key) = &host.api_key {
        set.push(("PREFECT_API_KEY".into(), key.into()));
    }
}

/// Returns text as it is and everything else as JSON.
fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn directory(config: &Map<String, Value>) -> Result<Option<PathBuf>, String> {
    let Some(directory) = config.get("working_dir").and_then(Value::as_str) else {
        return Ok(None);
    };
    folder_of("The flow runner's `working_dir`", directory).map(Some)
}

fn folder_of(what: &str, path: &str) -> Result<PathBuf, String> {
    let folder = expand(path)?;
    if folder.is_dir() {
        return Ok(folder);
    }
    Err(format!(
        "{what}, `{}`, is no folder on this machine.",
        folder.display()
    ))
}

fn timeout(config: &Map<String, Value>) -> Result<Option<Duration>, String> {
    let Some(value) = config
        .get("timeout_seconds")
        .filter(|value| !value.is_null())
    else {
        return Ok(None);
    };
    let seconds = value
        .as_f64()
        .filter(|seconds| *seconds > 0.0)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.map(Some).ok_or_else(|| {
        format!(
            "The flow runner's `timeout_seconds` is {value}, not a number of seconds above zero."
        )
    })
}

fn expand(path: &str) -> Result<PathBuf, String> {
    let Some(rest) = path.strip_prefix('~') else {
        return Ok(PathBuf::from(path));
    };
    let home = std::env::var_os("HOME")
        .ok_or_else(|| format!("`{path}` needs a home folder, and HOME is not set here."))?;
    Ok(Path::new(&home).join(rest.trim_start_matches('/')))
}

fn missing(path: &Path, role: Role) -> String {
    format!(
        "The flow's code is not at `{}` on this machine. Deploy the flow again here, or start {} where it was deployed.",
        path.display(),
        role.one()
    )
}

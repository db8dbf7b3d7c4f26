//! Flow runners: from a flow run and its deployment to what to start.
//!
//! Pure: what the machine has (environment, folders) comes in as a [`Host`], so each choice is a
//! table in the tests.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value};

use super::jobs::Job;
use super::process::Invocation;
use super::role::Role;
use crate::client::FlowRun;
use crate::deployments::FlowCode;
use crate::deployments::document::{ExecutableCode, PythonCode};
use crate::sdk::program;

/// What an environment variable can hold: Linux allows 32 pages for one string.
const MAX_VARIABLE_BYTES: usize = 128 * 1024 - 4096;

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
        FlowCode::Python(code) => python(run, &code, &config, host)?,
        FlowCode::Executable(code) => executable(run, &code, &config, host.role)?,
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
        set.push((key.clone(), plain(value).into()));
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
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(format!(
                "The job's variable `{name}` cannot be one of a process."
            ));
        }
        launch.invocation.set.push((name.clone(), value.into()));
    }
    if let Some(folder) = &job.working_dir {
        launch.invocation.directory = Some(folder_of("The job's `working_dir`", folder)?);
    }
    Ok(())
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
        choose_python(invocation, &PythonCode::default(), &job.interpreter, host)?;
    }
    if own[0] != "python" {
        match invocation.arguments.last_mut() {
            // `conda run` starts anything in its environment.
            Some(python) => *python = program.into(),
            None => invocation.program = program.into(),
        }
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

fn python(
    run: &FlowRun,
    code: &PythonCode,
    config: &Map<String, Value>,
    host: &Host,
) -> Result<Launch, String> {
    if let Some(path) = code
        .path
        .as_ref()
        .filter(|path| path.is_absolute() && !path.exists())
    {
        return Err(missing(path, host.role));
    }
    let mut invocation = Invocation {
        directory: directory(config)?,
        timeout: timeout(config)?,
        ..Default::default()
    };
    let engine = ["-m", "prefect.engine"]
        .map(OsString::from)
        .into_iter()
        .chain([run.id.simple().to_string().into()]);
    choose_python(&mut invocation, code, config, host)?;
    invocation.hears_why = true;
    invocation.arguments.extend(engine);
    // Lines of a flow must arrive when they are printed, not when a block of them is full.
    invocation.set.push(("PYTHONUNBUFFERED".into(), "1".into()));
    Ok(Launch {
        invocation,
        engine: Engine::Process,
        streams_output: false,
        logs_output: true,
        has_own_folder: false,
    })
}

/// Makes an interpreter the program: that of a named environment, else the one that suits.
fn choose_python(
    invocation: &mut Invocation,
    code: &PythonCode,
    config: &Map<String, Value>,
    host: &Host,
) -> Result<(), String> {
    let text = |key: &str| {
        config
            .get(key)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    };
    if let Some(environment) = text("condaenv") {
        let is_path = environment.starts_with(['/', '~']);
        invocation.program = "conda".into();
        invocation.arguments = [
            "run",
            "--no-capture-output",
            if is_path { "--prefix" } else { "--name" },
        ]
        .map(OsString::from)
        .to_vec();
        invocation.arguments.push(if is_path {
            expand(environment)?.into()
        } else {
            environment.into()
        });
        invocation.arguments.push("python".into());
    } else if let Some(environment) = text("virtualenv") {
        use_environment(invocation, &expand(environment)?, host)?;
    } else {
        invocation.program = interpreter(code, host)?;
    }
    Ok(())
}

/// Does what activating a virtual environment does.
fn use_environment(invocation: &mut Invocation, folder: &Path, host: &Host) -> Result<(), String> {
    let bin = folder.join("bin");
    invocation.program = bin.join("python");
    if !invocation.program.exists() {
        return Err(format!(
            "The flow runner names the virtual environment `{}`, which has no `bin/python` on this machine.",
            folder.display()
        ));
    }
    let mut path = bin.into_os_string();
    path.push(":");
    path.push(&host.path);
    invocation.set.push(("PATH".into(), path));
    invocation
        .set
        .push(("VIRTUAL_ENV".into(), folder.as_os_str().into()));
    invocation.unset.push("PYTHONHOME".into());
    Ok(())
}

/// Chooses the interpreter: the agent's, the one that the flow was deployed with, the active one, the first on `PATH`.
fn interpreter(code: &PythonCode, host: &Host) -> Result<PathBuf, String> {
    if let Some(python) = &host.python {
        return Ok(python.clone());
    }
    if let Some(python) = code.interpreter.as_ref().filter(|python| python.exists()) {
        return Ok(python.clone());
    }
    if let Some(python) = host
        .virtual_env
        .as_ref()
        .map(|folder| folder.join("bin/python"))
        .filter(|python| python.exists())
    {
        return Ok(python);
    }
    let found = ["python3", "python"].iter().find_map(|name| {
        std::env::split_paths(&host.path)
            .map(|folder| folder.join(name))
            .find(|file| file.is_file())
    });
    found.ok_or_else(|| {
        let role = host.role;
        format!("No Python interpreter was found for this flow: there is none on the {role}'s PATH. Start the {role} in the flow's virtual environment, or set PREFECT_RS_PYTHON.")
    })
}

fn executable(
    run: &FlowRun,
    code: &ExecutableCode,
    config: &Map<String, Value>,
    role: Role,
) -> Result<Launch, String> {
    if !code.path.exists() {
        return Err(missing(&code.path, role));
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
        program: code.path.clone(),
        arguments,
        directory: directory(config)?,
        timeout: timeout(config)?,
        ..Default::default()
    };
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
pub(super) fn describe_run(invocation: &mut Invocation, run: &FlowRun) -> Result<(), String> {
    let set = &mut invocation.set;
    set.push((program::FLOW_RUN_ID.into(), run.id.to_string().into()));
    set.push(("PREFECT__FLOW_RUN_NAME".into(), run.name.clone().into()));
    push_parameters(invocation, run)
}

fn push_parameters(invocation: &mut Invocation, run: &FlowRun) -> Result<(), String> {
    let all = Value::Object(run.parameters.clone()).to_string();
    push_parameter(invocation, "PREFECT__PARAMETERS".into(), all)?;
    for (name, value) in &run.parameters {
        push_parameter(
            invocation,
            format!("PREFECT__PARAMETER_{}", variable_name(name)),
            plain(value),
        )?;
    }
    Ok(())
}

fn push_parameter(invocation: &mut Invocation, key: String, value: String) -> Result<(), String> {
    if value.len() > MAX_VARIABLE_BYTES {
        return Err(format!(
            "The parameters are too large for an environment variable: `{key}` would have {} bytes, and the system takes {MAX_VARIABLE_BYTES}. Pass the name of a file instead.",
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
    let mut path = name.strip_prefix("parameters.")?.split('.');
    let first = run.parameters.get(path.next()?)?;
    path.try_fold(first, |value, key| value.get(key)).map(plain)
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn run(parameters: Value) -> FlowRun {
        serde_json::from_value(json!({
            "id": "11111111-2222-4333-8444-555555555555", "name": "able-fox",
            "flow_id": "11111111-2222-4333-8444-555555555556", "parameters": parameters,
        }))
        .unwrap()
    }

    fn host() -> Host {
        Host {
            api_url: "http://h/api".into(),
            path: "/bin:/usr/bin".into(),
            ..Default::default()
        }
    }

    fn executable_deployment(config: Value) -> Value {
        let code = FlowCode::Executable(ExecutableCode {
            path: "/bin/sh".into(),
            sha256: "x".into(),
            location: "/a".into(),
            function: None,
            options: Default::default(),
        });
        json!({"flow_data": code.to_value(), "flow_runner": {"type": "subprocess", "config": config}})
    }

    fn shown(launch: &Launch) -> String {
        let line: Vec<_> = launch
            .invocation
            .arguments
            .iter()
            .map(|a| a.to_string_lossy())
            .collect();
        format!("{} {}", launch.invocation.program.display(), line.join(" "))
    }

    fn variable<'a>(launch: &'a Launch, key: &str) -> Option<&'a str> {
        launch
            .invocation
            .set
            .iter()
            .rev()
            .find(|(k, _)| k == key)
            .and_then(|(_, v)| v.to_str())
    }

    #[test]
    fn an_executable_gets_parameters_as_variables_and_arguments() {
        let deployment = executable_deployment(json!({
            "env": {"A": "b"}, "args": ["--to={{ parameters.target.host }}", "{{flow_run.name}}", 5], "timeout_seconds": 1.5,
        }));
        let run = run(json!({"target": {"host": "h1"}, "my-count": 3, "text": "x y"}));
        let launch = launch(&run, &deployment, &host()).unwrap();
        assert_eq!(launch.engine, Engine::Agent);
        assert_eq!(shown(&launch), "/bin/sh --to=h1 able-fox 5");
        assert_eq!(
            variable(&launch, "PREFECT__PARAMETERS"),
            Some(r#"{"target":{"host":"h1"},"my-count":3,"text":"x y"}"#)
        );
        assert_eq!(variable(&launch, "PREFECT__PARAMETER_MY_COUNT"), Some("3"));
        assert_eq!(variable(&launch, "PREFECT__PARAMETER_TEXT"), Some("x y"));
        assert_eq!(variable(&launch, "PREFECT_API_URL"), Some("http://h/api"));
        assert_eq!(variable(&launch, "A"), Some("b"));
        assert_eq!(launch.invocation.timeout, Some(Duration::from_millis(1500)));
    }

    #[rstest::rstest]
    #[case(json!({"args": ["{{ parameters.absent }}"]}), "asks for `parameters.absent`")]
    #[case(json!({"args": ["{{ flow_run.id"]}), "does not close")]
    #[case(json!({"args": "x"}), "not a list")]
    #[case(json!({"timeout_seconds": -1}), "`timeout_seconds` is -1")]
    #[case(json!({"working_dir": "/nowhere/at/all"}), "no folder")]
    fn a_wrong_configuration_is_a_sentence(#[case] config: Value, #[case] expected: &str) {
        let said = launch(&run(json!({})), &executable_deployment(config), &host()).unwrap_err();
        assert!(said.contains(expected), "{said}");
    }

    #[test]
    fn an_unknown_flow_runner_is_refused_by_name() {
        let mut deployment = executable_deployment(json!({}));
        deployment["flow_runner"]["type"] = json!("docker");
        assert!(
            launch(&run(json!({})), &deployment, &host())
                .unwrap_err()
                .contains("`docker`")
        );
    }

    #[test]
    fn parameters_beyond_a_variable_are_refused() {
        let said = launch(
            &run(json!({"big": "x".repeat(200_000)})),
            &executable_deployment(json!({})),
            &host(),
        )
        .unwrap_err();
        assert!(said.contains("too large"), "{said}");
    }

    #[test]
    fn a_job_runs_the_engine_or_its_command_with_the_chosen_interpreter() {
        let python = Host {
            python: Some("/venv/bin/python".into()),
            ..host()
        };
        let shown_of = |command: Option<&[&str]>| {
            let command =
                command.map(|words| words.iter().map(|word| (*word).to_owned()).collect());
            let job = Job {
                command,
                env: vec![("A".into(), "b".into())],
                ..Job::default()
            };
            let launch = launch_job(&run(json!({})), &job, &python).unwrap();
            assert_eq!(variable(&launch, "A"), Some("b"));
            assert_eq!(
                variable(&launch, "PREFECT__FLOW_RUN_ID"),
                Some("11111111-2222-4333-8444-555555555555")
            );
            assert!(launch.has_own_folder && launch.engine == Engine::Process);
            shown(&launch)
        };
        let engine = "/venv/bin/python -m prefect.engine 11111111222243338444555555555555";
        assert_eq!(shown_of(None), engine);
        assert_eq!(
            shown_of(Some(&["python", "-m", "x"])),
            "/venv/bin/python -m x"
        );
        let runner = shown_of(Some(&["prefect", "flow-run", "execute"]));
        assert_eq!(runner, "/venv/bin/python -m prefect flow-run execute");
        assert_eq!(shown_of(Some(&["nice", "sh"])), "nice sh");
        let conda = Job {
            command: Some(vec!["nice".into(), "sh".into()]),
            interpreter: json!({"condaenv": "etl"}).as_object().cloned().unwrap(),
            ..Job::default()
        };
        let launch = launch_job(&run(json!({})), &conda, &Host::default()).unwrap();
        assert_eq!(
            shown(&launch),
            "conda run --no-capture-output --name etl nice sh"
        );

        let elsewhere = Job {
            working_dir: Some("/nowhere/at/all".into()),
            ..Job::default()
        };
        let said = launch_job(&run(json!({})), &elsewhere, &python).unwrap_err();
        assert!(said.contains("The job's `working_dir`"), "{said}");
        let unspeakable = Job {
            env: vec![("A=".into(), "b".into())],
            ..Job::default()
        };
        assert!(launch_job(&run(json!({})), &unspeakable, &python).is_err());
    }

    #[test]
    fn python_runs_the_engine_of_the_named_environment() {
        let folder = tempfile::tempdir().unwrap();
        let python = folder.path().join("bin/python");
        std::fs::create_dir(folder.path().join("bin")).unwrap();
        std::fs::write(&python, "").unwrap();
        let code = FlowCode::Python(PythonCode {
            interpreter: Some(python.clone()),
            ..Default::default()
        });
        let deployment = |config: Value| json!({"flow_data": code.to_value(), "flow_runner": {"type": "universal", "config": config}});
        let engine = "-m prefect.engine 11111111222243338444555555555555";

        let recorded = launch(&run(json!({})), &deployment(json!({"env": {}})), &host()).unwrap();
        assert_eq!(shown(&recorded), format!("{} {engine}", python.display()));
        assert_eq!(recorded.engine, Engine::Process);

        let named = launch(
            &run(json!({})),
            &deployment(json!({"virtualenv": folder.path()})),
            &host(),
        )
        .unwrap();
        assert_eq!(variable(&named, "VIRTUAL_ENV"), folder.path().to_str());
        assert_eq!(
            variable(&named, "PATH"),
            Some(&*format!("{}/bin:/bin:/usr/bin", folder.path().display()))
        );
        assert_eq!(named.invocation.unset, ["PYTHONHOME"]);

        let conda = launch(
            &run(json!({})),
            &deployment(json!({"condaenv": "etl"})),
            &host(),
        )
        .unwrap();
        assert_eq!(
            shown(&conda),
            format!("conda run --no-capture-output --name etl python {engine}")
        );

        let absent = launch(
            &run(json!({})),
            &deployment(json!({"virtualenv": "/nowhere"})),
            &host(),
        )
        .unwrap_err();
        assert!(absent.contains("`/nowhere`"), "{absent}");
    }
}

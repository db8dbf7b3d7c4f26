//! Flows in Python: which interpreter runs their engine.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::{Engine, Host, Launch, directory, expand, missing, timeout};
use crate::agent::process::Invocation;
use crate::client::FlowRun;
use crate::deployments::document::PythonCode;
use crate::deployments::python::{SCRIPT, search};

/// The variable that carries an engine which supplies names.
const SUPPLYING: &str = "PREFECT_RS_ENGINE";

/// Decides what to start for a flow in Python.
pub(super) fn python(
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
    choose_python(&mut invocation, code, config, host)?;
    invocation.hears_why = true;
    let id = run.id.simple().to_string();
    let engine: Vec<OsString> = match code.needs_supplied {
        false => ["-m", "prefect.engine", &id].map(OsString::from).into(),
        // The script is no argument, since `conda run` takes none of several lines.
        true => {
            invocation.set.push((SUPPLYING.into(), SCRIPT.into()));
            let start = format!("import os; exec(os.environ.pop('{SUPPLYING}'))");
            ["-c", &start, "engine", &id].map(OsString::from).into()
        }
    };
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
pub(super) fn choose_python(
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

/// Makes another program the one to start where an interpreter was chosen, in the same environment.
pub(super) fn start_instead(invocation: &mut Invocation, program: OsString) {
    match invocation.arguments.last_mut() {
        // `conda run` starts anything in its environment.
        Some(python) => *python = program,
        None => invocation.program = program.into(),
    }
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
    let found = search(&["python3".as_ref(), "python".as_ref()], &host.path);
    found.ok_or_else(|| {
        let role = host.role;
        format!("No Python interpreter was found for this flow: there is none on the {role}'s PATH. Start the {role} in the flow's virtual environment, or set PREFECT_RS_PYTHON.")
    })
}

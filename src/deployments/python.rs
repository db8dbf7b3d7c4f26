//! Asking a Python interpreter about specifications and flows.
//!
//! Only Python can say what a Python file means, so a small script of ours runs in the
//! interpreter that will run the flow, imports the user's file there and prints JSON. It brings
//! its own `DeploymentSpec` where the installed `prefect` no longer has one.

use super::{Error, Specification, spec::FlowRunner};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// What runs in the interpreter; its first argument says what is asked of it.
pub(crate) const SCRIPT: &str = include_str!("read_python.py");

/// A Python interpreter and how it was chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct Interpreter {
    /// The executable.
    pub path: PathBuf,
    /// Where the choice came from, for messages.
    pub chosen_by: &'static str,
}

/// What an interpreter told about a flow.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Flow {
    /// The flow's name.
    pub name: String,
    /// Its function's name.
    pub function: Option<String>,
    /// The version of the `prefect` package that read it.
    pub prefect_version: Option<String>,
    /// What its documentation says.
    #[serde(default)]
    pub description: Option<String>,
    /// The JSON schema of its parameters.
    #[serde(default)]
    pub parameter_openapi_schema: Option<Value>,
    /// Whether its file needs names that this `prefect` does not have, such as `DeploymentSpec`.
    #[serde(default)]
    pub needs_supplied: bool,
}

impl Flow {
    /// Whether runs whose parameters break the schema are refused.
    ///
    /// Only where the genuine client of that generation has it so by default: the engines convert what
    /// they are given, and the first ones ignore what they do not know.
    pub fn is_schema_enforced(&self) -> bool {
        let version = self.prefect_version.as_deref().unwrap_or_default();
        let major = version.split('.').next().unwrap_or_default();
        major.parse().is_ok_and(|major: u32| major >= 3)
    }
}

#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    specs: Vec<Read>,
    flow: Option<Flow>,
    error: Option<Failure>,
}

#[derive(Debug, Deserialize)]
struct Failure {
    message: String,
    hint: Option<String>,
    line: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Read {
    file: PathBuf,
    line: Option<u64>,
    name: Option<String>,
    flow_name: Option<String>,
    flow_location: Option<PathBuf>,
    flow: Option<Flow>,
    parameters: Option<Map<String, Value>>,
    tags: Option<Vec<String>>,
    schedule: Option<Value>,
    flow_runner: Option<FlowRunner>,
}

impl Interpreter {
    /// Chooses: what the user names, the active virtual environment, the first on `PATH`.
    ///
    /// Where there is none, the choice fails when it is used, since an executable needs no Python.
    pub fn choose(named: Option<&Path>) -> Self {
        let active = std::env::var_os("VIRTUAL_ENV");
        let path = std::env::var_os("PATH").unwrap_or_default();
        choose_among(named, active.as_deref(), &path).unwrap_or_else(|| Interpreter {
            path: "python3".into(),
            chosen_by: "default",
        })
    }
}

/// Reads all `DeploymentSpec(..)` of a Python file.
pub fn read_specifications(
    path: &Path,
    interpreter: &Interpreter,
) -> Result<Vec<Specification>, Error> {
    let answer = ask(interpreter, &["specs".as_ref(), path.as_os_str()], path)?;
    if answer.specs.is_empty() {
        return Err(Error::Invalid {
            file: path.to_path_buf(),
            line: None,
            message: "has no deployment specification".into(),
            hint: Some(
                "call `DeploymentSpec(name=.., flow=..)` at the top level of the file".into(),
            ),
        });
    }
    answer
        .specs
        .into_iter()
        .map(|read| {
            Specification {
                file: read.file,
                line: read.line,
                name: read.name,
                flow_name: read.flow_name,
                flow_location: read.flow_location,
                flow: read.flow,
                parameters: read.parameters.unwrap_or_default(),
                tags: read.tags.unwrap_or_default(),
                schedule: read.schedule,
                is_schedule_active: true,
                flow_runner: read.flow_runner.unwrap_or_default(),
                work_pool: None,
            }
            .check()
        })
        .collect()
}

/// Finds one flow in a Python file, by name where the file has several.
pub fn read_flow(
    path: &Path,
    name: Option<&str>,
    interpreter: &Interpreter,
) -> Result<Flow, Error> {
    let mut arguments = vec![OsStr::new("flow"), path.as_os_str()];
    arguments.extend(name.map(OsStr::new));
    let answer = ask(interpreter, &arguments, path)?;
    answer.flow.ok_or_else(|| Error::Python {
        message: format!("{} has no flow", path.display()),
        hint: None,
    })
}

fn ask(interpreter: &Interpreter, arguments: &[&OsStr], file: &Path) -> Result<Answer, Error> {
    let output =
        answer_of(&mut command(interpreter, arguments)).map_err(|error| Error::Python {
            message: format!(
                "failed to start the Python interpreter `{}`: {error}",
                interpreter.path.display()
            ),
            hint: Some(
                "activate the flow's virtual environment, or name an interpreter with --python"
                    .into(),
            ),
        })?;
    let answer: Answer = serde_json::from_slice(&output.stdout).map_err(|_| Error::Python {
        message: format!(
            "`{}` ended with {} while it read {}",
            interpreter.path.display(),
            output.status,
            file.display()
        ),
        hint: Some("its messages are above; a specification must not exit or block".into()),
    })?;
    match answer.error {
        None => Ok(answer),
        Some(failure) if failure.line.is_some() => Err(Error::Invalid {
            file: file.to_path_buf(),
            line: failure.line,
            message: failure.message,
            hint: failure.hint,
        }),
        Some(failure) => Err(Error::Python {
            message: failure.message,
            hint: failure.hint,
        }),
    }
}

fn command(interpreter: &Interpreter, arguments: &[&OsStr]) -> Command {
    let mut command = Command::new(&interpreter.path);
    command
        .arg("-c")
        .arg(SCRIPT)
        .args(arguments)
        .env("DO_NOT_TRACK", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit());
    command
}

fn answer_of(command: &mut Command) -> std::io::Result<Output> {
    let mut reader = command.spawn()?;
    // However this process ends, the pipe is closed then, and a reader that is not done ends too.
    let held = reader.stdin.take();
    let output = reader.wait_with_output();
    drop(held);
    output
}

fn choose_among(named: Option<&Path>, active: Option<&OsStr>, path: &OsStr) -> Option<Interpreter> {
    if let Some(named) = named {
        // A bare name is looked up like a shell would; a path is taken as it is.
        let bare = named.components().count() == 1;
        let found = if bare {
            search(&[named.as_os_str()], path)
        } else {
            None
        };
        return Some(Interpreter {
            path: found.unwrap_or_else(|| absolute(named)),
            chosen_by: "--python",
        });
    }
    if let Some(active) = active.filter(|active| !active.is_empty()) {
        return Some(Interpreter {
            path: Path::new(active).join("bin/python"),
            chosen_by: "VIRTUAL_ENV",
        });
    }
    search(&["python3".as_ref(), "python".as_ref()], path).map(|path| Interpreter {
        path,
        chosen_by: "PATH",
    })
}

/// Makes a path absolute without resolving links: `venv/bin/python` is a link that says which environment.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

/// Finds the first of some programs in the folders of a search path.
pub(crate) fn search(names: &[&OsStr], path: &OsStr) -> Option<PathBuf> {
    names.iter().find_map(|name| {
        std::env::split_paths(path)
            .map(|folder| folder.join(name))
            .find(|file| file.is_file())
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::process::Child;
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn the_interpreter_is_named_then_active_then_on_the_path() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("python3"), "").unwrap();
        let path = folder.path().as_os_str();
        let chosen = |named: Option<&str>, active: Option<&str>| {
            let one = choose_among(named.map(Path::new), active.map(OsStr::new), path).unwrap();
            (one.path, one.chosen_by)
        };
        assert_eq!(
            chosen(Some("/x/python"), Some("/venv")),
            ("/x/python".into(), "--python")
        );
        assert_eq!(
            chosen(None, Some("/venv")),
            ("/venv/bin/python".into(), "VIRTUAL_ENV")
        );
        assert_eq!(chosen(None, None), (folder.path().join("python3"), "PATH"));
        assert_eq!(
            chosen(Some("python3"), None).0,
            folder.path().join("python3")
        );
    }

    fn system() -> Interpreter {
        Interpreter::choose(None)
    }

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spec.py");
        std::fs::write(&path, text).unwrap();
        (folder, path)
    }

    /// Makes a stand-in for whichever interpreter is there, without any packages.
    fn bare(folder: &tempfile::TempDir) -> Interpreter {
        let wrapper = folder.path().join("python");
        std::fs::write(
            &wrapper,
            format!("#!/bin/sh\nexec {} -S \"$@\"\n", system().path.display()),
        )
        .unwrap();
        std::fs::set_permissions(
            &wrapper,
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )
        .unwrap();
        Interpreter {
            path: wrapper,
            chosen_by: "test",
        }
    }

    #[test]
    fn a_specification_of_an_executable_needs_no_prefect() {
        let (folder, path) = file(
            "from datetime import timedelta\nfrom prefect.deployments import DeploymentSpec\nfrom prefect.flow_runners import SubprocessFlowRunner\nfrom prefect.orion.schemas.schedules import IntervalSchedule\nprint('noise')\nDeploymentSpec(name='nightly', flow_location='./run.sh', tags=['a'],\n    parameters={'x': 1}, schedule=IntervalSchedule(interval=timedelta(minutes=5)),\n    flow_runner=SubprocessFlowRunner(env={'A': 'b'}))\n",
        );
        let bare = bare(&folder);
        let spec = read_specifications(&path, &bare).unwrap().remove(0);
        assert_eq!(
            (spec.name.as_deref(), spec.line),
            (Some("nightly"), Some(6))
        );
        assert_eq!(spec.schedule, Some(serde_json::json!({"interval": 300.0})));
        assert_eq!(
            spec.flow_runner.to_value()["config"]["env"],
            serde_json::json!({"A": "b"})
        );
        assert_eq!(
            spec.flow_location,
            Some(std::fs::canonicalize(folder.path()).unwrap().join("run.sh"))
        );

        std::fs::write(&path, "from prefect import flow\n").unwrap();
        let error = read_specifications(&path, &bare).unwrap_err();
        assert!(
            error.to_string().contains("has no package `prefect`"),
            "{error}"
        );
        assert!(error.hint().unwrap().contains("--python"));
    }

    /// How long a reader may take to begin or to end.
    const PATIENCE: Duration = Duration::from_secs(20);

    #[expect(clippy::disallowed_methods, reason = "no runtime is here")]
    fn pause() {
        std::thread::sleep(Duration::from_millis(20));
    }

    /// Starts to read a file that never ends once it has done something, and returns when it has.
    fn endless(first: &str) -> (tempfile::TempDir, Child) {
        let (folder, path) = file(&format!(
            "{first}\nopen('begun', 'w').close()\nwhile True:\n    pass\n"
        ));
        let mut command = command(&system(), &["specs".as_ref(), path.as_os_str()]);
        let reader = command.stderr(Stdio::piped()).spawn().unwrap();
        let since = Instant::now();
        while !folder.path().join("begun").exists() {
            assert!(since.elapsed() < PATIENCE, "it does not begin");
            pause();
        }
        (folder, reader)
    }

    fn ended(mut reader: Child) -> (std::process::ExitStatus, String) {
        let since = Instant::now();
        let status = loop {
            if let Some(status) = reader.try_wait().unwrap() {
                break status;
            }
            if since.elapsed() > PATIENCE {
                reader.kill().unwrap();
                panic!("it runs on");
            }
            pause();
        };
        let mut said = String::new();
        let mut stderr = reader.stderr.take().unwrap();
        stderr.read_to_string(&mut said).unwrap();
        (status, said)
    }

    #[test]
    fn a_reader_ends_with_whoever_asked_it() {
        let (_folder, mut reader) = endless("pass");
        // The system does the same when the process that holds it is killed.
        drop(reader.stdin.take());
        let (status, said) = ended(reader);
        assert_eq!((status.code(), said.as_str()), (Some(1), ""));
    }

    #[test]
    fn a_reader_that_is_interrupted_says_nothing() {
        // The test itself may run where interrupts are ignored.
        let (_folder, reader) =
            endless("import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)");
        let id = nix::unistd::Pid::from_raw(i32::try_from(reader.id()).unwrap());
        nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGINT).unwrap();
        let (status, said) = ended(reader);
        assert_eq!((status.code(), said.as_str()), (Some(130), ""));
    }

    #[test]
    fn a_file_that_reads_its_input_has_none() {
        let (_folder, path) = file("import sys\nassert sys.stdin.read() == ''\nx = 1 / 0\n");
        let error = read_specifications(&path, &system()).unwrap_err();
        assert!(error.to_string().contains("line 3"), "{error}");
    }

    #[rstest::rstest]
    #[case(
        "parameters={'x': [object()]}",
        "field `parameters.x.0` of `a`: a value of type object cannot be stored with a deployment"
    )]
    #[case(
        "parameters={'x': float('nan')}",
        "field `parameters.x` of `a`: `nan` is no number in JSON"
    )]
    #[case(
        "parameters={'x': float('-inf')}",
        "field `parameters.x` of `a`: `-inf` is no number in JSON"
    )]
    #[case(
        "parameters={'x': b'\\xff'}",
        "field `parameters.x` of `a`: has bytes that are no text in UTF-8"
    )]
    #[case(
        "parameters=[1]",
        "field `parameters` of `a`: is not a mapping of names to values"
    )]
    #[case("tags='ETL'", "field `tags` of `a`: is not a list of text")]
    #[case(
        "flow_runner='subprocess'",
        "field `flow_runner` of `a`: is of type str, which is no flow runner"
    )]
    fn what_cannot_be_stored_is_told_with_its_line_and_field(
        #[case] field: &str,
        #[case] expected: &str,
    ) {
        let (folder, path) = file(&format!(
            "from prefect.deployments import DeploymentSpec\nDeploymentSpec(name='a', flow_location='./run.sh', {field})\n"
        ));
        let error = read_specifications(&path, &bare(&folder)).unwrap_err();
        let told = error.to_string();
        let (_, told) = told.split_once("spec.py, ").unwrap();
        assert_eq!(told, format!("line 2: {expected}"));
    }

    #[test]
    fn an_error_in_the_file_is_told_with_its_line() {
        let (_folder, path) = file("x = 1\ny = x / 0\n");
        let error = read_specifications(&path, &system()).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("spec.py, line 2: ZeroDivisionError"),
            "{error}"
        );
    }
}

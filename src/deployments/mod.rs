//! Deployment specifications and the storage of flow code.
//!
//! A specification (Python, YAML or JSON) says what to deploy; [`resolve`] reads the code it
//! names, asks the chosen Python interpreter about flows where needed, and copies the code to
//! storage. What is left for the caller is to tell the server. Nothing here talks to a server,
//! so that the same reading serves the command line, tests and later clients.

use std::path::{Path, PathBuf};

pub mod document;
pub mod python;
pub mod rust;
pub mod spec;
pub mod storage;
pub mod text;

pub use document::FlowCode;
pub use python::Interpreter;
pub use spec::Specification;
pub use storage::Storage;

/// What went wrong with a specification, and how to put it right.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The specification itself is at fault.
    #[error("{}{message}", position(.file, .line))]
    Invalid {
        /// The specification file.
        file: PathBuf,
        /// The line, counted from one, where known.
        line: Option<u64>,
        /// What is wrong, the field by name.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// The Python interpreter or the code it ran failed.
    #[error("{message}")]
    Python {
        /// What happened, with the user's own lines of the traceback.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// A flow in Rust could not be built or read.
    #[error("{message}")]
    Rust {
        /// What happened.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// A file could not be read or stored.
    #[error("failed to {action} `{}`: {source}", path.display())]
    Io {
        /// What was being done, such as "read".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The code exceeds what storage accepts.
    #[error("`{}` is {size_bytes} bytes, and storage takes files up to {limit_bytes} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        size_bytes: u64,
        /// The bound.
        limit_bytes: u64,
    },
}

impl Error {
    /// Returns what the user can do, where there is something.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Error::Invalid { hint, .. } | Error::Python { hint, .. } | Error::Rust { hint, .. } => {
                hint.as_deref()
            }
            Error::TooLarge { .. } => {
                Some("deploy a small script that starts the large program where it is installed")
            }
            Error::Io { .. } => None,
        }
    }

    pub(crate) fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Error::Io {
            action,
            path: path.to_path_buf(),
            source,
        }
    }
}

/// A deployment whose code is in storage, ready to be sent to a server.
#[derive(Debug, Clone, PartialEq)]
pub struct Deployment {
    /// The deployment's name.
    pub name: String,
    /// The flow's name.
    pub flow_name: String,
    /// Where the code came from.
    pub flow_location: PathBuf,
    /// Where the code is now.
    pub code: FlowCode,
    /// Default parameters.
    pub parameters: serde_json::Map<String, serde_json::Value>,
    /// Tags of the deployment and its runs.
    pub tags: Vec<String>,
    /// The schedule as the wire has it.
    pub schedule: Option<serde_json::Value>,
    /// Whether the schedule is on.
    pub is_schedule_active: bool,
    /// `{type, config}` as the wire has it.
    pub flow_runner: serde_json::Value,
    /// The pool whose workers take its runs.
    pub work_pool: Option<spec::WorkPool>,
    /// What the flow says of itself, where it was asked: its text and the schema of its parameters.
    pub described: Option<Described>,
}

/// What a flow says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Described {
    /// What its documentation says.
    pub description: Option<String>,
    /// The JSON schema of its parameters.
    pub parameter_openapi_schema: serde_json::Value,
    /// Whether runs whose parameters break the schema are refused.
    pub enforce_parameter_schema: bool,
}

/// Reads a specification file of any of the three kinds.
pub fn read(path: &Path, interpreter: &Interpreter) -> Result<Vec<Specification>, Error> {
    // A pipe would be waited for without end.
    if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(Error::Invalid {
            file: path.to_path_buf(),
            line: None,
            message: "is not a regular file, so it is no specification".into(),
            hint: Some("give the path of the file that says what to deploy".into()),
        });
    }
    // Told in the same words whatever would have read it.
    if let Err(source) = std::fs::File::open(path) {
        return Err(Error::Io {
            action: "read",
            path: path.to_path_buf(),
            source,
        });
    }
    match path.extension().and_then(|e| e.to_str()) {
        Some("py") => python::read_specifications(path, interpreter),
        Some("yaml" | "yml") => text::read_yaml(path),
        Some("json") => text::read_json(path),
        _ => Err(Error::Invalid {
            file: path.to_path_buf(),
            line: None,
            message: "is not a specification: its name ends in none of .py, .yaml, .yml, .json"
                .into(),
            hint: Some("name the file `deployment.yaml`, or whichever of these it is".into()),
        }),
    }
}

/// Finds the flow that a specification names and copies its code to storage.
pub fn resolve(
    spec: &Specification,
    interpreter: &Interpreter,
    storage: &Storage,
) -> Result<Deployment, Error> {
    let location = spec.location()?;
    let program = match rust::is_source(&location) {
        true => rust::build(&location)?,
        false => location.clone(),
    };
    let kind = storage::kind_of(&program)?;
    let (mut described, mut function) = (None, None);
    let (flow_name, python) = match kind {
        storage::Kind::Python => {
            let flow = match &spec.flow {
                Some(flow) => flow.clone(),
                None => python::read_flow(&location, spec.flow_name.as_deref(), interpreter)?,
            };
            described = flow
                .parameter_openapi_schema
                .clone()
                .map(|schema| Described {
                    description: flow.description.clone(),
                    parameter_openapi_schema: schema,
                    enforce_parameter_schema: flow.is_schema_enforced(),
                });
            if let Some(schema) = &flow.parameter_openapi_schema {
                spec.check_parameters(&flow.name, schema)?;
            }
            (flow.name.clone(), Some(flow))
        }
        storage::Kind::Executable if rust::is_program(&program)? => {
            let flow = rust::choose(spec, rust::flows(&program)?, &program)?;
            function = Some(flow.function);
            described = Some(Described {
                description: flow.description,
                parameter_openapi_schema: flow.parameter_openapi_schema,
                enforce_parameter_schema: true,
            });
            (flow.name, None)
        }
        storage::Kind::Executable if rust::is_source(&location) => return Err(spec.invalid(
            "flow_location",
            &format!("`{}` is a program without flows", location.display()),
            "let `prefect_rs::main!(..)` make its `main`, with the flows that are to be deployed",
        )),
        storage::Kind::Executable => {
            let stem = location
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            (spec.flow_name.clone().unwrap_or(stem), None)
        }
        storage::Kind::Neither => {
            return Err(spec.invalid(
                "flow_location",
                &format!(
                    "`{}` is neither a Python script nor executable",
                    location.display()
                ),
                &format!(
                    "give it the name of a Python file (.py), or make it executable: chmod +x {}",
                    location.display()
                ),
            ));
        }
    };
    if flow_name.is_empty() || flow_name.contains('/') {
        return Err(spec.invalid(
            "flow_name",
            &format!("`{flow_name}` is no name for a flow"),
            "give a name without `/`",
        ));
    }
    let stored = storage.store(&program)?;
    let code = match python {
        Some(_) if interpreter.path.to_str().is_none() => {
            return Err(Error::Python {
                message: format!(
                    "the path of the interpreter `{}` is not UTF-8, so no deployment can name it",
                    interpreter.path.display()
                ),
                hint: Some("choose another with --python".into()),
            });
        }
        Some(flow) => FlowCode::python(
            &stored,
            &location,
            interpreter,
            &flow,
            spec.flow_runner.options(),
        ),
        None => FlowCode::executable(&stored, &location, function, spec.flow_runner.options()),
    };
    Ok(Deployment {
        name: spec.name.clone().unwrap_or_else(|| flow_name.clone()),
        flow_name,
        flow_location: location,
        code,
        parameters: spec.parameters.clone(),
        tags: spec.tags.clone(),
        schedule: spec.schedule.clone(),
        is_schedule_active: spec.is_schedule_active,
        flow_runner: spec.flow_runner.to_value(),
        work_pool: spec.work_pool.clone(),
        described,
    })
}

fn position(file: &Path, line: &Option<u64>) -> String {
    match line {
        Some(line) => format!("{}, line {line}: ", file.display()),
        None => format!("{}: ", file.display()),
    }
}

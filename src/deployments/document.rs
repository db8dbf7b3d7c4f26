//! The `flow_data` document of a deployment: where its code is.
//!
//! A Python flow's document is a `blockstorage` one without a block, holding an absolute path:
//! the 2.0b3 engine loads that by itself, whoever's server and agent are in between. Members it
//! does not know (the interpreter, the digest) are ignored there, and tell our agent how to run
//! the flow. An executable has an encoding of its own, so that a genuine engine refuses it by
//! name instead of running a shell script as Python.

use super::{Interpreter, python::Flow, storage::Stored};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// The encoding of a Python flow's document.
pub const BLOCK_STORAGE: &str = "blockstorage";
/// The encoding of an executable's document.
pub const EXECUTABLE: &str = "executable";

/// What our flow runners understand beyond the genuine ones.
///
/// Specifications give these in `flow_runner.config`, but a genuine 2.0b3 agent that finds a name
/// it does not know there ends with an error, and all its runs with it. So they travel in here.
pub const OPTIONS: [&str; 3] = ["args", "working_dir", "timeout_seconds"];

/// What a deployment runs, as its `flow_data` says.
#[derive(Debug, Clone, PartialEq)]
pub enum FlowCode {
    /// A script for `python -m prefect.engine`.
    Python(PythonCode),
    /// A program of any kind.
    Executable(ExecutableCode),
}

/// A stored Python script.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PythonCode {
    /// The stored script; absent when another client stored it somewhere else.
    pub path: Option<PathBuf>,
    /// The interpreter that read the flow when it was deployed.
    pub interpreter: Option<PathBuf>,
    /// The version of the `prefect` package there.
    pub prefect_version: Option<String>,
    /// The flow's function, for engines that load by entrypoint.
    pub function: Option<String>,
    /// Whether the script needs names that its `prefect` does not have; which our engine supplies.
    pub needs_supplied: bool,
    /// SHA-256 of the script.
    pub sha256: Option<String>,
    /// Where it was deployed from.
    pub location: Option<PathBuf>,
    /// How it is started, beyond what genuine flow runners know; see [`OPTIONS`].
    pub options: Map<String, Value>,
}

/// A stored program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExecutableCode {
    /// The stored program.
    pub path: PathBuf,
    /// SHA-256 of it.
    pub sha256: String,
    /// Where it was deployed from.
    pub location: PathBuf,
    /// The flow's function, in a program that has flows and carries runs of them out by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// How it is started, beyond what genuine flow runners know; see [`OPTIONS`].
    #[serde(default)]
    pub options: Map<String, Value>,
}

impl FlowCode {
    /// Returns how it is started, beyond what genuine flow runners know.
    pub fn options(&self) -> &Map<String, Value> {
        match self {
            FlowCode::Python(code) => &code.options,
            FlowCode::Executable(code) => &code.options,
        }
    }

    pub(crate) fn python(
        stored: &Stored,
        location: &Path,
        interpreter: &Interpreter,
        flow: &Flow,
        options: Map<String, Value>,
    ) -> Self {
        FlowCode::Python(PythonCode {
            path: Some(stored.path.clone()),
            interpreter: Some(interpreter.path.clone()),
            prefect_version: flow.prefect_version.clone(),
            function: flow.function.clone(),
            needs_supplied: flow.needs_supplied,
            sha256: Some(stored.sha256.clone()),
            location: Some(location.to_path_buf()),
            options,
        })
    }

    pub(crate) fn executable(
        stored: &Stored,
        location: &Path,
        function: Option<String>,
        options: Map<String, Value>,
    ) -> Self {
        FlowCode::Executable(ExecutableCode {
            path: stored.path.clone(),
            sha256: stored.sha256.clone(),
            location: location.to_path_buf(),
            function,
            options,
        })
    }

    /// Returns where engines from 2.1 on, which do not know such a document, find a flow in Python.
    pub fn entrypoint(&self) -> Option<String> {
        match self {
            FlowCode::Python(code) => {
                let (path, function) = (code.path.as_ref()?, code.function.as_ref()?);
                Some(format!("{}:{function}", path.display()))
            }
            FlowCode::Executable(_) => None,
        }
    }

    /// Returns the document as the wire has it.
    pub fn to_value(&self) -> Value {
        let (encoding, blob) = match self {
            FlowCode::Executable(code) => (EXECUTABLE, json!(code)),
            FlowCode::Python(code) => {
                // The path is JSON inside JSON inside JSON: so the 2.0b3 serializer has it.
                let data = json!(code.path).to_string();
                (
                    BLOCK_STORAGE,
                    json!({
                        "data": data, "block_id": null,
                        "python": code.interpreter, "prefect_version": code.prefect_version,
                        "function": code.function, "needs_supplied": code.needs_supplied,
                        "sha256": code.sha256, "location": code.location, "options": code.options,
                    }),
                )
            }
        };
        json!({"encoding": encoding, "blob": blob.to_string()})
    }

    /// Reads any deployment's document; what is not an executable is for the Python engine.
    pub fn from_value(document: &Value) -> Result<Self, String> {
        let blob = document["blob"].as_str().unwrap_or_default();
        if document["encoding"] == EXECUTABLE {
            return serde_json::from_str(blob)
                .map(FlowCode::Executable)
                .map_err(|error| {
                    format!("the deployment's `executable` document is damaged: {error}")
                });
        }
        let blob: Value = serde_json::from_str(blob).unwrap_or(Value::Null);
        let text = |key: &str| blob[key].as_str().map(str::to_owned);
        let path = text("data").and_then(|data| serde_json::from_str::<PathBuf>(&data).ok());
        Ok(FlowCode::Python(PythonCode {
            path,
            interpreter: text("python").map(PathBuf::from),
            prefect_version: text("prefect_version"),
            function: text("function"),
            needs_supplied: blob["needs_supplied"] == true,
            sha256: text("sha256"),
            location: text("location").map(PathBuf::from),
            options: blob["options"].as_object().cloned().unwrap_or_default(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_python_document_has_the_shape_that_the_2_0b3_serializer_reads() {
        let code = FlowCode::Python(PythonCode {
            path: Some("/home/a/storage/x/flow.py".into()),
            ..Default::default()
        });
        let document = code.to_value();
        assert_eq!(document["encoding"], "blockstorage");
        let blob: Value = serde_json::from_str(document["blob"].as_str().unwrap()).unwrap();
        assert_eq!(blob["data"], "\"/home/a/storage/x/flow.py\"");
        assert!(blob["block_id"].is_null());
        assert_eq!(FlowCode::from_value(&document).unwrap(), code);
    }

    #[test]
    fn an_executable_document_survives_the_round_trip() {
        let code = FlowCode::Executable(ExecutableCode {
            path: "/s/a/run.sh".into(),
            sha256: "a".into(),
            location: "/run.sh".into(),
            function: Some("run".into()),
            options: Map::from_iter([("args".into(), json!(["a"]))]),
        });
        assert_eq!(FlowCode::from_value(&code.to_value()).unwrap(), code);
    }

    #[test]
    fn a_pickled_flow_is_left_to_the_python_engine() {
        let document = json!({"encoding": "cloudpickle", "blob": "gASV"});
        assert_eq!(
            FlowCode::from_value(&document).unwrap(),
            FlowCode::Python(PythonCode::default())
        );
    }
}

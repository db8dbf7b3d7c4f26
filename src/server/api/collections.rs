//! `/collections/views`: what kinds of work pools there are, for who sets one up.
//!
//! Only kinds that a worker of ours or of the genuine package serves by itself are listed; others
//! are told by the packages that bring their workers.

use serde_json::{Value, json};

use crate::server::ApiError;
use crate::server::extract::{Answer, Id};

/// Returns a view of what can be used with the server.
#[utoipa::path(get, path = "/collections/views/{view}", params(("view" = String, Path)), responses((status = 200, body = Object)))]
pub async fn read_collection_view(Id(view): Id<String>) -> Result<Answer<Value>, ApiError> {
    match view.as_str() {
        "aggregate-worker-metadata" => Ok(Answer(json!({"prefect": {"process": process()}}))),
        // Flows and blocks of packages are not collected here.
        "aggregate-flow-metadata" | "aggregate-block-metadata" => Ok(Answer(json!({}))),
        _ => Err(ApiError::NotFound(format!(
            "View {view} not found in registry"
        ))),
    }
}

/// Says how runs are started as processes.
fn process() -> Value {
    let text = |title: &str, description: &str| json!({"title": title, "description": description, "type": "string"});
    let texts = |title: &str, description: &str| {
        json!({
            "title": title, "description": description,
            "type": "object", "additionalProperties": {"type": "string"},
        })
    };
    let mut folder = text(
        "Working Directory",
        "The directory in which the process starts; a temporary one where it is empty.",
    );
    folder["format"] = json!("path");
    json!({
        "type": "process",
        "display_name": "Process",
        "description": "Runs each flow run as a process beside its worker.",
        "install_command": "pip install prefect",
        "documentation_url": "",
        "logo_url": "",
        "is_beta": false,
        "default_base_job_configuration": {
            "job_configuration": {
                "command": "{{ command }}",
                "env": "{{ env }}",
                "labels": "{{ labels }}",
                "name": "{{ name }}",
                "stream_output": "{{ stream_output }}",
                "working_dir": "{{ working_dir }}",
            },
            "variables": {
                "type": "object",
                "properties": {
                    "name": text("Name", "What the process is called in logs."),
                    "env": texts("Environment Variables", "Variables that the process gets."),
                    "labels": texts("Labels", "Labels of the process."),
                    "command": text("Command", "What is run instead of the flow's own start."),
                    "stream_output": {
                        "title": "Stream Output",
                        "description": "Whether the worker prints what the process prints.",
                        "type": "boolean",
                        "default": true,
                    },
                    "working_dir": folder,
                },
            },
        },
    })
}

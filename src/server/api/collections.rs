//! `/collections/views`: what kinds of work pools there are, for who sets one up.
//!
//! Only kinds that a worker of ours or of the genuine package serves by itself are listed; others
//! are told by the packages that bring their workers.

use serde_json::{Value, json};

use crate::schemas::work_pools::{PROCESS_TYPE, process_template};
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
    json!({
        "type": PROCESS_TYPE,
        "display_name": "Process",
        "description": "Runs each flow run as a process beside its worker.",
        "install_command": "pip install prefect",
        "documentation_url": "",
        "logo_url": "",
        "is_beta": false,
        "default_base_job_configuration": process_template(),
    })
}

//! `/collections/views`: what kinds of work pools there are, for who sets one up.

use serde_json::{Map, Value, json};

use crate::schemas::Dialect;
use crate::schemas::pool_types::{OF_AGENTS, POOL_TYPES, PoolType};
use crate::server::ApiError;
use crate::server::extract::{Answer, Id};

/// Returns a view of what can be used with the server.
#[utoipa::path(get, path = "/collections/views/{view}", params(("view" = String, Path)), responses((status = 200, body = Object)))]
pub async fn read_collection_view(
    dialect: Dialect,
    Id(view): Id<String>,
) -> Result<Answer<Value>, ApiError> {
    match view.as_str() {
        "aggregate-worker-metadata" => Ok(Answer(workers(dialect))),
        // Flows and blocks of packages are not collected here.
        "aggregate-flow-metadata" | "aggregate-block-metadata" => Ok(Answer(json!({}))),
        _ => Err(ApiError::NotFound(format!(
            "View {view} not found in registry"
        ))),
    }
}

/// Says what workers there are, by package and type.
fn workers(dialect: Dialect) -> Value {
    let mut packages = Map::new();
    // Whoever lists it can create pools of it, and later clients have no agents.
    let of_agents = (dialect == Dialect::Two).then_some(OF_AGENTS);
    for kind in of_agents.into_iter().chain(POOL_TYPES) {
        let package = packages.entry(kind.package).or_insert_with(|| json!({}));
        package[kind.name] = described(&kind);
    }
    Value::Object(packages)
}

fn described(kind: &PoolType) -> Value {
    json!({
        "type": kind.name,
        "display_name": kind.shown,
        "description": kind.description,
        "install_command": format!("pip install {}", kind.package),
        "documentation_url": "",
        "logo_url": "",
        "is_beta": false,
        "default_base_job_configuration": kind.template(),
    })
}

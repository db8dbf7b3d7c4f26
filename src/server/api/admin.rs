//! The server itself: whether it is well, which version it speaks, its settings, its database.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::schemas::actions::Confirm;
use crate::schemas::{BlockDocumentId, Dialect};
use crate::server::extract::{Answer, Body};
use crate::server::models::result_storage::Unfit;
use crate::server::{ApiError, AppState, models};
use crate::settings::{SETTINGS, Setting};

/// Tells that the server answers.
#[utoipa::path(get, path = "/health", responses((status = 200, body = bool)))]
pub async fn health() -> Answer<bool> {
    Answer(true)
}

/// Tells that the server and its database answer.
#[utoipa::path(get, path = "/ready", responses((status = 200)))]
pub async fn ready(State(state): State<AppState>) -> Result<Answer<Value>, ApiError> {
    state.db.read(models::admin::ping).await?;
    Ok(Answer(json!({"message": "OK"})))
}

/// Returns the version of the API.
#[utoipa::path(get, path = "/version", responses((status = 200, body = String)))]
pub async fn api_version(dialect: Dialect) -> Answer<&'static str> {
    Answer(match dialect {
        Dialect::B => "0.3.0",
        Dialect::Two | Dialect::Three => "0.8.4",
    })
}

/// Greets.
#[utoipa::path(get, path = "/admin/hello", responses((status = 200, body = String)))]
pub async fn hello() -> Answer<&'static str> {
    Answer("\u{1f44b}")
}

/// Greets, where later generations do.
#[utoipa::path(get, path = "/hello", responses((status = 200, body = String)))]
pub async fn hello_at_the_root() -> Answer<&'static str> {
    hello().await
}

/// Returns the version of Prefect that the client may take this server for.
///
/// A 3.x client refuses to run a flow when the major version is not its own.
#[utoipa::path(get, path = "/admin/version", responses((status = 200, body = String)))]
pub async fn version(dialect: Dialect) -> Answer<&'static str> {
    Answer(match dialect {
        Dialect::B => "2.0b3",
        Dialect::Two => "2.20.26",
        Dialect::Three => "3.8.8",
    })
}

/// Which block clients keep results in when nothing else is said.
#[derive(Debug, Clone, Copy, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResultStorage {
    /// The block document's id.
    pub default_result_storage_block_id: BlockDocumentId,
}

fn result_storage(id: Option<BlockDocumentId>) -> Answer<Value> {
    Answer(json!({"default_result_storage_block_id": id}))
}

/// Returns which block clients keep results in.
#[utoipa::path(get, path = "/admin/storage", responses((status = 200)))]
pub async fn read_result_storage(State(state): State<AppState>) -> Result<Answer<Value>, ApiError> {
    let id = state.db.read(models::result_storage::read).await?;
    Ok(result_storage(id))
}

/// Says which block clients shall keep results in.
#[utoipa::path(put, path = "/admin/storage", request_body = ResultStorage, responses((status = 200)))]
pub async fn update_result_storage(
    State(state): State<AppState>,
    Body(storage): Body<ResultStorage>,
) -> Result<Answer<Value>, ApiError> {
    let (now, id) = (state.now(), storage.default_result_storage_block_id);
    let write = async move |conn: &mut _| models::result_storage::write(conn, id, now).await;
    let done = state.db.write(write).await?;
    done.map_err(|unfit| match unfit {
        Unfit::Missing => ApiError::NotFound(format!("Block document {id} not found.")),
        Unfit::CannotWrite => ApiError::Unfit(format!(
            "Block document {id} cannot be used for result storage."
        )),
    })?;
    Ok(result_storage(Some(id)))
}

/// Leaves to clients again where they keep results.
#[utoipa::path(delete, path = "/admin/storage", responses((status = 204)))]
pub async fn clear_result_storage(State(state): State<AppState>) -> Result<StatusCode, ApiError> {
    state.db.write(models::result_storage::clear).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Returns the server's settings, secrets masked.
#[utoipa::path(get, path = "/admin/settings", responses((status = 200)))]
pub async fn settings(State(state): State<AppState>, dialect: Dialect) -> Answer<Value> {
    let mut settings = Map::new();
    for setting in SETTINGS {
        let value = setting.shown(&state.settings).map_or(Value::Null, plain);
        settings.insert(spelling(setting, dialect).to_owned(), value);
    }
    Answer(Value::Object(settings))
}

/// Returns the name that a setting has for clients of `dialect`.
fn spelling(setting: &'static Setting, dialect: Dialect) -> &'static str {
    let is_old = |name: &&str| name.contains("_ORION_") || *name == "PREFECT_LOGGING_SERVER_LEVEL";
    match dialect {
        Dialect::B => setting.spellings().find(is_old).unwrap_or(setting.name),
        Dialect::Two | Dialect::Three => setting.name,
    }
}

/// Numbers and truth values as such, all else as text.
fn plain(text: String) -> Value {
    match serde_json::from_str(&text) {
        Ok(value @ (Value::Bool(_) | Value::Number(_))) => value,
        _ => Value::String(text),
    }
}

/// Deletes everything in the database.
#[utoipa::path(post, path = "/admin/database/clear", request_body = Confirm, responses((status = 204)))]
pub async fn clear_database(
    State(state): State<AppState>,
    Body(body): Body<Confirm>,
) -> Result<StatusCode, ApiError> {
    confirmed(body)?;
    let now = state.now();
    let write = async move |conn: &mut _| models::admin::clear(conn, now).await;
    state.db.write(write).await?;
    state.automations.reload(&state.db).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes everything in the database; the tables stay, since the server goes on.
#[utoipa::path(post, path = "/admin/database/drop", request_body = Confirm, responses((status = 204)))]
pub async fn drop_database(
    state: State<AppState>,
    body: Body<Confirm>,
) -> Result<StatusCode, ApiError> {
    clear_database(state, body).await
}

/// Makes sure that the database has what a new one has.
#[utoipa::path(post, path = "/admin/database/create", request_body = Confirm, responses((status = 204)))]
pub async fn create_database(
    State(state): State<AppState>,
    Body(body): Body<Confirm>,
) -> Result<impl IntoResponse, ApiError> {
    confirmed(body)?;
    let now = state.now();
    let write = async move |conn: &mut _| models::admin::ensure_builtin(conn, now).await;
    state.db.write(write).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn confirmed(body: Confirm) -> Result<(), ApiError> {
    if body.confirm {
        return Ok(());
    }
    let detail = "This changes the whole database; send {\"confirm\": true} if you want that.";
    Err(ApiError::BadRequest(detail.to_owned()))
}

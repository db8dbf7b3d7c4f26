//! `/block_types`: the kinds of blocks, and the blocks of a kind by their names.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::db::Conn;
use crate::schemas::block_documents::{BlockDocument, BlockDocumentFilter, BlockDocumentFilters};
use crate::schemas::block_schemas::BlockTypeIds;
use crate::schemas::block_types::{BlockType, BlockTypeCreate, BlockTypeUpdate, BlockTypesQuery};
use crate::schemas::{BlockTypeId, Dialect};
use crate::server::changes::{Change, Kind};
use crate::server::events::lifecycle;
use crate::server::extract::{Answer, Asked, Body, Id, created, view};
use crate::server::models::block_documents::Secrets;
use crate::server::models::events::lifecycle::{Became, Happened};
use crate::server::{ApiError, AppState, models};

fn missing() -> ApiError {
    ApiError::NotFound("Block type not found".to_owned())
}

fn tell(state: &AppState, id: BlockTypeId) {
    state.changes.tell(Change::of(Kind::Block, id.0));
}

/// Whether the answer holds secrets.
#[derive(Debug, Clone, Copy, Deserialize, utoipa::IntoParams)]
pub struct IncludeSecrets {
    /// Whether secrets are sent as they are.
    #[serde(default, deserialize_with = "truth")]
    include_secrets: bool,
}

impl From<IncludeSecrets> for Secrets {
    fn from(asked: IncludeSecrets) -> Self {
        Self::of(asked.include_secrets)
    }
}

/// Reads a truth value in the words that clients and people use.
fn truth<'de, D: Deserializer<'de>>(d: D) -> Result<bool, D::Error> {
    let text = String::deserialize(d)?.to_ascii_lowercase();
    match text.as_str() {
        "true" | "1" | "yes" | "on" | "t" | "y" => Ok(true),
        "false" | "0" | "no" | "off" | "f" | "n" => Ok(false),
        _ => Err(serde::de::Error::custom(
            "value could not be parsed to a boolean",
        )),
    }
}

/// Creates a block type.
#[utoipa::path(post, path = "/block_types/", request_body = BlockTypeCreate, responses((status = 201, body = BlockType)))]
pub async fn create_block_type(
    State(state): State<AppState>,
    dialect: Dialect,
    Body(create): Body<BlockTypeCreate>,
) -> Result<impl IntoResponse, ApiError> {
    if create.name.to_lowercase().starts_with("prefect") {
        return Err(ApiError::Forbidden(
            "Block type names beginning with 'Prefect' are reserved.".to_owned(),
        ));
    }
    let now = state.now();
    let taken = format!("Block type with name \"{}\" already exists", create.name);
    let write = async move |conn: &mut Conn, happened: &mut Happened| {
        let made = models::block_types::create(conn, create, now).await?;
        happened.block_type(Became::Created, &made);
        Ok(made)
    };
    let made = lifecycle::write(&state, write).await;
    let made = made.map_err(|error| ApiError::or_taken(error, &taken))?;
    tell(&state, made.id);
    Ok(created(dialect, true, made))
}

/// Returns block types.
#[utoipa::path(post, path = "/block_types/filter", request_body = BlockTypesQuery, responses((status = 200, body = Vec<BlockType>)))]
pub async fn read_block_types(
    State(state): State<AppState>,
    dialect: Dialect,
    Body(asked): Body<BlockTypesQuery>,
) -> Result<impl IntoResponse, ApiError> {
    let (limit, offset) = (state.limit(asked.limit)?, asked.offset.unwrap_or(0));
    let read = async move |conn: &mut _| {
        let (types, schemas) = (asked.block_types.as_ref(), asked.block_schemas.as_ref());
        models::block_types::list(conn, dialect, types, schemas, limit, offset).await
    };
    Ok(view(dialect, state.db.read(read).await?))
}

/// Returns a block type.
#[utoipa::path(get, path = "/block_types/{id}", params(("id" = BlockTypeId, Path)), responses((status = 200, body = BlockType)))]
pub async fn read_block_type_by_id(
    State(state): State<AppState>,
    dialect: Dialect,
    Id(id): Id<BlockTypeId>,
) -> Result<impl IntoResponse, ApiError> {
    let read = async move |conn: &mut _| models::block_types::read(conn, id).await;
    let found = state.db.read(read).await?.ok_or_else(missing)?;
    Ok(view(dialect, found))
}

/// Returns the block type of a slug.
#[utoipa::path(get, path = "/block_types/slug/{slug}", params(("slug" = String, Path)), responses((status = 200, body = BlockType)))]
pub async fn read_block_type_by_slug(
    State(state): State<AppState>,
    dialect: Dialect,
    Id(slug): Id<String>,
) -> Result<impl IntoResponse, ApiError> {
    let read = async move |conn: &mut _| models::block_types::read_by_slug(conn, &slug).await;
    let found = state.db.read(read).await?.ok_or_else(missing)?;
    Ok(view(dialect, found))
}

/// Changes how a block type is presented.
#[utoipa::path(patch, path = "/block_types/{id}", params(("id" = BlockTypeId, Path)), request_body = BlockTypeUpdate, responses((status = 204)))]
pub async fn update_block_type(
    State(state): State<AppState>,
    Id(id): Id<BlockTypeId>,
    Body(update): Body<BlockTypeUpdate>,
) -> Result<StatusCode, ApiError> {
    let now = state.now();
    let write = async move |conn: &mut Conn, happened: &mut Happened| {
        models::block_types::update(conn, id, update, now).await?;
        let changed = models::block_types::read(conn, id).await?;
        if let Some(changed) = &changed {
            happened.block_type(Became::Updated, changed);
        }
        Ok(changed)
    };
    lifecycle::write(&state, write).await?.ok_or_else(missing)?;
    tell(&state, id);
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes a block type with its schemas and documents.
#[utoipa::path(delete, path = "/block_types/{id}", params(("id" = BlockTypeId, Path)), responses((status = 204), (status = 403)))]
pub async fn delete_block_type(
    State(state): State<AppState>,
    Id(id): Id<BlockTypeId>,
) -> Result<StatusCode, ApiError> {
    let write = async move |conn: &mut Conn, happened: &mut Happened| {
        let Some(known) = models::block_types::read(conn, id).await? else {
            return Ok(None);
        };
        if !known.is_protected {
            models::block_types::delete(conn, id).await?;
            happened.block_type(Became::Deleted, &known);
        }
        Ok(Some(known.is_protected))
    };
    match lifecycle::write(&state, write).await? {
        Some(false) => {
            tell(&state, id);
            Ok(StatusCode::NO_CONTENT)
        }
        Some(true) => Err(ApiError::Forbidden(
            "protected block types cannot be deleted.".to_owned(),
        )),
        None => Err(missing()),
    }
}

/// Returns the blocks of a type.
#[utoipa::path(get, path = "/block_types/slug/{slug}/block_documents", params(("slug" = String, Path), IncludeSecrets), responses((status = 200, body = Vec<BlockDocument>)))]
pub async fn read_block_documents_for_block_type(
    State(state): State<AppState>,
    dialect: Dialect,
    Id(slug): Id<String>,
    Asked(secrets): Asked<IncludeSecrets>,
) -> Result<impl IntoResponse, ApiError> {
    let (vault, limit) = (state.vault.clone(), state.limit(None)?);
    let read = async move |conn: &mut _| {
        let Some(found) = models::block_types::read_by_slug(conn, &slug).await? else {
            return Ok(None);
        };
        let filters = BlockDocumentFilters {
            block_documents: Some(BlockDocumentFilter {
                block_type_id: Some(BlockTypeIds {
                    any_: Some(vec![found.id]),
                }),
                ..BlockDocumentFilter::default()
            }),
            ..BlockDocumentFilters::default()
        };
        let (sort, page) = (Default::default(), (limit, 0));
        models::block_documents::list(conn, &vault, &filters, sort, page, secrets.into())
            .await
            .map(Some)
    };
    let documents = state.db.read(read).await?.ok_or_else(missing)?;
    Ok(view(dialect, documents))
}

/// Returns a block by the slug of its type and its name.
#[utoipa::path(get, path = "/block_types/slug/{slug}/block_documents/name/{block_document_name}", params(("slug" = String, Path), ("block_document_name" = String, Path), IncludeSecrets), responses((status = 200, body = BlockDocument)))]
pub async fn read_block_document_by_name_for_block_type(
    State(state): State<AppState>,
    dialect: Dialect,
    Id((slug, name)): Id<(String, String)>,
    Asked(secrets): Asked<IncludeSecrets>,
) -> Result<impl IntoResponse, ApiError> {
    let vault = state.vault.clone();
    let read = async move |conn: &mut _| {
        models::block_documents::read_by_name(conn, &vault, &slug, &name, secrets.into()).await
    };
    let document = state.db.read(read).await?;
    let document =
        document.ok_or_else(|| ApiError::NotFound("Block document not found".to_owned()))?;
    Ok(view(dialect, document))
}

/// Makes sure that the built-in block types are there.
#[utoipa::path(post, path = "/block_types/install_system_block_types", responses((status = 200)))]
pub async fn install_system_block_types(
    State(state): State<AppState>,
) -> Result<impl IntoResponse, ApiError> {
    let now = state.now();
    let write = async move |conn: &mut _| models::builtin_blocks::ensure(conn, now).await;
    state.db.write(write).await?;
    Ok(Answer(Value::Null))
}

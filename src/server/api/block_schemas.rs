//! `/block_schemas`: what the data of blocks looks like; `/block_capabilities`: what blocks can do.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Deserialize;

use crate::db;
use crate::schemas::block_schemas::{BlockSchema, BlockSchemaCreate, BlockSchemasQuery};
use crate::schemas::{BlockSchemaId, Dialect, Document};
use crate::server::extract::{Answer, Asked, Body, Id, created, no_content, view};
use crate::server::{ApiError, AppState, models};

fn missing() -> ApiError {
    ApiError::NotFound("Block schema not found".to_owned())
}

/// Returns the slugs of the block types that a schema's fields refer to.
fn referred(fields: &Document) -> Vec<String> {
    let fields: serde_json::Value = fields.read().unwrap_or_default();
    let references = fields["block_schema_references"].as_object();
    let each = references.into_iter().flatten();
    each.flat_map(|(_, reference)| match reference {
        serde_json::Value::Array(several) => several.iter().collect(),
        one => vec![one],
    })
    .filter_map(|reference| reference["block_type_slug"].as_str().map(str::to_owned))
    .collect()
}

/// Creates a block schema, or returns the one of that type, checksum and version.
#[utoipa::path(post, path = "/block_schemas/", request_body = BlockSchemaCreate, responses((status = 201, body = BlockSchema), (status = 200, body = BlockSchema)))]
pub async fn create_block_schema(
    State(state): State<AppState>,
    dialect: Dialect,
    Body(create): Body<BlockSchemaCreate>,
) -> Result<impl IntoResponse, ApiError> {
    let (now, type_id) = (state.now(), create.block_type_id);
    let referred = create.fields.as_ref().map(referred).unwrap_or_default();
    let write = async move |conn: &mut _| {
        for slug in referred {
            if models::block_types::read_by_slug(conn, &slug)
                .await?
                .is_none()
            {
                return Ok(Err(slug));
            }
        }
        models::block_schemas::create(conn, create, now)
            .await
            .map(Ok)
    };
    match state.db.write(write).await {
        Ok(Ok((schema, is_new))) => Ok(created(dialect, is_new, schema)),
        Ok(Err(slug)) => Err(ApiError::Conflict(format!(
            "Cannot create block schema because block type '{slug}' was not found. Did you forget to register the \
             block type?"
        ))),
        Err(db::Error::NoParent(_)) => Err(ApiError::NotFound(format!(
            "Block type {type_id} not found."
        ))),
        Err(error) => Err(error.into()),
    }
}

/// Returns block schemas.
#[utoipa::path(post, path = "/block_schemas/filter", request_body = BlockSchemasQuery, responses((status = 200, body = Vec<BlockSchema>)))]
pub async fn read_block_schemas(
    State(state): State<AppState>,
    dialect: Dialect,
    Body(asked): Body<BlockSchemasQuery>,
) -> Result<impl IntoResponse, ApiError> {
    let (limit, offset) = (state.limit(asked.limit)?, asked.offset.unwrap_or(0));
    let read = async move |conn: &mut _| {
        let filter = asked.block_schemas.as_ref();
        models::block_schemas::list(conn, dialect, filter, limit, offset).await
    };
    Ok(view(dialect, state.db.read(read).await?))
}

/// Returns a block schema.
#[utoipa::path(get, path = "/block_schemas/{id}", params(("id" = BlockSchemaId, Path)), responses((status = 200, body = BlockSchema)))]
pub async fn read_block_schema_by_id(
    State(state): State<AppState>,
    dialect: Dialect,
    Id(id): Id<BlockSchemaId>,
) -> Result<impl IntoResponse, ApiError> {
    let read = async move |conn: &mut _| models::block_schemas::read(conn, id).await;
    let schema = state.db.read(read).await?.ok_or_else(missing)?;
    Ok(view(dialect, schema))
}

/// Which version of a schema is asked for.
#[derive(Debug, Clone, Deserialize, utoipa::IntoParams)]
pub struct OfVersion {
    /// The version; by default the newest schema.
    version: Option<String>,
}

/// Returns the block schema of a checksum.
#[utoipa::path(get, path = "/block_schemas/checksum/{checksum}", params(("checksum" = String, Path), OfVersion), responses((status = 200, body = BlockSchema)))]
pub async fn read_block_schema_by_checksum(
    State(state): State<AppState>,
    dialect: Dialect,
    Id(checksum): Id<String>,
    Asked(OfVersion { version }): Asked<OfVersion>,
) -> Result<impl IntoResponse, ApiError> {
    let read = async move |conn: &mut _| {
        models::block_schemas::read_by_checksum(conn, &checksum, version).await
    };
    let schema = state.db.read(read).await?.ok_or_else(missing)?;
    Ok(view(dialect, schema))
}

/// Deletes a block schema with its documents.
#[utoipa::path(delete, path = "/block_schemas/{id}", params(("id" = BlockSchemaId, Path)), responses((status = 204)))]
pub async fn delete_block_schema(
    State(state): State<AppState>,
    Id(id): Id<BlockSchemaId>,
) -> Result<StatusCode, ApiError> {
    let write = async move |conn: &mut _| models::block_schemas::delete(conn, id).await;
    no_content(state.db.write(write).await?, missing)
}

/// Returns everything that blocks can do.
#[utoipa::path(get, path = "/block_capabilities/", responses((status = 200, body = Vec<String>)))]
pub async fn read_available_block_capabilities(
    State(state): State<AppState>,
    dialect: Dialect,
) -> Result<impl IntoResponse, ApiError> {
    let read = async move |conn: &mut _| models::block_schemas::capabilities(conn, dialect).await;
    Ok(Answer(state.db.read(read).await?))
}

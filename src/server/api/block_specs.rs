//! `/block_specs`: the kinds of blocks of 2.0b3.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;

use crate::schemas::actions::{BlockSpecCreate, BlocksPage};
use crate::schemas::blocks::{Block, BlockSpec};
use crate::schemas::{BlockSpecId, Dialect};
use crate::server::extract::{Body, Id, created, no_content, view};
use crate::server::{ApiError, AppState, models};

/// Creates a block spec.
#[utoipa::path(post, path = "/block_specs/", request_body = BlockSpecCreate, responses((status = 201, body = BlockSpec)))]
pub async fn create_block_spec(
    State(state): State<AppState>,
    dialect: Dialect,
    Body(spec): Body<BlockSpecCreate>,
) -> Result<impl IntoResponse, ApiError> {
    let now = state.now();
    let taken = format!(
        "Block spec \"{}/{}\" already exists.",
        spec.name, spec.version
    );
    let write = async move |conn: &mut _| models::block_specs::create(conn, spec, now).await;
    let spec = state.db.write(write).await;
    let spec = spec.map_err(|error| ApiError::or_taken(error, &taken))?;
    Ok(created(dialect, true, spec))
}

/// Returns block specs.
#[utoipa::path(post, path = "/block_specs/filter", request_body = BlocksPage, responses((status = 200, body = Vec<BlockSpec>)))]
pub async fn read_block_specs(
    State(state): State<AppState>,
    dialect: Dialect,
    Body(page): Body<BlocksPage>,
) -> Result<impl IntoResponse, ApiError> {
    let limit = state.limit(page.limit)?;
    let offset = page.offset.unwrap_or(0);
    let spec_type = page.spec_type.or(page.block_spec_type);
    let read =
        async move |conn: &mut _| models::block_specs::list(conn, spec_type, limit, offset).await;
    Ok(view(dialect, state.db.read(read).await?))
}

/// Returns the versions of a block spec.
#[utoipa::path(get, path = "/block_specs/{name}/versions", params(("name" = String, Path)), responses((status = 200, body = Vec<BlockSpec>)))]
pub async fn read_block_spec_versions(
    State(state): State<AppState>,
    dialect: Dialect,
    Id(name): Id<String>,
) -> Result<impl IntoResponse, ApiError> {
    let read = async move |conn: &mut _| models::block_specs::list_versions(conn, &name).await;
    Ok(view(dialect, state.db.read(read).await?))
}

/// Returns one version of a block spec.
#[utoipa::path(get, path = "/block_specs/{name}/versions/{version}", params(("name" = String, Path), ("version" = String, Path)), responses((status = 200, body = BlockSpec)))]
pub async fn read_block_spec_version(
    State(state): State<AppState>,
    dialect: Dialect,
    Id((name, version)): Id<(String, String)>,
) -> Result<impl IntoResponse, ApiError> {
    let which = format!("{name}/{version}");
    let read =
        async move |conn: &mut _| models::block_specs::read_by_name(conn, &name, &version).await;
    let spec = state.db.read(read).await?;
    let spec = spec.ok_or_else(|| ApiError::not_found("Block spec", which))?;
    Ok(view(dialect, spec))
}

/// Returns a block by name, of the newest version of its spec that has it.
#[utoipa::path(get, path = "/block_specs/{name}/block/{block_name}", params(("name" = String, Path), ("block_name" = String, Path)), responses((status = 200, body = Block)))]
pub async fn read_latest_block_by_name(
    State(state): State<AppState>,
    dialect: Dialect,
    Id((spec, name)): Id<(String, String)>,
) -> Result<impl IntoResponse, ApiError> {
    let which = format!("{spec}/{name}");
    let vault = state.vault.clone();
    let read = async move |conn: &mut _| {
        models::blocks::read_by_name(conn, &vault, &spec, None, &name).await
    };
    let block = state.db.read(read).await?;
    let block = block.ok_or_else(|| ApiError::not_found("Block", which))?;
    Ok(view(dialect, block))
}

/// Returns a block by name and version of its spec.
#[utoipa::path(get, path = "/block_specs/{name}/versions/{version}/block/{block_name}", params(("name" = String, Path), ("version" = String, Path), ("block_name" = String, Path)), responses((status = 200, body = Block)))]
pub async fn read_block_by_name(
    State(state): State<AppState>,
    dialect: Dialect,
    Id((spec, version, name)): Id<(String, String, String)>,
) -> Result<impl IntoResponse, ApiError> {
    let which = format!("{spec}/{version}/{name}");
    let vault = state.vault.clone();
    let read = async move |conn: &mut _| {
        models::blocks::read_by_name(conn, &vault, &spec, Some(version), &name).await
    };
    let block = state.db.read(read).await?;
    let block = block.ok_or_else(|| ApiError::not_found("Block", which))?;
    Ok(view(dialect, block))
}

/// Deletes a block spec with its blocks.
#[utoipa::path(delete, path = "/block_specs/{id}", params(("id" = BlockSpecId, Path)), responses((status = 204)))]
pub async fn delete_block_spec(
    State(state): State<AppState>,
    Id(id): Id<BlockSpecId>,
) -> Result<StatusCode, ApiError> {
    let write = async move |conn: &mut _| models::block_specs::delete(conn, id).await;
    no_content(state.db.write(write).await?, || {
        ApiError::not_found("Block spec", id)
    })
}

//! `/blocks`: settings of services under a name, and the default storage among them.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::schemas::actions::{BlockCreate, BlockUpdate, BlocksPage};
use crate::schemas::blocks::Block;
use crate::schemas::{BlockId, Dialect};
use crate::server::changes::{Change, Kind};
use crate::server::extract::{Body, Id, created, view};
use crate::server::{ApiError, AppState, models};

/// What `deployment create` of 2.0b3 is told the second time.
const TAKEN: &str = "Block already exists";

fn tell(state: &AppState, id: BlockId) {
    state.changes.tell(Change::of(Kind::Block, id.0));
}

/// Creates a block.
#[utoipa::path(post, path = "/blocks/", request_body = BlockCreate, responses((status = 201, body = Block)))]
pub async fn create_block(
    State(state): State<AppState>,
    dialect: Dialect,
    Body(block): Body<BlockCreate>,
) -> Result<impl IntoResponse, ApiError> {
    let now = state.now();
    let (vault, sealer) = (
        state.vault.clone(),
        state.vault.sealer(&state.db, now).await?,
    );
    let write = async move |conn: &mut _| {
        let id = models::blocks::create(conn, &sealer, block, now).await?;
        let block = models::blocks::read(conn, &vault, id).await?;
        Ok(block.expect("the block was inserted in this write"))
    };
    let block = state.db.write(write).await;
    let block = block.map_err(|error| ApiError::or_taken(error, TAKEN))?;
    tell(&state, block.id);
    Ok(created(dialect, true, block))
}

/// Returns blocks.
#[utoipa::path(post, path = "/blocks/filter", request_body = BlocksPage, responses((status = 200, body = Vec<Block>)))]
pub async fn read_blocks(
    State(state): State<AppState>,
    dialect: Dialect,
    Body(page): Body<BlocksPage>,
) -> Result<impl IntoResponse, ApiError> {
    let limit = state.limit(page.limit)?;
    let offset = page.offset.unwrap_or(0);
    let spec_type = page.block_spec_type;
    let vault = state.vault.clone();
    let read = async move |conn: &mut _| {
        models::blocks::list(conn, &vault, spec_type, limit, offset).await
    };
    Ok(view(dialect, state.db.read(read).await?))
}

/// Returns a block.
#[utoipa::path(get, path = "/blocks/{id}", params(("id" = BlockId, Path)), responses((status = 200, body = Block)))]
pub async fn read_block(
    State(state): State<AppState>,
    dialect: Dialect,
    Id(id): Id<BlockId>,
) -> Result<impl IntoResponse, ApiError> {
    let vault = state.vault.clone();
    let read = async move |conn: &mut _| models::blocks::read(conn, &vault, id).await;
    let block = state.db.read(read).await?;
    let block = block.ok_or_else(|| ApiError::not_found("Block", id))?;
    Ok(view(dialect, block))
}

/// Changes a block.
#[utoipa::path(patch, path = "/blocks/{id}", params(("id" = BlockId, Path)), request_body = BlockUpdate, responses((status = 204)))]
pub async fn update_block(
    State(state): State<AppState>,
    Id(id): Id<BlockId>,
    Body(update): Body<BlockUpdate>,
) -> Result<StatusCode, ApiError> {
    let now = state.now();
    let sealer = state.vault.sealer(&state.db, now).await?;
    let write =
        async move |conn: &mut _| models::blocks::update(conn, &sealer, id, update, now).await;
    let found = state.db.write(write).await;
    if !found.map_err(|error| ApiError::or_taken(error, TAKEN))? {
        return Err(ApiError::not_found("Block", id));
    }
    tell(&state, id);
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes a block.
#[utoipa::path(delete, path = "/blocks/{id}", params(("id" = BlockId, Path)), responses((status = 204)))]
pub async fn delete_block(
    State(state): State<AppState>,
    Id(id): Id<BlockId>,
) -> Result<StatusCode, ApiError> {
    let write = async move |conn: &mut _| models::blocks::delete(conn, id).await;
    if !state.db.write(write).await? {
        return Err(ApiError::not_found("Block", id));
    }
    tell(&state, id);
    Ok(StatusCode::NO_CONTENT)
}

/// Makes a block the default storage.
#[utoipa::path(post, path = "/blocks/{id}/set_default_storage_block", params(("id" = BlockId, Path)), responses((status = 204)))]
pub async fn set_default_storage_block(
    State(state): State<AppState>,
    Id(id): Id<BlockId>,
) -> Result<StatusCode, ApiError> {
    let write = async move |conn: &mut _| {
        let spec_type = models::blocks::spec_type(conn, id).await?;
        let is_storage = spec_type.map(|found| found.as_deref() == Some("STORAGE"));
        if is_storage == Some(true) {
            models::blocks::set_default_storage(conn, id).await?;
        }
        Ok(is_storage)
    };
    match state.db.write(write).await? {
        Some(true) => {}
        Some(false) => {
            let detail = "Specified block is not a storage block";
            return Err(ApiError::Unfit(detail.to_owned()));
        }
        None => return Err(ApiError::not_found("Block", id)),
    }
    tell(&state, id);
    Ok(StatusCode::NO_CONTENT)
}

/// Returns the default storage; 204 when there is none.
#[utoipa::path(post, path = "/blocks/get_default_storage_block", responses((status = 200, body = Block), (status = 204)))]
pub async fn get_default_storage_block(
    State(state): State<AppState>,
    dialect: Dialect,
) -> Result<Response, ApiError> {
    let vault = state.vault.clone();
    let read = async move |conn: &mut _| models::blocks::read_default_storage(conn, &vault).await;
    let block = state.db.read(read).await?;
    Ok(match block {
        Some(block) => view(dialect, block).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

/// Leaves no default storage.
#[utoipa::path(post, path = "/blocks/clear_default_storage_block", responses((status = 204)))]
pub async fn clear_default_storage_block(
    State(state): State<AppState>,
) -> Result<StatusCode, ApiError> {
    state
        .db
        .write(models::blocks::clear_default_storage)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

//! `/block_documents`: settings of services under a name, with their secrets masked unless asked.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;

use super::block_types::IncludeSecrets;
use crate::db::Conn;
use crate::schemas::block_documents::{
    BlockDocument, BlockDocumentCreate, BlockDocumentFilters, BlockDocumentUpdate,
    BlockDocumentsQuery,
};
use crate::schemas::{BlockDocumentId, Dialect};
use crate::server::changes::{Change, Kind};
use crate::server::events::lifecycle;
use crate::server::extract::{Answer, Asked, Body, Id, created, view};
use crate::server::models::block_documents::{Secrets, Updated};
use crate::server::models::events::lifecycle::{Became, Happened};
use crate::server::{ApiError, AppState, models};

fn missing() -> ApiError {
    ApiError::NotFound("Block document not found".to_owned())
}

fn tell(state: &AppState, id: BlockDocumentId) {
    state.changes.tell(Change::of(Kind::Block, id.0));
}

/// Creates a block document.
#[utoipa::path(post, path = "/block_documents/", request_body = BlockDocumentCreate, responses((status = 201, body = BlockDocument)))]
pub async fn create_block_document(
    State(state): State<AppState>,
    dialect: Dialect,
    Body(create): Body<BlockDocumentCreate>,
) -> Result<impl IntoResponse, ApiError> {
    if create.name.is_none() && !create.is_anonymous {
        return Err(ApiError::invalid(
            &["body"],
            "Names must be provided for block documents.",
        ));
    }
    let now = state.now();
    let (vault, sealer) = (
        state.vault.clone(),
        state.vault.sealer(&state.db, now).await?,
    );
    let write = async move |conn: &mut Conn, happened: &mut Happened| {
        let id = models::block_documents::create(conn, &sealer, create, now).await?;
        let document = models::block_documents::read(conn, &vault, id, Secrets::Masked).await?;
        let document = document.expect("the document was inserted in this write");
        happened.block_document(Became::Created, &document);
        Ok(document)
    };
    let document = lifecycle::write(&state, write).await;
    let document = document.map_err(|error| ApiError::or_taken(error, "Block already exists"))?;
    tell(&state, document.id);
    Ok(created(dialect, true, document))
}

/// Returns block documents.
#[utoipa::path(post, path = "/block_documents/filter", request_body = BlockDocumentsQuery, responses((status = 200, body = Vec<BlockDocument>)))]
pub async fn read_block_documents(
    State(state): State<AppState>,
    dialect: Dialect,
    Body(asked): Body<BlockDocumentsQuery>,
) -> Result<impl IntoResponse, ApiError> {
    let page = (state.limit(asked.limit)?, asked.offset.unwrap_or(0));
    let (sort, secrets) = (
        asked.sort.unwrap_or_default(),
        Secrets::of(asked.include_secrets),
    );
    let filters = BlockDocumentFilters {
        block_documents: asked.block_documents,
        block_types: asked.block_types,
        block_schemas: asked.block_schemas,
    };
    let vault = state.vault.clone();
    let read = async move |conn: &mut _| {
        models::block_documents::list(conn, &vault, &filters, sort, page, secrets).await
    };
    Ok(view(dialect, state.db.read(read).await?))
}

/// Counts block documents.
#[utoipa::path(post, path = "/block_documents/count", request_body = BlockDocumentFilters, responses((status = 200, body = i64)))]
pub async fn count_block_documents(
    State(state): State<AppState>,
    Body(filters): Body<BlockDocumentFilters>,
) -> Result<impl IntoResponse, ApiError> {
    let read = async move |conn: &mut _| models::block_documents::count(conn, &filters).await;
    Ok(Answer(state.db.read(read).await?))
}

/// Returns a block document.
#[utoipa::path(get, path = "/block_documents/{id}", params(("id" = BlockDocumentId, Path), IncludeSecrets), responses((status = 200, body = BlockDocument)))]
pub async fn read_block_document_by_id(
    State(state): State<AppState>,
    dialect: Dialect,
    Id(id): Id<BlockDocumentId>,
    Asked(secrets): Asked<IncludeSecrets>,
) -> Result<impl IntoResponse, ApiError> {
    let vault = state.vault.clone();
    let read = async move |conn: &mut _| {
        models::block_documents::read(conn, &vault, id, secrets.into()).await
    };
    let document = state.db.read(read).await?.ok_or_else(missing)?;
    Ok(view(dialect, document))
}

/// Changes a block document; a mask in place of a secret leaves the secret.
#[utoipa::path(patch, path = "/block_documents/{id}", params(("id" = BlockDocumentId, Path)), request_body = BlockDocumentUpdate, responses((status = 204)))]
pub async fn update_block_document_data(
    State(state): State<AppState>,
    Id(id): Id<BlockDocumentId>,
    Body(update): Body<BlockDocumentUpdate>,
) -> Result<StatusCode, ApiError> {
    let now = state.now();
    let (vault, sealer) = (
        state.vault.clone(),
        state.vault.sealer(&state.db, now).await?,
    );
    let write = async move |conn: &mut Conn, happened: &mut Happened| {
        let updated =
            models::block_documents::update(conn, &vault, &sealer, id, update, now).await?;
        if updated == Updated::Done {
            let document = models::block_documents::read(conn, &vault, id, Secrets::Masked).await?;
            if let Some(document) = document {
                happened.block_document(Became::Updated, &document);
            }
        }
        Ok(updated)
    };
    match lifecycle::write(&state, write).await? {
        Updated::Done => {
            tell(&state, id);
            Ok(StatusCode::NO_CONTENT)
        }
        Updated::Missing => Err(missing()),
        Updated::OtherType => Err(ApiError::BadRequest(
            "Must migrate block document to a block schema of the same block type.".to_owned(),
        )),
    }
}

/// Deletes a block document.
#[utoipa::path(delete, path = "/block_documents/{id}", params(("id" = BlockDocumentId, Path)), responses((status = 204)))]
pub async fn delete_block_document(
    State(state): State<AppState>,
    Id(id): Id<BlockDocumentId>,
) -> Result<StatusCode, ApiError> {
    let vault = state.vault.clone();
    let write = async move |conn: &mut Conn, happened: &mut Happened| {
        // What cannot be opened any more can be deleted all the same.
        let known = models::block_documents::read(conn, &vault, id, Secrets::Masked).await;
        if let Ok(Some(document)) = known {
            happened.block_document(Became::Deleted, &document);
        }
        models::block_documents::delete(conn, id).await
    };
    if lifecycle::write(&state, write).await? {
        tell(&state, id);
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(missing())
    }
}

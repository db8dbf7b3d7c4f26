//! `/saved_searches`: filters that users of the dashboard keep.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;

use crate::schemas::actions::{Page, SavedSearchCreate};
use crate::schemas::saved_searches::SavedSearch;
use crate::schemas::{Dialect, SavedSearchId};
use crate::server::extract::{Body, Id, created, no_content, view};
use crate::server::{ApiError, AppState, models};

/// Creates a saved search, or replaces the filters of the one of that name.
#[utoipa::path(put, path = "/saved_searches/", request_body = SavedSearchCreate, responses((status = 201, body = SavedSearch), (status = 200, body = SavedSearch)))]
pub async fn put_saved_search(
    State(state): State<AppState>,
    dialect: Dialect,
    Body(search): Body<SavedSearchCreate>,
) -> Result<impl IntoResponse, ApiError> {
    let now = state.now();
    let write = async move |conn: &mut _| {
        models::saved_searches::upsert(conn, &search.name, &search.filters, now).await
    };
    let (search, is_new) = state.db.write(write).await?;
    Ok(created(dialect, is_new, search))
}

/// Returns saved searches.
#[utoipa::path(post, path = "/saved_searches/filter", request_body = Page, responses((status = 200, body = Vec<SavedSearch>)))]
pub async fn read_saved_searches(
    State(state): State<AppState>,
    dialect: Dialect,
    Body(page): Body<Page>,
) -> Result<impl IntoResponse, ApiError> {
    let limit = state.limit(page.limit)?;
    let offset = page.offset.unwrap_or(0);
    let read = async move |conn: &mut _| models::saved_searches::list(conn, limit, offset).await;
    Ok(view(dialect, state.db.read(read).await?))
}

/// Returns a saved search.
#[utoipa::path(get, path = "/saved_searches/{id}", params(("id" = SavedSearchId, Path)), responses((status = 200, body = SavedSearch)))]
pub async fn read_saved_search(
    State(state): State<AppState>,
    dialect: Dialect,
    Id(id): Id<SavedSearchId>,
) -> Result<impl IntoResponse, ApiError> {
    let read = async move |conn: &mut _| models::saved_searches::read(conn, id).await;
    let search = state.db.read(read).await?;
    let search = search.ok_or_else(|| ApiError::not_found("Saved search", id))?;
    Ok(view(dialect, search))
}

/// Deletes a saved search.
#[utoipa::path(delete, path = "/saved_searches/{id}", params(("id" = SavedSearchId, Path)), responses((status = 204)))]
pub async fn delete_saved_search(
    State(state): State<AppState>,
    Id(id): Id<SavedSearchId>,
) -> Result<StatusCode, ApiError> {
    let write = async move |conn: &mut _| models::saved_searches::delete(conn, id).await;
    no_content(state.db.write(write).await?, || {
        ApiError::not_found("Saved search", id)
    })
}

//! `/artifacts`: what flows leave for people to look at.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;

use crate::db::Conn;
use crate::schemas::artifacts::{
    Artifact, ArtifactCollection, ArtifactCreate, ArtifactUpdate, ArtifactsCount, ArtifactsQuery,
    AsArtifact, LatestArtifactsCount, LatestArtifactsQuery,
};
use crate::schemas::filters::ArtifactCollectionFilter;
use crate::schemas::{ArtifactId, Dialect};
use crate::server::changes::{Change, Kind};
use crate::server::events::lifecycle;
use crate::server::extract::{Answer, Body, Id, created, view};
use crate::server::models::artifacts::{self, Asked};
use crate::server::models::events::lifecycle::Happened;
use crate::server::{ApiError, AppState};

const NOUN: &str = "Artifact";

/// Creates an artifact, the newest of its key from now on.
#[utoipa::path(post, path = "/artifacts/", request_body = ArtifactCreate, responses((status = 201, body = Artifact)))]
pub async fn create_artifact(
    State(state): State<AppState>,
    dialect: Dialect,
    Body(create): Body<ArtifactCreate>,
) -> Result<impl IntoResponse, ApiError> {
    let now = state.now();
    let write = async move |conn: &mut Conn, happened: &mut Happened| {
        artifacts::create(conn, happened, create, now).await
    };
    let artifact = lifecycle::write(&state, write).await?;
    state.changes.tell(Change {
        flow_run_id: artifact.flow_run_id,
        ..Change::of(Kind::Artifact, artifact.id.0)
    });
    Ok(created(dialect, true, artifact))
}

/// Returns artifacts.
#[utoipa::path(post, path = "/artifacts/filter", request_body = ArtifactsQuery, responses((status = 200, body = Vec<Artifact>)))]
pub async fn read_artifacts(
    State(state): State<AppState>,
    dialect: Dialect,
    Body(asked): Body<ArtifactsQuery>,
) -> Result<impl IntoResponse, ApiError> {
    let asked = Asked {
        filters: asked.filters(),
        artifacts: asked.artifacts,
        sort: asked.sort.unwrap_or_default(),
        limit: state.limit(asked.limit)?,
        offset: asked.offset.unwrap_or(0),
    };
    let read = async move |conn: &mut Conn| artifacts::list(conn, &asked).await;
    Ok(view(dialect, state.db.read(read).await?))
}

/// Counts artifacts.
#[utoipa::path(post, path = "/artifacts/count", request_body = ArtifactsCount, responses((status = 200, body = i64)))]
pub async fn count_artifacts(
    State(state): State<AppState>,
    Body(asked): Body<ArtifactsCount>,
) -> Result<Answer<i64>, ApiError> {
    let filters = asked.filters();
    let read = async move |conn: &mut Conn| {
        artifacts::count(conn, asked.artifacts.as_ref(), &filters).await
    };
    Ok(Answer(state.db.read(read).await?))
}

/// Returns the newest artifacts of their keys.
#[utoipa::path(post, path = "/artifacts/latest/filter", request_body = LatestArtifactsQuery, responses((status = 200, body = Vec<ArtifactCollection>)))]
pub async fn read_latest_artifacts(
    State(state): State<AppState>,
    dialect: Dialect,
    Body(asked): Body<LatestArtifactsQuery>,
) -> Result<impl IntoResponse, ApiError> {
    let asked = Asked {
        filters: asked.filters(),
        artifacts: asked.artifacts.map(ArtifactCollectionFilter::of_latest),
        sort: asked.sort.unwrap_or_default(),
        limit: state.limit(asked.limit)?,
        offset: asked.offset.unwrap_or(0),
    };
    let read = async move |conn: &mut Conn| artifacts::list_latest(conn, &asked).await;
    Ok(view(dialect, state.db.read(read).await?))
}

/// Counts keys by their newest artifacts.
#[utoipa::path(post, path = "/artifacts/latest/count", request_body = LatestArtifactsCount, responses((status = 200, body = i64)))]
pub async fn count_latest_artifacts(
    State(state): State<AppState>,
    Body(asked): Body<LatestArtifactsCount>,
) -> Result<Answer<i64>, ApiError> {
    let filters = asked.filters();
    let filter = asked.artifacts.map(ArtifactCollectionFilter::of_latest);
    let read =
        async move |conn: &mut Conn| artifacts::count_latest(conn, filter.as_ref(), &filters).await;
    Ok(Answer(state.db.read(read).await?))
}

/// Returns an artifact.
#[utoipa::path(get, path = "/artifacts/{id}", params(("id" = ArtifactId, Path)), responses((status = 200, body = Artifact)))]
pub async fn read_artifact(
    State(state): State<AppState>,
    dialect: Dialect,
    Id(id): Id<ArtifactId>,
) -> Result<impl IntoResponse, ApiError> {
    let read = async move |conn: &mut Conn| artifacts::read(conn, id).await;
    let found = state.db.read(read).await?;
    Ok(view(
        dialect,
        found.ok_or_else(|| ApiError::not_found(NOUN, id))?,
    ))
}

/// Returns the newest artifact of a key.
#[utoipa::path(get, path = "/artifacts/{id}/latest", params(("id" = String, Path, description = "the key")), responses((status = 200, body = Artifact)))]
pub async fn read_latest_artifact(
    State(state): State<AppState>,
    dialect: Dialect,
    Id(key): Id<String>,
) -> Result<impl IntoResponse, ApiError> {
    let asked = key.clone();
    let read = async move |conn: &mut Conn| artifacts::read_latest(conn, &asked).await;
    let found = state.db.read(read).await?;
    let found = found.ok_or_else(|| ApiError::not_found(NOUN, key))?;
    Ok(view(dialect, AsArtifact(found)))
}

/// Changes an artifact.
#[utoipa::path(patch, path = "/artifacts/{id}", params(("id" = ArtifactId, Path)), request_body = ArtifactUpdate, responses((status = 204)))]
pub async fn update_artifact(
    State(state): State<AppState>,
    Id(id): Id<ArtifactId>,
    Body(update): Body<ArtifactUpdate>,
) -> Result<StatusCode, ApiError> {
    let now = state.now();
    let write = async move |conn: &mut Conn| artifacts::update(conn, id, update, now).await;
    done(&state, id, state.db.write(write).await?)
}

/// Deletes an artifact.
#[utoipa::path(delete, path = "/artifacts/{id}", params(("id" = ArtifactId, Path)), responses((status = 204)))]
pub async fn delete_artifact(
    State(state): State<AppState>,
    Id(id): Id<ArtifactId>,
) -> Result<StatusCode, ApiError> {
    let now = state.now();
    let write = async move |conn: &mut Conn, happened: &mut Happened| {
        artifacts::delete(conn, happened, id, now).await
    };
    done(&state, id, lifecycle::write(&state, write).await?)
}

fn done(state: &AppState, id: ArtifactId, found: bool) -> Result<StatusCode, ApiError> {
    if !found {
        return Err(ApiError::not_found(NOUN, id));
    }
    state.changes.tell(Change::of(Kind::Artifact, id.0));
    Ok(StatusCode::NO_CONTENT)
}

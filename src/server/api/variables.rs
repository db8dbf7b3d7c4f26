//! `/variables`: values that flows and deployments look up by name.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;

use crate::db::Conn;
use crate::schemas::variables::{
    Variable, VariableCreate, VariableUpdate, VariablesCount, VariablesQuery,
};
use crate::schemas::{Dialect, VariableId};
use crate::server::changes::{Change, Kind};
use crate::server::events::lifecycle;
use crate::server::extract::{Answer, Body, Id, created, view};
use crate::server::models::events::lifecycle::{Became, Happened};
use crate::server::models::variables::{self, Which};
use crate::server::{ApiError, AppState};

fn tell(state: &AppState, id: VariableId) {
    state.changes.tell(Change::of(Kind::Variable, id.0));
}

fn absent(which: &Which) -> ApiError {
    let which = match which {
        Which::Id(id) => id.to_string(),
        Which::Name(name) => format!("'{name}'"),
    };
    ApiError::not_found("Variable", which)
}

/// Creates a variable.
#[utoipa::path(post, path = "/variables/", request_body = VariableCreate, responses((status = 201, body = Variable), (status = 409, description = "the name is taken")))]
pub async fn create_variable(
    State(state): State<AppState>,
    dialect: Dialect,
    Body(create): Body<VariableCreate>,
) -> Result<impl IntoResponse, ApiError> {
    let (now, name) = (state.now(), create.name.clone());
    let write = async move |conn: &mut Conn, happened: &mut Happened| {
        let variable = variables::create(conn, create, now).await?;
        happened.variable(Became::Created, &variable);
        Ok(variable)
    };
    let variable = lifecycle::write(&state, write).await.map_err(|error| {
        let detail = format!("A variable with the name '{name}' already exists.");
        ApiError::or_taken(error, &detail)
    })?;
    tell(&state, variable.id);
    Ok(created(dialect, true, variable))
}

/// Returns variables.
#[utoipa::path(post, path = "/variables/filter", request_body = VariablesQuery, responses((status = 200, body = Vec<Variable>)))]
pub async fn read_variables(
    State(state): State<AppState>,
    dialect: Dialect,
    Body(asked): Body<VariablesQuery>,
) -> Result<impl IntoResponse, ApiError> {
    let (limit, offset) = (state.limit(asked.limit)?, asked.offset.unwrap_or(0));
    let read = async move |conn: &mut Conn| {
        variables::list(
            conn,
            asked.variables.as_ref(),
            asked.sort.unwrap_or_default(),
            limit,
            offset,
        )
        .await
    };
    Ok(view(dialect, state.db.read(read).await?))
}

/// Counts variables.
#[utoipa::path(post, path = "/variables/count", request_body = VariablesCount, responses((status = 200, body = i64)))]
pub async fn count_variables(
    State(state): State<AppState>,
    Body(asked): Body<VariablesCount>,
) -> Result<Answer<i64>, ApiError> {
    let read = async move |conn: &mut Conn| variables::count(conn, asked.variables.as_ref()).await;
    Ok(Answer(state.db.read(read).await?))
}

/// Returns a variable.
#[utoipa::path(get, path = "/variables/{id}", params(("id" = VariableId, Path)), responses((status = 200, body = Variable)))]
pub async fn read_variable(
    state: State<AppState>,
    dialect: Dialect,
    Id(id): Id<VariableId>,
) -> Result<impl IntoResponse, ApiError> {
    read(state, dialect, Which::Id(id)).await
}

/// Returns the variable of a name.
#[utoipa::path(get, path = "/variables/name/{name}", params(("name" = String, Path)), responses((status = 200, body = Variable)))]
pub async fn read_variable_by_name(
    state: State<AppState>,
    dialect: Dialect,
    Id(name): Id<String>,
) -> Result<impl IntoResponse, ApiError> {
    read(state, dialect, Which::Name(name)).await
}

async fn read(
    State(state): State<AppState>,
    dialect: Dialect,
    which: Which,
) -> Result<impl IntoResponse, ApiError> {
    let asked = which.clone();
    let read = async move |conn: &mut Conn| variables::read(conn, &asked).await;
    let found = state.db.read(read).await?;
    Ok(view(dialect, found.ok_or_else(|| absent(&which))?))
}

/// Changes a variable.
#[utoipa::path(patch, path = "/variables/{id}", params(("id" = VariableId, Path)), request_body = VariableUpdate, responses((status = 204)))]
pub async fn update_variable(
    state: State<AppState>,
    Id(id): Id<VariableId>,
    Body(change): Body<VariableUpdate>,
) -> Result<StatusCode, ApiError> {
    update(state, Which::Id(id), change).await
}

/// Changes the variable of a name.
#[utoipa::path(patch, path = "/variables/name/{name}", params(("name" = String, Path)), request_body = VariableUpdate, responses((status = 204)))]
pub async fn update_variable_by_name(
    state: State<AppState>,
    Id(name): Id<String>,
    Body(change): Body<VariableUpdate>,
) -> Result<StatusCode, ApiError> {
    update(state, Which::Name(name), change).await
}

async fn update(
    State(state): State<AppState>,
    which: Which,
    change: VariableUpdate,
) -> Result<StatusCode, ApiError> {
    let (asked, now) = (which.clone(), state.now());
    let write = async move |conn: &mut Conn, happened: &mut Happened| {
        let changed = variables::update(conn, &asked, change, now).await?;
        if let Some(variable) = &changed {
            happened.variable(Became::Updated, variable);
        }
        Ok(changed)
    };
    done(&state, &which, lifecycle::write(&state, write).await?)
}

/// Deletes a variable.
#[utoipa::path(delete, path = "/variables/{id}", params(("id" = VariableId, Path)), responses((status = 204)))]
pub async fn delete_variable(
    state: State<AppState>,
    Id(id): Id<VariableId>,
) -> Result<StatusCode, ApiError> {
    delete(state, Which::Id(id)).await
}

/// Deletes the variable of a name.
#[utoipa::path(delete, path = "/variables/name/{name}", params(("name" = String, Path)), responses((status = 204)))]
pub async fn delete_variable_by_name(
    state: State<AppState>,
    Id(name): Id<String>,
) -> Result<StatusCode, ApiError> {
    delete(state, Which::Name(name)).await
}

async fn delete(State(state): State<AppState>, which: Which) -> Result<StatusCode, ApiError> {
    let asked = which.clone();
    let write = async move |conn: &mut Conn, happened: &mut Happened| {
        let deleted = variables::delete(conn, &asked).await?;
        if let Some(variable) = &deleted {
            happened.variable(Became::Deleted, variable);
        }
        Ok(deleted)
    };
    done(&state, &which, lifecycle::write(&state, write).await?)
}

fn done(state: &AppState, which: &Which, found: Option<Variable>) -> Result<StatusCode, ApiError> {
    tell(state, found.ok_or_else(|| absent(which))?.id);
    Ok(StatusCode::NO_CONTENT)
}

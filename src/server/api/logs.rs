//! `/logs`: batches of lines in, pages of them out.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;

use crate::schemas::Dialect;
use crate::schemas::actions::LogCreate;
use crate::schemas::filters::{LogSort, LogsQuery};
use crate::schemas::logs::Log;
use crate::server::changes::{Change, Kind};
use crate::server::extract::{Answer, Body, view};
use crate::server::{ApiError, AppState, models};

/// Keeps a batch of lines.
#[utoipa::path(post, path = "/logs/", request_body = Vec<LogCreate>, responses((status = 201)))]
pub async fn create_logs(
    State(state): State<AppState>,
    Body(logs): Body<Vec<LogCreate>>,
) -> Result<impl IntoResponse, ApiError> {
    let mut runs: Vec<_> = logs.iter().filter_map(|log| log.flow_run_id).collect();
    runs.sort();
    runs.dedup();
    let now = state.now();
    state
        .db
        .write(async move |conn| models::logs::create(conn, logs, now).await)
        .await?;
    for run in runs {
        state.changes.tell(Change::of(Kind::Log, run.0));
    }
    Ok((StatusCode::CREATED, Answer(())))
}

/// Returns the lines of a page.
#[utoipa::path(post, path = "/logs/filter", request_body = LogsQuery, responses((status = 200, body = Vec<Log>)))]
pub async fn read_logs(
    State(state): State<AppState>,
    dialect: Dialect,
    Body(asked): Body<LogsQuery>,
) -> Result<impl IntoResponse, ApiError> {
    let (limit, offset) = (
        state.limit(asked.limit)?,
        i64::from(asked.offset.unwrap_or(0)),
    );
    let sort = asked.sort.unwrap_or(LogSort::TimestampAsc);
    let read = async move |conn: &mut _| {
        models::logs::list(conn, asked.logs.as_ref(), sort, limit, offset).await
    };
    Ok(view(dialect, state.db.read(read).await?))
}

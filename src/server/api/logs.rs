//! `/logs`: batches of lines in, pages of them out.

use std::sync::Arc;

use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;

use super::sockets::{self, Subscribed};
use crate::schemas::actions::LogCreate;
use crate::schemas::filters::{LogFilter, LogSort, LogsQuery};
use crate::schemas::logs::Log;
use crate::schemas::{Dialect, FlowRunId, View};
use crate::server::changes::{Change, Kind};
use crate::server::extract::{Answer, Body, Id, view};
use crate::server::{ApiError, AppState, models};

/// As many lines are written as quickly as others can wait for.
const FEW: usize = 500;

/// Keeps a batch of lines.
#[utoipa::path(post, path = "/logs/", request_body = Vec<LogCreate>, responses((status = 201)))]
pub async fn create_logs(
    State(state): State<AppState>,
    Body(logs): Body<Vec<LogCreate>>,
) -> Result<impl IntoResponse, ApiError> {
    let mut runs: Vec<_> = logs.iter().filter_map(|log| log.flow_run_id).collect();
    runs.sort();
    runs.dedup();
    let logs = Arc::new(models::logs::received(logs, state.now()));
    let batch = Arc::clone(&logs);
    let write = async move |conn: &mut _| models::logs::create(conn, &batch).await;
    // What is wrong with a line was refused before; a row of it can fail only where all fail.
    if logs.len() <= FEW {
        state.db.write_short(write).await?;
    } else {
        state.db.write(write).await?;
    }
    state.logs.tell(logs);
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

/// Returns all lines of a flow run as a table, the oldest first.
#[utoipa::path(get, path = "/flow_runs/{id}/logs/download", params(("id" = FlowRunId, Path)), responses((status = 200, content_type = "text/csv", body = String)))]
pub async fn download_logs(
    State(state): State<AppState>,
    Id(id): Id<FlowRunId>,
) -> Result<Response, ApiError> {
    let read = async move |conn: &mut _| {
        let Some(run) = models::flow_runs::read(conn, id).await? else {
            return Ok(None);
        };
        let mut table = "timestamp,level,flow_run_id,task_run_id,message\r\n".to_owned();
        models::logs::for_each_of(conn, id, |log| row(&mut table, &log)).await?;
        Ok(Some((run.name, table)))
    };
    let found = state.db.read(read).await?;
    let (name, table) = found.ok_or_else(|| ApiError::not_found("Flow run", id))?;
    let name: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '-' {
                c
            } else {
                '_'
            }
        })
        .collect();
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{name}-logs.csv\""),
        ),
    ];
    Ok((headers, table).into_response())
}

/// Writes a line as RFC 4180 has it.
fn row(table: &mut String, log: &Log) {
    use std::fmt::Write;
    let id = |id: Option<uuid::Uuid>| id.map_or_else(String::new, |id| id.to_string());
    let _ = write!(
        table,
        "{},{},{},{},",
        log.timestamp.format("%Y-%m-%d %H:%M:%S%.f%:z"),
        log.level,
        id(log.flow_run_id.map(|id| id.0)),
        id(log.task_run_id.map(|id| id.0)),
    );
    let message = &log.message;
    if message.contains([',', '"', '\r', '\n']) {
        let _ = write!(table, "\"{}\"\r\n", message.replace('"', "\"\""));
    } else {
        let _ = write!(table, "{message}\r\n");
    }
}

/// Streams lines as they come; older ones are asked for by page.
pub async fn stream_logs_out(State(state): State<AppState>, upgrade: WebSocketUpgrade) -> Response {
    sockets::accept(upgrade, state, stream)
}

async fn stream(state: AppState, mut socket: WebSocket) {
    let mut live = state.logs.listen();
    let filter = match sockets::subscription::<LogFilter>(&mut socket).await {
        Ok(Subscribed { filter, .. }) => filter,
        Err(reason) => return sockets::close(socket, sockets::PROTOCOL_ERROR, reason).await,
    };
    loop {
        tokio::select! {
            logs = live.recv() => match logs {
                Ok(logs) => {
                    for log in logs.iter().filter(|log| filter.includes(log)) {
                        let frame = json!({"type": "log", "log": View(Dialect::Three, log)});
                        if sockets::send_json(&mut socket, &frame).await.is_err() {
                            return;
                        }
                    }
                }
                // A live view that cannot keep up skips; the lines are all there to be read.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            },
            frame = socket.recv() => match frame {
                Some(Ok(Message::Text(_) | Message::Binary(_) | Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
            },
        }
    }
}

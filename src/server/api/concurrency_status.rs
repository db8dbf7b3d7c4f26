//! `/work_queues/{id}/concurrency_status` and the like: what takes up the limits of queues and pools.

use std::collections::HashMap;

use axum::extract::State;
use axum::response::IntoResponse;

use crate::db::Conn;
use crate::schemas::concurrency_status::{
    ConcurrencyStatus, PoolConcurrencyQuery, QueueConcurrencyQuery, QueueShare, SlotHolder,
};
use crate::schemas::flow_runs::AsOf;
use crate::schemas::{Dialect, WorkQueueId};
use crate::server::extract::{Body, Id, view};
use crate::server::models::{slot_holders, work_pools, work_queues};
use crate::server::{ApiError, AppState};

/// Returns which runs take up a queue.
#[utoipa::path(post, path = "/work_queues/{id}/concurrency_status", params(("id" = WorkQueueId, Path)), request_body = QueueConcurrencyQuery, responses((status = 200, body = ConcurrencyStatus<SlotHolder>)))]
pub async fn read_work_queue_concurrency_status(
    State(state): State<AppState>,
    dialect: Dialect,
    Id(id): Id<WorkQueueId>,
    Body(asked): Body<QueueConcurrencyQuery>,
) -> Result<impl IntoResponse, ApiError> {
    let (limit, page) = (state.limit(asked.limit)?, asked.page);
    let read = async move |conn: &mut Conn| {
        let Some(queue) = work_queues::read(conn, id).await? else {
            return Ok(None);
        };
        let count = slot_holders::count_of_queue(conn, id).await?;
        let offset = (page - 1).saturating_mul(limit);
        Ok(Some(ConcurrencyStatus {
            active_slots: count,
            concurrency_limit: queue.concurrency_limit,
            items: slot_holders::of_queue(conn, id, limit, offset).await?,
            count,
            limit,
            page,
        }))
    };
    let status = state.db.read(read).await?;
    let status = status.ok_or_else(|| ApiError::NotFound("Work queue not found.".to_owned()))?;
    Ok(view(dialect, AsOf(state.now(), status)))
}

/// Returns which runs take up a pool, by queue.
#[utoipa::path(post, path = "/work_pools/{name}/concurrency_status", params(("name" = String, Path)), request_body = PoolConcurrencyQuery, responses((status = 200, body = ConcurrencyStatus<QueueShare>)))]
pub async fn read_work_pool_concurrency_status(
    State(state): State<AppState>,
    dialect: Dialect,
    Id(name): Id<String>,
    Body(asked): Body<PoolConcurrencyQuery>,
) -> Result<impl IntoResponse, ApiError> {
    let limit = state.limit(asked.limit)?;
    let absent = ApiError::NotFound(format!("Work pool '{name}' not found."));
    let read = async move |conn: &mut Conn| pool_status(conn, &name, limit, asked).await;
    let status = state.db.read(read).await?.ok_or(absent)?;
    Ok(view(dialect, AsOf(state.now(), status)))
}

async fn pool_status(
    conn: &mut Conn,
    name: &str,
    limit: i64,
    asked: PoolConcurrencyQuery,
) -> crate::db::Result<Option<ConcurrencyStatus<QueueShare>>> {
    let Some(pool) = work_pools::read_by_name(conn, name).await? else {
        return Ok(None);
    };
    let counts = slot_holders::count_of_pool(conn, pool.id).await?;
    let active_slots = counts.iter().map(|(_, count)| count).sum();
    let counts: HashMap<_, _> = counts.into_iter().collect();
    let queues = work_queues::list_of_pool(conn, pool.id).await?;
    let count = i64::try_from(queues.len()).unwrap_or(i64::MAX);
    let before = usize::try_from((asked.page - 1).saturating_mul(limit)).unwrap_or(usize::MAX);
    let shown = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut items = Vec::new();
    for queue in queues.into_iter().skip(before).take(shown) {
        items.push(QueueShare {
            flow_runs: slot_holders::of_pool_in(conn, queue.id, asked.flow_run_limit).await?,
            active_slots: counts.get(&queue.id).copied().unwrap_or(0),
            concurrency_limit: queue.concurrency_limit,
            id: queue.id,
            name: queue.name,
        });
    }
    Ok(Some(ConcurrencyStatus {
        active_slots,
        concurrency_limit: pool.concurrency_limit,
        items,
        count,
        limit,
        page: asked.page,
    }))
}

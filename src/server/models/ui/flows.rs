//! The side panel of a flow.

use chrono::{DateTime, Duration, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::deployments::{self, DeploymentRow};
use super::filters::{Ask, RUN_TABLES};
use super::flow_runs::{RUN_ROW, RunRow};
use super::row;
use super::states::StateCount;
use crate::db::{Conn, Result, query};
use crate::schemas::Tags;

// A flow as the pages of its runs and deployments show it.
row! { FlowRef { id: Uuid, name: String, tags: Tags, created: DateTime<Utc> } }

/// The side panel of a flow.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct FlowPanel {
    flow: FlowRef,
    states: Vec<StateCount>,
    /// The first of them; a flow may have more than a panel has room for.
    deployments: Vec<DeploymentRow>,
    deployment_count: i64,
    recent: Vec<RunRow>,
}

/// Reads the side panel of a flow: the past and the next week.
pub(crate) async fn read(
    conn: &mut Conn,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<Option<FlowPanel>> {
    let sql = "SELECT id, name, tags, created FROM flow WHERE id = $1";
    let Some(flow) = query(sql).bind(id).fetch_optional(conn).await? else {
        return Ok(None);
    };
    let sql = "SELECT state_type, COALESCE(state_name, state_type), COUNT(*) FROM flow_run \
               WHERE flow_id = $1 AND state_type IS NOT NULL AND expected_start_time >= $2 \
                 AND expected_start_time < $3 GROUP BY 1, 2 ORDER BY 3 DESC";
    let states = query(sql)
        .bind(id)
        .bind(now - Duration::weeks(1))
        .bind(now + Duration::weeks(1))
        .fetch_all(conn)
        .await?;
    let ask: Ask =
        serde_json::from_value(serde_json::json!({"flows": {"id": {"any_": [id]}}, "limit": 50}))
            .expect("the filter is one of ours");
    let deployments = deployments::list(conn, ask, now).await?;
    let sql = format!(
        "SELECT {RUN_ROW} FROM {RUN_TABLES} WHERE r.flow_id = $1 AND r.expected_start_time <= $2 \
         ORDER BY r.expected_start_time DESC LIMIT 6"
    );
    let recent = query(sql).bind(id).bind(now).fetch_all(conn).await?;
    Ok(Some(FlowPanel {
        flow,
        states,
        deployments: deployments.results,
        deployment_count: deployments.count,
        recent,
    }))
}

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

/// Runs of a flow that its panel counts; a panel is not waited for.
const MOST_COUNTED: i64 = 20_000;

/// The side panel of a flow.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct FlowPanel {
    flow: FlowRef,
    /// What the runs of two weeks are in.
    states: Vec<StateCount>,
    /// Of how many runs that is told: the newest, where there are more than are counted.
    counted_most: Option<i64>,
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
    let states = states(conn, id, now, MOST_COUNTED).await?;
    let counted: i64 = states.iter().map(|state| state.count).sum();
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
        counted_most: (counted == MOST_COUNTED).then_some(MOST_COUNTED),
        deployments: deployments.results,
        deployment_count: deployments.count,
        recent,
    }))
}

/// Counts the newest runs of the past and the next week by their states.
async fn states(
    conn: &mut Conn,
    flow: Uuid,
    now: DateTime<Utc>,
    most: i64,
) -> Result<Vec<StateCount>> {
    let sql = format!(
        "SELECT state_type, state_name, COUNT(*) FROM ( \
           SELECT state_type, COALESCE(state_name, state_type) AS state_name FROM flow_run \
           WHERE flow_id = $1 AND state_type IS NOT NULL AND expected_start_time >= $2 AND expected_start_time < $3 \
           ORDER BY expected_start_time DESC LIMIT {most}) AS newest \
         GROUP BY state_type, state_name ORDER BY 3 DESC, state_name"
    );
    query(sql)
        .bind(flow)
        .bind(now - Duration::weeks(1))
        .bind(now + Duration::weeks(1))
        .fetch_all(conn)
        .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Db;
    use crate::settings::{DatabaseUrl, Synchronous};

    #[tokio::test]
    async fn no_more_than_the_newest_runs_of_a_flow_are_counted() {
        let home = tempfile::tempdir().unwrap();
        let url = DatabaseUrl::Sqlite(home.path().join("orion.db"));
        let db = Db::open(&url, Synchronous::Normal).await.unwrap();
        let now: DateTime<Utc> = "2026-11-23T12:00:00Z".parse().unwrap();
        let flow = Uuid::from_u128(1);
        let counted = db
            .write(async move |conn| {
                let sql = "INSERT INTO flow (id, created, updated, name) VALUES ($1, $2, $2, 'etl')";
                query(sql).bind(flow).bind(now).execute(conn).await?;
                let runs = [(-8 * 24, "Completed"), (-2, "Failed"), (-1, "Completed"), (1, "Late")];
                for (hours, state) in runs {
                    let sql = "INSERT INTO flow_run (id, created, updated, name, flow_id, state_type, state_name, \
                                 expected_start_time) VALUES ($1, $2, $2, 'run', $3, 'COMPLETED', $4, $2)";
                    query(sql)
                        .bind(Uuid::new_v4())
                        .bind(now + Duration::hours(hours))
                        .bind(flow)
                        .bind(state)
                        .execute(conn)
                        .await?;
                }
                Ok((states(conn, flow, now, 2).await?, states(conn, flow, now, 9).await?))
            })
            .await
            .unwrap();
        let names = |states: Vec<StateCount>| {
            Vec::from_iter(states.into_iter().map(|state| state.state_name))
        };
        assert_eq!(names(counted.0), ["Completed", "Late"]);
        assert_eq!(names(counted.1), ["Completed", "Failed", "Late"]);
    }
}

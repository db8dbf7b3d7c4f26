//! States as the pages of runs show them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::row;
use crate::db::{Conn, Result, query};
use crate::schemas::{Document, StateType};

/// The newest states that a run's page shows; one that is retried without end has any number.
const MOST: i64 = 1000;

row! {
    /// A state as the dashboard shows it; results stay where they are.
    StateRow { id: Uuid, #[serde(rename = "type")] #[schema(value_type = StateType)] kind: String, name: String, timestamp: DateTime<Utc>, message: Option<String>, state_details: Document, decided_by: Option<String> }
}

// A run with its newest state.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct WithState<T> {
    #[serde(flatten)]
    pub(super) run: T,
    pub(super) state: Option<StateRow>,
}

/// Lists the newest states of a run, `flow_run` or `task_run`, oldest first.
pub(super) async fn of_run(conn: &mut Conn, table: &str, id: Uuid) -> Result<Vec<StateRow>> {
    let sql = format!(
        "SELECT id, type, name, timestamp, message, state_details, decided_by FROM {table}_state \
         WHERE {table}_id = $1 ORDER BY timestamp DESC, id DESC LIMIT {MOST}"
    );
    let mut states: Vec<StateRow> = query(sql).bind(id).fetch_all(conn).await?;
    states.reverse();
    Ok(states)
}

row! {
    /// How many runs are in a state.
    StateCount { #[schema(value_type = StateType)] state_type: String, state_name: String, count: i64 }
}

//! States as the pages of runs show them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::row;
use crate::schemas::{Document, StateType};

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

row! {
    /// How many runs are in a state.
    StateCount { #[schema(value_type = StateType)] state_type: String, state_name: String, count: i64 }
}

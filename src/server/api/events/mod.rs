//! `/events`: events in, events found again, events as they happen.

mod counts;
mod intake;
mod outlet;
mod pages;

pub use counts::*;
pub use intake::stream_events_in;
pub use outlet::stream_events_out;
pub use pages::*;

use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::schemas::events::Event;
use crate::server::extract::Body;
use crate::server::mistake::Mistake;
use crate::server::{ApiError, AppState, events};

/// Records a batch of events.
#[utoipa::path(post, path = "/events", request_body = Vec<Event>, responses((status = 204)))]
pub async fn create_events(
    State(state): State<AppState>,
    Body(events): Body<Vec<Event>>,
) -> Result<StatusCode, ApiError> {
    let limits = events::limits(&state.settings);
    for (n, event) in events.iter().enumerate() {
        if let Err((field, why)) = event.check(&limits) {
            let loc = vec![json!("body"), json!(n), json!(field)];
            return Err(ApiError::Invalid {
                details: vec![Mistake::of(loc, &why)],
                body: Value::Null,
            });
        }
    }
    events::receive(&state, events).await?;
    Ok(StatusCode::NO_CONTENT)
}

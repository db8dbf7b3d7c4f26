//! Reads from an event what it says of a task run.

use serde::Deserialize;
use tracing::warn;

use crate::schemas::events::ReceivedEvent;
use crate::schemas::{Document, FlowRunId, State, StateDetails, StateId, StateType, TaskRunId};
use crate::server::models::task_run_records::{Attributes, Told};

/// The payload of an event of a task run.
#[derive(Deserialize)]
struct Payload {
    validated_state: Validated,
    task_run: Attributes,
}

/// The state that the client has decided on; the event itself gives it id and time.
#[derive(Deserialize)]
struct Validated {
    #[serde(rename = "type")]
    state_type: StateType,
    name: Option<String>,
    message: Option<String>,
    #[serde(default)]
    state_details: StateDetails,
    data: Option<Document>,
}

/// Returns what an event says of a task run whose client decides its states, if it is such an event.
///
/// Where the server decides, it has written the state already, and the event only tells of it.
pub(super) fn told(received: &ReceivedEvent) -> Option<Told> {
    let event = &received.event;
    if !event.event.starts_with("prefect.task-run")
        || event.resource.get("prefect.orchestration") != Some("client")
    {
        return None;
    }
    let Some(id) = event.resource.object_id("prefect.task-run.").map(TaskRunId) else {
        warn!(event.id = %event.id, "event {} names no task run: `{}`", event.id, event.resource.id());
        return None;
    };
    let payload: Payload = event
        .payload
        .read()
        .inspect_err(|cause| {
            warn!(event.id = %event.id, "event {} tells of no state of a task run: {cause}", event.id);
        })
        .ok()?;
    let flow_run = received.in_role("flow-run");
    let flow_run_id = flow_run
        .and_then(|run| run.object_id("prefect.flow-run."))
        .map(FlowRunId);
    let Validated {
        state_type,
        name,
        message,
        state_details,
        data,
    } = payload.validated_state;
    let state = State {
        id: StateId(event.id.0),
        state_type,
        name: name.unwrap_or_else(|| state_type.default_name()),
        timestamp: event.occurred.0,
        message,
        state_details: StateDetails {
            flow_run_id,
            task_run_id: Some(id),
            ..state_details
        },
        data: data.filter(|data| !data.is_null()),
    };
    Some(Told {
        id,
        flow_run_id,
        attributes: payload.task_run,
        states: vec![state],
    })
}

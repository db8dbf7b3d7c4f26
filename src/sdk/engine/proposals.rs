//! States that are proposed to the server for flow runs, and what it makes of them.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use super::patience::patiently;
use super::{Engine, on_runtime};
use crate::client::OrchestrationResult;
use crate::sdk::outcome::{State, StateType};

/// What the server made of a proposal.
pub(crate) enum Answer {
    Accepted,
    Wait(Duration),
    /// The run is to start again at this time.
    Later(DateTime<Utc>),
    /// Another state holds.
    Refused(State, String),
}

/// Proposes a state until the server has answered, however long it is away; one that fails each time has refused it.
pub(crate) async fn propose(engine: &Engine, id: Uuid, mut state: Value, force: bool) -> Answer {
    let transition = Uuid::now_v7();
    state["state_details"] = json!({"transition_id": transition});
    let client = engine.client.clone();
    let kind = state["type"].as_str().unwrap_or_default().to_owned();
    on_runtime(async move {
        let ask = || client.set_flow_run_state(id, &state, force);
        match patiently(&client, "a state is kept", ask).await {
            Ok(answer) => read(answer, &kind),
            Err(error) => {
                let held = State::new(StateType::Crashed).with_message(error.to_string());
                Answer::Refused(held, error.to_string())
            }
        }
    })
    .await
}

fn read(answer: OrchestrationResult, proposed: &str) -> Answer {
    let reason = answer.details["reason"]
        .as_str()
        .unwrap_or("no reason given")
        .to_owned();
    match (answer.status.as_str(), answer.state) {
        ("WAIT", _) => {
            let seconds = answer.details["delay_seconds"].as_f64().unwrap_or(1.0);
            Answer::Wait(Duration::from_secs_f64(seconds.clamp(0.05, 3600.0)))
        }
        ("ACCEPT" | "REJECT", Some(state)) if state.r#type == proposed => Answer::Accepted,
        ("ACCEPT" | "REJECT", Some(state)) if state.r#type == "SCHEDULED" => {
            Answer::Later(state.state_details.scheduled_time.unwrap_or_default())
        }
        (_, Some(state)) => Answer::Refused(as_state(&state), reason),
        (_, None) => Answer::Refused(State::new(StateType::Cancelled), reason),
    }
}

fn as_state(state: &crate::client::State) -> State {
    let state_type = match state.r#type.as_str() {
        "SCHEDULED" => StateType::Scheduled,
        "PENDING" => StateType::Pending,
        "RUNNING" => StateType::Running,
        "COMPLETED" => StateType::Completed,
        "FAILED" => StateType::Failed,
        "CANCELLED" => StateType::Cancelled,
        "CANCELLING" => StateType::Cancelling,
        "PAUSED" => StateType::Paused,
        _ => StateType::Crashed,
    };
    let mut read = State::new(state_type);
    read.name = state.name.clone().unwrap_or(read.name);
    read.message = state.message.clone();
    read
}

/// Tells whether a run is to be cancelled, or is.
pub(crate) fn is_cancelling(state: &crate::client::State) -> bool {
    matches!(state.r#type.as_str(), "CANCELLING" | "CANCELLED")
}

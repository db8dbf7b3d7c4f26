//! Lets paused flow runs go on, with the input that they wait for.
//!
//! A run that waits for input says under which keys: it has stored the schema of the input under
//! one, and looks for the answer under the other. The answer and the state are one write, so that
//! a run that goes on finds its input.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use super::transitions::{self, Proposal, Transitioned};
use super::{flow_run_inputs, flow_runs};
use crate::db::{Conn, Result};
use crate::schemas::actions::StateCreate;
use crate::schemas::flow_run_inputs::FlowRunInputCreate;
use crate::schemas::json_schema::{self, Required};
use crate::schemas::responses::{OrchestrationResult, Outcome};
use crate::schemas::{Document, FlowRunId, State, StateType};
use crate::server::orchestration::policy::Policy;
use crate::server::parameters;

/// Under which keys a run's input is.
#[derive(Debug, Deserialize)]
struct Keyset {
    schema: String,
    response: String,
}

/// Resumes a flow run; none if there is no such run.
pub async fn resume(
    conn: &mut Conn,
    id: FlowRunId,
    input: Option<Document>,
    policy: Policy,
    now: DateTime<Utc>,
) -> Result<Option<Transitioned>> {
    let Some(known) = flow_runs::read_for_transition(conn, id).await? else {
        return Ok(None);
    };
    let paused = known
        .run
        .state
        .filter(|s| s.state_type == StateType::Paused);
    let Some(paused) = paused else {
        let reason = "Cannot resume a flow run that is not paused.".to_owned();
        return Ok(Some(refused(None, Outcome::Abort { reason })));
    };
    let details = &paused.state_details;
    let keyset = details.run_input_keyset.as_ref();
    let keyset = keyset.and_then(|keyset| keyset.read::<Keyset>().ok());
    let mut answer = None;
    if let Some(keyset) = keyset {
        let input = input.unwrap_or_else(Document::empty_object);
        match fitting(conn, id, &keyset.schema, input).await? {
            Ok(input) => answer = Some((keyset.response, input)),
            Err(reason) => {
                let outcome = Outcome::Reject { reason };
                return Ok(Some(refused(Some(paused), outcome)));
            }
        }
    }
    let create = match details.pause_reschedule {
        Some(true) => StateCreate {
            name: Some("Resuming".to_owned()),
            ..StateCreate::of(StateType::Scheduled)
        },
        _ => StateCreate::of(StateType::Running),
    };
    let done =
        transitions::transition_flow_run(conn, id, Proposal::of(create, policy), now).await?;
    if let Some((key, input)) = answer
        && done
            .as_ref()
            .is_some_and(|done| done.result.outcome == Outcome::Accept {})
    {
        let create = FlowRunInputCreate {
            key,
            value: input.into_text(),
            sender: None,
        };
        flow_run_inputs::delete(conn, id, &create.key).await?;
        flow_run_inputs::create(conn, id, create, now).await?;
    }
    Ok(done)
}

/// Returns the input as it is worth, or why the run cannot take it.
async fn fitting(
    conn: &mut Conn,
    id: FlowRunId,
    schema: &str,
    input: Document,
) -> Result<std::result::Result<Document, String>> {
    let Some(schema) = flow_run_inputs::read(conn, id, schema).await? else {
        return Ok(Err("Run input schema not found.".to_owned()));
    };
    let Ok(schema) = serde_json::from_str::<Value>(&schema) else {
        return Ok(Err("Run input schema is not valid JSON.".to_owned()));
    };
    let input = match parameters::expand(conn, input).await? {
        Ok(input) => input,
        Err(text) => return Ok(Err(format!("Error hydrating run input: {text}"))),
    };
    let value = input.read().unwrap_or_default();
    Ok(
        match json_schema::check(&json_schema::as_meant(&schema), &value, Required::Checked) {
            Ok(()) => Ok(input),
            Err(misfit) => Err(format!("Reason: {misfit}")),
        },
    )
}

fn refused(state: Option<State>, outcome: Outcome) -> Transitioned {
    Transitioned {
        result: OrchestrationResult { state, outcome },
        is_written: false,
        decided_by: None,
        deployment_id: None,
    }
}

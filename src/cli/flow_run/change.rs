//! `flow-run cancel|retry|pause|resume`: what people propose to the rules that decide about a run.
//!
//! A proposal that the rules turn down is a failure of the command, told in the words of the server.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Context, find};
use crate::cli::{
    error::{Code, Error, Result},
    output,
};
use crate::client::{Client, Document, FlowRun, OrchestrationResult, State};

/// Stops a run.
pub(super) async fn cancel(client: &Client, flow_run: &str) -> Result {
    let run = find(client, flow_run).await?;
    if let Some(state) = run.state.as_ref().filter(|state| state.is_terminal()) {
        return Err(Error::new(
            Code::Conflict,
            format!(
                "flow run '{}' has ended already: it is {}",
                run.id,
                state.label()
            ),
        ));
    }
    let told = |kind: &str, name: &str| json!({"type": kind, "name": name, "message": "Cancelled from the command line."});
    let cancelled = told("CANCELLED", "Cancelled");
    // Whoever runs a deployment's run ends its processes first; the server knows whether anybody does. Of a run by hand nobody
    // would hear.
    let result = match run.deployment_id {
        None => client.set_flow_run_state(run.id, &cancelled, false).await?,
        Some(_) => {
            let cancelling = told("CANCELLING", "Cancelling");
            match client.set_flow_run_state(run.id, &cancelling, false).await {
                // A server of the first generation has no such state.
                Err(error) if error.status().is_some_and(|status| status == 422) => {
                    client.set_flow_run_state(run.id, &cancelled, false).await?
                }
                outcome => outcome?,
            }
        }
    };
    told_outcome(&run, &result, &["CANCELLING", "CANCELLED"], "cancelled")
}

/// Has a run that is over begin again, by whoever takes the runs of its deployment.
pub(super) async fn retry(client: &Client, flow_run: &str) -> Result {
    let run = find(client, flow_run).await?;
    let state = run.state.as_ref();
    if !state.is_some_and(State::is_terminal) {
        let label = state.map_or("without a state", State::label);
        return Err(Error::new(
            Code::Conflict,
            format!("flow run '{}' is not over: it is {label}", run.id),
        ));
    }
    if run.deployment_id.is_none() {
        return Err(Error::new(
            Code::Conflict,
            format!("flow run '{}' belongs to no deployment, so nobody would take it up again", run.id),
        )
        .hint("start the program that made it again, or deploy its flow with `prefect-rs deployment create`"));
    }
    let again = json!({"type": "SCHEDULED", "name": "AwaitingRetry", "message": "Retried from the command line."});
    let result = client.set_flow_run_state(run.id, &again, false).await?;
    told_outcome(&run, &result, &["SCHEDULED"], "scheduled again")
}

/// Holds a running run up.
pub(super) async fn pause(
    cx: &Context,
    client: &Client,
    flow_run: &str,
    timeout: Option<Duration>,
) -> Result {
    let run = find(client, flow_run).await?;
    // The process stays: one that was let go could not be told from one that goes on.
    let mut details = json!({"pause_reschedule": false});
    if let Some(timeout) = timeout {
        let until = TimeDelta::from_std(timeout).ok();
        let until = until.and_then(|timeout| cx.now().checked_add_signed(timeout));
        let until = until
            .ok_or_else(|| Error::new(Code::Usage, "the time span of --timeout is out of range"))?;
        details["pause_timeout"] = json!(until);
    }
    let paused = json!({
        "type": "PAUSED", "name": "Paused", "message": "Paused from the command line.", "state_details": details,
    });
    let result = client.set_flow_run_state(run.id, &paused, false).await?;
    told_outcome(&run, &result, &["PAUSED"], "paused")
}

/// Lets a paused run go on.
pub(super) async fn resume(client: &Client, flow_run: &str, input: Option<&str>) -> Result {
    let run = find(client, flow_run).await?;
    let input = match input {
        None => None,
        Some(text) => Some(object(text)?),
    };
    let result = client.resume_flow_run(run.id, input.as_ref()).await?;
    told_outcome(&run, &result, &["RUNNING", "SCHEDULED"], "resumed")
}

fn object(text: &str) -> Result<Value> {
    serde_json::from_str(text)
        .ok()
        .filter(Value::is_object)
        .ok_or_else(|| {
            Error::new(Code::Usage, "--input is not a JSON object")
                .hint("an example: --input '{\"approved\": true}'")
        })
}

/// Says what became of a proposal; the states that were wanted are a success however the run came to be in one.
fn told_outcome(
    run: &Document<FlowRun>,
    result: &OrchestrationResult,
    wanted: &[&str],
    verb: &str,
) -> Result {
    let now = result.state.as_ref();
    let is_there = now.is_some_and(|state| wanted.contains(&state.r#type.as_str()));
    match (result.status.as_str(), is_there) {
        ("ACCEPT", _) | ("REJECT", true) => {
            output::say(&format!(
                "Flow run '{}' is {}.",
                output::clean(&run.name),
                now.map_or("unchanged", State::label)
            ));
            Ok(())
        }
        _ => Err(refused(run.id, result, verb)),
    }
}

fn refused(id: Uuid, result: &OrchestrationResult, verb: &str) -> Error {
    let reason = result.details["reason"].as_str();
    Error::new(
        Code::Conflict,
        format!(
            "flow run '{id}' was not {verb}: {}",
            output::clean(reason.unwrap_or("no reason was given"))
        ),
    )
}

//! The states that the agent proposes, and what it makes of the answers.
//!
//! The words are for the person who looks at a run that did not end well; the decisions are pure,
//! so the table of ends is in the tests.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use super::process::{Ended, Halt};
use super::role::Role;
use crate::client::{Client, OrchestrationResult};

/// What the server's answer means for the one who proposed.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// The proposed state holds.
    Accepted,
    /// The run is to be started again at this instant.
    Rescheduled(DateTime<Utc>),
    /// The same is to be proposed again after some seconds.
    Wait(f64),
    /// Something else holds; the reason, if the server gave one.
    Refused(String),
}

/// Returns a proposal of the given type.
///
/// The transition id makes a repeated request harmless: a newer server answers the second one
/// with the state that the first one made.
pub fn propose(kind: &str, name: &str, message: Option<&str>, transition: Uuid) -> Value {
    json!({
        "type": kind,
        "name": name,
        "message": message,
        "state_details": {"transition_id": transition},
    })
}

/// Ends the task runs that a program has begun and never ended: it is gone, and nobody else will.
pub async fn end_what_was_left_open(client: &Client, flow_run: Uuid) {
    let message = "The program ended without saying how the task ended.";
    let state = json!({"type": "CRASHED", "name": "Crashed", "message": message});
    client.end_open_task_runs(flow_run, &state).await;
}

/// Returns a proposal in the words of 2.0b3 servers, which refuse what they do not know.
pub fn for_first_generation(state: &Value) -> Value {
    let mut state = state.clone();
    if let Some(details) = state["state_details"].as_object_mut() {
        details.remove("transition_id");
    }
    if state["type"] == "CRASHED" {
        state["type"] = json!("FAILED");
    }
    state
}

/// Reads the server's answer to a proposal of the type `kind`.
pub fn answer(result: &OrchestrationResult, raw: &Value, kind: &str, transition: Uuid) -> Answer {
    let reason = || {
        result.details["reason"]
            .as_str()
            .unwrap_or("no reason given")
            .to_owned()
    };
    match (result.status.as_str(), &result.state) {
        ("ACCEPT", Some(state)) if !state.is_scheduled() || kind == "SCHEDULED" => Answer::Accepted,
        // The answer to the first of two equal requests was lost on its way.
        ("REJECT" | "ABORT", Some(state))
            if state.r#type == kind
                && raw["state"]["state_details"]["transition_id"] == json!(transition) =>
        {
            Answer::Accepted
        }
        ("ACCEPT" | "REJECT", Some(state)) if state.is_scheduled() => Answer::Rescheduled(
            state
                .state_details
                .scheduled_time
                .unwrap_or(DateTime::<Utc>::MIN_UTC),
        ),
        ("WAIT", _) => Answer::Wait(result.details["delay_seconds"].as_f64().unwrap_or(1.0)),
        (_, Some(state)) => Answer::Refused(format!("the run is {} ({})", state.label(), reason())),
        (_, None) => Answer::Refused(reason()),
    }
}

/// Returns type, name and message of the state that the end of an executable means.
pub fn of_executable(
    ended: &Ended,
    last_error: Option<&str>,
    timeout_seconds: f64,
    role: Role,
) -> (&'static str, &'static str, String) {
    let said = last_error
        .map(|line| format!(" Its last line of error output: {}", line.trim()))
        .unwrap_or_default();
    match (ended.halt, ended.status.code()) {
        (Some(Halt::Cancelled), _) => (
            "CANCELLED",
            "Cancelled",
            "The run was cancelled and its processes were ended.".into(),
        ),
        (Some(Halt::TimedOut), _) => (
            "FAILED",
            "TimedOut",
            format!("The flow exceeded its timeout of {timeout_seconds} seconds and was ended."),
        ),
        (Some(Halt::AgentStopped), _) => ("CRASHED", "Crashed", stopped(role)),
        (None, Some(0)) => (
            "COMPLETED",
            "Completed",
            "The flow exited with code 0.".into(),
        ),
        (None, Some(_)) => (
            "FAILED",
            "Failed",
            format!("The flow {}.{said}", ended.describe()),
        ),
        (None, None) => (
            "CRASHED",
            "Crashed",
            format!("The flow {}.{}{said}", ended.describe(), ended.remark()),
        ),
    }
}

/// Returns the state that the end of a Python engine means, if the run's state `current` is not an end already.
pub fn of_engine(
    ended: &Ended,
    current: &str,
    last_error: Option<&str>,
    role: Role,
) -> Option<(&'static str, &'static str, String)> {
    let said = last_error
        .map(|line| format!(" Its last line of error output: {}", line.trim()))
        .unwrap_or_default();
    match (current, ended.halt) {
        ("COMPLETED" | "FAILED" | "CANCELLED", _) => None,
        // An engine may take what ends it for a crash.
        ("CRASHED", halt) if halt != Some(Halt::Cancelled) => None,
        ("CANCELLING", _) | (_, Some(Halt::Cancelled)) => Some((
            "CANCELLED",
            "Cancelled",
            "The run was cancelled and its processes were ended.".into(),
        )),
        (_, Some(Halt::AgentStopped)) => Some(("CRASHED", "Crashed", stopped(role))),
        (_, Some(Halt::TimedOut)) => Some((
            "FAILED",
            "TimedOut",
            "The flow exceeded the timeout of its flow runner and was ended.".into(),
        )),
        // The engine put the run off, or waits for somebody to resume it.
        ("SCHEDULED" | "PAUSED", None) => None,
        (_, None) if ended.status.success() => Some((
            "CRASHED",
            "Crashed",
            format!("The flow's process ended before the flow did.{said}"),
        )),
        (_, None) => Some((
            "CRASHED",
            "Crashed",
            format!(
                "The flow's process {} before the flow ended.{}{said}",
                ended.describe(),
                ended.remark()
            ),
        )),
    }
}

fn stopped(role: Role) -> String {
    format!("The {role} that ran the flow was stopped, and the flow's processes with it.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    fn code(code: i32) -> Ended {
        Ended {
            status: ExitStatus::from_raw(code << 8),
            halt: None,
        }
    }

    fn signal(signal: i32, halt: Option<Halt>) -> Ended {
        Ended {
            status: ExitStatus::from_raw(signal),
            halt,
        }
    }

    #[test]
    fn the_ends_of_an_executable() {
        let told = |ended: Ended| {
            let (kind, name, message) =
                of_executable(&ended, Some("no such table"), 1.5, Role::Worker);
            format!("{kind}/{name}: {message}")
        };
        let all = [
            code(0),
            code(3),
            signal(9, None),
            signal(15, Some(Halt::Cancelled)),
            signal(15, Some(Halt::TimedOut)),
            signal(15, Some(Halt::AgentStopped)),
        ];
        insta::assert_snapshot!(all.map(told).join("\n"), @r"
        COMPLETED/Completed: The flow exited with code 0.
        FAILED/Failed: The flow exited with code 3. Its last line of error output: no such table
        CRASHED/Crashed: The flow was killed by signal 9 (SIGKILL). If nobody did it on purpose, the machine may be out of memory. Its last line of error output: no such table
        CANCELLED/Cancelled: The run was cancelled and its processes were ended.
        FAILED/TimedOut: The flow exceeded its timeout of 1.5 seconds and was ended.
        CRASHED/Crashed: The worker that ran the flow was stopped, and the flow's processes with it.
        ");
    }

    #[rstest::rstest]
    #[case(code(1), "FAILED", None)]
    #[case(code(0), "COMPLETED", None)]
    #[case(code(1), "RUNNING", Some("CRASHED"))]
    #[case(code(0), "PENDING", Some("CRASHED"))]
    #[case(code(0), "SCHEDULED", None)]
    #[case(code(0), "PAUSED", None)]
    #[case(signal(9, None), "RUNNING", Some("CRASHED"))]
    #[case(signal(15, Some(Halt::Cancelled)), "CANCELLED", None)]
    #[case(signal(15, Some(Halt::Cancelled)), "CANCELLING", Some("CANCELLED"))]
    #[case(signal(15, Some(Halt::Cancelled)), "CRASHED", Some("CANCELLED"))]
    #[case(signal(15, Some(Halt::AgentStopped)), "CRASHED", None)]
    #[case(signal(15, Some(Halt::AgentStopped)), "RUNNING", Some("CRASHED"))]
    fn the_ends_of_a_python_engine(
        #[case] ended: Ended,
        #[case] current: &str,
        #[case] expected: Option<&str>,
    ) {
        assert_eq!(
            of_engine(&ended, current, None, Role::Agent).map(|(kind, ..)| kind),
            expected
        );
    }

    #[test]
    fn the_answers_of_a_server() {
        let transition = Uuid::from_u128(7);
        let read = |raw: Value| {
            let result: OrchestrationResult = serde_json::from_value(raw.clone()).unwrap();
            answer(&result, &raw, "PENDING", transition)
        };
        assert_eq!(
            read(json!({"status": "ACCEPT", "state": {"type": "PENDING"}})),
            Answer::Accepted
        );
        assert_eq!(
            read(
                json!({"status": "REJECT", "state": {"type": "PENDING", "state_details": {"transition_id": transition}}})
            ),
            Answer::Accepted
        );
        assert!(matches!(
            read(
                json!({"status": "REJECT", "state": {"type": "PENDING", "state_details": {"transition_id": Uuid::from_u128(8)}}})
            ),
            Answer::Refused(_)
        ));
        assert_eq!(
            read(json!({"status": "WAIT", "state": null, "details": {"delay_seconds": 3}})),
            Answer::Wait(3.0)
        );
        assert_eq!(
            read(json!({"status": "ABORT", "state": null, "details": {"reason": "over"}})),
            Answer::Refused("over".into())
        );
        assert_eq!(
            read(
                json!({"status": "REJECT", "state": {"type": "SCHEDULED", "state_details": {"scheduled_time": "1970-01-01T00:00:00Z"}}})
            ),
            Answer::Rescheduled(DateTime::<Utc>::UNIX_EPOCH)
        );
    }
}

//! Telling the server about states, however long it is away.
//!
//! The end of a run is told until the server has heard it: an answer that got lost must not leave
//! a run RUNNING for ever. Only a refusal, or the reporter's patience, ends the attempts.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tracing::{error, warn};
use uuid::Uuid;

use super::backoff::Backoff;
use super::states::{self, Answer};
use crate::client::{Client, Document, Error, FlowRun, OrchestrationResult};

/// The pauses before each look for a claim that was not answered. A server keeps no write waiting for longer
/// than all of them.
const LOOKS: [Duration; 6] = [
    Duration::from_secs(2),
    Duration::from_secs(3),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(40),
    Duration::from_secs(60),
];

/// How long to go on while the server is away.
#[derive(Debug, Clone, Copy)]
pub enum Patience {
    /// As long as the process lives.
    Endless,
    /// Until this instant.
    Until(Instant),
}

impl Patience {
    /// Returns the patience of some minutes from now.
    pub fn minutes(minutes: u64) -> Self {
        Patience::Until(Instant::now() + Duration::from_secs(60 * minutes))
    }

    fn is_over(self) -> bool {
        match self {
            Patience::Endless => false,
            Patience::Until(end) => Instant::now() >= end,
        }
    }
}

/// Tells a server about states.
#[derive(Debug, Clone)]
pub struct Reporter {
    client: Client,
    patience: Patience,
}

impl Reporter {
    /// Returns a reporter.
    pub fn new(client: Client, patience: Patience) -> Self {
        Reporter { client, patience }
    }

    /// Returns how long it is until an instant of the server's clock; nothing, if that is over.
    pub fn until(&self, instant: DateTime<Utc>) -> Duration {
        self.client.clock().until(instant)
    }

    /// Reads a flow run; `None` if there is none or patience ended.
    pub async fn read(&self, run: Uuid) -> Option<Document<FlowRun>> {
        self.persist("read a flow run", run, || self.client.read_flow_run(run))
            .await
    }

    /// Proposes a state and says what the server made of it; `None` if it never heard.
    pub async fn propose(
        &self,
        run: Uuid,
        kind: &str,
        name: &str,
        message: Option<&str>,
    ) -> Option<Answer> {
        let transition = Uuid::new_v4();
        self.propose_as(
            run,
            states::propose(kind, name, message, transition),
            transition,
        )
        .await
    }

    /// Proposes PENDING for a run of this queue.
    pub async fn claim(&self, run: Uuid, queue: Option<Uuid>, transition: Uuid) -> Option<Answer> {
        let state = states::propose("PENDING", "Pending", None, transition);
        let Some(queue) = queue else {
            return self.propose_as(run, state, transition).await;
        };
        // With the queue named, its limit is kept; servers that do not know this ignore it.
        let path = format!("/flow_runs/{run}/set_state?work_queue_id={queue}");
        self.propose_at(&path, run, state, transition).await
    }

    /// Proposes a given state.
    pub async fn propose_as(&self, run: Uuid, state: Value, transition: Uuid) -> Option<Answer> {
        let path = format!("/flow_runs/{run}/set_state");
        self.propose_at(&path, run, state, transition).await
    }

    /// Writes a state whatever the rules say.
    pub async fn insist(&self, run: Uuid, state: Value) {
        let path = format!("/flow_runs/{run}/set_state");
        let body = json!({"state": state, "force": true});
        let insist = || self.client.post::<Value>(&path, &body);
        self.persist("report the state of a flow run", run, insist)
            .await;
    }

    async fn propose_at(
        &self,
        path: &str,
        run: Uuid,
        state: Value,
        transition: Uuid,
    ) -> Option<Answer> {
        let mut body = json!({"state": state, "force": false});
        let propose = async |body: &Value| {
            match self.client.post::<Value>(path, body).await {
                // A server of the first generation knows neither transition ids nor crashes.
                Err(error) if error.status().is_some_and(|s| s.as_u16() == 422) => {
                    let older = json!({"state": states::for_first_generation(&body["state"]), "force": false});
                    self.client.post(path, &older).await
                }
                outcome => outcome,
            }
        };
        let raw = self
            .persist("report the state of a flow run", run, || propose(&body))
            .await?;
        let kind = body["state"]["type"].take();
        let kind = kind.as_str().unwrap_or_default();
        match serde_json::from_value::<OrchestrationResult>(raw.clone()) {
            Ok(result) => Some(states::answer(&result, &raw, kind, transition)),
            Err(error) => Some(Answer::Refused(format!(
                "the answer cannot be read: {error}"
            ))),
        }
    }

    /// Makes a claimed run scheduled again, for the time it was scheduled for.
    pub async fn hand_back(&self, run: &Document<FlowRun>, message: &str) {
        let time = run.raw["state"]["state_details"]["scheduled_time"].clone();
        let time = if time.is_null() {
            run.raw["expected_start_time"].clone()
        } else {
            time
        };
        let transition = Uuid::new_v4();
        let mut state = states::propose("SCHEDULED", "Scheduled", Some(message), transition);
        state["state_details"]["scheduled_time"] = time;
        self.propose_as(run.id, state, transition).await;
    }

    /// Hands back a claim whose answer nobody has heard, also where the server carries it out only now.
    ///
    /// A busy database may keep a write waiting for long after whoever asked for it is gone.
    pub async fn retract(&self, run: Uuid, transition: Uuid, message: &str) {
        for wait in LOOKS {
            sleep(wait).await;
            let Some(current) = self.read(run).await else {
                return;
            };
            let state = &current.raw["state"];
            match state["type"].as_str().unwrap_or_default() {
                "PENDING" if state["state_details"]["transition_id"] == json!(transition) => {
                    return self.hand_back(&current, message).await;
                }
                // It may still be on its way.
                "SCHEDULED" => {}
                // In any other state of the run it is refused.
                _ => return,
            }
        }
    }

    async fn persist<T, F>(
        &self,
        what: &str,
        run: Uuid,
        mut attempt: impl FnMut() -> F,
    ) -> Option<T>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut backoff = Backoff::new();
        let mut has_warned = false;
        loop {
            let failure = match attempt().await {
                Ok(answer) => return Some(answer),
                Err(failure) => failure,
            };
            if failure.is_refusal() {
                error!(flow_run.id = %run, "failed to {what} `{run}`: {failure}");
                return None;
            }
            if self.patience.is_over() {
                error!(flow_run.id = %run, "gave up to {what} `{run}`: {failure}");
                return None;
            }
            if !has_warned {
                warn!(flow_run.id = %run, "will try until the API is back to {what} `{run}`: {failure}");
            }
            has_warned = true;
            backoff.pause().await;
        }
    }
}

//! When a task run may begin: at once, or as soon as the limits of its tags have room.

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use super::limits::{Granted, Slots};
use super::patience::{Failing, patiently};
use super::recorder::{StateRecord, state_json};
use super::task_runs::{TaskRun, cancelled};
use super::{Engine, on_runtime};
use crate::client::OrchestrationResult;
use crate::sdk::outcome::{State, StateType};

impl TaskRun {
    /// Makes the run RUNNING once its limits have room; the error is the state that it ends in instead.
    pub(super) async fn begin(&mut self) -> Result<Option<Slots>, State> {
        let cancellation = self.flow_run.cancellation.clone();
        // Nothing begins in a run that is ending, also where there is no limit to wait for.
        if cancellation.reason().is_some() {
            return Err(cancelled());
        }
        if self.record.tags.is_empty() {
            self.enter_running();
            return Ok(None);
        }
        let tags = self.record.tags.clone();
        let granted = tokio::select! {
            biased;
            () = cancellation.wait() => return Err(cancelled()),
            granted = self.engine.limits.take(&tags, self.record.id) => granted,
        };
        let slots = match granted {
            Granted::Slots(slots) => slots,
            Granted::Never(reason) => {
                return Err(State::new(StateType::Failed).with_message(reason));
            }
            Granted::Elsewhere => return self.begin_elsewhere(&tags).await.map(|()| None),
        };
        self.enter_running();
        Ok(slots)
    }

    fn enter_running(&mut self) {
        self.record.run_count += 1;
        self.info.take();
        let name = match self.record.run_count {
            1 => "Running",
            _ => "Retrying",
        };
        self.enter(&State::new(StateType::Running).with_name(name), |_| {});
    }

    /// Lets a server that keeps limits by itself decide when the run may run.
    async fn begin_elsewhere(&mut self, tags: &[String]) -> Result<(), State> {
        if !self.is_told_directly {
            if !has_limit(&self.engine, tags).await {
                self.enter_running();
                return Ok(());
            }
            self.engine.recorder.flush().await;
            self.is_told_directly = true;
        }
        self.engine.states.flush().await;
        let failing = Failing::default();
        let cancellation = self.flow_run.cancellation.clone();
        loop {
            let wait = match self.propose_running(&failing).await {
                Ok(None) => return Ok(()),
                Ok(Some(wait)) => wait,
                Err(reason) => return Err(State::new(StateType::Failed).with_message(reason)),
            };
            tokio::select! {
                () = sleep(wait) => {}
                () = cancellation.wait() => return Err(cancelled()),
            }
        }
    }

    /// Proposes RUNNING; a time means that the same is to be proposed again after it.
    async fn propose_running(&mut self, failing: &Failing) -> Result<Option<Duration>, String> {
        let mut next = StateRecord::new(StateType::Running, self.next_time());
        if self.record.run_count > 0 {
            next.name = "Retrying".to_owned();
        }
        let client = self.engine.client.clone();
        let path = format!("/task_runs/{}/set_state", self.record.id);
        let body = json!({"state": state_json(&next), "force": false});
        let answer =
            on_runtime(async move { client.post::<OrchestrationResult>(&path, &body).await }).await;
        match answer {
            Ok(answer) if answer.status == "ACCEPT" => {
                self.record.run_count += 1;
                self.info.take();
                self.record.start_time.get_or_insert(next.timestamp);
                self.set_handle(&State::new(StateType::Running));
                self.record.state = next;
                Ok(None)
            }
            Ok(answer) if answer.status == "WAIT" => {
                // The server asks for half a minute; a slot may be free long before.
                let asked = answer.details["delay_seconds"].as_f64().unwrap_or(1.0);
                Ok(Some(Duration::from_secs_f64(asked.clamp(0.05, 1.0))))
            }
            Ok(answer) => {
                let reason = answer.details["reason"]
                    .as_str()
                    .unwrap_or("no reason given");
                Err(format!("The server does not let the task run: {reason}"))
            }
            Err(error) if failing.is_worth_waiting(&error, &self.engine.client) => {
                Ok(Some(Duration::from_secs(1)))
            }
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Returns whether a server that keeps limits by itself has one for any of the tags.
async fn has_limit(engine: &Engine, tags: &[String]) -> bool {
    for tag in tags {
        let (client, tag) = (engine.client.clone(), tag.clone());
        let limit = on_runtime(async move {
            let read = || client.read_concurrency_limit_by_tag(&tag);
            patiently(&client, "a task run waits to hear of its limits", read).await
        });
        if limit.await.is_ok() {
            return true;
        }
    }
    false
}

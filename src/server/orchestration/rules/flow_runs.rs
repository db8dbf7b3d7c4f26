//! Rules that tie a task run to its flow run.

use super::super::{Effect, Rule, RunId, Transition, Verdict};
use crate::schemas::{State, StateType};

/// Begins no task in a flow run that has paused or ended: its process may not know yet.
pub struct PreventRunningTasksFromStoppedFlows;

impl Rule for PreventRunningTasksFromStoppedFlows {
    fn name(&self) -> &'static str {
        "PreventRunningTasksFromStoppedFlows"
    }
    fn concerns(&self, from: Option<StateType>, to: Option<StateType>) -> bool {
        from.is_some() && to == Some(StateType::Running)
    }
    fn judge(&self, transition: &Transition<'_>) -> Verdict {
        let RunId::Task(_, Some(flow_run)) = transition.run.id else {
            return Verdict::Accept;
        };
        match transition.facts.flow_run {
            None | Some((StateType::Running, _)) => Verdict::Accept,
            Some((StateType::Paused, _)) => {
                let paused = State {
                    name: "NotReady".to_owned(),
                    ..State::new(StateType::Paused, transition.now)
                };
                let reason = format!(
                    "The flow is paused, new tasks can execute after resuming flow run: {flow_run}."
                );
                Verdict::Reject(Box::new(paused), reason)
            }
            Some(_) => Verdict::Abort(
                "The enclosing flow must be running to begin task execution.".to_owned(),
            ),
        }
    }
}

/// Notes in which try of its flow run a task run ran, so that a later try runs it again.
pub struct UpdateFlowRunTrackerOnTasks;

impl Rule for UpdateFlowRunTrackerOnTasks {
    fn name(&self) -> &'static str {
        "UpdateFlowRunTrackerOnTasks"
    }
    fn concerns(&self, _: Option<StateType>, to: Option<StateType>) -> bool {
        to == Some(StateType::Running)
    }
    fn effect(&self, transition: &Transition<'_>) -> Option<Effect> {
        let (_, tries) = transition.facts.flow_run?;
        (tries != transition.facts.flow_run_run_count).then_some(Effect::NoteTryOfFlow)
    }
}

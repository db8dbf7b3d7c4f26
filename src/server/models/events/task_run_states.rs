//! A state of a task run as the event that it is.
//!
//! It says what the newest clients say in their events of task runs, with what it names as it is now.

use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use super::of_states::{Before, Of, cut};
use crate::db::{FromRow, Result, Row};
use crate::schemas::events::{Event, RESOURCE_NAME, ReceivedEvent, Resource};
use crate::schemas::time::{self, Instant};
use crate::schemas::{Dialect, Document, EventId, State, StateDetails, StateId, StateType, Tags};

/// All that the events name, in the order of [`Changed`].
pub(super) const SELECT: &str = "SELECT s.id, s.type, s.name, s.timestamp, s.message, s.state_details, s.data, p.id, p.type, \
    p.name, p.message, p.timestamp, r.id, r.name, r.task_key, r.dynamic_key, r.empirical_policy, r.tags, r.labels, \
    r.task_inputs, r.flow_run_run_count, r.expected_start_time, r.start_time, r.end_time, r.total_run_time, r.state_id, \
    (SELECT COUNT(*) FROM task_run_state c WHERE c.task_run_id = s.task_run_id AND c.type = 'RUNNING' \
    AND (c.timestamp, c.id) <= (s.timestamp, s.id)), \
    u.id, u.name, f.id, f.name, d.id, s.created FROM task_run_state s JOIN task_run r ON r.id = s.task_run_id \
    JOIN flow_run u ON u.id = r.flow_run_id JOIN flow f ON f.id = u.flow_id \
    LEFT JOIN deployment d ON d.id = u.deployment_id LEFT JOIN task_run_state p ON p.id = (SELECT b.id \
    FROM task_run_state b WHERE b.task_run_id = s.task_run_id AND (b.timestamp, b.id) < (s.timestamp, s.id) \
    ORDER BY b.timestamp DESC, b.id DESC LIMIT 1)";

/// Clients take part in events with as many related resources; the tags are also told as tags.
const MAX_RELATED: usize = 100;

/// A state of a task run, and all that its event names.
pub(super) struct Changed {
    state: State,
    before: Option<Before>,
    run: Run,
    flow_run: (Uuid, String),
    flow: (Uuid, String),
    deployment: Option<Uuid>,
    /// When the server took the state.
    received: DateTime<Utc>,
}

struct Run {
    id: Uuid,
    name: String,
    task_key: String,
    dynamic_key: String,
    empirical_policy: Document,
    tags: Tags,
    labels: Document,
    task_inputs: Document,
    flow_run_run_count: i64,
    expected_start_time: Option<DateTime<Utc>>,
    start_time: Option<DateTime<Utc>>,
    end_time: Option<DateTime<Utc>>,
    total_run_time: f64,
    state_id: Option<StateId>,
    /// How often it had entered RUNNING by then.
    run_count: i64,
}

impl FromRow for Run {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        Ok(Self {
            id: row.take()?,
            name: row.take()?,
            task_key: row.take()?,
            dynamic_key: row.take()?,
            empirical_policy: row.take()?,
            tags: row.take()?,
            labels: row.take()?,
            task_inputs: row.take()?,
            flow_run_run_count: row.take()?,
            expected_start_time: row.take()?,
            start_time: row.take()?,
            end_time: row.take()?,
            total_run_time: row.take()?,
            state_id: row.take()?,
            run_count: row.take()?,
        })
    }
}

impl FromRow for Changed {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        Ok(Self {
            state: State::from_row(row)?,
            before: Before::take(row)?,
            run: Run::from_row(row)?,
            flow_run: <(Uuid, String)>::from_row(row)?,
            flow: <(Uuid, String)>::from_row(row)?,
            deployment: row.take()?,
            received: row.take()?,
        })
    }
}

impl Run {
    /// Returns what of an instant was known when the run was in a state.
    fn known_by(instant: Option<DateTime<Utc>>, state: &State) -> Option<String> {
        let instant = instant.filter(|instant| *instant <= state.timestamp);
        instant.map(|instant| time::format(instant, Dialect::Three))
    }

    /// Returns the run as it was when it was in a state.
    fn payload(&self, state: &State) -> serde_json::Value {
        let is_first_attempt =
            self.run_count == 0 || (self.run_count == 1 && state.state_type == StateType::Running);
        let total_run_time = match is_first_attempt && self.state_id != Some(state.id) {
            true => 0.0,
            false => self.total_run_time,
        };
        let mut run = json!({
            "name": self.name, "task_key": self.task_key, "dynamic_key": self.dynamic_key,
            "empirical_policy": self.empirical_policy, "tags": self.tags, "labels": self.labels,
            "task_inputs": self.task_inputs, "run_count": self.run_count,
            "flow_run_run_count": self.flow_run_run_count, "total_run_time": total_run_time,
            "expected_start_time": self.expected_start_time.map(|at| time::format(at, Dialect::Three)),
        });
        for (name, at) in [("start_time", self.start_time), ("end_time", self.end_time)] {
            if let Some(at) = Self::known_by(at, state) {
                run[name] = at.into();
            }
        }
        run
    }

    fn resource(&self, state: &State) -> Resource {
        let message = cut(state.message.as_deref().unwrap_or_default());
        Resource::new(format!("{}{}", Of::TaskRuns.prefix(), self.id))
            .with(RESOURCE_NAME, &self.name)
            .with("prefect.run-count", self.run_count.to_string())
            .with("prefect.state-message", message)
            .with("prefect.state-name", &state.name)
            .with(
                "prefect.state-timestamp",
                time::format(state.timestamp, Dialect::Three),
            )
            .with("prefect.state-type", state.state_type.as_str())
            .with("prefect.orchestration", "client")
    }
}

fn named(kind: &str, (id, name): (Uuid, String)) -> Resource {
    let resource = Resource::new(format!("prefect.{kind}.{id}")).in_role(kind);
    resource.with(RESOURCE_NAME, name)
}

impl Changed {
    /// Returns the event.
    pub(super) fn event(self) -> ReceivedEvent {
        let Self {
            state,
            before,
            run,
            flow_run,
            flow,
            deployment,
            received,
        } = self;
        let resource = run.resource(&state);
        let mut related = vec![named("flow-run", flow_run), named("flow", flow)];
        if let Some(id) = deployment {
            related.push(Resource::new(format!("prefect.deployment.{id}")).in_role("deployment"));
        }
        let tags = run.tags.0.iter();
        related.extend(tags.map(|tag| Resource::new(format!("prefect.tag.{tag}")).in_role("tag")));
        related.truncate(MAX_RELATED);
        // Whose state it is, is said by the event.
        let details = StateDetails {
            flow_run_id: None,
            task_run_id: None,
            ..state.state_details.clone()
        };
        let initial = before.as_ref().map(|before| {
            let message = cut(before.message.as_deref().unwrap_or_default());
            json!({"type": before.state_type, "name": before.name, "message": message, "state_details": {}})
        });
        let payload = json!({
            "intended": {"from": before.as_ref().map(|before| before.state_type), "to": state.state_type},
            "initial_state": initial,
            "validated_state": {
                "type": state.state_type, "name": state.name, "message": state.message.as_deref().map(cut),
                "state_details": details, "data": state.data,
            },
            "task_run": run.payload(&state),
        });
        let event = Event {
            occurred: Instant(state.timestamp),
            event: format!("{}{}", Of::TaskRuns.prefix(), state.name),
            resource,
            related,
            payload: Document::of(&payload).expect("a value is JSON"),
            id: EventId(state.id.0),
            follows: before.and_then(|before| before.leads(&state)),
        };
        event.receive(received)
    }
}

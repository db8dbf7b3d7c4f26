//! A state of a flow run as the event that it is.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::of_states::{Before, Of, cut};
use crate::db::{FromRow, Result, Row};
use crate::schemas::events::{Event, RESOURCE_NAME, ReceivedEvent, Resource};
use crate::schemas::time::{self, Instant};
use crate::schemas::{Dialect, Document, EventId, State, StateType, Tags};

/// All that the events name, in the order of [`Changed`].
pub(super) const SELECT: &str = "SELECT s.id, s.type, s.name, s.timestamp, s.message, s.state_details, s.data, p.id, p.type, \
    p.name, p.message, p.timestamp, r.id, r.name, r.tags, r.run_count, f.id, f.name, f.tags, d.id, d.name, d.tags, \
    t.id, t.name, t.tags, q.id, q.name, w.id, w.name, w.type, s.created \
    FROM flow_run_state s JOIN flow_run r ON r.id = s.flow_run_id JOIN flow f ON f.id = r.flow_id \
    LEFT JOIN deployment d ON d.id = r.deployment_id LEFT JOIN task_run t ON t.id = r.parent_task_run_id \
    LEFT JOIN work_queue q ON q.id = r.work_queue_id LEFT JOIN work_pool w ON w.id = q.work_pool_id \
    LEFT JOIN flow_run_state p ON p.id = (SELECT b.id FROM flow_run_state b WHERE b.flow_run_id = s.flow_run_id \
    AND (b.timestamp, b.id) < (s.timestamp, s.id) ORDER BY b.timestamp DESC, b.id DESC LIMIT 1)";

/// A state of a flow run, and all that its event names.
pub(super) struct Changed {
    state: State,
    before: Option<Before>,
    run: Named,
    run_count: i64,
    flow: Named,
    deployment: Option<Named>,
    task_run: Option<Named>,
    work_queue: Option<Named>,
    work_pool: Option<(Named, String)>,
    /// When the server took the state.
    received: DateTime<Utc>,
}

/// Something with a name and tags.
struct Named {
    id: Uuid,
    name: String,
    tags: Tags,
}

fn take_named(row: &mut Row<'_>) -> Result<Option<Named>> {
    let (id, name, tags): (Option<Uuid>, Option<String>, Option<Tags>) =
        (row.take()?, row.take()?, row.take()?);
    Ok(id.map(|id| Named {
        id,
        name: name.unwrap_or_default(),
        tags: tags.unwrap_or_default(),
    }))
}

fn take_untagged(row: &mut Row<'_>) -> Result<Option<Named>> {
    let (id, name): (Option<Uuid>, Option<String>) = (row.take()?, row.take()?);
    Ok(id.map(|id| Named {
        id,
        name: name.unwrap_or_default(),
        tags: Tags::default(),
    }))
}

fn named(row: &mut Row<'_>) -> Result<Named> {
    Ok(Named {
        id: row.take()?,
        name: row.take()?,
        tags: row.take()?,
    })
}

impl FromRow for Changed {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        let state = State::from_row(row)?;
        let before = Before::take(row)?;
        Ok(Self {
            state,
            before,
            run: named(row)?,
            run_count: row.take()?,
            flow: named(row)?,
            deployment: take_named(row)?,
            task_run: take_named(row)?,
            work_queue: take_untagged(row)?,
            work_pool: match (take_untagged(row)?, row.take::<Option<String>>()?) {
                (Some(pool), Some(pool_type)) => Some((pool, pool_type)),
                _ => None,
            },
            received: row.take()?,
        })
    }
}

impl Changed {
    /// Returns the event.
    pub(super) fn event(self) -> ReceivedEvent {
        let Self {
            state,
            before,
            run,
            run_count,
            flow,
            deployment,
            task_run,
            work_queue,
            work_pool,
            received,
        } = self;
        let resource = Resource::new(format!("{}{}", Of::FlowRuns.prefix(), run.id))
            .with(RESOURCE_NAME, &run.name)
            .with("prefect.run-count", run_count.to_string())
            .with(
                "prefect.state-message",
                cut(state.message.as_deref().unwrap_or_default()),
            )
            .with("prefect.state-name", &state.name)
            .with(
                "prefect.state-timestamp",
                time::format(state.timestamp, Dialect::Two),
            )
            .with("prefect.state-type", state.state_type.as_str());
        let mut tags: BTreeSet<String> = run.tags.0.into_iter().collect();
        let mut related = Vec::new();
        let kinds = [
            ("flow", Some(flow)),
            ("deployment", deployment),
            ("task-run", task_run),
            ("work-queue", work_queue),
        ];
        for (kind, named) in kinds {
            if let Some(Named {
                id,
                name,
                tags: own,
            }) = named
            {
                tags.extend(own.0);
                let resource = Resource::new(format!("prefect.{kind}.{id}"));
                related.push(resource.in_role(kind).with(RESOURCE_NAME, name));
            }
        }
        if let Some((Named { id, name, .. }, pool_type)) = work_pool {
            // Workers listen for what happens to the runs of their own pool.
            let resource = Resource::new(format!("prefect.work-pool.{id}")).in_role("work-pool");
            let resource = resource.with(RESOURCE_NAME, name);
            related.push(resource.with("prefect.work-pool.type", pool_type));
        }
        related.extend(
            tags.into_iter()
                .map(|tag| Resource::new(format!("prefect.tag.{tag}")).in_role("tag")),
        );
        let payload = json!({
            "intended": {"from": before.as_ref().map(|b| b.state_type.as_str()), "to": state.state_type.as_str()},
            "initial_state": before.as_ref().map(|b| payload(b.state_type, &b.name, b.message.as_deref(), None)),
            "validated_state": payload(
                state.state_type, &state.name, state.message.as_deref(), state.state_details.pause_reschedule,
            ),
        });
        let event = Event {
            occurred: Instant(state.timestamp),
            event: format!("{}{}", Of::FlowRuns.prefix(), state.name),
            resource,
            related,
            payload: Document::of(&payload).expect("a value is JSON"),
            id: EventId(state.id.0),
            follows: before.and_then(|before| before.leads(&state)),
        };
        event.receive(received)
    }
}

fn payload(
    state_type: StateType,
    name: &str,
    message: Option<&str>,
    reschedule: Option<bool>,
) -> Json {
    let mut payload = json!({"type": state_type.as_str(), "name": name});
    if let Some(message) = message.filter(|message| !message.is_empty()) {
        payload["message"] = cut(message).into();
    }
    if state_type == StateType::Paused {
        payload["pause_reschedule"] = reschedule.unwrap_or(false).to_string().into();
    }
    payload
}

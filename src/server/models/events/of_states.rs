//! The events of state changes of flow runs, read from the states themselves.
//!
//! A state says all that its event says, and has its id. So such an event is stored only where it
//! has to count exactly once, or where its flow run goes away; everywhere else it costs nothing.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::narrowing::{Narrowed, narrow};
use super::{After, CountBy, Counted, stored};
use crate::db::{Conn, FromRow, Result, Row, Value, query};
use crate::schemas::event_filters::{EventFilter, Order};
use crate::schemas::events::{Event, RESOURCE_NAME, ReceivedEvent, Resource};
use crate::schemas::time::{self, Instant};
use crate::schemas::{Dialect, Document, EventId, State, StateId, StateType, Tags};

/// How the names of these events begin, and the ids of what they are about.
pub const PREFIX: &str = "prefect.flow-run.";

/// Not stored as an event too.
const UNSTORED: &str = "NOT EXISTS (SELECT 1 FROM events e WHERE e.id = s.id)";

/// All that events of states name.
const SELECT: &str = "SELECT s.id, s.type, s.name, s.timestamp, s.message, s.state_details, s.data, p.id, p.type, \
    p.name, p.message, p.timestamp, r.id, r.name, r.tags, r.run_count, f.id, f.name, f.tags, d.id, d.name, d.tags, \
    t.id, t.name, t.tags, q.id, q.name, w.id, w.name, w.type, s.created \
    FROM flow_run_state s JOIN flow_run r ON r.id = s.flow_run_id JOIN flow f ON f.id = r.flow_id \
    LEFT JOIN deployment d ON d.id = r.deployment_id LEFT JOIN task_run t ON t.id = r.parent_task_run_id \
    LEFT JOIN work_queue q ON q.id = r.work_queue_id LEFT JOIN work_pool w ON w.id = q.work_pool_id \
    LEFT JOIN flow_run_state p ON p.id = (SELECT b.id FROM flow_run_state b WHERE b.flow_run_id = s.flow_run_id \
    AND (b.timestamp, b.id) < (s.timestamp, s.id) ORDER BY b.timestamp DESC, b.id DESC LIMIT 1)";

/// States read at a time where the events decide.
const CHUNK: i64 = 500;

/// Changes further apart than this are in order by their times alone.
const TIGHT: TimeDelta = TimeDelta::minutes(5);

/// Longer messages are cut; some people put whole results into them.
const MAX_MESSAGE: usize = 100_000;

/// A state of a flow run, and all that its event names.
struct Changed {
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

/// The state before.
struct Before {
    id: StateId,
    state_type: StateType,
    name: String,
    message: Option<String>,
    timestamp: DateTime<Utc>,
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
        let (id, state_type, name): (Option<StateId>, Option<StateType>, Option<String>) =
            (row.take()?, row.take()?, row.take()?);
        let (message, timestamp): (Option<String>, Option<DateTime<Utc>>) =
            (row.take()?, row.take()?);
        let before = match (id, state_type, name, timestamp) {
            (Some(id), Some(state_type), Some(name), Some(timestamp)) => Some(Before {
                id,
                state_type,
                name,
                message,
                timestamp,
            }),
            _ => None,
        };
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

/// Returns the id of the newest state.
pub async fn newest(conn: &mut Conn) -> Result<Option<Uuid>> {
    query("SELECT s.id FROM flow_run_state s ORDER BY s.id DESC LIMIT 1")
        .fetch_optional(conn)
        .await
}

/// Returns the events of the states behind `after` that are not stored yet, in order.
pub async fn untold(conn: &mut Conn, after: Uuid, limit: i64) -> Result<Vec<ReceivedEvent>> {
    let sql = format!("{SELECT} WHERE s.id > $1 AND {UNSTORED} ORDER BY s.id LIMIT $2");
    let changed = query(sql).bind(after).bind(limit).fetch_all(conn).await?;
    Ok(changed.into_iter().map(event).collect())
}

/// Returns a page of events, in the order that the filter asks for.
pub async fn list(
    conn: &mut Conn,
    filter: &EventFilter,
    mut after: Option<After>,
    limit: i64,
    now: DateTime<Utc>,
) -> Result<Vec<ReceivedEvent>> {
    let Narrowed {
        condition,
        mut values,
        is_exact,
    } = narrow(filter, conn.dialect(), now);
    let (sign, direction) = match filter.order {
        Order::Asc => (">", ""),
        Order::Desc => ("<", " DESC"),
    };
    let chunk = if is_exact { limit } else { limit.max(CHUNK) };
    let (first, behind) = (values.values.clone(), {
        let (timestamp, id) = (values.bind(now), values.bind(Uuid::nil()));
        format!(" AND (s.timestamp, s.id) {sign} ({timestamp}, {id})")
    });
    let mut page = Vec::new();
    while (page.len() as i64) < limit {
        let mut bound = first.clone();
        let behind = match after {
            None => "",
            Some((timestamp, id)) => {
                bound.extend([timestamp.into(), id.into()]);
                &behind
            }
        };
        // Written out, since a number has no effect on the plan, and a placeholder would move.
        let sql = format!(
            "{SELECT} WHERE {condition} AND {UNSTORED}{behind} \
             ORDER BY s.timestamp{direction}, s.id{direction} LIMIT {chunk}"
        );
        let found: Vec<Changed> = query(sql).bind_all(bound).fetch_all(conn).await?;
        let is_last = (found.len() as i64) < chunk;
        after = found
            .last()
            .map(|last| (last.state.timestamp, last.state.id.0));
        let events = found.into_iter().map(event);
        page.extend(events.filter(|event| is_exact || filter.includes(event)));
        if is_last {
            break;
        }
    }
    page.truncate(usize::try_from(limit).unwrap_or(0));
    Ok(page)
}

/// Hands every event that a filter finds to `take`.
async fn for_each(
    conn: &mut Conn,
    filter: &EventFilter,
    now: DateTime<Utc>,
    mut take: impl FnMut(&Event),
) -> Result<()> {
    let mut after = None;
    loop {
        let page = list(conn, filter, after, CHUNK, now).await?;
        page.iter().for_each(|received| take(&received.event));
        match page.last() {
            Some(last) if page.len() as i64 == CHUNK => after = Some(super::place(last)),
            _ => return Ok(()),
        }
    }
}

/// Counts the events that a filter finds.
pub async fn count(conn: &mut Conn, filter: &EventFilter, now: DateTime<Utc>) -> Result<i64> {
    let narrowed = narrow(filter, conn.dialect(), now);
    if !narrowed.is_exact {
        let mut count = 0;
        for_each(conn, filter, now, |_| count += 1).await?;
        return Ok(count);
    }
    let Narrowed {
        condition, values, ..
    } = narrowed;
    let sql = format!("SELECT COUNT(*) FROM flow_run_state s WHERE {condition} AND {UNSTORED}");
    query(sql).bind_all(values.values).fetch_one(conn).await
}

/// Counts events by what they share.
pub async fn count_by(
    conn: &mut Conn,
    filter: &EventFilter,
    by: CountBy,
    now: DateTime<Utc>,
) -> Result<Vec<Counted>> {
    let narrowed = narrow(filter, conn.dialect(), now);
    if !narrowed.is_exact {
        let mut counted: HashMap<String, Counted> = HashMap::new();
        for_each(conn, filter, now, |event| {
            let at = event.occurred.0;
            let (value, label) = match by {
                CountBy::Event => (event.event.as_str(), None),
                CountBy::Resource => (event.resource.id(), event.resource.get(RESOURCE_NAME)),
            };
            let one = Counted {
                value: value.to_owned(),
                label: label.unwrap_or(value).to_owned(),
                count: 1,
                start: at,
                end: at,
            };
            Counted::add(&mut counted, one);
        })
        .await?;
        return Ok(counted.into_values().collect());
    }
    let Narrowed {
        condition, values, ..
    } = narrowed;
    let (value, label, from) = match by {
        CountBy::Event => ("s.name", "s.name", ""),
        CountBy::Resource => ("r.id", "r.name", " JOIN flow_run r ON r.id = s.flow_run_id"),
    };
    let sql = format!(
        "SELECT '{PREFIX}' || {value}, {label}, COUNT(*), MIN(s.timestamp), MAX(s.timestamp) \
         FROM flow_run_state s{from} WHERE {condition} AND {UNSTORED} GROUP BY {value}, {label}"
    );
    let counted = query(sql).bind_all(values.values).fetch_all(conn).await?;
    Ok(counted
        .into_iter()
        .map(|one: Counted| match by {
            CountBy::Event => Counted {
                label: one.value.clone(),
                ..one
            },
            CountBy::Resource => one,
        })
        .collect())
}

/// Counts events by stretches of time since `pivot`: number of the stretch, and events in it.
pub async fn count_by_time(
    conn: &mut Conn,
    filter: &EventFilter,
    pivot: DateTime<Utc>,
    seconds: f64,
    now: DateTime<Utc>,
) -> Result<Vec<(i64, i64)>> {
    let dialect = conn.dialect();
    let narrowed = narrow(filter, dialect, now);
    if !narrowed.is_exact {
        let mut counted: HashMap<i64, i64> = HashMap::new();
        for_each(conn, filter, now, |event| {
            let stretch = (time::seconds(event.occurred.0 - pivot) / seconds).floor() as i64;
            *counted.entry(stretch).or_default() += 1;
        })
        .await?;
        return Ok(counted.into_iter().collect());
    }
    let Narrowed {
        condition,
        mut values,
        ..
    } = narrowed;
    let (pivot, seconds) = (values.bind(pivot.timestamp() as f64), values.bind(seconds));
    let stretch = dialect.stretch("s.timestamp", &pivot, &seconds);
    let sql = format!(
        "SELECT {stretch}, COUNT(*) FROM flow_run_state s WHERE {condition} AND {UNSTORED} GROUP BY 1"
    );
    query(sql).bind_all(values.values).fetch_all(conn).await
}

/// Returns the ids of the flow runs, as resources, whose events a filter finds.
pub async fn resources(
    conn: &mut Conn,
    filter: &EventFilter,
    now: DateTime<Utc>,
) -> Result<Vec<String>> {
    let counted = count_by(conn, filter, CountBy::Resource, now).await?;
    Ok(counted.into_iter().map(|one| one.value).collect())
}

/// Stores the events of flow runs that go away, or lose what their events name.
///
/// Those that happened before `since` would be deleted at once.
pub async fn keep(
    conn: &mut Conn,
    runs: &[Uuid],
    since: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<()> {
    for piece in runs.chunks(100) {
        let sql =
            format!("{SELECT} WHERE s.flow_run_id = ANY($1) AND s.timestamp >= $2 AND {UNSTORED}");
        let runs = Value::Uuids(piece.to_vec());
        let changed = query(sql).bind_all([runs, since.into()]);
        let changed: Vec<Changed> = changed.fetch_all(conn).await?;
        let events: Vec<ReceivedEvent> = changed.into_iter().map(event).collect();
        stored::create(conn, stored::Rows::of(&events, now)).await?;
    }
    Ok(())
}

fn event(changed: Changed) -> ReceivedEvent {
    let Changed {
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
    } = changed;
    let resource = Resource::new(format!("{PREFIX}{}", run.id))
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
    let is_tight = |before: &&Before| (state.timestamp - before.timestamp).abs() < TIGHT;
    let payload = json!({
        "intended": {"from": before.as_ref().map(|b| b.state_type.as_str()), "to": state.state_type.as_str()},
        "initial_state": before.as_ref().map(|b| payload(b.state_type, &b.name, b.message.as_deref(), None)),
        "validated_state": payload(
            state.state_type, &state.name, state.message.as_deref(), state.state_details.pause_reschedule,
        ),
    });
    let event = Event {
        occurred: Instant(state.timestamp),
        event: format!("{PREFIX}{}", state.name),
        resource,
        related,
        payload: Document::of(&payload).expect("a value is JSON"),
        id: EventId(state.id.0),
        follows: before
            .as_ref()
            .filter(is_tight)
            .map(|before| EventId(before.id.0)),
    };
    event.receive(received)
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

fn cut(message: &str) -> String {
    message.chars().take(MAX_MESSAGE).collect()
}

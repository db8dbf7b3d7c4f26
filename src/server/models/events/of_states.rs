//! Events that are read from the states of runs, and not stored.
//!
//! A state says all that its event says, and has its id. So such an event is stored only where it
//! has to count exactly once, or where its run goes away; everywhere else it costs nothing.
//!
//! Of flow runs every state is an event. Of task runs those are that their client has told as states
//! (`/task_runs/record`): the states that came as events have these stored, and those that the server
//! has decided on have none.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::narrowing::{Narrowed, narrow};
use super::{After, CountBy, Counted, flow_run_states, stored, task_run_states};
use crate::db::{Conn, Query, Result, Row, Value, query};
use crate::schemas::event_filters::{EventFilter, Order};
use crate::schemas::events::{Event, RESOURCE_NAME, ReceivedEvent};
use crate::schemas::time;
use crate::schemas::{EventId, State, StateId, StateType};

/// Whose states are events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// The states of flow runs.
    FlowRuns,
    /// The states of task runs that were told as states.
    TaskRuns,
}

impl Of {
    /// All that there are.
    pub const ALL: [Self; 2] = [Self::FlowRuns, Self::TaskRuns];

    /// How the names of these events begin, and the ids of what they are about.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::FlowRuns => "prefect.flow-run.",
            Self::TaskRuns => "prefect.task-run.",
        }
    }

    /// Returns the column that names the run of a state `s`.
    pub const fn run(self) -> &'static str {
        match self {
            Self::FlowRuns => "s.flow_run_id",
            Self::TaskRuns => "s.task_run_id",
        }
    }

    const fn tables(self) -> (&'static str, &'static str) {
        match self {
            Self::FlowRuns => ("flow_run_state", "flow_run"),
            Self::TaskRuns => ("task_run_state", "task_run"),
        }
    }

    /// A state `s` that is an event, and not stored as one too.
    const fn unstored(self) -> &'static str {
        match self {
            Self::FlowRuns => "NOT EXISTS (SELECT 1 FROM events e WHERE e.id = s.id)",
            Self::TaskRuns => {
                "s.is_event AND NOT EXISTS (SELECT 1 FROM events e WHERE e.id = s.id)"
            }
        }
    }

    const fn select(self) -> &'static str {
        match self {
            Self::FlowRuns => flow_run_states::SELECT,
            Self::TaskRuns => task_run_states::SELECT,
        }
    }

    /// Fetches states of [`Self::select`] as events.
    async fn fetch(self, conn: &mut Conn, query: Query) -> Result<Vec<ReceivedEvent>> {
        Ok(match self {
            Self::FlowRuns => {
                let changed: Vec<flow_run_states::Changed> = query.fetch_all(conn).await?;
                changed.into_iter().map(|one| one.event()).collect()
            }
            Self::TaskRuns => {
                let changed: Vec<task_run_states::Changed> = query.fetch_all(conn).await?;
                changed.into_iter().map(|one| one.event()).collect()
            }
        })
    }
}

/// States read at a time where the events decide.
const CHUNK: i64 = 500;

/// Events that are stored at a time, so that a large run needs no more memory than that.
const KEPT: usize = 2000;

/// Changes further apart than this are in order by their times alone.
const TIGHT: TimeDelta = TimeDelta::minutes(5);

/// Longer messages are cut; some people put whole results into them.
const MAX_MESSAGE: usize = 100_000;

/// The state before.
pub(super) struct Before {
    id: StateId,
    pub(super) state_type: StateType,
    pub(super) name: String,
    pub(super) message: Option<String>,
    timestamp: DateTime<Utc>,
}

impl Before {
    /// Reads the columns of the state before, which are null where there is none.
    pub(super) fn take(row: &mut Row<'_>) -> Result<Option<Self>> {
        let (id, state_type, name): (Option<StateId>, Option<StateType>, Option<String>) =
            (row.take()?, row.take()?, row.take()?);
        let (message, timestamp): (Option<String>, Option<DateTime<Utc>>) =
            (row.take()?, row.take()?);
        Ok(match (id, state_type, name, timestamp) {
            (Some(id), Some(state_type), Some(name), Some(timestamp)) => Some(Self {
                id,
                state_type,
                name,
                message,
                timestamp,
            }),
            _ => None,
        })
    }

    /// Returns its event, if the one of the next state is to be looked at after it.
    pub(super) fn leads(self, next: &State) -> Option<EventId> {
        let is_tight = (next.timestamp - self.timestamp).abs() < TIGHT;
        is_tight.then_some(EventId(self.id.0))
    }
}

/// Returns the id of the newest state of a flow run.
pub async fn newest(conn: &mut Conn) -> Result<Option<Uuid>> {
    query("SELECT s.id FROM flow_run_state s ORDER BY s.id DESC LIMIT 1")
        .fetch_optional(conn)
        .await
}

/// Returns the events of the states of flow runs behind `after` that are not stored yet, in order.
pub async fn untold(conn: &mut Conn, after: Uuid, limit: i64) -> Result<Vec<ReceivedEvent>> {
    let of = Of::FlowRuns;
    let (select, unstored) = (of.select(), of.unstored());
    let sql = format!("{select} WHERE s.id > $1 AND {unstored} ORDER BY s.id LIMIT $2");
    of.fetch(conn, query(sql).bind(after).bind(limit)).await
}

/// Returns the events of these states of task runs, in order.
pub async fn of_task_run_states(conn: &mut Conn, states: Vec<Uuid>) -> Result<Vec<ReceivedEvent>> {
    let of = Of::TaskRuns;
    let select = of.select();
    let sql = format!("{select} WHERE s.id = ANY($1) ORDER BY s.timestamp, s.id");
    of.fetch(conn, query(sql).bind(Value::Uuids(states))).await
}

/// Returns a page of events, in the order that the filter asks for.
pub async fn list(
    conn: &mut Conn,
    of: Of,
    filter: &EventFilter,
    mut after: Option<After>,
    limit: i64,
    now: DateTime<Utc>,
) -> Result<Vec<ReceivedEvent>> {
    let Narrowed {
        condition,
        mut values,
        is_exact,
        ..
    } = narrow(of, filter, conn.dialect(), now);
    let (sign, direction) = match filter.order {
        Order::Asc => (">", ""),
        Order::Desc => ("<", " DESC"),
    };
    let chunk = if is_exact { limit } else { limit.max(CHUNK) };
    let unstored = of.unstored();
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
            "{} WHERE {condition} AND {unstored}{behind} \
             ORDER BY s.timestamp{direction}, s.id{direction} LIMIT {chunk}",
            of.select()
        );
        let found = of.fetch(conn, query(sql).bind_all(bound)).await?;
        let is_last = (found.len() as i64) < chunk;
        after = found.last().map(super::place);
        let found = found.into_iter();
        page.extend(found.filter(|event| is_exact || filter.includes(event)));
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
    of: Of,
    filter: &EventFilter,
    now: DateTime<Utc>,
    mut take: impl FnMut(&Event),
) -> Result<()> {
    let mut after = None;
    loop {
        let page = list(conn, of, filter, after, CHUNK, now).await?;
        page.iter().for_each(|received| take(&received.event));
        match page.last() {
            Some(last) if page.len() as i64 == CHUNK => after = Some(super::place(last)),
            _ => return Ok(()),
        }
    }
}

/// Counts the events that a filter finds.
pub async fn count(
    conn: &mut Conn,
    of: Of,
    filter: &EventFilter,
    now: DateTime<Utc>,
) -> Result<i64> {
    let narrowed = narrow(of, filter, conn.dialect(), now);
    if !narrowed.is_exact {
        let mut count = 0;
        for_each(conn, of, filter, now, |_| count += 1).await?;
        return Ok(count);
    }
    let Narrowed {
        condition, values, ..
    } = narrowed;
    let ((states, _), unstored) = (of.tables(), of.unstored());
    let sql = format!("SELECT COUNT(*) FROM {states} s WHERE {condition} AND {unstored}");
    query(sql).bind_all(values.values).fetch_one(conn).await
}

/// Counts events by what they share.
pub async fn count_by(
    conn: &mut Conn,
    of: Of,
    filter: &EventFilter,
    by: CountBy,
    now: DateTime<Utc>,
) -> Result<Vec<Counted>> {
    let narrowed = narrow(of, filter, conn.dialect(), now);
    if !narrowed.is_exact {
        let mut counted: HashMap<String, Counted> = HashMap::new();
        for_each(conn, of, filter, now, |event| {
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
    let ((states, runs), unstored) = (of.tables(), of.unstored());
    let (value, label, from) = match by {
        CountBy::Event => ("s.name", "s.name", String::new()),
        CountBy::Resource => (
            "r.id",
            "r.name",
            format!(" JOIN {runs} r ON r.id = {}", of.run()),
        ),
    };
    let sql = format!(
        "SELECT '{}' || {value}, {label}, COUNT(*), MIN(s.timestamp), MAX(s.timestamp) \
         FROM {states} s{from} WHERE {condition} AND {unstored} GROUP BY {value}, {label}",
        of.prefix()
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
    of: Of,
    filter: &EventFilter,
    pivot: DateTime<Utc>,
    seconds: f64,
    now: DateTime<Utc>,
) -> Result<Vec<(i64, i64)>> {
    let dialect = conn.dialect();
    let narrowed = narrow(of, filter, dialect, now);
    if !narrowed.is_exact {
        let mut counted: HashMap<i64, i64> = HashMap::new();
        for_each(conn, of, filter, now, |event| {
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
    let ((states, _), unstored) = (of.tables(), of.unstored());
    let sql = format!(
        "SELECT {stretch}, COUNT(*) FROM {states} s WHERE {condition} AND {unstored} GROUP BY 1"
    );
    query(sql).bind_all(values.values).fetch_all(conn).await
}

/// Returns the ids of the runs, as resources, whose events a filter finds.
pub async fn resources(
    conn: &mut Conn,
    of: Of,
    filter: &EventFilter,
    now: DateTime<Utc>,
) -> Result<Vec<String>> {
    let counted = count_by(conn, of, filter, CountBy::Resource, now).await?;
    Ok(counted.into_iter().map(|one| one.value).collect())
}

/// Stores the events of flow runs that lose what their events name.
///
/// Those that happened before `since` would be deleted at once.
pub async fn keep(
    conn: &mut Conn,
    flow_runs: &[Uuid],
    since: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<()> {
    for piece in flow_runs.chunks(100) {
        let runs = piece.to_vec();
        keep_of(conn, Of::FlowRuns, "s.flow_run_id", runs, since, now).await?;
    }
    Ok(())
}

/// Stores the events of flow runs that go away, and of the task runs that go with them.
pub async fn keep_all(
    conn: &mut Conn,
    flow_runs: &[Uuid],
    since: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<()> {
    keep(conn, flow_runs, since, now).await?;
    for run in flow_runs {
        keep_of(conn, Of::TaskRuns, "r.flow_run_id", vec![*run], since, now).await?;
    }
    Ok(())
}

/// Stores the events of a task run that goes away.
pub async fn keep_of_task_run(
    conn: &mut Conn,
    run: Uuid,
    since: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<()> {
    keep_of(conn, Of::TaskRuns, "s.task_run_id", vec![run], since, now).await
}

async fn keep_of(
    conn: &mut Conn,
    of: Of,
    column: &str,
    runs: Vec<Uuid>,
    since: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<()> {
    let (select, unstored) = (of.select(), of.unstored());
    // What is stored is not found the next time.
    let sql = format!(
        "{select} WHERE {column} = ANY($1) AND s.timestamp >= $2 AND {unstored} LIMIT {KEPT}"
    );
    loop {
        let found = query(sql.clone()).bind_all([Value::Uuids(runs.clone()), since.into()]);
        let events = of.fetch(conn, found).await?;
        let is_last = events.len() < KEPT;
        stored::create(conn, stored::Rows::of(&events, now)).await?;
        if is_last {
            return Ok(());
        }
    }
}

/// Returns a message as events carry it.
pub(super) fn cut(message: &str) -> String {
    message.chars().take(MAX_MESSAGE).collect()
}

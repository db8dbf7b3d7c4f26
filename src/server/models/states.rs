//! States of flow runs and task runs in the database, and the results that are kept of them.

use chrono::{DateTime, Utc};

use crate::db::{self, Conn, FromRow, Result, Row, query, storable};
use crate::schemas::actions::StateCreate;
use crate::schemas::time::Instant;
use crate::schemas::{FlowRunId, State, StateId, StateType, TaskRunId};
use crate::server::orchestration::Record;

/// The columns of a state `s`, in the order of [`FromRow`].
pub const COLUMNS: &str = "s.id, s.type, s.name, s.timestamp, s.message, s.state_details, s.data";

impl FromRow for State {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        Ok(Self {
            id: row.take()?,
            state_type: row.take()?,
            name: row.take()?,
            timestamp: row.take()?,
            message: row.take()?,
            state_details: row.take()?,
            data: row.take()?,
        })
    }
}

/// The columns of a run `o` that transitions keep, in the order of [`take_record`].
pub const RECORD: &str = "o.run_count, o.total_run_time, o.start_time, o.end_time, o.expected_start_time, \
    o.next_scheduled_start_time";

/// Reads the columns of a run that transitions keep.
pub fn take_record(row: &mut Row<'_>) -> Result<Record> {
    Ok(Record {
        run_count: row.take()?,
        total_run_time: row.take()?,
        start_time: row.take()?,
        end_time: row.take()?,
        expected_start_time: row.take()?,
        next_scheduled_start_time: row.take()?,
        is_resuming: false,
    })
}

/// Locks a run's row, so that no other server changes it until this write ends.
///
/// A statement of its own: one that both locks and joins would, after waiting for the lock, see the
/// new row beside the old state.
pub async fn lock(conn: &mut Conn, table: &'static str, id: uuid::Uuid) -> Result<()> {
    match conn.dialect() {
        // The one writer has nobody to lock out.
        db::Dialect::Sqlite => Ok(()),
        db::Dialect::Postgres => {
            let sql = format!("SELECT id FROM {table} WHERE id = $1 FOR UPDATE");
            query(sql).bind(id).execute(conn).await.map(drop)
        }
    }
}

/// Locks the rows of a table whose `column` is one of these ids, in one order for everybody.
pub async fn lock_all(
    conn: &mut Conn,
    table: &'static str,
    column: &'static str,
    ids: db::Value,
) -> Result<()> {
    match conn.dialect() {
        db::Dialect::Sqlite => Ok(()),
        db::Dialect::Postgres => {
            let sql =
                format!("SELECT id FROM {table} WHERE {column} = ANY($1) ORDER BY id FOR UPDATE");
            query(sql).bind_all([ids]).execute(conn).await.map(drop)
        }
    }
}

/// Reads the columns of a state that may not be there.
pub fn take_optional(row: &mut Row<'_>) -> Result<Option<State>> {
    let id: Option<StateId> = row.take()?;
    let state_type: Option<StateType> = row.take()?;
    let name: Option<String> = row.take()?;
    let timestamp: Option<DateTime<Utc>> = row.take()?;
    let (message, details, data) = (row.take()?, row.take::<Option<_>>()?, row.take()?);
    let (Some(id), Some(state_type), Some(name), Some(timestamp)) =
        (id, state_type, name, timestamp)
    else {
        return Ok(None);
    };
    Ok(Some(State {
        id,
        state_type,
        name,
        timestamp,
        message,
        state_details: details.unwrap_or_default(),
        data,
    }))
}

/// Makes the state that a client proposes; the server gives it id and time.
pub fn proposed(create: StateCreate, now: DateTime<Utc>) -> State {
    let mut details = create.state_details.unwrap_or_default();
    // Only the server settles.
    details.settled_from = None;
    if create.state_type == StateType::Scheduled && details.scheduled_time.is_none() {
        details.scheduled_time = Some(Instant(now));
    }
    State {
        name: create
            .name
            .map(storable)
            .unwrap_or_else(|| create.state_type.default_name()),
        message: create.message.map(storable),
        data: create.data.filter(|data| !data.is_null()),
        state_details: details,
        ..State::new(create.state_type, now)
    }
}

/// Returns the newest state that is kept under a cache key and still counts.
pub(super) async fn read_cached(
    conn: &mut Conn,
    key: &str,
    now: DateTime<Utc>,
) -> Result<Option<State>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM task_run_state_cache c JOIN task_run_state s ON s.id = c.task_run_state_id \
         WHERE c.cache_key = $1 AND (c.cache_expiration IS NULL OR c.cache_expiration > $2) \
         ORDER BY c.created DESC, c.id DESC LIMIT 1"
    );
    query(sql).bind(key).bind(now).fetch_optional(conn).await
}

/// Keeps a state under its cache key.
pub(super) async fn insert_cached(
    conn: &mut Conn,
    state: &State,
    now: DateTime<Utc>,
) -> Result<()> {
    let sql = "INSERT INTO task_run_state_cache (id, created, updated, cache_key, cache_expiration, \
               task_run_state_id) VALUES ($1, $2, $2, $3, $4, $5)";
    let details = &state.state_details;
    let insert = query(sql)
        .bind(uuid::Uuid::now_v7())
        .bind(now)
        .bind(details.cache_key.clone());
    insert
        .bind(details.cache_expiration.map(|at| at.0))
        .bind(state.id)
        .execute(conn)
        .await?;
    Ok(())
}

/// Returns a state of a flow run by its id.
pub async fn read_of_flow_run(conn: &mut Conn, id: StateId) -> Result<Option<State>> {
    query(format!(
        "SELECT {COLUMNS} FROM flow_run_state s WHERE s.id = $1"
    ))
    .bind(id)
    .fetch_optional(conn)
    .await
}

/// Returns a state of a task run by its id.
pub async fn read_of_task_run(conn: &mut Conn, id: StateId) -> Result<Option<State>> {
    query(format!(
        "SELECT {COLUMNS} FROM task_run_state s WHERE s.id = $1"
    ))
    .bind(id)
    .fetch_optional(conn)
    .await
}

/// Returns a flow run's states in order.
pub async fn list_of_flow_run(conn: &mut Conn, id: FlowRunId) -> Result<Vec<State>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM flow_run_state s WHERE s.flow_run_id = $1 ORDER BY s.timestamp, s.id"
    );
    query(sql).bind(id).fetch_all(conn).await
}

/// Returns a task run's states in order.
pub async fn list_of_task_run(conn: &mut Conn, id: TaskRunId) -> Result<Vec<State>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM task_run_state s WHERE s.task_run_id = $1 ORDER BY s.timestamp, s.id"
    );
    query(sql).bind(id).fetch_all(conn).await
}

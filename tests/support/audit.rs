//! The auditor: reads a whole history from the database and says what must not be.
//!
//! It trusts nothing that the server says; what it knows is what clients were answered. An empty
//! list means that no acknowledged write was lost, no run was claimed twice, every chain of states
//! is legal, and no change was applied by half.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use prefect_rs::db::{Conn, Db, FromRow, Result, Row, query};
use uuid::Uuid;

/// What a client was answered: the run has had a state of this type.
#[derive(Debug, Clone)]
pub struct Acknowledged {
    /// The run.
    pub run: Uuid,
    /// The state's type, `SCHEDULED` and so on.
    pub state_type: &'static str,
}

/// The tables of a kind of run.
#[derive(Debug, Clone, Copy)]
struct Tables {
    runs: &'static str,
    states: &'static str,
    owner: &'static str,
}

const FLOW_RUNS: Tables = Tables {
    runs: "flow_run",
    states: "flow_run_state",
    owner: "flow_run_id",
};
const TASK_RUNS: Tables = Tables {
    runs: "task_run",
    states: "task_run_state",
    owner: "task_run_id",
};

struct Run {
    id: Uuid,
    state_id: Option<Uuid>,
    state_type: Option<String>,
    state_name: Option<String>,
    run_count: i64,
    start_time: Option<DateTime<Utc>>,
    end_time: Option<DateTime<Utc>>,
    next_scheduled: Option<DateTime<Utc>>,
}

impl FromRow for Run {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        Ok(Self {
            id: row.take()?,
            state_id: row.take()?,
            state_type: row.take()?,
            state_name: row.take()?,
            run_count: row.take()?,
            start_time: row.take()?,
            end_time: row.take()?,
            next_scheduled: row.take()?,
        })
    }
}

struct State {
    run: Uuid,
    id: Uuid,
    state_type: String,
    name: String,
    timestamp: DateTime<Utc>,
}

impl FromRow for State {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        Ok(Self {
            run: row.take()?,
            id: row.take()?,
            state_type: row.take()?,
            name: row.take()?,
            timestamp: row.take()?,
        })
    }
}

/// Returns everything that is wrong, in words.
pub async fn audit(db: &Db, acknowledged: Vec<Acknowledged>) -> Vec<String> {
    let read = async move |conn: &mut Conn| {
        let mut wrong = Vec::new();
        for tables in [FLOW_RUNS, TASK_RUNS] {
            wrong.extend(audit_runs(conn, tables).await?);
        }
        wrong.extend(audit_slots(conn).await?);
        wrong.extend(audit_acknowledged(conn, &acknowledged).await?);
        Ok(wrong)
    };
    db.read(read).await.expect("the history can be read")
}

async fn audit_runs(conn: &mut Conn, tables: Tables) -> Result<Vec<String>> {
    let Tables {
        runs,
        states,
        owner,
    } = tables;
    let sql = format!(
        "SELECT id, state_id, state_type, state_name, run_count, start_time, end_time, \
         next_scheduled_start_time FROM {runs}"
    );
    let runs: Vec<Run> = query(sql).fetch_all(conn).await?;
    let sql = format!(
        "SELECT {owner}, id, type, name, timestamp FROM {states} ORDER BY {owner}, timestamp, id"
    );
    let mut chains: BTreeMap<Uuid, Vec<State>> = BTreeMap::new();
    for state in query(sql).fetch_all::<State>(conn).await? {
        chains.entry(state.run).or_default().push(state);
    }
    let mut wrong = Vec::new();
    for run in &runs {
        let chain = chains.remove(&run.id).unwrap_or_default();
        let about = |text: &str| format!("{} {}: {text}", tables.runs, run.id);
        wrong.extend(row_faults(run, &chain).iter().map(|text| about(text)));
        wrong.extend(chain_faults(&chain).iter().map(|text| about(text)));
    }
    wrong.extend(
        chains
            .keys()
            .map(|run| format!("{}: states of {run}, which is no run", tables.states)),
    );
    Ok(wrong)
}

/// Compares what a run's row says with what its states say.
fn row_faults(run: &Run, chain: &[State]) -> Vec<String> {
    let Some(last) = chain.last() else {
        return vec!["it has no state at all".to_owned()];
    };
    let mut wrong = Vec::new();
    let mut check = |holds: bool, text: String| {
        if !holds {
            wrong.push(text);
        }
    };
    check(
        run.state_id == Some(last.id)
            && run.state_type.as_deref() == Some(&last.state_type)
            && run.state_name.as_deref() == Some(&last.name),
        format!(
            "its row says {:?} {:?}, its last state {} {}",
            run.state_type, run.state_name, last.state_type, last.name
        ),
    );
    let running: Vec<&State> = chain.iter().filter(|s| s.state_type == "RUNNING").collect();
    check(
        run.run_count == running.len() as i64,
        format!("{} runs counted of {}", run.run_count, running.len()),
    );
    check(
        run.start_time == running.first().map(|state| state.timestamp),
        "its start is not that of its first RUNNING".to_owned(),
    );
    let has_ended = is_terminal(&last.state_type) && !running.is_empty();
    check(
        run.end_time.is_some() == has_ended,
        "its end does not fit its state".to_owned(),
    );
    check(
        run.next_scheduled.is_some() == (last.state_type == "SCHEDULED"),
        "its next start does not fit its state".to_owned(),
    );
    wrong
}

/// Says what is illegal in the order of a run's states.
fn chain_faults(chain: &[State]) -> Vec<String> {
    let illegal = |pair: &[State]| {
        let (from, to) = (&pair[0], &pair[1]);
        let revives = is_terminal(&from.state_type);
        let claims_twice = from.state_type == "PENDING" && to.state_type == "PENDING";
        (revives || claims_twice).then(|| format!("{} after {}", to.state_type, from.state_type))
    };
    chain.windows(2).filter_map(illegal).collect()
}

/// Slots are held by running task runs only, and no limit is exceeded.
async fn audit_slots(conn: &mut Conn) -> Result<Vec<String>> {
    let sql = "SELECT id, name, \"limit\", active_slots FROM concurrency_limit_v2";
    let limits: Vec<(Uuid, String, i64, f64)> = query(sql).fetch_all(conn).await?;
    let mut wrong = Vec::new();
    for (id, name, limit, taken) in limits {
        let sql = "SELECT c.holder_id FROM concurrency_lease c \
                   JOIN concurrency_lease_limit h ON h.lease_id = c.id WHERE h.limit_id = $1";
        let holders: Vec<Uuid> = query(sql).bind(id).fetch_all(conn).await?;
        if holders.len() as i64 > limit || holders.len() as f64 != taken {
            let count = holders.len();
            wrong.push(format!(
                "limit {name}: {count} holders and {taken} of {limit} slots"
            ));
        }
        for holder in holders {
            let state = query("SELECT state_type FROM task_run WHERE id = $1").bind(holder);
            let state: Option<String> = state.fetch_optional(conn).await?;
            if state.as_deref() != Some("RUNNING") {
                wrong.push(format!(
                    "limit {name}: a slot for {holder}, which is {state:?}"
                ));
            }
        }
    }
    Ok(wrong)
}

async fn audit_acknowledged(conn: &mut Conn, answers: &[Acknowledged]) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for answer in answers {
        let sql = "SELECT (SELECT COUNT(*) FROM flow_run_state WHERE flow_run_id = $1 AND type = $2) + \
                   (SELECT COUNT(*) FROM task_run_state WHERE task_run_id = $1 AND type = $2)";
        let found = query(sql).bind(answer.run).bind(answer.state_type);
        if found.fetch_one::<i64>(conn).await? == 0 {
            wrong.push(format!(
                "{} of {} was answered and is lost",
                answer.state_type, answer.run
            ));
        }
    }
    Ok(wrong)
}

fn is_terminal(state_type: &str) -> bool {
    matches!(state_type, "COMPLETED" | "FAILED" | "CANCELLED" | "CRASHED")
}

//! Why a flow run does not run, and what would help.
//!
//! The same answer for the dashboard, the API and the command line: it follows the way that a run
//! takes (its time, its queue, the queue's limit, an agent) and names what is missing there, so
//! that whoever mends the first is not surprised by the second. Queues are few, so they are compared
//! here rather than in SQL.

mod obstacles;
mod sources;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::stale_runs::{self, Heard};
use super::ui::concurrency_limits::{self, LimitRow};
use super::ui::task_runs::TaskRunFull;
use crate::db::{Conn, Result, query};
use crate::schemas::{FlowRunId, StateDetails};
use sources::{LateRuns, Sources};
pub(crate) use sources::{Queue, QueueFilter, Waiting, active, queues, waiting};

/// How long an agent may take to start a process before one asks whether it is still there.
const SLOW_START: TimeDelta = TimeDelta::minutes(1);

/// One thing that keeps a run from running.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Reason {
    /// A word for programs: `no_agent`, `paused`, `limit`, `no_queue`, `later`, ….
    pub code: String,
    /// A sentence for people.
    pub summary: String,
    /// More of it.
    pub detail: Option<String>,
    /// The command that helps.
    pub command: Option<String>,
    /// Where the dashboard shows the cause.
    pub link: Option<String>,
    /// How many runs share the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<i64>,
    /// Since when the oldest of them waits.
    pub since: Option<DateTime<Utc>>,
}

impl Reason {
    fn new(code: &str, summary: impl Into<String>, detail: Option<String>) -> Self {
        let mut summary = summary.into();
        summary.push('.');
        Reason {
            code: code.to_owned(),
            summary,
            detail,
            command: None,
            link: None,
            count: None,
            since: None,
        }
    }
}

/// Why a flow run does not run.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Explanation {
    /// The run.
    pub flow_run_id: Uuid,
    /// The name of its state.
    pub state_name: Option<String>,
    /// Whether it waits at all.
    pub waiting: bool,
    /// What it waits for, the most telling first.
    pub reasons: Vec<Reason>,
}

/// Explains one run.
pub(crate) async fn read(
    conn: &mut Conn,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<Option<Explanation>> {
    let sql = format!("{} WHERE o.id = $1", waiting());
    let Some(run) = query(sql).bind(id).fetch_optional::<Waiting>(conn).await? else {
        return Ok(None);
    };
    let waiting = matches!(
        run.state_type.as_deref(),
        None | Some("SCHEDULED" | "PENDING" | "PAUSED")
    );
    let reasons = if waiting {
        let mut reasons = reasons(&run, &Sources::read(conn).await?, now);
        if run.state_type.as_deref() == Some("PAUSED") {
            reasons
                .iter_mut()
                .for_each(|reason| reason.command = resumption(&run));
            if let Some(until) = paused_until(conn, id).await? {
                let detail = format!("It fails at {} if nobody does.", instant(until));
                reasons
                    .iter_mut()
                    .for_each(|reason| reason.detail = Some(detail.clone()));
            }
        }
        reasons
    } else if run.state_type.as_deref() == Some("RUNNING") {
        let id = FlowRunId(run.id);
        let heartbeats = stale_runs::heartbeats(conn, id).await?;
        let heard = Heard::of(&heartbeats, stale_runs::last_word(conn, id).await?);
        heard
            .and_then(|heard| silence(heard, now))
            .into_iter()
            .collect()
    } else {
        Vec::new()
    };
    Ok(Some(Explanation {
        flow_run_id: run.id,
        state_name: run.state_name,
        waiting,
        reasons,
    }))
}

fn resumption(run: &Waiting) -> Option<String> {
    Some(format!("prefect-rs flow-run resume {}", run.id))
}

/// Returns until when a paused run may be resumed.
async fn paused_until(conn: &mut Conn, id: Uuid) -> Result<Option<DateTime<Utc>>> {
    let sql = "SELECT s.state_details, s.timestamp FROM flow_run o JOIN flow_run_state s ON s.id = o.state_id WHERE o.id = $1";
    let found: Option<(StateDetails, DateTime<Utc>)> =
        query(sql).bind(id).fetch_optional(conn).await?;
    let until = found.and_then(|(details, _)| details.pause_timeout);
    Ok(until.map(|until| until.0))
}

/// Explains one task run: its time, and the limits of its tags.
pub(crate) async fn task_run(
    conn: &mut Conn,
    run: &TaskRunFull,
    now: DateTime<Utc>,
) -> Result<Vec<Reason>> {
    if !matches!(
        run.state_type.as_deref(),
        None | Some("SCHEDULED" | "PENDING")
    ) {
        return Ok(Vec::new());
    }
    if let Some(due) = run.next_scheduled_start_time.filter(|due| *due > now) {
        return Ok(vec![later("It waits before it is tried again", due)]);
    }
    let limits = concurrency_limits::list(conn, &[], now).await?;
    let full = limits
        .iter()
        .filter(|limit| {
            limit
                .tag
                .as_ref()
                .is_some_and(|tag| run.tags.0.contains(tag))
        })
        .filter(|limit| limit.is_full());
    Ok(full.map(full_limit).collect())
}

/// What late runs wait for, one line a cause with how many share it; what most of them wait for comes first.
pub(crate) async fn attention(conn: &mut Conn, now: DateTime<Utc>) -> Result<Vec<Reason>> {
    let late = LateRuns::read(conn, now).await?;
    if late.is_empty() {
        return Ok(Vec::new());
    }
    let sources = Sources::read(conn).await?;
    let mut causes: BTreeMap<String, Reason> = BTreeMap::new();
    for runs in &late {
        // The others may be gone once the first is mended, and a headline has room for one.
        let Some(found) = reasons(&runs.example(), &sources, now).into_iter().next() else {
            continue;
        };
        let cause = causes.entry(found.summary.clone()).or_insert(Reason {
            count: Some(0),
            since: runs.since,
            ..found
        });
        cause.count = cause.count.map(|n| n + runs.count);
        cause.since = cause.since.min(runs.since);
    }
    let mut causes: Vec<Reason> = causes.into_values().collect();
    causes.sort_by_key(|cause| (Reverse(cause.count), cause.since));
    Ok(causes.into_iter().map(headline).collect())
}

/// "3 runs are late: no agent polls …".
fn headline(cause: Reason) -> Reason {
    let count = cause.count.unwrap_or(1);
    let are = if count == 1 { "run is" } else { "runs are" };
    let mut rest = cause.summary.trim_end_matches('.').to_owned();
    if let Some(first) = rest.get(..1) {
        let first = first.to_lowercase();
        rest.replace_range(..1, &first);
    }
    Reason {
        summary: format!("{count} {are} late: {rest}"),
        ..cause
    }
}

/// Follows the way of a run and returns what is missing on it, the first thing first.
fn reasons(run: &Waiting, sources: &Sources, now: DateTime<Utc>) -> Vec<Reason> {
    if let Some(reason) = reason_of_state(run, sources, now) {
        return vec![reason];
    }
    let pool_queues = sources.pool_queues.iter();
    let pool_queues = pool_queues
        .filter(|queue| run.work_queue_id == Some(queue.id))
        .map(|queue| obstacles::of_pool_queue(queue, sources, now));
    let served = sources.served.iter();
    let served = served
        .filter(|deployment| run.deployment_id == Some(deployment.id))
        .map(|deployment| vec![obstacles::of_served(deployment, now)]);
    let queues = sources.queues.iter();
    let queues = queues
        .filter(|queue| queue.filter.takes(run))
        .map(|queue| obstacles::of_queue(queue, &sources.active, now));
    // One source that works is enough, so the reasons are those of the nearest; the queue that the
    // run was put in comes before others as near.
    let all = pool_queues.chain(served).chain(queues);
    // Whoever takes the run asks for a slot anew, so both may be in its way.
    let slot = match run.state_name.as_deref() {
        Some("AwaitingConcurrencySlot") => obstacles::held_slots(run, sources),
        _ => None,
    };
    all.min_by_key(|obstacles| obstacles.iter().map(|obstacle| obstacle.distance).max())
        .map_or_else(
            || vec![obstacles::no_queue(run)],
            |obstacles| {
                let of_source = obstacles.into_iter().map(|obstacle| obstacle.reason);
                slot.into_iter().chain(of_source).collect()
            },
        )
}

/// Returns why a run is given out by no source yet, if that is so.
fn reason_of_state(run: &Waiting, sources: &Sources, now: DateTime<Utc>) -> Option<Reason> {
    if run.state_type.as_deref() == Some("PENDING") {
        return Some(pending(run, now));
    }
    if run.state_type.as_deref() == Some("PAUSED") {
        let text = "It is paused until somebody resumes it";
        return Some(Reason::new("paused", text, None));
    }
    if let Some(due) = run.due.filter(|due| *due > now) {
        return Some(match run.state_name.as_deref() {
            Some("AwaitingConcurrencySlot") => obstacles::of_deployment(run, sources, due),
            Some("AwaitingRetry") => later("It waits before it is tried again", due),
            _ => later("It is scheduled for later", due),
        });
    }
    run.deployment_id.is_none().then(|| {
        let text = "No agent runs what belongs to no deployment";
        let detail = "The program that made it has to run it.".to_owned();
        Reason::new("no_deployment", text, Some(detail))
    })
}

/// Who is to begin a run that is pending, and whether that takes too long.
fn pending(run: &Waiting, now: DateTime<Utc>) -> Reason {
    let since = run.state_timestamp;
    let is_slow = since.is_some_and(|since| now - since > SLOW_START);
    let at = since.map(|since| format!("It is pending since {}.", instant(since)));
    match (run.deployment_id, is_slow) {
        (None, _) => {
            let text = "The program that made it has not begun it";
            Reason::new("starting", text, at.filter(|_| is_slow))
        }
        (Some(_), false) => Reason::new(
            "starting",
            "An agent has taken it and starts its process",
            None,
        ),
        (Some(_), true) => {
            let text =
                "An agent took it and has not begun it; the agent or the process may have died";
            Reason::new("not_begun", text, at)
        }
    }
}

/// Says that nothing is heard of a run that runs, if so.
fn silence(heard: Heard, now: DateTime<Utc>) -> Option<Reason> {
    if !heard.is_silent(now) {
        return None;
    }
    let text = format!(
        "It should be running, but nothing was heard of it since {}",
        instant(heard.last)
    );
    let until = heard.given_up_at();
    let seconds = heard.apart.num_seconds();
    let detail = match until > now {
        true => format!(
            "It says every {seconds} s that it is there, and is taken for crashed at {} unless it is heard of again.",
            instant(until)
        ),
        // The server was away itself, and waits as long again.
        false => format!(
            "It says every {seconds} s that it is there, and is taken for crashed soon unless it is heard of again."
        ),
    };
    Some(Reason::new("silent", text, Some(detail)))
}

fn later(text: &str, due: DateTime<Utc>) -> Reason {
    let detail = format!("Due at {}.", instant(due));
    Reason::new("later", text, Some(detail))
}

fn full_limit(limit: &LimitRow) -> Reason {
    let (tag, most) = (limit.tag.as_ref().unwrap_or(&limit.name), limit.limit);
    let names: Vec<_> = limit
        .holders
        .iter()
        .take(5)
        .filter_map(|h| h.name.as_deref())
        .collect();
    let detail = (!names.is_empty()).then(|| format!("Held by {}.", names.join(", ")));
    let command = needs_no_quotes(tag)
        .then(|| format!("prefect-rs concurrency-limit create {tag} {}", most + 1));
    let text = format!(
        "The limit of tag {tag} is full ({} of {most})",
        limit.active_slots
    );
    Reason {
        command,
        link: Some("/concurrency-limits".to_owned()),
        ..Reason::new("tag_limit", text, detail)
    }
}

fn instant(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// Whether a shell takes a name as it stands, so that a command can have it.
fn needs_no_quotes(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('-')
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

//! Why a flow run does not run, and what would help.
//!
//! The same answer for the dashboard, the API and the command line: it follows the way that a run
//! takes (its time, its queue, the queue's limit, an agent) and names the first thing that is
//! missing. Queues are few, so they are compared here rather than in SQL.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ui::queues::{self as queues_page, LimitRow};
use super::ui::row;
use super::ui::runs::TaskRunFull;
use crate::db::{Conn, Result, query};
use crate::schemas::Tags;

/// An agent that has not asked for this long is taken to be gone: the slowest ask every fifteen
/// seconds, and a poll is noted when the last note is fifteen seconds old.
pub(crate) const POLL_PATIENCE: Duration = Duration::seconds(35);

/// Late runs beyond this many are not looked at one by one.
const MOST_LATE: i64 = 500;

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

/// Which runs a queue hands out.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
#[schema(as = QueueTakes)]
pub(crate) struct QueueFilter {
    pub(crate) tags: Option<Vec<String>>,
    pub(crate) deployment_ids: Option<Vec<Uuid>>,
    pub(crate) flow_runner_types: Option<Vec<String>>,
}

impl QueueFilter {
    /// Whether a run is one of the queue's.
    pub(crate) fn takes(&self, run: &Waiting) -> bool {
        let Some(deployment) = run.deployment_id else {
            return false;
        };
        let filled = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
        let runners = filled(&self.flow_runner_types);
        let ids = self.deployment_ids.clone().unwrap_or_default();
        filled(&self.tags)
            .iter()
            .all(|tag| run.tags.0.contains(tag))
            && (ids.is_empty() || ids.contains(&deployment))
            && (runners.is_empty()
                || run
                    .flow_runner_type
                    .as_ref()
                    .is_some_and(|kind| runners.contains(kind)))
    }
}

row! {
    /// What decides whether a queue takes a run.
    Waiting {
        id: Uuid, name: String, state_type: Option<String>, state_name: Option<String>,
        due: Option<DateTime<Utc>>, deployment_id: Option<Uuid>, tags: Tags, flow_runner_type: Option<String>,
    }
}

pub(crate) const WAITING: &str = "SELECT id, name, state_type, state_name, \
     COALESCE(next_scheduled_start_time, expected_start_time), deployment_id, tags, flow_runner_type FROM flow_run";

row! {
    QueueText {
        id: Uuid, name: String, description: String, is_paused: bool, concurrency_limit: Option<i64>,
        filter: String, last_polled: Option<DateTime<Utc>>,
    }
}

/// A work queue with its filter read.
#[derive(Debug, Clone)]
pub(crate) struct Queue {
    pub(crate) row: QueueText,
    pub(crate) filter: QueueFilter,
}

/// Reads every queue.
pub(crate) async fn queues(conn: &mut Conn) -> Result<Vec<Queue>> {
    let sql = "SELECT id, name, description, is_paused, concurrency_limit, filter, last_polled \
               FROM work_queue WHERE filter IS NOT NULL ORDER BY name";
    let rows: Vec<QueueText> = query(sql).fetch_all(conn).await?;
    let read = |row: QueueText| Queue {
        filter: serde_json::from_str(&row.filter).unwrap_or_default(),
        row,
    };
    Ok(rows.into_iter().map(read).collect())
}

/// Reads the runs of deployments that occupy a place in a limit.
pub(crate) async fn active(conn: &mut Conn) -> Result<Vec<Waiting>> {
    let sql = format!(
        "{WAITING} WHERE state_type IN ('PENDING', 'RUNNING') AND deployment_id IS NOT NULL LIMIT 10000"
    );
    query(sql).fetch_all(conn).await
}

/// Explains one run.
pub(crate) async fn read(
    conn: &mut Conn,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<Option<Explanation>> {
    let sql = format!("{WAITING} WHERE id = $1");
    let Some(run) = query(sql).bind(id).fetch_optional::<Waiting>(conn).await? else {
        return Ok(None);
    };
    let waiting = matches!(
        run.state_type.as_deref(),
        None | Some("SCHEDULED" | "PENDING" | "PAUSED")
    );
    let reasons = if waiting {
        let queues = queues(conn).await?;
        let active = active(conn).await?;
        vec![reason(&run, &queues, &active, now)]
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
        let detail = format!("Due at {}.", due.format("%Y-%m-%d %H:%M:%S UTC"));
        return Ok(vec![plain(
            "later",
            "It waits before it is tried again",
            Some(detail),
        )]);
    }
    let limits = queues_page::limits(conn).await?;
    let full = limits
        .iter()
        .filter(|limit| run.tags.0.contains(&limit.tag))
        .filter(|limit| limit.holders.len() as i64 >= limit.concurrency_limit);
    Ok(full.map(full_limit).collect())
}

fn full_limit(limit: &LimitRow) -> Reason {
    let (tag, most) = (&limit.tag, limit.concurrency_limit);
    let names: Vec<_> = limit
        .holders
        .iter()
        .take(5)
        .map(|h| h.name.as_str())
        .collect();
    let detail = (!names.is_empty()).then(|| format!("Held by {}.", names.join(", ")));
    let command =
        is_plain(tag).then(|| format!("prefect-rs concurrency-limit create {tag} {}", most + 1));
    let text = format!(
        "The limit of tag {tag} is full ({} of {most})",
        limit.holders.len()
    );
    Reason {
        command,
        link: Some("/concurrency-limits".to_owned()),
        ..plain("tag_limit", text, detail)
    }
}

/// What late runs wait for, one line a cause with how many share it.
pub(crate) async fn attention(conn: &mut Conn, now: DateTime<Utc>) -> Result<Vec<Reason>> {
    let sql = format!(
        "{WAITING} WHERE state_type = 'SCHEDULED' AND state_name = 'Late' \
         ORDER BY expected_start_time LIMIT {MOST_LATE}"
    );
    let late: Vec<Waiting> = query(sql).fetch_all(conn).await?;
    if late.is_empty() {
        return Ok(Vec::new());
    }
    let queues = queues(conn).await?;
    let active = active(conn).await?;
    let mut causes: BTreeMap<String, Reason> = BTreeMap::new();
    for run in &late {
        let found = reason(run, &queues, &active, now);
        let cause = causes.entry(found.summary.clone()).or_insert(Reason {
            count: Some(0),
            since: run.due,
            ..found
        });
        cause.count = cause.count.map(|n| n + 1);
        cause.since = cause.since.min(run.due);
    }
    Ok(causes.into_values().map(headline).collect())
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

fn reason(run: &Waiting, queues: &[Queue], active: &[Waiting], now: DateTime<Utc>) -> Reason {
    if run.state_type.as_deref() == Some("PENDING") {
        let text = "An agent has taken it and starts its process";
        return plain("starting", text, None);
    }
    if run.state_type.as_deref() == Some("PAUSED") {
        return plain("paused", "It is paused until somebody resumes it", None);
    }
    if let Some(due) = run.due.filter(|due| *due > now) {
        let text = match run.state_name.as_deref() {
            Some("AwaitingRetry") => "It waits before it is tried again",
            _ => "It is scheduled for later",
        };
        let detail = format!("Due at {}.", due.format("%Y-%m-%d %H:%M:%S UTC"));
        return plain("later", text, Some(detail));
    }
    if run.deployment_id.is_none() {
        let text = "It belongs to no deployment, so no agent runs it";
        let detail = "The program that made it has to run it.".to_owned();
        return plain("no_deployment", text, Some(detail));
    }
    let mine: Vec<&Queue> = queues.iter().filter(|q| q.filter.takes(run)).collect();
    if mine.is_empty() {
        return no_queue(run);
    }
    // Any one queue that works is enough, so the reason is that of the queue nearest to working.
    let obstacles = mine.iter().map(|queue| obstacle(queue, active, now));
    obstacles
        .max_by_key(|(distance, _)| std::cmp::Reverse(*distance))
        .map(|(_, reason)| reason)
        .expect("there is at least one queue")
}

fn no_queue(run: &Waiting) -> Reason {
    let mut tags = run.tags.0.clone();
    tags.retain(|tag| tag != "auto-scheduled");
    let detail = match tags.as_slice() {
        [] => "It has no tags; a queue without a tag filter would take it.".to_owned(),
        tags => format!("Its tags: {}.", tags.join(", ")),
    };
    let flag = tags.first().filter(|tag| is_plain(tag));
    let command = match flag {
        Some(tag) => format!(
            "prefect-rs work-queue create -t {tag} {}",
            tag.to_lowercase()
        ),
        None => "prefect-rs work-queue create default".to_owned(),
    };
    Reason {
        command: Some(command),
        ..plain("no_queue", "No work queue matches it", Some(detail))
    }
}

/// What stands between a queue and its runs, and how much it takes to remove it.
fn obstacle(queue: &Queue, active: &[Waiting], now: DateTime<Utc>) -> (u8, Reason) {
    let name = &queue.row.name;
    let shell = if is_plain(name) {
        name.clone()
    } else {
        queue.row.id.to_string()
    };
    let link = Some(format!("/work-queue/{}", queue.row.id));
    let with = |code: &str, text: String, detail: Option<String>, command: Option<String>| Reason {
        link: link.clone(),
        command,
        ..plain(code, text, detail)
    };
    if queue.row.is_paused {
        let command = format!("prefect-rs work-queue resume {shell}");
        let text = format!("Work queue {name} is paused");
        return (3, with("queue_paused", text, None, Some(command)));
    }
    let holders: Vec<_> = active.iter().filter(|r| queue.filter.takes(r)).collect();
    if let Some(limit) = queue.row.concurrency_limit
        && holders.len() as i64 >= limit
    {
        let text = format!(
            "The limit of work queue {name} is full ({} of {limit})",
            holders.len()
        );
        let names: Vec<_> = holders.iter().take(5).map(|r| r.name.as_str()).collect();
        let detail = (!names.is_empty()).then(|| format!("Held by {}.", names.join(", ")));
        let command = format!(
            "prefect-rs work-queue set-concurrency-limit {shell} {}",
            limit + 1
        );
        return (1, with("limit", text, detail, Some(command)));
    }
    let is_polled = queue
        .row
        .last_polled
        .is_some_and(|at| now - at < POLL_PATIENCE);
    if !is_polled {
        let text = format!("No agent polls work queue {name}");
        let command = format!("prefect-rs agent start {shell}");
        let detail = queue.row.last_polled.map(|at| {
            format!(
                "The last one asked at {}.",
                at.format("%Y-%m-%d %H:%M:%S UTC")
            )
        });
        return (2, with("no_agent", text, detail, Some(command)));
    }
    let text = format!("An agent polls work queue {name} and should take it at its next poll");
    (0, with("soon", text, None, None))
}

fn plain(code: &str, summary: impl Into<String>, detail: Option<String>) -> Reason {
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

/// Whether a name needs no quotes in a shell.
fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('-')
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
    }

    fn run(tags: &[&str]) -> Waiting {
        Waiting {
            id: Uuid::from_u128(1),
            name: "quiet-heron".into(),
            state_type: Some("SCHEDULED".into()),
            state_name: Some("Late".into()),
            due: Some(at(-30)),
            deployment_id: Some(Uuid::from_u128(2)),
            tags: Tags(tags.iter().map(|t| (*t).to_owned()).collect()),
            flow_runner_type: None,
        }
    }

    fn queue(name: &str, tags: &[&str]) -> Queue {
        Queue {
            row: QueueText {
                id: Uuid::from_u128(3),
                name: name.into(),
                description: String::new(),
                is_paused: false,
                concurrency_limit: None,
                filter: String::new(),
                last_polled: None,
            },
            filter: QueueFilter {
                tags: Some(tags.iter().map(|t| (*t).to_owned()).collect()),
                ..QueueFilter::default()
            },
        }
    }

    fn say(run: &Waiting, queues: &[Queue], active: &[Waiting]) -> String {
        let found = reason(run, queues, active, at(0));
        format!("{} | {}", found.summary, found.command.unwrap_or_default())
    }

    #[test]
    fn each_obstacle_on_the_way_is_named_in_turn() {
        let mut out = vec![say(&run(&["ETL"]), &[], &[])];
        let mut etl = queue("etl-queue", &["ETL"]);
        etl.row.is_paused = true;
        out.push(say(&run(&["ETL"]), &[etl.clone()], &[]));
        etl.row.is_paused = false;
        out.push(say(&run(&["ETL"]), &[etl.clone()], &[]));
        etl.row.concurrency_limit = Some(1);
        out.push(say(&run(&["ETL"]), &[etl.clone()], &[run(&["ETL"])]));
        etl.row.last_polled = Some(at(-3));
        out.push(say(&run(&["ETL"]), &[etl.clone()], &[]));
        let later = Waiting {
            due: Some(at(60)),
            ..run(&["ETL"])
        };
        out.push(say(&later, &[etl], &[]));
        insta::assert_snapshot!(out.join("\n"), @r"
        No work queue matches it. | prefect-rs work-queue create -t ETL etl
        Work queue etl-queue is paused. | prefect-rs work-queue resume etl-queue
        No agent polls work queue etl-queue. | prefect-rs agent start etl-queue
        The limit of work queue etl-queue is full (1 of 1). | prefect-rs work-queue set-concurrency-limit etl-queue 2
        An agent polls work queue etl-queue and should take it at its next poll. | 
        It is scheduled for later. | 
        ");
    }

    #[test]
    fn a_queue_that_works_outweighs_one_that_is_paused() {
        let mut paused = queue("a", &[]);
        paused.row.is_paused = true;
        let mut polled = queue("b", &["ETL"]);
        polled.row.last_polled = Some(at(-1));
        assert_eq!(
            reason(&run(&["ETL"]), &[paused, polled], &[], at(0)).code,
            "soon"
        );
    }

    #[test]
    fn a_hostile_queue_name_never_becomes_a_command() {
        let found = reason(&run(&[]), &[queue("x; rm -rf /", &[])], &[], at(0));
        assert_eq!(
            found.command.unwrap(),
            "prefect-rs agent start 00000000-0000-0000-0000-000000000003"
        );
    }
}

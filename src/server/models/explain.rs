//! Why a flow run does not run, and what would help.
//!
//! The same answer for the dashboard, the API and the command line: it follows the way that a run
//! takes (its time, its queue, the queue's limit, an agent) and names the first thing that is
//! missing. Queues are few, so they are compared here rather than in SQL.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ui::limits::{self as limits_page, LimitRow};
use super::ui::row;
use super::ui::runs::TaskRunFull;
use crate::db::{Conn, Result, query};
use crate::schemas::Tags;
use crate::schemas::patience::Patience;
use crate::schemas::work_pools::{AGENT_TYPE, PROCESS_TYPE};

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
        work_queue_id: Option<Uuid>,
    }
}

pub(crate) const WAITING: &str = "SELECT id, name, state_type, state_name, \
     COALESCE(next_scheduled_start_time, expected_start_time), deployment_id, tags, flow_runner_type, work_queue_id FROM flow_run";

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

row! {
    /// A queue of a work pool, with what its pool says.
    Place {
        id: Uuid, name: String, is_paused: bool, concurrency_limit: Option<i64>, last_polled: Option<DateTime<Utc>>,
        pool_id: Uuid, pool: String, pool_type: String, pool_is_paused: bool, pool_limit: Option<i64>, served_until: Option<DateTime<Utc>>,
    }
}

row! {
    /// A deployment that is served by a program of its own, without any queue.
    Served { id: Uuid, name: String, last_polled: Option<DateTime<Utc>> }
}

/// Everything that may hand a run to somebody who runs it.
#[derive(Debug, Default)]
pub(crate) struct Ways {
    queues: Vec<Queue>,
    places: Vec<Place>,
    served: Vec<Served>,
    active: Vec<Waiting>,
}

/// Reads every way that a run can take.
async fn ways(conn: &mut Conn) -> Result<Ways> {
    let sql = "SELECT q.id, q.name, q.is_paused, q.concurrency_limit, q.last_polled, \
                 p.id, p.name, p.type, p.is_paused, p.concurrency_limit, p.served_until \
               FROM work_queue q JOIN work_pool p ON p.id = q.work_pool_id";
    let places = query(sql).fetch_all(conn).await?;
    let sql = "SELECT id, name, last_polled FROM deployment \
               WHERE work_queue_id IS NULL AND last_polled IS NOT NULL ORDER BY last_polled DESC LIMIT 10000";
    let served = query(sql).fetch_all(conn).await?;
    Ok(Ways {
        queues: queues(conn).await?,
        places,
        served,
        active: active(conn).await?,
    })
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
        vec![reason(&run, &ways(conn).await?, now)]
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
    let limits = limits_page::list(conn, &[], now).await?;
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

fn full_limit(limit: &LimitRow) -> Reason {
    let (tag, most) = (limit.tag.as_ref().unwrap_or(&limit.name), limit.limit);
    let names: Vec<_> = limit
        .holders
        .iter()
        .take(5)
        .filter_map(|h| h.name.as_deref())
        .collect();
    let detail = (!names.is_empty()).then(|| format!("Held by {}.", names.join(", ")));
    let command =
        is_plain(tag).then(|| format!("prefect-rs concurrency-limit create {tag} {}", most + 1));
    let text = format!(
        "The limit of tag {tag} is full ({} of {most})",
        limit.active_slots
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
    let ways = ways(conn).await?;
    let mut causes: BTreeMap<String, Reason> = BTreeMap::new();
    for run in &late {
        let found = reason(run, &ways, now);
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

fn reason(run: &Waiting, ways: &Ways, now: DateTime<Utc>) -> Reason {
    if run.state_type.as_deref() == Some("PENDING") {
        let text = "An agent has taken it and starts its process";
        return plain("starting", text, None);
    }
    if run.state_type.as_deref() == Some("PAUSED") {
        return plain("paused", "It is paused until somebody resumes it", None);
    }
    let due = run.due.filter(|due| *due > now);
    if let (Some(due), Some("AwaitingConcurrencySlot")) = (due, run.state_name.as_deref()) {
        return full_deployment(run, ways, due);
    }
    if let Some(due) = due {
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
    let mine = ways.queues.iter().filter(|q| q.filter.takes(run));
    let queues = mine.map(|queue| obstacle(queue, &ways.active, now));
    let place = ways
        .places
        .iter()
        .filter(|p| run.work_queue_id == Some(p.id));
    let places = place.map(|place| obstacle_in_pool(place, ways, now));
    let served = ways
        .served
        .iter()
        .filter(|d| run.deployment_id == Some(d.id));
    let served = served.map(|deployment| unserved(deployment, now));
    // Any one way that works is enough, so the reason is that of the way nearest to working; the
    // queue that the run was put in comes before others as near.
    let all = places.chain(served).chain(queues);
    all.min_by_key(|(distance, _)| *distance)
        .map_or_else(|| no_queue(run), |(_, reason)| reason)
}

/// What a run waits for that found no slot of its deployment's limit.
fn full_deployment(run: &Waiting, ways: &Ways, due: DateTime<Utc>) -> Reason {
    let of_same = |other: &&Waiting| other.deployment_id == run.deployment_id;
    let holders: Vec<_> = ways.active.iter().filter(of_same).collect();
    let again = format!("It looks again at {}.", due.format("%Y-%m-%d %H:%M:%S UTC"));
    let detail = match held_by(&holders) {
        Some(held) => format!("{held} {again}"),
        // Others may share the limit, and a slot may have come free since.
        None => again,
    };
    let link = run.deployment_id.map(|id| format!("/deployment/{id}"));
    let text = "The concurrency limit of its deployment was full";
    Reason {
        link,
        ..plain("limit", text, Some(detail))
    }
}

/// What stands between a queue of a work pool and its runs, and how much it takes to remove it.
fn obstacle_in_pool(place: &Place, ways: &Ways, now: DateTime<Utc>) -> (u8, Reason) {
    let (pool, queue) = (&place.pool, &place.name);
    let is_of_pool = |id: Option<Uuid>| {
        let found = ways.places.iter().find(|other| Some(other.id) == id);
        found.is_some_and(|other| other.pool_id == place.pool_id)
    };
    let link = Some(format!("/work-pool/{}", percent_encoded(pool)));
    let with = |code: &str, text: String, detail: Option<String>, command: Option<String>| Reason {
        link: link.clone(),
        command,
        ..plain(code, text, detail)
    };
    let shell = is_plain(pool).then_some(pool);
    if place.pool_is_paused {
        let command = shell.map(|name| format!("prefect-rs work-pool resume {name}"));
        let text = format!("Work pool {pool} is paused");
        return (3, with("pool_paused", text, None, command));
    }
    if place.is_paused {
        let command = shell.filter(|_| is_plain(queue));
        let command =
            command.map(|pool| format!("prefect-rs work-queue resume {queue} --pool {pool}"));
        let text = format!("Queue {queue} of work pool {pool} is paused");
        return (3, with("queue_paused", text, None, command));
    }
    let full = |text: String, limit: Option<i64>, holders: Vec<&Waiting>| {
        let limit = limit.filter(|limit| holders.len() as i64 >= *limit)?;
        let text = format!("{text} is full ({} of {limit})", holders.len());
        Some((1, with("limit", text, held_by(&holders), None)))
    };
    let holders = ways.active.iter();
    let in_pool = holders.clone().filter(|r| is_of_pool(r.work_queue_id));
    let text = format!("The limit of work pool {pool}");
    if let Some(found) = full(text, place.pool_limit, in_pool.collect()) {
        return found;
    }
    let in_queue = holders.filter(|r| r.work_queue_id == Some(place.id));
    let text = format!("The limit of queue {queue} in work pool {pool}");
    if let Some(found) = full(text, place.concurrency_limit, in_queue.collect()) {
        return found;
    }
    let is_polled = place
        .last_polled
        .is_some_and(|at| Patience::chosen().is_queue_served(at, now));
    let (who, start) = match place.pool_type.as_str() {
        AGENT_TYPE => ("agent", "prefect agent start --pool"),
        PROCESS_TYPE => ("worker", "prefect-rs worker start --pool"),
        // Ours run processes; whatever else there is has genuine workers.
        _ => ("worker", "prefect worker start --pool"),
    };
    if !is_polled && place.served_until.is_none_or(|until| until < now) {
        let gone = |at: DateTime<Utc>| {
            let until = at.format("%Y-%m-%d %H:%M:%S UTC");
            format!("The last one was there until {until}.")
        };
        let detail = place
            .served_until
            .map(gone)
            .or(place.last_polled.map(last_asked));
        let command = shell.map(|name| format!("{start} {name}"));
        let text = format!("No {who} polls work pool {pool}");
        return (2, with("no_worker", text, detail, command));
    }
    let text = format!("Work pool {pool} is polled, and it should be taken at the next poll");
    (0, with("soon", text, None, None))
}

/// Whether the program that serves a deployment is there.
fn unserved(deployment: &Served, now: DateTime<Utc>) -> (u8, Reason) {
    let name = &deployment.name;
    let link = Some(format!("/deployment/{}", deployment.id));
    let with = |code: &str, text: String, detail: Option<String>| Reason {
        link: link.clone(),
        ..plain(code, text, detail)
    };
    match deployment.last_polled {
        Some(at) if Patience::chosen().is_deployment_served(at, now) => {
            let text = format!("A program serves {name} and should take it at its next poll");
            (0, with("soon", text, None))
        }
        last => {
            let text = format!("The program that served {name} is gone; start it again");
            (2, with("not_served", text, last.map(last_asked)))
        }
    }
}

fn held_by(holders: &[&Waiting]) -> Option<String> {
    let names: Vec<_> = holders.iter().take(5).map(|r| r.name.as_str()).collect();
    (!names.is_empty()).then(|| format!("Held by {}.", names.join(", ")))
}

fn last_asked(at: DateTime<Utc>) -> String {
    format!(
        "The last one asked at {}.",
        at.format("%Y-%m-%d %H:%M:%S UTC")
    )
}

/// A name as a part of a path.
fn percent_encoded(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
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
        let detail = held_by(&holders);
        let command = format!(
            "prefect-rs work-queue set-concurrency-limit {shell} {}",
            limit + 1
        );
        return (1, with("limit", text, detail, Some(command)));
    }
    let is_polled = queue
        .row
        .last_polled
        .is_some_and(|at| Patience::chosen().is_queue_served(at, now));
    if !is_polled {
        let text = format!("No agent polls work queue {name}");
        let command = format!("prefect-rs agent start {shell}");
        let detail = queue.row.last_polled.map(last_asked);
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
            work_queue_id: None,
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
        let ways = Ways {
            queues: queues.to_vec(),
            active: active.to_vec(),
            ..Ways::default()
        };
        say_of(run, &ways)
    }

    fn say_of(run: &Waiting, ways: &Ways) -> String {
        let found = reason(run, ways, at(0));
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
            say(&run(&["ETL"]), &[paused, polled], &[]),
            "An agent polls work queue b and should take it at its next poll. | "
        );
    }

    #[test]
    fn each_obstacle_in_a_work_pool_is_named_in_turn() {
        let mut place = Place {
            id: Uuid::from_u128(7),
            name: "fast".into(),
            is_paused: true,
            concurrency_limit: Some(1),
            last_polled: None,
            pool_id: Uuid::from_u128(8),
            pool: "k8s".into(),
            pool_type: "kubernetes".into(),
            pool_is_paused: true,
            pool_limit: Some(1),
            served_until: Some(at(-60)),
        };
        let mine = Waiting {
            work_queue_id: Some(place.id),
            ..run(&[])
        };
        let holder = Waiting {
            name: "busy-otter".into(),
            ..mine.clone()
        };
        let ways = |place: &Place, active: &[Waiting]| Ways {
            places: vec![place.clone()],
            active: active.to_vec(),
            ..Ways::default()
        };
        let full = [holder];
        let mut out = vec![say_of(&mine, &ways(&place, &full))];
        place.pool_is_paused = false;
        out.push(say_of(&mine, &ways(&place, &full)));
        place.is_paused = false;
        out.push(say_of(&mine, &ways(&place, &full)));
        place.pool_limit = None;
        out.push(say_of(&mine, &ways(&place, &full)));
        out.push(say_of(&mine, &ways(&place, &[])));
        place.served_until = Some(at(60));
        out.push(say_of(&mine, &ways(&place, &[])));
        // A queue that takes by tags may be nearer than the run's own.
        let mut polled = queue("b", &[]);
        polled.row.last_polled = Some(at(-1));
        place.is_paused = true;
        let both = Ways {
            queues: vec![polled],
            ..ways(&place, &[])
        };
        out.push(say_of(&mine, &both));
        insta::assert_snapshot!(out.join("\n"), @r"
        Work pool k8s is paused. | prefect-rs work-pool resume k8s
        Queue fast of work pool k8s is paused. | prefect-rs work-queue resume fast --pool k8s
        The limit of work pool k8s is full (1 of 1). | 
        The limit of queue fast in work pool k8s is full (1 of 1). | 
        No worker polls work pool k8s. | prefect worker start --pool k8s
        Work pool k8s is polled, and it should be taken at the next poll. | 
        An agent polls work queue b and should take it at its next poll. | 
        ");
    }

    #[test]
    fn a_deployment_without_a_queue_waits_for_the_program_that_serves_it() {
        let served = |seconds| Ways {
            served: vec![Served {
                id: Uuid::from_u128(2),
                name: "hello".into(),
                last_polled: Some(at(seconds)),
            }],
            ..Ways::default()
        };
        let out = [
            say_of(&run(&[]), &served(-5)),
            say_of(&run(&[]), &served(-90)),
        ];
        insta::assert_snapshot!(out.join("\n"), @r"
        A program serves hello and should take it at its next poll. | 
        The program that served hello is gone; start it again. | 
        ");
    }

    #[test]
    fn a_hostile_queue_name_never_becomes_a_command() {
        assert_eq!(
            say(&run(&[]), &[queue("x; rm -rf /", &[])], &[]),
            "No agent polls work queue x; rm -rf /. | prefect-rs agent start 00000000-0000-0000-0000-000000000003"
        );
    }
}

//! What stands between a source of runs and a run, and how much it takes to remove it.

use chrono::{DateTime, Utc};

use super::sources::{PoolQueue, Queue, Served, Sources, Waiting};
use super::{Reason, instant, needs_no_quotes};
use crate::http::percent_encoded;
use crate::schemas::patience::Patience;
use crate::schemas::work_pools::{AGENT_TYPE, PROCESS_TYPE};

/// How far a source is from handing out a run, the nearest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Distance {
    /// It is polled, and there is room.
    Soon,
    /// Its limit is full.
    Full,
    /// Nobody polls it.
    Unattended,
    /// Somebody has paused it.
    Paused,
}

/// What keeps one source from handing out a run.
#[derive(Debug)]
pub(super) struct Obstacle {
    pub(super) distance: Distance,
    pub(super) reason: Reason,
}

impl Obstacle {
    fn new(distance: Distance, code: &str, summary: String, detail: Option<String>) -> Self {
        let reason = Reason::new(code, summary, detail);
        Obstacle { distance, reason }
    }

    fn soon(summary: String) -> Self {
        Obstacle::new(Distance::Soon, "soon", summary, None)
    }

    /// Says that a limit is full, if these runs fill it.
    fn full(what: String, limit: Option<i64>, holders: &[&Waiting]) -> Option<Self> {
        let limit = limit.filter(|limit| holders.len() as i64 >= *limit)?;
        let summary = format!("{what} is full ({} of {limit})", holders.len());
        let held = held_by(holders);
        Some(Obstacle::new(Distance::Full, "limit", summary, held))
    }

    fn with_command(mut self, command: Option<String>) -> Self {
        self.reason.command = command;
        self
    }

    fn with_link(mut self, link: String) -> Self {
        self.reason.link = Some(link);
        self
    }
}

/// Returns the obstacles of a queue that takes runs by its filter, or that there is none.
pub(super) fn of_queue(queue: &Queue, active: &[Waiting], now: DateTime<Utc>) -> Vec<Obstacle> {
    let row = &queue.row;
    let name = &row.name;
    let argument = if needs_no_quotes(name) {
        name.clone()
    } else {
        row.id.to_string()
    };
    let paused = row.is_paused.then(|| {
        let text = format!("Work queue {name} is paused");
        let paused = Obstacle::new(Distance::Paused, "queue_paused", text, None);
        paused.with_command(Some(format!("prefect-rs work-queue resume {argument}")))
    });
    let full = || {
        let holders: Vec<_> = active.iter().filter(|r| queue.filter.takes(r)).collect();
        let what = format!("The limit of work queue {name}");
        let full = Obstacle::full(what, row.concurrency_limit, &holders)?;
        let more = one_more(holders.len());
        let command = format!("prefect-rs work-queue set-concurrency-limit {argument} {more}");
        Some(full.with_command(Some(command)))
    };
    let unattended = || {
        if is_polled(row.last_polled, now) {
            return None;
        }
        let text = format!("No agent polls work queue {name}");
        let last = row.last_polled.map(last_asked);
        let unattended = Obstacle::new(Distance::Unattended, "no_agent", text, last);
        Some(unattended.with_command(Some(format!("prefect-rs agent start {argument}"))))
    };
    let soon = || {
        Obstacle::soon(format!(
            "An agent polls work queue {name} and should take it at its next poll"
        ))
    };
    let link = format!("/work-queue/{}", row.id);
    all_or([paused, full(), unattended()], soon, &link)
}

/// Returns the obstacles of a queue in a work pool and of the pool around it, or that there is none.
pub(super) fn of_pool_queue(
    queue: &PoolQueue,
    sources: &Sources,
    now: DateTime<Utc>,
) -> Vec<Obstacle> {
    let (pool, name) = (&queue.pool, &queue.name);
    // A command has names that a shell takes as they stand, or is left out.
    let of_pool = |command: String| needs_no_quotes(pool).then_some(command);
    let of_queue = |command: String| needs_no_quotes(name).then(|| of_pool(command)).flatten();
    let pool_paused = queue.pool_is_paused.then(|| {
        let text = format!("Work pool {pool} is paused");
        Obstacle::new(Distance::Paused, "pool_paused", text, None)
            .with_command(of_pool(format!("prefect-rs work-pool resume {pool}")))
    });
    let queue_paused = queue.is_paused.then(|| {
        let text = format!("Queue {name} of work pool {pool} is paused");
        let resume = format!("prefect-rs work-queue resume {name} --pool {pool}");
        Obstacle::new(Distance::Paused, "queue_paused", text, None).with_command(of_queue(resume))
    });
    let pool_full = || {
        let holders: Vec<_> = sources.active_in_pool(queue.pool_id).collect();
        let what = format!("The limit of work pool {pool}");
        let full = Obstacle::full(what, queue.pool_limit, &holders)?;
        let more = one_more(holders.len());
        let raise = format!("prefect-rs work-pool set-concurrency-limit {pool} {more}");
        Some(full.with_command(of_pool(raise)))
    };
    let queue_full = || {
        let holders: Vec<_> = sources.active_in_queue(queue.id).collect();
        let what = format!("The limit of queue {name} in work pool {pool}");
        let full = Obstacle::full(what, queue.concurrency_limit, &holders)?;
        let more = one_more(holders.len());
        let raise =
            format!("prefect-rs work-queue set-concurrency-limit {name} {more} --pool {pool}");
        Some(full.with_command(of_queue(raise)))
    };
    let soon = || {
        Obstacle::soon(format!(
            "Work pool {pool} is polled, and it should be taken at the next poll"
        ))
    };
    let unattended = unattended_pool(queue, now);
    let found = [
        pool_paused,
        queue_paused,
        pool_full(),
        queue_full(),
        unattended,
    ];
    all_or(
        found,
        soon,
        &format!("/work-pool/{}", percent_encoded(pool)),
    )
}

/// Returns what was found, or else the one thing that there is to say, each with the link to its source.
fn all_or<const N: usize>(
    found: [Option<Obstacle>; N],
    otherwise: impl FnOnce() -> Obstacle,
    link: &str,
) -> Vec<Obstacle> {
    let mut found: Vec<Obstacle> = found.into_iter().flatten().collect();
    if found.is_empty() {
        found.push(otherwise());
    }
    let linked = found
        .into_iter()
        .map(|obstacle| obstacle.with_link(link.to_owned()));
    linked.collect()
}

fn unattended_pool(queue: &PoolQueue, now: DateTime<Utc>) -> Option<Obstacle> {
    let is_served = queue.served_until.is_some_and(|until| until >= now);
    if is_served || is_polled(queue.last_polled, now) {
        return None;
    }
    let pool = &queue.pool;
    let (who, start) = match queue.pool_type.as_str() {
        AGENT_TYPE => ("agent", "prefect agent start --pool"),
        PROCESS_TYPE => ("worker", "prefect-rs worker start --pool"),
        // Ours run processes; whatever else there is has genuine workers.
        _ => ("worker", "prefect worker start --pool"),
    };
    let gone = |at| format!("The last one was there until {}.", instant(at));
    let last = queue.served_until.map(gone);
    let last = last.or(queue.last_polled.map(last_asked));
    let text = format!("No {who} polls work pool {pool}");
    let unattended = Obstacle::new(Distance::Unattended, "no_worker", text, last);
    Some(unattended.with_command(needs_no_quotes(pool).then(|| format!("{start} {pool}"))))
}

/// Returns what keeps the program that serves a deployment from taking a run.
pub(super) fn of_served(deployment: &Served, now: DateTime<Utc>) -> Obstacle {
    let name = &deployment.name;
    let last = deployment.last_polled;
    let obstacle = if last.is_some_and(|at| Patience::chosen().is_deployment_served(at, now)) {
        let text = format!("A program serves {name} and should take it at its next poll");
        Obstacle::soon(text)
    } else {
        let text = format!("The program that served {name} is gone; start it again");
        let last = last.map(last_asked);
        Obstacle::new(Distance::Unattended, "not_served", text, last)
    };
    obstacle.with_link(format!("/deployment/{}", deployment.id))
}

/// Returns what a run waits for that found no slot of its deployment's limit; it looks again at `due`.
pub(super) fn of_deployment(run: &Waiting, sources: &Sources, due: DateTime<Utc>) -> Reason {
    let again = format!("It looks again at {}.", instant(due));
    let detail = match holders_of_deployment(run, sources) {
        Some(held) => format!("{held} {again}"),
        // Others may share the limit, and a slot may have come free since.
        None => again,
    };
    full_deployment(run, detail)
}

/// Returns who may still hold the slots that a run has found taken before; none if nobody does.
pub(super) fn held_slots(run: &Waiting, sources: &Sources) -> Option<Reason> {
    let held = holders_of_deployment(run, sources)?;
    Some(full_deployment(run, held))
}

fn full_deployment(run: &Waiting, detail: String) -> Reason {
    let text = "The concurrency limit of its deployment was full";
    Reason {
        link: run.deployment_id.map(|id| format!("/deployment/{id}")),
        ..Reason::new("limit", text, Some(detail))
    }
}

fn holders_of_deployment(run: &Waiting, sources: &Sources) -> Option<String> {
    let of_same = |other: &&Waiting| other.deployment_id == run.deployment_id;
    let holders: Vec<_> = sources.active.iter().filter(of_same).collect();
    held_by(&holders)
}

/// Returns the reason of a run that no source hands out.
pub(super) fn no_queue(run: &Waiting) -> Reason {
    let mut tags = run.tags.0.clone();
    tags.retain(|tag| tag != "auto-scheduled");
    let detail = match tags.as_slice() {
        [] => "It has no tags; a queue without a tag filter would take it.".to_owned(),
        tags => format!("Its tags: {}.", tags.join(", ")),
    };
    let command = match tags.first().filter(|tag| needs_no_quotes(tag)) {
        Some(tag) => format!(
            "prefect-rs work-queue create -t {tag} {}",
            tag.to_lowercase()
        ),
        None => "prefect-rs work-queue create default".to_owned(),
    };
    Reason {
        command: Some(command),
        ..Reason::new("no_queue", "No work queue matches it", Some(detail))
    }
}

/// The limit that lets another run through; as many may hold slots as had them before the limit was lowered.
fn one_more(holders: usize) -> i64 {
    holders as i64 + 1
}

fn is_polled(last: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
    last.is_some_and(|at| Patience::chosen().is_queue_served(at, now))
}

fn held_by(holders: &[&Waiting]) -> Option<String> {
    let names: Vec<_> = holders.iter().take(5).map(|r| r.name.as_str()).collect();
    (!names.is_empty()).then(|| format!("Held by {}.", names.join(", ")))
}

fn last_asked(at: DateTime<Utc>) -> String {
    format!("The last one asked at {}.", instant(at))
}

//! Makes the coming runs of active schedules.
//!
//! Reasons to wake: a deployment was created or changed in this process (only it is looked at
//! then), or the loop's seconds have passed (all are).
//!
//! The horizon is short, as in generation 3: at least three runs and at least an hour ahead, at
//! most a hundred runs or a hundred days. Since a pass comes much more often than an hour, a run
//! always exists well before it is due. A run that exists is found by its key and not written
//! again, so that a pass with nothing to add does not write at all.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use tracing::{info, warn};
use uuid::Uuid;

use super::Service;
use crate::db;
use crate::schemas::schedules::Schedule;
use crate::schemas::{DeploymentId, FlowRunId, StateType, time};
use crate::server::AppState;
use crate::server::changes::{Change, Kind};
use crate::server::models::scheduled_runs::{self, Scheduled};
use crate::settings::Settings;

/// The scheduler; see the module.
#[derive(Debug, Default)]
pub struct Scheduler {
    /// The deployments to look at in the next pass; none means all.
    changed: Option<BTreeSet<DeploymentId>>,
}

impl Service for Scheduler {
    fn name(&self) -> &'static str {
        "scheduler"
    }

    fn longest_sleep(&self, app: &AppState) -> Duration {
        app.settings.scheduler_loop_seconds
    }

    fn concerns(change: &Change) -> bool {
        change.kind == Kind::Deployment
    }

    fn note(&mut self, changed: Uuid) {
        let noted = self.changed.get_or_insert_default();
        noted.insert(DeploymentId(changed));
    }

    fn missed_changes(&mut self) {
        self.changed = None;
    }

    async fn pass(&mut self, app: &AppState) -> db::Result<Option<DateTime<Utc>>> {
        match self.changed.take() {
            Some(ids) if !ids.is_empty() => {
                let ids: Vec<DeploymentId> = ids.into_iter().collect();
                let read = async move |conn: &mut db::Conn| {
                    scheduled_runs::list_active_of(conn, &ids).await
                };
                let deployments = app.db.read(read).await?;
                schedule(app, deployments).await?;
            }
            Some(_) | None => schedule_all(app).await?,
        }
        Ok(None)
    }
}

/// Which dates of a schedule become runs: those from `start` on until there are `least` and one is
/// not before `near`, but at most `most` and none after `end`.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// From when on.
    pub start: DateTime<Utc>,
    /// Until when at least.
    pub near: DateTime<Utc>,
    /// Until when at most.
    pub end: DateTime<Utc>,
    /// How many at least.
    pub least: usize,
    /// How many at most.
    pub most: usize,
}

/// Makes the runs of one deployment's schedule in a span of time, which may lie in the past.
pub async fn schedule_deployment(app: &AppState, id: DeploymentId, span: Span) -> db::Result<()> {
    let read = async move |conn: &mut db::Conn| scheduled_runs::list_active_of(conn, &[id]).await;
    let deployments = app.db.read(read).await?;
    let plan = |deployment: Scheduled| {
        let schedule = understood(&deployment)?;
        let mut dates = within(&schedule, &span);
        dates.truncate(most(&deployment));
        Some((deployment, dates))
    };
    add_missing(app, deployments.into_iter().filter_map(plan).collect()).await
}

async fn schedule_all(app: &AppState) -> db::Result<()> {
    let limit = app.settings.scheduler_deployment_batch_size.max(1);
    let mut after = None;
    loop {
        let read =
            async move |conn: &mut db::Conn| scheduled_runs::list_active(conn, after, limit).await;
        let deployments = app.db.read(read).await?;
        let Some(last) = deployments.last() else {
            return Ok(());
        };
        after = Some(last.schedule_id);
        schedule(app, deployments).await?;
    }
}

/// A deployment and the dates that it shall have runs of.
type Plan = (Scheduled, Vec<DateTime<Tz>>);

async fn schedule(app: &AppState, deployments: Vec<Scheduled>) -> db::Result<()> {
    let now = app.now();
    let plan = |deployment: Scheduled| {
        let schedule = understood(&deployment)?;
        let mut dates = horizon(&schedule, now, &app.settings);
        dates.truncate(most(&deployment));
        Some((deployment, dates))
    };
    add_missing(app, deployments.into_iter().filter_map(plan).collect()).await
}

/// Writes those planned runs that do not exist.
async fn add_missing(app: &AppState, plans: Vec<Plan>) -> db::Result<()> {
    let now = app.now();
    let read = async move |conn: &mut db::Conn| {
        let mut missing: Vec<Plan> = Vec::new();
        for (deployment, dates) in plans {
            let dates = scheduled_runs::missing(conn, &deployment, dates).await?;
            if !dates.is_empty() {
                missing.push((deployment, dates));
            }
        }
        Ok(missing)
    };
    let missing = app.db.read(read).await?;
    for batch in batches(missing, app.settings.scheduler_insert_batch_size) {
        insert(app, batch, now).await?;
    }
    Ok(())
}

/// Returns how many runs a schedule may have ahead.
fn most(scheduled: &Scheduled) -> usize {
    let most = scheduled
        .most
        .map(|most| usize::try_from(most).unwrap_or(0));
    most.unwrap_or(usize::MAX)
}

/// Returns a deployment's schedule, none (and a warning) if it is not understood.
fn understood(deployment: &Scheduled) -> Option<Schedule> {
    serde_json::from_str(&deployment.schedule)
        .inspect_err(|reason| {
            warn!(
                deployment.id = %deployment.id,
                "deployment `{}` is not scheduled: {reason}", deployment.id
            );
        })
        .ok()
}

/// Returns the dates of which a scheduler makes runs now.
pub(super) fn horizon(
    schedule: &Schedule,
    now: DateTime<Utc>,
    settings: &Settings,
) -> Vec<DateTime<Tz>> {
    let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let span = Span {
        start: now,
        near: now + time::span(settings.scheduler_min_scheduled_time),
        end: now + time::span(settings.scheduler_max_scheduled_time),
        least: count(settings.scheduler_min_runs),
        most: count(settings.scheduler_max_runs),
    };
    within(schedule, &span)
}

/// Returns dates until both minima are met, within both maxima.
fn within(schedule: &Schedule, span: &Span) -> Vec<DateTime<Tz>> {
    let Span {
        start,
        near,
        end,
        least,
        most,
    } = *span;
    let enough = |dates: &[DateTime<Tz>]| dates.last().is_some_and(|last| *last >= near);
    // Most schedules are satisfied by the least number, and the others cost little twice.
    let few = schedule.dates(start, least.min(most), Some(end));
    if few.len() >= least && enough(&few) || few.len() < least {
        return few;
    }
    let mut dates = schedule.dates(start, most, Some(end));
    let needed = dates
        .iter()
        .position(|date| *date >= near)
        .map_or(dates.len(), |at| at + 1);
    dates.truncate(needed.max(least));
    dates
}

/// Groups plans so that each group has at most `most` dates, or one plan.
fn batches(plans: Vec<Plan>, most: u32) -> Vec<Vec<Plan>> {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let mut batches: Vec<Vec<Plan>> = Vec::new();
    let mut size = 0;
    for plan in plans {
        size += plan.1.len();
        match batches.last_mut() {
            Some(batch) if size <= most => batch.push(plan),
            _ => {
                size = plan.1.len();
                batches.push(vec![plan]);
            }
        }
    }
    batches
}

async fn insert(app: &AppState, plans: Vec<Plan>, now: DateTime<Utc>) -> db::Result<()> {
    let write = async move |conn: &mut db::Conn| {
        let mut created: Vec<(DeploymentId, FlowRunId)> = Vec::new();
        for (deployment, dates) in &plans {
            let runs = scheduled_runs::create(conn, deployment, dates, now).await?;
            created.extend(runs.into_iter().map(|run| (deployment.id, run)));
        }
        Ok(created)
    };
    let created = app.db.write(write).await?;
    for (deployment_id, run) in &created {
        app.changes.tell(Change {
            state_type: Some(StateType::Scheduled),
            state_name: Some("Scheduled".to_owned()),
            deployment_id: Some(*deployment_id),
            ..Change::of(Kind::FlowRun, run.0)
        });
    }
    if !created.is_empty() {
        info!("Scheduled {} runs.", created.len());
    }
    Ok(())
}

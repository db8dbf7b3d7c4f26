//! The schedules of deployments in the database.

use std::collections::HashSet;

use chrono::{DateTime, Utc};

use crate::db::{Conn, FromRow, Result, Row, Value, query};
use crate::schemas::deployment_actions::{ScheduleCreate, ScheduleUpdate};
use crate::schemas::deployments::{Deployment, DeploymentSchedule};
use crate::schemas::{DeploymentId, Document, ScheduleId};

const SELECT: &str = "SELECT id, created, updated, deployment_id, schedule, active, \
    max_scheduled_runs, parameters, slug FROM deployment_schedule";

impl FromRow for DeploymentSchedule {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        Ok(Self {
            id: row.take()?,
            created: row.take()?,
            updated: row.take()?,
            deployment_id: row.take()?,
            schedule: row.take()?,
            active: row.take()?,
            max_scheduled_runs: row.take()?,
            parameters: row.take()?,
            slug: row.take()?,
        })
    }
}

/// Gives deployments their schedules.
pub async fn attach(conn: &mut Conn, mut deployments: Vec<Deployment>) -> Result<Vec<Deployment>> {
    if deployments.is_empty() {
        return Ok(deployments);
    }
    let sql = format!(
        "{SELECT} WHERE deployment_id = ANY($1) ORDER BY updated DESC, created DESC, id DESC"
    );
    let ids = deployments
        .iter()
        .map(|deployment| deployment.id.0)
        .collect();
    let found: Vec<DeploymentSchedule> = query(sql)
        .bind_all([Value::Uuids(ids)])
        .fetch_all(conn)
        .await?;
    for schedule in found {
        let of = |deployment: &&mut Deployment| deployment.id == schedule.deployment_id;
        if let Some(deployment) = deployments.iter_mut().find(of) {
            deployment.schedules.push(schedule);
        }
    }
    Ok(deployments)
}

/// Returns a deployment's schedules, the one changed last first.
pub async fn list(conn: &mut Conn, deployment: DeploymentId) -> Result<Vec<DeploymentSchedule>> {
    let sql =
        format!("{SELECT} WHERE deployment_id = $1 ORDER BY updated DESC, created DESC, id DESC");
    query(sql).bind(deployment).fetch_all(conn).await
}

/// Adds schedules to a deployment; fails if a slug is taken.
pub async fn create(
    conn: &mut Conn,
    deployment: DeploymentId,
    schedules: Vec<ScheduleCreate>,
    now: DateTime<Utc>,
) -> Result<Vec<DeploymentSchedule>> {
    let mut created = Vec::with_capacity(schedules.len());
    for schedule in schedules {
        let schedule = schedule.of(deployment, now);
        insert(conn, &schedule).await?;
        created.push(schedule);
    }
    Ok(created)
}

async fn insert(conn: &mut Conn, schedule: &DeploymentSchedule) -> Result<()> {
    let sql = "INSERT INTO deployment_schedule (id, created, updated, deployment_id, schedule, \
               active, max_scheduled_runs, parameters, slug) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    query(sql)
        .bind(schedule.id)
        .bind(schedule.created)
        .bind(schedule.updated)
        .bind(schedule.deployment_id)
        .bind(schedule.schedule.clone())
        .bind(schedule.active)
        .bind(schedule.max_scheduled_runs)
        .bind(schedule.parameters.clone())
        .bind(schedule.slug.clone())
        .execute(conn)
        .await
        .map(drop)
}

/// Gives a deployment these schedules and no others.
///
/// Where each has a slug, before and after, those of a slug that stays are changed and keep their
/// id, so that the runs they have made are found again.
pub async fn replace(
    conn: &mut Conn,
    deployment: DeploymentId,
    schedules: Vec<ScheduleCreate>,
    now: DateTime<Utc>,
) -> Result<()> {
    let known = list(conn, deployment).await?;
    let sql = "DELETE FROM deployment_schedule WHERE deployment_id = $1";
    query(sql).bind(deployment).execute(conn).await?;
    for schedule in schedules {
        let slug = schedule.replaces.clone().or_else(|| schedule.slug.clone());
        let before = known
            .iter()
            .find(|known| slug.is_some() && known.slug == slug);
        let mut schedule = schedule.of(deployment, now);
        if let Some(before) = before {
            schedule.id = before.id;
            schedule.created = before.created;
        }
        insert(conn, &schedule).await?;
    }
    Ok(())
}

/// Why schedules cannot be changed one by one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unclear {
    /// One has no slug, though all that are there have.
    NoSlug,
    /// Two shall replace the one of this slug.
    ReplacedTwice(String),
    /// Two new ones have this slug.
    AddedTwice(String),
    /// One shall get a slug that another keeps.
    Taken {
        /// The slug that it has.
        from: String,
        /// The slug that it shall get.
        to: String,
    },
}

/// What becomes of a deployment's schedules.
#[derive(Debug, Clone)]
pub enum Plan {
    /// All are replaced, since slugs do not tell which is which.
    Replaced(Vec<ScheduleCreate>),
    /// Those with an id are changed, the others are added, and what is not named stays.
    Merged(Vec<(Option<ScheduleId>, ScheduleCreate)>),
}

/// Works out by slugs which schedules of a deployment are meant; nothing is written.
pub async fn plan(
    conn: &mut Conn,
    deployment: DeploymentId,
    schedules: Vec<ScheduleCreate>,
) -> Result<std::result::Result<Plan, Unclear>> {
    let known = list(conn, deployment).await?;
    if known.is_empty() || known.iter().any(|known| known.slug.is_none()) {
        return Ok(Ok(Plan::Replaced(schedules)));
    }
    let find = |slug: &str| {
        known
            .iter()
            .find(|known| known.slug.as_deref() == Some(slug))
    };
    let mut replaced = HashSet::new();
    for slug in schedules.iter().filter_map(|one| one.replaces.as_ref()) {
        if !replaced.insert(slug.clone()) {
            return Ok(Err(Unclear::ReplacedTwice(slug.clone())));
        }
    }
    let mut added = HashSet::new();
    let mut merged = Vec::with_capacity(schedules.len());
    for schedule in schedules {
        let Some(slug) = &schedule.slug else {
            return Ok(Err(Unclear::NoSlug));
        };
        if let Some(from) = &schedule.replaces
            && find(slug).is_some()
            && !replaced.contains(slug)
        {
            let (from, to) = (from.clone(), slug.clone());
            return Ok(Err(Unclear::Taken { from, to }));
        }
        let before = find(schedule.replaces.as_ref().unwrap_or(slug));
        if before.is_none() && !added.insert(slug.clone()) {
            return Ok(Err(Unclear::AddedTwice(slug.clone())));
        }
        merged.push((before.map(|before| before.id), schedule));
    }
    Ok(Ok(Plan::Merged(merged)))
}

/// Changes the schedules of a deployment as planned.
///
/// A schedule that somebody has paused stays so where the change does not say, and one that was added by hand stays there
/// when the deployment is deployed anew.
pub async fn carry_out(
    conn: &mut Conn,
    deployment: DeploymentId,
    plan: Plan,
    now: DateTime<Utc>,
) -> Result<()> {
    let merged = match plan {
        Plan::Replaced(schedules) => return replace(conn, deployment, schedules, now).await,
        Plan::Merged(merged) => merged,
    };
    // Two may change their slugs with each other, and a slug is one schedule's at any moment.
    for (id, _) in merged.iter().filter(|(_, one)| one.replaces.is_some()) {
        if let Some(id) = id {
            let unnamed = ScheduleUpdate {
                slug: Some(None),
                ..ScheduleUpdate::default()
            };
            update(conn, deployment, *id, unnamed, now).await?;
        }
    }
    for (id, schedule) in merged {
        let Some(id) = id else {
            insert(conn, &schedule.of(deployment, now)).await?;
            continue;
        };
        let change = ScheduleUpdate {
            schedule: Some(schedule.schedule),
            active: schedule.active,
            max_scheduled_runs: schedule.max_scheduled_runs.map(Some),
            parameters: Some(schedule.parameters.unwrap_or_else(Document::empty_object)),
            slug: Some(schedule.slug),
            ..ScheduleUpdate::default()
        };
        update(conn, deployment, id, change, now).await?;
    }
    Ok(())
}

/// Changes a schedule; tells whether the deployment has such a one.
pub async fn update(
    conn: &mut Conn,
    deployment: DeploymentId,
    id: ScheduleId,
    update: ScheduleUpdate,
    now: DateTime<Utc>,
) -> Result<bool> {
    let sql = "UPDATE deployment_schedule SET updated = $3, schedule = COALESCE($4, schedule), \
               active = COALESCE($5, active), \
               max_scheduled_runs = CASE WHEN $6 THEN $7 ELSE max_scheduled_runs END, \
               parameters = COALESCE($8, parameters), \
               slug = CASE WHEN $9 THEN $10 ELSE slug END \
               WHERE deployment_id = $1 AND id = $2";
    let changed = query(sql)
        .bind(deployment)
        .bind(id)
        .bind(now)
        .bind(update.schedule)
        .bind(update.active)
        .bind(update.max_scheduled_runs.is_some())
        .bind(update.max_scheduled_runs.flatten())
        .bind(update.parameters)
        .bind(update.slug.is_some())
        .bind(update.slug.flatten())
        .execute(conn)
        .await?;
    Ok(changed == 1)
}

/// Deletes a schedule; tells whether the deployment had such a one.
pub async fn delete(conn: &mut Conn, deployment: DeploymentId, id: ScheduleId) -> Result<bool> {
    let sql = "DELETE FROM deployment_schedule WHERE deployment_id = $1 AND id = $2";
    let deleted = query(sql).bind(deployment).bind(id).execute(conn).await?;
    Ok(deleted == 1)
}

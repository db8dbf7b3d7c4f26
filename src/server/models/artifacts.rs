//! Artifacts in the database, and which is the newest of its key.

use chrono::{DateTime, Utc};

use super::events::lifecycle::{Became, Happened};
use super::filters::{self, compile_artifacts, page};
use crate::db::{Conn, FromRow, Result, Row, query};
use crate::schemas::artifacts::{
    Artifact, ArtifactCollection, ArtifactCreate, ArtifactSort, ArtifactUpdate,
};
use crate::schemas::filters::{ArtifactFilter, Filters};
use crate::schemas::{ArtifactCollectionId, ArtifactId, Document};

const COLUMNS: &str = "o.id, o.created, o.updated, o.key, o.type, o.description, o.data, o.metadata_, \
     o.flow_run_id, o.task_run_id";
/// The newest artifacts under the alias `o`, with their collections.
const LATEST: &str = "artifact_collection c JOIN artifact o ON o.id = c.latest_id";

impl FromRow for Artifact {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        Ok(Self {
            id: row.take()?,
            created: row.take()?,
            updated: row.take()?,
            key: row.take()?,
            artifact_type: row.take()?,
            description: row.take()?,
            data: row.take()?,
            metadata: row.take()?,
            flow_run_id: row.take()?,
            task_run_id: row.take()?,
        })
    }
}

impl FromRow for ArtifactCollection {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        Ok(Self {
            id: row.take()?,
            created: row.take()?,
            latest: Artifact::from_row(row)?,
        })
    }
}

/// Which artifacts are meant, and how many of them.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Conditions on the artifacts.
    pub artifacts: Option<ArtifactFilter>,
    /// Conditions on what made them.
    pub filters: Filters,
    /// Their order.
    pub sort: ArtifactSort,
    /// How many at most.
    pub limit: i64,
    /// How many to leave out first.
    pub offset: u32,
}

/// Creates an artifact, the newest of its key from now on.
pub async fn create(
    conn: &mut Conn,
    happened: &mut Happened,
    create: ArtifactCreate,
    now: DateTime<Utc>,
) -> Result<Artifact> {
    let metadata = create
        .metadata_
        .map(|texts| Document::of(&texts).expect("texts are JSON"));
    let artifact = Artifact {
        id: ArtifactId::new(),
        created: now,
        updated: now,
        key: create.key,
        artifact_type: create.artifact_type,
        description: create.description,
        data: create.data,
        metadata,
        flow_run_id: create.flow_run_id,
        task_run_id: create.task_run_id,
    };
    let sql = "INSERT INTO artifact (id, created, updated, key, type, description, data, metadata_, \
               flow_run_id, task_run_id) VALUES ($1, $2, $2, $3, $4, $5, $6, $7, $8, $9)";
    query(sql)
        .bind(artifact.id)
        .bind(now)
        .bind(artifact.key.clone())
        .bind(artifact.artifact_type.clone())
        .bind(artifact.description.clone())
        .bind(artifact.data.clone())
        .bind(artifact.metadata.clone())
        .bind(artifact.flow_run_id)
        .bind(artifact.task_run_id)
        .execute(conn)
        .await?;
    if let Some(key) = &artifact.key {
        let sql = "INSERT INTO artifact_collection (id, created, updated, key, latest_id) \
                   VALUES ($1, $2, $2, $3, $4) ON CONFLICT (key) DO UPDATE \
                   SET latest_id = excluded.latest_id, updated = excluded.updated RETURNING id, created";
        let new = ArtifactCollectionId::new();
        let (id, created) = query(sql)
            .bind(new)
            .bind(now)
            .bind(key)
            .bind(artifact.id)
            .fetch_one::<(uuid::Uuid, DateTime<Utc>)>(conn)
            .await?;
        let became = match id == new.0 {
            true => Became::Created,
            false => Became::Updated,
        };
        let collection = ArtifactCollection {
            id: ArtifactCollectionId(id),
            created,
            latest: artifact.clone(),
        };
        happened.artifacts(became, &collection);
    }
    Ok(artifact)
}

/// Returns an artifact.
pub async fn read(conn: &mut Conn, id: ArtifactId) -> Result<Option<Artifact>> {
    let sql = format!("SELECT {COLUMNS} FROM artifact o WHERE o.id = $1");
    query(sql).bind(id).fetch_optional(conn).await
}

/// Returns the newest artifact of a key.
pub async fn read_latest(conn: &mut Conn, key: &str) -> Result<Option<ArtifactCollection>> {
    let sql = format!("SELECT c.id, c.created, {COLUMNS} FROM {LATEST} WHERE c.key = $1");
    query(sql).bind(key).fetch_optional(conn).await
}

/// Returns the artifacts of a page.
pub async fn list(conn: &mut Conn, asked: &Asked) -> Result<Vec<Artifact>> {
    select(conn, COLUMNS, "artifact o", "o.id", asked).await
}

/// Returns the newest artifacts of their keys.
pub async fn list_latest(conn: &mut Conn, asked: &Asked) -> Result<Vec<ArtifactCollection>> {
    let columns = format!("c.id, c.created, {COLUMNS}");
    select(conn, &columns, LATEST, "c.id", asked).await
}

async fn select<T: FromRow>(
    conn: &mut Conn,
    columns: &str,
    from: &str,
    id: &str,
    asked: &Asked,
) -> Result<Vec<T>> {
    let found = compile_artifacts(asked.artifacts.as_ref(), &asked.filters, conn.dialect());
    let order = match asked.sort {
        ArtifactSort::CreatedDesc => "o.created DESC,",
        ArtifactSort::UpdatedDesc => "o.updated DESC,",
        ArtifactSort::IdDesc => "",
        ArtifactSort::KeyDesc => "o.key DESC NULLS LAST,",
        ArtifactSort::KeyAsc => "o.key NULLS FIRST,",
    };
    let select = &format!("SELECT {columns} FROM {from}");
    let order = &format!("{order} {id} DESC");
    page(
        conn,
        select,
        found,
        order,
        asked.limit,
        i64::from(asked.offset),
    )
    .await
}

/// Counts artifacts.
pub async fn count(
    conn: &mut Conn,
    artifacts: Option<&ArtifactFilter>,
    filters: &Filters,
) -> Result<i64> {
    count_from(conn, "artifact o", artifacts, filters).await
}

/// Counts keys by their newest artifacts.
pub async fn count_latest(
    conn: &mut Conn,
    artifacts: Option<&ArtifactFilter>,
    filters: &Filters,
) -> Result<i64> {
    count_from(conn, LATEST, artifacts, filters).await
}

async fn count_from(
    conn: &mut Conn,
    from: &str,
    artifacts: Option<&ArtifactFilter>,
    filters: &Filters,
) -> Result<i64> {
    let found = compile_artifacts(artifacts, filters, conn.dialect());
    filters::count(conn, from, found).await
}

/// Changes an artifact; tells whether there is one.
pub async fn update(
    conn: &mut Conn,
    id: ArtifactId,
    update: ArtifactUpdate,
    now: DateTime<Utc>,
) -> Result<bool> {
    let metadata = update
        .metadata_
        .map(|texts| Document::of(&texts).expect("texts are JSON"));
    let sql = "UPDATE artifact SET updated = $2, data = COALESCE($3, data), \
               description = COALESCE($4, description), metadata_ = COALESCE($5, metadata_) WHERE id = $1";
    let change = query(sql)
        .bind(id)
        .bind(now)
        .bind(update.data)
        .bind(update.description)
        .bind(metadata);
    Ok(change.execute(conn).await? == 1)
}

/// Deletes an artifact; tells whether there was one. What was the newest before it is so again.
pub async fn delete(
    conn: &mut Conn,
    happened: &mut Happened,
    id: ArtifactId,
    now: DateTime<Utc>,
) -> Result<bool> {
    let Some(artifact) = read(conn, id).await? else {
        return Ok(false);
    };
    let newest = match &artifact.key {
        Some(key) => read_latest(conn, key).await?,
        None => None,
    };
    let newest = newest.filter(|newest| newest.latest.id == id);
    if let (Some(key), Some(newest)) = (&artifact.key, newest) {
        let before = "SELECT id FROM artifact WHERE key = $1 AND id <> $2 ORDER BY created DESC, id DESC LIMIT 1";
        let before: Option<uuid::Uuid> = query(before)
            .bind(key)
            .bind(id)
            .fetch_optional(conn)
            .await?;
        let change = match before {
            Some(before) => query(
                "UPDATE artifact_collection SET latest_id = $2, updated = $3 WHERE latest_id = $1",
            )
            .bind(id)
            .bind(ArtifactId(before))
            .bind(now),
            None => query("DELETE FROM artifact_collection WHERE latest_id = $1").bind(id),
        };
        change.execute(conn).await?;
        match read_latest(conn, key).await? {
            Some(newest) => happened.artifacts(Became::Updated, &newest),
            None => happened.artifacts(Became::Deleted, &newest),
        }
    }
    let sql = "DELETE FROM artifact WHERE id = $1";
    Ok(query(sql).bind(id).execute(conn).await? == 1)
}

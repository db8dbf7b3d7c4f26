//! Policies of notifications about flow runs, and what is still to be sent.
//!
//! What is to be sent is found where a state is told as an event, in the same write, so each policy
//! sends once of each state, however many servers there are and whenever one dies.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::db::{Conn, FromRow, Result, Row, Value, query};
use crate::schemas::notification_policies::{
    NotificationPolicy, NotificationPolicyCreate, NotificationPolicyUpdate,
};
use crate::schemas::{
    BlockDocumentId, Document, FlowId, FlowRunId, NotificationPolicyId, State, Tags,
};

use super::states;

const SELECT: &str = "SELECT id, created, updated, is_active, state_names, tags, block_document_id, \
     message_template FROM flow_run_notification_policy";

impl FromRow for NotificationPolicy {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        Ok(Self {
            id: row.take()?,
            created: row.take()?,
            updated: row.take()?,
            is_active: row.take()?,
            state_names: row.take()?,
            tags: row.take()?,
            block_document_id: row.take()?,
            message_template: row.take()?,
        })
    }
}

/// Creates a policy.
pub async fn create(
    conn: &mut Conn,
    create: NotificationPolicyCreate,
    now: DateTime<Utc>,
) -> Result<NotificationPolicy> {
    let policy = NotificationPolicy {
        id: NotificationPolicyId::new(),
        created: now,
        updated: now,
        is_active: create.is_active,
        state_names: create.state_names,
        tags: create.tags,
        block_document_id: create.block_document_id,
        message_template: create.message_template,
    };
    let sql = "INSERT INTO flow_run_notification_policy (id, created, updated, is_active, state_names, tags, \
               block_document_id, message_template) VALUES ($1, $2, $2, $3, $4, $5, $6, $7)";
    query(sql)
        .bind(policy.id)
        .bind(now)
        .bind(policy.is_active)
        .bind(policy.state_names.clone())
        .bind(policy.tags.clone())
        .bind(policy.block_document_id)
        .bind(policy.message_template.clone())
        .execute(conn)
        .await?;
    Ok(policy)
}

/// Returns a policy.
pub async fn read(conn: &mut Conn, id: NotificationPolicyId) -> Result<Option<NotificationPolicy>> {
    query(format!("{SELECT} WHERE id = $1"))
        .bind(id)
        .fetch_optional(conn)
        .await
}

/// Returns policies by id.
pub async fn list(
    conn: &mut Conn,
    is_active: Option<bool>,
    limit: i64,
    offset: u32,
) -> Result<Vec<NotificationPolicy>> {
    let mut values: Vec<Value> = vec![limit.into(), i64::from(offset).into()];
    let mut condition = "";
    if let Some(is_active) = is_active {
        values.push(is_active.into());
        condition = " WHERE is_active = $3";
    }
    query(format!(
        "{SELECT}{condition} ORDER BY id LIMIT $1 OFFSET $2"
    ))
    .bind_all(values)
    .fetch_all(conn)
    .await
}

/// Changes a policy; tells whether there is one.
pub async fn update(
    conn: &mut Conn,
    id: NotificationPolicyId,
    update: NotificationPolicyUpdate,
    now: DateTime<Utc>,
) -> Result<bool> {
    let mut sql = "UPDATE flow_run_notification_policy SET updated = $2".to_owned();
    let mut values: Vec<Value> = vec![id.into(), now.into()];
    let columns = [
        ("is_active", update.is_active.map(Value::from)),
        ("state_names", update.state_names.map(Value::from)),
        ("tags", update.tags.map(Value::from)),
        (
            "block_document_id",
            update.block_document_id.map(Value::from),
        ),
        ("message_template", update.message_template.map(Value::from)),
    ];
    for (column, value) in columns {
        if let Some(value) = value {
            values.push(value);
            sql.push_str(&format!(", {column} = ${}", values.len()));
        }
    }
    sql.push_str(" WHERE id = $1");
    Ok(query(sql).bind_all(values).execute(conn).await? == 1)
}

/// Deletes a policy; tells whether there was one.
pub async fn delete(conn: &mut Conn, id: NotificationPolicyId) -> Result<bool> {
    let sql = "DELETE FROM flow_run_notification_policy WHERE id = $1";
    Ok(query(sql).bind(id).execute(conn).await? == 1)
}

/// A state, and the tags of the run that came into it.
struct Came {
    state: Uuid,
    name: String,
    created: DateTime<Utc>,
    tags: Tags,
}

impl FromRow for Came {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        Ok(Self {
            state: row.take()?,
            name: row.take()?,
            created: row.take()?,
            tags: row.take()?,
        })
    }
}

/// Tells whether any policy is in force.
pub async fn is_any_active(conn: &mut Conn) -> Result<bool> {
    query("SELECT EXISTS (SELECT 1 FROM flow_run_notification_policy WHERE is_active)")
        .fetch_one(conn)
        .await
}

/// Notes what is to be sent of some states of flow runs; tells whether anything is.
pub async fn queue(conn: &mut Conn, states: Vec<Uuid>, now: DateTime<Utc>) -> Result<bool> {
    if states.is_empty() {
        return Ok(false);
    }
    let sql = format!("{SELECT} WHERE is_active");
    let policies: Vec<NotificationPolicy> = query(sql).fetch_all(conn).await?;
    // Almost always there is none.
    if policies.is_empty() {
        return Ok(false);
    }
    let sql = "SELECT s.id, s.name, s.created, r.tags FROM flow_run_state s JOIN flow_run r ON r.id = s.flow_run_id \
               WHERE s.id = ANY($1) ORDER BY s.id";
    let came: Vec<Came> = query(sql)
        .bind_all([Value::Uuids(states)])
        .fetch_all(conn)
        .await?;
    let mut is_any = false;
    for came in &came {
        for policy in policies.iter().filter(|policy| concerns(policy, came)) {
            let sql = "INSERT INTO flow_run_notification_queue (id, created, flow_run_notification_policy_id, \
                       flow_run_state_id) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
            query(sql)
                .bind(Uuid::now_v7())
                .bind(now)
                .bind(policy.id)
                .bind(came.state)
                .execute(conn)
                .await?;
            is_any = true;
        }
    }
    Ok(is_any)
}

fn concerns(policy: &NotificationPolicy, came: &Came) -> bool {
    let (names, tags) = (&policy.state_names.0, &policy.tags.0);
    let is_named = names.is_empty() || names.contains(&came.name);
    let is_tagged = tags.is_empty() || tags.iter().any(|tag| came.tags.0.contains(tag));
    // What came before the policy was as it is now is not told.
    is_named && is_tagged && came.created >= policy.updated
}

/// Something to be sent, with all that its message may name.
#[derive(Debug, Clone)]
pub struct Notification {
    /// Its place in the queue.
    pub id: Uuid,
    /// The policy.
    pub policy_id: NotificationPolicyId,
    /// Where to.
    pub block_document_id: BlockDocumentId,
    /// What is said.
    pub message_template: Option<String>,
    /// The flow.
    pub flow_id: FlowId,
    /// Its name.
    pub flow_name: String,
    /// The run.
    pub flow_run_id: FlowRunId,
    /// Its name.
    pub flow_run_name: String,
    /// Its arguments.
    pub parameters: Document,
    /// The state.
    pub state: State,
}

impl FromRow for Notification {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        Ok(Self {
            id: row.take()?,
            policy_id: row.take()?,
            block_document_id: row.take()?,
            message_template: row.take()?,
            flow_id: row.take()?,
            flow_name: row.take()?,
            flow_run_id: row.take()?,
            flow_run_name: row.take()?,
            parameters: row.take()?,
            state: State::from_row(row)?,
        })
    }
}

/// Takes the oldest notification that nobody is sending; one that was taken before `gone` was taken
/// by a server that is gone.
pub async fn claim(
    conn: &mut Conn,
    now: DateTime<Utc>,
    gone: DateTime<Utc>,
) -> Result<Option<Notification>> {
    let lock = match conn.dialect() {
        crate::db::Dialect::Sqlite => "",
        crate::db::Dialect::Postgres => " FOR UPDATE SKIP LOCKED",
    };
    let sql = format!(
        "UPDATE flow_run_notification_queue SET claimed = $1 WHERE id = (SELECT id FROM flow_run_notification_queue \
         WHERE claimed IS NULL OR claimed < $2 ORDER BY created, id LIMIT 1{lock}) RETURNING id"
    );
    let taken: Option<Uuid> = query(sql).bind(now).bind(gone).fetch_optional(conn).await?;
    let Some(id) = taken else {
        return Ok(None);
    };
    let columns = states::COLUMNS;
    query(format!(
        "SELECT n.id, p.id, p.block_document_id, p.message_template, f.id, f.name, r.id, r.name, r.parameters, {columns} \
         FROM flow_run_notification_queue n JOIN flow_run_notification_policy p ON p.id = n.flow_run_notification_policy_id \
         JOIN flow_run_state s ON s.id = n.flow_run_state_id JOIN flow_run r ON r.id = s.flow_run_id \
         JOIN flow f ON f.id = r.flow_id WHERE n.id = $1"
    ))
    .bind(id)
    .fetch_optional(conn)
    .await
}

/// Tells whether anything is to be sent.
pub async fn has_any(conn: &mut Conn) -> Result<bool> {
    let sql = "SELECT id FROM flow_run_notification_queue LIMIT 1";
    Ok(query(sql).fetch_optional::<Uuid>(conn).await?.is_some())
}

/// Forgets what was sent, or could not be.
pub async fn finish(conn: &mut Conn, id: Uuid) -> Result<()> {
    query("DELETE FROM flow_run_notification_queue WHERE id = $1")
        .bind(id)
        .execute(conn)
        .await
        .map(drop)
}

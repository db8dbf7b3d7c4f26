//! Automations in the database, and which resources they have to do with.

use chrono::{DateTime, Utc};

use super::filters::{self, page};
use crate::db::{Conn, Error, FromRow, Result, Row, Value, query};
use crate::schemas::automations::{Automation, AutomationBody};
use crate::schemas::filters::{AutomationFilter, AutomationSort, Operator};
use crate::schemas::time::Instant;
use crate::schemas::{AutomationId, Document};

/// The columns of an automation `o`, in the order of [`FromRow`].
const COLUMNS: &str = "o.id, o.created, o.updated, o.name, o.description, o.enabled, o.tags, o.trigger, o.actions, \
    o.actions_on_trigger, o.actions_on_resolve";

impl FromRow for Automation {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        fn part<T: for<'a> serde::Deserialize<'a>>(row: &mut Row<'_>) -> Result<T> {
            let document: Document = row.take()?;
            document
                .read()
                .map_err(|e| Error::Decode(format!("not part of an automation: {e}")))
        }
        Ok(Self {
            id: row.take()?,
            created: Instant(row.take()?),
            updated: Instant(row.take()?),
            body: AutomationBody {
                name: row.take()?,
                description: row.take()?,
                enabled: row.take()?,
                tags: row.take()?,
                trigger: part(row)?,
                actions: part(row)?,
                actions_on_trigger: part(row)?,
                actions_on_resolve: part(row)?,
            },
        })
    }
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("an automation is JSON")
}

/// Creates an automation; it goes away with its owner.
pub async fn create(
    conn: &mut Conn,
    mut body: AutomationBody,
    owner: Option<&str>,
    now: DateTime<Utc>,
) -> Result<Automation> {
    body.trigger.renew_ids();
    let automation = Automation {
        id: AutomationId::new(),
        created: Instant(now),
        updated: Instant(now),
        body,
    };
    let body = &automation.body;
    let sql = "INSERT INTO automation (id, created, updated, name, description, enabled, tags, trigger, actions, \
               actions_on_trigger, actions_on_resolve) VALUES ($1, $2, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    let insert = query(sql)
        .bind(automation.id)
        .bind(now)
        .bind(&body.name)
        .bind(&body.description);
    let insert = insert
        .bind(body.enabled)
        .bind(body.tags.clone())
        .bind(json(&body.trigger));
    let insert = insert
        .bind(json(&body.actions))
        .bind(json(&body.actions_on_trigger));
    insert
        .bind(json(&body.actions_on_resolve))
        .execute(conn)
        .await?;
    relate(conn, &automation, owner).await?;
    Ok(automation)
}

/// Changes what an automation is and does; tells whether there was one.
pub async fn update(
    conn: &mut Conn,
    id: AutomationId,
    mut body: AutomationBody,
    now: DateTime<Utc>,
) -> Result<bool> {
    body.trigger.renew_ids();
    let sql = "UPDATE automation SET updated = $2, name = $3, description = $4, enabled = $5, tags = $6, trigger = $7, \
               actions = $8, actions_on_trigger = $9, actions_on_resolve = $10 WHERE id = $1";
    let update = query(sql)
        .bind(id)
        .bind(now)
        .bind(&body.name)
        .bind(&body.description);
    let update = update
        .bind(body.enabled)
        .bind(body.tags.clone())
        .bind(json(&body.trigger));
    let update = update
        .bind(json(&body.actions))
        .bind(json(&body.actions_on_trigger));
    if update
        .bind(json(&body.actions_on_resolve))
        .execute(conn)
        .await?
        == 0
    {
        return Ok(false);
    }
    forget_progress(conn, id).await?;
    query("DELETE FROM automation_related_resource WHERE automation_id = $1 AND automation_owned_by_resource = $2")
        .bind(id)
        .bind(false)
        .execute(conn)
        .await?;
    let automation = Automation {
        id,
        created: Instant(now),
        updated: Instant(now),
        body,
    };
    relate(conn, &automation, None).await?;
    Ok(true)
}

/// Switches an automation on or off; tells whether there was one.
pub async fn set_enabled(
    conn: &mut Conn,
    id: AutomationId,
    enabled: bool,
    now: DateTime<Utc>,
) -> Result<bool> {
    let update = query("UPDATE automation SET updated = $2, enabled = $3 WHERE id = $1");
    if update
        .bind(id)
        .bind(now)
        .bind(enabled)
        .execute(conn)
        .await?
        == 0
    {
        return Ok(false);
    }
    if !enabled {
        forget_progress(conn, id).await?;
    }
    Ok(true)
}

/// What was counted for a trigger that is no more means nothing.
async fn forget_progress(conn: &mut Conn, id: AutomationId) -> Result<()> {
    for sql in [
        "DELETE FROM automation_bucket WHERE automation_id = $1",
        "DELETE FROM composite_trigger_child_firing WHERE automation_id = $1",
    ] {
        query(sql).bind(id).execute(conn).await?;
    }
    Ok(())
}

async fn relate(conn: &mut Conn, automation: &Automation, owner: Option<&str>) -> Result<()> {
    let sql = "INSERT INTO automation_related_resource (automation_id, resource_id, automation_owned_by_resource) \
               VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    // An owner comes first, since a resource has one row.
    if let Some(owner) = owner {
        query(sql)
            .bind(automation.id)
            .bind(owner)
            .bind(true)
            .execute(conn)
            .await?;
    }
    for resource in automation.body.resources() {
        query(sql)
            .bind(automation.id)
            .bind(resource)
            .bind(false)
            .execute(conn)
            .await?;
    }
    Ok(())
}

/// Returns an automation by its id.
pub async fn read(conn: &mut Conn, id: AutomationId) -> Result<Option<Automation>> {
    query(format!(
        "SELECT {COLUMNS} FROM automation o WHERE o.id = $1"
    ))
    .bind(id)
    .fetch_optional(conn)
    .await
}

/// Returns all automations that are in force.
pub async fn list_enabled(conn: &mut Conn) -> Result<Vec<Automation>> {
    query(format!(
        "SELECT {COLUMNS} FROM automation o WHERE o.enabled = $1 ORDER BY o.id"
    ))
    .bind(true)
    .fetch_all(conn)
    .await
}

/// Returns the automations of a page.
pub async fn list(
    conn: &mut Conn,
    filter: &AutomationFilter,
    sort: AutomationSort,
    limit: i64,
    offset: i64,
) -> Result<Vec<Automation>> {
    let found = compile(conn, filter);
    let order = match sort {
        AutomationSort::CreatedDesc => "o.created DESC, o.id DESC",
        AutomationSort::UpdatedDesc => "o.updated DESC, o.id DESC",
        AutomationSort::NameAsc => "o.name, o.id",
        AutomationSort::NameDesc => "o.name DESC, o.id DESC",
    };
    let select = &format!("SELECT {COLUMNS} FROM automation o");
    page(conn, select, found, order, limit, offset).await
}

/// Counts the automations that a filter finds.
pub async fn count(conn: &mut Conn, filter: &AutomationFilter) -> Result<i64> {
    let found = compile(conn, filter);
    filters::count(conn, "automation o", found).await
}

fn compile(conn: &Conn, filter: &AutomationFilter) -> (String, Vec<Value>) {
    let dialect = conn.dialect();
    let (mut all, mut values) = (Vec::new(), Vec::new());
    let mut bind = |value: Value| {
        values.push(value);
        values.len()
    };
    if let Some(any) = filter.id.as_ref().and_then(|id| id.any_.as_ref()) {
        let n = bind(Value::Uuids(any.iter().map(|id| id.0).collect()));
        all.push(format!("o.id = ANY(${n})"));
    }
    if let Some(any) = filter.name.as_ref().and_then(|name| name.any_.clone()) {
        let n = bind(Value::from(any));
        all.push(format!("o.name = ANY(${n})"));
    }
    if let Some(before) = filter.created.as_ref().and_then(|created| created.before_) {
        let n = bind(Value::Time(before.0));
        all.push(format!("o.created <= ${n}"));
    }
    if let Some(tags) = &filter.tags {
        let mut parts = Vec::new();
        if let Some(wanted) = &tags.all_ {
            let n = bind(Value::from(wanted.clone()));
            parts.push(dialect.list_contains_all("o.tags", n));
        }
        if let Some(wanted) = &tags.any_ {
            let n = bind(Value::from(wanted.clone()));
            parts.push(dialect.list_contains_any("o.tags", n));
        }
        if let Some(is_null) = tags.is_null_ {
            parts.push(format!("o.tags {} '[]'", if is_null { "=" } else { "<>" }));
        }
        all.extend(join(parts, tags.operator));
    }
    (
        join(all, filter.operator).unwrap_or_else(|| "TRUE".to_owned()),
        values,
    )
}

fn join(parts: Vec<String>, operator: Operator) -> Option<String> {
    let word = match operator {
        Operator::And => " AND ",
        Operator::Or => " OR ",
    };
    (!parts.is_empty()).then(|| format!("({})", parts.join(word)))
}

/// Returns the automations that have to do with a resource.
pub async fn list_related_to(conn: &mut Conn, resource: &str) -> Result<Vec<Automation>> {
    query(format!(
        "SELECT {COLUMNS} FROM automation o WHERE EXISTS (SELECT 1 FROM automation_related_resource r \
         WHERE r.automation_id = o.id AND r.resource_id = $1) ORDER BY o.name, o.id"
    ))
    .bind(resource)
    .fetch_all(conn)
    .await
}

/// Deletes an automation and returns it, if there was one.
pub async fn delete(conn: &mut Conn, id: AutomationId) -> Result<Option<Automation>> {
    let Some(automation) = read(conn, id).await? else {
        return Ok(None);
    };
    let delete = query("DELETE FROM automation WHERE id = $1").bind(id);
    delete.execute(conn).await?;
    Ok(Some(automation))
}

/// Deletes the automations of an owner; returns how many there were.
pub async fn delete_owned_by(conn: &mut Conn, resource: &str) -> Result<u64> {
    let sql = "DELETE FROM automation WHERE id IN (SELECT automation_id FROM automation_related_resource \
               WHERE resource_id = $1 AND automation_owned_by_resource = $2)";
    query(sql).bind(resource).bind(true).execute(conn).await
}

//! Concurrency limits with who holds their slots and who waits for one.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::row;
use crate::db::{Conn, Result, Value, query};
use crate::schemas::global_concurrency_limits::{GlobalConcurrencyLimit, HolderType, TAG_PREFIX};
use crate::server::models::global_concurrency_limits;
use crate::server::waiting::Waiter;

const MOST_LIMITS: i64 = 1000;
/// Leases of all limits together that a page shows.
const MOST_LEASES: i64 = 5000;

row! {
    /// Who holds slots of a limit; a lease need not say whose it is.
    Holder {
        #[serde(skip)] #[schema(ignore)] limit_id: Uuid, lease_id: Uuid, slots: i64,
        #[serde(rename = "type")] kind: Option<String>, id: Option<Uuid>, name: Option<String>, flow_run_id: Option<Uuid>,
        flow_run_name: Option<String>, since: DateTime<Utc>, expires: Option<DateTime<Utc>>,
    }
}

row! { WaiterNamed { id: Uuid, name: String, flow_run_id: Option<Uuid>, flow_run_name: Option<String> } }

/// Somebody who was refused slots lately.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub(crate) struct WaiterRow {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(flatten)]
    of: WaiterNamed,
    since: DateTime<Utc>,
}

/// A concurrency limit as its page shows it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct LimitRow {
    id: Uuid,
    pub(crate) name: String,
    /// The tag whose task runs are limited, where it is a limit of a tag.
    pub(crate) tag: Option<String>,
    pub(crate) limit: i64,
    pub(crate) active: bool,
    /// Slots that are taken, by a lease or without one.
    pub(crate) active_slots: i64,
    /// Slots that were asked for in vain and not taken since; it goes down by itself.
    denied_slots: i64,
    slot_decay_per_second: f64,
    updated: DateTime<Utc>,
    pub(crate) holders: Vec<Holder>,
    pub(crate) waiting: Vec<WaiterRow>,
}

impl LimitRow {
    /// Tells whether it lets nobody through.
    pub(crate) fn is_full(&self) -> bool {
        self.active && self.active_slots >= self.limit
    }
}

/// Lists the limits, by name.
pub(crate) async fn list(
    conn: &mut Conn,
    waiting: &[Waiter],
    now: DateTime<Utc>,
) -> Result<Vec<LimitRow>> {
    let limits = global_concurrency_limits::list(conn, MOST_LIMITS, 0).await?;
    let sql = format!(
        "SELECT h.limit_id, c.id, c.slots, c.holder_type, c.holder_id, COALESCE(t.name, f.name, d.name), t.flow_run_id, \
           r.name, c.created, c.expires \
         FROM concurrency_lease_limit h JOIN concurrency_lease c ON c.id = h.lease_id \
         LEFT JOIN task_run t ON c.holder_type = 'task_run' AND t.id = c.holder_id \
         LEFT JOIN flow_run f ON c.holder_type = 'flow_run' AND f.id = c.holder_id \
         LEFT JOIN deployment d ON c.holder_type = 'deployment' AND d.id = c.holder_id \
         LEFT JOIN flow_run r ON r.id = t.flow_run_id \
         ORDER BY c.created, c.id LIMIT {MOST_LEASES}"
    );
    let holders: Vec<Holder> = query(sql).fetch_all(conn).await?;
    let named = names(conn, waiting).await?;
    let row = |mut limit: GlobalConcurrencyLimit| {
        limit.settle(now);
        let row = |waiter: &Waiter| {
            Some(WaiterRow {
                kind: waiter.kind.as_str(),
                of: named.iter().find(|named| named.id == waiter.id)?.clone(),
                since: waiter.since,
            })
        };
        let waiting = waiting.iter().filter(|waiter| waiter.limit == limit.name);
        let holders = holders.iter().filter(|h| h.limit_id == limit.id.0);
        LimitRow {
            id: limit.id.0,
            tag: limit.name.strip_prefix(TAG_PREFIX).map(str::to_owned),
            limit: limit.limit,
            active: limit.active,
            active_slots: limit.taken(),
            denied_slots: limit.denied_slots.round() as i64,
            slot_decay_per_second: limit.slot_decay_per_second,
            updated: limit.updated,
            holders: holders.cloned().collect(),
            waiting: waiting.filter_map(row).collect(),
            name: limit.name,
        }
    };
    Ok(limits.into_iter().map(row).collect())
}

/// The names of those who wait, as far as they are still there.
async fn names(conn: &mut Conn, waiting: &[Waiter]) -> Result<Vec<WaiterNamed>> {
    let mut named = Vec::new();
    for (kind, sql) in [
        (
            HolderType::TaskRun,
            "SELECT t.id, t.name, t.flow_run_id, r.name FROM task_run t \
             LEFT JOIN flow_run r ON r.id = t.flow_run_id WHERE t.id = ANY($1)",
        ),
        (
            HolderType::FlowRun,
            "SELECT id, name, NULL, NULL FROM flow_run WHERE id = ANY($1)",
        ),
        (
            HolderType::Deployment,
            "SELECT id, name, NULL, NULL FROM deployment WHERE id = ANY($1)",
        ),
    ] {
        let of_kind = waiting.iter().filter(|waiter| waiter.kind == kind);
        let ids: Vec<Uuid> = of_kind.map(|waiter| waiter.id).collect();
        if !ids.is_empty() {
            let found: Vec<WaiterNamed> = query(sql)
                .bind_all([Value::Uuids(ids)])
                .fetch_all(conn)
                .await?;
            named.extend(found);
        }
    }
    Ok(named)
}

//! What happens to nouns, as events: something is created, updated or deleted.
//!
//! The genuine 3.8 server tells these of the nouns below and of no others. Whoever changes a noun
//! notes it in [`Happened`], which is kept in the write that makes the change
//! (`server/events/lifecycle.rs`), so that an automation misses none and sees none that did not happen.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use crate::db::{Conn, FromRow, Result, Row, query};
use crate::schemas::artifacts::ArtifactCollection;
use crate::schemas::automations::Automation;
use crate::schemas::block_documents::BlockDocument;
use crate::schemas::block_types::BlockType;
use crate::schemas::deployments::Deployment;
use crate::schemas::dialect::View;
use crate::schemas::events::{Event, RESOURCE_NAME, Resource};
use crate::schemas::flows::Flow;
use crate::schemas::global_concurrency_limits::GlobalConcurrencyLimit;
use crate::schemas::time::Instant;
use crate::schemas::variables::Variable;
use crate::schemas::work_pools::{AGENT_TYPE, Storage, WorkPool};
use crate::schemas::work_queues::WorkQueue;
use crate::schemas::{AutomationId, Dialect, Document, EventId, WorkPoolId};

/// The label of a work pool that says which workers serve it.
const POOL_TYPE: &str = "prefect.work-pool.type";

/// What became of a noun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the field's own words")]
pub enum Became {
    Created,
    Updated,
    Deleted,
}

impl Became {
    fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Deleted => "deleted",
        }
    }
}

/// Returns something with an id and a name as the resource of an event.
pub fn resource(kind: &str, id: impl Into<Uuid>, name: &str) -> Resource {
    named(kind, id).with(RESOURCE_NAME, name)
}

fn named(kind: &str, id: impl Into<Uuid>) -> Resource {
    Resource::new(format!("prefect.{kind}.{}", id.into()))
}

/// Returns a work pool as the resource of an event.
pub fn pool_resource(id: impl Into<Uuid>, name: &str, pool_type: &str) -> Resource {
    resource("work-pool", id, name).with(POOL_TYPE, pool_type)
}

/// Returns a work queue as the resource of an event; it has a role in its own events too.
pub fn queue_resource(id: impl Into<Uuid>, name: &str) -> Resource {
    resource("work-queue", id, name).in_role("work-queue")
}

/// Returns something of a noun as a part of a payload; as its text where a number in it is larger
/// than any that can be reckoned with, which a document of a client may have.
fn json(value: &impl Serialize) -> Json {
    serde_json::to_value(value)
        .or_else(|_| serde_json::to_string(value).map(Json::String))
        .expect("a noun can be written as JSON")
}

/// What has happened in a write, in order.
#[derive(Debug)]
pub struct Happened {
    at: DateTime<Utc>,
    events: Vec<Event>,
    /// Automations that are no more, which nothing sets off.
    gone: Vec<AutomationId>,
}

impl Happened {
    /// Begins to note what happens at an instant.
    pub fn at(at: DateTime<Utc>) -> Self {
        Self {
            at,
            events: Vec::new(),
            gone: Vec::new(),
        }
    }

    /// Returns the events, and the automations that are no more.
    pub fn into_parts(self) -> (Vec<Event>, Vec<AutomationId>) {
        (self.events, self.gone)
    }

    fn note(
        &mut self,
        kind: &str,
        word: &str,
        resource: Resource,
        related: Vec<Resource>,
        payload: &Json,
    ) {
        self.events.push(Event {
            occurred: Instant(self.at),
            event: format!("prefect.{kind}.{word}"),
            resource,
            related,
            payload: Document::of(payload).expect("a value is JSON"),
            id: EventId::new(),
            follows: None,
        });
    }

    /// Notes what became of a flow.
    pub fn flow(&mut self, became: Became, flow: &Flow) {
        let payload = json!({"name": flow.name, "tags": flow.tags, "labels": json(&flow.labels)});
        let of = resource("flow", flow.id, &flow.name);
        self.note("flow", became.word(), of, Vec::new(), &payload);
    }

    /// Notes what became of a variable.
    pub fn variable(&mut self, became: Became, variable: &Variable) {
        let Variable {
            name, value, tags, ..
        } = variable;
        let payload = json!({"name": name, "value": json(value), "tags": tags});
        let of = resource("variable", variable.id, name);
        self.note("variable", became.word(), of, Vec::new(), &payload);
    }

    /// Notes what became of a block type.
    pub fn block_type(&mut self, became: Became, block_type: &BlockType) {
        let BlockType { name, slug, .. } = block_type;
        let payload = json!({
            "name": name,
            "slug": slug,
            "logo_url": block_type.logo_url,
            "documentation_url": block_type.documentation_url,
            "description": block_type.description,
            "code_example": block_type.code_example,
            "is_protected": block_type.is_protected,
        });
        let of = resource("block-type", block_type.id, name);
        self.note("block-type", became.word(), of, Vec::new(), &payload);
    }

    /// Notes what became of a block document, whose secrets are masked; of its data only texts that
    /// are no secrets are told.
    pub fn block_document(&mut self, became: Became, document: &BlockDocument) {
        let (schema, block_type) = (&document.block_schema, &document.block_type);
        let fields: Json = schema.fields.read().unwrap_or_default();
        let is_secret = |name: &str| {
            let secrets = fields["secret_fields"].as_array();
            secrets.into_iter().flatten().any(|secret| secret == name)
        };
        let mut data: Map<String, Json> = document.data.read().unwrap_or_default();
        data.retain(|name, value| value.is_string() && !is_secret(name));
        let payload = json!({
            "name": document.name,
            "data": data,
            "block_schema": {
                "capabilities": json(&schema.capabilities),
                "block_type": {"id": block_type.id, "name": block_type.name},
            },
        });
        let related = vec![
            named("block-type", block_type.id)
                .in_role("block-type")
                .with(RESOURCE_NAME, &block_type.name),
            named("block-schema", schema.id).in_role("block-schema"),
        ];
        let of = resource("block-document", document.id, &document.name);
        self.note("block-document", became.word(), of, related, &payload);
    }

    /// Notes what became of a global concurrency limit, or of that of a tag, which is one.
    pub fn limit(&mut self, became: Became, limit: &GlobalConcurrencyLimit) {
        let payload = json!({
            "name": limit.name,
            "limit": limit.limit,
            "active": limit.active,
            "slot_decay_per_second": limit.slot_decay_per_second,
        });
        let of = resource("concurrency-limit", limit.id, &limit.name);
        self.note("concurrency-limit", became.word(), of, Vec::new(), &payload);
    }

    /// Notes what became of the artifacts of a key.
    pub fn artifacts(&mut self, became: Became, collection: &ArtifactCollection) {
        let latest = &collection.latest;
        let key = latest.key.as_deref().unwrap_or_default();
        let payload = json!({
            "key": key,
            "type": latest.artifact_type,
            "data": json(&latest.data),
            "description": latest.description,
        });
        let flow_run = latest.flow_run_id.map(|id| named("flow-run", id));
        let task_run = latest.task_run_id.map(|id| named("task-run", id));
        let related = [
            Some(named("artifact", latest.id).in_role("latest")),
            flow_run.map(|run| run.in_role("flow-run")),
            task_run.map(|run| run.in_role("task-run")),
        ];
        let related = related.into_iter().flatten().collect();
        let of = resource("artifact-collection", collection.id, key);
        self.note("artifact-collection", became.word(), of, related, &payload);
    }

    /// Notes what became of an automation.
    pub fn automation(&mut self, became: Became, automation: &Automation) {
        if became == Became::Deleted {
            self.gone.push(automation.id);
        }
        let payload = json(&View(Dialect::Three, automation));
        let of = resource("automation", automation.id, &automation.body.name);
        self.note("automation", became.word(), of, Vec::new(), &payload);
    }

    /// Notes that a work pool was created.
    pub fn pool_created(&mut self, pool: &WorkPool) {
        self.pool(Became::Created, pool);
    }

    /// Notes that nobody serves a work pool yet, which is told of one that a client has created.
    pub fn pool_unserved(&mut self, pool: &WorkPool) {
        let word = match pool.is_paused && pool.pool_type != AGENT_TYPE {
            true => "paused",
            false => "not-ready",
        };
        let of = pool_resource(pool.id, &pool.name, &pool.pool_type);
        self.note("work-pool", word, of, Vec::new(), &json!({}));
    }

    /// Notes that a work pool was deleted; its queues are noted before it.
    pub fn pool_deleted(&mut self, pool: &WorkPool) {
        self.pool(Became::Deleted, pool);
    }

    fn pool(&mut self, became: Became, pool: &WorkPool) {
        let queue = pool.default_queue_id.map(|id| named("work-queue", id));
        let storage: Json = pool.storage_configuration.read().unwrap_or_default();
        let block = storage["default_result_storage_block_id"].as_str();
        let block = block.map(|id| Resource::new(format!("prefect.block-document.{id}")));
        let related = [
            queue.map(|queue| queue.in_role("default-queue")),
            block.map(|block| block.in_role("result-storage")),
        ];
        let related = related.into_iter().flatten().collect();
        let of = pool_resource(pool.id, &pool.name, &pool.pool_type).in_role("work-pool");
        self.note("work-pool", became.word(), of, related, &json!({}));
    }

    /// Notes what of a work pool was changed; that it was paused is told by the foreman.
    pub fn pool_updated(&mut self, before: &WorkPool, after: &WorkPool) {
        let parts = |pool: &WorkPool| {
            [
                ("description", json(&pool.description)),
                ("base_job_template", json(&pool.base_job_template)),
                ("concurrency_limit", json(&pool.concurrency_limit)),
                (
                    "storage_configuration",
                    json(&Storage(&pool.storage_configuration)),
                ),
            ]
        };
        let Some(payload) = updates(parts(before), parts(after)) else {
            return;
        };
        let of = pool_resource(after.id, &after.name, &after.pool_type).in_role("work-pool");
        self.note("work-pool", "updated", of, Vec::new(), &payload);
    }

    /// Notes that a work queue was created or deleted, which must be there still.
    pub async fn queue(
        &mut self,
        conn: &mut Conn,
        became: Became,
        queue: &WorkQueue,
    ) -> Result<()> {
        let pool = pool_of(conn, queue.work_pool_id).await?;
        let of = queue_resource(queue.id, &queue.name);
        let related = pool.into_iter().collect();
        self.note("work-queue", became.word(), of, related, &json!({}));
        Ok(())
    }

    /// Notes what of a work queue was changed; that it was paused is told by the foreman.
    pub async fn queue_updated(
        &mut self,
        conn: &mut Conn,
        before: &WorkQueue,
        after: &WorkQueue,
    ) -> Result<()> {
        let parts = |queue: &WorkQueue| {
            [
                ("name", json(&queue.name)),
                ("description", json(&queue.description)),
                ("concurrency_limit", json(&queue.concurrency_limit)),
                ("priority", json(&queue.priority)),
            ]
        };
        let Some(payload) = updates(parts(before), parts(after)) else {
            return Ok(());
        };
        let pool = pool_of(conn, after.work_pool_id).await?;
        let of = queue_resource(after.id, &after.name);
        let related = pool.into_iter().collect();
        self.note("work-queue", "updated", of, related, &payload);
        Ok(())
    }

    /// Notes that a deployment was created or deleted, which must be there still.
    pub async fn deployment(
        &mut self,
        conn: &mut Conn,
        became: Became,
        deployment: &Deployment,
    ) -> Result<()> {
        self.of_deployment(conn, became, deployment, &json!({}))
            .await
    }

    /// Notes what of a deployment was changed.
    pub async fn deployment_updated(
        &mut self,
        conn: &mut Conn,
        before: &Deployment,
        after: &Deployment,
    ) -> Result<()> {
        match updates(deployment_parts(before), deployment_parts(after)) {
            Some(payload) => {
                self.of_deployment(conn, Became::Updated, after, &payload)
                    .await
            }
            None => Ok(()),
        }
    }

    async fn of_deployment(
        &mut self,
        conn: &mut Conn,
        became: Became,
        deployment: &Deployment,
        payload: &Json,
    ) -> Result<()> {
        let sql = format!("SELECT {SURROUNDINGS} FROM {SURROUNDED} WHERE d.id = $1");
        let found: Option<Surroundings> =
            query(sql).bind(deployment.id).fetch_optional(conn).await?;
        let related = found.map_or_else(Vec::new, |found| found.0);
        let of = resource("deployment", deployment.id, &deployment.name);
        self.note("deployment", became.word(), of, related, payload);
        Ok(())
    }
}

/// What a deployment has of which its events tell that it has changed, under the names that the
/// genuine server keeps it by.
fn deployment_parts(deployment: &Deployment) -> [(&'static str, Json); 15] {
    let limit = deployment.global_concurrency_limit.as_ref();
    [
        ("description", json(&deployment.description)),
        ("tags", json(&deployment.tags)),
        ("parameters", json(&deployment.parameters)),
        (
            "parameter_openapi_schema",
            json(&deployment.parameter_openapi_schema),
        ),
        (
            "enforce_parameter_schema",
            json(&deployment.enforce_parameter_schema),
        ),
        ("entrypoint", json(&deployment.entrypoint)),
        ("path", json(&deployment.path)),
        ("pull_steps", json(&deployment.pull_steps)),
        ("work_queue_id", json(&deployment.work_queue_id)),
        ("infra_overrides", json(&deployment.job_variables)),
        ("paused", json(&!deployment.is_schedule_active)),
        ("labels", json(&deployment.labels)),
        ("version", json(&deployment.version)),
        ("concurrency_limit_id", json(&limit.map(|limit| limit.id))),
        ("concurrency_options", json(&deployment.concurrency_options)),
    ]
}

/// Returns what of something has changed, as the payload of its event; none if nothing has.
fn updates<const N: usize>(before: [(&str, Json); N], after: [(&str, Json); N]) -> Option<Json> {
    let pairs = before.into_iter().zip(after);
    let changed = pairs.filter(|((_, from), (_, to))| from != to);
    let updates: Map<String, Json> = changed
        .map(|((name, from), (_, to))| (name.to_owned(), json!({"from": from, "to": to})))
        .collect();
    let names: Vec<&String> = updates.keys().collect();
    (!names.is_empty()).then(|| json!({"updated_fields": names, "updates": updates}))
}

/// What a deployment `d` has to do with, for [`take_surroundings`].
pub const SURROUNDINGS: &str = "f.id, f.name, q.id, q.name, p.id, p.name, p.type, d.storage_document_id, \
    d.infrastructure_document_id, d.concurrency_limit_id";
/// Where [`SURROUNDINGS`] are.
pub const SURROUNDED: &str = "deployment d JOIN flow f ON f.id = d.flow_id \
    LEFT JOIN work_queue q ON q.id = d.work_queue_id LEFT JOIN work_pool p ON p.id = q.work_pool_id";

/// Reads what the events of a deployment name besides.
pub fn take_surroundings(row: &mut Row<'_>) -> Result<Vec<Resource>> {
    let flow = take(row)?.map(|(id, name)| resource("flow", id, &name).in_role("flow"));
    let queue = take(row)?.map(|(id, name)| queue_resource(id, &name));
    let mut related: Vec<Resource> = [flow, queue, take_pool(row)?]
        .into_iter()
        .flatten()
        .collect();
    for (kind, role) in [
        ("block-document", "storage"),
        ("block-document", "infrastructure"),
        ("concurrency-limit", "concurrency-limit"),
    ] {
        let id: Option<Uuid> = row.take()?;
        related.extend(id.map(|id| named(kind, id).in_role(role)));
    }
    Ok(related)
}

struct Surroundings(Vec<Resource>);

impl FromRow for Surroundings {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        take_surroundings(row).map(Self)
    }
}

fn take(row: &mut Row<'_>) -> Result<Option<(Uuid, String)>> {
    let (id, name): (Option<Uuid>, Option<String>) = (row.take()?, row.take()?);
    Ok(id.zip(name))
}

/// Reads id, name and type of a pool that may not be there.
pub fn take_pool(row: &mut Row<'_>) -> Result<Option<Resource>> {
    let (pool, pool_type) = (take(row)?, row.take::<Option<String>>()?);
    Ok(pool.map(|(id, name)| {
        pool_resource(id, &name, &pool_type.unwrap_or_default()).in_role("work-pool")
    }))
}

struct Pool(Option<Resource>);

impl FromRow for Pool {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        take_pool(row).map(Self)
    }
}

async fn pool_of(conn: &mut Conn, id: Option<WorkPoolId>) -> Result<Option<Resource>> {
    let sql = "SELECT p.id, p.name, p.type FROM work_pool p WHERE p.id = $1";
    let found: Option<Pool> = query(sql).bind(id).fetch_optional(conn).await?;
    Ok(found.and_then(|pool| pool.0))
}

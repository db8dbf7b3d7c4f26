//! `.serve()`: a program that registers a deployment of its flow and runs what is due.
//!
//! Runs are carried out in this process, beside each other. Started by an agent, the same program carries out the run that it
//! was started for, so agents and this program may share a deployment.

use std::collections::HashSet;
use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::{info, warn};
use uuid::Uuid;

use super::arguments::json_of;
use super::context::{self, Cancellation};
use super::delays::Seconds;
use super::engine::patience::patiently;
use super::engine::{Engine, flow_runs, on_runtime, signals};
use super::flow::{FlowCall, FlowDefinition};
use super::outcome::RunError;
use super::program;
use super::value::{Source, TaskOutput};
use crate::client::{Client, Document, FlowRun, Result};

/// How often due runs are asked for.
const POLL: Duration = Duration::from_secs(5);
/// How many runs are taken at once, at most.
const MOST: usize = 100;

/// A flow that is about to be served.
///
/// ```no_run
/// use prefect_rs::prelude::*;
///
/// #[flow]
/// async fn report(days: u32) -> Result<()> {
///     println!("the last {days} days");
///     Ok(())
/// }
///
/// fn main() -> Result<()> {
///     report(7u32).serve("weekly").with_cron("0 8 * * MON").run()?;
///     Ok(())
/// }
/// ```
#[must_use = "a flow is not served until this is awaited or run"]
pub struct Serve {
    definition: &'static FlowDefinition,
    parameters: Value,
    name: String,
    tags: Vec<String>,
    schedule: Option<Value>,
    timezone: Option<String>,
    limit: usize,
    /// What is wrong with the parameters.
    mistake: Option<String>,
}

impl<T: TaskOutput> FlowCall<T> {
    /// Serves the flow as a deployment of this name, the arguments being the default parameters.
    ///
    /// ```no_run
    /// # use prefect_rs::prelude::*;
    /// # #[task] async fn load() -> Result<u8> { Ok(1) }
    /// # #[flow] async fn report() -> Result<u8> { Ok(1) }
    /// # fn start() -> Result<()> {
    /// report().serve("on request").run()?;
    /// # Ok(()) }
    /// ```
    pub fn serve(self, name: impl Into<String>) -> Serve {
        let call = self.call;
        let names = call.definition.parameter_names();
        let mut mistake = None;
        let mut given = Vec::new();
        for (name, input) in names.zip(&call.inputs) {
            match &input.0 {
                Source::Value(value) | Source::Traced(value, _) => given.push((name, value)),
                Source::Future(_) | Source::Futures(_) | Source::Call(_) => {
                    mistake = Some(format!(
                        "parameter `{name}` is the result of a task, and there is no run yet that could have one; give a value"
                    ));
                }
            }
        }
        let (names, values): (Vec<_>, Vec<_>) = given.into_iter().unzip();
        let (parameters, unwritable) = json_of(names, values);
        Serve {
            definition: call.definition,
            parameters: Value::Object(parameters),
            name: name.into(),
            tags: call.options.common.tags.clone(),
            schedule: None,
            timezone: None,
            limit: MOST,
            mistake: mistake.or(unwritable),
        }
    }
}

impl Serve {
    /// Runs the flow at the times of a cron expression, in UTC or the zone of [`with_timezone`](Self::with_timezone).
    ///
    /// ```no_run
    /// # use prefect_rs::prelude::*;
    /// # #[task] async fn load() -> Result<u8> { Ok(1) }
    /// # #[flow] async fn report() -> Result<u8> { Ok(1) }
    /// # fn start() -> Result<()> {
    /// report().serve("nightly").with_cron("0 3 * * *").run()?;
    /// # Ok(()) }
    /// ```
    pub fn with_cron(mut self, cron: impl Into<String>) -> Self {
        self.schedule = Some(json!({"cron": cron.into()}));
        self
    }

    /// Runs the flow again and again after this time.
    ///
    /// ```no_run
    /// # use prefect_rs::prelude::*;
    /// # #[task] async fn load() -> Result<u8> { Ok(1) }
    /// # #[flow] async fn report() -> Result<u8> { Ok(1) }
    /// # fn start() -> Result<()> {
    /// report().serve("every ten minutes").with_interval_seconds(600).run()?;
    /// # Ok(()) }
    /// ```
    pub fn with_interval_seconds(mut self, seconds: impl Seconds) -> Self {
        self.schedule = Some(json!({"interval": seconds.span().as_secs_f64()}));
        self
    }

    /// Runs the flow at the times of an RFC 5545 rule.
    ///
    /// ```no_run
    /// # use prefect_rs::prelude::*;
    /// # #[task] async fn load() -> Result<u8> { Ok(1) }
    /// # #[flow] async fn report() -> Result<u8> { Ok(1) }
    /// # fn start() -> Result<()> {
    /// report().serve("workdays").with_rrule("FREQ=DAILY;BYDAY=MO,TU,WE,TH,FR").run()?;
    /// # Ok(()) }
    /// ```
    pub fn with_rrule(mut self, rule: impl Into<String>) -> Self {
        self.schedule = Some(json!({"rrule": rule.into()}));
        self
    }

    /// Reads the times of the schedule as those of this time zone, also where clocks are changed twice a year.
    ///
    /// ```no_run
    /// # use prefect_rs::prelude::*;
    /// # #[task] async fn load() -> Result<u8> { Ok(1) }
    /// # #[flow] async fn report() -> Result<u8> { Ok(1) }
    /// # fn start() -> Result<()> {
    /// report().serve("nightly").with_cron("0 3 * * *").with_timezone("Europe/Berlin").run()?;
    /// # Ok(()) }
    /// ```
    pub fn with_timezone(mut self, zone: impl Into<String>) -> Self {
        self.timezone = Some(zone.into());
        self
    }

    /// Tags the deployment and its runs.
    ///
    /// ```no_run
    /// # use prefect_rs::prelude::*;
    /// # #[task] async fn load() -> Result<u8> { Ok(1) }
    /// # #[flow] async fn report() -> Result<u8> { Ok(1) }
    /// # fn start() -> Result<()> {
    /// report().serve("nightly").with_tags(["reports"]).run()?;
    /// # Ok(()) }
    /// ```
    pub fn with_tags(mut self, tags: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.tags = tags.into_iter().map(Into::into).collect();
        self
    }

    /// Runs at most this many at once.
    ///
    /// ```no_run
    /// # use prefect_rs::prelude::*;
    /// # #[task] async fn load() -> Result<u8> { Ok(1) }
    /// # #[flow] async fn report() -> Result<u8> { Ok(1) }
    /// # fn start() -> Result<()> {
    /// report().serve("one at a time").with_limit(1).run()?;
    /// # Ok(()) }
    /// ```
    pub fn with_limit(mut self, limit: usize) -> Self {
        self.limit = limit.clamp(1, MOST);
        self
    }

    /// Serves until the process is asked to end, in a function that is not `async`.
    ///
    /// ```no_run
    /// # use prefect_rs::prelude::*;
    /// # #[task] async fn load() -> Result<u8> { Ok(1) }
    /// # #[flow] async fn report() -> Result<u8> { Ok(1) }
    /// # fn start() -> Result<()> {
    /// report().serve("on request").run()?; // until Ctrl-C
    /// # Ok(()) }
    /// ```
    pub fn run(self) -> std::result::Result<(), RunError> {
        context::block_on(self.into_future())
    }

    async fn serve(self) -> std::result::Result<(), String> {
        if let Some(mistake) = self.mistake {
            return Err(mistake);
        }
        let engine = Engine::global().await?;
        if let Ok(id) = std::env::var(program::FLOW_RUN_ID) {
            let id = Uuid::parse_str(&id).map_err(|error| error.to_string())?;
            flow_runs::take_over(engine, self.definition, id).await?;
            return Ok(());
        }
        let client = engine.client.clone();
        let body = self.body(&engine);
        let flow_name = self.definition.name().to_owned();
        let source = on_runtime(async move { DueRuns::register(client, &flow_name, body).await });
        let source = source.await.map_err(|error| error.to_string())?;
        info!(target: "prefect.serve", "Serving flow `{}` as deployment `{}`; Ctrl-C ends it", self.definition.name(), self.name);
        self.work(&engine, &source).await;
        let (client, is_ours) = (engine.client.clone(), engine.is_ours);
        let id = source.deployment;
        let pause = async move {
            match is_ours {
                true => client.pause_schedule(id).await,
                false => client.pause_deployment(id).await,
            }
        };
        // Runs of a schedule that nobody carries out would only become late.
        if self.schedule.is_some()
            && let Err(error) = on_runtime(pause).await
        {
            warn!(target: "prefect.serve", "the schedule could not be paused: {error}");
        }
        engine.flush().await;
        Ok(())
    }

    /// Returns the deployment as the server takes it.
    ///
    /// It names no code that an agent could start: what this program serves, this program runs.
    fn body(&self, engine: &Engine) -> Value {
        let program = std::env::current_exe().unwrap_or_default();
        let common = &self.definition.options().common;
        let mut body = json!({
            "name": self.name,
            "parameters": self.parameters,
            "tags": self.tags,
            "parameter_openapi_schema": self.definition.schema(),
            "description": common.description,
            "version": common.version,
            "entrypoint": format!("{}:{}", program.display(), self.definition.function()),
        });
        let more = match engine.is_ours {
            true => json!({
                "schedule": self.schedule(),
                "is_schedule_active": self.schedule.is_some(),
            }),
            false => {
                let schedules = self
                    .schedule()
                    .map(|schedule| json!({"schedule": schedule, "active": true}));
                json!({
                    "schedules": schedules.as_slice(),
                    "paused": false,
                    "enforce_parameter_schema": true,
                })
            }
        };
        if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
            body.extend(more);
        }
        body
    }

    fn schedule(&self) -> Option<Value> {
        let mut schedule = self.schedule.clone()?;
        if let Some(zone) = self.timezone.as_deref() {
            schedule["timezone"] = json!(zone);
        } else if schedule.get("cron").is_some() {
            schedule["timezone"] = json!("UTC");
        }
        Some(schedule)
    }

    /// Takes due runs until the process is asked to end, and waits for those under way.
    async fn work(&self, engine: &Arc<Engine>, source: &DueRuns) {
        let cancellation = Cancellation::new();
        let _signals = signals::tell(&cancellation, None);
        let room = Arc::new(Semaphore::new(self.limit));
        let mut runs = JoinSet::new();
        let mut taken = HashSet::new();
        loop {
            let (asked, free) = (source.clone(), room.available_permits().max(1));
            let before = engine.now() + POLL;
            let due = on_runtime(async move { asked.due(before, free).await }).await;
            match due {
                Ok(due) => {
                    for run in due.into_iter().filter(|run| taken.insert(run.id)) {
                        let work = carry_out(engine.clone(), self.definition, run, room.clone());
                        runs.spawn(work);
                    }
                }
                Err(error) => warn!(target: "prefect.serve", "failed to ask for due runs: {error}"),
            }
            while let Some(ended) = runs.try_join_next() {
                // A run that is scheduled again, as for a retry after a crash, is taken again.
                if let Ok(id) = ended {
                    taken.remove(&id);
                }
            }
            tokio::select! {
                () = sleep(POLL) => {}
                () = cancellation.wait() => break,
            }
        }
        while runs.join_next().await.is_some() {}
    }
}

impl IntoFuture for Serve {
    type Output = std::result::Result<(), RunError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let label = format!("serving flow `{}`", self.definition.name());
            self.serve()
                .await
                .map_err(|reason| RunError::not_run(label, reason))
        })
    }
}

async fn carry_out(
    engine: Arc<Engine>,
    definition: &'static FlowDefinition,
    run: Document<FlowRun>,
    room: Arc<Semaphore>,
) -> Uuid {
    let wait = run.next_scheduled_start_time.map(|at| at - engine.now());
    sleep(wait.and_then(|wait| wait.to_std().ok()).unwrap_or_default()).await;
    let Ok(_permit) = room.acquire().await else {
        return run.id;
    };
    let (client, id) = (engine.client.clone(), run.id);
    let claim = on_runtime(async move {
        // Told again as the same transition, so that what was taken without an answer is not lost.
        let state = json!({"type": "PENDING", "state_details": {"transition_id": Uuid::now_v7()}});
        let claim = || client.set_flow_run_state(id, &state, false);
        patiently(&client, "a due run waits", claim).await
    });
    match claim.await {
        Ok(answer) if answer.status == "ACCEPT" => {
            if let Err(error) = flow_runs::take_over(engine, definition, id).await {
                warn!(target: "prefect.serve", "flow run `{id}` could not be carried out: {error}");
            }
        }
        // Somebody else has it, or it is not due any more.
        Ok(_) => {}
        Err(error) => {
            warn!(target: "prefect.serve", "flow run `{id}` could not be claimed: {error}")
        }
    }
    id
}

/// Where due runs come from.
#[derive(Clone)]
struct DueRuns {
    client: Client,
    deployment: Uuid,
    /// For servers that do not give out the runs of a deployment by themselves.
    queue: Option<Uuid>,
}

impl DueRuns {
    async fn register(client: Client, flow_name: &str, mut body: Value) -> Result<Self> {
        let flow = client.create_flow(flow_name, &[]).await?;
        body["flow_id"] = json!(flow.id);
        let deployment = client.create_deployment(&body).await?.id;
        let mut source = Self {
            client,
            deployment,
            queue: None,
        };
        let is_unknown = |status: u16| matches!(status, 404 | 405);
        match source.of_deployment(chrono::DateTime::UNIX_EPOCH, 1).await {
            Err(error)
                if error
                    .status()
                    .is_some_and(|status| is_unknown(status.as_u16())) =>
            {
                source.queue = Some(source.make_queue().await?);
            }
            answer => drop(answer?),
        }
        Ok(source)
    }

    async fn make_queue(&self) -> Result<Uuid> {
        let name = format!("serve-{}", self.deployment);
        let found = Client::optional(self.client.read_work_queue_by_name(&name).await)?;
        if let Some(queue) = found {
            return Ok(queue.id);
        }
        let body = json!({"name": name, "filter": {"deployment_ids": [self.deployment]}});
        let queue: Document<crate::client::WorkQueue> =
            self.client.post("/work_queues/", &body).await?;
        Ok(queue.id)
    }

    async fn due(
        &self,
        before: chrono::DateTime<chrono::Utc>,
        limit: usize,
    ) -> Result<Vec<Document<FlowRun>>> {
        match self.queue {
            Some(queue) => self.client.read_work_queue_runs(queue, before, limit).await,
            None => self.of_deployment(before, limit).await,
        }
    }

    async fn of_deployment(
        &self,
        before: chrono::DateTime<chrono::Utc>,
        limit: usize,
    ) -> Result<Vec<Document<FlowRun>>> {
        let body = json!({
            "deployment_ids": [self.deployment], "scheduled_before": before, "limit": limit,
        });
        self.client
            .post("/deployments/get_scheduled_flow_runs", &body)
            .await
    }
}

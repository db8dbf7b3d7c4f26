//! From a claimed run to what is started for it: its deployment, its pool's template, its blocks.

use serde_json::json;
use tracing::warn;

use super::Shared;
use crate::agent::Source;
use crate::agent::backoff::Backoff;
use crate::agent::jobs::{self, Job, Variables};
use crate::agent::runners::{self, Launch};
use crate::client::{self, Deployment, Document, FlowRun};

impl Shared {
    /// Returns what to start for a run; an error is a sentence for its final state.
    pub(super) async fn prepare(&self, run: &FlowRun) -> Result<Launch, String> {
        let Some(id) = run.deployment_id else {
            return Err(format!(
                "The run belongs to no deployment, so this {} does not know what to start.",
                self.host.role
            ));
        };
        let ask = || self.client.read_deployment(id);
        let deployment = read("The run's deployment", ask).await?;
        let has_code = deployment.raw["flow_data"].is_object();
        if let (true, Source::Queue(_) | Source::Given) = (has_code, &self.source) {
            return runners::launch(run, &deployment.raw, &self.host);
        }
        let job = self.job(run, &deployment).await?;
        let mut launch = if has_code {
            let mut launch = runners::launch(run, &deployment.raw, &self.host)?;
            runners::add_job(&mut launch, &job)?;
            launch
        } else {
            runners::launch_job(run, &job, &self.host)?
        };
        let set = &mut launch.invocation.set;
        let mut tell = |name: &str, value: String| set.insert(0, (name.into(), value.into()));
        tell("PREFECT__FLOW_ID", run.flow_id.to_string());
        tell("PREFECT__DEPLOYMENT_ID", id.to_string());
        tell("PREFECT__DEPLOYMENT_NAME", deployment.name.clone());
        if let Source::Pool { worker, .. } = &self.source {
            tell("PREFECT__WORKER_NAME", worker.clone());
        }
        Ok(launch)
    }

    /// Reads what the process of a run is given: by its pool, or by the infrastructure block of a 2.20 deployment.
    async fn job(&self, run: &FlowRun, deployment: &Document<Deployment>) -> Result<Job, String> {
        let none = serde_json::Map::new();
        let variables = Variables::of(
            deployment.raw["job_variables"].as_object().unwrap_or(&none),
            run.job_variables.as_ref().unwrap_or(&none),
        );
        let template = match &self.source {
            Source::Pool { name, .. } => {
                let ask = || self.client.read_work_pool(name);
                let pool = read(&format!("Work pool `{name}`"), ask).await?;
                pool.base_job_template.clone()
            }
            Source::Queue(_) | Source::Given => self.infrastructure(deployment).await?,
        };
        let resolve = || jobs::resolve(&self.client, &template, &variables);
        persist("The job", resolve).await
    }

    /// Returns a template of the infrastructure block that a deployment of a 2.20 agent names.
    async fn infrastructure(
        &self,
        deployment: &Document<Deployment>,
    ) -> Result<serde_json::Value, String> {
        let Some(id) = deployment.raw["infrastructure_document_id"].as_str() else {
            return Ok(json!({}));
        };
        let path = format!("/block_documents/{id}?include_secrets=true");
        let ask = || self.client.get::<serde_json::Value>(&path);
        let block = read("The deployment's infrastructure block", ask).await?;
        match block["block_type"]["slug"].as_str() {
            Some("process") | None => Ok(jobs::template_of_block(&block["data"])),
            Some(other) => Err(format!(
                "This {} starts processes, and the deployment's infrastructure is a block of the type `{other}`. Deploy the flow again with a `process` block, or start {} that has `{other}`.",
                self.host.role,
                self.host.role.one()
            )),
        }
    }
}

/// Reads until the server answers; its refusal is a sentence.
async fn read<T, F>(what: &str, mut ask: impl FnMut() -> F) -> Result<T, String>
where
    F: Future<Output = client::Result<T>>,
{
    let ask = || {
        let asked = ask();
        async move {
            asked.await.map_err(|error| match error.is_refusal() {
                true => jobs::Error::Wrong(format!("{what} could not be read: {error}")),
                false => jobs::Error::Away(error),
            })
        }
    };
    persist(what, ask).await
}

/// Asks until the server is there.
async fn persist<T, F>(what: &str, mut ask: impl FnMut() -> F) -> Result<T, String>
where
    F: Future<Output = Result<T, jobs::Error>>,
{
    let mut backoff = Backoff::new();
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(jobs::Error::Wrong(reason)) => return Err(reason),
            Err(jobs::Error::Away(error)) => {
                warn!("will try again; {what} could not be read: {error}");
                backoff.pause().await;
            }
        }
    }
}

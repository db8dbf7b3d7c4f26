//! `deployment create`: from a specification to deployments on the server.
//!
//! Each specification of a file is tried, so that one mistake does not keep the others away; the
//! command fails if any of them did.

use std::{collections::HashMap, path::PathBuf};

use serde_json::{Value, json};

use super::super::{
    Context,
    error::{Code, Error, Result},
    output, work_pool,
};
use crate::client::Client;
use crate::clock::{Clock, SystemClock};
use crate::deployments::{self, Deployment, Interpreter, Specification, Storage};
use crate::schemas::json_schema::{self, Required};
use crate::schemas::schedules::Schedule;

#[derive(Debug, clap::Args)]
pub(super) struct Create {
    /// The specification: Python (.py), YAML (.yaml, .yml) or JSON (.json).
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The Python interpreter that reads and runs the flow [default: PREFECT_RS_PYTHON, the active virtual environment's, or the first on PATH].
    #[arg(long, value_name = "PROGRAM")]
    python: Option<PathBuf>,
}

impl Create {
    pub(super) async fn run(self, cx: &Context, client: &Client) -> Result {
        let named = self.python.as_deref().or(cx.settings().python.as_deref());
        let interpreter = Interpreter::choose(named);
        let storage = Storage::at(&cx.settings().local_storage_path);
        let file = std::path::absolute(&self.file).unwrap_or(self.file);
        let specifications = deployments::read(&file, &interpreter)?;
        let all = specifications.len();
        let mut failures: Vec<Error> = Vec::new();
        // All flows are known before the first deployment is made, so that two of one name are seen.
        let mut resolved: Vec<Result<Deployment>> = specifications
            .iter()
            .map(|specification| Ok(deployments::resolve(specification, &interpreter, &storage)?))
            .collect();
        refuse_twins(&specifications, &resolved)?;
        if all == 1
            && let Some(only) = resolved.pop()
        {
            return create(client, only?).await;
        }
        for deployment in resolved {
            let outcome = match deployment {
                Ok(deployment) => create(client, deployment).await,
                Err(error) => Err(error),
            };
            if let Err(error) = outcome {
                output::say(&error.to_string());
                failures.push(error);
            }
        }
        match failures.pop() {
            None => Ok(()),
            Some(last) => Err(Error::new(
                last.code,
                format!(
                    "{} of {all} deployments could not be created",
                    failures.len() + 1
                ),
            )),
        }
    }
}

/// What servers of the first generation do not know of a deployment.
const LATER: [&str; 5] = [
    "parameter_openapi_schema",
    "enforce_parameter_schema",
    "description",
    "entrypoint",
    "pull_steps",
];

/// Refuses a file in which one deployment would take the place of another.
fn refuse_twins(specifications: &[Specification], resolved: &[Result<Deployment>]) -> Result {
    let mut seen: HashMap<(&str, &str), &Specification> = HashMap::new();
    for (specification, deployment) in specifications.iter().zip(resolved) {
        let Ok(deployment) = deployment else { continue };
        let key = (&*deployment.flow_name, &*deployment.name);
        let Some(first) = seen.insert(key, specification) else {
            continue;
        };
        let place = |specification: &Specification| match specification.line {
            Some(line) => format!("{}, line {line}", specification.file.display()),
            None => specification.file.display().to_string(),
        };
        return Err(Error::new(
            Code::Usage,
            format!(
                "two specifications are of the same deployment '{}/{}', so none was created: {} and {}",
                output::clean(&deployment.flow_name),
                output::clean(&deployment.name),
                place(first),
                place(specification)
            ),
        )
        .hint("give one of them another `name`"));
    }
    Ok(())
}

async fn create(client: &Client, deployment: Deployment) -> Result {
    let flow = client.create_flow(&deployment.flow_name, &[]).await?;
    let mut body = body(&deployment, flow.raw["id"].clone());
    if let Some(pool) = &deployment.work_pool {
        // Told in the words that say what to do, before the server refuses.
        work_pool::find(client, &pool.name).await?;
    }
    let created = match client.create_deployment(&body).await {
        // A server of the first generation refuses what it does not know.
        Err(error) if error.status().is_some_and(|status| status.as_u16() == 422) => {
            let known = |name: &&str| body.as_object_mut()?.remove(*name);
            if LATER.iter().filter_map(known).count() == 0 {
                return Err(error.into());
            }
            client.create_deployment(&body).await?
        }
        created => created?,
    };
    output::print_line(&created.id.to_string());
    output::say(&format!(
        "Created deployment '{}/{}' from {}.",
        output::clean(&deployment.flow_name),
        output::clean(&deployment.name),
        deployment.flow_location.display(),
    ));
    for doubt in doubts(&deployment) {
        output::say(&format!("Warning: {doubt}"));
    }
    Ok(())
}

/// What its author may not have meant: the deployment can be made, but its runs will not do.
fn doubts(deployment: &Deployment) -> Vec<String> {
    let mut doubts = Vec::new();
    let runner = deployment.flow_runner["type"].as_str().unwrap_or_default();
    if ["docker", "kubernetes"].contains(&runner) && deployment.work_pool.is_none() {
        doubts.push(format!(
            "agents of prefect-rs do not start flow runs with the flow runner `{runner}`; an agent of Prefect 2.0b3 does"
        ));
    }
    let schedule = deployment
        .schedule
        .clone()
        .map(serde_json::from_value::<Schedule>);
    if let Some(Ok(schedule)) = schedule
        && schedule.dates(SystemClock.now(), 1, None).is_empty()
    {
        doubts.push("its schedule never comes due (again), so it makes no runs".to_owned());
    }
    if let Some(described) = &deployment.described {
        let schema = json_schema::as_meant(&described.parameter_openapi_schema);
        let parameters = Value::Object(deployment.parameters.clone());
        if let Err(misfit) = json_schema::check(&schema, &parameters, Required::Ignored) {
            // Engines read some texts as numbers, so they have the last word.
            doubts.push(format!("its parameters may be refused: {misfit}"));
        }
    }
    doubts
}

fn body(deployment: &Deployment, flow_id: Value) -> Value {
    let mut body = json!({
        "name": deployment.name,
        "flow_id": flow_id,
        "flow_data": deployment.code.to_value(),
        "schedule": deployment.schedule,
        "is_schedule_active": deployment.is_schedule_active,
        "parameters": deployment.parameters,
        "tags": deployment.tags,
        "flow_runner": deployment.flow_runner,
    });
    if let Some(pool) = &deployment.work_pool {
        body["work_pool_name"] = json!(pool.name);
        body["job_variables"] = json!(pool.job_variables);
        if let Some(queue) = &pool.work_queue_name {
            body["work_queue_name"] = json!(queue);
        }
    }
    if let Some(flow) = &deployment.described {
        body["parameter_openapi_schema"] = flow.parameter_openapi_schema.clone();
        body["enforce_parameter_schema"] = json!(flow.enforce_parameter_schema);
        body["description"] = json!(flow.description);
    }
    if let Some(entrypoint) = deployment.code.entrypoint() {
        body["entrypoint"] = json!(entrypoint);
        // Without a step the engines copy the code's folder to where they work; this one leaves all as it is.
        let stay = "prefect.deployments.steps.set_working_directory";
        body["pull_steps"] = json!([{stay: {"directory": "."}}]);
    }
    body
}

impl From<deployments::Error> for Error {
    fn from(error: deployments::Error) -> Self {
        let code = match &error {
            deployments::Error::Io { source, .. }
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                Code::NotFound
            }
            deployments::Error::Invalid { .. } => Code::Usage,
            deployments::Error::Io { .. }
            | deployments::Error::Python { .. }
            | deployments::Error::Rust { .. }
            | deployments::Error::TooLarge { .. } => Code::Failure,
        };
        Error::new(code, error.to_string()).maybe_hint(error.hint().map(str::to_owned))
    }
}

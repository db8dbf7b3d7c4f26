//! `deployment`: flows with everything that is needed to run them.

mod create;
mod execute;
mod schedule;

use chrono::{DateTime, TimeDelta, Utc};
use clap::Subcommand;
use serde_json::{Map, Value, json};
use std::{collections::HashMap, time::Duration};
use uuid::Uuid;

use super::{
    Context,
    error::{Code, Error, Result},
    find, flow_run, instant,
    output::{self, OutputArg},
    suggest,
};
use crate::{
    client::{Client, CreateFlowRun, Deployment, Document},
    clock::Clock,
    settings::Value as _,
};

/// Create, list, run and schedule deployments.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  prefect-rs deployment run my-flow/my-deployment")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create or update deployments from a specification file and print their ids
    ///
    /// The code that a specification names is copied to storage; a later edit
    /// changes nothing until the deployment is created again. A specification
    /// in YAML or JSON, or a list of them:
    ///
    ///   name: nightly
    ///   flow_location: ./backup.sh
    ///   parameters: {target: /data}
    ///   tags: [ops]
    ///   schedule: {cron: "0 3 * * *"}
    ///   flow_runner:
    ///     type: subprocess
    ///     config:
    ///       env: {LANG: C}
    ///       args: ["--to", "{{ parameters.target }}"]
    ///       timeout_seconds: 600
    ///
    /// A Python file calls DeploymentSpec(..) of prefect.deployments. What is
    /// run is a Python flow (.py), a flow in Rust (the source file of a program
    /// or example, which Cargo then builds, or the built program), or any
    /// executable: its exit code is the outcome, its output the log, and it
    /// finds its parameters as JSON in PREFECT__PARAMETERS and one by one in
    /// PREFECT__PARAMETER_<NAME>.
    #[command(
        after_help = "Examples:\n  prefect-rs deployment create deployment.yaml\n  prefect-rs deployment create --python venv/bin/python flow.py"
    )]
    #[command(verbatim_doc_comment)]
    Create(create::Create),
    /// List the deployments.
    #[command(after_help = "Example:\n  prefect-rs deployment ls --flow-name my-flow")]
    Ls(Ls),
    /// Show a deployment.
    #[command(after_help = "Example:\n  prefect-rs deployment inspect my-flow/my-deployment")]
    Inspect {
        /// FLOW/DEPLOYMENT, or its name, its id, or the beginning of it.
        deployment: String,
        #[command(flatten)]
        output: OutputArg,
    },
    /// Make a run of a deployment and print its id; an agent executes it.
    #[command(
        after_help = "Examples:\n  prefect-rs deployment run my-flow/my-deployment\n  prefect-rs deployment run my-flow/my-deployment --param name=Marvin --param 'days=[1, 2]' --watch"
    )]
    Run(Run),
    /// Make a run of a deployment and execute it here, without an agent.
    ///
    /// The run's output is printed, Ctrl-C cancels it, and the exit code says whether it completed.
    #[command(
        after_help = "Example:\n  prefect-rs deployment execute my-flow/my-deployment --param name=Marvin"
    )]
    Execute(execute::Execute),
    /// List, create, pause, resume and delete the schedules of a deployment.
    #[command(after_help = "Example:\n  prefect-rs deployment schedule ls my-flow/my-deployment")]
    Schedule(schedule::Args),
    /// Stop a deployment's schedules and remove its runs that have not started.
    #[command(
        after_help = "Example:\n  prefect-rs deployment pause-schedule my-flow/my-deployment"
    )]
    PauseSchedule(One),
    /// Let a deployment's schedules make runs again.
    #[command(
        after_help = "Example:\n  prefect-rs deployment resume-schedule my-flow/my-deployment"
    )]
    ResumeSchedule(One),
    /// Delete a deployment with its runs that nobody has begun; the others stay.
    #[command(after_help = "Example:\n  prefect-rs deployment delete my-flow/my-deployment")]
    Delete(One),
}

#[derive(Debug, clap::Args)]
struct Ls {
    /// Only those of this flow; may be given several times.
    #[arg(long = "flow-name", value_name = "NAME")]
    flow_names: Vec<String>,
    /// Show the newest first instead of sorting by name.
    #[arg(long)]
    by_created: bool,
    #[command(flatten)]
    output: OutputArg,
}

#[derive(Debug, clap::Args)]
struct One {
    /// FLOW/DEPLOYMENT, or its name, its id, or the beginning of it.
    deployment: String,
}

#[derive(Debug, clap::Args)]
struct Run {
    /// FLOW/DEPLOYMENT, or its name, its id, or the beginning of it.
    deployment: String,
    #[command(flatten)]
    parameters: Parameters,
    /// The run's name [default: one is made up].
    #[arg(long, visible_alias = "flow-run-name")]
    name: Option<String>,
    /// A tag beside those of the deployment; may be given several times.
    #[arg(short = 't', long = "tag", value_name = "TAG", value_parser = output::name)]
    tags: Vec<String>,
    /// A job variable over those of the deployment; the value is JSON, or else text. May be given several times.
    #[arg(long = "job-variable", value_name = "NAME=VALUE")]
    job_variables: Vec<String>,
    /// Start it after this time span, such as `90`, `1:30:00` or `2 hours`.
    #[arg(long, value_name = "SPAN", conflicts_with = "start_at", value_parser = Duration::parse)]
    start_in: Option<Duration>,
    /// Start it at this instant, such as `2026-12-01 08:00` on this machine's clock, or `2026-12-01T08:00:00Z`.
    #[arg(long, value_name = "INSTANT", value_parser = instant::parse)]
    start_at: Option<DateTime<Utc>>,
    /// Wait until the run has ended; the exit code says whether it completed.
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    output: OutputArg,
}

impl Args {
    pub(super) async fn run(self, cx: &Context) -> Result {
        let client = cx.client().await?;
        match self.command {
            Command::Create(args) => args.run(cx, &client).await,
            Command::Ls(args) => ls(cx, &client, args).await,
            Command::Inspect { deployment, output } => inspect(&client, &deployment, output).await,
            Command::Run(args) => run(cx, &client, args).await,
            Command::Execute(args) => args.run(cx, client).await,
            Command::Schedule(args) => args.run(cx, &client).await,
            Command::PauseSchedule(args) => {
                let deployment = find(&client, &args.deployment).await?;
                client.pause_schedule(deployment.id).await?;
                output::say(&format!(
                    "Paused the schedule of deployment '{}'.",
                    output::clean(&deployment.name)
                ));
                Ok(())
            }
            Command::ResumeSchedule(args) => {
                let deployment = find(&client, &args.deployment).await?;
                client.resume_schedule(deployment.id).await?;
                output::say(&format!(
                    "Resumed the schedule of deployment '{}'.",
                    output::clean(&deployment.name)
                ));
                Ok(())
            }
            Command::Delete(args) => {
                let deployment = find(&client, &args.deployment).await?;
                client.delete_deployment(deployment.id).await?;
                output::say(&format!(
                    "Deleted deployment '{}'.",
                    output::clean(&deployment.name)
                ));
                Ok(())
            }
        }
    }
}

/// Finds a deployment by `FLOW/DEPLOYMENT`, its id, the beginning of it, or its name alone.
pub(super) async fn find(client: &Client, deployment: &str) -> Result<Document<Deployment>> {
    let found = match (Uuid::parse_str(deployment), deployment.split_once('/')) {
        (Ok(id), _) => Client::optional(client.read_deployment(id).await)?,
        (Err(_), Some((flow, name))) => {
            Client::optional(client.read_deployment_by_name(flow, name).await)?
        }
        (Err(_), None) => None,
    };
    if let Some(deployment) = found {
        return Ok(deployment);
    }
    // A name may look like an id, and the names of flows and deployments may have slashes in them.
    let all = client.read_deployments(json!({}), None).await?;
    if !deployment.contains('/') {
        return find::among(deployment, all);
    }
    let flows = flow_run::flow_names(client, all.iter().map(|one| one.flow_id)).await?;
    let (mut meant, others): (Vec<_>, Vec<_>) = all
        .into_iter()
        .partition(|one| one.name == deployment || full_name(one, &flows) == deployment);
    match meant.len() {
        1 => Ok(meant.remove(0)),
        0 => Err(find::nothing::<Deployment>(
            deployment,
            suggestion(deployment, &others, &flows),
        )),
        _ => Err(find::several(deployment, &meant)),
    }
}

/// Returns the deployment that was probably meant.
fn suggestion(
    deployment: &str,
    all: &[Document<Deployment>],
    flows: &HashMap<Uuid, String>,
) -> Option<String> {
    let names: Vec<String> = all.iter().map(|one| full_name(one, flows)).collect();
    suggest::hint(deployment, names.iter().map(String::as_str))
}

fn full_name(deployment: &Deployment, flows: &HashMap<Uuid, String>) -> String {
    let flow = flows.get(&deployment.flow_id).map_or("-", String::as_str);
    format!("{flow}/{}", deployment.name)
}

async fn ls(cx: &Context, client: &Client, args: Ls) -> Result {
    let mut filter = json!({});
    if !args.flow_names.is_empty() {
        filter["flows"] = json!({"name": {"any_": args.flow_names}});
    }
    let mut deployments = client.read_deployments(filter, None).await?;
    let flows = flow_run::flow_names(client, deployments.iter().map(|one| one.flow_id)).await?;
    match args.by_created {
        true => deployments.sort_by_key(|one| std::cmp::Reverse(one.created)),
        false => deployments.sort_by_cached_key(|one| full_name(one, &flows)),
    }
    if args.output.is_json() {
        output::print_json(&deployments);
        return Ok(());
    }
    if deployments.is_empty() {
        output::say(
            "There are no deployments. Create one with `prefect-rs deployment create FILE`.",
        );
        return Ok(());
    }
    let is_wide = args.output.is_wide();
    let mut table = match is_wide {
        true => cx
            .style
            .table(["Name", "ID", "Schedule", "Tags", "Parameters"])
            .wraps(&["Name", "Schedule", "Tags", "Parameters"]),
        false => cx.style.table(["Name", "ID"]).wraps(&["Name"]),
    };
    for deployment in &deployments {
        let mut row = vec![
            cx.style.name(full_name(deployment, &flows)),
            cx.style.id(deployment.id),
        ];
        if is_wide {
            row.extend([
                cx.style.text(schedule_text(deployment)),
                cx.style.text(deployment.tags.join(", ")),
                cx.style.text(Value::Object(deployment.parameters.clone())),
            ]);
        }
        table.row(row);
    }
    table.print();
    Ok(())
}

/// Returns the schedules in words.
fn schedule_text(deployment: &Deployment) -> String {
    let texts: Vec<String> = deployment
        .all_schedules()
        .into_iter()
        .map(one_schedule_text)
        .collect();
    match (texts.is_empty(), deployment.makes_runs()) {
        (true, _) => "-".to_owned(),
        (false, true) => texts.join("; "),
        (false, false) => format!("{} (paused)", texts.join("; ")),
    }
}

fn one_schedule_text(schedule: &Value) -> String {
    let zone = schedule["timezone"]
        .as_str()
        .map(|zone| format!(" {zone}"))
        .unwrap_or_default();
    match (
        schedule["cron"].as_str(),
        schedule["interval"].as_f64(),
        schedule["rrule"].as_str(),
    ) {
        (Some(cron), _, _) => format!("cron {cron}{zone}"),
        (None, Some(seconds), _) => format!("every {}", output::duration(seconds)),
        (None, None, Some(rrule)) => format!("rrule {rrule}{zone}"),
        (None, None, None) => schedule.to_string(),
    }
}

async fn inspect(client: &Client, deployment: &str, output: OutputArg) -> Result {
    let deployment = find(client, deployment).await?;
    output.show(&deployment);
    Ok(())
}

async fn run(cx: &Context, client: &Client, args: Run) -> Result {
    let deployment = find(client, &args.deployment).await?;
    let mut state = json!({"type": "SCHEDULED", "name": "Scheduled"});
    // Without an instant it is the server that says what time it is now.
    if let Some(at) = start(client, &args)? {
        state["state_details"] = json!({"scheduled_time": at});
    }
    let request = CreateFlowRun {
        name: args.name.clone(),
        parameters: args.parameters.for_run_of(&deployment)?,
        tags: args.tags.clone(),
        job_variables: pairs(&args.job_variables)?,
        state: Some(state),
    };
    let run = client
        .create_flow_run_from_deployment(deployment.id, &request)
        .await?;
    if !args.output.is_json() {
        output::say(&format!("Created flow run '{}'.", output::clean(&run.name)));
        output::print_line(&run.id.to_string());
    }
    let ended = match args.watch {
        true => flow_run::watch::until_end(cx, client, &run).await,
        false => Ok(()),
    };
    if args.output.is_json() {
        // A script that waits wants to read what came of the run.
        let run = match args.watch {
            true => client.read_flow_run(run.id).await.unwrap_or(run),
            false => run,
        };
        output::print_json(&run);
    }
    ended
}

/// Returns when the run is to start, if that is not at once; a time span begins now by the server's clock.
fn start(client: &Client, args: &Run) -> Result<Option<DateTime<Utc>>> {
    let Some(span) = args.start_in else {
        return Ok(args.start_at);
    };
    TimeDelta::from_std(span)
        .ok()
        .and_then(|span| client.clock().now().checked_add_signed(span))
        .map(Some)
        .ok_or_else(|| Error::new(Code::Usage, "the time span of --start-in is out of range"))
}

/// Parameters over those of the deployment.
#[derive(Debug, clap::Args)]
struct Parameters {
    /// A parameter; the value is JSON, or else text. May be given several times.
    #[arg(short = 'p', long = "param", value_name = "NAME=VALUE")]
    params: Vec<String>,
    /// All parameters as a JSON object; `--param` wins.
    #[arg(long, visible_alias = "params", value_name = "JSON")]
    params_json: Option<String>,
}

impl Parameters {
    /// Returns those for a run of a deployment.
    fn for_run_of(&self, deployment: &Document<Deployment>) -> Result<Map<String, Value>> {
        let parameters = self.read()?;
        check_names(deployment, &parameters)?;
        Ok(parameters)
    }

    fn read(&self) -> Result<Map<String, Value>> {
        let mut parameters = match &self.params_json {
            None => Map::new(),
            Some(text) => serde_json::from_str(text).map_err(|error| {
                Error::new(
                    Code::Usage,
                    format!("--params-json is not a JSON object: {error}"),
                )
            })?,
        };
        parameters.extend(pairs(&self.params)?);
        Ok(parameters)
    }
}

/// Refuses parameters that the flow does not have, which some engines ignore and others fail by.
fn check_names(deployment: &Document<Deployment>, parameters: &Map<String, Value>) -> Result {
    let schema = &deployment.raw["parameter_openapi_schema"];
    let known = match schema["properties"].as_object() {
        Some(known) if !known.is_empty() && schema["additionalProperties"] != true => known,
        _ => return Ok(()),
    };
    let Some(name) = parameters.keys().find(|name| !known.contains_key(*name)) else {
        return Ok(());
    };
    let names = known
        .keys()
        .map(|name| format!("'{}'", output::clean(name)));
    let hint = match suggest::nearest(name, known.keys().map(String::as_str)) {
        Some(near) => format!("did you mean '{}'?", output::clean(near)),
        None => format!("it has {}", names.collect::<Vec<_>>().join(", ")),
    };
    let message = format!(
        "deployment '{}' has no parameter '{}'",
        output::clean(&deployment.name),
        output::clean(name)
    );
    Err(Error::new(Code::Usage, message).hint(hint))
}

/// Reads `NAME=VALUE` pairs whose values are JSON, or else text.
pub(super) fn pairs(pairs: &[String]) -> Result<Map<String, Value>> {
    let read = |pair: &String| {
        let (name, text) = pair.split_once('=').ok_or_else(|| {
            Error::new(
                Code::Usage,
                format!("'{pair}' is not of the form NAME=VALUE"),
            )
        })?;
        if name.trim().is_empty() {
            let message = format!("'{pair}' gives a value to no name");
            return Err(Error::new(Code::Usage, message).hint("it is of the form NAME=VALUE"));
        }
        let value = serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
        Ok((name.to_owned(), value))
    };
    pairs.iter().map(read).collect()
}

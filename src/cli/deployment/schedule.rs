//! `deployment schedule`: when a deployment runs by itself.
//!
//! A deployment may have many schedules. One is known by its slug, where it has one, else by its id; where there is only
//! one, it need not be named.

use std::time::Duration;

use clap::Subcommand;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Parameters, find, one_schedule_text};
use crate::cli::{
    Context,
    error::{Code, Error, Result},
    instant,
    output::{self, OutputArg},
};
use crate::client::{Client, DeploymentSchedule, Document};
use crate::settings::Value as _;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the schedules of a deployment.
    #[command(after_help = "Example:\n  prefect-rs deployment schedule ls my-flow/my-deployment")]
    Ls {
        /// FLOW/DEPLOYMENT, or its name, its id, or the beginning of it.
        deployment: String,
        #[command(flatten)]
        output: OutputArg,
    },
    /// Give a deployment another schedule and print its id.
    #[command(
        after_help = "Examples:\n  prefect-rs deployment schedule create nightly --cron '0 3 * * *' --timezone Europe/Berlin\n  prefect-rs deployment schedule create nightly --interval 15:00 --slug often --param days=1"
    )]
    Create(Box<Create>),
    /// Let a schedule make no runs, and remove those it made that have not started.
    #[command(after_help = "Example:\n  prefect-rs deployment schedule pause nightly often")]
    Pause(One),
    /// Let a schedule make runs again.
    #[command(after_help = "Example:\n  prefect-rs deployment schedule resume nightly often")]
    Resume(One),
    /// Take a schedule from a deployment, with the runs it made that have not started.
    #[command(after_help = "Example:\n  prefect-rs deployment schedule delete nightly often")]
    Delete(One),
    /// Take all schedules from a deployment.
    #[command(after_help = "Example:\n  prefect-rs deployment schedule clear nightly")]
    Clear {
        /// FLOW/DEPLOYMENT, or its name, its id, or the beginning of it.
        deployment: String,
    },
}

#[derive(Debug, clap::Args)]
struct One {
    /// FLOW/DEPLOYMENT, or its name, its id, or the beginning of it.
    deployment: String,
    /// The schedule's slug, its id, or the beginning of it [default: the only one].
    schedule: Option<String>,
}

#[derive(Debug, clap::Args)]
struct Create {
    /// FLOW/DEPLOYMENT, or its name, its id, or the beginning of it.
    deployment: String,
    #[command(flatten)]
    kind: Kind,
    /// The zone whose clock it follows [default: UTC].
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// What intervals count from, on that zone's clock.
    // Read once the zone is known.
    #[arg(
        long,
        visible_alias = "anchor-date",
        value_name = "INSTANT",
        conflicts_with = "cron"
    )]
    anchor: Option<String>,
    /// Its name among the schedules of the deployment.
    #[arg(long)]
    slug: Option<String>,
    /// Make no runs until it is resumed.
    #[arg(long)]
    paused: bool,
    #[command(flatten)]
    parameters: Parameters,
}

/// What kind of schedule it is: one of these.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Kind {
    /// A cron expression.
    #[arg(long, value_name = "EXPRESSION")]
    cron: Option<String>,
    /// A time span between two runs, such as `900`, `15:00` or `1 day`.
    #[arg(long, value_name = "SPAN", value_parser = Duration::parse)]
    interval: Option<Duration>,
    /// Recurrence rules as RFC 5545 has them.
    #[arg(long, value_name = "RULES")]
    rrule: Option<String>,
}

impl Create {
    fn schedule(&self) -> Result<Value> {
        let Kind {
            cron,
            interval,
            rrule,
        } = &self.kind;
        let mut schedule = match (cron, interval, rrule) {
            (Some(cron), ..) => json!({"cron": cron}),
            (_, Some(interval), _) => json!({"interval": interval.as_secs_f64()}),
            (_, _, Some(rrule)) => json!({"rrule": rrule}),
            (None, None, None) => return Err(Error::new(Code::Usage, "no schedule is given")),
        };
        if let Some(zone) = &self.timezone {
            schedule["timezone"] = json!(zone);
        }
        match (&self.anchor, interval) {
            (None, _) => {}
            (Some(anchor), Some(_)) => {
                let anchor = instant::parse_in(self.timezone.as_deref().unwrap_or("UTC"), anchor)
                    .map_err(|reason| {
                    Error::new(
                        Code::Usage,
                        format!("'{anchor}' cannot be the --anchor: {reason}"),
                    )
                })?;
                schedule["anchor_date"] = json!(anchor);
            }
            (Some(_), None) => {
                return Err(Error::new(Code::Usage, "--anchor is for intervals alone")
                    .hint("rules have a DTSTART of their own"));
            }
        }
        Ok(schedule)
    }
}

impl Args {
    pub(super) async fn run(self, cx: &Context, client: &Client) -> Result {
        match self.command {
            Command::Ls { deployment, output } => ls(cx, client, &deployment, output).await,
            Command::Create(args) => create(client, *args).await,
            Command::Pause(one) => switch(client, &one, false).await,
            Command::Resume(one) => switch(client, &one, true).await,
            Command::Delete(one) => delete(client, &one).await,
            Command::Clear { deployment } => clear(client, &deployment).await,
        }
    }
}

async fn ls(cx: &Context, client: &Client, deployment: &str, output: OutputArg) -> Result {
    let deployment = find(client, deployment).await?;
    let schedules = client.read_schedules(deployment.id).await?;
    if output.is_json() {
        output::print_json(&schedules);
        return Ok(());
    }
    if schedules.is_empty() {
        output::say("The deployment has no schedules.");
        return Ok(());
    }
    let mut table = cx
        .style
        .table(["ID", "Slug", "Schedule", "Active", "Parameters"])
        .wraps(&["Slug", "Schedule", "Parameters"]);
    if !output.is_wide() {
        table = table.spares(&["Parameters"]);
    }
    for schedule in &schedules {
        let parameters = match schedule.parameters.is_empty() {
            true => "-".to_owned(),
            false => Value::from(schedule.parameters.clone()).to_string(),
        };
        table.row(vec![
            cx.style.id(schedule.id),
            cx.style.name(schedule.slug.as_deref().unwrap_or("-")),
            cx.style.text(one_schedule_text(&schedule.schedule)),
            cx.style.text(if schedule.active { "yes" } else { "no" }),
            cx.style.text(parameters),
        ]);
    }
    table.print();
    Ok(())
}

async fn create(client: &Client, args: Create) -> Result {
    let mut body = json!({"schedule": args.schedule()?, "active": !args.paused});
    let parameters = args.parameters.read()?;
    // A server of an earlier generation refuses what it does not know.
    if !parameters.is_empty() {
        body["parameters"] = Value::from(parameters);
    }
    if let Some(slug) = &args.slug {
        body["slug"] = json!(slug);
    }
    let deployment = find(client, &args.deployment).await?;
    let created = client.create_schedule(deployment.id, &body).await?;
    for schedule in &created {
        output::print_line(&schedule.id.to_string());
    }
    Ok(())
}

async fn switch(client: &Client, one: &One, active: bool) -> Result {
    let (deployment, schedule) = chosen(client, one).await?;
    let change = json!({"active": active});
    client
        .update_schedule(deployment, schedule.id, &change)
        .await?;
    let verb = if active { "Resumed" } else { "Paused" };
    output::say(&format!("{verb} schedule {}.", named(&schedule)));
    Ok(())
}

async fn delete(client: &Client, one: &One) -> Result {
    let (deployment, schedule) = chosen(client, one).await?;
    client.delete_schedule(deployment, schedule.id).await?;
    output::say(&format!("Deleted schedule {}.", named(&schedule)));
    Ok(())
}

async fn clear(client: &Client, deployment: &str) -> Result {
    let deployment = find(client, deployment).await?;
    let schedules = client.read_schedules(deployment.id).await?;
    for schedule in &schedules {
        client.delete_schedule(deployment.id, schedule.id).await?;
    }
    output::say(&match schedules.len() {
        0 => "The deployment has no schedules.".to_owned(),
        1 => "Deleted 1 schedule.".to_owned(),
        count => format!("Deleted {count} schedules."),
    });
    Ok(())
}

/// What a schedule is called, and when it makes runs.
fn named(schedule: &DeploymentSchedule) -> String {
    let name = match &schedule.slug {
        Some(slug) => format!("'{slug}'"),
        None => schedule.id.to_string(),
    };
    let text = format!("{name} ({})", one_schedule_text(&schedule.schedule));
    output::clean(&text)
}

/// Finds the one schedule that is meant.
async fn chosen(client: &Client, one: &One) -> Result<(Uuid, Document<DeploymentSchedule>)> {
    let deployment = find(client, &one.deployment).await?;
    let all = client.read_schedules(deployment.id).await?;
    let list = format!(
        "list them with `prefect-rs deployment schedule ls {}`",
        deployment.id
    );
    let mut found: Vec<_> = match &one.schedule {
        None => all,
        Some(text) => {
            let id = text.to_lowercase();
            let is_meant = |schedule: &Document<DeploymentSchedule>| {
                schedule.slug.as_deref() == Some(text)
                    || (id.len() >= 4 && schedule.id.to_string().starts_with(&id))
            };
            all.into_iter().filter(is_meant).collect()
        }
    };
    match (found.len(), &one.schedule) {
        (1, _) => Ok((deployment.id, found.remove(0))),
        (0, Some(text)) => Err(Error::not_found("schedule", text).hint(list)),
        (0, None) => Err(Error::new(
            Code::NotFound,
            format!("deployment '{}' has no schedules", deployment.name),
        )),
        (count, Some(text)) => Err(Error::new(
            Code::Usage,
            format!("'{text}' means {count} schedules; give more of an id"),
        )
        .hint(list)),
        (count, None) => Err(Error::new(
            Code::Usage,
            format!("the deployment has {count} schedules; name one"),
        )
        .hint(list)),
    }
}

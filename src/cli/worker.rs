//! `worker`: run what waits in a work pool on this machine.

use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;
use uuid::Uuid;

use super::{
    Context, agent as agent_command,
    error::{Code, Error, Result},
    output, stop, work_pool,
};
use crate::agent::{self, worker};
use crate::schemas::work_pools::{AGENT_TYPE, PROCESS_TYPE};

/// Start workers, which run what waits in a work pool on this machine.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  prefect-rs worker start --pool shed")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Take due runs of a work pool and run them as processes until interrupted.
    ///
    /// A pool that does not exist is created. Flows run with the Python of PREFECT_RS_PYTHON, else of the active virtual
    /// environment, else the first on PATH; a deployment chooses another with the job variable `virtualenv` or `condaenv`.
    /// A first Ctrl-C or SIGTERM takes no more runs and waits for those under way; a second one ends them.
    #[command(
        after_help = "Examples:\n  prefect-rs worker start --pool shed\n  prefect-rs worker start --pool shed --work-queue urgent --limit 4\n  prefect-rs worker start --pool shed --run-once"
    )]
    Start(Start),
}

#[derive(Debug, clap::Args)]
struct Start {
    /// The work pool's name [default: that of PREFECT_DEFAULT_WORK_POOL_NAME].
    #[arg(short, long)]
    pool: Option<String>,
    /// Take runs of this queue of the pool only; may be given several times.
    #[arg(short = 'q', long = "work-queue", value_name = "QUEUE")]
    work_queues: Vec<String>,
    /// What the worker is called [default: one that no other has].
    #[arg(short, long)]
    name: Option<String>,
    /// The type of worker; this one runs processes.
    #[arg(short = 't', long = "type", value_name = "TYPE")]
    worker_type: Option<String>,
    /// Run at most this many at once [default: no limit].
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Seconds ahead of their time that runs are asked for [default: PREFECT_WORKER_PREFETCH_SECONDS].
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(..=86_400))]
    prefetch_seconds: Option<u64>,
    /// Tell at `/health` on PREFECT_WORKER_WEBSERVER_HOST and _PORT whether the server answers.
    #[arg(long)]
    with_healthcheck: bool,
    /// Take what is due now, wait until it has ended, and exit.
    #[arg(long)]
    run_once: bool,
    /// The JSON file of the base job template of a pool that is created.
    #[arg(long, value_name = "FILE")]
    base_job_template: Option<PathBuf>,
    /// Create the pool if it does not exist (the default).
    #[arg(long, overrides_with = "no_create_pool_if_not_found")]
    create_pool_if_not_found: bool,
    /// Fail if the pool does not exist.
    #[arg(long)]
    no_create_pool_if_not_found: bool,
    /// Seconds that a stopping worker waits for its runs before it ends them.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    grace: u64,
    /// Accepted for scripts of other workers; there is nothing to install.
    #[arg(long, value_name = "POLICY", hide = true)]
    install_policy: Option<String>,
}

impl Args {
    pub(super) async fn run(self, cx: &Context) -> Result {
        let Command::Start(start) = self.command;
        start.run(cx).await
    }
}

impl Start {
    async fn run(self, cx: &Context) -> Result {
        if let Some(other) = self
            .worker_type
            .as_ref()
            .filter(|kind| *kind != PROCESS_TYPE)
        {
            let text = format!("this worker is of the type 'process', not '{other}'");
            return Err(Error::new(Code::Usage, text).hint(format!(
                "start the worker of that type with `prefect worker start --type {other}` against this server"
            )));
        }
        let template = self.base_job_template.as_deref();
        let template = template.map(work_pool::read_template).transpose()?;
        let pool = work_pool::or_default(cx, self.pool)?;
        let name = self.name.filter(|name| !name.is_empty());
        let name = name.unwrap_or_else(|| format!("ProcessWorker {}", Uuid::new_v4()));
        agent_command::show_logs(cx);
        let (client, url) = agent_command::server(cx, "a worker").await?;
        let settings = cx.settings();
        output::say(&format!(
            "Worker '{}' takes runs of work pool '{}' from {url}, and asks every {} s. Stop it with Ctrl-C.",
            output::clean(&name),
            output::clean(&pool),
            settings.worker_query_seconds.as_secs_f64(),
        ));
        let prefetch = self.prefetch_seconds.map(Duration::from_secs);
        let options = worker::Options {
            pool,
            queues: self.work_queues,
            name,
            limit: self.limit.map(|limit| limit as usize),
            prefetch: prefetch.unwrap_or(settings.worker_prefetch_seconds),
            runs_once: self.run_once,
            creates_pool: !self.no_create_pool_if_not_found,
            template,
            health_check: self.with_healthcheck.then(|| {
                let (host, port) = (
                    &settings.worker_webserver_host,
                    settings.worker_webserver_port,
                );
                format!("{host}:{port}")
            }),
            grace: Duration::from_secs(self.grace),
            guard: agent_command::guard_command(),
        };
        let stops = stop::requests()?;
        let outcome = worker::run(client, settings, options, stops).await;
        outcome.map_err(failed)
    }
}

/// Says why a worker could not go on.
fn failed(error: agent::Error) -> Error {
    let text = error.to_string();
    let word = |name: String| output::word(&name);
    match error {
        agent::Error::NoPool(pool) => Error::new(Code::NotFound, text).hint(format!(
            "create it with `prefect-rs work-pool create {}`",
            word(pool)
        )),
        agent::Error::NoPoolOfQueue { pool, queue } => {
            let (pool, queue) = (word(pool), word(queue));
            Error::new(Code::NotFound, text).hint(format!(
                "create both with `prefect-rs work-pool create --type process {pool}` and `prefect-rs work-queue create {queue} --pool {pool}`"
            ))
        }
        agent::Error::NoPoolQueue { pool, queue } => Error::new(Code::NotFound, text).hint(format!(
            "create it with `prefect-rs work-queue create {} --pool {}`",
            word(queue),
            word(pool)
        )),
        agent::Error::NoPort { .. } => Error::failure(text)
            .hint("choose another port with PREFECT_WORKER_WEBSERVER_PORT"),
        agent::Error::WrongPool { kind, .. } if kind == AGENT_TYPE => {
            Error::new(Code::Conflict, text)
                .hint("its queues are served with `prefect-rs agent start QUEUE`")
        }
        agent::Error::WrongPool { pool, .. } => Error::new(Code::Conflict, text).hint(format!(
            "start a worker of that type with `prefect worker start --pool {pool}` against this server"
        )),
        other => agent_command::failed(other),
    }
}

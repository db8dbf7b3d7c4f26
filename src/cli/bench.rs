//! `bench`: what a server's answers cost.
//!
//! Users ask this of their own server, ours or a genuine one, so it needs nothing but an address; the project's own
//! comparison (`make bench`) is made of the same command.

use std::{sync::Arc, time::Duration};

use super::{
    Context,
    error::{Code, Error, Result},
    output::{self, OutputArg},
};
use crate::{
    bench::{self, Generation, Plan, Unit},
    clock::SystemClock,
};

/// Measure how fast a server answers, and what each answer costs it.
///
/// Creates flow runs, task runs, logs, a deployment and a queue named `bench-…` on that server, and leaves them there:
/// use a server whose database may be thrown away. Every write is read back.
///
/// The server's CPU and memory are those of its whole process tree, seen only where it runs on this machine (Linux).
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Units:\n  create     a flow run created\n  lifecycle  a flow run created, PENDING, RUNNING, COMPLETED\n  \
    task-run   a task run created, RUNNING, COMPLETED\n  log        a log line, in batches of 100\n  \
    poll       an agent's poll with nothing due\n  filter     a list of 200 flow runs\n  \
    history    the history of all flow runs in 50 intervals\n\nExamples:\n  \
    prefect-rs bench http://127.0.0.1:4200\n  \
    prefect-rs bench http://127.0.0.1:4200 --clients 1,64 --unit lifecycle,log -o json"
)]
pub struct Args {
    /// The server's address; only plain http.
    url: String,
    /// How many clients at once; several numbers are measured one after another.
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "8", value_parser = clients)]
    clients: Vec<usize>,
    /// How long each measurement lasts.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    seconds: Duration,
    /// How long each measurement runs before it counts.
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    warm_up: Duration,
    /// What to measure [default: all].
    #[arg(long, value_name = "UNIT", value_delimiter = ',')]
    unit: Vec<Unit>,
    /// Clients that list and count beside the measured ones.
    #[arg(long, value_name = "N", default_value = "0")]
    readers: usize,
    /// Root of the server's process tree [default: the process that listens on the address's port].
    #[arg(long)]
    pid: Option<u32>,
    /// Generation of clients to speak as: 2.0b3, 2.20 or 3.8 [default: the server's own].
    #[arg(long, value_name = "VERSION")]
    generation: Option<Generation>,
    /// How far back `history` looks.
    #[arg(long, value_name = "HOURS", default_value = "24", value_parser = clap::value_parser!(u32).range(1..))]
    history_hours: u32,
    #[command(flatten)]
    output: OutputArg,
}

impl Args {
    pub(super) async fn run(self, _cx: &Context) -> Result {
        let output = self.output;
        let report = bench::run(self.into_plan(), Arc::new(SystemClock), output::say)
            .await
            .map_err(explain)?;
        if output.is_json() {
            output::print_json(&report);
        } else {
            report.to_string().lines().for_each(output::print_line);
        }
        if report.measurements.iter().all(bench::Measurement::is_clean) {
            Ok(())
        } else {
            Err(Error::failure(
                "the server refused, or did not keep, some of what was asked",
            ))
        }
    }

    fn into_plan(self) -> Plan {
        Plan {
            url: self.url,
            units: match self.unit.is_empty() {
                true => Unit::ALL.to_vec(),
                false => self.unit,
            },
            clients: self.clients,
            duration: self.seconds,
            warm_up: self.warm_up,
            readers: self.readers,
            pid: self.pid,
            generation: self.generation,
            history: Duration::from_secs(u64::from(self.history_hours) * 3600),
        }
    }
}

fn explain(error: bench::Error) -> Error {
    let code = match error {
        bench::Error::Url(_) => Code::Usage,
        bench::Error::Unreachable { .. } => Code::Unreachable,
        bench::Error::Refused { .. } | bench::Error::Thread(_) => Code::Failure,
    };
    Error::new(code, error.to_string())
}

fn clients(text: &str) -> std::result::Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..=1000) => Ok(number),
        _ => Err("expected a number from 1 to 1000".into()),
    }
}

fn seconds(text: &str) -> std::result::Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(number) if (0.0..=3600.0).contains(&number) => Ok(Duration::from_secs_f64(number)),
        _ => Err("expected seconds from 0 to 3600".into()),
    }
}

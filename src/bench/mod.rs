//! Load generator: drives any server of the contract and reports what its answers cost.
//!
//! Wall time on a busy machine says little, so the figure to compare is the server's CPU time per
//! unit, read from `/proc` for its whole process tree; the generator's own CPU stands beside it and
//! is never counted as the server's. Every write is read back afterwards: an answer that was not
//! kept is reported as wrong, however fast it came.

mod connection;
mod contract;
mod fixture;
mod load;
mod process;
mod report;
mod units;
mod verify;

use std::time::Duration;

use thiserror::Error;

use crate::clock::SharedClock;

pub use contract::Generation;
pub use report::{Measurement, Report};
pub use units::Unit;

/// What to measure, and on whom.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The server, as `http://host:port`, with or without `/api`.
    pub url: String,
    /// The units, measured one after another.
    pub units: Vec<Unit>,
    /// How many clients at once; each unit is measured once for each number.
    pub clients: Vec<usize>,
    /// How long each measurement lasts.
    pub duration: Duration,
    /// How long each measurement runs before anything is counted.
    pub warm_up: Duration,
    /// Clients that only list and count beside the measured ones.
    pub readers: usize,
    /// Root of the server's process tree; found by its port when absent.
    pub pid: Option<u32>,
    /// The contract to speak; asked of the server when absent.
    pub generation: Option<Generation>,
    /// The span that `history` asks for, counted back from now.
    pub history: Duration,
}

/// Why nothing could be measured.
#[derive(Debug, Error)]
pub enum Error {
    /// The address cannot be used.
    #[error("`{0}` is not a server's address: give one like http://127.0.0.1:4200")]
    Url(String),
    /// The server could not be reached, or broke the connection.
    #[error("no answer from {host}: {reason}")]
    Unreachable {
        /// Host and port.
        host: String,
        /// What the network said.
        reason: String,
    },
    /// The server refused a request that sets the measurement up.
    #[error("the server answered {status} to {path}: {body}")]
    Refused {
        /// The path asked for.
        path: String,
        /// The HTTP status.
        status: u16,
        /// The first part of the answer.
        body: String,
    },
    /// The generator's thread could not be started.
    #[error("failed to start the load generator: {0}")]
    Thread(#[from] std::io::Error),
}

/// Runs the plan, one measurement after another, calling `progress` before each.
pub async fn run(
    plan: Plan,
    clock: SharedClock,
    progress: impl Fn(&str) + Send + 'static,
) -> Result<Report, Error> {
    // One thread of its own bounds what the generator takes from the server it measures, and a
    // request costs no wake-up of another thread.
    let (answer, answered) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name("bench".into())
        .spawn(move || {
            let outcome = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(Error::from)
                .and_then(|runtime| runtime.block_on(load::run(plan, clock, progress)));
            // A caller that went away no longer wants the report.
            let _ = answer.send(outcome);
        })?;
    answered
        .await
        .expect("the generator answers before its thread ends")
}

//! Waiting for an API that is away: again and again, less and less often, for as long as it takes.
//!
//! A server that cannot be reached, or says that it is not able just now (429, 502, 503, 504), will be back. One that answers that it
//! has failed (500) may fail at this very request each time, so it is taken at its word after a while
//! ([`Settings::flow_failing_server_timeout`](crate::settings::Settings)). A server that is this very process is never away: what
//! it is not able to do just now, such as to write on a full disk, it gets less time for.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::time::sleep;
use tracing::warn;

use crate::client::{Client, Error, Result};

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(5);

/// The pauses between attempts, each twice as long as the one before.
pub(crate) struct Pause(Duration);

impl Default for Pause {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl Pause {
    /// Tells whether there has been none yet, which is when a person should hear of it.
    pub(crate) fn is_first(&self) -> bool {
        self.0 == FIRST
    }

    pub(crate) async fn wait(&mut self) {
        sleep(self.0).await;
        self.0 = (self.0 * 2).min(LONGEST);
    }
}

/// How long a server in this process may be unable to do what it is asked.
const LONGEST_UNABLE: Duration = Duration::from_secs(60);

/// Tells whether the server may answer so each time: it says so, or it is this process and so can be away no more than we are.
pub(super) fn is_failure(error: &Error, client: &Client) -> bool {
    error.is_failure() || (error.is_away() && client.transport().url().is_none())
}

/// Since when a server has answered nothing but that it failed; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Failing(Arc<Mutex<Option<Instant>>>);

impl Failing {
    /// Hears of an error, and tells whether it is worth asking again.
    pub(crate) fn is_worth_waiting(&self, error: &Error, client: &Client) -> bool {
        let mut since = self
            .0
            .lock()
            .expect("nobody panics while looking at a time");
        if !is_failure(error, client) {
            *since = None;
            return error.is_away();
        }
        let limit = match error.is_failure() {
            true => client.failing_timeout(),
            false => client.failing_timeout().min(LONGEST_UNABLE),
        };
        since.get_or_insert_with(Instant::now).elapsed() < limit
    }

    /// Says that something waits, which a person should hear once.
    pub(crate) fn warn(&self, what: &str, error: &Error, client: &Client) {
        match client.transport().url() {
            Some(_) => warn!(target: "prefect", "{what} until the API is back: {error}"),
            None => {
                warn!(target: "prefect", "{what} until the local database takes it, or not for long: {error}");
            }
        }
    }

    /// Hears of an answer.
    pub(crate) fn has_answered(&self) {
        *self
            .0
            .lock()
            .expect("nobody panics while looking at a time") = None;
    }
}

/// Asks until the API answers; `what` is said of the wait, and the error is one that it has answered with.
pub(crate) async fn patiently<T, F>(client: &Client, what: &str, ask: impl Fn() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    patiently_since(&Failing::default(), client, what, ask).await
}

/// The same, where what failed before counts as well.
pub(crate) async fn patiently_since<T, F>(
    failing: &Failing,
    client: &Client,
    what: &str,
    ask: impl Fn() -> F,
) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let mut pause = Pause::default();
    loop {
        match ask().await {
            Err(error) if failing.is_worth_waiting(&error, client) => {
                if pause.is_first() {
                    failing.warn(what, &error, client);
                }
                pause.wait().await;
            }
            Ok(answer) => {
                failing.has_answered();
                return Ok(answer);
            }
            Err(error) => return Err(error),
        }
    }
}

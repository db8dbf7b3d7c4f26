//! Waiting for an API that is away: again and again, less and less often, for as long as it takes.

use std::future::Future;
use std::time::Duration;

use tokio::time::sleep;
use tracing::warn;

use crate::client::Result;

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

/// Asks until the API answers; `what` is said of the wait, and the error is one that it has answered with.
pub(crate) async fn patiently<T, F>(what: &str, ask: impl Fn() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let mut pause = Pause::default();
    loop {
        match ask().await {
            Err(error) if error.is_away() => {
                if pause.is_first() {
                    warn!(target: "prefect", "{what} until the API is back: {error}");
                }
                pause.wait().await;
            }
            answer => return answer,
        }
    }
}

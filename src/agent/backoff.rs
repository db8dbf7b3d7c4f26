//! The pauses between attempts while the server is away: longer each time, up to ten seconds.

use std::time::Duration;

use tokio::time::sleep;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(10);

/// The next pause.
#[derive(Debug)]
pub struct Backoff(Duration);

impl Backoff {
    /// Begins with a short pause.
    pub fn new() -> Self {
        Backoff(FIRST)
    }

    /// Pauses, and doubles the next pause.
    pub async fn pause(&mut self) {
        sleep(self.0).await;
        self.0 = (self.0 * 2).min(LONGEST);
    }
}

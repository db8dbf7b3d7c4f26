//! Signs of life: by them the server knows that a flow run has somebody who takes care of it, and misses whoever is gone.
//!
//! They are events of the name that genuine engines use. How far apart they come is part of each, so that the server need not
//! guess it from two of them.

use std::time::Duration;

use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};
use tracing::debug;
use uuid::Uuid;

use super::Client;
use crate::clock::Clock;

/// How often the server hears that a run is being taken care of.
const EVERY: Duration = Duration::from_secs(60);

impl Client {
    /// Tells the server now and again that a flow run is being taken care of, and never ends.
    ///
    /// `sender` tells those of an engine and of its agent apart. A heartbeat that is not heard is not repeated.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// tokio::select! {
    ///     () = client.send_heartbeats(id, "calm-otter", "engine") => {}
    ///     () = tokio::time::sleep(std::time::Duration::from_secs(60)) => {}
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn send_heartbeats(&self, run: Uuid, name: &str, sender: &str) {
        let resource = json!({
            "prefect.resource.id": format!("prefect.flow-run.{run}"),
            "prefect.resource.name": name,
        });
        let mut beats = interval(EVERY);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beats.tick().await;
            let heartbeat = json!([{
                "id": Uuid::now_v7(),
                "occurred": self.clock().now(),
                "event": "prefect.flow-run.heartbeat",
                "resource": resource,
                "payload": {"sender": sender, "interval_seconds": EVERY.as_secs()},
            }]);
            if let Err(error) = self.create_events(&heartbeat).await {
                // A server of the first generation knows no events.
                debug!(flow_run.id = %run, "a heartbeat was not heard: {error}");
            }
        }
    }
}

//! Limits on how many task runs with a tag run at once.
//!
//! The newest servers keep them as limits with leases: a slot is taken for a while and kept by renewing it, so a killed
//! process gives its slots back by itself. Where a server has no such limits, the tag limits of older ones are kept by
//! proposing RUNNING to it; see [`super::task_runs`].
//!
//! Of many task runs with the same tags a few ask the server, the others wait behind them in the order in which they came;
//! and who was refused asks again as soon as a slot of this process is given back.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{Notify, Semaphore};
use tokio::task::AbortHandle;
use tokio::time::{interval, sleep};
use uuid::Uuid;

use super::patience::{Failing, is_failure};
use super::runtime;
use crate::client::{Client, Error};
use crate::sdk::context::{Open, OpenGuard};

/// How long a slot stays taken without a word from us.
const LEASE: Duration = Duration::from_secs(60);
/// How long to wait where the server does not say.
const WAIT: Duration = Duration::from_secs(1);
/// How many task runs of the same tags ask at once.
const ASKERS: usize = 4;

/// The limits of a server.
#[derive(Clone)]
pub(crate) struct Limits {
    client: Client,
    /// False once the server has said that it knows no leases.
    has_leases: Arc<AtomicBool>,
    /// Slots that are taken or on their way back.
    taken: Arc<Open>,
    /// What lets those with the same tags ask.
    gates: Arc<Mutex<HashMap<Vec<String>, Arc<Semaphore>>>>,
    /// Told when slots have been given back.
    returned: Arc<Notify>,
}

/// Slots that are given back when this is dropped.
pub(crate) struct Slots {
    client: Client,
    lease: Uuid,
    renewal: AbortHandle,
    taken: Option<OpenGuard>,
    returned: Arc<Notify>,
}

/// What came of the wish for slots.
pub(crate) enum Granted {
    /// They are taken, or there is no limit.
    Slots(Option<Slots>),
    /// The server has no leases; propose RUNNING instead.
    Elsewhere,
    /// A limit is zero, so no run with the tag runs; or the server fails whenever it is asked.
    Never(String),
}

#[derive(Deserialize)]
struct Lease {
    lease_id: Uuid,
    #[serde(default)]
    limits: Vec<Value>,
}

impl Limits {
    pub(crate) fn new(client: Client) -> Self {
        Self {
            client,
            has_leases: Arc::new(AtomicBool::new(true)),
            taken: Arc::default(),
            gates: Arc::default(),
            returned: Arc::default(),
        }
    }

    /// Takes a slot of each tag that has a limit, waiting as long as it takes.
    pub(crate) async fn take(&self, tags: &[String], task_run: Uuid) -> Granted {
        if tags.is_empty() {
            return Granted::Slots(None);
        }
        if !self.has_leases.load(Ordering::Relaxed) {
            return Granted::Elsewhere;
        }
        let names: Vec<String> = tags.iter().map(|tag| format!("tag:{tag}")).collect();
        let body = json!({
            "names": names, "slots": 1, "mode": "concurrency",
            "lease_duration": LEASE.as_secs(),
            "holder": {"type": "task_run", "id": task_run},
        });
        let path = "/v2/concurrency_limits/increment-with-lease";
        let gate = self.gate(&names);
        let _turn = gate.acquire().await.expect("a gate is never closed");
        let failing = Failing::default();
        loop {
            let mut returned = std::pin::pin!(self.returned.notified());
            // Registered before the question, so that what is given back meanwhile is not missed.
            returned.as_mut().enable();
            match self.client.post::<Lease>(path, &body).await {
                Ok(lease) if lease.limits.is_empty() => return Granted::Slots(None),
                Ok(lease) => return Granted::Slots(Some(self.hold(lease.lease_id))),
                Err(error) => match error.status().map(|status| status.as_u16()) {
                    Some(404 | 405) => {
                        self.has_leases.store(false, Ordering::Relaxed);
                        return Granted::Elsewhere;
                    }
                    Some(422) => return Granted::Never(self.reason(tags, &error).await),
                    _ if is_failure(&error, &self.client)
                        && !failing.is_worth_waiting(&error, &self.client) =>
                    {
                        return Granted::Never(error.to_string());
                    }
                    // Full; or away, and then the run waits for the server to come back.
                    Some(_) | None => tokio::select! {
                        () = sleep(error.retry_after().unwrap_or(WAIT)) => {}
                        () = returned => {}
                    },
                },
            }
        }
    }

    /// Returns why no slot will ever be granted; the server does not say which limit it is.
    async fn reason(&self, tags: &[String], error: &Error) -> String {
        for tag in tags {
            let limit = self.client.read_concurrency_limit_by_tag(tag).await;
            if limit.is_ok_and(|limit| limit.concurrency_limit == 0) {
                return format!(
                    "the limit of its tag `{tag}` is 0, so that no run with it begins; raise or delete that limit"
                );
            }
        }
        error.to_string()
    }

    fn gate(&self, names: &[String]) -> Arc<Semaphore> {
        let mut gates = self.gates.lock().expect("nobody panics while looking");
        let gate = gates
            .entry(names.to_vec())
            .or_insert_with(|| Arc::new(Semaphore::new(ASKERS)));
        gate.clone()
    }

    /// Waits until all slots are given back.
    pub(crate) async fn flush(&self) {
        self.taken.wait().await;
    }

    fn hold(&self, lease: Uuid) -> Slots {
        let client = self.client.clone();
        let renew = async move {
            let mut times = interval(LEASE / 3);
            times.tick().await;
            loop {
                times.tick().await;
                let body = json!({"lease_duration": LEASE.as_secs()});
                let path = format!("/v2/concurrency_limits/leases/{lease}/renew");
                // One lost renewal does no harm, and the next one tells as much.
                let _ = client.post_only(&path, &body).await;
            }
        };
        Slots {
            client: self.client.clone(),
            lease,
            renewal: runtime().spawn(renew).abort_handle(),
            taken: Some(self.taken.enter()),
            returned: self.returned.clone(),
        }
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        self.renewal.abort();
        let (client, lease) = (self.client.clone(), self.lease);
        let (taken, returned) = (self.taken.take(), self.returned.clone());
        runtime().spawn(async move {
            let _taken = taken;
            let path = "/v2/concurrency_limits/decrement-with-lease";
            // The lease ends by itself if this does not arrive.
            let _ = client.post_only(path, &json!({"lease_id": lease})).await;
            returned.notify_waiters();
        });
    }
}

//! One attempt at a body: bounded in time, ended early when asked, and never the end of the process.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::timeout;

use crate::sdk::context::{Cancellation, Context};
use crate::sdk::logs;
use crate::sdk::outcome::{Outcome, State, StateType};
use crate::sdk::task::Running;

/// How long a body may go on after it was asked to end.
pub(crate) const GRACE: Duration = Duration::from_secs(5);

/// How an attempt ended.
pub(crate) enum Ended {
    /// By itself.
    Outcome(Outcome),
    /// It was asked to end and did not in time.
    Dropped,
}

/// Runs a body once.
pub(crate) async fn run(
    body: impl FnOnce() -> Running,
    context: Context,
    limit: Option<Duration>,
    cancellation: &Cancellation,
    what: &'static str,
) -> Ended {
    let work = async {
        match body() {
            Running::Future(future) => AssertUnwindSafe(future)
                .catch_unwind()
                .await
                .unwrap_or_else(|payload| panicked(what, &*payload)),
            Running::Blocking(work) => blocking(work, what).await,
        }
    };
    let work = context.scope(async {
        match limit {
            Some(limit) => timeout(limit, work)
                .await
                .unwrap_or_else(|_| timed_out(what, limit)),
            None => work.await,
        }
    });
    let given_up = async {
        cancellation.wait().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        biased;
        outcome = work => Ended::Outcome(outcome),
        () = given_up => Ended::Dropped,
    }
}

async fn blocking(work: Box<dyn FnOnce() -> Outcome + Send>, what: &'static str) -> Outcome {
    let context = Context::current();
    // Caught on the thread that panics, which knows where.
    let work = move || {
        std::panic::catch_unwind(AssertUnwindSafe(work))
            .unwrap_or_else(|payload| panicked(what, &*payload))
    };
    let joined = tokio::task::spawn_blocking(move || match context {
        Some(context) => context.sync_scope(work),
        None => work(),
    })
    .await;
    joined.unwrap_or_else(|_| {
        let state = State::new(StateType::Crashed);
        Outcome::Ended(state.with_message("The runtime was shut down."), None)
    })
}

/// A panic is a bug in the function, and a failure like any other: it is retried, and the process goes on.
fn panicked(what: &str, payload: &(dyn Any + Send)) -> Outcome {
    let said = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned());
    let place = logs::last_panic()
        .map(|place| format!(" at {place}"))
        .unwrap_or_default();
    let state =
        State::new(StateType::Failed).with_message(format!("The {what} panicked{place}: {said}"));
    Outcome::Ended(state, None)
}

fn timed_out(what: &str, limit: Duration) -> Outcome {
    let state = State::new(StateType::Failed)
        .with_name("TimedOut")
        .with_message(format!(
            "The {what} exceeded its timeout of {} seconds.",
            limit.as_secs_f64()
        ));
    Outcome::Ended(state, None)
}

//! One attempt at a body: bounded in time, ended early when asked, and never the end of the process.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::{Instrument, Span};

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
            Running::Blocking(work) => {
                let is_bounded = limit.is_some();
                blocking(work, what, is_bounded).await
            }
        }
    };
    let span = context.clone().sync_scope(|| logs::span(&context));
    let work = work.instrument(span);
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

/// Bodies on the runtime's threads for blocking work, or waiting for one.
static ON_POOL: AtomicUsize = AtomicUsize::new(0);
/// Bodies on threads of their own.
static ON_OWN: AtomicUsize = AtomicUsize::new(0);
/// A runtime has 512 such threads by default, and what flows do themselves needs some.
const CROWDED: usize = 256;
/// How many bodies with a time limit have threads of their own at once.
const MAX_BOUNDED: usize = 256;
/// How many bodies may have threads of their own at once, so that tasks which call tasks come to an end.
const MAX_OWN: usize = 8192;

/// Runs a body that blocks its thread.
///
/// A task that waits for another one keeps its thread meanwhile: when all threads of the runtime wait so, none is left for
/// what they wait for. And a runtime that is shut down waits for its threads, also for one whose time is long over. In both
/// cases the body gets a thread of its own.
async fn blocking(
    work: Box<dyn FnOnce() -> Outcome + Send>,
    what: &'static str,
    is_bounded: bool,
) -> Outcome {
    let context = Context::current();
    let span = Span::current();
    let is_nested = context.as_ref().is_some_and(|context| context.depth > 1);
    // Caught on the thread that panics, which knows where.
    let work = move || {
        let work = || {
            std::panic::catch_unwind(AssertUnwindSafe(work))
                .unwrap_or_else(|payload| panicked(what, &*payload))
        };
        match context {
            Some(context) => context.sync_scope(|| span.in_scope(work)),
            None => work(),
        }
    };
    let own = ON_OWN.load(Ordering::Relaxed);
    let is_crowded = ON_POOL.load(Ordering::Relaxed) >= CROWDED;
    let needs_own = (is_bounded && own < MAX_BOUNDED) || (is_nested && is_crowded && own < MAX_OWN);
    let outcome = match needs_own {
        true => on_own_thread(work).await,
        false => {
            let counted = Counted::new(&ON_POOL);
            let work = move || {
                let _counted = counted;
                work()
            };
            tokio::task::spawn_blocking(work).await.ok()
        }
    };
    outcome.unwrap_or_else(|| {
        let state = State::new(StateType::Crashed);
        Outcome::Ended(state.with_message("The runtime was shut down."), None)
    })
}

async fn on_own_thread(work: impl FnOnce() -> Outcome + Send + 'static) -> Option<Outcome> {
    let (done, outcome) = oneshot::channel();
    let runtime = tokio::runtime::Handle::current();
    let counted = Counted::new(&ON_OWN);
    let work = move || {
        let _counted = counted;
        let _runtime = runtime.enter();
        // Nobody listens any more when the time is over.
        let _ = done.send(work());
    };
    let thread = std::thread::Builder::new().name("prefect-task".to_owned());
    thread.spawn(work).ok()?;
    outcome.await.ok()
}

/// One of what a number counts.
struct Counted(&'static AtomicUsize);

impl Counted {
    fn new(number: &'static AtomicUsize) -> Self {
        number.fetch_add(1, Ordering::Relaxed);
        Self(number)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A panic is a bug in the function, and a failure like any other: it is retried, and the process goes on.
fn panicked(what: &str, payload: &(dyn Any + Send)) -> Outcome {
    Outcome::Ended(panic_state(&format!("the {what}"), payload), None)
}

/// Calls a function of the user's; its panic is the state that the run ends in.
pub(super) fn caught<R>(what: &str, work: impl FnOnce() -> R) -> Result<R, State> {
    std::panic::catch_unwind(AssertUnwindSafe(work)).map_err(|payload| panic_state(what, &*payload))
}

/// Returns the failure of a run in which something panicked on this thread.
pub(super) fn panic_state(what: &str, payload: &(dyn Any + Send)) -> State {
    let said = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned());
    let place = logs::last_panic()
        .map(|place| format!(" at {place}"))
        .unwrap_or_default();
    let (first, rest) = what.split_at(what.ceil_char_boundary(1));
    let what = format!("{}{rest}", first.to_uppercase());
    State::new(StateType::Failed).with_message(format!("{what} panicked{place}: {said}"))
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

//! Ctrl-C and the wish of the system that the process ends.
//!
//! A signal asks all flow runs to end, and the program goes on from there. One that comes while nothing runs, or while runs
//! have been asked already, ends the process as if nobody had listened.

use std::sync::{Mutex, Once};

use tokio::signal::unix::{SignalKind, signal};

use super::runtime;
use crate::sdk::context::{Cancellation, Reason};

static RUNS: Mutex<Vec<Cancellation>> = Mutex::new(Vec::new());

/// A flow run that wants to be told; no longer when this is dropped.
pub(crate) struct Told(Cancellation);

/// Tells a flow run about signals.
pub(crate) fn tell(cancellation: &Cancellation) -> Told {
    runs().push(cancellation.clone());
    Told(cancellation.clone())
}

fn runs() -> std::sync::MutexGuard<'static, Vec<Cancellation>> {
    RUNS.lock()
        .expect("nobody panics while looking at the list")
}

impl Drop for Told {
    fn drop(&mut self) {
        runs().retain(|run| !run.is(&self.0));
    }
}

/// Starts to listen, once for the process.
pub(crate) fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        runtime().spawn(async {
            let (Ok(mut interrupts), Ok(mut terminations)) = (
                signal(SignalKind::interrupt()),
                signal(SignalKind::terminate()),
            ) else {
                return;
            };
            loop {
                let (reason, code) = tokio::select! {
                    _ = interrupts.recv() => (Reason::Interrupted, 130),
                    _ = terminations.recv() => (Reason::Terminated, 143),
                };
                let runs = runs().clone();
                let is_asked = |run: &Cancellation| run.reason().is_some();
                let insists = |run: &Cancellation| {
                    matches!(run.reason(), Some(Reason::Interrupted | Reason::Terminated))
                };
                // All have been asked also where there is none.
                if runs.iter().all(is_asked) || runs.iter().any(insists) {
                    end(code);
                }
                runs.iter().for_each(|run| run.cancel(reason));
            }
        });
    });
}

#[expect(
    clippy::disallowed_methods,
    reason = "what the signal does where nobody listens; no run is under way, or the user insists"
)]
fn end(code: i32) {
    std::process::exit(code);
}

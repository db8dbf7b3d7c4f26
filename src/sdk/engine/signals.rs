//! Ctrl-C and the wish of the system, or of a terminal that closes, that the process ends.
//!
//! A signal asks all flow runs to end, and the program goes on from there. One that comes while nothing runs, or while runs
//! have been asked already, ends the process as if nobody had listened, once the server knows what becomes of the runs.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, Once};

use futures_util::future::join_all;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use super::execution::FAREWELL;
use super::flow_runs::FlowRun;
use super::runtime;
use crate::hangup;
use crate::sdk::context::{Cancellation, Reason};
use crate::sdk::outcome::StateType;

static LISTENERS: Mutex<Vec<Listener>> = Mutex::new(Vec::new());

/// What wants to be told: a flow run, or something that has none of its own.
#[derive(Clone)]
struct Listener {
    cancellation: Cancellation,
    flow_run: Option<Arc<FlowRun>>,
}

/// What a process that was ended by the last signal exits with; zero where there was none.
static CODE: AtomicU8 = AtomicU8::new(0);

/// Returns what a process exits with whose runs were asked to end by a signal.
pub(crate) fn exit_code() -> Option<u8> {
    Some(CODE.load(Ordering::Relaxed)).filter(|code| *code != 0)
}

/// A listener; no longer when this is dropped.
pub(crate) struct Told(Cancellation);

/// Tells about signals; the flow run, if there is one, is ended should the process have to end at once.
pub(crate) fn tell(cancellation: &Cancellation, flow_run: Option<Arc<FlowRun>>) -> Told {
    let told = Told(cancellation.clone());
    let cancellation = cancellation.clone();
    listeners().push(Listener {
        cancellation,
        flow_run,
    });
    told
}

fn listeners() -> std::sync::MutexGuard<'static, Vec<Listener>> {
    LISTENERS
        .lock()
        .expect("nobody panics while looking at the list")
}

impl Drop for Told {
    fn drop(&mut self) {
        listeners().retain(|listener| !listener.cancellation.is(&self.0));
    }
}

/// Starts to listen, once for the process.
pub(crate) fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // To take a signal is to ignore it no more, so this is asked first.
        let mut heeds_hangup = !hangup::is_ignored();
        runtime().spawn(async move {
            let (Ok(mut interrupts), Ok(mut terminations)) = (
                signal(SignalKind::interrupt()),
                signal(SignalKind::terminate()),
            ) else {
                return;
            };
            let mut hangups = heeds_hangup
                .then(|| signal(SignalKind::hangup()))
                .and_then(Result::ok);
            loop {
                let hung_up = async {
                    match &mut hangups {
                        Some(hangups) if heeds_hangup => hangups.recv().await,
                        _ => std::future::pending().await,
                    }
                };
                let (reason, code) = tokio::select! {
                    _ = interrupts.recv() => (Reason::Interrupted, 130),
                    _ = terminations.recv() => (Reason::Terminated, 143),
                    _ = hung_up => {
                        // A closing terminal is told by the shell and by the kernel, which is one
                        // wish and not two.
                        heeds_hangup = false;
                        (Reason::Terminated, 129)
                    }
                };
                let all = listeners().clone();
                CODE.store(code, Ordering::Relaxed);
                let is_asked = |one: &Listener| one.cancellation.reason().is_some();
                let insists = |one: &Listener| {
                    let reason = one.cancellation.reason();
                    matches!(reason, Some(Reason::Interrupted | Reason::Terminated))
                };
                // All have been asked also where there is none.
                if all.iter().all(is_asked) || all.iter().any(insists) {
                    tokio::select! {
                        () = farewell(all, reason) => {}
                        // Who asks three times does not want to wait for that either.
                        _ = interrupts.recv() => {}
                        _ = terminations.recv() => {}
                    }
                    end(code.into());
                }
                all.iter().for_each(|one| one.cancellation.cancel(reason));
            }
        });
    });
}

/// Tells the server that the runs end, since nobody else will.
async fn farewell(listeners: Vec<Listener>, reason: Reason) {
    let runs = listeners.into_iter().filter_map(|one| one.flow_run);
    let end = match reason {
        Reason::Terminated => StateType::Crashed,
        _ => StateType::Cancelled,
    };
    let message = "The process was asked to end at once, before the run had ended by itself.";
    let told = join_all(runs.map(|run| async move { run.give_up(end, message).await }));
    let _ = timeout(FAREWELL, told).await;
}

#[expect(
    clippy::disallowed_methods,
    reason = "what the signal does where nobody listens; no run is under way, or the user insists"
)]
fn end(code: i32) -> ! {
    std::process::exit(code)
}

//! Being asked to stop: Ctrl+C, SIGTERM from whatever supervises the process, or SIGHUP from a terminal that closes.

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use super::error::{Error, Result};
use crate::hangup;

/// Sends a message for each SIGINT and SIGTERM, and for the first SIGHUP.
pub(super) fn requests() -> Result<mpsc::Receiver<()>> {
    // To take a signal is to ignore it no more, so this is asked first.
    let takes_hangup = !hangup::is_ignored();
    let (sender, requests) = mpsc::channel(8);
    pass_on(SignalKind::interrupt(), usize::MAX, &sender)?;
    pass_on(SignalKind::terminate(), usize::MAX, &sender)?;
    if takes_hangup {
        // A closing terminal is told by the shell and by the kernel, which is one wish and not two.
        pass_on(SignalKind::hangup(), 1, &sender)?;
    }
    Ok(requests)
}

/// Sends a message for each signal of a kind, at most so many.
fn pass_on(kind: SignalKind, most: usize, sender: &mpsc::Sender<()>) -> Result {
    let mut signals = signal(kind)
        .map_err(|error| Error::failure(format!("signals cannot be taken: {error}")))?;
    let sender = sender.clone();
    tokio::spawn(async move {
        for _ in 0..most {
            if signals.recv().await.is_none() || sender.send(()).await.is_err() {
                return;
            }
        }
    });
    Ok(())
}

/// Returns at the first request; the second ends the process at once.
pub(super) async fn requested(mut requests: mpsc::Receiver<()>) {
    requests.recv().await;
    super::output::say("\nStopping; press Ctrl+C again to stop at once.");
    tokio::spawn(async move {
        if requests.recv().await.is_some() {
            #[expect(
                clippy::disallowed_methods,
                reason = "what was answered is in the database already, so nothing is lost"
            )]
            std::process::exit(130);
        }
    });
}

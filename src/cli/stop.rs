//! Being asked to stop: Ctrl+C, or SIGTERM from whatever supervises the process.

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use super::error::{Error, Result};

/// Sends a message for each SIGINT and SIGTERM.
pub(super) fn requests() -> Result<mpsc::Receiver<()>> {
    let (sender, requests) = mpsc::channel(8);
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
        let mut signals = signal(kind)
            .map_err(|error| Error::failure(format!("signals cannot be taken: {error}")))?;
        let sender = sender.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() && sender.send(()).await.is_ok() {}
        });
    }
    Ok(requests)
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

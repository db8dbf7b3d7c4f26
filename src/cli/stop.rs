//! Being asked to stop: Ctrl+C, SIGTERM from whatever supervises the process, or SIGHUP from a terminal that closes.

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use super::error::{Error, Result};

/// Sends a message for each SIGINT and SIGTERM, and for the first SIGHUP.
pub(super) fn requests() -> Result<mpsc::Receiver<()>> {
    // To take a signal is to ignore it no more, so this is asked first.
    let takes_hangup = !ignores_hangup();
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

/// Returns whether whoever started this process wants it to outlive its terminal, as `nohup` does.
///
/// There is no safe call that tells it. Without `/proc` nobody knows, and the signal is left to do what it did.
fn ignores_hangup() -> bool {
    match std::fs::read_to_string("/proc/self/status") {
        Ok(status) => is_ignored(&status, nix::sys::signal::Signal::SIGHUP as u32),
        Err(_) => true,
    }
}

/// Reads from what proc(5) calls `status` whether a signal is ignored: a mask whose lowest bit is signal 1.
fn is_ignored(status: &str, signal: u32) -> bool {
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_none_or(|mask| (mask >> (signal - 1)) & 1 == 1)
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

#[cfg(test)]
mod tests {
    use super::is_ignored;

    #[test]
    fn the_mask_of_ignored_signals_is_read() {
        let status = |mask: &str| {
            format!(
                "Name:\tagent\nSigBlk:\t0000000000000001\nSigIgn:\t{mask}\nSigCgt:\t0000000000000001\n"
            )
        };
        assert!(is_ignored(&status("0000000000001001"), 1));
        // SIGPIPE, as every program in Rust does.
        assert!(!is_ignored(&status("0000000000001000"), 1));
        assert!(is_ignored(&status("0000000000001000"), 13));
        assert!(is_ignored("Name:\tagent\n", 1));
    }
}

//! What a closing terminal means to this process.

use tokio::signal::unix::SignalKind;

/// Returns whether whoever started this process wants it to outlive its terminal, as `nohup` does.
///
/// There is no safe call that tells it. Without `/proc` nobody knows, and the signal is left to do what it did.
pub(crate) fn is_ignored() -> bool {
    match std::fs::read_to_string("/proc/self/status") {
        Ok(status) => is_ignored_in(&status, SignalKind::hangup().as_raw_value()),
        Err(_) => true,
    }
}

/// Reads from what proc(5) calls `status` whether a signal is ignored: a mask whose lowest bit is signal 1.
fn is_ignored_in(status: &str, signal: i32) -> bool {
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_none_or(|mask| (mask >> (signal - 1)) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::is_ignored_in;

    #[test]
    fn the_mask_of_ignored_signals_is_read() {
        let status = |mask: &str| {
            format!(
                "Name:\tagent\nSigBlk:\t0000000000000001\nSigIgn:\t{mask}\nSigCgt:\t0000000000000001\n"
            )
        };
        assert!(is_ignored_in(&status("0000000000001001"), 1));
        // SIGPIPE, as every program in Rust does.
        assert!(!is_ignored_in(&status("0000000000001000"), 1));
        assert!(is_ignored_in(&status("0000000000001000"), 13));
        assert!(is_ignored_in("Name:\tagent\n", 1));
    }
}

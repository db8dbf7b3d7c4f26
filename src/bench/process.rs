//! What a server's processes have used, read from `/proc`.
//!
//! A genuine server is a small tree (a supervisor and its children), so every figure is a sum over
//! the tree. Children that ended are in their parent's waited-for time, which is summed as well.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

/// `USER_HZ` of every Linux that Rust runs on except Alpha and old IA-64: proc(5), `stat`.
const TICKS_PER_SECOND: u64 = 100;

/// CPU time and memory at one instant.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Usage {
    /// User and system time since the start.
    pub(super) cpu: Duration,
    /// Resident memory.
    pub(super) resident_bytes: u64,
}

struct Stat {
    parent: u32,
    ticks: u64,
}

/// Returns what the tree under `root` has used, if that process exists.
pub(super) fn usage(root: u32) -> Option<Usage> {
    stat(root)?;
    let mut usage = Usage::default();
    let mut ticks = 0;
    for pid in tree(root) {
        if let Some(stat) = stat(pid) {
            ticks += stat.ticks;
            usage.resident_bytes += resident_bytes(pid).unwrap_or(0);
        }
    }
    usage.cpu = Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND);
    Some(usage)
}

/// Returns the process that listens on `port` of this machine.
pub(super) fn listening_on(port: u16) -> Option<u32> {
    let inodes: BTreeSet<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listening_inodes(&table, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    pids().into_iter().find(|pid| {
        let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else {
            return false;
        };
        files
            .flatten()
            .filter_map(|file| fs::read_link(file.path()).ok())
            .any(|target| inodes.contains(&*target.to_string_lossy()))
    })
}

/// Reads the inodes of listening sockets (state `0A`) from a table of proc(5), `/proc/net/tcp`.
fn listening_inodes(table: &str, port: u16) -> Vec<String> {
    let suffix = format!(":{port:04X}");
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
            (local.ends_with(&suffix) && *state == "0A").then(|| (*inode).to_owned())
        })
        .collect()
}

fn tree(root: u32) -> Vec<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for pid in pids() {
        if let Some(stat) = stat(pid) {
            children.entry(stat.parent).or_default().push(pid);
        }
    }
    let mut found = vec![root];
    let mut next = 0;
    while next < found.len() {
        found.extend(children.remove(&found[next]).unwrap_or_default());
        next += 1;
    }
    found
}

fn pids() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

fn stat(pid: u32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_stat(text: &str) -> Option<Stat> {
    // The name stands in parentheses and may hold anything, also parentheses and spaces.
    let fields: Vec<&str> = text[text.rfind(')')? + 1..].split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        // utime, stime, and both of the children that were waited for.
        ticks: number(11)? + number(12)? + number(13)? + number(14)?,
    })
}

fn resident_bytes(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = parse_stat("7 (a) b (c)) S 3 7 7 0 -1 0 0 0 0 0 10 20 30 40 20 0").unwrap();
        assert_eq!((stat.parent, stat.ticks), (3, 100));
    }

    #[test]
    fn only_listening_sockets_of_the_port_are_found() {
        let table = "  sl  local_address rem_address   st tx_queue\n\
            0: 0100007F:1068 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 41 1\n\
            1: 0100007F:1068 0100007F:9999 01 00000000:00000000 00:00000000 00000000 0 0 42 1\n\
            2: 0100007F:1069 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 43 1\n";
        assert_eq!(listening_inodes(table, 4200), ["41"]);
    }

    #[test]
    fn this_process_has_memory() {
        assert!(usage(std::process::id()).unwrap().resident_bytes > 0);
    }
}

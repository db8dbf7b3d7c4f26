//! Process groups: starting one, reading its output, ending it as a whole.
//!
//! Each run is a process group, so that a flow's own children end with it. The group gets
//! SIGTERM, a grace period, then SIGKILL; the same happens to what is left of it once its first
//! process is gone, since a run that is over owns nothing.
//!
//! A process that has left its group, with `setsid` for instance, is found by the id of its run, which
//! it carries in its environment: where a run is ended from outside, its group is ended as well. Where a
//! run ends by itself it lives on, since it may have been meant to. Nothing finds one whose environment
//! was cleared or overwritten, and nothing finds any on a system without `/proc`.

use std::ffi::OsString;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use super::control::Control;
use crate::sdk::program::FLOW_RUN_ID;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// How long a process group may take to end by itself.
pub const TERM_GRACE: Duration = Duration::from_secs(10);
/// A longer line is split, so that one line cannot fill the memory or a request.
const MAX_LINE_BYTES: usize = 32 * 1024;
/// How long output may come in after the first process ended.
const DRAIN: Duration = Duration::from_secs(2);

/// What to start.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Invocation {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Variables set over the agent's own.
    pub set: Vec<(String, OsString)>,
    /// Variables of the agent that the process must not see.
    pub unset: Vec<String>,
    /// Where it starts; the agent's folder by default.
    pub directory: Option<PathBuf>,
    /// How long it may take.
    pub timeout: Option<Duration>,
    /// Whether it reads what we are given to read; otherwise there is nothing to read.
    pub reads_ours: bool,
    /// Whether its output is also ours, byte by byte, for whoever redirects it.
    pub writes_ours: bool,
    /// Whether it may be an engine that can be told why it is ended.
    pub hears_why: bool,
}

/// Which pipe a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// Why the agent ends a process group before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Halt {
    /// Somebody cancelled the run.
    Cancelled,
    /// The agent stops.
    AgentStopped,
    /// It took too long.
    TimedOut,
}

/// How a process group ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// What became of its first process.
    pub status: ExitStatus,
    /// Why the agent ended it, if it did.
    pub halt: Option<Halt>,
}

impl Ended {
    /// Returns what a person may not think of at once, as a sentence of its own.
    pub fn remark(&self) -> &'static str {
        match self.status.signal() {
            Some(9) => " If nobody did it on purpose, the machine may be out of memory.",
            _ => "",
        }
    }

    /// Says how the process ended, in words that follow its name.
    pub fn describe(&self) -> String {
        match (self.status.code(), self.status.signal()) {
            (Some(0), _) => "ended well".into(),
            (Some(code), _) => format!("exited with code {code}"),
            (None, Some(signal)) => {
                let name = Signal::try_from(signal).map_or("an unknown signal", Signal::as_str);
                format!("was killed by signal {signal} ({name})")
            }
            (None, None) => "ended without a word".into(),
        }
    }
}

/// A running process group.
#[derive(Debug)]
pub struct Group {
    writes_ours: bool,
    child: Child,
    pgid: Pid,
    /// The id that its processes carry in their environment, if they do.
    run: Option<String>,
    deadline: Option<Instant>,
}

impl Group {
    /// Starts a process as the first of a new group.
    pub fn start(invocation: &Invocation) -> std::io::Result<Self> {
        let mut command = Command::new(&invocation.program);
        command
            .args(&invocation.arguments)
            .envs(invocation.set.iter().map(|(key, value)| (key, value)))
            .stdin(match invocation.reads_ours {
                true => Stdio::inherit(),
                false => Stdio::null(),
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        for key in &invocation.unset {
            command.env_remove(key);
        }
        if let Some(directory) = &invocation.directory {
            command.current_dir(directory);
        }
        let child = command.spawn()?;
        let pid = child
            .id()
            .expect("a child that was just started has not been waited for");
        let deadline = invocation.timeout.map(|timeout| Instant::now() + timeout);
        // The last one holds.
        let run = invocation.set.iter().rfind(|(key, _)| key == FLOW_RUN_ID);
        Ok(Group {
            writes_ours: invocation.writes_ours,
            child,
            pgid: Pid::from_raw(pid as i32),
            run: run.and_then(|(_, id)| id.to_str()).map(str::to_owned),
            deadline,
        })
    }

    /// Returns the number of the group, which is the id of its first process.
    pub fn id(&self) -> i32 {
        self.pgid.as_raw()
    }

    /// Waits for the end, feeding each line of output to `lines`, and ends the group early if told so, with what has left
    /// it; an engine that has connected to `control` is told first that it was cancelled.
    pub async fn wait(
        mut self,
        lines: mpsc::Sender<(Stream, String)>,
        halts: &mut mpsc::Receiver<Halt>,
        control: Option<&Control>,
    ) -> std::io::Result<Ended> {
        let mut readers = JoinSet::new();
        if let Some(pipe) = self.child.stdout.take() {
            let shown = self.writes_ours.then(std::io::stdout);
            readers.spawn(read_lines(pipe, Stream::Out, lines.clone(), shown));
        }
        if let Some(pipe) = self.child.stderr.take() {
            let shown = self.writes_ours.then(std::io::stderr);
            readers.spawn(read_lines(pipe, Stream::Err, lines, shown));
        }
        let connected = async {
            match control {
                Some(control) => control.connected().await,
                None => std::future::pending().await,
            }
        };
        let mut connected = std::pin::pin!(connected);
        let mut session = None;
        let mut halt = None;
        let (pgid, run) = (self.pgid, self.run.take());
        let status = loop {
            let pause = async {
                match self.deadline {
                    Some(deadline) => sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                status = self.child.wait() => break status?,
                Some(why) = halts.recv(), if halt.is_none() => halt = Some(why),
                () = pause, if halt.is_none() => halt = Some(Halt::TimedOut),
                engine = &mut connected, if session.is_none() => session = Some(engine),
            }
            if halt.is_some() {
                if let (Some(Halt::Cancelled), Some(session)) = (halt, session.take()) {
                    session.cancel().await;
                }
                let (status, ()) = tokio::join!(self.end(), end_strays(run.as_deref(), pgid));
                break status?;
            }
        };
        end_group(pgid).await;
        if halt.is_some() {
            // What was started while the others ended.
            end_strays(run.as_deref(), pgid).await;
        }
        // The pipes of a process that left the group may stay open for ever.
        let _ = timeout(DRAIN, async {
            while readers.join_next().await.is_some() {}
        })
        .await;
        Ok(Ended { status, halt })
    }

    async fn end(&mut self) -> std::io::Result<ExitStatus> {
        signal(self.pgid, Signal::SIGTERM);
        if let Ok(status) = timeout(TERM_GRACE, self.child.wait()).await {
            return status;
        }
        signal(self.pgid, Signal::SIGKILL);
        self.child.wait().await
    }
}

/// Ends the group of a run and what has left it, at once.
pub fn kill_run(group: i32, run: &str) {
    signal(Pid::from_raw(group), Signal::SIGKILL);
    for stray in groups_now(FLOW_RUN_ID, run) {
        signal(stray, Signal::SIGKILL);
    }
}

/// Ends what is left of a run: its group and what has left it.
pub async fn end_run(pgid: Pid, run: &str) {
    tokio::join!(end_group(pgid), end_strays(Some(run), pgid));
    // What was started while the others ended.
    end_strays(Some(run), pgid).await;
}

/// Ends the groups of processes that carry the id of a run but are not in its group `own`, all at once.
async fn end_strays(run: Option<&str>, own: Pid) {
    let Some(run) = run else { return };
    let mut ending = JoinSet::new();
    for group in groups_now(FLOW_RUN_ID, run) {
        if group != own {
            ending.spawn(end_group(group));
        }
    }
    while ending.join_next().await.is_some() {}
}

/// Ends what is left of a group: SIGTERM, a grace period, SIGKILL.
pub async fn end_group(pgid: Pid) {
    if !signal(pgid, Signal::SIGTERM) {
        return;
    }
    let deadline = Instant::now() + TERM_GRACE;
    let mut pause = Duration::from_millis(5);
    while Instant::now() < deadline {
        sleep(pause).await;
        if !is_alive(pgid) {
            return;
        }
        pause = (pause * 2).min(Duration::from_millis(200));
    }
    signal(pgid, Signal::SIGKILL);
}

/// Returns whether a process of the group lives.
///
/// A process that ended counts for `kill` until its parent has collected it, and the parent of an
/// orphan may be slow, or be a container's first process that never does. So `/proc` has the word.
pub fn is_alive(pgid: Pid) -> bool {
    if killpg(pgid, None).is_err() {
        return false;
    }
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return true;
    };
    processes.flatten().any(|process| {
        let known = Stat::read(&process.path());
        known.is_some_and(|known| known.group == pgid && !matches!(known.state, 'Z' | 'X'))
    })
}

/// What `/proc` says of a process; see proc(5), `stat`.
struct Stat {
    state: char,
    parent: Pid,
    group: Pid,
}

impl Stat {
    /// Reads it from the process's folder.
    fn read(process: &Path) -> Option<Self> {
        let stat = std::fs::read_to_string(process.join("stat")).ok()?;
        // The name in brackets may contain anything; behind it are state, parent and group.
        let mut fields = stat.rsplit(") ").next()?.split(' ');
        Some(Stat {
            state: fields.next()?.chars().next()?,
            parent: Pid::from_raw(fields.next()?.parse().ok()?),
            group: Pid::from_raw(fields.next()?.parse().ok()?),
        })
    }
}

/// Returns the groups of the processes that were started with this variable.
///
/// A process that has just been forked shows its parent's variables for a moment, so what a process without the variable
/// may have started just now is looked for twice.
pub async fn groups_with(variable: &str, value: &str) -> Vec<Pid> {
    let mut groups = groups_now(variable, value);
    sleep(Duration::from_millis(200)).await;
    for group in groups_now(variable, value) {
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    groups
}

/// Returns the groups of the processes that show this variable now, but never one that this process is in or descends from.
fn groups_now(variable: &str, value: &str) -> Vec<Pid> {
    let entry = format!("{variable}={value}");
    let mut groups = Vec::new();
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return groups;
    };
    let spared = groups_above();
    for process in processes.flatten() {
        let path = process.path();
        let environment = std::fs::read(path.join("environ")).unwrap_or_default();
        if !environment
            .split(|byte| *byte == 0)
            .any(|found| found == entry.as_bytes())
        {
            continue;
        }
        // 0 is a group that this process cannot see, and to `kill` 0 and 1 mean many others.
        if let Some(Stat { group, .. }) = Stat::read(&path)
            && group.as_raw() > 1
            && !spared.contains(&group)
            && !groups.contains(&group)
        {
            groups.push(group);
        }
    }
    groups
}

/// Returns the groups of this process and of those that it descends from, up to the first.
fn groups_above() -> Vec<Pid> {
    let mut groups = vec![nix::unistd::getpgrp()];
    let mut process = nix::unistd::getppid();
    while let Some(known) = Stat::read(&Path::new("/proc").join(process.to_string())) {
        groups.push(known.group);
        process = known.parent;
    }
    groups
}

/// Sends a signal to a group; `false` means that nobody is there.
fn signal(pgid: Pid, signal: Signal) -> bool {
    killpg(pgid, signal).is_ok()
}

async fn read_lines(
    mut pipe: impl AsyncRead + Unpin,
    stream: Stream,
    lines: mpsc::Sender<(Stream, String)>,
    mut shown: Option<impl Write>,
) {
    let mut pending = Vec::new();
    let mut buffer = [0; 8192];
    while let Ok(length) = pipe.read(&mut buffer).await {
        if length == 0 {
            break;
        }
        if let Some(shown) = &mut shown {
            // Whoever closed our output still wants the command to run.
            let _ = shown
                .write_all(&buffer[..length])
                .and_then(|()| shown.flush());
        }
        pending.extend_from_slice(&buffer[..length]);
        for line in take_lines(&mut pending) {
            // A receiver that is gone is no reason to let the pipe fill up.
            let _ = lines.send((stream, line)).await;
        }
    }
    if !pending.is_empty() {
        let _ = lines.send((stream, text(&pending))).await;
    }
}

fn take_lines(pending: &mut Vec<u8>) -> Vec<String> {
    let mut lines = Vec::new();
    let mut start = 0;
    while start < pending.len() {
        let rest = &pending[start..];
        let (length, skip) = match rest
            .iter()
            .take(MAX_LINE_BYTES)
            .position(|byte| *byte == b'\n')
        {
            Some(end) => (end, 1),
            None if rest.len() >= MAX_LINE_BYTES => (end_of_text(&rest[..MAX_LINE_BYTES]), 0),
            None => break,
        };
        lines.push(text(&rest[..length]));
        start += length + skip;
    }
    pending.drain(..start);
    lines
}

/// Returns how much there is without a last character that is cut in two.
fn end_of_text(bytes: &[u8]) -> usize {
    let last = bytes.iter().rposition(|byte| byte & 0xc0 != 0x80);
    let start = last.unwrap_or(0);
    match std::str::from_utf8(&bytes[start..]) {
        // It lacks something, where other mistakes are what they are.
        Err(error) if error.error_len().is_none() && start > 0 => start,
        _ => bytes.len(),
    }
}

fn text(bytes: &[u8]) -> String {
    // PostgreSQL stores no zero characters.
    String::from_utf8_lossy(bytes)
        .trim_end_matches('\r')
        .replace('\0', "\u{fffd}")
}

/// Says why a program did not start, in words that name what to put right.
pub fn why_not_started(program: &Path, error: &std::io::Error) -> String {
    /// Linux's number for "exec format error", which has no kind of its own.
    const NO_FORMAT: i32 = 8;
    match error.kind() {
        ErrorKind::NotFound if program.components().count() == 1 => {
            format!("there is no `{}` on the PATH", program.display())
        }
        ErrorKind::NotFound if program.exists() => no_interpreter(&interpreter(program)),
        _ if error.raw_os_error() == Some(NO_FORMAT) => {
            "it is no program for this machine, and has no first line such as `#!/bin/sh`".into()
        }
        _ => error.to_string(),
    }
}

/// How much of a program Linux reads to find its interpreter.
const FIRST_LINE_BYTES: u64 = 256;

/// Returns what a script's first line names, with the carriage return that Linux takes for a part of the name.
fn interpreter(program: &Path) -> String {
    let mut start = Vec::new();
    let read = std::fs::File::open(program)
        .and_then(|file| file.take(FIRST_LINE_BYTES).read_to_end(&mut start));
    // What could be executed but not read has a first line all the same.
    if read.is_err() {
        return String::new();
    }
    let start = String::from_utf8_lossy(&start);
    let line = start.split('\n').next().unwrap_or_default();
    let named = line.strip_prefix("#!").unwrap_or_default();
    let named = named.trim_start_matches([' ', '\t']);
    named
        .split([' ', '\t'])
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// Says that a script's interpreter is not there; a carriage return, which nobody sees, is shown.
fn no_interpreter(name: &str) -> String {
    let shown = name.escape_debug();
    if name.ends_with('\r') {
        return format!(
            "its first line names the interpreter `{shown}`, with a carriage return at its end, and there is none of that name; remove the carriage returns from its lines, for instance with `dos2unix`"
        );
    }
    match name.is_empty() {
        true => "the interpreter that it names does not exist on this machine".to_owned(),
        false => format!(
            "the interpreter `{shown}`, which its first line names, does not exist on this machine"
        ),
    }
}

#[cfg(test)]
mod tests;

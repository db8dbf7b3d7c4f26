//! What becomes of process groups, with shells as runs.

use super::*;
use uuid::Uuid;

async fn run(script: &str, timeout: Option<Duration>) -> (Ended, Vec<(Stream, String)>) {
    let invocation = Invocation {
        program: "/bin/sh".into(),
        arguments: vec!["-c".into(), script.into()],
        timeout,
        ..Default::default()
    };
    let (lines, mut received) = mpsc::channel(1000);
    let (_keep, mut halts) = mpsc::channel(1);
    let ended = Group::start(&invocation)
        .unwrap()
        .wait(lines, &mut halts, None)
        .await
        .unwrap();
    let mut all = Vec::new();
    while let Ok(line) = received.try_recv() {
        all.push(line);
    }
    (ended, all)
}

#[tokio::test]
async fn a_program_that_does_not_start_is_told_with_what_to_put_right() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let script = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        path
    };
    let told = |program: PathBuf| {
        let invocation = Invocation {
            program: program.clone(),
            ..Default::default()
        };
        why_not_started(&program, &Group::start(&invocation).unwrap_err())
    };
    assert!(told("no-such-conda".into()).contains("`no-such-conda` on the PATH"));
    let missing = told(script("a", "#! /no/such/shell -e\n"));
    assert_eq!(
        missing,
        "the interpreter `/no/such/shell`, which its first line names, does not exist on this machine"
    );
    let of_windows = told(script("c", "#!/bin/sh\r\necho it\r\n"));
    for part in [r"interpreter `/bin/sh\r`", "carriage return", "dos2unix"] {
        assert!(of_windows.contains(part), "{of_windows}");
    }
    assert!(told(script("d", "")).contains("#!/bin/sh"));
    assert!(told(script("b", "echo no first line\n")).contains("#!/bin/sh"));
}

#[tokio::test]
async fn output_comes_line_by_line_and_the_code_is_told() {
    let (ended, lines) = run("echo one; echo two >&2; printf three; exit 3", None).await;
    assert_eq!(ended.describe(), "exited with code 3");
    let of = |wanted| {
        lines
            .iter()
            .filter(|(s, _)| *s == wanted)
            .map(|(_, l)| l.as_str())
            .collect::<Vec<_>>()
    };
    assert_eq!(of(Stream::Out), ["one", "three"]);
    assert_eq!(of(Stream::Err), ["two"]);
}

#[tokio::test]
async fn a_kill_is_told_by_its_signal() {
    let (ended, _) = run("kill -9 $$", None).await;
    assert!(
        ended
            .describe()
            .starts_with("was killed by signal 9 (SIGKILL)")
    );
}

#[tokio::test]
async fn a_timeout_ends_the_whole_tree() {
    let (ended, lines) = run(
        "sleep 1000 & echo $!; wait",
        Some(Duration::from_millis(200)),
    )
    .await;
    assert_eq!(ended.halt, Some(Halt::TimedOut));
    let child: i32 = lines[0].1.parse().unwrap();
    // A killed orphan may still be a zombie that its new parent has not collected.
    let state = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z "), "{state}");
}

#[tokio::test]
async fn children_left_behind_end_with_the_run() {
    let (ended, lines) = run("sleep 1000 & echo $!", None).await;
    assert!(ended.status.success() && ended.halt.is_none());
    let child: i32 = lines[0].1.parse().unwrap();
    let state = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z "), "{state}");
}

/// Runs a script as a run of its own that starts one process in another session; returns that process's id.
async fn with_stray(script: &str, halt: Option<Halt>) -> (Ended, i32) {
    let invocation = Invocation {
        program: "/bin/sh".into(),
        arguments: vec!["-c".into(), script.into()],
        set: vec![(FLOW_RUN_ID.into(), Uuid::new_v4().to_string().into())],
        ..Default::default()
    };
    let (lines, mut received) = mpsc::channel::<(Stream, String)>(1000);
    let (halting, mut halts) = mpsc::channel(1);
    let hear = async {
        let (_, line) = received.recv().await.expect("the stray's id");
        let stray: i32 = line.parse().unwrap();
        // It is in the group at first.
        let stray_pid = Pid::from_raw(stray);
        for _ in 0..2000 {
            if nix::unistd::getpgid(Some(stray_pid)) == Ok(stray_pid) {
                break;
            }
            sleep(Duration::from_millis(5)).await;
        }
        if let Some(halt) = halt {
            halting.send(halt).await.unwrap();
        }
        stray
    };
    let group = Group::start(&invocation).unwrap();
    let (ended, stray) = tokio::join!(group.wait(lines, &mut halts, None), hear);
    (ended.unwrap(), stray)
}

#[tokio::test]
async fn what_has_left_the_group_ends_with_a_run_that_is_ended() {
    let script = "setsid sleep 300 >/dev/null 2>&1 & echo $!; wait";
    for halt in [Halt::Cancelled, Halt::AgentStopped] {
        let (ended, stray) = with_stray(script, Some(halt)).await;
        assert_eq!(ended.halt, Some(halt));
        assert!(!is_alive(Pid::from_raw(stray)));
    }
}

#[tokio::test]
async fn what_has_left_the_group_outlives_a_run_that_ends_by_itself() {
    // It ends once its child is in a session of its own.
    let script = "setsid sleep 300 >/dev/null 2>&1 & echo $!; sleep 0.5";
    let (ended, stray) = with_stray(script, None).await;
    assert!(ended.status.success());
    let stray = Pid::from_raw(stray);
    assert!(is_alive(stray));
    signal(stray, Signal::SIGKILL);
}

#[test]
fn nobody_ends_the_group_that_it_is_in() {
    // This process and its parents share some variable, most likely.
    let (key, value) = ("PATH", std::env::var("PATH").unwrap_or_default());
    let found = groups_now(key, &value);
    let spared = groups_above();
    assert!(spared.contains(&nix::unistd::getpgrp()));
    assert!(found.iter().all(|group| !spared.contains(group)));
}

#[test]
fn lines_are_split_bounded_and_valid_text() {
    let mut pending = b"a\r\nb\0c\n\xff".to_vec();
    assert_eq!(take_lines(&mut pending), ["a", "b\u{fffd}c"]);
    assert_eq!(pending, b"\xff");
    let mut long = vec![b'x'; MAX_LINE_BYTES + 1];
    assert_eq!(take_lines(&mut long)[0].len(), MAX_LINE_BYTES);
    assert_eq!(long, b"x");
    let mut cut = "é".repeat(MAX_LINE_BYTES).into_bytes();
    cut.insert(0, b'.');
    assert_eq!(take_lines(&mut cut)[0].len(), MAX_LINE_BYTES - 1);
    assert!(cut.starts_with("é".as_bytes()));
    let mut never = vec![0x80; MAX_LINE_BYTES];
    assert_eq!(take_lines(&mut never).len(), 1);
}

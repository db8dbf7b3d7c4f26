//! Commands and scripts as flows: what they are given, and what they report.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::home::{Home, signal};
use crate::server::Server;

#[test]
fn scripts_report_their_steps() {
    let home = Home::new(None);
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    for (script, param) in [("report.sh", None), ("report.py", Some("directory=."))] {
        let path = examples.join(script);
        let mut arguments = vec!["run"];
        if let Some(param) = param {
            arguments.extend(["--param", param]);
        }
        arguments.extend(["--", path.to_str().unwrap()]);
        home.prints(&arguments);
    }
    let runs = home.json(&["task-run", "ls", "-o", "json"]);
    let mut names: Vec<_> = runs
        .as_array()
        .unwrap()
        .iter()
        .map(|run| {
            assert_eq!(run["state"]["type"], "COMPLETED");
            run["name"].as_str().unwrap()
        })
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["check the number", "count files", "measure"]);
    let artifacts = home.json(&["artifact", "ls", "-o", "json"]);
    assert_eq!(artifacts[0]["key"], "file-count");
}

#[test]
fn a_script_finds_its_parameters_in_all_ways_whatever_they_are() {
    let server = Server::start();
    let home = Home::new(Some(&server));
    let script = home.write(
        "show.sh",
        "#!/bin/sh\nfor text in \"$PREFECT__PARAMETERS\" \"$PREFECT__PARAMETER_TEXT\" \"$PREFECT__PARAMETER_NOTHING\" \
            \"$PREFECT__PARAMETER_NUMBER\" \"$PREFECT__PARAMETER_NESTED\" \"$PREFECT__PARAMETER_A_B\" \
            \"$PREFECT__PARAMETER_EMPTY\" \"$@\"; do printf '%s\\0' \"$text\"; done > \"$OUT\"\n",
    );
    let text = "it's \"quoted\",\n$HOME `id` \\n é 🦀 {{ parameters.number }} --to %s";
    let parameters = json!({
        "text": text, "nothing": null, "number": -12345678901234567i64, "a.b": true, "empty": "",
        "nested": {"hosts": ["h\"1\"", {"port": 8.5}]},
    });
    let out = home.folder.path().join("out");
    let arguments = [
        "--text={{ parameters.text }}",
        "{{parameters.nothing}}",
        "{{ parameters.nested.hosts.1.port }}",
        "{{ parameters.nested.hosts }}",
        "{{ parameters.a.b }}",
        "{{ parameters.empty }}",
        "",
        "$HOME *",
    ];
    let spec = json!({
        "name": "odd", "flow_location": script, "parameters": parameters,
        "flow_runner": {"type": "subprocess", "config": {"args": arguments, "env": {"OUT": out}}},
    });
    Command::new("chmod")
        .arg("+x")
        .arg(&script)
        .status()
        .unwrap();
    let path = home.write("odd.json", &spec.to_string());
    home.prints(&["deployment", "create", path.to_str().unwrap()]);
    home.prints(&["deployment", "execute", "odd"]);
    let told = std::fs::read_to_string(&out).unwrap();
    let mut told: Vec<&str> = told.split_terminator('\0').collect();
    let whole: Value = serde_json::from_str(told.remove(0)).unwrap();
    assert_eq!(whole, parameters);
    let hosts = r#"["h\"1\"",{"port":8.5}]"#;
    let expected = [
        text.to_owned(),
        "null".to_owned(),
        "-12345678901234567".to_owned(),
        format!(r#"{{"hosts":{hosts}}}"#),
        "true".to_owned(),
        String::new(),
        format!("--text={text}"),
        "null".to_owned(),
        "8.5".to_owned(),
        hosts.to_owned(),
        "true".to_owned(),
        String::new(),
        String::new(),
        "$HOME *".to_owned(),
    ];
    assert_eq!(told, expected);
}

#[test]
fn what_a_script_said_of_a_step_stays() {
    let home = Home::new(None);
    let script = "set -e
        step=$($PREFECT_RS_BIN task-run start one)
        $PREFECT_RS_BIN task-run fail $step
        $PREFECT_RS_BIN task-run fail $step --message 'said again'
        if $PREFECT_RS_BIN task-run complete $step; then exit 1; else test $? = 5; fi
        $PREFECT_RS_BIN task-run inspect $step | grep -q Failed";
    let output = home.cli(&["run", "--", "sh", "-c", script]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("task run 'one' has ended as Failed already"),
        "{said}"
    );
}

#[test]
fn what_a_script_leaves_open_ends_with_it() {
    let home = Home::new(None);
    let script = "$PREFECT_RS_BIN task-run start one; ! $PREFECT_RS_BIN task-run start ''";
    let output = home.cli(&["run", "--", "sh", "-c", script]);
    assert!(output.status.success());
    let tasks = home.json(&["task-run", "ls", "-o", "json"]);
    assert_eq!(tasks[0]["state"]["type"], "CRASHED");
    assert_eq!(
        tasks[0]["state"]["message"],
        "The program ended without saying how the task ended."
    );
    let output = home.cli(&["run", "-p", "a-b=1", "-p", "a_b=2", "--", "true"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("would both be the environment variable `PREFECT__PARAMETER_A_B`"),
        "{said}"
    );
}

#[test]
fn a_command_is_recorded_with_its_exit_code_and_retries() {
    let home = Home::new(None);
    let output = home.cli(&[
        "run",
        "--name",
        "flaky",
        "--retries",
        "1",
        "--",
        "sh",
        "-c",
        "echo out; echo err >&2; exit 7",
    ]);
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "out\nout\n");
    let run = &home.json(&["flow-run", "ls", "-o", "json"])[0];
    assert_eq!(run["run_count"], 2);
    assert_eq!(run["state"]["type"], "FAILED");
    let message = run["state"]["message"].as_str().unwrap();
    assert!(
        message.contains("exited with code 7") && message.contains("err"),
        "{message}"
    );
    let output = home.cli(&["run", "--timeout", "0.2", "--", "sleep", "60"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("timeout of 0.2 seconds"));
    let output = home.cli(&["run", "--", "sh", "-c", "kill -9 $$"]);
    assert_eq!(output.status.code(), Some(137));
    let mut piped = home.command(env!("CARGO_BIN_EXE_prefect-rs"));
    piped.args(["run", "--", "wc", "-c"]).stdin(Stdio::piped());
    let mut piped = piped.stdout(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut piped.stdin.take().unwrap(), b"12345").unwrap();
    let output = piped.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "5");
    let output = home.cli(&["run", "--", "printf", r"\377\000\n%040000d", "7"]);
    let (first, last) = (output.stdout.first(), output.stdout.last());
    assert_eq!(
        (output.stdout.len(), first, last),
        (40_003, Some(&255), Some(&b'7'))
    );
    let output = home.cli(&["run", "--", "no-such-command"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("no `no-such-command` on the PATH"), "{said}");
}

#[test]
fn a_command_ends_when_it_is_interrupted_or_cancelled_from_elsewhere() {
    let home = Home::new(None);
    let begin = |script: &str| {
        let mut command = home.command(env!("CARGO_BIN_EXE_prefect-rs"));
        command.args(["run", "--", "sh", "-c", script]);
        let mut command = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let reader = std::io::BufReader::new(command.stdout.take().unwrap());
        let mut lines = std::io::BufRead::lines(reader).map_while(Result::ok);
        assert_eq!(lines.next().as_deref(), Some("begun"));
        command
    };
    // What takes no notice of SIGTERM does so of a second wish.
    let mut stubborn = begin("trap '' TERM; echo begun; while :; do sleep 0.1; done");
    let ended = home.wait(|| {
        signal(stubborn.id(), "INT");
        stubborn.try_wait().unwrap()
    });
    assert_eq!(ended.code(), Some(130));

    let mut cancelled = begin("echo begun; sleep 600");
    let runs = home.json(&["flow-run", "ls", "--state", "RUNNING", "-o", "json"]);
    home.prints(&["flow-run", "cancel", runs[0]["id"].as_str().unwrap()]);
    assert_eq!(cancelled.wait().unwrap().code(), Some(1));
    let runs = home.json(&["flow-run", "ls", "-o", "json"]);
    for run in runs.as_array().unwrap() {
        assert_eq!(run["state"]["type"], "CANCELLED", "{run}");
    }
}

#[test]
fn runs_for_later_do_not_hide_those_that_have_begun() {
    let home = Home::new(None);
    home.prints(&["run", "--", "true"]);
    let spec = json!({"name": "nightly", "flow_location": "/bin/true"});
    let path = home.write("deployment.json", &spec.to_string());
    home.prints(&["deployment", "create", path.to_str().unwrap()]);
    home.prints(&["deployment", "run", "nightly"]);
    for _ in 0..3 {
        home.prints(&[
            "deployment",
            "run",
            "nightly",
            "--start-at",
            "2099-01-01T00:00:00Z",
        ]);
    }
    let states = |more: &[&str]| {
        let arguments = [&["flow-run", "ls", "--limit", "3", "-o", "json"], more].concat();
        let runs = home.json(&arguments);
        let names = runs
            .as_array()
            .unwrap()
            .iter()
            .map(|run| run["state"]["name"].clone());
        names.collect::<Vec<_>>()
    };
    assert_eq!(states(&[]), ["Scheduled", "Completed"]);
    assert_eq!(states(&["--state", "Scheduled"]), ["Scheduled"; 3]);
    let output = home.cli(&["flow-run", "ls"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("3 scheduled for later"), "{said}");
}

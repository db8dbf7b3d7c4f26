//! Programs of flows as real processes: the examples, deployed, cancelled, killed.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use prefect_rs::db::{Conn, Db, query};
use prefect_rs::settings::{DatabaseUrl, Synchronous};
use serde_json::{Value, json};

use crate::server::Server;

/// Much more than anything takes, since the machine may be busy compiling.
const PATIENCE: Duration = Duration::from_secs(60);

/// Returns a built example.
pub fn example(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("the path of this test");
    let path = own
        .ancestors()
        .nth(2)
        .expect("the target folder")
        .join("examples")
        .join(name);
    assert!(
        path.exists(),
        "{} is not built: cargo build --examples",
        path.display()
    );
    path
}

/// A home, and commands in it.
struct Home {
    folder: tempfile::TempDir,
    url: Option<String>,
}

impl Home {
    fn new(server: Option<&Server>) -> Self {
        Self {
            folder: tempfile::tempdir().expect("a temporary directory"),
            url: server.map(|server| server.url.clone()),
        }
    }

    fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command
            .env("PREFECT_HOME", self.folder.path())
            .env("PREFECT_RS_BIN", env!("CARGO_BIN_EXE_prefect-rs"))
            .env("TMPDIR", self.folder.path())
            .env_remove("PREFECT_API_URL")
            .env_remove("RUST_BACKTRACE")
            .stdin(Stdio::null());
        if let Some(url) = &self.url {
            command.env("PREFECT_API_URL", url);
        }
        command
    }

    fn cli(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(env!("CARGO_BIN_EXE_prefect-rs"));
        command
            .args(arguments)
            .output()
            .expect("our executable starts")
    }

    /// Runs our executable and returns what it prints.
    fn prints(&self, arguments: &[&str]) -> String {
        let output = self.cli(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {said}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.prints(arguments)).expect("JSON")
    }

    fn state(&self, run: &str) -> Value {
        self.json(&["flow-run", "inspect", run, "-o", "json"])["state"].clone()
    }

    /// Waits until a run is in a state of one of the types.
    fn wait_for(&self, run: &str, types: &[&str]) -> Value {
        self.wait(|| {
            let state = self.state(run);
            types
                .iter()
                .any(|kind| state["type"] == *kind)
                .then_some(state)
        })
    }

    fn wait<T>(&self, mut look: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(Instant::now() < deadline, "waited for too long");
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).expect("a file in the home");
        path
    }

    /// Deploys an example and starts an agent for it.
    fn deploy(&self, program: &Path, more: &Value) -> Process {
        let mut spec = json!({"name": "test", "flow_location": program, "tags": ["test"]});
        spec.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let path = self.write("deployment.json", &spec.to_string());
        self.prints(&["deployment", "create", path.to_str().unwrap()]);
        self.prints(&["work-queue", "create", "test"]);
        let mut agent = self.command(env!("CARGO_BIN_EXE_prefect-rs"));
        agent
            .args(["agent", "start", "test"])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Process(agent.spawn().expect("our executable starts"))
    }
}

/// A process that does not outlive its test.
pub struct Process(pub Child);

impl Process {
    pub fn signal(&self, name: &str) {
        signal(self.0.id(), name);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal("TERM");
        let _ = self.0.wait();
    }
}

fn signal(process: u32, name: &str) {
    let _ = Command::new("kill")
        .args([format!("-{name}"), process.to_string()])
        .status();
}

#[test]
fn every_example_runs_without_a_server() {
    let names = [
        "hello",
        "tasks",
        "retries",
        "concurrency",
        "mapping",
        "caching",
        "subflows",
        "etl",
        "patient",
        "tutorial",
        "many",
    ];
    let home = Home::new(None);
    for name in names {
        let output = home
            .command(example(name))
            .output()
            .expect("the example starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{name}: {said}");
    }
    let runs = home.json(&["flow-run", "ls", "--limit", "50", "-o", "json"]);
    let runs = runs.as_array().unwrap();
    assert!(runs.len() > names.len(), "subflows are runs too");
    for run in runs {
        assert_eq!(run["state"]["type"], "COMPLETED", "{}", run["name"]);
    }
}

#[test]
fn a_program_of_flows_runs_the_one_that_is_named() {
    let home = Home::new(None);
    let run = |arguments: &[&str]| {
        let output = home
            .command(example("tutorial"))
            .args(arguments)
            .output()
            .unwrap();
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    assert!(run(&["pipeline", "msg=again"]).0);
    let (_, said) = run(&["pipeline", "mgs=again"]);
    assert!(
        said.contains("has no parameter `mgs`; it takes msg"),
        "{said}"
    );
    // A text may look like something else.
    assert!(run(&["pipeline", "msg=3"]).0);
    let runs = home.json(&["flow-run", "ls", "--limit", "1", "-o", "json"]);
    assert_eq!(runs[0]["parameters"], json!({"msg": "3"}));
    let (_, said) = run(&["nothing"]);
    assert!(said.contains("there is no flow `nothing`"), "{said}");
}

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
fn a_deployed_flow_is_stored_and_run_by_an_agent() {
    let server = Server::start();
    let home = Home::new(Some(&server));
    let program = home.folder.path().join("tutorial");
    std::fs::copy(example("tutorial"), &program).unwrap();
    let _agent = home.deploy(&program, &json!({"parameters": {"msg": "stored"}}));
    // The deployment keeps what it was made of.
    std::fs::remove_file(&program).unwrap();
    let name = "Previously unreliable pipeline/test";
    let run = home.prints(&["deployment", "run", name, "--param", "msg=deployed"]);
    let state = home.wait_for(&run, &["COMPLETED", "FAILED", "CRASHED"]);
    assert_eq!(state["type"], "COMPLETED", "{state}");
    let logs = home.prints(&["flow-run", "logs", &run]);
    assert!(logs.contains("\"deployed\""), "{logs}");
    let tasks = home.json(&["task-run", "ls", "--flow-run", &run, "-o", "json"]);
    assert_eq!(tasks.as_array().unwrap().len(), 3);

    // The server knows the flow's parameters, so a run that could only fail is not made.
    let output = home.cli(&["deployment", "run", name, "--param", "msg=3"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("field 'msg'"), "{said}");
    let runs = home.json(&["flow-run", "ls", "-o", "json"]);
    assert_eq!(runs.as_array().unwrap().len(), 1);
}

#[test]
fn a_program_may_have_several_flows_and_an_older_one_stays_what_it_was() {
    let server = Server::start();
    let home = Home::new(Some(&server));
    let program = home.folder.path().join("flows");
    std::fs::copy(example("tutorial"), &program).unwrap();
    let _agent = home.deploy(&program, &json!({"parameters": {"msg": "the older one"}}));
    // Another program of the same name and place.
    std::fs::copy(example("subflows"), &program).unwrap();
    let spec = |flow: Option<&str>| {
        let spec =
            json!({"name": "newer", "flow_location": program, "flow_name": flow, "tags": ["test"]});
        let path = home.write("newer.json", &spec.to_string());
        home.cli(&["deployment", "create", path.to_str().unwrap()])
    };
    let said = String::from_utf8_lossy(&spec(None).stderr).into_owned();
    assert!(
        said.contains("has the flows `Build a car`, `Assemble`, `Paint`"),
        "{said}"
    );
    // By the name of its function as well.
    assert!(spec(Some("assemble")).status.success());
    let older = home.prints(&["deployment", "run", "Previously unreliable pipeline/test"]);
    let newer = home.prints(&[
        "deployment",
        "run",
        "Assemble/newer",
        "--param",
        "part=roof",
    ]);
    for (run, says) in [(&older, "the older one"), (&newer, "assemble roof")] {
        let state = home.wait_for(run, &["COMPLETED", "FAILED", "CRASHED"]);
        assert_eq!(state["type"], "COMPLETED", "{state}");
        let logs = home.prints(&["flow-run", "logs", run]);
        assert!(logs.contains(says), "{logs}");
    }
}

#[test]
fn a_source_file_is_built_by_cargo_and_what_was_built_is_deployed() {
    let server = Server::start();
    let home = Home::new(Some(&server));
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    // What the tests were built with, so that there is next to nothing to build.
    let target = example("tutorial").ancestors().nth(3).unwrap().to_owned();
    let create = |specification: &Path| {
        let mut command = home.command(env!("CARGO_BIN_EXE_prefect-rs"));
        command
            .args(["deployment", "create"])
            .arg(specification)
            .env("PREFECT_RS_CARGO_PROFILE", "dev")
            .env("CARGO_TARGET_DIR", &target);
        command.output().expect("our executable starts")
    };
    let output = create(&examples.join("tutorial.yaml"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let id = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let deployment = home.json(&["deployment", "inspect", &id, "-o", "json"]);
    assert_eq!(
        deployment["parameter_openapi_schema"]["properties"]["msg"]["type"],
        "string"
    );
    home.prints(&["deployment", "execute", &id, "--param", "msg=built"]);
    // Its schedule has made others, which wait.
    let runs = home.json(&["flow-run", "ls", "--state", "Completed", "-o", "json"]);
    let run = &runs[0];
    let logs = home.prints(&["flow-run", "logs", run["id"].as_str().unwrap()]);
    assert!(logs.contains("\"built\""), "{logs}");

    // A file that Cargo knows nothing of is refused before anything is made.
    let lost = home.write("lost.rs", "fn main() {}");
    let spec = json!({"name": "lost", "flow_location": lost});
    let output = create(&home.write("lost.json", &spec.to_string()));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("`cargo metadata` failed"), "{said}");
    let all = home.json(&["deployment", "ls", "-o", "json"]);
    assert_eq!(all.as_array().unwrap().len(), 1);
}

#[test]
fn a_deployed_flow_hears_that_it_is_cancelled_and_a_killed_one_is_recorded() {
    let server = Server::start();
    let home = Home::new(Some(&server));
    let _agent = home.deploy(
        &example("patient"),
        &json!({"parameters": {"seconds": 600}}),
    );
    let begun = |run: &str| {
        home.wait(|| {
            let logs = home.prints(&["flow-run", "logs", run]);
            let (_, rest) = logs.split_once("watching as process ")?;
            rest.split_whitespace().next()?.parse::<u32>().ok()
        })
    };
    let run = home.prints(&["deployment", "run", "Patient/test"]);
    begun(&run);
    home.prints(&["flow-run", "cancel", &run]);
    home.wait_for(&run, &["CANCELLED"]);
    home.wait(|| {
        home.prints(&["flow-run", "logs", &run])
            .contains("things are kept")
            .then_some(())
    });

    let run = home.prints(&["deployment", "run", "Patient/test"]);
    let process = begun(&run);
    signal(process, "KILL");
    let state = home.wait_for(&run, &["CRASHED", "FAILED"]);
    assert!(
        state["message"].as_str().unwrap().contains("signal 9"),
        "{state}"
    );
    let tasks = home.json(&["task-run", "ls", "--flow-run", &run, "-o", "json"]);
    for task in tasks.as_array().unwrap() {
        assert_ne!(
            task["state"]["type"], "RUNNING",
            "nothing of a dead run is running"
        );
    }
}

#[test]
fn a_served_flow_runs_what_is_asked_for_until_it_is_interrupted() {
    let server = Server::start();
    let home = Home::new(Some(&server));
    let mut served = home.command(example("serve"));
    served.stdout(Stdio::null()).stderr(Stdio::null());
    let mut served = Process(served.spawn().unwrap());
    home.wait(|| {
        home.cli(&["deployment", "inspect", "Tick/often"])
            .status
            .success()
            .then_some(())
    });
    let run = home.prints(&["deployment", "run", "Tick/often", "--param", "message=now"]);
    let state = home.wait_for(&run, &["COMPLETED", "FAILED", "CRASHED"]);
    assert_eq!(state["type"], "COMPLETED", "{state}");
    served.signal("INT");
    assert!(served.0.wait().unwrap().success());
}

#[test]
fn ctrl_c_ends_a_run_with_its_own_words() {
    let home = Home::new(None);
    let mut program = home.command(example("patient"));
    program
        .args(["patient", "seconds=600"])
        .stdout(Stdio::piped());
    let mut program = program.spawn().unwrap();
    let reader = std::io::BufReader::new(program.stdout.take().unwrap());
    let mut lines = std::io::BufRead::lines(reader).map_while(Result::ok);
    assert!(lines.any(|line| line.contains("watching")));
    signal(program.id(), "INT");
    assert!(lines.any(|line| line.contains("things are kept")));
    let _ = lines.by_ref().count();
    assert!(program.wait().unwrap().success());
    let run = &home.json(&["flow-run", "ls", "-o", "json"])[0];
    assert_eq!(run["state"]["type"], "COMPLETED");
}

#[test]
fn a_server_that_is_away_for_a_while_fails_no_run() {
    let mut server = Server::start();
    let home = Home::new(Some(&server));
    let mut program = home.command(example("patient"));
    program
        .args(["patient", "seconds=2"])
        .stderr(Stdio::piped());
    let mut program = program.spawn().unwrap();
    let reader = std::io::BufReader::new(program.stderr.take().unwrap());
    let mut lines = std::io::BufRead::lines(reader).map_while(Result::ok);
    let run = home.wait(|| {
        let runs = home.json(&["flow-run", "ls", "-o", "json"]);
        let run = &runs[0];
        (run["state"]["type"] == "RUNNING").then(|| run["id"].as_str().unwrap().to_owned())
    });
    server.kill();
    // The run goes on and has something to tell that nobody hears.
    assert!(lines.any(|line| line.contains("until the API is back")));
    server.start_again();
    let _ = lines.by_ref().count();
    assert!(program.wait().unwrap().success());
    assert_eq!(home.state(&run)["type"], "COMPLETED");
    let tasks = home.json(&["task-run", "ls", "--flow-run", &run, "-o", "json"]);
    assert_eq!(tasks[0]["state"]["type"], "COMPLETED");
}

/// Lets the auditor read a whole history, and returns how many task runs have completed in it.
fn audit(database: PathBuf) -> i64 {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let url = DatabaseUrl::Sqlite(database);
        let db = Db::open(&url, Synchronous::Normal).await;
        let db = db.expect("the database opens");
        assert_eq!(
            crate::audit::audit(&db, Vec::new()).await,
            Vec::<String>::new()
        );
        let completed = "SELECT COUNT(*) FROM task_run WHERE state_type = 'COMPLETED'";
        let completed = async move |conn: &mut Conn| query(completed).fetch_one::<i64>(conn).await;
        let completed = db.read(completed).await.expect("the history can be read");
        db.close().await;
        completed
    })
}

#[test]
fn a_flow_that_is_killed_at_any_point_leaves_a_whole_history() {
    let home = Home::new(None);
    let database = home.folder.path().join("orion.db");
    // The first lines are of the flow run itself, the later ones of a task each.
    let mut points = vec![1, 2];
    points.extend((0..4).map(|_| rand::random_range(3..900)));
    for lines in points {
        let mut program = home.command(example("many"));
        program.args(["many", "tasks=1000"]).stderr(Stdio::piped());
        let mut program = program.spawn().unwrap();
        let reader = std::io::BufReader::new(program.stderr.take().unwrap());
        let seen = std::io::BufRead::lines(reader)
            .map_while(Result::ok)
            .take(lines)
            .count();
        assert_eq!(seen, lines);
        program.kill().unwrap();
        program.wait().unwrap();
        println!("killed after {lines} lines");
        audit(database.clone());
    }
    let whole = home
        .command(example("many"))
        .args(["many", "tasks=1000"])
        .output()
        .unwrap();
    assert!(whole.status.success());
    assert!(
        audit(database) > 1000,
        "what one run said to have done is there"
    );
}

#[test]
fn a_server_that_is_killed_in_the_middle_loses_nothing() {
    let mut server = Server::start();
    let home = Home::new(Some(&server));
    let mut program = home.command(example("many"));
    program.args(["many", "tasks=2000"]).stderr(Stdio::piped());
    let mut program = program.spawn().unwrap();
    let reader = std::io::BufReader::new(program.stderr.take().unwrap());
    let mut lines = std::io::BufRead::lines(reader).map_while(Result::ok);
    for seen in [3, rand::random_range(4..800), rand::random_range(4..800)] {
        assert_eq!(lines.by_ref().take(seen).count(), seen);
        println!("killed after {seen} more lines");
        server.kill();
        server.start_again();
    }
    let _ = lines.by_ref().count();
    assert!(program.wait().unwrap().success());
    let runs = json!({"flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}});
    assert_eq!(server.count("flow_runs", &runs), 1);
    server.kill();
    assert_eq!(audit(server.database()), 2001);
}

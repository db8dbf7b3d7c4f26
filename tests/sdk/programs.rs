//! Programs of flows as real processes: the examples, deployed, served, cancelled.

use std::path::Path;
use std::process::Stdio;

use serde_json::json;

use crate::home::{Home, Process, example, signal};
use crate::server::Server;

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

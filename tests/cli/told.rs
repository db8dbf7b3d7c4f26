//! What scripts and people tell the server: artifacts, schedules, automations, and what becomes of runs.
//!
//! Without a server each command opens the database of its home, so the real API answers here.

use serde_json::Value;

use crate::support::{FixedApi, Home, Ran};

fn done(ran: Ran) -> String {
    assert_eq!(ran.code, 0, "{ran}");
    ran.stdout.trim_end().to_owned()
}

fn json(home: &Home, args: &[&str]) -> Value {
    serde_json::from_str(&done(home.run(args))).unwrap()
}

fn file(home: &Home, name: &str, text: &str) -> String {
    let path = home.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// Deploys an executable and returns the deployment's id.
fn deployment(home: &Home) -> String {
    use std::os::unix::fs::PermissionsExt;
    let script = file(home, "hello.sh", "#!/bin/sh\necho hello\n");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let spec = file(
        home,
        "hello.yaml",
        "name: often\nflow_name: Hello\nflow_location: ./hello.sh\n",
    );
    done(home.run(&["deployment", "create", &spec]))
}

#[test]
fn a_script_leaves_artifacts_with_its_run() {
    let home = Home::new();
    let script = r##"
        "$0" artifact create report --markdown "# All well" >/dev/null
        upload=$("$0" artifact create upload --progress 0 --description "so far")
        "$0" artifact update "$upload" --progress 60%
        "$0" artifact create rows --table '[{"name": "a", "rows": 1}]' >/dev/null
        "$0" artifact create page --link http://localhost/ >/dev/null
    "##;
    let program = env!("CARGO_BIN_EXE_prefect-rs");
    let ran = home.run(&["run", "--", "sh", "-ec", script, program]);
    assert_eq!(ran.code, 0, "{ran}");
    let run = json(&home, &["flow-run", "ls", "-o", "json"])[0]["id"].clone();
    let mut left: Vec<String> = json(&home, &["artifact", "ls", "--all", "-o", "json"])
        .as_array()
        .unwrap()
        .iter()
        .map(|artifact| {
            assert_eq!(artifact["flow_run_id"], run, "{artifact}");
            format!(
                "{} {} {}",
                artifact["key"], artifact["type"], artifact["data"]
            )
        })
        .collect();
    left.sort();
    insta::assert_snapshot!(left.join("\n"), @r##"
        "page" "markdown" "[http://localhost/](http://localhost/)"
        "report" "markdown" "# All well"
        "rows" "table" "[{\"name\":\"a\",\"rows\":1}]"
        "upload" "progress" 60.0
        "##);
    // A key means its newest artifact, and what is shown stays of one kind.
    done(home.run(&["artifact", "update", "report", "--markdown", "# Ill"]));
    let ran = home.run(&["artifact", "update", "report", "--progress", "1"]);
    assert_eq!(ran.code, 5, "{ran}");
}

#[rstest::rstest]
#[case::nothing(&["artifact", "create", "a"], 2, "--markdown")]
#[case::two_things(&["artifact", "create", "a", "--progress", "1", "--markdown", "x"], 2, "cannot be used with")]
#[case::too_much(&["artifact", "create", "a", "--progress", "101"], 2, "no number from 0 to 100")]
#[case::no_table(&["artifact", "create", "a", "--table", "3"], 2, "neither a list of rows")]
#[case::no_json(&["artifact", "create", "a", "--table", "[{]"], 2, "an example: --table")]
#[case::a_bad_key(&["artifact", "create", "A b", "--markdown", "x"], 1, "key")]
#[case::not_there(&["artifact", "update", "a", "--markdown", "x"], 4, "artifact ls")]
#[case::no_schedule(&["deployment", "schedule", "create", "a"], 2, "--cron")]
#[case::two_schedules(&["deployment", "schedule", "create", "a", "--cron", "* * * * *", "--interval", "5"], 2, "cannot be used with")]
#[case::no_span(&["deployment", "schedule", "create", "a", "--interval", "soon"], 2, "it is not a time span")]
#[case::no_anchor(&["deployment", "schedule", "create", "a", "--interval", "5", "--anchor", "soon"], 2, "'soon' cannot be the --anchor")]
#[case::no_zone_of_an_anchor(&["deployment", "schedule", "create", "a", "--interval", "5", "--anchor", "2026-12-01", "--timezone", "Mars/X"], 2, "'Mars/X' is not a time zone")]
#[case::no_regular_file(&["deployment", "create", "/dev/null"], 2, "is not a regular file")]
#[case::no_automation_file(&["automation", "create", "-f", "/absent.yaml"], 4, "/absent.yaml")]
#[case::no_automation(&["automation", "create", "-j", "3"], 2, "automation create --help")]
#[case::no_block(&["block", "inspect", "secret/absent"], 4, "block ls")]
#[case::no_block_type(&["block", "type", "inspect", "secrt"], 4, "block type ls")]
#[case::no_pool(&["work-pool", "inspect", ""], 4, "there is no work pool ''")]
#[case::no_limit(&["gcl", "inspect", ""], 4, "there is no concurrency limit ''")]
#[case::no_run(&["flow-run", "watch", "absent"], 4, "flow-run ls")]
fn a_mistake_is_told_with_its_remedy(
    #[case] args: &[&str],
    #[case] code: i32,
    #[case] remedy: &str,
) {
    let ran = Home::new().run(args);
    assert_eq!(ran.code, code, "{ran}");
    assert!(ran.stderr.contains(remedy), "{ran}");
}

#[test]
fn two_specifications_of_one_deployment_are_refused_before_any_is_created() {
    let home = Home::new();
    deployment(&home);
    let spec = file(
        &home,
        "twins.yaml",
        "- {name: a, flow_location: ./hello.sh}\n- {name: b, flow_location: ./hello.sh}\n- {name: b, flow_location: ./hello.sh, flow_name: hello}\n",
    );
    let ran = home.run(&["deployment", "create", &spec]);
    assert_eq!(ran.code, 2, "{ran}");
    let told =
        "'hello/b', so none was created: $HOME/twins.yaml, line 2 and $HOME/twins.yaml, line 3";
    assert!(ran.stderr.contains(told), "{ran}");
    let all = json(&home, &["deployment", "ls", "-o", "json"]);
    assert_eq!(all.as_array().unwrap().len(), 1, "{all}");
}

#[test]
fn a_deployment_gets_schedules_and_loses_them() {
    let home = Home::new();
    let id = deployment(&home);
    let create = ["deployment", "schedule", "create", "often"];
    let with = |more: &[&str]| done(home.run(&[&create[..], more].concat()));
    with(&["--cron", "0 3 * * *", "--timezone", "Europe/Berlin"]);
    with(&[
        "--interval",
        "15 minutes",
        "--slug",
        "quarterly",
        "--paused",
    ]);
    let ran = home.run(&["deployment", "schedule", "pause", "Hello/often"]);
    assert_eq!(ran.code, 2, "two are there: {ran}");
    done(home.run(&["deployment", "schedule", "resume", &id, "quarterly"]));
    let all = json(
        &home,
        &["deployment", "schedule", "ls", "often", "-o", "json"],
    );
    let mut all: Vec<String> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            let schedule = &one["schedule"];
            let when = schedule.get("cron").unwrap_or(&schedule["interval"]);
            format!("{when} {} {}", one["slug"], one["active"])
        })
        .collect();
    all.sort();
    assert_eq!(
        all,
        [r#""0 3 * * *" null true"#, r#"900.0 "quarterly" true"#]
    );
    done(home.run(&["deployment", "schedule", "delete", "often", "quarterly"]));
    let ran = home.run(&["deployment", "schedule", "pause", "often"]);
    assert!(
        ran.stderr.contains("(cron 0 3 * * * Europe/Berlin)"),
        "{ran}"
    );
    done(home.run(&["deployment", "schedule", "clear", "often"]));
    let ran = home.run(&["deployment", "schedule", "ls", "often"]);
    assert_eq!(ran.stdout, "", "{ran}");
}

#[test]
fn a_run_that_is_over_begins_again_only_where_somebody_would_take_it() {
    let home = Home::new();
    deployment(&home);
    let id = done(home.run(&["deployment", "run", "often", "--job-variable", "env={}"]));
    let ran = home.run(&["flow-run", "retry", &id]);
    assert!(ran.code == 5 && ran.stderr.contains("is not over"), "{ran}");
    done(home.run(&["flow-run", "cancel", &id]));
    let state = |id: &str| json(&home, &["flow-run", "inspect", id, "-o", "json"])["state"].clone();
    assert_eq!(state(&id)["type"], "CANCELLED");
    done(home.run(&["flow-run", "retry", &id]));
    assert_eq!(state(&id)["name"], "AwaitingRetry");

    assert_eq!(home.run(&["run", "--", "false"]).code, 1);
    let runs = json(
        &home,
        &["flow-run", "ls", "--state", "FAILED", "-o", "json"],
    );
    let by_hand = runs[0]["id"].as_str().unwrap();
    let ran = home.run(&["flow-run", "retry", by_hand]);
    assert!(
        ran.code == 5 && ran.stderr.contains("no deployment"),
        "{ran}"
    );
    let ran = home.run(&["flow-run", "resume", by_hand]);
    assert!(ran.code == 5 && ran.stderr.contains("not paused"), "{ran}");
}

#[test]
fn a_run_is_resumed_with_the_input_that_it_waits_for() {
    let run = r#"{"id": "44444444-4444-4444-8444-444444444444", "name": "otter", "flow_id": "22222222-2222-4222-8222-222222222222", "state": {"type": "PAUSED", "name": "Paused"}}"#;
    let path = "/flow_runs/44444444-4444-4444-8444-444444444444";
    let accepted =
        r#"{"status": "ACCEPT", "details": {}, "state": {"type": "RUNNING", "name": "Running"}}"#;
    let api = FixedApi::start(&[
        (&format!("GET {path}"), 200, run),
        (&format!("POST {path}/resume"), 201, accepted),
    ]);
    let resume = |input: &str| {
        let id = "44444444-4444-4444-8444-444444444444";
        let args = ["flow-run", "resume", id, "--input", input];
        Home::new().run_with(&args, &[("PREFECT_API_URL", &api.url)])
    };
    assert_eq!(resume("[]").code, 2);
    let ran = resume(r#"{"approved": true}"#);
    assert_eq!(ran.stderr, "Flow run 'otter' is Running.\n");
    let sent = api.requests().pop().unwrap();
    assert_eq!(
        sent,
        format!(r#"POST {path}/resume {{"run_input":{{"approved":true}}}}"#)
    );
}

#[test]
fn automations_come_from_yaml_and_json() {
    let home = Home::new();
    let automation = |name: &str| {
        format!(
            "- name: {name}\n  trigger: {{type: event, posture: Reactive, expect: [file.arrived], threshold: 1, within: 0}}\n  actions: [{{type: do-nothing}}]\n"
        )
    };
    let both = file(
        &home,
        "two.yaml",
        &format!("{}{}", automation("a"), automation("b")),
    );
    let ids = done(home.run(&["automation", "create", "-f", &both]));
    assert_eq!(ids.lines().count(), 2);
    let ran = home.run(&["automation", "update", "a", "-f", &both]);
    assert_eq!(ran.code, 2, "{ran}");
    let one = file(&home, "one.yaml", &automation("c"));
    done(home.run(&["automation", "update", "a", "-f", &one]));
    let all = json(&home, &["automation", "ls", "-o", "json"]);
    let mut names: Vec<_> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["name"])
        .collect();
    names.sort_by_key(|name| name.to_string());
    assert_eq!(names, ["b", "c"]);
}

#[test]
fn an_explanation_is_that_of_the_server() {
    let home = Home::new();
    deployment(&home);
    let id = done(home.run(&["deployment", "run", "often"]));
    let ran = home.run(&["flow-run", "explain", &id]);
    assert!(
        ran.stdout.contains("No work queue matches it.")
            && ran
                .stdout
                .contains("What helps: prefect-rs work-queue create"),
        "{ran}"
    );
}

#[test]
fn what_is_there_already_is_told_so() {
    let home = Home::new();
    let create = ["gcl", "create", "pool", "--limit", "1"];
    done(home.run(&create));
    let ran = home.run(&create);
    assert!(
        ran.code == 5 && ran.stderr.contains("exists already"),
        "{ran}"
    );
    let set = ["variable", "set", "region", "eu"];
    done(home.run(&set));
    let ran = home.run(&set);
    assert!(ran.code == 5 && ran.stderr.contains("--overwrite"), "{ran}");
}

#[test]
fn a_name_that_looks_like_an_id_is_found() {
    let home = Home::new();
    let name = "0123456789abcdef0123456789abcdef";
    let ran = home.run(&["run", "--name", "x/y", "--run-name", name, "--", "true"]);
    assert_eq!(ran.code, 0, "{ran}");
    assert_eq!(
        json(&home, &["flow-run", "inspect", name, "-o", "json"])["name"],
        name
    );
    let missing = home.run(&["flow-run", "inspect", "fedcba9876543210fedcba9876543210"]);
    assert_eq!(missing.code, 4, "{missing}");

    deployment(&home);
    let spec = format!("name: '{name}'\nflow_name: Hello\nflow_location: ./hello.sh\n");
    let spec = file(&home, "odd.yaml", &spec);
    let id = done(home.run(&["deployment", "create", &spec]));
    for meant in [name, &format!("Hello/{name}")] {
        let found = json(&home, &["deployment", "inspect", meant, "-o", "json"]);
        assert_eq!(found["id"], *id, "{meant}");
    }
}

#[test]
fn slashes_in_names_of_other_clients_are_found() {
    let flow = r#"{"id": "22222222-2222-4222-8222-222222222222", "name": "x/y"}"#;
    let deployment = r#"{"id": "33333333-3333-4333-8333-333333333333", "name": "a/b", "flow_id": "22222222-2222-4222-8222-222222222222"}"#;
    let api = FixedApi::start(&[
        ("POST /flows/filter", 200, &format!("[{flow}]")),
        ("POST /deployments/filter", 200, &format!("[{deployment}]")),
    ]);
    let run = |name: &str| {
        Home::new().run_with(
            &["deployment", "inspect", name],
            &[("PREFECT_API_URL", &api.url)],
        )
    };
    for name in ["a/b", "x/y/a/b"] {
        assert_eq!(run(name).code, 0, "{}", run(name));
    }
    let missing = run("x/y/a/c");
    assert_eq!(missing.code, 4, "{missing}");
    assert!(
        missing.stderr.contains("did you mean 'x/y/a/b'?"),
        "{missing}"
    );
}

#[test]
fn a_server_without_the_operation_is_told_from_a_thing_that_is_not_there() {
    let api = FixedApi::start(&[("POST /work_queues/filter", 200, "[]")]);
    let run = |args: &[&str]| Home::new().run_with(args, &[("PREFECT_API_URL", &api.url)]);
    let missing = run(&["work-queue", "inspect", "nothing"]);
    assert_eq!(missing.code, 4, "{missing}");
    for empty in [&["agent", "start", ""][..], &["dev", "--queue", ""]] {
        assert_eq!(run(empty).code, 2, "{empty:?}");
    }
    let elsewhere = run(&["flow", "ls"]);
    assert_eq!(elsewhere.code, 1, "{elsewhere}");
    assert!(elsewhere.stderr.contains("ends in /api"), "{elsewhere}");
}

#[test]
fn a_folder_in_the_place_of_the_database_is_named() {
    let home = Home::new();
    std::fs::create_dir(home.path().join("orion.db")).unwrap();
    let ran = home.run(&["flow", "ls"]);
    assert_eq!(ran.code, 1, "{ran}");
    assert!(ran.stderr.contains("orion.db is a folder"), "{ran}");
}

#[test]
fn who_runs_flows_says_at_once_that_no_server_is_there() {
    let home = Home::new();
    insta::assert_snapshot!(home.run(&["agent", "start", "etl"]), @r#"
        exit code 6
        --- stdout
        --- stderr
        Error: an agent needs a server: PREFECT_API_URL is not set, and no server of the home $HOME is running
        Hint: start one with `prefect-rs server start`
        Hint: or name one that runs elsewhere: `prefect-rs config set PREFECT_API_URL=http://HOST:4200/api`
        "#);
    let ran = home.run(&["worker", "start", "--pool", "shed"]);
    assert_eq!(ran.code, 6, "{ran}");
    assert!(
        ran.stderr.starts_with("Error: a worker needs a server"),
        "{ran}"
    );
    assert!(!home.path().join("orion.db").exists());
    let url = [(
        "PREFECT_API_DATABASE_CONNECTION_URL",
        "postgresql://me@host/name",
    )];
    let ran = home.run_with(&["agent", "start", "etl"], &url);
    assert_eq!(ran.code, 6, "{ran}");
    assert!(ran.stderr.contains("found by nothing else"), "{ran}");
}

#[test]
fn a_folder_that_cannot_be_made_for_the_database_is_told_with_the_remedy() {
    // Nobody makes folders there, whatever their rights.
    let url = "sqlite:////proc/nowhere/orion.db";
    let variable = [("PREFECT_API_DATABASE_CONNECTION_URL", url)];
    for args in [&["flow", "ls"][..], &["server", "start", "--port", "0"]] {
        let ran = Home::new().run_with(args, &variable);
        assert_eq!(ran.code, 1, "{ran}");
        assert!(ran.stderr.contains("/proc/nowhere"), "{ran}");
        assert!(ran.stderr.contains("writable for this user"), "{ran}");
        assert!(ran.stderr.contains("PREFECT_HOME"), "{ran}");
    }
}

#[test]
fn output_that_cannot_be_written_is_told() {
    let ran = std::process::Command::new(env!("CARGO_BIN_EXE_prefect-rs"))
        .args(["config", "ls"])
        .stdout(std::fs::File::create("/dev/full").unwrap())
        .output()
        .unwrap();
    assert_eq!(ran.status.code(), Some(1));
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(said.contains("the output cannot be written"), "{said}");
}

#[test]
fn a_long_log_is_read_to_its_end_and_from_its_end() {
    let home = Home::new();
    // Many lines are said in the same instant, across the ends of pages.
    let script = "seq 1 450; sleep 0.1; seq 451 700";
    let args = ["run", "--run-name", "long", "--", "sh", "-c", script];
    assert_eq!(home.run(&args).code, 0);
    let said = |ran: Ran| {
        let lines = done(ran);
        let numbers = lines.lines().map(|line| line.rsplit(' ').next().unwrap());
        numbers.map(str::to_owned).collect::<Vec<_>>()
    };
    let all: Vec<String> = (1..=700).map(|n| n.to_string()).collect();
    let read = said(home.run(&["flow-run", "logs", "long"]));
    assert_eq!(read, all);
    let last = said(home.run(&["flow-run", "logs", "long", "-n", "201"]));
    assert_eq!(last, all[499..]);
    let list = json(&home, &["flow-run", "logs", "long", "-o", "json"]);
    assert_eq!(list.as_array().unwrap().len(), 700);
}

//! `orion start` as a process, and the commands that find it.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::support::Home;

/// A server of a home; killed when dropped.
struct Server {
    child: Child,
    stdout: BufReader<ChildStdout>,
    api_url: String,
}

impl Server {
    /// Starts a server and waits until it says where it is.
    fn start(home: &Home) -> Self {
        Self::start_with(home, &[])
    }

    /// As [`Self::start`], with settings of its own.
    fn start_with(home: &Home, environment: &[(&str, &str)]) -> Self {
        Self::run(home, &["orion", "start", "--port", "0"], environment, "API")
    }

    /// Runs a command until a line of it begins with `word`; the last word of that is where the server is.
    fn run(home: &Home, args: &[&str], environment: &[(&str, &str)], word: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_prefect-rs"))
            .args(args)
            .env_clear()
            .env("PREFECT_HOME", home.path())
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.trim_start().starts_with(word) {
            line.clear();
            let read = stdout.read_line(&mut line).unwrap();
            assert_ne!(read, 0, "the server ended before it said where it is");
        }
        let api_url = line.split_whitespace().last().unwrap().to_owned();
        Self {
            child,
            stdout,
            api_url,
        }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    /// Waits for the end; returns the exit code and what was said.
    fn end(mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        self.stdout.read_to_string(&mut said).unwrap();
        self.child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        (self.child.wait().unwrap().code(), said)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn server_url(home: &Home) -> serde_json::Value {
    let version = home.run(&["version", "-o", "json"]);
    let facts: serde_json::Value = serde_json::from_str(&version.stdout).unwrap();
    facts["server_url"].clone()
}

#[test]
fn commands_find_the_server_of_their_home_and_only_while_it_lives() {
    let home = Home::new();
    assert!(server_url(&home).is_null());

    let server = Server::start(&home);
    assert_eq!(server_url(&home), server.api_url.as_str());

    server.signal(Signal::SIGTERM);
    let (code, said) = server.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("Stopped."), "{said}");
    assert!(server_url(&home).is_null());
}

#[test]
fn a_killed_server_misleads_nobody() {
    let home = Home::new();
    let server = Server::start(&home);
    server.signal(Signal::SIGKILL);
    server.end();
    assert!(server_url(&home).is_null());
    Server::start(&home);
}

#[test]
fn a_second_server_on_one_database_is_told_of_the_first() {
    let home = Home::new();
    let server = Server::start(&home);
    let second = home.run(&["server", "start", "--port", "0"]);
    assert_eq!(second.code, 5, "{second}");
    assert!(second.stderr.contains(&server.api_url), "{second}");
}

#[test]
fn a_database_is_not_reset_under_a_server() {
    let home = Home::new();
    let _server = Server::start(&home);
    let reset = home.run(&["database", "reset", "-y"]);
    assert_eq!(reset.code, 5, "{reset}");
}

#[test]
fn a_backup_is_made_while_the_server_works_and_never_written_over_by_itself() {
    let home = Home::new();
    let _server = Server::start(&home);
    let file = home.path().join("backup.db");
    let args = ["database", "backup", file.to_str().unwrap()];
    assert_eq!(home.run(&args).code, 0);
    assert!(
        std::fs::read(&file)
            .unwrap()
            .starts_with(b"SQLite format 3")
    );
    assert_eq!(home.run(&args).code, 5);
    std::fs::write(&file, "no database").unwrap();
    let ran = home.run(&[&args[..], &["--force"][..]].concat());
    assert_eq!(ran.code, 0, "{ran}");
    assert!(
        std::fs::read(&file)
            .unwrap()
            .starts_with(b"SQLite format 3")
    );
    assert!(!home.path().join("backup.db.incoming").exists());
    let folder = home.path().to_str().unwrap();
    let database = home.path().join("orion.db");
    for wrong in [folder, database.to_str().unwrap()] {
        let refused = home.run(&["database", "backup", wrong, "--force"]);
        assert_eq!(refused.code, 2, "{refused}");
    }
    let nowhere = home.run(&["database", "backup", "/nowhere/backup.db"]);
    assert_eq!(nowhere.code, 4, "{nowhere}");
    assert!(nowhere.stderr.contains("no folder '/nowhere'"), "{nowhere}");
}

#[test]
fn what_is_no_database_of_ours_is_left_alone() {
    let home = Home::new();
    let file = home.path().join("orion.db");
    std::fs::write(&file, "not a database").unwrap();
    let ran = home.run(&["orion", "start", "--port", "0"]);
    assert_eq!(ran.code, 5, "{ran}");
    assert_eq!(std::fs::read(&file).unwrap(), b"not a database");
    let reset = home.run(&["database", "reset", "-y"]);
    assert_ne!(reset.code, 0, "{reset}");
    assert_eq!(std::fs::read(&file).unwrap(), b"not a database");
}

#[test]
fn a_database_of_the_genuine_package_is_kept_and_the_way_out_is_told() {
    let home = Home::new();
    let file = home.path().join("orion.db");
    let genuine = rusqlite::Connection::open(&file).unwrap();
    genuine
        .execute_batch(
            "CREATE TABLE alembic_version (version_num TEXT); CREATE TABLE flow (id TEXT);",
        )
        .unwrap();
    drop(genuine);
    let before = std::fs::read(&file).unwrap();
    insta::assert_snapshot!(home.run(&["orion", "start", "--port", "0"]), @r#"
        exit code 5
        --- stdout
        --- stderr
        Error: $HOME/orion.db is a database of genuine Prefect, which uses it when a flow runs without a server; it was left as it is (tables alembic_version, flow, …)
        Hint: move it away: `mv $HOME/orion.db $HOME/orion.db.genuine`
        Hint: or keep the server in a home of its own, in all terminals that use it: `export PREFECT_HOME=~/.prefect-rs`, with PREFECT_API_DATABASE_CONNECTION_URL not set or set to another file
        "#);
    assert_eq!(std::fs::read(&file).unwrap(), before);

    let reset = home.run(&["database", "reset", "-y"]);
    assert_eq!(reset.code, 5, "{reset}");
    assert_eq!(std::fs::read(&file).unwrap(), before);
}

#[test]
fn commands_send_the_credentials_and_tokens_that_the_server_wants() {
    let home = Home::new();
    let wants = [
        ("PREFECT_SERVER_API_AUTH_STRING", "admin:pass"),
        ("PREFECT_SERVER_CSRF_PROTECTION_ENABLED", "true"),
    ];
    let server = Server::start_with(&home, &wants);
    let create = |name: &str, environment: &[(&str, &str)]| {
        let api = [("PREFECT_API_URL", server.api_url.as_str())];
        let environment = [&api, environment].concat();
        home.run_with(&["work-queue", "create", name], &environment)
    };
    let refused = create("none", &[]);
    assert_eq!(refused.code, 7, "{refused}");
    assert!(
        refused.stderr.contains("PREFECT_API_AUTH_STRING"),
        "{refused}"
    );
    let wrong = create("wrong", &[("PREFECT_API_AUTH_STRING", "admin:fail")]);
    assert_eq!(wrong.code, 7, "{wrong}");
    for (name, credentials) in [
        ("basic", ("PREFECT_API_AUTH_STRING", "admin:pass")),
        ("bearer", ("PREFECT_API_KEY", "admin:pass")),
    ] {
        let made = create(name, &[credentials]);
        assert_eq!(made.code, 0, "{made}");
    }
    server.signal(Signal::SIGTERM);
    let (code, said) = server.end();
    assert_eq!(code, Some(0), "{said}");
}

/// Deploys a script to the server of a home and returns the deployment's id.
fn deploy(home: &Home, script: &str) -> String {
    use std::os::unix::fs::PermissionsExt;
    let flow = home.path().join("flow.sh");
    std::fs::write(&flow, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&flow, PermissionsExt::from_mode(0o755)).unwrap();
    let spec = home.path().join("spec.yaml");
    std::fs::write(&spec, "name: d\nflow_location: flow.sh\n").unwrap();
    let created = home.run(&["deployment", "create", spec.to_str().unwrap()]);
    assert_eq!(created.code, 0, "{created}");
    created.stdout.trim().to_owned()
}

#[tokio::test]
async fn services_run_in_a_process_of_their_own_where_servers_have_none() {
    let home = Home::new();
    let start = ["server", "start", "--port", "0", "--no-services"];
    let server = Server::run(&home, &start, &[], "API");
    let deployment = deploy(&home, "true");
    let scheduled = home.run(&[
        "deployment",
        "schedule",
        "create",
        &deployment,
        "--interval",
        "60",
    ]);
    assert_eq!(scheduled.code, 0, "{scheduled}");
    let runs = || {
        let runs = home.run(&["flow-run", "ls", "--state", "Scheduled", "-o", "json"]);
        let runs: Vec<serde_json::Value> = serde_json::from_str(&runs.stdout).unwrap();
        runs.len()
    };
    // Longer than the scheduler of a server would take.
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(runs(), 0);
    let services = Server::run(&home, &["server", "services", "start"], &[], "Running");
    let mut looks = 0..200;
    while runs() == 0 {
        assert!(
            looks.next().is_some(),
            "nobody makes the runs of the schedule"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(server);
    let reset = home.run(&["database", "reset", "-y"]);
    assert_eq!(reset.code, 5, "{reset}");
    assert!(reset.stderr.contains("services"), "{reset}");
    services.signal(Signal::SIGTERM);
    let (code, said) = services.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("Stopped."), "{said}");
}

#[test]
fn a_deployment_is_executed_in_the_terminal() {
    let home = Home::new();
    let _server = Server::start(&home);
    let id = deploy(
        &home,
        "echo hello $PREFECT__PARAMETER_WHO; exit $PREFECT__PARAMETER_CODE",
    );
    let run = |code: &str| {
        let code = format!("code={code}");
        let args = [
            "deployment",
            "execute",
            "flow/d",
            "--param",
            "who=x",
            "--param",
            &code,
        ];
        home.run(&args)
    };
    let good = run("0");
    assert_eq!((good.code, &*good.stdout), (0, "hello x\n"), "{good}");
    let bad = run("3");
    assert_eq!(bad.code, 1, "{bad}");
    assert!(bad.stderr.contains("exited with code 3"), "{bad}");
    let runs = home.run(&["flow-run", "ls", "-o", "json"]);
    let runs: serde_json::Value = serde_json::from_str(&runs.stdout).unwrap();
    assert_eq!(runs[0]["deployment_id"], *id);
    let logs = home.run(&["flow-run", "logs", runs[1]["name"].as_str().unwrap()]);
    assert!(
        logs.stdout.ends_with("process.stdout - hello x\n"),
        "{logs}"
    );
}

#[test]
fn a_run_is_found_by_id_by_the_beginning_of_it_and_by_name() {
    let home = Home::new();
    let _server = Server::start(&home);
    let deployment = deploy(&home, "true");
    for given in [&*deployment, &deployment[..35], "flow/d", "d"] {
        assert_eq!(
            home.run(&["deployment", "inspect", given]).code,
            0,
            "{given}"
        );
    }
    let id = home
        .run(&["deployment", "run", "d", "--name", "twin"])
        .stdout;
    let id = id.trim();
    for given in [id, &id[..35], &id.to_uppercase(), "twin"] {
        let found = home.run(&["flow-run", "inspect", given, "-o", "json"]);
        assert!(found.stdout.contains(id), "{given}: {found}");
    }
    home.run(&["deployment", "run", "d", "--name", "twin"]);
    let twins = home.run(&["flow-run", "cancel", "twin"]);
    assert_eq!(twins.code, 2, "{twins}");
    assert!(
        twins.stderr.contains("means 2 flow runs") && twins.stderr.contains(id),
        "{twins}"
    );
    let typo = home.run(&["flow-run", "logs", "twim"]);
    assert_eq!(typo.code, 4, "{typo}");
    assert!(typo.stderr.contains("did you mean 'twin'?"), "{typo}");
}

//! Programs of flows that are interrupted or killed, and servers that are, in the middle.

use std::path::PathBuf;
use std::process::Stdio;

use prefect_rs::db::{Conn, Db, query};
use prefect_rs::settings::{DatabaseUrl, Synchronous};
use serde_json::json;

use crate::home::{Home, example, signal};
use crate::server::Server;

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
fn a_terminal_that_closes_ends_a_run_unless_it_was_to_outlive_it() {
    let begin = |home: &Home, way: &str| {
        let mut program = home.command("sh");
        let script = format!("{way} exec \"$0\" patient seconds=3");
        program.args(["-c", &script]).arg(example("patient"));
        let mut program = program.stdout(Stdio::piped()).spawn().unwrap();
        let reader = std::io::BufReader::new(program.stdout.take().unwrap());
        let mut lines = std::io::BufRead::lines(reader).map_while(Result::ok);
        assert!(lines.any(|line| line.contains("watching")));
        // The shell tells it, and then the kernel.
        signal(program.id(), "HUP");
        signal(program.id(), "HUP");
        let rest: Vec<_> = lines.collect();
        program.wait().unwrap();
        (
            rest.join("\n"),
            home.json(&["flow-run", "ls", "-o", "json"])[0]["state"].clone(),
        )
    };
    let home = Home::new(None);
    let (told, state) = begin(&home, "");
    assert!(told.contains("things are kept"), "{told}");
    assert_eq!(state["type"], "COMPLETED", "{state}");
    let home = Home::new(None);
    let (told, _) = begin(&home, "trap '' HUP;");
    assert!(!told.contains("things are kept"), "{told}");
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

#[test]
fn a_url_that_is_not_that_of_an_api_is_told_from_a_server_that_is_away() {
    let server = Server::start();
    let home = Home::new(Some(&server));
    let mut program = home.command(example("patient"));
    let dashboard = server.url.trim_end_matches("/api");
    program.env("PREFECT_API_URL", dashboard);
    let output = program.args(["patient", "seconds=1"]).output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("/api"), "{said}");
    assert!(!said.contains("unset PREFECT_API_URL"), "{said}");
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

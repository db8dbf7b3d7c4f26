//! Our worker and genuine ones, at the work of genuine 2.20 and 3.x clients.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::newer::{CLIENTS, Client, PATIENCE, Running};
use crate::ours::Server;

/// Returns a command of ours with this client's Python.
fn ours(client: &Client, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_prefect-rs"));
    command
        .args(arguments)
        .env("PREFECT_HOME", client.home.path())
        .env("PREFECT_API_URL", &client.api)
        .env("PREFECT_RS_PYTHON", client.bin.join("python"))
        .env("DO_NOT_TRACK", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// Starts a worker of ours.
fn worker(client: &Client, pool: &str, more: &[&str]) -> Running {
    let arguments = [&["worker", "start", "--pool", pool], more].concat();
    Running(
        ours(client, &arguments)
            .spawn()
            .expect("our executable starts"),
    )
}

/// Waits for something that another process brings about.
async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn has_pool(client: &Client, pool: &str) -> bool {
    let filter = json!({"work_pools": {"name": {"any_": [pool]}}});
    client.ask("/work_pools/filter", filter).await != json!([])
}

/// Tells whether a process lives.
fn lives(id: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

#[tokio::test]
async fn a_worker_of_ours_runs_what_genuine_clients_deploy() {
    let server = Server::start().await;
    for generation in &CLIENTS {
        let Some(client) = Client::of(generation, &server.url) else {
            continue;
        };
        let (name, pool) = (client.named("seen"), client.named("own"));
        // A long pause between polls, so that what comes was pushed.
        let mut working = ours(&client, &["worker", "start", "--pool", &pool]);
        working.env("PREFECT_WORKER_QUERY_SECONDS", "86400");
        let _working = Running(working.spawn().expect("our executable starts"));
        // It creates its pool.
        until("the worker creates no pool", async || {
            has_pool(&client, &pool).await
        })
        .await;
        let variable = json!({"name": "whom", "value": generation.0});
        let set = client.ask("/variables/", variable);
        set.await;
        client
            .run("python", &["newer.py", "deploy-seen", &name, &pool])
            .await;
        client
            .run("prefect", &["deployment", "run", &format!("seen/{name}")])
            .await;
        let run = client.ended_run_of(&name).await;
        assert_eq!(run["state_name"], "Completed", "{run}");
        assert_eq!(run["work_pool_name"], *pool);
        assert!(run["infrastructure_pid"].is_string(), "{run}");
        let logs = json!({"logs": {"flow_run_id": {"any_": [run["id"]]}}});
        let expected = format!("greeting is hello {}", generation.0);
        until("the flow's lines do not come", async || {
            let logs = client.ask("/logs/filter", logs.clone()).await;
            logs.to_string().contains(&expected)
        })
        .await;
        let whom = json!({"variables": {"name": {"any_": ["whom"]}}});
        let whom = client.ask("/variables/filter", whom).await;
        let id = whom[0]["id"].as_str().expect("a variable").to_owned();
        let path = format!("{}/variables/{id}", client.api);
        client
            .http
            .delete(path)
            .send()
            .await
            .expect("the server answers");
    }
}

/// Who runs the flow that sleeps.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Who {
    Ours,
    Genuine,
}

async fn cancelled(client: &Client, who: Who) {
    let (name, pool) = (client.named("asleep"), client.named("beds"));
    let note = client.home.path().join("asleep");
    let parameter = format!("note={}", note.display());
    if !has_pool(client, &pool).await {
        client
            .run(
                "prefect",
                &["work-pool", "create", "--type", "process", &pool],
            )
            .await;
        client
            .run("python", &["newer.py", "deploy-asleep", &name, &pool])
            .await;
    }
    let _working = match who {
        Who::Ours => worker(client, &pool, &[]),
        Who::Genuine => client.start("prefect", &["worker", "start", "--pool", &pool]),
    };
    client
        .run(
            "prefect",
            &[
                "deployment",
                "run",
                &format!("asleep/{name}"),
                "-p",
                &parameter,
            ],
        )
        .await;
    until("the flow does not start", async || note.exists()).await;
    let processes = std::fs::read_to_string(&note).expect("the note");
    std::fs::remove_file(&note).expect("the note goes");
    let (flow, child) = processes.trim().split_once(' ').expect("two processes");
    let filter = json!({
        "flow_runs": {"state": {"type": {"any_": ["RUNNING"]}}},
        "deployments": {"name": {"any_": [name]}},
    });
    let runs = client.ask("/flow_runs/filter", filter).await;
    let run = runs[0]["id"].as_str().expect("a run under way").to_owned();
    let cancel = ours(client, &["flow-run", "cancel", &run]).status();
    assert!(cancel.expect("our executable starts").success());
    let of_run = json!({"id": {"any_": [run]}});
    client.run_in_state(of_run, "CANCELLED").await;
    until("the flow's process goes on", async || !lives(flow)).await;
    match who {
        Who::Ours => assert!(
            !lives(child),
            "the process that the flow has started goes on"
        ),
        // A genuine worker ends the flow's own process.
        Who::Genuine => drop(
            Command::new("kill")
                .arg(child)
                .stderr(Stdio::null())
                .status(),
        ),
    }
    let path = format!("{}/flow_run_states/?flow_run_id={run}", client.api);
    let states = client.http.get(path).send().await;
    let states: Value = states.expect("an answer").json().await.expect("JSON");
    let states = states.as_array().expect("a list").iter();
    let types: Vec<_> = states.filter_map(|state| state["type"].as_str()).collect();
    assert_eq!(
        types[types.len() - 2..],
        ["CANCELLING", "CANCELLED"],
        "{types:?}"
    );
}

#[tokio::test]
async fn a_cancelled_run_is_stopped_by_whichever_worker_runs_it() {
    let server = Server::start().await;
    for generation in &CLIENTS {
        if let Some(client) = Client::of(generation, &server.url) {
            cancelled(&client, Who::Ours).await;
            cancelled(&client, Who::Genuine).await;
        }
    }
}

#[tokio::test]
async fn a_worker_that_runs_once_takes_what_is_due_and_ends() {
    let server = Server::start().await;
    // An executable needs no client of any generation.
    let home = tempfile::tempdir().expect("a temporary directory");
    let api = format!("{}/api", server.url);
    let types = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_prefect-rs"))
            .args(arguments)
            .env("PREFECT_HOME", home.path())
            .env("PREFECT_API_URL", &api)
            .output()
            .expect("our executable starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    types(&["worker", "start", "--pool", "shed", "--run-once"]);
    let inspected: Value =
        serde_json::from_str(&types(&["work-pool", "inspect", "shed", "-o", "json"]))
            .expect("JSON");
    assert_eq!(inspected["type"], "process");
    assert_eq!(inspected["status"], "READY");
    let http = prefect_rs::http::client().build().expect("a client");
    let post = async |path: &str, body: Value| {
        let sent = http.post(format!("{api}{path}")).json(&body).send().await;
        let answer: Value = sent.expect("an answer").json().await.expect("JSON");
        answer
    };
    let script = home.path().join("flow.sh");
    std::fs::write(&script, "#!/bin/sh\necho \"it is $GREETING\"\n").expect("a script");
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .expect("it can be run");
    let spec = home.path().join("deployment.json");
    let pool = json!({"name": "shed", "job_variables": {"env": {"GREETING": "deployed"}}});
    let text = json!({"name": "d", "flow_location": script, "work_pool": pool}).to_string();
    std::fs::write(&spec, text).expect("a specification");
    let id = types(&["deployment", "create", spec.to_str().expect("a path")]);
    let run = json!({"job_variables": {"env": {"GREETING": "asked for"}}});
    let run = post(&format!("/deployments/{id}/create_flow_run"), run).await;
    types(&[
        "worker",
        "start",
        "--pool",
        "shed",
        "--run-once",
        "--limit",
        "1",
    ]);
    let id = run["id"].as_str().expect("a run");
    let shown: Value =
        serde_json::from_str(&types(&["flow-run", "inspect", id, "-o", "json"])).expect("JSON");
    assert_eq!(shown["state_name"], "Completed", "{shown}");
    let logs = types(&["flow-run", "logs", id]);
    assert!(logs.contains("it is asked for"), "{logs}");
}

//! Flows on genuine servers of 2.20 and 3.8: what their APIs allow is recorded as on ours.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use prefect_rs::client::{Client, CreateFlowRun};
use prefect_rs::prelude::*;
use prefect_rs::sdk::Session;
use prefect_rs::settings::Settings;
use serde_json::json;

use crate::genuine_server::GenuineServer;
use crate::history::History;
use crate::home::{Process, example};

/// Much more than it takes, since the newest servers read events after they have answered.
const PATIENCE: Duration = Duration::from_secs(60);

#[data]
struct Row {
    city: String,
    people: u64,
}

#[task(name = "Load", tags = ["narrow"])]
async fn load(city: &str) -> Row {
    println!("loading {city}");
    Row {
        city: city.to_owned(),
        people: 3,
    }
}

#[task(retries = 2, retry_delay_seconds = 0.01)]
async fn flaky(row: Row) -> Result<u64> {
    let run = task_run().context("a task run")?;
    ensure!(run.run_count > 1, "{} is not there yet", row.city);
    Ok(row.people)
}

#[task(task_run_name = "note of {city}")]
async fn note(city: &str) {
    let _ = city;
}

#[task]
async fn broken() -> Result<()> {
    bail!("no")
}

#[flow(name = "Sum")]
async fn sum(numbers: Vec<u64>) -> u64 {
    numbers.iter().sum()
}

#[flow(name = "Census", flow_run_name = "census of {first}", version = "1", tags = ["yearly"])]
async fn census(first: String, second: String) -> Result<u64> {
    note(&first).await?;
    let (first, second) = (load(first).submit(), load(second).submit());
    let first = flaky(&first).await?;
    let second = flaky(&second).await?;
    assert!(broken().state().await.is_failed());
    sum(vec![first, second]).await
}

async fn story(version: &str) {
    let Some(server) = GenuineServer::start(version, &[]).await else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let settings = Settings::default_for(home.path());
    let client = Client::http(&server.api, &settings).unwrap();
    let limit = json!({"tag": "narrow", "concurrency_limit": 1});
    client
        .post_only("/concurrency_limits/", &limit)
        .await
        .unwrap();
    let session = Session::connect(client, &settings).await.unwrap();
    let history = History::of(session, home);
    let total = history.session.run(census("Bonn", "Köln")).await.unwrap();
    assert_eq!(total, 6);
    // These servers repeat the first state of a subflow run for what stands for it.
    let expected = "\
        Load-0: Pending Running Completed\n\
        Load-1: Pending Running Completed\n\
        Sum-0: Pending Pending Running Completed\n\
        broken-0: Pending Running Failed\n\
        flaky-0: Pending Running AwaitingRetry Retrying Completed\n\
        flaky-1: Pending Running AwaitingRetry Retrying Completed\n\
        note of Bonn: Pending Running Completed";
    let deadline = Instant::now() + PATIENCE;
    loop {
        let states = history.states().await;
        if states == expected {
            break;
        }
        assert!(Instant::now() < deadline, "{states}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let runs = history.flow_runs().await;
    let names: Vec<_> = runs.iter().map(|run| &run["state"]["type"]).collect();
    assert_eq!(names, ["COMPLETED", "COMPLETED"]);
    assert_eq!(runs[0]["name"], "census of Bonn");
    assert_eq!(
        runs[0]["parameters"],
        json!({"first": "Bonn", "second": "Köln"})
    );
    assert_eq!(runs[0]["tags"], json!(["yearly"]));
    assert_eq!(runs[0]["flow_version"], "1");
    let links = history.links().await;
    assert!(links.contains("flaky-1: row <- Load-1"), "{links}");
    let logs = history.logs().await;
    assert!(
        logs.iter().any(|log| log["message"] == "loading Köln"),
        "{logs:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_is_recorded_on_a_genuine_server_of_2_20() {
    story("2.20").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_is_recorded_on_a_genuine_server_of_3_8() {
    story("3.8").await;
}

/// A program that serves its flow on a genuine server, and a run that somebody asks for there.
async fn serving(version: &str) {
    let Some(server) = GenuineServer::start(version, &[]).await else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let settings = Settings::default_for(home.path());
    let client = Client::http(&server.api, &settings).unwrap();
    let mut served = Command::new(example("serve"));
    served
        .env("PREFECT_HOME", home.path())
        .env("PREFECT_API_URL", &server.api)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut served = Process(served.spawn().unwrap());
    let deployment = until(async || {
        let found = client.read_deployment_by_name("Tick", "often").await;
        Client::optional(found).unwrap()
    });
    let deployment = deployment.await;
    assert!(deployment.makes_runs(), "{}", deployment.raw);
    assert_eq!(deployment.all_schedules()[0]["interval"], 5.0);
    assert_eq!(deployment.parameters["message"], "tick");
    let asked = CreateFlowRun {
        parameters: json!({"message": "now"}).as_object().unwrap().clone(),
        ..CreateFlowRun::default()
    };
    let made = client.create_flow_run_from_deployment(deployment.id, &asked);
    let run = made.await.unwrap().id;
    let ended = until(async || {
        let state = client.read_flow_run(run).await.unwrap().into_view().state?;
        state.is_terminal().then_some(state)
    });
    assert_eq!(ended.await.r#type, "COMPLETED");
    let logged = until(async || {
        let logs = client.read_flow_run_logs(run, 0, None).await.unwrap();
        logs.into_iter().find(|log| log.message == "now")
    });
    logged.await;
    served.signal("INT");
    let ended = tokio::task::spawn_blocking(move || served.0.wait());
    assert!(ended.await.unwrap().unwrap().success());
    let deployment = client.read_deployment(deployment.id).await.unwrap();
    assert!(!deployment.makes_runs(), "{}", deployment.raw);
}

/// Looks until there is something.
async fn until<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited for too long");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_is_served_on_a_genuine_server_of_2_20() {
    serving("2.20").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_is_served_on_a_genuine_server_of_3_8() {
    serving("3.8").await;
}

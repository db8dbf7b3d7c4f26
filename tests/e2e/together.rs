//! Clients of three generations at work at the same time, on one server and one database.

use serde_json::{Value, json};

use crate::newer::{CLIENTS, Client};
use crate::ours;

/// The first generation, beside the others.
const FIRST: (&str, &str) = ("2.0b3", "prefect/2.0b3");

/// Returns what a client reads of all that there is.
async fn seen_by(client: &Client) -> Value {
    let said = client.run("python", &["look.py"]).await;
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
}

#[tokio::test]
async fn each_generation_sees_what_the_others_do() {
    let server = ours::Server::start().await;
    let clients = [
        Client::of(&FIRST, &server.url),
        Client::of(&CLIENTS[0], &server.url),
        Client::of(&CLIENTS[1], &server.url),
    ];
    let [Some(first), Some(second), Some(third)] = clients else {
        return;
    };
    // At once, so that they meet in the same writes.
    tokio::join!(
        first.run("python", &["features.py", "subflows"]),
        second.run("python", &["newer.py", "adhoc"]),
        third.run("python", &["newer.py", "adhoc"]),
    );
    let pool = ["work-pool", "create", "--type", "process", "shed"];
    tokio::join!(
        first.run("prefect", &["deployment", "create", "specified.py"]),
        first.run("prefect", &["work-queue", "create", "-t", "spec", "specs"]),
        third.run("prefect", &pool),
    );
    tokio::join!(
        second.run("python", &["newer.py", "deploy", "of-2", "shed"]),
        third.run("python", &["newer.py", "deploy", "of-3", "shed"]),
    );

    let seen = tokio::join!(seen_by(&first), seen_by(&second), seen_by(&third));
    let (seen, by_second, by_third) = seen;
    let states = seen["states"].as_object().expect("runs");
    let is_done = |history: &&Value| history.to_string().contains("Completed");
    let done = states.values().filter(is_done).count();
    assert_eq!(done, states.len(), "{seen}");
    for flow in ["subflows", "child", "adhoc"] {
        let is_of = |history: &&Value| history[0] == *flow;
        assert!(states.values().any(|history| is_of(&history)), "{seen}");
    }
    let deployments = json!([
        ["of-2", "adhoc", [], {"n": 2}],
        ["of-3", "adhoc", [], {"n": 2}],
        ["specified", "specified", ["spec"], {"n": 3}],
    ]);
    assert_eq!(seen["deployments"], deployments);
    assert_eq!(seen["queues"], json!(["specs"]));
    assert!(seen["logs"].as_u64() > Some(10), "{seen}");
    assert_eq!(by_second, seen);
    assert_eq!(by_third, seen);

    // Each starts what another has deployed, and whoever can run it does.
    let _agent = first.start("prefect", &["agent", "start", "specs"]);
    let _worker = third.start("prefect", &["worker", "start", "--pool", "shed"]);
    third
        .run("prefect", &["deployment", "run", "specified/specified"])
        .await;
    first
        .run("prefect", &["deployment", "run", "adhoc/of-3"])
        .await;
    for deployment in ["specified", "of-3"] {
        let run = second.ended_run_of(deployment).await;
        assert_eq!(run["state_name"], "Completed", "{run}");
    }
    for client in [&first, &second, &third] {
        let listed = client.run("prefect", &["flow-run", "ls"]).await;
        assert!(listed.contains("squares-to-3"), "{listed}");
        let listed = client.run("prefect", &["deployment", "ls"]).await;
        assert!(listed.contains("specified"), "{listed}");
    }
}

//! Retries of tasks and flows, beside what the orchestration rules of the server say.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use prefect_rs::prelude::*;
use prefect_rs::sdk::Session;
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::history::History;

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_task_is_retried_after_its_delays() {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    #[task(retries = 3, retry_delay_seconds = [0.0, 0.01], retry_jitter_factor = 0.1)]
    async fn flaky() -> Result<u32> {
        match CALLS.fetch_add(1, Ordering::Relaxed) {
            n @ 0..3 => bail!("attempt {n}"),
            n => Ok(n),
        }
    }
    #[flow]
    async fn flow() -> Result<u32> {
        Ok(flaky().await?)
    }
    let history = History::new().await;
    assert_eq!(history.session.run(flow()).await.unwrap(), 3);
    insta::assert_snapshot!(
        history.states().await,
        @"flaky-0: Pending Running Retrying AwaitingRetry Retrying AwaitingRetry Retrying Completed"
    );
    let run = &history.task_runs().await[0];
    assert_eq!(run["run_count"], 4);
    assert_eq!(run["empirical_policy"]["retries"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_decides_which_errors_are_worth_a_retry() {
    #[task(retries = 5, retry_condition = |error| error.state().message.as_deref() != Some("fatal"))]
    async fn fatal() -> Result<()> {
        bail!("fatal")
    }
    #[flow]
    async fn flow() {
        assert!(fatal().state().await.is_failed());
    }
    let history = History::new().await;
    history.session.run(flow()).await.unwrap();
    assert_eq!(history.states().await, "fatal-0: Pending Running Failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_flow_is_run_again_and_finds_the_results_it_kept() {
    static LOADS: AtomicU32 = AtomicU32::new(0);
    #[task(persist_result = true)]
    async fn load() -> u32 {
        LOADS.fetch_add(1, Ordering::Relaxed)
    }
    #[flow(retries = 2, retry_delay_seconds = 0.01)]
    async fn flow() -> Result<u32> {
        let loaded = load().await?;
        let attempt = flow_run().context("a flow run")?.run_count;
        ensure!(attempt == 3, "attempt {attempt}");
        Ok(loaded)
    }
    let history = History::new().await;
    assert_eq!(history.session.run(flow()).await.unwrap(), 0);
    assert_eq!(LOADS.load(Ordering::Relaxed), 1);
    insta::assert_snapshot!(history.states().await, @"
    load-0: Pending Running Completed
    load-1: Pending Cached
    load-2: Pending Cached
    ");
    assert_eq!(history.flow_runs().await[0]["run_count"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_waits_before_each_retry_as_long_as_was_asked() {
    #[flow(retries = 3, retry_delay_seconds = [0.01, 0.02, 0.3])]
    async fn flow() -> Result<()> {
        bail!("no")
    }
    let history = History::new().await;
    assert!(history.session.state(flow()).await.is_failed());
    let run = &history.flow_runs().await[0];
    assert_eq!(run["run_count"], 4);
    let path = format!(
        "/flow_run_states/?flow_run_id={}",
        run["id"].as_str().unwrap()
    );
    let mut states: Vec<Value> = history.session.client().get(&path).await.unwrap();
    states.sort_by_key(|state| state["timestamp"].as_str().map(str::to_owned));
    let at = |value: &Value| -> chrono::DateTime<chrono::Utc> {
        value.as_str().unwrap().parse().unwrap()
    };
    let delays: Vec<_> = states
        .iter()
        .filter(|state| state["name"] == "AwaitingRetry")
        .map(|state| at(&state["state_details"]["scheduled_time"]) - at(&state["timestamp"]))
        .map(|delay| (delay.as_seconds_f64() * 100.0).round())
        .collect();
    assert_eq!(delays, [1.0, 2.0, 30.0]);
}

/// What a script of attempts leads to when each transition is proposed to the server's rules for tasks.
async fn by_the_rules(session: &Session, retries: u32, fails: &[bool]) -> Vec<String> {
    let client = session.client();
    let flow: Value = client
        .post("/flows/", &json!({"name": "rules"}))
        .await
        .unwrap();
    let flow_run: Value = client
        .post(
            "/flow_runs/",
            &json!({"flow_id": flow["id"], "state": {"type": "RUNNING"}}),
        )
        .await
        .unwrap();
    let body = json!({
        "flow_run_id": flow_run["id"], "task_key": "t", "dynamic_key": Uuid::new_v4(),
        "empirical_policy": {"retries": retries, "retry_delay": 0}, "state": {"type": "PENDING"},
    });
    let run: Value = client.post("/task_runs/", &body).await.unwrap();
    let path = format!("/task_runs/{}/set_state", run["id"].as_str().unwrap());
    let mut names = vec!["Pending".to_owned()];
    for fails in fails {
        for kind in ["RUNNING", if *fails { "FAILED" } else { "COMPLETED" }] {
            let answer: Value = client
                .post(&path, &json!({"state": {"type": kind}}))
                .await
                .unwrap();
            names.push(answer["state"]["name"].as_str().unwrap().to_owned());
        }
        if names.last().is_some_and(|name| name != "AwaitingRetry") {
            break;
        }
    }
    names
}

#[task]
async fn scripted(attempts: Vec<bool>, counter: u64) -> Result<()> {
    let number = task_run().context("a task run")?.run_count as usize - 1;
    ensure!(
        !attempts[number.min(attempts.len() - 1)],
        "attempt {number} of {counter}"
    );
    Ok(())
}

#[flow]
async fn script(retries: u32, attempts: Vec<bool>, counter: u64) -> Result<()> {
    // The shortest delay that is one, since the rules always make a run wait for its retry.
    let call = scripted(attempts, counter)
        .with_retries(retries)
        .with_retry_delay_seconds(1e-6);
    let _ = call.state().await;
    Ok(())
}

#[test]
fn any_script_of_attempts_goes_through_the_states_that_the_rules_give() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let history = Arc::new(runtime.block_on(History::new()));
    let config = ProptestConfig {
        cases: 24,
        ..ProptestConfig::default()
    };
    proptest!(config, |(retries in 0u32..4, attempts in prop::collection::vec(any::<bool>(), 1..6))| {
        let mut attempts = attempts;
        attempts.resize(6, *attempts.last().unwrap());
        let (expected, actual) = runtime.block_on(async {
            let expected = by_the_rules(&history.session, retries, &attempts).await;
            let fresh = History::new().await;
            fresh.session.run(script(retries, attempts.clone(), 0u64)).await.unwrap();
            let states = fresh.states().await;
            let (_, names) = states.split_once(": ").unwrap();
            (expected.join(" "), names.to_owned())
        });
        prop_assert_eq!(expected, actual);
    });
}

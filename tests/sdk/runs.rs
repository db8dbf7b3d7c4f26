//! What runs record: states, dependencies, parameters, logs, subflows.

use std::sync::LazyLock;
use std::time::Duration;

use prefect_rs::prelude::*;
use tokio::sync::Barrier;
use tracing::Instrument;

use crate::history::History;

#[data]
struct Row {
    city: String,
    people: u64,
}

#[task(name = "Load", tags = ["db"])]
async fn load(city: &str) -> Result<Row> {
    Ok(Row {
        city: city.to_owned(),
        people: 3,
    })
}

#[task]
fn count(row: Row) -> u64 {
    println!("counting {}", row.city);
    row.people
}

#[task]
async fn sum(numbers: Vec<u64>) -> u64 {
    numbers.iter().sum()
}

#[flow(name = "Census", flow_run_name = "census of {first}")]
async fn census(first: String, second: String) -> Result<u64> {
    let first = load(first).await?;
    let first = count(first).await?;
    let second = load(second).submit();
    let second = count(&second).submit();
    let total = sum(vec![first, second.result().await?]).await?;
    Ok(total)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_records_states_dependencies_and_parameters() {
    let history = History::new().await;
    let total = history.session.run(census("Bonn", "Köln")).await.unwrap();
    assert_eq!(total, 6);
    insta::assert_snapshot!(history.states().await, @"
    Load-0: Pending Running Completed
    Load-1: Pending Running Completed
    count-0: Pending Running Completed
    count-1: Pending Running Completed
    sum-0: Pending Running Completed
    ");
    // Numbers are equal by chance, so nobody guesses whose the values of the list are.
    insta::assert_snapshot!(history.links().await, @"
    count-0: row <- Load-0
    count-1: row <- Load-1
    ");
    let flow_run = &history.flow_runs().await[0];
    assert_eq!(flow_run["name"], "census of Bonn");
    assert_eq!(flow_run["parameters"]["second"], "Köln");
    assert_eq!(flow_run["state"]["type"], "COMPLETED");
    assert_eq!(history.task_runs().await[0]["tags"][0], "db");
}

#[tokio::test(flavor = "multi_thread")]
async fn prints_and_events_are_logs_of_the_run_that_said_them() {
    #[task]
    async fn talk() -> Result<()> {
        println!("before");
        tokio::time::sleep(Duration::from_millis(1)).await;
        info!(rows = 3, "after");
        spawn(async { info!("spawned by the prelude") }).await?;
        let span = tracing::info_span!("mine");
        tokio::spawn(async { info!("spawned in a span") }.instrument(span)).await?;
        tokio::spawn(async { info!("spawned in the run's span") }.in_current_span()).await?;
        spawn_blocking(|| info!("on a thread")).await?;
        Ok(())
    }
    #[flow]
    async fn talks() -> Result<()> {
        info!("the flow itself");
        Ok(talk().await?)
    }
    let history = History::new().await;
    history.session.run(talks()).await.unwrap();
    let id = history.task_runs().await[0]["id"].clone();
    let mut own = Vec::new();
    let mut of_flow = Vec::new();
    for log in history.logs().await {
        let message = log["message"].as_str().unwrap().to_owned();
        if !log["name"]
            .as_str()
            .unwrap()
            .starts_with("prefect.task_runs")
        {
            if log["task_run_id"] == id {
                own.push(message)
            } else {
                of_flow.push(message)
            }
        }
    }
    assert_eq!(
        own,
        [
            "before",
            "after rows=3",
            "spawned by the prelude",
            "spawned in a span",
            "spawned in the run's span",
            "on a thread"
        ]
    );
    assert_eq!(of_flow[1], "the flow itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_values_that_tell_themselves_apart_are_recognised() {
    #[task]
    async fn size() -> u32 {
        3
    }
    #[task]
    async fn word() -> String {
        "page".to_owned()
    }
    #[task]
    async fn pages(size: u32, word: &str) -> Vec<String> {
        vec![format!("{word} {size}"); 2]
    }
    #[task]
    async fn print(pages: Vec<String>, size: u32) {
        drop((pages, size));
    }
    #[flow]
    async fn flow() -> Result<()> {
        size().await?;
        word().await?;
        let pages = pages(3, "page").await?;
        print(pages, size().submit()).await
    }
    let history = History::new().await;
    history.session.run(flow()).await.unwrap();
    insta::assert_snapshot!(history.links().await, @r"
    print-0: pages <- pages-0
    print-0: size <- size-1
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_name_that_a_call_gives_goes_before_that_of_the_task() {
    #[task(task_run_name = "of {city}")]
    async fn load(city: &str) {
        let _ = city;
    }
    #[flow]
    async fn flow() -> Result<()> {
        load("Bonn").await?;
        load("Köln").with_name("the last one").await
    }
    let history = History::new().await;
    history.session.run(flow()).await.unwrap();
    insta::assert_snapshot!(history.states().await, @r"
    of Bonn: Pending Running Completed
    the last one: Pending Running Completed
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_with_which_no_flow_can_be_deployed_is_refused_at_once() {
    // Not a literal, which the attribute would refuse.
    const NAME: &str = "east/west";
    #[flow(name = NAME)]
    async fn flow() {}
    let history = History::new().await;
    let error = history.session.run(flow()).await.unwrap_err();
    assert!(error.to_string().contains("one of / % & > <"), "{error}");
    assert!(history.flow_runs().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_dropped_has_ended_once_it_is_gone() {
    #[task]
    async fn endless() {
        std::future::pending().await
    }
    #[flow]
    async fn flow() -> Result<()> {
        endless().await
    }
    let history = History::new().await;
    let run = history.session.run(flow());
    tokio::time::timeout(Duration::from_millis(500), run)
        .await
        .unwrap_err();
    assert_eq!(history.flow_runs().await[0]["state"]["type"], "CANCELLED");
    assert_eq!(history.task_runs().await[0]["state"]["type"], "CANCELLED");
    let logs = history.logs().await;
    let is_said = |log: &serde_json::Value| {
        let message = log["message"].as_str().unwrap_or_default();
        log["name"] == "prefect.flow_runs" && message.contains("finished in state Cancelled")
    };
    assert!(logs.iter().any(is_said), "{logs:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_called_in_a_flow_is_a_subflow() {
    #[task]
    async fn double(n: i64) -> i64 {
        2 * n
    }
    #[flow]
    async fn child(n: i64) -> Result<Vec<i64>> {
        Ok(vec![double(n).await?; 2])
    }
    #[task]
    async fn total(numbers: Vec<i64>) -> i64 {
        numbers.iter().sum()
    }
    #[flow]
    async fn parent() -> Result<i64> {
        let one = double(4).submit();
        let twice = child(&one).await?;
        Ok(total(twice).await?)
    }
    let history = History::new().await;
    assert_eq!(history.session.run(parent()).await.unwrap(), 32);
    let runs = history.flow_runs().await;
    assert_eq!(runs.len(), 2);
    let stand_in = history
        .task_runs()
        .await
        .into_iter()
        .find(|run| run["name"] == "child-0")
        .unwrap();
    assert_eq!(runs[1]["parent_task_run_id"], stand_in["id"]);
    assert_eq!(stand_in["state"]["type"], "COMPLETED");
    assert_eq!(
        stand_in["state"]["state_details"]["child_flow_run_id"],
        runs[1]["id"]
    );
    let links = history.links().await;
    assert!(links.contains("child-0: n <- double-0"), "{links}");
    assert!(links.contains("total-0: numbers <- child-0"), "{links}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_called_in_a_task_is_within_it() {
    #[flow]
    async fn child() {}
    #[task]
    async fn outer() -> Result<()> {
        child().await?;
        Ok(())
    }
    #[flow]
    async fn parent() -> Result<()> {
        outer().await
    }
    let history = History::new().await;
    history.session.run(parent()).await.unwrap();
    assert_eq!(history.links().await, "child-0: __parents__ <- outer-0");
}

#[tokio::test(flavor = "multi_thread")]
async fn map_submits_a_run_for_each_value_and_futures_pass_as_lists() {
    #[task]
    async fn times(n: u64, factor: u64) -> u64 {
        n * factor
    }
    #[flow]
    async fn table() -> Result<u64> {
        let all = times::map(2..=4u64, 70u64).submit();
        let states = all.wait().await;
        assert!(states.iter().all(State::is_completed));
        let total = sum(&all).await?;
        assert_eq!(times::map(vec![4u64, 5], 10u64).await?, [40, 50]);
        Ok(total)
    }
    let history = History::new().await;
    assert_eq!(history.session.run(table()).await.unwrap(), 630);
    insta::assert_snapshot!(history.links().await, @"sum-0: numbers <- times-0 times-1 times-2");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_long_to_be_told_is_cut_and_keeps_nothing_else_away() {
    #[task(task_run_name = "say {text}")]
    async fn say(text: String) -> Result<()> {
        bail!("{text}")
    }
    #[flow]
    async fn flow() -> Result<()> {
        Ok(say("é".repeat(1_000_000)).await?)
    }
    let history = History::new().await;
    let error = history.session.run(flow()).await.unwrap_err();
    let whole = error.state().message.as_deref().map_or(0, str::len);
    assert!(whole > 2_000_000, "the caller has it whole");
    let task_run = &history.task_runs().await[0];
    let flow_run = &history.flow_runs().await[0];
    assert_eq!(task_run["name"].as_str().map(str::len), Some(500));
    for run in [task_run, flow_run] {
        assert_eq!(run["state"]["type"], "FAILED");
        let message = run["state"]["message"].as_str().unwrap();
        assert!(
            (30_000..40_000).contains(&message.len()),
            "{}",
            message.len()
        );
        assert!(message.ends_with("… (cut)"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_depends_on_a_failure_does_not_run() {
    #[task]
    async fn broken() -> Result<u64> {
        bail!("no")
    }
    #[task]
    async fn clean_up() {}
    #[flow]
    async fn flow() -> Result<String> {
        let broken = broken().submit();
        let dependent = count_all(&broken).submit();
        let later = clean_up().wait_for(&broken).submit();
        assert_eq!(later.wait().await.name, "NotReady");
        Ok(dependent.wait().await.name)
    }
    #[task]
    async fn count_all(n: u64) -> u64 {
        n
    }
    let history = History::new().await;
    assert_eq!(history.session.run(flow()).await.unwrap(), "NotReady");
    insta::assert_snapshot!(history.states().await, @"
    broken-0: Pending Running Failed
    clean_up-0: Pending NotReady
    count_all-0: Pending NotReady
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_does_not_end_before_what_it_submitted() {
    #[task]
    async fn slow() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    #[flow]
    async fn forgetful() {
        drop(slow().submit());
    }
    let history = History::new().await;
    history.session.run(forgetful()).await.unwrap();
    assert_eq!(history.states().await, "slow-0: Pending Running Completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_that_are_not_async_call_tasks_too() {
    #[task]
    fn double(n: i64) -> i64 {
        2 * n
    }
    #[flow]
    fn plain() -> Result<i64> {
        let future = double(1).submit();
        Ok(future.get()? + double(20).run()?)
    }
    let history = History::new().await;
    assert_eq!(history.session.run(plain()).await.unwrap(), 42);
}

#[tokio::test]
async fn a_task_outside_of_a_flow_says_what_to_do() {
    let error = count(Row {
        city: "x".into(),
        people: 1,
    })
    .await
    .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("call it in a function with #[flow]"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_the_same_for_all_of_a_map_has_its_origin_in_each() {
    #[task]
    async fn factors() -> Vec<u64> {
        vec![2, 3]
    }
    #[task]
    async fn times(n: u64, factors: Vec<u64>) -> u64 {
        factors.iter().map(|factor| n * factor).sum()
    }
    #[flow]
    async fn table() -> Result<Vec<u64>> {
        let factors = factors().await?;
        Ok(times::map([10u64, 20], factors).await?)
    }
    let history = History::new().await;
    assert_eq!(history.session.run(table()).await.unwrap(), [50, 100]);
    insta::assert_snapshot!(history.links().await, @"
    times-0: factors <- factors-0
    times-1: factors <- factors-0
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn prints_of_all_kinds_are_logs() {
    #[task]
    fn talk() {
        println!("{} out", 1);
        eprintln!("{} error", 2);
        print!("{} part\n", 3);
        eprint!("{} part", 4);
        println!();
    }
    #[flow]
    async fn talks() -> Result<()> {
        talk().await
    }
    let history = History::new().await;
    history.session.run(talks()).await.unwrap();
    let logs = history.logs().await;
    let prints = logs.iter().filter(|log| log["name"] == "prefect.prints");
    let prints: Vec<_> = prints.map(|log| log["message"].as_str().unwrap()).collect();
    assert_eq!(prints, ["1 out", "2 error", "3 part", "4 part", ""]);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_runs_may_depend_on_the_same_many() {
    #[task]
    async fn one(n: u64) -> Result<u64> {
        ensure!(n < 1000, "{n} is too much");
        Ok(n)
    }
    #[task]
    async fn add(n: u64, all: Vec<u64>) -> u64 {
        n + all.iter().sum::<u64>()
    }
    #[task]
    async fn later(n: u64) -> u64 {
        n
    }
    #[flow]
    async fn flow() -> Result<()> {
        let all = one::map(0..50u64).submit();
        let sums = add::map(0..50u64, &all).wait_for(&all).submit();
        assert_eq!(
            sums.await?,
            (0..50).map(|n| n + 49 * 25).collect::<Vec<u64>>()
        );
        let bad = one::map([1u64, 1000, 2]).submit();
        let states = later::map(0..50u64)
            .wait_for(&bad)
            .wait_for(vec![&all])
            .submit()
            .wait()
            .await;
        assert!(states.iter().all(|state| state.name == "NotReady"));
        let told = states[49].message.as_deref().unwrap_or_default();
        ensure!(told.contains("1000 is too much"), "{told}");
        Ok(())
    }
    let history = History::new().await;
    history.session.run(flow()).await.unwrap();
    let runs = history.task_runs().await;
    let links = |name: &str, argument: &str| {
        let run = runs.iter().find(|run| run["name"] == name).unwrap();
        run["task_inputs"][argument].as_array().map_or(0, Vec::len)
    };
    assert_eq!(links("add-49", "all"), 50);
    assert_eq!(links("add-0", "wait_for"), 50);
    assert_eq!(links("later-7", "wait_for"), 53);
}

#[tokio::test(flavor = "multi_thread")]
async fn subflows_run_beside_each_other() {
    static ALL: LazyLock<Barrier> = LazyLock::new(|| Barrier::new(4));
    #[task]
    async fn meet(n: u32) -> u32 {
        ALL.wait().await;
        n
    }
    #[flow]
    async fn child(n: u32) -> Result<u32> {
        meet(n).await
    }
    #[flow]
    async fn parent() -> Result<u32> {
        let spawned = spawn(child(1u32).into_future());
        let mapped = meet::map([2u32]).submit();
        let (one, two) = tokio::join!(child(3u32).into_future(), child(4u32).into_future());
        Ok(spawned.await?? + mapped.await?[0] + one? + two?)
    }
    let history = History::new().await;
    let run = tokio::time::timeout(Duration::from_secs(60), history.session.run(parent()));
    assert_eq!(run.await.expect("they meet").unwrap(), 10);
    let runs = history.flow_runs().await;
    assert_eq!(runs.len(), 4);
    let children = runs
        .iter()
        .filter(|run| !run["parent_task_run_id"].is_null());
    assert_eq!(children.count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runtime_within_a_run_is_part_of_it_and_ends_with_what_it_was_given() {
    #[task]
    async fn double(n: i64) -> i64 {
        2 * n
    }
    #[task]
    async fn endless() {
        std::future::pending().await
    }
    #[flow]
    fn nested() -> Result<i64> {
        let inner = tokio::runtime::Runtime::new()?;
        let (future, doubled) = inner.block_on(async {
            info!("said within");
            (endless().submit(), double(21).await)
        });
        inner.shutdown_background();
        let state = future.get().unwrap_err().state().clone();
        ensure!(state.is_cancelled(), "{state}");
        Ok(doubled?)
    }
    let history = History::new().await;
    let run = tokio::time::timeout(Duration::from_secs(60), history.session.run(nested()));
    assert_eq!(run.await.expect("it ends").unwrap(), 42);
    let logs = history.logs().await;
    assert!(logs.iter().any(|log| log["message"] == "said within"));
    assert!(
        history
            .states()
            .await
            .contains("endless-0: Pending Running Cancelled")
    );
}

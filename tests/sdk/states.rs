//! How runs end: manual states, panics, timeouts, cancellation, hooks.

use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Barrier, Mutex};
use std::time::Duration;

use prefect_rs::prelude::*;

use crate::history::History;

#[tokio::test(flavor = "multi_thread")]
async fn a_function_may_return_its_state() {
    #[task]
    async fn judge(n: i64) -> State<i64> {
        match n {
            0 => Failed("nothing to do"),
            1 => Cancelled("not today"),
            n => Completed(n)
                .with_name("Skipped")
                .with_message("all is there"),
        }
    }
    #[flow]
    async fn flow() -> Result<State<i64>> {
        assert_eq!(
            judge(0).state().await.message.as_deref(),
            Some("nothing to do")
        );
        assert!(judge(1).state().await.is_cancelled());
        let n = judge(5).await?;
        Ok(Completed(n).with_message("done"))
    }
    let history = History::new().await;
    assert_eq!(history.session.run(flow()).await.unwrap(), 5);
    insta::assert_snapshot!(history.states().await, @"
    judge-0: Pending Running Failed
    judge-1: Pending Running Cancelled
    judge-2: Pending Running Skipped
    ");
    let flow_run = &history.flow_runs().await[0];
    assert_eq!(flow_run["state"]["message"], "done");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_is_no_end_fails_the_run() {
    #[task]
    async fn later() -> State<u8> {
        let mut state = Failed("not yet");
        state.state_type = StateType::Scheduled;
        state
    }
    #[flow]
    async fn flow() -> State<u8> {
        let error = later().await.unwrap_err().to_string();
        assert!(
            error.contains("type SCHEDULED, in which no run ends"),
            "{error}"
        );
        let mut state = Completed(1);
        state.data = None;
        state
    }
    let history = History::new().await;
    let error = history.session.run(flow()).await.unwrap_err();
    assert!(error.state().is_failed());
    assert!(error.to_string().contains("has no data"), "{error}");
    assert_eq!(history.flow_runs().await[0]["state"]["type"], "FAILED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_beside_the_function_fails_the_task_with_its_message() {
    #[derive(Clone, serde::Deserialize)]
    struct Unwritable;
    impl serde::Serialize for Unwritable {
        fn serialize<S: serde::Serializer>(&self, _: S) -> std::result::Result<S::Ok, S::Error> {
            panic!("there are no words")
        }
    }
    #[task(retries = 1, retry_condition = |_: &RunError| panic!("who knows"))]
    async fn fail() -> Result<()> {
        bail!("broken")
    }
    #[task(cache_key_fn = |_: &Arguments| -> String { panic!("no key") })]
    async fn keyed() {}
    #[task]
    async fn unwritable() -> Unwritable {
        Unwritable
    }
    #[task]
    async fn take(_value: Unwritable) {}
    #[flow]
    async fn flow() -> Result<()> {
        let mut said = Vec::new();
        for state in [
            fail().state().await,
            fail().submit().wait().await,
            keyed().state().await,
            keyed().submit().wait().await,
            unwritable().state().await,
            unwritable().submit().wait().await,
        ] {
            assert!(state.is_failed(), "{state}");
            said.push(state.message.unwrap_or_default());
        }
        for (said, reason) in said.chunks(2).zip([
            "who knows (asked about: Failed: broken)",
            "no key",
            "no words",
        ]) {
            assert!(said.iter().all(|text| text.contains(reason)), "{said:?}");
        }
        take(Unwritable).await
    }
    let history = History::new().await;
    history.session.run(flow()).await.unwrap();
}

#[derive(Debug, thiserror::Error)]
#[error("the {0} is broken")]
struct Broken(&'static str);

#[tokio::test(flavor = "multi_thread")]
async fn an_error_keeps_its_source() {
    #[task]
    async fn fail() -> std::result::Result<(), Broken> {
        Err(Broken("pump"))
    }
    #[flow]
    async fn flow() -> Result<()> {
        let error = fail().await.unwrap_err();
        assert_eq!(error.downcast_ref::<Broken>().unwrap().0, "pump");
        Err(error).context("while pumping")
    }
    let history = History::new().await;
    let error = history.session.run(flow()).await.unwrap_err();
    assert_eq!(
        error.state().message.as_deref(),
        Some("while pumping: task run `fail-0` failed: the pump is broken")
    );
    assert_eq!(history.flow_runs().await[0]["state"]["type"], "FAILED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_a_failure_with_its_message_and_place() {
    #[task]
    async fn careless(list: Vec<u8>) -> u8 {
        list[3]
    }
    #[task]
    fn careless_thread() {
        panic!("no {}", "way")
    }
    #[flow]
    async fn flow() -> Result<()> {
        let first = careless(vec![1]).state().await;
        let second = careless_thread().state().await;
        bail!("{} / {}", first.message.unwrap(), second.message.unwrap())
    }
    let history = History::new().await;
    let message = history.session.state(flow()).await.message.unwrap();
    assert!(
        message.contains("panicked at tests/sdk/states.rs:"),
        "{message}"
    );
    assert!(message.contains("index out of bounds"), "{message}");
    assert!(message.contains("no way"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_too_long_times_out() {
    #[task(timeout_seconds = 0.01)]
    async fn endless() {
        std::future::pending().await
    }
    #[flow(timeout_seconds = 0.05)]
    async fn flow() -> Result<()> {
        assert_eq!(endless().state().await.name, "TimedOut");
        std::future::pending().await
    }
    let history = History::new().await;
    let state = history.session.state(flow()).await;
    assert_eq!(state.name, "TimedOut");
    assert_eq!(
        history.states().await,
        "endless-0: Pending Running TimedOut"
    );
    assert_eq!(history.flow_runs().await[0]["state"]["name"], "TimedOut");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_submitted_ends_with_the_time_of_its_flow() {
    #[task]
    async fn endless() {
        std::future::pending().await
    }
    #[flow(timeout_seconds = 0.05)]
    async fn flow() -> Result<()> {
        endless().submit();
        std::future::pending().await
    }
    let history = History::new().await;
    let run = history.session.state(flow());
    let state = tokio::time::timeout(Duration::from_secs(60), run).await;
    assert_eq!(state.expect("the flow ends").name, "TimedOut");
    assert_eq!(
        history.states().await,
        "endless-0: Pending Running Cancelled"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_call_does_not_stay_running() {
    #[task]
    async fn endless() {
        std::future::pending().await
    }
    #[flow]
    async fn flow() {
        let limit = Duration::from_millis(10);
        let _ = tokio::time::timeout(limit, endless().into_future()).await;
    }
    let history = History::new().await;
    history.session.run(flow()).await.unwrap();
    assert_eq!(
        history.states().await,
        "endless-0: Pending Running Cancelled"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_part_cancels_the_whole() {
    #[task]
    async fn stop() -> State {
        Cancelled("enough")
    }
    #[flow]
    async fn flow() -> Result<()> {
        stop().await.context("in the middle")?;
        Ok(())
    }
    #[flow]
    async fn plainly() -> Result<()> {
        Ok(stop().await?)
    }
    let history = History::new().await;
    assert!(history.session.state(flow()).await.is_cancelled());
    assert!(history.session.state(plainly()).await.is_cancelled());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_that_was_passed_on_can_be_asked_what_it_is() {
    #[task]
    async fn read() -> Result<Vec<u8>> {
        Ok(std::fs::read("/no such file")?)
    }
    #[flow]
    async fn flow() -> Result<Vec<u8>> {
        let error = read().await.unwrap_err();
        let io = error
            .downcast_ref::<std::io::Error>()
            .context("not what it was")?;
        assert_eq!(io.kind(), std::io::ErrorKind::NotFound);
        Ok(read().await?)
    }
    let history = History::new().await;
    let error = history.session.run(flow()).await.unwrap_err();
    let inner = error.downcast_ref::<RunError>().expect("the task run's");
    assert!(
        inner.downcast_ref::<std::io::Error>().is_some(),
        "{error:?}"
    );
}

static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn note(run: &Run, state: &State) {
    SEEN.lock()
        .unwrap()
        .push(format!("{} {}", run.of, state.name));
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_see_runs_and_states() {
    #[task(on_running = note, on_failure = note)]
    async fn fails() -> Result<()> {
        bail!("no")
    }
    #[task(on_running = |_, _| panic!("a hook that panics does no harm"), on_completion = note)]
    async fn works() {}
    #[flow(name = "hooks", on_completion = note)]
    async fn flow() -> Result<()> {
        let _ = fails().state().await;
        works().await?;
        Ok(())
    }
    let history = History::new().await;
    history.session.run(flow()).await.unwrap();
    assert_eq!(
        *SEEN.lock().unwrap(),
        [
            "fails Running",
            "fails Failed",
            "works Completed",
            "hooks Completed"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_hear_of_calls_that_are_dropped() {
    static HEARD: Mutex<Vec<String>> = Mutex::new(Vec::new());
    fn hear(run: &Run, state: &State) {
        HEARD
            .lock()
            .unwrap()
            .push(format!("{} {}", run.of, state.name));
    }
    #[task(on_cancellation = hear)]
    async fn endless() {
        std::future::pending().await
    }
    #[flow(name = "impatient", on_cancellation = hear)]
    async fn flow() {
        let limit = Duration::from_millis(10);
        let _ = tokio::time::timeout(limit, endless().into_future()).await;
        std::future::pending().await
    }
    let history = History::new().await;
    let run = history.session.run(flow());
    tokio::time::timeout(Duration::from_millis(500), run)
        .await
        .unwrap_err();
    assert_eq!(
        *HEARD.lock().unwrap(),
        ["endless Cancelled", "impatient Cancelled"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_whose_limit_is_zero_fails_with_the_name_of_the_tag() {
    #[task(tags = ["free", "closed"])]
    async fn step() {}
    #[flow]
    async fn flow() -> Result<()> {
        Ok(step().await?)
    }
    let history = History::new().await;
    let client = history.session.client();
    client.create_concurrency_limit("closed", 0).await.unwrap();
    let error = history.session.run(flow()).await.unwrap_err();
    let said = format!("{error:?}");
    assert!(
        said.contains("the limit of its tag `closed` is 0"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_seconds_are_no_limit() {
    #[task(timeout_seconds = 0)]
    async fn slow() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    #[flow(timeout_seconds = 0.0)]
    async fn flow() -> Result<()> {
        Ok(slow().await?)
    }
    let history = History::new().await;
    history.session.run(flow()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_on_a_tag_bounds_how_many_run_at_once() {
    static NOW: AtomicI32 = AtomicI32::new(0);
    static MOST: AtomicI32 = AtomicI32::new(0);
    #[task(tags = ["narrow", "free"])]
    async fn pass(n: u32) -> u32 {
        MOST.fetch_max(NOW.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(2)).await;
        NOW.fetch_sub(1, Ordering::SeqCst);
        n
    }
    #[flow]
    async fn flow() -> Result<Vec<u32>> {
        Ok(pass::map(0..4u32).await?)
    }
    let history = History::new().await;
    let client = history.session.client();
    client.create_concurrency_limit("narrow", 1).await.unwrap();
    assert_eq!(history.session.run(flow()).await.unwrap(), [0, 1, 2, 3]);
    assert_eq!(MOST.load(Ordering::SeqCst), 1);
    let limit = client
        .read_concurrency_limit_by_tag("narrow")
        .await
        .unwrap();
    assert!(limit.active_slots.is_empty(), "the slots are given back");
    insta::assert_snapshot!(history.states().await, @"
    pass-0: Pending Running Completed
    pass-1: Pending Running Completed
    pass-2: Pending Running Completed
    pass-3: Pending Running Completed
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_go_from_one_task_run_to_the_next_at_once() {
    #[task(tags = ["narrow"])]
    async fn step(n: u32) -> u32 {
        n
    }
    #[flow]
    async fn flow() -> Result<usize> {
        Ok(step::map(0..200u32).await?.len())
    }
    let history = History::new().await;
    let limit = serde_json::json!({"tag": "narrow", "concurrency_limit": 2});
    let client = history.session.client();
    client
        .post_only("/concurrency_limits/", &limit)
        .await
        .unwrap();
    let run = tokio::time::timeout(Duration::from_secs(60), history.session.run(flow()));
    assert_eq!(
        run.await.expect("no second of waiting for each").unwrap(),
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_that_wait_for_tasks_leave_threads_for_them() {
    static WAITING: Barrier = Barrier::new(513);
    #[task]
    fn outer(n: u32) -> Result<u32> {
        if n < 512 {
            // Until all of the runtime's threads are taken.
            WAITING.wait();
        }
        Ok(inner(n).run()?)
    }
    #[task]
    fn inner(n: u32) -> u32 {
        n
    }
    #[flow]
    async fn flow() -> Result<usize> {
        let all = outer::map(0..600u32).submit();
        let release = std::thread::spawn(|| WAITING.wait());
        let all = all.await?;
        release.join().expect("it only waits");
        Ok(all.len())
    }
    let history = History::new().await;
    let run = tokio::time::timeout(Duration::from_secs(120), history.session.run(flow()));
    assert_eq!(run.await.expect("all of them end").unwrap(), 600);
}

#[test]
fn a_runtime_ends_although_a_task_does_not() {
    static STUCK: Mutex<()> = Mutex::new(());
    #[task(timeout_seconds = 0.05)]
    fn stuck() {
        drop(STUCK.lock());
    }
    #[flow]
    async fn flow() -> Result<String> {
        Ok(stuck().state().await.name)
    }
    let held = STUCK.lock().unwrap();
    let (done, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let name = runtime.block_on(async {
            let history = History::new().await;
            history.session.run(flow()).await.unwrap()
        });
        drop(runtime);
        done.send(name).unwrap();
    });
    let name = ended.recv_timeout(Duration::from_secs(60));
    assert_eq!(name.expect("the runtime has ended"), "TimedOut");
    drop(held);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_may_end_with_the_call_of_a_task() {
    #[task]
    async fn half(n: i64) -> Result<i64> {
        ensure!(n % 2 == 0, "{n} is odd");
        Ok(n / 2)
    }
    async fn plain(n: i64) -> Result<i64> {
        Ok(n)
    }
    #[flow]
    async fn flow(n: i64) -> Result<i64> {
        match n {
            0 => Ok(0),
            1 => plain(n).await,
            n if n > 100 => {
                if n > 1000 {
                    half(n).with_name("large").await
                } else {
                    flow(n - 100).await
                }
            }
            n => half(n).await,
        }
    }
    let history = History::new().await;
    for (n, expected) in [(0, 0), (1, 1), (8, 4), (108, 4), (2000, 1000)] {
        assert_eq!(history.session.run(flow(n)).await.unwrap(), expected);
    }
    let failed = Error::from(history.session.run(flow(7)).await.unwrap_err());
    assert!(format!("{failed:#}").contains("7 is odd"), "{failed:#}");
}

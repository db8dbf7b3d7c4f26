//! The services of events on a real SQLite file.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::tests::Stage;
use super::{
    CancellationCleanup, CrashedRuns, EventRetention, FlowRunEvents, Foreman, PauseExpirations,
    Service,
};
use crate::db::Conn;
use crate::schemas::actions::{FlowRunCreate, SetState};
use crate::schemas::event_filters::EventFilter;
use crate::schemas::events::{Event, ReceivedEvent};
use crate::schemas::{Dialect, FlowRunId, StateType, Tags};
use crate::server::models;
use crate::server::models::events::lifecycle::Happened;
use crate::server::models::transitions::Proposal;
use crate::server::orchestration::policy::Policy;

async fn stored(stage: &Stage) -> Vec<ReceivedEvent> {
    let now = stage.app.now() + TimeDelta::days(1);
    let filter: EventFilter = serde_json::from_value(json!({"order": "ASC"})).unwrap();
    let read =
        async move |conn: &mut Conn| models::events::list(conn, &filter, None, 100, now).await;
    stage.app.db.read(read).await.unwrap()
}

async fn flow_run(stage: &Stage) -> FlowRunId {
    let now = stage.app.now();
    let write = async move |conn: &mut Conn| {
        let tags = Tags(vec!["nightly".to_owned()]);
        let flow = models::flows::create(conn, "etl", &tags, None, now)
            .await?
            .0;
        let run = json!({"flow_id": flow.id, "name": "brave", "tags": ["a"], "state": {"type": "PENDING"}});
        let run: FlowRunCreate = serde_json::from_value(run).unwrap();
        Ok(
            models::flow_runs::create(conn, run, Default::default(), now)
                .await?
                .0
                .id,
        )
    };
    stage.app.db.write(write).await.unwrap()
}

async fn set_state(stage: &Stage, id: FlowRunId, state: &'static str) {
    let now = stage.app.now();
    let SetState { state, .. } = serde_json::from_value(json!({"state": {"type": state}})).unwrap();
    let policy = Policy::Core(Dialect::Three);
    let write = async move |conn: &mut Conn| {
        models::transitions::transition_flow_run(conn, id, Proposal::of(state, policy), now).await
    };
    stage.app.db.write(write).await.unwrap();
}

#[tokio::test]
async fn each_state_of_a_flow_run_is_told_once_with_all_that_is_involved() {
    let stage = Stage::new().await;
    let id = flow_run(&stage).await;
    let mut teller = FlowRunEvents::default();
    teller.pass(&stage.app).await.unwrap();
    stage.clock.advance(TimeDelta::seconds(1));
    set_state(&stage, id, "RUNNING").await;
    teller.pass(&stage.app).await.unwrap();
    // Another server, or this one started again.
    FlowRunEvents::default().pass(&stage.app).await.unwrap();
    let events = stored(&stage).await;
    let names: Vec<_> = events
        .iter()
        .map(|event| event.event.event.as_str())
        .collect();
    assert_eq!(
        names,
        ["prefect.flow-run.Pending", "prefect.flow-run.Running"]
    );
    let (pending, running) = (&events[0].event, &events[1].event);
    assert_eq!(running.follows, Some(pending.id));
    assert_eq!(running.resource.object_id("prefect.flow-run."), Some(id.0));
    assert_eq!(running.resource.get("prefect.state-type"), Some("RUNNING"));
    let related: Vec<_> = running
        .related
        .iter()
        .map(|r| format!("{} {}", r.role(), r.id()))
        .collect();
    assert_eq!(
        related[1..],
        ["tag prefect.tag.a", "tag prefect.tag.nightly"]
    );
    assert!(
        related[0].starts_with("flow prefect.flow."),
        "{}",
        related[0]
    );
    let payload: serde_json::Value = running.payload.read().unwrap();
    assert_eq!(
        payload["intended"],
        json!({"from": "PENDING", "to": "RUNNING"})
    );
}

#[tokio::test]
async fn events_are_deleted_when_they_are_older_than_they_are_kept() {
    let stage = Stage::new().await;
    let now = stage.app.now();
    let event = |n: u128, at: DateTime<Utc>| -> Event {
        serde_json::from_value(json!({
            "occurred": at, "event": "a.b", "resource": {"prefect.resource.id": "pot.1"},
            "related": [{"prefect.resource.id": "flow.1", "prefect.resource.role": "flow"}],
            "id": uuid::Uuid::from_u128(n),
        }))
        .unwrap()
    };
    let mut events: Vec<_> = (0..700)
        .map(|n| event(n, now - TimeDelta::days(8)))
        .collect();
    events.push(event(1000, now - TimeDelta::days(6)));
    crate::server::events::receive(&stage.app, events)
        .await
        .unwrap();
    EventRetention.pass(&stage.app).await.unwrap();
    let left: Vec<_> = stored(&stage)
        .await
        .iter()
        .map(|event| event.event.id.0.as_u128())
        .collect();
    assert_eq!(left, [1000]);
    let rows = async |conn: &mut Conn| {
        crate::db::query("SELECT COUNT(*) FROM event_resources")
            .fetch_one::<i64>(conn)
            .await
    };
    assert_eq!(stage.app.db.read(rows).await.unwrap(), 2);
}

fn heartbeat(id: FlowRunId, n: u128, at: DateTime<Utc>) -> Event {
    serde_json::from_value(json!({
        "occurred": at, "event": "prefect.flow-run.heartbeat", "id": uuid::Uuid::from_u128(n),
        "resource": {"prefect.resource.id": format!("prefect.flow-run.{id}")},
    }))
    .unwrap()
}

async fn state_of(stage: &Stage, id: FlowRunId) -> StateType {
    let read = async move |conn: &mut Conn| models::flow_runs::read(conn, id).await;
    stage
        .app
        .db
        .read(read)
        .await
        .unwrap()
        .unwrap()
        .state
        .unwrap()
        .state_type
}

#[tokio::test]
async fn a_run_whose_heartbeats_stop_crashes_and_no_other_does() {
    let stage = Stage::new().await;
    let (dies, lives, silent) = (
        flow_run(&stage).await,
        flow_run(&stage).await,
        flow_run(&stage).await,
    );
    for id in [dies, lives, silent] {
        set_state(&stage, id, "RUNNING").await;
    }
    let mut service = CrashedRuns::default();
    let beat = async |id: FlowRunId, n: u128| {
        let event = heartbeat(id, n, stage.app.now());
        crate::server::events::receive(&stage.app, vec![event])
            .await
            .unwrap();
    };
    beat(dies, 1).await;
    beat(lives, 2).await;
    stage.clock.advance(TimeDelta::seconds(30));
    beat(dies, 3).await;
    beat(lives, 4).await;
    // Three missed heartbeats of half a minute, and half a minute more.
    let due = stage.app.now() + TimeDelta::seconds(120);
    assert_eq!(service.pass(&stage.app).await.unwrap(), Some(due));
    stage.clock.advance(TimeDelta::seconds(119));
    beat(lives, 5).await;
    service.pass(&stage.app).await.unwrap();
    assert_eq!(state_of(&stage, dies).await, StateType::Running);
    stage.clock.advance(TimeDelta::seconds(1));
    service.pass(&stage.app).await.unwrap();
    assert_eq!(state_of(&stage, dies).await, StateType::Crashed);
    assert_eq!(state_of(&stage, lives).await, StateType::Running);
    assert_eq!(state_of(&stage, silent).await, StateType::Running);
}

#[tokio::test]
async fn a_run_whose_slot_is_lost_crashes_at_the_first_heartbeat_that_it_misses() {
    let stage = Stage::new().await;
    let id = flow_run(&stage).await;
    let now = stage.app.now();
    let lease = json!({"deployment_concurrency_lease_id": uuid::Uuid::from_u128(7)});
    let running = json!({"state": {"type": "RUNNING", "state_details": lease}});
    let SetState { state, .. } = serde_json::from_value(running).unwrap();
    let policy = Policy::Core(Dialect::Three);
    let write = async move |conn: &mut Conn| {
        models::transitions::transition_flow_run(conn, id, Proposal::of(state, policy), now).await
    };
    stage.app.db.write(write).await.unwrap();
    let mut event = heartbeat(id, 1, stage.app.now());
    event.payload = serde_json::from_value(json!({"interval_seconds": 60})).unwrap();
    crate::server::events::receive(&stage.app, vec![event])
        .await
        .unwrap();
    let due = stage.app.now() + TimeDelta::seconds(60 + 30);
    let mut service = CrashedRuns::default();
    assert_eq!(service.pass(&stage.app).await.unwrap(), Some(due));
    stage.clock.set(due);
    service.pass(&stage.app).await.unwrap();
    assert_eq!(state_of(&stage, id).await, StateType::Crashed);
}

#[tokio::test]
async fn a_sender_says_how_far_apart_its_heartbeats_come() {
    let stage = Stage::new().await;
    let id = flow_run(&stage).await;
    set_state(&stage, id, "RUNNING").await;
    let mut event = heartbeat(id, 1, stage.app.now());
    event.payload =
        serde_json::from_value(json!({"sender": "engine", "interval_seconds": 60})).unwrap();
    crate::server::events::receive(&stage.app, vec![event])
        .await
        .unwrap();
    let due = stage.app.now() + TimeDelta::seconds(3 * 60 + 30);
    let mut service = CrashedRuns::default();
    assert_eq!(service.pass(&stage.app).await.unwrap(), Some(due));
    stage.clock.set(due);
    service.pass(&stage.app).await.unwrap();
    assert_eq!(state_of(&stage, id).await, StateType::Crashed);
}

#[tokio::test]
async fn a_run_that_is_lost_between_two_attempts_crashes_and_one_to_be_begun_again_waits() {
    let stage = Stage::new().await;
    let (lost, begun_again) = (flow_run(&stage).await, flow_run(&stage).await);
    for id in [lost, begun_again] {
        set_state(&stage, id, "RUNNING").await;
        let event = heartbeat(id, id.0.as_u128(), stage.app.now());
        crate::server::events::receive(&stage.app, vec![event])
            .await
            .unwrap();
        stage.clock.advance(TimeDelta::seconds(1));
    }
    set_state(&stage, begun_again, "FAILED").await;
    stage.clock.advance(TimeDelta::seconds(1));
    for id in [lost, begun_again] {
        let state = json!({"type": "SCHEDULED", "name": "AwaitingRetry"});
        let (create, now) = (serde_json::from_value(state).unwrap(), stage.app.now());
        let write = async move |conn: &mut Conn| {
            models::transitions::transition_flow_run(
                conn,
                id,
                Proposal::of(create, Policy::Minimal),
                now,
            )
            .await
        };
        stage.app.db.write(write).await.unwrap();
    }
    let mut service = CrashedRuns::default();
    service.pass(&stage.app).await.unwrap();
    stage.clock.advance(TimeDelta::hours(1));
    service.pass(&stage.app).await.unwrap();
    assert_eq!(state_of(&stage, lost).await, StateType::Crashed);
    assert_eq!(state_of(&stage, begun_again).await, StateType::Scheduled);
}

#[tokio::test]
async fn a_server_that_was_away_first_listens() {
    let stage = Stage::new().await;
    let id = flow_run(&stage).await;
    set_state(&stage, id, "RUNNING").await;
    let event = heartbeat(id, 1, stage.app.now());
    crate::server::events::receive(&stage.app, vec![event])
        .await
        .unwrap();
    stage.clock.advance(TimeDelta::hours(1));
    let due = stage.app.now() + TimeDelta::seconds(3 * 180 + 30);
    assert_eq!(
        CrashedRuns::default().pass(&stage.app).await.unwrap(),
        Some(due)
    );
    assert_eq!(state_of(&stage, id).await, StateType::Running);
}

#[tokio::test]
async fn a_cancelling_that_nobody_confirms_is_confirmed() {
    let stage = Stage::new().await;
    let id = flow_run(&stage).await;
    set_state(&stage, id, "RUNNING").await;
    set_state(&stage, id, "CANCELLING").await;
    let due = stage.app.now() + TimeDelta::seconds(300);
    assert_eq!(
        CancellationCleanup.pass(&stage.app).await.unwrap(),
        Some(due)
    );
    stage.clock.set(due);
    CancellationCleanup.pass(&stage.app).await.unwrap();
    assert_eq!(state_of(&stage, id).await, StateType::Cancelled);
}

/// Makes a run of a deployment that a task run of another flow run stands for.
async fn subflow_run(stage: &Stage, parent: FlowRunId, name: &'static str) -> FlowRunId {
    let schedule = json!({"interval": 3600.0});
    let deployment = stage.deployment(name, schedule).await;
    let now = stage.app.now();
    let write = async move |conn: &mut Conn| {
        let stand_in = json!({"flow_run_id": parent, "task_key": name, "dynamic_key": "0"});
        let stand_in = serde_json::from_value(stand_in).unwrap();
        let (stand_in, _) = models::task_runs::create(conn, stand_in, now).await?;
        let flow = models::flows::create(conn, "inner", &Tags::default(), None, now)
            .await?
            .0;
        let run = json!({
            "flow_id": flow.id, "parent_task_run_id": stand_in.id, "deployment_id": deployment,
            "state": {"type": "SCHEDULED"},
        });
        let run = serde_json::from_value(run).unwrap();
        let (run, _) = models::flow_runs::create(conn, run, Default::default(), now).await?;
        Ok(run.id)
    };
    stage.app.db.write(write).await.unwrap()
}

#[tokio::test]
async fn a_cancellation_goes_on_to_subflow_runs_with_a_process_of_their_own() {
    let stage = Stage::new().await;
    let parent = flow_run(&stage).await;
    set_state(&stage, parent, "RUNNING").await;
    let waiting = subflow_run(&stage, parent, "waiting").await;
    let busy = subflow_run(&stage, parent, "busy").await;
    set_state(&stage, busy, "PENDING").await;
    set_state(&stage, busy, "RUNNING").await;
    set_state(&stage, parent, "CANCELLING").await;
    CancellationCleanup.pass(&stage.app).await.unwrap();
    assert_eq!(state_of(&stage, busy).await, StateType::Running);
    set_state(&stage, parent, "CANCELLED").await;
    CancellationCleanup.pass(&stage.app).await.unwrap();
    assert_eq!(state_of(&stage, waiting).await, StateType::Cancelled);
    assert_eq!(state_of(&stage, busy).await, StateType::Cancelling);
    // Whoever runs it may take its time.
    CancellationCleanup.pass(&stage.app).await.unwrap();
    assert_eq!(state_of(&stage, busy).await, StateType::Cancelling);
}

#[tokio::test]
async fn a_pause_that_is_over_fails_the_run() {
    let stage = Stage::new().await;
    let id = flow_run(&stage).await;
    set_state(&stage, id, "RUNNING").await;
    let now = stage.app.now();
    let until = now + TimeDelta::seconds(60);
    let state =
        json!({"type": "PAUSED", "state_details": {"pause_timeout": until, "pause_key": "x"}});
    let create = serde_json::from_value(state).unwrap();
    let policy = Policy::Core(Dialect::Three);
    let write = async move |conn: &mut Conn| {
        models::transitions::transition_flow_run(conn, id, Proposal::of(create, policy), now).await
    };
    stage.app.db.write(write).await.unwrap();
    assert_eq!(
        PauseExpirations.pass(&stage.app).await.unwrap(),
        Some(until)
    );
    stage.clock.set(until);
    PauseExpirations.pass(&stage.app).await.unwrap();
    assert_eq!(state_of(&stage, id).await, StateType::Failed);
}

/// Returns what was told of a kind of thing, in order.
async fn told_of(stage: &Stage, kind: &str) -> Vec<String> {
    let events = stored(stage).await.into_iter();
    let names = events.map(|event| event.event.event);
    names
        .filter_map(|name| name.strip_prefix(kind).map(str::to_owned))
        .collect()
}

#[tokio::test]
async fn what_begins_and_ceases_to_be_served_is_told_once() {
    let stage = Stage::new().await;
    let mut foreman = Foreman::default();
    foreman.pass(&stage.app).await.unwrap();
    let now = stage.app.now();
    let write = async move |conn: &mut Conn| {
        let pool = json!({"name": "shed", "type": "process"});
        let pool = serde_json::from_value(pool).unwrap();
        let mut happened = Happened::at(now);
        let pool = models::work_pools::create(conn, &mut happened, pool, now).await?;
        models::work_pools::heartbeat(conn, pool.id, "w1", 10, now).await?;
        models::work_queues::set_polled(conn, &[pool.default_queue_id.unwrap()], now).await?;
        Ok(())
    };
    stage.app.db.write(write).await.unwrap();
    let next = foreman.pass(&stage.app).await.unwrap();
    assert_eq!(next, Some(now + TimeDelta::milliseconds(30_001)));
    foreman.pass(&stage.app).await.unwrap();
    assert_eq!(told_of(&stage, "prefect.work-pool.").await, ["ready"]);
    assert_eq!(told_of(&stage, "prefect.work-queue.").await, ["ready"]);
    stage.clock.advance(TimeDelta::seconds(61));
    foreman.pass(&stage.app).await.unwrap();
    // Another server, or this one started again.
    Foreman::default().pass(&stage.app).await.unwrap();
    let ended = ["ready", "not-ready"];
    assert_eq!(told_of(&stage, "prefect.work-pool.").await, ended);
    assert_eq!(told_of(&stage, "prefect.work-queue.").await, ended);
    for is_paused in [true, false, true] {
        stage.clock.advance(TimeDelta::seconds(1));
        let now = stage.app.now();
        let write = async move |conn: &mut Conn| {
            let update = serde_json::from_value(json!({"is_paused": is_paused})).unwrap();
            let mut happened = Happened::at(now);
            models::work_pools::update(conn, &mut happened, "shed", update, now).await
        };
        stage.app.db.write(write).await.unwrap();
        foreman.pass(&stage.app).await.unwrap();
    }
    let told = told_of(&stage, "prefect.work-pool.").await;
    assert_eq!(told[2..], ["paused", "not-ready", "paused"]);
}

//! The services on a real SQLite file, with a clock that stands still.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::{LateRuns, Scheduler, Service, Services};
use crate::clock::MockClock;
use crate::db::{Db, query};
use crate::schemas::schedules::Schedule;
use crate::schemas::{DeploymentId, FlowId};
use crate::server::AppState;
use crate::server::changes::{Change, Kind};
use crate::server::models::{deployments, scheduled_runs};
use crate::settings::{DatabaseUrl, Settings, Synchronous};

pub(super) struct Stage {
    pub(super) app: AppState,
    pub(super) clock: Arc<MockClock>,
    _home: tempfile::TempDir,
}

impl Stage {
    pub(super) async fn new() -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let url = DatabaseUrl::Sqlite(home.path().join("test.db"));
        Self::on(url, home, "2026-11-23T10:00:30Z").await
    }

    async fn on(url: DatabaseUrl, home: tempfile::TempDir, now: &str) -> Self {
        let db = Db::open(&url, Synchronous::Normal)
            .await
            .expect("a new database");
        let clock = Arc::new(MockClock::at(at(now)));
        let app = AppState::new(db, clock.clone(), Settings::default_for(home.path()));
        Self {
            app,
            clock,
            _home: home,
        }
    }

    pub(super) async fn deployment(&self, name: &str, schedule: serde_json::Value) -> DeploymentId {
        let (flow, deployment) = (FlowId::new(), DeploymentId::new());
        let (name, now) = (name.to_owned(), self.app.now());
        let write = async move |conn: &mut crate::db::Conn| {
            query(
                "INSERT INTO flow (id, created, updated, name, tags) VALUES ($1, $2, $2, $3, '[]')",
            )
            .bind(flow)
            .bind(now)
            .bind(&name)
            .execute(conn)
            .await?;
            query(
                "INSERT INTO deployment (id, created, updated, name, flow_id, \
                 is_schedule_active, tags, parameters) \
                 VALUES ($1, $2, $2, $3, $4, TRUE, '[\"etl\"]', '{\"x\": 1}')",
            )
            .bind(deployment)
            .bind(now)
            .bind(&name)
            .bind(flow)
            .execute(conn)
            .await?;
            query(
                "INSERT INTO deployment_schedule (id, created, updated, deployment_id, schedule) \
                 VALUES ($1, $2, $2, $1, $3)",
            )
            .bind(deployment)
            .bind(now)
            .bind(schedule.to_string())
            .execute(conn)
            .await
        };
        self.app.db.write(write).await.expect("a deployment");
        deployment
    }

    async fn schedule(&self) {
        Scheduler::default().pass(&self.app).await.expect("a pass");
    }

    async fn execute(&self, sql: &'static str) {
        let write = async move |conn: &mut crate::db::Conn| query(sql).execute(conn).await;
        self.app.db.write(write).await.expect("a statement");
    }

    /// The runs, in order of their instants.
    async fn picture(&self) -> String {
        let read = async |conn: &mut crate::db::Conn| {
            query(
                "SELECT r.next_scheduled_start_time, s.type, s.name, \
                 COALESCE(s.message, '-') || ' ' || r.tags || ' ' || r.parameters \
                 FROM flow_run r JOIN flow_run_state s ON s.id = r.state_id \
                 AND s.flow_run_id = r.id AND s.type = r.state_type AND s.name = r.state_name \
                 ORDER BY 1",
            )
            .fetch_all::<(DateTime<Utc>, String, String, String)>(conn)
            .await
        };
        let rows = self.app.db.read(read).await.expect("runs");
        let lines = rows.into_iter().map(|(due, state, name, rest)| {
            format!("{} {state} {name} {rest}", due.format("%d %H:%M"))
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    async fn count(&self) -> usize {
        self.picture().await.lines().count()
    }
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("an instant")
}

#[tokio::test]
async fn a_schedule_has_three_runs_and_an_hour_ahead_and_a_second_pass_adds_none() {
    let stage = Stage::new().await;
    stage
        .deployment("daily", json!({"cron": "0 9 * * *"}))
        .await;
    stage.schedule().await;
    let first = stage.picture().await;
    insta::assert_snapshot!(first, @r#"
    24 09:00 SCHEDULED Scheduled Flow run scheduled ["auto-scheduled","etl"] {"x": 1}
    25 09:00 SCHEDULED Scheduled Flow run scheduled ["auto-scheduled","etl"] {"x": 1}
    26 09:00 SCHEDULED Scheduled Flow run scheduled ["auto-scheduled","etl"] {"x": 1}
    "#);
    stage.schedule().await;
    assert_eq!(stage.picture().await, first);
}

#[tokio::test]
async fn the_horizon_is_bounded_by_runs_and_by_time() {
    let settings = Settings::default_for("/nowhere");
    let now = at("2026-11-23T10:00:00Z");
    let count = |document| {
        let schedule: Schedule = serde_json::from_value(document).expect("a schedule");
        super::scheduler::horizon(&schedule, now, &settings).len()
    };
    assert_eq!(count(json!({"interval": 60})), 61);
    assert_eq!(count(json!({"interval": 1})), 100);
    assert_eq!(count(json!({"interval": 86400 * 40})), 3);
    assert_eq!(count(json!({"interval": 86400 * 90})), 2);
    assert_eq!(count(json!({"cron": "0 0 1 1 *"})), 1);
    assert_eq!(count(json!({"rrule": "FREQ=DAILY;COUNT=1"})), 0);
}

#[tokio::test]
async fn time_brings_further_runs_even_when_the_clock_jumps() {
    let stage = Stage::new().await;
    stage.deployment("hourly", json!({"interval": 3600})).await;
    stage.schedule().await;
    assert_eq!(stage.count().await, 3);
    stage.clock.advance(TimeDelta::hours(2));
    stage.schedule().await;
    assert_eq!(stage.count().await, 5);
    stage.clock.advance(TimeDelta::days(-1));
    stage.schedule().await;
    assert_eq!(stage.count().await, 8);
}

#[tokio::test]
async fn a_paused_deployment_gets_no_runs_even_from_a_plan_made_before() {
    let stage = Stage::new().await;
    let id = stage
        .deployment("daily", json!({"cron": "0 9 * * *"}))
        .await;
    let read =
        async move |conn: &mut crate::db::Conn| scheduled_runs::list_active_of(conn, &[id]).await;
    let planned = stage
        .app
        .db
        .read(read)
        .await
        .expect("a deployment")
        .remove(0);
    stage
        .execute("UPDATE deployment SET is_schedule_active = FALSE")
        .await;
    let date = at("2026-12-01T00:00:00Z").with_timezone(&chrono_tz::Tz::UTC);
    let now = stage.app.now();
    let write = async move |conn: &mut crate::db::Conn| {
        scheduled_runs::create(conn, &planned, &[date], now).await
    };
    assert!(stage.app.db.write(write).await.expect("a write").is_empty());
    stage.schedule().await;
    assert_eq!(stage.count().await, 0);
}

#[tokio::test]
async fn runs_that_nobody_started_go_with_their_schedule_and_others_stay() {
    let stage = Stage::new().await;
    let id = stage.deployment("hourly", json!({"interval": 3600})).await;
    stage.schedule().await;
    stage
        .execute(
            "UPDATE flow_run SET run_count = 1 WHERE next_scheduled_start_time = \
             (SELECT MIN(next_scheduled_start_time) FROM flow_run)",
        )
        .await;
    let now = stage.app.now();
    let write = async move |conn: &mut crate::db::Conn| {
        deployments::set_schedule_active(conn, id, false, now).await
    };
    assert!(stage.app.db.write(write).await.expect("a write"));
    assert_eq!(stage.count().await, 1);
}

#[tokio::test]
async fn only_a_changed_deployment_is_looked_at_when_a_change_wakes_the_scheduler() {
    let stage = Stage::new().await;
    let one = stage.deployment("one", json!({"interval": 3600})).await;
    stage.deployment("two", json!({"interval": 3600})).await;
    let mut scheduler = Scheduler::default();
    assert!(Scheduler::concerns(&Change::of(Kind::Deployment, one.0)));
    scheduler.note(one.0);
    assert!(!Scheduler::concerns(&Change::of(Kind::Flow, one.0)));
    scheduler.pass(&stage.app).await.expect("a pass");
    assert_eq!(stage.count().await, 3);
    scheduler.pass(&stage.app).await.expect("a pass");
    assert_eq!(stage.count().await, 6);
}

#[tokio::test]
async fn a_schedule_that_is_not_understood_does_not_stop_the_others() {
    let stage = Stage::new().await;
    stage.deployment("bad", json!({"cron": "never"})).await;
    stage.deployment("good", json!({"interval": 3600})).await;
    stage.schedule().await;
    assert_eq!(stage.count().await, 3);
}

#[tokio::test]
async fn a_run_is_late_once_its_grace_has_passed_and_only_once() {
    let stage = Stage::new().await;
    stage.deployment("hourly", json!({"interval": 3600})).await;
    stage.schedule().await;
    let next = LateRuns.pass(&stage.app).await.expect("a pass");
    assert_eq!(next, Some(at("2026-11-23T11:00:15Z")));
    stage.clock.set(at("2026-11-23T11:00:14.999999Z"));
    LateRuns.pass(&stage.app).await.expect("a pass");
    assert!(!stage.picture().await.contains("Late"));
    stage.clock.set(at("2026-11-23T11:00:15Z"));
    let mut changes = stage.app.changes.listen();
    let next = LateRuns.pass(&stage.app).await.expect("a pass");
    assert_eq!(next, Some(at("2026-11-23T12:00:15Z")));
    let change = changes.try_recv().expect("a change is told");
    assert_eq!(change.state_name.as_deref(), Some("Late"));
    let picture = stage.picture().await;
    insta::assert_snapshot!(picture, @r#"
    23 11:00 SCHEDULED Late - ["auto-scheduled","etl"] {"x": 1}
    23 12:00 SCHEDULED Scheduled Flow run scheduled ["auto-scheduled","etl"] {"x": 1}
    23 13:00 SCHEDULED Scheduled Flow run scheduled ["auto-scheduled","etl"] {"x": 1}
    "#);
    LateRuns.pass(&stage.app).await.expect("a pass");
    assert_eq!(stage.picture().await, picture);
    assert!(changes.try_recv().is_err());
}

#[tokio::test]
async fn a_run_that_moved_on_meanwhile_is_not_marked() {
    let stage = Stage::new().await;
    stage.deployment("hourly", json!({"interval": 3600})).await;
    stage.schedule().await;
    let now = at("2026-11-23T12:30:00Z");
    let read =
        async move |conn: &mut crate::db::Conn| scheduled_runs::list_overdue(conn, now, 10).await;
    let run = stage.app.db.read(read).await.expect("runs").remove(0);
    let write = async move |conn: &mut crate::db::Conn| {
        let first = scheduled_runs::mark_late(conn, &run, now).await?;
        let second = scheduled_runs::mark_late(conn, &run, now).await?;
        Ok((first.map(|state| state.name), second))
    };
    assert_eq!(
        stage.app.db.write(write).await.expect("a write"),
        (Some("Late".to_owned()), None)
    );
}

#[tokio::test]
async fn services_work_until_they_are_stopped() {
    let stage = Stage::new().await;
    let mut changes = stage.app.changes.listen();
    let services = Services::start(&stage.app);
    let id = stage.deployment("hourly", json!({"interval": 3600})).await;
    stage.app.changes.tell(Change::of(Kind::Deployment, id.0));
    let mut runs = 0;
    while runs < 3 {
        let change = changes.recv().await.expect("the hub lives");
        runs += usize::from(change.kind == Kind::FlowRun);
    }
    services.stop().await;
    assert_eq!(stage.count().await, 3);
}

/// Several servers on one PostgreSQL pass at the same time.
///
/// The database is shared with other tests, so this one lives in a year of its own.
#[tokio::test]
async fn equal_servers_neither_double_a_run_nor_mark_it_twice() {
    let Ok(url) = std::env::var("PREFECT_RS_TEST_POSTGRES_URL") else {
        eprintln!("skipped: no PostgreSQL in PREFECT_RS_TEST_POSTGRES_URL");
        return;
    };
    let home = tempfile::tempdir().expect("a directory");
    let url: DatabaseUrl = crate::settings::Value::parse(&url).expect("a URL");
    let stage = Stage::on(url, home, "2001-03-04T10:00:30Z").await;
    let name = format!("hourly {}", uuid::Uuid::now_v7());
    let id = stage.deployment(&name, json!({"interval": 3600})).await;
    let server = || {
        let app = stage.app.clone();
        async move {
            let mut scheduler = Scheduler::default();
            scheduler.note(id.0);
            scheduler.pass(&app).await.expect("a pass");
        }
    };
    tokio::join!(server(), server(), server(), server());
    let count = |sql: &'static str| {
        let db = stage.app.db.clone();
        async move {
            let read = async move |conn: &mut crate::db::Conn| {
                query(sql).bind(id).fetch_one::<i64>(conn).await
            };
            db.read(read).await.expect("a count")
        }
    };
    let runs = "SELECT COUNT(*) FROM flow_run WHERE deployment_id = $1";
    let states = "SELECT COUNT(*) FROM flow_run_state s JOIN flow_run r ON r.id = s.flow_run_id \
                  WHERE r.deployment_id = $1";
    assert_eq!((count(runs).await, count(states).await), (3, 3));
    stage.clock.set(at("2001-03-04T11:00:16Z"));
    let marker = || {
        let app = stage.app.clone();
        async move { LateRuns.pass(&app).await.expect("a pass") }
    };
    tokio::join!(marker(), marker(), marker(), marker());
    assert_eq!((count(runs).await, count(states).await), (3, 4));
}

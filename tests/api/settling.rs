//! What is left open when a flow run ends without its engine, and what may still be told of it.

use serde_json::{Value, json};

use crate::app::{BETA, TestApp};

/// A flow run with a running, a waiting and a not ready task run, of which the first has a slot.
struct Story {
    app: TestApp,
    flow_run: String,
    running: String,
    waiting: String,
    not_ready: String,
}

impl Story {
    async fn begin(app: TestApp) -> Self {
        let flow = json!({"name": "etl"});
        let flow = id(&app.post("/api/flows/", &flow).await);
        let limit = json!({"tag": "db", "concurrency_limit": 1});
        app.post("/api/concurrency_limits/", &limit).await;
        let run = json!({"flow_id": flow, "state": {"type": "RUNNING"}});
        let flow_run = id(&app.post("/api/flow_runs/", &run).await);
        let task = |key: &str| json!({"flow_run_id": flow_run, "task_key": key, "dynamic_key": "0", "tags": ["db"]});
        let mut ids = Vec::new();
        for key in ["running", "waiting", "not ready"] {
            ids.push(id(&app.post("/api/task_runs/", &task(key)).await));
        }
        let [running, waiting, not_ready] = ids.try_into().expect("three task runs");
        let story = Self {
            app,
            flow_run,
            running,
            waiting,
            not_ready,
        };
        story
            .propose("task_runs", &story.running, json!({"type": "RUNNING"}))
            .await;
        let not_ready = json!({"type": "PENDING", "name": "NotReady"});
        story
            .propose("task_runs", &story.not_ready, not_ready)
            .await;
        assert_eq!(story.slots().await, json!([story.running]));
        story
    }

    async fn propose(&self, noun: &str, id: &str, state: Value) -> Value {
        self.set(noun, id, json!({"state": state})).await
    }

    async fn set(&self, noun: &str, id: &str, body: Value) -> Value {
        self.app
            .post(&format!("/api/{noun}/{id}/set_state"), &body)
            .await
    }

    async fn task(&self, id: &str) -> Value {
        self.app.get(&format!("/api/task_runs/{id}")).await
    }

    async fn slots(&self) -> Value {
        self.app.get("/api/concurrency_limits/tag/db").await["active_slots"].clone()
    }

    /// The names of the task runs' states, in the order of the fields.
    async fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        for id in [&self.running, &self.waiting, &self.not_ready] {
            names.push(
                self.task(id).await["state"]["name"]
                    .as_str()
                    .expect("a name")
                    .to_owned(),
            );
        }
        names
    }
}

impl TestApp {
    async fn post(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = self.send("POST", path, &BETA, Some(body)).await;
        assert!(status < 300, "{path}: {status} {answer:?}");
        answer.unwrap_or_default()
    }

    async fn get(&self, path: &str) -> Value {
        let (status, answer) = self.send("GET", path, &BETA, None).await;
        assert_eq!(status, 200, "{path}: {answer:?}");
        answer.unwrap_or_default()
    }
}

fn id(object: &Value) -> String {
    object["id"].as_str().expect("an id").to_owned()
}

/// Tells a story on both databases.
macro_rules! on_both {
    ($($(#[doc = $doc:literal])+ $name:ident;)*) => {$(
        mod $name {
            #[tokio::test]
            async fn on_sqlite() {
                super::$name(crate::app::TestApp::on_sqlite().await).await;
            }
            #[tokio::test]
            async fn on_postgres() {
                if let Some(app) = crate::app::TestApp::on_postgres().await {
                    super::$name(app).await;
                }
            }
        }
    )*};
}

on_both! {
    /// A crash.
    a_crash_ends_what_is_open_and_frees_its_slots;
    /// An end that the engine reports.
    an_engine_that_reports_its_end_also_reports_the_rest;
    /// A late report.
    a_report_that_comes_late_is_taken;
    /// Subflows.
    a_subflow_ends_with_its_parent_unless_it_has_a_process_of_its_own;
}

async fn a_crash_ends_what_is_open_and_frees_its_slots(app: TestApp) {
    let story = Story::begin(app).await;
    // As the genuine client reports that its process was interrupted.
    let crashed = json!({"type": "FAILED", "name": "Crashed", "message": "interrupted"});
    story
        .set(
            "flow_runs",
            &story.flow_run,
            json!({"state": crashed, "force": true}),
        )
        .await;
    assert_eq!(story.names().await, ["Crashed", "Cancelled", "NotReady"]);
    let running = story.task(&story.running).await;
    assert_eq!(
        running["state_type"], "FAILED",
        "2.0b3 knows no type for a crash"
    );
    assert_eq!(
        running["state"]["message"],
        "Its flow run ended as Crashed before it did."
    );
    assert_ne!(running["end_time"], Value::Null);
    assert_eq!(story.slots().await, json!([]));
    story.app.close().await;
}

async fn an_engine_that_reports_its_end_also_reports_the_rest(app: TestApp) {
    let story = Story::begin(app).await;
    // A 2.0b3 flow that raised fails at once, while its task runs go on.
    story
        .propose("flow_runs", &story.flow_run, json!({"type": "FAILED"}))
        .await;
    assert_eq!(story.names().await, ["Running", "Pending", "NotReady"]);
    let done = story
        .propose("task_runs", &story.running, json!({"type": "COMPLETED"}))
        .await;
    assert_eq!(done["status"], "ACCEPT");
    assert_eq!(story.slots().await, json!([]));
    story.app.close().await;
}

async fn a_report_that_comes_late_is_taken(app: TestApp) {
    let story = Story::begin(app).await;
    story
        .propose("flow_runs", &story.flow_run, json!({"type": "CANCELLED"}))
        .await;
    assert_eq!(story.names().await, ["Cancelled", "Cancelled", "NotReady"]);
    // The process was not told, and goes on.
    let done = story
        .propose("task_runs", &story.running, json!({"type": "COMPLETED"}))
        .await;
    assert_eq!(done["status"], "ACCEPT");
    let begun = story
        .propose("task_runs", &story.waiting, json!({"type": "RUNNING"}))
        .await;
    assert_eq!(begun["status"], "ACCEPT");
    assert_eq!(story.slots().await, json!([story.waiting]));
    // What the client itself has ended stays so.
    let again = story
        .propose("task_runs", &story.running, json!({"type": "FAILED"}))
        .await;
    assert_eq!(again["status"], "ABORT");
    let again = story
        .propose("flow_runs", &story.flow_run, json!({"type": "COMPLETED"}))
        .await;
    assert_eq!(again["status"], "ABORT");
    story.app.close().await;
}

async fn a_subflow_ends_with_its_parent_unless_it_has_a_process_of_its_own(app: TestApp) {
    let story = Story::begin(app).await;
    let flow = id(&story
        .app
        .post("/api/flows/", &json!({"name": "child"}))
        .await);
    let deployment = json!({
        "name": "d", "flow_id": flow, "flow_data": {"encoding": "json", "blob": "null"},
    });
    let deployment = id(&story.app.post("/api/deployments/", &deployment).await);
    let mut subflows = Vec::new();
    for (key, deployment) in [("inside", Value::Null), ("outside", json!(deployment))] {
        let stand_in = json!({"flow_run_id": story.flow_run, "task_key": key, "dynamic_key": "0"});
        let stand_in = id(&story.app.post("/api/task_runs/", &stand_in).await);
        let run = json!({
            "flow_id": flow, "parent_task_run_id": stand_in, "deployment_id": deployment,
            "state": {"type": "RUNNING"},
        });
        let run = id(&story.app.post("/api/flow_runs/", &run).await);
        let task = json!({"flow_run_id": run, "task_key": "t", "dynamic_key": "0"});
        let task = id(&story.app.post("/api/task_runs/", &task).await);
        story
            .propose("task_runs", &task, json!({"type": "RUNNING"}))
            .await;
        subflows.push((run, stand_in, task));
    }
    story
        .propose("flow_runs", &story.flow_run, json!({"type": "CANCELLED"}))
        .await;
    for ((run, stand_in, task), name) in subflows.iter().zip(["Cancelled", "Running"]) {
        let run = story.app.get(&format!("/api/flow_runs/{run}")).await;
        assert_eq!(run["state"]["name"], name);
        assert_eq!(story.task(stand_in).await["state"]["name"], name);
        assert_eq!(story.task(task).await["state"]["name"], name);
    }
    story.app.close().await;
}

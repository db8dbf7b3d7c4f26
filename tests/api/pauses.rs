//! Pausing, suspending and resuming flow runs, with input; parameters that are made or do not fit.

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::app::TestApp;

fn id(value: &Value) -> String {
    value["id"].as_str().expect("an id").to_owned()
}

/// Proposes a state and tells in a line what came of it.
async fn propose(app: &TestApp, run: &str, mut state: Value) -> String {
    // Each proposal is a moment after the one before.
    app.clock.advance(TimeDelta::milliseconds(1));
    let force = state
        .as_object_mut()
        .and_then(|state| state.remove("force"));
    let body = json!({"state": state, "force": force.unwrap_or(json!(false))});
    let path = format!("/api/flow_runs/{run}/set_state");
    told(&app.make(&path, body).await)
}

async fn resume(app: &TestApp, run: &str, input: Value) -> (u16, String) {
    app.clock.advance(TimeDelta::milliseconds(1));
    let body = json!({"run_input": input});
    let (status, answer) = app
        .ask("POST", &format!("/api/flow_runs/{run}/resume"), body)
        .await;
    (status, told(&answer))
}

fn told(answer: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let (status, name) = (text(&answer["status"]), text(&answer["state"]["name"]));
    match answer["details"]["reason"].as_str() {
        Some(reason) => format!("{status} {name}: {reason}"),
        None => format!("{status} {name}"),
    }
}

async fn policy(app: &TestApp, run: &str) -> (Value, Value) {
    let (_, run) = app
        .ask("GET", &format!("/api/flow_runs/{run}"), Value::Null)
        .await;
    (run["empirical_policy"].clone(), run["run_count"].clone())
}

struct World {
    flow: String,
    deployment: String,
}

impl World {
    async fn new(app: &TestApp) -> Self {
        let flow = id(&app.make("/api/flows/", json!({"name": "f"})).await);
        let deployment = json!({"name": "d", "flow_id": flow});
        let deployment = id(&app.make("/api/deployments/", deployment).await);
        Self { flow, deployment }
    }

    async fn running(&self, app: &TestApp, is_deployed: bool, policy: Value) -> String {
        let deployment = is_deployed.then_some(&self.deployment);
        let run = json!({"flow_id": self.flow, "deployment_id": deployment, "empirical_policy": policy,
            "state": {"type": "RUNNING"}});
        id(&app.make("/api/flow_runs/", run).await)
    }
}

async fn a_pause_happens_once_and_ends_in_time(app: &TestApp) {
    let world = World::new(app).await;
    let until = |seconds: i64| (app.state().now() + TimeDelta::seconds(seconds)).to_rfc3339();
    let pause = |key: &str, until: String| json!({"type": "PAUSED", "state_details": {"pause_key": key, "pause_timeout": until}});
    let run = world.running(app, false, json!({})).await;
    assert_eq!(
        resume(app, &run, json!(null)).await,
        (
            200,
            "ABORT -: Cannot resume a flow run that is not paused.".to_owned()
        )
    );
    assert_eq!(
        propose(app, &run, pause("a", until(60))).await,
        "ACCEPT Paused"
    );
    assert_eq!(
        propose(app, &run, json!({"type": "PENDING"})).await,
        "REJECT Paused: This run cannot transition to the PENDING state from the PAUSED state."
    );
    // Nothing begins in a flow that is paused.
    let task = json!({"flow_run_id": run, "task_key": "t", "dynamic_key": "0"});
    let task = id(&app.make("/api/task_runs/", task).await);
    let path = format!("/api/task_runs/{task}/set_state");
    let answer = app.make(&path, json!({"state": {"type": "RUNNING"}})).await;
    assert!(told(&answer).starts_with("REJECT NotReady"), "{answer}");

    assert_eq!(
        resume(app, &run, json!(null)).await,
        (201, "ACCEPT Running".to_owned())
    );
    assert_eq!(
        propose(app, &run, pause("a", until(60))).await,
        "REJECT Running: This pause has already fired."
    );
    assert_eq!(
        propose(app, &run, pause("b", until(60))).await,
        "ACCEPT Paused"
    );
    let (kept, _) = policy(app, &run).await;
    assert_eq!(kept["pause_keys"], json!(["a", "b"]));
    app.clock.advance(TimeDelta::seconds(61));
    let late = "REJECT Failed: The flow run pause has timed out and can no longer resume.";
    assert_eq!(resume(app, &run, json!(null)).await, (201, late.to_owned()));
    let unknown = uuid::Uuid::now_v7().to_string();
    assert_eq!(resume(app, &unknown, json!(null)).await.0, 404);
}

async fn a_suspended_run_is_taken_anew(app: &TestApp) {
    let world = World::new(app).await;
    let suspend = json!({"type": "PAUSED", "name": "Suspended",
        "state_details": {"pause_key": "a", "pause_reschedule": true}});
    let run = world.running(app, false, json!({})).await;
    assert_eq!(
        propose(app, &run, suspend.clone()).await,
        "ABORT Running: Cannot suspend flows without a deployment."
    );
    let run = world.running(app, true, json!({})).await;
    assert_eq!(
        propose(app, &run, suspend.clone()).await,
        "ACCEPT Suspended"
    );
    assert_eq!(
        resume(app, &run, json!(null)).await,
        (201, "ACCEPT Resuming".to_owned())
    );
    for state in ["PENDING", "RUNNING"] {
        let said = propose(app, &run, json!({"type": state})).await;
        assert!(said.starts_with("ACCEPT"), "{said}");
    }
    // The same run from its beginning, not a further try of it.
    let (kept, count) = policy(app, &run).await;
    assert_eq!((&kept["resuming"], count), (&json!(false), json!(1)));
    assert_eq!(
        propose(app, &run, suspend.clone()).await,
        "REJECT Running: This suspend has already fired."
    );
    // What is suspended has no process that could confirm its end.
    let run = world.running(app, true, json!({})).await;
    propose(app, &run, suspend).await;
    assert_eq!(
        propose(app, &run, json!({"type": "CANCELLING"})).await,
        "REJECT Cancelled: Suspended flow run has no infrastructure to terminate."
    );
}

async fn input_must_fit(app: &TestApp) {
    let world = World::new(app).await;
    let run = world.running(app, false, json!({})).await;
    let keyset = json!({"schema": "k-schema", "response": "k-response"});
    let pause = json!({"type": "PAUSED", "state_details": {"run_input_keyset": keyset}});
    propose(app, &run, pause).await;
    let missing = resume(app, &run, json!({"n": 1})).await;
    assert_eq!(
        missing,
        (200, "REJECT Paused: Run input schema not found.".to_owned())
    );
    let schema =
        json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]});
    let input = json!({"key": "k-schema", "value": schema.to_string()});
    let (status, _) = app
        .ask("POST", &format!("/api/flow_runs/{run}/input"), input)
        .await;
    assert_eq!(status, 201);
    for (input, told) in [
        (
            json!(null),
            "Validation failed. Failure reason: 'n' is a required property",
        ),
        (
            json!({"n": "x"}),
            "Validation failed for field 'n'. Failure reason: 'x' is not of type 'integer'",
        ),
    ] {
        let wanted = format!("REJECT Paused: Reason: {told}");
        assert_eq!(resume(app, &run, input).await, (200, wanted));
    }
    let made = json!({"n": {"__prefect_kind": "json", "value": "5"}});
    assert_eq!(
        resume(app, &run, made).await,
        (201, "ACCEPT Running".to_owned())
    );
    let path = format!("/api/flow_runs/{run}/input/k-response");
    assert_eq!(
        app.ask("GET", &path, Value::Null).await,
        (200, json!({"n": 5}))
    );
}

async fn what_is_over_begins_anew_as_far_as_it_may(app: &TestApp) {
    let world = World::new(app).await;
    let run = world
        .running(app, true, json!({"retries": 1, "retry_delay": 0}))
        .await;
    let failed = json!({"type": "FAILED"});
    assert_eq!(
        propose(app, &run, failed.clone()).await,
        "REJECT AwaitingRetry: Retrying"
    );
    assert_eq!(policy(app, &run).await.0["retry_type"], "in_process");
    propose(app, &run, json!({"type": "RUNNING"})).await;
    assert_eq!(propose(app, &run, failed).await, "ACCEPT Failed");
    assert_eq!(policy(app, &run).await.0["retry_type"], json!(null));
    for (state, said) in [
        (
            "CRASHED",
            "ABORT Failed: Run is already in terminal state FAILED.",
        ),
        ("SCHEDULED", "ACCEPT Scheduled"),
    ] {
        assert_eq!(propose(app, &run, json!({"type": state})).await, said);
    }
    assert_eq!(policy(app, &run).await.0["retry_type"], "reschedule");
    assert_eq!(
        propose(app, &run, json!({"type": "CANCELLING"})).await,
        "REJECT Cancelled: Scheduled flow run has no infrastructure to terminate."
    );
    // A result that is kept is lost by nobody, however much they insist.
    let run = world.running(app, false, json!({})).await;
    let kept = json!({"type": "COMPLETED", "data": {"storage_key": "k"}});
    propose(app, &run, kept).await;
    assert_eq!(
        propose(app, &run, json!({"type": "RUNNING"})).await,
        "REJECT Completed: Run is already COMPLETED."
    );
    for force in [false, true] {
        let said = propose(app, &run, json!({"type": "COMPLETED", "force": force})).await;
        assert!(
            said.starts_with("REJECT Completed: Cannot overwrite"),
            "{said}"
        );
    }
}

async fn parameters_are_made_and_checked(app: &TestApp) {
    let world = World::new(app).await;
    let schema =
        json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]});
    let deployment = json!({"name": "strict", "flow_id": world.flow, "parameter_openapi_schema": schema,
        "enforce_parameter_schema": true});
    let deployment = id(&app.make("/api/deployments/", deployment).await);
    let path = format!("/api/deployments/{deployment}/create_flow_run");
    app.make("/api/variables/", json!({"name": "count", "value": 7}))
        .await;
    let kind =
        |kind: &str, name: &str, content: &str| json!({"__prefect_kind": kind, name: content});
    for (n, status, told) in [
        (json!(1), 201, json!(1)),
        (kind("json", "value", "2"), 201, json!(2)),
        (
            kind("workspace_variable", "variable_name", "count"),
            201,
            json!(7),
        ),
        (
            json!("x"),
            409,
            json!(
                "Error creating flow run: Validation failed for field 'n'. Failure reason: 'x' is not of type 'integer'"
            ),
        ),
        (
            kind("workspace_variable", "variable_name", "none"),
            400,
            json!("Error hydrating flow run parameters: Variable 'none' not found in workspace."),
        ),
    ] {
        let body = json!({"parameters": {"n": n}});
        let (answered, answer) = app.ask("POST", &path, body).await;
        let said = if status == 201 {
            &answer["parameters"]["n"]
        } else {
            &answer["detail"]
        };
        assert_eq!((answered, said), (status, &told), "{n}");
    }
    let loose = json!({"parameters": {"n": "x"}, "enforce_parameter_schema": false});
    assert_eq!(app.ask("POST", &path, loose).await.0, 201);
}

async fn all(app: TestApp) {
    a_pause_happens_once_and_ends_in_time(&app).await;
    a_suspended_run_is_taken_anew(&app).await;
    input_must_fit(&app).await;
    what_is_over_begins_anew_as_far_as_it_may(&app).await;
    parameters_are_made_and_checked(&app).await;
    app.close().await;
}

#[tokio::test]
async fn runs_pause_and_go_on_on_sqlite() {
    all(TestApp::on_sqlite().await).await;
}

#[tokio::test]
async fn runs_pause_and_go_on_on_postgres() {
    if let Some(app) = TestApp::on_postgres().await {
        all(app).await;
    }
}

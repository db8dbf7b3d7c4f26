//! Automations: what is refused, what sets them off, and that they do what they say once.

use chrono::{DateTime, TimeDelta, Utc};
use prefect_rs::server::services::{AutomationActions, Service, Triggers};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::app::TestApp;
use crate::events::post;

fn start() -> DateTime<Utc> {
    "2026-11-23T06:00:00Z".parse().unwrap()
}

async fn app_on_both() -> Vec<TestApp> {
    let mut apps = vec![TestApp::on_sqlite().await];
    apps.extend(TestApp::on_postgres().await);
    for app in &apps {
        app.clock.set(start());
    }
    apps
}

fn event(n: u128, name: &str, run: Option<&Value>, follows: Option<u128>) -> Value {
    let related: Vec<Value> = run
        .map(|id| {
            let id = format!("prefect.flow-run.{}", id.as_str().unwrap());
            json!({"prefect.resource.id": id, "prefect.resource.role": "flow-run"})
        })
        .into_iter()
        .collect();
    json!({
        "occurred": start() + TimeDelta::seconds(n as i64), "event": name, "related": related,
        "resource": {"prefect.resource.id": format!("door.{n}"), "prefect.resource.name": "front"},
        "id": Uuid::from_u128(n), "follows": follows.map(Uuid::from_u128),
    })
}

async fn automation(app: &TestApp, trigger: Value, actions: Value) -> Value {
    let body = json!({"name": "guard", "trigger": trigger, "actions": actions});
    let (status, made) = post(app, "/api/automations/", &body).await;
    assert_eq!(status, 201, "{made}");
    made
}

async fn give(app: &TestApp, events: &[Value]) {
    assert_eq!(post(app, "/api/events", &json!(events)).await.0, 204);
}

/// What has come of automations: names of their events, and reasons of failures.
async fn told(app: &TestApp) -> Vec<String> {
    let all = all_told(app).await.into_iter();
    all.filter(|name| !["created", "updated", "deleted"].contains(&name.as_str()))
        .collect()
}

/// The automations' own events: names, and reasons of failures.
async fn all_told(app: &TestApp) -> Vec<String> {
    let filter = json!({"filter": {"event": {"prefix": ["prefect.automation."]}, "order": "ASC",
        "occurred": {"until": start() + TimeDelta::days(9)}}});
    let (_, page) = post(app, "/api/events/filter", &filter).await;
    let name = |event: &Value| {
        let name = event["event"]
            .as_str()
            .unwrap()
            .trim_start_matches("prefect.automation.")
            .to_owned();
        match event["payload"]["reason"].as_str() {
            Some(reason) => format!("{name}: {reason}"),
            None => name,
        }
    };
    page["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(name)
        .collect()
}

async fn act(app: &TestApp) {
    AutomationActions::default()
        .pass(app.state())
        .await
        .unwrap();
}

#[tokio::test]
async fn an_event_sets_off_its_action_once() {
    for app in app_on_both().await {
        let (_, flow) = post(&app, "/api/flows/", &json!({"name": "etl"})).await;
        let run = json!({"flow_id": flow["id"], "state": {"type": "RUNNING"}});
        let (_, run) = post(&app, "/api/flow_runs/", &run).await;
        let trigger = json!({"posture": "Reactive", "expect": ["door.*"], "match": {"prefect.resource.name": "fr*"}});
        let action = json!({"type": "change-flow-run-state", "state": "FAILED", "force": true});
        automation(&app, trigger, json!([action, {"type": "do-nothing"}])).await;
        let opened = event(1, "door.opened", Some(&run["id"]), None);
        give(
            &app,
            &[
                opened.clone(),
                opened.clone(),
                event(2, "window.opened", None, None),
            ],
        )
        .await;
        give(&app, &[opened]).await;
        act(&app).await;
        act(&app).await;
        let path = format!("/api/flow_runs/{}", run["id"].as_str().unwrap());
        let (_, run) = app.send("GET", &path, &[], None).await;
        assert_eq!(run.unwrap()["state_type"], "FAILED");
        let mut told = told(&app).await;
        told.sort();
        let once = [
            "action.executed",
            "action.executed",
            "action.triggered",
            "action.triggered",
            "triggered",
        ];
        assert_eq!(told, once);
        app.close().await;
    }
}

#[tokio::test]
async fn an_action_that_fails_says_why() {
    let app = TestApp::on_sqlite().await;
    app.clock.set(start());
    let trigger = json!({"posture": "Reactive", "expect": ["door.opened"]});
    automation(&app, trigger, json!([{"type": "cancel-flow-run"}])).await;
    let nobody = json!(Uuid::from_u128(9));
    give(
        &app,
        &[
            event(1, "door.opened", Some(&nobody), None),
            event(2, "door.opened", None, None),
        ],
    )
    .await;
    act(&app).await;
    let told = told(&app).await;
    let failed: Vec<_> = told
        .iter()
        .filter(|name| name.starts_with("action.failed"))
        .collect();
    assert_eq!(failed.len(), 2, "{told:?}");
    assert!(
        failed[0].contains("Unexpected status from 'cancel-flow-run' action: 404")
            && failed[1].contains("No flow run could be inferred"),
        "{failed:?}"
    );
    app.close().await;
}

#[tokio::test]
async fn a_run_that_nobody_has_is_cancelled_at_once() {
    let app = TestApp::on_sqlite().await;
    app.clock.set(start());
    let flow = app.make("/api/flows/", json!({"name": "etl"})).await;
    let run = json!({"flow_id": flow["id"], "state": {"type": "SCHEDULED"}});
    let run = app.make("/api/flow_runs/", run).await["id"].clone();
    let trigger = json!({"posture": "Reactive", "expect": ["door.opened"]});
    automation(&app, trigger, json!([{"type": "cancel-flow-run"}])).await;
    give(&app, &[event(1, "door.opened", Some(&run), None)]).await;
    act(&app).await;
    let path = format!("/api/flow_runs/{}", run.as_str().unwrap());
    let run = app.ask("GET", &path, Value::Null).await.1;
    assert_eq!(run["state_type"], "CANCELLED", "{run}");
    let told = told(&app).await;
    assert!(
        told.iter().any(|name| name.starts_with("action.executed")),
        "{told:?}"
    );
    assert!(
        !told.iter().any(|name| name.starts_with("action.failed")),
        "{told:?}"
    );
    app.close().await;
}

#[tokio::test]
async fn a_sequence_fires_in_order_though_its_events_come_out_of_order() {
    for app in app_on_both().await {
        let part = |name: &str| json!({"type": "event", "posture": "Reactive", "expect": [name]});
        let trigger = json!({"type": "sequence", "triggers": [part("a"), part("b")], "within": 60});
        automation(&app, trigger, json!([{"type": "do-nothing"}])).await;
        give(&app, &[event(2, "b", None, Some(1))]).await;
        assert!(told(&app).await.is_empty());
        give(&app, &[event(1, "a", None, None)]).await;
        assert_eq!(told(&app).await, ["triggered"]);
        app.close().await;
    }
}

#[tokio::test]
async fn events_are_counted_apart_by_the_labels_that_are_asked_for() {
    for app in app_on_both().await {
        let trigger = json!({"posture": "Reactive", "threshold": 2, "within": 60, "for_each": ["prefect.resource.id"]});
        automation(&app, trigger, json!([{"type": "do-nothing"}])).await;
        let mut again = event(3, "x", None, None);
        again["resource"]["prefect.resource.id"] = json!("door.1");
        give(
            &app,
            &[event(1, "x", None, None), event(2, "x", None, None)],
        )
        .await;
        assert!(told(&app).await.is_empty());
        give(&app, &[again]).await;
        assert_eq!(told(&app).await, ["triggered"]);
        app.close().await;
    }
}

#[tokio::test]
async fn what_does_not_happen_sets_off_a_proactive_trigger() {
    for app in app_on_both().await {
        let trigger = json!({"posture": "Proactive", "expect": ["beat"], "within": 30});
        automation(&app, trigger, json!([{"type": "do-nothing"}])).await;
        let pass = async || Triggers.pass(app.state()).await.unwrap();
        assert_eq!(pass().await, Some(start() + TimeDelta::seconds(30)));
        give(&app, &[event(5, "beat", None, None)]).await;
        app.clock.advance(TimeDelta::seconds(30));
        assert_eq!(pass().await, Some(start() + TimeDelta::seconds(60)));
        assert!(told(&app).await.is_empty());
        app.clock.advance(TimeDelta::seconds(30));
        pass().await;
        assert_eq!(told(&app).await, ["triggered"]);
        app.close().await;
    }
}

#[tokio::test]
async fn a_deployment_is_run_with_what_the_event_says() {
    for app in app_on_both().await {
        let (_, flow) = post(&app, "/api/flows/", &json!({"name": "etl"})).await;
        let body = json!({"name": "nightly", "flow_id": flow["id"], "parameters": {"kept": true}});
        let (_, deployment) = post(&app, "/api/deployments/", &body).await;
        let variable = json!({"name": "color", "value": "red"});
        post(&app, "/api/variables/", &variable).await;
        let kind =
            |kind: &str, member: &str, value: Value| json!({"__prefect_kind": kind, member: value});
        let jinja = |template: &str| kind("jinja", "template", json!(template));
        let parameters = json!({
            "plain": "at {{ event.resource.id }}",
            "typed": ["{{ event.payload.count }}"],
            "kind": {"inside": [jinja("{{ event.resource.name }} {{ event.payload.count }}")]},
            "json": kind("json", "value", jinja("[{{ event.payload.count }}]")),
            "variable": kind("workspace_variable", "variable_name", json!("color")),
            "text": kind("json", "value", json!("\"{{ kept }}\"")),
        });
        let trigger = json!({"posture": "Reactive", "expect": ["door.opened"]});
        let action = json!({"type": "run-deployment", "deployment_id": deployment["id"], "parameters": parameters});
        let automation = automation(&app, trigger, json!([action])).await;
        let mut opened = event(1, "door.opened", None, None);
        opened["payload"] = json!({"count": 3});
        give(&app, &[opened]).await;
        act(&app).await;
        assert_eq!(
            told(&app).await,
            ["triggered", "action.triggered", "action.executed"]
        );
        let (_, runs) = post(&app, "/api/flow_runs/filter", &json!({})).await;
        assert_eq!(
            runs[0]["parameters"],
            json!({
                "kept": true, "plain": "at door.1", "typed": [3], "kind": {"inside": ["front 3"]},
                "json": [3], "variable": "red", "text": "{{ kept }}",
            })
        );
        let by = json!({"id": automation["id"], "type": "AUTOMATION", "display_value": "guard"});
        assert_eq!(runs[0]["created_by"], by);
        app.close().await;
    }
}

#[tokio::test]
async fn automations_are_kept_found_changed_and_deleted() {
    for app in app_on_both().await {
        let deployment = Uuid::from_u128(5);
        let owner = format!("prefect.deployment.{deployment}");
        let body = json!({
            "name": "late", "tags": ["a"], "owner_resource": owner,
            "trigger": {"type": "compound", "require": "all", "within": 10.5, "triggers": [
                {"type": "event", "posture": "Reactive", "expect": ["a"], "match_related": {"x": ["y", "z"]}},
                {"type": "event", "posture": "Proactive", "within": 30, "match": {"prefect.resource.id": "pot.1"}},
            ]},
            "actions": [{"type": "run-deployment", "deployment_id": deployment, "parameters": {"n": 1}}],
        });
        let (status, made) = post(&app, "/api/automations/", &body).await;
        assert_eq!(status, 201, "{made}");
        assert_eq!(
            (&made["trigger"]["require"], &made["trigger"]["within"]),
            (&json!("all"), &json!(10.5))
        );
        assert_eq!(made["actions"][0]["source"], "selected");
        let path = format!("/api/automations/{}", made["id"].as_str().unwrap());
        assert_eq!(app.send("GET", &path, &[], None).await.1.unwrap(), made);
        for related in [owner.as_str(), "pot.1"] {
            let (_, found) = app
                .send(
                    "GET",
                    &format!("/api/automations/related-to/{related}"),
                    &[],
                    None,
                )
                .await;
            assert_eq!(found.unwrap(), json!([made]), "{related}");
        }
        let off = json!({"enabled": false});
        assert_eq!(app.send("PATCH", &path, &[], Some(&off)).await.0, 204);
        let filter = json!({"automations": {"tags": {"all_": ["a"]}, "name": {"any_": ["late"]}}});
        let (_, found) = post(&app, "/api/automations/filter", &filter).await;
        assert_eq!(found[0]["enabled"], false);
        assert_eq!(
            post(
                &app,
                "/api/automations/count",
                &json!({"automations": {"name": {"any_": ["x"]}}})
            )
            .await
            .1,
            0
        );
        let (status, _) = app
            .send(
                "DELETE",
                &format!("/api/automations/owned-by/{owner}"),
                &[],
                None,
            )
            .await;
        assert_eq!(
            (status, app.send("GET", &path, &[], None).await.0),
            (202, 404)
        );
        assert_eq!(app.send("DELETE", &path, &[], None).await.0, 404);
        app.close().await;
    }
}

#[tokio::test]
async fn what_happens_to_a_noun_sets_off_an_automation_in_the_same_write() {
    for app in app_on_both().await {
        let trigger = json!({"posture": "Reactive", "expect": ["prefect.variable.*", "prefect.automation.deleted"],
            "threshold": 2, "within": 60});
        let made = automation(&app, trigger, json!([{"type": "do-nothing"}])).await;
        let mut seen = all_told(&app).await;
        assert_eq!(seen, ["created"]);
        let variable = json!({"name": "color", "value": "red"});
        assert_eq!(post(&app, "/api/variables/", &variable).await.0, 201);
        // Nothing has happened, so nothing is told.
        assert_eq!(post(&app, "/api/variables/", &variable).await.0, 409);
        assert_eq!(all_told(&app).await, seen);
        let path = "/api/variables/name/color";
        let change = json!({"value": "blue"});
        assert_eq!(app.send("PATCH", path, &[], Some(&change)).await.0, 204);
        seen.push("triggered".to_owned());
        assert_eq!(all_told(&app).await, seen);
        // It counts anew, and its own end does not set it off: there is nothing left to be set off.
        assert_eq!(app.send("DELETE", path, &[], None).await.0, 204);
        let path = format!("/api/automations/{}", made["id"].as_str().unwrap());
        assert_eq!(app.send("DELETE", &path, &[], None).await.0, 204);
        seen.push("deleted".to_owned());
        assert_eq!(all_told(&app).await, seen);
        app.close().await;
    }
}

#[tokio::test]
async fn what_cannot_work_is_refused_with_a_reason() {
    let app = TestApp::on_sqlite().await;
    let reactive = json!({"posture": "Reactive", "expect": ["prefect.flow-run.*"]});
    let nothing = json!([{"type": "do-nothing"}]);
    let cases = [
        (
            json!({"type": "metric"}),
            nothing.clone(),
            "metric triggers need",
        ),
        (json!({"type": "event"}), nothing.clone(), "Field required"),
        (
            json!({"posture": "Proactive", "within": 5}),
            nothing.clone(),
            "at least 10 seconds",
        ),
        (
            json!({"type": "compound", "require": 2, "triggers": [reactive]}),
            nothing,
            "require must be less",
        ),
        (
            reactive.clone(),
            json!([{"type": "run-deployment"}]),
            "deployment_id is required",
        ),
        (
            reactive.clone(),
            json!([{"type": "run-deployment", "source": "inferred"}]),
            "for ever",
        ),
        (
            reactive.clone(),
            json!([{"type": "dance"}]),
            "Input should be 'do-nothing'",
        ),
        (
            reactive,
            json!([{"type": "send-notification", "block_document_id": Uuid::nil(), "body": "{{ x"}]),
            "'body' is not a valid template",
        ),
    ];
    for (trigger, actions, reason) in cases {
        let body = json!({"name": "x", "trigger": trigger, "actions": actions});
        let (status, answer) = post(&app, "/api/automations/", &body).await;
        assert_eq!(status, 422, "{body}");
        assert!(
            answer["exception_detail"].to_string().contains(reason),
            "{answer}"
        );
    }
    assert_eq!(
        post(&app, "/api/templates/validate", &json!("{{ fine }}"))
            .await
            .0,
        204
    );
    assert_eq!(
        post(&app, "/api/templates/validate", &json!("{{ not"))
            .await
            .0,
        422
    );
    app.close().await;
}

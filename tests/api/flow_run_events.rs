//! Events of flow runs and task runs: read from their states, and the same once they are stored.
//!
//! A flow run that is deleted leaves its events stored. So whatever is asked before has to be
//! answered in the same way afterwards.

use chrono::{DateTime, TimeDelta, Utc};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::app::TestApp;
use crate::events::{CLIENT, post};
use crate::task_run_records::Life;
use prefect_rs::clock::Clock;

/// What was made: the ids of all resources that events may name.
struct Made {
    flows: Vec<String>,
    deployment: String,
    resources: Vec<String>,
}

async fn create(app: &TestApp, path: &str, body: Value) -> Value {
    let (status, created) = post(app, path, &body).await;
    assert!((200..300).contains(&status), "{path}: {status} {created}");
    created
}

fn id(of: &Value) -> String {
    of["id"].as_str().unwrap().to_owned()
}

/// Makes flow runs of two flows, some of a deployment in a pool, in a few states each.
async fn make(app: &TestApp) -> Made {
    app.clock.advance(TimeDelta::seconds(20));
    let pool = create(
        app,
        "/api/work_pools/",
        json!({"name": "shed", "type": "process"}),
    )
    .await;
    let mut made = Made {
        flows: Vec::new(),
        deployment: String::new(),
        resources: vec![
            format!("prefect.work-pool.{}", id(&pool)),
            format!(
                "prefect.work-queue.{}",
                pool["default_queue_id"].as_str().unwrap()
            ),
            "prefect.tag.red".to_owned(),
            "prefect.flow-run.".to_owned(),
            "prefect.".to_owned(),
            "prefect.flow-run.1".to_owned(),
            "pot.1".to_owned(),
        ],
    };
    for name in ["etl", "report"] {
        let flow = id(&create(app, "/api/flows/", json!({"name": name, "tags": ["flowy"]})).await);
        made.resources.push(format!("prefect.flow.{flow}"));
        made.flows.push(flow);
    }
    let deployment = json!({
        "name": "nightly", "flow_id": made.flows[0], "work_pool_name": "shed", "tags": ["deployed"],
        "enforce_parameter_schema": false,
    });
    made.deployment = id(&create(app, "/api/deployments/", deployment).await);
    made.resources
        .push(format!("prefect.deployment.{}", made.deployment));
    for n in 0..8 {
        app.clock.advance(TimeDelta::milliseconds(700));
        let tags = [json!(["red"]), json!(["red", "blue"]), json!([])][n % 3].clone();
        let run = if n < 3 {
            let path = format!("/api/deployments/{}/create_flow_run", made.deployment);
            create(
                app,
                &path,
                json!({"name": format!("run {n}"), "tags": tags}),
            )
            .await
        } else {
            let run = json!({"flow_id": made.flows[n % 2], "name": format!("run {n}"), "tags": tags, "state": {"type": "PENDING"}});
            create(app, "/api/flow_runs/", run).await
        };
        let run = id(&run);
        made.resources.push(format!("prefect.flow-run.{run}"));
        // The task runs of a deployment lose its name with it.
        if n >= 3 {
            let random = &mut StdRng::seed_from_u64(n as u64);
            let life = Life::any(n, app.clock.now() - TimeDelta::seconds(12), random);
            let record = json!([life.whole(run.parse().unwrap())]);
            assert_eq!(post(app, "/api/task_runs/record", &record).await.0, 204);
            made.resources.push(format!("prefect.task-run.{}", life.id));
        }
        let states = [
            json!({"type": "PENDING"}),
            json!({"type": "RUNNING", "message": "a Pot is hot"}),
            json!({"type": "COMPLETED"}),
            json!({"type": "FAILED", "name": "TimedOut", "message": "too late"}),
        ];
        let ends = [3, 4, 2][n % 3];
        for (n, state) in states.into_iter().enumerate().take(ends) {
            if n == 2 && ends == 4 {
                continue;
            }
            app.clock.advance(TimeDelta::milliseconds(130));
            let path = format!("/api/flow_runs/{run}/set_state");
            create(app, &path, json!({"state": state, "force": true})).await;
        }
        // What others tell of the same run lies between.
        let heartbeat = json!([{
            "occurred": app.clock.now(), "event": "prefect.flow-run.heartbeat", "id": uuid::Uuid::from_u128(n as u128),
            "resource": {"prefect.resource.id": format!("prefect.flow-run.{run}"), "prefect.resource.name": format!("run {n}")},
        }]);
        assert_eq!(post(app, "/api/events", &heartbeat).await.0, 204);
    }
    app.clock.advance(TimeDelta::seconds(1));
    made
}

fn any_filter(random: &mut StdRng, made: &Made) -> Value {
    let names = [
        "prefect.flow-run.Pending",
        "prefect.flow-run.Completed",
        "prefect.flow-run.TimedOut",
        "prefect.flow-run.heartbeat",
        "prefect.flow-run.",
        "prefect.flow-run.Comp",
        "prefect.",
        "prefect.task-run.",
        "prefect.task-run.Completed",
        "Pending",
        "",
    ];
    let some = |random: &mut StdRng, list: &[&str]| -> Value {
        let most = random.random_range(0..3);
        json!(
            (0..most)
                .map(|_| *list.choose(random).unwrap())
                .collect::<Vec<_>>()
        )
    };
    let resources: Vec<&str> = made.resources.iter().map(String::as_str).collect();
    let roles = [
        "flow",
        "deployment",
        "tag",
        "work-pool",
        "work-queue",
        "nobody",
    ];
    let labels = [
        ("prefect.resource.id", "prefect.flow-run.*"),
        ("prefect.resource.name", "load-?"),
        ("prefect.orchestration", "client"),
        ("prefect.resource.name", "run ?"),
        ("prefect.resource.name", "!run 1"),
        ("prefect.state-type", "COMPLETED"),
        ("prefect.state-message", "*Pot*"),
        ("prefect.resource.role", "deployment"),
        ("prefect.work-pool.type", "process"),
        ("absent", "*"),
    ];
    let label = |random: &mut StdRng| {
        let (label, pattern) = labels.choose(random).unwrap();
        json!({*label: *pattern})
    };
    let mut filter = json!({"order": *["ASC", "DESC"].choose(random).unwrap()});
    if random.random_bool(0.4) {
        let member = *["prefix", "exclude_prefix", "name", "exclude_name"]
            .choose(random)
            .unwrap();
        filter["event"] = json!({member: some(random, &names)});
    }
    match random.random_range(0..9) {
        0 => filter["resource"] = json!({"id": some(random, &resources)}),
        1 => filter["resource"] = json!({"id_prefix": some(random, &resources)}),
        2 => {
            filter["resource"] =
                json!({"id_prefix": some(random, &resources), "labels": label(random)})
        }
        3 => filter["resource"] = json!({"id": some(random, &resources), "distinct": true}),
        4 => {
            filter["related"] =
                json!({"id": some(random, &resources), "role": some(random, &roles)})
        }
        5 => {
            filter["related"] = json!([{"labels": label(random)}, {"id": some(random, &resources)}])
        }
        6 => {
            let pair = [
                *resources.choose(random).unwrap(),
                *roles.choose(random).unwrap(),
            ];
            filter["related"] = json!({"resources_in_roles": [pair]});
        }
        7 => filter["any_resource"] = json!({"id": some(random, &resources)}),
        _ => {
            filter["any_resource"] =
                json!({"id_prefix": some(random, &resources), "labels": label(random)})
        }
    }
    if random.random_bool(0.2) {
        let words = ["pot", "-pot", "+red \"run 1\"", "nothing"];
        filter["text"] = json!({"query": *words.choose(random).unwrap()});
    }
    filter
}

/// Asks in every way in which events can be asked for.
async fn asked(app: &TestApp, filter: &Value, limit: u32, until: DateTime<Utc>) -> Vec<Value> {
    let question = json!({"filter": filter, "limit": limit});
    let (status, mut page) = post(app, "/api/events/filter", &question).await;
    assert_eq!(status, 200, "{filter} {page}");
    let mut answers = vec![page["total"].take()];
    loop {
        answers.extend(page["events"].as_array().unwrap().clone());
        let Some(next) = page["next_page"].as_str() else {
            break;
        };
        let path = next.split_once("/api/").unwrap().1;
        let (status, next) = app.send("GET", &format!("/api/{path}"), CLIENT, None).await;
        assert_eq!(status, 200);
        page = next.unwrap();
    }
    for by in ["event", "resource", "day", "time"] {
        let mut filter = filter.clone();
        filter["occurred"] = json!({"since": until - TimeDelta::minutes(10), "until": until});
        let question = json!({"filter": filter, "time_unit": "second", "time_interval": 2});
        let (status, counts) = post(app, &format!("/api/events/count-by/{by}"), &question).await;
        assert_eq!(status, 200, "{counts}");
        answers.push(counts);
    }
    answers
}

async fn states_and_stored_agree(app: TestApp, rounds: u64) {
    let made = make(&app).await;
    let until = app.clock.now();
    let mut before = Vec::new();
    for seed in 0..rounds {
        let mut random = StdRng::seed_from_u64(seed);
        let filter = any_filter(&mut random, &made);
        let limit = *[3, 50].choose(&mut random).unwrap();
        let mut filter = filter;
        // What is told of the deletions themselves comes later.
        if filter.get("occurred").is_none() {
            filter["occurred"] = json!({"until": until});
        }
        let answers = asked(&app, &filter, limit, until).await;
        before.push((filter, limit, answers));
    }
    let (_, all) = post(&app, "/api/events/filter", &json!({})).await;
    assert!(all["total"].as_i64().unwrap() > 25, "{all}");
    app.clock.advance(TimeDelta::seconds(1));
    let path = format!("/api/deployments/{}", made.deployment);
    assert_eq!(app.send("DELETE", &path, CLIENT, None).await.0, 204);
    for flow in &made.flows {
        let path = format!("/api/flows/{flow}");
        assert_eq!(app.send("DELETE", &path, CLIENT, None).await.0, 204);
    }
    for (filter, limit, answers) in before {
        assert_eq!(
            asked(&app, &filter, limit, until).await,
            answers,
            "{filter}"
        );
    }
    app.close().await;
}

#[tokio::test]
async fn events_read_from_states_and_stored_ones_are_found_alike() {
    states_and_stored_agree(TestApp::on_sqlite().await, 200).await;
}

#[tokio::test]
async fn events_read_from_states_and_stored_ones_are_found_alike_on_postgres() {
    if let Some(app) = TestApp::on_postgres().await {
        states_and_stored_agree(app, 40).await;
    }
}

#[tokio::test]
async fn events_of_states_are_as_old_as_events_get() {
    let app = TestApp::on_sqlite().await;
    let made = make(&app).await;
    let retention = app.state().settings.events_retention_period;
    app.clock.advance(TimeDelta::from_std(retention).unwrap());
    let (_, page) = post(&app, "/api/events/filter", &json!({})).await;
    assert_eq!(page["total"], 0, "{page}");
    let (_, counted) = post(
        &app,
        "/api/events/count-by/resource",
        &json!({"filter": {}}),
    )
    .await;
    assert_eq!(counted, json!([]));
    assert_eq!(made.flows.len(), 2);
    app.close().await;
}

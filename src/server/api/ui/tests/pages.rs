//! Pages of one thing, and what they say.

use super::*;

#[tokio::test]
async fn every_page_of_one_thing_can_be_read() {
    let app = App::new().await;
    let run = app.get(&format!("/ui/flow_runs/{DONE}")).await;
    assert_eq!(run["run"]["state"]["message"], "All states completed.");
    assert_eq!(
        run["counts"],
        json!({"task_runs": 2, "subflow_runs": 0, "logs": 1})
    );
    assert_eq!(run["task_failures"][0]["name"], "call-0");
    let graph = app.get(&format!("/ui/flow_runs/{DONE}/graph")).await;
    assert_eq!(graph["upstream"], json!([[], [0]]));
    assert_eq!(graph["start"][1], Value::Null);
    let task = app.get(&format!("/ui/task_runs/{TASK}/page")).await;
    assert_eq!(task["flow_run"]["flow_name"], "etl");
    let panel = app.get(&format!("/ui/flows/{FLOW}")).await;
    assert_eq!(panel["deployments"][0]["recent"][0]["name"], "quiet-heron");
    assert_eq!(panel["deployment_count"], 1);
    let deployment = app.get(&format!("/ui/deployments/{DEPLOYMENT}")).await;
    assert_eq!(deployment["queues"][0]["name"], "etl-queue");
    let queue = app.get(&format!("/ui/work_queues/{QUEUE}")).await;
    assert_eq!(
        (queue["due"].clone(), queue["late"].clone()),
        (json!(1), json!(1))
    );
    assert_eq!(queue["runs"][0]["name"], "amber-lynx");
    for path in [
        "/ui/work_queues",
        "/ui/concurrency_limits",
        "/ui/blocks",
        "/ui/info",
    ] {
        app.get(path).await;
    }
    let (status, _) = app
        .ask("GET", &format!("/ui/flow_runs/{QUEUE}"), Value::Null)
        .await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn subflows_are_counted_and_listed_by_the_run_that_called_them() {
    let called = "UPDATE flow_run SET parent_task_run_id = '00000000-0000-0000-0000-000000000011' \
                  WHERE id = '00000000-0000-0000-0000-000000000002'";
    let app = App::with(&[called]).await;
    let run = app.get(&format!("/ui/flow_runs/{DONE}")).await;
    assert_eq!(run["counts"]["subflow_runs"], 1);
    let of = |id: &str| json!({"flow_runs": {"parent_flow_run_id": {"any_": [id]}}});
    let inner = app.post("/ui/flow_runs", of(DONE)).await;
    assert_eq!(
        (inner["count"].clone(), inner["results"][0]["name"].clone()),
        (json!(1), json!("amber-lynx"))
    );
    assert_eq!(app.post("/ui/flow_runs", of(LATE)).await["count"], 0);
}

#[tokio::test]
async fn of_more_states_than_a_page_shows_the_newest_are_shown() {
    let many = "INSERT INTO flow_run_state (id, created, updated, flow_run_id, type, name, timestamp) \
        WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1100) \
        SELECT printf('00000000-0000-0000-0001-%012d', i), '2026-11-23 11:00:00.000000', '2026-11-23 11:00:00.000000', \
          '00000000-0000-0000-0000-000000000002', 'SCHEDULED', 'Try ' || i, printf('2026-11-23 11:00:01.%06d', i) FROM n";
    let app = App::with(&[many]).await;
    let page = app.get(&format!("/ui/flow_runs/{LATE}")).await;
    let states = page["states"].as_array().unwrap();
    assert_eq!(states.len(), 1000);
    assert_eq!(
        (&states[0]["name"], &states[999]["name"]),
        (&json!("Try 101"), &json!("Try 1100"))
    );
    assert_eq!(page["run"]["state"]["name"], "Try 1100");
}

#[tokio::test]
async fn a_limit_shows_who_holds_its_slots_and_who_was_refused() {
    let app = App::new().await;
    let (status, _) = app
        .ask(
            "POST",
            "/v2/concurrency_limits/",
            json!({"name": "tag:db", "limit": 2}),
        )
        .await;
    assert_eq!(status, 201);
    let take = async |kind: &str, id: &str, slots: i64| {
        let holder = json!({"type": kind, "id": id});
        let wish =
            json!({"names": ["tag:db"], "slots": slots, "lease_duration": 60, "holder": holder});
        let path = "/v2/concurrency_limits/increment-with-lease";
        app.ask("POST", path, wish).await
    };
    let (status, lease) = take("task_run", TASK, 2).await;
    assert_eq!(status, 200);
    assert_eq!(take("flow_run", LATE, 1).await.0, 423);
    let shown = app.get("/ui/concurrency_limits").await[0].take();
    assert_eq!(
        (&shown["tag"], &shown["limit"], &shown["active_slots"]),
        (&json!("db"), &json!(2), &json!(2))
    );
    let holder = &shown["holders"][0];
    assert_eq!(
        (&holder["name"], &holder["slots"], &holder["flow_run_name"]),
        (&json!("call-0"), &json!(2), &json!("quiet-heron"))
    );
    assert_eq!(
        (&shown["waiting"][0]["type"], &shown["waiting"][0]["name"]),
        (&json!("flow_run"), &json!("amber-lynx"))
    );
    let done = json!({"lease_id": lease["lease_id"]});
    let path = "/v2/concurrency_limits/decrement-with-lease";
    assert_eq!(app.ask("POST", path, done).await.0, 204);
    assert_eq!(take("flow_run", LATE, 1).await.0, 200);
    let shown = app.get("/ui/concurrency_limits").await[0].take();
    assert_eq!(shown["holders"][0]["name"], "amber-lynx");
    assert_eq!(shown["waiting"], json!([]));
}

#[tokio::test]
async fn a_run_shows_its_artifacts_in_its_graph_and_what_its_states_say_of_results() {
    let app = App::new().await;
    let artifact = json!({"key": "report", "type": "markdown", "data": "# Hi", "flow_run_id": DONE, "task_run_id": TASK});
    let (status, _) = app.ask("POST", "/artifacts/", artifact).await;
    assert_eq!(status, 201);
    let graph = app.get(&format!("/ui/flow_runs/{DONE}/graph")).await;
    assert_eq!(
        (
            &graph["artifacts"][0]["key"],
            &graph["artifacts"][0]["node"]
        ),
        (&json!("report"), &json!(0))
    );
    let results = format!("/ui/flow_runs/{DONE}/results");
    assert_eq!(app.get(&results).await, json!([]));
    let data = json!({"storage_key": "k", "serializer": {"type": "json"}});
    let state = json!({"state": {"type": "COMPLETED", "data": data}, "force": true});
    let path = format!("/task_runs/{TASK}/set_state");
    assert_eq!(app.ask("POST", &path, state).await.0, 201);
    let shown = app.get(&results).await;
    assert_eq!(
        (&shown[0]["name"], &shown[0]["task_run_id"]),
        (&json!("call-0"), &json!(TASK))
    );
    assert!(shown[0]["data"].as_str().unwrap().contains("storage_key"));
    let (status, _) = app
        .ask(
            "GET",
            &format!("/ui/flow_runs/{QUEUE}/results"),
            Value::Null,
        )
        .await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn every_flaw_of_an_automation_is_told_with_its_place() {
    let app = App::new().await;
    let trigger = |within: i64| json!({"posture": "Proactive", "within": within});
    let body = json!({
        "name": " ",
        "trigger": {"type": "compound", "require": 3, "triggers": [trigger(5), trigger(20)]},
        "actions": [{"type": "pause-deployment"}, {"type": "do-nothing"}],
        "actions_on_resolve": [{"type": "send-notification", "block_document_id": QUEUE, "subject": "{{", "body": "x"}],
    });
    let (status, told) = app.ask("POST", "/automations/", body).await;
    assert_eq!(status, 422);
    let place = |detail: &Value| {
        let steps = detail["loc"].as_array().unwrap()[1..].iter();
        let steps: Vec<_> = steps.map(|s| s.to_string().replace('"', "")).collect();
        steps.join(".")
    };
    let places: Vec<_> = told["exception_detail"]
        .as_array()
        .unwrap_or_else(|| panic!("{told}"))
        .iter()
        .map(place)
        .collect();
    assert_eq!(
        places,
        [
            "name",
            "trigger.require",
            "trigger.triggers.0.within",
            "actions.0.deployment_id",
            "actions_on_resolve.0.subject"
        ]
    );
}

#[tokio::test]
async fn a_waiting_run_says_why_and_a_finished_one_has_no_reasons() {
    let app = App::new().await;
    let late = app.get(&format!("/flow_runs/{LATE}/explain")).await;
    assert_eq!(late["reasons"][0]["code"], "no_agent");
    let done = app.get(&format!("/flow_runs/{DONE}/explain")).await;
    assert_eq!(
        (done["waiting"].clone(), done["reasons"].clone()),
        (json!(false), json!([]))
    );
    let details = json!({"pause_timeout": "2026-11-23T14:00:00Z"});
    let paused = json!({"state": {"type": "PAUSED", "state_details": details}, "force": true});
    let (status, _) = app
        .ask("POST", &format!("/flow_runs/{LATE}/set_state"), paused)
        .await;
    assert_eq!(status, 201);
    let paused = app.get(&format!("/flow_runs/{LATE}/explain")).await;
    let reason = &paused["reasons"][0];
    assert_eq!(
        reason["detail"],
        "It fails at 2026-11-23 14:00:00 UTC if nobody does."
    );
    assert_eq!(
        reason["command"],
        format!("prefect-rs flow-run resume {LATE}")
    );
}

#[tokio::test]
async fn a_schedule_is_previewed_by_its_own_rule_or_refused() {
    let app = App::new().await;
    let idea = json!({"schedule": {"cron": "0 9 * * *", "timezone": "Europe/Berlin"}});
    let page = app.post("/ui/schedule", idea).await;
    assert_eq!(page["dates"][0], "2026-11-24T08:00:00Z");
    assert_eq!(page["dates"].as_array().unwrap().len(), 5);
    let (status, _) = app
        .ask(
            "POST",
            "/ui/schedule",
            json!({"schedule": {"cron": "never"}}),
        )
        .await;
    assert_eq!(status, 422);
}

#[tokio::test]
async fn a_deployment_shows_each_of_its_schedules_and_what_its_parameters_are() {
    let app = App::new().await;
    let path = format!("/deployments/{DEPLOYMENT}/schedules");
    let more = json!([{"schedule": {"cron": "0 9 * * *", "timezone": "UTC"}, "active": false}]);
    let (status, _) = app.ask("POST", &path, more).await;
    assert_eq!(status, 201);
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    let path = format!("/deployments/{DEPLOYMENT}");
    let change = json!({"parameter_openapi_schema": schema, "description": "of *weather*", "entrypoint": "flow.py:etl"});
    let (status, _) = app.ask("PATCH", &path, change).await;
    assert_eq!(status, 204);
    let page = app.get(&format!("/ui/deployments/{DEPLOYMENT}")).await;
    let shown = &page["deployment"];
    assert_eq!(shown["parameter_openapi_schema"], schema);
    assert_eq!(
        (&shown["description"], &shown["entrypoint"]),
        (&json!("of *weather*"), &json!("flow.py:etl"))
    );
    let schedules: Vec<_> = shown["schedules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| (s["active"].as_bool().unwrap(), s["next"].as_str().unwrap()))
        .collect();
    assert_eq!(
        schedules,
        [
            (true, "2026-11-23T12:00:00Z"),
            (false, "2026-11-24T09:00:00Z")
        ]
    );
    let list = app.post("/ui/deployments", json!({})).await;
    assert_eq!(list["results"][0]["schedule_count"], 2);
}

#[tokio::test]
async fn a_work_pool_shows_its_queues_workers_and_what_waits() {
    let app = App::new().await;
    let (status, _) = app
        .ask(
            "POST",
            "/work_pools/",
            json!({"name": "k8s", "type": "kubernetes", "concurrency_limit": 3}),
        )
        .await;
    assert_eq!(status, 201);
    let (status, _) = app
        .ask(
            "POST",
            "/work_pools/k8s/queues",
            json!({"name": "fast", "priority": 1}),
        )
        .await;
    assert_eq!(status, 201);
    let (status, _) = app
        .ask(
            "PATCH",
            &format!("/deployments/{DEPLOYMENT}"),
            json!({"work_pool_name": "k8s", "work_queue_name": "fast"}),
        )
        .await;
    assert_eq!(status, 204);
    let (status, _) = app
        .ask(
            "POST",
            &format!("/deployments/{DEPLOYMENT}/create_flow_run"),
            json!({"name": "waits", "tags": ["other"]}),
        )
        .await;
    assert_eq!(status, 201);
    let page = app.get("/ui/work_pools/k8s").await;
    assert_eq!(
        (
            page["pool"]["due"].clone(),
            page["pool"]["queues"].clone(),
            page["pool"]["workers_online"].clone()
        ),
        (json!(1), json!(2), json!(0))
    );
    assert_eq!(page["runs"][0]["name"], "waits");
    assert_eq!(page["deployments"][0]["work_queue_name"], "fast");
    let fast = page["queues"].as_array().unwrap();
    assert_eq!(fast.iter().find(|q| q["name"] == "fast").unwrap()["due"], 1);
    let (status, _) = app
        .ask(
            "POST",
            "/work_pools/k8s/workers/heartbeat",
            json!({"name": "one"}),
        )
        .await;
    assert_eq!(status, 204);
    let list = app.get("/ui/work_pools").await;
    assert_eq!(list[0]["workers_online"], 1);
    let (status, _) = app.ask("GET", "/ui/work_pools/none", Value::Null).await;
    assert_eq!(status, 404);
}

/// Creates something and returns its id.
async fn made(app: &App, path: &str, body: Value) -> Value {
    let (status, made) = app.ask("POST", path, body).await;
    assert_eq!(status, 201, "{path}: {made}");
    made["id"].clone()
}

#[tokio::test]
async fn block_documents_are_shown_without_their_secrets_and_with_what_they_refer_to() {
    let app = App::new().await;
    let block_type = made(
        &app,
        "/block_types/",
        json!({"name": "Mail Server", "slug": "mail-server"}),
    )
    .await;
    let fields = json!({"title": "MailServer", "type": "object", "secret_fields": ["word"],
        "properties": {"host": {"type": "string"}, "word": {"type": "string", "format": "password"}}});
    let schema = json!({"block_type_id": block_type, "fields": fields, "capabilities": ["notify"]});
    let schema = made(&app, "/block_schemas/", schema).await;
    let document = |name: &str, data: Value| json!({"name": name, "data": data, "block_schema_id": schema, "block_type_id": block_type});
    let inner = document("inner", json!({"host": "a", "word": "not to be seen"}));
    let inner = made(&app, "/block_documents/", inner).await;
    let reference = json!({"$ref": {"block_document_id": inner}});
    let outer = document("outer", json!({"host": "b", "relay": reference}));
    made(&app, "/block_documents/", outer).await;
    let mut anonymous = document("hidden", json!({}));
    anonymous["is_anonymous"] = json!(true);
    made(&app, "/block_documents/", anonymous).await;
    let shown = app.get("/ui/blocks").await;
    assert!(!shown.to_string().contains("not to be seen"));
    let mine: Vec<_> = shown.as_array().unwrap().iter().collect();
    let mine: Vec<_> = mine
        .iter()
        .filter(|block| block["document"] != Value::Null)
        .map(|block| {
            (
                &block["name"],
                &block["data"],
                &block["document"]["capabilities"],
            )
        })
        .collect();
    assert_eq!(
        mine,
        [
            (
                &json!("inner"),
                &json!({"host": "a", "word": "********"}),
                &json!(["notify"])
            ),
            (
                &json!("outer"),
                &json!({"host": "b", "relay": reference}),
                &json!(["notify"])
            ),
        ]
    );
    let names = |page: &Value| -> Vec<String> {
        let results = page["results"].as_array().unwrap().iter();
        results
            .filter(|block| block["document"] != Value::Null)
            .map(|block| block["name"].as_str().unwrap().to_owned())
            .collect()
    };
    // They are found by their own names and by those of their types, a page at a time.
    let found = app.post("/ui/blocks", json!({"name": "MAIL"})).await;
    assert_eq!(
        (names(&found), &found["count"]),
        (vec!["inner".to_owned(), "outer".to_owned()], &json!(2))
    );
    let found = app.post("/ui/blocks", json!({"name": "oute"})).await;
    assert_eq!(
        found["results"][0]["data"],
        json!({"host": "b", "relay": reference})
    );
    let second = json!({"name": "mail", "limit": 1, "offset": 1});
    let second = app.post("/ui/blocks", second).await;
    assert_eq!(
        (names(&second), &second["count"]),
        (vec!["outer".to_owned()], &json!(2))
    );
    assert_eq!(
        app.post("/ui/blocks", json!({"name": "100%"})).await["count"],
        0
    );
}

#[tokio::test]
async fn things_that_are_known_by_their_ids_have_names_as_long_as_they_are_there() {
    let app = App::new().await;
    let id = |kind: &str, id: &str| format!("prefect.{kind}.{id}");
    let ids = json!([
        id("flow-run", DONE),
        id("task-run", TASK),
        id("deployment", DEPLOYMENT),
        id("work-queue", QUEUE),
        id("flow", DONE),
        id("flow-run", "no id"),
        "somebody.else"
    ]);
    let named = app.post("/ui/names", json!({ "ids": ids })).await;
    let mut named: Vec<_> = named.as_array().unwrap().iter().collect();
    named.sort_by_key(|one| one["id"].as_str());
    let expected = [
        json!({"id": id("deployment", DEPLOYMENT), "name": "prod", "of": "etl"}),
        json!({"id": id("flow-run", DONE), "name": "quiet-heron", "of": "etl"}),
        json!({"id": id("task-run", TASK), "name": "call-0", "of": "quiet-heron"}),
        json!({"id": id("work-queue", QUEUE), "name": "etl-queue", "of": null}),
    ];
    assert_eq!(named, expected.iter().collect::<Vec<_>>());
}

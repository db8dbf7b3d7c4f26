//! What the nouns print, and what they ask of the API.

use crate::support::{FixedApi, Home, Ran};

const QUEUE: &str = r#"{"id": "11111111-1111-4111-8111-111111111111", "created": null, "updated": null, "name": "etl-queue", "description": "", "is_paused": false, "concurrency_limit": 3, "filter": {"tags": ["ETL"], "deployment_ids": null, "flow_runner_types": null}}"#;
const FLOW: &str = r#"{"id": "22222222-2222-4222-8222-222222222222", "created": null, "name": "my ETL flow", "tags": []}"#;
const DEPLOYMENT: &str = r#"{"id": "33333333-3333-4333-8333-333333333333", "created": null, "name": "etl-deploy", "flow_id": "22222222-2222-4222-8222-222222222222", "tags": ["ETL"], "parameters": {"name": "Marvin"}, "parameter_openapi_schema": {"type": "object", "properties": {"name": {"type": "string"}, "days": {"type": "array"}}}, "paused": false, "schedules": [{"schedule": {"cron": "0 8 * * *", "timezone": "Europe/Berlin"}}]}"#;
const FLOW_RUN: &str = r#"{"id": "44444444-4444-4444-8444-444444444444", "created": null, "name": "calm-\u001b[31motter", "flow_id": "22222222-2222-4222-8222-222222222222", "deployment_id": "33333333-3333-4333-8333-333333333333", "tags": ["ETL"], "run_count": 0, "total_run_time": 0, "next_scheduled_start_time": "2020-01-01T00:00:00Z", "state": {"id": "55555555-5555-4555-8555-555555555555", "type": "SCHEDULED", "name": "Late", "timestamp": "2020-01-01T00:00:05Z", "state_details": {"scheduled_time": "2020-01-01T00:00:00Z"}}}"#;
const ENDED_RUN: &str = r#"{"id": "66666666-6666-4666-8666-666666666666", "created": null, "name": "done", "flow_id": "22222222-2222-4222-8222-222222222222", "state": {"type": "COMPLETED", "name": "Completed", "timestamp": "2020-01-01T00:00:05Z"}}"#;
const LOGS: &str = r#"[{"id": null, "name": "prefect.flow_runs", "level": 20, "message": "one", "timestamp": "2020-01-01T00:00:01.5Z"}, {"id": null, "name": "prefect.task_runs", "level": 40, "message": "two", "timestamp": "2020-01-01T00:00:02Z"}]"#;
const REASONS: &str = r#"{"flow_run_id": "44444444-4444-4444-8444-444444444444", "state_name": "Late", "waiting": true, "reasons": [{"code": "no_agent", "summary": "No agent polls work queue etl-queue.", "detail": "The last one asked at \u001b[31m2020.", "command": "prefect-rs agent start etl-queue", "link": null, "since": null}]}"#;
const QUEUE_ID: &str = "11111111-1111-4111-8111-111111111111";
const RUN_ID: &str = "44444444-4444-4444-8444-444444444444";

fn list(items: &[&str]) -> String {
    format!("[{}]", items.join(","))
}

fn api() -> FixedApi {
    FixedApi::start(&[
        ("POST /work_queues/", 201, QUEUE),
        ("POST /work_queues/filter", 200, &list(&[QUEUE])),
        ("GET /work_queues/name/etl-queue", 200, QUEUE),
        (&format!("GET /work_queues/{QUEUE_ID}"), 200, QUEUE),
        (&format!("PATCH /work_queues/{QUEUE_ID}"), 204, ""),
        (
            &format!("POST /work_queues/{QUEUE_ID}/get_runs"),
            200,
            &list(&[FLOW_RUN]),
        ),
        ("POST /flows/filter", 200, &list(&[FLOW])),
        ("POST /deployments/filter", 200, &list(&[DEPLOYMENT])),
        (
            "GET /deployments/name/my%20ETL%20flow/etl-deploy",
            200,
            DEPLOYMENT,
        ),
        (
            "POST /deployments/33333333-3333-4333-8333-333333333333/create_flow_run",
            201,
            FLOW_RUN,
        ),
        ("POST /flow_runs/filter", 200, &list(&[FLOW_RUN])),
        (&format!("GET /flow_runs/{RUN_ID}"), 200, FLOW_RUN),
        (
            &format!("GET /flow_run_states/?flow_run_id={RUN_ID}"),
            200,
            "[]",
        ),
        (
            "GET /flow_runs/66666666-6666-4666-8666-666666666666",
            200,
            ENDED_RUN,
        ),
        ("POST /logs/filter", 200, LOGS),
        (&format!("GET /flow_runs/{RUN_ID}/explain"), 200, REASONS),
    ])
}

fn run(api: &FixedApi, args: &[&str]) -> Ran {
    let mut ran = Home::new().run_with(args, &[("PREFECT_API_URL", &api.url)]);
    // How long ago 2020 is changes by itself.
    let years: String = (1..100).map(|n| format!("{n} years ago|")).collect();
    for ago in years.split('|').rev().filter(|ago| !ago.is_empty()) {
        ran.stdout = ran.stdout.replace(ago, "N years ago");
    }
    ran
}

#[test]
fn creating_a_queue_prints_its_id_alone() {
    let api = api();
    let ran = run(
        &api,
        &[
            "work-queue",
            "create",
            "-t",
            "ETL",
            "-fr",
            "subprocess",
            "etl-queue",
        ],
    );
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert_eq!(ran.stdout, format!("{QUEUE_ID}\n"));
    insta::assert_snapshot!(api.requests().join("\n"), @r#"POST /work_queues/ {"name":"etl-queue","filter":{"tags":["ETL"],"deployment_ids":null,"flow_runner_types":["subprocess"]}}"#);
}

#[test]
fn queues_are_listed() {
    insta::assert_snapshot!(run(&api(), &["work-queue", "ls", "-o", "wide"]), @r#"
        exit code 0
        --- stdout
        ┌──────────────────────────────────────┬───────────┬───────┬────────┬───────────┐
        │ ID                                   ┆ Name      ┆ Limit ┆ Paused ┆ Filter    │
        ╞══════════════════════════════════════╪═══════════╪═══════╪════════╪═══════════╡
        │ 11111111-1111-4111-8111-111111111111 ┆ etl-queue ┆ 3     ┆ -      ┆ tags: ETL │
        └──────────────────────────────────────┴───────────┴───────┴────────┴───────────┘
        --- stderr
        "#);
}

#[test]
fn a_queue_is_found_by_name_and_by_id() {
    let api = api();
    assert_eq!(run(&api, &["work-queue", "pause", "etl-queue"]).code, 0);
    assert_eq!(run(&api, &["work-queue", "resume", QUEUE_ID]).code, 0);
    insta::assert_snapshot!(api.requests().join("\n"), @r#"
        GET /work_queues/name/etl-queue
        PATCH /work_queues/11111111-1111-4111-8111-111111111111 {"is_paused":true}
        GET /work_queues/11111111-1111-4111-8111-111111111111
        PATCH /work_queues/11111111-1111-4111-8111-111111111111 {"is_paused":false}
        "#);
}

#[test]
fn a_misspelt_queue_is_told_the_right_one() {
    insta::assert_snapshot!(run(&api(), &["work-queue", "inspect", "etl-queu"]), @r#"
        exit code 4
        --- stdout
        --- stderr
        Error: there is no work queue 'etl-queu'
        Hint: did you mean 'etl-queue'?
        Hint: list them with `prefect-rs work-queue ls`
        "#);
}

#[test]
fn a_preview_shows_what_is_due() {
    insta::assert_snapshot!(run(&api(), &["work-queue", "preview", "etl-queue"]), @r#"
        exit code 0
        --- stdout
        ┌─────────────────────────┬─────────────┬──────────────────────────────────────┬─────────────────┬───────┬──────────────────────────────────────┐
        │ Scheduled start         ┆ When        ┆ Run ID                               ┆ Name            ┆ State ┆ Deployment ID                        │
        ╞═════════════════════════╪═════════════╪══════════════════════════════════════╪═════════════════╪═══════╪══════════════════════════════════════╡
        │ 2020-01-01 00:00:00 UTC ┆ N years ago ┆ 44444444-4444-4444-8444-444444444444 ┆ calm-�[31motter ┆ Late  ┆ 33333333-3333-4333-8333-333333333333 │
        └─────────────────────────┴─────────────┴──────────────────────────────────────┴─────────────────┴───────┴──────────────────────────────────────┘
        --- stderr
        "#);
}

#[test]
fn deployments_are_listed_with_their_schedules() {
    insta::assert_snapshot!(run(&api(), &["deployment", "ls", "-o", "wide"]), @r#"
        exit code 0
        --- stdout
        ┌────────────────────────┬──────────────────────────────────────┬──────────────────────────────┬──────┬───────────────────┐
        │ Name                   ┆ ID                                   ┆ Schedule                     ┆ Tags ┆ Parameters        │
        ╞════════════════════════╪══════════════════════════════════════╪══════════════════════════════╪══════╪═══════════════════╡
        │ my ETL flow/etl-deploy ┆ 33333333-3333-4333-8333-333333333333 ┆ cron 0 8 * * * Europe/Berlin ┆ ETL  ┆ {"name":"Marvin"} │
        └────────────────────────┴──────────────────────────────────────┴──────────────────────────────┴──────┴───────────────────┘
        --- stderr
        "#);
}

#[test]
fn a_deployment_is_run_with_parameters() {
    let api = api();
    let ran = run(
        &api,
        &[
            "deployment",
            "run",
            "my ETL flow/etl-deploy",
            "--param",
            "days=[1, 2]",
            "--param",
            "name=Zoe",
            "--start-at",
            "2026-12-01T08:00:00Z",
        ],
    );
    assert_eq!(ran.stdout, format!("{RUN_ID}\n"));
    insta::assert_snapshot!(api.requests()[1], @r#"POST /deployments/33333333-3333-4333-8333-333333333333/create_flow_run {"parameters":{"days":[1,2],"name":"Zoe"},"tags":[],"state":{"type":"SCHEDULED","name":"Scheduled","state_details":{"scheduled_time":"2026-12-01T08:00:00Z"}}}"#);
}

#[test]
fn a_run_without_a_time_starts_now_by_the_clock_of_the_server() {
    let api = api();
    run(&api, &["deployment", "run", "my ETL flow/etl-deploy"]);
    insta::assert_snapshot!(api.requests()[1], @r#"POST /deployments/33333333-3333-4333-8333-333333333333/create_flow_run {"parameters":{},"tags":[],"state":{"type":"SCHEDULED","name":"Scheduled"}}"#);
}

#[test]
fn a_parameter_that_a_flow_does_not_have_makes_no_run() {
    for (given, hint) in [
        ("nam=Zoe", "did you mean 'name'?"),
        ("weather=fine", "it has 'name', 'days'"),
    ] {
        let api = api();
        let run = ["deployment", "run", "my ETL flow/etl-deploy", "-p", given];
        let refused = self::run(&api, &run);
        assert_eq!(refused.code, 2, "{refused}");
        assert!(refused.stderr.contains(hint), "{refused}");
        assert_eq!(api.requests().len(), 1, "only the deployment was read");
    }
}

#[test]
fn a_deployment_is_found_by_its_name_alone() {
    insta::assert_snapshot!(run(&api(), &["deployment", "run", "etl-deploy"]), @r#"
        exit code 0
        --- stdout
        44444444-4444-4444-8444-444444444444
        --- stderr
        Created flow run 'calm-�[31motter'.
        "#);
}

#[test]
fn a_run_name_cannot_command_the_terminal() {
    insta::assert_snapshot!(run(&api(), &["flow-run", "ls"]), @r#"
        exit code 0
        --- stdout
        ┌──────────────────────────────────────┬─────────────┬─────────────────┬───────┬─────────────┐
        │ ID                                   ┆ Flow        ┆ Name            ┆ State ┆ When        │
        ╞══════════════════════════════════════╪═════════════╪═════════════════╪═══════╪═════════════╡
        │ 44444444-4444-4444-8444-444444444444 ┆ my ETL flow ┆ calm-�[31motter ┆ Late  ┆ N years ago │
        └──────────────────────────────────────┴─────────────┴─────────────────┴───────┴─────────────┘
        --- stderr
        "#);
}

#[test]
fn json_is_the_answer_as_it_came() {
    let ran = run(&api(), &["flow-run", "ls", "-o", "json"]);
    let printed: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(
        printed,
        serde_json::from_str::<serde_json::Value>(&list(&[FLOW_RUN])).unwrap()
    );
}

#[test]
fn logs_are_printed_in_order() {
    insta::assert_snapshot!(run(&api(), &["flow-run", "logs", RUN_ID]), @r#"
        exit code 0
        --- stdout
        2020-01-01 00:00:01.500 | INFO     | prefect.flow_runs - one
        2020-01-01 00:00:02.000 | ERROR    | prefect.task_runs - two
        --- stderr
        "#);
    let api = api();
    run(&api, &["flow-run", "logs", "-n", "1", RUN_ID]);
    let asked = api.requests().pop().unwrap();
    assert!(
        asked.contains("TIMESTAMP_DESC") && asked.contains(r#""limit":1,"#),
        "{asked}"
    );
}

#[test]
fn a_run_that_has_ended_cannot_be_cancelled() {
    insta::assert_snapshot!(run(&api(), &["flow-run", "cancel", "66666666-6666-4666-8666-666666666666"]), @r#"
        exit code 5
        --- stdout
        --- stderr
        Error: flow run '66666666-6666-4666-8666-666666666666' has ended already: it is Completed
        "#);
}

#[test]
fn explain_names_the_queue_and_the_remedy() {
    insta::assert_snapshot!(run(&api(), &["flow-run", "explain", RUN_ID]), @r#"
        exit code 0
        --- stdout
        Flow run 'calm-�[31motter' (44444444-4444-4444-8444-444444444444)

        No agent polls work queue etl-queue. The last one asked at �[31m2020.
        What helps: prefect-rs agent start etl-queue
        --- stderr
        "#);
}

#[test]
fn a_missing_run_is_not_found() {
    let ran = run(
        &api(),
        &[
            "flow-run",
            "inspect",
            "77777777-7777-4777-8777-777777777777",
        ],
    );
    assert_eq!(ran.code, 4);
    assert!(
        ran.stderr
            .starts_with("Error: there is no flow run '77777777"),
        "{ran}"
    );
}

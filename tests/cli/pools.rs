//! What the nouns of pools and workers print, and what they ask of the API.

use crate::support::{FixedApi, Home, Ran};

const POOL: &str = r#"{"id": "11111111-1111-4111-8111-111111111111", "created": null, "updated": null, "name": "shed", "description": "heavy work", "type": "process", "is_paused": false, "concurrency_limit": 3, "status": "READY", "base_job_template": {"job_configuration": {"command": "{{ command }}"}, "variables": {}}}"#;
const OTHER: &str = r#"{"id": "22222222-2222-4222-8222-222222222222", "created": null, "updated": null, "name": "dock", "description": null, "type": "docker", "is_paused": true, "concurrency_limit": null, "status": "PAUSED", "base_job_template": {}}"#;
const QUEUE: &str = r#"{"id": "33333333-3333-4333-8333-333333333333", "created": null, "updated": null, "name": "urgent", "description": "", "is_paused": false, "concurrency_limit": 2, "filter": null, "priority": 1, "work_pool_name": "shed", "status": "NOT_READY"}"#;
const RUN: &str = r#"{"work_queue_id": "33333333-3333-4333-8333-333333333333", "work_pool_id": "11111111-1111-4111-8111-111111111111", "flow_run": {"id": "44444444-4444-4444-8444-444444444444", "created": null, "name": "calm-otter", "flow_id": "55555555-5555-4555-8555-555555555555", "deployment_id": "66666666-6666-4666-8666-666666666666", "next_scheduled_start_time": "2020-01-01T00:00:00Z", "state": {"type": "SCHEDULED", "name": "Late"}}}"#;
const WORKER: &str =
    r#"{"name": "w1", "status": "ONLINE", "last_heartbeat_time": "2020-01-01T00:00:00Z"}"#;
const QUEUE_ID: &str = "33333333-3333-4333-8333-333333333333";

fn list(items: &[&str]) -> String {
    format!("[{}]", items.join(","))
}

fn api() -> FixedApi {
    FixedApi::start(&[
        ("POST /work_pools/", 201, POOL),
        ("POST /work_pools/filter", 200, &list(&[OTHER, POOL])),
        ("GET /work_pools/shed", 200, POOL),
        ("GET /work_pools/dock", 200, OTHER),
        ("PATCH /work_pools/shed", 204, ""),
        ("DELETE /work_pools/shed", 204, ""),
        ("POST /work_pools/shed/queues", 201, QUEUE),
        ("POST /work_pools/shed/queues/filter", 200, &list(&[QUEUE])),
        ("GET /work_pools/shed/queues/urgent", 200, QUEUE),
        (&format!("PATCH /work_queues/{QUEUE_ID}"), 204, ""),
        (
            "POST /work_pools/shed/workers/filter",
            200,
            &list(&[WORKER]),
        ),
        (
            "POST /work_pools/shed/get_scheduled_flow_runs",
            200,
            &list(&[RUN]),
        ),
    ])
}

fn run(api: &FixedApi, args: &[&str]) -> Ran {
    let mut ran = Home::new().run_with(args, &[("PREFECT_API_URL", &api.url)]);
    // How long ago 2020 is changes by itself, as does where the API is.
    let years: String = (1..100).map(|n| format!("{n} years ago|")).collect();
    for ago in years.split('|').rev().filter(|ago| !ago.is_empty()) {
        ran.stdout = ran.stdout.replace(ago, "N years ago");
    }
    ran.stderr = ran.stderr.replace(&api.url, "$API");
    ran
}

#[test]
fn creating_a_pool_prints_its_id_alone_and_sends_its_template() {
    let api = api();
    let ran = run(&api, &["work-pool", "create", "--paused", "shed"]);
    insta::assert_snapshot!(ran, @r#"
        exit code 0
        --- stdout
        11111111-1111-4111-8111-111111111111
        --- stderr
        Start a worker for it with `prefect-rs worker start --pool shed`.
        "#);
    let asked = api.requests().join("\n");
    assert!(asked.starts_with(r#"POST /work_pools/ {"name":"shed","type":"process","base_job_template":{"job_configuration":{"command":"{{ command }}""#), "{asked}");
    assert!(asked.ends_with(r#""is_paused":true}"#), "{asked}");
}

#[test]
fn pools_and_their_queues_are_listed() {
    insta::assert_snapshot!(run(&api(), &["work-pool", "ls", "-o", "wide"]), @r#"
        exit code 0
        --- stdout
        ┌──────┬─────────┬──────────────────────────────────────┬───────┬────────┬─────────────┐
        │ Name ┆ Type    ┆ ID                                   ┆ Limit ┆ Status ┆ Description │
        ╞══════╪═════════╪══════════════════════════════════════╪═══════╪════════╪═════════════╡
        │ dock ┆ docker  ┆ 22222222-2222-4222-8222-222222222222 ┆ -     ┆ paused ┆ -           │
        │ shed ┆ process ┆ 11111111-1111-4111-8111-111111111111 ┆ 3     ┆ ready  ┆ heavy work  │
        └──────┴─────────┴──────────────────────────────────────┴───────┴────────┴─────────────┘
        --- stderr
        "#);
    insta::assert_snapshot!(run(&api(), &["work-queue", "ls", "--pool", "shed"]), @r#"
        exit code 0
        --- stdout
        ┌──────────────────────────────────────┬────────┬──────┬──────────┬───────┬───────────┐
        │ ID                                   ┆ Name   ┆ Pool ┆ Priority ┆ Limit ┆ Status    │
        ╞══════════════════════════════════════╪════════╪══════╪══════════╪═══════╪═══════════╡
        │ 33333333-3333-4333-8333-333333333333 ┆ urgent ┆ shed ┆ 1        ┆ 2     ┆ not ready │
        └──────────────────────────────────────┴────────┴──────┴──────────┴───────┴───────────┘
        --- stderr
        "#);
    insta::assert_snapshot!(run(&api(), &["work-pool", "inspect", "shed"]), @r#"
        exit code 0
        --- stdout
        id                                           11111111-1111-4111-8111-111111111111
        name                                         shed
        description                                  heavy work
        type                                         process
        is_paused                                    false
        concurrency_limit                            3
        status                                       READY
        base_job_template.job_configuration.command  {{ command }}

        Queues:
          urgent  NOT_READY

        Workers:
          w1  ONLINE, heard N years ago
        --- stderr
        "#);
}

#[test]
fn a_preview_shows_what_workers_would_take() {
    insta::assert_snapshot!(run(&api(), &["work-pool", "preview", "shed"]), @r#"
        exit code 0
        --- stdout
        ┌─────────────────────────┬─────────────┬──────────────────────────────────────┬────────────┬───────┬──────────────────────────────────────┐
        │ Scheduled start         ┆ When        ┆ Run ID                               ┆ Name       ┆ State ┆ Deployment ID                        │
        ╞═════════════════════════╪═════════════╪══════════════════════════════════════╪════════════╪═══════╪══════════════════════════════════════╡
        │ 2020-01-01 00:00:00 UTC ┆ N years ago ┆ 44444444-4444-4444-8444-444444444444 ┆ calm-otter ┆ Late  ┆ 66666666-6666-4666-8666-666666666666 │
        └─────────────────────────┴─────────────┴──────────────────────────────────────┴────────────┴───────┴──────────────────────────────────────┘
        --- stderr
        "#);
}

#[test]
fn pools_and_queues_of_them_are_changed() {
    let api = api();
    for args in [
        &["work-pool", "pause", "shed"][..],
        &["work-pool", "resume", "shed"],
        &["work-pool", "set-concurrency-limit", "shed", "5"],
        &["work-pool", "clear-concurrency-limit", "shed"],
        &["work-pool", "update", "--description", "light work", "shed"],
        &["work-pool", "delete", "shed"],
        &[
            "work-queue",
            "create",
            "-p",
            "shed",
            "-q",
            "1",
            "-l",
            "2",
            "urgent",
        ],
        &["work-queue", "pause", "-p", "shed", "urgent"],
    ] {
        let ran = run(&api, args);
        assert_eq!(ran.code, 0, "{args:?}: {ran}");
    }
    let asked = api.requests();
    let changes = asked.iter().filter(|asked| !asked.starts_with("GET"));
    let changes: Vec<&str> = changes.map(String::as_str).collect();
    insta::assert_snapshot!(changes.join("\n"), @r#"
        PATCH /work_pools/shed {"is_paused":true}
        PATCH /work_pools/shed {"is_paused":false}
        PATCH /work_pools/shed {"concurrency_limit":5}
        PATCH /work_pools/shed {"concurrency_limit":null}
        PATCH /work_pools/shed {"description":"light work"}
        DELETE /work_pools/shed
        POST /work_pools/shed/queues {"name":"urgent","concurrency_limit":2,"priority":1}
        PATCH /work_queues/33333333-3333-4333-8333-333333333333 {"is_paused":true}
        "#);
}

#[rstest::rstest]
#[case::a_pool_that_is_not_there(&["work-pool", "inspect", "shad"], 4, "did you mean 'shed'?")]
#[case::no_pool(&["worker", "start"], 2, "PREFECT_DEFAULT_WORK_POOL_NAME=NAME")]
#[case::nothing_to_change(&["work-pool", "update", "shed"], 2, "--concurrency-limit 5")]
#[case::another_type(&["worker", "start", "-p", "x", "-t", "docker"], 2, "prefect worker start --type docker")]
#[case::a_pool_of_another_type(&["worker", "start", "-p", "dock"], 5, "prefect worker start --pool dock")]
#[case::a_queue_that_is_not_there(&["worker", "start", "-p", "shed", "-q", "slow"], 4, "prefect-rs work-queue create slow --pool shed")]
#[case::a_queue_of_no_pool(&["worker", "start", "-p", "shud", "-q", "slow"], 4, "prefect-rs work-pool create --type process shud")]
#[case::a_pool_that_may_not_be_made(&["worker", "start", "-p", "shad", "--no-create-pool-if-not-found"], 4, "prefect-rs work-pool create shad")]
#[case::no_template(&["work-pool", "create", "--base-job-template", "/absent.json", "shed"], 2, "get-default-base-job-template")]
fn a_mistake_is_told_with_its_remedy(
    #[case] args: &[&str],
    #[case] code: i32,
    #[case] remedy: &str,
) {
    let ran = run(&api(), args);
    assert_eq!(ran.code, code, "{ran}");
    assert!(ran.stderr.contains(remedy), "{ran}");
}

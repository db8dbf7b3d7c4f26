//! Lists and the first page: their filters, orders, counts and dots.

use super::*;

/// Five hundred runs more, of which every fifth waits; ids end in numbers without an order.
const MANY: &str = "INSERT INTO flow_run (id, created, updated, name, flow_id, state_type, state_name, \
       expected_start_time, start_time, end_time, total_run_time, tags) \
     WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 499) \
     SELECT printf('10000000-0000-4000-8000-%08x%04x', i, (i * 40503) % 65536), '2026-11-23 10:00:00.000000', \
       '2026-11-23 10:00:00.000000', printf('run-%03d', (i * 7) % 500), '00000000-0000-0000-0000-0000000000f1', \
       CASE WHEN i % 5 THEN 'COMPLETED' ELSE 'PENDING' END, CASE WHEN i % 5 THEN 'Completed' ELSE 'Pending' END, \
       printf('2026-11-23 09:%02d:00.000000', i % 60), \
       CASE WHEN i % 5 THEN printf('2026-11-23 09:%02d:01.000000', i % 60) END, \
       CASE WHEN i % 5 THEN printf('2026-11-23 09:%02d:30.000000', (i * 11) % 60) END, 1.0, '[]' FROM n";

#[tokio::test]
async fn the_first_page_counts_bars_cards_and_lists_alike() {
    let app = App::new().await;
    let page = app.post("/ui/overview", day()).await;
    assert_eq!(page["first_run"], false);
    assert_eq!(page["history"].as_array().unwrap().len(), 30);
    let full: Vec<_> = page["history"]
        .as_array()
        .unwrap()
        .iter()
        .enumerate()
        .filter(|(_, b)| b["states"] != json!([]))
        .collect();
    assert_eq!(full.len(), 1, "both runs are due in one interval");
    assert_eq!(full[0].0, 14);
    let states = full[0].1["states"].as_array().unwrap();
    let late = states.iter().find(|s| s["state_name"] == "Late").unwrap();
    assert_eq!(late["count_runs"], 1);
    assert!((late["sum_estimated_lateness"].as_f64().unwrap() - 3602.0).abs() < 0.1);
    assert_eq!(
        page["counts"],
        json!({"flows": 1, "deployments": 1, "flow_runs": 2, "task_runs": 2})
    );
    assert_eq!(page["flows"][0]["flow_runs"], 2);
    assert_eq!(page["flows"][0]["last_run"]["name"], "quiet-heron");
    assert_eq!(
        page["attention"][0]["summary"],
        "1 run is late: no agent polls work queue etl-queue"
    );
    assert_eq!(
        page["attention"][0]["command"],
        "prefect-rs agent start etl-queue"
    );
}

/// 700 late runs of the deployment that no agent takes, and two that it is not.
const LATE_MANY: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 702) \
    INSERT INTO flow_run (id, created, updated, name, flow_id, deployment_id, state_type, state_name, expected_start_time, tags) \
    SELECT 'late-' || i, '2026-11-23 10:00:00.000000', '2026-11-23 10:00:00.000000', 'late-' || i, flow_id, \
      CASE WHEN i > 2 THEN deployment_id END, 'SCHEDULED', 'Late', '2026-11-20 09:00:00.000000', tags \
    FROM n JOIN flow_run ON name = 'amber-lynx'";

#[tokio::test]
async fn all_late_runs_are_counted_and_what_most_wait_for_comes_first() {
    let app = App::with(&[LATE_MANY]).await;
    let page = app.post("/ui/overview", day()).await;
    let causes: Vec<_> = page["attention"].as_array().unwrap().iter().collect();
    let told = |n: usize| (causes[n]["summary"].as_str().unwrap(), &causes[n]["count"]);
    assert_eq!(
        told(0),
        (
            "701 runs are late: no agent polls work queue etl-queue",
            &json!(701)
        )
    );
    assert_eq!(
        told(1),
        (
            "2 runs are late: no agent runs what belongs to no deployment",
            &json!(2)
        )
    );
    assert!(
        causes[0]["since"]
            .as_str()
            .unwrap()
            .starts_with("2026-11-20T09:00")
    );
}

#[tokio::test]
async fn a_card_and_the_list_behind_it_agree() {
    let app = App::new().await;
    let mut ask = day();
    ask["state"] = json!({"name": {"any_": ["Late"]}});
    let page = app.post("/ui/overview", ask.clone()).await;
    assert_eq!(page["counts"]["flow_runs"], 1);
    assert_eq!(
        page["states"].as_array().unwrap().len(),
        2,
        "the cards keep counting every state"
    );
    let mut list = day();
    list["flow_runs"]["state"] = ask["state"].clone();
    list["points"] = json!(100);
    let list = app.post("/ui/flow_runs", list).await;
    assert_eq!(
        (list["count"].clone(), list["results"][0]["name"].clone()),
        (json!(1), json!("amber-lynx"))
    );
    assert_eq!(list["points"], json!([]));
}

#[tokio::test]
async fn the_pages_of_a_list_are_one_list_from_its_first_to_its_last() {
    let app = App::with(&[MANY]).await;
    let key = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    for (sort, field, falls) in [
        ("EXPECTED_START_TIME_DESC", "expected_start_time", true),
        ("EXPECTED_START_TIME_ASC", "expected_start_time", false),
        ("END_TIME_DESC", "end_time", true),
        ("NAME_ASC", "name", false),
    ] {
        let mut rows = Vec::new();
        for offset in (0..600).step_by(40) {
            let mut ask = day();
            ask["sort"] = json!(sort);
            ask["limit"] = json!(40);
            ask["offset"] = json!(offset);
            let page = app.post("/ui/flow_runs", ask).await;
            assert_eq!(page["count"], 502);
            rows.extend(page["results"].as_array().unwrap().clone());
        }
        let ids: std::collections::HashSet<_> = rows.iter().map(|row| key(row, "id")).collect();
        assert_eq!((rows.len(), ids.len()), (502, 502), "{sort}: each run once");
        let got: Vec<_> = rows.iter().map(|row| key(row, field)).collect();
        let mut wanted = got.clone();
        wanted.sort();
        if falls {
            wanted.reverse();
        }
        assert_eq!(got, wanted, "{sort}");
    }
}

#[tokio::test]
async fn the_newest_run_of_a_flow_is_found_among_many() {
    let app = App::with(&[MANY]).await;
    let mut late = day();
    late["state"] = json!({"name": {"any_": ["Late"]}});
    for ask in [day(), late] {
        let page = app.post("/ui/overview", ask).await;
        assert_eq!(page["flows"][0]["last_run"]["name"], "quiet-heron");
    }
    let mut before = day();
    before["flow_runs"]["expected_start_time"]["before_"] = json!("2026-11-23T10:30:00Z");
    let page = app.post("/ui/overview", before).await;
    let at = page["flows"][0]["last_run"]["at"].as_str().unwrap();
    assert!(at.starts_with("2026-11-23T09:59:01"), "{at}");
}

#[tokio::test]
async fn dots_are_taken_evenly_of_what_has_started() {
    let app = App::with(&[MANY]).await;
    let mut ask = day();
    ask["points"] = json!(100);
    let page = app.post("/ui/flow_runs", ask.clone()).await;
    assert_eq!(page["started"], 401);
    let drawn = page["points"].as_array().unwrap();
    assert!((60..=140).contains(&drawn.len()), "{} dots", drawn.len());
    let minutes: std::collections::HashSet<_> = drawn
        .iter()
        .map(|dot| dot["at"].as_str().unwrap()[14..15].to_owned())
        .collect();
    assert_eq!(minutes.len(), 6, "of every ten minutes");
    ask["points"] = json!(1000);
    let page = app.post("/ui/flow_runs", ask).await;
    assert_eq!(page["points"].as_array().unwrap().len(), 401);
}

#[tokio::test]
async fn the_first_page_counts_the_deployments_that_its_list_has() {
    let app = App::new().await;
    for (flow, count) in [("etl", 1), ("another", 0)] {
        let mut ask = day();
        ask["flows"] = json!({"name": {"any_": [flow]}});
        let page = app.post("/ui/overview", ask.clone()).await;
        let list = app.post("/ui/deployments", ask).await;
        assert_eq!(page["counts"]["deployments"], count);
        assert_eq!(list["count"], count);
    }
}

#[tokio::test]
async fn lists_search_texts_as_they_stand() {
    let app = App::new().await;
    let logs = app
        .post(
            "/ui/logs",
            json!({"flow_run_id": DONE, "search": "50%", "level": 30}),
        )
        .await;
    assert_eq!(logs["results"][0]["task_run_name"], "call-0");
    let none = app
        .post("/ui/logs", json!({"flow_run_id": DONE, "search": "5_%"}))
        .await;
    assert_eq!(none["count"], 0);
    let tasks = app
        .post(
            "/ui/task_runs",
            json!({"flow_runs": {"id": {"any_": [DONE]}}, "failures_first": true}),
        )
        .await;
    assert_eq!(tasks["results"][0]["name"], "call-0");
    let deployments = app
        .post(
            "/ui/deployments",
            json!({"deployments": {"tags": {"all_": ["ETL"]}}}),
        )
        .await;
    assert_eq!(deployments["results"][0]["late"], 1);
}

#[tokio::test]
async fn the_newest_runs_of_a_deployment_are_shown_whatever_became_of_them() {
    let app = App::with(&[
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40) \
         INSERT INTO flow_run (id, created, updated, name, flow_id, deployment_id, state_type, state_name, expected_start_time, start_time) \
         SELECT printf('00000000-0000-0000-0000-%012d', 1000 + i), '2026-11-22', '2026-11-22', 'run-' || i, \
           '00000000-0000-0000-0000-0000000000f1', '00000000-0000-0000-0000-0000000000d1', \
           CASE i % 3 WHEN 0 THEN 'FAILED' WHEN 1 THEN 'CRASHED' ELSE 'COMPLETED' END, 'x', \
           printf('2026-11-22 11:%02d:00.000000', i), printf('2026-11-22 11:%02d:01.000000', i) FROM n",
        "INSERT INTO flow_run (id, created, updated, name, flow_id, deployment_id, state_type, state_name, expected_start_time) \
         VALUES ('00000000-0000-0000-0000-000000002000', '2026-11-22', '2026-11-22', 'never-begun', \
           '00000000-0000-0000-0000-0000000000f1', '00000000-0000-0000-0000-0000000000d1', 'CANCELLED', 'Cancelled', '2026-11-22 11:39:30.000000')",
    ])
    .await;
    let names = |rows: &Value| -> Vec<String> {
        let names = rows.as_array().unwrap().iter();
        names
            .map(|row| row["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let listed = app.post("/ui/deployments", json!({})).await;
    let mut expected: Vec<_> = (30..=40).map(|i| format!("run-{i}")).collect();
    expected.push("quiet-heron".to_owned());
    assert_eq!(names(&listed["results"][0]["recent"]), expected);
    let page = app.get(&format!("/ui/deployments/{DEPLOYMENT}")).await;
    expected.insert(10, "never-begun".to_owned());
    expected.reverse();
    assert_eq!(names(&page["recent"])[..13], expected);
    assert_eq!(page["recent"].as_array().unwrap().len(), 20);
}

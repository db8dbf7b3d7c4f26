//! Events found again: filters, pages, counts, and the socket that streams them.

use chrono::{DateTime, TimeDelta, Utc};
use prefect_rs::schemas::event_filters::EventFilter;
use prefect_rs::schemas::events::Event;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::app::TestApp;
use crate::events::{authenticated, hear, post, say};

fn start() -> DateTime<Utc> {
    "2026-11-23T06:00:00Z".parse().unwrap()
}

fn event(n: u128, seconds: i64, name: &str, resource: &str) -> Value {
    json!({
        "occurred": (start() + TimeDelta::seconds(seconds)).to_rfc3339(), "event": name,
        "resource": {"prefect.resource.id": resource, "prefect.resource.name": format!("the {resource}"), "color": "red"},
        "related": [
            {"prefect.resource.id": "flow.1", "prefect.resource.role": "flow", "team": "a_b"},
            {"prefect.resource.id": format!("tag.{}", n % 3), "prefect.resource.role": "tag"},
        ],
        "payload": {"n": n.to_string()}, "id": Uuid::from_u128(n),
    })
}

async fn ids(app: &TestApp, filter: &Value) -> Vec<Value> {
    let (status, page) = post(app, "/api/events/filter", &json!({"filter": filter})).await;
    assert_eq!(status, 200, "{page}");
    page["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["id"].clone())
        .collect()
}

fn any_filter(random: &mut StdRng) -> Value {
    let names = ["a.b", "a.c", "b.a", "a.", "b"];
    let resources = [
        "pot.1", "pot.2", "cup.1", "flow.1", "tag.1", "tag.2", "pot.", "t",
    ];
    let patterns = [
        "*", "pot.?", "!pot.1", "the p*", "red", "a_b", "a?b", "aXb", "flow*", "tag",
    ];
    let labels = [
        "prefect.resource.id",
        "prefect.resource.name",
        "color",
        "team",
        "absent",
    ];
    let some = |random: &mut StdRng, list: &[&str]| -> Value {
        let most = random.random_range(0..3);
        json!(
            (0..most)
                .map(|_| *list.choose(random).unwrap())
                .collect::<Vec<_>>()
        )
    };
    let mut filter = json!({"order": "ASC"});
    if random.random_bool(0.4) {
        let member = *["prefix", "exclude_prefix", "name", "exclude_name"]
            .choose(random)
            .unwrap();
        filter["event"] = json!({member: some(random, &names)});
    }
    let label = |random: &mut StdRng| json!({*labels.choose(random).unwrap(): *patterns.choose(random).unwrap()});
    match random.random_range(0..5) {
        0 => {
            filter["resource"] =
                json!({"id_prefix": some(random, &resources), "labels": label(random)})
        }
        1 => filter["resource"] = json!({"id": some(random, &resources)}),
        2 => {
            filter["related"] =
                json!({"id": some(random, &resources), "role": some(random, &["flow", "tag"])})
        }
        3 => {
            filter["related"] =
                json!([{"labels": label(random), "role": some(random, &["flow", "tag"])}])
        }
        _ => {
            filter["any_resource"] =
                json!({"id_prefix": some(random, &resources), "labels": label(random)})
        }
    }
    if random.random_bool(0.2) {
        filter["text"] = json!({"query": *["POT", "-pot", "+red +\"the cup\"", "nothing a_b"].choose(random).unwrap()});
    }
    filter
}

/// The two ways in which a filter works mean the same.
async fn stored_and_live_agree(app: TestApp, rounds: u64) {
    app.clock.set(start() + TimeDelta::hours(1));
    let mut events = Vec::new();
    for n in 0..24u128 {
        let name = ["a.b", "a.c", "b.a"][(n % 3) as usize];
        let resource = ["pot.1", "pot.2", "cup.1", "cup.[x]"][(n % 4) as usize];
        events.push(event(n, n as i64, name, resource));
    }
    assert_eq!(post(&app, "/api/events", &json!(events)).await.0, 204);
    let received: Vec<_> = events
        .iter()
        .map(|event| {
            serde_json::from_value::<Event>(event.clone())
                .unwrap()
                .receive(start())
        })
        .collect();
    for seed in 0..rounds {
        let filter = any_filter(&mut StdRng::seed_from_u64(seed));
        let live: EventFilter = serde_json::from_value(filter.clone()).unwrap();
        let included = received.iter().filter(|event| live.includes(event));
        let included: Vec<_> = included.map(|event| json!(event.event.id)).collect();
        assert_eq!(ids(&app, &filter).await, included, "{filter}");
    }
    app.close().await;
}

#[tokio::test]
async fn stored_and_live_events_are_filtered_alike() {
    stored_and_live_agree(TestApp::on_sqlite().await, 400).await;
}

#[tokio::test]
async fn stored_and_live_events_are_filtered_alike_on_postgres() {
    if let Some(app) = TestApp::on_postgres().await {
        stored_and_live_agree(app, 400).await;
    }
}

#[tokio::test]
async fn pages_hold_every_event_once_though_others_come() {
    let app = TestApp::on_sqlite().await;
    app.clock.set(start() + TimeDelta::hours(1));
    let events: Vec<_> = (0..120)
        .map(|n| event(n, n as i64 / 3, "a.b", "pot.1"))
        .collect();
    post(&app, "/api/events", &json!(events)).await;
    let (_, mut page) = post(&app, "/api/events/filter", &json!({})).await;
    let mut seen = Vec::new();
    loop {
        assert_eq!(page["total"], 120);
        seen.extend(
            page["events"]
                .as_array()
                .unwrap()
                .iter()
                .map(|event| event["id"].clone()),
        );
        let late = event(1000 + seen.len() as u128, 7000, "a.b", "pot.1");
        post(&app, "/api/events", &json!([late])).await;
        let Some(next) = page["next_page"].as_str() else {
            break;
        };
        let (_, path) = next.split_once("//").unwrap().1.split_once('/').unwrap();
        let (status, next) = app.send("GET", &format!("/{path}"), &[], None).await;
        assert_eq!(status, 200);
        page = next.unwrap();
    }
    let wanted: Vec<_> = events
        .iter()
        .rev()
        .map(|event| event["id"].clone())
        .collect();
    assert_eq!(seen, wanted);
    let (status, _) = app
        .send("GET", "/api/events/filter/next?page-token=bm8", &[], None)
        .await;
    assert_eq!(status, 403);
    assert_eq!(
        post(&app, "/api/events/filter", &json!({"limit": 51}))
            .await
            .0,
        422
    );
    app.close().await;
}

async fn counts(app: TestApp) {
    app.clock.set(start() + TimeDelta::hours(2));
    let events = [
        event(1, 0, "a.b", "pot.1"),
        event(2, 3599, "a.b", "pot.2"),
        event(3, 3600, "a.c", "pot.1"),
    ];
    post(&app, "/api/events", &json!(events)).await;
    let span = json!({"occurred": {"since": start(), "until": start() + TimeDelta::hours(2)}});
    let count = async |by: &str, body: Value| {
        let (status, counts) = post(&app, &format!("/api/events/count-by/{by}"), &body).await;
        assert_eq!(status, 200, "{counts}");
        let counts = counts.as_array().unwrap().clone();
        counts
            .iter()
            .map(|one| format!("{} {} {}", one["value"], one["label"], one["count"]))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        count("event", json!({"filter": span})).await,
        ["\"a.b\" \"a.b\" 2", "\"a.c\" \"a.c\" 1"]
    );
    assert_eq!(
        count("resource", json!({"filter": span})).await,
        ["\"pot.1\" \"the pot.1\" 2", "\"pot.2\" \"the pot.2\" 1"]
    );
    assert_eq!(
        count(
            "time",
            json!({"filter": span, "time_unit": "hour", "time_interval": 0.5})
        )
        .await,
        [
            "\"0\" \"2026-11-23T06:00:00+00:00\" 1",
            "\"1\" \"2026-11-23T06:30:00+00:00\" 1",
            "\"2\" \"2026-11-23T07:00:00+00:00\" 1",
            "\"3\" \"2026-11-23T07:30:00+00:00\" 0",
        ]
    );
    let many = json!({"filter": span, "time_unit": "second"});
    assert_eq!(post(&app, "/api/events/count-by/time", &many).await.0, 422);
    assert_eq!(
        post(&app, "/api/events/count-by/color", &json!({"filter": {}}))
            .await
            .0,
        422
    );
    app.close().await;
}

#[tokio::test]
async fn events_are_counted_by_what_they_share() {
    counts(TestApp::on_sqlite().await).await;
}

#[tokio::test]
async fn events_are_counted_by_what_they_share_on_postgres() {
    if let Some(app) = TestApp::on_postgres().await {
        counts(app).await;
    }
}

#[tokio::test]
async fn a_subscriber_gets_what_was_and_then_what_comes_each_once() {
    let app = TestApp::on_sqlite().await;
    app.clock.set(start() + TimeDelta::seconds(60));
    let address = app.listen().await;
    let stored: Vec<_> = (0..300)
        .map(|n| event(n, n as i64 / 10, "a.b", "pot.1"))
        .collect();
    post(&app, "/api/events", &json!(stored)).await;
    let mut socket = authenticated(&address, "/api/events/out", None).await;
    let filter = json!({"event": {"name": ["a.b"]}, "occurred": {"until": "2036-01-01T00:00:00Z"}});
    say(
        &mut socket,
        &json!({"type": "filter", "filter": filter, "backfill": true}),
    )
    .await;
    let mut heard = Vec::new();
    let next = async |socket: &mut _| {
        let frame: Value = serde_json::from_str(hear(socket).await.to_text().unwrap()).unwrap();
        assert_eq!(frame["type"], "event");
        frame["event"]["id"].clone()
    };
    for _ in 0..300 {
        heard.push(next(&mut socket).await);
    }
    // One again, one that does not fit, one that is new.
    let live = json!([
        stored[299],
        event(900, 61, "a.c", "pot.1"),
        event(901, 62, "a.b", "pot.1")
    ]);
    post(&app, "/api/events", &live).await;
    heard.push(next(&mut socket).await);
    let mut wanted: Vec<_> = stored.iter().map(|event| event["id"].clone()).collect();
    wanted.push(live[2]["id"].clone());
    assert_eq!(heard, wanted);
    app.close().await;
}

#[tokio::test]
async fn log_lines_are_streamed_to_those_who_ask_for_them() {
    let app = TestApp::on_sqlite().await;
    let address = app.listen().await;
    let (mine, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let mut socket = authenticated(&address, "/api/logs/out", None).await;
    say(&mut socket, &json!({"type": "filter", "filter": {"flow_run_id": {"any_": [mine]}, "level": {"ge_": 20}}})).await;
    let line = |run, level, message: &str| json!({"name": "x", "level": level, "message": message, "timestamp": start(), "flow_run_id": run});
    // The subscription begins with the server's reading of it; until then lines pass by.
    let frame = loop {
        let lines = json!([
            line(mine, 10, "no"),
            line(other, 20, "no"),
            line(mine, 20, "yes")
        ]);
        assert_eq!(post(&app, "/api/logs/", &lines).await.0, 201);
        let soon =
            tokio::time::timeout(std::time::Duration::from_millis(50), hear(&mut socket)).await;
        if let Ok(frame) = soon {
            break frame;
        }
    };
    let frame: Value = serde_json::from_str(frame.to_text().unwrap()).unwrap();
    assert_eq!(
        (&frame["type"], &frame["log"]["message"]),
        (&json!("log"), &json!("yes"))
    );
    app.close().await;
}

#[tokio::test]
async fn a_subscription_that_is_none_is_refused_with_a_reason() {
    let app = TestApp::on_sqlite().await;
    let address = app.listen().await;
    for (first, reason) in [
        (json!({"type": "hello"}), "Expected 'filter' message"),
        (
            json!({"type": "filter", "filter": {"color": 1}}),
            "Invalid filter: unknown field `color`",
        ),
    ] {
        let mut socket = authenticated(&address, "/api/events/out", None).await;
        say(&mut socket, &first).await;
        let tokio_tungstenite::tungstenite::Message::Close(Some(frame)) = hear(&mut socket).await
        else {
            panic!("{first} was accepted");
        };
        assert_eq!(u16::from(frame.code), 1002);
        assert!(frame.reason.starts_with(reason), "{}", frame.reason);
    }
    app.close().await;
}

//! Task runs told as records: the same history as the one told by events, and events all the same.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use prefect_rs::clock::Clock;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use crate::app::TestApp;
use crate::events::{CLIENT, authenticated, hear, post, say};

fn start() -> DateTime<Utc> {
    "2026-11-23T06:00:00Z".parse().unwrap()
}

fn text(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// A flow run, with what its events name.
#[derive(Clone)]
pub struct FlowRun {
    pub id: Uuid,
    pub name: String,
    flow_id: Uuid,
    flow_name: String,
}

impl FlowRun {
    /// Reads a run and its flow.
    pub async fn read(app: &TestApp, id: &str) -> Self {
        let get = async |path: String| app.send("GET", &path, CLIENT, None).await.1.unwrap();
        let run = get(format!("/api/flow_runs/{id}")).await;
        let flow = get(format!("/api/flows/{}", run["flow_id"].as_str().unwrap())).await;
        let of = |value: &Value| value.as_str().unwrap().to_owned();
        Self {
            id: of(&run["id"]).parse().unwrap(),
            name: of(&run["name"]),
            flow_id: of(&flow["id"]).parse().unwrap(),
            flow_name: of(&flow["name"]),
        }
    }

    async fn create(app: &TestApp) -> Self {
        let (_, flow) = post(app, "/api/flows/", &json!({"name": "etl"})).await;
        let run = json!({"flow_id": flow["id"], "name": "a run", "state": {"type": "PENDING"}});
        let (status, run) = post(app, "/api/flow_runs/", &run).await;
        assert_eq!(status, 201, "{run}");
        Self::read(app, run["id"].as_str().unwrap()).await
    }
}

/// A task run and the states that it goes through.
pub struct Life {
    pub id: Uuid,
    number: usize,
    states: Vec<Step>,
}

struct Step {
    id: Uuid,
    kind: &'static str,
    name: &'static str,
    at: DateTime<Utc>,
    run_count: u32,
    start: Option<DateTime<Utc>>,
    end: Option<DateTime<Utc>>,
    total: f64,
}

const STEPS: [(&str, &str); 6] = [
    ("PENDING", "Pending"),
    ("RUNNING", "Running"),
    ("SCHEDULED", "AwaitingRetry"),
    ("RUNNING", "Retrying"),
    ("FAILED", "TimedOut"),
    ("COMPLETED", "Completed"),
];

impl Life {
    /// Makes one up, at some time since `from`.
    pub fn any(number: usize, from: DateTime<Utc>, random: &mut StdRng) -> Self {
        let ways: [&[usize]; 6] = [
            &[0],
            &[0, 1],
            &[0, 1, 5],
            &[0, 1, 4],
            &[0, 1, 2, 3],
            &[0, 1, 2, 3, 5],
        ];
        let mut at = from + TimeDelta::milliseconds(random.random_range(0..3000));
        let (mut run_count, mut total, mut begun) = (0, 0.0, None);
        let mut running: Option<DateTime<Utc>> = None;
        let mut step = |n: &usize| {
            let (kind, name) = STEPS[*n];
            at += TimeDelta::microseconds(random.random_range(1..2_000_000));
            if let Some(since) = running.take() {
                total += (at - since).as_seconds_f64();
            }
            if kind == "RUNNING" {
                run_count += 1;
                begun.get_or_insert(at);
                running = Some(at);
            }
            Step {
                id: Uuid::from_u128(random.random()),
                kind,
                name,
                at,
                run_count,
                start: begun,
                end: (*n > 3).then_some(at),
                total,
            }
        };
        let way = ways[number % ways.len()];
        Self {
            states: way.iter().map(&mut step).collect(),
            id: Uuid::from_u128((number as u128) << 64 | 7),
            number,
        }
    }

    fn tags(&self) -> Value {
        [json!(["red"]), json!([]), json!(["red", "a \"tag\""])][self.number % 3].clone()
    }

    fn inputs(&self) -> Value {
        let from = Uuid::from_u128(((self.number as u128).max(1) - 1) << 64 | 7);
        json!({"rows": [{"input_type": "task_run", "id": from}]})
    }

    /// What is said of the run in one of its states, in both ways.
    fn attributes(&self, step: &Step) -> Value {
        let mut all = json!({
            "name": format!("load-{}", self.number), "task_key": "load-1", "dynamic_key": self.number.to_string(),
            "empirical_policy": {"max_retries": 0, "retry_delay_seconds": 0.0, "retries": 2, "retry_delay": [1, 2]},
            "tags": self.tags(), "labels": {}, "task_inputs": self.inputs(),
            "run_count": step.run_count, "flow_run_run_count": 1,
            "expected_start_time": text(self.states[0].at), "total_run_time": step.total,
        });
        for (name, at) in [("start_time", step.start), ("end_time", step.end)] {
            if let Some(at) = at {
                all[name] = text(at).into();
            }
        }
        all
    }

    fn details(step: &Step) -> Value {
        match step.name {
            "AwaitingRetry" => json!({"scheduled_time": text(step.at + TimeDelta::seconds(1))}),
            "Completed" => json!({"cache_key": "of it"}),
            _ => json!({}),
        }
    }

    fn message(step: &Step) -> Option<&'static str> {
        (step.kind == "FAILED").then_some("a Pot is hot")
    }

    fn data(step: &Step) -> Value {
        match step.kind {
            "COMPLETED" => json!({"storage_key": "k", "z": 1.50, "a": null}),
            _ => Value::Null,
        }
    }

    /// The events of its states.
    fn events(&self, of: &FlowRun) -> Vec<Value> {
        let mut before: Option<&Step> = None;
        let event = |step| {
            let event = self.event(of, step, before);
            before = Some(step);
            event
        };
        self.states.iter().map(event).collect()
    }

    fn event(&self, of: &FlowRun, step: &Step, before: Option<&Step>) -> Value {
        let named = |kind: &str, id: Uuid, name: &str| {
            json!({
                "prefect.resource.id": format!("prefect.{kind}.{id}"), "prefect.resource.role": kind,
                "prefect.resource.name": name,
            })
        };
        let mut related = vec![
            named("flow-run", of.id, &of.name),
            named("flow", of.flow_id, &of.flow_name),
        ];
        for tag in self.tags().as_array().unwrap() {
            let id = format!("prefect.tag.{}", tag.as_str().unwrap());
            related.push(json!({"prefect.resource.id": id, "prefect.resource.role": "tag"}));
        }
        let message = Self::message(step);
        json!({
            "occurred": text(step.at), "event": format!("prefect.task-run.{}", step.name),
            "resource": {
                "prefect.resource.id": format!("prefect.task-run.{}", self.id),
                "prefect.resource.name": format!("load-{}", self.number),
                "prefect.run-count": step.run_count.to_string(),
                "prefect.state-message": message.unwrap_or_default(), "prefect.state-name": step.name,
                "prefect.state-timestamp": text(step.at), "prefect.state-type": step.kind,
                "prefect.orchestration": "client",
            },
            "related": related, "id": step.id, "follows": before.map(|before| before.id),
            "payload": {
                "intended": {"from": before.map(|before| before.kind), "to": step.kind},
                "initial_state": before.map(|before| json!({
                    "type": before.kind, "name": before.name, "state_details": {},
                    "message": Self::message(before).unwrap_or_default(),
                })),
                "validated_state": {
                    "type": step.kind, "name": step.name, "message": message,
                    "state_details": Self::details(step), "data": Self::data(step),
                },
                "task_run": self.attributes(step),
            },
        })
    }

    /// A record of some of its states.
    pub fn record(&self, flow_run: Uuid, states: std::ops::Range<usize>) -> Value {
        let state = |step: &Step| {
            json!({
                "id": step.id, "type": step.kind, "name": step.name, "timestamp": text(step.at),
                "message": Self::message(step), "state_details": Self::details(step), "data": Self::data(step),
            })
        };
        let mut record = self.attributes(&self.states[states.end - 1]);
        record["id"] = json!(self.id);
        record["flow_run_id"] = json!(flow_run);
        record["states"] = self.states[states].iter().map(state).collect();
        record
    }

    /// A record of its whole life.
    pub fn whole(&self, flow_run: Uuid) -> Value {
        self.record(flow_run, 0..self.states.len())
    }
}

async fn tell(app: &TestApp, records: &[Value]) {
    let (status, body) = post(app, "/api/task_runs/record", &json!(records)).await;
    assert_eq!(status, 204, "{body}");
}

/// Everything that can be asked of the task runs of a flow run, without ids and times of the server itself.
async fn picture(app: &TestApp, of: &FlowRun) -> Value {
    let runs = json!({"flow_runs": {"id": {"any_": [of.id]}}, "sort": "ID_DESC"});
    let (_, runs) = post(app, "/api/task_runs/filter", &runs).await;
    let mut states = Vec::new();
    for run in runs.as_array().unwrap() {
        let id = run["id"].as_str().unwrap();
        let path = format!("/api/task_run_states/?task_run_id={id}");
        states.push(app.send("GET", &path, CLIENT, None).await.1.unwrap());
    }
    let since = start() - TimeDelta::hours(1);
    let span = json!({"since": since, "until": app.clock.now()});
    let prefix = json!({"prefix": ["prefect.task-run."]});
    let filter = json!({"event": prefix, "occurred": span});
    let question = json!({"filter": filter, "limit": 50});
    let (status, mut page) = post(app, "/api/events/filter", &question).await;
    assert_eq!(status, 200, "{page}");
    let (total, mut events) = (page["total"].take(), Vec::new());
    loop {
        events.extend(page["events"].as_array().unwrap().clone());
        let Some(next) = page["next_page"].as_str() else {
            break;
        };
        let path = format!("/api/{}", next.split_once("/api/").unwrap().1);
        page = app.send("GET", &path, CLIENT, None).await.1.unwrap();
    }
    // How long a run had run before its last state is told as it is now.
    for event in &mut events {
        let run = event["payload"]["task_run"].as_object_mut().unwrap();
        run.remove("total_run_time");
    }
    let mut counts = Vec::new();
    for by in ["event", "resource", "time"] {
        let question = json!({"filter": filter, "time_unit": "minute"});
        counts.push(
            post(app, &format!("/api/events/count-by/{by}"), &question)
                .await
                .1,
        );
    }
    let history = json!({
        "history_start": since, "history_end": app.clock.now(), "history_interval_seconds": 600,
        "flow_runs": {"id": {"any_": [of.id]}},
    });
    let (status, history) = post(app, "/api/task_runs/history", &history).await;
    assert_eq!(status, 200, "{history}");
    let path = format!("/api/flow_runs/{}/graph-v2", of.id);
    let (_, graph) = app.send("GET", &path, CLIENT, None).await;
    let nodes = graph.unwrap_or_default()["nodes"].take();
    let mut all = json!({
        "runs": runs, "states": states, "total": total, "events": events,
        "counts": counts, "history": history, "graph": nodes,
    });
    without_own(&mut all);
    let text = all.to_string();
    let text = text.replace(&of.id.to_string(), "FLOW-RUN");
    serde_json::from_str(&text.replace(&of.flow_id.to_string(), "FLOW")).unwrap()
}

/// Leaves out what is the server's own: its ids and its times.
fn without_own(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for own in ["created", "updated", "received", "recorded"] {
                members.remove(own);
            }
            members.values_mut().for_each(without_own);
        }
        Value::Array(items) => items.iter_mut().for_each(without_own),
        _ => {}
    }
}

/// Cuts lives into records, some of which repeat states, in any order.
fn cut(lives: &[Life], flow_run: Uuid, random: &mut StdRng) -> Vec<Value> {
    let mut records = Vec::new();
    for life in lives {
        let mut from = 0;
        while from < life.states.len() {
            let to = random.random_range(from + 1..=life.states.len());
            let repeated = random.random_range(0..=from);
            records.push(life.record(flow_run, repeated..to));
            from = to;
        }
    }
    for _ in 0..records.len() / 3 {
        records.push(records[random.random_range(0..records.len())].clone());
    }
    records.shuffle(random);
    records
}

async fn apps() -> Vec<(TestApp, TestApp)> {
    let mut apps = vec![(TestApp::on_sqlite().await, TestApp::on_sqlite().await)];
    if let (Some(one), Some(other)) = (TestApp::on_postgres().await, TestApp::on_postgres().await) {
        apps.push((one, other));
    }
    for (one, other) in &apps {
        one.clock.set(start());
        other.clock.set(start());
    }
    apps
}

async fn records_and_events_tell_the_same(seed: u64, of_events: TestApp, of_records: TestApp) {
    let random = &mut StdRng::seed_from_u64(seed);
    let one = FlowRun::create(&of_events).await;
    let other = FlowRun::create(&of_records).await;
    let lives: Vec<Life> = (0..random.random_range(1..20))
        .map(|n| Life::any(n, start(), random))
        .collect();
    of_events.clock.advance(TimeDelta::minutes(1));
    of_records.clock.advance(TimeDelta::minutes(1));
    let events: Vec<Value> = lives.iter().flat_map(|life| life.events(&one)).collect();
    assert_eq!(post(&of_events, "/api/events", &json!(events)).await.0, 204);
    let records = cut(&lives, other.id, random);
    let mut rest = &records[..];
    while !rest.is_empty() {
        let (batch, others) = rest.split_at(random.random_range(1..=rest.len()));
        tell(&of_records, batch).await;
        rest = others;
    }
    let (told, recorded) = (
        picture(&of_events, &one).await,
        picture(&of_records, &other).await,
    );
    for part in [
        "runs", "states", "total", "events", "counts", "history", "graph",
    ] {
        assert_eq!(told[part], recorded[part], "seed {seed}, {part}");
    }
    assert_eq!(told["total"], json!(events.len()));
    // What has happened stays when the run is deleted.
    for (app, run) in [(&of_events, &one), (&of_records, &other)] {
        let path = format!("/api/flow_runs/{}", run.id);
        assert_eq!(app.send("DELETE", &path, CLIENT, None).await.0, 204);
        let after = picture(app, run).await;
        for part in ["total", "events", "counts"] {
            assert_eq!(
                after[part], told[part],
                "seed {seed}, {part} of what was deleted"
            );
        }
    }
    of_events.close().await;
    of_records.close().await;
}

#[tokio::test]
async fn records_and_events_tell_the_same_history() {
    for seed in 0..6 {
        for (of_events, of_records) in apps().await {
            records_and_events_tell_the_same(seed, of_events, of_records).await;
        }
    }
}

#[tokio::test]
async fn what_both_tell_of_one_run_counts_once() {
    for (app, other) in apps().await {
        let run = FlowRun::create(&app).await;
        let random = &mut StdRng::seed_from_u64(1);
        let life = Life::any(2, start(), random);
        app.clock.set(start() + TimeDelta::minutes(1));
        tell(&app, &[life.record(run.id, 0..2)]).await;
        assert_eq!(
            post(&app, "/api/events", &json!(life.events(&run))).await.0,
            204
        );
        tell(&app, &[life.whole(run.id)]).await;
        let seen = picture(&app, &run).await;
        assert_eq!(seen["total"], json!(3), "{seen}");
        assert_eq!(seen["states"][0].as_array().unwrap().len(), 3);
        assert_eq!(seen["runs"][0]["state_name"], "Completed");
        app.close().await;
        other.close().await;
    }
}

#[tokio::test]
async fn a_call_that_is_known_by_another_id_keeps_it() {
    for (app, other) in apps().await {
        let run = FlowRun::create(&app).await;
        let random = &mut StdRng::seed_from_u64(3);
        let (first, mut second) = (Life::any(2, start(), random), Life::any(2, start(), random));
        second.id = Uuid::from_u128(99);
        app.clock.set(start() + TimeDelta::minutes(1));
        // In one batch, and in the next one.
        for _ in 0..2 {
            tell(
                &app,
                &[second.record(run.id, 1..3), first.record(run.id, 0..2)],
            )
            .await;
        }
        let seen = picture(&app, &run).await;
        let least = first.id.min(second.id);
        assert_eq!(seen["runs"].as_array().unwrap().len(), 1);
        assert_eq!(seen["runs"][0]["id"], json!(least));
        let states = seen["states"][0].as_array().unwrap();
        assert_eq!(states.len(), 4, "{states:?}");
        for state in states {
            assert_eq!(state["state_details"]["task_run_id"], json!(least));
        }
        app.close().await;
        other.close().await;
    }
}

#[tokio::test]
async fn runs_of_unknown_flow_runs_are_left_out_and_of_ended_ones_recorded() {
    for (app, other) in apps().await {
        let run = FlowRun::create(&app).await;
        let random = &mut StdRng::seed_from_u64(2);
        let lives: Vec<Life> = (0..3).map(|n| Life::any(n + 6, start(), random)).collect();
        let crashed = json!({"state": {"type": "CRASHED"}, "force": true});
        let path = format!("/api/flow_runs/{}/set_state", run.id);
        assert_eq!(post(&app, &path, &crashed).await.0, 201);
        app.clock.set(start() + TimeDelta::minutes(1));
        let lost = Uuid::from_u128(1);
        tell(
            &app,
            &[
                lives[0].whole(lost),
                lives[1].whole(run.id),
                lives[2].whole(run.id),
            ],
        )
        .await;
        let seen = picture(&app, &run).await;
        let names: Vec<_> = seen["runs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|run| &run["name"])
            .collect();
        assert_eq!(names, ["load-8", "load-7"]);
        let (_, count) = post(&app, "/api/task_runs/count", &json!({})).await;
        assert_eq!(count, json!(2));
        tell(&app, &[lives[0].whole(lost)]).await;
        app.close().await;
        other.close().await;
    }
}

#[tokio::test]
async fn a_bad_record_is_refused_with_its_place() {
    let app = TestApp::on_sqlite().await;
    let run = FlowRun::create(&app).await;
    let random = &mut StdRng::seed_from_u64(4);
    let good = Life::any(2, start(), random).whole(run.id);
    let with = |change: &dyn Fn(&mut Value)| {
        let mut bad = good.clone();
        change(&mut bad);
        bad
    };
    let long = "x".repeat(3000);
    let cases: Vec<(Value, &str)> = vec![
        (with(&|run| run["states"] = json!([])), "states"),
        (with(&|run| run["states"] = json!("all")), "states"),
        (
            with(&|run| run["states"][1]["type"] = json!("DREAMING")),
            "states.1.type",
        ),
        (
            with(&|run| run["states"][1]["timestamp"] = json!("noon")),
            "states.1.timestamp",
        ),
        (
            with(&|run| run["states"][0]["id"] = json!(7)),
            "states.0.id",
        ),
        (
            with(&|run| run["states"][2]["name"] = json!(long)),
            "states.2.name",
        ),
        (
            with(&|run| run["states"][2]["mood"] = json!("good")),
            "states.2.mood",
        ),
        (
            with(&|run| drop(run.as_object_mut().unwrap().remove("id"))),
            "id",
        ),
        (
            with(&|run| drop(run.as_object_mut().unwrap().remove("states"))),
            "states",
        ),
        (with(&|run| run["flow_run_id"] = Value::Null), "flow_run_id"),
        (with(&|run| run["task_key"] = json!(long)), "task_key"),
        (with(&|run| run["task_inputs"] = json!([])), "task_inputs"),
        (with(&|run| run["run_count"] = json!("many")), "run_count"),
        (with(&|run| run["tags"] = json!({})), "tags"),
        (with(&|run| run["payload"] = json!({})), "payload"),
    ];
    for (bad, place) in cases {
        let (status, body) = post(&app, "/api/task_runs/record", &json!([good, bad])).await;
        assert_eq!(status, 422, "{place}: {body}");
        let loc = body["exception_detail"][0]["loc"].as_array().unwrap();
        let loc: Vec<String> = loc
            .iter()
            .map(|step| step.to_string().replace('"', ""))
            .collect();
        assert_eq!(loc.join("."), format!("body.1.{place}"));
    }
    for body in [json!({}), json!("x"), json!([[]]), json!([null])] {
        assert_eq!(
            post(&app, "/api/task_runs/record", &body).await.0,
            422,
            "{body}"
        );
    }
    // Nothing of a request that is refused is kept.
    let (_, count) = post(&app, "/api/task_runs/count", &json!({})).await;
    assert_eq!(count, json!(0));
    tell(&app, &[]).await;
    app.close().await;
}

#[tokio::test]
async fn an_automation_counts_each_state_once() {
    for (app, other) in apps().await {
        let run = FlowRun::create(&app).await;
        let trigger = json!({
            "posture": "Reactive", "expect": ["prefect.task-run.Completed"], "threshold": 2, "within": 60,
            "match_related": {"prefect.resource.role": "flow-run", "prefect.resource.name": "a r*"},
        });
        let automation =
            json!({"name": "guard", "trigger": trigger, "actions": [{"type": "do-nothing"}]});
        let (status, made) = post(&app, "/api/automations/", &automation).await;
        assert_eq!(status, 201, "{made}");
        app.clock.advance(TimeDelta::seconds(30));
        let random = &mut StdRng::seed_from_u64(5);
        let fired = async || {
            let filter = json!({"filter": {"event": {"name": ["prefect.automation.triggered"]},
                "occurred": {"until": start() + TimeDelta::days(1)}}});
            post(&app, "/api/events/filter", &filter).await.1["total"].clone()
        };
        let (one, two) = (Life::any(2, start(), random), Life::any(8, start(), random));
        for _ in 0..3 {
            tell(&app, &[one.whole(run.id), one.whole(run.id)]).await;
        }
        assert_eq!(fired().await, json!(0));
        tell(&app, &[one.whole(run.id), two.record(run.id, 0..2)]).await;
        assert_eq!(fired().await, json!(0));
        for _ in 0..2 {
            tell(&app, &[two.whole(run.id)]).await;
        }
        assert_eq!(fired().await, json!(1));
        // What was stored for it is not seen twice.
        assert_eq!(picture(&app, &run).await["total"], json!(6));
        app.close().await;
        other.close().await;
    }
}

#[tokio::test]
async fn who_listens_hears_each_state_once() {
    let app = TestApp::on_sqlite().await;
    app.clock.set(start() + TimeDelta::minutes(1));
    let (address, run) = (app.listen().await, FlowRun::create(&app).await);
    let mut socket = authenticated(&address, "/api/events/out", None).await;
    let filter = json!({"event": {"prefix": ["prefect.task-run."]}});
    say(&mut socket, &json!({"type": "filter", "filter": filter})).await;
    let mut changes = app.state().changes.listen();
    let random = &mut StdRng::seed_from_u64(6);
    let lives = [Life::any(2, start(), random), Life::any(4, start(), random)];
    // Until the socket listens, each turn tells another run.
    let mut heard = Vec::new();
    tell(&app, &[lives[0].record(run.id, 0..1)]).await;
    tell(&app, &[lives[0].whole(run.id), lives[1].whole(run.id)]).await;
    tell(&app, &[lives[0].whole(run.id), lives[1].whole(run.id)]).await;
    while heard.len() < 7 {
        if let Message::Text(frame) = hear(&mut socket).await {
            let mut frame: Value = serde_json::from_str(&frame).unwrap();
            heard.push(frame["event"].take());
        }
    }
    let mut told: Vec<Value> = lives.iter().flat_map(|life| life.events(&run)).collect();
    let by_id = |event: &Value| event["id"].to_string();
    heard.sort_by_key(by_id);
    told.sort_by_key(by_id);
    for (heard, told) in heard.iter_mut().zip(&told) {
        without_own(heard);
        let mut told = told.clone();
        // An event is told as its client tells it, but for how instants are written.
        for event in [&mut *heard, &mut told] {
            for member in ["occurred", "payload"] {
                event.as_object_mut().unwrap().remove(member);
            }
        }
        assert_eq!(*heard, told);
    }
    let mut told = 0;
    while let Ok(change) = changes.try_recv() {
        told += usize::from(change.id == lives[1].id);
    }
    assert_eq!(told, 2, "the dashboard is told of each run once a batch");
    app.close().await;
}

//! Each obstacle on the way of a run, and the way that is chosen of several.

use super::sources::{PoolQueue, QueueText, Served};
use super::*;
use crate::schemas::Tags;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
}

fn run(tags: &[&str]) -> Waiting {
    Waiting {
        id: Uuid::from_u128(1),
        name: "quiet-heron".into(),
        state_type: Some("SCHEDULED".into()),
        state_name: Some("Late".into()),
        due: Some(at(-30)),
        deployment_id: Some(Uuid::from_u128(2)),
        tags: Tags(tags.iter().map(|t| (*t).to_owned()).collect()),
        flow_runner_type: None,
        work_queue_id: None,
        is_of_agents: true,
        state_timestamp: Some(at(-30)),
    }
}

fn queue(name: &str, tags: &[&str]) -> Queue {
    Queue {
        row: QueueText {
            id: Uuid::from_u128(3),
            name: name.into(),
            description: String::new(),
            is_paused: false,
            concurrency_limit: None,
            filter: String::new(),
            last_polled: None,
        },
        filter: QueueFilter {
            tags: Some(tags.iter().map(|t| (*t).to_owned()).collect()),
            ..QueueFilter::default()
        },
    }
}

fn say(run: &Waiting, queues: &[Queue], active: &[Waiting]) -> String {
    let sources = Sources {
        queues: queues.to_vec(),
        active: active.to_vec(),
        ..Sources::default()
    };
    say_of(run, &sources)
}

fn say_of(run: &Waiting, sources: &Sources) -> String {
    let found = reasons(run, sources, at(0)).into_iter();
    let told = found.map(|reason| {
        let command = reason.command.unwrap_or_default();
        format!("{} | {command}", reason.summary)
    });
    told.collect::<Vec<_>>().join("\n  and ")
}

#[test]
fn a_run_that_is_not_heard_of_is_told_with_when_it_is_given_up() {
    let beat = |seconds| (at(seconds), Some(r#"{"interval_seconds": 30}"#.to_owned()));
    let heard = Heard::of(&[beat(0)], Some(at(10))).unwrap();
    assert_eq!(silence(heard, at(60)), None);
    let told = silence(heard, at(80)).unwrap();
    assert!(
        told.summary.ends_with("since 2023-11-14 22:13:30 UTC."),
        "{}",
        told.summary
    );
    let detail = told.detail.unwrap();
    assert!(
        detail.contains("every 30 s") && detail.contains("at 2023-11-14 22:15:30 UTC"),
        "{detail}"
    );
    assert!(
        silence(heard, at(500))
            .unwrap()
            .detail
            .unwrap()
            .contains("soon")
    );
    assert_eq!(Heard::of(&[], Some(at(0))), None);
}

#[test]
fn each_obstacle_on_the_way_is_named_in_turn() {
    let mut out = vec![say(&run(&["ETL"]), &[], &[])];
    let mut etl = queue("etl-queue", &["ETL"]);
    etl.row.is_paused = true;
    out.push(say(&run(&["ETL"]), &[etl.clone()], &[]));
    etl.row.is_paused = false;
    out.push(say(&run(&["ETL"]), &[etl.clone()], &[]));
    etl.row.concurrency_limit = Some(1);
    out.push(say(&run(&["ETL"]), &[etl.clone()], &[run(&["ETL"])]));
    etl.row.last_polled = Some(at(-3));
    out.push(say(&run(&["ETL"]), &[etl.clone()], &[]));
    let later = Waiting {
        due: Some(at(60)),
        ..run(&["ETL"])
    };
    out.push(say(&later, &[etl], &[]));
    insta::assert_snapshot!(out.join("\n"), @r"
    No work queue matches it. | prefect-rs work-queue create -t ETL etl
    Work queue etl-queue is paused. | prefect-rs work-queue resume etl-queue
      and No agent polls work queue etl-queue. | prefect-rs agent start etl-queue
    No agent polls work queue etl-queue. | prefect-rs agent start etl-queue
    The limit of work queue etl-queue is full (1 of 1). | prefect-rs work-queue set-concurrency-limit etl-queue 2
      and No agent polls work queue etl-queue. | prefect-rs agent start etl-queue
    An agent polls work queue etl-queue and should take it at its next poll. | 
    It is scheduled for later. | 
    ");
}

#[test]
fn a_pending_run_is_told_by_who_begins_it_and_for_how_long() {
    let pending = |deployment_id, seconds: i64| Waiting {
        state_type: Some("PENDING".into()),
        deployment_id,
        state_timestamp: Some(at(-seconds)),
        ..run(&[])
    };
    let say = |run: Waiting| {
        let found = reasons(&run, &Sources::default(), at(0)).remove(0);
        (found.summary, found.detail.is_some())
    };
    let deployment = Some(Uuid::from_u128(2));
    let starting = "An agent has taken it and starts its process.";
    assert_eq!(say(pending(deployment, 5)), (starting.to_owned(), false));
    let dead = "An agent took it and has not begun it; the agent or the process may have died.";
    assert_eq!(say(pending(deployment, 90)), (dead.to_owned(), true));
    let program = "The program that made it has not begun it.";
    assert_eq!(say(pending(None, 5)), (program.to_owned(), false));
    assert_eq!(say(pending(None, 90)), (program.to_owned(), true));
}

#[test]
fn a_queue_that_works_outweighs_one_that_is_paused() {
    let mut paused = queue("a", &[]);
    paused.row.is_paused = true;
    let mut polled = queue("b", &["ETL"]);
    polled.row.last_polled = Some(at(-1));
    assert_eq!(
        say(&run(&["ETL"]), &[paused, polled], &[]),
        "An agent polls work queue b and should take it at its next poll. | "
    );
}

#[test]
fn each_obstacle_in_a_work_pool_is_named_in_turn() {
    let mut place = PoolQueue {
        id: Uuid::from_u128(7),
        name: "fast".into(),
        is_paused: true,
        concurrency_limit: Some(1),
        last_polled: None,
        pool_id: Uuid::from_u128(8),
        pool: "k8s".into(),
        pool_type: "kubernetes".into(),
        pool_is_paused: true,
        pool_limit: Some(1),
        served_until: Some(at(-60)),
    };
    let mine = Waiting {
        work_queue_id: Some(place.id),
        ..run(&[])
    };
    let holder = Waiting {
        name: "busy-otter".into(),
        ..mine.clone()
    };
    let sources = |place: &PoolQueue, active: &[Waiting]| Sources {
        pool_queues: vec![place.clone()],
        active: active.to_vec(),
        ..Sources::default()
    };
    let full = [holder];
    let mut out = vec![say_of(&mine, &sources(&place, &full))];
    place.pool_is_paused = false;
    out.push(say_of(&mine, &sources(&place, &full)));
    place.is_paused = false;
    out.push(say_of(&mine, &sources(&place, &full)));
    place.pool_limit = None;
    out.push(say_of(&mine, &sources(&place, &full)));
    out.push(say_of(&mine, &sources(&place, &[])));
    place.served_until = Some(at(60));
    out.push(say_of(&mine, &sources(&place, &[])));
    // A queue that takes by tags may be nearer than the run's own.
    let mut polled = queue("b", &[]);
    polled.row.last_polled = Some(at(-1));
    place.is_paused = true;
    let both = Sources {
        queues: vec![polled],
        ..sources(&place, &[])
    };
    out.push(say_of(&mine, &both));
    let of_workers = Waiting {
        is_of_agents: false,
        ..mine
    };
    out.push(say_of(&of_workers, &both));
    insta::assert_snapshot!(out.join("\n"), @r"
    Work pool k8s is paused. | prefect-rs work-pool resume k8s
      and Queue fast of work pool k8s is paused. | prefect-rs work-queue resume fast --pool k8s
      and The limit of work pool k8s is full (1 of 1). | prefect-rs work-pool set-concurrency-limit k8s 2
      and The limit of queue fast in work pool k8s is full (1 of 1). | prefect-rs work-queue set-concurrency-limit fast 2 --pool k8s
      and No worker polls work pool k8s. | prefect worker start --pool k8s
    Queue fast of work pool k8s is paused. | prefect-rs work-queue resume fast --pool k8s
      and The limit of work pool k8s is full (1 of 1). | prefect-rs work-pool set-concurrency-limit k8s 2
      and The limit of queue fast in work pool k8s is full (1 of 1). | prefect-rs work-queue set-concurrency-limit fast 2 --pool k8s
      and No worker polls work pool k8s. | prefect worker start --pool k8s
    The limit of work pool k8s is full (1 of 1). | prefect-rs work-pool set-concurrency-limit k8s 2
      and The limit of queue fast in work pool k8s is full (1 of 1). | prefect-rs work-queue set-concurrency-limit fast 2 --pool k8s
      and No worker polls work pool k8s. | prefect worker start --pool k8s
    The limit of queue fast in work pool k8s is full (1 of 1). | prefect-rs work-queue set-concurrency-limit fast 2 --pool k8s
      and No worker polls work pool k8s. | prefect worker start --pool k8s
    No worker polls work pool k8s. | prefect worker start --pool k8s
    Work pool k8s is polled, and it should be taken at the next poll. | 
    An agent polls work queue b and should take it at its next poll. | 
    Queue fast of work pool k8s is paused. | prefect-rs work-queue resume fast --pool k8s
    ");
}

#[test]
fn a_deployment_without_a_queue_waits_for_the_program_that_serves_it() {
    let served = |seconds| Sources {
        served: vec![Served {
            id: Uuid::from_u128(2),
            name: "hello".into(),
            last_polled: Some(at(seconds)),
        }],
        ..Sources::default()
    };
    let out = [
        say_of(&run(&[]), &served(-5)),
        say_of(&run(&[]), &served(-90)),
    ];
    insta::assert_snapshot!(out.join("\n"), @r"
    A program serves hello and should take it at its next poll. | 
    The program that served hello is gone; start it again. | 
    ");
}

#[test]
fn a_hostile_queue_name_never_becomes_a_command() {
    assert_eq!(
        say(&run(&[]), &[queue("x; rm -rf /", &[])], &[]),
        "No agent polls work queue x; rm -rf /. | prefect-rs agent start 00000000-0000-0000-0000-000000000003"
    );
}

#[test]
fn a_limit_that_was_lowered_is_raised_above_those_who_hold_it() {
    let mut etl = queue("etl", &[]);
    etl.row.concurrency_limit = Some(1);
    etl.row.last_polled = Some(at(-1));
    let holders = [run(&[]), run(&[]), run(&[])];
    assert_eq!(
        say(&run(&[]), &[etl], &holders),
        "The limit of work queue etl is full (3 of 1). | prefect-rs work-queue set-concurrency-limit etl 4"
    );
}

#[test]
fn a_run_that_found_no_slot_is_told_so_also_once_its_time_has_passed() {
    let mut polled = queue("etl", &[]);
    polled.row.last_polled = Some(at(-1));
    let waits = Waiting {
        state_name: Some("AwaitingConcurrencySlot".into()),
        ..run(&[])
    };
    let soon = "An agent polls work queue etl and should take it at its next poll. | ";
    assert_eq!(say(&waits, &[polled.clone()], &[]), soon);
    assert_eq!(
        say(&waits, &[polled], &[run(&[])]),
        format!("The concurrency limit of its deployment was full. | \n  and {soon}")
    );
}

//! The races that an agent can meet, each as a list of events.

use super::*;
use chrono::TimeDelta;
use serde_json::json;

const START: DateTime<Utc> = DateTime::<Utc>::UNIX_EPOCH;

fn at(seconds: i64) -> DateTime<Utc> {
    START + TimeDelta::seconds(seconds)
}

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn run(n: u128, due: i64) -> FlowRun {
    serde_json::from_value(
        json!({"id": id(n), "flow_id": id(0), "next_scheduled_start_time": at(due)}),
    )
    .unwrap()
}

/// Prints commands with the short number of a run.
fn picture(commands: &[Command]) -> String {
    let one = |command: &Command| match command {
        Command::Poll { limit } => format!("poll {limit}"),
        Command::Watch(ids) => format!(
            "watch {}",
            ids.iter()
                .map(|id| id.as_u128().to_string())
                .collect::<Vec<_>>()
                .join("+")
        ),
        Command::Claim(id, _) => format!("claim {}", id.as_u128()),
        Command::Launch(run) => format!("launch {}", run.id.as_u128()),
        Command::HandBack(id) => format!("hand back {}", id.as_u128()),
        Command::Halt(id, why) => format!("halt {} {why:?}", id.as_u128()),
        Command::StartGrace => "start grace".into(),
        Command::StartPatience => "start patience".into(),
        Command::Exit => "exit".into(),
    };
    commands.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Plays events at second 0 and prints what each gives.
fn play(dispatcher: &mut Dispatcher, events: Vec<Event>) -> Vec<String> {
    events
        .into_iter()
        .map(|event| picture(&dispatcher.handle(event, START)))
        .collect()
}

#[test]
fn a_due_run_is_claimed_and_started_once() {
    let mut agent = Dispatcher::new(None);
    let told = play(
        &mut agent,
        vec![
            Event::Tick,
            Event::Polled(Some(vec![run(1, 0)])),
            Event::Tick,
            Event::Polled(Some(vec![run(1, 0)])),
            Event::Won(id(1)),
            Event::Tick,
            Event::Polled(Some(vec![])),
            Event::Gone(id(1)),
        ],
    );
    assert_eq!(
        told,
        [
            "poll 100",
            "claim 1",
            "poll 100",
            "",
            "launch 1",
            "poll 100, watch 1",
            "",
            "poll 100"
        ]
    );
}

#[test]
fn a_run_is_claimed_at_its_time_and_not_before() {
    let mut agent = Dispatcher::new(None);
    assert_eq!(
        play(
            &mut agent,
            vec![Event::Tick, Event::Polled(Some(vec![run(1, 7)]))]
        ),
        ["poll 100", ""]
    );
    assert_eq!(agent.next_due(), Some(at(7)));
    assert_eq!(picture(&agent.handle(Event::Timer, at(6))), "");
    assert_eq!(picture(&agent.handle(Event::Timer, at(7))), "claim 1");
}

#[test]
fn an_agent_that_asks_once_ends_with_what_fits() {
    let mut agent = Dispatcher::new(Some(2)).asking_once();
    let runs = vec![run(1, 0), run(2, 7), run(3, 9)];
    let told = play(
        &mut agent,
        vec![
            Event::Tick,
            // Nothing was heard, so it asks again.
            Event::Polled(None),
            Event::Tick,
            Event::Polled(Some(runs)),
            Event::Won(id(1)),
            Event::Tick,
            Event::Gone(id(1)),
        ],
    );
    let expected = [
        "poll 100", "", "poll 100", "claim 1", "launch 1", "watch 1", "",
    ];
    assert_eq!(told, expected);
    assert_eq!(agent.next_due(), Some(at(7)));
    assert_eq!(picture(&agent.handle(Event::Timer, at(7))), "claim 2");
    assert_eq!(play(&mut agent, vec![Event::Lost(id(2))]), ["exit"]);
    let mut idle = Dispatcher::new(None).asking_once();
    let told = play(&mut idle, vec![Event::Tick, Event::Polled(Some(vec![]))]);
    assert_eq!(told, ["poll 100", "exit"]);
}

#[test]
fn a_waiting_run_that_is_no_longer_due_is_forgotten() {
    let mut agent = Dispatcher::new(None);
    play(
        &mut agent,
        vec![
            Event::Tick,
            Event::Polled(Some(vec![run(1, 7)])),
            Event::Tick,
            Event::Polled(Some(vec![])),
        ],
    );
    assert_eq!(agent.next_due(), None);
}

#[test]
fn an_old_answer_does_not_start_a_finished_run_again() {
    let mut agent = Dispatcher::new(None);
    let told = play(
        &mut agent,
        vec![
            Event::Tick,
            Event::Polled(Some(vec![run(1, 0)])),
            Event::Won(id(1)),
            Event::Tick,
            Event::Gone(id(1)),
            Event::Polled(Some(vec![run(1, 0)])),
            Event::Polled(Some(vec![])),
        ],
    );
    assert_eq!(told[5], "poll 100");
    assert_eq!(told[6], "");
}

#[test]
fn a_nudge_during_a_poll_polls_again() {
    let mut agent = Dispatcher::new(None);
    assert_eq!(
        play(
            &mut agent,
            vec![
                Event::Nudge,
                Event::Nudge,
                Event::Nudge,
                Event::Polled(None)
            ]
        ),
        ["poll 100", "", "", "poll 100"]
    );
}

#[test]
fn the_limit_holds_and_what_an_answer_names_first_comes_first() {
    let mut agent = Dispatcher::new(Some(1));
    let told = play(
        &mut agent,
        vec![
            Event::Tick,
            // The queue of the second comes behind that of the first.
            Event::Polled(Some(vec![run(2, 0), run(1, -5)])),
            Event::Won(id(2)),
            Event::Gone(id(2)),
        ],
    );
    assert_eq!(told[1], "claim 2");
    assert_eq!(told[3], "poll 101, claim 1");
}

#[test]
fn a_lost_claim_is_let_go() {
    let mut agent = Dispatcher::new(None);
    let told = play(
        &mut agent,
        vec![
            Event::Tick,
            Event::Polled(Some(vec![run(1, 0)])),
            Event::Lost(id(1)),
            Event::Stop,
        ],
    );
    assert_eq!(told[2..], ["", "exit"]);
}

#[test]
fn a_stop_hands_back_what_was_claimed_and_waits_for_what_runs() {
    let mut agent = Dispatcher::new(None);
    let told = play(
        &mut agent,
        vec![
            Event::Tick,
            Event::Polled(Some(vec![run(1, 0), run(2, 0), run(3, 9)])),
            Event::Won(id(1)),
            Event::Stop,
            Event::Won(id(2)),
            Event::Gone(id(2)),
            Event::Gone(id(1)),
        ],
    );
    assert_eq!(told[3..], ["start grace", "hand back 2", "", "exit"]);
}

#[test]
fn a_second_stop_ends_the_runs_and_a_third_the_agent() {
    let mut agent = Dispatcher::new(None);
    let told = play(
        &mut agent,
        vec![
            Event::Tick,
            Event::Polled(Some(vec![run(1, 0)])),
            Event::Won(id(1)),
            Event::Stop,
            Event::Stop,
            Event::Stop,
        ],
    );
    let halt = "halt 1 AgentStopped, start patience";
    assert_eq!(told[3..], ["start grace", halt, "exit"]);
}

#[test]
fn a_server_that_does_not_hear_of_the_end_is_not_waited_for_without_bound() {
    let mut agent = Dispatcher::new(None);
    let told = play(
        &mut agent,
        vec![
            Event::Tick,
            Event::Polled(Some(vec![run(1, 0)])),
            Event::Won(id(1)),
            Event::Stop,
            Event::Stop,
            // Somebody was faster.
            Event::GraceOver,
            Event::PatienceOver,
        ],
    );
    let halt = "halt 1 AgentStopped, start patience";
    assert_eq!(told[3..], ["start grace", halt, "", "exit"]);
    assert_eq!(agent.held(), 1);
}

#[test]
fn a_cancelled_run_is_halted() {
    let mut agent = Dispatcher::new(None);
    let told = play(
        &mut agent,
        vec![
            Event::Tick,
            Event::Polled(Some(vec![run(1, 0)])),
            Event::Won(id(1)),
            Event::Cancelled(id(1)),
            Event::Cancelled(id(9)),
        ],
    );
    assert_eq!(told[3..], ["halt 1 Cancelled", ""]);
}

//! The policies as pictures, and the walk as tables.

mod deployment_limits;
mod rules;
mod sequences;

use chrono::TimeDelta;

use super::policy::{self, Policy};
use super::*;
use crate::schemas::Dialect;
use crate::schemas::time::parse;

fn now() -> DateTime<Utc> {
    parse("2026-11-23T12:00:00Z").unwrap()
}

fn run(state: Option<State>) -> Run {
    Run {
        id: RunId::Task(TaskRunId::new(), Some(FlowRunId::new())),
        state,
        record: Record::default(),
        retry: RetryPolicy::default(),
        is_deployed: true,
        has_infrastructure: false,
        plan: Plan::default(),
    }
}

fn in_state(state_type: StateType) -> Run {
    run(Some(State::new(state_type, now())))
}

fn propose(rules: &[&dyn Rule], run: &Run, to: StateType, facts: &Facts) -> Walk {
    walk(rules, run, State::new(to, now()), facts, now())
}

#[test]
fn the_order_of_each_policy_is_seen() {
    let names = |rules: &[&dyn Rule]| {
        rules
            .iter()
            .map(|rule| rule.name())
            .collect::<Vec<_>>()
            .join("\n")
    };
    insta::assert_snapshot!("core_flow_b", names(policy::CORE_FLOW_B));
    insta::assert_snapshot!("core_task_b", names(policy::CORE_TASK_B));
    insta::assert_snapshot!("core_flow", names(policy::CORE_FLOW));
    insta::assert_snapshot!("core_task", names(policy::CORE_TASK));
}

#[test]
fn the_matrix_of_transitions_is_seen() {
    let mut picture = String::new();
    for (title, rules) in [
        ("flow 2.0b3", Policy::Core(Dialect::B).flow_rules()),
        ("task 2.0b3", Policy::Core(Dialect::B).task_rules()),
        ("flow", Policy::Core(Dialect::Three).flow_rules()),
        ("task", Policy::Core(Dialect::Three).task_rules()),
    ] {
        picture.push_str(&format!("{title}\n"));
        for from in StateType::ALL {
            let row: Vec<_> = StateType::ALL
                .into_iter()
                .map(|to| {
                    let walk = propose(rules, &in_state(from), to, &Facts::default());
                    let state = walk.state.map_or("-".to_owned(), |state| state.name);
                    format!("{} {state}", walk.outcome.status())
                })
                .collect();
            picture.push_str(&format!("  {:<10} {}\n", from.as_str(), row.join(" | ")));
        }
    }
    insta::assert_snapshot!("matrix", picture);
}

#[test]
fn a_failed_task_waits_for_its_next_try_until_none_is_left() {
    let mut running = in_state(StateType::Running);
    running.retry = RetryPolicy {
        max_retries: 2,
        retry_delay_seconds: 10.0,
        ..RetryPolicy::default()
    };
    for (run_count, status) in [(1, "REJECT"), (2, "REJECT"), (3, "ACCEPT")] {
        running.record.run_count = run_count;
        let walk = propose(
            policy::CORE_TASK_B,
            &running,
            StateType::Failed,
            &Facts::default(),
        );
        assert_eq!(walk.outcome.status(), status, "run {run_count}");
        assert_eq!(walk.effects, [Effect::ReleaseSlots]);
        if status == "REJECT" {
            let state = walk.state.unwrap();
            assert_eq!(state.name, "AwaitingRetry");
            assert_eq!(
                state.state_details.scheduled_time.unwrap().0,
                now() + TimeDelta::seconds(10)
            );
        }
    }
}

#[test]
fn a_wait_is_floored_for_beta_clients_and_rounded_for_others() {
    for (micros, floored, rounded) in [
        (900_000, 0, 1),
        (1_400_000, 1, 1),
        (400_000, 0, 0),
        (-5_000_000, 0, 0),
    ] {
        let at = now() + TimeDelta::microseconds(micros);
        let scheduled = run(Some(State::scheduled(at, now())));
        for (rules, seconds) in [(policy::CORE_FLOW_B, floored), (policy::CORE_FLOW, rounded)] {
            let walk = propose(rules, &scheduled, StateType::Running, &Facts::default());
            let waited = match walk.outcome {
                Outcome::Wait { delay_seconds, .. } => delay_seconds,
                _ => 0,
            };
            assert_eq!(waited, seconds, "{micros} µs ahead");
        }
    }
}

#[test]
fn a_slot_is_taken_waited_for_or_impossible() {
    let limit = |limit, holders: i64| Limit {
        tag: "db".into(),
        limit,
        taken: holders,
        is_held: false,
    };
    let facts = |limits| Facts {
        limits,
        slot_wait_seconds: 30,
        ..Facts::default()
    };
    let pending = in_state(StateType::Pending);
    let take = propose(
        policy::CORE_TASK_B,
        &pending,
        StateType::Running,
        &facts(vec![limit(2, 1)]),
    );
    assert_eq!(take.effects, [Effect::TakeSlots(vec!["db".into()])]);
    let wait = propose(
        policy::CORE_TASK_B,
        &pending,
        StateType::Running,
        &facts(vec![limit(2, 2)]),
    );
    assert!(
        matches!(
            wait.outcome,
            Outcome::Wait {
                delay_seconds: 30,
                ..
            }
        ) && wait.effects.is_empty()
    );
    let never = propose(
        policy::CORE_TASK_B,
        &pending,
        StateType::Running,
        &facts(vec![limit(0, 0)]),
    );
    assert_eq!(never.outcome.status(), "ABORT");
    // A run that is over takes no slot, though the rule for slots comes first.
    let over = in_state(StateType::Completed);
    let aborted = propose(
        policy::CORE_TASK_B,
        &over,
        StateType::Running,
        &facts(vec![limit(2, 1)]),
    );
    assert!(aborted.effects.is_empty() && aborted.outcome.status() == "ABORT");
}

#[test]
fn a_cached_result_comes_back_under_its_own_name() {
    let facts = Facts {
        cached: Some(State::new(StateType::Completed, now())),
        ..Facts::default()
    };
    let walk = propose(
        policy::CORE_TASK_B,
        &in_state(StateType::Pending),
        StateType::Running,
        &facts,
    );
    let state = walk.state.unwrap();
    assert_eq!(
        (walk.outcome.status(), state.name.as_str()),
        ("REJECT", "Cached")
    );
    assert!(walk.effects.is_empty());
}

#[test]
fn the_books_follow_a_run_through_a_retry() {
    let at = |seconds| now() + TimeDelta::seconds(seconds);
    let states = [
        State::new(StateType::Pending, at(0)),
        State::new(StateType::Running, at(1)),
        State::awaiting_retry(at(13), at(3)),
        State::new(StateType::Running, at(13)),
        State::new(StateType::Completed, at(14)),
    ];
    let mut record = Record::default();
    let mut from = None;
    for to in &states {
        record = bookkeep(record, from, to);
        from = Some(to);
    }
    assert_eq!(record.run_count, 2);
    assert_eq!(record.total_run_time, 3.0);
    assert_eq!(record.expected_start_time, Some(at(0)));
    assert_eq!(
        (record.start_time, record.end_time),
        (Some(at(1)), Some(at(14)))
    );
    assert_eq!(record.next_scheduled_start_time, None);
}

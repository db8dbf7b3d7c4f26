//! The rules about slots of deployments' limits, as tables.

use super::*;
use crate::server::orchestration::DeploymentLimit;
use uuid::Uuid;

const HELD: Uuid = Uuid::from_u128(1);
const NEXT: Uuid = Uuid::from_u128(2);

fn limit() -> DeploymentLimit {
    DeploymentLimit {
        limit: 1,
        has_room: true,
        is_held: false,
        cancels_new: false,
        retry_at: now() + TimeDelta::seconds(30),
        next_lease: NEXT,
        lease_until: now() + TimeDelta::seconds(300),
        client_renews: true,
    }
}

fn with(limit: DeploymentLimit) -> Facts {
    Facts {
        deployment_limit: Some(limit),
        ..Facts::default()
    }
}

/// A deployed flow run in a state that holds a slot.
fn holder(state_type: StateType) -> Run {
    let mut state = State::new(state_type, now());
    state.state_details.deployment_concurrency_lease_id = Some(HELD);
    flow_run(state)
}

fn flow_run(state: State) -> Run {
    Run {
        id: RunId::Flow(FlowRunId::new(), None),
        ..run(Some(state))
    }
}

fn told(walk: &Walk) -> String {
    let state = walk.state.as_ref();
    let lease = state.and_then(|state| state.state_details.deployment_concurrency_lease_id);
    let lease = match lease {
        Some(HELD) => " held",
        Some(NEXT) => " next",
        _ => "",
    };
    let name = state.map_or("-", |state| state.name.as_str());
    let mut told = format!("{} {name}{lease}", walk.outcome.status());
    for effect in &walk.effects {
        let until = |until: &Option<DateTime<Utc>>| if until.is_some() { "" } else { " for good" };
        match effect {
            Effect::TakeDeploymentSlot { until: end, .. } => {
                told.push_str(&format!(", takes{}", until(end)));
            }
            Effect::KeepDeploymentSlot { until: end, .. } => {
                told.push_str(&format!(", keeps{}", until(end)));
            }
            Effect::ReleaseDeploymentSlot(_) => told.push_str(", releases"),
            _ => {}
        }
    }
    told
}

#[test]
fn a_claim_needs_a_slot_whoever_makes_it() {
    let full = |cancels_new| DeploymentLimit {
        has_room: false,
        cancels_new,
        ..limit()
    };
    let shut = DeploymentLimit {
        limit: 0,
        ..full(false)
    };
    for rules in [policy::CORE_FLOW_B, policy::CORE_FLOW] {
        let scheduled = flow_run(State::scheduled(now(), now()));
        for (facts, wanted) in [
            (Facts::default(), "ACCEPT Pending"),
            (with(limit()), "ACCEPT Pending next, takes"),
            (with(full(false)), "REJECT AwaitingConcurrencySlot"),
            (with(full(true)), "REJECT Cancelled"),
            (with(shut.clone()), "ABORT -"),
        ] {
            let walk = propose(rules, &scheduled, StateType::Pending, &facts);
            assert_eq!(told(&walk), wanted, "{facts:?}");
        }
    }
    let waits = propose(
        policy::CORE_FLOW,
        &flow_run(State::scheduled(now(), now())),
        StateType::Pending,
        &with(full(false)),
    );
    let at = waits
        .state
        .and_then(|state| state.state_details.scheduled_time);
    assert_eq!(at.map(|at| at.0), Some(now() + TimeDelta::seconds(30)));
}

#[test]
fn what_was_claimed_begins_only_with_its_slot_or_another() {
    let held = DeploymentLimit {
        is_held: true,
        has_room: false,
        ..limit()
    };
    let older = DeploymentLimit {
        client_renews: false,
        ..held.clone()
    };
    let lost = DeploymentLimit {
        is_held: false,
        ..held.clone()
    };
    for (facts, wanted) in [
        (held, "ACCEPT Running held, keeps"),
        (older, "ACCEPT Running held, keeps for good"),
        (limit(), "ACCEPT Running next, takes"),
        (lost, "REJECT Cancelled, releases"),
    ] {
        let pending = holder(StateType::Pending);
        let walk = propose(
            policy::CORE_FLOW,
            &pending,
            StateType::Running,
            &with(facts),
        );
        assert_eq!(told(&walk), wanted);
    }
}

#[test]
fn a_slot_goes_along_until_the_run_is_under_way_no_more() {
    use StateType::*;
    for (from, to, wanted) in [
        (Running, Completed, "ACCEPT Completed held, releases"),
        (Running, Crashed, "ACCEPT Crashed held, releases"),
        (Running, Cancelling, "ACCEPT Cancelling held"),
        (Cancelling, Cancelled, "ACCEPT Cancelled held, releases"),
        (Running, Paused, "ACCEPT Paused held"),
        (Paused, Running, "ACCEPT Running held"),
        (Paused, Failed, "ACCEPT Failed held, releases"),
        (Pending, Scheduled, "ACCEPT Scheduled held, releases"),
        (Scheduled, Failed, "ACCEPT Failed held, releases"),
    ] {
        let walk = propose(policy::CORE_FLOW, &holder(from), to, &Facts::default());
        assert_eq!(told(&walk), wanted, "{from:?} to {to:?}");
        let forced = propose(policy::MINIMAL_FLOW, &holder(from), to, &Facts::default());
        let wanted = wanted.replace(" held, releases", ", releases");
        assert_eq!(told(&forced), wanted, "{from:?} to {to:?} by force");
    }
    let mut suspended = State::new(Paused, now());
    suspended.state_details.pause_reschedule = Some(true);
    let facts = Facts::default();
    let walk = walk(
        policy::CORE_FLOW,
        &holder(Running),
        suspended,
        &facts,
        now(),
    );
    assert_eq!(told(&walk), "ACCEPT Paused held, releases");
}

#[test]
fn a_try_in_the_same_process_keeps_the_slot_and_one_elsewhere_does_not() {
    let mut running = holder(StateType::Running);
    running.retry.max_retries = 1;
    running.record.run_count = 1;
    let facts = Facts::default();
    let again = propose(policy::CORE_FLOW, &running, StateType::Failed, &facts);
    assert_eq!(told(&again), "REJECT AwaitingRetry held");
    let elsewhere = State::awaiting_retry(now(), now());
    let walk = walk(policy::CORE_FLOW, &running, elsewhere, &facts, now());
    assert_eq!(told(&walk), "ACCEPT AwaitingRetry held, releases");
}

#[test]
fn what_is_late_for_a_full_limit_is_cancelled_where_new_runs_are() {
    for (cancels_new, has_room, wanted) in [
        (true, false, "REJECT Cancelled"),
        (true, true, "ACCEPT Late"),
        (false, false, "ACCEPT Late"),
    ] {
        let facts = with(DeploymentLimit {
            cancels_new,
            has_room,
            ..limit()
        });
        let scheduled = flow_run(State::scheduled(now(), now()));
        let late = State::late(now(), now());
        let walk = walk(policy::MARK_LATE, &scheduled, late, &facts, now());
        assert_eq!(told(&walk), wanted);
    }
}

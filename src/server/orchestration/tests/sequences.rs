//! Whatever is proposed in whatever order, the books stay right and nothing illegal is reached.
//!
//! Task runs that share a limit live through a random history of proposals, in memory, as the
//! models would write it. A history that fails is kept by proptest and tried first the next time.

use proptest::prelude::*;

use super::*;

/// How many task runs share the limit.
const RUNS: usize = 3;
const LIMIT: i64 = 2;
const RETRIES: i64 = 2;

/// Somebody's wish for one of the runs.
#[derive(Debug, Clone)]
struct Wish {
    run: usize,
    to: StateType,
    is_forced: bool,
    /// Seconds since the wish before.
    after: i64,
}

fn wishes() -> impl Strategy<Value = Vec<Wish>> {
    let types = proptest::sample::select(&StateType::ALL[..6]);
    let wish = (0..RUNS, types, proptest::bool::weighted(0.1), 0i64..40);
    let wish = wish.prop_map(|(run, to, is_forced, after)| Wish {
        run,
        to,
        is_forced,
        after,
    });
    proptest::collection::vec(wish, 0..60)
}

struct World {
    runs: Vec<Run>,
    slots: Vec<uuid::Uuid>,
    now: DateTime<Utc>,
}

impl World {
    fn new() -> Self {
        let run = |_| {
            let mut run = in_state(StateType::Pending);
            run.retry.max_retries = RETRIES;
            run
        };
        Self {
            runs: (0..RUNS).map(run).collect(),
            slots: Vec::new(),
            now: now(),
        }
    }

    /// Lets a wish walk its policy and writes what comes of it.
    fn grant(&mut self, wish: &Wish) -> Walk {
        self.now += TimeDelta::seconds(wish.after);
        let policy = Policy::of(Dialect::B, wish.is_forced);
        let run = &self.runs[wish.run];
        let RunId::Task(id, _) = run.id else {
            unreachable!("a task run")
        };
        let facts = Facts {
            limits: vec![Limit {
                tag: "db".to_owned(),
                limit: LIMIT,
                taken: self.slots.len() as i64,
                is_held: self.slots.contains(&id.0),
            }],
            slot_wait_seconds: 30,
            ..Facts::default()
        };
        let proposed = State::new(wish.to, self.now);
        let walk = walk(policy.task_rules(), run, proposed, &facts, self.now);
        for effect in &walk.effects {
            match effect {
                Effect::TakeSlots(_) if !self.slots.contains(&id.0) => self.slots.push(id.0),
                Effect::ReleaseSlots => self.slots.retain(|slot| *slot != id.0),
                _ => {}
            }
        }
        if let Some(state) = &walk.state {
            let run = &mut self.runs[wish.run];
            run.record = bookkeep(run.record, run.state.as_ref(), state);
            run.state = Some(state.clone());
        }
        walk
    }
}

proptest! {
    #[test]
    fn no_history_of_proposals_breaks_the_books(wishes in wishes()) {
        let mut world = World::new();
        for wish in &wishes {
            let before = world.runs[wish.run].clone();
            let from = before.state.as_ref().unwrap().state_type;
            let walk = world.grant(wish);
            let run = &world.runs[wish.run];
            let to = run.state.as_ref().unwrap().state_type;
            let is_written = walk.state.is_some();

            // Nothing is done for a proposal that was not taken.
            let is_refused = matches!(walk.outcome, Outcome::Wait { .. } | Outcome::Abort { .. });
            prop_assert_eq!(is_refused, !is_written);
            if is_refused {
                prop_assert!(walk.effects.is_empty());
                prop_assert_eq!(run, &before);
            }
            // Only force leads out of the end, and only a retry to another state than the wish.
            if from.is_terminal() && !wish.is_forced {
                prop_assert!(is_refused);
            }
            if is_written && to != wish.to {
                prop_assert_eq!((wish.to, to), (StateType::Failed, StateType::Scheduled));
            }
            // The books.
            let (old, new) = (before.record, run.record);
            let has_begun = is_written && to == StateType::Running;
            prop_assert_eq!(new.run_count, old.run_count + i64::from(has_begun));
            prop_assert!(new.total_run_time >= old.total_run_time);
            if new.start_time.is_some() {
                prop_assert_eq!(new.end_time.is_some(), to.is_terminal());
            }
            prop_assert_eq!(new.next_scheduled_start_time.is_some(), to == StateType::Scheduled && run
                .state.as_ref().unwrap().state_details.scheduled_time.is_some());
            prop_assert!(new.expected_start_time.is_some() || !is_written);
            // The slots.
            prop_assert!(world.slots.len() as i64 <= LIMIT);
            for run in &world.runs {
                let RunId::Task(id, _) = run.id else { unreachable!("a task run") };
                let is_running = run.state.as_ref().unwrap().state_type == StateType::Running;
                prop_assert!(is_running || !world.slots.contains(&id.0), "a slot is held for nothing");
            }
        }
    }

    #[test]
    fn a_run_that_only_fails_fails_for_good(delays in proptest::collection::vec(0i64..40, 0..40)) {
        let mut world = World::new();
        let mut retries = 0;
        for (at, after) in delays.into_iter().enumerate() {
            let to = if at % 2 == 0 { StateType::Running } else { StateType::Failed };
            let walk = world.grant(&Wish { run: 0, to, is_forced: false, after });
            retries += i64::from(matches!(walk.outcome, Outcome::Reject { .. }));
        }
        prop_assert!(retries <= RETRIES);
    }
}

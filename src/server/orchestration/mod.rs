//! How a state changes: a proposal walks a policy, an ordered list of small named rules.
//!
//! The walk is pure: facts are loaded before it, effects are applied after it, and time comes in
//! as a value. So a policy can be tested as a table, and what happened can be replayed.
//!
//! The rules nest as contexts do: each sees the transition as those before it left it. One that
//! rejects, waits or aborts changes the transition; if that makes it one between other types,
//! later rules are skipped, but for those that follow every transition. After the walk, rules that ran take effect in reverse order, unless a later rule
//! has changed the transition under them (they *fizzle*).

mod bookkeeping;
pub mod policy;
pub mod rules;

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use crate::schemas::responses::Outcome;
use crate::schemas::task_runs::RetryPolicy;
use crate::schemas::{FlowRunId, State, StateType, TaskRunId};

pub use bookkeeping::{Record, bookkeep, sign};

/// What a run is, as far as rules and bookkeeping ask.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Which run.
    pub id: RunId,
    /// Its current state.
    pub state: Option<State>,
    /// What bookkeeping keeps.
    pub record: Record,
    /// Retries.
    pub retry: RetryPolicy,
    /// Whether agents take the run from a queue.
    pub is_deployed: bool,
    /// Whether somebody has said which process the run is.
    pub has_infrastructure: bool,
    /// What a flow run remembers of its pauses and retries; empty for a task run.
    pub plan: Plan,
}

/// What a flow run remembers of its pauses and retries, in its empirical policy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The pauses that have happened, each of which happens once.
    pub pause_keys: Vec<String>,
    /// Whether the run goes on after a pause, so that it is no further try.
    pub is_resuming: bool,
    /// Who tries again: the process itself, or whoever takes the run anew.
    pub retry_type: Option<RetryType>,
}

/// Who tries a flow run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryType {
    /// The process that runs it.
    InProcess,
    /// Whoever takes it from its queue.
    Reschedule,
}

impl RetryType {
    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InProcess => "in_process",
            Self::Reschedule => "reschedule",
        }
    }

    /// Returns what a word means.
    pub fn of(word: &str) -> Option<Self> {
        [Self::InProcess, Self::Reschedule]
            .into_iter()
            .find(|known| known.as_str() == word)
    }
}

impl Plan {
    /// Returns the plan after what a transition does to it.
    pub fn after(mut self, effect: &Effect) -> Self {
        match effect {
            Effect::BeginAnew(retry_type) => Self {
                retry_type: *retry_type,
                ..Self::default()
            },
            Effect::NotePause(key) => {
                self.pause_keys.extend(key.clone());
                self
            }
            Effect::NoteResumption => Self {
                is_resuming: true,
                ..self
            },
            Effect::EndRetries => Self {
                retry_type: None,
                ..self
            },
            Effect::TakeSlots(_)
            | Effect::TakeDeploymentSlot { .. }
            | Effect::KeepDeploymentSlot { .. }
            | Effect::ReleaseDeploymentSlot(_)
            | Effect::ReleaseSlots
            | Effect::InsertCache
            | Effect::CountTriesAnew
            | Effect::NoteTryOfFlow => self,
        }
    }
}

/// Which run a transition is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunId {
    /// A flow run, and the task run that stands for it in its parent.
    Flow(FlowRunId, Option<TaskRunId>),
    /// A task run, and the flow run that it belongs to.
    Task(TaskRunId, Option<FlowRunId>),
}

/// A concurrency limit that applies to the run.
#[derive(Debug, Clone, PartialEq)]
pub struct Limit {
    /// The tag that it is for.
    pub tag: String,
    /// How many runs at once.
    pub limit: i64,
    /// How many slots are taken.
    pub taken: i64,
    /// Whether the run itself holds one.
    pub is_held: bool,
}

/// The limit of a flow run's deployment, as far as a run needs a slot of it now.
#[derive(Debug, Clone, PartialEq)]
pub struct DeploymentLimit {
    /// How many runs at once.
    pub limit: i64,
    /// Whether a slot is free.
    pub has_room: bool,
    /// Whether the run's own lease has not ended.
    pub is_held: bool,
    /// Whether a run that finds no slot is cancelled; else it waits.
    pub cancels_new: bool,
    /// When a run that finds no slot looks again.
    pub retry_at: DateTime<Utc>,
    /// The id that a lease taken now has.
    pub next_lease: uuid::Uuid,
    /// Until when a lease taken or renewed now lasts.
    pub lease_until: DateTime<Utc>,
    /// Whether the client renews the leases of its runs.
    pub client_renews: bool,
}

/// What rules may ask beyond the run, loaded before the walk.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The newest cached state of the proposal's cache key that has not expired.
    pub cached: Option<State>,
    /// The limits of the run's tags.
    pub limits: Vec<Limit>,
    /// After how many seconds to ask again for a slot.
    pub slot_wait_seconds: i64,
    /// Of a flow run that needs a slot now: the limit of its deployment.
    pub deployment_limit: Option<DeploymentLimit>,
    /// Of a task run: its flow run's state, as that run's client knows it, and its tries.
    pub flow_run: Option<(StateType, i64)>,
    /// Of a task run: in which try of its flow run it ran last.
    pub flow_run_run_count: i64,
}

/// A transition on its way through a policy.
#[derive(Debug, Clone)]
pub struct Transition<'a> {
    /// The run as it was loaded.
    pub run: &'a Run,
    /// What else is known.
    pub facts: &'a Facts,
    /// The state that would be written; none once the proposal has to wait or is aborted.
    pub proposed: Option<State>,
    /// Whether a rule has put the state in place of the one that the client proposed.
    pub is_replaced: bool,
    /// The instant of the transition.
    pub now: DateTime<Utc>,
}

impl Transition<'_> {
    /// Returns the present and the proposed type.
    pub fn types(&self) -> (Option<StateType>, Option<StateType>) {
        let initial = self.run.state.as_ref().map(State::type_to_its_client);
        (
            initial,
            self.proposed.as_ref().map(|state| state.state_type),
        )
    }
}

/// What a rule says of a transition.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Nothing against it.
    Accept,
    /// The state is right, under another name.
    Rename(String),
    /// The state is right, with something added to it.
    Amend(Box<State>),
    /// Another state instead.
    Reject(Box<State>, String),
    /// Not yet; ask again after so many seconds.
    Wait(i64, String),
    /// Not at all.
    Abort(String),
}

/// What a transition does beside writing its state.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// The run takes a slot of each of these tags.
    TakeSlots(Vec<String>),
    /// The run gives all its slots back.
    ReleaseSlots,
    /// The flow run takes a slot of its deployment's limit.
    TakeDeploymentSlot {
        /// The lease to hold it by.
        lease: uuid::Uuid,
        /// Until when; none is until it is given back.
        until: Option<DateTime<Utc>>,
    },
    /// The flow run keeps the slot that it has.
    KeepDeploymentSlot {
        /// The lease that it holds it by.
        lease: uuid::Uuid,
        /// Until when; none is until it is given back.
        until: Option<DateTime<Utc>>,
    },
    /// The flow run gives its slot back.
    ReleaseDeploymentSlot(uuid::Uuid),
    /// The written state is found by its cache key from now on.
    InsertCache,
    /// The flow run forgets its pauses, and is tried again by whom this says.
    BeginAnew(Option<RetryType>),
    /// The pause of that key has happened.
    NotePause(Option<String>),
    /// What comes next goes on after a pause.
    NoteResumption,
    /// Nobody tries again.
    EndRetries,
    /// The task run's tries are counted from none.
    CountTriesAnew,
    /// The task run belongs to this try of its flow run.
    NoteTryOfFlow,
}

/// A rule of a policy. Its doc comment tells which race or loss it prevents.
pub trait Rule: Sync {
    /// The field's name for the rule.
    fn name(&self) -> &'static str;
    /// Tells whether the rule concerns transitions of these types.
    fn concerns(&self, from: Option<StateType>, to: Option<StateType>) -> bool;
    /// Tells whether the rule also follows a transition that others have made another one.
    fn is_universal(&self) -> bool {
        false
    }
    /// Judges the transition.
    fn judge(&self, _: &Transition<'_>) -> Verdict {
        Verdict::Accept
    }
    /// Says what happens once the transition stands.
    fn effect(&self, _: &Transition<'_>) -> Option<Effect> {
        None
    }
    /// Says what happens once the state stands that the rule has put in place of another.
    fn effect_of_rejection(&self, _: &Transition<'_>) -> Option<Effect> {
        None
    }
}

/// The end of a walk.
#[derive(Debug, Clone, PartialEq)]
pub struct Walk {
    /// The state to write, if any.
    pub state: Option<State>,
    /// The answer to the client.
    pub outcome: Outcome,
    /// What else happens.
    pub effects: Vec<Effect>,
    /// The rule that decided, where it was not accepted as proposed.
    pub decided_by: Option<&'static str>,
}

/// Walks a policy with a proposed state.
pub fn walk(
    policy: &[&dyn Rule],
    run: &Run,
    proposed: State,
    facts: &Facts,
    now: DateTime<Utc>,
) -> Walk {
    let mut transition = Transition {
        run,
        facts,
        proposed: Some(proposed),
        is_replaced: false,
        now,
    };
    let mut outcome = Outcome::Accept {};
    let mut decided_by = None;
    let mut ran: Vec<&dyn Rule> = Vec::new();
    let mut rejected: Option<&dyn Rule> = None;
    let intended = transition.types();
    for &rule in policy {
        let now = transition.types();
        let is_changed = now != intended && !rule.is_universal();
        if now.1.is_none() || is_changed || !rule.concerns(now.0, now.1) {
            continue;
        }
        match rule.judge(&transition) {
            Verdict::Accept => ran.push(rule),
            Verdict::Rename(name) => {
                if let Some(state) = &mut transition.proposed {
                    state.name = name;
                }
                ran.push(rule);
            }
            Verdict::Amend(state) => {
                transition.proposed = Some(*state);
                ran.push(rule);
            }
            Verdict::Reject(state, reason) => {
                let is_current = run.state.as_ref().is_some_and(|now| now.id == state.id);
                transition.proposed = Some(*state);
                transition.is_replaced = true;
                rejected = Some(rule);
                (outcome, decided_by) = (Outcome::Reject { reason }, Some(rule.name()));
                // Nothing happens, so no later rule has anything to judge. One that did, as if the
                // present state were proposed again, would refuse a claim that is only repeated
                // since its answer was lost, and the run would be nobody's.
                if is_current {
                    break;
                }
            }
            Verdict::Wait(delay_seconds, reason) => {
                transition.proposed = None;
                (outcome, decided_by) = (
                    Outcome::Wait {
                        delay_seconds,
                        reason,
                    },
                    Some(rule.name()),
                );
            }
            Verdict::Abort(reason) => {
                transition.proposed = None;
                (outcome, decided_by) = (Outcome::Abort { reason }, Some(rule.name()));
            }
        }
    }
    let (from, to) = transition.types();
    let is_changed = (from, to) != intended;
    let stands = |rule: &&&dyn Rule| {
        to.is_some() && (rule.is_universal() || !is_changed) && rule.concerns(from, to)
    };
    let of_rejection = rejected
        .filter(|_| to.is_some())
        .and_then(|rule| rule.effect_of_rejection(&transition));
    let effects = ran
        .iter()
        .rev()
        .filter(stands)
        .filter_map(|rule| rule.effect(&transition))
        .chain(of_rejection)
        .collect();
    Walk {
        state: transition.proposed,
        outcome,
        effects,
        decided_by,
    }
}

/// Returns the tags without repetition, in the order in which slots are taken.
pub fn slot_order(tags: &[String]) -> Vec<String> {
    // The same order everywhere, so that two servers never wait for each other's rows.
    tags.iter()
        .cloned()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}

#[cfg(test)]
mod tests;

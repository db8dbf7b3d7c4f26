//! The dispatcher: one loop's state, which decides and does nothing else.
//!
//! Every event gives a list of commands for the executor. There is no clock, no network and no
//! process in here, so each race the agent can meet is a list of events in a test.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::process::Halt;
use crate::client::FlowRun;

/// What one poll asks for at most.
const PAGE: usize = 100;

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// The poll interval passed.
    Tick,
    /// The server says that something is due.
    Nudge,
    /// A run that was waiting for its time may be due.
    Timer,
    /// A poll was answered, or not.
    Polled(Option<Vec<FlowRun>>),
    /// The server gave the run to this agent.
    Won(Uuid),
    /// The server did not.
    Lost(Uuid),
    /// The run left this agent: it ended, or was handed back.
    Gone(Uuid),
    /// Somebody cancelled the run.
    Cancelled(Uuid),
    /// Somebody asks the agent to stop.
    Stop,
    /// The time for runs to end by themselves is over.
    GraceOver,
    /// The time for the server to hear how the runs have ended is over.
    PatienceOver,
}

/// What to do about it.
#[derive(Debug)]
pub enum Command {
    /// Ask for due runs.
    Poll {
        /// How many at most.
        limit: usize,
    },
    /// Ask which of these were cancelled.
    Watch(Vec<Uuid>),
    /// Propose PENDING for a run of this work queue, if it was said which it is in.
    Claim(Uuid, Option<Uuid>),
    /// Start the claimed run.
    Launch(Box<FlowRun>),
    /// Make the claimed run SCHEDULED again.
    HandBack(Uuid),
    /// End the run's processes.
    Halt(Uuid, Halt),
    /// Let go of runs that have no process yet, and begin to wait for the others to end by themselves.
    StartGrace,
    /// Begin to wait for runs that were ended to be gone and for the server to hear of it.
    StartPatience,
    /// Leave the loop.
    Exit,
}

#[derive(Debug)]
enum Phase {
    /// Known ahead of its time, with its place in the last answer, which says what comes first where room is short. It is
    /// claimed when due, so that until then any agent may have it.
    Waiting(DateTime<Utc>, usize),
    /// Proposed as PENDING; no answer yet.
    Claiming,
    /// This agent's, until it is gone.
    Running,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Mode {
    Working,
    /// What is known is still taken, and nothing more asked for.
    Finishing,
    Draining,
    Halting,
}

/// The agent's state.
#[derive(Debug)]
pub struct Dispatcher {
    runs: BTreeMap<Uuid, (Box<FlowRun>, Phase)>,
    /// How many runs this agent takes at once.
    limit: Option<usize>,
    mode: Mode,
    /// Whether one answer is all that is wanted.
    asks_once: bool,
    is_polling: bool,
    /// True when something happened during a poll that its answer may not show.
    polls_again: bool,
    /// Runs that left during the poll under way; its answer may still name them as due.
    gone_during_poll: HashSet<Uuid>,
}

impl Dispatcher {
    /// Returns the state of an agent that has just started.
    pub fn new(limit: Option<usize>) -> Self {
        Dispatcher {
            runs: BTreeMap::new(),
            limit,
            mode: Mode::Working,
            asks_once: false,
            is_polling: false,
            polls_again: false,
            gone_during_poll: HashSet::new(),
        }
    }

    /// Takes what the first answer names, as far as there is room, and ends with it.
    pub fn asking_once(self) -> Self {
        Dispatcher {
            asks_once: true,
            ..self
        }
    }

    /// Returns the instant at which the next waiting run is due.
    pub fn next_due(&self) -> Option<DateTime<Utc>> {
        if !self.takes_runs() || self.free() == 0 {
            return None;
        }
        self.waiting().map(|(_, due, _)| due).min()
    }

    /// Returns how many runs are this agent's now, or may be.
    pub fn held(&self) -> usize {
        self.ids(|phase| !matches!(phase, Phase::Waiting(..))).len()
    }

    /// Takes in an event and says what to do.
    pub fn handle(&mut self, event: Event, now: DateTime<Utc>) -> Vec<Command> {
        let mut commands = match event {
            Event::Tick => self.tick(),
            Event::Nudge => self.poll(),
            Event::Timer => Vec::new(),
            Event::Polled(runs) => self.polled(runs),
            Event::Won(id) => self.won(id),
            Event::Lost(id) => {
                self.leave(id);
                Vec::new()
            }
            Event::Gone(id) => {
                self.leave(id);
                // The end of a run may free a slot of the queue's limit.
                self.poll()
            }
            Event::Cancelled(id) => self.cancelled(id),
            Event::Stop => self.stop(),
            Event::GraceOver => self.halt(),
            Event::PatienceOver => vec![Command::Exit],
        };
        commands.extend(self.claim_due(now));
        if self.mode != Mode::Working && self.runs.is_empty() {
            commands.push(Command::Exit);
        }
        commands
    }

    fn takes_runs(&self) -> bool {
        matches!(self.mode, Mode::Working | Mode::Finishing)
    }

    fn tick(&mut self) -> Vec<Command> {
        let running = self.ids(|phase| matches!(phase, Phase::Running));
        let mut commands = self.poll();
        if !running.is_empty() {
            commands.push(Command::Watch(running));
        }
        commands
    }

    fn poll(&mut self) -> Vec<Command> {
        if self.mode != Mode::Working {
            return Vec::new();
        }
        if self.is_polling {
            self.polls_again = true;
            return Vec::new();
        }
        self.is_polling = true;
        self.polls_again = false;
        // Runs that wait here are in the answer as well and must not crowd out the others.
        let waiting = self.ids(|phase| matches!(phase, Phase::Waiting(..))).len();
        vec![Command::Poll {
            limit: (PAGE + waiting).min(200),
        }]
    }

    fn polled(&mut self, runs: Option<Vec<FlowRun>>) -> Vec<Command> {
        self.is_polling = false;
        let gone = std::mem::take(&mut self.gone_during_poll);
        if self.mode != Mode::Working {
            return Vec::new();
        }
        if let Some(runs) = runs {
            self.take_in(runs, &gone);
            if self.asks_once {
                self.mode = Mode::Finishing;
                self.keep_what_fits();
                return Vec::new();
            }
        }
        if self.polls_again {
            self.poll()
        } else {
            Vec::new()
        }
    }

    /// Makes the runs of an answer those that wait here, but for what is this agent's already or has left it.
    fn take_in(&mut self, runs: Vec<FlowRun>, gone: &HashSet<Uuid>) {
        // What waits here and is no longer named was taken, cancelled or moved.
        let named: HashSet<Uuid> = runs.iter().map(|run| run.id).collect();
        self.runs
            .retain(|id, (_, phase)| !matches!(phase, Phase::Waiting(..)) || named.contains(id));
        for (place, run) in runs.into_iter().enumerate() {
            let known = self.runs.get(&run.id);
            let is_taken = known.is_some_and(|(_, phase)| !matches!(phase, Phase::Waiting(..)));
            if is_taken || gone.contains(&run.id) {
                continue;
            }
            let due = run
                .next_scheduled_start_time
                .or(run.expected_start_time)
                .unwrap_or(DateTime::<Utc>::MIN_UTC);
            self.runs
                .insert(run.id, (Box::new(run), Phase::Waiting(due, place)));
        }
    }

    /// Leaves to others what this agent has no room for.
    fn keep_what_fits(&mut self) {
        let mut waiting: Vec<_> = self.waiting().collect();
        waiting.sort();
        for (_, _, id) in waiting.into_iter().skip(self.free()) {
            self.runs.remove(&id);
        }
    }

    fn waiting(&self) -> impl Iterator<Item = (usize, DateTime<Utc>, Uuid)> {
        self.runs.iter().filter_map(|(id, (_, phase))| match phase {
            Phase::Waiting(due, place) => Some((*place, *due, *id)),
            Phase::Claiming | Phase::Running => None,
        })
    }

    fn claim_due(&mut self, now: DateTime<Utc>) -> Vec<Command> {
        if !self.takes_runs() {
            return Vec::new();
        }
        let mut due: Vec<_> = self.waiting().filter(|(_, due, _)| *due <= now).collect();
        due.sort();
        due.truncate(self.free());
        due.into_iter()
            .map(|(_, _, id)| {
                self.set(id, Phase::Claiming);
                let queue = self.runs.get(&id).and_then(|(run, _)| run.work_queue_id);
                Command::Claim(id, queue)
            })
            .collect()
    }

    fn won(&mut self, id: Uuid) -> Vec<Command> {
        self.set(id, Phase::Running);
        if !self.takes_runs() {
            return vec![Command::HandBack(id)];
        }
        self.runs
            .get(&id)
            .map(|(run, _)| Command::Launch(run.clone()))
            .into_iter()
            .collect()
    }

    fn cancelled(&mut self, id: Uuid) -> Vec<Command> {
        match self.runs.get(&id) {
            Some((_, Phase::Running)) => vec![Command::Halt(id, Halt::Cancelled)],
            Some((_, Phase::Waiting(..))) => {
                self.leave(id);
                Vec::new()
            }
            // A claim of a cancelled run is refused by the server.
            Some((_, Phase::Claiming)) | None => Vec::new(),
        }
    }

    fn stop(&mut self) -> Vec<Command> {
        match self.mode {
            Mode::Working | Mode::Finishing => {
                self.mode = Mode::Draining;
                self.runs
                    .retain(|_, (_, phase)| !matches!(phase, Phase::Waiting(..)));
                if self.runs.is_empty() {
                    Vec::new()
                } else {
                    vec![Command::StartGrace]
                }
            }
            Mode::Draining => self.halt(),
            // Who asks three times means it; the guard ends what is left.
            Mode::Halting => vec![Command::Exit],
        }
    }

    fn halt(&mut self) -> Vec<Command> {
        // Somebody may have asked again before the grace was over.
        if self.mode == Mode::Halting {
            return Vec::new();
        }
        self.mode = Mode::Halting;
        self.ids(|phase| matches!(phase, Phase::Running))
            .into_iter()
            .map(|id| Command::Halt(id, Halt::AgentStopped))
            .chain([Command::StartPatience])
            .collect()
    }

    fn free(&self) -> usize {
        self.limit
            .map_or(usize::MAX, |limit| limit.saturating_sub(self.held()))
    }

    fn leave(&mut self, id: Uuid) {
        self.runs.remove(&id);
        if self.is_polling {
            self.gone_during_poll.insert(id);
        }
    }

    fn set(&mut self, id: Uuid, phase: Phase) {
        if let Some((_, current)) = self.runs.get_mut(&id) {
            *current = phase;
        }
    }

    fn ids(&self, wanted: impl Fn(&Phase) -> bool) -> Vec<Uuid> {
        self.runs
            .iter()
            .filter(|(_, (_, phase))| wanted(phase))
            .map(|(id, _)| *id)
            .collect()
    }
}

#[cfg(test)]
mod tests;

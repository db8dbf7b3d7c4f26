//! What takes runs here, as messages name it: people know agents by queues, and workers by pools.

use std::fmt;

/// An agent, or a worker, which is an agent of a pool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Role {
    /// It takes runs of a queue.
    #[default]
    Agent,
    /// It takes runs of a pool.
    Worker,
}

impl Role {
    /// Returns the word with its article.
    pub fn one(self) -> &'static str {
        match self {
            Self::Agent => "an agent",
            Self::Worker => "a worker",
        }
    }

    /// Returns the name under which it logs what it does with a run.
    pub fn logger(self) -> &'static str {
        match self {
            Self::Agent => "prefect.agent",
            Self::Worker => "prefect.worker",
        }
    }

    /// Reads the word.
    pub fn of(word: &str) -> Self {
        match word {
            "worker" => Self::Worker,
            _ => Self::Agent,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Agent => "agent",
            Self::Worker => "worker",
        })
    }
}

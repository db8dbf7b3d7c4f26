//! Whose results went into a run: what the graph of a flow run is drawn of.
//!
//! Many runs may depend on the same many: a map over a thousand values that waits for a thousand runs is a million links. In
//! memory the ids are there once; what is told is bounded for each run and, more narrowly, once a flow run has told very many,
//! since each link is some sixty bytes on their way and in the database.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Serialize, Serializer};
use uuid::Uuid;

/// Each event of a run names all that its arguments come from, and servers take events of 1.5 MB.
const MAX_LINKS: usize = 10_000;
/// How many links a flow run tells before each of its task runs has to be brief.
const MANY: usize = 250_000;
/// How many links a task run tells then.
const FEW_LINKS: usize = 100;

/// Ids of task runs, cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) enum Ids {
    #[default]
    None,
    One(Uuid),
    Many(Arc<[Uuid]>),
}

impl Ids {
    pub(crate) fn as_slice(&self) -> &[Uuid] {
        match self {
            Self::None => &[],
            Self::One(id) => std::slice::from_ref(id),
            Self::Many(ids) => ids,
        }
    }

    /// Takes one more along; of more than `most` the last ones stay.
    pub(crate) fn add(&mut self, id: Uuid, most: usize) {
        let known = self.as_slice();
        if !known.contains(&id) {
            let from = (known.len() + 1).saturating_sub(most);
            *self = known[from..].iter().copied().chain([id]).collect();
        }
    }
}

impl FromIterator<Uuid> for Ids {
    fn from_iter<I: IntoIterator<Item = Uuid>>(ids: I) -> Self {
        let ids: Vec<Uuid> = ids.into_iter().collect();
        match ids[..] {
            [] => Self::None,
            [id] => Self::One(id),
            _ => Self::Many(ids.into()),
        }
    }
}

/// The runs that a run depends on, under the names of its arguments.
#[derive(Debug, Default)]
pub(crate) struct Links(Vec<Link>);

#[derive(Debug)]
struct Link {
    name: &'static str,
    ids: Ids,
    /// How many of them are told.
    told: usize,
}

impl Links {
    pub(crate) fn add(&mut self, name: &'static str, ids: Ids) {
        let told = ids.as_slice().len();
        self.0.push(Link { name, ids, told });
    }

    /// Leaves out what is beyond a number, and returns how many are told.
    fn bound(&mut self, most: usize) -> usize {
        let mut room = most;
        for link in &mut self.0 {
            link.told = link.told.min(room);
            room -= link.told;
        }
        most - room
    }
}

/// How many links a flow run has told, and so how many it may tell.
#[derive(Debug, Default)]
pub(crate) struct Budget(AtomicUsize);

impl Budget {
    /// Leaves out of a run's links what is not told any more.
    pub(crate) fn tell(&self, links: &mut Links) {
        let most = match self.0.load(Ordering::Relaxed) {
            told if told < MANY => MAX_LINKS,
            _ => FEW_LINKS,
        };
        let told = links.bound(most);
        self.0.fetch_add(told, Ordering::Relaxed);
    }
}

impl Serialize for Links {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let members = self.0.iter().map(|link| {
            let told = &link.ids.as_slice()[..link.told];
            (link.name, InputsJson(told))
        });
        serializer.collect_map(members)
    }
}

struct InputsJson<'a>(&'a [Uuid]);

impl Serialize for InputsJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Input<'a> {
            input_type: &'static str,
            id: &'a Uuid,
        }
        serializer.collect_seq(self.0.iter().map(|id| Input {
            input_type: "task_run",
            id,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(numbers: &[usize]) -> Links {
        let mut links = Links::default();
        for n in numbers {
            links.add("argument", std::iter::repeat_n(Uuid::nil(), *n).collect());
        }
        links
    }

    fn told(links: &Links) -> Vec<usize> {
        links.0.iter().map(|link| link.told).collect()
    }

    #[test]
    fn links_are_told_up_to_a_bound() {
        let mut links = links(&[3, MAX_LINKS, 1]);
        assert_eq!(links.bound(MAX_LINKS), MAX_LINKS);
        assert_eq!(told(&links), [3, MAX_LINKS - 3, 0]);
    }

    #[test]
    fn a_flow_run_that_has_told_very_many_becomes_brief() {
        let flow_run = Budget::default();
        for _ in 0..MANY / MAX_LINKS {
            let mut whole = links(&[MAX_LINKS]);
            flow_run.tell(&mut whole);
            assert_eq!(told(&whole), [MAX_LINKS]);
        }
        let mut brief = links(&[1, MAX_LINKS]);
        flow_run.tell(&mut brief);
        assert_eq!(told(&brief), [1, FEW_LINKS - 1]);
    }
}

//! Tells whoever listens what has changed, after the change is durable.
//!
//! Agents are woken by it, the dashboard is kept live, services learn that something is due
//! sooner. It is a hint, never the truth: a listener that was too slow reads the database anew.
//! The newest changes are kept with their numbers, so that a listener which lost its connection
//! continues where it was.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::{Notify, broadcast, watch};
use uuid::Uuid;

use crate::schemas::{DeploymentId, FlowRunId, State, StateType};

/// Changes that a slow listener may lag behind before it must read anew.
const BACKLOG: usize = 1024;
/// Changes that are kept for listeners which come back; about a megabyte.
const KEPT: usize = 4096;

/// What kind of thing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ChangeKind)]
#[expect(missing_docs, reason = "the field's own words")]
pub enum Kind {
    Flow,
    FlowRun,
    TaskRun,
    Deployment,
    WorkQueue,
    ConcurrencyLimit,
    Block,
    Variable,
    Artifact,
    Log,
    Automation,
    NotificationPolicy,
    /// Somebody who polls a queue, a pool or a deployment has come or gone; the id is of what is polled.
    Poller,
    /// New events, without saying which: a feed reads them anew.
    Event,
}

/// One change.
#[derive(Debug, Clone, serde::Serialize, utoipa::ToSchema)]
pub struct Change {
    /// What kind of thing changed.
    pub kind: Kind,
    /// Which one; of lines of a log, the flow run that wrote them.
    pub id: Uuid,
    /// The state that a run is in now.
    pub state_type: Option<StateType>,
    /// The finer name of that state.
    pub state_name: Option<String>,
    /// The deployment that a flow run was made from.
    pub deployment_id: Option<DeploymentId>,
    /// The flow run that a task run belongs to.
    pub flow_run_id: Option<FlowRunId>,
}

impl Change {
    /// A change of something that has no state.
    pub fn of(kind: Kind, id: Uuid) -> Self {
        Self {
            kind,
            id,
            state_type: None,
            state_name: None,
            deployment_id: None,
            flow_run_id: None,
        }
    }

    /// A flow run that is in this state now.
    pub fn of_flow_run(
        id: FlowRunId,
        state: Option<&State>,
        deployment_id: Option<DeploymentId>,
    ) -> Self {
        Self {
            state_type: state.map(|state| state.state_type),
            state_name: state.map(|state| state.name.clone()),
            deployment_id,
            ..Self::of(Kind::FlowRun, id.0)
        }
    }
}

/// What a listener has missed.
#[derive(Debug)]
pub enum Missed {
    /// All of it, oldest first, and the number of the last.
    Told(Vec<Change>, u64),
    /// More than is kept; the number to go on from after reading anew.
    Lost(u64),
}

/// Tells which changes concern a listener.
pub type Concern = fn(&Change) -> bool;

/// A listener that is woken only by what concerns it.
///
/// Most changes are steps of runs, and most services have no use for them: to wake each service for
/// each step would cost more than the step.
#[derive(Debug)]
pub struct Ear(Arc<Inbox>);

#[derive(Debug)]
struct Inbox {
    concern: Concern,
    /// What has been told since the last look.
    heard: Mutex<Heard>,
    wake: Notify,
}

/// What a listener has heard since it last asked.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// Of changes of these things.
    Of(Vec<Uuid>),
    /// Of more than it should look at one by one.
    TooMuch,
}

impl Heard {
    fn is_nothing(&self) -> bool {
        matches!(self, Self::Of(ids) if ids.is_empty())
    }
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, change: &Change) {
        if !(self.concern)(change) {
            return;
        }
        let mut heard = self.lock();
        let is_first = heard.is_nothing();
        match &mut *heard {
            Heard::Of(ids) if ids.len() < BACKLOG => ids.push(change.id),
            Heard::Of(_) => *heard = Heard::TooMuch,
            Heard::TooMuch => {}
        }
        drop(heard);
        if is_first {
            self.wake.notify_one();
        }
    }
}

impl Ear {
    /// Waits until something has been told that was not taken yet.
    pub async fn told(&self) {
        while self.0.lock().is_nothing() {
            self.0.wake.notified().await;
        }
    }

    /// Takes what was heard.
    pub fn take(&self) -> Heard {
        std::mem::replace(&mut *self.0.lock(), Heard::Of(Vec::new()))
    }
}

/// The hub of changes.
#[derive(Debug, Clone)]
pub struct Changes {
    told: broadcast::Sender<Change>,
    /// Listeners come when a server starts and go with it, so they are only ever added.
    ears: Arc<Mutex<Vec<Weak<Inbox>>>>,
    kept: Arc<Kept>,
}

#[derive(Debug)]
struct Kept {
    /// Numbers of another process mean nothing here.
    epoch: Uuid,
    /// The newest changes; the last has the number that `head` shows.
    newest: Mutex<VecDeque<Change>>,
    /// The number of the last change; written only while `newest` is locked.
    head: watch::Sender<u64>,
}

impl Changes {
    /// Makes a hub without listeners.
    #[expect(clippy::new_without_default, reason = "a hub is made once, on purpose")]
    pub fn new() -> Self {
        let kept = Kept {
            epoch: Uuid::new_v4(),
            newest: Mutex::new(VecDeque::new()),
            head: watch::Sender::new(0),
        };
        Self {
            told: broadcast::channel(BACKLOG).0,
            ears: Arc::default(),
            kept: Arc::new(kept),
        }
    }

    /// Tells everybody; call it after the commit.
    pub fn tell(&self, change: Change) {
        let mut newest = self
            .kept
            .newest
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if newest.len() == KEPT {
            newest.pop_front();
        }
        newest.push_back(change.clone());
        self.kept.head.send_modify(|head| *head += 1);
        drop(newest);
        for ear in self.ears().iter().filter_map(Weak::upgrade) {
            ear.put(&change);
        }
        // Nobody listening is fine.
        let _ = self.told.send(change);
    }

    fn ears(&self) -> MutexGuard<'_, Vec<Weak<Inbox>>> {
        self.ears.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts to listen for some changes only.
    pub fn listen_for(&self, concern: Concern) -> Ear {
        let inbox = Arc::new(Inbox {
            concern,
            heard: Mutex::new(Heard::Of(Vec::new())),
            wake: Notify::new(),
        });
        self.ears().push(Arc::downgrade(&inbox));
        Ear(inbox)
    }

    /// Starts to listen.
    pub fn listen(&self) -> broadcast::Receiver<Change> {
        self.told.subscribe()
    }

    /// Follows the number of the last change.
    pub fn head(&self) -> watch::Receiver<u64> {
        self.kept.head.subscribe()
    }

    /// Returns what came after a number.
    pub fn since(&self, number: u64) -> Missed {
        let newest = self
            .kept
            .newest
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let head = *self.kept.head.borrow();
        let Some(missed) = head.checked_sub(number).map(|n| n as usize) else {
            return Missed::Lost(head);
        };
        match newest.len().checked_sub(missed) {
            Some(known) => Missed::Told(newest.iter().skip(known).cloned().collect(), head),
            None => Missed::Lost(head),
        }
    }

    /// Writes a number as a word that this process understands later.
    pub fn mark(&self, number: u64) -> String {
        format!("{}-{number}", self.kept.epoch.simple())
    }

    /// Reads such a word; none if it is of another process, or no such word.
    pub fn number(&self, mark: &str) -> Option<u64> {
        let (epoch, number) = mark.split_once('-')?;
        let is_ours = epoch.parse() == Ok(self.kept.epoch);
        number.parse().ok().filter(|_| is_ours)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(hub: &Changes, number: u64) -> String {
        match hub.since(number) {
            Missed::Told(list, head) => {
                let ids: Vec<_> = list.iter().map(|c| c.id.as_u128()).collect();
                format!("{ids:?} up to {head}")
            }
            Missed::Lost(head) => format!("lost, go on from {head}"),
        }
    }

    #[tokio::test]
    async fn an_ear_hears_only_what_concerns_it() {
        let hub = Changes::new();
        let ear = hub.listen_for(|change| change.kind == Kind::Deployment);
        let told = |kind, id| hub.tell(Change::of(kind, Uuid::from_u128(id)));
        told(Kind::FlowRun, 1);
        assert_eq!(ear.take(), Heard::Of(vec![]));
        told(Kind::Deployment, 2);
        told(Kind::Deployment, 3);
        ear.told().await;
        let ids = vec![Uuid::from_u128(2), Uuid::from_u128(3)];
        assert_eq!(ear.take(), Heard::Of(ids));
        // The wake-up of what was taken is over.
        let silence = std::time::Duration::from_millis(20);
        assert!(tokio::time::timeout(silence, ear.told()).await.is_err());
        (0..=BACKLOG as u128).for_each(|id| told(Kind::Deployment, id));
        ear.told().await;
        assert_eq!(ear.take(), Heard::TooMuch);
    }

    #[test]
    fn a_listener_that_comes_back_continues_where_it_was() {
        let hub = Changes::new();
        assert_eq!(told(&hub, 0), "[] up to 0");
        for id in 1..=3 {
            hub.tell(Change::of(Kind::Flow, Uuid::from_u128(id)));
        }
        assert_eq!(told(&hub, 1), "[2, 3] up to 3");
        assert_eq!(told(&hub, 3), "[] up to 3");
        // A number from the future is one of another process.
        assert_eq!(told(&hub, 4), "lost, go on from 3");
    }

    #[test]
    fn what_is_not_kept_any_more_is_told_as_lost() {
        let hub = Changes::new();
        for id in 0..KEPT as u128 + 2 {
            hub.tell(Change::of(Kind::Flow, Uuid::from_u128(id)));
        }
        assert!(matches!(hub.since(1), Missed::Lost(4098)));
        assert!(matches!(hub.since(2), Missed::Told(list, 4098) if list.len() == KEPT));
    }

    #[test]
    fn a_mark_is_understood_only_by_the_process_that_made_it() {
        let hub = Changes::new();
        assert_eq!(hub.number(&hub.mark(7)), Some(7));
        assert_eq!(hub.number(&Changes::new().mark(7)), None);
        assert_eq!(hub.number("nonsense"), None);
    }
}

//! The services: loops beside the API that make time matter.
//!
//! All have one shape. A pass takes no input, reads what is due, writes it, and says when
//! something is due next; passing twice changes nothing. A service sleeps until that instant, at
//! most for its loop's seconds (another server on the same database may have added something
//! sooner, and the clock may jump), and a change in this process that concerns it wakes it.
//! An idle pass reads and never writes.

mod automation_actions;
mod errands;
mod event_retention;
#[cfg(test)]
mod event_tests;
mod flow_run_events;
mod flow_run_notifications;
mod flow_run_retention;
mod foreman;
mod freed_slots;
mod late_runs;
mod lease_repossessor;
mod presence;
mod scheduler;
mod stale_runs;
#[cfg(test)]
mod tests;
mod triggers;

use std::future::Future;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{debug, error};
use uuid::Uuid;

use super::AppState;
use super::changes::{Change, Ear, Heard};
use crate::db;

pub use automation_actions::AutomationActions;
pub use event_retention::EventRetention;
pub use flow_run_events::FlowRunEvents;
pub use flow_run_notifications::FlowRunNotifications;
pub use flow_run_retention::FlowRunRetention;
pub use foreman::Foreman;
pub use freed_slots::FreedSlots;
pub use late_runs::LateRuns;
pub use lease_repossessor::LeaseRepossessor;
pub use presence::Presence;
pub use scheduler::{Scheduler, Span, schedule_deployment};
pub use stale_runs::{CancellationCleanup, CrashedRuns, PauseExpirations};
pub use triggers::Triggers;

/// The least time between two passes, so that a burst of changes is one pass.
const PAUSE: Duration = Duration::from_millis(50);

/// A loop beside the API; its documentation lists its reasons to wake.
pub trait Service: Send + 'static {
    /// The name in logs.
    fn name(&self) -> &'static str;

    /// The longest sleep.
    fn longest_sleep(&self, app: &AppState) -> Duration;

    /// Tells whether a change is a reason to wake; asked for every change, where it is told.
    fn concerns(change: &Change) -> bool;

    /// Notes what a change that concerns the service is about, before the pass.
    fn note(&mut self, _changed: Uuid) {}

    /// Notes that the next pass is to look at everything.
    fn missed_changes(&mut self) {}

    /// Does what is due and returns when something is due next.
    fn pass(
        &mut self,
        app: &AppState,
    ) -> impl Future<Output = db::Result<Option<DateTime<Utc>>>> + Send;
}

/// The running services of a server.
#[derive(Debug)]
pub struct Services {
    /// True once the services shall end; each task watches it.
    stop: watch::Sender<bool>,
    /// One task a service, awaited by [`Services::stop`].
    tasks: Vec<JoinHandle<()>>,
}

impl Services {
    /// Starts those services that the settings switch on.
    pub fn start(app: &AppState) -> Self {
        let mut services = Self {
            stop: watch::Sender::new(false),
            tasks: Vec::new(),
        };
        if app.settings.scheduler_enabled {
            services.spawn(app, Scheduler::default());
        }
        if app.settings.late_runs_enabled {
            services.spawn(app, LateRuns);
        }
        if app.settings.pause_expirations_enabled {
            services.spawn(app, PauseExpirations);
        }
        if app.settings.cancellation_cleanup_enabled {
            services.spawn(app, CancellationCleanup);
        }
        if app.settings.repossessor_enabled {
            services.spawn(app, LeaseRepossessor);
        }
        if app.settings.foreman_enabled {
            services.spawn(app, Foreman::default());
        }
        if app.settings.crashed_runs_enabled {
            services.spawn(app, CrashedRuns::default());
        }
        if app.settings.flow_run_events_enabled {
            services.spawn(app, FlowRunEvents::default());
        }
        if app.settings.flow_run_notifications_enabled {
            services.spawn(app, FlowRunNotifications::default());
        }
        if app.settings.triggers_enabled {
            services.spawn(app, Triggers);
            services.spawn(app, AutomationActions::default());
        }
        let vacuum = app.settings.db_vacuum_enabled;
        if app.settings.event_persister_enabled && vacuum.events {
            services.spawn(app, EventRetention);
        }
        if vacuum.flow_runs || vacuum.orphans {
            services.spawn(app, FlowRunRetention::default());
        }
        services.spawn(app, FreedSlots);
        services.spawn(app, Presence::default());
        services
    }

    fn spawn<S: Service>(&mut self, app: &AppState, service: S) {
        let changes = app.changes.listen_for(S::concerns);
        let task = run(app.clone(), service, changes, self.stop.subscribe());
        self.tasks.push(tokio::spawn(task));
    }

    /// Lets every pass under way finish, then ends the services.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        for task in self.tasks {
            if let Err(failure) = task.await {
                error!("a service ended by itself: {failure}");
            }
        }
    }
}

async fn run(
    app: AppState,
    mut service: impl Service,
    changes: Ear,
    mut stop: watch::Receiver<bool>,
) {
    debug!("service {} starts", service.name());
    loop {
        let next = service.pass(&app).await.unwrap_or_else(|failure| {
            error!("service {} will try again: {failure}", service.name());
            None
        });
        let longest = service.longest_sleep(&app);
        let sleep = next.map_or(longest, |next| {
            // An instant that has passed is no negative time.
            (next - app.now()).to_std().unwrap_or_default().min(longest)
        });
        let is_told = tokio::select! {
            _ = stop.changed() => break,
            () = tokio::time::sleep(sleep.max(PAUSE)) => false,
            () = changes.told() => {
                tokio::select! {
                    _ = stop.changed() => break,
                    () = tokio::time::sleep(PAUSE) => true,
                }
            }
        };
        // What has arrived since is part of the same pass.
        match changes.take() {
            Heard::Of(changed) if is_told => changed.into_iter().for_each(|id| service.note(id)),
            Heard::Of(_) | Heard::TooMuch => service.missed_changes(),
        }
    }
    debug!("service {} ends", service.name());
}

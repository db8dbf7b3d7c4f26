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
use crate::settings::Settings;

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

/// A service as it is offered to those who run servers.
#[derive(Debug)]
pub struct Offer {
    /// Returns what it is called.
    pub name: fn() -> &'static str,
    /// What it does, as a sentence without its subject.
    pub does: &'static str,
    /// The setting that switches it, where there is one.
    pub setting: Option<&'static str>,
    /// Whether the settings switch it on.
    pub is_enabled: fn(&Settings) -> bool,
    spawn: fn(&mut Services, &AppState),
}

/// Declares [`SERVICES`] from one table.
macro_rules! services {
    ($( $does:literal, $setting:expr, $is_enabled:expr, $service:expr; )*) => {
        /// Every service, in the order in which they start.
        pub static SERVICES: &[Offer] = &[$( Offer {
            name: || $service.name(),
            does: $does,
            setting: $setting,
            is_enabled: $is_enabled,
            spawn: |services, app| services.spawn(app, $service),
        } ),*];
    };
}

services! {
    "makes the runs of schedules",
        Some("PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED"), |set| set.scheduler_enabled, Scheduler::default();
    "marks runs late that nobody started",
        Some("PREFECT_SERVER_SERVICES_LATE_RUNS_ENABLED"), |set| set.late_runs_enabled, LateRuns;
    "fails runs that were paused and not resumed in time",
        Some("PREFECT_SERVER_SERVICES_PAUSE_EXPIRATIONS_ENABLED"), |set| set.pause_expirations_enabled, PauseExpirations;
    "brings cancellations to their end that nobody confirms",
        Some("PREFECT_SERVER_SERVICES_CANCELLATION_CLEANUP_ENABLED"), |set| set.cancellation_cleanup_enabled, CancellationCleanup;
    "takes slots of limits back whose lease has run out",
        Some("PREFECT_SERVER_SERVICES_REPOSSESSOR_ENABLED"), |set| set.repossessor_enabled, LeaseRepossessor;
    "tells when pools, queues and deployments begin and cease to be served",
        Some("PREFECT_SERVER_SERVICES_FOREMAN_ENABLED"), |set| set.foreman_enabled, Foreman::default();
    "ends runs whose heartbeats have stopped",
        Some("PREFECT_RS_SERVICES_CRASHED_RUNS_ENABLED"), |set| set.crashed_runs_enabled, CrashedRuns::default();
    "tells how flow runs change their states",
        Some("PREFECT_RS_SERVICES_FLOW_RUN_EVENTS_ENABLED"), |set| set.flow_run_events_enabled, FlowRunEvents::default();
    "tells people of states, as notification policies say",
        Some("PREFECT_API_SERVICES_FLOW_RUN_NOTIFICATIONS_ENABLED"), |set| set.flow_run_notifications_enabled, FlowRunNotifications::default();
    "lets automations fire whose time has come without an event",
        Some("PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED"), |set| set.triggers_enabled, Triggers;
    "does what automations have to do",
        Some("PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED"), |set| set.triggers_enabled, AutomationActions::default();
    "deletes events that are older than they are kept",
        Some("PREFECT_SERVER_SERVICES_EVENT_PERSISTER_ENABLED"), |set| set.event_persister_enabled && set.db_vacuum_enabled.events, EventRetention;
    "deletes flow runs that ended longer ago than they are kept",
        Some("PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED"), |set| set.db_vacuum_enabled.flow_runs || set.db_vacuum_enabled.orphans, FlowRunRetention::default();
    "brings runs forward that wait for a slot of their deployment", None, |_| true, FreedSlots;
    "tells listeners of this server who polls and who has fallen silent", None, |_| true, Presence::default();
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
        for service in SERVICES {
            if (service.is_enabled)(&app.settings) {
                (service.spawn)(&mut services, app);
            }
        }
        services
    }

    /// Starts those alone that tell the listeners of this server what becomes of time.
    pub fn for_listeners(app: &AppState) -> Self {
        let mut services = Self {
            stop: watch::Sender::new(false),
            tasks: Vec::new(),
        };
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

//! What every handler can reach.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::automations::InForce;
use super::changes::Changes;
use super::events::{Batch, Hub};
use super::models::deployment_limits::Terms;
use super::task_workers::TaskWorkers;
use super::vault::Vault;
use super::waiting::Waiting;
use crate::clock::SharedClock;
use crate::db::{Db, Dialect};
use crate::schemas::logs::Log;
use crate::settings::Settings;

/// The server's parts, shared by cloning, which each request does several times.
#[derive(Clone)]
pub struct AppState(Arc<Parts>);

/// What a server is made of.
pub struct Parts {
    /// The database.
    pub db: Db,
    /// The time.
    pub clock: SharedClock,
    /// The settings that the server was started with.
    pub settings: Arc<Settings>,
    /// What keeps secrets from lying in the database in clear.
    pub vault: Vault,
    /// Who wants to know when something has changed.
    pub changes: Changes,
    /// Who wants to know what has happened.
    pub events: Hub<Batch>,
    /// The automations in force.
    pub automations: InForce,
    /// Who serves background tasks.
    pub task_workers: TaskWorkers,
    /// Who wants to see log lines as they come.
    pub logs: Hub<Arc<Vec<Log>>>,
    /// Who asks for slots in vain.
    pub waiting: Waiting,
    /// Whether another process does a part of this server's work.
    is_divided: AtomicBool,
}

impl Deref for AppState {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl AppState {
    /// Puts the parts together.
    pub fn new(db: Db, clock: SharedClock, settings: Settings) -> Self {
        Self(Arc::new(Parts {
            db,
            clock,
            vault: Vault::new(&settings),
            settings: Arc::new(settings),
            changes: Changes::new(),
            events: Hub::new(),
            automations: InForce::default(),
            task_workers: TaskWorkers::default(),
            logs: Hub::new(),
            waiting: Waiting::default(),
            is_divided: AtomicBool::new(false),
        }))
    }

    /// Notes that another process does a part of this server's work.
    pub fn divide(&self) {
        self.is_divided.store(true, Ordering::Relaxed);
    }

    /// Tells whether another process does a part of this server's work.
    pub fn is_divided(&self) -> bool {
        self.is_divided.load(Ordering::Relaxed)
    }

    /// Tells whether others write what this process would want to know: on PostgreSQL there may be other servers, while a
    /// SQLite file has one, or what that is divided into.
    pub fn is_shared(&self) -> bool {
        self.db.dialect() == Dialect::Postgres || self.is_divided()
    }

    /// Returns the current instant.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Returns when the oldest events happened that are kept.
    pub fn events_since(&self) -> DateTime<Utc> {
        self.instant_before(self.settings.events_retention_period)
    }

    /// Returns the instant that lies a span back, or the earliest that anybody asks for.
    pub fn instant_before(&self, span: Duration) -> DateTime<Utc> {
        TimeDelta::from_std(span)
            .ok()
            .and_then(|span| self.now().checked_sub_signed(span))
            .unwrap_or(DateTime::UNIX_EPOCH)
    }

    /// Returns where the dashboard is found from this machine.
    pub fn ui_url(&self) -> String {
        let settings = &self.settings;
        let base = super::ui::base(&settings.server_ui_serve_base);
        let (host, port) = (&settings.server_api_host, settings.server_api_port);
        format!("http://{host}:{port}{base}")
    }

    /// Returns how the runs of a client get slots of their deployments' limits.
    pub fn slot_terms(&self, client_renews: bool) -> Terms {
        let usual = Terms::default();
        let settings = &self.settings;
        let of = |span, usual| TimeDelta::from_std(span).unwrap_or(usual);
        Terms {
            lease: of(settings.initial_deployment_lease_duration, usual.lease),
            wait: of(
                settings.deployment_concurrency_slot_wait_seconds,
                usual.wait,
            ),
            client_renews,
        }
    }

    /// Returns the limit of a list: what was asked for, bounded by the setting.
    pub fn limit(&self, asked: Option<i64>) -> Result<i64, super::ApiError> {
        let most = i64::from(self.settings.server_api_default_limit);
        match asked {
            None => Ok(most),
            Some(limit) if (0..=most).contains(&limit) => Ok(limit),
            Some(..0) => Err(super::ApiError::negative_limit()),
            Some(_) => Err(super::ApiError::Limit(most)),
        }
    }
}

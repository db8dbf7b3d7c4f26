//! Does what writes have left to do: takes it, does it, and forgets it.
//!
//! A write must not wait for somebody else's server, so what it sets off lies in the database until
//! it is committed. Reasons to wake: something was left to do in this process, or half a minute has
//! passed (another server may have died before it did what it had taken).

use std::future::Future;
use std::marker::PhantomData;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::Service;
use crate::db::{self, Conn};
use crate::server::AppState;
use crate::server::automations::actions::Actor;
use crate::server::changes::{Change, Kind};

/// What was taken so long ago and is still there was taken by a server that is gone.
const GONE: TimeDelta = TimeDelta::minutes(5);

/// Something that is to be done once.
pub trait Errand: Sized + Send + Sync + 'static {
    /// What the service that does it is called in logs.
    const NAME: &'static str;

    /// Returns its id.
    fn id(&self) -> Uuid;

    /// Does it; what fails is logged, and not done again.
    fn carry_out(&self, app: &AppState, actor: &Actor) -> impl Future<Output = ()> + Send;

    /// Tells whether anything is left to do.
    fn has_any(conn: &mut Conn) -> impl Future<Output = db::Result<bool>>;

    /// Takes some that nobody else has taken since `gone`.
    fn claim(
        conn: &mut Conn,
        now: DateTime<Utc>,
        gone: DateTime<Utc>,
    ) -> impl Future<Output = db::Result<Vec<Self>>>;

    /// Forgets one that was done.
    fn finish(conn: &mut Conn, id: Uuid) -> impl Future<Output = db::Result<()>>;
}

/// The service that does errands of one kind; see the module.
pub struct Errands<E> {
    /// Made when there is something to do for the first time.
    actor: Option<Actor>,
    of: PhantomData<fn() -> E>,
}

impl<E> Default for Errands<E> {
    fn default() -> Self {
        Self {
            actor: None,
            of: PhantomData,
        }
    }
}

impl<E: Errand> Service for Errands<E> {
    fn name(&self) -> &'static str {
        E::NAME
    }

    fn longest_sleep(&self, app: &AppState) -> Duration {
        // Whoever shares the database does its own errands as a rule; an undivided server is told of each.
        match app.is_divided() {
            true => Duration::from_secs(2),
            false => Duration::from_secs(30),
        }
    }

    fn concerns(change: &Change) -> bool {
        change.kind == Kind::Automation
    }

    async fn pass(&mut self, app: &AppState) -> db::Result<Option<DateTime<Utc>>> {
        loop {
            let now = app.now();
            // An idle pass does not write.
            let read = async |conn: &mut Conn| E::has_any(conn).await;
            if !app.db.read(read).await? {
                return Ok(None);
            }
            let claim = async move |conn: &mut Conn| E::claim(conn, now, now - GONE).await;
            let errands = app.db.write(claim).await?;
            if errands.is_empty() {
                return Ok(None);
            }
            let actor = self.actor.get_or_insert_with(|| Actor::new(app));
            for errand in errands {
                errand.carry_out(app, actor).await;
                let id = errand.id();
                let finish = async move |conn: &mut Conn| E::finish(conn, id).await;
                app.db.write(finish).await?;
            }
        }
    }
}

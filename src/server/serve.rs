//! Serves the API on a listener, its services beside it, until it is asked to stop.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::services::Services;
use super::{AppState, models, router};
use crate::clock::SystemClock;
use crate::db::{self, Db};
use crate::settings::Settings;

/// How long answers that are under way may take once the server is asked to stop.
///
/// Streams of changes never end by themselves, so a stop cannot wait for every connection.
const LAST_ANSWERS: Duration = Duration::from_secs(3);

/// A server whose database is open.
pub struct Server {
    state: AppState,
}

impl Server {
    /// Opens the database that the settings name, creating or upgrading it where needed.
    pub async fn open(settings: Settings) -> Result<Self, db::Error> {
        let db = Db::open(&settings.database_url, settings.database_synchronous).await?;
        let state = AppState::new(db, Arc::new(SystemClock), settings);
        let now = state.now();
        // Clients of the first generation look for these before they store anything.
        let ensure = async move |conn: &mut _| models::block_specs::ensure_builtin(conn, now).await;
        state.db.write(ensure).await?;
        state.vault.check(&state.db).await?;
        state.automations.reload(&state.db).await?;
        Ok(Self { state })
    }

    /// Returns the server's parts.
    pub fn state(&self) -> &AppState {
        &self.state
    }

    /// Answers requests and runs the services until `shutdown` is ready, then closes the database.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let services = Services::start(&self.state);
        let (stop, stopped) = oneshot::channel::<()>();
        // Answers are small and whole, so waiting to fill a packet only delays them.
        let listener = listener.tap_io(|stream| {
            let _ = stream.set_nodelay(true);
        });
        let serving = axum::serve(listener, router(self.state.clone()))
            .with_graceful_shutdown(async {
                let _ = stopped.await;
            })
            .into_future();
        let outcome = tokio::select! {
            outcome = serving => outcome,
            () = async {
                shutdown.await;
                let _ = stop.send(());
                sleep(LAST_ANSWERS).await;
            } => Ok(()),
        };
        services.stop().await;
        self.state.db.close().await;
        outcome
    }
}

//! Serves the API on a listener, its services beside it, until it is asked to stop.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tower::Service;

use super::services::Services;
use super::{AppState, HttpService, models};
use crate::clock::SystemClock;
use crate::db::{self, Db};
use crate::schemas::patience::Patience;
use crate::schemas::time;
use crate::settings::Settings;

/// How long answers that are under way may take once the server is asked to stop.
///
/// Streams of changes never end by themselves, so a stop cannot wait for every connection.
const LAST_ANSWERS: Duration = Duration::from_secs(3);

/// How long a connection may take to send the head of its next request.
///
/// Longer than any client keeps an idle connection (3.x clients 25 s), so that none is closed
/// while it sends; short enough that those that never send fill no table for long.
const SILENCE: Duration = Duration::from_secs(75);

/// Returns for how long something counts as served.
fn patience(settings: &Settings) -> Patience {
    Patience {
        missed_heartbeats: settings.foreman_inactivity_heartbeat_multiple,
        heartbeat_seconds: settings.foreman_fallback_heartbeat_interval_seconds,
        deployment: time::span(settings.foreman_deployment_last_polled_timeout_seconds),
        work_queue: time::span(settings.foreman_work_queue_last_polled_timeout_seconds),
    }
}

/// How long to wait when a connection cannot be accepted.
const NEXT_TRY: Duration = Duration::from_millis(200);

/// A server whose database is open.
pub struct Server {
    state: AppState,
    /// Whether services run here, or are left to other servers on the same database.
    has_services: bool,
}

impl Server {
    /// Opens the database that the settings name, creating or upgrading it where needed.
    pub async fn open(settings: Settings) -> Result<Self, db::Error> {
        patience(&settings).choose();
        let (url, synchronous) = (&settings.database_url, settings.database_synchronous);
        let db = Db::open_with(url, synchronous, settings.database_pool_size).await?;
        let state = AppState::new(db, Arc::new(SystemClock), settings);
        let now = state.now();
        // Clients look for these before they store anything.
        let ensure = async move |conn: &mut _| models::admin::ensure_builtin(conn, now).await;
        state.db.write(ensure).await?;
        state.vault.check(&state.db).await?;
        state.automations.reload(&state.db).await?;
        Ok(Self {
            state,
            has_services: true,
        })
    }

    /// Leaves the services to other servers on the same database.
    pub fn without_services(self) -> Self {
        self.state.divide();
        Self {
            has_services: false,
            ..self
        }
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
        let services = match self.has_services {
            true => Services::start(&self.state),
            false => Services::for_listeners(&self.state),
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = answer(
            listener,
            HttpService::new(self.state.clone()),
            SILENCE,
            async {
                let _ = stopped.await;
            },
        );
        tokio::select! {
            () = serving => {}
            () = async {
                shutdown.await;
                let _ = stop.send(());
                sleep(LAST_ANSWERS).await;
            } => {}
        }
        services.stop().await;
        self.state.db.close().await;
        Ok(())
    }

    /// Runs the services alone until `shutdown` is ready, then closes the database.
    pub async fn run_services(self, shutdown: impl Future<Output = ()>) {
        self.state.divide();
        let services = Services::start(&self.state);
        shutdown.await;
        services.stop().await;
        self.state.db.close().await;
    }
}

/// Answers on each connection until `stop` is ready, then what is under way.
///
/// This is what `axum::serve` does, with a bound on how long a request may take to say what it is.
async fn answer<S>(
    listener: TcpListener,
    service: S,
    silence: Duration,
    stop: impl Future<Output = ()>,
) where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
{
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(silence);
    // Closed when it is time to end.
    let (open, ending) = watch::channel(());
    // Ended with this function, whatever is still open then.
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, most likely; some will be free again soon.
                tracing::error!("a connection cannot be accepted: {error}");
                sleep(NEXT_TRY).await;
                continue;
            }
        };
        // Answers are small and whole, so waiting to fill a packet only delays them.
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(service.clone());
        let connection = http
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut ending = ending.clone();
        connections.spawn(async move {
            let mut connection = pin!(connection);
            // Whoever breaks a connection does not want to hear of it.
            tokio::select! {
                _ = connection.as_mut() => return,
                _ = ending.changed() => connection.as_mut().graceful_shutdown(),
            }
            let _ = connection.await;
        });
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    drop(open);
    while connections.join_next().await.is_some() {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    /// Says something to a server that waits no longer than `silence`, and returns all that comes
    /// back until it closes the connection.
    async fn told(said: &str, silence: Duration) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(async || "here"));
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(answer(listener, router, silence, async {
            let _ = stopped.await;
        }));
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(said.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        drop(stop);
        serving.await.unwrap();
        answer
    }

    #[tokio::test]
    async fn who_never_says_what_it_wants_is_hung_up_on() {
        let silence = Duration::from_millis(50);
        for said in ["", "GET / HTTP/1.1\r\nHost: here\r\n"] {
            assert!(!told(said, silence).await.contains("here"), "{said:?}");
        }
    }

    #[tokio::test]
    async fn who_says_it_is_answered() {
        let said = "GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n";
        assert!(told(said, SILENCE).await.ends_with("here"));
    }
}

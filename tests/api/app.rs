//! Our server in process, on a database of its own, with a clock that stands still.

use axum::body::{Body, to_bytes};
use axum::http::Request;
use chrono::{DateTime, Utc};
use prefect_rs::clock::MockClock;
use prefect_rs::db::Db;
use prefect_rs::server::{AppState, HttpService, models};
use prefect_rs::settings::{DatabaseUrl, Secret, Settings, Synchronous};
use serde_json::Value;
use std::sync::Arc;
use tower::ServiceExt;

use crate::postgres;

/// What clients of each generation say of themselves.
pub const BETA: [(&str, &str); 1] = [("x-prefect-api-version", "0.3.0")];
pub const TWO: [(&str, &str); 1] = [("user-agent", "prefect/2.20.26 (API 0.8.4)")];
pub const THREE: [(&str, &str); 1] = [("user-agent", "prefect/3.8.8 (API 0.8.4)")];

/// More than any answer of a test.
const MAX_BODY_BYTES: usize = 64 << 20;

/// The server, its clock, and what to remove afterwards.
pub struct TestApp {
    /// Set it, and it is that time.
    pub clock: Arc<MockClock>,
    state: AppState,
    service: HttpService,
    home: tempfile::TempDir,
}

impl TestApp {
    /// Makes one on a new SQLite file.
    pub async fn on_sqlite() -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        let url = DatabaseUrl::Sqlite(home.path().join("orion.db"));
        Self::on(url, home).await
    }

    /// Makes one on a new PostgreSQL database, or none where there is no PostgreSQL (never in CI).
    pub async fn on_postgres() -> Option<Self> {
        let url = postgres::new_database().await?;
        let url = DatabaseUrl::Postgres(Secret::new(url));
        let home = tempfile::tempdir().expect("a temporary directory");
        Some(Self::on(url, home).await)
    }

    /// Checks the same on either database.
    pub async fn on_each(check: impl AsyncFn(&Self)) {
        let mut apps = vec![Self::on_sqlite().await];
        apps.extend(Self::on_postgres().await);
        for app in apps {
            check(&app).await;
            app.close().await;
        }
    }

    /// As [`Self::on_each`], with other settings than the defaults.
    pub async fn on_each_with(change: impl Fn(&mut Settings), check: impl AsyncFn(&Self)) {
        let mut apps = vec![Self::with_settings(&change).await];
        if let Some(url) = postgres::new_database().await {
            let home = tempfile::tempdir().expect("a temporary directory");
            let mut settings = Settings::default_for(home.path());
            change(&mut settings);
            apps.push(Self::of(DatabaseUrl::Postgres(Secret::new(url)), home, settings).await);
        }
        for app in apps {
            check(&app).await;
            app.close().await;
        }
    }

    /// Makes one on a new SQLite file, with other settings than the defaults.
    pub async fn with_settings(change: impl FnOnce(&mut Settings)) -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        let url = DatabaseUrl::Sqlite(home.path().join("orion.db"));
        let mut settings = Settings::default_for(home.path());
        change(&mut settings);
        Self::of(url, home, settings).await
    }

    async fn on(url: DatabaseUrl, home: tempfile::TempDir) -> Self {
        let settings = Settings::default_for(home.path());
        Self::of(url, home, settings).await
    }

    async fn of(url: DatabaseUrl, home: tempfile::TempDir, settings: Settings) -> Self {
        let db = Db::open(&url, Synchronous::Normal)
            .await
            .expect("a new database");
        let clock = Arc::new(MockClock::at(DateTime::<Utc>::UNIX_EPOCH));
        let state = AppState::new(db, clock.clone(), settings);
        let now = state.now();
        let write = async move |conn: &mut _| models::admin::ensure_builtin(conn, now).await;
        state.db.write(write).await.expect("the built-in blocks");
        Self {
            clock,
            service: HttpService::new(state.clone()),
            state,
            home,
        }
    }

    /// Sends a request and returns status and body.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> (u16, Option<Value>) {
        let text = body.map(Value::to_string);
        self.send_text(method, path, headers, text).await
    }

    /// Sends a request that says nothing of its client; a body of null is none.
    pub async fn ask(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let body = (!body.is_null()).then_some(body);
        let (status, answer) = self.send(method, path, &[], body.as_ref()).await;
        (status, answer.unwrap_or_default())
    }

    /// Creates something, or finds it, and returns it.
    pub async fn make(&self, path: &str, body: Value) -> Value {
        let (status, made) = self.ask("POST", path, body).await;
        assert!(matches!(status, 200 | 201), "{path}: {status} {made}");
        made
    }

    /// As [`Self::send`], with a body that need not be JSON.
    pub async fn send_text(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> (u16, Option<Value>) {
        let mut request = Request::builder()
            .method(method)
            .uri(path.replace(' ', "%20"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = match body {
            Some(body) => {
                request = request.header("content-type", "application/json");
                Body::from(body)
            }
            None => Body::empty(),
        };
        let request = request.body(body).expect("a valid request");
        self.send_whole(request).await
    }

    /// Sends any request at all; of an answer that never ends only the status is returned.
    pub async fn send_whole(&self, request: Request<Body>) -> (u16, Option<Value>) {
        let response = self
            .service
            .clone()
            .oneshot(request)
            .await
            .expect("an answer");
        let status = response.status().as_u16();
        let kind = response.headers().get("content-type");
        if kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream")) {
            return (status, None);
        }
        let body = to_bytes(response.into_body(), MAX_BODY_BYTES)
            .await
            .expect("a whole body");
        (status, serde_json::from_slice(&body).ok())
    }

    /// Sends a request without a body and returns the answer with its headers.
    pub async fn response(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> axum::response::Response {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).expect("a valid request");
        let answer = self.service.clone().oneshot(request).await;
        answer.expect("an answer")
    }

    /// Returns the server's parts, for what has no request.
    pub fn state(&self) -> &AppState {
        &self.state
    }

    /// Answers on a port of its own too, for what needs a connection; returns `host:port`.
    pub async fn listen(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("a bound address").to_string();
        let service =
            axum::ServiceExt::<axum::extract::Request>::into_make_service(self.service.clone());
        tokio::spawn(async move { axum::serve(listener, service).await });
        address
    }

    /// Returns the folder of the database and the key.
    pub fn home(&self) -> &std::path::Path {
        self.home.path()
    }

    /// Closes the database, so that nothing outlives the test.
    pub async fn close(self) {
        self.state.db.close().await;
    }
}

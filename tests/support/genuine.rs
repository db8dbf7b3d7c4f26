//! A genuine 2.0b3 server in a home of its own, for as long as a test needs it.

use chrono::{DateTime, Utc};
use prefect_rs::clock::{Clock, SystemClock};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How long the genuine server may take to answer first; it imports for many seconds.
const PATIENCE: Duration = Duration::from_secs(120);

/// The running server; ended on drop.
pub struct Server {
    /// When it was ready.
    pub started: DateTime<Utc>,
    /// Where it is, without `/api`.
    pub url: String,
    process: Child,
    _home: tempfile::TempDir,
}

impl Server {
    /// Starts one, or returns `None` where its package is not installed (never in CI).
    pub async fn start() -> Option<Self> {
        let python = python()?;
        let home = tempfile::tempdir().expect("a temporary directory");
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let log = std::fs::File::create(home.path().join("server.log")).expect("a log file");
        // Its services run on timers of their own; here every step is asked for.
        let process = Command::new(python)
            .args([
                "-m",
                "uvicorn",
                "--factory",
                "--host",
                "127.0.0.1",
                "--log-level",
                "warning",
            ])
            .args(["--port", &port.to_string()])
            .arg("prefect.orion.api.server:create_app")
            .env("PREFECT_HOME", home.path())
            .env("PREFECT_ORION_SERVICES_RUN_IN_APP", "false")
            .env("DO_NOT_TRACK", "1")
            .env_remove("PREFECT_API_URL")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("the genuine server starts");
        let mut server = Self {
            started: SystemClock.now(),
            process,
            url: format!("http://127.0.0.1:{port}"),
            _home: home,
        };
        server.wait_until_ready().await;
        Some(server)
    }

    async fn wait_until_ready(&mut self) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let health = format!("{}/api/health", self.url);
        while reqwest::Client::builder()
            .build()
            .expect("a client")
            .get(&health)
            .send()
            .await
            .is_err()
        {
            let ended = self.process.try_wait().expect("a child of ours");
            assert!(ended.is_none(), "the genuine server ended: {ended:?}");
            assert!(
                tokio::time::Instant::now() < deadline,
                "the genuine server never answered"
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        self.started = SystemClock.now();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Returns the interpreter with genuine 2.0b3, or none where it is not installed (never in CI).
pub fn python() -> Option<PathBuf> {
    let home = std::env::var_os("PREFECT_RS_TEST_VENVS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(".venvs"),
        PathBuf::from,
    );
    let python = home.join("2.0b3/bin/python");
    if python.exists() {
        return Some(python);
    }
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "{} is missing; tests/support/venv.sh 2.0b3 makes it",
        python.display()
    );
    eprintln!("left out: tests/support/venv.sh 2.0b3 installs what this test needs");
    None
}

//! A genuine server of any generation as a process of its own, in a home of its own.

use crate::genuine;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Much more than its start takes, which is many seconds of CPU.
const PATIENCE: Duration = Duration::from_secs(180);

/// The running server; ended on drop.
pub struct GenuineServer {
    /// Where its API is, `/api` included.
    pub api: String,
    process: Child,
    _home: tempfile::TempDir,
}

impl GenuineServer {
    /// Starts one of a version, or returns none where it is not installed.
    ///
    /// Its services are switched off as far as they change what is asked about; `settings` are more
    /// variables of its environment.
    pub async fn start(version: &str, settings: &[(&str, &str)]) -> Option<Self> {
        let python = genuine::python_of(version)?;
        let application = match version {
            "2.0b3" => "prefect.orion.api.server:create_app",
            _ => "prefect.server.api.server:create_app",
        };
        let home = tempfile::tempdir().expect("a temporary directory");
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let log = std::fs::File::create(home.path().join("server.log")).expect("a log file");
        let process = Command::new(python)
            .args(["-m", "uvicorn", "--factory", application])
            .args(["--host", "127.0.0.1", "--log-level", "warning", "--port"])
            .arg(port.to_string())
            .env("PREFECT_HOME", home.path())
            .env("DO_NOT_TRACK", "1")
            .env("PREFECT_ORION_ANALYTICS_ENABLED", "false")
            .env("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
            .env("PREFECT_ORION_SERVICES_SCHEDULER_ENABLED", "false")
            .env("PREFECT_ORION_SERVICES_LATE_RUNS_ENABLED", "false")
            // Newer ones start services by another command only; this is for what they share.
            .env("PREFECT_SERVER_EPHEMERAL_ENABLED", "false")
            .envs(settings.iter().copied())
            .env_remove("PREFECT_API_URL")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("the genuine server starts");
        let mut server = Self {
            api: format!("http://127.0.0.1:{port}/api"),
            process,
            _home: home,
        };
        server.wait_until_ready().await;
        Some(server)
    }

    async fn wait_until_ready(&mut self) {
        let client = prefect_rs::http::client().build().expect("a client");
        let deadline = Instant::now() + PATIENCE;
        let health = format!("{}/health", self.api);
        while client.get(&health).send().await.is_err() {
            let ended = self.process.try_wait().expect("a child of ours");
            assert!(ended.is_none(), "the genuine server ended: {ended:?}");
            assert!(Instant::now() < deadline, "the genuine server is silent");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Drop for GenuineServer {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

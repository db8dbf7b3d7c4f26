//! Our server as a real process in a home of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Much more than a start takes, since the machine may be busy compiling.
const PATIENCE: Duration = Duration::from_secs(60);

/// The running server; asked to end on drop.
pub struct Server {
    /// Where it is, without `/api`.
    pub url: String,
    home: tempfile::TempDir,
    process: Child,
}

impl Server {
    /// Starts one on a free port and waits until it answers.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts one with more environment variables.
    pub async fn start_with(environment: &[(&str, &str)]) -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let log = std::fs::File::create(home.path().join("server.log")).expect("a log file");
        let process = Command::new(env!("CARGO_BIN_EXE_prefect-rs"))
            .args(["orion", "start", "--host", "127.0.0.1", "--port"])
            .arg(port.to_string())
            .env("PREFECT_HOME", home.path())
            .env_remove("PREFECT_API_URL")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("our executable starts");
        let mut server = Self {
            url: format!("http://127.0.0.1:{port}"),
            home,
            process,
        };
        server.wait_until_ready().await;
        server
    }

    /// Returns the path of its database.
    pub fn database(&self) -> PathBuf {
        self.home.path().join("orion.db")
    }

    async fn wait_until_ready(&mut self) {
        let client = prefect_rs::http::client().build().expect("a client");
        let deadline = Instant::now() + PATIENCE;
        while client
            .get(format!("{}/api/health", self.url))
            .send()
            .await
            .is_err()
        {
            let ended = self.process.try_wait().expect("a child of ours");
            assert!(
                ended.is_none(),
                "the server ended: {}",
                log(self.home.path())
            );
            assert!(
                Instant::now() < deadline,
                "no answer: {}",
                log(self.home.path())
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn log(home: &Path) -> String {
    std::fs::read_to_string(home.join("server.log")).unwrap_or_default()
}

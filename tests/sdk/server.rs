//! Our server as a real process that can be killed and started again.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The running server; killed on drop.
pub struct Server {
    /// The URL of its API.
    pub url: String,
    port: u16,
    home: tempfile::TempDir,
    process: Child,
}

impl Server {
    /// Starts one on a free port and waits until it answers.
    pub fn start() -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = free.expect("a free port").port();
        let process = spawn(&home, port);
        Self {
            url: format!("http://127.0.0.1:{port}/api"),
            port,
            home,
            process,
        }
    }

    /// Kills it as a crash would.
    pub fn kill(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Returns the path of its database.
    pub fn database(&self) -> std::path::PathBuf {
        self.home.path().join("orion.db")
    }

    /// Counts what a filter finds.
    pub fn count(&self, noun: &str, filter: &serde_json::Value) -> u64 {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let settings = prefect_rs::settings::Settings::default_for(self.home.path());
        let client = prefect_rs::client::Client::http(&self.url, &settings).expect("a client");
        let path = format!("/{noun}/count");
        runtime
            .block_on(client.post(&path, filter))
            .expect("the server answers")
    }

    /// Starts it again where it was.
    pub fn start_again(&mut self) {
        self.process = spawn(&self.home, self.port);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(home: &tempfile::TempDir, port: u16) -> Child {
    let mut process = Command::new(env!("CARGO_BIN_EXE_prefect-rs"))
        .args([
            "orion",
            "start",
            "--host",
            "127.0.0.1",
            "--port",
            &port.to_string(),
        ])
        .env("PREFECT_HOME", home.path())
        .env_remove("PREFECT_API_URL")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("our executable starts");
    let deadline = Instant::now() + Duration::from_secs(60);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(
            process.try_wait().expect("a child of ours").is_none(),
            "the server ended"
        );
        assert!(Instant::now() < deadline, "the server does not answer");
        std::thread::park_timeout(Duration::from_millis(20));
    }
    process
}

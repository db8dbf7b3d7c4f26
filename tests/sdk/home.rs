//! A home of a test, and processes in it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::server::Server;

/// Much more than anything takes, since the machine may be busy compiling.
const PATIENCE: Duration = Duration::from_secs(60);

/// Returns a built example.
pub fn example(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("the path of this test");
    let path = own
        .ancestors()
        .nth(2)
        .expect("the target folder")
        .join("examples")
        .join(name);
    assert!(
        path.exists(),
        "{} is not built: cargo build --examples",
        path.display()
    );
    path
}

/// A home, and commands in it.
pub struct Home {
    pub folder: tempfile::TempDir,
    url: Option<String>,
}

impl Home {
    pub fn new(server: Option<&Server>) -> Self {
        Self {
            folder: tempfile::tempdir().expect("a temporary directory"),
            url: server.map(|server| server.url.clone()),
        }
    }

    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command
            .env("PREFECT_HOME", self.folder.path())
            .env("PREFECT_RS_BIN", env!("CARGO_BIN_EXE_prefect-rs"))
            .env("TMPDIR", self.folder.path())
            .env_remove("PREFECT_API_URL")
            .env_remove("RUST_BACKTRACE")
            .stdin(Stdio::null());
        if let Some(url) = &self.url {
            command.env("PREFECT_API_URL", url);
        }
        command
    }

    pub fn cli(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(env!("CARGO_BIN_EXE_prefect-rs"));
        command
            .args(arguments)
            .output()
            .expect("our executable starts")
    }

    /// Runs our executable and returns what it prints.
    pub fn prints(&self, arguments: &[&str]) -> String {
        let output = self.cli(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {said}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    pub fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.prints(arguments)).expect("JSON")
    }

    pub fn state(&self, run: &str) -> Value {
        self.json(&["flow-run", "inspect", run, "-o", "json"])["state"].clone()
    }

    /// Waits until a run is in a state of one of the types.
    pub fn wait_for(&self, run: &str, types: &[&str]) -> Value {
        self.wait(|| {
            let state = self.state(run);
            types
                .iter()
                .any(|kind| state["type"] == *kind)
                .then_some(state)
        })
    }

    pub fn wait<T>(&self, mut look: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(Instant::now() < deadline, "waited for too long");
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).expect("a file in the home");
        path
    }

    /// Deploys an example and starts an agent for it.
    pub fn deploy(&self, program: &Path, more: &Value) -> Process {
        let mut spec = json!({"name": "test", "flow_location": program, "tags": ["test"]});
        spec.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let path = self.write("deployment.json", &spec.to_string());
        self.prints(&["deployment", "create", path.to_str().unwrap()]);
        self.prints(&["work-queue", "create", "test"]);
        let mut agent = self.command(env!("CARGO_BIN_EXE_prefect-rs"));
        agent
            .args(["agent", "start", "test"])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Process(agent.spawn().expect("our executable starts"))
    }
}

/// A process that does not outlive its test.
pub struct Process(pub Child);

impl Process {
    pub fn signal(&self, name: &str) {
        signal(self.0.id(), name);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal("TERM");
        let _ = self.0.wait();
    }
}

pub fn signal(process: u32, name: &str) {
    let _ = Command::new("kill")
        .args([format!("-{name}"), process.to_string()])
        .status();
}

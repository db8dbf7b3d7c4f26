//! A disk that is full, a database that may not be written: what users are told, and what is kept.
//!
//! A limit on the size of files is a full disk to a process, and needs no rights; where this
//! machine lets us mount, a small file system is filled to its last block as well.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::Response;
use serde_json::{Value, json};
use sqlx::Connection;

use crate::postgres;

/// Much more than a start takes, since the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// More than fits anywhere here.
const MANY: usize = 20_000;

struct Server {
    process: Child,
    api: String,
    http: reqwest::Client,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Server {
    /// Starts our executable by a shell line that ends with `exec "$0" "$@"`.
    async fn start(home: &Path, before: &str, database: Option<&str>) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("{before} exec \"$0\" \"$@\"")])
            .arg(env!("CARGO_BIN_EXE_prefect-rs"))
            .args(["orion", "start", "--host", "127.0.0.1", "--port"])
            .arg(port.to_string())
            .env("PREFECT_HOME", home)
            .env_remove("PREFECT_API_URL")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if let Some(url) = database {
            command.env("PREFECT_API_DATABASE_CONNECTION_URL", url);
        }
        let server = Self {
            process: command.spawn().expect("our executable starts"),
            api: format!("http://127.0.0.1:{port}/api"),
            http: prefect_rs::http::client()
                .timeout(PATIENCE)
                .build()
                .expect("a client"),
        };
        let deadline = Instant::now() + PATIENCE;
        while server
            .http
            .get(format!("{}/health", server.api))
            .send()
            .await
            .is_err()
        {
            assert!(Instant::now() < deadline, "no answer after a start");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        server
    }

    fn kill(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    async fn create(&self, name: &str) -> Response {
        let request = self.http.post(format!("{}/flows/", self.api));
        // Tags make it large, so that the disk is full soon.
        let body = json!({"name": name, "tags": ["x".repeat(4000)]});
        request.json(&body).send().await.expect("an answer")
    }

    async fn count(&self) -> Value {
        let request = self.http.post(format!("{}/flows/count", self.api));
        let response = request.json(&json!({})).send().await.expect("an answer");
        assert_eq!(response.status(), 200, "reading goes on");
        response.json().await.expect("a number")
    }

    /// Writes until it is refused; returns how many were acknowledged.
    async fn fill(&self) -> usize {
        for n in 0..MANY {
            let response = self.create(&format!("flow {n}")).await;
            if response.status() == 201 {
                continue;
            }
            assert_refusal_is_clear(response).await;
            return n;
        }
        panic!("the disk never was full")
    }

    /// Writes until it is let, as a client does that tries again.
    async fn recover(&self) {
        let deadline = Instant::now() + PATIENCE;
        while self.create("after").await.status() != 201 {
            assert!(Instant::now() < deadline, "it does not recover");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

async fn assert_refusal_is_clear(response: Response) {
    assert_eq!(response.status(), 503);
    assert!(response.headers().contains_key("retry-after"));
    let body: Value = response.json().await.expect("a body in JSON");
    let detail = body["detail"].as_str().expect("a detail");
    assert!(detail.contains("cannot be written"), "{detail}");
    assert!(detail.contains("then try again"), "{detail}");
}

/// Fills it, gives space back by `free`, and finds everything that was acknowledged.
async fn full_disk(home: &Path, before: &str, free: impl AsyncFnOnce(&Server)) {
    let mut server = Server::start(home, before, None).await;
    let acknowledged = server.fill().await;
    assert!(acknowledged > 0, "nothing fitted at all");
    // A second refusal is as clear, and does no harm.
    assert_refusal_is_clear(server.create("flow in vain").await).await;
    assert_eq!(server.count().await, acknowledged);
    free(&server).await;
    server.recover().await;
    assert_eq!(server.count().await, acknowledged + 1);
    server.kill();
    let server = Server::start(home, "", None).await;
    assert_eq!(server.count().await, acknowledged + 1);
}

#[tokio::test]
async fn files_that_may_not_grow_cost_refusals_and_nothing_else() {
    let home = tempfile::tempdir().expect("a temporary directory");
    // 3000 blocks of 512 bytes; the signal would end the process.
    let before = "trap '' XFSZ; ulimit -S -f 3000;";
    full_disk(home.path(), before, async |server| {
        let lifted = Command::new("prlimit")
            .args([
                "--pid",
                &server.process.id().to_string(),
                "--fsize=unlimited",
            ])
            .status()
            .expect("prlimit is there");
        assert!(lifted.success(), "the limit is lifted");
    })
    .await;
}

/// A small file system of its own; none where this machine does not let us mount.
struct Small(tempfile::TempDir);

impl Small {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self(folder));
        }
        eprintln!("left out: nothing can be mounted here");
        None
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Lazily, since a server may be ending on it.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_costs_refusals_and_nothing_else() {
    let Some(disk) = Small::mount() else { return };
    let ballast = disk.0.path().join("ballast");
    std::fs::write(&ballast, vec![0; 4 << 20]).expect("room for the ballast");
    full_disk(disk.0.path(), "", async |_| {
        std::fs::remove_file(&ballast).expect("the ballast goes");
    })
    .await;
}

/// Returns a copy of our executable that others than root can start.
fn executable_for_all(folder: &Path) -> PathBuf {
    let copy = folder.join("prefect-rs");
    std::fs::copy(env!("CARGO_BIN_EXE_prefect-rs"), &copy).expect("a copy");
    std::fs::set_permissions(&copy, PermissionsExt::from_mode(0o755)).expect("executable");
    copy
}

#[tokio::test]
async fn a_database_that_may_only_be_read_is_named_with_the_remedy() {
    let outer = tempfile::tempdir().expect("a temporary directory");
    let executable = executable_for_all(outer.path());
    let home = outer.path().join("home");
    std::fs::create_dir(&home).expect("a home");
    let mut server = Server::start(&home, "", None).await;
    assert_eq!(server.create("before").await.status(), 201);
    server.kill();
    let before = std::fs::read(home.join("orion.db")).expect("a database");
    for entry in std::fs::read_dir(&home).expect("a folder").flatten() {
        std::fs::set_permissions(entry.path(), PermissionsExt::from_mode(0o444)).expect("ours");
    }
    for folder in [&home, outer.path()] {
        std::fs::set_permissions(folder, PermissionsExt::from_mode(0o555)).expect("ours");
    }
    let mut command = Command::new(executable);
    command
        .args(["orion", "start", "--port", "0"])
        .env_clear()
        .env("PREFECT_HOME", &home)
        .current_dir("/");
    if std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0) {
        // Permissions hold nobody else back.
        command.uid(65534).gid(65534);
    }
    let output = command.output().expect("it starts");
    for folder in [outer.path(), &home] {
        std::fs::set_permissions(folder, PermissionsExt::from_mode(0o755)).expect("ours");
    }
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("orion.db"), "{said}");
    assert!(said.contains("writable for this user"), "{said}");
    assert_eq!(
        std::fs::read(home.join("orion.db")).expect("still there"),
        before
    );
}

#[tokio::test]
async fn a_postgresql_that_may_only_be_read_recovers_by_itself() {
    let Some(url) = postgres::new_database().await else {
        return;
    };
    let home = tempfile::tempdir().expect("a temporary directory");
    let server = Server::start(home.path(), "", Some(&url)).await;
    assert_eq!(server.create("before").await.status(), 201);
    let mut other = sqlx::PgConnection::connect(&url)
        .await
        .expect("a connection");
    let name = url.rsplit('/').next().expect("a database's name");
    let set = async |other: &mut sqlx::PgConnection, value: &str| {
        let sql = format!(
            "ALTER DATABASE {name} SET default_transaction_read_only = {value}; \
             SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
            .execute(other)
            .await
            .expect("a setting");
    };
    set(&mut other, "on").await;
    // Connections that have just ended cost a refusal of another kind.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let response = server.create("in vain").await;
        assert_eq!(response.status(), 503);
        let body: Value = response.json().await.expect("a body in JSON");
        if body["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("cannot be written"))
        {
            break;
        }
        assert!(Instant::now() < deadline, "it does not say why: {body}");
    }
    assert_eq!(server.count().await, 1);
    sqlx::raw_sql("SET default_transaction_read_only = off")
        .execute(&mut other)
        .await
        .expect("a setting");
    set(&mut other, "off").await;
    server.recover().await;
    assert_eq!(server.count().await, 2);
}

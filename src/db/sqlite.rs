//! SQLite: one writer thread with group commit, and a few reader threads.
//!
//! The thread hop decides, not SQLite: an operation crosses to the owning thread once, and runs
//! there from its first statement to its last. The writer gathers what waits into one
//! transaction, each operation in a savepoint of its own unless it is short, and answers after the
//! commit; so an answered write is on disk, and a hundred waiting writers pay for one commit. Where nobody else
//! is writing there is nothing to gather, and a short write runs where it was asked for: waking the
//! writer and being woken by it would cost as much as the write. There is one connection that
//! writes, so "database is locked" cannot occur inside the process; another process on the same
//! file is waited for.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::oneshot;

use super::{Conn, Error, Result, migrations};
use crate::settings::Synchronous;

/// At most this many operations share a commit, so that the first does not wait for ever.
const MAX_BATCH: usize = 512;

/// How long another process may hold the file before a write gives up.
const BUSY_TIMEOUT: Duration = Duration::from_secs(60);

/// Distinct statements of the program; the cache must hold them all.
const STATEMENT_CACHE: usize = 512;

/// What the owner of a connection does next: run the operation, then learn how the commit went.
///
/// Handed an error instead of the connection, it only delivers that.
type Run = Box<dyn FnOnce(Result<&mut Conn>) -> Finish + Send>;

/// An operation on its way to the thread that owns the connection.
struct Job {
    run: Run,
    length: Length,
}

/// What is known of an operation before it runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Length {
    /// A few statements on a few rows; where it fails at all, it fails before it has changed anything.
    Short,
    /// Anything else.
    Any,
}

/// Delivers the outcome; told `Err` when the shared commit failed.
struct Finish {
    /// Why the operation's own part must be undone.
    failure: Option<Error>,
    deliver: Box<dyn FnOnce(Result<()>)>,
}

/// A database file.
#[derive(Clone)]
pub(super) struct Sqlite(Arc<Threads>);

struct Threads {
    /// `None` once closing has begun; then the threads finish what waits and end.
    writer: Mutex<Option<Sender<Job>>>,
    readers: Mutex<Option<Sender<Job>>>,
    handles: Mutex<Vec<JoinHandle<()>>>,
    writing: Arc<Writing>,
    /// The connection of short reads, held for one of them; empty once closing has begun.
    reading: Mutex<Option<Conn>>,
    path: PathBuf,
}

/// The one connection that writes, shared by the writer thread and by writes in place.
struct Writing {
    /// Held for one transaction; empty once the writer thread has ended.
    connection: Mutex<Option<Writer>>,
    /// Whether the last write met no other; while writes meet, they are gathered.
    is_alone: AtomicBool,
}

struct Writer {
    conn: Conn,
    file: File,
}

impl Sqlite {
    /// Opens (or creates) the file and brings its schema up to date.
    pub(super) fn open(path: &Path, synchronous: Synchronous) -> Result<Self> {
        Self::open_file(path, synchronous).map_err(|error| error.of_file(path))
    }

    fn open_file(path: &Path, synchronous: Synchronous) -> Result<Self> {
        let mut writer = connect(path, synchronous)?;
        migrations::sqlite(&mut writer, path)?;
        let (write_sender, write_jobs) = channel::<Job>();
        let (read_sender, read_jobs) = channel::<Job>();
        let writing = Arc::new(Writing {
            connection: Mutex::new(Some(Writer {
                conn: Conn::Sqlite(writer),
                file: File::opened(path),
            })),
            is_alone: AtomicBool::new(true),
        });
        let shared = Arc::clone(&writing);
        let mut handles = vec![spawn("db-writer", move || write_loop(&shared, &write_jobs))];
        let read_jobs = Arc::new(Mutex::new(read_jobs));
        for n in 0..std::thread::available_parallelism().map_or(2, |n| n.get().clamp(2, 8)) {
            let reader = connect_to_read(path, synchronous)?;
            let jobs = Arc::clone(&read_jobs);
            handles.push(spawn(&format!("db-reader-{n}"), move || {
                read_loop(reader, &jobs)
            }));
        }
        Ok(Self(Arc::new(Threads {
            writer: Mutex::new(Some(write_sender)),
            readers: Mutex::new(Some(read_sender)),
            handles: Mutex::new(handles),
            writing,
            reading: Mutex::new(Some(connect_to_read(path, synchronous)?)),
            path: path.to_owned(),
        })))
    }

    /// Runs `op` in a read transaction, on a reader thread.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        op: impl AsyncFnOnce(&mut Conn) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        send(&self.0.readers, op, Length::Any).await
    }

    /// Runs `op` in a read transaction where it is asked for, unless another one is there.
    pub(super) async fn read_short<T: Send + 'static>(
        &self,
        op: impl AsyncFnOnce(&mut Conn) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        match read_in_place(&self.0.reading, op) {
            Ok(done) => done,
            Err(op) => self.read(op).await,
        }
    }

    /// Runs `op` on the writer thread and returns after the commit.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        op: impl AsyncFnOnce(&mut Conn) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        send(&self.0.writer, op, Length::Any).await
    }

    /// Runs `op` where it is asked for if nobody else is writing, and returns after the commit.
    ///
    /// Others may share its transaction, and are undone with it should it fail after it has changed
    /// something: an operation that does so in earnest is not a short one.
    pub(super) async fn write_short<T: Send + 'static>(
        &self,
        op: impl AsyncFnOnce(&mut Conn) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        match self.0.writing.in_place(op) {
            Ok(done) => done,
            Err(op) => send(&self.0.writer, op, Length::Short).await,
        }
    }

    /// Copies a consistent image of the database to `target` while others go on writing.
    ///
    /// What is there stays as it is until the copy is whole.
    pub(super) fn backup(&self, target: &Path) -> Result<()> {
        // Where a link leads, since renaming would put a file in its place.
        let target = &std::fs::canonicalize(target).unwrap_or_else(|_| target.to_owned());
        let beside = |suffix: &str| {
            let mut path = target.as_os_str().to_owned();
            path.push(suffix);
            PathBuf::from(path)
        };
        let incoming = beside(".incoming");
        let told =
            |error: std::io::Error| Error::Unwritable(format!("{}: {error}", target.display()));
        let remove = |path: &Path| match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(told(error)),
            _ => Ok(()),
        };
        let copy = || -> Result<()> {
            // What an interrupted backup left behind.
            remove(&incoming)?;
            self.copy_to(&incoming).map_err(|error| match error {
                Error::Unwritable(text) | Error::NotPermitted(text) => {
                    Error::Unwritable(format!("{}: {text}", target.display()))
                }
                error => error,
            })?;
            if let Ok(replaced) = std::fs::metadata(target) {
                std::fs::set_permissions(&incoming, replaced.permissions()).map_err(told)?;
                // A journal of the database that is replaced would be taken for one of the new.
                for suffix in ["-wal", "-shm", "-journal"] {
                    remove(&beside(suffix))?;
                }
            }
            std::fs::rename(&incoming, target).map_err(told)
        };
        let outcome = copy();
        if outcome.is_err() {
            for suffix in ["", "-wal", "-shm", "-journal"] {
                // The failure is what the user needs to hear.
                let _ = std::fs::remove_file(beside(&format!(".incoming{suffix}")));
            }
        }
        outcome
    }

    fn copy_to(&self, file: &Path) -> Result<()> {
        let source = Connection::open_with_flags(&self.0.path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let mut copy = Connection::open(file)?;
        let backup = rusqlite::backup::Backup::new(&source, &mut copy)?;
        backup.run_to_completion(1024, Duration::from_millis(1), None)?;
        Ok(())
    }

    /// Ends the threads after what waits has run.
    pub(super) fn close(&self) {
        take(&self.0.writer);
        take(&self.0.readers);
        self.0
            .reading
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let handles = std::mem::take(
            &mut *self
                .0
                .handles
                .lock()
                .expect("no holder of this lock panics"),
        );
        for handle in handles {
            // A job's panic is caught where it happens, so a thread ends only by its loop.
            let _ = handle.join();
        }
    }
}

fn take(sender: &Mutex<Option<Sender<Job>>>) {
    sender.lock().expect("no holder of this lock panics").take();
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .expect("the machine can start a thread")
}

pub(super) fn connect(path: &Path, synchronous: Synchronous) -> Result<Connection> {
    if path.is_dir() {
        return Err(Error::Unopened {
            what: format!("{} is a folder and no database", path.display()),
            remedy: "move it away, or name a file with PREFECT_SERVER_DATABASE_CONNECTION_URL"
                .to_owned(),
        });
    }
    let conn = Connection::open(path)?;
    conn.busy_timeout(BUSY_TIMEOUT)?;
    conn.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    // Without it every new value of a `LIMIT ?` makes SQLite compile its statement again.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // Looks at the header, so that a file that is no database is refused before it is touched.
    migrations::refuse_foreign_sqlite(&conn, path)?;
    conn.pragma_update(None, "journal_mode", "WAL")?;
    conn.pragma_update(
        None,
        "synchronous",
        if synchronous == Synchronous::Full {
            "FULL"
        } else {
            "NORMAL"
        },
    )?;
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    // 16 MiB of pages a connection; the rest is the page cache of the system.
    conn.pragma_update(None, "cache_size", -16_384)?;
    // Pages that change all the time are written back once in 16 MiB of log, not once in 4.
    conn.pragma_update(None, "wal_autocheckpoint", 4096)?;
    // 64 MiB keeps the log from staying large after a burst; see sqlite.org/pragma.html.
    conn.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)?;
    Ok(conn)
}

impl Writing {
    fn lock(&self) -> MutexGuard<'_, Option<Writer>> {
        // The panic of an operation is caught, and its transaction undone.
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a write on this thread, or gives it back when somebody else is writing.
    fn in_place<T, O>(&self, op: O) -> std::result::Result<Result<T>, O>
    where
        O: AsyncFnOnce(&mut Conn) -> Result<T>,
    {
        if !self.is_alone.load(Ordering::Relaxed) {
            return Err(op);
        }
        let mut held = match self.connection.try_lock() {
            Ok(held) => held,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                self.is_alone.store(false, Ordering::Relaxed);
                return Err(op);
            }
        };
        let Some(Writer { conn, file }) = held.as_mut() else {
            return Err(op);
        };
        if let Err(error) = file.check_unmoved() {
            return Ok(Err(error));
        }
        match begin_at_once(conn) {
            Ok(()) => {}
            // Another process is writing; this thread has more to do than to wait for it.
            Err(Error::Busy(_)) => return Err(op),
            Err(error) => return Ok(Err(error)),
        }
        let outcome = run(op, conn).and_then(|value| batch(conn, "COMMIT").map(|()| value));
        if outcome.is_err() {
            // After some failures SQLite has rolled back by itself, and says so here.
            let _ = batch(conn, "ROLLBACK");
        }
        Ok(outcome)
    }
}

fn connect_to_read(path: &Path, synchronous: Synchronous) -> Result<Conn> {
    let conn = connect(path, synchronous)?;
    conn.pragma_update(None, "query_only", true)?;
    Ok(Conn::Sqlite(conn))
}

/// Begins a write unless another process is in one.
fn begin_at_once(conn: &Conn) -> Result<()> {
    let Conn::Sqlite(sqlite) = conn else {
        unreachable!("this file's connections are to SQLite")
    };
    sqlite.busy_timeout(Duration::ZERO)?;
    let begun = batch(conn, "BEGIN IMMEDIATE");
    sqlite.busy_timeout(BUSY_TIMEOUT)?;
    begun
}

/// Runs an operation on this thread; its panic is an error like others.
fn run<T>(op: impl AsyncFnOnce(&mut Conn) -> Result<T>, conn: &mut Conn) -> Result<T> {
    let run = AssertUnwindSafe(|| drive(op(conn)));
    catch_unwind(run).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
        let text = text
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_default();
        Err(Error::Driver(format!("the operation panicked: {text}")))
    })
}

/// Runs a read on this thread, or gives it back when another one is there.
fn read_in_place<T, O>(reading: &Mutex<Option<Conn>>, op: O) -> std::result::Result<Result<T>, O>
where
    O: AsyncFnOnce(&mut Conn) -> Result<T>,
{
    let mut held = match reading.try_lock() {
        Ok(held) => held,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => return Err(op),
    };
    let Some(conn) = held.as_mut() else {
        return Err(op);
    };
    if let Err(error) = batch(conn, "BEGIN") {
        return Ok(Err(error));
    }
    let outcome = run(op, conn);
    end_read(conn);
    Ok(outcome)
}

async fn send<T: Send + 'static>(
    to: &Mutex<Option<Sender<Job>>>,
    op: impl AsyncFnOnce(&mut Conn) -> Result<T> + Send + 'static,
    length: Length,
) -> Result<T> {
    let (answer, outcome) = oneshot::channel();
    let run: Run = Box::new(move |conn| {
        let result = conn.and_then(|conn| run(op, conn));
        Finish {
            failure: result.as_ref().err().cloned(),
            deliver: Box::new(move |commit| {
                // Nobody listens when the caller has gone away; the write stands all the same.
                let _ = answer.send(commit.and(result));
            }),
        }
    });
    let sender = to.lock().expect("no holder of this lock panics").clone();
    sender
        .ok_or(Error::Closed)?
        .send(Job { run, length })
        .map_err(|_| Error::Closed)?;
    outcome.await.map_err(|_| Error::Closed)?
}

/// Runs a future that never suspends, since all it awaits is statements on this thread.
fn drive<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => Err(Error::Driver(
            "an operation on SQLite awaited something else".into(),
        )),
    }
}

fn read_loop(mut conn: Conn, jobs: &Mutex<Receiver<Job>>) {
    loop {
        let next = jobs.lock().expect("no holder of this lock panics").recv();
        let Ok(job) = next else { return };
        // One snapshot for all statements of an operation.
        let begun = batch(&conn, "BEGIN");
        let finish = (job.run)(begun.map(|()| &mut conn));
        end_read(&conn);
        (finish.deliver)(Ok(()));
    }
}

fn end_read(conn: &Conn) {
    if batch(conn, "COMMIT").is_err() {
        let _ = batch(conn, "ROLLBACK");
    }
}

fn write_loop(writing: &Writing, jobs: &Receiver<Job>) {
    while let Ok(first) = jobs.recv() {
        let mut held = writing.lock();
        let writer = held
            .as_mut()
            .expect("it is taken by this thread alone, at the end");
        let mut finished = Vec::new();
        let outcome = write_together(writer, first, jobs, &mut finished);
        writing
            .is_alone
            .store(finished.len() == 1, Ordering::Relaxed);
        drop(held);
        for finish in finished {
            (finish.deliver)(outcome.clone());
        }
    }
    // Without `PRAGMA optimize`: statistics of a database that is all but empty outlive that, and make
    // SQLite read a table of a million runs where an index holds the three that are asked for.
    writing.lock().take();
}

/// Runs a job and those that wait behind it in one transaction.
fn write_together(
    Writer { conn, file }: &mut Writer,
    first: Job,
    jobs: &Receiver<Job>,
    finished: &mut Vec<Finish>,
) -> Result<()> {
    let begun = file
        .check_unmoved()
        .and_then(|()| batch(conn, "BEGIN IMMEDIATE"));
    if let Err(error) = begun {
        finished.push((first.run)(Err(error)));
        return Ok(());
    }
    let outcome = gather(conn, first, jobs, finished).and_then(|()| batch(conn, "COMMIT"));
    if outcome.is_err() {
        // After some failures SQLite has rolled back by itself, and says so here.
        let _ = batch(conn, "ROLLBACK");
    }
    outcome
}

/// Runs a job and those that wait behind it; an error means that the whole transaction is lost.
fn gather(
    conn: &mut Conn,
    first: Job,
    jobs: &Receiver<Job>,
    finished: &mut Vec<Finish>,
) -> Result<()> {
    // What the first one has done is all there is to undo, so it needs no savepoint.
    let finish = (first.run)(Ok(conn));
    let failure = finish.failure.clone();
    finished.push(finish);
    if let Some(failure) = failure {
        return Err(failure);
    }
    while finished.len() < MAX_BATCH {
        let Ok(job) = jobs.try_recv() else { break };
        match job.length {
            Length::Short => beside(conn, job, finished)?,
            Length::Any => in_savepoint(conn, job, finished)?,
        }
    }
    Ok(())
}

/// Runs a job that needs no savepoint, in which SQLite would copy every page before its first change; an
/// error means that the whole transaction is lost.
fn beside(conn: &mut Conn, job: Job, finished: &mut Vec<Finish>) -> Result<()> {
    let before = changes(conn);
    let finish = (job.run)(Ok(conn));
    let failure = finish.failure.clone();
    finished.push(finish);
    match failure {
        Some(failure) if is_over(conn) => Err(failure),
        Some(failure) if changes(conn) != before => Err(Error::Busy(format!(
            "undone with a write beside it that failed ({failure}); send it again"
        ))),
        Some(_) | None => Ok(()),
    }
}

/// Returns how many rows the connection has changed since it was opened.
fn changes(conn: &Conn) -> u64 {
    match conn {
        Conn::Sqlite(conn) => conn.total_changes(),
        Conn::Postgres(_) => 0,
    }
}

/// Runs a job; an error means that the whole transaction is lost, not only the job's part.
fn in_savepoint(conn: &mut Conn, job: Job, finished: &mut Vec<Finish>) -> Result<()> {
    let begun = batch(conn, "SAVEPOINT job");
    let finish = (job.run)(begun.clone().map(|()| &mut *conn));
    let failure = finish.failure.clone();
    finished.push(finish);
    begun?;
    if let Some(failure) = failure {
        // A full disk, for one, makes SQLite undo the transaction with everybody's part.
        if is_over(conn) {
            return Err(failure);
        }
        batch(conn, "ROLLBACK TO job")?;
    }
    batch(conn, "RELEASE job")
}

fn is_over(conn: &Conn) -> bool {
    matches!(conn, Conn::Sqlite(conn) if conn.is_autocommit())
}

/// The database file as it was when it was opened.
struct File {
    path: PathBuf,
    identity: Option<(u64, u64)>,
}

impl File {
    fn opened(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            identity: identity(path),
        }
    }

    /// Fails once the path leads elsewhere: writes to a file without a name would be lost.
    fn check_unmoved(&self) -> Result<()> {
        if identity(&self.path) == self.identity {
            return Ok(());
        }
        Err(Error::Unwritable(format!(
            "{} was moved, deleted or replaced while in use; put it back, or restart the server",
            self.path.display()
        )))
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let file = std::fs::metadata(path).ok()?;
    Some((file.dev(), file.ino()))
}

fn batch(conn: &Conn, sql: &str) -> Result<()> {
    let Conn::Sqlite(conn) = conn else {
        unreachable!("this file's connections are to SQLite")
    };
    let mut statement = conn.prepare_cached(sql)?;
    statement.raw_execute().map(drop).map_err(Error::from)
}

//! PostgreSQL: operations run on threads of their own, each with its own connections.
//!
//! An operation is an `async` closure whose future is not `Send`, as on SQLite. So it is carried
//! to a thread that drives many such futures side by side; the connections of a thread belong to
//! its reactor. A write is one transaction, and what it has read for a decision it locks
//! (`FOR UPDATE`), since other servers work on the same database.

use std::panic::AssertUnwindSafe;
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;

use super::{Conn, Error, Result, migrations, query};

mod opening;

/// Threads, as far as there are connections for them.
const THREADS: u32 = 2;

/// How long an operation waits for a connection; a client that waits longer has given up.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// After which time an operation looks again for a connection that has come free. The pool itself only tries to open
/// another one as long as it has fewer than it may, also where the server grants no more.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

type Task = Box<dyn FnOnce(PgPool) + Send>;

/// A PostgreSQL database.
#[derive(Clone)]
pub(super) struct Postgres(Arc<Threads>);

struct Threads {
    /// Empty once closing has begun.
    senders: Mutex<Vec<mpsc::UnboundedSender<Task>>>,
    next: AtomicUsize,
}

impl Postgres {
    /// Opens the database that a URL names, with at most so many connections.
    pub(super) async fn open(url: &str, most: u32) -> Result<Self> {
        let options = PgConnectOptions::from_str(url)?.application_name("prefect-rs");
        opening::reach(&options, opening::PATIENCE).await?;
        let most = most.max(1);
        let threads = most.min(THREADS);
        let mut senders = Vec::new();
        for n in 0..threads {
            let share = most / threads + u32::from(n < most % threads);
            senders.push(start(n, share, options.clone()).await?);
        }
        let this = Self(Arc::new(Threads {
            senders: Mutex::new(senders),
            next: AtomicUsize::new(0),
        }));
        let encoding = "SELECT current_setting('server_encoding')";
        let encoding = async move |conn: &mut Conn| query(encoding).fetch_one::<String>(conn).await;
        opening::holds_every_text(&options, &this.read(encoding).await?)?;
        this.write(async |conn| migrations::postgres(conn).await)
            .await
            .map_err(|error| opening::why_not_migrated(&options, error))?;
        Ok(this)
    }

    pub(super) async fn read<T: Send + 'static>(
        &self,
        op: impl AsyncFnOnce(&mut Conn) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.run("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY", op)
            .await
    }

    pub(super) async fn write<T: Send + 'static>(
        &self,
        op: impl AsyncFnOnce(&mut Conn) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.run("BEGIN", op).await
    }

    pub(super) fn close(&self) {
        self.0
            .senders
            .lock()
            .expect("no holder of this lock panics")
            .clear();
    }

    async fn run<T: Send + 'static>(
        &self,
        begin: &'static str,
        op: impl AsyncFnOnce(&mut Conn) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (answer, outcome) = oneshot::channel();
        let task: Task = Box::new(move |pool| {
            tokio::task::spawn_local(async move {
                let _ = answer.send(transact(&pool, begin, op).await);
            });
        });
        let sender = {
            let senders = self
                .0
                .senders
                .lock()
                .expect("no holder of this lock panics");
            let n = self.0.next.fetch_add(1, Ordering::Relaxed);
            senders
                .get(n % senders.len().max(1))
                .cloned()
                .ok_or(Error::Closed)?
        };
        sender.send(task).map_err(|_| Error::Closed)?;
        outcome
            .await
            .map_err(|_| Error::Driver("the operation panicked".into()))?
    }
}

async fn transact<T>(
    pool: &PgPool,
    begin: &'static str,
    op: impl AsyncFnOnce(&mut Conn) -> Result<T>,
) -> Result<T> {
    let mut conn = Conn::Postgres(acquire(pool).await?);
    query(begin).execute(&mut conn).await?;
    let done = AssertUnwindSafe(op(&mut conn)).catch_unwind().await;
    match done.unwrap_or_else(|_| Err(Error::Driver("the operation panicked".into()))) {
        Ok(value) => {
            query("COMMIT").execute(&mut conn).await?;
            Ok(value)
        }
        Err(error) => {
            if query("ROLLBACK").execute(&mut conn).await.is_err()
                && let Conn::Postgres(broken) = conn
            {
                // Its transaction is in an unknown state; the pool must not hand it out again.
                drop(broken.detach());
            }
            Err(error)
        }
    }
}

async fn acquire(pool: &PgPool) -> Result<PoolConnection<sqlx::Postgres>> {
    let since = Instant::now();
    loop {
        match pool.acquire().await {
            Err(sqlx::Error::PoolTimedOut) if since.elapsed() < ACQUIRE_TIMEOUT => {}
            outcome => return Ok(outcome?),
        }
    }
}

async fn start(
    n: u32,
    connections: u32,
    options: PgConnectOptions,
) -> Result<mpsc::UnboundedSender<Task>> {
    let (sender, mut tasks) = mpsc::unbounded_channel::<Task>();
    let (ready, started) = oneshot::channel();
    let body = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.expect("the machine can start a reactor");
        LocalSet::new().block_on(&runtime, async move {
            let pool = PgPoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(LOOK_AGAIN)
                // The first is opened when it is needed: the server may grant no more than the other thread has.
                .connect_lazy_with(options);
            let _ = ready.send(());
            while let Some(task) = tasks.recv().await {
                task(pool.clone());
            }
            pool.close().await;
        });
    };
    std::thread::Builder::new()
        .name(format!("db-postgres-{n}"))
        .spawn(body)
        .map_err(|e| Error::Driver(e.to_string()))?;
    started.await.map_err(|_| Error::Closed)?;
    Ok(sender)
}

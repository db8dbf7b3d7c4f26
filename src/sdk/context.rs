//! What a function knows of the run it is part of.
//!
//! The context is bound to the asynchronous task, not to the thread, so it stays across `.await`. What a function spawns by
//! itself is outside unless it is spawned with [`spawn`] or [`spawn_blocking`], or carries the run's `tracing` span
//! (`future.in_current_span()`), which is enough for its logs.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::runtime::{Handle, Runtime};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinError, JoinHandle};
use uuid::Uuid;

use super::engine::flow_runs::FlowRun;

tokio::task_local! {
    static CURRENT: Context;
}

/// The run that code belongs to.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) flow_run: Arc<FlowRun>,
    pub(crate) task_run: Option<Arc<TaskRunInfo>>,
    /// How many task runs it is in: none in a flow, one in a task that the flow called.
    pub(crate) depth: usize,
}

impl Context {
    pub(crate) fn current() -> Option<Self> {
        CURRENT.try_with(Self::clone).ok()
    }

    /// Looks at the current context without a clone.
    pub(crate) fn with<R>(look: impl FnOnce(&Self) -> R) -> Option<R> {
        CURRENT.try_with(look).ok()
    }

    pub(crate) fn scope<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, future)
    }

    pub(crate) fn sync_scope<R>(self, work: impl FnOnce() -> R) -> R {
        CURRENT.sync_scope(self, work)
    }
}

/// A flow run, as its own code sees it.
///
/// ```
/// # use prefect_rs::prelude::*;
/// # #[task] async fn load() -> Result<u8> { Ok(1) }
/// # #[flow] async fn report() -> Result<u8> { Ok(1) }
/// # #[flow] async fn f() -> Result<()> {
/// if let Some(run) = flow_run() {
///     println!("run {} of {}", run.run_count, run.name);
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowRunInfo {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// The flow's name.
    pub flow_name: String,
    /// The deployment that it is a run of.
    pub deployment_id: Option<Uuid>,
    /// Its tags.
    pub tags: Vec<String>,
    /// How often it was started.
    pub run_count: u32,
}

/// A task run, as its own code sees it.
///
/// ```
/// use prefect_rs::prelude::*;
///
/// #[task(retries = 2)]
/// async fn load() -> Result<u32> {
///     let run = task_run().context("called outside of a task")?;
///     Ok(run.run_count)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskRunInfo {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// The task's name.
    pub task_name: String,
    /// How often it was started.
    pub run_count: u32,
}

/// Returns the flow run that this code is part of.
///
/// ```
/// use prefect_rs::prelude::flow_run;
///
/// assert_eq!(flow_run(), None); // outside of a flow
/// ```
pub fn flow_run() -> Option<FlowRunInfo> {
    Context::with(|context| context.flow_run.info())
}

/// Returns the task run that this code is part of.
///
/// ```
/// use prefect_rs::prelude::task_run;
///
/// assert_eq!(task_run(), None); // outside of a task
/// ```
pub fn task_run() -> Option<TaskRunInfo> {
    Context::with(|context| context.task_run.as_deref().cloned()).flatten()
}

/// Waits until the flow run is asked to end; for ever outside of a flow.
///
/// A function that stops what it does when this is ready ends with its own words instead of being dropped.
///
/// ```
/// use prefect_rs::prelude::*;
///
/// #[task]
/// async fn watch() -> Result<u32> {
///     let mut seen = 0;
///     loop {
///         tokio::select! {
///             () = cancelled() => return Ok(seen),
///             () = tokio::time::sleep(std::time::Duration::from_millis(10)) => seen += 1,
///         }
/// #       if seen == 1 { return Ok(seen); }
///     }
/// }
/// ```
pub async fn cancelled() {
    match Context::current() {
        Some(context) => context.flow_run.cancellation.wait().await,
        None => std::future::pending().await,
    }
}

/// Tells whether the flow run is asked to end, for functions that are not `async`.
///
/// ```
/// use prefect_rs::prelude::*;
///
/// #[task]
/// fn crunch(rows: Vec<u64>) -> Result<u64> {
///     let mut sum = 0;
///     for row in rows {
///         ensure!(!is_cancelled(), "stopped half-way");
///         sum += row;
///     }
///     Ok(sum)
/// }
/// ```
pub fn is_cancelled() -> bool {
    Context::with(|context| context.flow_run.cancellation.reason().is_some()).unwrap_or(false)
}

/// Spawns a future that stays part of this run: its logs and tasks are the run's.
///
/// ```
/// # use prefect_rs::prelude::*;
/// # #[task] async fn load() -> Result<u8> { Ok(1) }
/// # #[flow] async fn f() -> Result<()> {
/// let beside = spawn(async { println!("a log of this run") });
/// load().await?;
/// beside.await?;
/// # Ok(()) }
/// ```
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    match Context::current() {
        Some(context) => tokio::spawn(context.scope(future)),
        None => tokio::spawn(future),
    }
}

/// Runs a function on a thread where it may block, as part of this run.
///
/// ```
/// # use prefect_rs::prelude::*;
/// # #[task] async fn load() -> Result<u8> { Ok(1) }
/// # #[flow] async fn f() -> Result<()> {
/// let size = spawn_blocking(|| std::fs::read_dir("/").map(Iterator::count)).await??;
/// println!("{size} entries"); // a log of this run
/// # load().await?;
/// # Ok(()) }
/// ```
pub fn spawn_blocking<R: Send + 'static>(
    work: impl FnOnce() -> R + Send + 'static,
) -> JoinHandle<R> {
    match Context::current() {
        Some(context) => tokio::task::spawn_blocking(|| context.sync_scope(work)),
        None => tokio::task::spawn_blocking(work),
    }
}

/// Runs a future as a task of its own, part of the same run; it is dropped with whoever waits for it.
///
/// Runs in runs in runs would otherwise pile up on one stack, which ends after some twenty of them.
pub(crate) async fn apart<T: Send + 'static>(
    context: Context,
    future: impl Future<Output = T> + Send + 'static,
) -> T {
    struct AbortOnDrop<T>(JoinHandle<T>);
    impl<T> Drop for AbortOnDrop<T> {
        fn drop(&mut self) {
            self.0.abort();
        }
    }
    let mut task = AbortOnDrop(tokio::spawn(context.scope(future)));
    match (&mut task.0).await.map_err(JoinError::try_into_panic) {
        Ok(value) => value,
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        // The runtime is shut down, and nobody is left to be told.
        Err(Err(_)) => std::future::pending().await,
    }
}

/// Why a flow run is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Somebody cancelled it.
    Cancelled,
    /// Ctrl-C.
    Interrupted,
    /// The process is asked to end.
    Terminated,
    /// It has taken longer than it may.
    TimedOut,
}

/// Tells everything in a flow run that it should end.
#[derive(Debug, Clone)]
pub(crate) struct Cancellation(Arc<watch::Sender<Option<Reason>>>);

impl Cancellation {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }

    pub(crate) fn cancel(&self, reason: Reason) {
        self.0.send_if_modified(|current| {
            let is_first = current.is_none();
            current.get_or_insert(reason);
            is_first
        });
    }

    pub(crate) fn reason(&self) -> Option<Reason> {
        *self.0.borrow()
    }

    /// Tells whether both are the same.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(crate) async fn wait(&self) {
        let mut changes = self.0.subscribe();
        // The sender is ours, so the channel cannot close.
        let _ = changes.wait_for(Option::is_some).await;
    }
}

/// Counts what a flow run has submitted and that has not ended.
#[derive(Default)]
pub(crate) struct Open {
    count: AtomicUsize,
    none: Notify,
}

/// One of what is counted.
pub(crate) struct OpenGuard(Arc<Open>);

impl Open {
    pub(crate) fn enter(self: &Arc<Self>) -> OpenGuard {
        self.count.fetch_add(1, Ordering::AcqRel);
        OpenGuard(self.clone())
    }

    /// Waits until there is none.
    pub(crate) async fn wait(&self) {
        loop {
            let mut none = std::pin::pin!(self.none.notified());
            none.as_mut().enable();
            if self.count.load(Ordering::Acquire) == 0 {
                return;
            }
            none.await;
        }
    }
}

impl Drop for OpenGuard {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.none.notify_waiters();
        }
    }
}

/// Runs a future to its end on this thread.
#[track_caller]
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    match Handle::try_current() {
        Ok(runtime) if !may_block(&runtime) => panic!(
            "`.run()` and `.get()` block their thread, which drives futures here: use `.await` instead"
        ),
        // A thread for blocking work.
        Ok(runtime) => match Context::current() {
            Some(context) => runtime.block_on(context.scope(future)),
            None => runtime.block_on(future),
        },
        Err(_) => runtime().block_on(future),
    }
}

/// Tells whether this thread of a runtime may block; only the runtime knows, and says so by a panic.
fn may_block(runtime: &Handle) -> bool {
    std::panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(async {}))).is_ok()
}

/// Returns the runtime of programs that have none.
fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .expect("the system gives a program its threads")
    })
}

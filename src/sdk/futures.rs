//! Submitted runs of tasks, and what becomes of them.

use std::future::IntoFuture;
use std::marker::PhantomData;
use std::ops::Deref;
use std::panic::Location;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock};

use futures_util::future::join_all;
use tokio::sync::Notify;
use uuid::Uuid;

use super::context::{self, Context};
use super::engine::calls::Prepared;
use super::engine::task_runs;
use super::outcome::{RunError, State, StateType};
use super::task::{Call, TaskCall};
use super::upstream::Gathering;
use super::value::{self, Shared};

/// Starts a run beside what follows.
#[track_caller]
pub(crate) fn submit(call: Call) -> Arc<Handle> {
    let handle = Arc::new(Handle::new());
    let Some(context) = Context::current() else {
        let run = format!("task `{}`", call.definition.name());
        handle.end(Err(RunError::not_run(run, task_runs::OUTSIDE)));
        return handle;
    };
    let runtime = tokio::runtime::Handle::try_current()
        .unwrap_or_else(|_| panic!("`submit` needs a Tokio runtime ({})", Location::caller()));
    let prepared = Prepared::of(call, &context.flow_run);
    let open = context.flow_run.open();
    let task = {
        let (submitted, context) = (Submitted(handle.clone()), context.clone());
        async move {
            let _open = open;
            let handle = submitted.0.clone();
            let outcome = task_runs::run_prepared(context, prepared, Some(handle)).await;
            submitted.0.end(outcome);
        }
    };
    runtime.spawn(context.scope(task));
    handle
}

/// A run on its way; whoever waits for it does not wait for ever when its runtime is shut down.
struct Submitted(Arc<Handle>);

impl Drop for Submitted {
    fn drop(&mut self) {
        if self.0.result.get().is_none() {
            let state = match std::thread::panicking() {
                true => State::new(StateType::Crashed)
                    .with_message("The run panicked outside of its function."),
                false => State::new(StateType::Cancelled)
                    .with_message("The runtime that the run was submitted on was shut down."),
            };
            let run = format!("task run `{}`", self.0.id);
            self.0.end(Err(RunError::new(run, state, None)));
        }
    }
}

/// What is shared between a submitted run and the futures of it.
#[doc(hidden)]
pub struct Handle {
    pub(crate) id: Uuid,
    state: Mutex<State>,
    result: OnceLock<Result<Shared, RunError>>,
    ended: Notify,
}

impl Handle {
    pub(crate) fn new() -> Self {
        Self {
            id: Uuid::now_v7(),
            state: Mutex::new(State::new(StateType::Pending)),
            result: OnceLock::new(),
            ended: Notify::new(),
        }
    }

    pub(crate) fn enter(&self, state: State) {
        *self
            .state
            .lock()
            .expect("nobody panics while setting a state") = state;
    }

    fn end(&self, outcome: Result<(Shared, State), RunError>) {
        let (result, state) = match outcome {
            Ok((value, state)) => (Ok(value), state),
            Err(error) => {
                let state = error.state().clone();
                (Err(error), state)
            }
        };
        self.enter(state);
        let _ = self.result.set(result);
        self.ended.notify_waiters();
    }

    pub(crate) fn state(&self) -> State {
        self.state
            .lock()
            .expect("nobody panics while setting a state")
            .clone()
    }

    pub(crate) async fn result(&self) -> Result<Shared, RunError> {
        loop {
            let mut ended = std::pin::pin!(self.ended.notified());
            // Registered before the look, so that an end in between is not missed.
            ended.as_mut().enable();
            if let Some(result) = self.result.get() {
                return result.clone();
            }
            ended.await;
        }
    }
}

/// A submitted run of a task, and what will become of it.
///
/// It can be awaited for the result, asked for its state and id, and passed to tasks in place of the value. Clones are of
/// the same run.
///
/// ```
/// # use prefect_rs::prelude::*;
/// # #[task] async fn load() -> Result<u8> { Ok(1) }
/// # #[flow] async fn f() -> Result<()> {
/// let future = load().submit();
/// println!("{} is {}", future.id(), future.state().name);
/// let value = future.await?;
/// # let _ = value;
/// # Ok(()) }
/// ```
pub struct TaskFuture<T> {
    pub(crate) handle: Arc<Handle>,
    output: PhantomData<fn() -> T>,
}

impl<T> Clone for TaskFuture<T> {
    fn clone(&self) -> Self {
        Self {
            handle: self.handle.clone(),
            output: PhantomData,
        }
    }
}

impl<T: 'static> TaskFuture<T> {
    pub(crate) fn of(handle: Arc<Handle>) -> Self {
        Self {
            handle,
            output: PhantomData,
        }
    }

    /// Returns the id of the task run.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// # #[task] async fn load() -> Result<u8> { Ok(1) }
    /// # #[flow] async fn f() -> Result<()> {
    /// let future = load().submit();
    /// println!("prefect-rs task-run inspect {}", future.id());
    /// # Ok(()) }
    /// ```
    pub fn id(&self) -> Uuid {
        self.handle.id
    }

    /// Returns the state that the run is in now.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// # #[task] async fn load() -> Result<u8> { Ok(1) }
    /// # #[flow] async fn f() -> Result<()> {
    /// let future = load().submit();
    /// println!("it is {}", future.state().name);
    /// # Ok(()) }
    /// ```
    pub fn state(&self) -> State {
        self.handle.state()
    }

    /// Waits for the end and returns the state.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// # #[task] async fn load() -> Result<u8> { Ok(1) }
    /// # #[flow] async fn f() -> Result<()> {
    /// let state = load().submit().wait().await;
    /// ensure!(state.is_completed(), "{:?}", state.message);
    /// # Ok(()) }
    /// ```
    pub async fn wait(&self) -> State {
        let _ = self.handle.result().await;
        self.handle.state()
    }

    /// Waits for the result.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// # #[task] async fn load() -> Result<u8> { Ok(1) }
    /// # #[flow] async fn f() -> Result<()> {
    /// let future = load().submit();
    /// let (here, there) = (future.result().await?, future.result().await?);
    /// assert_eq!(here, there);
    /// # Ok(()) }
    /// ```
    pub async fn result(&self) -> Result<T, RunError> {
        self.handle.result().await.map(value::take)
    }

    /// Waits for the result, in a function that is not `async`.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// # #[task] fn load() -> Result<u8> { Ok(1) }
    /// # #[task] fn loads(city: String) -> Result<u8> { Ok(1) }
    /// # #[flow] fn f() -> Result<()> {
    /// let future = load().submit();
    /// println!("{}", future.get()?);
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn get(&self) -> Result<T, RunError> {
        context::block_on(self.result())
    }
}

impl<T> From<&TaskFuture<T>> for TaskFuture<T> {
    fn from(future: &TaskFuture<T>) -> Self {
        future.clone()
    }
}

/// Submits the call.
impl<T: 'static> From<TaskCall<T>> for TaskFuture<T> {
    fn from(call: TaskCall<T>) -> Self {
        call.submit()
    }
}

impl<T: 'static> IntoFuture for TaskFuture<T> {
    type Output = Result<T, RunError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.result().await })
    }
}

/// The futures of several runs, in the order in which they were submitted.
///
/// ```
/// # use prefect_rs::prelude::*;
/// # #[task] async fn load(city: String) -> Result<u8> { Ok(city.len() as u8) }
/// # #[flow] async fn f() -> Result<()> {
/// let sizes: TaskFutures<u8> = ["Berlin", "Oslo"].map(|city| load(city).submit()).into_iter().collect();
/// println!("{} runs, {:?}", sizes.len(), sizes.results().await?);
/// # Ok(()) }
/// ```
pub struct TaskFutures<T> {
    futures: Vec<TaskFuture<T>>,
    /// What those have in common that wait for all of them.
    all: OnceLock<Arc<Gathering>>,
}

impl<T> TaskFutures<T> {
    pub(crate) fn handles(&self) -> Vec<Arc<Handle>> {
        let futures = self.futures.iter();
        futures.map(|future| future.handle.clone()).collect()
    }

    pub(crate) fn all(&self) -> &Arc<Gathering> {
        self.all
            .get_or_init(|| Arc::new(Gathering::of_ends(self.handles())))
    }
}

/// Makes one future of many, to wait for all of them, or to pass where a task or flow takes a list of their results.
///
/// Calls among them are submitted.
///
/// ```
/// use prefect_rs::prelude::*;
///
/// #[task]
/// async fn size(city: String) -> usize {
///     city.len()
/// }
///
/// #[task]
/// async fn total(sizes: Vec<usize>) -> usize {
///     sizes.into_iter().sum()
/// }
///
/// #[flow]
/// async fn sizes() -> Result<usize> {
///     let mut parts = Vec::new();
///     for city in ["Berlin", "Oslo"] {
///         parts.push(size(city).submit());
///     }
///     let other = gather([size("Rome"), size("Bern")]).await?;
///     Ok(total(gather(parts)).await? + total(other).await?)
/// }
/// ```
pub fn gather<T>(futures: impl IntoIterator<Item = impl Into<TaskFuture<T>>>) -> TaskFutures<T> {
    futures.into_iter().map(Into::into).collect()
}

impl<T> From<Vec<TaskFuture<T>>> for TaskFutures<T> {
    fn from(futures: Vec<TaskFuture<T>>) -> Self {
        let all = OnceLock::new();
        Self { futures, all }
    }
}

impl<T> FromIterator<TaskFuture<T>> for TaskFutures<T> {
    fn from_iter<I: IntoIterator<Item = TaskFuture<T>>>(futures: I) -> Self {
        futures.into_iter().collect::<Vec<_>>().into()
    }
}

impl<T> Deref for TaskFutures<T> {
    type Target = [TaskFuture<T>];

    fn deref(&self) -> &Self::Target {
        &self.futures
    }
}

impl<T> IntoIterator for TaskFutures<T> {
    type Item = TaskFuture<T>;
    type IntoIter = std::vec::IntoIter<TaskFuture<T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.futures.into_iter()
    }
}

impl<T: 'static> TaskFutures<T> {
    /// Waits for all results; the first error in order is returned once all have ended.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// # #[task] async fn load(city: String) -> Result<u8> { Ok(city.len() as u8) }
    /// # #[flow] async fn f() -> Result<()> {
    /// let futures = load::map(["Berlin", "Oslo"]).submit();
    /// let sizes: Vec<u8> = futures.results().await?;
    /// # let _ = sizes;
    /// # Ok(()) }
    /// ```
    pub async fn results(&self) -> Result<Vec<T>, RunError> {
        let results = join_all(self.futures.iter().map(|future| future.handle.result())).await;
        results
            .into_iter()
            .map(|result| result.map(value::take))
            .collect()
    }

    /// Waits for the end of all and returns their states.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// # #[task] async fn load(city: String) -> Result<u8> { Ok(city.len() as u8) }
    /// # #[flow] async fn f() -> Result<()> {
    /// let states = load::map(["Berlin", "Oslo"]).submit().wait().await;
    /// let failures = states.iter().filter(|state| state.is_failed()).count();
    /// # let _ = failures;
    /// # Ok(()) }
    /// ```
    pub async fn wait(&self) -> Vec<State> {
        join_all(self.futures.iter().map(TaskFuture::wait)).await
    }

    /// Waits for all results, in a function that is not `async`.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// # #[task] fn load() -> Result<u8> { Ok(1) }
    /// # #[task] fn loads(city: String) -> Result<u8> { Ok(1) }
    /// # #[flow] fn f() -> Result<()> {
    /// let sizes = loads::map(["Berlin", "Oslo"]).submit().get()?;
    /// println!("{sizes:?}");
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn get(&self) -> Result<Vec<T>, RunError> {
        context::block_on(self.results())
    }
}

impl<T: 'static> IntoFuture for TaskFutures<T> {
    type Output = Result<Vec<T>, RunError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.results().await })
    }
}

//! Tasks: what the attribute makes, the lazy call, and the future of a submitted run.

use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::ops::Deref;
use std::panic::Location;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock};

use futures_util::future::{BoxFuture, join_all};
use sha2::{Digest, Sha256};
use tokio::sync::Notify;
use uuid::Uuid;

use super::context::{self, Context};
use super::engine::task_runs;
use super::options::{Arguments, RetryDelay, Seconds, TaskOptions};
use super::outcome::{Outcome, RunError, State, StateType};
use super::value::{self, Input, Inputs, Shared, Source, TaskOutput};

/// A body that has been given its arguments.
#[doc(hidden)]
pub enum Running {
    /// An `async fn`.
    #[doc(hidden)]
    Future(BoxFuture<'static, Outcome>),
    /// A plain `fn`, which runs on a thread of its own.
    #[doc(hidden)]
    Blocking(Box<dyn FnOnce() -> Outcome + Send>),
}

impl Running {
    /// Makes one of an `async fn`.
    #[doc(hidden)]
    pub fn future(body: impl Future<Output = Outcome> + Send + 'static) -> Self {
        Self::Future(Box::pin(body))
    }

    /// Makes one of a plain `fn`.
    #[doc(hidden)]
    pub fn blocking(body: impl FnOnce() -> Outcome + Send + 'static) -> Self {
        Self::Blocking(Box::new(body))
    }
}

/// Starts a body with its arguments.
pub(crate) type Runner = fn(Inputs) -> Running;

/// The type that `#[task]` puts beside a function.
///
/// ```
/// use prefect_rs::prelude::*;
///
/// use prefect_rs::sdk::Task;
///
/// #[task(name = "Load the rows")]
/// async fn load() -> Result<u8> {
///     Ok(1)
/// }
///
/// assert_eq!(load::definition().name(), "Load the rows");
/// ```
pub trait Task {
    /// What the task gives back.
    type Output: TaskOutput;
    /// Returns what is known of the task.
    fn definition() -> &'static TaskDefinition;
}

/// What is known of a task.
///
/// ```
/// use prefect_rs::prelude::*;
///
/// use prefect_rs::sdk::{Task, TaskDefinition};
///
/// #[task]
/// async fn load() -> Result<u8> {
///     Ok(1)
/// }
///
/// let definition: &TaskDefinition = load::definition();
/// assert_eq!(definition.name(), "load");
/// ```
pub struct TaskDefinition {
    function: &'static str,
    module: &'static str,
    pub(crate) arguments: &'static [&'static str],
    pub(crate) run: Runner,
    pub(crate) decode: fn(&[u8]) -> serde_json::Result<Shared>,
    options: fn() -> TaskOptions,
    resolved: OnceLock<(String, Arc<TaskOptions>)>,
}

impl TaskDefinition {
    /// Puts together what the attribute knows.
    #[doc(hidden)]
    pub const fn new<T: TaskOutput>(
        function: &'static str,
        module: &'static str,
        arguments: &'static [&'static str],
        run: Runner,
        options: fn() -> TaskOptions,
    ) -> Self {
        Self {
            function,
            module,
            arguments,
            run,
            decode: value::decode::<T>,
            options,
            resolved: OnceLock::new(),
        }
    }

    fn resolved(&self) -> &(String, Arc<TaskOptions>) {
        self.resolved
            .get_or_init(|| (key(self.function, self.module), Arc::new((self.options)())))
    }

    /// Returns what tells the task from all others.
    pub(crate) fn key(&self) -> &str {
        &self.resolved().0
    }

    pub(crate) fn options(&self) -> &Arc<TaskOptions> {
        &self.resolved().1
    }

    /// Returns the task's name.
    ///
    /// ```
    /// use prefect_rs::prelude::*;
    ///
    /// use prefect_rs::sdk::Task;
    ///
    /// #[task]
    /// async fn load() -> Result<u8> {
    ///     Ok(1)
    /// }
    ///
    /// assert_eq!(load::definition().name(), "load");
    /// ```
    pub fn name(&self) -> &str {
        &self.options().common.name
    }
}

/// Returns a key of a function: its name, and a few letters for where it is.
pub(crate) fn key(function: &str, module: &str) -> String {
    let digest = Sha256::digest(module.as_bytes());
    let [a, b, c, d] = [digest[0], digest[1], digest[2], digest[3]];
    format!("{function}-{a:02x}{b:02x}{c:02x}{d:02x}")
}

/// A call whose type the caller knows.
pub(crate) struct Call {
    pub(crate) definition: &'static TaskDefinition,
    pub(crate) options: Arc<TaskOptions>,
    pub(crate) run_name: Option<String>,
    pub(crate) inputs: Vec<Input>,
    pub(crate) wait_for: Vec<Arc<Handle>>,
}

/// A call of a task that has not begun.
///
/// Awaiting it runs the task here; [`submit`](Self::submit) runs it beside what follows.
///
/// ```
/// use prefect_rs::prelude::*;
///
/// #[task]
/// async fn double(n: i64) -> i64 {
///     2 * n
/// }
///
/// #[flow]
/// async fn numbers() -> Result<i64> {
///     let first = double(1).submit();
///     let second = double(20).with_name("twenty").with_retries(2).await?;
///     Ok(first.await? + second)
/// }
/// ```
#[must_use = "a task does nothing until it is awaited or submitted"]
pub struct TaskCall<T> {
    pub(crate) call: Call,
    output: PhantomData<fn() -> T>,
}

impl<T: TaskOutput> TaskCall<T> {
    /// Makes a call.
    #[doc(hidden)]
    pub fn new(definition: &'static TaskDefinition, inputs: Vec<Input>) -> Self {
        Self {
            call: Call {
                definition,
                options: definition.options().clone(),
                run_name: None,
                inputs,
                wait_for: Vec::new(),
            },
            output: PhantomData,
        }
    }

    /// Runs the task beside what follows.
    ///
    /// The flow does not end before it.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// # #[task] async fn load() -> Result<u8> { Ok(1) }
    /// # #[flow] async fn f() -> Result<()> {
    /// let early = load().submit();
    /// let late = load().await?;
    /// println!("{}", early.await? + late);
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn submit(self) -> TaskFuture<T> {
        TaskFuture::of(submit(self.call))
    }

    /// Runs the task and returns the state it ended in instead of its result.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// # #[task] async fn load() -> Result<u8> { Ok(1) }
    /// # #[flow] async fn f() -> Result<()> {
    /// if load().state().await.is_failed() {
    ///     println!("going on without it");
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn state(self) -> State {
        match task_runs::run(self.call).await {
            Ok((_, state)) => state,
            Err(error) => error.state().clone(),
        }
    }

    /// Runs the task and waits, in a function that is not `async`.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// # #[task] fn load() -> Result<u8> { Ok(1) }
    /// # #[task] fn loads(city: String) -> Result<u8> { Ok(1) }
    /// # #[flow] fn f() -> Result<()> {
    /// let value = load().run()?;
    /// println!("{value}");
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn run(self) -> Result<T, RunError> {
        context::block_on(self.into_future())
    }

    /// Waits for another run before this one begins, beside those whose results are its arguments.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// # #[task] async fn load() -> Result<u8> { Ok(1) }
    /// # #[flow] async fn f() -> Result<()> {
    /// let first = load().submit();
    /// load().wait_for(&first).await?;
    /// # Ok(()) }
    /// ```
    pub fn wait_for(mut self, upstream: impl Upstream) -> Self {
        upstream.handles(&mut self.call.wait_for);
        self
    }

    /// Changes any options for this call.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// # #[task] async fn load() -> Result<u8> { Ok(1) }
    /// # #[flow] async fn f() -> Result<()> {
    /// load().with_options(|options| options.retries(1).timeout_seconds(2.5)).await?;
    /// # Ok(()) }
    /// ```
    pub fn with_options(mut self, change: impl FnOnce(TaskOptions) -> TaskOptions) -> Self {
        self.call.options = Arc::new(change(TaskOptions::clone(&self.call.options)));
        self
    }

    /// Names this run.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// # #[task] async fn load() -> Result<u8> { Ok(1) }
    /// # #[flow] async fn f() -> Result<()> {
    /// load().with_name("load of today").await?;
    /// # Ok(()) }
    /// ```
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.call.run_name = Some(name.into());
        self
    }

    /// Runs it again up to this often when it fails.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// # #[task] async fn load() -> Result<u8> { Ok(1) }
    /// # #[flow] async fn f() -> Result<()> {
    /// load().with_retries(3).await?;
    /// # Ok(()) }
    /// ```
    pub fn with_retries(self, retries: u32) -> Self {
        self.with_options(|options| options.retries(retries))
    }

    /// Waits before each retry.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// # #[task] async fn load() -> Result<u8> { Ok(1) }
    /// # #[flow] async fn f() -> Result<()> {
    /// load().with_retries(3).with_retry_delay_seconds([1, 10, 60]).await?;
    /// # Ok(()) }
    /// ```
    pub fn with_retry_delay_seconds(self, delay: impl Into<RetryDelay>) -> Self {
        self.with_options(|options| options.retry_delay_seconds(delay))
    }

    /// Fails the run when an attempt takes longer.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// # #[task] async fn load() -> Result<u8> { Ok(1) }
    /// # #[flow] async fn f() -> Result<()> {
    /// load().with_timeout_seconds(2.5).await?;
    /// # Ok(()) }
    /// ```
    pub fn with_timeout_seconds(self, seconds: impl Seconds) -> Self {
        self.with_options(|options| options.timeout_seconds(seconds))
    }

    /// Tags this run, instead of the task's tags.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// # #[task] async fn load() -> Result<u8> { Ok(1) }
    /// # #[flow] async fn f() -> Result<()> {
    /// load().with_tags(["database"]).await?;
    /// # Ok(()) }
    /// ```
    pub fn with_tags(self, tags: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.with_options(|options| options.tags(tags))
    }

    /// Finds earlier results under the key that this makes of the arguments.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// # #[task] async fn load() -> Result<u8> { Ok(1) }
    /// # #[flow] async fn f() -> Result<()> {
    /// load().with_cache_key_fn(input_hash).await?;
    /// # Ok(()) }
    /// ```
    pub fn with_cache_key_fn(
        self,
        key: impl Fn(&Arguments) -> String + Send + Sync + 'static,
    ) -> Self {
        self.with_options(|options| options.cache_key_fn(key))
    }

    /// Forgets the cached result after this time.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// # #[task] async fn load() -> Result<u8> { Ok(1) }
    /// # #[flow] async fn f() -> Result<()> {
    /// load().with_cache_key_fn(input_hash).with_cache_expiration_seconds(3600).await?;
    /// # Ok(()) }
    /// ```
    pub fn with_cache_expiration_seconds(self, seconds: impl Seconds) -> Self {
        self.with_options(|options| options.cache_expiration_seconds(seconds))
    }

    /// Runs in any case and replaces what is cached.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// # #[task] async fn load() -> Result<u8> { Ok(1) }
    /// # #[flow] async fn f() -> Result<()> {
    /// load().with_cache_key_fn(input_hash).with_refresh_cache(true).await?;
    /// # Ok(()) }
    /// ```
    pub fn with_refresh_cache(self, refresh: bool) -> Self {
        self.with_options(|options| options.refresh_cache(refresh))
    }

    /// Keeps the result on disk, or does not.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// # #[task] async fn load() -> Result<u8> { Ok(1) }
    /// # #[flow] async fn f() -> Result<()> {
    /// load().with_persist_result(true).await?;
    /// # Ok(()) }
    /// ```
    pub fn with_persist_result(self, persist: bool) -> Self {
        self.with_options(|options| options.persist_result(persist))
    }
}

impl<T: TaskOutput> IntoFuture for TaskCall<T> {
    type Output = Result<T, RunError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let run = task_runs::run(self.call);
        Box::pin(async { run.await.map(|(value, _)| value::take(value)) })
    }
}

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
    let prepared = task_runs::Prepared::of(call, &context.flow_run);
    let open = context.flow_run.open();
    let task = {
        let (handle, context) = (handle.clone(), context.clone());
        async move {
            let _open = open;
            let run = task_runs::run_prepared(context, prepared, Some(handle.clone()));
            let outcome = run.await;
            handle.end(outcome);
        }
    };
    runtime.spawn(context.scope(task));
    handle
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

impl<T: TaskOutput> TaskFuture<T> {
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

impl<T: TaskOutput> IntoFuture for TaskFuture<T> {
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
pub struct TaskFutures<T>(Vec<TaskFuture<T>>);

impl<T> From<Vec<TaskFuture<T>>> for TaskFutures<T> {
    fn from(futures: Vec<TaskFuture<T>>) -> Self {
        Self(futures)
    }
}

impl<T> FromIterator<TaskFuture<T>> for TaskFutures<T> {
    fn from_iter<I: IntoIterator<Item = TaskFuture<T>>>(futures: I) -> Self {
        Self(futures.into_iter().collect())
    }
}

impl<T> Deref for TaskFutures<T> {
    type Target = [TaskFuture<T>];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<T> IntoIterator for TaskFutures<T> {
    type Item = TaskFuture<T>;
    type IntoIter = std::vec::IntoIter<TaskFuture<T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<T: TaskOutput> TaskFutures<T> {
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
        let results = join_all(self.0.iter().map(|future| future.handle.result())).await;
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
        join_all(self.0.iter().map(TaskFuture::wait)).await
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

impl<T: TaskOutput> IntoFuture for TaskFutures<T> {
    type Output = Result<Vec<T>, RunError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.results().await })
    }
}

/// Calls of one task over many values, not begun yet.
///
/// ```
/// use prefect_rs::prelude::*;
///
/// #[task]
/// async fn times(n: i64, factor: i64) -> i64 {
///     n * factor
/// }
///
/// #[flow]
/// async fn table() -> Result<Vec<i64>> {
///     Ok(times::map(1..=10, 7).await?)
/// }
/// ```
#[must_use = "nothing is run until the calls are awaited or submitted"]
pub struct TaskMap<T> {
    definition: &'static TaskDefinition,
    options: Arc<TaskOptions>,
    first: Vec<Input>,
    others: Vec<Input>,
    wait_for: Vec<Arc<Handle>>,
    output: PhantomData<fn() -> T>,
}

impl<T: TaskOutput> TaskMap<T> {
    /// Makes the calls.
    #[doc(hidden)]
    pub fn new(definition: &'static TaskDefinition, first: Vec<Input>, others: Vec<Input>) -> Self {
        Self {
            definition,
            options: definition.options().clone(),
            first,
            others,
            wait_for: Vec::new(),
            output: PhantomData,
        }
    }

    /// Changes any options for these calls.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// # #[task] async fn load(city: String) -> Result<u8> { Ok(city.len() as u8) }
    /// # #[flow] async fn f() -> Result<()> {
    /// load::map(["Berlin", "Oslo"]).with_options(|options| options.retries(2)).await?;
    /// # Ok(()) }
    /// ```
    pub fn with_options(mut self, change: impl FnOnce(TaskOptions) -> TaskOptions) -> Self {
        self.options = Arc::new(change(TaskOptions::clone(&self.options)));
        self
    }

    /// Waits for another run before these begin.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// # #[task] async fn load(city: String) -> Result<u8> { Ok(city.len() as u8) }
    /// # #[flow] async fn f() -> Result<()> {
    /// let first = load("Rome").submit();
    /// load::map(["Berlin", "Oslo"]).wait_for(&first).await?;
    /// # Ok(()) }
    /// ```
    pub fn wait_for(mut self, upstream: impl Upstream) -> Self {
        upstream.handles(&mut self.wait_for);
        self
    }

    /// Runs all beside each other.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// # #[task] async fn load(city: String) -> Result<u8> { Ok(city.len() as u8) }
    /// # #[flow] async fn f() -> Result<()> {
    /// let futures = load::map(["Berlin", "Oslo"]).submit();
    /// for size in futures {
    ///     println!("{}", size.await?);
    /// }
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn submit(self) -> TaskFutures<T> {
        // An argument that is the same for all is computed once.
        let others: Vec<Source> = self
            .others
            .into_iter()
            .map(|input| match input.0 {
                Source::Call(call) => Source::Future(submit(*call)),
                source => source,
            })
            .collect();
        let mut futures = Vec::with_capacity(self.first.len());
        for first in self.first {
            let mut inputs = Vec::with_capacity(1 + others.len());
            inputs.push(first);
            inputs.extend(others.iter().map(same));
            let call = Call {
                definition: self.definition,
                options: self.options.clone(),
                run_name: None,
                inputs,
                wait_for: self.wait_for.clone(),
            };
            futures.push(TaskFuture::of(submit(call)));
        }
        TaskFutures(futures)
    }

    /// Runs all beside each other and waits, in a function that is not `async`.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// # #[task] fn load() -> Result<u8> { Ok(1) }
    /// # #[task] fn loads(city: String) -> Result<u8> { Ok(1) }
    /// # #[flow] fn f() -> Result<()> {
    /// let sizes = loads::map(["Berlin", "Oslo"]).run()?;
    /// println!("{sizes:?}");
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn run(self) -> Result<Vec<T>, RunError> {
        self.submit().get()
    }
}

fn same(source: &Source) -> Input {
    Input(match source {
        Source::Value(value) => Source::Value(value.clone()),
        Source::Future(handle) => Source::Future(handle.clone()),
        Source::Futures(handles, gather) => Source::Futures(handles.clone(), *gather),
        Source::Call(_) => unreachable!("calls have been submitted"),
    })
}

impl<T: TaskOutput> IntoFuture for TaskMap<T> {
    type Output = Result<Vec<T>, RunError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.submit().results().await })
    }
}

/// What a call can wait for: a future, several, or lists of them.
///
/// ```
/// # use prefect_rs::prelude::*;
/// # #[task] async fn load(city: String) -> Result<u8> { Ok(city.len() as u8) }
/// # #[flow] async fn f() -> Result<()> {
/// let (one, many) = (load("Rome").submit(), load::map(["Berlin", "Oslo"]).submit());
/// load("Bern").wait_for(&one).wait_for([&many]).await?;
/// # Ok(()) }
/// ```
pub trait Upstream {
    #[doc(hidden)]
    fn handles(&self, into: &mut Vec<Arc<Handle>>);
}

impl<T> Upstream for TaskFuture<T> {
    fn handles(&self, into: &mut Vec<Arc<Handle>>) {
        into.push(self.handle.clone());
    }
}

impl<T> Upstream for TaskFutures<T> {
    fn handles(&self, into: &mut Vec<Arc<Handle>>) {
        into.extend(self.0.iter().map(|future| future.handle.clone()));
    }
}

impl<U: Upstream> Upstream for &U {
    fn handles(&self, into: &mut Vec<Arc<Handle>>) {
        (**self).handles(into);
    }
}

impl<U: Upstream, const N: usize> Upstream for [U; N] {
    fn handles(&self, into: &mut Vec<Arc<Handle>>) {
        self.iter().for_each(|upstream| upstream.handles(into));
    }
}

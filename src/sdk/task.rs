//! Tasks: what the attribute makes, and the lazy call.

use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};

use futures_util::future::BoxFuture;
use sha2::{Digest, Sha256};

use super::arguments::Arguments;
use super::context;
use super::delays::{RetryDelay, Seconds};
use super::engine::task_runs;
use super::futures::{TaskFuture, submit};
use super::options::TaskOptions;
use super::outcome::{Outcome, RunError, State};
use super::upstream::{Awaited, Upstream};
use super::value::{self, Input, Inputs, Kept, Shared};

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
    type Output;
    /// Returns what is known of the task.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// use prefect_rs::sdk::Task;
    ///
    /// #[task]
    /// async fn load() {}
    ///
    /// println!("{}", load::definition().name());
    /// ```
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
    pub const fn new<T>(
        function: &'static str,
        module: &'static str,
        arguments: &'static [&'static str],
        (run, result): (Runner, &Kept<T>),
        options: fn() -> TaskOptions,
    ) -> Self {
        Self {
            function,
            module,
            arguments,
            run,
            decode: result.decode,
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
    pub(crate) wait_for: Vec<Awaited>,
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

impl<T> TaskCall<T> {
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
}

impl<T: 'static> TaskCall<T> {
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
        upstream.awaited(&mut self.call.wait_for);
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

impl<T: 'static> IntoFuture for TaskCall<T> {
    type Output = Result<T, RunError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let run = task_runs::run(self.call);
        Box::pin(async { run.await.map(|(value, _)| value::take(value)) })
    }
}

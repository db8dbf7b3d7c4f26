//! One task over many values.

use std::future::IntoFuture;
use std::marker::PhantomData;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::context::Context;
use super::futures::{TaskFuture, TaskFutures, submit};
use super::options::TaskOptions;
use super::outcome::RunError;
use super::task::{Call, TaskDefinition};
use super::upstream::{Awaited, Upstream};
use super::value::{Input, Shared, Source};

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
    wait_for: Vec<Awaited>,
    output: PhantomData<fn() -> T>,
}

impl<T> TaskMap<T> {
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
}

impl<T: 'static> TaskMap<T> {
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
        upstream.awaited(&mut self.wait_for);
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
        // What is the same for all is computed once, and once is found out whose result it is.
        let others: Vec<Source> = self
            .others
            .into_iter()
            .map(|input| match input.0 {
                Source::Call(call) => Source::Future(submit(*call)),
                Source::Value(value) => traced(value),
                source => source,
            })
            .collect();
        let wait_for = Awaited::joined(self.wait_for);
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
                wait_for: wait_for.clone(),
            };
            futures.push(TaskFuture::of(submit(call)));
        }
        TaskFutures::from(futures)
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

fn traced(value: Shared) -> Source {
    match Context::with(|context| context.flow_run.producers(&value)) {
        Some(producers) => Source::Traced(value, producers),
        None => Source::Value(value),
    }
}

fn same(source: &Source) -> Input {
    Input(match source {
        Source::Value(value) => Source::Value(value.clone()),
        Source::Traced(value, producers) => Source::Traced(value.clone(), producers.clone()),
        Source::Future(handle) => Source::Future(handle.clone()),
        Source::Futures(gathering) => Source::Futures(gathering.clone()),
        Source::Call(_) => unreachable!("calls have been submitted"),
    })
}

impl<T: 'static> IntoFuture for TaskMap<T> {
    type Output = Result<Vec<T>, RunError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.submit().results().await })
    }
}

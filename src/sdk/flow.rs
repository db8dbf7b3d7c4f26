//! Flows: what the attribute makes, and the lazy call.

use std::future::IntoFuture;
use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};

use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};

use super::context;
use super::delays::{RetryDelay, Seconds};
use super::engine::flow_runs;
use super::options::FlowOptions;
use super::outcome::{RunError, State};
use super::parameters::{self, Parameter};
use super::task::{self, Runner};
use super::upstream::{Awaited, Upstream};
use super::value::{self, Input, Inputs};

/// The type that `#[flow]` puts beside a function.
///
/// ```
/// use prefect_rs::prelude::*;
///
/// use prefect_rs::sdk::Flow;
///
/// #[flow]
/// async fn report(days: u32) -> Result<u32> {
///     Ok(days)
/// }
///
/// assert_eq!(report::definition().name(), "report");
/// ```
pub trait Flow {
    /// What the flow gives back.
    type Output;
    /// Returns what is known of the flow.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// use prefect_rs::sdk::Flow;
    ///
    /// #[flow]
    /// async fn report() {}
    ///
    /// println!("{}", report::definition().schema());
    /// ```
    fn definition() -> &'static FlowDefinition;
}

/// What is known of a flow.
///
/// ```
/// use prefect_rs::prelude::*;
///
/// use prefect_rs::sdk::{Flow, FlowDefinition};
///
/// #[flow(name = "Weekly report")]
/// async fn report(days: u32) -> Result<u32> {
///     Ok(days)
/// }
///
/// let definition: &FlowDefinition = report::definition();
/// assert_eq!(definition.name(), "Weekly report");
/// ```
pub struct FlowDefinition {
    function: &'static str,
    module: &'static str,
    pub(crate) parameters: &'static [Parameter],
    pub(crate) run: Runner,
    options: fn() -> FlowOptions,
    resolved: OnceLock<(String, Arc<FlowOptions>)>,
}

impl FlowDefinition {
    /// Puts together what the attribute knows.
    #[doc(hidden)]
    pub const fn new(
        function: &'static str,
        module: &'static str,
        parameters: &'static [Parameter],
        run: Runner,
        options: fn() -> FlowOptions,
    ) -> Self {
        Self {
            function,
            module,
            parameters,
            run,
            options,
            resolved: OnceLock::new(),
        }
    }

    fn resolved(&self) -> &(String, Arc<FlowOptions>) {
        self.resolved.get_or_init(|| {
            (
                task::key(self.function, self.module),
                Arc::new((self.options)()),
            )
        })
    }

    pub(crate) fn key(&self) -> &str {
        &self.resolved().0
    }

    pub(crate) fn parameter_names(&self) -> impl Iterator<Item = &'static str> {
        self.parameters.iter().map(|parameter| parameter.name)
    }

    pub(crate) fn options(&self) -> &Arc<FlowOptions> {
        &self.resolved().1
    }

    /// Returns the flow's name.
    ///
    /// ```
    /// use prefect_rs::prelude::*;
    ///
    /// use prefect_rs::sdk::Flow;
    ///
    /// #[flow]
    /// async fn weekly_report() {}
    ///
    /// assert_eq!(weekly_report::definition().name(), "weekly-report");
    /// ```
    pub fn name(&self) -> &str {
        &self.options().common.name
    }

    /// Returns the name of its function.
    ///
    /// ```
    /// use prefect_rs::prelude::*;
    ///
    /// use prefect_rs::sdk::Flow;
    ///
    /// #[flow(name = "Weekly report")]
    /// async fn report() {}
    ///
    /// assert_eq!(report::definition().function(), "report");
    /// ```
    pub fn function(&self) -> &'static str {
        self.function
    }

    /// Describes the flow: what a deployment records of it.
    ///
    /// ```
    /// use prefect_rs::prelude::*;
    ///
    /// use prefect_rs::sdk::Flow;
    ///
    /// #[flow(version = "2")]
    /// async fn report() {}
    ///
    /// assert_eq!(report::definition().describe()["version"], "2");
    /// ```
    pub fn describe(&self) -> Value {
        let common = &self.options().common;
        json!({
            "name": common.name,
            "function": self.function,
            "module": self.module,
            "description": common.description,
            "version": common.version,
            "tags": common.tags,
            "parameter_openapi_schema": self.schema(),
        })
    }

    /// Returns the JSON schema of the parameters, in the shape that the dashboard makes a form of.
    ///
    /// ```
    /// use prefect_rs::prelude::*;
    ///
    /// use prefect_rs::sdk::Flow;
    ///
    /// #[flow]
    /// async fn report(days: u32, #[default(true)] verbose: bool) {
    ///     let _ = (days, verbose);
    /// }
    ///
    /// let schema = report::definition().schema();
    /// assert_eq!(schema["properties"]["days"]["type"], "integer");
    /// assert_eq!(schema["required"], serde_json::json!(["days"]));
    /// ```
    pub fn schema(&self) -> Value {
        parameters::schema(self.parameters)
    }

    /// Reads parameters as a person gives them on a command line.
    pub(crate) fn typed(&self, pairs: &[String]) -> Result<Map<String, Value>, String> {
        parameters::typed(self.parameters, pairs)
    }

    /// Reads parameters from outside; an error names the parameter and says what is wrong with it.
    pub(crate) fn parse(&self, values: &Map<String, Value>) -> Result<Inputs, String> {
        parameters::read(self.parameters, self.name(), values)
    }
}

/// A call whose type the caller knows.
pub(crate) struct FlowCallInner {
    pub(crate) definition: &'static FlowDefinition,
    pub(crate) options: Arc<FlowOptions>,
    pub(crate) run_name: Option<String>,
    pub(crate) inputs: Vec<Input>,
    pub(crate) wait_for: Vec<Awaited>,
}

/// A call of a flow that has not begun.
///
/// Within a flow it makes a subflow run; several run beside each other when their futures are joined
/// (`tokio::join!(east().into_future(), west().into_future())`) or [spawned](crate::prelude::spawn). From a plain function,
/// [`run`](Self::run) waits for it.
///
/// ```no_run
/// use prefect_rs::prelude::*;
///
/// #[flow]
/// async fn hello(name: String) -> Result<String> {
///     Ok(format!("Hello, {name}!"))
/// }
///
/// fn main() -> Result<()> {
///     let greeting = hello("Marvin").run()?;
///     assert_eq!(greeting, "Hello, Marvin!");
///     Ok(())
/// }
/// ```
#[must_use = "a flow does nothing until it is awaited, run or served"]
pub struct FlowCall<T> {
    pub(crate) call: FlowCallInner,
    output: PhantomData<fn() -> T>,
}

impl<T> FlowCall<T> {
    /// Makes a call.
    #[doc(hidden)]
    pub fn new(definition: &'static FlowDefinition, inputs: Vec<Input>) -> Self {
        Self {
            call: FlowCallInner {
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

impl<T: 'static> FlowCall<T> {
    /// Runs the flow and waits, in a function that is not `async`.
    ///
    /// ```no_run
    /// # use prefect_rs::prelude::*;
    /// # #[task] async fn load() -> Result<u8> { Ok(1) }
    /// # #[flow] async fn report() -> Result<u8> { Ok(1) }
    /// # fn start() -> Result<()> {
    /// let value = report().run()?;
    /// println!("{value}");
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn run(self) -> Result<T, RunError> {
        context::block_on(self.into_future())
    }

    /// Runs the flow and returns the state it ended in instead of its result.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// # #[task] async fn load() -> Result<u8> { Ok(1) }
    /// # #[flow] async fn report() -> Result<u8> { Ok(1) }
    /// # #[flow] async fn f() -> Result<()> {
    /// let state = report().state().await;
    /// println!("the subflow is {}", state.name);
    /// # Ok(()) }
    /// ```
    pub async fn state(self) -> State {
        match flow_runs::run(self.call).await {
            Ok((_, state)) => state,
            Err(error) => error.state().clone(),
        }
    }

    /// Names this run.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// # #[task] async fn load() -> Result<u8> { Ok(1) }
    /// # #[flow] async fn report() -> Result<u8> { Ok(1) }
    /// # #[flow] async fn f() -> Result<()> {
    /// report().with_name("report of today").await?;
    /// # Ok(()) }
    /// ```
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.call.run_name = Some(name.into());
        self
    }

    /// Changes any options for this call.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// # #[task] async fn load() -> Result<u8> { Ok(1) }
    /// # #[flow] async fn report() -> Result<u8> { Ok(1) }
    /// # #[flow] async fn f() -> Result<()> {
    /// report().with_options(|options| options.retries(1).timeout_seconds(60)).await?;
    /// # Ok(()) }
    /// ```
    pub fn with_options(mut self, change: impl FnOnce(FlowOptions) -> FlowOptions) -> Self {
        self.call.options = Arc::new(change(FlowOptions::clone(&self.call.options)));
        self
    }

    /// Waits for a task run of the calling flow before this one begins.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// # #[task] async fn load() -> Result<u8> { Ok(1) }
    /// # #[flow] async fn report() -> Result<u8> { Ok(1) }
    /// # #[flow] async fn f() -> Result<()> {
    /// let loaded = load().submit();
    /// report().wait_for(&loaded).await?;
    /// # Ok(()) }
    /// ```
    pub fn wait_for(mut self, upstream: impl Upstream) -> Self {
        upstream.awaited(&mut self.call.wait_for);
        self
    }

    /// Runs it again up to this often when it fails.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// # #[task] async fn load() -> Result<u8> { Ok(1) }
    /// # #[flow] async fn report() -> Result<u8> { Ok(1) }
    /// # #[flow] async fn f() -> Result<()> {
    /// report().with_retries(2).await?;
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
    /// # #[flow] async fn report() -> Result<u8> { Ok(1) }
    /// # #[flow] async fn f() -> Result<()> {
    /// report().with_retries(2).with_retry_delay_seconds(30).await?;
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
    /// # #[flow] async fn report() -> Result<u8> { Ok(1) }
    /// # #[flow] async fn f() -> Result<()> {
    /// report().with_timeout_seconds(600).await?;
    /// # Ok(()) }
    /// ```
    pub fn with_timeout_seconds(self, seconds: impl Seconds) -> Self {
        self.with_options(|options| options.timeout_seconds(seconds))
    }

    /// Tags this run, instead of the flow's tags.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// # #[task] async fn load() -> Result<u8> { Ok(1) }
    /// # #[flow] async fn report() -> Result<u8> { Ok(1) }
    /// # #[flow] async fn f() -> Result<()> {
    /// report().with_tags(["nightly"]).await?;
    /// # Ok(()) }
    /// ```
    pub fn with_tags(self, tags: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.with_options(|options| options.tags(tags))
    }
}

impl<T: 'static> IntoFuture for FlowCall<T> {
    type Output = Result<T, RunError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let run = flow_runs::run(self.call);
        Box::pin(async { run.await.map(|(value, _)| value::take(value)) })
    }
}

//! How flows and tasks are run: what the attributes say, and what a call may change.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::arguments::Arguments;
use super::delays::{RetryDelay, Seconds};
use super::outcome::{RunError, State};

/// A run as hooks see it.
///
/// ```
/// use prefect_rs::prelude::*;
///
/// fn tell(run: &Run, state: &State) {
///     println!("{} of {} is {} at attempt {}", run.name, run.of, state.name, run.run_count);
/// }
///
/// #[task(on_failure = tell)]
/// async fn load() -> Result<u8> {
///     Ok(1)
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Run {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// The name of its flow or task.
    pub of: String,
    /// How often it was started.
    pub run_count: u32,
}

pub(crate) type CacheKey = Arc<dyn Fn(&Arguments) -> Option<String> + Send + Sync>;
pub(crate) type Condition = Arc<dyn Fn(&RunError) -> bool + Send + Sync>;
pub(crate) type Hook = Arc<dyn Fn(&Run, &State) + Send + Sync>;

/// When a hook is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum On {
    Running,
    Completion,
    Failure,
    Cancellation,
}

/// What flows and tasks have in common.
#[derive(Clone, Default)]
pub(crate) struct Common {
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) run_name: Option<String>,
    pub(crate) tags: Vec<String>,
    pub(crate) retries: u32,
    pub(crate) retry_delay: Option<RetryDelay>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) persist_result: Option<bool>,
    pub(crate) hooks: Vec<(On, Hook)>,
}

impl Common {
    pub(crate) fn call(&self, on: On, run: &Run, state: &State) {
        for (_, hook) in self.hooks.iter().filter(|(when, _)| *when == on) {
            let hook = std::panic::AssertUnwindSafe(|| hook(run, state));
            if std::panic::catch_unwind(hook).is_err() {
                tracing::warn!(target: "prefect", "a hook of `{}` panicked", run.name);
            }
        }
    }
}

macro_rules! common {
    ($options:ident: $($name:ident($($argument:ident: $type:ty)?) = $text:literal, $example:literal => |$common:ident| $set:expr;)*) => {$(
        #[doc = concat!(
            $text,
            "\n\n```\n# use prefect_rs::prelude::*;\n# use prefect_rs::sdk::", stringify!($options), ";\nlet options = ",
            stringify!($options), "::new(\"load\").", stringify!($name), "(", $example, ");\n# let _ = options;\n```"
        )]
        // A span of time below zero panics where it is given.
        #[track_caller]
        pub fn $name(mut self $(, $argument: $type)?) -> Self {
            let $common = &mut self.common;
            $set;
            self
        }
    )*};
}

macro_rules! common_methods {
    ($options:ident) => {
        common! {
            $options:
            name(name: impl Into<String>) = "Names it; by default its function does.", r#""Load the rows""# => |common| common.name = name.into();
            description(text: impl Into<String>) = "Says what it is for; by default its documentation does.", r#""Reads what came in since yesterday""# => |common| common.description = Some(text.into());
            version(version: impl ToString) = "Tells its versions apart.", "2" => |common| common.version = Some(version.to_string());
            tags(tags: impl IntoIterator<Item = impl Into<String>>) = "Tags its runs; limits on tags apply.", r#"["database"]"# => |common| common.tags = tags.into_iter().map(Into::into).collect();
            retries(retries: u32) = "Runs it again up to this often when it fails.", "3" => |common| common.retries = retries;
            retry_delay_seconds(delay: impl Into<RetryDelay>) = "Waits before each retry: seconds, a list of them, or [`exponential_backoff`](crate::prelude::exponential_backoff).", "[1, 10, 60]" => |common| common.retry_delay = Some(delay.into());
            timeout_seconds(seconds: impl Seconds) = "Fails it when an attempt takes longer; zero is no limit.", "2.5" => |common| common.timeout = Some(seconds.span()).filter(|limit| !limit.is_zero());
            persist_result(persist: bool) = "Keeps its result on disk.", "true" => |common| common.persist_result = Some(persist);
            on_running(hook: impl Fn(&Run, &State) + Send + Sync + 'static) = "Calls this when it begins to run.", r#"|run, _| println!("{} begins", run.name)"# => |common| common.hooks.push((On::Running, Arc::new(hook)));
            on_completion(hook: impl Fn(&Run, &State) + Send + Sync + 'static) = "Calls this when it has completed.", r#"|run, _| println!("{} is done", run.name)"# => |common| common.hooks.push((On::Completion, Arc::new(hook)));
            on_failure(hook: impl Fn(&Run, &State) + Send + Sync + 'static) = "Calls this when it has failed for good.", r#"|run, state| println!("{}: {:?}", run.name, state.message)"# => |common| common.hooks.push((On::Failure, Arc::new(hook)));
            on_cancellation(hook: impl Fn(&Run, &State) + Send + Sync + 'static) = "Calls this when it was cancelled.", r#"|run, _| println!("{} was stopped", run.name)"# => |common| common.hooks.push((On::Cancellation, Arc::new(hook)));
        }
    };
}

/// How a task is run.
///
/// ```
/// # use prefect_rs::prelude::*;
/// # #[task] async fn load() -> Result<u8> { Ok(1) }
/// # #[flow] async fn f() -> Result<()> {
/// load().with_options(|options| options.retries(3).tags(["database"])).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct TaskOptions {
    pub(crate) common: Common,
    pub(crate) retry_jitter_factor: f64,
    pub(crate) retry_condition: Option<Condition>,
    pub(crate) cache_key_fn: Option<CacheKey>,
    pub(crate) cache_expiration: Option<Duration>,
    pub(crate) refresh_cache: bool,
}

impl TaskOptions {
    /// Makes the options of a task of this name.
    ///
    /// ```
    /// use prefect_rs::sdk::TaskOptions;
    ///
    /// let options = TaskOptions::new("load").retries(3);
    /// # let _ = options;
    /// ```
    pub fn new(name: &str) -> Self {
        Self {
            common: Common {
                name: name.to_owned(),
                ..Common::default()
            },
            retry_jitter_factor: 0.0,
            retry_condition: None,
            cache_key_fn: None,
            cache_expiration: None,
            refresh_cache: false,
        }
    }

    common_methods!(TaskOptions);

    /// Names its runs; `{argument}` stands for an argument.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// # #[task] async fn load() -> Result<u8> { Ok(1) }
    /// # #[flow] async fn f() -> Result<()> {
    /// load().with_options(|options| options.task_run_name("load-{city}")).await?;
    /// # Ok(()) }
    /// ```
    pub fn task_run_name(mut self, template: impl Into<String>) -> Self {
        self.common.run_name = Some(template.into());
        self
    }

    /// Lengthens each delay by a random part of it: 0.5 adds up to half.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// # #[task] async fn load() -> Result<u8> { Ok(1) }
    /// # #[flow] async fn f() -> Result<()> {
    /// load().with_options(|options| options.retries(3).retry_jitter_factor(0.5)).await?;
    /// # Ok(()) }
    /// ```
    pub fn retry_jitter_factor(mut self, factor: f64) -> Self {
        self.retry_jitter_factor = factor;
        self
    }

    /// Retries only after errors for which this is true.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// # #[task] async fn load() -> Result<u8> { Ok(1) }
    /// # #[flow] async fn f() -> Result<()> {
    /// load()
    ///     .with_options(|options| options.retries(3).retry_condition(|error| !error.to_string().contains("404")))
    ///     .await?;
    /// # Ok(()) }
    /// ```
    pub fn retry_condition(
        mut self,
        condition: impl Fn(&RunError) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.retry_condition = Some(Arc::new(condition));
        self
    }

    /// Finds earlier results under the key that this makes of the arguments; where it is none or empty, the task just runs.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// # #[task] async fn load() -> Result<u8> { Ok(1) }
    /// # #[flow] async fn f() -> Result<()> {
    /// load().with_options(|options| options.cache_key_fn(|_| "the one".to_owned())).await?;
    /// # Ok(()) }
    /// ```
    pub fn cache_key_fn<K: Into<Option<String>>>(
        mut self,
        key: impl Fn(&Arguments) -> K + Send + Sync + 'static,
    ) -> Self {
        self.cache_key_fn = Some(Arc::new(move |arguments| key(arguments).into()));
        self
    }

    /// Forgets cached results after this time; by default they stay.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// # #[task] async fn load() -> Result<u8> { Ok(1) }
    /// # #[flow] async fn f() -> Result<()> {
    /// load().with_options(|options| options.cache_key_fn(input_hash).cache_expiration_seconds(3600)).await?;
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn cache_expiration_seconds(mut self, seconds: impl Seconds) -> Self {
        self.cache_expiration = Some(seconds.span());
        self
    }

    /// Runs in any case and replaces what is cached.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// # #[task] async fn load() -> Result<u8> { Ok(1) }
    /// # #[flow] async fn f() -> Result<()> {
    /// load().with_options(|options| options.cache_key_fn(input_hash).refresh_cache(true)).await?;
    /// # Ok(()) }
    /// ```
    pub fn refresh_cache(mut self, refresh: bool) -> Self {
        self.refresh_cache = refresh;
        self
    }
}

/// How a flow is run.
///
/// ```
/// # use prefect_rs::prelude::*;
/// # #[task] async fn load() -> Result<u8> { Ok(1) }
/// # #[flow] async fn report() -> Result<u8> { Ok(1) }
/// # #[flow] async fn f() -> Result<()> {
/// report().with_options(|options| options.retries(1).tags(["nightly"])).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct FlowOptions {
    pub(crate) common: Common,
}

impl FlowOptions {
    /// Makes the options of a flow of this name.
    ///
    /// ```
    /// use prefect_rs::sdk::FlowOptions;
    ///
    /// let options = FlowOptions::new("report").timeout_seconds(600);
    /// # let _ = options;
    /// ```
    pub fn new(name: &str) -> Self {
        Self {
            common: Common {
                name: name.replace('_', "-"),
                ..Common::default()
            },
        }
    }

    common_methods!(FlowOptions);

    /// Names its runs; `{parameter}` stands for a parameter.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// # #[task] async fn load() -> Result<u8> { Ok(1) }
    /// # #[flow] async fn report() -> Result<u8> { Ok(1) }
    /// # #[flow] async fn f() -> Result<()> {
    /// report().with_options(|options| options.flow_run_name("report-of-{days}")).await?;
    /// # Ok(()) }
    /// ```
    pub fn flow_run_name(mut self, template: impl Into<String>) -> Self {
        self.common.run_name = Some(template.into());
        self
    }
}

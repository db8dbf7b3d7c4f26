//! How flows and tasks are run: what the attributes say, and what a call may change.

use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::outcome::{RunError, State};

/// Something that is a span of time: a number of seconds, or a [`Duration`].
///
/// ```
/// use prefect_rs::sdk::Seconds;
/// use std::time::Duration;
///
/// assert_eq!(90.span(), Duration::from_secs(90));
/// assert_eq!(0.5.span(), Duration::from_millis(500));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a span of time",
    note = "give a number of seconds, such as `90` or `0.5`, or a `std::time::Duration`"
)]
pub trait Seconds {
    /// Returns the span.
    fn span(self) -> Duration;
}

impl Seconds for Duration {
    fn span(self) -> Duration {
        self
    }
}

macro_rules! seconds {
    ($($number:ty)*) => {$(
        impl Seconds for $number {
            fn span(self) -> Duration {
                // Less than none is none; more than there will ever be is for ever.
                Duration::try_from_secs_f64((self as f64).max(0.0)).unwrap_or(Duration::MAX)
            }
        }
    )*};
}
seconds!(i32 u32 i64 u64 usize f32 f64);

/// How long to wait before each retry.
///
/// ```
/// use prefect_rs::sdk::{RetryDelay, TaskOptions};
///
/// let delays = RetryDelay::from([1, 10, 60]);
/// let options = TaskOptions::new("load").retries(3).retry_delay_seconds(delays);
/// # let _ = options;
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct RetryDelay(pub(crate) Delays);

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Delays {
    /// The first retry waits for the first, and so on; the last one stays.
    Listed(Vec<Duration>),
    /// The factor, doubled with each retry.
    Exponential(Duration),
}

/// Returns delays that double with each retry: `factor`, twice `factor`, four times `factor`, …
///
/// ```
/// use prefect_rs::prelude::*;
///
/// #[task(retries = 5, retry_delay_seconds = exponential_backoff(0.5), retry_jitter_factor = 0.2)]
/// async fn fetch(url: String) -> Result<String> {
///     Ok(url)
/// }
/// ```
pub fn exponential_backoff(factor: impl Seconds) -> RetryDelay {
    RetryDelay(Delays::Exponential(factor.span()))
}

impl<S: Seconds> From<S> for RetryDelay {
    fn from(delay: S) -> Self {
        Self(Delays::Listed(vec![delay.span()]))
    }
}

impl<S: Seconds, const N: usize> From<[S; N]> for RetryDelay {
    fn from(delays: [S; N]) -> Self {
        delays.into_iter().collect::<Vec<_>>().into()
    }
}

impl<S: Seconds> From<Vec<S>> for RetryDelay {
    fn from(delays: Vec<S>) -> Self {
        Self(Delays::Listed(
            delays.into_iter().map(Seconds::span).collect(),
        ))
    }
}

/// A day is longer than any retry should wait; it keeps doubling from overflowing.
const LONGEST_DELAY: Duration = Duration::from_secs(24 * 3600);

impl RetryDelay {
    /// Returns the delay before retry number `retry`, counted from one; `chance` is between 0 and 1.
    pub(crate) fn before(&self, retry: u32, jitter_factor: f64, chance: f64) -> Duration {
        let delay = match &self.0 {
            Delays::Listed(delays) => {
                let index = (retry.max(1) as usize - 1).min(delays.len().saturating_sub(1));
                delays.get(index).copied().unwrap_or_default()
            }
            Delays::Exponential(factor) => {
                let doubled = 2u32.checked_pow(retry.max(1) - 1).unwrap_or(u32::MAX);
                factor.checked_mul(doubled).unwrap_or(LONGEST_DELAY)
            }
        };
        let delay = delay.min(LONGEST_DELAY);
        delay.mul_f64(1.0 + jitter_factor.clamp(0.0, 1.0) * chance)
    }

    /// Tells whether the delay depends on the number of the retry.
    pub(crate) fn varies(&self) -> bool {
        match &self.0 {
            Delays::Listed(delays) => delays.len() > 1,
            Delays::Exponential(_) => true,
        }
    }

    /// Returns the delays as the API shows them.
    pub(crate) fn shown(&self, retries: u32) -> Value {
        let delays: Vec<Value> = match &self.0 {
            Delays::Listed(delays) => delays
                .iter()
                .map(|delay| number(delay.as_secs_f64()))
                .collect(),
            Delays::Exponential(_) => (1..=retries.min(50))
                .map(|retry| number(self.before(retry, 0.0, 0.0).as_secs_f64()))
                .collect(),
        };
        match &delays[..] {
            [] => Value::from(0),
            [delay] => delay.clone(),
            _ => Value::from(delays),
        }
    }
}

/// Returns whole seconds as an integer, as the genuine client writes them.
fn number(seconds: f64) -> Value {
    match seconds.fract() == 0.0 && seconds < 1e15 {
        true => Value::from(seconds as u64),
        false => Value::from(seconds),
    }
}

/// The arguments of a call, as what decides about its cached result sees them.
///
/// ```
/// use prefect_rs::prelude::*;
///
/// fn by_city(arguments: &Arguments) -> String {
///     arguments.get::<String>("city").unwrap_or_default()
/// }
///
/// #[task(cache_key_fn = by_city)]
/// async fn population(city: String, verbose: bool) -> u64 {
///     city.len() as u64 + u64::from(verbose)
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Arguments {
    pub(crate) task_key: String,
    pub(crate) flow_run_id: Uuid,
    pub(crate) values: Map<String, Value>,
}

impl Arguments {
    /// Returns an argument, if there is one of this name and type.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// fn by_day(arguments: &Arguments) -> String {
    ///     format!("{}-{}", arguments.task_key(), arguments.get::<u32>("day").unwrap_or(0))
    /// }
    /// ```
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        T::deserialize(self.values.get(name)?).ok()
    }

    /// Returns all arguments.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// fn by_names(arguments: &Arguments) -> String {
    ///     arguments.values().keys().cloned().collect()
    /// }
    /// ```
    pub fn values(&self) -> &Map<String, Value> {
        &self.values
    }

    /// Returns what tells the task from others.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// fn once_for_ever(arguments: &Arguments) -> String {
    ///     arguments.task_key().to_owned()
    /// }
    /// ```
    pub fn task_key(&self) -> &str {
        &self.task_key
    }

    /// Returns the flow run that calls the task.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// fn once_a_run(arguments: &Arguments) -> String {
    ///     format!("{}-{}", arguments.flow_run_id(), arguments.task_key())
    /// }
    /// ```
    pub fn flow_run_id(&self) -> Uuid {
        self.flow_run_id
    }

    /// Returns a hash of task and arguments.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// fn of_version_2(arguments: &Arguments) -> String {
    ///     format!("v2-{}", arguments.hash())
    /// }
    /// ```
    pub fn hash(&self) -> String {
        let mut digest = Sha256::new();
        digest.update(self.task_key.as_bytes());
        digest.update([0]);
        // A `HashMap` among the arguments has another order in each process.
        let mut values = Value::Object(self.values.clone());
        values.sort_all_objects();
        digest.update(values.to_string().as_bytes());
        let digest = digest.finalize();
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The cache key of equal arguments: the same task called with the same values gives its earlier result.
///
/// ```
/// use prefect_rs::prelude::*;
///
/// #[task(cache_key_fn = input_hash, cache_expiration_seconds = 3600)]
/// async fn population(city: String) -> Result<u64> {
///     Ok(city.len() as u64)
/// }
/// ```
pub fn input_hash(arguments: &Arguments) -> String {
    arguments.hash()
}

/// The cache key of equal arguments within one flow run.
///
/// ```
/// use prefect_rs::prelude::*;
///
/// #[task(cache_key_fn = input_hash_of_run)]
/// async fn population(city: String) -> Result<u64> {
///     Ok(city.len() as u64)
/// }
/// ```
pub fn input_hash_of_run(arguments: &Arguments) -> String {
    format!("{}-{}", arguments.flow_run_id, arguments.hash())
}

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

pub(crate) type CacheKey = Arc<dyn Fn(&Arguments) -> String + Send + Sync>;
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
            retry_delay_seconds(delay: impl Into<RetryDelay>) = "Waits before each retry: seconds, a list of them, or [`exponential_backoff`].", "[1, 10, 60]" => |common| common.retry_delay = Some(delay.into());
            timeout_seconds(seconds: impl Seconds) = "Fails it when an attempt takes longer.", "2.5" => |common| common.timeout = Some(seconds.span());
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

    /// Finds earlier results under the key that this makes of the arguments.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// # #[task] async fn load() -> Result<u8> { Ok(1) }
    /// # #[flow] async fn f() -> Result<()> {
    /// load().with_options(|options| options.cache_key_fn(|_| "the one".to_owned())).await?;
    /// # Ok(()) }
    /// ```
    pub fn cache_key_fn(
        mut self,
        key: impl Fn(&Arguments) -> String + Send + Sync + 'static,
    ) -> Self {
        self.cache_key_fn = Some(Arc::new(key));
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

/// Longer names of runs are cut.
const MAX_NAME_BYTES: usize = 500;

/// Fills `{name}` in a template for run names.
pub(crate) fn fill(template: &str, values: &Map<String, Value>) -> String {
    let mut filled = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let Some((name, after)) = after.split_once('}') else {
            filled.push('{');
            rest = after;
            continue;
        };
        match values.get(name.trim()) {
            Some(Value::String(text)) => filled.push_str(text),
            Some(value) => filled.push_str(&value.to_string()),
            None => filled.push_str(&format!("{{{name}}}")),
        }
        rest = after;
    }
    filled.push_str(rest);
    // An argument may be a whole file.
    filled.truncate(filled.floor_char_boundary(MAX_NAME_BYTES));
    filled
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn listed_delays_are_taken_in_turn_and_the_last_one_stays() {
        let delay = RetryDelay::from([1, 2, 5]);
        let seconds = |retry| delay.before(retry, 0.0, 0.9).as_secs_f64();
        assert_eq!([1, 2, 3, 4].map(seconds), [1.0, 2.0, 5.0, 5.0]);
        assert_eq!(delay.shown(3), json!([1, 2, 5]));
        assert_eq!(RetryDelay::from(0.5).shown(3), json!(0.5));
        assert_eq!(
            RetryDelay::from(Vec::<u32>::new()).before(1, 0.0, 0.0),
            Duration::ZERO
        );
    }

    #[test]
    fn exponential_delays_double() {
        let delay = exponential_backoff(0.5);
        let seconds = |retry| delay.before(retry, 0.0, 0.0).as_secs_f64();
        assert_eq!([1, 2, 3, 4].map(seconds), [0.5, 1.0, 2.0, 4.0]);
    }

    proptest! {
        #[test]
        fn a_delay_is_bounded_and_jitter_only_lengthens_it(
            factor in 0.0f64..1e12, retry in 0u32..1000, jitter in -1.0f64..3.0, chance in 0.0f64..1.0
        ) {
            for delay in [exponential_backoff(factor), RetryDelay::from(factor)] {
                let plain = delay.before(retry, 0.0, chance);
                let actual = delay.before(retry, jitter, chance);
                prop_assert!(actual >= plain);
                prop_assert!(actual <= LONGEST_DELAY * 2);
            }
        }
    }

    #[test]
    fn a_template_is_filled_from_arguments() {
        let values = json!({"city": "Berlin", "n": 3})
            .as_object()
            .cloned()
            .unwrap();
        assert_eq!(
            fill("load-{city}-{ n }-{x}-{", &values),
            "load-Berlin-3-{x}-{"
        );
    }

    #[test]
    fn equal_arguments_of_different_tasks_have_different_keys() {
        let arguments = |key: &str| Arguments {
            task_key: key.to_owned(),
            flow_run_id: Uuid::nil(),
            values: json!({"a": 1}).as_object().cloned().unwrap(),
        };
        assert_eq!(arguments("x").hash(), arguments("x").hash());
        assert_ne!(arguments("x").hash(), arguments("y").hash());
        let in_order = |text: &str| Arguments {
            values: serde_json::from_str(text).unwrap(),
            ..arguments("x")
        };
        assert_eq!(
            in_order(r#"{"a": [{"b": 1, "c": 2}]}"#).hash(),
            in_order(r#"{"a": [{"c": 2, "b": 1}]}"#).hash()
        );
        assert_eq!(arguments("x").get::<u8>("a"), Some(1));
        assert_eq!(arguments("x").get::<String>("a"), None);
    }
}

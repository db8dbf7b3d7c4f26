//! Flows: what the attribute makes, parameters from outside, and the lazy call.

use std::future::IntoFuture;
use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};

use futures_util::future::BoxFuture;
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::context;
use super::engine::flow_runs;
use super::futures::{Handle, Upstream};
use super::options::{FlowOptions, RetryDelay, Seconds};
use super::outcome::{RunError, State};
use super::task::{self, Runner};
use super::value::{self, Input, Inputs, Shared, Taken, TaskInput, TaskOutput};

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
    fn definition() -> &'static FlowDefinition;
}

/// What can be a parameter of a flow: data that can be read from a request and described by a schema.
///
/// ```
/// use prefect_rs::prelude::*;
///
/// #[data]
/// struct Span {
///     days: u32,
/// }
///
/// #[flow]
/// async fn report(span: Span) -> Result<u32> {
///     Ok(span.days)
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a parameter of a flow",
    label = "cannot be read from a request and described by a schema",
    note = "put `#[data]` where `{Self}` is defined, or derive `Clone`, `Serialize`, `Deserialize` and `JsonSchema` there",
    note = "what is no data, such as a connection, is made within the flow"
)]
pub trait FlowInput: TaskInput + DeserializeOwned + JsonSchema {}
#[diagnostic::do_not_recommend]
impl<T: TaskInput + DeserializeOwned + JsonSchema> FlowInput for T {}

/// A parameter of a flow.
#[doc(hidden)]
pub struct Parameter {
    pub(crate) name: &'static str,
    description: Option<&'static str>,
    schema: fn(&mut SchemaGenerator) -> schemars::Schema,
    parse: fn(Value) -> Result<Shared, String>,
    default: Option<fn() -> Value>,
}

/// A parameter of the type `T`, for the same reason as [`value::Kept`].
#[doc(hidden)]
pub struct Typed<T> {
    parameter: Parameter,
    taken: Taken<T>,
}

/// Describes a parameter of the type `T`.
#[doc(hidden)]
pub const fn parameter<T: FlowInput>(name: &'static str) -> Typed<T> {
    Typed {
        parameter: Parameter {
            name,
            description: None,
            schema: |generator| generator.subschema_for::<T>(),
            parse: parse::<T>,
            default: None,
        },
        taken: value::taken::<T>(),
    }
}

impl<T> Typed<T> {
    /// Takes the next argument.
    #[doc(hidden)]
    pub fn next(&self, inputs: &mut Inputs) -> T {
        self.taken.next(inputs)
    }

    /// Returns the description.
    #[doc(hidden)]
    pub const fn parameter(self) -> Parameter {
        self.parameter
    }
}

impl Parameter {
    /// Says what the parameter is for.
    #[doc(hidden)]
    pub const fn description(mut self, text: &'static str) -> Self {
        self.description = Some(text);
        self
    }

    /// Says what the parameter is when a run does not.
    #[doc(hidden)]
    pub const fn default_value(mut self, value: fn() -> Value) -> Self {
        self.default = Some(value);
        self
    }

    /// Returns what it is when a run does not say: its default, or nothing where nothing will do.
    fn absent(&self) -> Option<Value> {
        match self.default {
            Some(default) => Some(default()),
            None => (self.parse)(Value::Null).ok().map(|_| Value::Null),
        }
    }
}

fn parse<T: TaskInput + DeserializeOwned>(value: Value) -> Result<Shared, String> {
    match serde_path_to_error::deserialize::<_, T>(value) {
        Ok(value) => Ok(Arc::new(value)),
        Err(error) => {
            let place = error.path().to_string();
            match place.as_str() {
                "." => Err(error.inner().to_string()),
                place => Err(format!("at `{place}`: {}", error.inner())),
            }
        }
    }
}

/// Writes the default of a parameter.
#[doc(hidden)]
pub fn default_value<T: TaskInput>(value: impl super::IntoInput<T>) -> Value {
    match value.into_input().0 {
        value::Source::Value(value) => {
            let json = value::to_json(&value).unwrap_or_default();
            serde_json::from_slice(&json).unwrap_or_default()
        }
        _ => Value::Null,
    }
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
        let settings = SchemaSettings::draft07().with(|settings| {
            settings.definitions_path = "/definitions".into();
            settings.meta_schema = None;
        });
        let mut generator = settings.into_generator();
        let mut properties = Map::new();
        let mut required = Vec::new();
        for (position, parameter) in self.parameters.iter().enumerate() {
            let mut property = (parameter.schema)(&mut generator).to_value();
            if let Some(members) = property.as_object_mut() {
                members.insert("title".into(), json!(parameter.name));
                members.insert("position".into(), json!(position));
                if let Some(text) = parameter.description {
                    members.insert("description".into(), json!(text));
                }
                match parameter.absent() {
                    Some(default) => drop(members.insert("default".into(), default)),
                    None => required.push(parameter.name),
                }
            }
            properties.insert(parameter.name.into(), property);
        }
        let definitions = generator.take_definitions(true);
        json!({
            "title": "Parameters",
            "type": "object",
            "properties": properties,
            "required": required,
            "definitions": definitions,
        })
    }

    /// Reads parameters as a person gives them on a command line: `name=value`, the value as JSON or else as text.
    ///
    /// What is JSON but not what the parameter takes is text as well: a name may be `007`, and a key `true`.
    pub(crate) fn typed(&self, pairs: &[String]) -> Result<Map<String, Value>, String> {
        let read = |pair: &String| {
            let (name, text) = pair
                .split_once('=')
                .ok_or_else(|| format!("`{pair}` is not NAME=VALUE"))?;
            let parameter = self.parameters.iter().find(|known| known.name == name);
            let fits = |value: &Value| {
                parameter.is_none_or(|parameter| (parameter.parse)(value.clone()).is_ok())
            };
            let as_text = Value::from(text);
            let value = match serde_json::from_str(text) {
                Ok(value) if fits(&value) || !fits(&as_text) => value,
                Ok(_) | Err(_) => as_text,
            };
            Ok((name.to_owned(), value))
        };
        pairs.iter().map(read).collect()
    }

    /// Reads parameters from outside; an error names the parameter and says what is wrong with it.
    pub(crate) fn parse(&self, values: &Map<String, Value>) -> Result<Inputs, String> {
        let known = |name: &String| {
            self.parameters
                .iter()
                .any(|parameter| parameter.name == name)
        };
        if let Some(unknown) = values.keys().find(|name| !known(name)) {
            let names: Vec<_> = self
                .parameters
                .iter()
                .map(|parameter| parameter.name)
                .collect();
            let list = match names.is_empty() {
                true => "it takes none".to_owned(),
                false => format!("it takes {}", names.join(", ")),
            };
            return Err(format!(
                "flow `{}` has no parameter `{unknown}`; {list}",
                self.name()
            ));
        }
        let mut inputs = Inputs(Default::default());
        for parameter in self.parameters {
            let value = values
                .get(parameter.name)
                .cloned()
                .or_else(|| parameter.absent());
            let value = value.ok_or_else(|| {
                format!(
                    "parameter `{}` of flow `{}` is missing",
                    parameter.name,
                    self.name()
                )
            })?;
            let value = (parameter.parse)(value).map_err(|reason| {
                format!(
                    "parameter `{}` of flow `{}` is not valid: {reason}",
                    parameter.name,
                    self.name()
                )
            })?;
            inputs.0.push_back(value);
        }
        Ok(inputs)
    }
}

/// A call whose type the caller knows.
pub(crate) struct FlowCallInner {
    pub(crate) definition: &'static FlowDefinition,
    pub(crate) options: Arc<FlowOptions>,
    pub(crate) run_name: Option<String>,
    pub(crate) inputs: Vec<Input>,
    pub(crate) wait_for: Vec<Arc<Handle>>,
}

/// A call of a flow that has not begun.
///
/// Within a flow it makes a subflow run. From a plain function, [`run`](Self::run) waits for it.
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

impl<T: TaskOutput> FlowCall<T> {
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
        upstream.handles(&mut self.call.wait_for);
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

impl<T: TaskOutput> IntoFuture for FlowCall<T> {
    type Output = Result<T, RunError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let run = flow_runs::run(self.call);
        Box::pin(async { run.await.map(|(value, _)| value::take(value)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prelude::*;

    #[flow]
    async fn typed(name: String, #[default(3)] days: u32, tags: Option<Vec<String>>) {
        drop((name, days, tags));
    }

    #[test]
    fn what_is_typed_is_read_as_what_the_parameter_takes() {
        let read = |pairs: &[&str]| {
            let pairs: Vec<_> = pairs.iter().map(|pair| (*pair).to_owned()).collect();
            let values = typed::definition().typed(&pairs)?;
            typed::definition().parse(&values)?;
            Ok::<_, String>(Value::Object(values).to_string())
        };
        for (pairs, values) in [
            (&["name=x", "days=4"][..], r#"{"name":"x","days":4}"#),
            (&["name=007"], r#"{"name":"007"}"#),
            (&["name=true"], r#"{"name":"true"}"#),
            (&["name=\"a\""], r#"{"name":"a"}"#),
            (
                &["name=a=b", "tags=[\"1\"]"],
                r#"{"name":"a=b","tags":["1"]}"#,
            ),
        ] {
            assert_eq!(read(pairs).as_deref(), Ok(values));
        }
        let wrong = read(&["name=x", "days=soon"]).unwrap_err();
        assert!(
            wrong.contains("parameter `days` of flow `typed` is not valid"),
            "{wrong}"
        );
        assert_eq!(read(&["name"]).unwrap_err(), "`name` is not NAME=VALUE");
    }
}

//! Parameters of flows: values from outside, described by a schema, read with words about what is wrong with them.

use std::sync::Arc;

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::value::{self, Inputs, Shared, Taken, TaskInput};

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

/// Writes the default of a parameter that an expression of its own type gives.
#[doc(hidden)]
pub fn default_of<T: TaskInput>(value: T) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

/// Returns the JSON schema of parameters, in the shape that the dashboard makes a form of.
pub(crate) fn schema(parameters: &[Parameter]) -> Value {
    let settings = SchemaSettings::draft07().with(|settings| {
        settings.definitions_path = "/definitions".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (position, parameter) in parameters.iter().enumerate() {
        let mut property = (parameter.schema)(&mut generator).to_value();
        // Anything at all, as a `serde_json::Value` is; it still has a name and a place.
        if property == Value::Bool(true) {
            property = json!({});
        }
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
pub(crate) fn typed(
    parameters: &[Parameter],
    pairs: &[String],
) -> Result<Map<String, Value>, String> {
    let read = |pair: &String| {
        let (name, text) = pair
            .split_once('=')
            .ok_or_else(|| format!("`{pair}` is not NAME=VALUE"))?;
        let parameter = parameters.iter().find(|known| known.name == name);
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

/// Reads parameters of a flow; an error names the parameter and says what is wrong with it.
pub(crate) fn read(
    parameters: &[Parameter],
    flow: &str,
    values: &Map<String, Value>,
) -> Result<Inputs, String> {
    let known = |name: &String| parameters.iter().any(|parameter| parameter.name == name);
    if let Some(unknown) = values.keys().find(|name| !known(name)) {
        let names: Vec<_> = parameters.iter().map(|parameter| parameter.name).collect();
        let list = match names.is_empty() {
            true => "it takes none".to_owned(),
            false => format!("it takes {}", names.join(", ")),
        };
        return Err(format!(
            "flow `{flow}` has no parameter `{unknown}`; {list}"
        ));
    }
    let mut inputs = Inputs(Default::default());
    for parameter in parameters {
        let name = parameter.name;
        let given = values.get(name).cloned();
        let value = given
            .or_else(|| parameter.absent())
            .ok_or_else(|| format!("parameter `{name}` of flow `{flow}` is missing"))?;
        let value = (parameter.parse)(value).map_err(|reason| {
            format!("parameter `{name}` of flow `{flow}` is not valid: {reason}")
        })?;
        inputs.0.push_back(value);
    }
    Ok(inputs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prelude::*;
    use crate::sdk::Flow;

    #[flow]
    async fn typed(name: String, #[default(3)] days: u32, tags: Option<Vec<String>>) {
        drop((name, days, tags));
    }

    #[flow]
    async fn untyped(name: String, value: Value) {
        drop((name, value));
    }

    #[test]
    fn a_parameter_that_takes_anything_has_a_name_and_a_place() {
        let schema = untyped::definition().schema();
        assert_eq!(
            schema["properties"]["value"],
            json!({"title": "value", "position": 1, "default": null})
        );
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

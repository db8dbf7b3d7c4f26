//! The arguments of a call as JSON: what cache keys and names of runs are made of.

use std::collections::VecDeque;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::value::{self, Shared};

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

/// Returns values as JSON under the names of their arguments, and why one of them cannot be written so.
///
/// It is null then. What JSON has no words for is found out here alone, such as keys that are no texts.
pub(crate) fn json_of<'a>(
    names: impl IntoIterator<Item = &'static str>,
    values: impl IntoIterator<Item = &'a Shared>,
) -> (Map<String, Value>, Option<String>) {
    let mut unwritable = None;
    let mut json = Map::new();
    for (name, value) in names.into_iter().zip(values) {
        let written = value::to_json(value).and_then(|json| serde_json::from_slice(&json));
        let value = written.unwrap_or_else(|error| {
            unwritable.get_or_insert_with(|| {
                format!("argument `{name}` cannot be written as JSON: {error}")
            });
            Value::Null
        });
        json.insert(name.to_owned(), value);
    }
    (json, unwritable)
}

/// Says which argument has a number that JSON writes as null, as it writes others.
pub(crate) fn not_finite(names: &[&str], values: &VecDeque<Shared>) -> Option<String> {
    let mut checked = names.iter().zip(values);
    checked.find_map(|(name, value)| {
        let error = value.check().err()?;
        Some(format!(
            "argument `{name}` cannot be written as JSON: {error}"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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

//! The variables of a run's job: those of its deployment, and over them its own.

use serde_json::{Map, Value, json};

/// The variables of a run, over those of its deployment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Variables(pub(super) Map<String, Value>);

impl Variables {
    /// Puts those of the run over those of its deployment; of the environment, variable by variable.
    pub fn of(deployment: &Map<String, Value>, run: &Map<String, Value>) -> Self {
        let mut all = deployment.clone();
        for (name, value) in run {
            match (all.get_mut(name), value) {
                (Some(Value::Object(own)), Value::Object(over)) if name == "env" => {
                    own.extend(over.clone());
                }
                _ => {
                    all.insert(name.clone(), value.clone());
                }
            }
        }
        Variables(nested(all))
    }
}

/// Makes `env.NAME` a member of `env`; what is written as an object goes over what is written so.
fn nested(flat: Map<String, Value>) -> Map<String, Value> {
    let (dotted, whole): (Vec<_>, Vec<_>) =
        flat.into_iter().partition(|(name, _)| name.contains('.'));
    let mut all = Map::new();
    for (path, value) in dotted {
        let mut place = &mut all;
        let mut names = path.split('.').peekable();
        while let Some(name) = names.next() {
            if names.peek().is_none() {
                place.insert(name.to_owned(), value);
                break;
            }
            let inner = place.entry(name).or_insert_with(|| json!({}));
            if !inner.is_object() {
                *inner = json!({});
            }
            place = inner.as_object_mut().expect("it was made an object");
        }
    }
    for (name, value) in whole {
        match (all.get_mut(&name), value) {
            (Some(Value::Object(own)), Value::Object(over)) => own.extend(over),
            (_, value) => {
                all.insert(name, value);
            }
        }
    }
    all
}

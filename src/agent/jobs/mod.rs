//! Jobs: from a work pool's template and a run's variables to what the run's process is given.
//!
//! The template is its pool owner's. Variables have defaults there, over which go those of the
//! deployment and of the run. A value may name blocks and variables of the server; these are read
//! when a run starts, since they may change at any time. Everything but that reading is pure.

mod placeholders;
mod references;
mod variables;
mod words;

use serde_json::{Map, Value, json};

use crate::client::{self, Client};
use placeholders::{Found, at, fill, written};
pub use variables::Variables;
use words::words;

/// What a process is given.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Job {
    /// What is run instead of the flow's own start.
    pub command: Option<Vec<String>>,
    /// Variables of its environment.
    pub env: Vec<(String, String)>,
    /// Where it starts; a folder of its own otherwise.
    pub working_dir: Option<String>,
    /// Whether the worker prints what it prints.
    pub streams_output: bool,
    /// The environment of its interpreter, if the variables name one: `virtualenv` or `condaenv`.
    pub interpreter: Map<String, Value>,
}

/// Why there is no job.
#[derive(Debug)]
pub enum Error {
    /// It cannot be made; a sentence for the run's final state.
    Wrong(String),
    /// The server is away.
    Away(client::Error),
}

/// Makes a job of a template and variables.
pub async fn resolve(
    client: &Client,
    template: &Value,
    variables: &Variables,
) -> Result<Job, Error> {
    let configuration = configuration(template, variables, &|name| std::env::var(name).ok());
    let configuration = references::read(client, configuration).await?;
    job(&configuration, variables).map_err(Error::Wrong)
}

/// Returns the template of a block that describes processes, over which variables go.
pub fn template_of_block(block: &Value) -> Value {
    let members = block.as_object().into_iter().flatten();
    let names = ["command", "env", "working_dir", "stream_output"];
    let defaults = members
        .filter(|(name, value)| names.contains(&name.as_str()) && !value.is_null())
        .map(|(name, value)| (name.clone(), json!({"default": value})));
    let defaults: Map<String, Value> = defaults.collect();
    json!({"variables": {"properties": defaults}})
}

/// Puts variables into the template, all but the values that only the server knows.
fn configuration(
    template: &Value,
    variables: &Variables,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Value {
    let defaults = template["variables"]["properties"].as_object();
    let mut values: Map<String, Value> = defaults
        .into_iter()
        .flatten()
        .filter(|(_, property)| !property["default"].is_null())
        .map(|(name, property)| (name.clone(), property["default"].clone()))
        .collect();
    let mut base = match template["job_configuration"].as_object() {
        Some(configuration) if !configuration.is_empty() => configuration.clone(),
        // A pool that was made without a template still runs flows.
        _ => crate::schemas::work_pools::process_template()["job_configuration"]
            .as_object()
            .cloned()
            .unwrap_or_default(),
    };
    // Defaults of the environment hold besides what a deployment gives, not instead of it.
    if let Some(Value::Object(env)) = values.get("env").cloned() {
        extend_env(&mut base, env);
    }
    values.extend(variables.0.clone());
    if base.get("env").is_some_and(Value::is_object)
        && let Some(Value::Object(env)) = values.get("env").cloned()
    {
        extend_env(&mut base, env);
    }
    let lookup = |name: &str| {
        if references::is_of_server(name) {
            return Found::Later;
        }
        let found = match name.strip_prefix('$') {
            Some(name) => environment(name).map(Value::String),
            None => at(&Value::Object(values.clone()), name).cloned(),
        };
        found.map_or(Found::Nothing, Found::Value)
    };
    fill(&Value::Object(base), &lookup).unwrap_or_default()
}

fn extend_env(base: &mut Map<String, Value>, env: Map<String, Value>) {
    match base.get_mut("env") {
        Some(Value::Object(own)) => own.extend(env),
        _ => {
            base.insert("env".to_owned(), Value::Object(env));
        }
    }
}

fn job(configuration: &Value, variables: &Variables) -> Result<Job, String> {
    let command = match &configuration["command"] {
        Value::Null => None,
        Value::String(line) => Some(words(line)?),
        Value::Array(words) => Some(words.iter().map(written).collect()),
        other => {
            return Err(format!(
                "The job's `command` is {other}, which is no command."
            ));
        }
    };
    let env = match &configuration["env"] {
        Value::Null => Vec::new(),
        Value::Object(env) => env
            .iter()
            // What has no value is left as the worker has it.
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name.clone(), written(value)))
            .collect(),
        other => {
            return Err(format!(
                "The job's `env` is {other}, not an object of variables."
            ));
        }
    };
    let text = |name: &str| configuration[name].as_str().filter(|text| !text.is_empty());
    let streams_output = match &configuration["stream_output"] {
        Value::Bool(streams) => *streams,
        Value::String(text) => {
            !matches!(text.to_lowercase().as_str(), "false" | "0" | "no" | "off")
        }
        _ => true,
    };
    let interpreter = ["virtualenv", "condaenv"].iter().filter_map(|name| {
        let value = variables.0.get(*name)?;
        Some(((*name).to_owned(), value.clone()))
    });
    Ok(Job {
        command: command.filter(|words| !words.is_empty()),
        env,
        working_dir: text("working_dir").map(str::to_owned),
        streams_output,
        interpreter: interpreter.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schemas::work_pools::process_template;
    use references::{collect, in_place, inside_of};
    use std::collections::BTreeMap;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().cloned().expect("an object")
    }

    fn made(template: &Value, deployment: Value, run: Value) -> Result<Job, String> {
        let variables = Variables::of(&object(deployment), &object(run));
        let home = |name: &str| (name == "HOME").then(|| "/home/a".to_owned());
        job(&configuration(template, &variables, &home), &variables)
    }

    fn env(job: &Job) -> String {
        let pairs = job
            .env
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn variables_go_from_the_template_to_the_deployment_to_the_run() {
        let template = process_template();
        let bare = made(&template, json!({}), json!({})).unwrap();
        assert_eq!(
            bare,
            Job {
                streams_output: true,
                ..Job::default()
            }
        );
        let deployment = json!({
            "env": {"A": "deployment", "B": 1, "NO": null}, "env.C": true, "working_dir": "/srv",
            "stream_output": false, "virtualenv": "/venv",
        });
        let run = json!({"env": {"A": "run"}, "command": "python -m 'my flow' \"a\\\"b\" c\\ d"});
        let job = made(&template, deployment, run).unwrap();
        assert_eq!(env(&job), "C=True A=run B=1");
        assert_eq!(
            job.command.unwrap(),
            ["python", "-m", "my flow", "a\"b", "c d"]
        );
        assert_eq!(job.working_dir.as_deref(), Some("/srv"));
        assert!(!job.streams_output);
        assert_eq!(job.interpreter["virtualenv"], "/venv");
    }

    #[test]
    fn a_template_of_ones_own_has_its_defaults_and_its_words() {
        let template = json!({
            "job_configuration": {
                "command": "{{ launcher }} {{ $HOME }}/run {{ gone }}{{ image.tags[1] }}",
                "env": {"FIXED": "1", "A": "template", "BOTH": "x-{{ level }}"},
                "working_dir": "{{ folder }}",
            },
            "variables": {"properties": {
                "env": {"default": {"A": "default"}}, "level": {"default": 3}, "folder": {"default": null},
            }},
        });
        let deployment =
            json!({"launcher": "nice", "image": {"tags": ["a", "b"]}, "env": {"D": "2"}});
        let job = made(&template, deployment, json!({})).unwrap();
        assert_eq!(env(&job), "FIXED=1 A=default BOTH=x-3 D=2");
        assert_eq!(job.command.unwrap(), ["nice", "/home/a/run", "b"]);
        assert_eq!(job.working_dir, None);
        assert_eq!(
            made(&json!({}), json!({"working_dir": "/w"}), json!({}))
                .unwrap()
                .working_dir
                .as_deref(),
            Some("/w")
        );
    }

    #[test]
    fn what_only_the_server_knows_is_asked_for_and_put_in_place() {
        let id = "11111111-2222-4333-8444-555555555555";
        let deployment = json!({
            "env": {
                "KEY": "{{ prefect.blocks.secret.key }}", "URL": "https://{{prefect.variables.host}}/x",
                "GONE": "{{ prefect.variables.gone }}", "TEXT": "{{ name }}",
            },
            "working_dir": {"$ref": {"block_document_id": id}},
        });
        let variables = Variables::of(&object(deployment), &Map::new());
        let open = configuration(&process_template(), &variables, &|_| None);
        let mut references = BTreeMap::new();
        collect(&open, &mut references);
        let names: Vec<_> = references.keys().cloned().collect();
        let expected = [
            id,
            "prefect.blocks.secret.key",
            "prefect.variables.gone",
            "prefect.variables.host",
        ];
        assert_eq!(names, expected);
        references.insert(id.into(), json!("/srv"));
        references.insert("prefect.blocks.secret.key".into(), json!("hunter2"));
        references.insert("prefect.variables.host".into(), json!("h"));
        let job = job(&in_place(open, &references), &variables).unwrap();
        assert_eq!(env(&job), "KEY=hunter2 URL=https://h/x TEXT={{ name }}");
        assert_eq!(job.working_dir.as_deref(), Some("/srv"));
    }

    #[test]
    fn a_block_that_wraps_a_value_stands_for_it() {
        let wrapped = json!({"value": {"a": [{"b": 7}]}});
        let found = |data: &Value, path: &str| inside_of(data, path).cloned();
        assert_eq!(found(&wrapped, ""), Some(wrapped["value"].clone()));
        assert_eq!(found(&wrapped, "a[0].b"), Some(json!(7)));
        assert_eq!(found(&wrapped, "value.a[0].b"), Some(json!(7)));
        assert_eq!(
            found(&json!({"user": "u", "value": 1}), "user"),
            Some(json!("u"))
        );
        assert_eq!(found(&wrapped, "a[1].b"), None);
    }

    #[rstest::rstest]
    #[case(json!({"command": "run 'it"}), "does not close")]
    #[case(json!({"command": 7}), "no command")]
    #[case(json!({"env": "A=b"}), "not an object")]
    fn a_wrong_variable_is_a_sentence(#[case] variables: Value, #[case] expected: &str) {
        let said = made(&process_template(), variables, json!({})).unwrap_err();
        assert!(said.contains(expected), "{said}");
    }
}

//! Jobs: from a work pool's template and a run's variables to what the run's process is given.
//!
//! The template is its pool owner's. Variables have defaults there, over which go those of the
//! deployment and of the run. A value may name blocks and variables of the server; these are read
//! when a run starts, since they may change at any time. Everything but that reading is pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::client::{self, Client, segment};

const BLOCKS: &str = "prefect.blocks.";
const VARIABLES: &str = "prefect.variables.";

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
    let mut references = BTreeMap::new();
    collect(&configuration, &mut references);
    for (reference, value) in &mut references {
        *value = fetch(client, reference).await?;
    }
    let configuration = in_place(configuration, &references);
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

/// The variables of a run, over those of its deployment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Variables(Map<String, Value>);

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
        if is_of_server(name) {
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

fn is_of_server(name: &str) -> bool {
    name.starts_with(BLOCKS) || name.starts_with(VARIABLES)
}

fn extend_env(base: &mut Map<String, Value>, env: Map<String, Value>) {
    match base.get_mut("env") {
        Some(Value::Object(own)) => own.extend(env),
        _ => {
            base.insert("env".to_owned(), Value::Object(env));
        }
    }
}

/// What a placeholder stands for.
enum Found {
    Value(Value),
    /// Nothing that is known.
    Nothing,
    /// What is asked for later.
    Later,
}

/// Replaces placeholders; nothing, if the whole of it is one that stands for nothing.
fn fill(template: &Value, lookup: &dyn Fn(&str) -> Found) -> Option<Value> {
    match template {
        Value::String(text) => fill_text(text, lookup),
        Value::Array(items) => Some(items.iter().filter_map(|item| fill(item, lookup)).collect()),
        Value::Object(members) => {
            let filled = members
                .iter()
                .filter_map(|(name, value)| Some((name.clone(), fill(value, lookup)?)));
            Some(Value::Object(filled.collect()))
        }
        other => Some(other.clone()),
    }
}

fn fill_text(text: &str, lookup: &dyn Fn(&str) -> Found) -> Option<Value> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, placeholder, after)) = next_placeholder(rest) {
        let found = lookup(placeholder.trim());
        let is_whole = rest.len() == text.len() && before.is_empty() && after.is_empty();
        match found {
            Found::Value(value) if is_whole => return Some(value),
            Found::Nothing if is_whole => return None,
            Found::Value(value) => {
                filled.push_str(before);
                filled.push_str(&written(&value));
            }
            Found::Nothing => filled.push_str(before),
            Found::Later => filled.push_str(&rest[..rest.len() - after.len()]),
        }
        rest = after;
    }
    filled.push_str(rest);
    Some(Value::String(filled))
}

/// Returns what is before the next placeholder, what stands in it, and what is behind it.
fn next_placeholder(text: &str) -> Option<(&str, &str, &str)> {
    let is_part = |c: char| c.is_alphanumeric() || "_.-[]$".contains(c);
    let mut from = 0;
    loop {
        let open = from + text[from..].find("{{")?;
        let close = open + text[open..].find("}}")?;
        let inside = &text[open + 2..close];
        if !inside.trim().is_empty() && inside.trim().chars().all(is_part) {
            return Some((&text[..open], inside, &text[close + 2..]));
        }
        from = open + 2;
    }
}

/// Returns the block that an object stands for: `{"$ref": {"block_document_id": …}}`.
fn reference(value: &Value) -> Option<Uuid> {
    let members = value.as_object().filter(|members| members.len() == 1)?;
    let reference = members.get("$ref")?;
    let id = match reference {
        Value::String(id) => id,
        reference => reference["block_document_id"].as_str()?,
    };
    id.parse().ok()
}

/// Notes what is still to be asked for.
fn collect(value: &Value, references: &mut BTreeMap<String, Value>) {
    if let Some(id) = reference(value) {
        references.insert(id.to_string(), Value::Null);
        return;
    }
    match value {
        Value::String(text) => {
            let mut rest = text.as_str();
            while let Some((_, name, after)) = next_placeholder(rest) {
                if is_of_server(name.trim()) {
                    references.insert(name.trim().to_owned(), Value::Null);
                }
                rest = after;
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, references)),
        Value::Object(members) => members
            .values()
            .for_each(|value| collect(value, references)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Asks the server for what a name means.
async fn fetch(client: &Client, name: &str) -> Result<Value, Error> {
    let cannot = |failure: client::Error| match failure.status() {
        Some(status) if status.is_client_error() => Error::Wrong(format!(
            "The job's `{name}` could not be read from the server: {failure}"
        )),
        _ => Error::Away(failure),
    };
    if let Some(variable) = name.strip_prefix(VARIABLES) {
        let found = Client::optional(client.read_variable(variable).await).map_err(cannot)?;
        return Ok(found.map_or(Value::Null, |variable| variable.value.clone()));
    }
    let (path, inside) = match name.strip_prefix(BLOCKS) {
        None => (
            format!("/block_documents/{name}?include_secrets=true"),
            None,
        ),
        Some(block) => {
            let mut parts = block.splitn(3, '.');
            let (Some(slug), Some(block)) = (parts.next(), parts.next()) else {
                return Err(Error::Wrong(format!(
                    "The job's `{name}` names no block; write `{BLOCKS}<type>.<name>`."
                )));
            };
            let path = format!(
                "/block_types/slug/{}/block_documents/name/{}?include_secrets=true",
                segment(slug),
                segment(block)
            );
            (path, Some(parts.next().unwrap_or_default()))
        }
    };
    let document = Client::optional(client.get::<Value>(&path).await).map_err(cannot)?;
    let document = document.ok_or_else(|| {
        Error::Wrong(format!("The job needs `{name}`, and there is no such block; create it, or change the pool's template or the job variables."))
    })?;
    let data = document["data"].clone();
    match inside {
        None => Ok(data),
        Some(inside) => inside_of(&data, inside).cloned().ok_or_else(|| {
            Error::Wrong(format!(
                "The job's `{name}` is not in that block; look with `prefect-rs block inspect`."
            ))
        }),
    }
}

/// Returns what a path means in a block; of one that only wraps a value, the value is meant.
fn inside_of<'a>(data: &'a Value, path: &str) -> Option<&'a Value> {
    let wraps = data
        .as_object()
        .is_some_and(|data| data.len() == 1 && data.contains_key("value"));
    let is_of_value = path == "value" || path.starts_with("value.") || path.starts_with("value[");
    let data = if wraps && !is_of_value {
        &data["value"]
    } else {
        data
    };
    if path.is_empty() {
        Some(data)
    } else {
        at(data, path)
    }
}

/// Puts in place what was asked for.
fn in_place(value: Value, references: &BTreeMap<String, Value>) -> Value {
    if let Some(id) = reference(&value) {
        return references.get(&id.to_string()).cloned().unwrap_or_default();
    }
    let lookup = |name: &str| match references.get(name) {
        // A variable's own text may look like a placeholder.
        None => Found::Later,
        Some(Value::Null) => Found::Nothing,
        Some(value) => Found::Value(value.clone()),
    };
    match value {
        Value::Object(members) => Value::Object(
            members
                .into_iter()
                .map(|(name, value)| (name, in_place(value, references)))
                .collect(),
        ),
        Value::Array(items) => items
            .into_iter()
            .map(|item| in_place(item, references))
            .collect(),
        value => fill(&value, &lookup).unwrap_or_default(),
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

/// Returns what a path such as `target.hosts[0].name` means in a value.
fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(value, |value, part| {
        let (name, indices) = part.split_at(part.find('[').unwrap_or(part.len()));
        let value = if name.is_empty() {
            value
        } else {
            value.get(name)?
        };
        let mut indices = indices.split(['[', ']']).filter(|index| !index.is_empty());
        indices.try_fold(value, |value, index| {
            value.get(index.parse::<usize>().ok()?)
        })
    })
}

/// Returns text as it is, truth as Python writes it, and everything else as JSON.
fn written(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        other => other.to_string(),
    }
}

/// Splits a command line as a shell does, without expanding anything.
fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(open), letter) if letter == open => quote = None,
            (Some('"') | None, '\\') => {
                let escaped = letters.next().unwrap_or('\\');
                // Between double quotes a backslash is one, except before what it can protect.
                if quote.is_some() && !matches!(escaped, '"' | '\\' | '$' | '`') {
                    word.get_or_insert_default().push('\\');
                }
                word.get_or_insert_default().push(escaped);
            }
            (Some(_), letter) => word.get_or_insert_default().push(letter),
            (None, '"' | '\'') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, letter) if letter.is_whitespace() => words.extend(word.take()),
            (None, letter) => word.get_or_insert_default().push(letter),
        }
    }
    if quote.is_some() {
        return Err(format!(
            "The job's command `{line}` opens a quote that it does not close."
        ));
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schemas::work_pools::process_template;

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

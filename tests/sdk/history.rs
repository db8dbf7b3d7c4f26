//! A session of its own for each test, and what it recorded as text.

use std::collections::HashMap;

use prefect_rs::sdk::Session;
use serde_json::{Value, json};

/// A session on a new database.
pub struct History {
    /// Runs flows.
    pub session: Session,
    _home: tempfile::TempDir,
}

impl History {
    pub async fn new() -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        let session = Session::local(home.path()).await.expect("a new database");
        Self {
            session,
            _home: home,
        }
    }

    /// Looks at the API of a session, whose home goes with it.
    pub fn of(session: Session, home: tempfile::TempDir) -> Self {
        Self {
            session,
            _home: home,
        }
    }

    async fn filter(&self, noun: &str, body: Value) -> Vec<Value> {
        let client = self.session.client();
        client
            .post(&format!("/{noun}/filter"), &body)
            .await
            .expect("the local API answers")
    }

    /// Returns the task runs by name.
    pub async fn task_runs(&self) -> Vec<Value> {
        self.filter("task_runs", json!({"sort": "NAME_ASC"})).await
    }

    /// Returns the flow runs, oldest first.
    pub async fn flow_runs(&self) -> Vec<Value> {
        self.filter("flow_runs", json!({"sort": "EXPECTED_START_TIME_ASC"}))
            .await
    }

    /// Returns the logs, oldest first.
    pub async fn logs(&self) -> Vec<Value> {
        self.filter("logs", json!({"sort": "TIMESTAMP_ASC"})).await
    }

    /// Returns the states that each task run went through: `name: Pending Running Completed`.
    pub async fn states(&self) -> String {
        let mut lines = Vec::new();
        for run in self.task_runs().await {
            let id = run["id"].as_str().expect("an id");
            let path = format!("/task_run_states/?task_run_id={id}");
            let mut states: Vec<Value> =
                self.session.client().get(&path).await.expect("the states");
            states.sort_by_key(|state| state["timestamp"].as_str().map(str::to_owned));
            let names: Vec<_> = states
                .iter()
                .filter_map(|state| state["name"].as_str())
                .collect();
            lines.push(format!(
                "{}: {}",
                run["name"].as_str().unwrap_or("?"),
                names.join(" ")
            ));
        }
        lines.join("\n")
    }

    /// Returns whose results went into which task run: `sum-0: numbers <- one-0 two-0`.
    pub async fn links(&self) -> String {
        let runs = self.task_runs().await;
        let names: HashMap<_, _> = runs
            .iter()
            .map(|run| (run["id"].clone(), run["name"].clone()))
            .collect();
        let mut lines = Vec::new();
        for run in &runs {
            let inputs = run["task_inputs"].as_object().expect("an object");
            for (argument, sources) in inputs {
                let sources: Vec<_> = sources
                    .as_array()
                    .expect("a list")
                    .iter()
                    .filter_map(|source| names.get(&source["id"])?.as_str())
                    .collect();
                if !sources.is_empty() {
                    let name = run["name"].as_str().unwrap_or("?");
                    lines.push(format!("{name}: {argument} <- {}", sources.join(" ")));
                }
            }
        }
        lines.join("\n")
    }
}

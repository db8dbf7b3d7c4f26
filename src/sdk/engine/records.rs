//! Task runs on their way to a server of this project: each is said once a batch, then its states.
//!
//! Most runs enter all their states before their batch is sent, so a run costs one entry, one row and its states' rows. An
//! entry says all there is to say of its run, so the server may take batches in any order.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::outbox::Gathered;
use super::recorder::{DetailsJson, Policy, StateRecord, TaskRecord, time};
use crate::sdk::links::Links;

/// The task runs of one batch.
#[derive(Default)]
pub(crate) struct Records {
    entries: Vec<Entry>,
    /// Where the entry of a run is, as long as it has this name.
    places: HashMap<(Uuid, bool), usize>,
    bytes: usize,
}

/// A run in some of its states.
struct Entry {
    /// An object as far as its last state.
    text: Vec<u8>,
    progress: Progress,
}

/// What changes with the states of a run.
#[derive(Clone, Copy)]
struct Progress {
    run_count: u32,
    start_time: Option<DateTime<Utc>>,
    end_time: Option<DateTime<Utc>>,
    total_run_time: TimeDelta,
}

#[derive(Serialize)]
struct HeadJson<'a> {
    id: Uuid,
    flow_run_id: Uuid,
    name: &'a str,
    task_key: &'a str,
    dynamic_key: &'a str,
    empirical_policy: &'a Policy,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    tags: &'a [String],
    task_inputs: &'a Links,
    flow_run_run_count: u32,
    expected_start_time: String,
}

#[derive(Serialize)]
struct StateJson<'a> {
    id: Uuid,
    r#type: &'static str,
    name: &'a str,
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "DetailsJson::is_empty")]
    state_details: DetailsJson<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Value>,
}

#[derive(Serialize)]
struct ProgressJson {
    run_count: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<String>,
    total_run_time: f64,
}

/// About what an entry takes beside its text; also what stands behind its last state.
const BESIDE: usize = 256;

fn write(text: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(text, value).expect("texts, numbers and ids are JSON");
}

impl Records {
    /// Takes the present state of a run.
    pub(crate) fn add(&mut self, run: &TaskRecord) {
        let key = (run.id, run.is_renamed);
        let place = *self.places.entry(key).or_insert(self.entries.len());
        if place == self.entries.len() {
            self.entries.push(Entry::open(run));
            self.bytes += BESIDE;
        } else {
            self.bytes -= self.entries[place].text.len();
        }
        let entry = &mut self.entries[place];
        entry.add(run);
        self.bytes += entry.text.len();
    }
}

impl Gathered for Records {
    fn entries(&self) -> usize {
        self.entries.len()
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn into_body(self) -> Vec<u8> {
        let mut body = Vec::with_capacity(self.bytes);
        body.push(b'[');
        for entry in self.entries {
            if body.len() > 1 {
                body.push(b',');
            }
            entry.close(&mut body);
        }
        body.push(b']');
        body
    }
}

impl Entry {
    fn open(run: &TaskRecord) -> Self {
        let mut text = Vec::with_capacity(1024);
        let head = HeadJson {
            id: run.id,
            flow_run_id: run.flow_run_id,
            name: &run.name,
            task_key: run.task_key,
            dynamic_key: &run.dynamic_key,
            empirical_policy: &run.policy,
            tags: &run.tags,
            task_inputs: &run.links,
            flow_run_run_count: run.flow_run_run_count,
            expected_start_time: time(run.expected_start_time),
        };
        write(&mut text, &head);
        // The object goes on behind its last member.
        text.pop();
        text.extend_from_slice(b",\"states\":[");
        Self {
            text,
            progress: Progress::of(run),
        }
    }

    fn add(&mut self, run: &TaskRecord) {
        if !self.text.ends_with(b"[") {
            self.text.push(b',');
        }
        write(&mut self.text, &StateJson::of(&run.state));
        self.progress = Progress::of(run);
    }

    fn close(self, body: &mut Vec<u8>) {
        let Progress {
            run_count,
            start_time,
            end_time,
            total_run_time,
        } = self.progress;
        body.extend_from_slice(&self.text);
        body.push(b']');
        let progress = ProgressJson {
            run_count,
            start_time: start_time.map(time),
            end_time: end_time.map(time),
            total_run_time: total_run_time.as_seconds_f64(),
        };
        let behind = body.len();
        write(body, &progress);
        // Its members are the last ones of the run.
        body[behind] = b',';
    }
}

impl Progress {
    fn of(run: &TaskRecord) -> Self {
        Self {
            run_count: run.run_count,
            start_time: run.start_time,
            end_time: run.end_time,
            total_run_time: run.total_run_time,
        }
    }
}

impl<'a> StateJson<'a> {
    fn of(state: &'a StateRecord) -> Self {
        Self {
            id: state.id,
            r#type: state.state_type.as_str(),
            name: &state.name,
            timestamp: time(state.timestamp),
            message: state.message.as_deref(),
            state_details: DetailsJson::of(state),
            data: state.data.as_ref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::recorder::tests::record;
    use super::*;
    use crate::sdk::outcome::StateType;

    #[test]
    fn a_run_is_said_once_with_all_its_states() {
        let mut run = record();
        let mut records = Records::default();
        records.add(&run);
        run.state = StateRecord {
            id: Uuid::max(),
            message: Some("a \"quoted\" end".into()),
            data: Some(serde_json::json!({"storage_key": "k"})),
            ..StateRecord::new(StateType::Completed, DateTime::UNIX_EPOCH)
        };
        run.end_time = Some(DateTime::UNIX_EPOCH);
        records.add(&run);
        assert_eq!(records.entries(), 1);
        let body: Value = serde_json::from_slice(&records.into_body()).unwrap();
        insta::assert_json_snapshot!(body);
    }

    #[test]
    fn a_run_that_is_named_anew_is_said_again() {
        let mut run = record();
        let mut records = Records::default();
        records.add(&run);
        (run.name, run.is_renamed) = ("load Oslo".into(), true);
        records.add(&run);
        let body: Value = serde_json::from_slice(&records.into_body()).unwrap();
        let names: Vec<&Value> = body
            .as_array()
            .unwrap()
            .iter()
            .map(|run| &run["name"])
            .collect();
        assert_eq!(names, ["load-0", "load Oslo"]);
    }
}

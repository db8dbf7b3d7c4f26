//! What must exist on the server before a measurement: a flow, a running flow run, a polled queue.
//!
//! Names carry a random part, so that two measurements of one server do not meet, and so that
//! nothing of a user's is touched.

use std::time::Duration;

use chrono::TimeDelta;
use hyper::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Error;
use super::connection::{Answer, Connection};
use super::contract::{self, Generation};
use super::units::{Created, Unit};
use crate::clock::SharedClock;

/// How often a set-up is tried again that the server put off. Only measured requests must succeed at
/// once: a genuine server may still be busy with the measurement before.
const SET_UP_RETRIES: usize = 40;

/// The wait between two tries.
const SET_UP_PAUSE: Duration = Duration::from_millis(250);

/// The rows that all clients of one measurement share.
#[derive(Debug, Clone)]
pub(super) struct Fixture {
    /// The flow that every run belongs to.
    pub(super) flow: Uuid,
    /// A queue whose runs are an hour away, where one is polled.
    pub(super) queue: Option<Uuid>,
    /// How far back `history` looks.
    pub(super) history: Duration,
}

impl Fixture {
    /// Makes the rows that `unit` needs.
    pub(super) async fn create(
        connection: &mut Connection,
        generation: Generation,
        unit: Unit,
        history: Duration,
        clock: &SharedClock,
    ) -> Result<Self, Error> {
        let name = format!("bench-{}", Uuid::new_v4().simple());
        let flow = create(connection, "/flows/", &json!({"name": name})).await?;
        let queue = match unit {
            Unit::Poll => Some(polled_queue(connection, generation, &name, flow, clock).await?),
            _ => None,
        };
        Ok(Self {
            flow,
            queue,
            history,
        })
    }
}

/// Makes a queue, and a deployment with three runs that are an hour away.
async fn polled_queue(
    connection: &mut Connection,
    generation: Generation,
    name: &str,
    flow: Uuid,
    clock: &SharedClock,
) -> Result<Uuid, Error> {
    let queue = create(connection, "/work_queues/", &generation.work_queue(name)).await?;
    let deployment = generation.deployment(name, flow, name);
    let deployment = create(connection, "/deployments/", &deployment).await?;
    let later = contract::scheduled(clock.now() + TimeDelta::hours(1));
    for _ in 0..3 {
        let path = format!("/deployments/{deployment}/create_flow_run");
        create(connection, &path, &json!({"state": later})).await?;
    }
    Ok(queue)
}

/// Makes a flow run that is RUNNING, for task runs and logs to belong to.
pub(super) async fn running_flow_run(
    connection: &mut Connection,
    flow: Uuid,
) -> Result<Uuid, Error> {
    let body = json!({"flow_id": flow, "name": "bench", "state": contract::state("PENDING")});
    let id = create(connection, "/flow_runs/", &body).await?;
    let path = format!("/flow_runs/{id}/set_state");
    let body = json!({"state": contract::state("RUNNING")});
    ask(connection, Method::POST, &path, &body).await?;
    Ok(id)
}

/// Asks the server which version it is.
pub(super) async fn server_version(connection: &mut Connection) -> Result<String, Error> {
    let answer = ask(connection, Method::GET, "/admin/version", &Value::Null).await?;
    answer.json().ok_or_else(|| Error::Refused {
        path: "/admin/version".into(),
        status: answer.status,
        body: "not a version".into(),
    })
}

async fn create(connection: &mut Connection, path: &str, body: &Value) -> Result<Uuid, Error> {
    let answer = ask(connection, Method::POST, path, body).await?;
    let created: Option<Created> = answer.json();
    created
        .map(|created| created.id)
        .ok_or_else(|| refused(path, &answer))
}

async fn ask(
    connection: &mut Connection,
    method: Method,
    path: &str,
    body: &Value,
) -> Result<Answer, Error> {
    let bytes = if body.is_null() {
        Vec::new()
    } else {
        body.to_string().into_bytes()
    };
    for _ in 0..SET_UP_RETRIES {
        let answer = once(connection, &method, path, &bytes).await?;
        if answer.is_success() {
            return Ok(answer);
        }
        if !matches!(answer.status, 429 | 503) {
            return Err(refused(path, &answer));
        }
        tokio::time::sleep(SET_UP_PAUSE).await;
    }
    let answer = once(connection, &method, path, &bytes).await?;
    match answer.is_success() {
        true => Ok(answer),
        false => Err(refused(path, &answer)),
    }
}

async fn once(
    connection: &mut Connection,
    method: &Method,
    path: &str,
    body: &[u8],
) -> Result<Answer, Error> {
    connection
        .ask(method.clone(), path, body.to_vec())
        .await
        .map_err(|reason| Error::Unreachable {
            host: connection.host().to_owned(),
            reason,
        })
}

fn refused(path: &str, answer: &Answer) -> Error {
    Error::Refused {
        path: path.to_owned(),
        status: answer.status,
        body: String::from_utf8_lossy(&answer.body)
            .chars()
            .take(300)
            .collect(),
    }
}

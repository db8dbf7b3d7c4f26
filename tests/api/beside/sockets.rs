//! What becomes of sockets whose client does not keep to the protocol: asked of a genuine server, then
//! of ours.
//!
//! Only where the genuine server says why it closes; at a frame that is no JSON it breaks off.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::app::TestApp;

/// Longer than any answer takes on a machine that is busy compiling.
const PATIENCE: Duration = Duration::from_secs(60);

/// A way to go wrong, or right: where, with which subprotocol, what is sent, and how many frames are
/// waited for unless the socket is closed.
type Case = (&'static str, Option<&'static str>, Vec<Value>, usize);

fn cases() -> Vec<Case> {
    let auth = || json!({"type": "auth", "token": null});
    let hands = Some("prefect");
    let (into, out, logs) = ("/events/in", "/events/out", "/logs/out");
    let tasks = "/task_runs/subscriptions/scheduled";
    let pool = "/work_pools/channel/workers/connect";
    vec![
        (into, hands, vec![json!({"event": "x"})], 1),
        (into, hands, vec![auth()], 1),
        (out, None, vec![auth()], 1),
        (out, Some("graphql"), vec![auth()], 1),
        (out, hands, vec![json!({"type": "filter", "filter": {}})], 1),
        (out, hands, vec![json!({})], 1),
        (out, hands, vec![json!({"type": "auth"})], 1),
        (out, hands, vec![json!({"type": "auth", "token": "any"})], 1),
        (out, hands, vec![auth(), json!({"type": "other"})], 2),
        (logs, None, vec![auth()], 1),
        (
            logs,
            hands,
            vec![json!({"type": "filter", "filter": {}})],
            1,
        ),
        (logs, hands, vec![auth(), json!({"type": "other"})], 2),
        (tasks, None, vec![auth()], 1),
        (
            tasks,
            hands,
            vec![json!({"type": "subscribe", "keys": ["a"]})],
            1,
        ),
        (
            tasks,
            hands,
            vec![auth(), json!({"type": "other", "keys": ["a"]})],
            2,
        ),
        (
            tasks,
            hands,
            vec![auth(), json!({"type": "subscribe", "keys": ["a"]})],
            2,
        ),
        (
            tasks,
            hands,
            vec![auth(), json!({"type": "subscribe", "client_id": "c"})],
            2,
        ),
        (
            tasks,
            hands,
            vec![
                auth(),
                json!({"type": "subscribe", "keys": [], "client_id": "c"}),
            ],
            2,
        ),
        (pool, None, vec![auth()], 1),
        (pool, hands, vec![auth()], 1),
        (pool, hands, vec![json!({"type": "other"})], 1),
        (pool, hands, vec![auth(), json!({"type": "other"})], 2),
        (pool, hands, vec![auth(), json!("no object")], 2),
    ]
}

/// Goes each way on a server and returns what came of it.
pub async fn outcomes(api: &str) -> Vec<String> {
    let mut outcomes = Vec::new();
    for case in cases() {
        outcomes.push(outcome(api, &case).await);
    }
    outcomes
}

/// Returns where our server does otherwise.
pub async fn differences(app: &TestApp, genuine: &[String]) -> Vec<String> {
    if genuine.is_empty() {
        return Vec::new();
    }
    let address = app.listen().await;
    let ours = outcomes(&format!("ws://{address}/api")).await;
    let pairs = ours
        .iter()
        .zip(genuine)
        .filter(|(ours, theirs)| ours != theirs);
    pairs
        .map(|(ours, theirs)| format!("ours: {ours}\n  genuine: {theirs}"))
        .collect()
}

async fn outcome(api: &str, (path, protocol, frames, count): &Case) -> String {
    let mut told = vec![format!("{path} {protocol:?} {}", json!(frames))];
    let mut request = format!("{api}{path}")
        .into_client_request()
        .expect("an address");
    if let Some(protocol) = protocol {
        let protocol = protocol.parse().expect("a header");
        request
            .headers_mut()
            .insert("sec-websocket-protocol", protocol);
    }
    let mut socket = match connect_async(request).await {
        Ok((socket, _)) => socket,
        Err(Error::Http(response)) => {
            told.push(format!("refused with {}", response.status()));
            return told.join(" | ");
        }
        // The library does not go on without its subprotocol.
        Err(error) => {
            told.push(error.to_string());
            return told.join(" | ");
        }
    };
    for frame in frames {
        // The server may have closed already, which is read below.
        let _ = socket.send(Message::Text(frame.to_string().into())).await;
    }
    while told.len() <= *count {
        match timeout(PATIENCE, socket.next()).await.expect("no silence") {
            Some(Ok(Message::Text(text))) => told.push(text.to_string().replace(' ', "")),
            Some(Ok(Message::Close(Some(frame)))) => {
                told.push(format!(
                    "closed with {}: {}",
                    u16::from(frame.code),
                    frame.reason
                ));
                break;
            }
            Some(Ok(_)) => {}
            Some(Err(_)) | None => {
                told.push("broken off".to_owned());
                break;
            }
        }
    }
    told.join(" | ")
}

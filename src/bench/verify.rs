//! Reads back what the server said it had kept.
//!
//! Outside the measured span: it costs the server something, and must not be counted.

use std::collections::{BTreeMap, BTreeSet};

use hyper::Method;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::load::Client;
use super::units::Unit;

/// Runs read in one request: the default limit of every generation.
const PAGE: usize = 200;

/// How many kept things were found as they should be, and how many were not.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Verdict {
    pub(super) right: u64,
    pub(super) wrong: u64,
}

#[derive(Deserialize)]
struct Run {
    id: Uuid,
    state_type: Option<String>,
}

/// Reads back what `client` was told is kept.
pub(super) async fn read_back(client: &mut Client, unit: Unit) -> Verdict {
    let kept = std::mem::take(&mut client.kept);
    match unit {
        Unit::Create => runs(client, "flow_runs", kept, "PENDING").await,
        Unit::Lifecycle => runs(client, "flow_runs", kept, "COMPLETED").await,
        Unit::TaskRun => runs(client, "task_runs", kept, "COMPLETED").await,
        Unit::Log => lines(client).await,
        Unit::Poll | Unit::Filter | Unit::History => Verdict::default(),
    }
}

async fn runs(client: &mut Client, nouns: &str, kept: Vec<Uuid>, kind: &str) -> Verdict {
    let mut verdict = Verdict::default();
    let path = format!("/{nouns}/filter");
    for page in kept.chunks(PAGE) {
        let body = json!({nouns: {"id": {"any_": page}}, "limit": PAGE});
        let found: Vec<Run> = match client.ask(Method::POST, &path, Some(&body)).await {
            Ok(answer) => answer.json().unwrap_or_default(),
            Err(_) => Vec::new(),
        };
        let states: BTreeMap<Uuid, Option<String>> = found
            .into_iter()
            .map(|run| (run.id, run.state_type))
            .collect();
        let ids: BTreeSet<Uuid> = page.iter().copied().collect();
        let right = ids
            .iter()
            .filter(|id| matches!(states.get(id), Some(Some(found)) if found == kind))
            .count();
        verdict.right += right as u64;
        // An id handed out twice is wrong as well: two creates, one run.
        verdict.wrong += (page.len() - right) as u64;
    }
    verdict
}

/// Checks that exactly the sent lines exist, by asking for the last one and for one more.
async fn lines(client: &mut Client) -> Verdict {
    let sent = std::mem::take(&mut client.lines);
    if sent == 0 {
        return Verdict::default();
    }
    let last = count_from(client, sent - 1).await;
    if last == Some(1) {
        Verdict {
            right: sent,
            wrong: 0,
        }
    } else {
        Verdict {
            right: 0,
            wrong: sent,
        }
    }
}

async fn count_from(client: &mut Client, offset: u64) -> Option<usize> {
    let body = json!({
        "logs": {"flow_run_id": {"any_": [client.flow_run]}},
        "limit": 2,
        "offset": offset,
    });
    let answer = client
        .ask(Method::POST, "/logs/filter", Some(&body))
        .await
        .ok()?;
    let found: Vec<serde::de::IgnoredAny> = answer.json()?;
    Some(found.len())
}

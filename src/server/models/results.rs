//! Results of runs: what a state keeps of one, and the artifact that it becomes.
//!
//! The genuine servers of 2.20 and 3.8 make an artifact of the data of every state that they
//! orchestrate, also of one that a rule puts in place. Data that tells of a result nobody has
//! persisted is repeated in the answer and kept nowhere. What is recorded of task runs that were
//! carried out elsewhere makes none there, nor here.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::artifacts;
use super::events::lifecycle::Happened;
use crate::db::{Conn, Result, storable};
use crate::schemas::artifacts::ArtifactCreate;
use crate::schemas::{Document, State};
use crate::server::orchestration::RunId;

/// The data of a state, apart from the state.
#[derive(Debug, Default)]
pub(super) struct TakenApart {
    /// The artifact to keep.
    pub artifact: Option<ArtifactCreate>,
    /// What the answer repeats and nothing keeps.
    pub unpersisted: Option<Document>,
}

/// Leaves in a state what is kept of its data.
///
/// What 2.0b3 keeps results in becomes no artifact, which its server does not have.
pub(super) fn take_apart(state: &mut State) -> TakenApart {
    let Some(data) = state.data.take() else {
        return TakenApart::default();
    };
    if data.is_data_document() {
        state.data = Some(data);
        return TakenApart::default();
    }
    let mut artifact = ArtifactCreate::default();
    let kept = match data.read::<Map<String, Value>>() {
        Ok(members)
            if members
                .get("type")
                .is_some_and(|kind| kind == "unpersisted") =>
        {
            return TakenApart {
                unpersisted: Some(data),
                artifact: None,
            };
        }
        Ok(mut members) if data.get().contains("\"artifact_") => {
            artifact.key = take_text(&mut members, "artifact_key");
            artifact.artifact_type = take_text(&mut members, "artifact_type");
            artifact.description = take_text(&mut members, "artifact_description");
            Document::of(&members).unwrap_or(data)
        }
        _ => data,
    };
    artifact.data = Some(kept.clone());
    state.data = Some(kept);
    TakenApart {
        artifact: Some(artifact),
        unpersisted: None,
    }
}

/// Takes a member out; one that is no text stays where it is.
fn take_text(members: &mut Map<String, Value>, key: &str) -> Option<String> {
    match members.shift_remove(key)? {
        Value::String(text) => Some(storable(text)).filter(|text| !text.is_empty()),
        Value::Null => None,
        other => {
            members.insert(key.to_owned(), other);
            None
        }
    }
}

/// Keeps a result as an artifact of its run.
pub(super) async fn keep(
    conn: &mut Conn,
    run: RunId,
    artifact: Option<ArtifactCreate>,
    now: DateTime<Utc>,
) -> Result<()> {
    let Some(mut artifact) = artifact else {
        return Ok(());
    };
    match run {
        RunId::Flow(id, _) => artifact.flow_run_id = Some(id),
        RunId::Task(id, flow_run) => {
            artifact.task_run_id = Some(id);
            artifact.flow_run_id = flow_run;
        }
    }
    // Only an artifact with a key is told of, and no client gives the key of a result.
    let mut untold = Happened::at(now);
    artifacts::create(conn, &mut untold, artifact, now)
        .await
        .map(drop)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schemas::StateType;

    fn apart(data: &str) -> (Option<String>, TakenApart) {
        let mut state = State::new(StateType::Completed, DateTime::UNIX_EPOCH);
        state.data = Some(Document::parse(data.to_owned()).unwrap());
        let taken = take_apart(&mut state);
        (state.data.map(Document::into_text), taken)
    }

    #[test]
    fn a_result_becomes_an_artifact_of_what_describes_it() {
        let told = r#"{"type": "reference", "artifact_type": "result", "artifact_description": "Result", "key": 1.0}"#;
        let (kept, taken) = apart(told);
        let artifact = taken.artifact.unwrap();
        assert_eq!(kept.as_deref(), Some(r#"{"type":"reference","key":1.0}"#));
        assert_eq!(artifact.data.map(Document::into_text), kept);
        assert_eq!(artifact.artifact_type.as_deref(), Some("result"));
        assert_eq!(artifact.description.as_deref(), Some("Result"));
        assert_eq!((artifact.key, taken.unpersisted), (None, None));
    }

    #[test]
    fn what_describes_nothing_stays_as_it_was_told() {
        for told in [
            "5",
            "\"text\"",
            "[ 1 ]",
            "{}",
            "false",
            r#"{"type": {"x" : 1}}"#,
            r#"{ "huge": 1e999 }"#,
        ] {
            let (kept, taken) = apart(told);
            assert_eq!(kept.as_deref(), Some(told));
            let artifact = taken.artifact.unwrap();
            assert_eq!(
                artifact.data.map(Document::into_text).as_deref(),
                Some(told)
            );
            assert_eq!((artifact.key, artifact.artifact_type), (None, None));
        }
        let odd = json!({"artifact_type": {"a": 1}, "artifact_key": 5}).to_string();
        let (kept, taken) = apart(&odd);
        let kept: Value = serde_json::from_str(&kept.unwrap()).unwrap();
        assert_eq!(kept, json!({"artifact_type": {"a": 1}, "artifact_key": 5}));
        assert_eq!(taken.artifact.unwrap().key, None);
    }

    #[test]
    fn nothing_is_kept_of_what_nobody_persisted_and_no_artifact_made_of_what_2_0b3_keeps() {
        let told = r#"{"type": "unpersisted", "artifact_type": "result"}"#;
        let (kept, taken) = apart(told);
        assert!(kept.is_none() && taken.artifact.is_none());
        assert_eq!(
            taken.unpersisted.map(Document::into_text).as_deref(),
            Some(told)
        );

        let told = r#"{"encoding": "cloudpickle", "blob": "gAU="}"#;
        let (kept, taken) = apart(told);
        assert_eq!(kept.as_deref(), Some(told));
        assert!(taken.artifact.is_none() && taken.unpersisted.is_none());
    }
}

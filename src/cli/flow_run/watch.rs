//! `flow-run watch`: the states of a run until it has ended.

use std::collections::HashSet;
use std::time::Duration;

use super::{Context, read};
use crate::cli::{
    error::{Error, Result},
    output,
};
use crate::client::{Client, FlowRun, State};

/// How often the run is looked at.
const PAUSE: Duration = Duration::from_millis(500);

/// Tells the states of a run until it has ended; anything but completion is a failure.
pub(in crate::cli) async fn until_end(cx: &Context, client: &Client, run: &FlowRun) -> Result {
    let mut told = HashSet::new();
    loop {
        let now = read(client, run.id).await?;
        if let Some(state) = &now.state {
            if state.id.is_none_or(|id| !told.contains(&id)) {
                // Some may have come and gone since the last look.
                let mut states = client.read_flow_run_states(run.id).await?;
                states.retain(|state| state.id.is_some_and(|id| told.insert(id)));
                states.sort_by_key(|state| state.timestamp);
                states.iter().for_each(|state| tell(cx, state));
            }
            if state.is_terminal() {
                return ended(run, state);
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn tell(cx: &Context, state: &State) {
    let at = output::instant(state.timestamp.unwrap_or_else(|| cx.now()));
    output::say(&format!("{at}  {}", output::clean(state.label())));
}

/// Says whether a run that has ended is completed.
pub(in crate::cli) fn ended(run: &FlowRun, state: &State) -> Result {
    match state.r#type.as_str() {
        "COMPLETED" => Ok(()),
        _ => {
            let message = state.message.as_deref().unwrap_or("no message was given");
            Err(Error::failure(format!(
                "flow run '{}' is {}: {}",
                output::clean(&run.name),
                state.label(),
                output::clean(message)
            ))
            .hint(format!(
                "read its logs with `prefect-rs flow-run logs {}`",
                run.id
            )))
        }
    }
}

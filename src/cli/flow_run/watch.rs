//! `flow-run watch`: the states of a run until it has ended.

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
    let mut told = None;
    loop {
        let now = read(client, run.id).await?;
        if let Some(state) = &now.state {
            if told != state.id || told.is_none() {
                output::say(&format!("{}  {}", output::instant(cx.now()), state.label()));
                told = state.id;
            }
            if state.is_terminal() {
                return ended(run, state);
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
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

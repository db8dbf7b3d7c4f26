//! `flow-run explain`: why a run does not run.
//!
//! A run that is due and does not start is the question people ask an orchestrator most. The server knows the answer, and
//! gives the dashboard the same one; here it is put beside the states that the run went through.

use super::{Context, error::Result, flow_run, output};
use crate::client::{Client, Reason, State};

/// Says what a flow run waits for.
pub(super) async fn run(cx: &Context, client: &Client, flow_run: &str) -> Result {
    let run = flow_run::find(client, flow_run).await?;
    let id = run.id;
    let states = client.read_flow_run_states(id).await?;
    let explanation = Client::optional(client.explain_flow_run(id).await)?;
    output::print_line(&format!("Flow run '{}' ({id})", output::clean(&run.name)));
    flow_run::print_states(cx, &states);
    output::print_line("");
    let Some(explanation) = explanation else {
        output::print_line("This server does not say what runs wait for.");
        return Ok(());
    };
    for reason in &explanation.reasons {
        print_reason(reason);
    }
    if explanation.reasons.is_empty() {
        output::print_line(&otherwise(run.state.as_ref(), explanation.waiting));
    }
    Ok(())
}

fn print_reason(reason: &Reason) {
    let detail = reason.detail.as_deref().unwrap_or_default();
    let text = format!("{} {detail}", reason.summary);
    output::print_line(output::clean(&text).trim_end());
    if let Some(command) = &reason.command {
        output::print_line(&format!("What helps: {}", output::clean(command)));
    }
}

/// What there is to say of a run that waits for nothing.
fn otherwise(state: Option<&State>, waits: bool) -> String {
    match state.map(|state| (state.r#type.as_str(), state.label())) {
        None => "It has no state yet: whoever made it has not proposed one.".to_owned(),
        Some(("RUNNING", _)) => {
            "It is running; `prefect-rs flow-run logs -f` follows it.".to_owned()
        }
        Some(("CANCELLING", _)) => "It is to be stopped by whoever runs it.".to_owned(),
        Some((_, label)) if waits => format!("It is {label}."),
        Some((_, label)) => format!("It has ended: {}.", output::clean(label)),
    }
}

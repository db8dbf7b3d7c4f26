//! `deployment execute`: one run of a deployment in this terminal.
//!
//! The run begins as PENDING, which says that somebody has it, so no agent takes it meanwhile.

use serde_json::{Map, json};

use super::{Parameters, find};
use crate::agent;
use crate::cli::{
    Context, agent as agent_command,
    error::{Error, Result},
    flow_run, output, stop,
};
use crate::client::{Client, CreateFlowRun};

#[derive(Debug, clap::Args)]
pub(super) struct Execute {
    /// FLOW/DEPLOYMENT, or its name, its id, or the beginning of it.
    deployment: String,
    #[command(flatten)]
    parameters: Parameters,
    /// The run's name [default: one is made up].
    #[arg(long)]
    name: Option<String>,
}

impl Execute {
    pub(super) async fn run(self, cx: &Context, client: Client) -> Result {
        agent_command::show_logs(cx);
        if client.transport().url().is_none() {
            return Err(agent_command::failed(agent::Error::NoServer));
        }
        let deployment = find(&client, &self.deployment).await?;
        let request = CreateFlowRun {
            name: self.name.clone(),
            parameters: self.parameters.for_run_of(&deployment)?,
            tags: Vec::new(),
            job_variables: Map::new(),
            state: Some(json!({"type": "PENDING", "name": "Pending"})),
        };
        let run = client
            .create_flow_run_from_deployment(deployment.id, &request)
            .await?;
        output::say(&format!(
            "Created flow run '{}' ({}).",
            output::clean(&run.name),
            run.id
        ));
        let guard = agent_command::guard_command();
        let id = run.id;
        let stops = stop::requests()?;
        agent::execute(
            client.clone(),
            cx.settings(),
            run.into_view(),
            &guard,
            stops,
        )
        .await
        .map_err(agent_command::failed)?;
        let run = flow_run::read(&client, id).await?;
        match &run.state {
            Some(state) if state.is_terminal() => {
                output::say(&format!(
                    "Flow run '{}' is {}.",
                    output::clean(&run.name),
                    state.label()
                ));
                flow_run::watch::ended(&run, state)
            }
            Some(_) | None => Err(Error::failure(format!(
                "flow run '{}' was left before its end",
                run.name
            ))),
        }
    }
}

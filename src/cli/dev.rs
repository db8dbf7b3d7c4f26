//! `dev`: everything in one process, for one command on a laptop.

use std::time::Duration;

use tokio::sync::oneshot;

use super::{
    Context, agent as agent_command,
    error::{Error, Result},
    orion::{self, Start},
    output, stop, work_queue,
};
use crate::{
    agent::{self, Queue},
    client::{Client, CreateWorkQueue},
    telemetry,
};

/// The queue that `dev` makes when it is not there.
const QUEUE: &str = "default";

/// Start the server, a work queue for every deployment outside of work pools, and an agent, all in this process.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  prefect-rs dev")]
pub struct Args {
    #[command(flatten)]
    start: Start,
    /// The work queue of the agent; it is made when there is none of this name.
    #[arg(long, default_value = QUEUE, value_name = "NAME", value_parser = output::name)]
    queue: String,
    /// Seconds that the agent waits for its runs when it is stopped.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    grace: u64,
}

impl Args {
    pub(super) async fn run(self, cx: &Context) -> Result {
        let settings = self.start.over(cx.settings());
        let level = self.start.level_with_agent(&settings);
        telemetry::init(level, settings.logging_format)
            .map_err(|error| Error::failure(format!("logging does not start: {error}")))?;
        let stops = stop::requests()?;
        let bound = orion::bind(&settings).await?;
        let url = bound.url.clone();
        let server = self.start.open(&settings).await?;
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(server.serve(bound.listener, async {
            let _ = stopped.await;
        }));

        let mut settings = settings;
        // The agent of this process has what the server of this process asks for.
        settings.api_auth_string = settings
            .api_auth_string
            .or_else(|| settings.server_api_auth_string.clone());
        let client = Client::http(&format!("{url}/api"), &settings)?;
        let queue = self.queue_id(&client).await?;
        output::print_line(&orion::banner(&settings, &url));
        let options = agent::Options {
            queue: Queue::Id(queue),
            limit: None,
            grace: Duration::from_secs(self.grace),
            guard: agent_command::guard_command(),
        };
        // The agent goes first, so that it can still tell the server how its runs ended.
        let outcome = agent::run(client, &settings, options, stops).await;
        let _ = stop.send(());
        let served = serving.await;
        outcome.map_err(agent_command::failed)?;
        served
            .map_err(|error| Error::failure(format!("the server failed: {error}")))?
            .map_err(|error| Error::failure(format!("the server failed: {error}")))
    }

    async fn queue_id(&self, client: &Client) -> Result<uuid::Uuid> {
        if let Some(queue) = Client::optional(client.read_work_queue_by_name(&self.queue).await)? {
            output::say(&format!(
                "The agent takes runs of work queue '{}': {}.",
                output::clean(&queue.name),
                work_queue::filter_text(queue.filter.as_ref())
            ));
            return Ok(queue.id);
        }
        let queue = CreateWorkQueue {
            name: self.queue.clone(),
            ..CreateWorkQueue::default()
        };
        Ok(client.create_work_queue(&queue).await?.id)
    }
}

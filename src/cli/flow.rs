//! `flow`: the flows that the API has seen.

use clap::Subcommand;

use super::{
    Context,
    error::{Error, Result},
    output::{self, OutputArg},
};

/// List the flows that the API has seen.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  prefect-rs flow ls")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List flows by name.
    #[command(after_help = "Example:\n  prefect-rs flow ls --limit 50 -o json")]
    Ls {
        /// How many to show at most.
        #[arg(long, default_value_t = 200)]
        limit: usize,
        #[command(flatten)]
        output: OutputArg,
    },
}

impl Args {
    pub(super) async fn run(self, cx: &Context) -> Result {
        let Command::Ls { limit, output } = self.command;
        let flows = cx
            .client()
            .await?
            .read_flows(Some(limit))
            .await
            .map_err(Error::from)?;
        if output.is_json() {
            output::print_json(&flows);
            return Ok(());
        }
        if flows.is_empty() {
            output::say("There are no flows yet; run one, or create a deployment.");
            return Ok(());
        }
        let now = cx.now();
        let mut table = cx
            .style
            .table(["ID", "Name", "Tags", "Created"])
            .wraps(&["Name", "Tags"])
            .spares(&["Created", "Tags"]);
        for flow in &flows {
            table.row(vec![
                cx.style.id(flow.id),
                cx.style.name(&flow.name),
                cx.style.text(flow.tags.join(", ")),
                cx.style.text(
                    flow.created
                        .map_or_else(String::new, |at| output::relative(now, at)),
                ),
            ]);
        }
        table.print();
        Ok(())
    }
}

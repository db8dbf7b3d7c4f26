//! `flow-run explain`: why a run does not run.
//!
//! A run that is due and does not start is the question people ask an orchestrator most. The answer is spread over the
//! run, its deployment and every queue, so this puts it together: what the run waits for, which queues would give it out,
//! and what stands in the way of each.

use super::{Context, error::Result, flow_run, output, work_queue};
use crate::client::{Client, FlowRun, QueueFilter, State, WorkQueue};

/// Says what a flow run waits for.
pub(super) async fn run(cx: &Context, client: &Client, flow_run: &str) -> Result {
    let run = flow_run::find(client, flow_run).await?;
    let id = run.id;
    let states = client.read_flow_run_states(id).await?;
    output::print_line(&format!("Flow run '{}' ({id})", output::clean(&run.name)));
    flow_run::print_states(cx, &states);
    output::print_line("");
    let Some(state) = &run.state else {
        output::print_line("It has no state yet: whoever made it has not proposed one.");
        return Ok(());
    };
    match state.r#type.as_str() {
        "SCHEDULED" => scheduled(cx, client, &run, state).await?,
        "PENDING" => output::print_line(
            "An agent or a client has taken it and has not started it yet. If that process is gone, set the run to Scheduled to have it taken again.",
        ),
        "RUNNING" => output::print_line("It is running; `prefect-rs flow-run logs -f` follows it."),
        "CANCELLING" => output::print_line("It is to be stopped by the agent that runs it."),
        "PAUSED" => output::print_line("It is paused and waits to be resumed."),
        _ => output::print_line(&format!("It has ended: {}.", state.label())),
    }
    Ok(())
}

async fn scheduled(cx: &Context, client: &Client, run: &FlowRun, state: &State) -> Result {
    let now = cx.now();
    let due = run
        .next_scheduled_start_time
        .or(state.state_details.scheduled_time);
    if let Some(due) = due {
        let verb = if due > now { "is due" } else { "was due" };
        output::print_line(&format!(
            "It {verb} {} ({}).",
            output::relative(now, due),
            output::instant(due)
        ));
    }
    if run.deployment_id.is_none() {
        output::print_line(
            "It belongs to no deployment, so no agent takes it: the program that made it has to run it.",
        );
        return Ok(());
    }
    let queues = client.read_work_queues().await?;
    let fitting: Vec<_> = queues.iter().filter(|queue| takes(queue, run)).collect();
    if fitting.is_empty() {
        output::print_line(&format!(
            "No work queue takes it. Its tags are [{}].",
            run.tags.join(", ")
        ));
        for queue in &queues {
            output::print_line(&format!(
                "  queue '{}' takes {}",
                output::clean(&queue.name),
                work_queue::filter_text(queue.filter.as_ref())
            ));
        }
        let tags: String = run
            .tags
            .iter()
            .filter(|tag| *tag != "auto-scheduled")
            .map(|tag| format!("-t '{tag}' "))
            .collect();
        output::print_line(&format!(
            "Make one: prefect-rs work-queue create {}NAME",
            tags
        ));
        return Ok(());
    }
    for queue in fitting {
        output::print_line(&format!(
            "Work queue '{}': {}",
            output::clean(&queue.name),
            obstacle(cx, client, queue, run).await?
        ));
    }
    Ok(())
}

/// Returns what stands between a run and an agent of a queue that takes it.
async fn obstacle(
    cx: &Context,
    client: &Client,
    queue: &WorkQueue,
    run: &FlowRun,
) -> Result<String> {
    if queue.is_paused {
        return Ok(format!(
            "it takes the run, but is paused. Resume it: prefect-rs work-queue resume '{}'",
            queue.name
        ));
    }
    if queue.concurrency_limit == Some(0) {
        return Ok(format!(
            "it takes the run, but its concurrency limit is 0. Raise it: prefect-rs work-queue set-concurrency-limit '{}' N",
            queue.name
        ));
    }
    let due = run.next_scheduled_start_time.unwrap_or_else(|| cx.now());
    let given = client
        .read_work_queue_runs(queue.id, due.max(cx.now()), crate::client::PAGE)
        .await?;
    Ok(
        match (
            given.iter().position(|other| other.id == run.id),
            queue.concurrency_limit,
        ) {
            (Some(place), _) if due <= cx.now() => {
                format!(
                    "gives it out as number {} of those due. Start an agent: prefect-rs agent start '{}'",
                    place + 1,
                    queue.name
                )
            }
            (Some(place), _) => {
                format!("will give it out when it is due, as number {}.", place + 1)
            }
            (None, Some(limit)) => format!(
                "its limit of {limit} runs under way is used up, or {} runs are due before.",
                given.len()
            ),
            (None, None) => format!("{} runs are due before it.", given.len()),
        },
    )
}

/// Returns whether a queue takes a run, as its filter says.
fn takes(queue: &WorkQueue, run: &FlowRun) -> bool {
    let Some(filter) = &queue.filter else {
        return false;
    };
    let QueueFilter {
        tags,
        deployment_ids,
        flow_runner_types,
    } = filter;
    let all = |list: &Option<Vec<String>>| list.iter().flatten().all(|tag| run.tags.contains(tag));
    let runner = run
        .flow_runner
        .as_ref()
        .and_then(|runner| runner["type"].as_str());
    all(tags)
        && deployment_ids.as_ref().is_none_or(|ids| {
            ids.is_empty() || run.deployment_id.is_some_and(|id| ids.contains(&id))
        })
        && flow_runner_types.as_ref().is_none_or(|types| {
            types.is_empty() || runner.is_some_and(|runner| types.iter().any(|one| one == runner))
        })
}

//! Names and retries: a task that fails half of the time, in a flow that does not.
//!
//! `cargo run --example retries`

use prefect_rs::prelude::*;

/// Waits a hundredth of a second before the first retry, then twice as long each time, with some chance in it.
#[task(
    name = "Call the unreliable API",
    task_run_name = "call {url}",
    retries = 10,
    retry_delay_seconds = exponential_backoff(0.01),
    retry_jitter_factor = 0.3,
    retry_condition = is_passing,
    timeout_seconds = 5
)]
async fn call_unreliable_api(url: &str) -> Result<usize> {
    ensure!(rand::random::<bool>(), "503 from {url}");
    Ok(url.len())
}

/// Only some failures are worth another attempt.
fn is_passing(error: &RunError) -> bool {
    error
        .state()
        .message
        .as_deref()
        .is_some_and(|message| message.starts_with("503"))
}

#[flow(name = "Retries")]
async fn pipeline() -> Result<usize> {
    let first = call_unreliable_api("http://127.0.0.1/first").await?;
    // A call may have other options than its task.
    let second = call_unreliable_api("http://127.0.0.1/second")
        .with_name("call the second one")
        .with_retries(20)
        .with_retry_delay_seconds([0.01, 0.02])
        .await?;
    Ok(first + second)
}

prefect_rs::main!(pipeline());

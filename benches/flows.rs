//! What a task costs in a Rust flow: `cargo bench --bench flows -- [TASKS] [URL]`.
//!
//! Runs a flow of trivial tasks that are all submitted, and one that awaits each, on a new local database in process or, with
//! a URL, on that server; then counts what was recorded. Prints one JSON object a line.

use std::time::Instant;

use prefect_rs::client::Client;
use prefect_rs::prelude::*;
use prefect_rs::sdk::Session;
use prefect_rs::settings::Settings;
use serde_json::{Value, json};

#[task]
async fn noop(n: u64) -> u64 {
    n
}

#[flow]
async fn submitted(tasks: u64) -> Result<u64> {
    let results = noop::map(0..tasks).await?;
    Ok(results.len() as u64)
}

#[flow]
async fn awaited(tasks: u64) -> Result<u64> {
    for n in 0..tasks {
        noop(n).await?;
    }
    Ok(tasks)
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with("--"))
        .collect();
    let tasks: u64 = match arguments.first() {
        Some(number) => number.parse()?,
        None => 10_000,
    };
    let url = arguments.get(1);
    let home = tempdir()?;
    let settings = Settings::default_for(&home);
    let session = match url {
        Some(url) => Session::connect(Client::http(url, &settings)?, &settings).await?,
        None => Session::local(&home).await?,
    };
    let place = url.map_or("in process", |_| "over HTTP");
    // The first run of a process opens connections and compiles statements.
    session.run(submitted(100u64)).await?;
    for (name, call) in [("submitted", submitted(tasks)), ("awaited", awaited(tasks))] {
        let before = memory_bytes();
        let started = Instant::now();
        session.run(call).await?;
        let seconds = started.elapsed().as_secs_f64();
        println!(
            "{}",
            json!({
                "flow": name, "place": place, "tasks": tasks, "seconds": seconds,
                "microseconds_per_task": seconds * 1e6 / tasks as f64,
                "peak_mb": memory_bytes() / 1e6, "before_mb": before / 1e6,
            })
        );
    }
    let counted: u64 = session
        .client()
        .post("/task_runs/count", &json!({}))
        .await?;
    let body = json!({"task_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}});
    let completed: Value = session.client().post("/task_runs/count", &body).await?;
    println!("{}", json!({"task_runs": counted, "completed": completed}));
    std::fs::remove_dir_all(home)?;
    Ok(())
}

fn tempdir() -> Result<std::path::PathBuf> {
    let path = std::env::temp_dir().join(format!("prefect-rs-bench-{}", std::process::id()));
    std::fs::create_dir_all(&path)?;
    Ok(path)
}

/// Returns the most memory that the process has had, as Linux tells it.
fn memory_bytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kilobytes.unwrap_or_default() * 1024.0
}

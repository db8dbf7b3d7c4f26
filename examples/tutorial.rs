//! The tutorial: three tasks, one of which calls an API that fails half of the time.
//!
//! `cargo run --example tutorial`

use prefect_rs::prelude::*;

#[data]
struct Reply {
    /// What the API said.
    text: String,
}

#[task(name = "Get data from API", retries = 10, retry_delay_seconds = 0.2)]
async fn call_unreliable_api(url: String) -> Result<Reply> {
    if rand::random::<bool>() {
        bail!("{url} has a bad day");
    }
    Ok(Reply {
        text: format!("a reply of {url}"),
    })
}

#[task(name = "Augment data")]
fn augment(reply: Reply, msg: &str) -> Vec<String> {
    vec![reply.text, msg.to_owned()]
}

#[task(name = "Write results")]
async fn write_results(rows: Vec<String>) -> Result<usize> {
    println!("writing {rows:?}");
    Ok(rows.len())
}

#[flow(name = "Previously unreliable pipeline")]
async fn pipeline(msg: String) -> Result<usize> {
    let reply = call_unreliable_api("http://127.0.0.1/data").await?;
    let rows = augment(reply, msg).await?;
    write_results(rows).await
}

prefect_rs::main!(pipeline("Hello from Rust"));

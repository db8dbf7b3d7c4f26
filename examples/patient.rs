//! Cancellation: a flow that is asked to end puts its affairs in order first.
//!
//! `cargo run --example patient`, then Ctrl-C; or deploy it and `prefect-rs flow-run cancel ID`

use std::time::Duration;

use prefect_rs::prelude::*;

#[task]
async fn watch(seconds: f64) -> Result<u64> {
    println!("watching as process {}", std::process::id());
    let mut seen = 0;
    let end = tokio::time::sleep(Duration::from_secs_f64(seconds));
    tokio::pin!(end);
    loop {
        tokio::select! {
            () = cancelled() => {
                println!("asked to end; {seen} things are kept");
                return Ok(seen);
            }
            () = &mut end => return Ok(seen),
            () = tokio::time::sleep(Duration::from_millis(20)) => seen += 1,
        }
    }
}

#[flow(name = "Patient")]
async fn patient(#[default(0.2)] seconds: f64) -> Result<u64> {
    watch(seconds).await
}

prefect_rs::main!(patient(0.2));

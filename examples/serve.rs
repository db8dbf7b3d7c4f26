//! A schedule: a program that runs its flow every few seconds, and whenever somebody asks for a run.
//!
//! `cargo run --example serve`, with a server; `prefect-rs deployment run Tick/often` makes a run at once

use prefect_rs::prelude::*;

#[flow(name = "Tick")]
async fn tick(message: String) -> Result<()> {
    println!("{message}");
    Ok(())
}

fn main() -> Result<()> {
    tick("tick")
        .serve("often")
        .with_interval_seconds(5)
        .with_tags(["clock"])
        .run()?;
    Ok(())
}

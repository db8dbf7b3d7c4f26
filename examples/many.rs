//! Many tasks: ten thousand runs of one task, all submitted, with their whole history recorded.
//!
//! `PREFECT_LOGGING_LEVEL=WARNING cargo run --release --example many`

use prefect_rs::prelude::*;

#[task]
async fn square(n: u64) -> u64 {
    n * n
}

#[task]
fn sum(squares: Vec<u64>) -> u64 {
    squares.into_iter().sum()
}

#[flow(name = "Many")]
async fn many(#[default(10_000)] tasks: u64) -> Result<u64> {
    let squares = square::map(0..tasks).submit();
    sum(&squares).await
}

prefect_rs::main!(many);

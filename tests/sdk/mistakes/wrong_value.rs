//! An option with a value of the wrong type.

use prefect_rs::prelude::*;

#[task(retries = "three")]
async fn load() {}

#[task(retry_delay_seconds = "soon")]
async fn store() {}

#[task(timeout_seconds = "a minute")]
async fn slow() {}

#[task(retry_jitter_factor = 1)]
async fn jitter() {}

#[task(retry_condition = |error: &str| error.is_empty())]
async fn condition() {}

#[task(cache_key_fn = "key")]
async fn cached() {}

#[task(persist_result = "yes")]
async fn kept() {}

#[flow(tags = "nightly")]
async fn tagged() {}

#[flow(on_failure = |run: &Run| println!("{}", run.name))]
async fn told() {}

#[flow]
async fn defaults(#[default("seven")] days: u32) -> u32 {
    days
}

fn main() {}

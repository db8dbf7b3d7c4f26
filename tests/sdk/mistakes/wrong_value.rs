//! An option with a value of the wrong type.

use prefect_rs::prelude::*;

#[task(retries = "three")]
async fn load() {}

#[task(retry_delay_seconds = "soon")]
async fn store() {}

fn main() {}

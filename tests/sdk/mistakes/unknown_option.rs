//! An option that does not exist.

use prefect_rs::prelude::*;

#[task(retrys = 3)]
async fn load() {}

#[flow(cache_key_fn = input_hash)]
async fn flow() {}

#[task(retry = 3)]
async fn again() {}

#[task(cache = input_hash)]
async fn cached() {}

fn main() {}

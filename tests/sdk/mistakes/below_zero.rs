//! Numbers below zero where there are none.

use prefect_rs::prelude::*;

#[task(timeout_seconds = -1)]
async fn slow() {}

#[flow(retry_delay_seconds = [1, -0.5])]
async fn listed() {}

#[task(retry_delay_seconds = exponential_backoff(-2))]
async fn doubled() {}

#[task(cache_expiration_seconds = -3600)]
async fn cached() {}

#[task(retries = -3)]
async fn again() {}

fn main() {}

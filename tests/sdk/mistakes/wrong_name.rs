//! Names that are none, and names of runs that refer to nothing. An empty list of tags is no mistake.

use prefect_rs::prelude::*;

#[task("Load")]
async fn load() {}

#[task(name = "")]
async fn nameless() {}

#[flow(name = "east/west")]
async fn directions() {}

#[task(task_run_name = "{n} of {city} in {country}")]
async fn count(n: u32, city: &str) -> usize {
    city.len() + n as usize
}

#[flow(flow_run_name = "a {nope}")]
async fn report() {}

#[task(tags = [], task_run_name = "of { n } in {{braces}}")]
async fn right(n: u32) -> u32 {
    n
}

fn main() {}

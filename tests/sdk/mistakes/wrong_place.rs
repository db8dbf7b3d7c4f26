//! Attributes where they do not belong.

use prefect_rs::prelude::*;

#[task]
struct Load;

#[flow]
mod report {}

#[data]
fn rows() {}

#[data(clone)]
struct Row;

#[task(retries)]
async fn bare() {}

#[task(retries = 1, retries = 2)]
async fn twice() {}

#[flow]
async fn main() -> Result<()> {
    Ok(())
}

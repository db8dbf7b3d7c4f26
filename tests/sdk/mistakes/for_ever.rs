//! What is borrowed for ever, which can be written and not read again.

use prefect_rs::prelude::*;

#[task]
async fn word() -> &'static str {
    "word"
}

#[task]
fn maybe() -> Result<Option<&'static str>> {
    Ok(None)
}

#[flow]
async fn report(city: &'static str) -> usize {
    city.len()
}

fn main() {}

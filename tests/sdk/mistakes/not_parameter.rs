//! A parameter of a flow that has no schema.

use prefect_rs::prelude::*;
use prefect_rs::sdk::serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
#[serde(crate = "prefect_rs::sdk::serde")]
struct Span {
    days: u32,
}

#[flow]
async fn report(span: Span) -> u32 {
    span.days
}

fn main() {}

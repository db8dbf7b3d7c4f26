//! A call with an argument of the wrong type.

use prefect_rs::prelude::*;

#[task]
async fn double(n: i64) -> i64 {
    2 * n
}

#[flow]
async fn flow() -> Result<()> {
    double("two").await?;
    Ok(())
}

fn main() {}

//! What the compiler warns of: the function's own words, and nothing that the attributes made.

#![warn(unused, clippy::all)]

use prefect_rs::prelude::*;

#[task]
async fn load(unused: u8, used: u8) -> u8 {
    let nothing = 3;
    used
}

#[task]
fn changed(mut n: u8, _kept: u8) -> u8 {
    n
}

#[task(name = "Nobody calls it")]
async fn lonely() {}

#[flow]
async fn lonely_flow(days: u32) -> Result<()> {
    Ok(())
}

#[flow]
async fn forgetful() -> Result<()> {
    load(1, 2);
    changed(1, 2).await?;
    Err(anyhow!("done"))?;
    return Ok(());
    lonely_word();
}

fn lonely_word() {}

#[task]
#[allow(unused_variables)]
async fn allowed(n: u8) {}

#[task]
#[deprecated = "take `allowed`"]
async fn old() {}

#[task]
async fn mapped(n: u8) -> u8 {
    n
}

#[flow]
async fn calls() -> Result<()> {
    let _ = mapped::map([1, 2]);
    allowed(1).await?;
    old().await
}

fn main() {
    let _ = forgetful().run();
    let _ = calls().run();
}

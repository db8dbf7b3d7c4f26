//! The smallest flow: a function with an attribute.
//!
//! `cargo run --example hello`

use prefect_rs::prelude::*;

#[flow(name = "Hello")]
async fn hello(name: String) -> Result<String> {
    println!("Hello, {name}!");
    Ok(format!("Hello, {name}!"))
}

fn main() -> Result<()> {
    hello("Marvin").run()?;
    Ok(())
}

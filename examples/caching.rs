//! Caching: a task that is called with what it was called with before gives the same result without running.
//!
//! `cargo run --example caching`, twice

use prefect_rs::prelude::*;

#[task(cache_key_fn = input_hash, cache_expiration_seconds = 60)]
async fn population(city: &str) -> Result<u64> {
    println!("asking for {city}; this takes long");
    Ok(city.len() as u64 * 100_000)
}

// The key may be anything, such as one argument of several.
#[task(cache_key_fn = |arguments| format!("report of {}", arguments.get::<String>("day").unwrap_or_default()))]
async fn report(day: String, people: u64) -> Result<String> {
    Ok(format!("{day}: {people} people"))
}

#[flow(name = "Caching")]
async fn flow() -> Result<()> {
    let first = population("Bonn").await?;
    let again = population("Bonn").await?;
    assert_eq!(first, again);
    println!("{}", report("2026-11-24", first).await?);
    Ok(())
}

prefect_rs::main!(flow());

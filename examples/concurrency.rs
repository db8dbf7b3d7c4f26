//! Concurrency: submitted tasks run beside each other, and their futures can be passed on.
//!
//! `cargo run --example concurrency`

use std::time::Duration;

use prefect_rs::prelude::*;

#[task]
async fn fetch(page: u32) -> Result<u32> {
    tokio::time::sleep(Duration::from_millis(50)).await;
    Ok(page * 100)
}

#[task]
fn add(a: u32, b: u32) -> u32 {
    a + b
}

// At most as many runs with this tag are under way as `prefect-rs concurrency-limit create database N` says.
#[task(tags = ["database"])]
async fn store(sum: u32) -> Result<()> {
    println!("stored {sum}");
    Ok(())
}

#[task]
fn total(pages: Vec<u32>) -> u32 {
    pages.into_iter().sum()
}

#[flow(name = "Concurrency")]
async fn pages() -> Result<()> {
    let (first, second) = (fetch(1).submit(), fetch(2).submit());
    // `add` begins when both are there; nothing here waits for them.
    let sum = add(&first, &second).submit();
    let stored = store(&sum).submit();
    println!("{} is {}", stored.id(), stored.state());
    stored.await?;
    // A list of futures is passed as one.
    let mut pages = vec![first];
    pages.extend((3..6).map(|page| fetch(page).submit()));
    println!("together {}", total(gather(pages)).await?);
    Ok(())
}

prefect_rs::main!(pages());

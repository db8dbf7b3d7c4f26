//! Mapping: one run of a task for each value.
//!
//! `cargo run --example mapping`

use prefect_rs::prelude::*;

#[task]
async fn length(word: &str, at_least: usize) -> Result<usize> {
    ensure!(word.len() >= at_least, "`{word}` is too short");
    Ok(word.len())
}

#[task]
fn sum(lengths: Vec<usize>) -> usize {
    lengths.into_iter().sum()
}

#[flow(name = "Mapping")]
async fn count_letters(words: Vec<String>) -> Result<usize> {
    // The first argument is mapped, the others are the same for all.
    let lengths = length::map(words, 1usize).submit();
    // A task takes the futures of many runs as the list of their results.
    let total = sum(&lengths).await?;
    println!("{total} letters");
    // Some of these fail; their states say so, and the flow goes on.
    let states = length::map(["a", "bcd"], 2usize).submit().wait().await;
    println!("{} and {}", states[0], states[1]);
    Ok(total)
}

prefect_rs::main!(count_letters(vec![
    "one".to_owned(),
    "two".to_owned(),
    "three".to_owned()
]));

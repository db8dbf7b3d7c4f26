//! Mistakes in the bodies, which are told as in any function.

use prefect_rs::prelude::*;

#[task]
async fn add(a: u32, b: u32) -> u32 {
    a + c
}

#[task]
fn length(word: &str) -> Result<usize> {
    Ok(word.size())
}

#[flow]
async fn sum(numbers: Vec<u32>) -> Result<u32> {
    let total: String = add(1, 2).await?;
    let moved = numbers;
    Ok(numbers.len() as u32 + moved.len() as u32)
}

#[flow]
async fn nothing() -> Result<u32> {
    add(1).await?;
}

fn main() {}

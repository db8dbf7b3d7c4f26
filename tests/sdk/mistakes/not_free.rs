//! Functions that belong to something.

use prefect_rs::prelude::*;

trait Source {
    #[task]
    async fn rows(&self) -> Vec<u8>;

    #[task]
    fn count(rows: Vec<u8>) -> usize;
}

#[task]
async fn callback(work: impl Fn(u8) -> u8) -> u8 {
    work(1)
}

#[task]
async fn hidden(_: u8) {}

#[flow]
async fn choice(reader: &dyn std::io::Read) {
    drop(reader);
}

#[task]
async fn sometimes(#[cfg(unix)] n: u8) {}

fn main() {}

//! Functions that cannot be tasks or flows.

use prefect_rs::prelude::*;

#[task]
async fn generic<T>(value: T) {
    drop(value);
}

#[task]
async fn change(list: &mut Vec<u8>) {
    list.clear();
}

#[flow]
async fn apart((a, b): (u8, u8)) -> u8 {
    a + b
}

#[task]
async fn defaults(#[default(3)] n: u8) -> u8 {
    n
}

struct Database;

impl Database {
    #[task]
    async fn query(&self) {}
}

fn main() {}

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

#[task]
async fn lifetime<'a>(name: &'a str) -> usize {
    name.len()
}

#[task]
async fn borrowed(name: Option<&str>) -> usize {
    name.map_or(0, str::len)
}

#[task]
async fn lent(name: String) -> Option<&str> {
    None
}

#[flow]
fn hidden() -> impl Future<Output = u8> {
    std::future::ready(1)
}

struct Database;

impl Database {
    #[task]
    async fn query(&self) {}
}

fn main() {}

//! Two attributes on one function.

use prefect_rs::prelude::*;

#[flow]
#[task]
async fn both() {
    println!("once");
}

#[task]
#[prefect_rs::task]
async fn twice() {
    println!("once");
}

fn main() {}

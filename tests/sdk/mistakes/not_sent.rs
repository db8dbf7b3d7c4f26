//! A task that cannot move between threads.

use std::rc::Rc;

use prefect_rs::prelude::*;

#[task]
async fn keep() {
    let kept = Rc::new(1);
    std::future::ready(()).await;
    drop(kept);
}

fn main() {}

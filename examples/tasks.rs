//! Tasks: the steps of a flow, each observed by itself.
//!
//! `cargo run --example tasks`

use prefect_rs::prelude::*;

/// What goes between tasks is data: `#[data]` derives what that needs.
#[data]
struct City {
    name: String,
    people: u64,
}

#[task]
async fn load() -> Result<Vec<City>> {
    let city = |name: &str, people| City {
        name: name.to_owned(),
        people,
    };
    Ok(vec![city("Bonn", 336_000), city("Köln", 1_085_000)])
}

// A function that is not `async` is a task as well; it runs on a thread where it may block.
#[task]
fn total(cities: Vec<City>) -> u64 {
    cities.iter().map(|city| city.people).sum()
}

#[flow(name = "Tasks")]
async fn census() -> Result<u64> {
    let cities = load().await?;
    println!("{} cities", cities.len());
    // The server is told that the argument is the result of `load`.
    let people = total(cities).await?;
    println!("{people} people");
    Ok(people)
}

prefect_rs::main!(census());

//! Results under other names, errors that are none, and tags that are no texts.

use prefect_rs::prelude::*;

struct Plain;

type Res<T> = std::result::Result<T, String>;
type Boxed<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[task]
async fn plain() -> Res<Plain> {
    Ok(Plain)
}

#[task]
async fn boxed() -> std::result::Result<u8, Box<dyn std::error::Error>> {
    Ok(1)
}

#[task]
async fn boxed_by_another_name() -> Boxed<u8> {
    Ok(1)
}

/// Those who call them are not told again.
#[flow]
async fn calls() -> Result<()> {
    plain().await?;
    plain().submit().await?;
    boxed_by_another_name().await?;
    Ok(())
}

#[task(tags = ["db", 1])]
async fn tagged() {}

#[task(crate = 3)]
async fn lost() {}

fn main() {}

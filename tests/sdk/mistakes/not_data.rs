//! A result and an argument that cannot be recorded.

use prefect_rs::prelude::*;

struct Connection;

#[task]
async fn store(connection: Connection) {
    drop(connection);
}

#[task]
async fn connect() -> Result<Connection> {
    Ok(Connection)
}

fn main() {}

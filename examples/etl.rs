//! A small real one: rows from an HTTP API that fails at times, into a SQLite file.
//!
//! `cargo run --example etl`; the API is part of the example

use std::path::PathBuf;

use axum::{Json, Router, http::StatusCode, routing::get};
use prefect_rs::prelude::*;
use rusqlite::Connection;

#[data]
struct Reading {
    station: String,
    degrees: f64,
}

#[task(
    name = "Extract",
    retries = 20,
    retry_delay_seconds = 0.01,
    timeout_seconds = 10
)]
async fn extract(url: String) -> Result<Vec<Reading>> {
    let client = prefect_rs::http::client().build()?;
    Ok(client
        .get(url)
        .send()
        .await?
        .error_for_status()?
        .json()
        .await?)
}

#[task(name = "Transform")]
fn transform(readings: Vec<Reading>) -> Vec<Reading> {
    let plausible = |reading: &Reading| (-60.0..60.0).contains(&reading.degrees);
    readings.into_iter().filter(plausible).collect()
}

// One writer at a time; `prefect-rs concurrency-limit create sqlite 1` sees to it.
#[task(name = "Load", tags = ["sqlite"])]
fn load(readings: Vec<Reading>, path: PathBuf) -> Result<usize> {
    let mut database = Connection::open(path).context("opening the database")?;
    let write = database.transaction()?;
    write.execute(
        "CREATE TABLE IF NOT EXISTS reading (station TEXT PRIMARY KEY, degrees REAL)",
        (),
    )?;
    for Reading { station, degrees } in &readings {
        write.execute(
            "INSERT OR REPLACE INTO reading VALUES (?1, ?2)",
            (station, degrees),
        )?;
    }
    write.commit()?;
    println!("{} readings stored", readings.len());
    Ok(readings.len())
}

#[flow(name = "Weather ETL")]
async fn etl(url: Option<String>, path: PathBuf) -> Result<usize> {
    let url = match url {
        Some(url) => url,
        None => api().await?,
    };
    let readings = extract(url).await?;
    let plausible = transform(readings).await?;
    load(plausible, path).await
}

/// Starts an API that answers every second request with 503.
async fn api() -> Result<String> {
    async fn readings() -> std::result::Result<Json<Vec<Reading>>, StatusCode> {
        let reading = |station: &str, degrees| Reading {
            station: station.to_owned(),
            degrees,
        };
        match rand::random::<bool>() {
            true => Ok(Json(vec![
                reading("Bonn", 7.5),
                reading("broken", 999.0),
                reading("Köln", 8.0),
            ])),
            false => Err(StatusCode::SERVICE_UNAVAILABLE),
        }
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let router = Router::new().route("/readings", get(readings));
    spawn(async move { axum::serve(listener, router).await });
    Ok(format!("http://{address}/readings"))
}

prefect_rs::main!(etl(None, std::env::temp_dir().join("weather.db")));

//! Variables, as each generation of clients sees them.

use prefect_rs::db::{Conn, Result, query};
use serde_json::json;

use crate::app::{THREE, TWO, TestApp};

#[tokio::test]
async fn a_value_that_is_no_text_is_its_json_to_2_20() {
    let app = TestApp::on_sqlite().await;
    let values = [
        ("greeting", json!("hello"), json!("hello")),
        ("limits", json!({"a": [1, 2]}), json!(r#"{"a":[1,2]}"#)),
        ("nothing", json!(null), json!("null")),
        ("number", json!(3), json!("3")),
    ];
    for (name, value, to_two) in values {
        let variable = json!({"name": name, "value": value});
        app.make("/api/variables/", variable).await;
        let path = format!("/api/variables/name/{name}");
        let (_, seen) = app.send("GET", &path, &TWO, None).await;
        assert_eq!(seen.expect("a variable")["value"], to_two, "{name}");
        let (_, seen) = app.send("GET", &path, &THREE, None).await;
        assert_eq!(seen.expect("a variable")["value"], value, "{name}");
    }
    app.close().await;
}

/// Numbers may be larger than any that this server can reckon with, also in what is told of them.
#[tokio::test]
async fn a_value_is_taken_however_large_its_numbers_are() {
    TestApp::on_each(async |app| {
        let huge = r#"{"name": "huge", "value": {"n": 1e999}}"#;
        for wanted in [201, 409] {
            let body = Some(huge.to_owned());
            let (status, seen) = app.send_text("POST", "/api/variables/", &THREE, body).await;
            assert_eq!(status, wanted, "{seen:?}");
        }
    })
    .await;
}

/// A connection that kept the transaction of a write that panicked would make the next one wait for ever.
#[tokio::test]
async fn a_write_that_panics_leaves_nothing_behind() {
    TestApp::on_each(async |app| {
        let panics = async |conn: &mut Conn| -> Result<()> {
            let sql = "INSERT INTO variable (id, created, updated, name, value, tags) VALUES ($1, $2, $2, $3, $4, $4)";
            let insert = query(sql).bind(uuid::Uuid::now_v7()).bind(app_now());
            insert.bind("half").bind("[]").execute(conn).await?;
            panic!("a mistake");
        };
        let written = app.state().db.write(panics).await;
        assert!(written.is_err());
        app.make("/api/variables/", json!({"name": "half", "value": 1})).await;
    })
    .await;
}

fn app_now() -> chrono::DateTime<chrono::Utc> {
    chrono::DateTime::from_timestamp(1_700_000_000, 0).expect("a time")
}

//! Variables, as each generation of clients sees them.

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

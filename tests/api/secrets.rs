//! What users want kept to themselves does not lie in the database.

use serde_json::json;

use crate::app::TestApp;

#[tokio::test]
async fn the_data_of_blocks_is_answered_but_not_stored_in_clear() {
    let app = TestApp::on_sqlite().await;
    let (_, specs) = app
        .send("POST", "/api/block_specs/filter", &[], Some(&json!({})))
        .await;
    let spec = specs.expect("the built-in specs")[0]["id"].clone();
    let block =
        |secret: &str| json!({"name": "mine", "data": {"key": secret}, "block_spec_id": spec});
    let (status, made) = app
        .send("POST", "/api/blocks/", &[], Some(&block("hunter2")))
        .await;
    let made = made.expect("a block");
    assert_eq!((status, &made["data"]["key"]), (201, &json!("hunter2")));
    let path = format!("/api/blocks/{}", made["id"].as_str().expect("an id"));
    let (status, _) = app
        .send(
            "PATCH",
            &path,
            &[],
            Some(&json!({"data": {"key": "hunter3"}})),
        )
        .await;
    assert_eq!(status, 204);
    let (_, read) = app.send("GET", &path, &[], None).await;
    assert_eq!(read.expect("a block")["data"]["key"], "hunter3");

    let files = std::fs::read_dir(app.home()).expect("the home");
    let mut is_named = false;
    for file in files.flatten() {
        let bytes = std::fs::read(file.path()).expect("a file of the home");
        let holds = |text: &str| {
            bytes
                .windows(text.len())
                .any(|part| part == text.as_bytes())
        };
        is_named |= holds("sealed:1:");
        assert!(
            !holds("hunter"),
            "{} tells the secret",
            file.path().display()
        );
    }
    assert!(is_named, "the block lies in one of the files");
    app.close().await;
}

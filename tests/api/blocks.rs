//! Blocks of later generations: types, schemas, documents inside documents, secrets.

use serde_json::{Value, json};

use crate::app::TestApp;

async fn data(app: &TestApp, id: &Value, secrets: bool) -> Value {
    let id = id.as_str().expect("an id");
    let path = format!("/api/block_documents/{id}?include_secrets={secrets}");
    let (status, document) = app.ask("GET", &path, Value::Null).await;
    assert_eq!(status, 200, "{document}");
    document["data"].clone()
}

/// Registers a type with a schema whose field `key` is secret.
async fn registered(app: &TestApp, slug: &str, secret_fields: Value) -> (Value, Value) {
    let kind = json!({"name": slug, "slug": slug});
    let kind = app.make("/api/block_types/", kind).await;
    let fields = json!({"title": slug, "block_type_slug": slug, "secret_fields": secret_fields});
    let schema = json!({"block_type_id": kind["id"], "fields": fields, "capabilities": ["a", "b"]});
    let schema = app.make("/api/block_schemas/", schema).await;
    (kind["id"].clone(), schema["id"].clone())
}

async fn documents_hold_documents(app: &TestApp) {
    let (inner, inner_schema) = registered(app, "inner", json!(["key"])).await;
    let (outer, outer_schema) = registered(app, "outer", json!(["headers.*"])).await;
    let document = json!({"block_type_id": inner, "block_schema_id": inner_schema, "name": "one",
        "data": {"user": "me", "key": "hunter2"}});
    let one = app.make("/api/block_documents/", document.clone()).await;
    assert_eq!(one["data"], json!({"user": "me", "key": "********"}));
    let (status, again) = app.ask("POST", "/api/block_documents/", document).await;
    assert_eq!(
        (status, &again["detail"]),
        (409, &json!("Block already exists"))
    );

    let reference = json!({"$ref": {"block_document_id": one["id"]}});
    let nest = app
        .make(
            "/api/block_documents/",
            json!({"block_type_id": outer,
        "block_schema_id": outer_schema, "name": "nest",
        "data": {"login": reference, "headers": {"a": "b"}, "n": 3}}),
        )
        .await;
    assert_eq!(
        nest["block_document_references"]["login"]["block_document"]["name"],
        "one"
    );
    let path = format!(
        "/api/block_documents/{}",
        nest["id"].as_str().expect("an id")
    );
    assert_eq!(
        data(app, &nest["id"], true).await,
        json!({"login": {"user": "me", "key": "hunter2"}, "headers": {"a": "b"}, "n": 3})
    );
    // The inner document's own secrets stay hidden, though the outer schema names none of them.
    assert_eq!(
        data(app, &nest["id"], false).await,
        json!({"login": {"user": "me", "key": "********"}, "headers": {"a": "********"}, "n": 3})
    );

    // What is not sent stays, a mask that comes back leaves the secret, the reference is followed.
    let change = json!({"data": {"headers": {"a": "********", "c": "d"}}});
    assert_eq!(app.ask("PATCH", &path, change).await.0, 204);
    let inner_path = format!(
        "/api/block_documents/{}",
        one["id"].as_str().expect("an id")
    );
    let change = json!({"data": {"key": "hunter3"}});
    assert_eq!(app.ask("PATCH", &inner_path, change).await.0, 204);
    assert_eq!(
        data(app, &nest["id"], true).await,
        json!({"login": {"user": "me", "key": "hunter3"}, "headers": {"a": "b", "c": "d"}, "n": 3})
    );
    let wrong = json!({"block_schema_id": inner_schema, "data": {}});
    assert_eq!(app.ask("PATCH", &path, wrong).await.0, 400);

    // A circle is answered, once around.
    let around = json!({"data": {"back": {"$ref": {"block_document_id": nest["id"]}}}});
    assert_eq!(app.ask("PATCH", &inner_path, around).await.0, 204);
    let seen = data(app, &nest["id"], true).await;
    assert_eq!(
        seen["login"]["back"]["$ref"]["block_document_id"],
        nest["id"]
    );
    let whole = json!({"data": {"n": 4}, "merge_existing_data": false});
    assert_eq!(app.ask("PATCH", &path, whole).await.0, 204);
    assert_eq!(data(app, &nest["id"], true).await, json!({"n": 4}));

    // Anonymous documents are left out unless asked for.
    let anonymous = json!({"block_type_id": inner, "block_schema_id": inner_schema,
        "is_anonymous": true, "data": {}});
    app.make("/api/block_documents/", anonymous).await;
    let nameless = json!({"block_type_id": inner, "block_schema_id": inner_schema, "data": {}});
    assert_eq!(
        app.ask("POST", "/api/block_documents/", nameless).await.0,
        422
    );
    for (filter, found) in [
        (json!({}), 2),
        (json!({"block_documents": {"is_anonymous": null}}), 3),
        (json!({"block_documents": {"name": {"like_": "NE"}}}), 2),
        (json!({"block_types": {"slug": {"any_": ["inner"]}}}), 1),
        (
            json!({"block_schemas": {"block_capabilities": {"all_": ["a", "z"]}}}),
            0,
        ),
    ] {
        let count = app.make("/api/block_documents/count", filter.clone()).await;
        assert_eq!(count, json!(found), "{filter}");
        let listed = app
            .make("/api/block_documents/filter", filter.clone())
            .await;
        assert_eq!(listed.as_array().map(Vec::len), Some(found), "{filter}");
    }
    // What refers to a document that is deleted no longer does; a type takes its documents along.
    assert_eq!(app.ask("DELETE", &path, Value::Null).await.0, 204);
    assert_eq!(
        data(app, &one["id"], true).await,
        json!({"user": "me", "key": "hunter3"})
    );
    let path = format!("/api/block_types/{}", inner.as_str().expect("an id"));
    assert_eq!(app.ask("DELETE", &path, Value::Null).await.0, 204);
    let by_name = "/api/block_types/slug/inner/block_documents/name/one";
    assert_eq!(app.ask("GET", by_name, Value::Null).await.0, 404);
}

async fn types_are_guarded(app: &TestApp) {
    let path = "/api/block_types/slug/secret";
    let (_, secret) = app.ask("GET", path, Value::Null).await;
    let path = format!("/api/block_types/{}", secret["id"].as_str().expect("an id"));
    assert_eq!(app.ask("DELETE", &path, Value::Null).await.0, 403);
    for (body, status) in [
        (json!({"name": "Again", "slug": "secret"}), 409),
        (json!({"name": "Prefect Own", "slug": "own"}), 403),
        (json!({"name": "Own", "slug": "Own"}), 422),
        (
            json!({"name": "Own", "slug": "own", "logo_url": "no address"}),
            422,
        ),
    ] {
        let (answered, answer) = app.ask("POST", "/api/block_types/", body.clone()).await;
        assert_eq!(answered, status, "{body}: {answer}");
    }
    // A schema is found by what it says, whoever sends it, and refers only to types that are there.
    let fields = json!({"title": "Mine", "block_type_slug": "secret"});
    let schema = json!({"block_type_id": secret["id"], "fields": fields, "version": "1"});
    let first = app.make("/api/block_schemas/", schema.clone()).await;
    let (status, again) = app.ask("POST", "/api/block_schemas/", schema).await;
    assert_eq!((status, &again["id"]), (200, &first["id"]));
    let checksum = first["checksum"].as_str().expect("a checksum");
    let path = format!("/api/block_schemas/checksum/{checksum}?version=1");
    assert_eq!(
        app.ask("GET", &path, Value::Null).await.1["id"],
        first["id"]
    );
    let path = format!("/api/block_schemas/checksum/{checksum}?version=2");
    assert_eq!(app.ask("GET", &path, Value::Null).await.0, 404);
    let fields = json!({"block_schema_references": {"a": {"block_type_slug": "nowhere"}}});
    let schema = json!({"block_type_id": secret["id"], "fields": fields});
    assert_eq!(app.ask("POST", "/api/block_schemas/", schema).await.0, 409);
    let (_, able) = app
        .ask("GET", "/api/block_capabilities/", Value::Null)
        .await;
    assert!(
        able.as_array()
            .is_some_and(|able| able.contains(&json!("notify"))),
        "{able}"
    );
}

#[tokio::test]
async fn blocks_are_kept_on_sqlite() {
    let app = TestApp::on_sqlite().await;
    types_are_guarded(&app).await;
    documents_hold_documents(&app).await;
    let files = std::fs::read_dir(app.home()).expect("the home");
    for file in files.flatten() {
        let bytes = std::fs::read(file.path()).expect("a file of the home");
        let tells = bytes.windows(6).any(|part| part == b"hunter");
        assert!(!tells, "{} tells the secret", file.path().display());
    }
    app.close().await;
}

#[tokio::test]
async fn blocks_are_kept_on_postgres() {
    let Some(app) = TestApp::on_postgres().await else {
        return;
    };
    types_are_guarded(&app).await;
    documents_hold_documents(&app).await;
    app.close().await;
}

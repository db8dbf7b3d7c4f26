//! Blocks of later generations: types, schemas, documents inside documents, secrets.

use serde_json::{Value, json};

use crate::app::{THREE, TWO, TestApp};

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

/// What a client says of itself.
type Headers = &'static [(&'static str, &'static str)];

/// The checksums by which clients look for the schema of `Secret`, with who looks and for which version.
const SECRETS: [(Headers, &str, &str); 2] = [
    (
        &TWO,
        "2.20.26",
        "sha256:e6b26e0a0240eb112e604608338f863e5ca2f137936e310014bfa2139d0a9b6c",
    ),
    (
        &THREE,
        "3.8.8",
        "sha256:c078ed9c1e813e224c0b353d7ad4564a11d51d3198d9ac0686478165a1911c78",
    ),
];

async fn slugs(app: &TestApp, headers: &[(&str, &str)]) -> Vec<String> {
    let asked = json!({});
    let path = "/api/block_types/filter";
    let (_, types) = app.send("POST", path, headers, Some(&asked)).await;
    let types = types.unwrap_or_default();
    let types = types.as_array().expect("types").iter();
    types
        .map(|kind| kind["slug"].as_str().expect("a slug").to_owned())
        .collect()
}

#[tokio::test]
async fn each_generation_is_shown_the_types_that_its_code_knows() {
    TestApp::on_each(async |app| {
        let (_, secret) = app
            .ask("GET", "/api/block_types/slug/secret", Value::Null)
            .await;
        let of_secret = json!({"block_schemas": {"block_type_id": {"any_": [secret["id"]]}}});
        for (headers, version, checksum) in SECRETS {
            let path = format!("/api/block_schemas/checksum/{checksum}?version={version}");
            let (status, found) = app.ask("GET", &path, Value::Null).await;
            assert_eq!((status, &found["block_type_id"]), (200, &secret["id"]));
            // There is one, and it is the one that the client's own server has.
            let path = "/api/block_schemas/filter";
            let (_, listed) = app.send("POST", path, headers, Some(&of_secret)).await;
            let listed = listed.unwrap_or_default();
            assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
            assert_eq!(listed[0]["id"], found["id"]);
        }
        let [two, three] = [slugs(app, &TWO).await, slugs(app, &THREE).await];
        let has = |slugs: &[String], wanted: &str| slugs.iter().any(|slug| slug == wanted);
        assert!(
            three.iter().all(|slug| has(&two, slug)),
            "{two:?} {three:?}"
        );
        for slug in ["date-time", "kubernetes-job", "process", "s3"] {
            assert!(has(&two, slug) && !has(&three, slug), "{slug}");
        }
        // Who has a block of a type wants to see the type too.
        let (_, process) = app
            .ask("GET", "/api/block_types/slug/process", Value::Null)
            .await;
        let of_process = json!({"block_schemas": {"block_type_id": {"any_": [process["id"]]}}});
        let path = "/api/block_schemas/filter";
        let (_, schemas) = app.send("POST", path, &TWO, Some(&of_process)).await;
        let schemas = schemas.unwrap_or_default();
        let document = json!({"name": "here", "block_type_id": process["id"],
            "block_schema_id": schemas[0]["id"], "data": {}});
        app.make("/api/block_documents/", document).await;
        assert!(has(&slugs(app, &THREE).await, "process"));
        // Asked for again, nothing is there twice.
        let path = "/api/block_types/install_system_block_types";
        assert_eq!(app.ask("POST", path, Value::Null).await.0, 200);
        assert_eq!(slugs(app, &TWO).await, two);
    })
    .await;
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

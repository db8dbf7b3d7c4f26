//! Credentials and CSRF tokens, as each generation of clients sends them.

use chrono::TimeDelta;
use prefect_rs::clock::Clock;
use prefect_rs::settings::Secret;
use serde_json::{Value, json};

use crate::app::TestApp;

const BASIC: (&str, &str) = ("authorization", "Basic YWRtaW46cGFzcw==");
const BEARER: (&str, &str) = ("authorization", "Bearer admin:pass");
const BETA: (&str, &str) = ("x-prefect-api-version", "0.3.0");

async fn with_auth() -> TestApp {
    TestApp::with_settings(|settings| {
        settings.server_api_auth_string = Some(Secret::new("admin:pass".to_owned()));
    })
    .await
}

async fn with_csrf() -> TestApp {
    TestApp::with_settings(|settings| settings.server_csrf_protection_enabled = true).await
}

#[tokio::test]
async fn each_route_but_health_asks_for_credentials() {
    let app = with_auth().await;
    let document = serde_json::to_value(prefect_rs::server::openapi()).expect("a document");
    let mut open = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for method in item.as_object().expect("methods").keys() {
            let path = path.replace(['{', '}'], "");
            let (status, body) = app.send(&method.to_uppercase(), &path, &[], None).await;
            if status == 401 {
                assert_eq!(body, Some(json!({"exception_message": "Unauthorized"})));
            } else {
                open.push(path);
            }
        }
    }
    assert_eq!(open, ["/api/health", "/api/ready"]);
    for path in [
        "/api/ui/stream",
        "/api/ui/info",
        "/api/ui/overview",
        "/api/ui/blocks",
    ] {
        for method in ["GET", "POST"] {
            let (status, _) = app.send(method, path, &[], None).await;
            assert!([401, 405].contains(&status), "{method} {path}: {status}");
        }
    }
    app.close().await;
}

#[tokio::test]
async fn the_string_opens_as_basic_and_as_bearer() {
    let app = with_auth().await;
    for credentials in [BASIC, BEARER] {
        let headers = [credentials, BETA];
        let (status, _) = app
            .send("POST", "/api/flows/", &headers, Some(&json!({"name": "f"})))
            .await;
        assert!(status < 300, "{credentials:?}: {status}");
    }
    let wrong = [("authorization", "Basic d3Jvbmc6b25l")];
    let (status, _) = app
        .send("POST", "/api/flows/", &wrong, Some(&json!({"name": "f"})))
        .await;
    assert_eq!(status, 401);
    app.close().await;
}

/// Asks as a browser does for a page of `origin`, and returns the page that may, if any.
async fn allowed_origin(app: &TestApp, method: &str, origin: &str) -> Option<String> {
    let headers = [
        ("origin", origin),
        ("access-control-request-method", "POST"),
        (
            "access-control-request-headers",
            "authorization,content-type",
        ),
    ];
    let answer = app.response(method, "/api/flows/filter", &headers).await;
    let header = |name: &str| {
        let value = answer.headers().get(name)?;
        Some(value.to_str().expect("a text").to_owned())
    };
    if method == "OPTIONS" {
        assert_eq!(answer.status(), 200, "a browser asks without credentials");
        assert_eq!(
            header("access-control-allow-headers").as_deref(),
            Some("authorization,content-type")
        );
    }
    assert_eq!(header("access-control-allow-credentials"), None);
    header("access-control-allow-origin")
}

#[tokio::test]
async fn pages_of_other_origins_are_let_in_where_they_need_credentials() {
    let (here, there) = ("http://localhost:3000", "https://example.org");
    let open = TestApp::on_sqlite().await;
    let asking = with_auth().await;
    let named = TestApp::with_settings(|settings| {
        settings.server_cors_allowed_origins = Some("https://a.org, https://example.org/".into());
    })
    .await;
    let all = TestApp::with_settings(|settings| {
        settings.server_cors_allowed_origins = Some("*".into());
    })
    .await;
    let some = |text: &str| Some(text.to_owned());
    for method in ["OPTIONS", "POST"] {
        assert_eq!(allowed_origin(&open, method, here).await, some(here));
        assert_eq!(allowed_origin(&open, method, there).await, None);
        assert_eq!(allowed_origin(&asking, method, there).await, some("*"));
        assert_eq!(allowed_origin(&named, method, there).await, some(there));
        assert_eq!(allowed_origin(&named, method, here).await, None);
        assert_eq!(allowed_origin(&all, method, there).await, some("*"));
    }
    for app in [open, asking, named, all] {
        app.close().await;
    }
}

#[tokio::test]
async fn no_token_is_given_where_none_is_wanted() {
    let app = TestApp::on_sqlite().await;
    let (status, body) = app
        .send("GET", "/api/csrf-token?client=me", &[], None)
        .await;
    assert_eq!(status, 422);
    assert_eq!(
        body,
        Some(json!({"detail": "CSRF protection is disabled."}))
    );
    app.close().await;
}

/// Creates a flow with these headers and returns what a refusal says.
async fn create(app: &TestApp, headers: &[(&str, &str)]) -> (u16, Value) {
    let flow = json!({"name": "f"});
    let (status, body) = app.send("POST", "/api/flows/", headers, Some(&flow)).await;
    (status, body.unwrap_or_default()["detail"].clone())
}

#[tokio::test]
async fn a_change_needs_the_token_of_its_client_while_it_is_good() {
    let app = with_csrf().await;
    let (status, token) = app
        .send("GET", "/api/csrf-token?client=me", &[], None)
        .await;
    let token = token.expect("a token");
    assert_eq!((status, &token["client"]), (200, &json!("me")));
    let text = token["token"].as_str().expect("a text").to_owned();
    let sent = ("prefect-csrf-token", text.as_str());
    let (me, you) = (
        ("prefect-csrf-client", "me"),
        ("prefect-csrf-client", "you"),
    );
    let invalid = json!("Invalid CSRF token or client identifier.");
    assert_eq!(create(&app, &[]).await, (403, json!("Missing CSRF token.")));
    assert_eq!(
        create(&app, &[sent]).await,
        (403, json!("Missing client identifier."))
    );
    assert_eq!(create(&app, &[sent, you]).await, (403, invalid.clone()));
    let forged = ("prefect-csrf-token", "forged");
    assert_eq!(create(&app, &[forged, me]).await, (403, invalid.clone()));
    assert_eq!(create(&app, &[sent, me]).await.0, 201);
    // Reading needs none, and a generation that knows no tokens neither.
    assert_eq!(
        app.send("GET", "/api/admin/version", &[], None).await.0,
        200
    );
    assert_eq!(create(&app, &[BETA]).await.0, 200);

    app.clock.set(app.clock.now() + TimeDelta::seconds(3601));
    assert_eq!(create(&app, &[sent, me]).await, (403, invalid.clone()));
    let (_, newer) = app
        .send("GET", "/api/csrf-token?client=me", &[], None)
        .await;
    let newer = newer.expect("a token")["token"]
        .as_str()
        .expect("a text")
        .to_owned();
    assert_ne!(newer, text);
    let sent = ("prefect-csrf-token", newer.as_str());
    assert_eq!(create(&app, &[sent, me]).await.0, 200);
    app.close().await;
}

#[tokio::test]
async fn a_client_without_a_name_gets_no_token() {
    let app = with_csrf().await;
    for path in ["/api/csrf-token", "/api/csrf-token?client="] {
        let (status, body) = app.send("GET", path, &[], None).await;
        let body = body.expect("a body");
        assert_eq!(status, 422);
        assert_eq!(
            body["exception_detail"][0]["loc"],
            json!(["query", "client"])
        );
    }
    app.close().await;
}

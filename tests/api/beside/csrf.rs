//! Tokens against forged requests, where the settings ask for them: told to genuine servers and ours alike.

use serde_json::{Value, json};

use super::{Story, THREE, TWO};
use crate::app::TestApp;
use crate::genuine_server::GenuineServer;

/// What a server answers to one request.
type Told = (u16, Value);

/// Asks for tokens and uses them well and badly; returns what must be alike, a line a request.
async fn tokens(mut ask: impl AsyncFnMut(&str, &str, &[(&str, &str)]) -> Told) -> Vec<String> {
    const TOKEN: &str = "prefect-csrf-token";
    const CLIENT: &str = "prefect-csrf-client";
    let picture = |(status, body): &Told| {
        let members = body.as_object().into_iter().flatten();
        let mut names: Vec<&str> = members.map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        format!("{status} {names:?} {}", body["detail"])
    };
    let mut seen = Vec::new();
    let first = ask("GET", "/csrf-token?client=somebody", &[]).await;
    let second = ask("GET", "/csrf-token?client=somebody", &[]).await;
    let other = ask("GET", "/csrf-token?client=another", &[]).await;
    seen.extend([&first, &second, &other].map(picture));
    seen.push(picture(&ask("GET", "/csrf-token", &[]).await));
    let text = |told: &Told| told.1["token"].as_str().unwrap_or_default().to_owned();
    let (first, second, other) = (text(&first), text(&second), text(&other));
    for headers in [
        &[][..],
        &[(TOKEN, second.as_str())],
        &[(CLIENT, "somebody")],
        &[(TOKEN, "made up"), (CLIENT, "somebody")],
        &[(TOKEN, second.as_str()), (CLIENT, "nobody")],
        &[(TOKEN, other.as_str()), (CLIENT, "somebody")],
        &[(TOKEN, first.as_str()), (CLIENT, "somebody")],
        &[(TOKEN, second.as_str()), (CLIENT, "somebody")],
        &[(TOKEN, other.as_str()), (CLIENT, "another")],
    ] {
        for (method, path) in [
            ("POST", "/flows/filter"),
            ("DELETE", "/flows/none"),
            ("GET", "/health"),
        ] {
            let told = ask(method, path, headers).await;
            // A list has no members, and ours may be told of a path that the genuine one does not know.
            seen.push(match told.0 {
                403 => format!("{method} {}", picture(&told)),
                status => format!("{method} {}", status < 300),
            });
        }
    }
    seen
}

async fn are_used_as_by_genuine(story: &Story) {
    let settings = [("PREFECT_SERVER_CSRF_PROTECTION_ENABLED", "true")];
    let Some(genuine) = GenuineServer::start(story.version, &settings).await else {
        return;
    };
    let client = prefect_rs::http::client().build().expect("a client");
    let wanted = tokens(async |method, path, headers| {
        let method = method.parse().expect("a method");
        let mut request = client.request(method, format!("{}{path}", genuine.api));
        for (name, value) in story.headers.iter().chain(headers) {
            request = request.header(*name, *value);
        }
        let response = request.json(&json!({})).send().await.expect("an answer");
        let status = response.status().as_u16();
        (status, response.json().await.unwrap_or_default())
    })
    .await;
    drop(genuine);
    let app = TestApp::with_settings(|settings| settings.server_csrf_protection_enabled = true);
    let app = app.await;
    app.clock.set(prefect_rs::clock::Clock::now(
        &prefect_rs::clock::SystemClock,
    ));
    let found = tokens(async |method, path, headers| {
        let headers = [story.headers, headers].concat();
        let path = format!("/api{path}");
        let (status, body) = app.send(method, &path, &headers, Some(&json!({}))).await;
        (status, body.unwrap_or_default())
    })
    .await;
    app.close().await;
    assert_eq!(found, wanted);
}

#[tokio::test]
async fn tokens_are_asked_for_as_the_genuine_2_20_server_does() {
    are_used_as_by_genuine(&TWO).await;
}

#[tokio::test]
async fn tokens_are_asked_for_as_the_genuine_3_8_server_does() {
    are_used_as_by_genuine(&THREE).await;
}

//! The client against functions that answer in its process.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use super::*;
use crate::http::percent_encoded;

/// Answers with one status and body after another.
fn client(answers: Vec<(u16, &'static str)>) -> (Client, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let handler: Handler = Arc::new(move |_request| {
        let call = counted.fetch_add(1, Ordering::SeqCst);
        let (status, body) = answers[call.min(answers.len() - 1)];
        Box::pin(async move {
            let mut headers = reqwest::header::HeaderMap::new();
            headers.insert("retry-after", "0.001".parse().unwrap());
            Ok(Response {
                status: StatusCode::from_u16(status).unwrap(),
                headers,
                body: body.into(),
            })
        })
    });
    let settings = Settings::default_for("/nowhere");
    (Client::in_process(handler, &settings), calls)
}

#[tokio::test]
async fn a_passing_failure_is_tried_again() {
    let (client, calls) = client(vec![(503, ""), (429, ""), (200, "true")]);
    assert!(client.health().await.unwrap());
    assert_eq!(calls.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_server_that_is_away_is_told_from_one_that_refuses() {
    for (status, is_away) in [
        (404, false),
        (422, false),
        (429, true),
        (500, true),
        (503, true),
    ] {
        let (client, _) = client(vec![(status, "")]);
        let error = client.health().await.unwrap_err();
        assert_eq!(error.is_away(), is_away, "{error}");
    }
}

#[tokio::test]
async fn retries_are_bounded() {
    let (client, calls) = client(vec![(
        503,
        r#"{"exception_message": "Service Unavailable"}"#,
    )]);
    let error = client.health().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "GET /health was answered with 503 Service Unavailable: Service Unavailable"
    );
    assert_eq!(calls.load(Ordering::SeqCst), 6);
}

#[tokio::test]
async fn a_refusal_is_not_tried_again() {
    let (client, calls) = client(vec![(404, r#"{"detail": "Flow not found"}"#)]);
    let error = client.read_flow_by_name("x").await.unwrap_err();
    assert!(error.is_not_found());
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn no_default_storage_is_none() {
    let (client, _) = client(vec![(204, "")]);
    assert!(client.read_default_storage().await.unwrap().is_none());
}

#[tokio::test]
async fn a_document_keeps_what_it_does_not_know() {
    let (client, _) = client(vec![(
        200,
        r#"{"id": "9a1ee0c0-3c1c-4f3a-8d0e-8a3a6f6d3a11", "name": "etl", "later": 1}"#,
    )]);
    let flow = client.read_flow_by_name("etl").await.unwrap();
    assert_eq!(flow.name, "etl");
    assert_eq!(flow.raw["later"], 1);
}

#[test]
fn names_in_paths_are_escaped() {
    assert_eq!(percent_encoded("my flow/ä?"), "my%20flow%2F%C3%A4%3F");
}

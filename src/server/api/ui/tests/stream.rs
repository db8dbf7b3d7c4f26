//! The stream of changes that pages follow.

use super::*;

/// A browser draws a page first and follows the changes then; what happened in between must reach it.
#[tokio::test]
async fn every_page_names_the_change_from_which_the_stream_goes_on() {
    let app = App::new().await;
    app.changes.tell(Change::of(Kind::Flow, Uuid::from_u128(1)));
    let ask = |path: &str, last: Option<&str>| {
        let is_list = path.ends_with("overview") || path.ends_with("flow_runs");
        let request = Request::builder().method(if is_list { "POST" } else { "GET" });
        let mut request = request.uri(format!("/api{path}"));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let body = if is_list { "{}" } else { "" };
        app.service
            .clone()
            .oneshot(request.body(Body::from(body)).unwrap())
    };
    for path in [
        "/ui/overview".to_owned(),
        "/ui/flow_runs".to_owned(),
        format!("/ui/flow_runs/{DONE}"),
        format!("/ui/work_queues/{QUEUE}"),
        "/ui/work_queues".to_owned(),
        "/ui/work_pools".to_owned(),
        "/ui/concurrency_limits".to_owned(),
        "/ui/blocks".to_owned(),
    ] {
        let answer = ask(&path, None).await.unwrap();
        let mark = answer.headers()["x-last-change"].to_str().unwrap();
        assert_eq!(app.changes.number(mark), Some(1), "{path}");
    }
    let answer = ask("/ui/overview", None).await.unwrap();
    let mark = answer.headers()["x-last-change"].to_str().unwrap();
    app.changes.tell(Change::of(Kind::Flow, Uuid::from_u128(2)));
    let stream = ask("/ui/stream", Some(mark)).await.unwrap();
    let mut pieces = stream.into_body().into_data_stream();
    let mut said = String::new();
    while !said.contains("event: changes") {
        let piece = futures_util::StreamExt::next(&mut pieces).await.unwrap();
        said.push_str(std::str::from_utf8(&piece.unwrap()).unwrap());
    }
    assert!(
        said.contains("00000000-0000-0000-0000-000000000002"),
        "{said}"
    );
    assert!(
        !said.contains("00000000-0000-0000-0000-000000000001"),
        "{said}"
    );
}

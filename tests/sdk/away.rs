//! Servers that go away while flows run in this process, or fail.

use std::sync::Arc;
use std::time::Duration;

use prefect_rs::client::reqwest::StatusCode;
use prefect_rs::client::{Client, Handler, Response, Transport};
use prefect_rs::prelude::*;
use prefect_rs::sdk::Session;
use prefect_rs::settings::Settings;
use serde_json::json;
use tokio::sync::Notify;

use crate::server::Server;

#[tokio::test(flavor = "multi_thread")]
async fn a_subflow_waits_for_a_server_that_is_away() {
    static BEGUN: Notify = Notify::const_new();
    static GO_ON: Notify = Notify::const_new();
    #[flow]
    async fn child() -> u32 {
        42
    }
    #[flow]
    async fn parent() -> Result<u32> {
        BEGUN.notify_one();
        GO_ON.notified().await;
        child().await
    }
    let mut server = Server::start();
    let home = tempfile::tempdir().unwrap();
    let mut settings = Settings::default_for(home.path());
    // Or it would take until the client gives up.
    settings.client_max_retries = 0;
    let client = Client::http(&server.url, &settings).unwrap();
    let session = Session::connect(client, &settings).await.unwrap();
    let run = tokio::spawn(async move { session.run(parent()).await });
    BEGUN.notified().await;
    server.kill();
    GO_ON.notify_one();
    server.start_again();
    assert_eq!(run.await.unwrap().unwrap(), 42);
    let completed = json!({"flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}});
    let counted = tokio::task::spawn_blocking(move || server.count("flow_runs", &completed));
    assert_eq!(counted.await.unwrap(), 2);
}

/// A session whose server fails at each request to a path that ends so.
async fn failing_session(home: &tempfile::TempDir, end: &'static str) -> Session {
    answering_session(home, end, StatusCode::INTERNAL_SERVER_ERROR).await
}

/// A session whose server answers so each request to a path that ends so.
async fn answering_session(
    home: &tempfile::TempDir,
    end: &'static str,
    status: StatusCode,
) -> Session {
    let local = Session::local(home.path()).await.unwrap();
    let Transport::InProcess(answer) = local.client().transport().clone() else {
        panic!("a local session is in this process");
    };
    let handler: Handler = Arc::new(move |request| {
        // An empty list is how a session finds out what there is.
        let is_question = request.body.as_deref() == Some(b"[]");
        if is_question || !request.path.ends_with(end) {
            return answer(request);
        }
        Box::pin(async move {
            Ok(Response {
                status,
                headers: Default::default(),
                body: br#"{"exception_message": "it is broken"}"#.to_vec(),
            })
        })
    });
    let mut settings = Settings::default_for(home.path());
    settings.flow_failing_server_timeout = Duration::ZERO;
    settings.client_max_retries = 0;
    let client = Client::in_process(handler, &settings);
    Session::connect(client, &settings).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_fails_for_ever_ends_a_run_with_its_words() {
    #[flow]
    async fn flow() {}
    let home = tempfile::tempdir().unwrap();
    let session = failing_session(&home, "/set_state").await;
    let error = session.run(flow()).await.unwrap_err();
    assert_eq!(error.state().state_type, StateType::Crashed);
    let said = format!("{error:?}");
    assert!(
        said.contains("500 Internal Server Error: it is broken"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_fails_at_all_logs_and_task_runs_keeps_no_flow_from_its_end() {
    #[task]
    async fn step(n: u32) -> u32 {
        n
    }
    #[flow]
    async fn flow() -> Result<usize> {
        Ok(step::map(0..300u32).await?.len())
    }
    for end in ["/logs/", "/task_runs/record"] {
        let home = tempfile::tempdir().unwrap();
        let session = failing_session(&home, end).await;
        assert_eq!(session.run(flow()).await.unwrap(), 300);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_under_a_flow_ends_it_and_keeps_nobody_waiting_for_ever() {
    #[task]
    async fn step() {}
    #[flow]
    async fn flow() -> Result<()> {
        step().await
    }
    let home = tempfile::tempdir().unwrap();
    let unable = StatusCode::SERVICE_UNAVAILABLE;
    let session = answering_session(&home, "/set_state", unable).await;
    let error = session.run(flow()).await.unwrap_err();
    assert!(format!("{error:?}").contains("503"), "{error:?}");
    let session = answering_session(&home, "/task_runs/record", unable).await;
    session.run(flow()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_run_whose_limits_nobody_can_tell_fails() {
    #[task(tags = ["narrow"])]
    async fn step() {}
    #[flow]
    async fn flow() -> Result<()> {
        step().await
    }
    let home = tempfile::tempdir().unwrap();
    let session = failing_session(&home, "increment-with-lease").await;
    let error = session.run(flow()).await.unwrap_err();
    let said = format!("{error:?}");
    assert!(said.contains("it is broken"), "{said}");
}

//! Servers that go away while flows run in this process.

use prefect_rs::client::Client;
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

//! Notifications of 2.20: who is told of which state, and what is said.

use std::time::Duration;

use prefect_rs::server::services::{FlowRunEvents, FlowRunNotifications, Service};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::app::{TWO, TestApp};

async fn ask(app: &TestApp, method: &str, path: &str, body: Value) -> (u16, Value) {
    let (status, answer) = app
        .send(method, &format!("/api{path}"), &TWO, Some(&body))
        .await;
    (status, answer.unwrap_or_default())
}

fn id(made: &Value) -> String {
    made["id"].as_str().expect("an id").to_owned()
}

/// Listens as a webhook does and passes on the bodies that come.
async fn receiver() -> (String, mpsc::UnboundedReceiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound address");
    let (sender, bodies) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = Vec::new();
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = socket.read(&mut buffer).await {
                request.extend_from_slice(&buffer[..read]);
                let text = String::from_utf8_lossy(&request);
                let Some((_, body)) = text.split_once("\r\n\r\n") else {
                    continue;
                };
                if let Ok(body) = serde_json::from_str(body) {
                    let _ = sender.send(body);
                    let answer =
                        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                    let _ = socket.write_all(answer).await;
                    break;
                }
            }
        }
    });
    (format!("http://{address}/hook"), bodies)
}

/// Makes a block that tells a webhook, and returns its id.
async fn block(app: &TestApp, url: &str) -> String {
    let (status, of_type) = ask(app, "GET", "/block_types/slug/slack-webhook", Value::Null).await;
    assert_eq!(status, 200, "{of_type}");
    let schema = json!({"block_type_id": of_type["id"], "capabilities": ["notify"], "fields": {
        "title": "SlackWebhook", "type": "object", "block_type_slug": "slack-webhook", "block_schema_references": {},
        "secret_fields": ["url"], "properties": {"url": {"type": "string", "format": "password"}}}});
    let (status, schema) = ask(app, "POST", "/block_schemas/", schema).await;
    assert!(status < 300, "{schema}");
    let document = json!({"name": "hook", "block_type_id": of_type["id"], "block_schema_id": schema["id"],
        "data": {"url": url}});
    let (status, made) = ask(app, "POST", "/block_documents/", document).await;
    assert_eq!(status, 201, "{made}");
    id(&made)
}

async fn run(app: &TestApp, name: &str, tags: Value) -> String {
    let (_, flow) = ask(app, "POST", "/flows/", json!({"name": "etl"})).await;
    let run = json!({"name": name, "flow_id": flow["id"], "tags": tags, "parameters": {"n": 1}});
    let (status, made) = ask(app, "POST", "/flow_runs/", run).await;
    assert_eq!(status, 201, "{made}");
    id(&made)
}

async fn set(app: &TestApp, run: &str, to: &str) {
    let body = json!({"state": {"type": to, "message": "so it goes"}});
    let (status, answer) = ask(app, "POST", &format!("/flow_runs/{run}/set_state"), body).await;
    assert_eq!(status, 201, "{answer}");
}

async fn sent(bodies: &mut mpsc::UnboundedReceiver<Value>) -> Option<String> {
    let one = tokio::time::timeout(Duration::from_secs(5), bodies.recv()).await;
    let body = one.ok().flatten()?;
    body["text"].as_str().map(str::to_owned)
}

#[tokio::test]
async fn a_policy_tells_once_of_each_state_that_it_names() {
    let mut apps = vec![TestApp::on_sqlite().await];
    apps.extend(TestApp::on_postgres().await);
    for app in apps {
        let (url, mut bodies) = receiver().await;
        let block = block(&app, &url).await;
        let policy = |template: Value, is_active: bool| {
            json!({"state_names": ["Failed", "Crashed"], "tags": ["prod"], "block_document_id": block,
                "message_template": template, "is_active": is_active})
        };
        let template = json!(
            "{flow_name}/{flow_run_name} is {flow_run_state_name}: {flow_run_state_message} {flow_run_parameters}"
        );
        for body in [policy(template, true), policy(json!("never"), false)] {
            let (status, made) = ask(&app, "POST", "/flow_run_notification_policies/", body).await;
            assert_eq!(status, 201, "{made}");
        }
        let wanted = run(&app, "one", json!(["a", "prod"])).await;
        let other = run(&app, "two", json!(["a"])).await;
        set(&app, &wanted, "RUNNING").await;
        set(&app, &wanted, "FAILED").await;
        set(&app, &other, "FAILED").await;
        // Passing twice, as two servers do, sends once.
        for _ in 0..2 {
            FlowRunEvents::default()
                .pass(app.state())
                .await
                .expect("a pass");
            FlowRunNotifications::default()
                .pass(app.state())
                .await
                .expect("a pass");
        }
        let text = sent(&mut bodies).await;
        let wanted = "*Prefect flow run notification*\netl/one is Failed: so it goes {'n': 1}";
        assert_eq!(text.as_deref(), Some(wanted));
        assert!(bodies.try_recv().is_err(), "it was sent twice");
        app.close().await;
    }
}

#[tokio::test]
async fn what_cannot_be_sent_is_told_in_the_log_and_does_not_stop_the_rest() {
    let app = TestApp::on_sqlite().await;
    let (url, mut bodies) = receiver().await;
    let refused = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let nowhere = format!("http://{}/hook", refused.local_addr().expect("an address"));
    drop(refused);
    let good = block(&app, &url).await;
    let bad = block_named(&app, "bad", &good, &nowhere).await;
    for block in [bad, good] {
        let body = json!({"state_names": [], "tags": [], "block_document_id": block});
        let (status, _) = ask(&app, "POST", "/flow_run_notification_policies/", body).await;
        assert_eq!(status, 201);
    }
    run(&app, "one", json!([])).await;
    FlowRunEvents::default()
        .pass(app.state())
        .await
        .expect("a pass");
    FlowRunNotifications::default()
        .pass(app.state())
        .await
        .expect("a pass");
    let text = sent(&mut bodies).await.expect("a notification");
    assert!(
        text.contains("Flow run etl/one entered state `Pending`"),
        "{text}"
    );
    assert!(text.contains("State message: None"), "{text}");
    app.close().await;
}

/// Makes another block of the type of one.
async fn block_named(app: &TestApp, name: &str, like: &str, url: &str) -> String {
    let (_, known) = ask(app, "GET", &format!("/block_documents/{like}"), Value::Null).await;
    let document = json!({"name": name, "block_type_id": known["block_type_id"],
        "block_schema_id": known["block_schema_id"], "data": {"url": url}});
    let (status, made) = ask(app, "POST", "/block_documents/", document).await;
    assert_eq!(status, 201, "{made}");
    id(&made)
}

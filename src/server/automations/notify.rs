//! Sends what actions send: webhooks and notifications, by what a block says.

mod clients;
mod custom;

use std::error::Error;
use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::{Map, Value as Json, json};

pub(super) use self::clients::Clients;
use crate::http::percent_encoded;

/// How long a receiver may take, unless a block says it.
const PATIENCE: Duration = Duration::from_secs(30);

/// How much of an answer is told.
const ANSWER_CHARS: usize = 1000;

/// A block as far as a sender needs it.
pub(super) struct Block {
    /// What type it is, such as `slack-webhook`.
    pub(super) slug: String,
    /// Its data, secrets included.
    pub(super) data: Json,
}

/// What a receiver has answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Without those that tell more of the way than of the answer.
    pub(super) headers: Map<String, Json>,
    pub(super) body: String,
}

impl Block {
    fn text(&self, field: &str) -> Result<&str, String> {
        let text = self.data[field].as_str().filter(|text| !text.is_empty());
        text.ok_or_else(|| format!("the block of type `{}` has no `{field}`", self.slug))
    }

    fn method(&self) -> Result<Method, String> {
        let method = self.data["method"].as_str().unwrap_or("POST");
        Method::from_bytes(method.as_bytes())
            .map_err(|_| format!("`{method}` is not an HTTP method"))
    }

    /// Tells whether the block itself has a header of that name.
    fn has_header(&self, name: &str) -> bool {
        let headers = self.data["headers"].as_object();
        headers.is_some_and(|headers| headers.keys().any(|known| known.eq_ignore_ascii_case(name)))
    }
}

/// Calls a webhook with a payload, byte for byte; only the block can say what that is.
pub(super) async fn call(
    clients: &Clients,
    block: &Block,
    payload: &str,
) -> Result<Answer, String> {
    if block.slug != "webhook" {
        return Err("The referenced block was not a webhook block".to_owned());
    }
    let mut request = clients.request(block, block.method()?, block.text("url")?)?;
    for (name, value) in block.data["headers"].as_object().into_iter().flatten() {
        request = request.header(name, value.as_str().unwrap_or_default());
    }
    send(request.body(payload.to_owned()), PATIENCE).await
}

/// Sends a notification to where the block says.
pub(super) async fn notify(
    clients: &Clients,
    block: &Block,
    subject: &str,
    body: &str,
) -> Result<Answer, String> {
    let both = if subject.is_empty() {
        body.to_owned()
    } else {
        format!("*{subject}*\n{body}")
    };
    let post = |url: &str| clients.request(block, Method::POST, url);
    let mut patience = PATIENCE;
    let request = match block.slug.as_str() {
        "slack-webhook" => post(block.text("url")?)?.json(&json!({"text": both})),
        "ms-teams-webhook" => post(block.text("url")?)?.json(&teams(subject, body)),
        "discord-webhook" => {
            let (id, token) = (block.text("webhook_id")?, block.text("webhook_token")?);
            let url = format!("https://discord.com/api/webhooks/{id}/{token}");
            post(&url)?.json(&json!({"content": format!("**{subject}**\n{body}"), "username": block.data["botname"]}))
        }
        "mattermost-webhook" => post(&mattermost(block)?)?.json(&json!({"text": both})),
        "pager-duty-webhook" => post("https://events.pagerduty.com/v2/enqueue")?.json(&json!({
            "routing_key": block.text("integration_key")?, "event_action": "trigger",
            "payload": {"summary": subject, "source": block.data["source"].as_str().unwrap_or("Prefect"),
                "severity": "info", "custom_details": body},
        })),
        "opsgenie-webhook" => post(opsgenie(block))?
            .header("Authorization", format!("GenieKey {}", block.text("apikey")?))
            .json(&json!({"message": subject, "description": body})),
        "sendgrid-email" => post("https://api.sendgrid.com/v3/mail/send")?
            .bearer_auth(block.text("api_key")?)
            .json(&sendgrid(block, subject, body)?),
        "twilio-sms" => return twilio(clients, block, &format!("{subject}\n{body}")).await,
        "custom-webhook" => {
            let (request, own) = custom::request(clients, block, subject, body)?;
            patience = own;
            request
        }
        other => {
            return Err(format!(
                "notifications by a block of type `{other}` cannot be sent; use slack-webhook, ms-teams-webhook, \
                 discord-webhook, mattermost-webhook, pager-duty-webhook, opsgenie-webhook, sendgrid-email, twilio-sms \
                 or custom-webhook"
            ));
        }
    };
    let answer = send(request, patience).await?;
    accepted(answer)
}

fn accepted(answer: Answer) -> Result<Answer, String> {
    match answer.status {
        200..=299 => Ok(answer),
        status => Err(format!("the receiver answered {status}: {}", answer.body)),
    }
}

async fn send(request: RequestBuilder, patience: Duration) -> Result<Answer, String> {
    let answer = request.timeout(patience).send().await.map_err(told)?;
    let status = answer.status().as_u16();
    let mut headers = Map::new();
    for (name, value) in answer.headers() {
        let (name, value) = (name.as_str(), String::from_utf8_lossy(value.as_bytes()));
        if is_of_the_way(name) {
            continue;
        }
        match headers.get_mut(name) {
            Some(Json::String(known)) => known.extend([", ", &value]),
            _ => {
                headers.insert(name.to_owned(), value.into());
            }
        }
    }
    let body = answer.text().await.unwrap_or_default();
    Ok(Answer {
        status,
        headers,
        body: shortened(&body),
    })
}

/// Says what was wrong, and why; the URL of a webhook is a secret, and errors name it.
fn told(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: &dyn Error = &error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    match (error.to_string(), cause.to_string()) {
        (text, cause) if text == cause => text,
        (text, cause) => format!("{text}: {cause}"),
    }
}

/// Tells whether a header is of proxies and tracers, or has credentials.
fn is_of_the_way(header: &str) -> bool {
    let beginnings = [
        "x-forwarded",
        "x-b3",
        "x-cloud-trace",
        "x-envoy",
        "x-prefect",
    ];
    matches!(header, "authorization" | "traceparent" | "via")
        || beginnings
            .iter()
            .any(|beginning| header.starts_with(beginning))
}

/// Leaves out the middle of a long text.
fn shortened(text: &str) -> String {
    let count = text.chars().count();
    if count <= ANSWER_CHARS {
        return text.to_owned();
    }
    let half = ANSWER_CHARS / 2;
    let beginning: String = text.chars().take(half).collect();
    let end: String = text.chars().skip(count - half).collect();
    let omitted = count - 2 * half;
    let short = format!("{beginning}...{omitted} additional characters...{end}");
    if short.chars().count() < count {
        short
    } else {
        text.to_owned()
    }
}

fn teams(subject: &str, body: &str) -> Json {
    let text = |text: &str, weight: &str| json!({"type": "TextBlock", "text": text, "weight": weight, "wrap": true});
    json!({"type": "message", "attachments": [{
        "contentType": "application/vnd.microsoft.card.adaptive",
        "content": {"type": "AdaptiveCard", "version": "1.4", "body": [text(subject, "Bolder"), text(body, "Default")]},
    }]})
}

fn mattermost(block: &Block) -> Result<String, String> {
    let scheme = if block.data["secure"] == json!(false) {
        "http"
    } else {
        "https"
    };
    let port = block.data["port"]
        .as_u64()
        .map_or_else(String::new, |port| format!(":{port}"));
    let path = block.data["path"]
        .as_str()
        .unwrap_or_default()
        .trim_matches('/');
    let path = if path.is_empty() {
        String::new()
    } else {
        format!("/{path}")
    };
    Ok(format!(
        "{scheme}://{}{port}{path}/hooks/{}",
        block.text("hostname")?,
        block.text("token")?
    ))
}

fn opsgenie(block: &Block) -> &'static str {
    match block.data["region_name"].as_str() {
        Some("eu") => "https://api.eu.opsgenie.com/v2/alerts",
        _ => "https://api.opsgenie.com/v2/alerts",
    }
}

fn sendgrid(block: &Block, subject: &str, body: &str) -> Result<Json, String> {
    let to = block.data["to_emails"].as_array().into_iter().flatten();
    let to: Vec<Json> = to.map(|address| json!({"email": address})).collect();
    Ok(json!({
        "personalizations": [{"to": to}], "from": {"email": block.text("sender_email")?}, "subject": subject,
        "content": [{"type": "text/plain", "value": body}],
    }))
}

async fn twilio(clients: &Clients, block: &Block, text: &str) -> Result<Answer, String> {
    let account = block.text("account_sid")?;
    let url = format!("https://api.twilio.com/2010-04-01/Accounts/{account}/Messages.json");
    let mut last = Err("the block has no `to_phone_numbers`".to_owned());
    for number in block.data["to_phone_numbers"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let form: String = [
            ("From", block.text("from_phone_number")?),
            ("To", number.as_str().unwrap_or_default()),
            ("Body", text),
        ]
        .iter()
        .map(|(name, value)| format!("{name}={}", percent_encoded(value)))
        .collect::<Vec<_>>()
        .join("&");
        let request = clients
            .request(block, Method::POST, &url)?
            .basic_auth(account, Some(block.text("auth_token")?))
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(form);
        last = send(request, PATIENCE).await.and_then(accepted);
        if last.is_err() {
            break;
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Answers one request; returns the URL and what was asked.
    async fn receiver(answer: &'static str) -> (String, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let asked = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (mut asked, mut chunk) = (Vec::new(), [0; 4096]);
            while !asked.ends_with(b"END") {
                let count = stream.read(&mut chunk).await.unwrap();
                asked.extend_from_slice(&chunk[..count]);
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(asked).unwrap()
        });
        (url, asked)
    }

    #[tokio::test]
    async fn a_webhook_gets_the_payload_byte_for_byte_and_a_redirect_is_its_answer() {
        let (url, asked) = receiver(
            "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:9/\r\nX-Prefect-Secret: a\r\n\
             Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno",
        )
        .await;
        let block = Block {
            slug: "webhook".to_owned(),
            data: json!({"url": url, "method": "PUT", "headers": {"X-A": "b"}}),
        };
        let payload = r#"{"z": 1, "a": 12345678901234567890123, "f": 1.10, "a": 2} END"#;
        let answer = call(&Clients::default(), &block, payload).await.unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (307, "no"));
        let headers = json!({
            "location": "http://127.0.0.1:9/", "set-cookie": "a=1, b=2", "content-length": "2", "connection": "close",
        });
        assert_eq!(Json::Object(answer.headers), headers);
        let asked = asked.await.unwrap();
        let (head, body) = asked.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, payload);
        assert!(head.starts_with("PUT /hook HTTP/1.1"), "{head}");
        assert!(!head.to_lowercase().contains("content-type"), "{head}");
    }

    #[test]
    fn a_long_answer_loses_its_middle() {
        assert_eq!(shortened("kurz"), "kurz");
        let long = "a".repeat(700) + &"b".repeat(700);
        let short = "a".repeat(500) + "...400 additional characters..." + &"b".repeat(500);
        assert_eq!(shortened(&long), short);
        assert_eq!(shortened(&"é".repeat(1010)), "é".repeat(1010));
    }
}

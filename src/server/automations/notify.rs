//! Sends what actions send: webhooks and notifications, by what a block says.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value as Json, json};

use crate::http::percent_encoded;

/// How long a receiver may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A block as far as a sender needs it.
pub(super) struct Block {
    /// What type it is, such as `slack-webhook`.
    pub(super) slug: String,
    /// Its data, secrets included.
    pub(super) data: Json,
}

/// What a receiver has answered.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

impl Block {
    fn text(&self, field: &str) -> Result<&str, String> {
        let text = self.data[field].as_str().filter(|text| !text.is_empty());
        text.ok_or_else(|| format!("the block of type `{}` has no `{field}`", self.slug))
    }

    /// Returns the URL, unless it leads where the block says it may not.
    async fn url(&self, field: &str) -> Result<String, String> {
        let url = self.text(field)?.to_owned();
        if self.data["allow_private_urls"] == json!(false) {
            refuse_private(&url).await?;
        }
        Ok(url)
    }
}

/// Calls a webhook with a payload, as JSON where it is JSON.
pub(super) async fn call(client: &Client, block: &Block, payload: &str) -> Result<Answer, String> {
    if block.slug != "webhook" {
        return Err("The referenced block was not a webhook block".to_owned());
    }
    let method = block.data["method"].as_str().unwrap_or("POST");
    let method = Method::from_bytes(method.as_bytes())
        .map_err(|_| format!("`{method}` is not an HTTP method"))?;
    let mut request = client.request(method, block.url("url").await?);
    for (name, value) in block.data["headers"].as_object().into_iter().flatten() {
        request = request.header(name, value.as_str().unwrap_or_default());
    }
    request = match serde_json::from_str::<Json>(payload) {
        Ok(payload) => request.json(&payload),
        Err(_) => request.body(payload.to_owned()),
    };
    send(request).await
}

/// Sends a notification to where the block says.
pub(super) async fn notify(
    client: &Client,
    block: &Block,
    subject: &str,
    body: &str,
) -> Result<Answer, String> {
    let both = if subject.is_empty() {
        body.to_owned()
    } else {
        format!("*{subject}*\n{body}")
    };
    let request = match block.slug.as_str() {
        "slack-webhook" => client.post(block.url("url").await?).json(&json!({"text": both})),
        "ms-teams-webhook" => client.post(block.url("url").await?).json(&teams(subject, body)),
        "discord-webhook" => {
            let (id, token) = (block.text("webhook_id")?, block.text("webhook_token")?);
            let url = format!("https://discord.com/api/webhooks/{id}/{token}");
            client.post(url).json(&json!({"content": format!("**{subject}**\n{body}"), "username": block.data["botname"]}))
        }
        "mattermost-webhook" => client.post(mattermost(block)?).json(&json!({"text": both})),
        "pager-duty-webhook" => client.post("https://events.pagerduty.com/v2/enqueue").json(&json!({
            "routing_key": block.text("integration_key")?, "event_action": "trigger",
            "payload": {"summary": subject, "source": block.data["source"].as_str().unwrap_or("Prefect"),
                "severity": "info", "custom_details": body},
        })),
        "opsgenie-webhook" => client
            .post(opsgenie(block))
            .header("Authorization", format!("GenieKey {}", block.text("apikey")?))
            .json(&json!({"message": subject, "description": body})),
        "sendgrid-email" => client
            .post("https://api.sendgrid.com/v3/mail/send")
            .bearer_auth(block.text("api_key")?)
            .json(&sendgrid(block, subject, body)?),
        "twilio-sms" => return twilio(client, block, &format!("{subject}\n{body}")).await,
        "custom-webhook" => custom(client, block, subject, body).await?,
        other => {
            return Err(format!(
                "notifications by a block of type `{other}` cannot be sent; use slack-webhook, ms-teams-webhook, \
                 discord-webhook, mattermost-webhook, pager-duty-webhook, opsgenie-webhook, sendgrid-email, twilio-sms \
                 or custom-webhook"
            ));
        }
    };
    let answer = send(request).await?;
    accepted(answer)
}

fn accepted(answer: Answer) -> Result<Answer, String> {
    match answer.status {
        200..=299 => Ok(answer),
        status => Err(format!("the receiver answered {status}: {}", answer.body)),
    }
}

async fn send(request: RequestBuilder) -> Result<Answer, String> {
    let answer = request.timeout(PATIENCE).send().await;
    // The URL of a webhook is a secret, and errors name it.
    let answer = answer.map_err(|error| error.without_url().to_string())?;
    let status = answer.status().as_u16();
    let mut body = answer.text().await.unwrap_or_default();
    let end = (0..=body.len().min(1000))
        .rev()
        .find(|end| body.is_char_boundary(*end));
    body.truncate(end.unwrap_or(0));
    Ok(Answer { status, body })
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

async fn twilio(client: &Client, block: &Block, text: &str) -> Result<Answer, String> {
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
        let request = client
            .post(&url)
            .basic_auth(account, Some(block.text("auth_token")?))
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(form);
        last = send(request).await.and_then(accepted);
        if last.is_err() {
            break;
        }
    }
    last
}

/// A webhook whose parts may name `{{subject}}`, `{{body}}`, `{{name}}` and the block's secrets.
async fn custom(
    client: &Client,
    block: &Block,
    subject: &str,
    body: &str,
) -> Result<RequestBuilder, String> {
    let mut known = vec![
        ("subject".to_owned(), subject.to_owned()),
        ("body".to_owned(), body.to_owned()),
        (
            "name".to_owned(),
            block.data["name"].as_str().unwrap_or_default().to_owned(),
        ),
    ];
    for (name, value) in block.data["secrets"].as_object().into_iter().flatten() {
        known.push((name.clone(), value.as_str().unwrap_or_default().to_owned()));
    }
    let fill = |text: &str| {
        known.iter().fold(text.to_owned(), |text, (name, value)| {
            text.replace(&format!("{{{{{name}}}}}"), value)
                .replace(&format!("{{{{ {name} }}}}"), value)
        })
    };
    let url = fill(block.text("url")?);
    if block.data["allow_private_urls"] == json!(false) {
        refuse_private(&url).await?;
    }
    let method = block.data["method"].as_str().unwrap_or("POST");
    let method = Method::from_bytes(method.as_bytes())
        .map_err(|_| format!("`{method}` is not an HTTP method"))?;
    let members = |field: &str| block.data[field].as_object().cloned().unwrap_or_default();
    let params: Vec<String> = members("params")
        .iter()
        .map(|(name, value)| {
            format!(
                "{}={}",
                percent_encoded(name),
                percent_encoded(&fill(value.as_str().unwrap_or_default()))
            )
        })
        .collect();
    let url = match params.is_empty() {
        true => url,
        false => format!(
            "{url}{}{}",
            if url.contains('?') { '&' } else { '?' },
            params.join("&")
        ),
    };
    let mut request = client.request(method, url);
    for (name, value) in members("headers") {
        request = request.header(name, fill(value.as_str().unwrap_or_default()));
    }
    if block.data["json_data"].is_object() {
        request = request.json(&filled(&block.data["json_data"], &fill));
    }
    Ok(request)
}

fn filled(value: &Json, fill: &impl Fn(&str) -> String) -> Json {
    match value {
        Json::String(text) => Json::String(fill(text)),
        Json::Array(items) => items.iter().map(|item| filled(item, fill)).collect(),
        Json::Object(members) => members
            .iter()
            .map(|(name, value)| (name.clone(), filled(value, fill)))
            .collect(),
        Json::Null | Json::Bool(_) | Json::Number(_) => value.clone(),
    }
}

/// Refuses a URL whose host is on a private network.
async fn refuse_private(url: &str) -> Result<(), String> {
    let url = reqwest::Url::parse(url)
        .map_err(|error| format!("the URL of the block is none: {error}"))?;
    let host = url
        .host_str()
        .unwrap_or_default()
        .trim_matches(['[', ']'])
        .to_owned();
    let port = url.port_or_known_default().unwrap_or(443);
    let found = tokio::net::lookup_host((host.as_str(), port)).await;
    let found = found.map_err(|error| format!("the host `{host}` is not found: {error}"))?;
    for address in found {
        let is_private = match address.ip() {
            IpAddr::V4(ip) => {
                ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_unspecified()
            }
            IpAddr::V6(ip) => {
                ip.is_loopback()
                    || ip.is_unspecified()
                    || ip.is_unique_local()
                    || ip.is_unicast_link_local()
            }
        };
        if is_private {
            return Err(format!(
                "the host `{host}` is private, which the block does not allow"
            ));
        }
    }
    Ok(())
}

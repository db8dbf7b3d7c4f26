//! A notification by a webhook of which a block says each part.
//!
//! The parts name `{{subject}}`, `{{body}}`, `{{name}}` and the block's secrets. They are filled in
//! one pass: the text of an event, which anybody may write, can name a secret and does not get it.

use std::time::Duration;

use reqwest::RequestBuilder;
use reqwest::header::{COOKIE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use serde_json::{Map, Value as Json};

use super::{Block, Clients, PATIENCE};
use crate::http::percent_encoded;
use crate::schemas::json_schema::python;

/// Returns the request and how long its receiver may take.
pub(super) fn request(
    clients: &Clients,
    block: &Block,
    subject: &str,
    body: &str,
) -> Result<(RequestBuilder, Duration), String> {
    let known = Known::of(block, subject, body);
    let url = known.filled(block.text("url")?);
    let url = match known.pairs(&block.data["params"]) {
        params if params.is_empty() => url,
        params => {
            let mark = if url.contains('?') { '&' } else { '?' };
            format!("{url}{mark}{}", form(&params))
        }
    };
    let request = clients
        .request(block, block.method()?, &url)?
        .headers(headers(&known, block)?);
    let request = match (&block.data["json_data"], &block.data["form_data"]) {
        (Json::Null, Json::String(text)) => request.body(known.filled(text)),
        (Json::Null, Json::Object(members)) if !members.is_empty() => {
            let fields = form(&known.pairs(&block.data["form_data"]));
            let kind = ("Content-Type", "application/x-www-form-urlencoded");
            match block.has_header(kind.0) {
                true => request.body(fields),
                false => request.header(kind.0, kind.1).body(fields),
            }
        }
        (Json::Null, _) => request,
        (data, _) => request.json(&known.json(data)),
    };
    let patience = block.data["timeout"].as_f64();
    let patience = patience.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    Ok((request, patience.unwrap_or(PATIENCE)))
}

/// Returns the headers of the block, its cookies, and who sends it unless the block says that too.
fn headers(known: &Known, block: &Block) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    headers.insert(
        USER_AGENT,
        HeaderValue::from_static("Prefect Notifications"),
    );
    let cookies = known.pairs(&block.data["cookies"]);
    let cookies = cookies
        .iter()
        .map(|(name, value)| format!("{name}={value}"));
    let cookies = cookies.collect::<Vec<_>>().join("; ");
    if !cookies.is_empty() {
        let cookies = HeaderValue::try_from(cookies);
        headers.insert(COOKIE, cookies.map_err(|_| "the cookies cannot be sent")?);
    }
    for (name, value) in known.pairs(&block.data["headers"]) {
        let cannot = |_| format!("the header `{name}` cannot be sent");
        let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| cannot(()))?;
        let name = HeaderName::try_from(name.as_str()).map_err(|_| cannot(()))?;
        headers.insert(name, value);
    }
    Ok(headers)
}

/// Returns fields as forms have them, also in a URL.
fn form(pairs: &[(String, String)]) -> String {
    let field = |text: &str| percent_encoded(text).replace("%20", "+");
    let fields = pairs
        .iter()
        .map(|(name, value)| format!("{}={}", field(name), field(value)));
    fields.collect::<Vec<_>>().join("&")
}

/// What the parts may name.
struct Known(Map<String, Json>);

impl Known {
    fn of(block: &Block, subject: &str, body: &str) -> Self {
        let secrets = block.data["secrets"].as_object();
        let mut known = secrets.cloned().unwrap_or_default();
        let name = block.data["name"].as_str().unwrap_or_default();
        for (word, text) in [("subject", subject), ("body", body), ("name", name)] {
            known.insert(word.to_owned(), text.into());
        }
        Self(known)
    }

    /// Fills a text; what nobody knows stays as it is.
    fn filled(&self, text: &str) -> String {
        let (mut filled, mut rest) = (String::with_capacity(text.len()), text);
        while let Some(start) = rest.find("{{") {
            filled.push_str(&rest[..start]);
            rest = &rest[start..];
            match placeholder(rest).and_then(|(name, after)| Some((self.0.get(name)?, after))) {
                Some((Json::String(value), after)) => {
                    filled.push_str(value);
                    rest = after;
                }
                Some((value, after)) => {
                    filled.push_str(&python(value));
                    rest = after;
                }
                None => {
                    filled.push('{');
                    rest = &rest[1..];
                }
            }
        }
        filled + rest
    }

    /// Fills the texts in a value; a text that is one name becomes what that stands for.
    fn json(&self, value: &Json) -> Json {
        match value {
            Json::String(text) => match placeholder(text) {
                Some((name, "")) if self.0.contains_key(name) => self.0[name].clone(),
                _ => Json::String(self.filled(text)),
            },
            Json::Array(items) => items.iter().map(|item| self.json(item)).collect(),
            Json::Object(members) => {
                let members = members.iter();
                members
                    .map(|(name, value)| (name.clone(), self.json(value)))
                    .collect()
            }
            Json::Null | Json::Bool(_) | Json::Number(_) => value.clone(),
        }
    }

    /// Returns the members of an object with their texts filled.
    fn pairs(&self, object: &Json) -> Vec<(String, String)> {
        let members = object.as_object().into_iter().flatten();
        let text = |value: &Json| {
            value
                .as_str()
                .map_or_else(String::new, |text| self.filled(text))
        };
        members
            .map(|(name, value)| (name.clone(), text(value)))
            .collect()
    }
}

/// Returns the name between the braces that a text begins with, and what comes after them.
fn placeholder(text: &str) -> Option<(&str, &str)> {
    let (name, after) = text.strip_prefix("{{")?.split_once("}}")?;
    Some((name.trim(), after))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn made(mut data: Json, subject: &str, body: &str) -> (reqwest::Request, Duration) {
        data["url"] = "http://there/hook".into();
        let block = Block {
            slug: "custom-webhook".to_owned(),
            data,
        };
        let (request, patience) = request(&Clients::default(), &block, subject, body).unwrap();
        (request.build().unwrap(), patience)
    }

    /// The request as it is sent: URL, headers in order, body.
    fn picture(data: Json) -> String {
        let (request, _) = made(data, "S {{tok}}", "B & é={{body}}");
        let mut headers: Vec<String> = request
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        headers.sort();
        let body = request.body().and_then(reqwest::Body::as_bytes);
        let body = String::from_utf8(body.unwrap_or_default().to_vec()).unwrap();
        format!("{} | {} | {body}", request.url(), headers.join(", "))
    }

    #[test]
    fn each_part_of_a_custom_webhook_is_sent() {
        insta::assert_snapshot!(
            picture(json!({"form_data": {"s": "{{subject}}", "b": "{{ body }}"}})),
            @"http://there/hook | content-type: application/x-www-form-urlencoded, user-agent: Prefect Notifications | s=S+%7B%7Btok%7D%7D&b=B+%26+%C3%A9%3D%7B%7Bbody%7D%7D"
        );
        insta::assert_snapshot!(
            picture(json!({"form_data": "raw {{body}}"})),
            @"http://there/hook | user-agent: Prefect Notifications | raw B & é={{body}}"
        );
        insta::assert_snapshot!(
            picture(json!({
                "name": "n", "params": {"p": "a {{name}}"}, "headers": {"User-Agent": "mine"},
                "cookies": {"ck": "{{tok}}", "b": "1"}, "secrets": {"tok": "T0K"},
            })),
            @"http://there/hook?p=a+n | cookie: ck=T0K; b=1, user-agent: mine | "
        );
    }

    #[test]
    fn the_text_of_an_event_names_a_secret_in_vain() {
        insta::assert_snapshot!(
            picture(json!({
                "json_data": {"a": "{{subject}}", "t": "x {{tok}}", "n": "{{count}}", "c": "{{count}}.", "u": "{{{tok}}}"},
                "secrets": {"tok": "T0K", "count": 3},
            })),
            @r#"http://there/hook | content-type: application/json, user-agent: Prefect Notifications | {"a":"S {{tok}}","t":"x T0K","n":3,"c":"3.","u":"{T0K}"}"#
        );
    }

    #[test]
    fn a_receiver_may_take_as_long_as_the_block_says() {
        assert_eq!(
            made(json!({"timeout": 0.5}), "", "").1,
            Duration::from_millis(500)
        );
        assert_eq!(made(json!({"timeout": -1}), "", "").1, PATIENCE);
    }
}

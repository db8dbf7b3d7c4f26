//! Which pages of other origins may use the API from a browser.
//!
//! The genuine servers let every page in. Where nobody is asked for credentials that would let any
//! page that is open in a browser deploy and start commands on this machine, so there only pages
//! of the machine itself are let in: a dashboard on another port. Where credentials are asked for,
//! whoever has them may come from anywhere. A setting says otherwise. Credentials that a browser
//! adds by itself are never wanted, so what a page can do is what anybody could without a browser.

use std::time::Duration;

use axum::http::HeaderValue;
use tower_http::cors::{AllowHeaders, AllowMethods, AllowOrigin, CorsLayer};

use crate::settings::Settings;

/// How long a browser may remember what it was told, as the genuine servers have it.
const REMEMBERED: Duration = Duration::from_secs(600);

/// Returns what tells browsers which pages are let in.
pub fn layer(settings: &Settings) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(origins(settings))
        .allow_methods(AllowMethods::mirror_request())
        .allow_headers(AllowHeaders::mirror_request())
        .max_age(REMEMBERED)
}

fn origins(settings: &Settings) -> AllowOrigin {
    let named = settings.server_cors_allowed_origins.as_deref();
    let is_asked = settings.server_api_auth_string.is_some();
    match named.map(str::trim) {
        Some("*") => AllowOrigin::any(),
        Some(list) => {
            let list: Vec<String> = list
                .split(',')
                .map(|origin| origin.trim().trim_end_matches('/').to_ascii_lowercase())
                .collect();
            AllowOrigin::predicate(move |origin, _| {
                let origin = origin.as_bytes().to_ascii_lowercase();
                list.iter().any(|allowed| allowed.as_bytes() == origin)
            })
        }
        None if is_asked => AllowOrigin::any(),
        None => AllowOrigin::predicate(|origin, _| is_of_this_machine(origin)),
    }
}

/// Tells whether an origin is `http(s)://` and a name of the loopback, with or without a port.
fn is_of_this_machine(origin: &HeaderValue) -> bool {
    let Ok(origin) = origin.to_str() else {
        return false;
    };
    let rest = origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"));
    let Some(rest) = rest else { return false };
    let host = match rest.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() => host,
        _ => rest,
    };
    ["localhost", "127.0.0.1", "[::1]"].contains(&host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_the_loopback_are_of_this_machine() {
        for (origin, wanted) in [
            ("http://localhost", true),
            ("http://localhost:3000", true),
            ("https://127.0.0.1:8080", true),
            ("http://[::1]:3000", true),
            ("http://localhost.evil.com", false),
            ("http://localhost:3000.evil.com", false),
            ("http://evil.com:80", false),
            ("http://127.0.0.1.evil.com", false),
            ("file://localhost", false),
            ("null", false),
            ("", false),
        ] {
            let origin = HeaderValue::from_static(origin);
            assert_eq!(is_of_this_machine(&origin), wanted, "{origin:?}");
        }
    }
}

//! The dashboard: files built by npm, embedded in the executable.
//!
//! `cargo build` never calls npm. Where nothing was built, a small page says what this is and how
//! to get the dashboard, so that a developer never faces a blank page. Hashed files never change
//! and are cached for good; the page itself is asked for again each time, by its `ETag`.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header, response};
use axum::response::{IntoResponse, Response};
use rust_embed::{EmbeddedFile, RustEmbed};

use super::AppState;

#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/ui-static/dist"]
#[allow_missing = true]
struct Dist;

/// Nothing runs but our own files, and nothing is asked of another host.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; \
     connect-src 'self'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'; trusted-types svelte-trusted-html prefect-rs-streams";

/// What the page says of where it lies; a build knows nothing else of its place.
const BASE: &str = "<base href=\"/\" />";

const STATUS_PAGE: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>prefect-rs</title>\
     <h1>prefect-rs is running</h1><p>The API answers under <a href=\"api/health\"><code>/api</code></a>.</p>\
     <p>This executable was built without the dashboard: run <code>make build</code> to have it.</p></html>";

/// Where other servers describe their API to people and programs, which a page would mislead.
const DOCUMENTS: [&str; 3] = ["docs", "redoc", "openapi.json"];

/// Serves a file of the dashboard, or its page for every address that the page may know.
pub async fn serve(
    State(state): State<AppState>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let path = uri.path().trim_start_matches('/');
    let is_api = path == "api" || path.starts_with("api/") || DOCUMENTS.contains(&path);
    if is_api || !state.settings.server_ui_enabled {
        let body = axum::Json(serde_json::json!({"detail": "Not Found"}));
        return (StatusCode::NOT_FOUND, body).into_response();
    }
    if method != Method::GET && method != Method::HEAD {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    match Dist::get(path).filter(|_| !path.is_empty() && path != "index.html") {
        Some(file) => asset(path, file, &headers),
        // A file that is gone is told so: a page in its place would be run as a script.
        None if path.starts_with("assets/") => StatusCode::NOT_FOUND.into_response(),
        None => page(&headers, &base(&state.settings.server_ui_serve_base)),
    }
}

/// The path of a setting with one slash at its start and none at its end; nothing for the root.
pub fn base(setting: &str) -> String {
    let parts: Vec<&str> = setting.split('/').filter(|part| !part.is_empty()).collect();
    parts.iter().map(|part| format!("/{part}")).collect()
}

fn asset(path: &str, plain: EmbeddedFile, headers: &HeaderMap) -> Response {
    let cache = if path.starts_with("assets/") {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let (file, encoding) = smallest(path, plain, headers);
    let kind = content_type(path);
    answer(file, kind, encoding, cache, headers)
}

fn page(headers: &HeaderMap, base: &str) -> Response {
    const HTML: &str = "text/html; charset=utf-8";
    let Some(plain) = Dist::get("index.html") else {
        let kind = [
            (header::CONTENT_TYPE, HTML),
            (header::CONTENT_SECURITY_POLICY, POLICY),
        ];
        return (kind, STATUS_PAGE).into_response();
    };
    if base.is_empty() {
        let (file, encoding) = smallest("index.html", plain, headers);
        return answer(file, HTML, encoding, "no-cache", headers);
    }
    let text = String::from_utf8_lossy(&plain.data);
    let moved = text.replacen(BASE, &format!("<base href=\"{}/\" />", attribute(base)), 1);
    let tag = tag(&plain, base);
    finish(
        common(&tag, "no-cache"),
        &tag,
        HTML,
        Body::from(moved),
        headers,
    )
}

/// A text inside an attribute.
fn attribute(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('"', "&quot;")
        .replace('<', "&lt;")
}

/// The file as the build has compressed it, if the browser understands that.
fn smallest(
    path: &str,
    plain: EmbeddedFile,
    headers: &HeaderMap,
) -> (EmbeddedFile, Option<&'static str>) {
    let accepted = headers
        .get(header::ACCEPT_ENCODING)
        .and_then(|v| v.to_str().ok())
        .unwrap_or("");
    let accepts = |name: &str| {
        let mut parts = accepted
            .split(',')
            .map(|part| part.trim().split(';').collect::<Vec<_>>());
        parts.any(|part| part[0] == name && !part[1..].iter().any(|q| q.trim() == "q=0"))
    };
    for (name, extension) in [("br", "br"), ("gzip", "gz")] {
        if accepts(name)
            && let Some(file) = Dist::get(&format!("{path}.{extension}"))
        {
            return (file, Some(name));
        }
    }
    (plain, None)
}

fn answer(
    file: EmbeddedFile,
    kind: &'static str,
    encoding: Option<&'static str>,
    cache: &'static str,
    headers: &HeaderMap,
) -> Response {
    let tag = tag(&file, "");
    let mut response = common(&tag, cache);
    if let Some(encoding) = encoding {
        response = response.header(header::CONTENT_ENCODING, encoding);
    }
    finish(response, &tag, kind, Body::from(file.data), headers)
}

fn tag(file: &EmbeddedFile, base: &str) -> String {
    let hash = file.metadata.sha256_hash();
    let hash: String = hash[..12].iter().map(|b| format!("{b:02x}")).collect();
    // The same page under another base is another page.
    let place: String = base.bytes().map(|b| format!("{b:02x}")).collect();
    format!("\"{hash}{place}\"")
}

fn common(tag: &str, cache: &'static str) -> response::Builder {
    Response::builder()
        .header(header::ETAG, tag)
        .header(header::CACHE_CONTROL, cache)
        .header(header::VARY, "accept-encoding")
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
        .header(header::REFERRER_POLICY, "same-origin")
        .header("cross-origin-opener-policy", "same-origin")
        .header("cross-origin-resource-policy", "same-origin")
        .header(header::CONTENT_SECURITY_POLICY, POLICY)
}

fn finish(
    response: response::Builder,
    tag: &str,
    kind: &'static str,
    body: Body,
    headers: &HeaderMap,
) -> Response {
    let asked = headers
        .get(header::IF_NONE_MATCH)
        .and_then(|v| v.to_str().ok())
        .unwrap_or("");
    let is_known = asked
        .split(',')
        .any(|one| one.trim().trim_start_matches("W/") == tag);
    let response = if is_known {
        response
            .status(StatusCode::NOT_MODIFIED)
            .body(Body::empty())
    } else {
        response.header(header::CONTENT_TYPE, kind).body(body)
    };
    response.expect("the headers are ours")
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "json" => "application/json",
        "html" => "text/html; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::sync::Arc;

    use axum::body::to_bytes;
    use axum::http::Request;
    use tower::ServiceExt;

    use crate::clock::MockClock;
    use crate::db::Db;
    use crate::server::HttpService;
    use crate::settings::{DatabaseUrl, Settings, Synchronous};

    async fn app(change: impl FnOnce(&mut Settings)) -> (HttpService, tempfile::TempDir) {
        let home = tempfile::tempdir().unwrap();
        let url = DatabaseUrl::Sqlite(home.path().join("orion.db"));
        let db = Db::open(&url, Synchronous::Normal).await.unwrap();
        let mut settings = Settings::default_for(home.path());
        change(&mut settings);
        let clock = Arc::new(MockClock::at(chrono::DateTime::UNIX_EPOCH));
        (HttpService::new(AppState::new(db, clock, settings)), home)
    }

    async fn seen(app: &HttpService, paths: &[&str]) -> String {
        let mut out = Vec::new();
        for path in paths {
            let request = Request::get(*path).body(Body::empty()).unwrap();
            let response = app.clone().oneshot(request).await.unwrap();
            let kind = response.headers().get(header::CONTENT_TYPE).cloned();
            let status = response.status().as_u16();
            let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
            let text = String::from_utf8_lossy(&body).into_owned();
            // Without a build there is the status page, which lies nowhere in particular.
            let base = text.split("<base href=\"").nth(1);
            let base = base.and_then(|rest| rest.split('"').next());
            out.push(format!(
                "{path} {status} {} {}",
                kind.map_or("-".into(), |k| k.to_str().unwrap().to_owned()),
                base.unwrap_or("")
            ));
        }
        out.join("\n").replace(" \n", "\n").trim_end().to_owned()
    }

    #[tokio::test]
    async fn deep_links_give_the_page_and_unknown_files_do_not() {
        let (app, _home) = app(|_| {}).await;
        let paths = [
            "/",
            "/flow-run/x",
            "/api/nowhere",
            "/assets/gone.js",
            "/openapi.json",
        ];
        let seen = seen(&app, &paths).await.replace(" /\n", "\n");
        insta::assert_snapshot!(seen, @r"
        / 200 text/html; charset=utf-8
        /flow-run/x 200 text/html; charset=utf-8
        /api/nowhere 404 application/json
        /assets/gone.js 404 -
        /openapi.json 404 application/json
        ");
    }

    #[tokio::test]
    async fn under_a_base_both_the_page_and_the_api_are_found_at_both_places() {
        let (app, _home) = app(|s| s.server_ui_serve_base = "flows/ops/".into()).await;
        let paths = [
            "/",
            "/flows/ops",
            "/flows/ops/",
            "/flows/ops/runs",
            "/flows/ops/api/health",
            "/api/health",
        ];
        let seen = seen(&app, &paths).await.replace(" /flows/ops/\n", "\n");
        insta::assert_snapshot!(seen, @r"
        / 200 text/html; charset=utf-8
        /flows/ops 200 text/html; charset=utf-8
        /flows/ops/ 200 text/html; charset=utf-8
        /flows/ops/runs 200 text/html; charset=utf-8
        /flows/ops/api/health 200 application/json
        /api/health 200 application/json
        ");
    }

    #[test]
    fn a_base_has_one_form_and_stays_inside_its_attribute() {
        let forms = ["", "/", "//", "a", "/a/", "a//b/"].map(base);
        assert_eq!(forms, ["", "", "", "/a", "/a", "/a/b"]);
        assert_eq!(attribute("/a\"><script>"), "/a&quot;>&lt;script>");
    }

    #[tokio::test]
    async fn a_server_without_the_dashboard_has_no_page() {
        let (app, _home) = app(|s| s.server_ui_enabled = false).await;
        assert_eq!(
            seen(&app, &["/", "/api/health"]).await,
            "/ 404 application/json\n/api/health 200 application/json"
        );
    }

    #[tokio::test]
    async fn the_page_forbids_scripts_that_are_not_files_of_ours() {
        let (app, _home) = app(|_| {}).await;
        let request = Request::get("/").body(Body::empty()).unwrap();
        let response = app.oneshot(request).await.unwrap();
        let policy = response.headers()[header::CONTENT_SECURITY_POLICY]
            .to_str()
            .unwrap();
        assert!(policy.contains("script-src 'self';") && !policy.contains("unsafe"));
    }
}

//! The dashboard: files built by npm, embedded in the executable.
//!
//! `cargo build` never calls npm. Where nothing was built, a small page says what this is and how
//! to get the dashboard, so that a developer never faces a blank page. Hashed files never change
//! and are cached for good; the page itself is asked for again each time, by its `ETag`.

use axum::body::Body;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use rust_embed::{EmbeddedFile, RustEmbed};

#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/ui-static/dist"]
#[allow_missing = true]
struct Dist;

/// Nothing runs but our own files, and nothing is asked of another host.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; \
     connect-src 'self'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'";

const STATUS_PAGE: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>prefect-rs</title>\
     <h1>prefect-rs is running</h1><p>The API answers under <a href=\"api/health\"><code>/api</code></a>.</p>\
     <p>This executable was built without the dashboard: run <code>make build</code> to have it.</p></html>";

/// Serves a file of the dashboard, or its page for every address that the page may know.
pub async fn serve(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path().trim_start_matches('/');
    if path == "api" || path.starts_with("api/") {
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
        None => page(&headers),
    }
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

fn page(headers: &HeaderMap) -> Response {
    match Dist::get("index.html") {
        Some(plain) => {
            let (file, encoding) = smallest("index.html", plain, headers);
            answer(
                file,
                "text/html; charset=utf-8",
                encoding,
                "no-cache",
                headers,
            )
        }
        None => {
            let kind = [
                (header::CONTENT_TYPE, "text/html; charset=utf-8"),
                (header::CONTENT_SECURITY_POLICY, POLICY),
            ];
            (kind, STATUS_PAGE).into_response()
        }
    }
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
    let tag: String = file.metadata.sha256_hash()[..12]
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    let tag = format!("\"{tag}\"");
    let asked = headers
        .get(header::IF_NONE_MATCH)
        .and_then(|v| v.to_str().ok());
    let mut response = Response::builder()
        .header(header::ETAG, &tag)
        .header(header::CACHE_CONTROL, cache)
        .header(header::VARY, "accept-encoding")
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
        .header(header::REFERRER_POLICY, "same-origin")
        .header(header::CONTENT_SECURITY_POLICY, POLICY);
    if asked.is_some_and(|asked| {
        asked
            .split(',')
            .any(|one| one.trim().trim_start_matches("W/") == tag)
    }) {
        response = response.status(StatusCode::NOT_MODIFIED);
        return response.body(Body::empty()).expect("the headers are ours");
    }
    response = response.header(header::CONTENT_TYPE, kind);
    if let Some(encoding) = encoding {
        response = response.header(header::CONTENT_ENCODING, encoding);
    }
    response
        .body(Body::from(file.data))
        .expect("the headers are ours")
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

    async fn get(path: &str) -> Response {
        serve(Method::GET, path.parse().unwrap(), HeaderMap::new()).await
    }

    #[tokio::test]
    async fn deep_links_give_the_page_and_unknown_files_do_not() {
        let mut out = Vec::new();
        for path in ["/", "/flow-run/x", "/api/nowhere", "/assets/gone.js"] {
            let response = get(path).await;
            let kind = response.headers().get(header::CONTENT_TYPE);
            out.push(format!(
                "{path} {} {}",
                response.status().as_u16(),
                kind.map_or("-", |k| k.to_str().unwrap())
            ));
        }
        insta::assert_snapshot!(out.join("\n"), @r"
        / 200 text/html; charset=utf-8
        /flow-run/x 200 text/html; charset=utf-8
        /api/nowhere 404 application/json
        /assets/gone.js 404 -
        ");
    }

    #[tokio::test]
    async fn the_page_forbids_scripts_that_are_not_files_of_ours() {
        let response = get("/").await;
        let policy = response.headers()[header::CONTENT_SECURITY_POLICY]
            .to_str()
            .unwrap();
        assert!(policy.contains("script-src 'self';") && !policy.contains("unsafe"));
    }
}

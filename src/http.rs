//! What all that speak HTTP share: where a client begins, since TLS must be told whose cryptography to use, and
//! how a name becomes a part of a path.

/// Begins a client of HTTP.
///
/// ```
/// let client = prefect_rs::http::client().build().unwrap();
/// ```
#[allow(
    clippy::disallowed_methods,
    reason = "this is the function that all others are sent to"
)]
pub fn client() -> reqwest::ClientBuilder {
    // Refused when somebody was faster, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
}

/// Returns a text as one segment of a path or one value of a form: all but unreserved characters are escaped.
pub(crate) fn percent_encoded(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(byte as char)
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

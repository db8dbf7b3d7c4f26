//! Where every client of HTTP begins, since TLS must be told whose cryptography to use.

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

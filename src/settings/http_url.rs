//! The URL of an API, checked where it is set, since where it is used the place to repair it is long forgotten.

use std::{fmt, str::FromStr};

use super::value::Value;

/// A URL of HTTP with a host, as it was written.
///
/// ```
/// use prefect_rs::sdk::{HttpUrl, Settings};
///
/// let mut settings = Settings::default_for("/tmp/home");
/// settings.api_url = Some("http://127.0.0.1:4200/api".parse().unwrap());
/// assert!("127.0.0.1:4200/api".parse::<HttpUrl>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpUrl(String);

impl HttpUrl {
    /// Returns it as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for HttpUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        // The parser leaves some of these out and escapes others, so that the URL would lead elsewhere than it reads.
        if let Some(found) = text.chars().find(|c| c.is_whitespace() || c.is_control()) {
            let what = match found {
                ' ' => "a space",
                '\t' => "a tab",
                '\n' | '\r' => "a line break",
                other if other.is_whitespace() => "white space",
                _ => "a control character",
            };
            return Err(format!("it has {what} in it"));
        }
        // Schemes are written in either case.
        let scheme = text.split_once("://").map(|(scheme, _)| scheme);
        let is_http = scheme.is_some_and(|scheme| {
            ["http", "https"]
                .iter()
                .any(|known| scheme.eq_ignore_ascii_case(known))
        });
        if !is_http {
            return Err("it begins neither with http:// nor https://".to_owned());
        }
        reqwest::Url::parse(text)
            .map(|_| Self(text.to_owned()))
            .map_err(|error| format!("it is no URL: {error}"))
    }
}

impl Value for HttpUrl {
    const ALLOWED: &'static str = "a URL such as http://127.0.0.1:4200/api";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse()
    }

    fn text(&self) -> Option<String> {
        Some(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::HttpUrl;

    #[rstest]
    #[case("http://127.0.0.1:4200/api")]
    #[case("HTTPS://prefect.example:443/some/api")]
    #[case("http://[::1]:4200/api")]
    fn what_leads_to_an_api(#[case] text: &str) {
        assert_eq!(text.parse::<HttpUrl>().unwrap().as_str(), text);
    }

    #[test]
    fn what_surrounds_it_is_left_out() {
        let url: HttpUrl = " http://127.0.0.1:4200/api\r\n".parse().unwrap();
        assert_eq!(url.as_str(), "http://127.0.0.1:4200/api");
    }

    #[rstest]
    #[case("nonsense", "neither")]
    #[case("localhost:4200/api", "neither")]
    #[case("ftp://h/api", "neither")]
    #[case("http://", "no URL")]
    #[case("http://h:99999/api", "no URL")]
    #[case("http://127.0.0.1:4200/api\nhttp://127.0.0.1:4201/api", "a line break")]
    #[case("http://127.0.0.1:4200/\r\napi", "a line break")]
    #[case("http://127.0.0.1:4200/\tapi", "a tab")]
    #[case("http://127.0.0.1:4200/my api", "a space")]
    #[case("http: //127.0.0.1:4200/api", "a space")]
    #[case("http://127.0.0.1:4200/\u{a0}api", "white space")]
    #[case("http://127.0.0.1:4200/\u{1b}[31mapi", "a control character")]
    #[case("http://127.0.0.1:4200/api\0", "a control character")]
    fn what_does_not(#[case] text: &str, #[case] expected: &str) {
        let message = text.parse::<HttpUrl>().unwrap_err();
        assert!(message.contains(expected), "{message}");
    }
}

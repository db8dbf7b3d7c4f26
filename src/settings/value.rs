//! The types that a setting can have, each with its way from text and back.
//!
//! What Python's settings accept is accepted here too (`True`, `1`, `on`; seconds, `HH:MM:SS` or `P1D` for a time span),
//! since one environment serves both.

use std::{collections::BTreeMap, env, fmt, path::PathBuf, time::Duration};

use super::HOME_TEMPLATE;

/// What stands in place of a secret.
pub const MASK: &str = "********";

/// A type that a setting can have.
pub trait Value: Sized {
    /// What values are allowed, as it stands in messages.
    const ALLOWED: &'static str;
    /// Whether the value is masked when shown.
    const IS_SECRET: bool = false;

    /// Parses the text of a variable; the error says what is wrong with it.
    fn parse(text: &str) -> Result<Self, String>;

    /// Parses a text in which the home directory may stand as a template.
    fn parse_in(text: &str, home: &str) -> Result<Self, String> {
        Self::parse(&text.replace(HOME_TEMPLATE, home))
    }

    /// Returns a text that is no such value as people may see it.
    fn shown_invalid(text: &str) -> String {
        match Self::IS_SECRET {
            true => MASK.to_owned(),
            false => text.to_owned(),
        }
    }

    /// Returns the value as text that [`Value::parse`] would take, or `None` if it is not set.
    fn text(&self) -> Option<String>;

    /// Returns the value as people may see it.
    fn shown(&self) -> Option<String> {
        self.text().map(|text| match Self::IS_SECRET {
            true => MASK.to_owned(),
            false => text,
        })
    }
}

impl<T: Value> Value for Option<T> {
    const ALLOWED: &'static str = T::ALLOWED;
    const IS_SECRET: bool = T::IS_SECRET;

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "" => Ok(None),
            text => T::parse(text).map(Some),
        }
    }

    fn parse_in(text: &str, home: &str) -> Result<Self, String> {
        match text {
            "" => Ok(None),
            text => T::parse_in(text, home).map(Some),
        }
    }

    fn shown_invalid(text: &str) -> String {
        T::shown_invalid(text)
    }

    fn text(&self) -> Option<String> {
        self.as_ref().and_then(T::text)
    }

    fn shown(&self) -> Option<String> {
        self.as_ref().and_then(T::shown)
    }
}

impl Value for String {
    const ALLOWED: &'static str = "any text";

    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }

    fn text(&self) -> Option<String> {
        Some(self.clone())
    }
}

impl Value for bool {
    const ALLOWED: &'static str = "true or false";

    fn parse(text: &str) -> Result<Self, String> {
        match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "y" | "on" | "t" => Ok(true),
            "false" | "0" | "no" | "n" | "off" | "f" => Ok(false),
            _ => Err("it is neither yes nor no".to_owned()),
        }
    }

    fn text(&self) -> Option<String> {
        Some(self.to_string())
    }
}

/// Implements [`Value`] for whole numbers.
macro_rules! whole_numbers {
    ($($type:ty: $allowed:literal),* $(,)?) => {$(
        impl Value for $type {
            const ALLOWED: &'static str = $allowed;

            fn parse(text: &str) -> Result<Self, String> {
                text.trim().replace('_', "").parse().map_err(|_| "it is no such number".to_owned())
            }

            fn text(&self) -> Option<String> {
                Some(self.to_string())
            }
        }
    )*};
}

whole_numbers! {
    u16: "a whole number from 0 to 65535",
    u32: "a whole number from 0",
    usize: "a whole number from 0",
}

impl Value for f64 {
    const ALLOWED: &'static str = "a number from 0";

    fn parse(text: &str) -> Result<Self, String> {
        let number: Self = text
            .trim()
            .parse()
            .map_err(|_| "it is not a number".to_owned())?;
        match number.is_finite() && number >= 0.0 {
            true => Ok(number),
            false => Err("it is out of range".to_owned()),
        }
    }

    fn text(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Value for Duration {
    const ALLOWED: &'static str =
        "a time span in seconds, as HH:MM:SS, as P1DT2H, or in words such as 10m or 2 hours";

    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let seconds = if let Some(iso) = text.strip_prefix(['P', 'p']) {
            iso_seconds(iso)
        } else if text.contains(':') {
            clock_seconds(text)
        } else {
            text.parse().ok().or_else(|| worded_seconds(text))
        };
        let seconds: f64 = seconds.ok_or("it is not a time span")?;
        Self::try_from_secs_f64(seconds).map_err(|_| "it is out of range".to_owned())
    }

    fn text(&self) -> Option<String> {
        Some(self.as_secs_f64().to_string())
    }
}

/// Reads `[D day[s],] [HH:]MM:SS`.
fn clock_seconds(text: &str) -> Option<f64> {
    let (days, clock) = match text.rsplit_once(' ') {
        Some((days, clock)) => (days.trim_end_matches(',').split(' ').next()?, clock),
        None => ("0", text),
    };
    let days: f64 = days.parse().ok()?;
    let parts: Vec<f64> = clock
        .split(':')
        .map(|part| part.parse().ok())
        .collect::<Option<_>>()?;
    if parts.len() > 3 {
        return None;
    }
    let seconds = parts.iter().fold(0.0, |sum, part| sum * 60.0 + part);
    Some(days * 86_400.0 + seconds)
}

/// Reads numbers with units, such as `10m`, `1h 30m` or `2 days, 4 hours`.
fn worded_seconds(text: &str) -> Option<f64> {
    const UNITS: &[(&[&str], f64)] = &[
        (&["s", "sec", "second"], 1.0),
        (&["m", "min", "minute"], 60.0),
        (&["h", "hr", "hour"], 3_600.0),
        (&["d", "day"], 86_400.0),
        (&["w", "week"], 604_800.0),
    ];
    let is_between = |c: char| c.is_whitespace() || c == ',';
    let mut rest = text.trim_start_matches(is_between);
    let mut total = None;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        rest = rest[end..].trim_start();
        let end = rest
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(rest.len());
        let word = rest[..end].to_ascii_lowercase();
        // `ms` is no plural of minutes.
        let one = word.strip_suffix('s').filter(|one| one.len() > 1);
        let (_, seconds) = UNITS.iter().find(|(names, _)| {
            names.contains(&word.as_str()) || one.is_some_and(|one| names.contains(&one))
        })?;
        total = Some(total.unwrap_or(0.0) + number * seconds);
        rest = rest[end..].trim_start_matches(is_between);
    }
    total
}

/// Reads an ISO 8601 duration of weeks, days, hours, minutes and seconds, its `P` taken off.
fn iso_seconds(text: &str) -> Option<f64> {
    let (date, time) = match text.split_once(['T', 't']) {
        Some((_, "")) => return None,
        Some((date, time)) => (date, time),
        None => (text, ""),
    };
    if date.is_empty() && time.is_empty() {
        return None;
    }
    let date = designated(date, &[('W', 604_800.0), ('D', 86_400.0)])?;
    let time = designated(time, &[('H', 3_600.0), ('M', 60.0), ('S', 1.0)])?;
    Some(date + time)
}

/// Adds up `number designator` pairs.
fn designated(mut text: &str, units: &[(char, f64)]) -> Option<f64> {
    let mut total = 0.0;
    while !text.is_empty() {
        let end = text.find(|c: char| c.is_ascii_alphabetic())?;
        let number: f64 = text[..end].parse().ok()?;
        let letter = text[end..].chars().next()?.to_ascii_uppercase();
        let (_, unit) = units.iter().find(|(designator, _)| *designator == letter)?;
        total += number * unit;
        text = &text[end + 1..];
    }
    Some(total)
}

impl Value for PathBuf {
    const ALLOWED: &'static str = "a path";

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("it is empty".to_owned());
        }
        let Some(rest) = text
            .strip_prefix('~')
            .filter(|rest| rest.is_empty() || rest.starts_with('/'))
        else {
            return Ok(Self::from(text));
        };
        let home = env::home_dir().ok_or(
            "`~` stands for a home directory, which this user has not; write the path in full",
        )?;
        Ok(home.join(rest.trim_start_matches('/')))
    }

    fn text(&self) -> Option<String> {
        Some(self.display().to_string())
    }
}

/// A text that is not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the secret itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Value for Secret {
    const ALLOWED: &'static str = "any text";
    const IS_SECRET: bool = true;

    fn parse(text: &str) -> Result<Self, String> {
        Ok(Self(text.to_owned()))
    }

    fn text(&self) -> Option<String> {
        Some(self.0.clone())
    }
}

/// Declares an enum whose values are words.
macro_rules! words {
    ($(#[$meta:meta])* $type:ident, $allowed:literal { $( $(#[$variant_meta:meta])* $variant:ident = $word:literal $(| $other:literal)*, )* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $type { $( $(#[$variant_meta])* $variant, )* }

        impl $type {
            /// Returns the word for the value.
            pub fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $word, )* }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $type {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                let text = text.trim();
                $( if [$word $(, $other)*].iter().any(|word| word.eq_ignore_ascii_case(text)) { return Ok(Self::$variant); } )*
                Err("it is none of the words".to_owned())
            }
        }

        impl Value for $type {
            const ALLOWED: &'static str = $allowed;

            fn parse(text: &str) -> Result<Self, String> {
                text.parse()
            }

            fn text(&self) -> Option<String> {
                Some(self.as_str().to_owned())
            }
        }
    };
}

/// What a server deletes by itself once it is old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vacuum {
    /// Events.
    pub events: bool,
    /// Flow runs with all that belongs to them.
    pub flow_runs: bool,
    /// Logs and artifacts of flow runs that are gone.
    pub orphans: bool,
}

impl Value for Vacuum {
    const ALLOWED: &'static str =
        "events, flow_runs and orphans, separated by commas; true for all, false for events alone";

    fn parse(text: &str) -> Result<Self, String> {
        let mut vacuum = Self {
            events: false,
            flow_runs: false,
            orphans: false,
        };
        match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" => (vacuum.events, vacuum.flow_runs) = (true, true),
            "false" | "0" | "" => vacuum.events = true,
            words => {
                for word in words
                    .split(',')
                    .map(str::trim)
                    .filter(|word| !word.is_empty())
                {
                    match word {
                        "events" => vacuum.events = true,
                        "flow_runs" => vacuum.flow_runs = true,
                        "orphans" => vacuum.orphans = true,
                        other => return Err(format!("`{other}` is none of the words")),
                    }
                }
            }
        }
        vacuum.orphans |= vacuum.flow_runs;
        Ok(vacuum)
    }

    fn text(&self) -> Option<String> {
        let words = [
            (self.events, "events"),
            (self.flow_runs, "flow_runs"),
            (self.orphans, "orphans"),
        ];
        let words: Vec<_> = words
            .iter()
            .filter(|(is_on, _)| *is_on)
            .map(|(_, word)| *word)
            .collect();
        Some(words.join(","))
    }
}

/// Time spans by the name of what they are for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spans(pub BTreeMap<String, Duration>);

impl Value for Spans {
    const ALLOWED: &'static str =
        r#"a JSON object of time spans in seconds, such as {"my.event": 3600}"#;

    fn parse(text: &str) -> Result<Self, String> {
        let spans: BTreeMap<String, serde_json::Value> =
            serde_json::from_str(text).map_err(|error| format!("it is no JSON object: {error}"))?;
        let read = |(name, span): (String, serde_json::Value)| {
            let text = span
                .as_str()
                .map_or_else(|| span.to_string(), str::to_owned);
            match Duration::parse(&text) {
                Ok(span) => Ok((name, span)),
                Err(reason) => Err(format!("the span of '{name}': {reason}")),
            }
        };
        spans
            .into_iter()
            .map(read)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    fn text(&self) -> Option<String> {
        let seconds = self
            .0
            .iter()
            .map(|(name, span)| (name.clone(), span.as_secs_f64().into()));
        Some(serde_json::Value::Object(seconds.collect()).to_string())
    }
}

words! {
    /// A log level by its Python name.
    LogLevel, "DEBUG, INFO, WARNING, ERROR or CRITICAL" {
        /// Everything.
        Debug = "DEBUG" | "10",
        /// What happens in the ordinary course.
        Info = "INFO" | "20",
        /// What may need attention.
        Warning = "WARNING" | "WARN" | "30",
        /// What failed.
        Error = "ERROR" | "40",
        /// What stops the process.
        Critical = "CRITICAL" | "FATAL" | "50",
    }
}

words! {
    /// The form of log lines.
    LogFormat, "text or json" {
        /// Lines for people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
}

words! {
    /// What SQLite waits for at a commit.
    Synchronous, "full or normal" {
        /// The disk: an answered write survives a power cut.
        Full = "full",
        /// The operating system: an answered write survives the death of any process, not a power cut.
        Normal = "normal",
    }
}

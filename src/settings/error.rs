//! What can be wrong with the settings of a process.
//!
//! A message names the variable, where the value came from and what is allowed, since the place to repair it is often
//! another than the terminal one looks at (a profile, a service file, a container).

use std::{io, path::PathBuf};

use super::{MASK, Setting, Source};

/// A setting or profile that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A value that its setting does not allow.
    #[error("{} is not valid for {} (from {origin}): {reason}; allowed is {}", masked(.setting, .value), .setting.name, .setting.allowed)]
    Invalid {
        /// The setting.
        setting: &'static Setting,
        /// The text that was found.
        value: String,
        /// Where it was found.
        origin: Source,
        /// What is wrong with it.
        reason: String,
    },
    /// A profile that does not exist.
    #[error("profile '{name}' does not exist in {path}; there are: {}", known.join(", "), path = .path.display())]
    NoProfile {
        /// The name that was asked for.
        name: String,
        /// The file that holds the profiles.
        path: PathBuf,
        /// The profiles that do exist.
        known: Vec<String>,
    },
    /// A profile that exists already.
    #[error("profile '{name}' already exists")]
    ProfileExists {
        /// Its name.
        name: String,
    },
    /// A profiles file that cannot be read, parsed or written.
    #[error("the profiles in {} cannot be used: {reason}", .path.display())]
    Profiles {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// What the system answered, where it was the system that refused.
        kind: Option<io::ErrorKind>,
    },
}

/// Returns the value in quotes, or the mask if it is secret.
fn masked(setting: &Setting, value: &str) -> String {
    if setting.is_secret {
        MASK.to_owned()
    } else {
        // A URL may hold a password.
        format!("'{}'", on_one_line(&setting.shown_text(value)))
    }
}

/// Returns a text with its control characters as escapes, so that a line break in it is seen as one.
fn on_one_line(text: &str) -> String {
    let seen = |letter: char| match letter.is_control() {
        true => letter.escape_default().to_string(),
        false => letter.to_string(),
    };
    text.chars().map(seen).collect()
}

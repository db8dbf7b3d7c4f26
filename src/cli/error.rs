//! How a command fails: one message, hints, and an exit code of one public list.
//!
//! A script can tell from the code alone whether to try again, to repair its input, or to look at the server.

use std::{fmt, io, path::Path};

use super::output::word;
use crate::{client, connect, db, settings};

/// What the commands give back.
pub type Result<T = ()> = std::result::Result<T, Error>;

/// Why a command failed, as a process tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Something went wrong that no other code names.
    Failure = 1,
    /// The command line makes no sense; the parser uses the same code.
    Usage = 2,
    /// A setting or a profile cannot be used.
    Settings = 3,
    /// The thing asked for does not exist.
    NotFound = 4,
    /// The thing exists already, or is in a state that forbids this.
    Conflict = 5,
    /// The API cannot be reached.
    Unreachable = 6,
    /// The API wants other credentials.
    Unauthorized = 7,
}

/// Every exit code with its meaning, as the help shows them.
pub const EXIT_CODES: &[(u8, &str)] = &[
    (0, "success"),
    (Code::Failure as u8, "the command failed"),
    (Code::Usage as u8, "the command line is not understood"),
    (Code::Settings as u8, "a setting or profile cannot be used"),
    (Code::NotFound as u8, "the thing asked for does not exist"),
    (
        Code::Conflict as u8,
        "it exists already, or its state forbids this",
    ),
    (Code::Unreachable as u8, "the API cannot be reached"),
    (Code::Unauthorized as u8, "the API wants other credentials"),
    (130, "interrupted"),
];

/// A failure with what can be done about it.
#[derive(Clone, Debug)]
pub struct Error {
    /// Which kind of failure it is.
    pub code: Code,
    message: String,
    hints: Vec<String>,
    /// The exit code of a command that this one ran.
    passed_on: Option<u8>,
}

impl Error {
    /// Makes a failure.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hints: Vec::new(),
            passed_on: None,
        }
    }

    /// Makes the failure of a command that this one ran, whose exit code is passed on.
    pub fn passed_on(code: Option<i32>) -> Self {
        Self {
            passed_on: code
                .and_then(|code| u8::try_from(code).ok())
                .filter(|code| *code != 0),
            ..Self::failure("the command did not complete")
        }
    }

    /// Returns the exit code.
    pub fn exit_code(&self) -> u8 {
        self.passed_on.unwrap_or(self.code as u8)
    }

    /// Makes a failure that no special code names.
    pub fn failure(message: impl Into<String>) -> Self {
        Self::new(Code::Failure, message)
    }

    /// Says that something does not exist.
    pub fn not_found(kind: &str, name: impl fmt::Display) -> Self {
        Self::new(Code::NotFound, format!("there is no {kind} '{name}'"))
    }

    /// Adds a hint.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds a hint if there is one.
    pub fn maybe_hint(self, hint: Option<String>) -> Self {
        match hint {
            Some(hint) => self.hint(hint),
            None => self,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error: {}", self.message)?;
        for hint in &self.hints {
            write!(f, "\nHint: {hint}")?;
        }
        Ok(())
    }
}

impl From<client::Error> for Error {
    fn from(error: client::Error) -> Self {
        let status = error.status().map(|status| status.as_u16());
        let message = match (&error, status) {
            (client::Error::Refused { message, .. }, Some(422)) => {
                format!("the server cannot take this: {message}")
            }
            (client::Error::Refused { message, .. }, Some(409)) => {
                format!("the server refuses this: {message}")
            }
            _ => error.to_string(),
        };
        let request = match &error {
            client::Error::Refused { method, path, .. } => format!("{method} {path}"),
            _ => String::new(),
        };
        // What servers of all generations say where they have no such operation.
        let is_no_route = status == Some(404)
            && matches!(&error, client::Error::Refused { message, .. } if message == "Not Found");
        let is_elsewhere = is_no_route || status == Some(405);
        let code = match (&error, status) {
            (client::Error::Unreachable { .. }, _) => Code::Unreachable,
            _ if is_elsewhere => Code::Failure,
            (_, Some(401 | 403)) => Code::Unauthorized,
            (_, Some(404)) => Code::NotFound,
            (_, Some(409)) => Code::Conflict,
            _ => Code::Failure,
        };
        let is_unreadable = matches!(error, client::Error::Unreadable { .. });
        // What a server that knows no TLS answers to a handshake, in the words of the library.
        let speaks_plainly = matches!(&error, client::Error::Unreachable { url, reason, .. }
            if url.starts_with("https:") && reason.contains("corrupt message"));
        let error = Self::new(code, message);
        match code {
            // The dashboard's address answers so, for example.
            Code::Failure if is_elsewhere => error
                .hint("the URL of an API ends in /api, and servers of older generations lack what later ones have; see yours with `prefect-rs config view --show-sources`"),
            Code::Unreachable if speaks_plainly => error.hint(
                "the server may speak plain HTTP: begin the URL with http:// (`prefect-rs config set PREFECT_API_URL=http://…/api`)",
            ),
            Code::Unreachable => error
                .hint("start a server with `prefect-rs orion start`, or see where the URL comes from with `prefect-rs config view --show-sources`"),
            Code::Unauthorized => error
                .hint("give the credentials with `prefect-rs config set PREFECT_API_AUTH_STRING=user:password` or `PREFECT_API_KEY=key`"),
            Code::Conflict if request.ends_with("/create_flow_run") => error.hint(
                "the deployment checks parameters by the schema of its flow; `prefect-rs deployment inspect` shows both, and `--param NAME=VALUE` gives one",
            ),
            Code::Conflict => error.hint(format!(
                "something of that name exists already, or is in a state that forbids this; the commands `ls` and `inspect` show it (the request was {request})"
            )),
            _ if is_unreadable => error.hint(
                "what answers there is no API of Prefect: the dashboard, if the URL does not end in /api, or a proxy with a page of its own; see yours with `prefect-rs config view --show-sources`",
            ),
            _ if status == Some(422) => error.hint(format!(
                "correct the option or file that gives this value and try again (the request was {request})"
            )),
            _ => error,
        }
    }
}

impl From<connect::Error> for Error {
    fn from(error: connect::Error) -> Self {
        match error {
            connect::Error::NoServer(_) => Self::new(Code::Unreachable, error.to_string()),
            connect::Error::Client(error) => error.into(),
            connect::Error::Database(error) => error.into(),
        }
    }
}

impl From<db::Error> for Error {
    fn from(error: db::Error) -> Self {
        match error {
            db::Error::Foreign { what, remedies } => Self {
                passed_on: None,
                code: Code::Conflict,
                message: what,
                hints: remedies,
            },
            db::Error::Unopened { what, remedy } => Self::failure(what).hint(remedy),
            _ => Self::failure(error.to_string()),
        }
    }
}

impl From<settings::Error> for Error {
    fn from(error: settings::Error) -> Self {
        let code = match &error {
            settings::Error::NoProfile { .. } => Code::NotFound,
            settings::Error::ProfileExists { .. } => Code::Conflict,
            settings::Error::Invalid { .. } | settings::Error::Profiles { .. } => Code::Settings,
        };
        let hint = match &error {
            settings::Error::NoProfile { .. } => {
                "list the profiles with `prefect-rs profile ls`".to_owned()
            }
            settings::Error::ProfileExists { name } => {
                format!(
                    "delete it first with `prefect-rs profile delete {}`",
                    word(name)
                )
            }
            settings::Error::Invalid {
                origin, setting, ..
            } => remedy(origin, setting),
            settings::Error::Profiles { path, kind, .. } => profiles_remedy(path, *kind),
        };
        Self::new(code, error.to_string()).hint(hint)
    }
}

/// Returns what to do about profiles that cannot be used: the fault is in the file, or in where it lies.
fn profiles_remedy(path: &Path, kind: Option<io::ErrorKind>) -> String {
    if let Some(file) = path.ancestors().skip(1).find(|place| place.is_file()) {
        return format!(
            "{} is a file; a home is a folder, choose it with PREFECT_HOME",
            file.display()
        );
    }
    match kind {
        None | Some(io::ErrorKind::InvalidData | io::ErrorKind::IsADirectory) => {
            format!("repair {} by hand", path.display())
        }
        Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
            format!("free space where {} lies; it is as it was", path.display())
        }
        Some(_) => format!(
            "see to it that you may read and write in {}, or choose another home with PREFECT_HOME",
            path.parent().unwrap_or(path).display()
        ),
    }
}

/// Returns how to take away a value that is not valid.
fn remedy(origin: &settings::Source, setting: &settings::Setting) -> String {
    match origin {
        settings::Source::Environment { variable } => {
            format!("take it away with `unset {variable}`")
        }
        settings::Source::Profile { profile, variable } => {
            format!(
                "take '{variable}' out of the profile '{profile}', for example with `prefect-rs -p {} config unset {variable}`",
                word(profile)
            )
        }
        settings::Source::Default | settings::Source::CommandLine => {
            format!("{} says: {}", setting.name, setting.help())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::{Method, StatusCode};

    #[test]
    fn a_fault_of_the_place_is_not_told_as_one_of_the_profiles() {
        let told = |path: &Path, kind| {
            let reason = String::new();
            let path = path.to_owned();
            Error::from(settings::Error::Profiles { path, reason, kind }).to_string()
        };
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("file");
        std::fs::write(&file, "").unwrap();
        let below = file.join("x/profiles.toml");
        let not_there = told(&below, Some(io::ErrorKind::NotADirectory));
        assert!(not_there.contains("file is a file"), "{not_there}");
        let path = home.path().join("profiles.toml");
        let closed = told(&path, Some(io::ErrorKind::PermissionDenied));
        assert!(closed.contains("may read and write"), "{closed}");
        let full = told(&path, Some(io::ErrorKind::StorageFull));
        assert!(full.contains("free space"), "{full}");
        assert!(told(&path, None).contains("by hand"));
    }

    #[test]
    fn what_is_refused_for_its_parameters_is_told_apart_from_a_name_that_is_taken() {
        let refused = |path: &str| {
            let refused = client::Error::Refused {
                method: Method::POST,
                path: path.to_owned(),
                status: StatusCode::CONFLICT,
                message: "'msg' is a required property".to_owned(),
                retry_after: None,
            };
            Error::from(refused).to_string()
        };
        assert!(refused("/deployments/1/create_flow_run").contains("--param NAME=VALUE"));
        assert!(refused("/variables/").contains("of that name exists already"));
    }
}

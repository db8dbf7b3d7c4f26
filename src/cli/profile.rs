//! `profile`: named sets of settings.

use clap::Subcommand;
use serde_json::json;

use super::{
    Context,
    error::{Error, Result},
    output::{self, OutputArg},
    suggest,
};
use crate::settings::{self, DEFAULT_PROFILE, MASK, Profiles};

/// List, make and choose profiles, which are named sets of settings.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  prefect-rs profile create staging && prefect-rs profile use staging"
)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the profiles; a star marks the one in use.
    #[command(after_help = "Example:\n  prefect-rs profile ls")]
    Ls {
        #[command(flatten)]
        output: OutputArg,
    },
    /// Make a profile.
    #[command(after_help = "Example:\n  prefect-rs profile create staging --from default")]
    Create {
        /// Its name.
        #[arg(value_parser = output::name)]
        name: String,
        /// Copy the settings of this profile.
        #[arg(long, value_name = "PROFILE")]
        from: Option<String>,
    },
    /// Make a profile the active one.
    #[command(after_help = "Example:\n  prefect-rs profile use staging")]
    Use {
        /// Its name.
        name: String,
    },
    /// Delete a profile; the default one is emptied instead.
    #[command(after_help = "Example:\n  prefect-rs profile delete staging")]
    Delete {
        /// Its name.
        name: String,
    },
    /// Give a profile another name.
    #[command(after_help = "Example:\n  prefect-rs profile rename staging production")]
    Rename {
        /// Its name.
        name: String,
        /// Its new name.
        #[arg(value_parser = output::name)]
        new_name: String,
    },
    /// Show the settings of a profile.
    #[command(after_help = "Example:\n  prefect-rs profile inspect staging")]
    Inspect {
        /// Its name [default: the one in use].
        name: Option<String>,
        /// Show keys and passwords in full.
        #[arg(long)]
        show_secrets: bool,
        #[command(flatten)]
        output: OutputArg,
    },
}

impl Args {
    pub(super) fn run(self, cx: &Context) -> Result {
        let path = &cx.loaded().profiles_path;
        let mut profiles = match &self.command {
            Command::Ls { .. } | Command::Inspect { .. } => Profiles::read(path)?,
            Command::Create { .. }
            | Command::Use { .. }
            | Command::Delete { .. }
            | Command::Rename { .. } => Profiles::read_to_change(path)?,
        };
        match self.command {
            Command::Ls { output } => {
                ls(cx, &profiles, output);
                Ok(())
            }
            Command::Create { name, from } => create(&mut profiles, &name, from.as_deref()),
            Command::Use { name } => activate(&mut profiles, &name),
            Command::Delete { name } => delete(&mut profiles, &name),
            Command::Rename { name, new_name } => rename(&mut profiles, &name, &new_name),
            Command::Inspect {
                name,
                show_secrets,
                output,
            } => {
                let name = name.unwrap_or_else(|| cx.loaded().profile.clone());
                inspect(&profiles, &name, show_secrets, output)
            }
        }
    }
}

fn ls(cx: &Context, profiles: &Profiles, output: OutputArg) {
    let current = &cx.loaded().profile;
    if output.is_json() {
        return output::print_json(&json!({"active": current, "profiles": profiles.names()}));
    }
    for name in profiles.names() {
        let mark = if name == *current { "*" } else { " " };
        output::print_line(&format!("{mark} {name}"));
    }
}

fn create(profiles: &mut Profiles, name: &str, from: Option<&str>) -> Result {
    let variables = match from {
        Some(from) => profiles
            .variables(from)
            .map_err(|error| with_suggestion(error, from, profiles))?,
        None => Vec::new(),
    };
    profiles.create(name, &variables)?;
    profiles.write()?;
    let word = output::word(name);
    output::say(&format!(
        "Created profile '{name}' in {}.\n\nSwitch to it with:\n\n    prefect-rs profile use {word}\n\nOr use it for one command:\n\n    prefect-rs -p {word} config view",
        profiles.path().display()
    ));
    Ok(())
}

fn activate(profiles: &mut Profiles, name: &str) -> Result {
    profiles
        .activate(name)
        .map_err(|error| with_suggestion(error, name, profiles))?;
    profiles.write()?;
    output::say(&format!("Profile '{name}' is now active."));
    if std::env::var_os("PREFECT_PROFILE").is_some() {
        output::say(
            "Warning: PREFECT_PROFILE is set in the environment, which wins; `unset PREFECT_PROFILE` clears it.",
        );
    }
    Ok(())
}

fn delete(profiles: &mut Profiles, name: &str) -> Result {
    if name == profiles.active() && name != DEFAULT_PROFILE {
        return Err(
            Error::new(super::Code::Conflict, format!("profile '{name}' is active"))
                .hint("switch to another first, for example with `prefect-rs profile use default`"),
        );
    }
    profiles
        .delete(name)
        .map_err(|error| with_suggestion(error, name, profiles))?;
    profiles.write()?;
    let verb = if name == DEFAULT_PROFILE {
        "Emptied"
    } else {
        "Deleted"
    };
    output::say(&format!("{verb} profile '{name}'."));
    Ok(())
}

fn rename(profiles: &mut Profiles, name: &str, new_name: &str) -> Result {
    profiles
        .rename(name, new_name)
        .map_err(|error| with_suggestion(error, name, profiles))?;
    profiles.write()?;
    output::say(&format!("Renamed profile '{name}' to '{new_name}'."));
    Ok(())
}

fn inspect(profiles: &Profiles, name: &str, show_secrets: bool, output: OutputArg) -> Result {
    let variables: Vec<(String, String)> = profiles
        .variables(name)
        .map_err(|error| with_suggestion(error, name, profiles))?
        .into_iter()
        .map(|(variable, value)| {
            let value = if show_secrets {
                value
            } else {
                masked(&variable, value)
            };
            (variable, value)
        })
        .collect();
    if output.is_json() {
        let variables: serde_json::Map<_, _> = variables
            .into_iter()
            .map(|(name, value)| (name, value.into()))
            .collect();
        output::print_json(&json!({"profile": name, "settings": variables}));
        return Ok(());
    }
    output::print_line(&format!("PREFECT_PROFILE='{name}'"));
    for (variable, value) in variables {
        output::print_line(&format!("{variable}='{}'", output::clean(&value)));
    }
    Ok(())
}

/// Masks what is secret, also in settings that only other clients know.
fn masked(variable: &str, value: String) -> String {
    match settings::find(variable) {
        Some(setting) => setting.shown_text(&value),
        None if ["KEY", "SECRET", "PASSWORD", "TOKEN"]
            .iter()
            .any(|word| variable.contains(word)) =>
        {
            MASK.to_owned()
        }
        None => value,
    }
}

fn with_suggestion(error: settings::Error, name: &str, profiles: &Profiles) -> Error {
    let names = profiles.names();
    let suggestion = match &error {
        settings::Error::NoProfile { .. } => suggest::hint(name, names.iter().map(String::as_str)),
        settings::Error::ProfileExists { .. }
        | settings::Error::Invalid { .. }
        | settings::Error::Profiles { .. } => None,
    };
    Error::from(error).maybe_hint(suggestion)
}

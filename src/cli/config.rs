//! `config`: the settings, where they come from, and how to change them.

use std::collections::BTreeMap;

use clap::Subcommand;
use serde_json::json;

use super::{
    Context,
    error::{Code, Error, Result},
    output::{self, OutputArg},
    suggest,
};
use crate::settings::{self, Profiles, SETTINGS, Setting, Source};

/// Show and change settings.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  prefect-rs config set PREFECT_API_URL=http://127.0.0.1:4200/api"
)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the settings in force.
    #[command(after_help = "Example:\n  prefect-rs config view --show-sources --hide-defaults")]
    View(View),
    /// Store values in the active profile.
    #[command(
        after_help = "Example:\n  prefect-rs config set PREFECT_LOGGING_LEVEL=DEBUG PREFECT_AGENT_QUERY_INTERVAL=2"
    )]
    Set(Set),
    /// Take values out of the active profile.
    #[command(after_help = "Example:\n  prefect-rs config unset PREFECT_API_URL")]
    Unset(Unset),
    /// List every setting with its default and meaning.
    #[command(after_help = "Example:\n  prefect-rs config ls")]
    Ls(Ls),
}

#[derive(Debug, clap::Args)]
struct View {
    /// Say where each value comes from.
    #[arg(long, overrides_with = "hide_sources")]
    show_sources: bool,
    /// Do not say where values come from (the default).
    #[arg(long)]
    hide_sources: bool,
    /// Show values that are defaults too (the default).
    #[arg(long, overrides_with = "hide_defaults")]
    show_defaults: bool,
    /// Show only what differs from the defaults.
    #[arg(long)]
    hide_defaults: bool,
    /// Show keys and passwords in full.
    #[arg(long)]
    show_secrets: bool,
    #[command(flatten)]
    output: OutputArg,
}

#[derive(Debug, clap::Args)]
struct Set {
    /// What to store.
    #[arg(required = true, value_name = "NAME=VALUE")]
    variables: Vec<String>,
    /// Store settings that only other clients of the profile know.
    #[arg(long)]
    force: bool,
}

#[derive(Debug, clap::Args)]
struct Unset {
    /// What to take out.
    #[arg(required = true, value_name = "NAME")]
    variables: Vec<String>,
}

#[derive(Debug, clap::Args)]
struct Ls {
    #[command(flatten)]
    output: OutputArg,
}

impl Args {
    pub(super) fn run(self, cx: &Context) -> Result {
        match self.command {
            Command::View(args) => view(cx, &args),
            Command::Set(args) => set(cx, &args),
            Command::Unset(args) => unset(cx, &args),
            Command::Ls(args) => ls(cx, args.output),
        }
    }
}

fn view(cx: &Context, args: &View) -> Result {
    let loaded = cx.loaded();
    let shown: Vec<(&Setting, String, &Source)> = SETTINGS
        .iter()
        .zip(&loaded.sources)
        .filter(|(_, source)| !args.hide_defaults || **source != Source::Default)
        .filter_map(|(setting, source)| {
            let value = match args.show_secrets {
                true => setting.revealed(&loaded.settings),
                false => setting.shown(&loaded.settings),
            };
            Some((setting, value?, source))
        })
        .collect();
    if args.output.is_json() {
        let settings: BTreeMap<&str, serde_json::Value> = shown
            .iter()
            .map(|(setting, value, source)| {
                (
                    setting.name,
                    json!({"value": value, "source": source.to_string()}),
                )
            })
            .collect();
        output::print_json(&json!({"profile": loaded.profile, "settings": settings}));
        return Ok(());
    }
    output::print_line(&format!("PREFECT_PROFILE='{}'", loaded.profile));
    for (setting, value, source) in shown {
        let source = match args.show_sources {
            true => format!(" (from {source})"),
            false => String::new(),
        };
        output::print_line(&format!(
            "{}='{}'{source}",
            setting.name,
            output::clean(&value)
        ));
    }
    Ok(())
}

fn set(cx: &Context, args: &Set) -> Result {
    let pairs: Vec<(&str, &str)> = args
        .variables
        .iter()
        .map(|pair| {
            pair.split_once('=').ok_or_else(|| {
                Error::new(
                    Code::Usage,
                    format!("'{pair}' is not of the form NAME=VALUE"),
                )
                .hint(format!("write `prefect-rs config set {pair}=VALUE`"))
            })
        })
        .collect::<Result<_>>()?;
    for (name, value) in &pairs {
        match settings::find(name) {
            _ if name.trim().is_empty() => {
                return Err(
                    Error::new(Code::Usage, format!("'{name}={value}' names no setting"))
                        .hint("write `prefect-rs config set NAME=VALUE`"),
                );
            }
            Some(setting) if settings::PLACES.contains(&setting.name) => {
                return Err(Error::new(
                    Code::Usage,
                    format!("{name} says where the profiles are, so no profile can hold it"),
                )
                .hint(format!(
                    "set it in the environment: `export {name}={}`",
                    output::word(value)
                )));
            }
            Some(setting) => setting.check(value, Source::CommandLine)?,
            None if args.force => {}
            None => {
                return Err(unknown(name)
                    .hint("a setting that only other clients know is stored with --force"));
            }
        }
    }
    let (mut profiles, profile) = open(cx)?;
    for (name, value) in &pairs {
        // One profile holds one spelling of a setting, else the one that loses would mislead its reader.
        for spelling in settings::find(name)
            .into_iter()
            .flat_map(Setting::spellings)
        {
            profiles.unset(&profile, spelling)?;
        }
        profiles.set(&profile, name, value)?;
    }
    profiles.write()?;
    for (name, value) in pairs {
        output::say(&format!("Set '{name}' to '{}'.", shown(name, value)));
        warn_about_environment(name);
    }
    output::say(&format!("Updated profile '{profile}'."));
    Ok(())
}

/// Stores one value in the active profile.
pub(super) fn store(cx: &Context, name: &str, value: &str) -> Result {
    let args = Set {
        variables: vec![format!("{name}={value}")],
        force: false,
    };
    set(cx, &args)
}

fn unset(cx: &Context, args: &Unset) -> Result {
    let (mut profiles, profile) = open(cx)?;
    for name in &args.variables {
        let spellings: Vec<&str> = match settings::find(name) {
            Some(setting) => setting.spellings().collect(),
            None => vec![name],
        };
        let mut was_there = false;
        for spelling in spellings {
            was_there |= profiles.unset(&profile, spelling)?;
        }
        if !was_there {
            let present = profiles.variables(&profile)?;
            let error = Error::new(
                Code::NotFound,
                format!("'{name}' is not set in profile '{profile}'"),
            );
            return Err(error.maybe_hint(suggest::hint(
                name,
                present.iter().map(|(name, _)| name.as_str()),
            )));
        }
    }
    profiles.write()?;
    for name in &args.variables {
        output::say(&format!("Unset '{name}'."));
        warn_about_environment(name);
    }
    output::say(&format!("Updated profile '{profile}'."));
    Ok(())
}

fn ls(cx: &Context, output: OutputArg) -> Result {
    if output.is_json() {
        let all: Vec<serde_json::Value> = SETTINGS
            .iter()
            .map(|setting| {
                json!({
                    "name": setting.name,
                    "aliases": setting.aliases,
                    "default": setting.default,
                    "allowed": setting.allowed,
                    "help": setting.help(),
                })
            })
            .collect();
        output::print_json(&all);
        return Ok(());
    }
    let mut table = cx
        .style
        .table(["Name", "Default", "Meaning"])
        .wraps(&["Default", "Meaning"]);
    for setting in SETTINGS {
        table.row(vec![
            cx.style.name(setting.name),
            cx.style.text(setting.default),
            cx.style.text(setting.help()),
        ]);
    }
    table.print();
    Ok(())
}

fn open(cx: &Context) -> Result<(Profiles, String)> {
    let profiles = Profiles::read_to_change(&cx.loaded().profiles_path)?;
    Ok((profiles, cx.loaded().profile.clone()))
}

fn unknown(name: &str) -> Error {
    let names = SETTINGS.iter().flat_map(Setting::spellings);
    Error::new(Code::Usage, format!("there is no setting '{name}'"))
        .maybe_hint(suggest::hint(name, names))
        .hint("list the settings with `prefect-rs config ls`")
}

fn shown(name: &str, value: &str) -> String {
    match settings::find(name) {
        Some(setting) => {
            // As it was typed, unless something in it is secret.
            let shown = setting.shown_text(value);
            match shown.contains(settings::MASK) {
                true => shown,
                false => value.to_owned(),
            }
        }
        None => value.to_owned(),
    }
}

fn warn_about_environment(name: &str) {
    let spellings: Vec<&str> = match settings::find(name) {
        Some(setting) => setting.spellings().collect(),
        None => vec![name],
    };
    for variable in spellings
        .into_iter()
        .filter(|name| std::env::var_os(name).is_some())
    {
        output::say(&format!(
            "Warning: {variable} is also set in the environment, which wins over the profile; `unset {variable}` clears it."
        ));
    }
}

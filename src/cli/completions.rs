//! `completions`: scripts that let a shell complete our commands.

use clap_complete::Shell;

use super::{error::Result, output};

/// The command that is completed.
const NAME: &str = "prefect-rs";
/// Its name in the script for bash: a hyphen in it is spelt in two ways there, so that no subcommand would be completed.
const UNBROKEN: &str = "prefect_rs";

/// Print the completions for a shell.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  prefect-rs completions bash > ~/.local/share/bash-completion/completions/prefect-rs"
)]
pub struct Args {
    /// The shell.
    shell: Shell,
}

impl Args {
    pub(super) fn run(self) -> Result {
        let mut script = Vec::new();
        let name = match self.shell {
            Shell::Bash => UNBROKEN,
            _ => NAME,
        };
        let mut command = shown(&super::command());
        clap_complete::generate(self.shell, &mut command, name, &mut script);
        let script = String::from_utf8_lossy(&script);
        let script = script.replace(&format!("default {UNBROKEN}"), &format!("default {NAME}"));
        output::print_line(script.trim_end());
        Ok(())
    }
}

/// Returns a command as people see it: without what is only for other programs of ours.
fn shown(command: &clap::Command) -> clap::Command {
    let arguments = command
        .get_arguments()
        .filter(|argument| !argument.is_hide_set());
    let subcommands = command
        .get_subcommands()
        .filter(|command| !command.is_hide_set());
    let mut copy = clap::Command::new(command.get_name().to_owned())
        .disable_help_subcommand(true)
        .visible_aliases(command.get_visible_aliases().map(str::to_owned))
        .args(arguments.cloned())
        .subcommands(subcommands.map(shown));
    if let Some(about) = command.get_about() {
        copy = copy.about(about.clone());
    }
    if let Some(version) = command.get_version() {
        copy = copy.version(version.to_owned());
    }
    copy
}

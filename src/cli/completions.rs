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
        clap_complete::generate(self.shell, &mut super::command(), name, &mut script);
        let script = String::from_utf8_lossy(&script);
        let script = script.replace(&format!("default {UNBROKEN}"), &format!("default {NAME}"));
        output::print_line(script.trim_end());
        Ok(())
    }
}

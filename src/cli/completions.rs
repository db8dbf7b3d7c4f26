//! `completions`: scripts that let a shell complete our commands.

use clap_complete::Shell;

use super::{error::Result, output};

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
        clap_complete::generate(self.shell, &mut super::command(), "prefect-rs", &mut script);
        output::print_line(String::from_utf8_lossy(&script).trim_end());
        Ok(())
    }
}

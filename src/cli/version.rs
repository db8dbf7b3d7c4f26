//! `version`: what this is and what it talks to.

use serde_json::json;

use super::{
    Context,
    error::Result,
    output::{self, OutputArg},
};

/// Show the version, the profile and the server in use.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  prefect-rs version -o json")]
pub struct Args {
    #[command(flatten)]
    output: OutputArg,
}

impl Args {
    pub(super) async fn run(self, cx: &Context) -> Result {
        let url = cx.api_url();
        let answer = match &url {
            Some(_) => Some(cx.client().await?.server_version().await),
            None => None,
        };
        let (server_version, silence) = match answer {
            Some(Ok(version)) => (Some(version), ""),
            Some(Err(error)) if error.is_unreachable() => (None, "not reachable"),
            Some(Err(_)) => (None, "nothing that an API of Prefect says"),
            None => (None, ""),
        };
        let facts = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "os_arch": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
            "profile": cx.loaded().profile,
            "home": cx.settings().home,
            "database": cx.settings().database_url.kind(),
            "server_type": if url.is_some() { "server" } else { "in process" },
            "server_url": url,
            "server_version": server_version,
        });
        if self.output.is_json() {
            output::print_json(&facts);
            return Ok(());
        }
        let line = |title: &str, fact: &str| {
            output::print_line(&format!(
                "{:<20} {}",
                format!("{title}:"),
                facts[fact].as_str().unwrap_or("-")
            ));
        };
        line("Version", "version");
        line("OS/Arch", "os_arch");
        line("Profile", "profile");
        line("Home", "home");
        line("Database", "database");
        line("Server type", "server_type");
        if url.is_some() {
            line("Server", "server_url");
            let answer = facts["server_version"].as_str();
            output::print_line(&format!(
                "{:<20} {}",
                "Server answers as:",
                answer.unwrap_or(silence)
            ));
        }
        Ok(())
    }
}

//! What every command is given: the settings, the way to print, the way to the API.

use chrono::{DateTime, Utc};

use super::{
    error::Result,
    output::{self, Style},
    suggest,
};
use crate::{
    client::Client,
    clock::{Clock, SystemClock},
    connect,
    settings::{Loaded, SETTINGS, Setting, Settings},
};

/// What a command works with.
#[derive(Debug)]
pub struct Context {
    loaded: Loaded,
    /// How to print.
    pub style: Style,
}

impl Context {
    /// Makes a context of loaded settings.
    pub fn new(loaded: Loaded) -> Self {
        let style = Style::detect(loaded.settings.cli_colors);
        for name in &loaded.others {
            // The file is shared with Python clients, whose settings are not all ours.
            if let Some(meant) =
                suggest::slip_of(name, SETTINGS.iter().flat_map(Setting::spellings))
            {
                output::say(&format!(
                    "Warning: profile '{}' sets '{}', which no setting is called; did you mean '{meant}'?",
                    output::clean(&loaded.profile),
                    output::clean(name)
                ));
            }
        }
        for name in &loaded.strays {
            let name = output::clean(name);
            output::say(&format!(
                "Warning: {} has a table '[{name}]', which nobody reads; a profile is called '[profiles.{name}]' there",
                loaded.profiles_path.display()
            ));
        }
        Self { loaded, style }
    }

    /// Returns the settings.
    pub fn settings(&self) -> &Settings {
        &self.loaded.settings
    }

    /// Returns the settings with the source of each.
    pub fn loaded(&self) -> &Loaded {
        &self.loaded
    }

    /// Returns the current instant.
    pub fn now(&self) -> DateTime<Utc> {
        SystemClock.now()
    }

    /// Returns the URL of the API: the one that is set, else that of a server running on this home.
    pub fn api_url(&self) -> Option<String> {
        connect::url(self.settings())
    }

    /// Returns a client of the API, or of the local database, whose services do not run then.
    pub async fn client(&self) -> Result<Client> {
        let mut settings = self.settings().clone();
        if self.api_url().is_some() {
            // A person waits: a server that is just starting is waited for, one that is away is told soon.
            settings.client_max_retries = settings.client_max_retries.min(2);
        }
        Ok(connect::client(&settings).await?)
    }
}

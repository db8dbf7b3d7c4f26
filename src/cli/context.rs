//! What every command is given: the settings, the way to print, the way to the API.

use chrono::{DateTime, Utc};

use super::{
    error::{Code, Error, Result},
    output::Style,
};
use crate::{
    advert,
    client::Client,
    clock::{Clock, SystemClock},
    connect,
    settings::{Loaded, Settings},
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
        let settings = self.settings();
        settings.api_url.clone().or_else(|| {
            let database = settings.database_url.sqlite_path()?;
            advert::find(database).map(|live| live.url)
        })
    }

    /// Returns a client of the API.
    pub async fn client(&self) -> Result<Client> {
        match self.api_url() {
            Some(url) => self.http_client(&url),
            None => self.local_client().await,
        }
    }

    fn http_client(&self, url: &str) -> Result<Client> {
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err(Error::new(
                Code::Settings,
                format!("'{url}' is not valid for PREFECT_API_URL: it begins neither with http:// nor https://"),
            )
            .hint("a local server is at http://127.0.0.1:4200/api"));
        }
        // A person waits for the answer: a server that is just starting is waited for, one that is away is told soon.
        let mut settings = self.settings().clone();
        settings.client_max_retries = settings.client_max_retries.min(2);
        Ok(Client::http(url, &settings)?)
    }

    /// Opens the local database in this process; its services do not run.
    async fn local_client(&self) -> Result<Client> {
        Ok(connect::local(self.settings()).await?)
    }
}

//! The way to the API for programs that are not told: the URL that is set, a server that runs on this home, or the database
//! of this home opened in this process.

use crate::advert;
use crate::client::{self, Client};
use crate::settings::Settings;

/// Why there is no way to an API.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The client could not be made.
    #[error(transparent)]
    Client(#[from] client::Error),
    /// The local database could not be opened.
    #[cfg(feature = "server")]
    #[error(transparent)]
    Database(#[from] crate::db::Error),
    /// There is neither a server nor, in this build, a local database.
    #[error(
        "no server runs on {}, PREFECT_API_URL is not set, and this program was built without the local database: start a server with `prefect-rs orion start`, set PREFECT_API_URL, or build with the default features of `prefect-rs`", .0.display()
    )]
    NoServer(std::path::PathBuf),
}

/// Returns a client of the API that the settings lead to.
pub async fn client(settings: &Settings) -> Result<Client, Error> {
    match url(settings) {
        Some(url) => Ok(Client::http(&url, settings)?),
        None => Ok(local(settings).await?),
    }
}

/// Returns the URL that is set, else that of a server that runs on this home.
pub fn url(settings: &Settings) -> Option<String> {
    let set = settings.api_url.as_ref().map(ToString::to_string);
    set.or_else(|| {
        let database = settings.database_url.sqlite_path()?;
        advert::find(database).map(|live| live.url)
    })
}

/// Opens the local database in this process; its services do not run.
#[cfg(feature = "server")]
pub async fn local(settings: &Settings) -> Result<Client, crate::db::Error> {
    use crate::client::{Handler, Response, USER_AGENT};
    let local = crate::server::local::Local::open(settings, USER_AGENT).await?;
    let handler: Handler = std::sync::Arc::new(move |request| {
        let local = local.clone();
        Box::pin(async move {
            let (status, headers, body) = local
                .call(request.method, &request.path, request.body)
                .await?;
            Ok(Response {
                status,
                headers,
                body,
            })
        })
    });
    Ok(Client::in_process(handler, settings))
}

#[cfg(not(feature = "server"))]
async fn local(settings: &Settings) -> Result<Client, Error> {
    Err(Error::NoServer(settings.home.clone()))
}

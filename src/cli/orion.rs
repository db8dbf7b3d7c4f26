//! `orion`: the server.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use clap::Subcommand;
use tokio::net::{TcpListener, lookup_host};

use super::{
    Context, database,
    error::{Code, Error, Result},
    output, services, stop,
};
use crate::{
    advert::{self, Advert},
    server,
    settings::{LogLevel, Settings},
    telemetry,
};

/// Start the server, which is the API, its services and the dashboard.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  prefect-rs orion start")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the server and wait until it is stopped.
    #[command(
        after_help = "Examples:\n  prefect-rs orion start\n  prefect-rs orion start --host 0.0.0.0 --port 8080 --log-level INFO"
    )]
    Start(Start),
    /// Look after the database.
    Database(database::Args),
    /// Show what a server does by itself, or do that alone.
    Services(services::Args),
}

/// What the server is told on the command line, over its settings.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Start {
    /// Address to listen on [default: PREFECT_SERVER_API_HOST or 127.0.0.1].
    #[arg(long)]
    host: Option<String>,
    /// Port to listen on; 0 takes any free one [default: PREFECT_SERVER_API_PORT or 4200].
    #[arg(long)]
    port: Option<u16>,
    /// Level from which to log: DEBUG, INFO, WARNING, ERROR or CRITICAL [default: WARNING].
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<LogLevel>,
    /// Make the runs of schedules (the default).
    #[arg(long, overrides_with = "no_scheduler")]
    scheduler: bool,
    /// Leave the runs of schedules to other servers on the same database.
    #[arg(long)]
    no_scheduler: bool,
    /// Mark runs late that nobody started (the default).
    #[arg(long, overrides_with = "no_late_runs")]
    late_runs: bool,
    /// Leave late runs to other servers on the same database.
    #[arg(long)]
    no_late_runs: bool,
    /// Leave all that a server does by itself to others on the same database, as to `prefect-rs server services start`.
    #[arg(long)]
    no_services: bool,
    /// Show the dashboard (the default).
    #[arg(long, overrides_with = "no_ui")]
    ui: bool,
    /// Serve the API alone.
    #[arg(long)]
    no_ui: bool,
    /// Accepted since scripts of the genuine command give it; nothing is ever reported to anybody.
    #[arg(long, hide = true)]
    analytics_off: bool,
}

impl Args {
    pub(super) async fn run(self, cx: &Context) -> Result {
        match self.command {
            Command::Start(args) => start(cx, &args).await,
            Command::Database(args) => args.run(cx).await,
            Command::Services(args) => args.run(cx).await,
        }
    }
}

impl Start {
    /// Returns the settings with what was given here put over them.
    pub(super) fn over(&self, settings: &Settings) -> Settings {
        let mut settings = settings.clone();
        let choose = |setting: &mut bool, on: bool, off: bool| match (on, off) {
            (true, _) => *setting = true,
            (false, true) => *setting = false,
            (false, false) => {}
        };
        choose(
            &mut settings.scheduler_enabled,
            self.scheduler,
            self.no_scheduler,
        );
        choose(
            &mut settings.late_runs_enabled,
            self.late_runs,
            self.no_late_runs,
        );
        choose(&mut settings.server_ui_enabled, self.ui, self.no_ui);
        if let Some(host) = &self.host {
            settings.server_api_host.clone_from(host);
        }
        if let Some(port) = self.port {
            settings.server_api_port = port;
        }
        if let Some(level) = self.log_level {
            settings.server_logging_level = level;
        }
        settings
    }

    /// Opens the server, with the services unless they are left to others.
    pub(super) async fn open(&self, settings: &Settings) -> Result<server::Server> {
        let server = server::Server::open(settings.clone()).await?;
        Ok(match self.no_services {
            true => server.without_services(),
            false => server,
        })
    }

    /// Returns the level of a process that is an agent too: the one given here, else the lower of both.
    pub(super) fn level_with_agent(&self, settings: &Settings) -> LogLevel {
        match self.log_level {
            _ if settings.debug_mode => LogLevel::Debug,
            Some(level) => level,
            None => settings.logging_level.min(settings.server_logging_level),
        }
    }
}

/// A server that has its port and has told the commands of its home where it is.
pub(super) struct Bound {
    pub(super) listener: TcpListener,
    /// The URL without `/api`, as a browser on this machine reaches it.
    pub(super) url: String,
    /// Whether other machines reach it.
    is_open: bool,
    _advert: Option<Advert>,
}

async fn start(cx: &Context, args: &Start) -> Result {
    let settings = args.over(cx.settings());
    show_logs(&settings)?;
    let bound = bind(&settings).await?;
    let stops = stop::requests()?;
    let server = args.open(&settings).await?;
    output::print_line(&banner(&settings, &bound.url));
    if bound.is_open && settings.server_api_auth_string.is_none() {
        output::say(
            "Warning: whoever reaches this machine over the network may use this server, and run code by its agents; a password is set with PREFECT_SERVER_API_AUTH_STRING",
        );
    }
    let stopped = server.serve(bound.listener, stop::requested(stops)).await;
    output::say("Stopped.");
    stopped.map_err(|error| Error::failure(format!("the server failed: {error}")))
}

/// Shows what a server logs, which is all that its process has to say.
pub(super) fn show_logs(settings: &Settings) -> Result {
    let level = if settings.debug_mode {
        LogLevel::Debug
    } else {
        settings.server_logging_level
    };
    telemetry::init(level, settings.logging_format)
        .map_err(|error| Error::failure(format!("logging does not start: {error}")))
}

/// Takes the port and the advertisement.
pub(super) async fn bind(settings: &Settings) -> Result<Bound> {
    std::fs::create_dir_all(&settings.home).map_err(|error| {
        Error::failure(format!(
            "the home {} cannot be made: {error}",
            settings.home.display()
        ))
        .hint(UNWRITABLE)
    })?;
    let advert = match settings.database_url.sqlite_path() {
        Some(database) => Some(claim(database)?),
        None => None,
    };
    let listener = listen(&settings.server_api_host, settings.server_api_port).await?;
    let address = listener
        .local_addr()
        .map_err(|error| Error::failure(format!("the port is lost: {error}")))?;
    let url = format!("http://{}", reachable(address));
    let mut advert = advert;
    if let Some(advert) = &mut advert
        && let Err(error) = advert.publish(&format!("{url}/api"))
    {
        tracing::warn!("commands of this home will not find the server by themselves: {error}");
    }
    Ok(Bound {
        listener,
        url,
        is_open: !address.ip().is_loopback(),
        _advert: advert,
    })
}

/// What helps where a server cannot write beside its database.
pub(super) const UNWRITABLE: &str = "make it and the folder that it lies in writable for this user, or choose another home with PREFECT_HOME";

fn claim(database: &std::path::Path) -> Result<Advert> {
    if let Some(directory) = database.parent() {
        std::fs::create_dir_all(directory).map_err(|error| {
            Error::failure(format!(
                "the directory {} cannot be made: {error}",
                directory.display()
            ))
            .hint(UNWRITABLE)
        })?;
    }
    Advert::claim(database).map_err(|error| match error {
        advert::Error::Taken(live) => {
            let place = live
                .map(|live| format!(": {} (process {})", live.url, live.pid))
                .unwrap_or_default();
            Error::new(
                Code::Conflict,
                format!("a server already serves {}{place}", database.display()),
            )
            .hint("use that one, stop it, or start another on a home of its own with PREFECT_HOME")
        }
        advert::Error::Io { .. } => Error::failure(error.to_string()).hint(UNWRITABLE),
    })
}

async fn listen(host: &str, port: u16) -> Result<TcpListener> {
    let wrong_host = |reason: String| {
        Error::failure(format!("the host '{host}' cannot be listened on: {reason}"))
            .hint("127.0.0.1 serves this machine alone, 0.0.0.0 every machine that reaches it")
    };
    // As it stands in a URL.
    let bare = host.strip_prefix('[').and_then(|ip| ip.strip_suffix(']'));
    let addresses: Vec<SocketAddr> = lookup_host((bare.unwrap_or(host), port))
        .await
        .map_err(|error| wrong_host(error.to_string()))?
        .collect();
    TcpListener::bind(&addresses[..])
        .await
        .map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => {
                Error::new(Code::Conflict, format!("port {port} of {host} is in use"))
                    .hint("another server may be running; choose another port with --port")
                    .hint(format!("`ss -ltnp 'sport = :{port}'` shows who has it"))
            }
            io::ErrorKind::PermissionDenied => {
                Error::failure(format!("port {port} may not be used by this user"))
                    .hint("choose one above 1023 with --port")
            }
            _ => wrong_host(error.to_string()),
        })
}

/// Returns the address at which this machine itself reaches a listener.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Returns what a started server says.
pub(super) fn banner(settings: &Settings, url: &str) -> String {
    let dashboard = match settings.server_ui_enabled {
        true => format!(
            "{url}{}",
            server::dashboard_base(&settings.server_ui_serve_base)
        ),
        false => "off (PREFECT_SERVER_UI_ENABLED=true or --ui shows it)".to_owned(),
    };
    format!(
        "prefect-rs {version}\n\n  Dashboard  {dashboard}\n  API        {url}/api\n  Database   {database}\n\nClients and agents of other homes and machines find it with:\n\n    prefect-rs config set PREFECT_API_URL={url}/api\n\nPress Ctrl+C to stop.",
        version = env!("CARGO_PKG_VERSION"),
        database = settings.database_url,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_every_address_is_reached_on_the_loopback() {
        let reach = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(reach("0.0.0.0:4200"), "127.0.0.1:4200");
        assert_eq!(reach("[::]:4200"), "[::1]:4200");
        assert_eq!(reach("10.0.0.1:4200"), "10.0.0.1:4200");
    }

    #[test]
    fn switches_are_put_over_the_settings() {
        let start = Start {
            no_scheduler: true,
            port: Some(1),
            ..Start::default()
        };
        let settings = start.over(&Settings::default_for("/nowhere"));
        assert!(!settings.scheduler_enabled && settings.late_runs_enabled);
        assert_eq!(settings.server_api_port, 1);
    }

    #[test]
    fn a_level_that_is_given_is_that_of_server_and_agent() {
        let mut settings = Settings::default_for("/nowhere");
        let level = |start: &Start, settings: &Settings| start.level_with_agent(settings);
        assert_eq!(level(&Start::default(), &settings), LogLevel::Info);
        let start = Start {
            log_level: Some(LogLevel::Error),
            ..Start::default()
        };
        assert_eq!(level(&start, &settings), LogLevel::Error);
        settings.debug_mode = true;
        assert_eq!(level(&start, &settings), LogLevel::Debug);
    }

    #[tokio::test]
    async fn an_address_may_stand_in_brackets() {
        let loopback = listen("[::1]", 0).await.unwrap().local_addr().unwrap();
        assert!(loopback.ip().is_loopback() && loopback.is_ipv6());
    }

    #[tokio::test]
    async fn a_port_in_use_is_told_with_a_way_out() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = listen("127.0.0.1", port).await.unwrap_err();
        assert_eq!(error.code, Code::Conflict);
        assert!(error.to_string().contains("--port"), "{error}");
    }
}

//! The agent: takes due flow runs of a work queue and runs them on this machine.
//!
//! A worker is the same for a work pool; what is its own is in `worker`, and what its pool says of processes in `jobs`.
//! One loop owns the state: the `dispatcher` decides, the `executor` acts, and they talk by messages. The agent
//! outlives its server: it polls on, keeps its flows running, holds back what it has to tell, and never exits
//! because the API is away.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::{info, warn};
use uuid::Uuid;

use crate::client::{self, Client, Document, FlowRun, WorkQueue};
use crate::clock::Clock;
use crate::settings::Settings;
use dispatcher::{Command, Dispatcher, Event};
use process::Halt;
use role::Role;

mod backoff;
pub mod command;
mod control;
mod dispatcher;
mod executor;
mod guard;
mod health;
mod jobs;
mod logs;
mod process;
mod push;
mod report;
mod role;
mod runners;
mod states;
pub mod worker;

/// How often a queue that is not there is looked for.
const QUEUE_PAUSE: Duration = Duration::from_secs(5);
/// How long the last log lines may take.
const LAST_FLUSH: Duration = Duration::from_secs(15);
/// How long they may take where runs are left to the guard: the server is away, or somebody is in a hurry.
const HASTY_FLUSH: Duration = Duration::from_secs(2);
/// How long an agent that has begun to end its runs waits for that and for the server to hear of it. It need not be
/// longer, since the guard stays behind and goes on for ten minutes.
const LAST_REPORTS: Duration = Duration::from_secs(60);
/// By how much this machine's clock may differ from the server's before somebody should know.
const CLOCK_DIFFERENCE: TimeDelta = TimeDelta::seconds(10);

pub use guard::watch as watch_agent;

/// The work queue of an agent.
#[derive(Debug, Clone, PartialEq)]
pub enum Queue {
    /// By its id.
    Id(Uuid),
    /// As somebody typed it: its id, or else its name, which may look like an id.
    Named(String),
}

impl Queue {
    fn id(&self) -> Option<Uuid> {
        match self {
            Queue::Id(id) => Some(*id),
            Queue::Named(text) => text.parse().ok(),
        }
    }

    async fn read(&self, client: &Client) -> client::Result<Option<Document<WorkQueue>>> {
        let by_id = match self.id() {
            Some(id) => Client::optional(client.read_work_queue(id).await)?,
            None => None,
        };
        match (by_id, self) {
            (None, Queue::Named(name)) => {
                Client::optional(client.read_work_queue_by_name(name).await)
            }
            (found, _) => Ok(found),
        }
    }
}

/// What an agent is told when it starts.
#[derive(Debug, Clone)]
pub struct Options {
    /// The queue whose runs it takes.
    pub queue: Queue,
    /// How many runs it takes at once.
    pub limit: Option<usize>,
    /// How long a stopping agent waits for its runs before it ends them.
    pub grace: Duration,
    /// The command line that starts the guard; none means no guard.
    pub guard: Vec<OsString>,
}

impl fmt::Display for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "{id}"),
            Self::Named(name) => write!(f, "`{name}`"),
        }
    }
}

/// The work queue of an agent as it was found last.
#[derive(Debug)]
struct Found {
    queue: Queue,
    id: Mutex<Uuid>,
}

impl Found {
    fn id(&self) -> Uuid {
        *self.id.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks for the queue again, since another of its name may have taken its place; returns its id if it has.
    async fn again(&self, client: &Client) -> client::Result<Option<Uuid>> {
        let found = self.queue.read(client).await?.map(|queue| queue.id);
        if let Some(id) = found {
            *self.id.lock().unwrap_or_else(PoisonError::into_inner) = id;
        }
        Ok(found)
    }
}

/// Where runs come from.
#[derive(Debug, Clone)]
enum Source {
    /// A work queue.
    Queue(Arc<Found>),
    /// Queues of a work pool, all if none is named.
    Pool {
        name: String,
        queues: Vec<String>,
        /// What the worker calls itself.
        worker: String,
    },
    /// Nowhere: the one run was given.
    Given,
}

/// How often, how far ahead and how much an agent or worker takes.
#[derive(Debug, Clone)]
struct Pace {
    interval: Duration,
    prefetch: Duration,
    limit: Option<usize>,
    grace: Duration,
    asks_once: bool,
    /// Where it is noted that the server answers, if somebody wants to know.
    health: Option<Arc<health::Health>>,
}

/// Why an agent could not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no queue with the given id.
    #[error("there is no work queue with the id `{0}`")]
    NoQueue(Uuid),
    /// There is no pool of that name, and one that is created has no such queue.
    #[error("there is no work pool '{pool}', and one that is created has no work queue '{queue}'")]
    NoPoolOfQueue {
        /// The pool.
        pool: String,
        /// The queue.
        queue: String,
    },
    /// There is no pool of that name, and none may be created.
    #[error("there is no work pool '{0}'")]
    NoPool(String),
    /// The pool has no queue of that name.
    #[error("work pool '{pool}' has no work queue '{queue}'")]
    NoPoolQueue {
        /// The pool.
        pool: String,
        /// The queue.
        queue: String,
    },
    /// The pool is for other workers.
    #[error(
        "work pool '{pool}' is of the type '{kind}', and this worker runs pools of the type 'process'"
    )]
    WrongPool {
        /// The pool.
        pool: String,
        /// Its type.
        kind: String,
    },
    /// The port of the health check is taken, or not to be had.
    #[error("the health check cannot listen on {address}: {cause}")]
    NoPort {
        /// Where it was to listen.
        address: String,
        /// Why it cannot.
        cause: std::io::Error,
    },
    /// The API is not reachable by URL, so flows could not report to it.
    #[error(
        "runs need a server that they can report to: PREFECT_API_URL is not set, and no server of this home is running"
    )]
    NoServer,
    /// The agent has stopped before the server had heard of the ends of its runs.
    #[error("{}", left_behind(*count, *is_guarded))]
    LeftBehind {
        /// How many runs.
        count: usize,
        /// Whether there is a guard that tells the server.
        is_guarded: bool,
    },
    /// The agent has stopped, and the server does not have all that its flows have said.
    #[error("the last log lines of its flow runs did not reach the server")]
    LogsLost,
    /// The API refused the agent.
    #[error(transparent)]
    Client(#[from] client::Error),
}

fn left_behind(count: usize, is_guarded: bool) -> String {
    let runs = counted(count);
    match is_guarded {
        true => format!(
            "{runs} left to the guard, which ends what is left and tries for ten minutes to tell the server"
        ),
        false => format!("{runs} left behind, and the server not told how they ended"),
    }
}

fn counted(runs: usize) -> String {
    match runs {
        1 => "1 flow run".into(),
        more => format!("{more} flow runs"),
    }
}

/// Runs an agent until it is asked to stop and has let go of its runs.
///
/// Each message of `stops` is somebody asking: the first lets runs end by themselves, the second
/// ends them, the third ends the agent.
pub async fn run(
    client: Client,
    settings: &Settings,
    options: Options,
    mut stops: mpsc::Receiver<()>,
) -> Result<(), Error> {
    let Some(api_url) = client.transport().url().map(str::to_owned) else {
        return Err(Error::NoServer);
    };
    let Some(queue_id) = find_queue(&client, &options.queue, &mut stops).await? else {
        return Ok(());
    };
    info!(work_queue.id = %queue_id, "agent started");
    let pace = Pace {
        interval: settings.agent_query_interval,
        prefetch: settings.agent_prefetch_seconds,
        limit: options.limit,
        grace: options.grace,
        asks_once: false,
        health: None,
    };
    let source = Source::Queue(Arc::new(Found {
        queue: options.queue,
        id: Mutex::new(queue_id),
    }));
    let host = host(settings, api_url, Role::Agent);
    work(client, source, pace, host, &options.guard, stops).await?;
    info!("agent stopped");
    Ok(())
}

/// Takes runs and runs them until asked to stop.
async fn work(
    client: Client,
    source: Source,
    pace: Pace,
    host: runners::Host,
    guard: &[OsString],
    mut stops: mpsc::Receiver<()>,
) -> Result<(), Error> {
    let (guard, guard_process) = guard::Guard::start(guard, &host.api_url);
    guard.of(host.role).await;
    let (logs, forwarding) = logs::Forwarder::start(client.clone());
    // Runs are due by the server's clock, whatever this machine's shows.
    let clock = client.clock().clone();
    let mut is_clock_told = false;
    let (sender, mut events) = mpsc::unbounded_channel();
    let push = push::listen(client.clone(), push::path(&source), sender.clone());
    let push = tokio::spawn(push);
    let mut executor = executor::Executor::new(executor::Shared {
        client,
        source,
        prefetch: pace.prefetch,
        logs: logs.clone(),
        guard: guard.clone(),
        host,
        is_foreground: false,
        health: pace.health,
        events: sender.clone(),
        last_refusal: Mutex::default(),
        lets_go: watch::Sender::new(false),
    });
    let mut dispatcher = Dispatcher::new(pace.limit);
    if pace.asks_once {
        dispatcher = dispatcher.asking_once();
    }
    let mut ticks = interval(pace.interval.max(Duration::from_millis(100)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    'work: loop {
        let due = dispatcher.next_due();
        let due_timer = async {
            match due {
                Some(due) => sleep(clock.until(due)).await,
                None => std::future::pending().await,
            }
        };
        let event = tokio::select! {
            Some(event) = events.recv() => event,
            _ = ticks.tick() => Event::Tick,
            () = due_timer => Event::Timer,
            Some(()) = stops.recv() => Event::Stop,
        };
        let ahead = clock.offset();
        if !is_clock_told && ahead.abs() > CLOCK_DIFFERENCE {
            warn!("{}", other_clock(ahead));
            is_clock_told = true;
        }
        for command in dispatcher.handle(event, clock.now()) {
            match command {
                Command::Exit => break 'work,
                Command::StartGrace => {
                    executor.let_go();
                    info!("{}", stopping(dispatcher.held(), pace.grace));
                    send_later(&sender, pace.grace, Event::GraceOver);
                }
                Command::StartPatience => {
                    info!("{}", ending(dispatcher.held()));
                    send_later(&sender, LAST_REPORTS, Event::PatienceOver);
                }
                other => executor.perform(other),
            }
        }
    }
    push.abort();
    guard.stops().await;
    let limit = match dispatcher.held() {
        0 => LAST_FLUSH,
        _ => HASTY_FLUSH,
    };
    let is_flushed = flush(&logs, limit, &mut stops).await;
    forwarding.abort();
    // The server may have heard of an end meanwhile.
    while let Ok(event) = events.try_recv() {
        if matches!(event, Event::Gone(_) | Event::Lost(_)) {
            dispatcher.handle(event, clock.now());
        }
    }
    let is_guarded = guard.is_there();
    // Closes the guard's pipe, which tells it to settle what is left.
    drop(executor);
    drop(guard);
    drop(guard_process);
    match dispatcher.held() {
        0 if is_flushed => Ok(()),
        0 => Err(Error::LogsLost),
        count => Err(Error::LeftBehind { count, is_guarded }),
    }
}

/// Sends the last log lines, unless somebody asks again to stop; `true` means that all were sent.
async fn flush(logs: &logs::Forwarder, limit: Duration, stops: &mut mpsc::Receiver<()>) -> bool {
    tokio::select! {
        is_flushed = logs.flush(limit) => is_flushed,
        Some(()) = stops.recv() => logs.has_sent_all(),
    }
}

/// Says by how much the server's clock is ahead of this machine's, or behind it.
fn other_clock(ahead: TimeDelta) -> String {
    let seconds = ahead.num_seconds().abs();
    let span = match seconds {
        0..100 => format!("{seconds} s"),
        100..6_000 => format!("{} min", (seconds + 30) / 60),
        6_000..172_800 => format!("{} h", (seconds + 1_800) / 3_600),
        _ => format!("{} days", seconds / 86_400),
    };
    let side = match ahead > TimeDelta::zero() {
        true => "behind",
        false => "ahead of",
    };
    format!("this machine's clock is {span} {side} the server's; the server's is used")
}

/// Says what happens at the first wish to stop, and what a second one does.
fn stopping(runs: usize, grace: Duration) -> String {
    let (have, them) = match runs {
        1 => ("has", "it"),
        _ => ("have", "them"),
    };
    format!(
        "stopping once {} {have} ended, at most {} s; press Ctrl+C again to end {them} now",
        counted(runs),
        grace.as_secs()
    )
}

/// Says what happens at the second wish to stop or after the grace, and what another one does.
fn ending(runs: usize) -> String {
    let them = if runs == 1 { "it" } else { "them" };
    format!(
        "ending {}; press Ctrl+C again to leave {them} to the guard",
        counted(runs)
    )
}

/// Runs one flow run to its end, with its output on this process's own.
///
/// The run is PENDING and so nobody else's. The first message of `stops` cancels it, the second
/// leaves what is left of it to the guard.
pub async fn execute(
    client: Client,
    settings: &Settings,
    run: FlowRun,
    guard: &[OsString],
    mut stops: mpsc::Receiver<()>,
) -> Result<(), Error> {
    let Some(api_url) = client.transport().url().map(str::to_owned) else {
        return Err(Error::NoServer);
    };
    let (guard, guard_process) = guard::Guard::start(guard, &api_url);
    let (logs, forwarding) = logs::Forwarder::start(client.clone());
    let (sender, mut events) = mpsc::unbounded_channel();
    let mut executor = executor::Executor::new(executor::Shared {
        client,
        source: Source::Given,
        prefetch: Duration::ZERO,
        logs: logs.clone(),
        guard: guard.clone(),
        host: host(settings, api_url, Role::Agent),
        is_foreground: true,
        health: None,
        events: sender,
        last_refusal: Mutex::default(),
        lets_go: watch::Sender::new(false),
    });
    let id = run.id;
    guard.given(id).await;
    executor.perform(Command::Launch(Box::new(run)));
    let mut ticks = interval(
        settings
            .agent_query_interval
            .max(Duration::from_millis(100)),
    );
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_halting = false;
    loop {
        tokio::select! {
            Some(event) = events.recv() => match event {
                Event::Gone(_) => break,
                Event::Cancelled(_) => executor.perform(Command::Halt(id, Halt::Cancelled)),
                _ => {}
            },
            _ = ticks.tick() => executor.perform(Command::Watch(vec![id])),
            Some(()) = stops.recv() => {
                if is_halting {
                    break;
                }
                is_halting = true;
                executor.perform(Command::Halt(id, Halt::Cancelled));
            }
        }
    }
    guard.stops().await;
    flush(&logs, LAST_FLUSH, &mut stops).await;
    forwarding.abort();
    drop(executor);
    drop(guard_process);
    Ok(())
}

fn send_later(events: &mpsc::UnboundedSender<Event>, wait: Duration, event: Event) {
    let events = events.clone();
    tokio::spawn(async move {
        sleep(wait).await;
        let _ = events.send(event);
    });
}

/// Finds the queue; waits for a server and for a queue of that name, but not for an unknown id.
async fn find_queue(
    client: &Client,
    queue: &Queue,
    stops: &mut mpsc::Receiver<()>,
) -> Result<Option<Uuid>, Error> {
    let mut has_warned = false;
    loop {
        let wait = match queue.read(client).await {
            Ok(Some(found)) => return Ok(Some(found.id)),
            Err(failure) if failure.is_refusal() => return Err(failure.into()),
            Err(failure) => waiting_for_server(&failure),
            Ok(None) => match queue {
                Queue::Named(name) if queue.id().is_none() => {
                    format!("there is no work queue named `{name}` yet; waiting for it")
                }
                Queue::Id(_) | Queue::Named(_) => {
                    return Err(Error::NoQueue(queue.id().unwrap_or_default()));
                }
            },
        };
        if !has_warned {
            warn!("{wait}");
        }
        has_warned = true;
        tokio::select! {
            () = sleep(QUEUE_PAUSE) => {}
            Some(()) = stops.recv() => return Ok(None),
        }
    }
}

/// Says what is waited for; where nobody answers at all, also what would help.
fn waiting_for_server(failure: &client::Error) -> String {
    match failure {
        client::Error::Unreachable { url, reason, .. } => format!(
            "no server answers at {url} ({reason}); waiting for it, start one with `prefect-rs server start` or set PREFECT_API_URL to where one is"
        ),
        other => format!("waiting for the server: {other}"),
    }
}

fn host(settings: &Settings, api_url: String, role: Role) -> runners::Host {
    // 2.x flows can only send a bearer token, and the server takes the auth string as one.
    let key = settings
        .api_key
        .as_ref()
        .or(settings.api_auth_string.as_ref());
    runners::Host {
        api_url,
        api_key: key.map(|key| key.reveal().to_owned()),
        python: settings.python.clone(),
        virtual_env: std::env::var_os("VIRTUAL_ENV").map(PathBuf::from),
        path: std::env::var_os("PATH").unwrap_or_default(),
        role,
    }
}

#[cfg(test)]
mod tests {
    use reqwest::Method;

    use super::*;

    #[test]
    fn who_asks_to_stop_is_told_what_comes_next() {
        let grace = Duration::from_secs(60);
        insta::assert_snapshot!([
            stopping(1, grace),
            stopping(2, grace),
            ending(1),
            ending(2),
            left_behind(1, true),
            left_behind(2, false),
        ].join("\n"), @r"
        stopping once 1 flow run has ended, at most 60 s; press Ctrl+C again to end it now
        stopping once 2 flow runs have ended, at most 60 s; press Ctrl+C again to end them now
        ending 1 flow run; press Ctrl+C again to leave it to the guard
        ending 2 flow runs; press Ctrl+C again to leave them to the guard
        1 flow run left to the guard, which ends what is left and tries for ten minutes to tell the server
        2 flow runs left behind, and the server not told how they ended
        ");
    }

    #[test]
    fn a_clock_that_differs_is_told_with_how_far_it_is_off() {
        let told = [11, -119, 7_199, -7_200, 700_000]
            .map(|seconds| other_clock(TimeDelta::seconds(seconds)));
        insta::assert_snapshot!(told.join("\n"), @r"
        this machine's clock is 11 s behind the server's; the server's is used
        this machine's clock is 2 min ahead of the server's; the server's is used
        this machine's clock is 2 h behind the server's; the server's is used
        this machine's clock is 2 h ahead of the server's; the server's is used
        this machine's clock is 8 days behind the server's; the server's is used
        ");
    }

    #[test]
    fn a_server_that_is_away_is_told_with_what_helps() {
        let told = waiting_for_server(&client::Error::Unreachable {
            method: Method::GET,
            path: "/work_queues/name/etl".to_owned(),
            url: "http://127.0.0.1:4200/api".to_owned(),
            reason: "Connection refused".to_owned(),
            is_timeout: false,
        });
        for part in [
            "no server answers at http://127.0.0.1:4200/api (Connection refused)",
            "prefect-rs server start",
            "PREFECT_API_URL",
        ] {
            assert!(told.contains(part), "{told}");
        }
    }
}

//! The measured loop: clients that do one unit again and again until the time is over.
//!
//! A client that has begun a unit finishes it, so that no half-done run is left behind, and the
//! span that is reported is the one until the last client came back.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use hyper::Method;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::connection::{Address, Answer, Connection};
use super::contract::Generation;
use super::fixture::{self, Fixture};
use super::report::{Measurement, Report, Span};
use super::units::Unit;
use super::verify::{self, Verdict};
use super::{Error, Plan, process};
use crate::clock::SharedClock;

/// How long a client may go on with its last unit; a starved one would never end.
const OVERTIME: Duration = Duration::from_secs(10);

/// A server rests when it has taken no more than a tenth of a core for so long.
const QUIET: Duration = Duration::from_millis(200);

/// How many such spans a server may go on working after the load, at most; ten seconds.
const MOST_SPANS: usize = 50;

/// A unit that the server did not do; what was wrong is already in the client's tally.
#[derive(Debug)]
pub(super) struct Refusal;

/// What one client counted in one span.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Units done.
    pub(super) units: u64,
    /// Time to each whole answer, in microseconds.
    pub(super) latencies: Vec<u32>,
    /// What went wrong, by name.
    pub(super) failures: BTreeMap<String, u64>,
    /// Answers that speak of a locked database, whatever their status.
    pub(super) locked: u64,
}

impl Tally {
    /// Adds what another client counted.
    fn add(&mut self, other: Self) {
        self.units += other.units;
        self.latencies.extend(other.latencies);
        for (name, count) in other.failures {
            *self.failures.entry(name).or_default() += count;
        }
        self.locked += other.locked;
    }
}

/// One client: a connection, and what it must find again.
pub(super) struct Client {
    connection: Connection,
    clock: SharedClock,
    tally: Tally,
    serial: u64,
    /// The rows all clients share.
    pub(super) fixture: Fixture,
    /// The client's own running flow run.
    pub(super) flow_run: Uuid,
    /// Runs that the server said it keeps, in the state the unit ends with.
    pub(super) kept: Vec<Uuid>,
    /// Log lines that the server said it keeps.
    pub(super) lines: u64,
}

impl Client {
    async fn new(site: &Site, fixture: &Fixture) -> Result<Self, Error> {
        let mut connection = site.connection();
        let flow_run = fixture::running_flow_run(&mut connection, fixture.flow).await?;
        Ok(Self {
            connection,
            clock: site.clock.clone(),
            tally: Tally::default(),
            serial: 0,
            fixture: fixture.clone(),
            flow_run,
            kept: Vec::new(),
            lines: 0,
        })
    }

    /// Returns the current instant.
    pub(super) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Returns a number that this client has not used yet.
    pub(super) fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// Counts a failure.
    pub(super) fn refuse(&mut self, name: String) -> Refusal {
        *self.tally.failures.entry(name).or_default() += 1;
        Refusal
    }

    /// Sends one request, and counts its latency and what is wrong with its answer.
    pub(super) async fn ask(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, Refusal> {
        let body = body.map_or_else(Vec::new, |body| {
            serde_json::to_vec(body).expect("a JSON value can be written")
        });
        let sent = Instant::now();
        let outcome = self.connection.ask(method, path, body).await;
        let micros = u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX);
        self.tally.latencies.push(micros);
        match outcome {
            Ok(answer) if answer.is_success() => Ok(answer),
            Ok(answer) => {
                if String::from_utf8_lossy(&answer.body).contains("database is locked") {
                    self.tally.locked += 1;
                }
                Err(self.refuse(answer.status.to_string()))
            }
            Err(reason) => Err(self.refuse(reason)),
        }
    }

    /// Sends a create, and reads what the server made of it.
    pub(super) async fn create<T: DeserializeOwned>(
        &mut self,
        path: &str,
        body: &Value,
    ) -> Result<T, Refusal> {
        let answer = self.ask(Method::POST, path, Some(body)).await?;
        match answer.json() {
            Some(created) => Ok(created),
            None => Err(self.refuse("answer without id".into())),
        }
    }

    /// Does the unit again and again until the time is over.
    async fn drive(self, unit: Unit, until: Instant) -> (Self, Tally) {
        self.take_turns(&[unit], until).await
    }

    /// Lists and counts in turn, as open dashboards do.
    async fn read(self, until: Instant) -> (Self, Tally) {
        self.take_turns(&[Unit::Filter, Unit::History], until).await
    }

    async fn take_turns(mut self, units: &[Unit], until: Instant) -> (Self, Tally) {
        for unit in units.iter().cycle() {
            if Instant::now() >= until {
                break;
            }
            let limit = tokio::time::Instant::from_std(until + OVERTIME);
            let Ok(outcome) = tokio::time::timeout_at(limit, unit.run(&mut self)).await else {
                self.connection.close();
                self.refuse("not done in time".into());
                break;
            };
            if let Ok(done) = outcome {
                self.tally.units += done;
            } else if self.connection.is_closed() {
                // A server that is gone refuses at once; asking it in a busy loop helps nobody.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        let tally = std::mem::take(&mut self.tally);
        (self, tally)
    }
}

/// The measured server.
struct Site {
    address: Address,
    generation: Generation,
    version: String,
    pid: Option<u32>,
    clock: SharedClock,
}

impl Site {
    async fn find(plan: &Plan, clock: SharedClock) -> Result<Self, Error> {
        let address = Address::parse(&plan.url)?;
        // A server that speaks several generations answers each with its own version: without a
        // choice of the user's it is asked as the newest client.
        let asking = plan.generation.unwrap_or(Generation::Three);
        let mut connection = Connection::new(address.clone(), asking);
        let version = match fixture::server_version(&mut connection).await {
            // A new server's refusal of an old client, or the reverse, still names no version.
            Err(Error::Refused { .. }) if plan.generation.is_none() => {
                let mut connection = Connection::new(address.clone(), Generation::Beta);
                fixture::server_version(&mut connection).await?
            }
            other => other?,
        };
        let generation = plan
            .generation
            .unwrap_or_else(|| Generation::of_server(&version));
        let pid = plan.pid.or_else(|| process::listening_on(address.port));
        Ok(Self {
            address,
            generation,
            version,
            pid,
            clock,
        })
    }

    fn connection(&self) -> Connection {
        Connection::new(self.address.clone(), self.generation)
    }

    /// Returns what the server has used once it rests; the quiet span itself is not counted.
    ///
    /// What a server puts off (events of state changes, for one) is work for the load all the same,
    /// and must not fall on the next measurement either.
    async fn usage_at_rest(&self) -> Option<process::Usage> {
        let mut usage = process::usage(self.pid?)?;
        for _ in 0..MOST_SPANS {
            tokio::time::sleep(QUIET).await;
            let later = process::usage(self.pid?)?;
            if later.cpu.saturating_sub(usage.cpu) <= QUIET / 10 {
                break;
            }
            usage = later;
        }
        Some(usage)
    }
}

/// Runs all measurements of a plan.
pub(super) async fn run(
    plan: Plan,
    clock: SharedClock,
    progress: impl Fn(&str),
) -> Result<Report, Error> {
    let site = Site::find(&plan, clock).await?;
    let mut measurements = Vec::new();
    for &unit in &plan.units {
        for &clients in &plan.clients {
            progress(&format!("{unit}, {clients} clients"));
            measurements.push(measure(&site, &plan, unit, clients).await?);
        }
    }
    Ok(Report {
        url: plan.url,
        server_version: site.version,
        generation: site.generation,
        pid: site.pid,
        measurements,
    })
}

async fn measure(
    site: &Site,
    plan: &Plan,
    unit: Unit,
    clients: usize,
) -> Result<Measurement, Error> {
    let mut connection = site.connection();
    let fixture = Fixture::create(
        &mut connection,
        site.generation,
        unit,
        plan.history,
        &site.clock,
    )
    .await?;
    let mut crew = Vec::with_capacity(clients);
    for _ in 0..clients {
        crew.push(Client::new(site, &fixture).await?);
    }
    let mut readers = Vec::with_capacity(plan.readers);
    for _ in 0..plan.readers {
        readers.push(Client::new(site, &fixture).await?);
    }
    let (crew, readers, _) = together(crew, readers, unit, plan.warm_up).await;
    let own = || process::usage(std::process::id());
    let before = (site.usage_at_rest().await, own());
    let (mut crew, _readers, counted) = together(crew, readers, unit, plan.duration).await;
    let own_after = own();
    let after = (site.usage_at_rest().await, own_after);
    let verdict = read_back(&mut crew, unit).await;
    let cpu = |from: Option<process::Usage>, to: Option<process::Usage>| {
        Some(to?.cpu.saturating_sub(from?.cpu))
    };
    Ok(Measurement::new(
        unit,
        clients,
        plan.readers,
        Span {
            elapsed: counted.elapsed,
            server_cpu: cpu(before.0, after.0),
            generator_cpu: cpu(before.1, after.1),
            server_resident_bytes: after.0.map(|usage| usage.resident_bytes),
        },
        counted.work,
        &counted.reads,
        verdict,
    ))
}

struct Counted {
    elapsed: Duration,
    work: Tally,
    reads: Tally,
}

/// Drives all clients at once for `duration`.
async fn together(
    crew: Vec<Client>,
    readers: Vec<Client>,
    unit: Unit,
    duration: Duration,
) -> (Vec<Client>, Vec<Client>, Counted) {
    let begun = Instant::now();
    let until = begun + duration;
    let mut workers = JoinSet::new();
    let mut reading = JoinSet::new();
    for client in crew {
        workers.spawn(client.drive(unit, until));
    }
    for reader in readers {
        reading.spawn(reader.read(until));
    }
    let (crew, work) = gather(workers).await;
    let elapsed = begun.elapsed();
    let (readers, reads) = gather(reading).await;
    let counted = Counted {
        elapsed,
        work,
        reads,
    };
    (crew, readers, counted)
}

async fn gather(tasks: JoinSet<(Client, Tally)>) -> (Vec<Client>, Tally) {
    let mut total = Tally::default();
    let mut clients = Vec::with_capacity(tasks.len());
    for (client, tally) in tasks.join_all().await {
        clients.push(client);
        total.add(tally);
    }
    (clients, total)
}

async fn read_back(crew: &mut [Client], unit: Unit) -> Verdict {
    let mut total = Verdict::default();
    for client in crew {
        let verdict = verify::read_back(client, unit).await;
        total.right += verdict.right;
        total.wrong += verdict.wrong;
    }
    total
}

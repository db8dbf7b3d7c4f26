//! What was measured, as numbers for scripts and as a table for people.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::contract::Generation;
use super::load::Tally;
use super::units::Unit;
use super::verify::Verdict;

/// All measurements of one server.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The server's address.
    pub url: String,
    /// What the server calls itself.
    pub server_version: String,
    /// The contract that was spoken.
    #[serde(serialize_with = "as_text")]
    pub generation: Generation,
    /// The root of the process tree whose CPU was counted.
    pub pid: Option<u32>,
    /// One entry for each unit and number of clients.
    pub measurements: Vec<Measurement>,
}

/// One unit under one number of clients.
#[derive(Debug, Clone, Serialize)]
pub struct Measurement {
    /// The unit's name.
    pub unit: &'static str,
    /// Clients that did the unit.
    pub clients: usize,
    /// Clients that listed and counted beside them.
    pub readers: usize,
    /// From the start until the last client was done.
    pub seconds: f64,
    /// Units done.
    pub units: u64,
    /// Units done per second.
    pub per_second: f64,
    /// Requests sent.
    pub requests: u64,
    /// Time to a whole answer that half of the requests kept.
    pub p50_ms: f64,
    /// Time to a whole answer that 99 of 100 requests kept.
    pub p99_ms: f64,
    /// The longest time to a whole answer.
    pub max_ms: f64,
    /// User and system time of the server's process tree for one unit (the readers' share included).
    pub server_cpu_ms: Option<f64>,
    /// User and system time of this process for one unit.
    pub generator_cpu_ms: Option<f64>,
    /// Resident memory of the server's process tree at the end.
    pub server_resident_mib: Option<f64>,
    /// Requests of the readers.
    pub reads: u64,
    /// Units and requests that failed, by status or reason.
    pub failures: BTreeMap<String, u64>,
    /// Answers that speak of a locked database.
    pub database_is_locked: u64,
    /// Runs and lines found as the server had answered.
    pub verified: u64,
    /// Runs and lines that were not.
    pub wrong: u64,
}

/// What a measured span took.
pub(super) struct Span {
    pub(super) elapsed: Duration,
    pub(super) server_cpu: Option<Duration>,
    pub(super) generator_cpu: Option<Duration>,
    pub(super) server_resident_bytes: Option<u64>,
}

impl Measurement {
    /// Sums up a span.
    pub(super) fn new(
        unit: Unit,
        clients: usize,
        readers: usize,
        span: Span,
        mut work: Tally,
        reads: &Tally,
        verdict: Verdict,
    ) -> Self {
        work.latencies.sort_unstable();
        let seconds = span.elapsed.as_secs_f64();
        let each = |cpu: Duration| cpu.as_secs_f64() * 1000.0 / work.units as f64;
        let some_units = |cpu: Option<Duration>| cpu.filter(|_| work.units > 0);
        let mut failures = work.failures;
        for (name, count) in &reads.failures {
            *failures.entry(format!("reader {name}")).or_default() += count;
        }
        Self {
            unit: unit.name(),
            clients,
            readers,
            seconds,
            units: work.units,
            per_second: work.units as f64 / seconds,
            requests: work.latencies.len() as u64,
            p50_ms: percentile(&work.latencies, 50),
            p99_ms: percentile(&work.latencies, 99),
            max_ms: percentile(&work.latencies, 100),
            server_cpu_ms: some_units(span.server_cpu).map(each),
            generator_cpu_ms: some_units(span.generator_cpu).map(each),
            server_resident_mib: span
                .server_resident_bytes
                .map(|bytes| bytes as f64 / (1024.0 * 1024.0)),
            reads: reads.latencies.len() as u64,
            failures,
            database_is_locked: work.locked + reads.locked,
            verified: verdict.right,
            wrong: verdict.wrong,
        }
    }

    /// Returns true if every answer was 2xx and every kept thing was found.
    pub fn is_clean(&self) -> bool {
        self.failures.is_empty() && self.wrong == 0
    }
}

/// Returns the latency in milliseconds that `percent` of the sorted microseconds do not exceed.
fn percentile(sorted: &[u32], percent: usize) -> f64 {
    if sorted.is_empty() {
        return 0.0;
    }
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    f64::from(sorted[rank - 1]) / 1000.0
}

/// The columns of the table: heading and width.
const COLUMNS: [(&str, usize); 10] = [
    ("unit", 10),
    ("clients", 7),
    ("units/s", 10),
    ("p50 ms", 9),
    ("p99 ms", 9),
    ("server CPU ms", 13),
    ("own CPU ms", 10),
    ("MiB", 6),
    ("verified", 9),
    ("failed", 8),
];

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "server {} at {}, spoken to as a {} client",
            self.server_version, self.url, self.generation
        )?;
        line(f, COLUMNS.map(|(heading, _)| heading.to_owned()))?;
        for measurement in &self.measurements {
            line(f, cells(measurement))?;
        }
        for measurement in self.measurements.iter().filter(|m| !m.is_clean()) {
            write!(f, "{}, {} clients:", measurement.unit, measurement.clients)?;
            for (name, count) in &measurement.failures {
                write!(f, " {count} x {name};")?;
            }
            writeln!(f, " {} not found as answered", measurement.wrong)?;
        }
        Ok(())
    }
}

fn cells(measurement: &Measurement) -> [String; COLUMNS.len()] {
    let optional = |value: Option<f64>, digits: usize| {
        value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
    };
    [
        measurement.unit.to_owned(),
        measurement.clients.to_string(),
        format!("{:.1}", measurement.per_second),
        format!("{:.3}", measurement.p50_ms),
        format!("{:.3}", measurement.p99_ms),
        optional(measurement.server_cpu_ms, 4),
        optional(measurement.generator_cpu_ms, 4),
        optional(measurement.server_resident_mib, 0),
        measurement.verified.to_string(),
        measurement.failures.values().sum::<u64>().to_string(),
    ]
}

fn line(f: &mut fmt::Formatter<'_>, cells: [String; COLUMNS.len()]) -> fmt::Result {
    for (index, (cell, (_, width))) in cells.iter().zip(COLUMNS).enumerate() {
        if index == 0 {
            write!(f, "{cell:<width$}")?;
        } else {
            write!(f, "  {cell:>width$}")?;
        }
    }
    writeln!(f)
}

fn as_text<S: Serializer>(value: &Generation, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_latency_that_occurred() {
        let sorted: Vec<u32> = (1..=200).map(|n| n * 1000).collect();
        assert_eq!(percentile(&sorted, 50), 100.0);
        assert_eq!(percentile(&sorted, 99), 198.0);
        assert_eq!(percentile(&sorted, 100), 200.0);
        assert_eq!(percentile(&sorted[..1], 50), 1.0);
        assert_eq!(percentile(&[], 99), 0.0);
    }
}

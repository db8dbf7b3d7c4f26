//! Global concurrency limits: how many slots of a name may be taken at once, or how often.
//!
//! They are the only store of slots: the limit of a tag is one of them, named `tag:<tag>`. With a
//! decay, slots come back by themselves, which makes a limit of the rate.

use chrono::{DateTime, Utc};
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;
use uuid::Uuid;

use super::ConcurrencyLimitId;
use super::dialect::{Dialect, Fields, Render};
use super::filters::offset;
use super::flow_runs::AsOf;

/// What the names of limits on tags begin with.
pub const TAG_PREFIX: &str = "tag:";
/// Characters that a name must not have, since it is a part of paths.
const NOT_IN_NAMES: [char; 5] = ['/', '%', '&', '>', '<'];
/// How long a slot is expected to be taken before anybody has told.
pub const USUAL_OCCUPANCY_SECONDS: f64 = 2.0;

/// A limit on slots of a name.
#[derive(Debug, Clone, PartialEq, ToSchema)]
pub struct GlobalConcurrencyLimit {
    /// The limit's id.
    pub id: ConcurrencyLimitId,
    /// When it was created.
    pub created: DateTime<Utc>,
    /// When it was last changed.
    pub updated: DateTime<Utc>,
    /// Whether it is in force.
    pub active: bool,
    /// The name, unique on the server.
    pub name: String,
    /// How many slots there are.
    pub limit: i64,
    /// How many slots were taken at `slots_at`.
    pub active_slots: f64,
    /// How many slots were refused at `slots_at` and not taken since.
    pub denied_slots: f64,
    /// How many slots a second come back by themselves.
    pub slot_decay_per_second: f64,
    /// How long a slot is taken, on average.
    pub avg_slot_occupancy_seconds: f64,
    /// When the slots were counted.
    pub slots_at: DateTime<Utc>,
}

impl GlobalConcurrencyLimit {
    /// Brings the counts of slots to the present.
    pub fn settle(&mut self, now: DateTime<Utc>) {
        let elapsed = (now - self.slots_at).as_seconds_f64().max(0.0);
        let left = |slots: f64, a_second: f64| (slots - a_second * elapsed).max(0.0);
        self.active_slots = left(self.active_slots, self.slot_decay_per_second);
        self.denied_slots = left(self.denied_slots, self.turnover());
        self.slots_at = self.slots_at.max(now);
    }

    /// Returns how many slots a second come free.
    fn turnover(&self) -> f64 {
        if self.slot_decay_per_second > 0.0 {
            self.slot_decay_per_second
        } else {
            self.avg_slot_occupancy_seconds.max(0.1).recip()
        }
    }

    /// Returns how many slots are taken; one that has come back in part is.
    pub fn taken(&self) -> i64 {
        // A little less, since a sum of fractions may exceed the whole number that it means.
        (self.active_slots - 1e-6).ceil().max(0.0) as i64
    }

    /// Tells whether slots can be taken.
    pub fn has_room(&self, slots: i64) -> bool {
        self.taken().saturating_add(slots) <= self.limit
    }

    /// Takes slots.
    pub fn take(&mut self, slots: i64) {
        self.active_slots += slots as f64;
        self.denied_slots = (self.denied_slots - slots as f64).max(0.0);
    }

    /// Takes slots back that were held for so many seconds, where that is known.
    pub fn give_back(&mut self, slots: i64, held_seconds: Option<f64>) {
        self.active_slots = (self.active_slots - slots as f64).max(0.0);
        if let Some(seconds) = held_seconds {
            let one = (seconds / slots.max(1) as f64).max(0.1);
            // The more slots there are, the less one of them says.
            let weight = (self.limit.max(1) as f64).recip();
            self.avg_slot_occupancy_seconds += (one - self.avg_slot_occupancy_seconds) * weight;
        }
    }

    /// Returns after how many seconds slots are likely to be free that are not, behind those who
    /// were refused before.
    pub fn wait_seconds(&self, slots: i64) -> f64 {
        if self.slot_decay_per_second > 0.0 {
            let missing = self.active_slots + slots as f64 - self.limit as f64;
            (missing.max(0.0) + self.denied_slots) / self.slot_decay_per_second
        } else {
            let rounds = (slots as f64 + self.denied_slots) / self.limit.max(1) as f64;
            self.avg_slot_occupancy_seconds * rounds
        }
    }
}

impl AsOf<GlobalConcurrencyLimit> {
    fn fields<S: Serializer>(
        &self,
        dialect: Dialect,
        serializer: S,
    ) -> Result<Fields<S>, S::Error> {
        let mut limit = self.1.clone();
        limit.settle(self.0);
        let mut fields = Fields::begin(dialect, serializer)?;
        fields.all("id", &limit.id)?;
        fields.time("created", limit.created)?;
        fields.time("updated", limit.updated)?;
        fields.all("active", &limit.active)?;
        fields.all("name", &limit.name)?;
        fields.all("limit", &limit.limit)?;
        fields.all("active_slots", &limit.taken())?;
        fields.all("slot_decay_per_second", &limit.slot_decay_per_second)?;
        Ok(fields)
    }
}

impl Render for AsOf<GlobalConcurrencyLimit> {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        self.fields(dialect, serializer)?.end()
    }
}

/// A limit that has just been created, of which more is told.
pub struct Created(pub AsOf<GlobalConcurrencyLimit>);

impl Render for Created {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        let limit = &self.0.1;
        let mut fields = self.0.fields(dialect, serializer)?;
        fields.all("denied_slots", &(limit.denied_slots as i64))?;
        fields.all(
            "avg_slot_occupancy_seconds",
            &limit.avg_slot_occupancy_seconds,
        )?;
        fields.end()
    }
}

/// A limit of which slots were taken or given back.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[expect(
    missing_docs,
    reason = "the fields are those of `GlobalConcurrencyLimit`"
)]
pub struct Named {
    pub id: ConcurrencyLimitId,
    pub name: String,
    pub limit: i64,
}

impl From<&GlobalConcurrencyLimit> for Named {
    fn from(limit: &GlobalConcurrencyLimit) -> Self {
        Self {
            id: limit.id,
            name: limit.name.clone(),
            limit: limit.limit,
        }
    }
}

/// Slots that were taken for a while.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Leased {
    /// What the slots are kept and given back by.
    pub lease_id: Uuid,
    /// The limits that they are of.
    pub limits: Vec<Named>,
}

/// Creates a limit.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(
    missing_docs,
    reason = "the fields are those of `GlobalConcurrencyLimit`"
)]
pub struct LimitCreate {
    #[serde(default = "truth")]
    pub active: bool,
    #[serde(deserialize_with = "name")]
    pub name: String,
    #[serde(deserialize_with = "natural")]
    pub limit: i64,
    #[serde(default, deserialize_with = "natural")]
    pub active_slots: i64,
    #[serde(default, deserialize_with = "natural")]
    pub denied_slots: i64,
    #[serde(default, deserialize_with = "rate")]
    pub slot_decay_per_second: f64,
}

/// Changes a limit; what is not given, or null, stays.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[expect(
    missing_docs,
    reason = "the fields are those of `GlobalConcurrencyLimit`"
)]
pub struct LimitUpdate {
    pub active: Option<bool>,
    #[serde(deserialize_with = "name_or_null")]
    pub name: Option<String>,
    #[serde(deserialize_with = "natural_or_null")]
    pub limit: Option<i64>,
    #[serde(deserialize_with = "natural_or_null")]
    pub active_slots: Option<i64>,
    #[serde(deserialize_with = "natural_or_null")]
    pub denied_slots: Option<i64>,
    #[serde(deserialize_with = "rate_or_null")]
    pub slot_decay_per_second: Option<f64>,
}

/// Asks for limits.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "a page")]
pub struct LimitsQuery {
    #[serde(default)]
    pub limit: Option<i64>,
    #[serde(default, deserialize_with = "offset")]
    pub offset: Option<u32>,
}

/// How slots are given back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// By whoever took them.
    #[default]
    Concurrency,
    /// By time.
    RateLimit,
}

/// Takes slots.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct Increment {
    /// How many of each limit.
    #[serde(deserialize_with = "positive")]
    pub slots: i64,
    /// The names of the limits.
    pub names: Vec<String>,
    /// How they are given back.
    #[serde(default)]
    pub mode: Mode,
    /// Whether a name without a limit gets one that is not in force; for 2.20 only.
    #[serde(default)]
    pub create_if_missing: Option<bool>,
}

/// Gives slots back.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct Decrement {
    /// How many of each limit.
    #[serde(deserialize_with = "positive")]
    pub slots: i64,
    /// The names of the limits.
    pub names: Vec<String>,
    /// For how long they were held.
    #[serde(default, deserialize_with = "positive_seconds_or_null")]
    pub occupancy_seconds: Option<f64>,
    /// Whether a name without a limit gets one that is not in force; for 2.20 only.
    #[serde(default)]
    pub create_if_missing: Option<bool>,
}

/// What kind of thing holds slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the field's own words")]
pub enum HolderType {
    FlowRun,
    TaskRun,
    Deployment,
}

impl HolderType {
    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FlowRun => "flow_run",
            Self::TaskRun => "task_run",
            Self::Deployment => "deployment",
        }
    }
}

/// Who holds slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Holder {
    /// What it is.
    #[serde(rename = "type")]
    pub holder_type: HolderType,
    /// Which one.
    pub id: Uuid,
}

/// Takes slots for a while.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct IncrementWithLease {
    /// How many of each limit.
    #[serde(deserialize_with = "positive")]
    pub slots: i64,
    /// The names of the limits.
    pub names: Vec<String>,
    /// How they are given back.
    #[serde(default)]
    pub mode: Mode,
    /// For how many seconds, unless renewed.
    #[serde(default = "usual_duration", deserialize_with = "duration")]
    pub lease_duration: f64,
    /// Who holds them.
    #[serde(default)]
    pub holder: Option<Holder>,
}

/// Gives back the slots of a lease.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct DecrementWithLease {
    /// The lease.
    pub lease_id: Uuid,
}

/// Keeps slots for longer.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct Renewal {
    /// For how many seconds from now on.
    #[serde(default = "usual_duration", deserialize_with = "duration")]
    pub lease_duration: f64,
}

fn truth() -> bool {
    true
}

fn usual_duration() -> f64 {
    300.0
}

fn fit_name<E: serde::de::Error>(name: String) -> Result<String, E> {
    if name.is_empty() || name.contains(NOT_IN_NAMES) {
        let text = "String should match pattern '^[^/%&><]+$'";
        return Err(E::custom(text));
    }
    Ok(name)
}

fn name<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    fit_name(String::deserialize(d)?)
}

fn name_or_null<'de, D: Deserializer<'de>>(d: D) -> Result<Option<String>, D::Error> {
    Option::deserialize(d)?.map(fit_name).transpose()
}

fn at_least<T: PartialOrd + std::fmt::Display, E: serde::de::Error>(
    value: T,
    least: T,
) -> Result<T, E> {
    if value >= least {
        return Ok(value);
    }
    Err(E::custom(format!(
        "ensure this value is greater than or equal to {least}"
    )))
}

fn natural<'de, D: Deserializer<'de>>(d: D) -> Result<i64, D::Error> {
    at_least(i64::deserialize(d)?, 0)
}

fn natural_or_null<'de, D: Deserializer<'de>>(d: D) -> Result<Option<i64>, D::Error> {
    Option::deserialize(d)?
        .map(|value| at_least(value, 0))
        .transpose()
}

fn rate<'de, D: Deserializer<'de>>(d: D) -> Result<f64, D::Error> {
    at_least(f64::deserialize(d)?, 0.0)
}

fn rate_or_null<'de, D: Deserializer<'de>>(d: D) -> Result<Option<f64>, D::Error> {
    Option::deserialize(d)?
        .map(|value| at_least(value, 0.0))
        .transpose()
}

fn positive<'de, D: Deserializer<'de>>(d: D) -> Result<i64, D::Error> {
    match i64::deserialize(d)? {
        value @ 1.. => Ok(value),
        _ => Err(D::Error::custom("ensure this value is greater than 0")),
    }
}

fn positive_seconds_or_null<'de, D: Deserializer<'de>>(d: D) -> Result<Option<f64>, D::Error> {
    match Option::<f64>::deserialize(d)? {
        Some(seconds) if seconds <= 0.0 => {
            Err(D::Error::custom("ensure this value is greater than 0"))
        }
        seconds => Ok(seconds),
    }
}

fn duration<'de, D: Deserializer<'de>>(d: D) -> Result<f64, D::Error> {
    let seconds = at_least(f64::deserialize(d)?, 60.0)?;
    if seconds > 86_400.0 {
        let text = "ensure this value is less than or equal to 86400";
        return Err(D::Error::custom(text));
    }
    Ok(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    fn limit(limit: i64, decay: f64) -> GlobalConcurrencyLimit {
        let at = DateTime::UNIX_EPOCH;
        GlobalConcurrencyLimit {
            id: ConcurrencyLimitId::new(),
            created: at,
            updated: at,
            active: true,
            name: "db".to_owned(),
            limit,
            active_slots: 0.0,
            denied_slots: 0.0,
            slot_decay_per_second: decay,
            avg_slot_occupancy_seconds: USUAL_OCCUPANCY_SECONDS,
            slots_at: at,
        }
    }

    #[test]
    fn slots_of_a_rate_come_back_by_time_however_often_somebody_looks() {
        let mut rate = limit(1, 0.1);
        rate.take(1);
        let start = rate.slots_at;
        for tenth in 1..100 {
            rate.settle(start + TimeDelta::milliseconds(100 * tenth));
            assert!(!rate.has_room(1), "after {tenth} tenths of a second");
        }
        rate.settle(start + TimeDelta::seconds(10));
        assert!(rate.has_room(1));
    }

    #[test]
    fn a_clock_that_is_set_back_gives_and_takes_nothing() {
        let mut rate = limit(2, 1.0);
        rate.take(2);
        let start = rate.slots_at;
        rate.settle(start - TimeDelta::hours(1));
        assert_eq!(rate.taken(), 2);
        rate.settle(start + TimeDelta::seconds(1));
        assert_eq!(rate.taken(), 1);
    }

    #[test]
    fn who_was_refused_before_is_waited_for() {
        let mut full = limit(2, 0.0);
        full.take(2);
        let alone = full.wait_seconds(1);
        full.denied_slots = 4.0;
        assert!(full.wait_seconds(1) > 4.0 * alone);
    }

    #[test]
    fn more_is_given_back_than_was_taken_and_nothing_is_below_zero() {
        let mut one = limit(3, 0.0);
        one.take(1);
        one.give_back(9, Some(90.0));
        assert_eq!(one.taken(), 0);
        assert!(one.avg_slot_occupancy_seconds > USUAL_OCCUPANCY_SECONDS);
    }
}

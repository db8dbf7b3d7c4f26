//! What can be bound to a placeholder, and what can be read from a column, on both databases.
//!
//! Instants are text of fixed width on SQLite (as the genuine server writes them, so that any
//! browser shows them and text order is time order) and `TIMESTAMPTZ` on PostgreSQL; ids are text
//! and `UUID`; documents are JSON text on both, so that the order of keys survives.

use chrono::{DateTime, Utc};
use rusqlite::types::ValueRef;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::Error;
use crate::schemas::schedules::Schedule;
use crate::schemas::task_runs::RetryPolicy;
use crate::schemas::time::Stamp;
use crate::schemas::{self, Document, StateDetails, StateType, Tags};

/// The type of a value; PostgreSQL needs it even when the value is null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A truth value.
    Bool,
    /// A whole number.
    Int,
    /// A floating-point number.
    Real,
    /// Text, and documents as JSON text.
    Text,
    /// Bytes.
    Bytes,
    /// An id.
    Uuid,
    /// An instant.
    Time,
}

/// A value bound to a placeholder.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the variants are named as their kinds")]
pub enum Value {
    Null(Kind),
    Bool(bool),
    Int(i64),
    Real(f64),
    Text(String),
    Bytes(Vec<u8>),
    Uuid(Uuid),
    Time(DateTime<Utc>),
    /// A list for `= ANY($n)`; see [`super::dialect`].
    Uuids(Vec<Uuid>),
    /// A list for `= ANY($n)`; see [`super::dialect`].
    Texts(Vec<String>),
}

/// A Rust type that has a [`Kind`] and can be read from a column.
pub trait Column: Sized {
    /// The kind that stands for a null of this type.
    const KIND: Kind;
    /// Reads a column of SQLite.
    fn from_sqlite(value: ValueRef<'_>) -> Result<Self, Error>;
    /// Reads a column of PostgreSQL.
    fn from_postgres(row: &PgRow, index: usize) -> Result<Self, Error>;
}

/// The row under the cursor of either database.
pub(super) enum RowRef<'r> {
    Sqlite(&'r rusqlite::Row<'r>),
    Postgres(&'r PgRow),
}

/// A row, read column by column in the order of the statement.
pub struct Row<'r> {
    pub(super) inner: RowRef<'r>,
    pub(super) next: usize,
}

impl<'r> Row<'r> {
    /// Reads the next column as text that stays where it is.
    pub fn text(&mut self) -> Result<Option<&'r str>, Error> {
        let index = self.next;
        self.next += 1;
        match self.inner {
            RowRef::Sqlite(row) => match row.get_ref(index)? {
                ValueRef::Null => Ok(None),
                value => text(value).map(Some),
            },
            RowRef::Postgres(row) => Ok(row.try_get::<Option<&'r str>, _>(index)?),
        }
    }

    /// Reads the next column as an instant, in microseconds since 1970.
    pub fn micros(&mut self) -> Result<Option<i64>, Error> {
        let index = self.next;
        self.next += 1;
        match self.inner {
            RowRef::Sqlite(row) => match row.get_ref(index)? {
                ValueRef::Null => Ok(None),
                ValueRef::Text(bytes) => match parse_micros(bytes) {
                    None => Err(no_instant(&String::from_utf8_lossy(bytes))),
                    micros => Ok(micros),
                },
                other => Err(mismatch("an instant", other)),
            },
            RowRef::Postgres(row) => {
                let instant: Option<DateTime<Utc>> = row.try_get(index)?;
                Ok(instant.map(|instant| instant.timestamp_micros()))
            }
        }
    }

    /// Reads the next column.
    pub fn take<T: Column>(&mut self) -> Result<T, Error> {
        let index = self.next;
        self.next += 1;
        match &self.inner {
            RowRef::Sqlite(row) => T::from_sqlite(row.get_ref(index)?),
            RowRef::Postgres(row) => T::from_postgres(row, index),
        }
        .map_err(|e| match e {
            Error::Decode(text) => Error::Decode(format!("column {index}: {text}")),
            other => other,
        })
    }
}

/// A type that one row makes.
pub trait FromRow: Sized {
    /// Reads the columns in order.
    fn from_row(row: &mut Row<'_>) -> Result<Self, Error>;
}

macro_rules! single_column {
    ($($t:ty),*) => {$(
        impl FromRow for $t {
            fn from_row(row: &mut Row<'_>) -> Result<Self, Error> { row.take() }
        }
    )*};
}
single_column!(i64, bool, f64, String, Uuid, DateTime<Utc>);

impl<A: Column, B: Column> FromRow for (A, B) {
    fn from_row(row: &mut Row<'_>) -> Result<Self, Error> {
        Ok((row.take()?, row.take()?))
    }
}

impl<A: Column, B: Column, C: Column> FromRow for (A, B, C) {
    fn from_row(row: &mut Row<'_>) -> Result<Self, Error> {
        Ok((row.take()?, row.take()?, row.take()?))
    }
}

impl<A: Column, B: Column, C: Column, D: Column> FromRow for (A, B, C, D) {
    fn from_row(row: &mut Row<'_>) -> Result<Self, Error> {
        Ok((row.take()?, row.take()?, row.take()?, row.take()?))
    }
}

fn mismatch(expected: &str, value: ValueRef<'_>) -> Error {
    Error::Decode(format!("expected {expected}, found {}", value.data_type()))
}

fn no_instant(text: &str) -> Error {
    Error::Decode(format!("`{text}` is not an instant"))
}

fn text(value: ValueRef<'_>) -> Result<&str, Error> {
    let ValueRef::Text(bytes) = value else {
        return Err(mismatch("text", value));
    };
    std::str::from_utf8(bytes).map_err(|e| Error::Decode(e.to_string()))
}

macro_rules! postgres_native {
    ($t:ty) => {
        fn from_postgres(row: &PgRow, index: usize) -> Result<Self, Error> {
            Ok(row.try_get::<$t, _>(index)?)
        }
    };
}

impl Column for bool {
    const KIND: Kind = Kind::Bool;
    fn from_sqlite(value: ValueRef<'_>) -> Result<Self, Error> {
        Ok(value
            .as_i64()
            .map_err(|_| mismatch("a truth value", value))?
            != 0)
    }
    postgres_native!(bool);
}

impl Column for i64 {
    const KIND: Kind = Kind::Int;
    fn from_sqlite(value: ValueRef<'_>) -> Result<Self, Error> {
        value
            .as_i64()
            .map_err(|_| mismatch("a whole number", value))
    }
    postgres_native!(i64);
}

impl Column for f64 {
    const KIND: Kind = Kind::Real;
    fn from_sqlite(value: ValueRef<'_>) -> Result<Self, Error> {
        match value {
            ValueRef::Real(x) => Ok(x),
            ValueRef::Integer(n) => Ok(n as f64),
            _ => Err(mismatch("a number", value)),
        }
    }
    postgres_native!(f64);
}

impl Column for String {
    const KIND: Kind = Kind::Text;
    fn from_sqlite(value: ValueRef<'_>) -> Result<Self, Error> {
        text(value).map(str::to_owned)
    }
    postgres_native!(String);
}

impl Column for Vec<u8> {
    const KIND: Kind = Kind::Bytes;
    fn from_sqlite(value: ValueRef<'_>) -> Result<Self, Error> {
        value
            .as_blob()
            .map(<[u8]>::to_vec)
            .map_err(|_| mismatch("bytes", value))
    }
    postgres_native!(Vec<u8>);
}

impl Column for Uuid {
    const KIND: Kind = Kind::Uuid;
    fn from_sqlite(value: ValueRef<'_>) -> Result<Self, Error> {
        Uuid::try_parse(text(value)?).map_err(|e| Error::Decode(e.to_string()))
    }
    postgres_native!(Uuid);
}

impl Column for DateTime<Utc> {
    const KIND: Kind = Kind::Time;
    fn from_sqlite(value: ValueRef<'_>) -> Result<Self, Error> {
        let text = text(value)?;
        parse_time(text).ok_or_else(|| no_instant(text))
    }
    postgres_native!(DateTime<Utc>);
}

impl<T: Column> Column for Option<T> {
    const KIND: Kind = T::KIND;
    fn from_sqlite(value: ValueRef<'_>) -> Result<Self, Error> {
        match value {
            ValueRef::Null => Ok(None),
            value => T::from_sqlite(value).map(Some),
        }
    }
    fn from_postgres(row: &PgRow, index: usize) -> Result<Self, Error> {
        use sqlx::ValueRef as _;
        if row.try_get_raw(index)?.is_null() {
            return Ok(None);
        }
        T::from_postgres(row, index).map(Some)
    }
}

/// A type that is kept as another one: read by `$from`, written by `$into`.
macro_rules! column_as {
    ($($t:ty as $inner:ty: $from:expr, $into:expr;)*) => {$(
        impl Column for $t {
            const KIND: Kind = <$inner as Column>::KIND;
            fn from_sqlite(value: ValueRef<'_>) -> Result<Self, Error> {
                <$inner>::from_sqlite(value).and_then($from)
            }
            fn from_postgres(row: &PgRow, index: usize) -> Result<Self, Error> {
                <$inner>::from_postgres(row, index).and_then($from)
            }
        }
        impl From<$t> for Value {
            fn from(value: $t) -> Self {
                #[allow(clippy::redundant_closure_call, reason = "the closure comes from the list")]
                Self::from($into(value))
            }
        }
    )*};
}

macro_rules! column_ids {
    ($($t:ident),* $(,)?) => { column_as! { $(schemas::$t as Uuid: |id| Ok(schemas::$t(id)), |id: schemas::$t| id.0;)* } };
}
column_ids!(
    FlowId,
    FlowRunId,
    TaskRunId,
    StateId,
    DeploymentId,
    WorkQueueId,
    WorkPoolId,
    WorkerId,
    ScheduleId,
    ConcurrencyLimitId,
    LogId,
    SavedSearchId,
    BlockId,
    BlockSpecId,
    BlockTypeId,
    BlockSchemaId,
    BlockDocumentId,
    EventId,
    AutomationId,
    VariableId,
    ArtifactId,
    ArtifactCollectionId,
    FlowRunInputId,
    NotificationPolicyId,
);

column_as! {
    Document as String:
        |text| Document::parse(text).map_err(|e| Error::Decode(format!("not JSON: {e}"))),
        |document: Document| document.into_text();
    Tags as String:
        |text| serde_json::from_str(&text).map_err(|e| Error::Decode(format!("not a list of tags: {e}"))),
        |tags: Tags| tags.to_json();
    StateType as String:
        |text| text.parse().map_err(Error::Decode),
        |state_type: StateType| state_type.as_str();
    StateDetails as String:
        |text| serde_json::from_str(&text).map_err(|e| Error::Decode(format!("not state details: {e}"))),
        |details: StateDetails| details.to_json();
    Schedule as String:
        |text| serde_json::from_str(&text).map_err(|e| Error::Decode(format!("not a schedule: {e}"))),
        |schedule: Schedule| schedule.to_json();
    RetryPolicy as String:
        |text| serde_json::from_str(&text).map_err(|e| Error::Decode(format!("not a retry policy: {e}"))),
        |policy: RetryPolicy| policy.to_json();
}

/// Writes an instant as SQLite keeps it: `2026-11-23 06:38:18.229639`, always UTC.
pub fn format_time(instant: DateTime<Utc>) -> Stamp {
    Stamp::new(instant, b' ')
}

/// Reads what [`format_time`] wrote.
fn parse_time(text: &str) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_micros(parse_micros(text.as_bytes())?)
}

/// Days before each month of a year that begins in March, so that a leap day is the last one.
const DAYS_BEFORE: [i64; 12] = [0, 31, 61, 92, 122, 153, 184, 214, 245, 275, 306, 337];

/// Reads what [`format_time`] wrote as microseconds since 1970.
///
/// Lists and histories read many thousands of instants, and this is several times faster than to
/// go by way of a calendar.
fn parse_micros(text: &[u8]) -> Option<i64> {
    let bytes: &[u8; 26] = text.try_into().ok()?;
    let mut strange = false;
    let mut number = |at: usize, width: usize| {
        bytes[at..at + width].iter().fold(0u32, |n, byte| {
            let digit = byte.wrapping_sub(b'0');
            strange |= digit > 9;
            n.wrapping_mul(10).wrapping_add(u32::from(digit))
        })
    };
    let (year, month, day) = (number(0, 4), number(5, 2), number(8, 2));
    let (hour, minute, second) = (number(11, 2), number(14, 2), number(17, 2));
    let micros = number(20, 6);
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last_day = match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _ => 31,
    };
    let is_date = (1..=12).contains(&month) && (1..=last_day).contains(&day);
    if strange || !is_date || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // January and February belong to the year before.
    let (year, month) = match month {
        1 | 2 => (i64::from(year) - 1, month + 9),
        _ => (i64::from(year), month - 3),
    };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // 1970-01-01 is day 719,468 since the March before year 0.
    let days = year * 365 + leap_days + DAYS_BEFORE[month as usize] + i64::from(day) - 1 - 719_468;
    let seconds = days * 86_400 + i64::from(hour * 3600 + minute * 60 + second);
    Some(seconds * 1_000_000 + i64::from(micros))
}

impl Value {
    /// Binds the value to a placeholder of a statement on SQLite.
    pub(super) fn bind_sqlite(
        &self,
        statement: &mut rusqlite::Statement<'_>,
        index: usize,
    ) -> rusqlite::Result<()> {
        let list =
            |items: Vec<String>| serde_json::to_string(&items).expect("a list of strings is JSON");
        match self {
            Self::Null(_) => statement.raw_bind_parameter(index, rusqlite::types::Null),
            Self::Bool(b) => statement.raw_bind_parameter(index, b),
            Self::Int(n) => statement.raw_bind_parameter(index, n),
            Self::Real(x) => statement.raw_bind_parameter(index, x),
            Self::Text(s) => statement.raw_bind_parameter(index, s.as_str()),
            Self::Bytes(b) => statement.raw_bind_parameter(index, b.as_slice()),
            Self::Uuid(id) => {
                let mut text = Uuid::encode_buffer();
                let text: &str = id.hyphenated().encode_lower(&mut text);
                statement.raw_bind_parameter(index, text)
            }
            Self::Time(t) => statement.raw_bind_parameter(index, format_time(*t).as_str()),
            Self::Uuids(ids) => {
                statement.raw_bind_parameter(index, list(ids.iter().map(Uuid::to_string).collect()))
            }
            Self::Texts(texts) => statement.raw_bind_parameter(index, list(texts.clone())),
        }
    }
}

/// Returns a text as it is kept.
///
/// PostgreSQL cannot keep NUL in text, and no reader of a file is well served by one.
pub fn storable(text: String) -> String {
    if text.contains('\0') {
        text.replace('\0', "\u{fffd}")
    } else {
        text
    }
}

macro_rules! into_value {
    ($($t:ty => |$v:ident| $e:expr),* $(,)?) => {$(
        impl From<$t> for Value { fn from($v: $t) -> Self { $e } }
    )*};
}
into_value! {
    bool => |b| Value::Bool(b),
    i64 => |n| Value::Int(n),
    f64 => |x| Value::Real(x),
    Uuid => |id| Value::Uuid(id),
    DateTime<Utc> => |t| Value::Time(t),
    Vec<u8> => |b| Value::Bytes(b),
    String => |s| Value::Text(storable(s)),
    Vec<String> => |texts| Value::Texts(texts.into_iter().map(storable).collect()),
    &str => |s| Value::from(s.to_owned()),
    &String => |s| Value::from(s.clone()),
}

impl<T: Column + Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null(T::KIND), Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_instant_survives_its_text(micros in -62_135_596_800_000_000i64..253_402_300_799_000_000) {
            let instant = DateTime::from_timestamp_micros(micros).unwrap();
            prop_assert_eq!(parse_time(format_time(instant).as_str()), Some(instant));
        }

        #[test]
        fn only_dates_of_the_calendar_are_instants(year in 0u32..=9999, month in 0u32..=13, day in 0u32..=32) {
            let date = chrono::NaiveDate::from_ymd_opt(year as i32, month, day);
            let want = date.and_then(|date| date.and_hms_opt(1, 2, 3)).map(|at| at.and_utc());
            prop_assert_eq!(parse_time(&format!("{year:04}-{month:02}-{day:02} 01:02:03.000000")), want);
        }

        #[test]
        fn text_order_is_time_order(a in 0i64..4_000_000_000_000_000, b in 0i64..4_000_000_000_000_000) {
            let text = |m| format_time(DateTime::from_timestamp_micros(m).unwrap()).as_str().to_owned();
            prop_assert_eq!(a.cmp(&b), text(a).cmp(&text(b)));
        }

        #[test]
        fn reading_an_instant_never_panics(text in ".{0,30}") {
            let _ = parse_time(&text);
        }
    }
}

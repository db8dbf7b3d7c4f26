//! Values on their way between tasks.
//!
//! What a task gives back is kept behind a pointer whose type only the code made by the attributes knows. So the engine is
//! compiled once for all tasks, a result that goes into three tasks is kept once, and the last one to need it takes it
//! without a copy.

use std::any::Any;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::finite::{self, NotFinite};
use super::futures::{Handle, TaskFuture, TaskFutures, gather};
use super::links::Ids;
use super::task::{Call, TaskCall};
use super::upstream::Gathering;

/// What can be an argument of a task: plain data.
///
/// It is cloned for each attempt and written as JSON to tell whose result it is and to find cached results.
///
/// ```
/// use prefect_rs::prelude::*;
///
/// #[data]
/// struct Reply {
///     code: u16,
/// }
///
/// #[task]
/// async fn check(reply: Reply) -> bool {
///     reply.code == 200
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not data that a run can record",
    label = "is not data",
    note = "put `#[data]` where `{Self}` is defined, or derive `Clone`, `Serialize`, `Deserialize` and `JsonSchema` there",
    note = "what is no data, such as a connection, is made within the task or flow that uses it"
)]
pub trait TaskInput: Serialize + Clone + Send + Sync + 'static {}
// The one message above instead of one for each of the bounds.
#[diagnostic::do_not_recommend]
impl<T: Serialize + Clone + Send + Sync + 'static> TaskInput for T {}

/// What a task or flow can give back: data that can be read again.
///
/// ```
/// use prefect_rs::prelude::*;
///
/// #[data]
/// struct Reply {
///     code: u16,
/// }
///
/// #[task]
/// async fn call(url: String) -> Result<Reply> {
///     Ok(Reply { code: url.len() as u16 })
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not data that a run can record and read again",
    label = "is not data",
    note = "put `#[data]` where `{Self}` is defined, or derive `Clone`, `Serialize` and `Deserialize` there",
    note = "what is no data, such as a connection, is made within the task or flow that uses it"
)]
pub trait TaskOutput: TaskInput + DeserializeOwned {}
#[diagnostic::do_not_recommend]
impl<T: TaskInput + DeserializeOwned> TaskOutput for T {}

/// A value whose type is not known here.
pub(crate) type Shared = Arc<dyn Data>;

/// The least that the engine needs of a value.
pub(crate) trait Data: Any + Send + Sync {
    /// Writes it as JSON.
    fn write(&self, writer: &mut dyn Write) -> serde_json::Result<()>;
    /// Tells whether JSON has words for all that it holds.
    fn check(&self) -> Result<(), NotFinite>;
    /// Gives itself to an `Option` of its type: without a copy where nobody else has it.
    fn give(self: Arc<Self>, to: &mut dyn Any);
}

impl<T: TaskInput> Data for T {
    fn write(&self, writer: &mut dyn Write) -> serde_json::Result<()> {
        serde_json::to_writer(writer, self)
    }

    fn check(&self) -> Result<(), NotFinite> {
        finite::check(self)
    }

    fn give(self: Arc<Self>, to: &mut dyn Any) {
        if let Some(to) = to.downcast_mut() {
            *to = Some(Arc::try_unwrap(self).unwrap_or_else(|shared| T::clone(&shared)));
        }
    }
}

/// Takes a value as its type: without a copy where nobody else has it.
///
/// It asks nothing of the type, so that a result that is no data is told at the function and not again at each call.
pub(crate) fn take<T: 'static>(value: Shared) -> T {
    let mut taken: Option<T> = None;
    value.give(&mut taken);
    taken.expect("the attribute wrote the same type at both ends")
}

/// Reads a value that was written as JSON.
pub(crate) fn decode<T: TaskOutput>(json: &[u8]) -> serde_json::Result<Shared> {
    serde_json::from_slice::<T>(json).map(|value| Arc::new(value) as Shared)
}

/// Writes a value as JSON.
pub(crate) fn to_json(value: &Shared) -> serde_json::Result<Vec<u8>> {
    let mut json = Vec::new();
    value.write(&mut json)?;
    Ok(json)
}

/// The arguments of one attempt, taken in order by the code that the attributes make.
#[doc(hidden)]
#[derive(Clone)]
pub struct Inputs(pub(crate) std::collections::VecDeque<Shared>);

/// How a result becomes a value, and is read again.
///
/// The code of an attribute has one for each function and asks nothing else of the type, so that what is no data is told
/// once, where the type stands.
#[doc(hidden)]
pub struct Kept<T> {
    pub(crate) keep: fn(T) -> Shared,
    pub(crate) decode: fn(&[u8]) -> serde_json::Result<Shared>,
}

/// Makes one for results of type `T`.
#[doc(hidden)]
pub const fn kept<T: TaskOutput>() -> Kept<T> {
    Kept {
        keep: share::<T>,
        decode: decode::<T>,
    }
}

fn share<T: TaskInput>(value: T) -> Shared {
    Arc::new(value)
}

/// How an argument is taken from the values of an attempt, for the same reason as [`Kept`].
#[doc(hidden)]
pub struct Taken<T>(fn(Shared) -> T);

/// Makes one for arguments of type `T`.
#[doc(hidden)]
pub const fn taken<T: TaskInput>() -> Taken<T> {
    Taken(take::<T>)
}

impl<T> Taken<T> {
    /// Takes the next argument.
    #[doc(hidden)]
    pub fn next(&self, inputs: &mut Inputs) -> T {
        let value = inputs.0.pop_front();
        (self.0)(value.expect("the attribute counts the arguments"))
    }
}

/// An argument of a call: a value, or what will become one.
#[doc(hidden)]
pub struct Input(pub(crate) Source);

pub(crate) enum Source {
    Value(Shared),
    /// A value of which is known whose result it is.
    Traced(Shared, Ids),
    Future(Arc<Handle>),
    Futures(Arc<Gathering>),
    Call(Box<Call>),
}

/// Anything that can be passed where a flow or task takes a `T`: a `T`, a future of one, or a call that gives one.
///
/// ```
/// use prefect_rs::prelude::*;
///
/// #[task]
/// async fn double(n: i64) -> i64 {
///     2 * n
/// }
///
/// #[flow]
/// async fn eight() -> Result<i64> {
///     let two = double(1).submit();
///     Ok(double(double(two)).await?) // a call of a call of a future
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be passed where a task or flow takes `{T}`",
    label = "expected `{T}`, or a future of it",
    note = "pass the value itself, the future that `.submit()` gave, or a call of a task that returns it",
    note = "a list of futures or calls is passed as `gather(list)`",
    note = "`.into()`, `.collect()` and `.parse()` do not know here what to make: give the value a type first, as in `let value: {T} = …;`"
)]
pub trait IntoInput<T> {
    /// Makes it an argument.
    #[doc(hidden)]
    fn into_input(self) -> Input;
}

/// Stands for any argument in a call that is never made.
#[doc(hidden)]
#[derive(Debug, Clone, Copy)]
pub enum NoInput {}

impl<T> IntoInput<T> for NoInput {
    fn into_input(self) -> Input {
        match self {}
    }
}

impl<T: TaskInput> IntoInput<T> for T {
    fn into_input(self) -> Input {
        value(self)
    }
}

fn value<T: TaskInput>(value: T) -> Input {
    Input(Source::Value(Arc::new(value)))
}

/// A copy of what is borrowed, as a function that takes a reference is called.
impl<T: TaskInput> IntoInput<T> for &T {
    fn into_input(self) -> Input {
        value(self.clone())
    }
}

impl IntoInput<String> for &str {
    fn into_input(self) -> Input {
        value(self.to_owned())
    }
}

impl IntoInput<PathBuf> for &str {
    fn into_input(self) -> Input {
        value(PathBuf::from(self))
    }
}

impl IntoInput<String> for Cow<'_, str> {
    fn into_input(self) -> Input {
        value(self.into_owned())
    }
}

impl IntoInput<PathBuf> for String {
    fn into_input(self) -> Input {
        value(PathBuf::from(self))
    }
}

impl IntoInput<PathBuf> for &String {
    fn into_input(self) -> Input {
        value(PathBuf::from(self))
    }
}

impl IntoInput<PathBuf> for &Path {
    fn into_input(self) -> Input {
        value(self.to_owned())
    }
}

impl IntoInput<OsString> for &OsStr {
    fn into_input(self) -> Input {
        value(self.to_owned())
    }
}

impl IntoInput<OsString> for &str {
    fn into_input(self) -> Input {
        value(OsString::from(self))
    }
}

impl IntoInput<CString> for &CStr {
    fn into_input(self) -> Input {
        value(self.to_owned())
    }
}

impl<T: TaskInput> IntoInput<Vec<T>> for &[T] {
    fn into_input(self) -> Input {
        value(self.to_vec())
    }
}

impl<T: TaskInput, const N: usize> IntoInput<Vec<T>> for &[T; N] {
    fn into_input(self) -> Input {
        value(self.to_vec())
    }
}

impl<T: TaskOutput> IntoInput<T> for TaskFuture<T> {
    fn into_input(self) -> Input {
        Input(Source::Future(self.handle))
    }
}

impl<T: TaskOutput> IntoInput<T> for &TaskFuture<T> {
    fn into_input(self) -> Input {
        Input(Source::Future(self.handle.clone()))
    }
}

impl<T: TaskOutput> IntoInput<T> for TaskCall<T> {
    fn into_input(self) -> Input {
        Input(Source::Call(Box::new(self.call)))
    }
}

impl<T: TaskOutput> IntoInput<Vec<T>> for TaskFutures<T> {
    fn into_input(self) -> Input {
        (&self).into_input()
    }
}

impl<T: TaskOutput> IntoInput<Vec<T>> for &TaskFutures<T> {
    fn into_input(self) -> Input {
        let gathering = Gathering::new(self.handles(), one_of_all::<T>);
        Input(Source::Futures(Arc::new(gathering)))
    }
}

// There is none for `Vec<TaskFuture<T>>`: what the elements of `vec![]` are would not be known.
impl<T: TaskOutput, const N: usize> IntoInput<Vec<T>> for [TaskFuture<T>; N] {
    fn into_input(self) -> Input {
        gather(self).into_input()
    }
}

impl<T: TaskOutput, const N: usize> IntoInput<Vec<T>> for [&TaskFuture<T>; N] {
    fn into_input(self) -> Input {
        gather(self).into_input()
    }
}

fn one_of_all<T: TaskOutput>(values: Vec<Shared>) -> Shared {
    Arc::new(values.into_iter().map(take::<T>).collect::<Vec<T>>())
}

/// More than this of a value is not looked at: whose result a huge value is costs more to find out than it tells.
const MAX_FINGERPRINT_BYTES: usize = 256 * 1024;

/// What tells a value from others: its own mark, and those of what is directly in it.
#[derive(Default)]
pub(crate) struct Fingerprint {
    pub(crate) whole: Option<u64>,
    pub(crate) elements: Vec<u64>,
}

/// Returns the fingerprint of a value; none of what is equal only by chance, such as a count or an empty list.
pub(crate) fn fingerprint(value: &Shared) -> Fingerprint {
    let mut json = Bounded(Vec::new());
    if value.write(&mut json).is_err() {
        return Fingerprint::default();
    }
    let elements: Vec<&RawValue> = match json.0.first() {
        Some(b'[') => serde_json::from_slice(&json.0).unwrap_or_default(),
        Some(b'{') => serde_json::from_slice::<BTreeMap<Cow<'_, str>, &RawValue>>(&json.0)
            .map_or_else(|_| Vec::new(), |members| members.into_values().collect()),
        _ => Vec::new(),
    };
    let elements = elements
        .into_iter()
        .filter_map(|element| mark(element.get().as_bytes()))
        .collect();
    Fingerprint {
        whole: mark(&json.0),
        elements,
    }
}

/// Shorter numbers and texts are equal by chance too often: a count of 3 is not where the 3 of the next call comes from.
const LEAST_SCALAR_BYTES: usize = 7;
/// The same of lists and maps, of which those of one digit are a coincidence.
const LEAST_COLLECTION_BYTES: usize = 5;

fn mark(json: &[u8]) -> Option<u64> {
    let least = match json.first() {
        Some(b'[' | b'{') => LEAST_COLLECTION_BYTES,
        _ => LEAST_SCALAR_BYTES,
    };
    (json.len() >= least).then(|| {
        let mut hasher = DefaultHasher::new();
        hasher.write(json);
        hasher.finish()
    })
}

struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_FINGERPRINT_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(value: impl TaskInput) -> Shared {
        Arc::new(value)
    }

    #[test]
    fn the_last_owner_takes_a_value_without_a_copy() {
        let text = "x".repeat(100);
        let address = text.as_ptr();
        let value = shared(text);
        let copy: String = take(value.clone());
        assert_ne!(copy.as_ptr(), address);
        let last: String = take(value);
        assert_eq!(last.as_ptr(), address);
    }

    #[test]
    fn equal_values_have_equal_marks_whatever_their_types() {
        let whole = |value: Shared| fingerprint(&value).whole;
        let text = "the rows of Berlin";
        assert_eq!(whole(shared(text.to_owned())), whole(shared(text)));
        assert_ne!(whole(shared(text)), whole(shared("the rows of Hamburg")));
        assert_ne!(whole(shared([1, 2, 3])), whole(shared([1, 2, 4])));
    }

    #[test]
    fn what_is_equal_by_chance_has_no_mark() {
        let whole = |value: Shared| fingerprint(&value).whole;
        assert_eq!(whole(shared(())), None);
        assert_eq!(whole(shared(true)), None);
        assert_eq!(whole(shared(Vec::<u8>::new())), None);
        assert_eq!(whole(shared(3)), None);
        assert_eq!(whole(shared(-12.5)), None);
        assert_eq!(whole(shared("Kiel")), None);
        assert_eq!(whole(shared([3])), None);
    }

    #[test]
    fn lists_and_objects_have_the_marks_of_what_is_in_them() {
        let rows = ["the rows of Berlin", "the rows of Hamburg"];
        let list = fingerprint(&shared(rows));
        let single = fingerprint(&shared(rows[1]));
        assert!(single.whole.is_some());
        assert_eq!(list.elements.get(1).copied(), single.whole);
        let object = BTreeMap::from([("city", rows[1]), ("id", "7")]);
        let object = fingerprint(&shared(serde_json::json!(object)));
        assert_eq!(object.elements, Vec::from_iter(single.whole));
    }

    #[test]
    fn a_huge_value_has_no_mark() {
        let huge = shared("x".repeat(MAX_FINGERPRINT_BYTES + 1));
        assert_eq!(fingerprint(&huge).whole, None);
    }
}

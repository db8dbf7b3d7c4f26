//! How a run ends: states, and the error of a run that did not complete.

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use super::value::{Kept, Shared};

/// Any error, as functions give it back.
///
/// ```
/// use prefect_rs::prelude::*;
///
/// use prefect_rs::sdk::outcome::BoxError;
///
/// #[task]
/// async fn load() -> std::result::Result<u8, BoxError> {
///     Ok("7".parse()?)
/// }
/// ```
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// The kinds of states.
///
/// ```
/// # use prefect_rs::prelude::*;
/// assert!(StateType::Crashed.is_terminal());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the field's own words")]
pub enum StateType {
    Scheduled,
    Pending,
    Running,
    Completed,
    Failed,
    Cancelled,
    Crashed,
    Paused,
    Cancelling,
}

impl StateType {
    /// Returns the type as the API writes it.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// assert_eq!(StateType::Completed.as_str(), "COMPLETED");
    /// ```
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "SCHEDULED",
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
            Self::Crashed => "CRASHED",
            Self::Paused => "PAUSED",
            Self::Cancelling => "CANCELLING",
        }
    }

    /// Returns the name of a state of this type that has no other.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// assert_eq!(StateType::Completed.default_name(), "Completed");
    /// ```
    pub fn default_name(self) -> &'static str {
        match self {
            Self::Scheduled => "Scheduled",
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Completed => "Completed",
            Self::Failed => "Failed",
            Self::Cancelled => "Cancelled",
            Self::Crashed => "Crashed",
            Self::Paused => "Paused",
            Self::Cancelling => "Cancelling",
        }
    }

    /// Tells whether a run in such a state is over.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// assert!(StateType::Failed.is_terminal());
    /// assert!(!StateType::Running.is_terminal());
    /// ```
    pub fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Completed | Self::Failed | Self::Cancelled | Self::Crashed
        )
    }
}

/// A state: what a run is in, or what a function returns to decide its own.
///
/// ```
/// use prefect_rs::prelude::*;
///
/// #[task]
/// fn check(rows: Vec<u32>) -> State<usize> {
///     match rows.len() {
///         0 => Failed("there are no rows"),
///         n => Completed(n).with_message("all rows are there"),
///     }
/// }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct State<T = ()> {
    /// The kind of state.
    pub state_type: StateType,
    /// The finer name, such as `Retrying`.
    pub name: String,
    /// What a person should know.
    pub message: Option<String>,
    /// What the run gives back, where it completed.
    pub data: Option<T>,
}

impl<T> State<T> {
    pub(crate) fn new(state_type: StateType) -> Self {
        Self {
            state_type,
            name: state_type.default_name().to_owned(),
            message: None,
            data: None,
        }
    }

    /// Gives the state another name than its type's.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// let state = Completed(0).with_name("NothingToDo");
    /// assert_eq!(state.name, "NothingToDo");
    /// ```
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Says what a person should know.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// let state = Completed(3).with_message("three rows");
    /// assert_eq!(state.message.as_deref(), Some("three rows"));
    /// ```
    pub fn with_message(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }

    /// Tells whether the run is over.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// assert!(Completed(1).is_terminal());
    /// ```
    pub fn is_terminal(&self) -> bool {
        self.state_type.is_terminal()
    }

    /// Tells whether the run completed.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// assert!(Completed(1).is_completed());
    /// ```
    pub fn is_completed(&self) -> bool {
        self.state_type == StateType::Completed
    }

    /// Tells whether the run failed.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// assert!(Failed::<u8>("no rows").is_failed());
    /// ```
    pub fn is_failed(&self) -> bool {
        self.state_type == StateType::Failed
    }

    /// Tells whether the run was cancelled.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// assert!(Cancelled::<u8>("not needed").is_cancelled());
    /// ```
    pub fn is_cancelled(&self) -> bool {
        self.state_type == StateType::Cancelled
    }
}

impl<T> fmt::Display for State<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.message {
            Some(message) if !message.is_empty() => write!(f, "{}: {message}", self.name),
            _ => f.write_str(&self.name),
        }
    }
}

/// Returns a state that completes the run with `data`.
///
/// ```
/// use prefect_rs::prelude::*;
///
/// #[task]
/// fn count(rows: Vec<u8>) -> State<usize> {
///     Completed(rows.len()).with_name("Counted")
/// }
/// ```
#[expect(non_snake_case, reason = "the name of the state that it makes")]
pub fn Completed<T>(data: T) -> State<T> {
    State {
        data: Some(data),
        ..State::new(StateType::Completed)
    }
}

/// Returns a state that fails the run.
///
/// ```
/// use prefect_rs::prelude::*;
///
/// #[task]
/// fn check(rows: Vec<u8>) -> State<usize> {
///     if rows.is_empty() { Failed("there are no rows") } else { Completed(rows.len()) }
/// }
/// ```
#[expect(non_snake_case, reason = "the name of the state that it makes")]
pub fn Failed<T>(message: impl Into<String>) -> State<T> {
    State::new(StateType::Failed).with_message(message)
}

/// Returns a state that cancels the run.
///
/// ```
/// use prefect_rs::prelude::*;
///
/// #[flow]
/// fn nightly(holiday: bool) -> State {
///     if holiday { Cancelled("nobody reads it today") } else { Completed(()) }
/// }
/// ```
#[expect(non_snake_case, reason = "the name of the state that it makes")]
pub fn Cancelled<T>(message: impl Into<String>) -> State<T> {
    State::new(StateType::Cancelled).with_message(message)
}

/// Why a run gave no result: the state it ended in, and the error that led there.
///
/// [`source`](StdError::source) is the error of the function itself.
///
/// ```
/// # use prefect_rs::prelude::*;
/// # #[task] async fn load() -> Result<u8> { Ok(1) }
/// # #[flow] async fn f() -> Result<()> {
/// if let Err(error) = load().await {
///     println!("{}: {error}", error.state().name);
/// }
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct RunError(Arc<Inner>);

struct Inner {
    run: String,
    state: State,
    source: Option<BoxError>,
}

impl RunError {
    pub(crate) fn new(run: impl Into<String>, state: State, source: Option<BoxError>) -> Self {
        Self(Arc::new(Inner {
            run: run.into(),
            state,
            source,
        }))
    }

    /// Makes the error of a run that never came to be.
    pub(crate) fn not_run(run: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(
            run,
            State::new(StateType::Crashed).with_message(message),
            None,
        )
    }

    /// Returns the state that the run ended in.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// # #[task] async fn load() -> Result<u8> { Ok(1) }
    /// # #[flow] async fn f() -> Result<()> {
    /// if let Err(error) = load().await {
    ///     println!("it ended as {}", error.state().name);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn state(&self) -> &State {
        &self.0.state
    }

    /// Returns the error of the function, if it is an `E`.
    ///
    /// ```
    /// # use prefect_rs::prelude::*;
    /// # #[task] async fn load() -> Result<u8> { Ok(1) }
    /// # #[flow] async fn f() -> Result<()> {
    /// if let Err(error) = load().await
    ///     && let Some(io) = error.downcast_ref::<std::io::Error>()
    /// {
    ///     println!("the disk said {:?}", io.kind());
    /// }
    /// # Ok(()) }
    /// ```
    pub fn downcast_ref<E: StdError + 'static>(&self) -> Option<&E> {
        self.0.source.as_ref()?.downcast_ref()
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { run, state, source } = &*self.0;
        let end = match state.state_type {
            StateType::Failed if state.name != "Failed" => format!("failed ({})", state.name),
            StateType::Pending => format!("did not start ({})", state.name),
            other => other.default_name().to_lowercase(),
        };
        write!(f, "{run} {end}")?;
        // Whoever prints the whole chain would read the message twice.
        match (&state.message, source) {
            (Some(message), None) => write!(f, ": {message}"),
            (Some(_) | None, _) => Ok(()),
        }
    }
}

impl fmt::Debug for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        let mut source = self.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

impl StdError for RunError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0
            .source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}

/// What came of one attempt.
#[doc(hidden)]
pub enum Outcome {
    /// It gave a value.
    #[doc(hidden)]
    Completed(Completion),
    /// It gave none.
    #[doc(hidden)]
    Ended(State, Option<BoxError>),
}

/// A value and what its function says about it.
#[doc(hidden)]
pub struct Completion {
    pub(crate) value: Shared,
    pub(crate) name: Option<String>,
    pub(crate) message: Option<String>,
}

/// What a type is, whatever it is called: an alias may stand for a `Result`, and another type may be named `State`.
///
/// The constants of the types in question come before those that [`Neither`] has for all.
#[doc(hidden)]
pub struct Told<T>(PhantomData<T>);

impl<T, E> Told<std::result::Result<T, E>> {
    #[doc(hidden)]
    pub const IS_RESULT: bool = true;
}

impl<T> Told<State<T>> {
    #[doc(hidden)]
    pub const IS_STATE: bool = true;
}

/// Says of a type that it is neither a `Result` nor a [`State`].
#[doc(hidden)]
pub trait Neither {
    #[doc(hidden)]
    const IS_RESULT: bool = false;
    #[doc(hidden)]
    const IS_STATE: bool = false;
}

impl<T> Neither for Told<T> {}

/// What a function returns when all is well.
#[doc(hidden)]
pub trait Fallible<const IS_RESULT: bool> {
    #[doc(hidden)]
    type Ok;
}

impl<T> Fallible<false> for T {
    type Ok = T;
}

impl<T, E> Fallible<true> for std::result::Result<T, E> {
    type Ok = T;
}

/// Reads what a function returns when all is well. It is not a part of [`Fallible`], so that a type that cannot be an
/// error is told where the body is run, and not wherever the result is named.
#[doc(hidden)]
pub trait Read<const IS_RESULT: bool>: Fallible<IS_RESULT> {
    #[doc(hidden)]
    fn read(self) -> std::result::Result<Self::Ok, BoxError>;
}

impl<T> Read<false> for T {
    fn read(self) -> std::result::Result<T, BoxError> {
        Ok(self)
    }
}

impl<T, E: Failure> Read<true> for std::result::Result<T, E> {
    fn read(self) -> std::result::Result<T, BoxError> {
        self.map_err(boxed)
    }
}

/// What is recorded of what a function returns when all is well.
#[doc(hidden)]
pub trait Stated<const IS_STATE: bool> {
    #[doc(hidden)]
    type Data;
    #[doc(hidden)]
    fn stated(self, kept: &Kept<Self::Data>) -> Outcome;
}

impl<T> Stated<false> for T {
    type Data = T;

    fn stated(self, kept: &Kept<T>) -> Outcome {
        plain(kept, self)
    }
}

impl<T> Stated<true> for State<T> {
    type Data = T;

    fn stated(self, kept: &Kept<T>) -> Outcome {
        state(kept, self)
    }
}

/// What a function may fail with: an error, or a text.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "a task or flow cannot fail with `{Self}`",
    label = "is not an error that can be sent between threads",
    note = "return the `Result` of the prelude, which takes any error; or write `Box<dyn Error + Send + Sync>`, or implement `std::error::Error` for a type of your own"
)]
pub trait Failure: Into<BoxError> + 'static {}
#[diagnostic::do_not_recommend]
impl<E: Into<BoxError> + 'static> Failure for E {}

/// Reads what a function returns of which its text does not tell what it is.
#[doc(hidden)]
pub fn read<const IS_RESULT: bool, const IS_STATE: bool, R>(
    kept: &Kept<<R::Ok as Stated<IS_STATE>>::Data>,
    returned: R,
) -> Outcome
where
    R: Read<IS_RESULT>,
    R::Ok: Stated<IS_STATE>,
{
    match returned.read() {
        Ok(value) => value.stated(kept),
        Err(error) => failed(error),
    }
}

/// Reads what a function returns that cannot fail.
#[doc(hidden)]
pub fn plain<T>(kept: &Kept<T>, value: T) -> Outcome {
    Outcome::Completed(Completion {
        value: (kept.keep)(value),
        name: None,
        message: None,
    })
}

/// Reads a `Result`.
#[doc(hidden)]
pub fn result<T, E: Failure>(kept: &Kept<T>, result: std::result::Result<T, E>) -> Outcome {
    match result {
        Ok(value) => plain(kept, value),
        Err(error) => failed(boxed(error)),
    }
}

/// Returns an error as itself, so that it can be asked what it is.
fn boxed<E: Failure>(error: E) -> BoxError {
    let mut error = Some(error);
    let any: &mut dyn Any = &mut error;
    // What it makes of itself by `into` hides the error that `?` has put into it.
    match any.downcast_mut::<Option<anyhow::Error>>() {
        Some(error) => error
            .take()
            .expect("it was just put there")
            .reallocate_into_boxed_dyn_error_without_backtrace(),
        None => error.expect("nobody has taken it").into(),
    }
}

/// Reads a state; one that ends nothing is a mistake in the function, and fails the run.
fn state<T>(kept: &Kept<T>, state: State<T>) -> Outcome {
    let State {
        state_type,
        name,
        message,
        data,
    } = state;
    match (state_type, data) {
        (StateType::Completed, Some(value)) => Outcome::Completed(Completion {
            value: (kept.keep)(value),
            name: Some(name),
            message,
        }),
        (StateType::Completed, None) => mistaken(
            "a state that is completed and has no data; `Completed(value)` makes one that has",
        ),
        (state_type, _) if !state_type.is_terminal() => mistaken(&format!(
            "the state `{name}` of type {}, in which no run ends; `Completed`, `Failed` and `Cancelled` make such as do",
            state_type.as_str()
        )),
        (state_type, _) => Outcome::Ended(
            State {
                state_type,
                name,
                message,
                data: None,
            },
            None,
        ),
    }
}

fn mistaken(what: &str) -> Outcome {
    let state = State::new(StateType::Failed);
    Outcome::Ended(
        state.with_message(format!("The function returned {what}.")),
        None,
    )
}

fn failed(error: BoxError) -> Outcome {
    // A run whose part was cancelled was cancelled itself, whatever was said about it on the way.
    let mut cause: Option<&(dyn StdError + 'static)> = Some(&*error);
    let mut state_type = StateType::Failed;
    while let Some(error) = cause {
        if let Some(run) = error.downcast_ref::<RunError>()
            && run.state().is_cancelled()
        {
            state_type = StateType::Cancelled;
        }
        cause = error.source();
    }
    let state = State::new(state_type).with_message(whole(&*error));
    Outcome::Ended(state, Some(error))
}

/// An event repeats the message up to four times, and servers take events of 1.5 MB.
const MAX_MESSAGE_BYTES: usize = 32 * 1024;

/// Returns a message as it is recorded; a longer one is cut.
pub(crate) fn recorded(message: &str) -> String {
    match message.floor_char_boundary(MAX_MESSAGE_BYTES) {
        end if end < message.len() => format!("{} … (cut)", &message[..end]),
        _ => message.to_owned(),
    }
}

/// Returns an error with all its causes, as one line.
pub(crate) fn whole(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let reason = error.to_string();
        // Many errors repeat their cause in their own text.
        if !text.contains(&reason) {
            text = format!("{text}: {reason}");
        }
        cause = error.source();
    }
    text
}

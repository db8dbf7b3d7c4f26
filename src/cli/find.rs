//! Finding what somebody means: a whole id, the beginning of one, or a name.
//!
//! Ids come out of a terminal's selection and out of people's heads, so any of the three will do
//! as long as it means one thing. Where it means several, they are listed instead of guessed.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    error::{Code, Error, Result},
    suggest,
};
use crate::client::{self, Block, Deployment, Document, FlowRun, TaskRun, WorkQueue};

/// How many of the newest objects are looked through for the beginning of an id.
const NEWEST: usize = 1000;
/// Shorter beginnings of ids are taken for names only.
const LEAST_PREFIX: usize = 4;
/// How many candidates an ambiguous name lists.
const SHOWN: usize = 5;

/// What has an id and a name.
pub(super) trait Named {
    /// What it is called in messages.
    const KIND: &'static str;
    /// The command that lists such things.
    const LIST: &'static str;
    /// Returns the id.
    fn id(&self) -> Uuid;
    /// Returns the name.
    fn name(&self) -> &str;
}

/// Implements [`Named`] for the client's types.
macro_rules! named {
    ($($type:ty: $kind:literal, $list:literal, $name:expr;)*) => {$(
        impl Named for $type {
            const KIND: &'static str = $kind;
            const LIST: &'static str = $list;
            fn id(&self) -> Uuid {
                self.id
            }
            fn name(&self) -> &str {
                let name: fn(&Self) -> &str = $name;
                name(self)
            }
        }
    )*};
}

named! {
    FlowRun: "flow run", "flow-run ls", |run| &run.name;
    TaskRun: "task run", "task-run ls", |run| &run.name;
    WorkQueue: "work queue", "work-queue ls", |queue| &queue.name;
    Deployment: "deployment", "deployment ls", |deployment| &deployment.name;
    Block: "block", "block ls", |block| block.name.as_deref().unwrap_or_default();
}

/// Says that nothing is meant by a text.
pub(super) fn nothing<T: Named>(text: &str, hint: Option<String>) -> Error {
    Error::not_found(T::KIND, text)
        .maybe_hint(hint)
        .hint(format!("list them with `prefect-rs {}`", T::LIST))
}

/// Finds the one object of a list that a text means: by name, else by the beginning of its id.
pub(super) fn among<T: Named>(text: &str, all: Vec<Document<T>>) -> Result<Document<T>> {
    let is_named = |one: &Document<T>| one.name() == text;
    let prefix = text.to_lowercase();
    let is_prefix = prefix.len() >= LEAST_PREFIX;
    let begins = |one: &Document<T>| is_prefix && one.id().to_string().starts_with(&prefix);
    let hint = suggest::hint(text, all.iter().map(|one| one.name()));
    let (named, others): (Vec<_>, Vec<_>) = all.into_iter().partition(is_named);
    let mut found = match named.is_empty() {
        false => named,
        true => others.into_iter().filter(begins).collect(),
    };
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(nothing::<T>(text, hint)),
        _ => Err(several(text, &found)),
    }
}

/// Says that a text means several things, and which.
pub(super) fn several<T: Named>(text: &str, found: &[Document<T>]) -> Error {
    let mut error = Error::new(
        Code::Usage,
        format!(
            "'{text}' means {} {}s; give one of their ids",
            found.len(),
            T::KIND
        ),
    );
    for one in found.iter().take(SHOWN) {
        error = error.hint(format!("{} '{}'", one.id(), one.name()));
    }
    error
}

/// Finds a run that a text other than an id means, asking the API by name and then for the newest runs.
///
/// `ask` is given the condition on the runs themselves and how many are wanted at most.
pub(super) async fn run<T: Named>(
    text: &str,
    ask: impl AsyncFn(Value, usize) -> client::Result<Vec<Document<T>>>,
) -> Result<Document<T>> {
    let named = ask(json!({"name": {"any_": [text]}}), SHOWN + 1).await?;
    if !named.is_empty() {
        return among(text, named);
    }
    among(text, ask(json!({}), NEWEST).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(id: u128, name: &str) -> Document<WorkQueue> {
        serde_json::from_value(json!({"id": Uuid::from_u128(id << 96), "name": name})).unwrap()
    }

    fn meant(text: &str) -> std::result::Result<String, String> {
        let queues = vec![
            queue(0x01a20efd, "etl"),
            queue(0x01a20efe, "reports"),
            queue(0xcafecafe, "01a2"),
        ];
        among(text, queues)
            .map(|queue| queue.name.clone())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_name_comes_before_the_beginning_of_an_id_and_both_must_mean_one_thing() {
        assert_eq!(meant("etl").unwrap(), "etl");
        assert_eq!(meant("01A20EFE").unwrap(), "reports");
        assert_eq!(meant("01a2").unwrap(), "01a2");
        assert_eq!(
            meant("caf").unwrap_err().lines().next().unwrap(),
            "Error: there is no work queue 'caf'"
        );
        insta::assert_snapshot!(meant("01a20ef").unwrap_err(), @r#"
            Error: '01a20ef' means 2 work queues; give one of their ids
            Hint: 01a20efd-0000-0000-0000-000000000000 'etl'
            Hint: 01a20efe-0000-0000-0000-000000000000 'reports'
            "#);
        insta::assert_snapshot!(meant("report").unwrap_err(), @r#"
            Error: there is no work queue 'report'
            Hint: did you mean 'reports'?
            Hint: list them with `prefect-rs work-queue ls`
            "#);
    }
}

//! Checks values against JSON schemas, as clients describe parameters and inputs of flows by them.
//!
//! It knows the words that those schemas are made of, follows references inside the schema only,
//! and lets pass what it does not know: a value is refused for a reason that can be told, in the
//! words that clients know.

mod checker;
mod python;
mod schema;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use serde_json::Value;

use checker::Checker;
pub(crate) use python::python;
pub use schema::{as_meant, as_meant_of_jobs, why_no_schema};

/// References that lead to references, and values inside values, end here.
const DEEPEST: usize = 64;

/// A step into a value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Step {
    /// The member of this name.
    Member(String),
    /// The item of this number.
    Item(usize),
}

/// Why a value does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// Where in the value; empty for the whole.
    pub path: Vec<Step>,
    /// What is wrong there.
    pub reason: String,
    /// The member that is missing there, if that is it.
    pub missing: Option<String>,
}

impl std::fmt::Display for Misfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { path, reason, .. } = self;
        let mut field = String::new();
        for step in path {
            match step {
                Step::Member(name) if field.is_empty() => field.push_str(name),
                Step::Member(name) => field.push_str(&format!(".{name}")),
                Step::Item(index) => field.push_str(&format!("[{index}]")),
            }
        }
        if field.is_empty() {
            write!(f, "Validation failed. Failure reason: {reason}")
        } else {
            write!(
                f,
                "Validation failed for field '{field}'. Failure reason: {reason}"
            )
        }
    }
}

/// Whether fields that are required must be there; a deployment may leave them to its runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Required {
    /// They must.
    Checked,
    /// They may come later.
    Ignored,
}

/// Values that nobody knows yet, by their places, each with what is known to be wrong with it.
pub type Unknown = HashMap<Vec<Step>, Option<String>>;

/// Checks a value against a schema and tells of the mistake that is closest to the whole.
pub fn check(schema: &Value, value: &Value, required: Required) -> Result<(), Misfit> {
    let misfits = check_all(schema, value, required, &Unknown::new());
    let closest = misfits.into_iter().min_by_key(|misfit| misfit.path.len());
    closest.map_or(Ok(()), Err)
}

/// Checks a value of which parts are not known yet, and tells of all mistakes.
pub fn check_all(
    schema: &Value,
    value: &Value,
    required: Required,
    unknown: &Unknown,
) -> Vec<Misfit> {
    Checker::new(schema, required, unknown).misfits(value)
}

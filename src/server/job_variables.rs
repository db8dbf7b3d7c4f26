//! Job variables of work pools, deployments and runs, checked against the template of the pool.
//!
//! A pool's template says by a JSON schema what its jobs can be given, and what they are given if
//! nobody says. A deployment's variables go over these, and a run's over both. A worker finds out
//! only when it is too late that they do not fit, so whoever sends them is told.
//!
//! What is required may come later, so it is asked for only when a run is made. A default of the pool
//! that does not fit is nobody's fault but the pool's: it is told when the pool is made, and left
//! out otherwise.

use serde_json::{Map, Value};

use super::models::block_documents::{self, Secrets};
use super::vault::Vault;
use super::{ApiError, models};
use crate::db::{Conn, Result};
use crate::schemas::deployments::Deployment;
use crate::schemas::json_schema::{self, Misfit, Required, Unknown, python};
use crate::schemas::{BlockDocumentId, Document};

type Members = Map<String, Value>;

/// Why job variables cannot be what they are.
#[derive(Debug)]
enum Wrong {
    /// A default is the data of a block that is not there.
    NoBlock,
    /// The schema itself is none.
    NoSchema(String),
    /// Something does not fit.
    Misfit(Misfit),
}

impl Wrong {
    /// Says so to whoever wanted to do something.
    fn told(self, failed: &str) -> ApiError {
        match self {
            Self::NoBlock => ApiError::NotFound("Block not found.".to_owned()),
            Self::NoSchema(reason) => ApiError::Unfit(format!("Invalid schema: {reason}")),
            Self::Misfit(misfit) => ApiError::Unfit(format!("{failed}: {misfit}")),
        }
    }
}

/// What becomes of a default that does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unfit {
    LeftOut,
    Told,
}

/// Checks the defaults of a pool's template.
pub async fn of_pool(
    conn: &mut Conn,
    vault: &Vault,
    template: Option<&Document>,
) -> Result<Result<(), ApiError>> {
    let Some(schema) = template.and_then(schema_of) else {
        return Ok(Ok(()));
    };
    let checked = check(conn, vault, &schema, &[], Required::Ignored, Unfit::Told).await?;
    let failed = "Validation failed for work pool's job variable defaults";
    Ok(checked.map_err(|wrong| wrong.told(failed)))
}

/// Checks the variables of a new deployment in a pool.
pub async fn of_deployment(
    conn: &mut Conn,
    vault: &Vault,
    pool: &str,
    variables: &Document,
) -> Result<Result<(), ApiError>> {
    if is_empty(variables) {
        return Ok(Ok(()));
    }
    let template = models::work_pools::template(conn, pool).await?;
    let Some(schema) = template.as_ref().and_then(schema_of) else {
        return Ok(Ok(()));
    };
    let (given, required) = ([variables], Required::Ignored);
    let checked = check(conn, vault, &schema, &given, required, Unfit::LeftOut).await?;
    Ok(checked.map_err(|wrong| wrong.told("Error creating deployment")))
}

/// Checks the variables that a deployment gets along with a pool; what it has already is not looked at.
pub async fn of_changed_deployment(
    conn: &mut Conn,
    pool: &str,
    variables: &Document,
) -> Result<Result<(), ApiError>> {
    let template = models::work_pools::template(conn, pool).await?;
    let Some(schema) = template.as_ref().and_then(schema_of) else {
        return Ok(Ok(()));
    };
    let variables: Value = variables.read().unwrap_or_default();
    let schema = json_schema::as_meant(&schema);
    let misfits = json_schema::check_all(&schema, &variables, Required::Ignored, &Unknown::new());
    Ok(match misfits.into_iter().next() {
        None => Ok(()),
        Some(misfit) => {
            let shown = python(&Value::from(misfit.reason));
            let text = format!("Error creating deployment: <ValidationError: {shown}>");
            Err(ApiError::Conflict(text))
        }
    })
}

/// Checks the variables that a run of a deployment will have; `failed` says what could not be done.
pub async fn of_run(
    conn: &mut Conn,
    vault: &Vault,
    deployment: &Deployment,
    variables: Option<&Document>,
    failed: &str,
) -> Result<Result<(), ApiError>> {
    let Some(queue) = deployment.work_queue_id else {
        return Ok(Ok(()));
    };
    let Some(template) = models::work_pools::template_of_queue(conn, queue).await? else {
        return Ok(Ok(()));
    };
    let mut given = vec![&deployment.job_variables];
    given.extend(variables);
    // Most runs are given nothing, by templates that ask for nothing.
    let asks = template.get().contains("\"required\"");
    if !asks && given.iter().all(|variables| is_empty(variables)) {
        return Ok(Ok(()));
    }
    let Some(schema) = schema_of(&template) else {
        return Ok(Ok(()));
    };
    let required = Required::Checked;
    let checked = check(conn, vault, &schema, &given, required, Unfit::LeftOut).await?;
    Ok(checked.map_err(|wrong| wrong.told(failed)))
}

fn is_empty(variables: &Document) -> bool {
    variables
        .read::<Members>()
        .map_or(true, |members| members.is_empty())
}

/// Returns the schema of a template's variables, if it has one.
fn schema_of(template: &Document) -> Option<Value> {
    let mut template: Members = template.read().ok()?;
    let schema = template.shift_remove("variables")?;
    let is_one = schema.as_object().is_none_or(|words| !words.is_empty());
    (is_one && !schema.is_null()).then_some(schema)
}

/// Checks defaults and what is given over them, in this order.
async fn check(
    conn: &mut Conn,
    vault: &Vault,
    schema: &Value,
    given: &[&Document],
    required: Required,
    unfit: Unfit,
) -> Result<Result<(), Wrong>> {
    if let Some(reason) = json_schema::why_no_schema(schema) {
        return Ok(Err(Wrong::NoSchema(reason)));
    }
    let mut required = required;
    let mut all = match defaults(conn, vault, schema).await? {
        Ok(defaults) => defaults,
        Err(wrong) => return Ok(Err(wrong)),
    };
    if unfit == Unfit::LeftOut {
        let fits = |name: &String, value: &mut Value| {
            let one = Value::from(Members::from_iter([(name.clone(), value.clone())]));
            json_schema::check(schema, &one, Required::Ignored).is_ok()
        };
        let before = all.len();
        all.retain(fits);
        if all.len() < before {
            // What was left out may be what is required.
            required = Required::Ignored;
        }
    }
    for variables in given {
        all.extend(variables.read::<Members>().unwrap_or_default());
    }
    let schema = json_schema::as_meant_of_jobs(schema);
    let checked = json_schema::check(&schema, &Value::Object(all), required);
    Ok(checked.map_err(Wrong::Misfit))
}

/// Returns what jobs are given if nobody says, with the data of blocks in place of references; their
/// secrets are masked, since what does not fit is told.
async fn defaults(
    conn: &mut Conn,
    vault: &Vault,
    schema: &Value,
) -> Result<Result<Members, Wrong>> {
    let mut defaults = Members::new();
    let properties = schema["properties"].as_object();
    for (name, words) in properties.into_iter().flatten() {
        let Some(default) = words.get("default") else {
            continue;
        };
        let value = match default.get("$ref") {
            None => default.clone(),
            Some(reference) => {
                let Some(id) = reference.get("block_document_id") else {
                    continue;
                };
                let id = id.as_str().and_then(|id| id.parse().ok());
                match block(conn, vault, id).await? {
                    Some(data) => data,
                    None => return Ok(Err(Wrong::NoBlock)),
                }
            }
        };
        defaults.insert(name.clone(), value);
    }
    Ok(Ok(defaults))
}

async fn block(
    conn: &mut Conn,
    vault: &Vault,
    id: Option<BlockDocumentId>,
) -> Result<Option<Value>> {
    let Some(id) = id else { return Ok(None) };
    let document = block_documents::read(conn, vault, id, Secrets::Masked).await?;
    Ok(document.map(|document| document.data.read().unwrap_or_default()))
}

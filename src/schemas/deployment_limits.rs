//! How many runs of a deployment may be under way at once, and what becomes of those beyond.
//!
//! The limit itself is a global concurrency limit, either one that the deployment shares or one of
//! its own, named by [`own_name`]; it goes with the deployment.

use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::DeploymentId;

/// Seconds that a process may be given to begin, at least and at most.
const GRACE_SECONDS: std::ops::RangeInclusive<i64> = 60..=86_400;

/// Returns the name of the limit that belongs to a deployment alone.
pub fn own_name(deployment: DeploymentId) -> String {
    format!("deployment:{deployment}")
}

/// What becomes of a run that finds no slot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CollisionStrategy {
    /// It waits.
    #[default]
    Enqueue,
    /// It is cancelled.
    CancelNew,
}

/// How a deployment's limit is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConcurrencyOptions {
    /// What becomes of a run that finds no slot.
    pub collision_strategy: CollisionStrategy,
    /// Seconds for which a claimed run keeps its slot without having begun; none is what the
    /// server's setting says.
    #[serde(default, deserialize_with = "grace_seconds")]
    pub grace_period_seconds: Option<i64>,
}

fn grace_seconds<'de, D: Deserializer<'de>>(d: D) -> Result<Option<i64>, D::Error> {
    let seconds = Option::<i64>::deserialize(d)?;
    match seconds {
        Some(seconds) if seconds < *GRACE_SECONDS.start() => Err(D::Error::custom(format!(
            "ensure this value is greater than or equal to {}",
            GRACE_SECONDS.start()
        ))),
        Some(seconds) if seconds > *GRACE_SECONDS.end() => Err(D::Error::custom(format!(
            "ensure this value is less than or equal to {}",
            GRACE_SECONDS.end()
        ))),
        seconds => Ok(seconds),
    }
}

/// Reads a limit, which is at least one; null takes it away.
pub(super) fn limit<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Option<i64>>, D::Error> {
    match Option::<i64>::deserialize(d)? {
        Some(..=0) => Err(D::Error::custom("ensure this value is greater than 0")),
        limit => Ok(Some(limit)),
    }
}

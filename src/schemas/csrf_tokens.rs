//! CSRF tokens: what a client of the newer generations sends with each change.

use chrono::{DateTime, Utc};
use serde::Serializer;
use utoipa::ToSchema;
use uuid::Uuid;

use super::dialect::{Dialect, Fields, Render};

/// A token of one client.
#[derive(Debug, Clone, PartialEq, ToSchema)]
pub struct CsrfToken {
    /// The id of the record.
    pub id: Uuid,
    /// When the client first got a token.
    pub created: DateTime<Utc>,
    /// When it got this one.
    pub updated: DateTime<Utc>,
    /// What it sends.
    pub token: String,
    /// What the client calls itself.
    pub client: String,
    /// Until when the token is good.
    pub expiration: DateTime<Utc>,
}

impl Render for CsrfToken {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = Fields::begin(dialect, serializer)?;
        fields.all("id", &self.id)?;
        fields.time("created", self.created)?;
        fields.time("updated", self.updated)?;
        fields.all("token", &self.token)?;
        fields.all("client", &self.client)?;
        fields.time("expiration", self.expiration)?;
        fields.end()
    }
}

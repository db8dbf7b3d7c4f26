//! Results on disk: what is persisted when asked, and what caches find again.
//!
//! A result is a file below `$PREFECT_HOME/storage/results`, named by the hash of its key, and appears by rename, so that it is
//! whole or not there. A damaged file counts as absent: the task runs again.

use std::io;
use std::path::PathBuf;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// A folder of results.
#[derive(Debug, Clone)]
pub(crate) struct Results {
    root: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct File<'a> {
    #[serde(borrow)]
    key: std::borrow::Cow<'a, str>,
    expiration: Option<DateTime<Utc>>,
    #[serde(borrow)]
    result: &'a RawValue,
}

/// A result that was found.
pub(crate) struct Found {
    pub(crate) json: Vec<u8>,
    pub(crate) expiration: Option<DateTime<Utc>>,
}

impl Results {
    pub(crate) fn at(root: PathBuf) -> Self {
        Self { root }
    }

    fn path(&self, key: &str) -> PathBuf {
        let digest = Sha256::digest(key.as_bytes());
        let name: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        self.root.join(name)
    }

    /// Finds the result of a key that has not expired.
    pub(crate) fn find(&self, key: &str, now: DateTime<Utc>) -> Option<Found> {
        let text = std::fs::read(self.path(key)).ok()?;
        let file: File<'_> = serde_json::from_slice(&text).ok()?;
        // Two keys of one hash will not happen; a file that somebody copied might.
        let is_valid = file.key == key && file.expiration.is_none_or(|at| at > now);
        is_valid.then(|| Found {
            json: file.result.get().as_bytes().to_vec(),
            expiration: file.expiration,
        })
    }

    /// Keeps a result.
    pub(crate) fn keep(
        &self,
        key: &str,
        json: &[u8],
        expiration: Option<DateTime<Utc>>,
    ) -> io::Result<()> {
        let file = File {
            key: key.into(),
            expiration,
            result: serde_json::from_slice(json)?,
        };
        let text = serde_json::to_vec(&file)?;
        std::fs::create_dir_all(&self.root)?;
        let temporary = self.root.join(format!(".{}", Uuid::new_v4().simple()));
        std::fs::write(&temporary, text)
            .and_then(|()| std::fs::rename(&temporary, self.path(key)))
            .inspect_err(|_| {
                // The failure is what matters; a leftover is hidden and harmless.
                let _ = std::fs::remove_file(&temporary);
            })
    }

    /// Returns what a state says about a kept result.
    pub(crate) fn document(&self, key: &str, expiration: Option<DateTime<Utc>>) -> Value {
        json!({
            "storage_key": self.path(key),
            "expiration": expiration.map(|at| at.to_rfc3339_opts(SecondsFormat::Micros, true)),
            "serializer": {"type": "json"},
            "storage_block_id": null,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    #[test]
    fn a_result_is_found_until_it_expires() {
        let folder = tempfile::tempdir().unwrap();
        let results = Results::at(folder.path().join("results"));
        let now = DateTime::UNIX_EPOCH;
        let end = now + TimeDelta::seconds(10);
        results.keep("a/../b", b"[1,2]", Some(end)).unwrap();
        assert_eq!(results.find("a/../b", now).unwrap().json, b"[1,2]");
        assert!(results.find("a/../b", end).is_none());
        assert!(results.find("c", now).is_none());
    }

    #[test]
    fn a_damaged_file_counts_as_absent() {
        let folder = tempfile::tempdir().unwrap();
        let results = Results::at(folder.path().to_owned());
        std::fs::write(results.path("k"), b"{\"key\": \"k\"").unwrap();
        assert!(results.find("k", DateTime::UNIX_EPOCH).is_none());
    }
}

//! Seals what must not lie in the database in clear: the data of blocks holds credentials.
//!
//! The key lives outside the database, in a file of the home that only its owner can read, or in
//! a setting where several servers share one database. Whoever gets a copy of the database, a
//! backup say, reads nothing of it. A sealed text is bound to the row that it belongs to, so that
//! it cannot be moved to another one, and names its key, so that a wrong one is told from damage.
//!
//! The database remembers which key seals in it. A server that has another key, or has lost it,
//! says so before it writes anything that the others could not read.
//!
//! To keep a secret: `let sealer = state.vault.sealer(&state.db, now).await?` before the write,
//! `sealer.seal(&document, row_id)` inside, and `vault.open(text, row_id)` when reading. Texts
//! that are not sealed are returned as they are, so that rows written in clear stay readable.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, Generate, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::models::configuration;
use crate::db::{Db, Error, Result};
use crate::schemas::Document;
use crate::settings::{Secret, Settings};

/// Begins each sealed text; no JSON document begins so.
const MARK: &str = "sealed:1:";

/// Under which key the database remembers the name of its sealing key.
const KEY_NAME: &str = "encryption_key_id";

const NONCE_BYTES: usize = 24;

/// The sealing key's keeper, shared by cloning.
#[derive(Clone)]
pub struct Vault(Arc<Inner>);

struct Inner {
    given: Option<Secret>,
    path: PathBuf,
    /// Set once the key was found or made; a key never changes while the server runs.
    loaded: OnceLock<Sealer>,
    /// Set once the database is known to have this key's name.
    agreed: OnceLock<Sealer>,
}

/// Seals with one key.
#[derive(Clone)]
pub struct Sealer {
    cipher: XChaCha20Poly1305,
    key_id: String,
}

impl Vault {
    /// Makes the keeper of the key that the settings name; looks for it only when it is needed.
    pub fn new(settings: &Settings) -> Self {
        Self(Arc::new(Inner {
            given: settings.encryption_key.clone(),
            path: settings.encryption_key_path.clone(),
            loaded: OnceLock::new(),
            agreed: OnceLock::new(),
        }))
    }

    /// Returns what seals, making the key if this database has never had one.
    ///
    /// # Errors
    /// [`Error::Sealed`] when the database's key is not this server's.
    pub async fn sealer(&self, db: &Db, now: DateTime<Utc>) -> Result<Sealer> {
        if let Some(sealer) = self.0.agreed.get() {
            return Ok(sealer.clone());
        }
        let known = db
            .read(async |conn| configuration::read(conn, KEY_NAME).await)
            .await?;
        let sealer = match (self.loaded()?, &known) {
            (Some(sealer), _) => sealer,
            (None, Some(id)) => return Err(self.lacks(id)),
            (None, None) => self.make()?,
        };
        let id = sealer.key_id.clone();
        let settle =
            async move |conn: &mut _| configuration::read_or_insert(conn, KEY_NAME, &id, now).await;
        let settled = db.write(settle).await?;
        if settled != sealer.key_id {
            return Err(self.lacks(&settled));
        }
        Ok(self.0.agreed.get_or_init(|| sealer).clone())
    }

    /// Returns the document that was sealed for a row, or that lies there in clear.
    ///
    /// # Errors
    /// [`Error::Sealed`] when this server has not the key, or the text was changed or moved.
    pub fn open(&self, stored: String, row: Uuid) -> Result<Document> {
        let Some(sealed) = stored.strip_prefix(MARK) else {
            return Document::parse(stored).map_err(|e| Error::Decode(format!("not JSON: {e}")));
        };
        let damaged = || {
            Error::Sealed(format!(
                "the sealed data of {row} was damaged, or moved there from another row"
            ))
        };
        let (key_id, text) = sealed.split_once(':').ok_or_else(damaged)?;
        let sealer = self.loaded()?.filter(|sealer| sealer.key_id == key_id);
        let sealer = sealer.ok_or_else(|| self.lacks(key_id))?;
        let bytes = STANDARD.decode(text).map_err(|_| damaged())?;
        let (nonce, msg) = bytes.split_at_checked(NONCE_BYTES).ok_or_else(damaged)?;
        let nonce = XNonce::try_from(nonce).map_err(|_| damaged())?;
        let payload = Payload {
            msg,
            aad: row.as_bytes(),
        };
        let clear = sealer
            .cipher
            .decrypt(&nonce, payload)
            .map_err(|_| damaged())?;
        let clear = String::from_utf8(clear).map_err(|_| damaged())?;
        Document::parse(clear).map_err(|_| damaged())
    }

    /// Tells the log if the database's sealed data cannot be read with this server's key.
    pub async fn check(&self, db: &Db) -> Result<()> {
        let known = db
            .read(async |conn| configuration::read(conn, KEY_NAME).await)
            .await?;
        let Some(known) = known else { return Ok(()) };
        match self.loaded() {
            Ok(Some(sealer)) if sealer.key_id == known => {}
            Ok(_) => tracing::error!("blocks cannot be read: {}", self.lacks(&known)),
            Err(error) => tracing::error!("blocks cannot be read: {error}"),
        }
        Ok(())
    }

    fn loaded(&self) -> Result<Option<Sealer>> {
        if let Some(sealer) = self.0.loaded.get() {
            return Ok(Some(sealer.clone()));
        }
        let found = match &self.0.given {
            Some(text) => {
                let key = parse(text.reveal());
                Some(key.ok_or_else(|| malformed("PREFECT_RS_ENCRYPTION_KEY"))?)
            }
            None => read(&self.0.path)?,
        };
        Ok(found.map(|key| self.0.loaded.get_or_init(|| Sealer::new(&key)).clone()))
    }

    /// Makes a new key, unless another server of this home was quicker.
    fn make(&self) -> Result<Sealer> {
        let key = Key::generate();
        match write_new(&self.0.path, &key) {
            Ok(()) => tracing::warn!(
                "made the key {} that seals the data of blocks; keep a copy of it away from the database",
                self.0.path.display()
            ),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => {
                return Err(Error::Sealed(format!(
                    "the sealing key {} cannot be made: {error}",
                    self.0.path.display()
                )));
            }
        }
        self.loaded()?
            .ok_or_else(|| Error::Sealed("the sealing key was removed at once".to_owned()))
    }

    fn lacks(&self, key_id: &str) -> Error {
        let has = match self.0.loaded.get() {
            Some(sealer) => format!("has the key {}", sealer.key_id),
            None => "has no key".to_owned(),
        };
        Error::Sealed(format!(
            "the data of blocks is sealed with the key {key_id}, and this server {has}; put the right one at \
             PREFECT_RS_ENCRYPTION_KEY_PATH or into PREFECT_RS_ENCRYPTION_KEY, and start the server again"
        ))
    }
}

impl Sealer {
    fn new(key: &Key) -> Self {
        Self {
            cipher: XChaCha20Poly1305::new(key),
            key_id: Sha256::digest(key)[..8]
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        }
    }

    /// Returns the text to store for a row.
    pub fn seal(&self, document: &Document, row: Uuid) -> String {
        let nonce = XNonce::generate();
        let payload = Payload {
            msg: document.get().as_bytes(),
            aad: row.as_bytes(),
        };
        let sealed = self.cipher.encrypt(&nonce, payload);
        let sealed = sealed.expect("a document is far below the cipher's 256 GiB");
        let text = STANDARD.encode([nonce.as_slice(), &sealed].concat());
        format!("{MARK}{}:{text}", self.key_id)
    }
}

fn malformed(what: &str) -> Error {
    Error::Sealed(format!(
        "{what} is no sealing key; it must hold 32 bytes in base64, as `openssl rand -base64 32` prints them"
    ))
}

fn parse(text: &str) -> Option<Key> {
    Key::try_from(STANDARD.decode(text.trim()).ok()?.as_slice()).ok()
}

fn read(path: &Path) -> Result<Option<Key>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(Error::Sealed(format!(
                "the sealing key {} cannot be read: {error}",
                path.display()
            )));
        }
    };
    if fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o077 != 0) {
        tracing::warn!(
            "others can read the sealing key {}; `chmod 600` it",
            path.display()
        );
    }
    let key = parse(&text);
    Ok(Some(
        key.ok_or_else(|| malformed(&path.display().to_string()))?,
    ))
}

/// Writes a key to a file that must not exist; whoever reads it finds all of it or no file.
fn write_new(path: &Path, key: &Key) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let draft = path.with_extension(format!("{}.new", Uuid::new_v4()));
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)?;
    let written = file
        .write_all(format!("{}\n", STANDARD.encode(key)).as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::hard_link(&draft, path));
    fs::remove_file(&draft)?;
    written?;
    // The name must survive a power cut as well, before anything is sealed with the key.
    path.parent()
        .map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{DatabaseUrl, Synchronous};

    struct Place {
        home: tempfile::TempDir,
        db: Db,
    }

    impl Place {
        async fn new() -> Self {
            let home = tempfile::tempdir().unwrap();
            let url = DatabaseUrl::Sqlite(home.path().join("orion.db"));
            let db = Db::open(&url, Synchronous::Normal).await.unwrap();
            Self { home, db }
        }

        /// What a server that starts at this home has.
        fn vault(&self) -> Vault {
            Vault::new(&Settings::default_for(self.home.path()))
        }

        async fn sealer(&self, vault: &Vault) -> Result<Sealer> {
            vault.sealer(&self.db, DateTime::UNIX_EPOCH).await
        }
    }

    fn secret() -> Document {
        Document::parse(r#"{"password": "hunter2"}"#.into()).unwrap()
    }

    #[tokio::test]
    async fn a_secret_comes_back_to_its_own_row_only() {
        let place = Place::new().await;
        let row = Uuid::now_v7();
        let sealed = place
            .sealer(&place.vault())
            .await
            .unwrap()
            .seal(&secret(), row);
        assert!(!sealed.contains("hunter2"));
        // Another process of the same home.
        let later = place.vault();
        assert_eq!(later.open(sealed.clone(), row).unwrap(), secret());
        let elsewhere = later.open(sealed.clone(), Uuid::now_v7()).unwrap_err();
        assert!(elsewhere.to_string().contains("moved"), "{elsewhere}");
        let cut = later
            .open(sealed[..sealed.len() - 8].to_owned(), row)
            .unwrap_err();
        assert!(cut.to_string().contains("damaged"), "{cut}");
        assert_eq!(later.open(secret().into_text(), row).unwrap(), secret());
    }

    #[tokio::test]
    async fn only_its_owner_can_read_the_key() {
        let place = Place::new().await;
        place.sealer(&place.vault()).await.unwrap();
        let files: Vec<_> = fs::read_dir(place.home.path()).unwrap().flatten().collect();
        let key = files
            .iter()
            .find(|file| file.file_name() == "encryption.key")
            .unwrap();
        assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(
            !files
                .iter()
                .any(|file| file.file_name().to_string_lossy().contains(".new"))
        );
    }

    #[tokio::test]
    async fn a_lost_or_wrong_key_is_named_and_nothing_is_sealed_with_another() {
        let place = Place::new().await;
        let row = Uuid::now_v7();
        let sealer = place.sealer(&place.vault()).await.unwrap();
        let sealed = sealer.seal(&secret(), row);
        let key = place.home.path().join("encryption.key");
        fs::remove_file(&key).unwrap();
        let lost = place.vault();
        let told = place.sealer(&lost).await.err().unwrap().to_string();
        assert!(
            told.contains(&sealer.key_id) && told.contains("has no key"),
            "{told}"
        );
        assert!(!key.exists(), "a key is never made where there was one");
        assert!(lost.open(sealed.clone(), row).is_err());

        write_new(&key, &Key::generate()).unwrap();
        let other = place.vault();
        let told = place.sealer(&other).await.err().unwrap().to_string();
        assert!(told.contains("PREFECT_RS_ENCRYPTION_KEY_PATH"), "{told}");
        assert!(other.open(sealed, row).is_err());

        fs::write(&key, "no key").unwrap();
        let told = place
            .sealer(&place.vault())
            .await
            .err()
            .unwrap()
            .to_string();
        assert!(told.contains("32 bytes in base64"), "{told}");
    }

    #[tokio::test]
    async fn servers_of_one_home_that_start_together_agree_on_a_key() {
        let place = Place::new().await;
        let vaults: Vec<_> = (0..8).map(|_| place.vault()).collect();
        let sealers = futures_util::future::join_all(vaults.iter().map(|v| place.sealer(v))).await;
        let ids: Vec<_> = sealers.into_iter().map(|s| s.unwrap().key_id).collect();
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    }
}

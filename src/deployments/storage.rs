//! Content-addressed storage of flow code under `$PREFECT_HOME/storage`.
//!
//! Code is at `<sha256>/<file name>`: the digest makes storing idempotent and an edit of the
//! original invisible, the name keeps tracebacks and `ps` readable. A file appears by rename,
//! so a run never reads half of one.

use super::Error;
use sha2::{Digest, Sha256};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The largest file storage takes; a debug build of a Rust flow is well below.
pub const MAX_CODE_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// A folder of stored code.
#[derive(Debug, Clone)]
pub struct Storage {
    root: PathBuf,
    limit_bytes: u64,
}

/// A stored file.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// Where it is, absolute.
    pub path: PathBuf,
    /// SHA-256 of its bytes in hexadecimal.
    pub sha256: String,
}

/// How a file is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// By a Python engine.
    Python,
    /// By itself.
    Executable,
    /// Not at all.
    Neither,
}

/// Tells how a file is run: by its name first, since a Python flow may carry an x bit.
pub fn kind_of(path: &Path) -> Result<Kind, Error> {
    if path.extension().is_some_and(|e| e == "py") {
        return Ok(Kind::Python);
    }
    let metadata = fs::metadata(path).map_err(|e| Error::io("read", path, e))?;
    let runnable = metadata.is_file() && metadata.permissions().mode() & 0o111 != 0;
    Ok(if runnable {
        Kind::Executable
    } else {
        Kind::Neither
    })
}

impl Storage {
    /// Returns the storage in a folder, which is made when it is needed.
    pub fn at(root: &Path) -> Self {
        Storage {
            root: root.to_path_buf(),
            limit_bytes: MAX_CODE_BYTES,
        }
    }

    /// Copies a file into storage, unless the same bytes are there, and says where it is.
    pub fn store(&self, source: &Path) -> Result<Stored, Error> {
        let metadata = fs::metadata(source).map_err(|e| Error::io("read", source, e))?;
        self.check_size(source, metadata.len())?;
        fs::create_dir_all(&self.root).map_err(|e| Error::io("create", &self.root, e))?;
        let root = fs::canonicalize(&self.root).map_err(|e| Error::io("open", &self.root, e))?;
        let name = source.file_name().unwrap_or_default();
        if let Some(path) = [root.as_path(), Path::new(name)]
            .into_iter()
            .find(|path| path.to_str().is_none())
        {
            // The document that tells of it is text.
            let refusal = "its name is not UTF-8; choose the storage with PREFECT_LOCAL_STORAGE_PATH or PREFECT_HOME";
            let refusal = std::io::Error::new(std::io::ErrorKind::InvalidInput, refusal);
            return Err(Error::io("store code at", path, refusal));
        }
        let temporary = root.join(format!(".incoming-{}", uuid::Uuid::new_v4().simple()));
        let stored = self
            .copy(source, &temporary, metadata.permissions().mode())
            .and_then(|sha256| {
                let folder = root.join(&sha256);
                let path = folder.join(name);
                fs::create_dir_all(&folder).map_err(|e| Error::io("create", &folder, e))?;
                fs::rename(&temporary, &path).map_err(|e| Error::io("store", &path, e))?;
                Ok(Stored { path, sha256 })
            });
        if stored.is_err() {
            // The failure is what the user needs to hear; a leftover is hidden and harmless.
            let _ = fs::remove_file(&temporary);
        }
        stored
    }

    fn copy(&self, source: &Path, temporary: &Path, mode: u32) -> Result<String, Error> {
        let mut reader = fs::File::open(source).map_err(|e| Error::io("read", source, e))?;
        let mut writer =
            fs::File::create_new(temporary).map_err(|e| Error::io("create", temporary, e))?;
        let mut digest = Sha256::new();
        let mut buffer = vec![0; 128 * 1024];
        let mut size_bytes = 0;
        loop {
            let length = reader
                .read(&mut buffer)
                .map_err(|e| Error::io("read", source, e))?;
            if length == 0 {
                break;
            }
            size_bytes += length as u64;
            // The file may grow while it is copied, so the bound is checked here as well.
            self.check_size(source, size_bytes)?;
            digest.update(&buffer[..length]);
            writer
                .write_all(&buffer[..length])
                .map_err(|e| Error::io("write", temporary, e))?;
        }
        // Without set-user-id and the like: the copy is somebody else's, and they would act as its owner.
        let mode = fs::Permissions::from_mode(mode & 0o777 | 0o400);
        writer
            .set_permissions(mode)
            .map_err(|e| Error::io("write", temporary, e))?;
        writer
            .sync_all()
            .map_err(|e| Error::io("write", temporary, e))?;
        Ok(digest
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect())
    }

    fn check_size(&self, path: &Path, size_bytes: u64) -> Result<(), Error> {
        if size_bytes <= self.limit_bytes {
            return Ok(());
        }
        Err(Error::TooLarge {
            path: path.to_path_buf(),
            size_bytes,
            limit_bytes: self.limit_bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(folder: &Path, text: &str, mode: u32) -> PathBuf {
        let path = folder.join("run.sh");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn stored_code_keeps_bytes_mode_and_address() {
        let home = tempfile::tempdir().unwrap();
        let source = script(home.path(), "#!/bin/sh\necho 1\n", 0o6755);
        let storage = Storage::at(&home.path().join("storage"));
        let first = storage.store(&source).unwrap();
        let again = storage.store(&source).unwrap();
        assert_eq!(first, again);
        assert_eq!(first.sha256.len(), 64);
        assert!(first.path.ends_with(format!("{}/run.sh", first.sha256)));
        assert_eq!(
            fs::metadata(&first.path).unwrap().permissions().mode() & 0o7777,
            0o755
        );
        assert_eq!(
            fs::read_dir(home.path().join("storage")).unwrap().count(),
            1
        );
    }

    #[test]
    fn editing_the_original_changes_nothing_stored() {
        let home = tempfile::tempdir().unwrap();
        let source = script(home.path(), "one", 0o755);
        let storage = Storage::at(&home.path().join("storage"));
        let first = storage.store(&source).unwrap();
        script(home.path(), "two", 0o755);
        assert_eq!(fs::read_to_string(&first.path).unwrap(), "one");
        assert_ne!(storage.store(&source).unwrap().path, first.path);
    }

    #[test]
    fn a_storage_that_no_document_can_name_is_refused() {
        use std::os::unix::ffi::OsStrExt;
        let home = tempfile::tempdir().unwrap();
        let source = script(home.path(), "one", 0o755);
        let root = home.path().join(std::ffi::OsStr::from_bytes(b"s\xff"));
        let error = Storage::at(&root).store(&source).unwrap_err();
        assert!(error.to_string().contains("not UTF-8"), "{error}");
    }

    #[test]
    fn a_file_over_the_bound_is_refused_and_leaves_nothing() {
        let home = tempfile::tempdir().unwrap();
        let source = script(home.path(), "too long", 0o755);
        let storage = Storage {
            root: home.path().join("storage"),
            limit_bytes: 3,
        };
        let error = storage.store(&source).unwrap_err();
        assert!(error.to_string().contains("8 bytes"), "{error}");
        assert!(!home.path().join("storage").exists());
    }

    #[test]
    fn the_kind_follows_name_and_mode() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(
            kind_of(&script(home.path(), "", 0o644)).unwrap(),
            Kind::Neither
        );
        assert_eq!(
            kind_of(&script(home.path(), "", 0o755)).unwrap(),
            Kind::Executable
        );
        assert_eq!(kind_of(Path::new("flow.py")).unwrap(), Kind::Python);
    }
}

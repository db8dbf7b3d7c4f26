//! How the server of a home makes itself known to the commands and programs of the same home.
//!
//! A live server holds an exclusive lock on a small file beside its SQLite database, and writes its URL and process id
//! there. The lock, not the file, says that the server lives: a killed process loses its locks, so a file that was left
//! behind misleads nobody.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// What a live server says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Live {
    /// The URL of its API, with `/api`.
    pub url: String,
    /// Its process id.
    pub pid: u32,
}

/// A server's hold on its advertisement; dropping it ends the advertisement.
#[derive(Debug)]
pub struct Advert {
    // Held locked for as long as the server lives; `find` relies on it.
    file: File,
}

/// Why a server could not advertise itself.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another server serves this database.
    #[error("a server already serves this database")]
    Taken(Option<Live>),
    /// The file cannot be written.
    #[error("{} cannot be written: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Returns the path of the advertisement for a database file.
fn path_for(database: &Path) -> PathBuf {
    beside(database, ".server")
}

fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(suffix);
    PathBuf::from(path)
}

/// That a process works on a database beside its server, as that of the services does; it ends when dropped.
#[derive(Debug)]
pub struct Attendance {
    // Held locked in company; `is_attended` relies on it.
    _file: File,
}

impl Attendance {
    /// Attends to a database.
    pub fn to(database: &Path) -> Result<Self, Error> {
        let path = beside(database, ".services");
        let fail = |source| Error::Io {
            path: path.clone(),
            source,
        };
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let file = options.open(&path).map_err(fail)?;
        match file.try_lock_shared() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(Error::Taken(None)),
            Err(TryLockError::Error(source)) => Err(fail(source)),
        }
    }
}

/// Tells whether a process attends to a database.
pub fn is_attended(database: &Path) -> bool {
    File::open(beside(database, ".services"))
        .is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

impl Advert {
    /// Takes the advertisement of a database for this process.
    pub fn claim(database: &Path) -> Result<Self, Error> {
        let path = path_for(database);
        let fail = |source| Error::Io {
            path: path.clone(),
            source,
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(fail)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Taken(read(&file).ok())),
            Err(TryLockError::Error(source)) => return Err(fail(source)),
        }
        file.set_len(0).map_err(fail)?;
        Ok(Self { file })
    }

    /// Tells where the server is.
    pub fn publish(&mut self, url: &str) -> io::Result<()> {
        let live = Live {
            url: url.to_owned(),
            pid: std::process::id(),
        };
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.file
            .write_all(serde_json::to_string(&live)?.as_bytes())
    }
}

impl Drop for Advert {
    fn drop(&mut self) {
        // The file stays: removing it would race with the next server, which may hold its lock already.
        let _ = self.file.set_len(0);
    }
}

/// Returns the live server of a database, if there is one.
pub fn find(database: &Path) -> Option<Live> {
    let file = File::open(path_for(database)).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => read(&file).ok(),
        Ok(()) | Err(TryLockError::Error(_)) => None,
    }
}

fn read(mut file: &File) -> io::Result<Live> {
    let mut text = String::new();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_string(&mut text)?;
    Ok(serde_json::from_str(&text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_live_server_is_found_and_a_dead_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("orion.db");
        assert_eq!(find(&database), None);

        let mut advert = Advert::claim(&database).unwrap();
        assert_eq!(find(&database), None, "it has not said where it is");
        advert.publish("http://127.0.0.1:4200/api").unwrap();
        assert_eq!(find(&database).unwrap().url, "http://127.0.0.1:4200/api");
        let Err(Error::Taken(Some(live))) = Advert::claim(&database) else {
            panic!("two servers hold one advertisement");
        };
        assert_eq!(live.pid, std::process::id());

        drop(advert);
        assert_eq!(find(&database), None);
        Advert::claim(&database).unwrap();
    }

    #[test]
    fn who_attends_is_known_until_the_last_has_gone() {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("orion.db");
        assert!(!is_attended(&database));
        let (one, other) = (Attendance::to(&database), Attendance::to(&database));
        drop(one.unwrap());
        assert!(is_attended(&database));
        drop(other.unwrap());
        assert!(!is_attended(&database));
    }
}

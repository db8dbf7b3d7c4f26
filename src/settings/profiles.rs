//! `profiles.toml`: named sets of settings, one of them active.
//!
//! The file is shared with the Python clients, so it keeps their form, and an edit keeps the comments, order and unknown
//! settings that are already there.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use toml_edit::{DocumentMut, Item, Table, value};

use super::Error;

/// The profile that exists without being written down.
pub const DEFAULT_PROFILE: &str = "default";

/// The profiles of a home directory.
#[derive(Clone, Debug)]
pub struct Profiles {
    path: PathBuf,
    document: DocumentMut,
    /// Held by whoever means to write, so that nobody writes what has been read before.
    _turn: Option<Arc<fs::File>>,
}

impl Profiles {
    /// Reads the file; one that does not exist has only the default profile.
    pub fn read(path: &Path) -> Result<Self, Error> {
        // A pipe would be waited for without end.
        if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
            return Err(unusable(path, "it is no regular file"));
        }
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(unreached(path, &error)),
        };
        let document: DocumentMut = text.parse().map_err(|error| unusable(path, error))?;
        Ok(Self {
            path: path.to_owned(),
            document,
            _turn: None,
        })
    }

    /// Reads the file to change it; others who mean to wait until this is dropped.
    pub fn read_to_change(path: &Path) -> Result<Self, Error> {
        // Where a link leads, since writing would put a file in its place.
        let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let turn = || {
            if let Some(directory) = path.parent() {
                fs::create_dir_all(directory)?;
            }
            let lock = path.with_extension("toml.lock");
            let mut options = fs::OpenOptions::new();
            let lock = options
                .create(true)
                .truncate(false)
                .write(true)
                .open(lock)?;
            lock.lock()?;
            Ok(lock)
        };
        let turn = turn().map_err(|error: io::Error| unreached(path, &error))?;
        Ok(Self {
            _turn: Some(Arc::new(turn)),
            ..Self::read(path)?
        })
    }

    /// Returns the file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the active profile's name.
    pub fn active(&self) -> &str {
        self.document
            .get("active")
            .and_then(Item::as_str)
            .unwrap_or(DEFAULT_PROFILE)
    }

    /// Returns all names, the default profile first, then in the order of the file.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .tables()
            .iter()
            .flat_map(|tables| tables.iter())
            .map(|(name, _)| name.to_owned())
            .collect();
        if !names.iter().any(|name| name == DEFAULT_PROFILE) {
            names.insert(0, DEFAULT_PROFILE.to_owned());
        }
        names
    }

    /// Returns whether there is such a profile.
    pub fn contains(&self, name: &str) -> bool {
        name == DEFAULT_PROFILE
            || self
                .tables()
                .is_some_and(|tables| tables.contains_key(name))
    }

    /// Returns the tables that lie beside those of profiles, so that nobody reads them.
    pub fn strays(&self) -> Vec<String> {
        let stray = |(name, item): (&str, &Item)| {
            (name != "profiles" && item.is_table_like()).then(|| name.to_owned())
        };
        self.document.iter().filter_map(stray).collect()
    }

    /// Returns the variables of a profile as texts, in the order of the file.
    pub fn variables(&self, name: &str) -> Result<Vec<(String, String)>, Error> {
        self.expect(name)?;
        let Some(item) = self.tables().and_then(|tables| tables.get(name)) else {
            return Ok(Vec::new());
        };
        let table = item
            .as_table_like()
            .ok_or_else(|| unusable(&self.path, format!("'profiles.{name}' is not a table")))?;
        Ok(table
            .iter()
            .map(|(variable, item)| (variable.to_owned(), item_text(item)))
            .collect())
    }

    /// Gives a variable of a profile a value.
    pub fn set(&mut self, profile: &str, variable: &str, text: &str) -> Result<(), Error> {
        self.table_mut(profile)?[variable] = value(text);
        Ok(())
    }

    /// Takes a variable out of a profile; returns whether it was there.
    pub fn unset(&mut self, profile: &str, variable: &str) -> Result<bool, Error> {
        Ok(self.table_mut(profile)?.remove(variable).is_some())
    }

    /// Makes a profile active.
    pub fn activate(&mut self, name: &str) -> Result<(), Error> {
        self.expect(name)?;
        self.document["active"] = value(name);
        Ok(())
    }

    /// Adds a profile with these variables.
    pub fn create(&mut self, name: &str, variables: &[(String, String)]) -> Result<(), Error> {
        if self
            .tables()
            .is_some_and(|tables| tables.contains_key(name))
            || name == DEFAULT_PROFILE
        {
            return Err(Error::ProfileExists {
                name: name.to_owned(),
            });
        }
        let table = self.table_mut(name)?;
        for (variable, text) in variables {
            table[variable] = value(text);
        }
        Ok(())
    }

    /// Removes a profile.
    pub fn delete(&mut self, name: &str) -> Result<(), Error> {
        self.expect(name)?;
        if let Some(tables) = self
            .document
            .get_mut("profiles")
            .and_then(Item::as_table_mut)
        {
            tables.remove(name);
        }
        Ok(())
    }

    /// Gives a profile another name; it stays active if it was.
    pub fn rename(&mut self, name: &str, new_name: &str) -> Result<(), Error> {
        self.expect(name)?;
        let was_active = self.active() == name;
        self.create(new_name, &[])?;
        let moved = self.table_mut(name)?.clone();
        *self.table_mut(new_name)? = moved;
        self.delete(name)?;
        if was_active {
            self.activate(new_name)?;
        }
        Ok(())
    }

    /// Writes the file, whole or not at all.
    pub fn write(&self) -> Result<(), Error> {
        let fail = |error: io::Error| unreached(&self.path, &error);
        // A reader sees the old file or the new one, never half of it.
        let draft = self
            .path
            .with_extension(format!("toml.{}", std::process::id()));
        let written = fs::write(&draft, self.document.to_string())
            .and_then(|()| restrict(&draft))
            .and_then(|()| fs::rename(&draft, &self.path));
        written.map_err(|error| {
            // What is left of it helps nobody, least of all on a full disk.
            let _ = fs::remove_file(&draft);
            fail(error)
        })
    }

    fn tables(&self) -> Option<&Table> {
        self.document.get("profiles").and_then(Item::as_table)
    }

    fn table_mut(&mut self, name: &str) -> Result<&mut Table, Error> {
        let path = self.path.clone();
        let profiles = self.document.entry("profiles").or_insert_with(|| {
            let mut table = Table::new();
            table.set_implicit(true);
            Item::Table(table)
        });
        let table = profiles
            .as_table_mut()
            .ok_or_else(|| unusable(&path, "'profiles' is not a table"))?;
        table
            .entry(name)
            .or_insert_with(|| Item::Table(Table::new()))
            .as_table_mut()
            .ok_or_else(|| unusable(&path, format!("'profiles.{name}' is not a table")))
    }

    fn expect(&self, name: &str) -> Result<(), Error> {
        match self.contains(name) {
            true => Ok(()),
            false => Err(Error::NoProfile {
                name: name.to_owned(),
                path: self.path.clone(),
                known: self.names(),
            }),
        }
    }
}

/// Keeps other users out of a file that may hold keys.
#[cfg(unix)]
fn restrict(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
}

#[cfg(not(unix))]
fn restrict(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// Returns the text of a TOML value as an environment variable would hold it.
fn item_text(item: &Item) -> String {
    match (item.as_str(), item.as_value()) {
        (Some(text), _) => text.to_owned(),
        // Without the spaces and the comment around it.
        (None, Some(value)) => value.clone().decorated("", "").to_string(),
        (None, None) => item.to_string(),
    }
}

fn unusable(path: &Path, reason: impl ToString) -> Error {
    Error::Profiles {
        path: path.to_owned(),
        reason: reason.to_string().trim_end().to_owned(),
        kind: None,
    }
}

/// Says that the system does not let the file be read or written.
fn unreached(path: &Path, error: &io::Error) -> Error {
    Error::Profiles {
        path: path.to_owned(),
        reason: error.to_string(),
        kind: Some(error.kind()),
    }
}

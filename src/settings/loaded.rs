//! Where the values of a process come from: its environment, else the active profile, else the defaults.

use std::{collections::HashMap, env, ffi::OsString, path::PathBuf};

use super::{
    DEFAULT_PROFILE, Error, LogLevel, Profiles, SETTINGS, Setting, Settings, Source, Value, expand,
    find,
};

/// Settings together with where each value comes from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The values.
    pub settings: Settings,
    /// The active profile's name.
    pub profile: String,
    /// The file from which the profiles were read, and to which changes of them go.
    pub profiles_path: PathBuf,
    /// The source of each setting, in the order of [`SETTINGS`].
    pub sources: Vec<Source>,
    /// What the profile sets that is no setting of ours; it may be one of a Python client.
    pub others: Vec<String>,
    /// Tables of the file that are no profiles, though their author may take them for such.
    pub strays: Vec<String>,
}

/// The settings that say where the profiles are, which only the environment can.
pub const PLACES: [&str; 2] = ["PREFECT_HOME", "PREFECT_PROFILES_PATH"];

impl Loaded {
    /// Loads from the environment of this process, optionally with another profile than the active one.
    pub fn from_process(profile: Option<&str>) -> Result<Self, Error> {
        Self::from_environment(&environment_of(env::vars_os())?, profile)
    }

    /// Takes only the home and the profile from this process and the defaults for everything else, for commands that
    /// work although the settings cannot be loaded.
    pub fn without_values(profile: Option<&str>) -> Result<Self, Error> {
        let environment = environment_of(
            env::vars_os().filter(|(name, _)| PLACES.iter().any(|place| name == place)),
        )?;
        let path = profiles_path(&environment)?;
        let active = || match Profiles::read(&path) {
            Ok(profiles) => profiles.active().to_owned(),
            Err(_) => DEFAULT_PROFILE.to_owned(),
        };
        let profile = match profile {
            Some(name) => name.to_owned(),
            None => env::var("PREFECT_PROFILE").unwrap_or_else(|_| active()),
        };
        let layers = Layers {
            environment: &environment,
            profile: "",
            values: &[],
        };
        let mut settings = Settings::default_for(layers.home()?);
        settings.profiles_path.clone_from(&path);
        Ok(Self {
            settings,
            profile,
            profiles_path: path,
            sources: vec![Source::Default; SETTINGS.len()],
            others: Vec::new(),
            strays: Vec::new(),
        })
    }

    /// Loads from the given environment, which tests construct.
    pub fn from_environment(
        environment: &HashMap<String, String>,
        profile: Option<&str>,
    ) -> Result<Self, Error> {
        let profiles_path = profiles_path(environment)?;
        let profiles = Profiles::read(&profiles_path)?;
        let profile = profile
            .or_else(|| environment.get("PREFECT_PROFILE").map(String::as_str))
            .filter(|name| !name.is_empty())
            .map_or_else(|| profiles.active().to_owned(), str::to_owned);
        let values = profiles.variables(&profile)?;

        let layers = Layers {
            environment,
            profile: &profile,
            values: &values,
        };
        let home = layers.home()?;
        let mut sources = Vec::with_capacity(SETTINGS.len());
        let mut settings = Settings::parse_all(&home, |setting| {
            let found = match setting.name {
                // No profile can say where it lies itself.
                "PREFECT_PROFILES_PATH" => in_environment(environment, setting),
                _ => layers.lookup(setting),
            };
            let (text, source) =
                found.unwrap_or_else(|| (setting.default.to_owned(), Source::Default));
            sources.push(source.clone());
            (text, source)
        })?;
        let others = values.iter().map(|(name, _)| name.clone());
        let others = others.filter(|name| find(name).is_none()).collect();
        // A home that a profile names is not where that profile was found.
        settings.profiles_path.clone_from(&profiles_path);
        if settings.debug_mode {
            settings.logging_level = LogLevel::Debug;
        }
        Ok(Self {
            settings,
            profile,
            profiles_path,
            sources,
            others,
            strays: profiles.strays(),
        })
    }
}

/// Returns variables as text; one of ours that is none is refused, since it must not be ignored in silence.
pub(super) fn environment_of(
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Result<HashMap<String, String>, Error> {
    let mut environment = HashMap::new();
    for (name, value) in variables {
        let Ok(name) = name.into_string() else {
            continue;
        };
        let value = match (value.into_string(), find(&name)) {
            (Ok(value), _) => value,
            (Err(value), Some(setting)) => {
                return Err(Error::Invalid {
                    setting,
                    value: value.to_string_lossy().into_owned(),
                    origin: Source::Environment { variable: name },
                    reason: "it is not UTF-8".to_owned(),
                });
            }
            // A profile that is not there, which is told as such.
            (Err(value), None) if name == "PREFECT_PROFILE" => value.to_string_lossy().into_owned(),
            (Err(_), None) => continue,
        };
        environment.insert(name, value);
    }
    Ok(environment)
}

/// The two places that a value may come from before its default.
struct Layers<'a> {
    environment: &'a HashMap<String, String>,
    profile: &'a str,
    values: &'a [(String, String)],
}

impl Layers<'_> {
    fn lookup(&self, setting: &Setting) -> Option<(String, Source)> {
        in_environment(self.environment, setting).or_else(|| self.in_profile(setting))
    }

    fn in_profile(&self, setting: &Setting) -> Option<(String, Source)> {
        setting.spellings().find_map(|spelling| {
            let (variable, text) = self.values.iter().find(|(name, _)| name == spelling)?;
            let source = Source::Profile {
                profile: self.profile.to_owned(),
                variable: variable.clone(),
            };
            Some((text.clone(), source))
        })
    }

    /// Returns the home directory as text, for the places that name it.
    fn home(&self) -> Result<String, Error> {
        let setting = find("PREFECT_HOME").expect("the list has PREFECT_HOME");
        let (text, source) = self
            .lookup(setting)
            .unwrap_or_else(|| (setting.default.to_owned(), Source::Default));
        match PathBuf::parse(&text) {
            Ok(home) => Ok(home.to_string_lossy().into_owned()),
            Err(reason) => Err(Error::Invalid {
                setting,
                value: text,
                origin: source,
                reason,
            }),
        }
    }
}

/// Returns where the profiles are, which only the environment can say.
fn profiles_path(environment: &HashMap<String, String>) -> Result<PathBuf, Error> {
    let layers = Layers {
        environment,
        profile: "",
        values: &[],
    };
    let setting = find("PREFECT_PROFILES_PATH").expect("the list has PREFECT_PROFILES_PATH");
    let (text, source) = layers
        .lookup(setting)
        .unwrap_or_else(|| (setting.default.to_owned(), Source::Default));
    let text = expand(&text, &layers.home()?);
    PathBuf::parse(&text).map_err(|reason| Error::Invalid {
        setting,
        value: text,
        origin: source,
        reason,
    })
}

fn in_environment(
    environment: &HashMap<String, String>,
    setting: &Setting,
) -> Option<(String, Source)> {
    setting.spellings().find_map(|spelling| {
        // An empty variable is how shells and containers write "not set".
        let text = environment.get(spelling).filter(|text| !text.is_empty())?;
        let source = Source::Environment {
            variable: spelling.to_owned(),
        };
        Some((text.clone(), source))
    })
}

//! Three generations of clients, one model.
//!
//! A request's [`Dialect`] comes from its headers, and each noun lists its fields once, with the
//! generations that are sent them: 2.0b3 clients reject a field that they do not know, newer ones
//! need many more. A handler answers with a [`View`] and never asks about dialects itself.

use chrono::{DateTime, Utc};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::time;

/// The generation of clients whose shapes and rules a request speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dialect {
    /// Orion beta, 2.0b3.
    B,
    /// 2.20.
    Two,
    /// 3.x, and everybody who does not say.
    Three,
}

impl Dialect {
    /// Tells the dialect by the headers of a request, or what is wrong with them.
    ///
    /// The API version cannot tell 2.20 from 3.8, both send `0.8.4`; the user agent can.
    pub fn of(api_version: Option<&str>, user_agent: Option<&str>) -> Result<Self, String> {
        let version = api_version.map(parse_version).transpose()?;
        if let Some([0, 3, _]) = version {
            return Ok(Self::B);
        }
        Ok(match user_agent {
            Some(agent) if agent.starts_with("prefect/2.") => Self::Two,
            _ => Self::Three,
        })
    }
}

/// The first version whose clients renew the leases of their runs on deployments' limits.
const FIRST_TO_RENEW: [u32; 3] = [3, 4, 11];

/// Tells by its user agent whether a client renews the lease by which a run of its holds a slot of
/// its deployment's limit.
pub fn renews_leases(user_agent: Option<&str>) -> bool {
    let version = user_agent.and_then(|agent| agent.strip_prefix("prefect/"));
    let Some(version) = version.and_then(|rest| rest.split(' ').next()) else {
        return false;
    };
    // A pre-release has letters behind its last number.
    let numbers = version.splitn(3, '.').map(|part| {
        let end = part.find(|c: char| !c.is_ascii_digit());
        part[..end.unwrap_or(part.len())].parse().ok()
    });
    let numbers: Option<Vec<u32>> = numbers.collect();
    numbers.is_some_and(|numbers| numbers.as_slice() >= FIRST_TO_RENEW.as_slice())
}

fn parse_version(text: &str) -> Result<[u32; 3], String> {
    let numbers: Option<Vec<u32>> = text.split('.').map(|part| part.parse().ok()).collect();
    numbers
        .and_then(|numbers| numbers.try_into().ok())
        .ok_or_else(|| format!("Invalid X-PREFECT-API-VERSION header format. Expected header in format 'x.y.z' but got '{text}'."))
}

/// Something that looks different to different generations.
pub trait Render {
    /// Writes the value as clients of `dialect` know it.
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error>;
}

/// A value as a generation of clients sees it.
#[derive(Debug, Clone, Copy)]
pub struct View<T>(pub Dialect, pub T);

impl<T: Render> Serialize for View<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.1.render(self.0, serializer)
    }
}

impl<T: Render + ?Sized> Render for &T {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        (**self).render(dialect, serializer)
    }
}

impl<T: Render> Render for Option<T> {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Some(value) => serializer.serialize_some(&View(dialect, value)),
            None => serializer.serialize_none(),
        }
    }
}

impl<T: Render> Render for Vec<T> {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(|value| View(dialect, value)))
    }
}

/// An object being written, field by field.
pub struct Fields<S: Serializer> {
    dialect: Dialect,
    map: S::SerializeMap,
}

impl<S: Serializer> Fields<S> {
    /// Begins an object.
    pub fn begin(dialect: Dialect, serializer: S) -> Result<Self, S::Error> {
        Ok(Self {
            dialect,
            map: serializer.serialize_map(None)?,
        })
    }

    /// Writes a field that all generations know.
    pub fn all(
        &mut self,
        name: &'static str,
        value: &(impl Serialize + ?Sized),
    ) -> Result<(), S::Error> {
        self.map.serialize_entry(name, value)
    }

    /// Writes a field that 2.0b3 does not know.
    pub fn newer(
        &mut self,
        name: &'static str,
        value: &(impl Serialize + ?Sized),
    ) -> Result<(), S::Error> {
        if self.dialect == Dialect::B {
            Ok(())
        } else {
            self.map.serialize_entry(name, value)
        }
    }

    /// Writes a field that only the newest generation knows.
    pub fn newest(
        &mut self,
        name: &'static str,
        value: &(impl Serialize + ?Sized),
    ) -> Result<(), S::Error> {
        match self.dialect {
            Dialect::B | Dialect::Two => Ok(()),
            Dialect::Three => self.map.serialize_entry(name, value),
        }
    }

    /// Writes an instant that all generations know.
    pub fn time(&mut self, name: &'static str, value: DateTime<Utc>) -> Result<(), S::Error> {
        self.map
            .serialize_entry(name, &time::stamp(value, self.dialect))
    }

    /// Writes an instant, or null.
    pub fn time_option(
        &mut self,
        name: &'static str,
        value: Option<DateTime<Utc>>,
    ) -> Result<(), S::Error> {
        self.map.serialize_entry(
            name,
            &value.map(|instant| time::stamp(instant, self.dialect)),
        )
    }

    /// Writes an instant that 2.0b3 does not know, or null.
    pub fn newer_time(
        &mut self,
        name: &'static str,
        value: Option<DateTime<Utc>>,
    ) -> Result<(), S::Error> {
        if self.dialect == Dialect::B {
            Ok(())
        } else {
            self.time_option(name, value)
        }
    }

    /// Writes a part that itself looks different to different generations.
    pub fn part(&mut self, name: &'static str, value: &impl Render) -> Result<(), S::Error> {
        self.map.serialize_entry(name, &View(self.dialect, value))
    }

    /// Ends the object.
    pub fn end(self) -> Result<S::Ok, S::Error> {
        self.map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::{Dialect, renews_leases};

    #[test]
    fn clients_renew_leases_from_one_version_on() {
        for (agent, renews) in [
            (Some("prefect/3.8.8 (API 0.8.4)"), true),
            (Some("prefect/3.4.11 (API 0.8.4)"), true),
            (Some("prefect/3.5.0.dev4+1.gabc (API 0.8.4)"), true),
            (Some("prefect/10.0.0rc1 (API 0.8.4)"), true),
            (Some("prefect/3.4.10 (API 0.8.4)"), false),
            (Some("prefect/2.20.26 (API 0.8.4)"), false),
            (Some("prefect/three"), false),
            (Some("python-httpx/0.28"), false),
            (None, false),
        ] {
            assert_eq!(renews_leases(agent), renews, "{agent:?}");
        }
    }

    #[test]
    fn headers_tell_the_generation() {
        let of = |version, agent| Dialect::of(version, agent);
        assert_eq!(
            of(Some("0.3.0"), Some("python-httpx/0.23.3")),
            Ok(Dialect::B)
        );
        assert_eq!(
            of(Some("0.8.4"), Some("prefect/2.20.26 (API 0.8.4)")),
            Ok(Dialect::Two)
        );
        assert_eq!(
            of(Some("0.8.4"), Some("prefect/3.8.8 (API 0.8.4)")),
            Ok(Dialect::Three)
        );
        assert_eq!(of(None, Some("python-httpx/0.28")), Ok(Dialect::Three));
        assert_eq!(of(None, None), Ok(Dialect::Three));
        assert!(of(Some("three"), None).is_err());
        assert!(of(Some("0.8"), None).is_err());
    }
}

//! The server's clock, as far as its answers tell it.
//!
//! When a run is due is for the server to say, and a machine's clock may be hours off. Each answer carries the server's time in
//! whole seconds, and was made between question and answer, so how far the clocks differ lies between two bounds, which come
//! closer with every answer. Clocks that may agree count as agreeing: what is left then is finer than what a header can say.

use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::{DATE, HeaderMap};

use crate::clock::{Clock, SystemClock};

/// How far the clocks may be apart and still count as one.
const TOLERANCE: TimeDelta = TimeDelta::seconds(3);
/// How old the time in a header may be: it has no fractions, and servers write it anew once a second or when they get to it.
const STALENESS: TimeDelta = TimeDelta::seconds(3);

/// Shows the server's time; the machine's, until an answer has told another.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServerClock(Arc<Mutex<Option<Bounds>>>);

/// Between what the server's clock is ahead of this machine's.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Bounds {
    least: TimeDelta,
    most: TimeDelta,
}

impl ServerClock {
    /// Takes in an answer to what was asked at an instant of this machine's clock.
    pub(super) fn hear(&self, asked: DateTime<Utc>, headers: &HeaderMap) {
        let told = headers.get(DATE).and_then(|date| date.to_str().ok());
        let Some(told) = told.and_then(|date| DateTime::parse_from_rfc2822(date).ok()) else {
            return;
        };
        let heard = Bounds::of(asked, told.to_utc(), SystemClock.now());
        let mut known = self.0.lock().expect("no holder of this lock panics");
        *known = Some(known.map_or(heard, |known| known.and(heard)));
    }

    /// Returns how far the server's clock is ahead of this machine's; nothing, where they may agree.
    pub(crate) fn offset(&self) -> TimeDelta {
        let known = *self.0.lock().expect("no holder of this lock panics");
        known.map_or(TimeDelta::zero(), Bounds::offset)
    }

    /// Returns how long it is until an instant of the server's; nothing, if that is over.
    #[cfg(feature = "server")]
    pub(crate) fn until(&self, instant: DateTime<Utc>) -> std::time::Duration {
        (instant - self.now()).to_std().unwrap_or_default()
    }
}

impl Clock for ServerClock {
    fn now(&self) -> DateTime<Utc> {
        SystemClock.now() + self.offset()
    }
}

impl Bounds {
    /// Returns what an answer tells that came between two instants of this machine.
    fn of(asked: DateTime<Utc>, told: DateTime<Utc>, heard: DateTime<Utc>) -> Self {
        Bounds {
            least: told - heard,
            most: told + STALENESS - asked,
        }
    }

    /// Returns what both tell, or the newer alone where they cannot both be true: a clock was set in between.
    fn and(self, newer: Self) -> Self {
        let both = Bounds {
            least: self.least.max(newer.least),
            most: self.most.min(newer.most),
        };
        match both.least <= both.most {
            true => both,
            false => newer,
        }
    }

    /// Returns the least that can be true, so that nothing counts as due before it is.
    fn offset(self) -> TimeDelta {
        match self.least <= TOLERANCE && self.most >= -TOLERANCE {
            true => TimeDelta::zero(),
            false => self.least,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: i64) -> DateTime<Utc> {
        DateTime::<Utc>::UNIX_EPOCH + TimeDelta::milliseconds(milliseconds)
    }

    /// What an answer tells that was asked for and heard at these instants, in milliseconds.
    fn answer(asked: i64, told: i64, heard: i64) -> Bounds {
        Bounds::of(at(asked), at(told), at(heard))
    }

    #[test]
    fn clocks_that_may_agree_do() {
        // Rounded down to the second, and a second old.
        for told in [8_000, 9_000, 10_000, 12_000] {
            let offset = answer(10_400, told, 10_500).offset();
            assert_eq!(offset, TimeDelta::zero(), "{told}");
        }
        // A slow answer tells little.
        let slow = answer(10_000, 12_000, 40_000);
        assert_eq!(slow.offset(), TimeDelta::zero());
    }

    #[test]
    fn the_server_is_never_taken_to_be_further_than_it_is() {
        let two_hours = 7_200_000;
        let first = answer(10_400, two_hours + 10_000, 10_500);
        assert_eq!(first.offset(), TimeDelta::milliseconds(two_hours - 500));
        // The second has just begun.
        let second = first.and(answer(10_950, two_hours + 11_000, 11_010));
        assert_eq!(second.offset(), TimeDelta::milliseconds(two_hours - 10));
        // And here it is nearly over, which tells nothing more.
        let third = second.and(answer(11_950, two_hours + 11_000, 11_990));
        assert_eq!(third.offset(), second.offset());
        let behind = answer(two_hours, 0, two_hours + 100);
        assert_eq!(behind.offset(), TimeDelta::milliseconds(-two_hours - 100));
    }

    #[test]
    fn a_clock_that_is_set_is_believed() {
        let off = answer(0, 600_000, 100);
        let set_right = off.and(answer(605_000, 605_000, 605_100));
        assert_eq!(set_right.offset(), TimeDelta::zero());
    }

    #[test]
    fn a_header_tells_the_time() {
        let clock = ServerClock::default();
        assert_eq!(clock.offset(), TimeDelta::zero());
        let hear = |date: &str| {
            let headers: HeaderMap = [(DATE, date.parse().unwrap())].into_iter().collect();
            clock.hear(SystemClock.now(), &headers);
        };
        hear("yesterday");
        assert_eq!(clock.offset(), TimeDelta::zero());
        hear("Fri, 01 Jan 2100 00:00:00 GMT");
        let new_century: DateTime<Utc> = "2100-01-01T00:00:00Z".parse().unwrap();
        let off = clock.now() - new_century;
        assert!(off.abs() < TimeDelta::minutes(1), "{off}");
    }
}

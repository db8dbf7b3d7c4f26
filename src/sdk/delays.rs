//! Spans of time, and how long to wait before each retry.

use std::time::Duration;

use serde_json::Value;

/// Something that is a span of time: a number of seconds, or a [`Duration`]. A number below zero is none, and panics.
///
/// ```
/// use prefect_rs::sdk::Seconds;
/// use std::time::Duration;
///
/// assert_eq!(90.span(), Duration::from_secs(90));
/// assert_eq!(0.5.span(), Duration::from_millis(500));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a span of time",
    note = "give a number of seconds, such as `90` or `0.5`, or a `std::time::Duration`"
)]
pub trait Seconds {
    /// Returns the span.
    ///
    /// ```
    /// use prefect_rs::sdk::Seconds;
    ///
    /// assert_eq!(2u32.span(), std::time::Duration::from_secs(2));
    /// ```
    fn span(self) -> Duration;
}

impl Seconds for Duration {
    fn span(self) -> Duration {
        self
    }
}

macro_rules! seconds {
    ($($number:ty)*) => {$(
        impl Seconds for $number {
            #[track_caller]
            fn span(self) -> Duration {
                let seconds = self as f64;
                assert!(seconds >= 0.0, "a span of time is not below zero, as {self} seconds are");
                // More than there will ever be is for ever.
                Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
            }
        }
    )*};
}
seconds!(i32 u32 i64 u64 usize f32 f64);

/// How long to wait before each retry.
///
/// ```
/// use prefect_rs::sdk::{RetryDelay, TaskOptions};
///
/// let delays = RetryDelay::from([1, 10, 60]);
/// let options = TaskOptions::new("load").retries(3).retry_delay_seconds(delays);
/// # let _ = options;
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct RetryDelay(pub(crate) Delays);

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Delays {
    /// The first retry waits for the first, and so on; the last one stays.
    Listed(Vec<Duration>),
    /// The factor, doubled with each retry.
    Exponential(Duration),
}

/// Returns delays that double with each retry: `factor`, twice `factor`, four times `factor`, …
///
/// ```
/// use prefect_rs::prelude::*;
///
/// #[task(retries = 5, retry_delay_seconds = exponential_backoff(0.5), retry_jitter_factor = 0.2)]
/// async fn fetch(url: String) -> Result<String> {
///     Ok(url)
/// }
/// ```
pub fn exponential_backoff(factor: impl Seconds) -> RetryDelay {
    RetryDelay(Delays::Exponential(factor.span()))
}

impl<S: Seconds> From<S> for RetryDelay {
    fn from(delay: S) -> Self {
        Self(Delays::Listed(vec![delay.span()]))
    }
}

impl<S: Seconds, const N: usize> From<[S; N]> for RetryDelay {
    fn from(delays: [S; N]) -> Self {
        delays.into_iter().collect::<Vec<_>>().into()
    }
}

impl<S: Seconds> From<Vec<S>> for RetryDelay {
    fn from(delays: Vec<S>) -> Self {
        Self(Delays::Listed(
            delays.into_iter().map(Seconds::span).collect(),
        ))
    }
}

/// A day is longer than any retry should wait; it keeps doubling from overflowing.
const LONGEST_DELAY: Duration = Duration::from_secs(24 * 3600);

impl RetryDelay {
    /// Returns the delay before retry number `retry`, counted from one; `chance` is between 0 and 1.
    pub(crate) fn before(&self, retry: u32, jitter_factor: f64, chance: f64) -> Duration {
        let delay = match &self.0 {
            Delays::Listed(delays) => {
                let index = (retry.max(1) as usize - 1).min(delays.len().saturating_sub(1));
                delays.get(index).copied().unwrap_or_default()
            }
            Delays::Exponential(factor) => {
                let doubled = 2u32.checked_pow(retry.max(1) - 1).unwrap_or(u32::MAX);
                factor.checked_mul(doubled).unwrap_or(LONGEST_DELAY)
            }
        };
        let delay = delay.min(LONGEST_DELAY);
        delay.mul_f64(1.0 + jitter_factor.clamp(0.0, 1.0) * chance)
    }

    /// Tells whether the delay depends on the number of the retry.
    pub(crate) fn varies(&self) -> bool {
        match &self.0 {
            Delays::Listed(delays) => delays.len() > 1,
            Delays::Exponential(_) => true,
        }
    }

    /// Returns the delays as the API shows them.
    pub(crate) fn shown(&self, retries: u32) -> Value {
        let delays: Vec<Value> = match &self.0 {
            Delays::Listed(delays) => delays
                .iter()
                .map(|delay| number(delay.as_secs_f64()))
                .collect(),
            Delays::Exponential(_) => (1..=retries.min(50))
                .map(|retry| number(self.before(retry, 0.0, 0.0).as_secs_f64()))
                .collect(),
        };
        match &delays[..] {
            [] => Value::from(0),
            [delay] => delay.clone(),
            _ => Value::from(delays),
        }
    }
}

/// Returns whole seconds as an integer, as the genuine client writes them.
fn number(seconds: f64) -> Value {
    match seconds.fract() == 0.0 && seconds < 1e15 {
        true => Value::from(seconds as u64),
        false => Value::from(seconds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn listed_delays_are_taken_in_turn_and_the_last_one_stays() {
        let delay = RetryDelay::from([1, 2, 5]);
        let seconds = |retry| delay.before(retry, 0.0, 0.9).as_secs_f64();
        assert_eq!([1, 2, 3, 4].map(seconds), [1.0, 2.0, 5.0, 5.0]);
        assert_eq!(delay.shown(3), json!([1, 2, 5]));
        assert_eq!(RetryDelay::from(0.5).shown(3), json!(0.5));
        assert_eq!(
            RetryDelay::from(Vec::<u32>::new()).before(1, 0.0, 0.0),
            Duration::ZERO
        );
    }

    #[test]
    fn exponential_delays_double() {
        let delay = exponential_backoff(0.5);
        let seconds = |retry| delay.before(retry, 0.0, 0.0).as_secs_f64();
        assert_eq!([1, 2, 3, 4].map(seconds), [0.5, 1.0, 2.0, 4.0]);
    }

    #[test]
    #[should_panic = "as -1 seconds are"]
    fn a_delay_below_zero_is_refused() {
        let _ = RetryDelay::from(-1);
    }

    proptest! {
        #[test]
        fn a_delay_is_bounded_and_jitter_only_lengthens_it(
            factor in 0.0f64..1e12, retry in 0u32..1000, jitter in -1.0f64..3.0, chance in 0.0f64..1.0
        ) {
            for delay in [exponential_backoff(factor), RetryDelay::from(factor)] {
                let plain = delay.before(retry, 0.0, chance);
                let actual = delay.before(retry, jitter, chance);
                prop_assert!(actual >= plain);
                prop_assert!(actual <= LONGEST_DELAY * 2);
            }
        }
    }
}

//! Decides when a trigger fires: pure, from a bucket that counts events and the next event.
//!
//! For each trigger and each set of values that it counts apart there is one bucket, a span of
//! time with a count. A reactive trigger fires as soon as its bucket holds enough and then waits
//! for the span to end; a proactive one fires when the span ends without enough.

use chrono::{DateTime, TimeDelta, Utc};

use crate::schemas::automations::{EventTrigger, Posture, Require, Trigger};
use crate::schemas::events::ReceivedEvent;
use uuid::Uuid;

/// How much later than it happened an event may come and still count in the first bucket.
pub const LOOK_BACK: TimeDelta = TimeDelta::minutes(15);

/// A span of time in which events are counted.
#[derive(Debug, Clone, PartialEq)]
pub struct Bucket {
    /// When it begins.
    pub start: DateTime<Utc>,
    /// When it ends.
    pub end: DateTime<Utc>,
    /// The events so far.
    pub count: i64,
    /// The last of them.
    pub last_event: Option<ReceivedEvent>,
}

/// What becomes of a trigger's bucket.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluated {
    /// The bucket from now on, if there is one.
    pub bucket: Option<Bucket>,
    /// Whether the trigger fires, and on which event.
    pub fired: Option<Option<ReceivedEvent>>,
}

/// Counts an event that the trigger covers.
pub fn on_event(trigger: &EventTrigger, known: Option<Bucket>, event: &ReceivedEvent) -> Evaluated {
    let (name, at) = (event.event.event.as_str(), event.event.occurred.0);
    let expects = trigger.expects(name);
    let begin = |start, count| Bucket {
        start,
        end: at + trigger.span(),
        count,
        last_event: Some(event.clone()),
    };
    let bucket = if trigger.starts_after(name) {
        let known = known.map(|known| Bucket {
            last_event: Some(event.clone()),
            ..known
        });
        // An event that both begins and counts begins for those after it, not for itself.
        Some(known.unwrap_or_else(|| begin(at, if expects { -1 } else { 0 })))
    } else if trigger.after.is_empty() && expects {
        Some(known.unwrap_or_else(|| begin(at - LOOK_BACK, 0)))
    } else {
        known
    };
    match bucket {
        Some(bucket) if expects => evaluate(trigger, bucket, at, Some(event)),
        bucket => Evaluated {
            bucket,
            fired: None,
        },
    }
}

/// Looks at a bucket whose span may have ended.
pub fn on_time(trigger: &EventTrigger, bucket: Bucket, now: DateTime<Utc>) -> Evaluated {
    evaluate(trigger, bucket, now, None)
}

fn evaluate(
    trigger: &EventTrigger,
    mut bucket: Bucket,
    now: DateTime<Utc>,
    event: Option<&ReceivedEvent>,
) -> Evaluated {
    let keep = |bucket| Evaluated {
        bucket: Some(bucket),
        fired: None,
    };
    if now < bucket.start {
        // It belongs to a span that is over, or has had its effect.
        return keep(bucket);
    }
    let mut is_spent = event.is_none();
    if let Some(event) = event
        && (trigger.is_immediate() || now < bucket.end)
    {
        bucket.count += 1;
        bucket.last_event = Some(event.clone());
        is_spent = true;
    }
    let is_ready = trigger.posture == Posture::Reactive || bucket.end <= now;
    let is_met = trigger.is_met_by(bucket.count);
    let fires = is_ready && is_met;
    if !fires && now < bucket.end {
        return match event {
            // What was expected has come, and it begins the next wait.
            Some(event)
                if trigger.posture == Posture::Proactive
                    && !is_met
                    && trigger.starts_after(&event.event.event) =>
            {
                keep(Bucket {
                    start: now,
                    end: now + trigger.span(),
                    count: 0,
                    last_event: Some(event.clone()),
                })
            }
            _ => keep(bucket),
        };
    }
    let fired = fires.then(|| event.cloned().or_else(|| bucket.last_event.clone()));
    if !trigger.after.is_empty() {
        return Evaluated {
            bucket: None,
            fired,
        };
    }
    if trigger.span().is_zero() {
        return Evaluated {
            bucket: (!fires).then_some(bucket),
            fired,
        };
    }
    let start = bucket.end.max(now);
    let next = Bucket {
        start,
        end: start + trigger.span(),
        count: 0,
        last_event: event.filter(|_| !is_spent).cloned(),
    };
    if is_spent {
        return Evaluated {
            bucket: Some(next),
            fired,
        };
    }
    // The event came after the span, so it counts in the one that begins with it.
    match trigger.posture {
        Posture::Reactive => {
            let again = evaluate(trigger, next, now, event);
            Evaluated {
                fired: again.fired.or(fired),
                bucket: again.bucket,
            }
        }
        Posture::Proactive => Evaluated {
            bucket: Some(Bucket { count: 1, ..next }),
            fired,
        },
    }
}

/// Tells whether a composite trigger fires, from those of its triggers that have, in order of time.
pub fn is_complete(trigger: &Trigger, fired: &[Uuid]) -> bool {
    match trigger {
        Trigger::Event(_) => true,
        Trigger::Compound(compound) => {
            let wanted = match compound.require {
                Require::Any => 1,
                Require::All => compound.triggers.len(),
                Require::Number(n) => n,
            };
            fired.len() >= wanted
        }
        Trigger::Sequence(sequence) => sequence
            .triggers
            .iter()
            .map(Trigger::id)
            .eq(fired.iter().copied()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schemas::events::Event;
    use serde_json::json;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn event(name: &str, seconds: i64) -> ReceivedEvent {
        let event = json!({
            "occurred": at(seconds), "event": name, "id": Uuid::from_u128(seconds.unsigned_abs().into()),
            "resource": {"prefect.resource.id": "pot.1"},
        });
        serde_json::from_value::<Event>(event)
            .unwrap()
            .receive(at(seconds))
    }

    fn trigger(value: serde_json::Value) -> EventTrigger {
        serde_json::from_value(value).unwrap()
    }

    /// Gives events (name and second) to a trigger and returns the seconds at which it fires.
    fn firings(trigger: &EventTrigger, events: &[(&str, i64)]) -> Vec<i64> {
        let mut bucket = None;
        let mut fired = Vec::new();
        for (name, seconds) in events {
            let evaluated = if *name == "tick" {
                let Some(known) = bucket.take() else { continue };
                on_time(trigger, known, at(*seconds))
            } else {
                on_event(trigger, bucket.take(), &event(name, *seconds))
            };
            bucket = evaluated.bucket;
            if evaluated.fired.is_some() {
                fired.push(*seconds);
            }
        }
        fired
    }

    #[test]
    fn a_reactive_trigger_fires_at_each_event() {
        let each = trigger(json!({"posture": "Reactive", "expect": ["a.*"]}));
        assert_eq!(
            firings(&each, &[("a.b", 0), ("a.c", 0), ("a.b", 5)]),
            [0, 0, 5]
        );
    }

    #[test]
    fn a_threshold_without_a_span_counts_for_ever() {
        let third = trigger(json!({"posture": "Reactive", "threshold": 3}));
        assert_eq!(
            firings(&third, &[("a", 0), ("a", 1), ("a", 99), ("a", 100)]),
            [99]
        );
    }

    #[test]
    fn a_reactive_trigger_fires_once_a_span() {
        let twice = trigger(json!({"posture": "Reactive", "threshold": 2, "within": 10}));
        let events = [
            ("a", 0),
            ("a", 1),
            ("a", 2),
            ("a", 3),
            ("a", 30),
            ("a", 31),
            ("a", 45),
            ("a", 60),
        ];
        assert_eq!(firings(&twice, &events), [1, 31]);
    }

    #[test]
    fn a_proactive_trigger_fires_when_nothing_has_come() {
        let missing =
            trigger(json!({"posture": "Proactive", "expect": ["b"], "after": ["a"], "within": 30}));
        assert_eq!(
            firings(
                &missing,
                &[("a", 0), ("tick", 29), ("tick", 30), ("tick", 90)]
            ),
            [30]
        );
        assert_eq!(
            firings(&missing, &[("a", 0), ("b", 5), ("tick", 30)]),
            [0i64; 0]
        );
        assert_eq!(firings(&missing, &[("b", 5), ("tick", 60)]), [0i64; 0]);
    }

    #[test]
    fn a_heartbeat_that_stays_away_fires_after_the_last_one() {
        let heart = trigger(json!({
            "posture": "Proactive", "expect": ["beat", "end"], "after": ["beat"], "within": 30,
        }));
        let dies = [
            ("beat", 0),
            ("beat", 20),
            ("tick", 31),
            ("beat", 40),
            ("tick", 69),
            ("tick", 70),
        ];
        assert_eq!(firings(&heart, &dies), [70]);
        assert_eq!(
            firings(
                &heart,
                &[("beat", 0), ("end", 20), ("tick", 31), ("tick", 60)]
            ),
            [0i64; 0]
        );
    }

    #[test]
    fn composite_triggers_know_when_they_are_complete() {
        let parts = json!([{"posture": "Reactive"}, {"posture": "Reactive"}]);
        let sequence: Trigger =
            serde_json::from_value(json!({"type": "sequence", "triggers": parts})).unwrap();
        let ids: Vec<Uuid> = sequence.children().iter().map(Trigger::id).collect();
        assert!(is_complete(&sequence, &ids));
        assert!(!is_complete(&sequence, &[ids[1], ids[0]]) && !is_complete(&sequence, &ids[..1]));
        let any: Trigger = serde_json::from_value(
            json!({"type": "compound", "require": "any", "triggers": parts}),
        )
        .unwrap();
        assert!(is_complete(&any, &ids[..1]) && !is_complete(&any, &[]));
        let both: Trigger =
            serde_json::from_value(json!({"type": "compound", "require": 2, "triggers": parts}))
                .unwrap();
        assert!(!is_complete(&both, &ids[..1]) && is_complete(&both, &ids));
    }
}

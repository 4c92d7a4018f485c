//! Something that others depend on does not work for a while. People are told when that begins, once a minute as long as it lasts, and when it is
//! over: not of each failure.

use super::{MINUTE, Millis, SECOND};

/// While it lasts, it is told again after this.
const EVERY: Millis = MINUTE;
/// It is over once nothing has failed for so long: of two ways to a database one may still work.
const QUIET: Millis = 5 * SECOND;

/// An outage, or none. All instants are by a clock that never goes back.
#[derive(Debug, Clone, Copy, Default)]
pub struct Outage(Option<Since>);

#[derive(Debug, Clone, Copy)]
struct Since {
    began_at: Millis,
    failed_at: Millis,
    told_at: Millis,
}

impl Outage {
    /// Something has failed. Answers whether people are to be told now.
    pub fn failed(&mut self, now: Millis) -> bool {
        let since = self.0.get_or_insert(Since { began_at: now, failed_at: now, told_at: now - EVERY });
        since.failed_at = now;
        let tells = now - since.told_at >= EVERY;
        if tells {
            since.told_at = now;
        }
        tells
    }

    /// Something has worked or failed: what it came to, but of failures only those that people are to be told of now.
    pub fn heard<T, E>(&mut self, now: Millis, outcome: Result<T, E>) -> Option<Result<T, E>> {
        let is_told = match outcome {
            Ok(_) => {
                self.worked(now);
                true
            }
            Err(_) => self.failed(now),
        };
        is_told.then_some(outcome)
    }

    /// Something has worked. If the outage is over, answers how long it lasted.
    pub fn worked(&mut self, now: Millis) -> Option<Millis> {
        let over = self.0.take_if(|since| now - since.failed_at >= QUIET)?;
        Some(over.failed_at - over.began_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_told_when_it_begins_once_a_minute_and_when_it_is_over() {
        let mut outage = Outage::default();
        // (when, whether it worked) → what people are told: of the outage, or how long it was
        for (now, works, told) in [
            (0, true, None),
            (1_000, false, Some(None)),
            (1_001, false, None),
            (30_000, false, None),
            (60_999, false, None),
            (61_000, false, Some(None)),
            // Another way works meanwhile.
            (61_001, true, None),
            (61_500, false, None),
            (66_499, true, None),
            (66_500, true, Some(Some(60_500))),
            (66_501, true, None),
            (70_000, false, Some(None)),
        ] {
            let said = if works { outage.worked(now).map(Some) } else { outage.failed(now).then_some(None) };
            assert_eq!(said, told, "at {now}");
        }
        let mut outage = Outage::default();
        for (now, outcome, heard) in [
            (0, Ok(()), Some(Ok(()))),
            (1, Err("first"), Some(Err("first"))),
            (2, Err("second"), None),
            (3, Ok(()), Some(Ok(()))),
            (60_001, Err("a minute later"), Some(Err("a minute later"))),
        ] {
            assert_eq!(outage.heard(now, outcome), heard, "at {now}");
        }
    }
}

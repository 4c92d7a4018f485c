//! A breaker for each template: when the platform keeps refusing what its template is to blame for, the template is suspended, and the
//! rest of its messages is not burnt.

use crate::{
    domain::{MINUTE, Millis, SECOND, reminder::ReminderId, settle::SUSPENDED_AT_MOST},
    platform::code::Blame,
    words::Message,
};
use std::collections::{HashMap, HashSet};

/// Refusals in a row that open it.
const IN_A_ROW: u32 = 3;
/// How long it is open at first; it doubles each time a probe is refused.
const FIRST: Millis = 10 * MINUTE;
/// How long others wait for a probe's answer before they look again.
const PROBE: Millis = 10 * SECOND;

/// Why a template is suspended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspension {
    /// Until when.
    pub until: Millis,
    /// What of the template is to blame; `None` if it is banned.
    pub blame: Option<Blame>,
    /// The platform's code.
    pub code: String,
    /// Why; for a wrong field it names the field.
    pub why: Message,
}

#[derive(Debug, Default)]
struct Breaker {
    refused: u32,
    opened: u32,
    suspension: Option<Suspension>,
    probe: Option<ReminderId>,
}

/// The breakers of an app's templates.
#[derive(Debug, Default)]
pub struct Breakers(HashMap<i64, Breaker>);

impl Breakers {
    /// Why a reminder of this template must wait, if it must. Once its time has come one goes as a probe, and then nobody until that
    /// one is no longer `active`.
    pub fn suspends(
        &mut self,
        template: i64,
        id: ReminderId,
        active: &HashSet<ReminderId>,
        now: Millis,
    ) -> Option<Suspension> {
        let breaker = self.0.get_mut(&template)?;
        let suspension = breaker.suspension.as_ref()?;
        if now < suspension.until {
            return Some(suspension.clone());
        }
        if breaker.probe.is_some_and(|probe| active.contains(&probe)) {
            return Some(Suspension { until: now + PROBE, ..suspension.clone() });
        }
        breaker.probe = Some(id);
        None
    }

    /// The platform says that the template, or the whole account, is banned. Its reminders wait twice as long as the account's others, so
    /// that one of those goes first and shows which of the two it is.
    pub fn banned(&mut self, template: i64, code: &str, why: &Message, pause: Millis, now: Millis) {
        let breaker = self.0.entry(template).or_default();
        let until = now + ((2 * pause) << breaker.opened.min(8)).min(SUSPENDED_AT_MOST);
        breaker.opened += 1;
        breaker.suspension = Some(Suspension { until, blame: None, code: code.to_owned(), why: why.clone() });
    }

    /// Another has found that the template keeps being refused.
    pub fn inherit(&mut self, template: i64, suspension: Suspension) {
        let breaker = Breaker { refused: IN_A_ROW, opened: 1, suspension: Some(suspension), probe: None };
        self.0.insert(template, breaker);
    }

    /// The platform accepted a message of the template.
    pub fn accepted(&mut self, template: i64) {
        // Nearly always there is none.
        if !self.0.is_empty() {
            self.0.remove(&template);
        }
    }

    /// The platform refused one, and the template is to blame. Answers why the template is suspended from now on, if it is.
    pub fn refused(
        &mut self,
        template: i64,
        blame: Blame,
        code: &str,
        why: &Message,
        now: Millis,
    ) -> Option<&Suspension> {
        let breaker = self.0.entry(template).or_default();
        breaker.refused += 1;
        // Those that were under way when it opened say nothing new.
        if breaker.refused < IN_A_ROW || breaker.suspension.as_ref().is_some_and(|suspension| now < suspension.until) {
            return None;
        }
        let until = now + (FIRST << breaker.opened.min(8)).min(SUSPENDED_AT_MOST);
        breaker.opened += 1;
        breaker.suspension = Some(Suspension { until, blame: Some(blame), code: code.to_owned(), why: why.clone() });
        breaker.suspension.as_ref()
    }

    /// The platform lists the template as it should be, so that a refusal for want of it is over.
    pub fn listed(&mut self, template: i64) {
        self.0.retain(|known, breaker| {
            *known != template
                || breaker.suspension.as_ref().is_none_or(|suspension| suspension.blame != Some(Blame::Gone))
        });
    }

    /// The templates that are suspended now. One whose time has come is not, though its next message is a probe.
    pub fn suspended(&self, now: Millis) -> impl Iterator<Item = (i64, &Suspension)> {
        let suspended = self.0.iter().filter_map(|(template, breaker)| Some((*template, breaker.suspension.as_ref()?)));
        suspended.filter(move |(_, suspension)| now < suspension.until)
    }

    /// The clock was set back.
    pub fn set_back(&mut self, by: Millis) {
        self.0
            .values_mut()
            .filter_map(|breaker| breaker.suspension.as_mut())
            .for_each(|suspension| suspension.until -= by);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why() -> Message {
        Message::text("data.thing1.value")
    }

    #[test]
    fn three_refusals_suspend_a_template_and_one_probe_decides() {
        let mut breakers = Breakers::default();
        let (one, two) = (ReminderId(1), ReminderId(2));
        let mut active = HashSet::new();
        assert!(breakers.refused(7, Blame::Content, "bad_field", &why(), 0).is_none());
        assert!(breakers.refused(7, Blame::Content, "bad_field", &why(), 0).is_none());
        breakers.accepted(7);
        for _ in 0..2 {
            assert!(
                breakers.refused(7, Blame::Content, "bad_field", &why(), 0).is_none(),
                "one that was accepted forgives"
            );
        }
        assert_eq!(
            breakers.refused(7, Blame::Content, "bad_field", &why(), 0).map(|suspension| suspension.until),
            Some(FIRST)
        );
        assert!(breakers.refused(7, Blame::Content, "bad_field", &why(), 5).is_none(), "it was under way");
        assert!(breakers.suspends(8, one, &active, 0).is_none(), "another template");
        assert_eq!(breakers.suspends(7, one, &active, FIRST - 1).map(|suspension| suspension.until), Some(FIRST));
        assert!(breakers.suspends(7, one, &active, FIRST).is_none(), "the probe");
        active.insert(one);
        assert_eq!(breakers.suspends(7, two, &active, FIRST).map(|suspension| suspension.until), Some(FIRST + PROBE));
        let again =
            breakers.refused(7, Blame::Content, "bad_field", &why(), FIRST + 1).map(|suspension| suspension.until);
        assert_eq!(again, Some(FIRST + 1 + 2 * FIRST), "it doubles");
        active.clear();
        assert!(breakers.suspends(7, two, &active, 4 * FIRST).is_none(), "another probe");
        assert!(breakers.suspended(4 * FIRST).next().is_none(), "its time has come, so nobody is alarmed");
        breakers.accepted(7);
        assert!(
            breakers.suspends(7, one, &active, 4 * FIRST).is_none() && breakers.suspended(4 * FIRST).next().is_none()
        );
    }
}

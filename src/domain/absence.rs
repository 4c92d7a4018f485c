//! Why nothing is stored for a user in a schedule.

use super::{Millis, reminder::ReminderId};
use crate::words::{Message, say};

/// A reminder that holds a consent of the user's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Which.
    pub id: ReminderId,
    /// The schedule that it comes from, if it comes from one.
    pub schedule: Option<String>,
}

/// What is known about a user of whom a schedule has nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Absence {
    /// The schedule's name.
    pub schedule: String,
    /// When it was cancelled, if it was.
    pub cancelled: Option<Millis>,
    /// Its last load was cut off.
    pub incomplete: bool,
    /// Its file excludes the user.
    pub excluded: bool,
    /// When the user was forgotten at their wish, if they were.
    pub forgotten: Option<Millis>,
    /// Since when they want nothing more of its template.
    pub turned_off: Option<Millis>,
    /// Consents for its template that are free.
    pub available: usize,
    /// When the last of these ends, if all of them end.
    pub until: Option<Millis>,
    /// The schedule's first instant.
    pub first_at: Option<Millis>,
    /// Those that are used.
    pub used: usize,
    /// Those that are void.
    pub void: usize,
    /// When the last of those that ended by themselves did.
    pub ended: Option<Millis>,
    /// The reminders that hold the others.
    pub holders: Vec<Holder>,
}

impl Absence {
    /// Whether it does not matter what the schedule's occurrences are.
    pub fn is_of_all(&self) -> bool {
        self.forgotten.is_some() || self.cancelled.is_some() || self.turned_off.is_some()
    }

    /// One sentence.
    pub fn story(&self) -> Message {
        let schedule = self.schedule.as_str();
        if let Some(at) = self.forgotten {
            return say!("absent_forgotten", schedule = schedule, at = at);
        }
        if let Some(at) = self.cancelled {
            return say!("absent_cancelled", schedule = schedule, at = at);
        }
        if self.excluded {
            return say!("absent_excluded", schedule = schedule);
        }
        if self.incomplete {
            return say!("absent_incomplete", schedule = schedule);
        }
        if self.available > 0 {
            return match (self.until, self.first_at) {
                (Some(until), Some(from)) if until <= from => {
                    say!("absent_ends_before", schedule = schedule, n = self.available, until = until)
                }
                (Some(until), _) => {
                    say!("absent_available_until", schedule = schedule, n = self.available, until = until)
                }
                (None, _) => say!("absent_available", schedule = schedule, n = self.available),
            };
        }
        if !self.holders.is_empty() {
            let holders: Vec<Message> = self.holders.iter().map(Holder::told).collect();
            return say!("absent_held", schedule = schedule, holders = holders);
        }
        if let Some(at) = self.turned_off {
            return say!("absent_turned_off", schedule = schedule, at = at);
        }
        if let Some(at) = self.ended {
            return say!("absent_ended", schedule = schedule, used = self.used, at = at);
        }
        match self.used + self.void {
            0 => say!("absent_unknown", schedule = schedule),
            _ => say!("absent_spent", schedule = schedule, used = self.used, void = self.void),
        }
    }
}

/// An occurrence of a schedule, or an event, of which a user has nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The schedule's name.
    pub schedule: String,
    /// The occurrence as people read it, with its time.
    pub occurrence: Message,
    /// Why, as far as that is known.
    pub lack: Lack,
}

/// Why a user has nothing of an occurrence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// It is prepared then.
    Later(Millis),
    /// The schedule excludes them.
    Excluded,
    /// The list that it goes by does not name them.
    NotListed,
    /// They had accepted nothing when it was prepared.
    NoConsent(Millis),
    /// They were not among those for whom it was prepared then: what they had accepted was taken, or they were not named for it.
    Prepared(Millis),
    /// They had accepted nothing when the file was loaded that says who comes to which event.
    NoConsentAtLoad(Millis),
    /// No right row of the file that was loaded then names them for it, or what they had accepted was taken.
    Loaded(Millis),
}

impl Missing {
    /// One sentence.
    pub fn story(&self) -> Message {
        let Self { schedule, occurrence, lack } = self;
        let schedule = schedule.as_str();
        match lack {
            Lack::Later(at) => say!("absent_of_later", at = at, schedule = schedule, occurrence = occurrence),
            Lack::Excluded => say!("absent_of_excluded", schedule = schedule, occurrence = occurrence),
            Lack::NotListed => say!("absent_of_not_listed", schedule = schedule, occurrence = occurrence),
            Lack::NoConsent(at) => {
                say!("absent_of_no_consent", at = at, schedule = schedule, occurrence = occurrence)
            }
            Lack::Prepared(at) => say!("absent_of_prepared", at = at, schedule = schedule, occurrence = occurrence),
            Lack::NoConsentAtLoad(at) => {
                say!("absent_of_no_consent_at_load", at = at, schedule = schedule, occurrence = occurrence)
            }
            Lack::Loaded(at) => say!("absent_of_loaded", at = at, schedule = schedule, occurrence = occurrence),
        }
    }
}

impl Holder {
    fn told(&self) -> Message {
        let id = self.id.to_string();
        match &self.schedule {
            Some(schedule) => say!("holder_of_schedule", id = id, schedule = schedule),
            None => say!("holder_alone", id = id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::{Lang, Voice};

    #[test]
    fn somebody_who_got_nothing_is_told_why_the_nearest_reason_first() {
        let held = vec![Holder { id: ReminderId(7), schedule: Some("members-day".into()) }];
        let base = Absence { schedule: "spring".into(), ..Absence::default() };
        for (absence, part) in [
            (base.clone(), "never accepted"),
            (Absence { used: 2, void: 1, ..base.clone() }, "2 used, 1 void"),
            (Absence { used: 2, void: 1, ended: Some(0), ..base.clone() }, "ended on"),
            (Absence { holders: held.clone(), used: 1, ..base.clone() }, "members-day"),
            (Absence { available: 1, holders: held, ..base.clone() }, "load the file again"),
            (Absence { available: 2, until: Some(5), first_at: Some(5), ..base.clone() }, "2 free consents end before"),
            (Absence { available: 2, until: Some(5), first_at: Some(4), ..base.clone() }, "or it is due after"),
            (Absence { available: 2, until: Some(5), ..base.clone() }, "or it is due after"),
            (Absence { available: 2, first_at: Some(5), ..base.clone() }, "load the file again"),
            (Absence { turned_off: Some(0), used: 1, ..base.clone() }, "turned it off"),
            (Absence { incomplete: true, available: 1, ..base.clone() }, "cut off"),
            (Absence { excluded: true, incomplete: true, available: 1, ..base.clone() }, "excludes"),
            (Absence { cancelled: Some(0), available: 1, ..base.clone() }, "cancelled"),
            (Absence { forgotten: Some(0), ..base }, "forgotten"),
        ] {
            let said = absence.story().to_string();
            assert!(said.contains(part), "{part}: {said}");
        }
    }
    #[test]
    fn somebody_who_got_nothing_for_an_occurrence_is_told_why_not_for_that_one() {
        for (lack, en, zh) in [
            (Lack::Later(0), "prepared on", "届时"),
            (Lack::Excluded, "excludes them", "排除名单"),
            (Lack::NotListed, "does not name them", "名单未列出"),
            (Lack::NoConsent(0), "counts for the next one", "下一场"),
            (Lack::Prepared(0), "none of their consents was free", "没有可用的订阅"),
            (Lack::NoConsentAtLoad(0), "when the file is loaded again", "重新加载"),
            (Lack::Loaded(0), "no right row", "没有正确的行"),
        ] {
            let missing = Missing { schedule: "season".into(), occurrence: Message::text("E2"), lack };
            for (lang, part) in [(Lang::En, en), (Lang::Zh, zh)] {
                let said = missing.story().say(Voice::new(lang));
                assert!(said.contains(part) && said.contains("E2") && said.contains("season"), "{part}: {said}");
            }
        }
    }
}

//! The story of a reminder: why it is in its state, told from its events and from the circumstances now.
//!
//! A story is a list of messages, which `words` says in either language.

use super::{
    Millis,
    due::Due,
    push::Delivery,
    reason::{Reason, TEMPLATE_SUSPENDED, said},
    reminder::{Claim, State},
    retention::Parts,
    timing::parse_duration,
};
use crate::words::{Message, say};

/// Something that happened to a reminder: an attempt, or a decision without one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When the call began; `None` if there was none.
    pub began_at: Option<Millis>,
    /// When the outcome was known.
    pub ended_at: Millis,
    /// The state after it.
    pub state: State,
    /// The platform's code, or tixing's word.
    pub code: Option<String>,
    /// Tixing's reason. Rows of older versions have none, and its sentence as the text.
    pub reason: Option<Reason>,
    /// The platform's words.
    pub text: Option<String>,
    /// The platform's message id.
    pub message_id: Option<String>,
}

impl Event {
    /// The words about it: tixing's reason, the platform's, or both.
    pub fn said(&self) -> Option<Message> {
        said(self.reason.as_ref(), self.text.as_deref())
    }

    /// The event as evidence.
    fn evidence(&self) -> Message {
        let what = match (&self.code, self.said()) {
            (Some(code), Some(said)) => Some(say!("evidence_code_and_words", code = code, said = said)),
            (Some(code), None) => Some(say!("evidence_words", said = code)),
            (None, said) => said.map(|said| say!("evidence_words", said = said)),
        };
        let state = self.state.said();
        match self.began_at {
            Some(at) => say!("evidence_attempt", at = at, state = state, what = what),
            None => say!("evidence_decision", at = self.ended_at, state = state, what = what),
        }
    }
}

/// Why an app sends nothing for now.
#[derive(Debug, Clone)]
pub struct Paused {
    /// The platform's code, or tixing's word.
    pub code: String,
    /// One sentence.
    pub why: Message,
    /// Until when.
    pub until: Millis,
}

/// What a refusal has voided that says that the platform knows no consent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denied {
    /// All that the user had accepted for the template, on a platform that has nothing else.
    All,
    /// The same, but not the tickets that they brought.
    Accepts,
    /// The ticket of this kind that the send named, and nothing else.
    Ticket(String),
}

/// The schedule that a reminder comes from, and how it stands.
#[derive(Debug, Clone)]
pub struct OfSchedule {
    /// Its name.
    pub name: String,
    /// Where its file was.
    pub path: Option<String>,
    /// The row's number.
    pub row: Option<u32>,
    /// Of which occurrence it is, as people read it; `None` where there are none.
    pub occurrence: Option<Message>,
    /// The entry of `before` or `after`; empty where there are none.
    pub occasion: String,
    /// Since when it is paused.
    pub paused_at: Option<Millis>,
    /// It is being shifted or cancelled.
    pub changes: bool,
    /// By how much what waits was moved.
    pub shift: Millis,
}

impl OfSchedule {
    /// Where the reminder comes from, and whether it was moved.
    fn told(&self, state: State) -> Vec<Message> {
        let row = self.row.map(|row| say!("story_row", row = row));
        let occurrence = self.occurrence.as_ref().map(|occurrence| say!("story_occurrence", occurrence = occurrence));
        let occasion = (!self.occasion.is_empty()).then(|| occasion(&self.occasion));
        let file = self.path.as_deref().map(|path| say!("story_file", path = path));
        let (schedule, of) = (self.name.as_str(), occurrence);
        let mut told =
            vec![say!("story_of_schedule", schedule = schedule, file = file, row = row, of = of, occasion = occasion)];
        if state == State::Scheduled {
            told.extend(match self.shift {
                0 => None,
                by if by > 0 => Some(say!("story_shifted_later", by = by)),
                by => Some(say!("story_shifted_earlier", by = -by)),
            });
        }
        told
    }
}

/// An entry of `before`, such as `1d`, or of `after`, such as `+2h`.
fn occasion(entry: &str) -> Message {
    let (after, length) = entry.strip_prefix('+').map_or((false, entry), |length| (true, length));
    match (parse_duration(length), after) {
        (Ok(by), false) => say!("story_before", by = by),
        (Ok(by), true) => say!("story_after", by = by),
        (Err(_), _) => say!("story_occasion", occasion = entry),
    }
}

/// The facts of a story: the reminder, its events, and the circumstances now.
#[derive(Debug)]
pub struct Facts<'a> {
    /// Its living part, or what that was when it ended.
    pub due: &'a Due,
    /// How it comes by its consent.
    pub claim: Claim,
    /// The parts of it that retention has erased.
    pub erased: Parts,
    /// Its events, oldest first.
    pub events: &'a [Event],
    /// The platform's later word.
    pub delivery: Option<&'a Delivery>,
    /// The meaning of the last event's code, if the platform's table lists it.
    pub meaning: Option<Message>,
    /// What is void if that code says that the platform knows no consent.
    pub denied: Option<Denied>,
    /// Whether nobody has said what that code means: neither the platform's table nor the app's `codes`.
    pub unlisted: bool,
    /// Why its app is paused.
    pub paused: Option<Paused>,
    /// Since when an operator has paused its app.
    pub app_paused_at: Option<Millis>,
    /// Why the platform would refuse it, by its list of templates.
    pub refused: Option<Message>,
    /// Why the store is on hold.
    pub hold: Option<Message>,
    /// The daemon that has it under way, or left it in doubt, and was not heard of since: its number and its name.
    pub left_by: Option<(i64, String)>,
    /// Since when its user wants nothing more of its template.
    pub turned_off: Option<Millis>,
    /// When the last consent of its user for its template ended by itself, if any has.
    pub ended: Option<Millis>,
    /// Whether a tap of the app's users counts only once the platform has pushed it.
    pub counts_pushes_alone: bool,
    /// Until when quiet hours last.
    pub quiet_until: Option<Millis>,
    /// The schedule that it comes from.
    pub schedule: Option<OfSchedule>,
    /// Whether a daemon runs.
    pub daemon: bool,
    /// The time.
    pub now: Millis,
}

impl Facts<'_> {
    /// One sentence on why it was or was not sent, and a few on what else is known.
    pub fn story(&self) -> Vec<Message> {
        let mut story = vec![match self.due.state {
            State::Sent => self.sent(),
            State::Failed => self.failed(),
            State::Expired => self.expired(),
            State::Cancelled if self.code() == "forgotten" => say!("story_forgotten"),
            State::Cancelled if self.code() == "removed" => say!("story_removed"),
            State::Cancelled if self.code() == "schedule_cancelled" => say!("story_schedule_cancelled"),
            State::Cancelled => say!("story_cancelled"),
            State::Unconfirmed if self.code() == "restored" => say!("story_assumed_sent", why = self.said()),
            State::Unconfirmed => say!("story_unconfirmed", why = self.said()),
            State::InDoubt | State::Sending if self.left_by.is_some() => {
                let (id, name) = self.left_by.as_ref().expect("just seen");
                say!("story_left_by_node", id = id, name = name)
            }
            State::InDoubt => say!("story_in_doubt", why = self.said(), at = self.due.due_at),
            State::Sending if !self.daemon => say!("story_cut_off"),
            State::Sending => say!("story_sending"),
            State::Scheduled => self.scheduled(),
        }];
        story.extend(self.code_unlisted());
        story.extend(self.schedule.iter().flat_map(|schedule| schedule.told(self.due.state)));
        story.extend(self.delivery.map(|delivery| match &delivery.failure {
            None => say!("story_delivered"),
            Some(code) => say!("story_undelivered", code = code, words = delivery.text),
        }));
        story.extend(match (self.erased.body, self.erased.attempts) {
            (_, true) => Some(say!("story_attempts_erased")),
            (true, false) => Some(say!("story_body_erased")),
            (false, false) => None,
        });
        story
    }

    /// The events and the receipt behind the story, oldest first.
    pub fn evidence(&self) -> Vec<Message> {
        let receipt = self.delivery.map(|delivery| match &delivery.failure {
            None => say!("evidence_delivered", at = delivery.at, words = delivery.text),
            Some(code) => say!("evidence_undelivered", at = delivery.at, code = code, words = delivery.text),
        });
        self.events.iter().map(Event::evidence).chain(receipt).collect()
    }

    fn code(&self) -> &str {
        self.events.last().and_then(|event| event.code.as_deref()).unwrap_or_default()
    }

    /// The words about the last event.
    fn said(&self) -> Option<Message> {
        let said = self.events.last().and_then(Event::said);
        said.or_else(|| self.erased.attempts.then(|| say!("story_not_kept")))
    }

    /// The meaning of the last code, or else the words about the last event.
    fn why(&self) -> Option<Message> {
        self.meaning.clone().or_else(|| self.said())
    }

    fn sent(&self) -> Message {
        match self.code() {
            "" => {
                let began = self.events.last().and_then(|event| event.began_at);
                say!("story_sent", late = began.map_or(0, |began| began - self.due.at))
            }
            "receipt" => say!("story_sent_by_receipt"),
            "resolved" => say!("story_sent_resolved", why = self.said()),
            code => say!("story_sent_before", code = code),
        }
    }

    fn failed(&self) -> Message {
        match self.code() {
            "no_consent" => {
                let more = match self.turned_off {
                    Some(off) => Some(say!("story_turned_off_at", at = off)),
                    None => self
                        .ended
                        .map(|at| say!("story_consent_ended_at", at = at))
                        .or_else(|| self.counts_pushes_alone.then(|| say!("story_push_counts"))),
                };
                say!("story_no_consent", why = self.said(), more = more)
            }
            "test_mode" | "gave_up" | "resolved" => say!("story_not_sent", why = self.said()),
            "turned_off" => say!("story_turned_off", why = self.said()),
            "consent_ended" => say!("story_consent_ended", why = self.said()),
            code => {
                // The platform's own words name the field at fault, and the like.
                let why = match (&self.meaning, self.said()) {
                    (Some(meaning), Some(words)) => Some(say!("meaning_and_words", meaning = meaning, words = words)),
                    _ => self.why(),
                };
                match &self.denied {
                    Some(Denied::All) => say!("story_denied", code = code, why = why),
                    Some(Denied::Accepts) => say!("story_denied_accept", code = code, why = why),
                    Some(Denied::Ticket(kind)) => say!("story_denied_ticket", code = code, kind = kind, why = why),
                    None => say!("story_refused", code = code, why = why),
                }
            }
        }
    }

    /// What to do about a code of the platform's that nobody has listed.
    fn code_unlisted(&self) -> Option<Message> {
        let answered = self.events.last().is_some_and(|event| event.began_at.is_some());
        let by_platform =
            self.due.state == State::Failed && answered && !["gave_up", "resolved"].contains(&self.code());
        (by_platform && self.unlisted).then(|| say!("story_code_unlisted", code = self.code()))
    }

    fn expired(&self) -> Message {
        let mut latest = self.events.iter().rev();
        let suspended = latest.find(|event| event.code.as_deref() == Some(TEMPLATE_SUSPENDED)).and_then(Event::said);
        let tried = self.events.iter().rev().find(|event| event.began_at.is_some());
        let before = match (suspended, tried.and_then(|event| event.code.as_deref())) {
            (Some(why), _) => Some(say!("story_because", why = why)),
            (None, Some(code)) => Some(say!("story_last_try", code = code)),
            (None, None) => None,
        };
        say!("story_expired", deadline = self.due.expires_at, before = before)
    }

    fn scheduled(&self) -> Message {
        if let Some(why) = &self.hold {
            return say!("story_on_hold", why = why);
        }
        if self.due.expires_at <= self.now {
            return say!("story_deadline_has_passed", deadline = self.due.expires_at);
        }
        if let Some(why) = &self.refused {
            return say!("story_out_of_step", why = why);
        }
        if let Some(since) = self.app_paused_at {
            return say!("story_app_paused", since = since, at = self.due.due_at);
        }
        match &self.schedule {
            Some(OfSchedule { changes: true, .. }) => return say!("story_schedule_changes"),
            Some(OfSchedule { paused_at: Some(since), name, .. }) => {
                return say!("story_schedule_paused", since = since, schedule = name, at = self.due.due_at);
            }
            _ => {}
        }
        if let Some(Paused { code, why, until }) = self.paused.as_ref().filter(|paused| self.due.due_at <= paused.until)
        {
            return say!("story_paused", until = until, code = code, why = why);
        }
        if !self.code().is_empty() {
            return say!("story_again", code = self.code(), why = self.why(), at = self.due.due_at);
        }
        if let Some(off) = self.turned_off.filter(|_| self.claim == Claim::AtFire) {
            return say!("story_waits_for_accept", at = self.due.at, off = off);
        }
        if self.due.at > self.now {
            return say!("story_waits", at = self.due.at);
        }
        match self.quiet_until {
            Some(until) => say!("story_quiet", until = until),
            None => say!("story_due"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::{Lang, Voice};

    fn origin(occasion: &str) -> OfSchedule {
        OfSchedule {
            name: "spring".into(),
            path: Some("/s/spring.toml".into()),
            row: Some(4),
            occurrence: None,
            occasion: occasion.into(),
            paused_at: None,
            changes: false,
            shift: 0,
        }
    }

    #[test]
    fn a_row_is_one_of_the_list_and_an_occasion_is_told_in_words() {
        for (occasion, zh, en) in [
            ("1h", "，名单第 4 行，提前 1 小时。", ", row 4 of its list, 1 h before."),
            ("+2d", "，名单第 4 行，之后 2 天。", ", row 4 of its list, 2 d after."),
            ("", "，名单第 4 行。", ", row 4 of its list."),
            ("odd", "，时机 odd。", ", occasion odd."),
        ] {
            let told = &origin(occasion).told(State::Sent)[0];
            let (told_zh, told_en) = (told.say(Voice::new(Lang::Zh)), told.to_string());
            assert!(
                told_zh.starts_with("来自计划 spring（文件 /s/spring.toml）") && told_zh.ends_with(zh),
                "{told_zh}"
            );
            assert!(told_en.ends_with(en), "{told_en}");
        }
    }

    #[test]
    fn evidence_names_each_state_in_the_readers_language() {
        for state in State::ALL {
            let event =
                Event { began_at: Some(0), ended_at: 1, state, code: None, reason: None, text: None, message_id: None };
            assert!(event.evidence().to_string().ends_with(&format!("attempt → {}", state.word())), "{state:?}");
            let zh = event.evidence().say(Voice::new(Lang::Zh));
            assert!(!zh.contains(state.word()), "{zh}");
        }
    }
}

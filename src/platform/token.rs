//! When a token is fetched, and how: decisions only, the engine makes the call. One fetch at a time for an app.
//!
//! A platform answers the same token until its last five minutes, so asking earlier brings nothing and nothing is asked before. A forced
//! refresh is the last resort: the strictest platform allows 20 a day, at least 30 s apart (official, read 2026); a quarter of them is
//! ours, since a human may need the others.

use super::Granted;
use crate::{
    domain::{DAY, MINUTE, Millis, SECOND, settle::backoff},
    words::{Message, say},
};
use secrecy::{ExposeSecret, SecretString};

/// Renewed when no more than this remains.
pub const RENEW_BEFORE: Millis = 5 * MINUTE;
/// Forced refreshes a day.
pub const FORCED_A_DAY: usize = 5;
/// Between two forced refreshes.
pub const FORCED_APART: Millis = 30 * SECOND;

/// What to do about an app's token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// It is good.
    Nothing,
    /// Ask; sends may go on with the old one.
    Renew,
    /// Ask; nothing can be sent before.
    Fetch {
        /// Ask for a new one though the old one should live.
        force: bool,
    },
    /// Ask again at this instant; nothing can be sent before.
    Wait {
        /// When.
        until: Millis,
    },
}

/// Why there is no token to send with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The platform's code or tixing's word.
    pub code: String,
    /// Why.
    pub why: Message,
}

/// An app's token. It starts empty.
#[derive(Debug, Default)]
pub struct Token {
    now: Option<(SecretString, Millis)>,
    rejected: Option<SecretString>,
    fetching: bool,
    forced: Vec<Millis>,
    failures: u32,
    not_before: Millis,
    /// Fetches in a row that brought nothing.
    unanswered: u32,
    /// Tokens in a row that the platform has given out and then refused.
    refused: u32,
    /// Why the last fetch brought nothing to send with.
    trouble: Option<Trouble>,
    /// It is left to another lane of the app to force a new one, and done here only if that one does not.
    patient: bool,
    /// When others forced one, within a day.
    elsewhere: Vec<Millis>,
}

impl Token {
    /// None yet; new ones were forced at these instants, by whoever asked before.
    pub fn after(forced: Vec<Millis>) -> Self {
        Self { forced, ..Self::default() }
    }

    /// Of an app that several lanes send for: a new one is forced by the first of them.
    #[must_use]
    pub fn patient(self, patient: bool) -> Self {
        Self { patient, ..self }
    }

    /// Other lanes of the app have forced new ones at these instants.
    pub fn forced_elsewhere(&mut self, forced: Vec<Millis>) {
        self.elsewhere = forced;
    }

    /// When new ones were forced, within a day.
    pub fn forced(&self) -> &[Millis] {
        &self.forced
    }

    /// The token to send with, if there is one.
    pub fn usable(&self, now: Millis) -> Option<&SecretString> {
        self.now.as_ref().filter(|(_, until)| now < *until).map(|(token, _)| token)
    }

    /// When the token ends; 0 if there is none.
    pub fn expires_at(&self) -> Millis {
        self.now.as_ref().map_or(0, |(_, until)| *until)
    }

    /// What to do now.
    pub fn need(&self, now: Millis) -> Need {
        if self.fetching {
            return if self.usable(now).is_some() { Need::Nothing } else { Need::Wait { until: now + SECOND } };
        }
        let usable = self.now.as_ref().filter(|(_, until)| now < *until);
        match usable {
            Some((_, until)) if now + RENEW_BEFORE < *until => Need::Nothing,
            Some(_) if now >= self.not_before => Need::Renew,
            Some(_) => Need::Nothing,
            None if now < self.not_before => Need::Wait { until: self.not_before },
            None => Need::Fetch { force: self.must_force(now) },
        }
    }

    /// A rejected token that the platform gave out again is broken there too; then a new one must be forced.
    fn must_force(&self, now: Millis) -> bool {
        let forced = || self.forced.iter().chain(&self.elsewhere);
        let today = forced().filter(|at| now - **at < DAY).count();
        let apart = forced().all(|at| now - *at >= FORCED_APART);
        self.failures > u32::from(self.patient) && self.rejected.is_some() && today < FORCED_A_DAY && apart
    }

    /// A fetch begins.
    pub fn begin(&mut self, force: bool, now: Millis) {
        self.fetching = true;
        if force {
            self.forced.retain(|at| now - *at < DAY);
            self.forced.push(now);
        }
    }

    /// A fetch brought a token.
    pub fn granted(&mut self, granted: Granted, now: Millis) {
        self.fetching = false;
        let same = |a: &SecretString, b: &SecretString| a.expose_secret() == b.expose_secret();
        if self.rejected.as_ref().is_some_and(|rejected| same(rejected, &granted.token)) {
            // The very token that was just refused: wait or force.
            self.failures += 1;
            self.now = None;
            self.not_before = if self.must_force(now) { now } else { now + FORCED_APART };
            self.unanswered = 0;
            self.trouble = Some(Trouble { code: "token_refused".into(), why: say!("token_given_out_again") });
            return;
        }
        (self.rejected, self.trouble) = (None, None);
        (self.failures, self.unanswered) = (0, 0);
        // Five minutes is a legal lifetime and must not make an endless circle of renewals.
        self.not_before = now + 10 * SECOND;
        self.now = Some((granted.token, now + granted.lives.max(SECOND)));
    }

    /// A fetch failed; the next one is not before `now + pause`.
    pub fn failed(&mut self, trouble: Trouble, pause: Millis, now: Millis) {
        self.fetching = false;
        self.unanswered += 1;
        self.not_before = self.not_before.max(now + pause);
        self.trouble = Some(trouble);
    }

    /// Whatever held up a fetch may be over.
    pub fn try_now(&mut self, now: Millis) {
        self.not_before = self.not_before.min(now);
    }

    /// Whether the last fetch brought nothing to send with, or what it brought was refused.
    pub fn failing(&self) -> bool {
        self.trouble.is_some()
    }

    /// How many fetches in a row have brought nothing.
    pub fn unanswered(&self) -> u32 {
        self.unanswered
    }

    /// Until when there is nothing to send with, and why; `None` if there is, or will be as soon as a fetch is answered.
    pub fn wanting(&self, now: Millis) -> Option<(Millis, &Trouble)> {
        let waits = !self.fetching && self.usable(now).is_none() && now < self.not_before;
        Some((self.not_before, self.trouble.as_ref().filter(|_| waits)?))
    }

    /// The clock was set back; the token lives no longer for it.
    pub fn set_back(&mut self, by: Millis) {
        self.not_before -= by;
        self.forced.iter_mut().for_each(|at| *at -= by);
        if let Some((_, until)) = &mut self.now {
            *until -= by;
        }
    }

    /// The platform refused `used`, as `code` and `why` tell. If another token has come since, nothing is to be done; else a new one is
    /// fetched: at once the first time, and ever more rarely if each new one is refused too.
    pub fn reject(&mut self, used: &SecretString, code: &str, why: &Message, now: Millis, jitter: f64) {
        let current = self.now.as_ref().is_some_and(|(token, _)| token.expose_secret() == used.expose_secret());
        if current {
            self.rejected = self.now.take().map(|(token, _)| token);
            self.refused += 1;
            let waits = self.refused.checked_sub(2).map_or(0, |again| backoff(again, 2 * SECOND, jitter));
            self.not_before = now + waits;
            self.trouble = Some(Trouble { code: code.to_owned(), why: say!("each_token_refused", why = why) });
        }
    }

    /// The platform took the token that a call was made with, whatever it said of the rest.
    pub fn worked(&mut self) {
        self.refused = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why() -> Message {
        Message::text("invalid credential")
    }

    fn granted(token: &str, lives: Millis) -> Granted {
        Granted { token: token.to_owned().into(), lives }
    }

    #[test]
    fn a_token_is_renewed_in_its_last_five_minutes_and_not_before() {
        let mut token = Token::default();
        assert_eq!(token.need(0), Need::Fetch { force: false });
        token.begin(false, 0);
        assert!(matches!(token.need(0), Need::Wait { .. }), "one fetch at a time");
        token.granted(granted("a", 7_200 * SECOND), 0);
        assert_eq!(token.need(6_899 * SECOND), Need::Nothing);
        assert_eq!(token.need(6_901 * SECOND), Need::Renew);
        assert_eq!(token.need(7_200 * SECOND), Need::Fetch { force: false });
    }

    #[test]
    fn of_several_lanes_of_an_app_one_forces_a_new_token_and_the_others_wait_for_it() {
        let bad = || SecretString::from("bad".to_owned());
        let refused = |patient| {
            let mut token = Token::default().patient(patient);
            token.granted(granted("bad", 7_200 * SECOND), 0);
            token.reject(&bad(), "bad_token", &why(), 1, 1.0);
            assert_eq!(token.need(1), Need::Fetch { force: false });
            token.granted(granted("bad", 7_200 * SECOND), 1);
            token
        };
        assert_eq!(refused(false).need(1), Need::Fetch { force: true });
        let mut other = refused(true);
        assert_eq!(other.need(1), Need::Wait { until: 1 + FORCED_APART }, "the first one forces it");
        let next = 1 + FORCED_APART;
        assert_eq!(other.need(next), Need::Fetch { force: false });
        other.forced_elsewhere(vec![next - SECOND]);
        other.granted(granted("bad", 7_200 * SECOND), next);
        assert_eq!(other.need(next), Need::Wait { until: next + FORCED_APART }, "it did a second ago");
        other.forced_elsewhere(Vec::new());
        assert_eq!(other.need(next + FORCED_APART), Need::Fetch { force: true }, "it does not");
    }

    #[test]
    fn the_shortest_legal_lifetime_does_not_go_round_in_circles() {
        let mut token = Token::default();
        token.granted(granted("a", 300 * SECOND), 0);
        assert_eq!(token.need(1), Need::Nothing);
        assert_eq!(token.need(10 * SECOND), Need::Renew);
    }

    #[test]
    fn a_rejected_token_is_fetched_anew_and_forced_only_if_it_comes_back() {
        let mut token = Token::default();
        token.granted(granted("a", 7_200 * SECOND), 0);
        token.reject(&"older".to_owned().into(), "bad_token", &why(), 1, 1.0);
        assert_eq!(token.need(1), Need::Nothing, "a newer one is here already");
        token.reject(&"a".to_owned().into(), "bad_token", &why(), 1, 1.0);
        assert_eq!(token.need(1), Need::Fetch { force: false });
        token.granted(granted("a", 7_000 * SECOND), 2);
        assert_eq!(token.need(2), Need::Fetch { force: true });
        token.begin(true, 2);
        token.granted(granted("a", 7_000 * SECOND), 3);
        assert_eq!(token.need(3), Need::Wait { until: 3 + FORCED_APART });
        let mut forced = 1;
        for minute in 1..600 {
            let now = minute * MINUTE;
            if let Need::Fetch { force } = token.need(now) {
                forced += usize::from(force);
                token.begin(force, now);
                token.granted(granted("a", 7_000 * SECOND), now);
            }
        }
        assert_eq!(forced, FORCED_A_DAY, "the budget holds");
    }

    #[test]
    fn a_platform_that_refuses_each_new_token_is_asked_ever_more_rarely() {
        let (mut token, mut now, mut fetched) = (Token::default(), 0, 0);
        while now < 15 * SECOND {
            if let Need::Fetch { .. } = token.need(now) {
                fetched += 1;
                token.begin(false, now);
                token.granted(granted(&format!("t{fetched}"), 7_200 * SECOND), now);
                token.reject(&format!("t{fetched}").into(), "bad_token", &why(), now, 1.0);
            }
            now += 10;
        }
        // At once twice, then after 2, 4 and 8 seconds.
        assert_eq!(fetched, 5);
        assert!(token.wanting(now).is_some_and(|(until, trouble)| until > now && trouble.code == "bad_token"));
        token.granted(granted("good", 7_200 * SECOND), now);
        token.worked();
        token.reject(&"good".to_owned().into(), "expired", &why(), now, 1.0);
        assert_eq!(token.need(now), Need::Fetch { force: false }, "the first time a new one is fetched at once");
    }
}

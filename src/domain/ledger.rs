//! The ledger of one user and one template: the consents there are, who holds them, and what may become of each.
//!
//! The rules of I1 and I4 stand here and nowhere else. The store reads into a ledger the lines that matter, asks, and writes the moves:
//! the difference between the lines that it read and the lines that are there now. Its counts are the sum of the moves, so they cannot
//! disagree with the rows.

use super::{
    Millis,
    consent::{Allowance, Balance, ConsentState, Feed, SAME_TAP},
    reminder::{Claim, ReminderId, State},
};
use std::collections::BTreeSet;

/// One consent in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Counts the consents of a user and template from 1.
    pub n: i64,
    /// When the user tapped.
    pub granted_at: Millis,
    /// What it allows.
    pub allowance: Allowance,
    /// The caller's own id of the tap.
    pub event: Option<String>,
    /// Who told of it; of a line that was read this is not asked.
    pub told: Option<Told>,
    /// The reminder that holds it or has used it.
    pub holder: Option<Holder>,
    /// Why it is worth nothing any more.
    pub void: Option<Void>,
}

/// Who told of a consent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Whose word it is.
    pub feed: Feed,
    /// Who passed it on.
    pub source: String,
}

/// The reminder that has a consent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// Which.
    pub id: ReminderId,
    /// How far it has come.
    pub stage: Stage,
}

/// How far a reminder has come in spending its consent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It waits, and no request of it is in doubt: its consent is certainly unspent.
    Waiting,
    /// It is being sent, is in doubt or waits to be sent again: nobody knows yet whether its consent was spent.
    UnderWay,
    /// It has ended and may have spent its consent.
    Uncertain,
    /// The platform has certainly accepted its message, and the consent with it.
    Sent,
}

impl Stage {
    /// The stage of a reminder in this state; `doubtful` if one of its requests may have arrived.
    pub fn of(state: State, doubtful: bool) -> Self {
        match state {
            State::Scheduled if !doubtful => Self::Waiting,
            State::Scheduled | State::Sending | State::InDoubt => Self::UnderWay,
            State::Sent => Self::Sent,
            State::Failed | State::Expired | State::Cancelled | State::Unconfirmed => Self::Uncertain,
        }
    }
}

/// Why a consent is worth nothing any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Void {
    /// The platform said that it knows no consent.
    Denied,
    /// The user turned the template off.
    TurnedOff,
    /// The user wished to be forgotten.
    Forgotten,
    /// It may be unspent, and the reminder that had it is no longer kept.
    Unconfirmed,
    /// The user was forgotten once, and the platform may know consents from before.
    LetIn,
    /// Its time was over before a reminder had it.
    Ended,
}

impl Void {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Denied, Self::TurnedOff, Self::Forgotten, Self::Unconfirmed, Self::LetIn, Self::Ended];

    /// The word in SQL and JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Denied => "platform_denied",
            Self::TurnedOff => "turned_off",
            Self::Forgotten => "forgotten",
            Self::Unconfirmed => "unconfirmed",
            Self::LetIn => "let_in",
            Self::Ended => "ended",
        }
    }

    /// The reason of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|why| why.word() == word)
    }

    /// Whether the platform may know such a consent all the same, so that it must be remembered for as long as its user comes back.
    pub fn lasts(self) -> bool {
        matches!(self, Self::Unconfirmed | Self::LetIn)
    }
}

/// Where a consent stands whose reminder is `holder`.
pub fn state(holder: Option<Holder>, is_void: bool) -> ConsentState {
    match holder.map(|holder| holder.stage) {
        _ if is_void => ConsentState::Void,
        None => ConsentState::Available,
        Some(Stage::Waiting | Stage::UnderWay) => ConsentState::Held,
        Some(Stage::Uncertain | Stage::Sent) => ConsentState::Used,
    }
}

impl Line {
    /// Where it stands.
    pub fn state(&self) -> ConsentState {
        state(self.holder, self.void.is_some())
    }

    /// Whether a reminder may hold it. A standing consent is held by none.
    fn is_free(&self) -> bool {
        self.state() == ConsentState::Available && self.allowance != Allowance::Standing
    }

    /// When it ends; `None` for never.
    pub fn ends(&self) -> Option<Millis> {
        self.allowance.ends(self.granted_at)
    }

    fn has(&self, reminder: ReminderId) -> bool {
        self.holder.is_some_and(|holder| holder.id == reminder)
    }

    fn row(&self) -> Row {
        (self.state(), self.holder.map(|holder| holder.id))
    }
}

/// What is written of a line that a move may change.
type Row = (ConsentState, Option<ReminderId>);

/// A consent that goes from one state to another. `None` is outside the ledger: it is granted, or no longer kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// Where it was.
    pub from: Option<ConsentState>,
    /// Where it is now.
    pub to: Option<ConsentState>,
}

impl Move {
    /// A reminder ends that has, or may have, spent the consent it held. Nothing is written to the consent: that it is used follows from
    /// the reminder's end.
    pub const SPENT: Self = Self { from: Some(ConsentState::Held), to: Some(ConsentState::Used) };
}

/// A user's accept, as one feed tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tap {
    /// When the user tapped.
    pub at: Millis,
    /// What they allowed.
    pub allowance: Allowance,
    /// The caller's own id of the tap: the same event twice counts once.
    pub event: Option<String>,
    /// Who tells of it.
    pub told: Told,
}

/// What a tap adds to the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Granted {
    /// Nothing: it is recorded already.
    Nothing,
    /// A consent.
    Consent,
    /// A void consent: it is from before the user turned the template off. It is kept, because the platform may know it all the same.
    Void,
}

/// A consent of which one feed has told, and the other not yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToldOnce {
    /// Its number.
    pub n: i64,
    /// When the user tapped.
    pub at: Millis,
    /// Which feed has told.
    pub feed: Feed,
}

/// A consent of which the other feed tells too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToldTwice {
    /// Its number.
    pub n: i64,
    /// The event by which the other feed calls it.
    pub event: Option<String>,
}

/// The ledger of one user and one template, as far as it was read.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Oldest first.
    entries: Vec<Entry>,
    /// No line before this one is free.
    free_from: usize,
    /// Whether any line ends by itself.
    some_end: bool,
    last: i64,
    turned_off: Option<Millis>,
    /// Events of taps that are recorded.
    events: BTreeSet<String>,
    /// `Some` if the app counts both feeds.
    told_once: Option<Vec<ToldOnce>>,
    told_twice: Vec<ToldTwice>,
}

#[derive(Debug)]
struct Entry {
    /// As it was read; `None` if it is new.
    was: Option<Row>,
    line: Line,
    /// It is no longer kept.
    gone: bool,
}

/// Filling it.
impl Ledger {
    /// Takes in a line that is stored. Lines come in the order of their numbers; one that comes twice counts once.
    pub fn read(&mut self, line: Line) {
        self.events.extend(line.event.clone());
        if self.entries.last().is_none_or(|last| last.line.n < line.n) {
            self.last = self.last.max(line.n);
            self.some_end |= line.ends().is_some();
            self.entries.push(Entry { was: Some(line.row()), line, gone: false });
        }
    }

    /// Takes in the highest number that is stored, and since when the user wants nothing more of the template.
    pub fn read_end(&mut self, last: i64, turned_off: Option<Millis>) {
        self.last = self.last.max(last);
        self.turned_off = turned_off;
    }

    /// The app counts both feeds: what one of them has told of and the other not yet.
    pub fn reconcile(&mut self, told: impl IntoIterator<Item = ToldOnce>) {
        self.told_once.get_or_insert_default().extend(told);
    }

    /// A tap with this event was recorded, whether or not its line is still kept.
    pub fn know(&mut self, event: &str) {
        self.events.insert(event.to_owned());
    }
}

/// Asking and changing it.
impl Ledger {
    /// Whether a consent stands for many sends.
    pub fn stands(&self) -> bool {
        self.lines().any(|line| line.allowance == Allowance::Standing && line.state() == ConsentState::Available)
    }

    /// Whether a reminder that goes at `at` finds a consent.
    pub fn has_free(&mut self, at: Millis) -> bool {
        self.stands() || self.free(at).is_some()
    }

    /// Records a tap.
    pub fn grant(&mut self, tap: Tap) -> Granted {
        let granted = self.adds(&tap);
        if granted != Granted::Nothing {
            self.add(tap, None, (granted == Granted::Void).then_some(Void::TurnedOff));
        }
        granted
    }

    /// Takes in a new reminder that goes at `at`: records the tap that it brings, and has it hold what it claims. A consent that it brings
    /// is its own; otherwise it takes the free one that ends first. `None` if there is none; then `id` was not asked for.
    pub fn admit(
        &mut self,
        tap: Option<Tap>,
        claim: Claim,
        standing: bool,
        at: Millis,
        id: impl FnOnce() -> ReminderId,
    ) -> Option<ReminderId> {
        let reserves = claim == Claim::Reserve && !standing;
        if let Some(tap) = tap {
            match self.adds(&tap) {
                Granted::Consent => {
                    let id = id();
                    self.add(tap, reserves.then_some(id), None);
                    return Some(id);
                }
                Granted::Void => self.add(tap, None, Some(Void::TurnedOff)),
                Granted::Nothing => {}
            }
        }
        if reserves {
            let free = self.free(at)?;
            let id = id();
            self.hold(free, id);
            return Some(id);
        }
        // What claims its consent at the instant may find one by then.
        (claim == Claim::AtFire || self.stands()).then(id)
    }

    /// Until when what is free of it is good, where none of it is good at `at`.
    pub fn good_until(&self, at: Millis) -> Option<Millis> {
        let ends = self.lines().filter(|line| line.is_free()).filter_map(Line::ends);
        ends.max().filter(|ends| *ends <= at)
    }

    /// The ticket that pays for a reminder, as it is stored, if its consent is one.
    pub fn ticket_of(&self, reminder: ReminderId) -> Option<&str> {
        self.lines().find(|line| line.has(reminder) && line.void.is_none())?.allowance.ticket()
    }

    /// Voids what nobody has and is past its end.
    pub fn end(&mut self, now: Millis) {
        let lines = self.entries.iter_mut().map(|entry| &mut entry.line);
        for line in lines.filter(|line| line.is_free() && line.ends().is_some_and(|ends| ends <= now)) {
            line.void = Some(Void::Ended);
        }
    }

    /// Has a reminder that goes at `at` hold the free consent that ends first, of several the oldest; `false` if there is none (I1).
    pub fn take(&mut self, by: ReminderId, at: Millis) -> bool {
        let free = self.free(at);
        free.map(|free| self.hold(free, by)).is_some()
    }

    /// Makes available again what a reminder has, unless it is void; `false` if there is nothing.
    pub fn give_back(&mut self, by: ReminderId) -> bool {
        let has = |entry: &Entry| entry.line.has(by) && entry.line.void.is_none();
        let found = self.entries.iter().position(has);
        if let Some(i) = found {
            self.entries[i].line.holder = None;
            self.free_from = self.free_from.min(i);
        }
        found.is_some()
    }

    /// Voids what was granted by `until` and is certainly unspent, and answers the waiting reminders that have lost their consent so; not
    /// among them is `by`, the reminder that found out and has ended by it.
    ///
    /// The platform has said that it knows no consent, or the user that they want none. Believing that for one reminder and not for the
    /// next would only collect more refusals. A reminder that is under way keeps its consent: nobody knows whether that one was spent.
    /// Where the platform has refused a ticket, that says nothing about the user's other tickets and accepts, nor they about it.
    pub fn void(&mut self, until: Millis, by: Option<ReminderId>, why: Void) -> Vec<ReminderId> {
        let mut lost = Vec::new();
        let refused = by.filter(|_| why == Void::Denied).map(|by| self.ticket_of(by).map(str::to_owned));
        let meant = |line: &Line| refused.as_ref().is_none_or(|ticket| line.allowance.ticket() == ticket.as_deref());
        let open = self.entries.iter_mut().map(|entry| &mut entry.line);
        for line in open.filter(|line| line.void.is_none() && line.granted_at <= until && meant(line)) {
            match line.holder {
                Some(holder) if by == Some(holder.id) => {}
                Some(Holder { id, stage: Stage::Waiting }) => lost.push(id),
                Some(_) => continue,
                None => {}
            }
            line.void = Some(why);
        }
        lost
    }

    /// The user is forgotten: what no reminder has is void.
    pub fn forget(&mut self) {
        let free =
            self.entries.iter_mut().map(|entry| &mut entry.line).filter(|l| l.state() == ConsentState::Available);
        free.for_each(|line| line.void = Some(Void::Forgotten));
    }

    /// A forgotten user comes back. The platform may still know consents from before, and this store does not know how many. A void line says
    /// so: the next consent is then not taken for the sole one.
    pub fn let_in(&mut self, now: Millis) {
        let told = Told { feed: Feed::Client, source: "tixing".into() };
        self.add(Tap { at: now, allowance: Allowance::Once, event: None, told }, None, Some(Void::LetIn));
    }

    /// An ended reminder is no longer kept. The consent that it certainly spent goes with it. One that may be unspent stays as void: while
    /// the platform may know it, a doubt of the same user is not resent as safe.
    pub fn erase(&mut self, reminder: ReminderId) {
        for entry in self.entries.iter_mut().filter(|entry| entry.line.has(reminder)) {
            let line = &mut entry.line;
            let spent = line.holder.is_some_and(|holder| holder.stage == Stage::Sent);
            entry.gone = spent && line.void.is_none();
            if !entry.gone {
                line.void = line.void.or(Some(Void::Unconfirmed));
                line.holder = None;
            }
        }
    }

    /// The user is no longer kept.
    pub fn erase_all(&mut self) {
        self.entries.iter_mut().for_each(|entry| entry.gone = true);
    }

    /// Whether a reminder has the sole consent that the platform can still know: every other one was spent by a message that the platform
    /// certainly accepted. Only then does a second request tell what became of the first. A request that names a ticket can be paid by no
    /// other one.
    pub fn is_sole(&self, reminder: ReminderId) -> bool {
        let spent = |line: &&Line| line.holder.is_some_and(|holder| holder.stage == Stage::Sent);
        let ticket = self.lines().find(|line| line.has(reminder)).and_then(|line| line.allowance.ticket());
        let pays = |line: &&Line| ticket.is_none() || line.allowance.ticket() == ticket;
        let mut open = self.lines().filter(|line| !spent(line) && pays(line));
        open.next().is_some_and(|line| line.has(reminder)) && open.next().is_none()
    }

    /// How many lines stand where.
    pub fn balance(&self) -> Balance {
        let mut balance = Balance::default();
        self.lines().for_each(|line| balance.add(line.state()));
        balance
    }

    /// The lines whose rows have changed since they were read, with the move that each has made.
    pub fn moves(&self) -> impl Iterator<Item = (Move, &Line)> {
        self.entries.iter().filter_map(|Entry { was, line, gone }| {
            let now = (!gone).then(|| line.row());
            let of = |row: Option<Row>| row.map(|(state, _)| state);
            (*was != now).then_some((Move { from: of(*was), to: of(now) }, line))
        })
    }

    /// The consents of which both feeds have now told.
    pub fn told_twice(&self) -> &[ToldTwice] {
        &self.told_twice
    }

    fn lines(&self) -> impl Iterator<Item = &Line> {
        self.entries.iter().filter(|entry| !entry.gone).map(|entry| &entry.line)
    }

    /// The free consent that is still good at `at`: the one that ends first, since those that last serve later reminders; of several the
    /// oldest.
    fn free(&mut self, at: Millis) -> Option<usize> {
        let taken = self.entries[self.free_from..].iter().take_while(|entry| !entry.line.is_free()).count();
        self.free_from += taken;
        let good = |line: &Line| line.is_free() && line.allowance.is_good(line.granted_at, at);
        let rest = &self.entries[self.free_from..];
        let first = if self.some_end {
            let good = rest.iter().enumerate().filter(|(_, entry)| good(&entry.line));
            good.min_by_key(|(_, entry)| entry.line.ends().unwrap_or(Millis::MAX)).map(|(i, _)| i)
        } else {
            rest.iter().position(|entry| good(&entry.line))
        };
        first.map(|i| self.free_from + i)
    }

    fn hold(&mut self, i: usize, id: ReminderId) {
        self.entries[i].line.holder = Some(Holder { id, stage: Stage::Waiting });
    }

    /// What a tap adds: nothing if it is recorded already, by its event or by the other feed.
    fn adds(&mut self, tap: &Tap) -> Granted {
        let known = tap.event.as_ref().is_some_and(|event| self.events.contains(event));
        if known || tap.allowance == Allowance::Standing && self.stands() || self.is_the_other_feeds(tap) {
            Granted::Nothing
        } else if self.turned_off.is_some_and(|off| tap.at <= off) {
            Granted::Void
        } else {
            Granted::Consent
        }
    }

    /// Whether the other feed has told of the same tap. If so, both have told of it from now on.
    fn is_the_other_feeds(&mut self, tap: &Tap) -> bool {
        let Some(told) = &mut self.told_once else { return false };
        let away = |told: &ToldOnce| (told.at - tap.at).abs();
        let same = |(_, told): &(usize, &ToldOnce)| told.feed != tap.told.feed && away(told) <= SAME_TAP;
        let nearest = told.iter().enumerate().filter(same).min_by_key(|(_, told)| away(told)).map(|(i, _)| i);
        let Some(i) = nearest else { return false };
        self.told_twice.push(ToldTwice { n: told.swap_remove(i).n, event: tap.event.clone() });
        self.events.extend(tap.event.clone());
        true
    }

    /// Writes a tap down, one line for each send that it allows; `holder` has the first.
    fn add(&mut self, tap: Tap, holder: Option<ReminderId>, void: Option<Void>) {
        let (first, Tap { at, allowance, event, told }) = (self.entries.len(), tap);
        self.some_end |= allowance.ends(at).is_some();
        self.events.extend(event.clone());
        if let Some(told_once) = &mut self.told_once {
            told_once.push(ToldOnce { n: self.last + 1, at, feed: told.feed });
        }
        for _ in 0..allowance.sends() {
            self.last += 1;
            let (allowance, event, told) = (allowance.clone(), event.clone(), Some(told.clone()));
            let line = Line { n: self.last, granted_at: at, allowance, event, told, holder: None, void };
            self.entries.push(Entry { was: None, line, gone: false });
        }
        if let Some(id) = holder {
            self.hold(first, id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const A: ReminderId = ReminderId(1);
    const B: ReminderId = ReminderId(2);

    fn line(n: i64, holder: Option<(ReminderId, Stage)>, void: Option<Void>) -> Line {
        let holder = holder.map(|(id, stage)| Holder { id, stage });
        Line { n, granted_at: n * 10, allowance: Allowance::Once, event: None, told: None, holder, void }
    }

    fn read(lines: impl IntoIterator<Item = Line>) -> Ledger {
        let mut ledger = Ledger::default();
        lines.into_iter().for_each(|line| ledger.read(line));
        ledger
    }

    fn tap(at: Millis, allowance: Allowance) -> Tap {
        Tap { at, allowance, event: None, told: Told { feed: Feed::Client, source: "test".into() } }
    }

    fn by(feed: Feed, event: Option<&str>, at: Millis) -> Tap {
        let told = Told { feed, source: "test".into() };
        Tap { event: event.map(str::to_owned), told, ..tap(at, Allowance::Once) }
    }

    fn ticket(key: &str, sends: u32, until: Option<Millis>) -> Allowance {
        Allowance::Ticket { key: key.into(), sends, until }
    }

    /// The moves as (n, from, to), a letter for each state.
    fn moves(ledger: &Ledger) -> Vec<String> {
        let letter = |state: Option<ConsentState>| match state {
            None => '-',
            Some(ConsentState::Available) => 'a',
            Some(ConsentState::Held) => 'h',
            Some(ConsentState::Used) => 'u',
            Some(ConsentState::Void) => 'v',
        };
        ledger.moves().map(|(moved, line)| format!("{}{}{}", line.n, letter(moved.from), letter(moved.to))).collect()
    }

    #[test]
    fn i4_each_operation_answers_the_moves_that_it_made() {
        use Stage::{Sent, Uncertain, UnderWay, Waiting};
        type Case = (Vec<Line>, fn(&mut Ledger), Vec<&'static str>);
        let free = || line(1, None, None);
        let with = |stage| line(1, Some((A, stage)), None);
        let void = || line(1, Some((A, Waiting)), Some(Void::TurnedOff));
        // (what is stored, what happens) → the moves
        let table: Vec<Case> = vec![
            (
                vec![],
                |l| {
                    l.grant(tap(1, Allowance::Once));
                },
                vec!["1-a"],
            ),
            (
                vec![free()],
                |l| {
                    l.grant(tap(1, Allowance::Once));
                },
                vec!["2-a"],
            ),
            (
                vec![free(), line(2, None, None)],
                |l| {
                    l.take(A, 0);
                },
                vec!["1ah"],
            ),
            // One touch of a row, whatever happened to it on the way.
            (vec![free()], |l| assert!(l.take(A, 0) && l.give_back(A)), vec![]),
            (
                vec![],
                |l| {
                    l.grant(tap(1, Allowance::Once));
                    l.take(A, 0);
                },
                vec!["1-h"],
            ),
            (
                vec![with(Waiting)],
                |l| {
                    l.give_back(A);
                },
                vec!["1ha"],
            ),
            (
                vec![with(Uncertain)],
                |l| {
                    l.give_back(A);
                },
                vec!["1ua"],
            ),
            (
                vec![void()],
                |l| {
                    l.give_back(A);
                },
                vec![],
            ),
            (
                vec![with(Waiting)],
                |l| {
                    l.give_back(B);
                },
                vec![],
            ),
            (vec![free()], Ledger::forget, vec!["1av"]),
            (vec![with(UnderWay)], Ledger::forget, vec![]),
            (vec![], |l| l.let_in(1), vec!["1-v"]),
            (vec![with(Sent)], |l| l.erase(A), vec!["1u-"]),
            (vec![with(Uncertain)], |l| l.erase(A), vec!["1uv"]),
            // It names its reminder no longer.
            (vec![void()], |l| l.erase(A), vec!["1vv"]),
            (vec![line(1, None, Some(Void::LetIn))], Ledger::erase_all, vec!["1v-"]),
        ];
        for (stored, happens, expected) in table {
            let mut ledger = read(stored.clone());
            happens(&mut ledger);
            assert_eq!(moves(&ledger), expected, "{stored:?}");
        }
    }

    #[test]
    fn what_nobody_knows_to_be_unspent_is_not_voided() {
        use Stage::{Sent, Uncertain, UnderWay, Waiting};
        // (who has it, who found out) → (voided, and so ended)
        let table = [
            (None, None, true, false),
            (Some(Waiting), None, true, true),
            (Some(Waiting), Some(A), true, false),
            (Some(UnderWay), None, false, false),
            (Some(UnderWay), Some(A), true, false),
            (Some(UnderWay), Some(B), false, false),
            (Some(Uncertain), None, false, false),
            (Some(Sent), None, false, false),
        ];
        for (stage, found_out, voided, ended) in table {
            let mut ledger = read([line(1, stage.map(|stage| (A, stage)), None)]);
            let lost = ledger.void(Millis::MAX, found_out, Void::Denied);
            assert_eq!(
                (moves(&ledger).len(), lost.len()),
                (usize::from(voided), usize::from(ended)),
                "{stage:?} {found_out:?}"
            );
        }
        let mut ledger = read([line(1, None, None), line(2, None, None)]);
        ledger.void(10, None, Void::TurnedOff);
        assert_eq!(moves(&ledger), ["1av"], "what was granted later stays");
    }

    #[test]
    fn only_the_sole_consent_that_the_platform_can_know_makes_a_second_request_safe() {
        use Stage::{Sent, Uncertain, UnderWay};
        let mine = || line(1, Some((A, UnderWay)), None);
        let other = |stage| line(2, Some((B, stage)), None);
        for (stored, sole) in [
            (vec![mine()], true),
            (vec![], false),
            (vec![line(1, None, None)], false),
            (vec![mine(), other(Sent)], true),
            (vec![mine(), other(Uncertain)], false),
            (vec![mine(), other(UnderWay)], false),
            (vec![mine(), line(2, None, None)], false),
            (vec![mine(), line(2, None, Some(Void::LetIn))], false),
            (vec![mine(), line(2, None, Some(Void::TurnedOff))], false),
            (vec![Line { allowance: Allowance::Standing, ..line(1, None, None) }], false),
        ] {
            assert_eq!(read(stored.clone()).is_sole(A), sole, "{stored:?}");
        }
    }

    #[test]
    fn a_new_reminder_has_its_own_consent_or_the_oldest_free_one() {
        use {Allowance::*, Claim::*};
        let standing = || Line { allowance: Standing, ..line(1, None, None) };
        // (what is stored, since when turned off, the tap it brings, its claim, standing) → (admitted, the moves)
        let table = [
            (vec![], None, None, Reserve, false, false, vec![]),
            (vec![], None, None, AtFire, false, true, vec![]),
            (vec![line(1, None, None), line(2, None, None)], None, None, Reserve, false, true, vec!["1ah"]),
            (vec![line(1, None, None)], None, Some(tap(9, Once)), Reserve, false, true, vec!["2-h"]),
            (vec![line(1, None, None)], None, Some(tap(9, Once)), AtFire, false, true, vec!["2-a"]),
            (vec![], Some(9), Some(tap(9, Once)), Reserve, false, false, vec!["1-v"]),
            (vec![line(1, None, None)], Some(9), Some(tap(9, Once)), Reserve, false, true, vec!["1ah", "2-v"]),
            (vec![], None, Some(tap(9, Standing)), Reserve, true, true, vec!["1-a"]),
            (vec![standing()], None, Some(tap(9, Standing)), Reserve, true, true, vec![]),
            (vec![standing()], None, None, Reserve, true, true, vec![]),
            (vec![standing()], None, None, Reserve, false, false, vec![]),
            (vec![], None, None, Reserve, true, false, vec![]),
        ];
        for (stored, off, tap, claim, is_standing, admitted, expected) in table {
            let mut ledger = read(stored.clone());
            ledger.read_end(0, off);
            let id = ledger.admit(tap.clone(), claim, is_standing, 100, || A);
            assert_eq!(
                (id.is_some(), moves(&ledger)),
                (admitted, expected.iter().map(|m| (*m).to_owned()).collect()),
                "{stored:?} {off:?} {tap:?} {claim:?}"
            );
        }
    }

    #[test]
    fn a_tap_that_is_told_of_twice_counts_once() {
        let mut ledger = Ledger::default();
        let (client, platform) = (Feed::Client, Feed::Platform);
        assert_eq!(ledger.grant(by(client, Some("e"), 0)), Granted::Consent);
        assert_eq!(ledger.grant(by(client, Some("e"), 0)), Granted::Nothing, "the same event");
        assert_eq!(ledger.grant(by(platform, None, 0)), Granted::Consent, "one feed alone counts");
        ledger.know("gone");
        assert_eq!(ledger.grant(by(client, Some("gone"), 0)), Granted::Nothing);

        // Both feeds count: each tap of one is met by the nearest of the other.
        let mut ledger = Ledger::default();
        ledger.read_end(1, None);
        ledger.reconcile([ToldOnce { n: 1, at: 0, feed: client }]);
        for (tap, granted) in [
            (by(client, None, 1), Granted::Consent),
            (by(platform, Some("p"), 2), Granted::Nothing),
            (by(platform, None, 2), Granted::Nothing),
            (by(platform, None, 2), Granted::Consent),
            (by(client, Some("p"), 2), Granted::Nothing),
            (by(client, None, 3 + SAME_TAP), Granted::Consent),
        ] {
            assert_eq!(ledger.grant(tap.clone()), granted, "{tap:?}");
        }
        let twice = [(2, Some("p".to_owned())), (1, None)].map(|(n, event)| ToldTwice { n, event });
        assert_eq!(ledger.told_twice(), twice);
    }

    #[test]
    fn what_an_allowance_allows() {
        // (the allowance, granted at 10) → how many reminders that go at 100 and at 1,000 it is good for
        for (allowance, at_100, at_1_000) in [
            (Allowance::Once, 1, 1),
            (Allowance::Standing, 0, 0),
            (Allowance::Times { sends: 3, period: 500 }, 3, 0),
            (ticket("t", 2, Some(500)), 2, 0),
            (ticket("t", 1, None), 1, 1),
        ] {
            for (at, good) in [(100, at_100), (1_000, at_1_000)] {
                let mut ledger = Ledger::default();
                ledger.grant(tap(10, allowance.clone()));
                let taken = (1..9).filter(|id| ledger.take(ReminderId(*id), at)).count();
                assert_eq!(taken, good, "{allowance:?} at {at}");
            }
        }
    }

    #[test]
    fn what_ends_first_is_taken_first_and_what_has_ended_never() {
        let mut ledger = Ledger::default();
        for (at, allowance) in [
            (1, Allowance::Once),
            (2, ticket("long", 1, Some(900))),
            (3, Allowance::Times { sends: 2, period: 97 }),
            (4, ticket("short", 1, Some(50))),
        ] {
            ledger.grant(tap(at, allowance));
        }
        // (a reminder that goes at) → the number of the consent that it takes
        for (id, (at, n)) in [(60, Some(3)), (60, Some(4)), (60, Some(2)), (60, Some(1)), (60, None), (49, Some(5))]
            .into_iter()
            .enumerate()
        {
            let id = ReminderId(id as i64 + 1);
            assert_eq!(ledger.take(id, at), n.is_some(), "{id}");
            assert_eq!(ledger.lines().find(|line| line.has(id)).map(|line| line.n), n, "{id}");
        }
    }

    #[test]
    fn what_ends_unused_is_void_and_until_when_the_rest_is_good_can_be_told() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.good_until(0), None, "there is none");
        ledger.grant(tap(1, ticket("a", 2, Some(50))));
        ledger.grant(tap(1, ticket("b", 1, Some(90))));
        assert_eq!((ledger.good_until(89), ledger.good_until(90)), (None, Some(90)));
        assert!(ledger.take(A, 10));
        ledger.end(49);
        assert_eq!(ledger.balance(), Balance { available: 2, held: 1, ..Balance::default() });
        ledger.end(50);
        assert_eq!(ledger.balance(), Balance { available: 1, held: 1, void: 1, ..Balance::default() });
        assert!(ledger.give_back(A));
        ledger.end(50);
        assert_eq!(ledger.balance(), Balance { available: 1, void: 2, ..Balance::default() });
    }

    #[test]
    fn a_ticket_that_is_refused_says_nothing_about_the_others() {
        use Stage::{UnderWay, Waiting};
        let of = |n, holder, key: Option<&str>| {
            let allowance = key.map_or(Allowance::Once, |key| ticket(key, 1, None));
            Line { allowance, ..line(n, holder, None) }
        };
        let stored = [
            of(1, Some((A, UnderWay)), Some("refused")),
            of(2, Some((B, Waiting)), Some("refused")),
            of(3, None, Some("other")),
            of(4, None, None),
        ];
        let mut ledger = read(stored.clone());
        assert_eq!(ledger.void(Millis::MAX, Some(A), Void::Denied), [B]);
        assert_eq!(moves(&ledger), ["1hv", "2hv"]);
        let mut ledger = read(stored.clone());
        assert_eq!(ledger.void(Millis::MAX, None, Void::TurnedOff), [B], "the user's own word is about all");
        assert_eq!(moves(&ledger), ["2hv", "3av", "4av"]);
        let mut ledger = read([of(1, Some((A, UnderWay)), None), of(2, None, Some("other")), of(3, None, None)]);
        ledger.void(Millis::MAX, Some(A), Void::Denied);
        assert_eq!(moves(&ledger), ["1hv", "3av"], "a refused accept says nothing about tickets");
        assert!(!read(stored).is_sole(A), "its ticket has another send");
        let sole = [of(1, Some((A, UnderWay)), Some("mine")), of(2, None, Some("other")), of(3, None, None)];
        assert!(read(sole).is_sole(A), "nothing else can pay for a request that names it");
    }

    proptest! {
        /// I1: no more reminders have a consent than were granted. I4: what was there and the moves together are what is there.
        #[test]
        fn i1_i4_whatever_happens_the_moves_balance(stored in proptest::collection::vec(0..9_u8, 0..6), steps in proptest::collection::vec((0..11_u8, 1..5_i64), 0..20)) {
            let stages = [Stage::Waiting, Stage::UnderWay, Stage::Uncertain, Stage::Sent];
            let lines = stored.iter().zip(1..).map(|(kind, n)| match kind {
                0..4 => line(n, Some((ReminderId(n), stages[usize::from(*kind)])), None),
                4 => line(n, None, Some(Void::Denied)),
                5 => line(n, Some((ReminderId(n), Stage::Uncertain)), Some(Void::Denied)),
                6 => Line { allowance: Allowance::Times { sends: 1, period: 30 }, ..line(n, None, None) },
                7 => Line { allowance: ticket("stored", 1, Some(70)), ..line(n, None, None) },
                _ => line(n, None, None),
            });
            let mut ledger = read(lines);
            let before = ledger.balance();
            for (step, id) in steps {
                let id = ReminderId(id);
                match step {
                    0 => { ledger.grant(tap(1, Allowance::Once)); }
                    1 => { ledger.take(id, 1); }
                    2 => { ledger.give_back(id); }
                    3 => { ledger.void(25, Some(id), Void::Denied); }
                    4 => ledger.forget(),
                    5 => ledger.let_in(1),
                    6 => ledger.erase(id),
                    7 => { ledger.grant(tap(id.0 * 20, Allowance::Times { sends: 2, period: 40 })); }
                    8 => { ledger.grant(tap(1, ticket("granted", 3, Some(60)))); }
                    9 => ledger.end(id.0 * 20),
                    _ => { ledger.admit(Some(tap(1, Allowance::Once)), Claim::Reserve, false, 1, || id); }
                }
            }
            let mut counted = [before.available, before.held, before.used, before.void];
            for (moved, _) in ledger.moves() {
                for (state, n) in [(moved.from, -1), (moved.to, 1)] {
                    if let Some(state) = state {
                        counted[state as usize] += n;
                    }
                }
            }
            let now = ledger.balance();
            prop_assert_eq!(counted, [now.available, now.held, now.used, now.void]);
            let granted = ledger.lines().count() as i64;
            prop_assert_eq!(now.available + now.held + now.used + now.void, granted);
            prop_assert!(now.held + now.used <= granted);
        }
    }
}

//! What the store promises, in the fewest words: plain maps, one step at a time, nothing durable. The store is checked against it,
//! and lives are simulated on it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tixing::{
    domain::{
        MINUTE, Millis,
        consent::{Allowance, Balance, ConsentState, Feed, Feeds, Report, SAME_TAP, Ticket},
        draft::Change,
        due::{Due, UNSURE_AT_MOST},
        node::NodeId,
        push::{Candidate, Item, Joined, Push, Receipt, join},
        reason::TEMPLATE_SUSPENDED,
        reminder::{Accepted, Claim, NewReminder, ReminderId, State},
        settle::{Consent, Counted, Next, SUSPENDED_AT_MOST, Settlement, assumed_sent, received},
        story::Event,
    },
    store::{
        Inserted,
        change::Changed,
        port::{Body, Entry, Job, Marked, Target},
    },
};

/// The lane of the app `coffee`.
pub const LANE: i64 = 1;

#[derive(Debug, Clone)]
struct Row {
    lane: i64,
    new: NewReminder,
    events: Vec<Event>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Living {
    state: State,
    fence: i64,
    tries: u32,
    unsure: u32,
    doubt_since: Option<Millis>,
    /// Who marked it last and has not said what came of it, where there are several.
    node: Option<NodeId>,
}

#[derive(Debug, Clone)]
struct Grant {
    pair: Pair,
    event: Option<String>,
    standing: bool,
    /// From when on it is worth nothing.
    ends: Option<Millis>,
    /// What its send names.
    ticket: Option<String>,
    reminder: Option<ReminderId>,
    void: bool,
    /// Void, and the platform may know it all the same: it stays.
    lasting: bool,
    at: Millis,
    /// Who told of it; `None` if both did.
    feed: Option<Feed>,
}

impl Grant {
    fn free(&self) -> bool {
        !self.void && !self.standing && self.reminder.is_none()
    }

    fn good(&self, at: Millis) -> bool {
        self.ends.is_none_or(|ends| at < ends)
    }

    /// Nobody had it in time.
    fn ended(&self, now: Millis) -> bool {
        self.free() && !self.good(now)
    }
}

/// A user and a template.
type Pair = (String, String);

/// A reminder as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    pub id: ReminderId,
    pub openid: String,
    pub at: Millis,
    pub expires_at: Millis,
    pub data: String,
    pub claim: Claim,
    pub state: State,
    /// It comes from a schedule, which the model has none of.
    pub is_planned: bool,
}

fn may_have_arrived(event: &Event) -> bool {
    matches!(event.state, State::InDoubt | State::Sent | State::Unconfirmed)
        && (event.began_at.is_some() || event.code.as_deref() == Some("interrupted"))
}

/// The model of a store with one app alone.
#[derive(Debug, Default, Clone)]
pub struct Model {
    /// The lane that is read, and that new reminders go to: an app may have several.
    pub lane: i64,
    /// Who asks, if there are several.
    pub me: Option<NodeId>,
    /// Its templates, by their ids, and what one accept of each is worth.
    templates: Vec<(String, Allowance)>,
    last_id: i64,
    rows: BTreeMap<ReminderId, Row>,
    due: BTreeMap<(Millis, ReminderId), Living>,
    due_at: BTreeMap<ReminderId, Millis>,
    grants: Vec<Grant>,
    keys: BTreeMap<String, (ReminderId, String)>,
    users: Vec<String>,
    /// A backup was put in its place, or an operator had it on hold.
    restored: bool,
    /// On hold, in doubt about reminders up to this one.
    pub held: Option<ReminderId>,
    /// Whose word counts.
    feeds: Feeds,
    /// A fault, on purpose: whatever the platform refuses, all consents of the user are void.
    pub denies_all: bool,
    pushes: BTreeSet<String>,
    turned_off: BTreeMap<Pair, Millis>,
    receipts: BTreeSet<ReminderId>,
    /// Users who wished to be forgotten.
    forgotten: BTreeSet<String>,
    /// Keys of reminders that are no longer kept.
    spent_keys: BTreeSet<String>,
    /// Taps whose consents are no longer kept.
    spent_taps: BTreeSet<(Pair, String)>,
    /// All tickets that were told of.
    tickets: BTreeSet<String>,
}

/// What of the ended ones is no longer kept.
#[derive(Debug, Clone, Copy)]
pub enum Term {
    Bodies,
    Attempts,
    History,
}

impl Model {
    /// Of an app with these templates, whose accepts are told of by these feeds.
    pub fn of(templates: Vec<(String, Allowance)>, feeds: Feeds) -> Self {
        Self { lane: LANE, templates, feeds, ..Self::default() }
    }

    /// The number of a template.
    fn number(&self, code: &str) -> i64 {
        let i = self.templates.iter().position(|(known, _)| known == code);
        i64::try_from(i.expect("a template of the app")).expect("few") + 1
    }

    fn worth(&self, code: &str) -> Allowance {
        let known = self.templates.iter().find(|(known, _)| known == code);
        known.map_or(Allowance::Once, |(_, worth)| worth.clone())
    }

    /// Puts what was saved earlier in the place of what there is. Ids go on: no id is ever given out twice.
    pub fn restore(&mut self, saved: Self) {
        let held = Some(saved.last_id());
        *self = Self { last_id: self.last_id, restored: true, held, ..saved };
    }

    /// Consents may have come that it has forgotten: nothing is sent again for holding the only one.
    pub fn may_have_forgotten(&mut self) {
        self.restored = true;
    }

    /// The database has forgotten what came after this was saved. Ids go on, and so do the numbers of users.
    pub fn forget_since(&mut self, saved: Self) {
        let (last_id, users) = (self.last_id, std::mem::take(&mut self.users));
        *self = Self { last_id, users, ..saved };
    }

    /// Where a reminder stands, if it is there.
    pub fn find(&self, id: ReminderId) -> Option<State> {
        self.rows.contains_key(&id).then(|| self.state(id))
    }

    /// Whether a reminder stands as if nothing had happened to it that a node with this fence has done.
    pub fn may_be_sent(&self, id: ReminderId, fence: i64) -> Option<bool> {
        Some(match self.find(id)? {
            State::Scheduled => true,
            State::Sending | State::InDoubt => self.living(id).is_some_and(|(_, living)| living.fence < fence),
            _ => false,
        })
    }

    /// Inserts under an id that it had before.
    pub fn insert_as(&mut self, new: NewReminder, id: ReminderId) -> Inserted {
        let last_id = std::mem::replace(&mut self.last_id, id.0 - 1);
        let inserted = self.insert(new);
        self.last_id = self.last_id.max(last_id);
        inserted
    }

    /// The newest reminder.
    pub fn last_id(&self) -> ReminderId {
        self.rows.keys().last().copied().unwrap_or(ReminderId(0))
    }

    fn pair(new: &NewReminder) -> Pair {
        (new.openid.clone(), new.template.clone())
    }

    fn user(&mut self, openid: &str) -> i64 {
        let known = self.users.iter().position(|user| user == openid);
        let index = known.unwrap_or_else(|| {
            self.users.push(openid.to_owned());
            self.users.len() - 1
        });
        i64::try_from(index).expect("few") + 1
    }

    /// Books a tap, held by `reminder` if there is one; `false` if it adds nothing.
    fn grant(&mut self, pair: &Pair, tap: &Accepted, feed: Feed, reminder: Option<ReminderId>) -> bool {
        let (standing, ends, ticket, sends) = match tap.ticket.clone().unwrap_or_else(|| self.worth(&pair.1)) {
            Allowance::Once => (false, None, None, 1),
            Allowance::Standing => (true, None, None, 1),
            Allowance::Times { sends, period } => (false, Some(tap.at + period), None, sends),
            Allowance::Ticket { key, sends, until } => (false, until, Some(key), sends),
        };
        // A ticket is good for its sends once, whoever and whatever it is told of for.
        if ticket.as_ref().is_some_and(|key| !self.tickets.insert(key.clone())) {
            return false;
        }
        let same = |g: &Grant| tap.event.is_some() && g.pair == *pair && g.event == tap.event;
        let spent = tap.event.clone().is_some_and(|event| self.spent_taps.contains(&(pair.clone(), event)));
        if spent || self.grants.iter().any(same) || standing && self.stands(pair) {
            return false;
        }
        if self.feeds == Feeds::Reconcile {
            let told = |g: &&mut Grant| {
                g.pair == *pair && g.feed.is_some_and(|f| f != feed) && (g.at - tap.at).abs() <= SAME_TAP
            };
            if let Some(told) = self.grants.iter_mut().filter(told).min_by_key(|g| (g.at - tap.at).abs()) {
                told.feed = None;
                told.event = told.event.take().or_else(|| tap.event.clone());
                return false;
            }
        }
        let void = self.turned_off.get(pair).is_some_and(|off| tap.at <= *off);
        for n in 0..sends {
            let (pair, event, ticket) = (pair.clone(), tap.event.clone(), ticket.clone());
            let reminder = reminder.filter(|_| !void && n == 0);
            let (lasting, at, feed) = (false, tap.at, Some(feed));
            self.grants.push(Grant { pair, event, standing, ends, ticket, reminder, void, lasting, at, feed });
        }
        !void
    }

    /// What a platform pushes; answers how many consents it added.
    pub fn push(&mut self, push: &Push, now: Millis) -> usize {
        if !self.pushes.insert(push.digests().swap_remove(0)) || self.forgotten.contains(&push.openid) {
            return 0;
        }
        let mut added = 0;
        for item in &push.items {
            match item {
                Item::Answered { template, accepted: true } if self.feeds.counts(Feed::Platform) => {
                    let tap = Accepted { at: push.at, source: "callback".into(), event: None, ticket: None };
                    let pair = (push.openid.clone(), template.clone());
                    added += usize::from(self.grant(&pair, &tap, Feed::Platform, None));
                }
                Item::Answered { .. } => {}
                Item::TurnedOff { template } => {
                    let (pair, until) = ((push.openid.clone(), template.clone()), push.at + 999);
                    let off = self.turned_off.entry(pair.clone()).or_insert(until);
                    *off = until.max(*off);
                    self.void(&pair, until, None, None, "turned_off", now);
                }
                Item::Receipt(receipt) => self.book(push, receipt, now),
            }
        }
        added
    }

    fn book(&mut self, push: &Push, receipt: &Receipt, now: Millis) {
        let ours = |row: &Row| row.new.openid == push.openid && row.new.template == receipt.template;
        let ids: Vec<ReminderId> = self.rows.iter().filter(|(_, row)| ours(row)).map(|(id, _)| *id).collect();
        let may = |state| matches!(state, State::Sending | State::InDoubt | State::Sent | State::Unconfirmed);
        let ids: Vec<ReminderId> =
            ids.into_iter().filter(|id| may(self.state(*id)) || self.is_to_be_resent(*id)).collect();
        let candidates: Vec<Candidate> = ids
            .iter()
            .map(|id| Candidate {
                state: if self.is_to_be_resent(*id) { State::InDoubt } else { self.state(*id) },
                from: self.rows[id].new.at,
                until: if self.living(*id).is_some() {
                    Millis::MAX
                } else {
                    self.rows[id].events.last().map_or(Millis::MAX, |e| e.ended_at)
                },
                several: self.requests(*id) > 1,
                message_id: self.rows[id].events.last().and_then(|e| e.message_id.clone()),
                receipt: self.receipts.contains(id),
            })
            .collect();
        let Joined::To(i) = join(receipt, push.at, &candidates) else { return };
        self.receipts.insert(ids[i]);
        match candidates[i].state {
            State::InDoubt => {
                let settle =
                    Entry { target: self.target(ids[i]), settlement: received(), began_at: None, ended_at: now };
                self.settle(&[settle]);
            }
            State::Unconfirmed => {
                let last = self.rows.get_mut(&ids[i]).and_then(|row| row.events.last_mut()).expect("it has ended");
                let Settlement { code, reason, .. } = received();
                (last.state, last.code, last.reason, last.text) = (State::Sent, code, reason, None);
            }
            _ => {}
        }
    }

    /// How many requests of a reminder may have arrived.
    fn requests(&self, id: ReminderId) -> usize {
        let events = self.rows[&id].events.iter().filter(|e| may_have_arrived(e)).count();
        events + usize::from(self.state(id) == State::Sending)
    }

    /// An operator wants it sent again, and that has not happened yet.
    fn is_to_be_resent(&self, id: ReminderId) -> bool {
        self.living(id).is_some_and(|(_, living)| living.state == State::Scheduled && living.doubt_since.is_some())
    }

    /// What an operator decides about a doubt; `None` wants it sent again. Answers whether that was to be decided.
    pub fn resolve(&mut self, id: ReminderId, state: Option<State>, now: Millis) -> bool {
        let in_time = state.is_some() || self.rows.get(&id).is_some_and(|row| now < row.new.expires_at);
        let decides = self.rows.contains_key(&id) && self.state(id) == State::InDoubt && in_time;
        if decides {
            let next = state.map_or(Next::Again { due_at: now, counted: Counted::No }, Next::Final);
            let said = Settlement::end(State::Unconfirmed, "resolved", "somebody decided", Consent::Keep);
            let settlement = Settlement { next, ..said };
            let settle = Entry { target: self.target(id), settlement, began_at: None, ended_at: now };
            self.settle(&[settle]);
        }
        decides
    }

    fn stands(&self, pair: &Pair) -> bool {
        self.grants.iter().any(|g| g.pair == *pair && g.standing && !g.void)
    }

    /// The free consent that is good at `at` and ends first goes to `id`; of several the oldest.
    fn take(&mut self, pair: &Pair, id: ReminderId, at: Millis) -> bool {
        let free = self.grants.iter_mut().filter(|g| g.pair == *pair && g.free() && g.good(at));
        let first = free.min_by_key(|g| g.ends.unwrap_or(Millis::MAX));
        first.map(|grant| grant.reminder = Some(id)).is_some()
    }

    /// What a reminder has.
    fn held(&self, id: ReminderId) -> Option<&Grant> {
        self.grants.iter().find(|g| g.reminder == Some(id) && !g.void)
    }

    /// Writes down what has ended.
    pub fn end(&mut self, now: Millis) {
        self.grants.iter_mut().filter(|g| g.ended(now)).for_each(|grant| grant.void = true);
    }

    fn holds(&self, id: ReminderId) -> bool {
        self.grants.iter().any(|g| g.reminder == Some(id))
    }

    /// Answers how many consents it adds; `None` if the user wished to be forgotten.
    pub fn record(&mut self, report: &Report) -> Option<usize> {
        let accepts = self.feeds.counts(report.feed) && report.results.values().any(|accepted| *accepted);
        if accepts && self.forgotten.contains(&report.openid) {
            return None;
        }
        let mut added = 0;
        for code in report.results.iter().filter(|(_, accepted)| **accepted).map(|(code, _)| code) {
            let (pair, ticket) = ((report.openid.clone(), code.clone()), report.ticket.clone());
            let tap = Accepted { at: report.at, source: String::new(), event: report.event.clone(), ticket };
            if self.feeds.counts(report.feed) {
                added += usize::from(self.grant(&pair, &tap, report.feed, None));
            }
        }
        Some(added)
    }

    pub fn insert(&mut self, new: NewReminder) -> Inserted {
        if let Some((id, digest)) = new.key.as_ref().and_then(|key| self.keys.get(key)) {
            return match self.state(*id) {
                State::Cancelled => Inserted::KeyCancelled(*id),
                state if *digest == new.digest => Inserted::Replayed(*id, state),
                _ => Inserted::KeyConflict(*id),
            };
        }
        if self.forgotten.contains(&new.openid) {
            return Inserted::Forgotten;
        }
        if new.key.as_ref().is_some_and(|key| self.spent_keys.contains(key)) {
            return Inserted::Spent;
        }
        let pair = Self::pair(&new);
        let id = ReminderId(self.last_id + 1);
        let reserve = new.claim == Claim::Reserve && !new.standing;
        let tap = new.accepted.as_ref();
        let fresh = tap.is_some_and(|tap| self.grant(&pair, tap, Feed::Client, reserve.then_some(id)));
        let has = match (fresh, reserve) {
            (true, _) => true,
            (false, true) => self.take(&pair, id, new.at),
            (false, false) => new.claim == Claim::AtFire || self.stands(&pair),
        };
        if !has {
            let ends = self.grants.iter().filter(|g| g.pair == pair && g.free()).filter_map(|g| g.ends).max();
            return ends.filter(|ends| *ends <= new.at).map_or(Inserted::NoConsent, Inserted::ConsentsEnd);
        }
        self.last_id += 1;
        if let Some(key) = &new.key {
            self.keys.insert(key.clone(), (id, new.digest.clone()));
        }
        let state = State::Scheduled;
        self.place((new.at, id), Living { state, fence: 0, tries: 0, unsure: 0, doubt_since: None, node: None });
        self.rows.insert(id, Row { lane: self.lane, new, events: Vec::new() });
        Inserted::Created(id)
    }

    fn place(&mut self, key: (Millis, ReminderId), living: Living) {
        self.due.insert(key, living);
        self.due_at.insert(key.1, key.0);
    }

    fn displace(&mut self, key: &(Millis, ReminderId)) -> Option<Living> {
        self.due_at.remove(&key.1);
        self.due.remove(key)
    }

    fn living(&self, id: ReminderId) -> Option<(Millis, Living)> {
        let at = *self.due_at.get(&id)?;
        Some((at, self.due[&(at, id)]))
    }

    /// The fence of a reminder that has not ended.
    pub fn fence(&self, id: ReminderId) -> Option<i64> {
        Some(self.living(id)?.1.fence)
    }

    /// What waits and is due by `now`.
    pub fn waiting(&self, now: Millis) -> Vec<(Millis, ReminderId)> {
        let due = self.due.range(..=(now, ReminderId(i64::MAX)));
        due.filter(|(_, living)| living.state != State::Sending).map(|(key, _)| *key).collect()
    }

    /// The lane of a reminder.
    pub fn lane_of(&self, id: ReminderId) -> i64 {
        self.rows[&id].lane
    }

    /// Whether anything in a lane has not ended.
    pub fn lives_in(&self, lane: i64) -> bool {
        self.due.keys().any(|(_, id)| self.lane_of(*id) == lane)
    }

    fn state(&self, id: ReminderId) -> State {
        let ended = || self.rows[&id].events.last().map_or(State::Cancelled, |event| event.state);
        self.living(id).map_or_else(ended, |(_, living)| living.state)
    }

    fn job(&mut self, due_at: Millis, id: ReminderId) -> Job {
        let (living, row) = (self.due[&(due_at, id)], self.rows[&id].clone());
        let new = row.new;
        Job {
            due: Due {
                id,
                due_at,
                at: new.at,
                expires_at: new.expires_at,
                state: living.state,
                fence: living.fence,
                tries: living.tries,
                unsure: living.unsure,
                doubt_since: living.doubt_since,
            },
            lane: row.lane,
            recipient: self.user(&new.openid),
            template: self.number(&new.template),
            claim: new.claim,
            standing: new.standing,
            schedule: new.origin.map(|origin| origin.schedule),
            blind: false,
            marker: living.node,
            epoch: None,
            body: Arc::new(Body { openid: new.openid, page: new.page, data: new.data, options: new.options }),
        }
    }

    pub fn prefetch(&mut self, after: (Millis, i64), until: Millis, limit: usize) -> Vec<Job> {
        let here =
            |(at, id): &(Millis, ReminderId)| (*at, id.0) > after && *at <= until && self.lane_of(*id) == self.lane;
        let keys: Vec<_> = self.due.keys().copied().filter(here).take(limit).collect();
        keys.into_iter().map(|(at, id)| self.job(at, id)).collect()
    }

    pub fn past_deadline(&mut self, now: Millis, limit: usize) -> Vec<Job> {
        let mut jobs = self.prefetch((Millis::MIN, 0), now, usize::MAX);
        jobs.retain(|job| job.due.state == State::Scheduled && job.due.expires_at <= now);
        jobs.truncate(limit);
        jobs
    }

    /// Brings forward what waits because its template was held.
    pub fn wake_suspended(&mut self, now: Millis) -> u64 {
        let held = |(due_at, id): &(Millis, ReminderId), living: &Living| {
            *due_at > now
                && *due_at > self.rows[id].new.at
                && *due_at <= now + SUSPENDED_AT_MOST
                && self.lane_of(*id) == self.lane
                && living.state != State::Sending
                && self.rows[id].events.last().is_some_and(|event| event.code.as_deref() == Some(TEMPLATE_SUSPENDED))
        };
        let held: Vec<_> = self.due.iter().filter(|(key, living)| held(key, living)).map(|(key, _)| *key).collect();
        for key in &held {
            let mut living = self.displace(key).expect("just seen");
            living.fence += 1;
            self.place((now.max(self.rows[&key.1].new.at), key.1), living);
        }
        held.len() as u64
    }

    /// Whose it is now: its user may have been forgotten since it was read.
    fn pair_of(&self, job: &Job) -> Pair {
        let user = usize::try_from(job.recipient).expect("few") - 1;
        let template = usize::try_from(job.template).expect("few") - 1;
        (self.users[user].clone(), self.templates[template].0.clone())
    }

    /// Whether every other consent of the pair was spent by a message that was certainly accepted.
    fn sole(&self, job: &Job, now: Millis) -> bool {
        let pair = self.pair_of(job);
        let sent = |id: &ReminderId| self.living(*id).is_none() && self.state(*id) == State::Sent;
        let ticket = self.held(job.due.id).and_then(|grant| grant.ticket.clone());
        // What has ended for a minute pays for nothing, by the platform's clock either; nor does another ticket than the one that is named.
        let pays = |g: &&Grant| g.good(now - MINUTE) && (ticket.is_none() || g.ticket == ticket);
        let mut open =
            self.grants.iter().filter(|g| g.pair == pair && !g.reminder.as_ref().is_some_and(sent)).filter(pays);
        !self.restored
            && !job.standing
            && open.next().is_some_and(|g| g.reminder == Some(job.due.id))
            && open.next().is_none()
    }

    pub fn mark(&mut self, jobs: &[Job], now: Millis) -> Vec<Marked> {
        jobs.iter().map(|job| self.mark_one(job, now)).collect()
    }

    fn mark_one(&mut self, job: &Job, now: Millis) -> Marked {
        let (id, pair) = (job.due.id, self.pair_of(job));
        let doubtful = job.due.state == State::InDoubt || job.due.doubt_since.is_some();
        if let Some(ends_at) = self.held(id).and_then(|grant| grant.ends).filter(|_| !job.standing)
            && ends_at - if doubtful { MINUTE } else { 0 } <= now
        {
            return Marked::Ended { ends_at };
        }
        let off = self.turned_off.get(&pair).is_some_and(|off| *off >= job.due.at);
        if job.due.doubt_since.is_some() && off {
            return Marked::TurnedOff;
        }
        let only_if_sole =
            job.due.state == State::InDoubt || job.due.doubt_since.is_none() && job.due.unsure >= UNSURE_AT_MOST;
        if only_if_sole && !job.blind && !self.sole(job, now) {
            return Marked::NotSole;
        }
        let holding = job.due.fence > 0 && self.holds(id);
        let wants = job.claim == Claim::AtFire && !job.standing && !holding;
        if job.standing && !self.stands(&pair) {
            return Marked::NoConsent;
        }
        let current = self.due.get(&(job.due.due_at, id)).copied();
        let ours = current.is_some_and(|now| (now.state, now.fence) == (job.due.state, job.due.fence));
        if wants && !self.grants.iter().any(|g| g.pair == pair && g.free() && g.good(now)) {
            return Marked::NoConsent;
        }
        if !ours {
            return Marked::Late;
        }
        if wants {
            self.take(&pair, id, now);
        }
        let ticket = self.held(id).and_then(|grant| grant.ticket.as_deref()).map(Ticket::of);
        let living = self.due.get_mut(&(job.due.due_at, id)).expect("just seen");
        (living.state, living.fence, living.node) = (State::Sending, living.fence + 1, self.me);
        ticket.map_or(Marked::Yes, Marked::By)
    }

    /// Testimony of a call whose row another has written down as in doubt meanwhile, since its node was held for dead: it names the doubt.
    fn testified<'a>(&self, entry: &'a Entry) -> Cow<'a, Entry> {
        let Target { due, marker, epoch, .. } = &entry.target;
        let speaks = due.state == State::Sending && epoch.is_none() && !entry.settlement.leaves_open();
        let marker = *marker;
        let mut entry = Cow::Borrowed(entry);
        if let Some((due_at, living)) = self.living(entry.target.due.id).filter(|_| self.me.is_some() && speaks)
            && (living.state, living.fence) == (State::InDoubt, entry.target.due.fence + 1)
            && living.node.is_some_and(|node| marker.is_none_or(|marker| marker == node))
        {
            let due = &mut entry.to_mut().target.due;
            (due.state, due.due_at, due.fence) = (living.state, due_at, living.fence);
        }
        entry
    }

    /// Who has marked what is being sent.
    pub fn sending(&self) -> Vec<(ReminderId, Option<NodeId>)> {
        let sending = self.due.iter().filter(|(_, living)| living.state == State::Sending);
        sending.map(|((_, id), living)| (*id, living.node)).collect()
    }

    /// Who marked a reminder that is being sent; nothing of any other.
    pub fn marker(&self, id: ReminderId) -> Option<NodeId> {
        self.living(id).filter(|(_, living)| living.state == State::Sending).and_then(|(_, living)| living.node)
    }

    pub fn settle(&mut self, settles: &[Entry]) -> Vec<bool> {
        let settles: Vec<Cow<'_, Entry>> = settles.iter().map(|entry| self.testified(entry)).collect();
        let mut written = Vec::new();
        for settle in &settles {
            let due = &settle.target.due;
            let marked_by_another = |now: &Living| settle.target.taken_back().is_some_and(|by| now.node != Some(by));
            let ours = self
                .due
                .get(&(due.due_at, due.id))
                .is_some_and(|now| (now.state, now.fence) == (due.state, due.fence) && !marked_by_another(now));
            if ours {
                self.displace(&(due.due_at, due.id));
            }
            written.push(ours);
        }
        let kept = || settles.iter().zip(&written).filter(|(_, written)| **written).map(|(settle, _)| settle);
        for settle in kept() {
            let due = &settle.target.due;
            let known = settle.settlement.leaves_open() && self.receipts.contains(&due.id);
            let settlement = if known { received() } else { settle.settlement.clone() };
            let (state, again) = match settlement.next {
                Next::Final(state) => (state, None),
                Next::Again { due_at, counted } => (State::Scheduled, Some((due_at, counted))),
                Next::Doubt { look_at } => (State::InDoubt, Some((look_at, Counted::Delay))),
            };
            if let Some((due_at, counted)) = again {
                let since = (state == State::InDoubt).then_some(settle.ended_at);
                let doubt_since = due.doubt_since.or(since);
                let living = Living {
                    state,
                    fence: due.fence + 1,
                    tries: due.tries + u32::from(counted != Counted::No),
                    unsure: due.unsure + u32::from(counted == Counted::Unsure),
                    doubt_since,
                    node: settle
                        .target
                        .marker
                        .filter(|_| state == State::InDoubt && settle.target.taken_back().is_none()),
                };
                self.place((due_at, due.id), living);
            }
            let event = Event {
                began_at: settle.began_at,
                ended_at: settle.ended_at,
                state,
                code: settlement.code,
                reason: settlement.reason,
                text: settlement.text,
                message_id: settlement.message_id,
            };
            self.rows.get_mut(&due.id).expect("it was stored").events.push(event);
        }
        let ended = |settle: &&Cow<'_, Entry>| matches!(settle.settlement.next, Next::Final(_));
        for settle in kept().filter(ended).filter(|s| s.settlement.consent == Consent::Free) {
            let held = self.grants.iter_mut().filter(|g| g.reminder == Some(settle.target.due.id) && !g.void);
            held.for_each(|grant| grant.reminder = None);
        }
        for settle in kept().filter(ended).filter(|s| s.settlement.consent == Consent::Deny) {
            self.deny(settle.target.due.id, settle.ended_at);
        }
        written
    }

    /// The platform knows no consent of the user's: what is available or held by a reminder that waits is void, and ends it.
    fn deny(&mut self, by: ReminderId, now: Millis) {
        let pair = Self::pair(&self.rows[&by].new);
        // A ticket that is refused says nothing about the others.
        let refused = self.held(by).and_then(|grant| grant.ticket.clone());
        let refused = if self.denies_all { None } else { Some(refused) };
        self.void(&pair, Millis::MAX, Some(by), refused.as_ref(), "no_consent", now);
    }

    /// Voids what is certainly unspent; of one ticket alone, or of none, if it is said which.
    fn void(
        &mut self,
        pair: &Pair,
        until: Millis,
        by: Option<ReminderId>,
        ticket: Option<&Option<String>>,
        code: &str,
        now: Millis,
    ) {
        let waits = |model: &Self, id| {
            let waits = |living: Living| living.state == State::Scheduled && living.doubt_since.is_none();
            model.living(id).is_some_and(|(_, living)| waits(living))
        };
        let lost: Vec<usize> = (0..self.grants.len())
            .filter(|i| {
                let grant = &self.grants[*i];
                let lost = grant.reminder.is_none_or(|id| by == Some(id) || waits(self, id));
                let meant = ticket.is_none_or(|ticket| grant.ticket == *ticket);
                grant.pair == *pair && !grant.void && grant.at <= until && lost && meant
            })
            .collect();
        for i in lost {
            self.grants[i].void = true;
            if let Some(id) = self.grants[i].reminder.filter(|id| by != Some(*id)) {
                let due = self.living(id).is_some_and(|(due_at, _)| due_at <= now);
                let settlement = if due && self.held.is_some_and(|last| id <= last) {
                    Settlement { consent: Consent::Free, ..assumed_sent() }
                } else {
                    Settlement::end(State::Failed, code, "…", Consent::Keep)
                };
                let settle = Entry { target: self.target(id), settlement, began_at: None, ended_at: now };
                self.settle(&[settle]);
            }
        }
    }

    fn target(&mut self, id: ReminderId) -> Target {
        let (due_at, _) = self.living(id).expect("it lives");
        self.job(due_at, id).target(false)
    }

    pub fn cancel(&mut self, id: ReminderId, now: Millis) -> Changed {
        if !self.rows.contains_key(&id) {
            return Changed::NotFound;
        }
        match self.state(id) {
            State::Scheduled => {
                // What waits to be sent again may have arrived.
                let (state, consent) = match self.is_to_be_resent(id) {
                    true => (State::Unconfirmed, Consent::Keep),
                    false => (State::Cancelled, Consent::Free),
                };
                let settlement = Settlement::end(state, "cancelled", "its owner cancelled it", consent);
                let settle = Entry { target: self.target(id), settlement, began_at: None, ended_at: now };
                self.settle(&[settle]);
                Changed::Yes
            }
            other => Changed::NotScheduled(other),
        }
    }

    pub fn change(&mut self, id: ReminderId, change: &Change, now: Millis) -> Changed {
        if !self.rows.contains_key(&id) {
            return Changed::NotFound;
        }
        let state = self.state(id);
        if state != State::Scheduled {
            return Changed::NotScheduled(state);
        }
        let (due_at, mut living) = self.living(id).expect("it waits");
        let ends = self.held(id).and_then(|grant| grant.ends);
        let row = self.rows.get_mut(&id).expect("it is there");
        let held = row.events.last().is_some_and(|event| event.code.as_deref() == Some(TEMPLATE_SUSPENDED));
        let new = &mut row.new;
        let at = change.at.as_ref().map_or(new.at, |(at, _)| *at);
        if change.expires_at.unwrap_or(new.expires_at) <= at {
            return Changed::BadDeadline;
        }
        if let Some(ends_at) = ends.filter(|ends| change.at.is_some() && *ends <= at) {
            return Changed::ConsentEnds(ends_at);
        }
        if let Some((at, local_at)) = &change.at {
            (new.at, new.local_at) = (*at, local_at.clone());
        }
        new.expires_at = change.expires_at.unwrap_or(new.expires_at);
        new.data = change.data.clone().unwrap_or_else(|| new.data.clone());
        new.page = change.page.clone().unwrap_or_else(|| new.page.clone());
        let now_due = match &change.at {
            Some((at, _)) => *at,
            None if held && change.data.is_some() => now.max(new.at).min(due_at),
            None => due_at,
        };
        living.fence += 1;
        self.displace(&(due_at, id));
        self.place((now_due, id), living);
        Changed::Yes
    }

    /// A user wishes to be forgotten: what waits is cancelled, what may be under way is given up, and nobody knows whose it was.
    pub fn forget(&mut self, openid: &str, now: Millis) {
        self.forgotten.insert(openid.to_owned());
        let ids: Vec<ReminderId> =
            self.rows.iter().filter(|(_, r)| r.new.openid == openid).map(|(id, _)| *id).collect();
        for id in &ids {
            let Some((due_at, living)) = self.living(*id) else { continue };
            let waits = living.state == State::Scheduled && living.doubt_since.is_none();
            let held_back = self.held.is_some_and(|last| *id <= last) && due_at <= now;
            let state = if waits && !held_back { State::Cancelled } else { State::Unconfirmed };
            let consent = if waits { Consent::Free } else { Consent::Keep };
            let settlement = Settlement::end(state, "forgotten", "…", consent);
            let settle = Entry { target: self.target(*id), settlement, began_at: None, ended_at: now };
            self.settle(&[settle]);
        }
        let number = self.user(openid);
        let name = format!("forgotten {number}");
        self.users[usize::try_from(number).expect("few") - 1].clone_from(&name);
        for id in ids {
            let row = self.rows.get_mut(&id).expect("just seen");
            if let Some(key) = row.new.key.take() {
                self.keys.remove(&key);
                self.spent_keys.insert(key);
            }
            (row.new.openid, row.new.page, row.new.data) = (name.clone(), None, "{}".into());
            row.events.iter_mut().for_each(|event| event.message_id = None);
        }
        for grant in self.grants.iter_mut().filter(|g| g.pair.0 == openid) {
            self.spent_taps.extend(grant.event.take().map(|event| (grant.pair.clone(), event)));
            (grant.pair.0, grant.event, grant.ticket) = (name.clone(), None, None);
            grant.void |= grant.reminder.is_none();
        }
        self.turned_off.retain(|(user, _), _| user != openid);
    }

    /// They have come back. What the platform knows of their consents from before is not known here.
    pub fn let_in(&mut self, openid: &str, now: Millis) -> bool {
        let was = self.forgotten.remove(openid);
        for (template, _) in self.templates.iter().filter(|_| was) {
            let pair = (openid.to_owned(), template.clone());
            let (event, standing, reminder, void, lasting) = (None, false, None, true, true);
            self.grants.push(Grant {
                pair,
                event,
                standing,
                ends: None,
                ticket: None,
                reminder,
                void,
                lasting,
                at: now,
                feed: Some(Feed::Client),
            });
        }
        was
    }

    /// The term of everything that has ended is over.
    pub fn erase(&mut self, term: Term, now: Millis) {
        self.end(now);
        let ended: Vec<ReminderId> = self.rows.keys().copied().filter(|id| self.living(*id).is_none()).collect();
        for id in ended {
            let row = self.rows.get_mut(&id).expect("just seen");
            match term {
                Term::Bodies => (row.new.page, row.new.data) = (None, "{}".into()),
                Term::Attempts => {
                    let last = row.events.len().saturating_sub(1);
                    row.events.drain(..last);
                    row.events.iter_mut().for_each(|e| (e.reason, e.text, e.message_id) = (None, None, None));
                }
                Term::History => self.erase_whole(id),
            }
        }
        if matches!(term, Term::History) {
            self.erase_users();
        }
    }

    fn erase_whole(&mut self, id: ReminderId) {
        let sent = self.state(id) == State::Sent;
        let row = self.rows.remove(&id).expect("it is there");
        if let Some(key) = row.new.key {
            self.keys.remove(&key);
            self.spent_keys.insert(key);
        }
        self.receipts.remove(&id);
        for mut grant in std::mem::take(&mut self.grants) {
            if grant.reminder == Some(id) && sent && !grant.void {
                self.spent_taps.extend(grant.event.map(|event| (grant.pair, event)));
                continue;
            }
            if grant.reminder == Some(id) {
                (grant.lasting, grant.void, grant.reminder) = (grant.lasting || !grant.void, true, None);
            }
            self.grants.push(grant);
        }
    }

    fn erase_users(&mut self) {
        let kept: BTreeSet<String> = (self.rows.values().map(|row| row.new.openid.clone()))
            .chain(self.grants.iter().filter(|g| !g.void || g.lasting).map(|g| g.pair.0.clone()))
            .collect();
        let (stay, go) = std::mem::take(&mut self.grants).into_iter().partition(|g| kept.contains(&g.pair.0));
        self.grants = stay;
        let go: Vec<Grant> = go;
        self.spent_taps.extend(go.into_iter().filter_map(|g| Some((g.pair, g.event?))));
        self.turned_off.retain(|(user, _), _| kept.contains(user));
    }

    /// A deliberate fault: what is told of once more is taken for new.
    pub fn forget_tickets(&mut self) {
        self.tickets.clear();
    }

    pub fn everything(&self) -> Vec<Seen> {
        let seen = |(id, row): (&ReminderId, &Row)| Seen {
            id: *id,
            openid: row.new.openid.clone(),
            at: row.new.at,
            expires_at: row.new.expires_at,
            data: row.new.data.clone(),
            claim: row.new.claim,
            state: self.state(*id),
            is_planned: false,
        };
        self.rows.iter().map(seen).collect()
    }

    pub fn events(&self, id: ReminderId) -> Vec<Event> {
        self.rows.get(&id).map(|row| row.events.clone()).unwrap_or_default()
    }

    pub fn balance(&self, openid: &str, template: &str, now: Millis) -> Balance {
        let mut balance = Balance::default();
        for grant in self.grants.iter().filter(|g| g.pair.0 == openid && g.pair.1 == template) {
            balance.add(match grant.reminder {
                _ if grant.void || grant.ended(now) => ConsentState::Void,
                None => ConsentState::Available,
                Some(id) if self.living(id).is_some() => ConsentState::Held,
                Some(_) => ConsentState::Used,
            });
        }
        balance
    }
}

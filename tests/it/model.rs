//! The store against its model: random histories, shrunk to the shortest that differs, on both databases.

use crate::{
    allowances::limited,
    harness::{
        DIGEST, EVENT, START, accept, databases, fresh_url,
        model::{LANE, Model, Term},
        reminder, wish,
    },
};
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, RngSeed, TestRunner},
};
use std::sync::Arc;
use tixing::{
    clock::{Clock, ManualClock},
    config::Durability,
    domain::{
        DAY, Millis,
        consent::{Allowance, Balance, Feeds, Report},
        draft::Change,
        push::{Item, Push, Receipt},
        reason::TEMPLATE_SUSPENDED,
        reminder::{Accepted, Claim, NewReminder, ReminderId, State},
        retention::Retention,
        settle::{Consent, Counted, Next, Settlement},
        template::Times,
    },
    store::{
        Inserted, Store,
        change::Changed,
        doubts::{Decided, Resolved, Verdict},
        lists::Filter,
        port::{Entry, Job, Queue},
        pushes::NewPush,
        retention::Walk,
    },
};

/// One step of a history. Numbers are taken modulo what there is.
#[derive(Debug, Clone)]
enum Step {
    Report {
        user: u8,
        standing: bool,
        event: Option<u8>,
        ticket: Option<Brought>,
    },
    Insert {
        user: u8,
        standing: bool,
        at_fire: bool,
        accepted: Option<Option<u8>>,
        key: Option<u8>,
        digest: bool,
        due: u16,
        ticket: Option<Brought>,
    },
    /// So many seconds.
    Pass {
        seconds: u16,
    },
    Look,
    Mark {
        look: usize,
        job: usize,
    },
    Settle {
        look: usize,
        job: usize,
        marked: bool,
        how: usize,
    },
    Cancel {
        which: usize,
    },
    Forget {
        user: u8,
    },
    LetIn {
        user: u8,
    },
    Erase {
        term: Term,
    },
    Change {
        which: usize,
        at: Option<u16>,
        /// Another deadline, in seconds after the start: another change may have moved the instant behind it.
        expires: Option<u16>,
        body: bool,
    },
    /// An operator decides; `how` wants it sent again for 2.
    Resolve {
        which: usize,
        how: u8,
    },
    TurnOff {
        user: u8,
    },
    Receipt {
        user: u8,
    },
}

/// A ticket: which of three, good for one, two or three sends, and when it ends, in seconds after the start.
#[derive(Debug, Clone, Copy)]
struct Brought {
    which: u8,
    until: Option<u16>,
}

impl Brought {
    fn allowance(self) -> Allowance {
        let until = self.until.map(|until| START + Millis::from(until) * 1_000);
        Allowance::Ticket { key: format!("form:f{}", self.which), sends: u32::from(self.which) + 1, until }
    }
}

fn step() -> impl Strategy<Value = Step> {
    let event = || proptest::option::of(0..4_u8);
    let ends = proptest::option::of(0..120_u16);
    let ticket = (0..3_u8, ends).prop_map(|(which, until)| Brought { which, until });
    let ticket = || proptest::option::weighted(0.3, ticket.clone());
    let claims = (any::<bool>(), any::<bool>(), ticket());
    let insert = (0..3_u8, claims, proptest::option::of(event()), event(), any::<bool>(), 0..900_u16);
    prop_oneof![
        2 => (0..3_u8, any::<bool>(), event(), ticket()).prop_map(|(user, standing, event, ticket)| Step::Report { user, standing, event, ticket }),
        4 => insert.prop_map(|(user, (standing, at_fire, ticket), accepted, key, digest, due)| Step::Insert { user, standing, at_fire, accepted, key, digest, due, ticket }),
        1 => (0..60_u16).prop_map(|seconds| Step::Pass { seconds }),
        2 => Just(Step::Look),
        4 => (any::<usize>(), any::<usize>()).prop_map(|(look, job)| Step::Mark { look, job }),
        4 => (any::<usize>(), any::<usize>(), any::<bool>(), any::<usize>()).prop_map(|(look, job, marked, how)| Step::Settle { look, job, marked, how }),
        1 => any::<usize>().prop_map(|which| Step::Cancel { which }),
        1 => (0..3_u8).prop_map(|user| Step::Forget { user }),
        1 => (0..3_u8).prop_map(|user| Step::LetIn { user }),
        1 => prop_oneof![Just(Term::Bodies), Just(Term::Attempts), Just(Term::History)].prop_map(|term| Step::Erase { term }),
        1 => (any::<usize>(), proptest::option::of(0..900_u16), proptest::option::of(0..3_600_u16), any::<bool>())
            .prop_map(|(which, at, expires, body)| Step::Change { which, at, expires, body }),
        2 => (any::<usize>(), 0..3_u8).prop_map(|(which, how)| Step::Resolve { which, how }),
        1 => (0..3_u8).prop_map(|user| Step::TurnOff { user }),
        1 => (0..3_u8).prop_map(|user| Step::Receipt { user }),
    ]
}

fn settlements() -> [Settlement; 11] {
    let end = |state, code, consent| Settlement::end(state, code, "…", consent);
    let sent = Settlement { code: None, text: None, ..end(State::Sent, "", Consent::Keep) };
    let again = |next| Settlement { next, ..end(State::Sent, "-1", Consent::Keep) };
    [
        sent.clone(),
        sent,
        end(State::Failed, "47003", Consent::Free),
        end(State::Failed, "43101", Consent::Deny),
        end(State::Expired, "expired", Consent::Free),
        end(State::Unconfirmed, "unconfirmed", Consent::Keep),
        again(Next::Again { due_at: START + 950, counted: Counted::Delay }),
        again(Next::Again { due_at: START + 955, counted: Counted::Unsure }),
        Settlement {
            code: Some(TEMPLATE_SUSPENDED.into()),
            ..again(Next::Again { due_at: START + 970, counted: Counted::No })
        },
        again(Next::Doubt { look_at: START + 960 }),
        again(Next::Doubt { look_at: START + 961 }),
    ]
}

/// What is told of a tap: a ticket is its own event.
fn told(event: Option<u8>, ticket: Option<Brought>) -> (Option<String>, Option<Allowance>) {
    let ticket = ticket.map(Brought::allowance);
    let key = ticket.as_ref().and_then(Allowance::ticket).map(str::to_owned);
    (key.or(event.map(|e| format!("e{e}"))), ticket)
}

/// Who it is, unless they wished to be forgotten.
fn who(openid: &str) -> &str {
    openid.split(' ').next().expect("a word")
}

fn add(sums: &mut [i64; 4], more: &[[i64; 4]; 2]) {
    for (i, sum) in sums.iter_mut().enumerate() {
        *sum += more[0][i] + more[1][i];
    }
}

/// The store and the model side by side.
struct Pair {
    store: Store,
    clock: Arc<ManualClock>,
    /// Time has passed, or a ticket was brought: consents may have ended.
    can_end: bool,
    model: Model,
    /// Each reminder's id here and there.
    ids: Vec<(ReminderId, ReminderId)>,
    /// What was read at one moment, here and there.
    looks: Vec<(Vec<Job>, Vec<Job>)>,
    /// Somebody was forgotten.
    forgot: bool,
    /// How often the platform pushed.
    pushes: i64,
}

/// What of a job must agree.
fn shape(job: &Job) -> impl PartialEq + std::fmt::Debug + use<> {
    let d = &job.due;
    (
        d.due_at,
        d.at,
        d.expires_at,
        d.state,
        d.fence,
        (d.tries, d.unsure, d.doubt_since),
        job.claim,
        job.standing,
        job.body.openid.clone(),
        job.body.data.clone(),
    )
}

impl Pair {
    async fn take(&mut self, step: &Step) {
        match step {
            Step::Report { user, standing, event, ticket } => {
                let template = if *standing { DIGEST } else { EVENT };
                self.can_end |= ticket.is_some();
                let (event, ticket) = told(*event, ticket.filter(|_| !standing));
                let report =
                    Report { event, ticket, at: self.now(), ..accept("coffee", &format!("o{user}"), template) };
                let added = self.store.record(vec![report.clone()]).await.expect("answers");
                assert_eq!(added, [self.model.record(&report)]);
            }
            Step::Insert { user, standing, at_fire, accepted, key, digest, due, ticket } => {
                let at = START + Millis::from(*due);
                self.can_end |= ticket.is_some();
                let accepted = accepted.as_ref().map(|event| {
                    let (event, ticket) = told(*event, ticket.filter(|_| !standing));
                    Accepted { at: self.now(), source: "test".into(), event, ticket }
                });
                let new = NewReminder {
                    standing: *standing,
                    template: if *standing { DIGEST } else { EVENT }.into(),
                    claim: if *at_fire { Claim::AtFire } else { Claim::Reserve },
                    accepted,
                    key: key.map(|k| format!("k{k}")),
                    digest: if *digest { "a" } else { "b" }.into(),
                    ..reminder(&format!("o{user}"), at)
                };
                let here = self.store.insert(vec![new.clone()]).await.expect("answers")[0];
                let there = self.model.insert(new);
                if let (Inserted::Created(here), Inserted::Created(there)) = (here, there) {
                    self.ids.push((here, there));
                }
                let theirs = |id| self.ids.iter().find(|(here, _)| *here == id).expect("known").1;
                let here = match here {
                    Inserted::Created(id) => Inserted::Created(theirs(id)),
                    Inserted::Replayed(id, state) => Inserted::Replayed(theirs(id), state),
                    Inserted::KeyCancelled(id) => Inserted::KeyCancelled(theirs(id)),
                    Inserted::KeyConflict(id) => Inserted::KeyConflict(theirs(id)),
                    Inserted::NoConsent => Inserted::NoConsent,
                    Inserted::ConsentsEnd(_) | Inserted::Forgotten | Inserted::Spent | Inserted::Refused => here,
                };
                assert_eq!(here, there);
            }
            Step::Pass { seconds } => {
                self.clock.advance(Millis::from(*seconds) * 1_000);
                self.can_end = true;
            }
            Step::Look => {
                let here = self.store.prefetch(LANE, (Millis::MIN, 0), Millis::MAX, 100).await.expect("answers");
                let there = self.model.prefetch((Millis::MIN, 0), Millis::MAX, 100);
                assert_eq!(here.iter().map(shape).collect::<Vec<_>>(), there.iter().map(shape).collect::<Vec<_>>());
                let late =
                    self.store.past_deadline(LANE, START + 3_600_300, 100, Default::default()).await.expect("answers");
                assert_eq!(late.len(), self.model.past_deadline(START + 3_600_300, 100).len());
                self.looks.push((here, there));
            }
            Step::Mark { look, job } => {
                let Some((here, there)) = self.seen(*look, *job) else { return };
                let marked = self.store.mark(vec![here]).await.expect("answers");
                assert_eq!(marked, self.model.mark(&[there], self.now()));
            }
            Step::Settle { look, job, marked, how } => {
                let Some((here, there)) = self.seen(*look, *job) else { return };
                let mut all = settlements().to_vec();
                if !marked && here.due.state == State::Scheduled {
                    // Nothing was sent: it cannot have been accepted or denied.
                    all.retain(|s| s.consent == Consent::Free);
                }
                let settle = |job: &Job| Entry {
                    target: job.target(*marked),
                    settlement: all[how % all.len()].clone(),
                    began_at: None,
                    ended_at: START,
                };
                let written = self.store.settle(vec![settle(&here)]).await.expect("answers");
                assert_eq!(written, self.model.settle(&[settle(&there)]));
            }
            Step::Forget { user } => {
                let openid = format!("o{user}");
                self.store.forget(wish(&openid)).await.expect("answers");
                self.model.forget(&openid, self.now());
                self.forgot = true;
            }
            Step::LetIn { user } => {
                let openid = format!("o{user}");
                let was = self.store.let_in(wish(&openid)).await.expect("answers");
                assert_eq!(was, self.model.let_in(&openid, self.now()));
            }
            Step::Erase { term } => {
                let (now, all) = (START + DAY, Some(0));
                let terms = match term {
                    Term::Bodies => Retention { bodies: all, ..Retention::default() },
                    Term::Attempts => Retention { attempts: all, ..Retention::default() },
                    Term::History => Retention { history: all, ..Retention::default() },
                };
                self.store.erase_step(&mut Walk::default(), &terms, now).await.expect("answers");
                // What ends is looked at by the store's own clock.
                self.model.erase(*term, self.now());
                // Nobody holds what was read a day ago.
                self.looks.clear();
            }
            Step::Cancel { which } => {
                let Some((here, there)) = self.known(*which) else { return };
                assert_eq!(self.store.cancel(here).await.expect("answers"), self.model.cancel(there, self.now()));
            }
            Step::Change { which, at, expires, body } => {
                let Some((here, there)) = self.known(*which) else { return };
                let at = at.map(|at| START + Millis::from(at) * 1_000);
                let expires = expires.map(|expires| START + Millis::from(expires) * 1_000);
                let change = Change {
                    at: at.map(|at| (at, None)),
                    expires_at: expires.or(at.map(|at| at + 3_600_000)),
                    data: body.then(|| r#"{"thing1":"other","time2":"10:00"}"#.to_owned()),
                    ..Change::default()
                };
                let changed: Changed = self.store.change(here, change.clone()).await.expect("answers");
                assert_eq!(changed, self.model.change(there, &change, self.now()));
            }
            Step::Resolve { which, how } => {
                let Some((here, there)) = self.known(*which) else { return };
                let (verdict, state) = match how {
                    0 => (Verdict::Sent, Some(State::Sent)),
                    1 => (Verdict::Unconfirmed, Some(State::Unconfirmed)),
                    _ => (Verdict::Resend, None),
                };
                if self.model.everything().iter().any(|s| s.id == there && s.state != State::InDoubt) {
                    // Corrections of what has ended are no part of the model.
                    return;
                }
                let decided = Decided { id: here, verdict, actor: tixing::words::Message::text("test") };
                let resolved = self.store.resolve(decided).await.expect("answers");
                assert_eq!(resolved == Resolved::Yes, self.model.resolve(there, state, self.now()));
            }
            Step::TurnOff { user } => self.push(*user, Item::TurnedOff { template: EVENT.into() }).await,
            Step::Receipt { user } => {
                let receipt = Receipt { template: EVENT.into(), message_id: None, failure: None, text: String::new() };
                self.push(*user, Item::Receipt(receipt)).await;
            }
        }
    }

    async fn push(&mut self, user: u8, item: Item) {
        self.pushes += 1;
        // A second each, so that none is taken for the one before.
        let push = Push { openid: format!("o{user}"), at: START + self.pushes * 1_000, items: vec![item], id: None };
        let taken = self.store.push(NewPush { app: "coffee".into(), push: push.clone() }).await.expect("answers");
        assert_eq!(taken.granted, self.model.push(&push, self.now()));
    }

    fn now(&self) -> Millis {
        self.clock.now()
    }

    fn seen(&self, look: usize, job: usize) -> Option<(Job, Job)> {
        let (here, there) = self.looks.get(look.checked_rem(self.looks.len())?)?;
        let job = job.checked_rem(here.len())?;
        Some((here[job].clone(), there[job].clone()))
    }

    fn known(&self, which: usize) -> Option<(ReminderId, ReminderId)> {
        Some(self.ids[which.checked_rem(self.ids.len())?])
    }

    /// A user's consents of each template, here and there.
    async fn of(&self, openid: &str) -> ([[i64; 4]; 2], [[i64; 4]; 2]) {
        let balances = self.store.balances("coffee", openid).await.expect("answers");
        let of = |b: Balance| [b.available, b.held, b.used, b.void];
        let here = [EVENT, DIGEST].map(|template| of(balances.get(template).copied().unwrap_or_default()));
        (here, [EVENT, DIGEST].map(|template| of(self.model.balance(openid, template, self.now()))))
    }

    /// Rows, events, balances and the counts beside them agree, and so the ledger balances (I4).
    async fn check(&mut self, at_the_end: bool) {
        // What has ended is written down, as the daemon does now and then.
        if self.can_end {
            self.store.erase_step(&mut Walk::default(), &Retention::default(), self.now()).await.expect("answers");
            self.model.end(self.now());
        }
        let filter = Filter { apps: vec!["coffee".into()], limit: 1_000, ..Filter::default() };
        let mut here = self.store.list(&filter).await.expect("answers");
        here.sort_by_key(|s| s.due.id);
        let there = self.model.everything();
        let tally = &self.store.tally().await.expect("answers")["coffee"];
        for state in State::ALL {
            let count = there.iter().filter(|s| s.state == state).count() as i64;
            assert_eq!(tally[state.word()], count, "{}", state.word());
        }
        assert_eq!(here.len(), there.len());
        for (here, there) in here.iter().zip(&there) {
            assert_eq!(
                (here.due.at, here.due.expires_at, here.due.state, &here.data, who(&here.openid)),
                (there.at, there.expires_at, there.state, &there.data, who(&there.openid))
            );
            let events = self.store.events(here).await.expect("answers");
            let short = |events: Vec<tixing::domain::story::Event>| -> Vec<_> {
                events.into_iter().map(|e| (e.state, e.code, e.began_at)).collect()
            };
            assert_eq!(short(events), short(self.model.events(there.id)));
        }
        let mut sums = [0; 4];
        for openid in ["o0", "o1", "o2"] {
            let (here, there) = self.of(openid).await;
            assert_eq!(here, there, "{openid}: available, held, used, void of each template");
            add(&mut sums, &here);
        }
        if self.forgot {
            // They have other numbers here and there, and together the same consents.
            if !at_the_end {
                return;
            }
            let mut theirs = [0; 4];
            for n in 1..=60 {
                let (here, there) = self.of(&format!("forgotten {n}")).await;
                add(&mut sums, &here);
                add(&mut theirs, &there);
            }
            for openid in ["o0", "o1", "o2"] {
                add(&mut theirs, &self.of(openid).await.1);
            }
            assert_eq!(sums, theirs, "available, held, used, void of all");
        }
        let counts = ["available", "held", "used", "void"].map(|what| tally[&format!("consent_{what}")]);
        assert_eq!(counts, sums, "I4: the counts beside the rows: available, held, used, void");
    }
}

#[test]
fn i4_the_store_does_what_its_model_does() {
    let seed = std::env::var("TIXING_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(rand::random);
    eprintln!("TIXING_SEED={seed} replays these histories; PROPTEST_CASES sets how many");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    for database in databases() {
        let cases = if database == "sqlite" { 150 } else { 40 };
        let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(cases);
        let config = Config { cases, rng_seed: RngSeed::Fixed(seed), failure_persistence: None, ..Config::default() };
        let times = proptest::option::of((1..4_u32, 1..120_i64));
        let times = times.prop_map(|times| times.map(|(sends, period)| Times { sends, period: period * 1_000 }));
        let result = TestRunner::new(config).run(&(times, vec(step(), 1..40)), |(times, steps)| {
            runtime.block_on(async {
                let folder = tempfile::tempdir().expect("a folder");
                let (url, clock) = (fresh_url(database, folder.path()), ManualClock::at(START));
                let mut apps = limited();
                let event = apps[0].templates.iter_mut().find(|template| template.code == EVENT).expect("has it");
                event.times = times;
                let worth = vec![(EVENT.into(), event.allowance()), (DIGEST.into(), Allowance::Standing)];
                let store = Store::open(&url, Durability::Full, &apps, clock.clone()).await.expect("the store opens");
                let mut pair = Pair {
                    store,
                    clock,
                    can_end: false,
                    model: Model::of(worth, Feeds::Client),
                    ids: Vec::new(),
                    looks: Vec::new(),
                    forgot: false,
                    pushes: 0,
                };
                for (n, step) in steps.iter().enumerate() {
                    pair.take(step).await;
                    pair.check(n + 1 == steps.len()).await;
                }
                pair.store.close().await;
            });
            Ok(())
        });
        if let Err(e) = result {
            panic!("{database}: {e}");
        }
    }
}

/// A check that asks what it checks would find nothing.
#[test]
fn the_model_does_not_ask_the_ledger() {
    assert!(!include_str!("harness/model.rs").contains("ledger::"));
}

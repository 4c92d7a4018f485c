//! What an accept can be worth beside one send: several within a time, or a ticket that its sends name. No platform that is built has both, so
//! the tests make one that has.

use crate::{
    harness::{DIGEST, EVENT, START, TestStore, accept, apps, on_both_of, reminder, wish},
    store::{balance, check_ledger, created, due, sent, settle},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::collections::BTreeMap;
use tixing::{
    config::App,
    domain::{
        DAY, HOUR, MINUTE, Millis,
        consent::{Allowance, Balance, Report, Ticket, TicketKind, Tickets},
        draft::Change,
        reason::Reason,
        reminder::{Accepted, Claim, NewReminder, State},
        retention::Retention,
        settle::{Consent, Counted, Next, Settlement},
        template::Times,
    },
    platform::{Facts, wechat},
    store::{
        Inserted, Store,
        change::Changed,
        port::{Marked, Queue},
        retention::Walk,
    },
};

const TICKETS: &[TicketKind] = &[
    TicketKind { word: "form", sends: 1, lives: Some(7 * DAY), minted: false },
    TicketKind { word: "payment", sends: 3, lives: Some(7 * DAY), minted: false },
    TicketKind { word: "subscribe", sends: 1, lives: None, minted: true },
];

pub const LIMITED: Facts =
    Facts { word: "limited", accepts_many: true, tickets: Tickets { kinds: TICKETS, needed: false }, ..wechat::FACTS };

/// `coffee` on a platform with tickets, where one accept of its event template is worth two sends within a day.
pub fn limited() -> Vec<App> {
    let mut apps = apps("http://127.0.0.1:1");
    apps[0].platform = &LIMITED;
    let template = apps[0].templates.iter_mut().find(|template| template.code == EVENT).expect("has it");
    template.times = Some(Times { sends: 2, period: DAY });
    apps
}

pub fn ticket(kind: &str, id: &str, at: Millis) -> Allowance {
    let known = TICKETS.iter().find(|known| known.word == kind).expect("known");
    let key = Ticket { kind: kind.into(), id: id.into() }.key();
    Allowance::Ticket { key, sends: known.sends, until: known.lives.map(|lives| at + lives) }
}

/// A report of a ticket, at an instant.
pub fn with_ticket(openid: &str, at: Millis, allowance: Allowance) -> Report {
    let event = allowance.ticket().map(str::to_owned);
    Report { at, event, ticket: Some(allowance), ..accept("coffee", openid, EVENT) }
}

/// Writes down what has ended.
async fn end(store: &Store, now: Millis) -> u64 {
    let walk = &mut Walk::default();
    store.erase_step(walk, &Retention::default(), now).await.expect("answers").ended
}

#[tokio::test]
async fn an_accept_of_two_sends_is_two_consents_that_end_together() {
    on_both_of(&limited(), async |TestStore { store, clock, .. }| {
        let b = |available, held, used, void| Balance { available, held, used, void };
        store.record(vec![accept("coffee", "o1", EVENT)]).await.expect("recorded");
        assert_eq!(balance(&store, "o1").await, b(2, 0, 0, 0));
        created(&store, reminder("o1", START + HOUR)).await;
        let beyond = store.insert(vec![reminder("o1", START + DAY)]).await.expect("answers");
        assert_eq!(beyond, [Inserted::ConsentsEnd(START + DAY)]);
        let jobs = due(&store, START + HOUR).await;
        assert_eq!(store.mark(jobs.clone()).await.expect("answers"), [Marked::Yes], "no ticket pays for it");
        store.settle(vec![settle(&jobs[0], true, sent())]).await.expect("answers");
        assert_eq!(balance(&store, "o1").await, b(1, 0, 1, 0));

        clock.advance(DAY - 1);
        assert_eq!((balance(&store, "o1").await, end(&store, START + DAY - 1).await), (b(1, 0, 1, 0), 0));
        assert_eq!(store.consented("coffee", EVENT, 0, 9).await.expect("answers").len(), 1);
        clock.advance(1);
        // It counts as void at once, and is written down a little later.
        assert_eq!(balance(&store, "o1").await, b(0, 0, 1, 1));
        assert!(store.consented("coffee", EVENT, 0, 9).await.expect("answers").is_empty());
        assert_eq!(store.insert(vec![reminder("o1", START + 2 * DAY)]).await.expect("answers").len(), 1);
        assert_eq!((end(&store, START + DAY).await, end(&store, START + DAY).await), (1, 0));
        assert_eq!(balance(&store, "o1").await, b(0, 0, 1, 1));
        check_ledger(&store, &["o1"]).await;
        let history = store.consents("coffee", "o1").await.expect("answers");
        assert_eq!((history[1].ends_at, history[1].void_reason.as_deref()), (Some(START + DAY), Some("ended")));
    })
    .await;
}

#[tokio::test]
async fn a_ticket_pays_for_its_sends_and_counts_once() {
    on_both_of(&limited(), async |TestStore { store, .. }| {
        let payment = ticket("payment", "p1", START);
        let report = || with_ticket("o1", START, payment.clone());
        assert_eq!(store.record(vec![report(), report()]).await.expect("answers"), [Some(1), Some(0)]);
        assert_eq!(store.record(vec![report()]).await.expect("answers"), [Some(0)]);
        assert_eq!(balance(&store, "o1").await.available, 3);
        let tap = Accepted { at: START, source: "t".into(), event: Some("payment:p1".into()), ticket: Some(payment) };
        for n in 0..3 {
            created(&store, NewReminder { accepted: Some(tap.clone()), ..reminder("o1", START + n) }).await;
        }
        let fourth = NewReminder { accepted: Some(tap), ..reminder("o1", START + 3) };
        assert_eq!(store.insert(vec![fourth]).await.expect("answers"), [Inserted::NoConsent]);
        let jobs = due(&store, START + 3).await;
        let by = Marked::By(Ticket { kind: "payment".into(), id: "p1".into() });
        assert_eq!(store.mark(jobs.clone()).await.expect("answers"), [by.clone(), by.clone(), by]);
        let history = store.consents("coffee", "o1").await.expect("answers");
        assert_eq!(history[0].ticket.as_ref().map(Ticket::key).as_deref(), Some("payment:p1"));
        check_ledger(&store, &["o1"]).await;
    })
    .await;
}

#[tokio::test]
async fn i1_a_ticket_pays_for_the_template_that_it_was_first_told_for_and_for_no_other() {
    on_both_of(&limited(), async |TestStore { store, .. }| {
        let form = |openid: &str, id: &str, template: &str| Report {
            results: [(template.to_owned(), true)].into(),
            ..with_ticket(openid, START, ticket("form", id, START))
        };
        // In one batch, and in another.
        let both = vec![form("o1", "f1", EVENT), form("o1", "f1", DIGEST), form("o2", "f1", EVENT)];
        assert_eq!(store.record(both).await.expect("answers"), [Some(1), Some(0), Some(0)]);
        let again = vec![form("o1", "f1", DIGEST), form("o2", "f1", DIGEST), form("o1", "f2", DIGEST)];
        assert_eq!(store.record(again).await.expect("answers"), [Some(0), Some(0), Some(1)]);
        // The same with a reminder that brings it.
        let tap = |id: &str| {
            let allowance = ticket("form", id, START);
            Accepted {
                at: START,
                source: "t".into(),
                event: allowance.ticket().map(str::to_owned),
                ticket: Some(allowance),
            }
        };
        let bring = |id: &str, openid: &str| NewReminder { accepted: Some(tap(id)), ..reminder(openid, START) };
        let news = vec![bring("f2", "o3"), bring("f3", "o3"), bring("f3", "o4")];
        let verdicts = store.insert(news).await.expect("answers");
        assert!(
            matches!(verdicts[..], [Inserted::NoConsent, Inserted::Created(_), Inserted::NoConsent]),
            "{verdicts:?}"
        );
        assert_eq!(store.insert(vec![bring("f3", "o4")]).await.expect("answers"), [Inserted::NoConsent]);
        check_ledger(&store, &["o1", "o2", "o3", "o4"]).await;
    })
    .await;
}

#[tokio::test]
async fn what_is_held_up_beyond_the_end_of_its_consent_fails_without_a_call() {
    on_both_of(&limited(), async |TestStore { store, clock, .. }| {
        store.record(vec![with_ticket("o1", START, ticket("form", "f1", START))]).await.expect("recorded");
        let new = NewReminder { expires_at: START + 9 * DAY, ..reminder("o1", START + 7 * DAY - 1) };
        let id = created(&store, new).await;
        let jobs = due(&store, START + 7 * DAY).await;
        clock.advance(7 * DAY);
        let ended = Marked::Ended { ends_at: START + 7 * DAY };
        assert_eq!(store.mark(jobs.clone()).await.expect("answers"), [ended]);
        let reason = Reason::ConsentEnded { ends_at: START + 7 * DAY };
        let failed = Settlement::because(Next::Final(State::Failed), reason, Consent::Free);
        store.settle(vec![settle(&jobs[0], false, failed)]).await.expect("answers");
        assert_eq!(balance(&store, "o1").await, Balance { void: 1, ..Balance::default() });
        assert_eq!(end(&store, START + 7 * DAY).await, 1);
        check_ledger(&store, &["o1"]).await;
        let stored = store.reminder(id).await.expect("answers").expect("there");
        assert_eq!((stored.due.state, stored.reason.as_deref()), (State::Failed, Some("consent_ended")));
    })
    .await;
}

#[tokio::test]
async fn nothing_is_moved_beyond_the_end_of_the_consent_that_it_holds() {
    on_both_of(&limited(), async |TestStore { store, .. }| {
        store.record(vec![with_ticket("o1", START, ticket("form", "f1", START))]).await.expect("recorded");
        let id = created(&store, reminder("o1", START + DAY)).await;
        let to = |at| Change { at: Some((at, None)), expires_at: Some(at + HOUR), ..Change::default() };
        let end = START + 7 * DAY;
        assert_eq!(store.change(id, to(end)).await.expect("answers"), Changed::ConsentEnds(end));
        assert_eq!(store.change(id, to(end - 1)).await.expect("answers"), Changed::Yes);
    })
    .await;
}

#[tokio::test]
async fn a_doubt_is_sent_again_only_if_a_refusal_would_prove_the_first() {
    on_both_of(&limited(), async |TestStore { store, clock, .. }| {
        let doubt = |at| Settlement {
            next: Next::Doubt { look_at: at },
            code: None,
            reason: None,
            text: None,
            consent: Consent::Keep,
            message_id: None,
        };
        let subscribe = ticket("subscribe", "s1", START);
        store.record(vec![with_ticket("o1", START, subscribe), accept("coffee", "o1", EVENT)]).await.expect("recorded");
        store.record(vec![with_ticket("o2", START, ticket("form", "f2", START))]).await.expect("recorded");
        // The accept ends first, so it pays for the first.
        for openid in ["o1", "o1", "o1", "o2"] {
            created(&store, NewReminder { expires_at: START + 9 * DAY, ..reminder(openid, START) }).await;
        }
        let jobs = due(&store, START).await;
        let marked = store.mark(jobs.clone()).await.expect("answers");
        let tickets: Vec<bool> = marked.iter().map(|marked| matches!(marked, Marked::By(_))).collect();
        assert_eq!(tickets, [false, false, true, true]);
        let later = START + 7 * DAY - MINUTE - 1;
        let doubts = [&jobs[0], &jobs[2], &jobs[3]].map(|job| settle(job, true, doubt(later)));
        store.settle(doubts.to_vec()).await.expect("answers");
        store.settle(vec![settle(&jobs[1], true, sent())]).await.expect("answers");
        clock.advance(later - START);
        let doubtful = due(&store, later).await;
        let verdicts = store.mark(doubtful.clone()).await.expect("answers");
        // The one that had one of two accepts has ended; of the tickets each has its own send alone.
        assert_eq!(verdicts[0], Marked::Ended { ends_at: START + DAY });
        assert_eq!(verdicts[1], marked[2], "with the same ticket");
        assert_eq!(verdicts[2], marked[3], "with the same ticket");
        store.settle(vec![settle(&doubtful[2], true, doubt(later + 1))]).await.expect("answers");
        clock.advance(1);
        let last = due(&store, later + 1).await;
        let last: Vec<_> = last.into_iter().filter(|job| job.body.openid == "o2").collect();
        assert_eq!(store.mark(last).await.expect("answers"), [Marked::Ended { ends_at: START + 7 * DAY }]);
    })
    .await;
}

#[tokio::test]
async fn a_forgotten_user_leaves_no_ticket_behind() {
    on_both_of(&limited(), async |test| {
        let report = with_ticket("o1", START, ticket("payment", "secret-payment-7", START));
        test.store.record(vec![report]).await.expect("recorded");
        created(&test.store, reminder("o1", START + HOUR)).await;
        assert!(test.everything().await.contains("secret-payment-7"), "it is looked for where it is");
        test.store.forget(wish("o1")).await.expect("forgotten");
        test.store.close().await;
        assert!(!test.everything().await.contains("secret-payment-7"));
    })
    .await;
}

/// What a life is allowed and has done.
#[derive(Default)]
struct Book {
    /// By ticket: sends allowed, the end, sends made.
    tickets: BTreeMap<String, (u32, Option<Millis>, u32)>,
    accepted: u32,
    sent: u32,
    names: u32,
}

/// I1: no more messages than sends were granted, none by a ticket beyond its sends or its end. I4: the rows, the counts beside them and what
/// is shown agree.
#[tokio::test]
async fn i1_i4_hold_for_every_kind_whatever_happens() {
    on_both_of(&limited(), async |TestStore { store, clock, .. }| {
        let seed = rand::random::<u64>();
        eprintln!("seed {seed}");
        let rng = &mut StdRng::seed_from_u64(seed);
        let (mut book, mut now) = (Book::default(), START);
        for _ in 0..150 {
            let user = format!("o{}", rng.random_range(0..3));
            match rng.random_range(0..8) {
                0 | 1 => grant(&store, rng, &mut book, &user, now).await,
                2..=4 => {
                    let claim = if rng.random() { Claim::Reserve } else { Claim::AtFire };
                    let at = now + rng.random_range(0..2 * DAY);
                    let new = NewReminder { claim, expires_at: at + DAY, ..reminder(&user, at) };
                    store.insert(vec![new]).await.expect("answers");
                }
                5 => {
                    let by = rng.random_range(0..DAY);
                    (now, _) = (now + by, clock.advance(by));
                }
                6 => go(&store, rng, &mut book, now).await,
                _ => {
                    end(&store, now).await;
                    check_ledger(&store, &["o0", "o1", "o2"]).await;
                }
            }
            assert!(book.sent <= book.accepted, "seed {seed}");
        }
        end(&store, now).await;
        check_ledger(&store, &["o0", "o1", "o2"]).await;
        assert!(book.sent > 0, "seed {seed}: nothing was sent");
    })
    .await;
}

async fn grant(store: &Store, rng: &mut StdRng, book: &mut Book, user: &str, now: Millis) {
    if rng.random() {
        store.record(vec![Report { at: now, ..accept("coffee", user, EVENT) }]).await.expect("recorded");
        book.accepted += 2;
        return;
    }
    book.names += 1;
    let kind = ["form", "payment", "subscribe"][rng.random_range(0..3)];
    let allowance = ticket(kind, &format!("t{}", book.names), now);
    let (key, until) = (allowance.ticket().expect("one").to_owned(), allowance.ends(now));
    book.tickets.insert(key, (allowance.sends(), until, 0));
    book.accepted += allowance.sends();
    let report = with_ticket(user, now, allowance);
    store.record(vec![report.clone(), report]).await.expect("recorded");
}

/// All that is due goes, with any answer.
async fn go(store: &Store, rng: &mut StdRng, book: &mut Book, now: Millis) {
    let jobs = due(store, now).await;
    let verdicts = store.mark(jobs.clone()).await.expect("answers");
    let mut settles = Vec::new();
    for (job, verdict) in jobs.iter().zip(verdicts) {
        let ticket = match &verdict {
            Marked::By(ticket) => Some(ticket.key()),
            Marked::Yes => None,
            _ => {
                let failed = Settlement::end(State::Failed, "no_consent", "none", Consent::Free);
                settles.push(settle(job, false, failed));
                continue;
            }
        };
        if let Some((_, until, _)) = ticket.as_ref().map(|ticket| book.tickets[ticket]) {
            assert!(until.is_none_or(|until| now < until), "beyond its end");
        }
        settles.push(settle(
            job,
            true,
            match rng.random_range(0..5) {
                0 => Settlement::end(State::Failed, "busy", "refused", Consent::Free),
                1 => Settlement::end(State::Failed, "denied", "denied", Consent::Deny),
                2 => Settlement {
                    next: Next::Again { due_at: now + HOUR, counted: Counted::Delay },
                    ..Settlement::end(State::Failed, "busy", "later", Consent::Keep)
                },
                _ => {
                    book.sent += 1;
                    if let Some((sends, _, used)) = ticket.and_then(|ticket| book.tickets.get_mut(&ticket)) {
                        *used += 1;
                        assert!(used <= sends, "I1: a ticket has paid too often");
                    }
                    sent()
                }
            },
        ));
    }
    store.settle(settles).await.expect("answers");
}

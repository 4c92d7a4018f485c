//! One suite for both databases: what the store promises, statement by statement.

use crate::harness::{
    DIGEST, EVENT, START, TestStore, accept, accepted_reminder, databases, fresh, on_both, open, reminder,
};
use sqlx::{AnyConnection, Connection, Row};
use tixing::{
    domain::{
        consent::{Balance, ConsentState},
        draft::Change,
        push::{Item, Push, Receipt},
        reason::Reason,
        reminder::{Claim, NewReminder, ReminderId, State},
        settle::{Consent, Counted, Next, Settlement},
    },
    store::{
        Inserted, Store,
        change::Changed,
        keys::{NewApiKey, Scope},
        lists::Filter,
        port::{Entry, Job, Marked, Queue},
        pushes::NewPush,
    },
    words::Message,
};

pub async fn created(store: &Store, new: NewReminder) -> ReminderId {
    match store.insert(vec![new]).await.expect("the store answers")[..] {
        [Inserted::Created(id)] => id,
        ref other => panic!("not created: {other:?}"),
    }
}

pub async fn due(store: &Store, until: i64) -> Vec<Job> {
    let lane = 1;
    store.prefetch(lane, (i64::MIN, 0), until, 100).await.expect("the store answers")
}

pub fn settle(job: &Job, marked: bool, settlement: Settlement) -> Entry {
    let began_at = marked.then_some(job.due.at + 2);
    Entry { target: job.target(marked), settlement, began_at, ended_at: job.due.at + 30 }
}

pub fn sent() -> Settlement {
    Settlement {
        next: Next::Final(State::Sent),
        code: None,
        reason: None,
        text: None,
        consent: Consent::Keep,
        message_id: Some("77".into()),
    }
}

pub async fn balance(store: &Store, openid: &str) -> Balance {
    let by_template = store.balances("coffee", openid).await.expect("the store answers");
    by_template.get(EVENT).copied().unwrap_or_default()
}

/// I4 in every committed state: the balances of the rows and the counts kept beside them agree.
pub async fn check_ledger(store: &Store, openids: &[&str]) {
    let tally = &store.tally().await.expect("the store answers")["coffee"];
    let mut sum = Balance::default();
    for openid in openids {
        for consent in store.consents("coffee", openid).await.expect("the store answers") {
            sum.add(consent.state);
        }
    }
    let counted = Balance {
        available: tally["consent_available"],
        held: tally["consent_held"],
        used: tally["consent_used"],
        void: tally["consent_void"],
    };
    assert_eq!(sum, counted, "the ledger and its counts");
}

#[tokio::test]
async fn a_store_with_much_to_import_is_no_store_that_cannot_be_written() {
    on_both(async |TestStore { store, .. }| {
        let news = |i: i64| (0..200).map(|k| accepted_reminder(&format!("o{i}-{k}"), START + 1_000)).collect();
        let imports: Vec<_> = (0..60)
            .map(|i| {
                let (store, news) = (store.clone(), news(i));
                tokio::spawn(async move { store.insert(news).await })
            })
            .collect();
        tokio::task::yield_now().await;
        store.writes().await.expect("written");
        assert!(imports.iter().any(|import| !import.is_finished()), "it waited for all of them");
        store.reads().await.expect("read");
        for import in imports {
            assert_eq!(import.await.expect("no panic").expect("inserted").len(), 200);
        }
    })
    .await;
}

#[tokio::test]
async fn i4_a_consent_is_held_used_given_back_and_void() {
    on_both(async |TestStore { store, .. }| {
        let b = |available, held, used, void| Balance { available, held, used, void };
        store.record(vec![accept("coffee", "o1", EVENT), accept("coffee", "o1", EVENT)]).await.expect("recorded");
        assert_eq!(balance(&store, "o1").await, b(2, 0, 0, 0));
        let first = created(&store, reminder("o1", START + 1_000)).await;
        let second = created(&store, reminder("o1", START + 2_000)).await;
        assert_eq!(balance(&store, "o1").await, b(0, 2, 0, 0));
        assert_eq!(store.insert(vec![reminder("o1", START)]).await.expect("answers"), [Inserted::NoConsent]);

        let jobs = due(&store, START + 1_000).await;
        assert_eq!(jobs.iter().map(|j| j.due.id).collect::<Vec<_>>(), [first]);
        assert_eq!(store.mark(jobs.clone()).await.expect("answers"), [Marked::Yes]);
        assert_eq!(store.settle(vec![settle(&jobs[0], true, sent())]).await.expect("answers"), [true]);
        assert_eq!(balance(&store, "o1").await, b(0, 1, 1, 0));

        assert_eq!(store.cancel(second).await.expect("answers"), Changed::Yes);
        assert_eq!(balance(&store, "o1").await, b(1, 0, 1, 0));
        assert_eq!(store.cancel(second).await.expect("answers"), Changed::NotScheduled(State::Cancelled));
        assert_eq!(store.cancel(ReminderId(5)).await.expect("answers"), Changed::NotFound);

        let third = created(&store, reminder("o1", START + 3_000)).await;
        let jobs = due(&store, START + 3_000).await;
        store.mark(jobs.clone()).await.expect("answers");
        let denied = Settlement::end(State::Failed, "43101", "user refuse to accept the msg", Consent::Deny);
        store.settle(vec![settle(&jobs[0], true, denied)]).await.expect("answers");
        assert_eq!(balance(&store, "o1").await, b(0, 0, 1, 1));
        let story = store.consents("coffee", "o1").await.expect("answers");
        assert_eq!(
            story.iter().map(|c| (c.state, c.reminder)).collect::<Vec<_>>(),
            [(ConsentState::Used, Some(first)), (ConsentState::Void, Some(third))]
        );
        check_ledger(&store, &["o1"]).await;
    })
    .await;
}

#[tokio::test]
async fn a_platform_that_knows_no_consent_ends_the_reminders_that_counted_on_one() {
    on_both(async |TestStore { store, .. }| {
        let ids = [1_000, 2_000, 3_000].map(|at| accepted_reminder("o1", START + at));
        store.insert(ids.to_vec()).await.expect("inserted");
        let jobs = due(&store, START + 1_000).await;
        store.mark(jobs.clone()).await.expect("answers");
        let denied = Settlement::end(State::Failed, "43101", "user refuse", Consent::Deny);
        store.settle(vec![settle(&jobs[0], true, denied)]).await.expect("answers");
        assert_eq!(due(&store, START + 9_000).await, []);
        assert_eq!(balance(&store, "o1").await, Balance { void: 3, ..Balance::default() });
        let listed =
            store.list(&Filter { apps: vec!["coffee".into()], limit: 10, ..Filter::default() }).await.expect("answers");
        assert_eq!(listed.iter().map(|s| s.due.state).collect::<Vec<_>>(), [State::Failed; 3]);
        assert_eq!(store.events(&listed[2]).await.expect("answers")[0].code.as_deref(), Some("no_consent"));
        check_ledger(&store, &["o1"]).await;
    })
    .await;
}

#[tokio::test]
async fn every_text_comes_back_as_it_was_given() {
    on_both(async |TestStore { store, .. }| {
        let texts =
            [r#"a"b\c"#, "{x,y}", "NULL", "null", "", " ' ; -- ", "周三\u{1f375}", "%{rows}$1", "\u{202e}e\u{301}"];
        for (i, text) in texts.into_iter().enumerate() {
            let data = serde_json::json!({ "thing1": text }).to_string();
            let openid = format!("o{i}{text}");
            let new = NewReminder {
                data: data.clone(),
                page: Some(text.into()),
                key: Some(format!("{i}{text}")),
                local_at: (i % 2 == 0).then(|| text.into()),
                ..accepted_reminder(&openid, START + 1_000)
            };
            let id = created(&store, new.clone()).await;
            let stored = store.reminder(id).await.expect("answers").expect("there");
            assert_eq!(
                (stored.openid, stored.data, stored.page, stored.key, stored.local_at),
                (new.openid.clone(), data, new.page.clone(), new.key.clone(), new.local_at.clone())
            );
            assert_eq!(store.insert(vec![new]).await.expect("answers"), [Inserted::Replayed(id, State::Scheduled)]);
            let job = due(&store, START + 1_000).await.remove(0);
            store.mark(vec![job.clone()]).await.expect("answers");
            let failed = Settlement::end(State::Failed, text, text, Consent::Free);
            assert_eq!(store.settle(vec![settle(&job, true, failed)]).await.expect("answers"), [true]);
            let stored = store.reminder(id).await.expect("answers").expect("there");
            let last = store.events(&stored).await.expect("answers").pop().expect("one");
            assert_eq!((last.code.as_deref(), last.text.as_deref()), (Some(text), Some(text)));
        }
    })
    .await;
}

#[tokio::test]
async fn a_reason_is_kept_as_it_is_and_the_sentence_of_an_older_row_is_still_told() {
    // (what is written, what is read, what is told of it)
    let ours = Settlement::because(Next::Final(State::Failed), Reason::NoConsent, Consent::Free);
    let both = Settlement { text: Some("user refuse".into()), ..ours.clone() };
    let nested = Reason::TemplateSuspended { why: Message::text("模板\u{a0}“A”") };
    let nested = Settlement::because(Next::Final(State::Failed), nested, Consent::Free);
    // As older versions wrote it: the sentence stood with the platform's words.
    let older = Settlement::end(State::Failed, "no_consent", "it had no consent", Consent::Free);
    on_both(async |TestStore { store, .. }| {
        for (settlement, told) in [
            (&ours, "at its instant the user had no consent for this template"),
            (&both, "at its instant the user had no consent for this template: user refuse"),
            (&nested, "its template is suspended: 模板\u{a0}“A”"),
            (&older, "it had no consent"),
        ] {
            let id = created(&store, accepted_reminder("o1", START)).await;
            let job = due(&store, START).await.remove(0);
            store.settle(vec![settle(&job, false, settlement.clone())]).await.expect("answers");
            let stored = store.reminder(id).await.expect("answers").expect("there");
            let last = store.events(&stored).await.expect("answers").pop().expect("one");
            let read = (last.code.clone(), last.reason.clone(), last.text.clone());
            assert_eq!(read, (settlement.code.clone(), settlement.reason.clone(), settlement.text.clone()));
            assert_eq!(last.said().expect("something").to_string(), told);
        }
    })
    .await;
}

#[tokio::test]
async fn i3_a_key_gives_the_same_reminder_for_ever() {
    on_both(async |TestStore { store, clock, url, .. }| {
        let keyed = |digest: &str| NewReminder {
            key: Some("order-7".into()),
            digest: digest.into(),
            ..accepted_reminder("o1", START + 1_000)
        };
        let both = store.insert(vec![keyed("a"), keyed("a"), keyed("b")]).await.expect("answers");
        let [Inserted::Created(id), ..] = both[..] else { panic!("{both:?}") };
        assert_eq!(both, [Inserted::Created(id), Inserted::Replayed(id, State::Scheduled), Inserted::KeyConflict(id)]);
        let job = due(&store, START + 1_000).await.remove(0);
        store.mark(vec![job.clone()]).await.expect("answers");
        store.settle(vec![settle(&job, true, sent())]).await.expect("answers");
        store.close().await;
        let store = open(&url, &clock).await;
        let again = store
            .insert(vec![keyed("a"), keyed("b"), NewReminder { app: "tea".into(), ..keyed("b") }])
            .await
            .expect("answers");
        assert_eq!(again[..2], [Inserted::Replayed(id, State::Sent), Inserted::KeyConflict(id)]);
        assert!(
            matches!(again[2], Inserted::Created(other) if other > id),
            "another app's key is another key: {again:?}"
        );
        store.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_key_whose_reminder_was_cancelled_is_spent_and_takes_no_tap_with_it() {
    on_both(async |TestStore { store, .. }| {
        let keyed = |openid: &str, digest: &str| NewReminder {
            key: Some("rsvp-7".into()),
            digest: digest.into(),
            ..accepted_reminder(openid, START + 1_000)
        };
        let id = created(&store, keyed("o1", "a")).await;
        store.cancel(id).await.expect("answers");
        // The same body, another body, and one that would make another user known; beside a good one in the same commit.
        let other = NewReminder { key: Some("rsvp-8".into()), ..keyed("o2", "a") };
        let again = vec![keyed("o1", "a"), keyed("o1", "b"), keyed("o9", "a"), other.clone()];
        let verdicts = store.insert(again).await.expect("answers");
        assert_eq!(verdicts[..3], [Inserted::KeyCancelled(id); 3]);
        assert!(matches!(verdicts[3], Inserted::Created(_)), "{verdicts:?}");
        assert_eq!(balance(&store, "o1").await, Balance { available: 1, ..Balance::default() }, "no second tap");
        assert_eq!(balance(&store, "o9").await, Balance::default());
        assert_eq!(store.known_key(&keyed("o1", "a")).await.expect("answers"), Some(Inserted::KeyCancelled(id)));
        let known = store.known_key(&other).await.expect("answers");
        assert!(matches!(known, Some(Inserted::Replayed(_, State::Scheduled))), "{known:?}");
        let elsewhere = NewReminder { app: "tea".into(), ..keyed("o1", "a") };
        assert_eq!(store.known_key(&elsewhere).await.expect("answers"), None, "another app has keys of its own");
        check_ledger(&store, &["o1", "o2", "o9"]).await;
    })
    .await;
}

#[tokio::test]
async fn i2_a_settlement_or_a_mark_that_comes_late_changes_nothing() {
    on_both(async |TestStore { store, .. }| {
        let id = created(&store, accepted_reminder("o1", START)).await;
        let jobs = due(&store, START).await;
        assert_eq!(store.mark(jobs.clone()).await.expect("answers"), [Marked::Yes]);
        assert_eq!(
            store.mark(jobs.clone()).await.expect("answers"),
            [Marked::Late],
            "a second mark of the same reading"
        );
        assert_eq!(store.cancel(id).await.expect("answers"), Changed::NotScheduled(State::Sending));
        let once = settle(&jobs[0], true, sent());
        assert_eq!(store.settle(vec![once.clone(), once.clone()]).await.expect("answers"), [true, false]);
        assert_eq!(store.settle(vec![once]).await.expect("answers"), [false]);
        let stored = store.reminder(id).await.expect("answers").expect("is there");
        assert_eq!(stored.due.state, State::Sent);
        let events = store.events(&stored).await.expect("answers");
        assert_eq!(events.len(), 1);
        assert_eq!((events[0].began_at, events[0].message_id.as_deref()), (Some(START + 2), Some("77")));
        check_ledger(&store, &["o1"]).await;
    })
    .await;
}

#[tokio::test]
async fn a_retry_keeps_its_consent_and_is_found_at_its_new_instant() {
    on_both(async |TestStore { store, .. }| {
        let id = created(&store, accepted_reminder("o1", START)).await;
        let jobs = due(&store, START).await;
        store.mark(jobs.clone()).await.expect("answers");
        let next = Next::Again { due_at: START + 60_000, counted: Counted::Delay };
        let again = Settlement {
            next,
            code: Some("-1".into()),
            reason: None,
            text: Some("system error".into()),
            consent: Consent::Keep,
            message_id: None,
        };
        assert_eq!(store.settle(vec![settle(&jobs[0], true, again)]).await.expect("answers"), [true]);
        assert_eq!(due(&store, START + 59_999).await, []);
        let job = due(&store, START + 60_000).await.remove(0);
        assert_eq!((job.due.tries, job.due.at, job.due.state), (1, START, State::Scheduled));
        assert_eq!(balance(&store, "o1").await.held, 1);
        let stored = store.reminder(id).await.expect("answers").expect("is there");
        assert_eq!((stored.due.state, stored.due.due_at), (State::Scheduled, START + 60_000));
        let late = |now: i64| store.overdue(1, now);
        assert_eq!(
            late(START + 1_000).await.expect("answers"),
            (Some(START), 1),
            "its instant has passed all the same"
        );

        let change =
            Change { at: Some((START + 90_000, None)), expires_at: Some(START + 100_000), ..Change::default() };
        assert_eq!(store.change(id, change).await.expect("answers"), Changed::Yes);
        assert_eq!(
            store.mark(vec![job]).await.expect("answers"),
            [Marked::Late],
            "what was read before the change is not sent"
        );
        assert_eq!(late(START + 1_000).await.expect("answers"), (None, 0), "its instant is to come again");
        let job = due(&store, START + 90_000).await.remove(0);
        assert_eq!((job.due.at, job.due.expires_at), (START + 90_000, START + 100_000));
        let stored = store.reminder(id).await.expect("answers").expect("is there");
        assert_eq!(store.events(&stored).await.expect("answers").len(), 1, "the attempt is still told");
        store.mark(vec![job.clone()]).await.expect("answers");
        store.settle(vec![settle(&job, true, sent())]).await.expect("answers");
        assert_eq!(balance(&store, "o1").await, Balance { used: 1, ..Balance::default() });
        check_ledger(&store, &["o1"]).await;
    })
    .await;
}

#[tokio::test]
async fn i1_a_late_mark_gives_back_only_what_it_took_itself() {
    on_both(async |TestStore { store, .. }| {
        store.record(vec![accept("coffee", "o1", EVENT), accept("coffee", "o1", EVENT)]).await.expect("recorded");
        created(&store, NewReminder { claim: Claim::AtFire, ..reminder("o1", START) }).await;
        let jobs = due(&store, START).await;
        assert_eq!(store.mark(jobs.clone()).await.expect("answers"), [Marked::Yes]);
        // The same row as it was read before, as a slow read brings it.
        assert_eq!(store.mark(jobs.clone()).await.expect("answers"), [Marked::Late]);
        assert_eq!(balance(&store, "o1").await, Balance { available: 1, held: 1, ..Balance::default() });
        store.settle(vec![settle(&jobs[0], true, sent())]).await.expect("answers");
        assert_eq!(balance(&store, "o1").await, Balance { available: 1, used: 1, ..Balance::default() });
        check_ledger(&store, &["o1"]).await;
    })
    .await;
}

#[tokio::test]
async fn i1_what_takes_its_consent_at_the_instant_takes_one_or_ends() {
    on_both(async |TestStore { store, .. }| {
        let at_fire = NewReminder { claim: Claim::AtFire, ..reminder("o1", START) };
        store.insert(vec![at_fire.clone(), at_fire]).await.expect("inserted");
        store.record(vec![accept("coffee", "o1", EVENT)]).await.expect("recorded");
        let jobs = due(&store, START).await;
        assert_eq!(store.mark(jobs.clone()).await.expect("answers"), [Marked::Yes, Marked::NoConsent]);
        assert_eq!(balance(&store, "o1").await, Balance { held: 1, ..Balance::default() });
        // Given back by a platform that was busy, it still holds what it took.
        let next = Next::Again { due_at: START + 1, counted: Counted::Delay };
        let again = Settlement { next, code: None, reason: None, text: None, consent: Consent::Keep, message_id: None };
        store.settle(vec![settle(&jobs[0], true, again)]).await.expect("answers");
        let none = Settlement::end(State::Failed, "no_consent", "none", Consent::Free);
        store.settle(vec![settle(&jobs[1], false, none)]).await.expect("answers");
        let again = due(&store, START + 1).await;
        assert_eq!(store.mark(again.clone()).await.expect("answers"), [Marked::Yes]);
        store.settle(vec![settle(&again[0], true, sent())]).await.expect("answers");
        assert_eq!(balance(&store, "o1").await, Balance { used: 1, ..Balance::default() });
        let filter = Filter { apps: vec!["coffee".into()], openid: Some("o1".into()), limit: 10, ..Filter::default() };
        let states: Vec<_> = store.list(&filter).await.expect("answers").iter().map(|s| s.due.state).collect();
        assert_eq!(states, [State::Sent, State::Failed]);
        check_ledger(&store, &["o1"]).await;
    })
    .await;
}

#[tokio::test]
async fn a_standing_consent_serves_many_reminders_and_is_never_spent() {
    on_both(async |TestStore { store, .. }| {
        let digest = |at| NewReminder { template: DIGEST.into(), standing: true, ..reminder("o1", at) };
        assert_eq!(store.insert(vec![digest(START)]).await.expect("answers"), [Inserted::NoConsent]);
        store.record(vec![accept("coffee", "o1", DIGEST), accept("coffee", "o1", DIGEST)]).await.expect("recorded");
        store.insert(vec![digest(START), digest(START + 1)]).await.expect("inserted");
        let jobs = due(&store, START + 1).await;
        assert_eq!(store.mark(jobs.clone()).await.expect("answers"), [Marked::Yes, Marked::Yes]);
        store.settle(jobs.iter().map(|job| settle(job, true, sent())).collect()).await.expect("answers");
        let balances = store.balances("coffee", "o1").await.expect("answers");
        assert_eq!(balances[DIGEST], Balance { available: 1, ..Balance::default() });
        check_ledger(&store, &["o1"]).await;
    })
    .await;
}

#[tokio::test]
async fn the_same_tap_reported_twice_counts_once() {
    on_both(async |TestStore { store, .. }| {
        let tap = || tixing::domain::consent::Report { event: Some("tap-1".into()), ..accept("coffee", "o1", EVENT) };
        assert_eq!(store.record(vec![tap(), tap()]).await.expect("answers"), [Some(1), Some(0)]);
        assert_eq!(store.record(vec![tap()]).await.expect("answers"), [Some(0)]);
        assert_eq!(balance(&store, "o1").await.available, 1);
    })
    .await;
}

#[tokio::test]
async fn i2_a_doubt_is_marked_again_only_while_it_holds_the_sole_consent_unspent() {
    on_both(async |TestStore { store, .. }| {
        // A reminder of `openid` that went into doubt at START + 9.
        let in_doubt = async |openid: &str| {
            created(&store, accepted_reminder(openid, START)).await;
            let job = due(&store, START).await.remove(0);
            store.mark(vec![job.clone()]).await.expect("answers");
            let next = Next::Doubt { look_at: START + 9 };
            let doubt =
                Settlement { next, code: None, reason: None, text: None, consent: Consent::Keep, message_id: None };
            store.settle(vec![settle(&job, true, doubt)]).await.expect("answers");
            due(&store, START + 9).await.into_iter().find(|j| j.due.id == job.due.id).expect("in doubt")
        };
        let alone = in_doubt("o1").await;
        assert_eq!(store.mark(vec![alone.clone()]).await.expect("answers"), [Marked::Yes]);
        store.settle(vec![settle(&alone, true, sent())]).await.expect("answers");

        let after_a_sent_one = in_doubt("o1").await;
        assert_eq!(
            store.mark(vec![after_a_sent_one.clone()]).await.expect("answers"),
            [Marked::Yes],
            "that one is certainly spent"
        );
        let unconfirmed = Settlement { next: Next::Final(State::Unconfirmed), ..sent() };
        store.settle(vec![settle(&after_a_sent_one, true, unconfirmed)]).await.expect("answers");

        let after_an_unconfirmed_one = in_doubt("o1").await;
        assert_eq!(
            store.mark(vec![after_an_unconfirmed_one]).await.expect("answers"),
            [Marked::NotSole],
            "that one may be unspent"
        );

        let beside_another = in_doubt("o2").await;
        store.record(vec![accept("coffee", "o2", EVENT)]).await.expect("recorded");
        assert_eq!(store.mark(vec![beside_another]).await.expect("answers"), [Marked::NotSole]);
    })
    .await;
}

#[tokio::test]
async fn lists_are_in_order_and_pages_join_without_gap_or_overlap() {
    on_both(async |TestStore { store, .. }| {
        for i in 0..7 {
            created(&store, accepted_reminder(&format!("o{i}"), START + (i * 37 % 7) * 1_000)).await;
        }
        let jobs = due(&store, START + 2_000).await;
        store.mark(jobs.clone()).await.expect("answers");
        store.settle(jobs.iter().map(|job| settle(job, true, sent())).collect()).await.expect("answers");
        let mut filter = Filter { apps: vec!["coffee".into(), "tea".into()], limit: 3, ..Filter::default() };
        let mut seen = Vec::new();
        loop {
            let page = store.list(&filter).await.expect("answers");
            let Some(last) = page.last() else { break };
            filter.after = Some((last.due.due_at, last.due.id));
            seen.extend(page.into_iter().map(|s| (s.due.due_at - START, s.due.state)));
        }
        let state = |i: i64| if i <= 2 { State::Sent } else { State::Scheduled };
        assert_eq!(seen, (0..7).map(|i| (i * 1_000, state(i))).collect::<Vec<_>>());
        let only = |change: &dyn Fn(&mut Filter)| {
            let mut filter = Filter { apps: vec!["coffee".into()], limit: 50, ..Filter::default() };
            change(&mut filter);
            filter
        };
        let table: [(&str, Filter, usize); 6] = [
            ("state", only(&|f| f.states = vec![State::Sent]), 3),
            ("living state", only(&|f| f.states = vec![State::Scheduled]), 4),
            ("from", only(&|f| f.from = Some(START + 5_000)), 2),
            ("to", only(&|f| f.to = Some(START + 5_000)), 5),
            ("template", only(&|f| f.templates = [("coffee".into(), DIGEST.into())].into()), 0),
            ("openid", only(&|f| f.openid = Some("o3".into())), 1),
        ];
        for (what, filter, expected) in table {
            assert_eq!(store.list(&filter).await.expect("answers").len(), expected, "{what}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_waits_past_its_deadline_is_found_and_what_comes_next_is_known() {
    on_both(async |TestStore { store, .. }| {
        created(&store, accepted_reminder("o1", START)).await;
        created(&store, accepted_reminder("o2", START + 7_200_000)).await;
        let now = START + 3_600_000;
        assert_eq!(store.past_deadline(1, now - 1, 10, Default::default()).await.expect("answers").len(), 0);
        let late = store.past_deadline(1, now, 10, Default::default()).await.expect("answers");
        assert_eq!(late.len(), 1);
        assert_eq!(store.overdue(1, now).await.expect("answers"), (Some(START), 1));
        assert_eq!(store.next_due(1, now).await.expect("answers"), Some(START + 7_200_000));
        let expired = Settlement::end(State::Expired, "expired", "late", Consent::Free);
        store.settle(vec![settle(&late[0], false, expired)]).await.expect("answers");
        assert_eq!(balance(&store, "o1").await.available, 1);
        assert_eq!(store.overdue(1, now).await.expect("answers"), (None, 0));
        check_ledger(&store, &["o1", "o2"]).await;
    })
    .await;
}

#[tokio::test]
async fn keys_are_kept_as_hashes_and_revoked_once() {
    on_both(async |TestStore { store, .. }| {
        let key = NewApiKey {
            name: "backend".into(),
            hash: "ab".into(),
            scope: Scope::Write,
            apps: Some(vec!["coffee".into()]),
        };
        let id = store.create_key(key).await.expect("answers");
        assert!(store.revoke_key(id).await.expect("answers"));
        assert!(!store.revoke_key(id).await.expect("answers"));
        let keys = store.keys().await.expect("answers");
        assert_eq!((keys[0].scope, keys[0].revoked_at), (Scope::Write, Some(START)));
        assert_eq!(keys[0].apps.as_deref(), Some(&["coffee".to_owned()][..]));
    })
    .await;
}

#[tokio::test]
async fn ids_rise_though_the_clock_falls_and_the_daemon_restarts() {
    on_both(async |TestStore { store, clock, url, .. }| {
        let first = created(&store, accepted_reminder("o1", START + 10_000_000)).await;
        clock.step(-3_600_000);
        let second = created(&store, accepted_reminder("o1", START + 10_000_000)).await;
        store.close().await;
        let store = open(&url, &clock).await;
        let third = created(&store, accepted_reminder("o1", START + 10_000_000)).await;
        assert!(first < second && second < third);
        store.close().await;
    })
    .await;
}

#[tokio::test]
async fn i3_one_row_that_the_database_refuses_fails_none_beside_it() {
    on_both(async |TestStore { store, .. }| {
        // What the API would never let through: a deadline before the instant.
        let bad = NewReminder { expires_at: START - 1, ..accepted_reminder("o-bad", START) };
        let good = |i: u32| accepted_reminder(&format!("o{i}"), START);
        let batch: Vec<NewReminder> = (0..20).map(|i| if i == 7 { bad.clone() } else { good(i) }).collect();
        let inserts = (100..110).map(|i| store.insert(vec![good(i)]));
        let (verdicts, singles) = tokio::join!(store.insert(batch), futures_util::future::join_all(inserts));
        for (i, verdict) in verdicts.expect("the batch is answered").iter().enumerate() {
            let kept = matches!(verdict, Inserted::Created(_));
            assert_eq!((kept, *verdict == Inserted::Refused), (i != 7, i == 7), "line {i}: {verdict:?}");
        }
        for single in singles {
            assert!(
                matches!(single.expect("answered")[..], [Inserted::Created(_)]),
                "whoever inserts beside it is served"
            );
        }
        assert_eq!(due(&store, START).await.len(), 29);
        assert_eq!(store.tally().await.expect("answers")["coffee"]["scheduled"], 29);
    })
    .await;
}

#[tokio::test]
async fn two_changes_of_one_reminder_at_once_end_one_of_them_and_nobody_elses_call() {
    on_both(async |TestStore { store, .. }| {
        for round in 0..10 {
            let id = created(&store, accepted_reminder(&format!("o{round}"), START + 10_000)).await;
            // Each is good by itself; together the deadline lies before the instant.
            let later =
                Change { at: Some((START + 60_000, None)), expires_at: Some(START + 90_000), ..Change::default() };
            let sooner = Change { expires_at: Some(START + 20_000), ..Change::default() };
            let others =
                (0..20).map(|i| store.insert(vec![accepted_reminder(&format!("p{round}-{i}"), START + 5_000)]));
            let (one, two, others) =
                tokio::join!(store.change(id, later), store.change(id, sooner), futures_util::future::join_all(others));
            let ended = [one.expect("answered"), two.expect("answered")];
            assert!(ended.contains(&Changed::Yes), "{ended:?}");
            assert!(others.into_iter().all(|other| other.is_ok()));
            let due = store.reminder(id).await.expect("answers").expect("is there").due;
            assert!(due.expires_at > due.at, "{due:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_settlement_that_the_database_refuses_stops_no_other() {
    on_both(async |TestStore { store, .. }| {
        for i in 0..5 {
            created(&store, accepted_reminder(&format!("o{i}"), START)).await;
        }
        let jobs = due(&store, START).await;
        store.mark(jobs.clone()).await.expect("answers");
        // PostgreSQL takes no NUL in a text. Nothing of a platform's comes here with one; if it did:
        let mut settles: Vec<Entry> = jobs.iter().map(|job| settle(job, true, sent())).collect();
        settles[2].settlement.message_id = Some("7\u{0}7".into());
        assert_eq!(store.settle(settles).await.expect("answers"), [true; 5]);
        let tally = &store.tally().await.expect("answers")["coffee"];
        assert_eq!((tally["sent"], tally["sending"]), (5, 0));
        check_ledger(&store, &["o0", "o1", "o2", "o3", "o4"]).await;
    })
    .await;
}

#[tokio::test]
async fn a_reminder_of_a_suspended_template_is_looked_at_as_soon_as_its_data_are_mended() {
    on_both(async |TestStore { store, clock, .. }| {
        let id = created(&store, accepted_reminder("o1", START + 1_000)).await;
        clock.advance(2_000);
        let job = due(&store, START + 2_000).await.remove(0);
        let held = Settlement {
            next: Next::Again { due_at: START + 600_000, counted: Counted::No },
            code: Some("template_held".into()),
            reason: None,
            text: Some("its template is held".into()),
            consent: Consent::Keep,
            message_id: None,
        };
        store.settle(vec![settle(&job, false, held)]).await.expect("answers");
        assert_eq!(due(&store, START + 2_000).await, []);
        let mended = Change { data: Some(r#"{"thing1":"好","time2":"10:00"}"#.into()), ..Change::default() };
        assert_eq!(store.change(id, mended).await.expect("answers"), Changed::Yes);
        assert_eq!(due(&store, START + 2_000).await.len(), 1, "it does not wait for its old instant");
    })
    .await;
}

/// Waits until a statement waits for a row that another transaction has.
pub async fn somebody_waits(looks: &mut AnyConnection) {
    let waits =
        "SELECT COUNT(*) AS n FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let begun = std::time::Instant::now();
    while sqlx::query(waits).fetch_one(&mut *looks).await.expect("answers").get::<i64, _>("n") == 0 {
        assert!(begun.elapsed().as_secs() < 20, "nobody waits");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_that_comes_while_another_writer_settles_its_attempt_leaves_no_doubt() {
    for database in databases().into_iter().filter(|database| *database == "postgres") {
        let TestStore { store, url, clock, .. } = &fresh(database).await;
        let id = created(store, accepted_reminder("o1", START + 10)).await;
        let jobs = due(store, START + 20).await;
        store.mark(jobs).await.expect("marked");
        clock.advance(1_000);
        // Another writer leaves the attempt in doubt, and has not committed yet: it has seen no receipt.
        let mut other = AnyConnection::connect(url).await.expect("connects");
        let mut doubt = other.begin().await.expect("begins");
        for sql in [
            "UPDATE due SET state = 2, fence = fence + 1, doubt_since = due_at",
            "INSERT INTO outcome (lane, at, id, fence, state, ended_at, began_at, next_at, code)
             SELECT lane, due_at, id, 1, 'in_doubt', due_at + 5, due_at + 1, due_at, 'lost' FROM due",
        ] {
            assert_eq!(sqlx::query(sql).execute(&mut *doubt).await.expect("written").rows_affected(), 1);
        }
        let receipt = Receipt { template: EVENT.into(), message_id: None, failure: None, text: "success".into() };
        let push = Push { openid: "o1".into(), at: START + 900, items: vec![Item::Receipt(receipt)], id: None };
        let pushed = tokio::spawn({
            let store = store.clone();
            async move { store.push(NewPush { app: "coffee".into(), push }).await }
        });
        let mut looks = AnyConnection::connect(url).await.expect("connects");
        somebody_waits(&mut looks).await;
        doubt.commit().await.expect("commits");
        assert_eq!(pushed.await.expect("no fault").expect("taken").receipts, ["delivered"]);
        let stored = store.reminder(id).await.expect("answers").expect("there");
        assert_eq!(stored.due.state, State::Sent, "the receipt has settled it");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_meets_another_writer_is_done_again_on_what_that_one_has_left() {
    for database in databases().into_iter().filter(|database| *database == "postgres") {
        let TestStore { store, url, .. } = &fresh(database).await;
        store.record(vec![accept("coffee", "o1", EVENT)]).await.expect("recorded");
        // Another writer adds the next consent of the same user, and has not committed yet.
        let mut other = AnyConnection::connect(url).await.expect("connects");
        let mut first = other.begin().await.expect("begins");
        let sql = "INSERT INTO consent (recipient, template, n, granted_at, source) SELECT recipient, template, n + 1, granted_at, 'other' FROM consent";
        assert_eq!(sqlx::query(sql).execute(&mut *first).await.expect("inserted").rows_affected(), 1);
        let recorded = tokio::spawn({
            let store = store.clone();
            async move { store.record(vec![accept("coffee", "o1", EVENT), accept("tea", "o2", EVENT)]).await }
        });
        // It waits for the other's row; when that is there, its own number is taken.
        let mut looks = AnyConnection::connect(url).await.expect("connects");
        somebody_waits(&mut looks).await;
        first.commit().await.expect("commits");
        let recorded = recorded.await.expect("no fault").expect("it is done again");
        assert_eq!(recorded, [Some(1), Some(1)], "and so is what came with it, once");
        assert_eq!(store.consents("coffee", "o1").await.expect("answers").len(), 3, "nobody's consent is lost");
        // A row that is there for good refuses again and again, and then the caller is told.
        let forced = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '40001'; END $$";
        for sql in [forced, "CREATE TRIGGER refuse BEFORE INSERT ON consent FOR EACH ROW EXECUTE FUNCTION refuse()"] {
            sqlx::query(sql).execute(&mut looks).await.expect("made");
        }
        assert!(store.record(vec![accept("coffee", "o1", EVENT)]).await.is_err());
        sqlx::query("DROP TRIGGER refuse ON consent").execute(&mut looks).await.expect("dropped");
        assert_eq!(store.record(vec![accept("coffee", "o1", EVENT)]).await.expect("recorded"), [Some(1)]);
    }
}

#[tokio::test]
async fn of_more_reminders_than_are_counted_for_a_day_the_earliest_are() {
    on_both(async |TestStore { store, .. }| {
        let (quarter, day) = (15 * 60_000, 24 * 3_600_000);
        for i in 0..5 {
            created(&store, accepted_reminder(&format!("o{i}"), START + i * quarter)).await;
        }
        let counted = store.quarters("coffee", START, START + day, 5).await.expect("answers");
        assert_eq!(
            (counted.n.values().sum::<i64>(), counted.partial),
            (5, true),
            "as many as may be: there may be more"
        );
        let counted = store.quarters("coffee", START, START + day, 6).await.expect("answers");
        assert_eq!((counted.n.len(), counted.partial), (5, false));
        let counted = store.quarters("coffee", START, START + day, 3).await.expect("answers");
        assert!(
            counted.partial && counted.n.keys().all(|(at, state)| *at < START + 3 * quarter && *state == "scheduled")
        );
        let counted = store.quarters("tea", START, START + day, 3).await.expect("answers");
        assert_eq!(counted, Default::default(), "nothing of another app");
    })
    .await;
}

/// An empty queue leaves statistics by which reading all of it looks cheap, and they stay so for minutes after it has filled.
#[tokio::test]
async fn what_is_marked_and_settled_is_found_by_its_key_though_the_database_believes_that_the_queue_is_empty() {
    const WAITING: usize = 10_000;
    const ROUNDS: usize = 40;
    if !databases().contains(&"postgres") {
        return;
    }
    let test = fresh("postgres").await;
    let store = &test.store;
    let mut looks = AnyConnection::connect(&test.url).await.expect("connects");
    for sql in [
        "INSERT INTO due (lane, due_at, id) SELECT 1, n, n FROM generate_series(1, 20000) n",
        "DELETE FROM due",
        "VACUUM (TRUNCATE false) due",
        "ANALYZE due",
        "SELECT 1 AS one FROM pg_stat_reset()",
    ] {
        sqlx::query(sql).execute(&mut looks).await.expect(sql);
    }
    let news: Vec<_> = (0..WAITING).map(|i| accepted_reminder(&format!("o{i}"), START + 10)).collect();
    for news in news.chunks(2_000) {
        store.insert(news.to_vec()).await.expect("inserted");
    }
    let jobs = store.prefetch(1, (i64::MIN, 0), START + 10, WAITING as i64).await.expect("answers");
    for jobs in jobs.chunks(12).take(ROUNDS) {
        let marked = store.mark(jobs.to_vec()).await.expect("marked");
        assert!(marked.iter().all(|marked| *marked == Marked::Yes), "{marked:?}");
        let settled = store.settle(jobs.iter().map(|job| settle(job, true, sent())).collect()).await.expect("settled");
        assert!(settled.iter().all(|settled| *settled));
    }
    let sql = "SELECT t.n_tup_upd + t.n_tup_del AS written, i.idx_tup_read AS read FROM pg_stat_user_tables t
         JOIN pg_stat_user_indexes i USING (relid) WHERE i.indexrelname = 'due_pkey'";
    let read = loop {
        // A session tells what it has done when it does something more, a second later.
        store.writes().await.expect("written");
        let row = sqlx::query(sql).fetch_one(&mut looks).await.expect("answers");
        if row.get::<i64, _>("written") >= (2 * 12 * ROUNDS) as i64 {
            break row.get::<i64, _>("read");
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    };
    assert!(read < 5 * WAITING as i64, "{read} rows of the index were read");
}

//! Doubts: every combination of what can be known about one, and what people decide.

use crate::harness::{
    DIGEST, EVENT, accept, accepted_reminder,
    program::{Program, SandboxServer, Site, body},
    reminder,
    rig::{Rig, at, on_both_rigs},
};
use serde_json::Value;
use tixing::{
    clock::Clock,
    config::App,
    domain::{
        MINUTE, SECOND,
        consent::Balance,
        push::{Item, Push, Receipt},
        reason::Reason,
        reminder::{NewReminder, ReminderId, State},
        settle::{Consent, Settlement},
        template::OnDoubt,
    },
    sandbox::Faults,
    store::{
        Inserted,
        change::Changed,
        doubts::{Decided, Resolved, Verdict},
        lists::Filter,
        port::{Entry, Queue},
        pushes::NewPush,
    },
};

/// What is known of the receipts.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Feed {
    /// The app has no callback.
    None,
    /// It has one, and nothing comes.
    Silent,
    /// It has one, and the receipt comes.
    Tells,
}

/// What a second request would be answered.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Answer {
    Accepted,
    NoConsent,
    Refused,
    Lost,
}

struct Case {
    consents: usize,
    long_term: bool,
    exclusive: bool,
    feed: Feed,
    policy: OnDoubt,
    answer: Answer,
}

impl Case {
    fn name(&self) -> String {
        let Self { consents, long_term, exclusive, feed, policy, answer } = self;
        format!(
            "{consents} consents, long-term {long_term}, exclusive {exclusive}, receipts {feed:?}, {policy:?}, {answer:?}"
        )
    }

    /// Whether a resend cannot deliver twice.
    fn safe(&self) -> bool {
        self.exclusive && self.consents == 1 && !self.long_term
    }

    /// How it must end, and by what a resend is followed at all.
    fn expected(&self) -> (State, bool) {
        match (self.feed, self.safe(), self.policy, self.answer) {
            // A safe resend does not wait for a receipt.
            (_, true, _, Answer::Accepted | Answer::NoConsent) => (State::Sent, true),
            (Feed::Tells, ..) => (State::Sent, self.safe()),
            (_, true, _, Answer::Refused | Answer::Lost) => (State::Unconfirmed, true),
            (_, false, OnDoubt::Resend, Answer::Accepted) => (State::Sent, true),
            (_, false, OnDoubt::Resend, _) => (State::Unconfirmed, true),
            (_, false, OnDoubt::AssumeSent | OnDoubt::Ask, _) => (State::Unconfirmed, false),
        }
    }
}

async fn state(rig: &Rig, id: ReminderId) -> State {
    rig.store().reminder(id).await.expect("answers").expect("it is there").due.state
}

/// Lives one case through on a user of its own, from second `start` on.
async fn live(rig: &mut Rig, case: &Case, number: i64, start: i64) {
    let (openid, name) = (format!("o-{number}"), case.name());
    let template = if case.long_term { DIGEST } else { EVENT };
    let appid = rig.apps[0].appid.clone();
    // A message that arrives, so that what was lost before is forgiven.
    rig.sandbox.world().faults = Faults::default();
    rig.tap("o-calm");
    rig.store().insert(vec![accepted_reminder("o-calm", at(start - 5))]).await.expect("inserted");
    rig.pass(at(start) - 4 * SECOND - rig.clock().now(), SECOND).await;
    for _ in 0..case.consents {
        rig.sandbox.world().tap(&appid, &openid, template, true);
        rig.store().record(vec![accept("coffee", &openid, template)]).await.expect("recorded");
    }
    let data = if case.long_term {
        r#"{"thing1":"摘要"}"#
    } else {
        r#"{"thing1":"读书会","time2":"2027年3月1日 10:00"}"#
    };
    let new = NewReminder {
        template: template.into(),
        standing: case.long_term,
        expires_at: at(start) + 3 * MINUTE,
        data: data.into(),
        ..reminder(&openid, at(start))
    };
    let inserted = rig.store().insert(vec![new]).await.expect("answers");
    let [Inserted::Created(id)] = inserted[..] else { panic!("{name}: {inserted:?}") };
    // The first request is lost: before or after it was accepted, which only the platform knows.
    let arrives = case.answer == Answer::NoConsent || case.feed == Feed::Tells;
    rig.sandbox.world().faults = match arrives {
        true => Faults { reset_after_rate: 1.0, ..Faults::default() },
        false => Faults { reset_before_rate: 1.0, ..Faults::default() },
    };
    rig.pass(at(start) + 2 * SECOND - rig.clock().now(), SECOND).await;
    assert_eq!(state(rig, id).await, State::InDoubt, "{name}");
    rig.sandbox.world().faults = match case.answer {
        Answer::Accepted | Answer::NoConsent => Faults::default(),
        Answer::Refused => Faults { account_code: Some(40_003), ..Faults::default() },
        Answer::Lost => Faults { reset_before_rate: 1.0, ..Faults::default() },
    };
    if case.answer == Answer::NoConsent && !case.safe() {
        rig.sandbox.world().set_switch(&appid, &openid, Some(template), false);
    }
    let before = rig.messages().len();
    rig.pass(10 * SECOND, SECOND).await;
    if case.feed != Feed::None && !case.safe() {
        assert_eq!(state(rig, id).await, State::InDoubt, "{name}: the receipt is waited for");
        assert_eq!(rig.messages().len(), before, "{name}: and nothing is sent meanwhile");
    }
    if case.feed == Feed::Tells && state(rig, id).await != State::Sent {
        let receipt = Receipt { template: template.into(), message_id: None, failure: None, text: "success".into() };
        let push = Push { openid: openid.clone(), at: at(start), items: vec![Item::Receipt(receipt)], id: None };
        let taken = rig.store().push(NewPush { app: "coffee".into(), push }).await.expect("answers");
        assert_eq!(taken.receipts, ["delivered"], "{name}");
    }
    rig.pass(80 * SECOND, 10 * SECOND).await;
    if case.policy == OnDoubt::Ask && !case.safe() && case.feed != Feed::Tells {
        assert_eq!(state(rig, id).await, State::InDoubt, "{name}: an operator may still decide");
    }
    rig.pass(2 * MINUTE, 20 * SECOND).await;
    let (wanted, resent) = case.expected();
    assert_eq!(state(rig, id).await, wanted, "{name}");
    let received = rig.openids().iter().filter(|received| **received == openid).count();
    let accepted_again = usize::from(resent && case.answer == Answer::Accepted && !(case.safe() && arrives));
    assert_eq!(received, usize::from(arrives) + accepted_again, "{name}");
    let balance = rig.store().balances("coffee", &openid).await.expect("answers")[template];
    let spent = if case.long_term {
        Balance { available: 1, ..Balance::default() }
    } else {
        Balance { available: case.consents as i64 - 1, held: 0, used: 1, void: 0 }
    };
    assert_eq!(balance, spent, "I4: {name}");
}

#[tokio::test]
async fn i2_every_combination_of_what_is_known_of_a_doubt_ends_as_it_should() {
    for exclusive in [false, true] {
        for feed in [Feed::None, Feed::Silent, Feed::Tells] {
            for policy in [OnDoubt::AssumeSent, OnDoubt::Resend, OnDoubt::Ask] {
                let change = move |app: &mut App| {
                    app.rules.exclusive = exclusive;
                    app.rules.receipt_wait = (feed != Feed::None).then_some(60 * SECOND);
                    app.templates.iter_mut().for_each(|template| template.on_doubt = policy);
                };
                on_both_rigs(change, async |mut rig| {
                    rig.engine.turn().await;
                    let mut number = 0;
                    for (consents, long_term) in [(1, false), (2, false), (1, true)] {
                        for answer in [Answer::Accepted, Answer::NoConsent, Answer::Refused, Answer::Lost] {
                            let case = Case { consents, long_term, exclusive, feed, policy, answer };
                            live(&mut rig, &case, number, 10 + number * 600).await;
                            number += 1;
                        }
                    }
                    rig
                })
                .await;
            }
        }
    }
}

/// Reminders whose answers are lost, once each waits for somebody to decide.
async fn in_doubt(program: &Program, sandbox: &SandboxServer, openids: &[&str]) -> Vec<String> {
    let mut ids = Vec::new();
    for openid in openids {
        sandbox.sandbox.world().tap("wx0123456789abcdef", openid, EVENT, true);
        let (status, answer) = program.post("/v1/reminders", &body(openid, 50)).await;
        assert_eq!(status, 201, "{answer}");
        ids.push(answer["id"].as_str().expect("an id").to_owned());
    }
    for id in &ids {
        program.wait(&format!("/v1/reminders/{id}"), 30, |r| r["reason"] == "asks").await;
    }
    ids
}

#[tokio::test]
async fn a_doubt_whose_user_turned_the_template_off_is_not_sent_again_whatever_its_owner_says() {
    for (exclusive, policy, feed) in [
        (true, OnDoubt::AssumeSent, false),
        (true, OnDoubt::Resend, false),
        (false, OnDoubt::Resend, false),
        (false, OnDoubt::Resend, true),
    ] {
        let change = move |app: &mut App| {
            app.rules.exclusive = exclusive;
            app.rules.receipt_wait = feed.then_some(MINUTE);
            app.templates.iter_mut().for_each(|t| t.on_doubt = policy);
        };
        on_both_rigs(change, async |mut rig| {
            rig.tap("o1");
            rig.store().insert(vec![accepted_reminder("o1", at(10))]).await.expect("inserted");
            rig.sandbox.world().faults = Faults { reset_before_rate: 1.0, ..Faults::default() };
            rig.pass(11 * SECOND, SECOND).await;
            rig.sandbox.world().faults = Faults::default();
            let items = vec![Item::TurnedOff { template: EVENT.into() }];
            let push = Push { openid: "o1".into(), at: at(12), items, id: None };
            rig.store().push(NewPush { app: "coffee".into(), push }).await.expect("taken");
            rig.pass(30 * SECOND, SECOND).await;
            assert_eq!(rig.states().await[0].0 == State::InDoubt, feed, "the receipt is waited for where there is one");
            rig.pass(5 * MINUTE, 10 * SECOND).await;
            let stored = rig.store().list(&Filter { apps: vec!["coffee".into()], limit: 9, ..Filter::default() }).await;
            let stored = stored.expect("answers");
            let events = rig.store().events(&stored[0]).await.expect("answers");
            let last = events.last().map(|event| (event.state, event.reason.clone()));
            assert_eq!(last, Some((State::Unconfirmed, Some(Reason::DoubtTurnedOff))), "{exclusive} {policy:?}");
            assert!(rig.messages().is_empty());
            rig
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i8_an_operator_decides_about_a_doubt_and_is_remembered() {
    let sandbox = SandboxServer::start(1).await;
    let site = Site::new("sqlite:tixing.db", &sandbox.url, "");
    let text = std::fs::read_to_string(site.path("tixing.toml")).expect("there");
    let text = text.replace("kind = \"one-time\"", "kind = \"one-time\"\non_doubt = \"ask\"");
    std::fs::write(site.path("tixing.toml"), text).expect("written");
    let program = site.serve_with_key();
    sandbox.sandbox.world().faults = Faults { reset_before_rate: 1.0, ..Faults::default() };
    let ids = in_doubt(&program, &sandbox, &["o1", "o2", "o3", "o4"]).await;
    let (code, out, said) = site.run(&["doubt", "list", "--json"]);
    assert!(code == 0 && out.lines().count() == 4, "{out}{said}");
    sandbox.sandbox.world().faults = Faults::default();
    let state = async |id: &str| program.get(&format!("/v1/reminders/{id}")).await.1["state"].clone();
    for (id, verdict) in ids.iter().zip(["sent", "not_sent", "unconfirmed"]) {
        let (code, _, said) = site.run(&["doubt", "resolve", id, "--as", verdict]);
        assert_eq!(code, 0, "{said}");
    }
    assert_eq!([state(&ids[0]).await, state(&ids[1]).await, state(&ids[2]).await], ["sent", "failed", "unconfirmed"]);
    assert_eq!(site.run(&["doubt", "resolve", &ids[3], "--as", "resend"]).0, 0);
    program.wait(&format!("/v1/reminders/{}", ids[3]), 10, |r| r["state"] == "sent").await;
    assert_eq!(sandbox.sandbox.world().messages().len(), 1);
    // What was given up can be corrected; what has ended otherwise cannot.
    let (code, out, _) = site.run(&["doubt", "list", "--given-up", "--json"]);
    assert!(code == 0 && out.contains(&ids[2]), "{out}");
    let (code, _, said) = site.run(&["doubt", "resolve", &ids[0], "--as", "not_sent"]);
    assert!(code == 1 && said.contains("«sent»"), "{said}");
    assert_eq!(site.run(&["doubt", "resolve", &ids[2], "--as", "resend"]).0, 1);
    assert_eq!(site.run(&["doubt", "resolve", &ids[2], "--as", "not_sent"]).0, 0);
    assert_eq!(site.run(&["doubt", "resolve", "r_0000000000000", "--as", "sent"]).0, 4);
    assert_eq!(site.run(&["doubt", "resolve", &ids[2], "--as", "perhaps"]).0, 2);
    // Sent again on demand and refused: the first may have arrived, and here it had.
    sandbox.sandbox.world().faults = Faults { reset_after_rate: 1.0, ..Faults::default() };
    let arrived = in_doubt(&program, &sandbox, &["o5"]).await.remove(0);
    sandbox.sandbox.world().faults = Faults::default();
    assert_eq!(site.run(&["doubt", "resolve", &arrived, "--as", "resend"]).0, 0);
    program.wait(&format!("/v1/reminders/{arrived}"), 10, |r| r["state"] == "unconfirmed").await;
    let (_, why) = program.get(&format!("/v1/reminders/{}/explain", ids[2])).await;
    let evidence: String = why["evidence"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    assert!(evidence.matches("the command line decided").count() == 2, "both decisions are kept: {why}");
    assert!(why["en"].as_str().is_some_and(|en| en.starts_with("Not sent: the command line decided")), "{why}");
    let (_, stats) = program.get("/v1/stats?app=coffee").await;
    let consents = &stats["apps"][0]["consents"];
    assert_eq!(["available", "held", "used"].map(|n| consents[n].as_i64().unwrap_or(-1)), [2, 0, 3], "{stats}");
    assert!(program.terminate().0.success());
}

/// What happens to a reminder that an operator wants sent again, before it is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Meanwhile {
    Cancelled,
    TurnedOff,
    Received,
    /// Another message to the user is refused: the platform knows no consent.
    Denied,
}

#[tokio::test]
async fn a_doubt_that_waits_to_be_sent_again_is_still_a_doubt_to_everybody() {
    for meanwhile in [Meanwhile::Cancelled, Meanwhile::TurnedOff, Meanwhile::Received, Meanwhile::Denied] {
        let change = |app: &mut App| app.templates.iter_mut().for_each(|t| t.on_doubt = OnDoubt::Ask);
        on_both_rigs(change, async |mut rig| {
            rig.tap("o1");
            rig.store().insert(vec![accepted_reminder("o1", at(10))]).await.expect("inserted");
            // It arrives, and the answer is lost.
            rig.sandbox.world().faults = Faults { reset_after_rate: 1.0, ..Faults::default() };
            rig.pass(40 * SECOND, SECOND).await;
            rig.sandbox.world().faults = Faults::default();
            let filter = Filter { apps: vec!["coffee".into()], limit: 9, ..Filter::default() };
            let first = rig.store().list(&filter).await.expect("answers").remove(0);
            assert_eq!(first.due.state, State::InDoubt);
            let again =
                Decided { id: first.due.id, verdict: Verdict::Resend, actor: tixing::words::Message::text("somebody") };
            assert_eq!(rig.store().resolve(again).await.expect("answers"), Resolved::Yes);
            // And before the engine takes its next turn:
            let push = |item| NewPush {
                app: "coffee".into(),
                push: Push { openid: "o1".into(), at: at(41), items: vec![item], id: None },
            };
            match meanwhile {
                Meanwhile::Cancelled => {
                    assert_eq!(rig.store().cancel(first.due.id).await.expect("answers"), Changed::Yes);
                }
                Meanwhile::TurnedOff => {
                    let off = Item::TurnedOff { template: EVENT.into() };
                    assert_eq!(rig.store().push(push(off)).await.expect("taken").ended, 0);
                }
                Meanwhile::Received => {
                    let template = EVENT.to_owned();
                    let receipt = Receipt { template, message_id: None, failure: None, text: "success".into() };
                    let taken = rig.store().push(push(Item::Receipt(receipt))).await.expect("taken");
                    assert_eq!(taken.receipts, ["delivered"]);
                }
                Meanwhile::Denied => {
                    // The ledger has a consent that the platform does not know.
                    rig.store().record(vec![accept("coffee", "o1", EVENT)]).await.expect("recorded");
                    let other = rig.store().insert(vec![reminder("o1", at(11))]).await.expect("answers")[0];
                    let Inserted::Created(other) = other else { panic!("{other:?}") };
                    let mut jobs = rig.store().prefetch(1, (i64::MIN, 0), at(50), 9).await.expect("answers");
                    jobs.retain(|job| job.due.id == other);
                    rig.store().mark(jobs.clone()).await.expect("answers");
                    let denied =
                        Settlement::end(State::Failed, "43101", "user refuse to accept the msg", Consent::Deny);
                    let settle =
                        Entry { target: jobs[0].target(true), settlement: denied, began_at: None, ended_at: at(41) };
                    assert_eq!(rig.store().settle(vec![settle]).await.expect("answers"), [true]);
                }
            }
            rig.pass(2 * MINUTE, SECOND).await;
            let expected = if meanwhile == Meanwhile::Received { State::Sent } else { State::Unconfirmed };
            assert_eq!(state(&rig, first.due.id).await, expected, "{meanwhile:?}");
            assert_eq!(rig.messages().len(), 1, "{meanwhile:?}: it had arrived");
            let balance = rig.store().balances("coffee", "o1").await.expect("answers")[EVENT];
            assert_eq!(
                (balance.used, balance.available, balance.held),
                (1, 0, 0),
                "{meanwhile:?}: its consent is spent"
            );
            rig
        })
        .await;
    }
}

//! Several writers on one PostgreSQL: what one store promises, two promise beside each other.

use crate::{
    harness::{EVENT, START, accept, accepted_reminder, apps, databases, fresh, reminder, wish},
    store::{created, sent, settle, somebody_waits},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};
use tixing::{
    clock::ManualClock,
    config::Durability,
    domain::{
        consent::Report,
        draft::Change,
        push::{Item, Push, Receipt},
        reminder::{Accepted, NewReminder, ReminderId, State},
        request::Request,
        retention::Retention,
        settle::{Consent, Next, Settlement},
    },
    store::{
        Inserted, Store, StoreError,
        bulk::{Bulk, Choice},
        change::Changed,
        doubts::{Decided, Resolved, Verdict},
        keys::{NewApiKey, Scope},
        lists::Filter,
        port::{Job, Marked, Queue},
        pushes::NewPush,
        requests::Once,
        retention::Walk,
        schedules::{BeginLoad, Begun},
    },
    words::Message,
};

const DAY: i64 = 24 * 3_600_000;

/// Two stores on one fresh PostgreSQL database, and what is needed to look at it and to be a third writer.
struct Two {
    stores: [Store; 2],
    url: String,
    clock: Arc<ManualClock>,
    looks: AnyConnection,
}

/// A store beside others.
async fn beside(url: &str, clock: &Arc<ManualClock>, slot: i64, durability: Durability) -> Store {
    let (apps, clock) = (apps("http://127.0.0.1:1"), Arc::clone(clock));
    Store::open_beside(url, durability, &apps, clock as _, slot).await.expect("it opens beside the others")
}

/// None where there is no PostgreSQL.
async fn two() -> Option<Two> {
    let database = databases().into_iter().find(|database| *database == "postgres")?;
    let test = fresh(database).await;
    test.store.close().await;
    let (url, clock) = (test.url.clone(), Arc::clone(&test.clock));
    let of = async |slot| beside(&url, &clock, slot, Durability::Full).await;
    let (stores, looks) = ([of(1).await, of(2).await], AnyConnection::connect(&url).await.expect("connects"));
    Some(Two { stores, url, clock, looks })
}

async fn number(conn: &mut AnyConnection, sql: &str) -> i64 {
    sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_one(conn).await.expect("answers").get(0)
}

async fn run(conn: &mut AnyConnection, sql: &str) -> u64 {
    let done = sqlx::query(AssertSqlSafe(sql.to_owned())).execute(conn).await;
    done.unwrap_or_else(|e| panic!("{sql}: {e}")).rows_affected()
}

#[tokio::test]
async fn two_slots_give_out_ids_and_count_beside_each_other() {
    let Some(Two { stores: [one, other], mut looks, .. }) = two().await else { return };
    let mut ids = Vec::new();
    for (i, store) in [&one, &other, &one, &other].into_iter().enumerate() {
        ids.push(created(store, accepted_reminder(&format!("o{i}"), START + 1_000)).await);
    }
    assert_eq!(ids.iter().map(|id| id.0 % 64).collect::<Vec<_>>(), [1, 2, 1, 2]);
    // What the one has stored the other ends.
    for id in &ids {
        assert_eq!(other.cancel(*id).await.expect("answers"), Changed::Yes);
    }
    for store in [&one, &other] {
        let tally = &store.tally().await.expect("counted")["coffee"];
        assert_eq!((tally["scheduled"], tally["cancelled"], tally["consent_available"]), (0, 4, 4));
    }
    for (slot, n) in [(1, 2), (2, -2)] {
        let sql = format!("SELECT n FROM tally WHERE lane = 1 AND name = 'scheduled' AND slot = {slot}");
        assert_eq!(number(&mut looks, &sql).await, n, "of slot {slot}");
    }
    books_balance(&one, &mut looks).await;
}

/// Of the session a pooler would hand it on to another client: what holds for writes is said in each transaction, and what holds for readers
/// when they connect.
#[tokio::test]
async fn each_write_says_for_itself_what_holds_for_it_and_readers_say_it_when_they_connect() {
    let Some(Two { url, clock, mut looks, .. }) = two().await else { return };
    let store = beside(&url, &clock, 3, Durability::Process).await;
    let told = |names: &[&str]| {
        let told: Vec<String> = names.iter().map(|name| format!("current_setting('{name}')")).collect();
        told.join(" || ' ' || ")
    };
    let of_writes = told(&["synchronous_commit", "statement_timeout"]);
    for sql in [
        &format!(
            "CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.name = {of_writes}; RETURN NEW; END $$"
        ),
        "CREATE TRIGGER tell BEFORE INSERT ON api_key FOR EACH ROW EXECUTE FUNCTION tell()",
    ] {
        run(&mut looks, sql).await;
    }
    let key = NewApiKey { name: "one".into(), hash: "a".into(), scope: Scope::Read, apps: None };
    store.create_key(key).await.expect("stored");
    assert_eq!(store.keys().await.expect("answers")[0].name, "off 20s");
    let of_reads = told(&["transaction_read_only", "enable_seqscan", "statement_timeout"]);
    for sql in [
        "ALTER TABLE api_key RENAME TO key_rows",
        &format!(
            "CREATE VIEW api_key AS SELECT id, {of_reads} AS name, hash, scope, apps, created_at, revoked_at FROM key_rows"
        ),
    ] {
        run(&mut looks, sql).await;
    }
    assert_eq!(store.keys().await.expect("answers")[0].name, "on off 20s");
}

/// I4 and what else must hold of the rows whoever wrote them.
async fn books_balance(store: &Store, looks: &mut AnyConnection) {
    for (wrong, sql) in [
        ("a reminder lives twice", "SELECT COUNT(*) FROM (SELECT id FROM due GROUP BY id HAVING COUNT(*) > 1) x"),
        (
            "a reminder lives and has ended",
            "SELECT COUNT(*) FROM due d JOIN reminder m ON m.id = d.id JOIN outcome o ON o.lane = m.lane AND o.at = m.at AND o.id = m.id WHERE o.next_at IS NULL",
        ),
        (
            "a living row that nobody finds",
            "SELECT COUNT(*) FROM due d LEFT JOIN reminder m ON m.id = d.id WHERE m.id IS NULL OR d.due_at <> COALESCE((SELECT x.next_at FROM outcome x WHERE x.lane = m.lane AND x.at = m.at AND x.id = m.id ORDER BY x.fence DESC LIMIT 1), m.at)",
        ),
        (
            "a reminder that neither lives nor has ended",
            "SELECT COUNT(*) FROM reminder m WHERE NOT EXISTS (SELECT 1 FROM due d WHERE d.id = m.id) AND NOT EXISTS (SELECT 1 FROM outcome o WHERE o.lane = m.lane AND o.at = m.at AND o.id = m.id AND o.next_at IS NULL)",
        ),
        (
            "an outcome of nothing",
            "SELECT COUNT(*) FROM outcome o WHERE NOT EXISTS (SELECT 1 FROM reminder m WHERE m.id = o.id AND m.at = o.at)",
        ),
        (
            "a receipt of nothing",
            "SELECT COUNT(*) FROM receipt q WHERE NOT EXISTS (SELECT 1 FROM reminder m WHERE m.id = q.id AND m.at = q.at)",
        ),
        (
            "a living reminder without its consent, or with two",
            "SELECT COUNT(*) FROM due d JOIN reminder m ON m.id = d.id WHERE m.at_fire = 0 AND (SELECT COUNT(*) FROM consent c WHERE c.reminder = m.id) <> 1",
        ),
        (
            "a waiting reminder whose consent is void",
            "SELECT COUNT(*) FROM due d JOIN consent c ON c.reminder = d.id WHERE c.voided_at IS NOT NULL",
        ),
        (
            "a consent of nobody",
            "SELECT COUNT(*) FROM consent c WHERE NOT EXISTS (SELECT 1 FROM recipient p WHERE p.id = c.recipient)",
        ),
        (
            "a tap that counts twice",
            "SELECT COUNT(*) FROM (SELECT event FROM consent WHERE event IS NOT NULL GROUP BY recipient, template, event HAVING COUNT(*) > 1) x",
        ),
        (
            "a key of two reminders",
            "SELECT COUNT(*) FROM (SELECT key FROM reminder WHERE key IS NOT NULL GROUP BY lane, key HAVING COUNT(*) > 1) x",
        ),
        ("in doubt though received", "SELECT COUNT(*) FROM receipt q JOIN due d ON d.id = q.id WHERE d.state = 2"),
        (
            "unconfirmed though received",
            "SELECT COUNT(*) FROM receipt q JOIN outcome o ON o.lane = q.lane AND o.at = q.at AND o.id = q.id WHERE o.next_at IS NULL AND o.state = 'unconfirmed'",
        ),
        (
            "a reminder of a forgotten user lives",
            "SELECT COUNT(*) FROM due d JOIN reminder m ON m.id = d.id JOIN recipient p ON p.id = m.recipient WHERE p.openid LIKE 'forgotten %'",
        ),
        (
            "words for a forgotten user",
            "SELECT COUNT(*) FROM reminder m JOIN recipient p ON p.id = m.recipient WHERE p.openid LIKE 'forgotten %' AND m.data <> '{}'",
        ),
        (
            "available to a forgotten user",
            "SELECT COUNT(*) FROM consent c JOIN recipient p ON p.id = c.recipient WHERE p.openid LIKE 'forgotten %' AND c.reminder IS NULL AND c.voided_at IS NULL",
        ),
    ] {
        assert_eq!(number(looks, sql).await, 0, "{wrong}");
    }
    let counted = "SELECT COUNT(*) FROM (
        SELECT lane, name, SUM(n) AS n FROM (
            SELECT lane, name, n FROM tally WHERE lane <> 0 AND name <> 'drift'
            UNION ALL SELECT lane, CASE state WHEN 0 THEN 'scheduled' WHEN 1 THEN 'sending' ELSE 'in_doubt' END, -1 FROM due
            UNION ALL SELECT lane, state, -1 FROM outcome WHERE next_at IS NULL
            UNION ALL SELECT lane, CASE WHEN failure IS NULL THEN 'receipt_delivered' ELSE 'receipt_undelivered' END, -1 FROM receipt
            UNION ALL SELECT l.id, CASE WHEN c.voided_at IS NOT NULL THEN 'consent_void' WHEN c.reminder IS NULL THEN 'consent_available'
                WHEN EXISTS (SELECT 1 FROM due d WHERE d.id = c.reminder) THEN 'consent_held' ELSE 'consent_used' END, -1
                FROM consent c JOIN template t ON t.id = c.template JOIN lane l ON l.app = t.app
        ) moves GROUP BY lane, name HAVING SUM(n) <> 0) x";
    if number(looks, counted).await != 0 {
        let tally = store.tally().await.expect("answers");
        panic!("I4: the counts disagree with the rows: {tally:?}");
    }
}

/// What is there before two do something at once.
#[derive(Clone)]
struct Scene {
    round: i64,
    user: String,
    /// It waits.
    waiting: (ReminderId, Job),
    /// It is being sent.
    sending: (ReminderId, Job),
    /// It is in doubt.
    doubt: ReminderId,
    /// All that was marked, with its fence.
    marks: Arc<Mutex<Vec<(ReminderId, i64)>>>,
}

impl Scene {
    async fn set(store: &Store, round: i64, marks: &Arc<Mutex<Vec<(ReminderId, i64)>>>) -> Self {
        let (user, base) = (format!("o{round}"), START + round * 10_000);
        let mut ids = Vec::new();
        for i in 0..3 {
            ids.push(created(store, accepted_reminder(&user, base + i)).await);
        }
        store.record(vec![accept("coffee", &user, EVENT)]).await.expect("recorded");
        let jobs = store.prefetch(1, (base, 0), base + 9_000, 100).await.expect("read");
        let job = |id: ReminderId| jobs.iter().find(|job| job.due.id == id).expect("it waits").clone();
        let marked = store.mark(vec![job(ids[1]), job(ids[2])]).await.expect("marked");
        assert_eq!(marked, [Marked::Yes, Marked::Yes]);
        let doubt = in_doubt(base + 20_000_000);
        assert_eq!(store.settle(vec![settle(&job(ids[2]), true, doubt)]).await.expect("settled"), [true]);
        let marks = Arc::clone(marks);
        marks.lock().expect("whole").extend(ids[1..].iter().map(|id| (*id, job(*id).due.fence)));
        Self { round, user, waiting: (ids[0], job(ids[0])), sending: (ids[1], job(ids[1])), doubt: ids[2], marks }
    }
}

fn in_doubt(look_at: i64) -> Settlement {
    let (next, code) = (Next::Doubt { look_at }, Some("lost".into()));
    Settlement { next, code, consent: Consent::Keep, ..denied() }
}

fn denied() -> Settlement {
    Settlement::end(State::Failed, "43101", "user refuse to accept the msg", Consent::Deny)
}

/// What somebody does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    InsertByKey,
    InsertOnce,
    BringTap,
    Reserve,
    RecordTap,
    Record,
    Mark,
    Sent,
    Doubt,
    Denied,
    Receipt,
    TurnOff,
    Cancel,
    CancelMany,
    Change,
    ShiftMany,
    Resolve,
    Forget,
    LetIn,
    Retain,
    PauseApp,
}

const DEEDS: [Deed; 21] = [
    Deed::InsertByKey,
    Deed::InsertOnce,
    Deed::BringTap,
    Deed::Reserve,
    Deed::RecordTap,
    Deed::Record,
    Deed::Mark,
    Deed::Sent,
    Deed::Doubt,
    Deed::Denied,
    Deed::Receipt,
    Deed::TurnOff,
    Deed::Cancel,
    Deed::CancelMany,
    Deed::Change,
    Deed::ShiftMany,
    Deed::Resolve,
    Deed::Forget,
    Deed::LetIn,
    Deed::Retain,
    Deed::PauseApp,
];

/// Each with each that it must be told apart from.
const PAIRS: [(Deed, Deed); 26] = [
    (Deed::InsertByKey, Deed::InsertByKey),
    (Deed::InsertOnce, Deed::InsertOnce),
    (Deed::BringTap, Deed::BringTap),
    (Deed::BringTap, Deed::RecordTap),
    (Deed::Reserve, Deed::Reserve),
    (Deed::RecordTap, Deed::RecordTap),
    (Deed::Record, Deed::Record),
    (Deed::Mark, Deed::Mark),
    (Deed::Mark, Deed::Cancel),
    (Deed::Mark, Deed::Change),
    (Deed::Mark, Deed::CancelMany),
    (Deed::Mark, Deed::ShiftMany),
    (Deed::Mark, Deed::Forget),
    (Deed::Mark, Deed::Denied),
    (Deed::Doubt, Deed::Receipt),
    (Deed::Sent, Deed::Receipt),
    (Deed::Denied, Deed::Reserve),
    (Deed::Denied, Deed::Cancel),
    (Deed::TurnOff, Deed::Record),
    (Deed::TurnOff, Deed::Reserve),
    (Deed::Forget, Deed::BringTap),
    (Deed::Forget, Deed::Record),
    (Deed::Forget, Deed::Sent),
    (Deed::Resolve, Deed::Resolve),
    (Deed::Retain, Deed::Retain),
    (Deed::Cancel, Deed::Change),
];

impl Deed {
    async fn done(self, store: &Store, scene: &Scene) -> Result<(), StoreError> {
        let Scene { round, user, .. } = scene;
        let (id, at) = (scene.waiting.0, START + round * 10_000 + 5_000);
        let tap =
            || Some(Accepted { at: START, source: "test".into(), event: Some(format!("tap{round}")), ticket: None });
        let key = || Some(format!("key{round}"));
        let settled = async |settlement| store.settle(vec![settle(&scene.sending.1, true, settlement)]).await.map(drop);
        let pushed = async |items| {
            let push = Push { openid: user.clone(), at: START + 900, items, id: None };
            store.push(NewPush { app: "coffee".into(), push }).await.map(drop)
        };
        let chosen = async || {
            let filter = Filter { apps: vec!["coffee".into()], openid: Some(user.clone()), ..Filter::default() };
            match store.choose(&filter, None, Duration::from_secs(5)).await? {
                Choice::All(chosen) => Ok::<_, StoreError>(chosen),
                other => panic!("{other:?}"),
            }
        };
        match self {
            Self::InsertByKey => {
                store.insert(vec![NewReminder { key: key(), ..accepted_reminder(user, at) }]).await.map(drop)
            }
            Self::InsertOnce => {
                let request = Request { app: "coffee".into(), key: format!("call{round}"), content: "c".into() };
                store.insert_once(request, accepted_reminder(user, at)).await.map(drop)
            }
            Self::BringTap => store.insert(vec![NewReminder { accepted: tap(), ..reminder(user, at) }]).await.map(drop),
            Self::Reserve => store.insert(vec![reminder(user, at)]).await.map(drop),
            Self::RecordTap => {
                let event = Some(format!("tap{round}"));
                store.record(vec![Report { event, ..accept("coffee", user, EVENT) }]).await.map(drop)
            }
            Self::Record => store.record(vec![accept("coffee", user, EVENT)]).await.map(drop),
            Self::Mark => {
                let job = scene.waiting.1.clone();
                if store.mark(vec![job.clone()]).await? == [Marked::Yes] {
                    scene.marks.lock().expect("whole").push((id, job.due.fence));
                }
                Ok(())
            }
            Self::Sent => settled(sent()).await,
            Self::Doubt => settled(in_doubt(at + 20_000_000)).await,
            Self::Denied => settled(denied()).await,
            Self::Receipt => {
                let receipt =
                    Receipt { template: EVENT.into(), message_id: None, failure: None, text: "success".into() };
                pushed(vec![Item::Receipt(receipt)]).await
            }
            Self::TurnOff => pushed(vec![Item::TurnedOff { template: EVENT.into() }]).await,
            Self::Cancel => store.cancel(id).await.map(drop),
            Self::CancelMany => store.cancel_all(chosen().await?, "test").await.map(drop),
            Self::Change => {
                let change = Change { at: Some((at + 700, None)), expires_at: Some(at + 9_000), ..Change::default() };
                store.change(id, change).await.map(drop)
            }
            Self::ShiftMany => {
                let chosen = chosen().await?;
                let n = chosen.count();
                store.shift_all(chosen, 60_000, n, "test").await.map(drop)
            }
            Self::Resolve => {
                let verdict = if round % 2 == 0 { Verdict::NotSent } else { Verdict::Unconfirmed };
                store.resolve(Decided { id: scene.doubt, verdict, actor: Message::text("test") }).await?;
                let corrected = Decided { id: scene.doubt, verdict: Verdict::NotSent, actor: Message::text("test") };
                store.resolve(corrected).await.map(drop)
            }
            Self::Forget => store.forget(wish(user)).await.map(drop),
            Self::LetIn => store.let_in(wish(user)).await.map(drop),
            Self::Retain => {
                let terms = Retention { bodies: Some(7 * DAY), attempts: Some(30 * DAY), history: Some(365 * DAY) };
                store.erase_step(&mut Walk::default(), &terms, START + 400 * DAY).await.map(drop)
            }
            Self::PauseApp => store.set_app_pause("tea", round % 2 == 0, "test").await,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_two_do_at_once_the_books_balance_and_nobody_is_refused() {
    let Some(Two { stores, mut looks, .. }) = two().await else { return };
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random::<u64>);
    let rounds: i64 = std::env::var("ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(60);
    eprintln!("SEED={seed}");
    let (mut random, marks) = (StdRng::seed_from_u64(seed), Arc::default());
    for round in 0..rounds {
        let pair = match PAIRS.get(usize::try_from(round).expect("few")) {
            Some(pair) => *pair,
            None => {
                let mut any = || DEEDS[random.random_range(0..DEEDS.len())];
                match (any(), any()) {
                    // An operator who corrects what a forgotten user's reminder was given up as frees its consent, also with one writer.
                    (Deed::Forget, Deed::Resolve) | (Deed::Resolve, Deed::Forget) => continue,
                    pair => pair,
                }
            }
        };
        let scene = Scene::set(&stores[usize::from(random.random_bool(0.5))], round, &marks).await;
        // Some of the time one is a little ahead, so that the other meets it in the middle.
        let ahead = Duration::from_micros(random.random_range(0..3_000));
        let first = usize::from(random.random_bool(0.5));
        let spawned = |deed: Deed, store: &Store, wait: Duration| {
            let (store, scene) = (store.clone(), scene.clone());
            tokio::spawn(async move {
                tokio::time::sleep(wait).await;
                deed.done(&store, &scene).await
            })
        };
        let doing = [spawned(pair.0, &stores[first], Duration::ZERO), spawned(pair.1, &stores[1 - first], ahead)];
        eprintln!("round {round}: {pair:?}");
        for done in doing {
            let done = done.await.expect("no panic");
            assert!(done.is_ok(), "SEED={seed}, round {round}, {pair:?}: {done:?}");
        }
        books_balance(&stores[0], &mut looks).await;
    }
    let marks = marks.lock().expect("whole");
    assert_eq!(marks.iter().collect::<BTreeSet<_>>().len(), marks.len(), "SEED={seed}: each mark is one writer's");
}

/// Whether what a store does, which waits for another writer, comes to what it should once that one has committed.
async fn while_waiting<T: Send + 'static>(
    two: &mut Two,
    first: &[&str],
    deed: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> T {
    let mut other = AnyConnection::connect(&two.url).await.expect("connects");
    let mut tx = other.begin().await.expect("begins");
    for sql in first {
        assert!(run(&mut tx, sql).await > 0, "{sql}");
    }
    let doing = tokio::spawn(deed);
    somebody_waits(&mut two.looks).await;
    tx.commit().await.expect("commits");
    doing.await.expect("no panic").expect("done")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_denial_finds_the_reminder_that_another_writer_was_reserving_for() {
    let Some(mut two) = two().await else { return };
    let store = two.stores[0].clone();
    let id = created(&store, accepted_reminder("o1", START)).await;
    let other = created(&store, accepted_reminder("o1", START + 9_000)).await;
    store.cancel(other).await.expect("cancelled");
    let jobs = store.prefetch(1, (i64::MIN, 0), START, 10).await.expect("read");
    store.mark(jobs.clone()).await.expect("marked");
    let reserved = [
        "UPDATE consent SET reminder = 64 WHERE reminder IS NULL",
        "INSERT INTO reminder (id, lane, recipient, template, at, expires_at, at_fire, standing, data)
         SELECT 64, lane, recipient, template, at + 50000, at + 90000, 0, 0, '{}' FROM reminder LIMIT 1",
        "INSERT INTO due (lane, due_at, id) SELECT lane, at, id FROM reminder WHERE id = 64",
        "INSERT INTO tally (lane, name, slot, n) VALUES (1, 'scheduled', 9, 1), (1, 'consent_available', 9, -1), (1, 'consent_held', 9, 1)",
    ];
    let deed = {
        let (store, entry) = (store.clone(), settle(&jobs[0], true, denied()));
        async move { store.settle(vec![entry]).await }
    };
    assert_eq!(while_waiting(&mut two, &reserved, deed).await, [true]);
    for id in [id, ReminderId(64)] {
        let stored = store.reminder(id).await.expect("answers").expect("there");
        assert_eq!(stored.due.state, State::Failed, "nothing waits on a consent that is void");
    }
    books_balance(&store, &mut two.looks).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_denial_leaves_what_another_writer_marks_meanwhile_its_consent() {
    let Some(mut two) = two().await else { return };
    let store = two.stores[0].clone();
    created(&store, accepted_reminder("o1", START)).await;
    let waits = created(&store, accepted_reminder("o1", START + 9_000)).await;
    let jobs = store.prefetch(1, (i64::MIN, 0), START, 10).await.expect("read");
    store.mark(jobs.clone()).await.expect("marked");
    // Between voiding a consent and ending its reminder it is asked whether the store is on hold.
    let marked = [
        "UPDATE due SET state = 1, fence = fence + 1 WHERE state = 0",
        "UPDATE tally SET n = n + CASE name WHEN 'sending' THEN 1 ELSE -1 END WHERE lane = 1 AND slot = 1 AND name IN ('sending', 'scheduled')",
    ];
    let mut other = AnyConnection::connect(&two.url).await.expect("connects");
    let mut tx = other.begin().await.expect("begins");
    run(&mut tx, "LOCK TABLE hold IN ACCESS EXCLUSIVE MODE").await;
    let settled = {
        let (store, entry) = (store.clone(), settle(&jobs[0], true, denied()));
        tokio::spawn(async move { store.settle(vec![entry]).await })
    };
    somebody_waits(&mut two.looks).await;
    for sql in marked {
        assert!(run(&mut tx, sql).await > 0, "{sql}");
    }
    tx.commit().await.expect("commits");
    assert_eq!(settled.await.expect("no panic").expect("settled"), [true]);
    let stored = store.reminder(waits).await.expect("answers").expect("there");
    assert_eq!(stored.due.state, State::Sending);
    books_balance(&store, &mut two.looks).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tap_that_another_writer_records_between_two_questions_counts_once() {
    let Some(mut two) = two().await else { return };
    let store = two.stores[0].clone();
    store.record(vec![accept("coffee", "o1", EVENT)]).await.expect("recorded");
    // It waits for the consent that is available, and only then looks for the tap.
    let first = [
        "SELECT n FROM consent FOR UPDATE",
        "INSERT INTO consent (recipient, template, n, granted_at, source, event) SELECT recipient, template, n + 1, granted_at, 'other', 'tap' FROM consent",
    ];
    let deed = {
        let (store, report) = (store.clone(), Report { event: Some("tap".into()), ..accept("coffee", "o1", EVENT) });
        async move { store.record(vec![report]).await }
    };
    assert_eq!(while_waiting(&mut two, &first, deed).await, [Some(0)]);
    assert_eq!(store.consents("coffee", "o1").await.expect("answers").len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_writer_marks_is_neither_moved_nor_cancelled_nor_changed_under_it() {
    for deed in [Deed::ShiftMany, Deed::CancelMany, Deed::Change, Deed::Cancel] {
        let Some(mut two) = two().await else { return };
        let store = two.stores[0].clone();
        let id = created(&store, accepted_reminder("o1", START + 1_000)).await;
        let mark = ["UPDATE due SET state = 1, fence = fence + 1"];
        let filter = Filter { apps: vec!["coffee".into()], ..Filter::default() };
        let Choice::All(chosen) = store.choose(&filter, None, Duration::from_secs(5)).await.expect("answers") else {
            panic!("one was to be chosen")
        };
        let doing = {
            let store = store.clone();
            async move {
                Ok(match deed {
                    Deed::ShiftMany => store.shift_all(chosen, 60_000, 1, "test").await? == Bulk::Meanwhile,
                    Deed::CancelMany => store.cancel_all(chosen, "test").await? == Bulk::Meanwhile,
                    Deed::Cancel => store.cancel(id).await? == Changed::NotScheduled(State::Sending),
                    _ => {
                        let change = Change { at: Some((START + 9_000, None)), ..Change::default() };
                        store.change(id, change).await? == Changed::NotScheduled(State::Sending)
                    }
                })
            }
        };
        assert!(while_waiting(&mut two, &mark, doing).await, "{deed:?}");
        let due = store.reminder(id).await.expect("answers").expect("there").due;
        assert_eq!((due.state, due.due_at, due.fence), (State::Sending, START + 1_000, 1), "{deed:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_forgotten_while_another_writer_inserts_for_them_is_forgotten_whole() {
    // One who was known before, and one whom the insert makes known.
    for known in [true, false] {
        let Some(mut two) = two().await else { return };
        let store = two.stores[0].clone();
        if known {
            store.record(vec![accept("coffee", "o1", EVENT)]).await.expect("recorded");
        }
        let user = if known {
            "SELECT id FROM recipient FOR KEY SHARE"
        } else {
            "INSERT INTO recipient (app, openid) SELECT id, 'o1' FROM app WHERE name = 'coffee'"
        };
        let template = format!(
            "(SELECT id FROM template WHERE code = '{EVENT}' AND app = (SELECT id FROM app WHERE name = 'coffee'))"
        );
        let inserted = [
            user,
            &format!(
                "INSERT INTO reminder (id, lane, recipient, template, at, expires_at, at_fire, standing, data) SELECT 64, 1, id, {template}, {START} + 50000, {START} + 90000, 0, 0, '{{}}' FROM recipient"
            ),
            "INSERT INTO due (lane, due_at, id) SELECT lane, at, id FROM reminder",
            "INSERT INTO consent (recipient, template, n, granted_at, source, reminder) SELECT recipient, template, 9, 0, 'other', id FROM reminder",
        ];
        let deed = {
            let store = store.clone();
            async move { store.forget(wish("o1")).await }
        };
        let forgotten = while_waiting(&mut two, &inserted, deed).await;
        assert_eq!((forgotten.cancelled, forgotten.erased), (1, 1), "known: {known}");
        assert_eq!(number(&mut two.looks, "SELECT COUNT(*) FROM due").await, 0);
        let other = two.stores[1].insert(vec![accepted_reminder("o1", START)]).await.expect("answers");
        assert_eq!(other, [Inserted::Forgotten]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whom_another_writer_is_forgetting_is_unknown_to_an_insert_that_waited() {
    for known in [true, false] {
        let Some(mut two) = two().await else { return };
        let store = two.stores[0].clone();
        if known {
            store.record(vec![accept("coffee", "o1", EVENT)]).await.expect("recorded");
        }
        // What forgetting does, by another store whose commit is held up: it waits for a row of the audit.
        let mut blocks = AnyConnection::connect(&two.url).await.expect("connects");
        let mut tx = blocks.begin().await.expect("begins");
        run(&mut tx, "LOCK TABLE audit IN SHARE MODE").await;
        let forgets = two.stores[1].clone();
        let forgotten = tokio::spawn(async move { forgets.forget(wish("o1")).await });
        somebody_waits(&mut two.looks).await;
        let inserted = tokio::spawn(async move { store.insert(vec![accepted_reminder("o1", START)]).await });
        tokio::time::sleep(Duration::from_millis(200)).await;
        tx.commit().await.expect("commits");
        forgotten.await.expect("no panic").expect("forgotten");
        assert_eq!(inserted.await.expect("no panic").expect("answers"), [Inserted::Forgotten], "known: {known}");
        let named = "SELECT COUNT(*) FROM recipient WHERE openid = 'o1'";
        assert_eq!(number(&mut two.looks, named).await, 0, "known: {known}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consent_that_another_writer_records_is_void_when_its_template_is_turned_off() {
    let Some(mut two) = two().await else { return };
    let store = two.stores[0].clone();
    store.record(vec![accept("coffee", "o1", EVENT)]).await.expect("recorded");
    let recorded = [
        "SELECT id FROM recipient FOR KEY SHARE",
        "INSERT INTO consent (recipient, template, n, granted_at, source) SELECT recipient, template, n + 1, granted_at, 'other' FROM consent",
    ];
    let push = Push {
        openid: "o1".into(),
        at: START + 900,
        items: vec![Item::TurnedOff { template: EVENT.into() }],
        id: None,
    };
    let deed = {
        let store = store.clone();
        async move { store.push(NewPush { app: "coffee".into(), push }).await }
    };
    while_waiting(&mut two, &recorded, deed).await;
    assert_eq!(number(&mut two.looks, "SELECT COUNT(*) FROM consent WHERE voided_at IS NULL").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_doubt_that_was_given_up_is_corrected_once() {
    let Some(mut two) = two().await else { return };
    let store = two.stores[0].clone();
    let scene = Scene::set(&store, 0, &Arc::default()).await;
    let decided = |verdict| Decided { id: scene.doubt, verdict, actor: Message::text("test") };
    assert_eq!(store.resolve(decided(Verdict::Unconfirmed)).await.expect("answers"), Resolved::Yes);
    let corrected = ["UPDATE outcome SET state = 'sent', code = 'other' WHERE state = 'unconfirmed'"];
    let deed = {
        let (store, decided) = (store.clone(), decided(Verdict::NotSent));
        async move { store.resolve(decided).await }
    };
    assert_eq!(while_waiting(&mut two, &corrected, deed).await, Resolved::Not(State::Sent));
    assert_eq!(store.tally().await.expect("answers")["coffee"]["failed"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_that_another_writer_begins_to_load_is_busy_and_a_pause_is_said_once() {
    let Some(mut two) = two().await else { return };
    let store = two.stores[0].clone();
    let load = |app: &str| BeginLoad {
        name: "s".into(),
        app: app.into(),
        template: EVENT.into(),
        path: None,
        text: String::new(),
        digest: "d".into(),
        zone: "Asia/Shanghai".into(),
        quiet: None,
        revive: false,
        by: "test".into(),
        in_folder: false,
        forget_shift: false,
    };
    let begun = format!(
        "INSERT INTO schedule (name, app, template, text, digest, zone, created_at, incomplete, task, task_by, task_nonce, task_beat, in_folder)
         SELECT 's', app, id, '', 'd', 'Asia/Shanghai', {START}, 1, 'load', 'other', 'n', {START}, 0 FROM template
         WHERE code = '{EVENT}' AND app = (SELECT id FROM app WHERE name = 'coffee')"
    );
    let deed = |load: BeginLoad| {
        let store = store.clone();
        async move { store.begin_load(load).await }
    };
    assert!(matches!(while_waiting(&mut two, &[&begun], deed(load("coffee"))).await, Begun::Busy { .. }));
    // One that is there already.
    run(&mut two.looks, "UPDATE schedule SET task = NULL, task_nonce = NULL, task_beat = NULL").await;
    let again = format!("UPDATE schedule SET task = 'load', task_by = 'other', task_nonce = 'm', task_beat = {START}");
    assert!(matches!(while_waiting(&mut two, &[&again], deed(load("coffee"))).await, Begun::Busy { .. }));
    // An app's pause.
    let said =
        format!("INSERT INTO audit (at, actor, action, detail) VALUES ({START}, 'other', 'pause_app', 'coffee')");
    let pause = {
        let store = store.clone();
        async move { store.set_app_pause("coffee", true, "test").await }
    };
    while_waiting(&mut two, &["SELECT id FROM app WHERE name = 'coffee' FOR UPDATE", &said], pause).await;
    assert_eq!(number(&mut two.looks, "SELECT COUNT(*) FROM audit WHERE action = 'pause_app'").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancellation_that_was_cut_off_is_taken_up_by_one() {
    let Some(Two { stores: [one, other], clock, mut looks, .. }) = two().await else { return };
    for i in 0..20 {
        run(&mut looks, &format!(
            "INSERT INTO schedule (name, app, template, text, digest, zone, created_at, incomplete, cancelled_at, task, task_by, task_nonce, task_beat, in_folder)
             SELECT 's{i}', app, id, '', 'd', 'Asia/Shanghai', {START}, 1, {START}, 'cancel', 'dead', 'n{i}', {START}, 0 FROM template LIMIT 1"
        )).await;
    }
    assert_eq!(one.take_up_tasks(START).await.expect("answers"), 0, "whoever is at them may be alive elsewhere");
    clock.advance(61_000);
    let (one, other) = tokio::join!(one.take_up_tasks(START + 61_000), other.take_up_tasks(START + 61_000));
    assert_eq!(one.expect("answers") + other.expect("answers"), 20);
    assert_eq!(number(&mut looks, "SELECT COUNT(*) FROM schedule WHERE task IS NOT NULL").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_two_are_asked_for_at_once_is_done_once_also_around_midnight() {
    let Some(Two { stores: [one, _], url, clock, mut looks }) = two().await else { return };
    // The other believes that it is tomorrow.
    let midnight = (START.div_euclid(DAY) + 1) * DAY;
    clock.advance(midnight - START - 1);
    let other = beside(&url, &ManualClock::at(midnight + 1), 3, Durability::Full).await;
    for round in 0..40 {
        let call = |store: &Store| {
            let request = Request { app: "coffee".into(), key: format!("call{round}"), content: "c".into() };
            let (store, new) = (store.clone(), accepted_reminder(&format!("o{round}"), midnight + 9_000));
            tokio::spawn(async move { store.insert_once(request, new).await })
        };
        let done = [call(&one), call(&other)];
        let mut n = 0;
        for done in done {
            n += usize::from(matches!(
                done.await.expect("no panic").expect("answers"),
                Once::Done(Inserted::Created(_))
            ));
        }
        assert_eq!(n, 1, "round {round}");
    }
    assert_eq!(number(&mut looks, "SELECT COUNT(*) FROM reminder").await, 40);
}

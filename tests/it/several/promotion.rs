//! A standby of the database takes over while three daemons send: one that the primary had waited for has everything, another has not.

use super::{
    is_long, rounds, seed,
    trio::{APPS, COFFEE, Planned, TEA, Trickle, Trio, id, request},
    until,
};
use crate::harness::{
    link::{Link, There},
    machine,
    pooler::{Pooler, Pooling},
    postgres::{self, Cluster},
    program::{Program, SandboxServer, now},
};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Row;
use std::time::Duration;
use tixing::domain::{Millis, reminder::ReminderId, timing::rfc3339};
use tokio::task::block_in_place;

/// Three daemons that reach the database by links, the server that these lead to, and the one that follows it.
struct Pair {
    trio: Trio,
    links: Vec<Link>,
    primary: Cluster,
    standby: Cluster,
    _pooler: Option<Pooler>,
}

/// What lies between the daemons and the database.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Between {
    Links,
    /// One link, and a pooler before it: a daemon's connections go on when the server is another.
    Pooler,
}

impl Between {
    /// As often as there are rounds: links, and then a pooler, if it is to be.
    fn in_turns(pooled: bool) -> impl Iterator<Item = Self> {
        let turns: &[Self] = if pooled { &[Self::Links, Self::Pooler] } else { &[Self::Links] };
        std::iter::repeat_n(turns, rounds()).flatten().copied()
    }
}

/// What the standby never received.
struct Behind {
    cancelled: Vec<ReminderId>,
    /// To a second later, and with another page.
    changed: Vec<ReminderId>,
    /// Reminders and consents of these users, by calls with an `Idempotency-Key`.
    once: Vec<(String, Value, Value)>,
}

impl Behind {
    /// Everything is as it was before the standby took over, and a call that is repeated is known.
    async fn is_there(&self, node: &Program) {
        for id in &self.cancelled {
            assert_eq!(node.get(&format!("/v1/reminders/{id}")).await.1["state"], "cancelled", "{id}");
        }
        for id in &self.changed {
            assert_eq!(node.get(&format!("/v1/reminders/{id}")).await.1["page"], "pages/changed", "{id}");
        }
        for (openid, asked, tapped) in &self.once {
            let tap = format!("tap-{openid}");
            for (path, key, body) in [("/v1/reminders", openid, asked), ("/v1/consents", &tap, tapped)] {
                let (status, answer) = node.post_once(path, key, body).await;
                assert_eq!(status, 200, "{answer}");
            }
            let (_, there) = node.get(&format!("/v1/consents?app={}&openid={openid}", APPS[COFFEE].0)).await;
            let balance = &there["balances"][0];
            assert_eq!((&balance["used"], &balance["available"]), (&json!(1), &json!(1)), "{there}");
        }
    }
}

/// `replication`: as the configuration says it, and as it is.
async fn pair(seed: u64, replication: &str, between: Between) -> Option<Pair> {
    let primary = block_in_place(postgres::own_cluster)?;
    let standby = block_in_place(|| primary.standby());
    if replication == "synchronous" {
        block_in_place(|| {
            primary.sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'");
            primary.sql("postgres", "DO $$ BEGIN PERFORM pg_reload_conf(); END $$");
        });
    }
    let (url, sandbox) = (primary.url("postgres"), SandboxServer::start(seed).await);
    let mut links = Vec::new();
    for _ in 0..if between == Between::Links { 3 } else { 1 } {
        links.push(Link::to(There::Socket(primary.socket()), Duration::from_secs(900)).await);
    }
    let pooler = match between {
        Between::Links => None,
        Between::Pooler => Some(Pooler::before("127.0.0.1", links[0].port, Pooling::Transactions)?),
    };
    let platform = sandbox.url.clone();
    let address = |i: usize| {
        let port = pooler.as_ref().map_or_else(|| links[i].port, |pooler| pooler.port);
        let store = format!("postgres://tixing@127.0.0.1:{port}/postgres");
        (format!("{store}\"\nreplication = \"{replication}"), platform.clone())
    };
    let trio = Trio::start_at(seed, sandbox, &url, address).await;
    Some(Pair { trio, links, primary, standby, _pooler: pooler })
}

impl Pair {
    /// The primary's machine fails, and the standby takes its place. Answers when.
    fn fail_over(&mut self) -> (Millis, Millis) {
        block_in_place(|| self.primary.kill());
        let failed = now();
        block_in_place(|| self.standby.promote());
        for link in &self.links {
            link.point_to(There::Socket(self.standby.socket()));
        }
        self.trio.url = self.standby.url("postgres");
        (failed, now())
    }

    /// Inserts what is sent meanwhile. Answers when the first is due.
    async fn begin(&self) -> Millis {
        let start = now() + 2_500;
        self.trio.insert(40, start, 20_000).await;
        start
    }

    /// The holds that there were, and how many of them have not ended.
    async fn holds(&self) -> (i64, i64) {
        let sql = "SELECT COUNT(*) AS n, COUNT(*) FILTER (WHERE released_at IS NULL) AS open FROM hold";
        let row = self.trio.sql(sql).await.swap_remove(0);
        (row.get("n"), row.get("open"))
    }

    /// Commits of all kinds that the standby never receives: marks and their ends, cancellations, changes, and, if so, new reminders.
    async fn leave_behind(&self, cancelled_by: usize, inserts: bool) -> Behind {
        let trio = &self.trio;
        let far = now() + 18_000;
        trio.crowd(COFFEE, vec![far; 16]).await;
        let mut cancelled: Vec<ReminderId> = {
            let plan = trio.plan.lock().expect("whole");
            plan.values().filter(|planned| planned.due == far).map(|planned| planned.id).take(12).collect()
        };
        let changed = if inserts { cancelled.split_off(6) } else { Vec::new() };
        tokio::time::sleep(Duration::from_millis(300)).await;
        block_in_place(|| self.primary.leave_standbys_behind());
        let behind = now();
        let mut once = Vec::new();
        if inserts {
            trio.crowd(TEA, vec![far; 12]).await;
            trio.crowd(COFFEE, vec![now() + 500; 12]).await;
            for (i, id) in changed.iter().enumerate() {
                let body = json!({ "at": rfc3339(far + 1_000), "page": "pages/changed" });
                let path = format!("/v1/reminders/{id}");
                let answer = trio.node(i % 3).call(Method::PATCH, &path, Some(&body)).await.expect("an answer");
                assert!(answer.0.is_success(), "{answer:?}");
                let mut plan = trio.plan.lock().expect("whole");
                plan.values_mut().filter(|planned| planned.id == *id).for_each(|planned| planned.due = far + 1_000);
            }
            for (i, due) in [far, far, far, now() + 500, now() + 500, now() + 500].into_iter().enumerate() {
                let openid = trio.user(COFFEE);
                let mut asked = request(COFFEE, &openid, due);
                asked.as_object_mut().expect("an object").remove("key");
                let (status, answer) = trio.node(i % 3).post_once("/v1/reminders", &openid, &asked).await;
                assert_eq!(status, 201, "{answer}");
                let planned = Planned { app: COFFEE, due, id: id(&answer), cancelled: false };
                trio.plan.lock().expect("whole").insert(openid.clone(), planned);
                let tapped = json!({"app": APPS[COFFEE].0, "openid": openid, "results": {"event-start": "accept"}});
                let (status, answer) =
                    trio.node(i % 3).post_once("/v1/consents", &format!("tap-{openid}"), &tapped).await;
                assert!(status.is_success(), "{answer}");
                once.push((openid, asked, tapped));
            }
        }
        for id in &cancelled {
            let path = format!("/v1/reminders/{id}");
            let answer = trio.node(cancelled_by).call(Method::DELETE, &path, None).await.expect("an answer");
            assert!(answer.0.is_success(), "{answer:?}");
            let mut plan = trio.plan.lock().expect("whole");
            plan.values_mut().filter(|planned| planned.id == *id).for_each(|planned| planned.cancelled = true);
        }
        until(behind + 2_000 + trio.random(0..1_000)).await;
        Behind { cancelled, changed, once }
    }

    /// An operator ends the hold, and all that became due since the primary failed is only late: nobody could send it.
    async fn release(&self, failed: Millis, what: &str, lost: usize) {
        let release = ["release", "--assume-sent", "--until", &rfc3339(failed)];
        let (code, told, said) = block_in_place(|| self.trio.sites[TEA].run(&release));
        assert_eq!(code, 0, "{told}{said}");
        let verdict = self.trio.judge(what, 60).await;
        eprintln!("{what}: {lost} messages of which it knew nothing; {} did not arrive", verdict.missing.len());
        let kept = verdict.missing.iter().find(|(_, planned)| planned.due > failed);
        assert!(kept.is_none(), "it became due on hold, and was not sent: {kept:?}");
    }

    /// How many messages went out between two instants.
    fn sent(&self, from: Millis, until: Millis) -> usize {
        let world = self.trio.sandbox.sandbox.world();
        world.messages().iter().filter(|message| (from..until).contains(&message.at)).count()
    }

    async fn end(self) {
        for node in self.trio.nodes.into_iter().flatten() {
            assert!(block_in_place(|| node.terminate()).0.success());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i2_i3_a_standby_that_was_waited_for_takes_over_and_nothing_is_held_lost_or_sent_twice() {
    let _turn = machine::half().await;
    for _ in 0..rounds() {
        let seed = seed("synchronous standby");
        let Some(mut pair) = pair(seed, "synchronous", Between::Links).await else { return };
        let start = pair.begin().await;
        let trickle = pair.trio.trickle();
        until(start + 2_000 + pair.trio.random(0..1_000)).await;
        let (failed, back) = pair.fail_over();
        let (taken, again) = trickle_until(trickle, back + 6_000).await;
        assert_eq!(pair.holds().await, (0, 0), "nothing is held");
        let verdict = pair.trio.judge("synchronous standby", 60).await;
        assert!(verdict.missing.is_empty(), "nothing is in doubt: {:?}", verdict.missing);
        for app in [COFFEE, TEA] {
            let silence = verdict.silence(app, failed, back + 8_000);
            eprintln!(
                "synchronous standby: it took over within {} ms, silent for {silence} ms; {taken} taken one by one, {again} asked for again",
                back - failed
            );
            assert!(silence <= back - failed + 7_000 + verdict.stall(), "{silence}");
        }
        assert_eq!(pair.holds().await, (0, 0), "nothing was held");
        pair.end().await;
    }
}

async fn trickle_until(trickle: Trickle, at: Millis) -> (usize, usize) {
    until(at).await;
    trickle.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i2_i3_a_standby_that_lacks_what_a_dead_daemon_wrote_is_on_hold_until_an_operator_has_looked() {
    let _turn = machine::half().await;
    for between in Between::in_turns(is_long()) {
        let seed = seed("asynchronous standby, and a daemon dies with the primary");
        let Some(mut pair) = pair(seed, "asynchronous", between).await else { continue };
        let start = pair.begin().await;
        until(start + 2_000).await;
        let begun = now();
        let behind = pair.leave_behind(2, false).await;
        pair.trio.take(COFFEE).kill();
        let (failed, back) = pair.fail_over();
        let lost = pair.sent(begun + 300, failed);
        assert!(lost > 20, "messages went out of which the standby knows nothing: {lost}");
        // Its lane is another's by then.
        until(back + 13_000).await;
        let (holds, open) = pair.holds().await;
        assert!(open > 0, "nobody knows what it had sent: {holds}{}", pair.trio.said());
        // Started again it is another one, and knows nothing of what it had written.
        let name = format!("{} (", pair.trio.names[COFFEE]);
        pair.trio.serve(COFFEE);
        let (code, told, said) = block_in_place(|| pair.trio.sites[TEA].run(&["release"]));
        let why = told + &said;
        let says = ["does not end by itself", "that have ended since", &name];
        assert!(code == 0 && says.iter().all(|words| why.contains(words)), "{why}");
        assert!(!why.contains("keys of the backup"), "there was none: {why}");
        let since = pair.sent(back + 2_000, now());
        assert_eq!(since, 0, "nothing is sent meanwhile");
        pair.release(failed, "asynchronous standby, and a daemon dies with the primary", lost).await;
        behind.is_there(pair.trio.node(TEA)).await;
        pair.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i2_i3_a_daemon_of_whose_start_a_standby_knows_nothing_joins_anew_and_goes_on_to_write() {
    let _turn = machine::half().await;
    let what = "asynchronous standby, which lacks a daemon's start";
    for between in Between::in_turns(is_long()) {
        let seed = seed(what);
        let Some(mut pair) = pair(seed, "asynchronous", between).await else { continue };
        let start = pair.begin().await;
        until(start + 2_000).await;
        block_in_place(|| pair.primary.leave_standbys_behind());
        let behind = now();
        let old = pair.trio.take(COFFEE);
        assert!(block_in_place(|| old.terminate()).0.success());
        pair.trio.serve(COFFEE);
        let taps = async |trio: &Trio| {
            let tapped =
                json!({"app": APPS[COFFEE].0, "openid": trio.user(COFFEE), "results": {"event-start": "accept"}});
            let answer = trio.node(COFFEE).call(Method::POST, "/v1/consents", Some(&tapped)).await;
            answer.is_ok_and(|(status, _)| status.is_success())
        };
        pair.trio.until(10, async || taps(&pair.trio).await).await;
        tokio::time::sleep(Duration::from_millis(2_000)).await;
        let (failed, back) = pair.fail_over();
        let lost = pair.sent(behind + 300, failed);
        assert!(lost > 20, "messages went out of which the standby knows nothing: {lost}");
        pair.trio.until(20, async || now() > back + 3_000 && taps(&pair.trio).await).await;
        let again = now() - back;
        eprintln!("{what}: it writes again {again} ms after the standby has taken over");
        let (holds, open) = pair.holds().await;
        assert!(open > 0, "what it had written is lost: {holds}{}", pair.trio.said());
        pair.release(failed, what, lost).await;
        pair.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i2_i3_what_an_asynchronous_standby_lacks_is_written_again_and_the_hold_ends_by_itself() {
    let _turn = machine::half().await;
    for between in Between::in_turns(true) {
        let seed = seed("asynchronous standby");
        let Some(mut pair) = pair(seed, "asynchronous", between).await else { continue };
        let start = pair.begin().await;
        let trickle = pair.trio.trickle();
        until(start + 2_000).await;
        let begun = now();
        let behind = pair.leave_behind(0, true).await;
        let (failed, back) = pair.fail_over();
        let lost = pair.sent(begun + 300, failed);
        assert!(lost > 20, "messages went out of which the standby knows nothing: {lost}");
        let said = |what: &str| pair.trio.nodes.iter().flatten().any(|node| node.said().contains(what));
        pair.trio.until(20, async || said("NOTHING IS SENT")).await;
        let held = now();
        pair.trio.until(20, async || pair.holds().await == (0, 0)).await;
        let ended = now();
        let (taken, again) = trickle_until(trickle, ended + 4_000).await;
        let verdict = pair.trio.judge("asynchronous standby", 60).await;
        for app in [COFFEE, TEA] {
            eprintln!(
                "asynchronous standby: {lost} messages of which it knew nothing; it took over within {} ms, the hold began {} ms and ended {} ms after that; silent for {} ms; {taken} taken one by one, {again} asked for again",
                back - failed,
                held - back,
                ended - back,
                verdict.silence(app, failed, ended + 8_000),
            );
        }
        assert!(verdict.missing.is_empty(), "all of it is known: {:?}", verdict.missing);
        behind.is_there(pair.trio.node(TEA)).await;
        pair.end().await;
    }
}

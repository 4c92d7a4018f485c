//! Lists over more than a list can look at: short, honest, and never in the way of others.

use crate::harness::{
    DIGEST, EVENT, START, TestStore, accepted_reminder, databases, fresh_url, on_both, open,
    pooler::{Pooler, Pooling},
    postgres,
    program::Site,
};
use axum::{
    Router,
    body::Body,
    http::{Method, Request, StatusCode},
};
use futures_util::poll;
use http_body_util::BodyExt;
use serde_json::Value;
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row};
use std::{path::Path, sync::Arc, time::Duration};
use tixing::{
    api::{Api, new_key},
    clock::ManualClock,
    config::{self, Durability},
    domain::{consent::Balance, reminder::State},
    metrics::Metrics,
    store::{
        Store,
        keys::Scope,
        lists::{Filter, Order},
    },
};
use tower::ServiceExt;

/// Rows enough for several slices.
const MANY: i64 = 9_000;
const MINUTE: Duration = Duration::from_secs(60);

/// Fills the store of `url` with reminders of one user of `coffee`, ten milliseconds apart, each with its consent. One in a thousand has
/// failed, the others were sent and delivered, but for two; one in three thousand is a digest; one is in doubt, behind all that waits.
async fn fill(url: &str) {
    let numbers = format!("WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < {MANY})");
    let template = |code: &str| format!("(SELECT id FROM template WHERE app = 1 AND code = '{code}')");
    let (event, digest) = (template(EVENT), template(DIGEST));
    let template = format!("CASE WHEN i % 3000 = 1 THEN {digest} ELSE {event} END");
    let data = r#"'{"thing1":"周三读书会"}'"#;
    let mut conn = AnyConnection::connect(url).await.expect("connects");
    for sql in [
        "INSERT INTO recipient (app, openid) VALUES (1, 'o-many')".to_owned(),
        format!(
            "INSERT INTO reminder (id, lane, recipient, template, at, expires_at, data)
             {numbers} SELECT i, 1, p.id, {template}, {START} + i * 10, {START} + i * 10 + 5, {data} FROM c, recipient p"
        ),
        format!(
            "INSERT INTO outcome (lane, at, id, fence, state, ended_at, next_at)
             {numbers} SELECT 1, {START} + i * 10, i, 1, CASE WHEN i % 1000 = 0 THEN 'failed' ELSE 'sent' END, {START}, NULL FROM c"
        ),
        format!(
            "INSERT INTO receipt (lane, at, id, pushed_at, received_at, failure, text)
             {numbers} SELECT 1, {START} + i * 10, i, {START}, {START}, CASE WHEN i > {MANY} - 2 THEN '2' END, '' FROM c WHERE i % 1000 <> 0"
        ),
        format!(
            "INSERT INTO consent (recipient, template, n, granted_at, reminder)
             {numbers} SELECT p.id, {template}, i, {START}, i FROM c, recipient p"
        ),
        format!(
            "INSERT INTO reminder (id, lane, recipient, template, at, expires_at, data)
             {numbers} SELECT {MANY} + i, 1, p.id, {event}, {START} + 1000000 + i, {START} + 2000000, {data} FROM c, recipient p"
        ),
        format!(
            "INSERT INTO due (lane, due_at, id, state, doubt_since)
             {numbers} SELECT 1, {START} + 1000000 + i, {MANY} + i, CASE WHEN i < {MANY} THEN 0 ELSE 2 END,
                              CASE WHEN i < {MANY} THEN NULL ELSE 1 END FROM c"
        ),
        format!("INSERT INTO unheld (recipient, reminder) {numbers} SELECT p.id, {MANY} + i FROM c, recipient p"),
    ] {
        sqlx::query(AssertSqlSafe(sql)).execute(&mut conn).await.expect("filled");
    }
    conn.close().await.expect("closes");
}

/// A page after page until there is none: the ids, and how many pages were cut short.
async fn follow(store: &Store, mut filter: Filter, within: Duration) -> (Vec<i64>, usize) {
    let (mut ids, mut cut_short) = (Vec::new(), 0);
    for _ in 0..2 * MANY {
        let page = store.page(&filter, within).await.expect("answers").expect("a page");
        assert!(page.items.len() <= filter.limit);
        let goes_on = match filter.order {
            Order::Oldest => page.next > filter.after,
            Order::Newest => filter.after.is_none() || page.next < filter.after,
        };
        assert!(page.next.is_none() || goes_on, "it goes on");
        cut_short += usize::from(page.cut_short);
        ids.extend(page.items.iter().map(|stored| stored.due.id.0));
        let Some(next) = page.next else { return (ids, cut_short) };
        filter.after = Some(next);
    }
    panic!("it never ends");
}

fn of_coffee(limit: usize) -> Filter {
    Filter { apps: vec!["coffee".into()], limit, ..Filter::default() }
}

#[tokio::test]
async fn a_list_whose_time_is_over_is_short_and_who_follows_it_gets_everything() {
    on_both(async |TestStore { store, url, .. }| {
        fill(&url).await;
        let other = store.insert(vec![accepted_reminder("o1", START + 5)]).await.expect("inserted").len();
        assert_eq!(other, 1);
        let digests = Filter { templates: [("coffee".into(), DIGEST.into())].into(), ..of_coffee(2) };
        let nothing =
            Filter { from: Some(START + 20), states: vec![State::Sent], to: Some(START + 30_000), ..digests.clone() };
        // A filter, what it finds, and whether it has to look at all there is for that.
        for (filter, expected, far) in [
            (digests.clone(), vec![1, 3_001, 6_001], true),
            (Filter { apps: vec!["coffee".into(), "tea".into()], ..digests.clone() }, vec![1, 3_001, 6_001], true),
            (Filter { states: vec![State::Sent], ..digests.clone() }, vec![1, 3_001, 6_001], true),
            (Filter { delivered: Some(true), ..digests.clone() }, vec![1, 3_001, 6_001], true),
            (Filter { from: Some(START + 30_010), ..digests.clone() }, vec![3_001, 6_001], true),
            (nothing, vec![], true),
            // What is rare is found at the first look.
            (Filter { states: vec![State::Failed], ..of_coffee(100) }, (1..=9).map(|n| n * 1_000).collect(), false),
            (Filter { states: vec![State::Failed], ..of_coffee(4) }, (1..=9).map(|n| n * 1_000).collect(), false),
            (Filter { delivered: Some(false), ..of_coffee(100) }, vec![MANY - 1], false),
            (Filter { delivered: Some(false), states: vec![State::Sent], ..of_coffee(9) }, vec![MANY - 1], false),
            (Filter { delivered: Some(false), states: vec![State::Failed], ..of_coffee(9) }, vec![], false),
            (Filter { delivered: Some(false), states: vec![State::Scheduled], ..of_coffee(9) }, vec![], false),
            (Filter { delivered: Some(true), states: vec![State::Failed], ..of_coffee(9) }, vec![], false),
            (Filter { states: vec![State::InDoubt], ..of_coffee(100) }, vec![2 * MANY], false),
            (Filter { states: vec![State::Cancelled], ..of_coffee(100) }, vec![], false),
        ] {
            let (ids, cut_short) = follow(&store, filter.clone(), Duration::ZERO).await;
            assert_eq!(ids, expected, "{filter:?}");
            assert_eq!(cut_short > 0, far, "{filter:?}: {cut_short} pages were cut short");
            let newest = Filter { order: Order::Newest, ..filter.clone() };
            let reversed: Vec<i64> = expected.iter().rev().copied().collect();
            assert_eq!(follow(&store, newest.clone(), Duration::ZERO).await.0, reversed, "{newest:?}");
            assert_eq!(follow(&store, newest.clone(), MINUTE).await, (reversed, 0), "{newest:?} with time enough");
            assert_eq!(follow(&store, filter.clone(), MINUTE).await, (expected, 0), "{filter:?} with time enough");
        }
        // All of it, in order, whatever the time and the size of a page.
        let everything: Vec<i64> =
            store.list(&of_coffee(usize::MAX)).await.expect("answers").iter().map(|stored| stored.due.id.0).collect();
        assert_eq!(everything.len(), 2 * MANY as usize + 1);
        for (limit, within) in [(700, Duration::ZERO), (5_000, Duration::ZERO), (999, MINUTE)] {
            assert_eq!(follow(&store, of_coffee(limit), within).await.0, everything, "{limit} at a time");
            let newest = Filter { order: Order::Newest, ..of_coffee(limit) };
            let mut reversed = follow(&store, newest, within).await.0;
            reversed.reverse();
            assert_eq!(reversed, everything, "{limit} at a time, newest first");
        }
        store.close().await;
    })
    .await;
}

/// What a list must find by an index.
const TABLES: &str = "('reminder', 'outcome', 'receipt', 'due', 'consent')";

#[tokio::test]
async fn postgres_reads_no_table_whole_for_a_list_whatever_it_thinks_of_the_filter() {
    if !databases().contains(&"postgres") {
        return;
    }
    lists_by_their_indexes(false).await;
    // A pooler hands nothing on that a connection asks for when it begins.
    lists_by_their_indexes(true).await;
}

async fn lists_by_their_indexes(is_pooled: bool) {
    let url = postgres::fresh_url();
    let clock = ManualClock::at(START);
    open(&url, &clock).await.close().await;
    fill(&url).await;
    let mut conn = AnyConnection::connect(&url).await.expect("connects");
    let number = async |conn: &mut AnyConnection, sql: &str| -> i64 {
        let row = sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_one(conn).await.expect("answers");
        row.get("n")
    };
    // What those who have left have counted is counted before it begins.
    let others =
        "SELECT COUNT(*) AS n FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
                  AND backend_type = 'client backend'";
    while number(&mut conn, others).await > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    sqlx::query("ANALYZE").execute(&mut conn).await.expect("analyzed");
    sqlx::query("SELECT pg_stat_reset()").execute(&mut conn).await.expect("reset");

    let (server, database) = postgres::parts(&url);
    let pooler = if is_pooled { Pooler::before(server, 5_432, Pooling::Transactions) } else { None };
    if is_pooled && pooler.is_none() {
        return;
    }
    let store = open(&pooler.as_ref().map_or_else(|| url.clone(), |pooler| pooler.url(database)), &clock).await;
    for delivered in [None, Some(true), Some(false)] {
        for state in [None].into_iter().chain(State::ALL.map(Some)) {
            for templates in [[].into(), [("coffee".into(), DIGEST.into())].into()] {
                // Often enough for a plan that knows no values.
                for _ in 0..7 {
                    let states = state.into_iter().collect();
                    let filter = Filter { delivered, states, templates: Clone::clone(&templates), ..of_coffee(10) };
                    store.page(&filter, Duration::ZERO).await.expect("answers").expect("a page");
                }
            }
        }
    }
    let of_user = Filter { openid: Some("o-many".into()), ..of_coffee(10) };
    store.page(&of_user, MINUTE).await.expect("answers").expect("a page");
    store.consents("coffee", "o-many").await.expect("answers");
    store.overdue(1, START).await.expect("answers");
    store.close().await;
    drop(pooler);
    while number(&mut conn, others).await > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let sum =
        |what: &str| format!("SELECT SUM({what})::bigint AS n FROM pg_stat_user_tables WHERE relname IN {TABLES}");
    assert!(number(&mut conn, &sum("idx_scan")).await > 100, "it was counted");
    let whole = format!(
        "SELECT COALESCE(string_agg(relname::text || ' ' || seq_scan::text, ', '), '') AS t FROM pg_stat_user_tables
         WHERE seq_scan > 0 AND relname IN {TABLES}"
    );
    let whole: String = sqlx::query(AssertSqlSafe(whole)).fetch_one(&mut conn).await.expect("answers").get("t");
    assert_eq!(whole, "", "tables that were read whole, and how often");
    conn.close().await.expect("closes");
}

#[tokio::test]
async fn all_of_a_user_who_has_very_much_is_listed_in_order_or_the_list_says_that_it_cannot() {
    on_both(async |TestStore { store, url, .. }| {
        fill(&url).await;
        let of_user = |limit| Filter { openid: Some("o-many".into()), ..of_coffee(limit) };
        let (ids, _) = follow(&store, of_user(5_000), MINUTE).await;
        assert_eq!(ids, (1..=2 * MANY).collect::<Vec<_>>());
        let failed = Filter { states: vec![State::Failed], ..of_user(4) };
        assert_eq!(follow(&store, failed, MINUTE).await.0, (1..=9).map(|n| n * 1_000).collect::<Vec<_>>());
        assert!(store.page(&of_user(10), Duration::ZERO).await.expect("answers").is_none(), "too much for no time");
        let of_nobody = Filter { openid: Some("o-nobody".into()), ..of_coffee(10) };
        assert_eq!(follow(&store, of_nobody, Duration::ZERO).await, (vec![], 0));
        // The ledger of such a user is whole too.
        let balances = store.balances("coffee", "o-many").await.expect("answers");
        let used = |code: &str| balances.get(code).copied().unwrap_or_default();
        assert_eq!(used(EVENT), Balance { used: MANY - 3, ..Balance::default() });
        assert_eq!(used(DIGEST), Balance { used: 3, ..Balance::default() });
        store.close().await;
    })
    .await;
}

/// The API over a store, as it is asked without a socket.
async fn api(url: &str, change: impl Fn(String) -> String) -> Api {
    let site = Site::new(url, "http://127.0.0.1:1", "timezone = \"Asia/Shanghai\"");
    let text = change(std::fs::read_to_string(site.path("tixing.toml")).expect("read"));
    let env = |_: &str| Some("s".to_owned());
    let config = config::parse(Path::new("tixing.toml"), &text, &env, Default::default()).expect("good");
    let clock = ManualClock::at(START);
    let store = Store::open(url, Durability::Full, &config.apps, clock.clone()).await.expect("opens");
    Api::new(Arc::new(config), store, clock, Arc::new(Metrics::default()), None).await
}

fn request(method: Method, path: &str, key: &str, body: &str) -> Request<Body> {
    let request = Request::builder().method(method).uri(path).header("authorization", format!("Bearer {key}"));
    request.header("content-type", "application/json").body(Body::from(body.to_owned())).expect("a request")
}

async fn answered(router: &Router, request: Request<Body>) -> (StatusCode, Option<String>, Value) {
    let response = router.clone().oneshot(request).await.expect("infallible");
    let status = response.status();
    let retry = response.headers().get("retry-after").map(|after| after.to_str().expect("digits").to_owned());
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    (status, retry, serde_json::from_slice(&body).expect("JSON"))
}

async fn get(router: &Router, path: &str) -> Value {
    let (status, _, answer) = answered(router, request(Method::GET, path, "", "")).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

#[tokio::test]
async fn a_short_page_says_how_far_it_got_and_how_to_narrow_the_list() {
    for database in databases() {
        let folder = tempfile::tempdir().expect("a folder");
        let url = fresh_url(database, folder.path());
        let api = api(&url, |text| text).await.with_list_time(Duration::ZERO);
        let router = api.owner_router();
        fill(&url).await;
        let path = "/v1/reminders?app=coffee&state=sent&template=digest";
        let mut page = get(&router, path).await;
        let note = page["note"].as_str().expect("a note");
        // The end of the first slice of 2,000.
        assert!(note.contains("2027-03-01 08:00:20+08:00") && note.contains("from, to, openid or state"), "{note}");
        let mut found = page["items"].as_array().expect("items").len();
        while let Some(next) = page["next"].as_str() {
            page = get(&router, &format!("{path}&cursor={next}")).await;
            found += page["items"].as_array().expect("items").len();
        }
        assert_eq!((found, &page["note"]), (3, &Value::Null), "the last page is whole");
        let rare = get(&router, "/v1/reminders?delivery=undelivered&state=sent").await;
        assert_eq!((&rare["note"], &rare["next"]), (&Value::Null, &Value::Null));
        let doubts = get(&router, "/v1/doubts").await;
        assert_eq!((doubts["items"].as_array().map(Vec::len), &doubts["next"]), (Some(1), &Value::Null));
        let user = request(Method::GET, "/v1/reminders?app=coffee&openid=o-many", "", "");
        let (status, _, answer) = answered(&router, user).await;
        assert_eq!((status.as_u16(), &answer["code"], &answer["param"]), (422, &"too_long".into(), &"/openid".into()));
        // An export is whole, whatever the time.
        let user = r#"{"app":"coffee","openid":"o-many"}"#;
        let (_, _, all) = answered(&router, request(Method::POST, "/v1/users/export", "", user)).await;
        assert_eq!(all["reminders"].as_array().map(Vec::len), Some(2 * MANY as usize));
        api.store().close().await;
    }
}

#[tokio::test]
async fn a_key_has_four_lists_at_once_and_the_others_find_a_connection() {
    for database in databases() {
        let folder = tempfile::tempdir().expect("a folder");
        let url = fresh_url(database, folder.path());
        let api = api(&url, |text| text).await;
        fill(&url).await;
        let mut keys = Vec::new();
        for name in ["dashboard", "report", "backend"] {
            let (key, new) = new_key(name.into(), Scope::Read, None);
            api.store().create_key(new).await.expect("made");
            keys.push(key);
        }
        api.refresh_keys().await;
        let router = api.router();
        let list = |key: &str| request(Method::GET, "/v1/reminders?state=sent&template=digest", key, "");
        let mut lists = Vec::new();
        for key in [&keys[0], &keys[0], &keys[0], &keys[0], &keys[1], &keys[1]] {
            let mut list = Box::pin(answered(&router, list(key)));
            assert!(poll!(&mut list).is_pending(), "it asks the store");
            lists.push(list);
        }
        let user = r#"{"app":"coffee","openid":"o-many"}"#;
        for refused in [
            list(&keys[0]),
            list(&keys[2]),
            request(Method::GET, "/v1/doubts", &keys[0], ""),
            request(Method::GET, "/v1/consents?app=coffee&openid=o-many&history=true", &keys[0], ""),
            request(Method::POST, "/v1/users/export", &keys[0], user),
        ] {
            let (status, retry, answer) = answered(&router, refused).await;
            assert_eq!((status.as_u16(), &answer["code"], retry.as_deref()), (429, &"too_many".into(), Some("2")));
        }
        // What is done in a moment is done.
        for path in ["/v1/reminders/r_0000000000001", "/v1/stats", "/v1/consents?app=coffee&openid=o1", "/v1/templates"]
        {
            let (status, _, answer) = answered(&router, request(Method::GET, path, &keys[0], "")).await;
            assert_eq!(status, 200, "{path}: {answer}");
        }
        // One who goes away leaves the place to another.
        drop(lists.remove(0));
        lists.push(Box::pin(answered(&router, list(&keys[0]))));
        for (status, _, answer) in futures_util::future::join_all(lists).await {
            assert_eq!((status.as_u16(), answer["items"].as_array().map(Vec::len)), (200, Some(3)), "{answer}");
        }
        assert_eq!(answered(&router, list(&keys[2])).await.0, 200, "and all places are free again");
        api.store().close().await;
    }
}

#[tokio::test]
async fn an_alias_that_stands_for_another_id_in_each_app_lists_them_all() {
    for database in databases() {
        let folder = tempfile::tempdir().expect("a folder");
        let url = fresh_url(database, folder.path());
        // The second app's template of that alias has an id of its own, and the first one's id is another alias there.
        let own = "Tq9TeaReminder_00000000000000000000000000003";
        let api = api(&url, |text| {
            let (coffee, tea) = text.split_once("name = \"tea\"").expect("two apps");
            let tea = tea.replace(EVENT, own);
            format!(
                "{coffee}name = \"tea\"{tea}\n[[app.template]]\nname = \"other\"\nid = \"{EVENT}\"\nkind = \"one-time\"\n\
                 fields = {{ thing1 = \"标题\", time2 = \"时间\" }}\n"
            )
        })
        .await;
        let router = api.owner_router();
        for (app, template, openid) in
            [("coffee", "event-start", "o1"), ("tea", "event-start", "o2"), ("tea", "other", "o3")]
        {
            let body = format!(
                r#"{{"app":"{app}","openid":"{openid}","template":"{template}","at":"2027-03-02T10:00:00Z","accepted":true,
                    "data":{{"thing1":"周三读书会","time2":"10:00"}}}}"#
            );
            let (status, _, answer) = answered(&router, request(Method::POST, "/v1/reminders", "", &body)).await;
            assert_eq!(status, 201, "{answer}");
        }
        // By alias, by id in all apps, in one of them, and by an alias that only one has.
        for (query, expected) in [
            ("template=event-start".to_owned(), vec!["o1", "o2"]),
            (format!("template={EVENT}"), vec!["o1", "o3"]),
            (format!("template={own}"), vec!["o2"]),
            ("template=event-start&app=tea".into(), vec!["o2"]),
            ("template=other".into(), vec!["o3"]),
            ("template=event-start&openid=o2".into(), vec!["o2"]),
            ("template=event-start&openid=o3".into(), vec![]),
            ("template=digest".into(), vec![]),
        ] {
            let page = get(&router, &format!("/v1/reminders?{query}")).await;
            let openids: Vec<_> = page["items"].as_array().expect("items").iter().map(|item| &item["openid"]).collect();
            assert_eq!(openids, expected, "{query}");
        }
        let unknown = request(Method::GET, "/v1/reminders?template=event-strat", "", "");
        let (status, _, answer) = answered(&router, unknown).await;
        assert_eq!(
            (status.as_u16(), &answer["code"], &answer["param"]),
            (422, &"unknown_template".into(), &"/template".into())
        );
        api.store().close().await;
    }
}

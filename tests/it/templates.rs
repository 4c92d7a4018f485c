//! Templates in step with the platform's, its quota, and what it says of the account.

use crate::harness::{
    DIGEST, EVENT, accept, accepted_reminder,
    program::{SandboxServer, Site, body},
    reminder,
    rig::{Rig, at, on_both_rigs, plain},
};
use serde_json::{Value, json};
use tixing::{
    clock::Clock,
    domain::{
        HOUR, MINUTE, Millis, SECOND,
        draft::Change,
        reminder::{NewReminder, State},
    },
    sandbox::{AppSpec, Faults, TemplateSpec},
    store::{Inserted, port::Queue},
};

const APPID: &str = "wx0123456789abcdef";

/// The account's templates are changed in the console.
fn change(rig: &Rig, change: impl Fn(&mut Vec<TemplateSpec>)) {
    let mut templates = AppSpec::of(&rig.apps[0]).templates;
    change(&mut templates);
    assert!(rig.sandbox.world().set_templates(APPID, templates));
}

/// Somebody has the templates read.
async fn refresh(rig: &mut Rig) {
    rig.engine.signals().read_templates("coffee");
    rig.engine.turn().await;
}

fn long_lived(openid: &str, due: Millis) -> NewReminder {
    NewReminder { expires_at: due + 24 * HOUR, ..accepted_reminder(openid, due) }
}

fn out_of_step(rig: &Rig) -> usize {
    rig.engine.signals().status().lanes["coffee"].out_of_step
}

#[tokio::test]
async fn a_template_that_changes_holds_what_it_would_refuse_until_that_is_mended() {
    on_both_rigs(plain, async |mut rig| {
        rig.engine.turn().await;
        assert_eq!(out_of_step(&rig), 0);
        let mut ids = Vec::new();
        for openid in ["o1", "o2", "o3"] {
            rig.tap(openid);
            let inserted = rig.store().insert(vec![long_lived(openid, at(30))]).await.expect("inserted")[0];
            let Inserted::Created(id) = inserted else { panic!("{inserted:?}") };
            ids.push(id);
        }
        change(&rig, |templates| drop(templates[0].fields.insert("thing9".into(), "备注".into())));
        refresh(&mut rig).await;
        assert_eq!(out_of_step(&rig), 1, "it is known before anything is due");
        rig.pass(60_000, 1_000).await;
        let states = rig.states().await;
        assert!(states.iter().all(|s| *s == (State::Scheduled, Some("template_held".into()))), "{states:?}");
        assert!(rig.metrics.text().contains("what=\"47003\"} 0"), "nothing was tried in vain");
        // One of them is changed to what the platform wants now.
        let data = r#"{"thing1":"周三读书会","time2":"2027年3月1日 10:00","thing9":"带上书"}"#.to_owned();
        rig.store().change(ids[0], Change { data: Some(data), ..Change::default() }).await.expect("answers");
        rig.pass(11 * MINUTE, MINUTE).await;
        assert_eq!(rig.openids(), ["o1"]);
        // The template is changed back.
        change(&rig, |_| ());
        refresh(&mut rig).await;
        assert_eq!(out_of_step(&rig), 0);
        rig.pass(30 * MINUTE, MINUTE).await;
        assert_eq!(rig.messages().len(), 3, "{:?}", rig.states().await);
        rig
    })
    .await;
}

#[tokio::test]
async fn what_a_suspended_template_kept_waiting_goes_at_once_when_the_list_or_a_restart_says_that_it_may() {
    for restarts in [false, true] {
        on_both_rigs(plain, async |mut rig| {
            rig.engine.turn().await;
            // Three that are refused suspend the template; two that come later wait for it.
            change(&rig, |templates| templates.retain(|t| t.id != EVENT));
            for (openid, seconds) in [("o1", 10), ("o2", 10), ("o3", 10), ("o4", 60), ("o5", 60)] {
                rig.tap(openid);
                rig.store().insert(vec![long_lived(openid, at(seconds))]).await.expect("inserted");
            }
            rig.pass(2 * MINUTE, SECOND).await;
            let suspended = rig.engine.signals().status().lanes["coffee"].suspended.clone();
            assert_eq!(suspended[0].code, "40037");
            let waiting = || (State::Scheduled, Some("template_held".to_owned()));
            assert_eq!(rig.states().await[3..], [waiting(), waiting()]);
            let (oldest, n) =
                rig.store().overdue(rig.store().lane("coffee"), rig.clock().now()).await.expect("answers");
            assert_eq!((oldest, n), (Some(at(60)), 2), "their instant has passed, and that is told");
            change(&rig, |_| ());
            if restarts {
                rig = rig.restart().await;
            } else {
                refresh(&mut rig).await;
            }
            rig.pass(5 * SECOND, SECOND).await;
            assert_eq!(rig.openids(), ["o4", "o5"], "after {restarts}: {:?}", rig.states().await);
            assert!(rig.engine.signals().status().lanes["coffee"].suspended.is_empty());
            rig
        })
        .await;
    }
}

#[tokio::test]
async fn a_template_that_is_not_configured_any_more_holds_what_waits_for_it() {
    on_both_rigs(plain, async |mut rig| {
        rig.tap("o1");
        rig.store().insert(vec![long_lived("o1", at(10))]).await.expect("inserted");
        let removed = rig.apps[0].templates.remove(0);
        let mut rig = rig.restart().await;
        rig.pass(MINUTE, SECOND).await;
        assert_eq!(rig.states().await, [(State::Scheduled, Some("template_held".into()))]);
        rig.apps[0].templates.push(removed);
        let mut rig = rig.restart().await;
        rig.pass(5 * SECOND, SECOND).await;
        assert_eq!(rig.openids(), ["o1"]);
        rig
    })
    .await;
}

#[tokio::test]
async fn what_was_accepted_before_a_change_is_not_burnt_once_the_configuration_has_followed() {
    on_both_rigs(plain, async |mut rig| {
        rig.tap("o1");
        rig.store().insert(vec![long_lived("o1", at(60))]).await.expect("inserted");
        change(&rig, |templates| drop(templates[0].fields.insert("thing9".into(), "备注".into())));
        rig.engine.turn().await;
        assert_eq!(out_of_step(&rig), 1);
        // An operator does what the doctor says, and starts anew.
        rig.apps[0].templates[0].fields.insert("thing9".into(), "备注".into());
        let mut rig = rig.restart().await;
        rig.engine.turn().await;
        assert_eq!(out_of_step(&rig), 0);
        rig.pass(2 * MINUTE, 1_000).await;
        assert_eq!(rig.states().await, [(State::Scheduled, Some("template_held".into()))]);
        rig
    })
    .await;
}

#[tokio::test]
async fn a_template_that_is_gone_is_noticed_by_itself_and_read_again_ever_more_rarely() {
    on_both_rigs(plain, async |mut rig| {
        rig.engine.turn().await;
        rig.tap("o1");
        rig.store().insert(vec![long_lived("o1", at(30 * 3_600))]).await.expect("inserted");
        change(&rig, |templates| templates.retain(|t| t.id != EVENT));
        rig.sandbox.world().faults.lists_left = Some(100);
        let read = |rig: &Rig| 100 - rig.sandbox.world().faults.lists_left.expect("set");
        rig.pass(23 * HOUR, HOUR).await;
        assert_eq!((out_of_step(&rig), read(&rig)), (0, 0), "it is read daily");
        rig.pass(2 * HOUR, 5 * MINUTE).await;
        assert_eq!(out_of_step(&rig), 1);
        rig.pass(22 * HOUR, 5 * MINUTE).await;
        assert!((5..10).contains(&read(&rig)), "read {} times in a day", read(&rig));
        assert_eq!(rig.states().await, [(State::Scheduled, Some("template_held".into()))]);
        rig.pass(12 * HOUR, 5 * MINUTE).await;
        let states = rig.states().await;
        assert_eq!(states, [(State::Expired, Some("expired".into()))], "its consent is free again");
        let balances = rig.store().balances("coffee", "o1").await.expect("answers");
        assert_eq!(balances[EVENT].available, 1);
        rig
    })
    .await;
}

#[tokio::test]
async fn a_refusal_that_blames_the_template_has_the_list_read_again() {
    on_both_rigs(plain, async |mut rig| {
        rig.engine.turn().await;
        rig.pass(HOUR, 10 * MINUTE).await;
        for openid in ["o1", "o2"] {
            rig.tap(openid);
            rig.store().insert(vec![long_lived(openid, at(3_700))]).await.expect("inserted");
        }
        rig.store().insert(vec![long_lived("o3", at(3_760))]).await.expect("inserted");
        change(&rig, |templates| templates.retain(|t| t.id != EVENT));
        rig.pass(3 * MINUTE, 1_000).await;
        assert_eq!(out_of_step(&rig), 1);
        let states = rig.states().await;
        assert_eq!(states[2], (State::Scheduled, Some("template_held".into())), "{states:?}");
        rig
    })
    .await;
}

#[tokio::test]
async fn what_was_listed_is_known_at_the_next_start_without_the_platform() {
    on_both_rigs(plain, async |mut rig| {
        change(&rig, |templates| templates.retain(|t| t.id != EVENT));
        rig.engine.turn().await;
        assert_eq!(out_of_step(&rig), 1);
        let rig = rig.restart().await;
        rig.wire.down.store(true, std::sync::atomic::Ordering::SeqCst);
        let listing = rig.store().listing("coffee").expect("kept");
        assert!(listing.find(EVENT).is_none() && listing.find(DIGEST).is_some());
        let mut rig = rig;
        rig.engine.turn().await;
        assert_eq!(out_of_step(&rig), 1);
        rig
    })
    .await;
}

#[tokio::test]
async fn a_ban_of_one_template_does_not_stop_the_others_for_long() {
    on_both_rigs(plain, async |mut rig| {
        rig.tap("o1");
        rig.sandbox.world().tap(APPID, "o2", DIGEST, true);
        rig.store().record(vec![accept("coffee", "o2", DIGEST)]).await.expect("recorded");
        let data = r#"{"thing1":"周报"}"#.to_owned();
        let digest = NewReminder {
            template: DIGEST.into(),
            standing: true,
            data,
            expires_at: at(86_400),
            ..reminder("o2", at(11))
        };
        rig.store().insert(vec![long_lived("o1", at(10)), digest]).await.expect("inserted");
        change(&rig, |templates| templates.iter_mut().filter(|t| t.id == EVENT).for_each(|t| t.banned = true));
        rig.engine.turn().await;
        rig.pass(MINUTE, 1_000).await;
        let pause = rig.engine.signals().status().lanes["coffee"].pause.clone();
        assert_eq!(pause.map(|pause| pause.code).as_deref(), Some("43107"), "it may be the account");
        rig.pass(11 * MINUTE, 10_000).await;
        assert_eq!(rig.openids(), ["o2"], "it is not: {:?}", rig.states().await);
        assert!(rig.engine.signals().status().lanes["coffee"].pause.is_none());
        change(&rig, |_| ());
        rig.pass(2 * HOUR, MINUTE).await;
        assert_eq!(rig.openids(), ["o2", "o1"]);
        rig
    })
    .await;
}

#[tokio::test]
async fn a_quota_that_is_used_up_is_asked_for_and_not_tried() {
    on_both_rigs(plain, async |mut rig| {
        for openid in ["o1", "o2"] {
            rig.tap(openid);
            rig.store().insert(vec![long_lived(openid, at(10))]).await.expect("inserted");
        }
        rig.sandbox.world().faults = Faults { quota_left: Some(0), ..Faults::default() };
        rig.engine.turn().await;
        rig.pass(5 * HOUR, MINUTE).await;
        let lane = rig.engine.signals().status().lanes["coffee"].clone();
        assert_eq!(
            (lane.pause.map(|p| p.code).as_deref(), lane.quota.map(|asked| asked.quota.left)),
            (Some("45009"), Some(0))
        );
        let text = rig.metrics.text();
        let tried: u64 = text
            .lines()
            .find_map(|line| line.strip_prefix("tixing_errors_total{app=\"coffee\",what=\"45009\"} ")?.parse().ok())
            .expect("counted");
        assert!(tried <= 2, "{tried} sends in five hours");
        rig.sandbox.world().faults = Faults::default();
        rig.pass(11 * MINUTE, 10_000).await;
        assert_eq!(rig.messages().len(), 2, "{:?}", rig.states().await);
        rig
    })
    .await;
}

#[tokio::test]
async fn the_rate_that_the_platform_allows_is_kept_and_its_words_on_an_address_are_passed_on() {
    on_both_rigs(plain, async |mut rig| {
        rig.sandbox.world().faults = Faults { rate_limit: Some(40), ..Faults::default() };
        rig.engine.turn().await;
        assert_eq!(rig.engine.signals().status().lanes["coffee"].rate, 40);
        rig.sandbox.world().faults = Faults { ip_blocked: true, token_revoked: true, ..Faults::default() };
        rig.tap("o1");
        rig.store().insert(vec![long_lived("o1", at(10))]).await.expect("inserted");
        rig.pass(MINUTE, 1_000).await;
        let why = rig.engine.signals().status().lanes["coffee"].pause.clone().expect("paused").why.to_string();
        assert!(why.contains("the address is 203.0.113.9"), "{why}");
        rig
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_reminders_are_refused_by_the_platforms_own_rules() {
    let server = SandboxServer::start(1).await;
    let site = Site::new("sqlite:tixing.db", &server.url, "timezone = \"Asia/Shanghai\"");
    let spec = AppSpec::of(&crate::harness::apps(&server.url)[0]);
    let mut templates = spec.templates.clone();
    let event = templates.iter_mut().find(|t| t.id == EVENT).expect("there");
    event.title = "活动开始提醒".into();
    event.fields.insert("enum_string3".into(), "当前状态".into());
    event.choices.insert("enum_string3".into(), vec!["报名成功".into(), "即将开始".into()]);
    server.sandbox.world().set_templates(APPID, templates.clone());
    let program = site.serve_with_key();
    let listed =
        |t: &Value| t["templates"].as_array().is_some_and(|all| all.iter().any(|t| t["listed_at"].is_string()));
    let shown = program.wait("/v1/templates?app=coffee", 40, listed).await;
    let event = shown["templates"].as_array().expect("a list").iter().find(|t| t["id"] == EVENT).expect("there");
    assert_eq!(event["title"], "活动开始提醒");
    assert_eq!(event["choices"]["enum_string3"], json!(["报名成功", "即将开始"]));
    assert!(event["out_of_step"][0].as_str().is_some_and(|why| why.contains("enum_string3")), "{event}");

    let plain = body("o1", 3_600_000);
    let with = |status: Option<&str>| {
        let mut new = plain.clone();
        new["key"] = "k1".into();
        if let Some(status) = status {
            new["data"]["enum_string3"] = status.into();
        }
        new
    };
    // (the value, the answer's status, its code, its field)
    let table = [
        (None, 422, "missing_field", "/data/enum_string3"),
        (Some("已取消"), 422, "bad_field", "/data/enum_string3"),
        (Some("即将开始"), 201, "", ""),
        (Some("即将开始"), 200, "", ""),
    ];
    for (status, code, word, param) in table {
        let (answered, answer) = program.post("/v1/reminders", &with(status)).await;
        assert_eq!(answered.as_u16(), code, "{answer}");
        assert!(code < 300 || (answer["code"] == word && answer["param"] == param), "{answer}");
    }
    // The values change: what came before is answered again as it was, and says why it waits.
    let event = templates.iter_mut().find(|t| t.id == EVENT).expect("there");
    event.choices.insert("enum_string3".into(), vec!["报名成功".into()]);
    server.sandbox.world().set_templates(APPID, templates.clone());
    let (code, out, said) = site.run(&["template", "refresh", "--app", "coffee"]);
    assert!(code == 0 && out.contains("enum_string3"), "{out}{said}");
    let (answered, replayed) = program.post("/v1/reminders", &with(Some("即将开始"))).await;
    assert_eq!(answered.as_u16(), 200, "I3: {replayed}");
    let path = format!("/v1/reminders/{}/explain", replayed["id"].as_str().expect("an id"));
    let (_, why) = program.get(&path).await;
    assert!(why["en"].as_str().is_some_and(|why| why.contains("not one of the template's values")), "{why}");
    // Another kind than the configured one decides what an accept is worth: somebody must look.
    templates.iter_mut().filter(|t| t.id == DIGEST).for_each(|t| t.kind = tixing::domain::template::Kind::OneTime);
    server.sandbox.world().set_templates(APPID, templates);
    assert_eq!(site.run(&["template", "refresh"]).0, 0);
    let digest = json!({ "app": "coffee", "openid": "o1", "template": "digest", "at": "2030-01-01T10:00", "data": { "thing1": "周报" } });
    let (answered, answer) = program.post("/v1/reminders", &digest).await;
    assert_eq!((answered.as_u16(), answer["code"].as_str()), (422, Some("out_of_step")), "{answer}");
    // The platform says no more for today.
    server.sandbox.world().faults.lists_left = Some(0);
    let (code, _, said) = site.run(&["template", "refresh"]);
    assert!(code == 1 && said.contains("45009") && said.contains("still counts"), "{said}");
    assert!(program.terminate().0.success());
    let (code, _, said) = site.run(&["template", "refresh"]);
    assert!(code == 1 && said.contains("no daemon listens"), "{said}");
    let (code, out, _) = site.run(&["template", "list", "--json"]);
    assert!(code == 0 && out.lines().count() == 3 && out.contains("报名成功"), "{out}");
}

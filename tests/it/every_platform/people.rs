//! A user's rights, a test, a sentence that explains, the metrics and the doctor: the same on every platform.

use super::{ACCEPT, CASES, Case, desk::Desk};
use crate::harness::program::Site;
use serde_json::{Value, json};
use tixing::domain::{HOUR, SECOND};

fn is_chinese(text: &str) -> bool {
    text.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_is_exported_and_forgotten_and_what_waited_for_them_is_not_sent() {
    let desk = Desk::new(|_| String::new()).await;
    for case in &CASES {
        let (openid, app) = (case.user(1), case.app());
        for _ in 0..2 {
            desk.accepts(case, &openid, "event-start", ACCEPT).await;
        }
        let waits = desk.remind(case, &Desk::body(case, &openid, HOUR)).await;
        let user = json!({ "app": app, "openid": openid });
        let (status, export) = desk.daemon.post("/v1/users/export", &user).await;
        assert_eq!((status.as_u16(), &export["balances"][0]["held"]), (200, &json!(1)), "{app}: {export}");
        assert_eq!((&export["balances"][0]["available"], &export["app"]), (&json!(1), &json!(app)), "{export}");
        let ticket = export["history"][0]["ticket"].is_object();
        assert_eq!(ticket, case.facts.tickets.needed, "{app}: what paid is theirs to know: {export}");

        let (code, out, said) = desk.site.run(&["user", "forget", "--app", app, "--openid", &openid]);
        assert!(code == 0 && said.contains("1 reminder erased, 1 of them cancelled"), "{app}: {out}{said}");
        let (_, export) = desk.daemon.post("/v1/users/export", &user).await;
        assert!(export["reminders"] == json!([]) && export["forgotten_at"].is_string(), "{app}: {export}");
        assert!(!export["history"].to_string().contains("\"ticket\":{"), "{app}: {export}");
        desk.becomes(&waits, "cancelled").await;
        let (en, zh) = desk.why(&waits).await;
        assert!(en.contains("forgotten") && is_chinese(&zh), "{app}: {en} {zh}");

        // A tap of theirs is not written down again, in whatever shape the client gives it.
        let report = match case.facts.tickets.needed {
            true => {
                json!({ "app": app, "openid": openid, "results": { "event-start": "accept" }, "subscribe_id": "again" })
            }
            false => json!({ "app": app, "openid": openid, "results": { "event-start": "accept" } }),
        };
        let (status, refused) = desk.daemon.post("/v1/consents", &report).await;
        assert_eq!((status.as_u16(), &refused["code"]), (409, &json!("user_forgotten")), "{app}: {refused}");
        let (_, refused) = desk.daemon.post("/v1/reminders", &Desk::body(case, &openid, HOUR)).await;
        assert_eq!(refused["code"], "user_forgotten", "{app}: {refused}");
        assert_eq!(desk.received(case), [], "{app}");
    }
    desk.close(&CASES.iter().map(|case| case.user(1)).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_test_mode_only_testers_are_reached() {
    let tester = |case: &Case| case.user(7);
    let desk = Desk::new(|facts| {
        let case = CASES.iter().find(|case| case.facts == facts).expect("one of them");
        format!("mode = \"test\"\ntesters = [\"{}\"]", tester(case))
    })
    .await;
    let mut paths = Vec::new();
    for case in &CASES {
        for openid in [tester(case), case.user(8)] {
            desk.accepts(case, &openid, "event-start", ACCEPT).await;
            paths.push((case, openid.clone(), desk.remind(case, &Desk::body(case, &openid, 2 * SECOND)).await));
        }
    }
    for (case, openid, path) in &paths {
        let is_tester = *openid == tester(case);
        let ended = desk.becomes(path, if is_tester { "sent" } else { "failed" }).await;
        assert!(is_tester || ended["reason"] == "test_mode", "{}: {ended}", case.app());
        if !is_tester {
            let (en, zh) = desk.why(path).await;
            assert!(en.contains("tester") && zh.contains("测试"), "{}: {en} {zh}", case.app());
            assert_eq!(desk.balance(case, openid, "event-start").await["available"], 1, "{}: it is kept", case.app());
        }
    }
    for case in &CASES {
        let received: Vec<String> = desk.received(case).into_iter().map(|message| message.openid).collect();
        assert_eq!(received, [tester(case)], "{}", case.app());
    }
    desk.close(&[]);
}

/// The value of a line of metrics that has these labels.
fn metric(text: &str, name: &str, labels: &[String]) -> Option<f64> {
    let line = text.lines().find(|line| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{'))
            && labels.iter().all(|label| line.contains(label))
    })?;
    line.rsplit_once(' ')?.1.parse().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_what_was_refused_and_what_lacked_a_consent_is_explained_in_both_languages_and_counted() {
    let desk = Desk::new(|_| String::new()).await;
    let mut paths = Vec::new();
    for case in &CASES {
        let (sent, refused, lacks) = (case.user(1), case.user(2), case.user(3));
        desk.accepts(case, &sent, "event-start", ACCEPT).await;
        desk.claims(case, &refused).await;
        let mut at_fire = Desk::body(case, &lacks, 2 * SECOND);
        at_fire["consent"] = "at_fire".into();
        paths.push((
            case,
            desk.remind(case, &Desk::body(case, &sent, 2 * SECOND)).await,
            desk.remind(case, &Desk::body(case, &refused, 2 * SECOND)).await,
            desk.remind(case, &at_fire).await,
        ));
    }
    for (case, sent, refused, lacks) in &paths {
        let app = case.app();
        desk.becomes(sent, "sent").await;
        let failed = desk.becomes(refused, "failed").await;
        let attempts = failed["attempts"].as_array().expect("attempts");
        assert_eq!((attempts.len(), &attempts[0]["code"]), (1, &json!(case.unpaid)), "{app}: {failed}");
        let none = desk.becomes(lacks, "failed").await;
        assert_eq!(none["reason"], "no_consent", "{app}: {none}");

        let meaning = case.facts.code(case.unpaid);
        let (en, zh) = desk.why(sent).await;
        assert!(en.contains("sent") && is_chinese(&zh), "{app}: {en} {zh}");
        let (en, zh) = desk.why(refused).await;
        assert!(en.contains(case.unpaid) && zh.contains(case.unpaid), "{app}: {en} {zh}");
        // Where the platform documents what the code means, that is said; elsewhere that nobody has listed it.
        match meaning {
            Some(code) => assert!(en.contains(code.en) && zh.contains(code.zh), "{app}: {en} {zh}"),
            None => assert!(en.contains("`codes`") && zh.contains("codes 配置"), "{app}: {en} {zh}"),
        }
        // A ticket is void alone.
        assert_eq!(en.contains("ticket is void, and what else"), case.facts.tickets.needed, "{app}: {en}");
        let (en, zh) = desk.why(lacks).await;
        assert!(en.contains("consent") && zh.contains("订阅"), "{app}: {en} {zh}");
        for (path, in_chinese) in [(sent, false), (refused, true)] {
            let id = path.rsplit('/').next().expect("an id");
            let lang = if in_chinese { "zh" } else { "en" };
            let (code, out, said) = desk.site.run(&["--lang", lang, "reminder", "explain", id]);
            assert!(code == 0 && is_chinese(&out) == in_chinese, "{app}: {out}{said}");
        }
        let left = desk.balance(case, &case.user(2), "event-start").await;
        let kept = if case.voids { ("void", "available") } else { ("available", "void") };
        assert_eq!((&left[kept.0], &left[kept.1]), (&json!(1), &json!(0)), "{app}: {left}");
    }
    let text = desk.daemon.http.get(format!("{}/metrics", desk.daemon.base)).send().await.expect("an answer");
    let text = text.text().await.expect("a whole answer");
    for case in &CASES {
        let of = |what: &str| vec![format!("app=\"{}\"", case.app()), format!("what=\"{what}\"")];
        assert_eq!(metric(&text, "tixing_sends_total", &of("accepted")), Some(1.0), "{}: {text}", case.app());
        let outcome = if case.voids { "denied" } else { "refused" };
        assert_eq!(metric(&text, "tixing_sends_total", &of(outcome)), Some(1.0), "{}: {text}", case.app());
        // A code that no table lists is not a label.
        let listed = case.facts.code(case.unpaid).is_some();
        let errors = metric(&text, "tixing_errors_total", &of(if listed { case.unpaid } else { "other" }));
        assert_eq!(errors, Some(1.0), "{}: {text}", case.app());
        let app = [format!("app=\"{}\"", case.app())];
        let unlisted = metric(&text, "tixing_unlisted_codes_total", &app).unwrap_or(0.0);
        assert_eq!(unlisted, if listed { 0.0 } else { 1.0 }, "{}", case.app());
    }
    desk.close(&(1..=3).flat_map(|n| CASES.iter().map(move |case| case.user(n))).collect::<Vec<_>>());
}

/// What the doctor says to a program: (check, level, found, fix).
fn doctor(site: &Site) -> Vec<[String; 4]> {
    let (_, out, said) = site.run(&["doctor", "--json"]);
    let told: Value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out} {said}"));
    let text = |check: &Value, name: &str| check[name].as_str().unwrap_or_default().to_owned();
    let checks = told["checks"].as_array().expect("checks").iter();
    checks.map(|check| ["check", "level", "found", "fix"].map(|name| text(check, name))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_is_content_with_good_apps_and_names_the_one_whose_secret_is_bad() {
    let desk = Desk::new(|_| String::new()).await;
    let told = doctor(&desk.site);
    let failed: Vec<_> = told.iter().filter(|check| check[1] == "failed").collect();
    assert!(failed.is_empty(), "{failed:?}");
    for case in &CASES {
        let of_app: Vec<_> = told.iter().filter(|check| check[0].starts_with(&format!("{}: ", case.app()))).collect();
        assert!(of_app.iter().any(|check| check[0].ends_with("reach") && check[1] == "ok"), "{of_app:?}");
        let good = of_app.iter().any(|check| check[0].ends_with("credentials") && check[1] == "ok");
        assert!(good || case.secret.is_none(), "{}: {of_app:?}", case.app());
    }
    for case in &CASES {
        let (name, text) = case.facts.sample.files[0];
        let file = desk.site.path(case.app()).join(name);
        // The public key in the private one's place; elsewhere another secret.
        let bad = if case.secret.is_some() { "another-secret" } else { case.facts.sample.files[1].1 };
        std::fs::write(&file, bad).expect("written");
        let told = doctor(&desk.site);
        let failed: Vec<_> = told.iter().filter(|check| check[1] == "failed").collect();
        assert_eq!(failed.len(), 1, "{}: {told:?}", case.app());
        let [what, _, found, fix] = failed[0];
        match case.secret {
            Some(code) => assert!(what.starts_with(&format!("{}: ", case.app())) && found.contains(code), "{failed:?}"),
            None => assert!(found.contains("private key") && found.contains("tixing.toml:"), "{failed:?}"),
        }
        assert!(!fix.is_empty(), "{failed:?}");
        let (_, for_people, _) = desk.site.run(&["--lang", "zh", "doctor"]);
        let mut lines = for_people.lines().skip_while(|line| !line.starts_with('✗'));
        assert!(lines.by_ref().take(2).all(is_chinese), "{}: {for_people}", case.app());
        let all = format!("{told:?}{for_people}");
        assert!(![bad, text].iter().any(|secret| all.contains(piece(secret))), "I9: {all}");
        std::fs::write(&file, text).expect("written");
    }
    desk.close(&[]);
}

/// A line of a secret.
fn piece(secret: &str) -> &str {
    let lines: Vec<&str> = secret.trim().lines().collect();
    lines[lines.len() / 2]
}

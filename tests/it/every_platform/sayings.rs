//! What each platform's user is told where the platforms differ: only what holds on theirs.

use super::{ACCEPT, CASES, TWICE, desk::Desk};
use reqwest::Method;
use serde_json::{Value, json};
use tixing::domain::{DAY, HOUR, timing::rfc3339};

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_platform_does_not_have_is_said_so_and_not_promised() {
    let desk = Desk::new(|_| "exclusive = true".into()).await;
    // A doubt is never resent as safe where the platform cannot tell a second message from the first.
    let (code, _, told) = desk.site.run(&["check"]);
    assert_eq!(code, 0, "{told}");
    for case in &CASES {
        let word = case.app();
        let idle = told.contains(&format!("app {word}: exclusive has no effect"));
        assert_eq!(idle, !case.facts.doubt.counts_consents, "{word}: {told}");
        // An option that only WeChat has.
        for (key, value) in [("lang", "zh_CN"), ("miniprogram_state", "formal")] {
            let mut body = Desk::body(case, &case.user(1), HOUR);
            (body[key], body["consent"]) = (value.into(), "at_fire".into());
            let (status, answer) = desk.daemon.post("/v1/reminders", &body).await;
            match case.facts.option(key) {
                Some(_) => assert_eq!(status, 201, "{word}: {answer}"),
                None => {
                    assert_eq!(
                        (status.as_u16(), text(&answer, "param")),
                        (422, &*format!("/{key}")),
                        "{word}: {answer}"
                    );
                    assert_eq!(text(&answer, "detail"), format!("this platform has no {key}: leave it out"), "{word}");
                }
            }
        }
        // What to do for want of a consent.
        let (status, answer) = desk.daemon.post("/v1/reminders", &Desk::body(case, &case.user(2), HOUR)).await;
        assert_eq!((status.as_u16(), text(&answer, "code")), (409, "no_consent"), "{word}: {answer}");
        let plain = text(&answer, "detail").contains("\"accepted\": true");
        assert_eq!(plain, !case.facts.tickets.needed, "{word}: {answer}");
        assert_eq!(text(&answer, "detail").contains("/v1/consents/prepare"), !plain, "{word}: {answer}");
    }
    // The platforms that list no templates are passed over.
    let (code, listed, told) = desk.site.run(&["template", "refresh", "--lang", "zh"]);
    assert_eq!(code, 0, "{told}");
    let silent = CASES.iter().filter(|case| !["wechat", "douyin"].contains(&case.app()));
    for case in silent {
        let lines = listed.lines().filter(|line| line.trim_start().starts_with(case.app()));
        assert!(lines.clone().count() > 0 && lines.clone().all(|line| line.contains("平台不提供")), "{listed}");
        let (code, _, told) = desk.site.run(&["template", "refresh", "--app", case.app()]);
        assert!(code != 0 && told.contains("does not list"), "{}: {told}", case.app());
    }
    desk.close(&[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_of_the_client_is_read_or_refused_and_what_adds_nothing_says_why() {
    let desk = Desk::new(|_| String::new()).await;
    let report = async |app: &str, member: &str, given: Value| {
        let mut body = json!({ "app": app, "openid": if app == "alipay" { "074a-reader" } else { "o-reader" } });
        body[member] = given;
        let (status, told) = desk.daemon.post("/v1/consents", &body).await;
        (status.as_u16(), told)
    };
    for case in &CASES {
        for given in [json!({}), json!({ "result": { "event-start": "accept" } })] {
            let (status, told) = report(case.app(), "result", given.clone()).await;
            let at = text(&told, "param").starts_with("/result");
            assert!(status == 422 && at, "{}: {given}: {status} {told}", case.app());
        }
    }
    // What stands beside the words changes what they mean: such an object is a `result`.
    for (app, given) in [
        ("alipay", json!({ "behavior": "cancel", "show": true, "event-start": "accept" })),
        ("douyin", json!({ "event-start": "accept", "templateSettings": { "event-start": { "status": "repeat" } } })),
    ] {
        let (status, told) = report(app, "results", given.clone()).await;
        assert!(status == 422 && text(&told, "param").starts_with("/results/"), "{app}: {given}: {status} {told}");
    }
    let already = "the user was subscribed already, which adds nothing";
    let alone = "the status says accept, but the template's own word is missing";
    for (app, member, given, why) in [
        ("douyin", "results", json!({ "event-start": "repeat" }), already),
        (
            "douyin",
            "result",
            json!({ "event-start": "accept", "templateSettings": { "event-start": { "status": "repeat" } } }),
            already,
        ),
        ("douyin", "result", json!({ "templateSettings": { "event-start": { "status": "accept" } } }), alone),
        (
            "alipay",
            "result",
            json!({ "behavior": "subscribe", "show": false, "event-start": "accept" }),
            "the dialog was not shown, so this is the answer of the time before and adds nothing",
        ),
        (
            "alipay",
            "result",
            json!({ "behavior": "cancel", "show": true, "result": { "subscribeEntityIds": ["event-start"] } }),
            "the user left the dialog without an answer",
        ),
    ] {
        let (status, told) = report(app, member, given.clone()).await;
        let ignored = json!([{ "template": "event-start", "why": why }]);
        assert_eq!((status, &told["recorded"], &told["ignored"]), (200, &json!([]), &ignored), "{app}: {given}");
    }
    desk.close(&[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consent_that_ends_before_its_reminder_is_told_with_its_end_in_the_apps_zone() {
    let desk = Desk::new(|_| String::new()).await;
    let case = CASES.iter().find(|case| case.app() == "douyin").expect("it is one of them");
    let user = case.user(1);
    desk.accepts(case, &user, TWICE, ACCEPT).await;
    let body = |due_in| {
        let mut body = Desk::body(case, &user, due_in);
        body["template"] = TWICE.into();
        body
    };
    let (status, answer) = desk.daemon.post("/v1/reminders", &body(2 * DAY)).await;
    let in_zone = |answer: &Value| text(answer, "detail").contains("+08:00");
    assert!(status == 409 && in_zone(&answer), "{status} {answer}");
    let path = desk.remind(case, &body(HOUR)).await;
    let at = body(2 * DAY)["at"].clone();
    let (status, answer) = desk.daemon.call(Method::PATCH, &path, Some(&json!({ "at": at }))).await.expect("an answer");
    assert!(status == 409 && in_zone(&answer), "{status} {answer}");
    let lines = desk.daemon.batch("/v1/reminders/batch", body(2 * DAY).to_string()).await;
    assert!(in_zone(&lines[0]["error"]), "{lines:?}");

    // A schedule finds none of them good; it has not ended, and no other load of the same file would help.
    let file = format!(
        "name = \"years\"\napp = \"douyin\"\ntemplate = \"{TWICE}\"\nat = {}\naudience = [\"{user}\"]\npage = \"pages/event\"\n[data]\n\
         \"{}\" = \"a\"\n\"{}\" = \"b\"\n\"{}\" = \"c\"\n",
        rfc3339(crate::harness::program::now() + 8 * DAY),
        case.facts.sample.event[0],
        case.facts.sample.event[1],
        case.facts.sample.event[2],
    );
    std::fs::write(desk.site.path("years.toml"), file).expect("written");
    let (code, _, said) = desk.site.run(&["load", "years.toml", "--yes"]);
    assert_eq!(code, 0, "{said}");
    let (_, all) = desk.daemon.get("/v1/schedules").await;
    assert_eq!(all["items"][0]["state"], "active", "{all}");
    let why = |lang: &str| {
        desk.site.run(&["reminder", "explain", "--schedule", "years", "--openid", &user, "--lang", lang]).1
    };
    assert!(why("en").contains("1 free consent ends before"), "{}", why("en"));
    assert!(why("zh").contains("早于提醒时间") && !why("zh").contains("重新加载"), "{}", why("zh"));
    desk.close(&[]);
}

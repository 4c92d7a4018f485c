//! Templates whose keywords come in another order, are too many, or none: in the configuration, in a reminder, and at the platform.

use super::{ACCEPT, CASES, Case, desk::Desk};
use serde_json::{Value, json};
use tixing::{
    domain::{HOUR, SECOND, template::Numbers},
    sandbox::AppSpec,
};

/// The line of the first template that names its fields.
fn fields(case: &Case) -> &'static str {
    let lines = case.facts.sample.templates.lines();
    lines.clone().find(|line| line.starts_with("fields = ")).expect("it has fields")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_configuration_takes_keywords_in_any_order_and_refuses_a_template_without() {
    let sandbox = crate::harness::program::SandboxServer::start(1).await;
    for case in &CASES {
        let site = super::desk::site(&sandbox, |_| String::new());
        let [first, second, third] = case.facts.sample.event;
        let text = std::fs::read_to_string(site.path("tixing.toml")).expect("there");
        let numbered = case.facts.fields.numbers != Numbers::Any;
        // (the fields, what is said of them; nothing if they are right)
        let other_order =
            format!("{{ \"{third}\" = \"活动地点\", \"{first}\" = \"活动名称\", \"{second}\" = \"开始时间\" }}");
        let gap = format!("{{ \"{first}\" = \"活动名称\", \"{third}\" = \"活动地点\" }}");
        let none = "{}".to_owned();
        // Where keys are numbered otherwise, WeChat's are told for what they are; a platform without types takes any key.
        let wechats = match case.facts.fields.numbers {
            Numbers::InOrder => format!("{{ {first} = \"活动名称\" }}"),
            _ => "{ thing1 = \"活动名称\" }".to_owned(),
        };
        for (what, fields_are, said) in [
            ("another order", other_order, ""),
            ("a gap", gap, if numbered { second } else { "" }),
            ("none", none, "fields"),
            ("as on WeChat", wechats, if case.app() == "kuaishou" { "thing01" } else { "" }),
        ] {
            let start = text.find(&format!("platform = \"{}\"", case.app())).expect("there");
            let changed = text[start..].replacen(fields(case), &format!("fields = {fields_are}"), 1);
            std::fs::write(site.path("tixing.toml"), format!("{}{changed}", &text[..start])).expect("written");
            let (code, _, told) = site.run(&["check"]);
            assert_eq!(code == 0, said.is_empty(), "{}, {what}: {told}", case.app());
            assert!(told.contains(said), "{}, {what}: {told}", case.app());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reminders_keywords_are_sent_in_the_templates_order_and_others_are_refused() {
    let desk = Desk::new(|_| String::new()).await;
    let mut paths = Vec::new();
    for case in &CASES {
        let [first, second, third] = case.facts.sample.event;
        let body = Desk::body(case, &case.user(1), HOUR);
        let with = |change: &dyn Fn(&mut Value)| {
            let mut body = body.clone();
            change(&mut body["data"]);
            body
        };
        for (what, body, code, param) in [
            ("too many", with(&|data| data["keyword9"] = "x".into()), "unknown_field", "/data/keyword9"),
            (
                "one too few",
                with(&|data| drop(data.as_object_mut().expect("it is").remove(second))),
                "missing_field",
                second,
            ),
            ("none", with(&|data| *data = json!({})), "missing_field", ""),
            ("empty", with(&|data| data[third] = " ".into()), "bad_field", third),
            ("no text", with(&|data| data[third] = 7.into()), "bad_json", third),
        ] {
            let (status, told) = desk.daemon.post("/v1/reminders", &body).await;
            let found = (status.as_u16() / 100, told["code"].as_str().unwrap_or_default());
            assert_eq!(found, (4, code), "{}, {what}: {told}", case.app());
            assert!(told["param"].as_str().is_some_and(|at| at.starts_with("/data") && at.ends_with(param)), "{told}");
        }
        desk.accepts(case, &case.user(1), "event-start", ACCEPT).await;
        // As a program may write it: the last one first.
        let text = Desk::body(case, &case.user(1), 2 * SECOND);
        let data =
            format!("{{\"{third}\":\"二楼露台\",\"{second}\":\"2031年3月1日 19:30\",\"{first}\":\"春季品鉴会\"}}");
        let text = text.to_string().replacen(&text["data"].to_string(), &data, 1);
        assert!(text.contains(&data), "{text}");
        let request = desk.daemon.http.post(format!("{}/v1/reminders", desk.daemon.base)).bearer_auth(&desk.daemon.key);
        let answer = request.header("content-type", "application/json").body(text).send().await.expect("an answer");
        let made: Value = serde_json::from_str(&answer.text().await.expect("whole")).expect("JSON");
        paths.push(format!("/v1/reminders/{}", made["id"].as_str().unwrap_or_else(|| panic!("{made}"))));
    }
    for (case, path) in CASES.iter().zip(&paths) {
        // Where the order counts, the sandbox refuses another one.
        desk.becomes(path, "sent").await;
        let data = &desk.received(case)[0].data;
        let [first, _, third] = case.facts.sample.event;
        assert_eq!((&*data[first], &*data[third]), ("春季品鉴会", "二楼露台"), "{}", case.app());
    }
    desk.close(&[]);
}

/// (what was changed in the console) → what comes of a message, in the order of the table.
const CHANGES: [(&str, [&str; 5]); 2] = [
    ("one more", ["47003", "USER_TEMPLATE_LACK_KEYWORD", "28014001", "100200100", "2002"]),
    ("none", ["sent", "USER_TEMPLATE_LACK_KEYWORD", "sent", "sent", "sent"]),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_template_that_was_changed_at_the_platform_burns_no_consent_and_is_told_where_it_can_be_known() {
    for (what, outcomes) in CHANGES {
        let desk = Desk::new(|_| String::new()).await;
        let config = tixing::config::load(&desk.site.path("tixing.toml"), 0).expect("good");
        let mut paths = Vec::new();
        for (case, app) in CASES.iter().zip(&config.apps) {
            let mut templates = AppSpec::of(app).templates;
            let fields = &mut templates[0].fields;
            if what == "none" {
                fields.clear();
            } else {
                let one = fields.keys().next().expect("it has some").clone();
                let more = if case.facts.fields.types.is_empty() {
                    "备注".to_owned()
                } else {
                    format!("{}9", one.trim_end_matches(|c: char| c.is_ascii_digit()))
                };
                fields.insert(more, "备注".into());
            }
            assert!(desk.sandbox.sandbox.world().set_templates(&app.appid, templates));
            desk.accepts(case, &case.user(1), "event-start", ACCEPT).await;
            paths.push(desk.remind(case, &Desk::body(case, &case.user(1), 2 * SECOND)).await);
        }
        for ((case, path), outcome) in CASES.iter().zip(&paths).zip(outcomes) {
            let app = case.app();
            if outcome == "sent" {
                desk.becomes(path, "sent").await;
                continue;
            }
            let failed = desk.becomes(path, "failed").await;
            assert_eq!(failed["attempts"][0]["code"], outcome, "{app}, {what}: {failed}");
            assert_eq!(desk.balance(case, &case.user(1), "event-start").await["available"], 1, "{app}, {what}");
            let (en, zh) = desk.why(path).await;
            let code = case.facts.code(outcome).expect("it is listed");
            assert!(en.contains(code.en) && zh.contains(code.zh), "{app}, {what}: {en} {zh}");
        }
        // Where the platform lists its templates, that is seen before a message is lost.
        let (code, _, said) = desk.site.run(&["template", "refresh"]);
        assert!(code == 0 || code == 1, "{said}");
        let (_, listed) = desk.daemon.get("/v1/templates").await;
        for (case, app) in CASES.iter().zip(&config.apps) {
            let of =
                |template: &&Value| template["app"] == case.app() && template["id"] == app.templates[0].code.as_str();
            let told = listed["templates"].as_array().expect("a list").iter().find(of).expect("it is there");
            // A list without keywords says nothing about them.
            let seen = what != "none" && app.adapter().listings().is_some();
            let out_of_step = told["out_of_step"].as_array().is_some_and(|all| !all.is_empty());
            assert_eq!(out_of_step, seen, "{}, {what}: {told}", case.app());
        }
        desk.close(&[]);
    }
}

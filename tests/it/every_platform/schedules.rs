//! A marketer's schedule files on every platform: field rules, whom consents of each kind reach, and messages that arrive.

use super::{
    ACCEPT, CASES, Case, DIGEST, TWICE,
    desk::{Desk, id_of},
};
use crate::harness::program::now;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use tixing::domain::{DAY, HOUR, Millis, SECOND, timing::rfc3339};

/// Long enough to plan and load five files before it comes.
const SOON: Millis = 12 * SECOND;

/// A schedule; `who` is its audience and `what` its name for people.
fn file(case: &Case, name: &str, template: &str, at: Millis, who: &str, what: &str) -> String {
    let [first, second, third] = case.facts.sample.event;
    format!(
        "name = \"{}-{name}\"\napp = \"{}\"\ntemplate = \"{template}\"\nat = {}\naudience = {who}\npage = \"pages/event\"\n\
         [data]\n\"{first}\" = \"{what}\"\n\"{second}\" = \"{{{{@event | datetime}}}}\"\n\"{third}\" = \"二楼露台\"\n",
        case.app(),
        case.app(),
        rfc3339(at)
    )
}

/// The table's column of users, as people on this platform call it.
fn table(case: &Case, rows: &[(String, String)]) -> String {
    let rows: String = rows.iter().map(|(openid, what)| format!("{openid},{what}\n")).collect();
    format!("{},名称\n{rows}", case.facts.openid_columns[0])
}

fn list(case: &Case) -> String {
    format!("{{ file = \"{}.csv\" }}", case.app())
}

impl Desk {
    /// What a file would do, asked over HTTP.
    async fn plan(&self, text: String, table: Option<(&Case, String)>) -> (u16, Value) {
        let mut form = Form::new().part("schedule", Part::text(text).file_name("s.toml"));
        if let Some((case, table)) = table {
            form = form.part(format!("{}.csv", case.app()), Part::text(table));
        }
        let request = self.daemon.http.post(format!("{}/v1/schedules/plan", self.daemon.base));
        let answer = request.bearer_auth(&self.daemon.key).multipart(form).send().await.expect("an answer");
        let status = answer.status().as_u16();
        (status, serde_json::from_str(&answer.text().await.expect("a whole answer")).expect("JSON"))
    }

    /// Loads a file by the command line; the exit code, and what it says.
    fn load(&self, name: &str, text: &str, table: Option<(&Case, String)>) -> (i32, Value) {
        let file = self.site.path(&format!("{name}.toml"));
        std::fs::write(&file, text).expect("written");
        if let Some((case, table)) = table {
            std::fs::write(self.site.path(&format!("{}.csv", case.app())), table).expect("written");
        }
        let (code, out, said) = self.site.run(&["load", &file.display().to_string(), "--yes", "--json"]);
        (code, serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}{said}")))
    }

    /// Waits until users of each app have received so many, and checks who.
    async fn received_all(&self, expected: &BTreeMap<&str, BTreeSet<String>>, what: &str) {
        let path = "/v1/stats";
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(40);
        loop {
            let of = |case: &Case| {
                let messages = self.received(case).into_iter();
                messages
                    .filter(|message| message.data.values().any(|value| value == what))
                    .map(|message| message.openid)
            };
            let got: BTreeMap<&str, BTreeSet<String>> =
                CASES.iter().map(|case| (case.app(), of(case).collect())).collect();
            if got == *expected {
                return;
            }
            let late = std::time::Instant::now() > deadline;
            assert!(!late, "«{what}»: {got:?}, not {expected:?}: {}", self.daemon.get(path).await.1);
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }
}

/// A user for each kind of consent of a platform: who, the kind, and how many sends it is worth; the first one's has no end. They are
/// numbered from 1; the user behind them has accepted nothing.
fn users(case: &Case, template: &str) -> Vec<(String, &'static str, u32)> {
    let plain = [(ACCEPT, 1)];
    let ending = case.ending.iter().filter(|(kind, _)| (*kind == ACCEPT) == (template == TWICE));
    let all = plain.iter().filter(|_| template != TWICE).chain(ending);
    let base = if template == TWICE { 100 } else { 0 };
    all.zip(base + 1..).map(|((kind, sends), n)| (case.user(n), *kind, *sends)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_reaches_users_by_consents_of_each_kind_and_its_messages_arrive() {
    let desk = Desk::new(|_| String::new()).await;
    let mut everybody = Vec::new();
    for case in &CASES {
        for (openid, kind, _) in users(case, "event-start") {
            desk.accepts(case, &openid, "event-start", kind).await;
            everybody.push(openid);
        }
        everybody.push(case.user(50));
        desk.answers(case, &case.user(50), "event-start", ACCEPT, "reject").await;
    }
    let (soon, later) = (now() + SOON, now() + 8 * DAY);
    let mut expected = BTreeMap::new();
    for case in &CASES {
        let users = users(case, "event-start");
        let mut rows: Vec<(String, String)> = users.iter().map(|(user, ..)| (user.clone(), "品鉴会".into())).collect();
        rows.push((case.user(50), "品鉴会".into()));
        let table = || Some((case, table(case, &rows)));
        // A ticket that ends before the instant is no reach.
        let (status, plan) =
            desk.plan(file(case, "later", "event-start", later, &list(case), "{{名称}}"), table()).await;
        assert_eq!((status, &plan["reach"]["with_consent"]), (200, &json!(1)), "{}: {plan}", case.app());
        let text = file(case, "soon", "event-start", soon, &list(case), "{{名称}}");
        let (status, plan) = desk.plan(text.clone(), table()).await;
        let n = users.len();
        assert_eq!((status, &plan["reach"]["people"]), (200, &json!(n + 1)), "{}: {plan}", case.app());
        assert_eq!(
            (&plan["reach"]["with_consent"], &plan["reminders"]["no_consent"]),
            (&json!(n), &json!(1)),
            "{plan}"
        );
        let (code, loaded) = desk.load(&format!("{}-soon", case.app()), &text, table());
        assert_eq!((code, &loaded["loaded"]["new"]), (0, &json!(n)), "{}: {loaded}", case.app());
        expected.insert(case.app(), users.into_iter().map(|(user, ..)| user).collect::<BTreeSet<_>>());
    }
    desk.received_all(&expected, "品鉴会").await;

    // What is left of a ticket of several sends reaches its user, and nobody else, for whom nobody has to write a list.
    let at = now() + SOON;
    for case in &CASES {
        let left: BTreeSet<String> =
            users(case, "event-start").into_iter().filter(|(.., sends)| *sends > 1).map(|(user, ..)| user).collect();
        let text = file(case, "again", "event-start", at, "\"consented\"", "余下的人");
        let (code, loaded) = desk.load(&format!("{}-again", case.app()), &text, None);
        assert_eq!((code, &loaded["loaded"]["new"]), (0, &json!(left.len())), "{}: {loaded}", case.app());
        expected.insert(case.app(), left);
    }
    desk.received_all(&expected, "余下的人").await;
    desk.close(&everybody);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn standing_consents_and_those_of_several_sends_reach_their_users_again_and_again() {
    let desk = Desk::new(|_| String::new()).await;
    let mut of_template: Vec<(&Case, &str, String)> = Vec::new();
    for case in &CASES {
        if case.standing {
            desk.accepts(case, &case.user(1), DIGEST, ACCEPT).await;
            of_template.push((case, DIGEST, case.user(1)));
        }
        for (openid, kind, _) in users(case, TWICE) {
            desk.accepts(case, &openid, TWICE, kind).await;
            of_template.push((case, TWICE, openid));
        }
    }
    assert_eq!(
        of_template.len(),
        4,
        "WeChat, Alipay and Douyin have standing ones, and Douyin has those of several sends"
    );
    // Until the end of its period it reaches, and not beyond; a standing one has no end.
    for (case, template, _) in &of_template {
        for (at, reached) in [(now() + 20 * HOUR, 1), (now() + 25 * HOUR, i32::from(*template == DIGEST))] {
            let text = file(case, "later", template, at, "\"consented\"", "周报");
            let (status, plan) = desk.plan(text, None).await;
            assert_eq!(
                (status, &plan["reminders"]["new"]),
                (200, &json!(reached)),
                "{template} of {}: {plan}",
                case.app()
            );
        }
    }
    // The third one finds the two sends used.
    for (round, name) in ["一", "二", "三"].iter().enumerate() {
        let (at, what) = (now() + SOON, format!("第{name}期"));
        let mut expected: BTreeMap<&str, BTreeSet<String>> =
            CASES.iter().map(|case| (case.app(), BTreeSet::new())).collect();
        for (case, template, openid) in &of_template {
            let reached = *template == DIGEST || round < 2;
            let text = file(case, &format!("{template}-{round}"), template, at, "\"consented\"", &what);
            let (code, loaded) = desk.load(&format!("{}-{template}-{round}", case.app()), &text, None);
            assert_eq!((code, &loaded["loaded"]["new"]), (0, &json!(i32::from(reached))), "{template}: {loaded}");
            if reached {
                expected.get_mut(case.app()).expect("it is there").insert(openid.clone());
            }
        }
        desk.received_all(&expected, &what).await;
    }
    desk.close(&[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_cells_are_told_by_each_platforms_rules_and_a_plan_shows_what_would_be_sent() {
    let desk = Desk::new(|_| String::new()).await;
    let at = now() + HOUR;
    for case in &CASES {
        let [first, ..] = case.facts.sample.event;
        let rows = [
            (case.user(1), "品鉴会".to_owned()),
            (case.user(2), "长".repeat(60)),
            (case.user(3), String::new()),
            ("2088000000000001".to_owned(), "品鉴会".to_owned()),
        ];
        let text = file(case, "wrong", "event-start", at, &list(case), "{{名称}}");
        let (status, plan) = desk.plan(text.clone(), Some((case, table(case, &rows)))).await;
        let all = plan["problems"].as_array().expect("a list");
        let told: Vec<(u64, &str)> = all
            .iter()
            .map(|problem| (problem["row"].as_u64().expect("a row"), problem["code"].as_str().expect("a code")))
            .collect();
        let mut expected = vec![(3, "bad_field"), (4, "no_value")];
        // Only where a user has two ids is the other kind known by its shape.
        if case.app() == "alipay" {
            expected.push((5, "bad_openid"));
        }
        assert_eq!((status, told), (200, expected), "{}: {plan}", case.app());
        assert_eq!(all[0]["param"], format!("/data/{first}"), "{}", case.app());

        // What one would receive is seen without a phone, and before anybody has accepted.
        std::fs::write(desk.site.path("s.toml"), &text).expect("written");
        std::fs::write(desk.site.path(&format!("{}.csv", case.app())), table(case, &rows[..1])).expect("written");
        let (code, out, said) = desk.site.run(&["plan", "s.toml", "--reminders"]);
        assert_eq!(code, 0, "{}: {out}{said}", case.app());
        let shown: Value = serde_json::from_str(out.lines().next().expect("a line")).expect("JSON");
        assert_eq!((&shown["openid"], &shown["change"]), (&json!(case.user(1)), &json!("no_consent")), "{shown}");
        assert_eq!((&shown["data"][first], &shown["page"]), (&json!("品鉴会"), &json!("pages/event")), "{shown}");
        assert!(!shown.to_string().contains("{{"), "{shown}");

        // A query in the page, filled from the row.
        let text = text.replace("pages/event", "pages/event?n={{名称}}");
        let two = [rows[0].clone(), (case.user(9), "品鉴会".to_owned())];
        let (_, plan) = desk.plan(text, Some((case, table(case, &two)))).await;
        let problem = &plan["problems"][0];
        let refused = problem["code"] == "bad_page" && problem["line"] == 6;
        assert_eq!(refused, case.app() == "kuaishou", "{}: {plan}", case.app());
        assert_eq!(plan["problems"].as_array().map(Vec::len), Some(usize::from(refused)), "{plan}");
    }
    desk.close(&[]);
}

/// A template with typed fields, or numbered ones: the platform's own rules hold for what a column says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_and_dates_of_a_table_arrive_as_each_platform_wants_them() {
    let desk = Desk::new(|_| String::new()).await;
    let mut expected = BTreeMap::new();
    let at = now() + SOON;
    for case in &CASES {
        let app = case.app();
        let templates: toml::Table = case.facts.sample.templates.parse().expect("TOML");
        let coupon = &templates["app"]["template"][1]["fields"];
        let key = |label: &str| {
            let mut fields = coupon.as_table().expect("a table").iter();
            fields.find(|(_, value)| value.as_str() == Some(label)).expect("it has it").0.clone()
        };
        let (what, money, day) = (key("优惠券"), key("面额"), key("到期时间"));
        let text = format!(
            "name = \"{app}-coupon\"\napp = \"{app}\"\ntemplate = \"coupon-expiry\"\nat = {}\npage = \"pages/coupon\"\n\
             audience = {{ file = \"{app}.csv\" }}\n[data]\n\"{what}\" = \"{{{{券}}}}\"\n\"{money}\" = \"{{{{面额 | number}}}}\"\n\
             \"{day}\" = \"{{{{到期 | date}}}}\"\n",
            rfc3339(at)
        );
        let rows = format!("{},券,面额,到期\n{},九折券,￥28,2031-03-01\n", case.facts.openid_columns[0], case.user(1));
        desk.accepts(case, &case.user(1), "coupon-expiry", ACCEPT).await;
        let (code, loaded) = desk.load(&format!("{app}-coupon"), &text, Some((case, rows)));
        assert_eq!((code, &loaded["loaded"]["new"]), (0, &json!(1)), "{app}: {loaded}");
        expected.insert(app, BTreeSet::from([case.user(1)]));
        assert_ne!(id_of(case.facts, "coupon-expiry"), id_of(case.facts, "event-start"));
    }
    desk.received_all(&expected, "九折券").await;
    for case in &CASES {
        let data = &desk.received(case)[0].data;
        let date = data.values().find(|value| value.starts_with("2031年")).expect("a date");
        let wanted = if case.app() == "kuaishou" { "2031年03月01号" } else { "2031年3月1日" };
        assert_eq!(date, wanted, "{}", case.app());
        assert!(data.values().any(|value| value == "28"), "{}: {data:?}", case.app());
    }
    desk.close(&[]);
}

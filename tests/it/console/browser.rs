//! The flows of a marketer in a real browser: in both languages, on a wide and on a narrow page, light and dark, by mouse and by keyboard.

use super::{key, site};
use crate::harness::{
    EVENT,
    browser::{Chromium, is_missing},
    program::{Program, SandboxServer, Site, now},
};
use serde_json::json;
use std::path::PathBuf;
use tixing::domain::{SECOND, timing::rfc3339};

const USERS: [&str; 3] =
    ["oAAAAAAAAAAAAAAAAAAAAAAAAAA1", "oAAAAAAAAAAAAAAAAAAAAAAAAAA2", "oAAAAAAAAAAAAAAAAAAAAAAAAAA3"];

/// A mini-program with users who have accepted, and a marketer with a key.
struct Office {
    sandbox: SandboxServer,
    site: Site,
    program: Program,
    key: String,
}

impl Office {
    async fn open() -> Self {
        let sandbox = SandboxServer::start(1).await;
        let site = site("sqlite:tixing.db", &sandbox.url, "");
        let text = std::fs::read_to_string(site.path("tixing.toml")).expect("written");
        let more = "timezone = \"Asia/Shanghai\"\ntesters = [\"o-tester\"]";
        std::fs::write(site.path("tixing.toml"), text.replace("timezone = \"Asia/Shanghai\"", more)).expect("written");
        let mut program = site.serve();
        program.key = site.key();
        for user in USERS.into_iter().chain(["o-tester"]) {
            sandbox.sandbox.world().tap("wx0123456789abcdef", user, EVENT, true);
            let report = json!({ "app": "coffee", "openid": user, "results": { "event-start": "accept" } });
            assert_eq!(program.post("/v1/consents", &report).await.0, 200);
        }
        let key = key(&site, &["--name", "w", "--scope", "write"]);
        Self { sandbox, site, program, key }
    }

    /// A list of three people who come to an event in an hour.
    fn list(&self, file: &str, second: &str) -> PathBuf {
        let at = rfc3339(now() + 3_600 * SECOND);
        let rows = [("A1", "茶会"), ("A2", second), ("A3", "读书会")];
        let rows: String =
            rows.iter().zip(USERS).map(|((key, name), user)| format!("{user},{key},{name},{at}\n")).collect();
        let path = self.site.path(file);
        std::fs::write(&path, format!("openid,编号,活动名称,开始时间\n{rows}")).expect("written");
        path
    }

    async fn sign_in(&self, chromium: &Chromium) {
        chromium.open("/console").await;
        chromium.write("#name", "w").await;
        chromium.write("#key", &self.key).await;
        chromium.go("main button").await;
    }
}

/// What pages say, in Chinese or in English.
struct Says {
    lang: &'static str,
    verdict: &'static str,
    tried: &'static str,
    paused: &'static str,
    sent: &'static str,
    punctual: &'static str,
    live: &'static str,
    reached: &'static str,
    why: &'static str,
}

const ZH: Says = Says {
    lang: "zh-CN",
    verdict: "3 行：3 正确",
    tried: "已发给以下测试人员",
    paused: "已暂停",
    sent: "已发送 3",
    punctual: "最近 3 条",
    live: "数字实时更新中",
    reached: "已发送人数",
    why: "已发送",
};
const EN: Says = Says {
    lang: "en",
    verdict: "3 rows: 3 right",
    tried: "Sent to these testers",
    paused: "It is paused",
    sent: "sent 3",
    punctual: "the last 3",
    live: "Numbers are live",
    reached: "people to whom it was sent",
    why: "sent",
};

/// The five flows, with each page looked at.
async fn flows(width: u32, says: &Says, scheme: &str) {
    let office = Office::open().await;
    let mut chromium = Chromium::start(&office.program.base, width, 800).await;
    chromium.prefers(scheme).await;
    chromium.open("/console").await;
    if says.lang == "en" {
        chromium.go("header button[value=en]").await;
    }
    chromium.look().await;
    office.sign_in(&chromium).await;

    // F5: what needs me.
    assert_eq!(chromium.path().await, "/console");
    chromium.look().await;
    chromium.go("nav a[href='/console/schedules']").await;
    chromium.look().await;

    // F1: a table with a wrong cell, mended, tried, loaded.
    chromium.go("main a[href='/console/new']").await;
    chromium.look().await;
    chromium.write("#name", "春季").await;
    chromium.choose("#table", &office.list("名单.csv", "一二三四五六七八九十一二三四五六七八九十零")).await;
    chromium.go("main form button").await;
    chromium.look().await;
    // A column is put into a text by a click, and a text of words alone is counted.
    chromium.write("#field-thing1", "活动：").await;
    chromium.says("3 / 20").await;
    chromium.click("button[data-text='{{活动名称}}']").await;
    let text = chromium.find("#field-thing1").await.prop("value").await.expect("answers");
    assert_eq!(text.as_deref(), Some("活动：{{活动名称}}"));
    chromium.write("#field-thing1", "{{活动名称}}").await;
    chromium.go("button[name=look]").await;
    chromium.says("茶会").await;
    chromium.look().await;
    chromium.go("form.sheet button.primary").await;
    chromium.says("C3").await;
    chromium.look().await;
    chromium.choose("#mended", &office.list("改好.csv", "品茶会")).await;
    chromium.go("form[action$='/table'] button").await;
    chromium.says(says.verdict).await;
    chromium.look().await;
    chromium.go("a[rel=next]").await;
    chromium.says("2 / 3").await;
    chromium.click("details:has(form[action$='/try']) summary").await;
    chromium.go("form[action$='/try'] button").await;
    chromium.says(says.tried).await;
    chromium.look().await;
    chromium.client.back().await.expect("back");
    chromium.go("form[action$='/load'] button").await;
    assert_eq!(chromium.path().await, "/console/schedules/%E6%98%A5%E5%AD%A3?done=load");
    let loaded = chromium.path().await;

    // The back button after loading leads to a page, and loads nothing a second time.
    chromium.client.back().await.expect("back");
    chromium.open(&loaded).await;

    // F2: watched without a reload; stopped, and moved.
    chromium.says(says.live).await;
    chromium.look().await;
    chromium.click("a[href$='/pause']").await;
    chromium.find("dialog[open]").await;
    chromium.look().await;
    // Whoever goes back is where they were.
    chromium.click("dialog .back").await;
    chromium.find("a[href$='/pause']:focus").await;
    chromium.click("a[href$='/pause']").await;
    chromium.go("dialog button.primary").await;
    chromium.says(says.paused).await;
    chromium.click("a[href$='/resume']").await;
    chromium.go("dialog button.primary").await;
    chromium.click("a[href$='/shift']").await;
    chromium.write("dialog #by", "-2h").await;
    chromium.go("dialog form[method=get] button").await;
    chromium.look().await;
    chromium.go("main button.primary").await;
    chromium.says(says.sent).await;
    chromium.says(says.punctual).await;
    chromium.look().await;

    // F3: how it went.
    chromium.go("a[href$='/report']").await;
    chromium.says(says.reached).await;
    chromium.look().await;

    // F4: why somebody got it.
    chromium.go("nav a[href='/console/search']").await;
    chromium.write("#wanted", USERS[1]).await;
    chromium.go("main form button").await;
    assert!(!chromium.path().await.contains(USERS[1]), "no openid stands in an address");
    chromium.look().await;
    chromium.go("main a[href^='/console/reminders/']").await;
    chromium.says(says.why).await;
    chromium.look().await;
    assert_eq!(office.sandbox.sandbox.world().messages().len(), 4, "three, and the tester's");
    chromium.close().await;
    let (_, log) = office.program.terminate();
    assert!(USERS.iter().all(|user| !log.contains(user)), "no openid in the log");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_five_flows_in_chinese_on_a_wide_page() {
    if !is_missing() {
        flows(1_280, &ZH, "light").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_five_flows_in_english_on_a_narrow_dark_page() {
    if !is_missing() {
        flows(360, &EN, "dark").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_five_flows_in_english_on_a_wide_dark_page() {
    if !is_missing() {
        flows(1_280, &EN, "dark").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_five_flows_in_chinese_on_a_narrow_page() {
    if !is_missing() {
        flows(360, &ZH, "light").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_is_made_by_the_keyboard_alone() {
    if is_missing() {
        return;
    }
    let office = Office::open().await;
    let list = office.list("名单.csv", "品茶会");
    let chromium = Chromium::start(&office.program.base, 1_280, 800).await;
    office.sign_in(&chromium).await;
    let enter = "\u{e007}";
    let press = async |css: &str, keys: &str| {
        chromium.tab_to(css).await.send_keys(keys).await.expect("it takes keys");
    };
    let follow = async |css: &str| {
        let before = chromium.find("html").await;
        press(css, enter).await;
        chromium.left(&before).await;
    };
    follow("nav a[href='/console/schedules']").await;
    follow("a[href='/console/new']").await;
    press("#name", "春季").await;
    press("#table", list.to_str().expect("text")).await;
    follow("main form button").await;
    follow("form.sheet button.primary").await;
    chromium.says(ZH.verdict).await;
    follow("form[action$='/load'] button").await;
    assert!(chromium.path().await.ends_with("?done=load"));
    press("a[href$='/cancel']", enter).await;
    chromium.find("dialog[open]").await;
    follow("dialog button.primary").await;
    chromium.says("已取消").await;
    chromium.close().await;
    assert!(office.program.terminate().0.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_page_goes_on_after_a_restart_and_sees_what_the_command_line_does() {
    if is_missing() {
        return;
    }
    let mut office = Office::open().await;
    // The page comes back to the same address.
    let address = office.program.base.trim_start_matches("http://").to_owned();
    let text = std::fs::read_to_string(office.site.path("tixing.toml")).expect("written");
    std::fs::write(office.site.path("tixing.toml"), text.replace("127.0.0.1:0", &address)).expect("written");
    let file = format!(
        "name = \"spring\"\napp = \"coffee\"\ntemplate = \"event-start\"\nat = {}\naudience = [\"{}\"]\n[data]\nthing1 = \"茶会\"\ntime2 = \"{{{{@event | datetime}}}}\"\n",
        rfc3339(now() + 3_600 * SECOND),
        USERS[0]
    );
    std::fs::write(office.site.path("spring.toml"), file).expect("written");
    assert_eq!(office.site.run(&["load", "spring.toml", "--yes"]).0, 0);
    let chromium = Chromium::start(&office.program.base, 1_280, 800).await;
    office.sign_in(&chromium).await;
    chromium.open("/console/schedules/spring").await;
    chromium.says(ZH.live).await;
    let began = std::time::Instant::now();
    assert!(office.program.terminate().0.success());
    assert!(began.elapsed().as_secs() < 5, "an open page does not hold up the stop");
    chromium.says("已停止实时更新").await;
    office.program = office.site.serve();
    chromium.says(ZH.live).await;
    assert_eq!(office.site.run(&["schedules", "cancel", "spring"]).0, 0);
    chromium.says("已结束，以上为最终数字").await;
    chromium.says("已取消 1").await;
    chromium.close().await;
    assert!(office.program.terminate().0.success());
}

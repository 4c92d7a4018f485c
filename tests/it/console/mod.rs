//! The console over real HTTP, by the real program: who gets in, what they see, and what another site cannot do.

mod browser;
mod form;
mod live;

use crate::harness::{
    EVENT,
    program::{Program, SandboxServer, Site, body, now},
};
use reqwest::{StatusCode, redirect::Policy};
use serde_json::json;
use tixing::{
    clock::Clock,
    domain::{SECOND, timing::rfc3339},
};

/// A browser's part of HTTP: a cookie jar, and no redirects that are not looked at.
struct Browser {
    http: reqwest::Client,
    base: String,
    cookies: Vec<(String, String)>,
}

/// What came: status, where it leads to, the page.
struct Answer {
    status: StatusCode,
    to: String,
    text: String,
    headers: reqwest::header::HeaderMap,
}

impl Browser {
    fn new(program: &Program) -> Self {
        let http = reqwest::Client::builder().no_proxy().redirect(Policy::none()).build().expect("a client");
        Self { http, base: program.base.clone(), cookies: Vec::new() }
    }

    fn cookies(&self) -> String {
        self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    async fn send(&mut self, request: reqwest::RequestBuilder) -> Answer {
        let answer = request.header("cookie", self.cookies()).send().await.expect("an answer");
        let (status, headers) = (answer.status(), answer.headers().clone());
        for cookie in headers.get_all("set-cookie") {
            let text = cookie.to_str().expect("text");
            let (name, value) = text.split(';').next().and_then(|pair| pair.split_once('=')).expect("a cookie");
            assert!(text.contains("HttpOnly") && text.contains("SameSite=Lax") && text.contains("Path=/"), "{text}");
            self.cookies.retain(|(known, _)| known != name);
            if !text.contains("Max-Age=0") {
                self.cookies.push((name.into(), value.into()));
            }
        }
        let to = headers.get("location").and_then(|to| to.to_str().ok()).unwrap_or_default().to_owned();
        Answer { status, to, text: answer.text().await.expect("a page"), headers }
    }

    async fn get(&mut self, path: &str) -> Answer {
        let request = self.http.get(format!("{}{path}", self.base));
        self.send(request).await
    }

    /// A form of a page of ours.
    async fn post(&mut self, path: &str, form: &[(&str, &str)]) -> Answer {
        let request = self.http.post(format!("{}{path}", self.base)).header("sec-fetch-site", "same-origin");
        let body =
            reqwest::Url::parse_with_params("http://x", form).expect("pairs").query().unwrap_or_default().to_owned();
        self.send(request.header("content-type", "application/x-www-form-urlencoded").body(body)).await
    }

    async fn sign_in(&mut self, name: &str, key: &str) -> Answer {
        self.post("/console/login", &[("name", name), ("key", key)]).await
    }
}

fn site(url: &str, platform: &str, more: &str) -> Site {
    let site = Site::new(url, platform, "timezone = \"Asia/Shanghai\"");
    let text = std::fs::read_to_string(site.path("tixing.toml")).expect("written");
    let text = text.replace("[store]", &format!("[console]\nenabled = true\n{more}\n[store]"));
    std::fs::write(site.path("tixing.toml"), text).expect("written");
    site
}

fn key(site: &Site, args: &[&str]) -> String {
    let (code, key, said) = site.run(&[&["key", "create"], args].concat());
    assert_eq!(code, 0, "{said}");
    key.trim().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_signs_in_by_the_name_and_the_key_and_out_again() {
    let site = site("sqlite:tixing.db", "http://127.0.0.1:1", "");
    let program = site.serve();
    let mut browser = Browser::new(&program);
    let away = browser.get("/console/schedules?state=active").await;
    assert_eq!(
        (away.status.as_u16(), away.to.as_str()),
        (303, "/console/login?next=%2Fconsole%2Fschedules%3Fstate%3Dactive")
    );
    let login = browser.get(&away.to).await;
    assert!(login.text.contains("<html lang=\"zh-CN\">") && login.text.contains("登录"), "{}", login.text);
    for (name, value) in
        [("referrer-policy", "no-referrer"), ("x-content-type-options", "nosniff"), ("cache-control", "no-store")]
    {
        assert_eq!(login.headers[name], value);
    }
    let policy = login.headers["content-security-policy"].to_str().expect("text");
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    let key = key(&site, &["--name", "小王", "--scope", "write"]);
    for (name, wrong) in [("小王", "tx_wrong"), ("小李", key.as_str()), ("", ""), ("小王", "")] {
        let refused = browser.sign_in(name, wrong).await;
        assert!(
            refused.status == 403 && refused.text.contains("不匹配") && !refused.text.contains("tx_"),
            "{}",
            refused.text
        );
        assert!(browser.cookies.is_empty());
    }
    let planted = "x".repeat(52);
    browser.cookies.push(("tixing".into(), planted.clone()));
    let in_now = browser.post("/console/login", &[("name", "小王"), ("key", &key), ("next", "//evil.example")]).await;
    assert_eq!((in_now.status.as_u16(), in_now.to.as_str()), (303, "/console"));
    let cookie = browser.cookies.iter().find(|(name, _)| name == "tixing").expect("a session").1.clone();
    assert!(cookie != planted && cookie.len() > 40, "a session is new at the sign-in");
    let page = browser.get("/console").await;
    assert!(
        page.status == 200 && page.text.contains("总览") && page.text.contains("<span class=\"who\">小王</span>"),
        "{}",
        page.text
    );
    browser.post("/console/lang", &[("lang", "en"), ("next", "/console")]).await;
    assert!(browser.get("/console").await.text.contains("<html lang=\"en\">"));
    assert_eq!(browser.get("/console/nowhere").await.status, 404);
    assert_eq!(browser.get("/console/logout").await.status, 405, "nothing is changed by a GET");
    assert_eq!(browser.post("/console/logout", &[]).await.to, "/console/login");
    browser.cookies.push(("tixing".into(), cookie));
    assert_eq!(browser.get("/console").await.status, 303, "the session is gone, not only its cookie");
    let (_, log) = program.terminate();
    assert!(!log.contains(&key), "no key in the log");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_ends_its_sessions_within_five_seconds_and_a_restart_ends_none() {
    let site = site("sqlite:tixing.db", "http://127.0.0.1:1", "");
    let program = site.serve();
    let key = key(&site, &["--name", "w", "--scope", "write"]);
    let mut browser = Browser::new(&program);
    assert_eq!(browser.sign_in("w", &key).await.status, 303);
    assert!(program.terminate().0.success());
    let program = site.serve();
    browser.base.clone_from(&program.base);
    assert_eq!(browser.get("/console").await.status, 200, "who was signed in still is");
    assert_eq!(site.run(&["key", "revoke", "1"]).0, 0);
    let revoked = std::time::Instant::now();
    while browser.get("/console").await.status == 200 {
        assert!(revoked.elapsed().as_secs() < 5, "a revoked key still opens pages");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert!(program.terminate().0.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_other_site_sends_a_form_and_no_address_tries_more_than_ten_times_a_minute() {
    let site = site("sqlite:tixing.db", "http://127.0.0.1:1", "");
    let program = site.serve();
    let key = key(&site, &["--name", "w", "--scope", "write"]);
    let mut browser = Browser::new(&program);
    let host = program.base.trim_start_matches("http://").to_owned();
    let form = format!("name=w&key={key}");
    let foreign: [(&str, &str, &str); 5] = [
        ("sec-fetch-site", "cross-site", &host),
        ("sec-fetch-site", "same-site", &host),
        ("origin", "https://evil.example", &host),
        ("origin", "http://evil.example", "evil.example"),
        ("accept", "*/*", &host),
    ];
    for (name, value, host) in foreign {
        let request =
            browser.http.post(format!("{}/console/login", browser.base)).header(name, value).header("host", host);
        let answer =
            browser.send(request.header("content-type", "application/x-www-form-urlencoded").body(form.clone())).await;
        assert!(answer.status == 403 && browser.cookies.is_empty(), "{name}: {value}");
        assert!(answer.text.contains("不是从本控制台"), "{}", answer.text);
    }
    let request =
        browser.http.post(format!("{}/console/login", browser.base)).header("origin", format!("http://{host}"));
    let answer =
        browser.send(request.header("content-type", "application/x-www-form-urlencoded").body(form.clone())).await;
    assert_eq!(answer.status, 303, "an older browser names the origin alone");
    for _ in 0..9 {
        assert_eq!(browser.sign_in("w", "wrong").await.status, 403);
    }
    assert_eq!(browser.sign_in("w", &key).await.status, 429);
    assert!(program.terminate().0.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_of_the_command_line_signs_in_once() {
    let site = site("sqlite:tixing.db", "http://127.0.0.1:1", "");
    assert!(site.serve().terminate().0.success());
    let (code, _, said) = site.run(&["console", "open"]);
    assert!(code == 69 && said.contains("tixing serve"), "{code}: {said}");
    let program = site.serve();
    let (code, link, said) = site.run(&["console", "open"]);
    assert!(code == 0 && said.contains("five minutes"), "{said}");
    let path = link.trim().split_once("/console/").map(|(_, path)| format!("/console/{path}")).expect("a link");
    let mut browser = Browser::new(&program);
    // A chat program looks at what people paste.
    for _ in 0..3 {
        assert_eq!(browser.get(&path).await.status, 200);
    }
    assert_eq!(browser.post(&path, &[]).await.status, 303);
    assert!(browser.get("/console").await.text.contains("总览"));
    let mut another = Browser::new(&program);
    let dead = another.post(&path, &[]).await;
    assert!(
        dead.status == 403 && another.cookies.is_empty() && dead.text.contains("tixing console open"),
        "{}",
        dead.text
    );
    let (_, log) = program.terminate();
    assert!(!log.contains(path.rsplit('/').next().expect("a secret")), "no secret of a link in the log");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_marketer_watches_a_schedule_stops_it_and_learns_how_it_went() {
    let sandbox = SandboxServer::start(1).await;
    let site = site("sqlite:tixing.db", &sandbox.url, "");
    let mut program = site.serve();
    program.key = site.key();
    for user in ["o1", "o2"] {
        sandbox.sandbox.world().tap("wx0123456789abcdef", user, EVENT, true);
        let report = json!({ "app": "coffee", "openid": user, "results": { "event-start": "accept" } });
        assert_eq!(program.post("/v1/consents", &report).await.0, 200);
    }
    let at = rfc3339(now() + 3_600 * SECOND);
    // Names and cells from outside are hostile.
    let hostile = "<script>alert(1)</script>";
    let file = format!(
        "name = \"春季\"\napp = \"coffee\"\ntemplate = \"event-start\"\nat = {at}\naudience = {{ file = \"l.csv\" }}\n[data]\nthing1 = \"{{{{名称}}}}\"\ntime2 = \"{{{{@event | datetime}}}}\"\n"
    );
    std::fs::write(site.path("s.toml"), file).expect("written");
    std::fs::write(site.path("l.csv"), format!("openid,名称\no1,<b>茶</b>\no2,茶会\no3,{hostile}\n")).expect("written");
    assert_eq!(site.run(&["load", "s.toml", "--yes"]).0, 3);

    let writes = key(&site, &["--name", "w", "--scope", "write"]);
    let mut browser = Browser::new(&program);
    browser.sign_in("w", &writes).await;
    let list = browser.get("/console/schedules").await.text;
    assert!(
        list.contains("春季") && list.contains("/console/schedules/%E6%98%A5%E5%AD%A3") && list.contains("进行中"),
        "{list}"
    );
    let its = "/console/schedules/%E6%98%A5%E5%AD%A3";
    let page = browser.get(its).await.text;
    assert!(page.contains("l.csv:4") && page.contains("&#60;script&#62;") && !page.contains(hostile), "{page}");
    let confirm = browser.get(&format!("{its}/pause")).await.text;
    assert!(confirm.contains("有 2 条提醒在等待"), "{confirm}");
    assert!(browser.get(its).await.text.contains("进行中"), "to look at what would happen does nothing");
    let done = browser.post(&format!("{its}/pause"), &[]).await;
    assert_eq!((done.status.as_u16(), done.to.as_str()), (303, format!("{its}?done=pause").as_str()));
    assert!(browser.get(&done.to).await.text.contains("已暂停"));
    assert_eq!(browser.post(&format!("{its}/resume"), &[]).await.status, 303);
    let wrong = browser.get(&format!("{its}/shift?by=soon")).await.text;
    assert!(wrong.contains("soon") && wrong.contains("role=\"alert\""), "{wrong}");
    let planned = browser.get(&format!("{its}/shift?by=-2h")).await.text;
    assert!(planned.contains("将平移 2 条") && planned.contains("立即发送"), "{planned}");
    assert_eq!(browser.post(&format!("{its}/shift"), &[("by", "-2h")]).await.status, 303);
    program.wait("/v1/schedules/%E6%98%A5%E5%AD%A3", 30, |shown| shown["reminders"]["sent"] == 2).await;
    let report = browser.get(&format!("{its}/report")).await.text;
    assert!(report.contains("已发送人数") && report.contains("该行有错误"), "{report}");
    let book = browser.get(&format!("{its}/report.xlsx")).await;
    assert!(book.status == 200 && book.headers["content-disposition"].to_str().is_ok_and(|d| d.contains("filename*")));
    let found = browser.post("/console/search", &[("app", "coffee"), ("wanted", "o1")]).await.text;
    let id = found.split("/console/reminders/").nth(1).and_then(|rest| rest.split('"').next()).expect("a reminder");
    let reminder = browser.get(&format!("/console/reminders/{id}")).await.text;
    assert!(
        reminder.contains("&#60;b&#62;茶") && reminder.contains("活动名称") && reminder.contains("已发送"),
        "{reminder}"
    );
    let id = id.replace("%5F", "_");
    assert_eq!(browser.post("/console/search", &[("wanted", &id)]).await.status, 303, "an id leads to its reminder");
    assert_eq!(browser.post(&format!("{its}/explode"), &[]).await.status, 404);

    // Who may only look does nothing; who has another app sees nothing of this one.
    let (reads, other) = (
        key(&site, &["--name", "r", "--scope", "read"]),
        key(&site, &["--name", "t", "--scope", "write", "--app", "tea"]),
    );
    let mut looks = Browser::new(&program);
    looks.sign_in("r", &reads).await;
    let page = looks.get(its).await.text;
    assert!(!page.contains("/cancel") && !page.contains("&#60;script"), "{page}");
    assert_eq!(looks.post(&format!("{its}/cancel"), &[]).await.status, 403);
    let mut elsewhere = Browser::new(&program);
    elsewhere.sign_in("t", &other).await;
    assert_eq!(elsewhere.get(its).await.status, 404);
    assert!(!elsewhere.get("/console/schedules").await.text.contains("春季"));
    assert!(!elsewhere.get("/console").await.text.contains("coffee"));
    assert_eq!(browser.post(&format!("{its}/cancel"), &[]).await.status, 303);
    let (_, log) = program.terminate();
    assert!(!log.contains("wanted") && !log.contains("o1"), "no openid in the log: {log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_console_that_is_not_enabled_is_not_there_and_one_behind_tls_takes_its_cookie_by_tls_alone() {
    let off = Site::new("sqlite:tixing.db", "http://127.0.0.1:1", "");
    let program = off.serve_with_key();
    assert_eq!(Browser::new(&program).get("/console").await.status, 404);
    let (code, _, said) = off.run(&["console", "open"]);
    assert!(code == 4 && said.contains("enabled = true"), "{said}");
    let (status, _) = program.post("/v1/reminders", &body("o1", 60_000)).await;
    assert_eq!(status, 201);
    assert!(program.terminate().0.success());
    let tls = site("sqlite:tixing.db", "http://127.0.0.1:1", "origin = \"https://tixing.example\"\nlang = \"en\"");
    let program = tls.serve();
    let key = key(&tls, &["--name", "w", "--scope", "write"]);
    let mut browser = Browser::new(&program);
    assert!(browser.get("/console/login").await.text.contains("<html lang=\"en\">"));
    let request =
        browser.http.post(format!("{}/console/login", browser.base)).header("origin", "https://tixing.example");
    let request = request.header("content-type", "application/x-www-form-urlencoded").body(format!("name=w&key={key}"));
    let answer = browser.send(request).await;
    let cookie = answer.headers["set-cookie"].to_str().expect("text");
    assert!(cookie.starts_with("__Host-tixing=") && cookie.contains("; Secure"), "{cookie}");
    assert!(program.terminate().0.success());
}

/// A form with files.
fn files(schedule: Option<&str>, tables: &[(&str, &str)]) -> reqwest::multipart::Form {
    let part = |text: &str, name: &str| reqwest::multipart::Part::text(text.to_owned()).file_name(name.to_owned());
    let mut form = reqwest::multipart::Form::new();
    if let Some(schedule) = schedule {
        form = form.part("schedule", part(schedule, "春季.toml"));
    }
    for (name, text) in tables {
        form = form.part("tables", part(text, name));
    }
    form
}

impl Browser {
    async fn hand_in(&mut self, form: reqwest::multipart::Form) -> Answer {
        let request = self.http.post(format!("{}/console/new", self.base)).header("sec-fetch-site", "same-origin");
        self.send(request.multipart(form)).await
    }
}

/// The value of a hidden input.
fn hidden(page: &str, name: &str) -> String {
    let after = page.split(&format!("name=\"{name}\" value=\"")).nth(1).unwrap_or_else(|| panic!("no {name}: {page}"));
    after.split('"').next().expect("a value").to_owned()
}

fn schedule(table: &str) -> String {
    let at = rfc3339(now() + 3_600 * SECOND);
    format!(
        "name = \"春季\"\napp = \"coffee\"\ntemplate = \"event-start\"\nat = {at}\naudience = {{ file = \"{table}\" }}\n[data]\nthing1 = \"{{{{名称}}}}\"\ntime2 = \"{{{{@event | datetime}}}}\"\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_marketer_hands_in_files_mends_them_and_loads_them_once() {
    for database in crate::harness::databases() {
        let folder = tempfile::tempdir().expect("a folder");
        let site = site(&crate::harness::fresh_url(database, folder.path()), "http://127.0.0.1:1", "");
        let mut program = site.serve();
        program.key = site.key();
        let accepted =
            |i: usize| json!({ "app": "coffee", "openid": format!("o{i}"), "results": { "event-start": "accept" } });
        let reports: String = (0..1_100).map(|i| format!("{}\n", accepted(i))).collect();
        assert_eq!(program.batch("/v1/consents/batch", reports).await.len(), 1_100);
        let mut browser = Browser::new(&program);
        let writes = key(&site, &["--name", "w", "--scope", "write"]);
        browser.sign_in("w", &writes).await;
        assert!(browser.get("/console/new").await.text.contains("multipart/form-data"));

        // What can't be taken is said, and nothing of it is kept.
        let toml = schedule("名 单\"一\".csv");
        let refused = [
            (files(None, &[("a.csv", "openid\no1\n")]), "请选择计划文件"),
            (files(Some(&toml), &[("a.csv", "x"), ("a.csv", "y")]), "a.csv"),
            (files(Some(&toml), &[("schedule", "x")]), "文件名无法使用"),
            (files(Some(&toml), &[("x".repeat(300).as_str(), "x")]), "文件名无法使用"),
        ];
        for (form, said) in refused {
            let answer = browser.hand_in(form).await;
            assert!(answer.status == 422 && answer.text.contains(said), "{said}: {}", answer.text);
        }

        // A wrong cell; then the mended table.
        let rows = |name: &str, n: usize| -> String {
            (0..n).fold("openid,名称\n".to_owned(), |all, i| {
                format!("{all}o{i},{}\n", if i == 1 { name } else { "茶会" })
            })
        };
        let toml = schedule("名单.csv");
        let handed = browser
            .hand_in(files(Some(&toml), &[("../名单.csv", &rows("一二三四五六七八九十一二三四五六七八九十零", 3))]))
            .await;
        assert!(handed.status == 303 && handed.to.starts_with("/console/drafts/"), "{}", handed.text);
        let check = browser.get(&handed.to).await.text;
        assert!(
            check.contains("3 行：2 正确，1 有错误")
                && check.contains("名单.csv:3 B3")
                && check.contains("《春季》2 条"),
            "{check}"
        );
        let handed = browser.hand_in(files(Some(&toml), &[("名单.csv", &rows("读书会", 1_050))])).await;
        let check = browser.get(&handed.to).await.text;
        assert!(check.contains("1,050 行：1,050 正确") && check.contains("《春季》1,050 条"), "{check}");
        assert!(
            check.contains("第 3 行，o1") && check.contains("<dd>读书会</dd>"),
            "and the one with the longest texts: {check}"
        );
        let (digest, seen) = (hidden(&check, "digest"), hidden(&check, "seen"));
        let load = format!("{}/load", handed.to);
        let unread = browser.post(&load, &[("digest", &digest), ("seen", &seen)]).await;
        assert!(unread.to.ends_with("?tried=number"), "above a thousand the number is typed: {}", unread.to);
        assert!(browser.get(&unread.to).await.text.contains("请输入人数 1,050"));
        assert!(
            browser
                .post(&load, &[("digest", "other"), ("seen", &seen), ("people", "1050")])
                .await
                .to
                .ends_with("?tried=changed")
        );
        let (_, none) = program.get("/v1/schedules/%E6%98%A5%E5%AD%A3").await;
        assert_eq!(none["code"], "not_found", "nothing is loaded before it is confirmed");

        // A draft is nobody else's.
        let mut other = Browser::new(&program);
        other.sign_in("o", &key(&site, &["--name", "o", "--scope", "admin"])).await;
        assert_eq!(other.get(&handed.to).await.status, 404);
        let all = [("digest", digest.as_str()), ("seen", &seen), ("people", "1,050")];
        assert_eq!(other.post(&load, &all).await.status, 404);
        other.post(&format!("{}/discard", handed.to), &[]).await;

        // The files are the same, and somebody's consent is gone meanwhile.
        let mut holds = body("o5", 3_600_000);
        holds.as_object_mut().expect("an object").remove("accepted");
        let (status, held) = program.post("/v1/reminders", &holds).await;
        assert_eq!(status, 201, "{held}");
        let changed = browser.post(&load, &all).await;
        assert!(changed.to.ends_with("?tried=changed"), "{}", changed.to);
        let again = browser.get(&changed.to).await.text;
        assert!(again.contains("情况有变化") && again.contains("《春季》1,049 条"), "{again}");
        let path = format!("/v1/reminders/{}", held["id"].as_str().expect("an id"));
        program.call(reqwest::Method::DELETE, &path, None).await.expect("an answer");
        let loaded = browser.post(&load, &all).await;
        assert_eq!(loaded.to, "/console/schedules/%E6%98%A5%E5%AD%A3?done=load", "{}", loaded.text);
        assert!(browser.get(&loaded.to).await.text.contains("已加载"));
        assert_eq!(browser.post(&load, &all).await.status, 404, "a second click loads nothing");
        let (_, shown) = program.get("/v1/schedules/%E6%98%A5%E5%AD%A3").await;
        assert_eq!((&shown["reminders"]["scheduled"], &shown["text"]), (&1_050.into(), &toml.as_str().into()));

        // Removals want a word.
        let handed = browser.hand_in(files(Some(&toml), &[("名单.csv", &rows("读书会", 100))])).await;
        let check = browser.get(&handed.to).await.text;
        assert!(check.contains("name=\"removals\""), "{check}");
        let (load, digest, seen) = (format!("{}/load", handed.to), hidden(&check, "digest"), hidden(&check, "seen"));
        let untold = browser.post(&load, &[("digest", &digest), ("seen", &seen)]).await;
        assert_eq!(untold.status, 422, "{}", untold.to);
        let told = [("digest", digest.as_str()), ("seen", &seen), ("removals", "yes")];
        assert!(browser.post(&load, &told).await.to.contains("done=load"));

        // Whoever may only look hands in nothing.
        let mut looks = Browser::new(&program);
        looks.sign_in("r", &key(&site, &["--name", "r", "--scope", "read"])).await;
        assert_eq!(looks.hand_in(files(Some(&toml), &[])).await.status, 403);
        // An eleventh draft is refused; a user who is forgotten takes the drafts along.
        let mut last = String::new();
        for _ in 0..9 {
            let handed = browser.hand_in(files(Some(&toml), &[("名单.csv", "openid,名称\no1,茶\n")])).await;
            assert_eq!(handed.status, 303, "{}", handed.text);
            last = handed.to;
        }
        assert_eq!(browser.hand_in(files(Some(&toml), &[])).await.status, 409);
        browser.post(&format!("{last}/discard"), &[]).await;
        let handed = browser.hand_in(files(Some(&toml), &[("名单.csv", "openid,名称\nonobody-else,茶\n")])).await;
        let wish = json!({ "app": "coffee", "openid": "onobody-else" });
        assert_eq!(program.post("/v1/users/forget", &wish).await.0, 200);
        assert_eq!(browser.get(&handed.to).await.status, 404);
        assert!(program.terminate().0.success());
        for file in ["tixing.db", "tixing.db-wal"] {
            let bytes = std::fs::read(folder.path().join(file)).unwrap_or_default();
            assert!(!bytes.windows(12).any(|window| window == b"onobody-else"), "i9: {file} names who was forgotten");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_of_some_megabytes_comes_through_in_pieces_and_one_beyond_the_bound_is_refused() {
    let site = site("sqlite:tixing.db", "http://127.0.0.1:1", "");
    let program = site.serve();
    let mut browser = Browser::new(&program);
    browser.sign_in("w", &key(&site, &["--name", "w", "--scope", "write"])).await;
    let toml = schedule("l.csv");
    let filler = "备".repeat(1_000);
    let rows: String = (0..1_200).map(|i| format!("o{i},茶会,{filler}\n")).collect();
    let handed = browser.hand_in(files(Some(&toml), &[("l.csv", &format!("openid,名称,备注\n{rows}"))])).await;
    assert_eq!(handed.status, 303, "{}", handed.text);
    let check = browser.get(&handed.to).await.text;
    assert!(check.contains("1,200 行：1,200 正确"), "{check}");
    let large = "x".repeat(65 * 1024 * 1024);
    let refused = browser.hand_in(files(Some(&toml), &[("l.csv", &large)])).await;
    assert_eq!(refused.status, 422, "{}", refused.text);
    assert!(program.terminate().0.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_was_ended_does_not_live_again_when_a_backup_is_restored() {
    let site = site("sqlite:tixing.db", "http://127.0.0.1:1", "");
    let program = site.serve();
    let mut browser = Browser::new(&program);
    browser.sign_in("w", &key(&site, &["--name", "w", "--scope", "write"])).await;
    let cookies = browser.cookies.clone();
    assert_eq!(site.run(&["backup", "copy.db"]).0, 0);
    browser.post("/console/logout", &[]).await;
    assert!(program.terminate().0.success());
    let (code, _, said) = site.run(&["restore", "copy.db"]);
    assert_eq!(code, 0, "{said}");
    let program = site.serve();
    (browser.base, browser.cookies) = (program.base.clone(), cookies);
    assert_eq!(browser.get("/console").await.status, 303);
    assert!(program.terminate().0.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_goes_to_the_testers_first_and_to_nobody_else() {
    let sandbox = SandboxServer::start(1).await;
    let site = site("sqlite:tixing.db", &sandbox.url, "");
    let text = std::fs::read_to_string(site.path("tixing.toml")).expect("written");
    let more = "timezone = \"Asia/Shanghai\"\ntesters = [\"o-tester\", \"o-other\"]";
    std::fs::write(site.path("tixing.toml"), text.replace("timezone = \"Asia/Shanghai\"", more)).expect("written");
    let mut program = site.serve();
    program.key = site.key();
    sandbox.sandbox.world().tap("wx0123456789abcdef", "o-tester", EVENT, true);
    for user in ["o-tester", "o1"] {
        let report = json!({ "app": "coffee", "openid": user, "results": { "event-start": "accept" } });
        assert_eq!(program.post("/v1/consents", &report).await.0, 200);
    }
    let mut browser = Browser::new(&program);
    browser.sign_in("w", &key(&site, &["--name", "w", "--scope", "write"])).await;
    let handed = browser.hand_in(files(Some(&schedule("l.csv")), &[("l.csv", "openid,名称\no1,茶会\n")])).await;
    let tried = browser.post(&format!("{}/try", handed.to), &[("key", "")]).await;
    assert!(
        tried.status == 200 && tried.text.contains("o-tester") && tried.text.contains("未发送：o-other"),
        "{}",
        tried.text
    );
    let reminder =
        tried.text.split("/console/reminders/").nth(1).and_then(|rest| rest.split('"').next()).expect("a link");
    let path = format!("/v1/reminders/{}", reminder.replace("%5F", "_"));
    program.wait(&path, 30, |shown| shown["state"] == "sent").await;
    let nobody = browser.post(&format!("{}/try", handed.to), &[("key", "nobody")]).await.text;
    assert!(nobody.contains("role=\"alert\""), "{nobody}");
    assert!(browser.get(&handed.to).await.text.contains("《春季》1 条"), "the draft is as it was");
    assert_eq!(sandbox.sandbox.world().messages().len(), 1);
    assert!(program.terminate().0.success());
}

#[tokio::test]
async fn sessions_and_drafts_end_when_their_time_is_over() {
    crate::harness::on_both(async |test: crate::harness::TestStore| {
        let (store, idle) = (&test.store, 3_600 * SECOND);
        let lives = async |hash: &str| store.session(hash, idle, test.clock.now()).await.expect("answers").is_some();
        store.begin_session("a".into(), Some(1), idle).await.expect("begun");
        store.begin_session("b".into(), None, idle).await.expect("begun");
        test.clock.advance(idle - 1);
        assert!(lives("a").await, "and is seen");
        test.clock.advance(2);
        assert!(lives("a").await && !lives("b").await);
        // Whoever goes on and on is asked for the key after seven days all the same.
        let (begun, week) = (test.clock.now() - idle - 1, 7 * 24 * 3_600 * SECOND);
        while lives("a").await {
            test.clock.advance(idle / 2);
            assert!(test.clock.now() - begun <= week + idle);
        }
        assert!(test.clock.now() - begun >= week);
        assert!(store.begin_draft("d".into(), 1).await.expect("answers"));
        store.add_to_draft("d", "schedule", 0, b"x".to_vec()).await.expect("kept");
        let there = async |owner| store.draft("d", owner, test.clock.now()).await.expect("answers").is_some();
        test.clock.advance(24 * 3_600 * SECOND - 1);
        assert!(there(1).await && !there(2).await);
        test.clock.advance(1);
        assert!(!there(1).await);
        for i in 0..10 {
            assert!(store.begin_draft(format!("e{i}"), 1).await.expect("answers"), "the old one does not count");
        }
        assert!(!store.begin_draft("f".into(), 1).await.expect("answers"));
        assert!(store.draft_piece("d", "schedule", 0).await.expect("answers").is_empty(), "its pieces are gone");
    })
    .await;
}

//! A schedule made by the form, by plain forms: no JavaScript runs here.

use super::{Browser, hidden, key, site};
use crate::harness::program::now;
use reqwest::multipart::{Form, Part};
use serde_json::json;
use tixing::domain::{SECOND, timing::rfc3339};

/// What a browser sends of the page on which a schedule begins.
fn begins(typed: &[(&'static str, &str)], table: Option<(&str, &[u8])>) -> Form {
    let form = typed.iter().fold(Form::new(), |form, (name, text)| form.text(*name, (*text).to_owned()));
    // A browser sends a part also where no file was chosen.
    let (name, bytes) = table.unwrap_or(("", b""));
    form.part("table", Part::bytes(bytes.to_vec()).file_name(name.to_owned()))
}

impl Browser {
    async fn send_files(&mut self, path: &str, form: Form) -> super::Answer {
        let request = self.http.post(format!("{}{path}", self.base)).header("sec-fetch-site", "same-origin");
        self.send(request.multipart(form)).await
    }
}

/// Whether an option of a list is chosen.
fn chosen(page: &str, value: &str) -> bool {
    page.contains(&format!("<option value=\"{value}\" selected>"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_marketer_makes_a_schedule_of_a_table_mends_it_and_makes_the_next_version() {
    for database in crate::harness::databases() {
        let folder = tempfile::tempdir().expect("a folder");
        let site = site(&crate::harness::fresh_url(database, folder.path()), "http://127.0.0.1:1", "");
        let mut program = site.serve();
        program.key = site.key();
        for user in ["oAAAAAAAAAAAAAAAAAAAAAAAAAA1", "oAAAAAAAAAAAAAAAAAAAAAAAAAA2", "oAAAAAAAAAAAAAAAAAAAAAAAAAA3"] {
            let report = json!({ "app": "coffee", "openid": user, "results": { "event-start": "accept" } });
            assert_eq!(program.post("/v1/consents", &report).await.0, 200);
        }
        let mut browser = Browser::new(&program);
        browser.sign_in("w", &key(&site, &["--name", "w", "--scope", "write", "--app", "coffee"])).await;
        let page = browser.get("/console/new").await.text;
        assert!(page.contains("value=\"coffee/event-start\"") && !page.contains("tea/"), "only its own app: {page}");

        // What is missing is asked for, and what was typed stays.
        let template = ("template", "coffee/event-start");
        let refused: [(Form, &str); 6] = [
            (begins(&[template, ("name", " "), ("who", "table")], None), "请填写计划名称"),
            (begins(&[template, ("name", "春季"), ("who", "table")], None), "请选择表格"),
            (begins(&[template, ("name", "春季"), ("who", "list"), ("list", " ")], None), "请粘贴 openid"),
            (begins(&[("template", "coffee/nothing"), ("name", "春季")], None), "请选择模板"),
            (begins(&[("template", "tea/event-start"), ("name", "春季")], None), "请选择模板"),
            (begins(&[template, ("name", &"长".repeat(1_100_000))], None), "表单内容过大"),
        ];
        for (form, said) in refused {
            let answer = browser.send_files("/console/new", form).await;
            assert!(answer.status == 422 && answer.text.contains(said), "{said}: {}", answer.text);
            assert!(!said.contains("表格") || answer.text.contains("value=\"春季\""), "{}", answer.text);
        }
        assert!(!browser.get("/console/new").await.text.contains("/console/drafts/"), "nothing is kept of it");

        // A list as Excel writes it in China, with a wrong cell.
        let at = rfc3339(now() + 3_600 * SECOND);
        let table = |second: &str| {
            let text = format!(
                "微信openid,报名编号,活动名称,开始时间\noAAAAAAAAAAAAAAAAAAAAAAAAAA1,A1,茶会,{at}\noAAAAAAAAAAAAAAAAAAAAAAAAAA2,A2,{second},{at}\n"
            );
            encoding_rs::GB18030.encode(&text).0.into_owned()
        };
        let wrong = table("一二三四五六七八九十一二三四五六七八九十零");
        let form = begins(&[template, ("name", "春季"), ("who", "table")], Some(("..\\名单.csv", &wrong)));
        let begun = browser.send_files("/console/new", form).await;
        assert!(begun.status == 303 && begun.to.ends_with("/form"), "{}", begun.text);
        let draft = begun.to.trim_end_matches("/form").to_owned();
        let page = browser.get(&begun.to).await.text;
        assert!(page.contains("名单.csv") && page.contains("<td>茶会</td>") && page.contains("GB18030"), "{page}");
        assert!(page.contains("以下是根据列名的猜测"), "{page}");
        for column in ["微信openid", "报名编号", "开始时间"] {
            assert!(chosen(&page, column), "{column}: {page}");
        }
        assert!(page.contains("value=\"{{活动名称}}\"") && page.contains("value=\"{{@event | datetime}}\""), "{page}");
        assert!(page.contains("data-most=\"20\""), "the field's own rule: {page}");

        // What is typed stands in the file, right or wrong, and in the form again.
        let typed = [
            ("openid", "微信openid"),
            ("key", "报名编号"),
            ("encoding", ""),
            ("timing", "column"),
            ("column", "开始时间"),
            ("n0", "soon"),
            ("unit0", "h"),
            ("side0", "before"),
            ("clock", ""),
            ("expires", "event"),
            ("quiet_hours", "none"),
            ("data.thing1", "{{活动名称}}"),
            ("data.time2", "{{@event | datetime}}"),
            ("page", ""),
        ];
        let saved = browser.post(&begun.to, &typed).await;
        assert_eq!((saved.status.as_u16(), &saved.to), (303, &draft), "{}", saved.text);
        let check = browser.get(&draft).await.text;
        assert!(check.contains("soonh") && !check.contains("name=\"digest\""), "{check}");
        let mut typed = typed.to_vec();
        typed.retain(|(name, _)| *name != "n0");
        typed.extend([("n0", "30"), ("look", "1")]);
        typed.iter_mut().filter(|(name, _)| *name == "unit0").for_each(|unit| unit.1 = "m");
        let looked = browser.post(&begun.to, &typed).await;
        assert!(looked.to.ends_with("/form?look=1"), "{}", looked.to);
        let page = browser.get(&looked.to).await.text;
        assert!(
            page.contains("<dd>茶会</dd>") && page.contains("最多允许 20 个"),
            "the message and what is wrong: {page}"
        );
        assert!(page.contains("value=\"30\"") && !page.contains("以下是根据列名的猜测"), "{page}");

        let book = browser.get(&format!("{draft}/problems.xlsx")).await;
        let disposition = book.headers["content-disposition"].to_str().expect("text");
        assert!(book.status == 200 && disposition.contains("filename*=UTF-8''"), "{disposition}");

        // The mended table under another name; all else stays.
        let mended = Form::new().part("table", Part::bytes(table("读书会")).file_name("名单 (1).csv"));
        let again = browser.send_files(&format!("{draft}/table"), mended).await;
        assert_eq!((again.status.as_u16(), &again.to), (303, &draft), "{}", again.text);
        let check = browser.get(&format!("{draft}?at=2")).await.text;
        assert!(check.contains("2 行：2 正确") && check.contains("<dd>读书会</dd>"), "{check}");
        let none = browser.send_files(&format!("{draft}/table"), Form::new().text("x", "y")).await;
        assert!(none.status == 422 && none.text.contains("请选择表格"), "{}", none.text);
        let file = browser.get(&format!("{draft}/schedule.toml")).await;
        assert!(file.text.contains("at = { before = [\"30m\"], column = \"开始时间\" }"), "{}", file.text);
        assert!(browser.get("/console/new").await.text.contains(&draft), "a draft is found again");

        // Nobody else sees or changes it.
        let mut other = Browser::new(&program);
        other.sign_in("o", &key(&site, &["--name", "o", "--scope", "admin"])).await;
        for path in [format!("{draft}/form"), format!("{draft}/schedule.toml"), draft.clone()] {
            assert_eq!(other.get(&path).await.status, 404, "{path}");
        }
        assert_eq!(other.post(&begun.to, &typed).await.status, 404);
        let stolen = Form::new().part("table", Part::bytes(b"openid\n".to_vec()).file_name("名单.csv"));
        assert_eq!(other.send_files(&format!("{draft}/table"), stolen).await.status, 404);

        let all = [("digest", hidden(&check, "digest")), ("seen", hidden(&check, "seen"))];
        let all: Vec<(&str, &str)> = all.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let loaded = browser.post(&format!("{draft}/load"), &all).await;
        assert!(loaded.to.ends_with("?done=load"), "{}", loaded.text);
        let path = "/v1/schedules/%E6%98%A5%E5%AD%A3";
        let (_, shown) = program.get(path).await;
        assert_eq!((&shown["reminders"]["scheduled"], &shown["text"]), (&2.into(), &file.text.into()));

        // The next version: the same file with another table, whatever that is called.
        let third = [table("读书会"), b"oAAAAAAAAAAAAAAAAAAAAAAAAAA3,A3,".to_vec()].concat();
        let third = [third, encoding_rs::GB18030.encode(&format!("品茶,{at}\n")).0.into_owned()].concat();
        let form = Form::new().part("table", Part::bytes(third).file_name("新名单.csv"));
        let next = browser.send_files("/console/schedules/%E6%98%A5%E5%AD%A3/again", form).await;
        assert!(next.to.starts_with("/console/drafts/"), "{}", next.text);
        let check = browser.get(&next.to).await.text;
        assert!(check.contains("3 行：3 正确") && check.contains("《春季》1 条"), "one is new: {check}");
        assert_eq!(browser.post(&format!("{}/discard", next.to), &[]).await.status, 303);

        let page = browser.get(&loaded.to).await.text;
        assert!(page.contains("操作记录") && page.contains("加载 · key 2 (w)"), "who did what: {page}");
        let list = browser.get("/console/schedules").await.text;
        assert!(list.contains("<td>event-start</td>") && list.contains("<td>2</td>"), "template and people: {list}");
        // Why somebody got it or not: by the key of a row, and by an openid that is in no row.
        let of = |wanted: &'static str| [("app", "coffee"), ("wanted", wanted), ("schedule", "春季")];
        let found = browser.post("/console/search", &of("A2")).await.text;
        assert!(found.contains("/console/reminders/") && found.contains("春季"), "{found}");
        let nobody = browser.post("/console/search", &of("oAAAAAAAAAAAAAAAAAAAAAAAAAA9")).await.text;
        assert!(
            nobody.contains("class=\"why\"") && nobody.contains("春季") && !nobody.contains("/console/reminders/"),
            "{nobody}"
        );
        // One that recurs has no first instant, and is loaded all the same.
        let recurs = "name = \"weekly\"\napp = \"coffee\"\ntemplate = \"event-start\"\nat = { cron = \"0 19 * * MON\" }\naudience = \"consented\"\n[data]\nthing1 = \"茶会\"\ntime2 = \"{{@event | datetime}}\"\n";
        let handed = browser.hand_in(super::files(Some(recurs), &[])).await;
        let form = browser.get(&format!("{}/form", handed.to)).await.text;
        assert!(form.contains("cron") && form.contains("value=\"as_written\" checked"), "{form}");
        let check = browser.get(&handed.to).await.text;
        assert!(check.contains("《weekly》按周期重复"), "{check}");
        let all = [("digest", hidden(&check, "digest")), ("seen", hidden(&check, "seen"))];
        let all: Vec<(&str, &str)> = all.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let loaded = browser.post(&format!("{}/load", handed.to), &all).await;
        assert_eq!(loaded.to, "/console/schedules/weekly?done=load", "{}", loaded.text);

        // A pasted list, and everybody.
        let time = [
            ("timing", "once"),
            ("time", "2031-03-01T10:00"),
            ("data.thing1", "茶会"),
            ("data.time2", "{{@event | datetime}}"),
        ];
        let list = "oAAAAAAAAAAAAAAAAAAAAAAAAAA3\r\noAAAAAAAAAAAAAAAAAAAAAAAAAA9\r\n";
        for (who, name, verdict) in [("list", "夏季", "2 行：2 正确"), ("everybody", "秋季", "《秋季》1 条")]
        {
            let form = begins(&[template, ("name", name), ("who", who), ("list", list)], None);
            let begun = browser.send_files("/console/new", form).await;
            assert_eq!(begun.status, 303, "{}", begun.text);
            assert_eq!(browser.get(&begun.to).await.status, 200);
            let saved = browser.post(&begun.to, &time).await;
            let check = browser.get(&saved.to).await.text;
            assert!(check.contains(verdict) && check.contains("2031-03-01 10:00 (UTC+8)"), "{who}: {check}");
        }
        // A form that is none, and one that is too large, get a page.
        let request =
            browser.http.post(format!("{}/console/search", browser.base)).header("sec-fetch-site", "same-origin");
        let answer = browser.send(request.body("x")).await;
        assert!(answer.status == 400 && answer.text.contains("表单无法读取"), "{}", answer.text);
        let large = browser.post("/console/search", &[("wanted", &"x".repeat(70_000))]).await;
        assert!(large.status == 413 && large.text.contains("表单内容过大"), "{}", large.text);
        assert!(program.terminate().0.success());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_table_brings_is_hostile_also_in_the_form() {
    let site = site("sqlite:tixing.db", "http://127.0.0.1:1", "");
    let program = site.serve();
    let mut browser = Browser::new(&program);
    browser.sign_in("w", &key(&site, &["--name", "w", "--scope", "write"])).await;
    let hostile = "\"><script>alert(1)</script>";
    let quoted = hostile.replace('"', "\"\"");
    let table = format!("openid,\"{quoted}\",a|b\no1,\"{quoted}\",{{{{x}}}}\n");
    let name = format!("春{hostile}");
    let form = begins(
        &[("template", "coffee/event-start"), ("name", &name), ("who", "table")],
        Some(("名\"单'<b>.csv", table.as_bytes())),
    );
    let begun = browser.send_files("/console/new", form).await;
    assert_eq!(begun.status, 303, "{}", begun.text);
    let page = browser.get(&begun.to).await.text;
    assert!(page.contains("&#62;&#60;script&#62;") && !page.contains("<script>alert"), "{page}");
    assert!(page.contains("{{&#34;a|b&#34;}}"), "{page}");
    let draft = begun.to.trim_end_matches("/form");
    assert!(!browser.get(draft).await.text.contains("<script>alert"));
    assert!(!browser.get("/console/new").await.text.contains("<script>alert"));
    // More tables than a schedule has, and a mended one that could be either of two.
    let tables: Vec<String> = (0..9).map(|i| format!("{i}.csv")).collect();
    let tables: Vec<(&str, &str)> = tables.iter().map(|name| (name.as_str(), "openid\no1\n")).collect();
    let many = browser.hand_in(super::files(Some("name = \"s\"\n"), &tables)).await;
    assert!(many.status == 422 && many.text.contains("最多附带 8 个表格"), "{}", many.text);
    let two = browser.hand_in(super::files(Some("name = \"s\"\n"), &tables[..2])).await;
    let other = Form::new().part("table", Part::bytes(b"openid\n".to_vec()).file_name("新.csv"));
    let unclear = browser.send_files(&format!("{}/table", two.to), other).await;
    assert!(unclear.status == 422 && unclear.text.contains("无法确定"), "{}", unclear.text);
    let named = Form::new().part("table", Part::bytes(b"openid\n".to_vec()).file_name("1.csv"));
    assert_eq!(browser.send_files(&format!("{}/table", two.to), named).await.status, 303);
    // A file that is not TOML has no form, and the check says at which line.
    let broken = super::files(Some("name = \n"), &[]);
    let handed = browser.hand_in(broken).await;
    let check = browser.get(&handed.to).await.text;
    assert!(check.contains("role=\"alert\"") && !check.contains("/form\""), "{check}");
    assert_eq!(browser.get(&format!("{}/form", handed.to)).await.status, 422);
    assert!(program.terminate().0.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_uploads_at_once_take_turns_and_one_that_breaks_off_leaves_nothing() {
    let sandbox = crate::harness::program::SandboxServer::start(1).await;
    let site = site("sqlite:tixing.db", &sandbox.url, "");
    let mut program = site.serve();
    program.key = site.key();
    let mut marketers = Vec::new();
    for i in 0..10 {
        let mut browser = Browser::new(&program);
        let name = format!("w{i}");
        // Ten attempts a minute an address: a link signs in as well, but all links are one person.
        browser.sign_in(&name, &key(&site, &["--name", &name, "--scope", "write"])).await;
        marketers.push(browser);
    }
    let row = format!("o1,茶会,{}\n", "备".repeat(300));
    let table = format!("openid,活动名称,备注\n{}", row.repeat(2_000));
    let requests = marketers.iter().flat_map(|browser| (0..10).map(move |_| browser));
    let requests = requests.map(|browser| {
        let form = begins(
            &[("template", "coffee/event-start"), ("name", "春季"), ("who", "table")],
            Some(("名单.csv", table.as_bytes())),
        );
        let request = browser.http.post(format!("{}/console/new", browser.base));
        request.header("sec-fetch-site", "same-origin").header("cookie", browser.cookies()).multipart(form).send()
    });
    // Meanwhile a reminder goes at its instant.
    sandbox.sandbox.world().tap("wx0123456789abcdef", "o2", crate::harness::EVENT, true);
    let (status, answer) = program.post("/v1/reminders", &crate::harness::program::body("o2", 300)).await;
    assert_eq!(status, 201, "{answer}");
    let answers = futures_util::future::join_all(requests).await;
    let taken = answers.iter().filter(|answer| answer.as_ref().is_ok_and(|answer| answer.status() == 303)).count();
    assert_eq!(taken, 100, "each waits for its turn: {answers:?}");
    program.wait("/v1/stats?app=coffee", 30, |stats| stats["apps"][0]["reminders"]["sent"] == 1).await;

    // An upload that ends in the middle of its table.
    let mut cut = Browser::new(&program);
    cut.cookies.clone_from(&marketers[0].cookies);
    let drafts = cut.get("/console/new").await.text.matches("/console/drafts/").count();
    assert_eq!(drafts, 10);
    let first = cut.get("/console/new").await.text;
    let draft = first.split("href=\"/console/drafts/").nth(1).and_then(|rest| rest.split('"').next()).expect("one");
    cut.post(&format!("/console/drafts/{draft}/discard"), &[]).await;
    let body = "--x\r\ncontent-disposition: form-data; name=\"schedule\"; filename=\"a.toml\"\r\n\r\nname = 1\r\n--x\r\ncontent-disposition: form-data; name=\"t\"; filename=\"a.csv\"\r\n\r\nopenid\r\n";
    let request = cut.http.post(format!("{}/console/new", cut.base)).header("sec-fetch-site", "same-origin");
    let request = request.header("content-type", "multipart/form-data; boundary=x").body(body);
    let answer = cut.send(request).await;
    assert!(answer.status == 422 && answer.text.contains("上传中断"), "{}", answer.text);
    let drafts = cut.get("/console/new").await.text.matches("/console/drafts/").count();
    assert_eq!(drafts, 9, "nothing of it is kept");
    assert!(program.terminate().0.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_table_tells_how_far_its_check_is_and_its_load_goes_on_without_its_caller() {
    let site = site("sqlite:tixing.db", "http://127.0.0.1:1", "");
    let mut program = site.serve();
    program.key = site.key();
    let mut browser = Browser::new(&program);
    browser.sign_in("w", &key(&site, &["--name", "w", "--scope", "write"])).await;
    let filler = "备".repeat(110);
    let rows: String = (0..30_000).map(|i| format!("o{i},茶会,{filler}\n")).collect();
    let toml = super::schedule("l.csv").replace("[data]", "consent = \"at_fire\"\n[data]");
    let handed = browser.hand_in(super::files(Some(&toml), &[("l.csv", &format!("openid,名称,备注\n{rows}"))])).await;
    let page = browser.get(&handed.to).await.text;
    assert!(page.contains("data-progress") && page.contains("?now=1"), "{page}");
    let mut other = Browser::new(&program);
    other.sign_in("o", &key(&site, &["--name", "o", "--scope", "admin"])).await;
    let nothing = other.get(&format!("{}/progress", handed.to)).await.text;
    assert!(nothing.contains("event: done") && !nothing.contains("event: progress"), "{nothing}");
    let told = browser.get(&format!("{}/progress", handed.to)).await.text;
    assert!(told.contains("event: progress") && told.contains("正在检查：") && told.contains("event: done"), "{told}");
    assert_eq!(other.get(&format!("{}?now=1", handed.to)).await.status, 404, "what is remembered is nobody else's");
    let check = browser.get(&handed.to).await.text;
    assert!(check.contains("30,000 行：30,000 正确"), "it is remembered: {check}");
    // What is shown after a change is made anew, and a mended table is another.
    let changed = browser.get(&format!("{}?tried=changed", handed.to)).await.text;
    assert!(changed.contains("情况有变化") && changed.contains("30,000 行"), "{changed}");
    let mended = Form::new()
        .part("table", Part::bytes(format!("openid,名称,备注\n{rows}o30000,茶会,\n").into_bytes()).file_name("l.csv"));
    assert_eq!(browser.send_files(&format!("{}/table", handed.to), mended).await.status, 303);
    assert!(browser.get(&handed.to).await.text.contains("data-progress"), "it is checked again");
    let original =
        Form::new().part("table", Part::bytes(format!("openid,名称,备注\n{rows}").into_bytes()).file_name("l.csv"));
    assert_eq!(browser.send_files(&format!("{}/table", handed.to), original).await.status, 303);
    let check = browser.get(&format!("{}?now=1", handed.to)).await.text;
    let people = hidden(&check, "seen");
    let all = [("digest", hidden(&check, "digest")), ("seen", people.clone()), ("people", people)];
    let all: Vec<(&str, &str)> = all.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let loaded = browser.post(&format!("{}/load", handed.to), &all).await;
    assert!(loaded.to.contains("?done=load"), "{}", loaded.text);
    let done = |shown: &serde_json::Value| shown["reminders"]["scheduled"] == 30_000 && shown["task"].is_null();
    program.wait("/v1/schedules/%E6%98%A5%E5%AD%A3", 60, done).await;
    // The draft goes when its load has ended.
    let begun = std::time::Instant::now();
    while browser.get(&handed.to).await.status != 404 {
        assert!(begun.elapsed().as_secs() < 10, "the draft stays");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert!(program.terminate().0.success());
}

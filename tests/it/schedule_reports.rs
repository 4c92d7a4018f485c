//! How a schedule went, as a marketer learns it: in sentences, as JSON, and as a workbook.

use crate::{
    harness::{
        EVENT, START, TestStore, databases, fresh_url, on_both,
        program::{SandboxServer, Site, body, now},
    },
    in_use::{load, loaded, of_row, stored},
};
use calamine::{Data, Reader, Xlsx};
use serde_json::{Value, json};
use std::{collections::BTreeMap, io::Cursor};
use tixing::domain::{SECOND, reminder::State, timing::rfc3339};

/// The cells of a workbook's sheets, by name, in order.
fn sheets(book: &[u8]) -> Vec<(String, Vec<Vec<Data>>)> {
    let mut book: Xlsx<_> = calamine::open_workbook_from_rs(Cursor::new(book)).expect("a workbook");
    let names = book.sheet_names();
    let cells = |range: calamine::Range<Data>| range.rows().map(<[Data]>::to_vec).collect();
    names.into_iter().map(|name| (name.clone(), cells(book.worksheet_range(&name).expect("it is there")))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_marketer_sees_who_was_reached_who_was_not_and_why() {
    for database in databases() {
        let sandbox = SandboxServer::start(1).await;
        let store = tempfile::tempdir().expect("a folder");
        let url = fresh_url(database, store.path());
        let site = Site::new(&url, &sandbox.url, "timezone = \"Asia/Shanghai\"");
        let program = site.serve_with_key();
        for user in ["=o1", "o2", "o3"] {
            let report = json!({ "app": "coffee", "openid": user, "results": { "event-start": "accept" } });
            assert_eq!(program.post("/v1/consents", &report).await.0, 200);
            // The platform knows nothing of the third.
            if user != "o3" {
                sandbox.sandbox.world().tap("wx0123456789abcdef", user, EVENT, true);
            }
        }
        let at = rfc3339(now() + 2 * SECOND);
        let file = format!(
            "name = \"春季\"\napp = \"coffee\"\ntemplate = \"event-start\"\nat = {at}\naudience = {{ file = \"list.csv\" }}\n[data]\nthing1 = \"{{{{名称}}}}\"\ntime2 = \"{{{{@event | datetime}}}}\"\n"
        );
        std::fs::write(site.path("s.toml"), file).expect("written");
        let rows = "openid,名称\n=o1,茶会\no2,茶会\no3,茶会\no4,茶会\no5,一二三四五六七八九十一二三四五六七八九十零\n";
        std::fs::write(site.path("list.csv"), rows).expect("written");
        let (code, _, said) = site.run(&["load", "s.toml", "--yes"]);
        assert_eq!(code, 3, "one row is wrong: {said}");
        let name = "%E6%98%A5%E5%AD%A3";
        let ended = |shown: &Value| shown["state"] == "ended" && shown["reminders"]["sent"] == 2;
        program.wait(&format!("/v1/schedules/{name}"), 30, ended).await;

        let (status, report) = program.get(&format!("/v1/schedules/{name}/report")).await;
        assert_eq!(status, 200, "{report}");
        let steps = |report: &Value| -> BTreeMap<String, i64> {
            let all = report["steps"].as_array().expect("steps").iter();
            all.map(|step| (step["step"].as_str().expect("a word").into(), step["n"].as_i64().expect("a number")))
                .collect()
        };
        let wanted = [("planned", 3), ("right", 4), ("rows", 5), ("sent", 2), ("with_consent", 3)];
        assert_eq!(steps(&report), wanted.map(|(step, n)| (step.to_owned(), n)).into(), "{report}");
        assert_eq!(report["steps"][4]["share"], 0.4, "{report}");
        let losses: Vec<(&str, i64)> = report["losses"]
            .as_array()
            .expect("losses")
            .iter()
            .map(|loss| (loss["reason"].as_str().expect("a word"), loss["n"].as_i64().expect("a number")))
            .collect();
        assert_eq!(losses, [("refused", 1), ("no_consent", 1), ("43101", 1)], "{report}");
        let hour = &report["hours"][0];
        assert_eq!(hour["reminders"], json!({ "sent": 2, "failed": 1 }), "{report}");
        assert!(hour["hour"].as_str().is_some_and(|hour| hour.ends_with(":00:00+08:00")), "{report}");
        assert!(!report.to_string().contains("o3"), "no user is named");

        let (code, told, _) = site.run(&["schedules", "report", "春季", "--lang", "zh"]);
        assert_eq!(code, 0);
        for part in [
            "春季：已结束",
            "已发送人数：2（40.0%）",
            "− 1：无订阅；在用户能看到",
            "已安排提醒的人数：3（60.0%）",
            "43101",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
        let (code, _, said) = site.run(&["schedules", "report", "春季", "--save", "r.csv"]);
        assert!(code == 2 && said.contains(".xlsx"), "{said}");
        let (code, _, said) = site.run(&["schedules", "report", "春季", "--save", "nowhere/r.xlsx"]);
        assert!(code == 1 && said.contains("nowhere"), "{said}");
        let (code, _, said) = site.run(&["schedules", "report", "nobody", "--save", "n.xlsx"]);
        assert!(code == 4 && !site.path("n.xlsx").exists(), "{said}");
        let (code, _, said) = site.run(&["schedules", "report", "春季", "--save", "r.xlsx", "--lang", "zh"]);
        assert_eq!(code, 0, "{said}");
        let book = sheets(&std::fs::read(site.path("r.xlsx")).expect("written"));
        let names: Vec<&str> = book.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["报告", "提醒明细"]);
        let rows = &book[1].1;
        let cell = |row: usize, column: usize| rows[row][column].to_string();
        assert_eq!((rows.len(), cell(0, 2), cell(0, 5)), (4, "用户".to_owned(), "状态".to_owned()));
        let mut users: Vec<(String, String)> = (1..4).map(|row| (cell(row, 2), cell(row, 5))).collect();
        users.sort();
        let wanted = [("=o1", "已发送"), ("o2", "已发送"), ("o3", "失败")];
        assert_eq!(users, wanted.map(|(user, state)| (user.to_owned(), state.to_owned())), "text stays text");

        // Who may only look sees no openid; who may see another app alone sees nothing.
        let key = |more: &[&str]| site.run(&[&["key", "create"], more].concat()).1.trim().to_owned();
        let (reads, other) =
            (key(&["--name", "r", "--scope", "read"]), key(&["--name", "o", "--scope", "read", "--app", "tea"]));
        let get = |key: String| {
            let url = format!("{}/v1/schedules/{name}/report.xlsx", program.base);
            program.http.get(url).bearer_auth(key).header("accept-language", "en").send()
        };
        let answer = get(reads).await.expect("an answer");
        assert_eq!(
            answer.headers()["content-disposition"],
            "attachment; filename*=UTF-8''%E6%98%A5%E5%AD%A3-report.xlsx"
        );
        let book = sheets(&answer.bytes().await.expect("a workbook"));
        assert_eq!(book[1].0, "Reminders");
        assert!(book[1].1[1..].iter().all(|row| row[2].to_string().starts_with("u_")), "{:?}", book[1].1);
        assert_eq!(get(other).await.expect("an answer").status(), 404);
        assert!(program.terminate().0.success());
    }
}

#[tokio::test]
async fn a_report_counts_more_reminders_than_one_look_reads() {
    on_both(async |test: TestStore| {
        let id = loaded(&test.store, load("spring")).await;
        // Two for each user, more than two looks together.
        for part in 0..5 {
            let news = (part * 1_000..(part + 1) * 1_000)
                .map(|i| of_row(id, i + 1, &format!("o{}", i / 2), START + 60 * SECOND));
            stored(&test.store, news.collect()).await;
        }
        let went = test.store.schedule_went(id).await.expect("answers");
        assert_eq!((went.people, went.sent, went.receipts), (2_500, 0, (0, 0)));
        assert_eq!(went.quarters.values().sum::<i64>(), 5_000);
        assert!(went.quarters.keys().all(|(_, state)| *state == State::Scheduled.word()));
        assert_eq!(test.store.schedule_went(id + 1).await.expect("answers").people, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_out_today_is_told_by_the_hour_to_those_whose_app_it_is() {
    for database in databases() {
        let sandbox = SandboxServer::start(1).await;
        let store = tempfile::tempdir().expect("a folder");
        let url = fresh_url(database, store.path());
        let site = Site::new(&url, &sandbox.url, "timezone = \"Asia/Shanghai\"");
        let program = site.serve_with_key();
        sandbox.sandbox.world().tap("wx0123456789abcdef", "o1", EVENT, true);
        // One is sent now, one finds no consent, one goes in two days.
        let two_days = 2 * 24 * 3_600_000;
        for (openid, accepted, ms) in [("o1", true, 500), ("o2", false, 500), ("o3", true, two_days)] {
            let mut reminder = body(openid, ms);
            reminder["accepted"] = accepted.into();
            let (status, answer) = program.post("/v1/reminders", &reminder).await;
            assert_eq!(status, if accepted { 201 } else { 409 }, "{answer}");
        }
        program.wait("/v1/stats?app=coffee", 30, |stats| stats["apps"][0]["reminders"]["sent"] == 1).await;
        let (status, today) = program.get("/v1/today?app=coffee").await;
        assert_eq!((status.as_u16(), &today["timezone"]), (200, &"Asia/Shanghai".into()), "{today}");
        let hours = today["hours"].as_array().expect("hours");
        assert!(hours.len() == 1 && hours[0]["reminders"] == json!({ "sent": 1 }), "{today}");
        assert!(today["from"].as_str().is_some_and(|from| from.ends_with("16:00:00.000Z")), "{today}");
        let (_, tea) = program.get("/v1/today?app=tea").await;
        assert_eq!((&tea["hours"], &tea["timezone"]), (&json!([]), &"Europe/Berlin".into()), "{tea}");
        assert_eq!(program.get("/v1/today?app=cofee").await.0, 422);
        assert!(program.terminate().0.success());
    }
}

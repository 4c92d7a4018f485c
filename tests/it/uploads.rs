//! Files over HTTP: what comes is bounded, and what is wrong is told.

use crate::harness::program::{Program, SandboxServer, Site};
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

const SCHEDULE: &str = r#"
name = "spring"
app = "coffee"
template = "event-start"
at = 2031-03-01T10:00:00+08:00
audience = { file = "名单.csv" }
timezone = "Asia/Shanghai"
[data]
thing1 = "{{名称}}"
time2 = "{{@event | datetime}}"
"#;

fn form(schedule: Option<&str>, tables: &[(&str, &str)]) -> Form {
    let part = |text: &str| Part::text(text.to_owned()).file_name("file");
    let form = schedule.map_or_else(Form::new, |schedule| Form::new().part("schedule", part(schedule)));
    tables.iter().fold(form, |form, (name, table)| form.part((*name).to_owned(), part(table)))
}

async fn send(program: &Program, path: &str, form: Form) -> (u16, Value) {
    let request = program.http.post(format!("{}{path}", program.base)).bearer_auth(&program.key).multipart(form);
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    (status, serde_json::from_str(&answer.text().await.expect("a whole answer")).expect("JSON"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_plans_and_loads_a_file_and_is_told_what_is_wrong() {
    let sandbox = SandboxServer::start(1).await;
    let site = Site::new("sqlite:tixing.db", &sandbox.url, "");
    let program = site.serve_with_key();
    let table = "openid,名称\no1,读书会\no2,一二三四五六七八九十一二三四五六七八九十零\n";
    let good = || form(Some(SCHEDULE), &[("名单.csv", table)]);
    let reports = json!({ "app": "coffee", "openid": "o1", "results": { "event-start": "accept" } });
    assert_eq!(program.post("/v1/consents", &reports).await.0, 200);

    let (status, plan) = send(&program, "/v1/schedules/plan", good()).await;
    assert_eq!((status, &plan["reminders"]["new"], &plan["rows"]["refused"]), (200, &1.into(), &1.into()), "{plan}");
    let digest = plan["digest"].as_str().expect("a digest").to_owned();
    let (status, answer) = send(&program, "/v1/schedules/apply?digest=0000", good()).await;
    assert_eq!((status, &answer["code"]), (409, &"plan_changed".into()), "{answer}");
    let (status, loaded) = send(&program, &format!("/v1/schedules/apply?digest={digest}"), good()).await;
    assert_eq!((status, &loaded["loaded"]["new"]), (200, &1.into()), "{loaded}");
    let (status, shown) = program.get("/v1/schedules/spring/problems").await;
    assert_eq!((status.as_u16(), &shown["problems"][0]["code"]), (200, &"bad_field".into()), "{shown}");
    let (_, shown) = program.get("/v1/schedules/spring").await;
    assert_eq!(shown["problem"], "1 of 2 rows were refused", "{shown}");

    // The same as a workbook; where there is no table, it is said.
    let request = program.http.post(format!("{}/v1/schedules/annotate", program.base)).bearer_auth(&program.key);
    let book = request.multipart(good()).send().await.expect("an answer");
    assert_eq!(book.status(), 200);
    assert!(book.bytes().await.expect("a file").starts_with(b"PK"), "a workbook");
    let (status, answer) = send(&program, "/v1/schedules/annotate", form(Some(SCHEDULE), &[])).await;
    assert_eq!((status, &answer["code"]), (422, &"no_file".into()), "{answer}");

    let refused = [
        (form(Some(&SCHEDULE.replace("名单.csv", "../名单.csv")), &[]), 422, "outside_folder"),
        (form(Some(SCHEDULE), &[("../名单.csv", table)]), 422, "outside_folder"),
        (form(Some(SCHEDULE), &[("/etc/名单.csv", table)]), 422, "outside_folder"),
        (form(Some(SCHEDULE), &[("其他.csv", table)]), 422, "no_file"),
        (form(Some("name = "), &[]), 422, "bad_toml"),
        (form(Some(&"x".repeat(300_000)), &[]), 413, "too_large"),
        (form(Some(SCHEDULE), &[("名单.csv", "")]), 422, "no_header"),
        (form(Some(SCHEDULE), &[("名单.csv", "openid,名称\n")]), 422, "no_rows"),
        (form(None, &[("名单.csv", table)]), 422, "no_file"),
        (form(Some(SCHEDULE), &[("名单.csv", table), ("名单.csv", table)]), 422, "bad_value"),
    ];
    for (form, wanted, code) in refused {
        let (status, answer) = send(&program, "/v1/schedules/plan", form).await;
        assert_eq!((status, &answer["code"]), (wanted, &code.into()), "{answer}");
    }
    let (status, seen) = send(&program, "/v1/sheet?limit=1", form(None, &[("名单.csv", table)])).await;
    assert_eq!((status, &seen["columns"]), (200, &json!(["openid", "名称"])), "{seen}");
    assert_eq!((&seen["total"], seen["rows"].as_array().map(Vec::len)), (&2.into(), Some(1)), "{seen}");
    let (status, answer) = send(&program, "/v1/sheet", form(None, &[("a.xls", "<html><table>")])).await;
    assert_eq!((status, &answer["code"]), (422, &"not_a_table".into()), "{answer}");
    assert!(program.terminate().0.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_of_some_megabytes_is_read_planned_and_loaded_over_http() {
    let sandbox = SandboxServer::start(1).await;
    let site = Site::new("sqlite:tixing.db", &sandbox.url, "");
    let program = site.serve_with_key();
    let remark = "备".repeat(10_000);
    let table: String = (0..200).map(|i| format!("o{i},读书会,{remark}\n")).collect();
    let table = format!("openid,名称,备注\n{table}");
    assert!(table.len() > 5 << 20, "{} bytes", table.len());
    let (status, seen) = send(&program, "/v1/sheet?limit=1", form(None, &[("名单.csv", &table)])).await;
    assert_eq!((status, &seen["total"]), (200, &200.into()), "{}", seen["detail"]);
    for path in ["/v1/schedules/plan", "/v1/schedules/apply"] {
        let (status, told) = send(&program, path, form(Some(SCHEDULE), &[("名单.csv", &table)])).await;
        assert_eq!((status, &told["rows"]["right"]), (200, &200.into()), "{path} {told}");
    }
    assert!(program.terminate().0.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirty_uploads_at_once_take_turns() {
    let sandbox = SandboxServer::start(1).await;
    let site = Site::new("sqlite:tixing.db", &sandbox.url, "");
    let program = site.serve_with_key();
    let table: String = (0..2_000).map(|i| format!("o{i},读书会\n")).collect();
    let table = format!("openid,名称\n{table}");
    let all = (0..30).map(|_| send(&program, "/v1/schedules/plan", form(Some(SCHEDULE), &[("名单.csv", &table)])));
    for (status, plan) in futures_util::future::join_all(all).await {
        assert_eq!((status, &plan["rows"]["right"]), (200, &2_000.into()), "{plan}");
    }
    assert!(program.terminate().0.success());
}

//! Every parser against whatever may come. The ordinary run takes the corpus and a second of random input for each target;
//! `BOLERO_RANDOM_ITERATIONS=1000000 cargo test --release --test it fuzz::` takes a million, and `cargo bolero test` follows coverage.
//!
//! Each input is taken twice: as it is, and as a recipe that spoils a good text.

use crate::harness::{
    EVENT, START, apps,
    book::{self, Book},
};
use axum::{
    Router,
    body::Body,
    http::{Method, Request, StatusCode},
};
use bolero::check;
use http_body_util::BodyExt;
use secrecy::SecretString;
use serde_json::Value;
use std::{io::Cursor, panic::RefUnwindSafe, path::Path, sync::Arc};
use tixing::{
    api::Api,
    clock::ManualClock,
    config::{self, Durability},
    domain::{
        outcome::Outcome,
        push::{Item, MAX_ITEMS},
        reminder::ReminderId,
        template::{Profile, normalise},
        timing::{QuietHours, parse_duration, parse_instant, rfc3339},
    },
    metrics::Metrics,
    platform::{
        Answer, BUILT,
        wechat::callback::{Callback, Query},
    },
    schedule::{
        file::{self, Audience, Names},
        problem::{OF_FILES, Problem},
        row::{RowRead, Tables, bind},
        sheet::{
            self, Encoding, Hidden, Reader, Source, TableSpec, Wanted,
            cell::{Cell, Row},
            xlsx::{
                self,
                choose::Request as Asked,
                frames::{self, Frame},
            },
        },
        when::written,
    },
    store::Store,
};
use tokio::runtime::Runtime;
use tower::ServiceExt;

/// `text`, spoilt in the places and ways that `recipe` says.
fn spoil(texts: &[&str], recipe: &[u8]) -> Vec<u8> {
    let Some((which, edits)) = recipe.split_first() else { return Vec::new() };
    let mut bytes = texts[usize::from(*which) % texts.len()].as_bytes().to_vec();
    for edit in edits.chunks_exact(4).take(12) {
        let [how, high, low, with] = edit else { unreachable!("chunks of four") };
        let at = usize::from(u16::from_be_bytes([*high, *low])) % (bytes.len() + 1);
        match how % 6 {
            0 if at < bytes.len() => bytes[at] = *with,
            1 => bytes.insert(at, *with),
            2 if at < bytes.len() => drop(bytes.remove(at)),
            3 => bytes.truncate(at),
            4 => {
                let end = (at + usize::from(*with)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            _ => {
                const PIECES: [&str; 12] = [
                    "\"",
                    "\\u0000",
                    "{",
                    "[",
                    "null",
                    "1e999",
                    "-1",
                    "\u{202e}",
                    "𠮷",
                    "é",
                    "\r\n",
                    "99999999999999999999",
                ];
                let piece = PIECES[usize::from(*with) % PIECES.len()].as_bytes().to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
    bytes
}

/// Runs a target on texts.
fn texts(name: &'static str, good: &[&str], target: impl Fn(&str) + RefUnwindSafe) {
    check!(name = name).for_each(|input: &[u8]| {
        for bytes in [input, &spoil(good, input)] {
            target(&String::from_utf8_lossy(bytes));
        }
    });
    good.iter().for_each(|text| target(text));
}

#[test]
fn a_time_a_duration_and_a_span_are_read_or_refused() {
    let zones = [None, Some(chrono_tz::Asia::Shanghai), Some(chrono_tz::America::New_York)];
    let good = ["2027-03-01T10:00:00+08:00", "2027-03-14 02:30", "2h", "90m", "22:00-08:00"];
    texts("times", &good, |text| {
        for zone in zones {
            match parse_instant(text, zone) {
                Ok(written) => {
                    let again = rfc3339(written.at);
                    assert!(again.len() > 24 || parse_instant(&again, None).map(|w| w.at) == Ok(written.at), "{again}");
                }
                Err(why) => assert!(why.to_string().len() > 10),
            }
        }
        if let Ok(ms) = parse_duration(text) {
            assert!((0..=3_660 * 86_400_000).contains(&ms));
        }
        if let Ok(quiet) = QuietHours::parse(text, chrono_tz::Asia::Shanghai) {
            assert!(quiet.ends(START).is_none_or(|end| (START + 1..=START + 2 * 86_400_000).contains(&end)));
        }
        if let Ok(id) = text.parse::<ReminderId>() {
            assert_eq!(id.to_string(), text);
        }
    });
}

#[test]
fn a_field_that_is_taken_is_one_the_platform_takes() {
    let good =
        ["周三读书会", "2027年3月1日 15:01~16:00", "¥214.00", "粤A8Z888挂", "+86-0766-66888866", "12.50", "陈小明"];
    texts("fields", &good, |text| {
        let rules = BUILT.iter().map(|facts| facts.fields);
        for (kind, check) in rules.flat_map(|rules| rules.types.iter().map(move |kind| (kind, rules.check))) {
            let key = format!("{kind}1");
            let value = normalise(text);
            assert_eq!(normalise(&value), value, "normal is normal");
            if check(&key, &value, Profile::Strict).is_ok() {
                // Where the platform takes no date as people write it, the adapter writes it anew before it leaves.
                let written_anew = *kind == "date" && check(&key, "2027年3月1日", Profile::Platform).is_err();
                assert!(written_anew || check(&key, &value, Profile::Platform).is_ok(), "{key} {value:?}");
                assert!(!value.is_empty() && !value.contains(['\n', '\r', '\0']), "{key} {value:?}");
            }
        }
    });
}

#[test]
fn i9_a_configuration_is_read_or_refused_and_never_tells_its_secret() {
    let good =
        tixing::cli::init::configuration(BUILT[0]).replace("{ file = \"coffee.secret\" }", "{ env = \"SECRET\" }");
    texts("configuration", &[&good, "[server]\nlisten = \"127.0.0.1:1\"\n"], |text| {
        let env = |_: &str| Some("s3cr3t-s3cr3t".to_owned());
        match config::parse(Path::new("tixing.toml"), text, &env, Default::default()) {
            Ok(config) => assert!(!format!("{config:?}").contains("s3cr3t-s3cr3t")),
            Err(problems) => {
                let said = problems.to_string();
                assert!(said.contains("tixing.toml:") && !said.contains("s3cr3t-s3cr3t"), "{said}");
            }
        }
    });
}

#[test]
fn i2_an_answer_counts_as_accepted_only_if_it_says_so() {
    let app = apps("http://127.0.0.1:1").swap_remove(0);
    let adapter = std::panic::AssertUnwindSafe(app.adapter());
    let good = [
        r#"{"errcode":0,"errmsg":"ok","msgid":3248682510344192008}"#,
        r#"{"errcode":"43101","errmsg":"user refuse to accept the msg rid: 1-2-3"}"#,
        r#"{"access_token":"T","expires_in":7200}"#,
        "\u{feff}{\"errcode\": 47003, \"errmsg\": \"argument invalid! data.thing1.value is empty\"}",
    ];
    texts("answers", &good, |text| {
        for status in [200, 302, 412, 502] {
            let answer = Answer { status, body: text.to_owned().into(), date: None, retry_after: None };
            match adapter.classify(&answer) {
                Outcome::Accepted { .. } => {
                    let spaced: String = text.chars().map(|c| if c < ' ' { ' ' } else { c }).collect();
                    let value: Value = serde_json::Deserializer::from_str(spaced.trim_start_matches('\u{feff}'))
                        .into_iter()
                        .next()
                        .expect("something")
                        .expect("JSON");
                    let code = value["errcode"].as_i64().or_else(|| value["errcode"].as_str()?.trim().parse().ok());
                    assert!(status == 200 && code.unwrap_or(0) == 0, "{text}");
                }
                Outcome::Answered { code, text, .. } => assert!(!code.is_empty() && text.chars().count() <= 300),
                Outcome::NotSent { .. } => panic!("it was answered"),
                Outcome::Unknown { cause } => assert!(!cause.to_string().is_empty()),
            }
            let _ = adapter.tokens().map(|tokens| tokens.read(&answer));
            let _ = adapter.quotas().map(|quotas| quotas.read(&answer));
            let _ = adapter.listings().map(|listings| listings.read(&answer));
        }
    });
}

#[test]
fn a_push_is_opened_or_refused_and_its_content_has_bounds() {
    let key = SecretString::from("kWxJ3v0QmZt8uB5nYdR2pLhC7sAeF1gKoTiN4XyUzVE");
    let new = |key| Callback::new("wx0123456789abcdef".into(), "token".into(), key).expect("a callback");
    let callbacks = std::panic::AssertUnwindSafe([new(None), new(Some(&key))]);
    let good = [
        r#"{"FromUserName":"o1","CreateTime":"1","MsgType":"event","Event":"subscribe_msg_sent_event","List":[{"TemplateId":"A","MsgID":7,"ErrorCode":"0","ErrorStatus":"x"}]}"#,
        "<xml><FromUserName><![CDATA[o1]]></FromUserName><CreateTime>1</CreateTime><MsgType>event</MsgType>\
         <Event>subscribe_msg_popup_event</Event><SubscribeMsgPopupEvent><List><TemplateId>A</TemplateId>\
         <SubscribeStatusString>accept</SubscribeStatusString></List></SubscribeMsgPopupEvent></xml>",
        r#"{"ToUserName":"gh","Encrypt":"OsHWaogY2I3x2AT3toz0w7AQArL8mVKmmHjyTaBcM13sI1iv8ctvH3rLjWf3/a0Q"}"#,
    ];
    texts("pushes", &good, |text| {
        for callback in callbacks.iter() {
            // As it would be signed by who knows the token.
            let sealed =
                serde_json::from_str::<Value>(text).ok().and_then(|v| v["Encrypt"].as_str().map(str::to_owned));
            let (signature, over) = (callback.sign("1", "2", None), callback.sign("1", "2", sealed.as_deref()));
            let query = Query::new([
                ("timestamp", "1"),
                ("nonce", "2"),
                ("signature", signature.as_str()),
                ("msg_signature", over.as_str()),
            ]);
            if let Ok(Some(push)) = callback.open(&query, text.as_bytes(), 1_000) {
                let id = |id: &str| assert!((1..=128).contains(&id.len()) && id.is_ascii(), "{text}");
                assert!(push.items.len() <= MAX_ITEMS, "{text}");
                id(&push.openid);
                for item in &push.items {
                    match item {
                        Item::Answered { template, .. } | Item::TurnedOff { template } => id(template),
                        Item::Receipt(receipt) => {
                            id(&receipt.template);
                            assert!(
                                receipt.text.chars().count() <= 200
                                    && receipt.failure.as_ref().is_none_or(|f| f.len() <= 128)
                            );
                        }
                    }
                }
                assert_eq!(push.digests(), push.clone().digests());
            }
        }
    });
}

const SCHEDULE: &str = r#"
name = "spring-tasting"
app = "coffee"
template = "EVENT"
page = "pages/event?id={{编号}}&{{路径 | raw}}"
expires = { column = "截止" }
quiet_hours = "22:00-08:00"
spread = "10m"
timezone = "Europe/Berlin"
at = { column = "时间", before = ["1w", "3d"], after = ["0d"], clock = "10:00" }
audience = { file = "a.csv", key = "编号" }
exclude = ["o-3"]
[data]
thing1 = "{{名称 | short(20) | default(见活动页)}}{{ \"a|b\" | amount }}"
time2 = "{{@event | range(截止)}}{{@left}}{{@at | iso}}{{@openid}}"
"#;

#[test]
#[expect(clippy::result_large_err, reason = "a problem tells its place and what to do")]
fn i9_a_schedule_is_read_or_refused_with_its_lines_and_tells_no_openid() {
    let apps = std::panic::AssertUnwindSafe(apps("http://127.0.0.1:1"));
    let whole = SCHEDULE.replace("EVENT", EVENT);
    let events = whole.replace("{ column = \"时间\",", "{ event = 2031-03-30T02:30:00,");
    let list = format!(
        "name = \"e\"\napp = \"coffee\"\ntemplate = \"{EVENT}\"\nat = 2031-03-01T10:00:00\naudience = [\"o-secret\"]\n[data]\nthing1 = \"x\"\ntime2 = \"{{{{@event}}}}\"\n"
    );
    texts("schedules", &[&whole, &events, &list], |text| {
        let names = Names { apps: &apps, listings: &|_| None };
        let file = match file::read(text, "s.toml", &names) {
            Ok(file) => file,
            Err(refused) => {
                assert!(!refused.problems.is_empty());
                let lines = text.lines().count() as u32 + 1;
                for problem in refused.problems {
                    assert!(problem.place.line.is_some_and(|line| (1..=lines).contains(&line)), "{problem:?}");
                }
                return;
            }
        };
        let wanted = file.wanted(&|_| false);
        let columns: Vec<String> = (0..wanted.len()).map(|i| i.to_string()).collect();
        let find = |name: &Wanted| Ok(wanted.iter().position(|w| w == name).expect("it is wanted"));
        let terms = apps[0].terms(None);
        let is_table = matches!(file.audience, Audience::Table(_));
        let table = is_table.then_some((&columns[..], &find as &dyn Fn(&Wanted) -> Result<usize, Problem>));
        let bound = bind(&file, &terms, Tables { rows: table, events: None }, START);
        let bound = match bound {
            Ok(bound) => bound,
            // A year that is no typing error to TOML.
            Err(problems) => return assert!(problems.iter().all(|problem| problem.code == "bad_at"), "{problems:?}"),
        };
        for cell in ["2031-03-30 02:30", "o-secret", text.lines().next().unwrap_or_default()] {
            let cells = vec![Cell::Text(cell.to_owned()); wanted.len()];
            let row = Row { number: 2, hidden: false, cells, ragged: false };
            let read = if is_table { bound.row(&row, None) } else { bound.person(cell, Some(1), None) };
            match read {
                RowRead::Right { planned, .. } => {
                    assert!(!planned.is_empty());
                    assert!(planned.iter().all(|planned| planned.at < planned.expires_at));
                }
                RowRead::Refused { problems, .. } => {
                    assert!(!problems.is_empty());
                    let of_users = problems.iter().filter(|p| p.place.column.as_deref() == Some("0"));
                    assert!(is_table || problems.iter().all(|p| !p.detail.to_string().contains("o-secret")));
                    assert!(of_users.into_iter().all(|p| p.value.is_none()));
                }
            }
        }
    });
}

#[test]
fn a_time_in_a_cell_is_read_or_refused() {
    let good = [
        "2031年3月1日（周六）下午 2点半~4点",
        "2031-03-01T10:00:00+08:00",
        "47908.416",
        "２０３１／５／１　２４：００",
    ];
    texts("times in cells", &good, |text| match written::text(text) {
        Ok(read) => assert!(
            read.point.wall(chrono_tz::Asia::Shanghai).is_some() || read.point.instant(chrono_tz::UTC).is_none()
        ),
        Err(why) => assert!(why.to_string().len() > 10),
    });
}

/// Between the parts of a form.
const BOUNDARY: &str = "b0undary";

/// A file and its table as the parts of a form.
fn form(schedule: &[u8], table: &[u8]) -> Vec<u8> {
    let head = |name: &str| {
        let name = format!("content-disposition: form-data; name=\"{name}\"; filename=\"f\"");
        format!("--{BOUNDARY}\r\n{name}\r\n\r\n").into_bytes()
    };
    let end = format!("\r\n--{BOUNDARY}--\r\n");
    [&head("schedule"), schedule, b"\r\n", &head("a.csv"), table, end.as_bytes()].concat()
}

/// A schedule over `a.csv`, and the table.
const PLANNED: [&str; 2] = [
    "name = \"s\"\napp = \"coffee\"\ntemplate = \"event-start\"\nat = { column = \"时间\", before = [\"1d\"], after = [\"2h\"] }\n\
     audience = { file = \"a.csv\", key = \"编号\" }\nexclude = [\"o3\"]\nconsent = \"either\"\n[data]\n\
     thing1 = \"{{名称 | short(20)}}\"\ntime2 = \"{{时间 | datetime}}\"\n",
    "openid,编号,名称,时间\no1,A-1,读书会,2031-03-01 10:00\no2,A-2,\"茶\n会\",47908.416\no3,A-3,酒会,2031年3月1日\no4,A-1,酒会,1/2\n",
];

#[test]
fn an_upload_is_taken_or_refused_and_never_a_fault_of_ours() {
    let service = std::panic::AssertUnwindSafe(Service::start());
    let good = String::from_utf8(form(PLANNED[0].as_bytes(), PLANNED[1].as_bytes())).expect("UTF-8");
    let (status, plan) = service.plan(good.clone().into_bytes());
    assert_eq!(status, 200, "{plan}");
    check!(name = "uploads").for_each(|input: &[u8]| {
        for body in [input.to_vec(), spoil(&[&good], input)] {
            let (status, answer) = service.plan(body);
            refused_well(status, &answer);
        }
    });
}

#[test]
fn any_file_over_any_table_is_planned_row_by_row_or_refused_with_its_problems() {
    let service = std::panic::AssertUnwindSafe(Service::start());
    check!(name = "plans").for_each(|input: &[u8]| {
        let (of_file, of_table) = input.split_at(input.len() / 2);
        let (file, table) = (spoil(&PLANNED[..1], of_file), spoil(&PLANNED[1..], of_table));
        for (file, table) in [(&file[..], &table[..]), (PLANNED[0].as_bytes(), &table), (&file, PLANNED[1].as_bytes())]
        {
            let (status, answer) = service.plan(form(file, table));
            refused_well(status, &answer);
            let plan: Value = serde_json::from_str(&answer).expect("JSON");
            let row = |name: &str| plan["rows"][name].as_u64().expect("a number");
            match status.is_success() {
                true => assert_eq!(row("read"), row("right") + row("refused") + row("excluded"), "{plan}"),
                false => assert!(plan["problems"].as_array().is_none_or(|problems| !problems.is_empty()), "{plan}"),
            }
        }
    });
}

/// The API over a store of its own.
struct Service {
    runtime: Runtime,
    router: Router,
    _folder: tempfile::TempDir,
}

impl Service {
    fn start() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let folder = tempfile::tempdir().expect("a folder");
        let text = crate::harness::program::Site::new(
            "sqlite:tixing.db",
            "http://127.0.0.1:1",
            "timezone = \"Asia/Shanghai\"",
        );
        let text = std::fs::read_to_string(text.path("tixing.toml")).expect("read");
        let env = |_: &str| Some("s".to_owned());
        let config = config::parse(&folder.path().join("tixing.toml"), &text, &env, Default::default()).expect("good");
        let router = runtime.block_on(async {
            let clock = ManualClock::at(START);
            let store =
                Store::open(&config.store.url, Durability::Process, &config.apps, clock.clone()).await.expect("opens");
            Api::new(Arc::new(config), store, clock, Arc::new(Metrics::default()), None).await.owner_router()
        });
        Self { runtime, router, _folder: folder }
    }

    fn ask(&self, method: Method, path: &str, body: &str) -> (StatusCode, String) {
        self.run(Request::builder().method(method).uri(path).body(Body::from(body.to_owned())).expect("a request"))
    }

    /// Hands in the parts of a form.
    fn plan(&self, form: Vec<u8>) -> (StatusCode, String) {
        let request = Request::builder().method(Method::POST).uri("/v1/schedules/plan");
        let request = request.header("content-type", format!("multipart/form-data; boundary={BOUNDARY}"));
        self.run(request.body(Body::from(form)).expect("a request"))
    }

    fn run(&self, request: Request<Body>) -> (StatusCode, String) {
        self.runtime.block_on(async {
            let response = self.router.clone().oneshot(request).await.expect("infallible");
            let status = response.status();
            let body = response.into_body().collect().await.expect("a body").to_bytes();
            (status, String::from_utf8(body.to_vec()).expect("UTF-8"))
        })
    }
}

/// A refusal has a known code and a sentence, and never a fault of ours.
fn refused_well(status: StatusCode, answer: &str) {
    if !status.is_success() {
        let problem: Value = serde_json::from_str(answer).expect("a problem");
        assert!(status.is_client_error(), "{problem}");
        assert!(problem["code"].is_string() && problem["detail"].as_str().is_some_and(|d| d.len() > 10), "{problem}");
    }
}

fn reminder_text(more: &str) -> String {
    format!(
        r#"{{"app":"coffee","openid":"o1","template":"{EVENT}","at":"2027-03-02T10:00","accepted":true,"data":{{"thing1":"周三读书会","time2":"10:00"}}{more}}}"#
    )
}

#[test]
fn a_body_is_taken_or_refused_with_its_field() {
    let service = std::panic::AssertUnwindSafe(Service::start());
    let good = [
        reminder_text(""),
        reminder_text(
            r#","expires_at":"2h","key":"k1","consent":"at_fire","page":"pages/x?id=1","lang":"en_US","miniprogram_state":"trial""#,
        ),
        format!(
            r#"{{"app":"coffee","openid":"o1","results":{{"{EVENT}":"accept","errMsg":"ok"}},"event":"e1","at":"2027-02-01T10:00"}}"#
        ),
    ];
    let good: Vec<&str> = good.iter().map(String::as_str).collect();
    texts("bodies", &good, |text| {
        for path in ["/v1/reminders", "/v1/consents"] {
            let (status, answer) = service.ask(Method::POST, path, text);
            refused_well(status, &answer);
        }
    });
}

#[test]
fn a_batch_answers_each_of_its_lines_in_order() {
    let service = std::panic::AssertUnwindSafe(Service::start());
    let lines = format!("{}\n{{broken\n\n{}", reminder_text(""), reminder_text(r#","key":"k2""#));
    texts("batches", &[&lines], |text| {
        let (status, answer) = service.ask(Method::POST, "/v1/reminders/batch", text);
        assert_eq!(status, 200);
        let expected =
            text.split('\n').enumerate().filter(|(_, line)| !line.trim_ascii().is_empty()).map(|(i, _)| i as u64 + 1);
        let answered = answer.lines().map(|line| {
            let line: Value = serde_json::from_str(line).expect("JSON");
            assert!(line["id"].is_string() != line["error"].is_object(), "{line}");
            line["line"].as_u64().expect("a number")
        });
        assert!(answered.eq(expected), "{text:?}: {answer}");
    });
}

#[test]
fn a_query_is_answered_or_refused() {
    let service = std::panic::AssertUnwindSafe(Service::start());
    let good = [
        "app=coffee&limit=3&state=sent&from=2027-01-01T00:00",
        "cursor=AAABo_5jCAAAAAAAAAAABw&openid=o1",
        "app=coffee&openid=o1&history=true",
    ];
    texts("queries", &good, |text| {
        let query: String = text.chars().filter(|c| c.is_ascii_graphic() && *c != '#').collect();
        for path in ["/v1/reminders", "/v1/consents", "/v1/stats"] {
            let uri = format!("{path}?{query}");
            if uri.parse::<axum::http::Uri>().is_ok() {
                let (status, answer) = service.ask(Method::GET, &uri, "");
                refused_well(status, &answer);
            }
        }
    });
}

/// Opens a table of these bytes and reads it to its end.
fn read_table(path: &Path, bytes: &[u8], spec: &TableSpec) {
    std::fs::write(path, bytes).expect("written");
    let wanted = [Wanted::Openid, Wanted::Column("名称".into())];
    // Workbooks are read by another target, without a process for each.
    let reader = Reader { program: "/bin/false".into() };
    match sheet::open(&reader, &Source { path, name: "t" }, spec, &wanted) {
        Ok(mut table) => {
            let (columns, mut last) = (table.about().columns.len(), table.about().header);
            while let Ok(Some(row)) = table.next() {
                assert!(row.number > last && row.cells.len() == columns, "{row:?}");
                last = row.number;
            }
        }
        Err(problems) => {
            assert!(problems.iter().all(|p| OF_FILES.contains(&p.code) && p.detail.to_string().len() > 10))
        }
    }
}

#[test]
fn a_table_of_csv_is_read_or_refused_in_every_encoding() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("t");
    let good = ["openid,名称\noA,\"茶\n会\"\n\noB;预约\t=\"01\"\n", "\u{feff}openid\t名称\r\noA\t#N/A\r\n"];
    let specs = [None, Some(Encoding::Utf8), Some(Encoding::Gb18030), Some(Encoding::Big5), Some(Encoding::Utf16)];
    check!(name = "csv").for_each(|input: &[u8]| {
        for bytes in [input, &spoil(&good, input)] {
            for encoding in specs {
                read_table(&path, bytes, &TableSpec { encoding, ..TableSpec::default() });
            }
        }
    });
}

#[test]
fn a_pipe_brings_frames_or_is_refused() {
    let row = Row { number: 2, hidden: false, cells: vec![Cell::Text("oA".into()), Cell::Blank], ragged: false };
    let mut good = Vec::new();
    for frame in [Frame::Rows(vec![row.clone(), row]), Frame::End] {
        frames::write(&mut good, &frame).expect("a Vec takes all");
    }
    let good = String::from_utf8_lossy(&good).into_owned();
    check!(name = "frames").for_each(|input: &[u8]| {
        for bytes in [input, &spoil(&[&good], input)] {
            let mut pipe = bytes;
            while let Ok(Some(frame)) = frames::read(&mut pipe) {
                let mut again = Vec::new();
                frames::write(&mut again, &frame).expect("what was read can be written");
            }
        }
    });
}

#[test]
fn a_workbook_is_read_whole_or_refused() {
    let good = [
        &*(book::texts(1, &["openid", "名称"])
            + r#"<row r="2" hidden="1"><c r="A2" t="s" s="1"><v>0</v></c><c r="B2"><f>1</f></c></row>"#),
        r#"<row r="3"><c r="XFD3" t="d"><v>2031-03-01</v></c><c t="e"><v>#N/A</v></c></row>"#,
    ];
    texts("workbooks", &good, |text| {
        for place in 0..4 {
            let mut book = Book::new(good[0]);
            let field = [&mut book.rows, &mut book.behind, &mut book.styles, &mut book.strings];
            *field.into_iter().nth(place).expect("four places") = text.to_owned();
            let request = Asked { hidden: Some(Hidden::Read), ..Asked::default() };
            let mut pipe = Vec::new();
            xlsx::read::read(Cursor::new(book.bytes()), &request, 1 << 20, &mut pipe).expect("a Vec takes all");
            let mut from = &pipe[..];
            let mut last = None;
            while let Some(frame) = frames::read(&mut from).expect("frames") {
                last = Some(frame);
            }
            assert!(matches!(last, Some(Frame::End | Frame::Refused(_))), "{last:?}");
        }
    });
}

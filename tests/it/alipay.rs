//! Alipay from end to end: the daemon against the sandbox, with keys and with certificates.

use crate::harness::program::{Program, SandboxServer, Site, now};
use serde_json::{Value, json};

use tixing::{
    clock::ManualClock,
    config,
    domain::{DAY, timing::rfc3339},
    platform::alipay::{Material, PrivateKey, signature},
};

const APPID: &str = "2021000000000001";
const TEMPLATE: &str = "TPL_demo_0001";
const GATEWAY_KEY: &str = include_str!("../../src/sandbox/alipay/gateway.key");
/// Another certificate of the same key.
const BEFORE: &str = include_str!("../vectors/alipay_gateway_before.crt");

/// A text of the recorded keys or certificates.
fn known(name: &str) -> String {
    let all: Value = serde_json::from_str(include_str!("../vectors/alipay.json")).expect("JSON");
    all["keys"][name].as_str().or(all["certs"][name].as_str()).expect("there is one").to_owned()
}

/// Another app's key.
fn other_key() -> &'static str {
    include_str!("../../src/platform/alipay/sample/coffee.key")
}

const BY_KEY: &str = r#"alipay_public_key = { file = "alipay.pub" }"#;
const BY_CERTIFICATE: &str =
    r#"certificates = { app = { file = "app.crt" }, alipay = { file = "alipay.crt" }, root = { file = "root.crt" } }"#;

/// A folder with an app on Alipay, whose keys are those that the sandbox shows. `mode` are the lines that name them.
async fn site(sandbox: &SandboxServer, mode: &str) -> Site {
    let folder = tempfile::tempdir().expect("a folder");
    let text = format!(
        r#"
[server]
listen = "127.0.0.1:0"
[store]
url = "sqlite:tixing.db"
[[app]]
name = "coffee"
platform = "alipay"
appid = "{APPID}"
private_key = {{ file = "app.key" }}
{mode}
base_url = "{}"
callback = {{}}
[[app.template]]
name = "event-start"
id = "{TEMPLATE}"
kind = "one-time"
fields = {{ keyword1 = "活动名称", keyword2 = "开始时间" }}
"#,
        sandbox.url
    );
    tixing::platform::transport::install_crypto();
    let shown: Value = reqwest::get(format!("{}/_sandbox/alipay", sandbox.url))
        .await
        .expect("an answer")
        .text()
        .await
        .map(|text| serde_json::from_str(&text).expect("JSON"))
        .expect("a whole answer");
    let shown = |pointer: &str| shown.pointer(pointer).and_then(Value::as_str).expect("shown").to_owned();
    for (name, text) in [
        ("tixing.toml", text),
        ("app.key", known("app_private_pkcs8_bare_base64")),
        ("app.crt", known("app_cert_pem")),
        ("alipay.pub", shown("/alipay_public_key")),
        ("alipay.crt", shown("/certificates/alipay")),
        ("root.crt", shown("/certificates/root")),
    ] {
        std::fs::write(folder.path().join(name), text).expect("written");
    }
    Site { folder }
}

/// The sandbox's console: the app with these secrets.
async fn register(sandbox: &SandboxServer, secrets: Value) {
    let app = json!({ "platform": "alipay", "appid": APPID, "secrets": secrets, "templates": [
        { "id": TEMPLATE, "kind": "one-time", "fields": { "keyword1": "活动名称", "keyword2": "开始时间" } },
    ] });
    order(sandbox, "apps", &app).await;
}

/// The parameters of a request, and how a test changes them.
type Pairs = Vec<(String, String)>;
type Change<'a> = &'a dyn Fn(&mut Pairs);

async fn order(sandbox: &SandboxServer, name: &str, body: &Value) -> Value {
    tixing::platform::transport::install_crypto();
    let request = reqwest::Client::new().post(format!("{}/_sandbox/{name}", sandbox.url));
    let request = request.header("content-type", "application/json").body(body.to_string());
    let answer = request.send().await.expect("an answer");
    let (status, text) = (answer.status(), answer.text().await.expect("a whole answer"));
    assert!(status.is_success(), "{name}: {text}");
    serde_json::from_str(&text).expect("JSON")
}

/// The user accepts, and their mini-program's backend tells of it.
async fn accept(sandbox: &SandboxServer, program: &Program, openid: &str) {
    let tap = json!({ "appid": APPID, "openid": openid, "results": { TEMPLATE: "accept" } });
    let given = order(sandbox, "popup", &tap).await;
    // As it is.
    let report = json!({ "app": "coffee", "openid": openid, "result": given });
    let (status, answer) = program.post("/v1/consents", &report).await;
    assert!(status == 200 && answer["balances"][0]["available"] == 1, "{answer}");
}

/// Only the mini-program says that the user accepted.
async fn tell(program: &Program, openid: &str) {
    let report = json!({ "app": "coffee", "openid": openid, "results": { TEMPLATE: "accept" } });
    let (status, answer) = program.post("/v1/consents", &report).await;
    assert_eq!(status, 200, "{answer}");
}

/// A reminder that is due at once; the path of it.
async fn remind(program: &Program, openid: &str) -> String {
    let body = json!({ "app": "coffee", "openid": openid, "template": "event-start", "at": rfc3339(now() + 100),
        "page": "pages/event?id=7", "data": { "keyword1": "周三读书会", "keyword2": "3月1日 10:00" } });
    let (status, created) = program.post("/v1/reminders", &body).await;
    assert_eq!(status, 201, "{created}");
    format!("/v1/reminders/{}", created["id"].as_str().expect("an id"))
}

async fn ends(program: &Program, path: &str, state: &str) -> Value {
    program.wait(path, 20, |reminder| reminder["state"] == state).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_reaches_its_user_by_key_and_by_certificate_whatever_the_machines_zone() {
    let sandbox = SandboxServer::start(1).await;
    for (mode, secrets) in [
        (BY_KEY, json!({ "public_key": known("app_public_pem") })),
        (BY_CERTIFICATE, json!({ "certificates.app": known("app_cert_pem") })),
    ] {
        order(&sandbox, "reset", &json!({})).await;
        register(&sandbox, secrets).await;
        let site = site(&sandbox, mode).await;
        let mut program = site.try_serve_with(&[("TZ", "America/New_York")]).expect("it starts");
        program.key = site.key();
        accept(&sandbox, &program, "074a").await;
        ends(&program, &remind(&program, "074a").await, "sent").await;
        let messages = sandbox.sandbox.world().messages().to_vec();
        assert_eq!(messages.len(), 1, "{mode}");
        assert_eq!((messages[0].openid.as_str(), messages[0].page.as_deref()), ("074a", Some("pages/event?id=7")));
        assert_eq!(messages[0].data["keyword1"], "周三读书会");

        tell(&program, "074b").await;
        let path = remind(&program, "074b").await;
        let refused = ends(&program, &path, "failed").await;
        assert_eq!(refused["attempts"][0]["code"], "MSG_UNSUBSCRIBED", "{refused}");
        let (_, why) = program.get(&format!("{path}/explain")).await;
        assert!(why["zh"].as_str().is_some_and(|zh| zh.contains("订阅")), "{why}");
        let (_, balances) = program.get("/v1/consents?app=coffee&openid=074b").await;
        assert_eq!(balances["balances"][0]["void"], 1, "{balances}");
        let (status, log) = program.terminate();
        assert!(status.success() && !log.contains("ERROR"), "{mode}: {log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_whose_key_was_revoked_waits_with_its_reminders_until_the_new_one_is_in_place() {
    let sandbox = SandboxServer::start(1).await;
    register(&sandbox, json!({ "public_key": known("app_public_pem") })).await;
    let site = site(&sandbox, BY_KEY).await;
    let program = site.serve_with_key();
    accept(&sandbox, &program, "074a").await;
    let new = Material::read(other_key()).expect("a key").public().expect("one half");
    assert_ne!(new, Material::read(&known("app_public_pem")).expect("a key").public().expect("itself"));
    register(&sandbox, json!({ "private_key": other_key() })).await;
    let path = remind(&program, "074a").await;
    let paused = |stats: &Value| stats["apps"][0]["paused"]["code"] == "invalid-signature";
    let stats = program.wait("/v1/stats?app=coffee", 20, paused).await;
    assert!(stats["apps"][0]["paused"]["why"].to_string().contains("private key"), "{stats}");
    // Nothing is burnt.
    ends(&program, &path, "scheduled").await;
    std::fs::write(site.path("app.key"), other_key()).expect("written");
    program.signal("-HUP");
    ends(&program, &path, "sent").await;
    let (status, log) = program.terminate();
    assert!(status.success() && log.contains("a new secret is in force"), "{log}");
    assert!(!log.contains(&known("app_private_pkcs8_bare_base64")[40..80]), "I9: {log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_a_day_off_pauses_the_app_and_is_named() {
    let sandbox = SandboxServer::start_at(1, ManualClock::at(now() - DAY)).await;
    register(&sandbox, json!({ "public_key": known("app_public_pem") })).await;
    let site = site(&sandbox, BY_KEY).await;
    let program = site.serve_with_key();
    accept(&sandbox, &program, "074a").await;
    let path = remind(&program, "074a").await;
    let paused = |stats: &Value| stats["apps"][0]["paused"]["code"] == "invalid-timestamp";
    let stats = program.wait("/v1/stats?app=coffee", 20, paused).await;
    assert!(stats["apps"][0]["paused"]["why"].to_string().contains("clock"), "{stats}");
    // Nothing is burnt.
    ends(&program, &path, "scheduled").await;
    assert!(program.terminate().0.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_whose_certificate_was_issued_anew_is_believed_and_a_person_is_told() {
    let sandbox = SandboxServer::start(1).await;
    register(&sandbox, json!({ "certificates.app": known("app_cert_pem") })).await;
    let site = site(&sandbox, BY_CERTIFICATE).await;
    std::fs::write(site.path("alipay.crt"), BEFORE).expect("written");
    let program = site.serve_with_key();
    for openid in ["074a", "074b", "074c"] {
        accept(&sandbox, &program, openid).await;
        ends(&program, &remind(&program, openid).await, "sent").await;
    }
    let (status, log) = program.terminate();
    let told = log.lines().filter(|line| line.contains("ERROR") && line.contains("issued anew")).count();
    assert!(status.success() && told == 1, "once, not with every answer: {log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_another_key_has_signed_is_a_doubt_and_keeps_the_consent() {
    let sandbox = SandboxServer::start(1).await;
    register(&sandbox, json!({ "public_key": known("app_public_pem") })).await;
    let site = site(&sandbox, BY_KEY).await;
    std::fs::write(site.path("alipay.pub"), known("alipay_public_bare_base64")).expect("written");
    let program = site.serve_with_key();
    accept(&sandbox, &program, "074a").await;
    let path = remind(&program, "074a").await;
    let reminder = ends(&program, &path, "unconfirmed").await;
    assert_eq!(sandbox.sandbox.world().messages().len(), 1, "sent once, and never again");
    let (_, balances) = program.get("/v1/consents?app=coffee&openid=074a").await;
    assert_eq!(balances["balances"][0]["used"], 1, "{balances} {reminder}");
    assert!(program.terminate().0.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_alipay_would_refuse_is_refused_at_insert() {
    let sandbox = SandboxServer::start(1).await;
    register(&sandbox, json!({ "public_key": known("app_public_pem") })).await;
    let site = site(&sandbox, BY_KEY).await;
    let program = site.serve_with_key();
    let good = json!({ "app": "coffee", "openid": "074a", "template": "event-start", "at": rfc3339(now() + 60_000),
        "accepted": true, "page": "pages/event", "data": { "keyword1": "a", "keyword2": "b" } });
    let with = |change: &dyn Fn(&mut Value)| {
        let mut body = good.clone();
        change(&mut body);
        body
    };
    for (body, param) in [
        (with(&|body| body["openid"] = "2088000000000001".into()), "/openid"),
        (with(&|body| drop(body.as_object_mut().expect("an object").remove("page"))), "/page"),
        (with(&|body| body["page"] = "p".repeat(129).into()), "/page"),
        (with(&|body| body["data"]["keyword1"] = "字".repeat(51).into()), "/data/keyword1"),
        (with(&|body| body["data"]["keyword3"] = "c".into()), "/data/keyword3"),
        (with(&|body| body["data"] = json!({ "keyword1": "a" })), "/data/keyword2"),
    ] {
        let (status, answer) = program.post("/v1/reminders", &body).await;
        assert_eq!((status.as_u16(), answer["param"].as_str()), (422, Some(param)), "{answer}");
    }
    let (status, answer) = program.post("/v1/reminders", &with(&|body| body["page"] = "p".repeat(128).into())).await;
    assert_eq!(status, 201, "{answer}");
    assert!(program.terminate().0.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notification_is_answered_when_alipays_key_has_signed_it_and_refused_otherwise() {
    let sandbox = SandboxServer::start(1).await;
    let site = site(&sandbox, BY_KEY).await;
    let program = site.serve_with_key();
    let beijing = rfc3339(now() + 8 * 3_600_000);
    let time = beijing[..19].replace('T', " ");
    let key = |text: &str| -> PrivateKey {
        let Ok(Material::Private(key)) = Material::read(text) else { panic!("a private key") };
        key
    };
    let form = |key: &PrivateKey, time: &str| {
        let pairs = [
            ("app_id", APPID),
            ("notify_time", time),
            ("notify_type", "something.new"),
            ("sign_type", "RSA2"),
            ("biz_content", "{\"k\":\"值&=+\"}"),
        ];
        let sign = key.sign(&signature::text(&pairs, &["sign"]));
        form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).append_pair("sign", &sign).finish()
    };
    let post = async |body: String| {
        let request = program.http.post(format!("{}/callback/coffee", program.base));
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a whole answer"))
    };
    let (alipay, stranger) = (key(GATEWAY_KEY), key(&known("app_private_pkcs8_pem")));
    assert_eq!(post(form(&alipay, &time)).await, (200, "success".to_owned()));
    for (what, body) in [
        ("forged", form(&stranger, &time)),
        ("replayed", form(&alipay, "2026-03-01 09:00:00")),
        ("with trailing bytes", format!("{}&x=1", form(&alipay, &time))),
    ] {
        assert_eq!(post(body).await.0, 403, "{what}");
    }
    assert!(program.terminate().0.success());
}

#[tokio::test]
async fn a_certificate_that_has_ended_is_refused_by_the_configuration_and_one_that_soon_will_is_warned_of() {
    let sandbox = SandboxServer::start(1).await;
    let site = site(&sandbox, BY_CERTIFICATE).await;
    // The app's ends with 2035.
    let end = 2_082_585_600_000;
    let load = |now| config::load(&site.path("tixing.toml"), now);
    let said = |config: config::Config| config.warnings.iter().map(ToString::to_string).collect::<Vec<_>>();
    let calm = said(load(end - 60 * DAY).expect("good"));
    assert!(!calm.iter().any(|warning| warning.contains("certificate")), "{calm:?}");
    let warned = said(load(end - 20 * DAY).expect("good"));
    assert!(warned.iter().any(|warning| warning.contains("certificates.app ends at 2035-12-30")), "{warned:?}");
    let refused = load(end + DAY).expect_err("ended").to_string();
    assert!(refused.contains("tixing.toml:11: this certificate ended at 2035-12-30"), "{refused}");

    let text = std::fs::read_to_string(site.path("tixing.toml")).expect("there");
    for (fields, missing) in [("keyword1 = \"a\", keyword3 = \"b\"", "keyword2"), ("thing1 = \"a\"", "keyword1")] {
        let wrong = text.replace("keyword1 = \"活动名称\", keyword2 = \"开始时间\"", fields);
        std::fs::write(site.path("tixing.toml"), wrong).expect("written");
        let refused = load(0).expect_err("out of order").to_string();
        assert!(refused.contains(&format!("none is {missing}")), "{refused}");
    }
    let mixed = text.replace(BY_CERTIFICATE, &format!("{BY_CERTIFICATE}\n{BY_KEY}"));
    std::fs::write(site.path("tixing.toml"), mixed).expect("written");
    let refused = load(0).expect_err("two modes").to_string();
    assert!(refused.contains("certificates.app"), "{refused}");
    let (given, _) = refused.split_once(" do not belong").expect("it says so");
    assert_eq!(given.matches("private_key").count(), 1, "{refused}");
}

#[tokio::test]
async fn what_is_wrong_with_a_key_is_told_once_and_only_what_is_secret_is_to_be_hidden() {
    use std::os::unix::fs::PermissionsExt;
    let sandbox = SandboxServer::start(1).await;
    let hide = |site: &Site, mode| {
        for name in ["app.key", "app.crt", "alipay.pub", "alipay.crt", "root.crt"] {
            let mode = if name == "app.key" { mode } else { 0o644 };
            std::fs::set_permissions(site.path(name), std::fs::Permissions::from_mode(mode)).expect("changed");
        }
    };
    for mode in [BY_KEY, BY_CERTIFICATE] {
        let site = site(&sandbox, mode).await;
        let open = || {
            let config = config::load(&site.path("tixing.toml"), 0).expect("good");
            let said = config.warnings.iter().map(ToString::to_string).filter(|said| said.contains("chmod"));
            said.collect::<Vec<_>>()
        };
        hide(&site, 0o600);
        assert_eq!(open(), [""; 0], "public keys and certificates are public");
        hide(&site, 0o644);
        assert!(matches!(&open()[..], [one] if one.contains("app.key")), "{:?}", open());
    }

    let site = site(&sandbox, BY_KEY).await;
    let refused = || config::load(&site.path("tixing.toml"), 0).expect_err("wrong").0;
    std::fs::write(site.path("alipay.pub"), "not a key").expect("written");
    let problems = refused();
    assert!(matches!(&problems[..], [one] if one.place.to_string().ends_with("tixing.toml:11")), "{problems:?}");

    let text = std::fs::read_to_string(site.path("tixing.toml")).expect("there");
    std::fs::write(site.path("tixing.toml"), text.replace(BY_KEY, "")).expect("written");
    let problems = refused();
    let what = problems[0].what.to_string();
    assert!(problems.len() == 1 && what.contains("`alipay_public_key`"), "{problems:?}");
    assert!(what.contains("certificates.app + certificates.alipay + certificates.root will do"), "{what}");
}

/// What the doctor says of one thing: its level, and all words.
fn doctor(site: &Site, name: &str) -> (i32, String, String) {
    let (code, out, said) = site.run(&["doctor", "--json"]);
    let told: Value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out} {said}"));
    let checks = told["checks"].as_array().expect("checks");
    let check = checks.iter().find(|check| check["check"] == name);
    let text = |key: &str| check.and_then(|check| check[key].as_str()).unwrap_or_default().to_owned();
    (code, text("level"), format!("{} → {}", text("found"), text("fix")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_doctor_asks_whether_each_side_believes_the_other_and_says_which_key_to_replace() {
    let sandbox = SandboxServer::start(1).await;
    for (mode, secrets) in [
        (BY_KEY, json!({ "public_key": known("app_public_pem") })),
        (BY_CERTIFICATE, json!({ "certificates.app": known("app_cert_pem") })),
    ] {
        order(&sandbox, "reset", &json!({})).await;
        register(&sandbox, secrets).await;
        let site = site(&sandbox, mode).await;
        let (code, level, said) = doctor(&site, "coffee: credentials");
        assert_eq!((code, level.as_str()), (0, "ok"), "{said}");
        let (_, level, said) = doctor(&site, "coffee: callback");
        assert!(level == "ok" && said.contains("signed") && said.contains("nothing in it matters"), "{said}");
        assert_eq!(doctor(&site, "coffee: IP whitelist").1, "", "there is none");
        let (_, level, said) = doctor(&site, "coffee: address");
        assert!(level == "warning" && said.contains("whom you write to") && !said.contains("secret"), "{said}");
        let (_, level, said) = doctor(&site, "coffee: term of certificates.app");
        match mode == BY_CERTIFICATE {
            true => assert!(level == "ok" && said.contains("2035-12-30"), "{said}"),
            false => assert_eq!(level, ""),
        }
    }
    // Without a callback nothing is missing, and taps that are never pushed are not waited for.
    let site = site(&sandbox, BY_CERTIFICATE).await;
    let text = std::fs::read_to_string(site.path("tixing.toml")).expect("there");
    std::fs::write(site.path("tixing.toml"), text.replace("callback = {}", "")).expect("written");
    assert_eq!(doctor(&site, "coffee: callback").1, "");
    let pushed = text.replace("callback = {}", "callback = {}\nconsents = \"callback\"\nreceipt_wait = \"5s\"");
    std::fs::write(site.path("tixing.toml"), pushed).expect("written");
    let (code, _, said) = doctor(&site, "configuration");
    assert!(code == 78 && said.contains("pushes nothing of what users accept"), "{said}");
    std::fs::write(site.path("tixing.toml"), &text).expect("written");

    // The console has another key of ours.
    register(&sandbox, json!({ "certificates.app": known("app_cert_pem"), "public_key": other_key() })).await;
    let (code, level, said) = doctor(&site, "coffee: credentials");
    assert!(code == 1 && level == "failed" && said.contains("the private key does not belong"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_not_the_gateways_is_named_whosever_it_is() {
    let sandbox = SandboxServer::start(1).await;
    register(&sandbox, json!({ "public_key": known("app_public_pem") })).await;
    let site = site(&sandbox, BY_KEY).await;
    for (key, name, code, words) in [
        (known("alipay_public_bare_base64"), "coffee: credentials", 1, "put the platform's own key"),
        (known("app_public_pem"), "configuration", 78, "public key"),
        ("not a key".to_owned(), "configuration", 78, "base64"),
    ] {
        std::fs::write(site.path("alipay.pub"), key).expect("written");
        let told = doctor(&site, name);
        assert!(told.0 == code && told.1 == "failed" && told.2.contains(words), "{told:?}");
    }
    let text = std::fs::read_to_string(site.path("tixing.toml")).expect("there");
    std::fs::write(site.path("alipay.pub"), known("alipay_public_bare_base64")).expect("written");
    std::fs::write(site.path("tixing.toml"), text.replace(&sandbox.url, "http://127.0.0.1:1")).expect("written");
    assert_eq!(
        (doctor(&site, "coffee: reach").1, doctor(&site, "coffee: credentials").1),
        ("failed".into(), "skipped".into())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_requests_of_other_clients_get_the_gateways_answers_and_changed_ones_are_refused() {
    let sandbox = SandboxServer::start(1).await;
    register(&sandbox, json!({ "public_key": known("app_public_pem") })).await;
    tixing::platform::transport::install_crypto();
    let http = reqwest::Client::new();
    let key = Material::read(&known("app_private_pkcs1_pem")).expect("a key");
    let Material::Private(key) = key else { panic!("a private key") };
    let ask = async |change: Change<'_>, sign: bool, in_query: bool| {
        let beijing = rfc3339(now() + 8 * 3_600_000)[..19].replace('T', " ");
        let content = json!({ "to_open_id": "074a", "user_template_id": TEMPLATE, "page": "pages/index?a=b",
            "data": "{\"keyword1\":{\"value\":\"x\"},\"keyword2\":{\"value\":\"y\"}}" });
        let mut pairs: Pairs = [
            ("app_id", APPID),
            ("method", "alipay.open.app.mini.templatemessage.send"),
            ("format", "JSON"),
            ("charset", "utf-8"),
            ("sign_type", "RSA2"),
            ("timestamp", &beijing),
            ("version", "1.0"),
            ("biz_content", &content.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
        let before = key.sign(&signature::text(&pairs, &[]));
        change(&mut pairs);
        let after = key.sign(&signature::text(&pairs, &[]));
        pairs.push(("sign".into(), if sign { after } else { before }));
        let all = form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
        // Some clients put everything into the query of a GET.
        let request = match in_query {
            true => http.get(format!("{}/gateway.do?{all}", sandbox.url)),
            false => http.post(format!("{}/gateway.do", sandbox.url)).body(all),
        };
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        let text = answer.text().await.expect("a whole answer");
        serde_json::from_str::<Value>(&text).expect("JSON")
    };
    let own = "alipay_open_app_mini_templatemessage_send_response";
    let set = |name: &'static str, value: &'static str| {
        move |pairs: &mut Pairs| {
            pairs.iter_mut().filter(|(known, _)| known == name).for_each(|(_, old)| *old = value.to_owned());
        }
    };
    sandbox.sandbox.world().tap(APPID, "074a", TEMPLATE, true);
    sandbox.sandbox.world().tap(APPID, "074a", TEMPLATE, true);
    for in_query in [false, true] {
        let answer = ask(&|_| (), true, in_query).await;
        assert!(answer[own]["code"] == "10000" && answer["sign"].is_string(), "{answer}");
    }
    let answer = ask(&|_| (), true, false).await;
    assert!(answer[own]["sub_code"] == "MSG_UNSUBSCRIBED" && answer["sign"].is_string(), "{answer}");
    let table: [(&str, Change<'_>, bool, &str); 8] = [
        (own, &set("biz_content", "{}"), false, "isv.invalid-signature"),
        (own, &set("app_id", "2021000000000009"), true, "isv.invalid-app-id"),
        (own, &set("sign_type", "RSA"), true, "isv.invalid-signature-type"),
        (own, &set("timestamp", "2026-03-01 09:00:00"), true, "isv.invalid-timestamp"),
        (own, &set("timestamp", "now"), true, "isv.invalid-timestamp"),
        (own, &set("charset", ""), true, "isv.missing-charset"),
        (own, &set("biz_content", "x"), true, "isv.illegal-json"),
        ("error_response", &set("method", "alipay.nothing"), true, "isv.invalid-method"),
    ];
    for (node, change, sign, sub_code) in table {
        let answer = ask(change, sign, false).await;
        assert_eq!(answer[node]["sub_code"], sub_code, "{answer}");
        assert!(answer["sign"].is_null(), "a gateway's refusal is not signed: {answer}");
    }
    assert_eq!(sandbox.sandbox.world().messages().len(), 2);
}

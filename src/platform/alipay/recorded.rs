//! The recorded requests and answers, and answers that somebody has changed on their way.

use super::{
    Alipay, NODE, QUERY_METHOD, QUERY_NODE,
    answer::{Reply, Signed},
    credentials::Credentials,
    key::PrivateKey,
    signature,
};
use crate::{
    domain::{
        Millis,
        consent::Ticket,
        options::Options,
        outcome::{Outcome, Reaction},
    },
    platform::{
        Account, Adapter, Answer, Auth, Send,
        adapter::Unproven,
        facts::{BadSecret, Secrets},
    },
};
use serde_json::Value;

/// 2026-03-01 09:00:00 in Beijing.
const THEN: Millis = 1_772_326_800_000;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../tests/vectors/alipay.json")).expect("JSON")
}

fn each(group: &str) -> Vec<Value> {
    vectors()[group].as_array().expect("a group").clone()
}

fn text<'a>(vector: &'a Value, name: &str) -> &'a str {
    vector[name].as_str().unwrap_or_default()
}

/// A text of the recorded keys or certificates.
fn known(name: &str) -> String {
    let all = vectors();
    let found = all["keys"][name].as_str().or(all["certs"][name].as_str());
    found.unwrap_or_else(|| panic!("there is a {name}")).to_owned()
}

fn secrets(pairs: &[(&'static str, String)]) -> Secrets {
    pairs.iter().map(|(key, text)| (*key, text.clone().into())).collect()
}

fn key_mode() -> Secrets {
    secrets(&[
        ("private_key", known("app_private_pkcs8_pem")),
        ("alipay_public_key", known("alipay_public_bare_base64")),
    ])
}

fn certificate_mode() -> Secrets {
    secrets(&[
        ("private_key", known("app_private_pkcs1_pem")),
        ("certificates.app", known("app_cert_pem")),
        ("certificates.alipay", known("alipay_cert_pem")),
        ("certificates.root", known("root_bundle_pem")),
    ])
}

/// The adapter of an account with these secrets, whose users are called by `user_id`.
fn adapter(secrets: &Secrets, user_id: &str) -> Result<Alipay, BadSecret> {
    let settings = Options::from([("user_id", user_id.to_owned())]);
    let base_url = "https://openapi.alipay.com";
    Alipay::new(&Account { base_url, appid: "2021000000000001", secrets, settings: &settings })
}

fn good(secrets: &Secrets) -> Alipay {
    adapter(secrets, "open_id").expect("good secrets")
}

fn answer(body: impl Into<Vec<u8>>) -> Answer {
    Answer { status: 200, body: body.into().into(), date: None, retry_after: None }
}

/// An answer with this text in its node, signed by Alipay.
fn signed(node: &str) -> String {
    let sign = alipay().sign(node);
    format!(r#"{{"{NODE}":{node},"sign":"{sign}"}}"#)
}

fn alipay() -> PrivateKey {
    private("alipay_private_pkcs8_pem")
}

fn private(name: &str) -> PrivateKey {
    use data_encoding::BASE64;
    let bare: String = known(name).lines().filter(|line| !line.starts_with('-')).collect();
    PrivateKey::read(&BASE64.decode(bare.as_bytes()).expect("base64")).expect("a key").expect("a good one")
}

/// What we would send for a recorded request.
fn ours(vector: &Value, secrets: &Secrets) -> crate::platform::Request {
    let content: Value = serde_json::from_str(text(&vector["params"], "biz_content")).expect("JSON");
    let data: Value = serde_json::from_str(text(&content, "data")).expect("JSON");
    let values = data.as_object().expect("an object").iter().map(|(key, field)| (key.clone(), field["value"].clone()));
    let data = Value::Object(values.collect()).to_string();
    let (user_id, openid) = match content["to_user_id"].as_str() {
        Some(id) => ("user_id", id),
        None => ("open_id", text(&content, "to_open_id")),
    };
    let send = Send {
        openid,
        template: text(&content, "user_template_id"),
        page: content["page"].as_str(),
        data: &data,
        options: &Options::new(),
        ticket: None,
    };
    adapter(secrets, user_id).expect("good secrets").build(&send, &Auth::Nothing, THEN)
}

#[test]
fn our_requests_are_the_recorded_ones_byte_for_byte() {
    let mut seen = 0;
    for vector in each("requests") {
        let id = text(&vector, "id");
        let secrets = if vector["params"]["app_cert_sn"].is_string() { certificate_mode() } else { key_mode() };
        let request = ours(&vector, &secrets);
        let wanted = format!("https://openapi.alipay.com/gateway.do?{}", text(&vector, "url_query"));
        assert_eq!(request.url, wanted, "{id}");
        assert_eq!(String::from_utf8_lossy(&request.body), text(&vector, "form_body"), "{id}");
        assert_eq!(
            request.headers,
            [("content-type".into(), "application/x-www-form-urlencoded;charset=utf-8".into())]
        );
        seen += 1;
    }
    assert_eq!(seen, 4);
}

#[test]
fn what_is_signed_of_recorded_parameters_is_what_was_recorded_and_nothing_else_verifies() {
    let public = Credentials::read(&account(&key_mode())).expect("good").private.public();
    for vector in each("requests") {
        let id = text(&vector, "id");
        let params = vector["params"].as_object().expect("parameters");
        let pairs: Vec<_> = params.iter().map(|(name, value)| (name.as_str(), value.as_str().expect("text"))).collect();
        let covered = signature::text(&pairs, &["sign"]);
        assert_eq!(covered, text(&vector, "string_to_sign"), "{id}");
        assert!(public.verifies(&covered, text(&vector, "sign")), "{id}");
    }
    for vector in each("negative_requests") {
        assert!(!public.verifies(text(&vector, "string_to_sign"), text(&vector, "sign")), "{}", text(&vector, "id"));
    }
}

fn account(secrets: &Secrets) -> Account<'_> {
    static NONE: Options = Options::new();
    Account { base_url: "https://openapi.alipay.com", appid: "2021000000000001", secrets, settings: &NONE }
}

#[test]
fn every_way_to_write_a_key_makes_the_same_signature() {
    let vector = &each("requests")[0];
    let pkcs1 = known("app_private_pkcs1_pem");
    let bare = |pem: &str| pem.lines().filter(|line| !line.starts_with('-')).collect::<String>();
    for private in [
        pkcs1.clone(),
        known("app_private_pkcs8_pem"),
        known("app_private_pkcs8_bare_base64"),
        bare(&pkcs1),
        format!("\u{feff}{}\r\n", bare(&pkcs1)),
        pkcs1.replace('\n', "\r\n"),
        pkcs1.replace('\n', " "),
    ] {
        for public in [known("alipay_public_pem"), known("alipay_public_bare_base64")] {
            let secrets = secrets(&[("private_key", private.clone()), ("alipay_public_key", public)]);
            let request = ours(vector, &secrets);
            assert!(request.url.ends_with(text(vector, "url_query")), "{private}");
        }
    }
}

#[test]
fn certificates_have_the_recorded_numbers() {
    let credentials = Credentials::read(&account(&certificate_mode())).expect("good");
    let numbers = credentials.numbers.expect("certificate mode");
    let all = vectors();
    assert_eq!(numbers.app, all["certs"]["app_cert_sn"]);
    assert_eq!(numbers.alipay, all["certs"]["alipay_cert_sn"]);
    assert_eq!(numbers.root, all["certs"]["alipay_root_cert_sn"], "the root that ECDSA signed does not count");
    assert_eq!(credentials.ends.len(), 2);
    assert!(credentials.ends.iter().all(|(_, at)| (2_000_000_000_000..2_100_000_000_000).contains(at)));
}

#[test]
fn a_secret_in_the_wrong_place_is_told_what_it_is_and_what_belongs_there() {
    let (private, own, theirs) = (known("app_private_pkcs8_pem"), known("app_public_pem"), known("alipay_public_pem"));
    let (app, alipay, root) = (known("app_cert_pem"), known("alipay_cert_pem"), known("root_bundle_pem"));
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----";
    let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----";
    let table: Vec<(&str, &str, &str)> = vec![
        ("private_key", &own, "this is a public key; the app's own private key"),
        ("private_key", &app, "this is a certificate; the app's own private key"),
        ("private_key", encrypted, "encrypted by a password"),
        ("private_key", old, "encrypted by a password"),
        ("private_key", "hunter2", "neither PEM nor base64"),
        ("private_key", "aHVudGVyMg==", "neither a key nor a certificate"),
        ("private_key", "", "neither PEM nor base64"),
        ("private_key", private.trim_end().trim_end_matches('-'), "has no end"),
        ("alipay_public_key", &own, "this is the app's own public key (应用公钥)"),
        ("alipay_public_key", &private, "this is a private key; Alipay's public key"),
        ("alipay_public_key", &alipay, "this is a certificate; Alipay's public key"),
        ("certificates.app", &alipay, "this certificate is not of private_key"),
        ("certificates.app", &theirs, "this is a public key; a certificate"),
        ("certificates.alipay", &app, "this is the app's own certificate"),
        ("certificates.alipay", &private, "this is a private key; a certificate"),
        ("certificates.root", &app, "none of these certificates is a root"),
        ("certificates.root", &own, "this is a public key; a certificate"),
    ];
    for (key, given, said) in table {
        let mode = if key.starts_with("certificates") { certificate_mode() } else { key_mode() };
        let wrong = secrets(&[(key, given.to_owned())]);
        let all: Secrets = mode.into_iter().chain(wrong).collect();
        let refused = adapter(&all, "open_id").err().unwrap_or_else(|| panic!("{key}: {said}"));
        assert_eq!(refused.key, key, "{said}");
        let why = refused.why.to_string();
        assert!(why.contains(said), "{key}: {why}");
        assert!(!why.contains("hunter2") && !why.contains("aHVudGVyMg"), "I9: {why}");
    }
    let ec_root = root.split_inclusive("-----END CERTIFICATE-----\n").nth(1).expect("the second").to_owned();
    let all: Secrets = certificate_mode().into_iter().chain(secrets(&[("certificates.root", ec_root)])).collect();
    assert!(adapter(&all, "open_id").is_err_and(|bad| bad.why.to_string().contains("signed with RSA")));
}

#[test]
fn recorded_answers_mean_what_was_recorded() {
    for vector in each("responses") {
        let (id, body) = (text(&vector, "id"), text(&vector, "body"));
        let key = Credentials::read(&account(&key_mode())).expect("good").alipay;
        let reply = Reply::read(body.as_bytes(), NODE, &key).expect(id);
        assert_eq!(reply.signed == Signed::Well, vector["verifies"] == true, "{id}");
        for adapter in [good(&key_mode()), good(&certificate_mode())] {
            let outcome = adapter.classify(&answer(body));
            let code = |wanted: &str| matches!(&outcome, Outcome::Answered { code, .. } if code == wanted);
            let right = match id {
                "ok" | "cert_mode_sn_before_sign" | "cert_mode_sn_first" | "outer_whitespace" => {
                    outcome == Outcome::Accepted { message_id: None }
                }
                "braces_and_quotes_in_text" => code("DATA_CONTENT_FORMAT_ERROR"),
                // Nothing but a code that nobody has listed.
                "escaped_slash_signed_raw" => code("40002"),
                "error_response_unsigned" => code("invalid-app-id"),
                "tampered_success" => matches!(outcome, Outcome::Unknown { .. }),
                other => panic!("what does {other} mean?"),
            };
            assert!(right, "{id}: {outcome:?}");
            assert_eq!(adapter.remark(&answer(body)), None, "{id}");
        }
    }
}

#[test]
fn an_answer_that_was_changed_at_any_byte_is_never_a_success_and_frees_nothing() {
    let (adapter, certified) = (good(&key_mode()), good(&certificate_mode()));
    let success = signed(r#"{"code":"10000","msg":"Success"}"#);
    let refusal = signed(r#"{"code":"40004","msg":"Business Failed","sub_code":"MSG_UNSUBSCRIBED","sub_msg":"x"}"#);
    assert_eq!(adapter.classify(&answer(success.clone())), Outcome::Accepted { message_id: None });
    assert!(matches!(adapter.classify(&answer(refusal.clone())), Outcome::Answered { reaction: Reaction::Deny, .. }));
    for body in [&success, &refusal] {
        for at in 0..body.len() {
            for change in [1_u8, 2, 4, 8, 16, 32, 64, 128, 0xff] {
                let mut bytes = body.clone().into_bytes();
                bytes[at] ^= change;
                for adapter in [&adapter, &certified] {
                    let told = || String::from_utf8_lossy(&bytes).into_owned();
                    match adapter.classify(&answer(bytes.clone())) {
                        Outcome::Unknown { .. } => {}
                        // Only a refusal whose signature is no longer called so: it is unsigned, and ends no consent.
                        Outcome::Answered { reaction: Reaction::Refuse, code, .. } if body == &refusal => {
                            assert_eq!(code, "unsigned", "{at}: {}", told());
                        }
                        other => panic!("byte {at} ^ {change}: {other:?}: {}", told()),
                    }
                }
            }
        }
        for cut in 0..body.len() {
            let outcome = adapter.classify(&answer(&body.as_bytes()[..cut]));
            assert!(matches!(outcome, Outcome::Unknown { .. }), "cut at {cut}: {outcome:?}");
        }
    }
}

#[test]
fn what_is_said_twice_or_beside_something_else_is_no_answer() {
    let adapter = good(&key_mode());
    let success = r#"{"code":"10000","msg":"Success"}"#;
    let sign = alipay().sign(success);
    let sign = format!(r#""sign":"{sign}""#);
    let twice = r#"{"code":"40004","code":"10000"}"#;
    for body in [
        format!(r#"{{"{NODE}":{success},"{NODE}":{success},{sign}}}"#),
        format!(r#"{{"{NODE}":{success},{sign},{sign}}}"#),
        format!(r#"{{"{NODE}":{success},"error_response":{success},{sign}}}"#),
        format!(r#"{{"error_response":{success},{sign}}}"#),
        format!(r#"{{"alipay_other_response":{success},{sign}}}"#),
        format!(r#"{{"{NODE}":{success},{sign}}}x"#),
        format!(r#"{{"{NODE}":{success}}}"#),
        format!(r#"{{"{NODE}":{success},"sign":""}}"#),
        format!(r#"{{"{NODE}":{success},"sign":null}}"#),
        format!(r#"{{"x":{{"{NODE}":{success},{sign}}}}}"#),
        format!(r#"[{{"{NODE}":{success},{sign}}}]"#),
        format!(r#"{{"{NODE}":"{}",{sign}}}"#, success.replace('"', "\\\"")),
        signed(twice),
        signed(r#"{"msg":"Success"}"#),
        signed(r#"{"code":null}"#),
        signed(r#"["10000"]"#),
        String::new(),
        "null".into(),
        "<html>".into(),
    ] {
        let outcome = adapter.classify(&answer(body.clone()));
        assert!(matches!(outcome, Outcome::Unknown { .. }), "{body}: {outcome:?}");
    }
    // Depth is bounded.
    let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    assert!(matches!(adapter.classify(&answer(format!(r#"{{"{NODE}":{deep}}}"#))), Outcome::Unknown { .. }));
}

#[test]
fn slashes_may_be_escaped_after_signing_or_before() {
    let adapter = good(&key_mode());
    let plain = r#"{"code":"40004","sub_code":"DATA_SENSITIVE","sub_msg":"see https://a.example/b"}"#;
    let escaped = plain.replace('/', "\\/");
    for (signed, sent) in [(plain, escaped.as_str()), (&escaped, plain), (plain, plain), (&escaped, &escaped)] {
        let body = format!(r#"{{"{NODE}":{sent},"sign":"{}"}}"#, alipay().sign(signed));
        let outcome = adapter.classify(&answer(body));
        assert!(matches!(&outcome, Outcome::Answered { code, .. } if code == "DATA_SENSITIVE"), "{outcome:?}");
    }
}

#[test]
fn a_certificate_issued_anew_with_the_same_key_is_taken_with_an_alarm_and_one_of_another_key_is_not() {
    let success = r#"{"code":"10000","msg":"Success"}"#;
    let body =
        |key: &PrivateKey| format!(r#"{{"{NODE}":{success},"alipay_cert_sn":"00ff","sign":"{}"}}"#, key.sign(success));
    let (certified, stranger) = (good(&certificate_mode()), Credentials::read(&account(&key_mode())).expect("good"));
    let same = answer(body(&alipay()));
    assert_eq!(certified.classify(&same), Outcome::Accepted { message_id: None });
    let alarm = certified.remark(&same).expect("an alarm").to_string();
    assert!(alarm.contains("00ff") && alarm.contains("24dea238727a887a6a33b80ea4083a41"), "{alarm}");
    let other = answer(body(&stranger.private));
    let Outcome::Unknown { cause } = certified.classify(&other) else { panic!("it fails closed") };
    assert!(cause.to_string().contains("another certificate") && certified.remark(&other).is_none(), "{cause}");
    // In key mode nobody minds the certificate's number.
    assert_eq!(good(&key_mode()).remark(&same), None);
}

#[test]
fn refusals_mean_what_the_table_says_and_unsigned_ones_end_no_consent() {
    let adapter = good(&key_mode());
    let node = |code: &str, sub: &str| format!(r#"{{"code":"{code}","msg":"m","sub_code":"{sub}","sub_msg":"s"}}"#);
    let pause = |outcome: &Outcome| matches!(outcome, Outcome::Answered { reaction, .. } if reaction.pause().is_some());
    for (code, sub, signed_so, unsigned_so) in [
        ("40004", "MSG_UNSUBSCRIBED", "MSG_UNSUBSCRIBED", "unsigned"),
        ("40004", "USER_TEMPLATE_ILLEGAL", "USER_TEMPLATE_ILLEGAL", "USER_TEMPLATE_ILLEGAL"),
        ("40002", "isv.invalid-signature", "invalid-signature", "invalid-signature"),
        ("40005", "isv.app-call-limited", "app-call-limited", "app-call-limited"),
        ("40004", "BRAND_NEW", "BRAND_NEW", "BRAND_NEW"),
        ("20000", "aop.unknow-error", "?", "?"),
        ("40004", "MSG_SEND_ERROR", "?", "?"),
    ] {
        let node = node(code, sub);
        let bodies = [signed(&node), format!(r#"{{"{NODE}":{node}}}"#)];
        for (body, wanted) in bodies.into_iter().zip([signed_so, unsigned_so]) {
            let outcome = adapter.classify(&answer(body));
            let found = match &outcome {
                Outcome::Answered { code, .. } => code.as_str(),
                Outcome::Unknown { .. } => "?",
                other => panic!("{other:?}"),
            };
            assert_eq!(found, wanted, "{code} {sub}");
            assert_eq!(pause(&outcome), ["isv.invalid-signature", "isv.app-call-limited"].contains(&sub), "{sub}");
        }
    }
    let unclear = adapter.remark(&answer(signed(&node("40004", "MSG_UNAUTHORIZED"))));
    assert!(unclear.is_some_and(|told| told.to_string().contains("MSG_UNAUTHORIZED")));
}

#[test]
fn a_ticket_is_named_keywords_are_in_their_order_and_the_gateway_is_written_once() {
    let secrets = key_mode();
    let mut values = serde_json::Map::new();
    for n in (1..=11).rev() {
        values.insert(format!("keyword{n}"), format!("v\"{n}").into());
    }
    let data = Value::Object(values).to_string();
    let ticket = Ticket { kind: "form".into(), id: "MTUwOTYzNzg4Nw==".into() };
    let send = Send {
        openid: "074x",
        template: "t",
        page: Some("pages/a?b=c d"),
        data: &data,
        options: &Options::new(),
        ticket: Some(&ticket),
    };
    let account = Account { base_url: "http://127.0.0.1:1/gateway.do", ..account(&secrets) };
    let request = Alipay::new(&account).expect("good").build(&send, &Auth::Nothing, THEN);
    assert!(request.url.starts_with("http://127.0.0.1:1/gateway.do?app_id="), "{}", request.url);
    let pairs: Vec<(String, String)> = form_urlencoded::parse(&request.body).into_owned().collect();
    let content: Value = serde_json::from_str(&pairs[0].1).expect("JSON");
    assert_eq!(content["form_id"], "MTUwOTYzNzg4Nw==");
    let keys: Vec<&str> = text(&content, "data").split('"').filter(|part| part.starts_with("keyword")).collect();
    assert_eq!(keys, (1..=11).map(|n| format!("keyword{n}")).collect::<Vec<_>>());
    let data: Value = serde_json::from_str(text(&content, "data")).expect("JSON");
    assert_eq!(data["keyword10"]["value"], "v\"10");
}

#[test]
fn a_question_that_changes_nothing_shows_whether_each_side_believes_the_other() {
    let app = good(&key_mode());
    let proofs = app.proofs().expect("there is a question");
    let url = proofs.request(THEN).url;
    let mut pairs = form_urlencoded::parse(url.split_once('?').expect("a query").1.as_bytes());
    assert!(pairs.any(|(name, value)| name == "method" && value == QUERY_METHOD), "{url}");
    let (theirs, another) = (alipay(), private("app_private_pkcs8_pem"));
    let node = |code: &str, sub_code: &str| format!(r#"{{"code":"{code}","msg":"M","sub_code":"{sub_code}"}}"#);
    let signed = |node: String, key: &PrivateKey| format!(r#"{{"{QUERY_NODE}":{node},"sign":"{}"}}"#, key.sign(&node));
    let bare = |name: &str, node: String| format!(r#"{{"{name}":{node}}}"#);
    let (unknown, refused) = (node("40004", "OPENID_INVALID"), node("40002", "isv.invalid-signature"));
    for (body, told) in [
        (signed(unknown.clone(), &theirs), "proven"),
        (signed(node("10000", ""), &theirs), "proven"),
        (signed(unknown.clone(), &another), "theirs"),
        (signed(refused.clone(), &another), "theirs"),
        (bare(QUERY_NODE, refused.clone()), "ours invalid-signature"),
        (bare("error_response", refused), "ours invalid-signature"),
        (bare(QUERY_NODE, node("40003", "")), "ours 40003"),
        (bare(QUERY_NODE, unknown.clone()), "untold"),
        (bare(QUERY_NODE, node("10000", "")), "untold"),
        (bare(QUERY_NODE, node("40006", "isv.insufficient-isv-permissions")), "untold"),
        (signed(node("20000", "isp.unknow-error"), &theirs), "untold"),
        // The answer to another question.
        (bare(NODE, unknown), "untold"),
        ("<html>".into(), "untold"),
    ] {
        let read = match proofs.read(&answer(body.clone())) {
            Ok(()) => "proven".to_owned(),
            Err(Unproven::Ours { code, .. }) => format!("ours {code}"),
            Err(Unproven::Theirs(_)) => "theirs".into(),
            Err(Unproven::Untold(_)) => "untold".into(),
        };
        assert_eq!(read, told, "{body}");
    }
    let gateway = Answer { status: 502, ..answer("") };
    assert!(matches!(proofs.read(&gateway), Err(Unproven::Untold(_))));
}

//! The sandbox answers like WeChat: every refusal by its cause, in the documented shape.

use crate::harness::{EVENT, apps};
use axum::{body::Body, http::Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tixing::{
    clock::ManualClock,
    sandbox::{Faults, Sandbox},
};
use tower::ServiceExt;

const APPID: &str = "wx0123456789abcdef";

async fn post(sandbox: &Sandbox, path: &str, body: &str) -> Value {
    let request = Request::post(path).header("content-length", body.len()).header("content-type", "application/json");
    let request = request.body(Body::from(body.to_owned())).expect("a request");
    let response = sandbox.router().oneshot(request).await.expect("infallible");
    let bytes = response.into_body().collect().await.expect("a body").to_bytes();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

fn token_request(change: impl Fn(&mut Value)) -> String {
    let mut body = json!({"grant_type": "client_credential", "appid": APPID, "secret": "app-secret"});
    change(&mut body);
    body.to_string()
}

async fn get(sandbox: &Sandbox, path: &str) -> Value {
    let request = Request::get(path).body(Body::empty()).expect("a request");
    let response = sandbox.router().oneshot(request).await.expect("infallible");
    let bytes = response.into_body().collect().await.expect("a body").to_bytes();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

#[tokio::test]
async fn templates_are_changed_by_order_and_listed_as_the_platform_does() {
    let sandbox = world();
    let templates = json!([{ "id": EVENT, "title": "活动", "kind": "one-time", "fields": { "enum_string3": "状态" },
                             "choices": { "enum_string3": ["报名成功"] } }]);
    let change = |appid: &str| json!({ "appid": appid, "templates": templates }).to_string();
    assert_eq!(post(&sandbox, "/_sandbox/templates", &change("wx-nobody")).await, Value::Null);
    assert_eq!(post(&sandbox, "/_sandbox/templates", &change(APPID)).await["ok"], true);
    let token = post(&sandbox, "/cgi-bin/stable_token", &token_request(|_| ())).await;
    let token = token["access_token"].as_str().expect("a token").to_owned();
    let path = format!("/wxaapi/newtmpl/gettemplate?access_token={token}");
    let listed = get(&sandbox, &path).await["data"][0].clone();
    assert_eq!((listed["content"].as_str(), listed["type"].as_i64()), (Some("状态:{{enum_string3.DATA}}\n"), Some(2)));
    let values = json!([{ "keywordCode": "enum_string3.DATA", "enumValueList": ["报名成功"] }]);
    assert_eq!(listed["keywordEnumValueList"], values);
    sandbox.world().faults.lists_left = Some(0);
    assert_eq!(get(&sandbox, &path).await["errcode"], 45009);
}

fn world() -> Sandbox {
    let sandbox = Sandbox::new(ManualClock::at(crate::harness::START), 1);
    for app in apps("http://sandbox") {
        sandbox.world().add_configured(&app);
    }
    sandbox
}

#[tokio::test]
async fn a_token_is_refused_by_its_cause_and_the_same_until_it_nears_its_end() {
    let sandbox = world();
    let path = "/cgi-bin/stable_token";
    let first = post(&sandbox, path, &token_request(|_| {})).await;
    assert_eq!(first["expires_in"], 7_200);
    assert_eq!(post(&sandbox, path, &token_request(|_| {})).await["access_token"], first["access_token"]);
    let forced = post(&sandbox, path, &token_request(|b| b["force_refresh"] = true.into())).await;
    assert_ne!(forced["access_token"], first["access_token"]);
    let table: [(String, i64); 4] = [
        (token_request(|b| b["appid"] = "wx0".into()), 40013),
        (token_request(|b| b["secret"] = "no".into()), 40125),
        (token_request(|b| b["grant_type"] = "x".into()), 40002),
        ("{".into(), 47001),
    ];
    for (body, code) in table {
        assert_eq!(post(&sandbox, path, &body).await["errcode"], code, "{body}");
    }
    sandbox.world().faults.ip_blocked = true;
    let blocked = post(&sandbox, path, &token_request(|_| {})).await;
    assert_eq!(blocked["errcode"], 40164);
    assert!(
        blocked["errmsg"].as_str().is_some_and(|text| text.contains("203.0.113.9") && text.contains(" rid: ")),
        "{blocked}"
    );
}

#[tokio::test]
async fn a_send_is_refused_by_its_cause_and_spends_only_when_accepted() {
    let good = json!({"touser": "o1", "template_id": EVENT, "page": "pages/event",
        "data": {"thing1": {"value": "周三读书会"}, "time2": {"value": "10:00"}}});
    let with = |pointer: &str, value: Value| {
        let mut body = good.clone();
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
        body.pointer_mut(parent).expect("there")[key] = value;
        body.to_string()
    };
    let faults = |change: &dyn Fn(&mut Faults)| {
        let mut faults = Faults::default();
        change(&mut faults);
        faults
    };
    let plain = Faults::default();
    let table: Vec<(String, Faults, i64)> = vec![
        (with("/touser", "".into()), plain.clone(), 40003),
        (with("/template_id", "Tq0".into()), plain.clone(), 40037),
        (with("/data/thing1", json!({"value": ""})), plain.clone(), 47003),
        (with("/data/thing1", json!({"value": "一二三四五六七八九十一二三四五六七八九十一"})), plain.clone(), 47003),
        (with("/touser", "o2".into()), plain.clone(), 43101),
        (String::new(), plain.clone(), 44002),
        ("touser=o1".into(), plain.clone(), 47001),
        (good.to_string(), faults(&|f| f.busy_rate = 1.0), -1),
        (good.to_string(), faults(&|f| f.quota_left = Some(0)), 45009),
        (good.to_string(), faults(&|f| f.minute_left = Some(0)), 45011),
        (good.to_string(), faults(&|f| f.account_code = Some(48001)), 48001),
        (good.to_string(), faults(&|f| f.account_code = Some(43107)), 43107),
        (good.to_string(), faults(&|f| f.token_revoked = true), 40001),
        (good.to_string(), plain.clone(), 0),
        (good.to_string(), plain.clone(), 43101),
    ];
    let sandbox = world();
    sandbox.world().tap(APPID, "o1", EVENT, true);
    for (body, faults, code) in table {
        let token = post(&sandbox, "/cgi-bin/stable_token", &token_request(|_| {})).await;
        sandbox.world().faults = faults;
        let path = format!(
            "/cgi-bin/message/subscribe/send?access_token={}",
            token["access_token"].as_str().expect("a token")
        );
        let answer = post(&sandbox, &path, &body).await;
        assert_eq!(answer["errcode"], code, "{body}: {answer}");
    }
    assert_eq!(post(&sandbox, "/cgi-bin/message/subscribe/send", &good.to_string()).await["errcode"], 41001);
    let ledger = sandbox.world().ledger();
    assert_eq!((ledger[0].granted, ledger[0].used), (1, 1));
    assert_eq!(sandbox.world().messages().len(), 1);
}

#[tokio::test]
async fn an_order_that_means_nothing_is_refused_with_what_there_is() {
    let sandbox = world();
    let popup = |more: Value| {
        let mut order = json!({"appid": APPID, "openid": "o1", "results": {EVENT: "accept"}});
        more.as_object().into_iter().flatten().for_each(|(key, value)| order[key] = value.clone());
        ("popup", order)
    };
    let settings = |more: Value| {
        let mut order = json!({"appid": APPID, "openid": "o1", "on": false});
        more.as_object().into_iter().flatten().for_each(|(key, value)| order[key] = value.clone());
        ("settings", order)
    };
    for ((path, body), status, said) in [
        (popup(json!({})), 200, ""),
        (popup(json!({"subscribeId": "x"})), 422, "subscribe_id"),
        (popup(json!({"zzz": 1})), 422, "zzz"),
        (popup(json!({"results": {"ghost": "accept"}})), 422, EVENT),
        (popup(json!({"results": {EVENT: "wat"}})), 422, "accept"),
        (popup(json!({"appid": "wxghost"})), 404, "no such appid"),
        (settings(json!({})), 200, ""),
        (settings(json!({"zzz": 1})), 422, "zzz"),
        (settings(json!({"template": "ghost"})), 422, EVENT),
        (settings(json!({"appid": "wxghost"})), 404, "no such appid"),
        (("templates", json!({"appid": APPID, "templates": [], "zzz": 1})), 422, "zzz"),
    ] {
        let request = Request::post(format!("/_sandbox/{path}")).header("content-type", "application/json");
        let request = request.body(Body::from(body.to_string())).expect("a request");
        let answer = sandbox.router().oneshot(request).await.expect("infallible");
        let found = answer.status().as_u16();
        let text = answer.into_body().collect().await.expect("a body").to_bytes();
        let text = String::from_utf8_lossy(&text);
        assert!(found == status && text.contains(said), "{path} {body}: {found} {text}");
    }
}

#[tokio::test]
async fn the_users_settings_count() {
    let sandbox = world();
    let body =
        json!({"touser": "o1", "template_id": EVENT, "data": {"thing1": {"value": "x"}, "time2": {"value": "10:00"}}})
            .to_string();
    let send = async || {
        let token = post(&sandbox, "/cgi-bin/stable_token", &token_request(|_| {})).await;
        let path = format!(
            "/cgi-bin/message/subscribe/send?access_token={}",
            token["access_token"].as_str().expect("a token")
        );
        post(&sandbox, &path, &body).await["errcode"].as_i64()
    };
    let popup = json!({"appid": APPID, "openid": "o1", "results": {EVENT: "accept"}}).to_string();
    let settings = |on: bool| json!({"appid": APPID, "openid": "o1", "template": EVENT, "on": on}).to_string();
    post(&sandbox, "/_sandbox/popup", &popup).await;
    post(&sandbox, "/_sandbox/settings", &settings(false)).await;
    assert_eq!(send().await, Some(43101), "turned off");
    post(&sandbox, "/_sandbox/settings", &settings(true)).await;
    assert_eq!(send().await, Some(43101), "what was granted before does not revive");
    post(&sandbox, "/_sandbox/popup", &popup).await;
    assert_eq!(send().await, Some(0));
}

//! How Douyin is asked: `stable_client_token`, `notify_user` and `query_app_tpl` of V2.
//!
//! Source: `generate-stable-client-token` and `notify-user-v2`, official, copies of 2026; requests that other people's clients have made
//! (`tests/vectors/platforms.json`). What `query_app_tpl` answers is by a third party's client and by the official page of its sister
//! `query_created_tpl_list` (2024).

use super::{FACTS, NOTIFY_TYPE, errors};
use crate::{
    domain::{Millis, SECOND, outcome::Outcome, template::Listed},
    platform::{
        Account, Adapter, Answer, Auth, Granted, Request, Send,
        adapter::{Listings, Tokens},
        answer::{number, object},
    },
    words::say,
};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::{Value, json, value::RawValue};

/// Path of the token call. As all of them it ends with a slash: without one the answer is a redirect.
const TOKEN_PATH: &str = "/oauth/stable_client_token/";
/// Path of the send call.
const SEND_PATH: &str = "/api/notification/v2/subscription/notify_user/";
/// Path of the call that lists templates.
const TEMPLATES_PATH: &str = "/api/notification/v2/subscription/query_app_tpl/";
/// Templates on one page of that list, the most that it gives.
const PAGE_SIZE: usize = 50;

/// The adapter of one mini-program.
pub struct Douyin {
    base_url: String,
    client_key: String,
    secret: SecretString,
    /// How a user is told of a message, in Douyin's numbers; empty where Douyin chooses.
    notify_type: &'static [u8],
}

impl Douyin {
    /// The adapter of this account.
    pub fn new(account: &Account<'_>) -> Self {
        let secret = account.secret("secret");
        let notify_type: &'static [u8] = match NOTIFY_TYPE.of(account.settings) {
            "banner" => &[1],
            "message" => &[2],
            "both" => &[1, 2],
            _ => &[],
        };
        Self { base_url: account.base_url.to_owned(), client_key: account.appid.to_owned(), secret, notify_type }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base_url)
    }
}

#[derive(Serialize)]
struct Message<'a> {
    // The template's id, and not a message's.
    msg_id: &'a str,
    open_id: &'a str,
    data: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<&'a str>,
    #[serde(skip_serializing_if = "<[u8]>::is_empty")]
    notify_type: &'a [u8],
}

impl Adapter for Douyin {
    fn build(&self, send: &Send<'_>, auth: &Auth, _now: Millis) -> Request {
        // Stored by us as an object of strings, which is the form that is asked for; an unreadable one is refused by the platform.
        let data = serde_json::from_str(send.data).unwrap_or_else(|_| serde_json::from_str("{}").expect("an object"));
        let page = send.page.map(|page| page.trim_start_matches('/'));
        let message =
            Message { msg_id: send.template, open_id: send.openid, data, page, notify_type: self.notify_type };
        let body = serde_json::to_vec(&message).expect("texts serialise");
        signed(Request::json(self.url(SEND_PATH), body), auth)
    }

    fn classify(&self, answer: &Answer) -> Outcome {
        match object(answer).and_then(succeeded) {
            // `log_id` is for the platform's support only: no push names it.
            Ok(_) => Outcome::Accepted { message_id: None },
            Err(outcome) => outcome,
        }
    }

    fn tokens(&self) -> Option<&dyn Tokens> {
        Some(self)
    }

    fn listings(&self) -> Option<&dyn Listings> {
        Some(self)
    }
}

impl Tokens for Douyin {
    /// Within two hours the same token is given out whoever asks, and nothing can force another.
    fn request(&self, _force: bool) -> Request {
        let body = json!({
            "client_key": self.client_key,
            "client_secret": self.secret.expose_secret(),
            "grant_type": "client_credential",
        });
        Request::json(self.url(TOKEN_PATH), body.to_string())
    }

    fn read(&self, answer: &Answer) -> Result<Granted, Outcome> {
        let value = succeeded(object(answer)?)?;
        let data = &value["data"];
        match (data["access_token"].as_str(), number(&data["expires_in"])) {
            // It travels in a header.
            (Some(token), Some(seconds)) if !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic()) => {
                Ok(Granted { token: token.to_owned().into(), lives: seconds.clamp(0, 86_400) * SECOND })
            }
            _ => Err(Outcome::Unknown { cause: say!("answer_without_token") }),
        }
    }
}

impl Listings for Douyin {
    fn request(&self, auth: &Auth, _now: Millis) -> Request {
        let url = format!("{}?page_num=1&page_size={PAGE_SIZE}", self.url(TEMPLATES_PATH));
        let mut request = signed(Request::get(url), auth);
        request.headers.push(("content-type".into(), "application/json".into()));
        request
    }

    /// One page. Of an account with more nothing is believed: the others would seem to be gone.
    fn read(&self, answer: &Answer) -> Result<Vec<Listed>, Outcome> {
        let value = succeeded(object(answer)?)?;
        let data = &value["data"];
        let listed = data["template_list"].as_array().ok_or(Outcome::Unknown { cause: say!("answer_without_list") })?;
        let all = number(&data["total_count"]).and_then(|all| usize::try_from(all).ok()).unwrap_or(listed.len());
        if all > listed.len() {
            return Err(Outcome::Unknown { cause: say!("list_of_some_only", found = listed.len(), all = all) });
        }
        Ok(listed.iter().filter_map(template).collect())
    }
}

fn signed(mut request: Request, auth: &Auth) -> Request {
    if let Auth::Token(token) = auth {
        request.headers.push(("access-token".into(), token.expose_secret().to_owned().into()));
    }
    request
}

/// One entry of the list: a keyword is its own key and label. Which number of `classification` is which kind is nowhere written, so the
/// kind is not told.
fn template(entry: &Value) -> Option<Listed> {
    let keywords = entry["keyword_list"].as_array().into_iter().flatten();
    let field = |keyword: &Value| keyword.as_str().map(|keyword| (keyword.to_owned(), keyword.to_owned()));
    Some(Listed {
        code: entry["msg_id"].as_str()?.to_owned(),
        title: entry["title"].as_str().unwrap_or_default().to_owned(),
        kind: None,
        fields: keywords.filter_map(field).collect(),
        choices: Default::default(),
    })
}

/// The body, if it is a success. The code stands in `err_no`, or, as a gateway fails, in `data` or `extra`; it is a number or its text.
fn succeeded(value: Value) -> Result<Value, Outcome> {
    let places = [&value["err_no"], &value["data"]["error_code"], &value["extra"]["error_code"]];
    let codes: Option<Vec<i64>> = places.into_iter().filter(|code| !code.is_null()).map(number).collect();
    match codes.as_deref() {
        Some([0, others @ ..]) if others.iter().all(|code| *code == 0) => Ok(value),
        Some([code, ..]) if *code != 0 => Err(answered(*code, &value)),
        // No code at all, one that is no number, or two that contradict each other.
        _ => Err(Outcome::Unknown { cause: say!("answer_says_nothing") }),
    }
}

fn answered(code: i64, value: &Value) -> Outcome {
    let code = code.to_string();
    let places = [&value["err_msg"], &value["err_tips"], &value["data"]["description"], &value["extra"]["description"]];
    let text = places.into_iter().filter_map(Value::as_str).find(|text| !text.is_empty()).unwrap_or_default();
    // What the platform's support asks for.
    let log = value["log_id"].as_str().or(value["extra"]["logid"].as_str()).filter(|log| !log.is_empty());
    let text: String = text.chars().take(200).collect();
    let text = log.map_or_else(|| text.clone(), |log| format!("{text} (log_id {log})"));
    FACTS.answered(code, &text, errors::UNKNOWN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::options::Options,
        platform::{Method, facts::Secrets},
    };

    /// The requests that other people's clients have made, by their names.
    fn recorded(id: &str) -> Vec<Value> {
        let all: Value = serde_json::from_str(include_str!("../../../tests/vectors/platforms.json")).expect("JSON");
        let requests = all["golden_requests"].as_array().expect("a group").iter();
        requests.filter(|request| request["id"] == id).cloned().collect()
    }

    fn douyin() -> Douyin {
        with(&Options::new())
    }

    fn with(settings: &Options) -> Douyin {
        let secrets: Secrets = [("secret", "demo-secret".into())].into();
        Douyin::new(&Account {
            base_url: "https://open.douyin.com",
            appid: "ttdemo0000000001",
            secrets: &secrets,
            settings,
        })
    }

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, body: body.to_owned().into(), date: None, retry_after: None }
    }

    fn text(value: &Value, name: &str) -> String {
        value[name].as_str().unwrap_or_default().to_owned()
    }

    /// The path, the headers that matter and what the body means.
    fn essence(request: &Request) -> (String, Vec<(String, String)>, Value) {
        let path = request.url.strip_prefix("https://open.douyin.com").expect("the host").to_owned();
        let headers = request.headers.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        let mut headers: Vec<_> = headers.collect();
        headers.sort();
        (path, headers, serde_json::from_slice(&request.body).expect("JSON"))
    }

    fn recorded_essence(request: &Value) -> (String, Vec<(String, String)>, Value) {
        assert_eq!(request["method"], "POST");
        let matter = ["access-token", "content-type"];
        let headers = request["headers"].as_object().into_iter().flatten();
        let headers = headers.filter(|(name, _)| matter.contains(&name.as_str()));
        let mut headers: Vec<_> =
            headers.map(|(name, value)| (name.clone(), value.as_str().expect("text").to_owned())).collect();
        headers.sort();
        (text(request, "path"), headers, serde_json::from_str(&text(request, "body")).expect("JSON"))
    }

    #[test]
    fn a_send_equals_the_recorded_one() {
        let data = r#"{"提醒事项":"体检提醒","时间":"2026-03-01 09:00"}"#;
        let send = Send {
            openid: "_000demoOpenId",
            template: "MSG_demo_0001",
            page: Some("/pages/index?id=42"),
            data,
            options: &Options::new(),
            ticket: None,
        };
        let recorded = recorded("douyin_send_with_token_fetch");
        let request = douyin().build(&send, &Auth::Token("clt.demo-token".into()), 0);
        assert_eq!(request.method, Method::Post);
        assert_eq!(essence(&request), recorded_essence(&recorded[1]));
        let without = douyin().build(&Send { page: None, ..send }, &Auth::Token("clt.demo-token".into()), 0);
        assert!(essence(&without).2.get("page").is_none());
        for (said, sent) in [("banner", json!([1])), ("message", json!([2])), ("both", json!([1, 2]))] {
            let douyin = with(&[("notify_type", said.to_owned())].into());
            let (_, _, body) = essence(&douyin.build(&send, &Auth::Token("clt.demo-token".into()), 0));
            assert_eq!(body["notify_type"], sent, "{said}");
        }
    }

    #[test]
    fn a_token_is_asked_for_as_recorded_but_from_the_stable_endpoint() {
        let request = Tokens::request(&douyin(), false);
        let (path, headers, body) = essence(&request);
        let others = recorded("douyin_send_with_token_fetch")[0].clone();
        let (other_path, ..) = recorded_essence(&others);
        assert_eq!((path.as_str(), other_path.as_str()), ("/oauth/stable_client_token/", "/oauth/client_token/"));
        for other in [others, recorded("opendy_oauthClientToken")[0].clone()] {
            let (_, other_headers, other_body) = recorded_essence(&other);
            assert_eq!((&headers, &body), (&other_headers, &other_body));
        }
        assert!(Tokens::request(&douyin(), true) == request, "nothing can be forced");
    }

    #[test]
    fn every_answer_has_its_outcome() {
        let table = [
            (200, r#"{"err_no":0,"err_msg":"","log_id":"2026"}"#, "accepted"),
            (200, r#"{"err_no":"0","err_tips":""}"#, "accepted"),
            (200, r#"{"err_no":0,"data":{"error_code":0},"extra":{"error_code":0}}"#, "accepted"),
            (200, r#"{"data":{"error_code":0,"description":""},"extra":{"error_code":0,"logid":"2026"}}"#, "accepted"),
            (200, r#"{"err_no":28014043,"err_msg":"no"}"#, "denied"),
            (200, r#"{"err_no":"28014041"}"#, "denied"),
            (200, r#"{"err_no":28014038}"#, "refused"),
            (200, r#"{"err_no":28014999,"err_msg":"a new one"}"#, "refused"),
            (200, r#"{"err_no":28001038,"err_msg":"a sample's"}"#, "refused"),
            (200, r#"{"err_no":28001003}"#, "token"),
            (200, r#"{"data":{"error_code":28001008,"description":"expired"}}"#, "token"),
            (200, r#"{"extra":{"error_code":"28001005"}}"#, "busy"),
            (200, r#"{"err_no":1010,"err_tips":"too often"}"#, "busy"),
            (200, r#"{"err_no":28003018}"#, "held"),
            (200, r#"{"err_no":28001016}"#, "held"),
            (200, r#"{"err_no":0,"data":{"error_code":28001005}}"#, "unknown"),
            (200, r#"{"err_no":"no"}"#, "unknown"),
            (200, r#"{"err_no":{}}"#, "unknown"),
            (200, r#"{"data":[]}"#, "unknown"),
            (200, "{}", "unknown"),
            (200, "", "unknown"),
            (200, "<html>busy</html>", "unknown"),
            (200, "{\"err_no\":0", "unknown"),
            (502, "<html>", "unknown"),
            (302, "", "held"),
            (404, "", "busy"),
        ];
        for (status, body, label) in table {
            assert_eq!(douyin().classify(&answer(status, body)).label(), label, "{status} {body}");
        }
        let failed = r#"{"data":{"error_code":28001005,"description":"busy"},"extra":{"logid":"2026"}}"#;
        let Outcome::Answered { code, text, .. } = douyin().classify(&answer(200, failed)) else { panic!() };
        assert_eq!((code.as_str(), text.as_str()), ("28001005", "busy (log_id 2026)"));
    }

    #[test]
    fn a_token_answer_is_read_and_its_errors_too() {
        let good = r#"{"data":{"access_token":"clt.x","description":"","error_code":0,"expires_in":7200},"message":"success"}"#;
        let good = Tokens::read(&douyin(), &answer(200, good)).expect("a token");
        assert_eq!((good.token.expose_secret(), good.lives), ("clt.x", 7_200_000));
        let refused = |code: i64| {
            let data = json!({ "captcha": "", "desc_url": "", "description": "no", "error_code": code });
            json!({ "data": data, "message": "error" }).to_string()
        };
        let table = [
            (refused(10_002), "held"),
            (refused(10_003), "held"),
            (refused(10_013), "held"),
            (refused(10_020), "held"),
            (refused(0), "unknown"),
            (r#"{"data":{"access_token":"","error_code":0,"expires_in":7200}}"#.into(), "unknown"),
            (r#"{"data":{"access_token":"a\nb","error_code":0,"expires_in":7200}}"#.into(), "unknown"),
            ("nope".into(), "unknown"),
        ];
        for (body, label) in table {
            assert_eq!(Tokens::read(&douyin(), &answer(200, &body)).expect_err(&body).label(), label, "{body}");
        }
    }

    #[test]
    fn the_keywords_of_a_listed_template_are_its_fields() {
        let request = Listings::request(&douyin(), &Auth::Token("clt.x".into()), 0);
        assert_eq!(
            request.url,
            "https://open.douyin.com/api/notification/v2/subscription/query_app_tpl/?page_num=1&page_size=50"
        );
        assert!(request.headers.contains(&("access-token".into(), "clt.x".into())));
        let body = |total: u32| {
            let one = json!({ "msg_id": "MSG1", "template_id": 1, "title": "体检提醒", "classification": 1,
                "host_list": ["douyin"], "keyword_list": ["提醒事项", "时间"] });
            json!({ "err_no": 0, "err_msg": "", "data": { "total_count": total, "template_list": [one, { "title": "no id" }] } })
                .to_string()
        };
        let listed = Listings::read(&douyin(), &answer(200, &body(2))).expect("a list");
        let [one] = &listed[..] else { panic!("{listed:?}") };
        assert_eq!((one.code.as_str(), one.title.as_str(), one.kind), ("MSG1", "体检提醒", None));
        assert_eq!(one.fields.keys().collect::<Vec<_>>(), ["提醒事项", "时间"]);
        let some = Listings::read(&douyin(), &answer(200, &body(51))).expect_err("there are more");
        assert!(matches!(some, Outcome::Unknown { cause } if cause.to_string().contains("51")));
        for body in [r#"{"err_no":0}"#, r#"{"err_no":0,"data":{}}"#, r#"{"err_no":28001003}"#] {
            assert!(Listings::read(&douyin(), &answer(200, body)).is_err(), "{body}");
        }
    }
}

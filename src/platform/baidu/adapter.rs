//! How Baidu is asked: `oauth/2.0/token`, and two ways to send. A subscription is paid for by the id that was made before its dialog
//! (`message/subscribe/send`), a form or an order by its own (`template/send`). The token goes in the query, and the rest in the form.
//!
//! Source: `sendTemplateMessage` (official, 2020), the manual of the subscribe send (official, 2021-03), Baidu's Go client of 2023-03.

use super::{FACTS, FORM, ORDER, ORDER_USER, PAYMENT, errors};
use crate::{
    domain::{DAY, Millis, SECOND, consent::Ticket, outcome::Outcome},
    platform::{
        Account, Adapter, Answer, Auth, Granted, Request, Send,
        adapter::Tokens,
        answer::{number, object, text_or_number},
        values::Values,
    },
    words::say,
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

/// Path of the token call.
pub const TOKEN_PATH: &str = "/oauth/2.0/token";
/// Path of the send that a subscription pays for.
pub const SUBSCRIBE_PATH: &str = "/rest/2.0/smartapp/template/message/subscribe/send";
/// Path of the send that a form or an order pays for.
pub const TEMPLATE_PATH: &str = "/rest/2.0/smartapp/template/send";

/// The longest that a token lives, whatever `expires_in` says: the text says a month, and its example a day.
const TOKEN_LIVES: Millis = 30 * DAY;

/// From here on a code is one of the business, and below one of the gateway.
const BUSINESS: i64 = 1_000;

/// The adapter of one program.
pub struct Baidu {
    base_url: String,
    app_key: String,
    secret: SecretString,
    /// Whether whoever pays is logged in, whatever an order's number ends in.
    payers_logged_in: bool,
}

impl Baidu {
    /// The adapter of this account.
    pub fn new(account: &Account<'_>) -> Self {
        Self {
            base_url: account.base_url.to_owned(),
            app_key: account.appid.to_owned(),
            secret: account.secret("secret"),
            payers_logged_in: ORDER_USER.of(account.settings) == "open_id",
        }
    }

    /// The field that names the user of a scene: a guest is known by the device's id (`swan_id`), and by the open id who was logged in. The
    /// scene's id tells by its last character, 0 or 1; what it means of an order is [`ORDER_USER`]'s.
    fn user_field(&self, scene: &Ticket) -> &'static str {
        let is_known = self.payers_logged_in && scene.kind != FORM.word;
        if scene.id.ends_with('0') && !is_known { "touser" } else { "touser_openId" }
    }

    fn url(&self, path: &str, auth: &Auth) -> String {
        let token = match auth {
            Auth::Token(token) => token.expose_secret(),
            Auth::Nothing => "",
        };
        let token: String = form_urlencoded::byte_serialize(token.as_bytes()).collect();
        format!("{}{path}?access_token={token}", self.base_url)
    }
}

/// How `template/send` calls what a ticket comes from; `None` for a subscription.
fn scene_type(ticket: &Ticket) -> Option<&'static str> {
    let types = [(FORM.word, "1"), (PAYMENT.word, "2"), (ORDER.word, "3")];
    types.iter().find(|(kind, _)| *kind == ticket.kind).map(|(_, scene_type)| *scene_type)
}

impl Adapter for Baidu {
    fn build(&self, send: &Send<'_>, auth: &Auth, _now: Millis) -> Request {
        let data = serde_json::to_string(&Values::of(send.data)).expect("texts serialise");
        let page = send.page.map(|page| ("page", page.trim_start_matches('/')));
        let message = [("template_id", send.template), ("data", &*data)];
        let scene = send.ticket.and_then(|ticket| Some((ticket, scene_type(ticket)?)));
        let (path, paid_by) = match scene {
            Some((scene, kind)) => {
                let user = (self.user_field(scene), send.openid);
                (TEMPLATE_PATH, vec![user, ("scene_id", &scene.id), ("scene_type", kind)])
            }
            // Without a ticket the platform answers that one is missing.
            None => {
                let id = send.ticket.map_or("", |ticket| &ticket.id);
                (SUBSCRIBE_PATH, vec![("touser_openId", send.openid), ("subscribe_id", id)])
            }
        };
        let pairs: Vec<(&str, &str)> = message.into_iter().chain(paid_by).chain(page).collect();
        Request::form(self.url(path, auth), &pairs)
    }

    fn classify(&self, answer: &Answer) -> Outcome {
        let value = match object(answer) {
            Ok(value) => value,
            Err(outcome) => return outcome,
        };
        if let Some(refused) = by_gateway(&value) {
            return refused;
        }
        match number(&value["errno"]) {
            Some(0) => Outcome::Accepted { message_id: text_or_number(&value["data"]["msg_key"]) },
            // A small one would be mistaken for one of the gateway's.
            Some(code) => {
                let code = if code < BUSINESS { format!("errno_{code}") } else { code.to_string() };
                FACTS.answered(code, value["msg"].as_str().unwrap_or_default(), errors::UNKNOWN)
            }
            None => Outcome::Unknown { cause: say!("answer_says_nothing") },
        }
    }

    fn tokens(&self) -> Option<&dyn Tokens> {
        Some(self)
    }
}

/// The gateway's refusal, if the answer is one. The request has not reached what is behind it.
fn by_gateway(value: &Value) -> Option<Outcome> {
    let code = number(&value["error_code"]).filter(|code| *code != 0)?;
    let code = if code < BUSINESS { code.to_string() } else { format!("error_code_{code}") };
    Some(FACTS.answered(code, value["error_msg"].as_str().unwrap_or_default(), errors::UNKNOWN))
}

impl Tokens for Baidu {
    /// As a form, so that the secret stands in no log of addresses. There is nothing to force: each call gives a new token.
    fn request(&self, _force: bool) -> Request {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", &*self.app_key),
            ("client_secret", self.secret.expose_secret()),
            ("scope", "smartapp_snsapi_base"),
        ];
        Request::form(format!("{}{TOKEN_PATH}", self.base_url), &form)
    }

    fn read(&self, answer: &Answer) -> Result<Granted, Outcome> {
        // OAuth refuses with HTTP 400 or 401 in many places.
        let value = match crate::platform::answer::body(answer) {
            Ok(value) if matches!(answer.status, 400 | 401) && value["error"].is_string() => value,
            _ => object(answer)?,
        };
        if let Some(error) = value["error"].as_str() {
            let text = value["error_description"].as_str().unwrap_or_default();
            return Err(FACTS.answered(error.to_owned(), text, errors::LONG));
        }
        if let Some(refused) = by_gateway(&value) {
            return Err(refused);
        }
        match (value["access_token"].as_str(), number(&value["expires_in"])) {
            (Some(token), Some(seconds)) if !token.is_empty() => {
                let lives = seconds.clamp(0, TOKEN_LIVES / SECOND) * SECOND;
                Ok(Granted { token: token.to_owned().into(), lives })
            }
            _ => Err(Outcome::Unknown { cause: say!("answer_without_token") }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::options::Options, platform::Method};
    use std::collections::BTreeMap;

    fn recorded(id: &str) -> Value {
        let all: Value = serde_json::from_str(include_str!("../../../tests/vectors/platforms.json")).expect("JSON");
        let all = all["golden_requests"].as_array().expect("a list");
        all.iter().find(|request| request["id"] == id).expect("there is one").clone()
    }

    fn baidu() -> Baidu {
        with(&Options::new())
    }

    fn with(settings: &Options) -> Baidu {
        let secrets = [("secret", "demoSecret".into())].into();
        Baidu::new(&Account { base_url: "https://openapi.baidu.com", appid: "demoKey", secrets: &secrets, settings })
    }

    /// Pairs by their names, without what the recorded client tells of itself; JSON is read.
    fn pairs(encoded: &[u8]) -> BTreeMap<String, Value> {
        let all = form_urlencoded::parse(encoded).filter(|(name, _)| !name.starts_with("sp_sdk_"));
        all.map(|(name, value)| match &*name {
            "data" => (name.into_owned(), serde_json::from_str(&value).expect("JSON")),
            _ => (name.into_owned(), value.into_owned().into()),
        })
        .collect()
    }

    fn parts(url: &str) -> (&str, BTreeMap<String, Value>) {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        (path, pairs(query.as_bytes()))
    }

    fn built(kind: &str, id: &str) -> Request {
        built_by(&baidu(), kind, id)
    }

    fn built_by(baidu: &Baidu, kind: &str, id: &str) -> Request {
        let ticket = Ticket { kind: kind.into(), id: id.into() };
        let send = Send {
            openid: "demoOpenId",
            template: "demo-template-id",
            page: Some("pages/index"),
            data: r#"{"keyword1":"体检提醒","keyword2":"2026-03-01 09:00"}"#,
            options: &Options::new(),
            ticket: Some(&ticket),
        };
        baidu.build(&send, &Auth::Token("24.demo".into()), 0)
    }

    #[test]
    fn a_send_by_a_form_is_that_of_baidus_own_client() {
        let (recorded, request) = (recorded("baidu_template_send"), built("form", "abcdef1"));
        assert_eq!((request.method, recorded["method"].as_str()), (Method::Post, Some("POST")));
        let (path, query) = parts(&request.url);
        let (like, query_like) = parts(recorded["path"].as_str().expect("a path"));
        assert_eq!(path.strip_prefix("https://openapi.baidu.com"), Some(like));
        assert_eq!(query, query_like);
        assert_eq!(request.headers, [("content-type".into(), "application/x-www-form-urlencoded".into())]);
        assert_eq!(pairs(&request.body), pairs(recorded["body"].as_str().expect("a form").as_bytes()));
    }

    #[test]
    fn a_token_is_asked_for_as_baidus_own_client_does_but_with_the_secret_in_the_form() {
        let (recorded, request) = (recorded("baidu_token"), baidu().request(true));
        let (path, query) = parts(recorded["path"].as_str().expect("a path"));
        assert_eq!(request.url, format!("https://openapi.baidu.com{path}"));
        assert_eq!((request.method, pairs(&request.body)), (Method::Post, query));
    }

    #[test]
    fn what_pays_for_a_send_decides_its_path_and_how_the_user_is_named() {
        for (kind, id, path, user, scene_type) in [
            ("subscribe", "tx-1", SUBSCRIBE_PATH, "touser_openId", None),
            ("subscribe", "tx-0", SUBSCRIBE_PATH, "touser_openId", None),
            ("form", "abcdef1", TEMPLATE_PATH, "touser_openId", Some("1")),
            ("form", "abcdef0", TEMPLATE_PATH, "touser", Some("1")),
            ("payment", "pay1", TEMPLATE_PATH, "touser_openId", Some("2")),
            ("order", "order0", TEMPLATE_PATH, "touser", Some("3")),
        ] {
            let request = built(kind, id);
            let form = pairs(&request.body);
            assert!(request.url.contains(&format!("{path}?access_token=24.demo")), "{kind}: {}", request.url);
            assert_eq!(form.get(user).and_then(Value::as_str), Some("demoOpenId"), "{kind} {id}");
            assert!(form.contains_key("touser") != form.contains_key("touser_openId"), "{kind} {id}");
            assert_eq!(form.get("scene_type").and_then(Value::as_str), scene_type, "{kind} {id}");
            let named = if scene_type.is_some() { "scene_id" } else { "subscribe_id" };
            assert_eq!(form.get(named).and_then(Value::as_str), Some(id), "{kind}");
        }
    }

    #[test]
    fn an_app_can_say_that_whoever_pays_is_logged_in() {
        let baidu = with(&[("order_user", "open_id".to_owned())].into());
        for (kind, id, user) in [
            ("order", "order0", "touser_openId"),
            ("payment", "75904100", "touser_openId"),
            ("form", "abcdef0", "touser"),
            ("form", "abcdef1", "touser_openId"),
        ] {
            assert!(pairs(&built_by(&baidu, kind, id).body).contains_key(user), "{kind} {id}");
        }
    }

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, body: body.to_owned().into(), date: None, retry_after: None }
    }

    #[test]
    fn every_answer_has_its_outcome() {
        for (status, body, label) in [
            (200, r#"{"errno":0,"msg":"success","data":{"msg_key":158}}"#, "accepted"),
            (200, r#"{"errno":"0","msg":"success","data":[]}"#, "accepted"),
            (200, r#"{"errno":2002,"msg":"参数错误"}"#, "refused"),
            (200, r#"{"errno":4001}"#, "refused"),
            (200, r#"{"errno":4002}"#, "unknown"),
            (200, r#"{"errno":4003}"#, "denied"),
            (200, r#"{"errno":4004}"#, "denied"),
            (200, r#"{"errno":4007}"#, "denied"),
            (200, r#"{"errno":4010}"#, "refused"),
            (200, r#"{"errno":6001}"#, "held"),
            (200, r#"{"errno":987654}"#, "refused"),
            (200, r#"{"error_code":110,"error_msg":"Access token invalid or no longer valid"}"#, "token"),
            (200, r#"{"error_code":"111","error_msg":"Access token expired"}"#, "token"),
            (200, r#"{"error_code":2}"#, "busy"),
            (200, r#"{"error_code":18}"#, "held"),
            (200, r#"{"error_code":17}"#, "held"),
            (200, r#"{"error_code":6}"#, "held"),
            (200, r#"{"error_code":100}"#, "refused"),
            // The gateway's word comes first, and neither shape's numbers are mistaken for the other's.
            (200, r#"{"errno":0,"error_code":110}"#, "token"),
            (200, r#"{"errno":0,"error_code":0,"data":{}}"#, "accepted"),
            (200, r#"{"errno":110}"#, "refused"),
            (200, r#"{"error_code":4007}"#, "refused"),
            (200, r#"{"msg":"success"}"#, "unknown"),
            (200, "{\"errno\":0", "unknown"),
            (200, "", "unknown"),
            (502, "<html>", "unknown"),
            (404, "<html>", "busy"),
        ] {
            assert_eq!(baidu().classify(&answer(status, body)).label(), label, "{status} {body}");
        }
    }

    #[test]
    fn the_messages_id_is_kept_as_a_text_whatever_it_came_as() {
        for (body, told) in [
            (r#"{"errno":0,"data":{"msg_key":158}}"#, Some("158")),
            (r#"{"errno":0,"data":{"msg_key":"158"}}"#, Some("158")),
            (r#"{"errno":0,"data":null}"#, None),
        ] {
            let Outcome::Accepted { message_id } = baidu().classify(&answer(200, body)) else { panic!("{body}") };
            assert_eq!(message_id.as_deref(), told, "{body}");
        }
    }

    #[test]
    fn a_token_answer_is_read_and_its_errors_too() {
        let read = |status, body: &str| {
            let granted = Tokens::read(&baidu(), &answer(status, body));
            granted.map(|granted| (granted.token.expose_secret().to_owned(), granted.lives)).map_err(|why| why.label())
        };
        let good = |lives| Ok(("24.T".to_owned(), lives));
        for (status, body, told) in [
            (200, r#"{"access_token":"24.T","expires_in":86400,"refresh_token":"25.R"}"#, good(DAY)),
            (200, r#"{"access_token":"24.T","expires_in":"86400"}"#, good(DAY)),
            (200, r#"{"access_token":"24.T","expires_in":99999999999}"#, good(TOKEN_LIVES)),
            (200, r#"{"access_token":"","expires_in":86400}"#, Err("unknown")),
            (200, r#"{"error":"invalid_client","error_description":"unknown client id"}"#, Err("held")),
            (401, r#"{"error":"invalid_client","error_description":"Client authentication failed"}"#, Err("held")),
            (200, r#"{"error":"something_new"}"#, Err("held")),
            (200, r#"{"error_code":18,"error_msg":"Open api qps request limit reached"}"#, Err("held")),
            (401, "<html>", Err("busy")),
            (200, "nope", Err("unknown")),
        ] {
            assert_eq!(read(status, body), told, "{body}");
        }
    }
}

//! How Kuaishou is asked: `oauth2/access_token` and `developer/message/template/send`, both as forms.
//!
//! Source: `getAccessToken` and `sendMessage` of mp.kuaishou.com, official, of 2024-05-28.

use super::{DAY, FACTS, TOKEN_IN, errors, fields};
use crate::{
    domain::{DAY as A_DAY, Millis, SECOND, outcome::Outcome},
    platform::{
        Account, Adapter, Answer, Auth, Granted, Request, Send,
        adapter::Tokens,
        answer::{body, number, object},
    },
    words::say,
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Path of the token call.
pub const TOKEN_PATH: &str = "/oauth2/access_token";
/// Path of the send call.
pub const SEND_PATH: &str = "/openapi/mp/developer/message/template/send";

/// The longest that a token lives, whatever `expires_in` says: the page says 48 hours, and its example far more.
const TOKEN_LIVES: Millis = 2 * A_DAY;

/// The adapter of one mini-program.
pub struct Kuaishou {
    base_url: String,
    app_id: String,
    secret: SecretString,
    token_in_query: bool,
    day: String,
}

impl Kuaishou {
    /// The adapter of this account.
    pub fn new(account: &Account<'_>) -> Self {
        Self {
            base_url: account.base_url.to_owned(),
            app_id: account.appid.to_owned(),
            secret: account.secret("secret"),
            token_in_query: TOKEN_IN.of(account.settings) == "query",
            day: DAY.of(account.settings).to_owned(),
        }
    }

    /// The fields as the JSON text that the form asks for. Unreadable ones are none, and the platform refuses the message.
    fn data(&self, data: &str) -> String {
        let values: BTreeMap<String, String> = serde_json::from_str(data).unwrap_or_default();
        let wrapped = values.into_iter().map(|(key, value)| {
            let value = fields::written(&key, value, &self.day);
            (key, json!({ "value": value }))
        });
        Value::Object(wrapped.collect::<Map<_, _>>()).to_string()
    }
}

impl Adapter for Kuaishou {
    fn build(&self, send: &Send<'_>, auth: &Auth, _now: Millis) -> Request {
        let token = match auth {
            Auth::Token(token) => token.expose_secret(),
            Auth::Nothing => "",
        };
        let data = self.data(send.data);
        let whose = [("app_id", &*self.app_id), ("access_token", token)];
        let message = [
            ("template_id", send.template),
            ("to_user", send.openid),
            ("page", send.page.unwrap_or_default().trim_start_matches('/')),
            ("data", &data),
        ];
        let url = format!("{}{SEND_PATH}", self.base_url);
        if self.token_in_query {
            let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(whose).finish();
            return Request::form(format!("{url}?{query}"), &message);
        }
        Request::form(url, &[&whose[..], &message].concat())
    }

    fn classify(&self, answer: &Answer) -> Outcome {
        let value = match read(answer) {
            Ok(value) => value,
            Err(outcome) => return outcome,
        };
        match number(&value["result"]) {
            Some(1) => Outcome::Accepted { message_id: None },
            Some(code) => refused(code, &value),
            None => Outcome::Unknown { cause: say!("answer_says_nothing") },
        }
    }

    fn tokens(&self) -> Option<&dyn Tokens> {
        Some(self)
    }
}

impl Tokens for Kuaishou {
    /// Each call gives a new token, and those before live on to their own end: there is nothing to force.
    fn request(&self, _force: bool) -> Request {
        let form = [
            ("app_id", &*self.app_id),
            ("app_secret", self.secret.expose_secret()),
            ("grant_type", "client_credentials"),
        ];
        Request::form(format!("{}{TOKEN_PATH}", self.base_url), &form)
    }

    fn read(&self, answer: &Answer) -> Result<Granted, Outcome> {
        let value = read(answer)?;
        match (number(&value["result"]), value["access_token"].as_str(), number(&value["expires_in"])) {
            (Some(1), Some(token), Some(seconds)) if !token.is_empty() => {
                let lives = seconds.clamp(0, TOKEN_LIVES / SECOND) * SECOND;
                Ok(Granted { token: token.to_owned().into(), lives })
            }
            (Some(code), ..) if code != 1 => Err(refused(code, &value)),
            _ => Err(Outcome::Unknown { cause: say!("answer_without_token") }),
        }
    }
}

/// The answer's object. A path that the platform does not know is answered by the platform, too, and with HTTP 404.
fn read(answer: &Answer) -> Result<Value, Outcome> {
    match body(answer) {
        Ok(value) if answer.status == 404 && !value["result"].is_null() => Ok(value),
        _ => object(answer),
    }
}

fn refused(code: i64, value: &Value) -> Outcome {
    let text = ["error_msg", "error_description", "error"].iter().find_map(|name| value[*name].as_str());
    FACTS.answered(code.to_string(), text.unwrap_or_default(), errors::UNKNOWN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::options::Options, platform::Method};

    /// Self-written from the documents, not recorded from anybody's client.
    fn composed(id: &str) -> Value {
        let all: Value = serde_json::from_str(include_str!("../../../tests/vectors/platforms.json")).expect("JSON");
        let all = all["composed_requests"].as_array().expect("a list");
        all.iter().find(|request| request["id"] == id).expect("there is one").clone()
    }

    fn kuaishou(settings: Options) -> Kuaishou {
        let secrets = [("secret", "demo-secret".into())].into();
        Kuaishou::new(&Account {
            base_url: "https://open.kuaishou.com",
            appid: "ks000000000000000001",
            secrets: &secrets,
            settings: &settings,
        })
    }

    /// The request's pairs, those of its query first, with the JSON of `data` read.
    fn pairs(url: &str, form: &[u8]) -> BTreeMap<String, Value> {
        let query = url.split_once('?').map_or("", |(_, query)| query);
        let all = form_urlencoded::parse(query.as_bytes()).chain(form_urlencoded::parse(form));
        all.map(|(name, value)| match &*name {
            "data" => (name.into_owned(), serde_json::from_str(&value).expect("JSON")),
            _ => (name.into_owned(), value.into_owned().into()),
        })
        .collect()
    }

    fn is_like(request: &Request, composed: &Value) {
        assert_eq!(request.method, Method::Post);
        assert_eq!(request.headers, [("content-type".into(), "application/x-www-form-urlencoded".into())]);
        let composed_body = composed["body"].as_str().expect("a form");
        assert_eq!(pairs(&request.url, &request.body), pairs("", composed_body.as_bytes()));
    }

    fn send(kuaishou: &Kuaishou) -> Request {
        let send = Send {
            openid: "demoOpenId",
            template: "demo-template-id",
            page: Some("/pages/index"),
            data: r#"{"thing01":"体检提醒","date01":"2026年3月1日"}"#,
            options: &Options::new(),
            ticket: None,
        };
        kuaishou.build(&send, &Auth::Token("demo-token".into()), 0)
    }

    #[test]
    fn the_requests_are_those_composed_from_the_documents() {
        let (token, sent) = (composed("kuaishou_token"), composed("kuaishou_send"));
        let plain = kuaishou(Options::new());
        is_like(&plain.request(false), &token);
        assert_eq!(plain.request(true).url, token["url"].as_str().expect("a URL"));
        is_like(&send(&plain), &sent);
        assert_eq!(send(&plain).url, sent["url"].as_str().expect("a URL"));
        let by_query = send(&kuaishou([("token_in", "query".to_owned())].into()));
        is_like(&by_query, &sent);
        assert!(by_query.url.ends_with("?app_id=ks000000000000000001&access_token=demo-token"), "{}", by_query.url);
        assert!(!String::from_utf8_lossy(&by_query.body).contains("access_token"));
        let ended = send(&kuaishou([("day", "日".to_owned())].into()));
        assert_eq!(pairs("", &ended.body)["data"]["date01"]["value"], "2026年03月01日");
    }

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, body: body.to_owned().into(), date: None, retry_after: None }
    }

    #[test]
    fn every_answer_has_its_outcome() {
        for (status, body, label) in [
            (200, r#"{"result":1,"error_msg":"success"}"#, "accepted"),
            (200, r#"{"result":"1"}"#, "accepted"),
            (200, r#"{"result":100200102,"error_msg":"access denied"}"#, "token"),
            (200, r#"{"result":100200108}"#, "token"),
            (200, r#"{"result":100200101}"#, "held"),
            (200, r#"{"result":10000200,"error_msg":"app_id absent from the query params"}"#, "refused"),
            (200, r#"{"result":10000302,"error_msg":"api too fast"}"#, "held"),
            (200, r#"{"result":10000500}"#, "busy"),
            (200, r#"{"result":504001}"#, "unknown"),
            (404, r#"{"result":1026,"error_msg":"unknown path"}"#, "held"),
            (404, "<html>", "busy"),
            // Which code says that the user has not subscribed is not documented: it fails without another try.
            (200, r#"{"result":987654321,"error_msg":"user not subscribe"}"#, "refused"),
            (200, r#"{"error_msg":"success"}"#, "unknown"),
            (200, r#"{"result":null}"#, "unknown"),
            (200, "{\"result\":1", "unknown"),
            (200, "", "unknown"),
            (502, r#"{"result":1}"#, "unknown"),
            (302, "", "held"),
        ] {
            assert_eq!(kuaishou(Options::new()).classify(&answer(status, body)).label(), label, "{status} {body}");
        }
    }

    #[test]
    fn a_token_lives_as_long_as_it_says_and_never_more_than_two_days() {
        let read = |body: &str| {
            let granted = Tokens::read(&kuaishou(Options::new()), &answer(200, body));
            granted.map(|granted| (granted.token.expose_secret().to_owned(), granted.lives)).map_err(|why| why.label())
        };
        let good = |lives| Ok(("T".to_owned(), lives));
        for (body, told) in [
            (r#"{"result":1,"access_token":"T","expires_in":3600,"token_type":"bearer"}"#, good(3_600 * SECOND)),
            (r#"{"result":1,"access_token":"T","expires_in":3600000}"#, good(TOKEN_LIVES)),
            (r#"{"result":1,"access_token":"T","expires_in":-1}"#, good(0)),
            (r#"{"result":1,"access_token":"","expires_in":3600}"#, Err("unknown")),
            (r#"{"result":1,"access_token":"T"}"#, Err("unknown")),
            (r#"{"result":100200101,"error":"invalid_client"}"#, Err("held")),
            ("nope", Err("unknown")),
        ] {
            assert_eq!(read(body), told, "{body}");
        }
    }
}

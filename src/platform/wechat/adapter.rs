//! How WeChat is asked: `message/subscribe/send`, `stable_token`, the quota and the list of templates.
//!
//! Source: `api_sendmessage` and `api_getstableaccesstoken`, official, copies of 2026.

use super::{FACTS, LANG, MINIPROGRAM_STATE, errors};
use crate::platform::{
    Account, Adapter, Answer, Auth, Granted, Quota, Request, Send,
    adapter::{Listings, Quotas, Tokens},
    answer::{number, object, text_or_number},
    values::Values,
};
use crate::{
    domain::{
        Millis, SECOND,
        outcome::Outcome,
        template::{Kind, Listed},
    },
    words::say,
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

/// Path of the token call.
pub const TOKEN_PATH: &str = "/cgi-bin/stable_token";
/// Path of the send call.
pub const SEND_PATH: &str = "/cgi-bin/message/subscribe/send";

/// Path of the call that asks how many calls are left.
pub const QUOTA_PATH: &str = "/cgi-bin/openapi/quota/get";
/// Path of the call that lists templates. Its own daily quota is small: it is asked at starts, daily and by command.
pub const TEMPLATES_PATH: &str = "/wxaapi/newtmpl/gettemplate";

/// Bytes of a message beside its values, mostly; a longer one grows.
const ROOM: usize = 512;

/// The adapter of one mini-program.
pub struct Wechat {
    base_url: String,
    appid: String,
    secret: SecretString,
}

impl Wechat {
    /// The adapter of this account.
    pub fn new(account: &Account<'_>) -> Self {
        let secret = account.secret("secret");
        Self { base_url: account.base_url.to_owned(), appid: account.appid.to_owned(), secret }
    }

    /// Where a call goes that carries a token. Without one the platform answers that it is missing.
    fn url(&self, path: &str, auth: &Auth) -> String {
        let token = match auth {
            Auth::Token(token) => token.expose_secret(),
            Auth::Nothing => "",
        };
        format!("{}{path}?access_token={token}", self.base_url)
    }
}

#[derive(serde::Serialize)]
struct Message<'a> {
    touser: &'a str,
    template_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<&'a str>,
    // Always explicit: the documentation says both «required» and «default formal».
    miniprogram_state: &'a str,
    lang: &'a str,
    data: Values<'a>,
}

impl Adapter for Wechat {
    fn build(&self, send: &Send<'_>, auth: &Auth, _now: Millis) -> Request {
        let message = Message {
            touser: send.openid,
            template_id: send.template,
            // A leading slash was refused with 41030 in the template-message era.
            page: send.page.map(|page| page.trim_start_matches('/')),
            miniprogram_state: MINIPROGRAM_STATE.of(send.options),
            lang: LANG.of(send.options),
            data: Values::of(send.data),
        };
        let mut body = Vec::with_capacity(ROOM + 2 * send.data.len());
        serde_json::to_writer(&mut body, &message).expect("texts serialise");
        Request::json(self.url(SEND_PATH, auth), body)
    }

    fn classify(&self, answer: &Answer) -> Outcome {
        let value = match object(answer) {
            Ok(value) => value,
            Err(outcome) => return outcome,
        };
        match code(&value) {
            Some(0) if value["errcode"] != Value::Null || value["errmsg"] != Value::Null => {
                Outcome::Accepted { message_id: text_or_number(&value["msgid"]) }
            }
            Some(code) if code != 0 => answered(code, &value),
            _ => Outcome::Unknown { cause: say!("answer_says_nothing") },
        }
    }

    fn refused_address<'a>(&self, code: &str, text: &'a str) -> Option<&'a str> {
        let mut words = text.split_whitespace().filter(|_| code == errors::ADDRESS_REFUSED);
        words.find(|word| word.parse::<std::net::IpAddr>().is_ok())
    }

    fn tokens(&self) -> Option<&dyn Tokens> {
        Some(self)
    }

    fn quotas(&self) -> Option<&dyn Quotas> {
        Some(self)
    }

    fn listings(&self) -> Option<&dyn Listings> {
        Some(self)
    }
}

impl Tokens for Wechat {
    fn request(&self, force: bool) -> Request {
        let body = json!({
            "grant_type": "client_credential",
            "appid": self.appid,
            "secret": self.secret.expose_secret(),
            "force_refresh": force,
        });
        Request::json(format!("{}{TOKEN_PATH}", self.base_url), body.to_string())
    }

    fn read(&self, answer: &Answer) -> Result<Granted, Outcome> {
        let value = object(answer)?;
        match (code(&value), value["access_token"].as_str(), number(&value["expires_in"])) {
            (Some(0), Some(token), Some(seconds)) if !token.is_empty() => {
                Ok(Granted { token: token.to_owned().into(), lives: seconds.clamp(0, 86_400) * SECOND })
            }
            (Some(code), ..) if code != 0 => Err(answered(code, &value)),
            _ => Err(Outcome::Unknown { cause: say!("answer_without_token") }),
        }
    }
}

impl Quotas for Wechat {
    fn request(&self, auth: &Auth, _now: Millis) -> Request {
        Request::json(self.url(QUOTA_PATH, auth), json!({ "cgi_path": SEND_PATH }).to_string())
    }

    fn read(&self, answer: &Answer) -> Result<Quota, Outcome> {
        let value = succeeded(answer)?;
        let (quota, rate) = (&value["quota"], &value["rate_limit"]);
        match (number(&quota["daily_limit"]), number(&quota["used"]), number(&quota["remain"])) {
            (Some(limit), Some(used), Some(left)) => {
                let rate = number(&rate["call_count"]).zip(number(&rate["refresh_second"]));
                Ok(Quota { limit, used, left, rate: rate.filter(|(calls, seconds)| *calls > 0 && *seconds > 0) })
            }
            _ => Err(Outcome::Unknown { cause: say!("answer_without_quota") }),
        }
    }
}

impl Listings for Wechat {
    fn request(&self, auth: &Auth, _now: Millis) -> Request {
        Request::get(self.url(TEMPLATES_PATH, auth))
    }

    fn read(&self, answer: &Answer) -> Result<Vec<Listed>, Outcome> {
        let value = succeeded(answer)?;
        let listed = value["data"].as_array().ok_or(Outcome::Unknown { cause: say!("answer_without_list") })?;
        Ok(listed.iter().filter_map(template).collect())
    }
}

/// `errcode`, which some endpoints send as a string and success may leave out. `None` if it is no number at all.
fn code(value: &Value) -> Option<i64> {
    match &value["errcode"] {
        Value::Null => Some(0),
        code => number(code),
    }
}

/// The body, if it is a success.
fn succeeded(answer: &Answer) -> Result<Value, Outcome> {
    let value = object(answer)?;
    match code(&value) {
        Some(code) if code != 0 => Err(answered(code, &value)),
        _ => Ok(value),
    }
}

/// One entry of the list. Its fields stand in `content` alone, as `label:{{key.DATA}}`, a line each.
fn template(entry: &Value) -> Option<Listed> {
    let fields = entry["content"].as_str().unwrap_or_default().lines().filter_map(|line| {
        let (label, rest) = line.split_once("{{")?;
        let key = rest.split_once("}}")?.0.trim().trim_end_matches(".DATA");
        let label = label.trim().trim_end_matches([':', '：']).trim();
        Some((key.to_owned(), label.to_owned()))
    });
    let choices = entry["keywordEnumValueList"].as_array().into_iter().flatten().filter_map(|list| {
        // Whether `.DATA` belongs to it is not certain.
        let key = list["keywordCode"].as_str()?.trim_end_matches(".DATA").to_owned();
        let values = list["enumValueList"].as_array()?.iter().filter_map(|v| v.as_str().map(str::to_owned));
        Some((key, values.collect()))
    });
    Some(Listed {
        code: entry["priTmplId"].as_str()?.to_owned(),
        title: entry["title"].as_str().unwrap_or_default().to_owned(),
        kind: match entry["type"].as_i64().or_else(|| entry["type"].as_str()?.parse().ok()) {
            Some(2) => Some(Kind::OneTime),
            Some(3) => Some(Kind::LongTerm),
            _ => None,
        },
        fields: fields.collect(),
        choices: choices.collect(),
    })
}

fn answered(code: i64, value: &Value) -> Outcome {
    FACTS.answered(code.to_string(), value["errmsg"].as_str().unwrap_or_default(), errors::UNKNOWN)
}

/// The field that a 47003 names, such as `thing1`. WeChat cuts the text to 48 bytes, so nothing else of it can be relied on.
pub fn field_at_fault(errmsg: &str) -> Option<&str> {
    let rest = &errmsg[errmsg.find("data.")? + 5..];
    rest.split(['.', ' ']).next().filter(|key| !key.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::options::Options, platform::Method};

    fn wechat() -> Wechat {
        let secrets = [("secret", "s3cret".into())].into();
        Wechat::new(&Account {
            base_url: "https://api.weixin.qq.com",
            appid: "wx0123456789abcdef",
            secrets: &secrets,
            settings: &std::collections::BTreeMap::new(),
        })
    }

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, body: body.to_owned().into(), date: None, retry_after: None }
    }

    #[test]
    fn a_send_has_every_member_that_the_documentation_asks_for() {
        let send = Send {
            openid: "oR3m1nd3rUs3r000000000000001",
            template: "Tq9",
            page: Some("/pages/event?id=42"),
            data: r#"{"thing1":"<周三> & \"读书\"","time2":"2026年1月14日 19:30"}"#,
            options: &Options::new(),
            ticket: None,
        };
        let request = wechat().build(&send, &Auth::Token("TOKEN".into()), 0);
        assert_eq!((request.method, request.headers.len()), (Method::Post, 1));
        assert_eq!(request.url, "https://api.weixin.qq.com/cgi-bin/message/subscribe/send?access_token=TOKEN");
        let expected = r#"{"touser":"oR3m1nd3rUs3r000000000000001","template_id":"Tq9","page":"pages/event?id=42","miniprogram_state":"formal","lang":"zh_CN","data":{"thing1":{"value":"<周三> & \"读书\""},"time2":{"value":"2026年1月14日 19:30"}}}"#;
        assert_eq!(std::str::from_utf8(&request.body), Ok(expected));
    }

    #[test]
    fn every_answer_has_its_outcome() {
        let table = [
            (200, r#"{"errcode":0,"errmsg":"ok"}"#, "accepted"),
            (200, r#"{"errcode":"0","errmsg":"ok","msgid":3248682510344192008}"#, "accepted"),
            (200, "\u{feff}{\"errmsg\":\"o\nk\"}", "accepted"),
            (
                200,
                r#"{"errcode":43101,"errmsg":"user refuse to accept the msg rid: 68c8d463-2e71771d-3c705bc4"}"#,
                "denied",
            ),
            (200, r#"{"errcode":"43101"}"#, "denied"),
            (200, r#"{"errcode":47003,"errmsg":"argument invalid! data.thing1.value invalid"}"#, "refused"),
            (200, r#"{"errcode":40001,"errmsg":"invalid credential"}"#, "token"),
            (200, r#"{"errcode":42001}"#, "token"),
            (200, r#"{"errcode":-1,"errmsg":"system error"}"#, "busy"),
            (200, r#"{"errcode":43108}"#, "busy"),
            (200, r#"{"errcode":45009}"#, "held"),
            (200, r#"{"errcode":987654}"#, "busy"),
            (200, r#"{"errcode":{}}"#, "unknown"),
            (200, r#"{"errcode":"no"}"#, "unknown"),
            (200, r#"{"access_token":"T"}"#, "unknown"),
            (200, "<html>busy</html>", "unknown"),
            (200, "{\"errcode\":0", "unknown"),
            (200, "{}", "unknown"),
            (200, "", "unknown"),
            (502, "<html>", "unknown"),
            (412, "", "held"),
            (400, "<html>", "busy"),
            (404, "", "busy"),
            (408, "", "unknown"),
            (429, "", "held"),
            (302, "", "held"),
        ];
        for (status, body, label) in table {
            assert_eq!(wechat().classify(&answer(status, body)).label(), label, "{status} {body}");
        }
        let Outcome::Accepted { message_id } = wechat().classify(&answer(200, table[1].1)) else { panic!() };
        assert_eq!(message_id.as_deref(), Some("3248682510344192008"));
    }

    #[test]
    fn a_token_answer_is_read_and_its_errors_too() {
        let good = Tokens::read(&wechat(), &answer(200, r#"{"access_token":"T","expires_in":7200}"#)).expect("a token");
        assert_eq!((good.token.expose_secret(), good.lives), ("T", 7_200_000));
        for odd in [r#"{"access_token":"T","expires_in":"7200"}"#, r#"{"access_token":"T","expires_in":7200.0}"#] {
            assert_eq!(Tokens::read(&wechat(), &answer(200, odd)).map(|granted| granted.lives), Ok(7_200_000), "{odd}");
        }
        let table = [
            (r#"{"errcode":40125,"errmsg":"invalid appsecret"}"#, "held"),
            (r#"{"errcode":40164,"errmsg":"invalid ip 203.0.113.9"}"#, "held"),
            (r#"{"access_token":"","expires_in":7200}"#, "unknown"),
            ("nope", "unknown"),
        ];
        for (body, label) in table {
            assert_eq!(Tokens::read(&wechat(), &answer(200, body)).expect_err(body).label(), label, "{body}");
        }
    }

    #[test]
    fn the_field_at_fault_is_found_in_a_cut_text() {
        let table = [
            ("argument invalid! data.thing1.value invalid rid: 1-2-3", Some("thing1")),
            ("argument invalid! data.character_string1.value i", Some("character_string1")),
            ("argument invalid! data.character_string13.value ", Some("character_string13")),
            ("user refuse to accept the msg", None),
        ];
        for (text, field) in table {
            assert_eq!(field_at_fault(text), field, "{text}");
        }
    }
}

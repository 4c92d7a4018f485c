//! Douyin's webhooks: who sent one, and what it says.
//!
//! Source: the overview of webhooks, the push of a subscription's status and the push of a failure, official; the signature by the recorded
//! webhooks of `tests/vectors/platforms.json`.
//!
//! The signature is SHA-1 of the secret and the body. Somebody who saw one webhook can go on where it ends, without the secret, so one JSON
//! document is taken and no byte behind it. Neither the time nor the header `Msg-Id` is signed apart from the body: what was seen already is
//! known by its content, and by its `Msg-Id` too.

use crate::{
    domain::{
        DAY, Millis, SECOND,
        push::{Item, Push, Receipt},
    },
    platform::{
        Method,
        answer::number,
        facts::BadSecret,
        push::{Incoming, Pushes, Refused, Told},
    },
    words::say,
};
use data_encoding::HEXLOWER;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use sha1::{Digest, Sha1};
use subtle::ConstantTimeEq;

/// Characters of a template's or a user's id, or a webhook's.
const MAX_ID: usize = 128;

/// How webhooks of one mini-program are told from forgeries.
#[derive(Debug, Clone)]
pub struct Webhook {
    client_key: String,
    secret: SecretString,
}

impl Webhook {
    /// The webhooks of this mini-program, signed with this secret.
    ///
    /// # Errors
    /// An empty secret, with which everybody could sign.
    pub fn new(client_key: String, secret: SecretString) -> Result<Self, BadSecret> {
        if secret.expose_secret().is_empty() {
            return Err(BadSecret { key: "secret", why: say!("webhook_without_secret") });
        }
        Ok(Self { client_key, secret })
    }

    /// The signature of a body.
    pub fn sign(&self, body: &[u8]) -> String {
        let hash = Sha1::new().chain_update(self.secret.expose_secret()).chain_update(body);
        HEXLOWER.encode(&hash.finalize())
    }

    fn check(&self, call: &Incoming<'_>) -> Result<(), Refused> {
        let theirs = call.header("x-douyin-signature").unwrap_or_default();
        let same = self.sign(call.body).as_bytes().ct_eq(theirs.as_bytes());
        if bool::from(same) { Ok(()) } else { Err(Refused::Signature) }
    }
}

impl Pushes for Webhook {
    fn read(&self, call: &Incoming<'_>, now: Millis) -> Result<Told, Refused> {
        if call.method != Method::Post {
            return Err(Refused::Shape);
        }
        self.check(call)?;
        // Not even white space stands around it.
        let whole = call.body.first() == Some(&b'{') && call.body.last() == Some(&b'}');
        let parsed: Option<Value> = serde_json::from_slice(call.body).ok();
        let value = parsed.filter(|value| whole && value.is_object()).ok_or(Refused::Shape)?;
        if value["client_key"] != self.client_key.as_str() {
            return Err(Refused::Appid);
        }
        let event = value["event"].as_str().ok_or(Refused::Shape)?;
        let item: fn(&Value) -> Result<Option<Item>, Refused> = match event {
            "verify_webhook" => return challenge(&content(&value)?),
            "user_subscribe_action" => action,
            "send_push_failed_event" => failed,
            _ => return Ok(Told::Other),
        };
        let content = content(&value)?;
        let Some(item) = item(&content)? else { return Ok(Told::Other) };
        let openid = value["from_user_id"].as_str().filter(|openid| is_id(openid)).ok_or(Refused::Shape)?;
        let at = number(&content["time"]).and_then(|seconds| seconds.checked_mul(SECOND)).ok_or(Refused::Shape)?;
        // Three tries come within seconds. What is older was kept by somebody, and is not known by its content any more some days later.
        if now.abs_diff(at) > DAY.unsigned_abs() {
            return Err(Refused::Stale);
        }
        let id = call.header("msg-id").filter(|id| is_id(id)).map(str::to_owned);
        Ok(Told::Push(Push { openid: openid.to_owned(), at, items: vec![item], id }))
    }
}

/// The content: JSON in a text, or the JSON itself.
fn content(value: &Value) -> Result<Value, Refused> {
    let content = match &value["content"] {
        Value::String(text) => serde_json::from_str(text).ok(),
        content => Some(content.clone()),
    };
    content.filter(Value::is_object).ok_or(Refused::Shape)
}

/// The console asks whether this address is ours, with a number as a rule.
fn challenge(content: &Value) -> Result<Told, Refused> {
    let challenge = &content["challenge"];
    if challenge.is_number() || challenge.is_string() {
        Ok(Told::EchoJson(json!({ "challenge": challenge }).to_string()))
    } else {
        Err(Refused::Shape)
    }
}

/// What the user did: 1 and 2 accept a one-time and a long-term template, 4 and 3 reject one, 0 is nothing. A long-term template that is
/// rejected is turned off. One that is asked for each time is not: what was accepted before stays.
fn action(content: &Value) -> Result<Option<Item>, Refused> {
    let template = template(content)?;
    Ok(match number(&content["subscribe_action"]).ok_or(Refused::Shape)? {
        1 | 2 => Some(Item::Answered { template, accepted: true }),
        3 => Some(Item::TurnedOff { template }),
        4 => Some(Item::Answered { template, accepted: false }),
        _ => None,
    })
}

/// A banner was not shown. Its message had been taken, and may well lie in the app: the send stays sent, and its consent used.
fn failed(content: &Value) -> Result<Option<Item>, Refused> {
    let reason = number(&content["reason"]).ok_or(Refused::Shape)?;
    let (en, zh) = match reason {
        1 => ("wrong parameters", "参数错误"),
        2 => ("the hour's limit", "达到小时上限"),
        3 => ("the day's limit", "达到当日上限"),
        101 => ("the app is uninstalled", "用户已卸载应用"),
        102 => ("switched off in the app", "用户已关闭应用内推送开关"),
        106 => ("switched off in the system", "用户已关闭系统推送开关"),
        _ => ("for another reason", "其他原因"),
    };
    let text = format!(
        "no banner was shown ({en}), the message itself may be in the app / 横幅推送未展示（{zh}），站内消息可能已送达"
    );
    let failure = Some(format!("push_{reason}"));
    Ok(Some(Item::Receipt(Receipt { template: template(content)?, message_id: None, failure, text })))
}

fn template(content: &Value) -> Result<String, Refused> {
    content["msg_id"].as_str().filter(|id| is_id(id)).map(str::to_owned).ok_or(Refused::Shape)
}

fn is_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_ID && text.bytes().all(|b| b.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Millis = 1_772_326_800 * SECOND;

    fn vectors() -> Vec<Value> {
        let all: Value = serde_json::from_str(include_str!("../../../tests/vectors/platforms.json")).expect("JSON");
        all["douyin_webhooks"].as_array().expect("a group").clone()
    }

    fn webhook() -> Webhook {
        Webhook::new("ttdemo0000000001".into(), "demo-webhook-secret".into()).expect("a secret")
    }

    fn read_signed(body: &[u8], signature: &str, more: &[(&str, &str)], now: Millis) -> Result<Told, Refused> {
        let header = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let headers: Vec<_> = more.iter().copied().chain([("x-douyin-signature", signature)]).map(header).collect();
        webhook().read(&Incoming { method: Method::Post, query: &[], headers: &headers, body }, now)
    }

    /// As the platform would sign it.
    fn read(body: &[u8]) -> Result<Told, Refused> {
        read_signed(body, &webhook().sign(body), &[], AT)
    }

    fn event(event: &str, content: &Value) -> Vec<u8> {
        let value = json!({ "event": event, "client_key": "ttdemo0000000001", "from_user_id": "_000demoOpenId",
            "to_user_id": "", "content": content.to_string() });
        value.to_string().into_bytes()
    }

    fn push(items: Vec<Item>) -> Result<Told, Refused> {
        Ok(Told::Push(Push { openid: "_000demoOpenId".into(), at: AT, items, id: None }))
    }

    fn answered(accepted: bool) -> Item {
        Item::Answered { template: "MSG_demo_0001".into(), accepted }
    }

    #[test]
    fn recorded_webhooks_say_what_was_recorded_and_a_forged_one_is_refused() {
        let said = vectors().into_iter().map(|vector| {
            let text = |name: &str| vector[name].as_str().expect("a text").to_owned();
            (text("id"), read_signed(text("raw_body").as_bytes(), &text("x_douyin_signature"), &[], AT))
        });
        let table = [
            ("subscribe_once".to_owned(), push(vec![answered(true)])),
            ("wrong_secret".into(), Err(Refused::Signature)),
            ("challenge".into(), Ok(Told::EchoJson(r#"{"challenge":12345}"#.into()))),
        ];
        assert_eq!(said.collect::<Vec<_>>(), table);
    }

    #[test]
    fn every_event_is_understood_or_left_alone() {
        let action =
            |action: Value| json!({ "msg_id": "MSG_demo_0001", "time": 1_772_326_800, "subscribe_action": action });
        let failure = |reason: Value| json!({ "msg_id": "MSG_demo_0001", "time": "1772326800", "reason": reason });
        let actions = "user_subscribe_action";
        let table = [
            (event(actions, &action(json!(1))), push(vec![answered(true)])),
            (event(actions, &action(json!("2"))), push(vec![answered(true)])),
            (event(actions, &action(json!(3))), push(vec![Item::TurnedOff { template: "MSG_demo_0001".into() }])),
            (event(actions, &action(json!(4))), push(vec![answered(false)])),
            (event(actions, &action(json!(0))), Ok(Told::Other)),
            (event(actions, &action(json!(5))), Ok(Told::Other)),
            (event(actions, &action(json!("accept"))), Err(Refused::Shape)),
            (event(actions, &json!({})), Err(Refused::Shape)),
            (event(actions, &json!([])), Err(Refused::Shape)),
            (event(actions, &json!({ "msg_id": "M", "subscribe_action": 1 })), Err(Refused::Shape)),
            (event(actions, &json!({ "msg_id": "M", "subscribe_action": 1, "time": i64::MAX })), Err(Refused::Shape)),
            (
                event(actions, &json!({ "msg_id": "M".repeat(129), "subscribe_action": 1, "time": 1 })),
                Err(Refused::Shape),
            ),
            (event("create_template_result", &json!({ "title": "x" })), Ok(Told::Other)),
            (event("something_new", &json!(null)), Ok(Told::Other)),
            (
                event("verify_webhook", &json!({ "challenge": "abc" })),
                Ok(Told::EchoJson(r#"{"challenge":"abc"}"#.into())),
            ),
            (event("verify_webhook", &json!({ "challenge": {} })), Err(Refused::Shape)),
            (event("send_push_failed_event", &json!({ "msg_id": "M", "time": 1 })), Err(Refused::Shape)),
        ];
        for (body, told) in table {
            assert_eq!(read(&body), told, "{}", String::from_utf8_lossy(&body));
        }
        for (reason, code, words) in [(json!(101), "push_101", "已卸载"), (json!("24"), "push_24", "其他原因")] {
            let told = read(&event("send_push_failed_event", &failure(reason)));
            let Ok(Told::Push(Push { items, .. })) = &told else { panic!("{told:?}") };
            let [Item::Receipt(receipt)] = &items[..] else { panic!("{items:?}") };
            assert_eq!((receipt.failure.as_deref(), receipt.message_id.as_deref()), (Some(code), None));
            assert!(receipt.text.contains(words) && receipt.text.chars().count() <= 200, "{}", receipt.text);
        }
    }

    #[test]
    fn what_is_not_signed_or_not_of_one_piece_is_refused() {
        let body =
            event("user_subscribe_action", &json!({ "msg_id": "M", "time": AT / SECOND, "subscribe_action": 1 }));
        let good = webhook().sign(&body);
        assert!(read(&body).is_ok());
        // Whoever changes a byte cannot sign.
        for i in 0..body.len() {
            let mut tampered = body.clone();
            tampered[i] ^= 1;
            assert_eq!(read_signed(&tampered, &good, &[], AT), Err(Refused::Signature), "byte {i}");
        }
        for forged in ["", &good.to_uppercase(), &good[1..], "0000000000000000000000000000000000000000"] {
            assert_eq!(read_signed(&body, forged, &[], AT), Err(Refused::Signature), "{forged}");
        }
        // Even a good signature does not carry bytes behind the document, as one that was lengthened would be.
        for behind in ["\u{80}", " ", "\n", "{}", "\0", "x"] {
            let longer = [&body, behind.as_bytes()].concat();
            assert_eq!(read(&longer), Err(Refused::Shape), "{behind:?}");
        }
        for broken in ["", "{", "[]", "null", "{\"event\":", "{}{}", " {}"] {
            assert_eq!(read(broken.as_bytes()), Err(Refused::Shape), "{broken}");
        }
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(20_000), "]".repeat(20_000));
        assert_eq!(read(deep.as_bytes()), Err(Refused::Shape));
        let other = String::from_utf8(body.clone()).expect("text").replace("ttdemo0000000001", "ttdemo0000000002");
        assert_eq!(read(other.as_bytes()), Err(Refused::Appid));
        let get = Incoming { method: Method::Get, query: &[], headers: &[], body: &[] };
        assert_eq!(webhook().read(&get, AT), Err(Refused::Shape));
        assert!(Webhook::new("tt1".into(), "".into()).is_err(), "everybody could sign");
    }

    #[test]
    fn one_of_another_day_is_a_replay_and_its_id_is_kept() {
        let body =
            event("user_subscribe_action", &json!({ "msg_id": "M", "time": AT / SECOND, "subscribe_action": 1 }));
        let at = |now| read_signed(&body, &webhook().sign(&body), &[("msg-id", "0123")], now);
        for now in [AT, AT + DAY, AT - DAY] {
            assert!(matches!(at(now), Ok(Told::Push(Push { id: Some(id), .. })) if id == "0123"), "{now}");
        }
        for now in [AT + DAY + 1, AT - DAY - 1] {
            assert_eq!(at(now), Err(Refused::Stale), "{now}");
        }
    }
}

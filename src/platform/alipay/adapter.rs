//! How Alipay is asked: `alipay.open.app.mini.templatemessage.send` over the V2 gateway, signed with RSA2. There is no token.
//!
//! Public parameters stand in the query and `biz_content` in the form, as the platform's own PHP and Python clients have it. [O]

use super::{
    FACTS,
    answer::{Reply, Said, Signed},
    by_user_id,
    credentials::Credentials,
    errors, signature,
};
use crate::{
    domain::{
        Millis,
        outcome::{Outcome, Reaction},
    },
    platform::{
        Account, Adapter, Answer, Auth, Request, Send,
        adapter::{Proofs, Unproven},
        facts::BadSecret,
        status::of_platform,
    },
    words::{Message, say},
};
use chrono::{DateTime, FixedOffset};
use serde::Serialize;
use serde_json::{json, value::RawValue};
use std::collections::BTreeMap;

/// The gateway's path.
pub const PATH: &str = "/gateway.do";
/// The method that sends.
pub const METHOD: &str = "alipay.open.app.mini.templatemessage.send";
/// The node that its answer stands in.
pub const NODE: &str = "alipay_open_app_mini_templatemessage_send_response";
/// The method that tells whether a user is subscribed. [O]
pub const QUERY_METHOD: &str = "alipay.open.app.messagetemplate.subscribe.query";
/// The node that its answer stands in.
pub const QUERY_NODE: &str = "alipay_open_app_messagetemplate_subscribe_query_response";
/// The code of success.
const SUCCESS: &str = "10000";
/// The code of a method's own refusal: the gateway had let the request pass.
const BUSINESS: &str = "40004";
/// The codes of the gateway that are about who asks: something missing, invalid, or not in place. [O]
const ABOUT_US: [&str; 4] = ["20001", "40001", "40002", "40003"];

/// The adapter of one mini-program.
pub struct Alipay {
    gateway: String,
    appid: String,
    by_user_id: bool,
    credentials: Credentials,
}

impl Alipay {
    /// The adapter of this account.
    ///
    /// # Errors
    /// Which secret is wrong, what it is, and what belongs there.
    pub fn new(account: &Account<'_>) -> Result<Self, BadSecret> {
        Ok(Self {
            // The console shows the gateway's whole address.
            gateway: format!("{}{PATH}", account.base_url.trim_end_matches(PATH)),
            appid: account.appid.to_owned(),
            by_user_id: by_user_id(account.settings),
            credentials: Credentials::read(account)?,
        })
    }

    /// The request of a method. What is signed and what leaves is the same text.
    fn request(&self, method: &str, biz_content: &str, now: Millis) -> Request {
        let timestamp = beijing(now);
        let mut pairs = vec![
            ("app_id", self.appid.as_str()),
            ("charset", "utf-8"),
            ("format", "JSON"),
            ("method", method),
            ("sign_type", "RSA2"),
            ("timestamp", &timestamp),
            ("version", "1.0"),
        ];
        if let Some(numbers) = &self.credentials.numbers {
            pairs.splice(0..0, [("alipay_root_cert_sn", numbers.root.as_str()), ("app_cert_sn", &numbers.app)]);
        }
        let covered = [&pairs[..], &[("biz_content", biz_content)]].concat();
        let sign = self.credentials.private.sign(&signature::text(&covered, &[]));
        pairs.push(("sign", &sign));
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
        let mut request = Request::form(format!("{}?{query}", self.gateway), &[("biz_content", biz_content)]);
        request.headers = vec![("content-type".into(), "application/x-www-form-urlencoded;charset=utf-8".into())];
        request
    }

    /// The answer, if it is one.
    fn read(&self, answer: &Answer) -> Option<Reply> {
        Reply::read(&answer.body, NODE, &self.credentials.alipay)
    }

    /// Why nobody stands for an answer.
    fn badly_signed(&self, reply: &Reply) -> Message {
        match self.other_certificate(reply) {
            Some(named) => say!("answer_of_other_key", certificate = named),
            None => say!("answer_badly_signed"),
        }
    }

    /// Whether an answer names another certificate than the configured one.
    fn other_certificate<'a>(&self, reply: &'a Reply) -> Option<&'a str> {
        let known = self.credentials.numbers.as_ref().map(|numbers| numbers.alipay.as_str());
        reply.certificate.as_deref().filter(|named| known.is_some_and(|known| known != *named))
    }
}

#[derive(Serialize)]
struct Content<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    to_user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to_open_id: Option<&'a str>,
    user_template_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<&'a str>,
    data: String,
    // A form's id or a payment's trade number; left out where an accept pays.
    #[serde(skip_serializing_if = "Option::is_none")]
    form_id: Option<&'a str>,
}

impl Adapter for Alipay {
    fn build(&self, send: &Send<'_>, _auth: &Auth, now: Millis) -> Request {
        let content = Content {
            to_user_id: self.by_user_id.then_some(send.openid),
            to_open_id: (!self.by_user_id).then_some(send.openid),
            user_template_id: send.template,
            // As it is, a leading slash too: so do the recorded requests of others.
            page: send.page,
            data: keywords(send.data),
            form_id: send.ticket.map(|ticket| ticket.id.as_str()),
        };
        self.request(METHOD, &serde_json::to_string(&content).expect("texts serialise"), now)
    }

    fn classify(&self, answer: &Answer) -> Outcome {
        if let Err(outcome) = of_platform(answer) {
            return outcome;
        }
        let Some(reply) = self.read(answer) else {
            return Outcome::Unknown { cause: say!("answer_unreadable", bytes = answer.body.len()) };
        };
        match (reply.signed, reply.said.code.as_str()) {
            // Changed on its way, it may have been a success.
            (Signed::Badly, _) => Outcome::Unknown { cause: self.badly_signed(&reply) },
            (Signed::Well, SUCCESS) if reply.own => Outcome::Accepted { message_id: None },
            (_, SUCCESS) => Outcome::Unknown { cause: say!("success_unsigned") },
            (signed, _) => refused(&reply.said, signed == Signed::Well),
        }
    }

    fn remark(&self, answer: &Answer) -> Option<Message> {
        let reply = (answer.status == 200).then(|| self.read(answer)).flatten()?;
        if let Some(named) = self.other_certificate(&reply).filter(|_| reply.signed == Signed::Well) {
            let known = self.credentials.numbers.as_ref().map(|numbers| numbers.alipay.as_str());
            return Some(say!("certificate_reissued", named = named, known = known.unwrap_or_default()));
        }
        let code = errors::bare(&reply.said.sub_code);
        let unclear = reply.said.code != SUCCESS && errors::UNCLEAR.contains(&code);
        unclear.then(|| say!("code_of_unclear_meaning", code = code, text = reply.said.sub_text))
    }

    fn secrets_end(&self) -> &[(&'static str, Millis)] {
        &self.credentials.ends
    }

    fn proofs(&self) -> Option<&dyn Proofs> {
        Some(self)
    }
}

/// Whoever signs wrongly is refused by the gateway, without a signature; what the method itself answers has passed it, and is signed.
impl Proofs for Alipay {
    /// Whether somebody is subscribed who is nobody: nothing changes by it, and no message leaves.
    fn request(&self, now: Millis) -> Request {
        let (key, nobody) = if self.by_user_id { ("user_id", "2088000000000000") } else { ("open_id", "nobody") };
        self.request(QUERY_METHOD, &json!({ key: nobody, "template_id_list": ["none"] }).to_string(), now)
    }

    fn read(&self, answer: &Answer) -> Result<(), Unproven> {
        of_platform(answer).map_err(|_| Unproven::Untold(say!("http_status", status = answer.status)))?;
        let Some(reply) = Reply::read(&answer.body, QUERY_NODE, &self.credentials.alipay) else {
            return Err(Unproven::Untold(say!("answer_unreadable", bytes = answer.body.len())));
        };
        match (reply.signed, reply.said.code.as_str()) {
            (Signed::Badly, _) => Err(Unproven::Theirs(self.badly_signed(&reply))),
            (Signed::Well, SUCCESS | BUSINESS) if reply.own => Ok(()),
            (_, code) => {
                let (about_us, said) = (ABOUT_US.contains(&code), told(&reply.said));
                let code = errors::bare(&reply.said.sub_code);
                let code = if code.is_empty() { reply.said.code.clone() } else { code.to_owned() };
                Err(match about_us {
                    true => Unproven::Ours { code, text: said },
                    false => Unproven::Untold(say!("platform_said", code = code, text = said)),
                })
            }
        }
    }
}

/// The words of an answer in one line.
fn told(said: &Said) -> String {
    let texts = [said.text.as_str(), errors::bare(&said.sub_code), &said.sub_text];
    texts.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(": ")
}

/// What follows from a refusal. Nobody stands for one that is not signed, so that nobody's consents end by it.
fn refused(said: &Said, signed: bool) -> Outcome {
    let bare = errors::bare(&said.sub_code);
    let text = told(said);
    match errors::listed(&said.code, bare) {
        Some(known) if known.reaction == Reaction::Deny && !signed => {
            FACTS.answered(errors::UNSIGNED.to_owned(), &text, Reaction::Refuse)
        }
        Some(known) => FACTS.answered(known.code.to_owned(), &text, Reaction::Refuse),
        // Not tried again: the next one would fare no better, and the operator can say what the code means.
        None => {
            FACTS.answered(if bare.is_empty() { said.code.clone() } else { bare.to_owned() }, &text, Reaction::Refuse)
        }
    }
}

/// `data` as the platform wants it: a text of JSON, its keywords in the template's order, which is that of their numbers.
fn keywords(data: &str) -> String {
    // Stored by us as an object of strings; an unreadable one is refused by the platform.
    let values: BTreeMap<&str, &RawValue> = serde_json::from_str(data).unwrap_or_default();
    let mut values: Vec<_> = values.into_iter().collect();
    let number = |key: &str| key.trim_start_matches(|c: char| !c.is_ascii_digit()).parse::<u32>().unwrap_or(u32::MAX);
    values.sort_by_key(|(key, _)| number(key));
    let name = |key: &str| serde_json::to_string(key).expect("a text serialises");
    let written: Vec<String> =
        values.iter().map(|(key, value)| format!("{}:{{\"value\":{}}}", name(key), value.get())).collect();
    format!("{{{}}}", written.join(","))
}

/// The time in Beijing, whatever zone the machine is in.
fn beijing(now: Millis) -> String {
    let zone = FixedOffset::east_opt(8 * 3_600).expect("eight hours are an offset");
    DateTime::from_timestamp_millis(now)
        .unwrap_or_default()
        .with_timezone(&zone)
        .format("%Y-%m-%d %H:%M:%S")
        .to_string()
}

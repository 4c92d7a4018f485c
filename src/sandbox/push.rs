//! What the platform pushes: popups, settings and receipts, in all modes and both formats, late, lost, twice and out of order on demand.

use super::Sandbox;
use crate::{
    domain::{Millis, SECOND, push::Item},
    platform::{push::PushSecrets, transport::install_crypto, wechat::callback::Callback},
};
use rand::RngExt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Where an app's pushes go, as an order says it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PushSpec {
    /// Such as `http://127.0.0.1:8700/callback/coffee`.
    pub url: String,
    /// The console's Token.
    pub token: String,
    /// The console's EncodingAESKey; none in plain mode.
    #[serde(default)]
    pub aes_key: Option<String>,
    /// `plain`, `compat` or `secure`; secure if there is a key.
    #[serde(default)]
    pub mode: Option<Mode>,
    /// `json` (default) or `xml`.
    #[serde(default)]
    pub format: Format,
}

/// The console's 消息加密方式.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// 明文.
    Plain,
    /// 兼容: in clear and sealed together.
    Compat,
    /// 安全.
    Secure,
}

/// The console's 数据格式.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// JSON.
    #[default]
    Json,
    /// XML.
    Xml,
}

/// Where an app's pushes go.
#[derive(Debug, Clone)]
pub struct Pusher {
    /// The address.
    pub url: String,
    /// What signs and seals.
    pub callback: Callback,
    /// How it is sealed.
    pub mode: Mode,
    /// How it is written.
    pub format: Format,
}

impl Pusher {
    /// As an order says it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(appid: &str, spec: &PushSpec) -> Result<Self, String> {
        let key = spec.aes_key.as_deref().map(Into::into);
        let callback = Callback::new(appid.into(), spec.token.as_str().into(), key.as_ref())?;
        let default = if key.is_some() { Mode::Secure } else { Mode::Plain };
        let mode = spec.mode.unwrap_or(default);
        if mode != Mode::Plain && key.is_none() {
            return Err("the compat and secure modes need an aes_key".into());
        }
        Ok(Self { url: spec.url.clone(), callback, mode, format: spec.format })
    }

    /// With an app's own secrets: encrypted if they have a key.
    ///
    /// # Errors
    /// What is wrong with the key.
    pub fn of(appid: &str, url: String, secrets: &PushSecrets) -> Result<Self, String> {
        let callback = Callback::new(appid.into(), secrets.token.clone(), secrets.aes_key.as_ref())?;
        let mode = if callback.has_key() { Mode::Secure } else { Mode::Plain };
        Ok(Self { url, callback, mode, format: Format::Json })
    }
}

/// A push on its way.
#[derive(Debug, Clone, PartialEq)]
pub struct Outgoing {
    /// Whose app.
    pub appid: String,
    /// About whom.
    pub openid: String,
    /// What happened.
    pub items: Vec<Item>,
    /// When it happened.
    pub at: Millis,
    /// When it leaves.
    pub due: Millis,
    /// How often it was tried; WeChat tries three times.
    pub tries: u32,
    /// Shapes what the documentation leaves open: numbers or strings.
    pub shape: u64,
}

/// What became of a push.
#[derive(Debug, Clone, Serialize)]
pub struct Pushed {
    /// Whose app.
    pub appid: String,
    /// `subscribe_msg_…`.
    pub event: &'static str,
    /// When it left, UTC milliseconds.
    pub at: Millis,
    /// The HTTP status; `None` without an answer.
    pub status: Option<u16>,
    /// What was answered, or what went wrong.
    pub answer: String,
}

const TRIES: u32 = 3;
const PATIENCE: Duration = Duration::from_secs(5);

impl Outgoing {
    fn event(&self) -> (&'static str, &'static str) {
        match self.items.first() {
            Some(Item::TurnedOff { .. }) => ("subscribe_msg_change_event", "SubscribeMsgChangeEvent"),
            Some(Item::Receipt(_)) => ("subscribe_msg_sent_event", "SubscribeMsgSentEvent"),
            _ => ("subscribe_msg_popup_event", "SubscribeMsgPopupEvent"),
        }
    }

    /// The message in clear, as JSON.
    fn json(&self) -> Value {
        let odd = self.shape % 2 == 1;
        let number = |n: i64| if odd { Value::String(n.to_string()) } else { n.into() };
        let item = |item: &Item| match item {
            Item::Answered { template, accepted } => json!({
                "TemplateId": template, "SubscribeStatusString": if *accepted { "accept" } else { "reject" }, "PopupScene": "0",
            }),
            Item::TurnedOff { template } => json!({ "TemplateId": template, "SubscribeStatusString": "reject" }),
            Item::Receipt(receipt) => json!({
                "TemplateId": receipt.template,
                "MsgID": receipt.message_id.as_deref().unwrap_or("0"),
                "ErrorCode": receipt.failure.as_deref().unwrap_or("0"),
                "ErrorStatus": receipt.text,
            }),
        };
        let mut items: Vec<Value> = self.items.iter().map(item).collect();
        // Documented since somebody fell over it: one item is no list.
        let list = if items.len() == 1 { items.remove(0) } else { Value::Array(items) };
        json!({
            "ToUserName": "gh_sandbox", "FromUserName": self.openid, "CreateTime": number(self.at / SECOND), "MsgType": "event",
            "Event": self.event().0, "List": list,
        })
    }

    /// The query and the body, signed and sealed as of `now`.
    pub fn written(&self, pusher: &Pusher, now: Millis, random: [u8; 16]) -> (String, String) {
        let value = self.json();
        let clear = match pusher.format {
            Format::Json => value.to_string(),
            Format::Xml => format!("<xml>{}</xml>", self.xml(&value)),
        };
        let (timestamp, nonce) =
            ((now / SECOND).to_string(), u32::from_be_bytes(random[..4].try_into().expect("four")).to_string());
        let signature = pusher.callback.sign(&timestamp, &nonce, None);
        let query = format!("signature={signature}&timestamp={timestamp}&nonce={nonce}&openid={}", self.openid);
        if pusher.mode == Mode::Plain {
            return (query, clear);
        }
        let sealed = pusher.callback.seal(clear.as_bytes(), random).expect("these modes have a key");
        let signature = pusher.callback.sign(&timestamp, &nonce, Some(&sealed));
        let query = format!("{query}&encrypt_type=aes&msg_signature={signature}");
        let body = match (pusher.format, pusher.mode) {
            (Format::Json, Mode::Compat) => {
                let mut both = value;
                both["Encrypt"] = sealed.into();
                both.to_string()
            }
            (Format::Json, _) => json!({ "ToUserName": "gh_sandbox", "Encrypt": sealed }).to_string(),
            (Format::Xml, mode) => {
                let beside = if mode == Mode::Compat { self.xml(&value) } else { cdata("ToUserName", "gh_sandbox") };
                format!("<xml>{beside}{}</xml>", cdata("Encrypt", &sealed))
            }
        };
        (query, body)
    }

    /// The message as the members of its XML.
    fn xml(&self, value: &Value) -> String {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let heads = ["ToUserName", "FromUserName", "CreateTime", "MsgType", "Event"];
        let heads: String = heads.iter().map(|name| cdata(name, &text(&value[*name]))).collect();
        let items = value["List"].as_array().cloned().unwrap_or_else(|| vec![value["List"].clone()]);
        let item = |item: &Value| {
            let members = item.as_object().into_iter().flatten();
            format!("<List>{}</List>", members.map(|(name, value)| cdata(name, &text(value))).collect::<String>())
        };
        let wrapper = self.event().1;
        format!("{heads}<{wrapper}>{}</{wrapper}>", items.iter().map(item).collect::<String>())
    }
}

fn cdata(name: &str, text: &str) -> String {
    format!("<{name}><![CDATA[{}]]></{name}>", text.replace("]]>", "]]]]><![CDATA[>"))
}

impl Sandbox {
    /// Delivers pushes until `stop`.
    pub async fn push(self, stop: CancellationToken) {
        install_crypto();
        let client =
            reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().expect("a client without settings");
        while !stop.is_cancelled() {
            let now = self.clock.now();
            let due = self.world().take_pushes(now);
            for (outgoing, pusher) in due {
                let (sandbox, client) = (self.clone(), client.clone());
                tokio::spawn(async move { sandbox.deliver(&client, outgoing, &pusher).await });
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn deliver(&self, client: &reqwest::Client, mut outgoing: Outgoing, pusher: &Pusher) {
        let now = self.clock.now();
        let (query, body) = outgoing.written(pusher, now, rand::rng().random());
        let kind = if pusher.format == Format::Json { "application/json" } else { "text/xml" };
        let request = client.post(format!("{}?{query}", pusher.url)).header("content-type", kind).body(body);
        let (status, answer) = match request.send().await {
            Ok(answer) => (Some(answer.status().as_u16()), answer.text().await.unwrap_or_default()),
            Err(e) => (None, e.without_url().to_string()),
        };
        let taken = status == Some(200) && (answer.is_empty() || answer == "success");
        let event = outgoing.event().0;
        let mut world = self.world();
        world.pushed.push(Pushed { appid: outgoing.appid.clone(), event, at: now, status, answer });
        outgoing.tries += 1;
        if !taken && outgoing.tries < TRIES {
            outgoing.due = now + SECOND;
            world.push_again(outgoing);
        }
    }
}

//! Douyin (抖音): what is static about it, and the map of its folder.
//!
//! Source: developer.open-douyin.com and partner.open-douyin.com, official, copies of 2024 to 2026; what rests on third parties, or could
//! not be read at all, is said where it is used. Mini-games have another host and other calls, and are not built.

mod adapter;
pub mod errors;
mod fields;
mod popup;
pub mod webhook;

pub use adapter::Douyin;

use super::{
    Facts,
    facts::{AppidShape, Doubt, LeftOut, Popup, PushFacts, PushSecret, Sample, Tells},
    push::Pushes,
};
use crate::domain::{SECOND, consent::Tickets, options::SendOption, page::PageRules, template::Kind};
use webhook::Webhook;

/// What is static about Douyin.
pub const FACTS: Facts = Facts {
    word: "douyin",
    base_url: "https://open.douyin.com",
    appid: AppidShape { like: "tt0123456789abcdef", fits: |appid| appid.starts_with("tt") },
    credentials: &[&["secret"]],
    public: &[],
    settings: &[NOTIFY_TYPE],
    user: |_, _| Ok(()),
    openid_columns: &["抖音openid"],
    popup: Popup {
        most: 3,
        usual: 3,
        words: popup::WORDS,
        beside: popup::BESIDE,
        grants: popup::grants,
        adds_nothing: popup::adds_nothing,
        read: popup::read,
    },
    kinds: &[Kind::OneTime, Kind::LongTerm],
    // How often and for how long a template's accept can be used is set when the template is approved, and shown in the console alone.
    accepts_many: true,
    tickets: Tickets::NONE,
    page: |_| PageRules::FREE,
    lists_addresses: false,
    // Said of mini-games.
    most_per_second: Some(1_000),
    apart: Some(SECOND),
    fields: fields::RULES,
    options: &[],
    // Nothing can be told about a lost answer: an accept can be worth several messages, so a second one may well be taken, and only the
    // failure of a banner is pushed, never the arrival of a message. The question whether a user is subscribed is answered without a count.
    doubt: Doubt { counts_consents: false, sends_receipts: false },
    codes: errors::TABLE,
    adapter: |account| Ok(Box::new(Douyin::new(account))),
    pushes: Some(PushFacts {
        // The app's own secret signs, unless another was chosen for the webhook in the console.
        secrets: &[PushSecret { key: "secret", left_out: LeftOut::Replaced }],
        tells: Tells { taps: true, failures: true },
        reader: |account, secrets| {
            let secret = secrets.get("secret").cloned().unwrap_or_else(|| account.secret("secret"));
            Webhook::new(account.appid.into(), secret).map(|webhook| Box::new(webhook) as Box<dyn Pushes>)
        },
    }),
    sample: Sample {
        appid: "tt0123456789abcdef",
        own: r#"# A secret is never written here: { file = "…" }, { env = "NAME" } or { credential = "name" } (systemd).
secret = { file = "coffee.secret" }
# notify_type = "both"               # how a user is told: banner, message or both; Douyin chooses, unless said
"#,
        files: &[("coffee.secret", "sandbox-secret\n")],
        callback: r#"# The console's webhook is http(s)://…/callback/coffee; {} if the app's own secret signs it, else { secret = { file = "coffee.webhook" } }
# callback = {}
# consents = "reconcile"             # whose word on a tap counts: client (default), callback, or both and never twice
"#,
        templates: include_str!("templates.toml"),
        event: ["活动名称", "开始时间", "活动地点"],
        openid: |n| format!("_000demo-user-{n:04}"),
    },
};

/// How a user is told of a message: by a banner at once, in the app, or both. Official. A banner alone fails where the template lacks that
/// ability or the user does not allow it, and what is chosen where nothing is said is not documented. So nothing is, unless the app says it.
const NOTIFY_TYPE: SendOption =
    SendOption { name: "notify_type", values: &["auto", "banner", "message", "both"], default: "auto" };

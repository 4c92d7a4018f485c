//! WeChat (微信): what is static about it, and the map of its folder.
//!
//! Source: developers.weixin.qq.com, official, copies of 2026; what rests on reports only is said where it is used.

mod adapter;
pub mod callback;
pub mod errors;
mod event;
pub mod fields;

pub use adapter::{Wechat, field_at_fault};

use super::{
    Facts,
    facts::{AppidShape, Doubt, LeftOut, Popup, PushFacts, PushSecret, Sample, Tells},
    popup,
    push::Pushes,
};
use crate::domain::{consent::Tickets, options::SendOption, page::PageRules, template::Kind};
use callback::Callback;

/// What is static about WeChat.
pub const FACTS: Facts = Facts {
    word: "wechat",
    base_url: "https://api.weixin.qq.com",
    appid: AppidShape { like: "wx0123456789abcdef", fits: |appid| appid.starts_with("wx") && appid.len() == 18 },
    credentials: &[&["secret"]],
    public: &[],
    settings: &[],
    user: |_, _| Ok(()),
    openid_columns: &["微信openid"],
    // Three templates in one popup for years, and five now; old clients show three. `acceptWithForcePush` is not documented and was seen.
    popup: Popup {
        most: 5,
        usual: 3,
        words: &[
            "accept",
            "acceptWithAudio",
            "acceptWithAlert",
            "acceptWithForcePush",
            "reject",
            "ban",
            "filter",
            "dismissed",
        ],
        beside: &["errMsg", "errCode"],
        grants,
        adds_nothing: |_| None,
        read: |result| popup::read(&FACTS.popup, result),
    },
    kinds: &[Kind::OneTime, Kind::LongTerm],
    accepts_many: false,
    tickets: Tickets::NONE,
    page: |_| PageRules::FREE,
    lists_addresses: true,
    most_per_second: None,
    apart: None,
    fields: fields::RULES,
    options: &[LANG, MINIPROGRAM_STATE],
    doubt: Doubt { counts_consents: true, sends_receipts: true },
    codes: errors::TABLE,
    adapter: |account| Ok(Box::new(Wechat::new(account))),
    pushes: Some(PushFacts {
        secrets: &[
            PushSecret { key: "token", left_out: LeftOut::Refused },
            PushSecret { key: "aes_key", left_out: LeftOut::InClear },
        ],
        tells: Tells { taps: true, failures: true },
        reader: |account, secrets| {
            let callback = Callback::new(account.appid.into(), secrets["token"].clone(), secrets.get("aes_key"));
            callback.map(|callback| Box::new(callback) as Box<dyn Pushes>)
        },
    }),
    sample: Sample {
        appid: "wx0123456789abcdef",
        own: r#"# A secret is never written here: { file = "…" }, { env = "NAME" } or { credential = "name" } (systemd).
secret = { file = "coffee.secret" }
"#,
        files: &[("coffee.secret", "sandbox-secret\n")],
        callback: r#"# What the platform's console says under 消息推送, where its URL is http(s)://…/callback/coffee
# callback = { token = { file = "coffee.token" }, aes_key = { file = "coffee.key" } }
# consents = "reconcile"             # whose word on a tap counts: client (default), callback, or both and never twice
# receipt_wait = "60s"               # how long a doubt waits for the platform's receipt
"#,
        templates: include_str!("templates.toml"),
        event: ["thing1", "time2", "thing5"],
        openid: |n| format!("o-demo-user-{n:04}"),
    },
};

/// The language of what WeChat adds to the message.
const LANG: SendOption = SendOption { name: "lang", values: &["zh_CN", "en_US", "zh_HK", "zh_TW"], default: "zh_CN" };

/// Which build of the mini-program opens on tap.
const MINIPROGRAM_STATE: SendOption =
    SendOption { name: "miniprogram_state", values: &["formal", "trial", "developer"], default: "formal" };

/// Whether a word of the popup grants a consent: `accept` does, and every word that begins with `acceptWith`, also one that is not
/// documented yet.
pub fn grants(word: &str) -> Option<bool> {
    let accepted = word == "accept" || word.strip_prefix("acceptWith").is_some_and(|how| !how.is_empty());
    (accepted || FACTS.popup.words.contains(&word)).then_some(accepted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_accept_grants_and_an_unknown_word_is_unknown() {
        let table = [
            ("accept", Some(true)),
            ("acceptWithAlert", Some(true)),
            ("acceptWithSomethingNew", Some(true)),
            ("acceptWith", None),
            ("reject", Some(false)),
            ("ban", Some(false)),
            ("filter", Some(false)),
            ("dismissed", Some(false)),
            ("Accept", None),
            ("yes", None),
            ("accepted", None),
            ("accept_denied", None),
            ("accept ", None),
            ("", None),
        ];
        for (word, granted) in table {
            assert_eq!(grants(word), granted, "{word}");
        }
    }
}

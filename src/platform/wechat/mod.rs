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
    facts::{AppidShape, Doubt, Popup},
};
use crate::domain::{options::SendOption, template::Kind};

/// What is static about WeChat.
pub const FACTS: Facts = Facts {
    word: "wechat",
    base_url: "https://api.weixin.qq.com",
    appid: AppidShape { like: "wx0123456789abcdef", fits: |appid| appid.starts_with("wx") && appid.len() == 18 },
    credentials: &["secret"],
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
        grants,
    },
    kinds: &[Kind::OneTime, Kind::LongTerm],
    fields: fields::RULES,
    options: &[LANG, MINIPROGRAM_STATE],
    doubt: Doubt { counts_consents: true, sends_receipts: true },
    codes: errors::TABLE,
    adapter: |account| Box::new(Wechat::new(account)),
    pushes: Some(|account, secrets| {
        let callback = callback::Callback::new(account.appid.into(), secrets.token.clone(), secrets.aes_key.as_ref())?;
        Ok(Box::new(callback))
    }),
};

/// The language of what WeChat adds to the message.
const LANG: SendOption = SendOption { name: "lang", values: &["zh_CN", "en_US", "zh_HK", "zh_TW"], default: "zh_CN" };

/// Which build of the mini-program opens on tap.
const MINIPROGRAM_STATE: SendOption =
    SendOption { name: "miniprogram_state", values: &["formal", "trial", "developer"], default: "formal" };

/// Whether a word of the popup grants a consent: every word that begins with `accept` does, also one that is not documented yet.
pub fn grants(word: &str) -> Option<bool> {
    let accepted = word.starts_with("accept");
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
            ("reject", Some(false)),
            ("ban", Some(false)),
            ("filter", Some(false)),
            ("dismissed", Some(false)),
            ("Accept", None),
            ("", None),
        ];
        for (word, granted) in table {
            assert_eq!(grants(word), granted, "{word}");
        }
    }
}

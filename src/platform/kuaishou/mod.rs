//! Kuaishou (快手): what is static about it, and the map of its folder.
//!
//! Source: mp.kuaishou.com `develop/server/sendMessage` (official, of 2024-05-28) and `getAccessToken`, and the error page of
//! open.kuaishou.com in a third party's copy of 2026-08. Nothing was tried with a real account. What the documents leave open is a
//! setting with the careful default: `page_query`, `token_in` and `day`.

mod adapter;
pub mod errors;
pub mod fields;

pub use adapter::{Kuaishou, SEND_PATH, TOKEN_PATH};

use super::{
    Facts,
    facts::{AppidShape, Doubt, Popup, Sample},
    popup,
};
use crate::domain::{consent::Tickets, options::SendOption, page::PageRules, template::Kind};

/// What is static about Kuaishou.
pub const FACTS: Facts = Facts {
    word: "kuaishou",
    base_url: "https://open.kuaishou.com",
    appid: AppidShape { like: "ks000000000000000001", fits: |appid| appid.starts_with("ks") && appid.len() > 10 },
    credentials: &[&["secret"]],
    public: &[],
    settings: &[PAGE_QUERY, TOKEN_IN, DAY],
    user: |_, _| Ok(()),
    openid_columns: &["快手openid"],
    // What `ks.requestSubscribeMessage` gives is not documented. It is read as its model gives it, and three templates are its model's
    // old number.
    popup: Popup {
        most: 3,
        usual: 3,
        words: &["accept", "reject", "ban", "filter"],
        grants: |word| FACTS.popup.words.contains(&word).then_some(word == "accept"),
        adds_nothing: |_| None,
        beside: &["errMsg", "errCode", "errorCode", "error_msg", "result"],
        read: |result| popup::read(&FACTS.popup, result),
    },
    // Nothing is said of consents that last, so one accept is one send.
    kinds: &[Kind::OneTime],
    accepts_many: false,
    tickets: Tickets::NONE,
    page: |settings| PageRules { needed: true, query: PAGE_QUERY.of(settings) == "yes", most: 1_024 },
    lists_addresses: false,
    most_per_second: Some(100),
    apart: None,
    fields: fields::RULES,
    options: &[],
    // Which code says that a consent is used up is not documented, so a second message would not show whether the first one arrived. It
    // pushes nothing.
    doubt: Doubt { counts_consents: false, sends_receipts: false },
    codes: errors::TABLE,
    adapter: |account| Ok(Box::new(Kuaishou::new(account))),
    pushes: None,
    sample: Sample {
        appid: "ks000000000000000001",
        own: r#"# A secret is never written here: { file = "…" }, { env = "NAME" } or { credential = "name" } (systemd).
secret = { file = "coffee.secret" }
# page_query = "yes"                 # a page may have a query, which the platform's documents do not say
# token_in = "query"                 # app_id and access_token go in the query, not in the form
# day = "日"                         # how a date ends: 号, as documented, or 日
"#,
        files: &[("coffee.secret", "sandbox-secret\n")],
        callback: "",
        templates: include_str!("templates.toml"),
        event: ["thing01", "thing02", "thing03"],
        openid: |n| format!("ks-demo-user-{n:04}"),
    },
};

/// Whether a page may have a query: the documents speak of the path alone.
const PAGE_QUERY: SendOption = SendOption { name: "page_query", values: &["no", "yes"], default: "no" };

/// Where `app_id` and `access_token` of a send go. The table of the page puts them beside the form's fields; the error page speaks of
/// «query params».
const TOKEN_IN: SendOption = SendOption { name: "token_in", values: &["form", "query"], default: "form" };

/// How a date ends. The documents' pattern and example end in 号, which may be a slip.
const DAY: SendOption = SendOption { name: "day", values: &["号", "日"], default: "号" };

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_popups_result_is_read_as_it_is() {
        let read = |result| (FACTS.popup.read)(&result).ok();
        let both = json!({ "errMsg": "requestSubscribeMessage:ok", "result": 1, "T1": "accept", "T2": "reject" });
        assert_eq!(read(both), Some([("T1".to_owned(), true.into()), ("T2".to_owned(), false.into())].into()));
        assert_eq!(read(json!({ "errMsg": "requestSubscribeMessage:fail", "errCode": 20004 })), Some([].into()));
        for bad in [
            json!({ "T1": "acceptWithAlert" }),
            json!({ "T1": true }),
            json!([]),
            json!("accept"),
            json!({}),
            json!({ "result": { "T1": "accept" } }),
        ] {
            assert_eq!(read(bad.clone()), None, "{bad}");
        }
    }

    #[test]
    fn a_page_is_a_path_alone_unless_the_app_says_otherwise() {
        let rules = |said: &[(&'static str, &str)]| {
            (FACTS.page)(&said.iter().map(|(name, value)| (*name, (*value).to_owned())).collect())
        };
        let (path, query) = (Some("pages/event"), Some("pages/event?id=42"));
        let plain = rules(&[]);
        assert!(plain.check(path).is_ok() && plain.check(query).is_err() && plain.check(None).is_err());
        let free = rules(&[("page_query", "yes")]);
        assert!(free.check(path).is_ok() && free.check(query).is_ok() && free.check(None).is_err());
    }
}

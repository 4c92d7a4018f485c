//! Baidu's smart programs (百度智能小程序): what is static about them, and the map of its folder.
//!
//! Source: smartprogram.baidu.com `sendTemplateMessage`, `form` and `open_infomation` (official, copies of 2020), the manual of the
//! subscribe send of 2021-03, and Baidu's own Go client of 2023-03. Nothing was tried with a real account, and whether Baidu still opens
//! the ability to new programs is unknown.

mod adapter;
pub mod errors;
mod fields;
mod popup;

pub use adapter::{Baidu, SUBSCRIBE_PATH, TEMPLATE_PATH, TOKEN_PATH};

use super::{
    Facts,
    facts::{AppidShape, Doubt, Popup, Sample},
};
use crate::domain::{
    DAY,
    consent::{TicketKind, Tickets},
    options::SendOption,
    page::PageRules,
    template::Kind,
};

/// What is static about Baidu.
pub const FACTS: Facts = Facts {
    word: "baidu",
    base_url: "https://openapi.baidu.com",
    // An App Key; its length is general knowledge and not documented.
    appid: AppidShape { like: "Gm3kTq8vB1xYc6LdR9sWe2Zu", fits: |appid| matches!(appid.len(), 24 | 32) },
    credentials: &[&["secret"]],
    public: &[],
    settings: &[ORDER_USER],
    user: |_, _| Ok(()),
    openid_columns: &["百度openid", "swanid", "swan_id"],
    // There is no popup for several templates: a form, or a button, asks for one.
    popup: Popup {
        most: 1,
        usual: 1,
        words: &["accept", "reject"],
        beside: &["errMsg", "errCode"],
        grants: |word| FACTS.popup.words.contains(&word).then_some(word == "accept"),
        adds_nothing: |_| None,
        read: popup::read,
    },
    kinds: &[Kind::OneTime],
    accepts_many: false,
    tickets: Tickets { kinds: &[SUBSCRIBE, FORM, PAYMENT, ORDER], needed: true },
    page: |_| PageRules::FREE,
    lists_addresses: false,
    most_per_second: None,
    apart: None,
    fields: fields::RULES,
    options: &[],
    // One id is good for one send, so a second message should be refused. But which code a used id gets is not listed, so its refusal could
    // not be told from that of a user who has cancelled: nothing is concluded from it. It pushes nothing.
    doubt: Doubt { counts_consents: false, sends_receipts: false },
    codes: errors::TABLE,
    adapter: |account| Ok(Box::new(Baidu::new(account))),
    pushes: None,
    sample: Sample {
        appid: "Gm3kTq8vB1xYc6LdR9sWe2Zu",
        own: r#"# The appid is the App Key, and the secret is the App Secret.
# A secret is never written here: { file = "…" }, { env = "NAME" } or { credential = "name" } (systemd).
secret = { file = "coffee.secret" }
# order_user = "open_id"             # who paid was logged in, also where the number of an order ends in 0
"#,
        files: &[("coffee.secret", "sandbox-secret\n")],
        callback: "",
        templates: include_str!("templates.toml"),
        event: ["keyword1", "keyword2", "keyword3"],
        openid: |n| format!("baidu-demo-user-{n:04}"),
    },
};

/// The id of a subscription: made before the dialog, one send, no end. Accepting again under the same id adds nothing. Official.
pub const SUBSCRIBE: TicketKind = TicketKind { word: "subscribe", sends: 1, lives: None, minted: true };
/// The id of a form that a user has submitted: one send within seven days. Official.
pub const FORM: TicketKind = TicketKind { word: "form", sends: 1, lives: Some(7 * DAY), minted: false };
/// The id of an order that was paid at Baidu's own cashier (收银台): three sends within seven days. Official.
pub const PAYMENT: TicketKind = TicketKind { word: "payment", sends: 3, lives: Some(7 * DAY), minted: false };
/// The id of an order that was paid elsewhere (直连): the same.
pub const ORDER: TicketKind = TicketKind { word: "order", sends: 3, lives: Some(7 * DAY), minted: false };

/// How the user of an order is named. The manual says of every scene's id, and names orders among them, that the last character is 1 where
/// the user was logged in, and 0 for a guest. That is plain for a form's id, which Baidu makes for it. But an order's number comes from a
/// cashier, and whether one that ends in 0 was always a guest's is not said. So the rule holds for orders too, unless the app says that
/// whoever pays is logged in.
const ORDER_USER: SendOption = SendOption { name: "order_user", values: &["by_id", "open_id"], default: "by_id" };

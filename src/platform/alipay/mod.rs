//! Alipay (支付宝): what is static about it, and the map of its folder.
//!
//! Sources are marked in this folder as in the reference it was written from: [O] the platform's own documents or its own clients' source,
//! [T] others' notes and clients, [I] read from a name or from two facts together, [G] common knowledge, [?] looked for and not found.
//! Nothing was tried against the live platform. What nobody says is decided the careful way, and said where it is decided.

mod adapter;
mod answer;
mod certificate;
mod credentials;
mod errors;
mod fields;
mod key;
mod material;
mod notify;
mod popup;
pub mod signature;
#[cfg(test)]
mod recorded;

pub use adapter::{Alipay, METHOD, NODE, PATH, QUERY_METHOD, QUERY_NODE};
pub use certificate::{Certificate, root_sn};
pub use credentials::Credentials;
pub use key::{PrivateKey, PublicKey};
pub use material::Material;

use super::{
    Facts,
    facts::{AppidShape, Doubt, Popup, PushFacts, Sample, Tells},
};
use crate::{
    domain::{
        DAY,
        consent::{TicketKind, Tickets},
        options::{Options, SendOption},
        page::PageRules,
        template::Kind,
    },
    words::{Message, say},
};

/// What is static about Alipay.
pub const FACTS: Facts = Facts {
    word: "alipay",
    base_url: "https://openapi.alipay.com",
    appid: AppidShape { like: "2021001234567890", fits: is_sixteen_digits },
    credentials: &[
        &["private_key", "alipay_public_key"],
        &["private_key", "certificates.app", "certificates.alipay", "certificates.root"],
    ],
    public: &["alipay_public_key", "certificates.app", "certificates.alipay", "certificates.root"],
    settings: &[USER_ID],
    user,
    openid_columns: &["支付宝openid", "支付宝open_id", "支付宝user_id"],
    // [O] At most three in one popup, all of one kind.
    popup: Popup {
        most: 3,
        usual: 3,
        words: &["accept", "reject"],
        beside: popup::OTHERS,
        grants: popup::grants,
        adds_nothing: |_| None,
        read: popup::read,
    },
    kinds: &[Kind::OneTime, Kind::LongTerm],
    accepts_many: false,
    tickets: Tickets { kinds: &[FORM, PAYMENT], needed: false },
    // [O] Needed, at most 128 characters, and a query is allowed.
    page: |_| PageRules { needed: true, query: true, most: 128 },
    lists_addresses: false,
    // [?] No number is documented: too many show as `*-call-limited`.
    most_per_second: None,
    apart: None,
    fields: fields::RULES,
    options: &[],
    // [O] One accept is one send, so a second message for it is refused. But [?] whether a silent call under «always keep this choice» adds a
    // send that nobody tells us of is not written, and then a second message would be taken. So a doubt is never resent as if that were safe.
    // There is no receipt, and the query of subscriptions gives no counts.
    doubt: Doubt { counts_consents: false, sends_receipts: false },
    codes: errors::TABLE,
    adapter: |account| Ok(Box::new(Alipay::new(account)?)),
    pushes: Some(PushFacts { secrets: &[], tells: Tells::NOTHING, reader: notify::reader }),
    sample: Sample {
        appid: "2021001234567890",
        own: r#"# A key is never written here: { file = "…" }, { env = "NAME" } or { credential = "name" } (systemd).
private_key = { file = "coffee.key" }         # 应用私钥: PEM or the tool's bare base64, PKCS#1 or PKCS#8
alipay_public_key = { file = "alipay.pub" }   # 支付宝公钥, which is not the app's; or certificate mode instead of it:
# certificates = { app = { file = "appCertPublicKey.crt" }, alipay = { file = "alipayCertPublicKey_RSA2.crt" }, root = { file = "alipayRootCert.crt" } }
# user_id = "user_id"                # an app that calls its users by 2088… and not by open ids
"#,
        files: &[("coffee.key", include_str!("sample/coffee.key")), ("alipay.pub", include_str!("sample/alipay.pub"))],
        callback: r#"# The gateway's notifications, where its address is http(s)://…/callback/coffee: verified with Alipay's key
# callback = {}
"#,
        templates: include_str!("templates.toml"),
        event: ["keyword1", "keyword2", "keyword3"],
        openid: |n| format!("074demo-user-{n:04}"),
    },
};

/// Which of a user's two ids `openid` is.
const USER_ID: SendOption = SendOption { name: "user_id", values: &["open_id", "user_id"], default: "open_id" };

/// [O] A form's id: three sends within seven days.
const FORM: TicketKind = TicketKind { word: "form", sends: 3, lives: Some(7 * DAY), minted: false };

/// A payment's trade number: [O] within seven days. [?] How many sends it is good for is not written, so one.
const PAYMENT: TicketKind = TicketKind { word: "payment", sends: 1, lives: Some(7 * DAY), minted: false };

fn is_sixteen_digits(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|b| b.is_ascii_digit())
}

/// Whether the app calls its users by `user_id` (2088…) and not by the open id.
fn by_user_id(settings: &Options) -> bool {
    USER_ID.of(settings) == "user_id"
}

/// A user id is 2088 and twelve digits, and an open id never is.
fn user(id: &str, settings: &Options) -> Result<(), Message> {
    let is_user_id = is_sixteen_digits(id) && id.starts_with("2088");
    match (by_user_id(settings), is_user_id) {
        (false, true) => Err(say!("user_id_for_open_id")),
        (true, false) => Err(say!("open_id_for_user_id")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_id_is_refused_where_an_open_id_belongs_and_the_other_way_round() {
        let settings = |word: &str| Options::from([("user_id", word.to_owned())]);
        for (setting, id, good) in [
            ("open_id", "074a1CcTG1LelxKe4xQC0zgNdId0nxi95b5lsNpazWYoCo5", true),
            ("open_id", "2088000000000001", false),
            ("open_id", "20880000000000012", true),
            ("user_id", "2088000000000001", true),
            ("user_id", "2021000000000001", false),
            ("user_id", "074a1CcTG1LelxKe4xQC0zgNdId0nxi95b5lsNpazWYoCo5", false),
            ("user_id", "208800000000000a", false),
        ] {
            assert_eq!(user(id, &settings(setting)).is_ok(), good, "{setting}: {id}");
        }
        assert!(user("2088000000000001", &Options::new()).is_err(), "open ids unless the app says otherwise");
    }
}

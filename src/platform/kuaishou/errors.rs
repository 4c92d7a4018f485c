//! Kuaishou's result codes as data: what each means for a reminder and what a person should do.
//!
//! The mark before a group says where it comes from: [O] the official error page, in a third party's copy of 2026-08; [T] a third
//! party's copy of the codes of OAuth. The codes for «not subscribed», «used up» and «refused» are in no table that could be read:
//! whatever is not listed ends the reminder without another try, keeps its consent, and alarms.

use crate::{
    domain::{HOUR, MINUTE, SECOND, outcome::Reaction},
    platform::code::{Blame, Code},
};

/// What follows from a code that is not listed: it fails for good, and keeps its consent.
pub const UNKNOWN: Reaction = Reaction::Refuse;

/// A failure inside the platform. Nobody says whether a message may have been taken all the same.
const BUSY: Reaction = Reaction::Unsure { first: 2 * SECOND };
/// Nothing of this app can be sent, and nothing is burnt while it is so.
const LONG: Reaction = Reaction::Pause { pause: 10 * MINUTE };

const fn entry(code: &'static str, reaction: Reaction, en: &'static str, zh: &'static str) -> Code {
    Code::new(code, reaction, en, zh)
}

/// All listed codes.
#[rustfmt::skip]
pub const TABLE: &[Code] = &[
    // The token. [O]
    entry("100200102", Reaction::Token, "the token is invalid or has expired; tixing renews it", "access_token 无效或已过期，自动更新"),
    // [T]
    entry("100200108", Reaction::Token, "the token has expired; tixing renews it", "access_token 已过期，自动更新"),

    // This reminder or its template. [O]
    entry("100200100", Reaction::Refuse, "a parameter is missing or wrong; the text says which", "参数缺失或有误，详见错误信息").blaming(Blame::Content),
    entry("10000200", Reaction::Refuse, "a parameter is missing or wrong; the text says which. If it names app_id or access_token, set token_in = \"query\"", "参数缺失或有误，详见错误信息；若提示缺少 app_id 或 access_token，请设置 token_in = \"query\"").blaming(Blame::Content),
    entry("10000303", Reaction::Refuse, "the platform's anti-spam policy was hit; change the text, and see the console", "命中平台反作弊策略，请修改文案并查看后台通知"),
    // [T]
    entry("100200107", Reaction::Refuse, "the open id is not one of this mini-program's users; check where it came from", "open_id 不属于该小程序，请检查来源"),

    // Pace: an app has 100 requests a second. [O]
    entry("10000302", Reaction::Slow { pause: 5 * SECOND }, "too many requests; sends wait a moment, and the rate halves for a while", "请求过于频繁，稍候继续，速率暂时减半"),

    // A failure inside the platform. [O]
    entry("10000500", BUSY, "the platform has failed; tixing tries again", "快手系统异常，稍后自动重试"),
    Code::doubt("504001", "the platform ran out of time and does not say whether it took the message", "平台处理超时，无法确认消息是否已受理"),
    // [T]
    entry("100200500", BUSY, "the platform has failed; tixing tries again", "快手系统异常，稍后自动重试"),

    // The account or the configuration. [O]
    entry("100200101", LONG, "the app's id or secret is wrong, or was reset; put the right one in its file, which is read again within seconds", "app_id 或 app_secret 错误或已重置，请更新密钥文件，数秒内会自动重新读取"),
    entry("100200104", LONG, "the token request was malformed; report this to tixing's authors", "token 请求不合法，请向 tixing 反馈"),
    entry("1026", Reaction::Pause { pause: HOUR }, "the platform has no such path; check base_url", "接口路径不存在，请检查 base_url"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_code_is_listed_twice() {
        let codes: std::collections::BTreeSet<_> = TABLE.iter().map(|known| known.code).collect();
        assert_eq!(codes.len(), TABLE.len());
    }
}

//! Baidu's codes as data: what each means for a reminder and what a person should do.
//!
//! They come in two shapes: a business code (`errno`, from 1000 on) and one of the gateway before it (`error_code`, below 1000). The mark
//! before a group says where it comes from: [O] the manuals of 2020 and 2021; [I] documented for other services of the same gateway. Which
//! code a subscribe id gets that was used already is not listed; 4007 is likely. A code that is not listed ends the reminder without another
//! try, keeps its consent, and alarms.

use crate::{
    domain::{HOUR, MINUTE, SECOND, outcome::Reaction},
    platform::code::{Blame, Code},
};

/// What follows from a code that is not listed: it fails for good, and keeps its consent.
pub const UNKNOWN: Reaction = Reaction::Refuse;

/// Nothing of this app can be sent, and nothing is burnt while it is so.
pub(super) const LONG: Reaction = Reaction::Pause { pause: 10 * MINUTE };

const fn entry(code: &'static str, reaction: Reaction, en: &'static str, zh: &'static str) -> Code {
    Code::new(code, reaction, en, zh)
}

/// All listed codes.
#[rustfmt::skip]
pub const TABLE: &[Code] = &[
    // This reminder or its template. [O]
    entry("2002", Reaction::Refuse, "a parameter is missing or wrong", "参数缺失或有误").blaming(Blame::Content),
    entry("4001", Reaction::Refuse, "the template id is not in this account: it may have been deleted; check the template list", "模板 ID 不存在或已删除，请检查模板列表").blaming(Blame::Gone),
    entry("4010", Reaction::Refuse, "the open id is not one of this program's users; check where it came from", "open_id 不属于该小程序，请检查来源"),
    Code::doubt("4002", "the platform's own call failed, and it does not say whether the message went out", "消息推送接口调用失败，无法确认消息是否已发出"),

    // The consent. [O]
    entry("4003", Reaction::Deny, "the form's id is not valid, or was used", "表单 ID 无效或已使用"),
    entry("4004", Reaction::Deny, "the form's or order's id has expired, belongs to another user, or was got while the user was in another state of login", "场景 ID 已过期、属于其他用户，或与用户登录状态不一致"),
    entry("4007", Reaction::Deny, "the user has not subscribed under this subscribe id, or has cancelled; ask again in the program, under a new id", "用户未订阅或已取消订阅，请在小程序内用新的 subscribe_id 重新请求订阅"),

    // The token. [I]
    entry("110", Reaction::Token, "the token is invalid, perhaps because the App Secret was reset; tixing renews it", "access_token 无效（可能重置过 App Secret），自动更新"),
    entry("111", Reaction::Token, "the token has expired; tixing renews it", "access_token 已过期，自动更新"),

    // Pace. [I]
    entry("4", Reaction::Slow { pause: 5 * SECOND }, "too many requests; sends wait a moment, and the rate halves for a while", "请求过于频繁，稍候继续，速率暂时减半"),
    entry("18", Reaction::Slow { pause: 5 * SECOND }, "too many requests a second; sends wait a moment, and the rate halves for a while", "每秒请求数超限，稍候继续，速率暂时减半"),
    entry("17", Reaction::Pause { pause: HOUR }, "the day's quota is used up; one message is tried each hour", "当日额度已用完，每小时试发一条"),
    entry("19", Reaction::Pause { pause: 6 * HOUR }, "the total quota is used up; ask Baidu for more", "总额度已用完，请向百度申请提额"),

    // A failure inside the platform. [I]
    entry("2", Reaction::Unsure { first: 2 * SECOND }, "the service is unavailable for a moment; tixing tries again", "服务暂时不可用，稍后自动重试"),

    // The account or the configuration. [O]
    entry("6001", LONG, "the program may not push messages; apply for it in the console", "小程序没有消息推送权限，请在后台申请"),
    // [I]
    entry("6", LONG, "the program may not use this API; apply for it in the console", "没有该接口的权限，请在后台申请"),
    entry("100", Reaction::Refuse, "the gateway found a parameter missing or wrong; report this to tixing's authors", "网关提示参数缺失或有误，请向 tixing 反馈"),

    // The token call, by the words of OAuth. [I]
    entry("invalid_client", LONG, "the App Key or the App Secret is wrong, or was reset; put the right one in its file, which is read again within seconds", "App Key 或 App Secret 错误或已重置，请更新密钥文件，数秒内会自动重新读取"),
    entry("unauthorized_client", LONG, "the App Key may not ask for a token so; see the console", "该 App Key 无权以此方式获取 access_token，请查看后台"),
    entry("invalid_scope", LONG, "the App Key has no right to smartapp_snsapi_base; see the console", "该 App Key 没有 smartapp_snsapi_base 权限，请查看后台"),
    entry("invalid_request", LONG, "the token request was malformed; report this to tixing's authors", "token 请求不合法，请向 tixing 反馈"),
    entry("unsupported_grant_type", LONG, "the token request was malformed; report this to tixing's authors", "token 请求不合法，请向 tixing 反馈"),
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

//! Douyin's error codes as data: what each means for a reminder and what a person should do.
//!
//! The table of `notify_user` could only be read in part. The mark before a group or a row says where it comes from: [O] an official page,
//! [G] the official page of mini-games, [T] third parties, and then it may be wrong. A code that is not listed (some of 28014xxx surely are
//! not: they are those of subscribe messages) ends the reminder without another try, and alarms. 28001038 stands in an official sample
//! without a word of what it means, so it is not listed. Whether a refusal spends anything is nowhere written.

use crate::{
    domain::{MINUTE, SECOND, outcome::Reaction},
    platform::code::{Blame, Code},
};

/// What follows from a code that is not listed: it fails for good, and keeps its consent.
pub const UNKNOWN: Reaction = Reaction::Refuse;

/// «System busy». Nobody says whether a message may have been taken all the same.
const BUSY: Reaction = Reaction::Unsure { first: 2 * SECOND };
/// Nothing of this app can be sent, and nothing is burnt while it is so.
const LONG: Reaction = Reaction::Pause { pause: 10 * MINUTE };

const fn entry(code: &'static str, reaction: Reaction, en: &'static str, zh: &'static str) -> Code {
    Code::new(code, reaction, en, zh)
}

/// All listed codes.
#[rustfmt::skip]
pub const TABLE: &[Code] = &[
    // The consent.
    // [G]
    entry("28014043", Reaction::Deny, "the user has not subscribed to the template; ask again in the mini-program", "用户未订阅该模板，请在小程序内重新请求订阅"),
    // [T]
    entry("28014041", Reaction::Deny, "what the template may send to this user is used up (not documented); ask again in the mini-program when its period is over, and compare sends_per_grant and period with the console", "该用户的模板下发次数已用完（未公开）；周期结束后请重新请求订阅，并核对 sends_per_grant、period 与后台的设置"),
    // [T]
    entry("28014036", Reaction::Deny, "the user refuses the template (not documented); do not ask again soon", "用户已拒绝该模板（未公开），短期内请勿再次请求"),
    // [O]
    entry("28001012", Reaction::Deny, "the user has not authorised this", "用户未授权"),

    // This reminder or its template.
    // [T]
    entry("28014038", Reaction::Refuse, "a field's value is too long (not documented); shorten it", "模板字段内容过长（未公开），请缩短").blaming(Blame::Content),
    // [O]
    entry("28014001", Reaction::Refuse, "a parameter is wrong: the template, its fields, the open id or the page", "参数错误：请检查模板 ID、字段、open_id 与 page"),
    // [O]
    entry("28001007", Reaction::Refuse, "a parameter is wrong: the template, its fields, the open id or the page", "参数错误：请检查模板 ID、字段、open_id 与 page"),
    // [G]
    entry("1000", Reaction::Refuse, "a parameter has the wrong form", "参数格式有误"),
    // [G]
    entry("1001", Reaction::Refuse, "a parameter has the wrong content, such as the open id", "参数内容有误，例如 open_id 不合法"),
    // [G]
    entry("1008", Reaction::Refuse, "the text breaks the platform's rules; change it", "通知内容违规，请修改文案").blaming(Blame::Content),
    // [O]
    entry("2100005", Reaction::Refuse, "a parameter is wrong (an older code)", "参数错误（旧错误码）"),
    // [O]
    entry("28001015", Reaction::Refuse, "the open id does not belong to this mini-program: check where it came from, and the appid in the configuration", "open_id 不属于该小程序，请检查来源以及配置中的 appid"),
    // [O]
    entry("28001045", Reaction::Refuse, "the user's account is deleted", "用户已注销"),
    // [O]
    entry("28001046", Reaction::Refuse, "the user's account is banned", "用户已被封禁"),
    // [O]
    entry("28001047", Reaction::Refuse, "the user's account is private", "用户为私密账号"),

    // The token; the call never reached the message.
    // [O]
    entry("28001003", Reaction::Token, "the token is invalid; tixing renews it", "access_token 无效，自动更新"),
    // [O]
    entry("28001008", Reaction::Token, "the token has expired; tixing renews it", "access_token 已过期，自动更新"),
    // [O]
    entry("2190002", Reaction::Token, "the token is invalid (an older code); tixing renews it", "access_token 无效（旧错误码），自动更新"),
    // [O]
    entry("2190008", Reaction::Token, "the token has expired (an older code); tixing renews it", "access_token 已过期（旧错误码），自动更新"),

    // [O] Busy.
    entry("28001005", BUSY, "the platform is busy; tixing tries again", "抖音系统繁忙，稍后自动重试"),
    entry("28001006", BUSY, "the platform's network failed; tixing tries again", "抖音内部网络错误，稍后自动重试"),
    entry("2100004", BUSY, "the platform is busy (an older code); tixing tries again", "抖音系统繁忙（旧错误码），稍后自动重试"),
    // [G]
    entry("2000", BUSY, "an error inside the platform; tixing tries again", "抖音服务内部错误，稍后自动重试"),

    // Pace. [G]
    entry("1010", Reaction::Later { first: SECOND }, "more than one message a second to this user; tixing tries again", "同一用户每秒最多一条，稍后自动重试"),
    // [O]
    entry("28003018", Reaction::Slow { pause: MINUTE }, "too many calls; sends wait a minute, and the rate halves for a while", "调用过于频繁，暂停一分钟，速率暂时减半"),
    // [G]
    entry("28006003", Reaction::Slow { pause: 5 * SECOND }, "too many calls a second (1000 are allowed); sends wait some seconds, and the rate halves for a while", "触发限流（上限为每秒 1000 次），暂停数秒，速率暂时减半"),
    // [O] The platform does not say what is left, so one message is tried now and then.
    entry("28003017", LONG, "the app's quota is used up; one message is tried every ten minutes until the next period", "应用的调用额度已用完，每十分钟试发一条，直到下一周期"),
    // [O]
    entry("2190001", LONG, "the app's quota is used up (an older code); one message is tried every ten minutes until the next period", "应用的调用额度已用完（旧错误码），每十分钟试发一条，直到下一周期"),
    // [O]
    entry("28001052", Reaction::Pause { pause: 30 * MINUTE }, "the platform's risk control holds the app back; see the console", "触发平台风控，请查看后台通知"),

    // The account or the configuration.
    // [O]
    entry("28001014", LONG, "the app lacks this ability; apply for it in the console", "应用未开通该能力，请在后台申请"),
    // [O]
    entry("28001018", LONG, "the app lacks this ability (notification.openapi.common); apply for it in the console", "应用没有该接口权限（notification.openapi.common），请在后台申请"),
    // [O]
    entry("28001019", LONG, "the app's ability is banned; see the console's notices", "应用的该能力已被封禁，请查看后台通知"),
    // [G]
    entry("1009", Reaction::Ban { pause: 10 * MINUTE }, "the ability to push messages is banned: see the console's notices; other templates are tried first", "推送消息能力被封禁，请查看后台通知；先用其他模板试发"),
    // [O]
    entry("28001016", LONG, "the app is banned or offline; see the console", "应用已被封禁或下线，请查看后台"),
    // [O]
    entry("28001017", LONG, "the platform does not know this address; check base_url, and report this to tixing's authors", "接口地址不存在，请检查 base_url，并向 tixing 反馈"),
    // [O]
    entry("28001056", LONG, "this API is offline; report this to tixing's authors", "接口已下线，请向 tixing 反馈"),
    // [O]
    entry("28001020", LONG, "a test app cannot do this; publish the app", "测试应用不支持该操作，请先发布小程序"),
    // [O]
    entry("28001021", LONG, "a test app can do this for its white list only; publish the app", "测试应用仅支持白名单内的用户，请先发布小程序"),
    // [O]
    entry("28001042", LONG, "the service provider was not granted this by the merchant", "服务商未获商家授权"),
    // [O]
    entry("10002", LONG, "the token request was malformed; report this to tixing's authors", "token 请求参数错误，请向 tixing 反馈"),
    // [O]
    entry("10003", LONG, "the appid is missing or wrong; correct it in the configuration", "client_key 缺失或错误，请检查配置中的 appid"),
    // [O]
    entry("10013", LONG, "the appid or the secret is wrong, or the secret was reset; put the right one in its file, which is read again within seconds", "client_key 或 client_secret 错误或已重置，请更新密钥文件，数秒内会自动重新读取"),
    // [O]
    entry("10020", Reaction::Pause { pause: 5 * MINUTE }, "too many tokens were asked for; something else asks for them without a pause", "获取 token 过于频繁，请检查是否有其他程序在反复获取"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_code_is_listed_twice() {
        let mut codes: Vec<_> = TABLE.iter().map(|e| e.code).collect();
        codes.sort_unstable();
        let all = codes.len();
        codes.dedup();
        assert_eq!(codes.len(), all);
    }
}

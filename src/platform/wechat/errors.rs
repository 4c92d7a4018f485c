//! WeChat's error codes as data: what each means for a reminder and what a person should do.
//!
//! Source: the error tables of `api_sendmessage` and `api_getstableaccesstoken` (official, copies of 2026) and, where marked
//! «reported», developers' reports; whether a refusal spends the consent is nowhere written, and every observation says no.

use crate::{
    domain::{HOUR, MINUTE, SECOND, outcome::Reaction},
    platform::code::{Blame, Code},
};

/// What follows from a code that is not listed: two tries, then the end.
pub const UNKNOWN: Reaction = Reaction::Unlisted { max: 3, first: 5 * SECOND };

/// «System busy». Nobody says whether a message may have been taken all the same; every observation says no.
const BUSY: Reaction = Reaction::Unsure { first: 2 * SECOND };
const LONG: Reaction = Reaction::Pause { pause: 10 * MINUTE };

/// The code that names an address of ours which is not on the account's list.
pub const ADDRESS_REFUSED: &str = "40164";

const fn entry(code: &'static str, reaction: Reaction, en: &'static str, zh: &'static str) -> Code {
    Code::new(code, reaction, en, zh)
}

/// All listed codes.
#[rustfmt::skip]
pub const TABLE: &[Code] = &[
    entry("-1", BUSY, "the platform is busy; tixing tries again", "微信系统繁忙，稍后自动重试"),
    entry("1700", BUSY, "an undocumented busy answer (reported); tixing tries again", "未公开的繁忙错误，稍后自动重试"),

    // The token; the call never reached the message.
    entry("40001", Reaction::Token, "the token was superseded or belongs to another account; tixing renews it", "access_token 已失效或属于其他账号，自动更新"),
    entry("40014", Reaction::Token, "the token is malformed; tixing renews it", "access_token 不合法，自动更新"),
    entry("41001", Reaction::Token, "the token is missing; tixing renews it", "缺少 access_token，自动更新"),
    entry("42001", Reaction::Token, "the token has expired; tixing renews it", "access_token 已过期，自动更新"),

    // This reminder or its template.
    entry("40003", Reaction::Refuse, "the openid is unknown to this mini-program: it may belong to another appid; check where it came from", "openid 不属于该小程序，请检查来源"),
    entry("40037", Reaction::Refuse, "the template id is not in this account: it may have been deleted; check the template list", "模板 ID 不存在或已删除，请检查模板列表").blaming(Blame::Gone),
    entry("41030", Reaction::Refuse, "the page is not in the released version of the mini-program; correct `page`", "页面不在已发布版本中，请更正 page"),
    entry("43002", Reaction::Refuse, "the request's method was refused; report this to tixing's authors", "请求方法错误，请向 tixing 反馈"),
    entry("44002", Reaction::Refuse, "the request's body was empty; report this to tixing's authors", "请求内容为空，请向 tixing 反馈"),
    entry("45168", Reaction::Refuse, "the text contains a word that WeChat does not allow; change it (masked numbers are often hit)", "内容含敏感词，请修改文案"),
    entry("47001", Reaction::Refuse, "the request was not understood; report this to tixing's authors", "请求格式错误，请向 tixing 反馈"),
    entry("47003", Reaction::Refuse, "a field is empty or breaks its type's rule; the text names the first one", "模板字段为空或不符合类型规则，错误信息中列出了首个字段").blaming(Blame::Content),
    entry("43100", Reaction::Refuse, "the template was changed too often; wait and check it in the console", "模板修改过于频繁，请在后台检查"),
    entry("43102", Reaction::Refuse, "the template is not a subscribe template", "该模板不是订阅消息模板"),
    entry("43103", Reaction::Refuse, "the subscription can only be cancelled", "该订阅只能取消"),
    entry("43105", Reaction::Refuse, "the template's binding was refused", "模板绑定被拒绝"),

    // The consent.
    entry("43101", Reaction::Deny, "the user has no consent left for this template: never accepted, all used, or refused in the settings; ask again in the mini-program", "用户没有可用的订阅：未同意、已用完或已拒收，请在小程序内重新请求订阅"),

    // Pace.
    entry("43108", Reaction::Later { first: SECOND }, "another message to this user was under way; tixing tries again", "同一用户不可并发发送，稍后自动重试"),
    entry("45009", Reaction::Quota { pause: 10 * MINUTE }, "the day's quota is used up; sends wait until WeChat says that some are left, which it is asked every ten minutes", "当日额度已用完，暂停发送，每十分钟查询一次剩余额度"),
    entry("45011", Reaction::Slow { pause: MINUTE }, "the minute's quota is used up; sends wait for the next, and the rate halves for a while", "分钟额度已用完，下一分钟继续，速率暂时减半"),

    // The account or the configuration: nothing of this app can be sent, and nothing is burnt while it is so.
    entry("40002", LONG, "the token request was malformed; report this to tixing's authors", "token 请求不合法，请向 tixing 反馈"),
    entry("40013", LONG, "the appid is wrong; correct it in the configuration", "appid 不正确，请检查配置"),
    entry("40125", LONG, "the app's secret is wrong or was reset; put the new one in its file, which is read again within seconds", "AppSecret 错误或已重置，请更新密钥文件，数秒内会自动重新读取"),
    entry(ADDRESS_REFUSED, Reaction::Pause { pause: 3 * MINUTE }, "this machine's address is not in the account's IP whitelist: add it in the console", "本机 IP 不在白名单，请在后台添加该 IP"),
    entry("40243", LONG, "the app's secret is frozen; the administrator must unfreeze it", "AppSecret 已被冻结，请管理员解冻"),
    entry("41002", LONG, "the appid is missing; correct the configuration", "缺少 appid，请检查配置"),
    entry("41004", LONG, "the secret is missing; correct the configuration", "缺少 AppSecret，请检查配置"),
    entry("43104", LONG, "this appid may not use subscribe messages", "该 appid 没有订阅消息权限"),
    entry("43106", LONG, "templates are locked because of a sanction; see the console", "因处罚不可添加模板，请查看后台通知"),
    entry("43107", Reaction::Ban { pause: 10 * MINUTE }, "the subscribe ability of the account or of this template is banned: see the console's notices; other templates are tried first", "订阅能力被封禁，请查看后台通知；先用其他模板试发"),
    entry("43116", Reaction::Ban { pause: 10 * MINUTE }, "the template is restricted for abuse (reported for service accounts)", "模板因滥用被限制"),
    entry("40249", LONG, "marketing content is not allowed (reported for service accounts)", "模板内容涉及营销，被限制"),
    entry("40250", LONG, "the content is irregular or empty (reported for service accounts)", "模板内容不规范，被限制"),
    entry("40251", LONG, "the account is capped because of past violations (reported for service accounts)", "账号因历史违规被限制"),
    entry("40252", Reaction::Pause { pause: HOUR }, "the content is under review (reported for service accounts)", "内容审核中"),
    entry("48001", LONG, "the account may not use this API; apply for it in the console", "接口未授权，请在后台申请"),
    entry("48004", LONG, "the API is banned for this account; see the console's notices", "接口被封禁，请查看后台通知"),
    entry("48008", LONG, "the account may not send this kind of message", "没有该类型消息的发送权限"),
    entry("50001", LONG, "the account may not use this API", "用户未授权该接口"),
    entry("50002", LONG, "the account is restricted, frozen or closed; see the console", "账号受限、冻结或注销，请查看后台"),
    entry("50004", LONG, "use of the token API is forbidden for this account", "禁止使用 token 接口"),
    entry("50007", LONG, "the account is frozen; see the console", "账号已冻结，请查看后台"),
    entry("61003", LONG, "the account is not authorised to the third-party platform", "未授权给第三方平台"),
    entry("61004", LONG, "this address is not allowed for the third-party platform", "第三方平台 IP 不允许"),
    entry("61007", LONG, "the API is not authorised to the third-party platform", "第三方平台未获该接口授权"),
    entry("89501", LONG, "this address waits for the administrator's confirmation", "该 IP 待管理员确认"),
    entry("89503", LONG, "this address needs the administrator's confirmation, which WeChat has asked for", "该 IP 调用需管理员确认，请联系管理员"),
    entry("89506", Reaction::Pause { pause: 24 * HOUR }, "the administrator refused this address; WeChat allows another try in 24 hours", "管理员拒绝该 IP，24 小时后可重试"),
    entry("89507", Reaction::Pause { pause: HOUR }, "the administrator refused this address; WeChat allows another try in an hour", "管理员拒绝该 IP，1 小时后可重试"),
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

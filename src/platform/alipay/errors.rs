//! Alipay's error codes as data: what each means for a reminder and what a person should do.
//!
//! A refusal has a `code` and mostly a `sub_code`, which is the one that is listed, without its `isv.`, `isp.` or `aop.`. The constants are
//! from the platform's own clients (`CommonErrorType.php`, `AlipayOpenAppMiniTemplatemessageSendErrorResponseModel.php`, read 2026): [O]
//! for all of them. The mark at the end of a row tells where its *meaning* is from. Whether a refusal spends the consent is nowhere
//! written: only success spends it.

use crate::{
    domain::{MINUTE, outcome::Reaction},
    platform::code::{Blame, Code},
};

/// The code of the table that tells what a refusal means: the exact one, or else the general one; `sub` is [`bare`]. `None` if nobody has
/// listed either.
pub fn listed(code: &str, sub: &str) -> Option<&'static Code> {
    let find = |code: &str| TABLE.iter().find(|known| known.code == code);
    // Whatever it adds, the platform says that it does not know.
    if code == DOUBT { find(code) } else { find(sub).or_else(|| find(code)) }
}

/// A `sub_code` without its prefix. One constant is two, with a comma between.
pub fn bare(sub_code: &str) -> &str {
    let last = sub_code.rsplit(',').next().unwrap_or_default().trim();
    ["isv.", "isp.", "aop."].iter().find_map(|prefix| last.strip_prefix(prefix)).unwrap_or(last)
}

/// «Service unavailable»: the outcome is unknown. [T]
const DOUBT: &str = "20000";

/// Codes whose exact meaning nobody has written down: a person is told when one comes. [?]
pub const UNCLEAR: &[&str] = &["MSG_UNAUTHORIZED", "MSG_SINGLE_SD_OVER", "NO_RECENT_VISIT_RECORD"];

/// What an unsigned refusal of the consent is called: nothing is concluded from it but that this message was not taken.
pub const UNSIGNED: &str = "unsigned";

const LONG: Reaction = Reaction::Pause { pause: 10 * MINUTE };
const SLOW: Reaction = Reaction::Slow { pause: MINUTE };

const fn entry(code: &'static str, reaction: Reaction, en: &'static str, zh: &'static str) -> Code {
    Code::new(code, reaction, en, zh)
}

/// All listed codes.
#[rustfmt::skip]
pub const TABLE: &[Code] = &[
    // The user's consent.
    entry("MSG_UNSUBSCRIBED", Reaction::Deny, "the user has no subscription left for this template; ask again in the mini-program", "用户没有可用的订阅，请在小程序内重新请求订阅"), // [I]
    entry("MSG_REJECTED", Reaction::Deny, "the user refuses messages of this template; do not ask again soon", "用户拒收该消息，短期内请勿再次请求订阅"), // [I]
    entry("MSG_CONTENT_NOT_INTERESTED", Reaction::Deny, "the user is not interested in messages of this kind; do not ask again soon", "用户对此类消息不感兴趣，短期内请勿再次请求订阅"), // [I]
    entry("MSG_UNAUTHORIZED", Reaction::Deny, "not authorised; whether by the user or for the app is not documented, and it is taken for the user: if many users have it, look into the app's abilities in the console", "未授权（官方未说明指用户还是应用，此处按用户未订阅处理）；若大量出现，请在开放平台检查应用能力"), // [?]
    entry("MSG_SINGLE_SD_OVER", Reaction::Refuse, "the limit of messages to this user is reached; do not send to them again today", "对该用户的发送次数已达上限，当天请勿再发"), // [?]
    entry("NO_RECENT_VISIT_RECORD", Reaction::Refuse, "the user has not visited the app recently; after a visit it may go again", "用户近期未访问小程序，再次访问后可能恢复"), // [I]
    entry("NO_PLACE_ORDER_RECORD", Reaction::Refuse, "the user has placed no order, which this template wants", "用户没有下单记录，该模板要求先有订单"), // [I]
    entry("FORM_ID_INVALID", Reaction::Deny, "the form id or trade number is not valid", "form_id 或交易号无效"), // [O/I]
    entry("FORM_ID_NOT_MATCH_APPID", Reaction::Deny, "the form id belongs to another app", "form_id 不属于该应用"), // [I]
    entry("TRADE_NO_NOT_MATCH_USERID", Reaction::Deny, "the trade number belongs to another user", "交易号不属于该用户"), // [I]
    entry("FORM_ID_OVER_TIME", Reaction::Deny, "the form id is older than seven days", "form_id 已超过 7 天"), // [O]
    entry("FORM_ID_SEND_LIMIT", Reaction::Deny, "the form id has paid for three messages already", "form_id 已使用 3 次"), // [O]
    entry(UNSIGNED, Reaction::Refuse, "it was refused for want of a consent, but the answer was not signed, so no consent is ended by it", "因未订阅被拒，但应答未签名，因此不作废任何订阅"), // ours

    // Nobody knows whether the message was taken.
    Code::doubt(DOUBT, "the service was not available, and may have taken the message", "服务暂不可用，消息可能已受理"), // [T]
    Code::doubt("unknow-error", "the platform does not know whether it took the message", "平台未知错误，消息可能已受理"), // [T] spelt so
    Code::doubt("MSG_SEND_ERROR", "the platform failed while it sent the message", "平台发送时出错，消息可能已受理"), // [I]
    Code::doubt("QUERY_CONSUMER_REQEUST_ERROR", "the platform failed while it looked the user up", "平台查询用户出错，消息可能已受理"), // [I] spelt so
    Code::doubt("SYSTEM_ERROR", "the platform failed within, and may have taken the message", "平台系统错误，消息可能已受理"), // [G]

    // The user's id.
    entry("USER_ID_INVALID", Reaction::Refuse, "the user's id is not valid: an app on open ids does not take 2088… (`user_id` in the configuration), and an open id belongs to one app", "用户 ID 无效：open_id 模式的应用不接受 2088 开头的 ID（见配置 user_id），open_id 也不能跨应用使用"), // [I]
    entry("openid-error", Reaction::Refuse, "the open id is not valid for this app", "open_id 对该应用无效"), // [I]
    entry("OPENID_INVALID", Reaction::Refuse, "the open id is not valid for this app", "open_id 对该应用无效"), // [I]

    // The template and the content.
    entry("USER_TEMPLATE_ILLEGAL", Reaction::Refuse, "the template id is unknown, deleted or of another kind; check the list of templates in the console", "模板 ID 不存在、已删除或类型不符，请检查模板列表").blaming(Blame::Gone), // [O]
    entry("USER_TEMPLATE_STATUS_ILLEGAL", Reaction::Refuse, "the template cannot be used now; see its state in the console", "模板当前不可用，请在开放平台查看状态").blaming(Blame::Gone), // [I]
    entry("TEMPLATE_ILLEGAL", Reaction::Refuse, "the template is not valid; check it in the console", "模板不合法，请在开放平台检查").blaming(Blame::Gone), // [I]
    entry("MSG_TEMPLATE_ID_VALID", Reaction::Refuse, "the template id is not valid; check it in the console", "模板 ID 不合法，请在开放平台检查").blaming(Blame::Gone), // [I] spelt so
    entry("USER_TEMPLATE_LACK_KEYWORD", Reaction::Refuse, "the template has another number of keywords; correct its fields in the configuration", "关键词数量与模板不符，请更正配置中的 fields").blaming(Blame::Content), // [O]
    entry("MESSAGE_TEMPLATE_KEYWORD_ILLEGAL", Reaction::Refuse, "a keyword does not fit the template; correct its fields in the configuration", "关键词与模板不符，请更正配置中的 fields").blaming(Blame::Content), // [I]
    entry("USER_KEYWORD_LENGTH_ERROR", Reaction::Refuse, "a value has more than 50 characters; shorten it", "字段值超过 50 个字符，请缩短"), // [O]
    entry("DATA_SENSITIVE", Reaction::Refuse, "a value has words that the platform does not allow; change them", "字段值含敏感词，请修改"), // [I]
    entry("DATA_CONTENT_FORMAT_ERROR", Reaction::Refuse, "the form of the data is refused", "data 格式被拒绝").blaming(Blame::Content), // [I]
    entry("BIZ_CONTENT_FORMAT_ERROR", Reaction::Refuse, "the form of the message is refused", "biz_content 格式被拒绝").blaming(Blame::Content), // [I]
    entry("DATA_IS_EMPTY", Reaction::Refuse, "the data is empty", "data 为空").blaming(Blame::Content), // [I]
    entry("ILLEGAL_ARGUMENT_PARAMS", Reaction::Refuse, "something of the message is refused", "消息参数不合法").blaming(Blame::Content), // [I]
    entry("PAGE_OVER_LIMIT", Reaction::Refuse, "the page is too long; it has at most 128 characters", "page 超长，最多 128 个字符"), // [I]
    entry("suspected-attack", Reaction::Refuse, "the gateway takes the content for an attack; change what looks like code or SQL", "网关判定内容疑似攻击，请修改类似代码或 SQL 的内容"), // [I]
    entry("illegal-json", Reaction::Refuse, "the request is no JSON to the gateway; report this to tixing's authors", "网关无法解析 JSON，请向 tixing 反馈"), // [I]
    entry("invalid-parameter", Reaction::Refuse, "a parameter is refused", "参数不合法"), // [I]

    // Pace.
    entry("app-call-limited", SLOW, "too many calls of this app; sends wait a minute, and the rate halves for a while", "应用调用频率超限，暂停一分钟，速率暂时减半"), // [O]
    entry("method-call-limited", SLOW, "too many calls of this method; sends wait a minute, and the rate halves for a while", "接口调用频率超限，暂停一分钟，速率暂时减半"), // [O]
    entry("40005", SLOW, "too many calls; sends wait a minute, and the rate halves for a while", "调用频率超限，暂停一分钟，速率暂时减半"), // [T]

    // The keys: nothing of this app can be sent, and nothing is burnt while it is so.
    entry("invalid-signature", LONG, "the signature is refused: the private key does not belong to the public key in the console, or was replaced there; put the right one in its file, which is read again within seconds", "验签失败：应用私钥与开放平台上传的公钥不匹配，或已被更换；请换上正确的私钥文件，数秒内会自动重新读取"), // [O]
    entry("missing-signature", LONG, "the signature is missing; report this to tixing's authors", "缺少签名，请向 tixing 反馈"), // [O]
    entry("missing-signature-type", LONG, "the signature's type is missing; report this to tixing's authors", "缺少签名类型，请向 tixing 反馈"), // [O]
    entry("invalid-signature-type", LONG, "the app's way of signing is not RSA2; choose RSA2 in the console", "签名类型无效，请在开放平台选用 RSA2"), // [O]
    entry("missing-signature-key", LONG, "the console has no key of this app; upload its public key or certificate there", "开放平台未配置应用公钥，请上传公钥或证书"), // [T]
    entry("missing-signature-config", LONG, "the console has no key of this app; upload its public key or certificate there", "开放平台未配置验签信息，请上传公钥或证书"), // [T]
    entry("unsupported-expired-app-key-sign", LONG, "the app's key has expired; make a new one", "应用密钥已过期，请更换"), // [I]
    entry("app-key-security-risk", LONG, "the app's key is taken for unsafe; make a new one", "应用密钥存在安全风险，请更换"), // [I]
    entry("app-cert-expired", LONG, "the app's certificate has expired; make a new one in the console", "应用证书已过期，请在开放平台重新生成"), // [T]
    entry("app-cert-not-exist", LONG, "the gateway does not know the app's certificate; download the one that is in use", "应用证书不存在，请下载当前使用的证书"), // [T]
    entry("alipay-cert-not-exist", LONG, "the gateway has no certificate for this app; download Alipay's again", "支付宝公钥证书不存在，请重新下载"), // [T]
    entry("missing-app-cert-sn", LONG, "the app is in certificate mode: give `certificates` in place of `alipay_public_key`", "应用为证书模式，请配置 certificates 而不是 alipay_public_key"), // [T]
    entry("missing-alipay-root-cert-sn", LONG, "the app is in certificate mode: give `certificates.root`", "缺少支付宝根证书序列号，请配置 certificates.root"), // [I]
    entry("invalid-alipay-root-cert-sn", LONG, "the root certificates are not Alipay's; download them again", "支付宝根证书不匹配，请重新下载"), // [T]
    entry("invalid-timestamp", LONG, "the time of the request is refused: the machine's clock is wrong; start its time service", "请求时间被拒：本机时钟不准，请检查时间同步"), // [O]
    entry("illegal-timestamp", LONG, "the time of the request is refused: the machine's clock is wrong; start its time service", "请求时间被拒：本机时钟不准，请检查时间同步"), // [O]

    // The app and its permissions.
    entry("invalid-app-id", LONG, "the appid is wrong, or not of this gateway (the platform's own sandbox has other ids); correct the configuration", "AppID 无效或不属于该网关（沙箱应用 ID 不同），请检查配置"), // [O]
    entry("missing-app-id", LONG, "the appid is missing; correct the configuration", "缺少 AppID，请检查配置"), // [O]
    entry("invalid-app-state", LONG, "the app is not online, or was taken down; see the console", "应用状态异常或未上线，请查看开放平台"), // [T]
    entry("insufficient-isv-permissions", LONG, "the app may not use this method; add the ability in the console", "应用没有该接口权限，请在开放平台添加能力"), // [O]
    entry("insufficient-user-permissions", LONG, "the app may not use this method for its users; see the console", "用户授权权限不足，请查看开放平台"), // [I]
    entry("illegal-client-ip", LONG, "this machine's address is not in the app's IP whitelist: add it in the console", "本机 IP 不在白名单，请在开放平台添加"), // [I]
    entry("app-api-punished", LONG, "the app is punished and may not use this method; see the console", "应用因处罚被禁用该接口，请查看开放平台"), // [I]
    entry("forbidden-api", LONG, "the method is forbidden to this app; see the console", "接口被禁止调用，请查看开放平台"), // [I]
    entry("app-auth-invoke-limit", LONG, "the app's authorisation allows no more calls; see the console", "应用授权调用受限，请查看开放平台"), // [I]
    entry("exceed-api-balance", LONG, "the balance of calls is used up; see the console", "接口调用额度已用尽，请查看开放平台"), // [I]
    entry("sevice-not-been-subscribed-to", LONG, "the service was not ordered for this app; see the console", "应用未订购该服务，请查看开放平台"), // [I] spelt so
    entry("NO_BIND_PUBLIC_APP", LONG, "no life account is bound to the app; bind one in the console", "应用未绑定生活号，请在开放平台绑定"), // [I]
    entry("MESSAGE_SEND_AUTH_ERROR", LONG, "the app may not send messages; see its abilities in the console", "应用没有消息发送权限，请查看开放平台"), // [I]
    entry("APP_TYPE_ERROR", LONG, "an app of this type may not send such messages", "应用类型不支持发送该消息"), // [I]
    entry("APP_NO_AVAIABLE", LONG, "the app cannot be used now; see the console", "应用不可用，请查看开放平台"), // [I] spelt so
    entry("40006", LONG, "the app lacks a permission; see the console", "权限不足，请查看开放平台"), // [G]

    // The authorisation of a merchant to a service provider.
    entry("invalid-app-auth-token", LONG, "the merchant's authorisation is not valid; have it renewed", "商家授权无效，请重新授权"), // [O]
    entry("app-auth-token-time-out", LONG, "the merchant's authorisation has expired; have it renewed", "商家授权已过期，请重新授权"), // [O]
    entry("invalid-auth-token", LONG, "the authorisation is not valid", "授权令牌无效"), // [O]
    entry("auth-token-time-out", LONG, "the authorisation has expired", "授权令牌已过期"), // [O]
    entry("invalid-app-auth-relations", LONG, "the merchant has not authorised this app", "商家未授权该应用"), // [T]
    entry("invalid-auth-relations", LONG, "the merchant has not authorised this app", "商家未授权该应用"), // [T]
    entry("20001", LONG, "an authorisation is insufficient; see the console", "授权权限不足，请查看开放平台"), // [G]

    // What tixing itself writes into every request.
    entry("missing-method", LONG, "the method is missing; report this to tixing's authors", "缺少 method，请向 tixing 反馈"), // [O]
    entry("invalid-method", LONG, "the gateway does not know the method: check base_url", "网关不认识该接口，请检查 base_url"), // [O]
    entry("missing-version", LONG, "the version is missing; report this to tixing's authors", "缺少 version，请向 tixing 反馈"), // [T]
    entry("missing-timestamp", LONG, "the time is missing; report this to tixing's authors", "缺少 timestamp，请向 tixing 反馈"), // [O]
    entry("invalid-format", LONG, "the format is refused; report this to tixing's authors", "format 无效，请向 tixing 反馈"), // [O]
    entry("invalid-charset", LONG, "the charset is refused; report this to tixing's authors", "charset 无效，请向 tixing 反馈"), // [O]
    entry("invalid-encoding", LONG, "the encoding is refused; report this to tixing's authors", "编码无效，请向 tixing 反馈"), // [O]
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_code_is_listed_twice() {
        let mut codes: Vec<_> = TABLE.iter().map(|code| code.code).collect();
        codes.sort_unstable();
        let all = codes.len();
        codes.dedup();
        assert_eq!(codes.len(), all);
    }

    #[test]
    fn the_exact_code_is_asked_before_the_general_one_and_unknown_ones_are_unlisted() {
        let code = |code, sub| match listed(code, bare(sub)) {
            Some(known) if known.doubt => "doubt",
            Some(known) => known.code,
            None => "unlisted",
        };
        for (given, sub, meant) in [
            ("40002", "isv.invalid-signature", "invalid-signature"),
            ("40002", "aop.invalid-signature", "invalid-signature"),
            ("40002", "invalid-signature", "invalid-signature"),
            ("40002", "isv.app-key-security-risk, app-cert-expired", "app-cert-expired"),
            ("40004", "MSG_UNSUBSCRIBED", "MSG_UNSUBSCRIBED"),
            ("40004", "msg_unsubscribed", "unlisted"),
            ("40004", "SOMETHING_NEW", "unlisted"),
            ("40004", "", "unlisted"),
            ("40005", "isv.something-new", "40005"),
            ("40006", "", "40006"),
            ("20001", "aop.something-new", "20001"),
            ("20000", "isp.unknow-error", "doubt"),
            ("20000", "MSG_UNSUBSCRIBED", "doubt"),
            ("40004", "aop.unknow-error", "doubt"),
            ("40004", "MSG_SEND_ERROR", "doubt"),
        ] {
            assert_eq!(code(given, sub), meant, "{given} {sub}");
        }
    }

    /// What is kept of a code has 32 characters.
    #[test]
    fn every_code_is_kept_whole() {
        assert!(TABLE.iter().all(|code| code.code.len() <= 32));
        assert!(UNCLEAR.iter().all(|unclear| TABLE.iter().any(|code| code.code == *unclear)));
    }
}

//! The doctor's sentences in Chinese. What a platform or the system says stays as it was said.

/// English and Chinese, `{}` for what varies, in the same order.
const SENTENCES: &[(&str, &str)] = &[
    // What is looked at.
    ("configuration", "配置"),
    ("configuration's mode", "配置文件权限"),
    ("store's folder", "数据目录"),
    ("store's mode", "数据文件权限"),
    ("store's files", "数据文件"),
    ("disk", "磁盘"),
    ("disk's inodes", "磁盘 inode"),
    ("durability", "持久性"),
    ("retention", "保留期限"),
    ("zone data", "时区数据"),
    ("open files", "打开文件数"),
    ("unit", "systemd 单元"),
    ("daemon", "守护进程"),
    ("socket's mode", "套接字权限"),
    ("database", "数据库"),
    ("hold", "保持状态"),
    ("unconfigured", "未配置的应用"),
    ("daemon's clock", "守护进程的时钟"),
    ("API keys", "API 密钥"),
    ("readiness", "就绪"),
    ("TLS roots", "TLS 根证书"),
    ("sending", "发送"),
    ("held templates", "暂停的模板"),
    ("rate for now", "当前速率"),
    ("overdue", "逾期"),
    ("in doubt", "存疑"),
    ("failed", "失败"),
    ("drift", "账目偏差"),
    ("receipts", "回执"),
    ("undelivered", "未送达"),
    ("pushes", "推送"),
    ("callback", "回调"),
    ("address", "地址"),
    ("reach", "连通"),
    ("clock", "时钟"),
    ("credentials", "凭证"),
    ("IP whitelist", "IP 白名单"),
    ("quota", "额度"),
    ("rate", "速率"),
    ("templates", "模板"),
    // What was found.
    ("{} is right", "{} 无误"),
    ("there is no store yet", "尚无数据文件"),
    ("a link to nothing", "链接所指的文件不存在"),
    ("{} has {} names (hard links)", "{} 有 {} 个名称（硬链接）"),
    ("{}, and beside it -wal and -progress: they belong together", "{}，连同旁边的 -wal 和 -progress：不可分开"),
    ("{} is missing", "缺少 {}"),
    ("{} MB free", "剩余 {} MB"),
    ("{} free", "剩余 {} 个"),
    ("of what has ended: bodies {}, attempts {}, history {}", "已结束的数据：内容 {}，尝试 {}，历史 {}"),
    ("for ever", "一直保留"),
    ("{} days", "保留 {} 天"),
    ("{} at most", "最多 {} 个"),
    (
        "no tixing.service is installed; packaging/tixing.service is one",
        "未安装 tixing.service；可用 packaging/tixing.service",
    ),
    ("{} lacks {}", "{} 缺少 {}"),
    ("answers on {}", "在 {} 上应答"),
    ("does not run", "未运行"),
    ("there is no store yet; the daemon's first start makes it", "尚无数据文件；守护进程首次启动时创建"),
    ("answers, its schema is up to date", "正常，结构为最新"),
    ("none", "无"),
    ("{} reminders of the app «{}»", "应用「{1}」有 {0} 条提醒"),
    ("believed", "可信"),
    ("{} living", "{} 个有效"),
    ("goes on", "正常"),
    ("paused until {} because of {}: {}", "暂停至 {}，原因 {}：{}"),
    ("{} until {} because of {}: {}", "{} 暂停至 {}，原因 {}：{}"),
    ("{} of {} a second", "每秒 {} 条，设定 {} 条"),
    ("{} waiting, the oldest for {} s", "{} 条等待，最久 {} 秒"),
    ("{} now, {} given up", "当前 {} 条，已放弃 {} 条"),
    ("{} refusals for want of a consent that the ledger had, {} sent", "账上有订阅而被平台拒绝 {} 次，已发送 {} 条"),
    ("{} of {} that were sent or failed", "已结束 {1} 条，其中失败 {0} 条"),
    ("{} of {} sent", "已发送 {1} 条，收到 {0} 条"),
    ("{} taken", "接收 {} 条"),
    ("{} taken, refused {}", "接收 {} 条，拒绝 {}"),
    ("ready", "就绪"),
    ("encrypted, at {}; taps by the mini-program's word", "已加密，位于 {}；订阅以小程序上报为准"),
    ("encrypted, at {}; taps by the platform's word", "已加密，位于 {}；订阅以平台推送为准"),
    ("encrypted, at {}; taps by both", "已加密，位于 {}；订阅两者对账"),
    (
        "none: whether a message was delivered, and that a user turned it off, is not known",
        "未配置：无法得知消息是否送达、用户是否关闭通知",
    ),
    ("in clear: whoever sees one push can forge others", "明文：看到一条推送的人即可伪造"),
    ("{} is found ({})", "{} 可解析（{} 个地址）"),
    ("{} has no address", "{} 没有地址"),
    ("the platform cannot be reached", "无法连接平台"),
    ("{} s from the platform's", "与平台相差 {} 秒"),
    ("the platform does not say what time it is", "平台未给出时间"),
    ("a token for {} min", "取得 token，有效 {} 分钟"),
    ("this machine's address is on it, or there is none", "本机在白名单内，或未设白名单"),
    ("the platform sees {}, which is not on it", "平台看到的地址是 {}，不在白名单内"),
    ("the address is refused first", "地址先被拒绝"),
    ("there is no token", "没有 token"),
    ("the answer to a token's request cannot be read", "无法读懂 token 请求的应答"),
    ("cannot be asked: {}", "无法查询：{}"),
    ("{} of {} sends left today", "今日剩余 {} 条，共 {} 条"),
    ("{} a second, {} in {} s allowed", "每秒 {} 条，允许 {2} 秒内 {1} 条"),
    ("{} of {} as the platform has them (the daemon asked at {})", "{1} 个中 {0} 个与平台一致（守护进程查询于 {2}）"),
    ("{} of {} as the platform has them (now)", "{1} 个中 {0} 个与平台一致（刚刚查询）"),
    // What to do.
    ("correct it; `tixing check` says when it is right", "请改正；tixing check 会告知是否无误"),
    ("change it, or leave it if it is meant", "如非有意请修改"),
    ("whoever can write it can send in your name: chmod go-w it", "能写此文件的人可以冒名发送：chmod go-w"),
    ("it does not exist: create it, owned by the daemon's user", "目录不存在：请创建，属主为守护进程的用户"),
    ("it holds openids: chmod 600 it", "内含 openid：chmod 600"),
    ("put the file that it names back, or remove the link", "请放回其所指的文件，或删除链接"),
    (
        "no start takes a file with several names: keep one and remove the others; `find -samefile` shows them",
        "有多个名称的文件无法启动：请只保留一个，find -samefile 可列出",
    ),
    (
        "put it back, or the next start is on hold; a daemon that runs writes it again at its next commit",
        "请放回，否则下次启动进入保持状态；运行中的守护进程会在下次写入时重建",
    ),
    ("a full disk stops every send: make room, or move the store", "磁盘写满会停止一切发送：请清理或迁移数据"),
    ("delete small files", "请删除小文件"),
    (
        "a loss of power may forget what was sent and send it again: set store.durability = \"full\"",
        "断电可能遗忘已发送的消息而重发：请设 store.durability = \"full\"",
    ),
    (
        "raise the limit (LimitNOFILE=65536 in the unit), or connections are refused under load",
        "请提高上限（单元中 LimitNOFILE=65536），否则高负载时无法建立连接",
    ),
    ("take the lines from packaging/tixing.service", "请从 packaging/tixing.service 补上这些行"),
    ("install the package ca-certificates", "请安装 ca-certificates 软件包"),
    (
        "nothing is sent meanwhile: start it with `tixing serve` or systemctl start tixing",
        "期间不会发送：请运行 tixing serve 或 systemctl start tixing",
    ),
    ("it needs no key: chmod 600 it", "此套接字无需密钥：chmod 600"),
    ("nothing can be sent before it answers", "数据库应答之前无法发送"),
    ("until then nothing is sent, and whoever watches /readyz is told", "在此之前不会发送，监控 /readyz 可得知"),
    ("nothing is sent until then", "在此之前不会发送"),
    (
        "nobody sends them: add the app to the configuration again, if only to cancel them",
        "没有人发送它们：请把该应用重新加入配置，即使只是为了取消",
    ),
    ("set the machine's clock right", "请校准本机时钟"),
    (
        "no program can ask over HTTP: `tixing key create --name backend`",
        "尚无程序可经 HTTP 调用：tixing key create --name backend",
    ),
    (
        "see to what it says; one message is tried when the pause ends, and the others follow",
        "请按其说明处理；暂停结束时先试发一条，成功后恢复",
    ),
    (
        "see to what it says, in the template or in what is inserted for it; one reminder tries it again by itself",
        "请按其说明修正模板或写入的内容；之后会自动用一条提醒重试",
    ),
    (
        "the platform complained of too many (45011): lower the app's rate, or leave it to recover",
        "平台提示过于频繁（45011）：请调低 rate，或等待自动恢复",
    ),
    (
        "is the daemon running, is the app paused, in quiet hours, or its rate too low?",
        "请检查：守护进程是否运行、应用是否暂停、是否处于免打扰时段、rate 是否过低",
    ),
    (
        "`tixing doubt list` shows them; those with on_doubt = \"ask\" wait for `tixing doubt resolve`",
        "tixing doubt list 可列出；on_doubt = \"ask\" 的需用 tixing doubt resolve 决定",
    ),
    ("`tixing reminder list --state failed` shows which and why", "tixing reminder list --state failed 可列出及原因"),
    (
        "does somebody else send with this appid, or does the mini-program report taps that were no accepts?",
        "是否有他人用此 appid 发送，或小程序上报了并未接受的点击？",
    ),
    (
        "no push arrives: is the callback's address right in the platform's console, and open to it?",
        "没有推送到达：公众平台中的回调地址是否正确、能否访问？",
    ),
    (
        "`tixing reminder list --delivery undelivered` shows which: the receipt's code says why",
        "tixing reminder list --delivery undelivered 可列出；回执的代码说明原因",
    ),
    (
        "compare Token and EncodingAESKey with the platform's console; a few are forgers or noise",
        "请与公众平台核对 Token 和 EncodingAESKey；少量拒绝可能是伪造或噪声",
    ),
    (
        "add callback = { token = {…}, aes_key = {…} }, and /callback/{} in the platform's console",
        "请添加 callback = { token = {…}, aes_key = {…} }，并在公众平台填写 /callback/{}",
    ),
    ("choose the secure mode in the platform's console, and add aes_key", "请在公众平台选择安全模式，并添加 aes_key"),
    ("without TLS the secret travels in clear: fine for the sandbox alone", "没有 TLS，密钥以明文传输：仅适用于沙箱"),
    ("is the name right?", "名称是否正确？"),
    ("is the name right, and does the machine have a resolver?", "名称是否正确，本机能否解析域名？"),
    ("is it blocked by a firewall, or is base_url wrong?", "是否被防火墙拦截，或 base_url 有误？"),
    (
        "reminders go out early or late by it: start chrony or systemd-timesyncd",
        "提醒会因此提前或推迟：请启用 chrony 或 systemd-timesyncd",
    ),
    ("does base_url name the platform, and no proxy's page?", "base_url 是否指向平台，而不是代理的页面？"),
    (
        "add {} to the IP whitelist of {} in the platform's console (开发管理 → 开发设置)",
        "请在公众平台（开发管理 → 开发设置）把 {} 加入 {} 的 IP 白名单",
    ),
    ("try again later", "请稍后再试"),
    (
        "what is beyond it waits until the platform's midnight: spread it over days, or ask for more in the console",
        "超出部分要等到平台零点：请分散到多日，或在公众平台申请提额",
    ),
    ("lower the app's rate to {}", "请把 rate 调低到 {}"),
    (
        "what it would refuse is held; once it is mended, `tixing template refresh` reads the list again",
        "会被拒绝的提醒已暂停；修正后运行 tixing template refresh 重新读取",
    ),
    ("mend those above", "请处理以上各项"),
];

/// The name of a check in Chinese: an app's begins with its name.
pub fn name(text: &str) -> String {
    text.split_once(": ").map_or_else(|| zh(text), |(app, what)| format!("{app}：{}", zh(what)))
}

/// The sentence in Chinese, or as it is.
pub fn zh(text: &str) -> String {
    SENTENCES.iter().find_map(|(en, zh)| Some(filled(zh, &varying(en, text)?))).unwrap_or_else(|| text.to_owned())
}

/// What stands for each `{}` of a pattern that fits the whole text.
fn varying<'t>(pattern: &str, text: &'t str) -> Option<Vec<&'t str>> {
    let mut parts = pattern.split("{}");
    let mut rest = text.strip_prefix(parts.next()?)?;
    let mut found = Vec::new();
    let parts: Vec<&str> = parts.collect();
    for (i, part) in parts.iter().enumerate() {
        let end = if i + 1 == parts.len() { rest.strip_suffix(part)?.len() } else { rest.find(part)? };
        found.push(&rest[..end]);
        rest = &rest[end + part.len()..];
    }
    rest.is_empty().then_some(found)
}

/// The Chinese sentence with what varies, itself translated where it can be: `{}` takes the next, `{1}` the one of that number.
fn filled(pattern: &str, varying: &[&str]) -> String {
    let mut next = varying.iter();
    let numbered = varying
        .iter()
        .enumerate()
        .fold(pattern.to_owned(), |text, (i, value)| text.replace(&format!("{{{i}}}"), &zh(value)));
    let mut parts = numbered.split("{}");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + &next.next().map(|value| zh(value)).unwrap_or_default() + part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_varies_finds_its_place() {
        for (en, expected) in [
            ("disk", "磁盘"),
            ("312 MB free", "剩余 312 MB"),
            ("1 of 3 sent", "已发送 3 条，收到 1 条"),
            (
                "of what has ended: bodies 2 days, attempts for ever, history 30 days",
                "已结束的数据：内容 保留 2 天，尝试 一直保留，历史 保留 30 天",
            ),
            (
                "2 of 3 as the platform has them (the daemon asked at 10:00)",
                "3 个中 2 个与平台一致（守护进程查询于 10:00）",
            ),
            ("what a system says", "what a system says"),
        ] {
            assert_eq!(zh(en), expected);
        }
        assert_eq!((name("coffee: in doubt").as_str(), name("disk").as_str()), ("coffee：存疑", "磁盘"));
    }

    #[test]
    fn both_sides_have_the_same_places() {
        for (en, zh) in SENTENCES {
            let places =
                |text: &str| text.matches("{}").count() + (0..9).filter(|i| text.contains(&format!("{{{i}}}"))).count();
            assert_eq!(places(en), places(zh), "{en}");
        }
    }
}

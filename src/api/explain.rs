//! One sentence on why a reminder was or was not sent, in English and Chinese, with the evidence.

use crate::{
    config::App,
    domain::{
        Millis,
        consent::Feed,
        due::UNSURE_AT_MOST,
        reason::TEMPLATE_SUSPENDED,
        reminder::{Claim, ReminderId, State},
        timing::rfc3339,
    },
    engine::signals::Pause,
    store::{
        hold::Hold,
        pushes::Delivery,
        reminders::{Event, Stored},
    },
    words::{Lang, Message, Voice},
};
use serde::Serialize;
use utoipa::ToSchema;

/// Why.
#[derive(Debug, Serialize, ToSchema)]
pub struct Explanation {
    #[schema(value_type = ReminderId)]
    id: String,
    state: State,
    /// In English.
    en: String,
    /// 中文。
    zh: String,
    /// What it rests on, oldest first.
    evidence: Vec<String>,
}

/// What bears on a reminder besides its own events.
pub struct Circumstances {
    /// The platform's later word.
    pub delivery: Option<Delivery>,
    /// Why its app is paused, if it is.
    pub pause: Option<Pause>,
    /// Why the platform would refuse it, by its list of templates.
    pub refused: Option<Message>,
    /// What the store is on hold for.
    pub hold: Option<Hold>,
    /// Since when its user wants nothing more of its template.
    pub turned_off: Option<Millis>,
    /// Until when quiet hours hold it.
    pub quiet_until: Option<Millis>,
    /// Whether a daemon runs.
    pub daemon: bool,
    /// The time.
    pub now: Millis,
}

/// Explains a reminder from its events and what bears on it.
pub fn explain(stored: &Stored, events: &[Event], app: Option<&App>, circumstances: Circumstances) -> Explanation {
    let Circumstances { delivery, pause, refused, hold, turned_off, quiet_until, daemon, now } = circumstances;
    let last = events.last();
    let code = last.and_then(|e| e.code.as_deref()).unwrap_or_default();
    let known = app.and_then(|app| app.platform.code(code)).map(|known| (known.en, known.zh));
    let zh = |message: &Message| message.say(Voice::new(Lang::Zh));
    let (text, text_zh) = match last.and_then(Event::said) {
        Some(said) => (said.to_string(), zh(&said)),
        None if stored.erased.attempts => {
            ("what was said about it is no longer kept".to_owned(), "此前的说明已不再保留".to_owned())
        }
        None => Default::default(),
    };
    let (why_en, why_zh) = known.unwrap_or((&text, &text_zh));
    let (at, due_at) = (rfc3339(stored.due.at), rfc3339(stored.due.due_at));
    let (en, zh) = match stored.due.state {
        State::Sent => {
            let late = last.and_then(|e| e.began_at).map_or(0, |began| began - stored.due.at);
            match code {
                "" => (
                    format!("Sent: the platform accepted it {late} ms after its instant, and its consent is used."),
                    format!("已发送：到点后 {late} 毫秒被平台接受，订阅次数已使用。"),
                ),
                "receipt" => (
                    "Sent: its answer was lost, and the platform's receipt says that it had been accepted; its consent is used.".to_owned(),
                    "已发送：应答丢失，但平台的回执说明消息已被接受；订阅次数已使用。".to_owned(),
                ),
                "resolved" => (format!("Sent: {text}; its consent is used."), format!("已发送：{text_zh}；订阅次数已使用。")),
                code => (
                    format!("Sent: the first request had arrived; a safe second one was answered {code}, since the only consent was spent."),
                    format!("已发送：首次请求其实已到达；安全重发得到 {code}，说明唯一的订阅次数已被使用。"),
                ),
            }
        }
        State::Failed if code == "no_consent" => {
            let pushes = app.is_some_and(|app| !app.consents.counts(Feed::Client));
            let (more_en, more_zh) = match turned_off {
                Some(off) => (format!("; the user turned it off at {}", rfc3339(off)), format!("用户已于 {} 关闭该模板。", rfc3339(off))),
                None if pushes => (
                    "; with consents = \"callback\" a tap counts once the platform's push has come".to_owned(),
                    "consents = \"callback\" 时，平台推送到达后订阅才计入。".to_owned(),
                ),
                None => Default::default(),
            };
            (
                format!("Not sent: {why_en}{more_en}."),
                format!("未发送：用户没有该模板的可用订阅次数，请在小程序内重新请求订阅。{more_zh}"),
            )
        }
        State::Failed if code == "test_mode" => {
            (format!("Not sent: {why_en}; its consent is free again."), "未发送：应用处于测试模式，该用户不在测试名单内；订阅次数已退回。".to_owned())
        }
        State::Failed if code == "gave_up" => (
            format!("Not sent: {why_en}; its consent is free again."),
            format!("未发送：平台连续 {UNSURE_AT_MOST} 次返回系统繁忙，且该用户还有其他订阅次数，继续重试可能让用户收到两次，因此不再重试；订阅次数已退回。"),
        ),
        State::Failed if code == "resolved" => (
            format!("Not sent: {text}; its consent is free again."),
            format!("未发送：{text_zh}；订阅次数已退回。"),
        ),
        State::Failed if code == "turned_off" => (
            format!("Not sent: {why_en} before its instant, so its consent is void."),
            "未发送：用户在到点之前关闭了该模板的通知，订阅次数作废。".to_owned(),
        ),
        State::Failed => {
            // Its own words name the field at fault, and the like.
            let void = app.is_some_and(|app| app.platform.denies(code));
            let (left_en, left_zh) = if void {
                ("; its consents for this template are void", "；该模板的订阅次数作废")
            } else {
                ("; its consent is free again", "；订阅次数已退回")
            };
            let words = if known.is_some() && !text.is_empty() { format!(" ({text})") } else { String::new() };
            (
                format!("Not sent: the platform refused it for good with {code}: {why_en}{words}{left_en}."),
                format!("未发送：平台以 {code} 拒绝：{why_zh}{words}{left_zh}。"),
            )
        }
        State::Expired => {
            let before = events.iter().rev().find(|e| e.began_at.is_some()).and_then(|e| e.code.as_deref());
            let suspended = events.iter().rev().find(|e| e.code.as_deref() == Some(TEMPLATE_SUSPENDED)).and_then(Event::said);
            let (en, zh) = match (suspended, before) {
                (Some(why), _) => (format!(" ({why})"), format!("（{}）", zh(&why))),
                (None, Some(code)) => (format!(" (the last try was answered {code})"), format!("（最近一次尝试：{code}）")),
                (None, None) => Default::default(),
            };
            (
                format!("Not sent: its deadline {} passed before it could be sent{en}; its consent is free again.", rfc3339(stored.due.expires_at)),
                format!("未发送：截止时间 {} 已过{zh}；订阅次数已退回。", rfc3339(stored.due.expires_at)),
            )
        }
        State::Cancelled if code == "forgotten" => (
            "Not sent: its user wished to be forgotten.".to_owned(),
            "未发送：用户要求删除其数据。".to_owned(),
        ),
        State::Cancelled => (
            "Not sent: its owner cancelled it; its consent is free again.".to_owned(),
            "未发送：已被取消，订阅次数已退回。".to_owned(),
        ),
        State::Unconfirmed if code == "restored" => (
            format!("Perhaps sent, and never sent again: {text}; the consent it held counts as used."),
            "可能已发送，不会再次发送：它到点时的发送记录不可知；它占用的订阅次数按已使用计。".to_owned(),
        ),
        State::Unconfirmed => (
            format!("Perhaps sent, and never sent again: {text}; its consent counts as used."),
            "可能已发送，不会再次发送：结果无法确认，重发可能让用户收到两次；订阅次数按已使用计。".to_owned(),
        ),
        State::InDoubt => (
            format!("In doubt: the request may have arrived ({text}); it is looked at again at {due_at}."),
            format!("结果未知：请求可能已到达；将于 {due_at} 再次判断。"),
        ),
        State::Sending if !daemon => (
            "It was being sent when the daemon stopped, and nobody knows whether it arrived; the next start looks at it.".to_owned(),
            "守护进程停止时正在发送，结果未知；下次启动时处理。".to_owned(),
        ),
        State::Sending => ("It is being sent right now.".to_owned(), "正在发送。".to_owned()),
        State::Scheduled if let Some(hold) = hold => {
            let why = hold.why();
            (format!("Not sent yet: {why}."), format!("尚未发送：{}。", why.say(Voice::new(Lang::Zh))))
        }
        State::Scheduled if stored.due.expires_at <= now => (
            format!("Not sent: its deadline {} has passed, and it ends as soon as the daemon looks.", rfc3339(stored.due.expires_at)),
            format!("未发送：截止时间 {} 已过，守护进程检查后即结束。", rfc3339(stored.due.expires_at)),
        ),
        State::Scheduled if let Some(why) = refused => (
            format!("Not sent yet, and held until it would be accepted: {why}; `tixing template refresh` reads the platform's list again."),
            format!("尚未发送，模板与平台不一致，暂停发送：{}；修正后可运行 tixing template refresh 重新读取模板列表。", zh(&why)),
        ),
        State::Scheduled => match pause {
            Some(Pause { code, why, until, .. }) if stored.due.due_at <= until => (
                format!("Not sent yet: the app's sends are paused until {} because of {code}: {why}.", rfc3339(until)),
                format!("尚未发送：应用因 {code} 暂停发送至 {}：{}。", rfc3339(until), zh(&why)),
            ),
            _ if !code.is_empty() => (
                format!("Not sent yet: the last try ended with {code}: {why_en}; it is tried again at {due_at}."),
                format!("尚未发送：最近一次尝试 {code}：{why_zh}；将于 {due_at} 重试。"),
            ),
            _ if let Some(off) = turned_off.filter(|_| stored.claim == Claim::AtFire) => (
                format!("Not sent yet: its instant is {at}; the user turned this template off at {}, so it waits for another accept.", rfc3339(off)),
                format!("尚未发送：计划时间 {at}；用户已于 {} 关闭该模板，需重新订阅。", rfc3339(off)),
            ),
            _ if stored.due.at > now => (
                format!("Not sent yet: its instant is {at}."),
                format!("尚未发送：计划时间 {at}。"),
            ),
            _ if let Some(until) = quiet_until => (
                format!("Not sent yet: its instant has passed, and quiet hours hold it until {}.", rfc3339(until)),
                format!("尚未发送：已到点，处于免打扰时段，至 {}。", rfc3339(until)),
            ),
            _ => (
                "Not sent yet: its instant has passed; it waits for the app's rate, its quiet hours or a running daemon.".to_owned(),
                "尚未发送：已到点，正在等待发送速率、免打扰时段或守护进程。".to_owned(),
            ),
        },
    };
    let told = |event: &Event| {
        let when = rfc3339(event.began_at.unwrap_or(event.ended_at));
        let what: Vec<String> =
            event.code.clone().into_iter().chain(event.said().map(|said| said.to_string())).collect();
        let what = what.join(": ");
        let call = if event.began_at.is_some() { "attempt" } else { "decision" };
        format!("{when} {call} → {}{}{what}", event.state.word(), if what.is_empty() { "" } else { ", " })
    };
    let (said_en, said_zh) = match &delivery {
        None => Default::default(),
        Some(Delivery { failure: None, .. }) => {
            (" The platform says that it was delivered.".into(), "平台回执：已送达。".into())
        }
        Some(Delivery { failure: Some(code), text, .. }) => (
            format!(" The platform says that it was not delivered: {code} {text}."),
            format!("平台回执：未送达（{code} {text}）。"),
        ),
    };
    let (erased_en, erased_zh) = match (stored.erased.body, stored.erased.attempts) {
        (_, true) => (" What was tried before its end is no longer kept.", "按保留期限，此前的尝试记录已清除。"),
        (true, false) => (" What it said is no longer kept.", "内容已清除。"),
        (false, false) => ("", ""),
    };
    let (en, zh) = (en + &said_en + erased_en, zh + &said_zh + erased_zh);
    let receipt = delivery.map(|d| {
        let what = d.failure.map_or("delivered".to_owned(), |code| format!("undelivered, {code}"));
        format!("{} receipt → {what}: {}", rfc3339(d.at), d.text)
    });
    Explanation {
        id: stored.due.id.to_string(),
        state: stored.due.state,
        en,
        zh,
        evidence: events.iter().map(told).chain(receipt).collect(),
    }
}

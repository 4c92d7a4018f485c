//! What `tt.requestSubscribeMessage` gives to the mini-program.
//!
//! Source: `tt-request-subscribe-message`, official; `templateSettings` (base library 3.35.0) by the official typings.

use crate::{
    platform::{facts::Misread, popup::word},
    words::say,
};
use serde_json::Value;
use std::collections::BTreeMap;

/// The words for a template. The last two stand in `templateSettings` alone: the user was subscribed already, or cannot subscribe more
/// often.
pub(super) const WORDS: &[&str] = &["accept", "reject", "ban", "fail", REPEAT, LIMIT];
const REPEAT: &str = "repeat";
const LIMIT: &str = "limit";

/// Members that are no templates.
pub(super) const BESIDE: &[&str] = &["errMsg", "errNo", "errCode", "errLogId", "alwaysSubscribe", SETTINGS];
const SETTINGS: &str = "templateSettings";

/// Whether a word grants a consent. That one who is subscribed already can be sent more for it is nowhere said, so [`REPEAT`] adds none.
pub(super) fn grants(word: &str) -> Option<bool> {
    WORDS.contains(&word).then_some(word == "accept")
}

/// A template has a word of its own, a status in `templateSettings` (only the ticked ones do, and old clients have none at all), or both:
/// it was granted if each says so. An accept that adds nothing is neither yes nor no.
pub(super) fn read(result: &Value) -> Result<BTreeMap<String, bool>, Misread> {
    let object = result.as_object().ok_or_else(|| Misread::whole(say!("no_popup_result")))?;
    // What is no text is something else that the client tells.
    let own = object.iter().filter(|(name, word)| !BESIDE.contains(&name.as_str()) && word.is_string());
    let settings = object.get(SETTINGS).and_then(Value::as_object).into_iter().flatten();
    let statuses = settings.map(|(template, setting)| (template, &setting["status"]));
    let mut said: BTreeMap<&String, Vec<&str>> = BTreeMap::new();
    for (template, given) in own {
        word(&super::FACTS.popup, given, &[template])?;
        said.entry(template).or_default().extend(given.as_str());
    }
    for (template, status) in statuses.filter(|(_, status)| !status.is_null()) {
        word(&super::FACTS.popup, status, &[SETTINGS, template, "status"])?;
        said.entry(template).or_default().extend(status.as_str());
    }
    let mut granted = BTreeMap::new();
    for (template, words) in said {
        let adds_nothing = words.iter().any(|word| [REPEAT, LIMIT].contains(word));
        let refused = words.iter().any(|word| grants(word) == Some(false) && ![REPEAT, LIMIT].contains(word));
        if refused || !adds_nothing {
            granted.insert(template.clone(), !refused);
        }
    }
    Ok(granted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_a_new_accept_grants() {
        let told = |pairs: &[(&str, bool)]| Ok(pairs.iter().map(|(t, granted)| ((*t).to_owned(), *granted)).collect());
        let settings = |word: &str, status: &str| json!({ "errMsg": "requestSubscribeMessage:ok", "MSG1": word, "templateSettings": { "MSG1": { "status": status } } });
        let table = [
            (
                json!({ "errMsg": "requestSubscribeMessage:ok", "MSG1": "accept", "MSG2": "reject" }),
                told(&[("MSG1", true), ("MSG2", false)]),
            ),
            (json!({ "MSG1": "ban", "MSG2": "fail" }), told(&[("MSG1", false), ("MSG2", false)])),
            (settings("accept", "accept"), told(&[("MSG1", true)])),
            (settings("accept", "repeat"), told(&[])),
            (settings("accept", "limit"), told(&[])),
            (settings("accept", "reject"), told(&[("MSG1", false)])),
            (settings("reject", "accept"), told(&[("MSG1", false)])),
            (settings("reject", "repeat"), told(&[("MSG1", false)])),
            (
                json!({ "templateSettings": { "MSG1": { "status": "accept", "alwaysSubscribe": true } } }),
                told(&[("MSG1", true)]),
            ),
            (
                json!({ "MSG1": "accept", "MSG2": "reject", "templateSettings": { "MSG1": { "status": "accept", "allowReminderWay": [] } } }),
                told(&[("MSG1", true), ("MSG2", false)]),
            ),
            (
                json!({ "MSG1": "accept", "templateSettings": { "MSG1": { "alwaysSubscribe": false } } }),
                told(&[("MSG1", true)]),
            ),
            (json!({ "errMsg": "requestSubscribeMessage:fail", "errNo": 21_101, "errCode": 1 }), told(&[])),
            (json!({}), told(&[])),
        ];
        for (result, granted) in table {
            assert_eq!(read(&result), granted, "{result}");
        }
        for strange in [
            json!({ "MSG1": "maybe" }),
            settings("accept", "never"),
            json!({ "templateSettings": { "MSG1": { "status": 1 } } }),
        ] {
            assert!(read(&strange).is_err_and(|wrong| wrong.why.to_string().contains("accept, reject")), "{strange}");
        }
        let at = |result| read(&result).err().map(|wrong| wrong.at);
        assert_eq!(at(json!({ "A": "accept", "M/1": "maybe" })).as_deref(), Some("/M~11"));
        assert_eq!(at(settings("accept", "never")).as_deref(), Some("/templateSettings/MSG1/status"));
        for none in [json!(null), json!([]), json!("accept")] {
            assert!(read(&none).is_err(), "{none}");
        }
    }
}

//! What `tt.requestSubscribeMessage` gives to the mini-program.
//!
//! Source: `tt-request-subscribe-message`, official; `templateSettings` (base library 3.35.0) by the official typings.

use crate::{
    platform::{
        facts::{Choice, Misread},
        popup::{object, word},
    },
    words::{Message, say},
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

/// Why a word adds nothing though the user did not refuse.
pub(super) fn adds_nothing(word: &str) -> Option<Message> {
    match word {
        REPEAT => Some(say!("ignored_subscribed_before")),
        LIMIT => Some(say!("ignored_subscribed_enough")),
        _ => None,
    }
}

/// A template has a word of its own, and a status in `templateSettings` if it was ticked; old clients have no statuses. It was granted if its
/// word and its status, where there is one, say so. A status alone grants nothing.
pub(super) fn read(result: &Value) -> Result<BTreeMap<String, Choice>, Misread> {
    let object = object(&super::FACTS.popup, result, &[SETTINGS])?;
    // A number, or a yes or no, is something else that the client tells.
    let is_word = |value: &Value| value.is_string() || value.is_object() || value.is_array();
    let own = object.iter().filter(|(name, word)| !BESIDE.contains(&name.as_str()) && is_word(word));
    let settings = object.get(SETTINGS).and_then(Value::as_object).into_iter().flatten();
    let statuses = settings.map(|(template, setting)| (template, &setting["status"]));
    let mut chosen = BTreeMap::new();
    for (template, given) in own {
        chosen.insert(template.clone(), word(&super::FACTS.popup, given, &[template])?);
    }
    for (template, status) in statuses.filter(|(_, status)| !status.is_null()) {
        let status = word(&super::FACTS.popup, status, &[SETTINGS, template, "status"])?;
        let both = match (chosen.get(template), status) {
            (Some(Choice::Refused), _) | (_, Choice::Refused) => Choice::Refused,
            (_, Choice::Nothing(why)) => Choice::Nothing(why),
            (Some(own), Choice::Granted) => own.clone(),
            (None, Choice::Granted) => Choice::Nothing(say!("ignored_status_alone")),
        };
        chosen.insert(template.clone(), both);
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_a_new_accept_grants() {
        let told =
            |pairs: &[(&str, bool)]| pairs.iter().map(|(t, granted)| ((*t).to_owned(), Some(*granted))).collect();
        let nothing: BTreeMap<String, Option<bool>> = [("MSG1".to_owned(), None)].into();
        let settings = |word: &str, status: &str| json!({ "errMsg": "requestSubscribeMessage:ok", "MSG1": word, "templateSettings": { "MSG1": { "status": status } } });
        let table = [
            (
                json!({ "errMsg": "requestSubscribeMessage:ok", "MSG1": "accept", "MSG2": "reject" }),
                told(&[("MSG1", true), ("MSG2", false)]),
            ),
            (json!({ "MSG1": "ban", "MSG2": "fail" }), told(&[("MSG1", false), ("MSG2", false)])),
            (settings("accept", "accept"), told(&[("MSG1", true)])),
            (settings("accept", "repeat"), nothing.clone()),
            (settings("accept", "limit"), nothing.clone()),
            (json!({ "MSG1": "repeat" }), nothing.clone()),
            // A status without the word itself.
            (
                json!({ "templateSettings": { "MSG1": { "status": "accept", "alwaysSubscribe": true } } }),
                nothing.clone(),
            ),
            (json!({ "templateSettings": { "MSG1": { "status": "limit" } } }), nothing),
            (json!({ "templateSettings": { "MSG1": { "status": "reject" } } }), told(&[("MSG1", false)])),
            (settings("accept", "reject"), told(&[("MSG1", false)])),
            (settings("reject", "accept"), told(&[("MSG1", false)])),
            (settings("reject", "repeat"), told(&[("MSG1", false)])),
            (
                json!({ "MSG1": "accept", "MSG2": "reject", "templateSettings": { "MSG1": { "status": "accept", "allowReminderWay": [] } } }),
                told(&[("MSG1", true), ("MSG2", false)]),
            ),
            (
                json!({ "MSG1": "accept", "templateSettings": { "MSG1": { "alwaysSubscribe": false } } }),
                told(&[("MSG1", true)]),
            ),
            (json!({ "errMsg": "requestSubscribeMessage:fail", "errNo": 21_101, "errCode": 1 }), told(&[])),
        ];
        for (result, granted) in table {
            let read: BTreeMap<_, _> =
                read(&result).expect("can be read").iter().map(|(t, c)| (t.clone(), c.granted())).collect();
            assert_eq!(read, granted, "{result}");
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
        for none in [json!(null), json!([]), json!("accept"), json!({}), json!({ "result": { "MSG1": "accept" } })] {
            assert!(read(&none).is_err(), "{none}");
        }
    }
}

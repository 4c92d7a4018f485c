//! What `my.requestSubscribeMessage` gives.
//!
//! [O] `behavior` is `subscribe` when the user has answered, a refusal included, and `cancel` or empty otherwise. `result` has the lists
//! `currentSubscribedEntityIds` (accepted in this call) and `unsubscribedEntityIds`. Each template id also stands beside them with `accept`
//! or `reject`, which in a silent call (`show` is false) is the answer of the time before. Older libraries give those words alone.
//!
//! [I] `currentSubscribedEntityIds` is what adds a send. [?] Whether a silent call under «always keep this choice» adds one is not
//! written: it counts for nothing.

use crate::{
    platform::{
        facts::{Choice, Misread},
        popup,
    },
    words::{Message, say},
};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Whether a word grants a consent.
pub fn grants(word: &str) -> Option<bool> {
    match word {
        "accept" => Some(true),
        "reject" => Some(false),
        _ => None,
    }
}

/// Members of the object that name no template.
pub(super) const OTHERS: &[&str] = &[
    "behavior",
    "show",
    "keep",
    "refuse",
    "result",
    "error",
    "errorMessage",
    "errorCode",
    "errMsg",
    "success",
    ASKED,
    BEFORE,
    REFUSED,
    ACCEPTED,
];

/// Members of the object that hold others.
const NESTED: &[&str] = &["result", "error", ASKED, BEFORE, REFUSED, ACCEPTED];
const ASKED: &str = "subscribeEntityIds";
const BEFORE: &str = "subscribedEntityIds";
const REFUSED: &str = "unsubscribedEntityIds";
const ACCEPTED: &str = "currentSubscribedEntityIds";

/// Reads the object: template id → what the user chose.
///
/// # Errors
/// What was found, and what the call gives.
pub fn read(given: &Value) -> Result<BTreeMap<String, Choice>, Misread> {
    let popup = &super::FACTS.popup;
    let object = popup::object(popup, given, NESTED)?;
    let inner = object.get("result").and_then(Value::as_object);
    if let Some(inner) = inner {
        // The lists lie in `result`, and no words.
        let has_lists = [ASKED, BEFORE, REFUSED, ACCEPTED].iter().any(|name| inner.contains_key(*name));
        if let Some(strange) = inner.keys().next().filter(|_| !has_lists) {
            return Err(popup::wrapped(popup, &["result", strange]));
        }
        if inner.is_empty() && object.len() == 1 {
            return Err(Misread::at(["result"], say!("popup_result_empty")));
        }
    }
    let lists = inner.unwrap_or(object);
    let ids = |name| ids(lists, name, inner.is_some());
    let named = object.keys().filter(|name| !OTHERS.contains(&name.as_str())).cloned();
    let named: Vec<String> = named.chain(ids(ASKED)?).collect();
    let nothing = |why: &Message| named.iter().map(|id| (id.clone(), Choice::Nothing(why.clone()))).collect();
    if let Some(why) = unanswered(object) {
        return Ok(nothing(&why));
    }
    if !lists.contains_key(ACCEPTED) {
        let words = object.iter().filter(|(name, _)| !OTHERS.contains(&name.as_str()));
        let chosen = |(id, word): (&String, &Value)| Ok((id.clone(), popup::word(popup, word, &[id])?));
        return words.map(chosen).collect();
    }
    // One that was accepted before stands in neither list.
    let mut chosen: BTreeMap<String, Choice> = nothing(&say!("ignored_subscribed_before"));
    let refused = object.iter().filter(|(_, word)| *word == "reject").map(|(id, _)| id.clone());
    chosen.extend(refused.map(|id| (id, Choice::Refused)));
    chosen.extend(ids(REFUSED)?.into_iter().map(|id| (id, Choice::Refused)));
    chosen.extend(ids(ACCEPTED)?.into_iter().map(|id| (id, Choice::Granted)));
    Ok(chosen)
}

/// Why the user has answered nothing, if they have not.
fn unanswered(object: &Map<String, Value>) -> Option<Message> {
    let is_silent = object.get("show").is_some_and(|show| *show == Value::Bool(false) || *show == "false");
    let has_failed = object.get("error").is_some_and(|error| !error.is_null());
    let has_answered = object.get("behavior").is_none_or(|behavior| *behavior == "subscribe");
    if has_failed {
        Some(say!("ignored_call_failed"))
    } else if !has_answered {
        Some(say!("ignored_dialog_left"))
    } else {
        is_silent.then(|| say!("ignored_dialog_not_shown"))
    }
}

/// One of the lists of template ids, which may lie in `result`.
fn ids(lists: &Map<String, Value>, name: &str, inside: bool) -> Result<Vec<String>, Misread> {
    let Some(list) = lists.get(name).filter(|list| !list.is_null()) else { return Ok(Vec::new()) };
    let texts = list.as_array().map(|list| list.iter().map(|id| id.as_str().map(str::to_owned)).collect());
    let steps = ["result", name].into_iter().skip(usize::from(!inside));
    texts.flatten().ok_or_else(|| Misread::at(steps, say!("no_list_of_templates", key = name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_the_call_gives_counts_as_the_documents_say() {
        let lists = |current: &[&str], unsubscribed: &[&str]| {
            json!({ "subscribeEntityIds": ["a", "b"], "subscribedEntityIds": ["a"],
                "unsubscribedEntityIds": unsubscribed, "currentSubscribedEntityIds": current })
        };
        let table = [
            (
                "one ticked, one not",
                json!({ "behavior": "subscribe", "show": true, "keep": false, "a": "accept", "b": "reject", "result": lists(&["a"], &["b"]) }),
                json!({ "a": true, "b": false }),
            ),
            (
                "accepted before, not now",
                json!({ "behavior": "subscribe", "show": true, "a": "accept", "result": lists(&[], &[]) }),
                json!({ "a": null, "b": null }),
            ),
            (
                "a silent call under «always keep»",
                json!({ "behavior": "subscribe", "show": false, "keep": true, "a": "accept", "b": "reject", "result": lists(&["a"], &["b"]) }),
                json!({ "a": null, "b": null }),
            ),
            ("cancelled", json!({ "behavior": "cancel", "show": true, "a": "accept" }), json!({ "a": null })),
            ("cancelled, with empty lists", json!({ "behavior": "cancel", "result": {} }), json!({})),
            ("nothing done", json!({ "behavior": "", "show": true }), json!({})),
            ("failed", json!({ "error": 11, "errorMessage": "用户取消" }), json!({})),
            ("an older library", json!({ "behavior": "subscribe", "show": true, "a": "accept" }), json!({ "a": true })),
            ("older still", json!({ "a": "accept", "b": "reject" }), json!({ "a": true, "b": false })),
            (
                "lists beside the words",
                json!({ "behavior": "subscribe", "a": "accept", "currentSubscribedEntityIds": ["b"], "unsubscribedEntityIds": null }),
                json!({ "a": null, "b": true }),
            ),
        ];
        for (what, given, counts) in table {
            let read = read(&given).unwrap_or_else(|wrong| panic!("{what}: {wrong:?}"));
            let read: BTreeMap<&String, Option<bool>> =
                read.iter().map(|(id, choice)| (id, choice.granted())).collect();
            assert_eq!(serde_json::to_value(read).expect("serialises"), counts, "{what}");
        }
    }

    #[test]
    fn what_the_call_never_gives_is_refused() {
        for given in [
            json!("accept"),
            json!(["a"]),
            json!(null),
            json!({ "a": "Accept" }),
            json!({ "a": 1 }),
            json!({}),
            json!({ "result": {} }),
            json!({ "result": { "a": "accept" } }),
            json!({ "result": { "behavior": "subscribe", "a": "accept" } }),
            json!({ "behavior": "subscribe", "result": { "currentSubscribedEntityIds": "a" } }),
            json!({ "behavior": "subscribe", "result": { "currentSubscribedEntityIds": [1] } }),
        ] {
            assert!(read(&given).is_err(), "{given}");
        }
        let at = |given| read(&given).err().map(|wrong| wrong.at);
        assert_eq!(at(json!({ "a": "accept", "b": "Accept" })).as_deref(), Some("/b"));
        let list = json!({ "currentSubscribedEntityIds": "a" });
        assert_eq!(at(list.clone()).as_deref(), Some("/currentSubscribedEntityIds"));
        assert_eq!(at(json!({ "result": list })).as_deref(), Some("/result/currentSubscribedEntityIds"));
    }
}

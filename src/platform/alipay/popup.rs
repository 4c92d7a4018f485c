//! What `my.requestSubscribeMessage` gives.
//!
//! [O] `behavior` is `subscribe` when the user has answered, a refusal included, and `cancel` or empty otherwise. `result` has the lists
//! `currentSubscribedEntityIds` (accepted in this call) and `unsubscribedEntityIds`. Each template id also stands beside them with `accept`
//! or `reject`, which in a silent call (`show` is false) is the answer of the time before. Older libraries give those words alone.
//!
//! [I] `currentSubscribedEntityIds` is what adds a send. [?] Whether a silent call under «always keep this choice» adds one is not
//! written: it counts for nothing.

use crate::{
    platform::{facts::Misread, popup},
    words::say,
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
    "subscribeEntityIds",
    "subscribedEntityIds",
    "unsubscribedEntityIds",
    "currentSubscribedEntityIds",
];

/// Reads the object: template id → whether a send was granted.
///
/// # Errors
/// What was found, and what the call gives.
pub fn read(given: &Value) -> Result<BTreeMap<String, bool>, Misread> {
    let object = given.as_object().ok_or_else(|| Misread::whole(say!("no_popup_result")))?;
    let silent = object.get("show").is_some_and(|show| *show == Value::Bool(false) || *show == "false");
    let failed = object.get("error").is_some_and(|error| !error.is_null());
    let answered = object.get("behavior").is_none_or(|behavior| *behavior == "subscribe");
    if silent || failed || !answered {
        return Ok(BTreeMap::new());
    }
    let inner = object.get("result").and_then(Value::as_object);
    match inner.unwrap_or(object) {
        lists if lists.contains_key("currentSubscribedEntityIds") => {
            let ids = |name| ids(lists, name, inner.is_some());
            let rejected = ids("unsubscribedEntityIds")?.into_iter().map(|id| (id, false));
            let accepted = ids("currentSubscribedEntityIds")?.into_iter().map(|id| (id, true));
            Ok(rejected.chain(accepted).collect())
        }
        _ => popup::read(&super::FACTS.popup, given),
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
                json!({}),
            ),
            (
                "a silent call under «always keep»",
                json!({ "behavior": "subscribe", "show": false, "keep": true, "a": "accept", "b": "reject", "result": lists(&["a"], &["b"]) }),
                json!({}),
            ),
            ("cancelled", json!({ "behavior": "cancel", "show": true, "a": "accept" }), json!({})),
            ("nothing done", json!({ "behavior": "", "show": true }), json!({})),
            ("failed", json!({ "error": 11, "errorMessage": "用户取消" }), json!({})),
            ("an older library", json!({ "behavior": "subscribe", "show": true, "a": "accept" }), json!({ "a": true })),
            ("older still", json!({ "a": "accept", "b": "reject" }), json!({ "a": true, "b": false })),
            (
                "lists beside the words",
                json!({ "behavior": "subscribe", "a": "accept", "currentSubscribedEntityIds": ["b"], "unsubscribedEntityIds": null }),
                json!({ "b": true }),
            ),
        ];
        for (what, given, counts) in table {
            let read = read(&given).unwrap_or_else(|wrong| panic!("{what}: {wrong:?}"));
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

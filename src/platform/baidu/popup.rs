//! What Baidu's clients give: the detail of the submit event of a `<form report-type="subscribe">`, or the result of
//! `swan.subscribeService`. Neither names the template that messages are sent with.
//!
//! Source: `formlist_form` and `swan-subscribeService` of the manual, official, copies of 2020.

use crate::{
    platform::facts::{Choice, Misread},
    words::say,
};
use serde_json::Value;
use std::collections::BTreeMap;

/// The statuses of a submit event that grant nothing: refused for good, refused this once, cancelled; the template, or the form's id, could
/// not be fetched. What a grant has as its status is not documented.
const REFUSED: std::ops::RangeInclusive<i64> = 500_101..=500_105;

/// Reads either of them; the whole event (`{"detail": …}`) too.
pub fn read(result: &Value) -> Result<BTreeMap<String, Choice>, Misread> {
    let detail = if result["detail"].is_object() { &result["detail"] } else { result };
    let object = detail.as_object().ok_or_else(|| Misread::whole(say!("no_popup_result")))?;
    let granted = if let Some(id) = object.get("formId") {
        if !(id.is_string() || id.is_null()) {
            return Err(Misread::at(["formId"], say!("no_form_id")));
        }
        submitted(detail)
    } else if object.contains_key("type") {
        queried(detail)
    } else {
        return Err(Misread::whole(say!("no_submit_event", expected = "formId, status, message")));
    };
    Ok([(String::new(), granted.into())].into())
}

/// A submit event grants a send if it brings a form's id, unless its status says that the user, or the client, did not go along. The
/// developer tools leave the id empty.
fn submitted(detail: &Value) -> bool {
    let refused = crate::platform::answer::number(&detail["status"]).is_some_and(|status| REFUSED.contains(&status));
    let has_id = detail["formId"].as_str().is_some_and(|id| !id.is_empty());
    has_id && !refused
}

/// `status` is 1 for a subscription that stands, 0 for one that was cancelled, -1 for one that is not known.
fn queried(result: &Value) -> bool {
    result["type"] == "query" && result["status"] == 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_form_that_was_submitted_grants_a_send_unless_the_user_refused() {
        let read = |result: &Value| read(result).ok().and_then(|read| read[""].granted());
        for (result, told) in [
            (json!({ "value": {}, "formId": "F1", "status": 0, "message": "" }), Some(true)),
            (json!({ "formId": "F1", "status": "", "message": "" }), Some(true)),
            (json!({ "detail": { "formId": "F1", "status": 0, "message": "success" }, "type": "submit" }), Some(true)),
            (json!({ "formId": "", "status": 500_101, "message": "用户永久拒绝授权" }), Some(false)),
            (json!({ "formId": "", "status": "500102" }), Some(false)),
            (json!({ "formId": "F1", "status": 500_103 }), Some(false)),
            (json!({ "formId": "F1", "status": 500_105 }), Some(false)),
            (json!({ "formId": "", "status": 0 }), Some(false)),
            (json!({ "formId": null }), Some(false)),
            (json!({ "formId": 123, "status": 0 }), None),
            (json!({ "formId": { "id": "F1" } }), None),
            (json!({ "type": "query", "form_id": "F1", "status": 1, "update_time": 1 }), Some(true)),
            (json!({ "type": "query", "form_id": "F1", "status": 0 }), Some(false)),
            (json!({ "type": "query", "status": -1 }), Some(false)),
            (json!({ "type": "cancel" }), Some(false)),
            (json!({ "errMsg": "ok" }), None),
            (json!({}), None),
            (json!("F1"), None),
        ] {
            assert_eq!(read(&result), told, "{result}");
        }
    }
}

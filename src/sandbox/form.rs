//! Requests that come as forms.

use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// The pairs of a form.
pub(super) fn pairs(body: &[u8]) -> HashMap<String, String> {
    form_urlencoded::parse(body).into_owned().collect()
}

/// The field values in a JSON text like `{"thing01":{"value":"…"}}`; `None` if it is none.
pub(super) fn values(json: &str) -> Option<BTreeMap<String, String>> {
    let Ok(Value::Object(fields)) = serde_json::from_str(json) else { return None };
    fields.into_iter().map(|(key, field)| Some((key, field["value"].as_str()?.to_owned()))).collect()
}

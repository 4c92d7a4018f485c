//! The usual shape of what a popup gives to the mini-program: the platform's template id → a word.

use super::facts::Popup;
use crate::{
    domain::timing::cut,
    words::{Message, say},
};
use serde_json::Value;
use std::collections::BTreeMap;

/// Reads it; the members called as in `beside` are no templates.
///
/// # Errors
/// That it is no object, or that a word is none of the popup's.
pub fn read(popup: &Popup, result: &Value, beside: &[&str]) -> Result<BTreeMap<String, bool>, Message> {
    let object = result.as_object().ok_or_else(|| say!("no_popup_result"))?;
    let templates = object.iter().filter(|(name, _)| !beside.contains(&name.as_str()));
    let granted = |(template, word): (&String, &Value)| {
        let word = word.as_str().unwrap_or_default();
        match (popup.grants)(word) {
            Some(granted) => Ok((template.clone(), granted)),
            None => Err(say!("not_one_of", found = cut(word), allowed = popup.words)),
        }
    };
    templates.map(granted).collect()
}

//! The usual shape of what a popup gives to the mini-program: the platform's template id → a word.

use super::facts::{Misread, Popup};
use crate::{domain::timing::cut, words::say};
use serde_json::Value;
use std::collections::BTreeMap;

/// Reads it.
///
/// # Errors
/// That it is no object, or that a word is none of the popup's.
pub fn read(popup: &Popup, result: &Value) -> Result<BTreeMap<String, bool>, Misread> {
    let object = result.as_object().ok_or_else(|| Misread::whole(say!("no_popup_result")))?;
    let templates = object.iter().filter(|(name, _)| !popup.beside.contains(&name.as_str()));
    let granted = |(template, word): (&String, &Value)| Ok((template.clone(), self::word(popup, word, &[template])?));
    templates.map(granted).collect()
}

/// Whether the word that lies at these steps grants a consent.
///
/// # Errors
/// That it is none of the popup's.
pub fn word(popup: &Popup, word: &Value, steps: &[&str]) -> Result<bool, Misread> {
    let unknown = || {
        let found = word.as_str().map_or_else(|| word.to_string(), str::to_owned);
        Misread::at(steps, say!("not_one_of", found = cut(&found), allowed = popup.words))
    };
    word.as_str().and_then(popup.grants).ok_or_else(unknown)
}

//! The usual shape of what a popup gives to the mini-program: the platform's template id → a word.

use super::facts::{Choice, Misread, Popup};
use crate::{domain::timing::cut, words::say};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Reads it.
///
/// # Errors
/// That it is no object, that it is one within another, or that a word is none of the popup's.
pub fn read(popup: &Popup, result: &Value) -> Result<BTreeMap<String, Choice>, Misread> {
    let object = object(popup, result, &[])?;
    let templates = object.iter().filter(|(name, _)| !popup.beside.contains(&name.as_str()));
    let chosen = |(template, word): (&String, &Value)| Ok((template.clone(), self::word(popup, word, &[template])?));
    templates.map(chosen).collect()
}

/// The object that a client's call gave. Of the members that name no template, those called as in `nested` can hold others.
///
/// # Errors
/// That it is none, that it says nothing, or that what the call gave lies in a member of it: then somebody has wrapped it up, and to pass it
/// over would be to lose what the user said.
pub fn object<'a>(popup: &Popup, result: &'a Value, nested: &[&str]) -> Result<&'a Map<String, Value>, Misread> {
    let object = result.as_object().ok_or_else(|| Misread::whole(say!("no_popup_result")))?;
    if object.is_empty() {
        return Err(Misread::whole(say!("popup_result_empty")));
    }
    let holds = |(name, value): &(&String, &Value)| {
        popup.beside.contains(&name.as_str()) && !nested.contains(&name.as_str()) && is_nested(value)
    };
    match object.iter().find(holds) {
        Some((name, _)) => Err(wrapped(popup, &[name])),
        None => Ok(object),
    }
}

fn is_nested(value: &Value) -> bool {
    value.is_object() || value.is_array()
}

/// What lies at these steps holds other values where a word is expected.
pub fn wrapped(popup: &Popup, steps: &[&str]) -> Misread {
    let key = steps.last().copied().unwrap_or_default();
    Misread::at(steps, say!("popup_word_nested", key = cut(key), allowed = popup.words))
}

/// What the user chose by the word that lies at these steps.
///
/// # Errors
/// That it is none of the popup's.
pub fn word(popup: &Popup, word: &Value, steps: &[&str]) -> Result<Choice, Misread> {
    if is_nested(word) {
        return Err(wrapped(popup, steps));
    }
    let unknown = || {
        let found = word.as_str().map_or_else(|| word.to_string(), str::to_owned);
        Misread::at(steps, say!("not_one_of", found = cut(&found), allowed = popup.words))
    };
    let granted = word.as_str().and_then(popup.grants).ok_or_else(unknown)?;
    Ok(match word.as_str().and_then(popup.adds_nothing) {
        Some(why) => Choice::Nothing(why),
        None => granted.into(),
    })
}

//! Who, and by which key the row is known again.

use super::{cell, told::Told};
use crate::{
    schedule::render::used::{is_damaged, usable},
    words::{Message, say},
};
use std::borrow::Cow;
use unicode_normalization::{UnicodeNormalization, is_nfkc};

/// A key has no more characters.
const MOST_OF_KEY: usize = 128;

/// As openids and keys are compared: NFKC, trimmed.
pub fn normal(text: &str) -> String {
    let text: Cow<'_, str> = if is_nfkc(text) { text.into() } else { text.nfkc().collect::<String>().into() };
    text.trim().to_owned()
}

/// The openid in a cell.
pub fn of_cell(told: &mut Told<'_>, place: Option<usize>) -> Option<String> {
    let cell = place.map(|place| cell(told.cells, place))?;
    if let Err((code, detail)) = usable(cell) {
        told.problem(place, code, detail);
        return None;
    }
    openid(told, place, &cell.text())
}

/// The openid in a list.
pub fn of_text(told: &mut Told<'_>, text: &str) -> Option<String> {
    openid(told, None, text)
}

fn openid(told: &mut Told<'_>, place: Option<usize>, text: &str) -> Option<String> {
    let openid = normal(text);
    if is_damaged(&openid) {
        told.problem(place, "damaged_number", say!("cell_damaged_number"));
        return None;
    }
    match told.bound.user.check(&openid) {
        Ok(()) => Some(openid),
        Err(why) => {
            let detail = if openid.is_empty() { say!("openid_blank") } else { why.detail };
            told.problem(place, "bad_openid", detail);
            None
        }
    }
}

/// The key of the row in a cell.
pub fn key(told: &mut Told<'_>, place: usize) -> Option<String> {
    key_or(told, place, say!("key_blank"))
}

/// The key of the event that the row is for, in a cell.
pub fn event(told: &mut Told<'_>, place: usize) -> Option<String> {
    key_or(told, place, say!("event_blank"))
}

/// A key in a cell; `blank` is what is said of none.
fn key_or(told: &mut Told<'_>, place: usize, blank: Message) -> Option<String> {
    let cell = cell(told.cells, place);
    if let Err((code, detail)) = usable(cell) {
        told.problem(Some(place), code, detail);
        return None;
    }
    let key = normal(&cell.text());
    let found = key.chars().count();
    let wrong = if key.is_empty() {
        Some(("no_value", blank))
    } else if is_damaged(&key) {
        Some(("damaged_number", say!("cell_damaged_number")))
    } else if found > MOST_OF_KEY {
        Some(("too_long", say!("cell_too_long", found = found, most = MOST_OF_KEY)))
    } else {
        let control = key.chars().find(|c| c.is_control());
        control.map(|c| ("control_character", say!("control_character", code = format!("U+{:04X}", u32::from(c)))))
    };
    match wrong {
        None => Some(key),
        Some((code, detail)) => {
            told.problem(Some(place), code, detail);
            None
        }
    }
}

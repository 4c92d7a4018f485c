//! Alipay's rules for the values of a template's fields.
//!
//! [O] Keywords are `keyword1`, `keyword2` … in the template's order, without types, at most 50 characters each. [?] Nobody says what a
//! character is; UTF-16 units are the stricter of the two likely counts.
//!
//! [O] All of `data` has at most 2048 characters. That is not checked again: each keyword's value has at most 50, and its name and marks
//! less than 30, so that twenty keywords, the most that the configuration takes, stay below unless nearly every character is a quotation
//! mark. Such a message is refused by the platform.

use crate::{
    domain::template::{FieldRules, Profile},
    words::{Message, say},
};

/// The rules, as the domain asks them.
pub const RULES: FieldRules = FieldRules { types: &["keyword"], check, length, most: 20, characters: None };

/// Characters of a value.
const MOST: usize = 50;

fn check(_key: &str, value: &str, _profile: Profile) -> Result<(), Message> {
    if value.trim().is_empty() {
        return Err(say!("field_empty"));
    }
    if let Some(c) = value.chars().find(|c| c.is_control()) {
        return Err(say!("field_control_character", code = format!("U+{:04X}", c as u32)));
    }
    match length(value) {
        found if found > MOST => Err(say!("field_too_long", found = found, most = MOST)),
        _ => Ok(()),
    }
}

fn length(value: &str) -> usize {
    value.encode_utf16().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_one_to_fifty_characters_and_an_emoji_counts_twice() {
        for (value, good) in [
            ("体检提醒".to_owned(), true),
            ("字".repeat(50), true),
            ("字".repeat(51), false),
            ("🎉".repeat(25), true),
            ("🎉".repeat(26), false),
            (" ".into(), false),
            (String::new(), false),
            ("two\nlines".into(), false),
        ] {
            assert_eq!(check("keyword1", &value, Profile::Strict).is_ok(), good, "{value:?}");
        }
    }
}

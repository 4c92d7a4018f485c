//! Alipay's rules for the values of a template's fields.
//!
//! [O] Keywords are `keyword1`, `keyword2` … in the template's order, without types, at most 50 characters each. [?] Nobody says what a
//! character is; UTF-16 units are the stricter of the two likely counts.
//!
//! [O] All of `data` has at most 2048 characters. That is not checked again: each keyword's value has at most 50, and its name and marks
//! less than 30, so that twenty keywords, the most that the configuration takes, stay below unless nearly every character is a quotation
//! mark. Such a message is refused by the platform.

use crate::{
    domain::template::{FieldRules, Numbers, Profile},
    platform::characters::{at_most, length, shown},
    words::Message,
};

/// The rules, as the domain asks them.
pub const RULES: FieldRules =
    FieldRules { types: &["keyword"], numbers: Numbers::InOrder, check, length, most: 20, characters: None };

/// Characters of a value.
const MOST: usize = 50;

fn check(_key: &str, value: &str, _profile: Profile) -> Result<(), Message> {
    shown(value)?;
    at_most(value, MOST)
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
            ("two\u{2028}lines".into(), false),
            ("\u{2800}".into(), false),
        ] {
            assert_eq!(check("keyword1", &value, Profile::Strict).is_ok(), good, "{value:?}");
        }
    }
}

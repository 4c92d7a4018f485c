//! Baidu's rules for the values of a template's fields: `keyword1`, `keyword2`, … in the order of the template, without types.
//!
//! How long a value may be is not documented. Fifty characters are what a card can show.

use crate::{
    domain::template::{FieldRules, Profile, field_type},
    platform::characters::{at_most, length, shown},
    words::Message,
};

/// The rules, as the domain asks them.
pub const RULES: FieldRules = FieldRules { types: &["keyword"], check, length };

/// Characters of a value.
const MOST: usize = 50;

fn check(key: &str, value: &str, _profile: Profile) -> Result<(), Message> {
    shown(value)?;
    if field_type(key) == "keyword" { at_most(value, MOST) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_shows_something_on_one_line_and_is_not_too_long() {
        for (value, good) in [
            ("周三读书会", true),
            (&*"字".repeat(50), true),
            (&*"字".repeat(51), false),
            (" ", false),
            ("两行\n文字", false),
        ] {
            assert_eq!(check("keyword1", value, Profile::Strict).is_ok(), good, "{value:?}");
        }
    }
}

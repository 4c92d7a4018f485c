//! Baidu's rules for the values of a template's fields: `keyword1`, `keyword2`, … in the order of the template, without types.
//!
//! How long a value may be is not documented, so a template can say another number than ours.

use crate::{
    domain::template::{FieldRules, Numbers, Profile},
    platform::characters::{length, shown},
    words::Message,
};

/// The rules, as the domain asks them.
pub const RULES: FieldRules = FieldRules {
    types: &["keyword"],
    numbers: Numbers::InOrder,
    check,
    length,
    most: 20,
    characters: Some(CHARACTERS),
};

/// Characters of a value, unless its template says otherwise: what Alipay, whose templates are alike, is known to take.
const CHARACTERS: usize = 50;

fn check(_key: &str, value: &str, _profile: Profile) -> Result<(), Message> {
    shown(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good(value: &str) -> bool {
        check("keyword1", value, Profile::Strict).is_ok() && RULES.settled(value).is_ok()
    }

    #[test]
    fn a_value_shows_something_on_one_line_and_is_not_too_long() {
        for (value, taken) in [
            ("周三读书会", true),
            (&*"字".repeat(50), true),
            (&*"字".repeat(51), false),
            (" ", false),
            ("两行\n文字", false),
        ] {
            assert_eq!(good(value), taken, "{value:?}");
        }
    }
}

//! Douyin's rules for the values of a template's fields. A field's key is the keyword as it was approved, in Chinese as a rule, without a
//! type.

use crate::{
    domain::template::{FieldRules, Numbers, Profile},
    platform::characters::{length, shown},
    words::Message,
};

/// The rules, as the domain asks them.
pub(super) const RULES: FieldRules =
    FieldRules { types: &[], numbers: Numbers::Any, check, length, most: KEYWORDS, characters: Some(CHARACTERS) };

/// Keywords of a template at most. Official.
const KEYWORDS: usize = 10;

/// Characters of a value, unless its template says otherwise. There is a limit, since there is a code for values beyond it, but it is
/// nowhere written: this is what other platforms allow at least.
const CHARACTERS: usize = 20;

fn check(_key: &str, value: &str, _profile: Profile) -> Result<(), Message> {
    shown(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_one_line_of_at_most_twenty_characters() {
        let twenty = "一二三四五六七八九十一二三四五六七八九十";
        for (value, good) in [
            ("体检提醒", true),
            ("2026-03-01 09:00", true),
            (twenty, true),
            (&format!("{twenty}零"), false),
            (&"😀".repeat(10), true),
            (&"😀".repeat(11), false),
            ("", false),
            (" \u{3000}", false),
            ("两行\n文字", false),
            ("\u{3164}", false),
            ("两行\u{2028}文字", false),
        ] {
            let taken = check("提醒事项", value, Profile::Strict).is_ok() && RULES.settled(value).is_ok();
            assert_eq!(taken, good, "{value:?}");
        }
    }
}

//! Texts that name users, such as a marketer's file: a user who was forgotten stands in them by their pseudonym, and nowhere else.

use serde_json::Value;
use std::{borrow::Cow, collections::BTreeSet, ops::Range};
use toml::de::{DeTable, DeValue};
use unicode_normalization::UnicodeNormalization;

/// Where a file lists users one by one.
const LISTS: [&str; 2] = ["audience", "exclude"];
/// Where a file says what users are told. Elsewhere a word that is somebody's openid, too, is a word of the file.
const TOLD: [&str; 2] = ["page", "data"];
/// An openid has no more characters.
const LONGEST: usize = 128;

/// A user, and the name that takes the place of their openid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    /// The user.
    pub openid: String,
    /// As logs name them.
    pub pseudonym: String,
}

impl Mask {
    /// A schedule's file that names the user no more; `None` if it does not name them. It stays a file that says the same of everything
    /// else: its lists keep their places, and remarks and texts name the pseudonym.
    pub fn file(&self, text: &str) -> Option<String> {
        let mut listed = text.to_owned();
        let places = entries(text).into_iter().filter(|(_, openid)| *openid == self.openid);
        for (place, _) in places.collect::<Vec<_>>().into_iter().rev() {
            listed.replace_range(place, &format!("\"{}\"", self.pseudonym));
        }
        let masked = self.words(&listed).filter(|masked| frame(masked) == frame(text)).unwrap_or(listed);
        (masked != text).then_some(masked)
    }

    /// A text of JSON whose values name the user no more; `None` if they do not name them.
    pub fn json(&self, text: &str) -> Option<String> {
        let mut value: Value = serde_json::from_str(text).ok()?;
        self.value(&mut value).then(|| value.to_string())
    }

    fn value(&self, value: &mut Value) -> bool {
        match value {
            Value::String(text) => self.words(text).map(|masked| *text = masked).is_some(),
            // Each of them, also behind the first that names the user.
            Value::Array(all) => all.iter_mut().filter_map(|one| self.value(one).then_some(())).count() > 0,
            Value::Object(all) => all.values_mut().filter_map(|one| self.value(one).then_some(())).count() > 0,
            _ => false,
        }
    }

    /// The text with the pseudonym for each word that is the openid; `None` if there is none.
    fn words(&self, text: &str) -> Option<String> {
        let (mut masked, mut from) = (String::new(), 0);
        for (at, _) in text.match_indices(&self.openid) {
            let end = at + self.openid.len();
            let joins = |c: Option<char>| c.is_some_and(is_of_word);
            if at < from || joins(text[..at].chars().next_back()) || joins(text[end..].chars().next()) {
                continue;
            }
            masked.push_str(&text[from..at]);
            masked.push_str(&self.pseudonym);
            from = end;
        }
        (from > 0).then(|| masked + &text[from..])
    }
}

/// All that may be an openid in a schedule's file: the entries of its lists, and each word.
pub fn may_be_named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c| !is_of_word(c)).map(str::to_owned);
    let all = entries(text).into_iter().map(|(_, openid)| openid).chain(words);
    all.filter(|word| (1..=LONGEST).contains(&word.len()) && !is_pseudonym(word)).collect()
}

/// What platforms make openids of.
fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

/// Whether it looks like the name that is given to a user who was forgotten.
fn is_pseudonym(word: &str) -> bool {
    word.strip_prefix("u_").is_some_and(|hash| hash.len() == 12 && hash.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// The entries of the file's lists as they are read, and where each stands, quotes included.
fn entries(text: &str) -> Vec<(Range<usize>, String)> {
    let Ok(table) = DeTable::parse(text) else { return Vec::new() };
    let lists = LISTS.into_iter().filter_map(|list| table.get_ref().get(list));
    let mut found = Vec::new();
    for list in lists {
        let DeValue::Array(all) = list.get_ref() else { continue };
        for one in all.iter() {
            let DeValue::String(said) = one.get_ref() else { continue };
            found.push((one.span(), said.trim().nfkc().collect()));
        }
    }
    found.sort_by_key(|(place, _): &(Range<usize>, String)| place.start);
    found
}

/// All of a file but whom it lists and what they are told; `None` if it is no TOML.
fn frame(text: &str) -> Option<(toml::Table, Vec<Cow<'static, str>>)> {
    let mut table: toml::Table = text.parse().ok()?;
    let lists_some = |value: &toml::Value| value.is_array();
    let listed = LISTS.into_iter().filter(|list| table.get(*list).is_some_and(lists_some));
    let mut taken: Vec<Cow<'static, str>> = listed.map(Cow::Borrowed).collect();
    let fields = table.get("data").and_then(toml::Value::as_table);
    let fields: Vec<Cow<'static, str>> = fields.into_iter().flatten().map(|(key, _)| key.clone().into()).collect();
    taken.iter().for_each(|list| drop(table.remove(&**list)));
    TOLD.into_iter().for_each(|told| drop(table.remove(told)));
    taken.extend(fields);
    Some((table, taken))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(openid: &str) -> Mask {
        Mask { openid: openid.into(), pseudonym: "u_0123456789ab".into() }
    }

    #[test]
    fn a_file_names_nobody_any_more_who_was_forgotten_and_says_the_same_of_everything_else() {
        let head = "name = \"x\"\napp = \"coffee\"\n";
        // The rest of a file, and what becomes of it.
        let table = [
            ("audience = [\"o-1\", \"o-2\"]", Some("audience = [\"u_0123456789ab\", \"o-2\"]")),
            (
                "exclude = [ 'o-1' ] # o-1 asked for it",
                Some("exclude = [ \"u_0123456789ab\" ] # u_0123456789ab asked for it"),
            ),
            ("audience = [\"o\\u002d1\", \" ｏ-1\"]", Some("audience = [\"u_0123456789ab\", \"u_0123456789ab\"]")),
            ("page = \"p?u=o-1&x\"", Some("page = \"p?u=u_0123456789ab&x\"")),
            ("[data]\nthing1 = \"o-1，你好\"", Some("[data]\nthing1 = \"u_0123456789ab，你好\"")),
            ("audience = [\"o-12\", \"xo-1\", \"o-1-2\", \"O-1\"]", None),
            ("audience = \"consented\"", None),
        ];
        for (before, after) in table {
            let masked = mask("o-1").file(&format!("{head}{before}\n"));
            assert_eq!(masked, after.map(|after| format!("{head}{after}\n")), "{before}");
        }
        assert_eq!(mask("o-1").file("no TOML = = o-1").as_deref(), Some("no TOML = = u_0123456789ab"));
    }

    #[test]
    fn an_openid_that_is_a_word_of_the_file_takes_nothing_else_away_from_it() {
        let text = "name = \"x\"\napp = \"coffee\"\naudience = [\"coffee\", \"name\"]\n[data]\nthing1 = \"name\"\n";
        let expected = text.replace("[\"coffee\"", "[\"u_0123456789ab\"");
        assert_eq!(mask("coffee").file(text), Some(expected), "the app is still called so");
        let expected = text.replace(", \"name\"", ", \"u_0123456789ab\"");
        assert_eq!(mask("name").file(text), Some(expected));
        assert_eq!(mask("thing1").file(text), None);
    }

    #[test]
    fn of_json_the_values_are_masked_and_the_members_stay() {
        let text = r#"{"o-1":"o-1","list":[{"value":"of o-1, o-12"},7,null]}"#;
        let masked = mask("o-1").json(text).expect("it names them");
        let expected = r#"{"o-1":"u_0123456789ab","list":[{"value":"of u_0123456789ab, o-12"},7,null]}"#;
        assert_eq!(serde_json::from_str::<Value>(&masked).ok(), serde_json::from_str::<Value>(expected).ok());
        assert_eq!((mask("o-3").json(text), mask("o-1").json("{")), (None, None));
    }

    #[test]
    fn whoever_may_be_named_in_a_file_is_found_but_for_pseudonyms() {
        let text = "audience = [\"o.1\", \"u_0123456789ab\", \"\"] # o-2 和 o-3\n";
        let named = may_be_named(text);
        for openid in ["o.1", "o-2", "o-3"] {
            assert!(named.contains(openid), "{openid}: {named:?}");
        }
        assert!(!named.contains("u_0123456789ab") && !named.contains(""));
        assert!(may_be_named(&"x".repeat(129)).is_empty());
    }
}

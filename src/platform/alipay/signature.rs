//! The text that is signed: of a request, and of a notification in its two variants.

use std::borrow::Cow;

/// What a signature covers of some parameters: all that have a value but those `without`, by name, as `name=value`, joined by `&`. Values are
/// as they are, before any coding. [O]
pub fn text<K: AsRef<str>, V: AsRef<str>>(pairs: &[(K, V)], without: &[&str]) -> String {
    let covered = pairs.iter().map(|(name, value)| (name.as_ref(), value.as_ref()));
    let mut covered: Vec<_> = covered.filter(|(name, value)| !value.is_empty() && !without.contains(name)).collect();
    covered.sort_unstable();
    let written: Vec<String> = covered.iter().map(|(name, value)| format!("{name}={value}")).collect();
    written.join("&")
}

/// The texts that a signature of an answer's node may have been made of: as it came, and with its slashes escaped the other way. [O/T]
pub fn readings(node: &str) -> impl Iterator<Item = Cow<'_, str>> {
    let plain = node.replace("\\/", "/");
    let escaped = plain.replace('/', "\\/");
    let others = [plain, escaped].into_iter().filter(move |other| other != node).map(Cow::Owned);
    std::iter::once(Cow::Borrowed(node)).chain(others)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_empty_or_left_out_takes_no_part_and_the_rest_is_in_order() {
        let pairs = [("b", "2 &=+"), ("sign", "x"), ("a", ""), ("B", "1"), ("sign_type", "RSA2")];
        assert_eq!(text(&pairs, &["sign"]), "B=1&b=2 &=+&sign_type=RSA2");
        assert_eq!(text(&pairs, &["sign", "sign_type"]), "B=1&b=2 &=+");
    }

    #[test]
    fn slashes_are_read_both_ways_and_a_text_without_any_once() {
        let read = |text| readings(text).map(Cow::into_owned).collect::<Vec<_>>();
        assert_eq!(read("a/b"), ["a/b", "a\\/b"]);
        assert_eq!(read("a\\/b"), ["a\\/b", "a/b"]);
        assert_eq!(read("a\\/b/c"), ["a\\/b/c", "a/b/c", "a\\/b\\/c"]);
        assert_eq!(read("{}"), ["{}"]);
    }
}

//! Amounts and numbers, as decimals: a binary fraction would round 9.995 down.

/// A number has no more significant digits: a spreadsheet keeps no more.
const MOST_DIGITS: usize = 15;
/// `number(…)` gives no more decimals.
pub const MOST_DECIMALS: usize = 9;

/// A number as its digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decimal {
    negative: bool,
    /// Before the point, without leading zeros.
    whole: String,
    /// After it.
    fraction: String,
}

impl Decimal {
    /// Reads `1,280.5`, `￥28`, `-3`, `12元`; `None` if it is no number.
    pub fn parse(text: &str) -> Option<Self> {
        let mut normal = String::with_capacity(text.len());
        for c in text.trim().chars() {
            normal.push(match c {
                '０'..='９' => char::from(b'0' + u8::try_from(u32::from(c) - u32::from('０')).ok()?),
                '．' => '.',
                '，' => ',',
                '－' | '−' => '-',
                '＋' => '+',
                c => c,
            });
        }
        let (negative, rest) = sign(&normal);
        let rest = rest.trim_start_matches(['¥', '￥', '$', '€', '£']).trim_start();
        let (negative, rest) = if negative { (true, rest) } else { sign(rest) };
        let rest = rest.strip_suffix('元').unwrap_or(rest).trim_end();
        let (whole, fraction) = rest.split_once('.').unwrap_or((rest, ""));
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        let mut groups = whole.split(',');
        let first = groups.next()?;
        let grouped = whole.contains(',');
        if first.is_empty() || !digits(first) || !digits(fraction) || (grouped && first.len() > 3) {
            return None;
        }
        let mut joined = first.to_owned();
        for group in groups {
            if group.len() != 3 || !digits(group) {
                return None;
            }
            joined.push_str(group);
        }
        if joined.len() + fraction.len() > 64 {
            return None;
        }
        let whole = joined.trim_start_matches('0').to_owned();
        Some(Self { negative, whole, fraction: fraction.to_owned() })
    }

    /// With so many decimals, half away from zero.
    pub fn rounded(&self, decimals: usize) -> Self {
        let mut digits: Vec<u8> =
            self.whole.bytes().chain(self.fraction.bytes().chain(std::iter::repeat(b'0')).take(decimals)).collect();
        let up = self.fraction.as_bytes().get(decimals).is_some_and(|digit| *digit >= b'5');
        if up {
            let kept = digits.iter().rposition(|digit| *digit != b'9');
            let from = kept.map_or(0, |at| at + 1);
            digits[from..].fill(b'0');
            match kept {
                Some(at) => digits[at] += 1,
                None => digits.insert(0, b'1'),
            }
        }
        let split = digits.len() - decimals;
        let text = |digits: &[u8]| digits.iter().map(|digit| char::from(*digit)).collect::<String>();
        let (whole, fraction) = (text(&digits[..split]), text(&digits[split..]));
        Self { negative: self.negative, whole: whole.trim_start_matches('0').to_owned(), fraction }
    }

    /// Without a point behind which nothing follows, and at most 15 significant digits; `None` if its whole part has more.
    pub fn plain(&self) -> Option<Self> {
        let room = MOST_DIGITS.checked_sub(self.whole.len())?;
        let zeros = if self.whole.is_empty() { self.fraction.bytes().take_while(|b| *b == b'0').count() } else { 0 };
        let mut plain = if self.fraction.len() > room + zeros { self.rounded(room + zeros) } else { self.clone() };
        plain.fraction.truncate(plain.fraction.trim_end_matches('0').len());
        Some(plain)
    }

    /// How many digits stand before the point.
    pub fn whole_digits(&self) -> usize {
        self.whole.len()
    }

    /// Its digits, with this sign of a currency.
    pub fn show(&self, currency: &str) -> String {
        let is_zero = self.whole.is_empty() && self.fraction.bytes().all(|b| b == b'0');
        let minus = if self.negative && !is_zero { "-" } else { "" };
        let whole = if self.whole.is_empty() { "0" } else { &self.whole };
        let point = if self.fraction.is_empty() { "" } else { "." };
        format!("{minus}{currency}{whole}{point}{}", self.fraction)
    }
}

fn sign(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest.trim_start()),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

/// `¥28.50`: two decimals, half away from zero. `None` if it is no number, or has too many digits.
pub fn amount(text: &str, currency: &str) -> Option<String> {
    let number = Decimal::parse(text).filter(|number| number.whole_digits() <= MOST_DIGITS)?;
    Some(number.rounded(2).show(currency))
}

/// Plain digits, with so many decimals if that is said. `None` if it is no number, or has too many digits.
pub fn number(text: &str, decimals: Option<usize>) -> Option<String> {
    let number = Decimal::parse(text).filter(|number| number.whole_digits() <= MOST_DIGITS)?;
    Some(match decimals {
        Some(decimals) => number.rounded(decimals).show(""),
        None => number.plain()?.show(""),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn amounts_have_two_decimals_and_round_half_away_from_zero() {
        for (written, expected) in [
            ("20", "¥20.00"),
            ("28.5", "¥28.50"),
            ("￥1,280.5", "¥1280.50"),
            ("¥ 12,345,678.905", "¥12345678.91"),
            ("9.995", "¥10.00"),
            ("999.995", "¥1000.00"),
            ("0.004", "¥0.00"),
            ("0.005", "¥0.01"),
            ("-0.005", "-¥0.01"),
            ("-0.001", "¥0.00"),
            ("-¥5", "-¥5.00"),
            ("12元", "¥12.00"),
            ("０１２．５", "¥12.50"),
            ("007", "¥7.00"),
            ("5.", "¥5.00"),
            ("123456789012345", "¥123456789012345.00"),
        ] {
            assert_eq!(amount(written, "¥").as_deref(), Some(expected), "{written}");
        }
        assert_eq!(amount("28.5", "$").as_deref(), Some("$28.50"));
        let long = "1".repeat(65);
        for bad in [
            "",
            "-",
            "¥",
            ".5",
            "1.2.3",
            "1,28",
            "12,34",
            "1234,567",
            "1,,000",
            "15%",
            "1e3",
            "两元",
            "1 2",
            "1234567890123456",
            &long,
        ] {
            assert_eq!(amount(bad, "¥"), None, "{bad}");
        }
    }

    #[test]
    fn numbers_are_plain_digits_of_which_fifteen_count() {
        for (written, decimals, expected) in [
            ("1,280.50", None, Some("1280.5")),
            ("100", None, Some("100")),
            ("0.30000000000000004", None, Some("0.3")),
            ("0.000000000000123456789012345678", None, Some("0.000000000000123456789012346")),
            ("123456789.1234567890", None, Some("123456789.123457")),
            ("999999999999999.9", None, Some("1000000000000000")),
            ("1234567890123456", None, None),
            ("2.25", Some(1), Some("2.3")),
            ("2.25", Some(0), Some("2")),
            ("2.5", Some(0), Some("3")),
            ("2", Some(2), Some("2.00")),
            ("-2.25", Some(1), Some("-2.3")),
        ] {
            assert_eq!(number(written, decimals).as_deref(), expected, "{written}");
        }
    }

    proptest! {
        #[test]
        fn cents_are_exact(cents in 0_i64..100_000_000_000, text in "[-+¥￥0-9.,元 ]{0,24}|.{0,70}", decimals in 0..10_usize) {
            let written = format!("{}.{:02}", cents / 100, cents % 100);
            prop_assert_eq!(amount(&written, "¥"), Some(format!("¥{written}")));
            let _ = (amount(&text, "¥"), number(&text, None), number(&text, Some(decimals)));
        }
    }
}

//! Number formats: what a sheet shows for a number. Zeros, decimals, thousands, per cent and quoted text are shown as the sheet shows
//! them, dates and times are known for such, and what is not understood is as good as `General`.

use super::number::Digits;

/// A longer format is not understood.
const MAX_CODE: usize = 512;

/// What a format makes of a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// A number as it is.
    General,
    /// A date, a time or both.
    Date {
        /// It shows hours or seconds.
        shows_time: bool,
    },
    /// A number with its sections: for positive, negative and zero. `None` is not understood.
    Number(Vec<Option<Section>>),
}

/// One section of a format.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Section {
    whole: Vec<Mark>,
    point: bool,
    fraction: Vec<Mark>,
    /// The power of ten by which the number is multiplied before it is shown.
    power: i32,
    thousands: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// `0`, `#` or `?`.
    Digit(u8),
    Literal(char),
}

impl Format {
    /// A format that every spreadsheet knows by its number, the East Asian ones among them.
    pub fn built_in(id: u32) -> Self {
        match id {
            14..=17 | 27..=31 | 36 | 50..=54 | 57 | 58 => Self::Date { shows_time: false },
            18..=22 | 32..=35 | 45..=47 | 55 | 56 => Self::Date { shows_time: true },
            1 => Self::of("0"),
            2 => Self::of("0.00"),
            3 => Self::of("#,##0"),
            4 => Self::of("#,##0.00"),
            9 => Self::of("0%"),
            10 => Self::of("0.00%"),
            37 | 38 => Self::of("#,##0 ;(#,##0)"),
            39 | 40 => Self::of("#,##0.00 ;(#,##0.00)"),
            41 => Self::of("#,##0;-#,##0"),
            43 => Self::of("#,##0.00;-#,##0.00"),
            _ => Self::General,
        }
    }

    /// A format by its code.
    pub fn of(code: &str) -> Self {
        let sections = split(code);
        let general = |section: &str| {
            let bare = section.trim();
            bare.is_empty() || bare == "@" || bare.eq_ignore_ascii_case("general") || bare == "G/通用格式"
        };
        if code.len() > MAX_CODE || general(sections[0]) {
            return Self::General;
        }
        if let Some(shows_time) = date(sections[0]) {
            return Self::Date { shows_time };
        }
        // A condition chooses among the sections by other rules.
        if sections.iter().any(|section| ["[<", "[>", "[="].iter().any(|condition| section.contains(condition))) {
            return Self::General;
        }
        let understood = |(i, section): (usize, &&str)| Section::of(section).filter(|read| i > 0 || read.has_digits());
        Self::Number(sections.iter().take(3).enumerate().map(understood).collect())
    }

    /// What the sheet shows for a number that is none of a date; `None` if that is not understood.
    pub fn show(&self, value: f64) -> Option<String> {
        let Self::Number(sections) = self else { return None };
        let (section, signed) = match (&sections[..], value) {
            ([_, _, zero], 0.0) => (zero, false),
            ([_, negative, ..], value) if value < 0.0 => (negative, false),
            ([positive, ..], value) => (positive, value < 0.0),
            ([], _) => return None,
        };
        let shown = section.as_ref()?.show(value);
        let is_zero = !shown.bytes().any(|b| matches!(b, b'1'..=b'9'));
        Some(if signed && !is_zero { format!("-{shown}") } else { shown })
    }
}

/// The sections of a code, at least one.
fn split(code: &str) -> Vec<&str> {
    let (mut sections, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, c) in code.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '"' => quoted = !quoted,
            '\\' if !quoted => escaped = true,
            ';' if !quoted => {
                sections.push(&code[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    sections.push(&code[start..]);
    sections
}

/// Whether a section shows a date or a time, and if so whether it shows the time.
fn date(section: &str) -> Option<bool> {
    let (mut is_date, mut shows_time) = (false, false);
    let mut chars = section.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => drop(chars.by_ref().find(|c| *c == '"')),
            '\\' | '_' | '*' => drop(chars.next()),
            '[' => {
                let inside: String = chars.by_ref().take_while(|c| *c != ']').collect();
                // Hours, minutes and seconds that go on beyond a day.
                let elapsed =
                    !inside.is_empty() && inside.chars().all(|c| matches!(c, 'h' | 'H' | 'm' | 'M' | 's' | 'S'));
                is_date |= elapsed;
                shows_time |= elapsed;
            }
            'h' | 'H' | 's' | 'S' => (is_date, shows_time) = (true, true),
            'y' | 'Y' | 'm' | 'M' | 'd' | 'D' => is_date = true,
            // The year of an era, or a weekday: `e`, `aaaa`. An exponent has a sign behind it.
            'e' if !matches!(chars.as_str().chars().next(), Some('+' | '-')) => is_date = true,
            'a' if chars.as_str().starts_with("aa") => is_date = true,
            _ => {}
        }
    }
    is_date.then_some(shows_time)
}

impl Section {
    /// `None` if it is not understood.
    fn of(section: &str) -> Option<Self> {
        let mut read = Self::default();
        // Separators that no digit has followed yet: they scale the number if none does.
        let mut separators = 0;
        let mut chars = section.chars();
        while let Some(c) = chars.next() {
            match c {
                '0' | '#' | '?' => {
                    if separators > 0 && !read.point {
                        read.thousands = true;
                    }
                    separators = 0;
                    read.push(Mark::Digit(u8::try_from(c).ok()?));
                }
                ',' if read.has_digits() => separators += 1,
                '.' if !read.point => read.point = true,
                '%' => {
                    read.power += 2;
                    read.push(Mark::Literal('%'));
                }
                '"' => {
                    for c in chars.by_ref().take_while(|c| *c != '"') {
                        read.push(Mark::Literal(c));
                    }
                }
                '\\' | '!' => read.push(Mark::Literal(chars.next()?)),
                '_' => {
                    chars.next();
                    read.push(Mark::Literal(' '));
                }
                '*' => drop(chars.next()),
                '[' => {
                    let inside: String = chars.by_ref().take_while(|c| *c != ']').collect();
                    // A currency with its place; colours and languages show nothing.
                    if let Some(currency) = inside.strip_prefix('$') {
                        currency.split('-').next()?.chars().for_each(|c| read.push(Mark::Literal(c)));
                    }
                }
                '$' | '-' | '+' | '(' | ')' | ':' | '^' | '\'' | '{' | '}' | '<' | '>' | '=' | ' ' | '&' | '~' => {
                    read.push(Mark::Literal(c));
                }
                c if !c.is_ascii() => read.push(Mark::Literal(c)),
                // Exponents, fractions, letters.
                _ => return None,
            }
        }
        read.power -= 3 * separators;
        (read.has_digits() || !read.whole.is_empty()).then_some(read)
    }

    fn has_digits(&self) -> bool {
        self.whole.iter().chain(&self.fraction).any(|mark| matches!(mark, Mark::Digit(_)))
    }

    fn push(&mut self, mark: Mark) {
        if self.point { &mut self.fraction } else { &mut self.whole }.push(mark);
    }

    /// The number without its sign.
    fn show(&self, value: f64) -> String {
        let is_digit = |mark: &&Mark| matches!(mark, Mark::Digit(_));
        let places = self.fraction.iter().filter(is_digit).count();
        let (whole, fraction) = Digits::of(value).times_ten_to(self.power).fixed(places);
        let mut shown: Vec<char> = Vec::new();
        let mut places_left = self.whole.iter().filter(is_digit).count();
        let (mut left, mut position) = (whole.iter().rev(), 0);
        let mut put = |shown: &mut Vec<char>, c: char| {
            if self.thousands && position > 0 && position % 3 == 0 {
                shown.push(',');
            }
            position += 1;
            shown.push(c);
        };
        // From the right, so that digits fall into their places; the first place takes all that are left.
        for mark in self.whole.iter().rev() {
            match mark {
                Mark::Literal(c) => shown.push(*c),
                Mark::Digit(kind) => {
                    places_left -= 1;
                    match (left.next(), kind) {
                        (Some(digit), _) => put(&mut shown, char::from(b'0' + digit)),
                        (None, b'0') => put(&mut shown, '0'),
                        (None, b'?') => shown.push(' '),
                        (None, _) => {}
                    }
                    if places_left == 0 {
                        left.by_ref().for_each(|digit| put(&mut shown, char::from(b'0' + digit)));
                    }
                }
            }
        }
        shown.reverse();
        let mut shown: String = shown.into_iter().collect();
        if self.point {
            // A number without a place before the point shows its whole part all the same.
            if !self.whole.iter().any(|mark| matches!(mark, Mark::Digit(_))) {
                shown.extend(whole.iter().map(|digit| char::from(b'0' + digit)));
            }
            shown.push('.');
        }
        let mut digits = fraction.iter().enumerate();
        for mark in &self.fraction {
            match mark {
                Mark::Literal(c) => shown.push(*c),
                Mark::Digit(kind) => {
                    let Some((at, digit)) = digits.next() else { continue };
                    let only_zeros = fraction[at..].iter().all(|d| *d == 0);
                    match kind {
                        b'#' if only_zeros => {}
                        b'?' if only_zeros => shown.push(' '),
                        _ => shown.push(char::from(b'0' + digit)),
                    }
                }
            }
        }
        shown.trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_shown_as_the_sheet_shows_it() {
        let table = [
            ("00000000", 72_988.0, "00072988"),
            ("0.00", 28.5, "28.50"),
            ("0.00", 1.005, "1.01"),
            ("#,##0", 12_000.0, "12,000"),
            ("#,##0", 999.0, "999"),
            ("#,##0.00", 1_234_567.891, "1,234,567.89"),
            ("0%", 0.15, "15%"),
            ("0.0%", 0.1234, "12.3%"),
            ("\"￥\"#,##0.00", 28.5, "￥28.50"),
            ("￥#,##0.00;￥-#,##0.00", -28.5, "￥-28.50"),
            ("[$¥-804]#,##0.00", 28.5, "¥28.50"),
            ("[$¥-804]#,##0.00;[Red]-[$¥-804]#,##0.00", -28.5, "-¥28.50"),
            ("0\"元\"", 20.0, "20元"),
            ("0元", 20.0, "20元"),
            ("\\N\\o\\.0", 7.0, "No.7"),
            ("0", -3.0, "-3"),
            ("0", -0.3, "0"),
            ("#", 0.0, ""),
            ("0.##", 5.0, "5."),
            ("0.##", 5.25, "5.25"),
            ("#.00", 0.5, ".50"),
            (".00", 12.5, "12.50"),
            ("0_);(0)", -4.0, "(4)"),
            ("0;-0;\"无\"", 0.0, "无"),
            ("0,", 12_345.0, "12"),
            ("0.0,,\"M\"", 12_345_678.0, "12.3M"),
            ("000\\-0000", 1_234_567.0, "123-4567"),
            ("000\"-\"0000\"-\"0000", 13_800_138_000.0, "138-0013-8000"),
            ("_ * #,##0.00_ ;_ * \\-#,##0.00_ ;_ * \"-\"??_ ;_ @_ ", 1_280.5, "1,280.50"),
            ("0000,0", 12.0, "00,012"),
        ];
        for (code, value, shown) in table {
            assert_eq!(Format::of(code).show(value).as_deref(), Some(shown), "{code} of {value}");
        }
        for code in ["General", "G/通用格式", "@", "", "0.00E+00", "# ?/?", "[>100]0;0.0", "0K", "\"x\""] {
            assert_eq!(Format::of(code).show(1.5), None, "{code}");
        }
    }

    #[test]
    fn dates_and_times_are_known_by_their_formats() {
        let table = [
            ("yyyy-mm-dd", Some(false)),
            ("yyyy\"年\"m\"月\"d\"日\"", Some(false)),
            ("[$-804]yyyy\"年\"m\"月\"d\"日\";@", Some(false)),
            ("yyyy年m月d日", Some(false)),
            ("m/d/yy h:mm", Some(true)),
            ("上午/下午h\"时\"mm\"分\"", Some(true)),
            ("[$-409]h:mm AM/PM", Some(true)),
            ("[h]:mm:ss", Some(true)),
            ("mm:ss.0", Some(true)),
            ("[$-F800]dddd, mmmm dd, yyyy", Some(false)),
            ("aaaa", Some(false)),
            ("[DBNum1][$-804]yyyy\"年\"m\"月\"", Some(false)),
            ("0.00", None),
            ("[Red]0", None),
            ("\"day\"0", None),
            ("\\d0", None),
            ("0.00E+00", None),
            ("[$USD-409]0", None),
        ];
        for (code, date) in table {
            let shows = match Format::of(code) {
                Format::Date { shows_time } => Some(shows_time),
                _ => None,
            };
            assert_eq!(shows, date, "{code}");
        }
        let shows_time = (0..164).filter(|id| Format::built_in(*id) == Format::Date { shows_time: true });
        assert_eq!(shows_time.collect::<Vec<_>>(), [18, 19, 20, 21, 22, 32, 33, 34, 35, 45, 46, 47, 55, 56]);
        let days = (0..164).filter(|id| Format::built_in(*id) == Format::Date { shows_time: false });
        assert_eq!(days.collect::<Vec<_>>(), [14, 15, 16, 17, 27, 28, 29, 30, 31, 36, 50, 51, 52, 53, 54, 57, 58]);
    }

    #[test]
    fn any_code_and_any_number_show_something_or_nothing() {
        proptest::proptest!(|(code in "[0#?.,%;\"\\\\_*\\[\\]$a-zA-Z年月/@ -]{0,20}", value: f64)| {
            if value.is_finite() {
                let _ = Format::of(&code).show(value);
            }
        });
    }
}

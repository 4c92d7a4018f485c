//! Numbers as decimal digits: a spreadsheet keeps fifteen.

/// Digits of a number that is not negative: 0.d₁d₂d₃… · 10^point, without zeros at either end; none for zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digits {
    digits: Vec<u8>,
    point: i32,
}

impl Digits {
    /// The fifteen significant digits of a number, whatever its sign.
    pub fn of(value: f64) -> Self {
        let text = format!("{:.14e}", value.abs());
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let mut digits: Vec<u8> = mantissa.bytes().filter(u8::is_ascii_digit).map(|b| b - b'0').collect();
        let point = exponent.parse::<i32>().unwrap_or(0) + 1;
        digits.truncate(digits.iter().rposition(|d| *d != 0).map_or(0, |last| last + 1));
        Self { point: if digits.is_empty() { 0 } else { point }, digits }
    }

    /// The same times a power of ten.
    pub fn times_ten_to(mut self, power: i32) -> Self {
        if !self.digits.is_empty() {
            self.point += power;
        }
        self
    }

    /// The digits before the point, none for zero, and so many after it, rounded half away from zero.
    pub fn fixed(&self, places: usize) -> (Vec<u8>, Vec<u8>) {
        let places_kept = i32::try_from(places).unwrap_or(i32::MAX);
        let kept = self.point.saturating_add(places_kept);
        let Ok(kept) = usize::try_from(kept) else { return (Vec::new(), vec![0; places]) };
        let mut digits = self.digits.clone();
        let rounds_up = digits.get(kept).is_some_and(|d| *d >= 5);
        digits.resize(kept, 0);
        if rounds_up {
            let mut at = kept;
            loop {
                if at == 0 {
                    digits.insert(0, 1);
                    break;
                }
                at -= 1;
                digits[at] += 1;
                if digits[at] < 10 {
                    break;
                }
                digits[at] = 0;
            }
        }
        // What stands after the point is as long as was asked for; zeros are put before it where the number begins later.
        let mut fraction = digits.split_off(digits.len().saturating_sub(places));
        while fraction.len() < places {
            fraction.insert(0, 0);
        }
        let start = digits.iter().position(|d| *d != 0).unwrap_or(digits.len());
        (digits.split_off(start), fraction)
    }
}

/// A number as the format `General` shows it, but never with an exponent: at most fifteen significant digits, no zeros at the end.
pub fn general(value: f64) -> String {
    let digits = Digits::of(value);
    let places = usize::try_from(digits.digits.len() as i32 - digits.point).unwrap_or(0);
    let (whole, fraction) = digits.fixed(places);
    let mut text = String::with_capacity(whole.len() + fraction.len() + 2);
    if value < 0.0 && !digits.digits.is_empty() {
        text.push('-');
    }
    if whole.is_empty() {
        text.push('0');
    }
    text.extend(whole.iter().map(|d| char::from(b'0' + d)));
    if !fraction.is_empty() {
        text.push('.');
        text.extend(fraction.iter().map(|d| char::from(b'0' + d)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_at_most_fifteen_digits_and_no_exponent() {
        let table = [
            (0.0, "0"),
            (-0.0, "0"),
            (0.300_000_000_000_000_04, "0.3"),
            (20_310_301.0, "20310301"),
            (28.5, "28.5"),
            (-1.5, "-1.5"),
            (1.0 / 3.0, "0.333333333333333"),
            (2.0 / 3.0, "0.666666666666667"),
            (999_999_999_999_999.0, "999999999999999"),
            (0.999_999_999_999_999_9, "1"),
            (1e-7, "0.0000001"),
            (1.5e14, "150000000000000"),
            (13_800_138_000.0, "13800138000"),
        ];
        for (value, text) in table {
            assert_eq!(general(value), text, "{value:?}");
        }
    }

    #[test]
    fn digits_are_rounded_half_away_from_zero() {
        let shown = |value: f64, places| {
            let (whole, fraction) = Digits::of(value).fixed(places);
            let text = |digits: Vec<u8>| digits.iter().map(|d| char::from(b'0' + d)).collect::<String>();
            (text(whole), text(fraction))
        };
        let table = [
            (9.995, 2, "10", "00"),
            (1.005, 2, "1", "01"),
            (0.05, 1, "", "1"),
            (0.04, 1, "", "0"),
            (0.005, 1, "", "0"),
            (0.000_4, 2, "", "00"),
            (99.9, 0, "100", ""),
            (0.5, 0, "1", ""),
            (1234.0, 2, "1234", "00"),
            (0.0, 2, "", "00"),
        ];
        for (value, places, whole, fraction) in table {
            assert_eq!(shown(value, places), (whole.to_owned(), fraction.to_owned()), "{value} {places}");
        }
    }
}

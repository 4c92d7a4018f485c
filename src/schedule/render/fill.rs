//! A text and a row's cells become what the user reads.

use super::{
    clock::{Moment, date, datetime, iso, time},
    number::{amount, number},
    text::{Formatter, Kind, Piece, Source, Text, Variable},
    used::usable,
};
use crate::{
    domain::{template::normalise, text::breaks_line, timing::cut},
    schedule::{sheet::cell::Cell, when::written},
    words::{Message, say},
};
use chrono_tz::Tz;
use std::{borrow::Cow, fmt::Write};

/// What the variables of a text stand for.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'r> {
    /// The row; empty where there is no table.
    pub cells: &'r [Cell],
    /// The column of the openid: what stands there is not repeated in any sentence.
    pub openid_column: Option<usize>,
    /// The user.
    pub openid: &'r str,
    /// The time that `at` names.
    pub event: Moment,
    /// The reminder's own instant.
    pub at: Moment,
    /// What lies between them.
    pub left: &'r str,
    /// The zone of wall times.
    pub zone: Tz,
    /// How long a text is, as the fields of the platform count.
    pub length: fn(&str) -> usize,
}

/// What is wrong with a text of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The column whose cell is at fault, if it is one.
    pub column: Option<usize>,
    /// The code of the problem.
    pub code: &'static str,
    /// A sentence about the value.
    pub detail: Message,
}

/// What became of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filled {
    /// What the user reads.
    pub text: String,
    /// The column that brought most of it: where a problem with the whole is told.
    pub most: Option<usize>,
}

/// What a person should know about a cell that was read: its column, and the code of the note.
pub type Notes = Vec<(usize, &'static str)>;

/// A value on its way through the formatters.
enum Value<'r> {
    Blank,
    Cell(&'r Cell),
    Moment(Moment),
    Text(Cow<'r, str>),
}

impl Value<'_> {
    fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Blank => "".into(),
            Self::Cell(Cell::Time { at, shows }) => Moment { wall: *at, shows: *shows }.usual().into(),
            Self::Cell(cell) => cell.text(),
            Self::Moment(moment) => moment.usual().into(),
            Self::Text(text) => text.as_ref().into(),
        }
    }
}

/// Fills in a text.
///
/// # Errors
/// Everything that is wrong with it.
pub fn fill(text: &Text<usize>, kind: Kind, scene: &Scene<'_>, notes: &mut Notes) -> Result<Filled, Vec<Fault>> {
    let (mut filled, mut most, mut longest, mut faults) = (String::new(), None, 0, Vec::new());
    for piece in &text.pieces {
        let variable = match piece {
            Piece::Words(words) => {
                filled.push_str(words);
                continue;
            }
            Piece::Variable(variable) => variable,
        };
        let before = filled.len();
        if let Err(fault) = add(&mut filled, variable, kind, scene, notes) {
            faults.push(fault.discreet(variable, scene));
        }
        if let Source::Column(column) = variable.source
            && (most.is_none() || filled.len() - before > longest)
        {
            (most, longest) = (Some(column), filled.len() - before);
        }
    }
    if faults.is_empty() { Ok(Filled { text: filled, most }) } else { Err(faults) }
}

impl Fault {
    fn new(column: Option<usize>, code: &'static str, detail: Message) -> Self {
        Self { column, code, detail }
    }

    /// Without the openid.
    fn discreet(self, variable: &Variable<usize>, scene: &Scene<'_>) -> Self {
        let of_user =
            variable.source == Source::Openid || (self.column.is_some() && self.column == scene.openid_column);
        if of_user { Self { detail: say!("openid_does_not_fit"), ..self } } else { self }
    }
}

/// Adds what a variable brings.
fn add(
    filled: &mut String,
    variable: &Variable<usize>,
    kind: Kind,
    scene: &Scene<'_>,
    notes: &mut Notes,
) -> Result<(), Fault> {
    let column = match variable.source {
        Source::Column(column) => Some(column),
        _ => None,
    };
    let mut value = match variable.source {
        Source::Column(column) => cell(column, scene)?,
        Source::Event => Value::Moment(scene.event),
        Source::At => Value::Moment(scene.at),
        Source::Left => Value::Text(scene.left.into()),
        Source::Openid => Value::Text(scene.openid.into()),
    };
    for formatter in &variable.formatters {
        value = format(value, formatter, column, kind, scene, notes)?;
    }
    if matches!(value, Value::Blank) {
        return Err(Fault::new(column, "no_value", say!("cell_no_value")));
    }
    let text = value.text();
    if kind == Kind::Page {
        if variable.formatters.contains(&Formatter::Raw) {
            filled.push_str(&text);
        } else {
            encode(&text, filled);
        }
        return Ok(());
    }
    match text.chars().find(|c| breaks_line(*c)) {
        None => filled.push_str(&text),
        Some('\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}') => {
            return Err(Fault::new(column, "bad_field", say!("text_line_break")));
        }
        Some(c) => {
            let code = format!("U+{:04X}", u32::from(c));
            return Err(Fault::new(column, "control_character", say!("control_character", code = code)));
        }
    }
    Ok(())
}

/// What stands in a column of the row.
fn cell<'r>(column: usize, scene: &Scene<'r>) -> Result<Value<'r>, Fault> {
    let Some(cell) = scene.cells.get(column).filter(|cell| !cell.is_blank()) else { return Ok(Value::Blank) };
    usable(cell).map_err(|(code, detail)| Fault::new(Some(column), code, detail))?;
    Ok(Value::Cell(cell))
}

fn format<'r>(
    value: Value<'r>,
    formatter: &Formatter<usize>,
    column: Option<usize>,
    kind: Kind,
    scene: &Scene<'r>,
    notes: &mut Notes,
) -> Result<Value<'r>, Fault> {
    let value = match (formatter, value) {
        (Formatter::Default(words), Value::Blank) => return Ok(Value::Text(words.clone().into())),
        (_, Value::Blank) => return Ok(Value::Blank),
        (Formatter::Default(_) | Formatter::Raw, value) => return Ok(value),
        (_, value) => value,
    };
    let no_number = |text: &str| {
        let code = if kind == Kind::Page { "bad_page" } else { "bad_field" };
        Fault::new(column, code, say!("cell_no_number", text = cut(text)))
    };
    let text: String = match formatter {
        Formatter::Date | Formatter::Time | Formatter::DateTime | Formatter::Iso => {
            let moment = moment(&value, column, scene, notes)?;
            if *formatter != Formatter::Time && !moment.has_day() {
                return Err(Fault::new(column, "bad_time", say!("time_without_day")));
            }
            match formatter {
                Formatter::Date => date(moment.wall),
                Formatter::Time => time(moment.wall.time()),
                Formatter::DateTime => datetime(moment.wall),
                _ => iso(moment.wall, scene.zone)
                    .ok_or_else(|| Fault::new(column, "bad_time", say!("time_beyond_all_years")))?,
            }
        }
        Formatter::Range(end) => {
            let start = moment(&value, column, scene, notes)?;
            let end_value = cell(*end, scene)?;
            if matches!(end_value, Value::Blank) {
                return Err(Fault::new(Some(*end), "no_value", say!("cell_no_value")));
            }
            let end_moment = moment(&end_value, Some(*end), scene, notes)?;
            if start.has_day() && end_moment.has_day() && end_moment.wall < start.wall {
                return Err(Fault::new(Some(*end), "bad_time", say!("range_ends_before")));
            }
            start.until(end_moment)
        }
        Formatter::Amount(sign) => {
            let text = value.text();
            amount(&text, sign).ok_or_else(|| no_number(&text))?
        }
        Formatter::Number(decimals) => {
            let text = value.text();
            number(&text, *decimals).ok_or_else(|| no_number(&text))?
        }
        Formatter::Short(most) => short(&normalise(&value.text()), *most, scene.length),
        Formatter::Oneline => {
            let text = value.text();
            let lines =
                text.split(['\n', '\r', '\t', '\u{2028}', '\u{2029}']).map(str::trim).filter(|line| !line.is_empty());
            lines.collect::<Vec<_>>().join(" ")
        }
        Formatter::Default(_) | Formatter::Raw => value.text().into_owned(),
    };
    Ok(Value::Text(text.into()))
}

/// The time that a value is.
fn moment(value: &Value<'_>, column: Option<usize>, scene: &Scene<'_>, notes: &mut Notes) -> Result<Moment, Fault> {
    let bad = |detail| Fault::new(column, "bad_time", detail);
    let read = match value {
        Value::Moment(moment) => return Ok(*moment),
        Value::Cell(Cell::Time { at, shows }) => return Ok(Moment { wall: *at, shows: *shows }),
        Value::Cell(cell) => written::cell(cell).map_err(bad)?,
        Value::Text(text) => Some(written::text(text).map_err(bad)?),
        Value::Blank => None,
    };
    let read = read.ok_or_else(|| Fault::new(column, "no_value", say!("cell_no_value")))?;
    if let Some(column) = column {
        notes.extend(read.of_range.then_some((column, "range_start")));
        notes.extend(read.serial.then_some((column, "serial_read")));
    }
    Moment::of(read.point, scene.zone).ok_or_else(|| bad(say!("time_beyond_all_years")))
}

/// What is longer than `most`, cut so that it has its place with an ellipsis.
fn short(text: &str, most: usize, length: fn(&str) -> usize) -> String {
    if length(text) <= most {
        return text.to_owned();
    }
    let (mut cut, mut letter) = (String::new(), [0; 4]);
    let mut room = most.saturating_sub(length("…"));
    for c in text.chars() {
        let wants = length(c.encode_utf8(&mut letter));
        if wants > room {
            break;
        }
        room -= wants;
        cut.push(c);
    }
    cut.truncate(cut.trim_end().len());
    cut.push('…');
    cut
}

/// Percent-encodes all but `A–Z a–z 0–9 - _ . ~`.
fn encode(text: &str, into: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            into.push(char::from(byte));
        } else {
            write!(into, "%{byte:02X}").expect("a string takes all");
        }
    }
}

/// Whether what a text says depends on the occasion.
pub fn by_occasion(text: &Text<usize>) -> bool {
    text.takes(&Source::At) || text.takes(&Source::Left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::sheet::cell::Shows;
    use chrono::{NaiveDate, NaiveDateTime};
    use proptest::prelude::*;

    fn wall(hour: u32, minute: u32) -> NaiveDateTime {
        NaiveDate::from_ymd_opt(2031, 3, 1).and_then(|day| day.and_hms_opt(hour, minute, 0)).expect("a time")
    }

    /// What a text becomes of a row whose columns are `a`, `b`; the keys of what is wrong.
    fn filled(text: &str, kind: Kind, cells: &[Cell]) -> Result<String, Vec<(Option<usize>, &'static str)>> {
        let text =
            Text::parse(text, kind, 1).expect(text).bind(|name| ["a", "b"].iter().position(|n| n == name).ok_or(()));
        let moment = |hour| Moment { wall: wall(hour, 5), shows: Shows::DateTime };
        let scene = Scene {
            cells,
            openid_column: None,
            openid: "o-1",
            event: moment(9),
            at: moment(8),
            left: "1小时",
            zone: chrono_tz::Asia::Shanghai,
            length: |text| text.encode_utf16().count(),
        };
        fill(&text.expect("columns"), kind, &scene, &mut Notes::new())
            .map(|filled| filled.text)
            .map_err(|faults| faults.into_iter().map(|fault| (fault.column, fault.code)).collect())
    }

    fn text(text: &str) -> Cell {
        Cell::Text(text.into())
    }

    #[test]
    fn each_formatter_does_what_the_manual_says() {
        let time = |hour, minute, shows| Cell::Time { at: wall(hour, minute), shows };
        let (noon, day) = (time(12, 0, Shows::DateTime), time(0, 0, Shows::Date));
        for (pattern, a, b, expected) in [
            (
                "{{@event}}|{{@at | time}}|{{@left}}|{{@openid}}",
                Cell::Blank,
                Cell::Blank,
                "2031年3月1日 09:05|08:05|1小时|o-1",
            ),
            ("{{@event | iso}}", Cell::Blank, Cell::Blank, "2031-03-01T09:05:00+08:00"),
            (
                "{{a | date}} {{a | time}} {{a | datetime}}",
                text("2031/3/1 9:05"),
                Cell::Blank,
                "2031年3月1日 09:05 2031年3月1日 09:05",
            ),
            ("{{a | time}}", text("下午3点"), Cell::Blank, "15:00"),
            ("{{a | iso}}", text("2031-03-01T01:05:00Z"), Cell::Blank, "2031-03-01T09:05:00+08:00"),
            ("{{a | datetime}}", text("2031-03-01T01:05:00Z"), Cell::Blank, "2031年3月1日 09:05"),
            ("{{a}} {{b}}", noon.clone(), day.clone(), "2031年3月1日 12:00 2031年3月1日"),
            ("{{a}}", time(12, 30, Shows::Time), Cell::Blank, "12:30"),
            ("{{a | short(6)}}", noon.clone(), Cell::Blank, "2031年…"),
            ("{{a | range(b)}}", noon.clone(), time(14, 0, Shows::Time), "2031年3月1日 12:00~14:00"),
            ("{{a | range(b)}}", noon.clone(), text("2:00"), "2031年3月1日 12:00~2031年3月2日 02:00"),
            ("{{a | range(b)}}", text("9:00"), text("11:00"), "09:00~11:00"),
            ("{{a | range(b)}}", day.clone(), text("2031-03-05"), "2031年3月1日~2031年3月5日"),
            ("{{a | short(3)}}", text("一二三四"), Cell::Blank, "一二…"),
            ("{{a | short(4)}}", text("一二三四"), Cell::Blank, "一二三四"),
            // An emoji counts as two, and is not cut in half.
            ("{{a | short(4)}}", text("一🎉🎉"), Cell::Blank, "一🎉…"),
            ("{{a | short(3)}}", text("🎉🎉"), Cell::Blank, "🎉…"),
            ("{{a | oneline}}", text("一\n\t 二  三"), Cell::Blank, "一 二  三"),
            ("{{a | oneline}}", text("一\u{2028}二\u{2029}"), Cell::Blank, "一 二"),
            ("{{a | default(无)}}{{b | default(无)}}", Cell::Blank, text("有"), "无有"),
            ("{{a | date | default(待定)}}", Cell::Blank, Cell::Blank, "待定"),
            ("{{a | default(2031-03-01) | date}}", Cell::Blank, Cell::Blank, "2031年3月1日"),
            ("{{a | amount}} {{a | number(1)}}", text("￥1,280.55"), Cell::Blank, "¥1280.55 1280.6"),
            ("{{a}}", text("ＡＢＣ"), Cell::Blank, "ＡＢＣ"),
            ("{{{{a}}", Cell::Blank, Cell::Blank, "{{a}}"),
        ] {
            assert_eq!(filled(pattern, Kind::Field, &[a, b]), Ok(expected.to_owned()), "{pattern}");
        }
    }

    #[test]
    fn what_does_not_fit_is_told_at_its_cell() {
        for (pattern, a, b, expected) in [
            ("{{a}}{{b}}", Cell::Blank, Cell::Blank, vec![(Some(0), "no_value"), (Some(1), "no_value")]),
            ("{{a | date}}", text("5/6"), Cell::Blank, vec![(Some(0), "bad_time")]),
            ("{{a | date}}", text("9:00"), Cell::Blank, vec![(Some(0), "bad_time")]),
            ("{{a | amount}}", text("二十"), Cell::Blank, vec![(Some(0), "bad_field")]),
            ("{{a}}", text("一\n二"), Cell::Blank, vec![(Some(0), "bad_field")]),
            ("{{a}}", text("一\t二"), Cell::Blank, vec![(Some(0), "bad_field")]),
            ("{{a}}", text("一\u{7}二"), Cell::Blank, vec![(Some(0), "control_character")]),
            ("{{a}}", text("#REF!"), Cell::Blank, vec![(Some(0), "error_cell")]),
            ("{{a}}", Cell::Error("#N/A".into()), Cell::Formula, vec![(Some(0), "error_cell")]),
            ("{{b}}", Cell::Error("#N/A".into()), Cell::Formula, vec![(Some(1), "formula_without_result")]),
            (
                "{{a | default(x)}}",
                Cell::Damaged("1234567890123456".into()),
                Cell::Blank,
                vec![(Some(0), "damaged_number")],
            ),
            ("{{a}}", text(&"字".repeat(4_097)), Cell::Blank, vec![(Some(0), "too_long")]),
            ("{{a | range(b)}}", text("2031-03-01 9:00"), Cell::Blank, vec![(Some(1), "no_value")]),
            ("{{a | range(b)}}", text("2031-03-01 9:00"), text("2031-02-28 9:00"), vec![(Some(1), "bad_time")]),
            ("{{a | range(b)}}", text("2031-03-01 9:00"), text("x"), vec![(Some(1), "bad_time")]),
            ("{{@left | date}}", Cell::Blank, Cell::Blank, vec![(None, "bad_time")]),
        ] {
            assert_eq!(filled(pattern, Kind::Field, &[a, b]), Err(expected), "{pattern}");
        }
        assert!(filled("{{a}}", Kind::Field, &[text(&"字".repeat(4_096))]).is_ok());
        assert!(filled("{{a}}", Kind::Field, &[text("#新品")]).is_ok());
        // A row may have fewer cells than the header.
        assert_eq!(filled("{{b | default(x)}}", Kind::Field, &[text("y")]), Ok("x".to_owned()));
    }

    proptest! {
        #[test]
        fn whatever_a_cell_says_it_is_filled_in_or_told(
            a in "[0-9]{4}-[0-9]-[0-9]{1,2} [0-9]{1,2}:[0-9]{2}|[-0-9.,]{0,20}|.{0,40}", b in ".{0,20}", value in proptest::num::f64::ANY,
        ) {
            let all = "{{a|date|default(x)}}{{a|time}}{{a|datetime}}{{a|iso}}{{a|range(b)}}{{a|amount}}{{a|number}}{{a|number(3)}}{{a|short(3)}}{{a|oneline}}{{a}}";
            for cell in [text(&a), Cell::Number { text: b.clone(), value }] {
                let _ = filled(all, Kind::Field, &[cell.clone(), text(&b)]);
                if let Ok(page) = filled("{{a}}", Kind::Page, &[cell, text(&b)]) {
                    prop_assert!(page.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_.~%".contains(&c)), "{}", page);
                }
            }
            if let Ok(short) = filled("{{a | short(5)}}", Kind::Field, &[text(&a)]) {
                prop_assert!(short.encode_utf16().count() <= 5);
            }
        }
    }
}

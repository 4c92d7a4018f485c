//! `audience` and `exclude`: who.

use super::{
    Audience, Exclude, TableRef,
    reader::{Reader, Said, Table, texts},
};
use crate::{
    domain::{did_you_mean, draft},
    schedule::sheet::{Encoding, Hidden, TableSpec, may_delimit},
    words::say,
};
use toml::de::DeValue;
use unicode_normalization::UnicodeNormalization;

/// An inline list has no more openids.
const MOST_LISTED: usize = 10_000;

/// Reads `audience`.
pub fn audience(reader: &mut Reader<'_>, said: Said<&DeValue<'_>>) -> Option<Audience> {
    let Said { line, value } = said;
    match value {
        DeValue::String(word) => {
            reader.word(Said { line, value: word }, &[("consented", ())]).map(|()| Audience::Consented)
        }
        DeValue::Array(values) => {
            let list = list(reader, line, values)?;
            if list.is_empty() {
                reader.tell("no_rows", line, say!("audience_empty"));
                return None;
            }
            Some(Audience::List(list.into_iter().map(|said| said.value.to_owned()).collect()))
        }
        DeValue::Table(values) => {
            const KEYS: [&str; 9] =
                ["file", "sheet", "header", "hidden", "encoding", "delimiter", "openid", "key", "event"];
            let table = Table::new(reader, values, line, &KEYS);
            self::table(reader, &table).map(Audience::Table)
        }
        _ => {
            reader.tell_kind("bad_value", line, "audience", say!("kind_audience"));
            None
        }
    }
}

/// Reads `exclude`.
pub fn exclude(reader: &mut Reader<'_>, said: Said<&DeValue<'_>>) -> Option<Exclude> {
    let Said { line, value } = said;
    match value {
        DeValue::Array(values) => {
            let mut openids = Vec::new();
            for Said { line, value } in list(reader, line, values)? {
                let openid: String = value.trim().nfkc().collect();
                match draft::openid(&openid) {
                    Ok(()) => openids.push(openid),
                    Err(why) => reader.tell("bad_openid", line, why.detail),
                }
            }
            Some(Exclude::List(openids))
        }
        DeValue::Table(values) => {
            const KEYS: [&str; 7] = ["file", "sheet", "header", "hidden", "encoding", "delimiter", "openid"];
            let table = Table::new(reader, values, line, &KEYS);
            self::table(reader, &table).map(Exclude::Table)
        }
        _ => {
            reader.tell_kind("bad_value", line, "exclude", say!("kind_exclude"));
            None
        }
    }
}

fn list<'t>(
    reader: &mut Reader<'_>,
    line: u32,
    values: &'t [toml::Spanned<DeValue<'t>>],
) -> Option<Vec<Said<&'t str>>> {
    let code = if values.len() > MOST_LISTED { "too_large" } else { "bad_value" };
    texts(reader, values, MOST_LISTED).map_err(|(at, why)| reader.tell(code, at.max(line), why)).ok()
}

/// What the keys of every table say, and which columns name the user and the row.
pub fn table(reader: &mut Reader<'_>, table: &Table<'_>) -> Option<TableRef> {
    table.need(reader, "file");
    let file = table.name(reader, "file", 1_024);
    let spec = TableSpec {
        sheet: table.name(reader, "sheet", 255).map(|said| said.value.to_owned()),
        header: header(reader, table),
        hidden: table.text(reader, "hidden").and_then(|said| reader.word(said, &Hidden::WORDS)),
        encoding: table.text(reader, "encoding").and_then(|said| encoding(reader, said)),
        delimiter: table.text(reader, "delimiter").and_then(|said| delimiter(reader, said)),
    };
    let openid = table.name(reader, "openid", 1_024).map(|said| said.value.to_owned());
    let key = table.name(reader, "key", 1_024).map(|said| said.value.to_owned());
    let event = table.name(reader, "event", 1_024).map(|said| said.value.to_owned());
    Some(TableRef { file: file?.value.to_owned(), spec, openid, key, event, line: table.line })
}

/// The words of encodings are read in any case: `UTF-8` is what editors write.
fn encoding(reader: &mut Reader<'_>, said: Said<&str>) -> Option<Encoding> {
    let word = said.value.to_ascii_lowercase();
    let near = did_you_mean(&word, Encoding::WORDS.iter().map(|(word, _)| *word));
    let usual = match word.as_str() {
        "gbk" | "gb2312" => "gb18030",
        "utf8" => "utf-8",
        "utf16" => "utf-16",
        word => near.filter(|near| *near == word).unwrap_or(said.value),
    };
    reader.word(Said { line: said.line, value: usual }, &Encoding::WORDS)
}

fn header(reader: &mut Reader<'_>, table: &Table<'_>) -> Option<u32> {
    const MOST: u32 = 1_048_576;
    let Said { line, value } = table.value(reader, "header")?;
    let number = match value {
        DeValue::Integer(number) => u32::from_str_radix(number.as_str(), number.radix()).ok(),
        _ => None,
    };
    let header = number.filter(|number| (1..=MOST).contains(number));
    if header.is_none() {
        reader.tell_kind("bad_value", line, "header", say!("kind_whole_number", most = MOST));
    }
    header
}

fn delimiter(reader: &mut Reader<'_>, said: Said<&str>) -> Option<char> {
    let mut chars = said.value.chars();
    let delimiter = chars.next().filter(|c| chars.next().is_none() && may_delimit(*c));
    if delimiter.is_none() {
        reader.tell_kind("bad_value", said.line, "delimiter", say!("kind_delimiter"));
    }
    delimiter
}

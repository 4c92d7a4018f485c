//! `page` and `[data]`: what the message says.

use super::reader::{Reader, Said, Table};
use crate::{
    domain::{
        did_you_mean,
        page::PageRules,
        pointer,
        template::{Listing, Template},
    },
    schedule::render::text::{Kind, Piece, Text},
    words::say,
};
use std::collections::BTreeMap;
use toml::de::DeValue;

/// `page`. What it says itself is checked here, by the rules of its app's platform: a mistake in that is told once, and not for each row. What
/// a row makes of its variables is checked row by row.
pub fn page(reader: &mut Reader<'_>, table: &Table<'_>, rules: PageRules) -> Option<Text> {
    let Some(Said { line, value }) = table.text(reader, "page") else {
        if rules.needed && table.value(reader, "page").is_none() {
            reader.tell("bad_page", table.line, say!("page_needed"));
        }
        return None;
    };
    let text = text(reader, Said { line, value }, Kind::Page)?;
    let said: String = text.pieces.iter().map(words).collect();
    // A variable may bring nothing at all, so its letter does not make a page too long.
    let rules = PageRules { most: rules.most + text.variables().count(), ..rules };
    if let Err(why) = rules.check(Some(&said)) {
        reader.tell("bad_page", line, why.detail);
    }
    Some(text)
}

/// What a piece says, with a letter in place of a variable.
fn words(piece: &Piece<String>) -> &str {
    match piece {
        Piece::Words(words) => words,
        Piece::Variable(_) => "x",
    }
}

/// `[data]`: every field of the template, no other.
pub fn fields(
    reader: &mut Reader<'_>,
    table: &Table<'_>,
    template: Option<(&Template, Option<&Listing>)>,
) -> Vec<(String, Text)> {
    let (mut fields, mut lines) = (Vec::new(), BTreeMap::new());
    let mut begins = table.line;
    match table.value(reader, "data") {
        None => {}
        Some(Said { line, value: DeValue::Table(values) }) => {
            begins = line;
            for (key, value) in values {
                let line = reader.line(key);
                lines.insert(key.get_ref().as_ref(), line);
                match value.get_ref() {
                    DeValue::String(value) => {
                        let text = text(reader, Said { line, value }, Kind::Field);
                        fields.extend(text.map(|text| (key.get_ref().clone().into_owned(), text)));
                    }
                    _ => reader.tell_kind("bad_value", line, key.get_ref(), say!("kind_text")),
                }
            }
        }
        Some(Said { line, .. }) => reader.tell_kind("bad_value", line, "data", say!("kind_table")),
    }
    let Some((template, listing)) = template.filter(|_| table.has("data")) else {
        table.need(reader, "data");
        return fields;
    };
    let known = template.fields(listing);
    for problem in template.misfits(listing, lines.keys().copied()) {
        let given = lines.iter().find(|(key, _)| pointer(["data", key]) == problem.param);
        let fix = given.and_then(|(key, _)| did_you_mean(key, known.keys().map(String::as_str)));
        reader.tell_invalid(given.map_or(begins, |(_, line)| *line), problem, fix);
    }
    fields
}

fn text(reader: &mut Reader<'_>, said: Said<&str>, kind: Kind) -> Option<Text> {
    let text = Text::parse(said.value, kind, said.line);
    text.map_err(|mistake| reader.tell_with("bad_template", said.line, mistake.detail, mistake.fix.as_deref())).ok()
}

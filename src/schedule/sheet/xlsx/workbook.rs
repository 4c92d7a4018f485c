//! What a workbook says about itself: its sheets, its calendar, and where its other parts are.

use super::{
    super::copied::{PROBLEMS_NAME, RAGGED_NAME},
    package::{Package, damaged},
    xml::{Name, Token, Xml, attribute, is_on},
};
use crate::schedule::problem::Problem;
use std::{
    collections::HashMap,
    io::{Read, Seek},
};

/// A workbook may have so many sheets.
pub const MAX_SHEETS: usize = 10_000;

/// A workbook.
#[derive(Debug, Default)]
pub struct Workbook {
    /// Its sheets of cells in their order.
    pub sheets: Vec<Place>,
    /// Its days count from 1904.
    pub from_1904: bool,
    /// The part with the styles.
    pub styles: Option<String>,
    /// The part with the shared texts.
    pub strings: Option<String>,
}

/// A sheet and its part.
#[derive(Debug, Clone)]
pub struct Place {
    /// Its name.
    pub name: String,
    /// A person has hidden it.
    pub hidden: bool,
    /// It is the list of problems of a copy.
    pub problems: bool,
    /// It is a copy of CSV, where a row with more cells than the header has shifted cells.
    pub ragged: bool,
    /// Its part.
    pub part: String,
}

impl Workbook {
    /// Reads it.
    ///
    /// # Errors
    /// `damaged`.
    pub fn read<R: Read + Seek>(package: &mut Package<R>) -> Result<Self, Problem> {
        let part = match package.has("_rels/.rels") {
            true => {
                let found = relations(package, "_rels/.rels", "")?;
                found.into_values().find(|relation| relation.kind == "officeDocument").map(|relation| relation.part)
            }
            false => None,
        };
        let part = part.filter(|part| package.has(part)).unwrap_or_else(|| "xl/workbook.xml".to_owned());
        let (folder, name) = part.rsplit_once('/').unwrap_or(("", &part));
        let slash = if folder.is_empty() { "" } else { "/" };
        let relations = relations(package, &format!("{folder}{slash}_rels/{name}.rels"), folder)?;
        let of_kind = |kind: &str| relations.values().find(|relation| relation.kind == kind).map(|r| r.part.clone());
        let mut book = Self { styles: of_kind("styles"), strings: of_kind("sharedStrings"), ..Self::default() };
        let mut xml = Xml::new(package.part(&part)?);
        loop {
            match xml.next()? {
                Token::Open(element) => match element.local_name().into_inner() {
                    "workbookPr" => book.from_1904 = is_on(&element, "date1904"),
                    "sheet" => {
                        let relation = attribute(&element, "id").and_then(|id| relations.get(&*id));
                        let Some(relation) = relation.filter(|relation| relation.kind == "worksheet") else { continue };
                        let hidden = attribute(&element, "state").is_some_and(|state| state != "visible");
                        let name = attribute(&element, "name").unwrap_or_default().into_owned();
                        let part = relation.part.clone();
                        book.sheets.push(Place { name, hidden, problems: false, ragged: false, part });
                    }
                    "definedName" => {
                        let name = attribute(&element, "name").unwrap_or_default().into_owned();
                        let (problems, ragged) = (name == PROBLEMS_NAME, name == RAGGED_NAME);
                        if problems || ragged {
                            let mut formula = String::new();
                            xml.text(Name::Value, &mut formula)?;
                            let sheet = sheet_of(&formula);
                            for place in book.sheets.iter_mut().filter(|place| place.name == sheet) {
                                place.problems |= problems;
                                place.ragged |= ragged;
                            }
                        }
                    }
                    _ => {}
                },
                Token::End => break,
                _ => {}
            }
        }
        match book.sheets.len() {
            0 => Err(damaged("it has no sheet")),
            n if n > MAX_SHEETS => Err(damaged("it has too many sheets")),
            _ => Ok(book),
        }
    }
}

/// The sheet that a formula such as `'名单'!$A$1` names.
fn sheet_of(formula: &str) -> String {
    let (sheet, _) = formula.trim().trim_start_matches('=').rsplit_once('!').unwrap_or_default();
    let quoted = sheet.strip_prefix('\'').and_then(|sheet| sheet.strip_suffix('\''));
    quoted.map_or_else(|| sheet.to_owned(), |sheet| sheet.replace("''", "'"))
}

struct Relation {
    /// The last word of its type.
    kind: String,
    part: String,
}

/// What a part refers to, by the ids that it uses.
fn relations<R: Read + Seek>(
    package: &mut Package<R>,
    name: &str,
    folder: &str,
) -> Result<HashMap<String, Relation>, Problem> {
    let mut xml = Xml::new(package.part(name)?);
    let mut found = HashMap::new();
    loop {
        match xml.next()? {
            Token::Open(element) if element.local_name().into_inner() == "Relationship" => {
                let [id, kind, target] = ["Id", "Type", "Target"].map(|name| attribute(&element, name));
                let (Some(id), Some(kind), Some(target)) = (id, kind, target) else { continue };
                let kind = kind.rsplit('/').next().unwrap_or_default().to_owned();
                found.insert(id.into_owned(), Relation { kind, part: resolve(folder, &target) });
                if found.len() > MAX_SHEETS * 2 {
                    return Err(damaged("it has too many relations"));
                }
            }
            Token::End => return Ok(found),
            _ => {}
        }
    }
}

/// A target as seen from a folder: parts are looked up by their names, so what climbs out of the zip is simply not there.
fn resolve(folder: &str, target: &str) -> String {
    let mut steps: Vec<&str> = match target.strip_prefix('/') {
        Some(_) => Vec::new(),
        None => folder.split('/').filter(|step| !step.is_empty()).collect(),
    };
    for step in target.split(['/', '\\']) {
        match step {
            "" | "." => {}
            ".." => drop(steps.pop()),
            step => steps.push(step),
        }
    }
    steps.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sheet_is_named_with_and_without_quotes() {
        for (formula, sheet) in
            [("'名单'!$A$1", "名单"), ("名单!$A$1", "名单"), ("'a''b!'!$A$1", "a'b!"), ("#REF!", "#REF"), ("", "")]
        {
            assert_eq!(sheet_of(formula), sheet);
        }
    }

    #[test]
    fn a_part_is_named_from_its_folder_or_from_the_root() {
        for (folder, target, part) in [
            ("xl", "worksheets/sheet1.xml", "xl/worksheets/sheet1.xml"),
            ("xl", "/xl/styles.xml", "xl/styles.xml"),
            ("xl", "../../../etc/passwd", "etc/passwd"),
            ("", "xl/workbook.xml", "xl/workbook.xml"),
        ] {
            assert_eq!(resolve(folder, target), part);
        }
    }
}

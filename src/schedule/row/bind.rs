//! The columns that a schedule names, in one table.

use super::{
    Bound,
    instants::fixed,
    message::{Field, Texts},
};
use crate::{
    domain::{Millis, draft::Terms},
    schedule::{
        file::{Audience, Expires, File, TableRef, Time},
        problem::{Place, Problem},
        render::text::Text,
        sheet::Wanted,
    },
};

/// The columns of a table: their names as the header shows them, and where each is that is wanted.
pub type Table<'t> = (&'t [String], &'t dyn Fn(&Wanted) -> Result<usize, Problem>);

/// Where the columns are.
#[derive(Debug, Clone, Copy, Default)]
pub struct Places {
    /// Of the openids.
    pub openid: Option<usize>,
    /// Of the keys.
    pub key: Option<usize>,
    /// Of the times.
    pub at: Option<usize>,
    /// Of the deadlines.
    pub expires: Option<usize>,
}

/// Finds every column that the schedule names. `table` is `None` for a list and for all who have consented. What has passed at `now` is
/// no mistake here; what lies too far ahead of it is.
///
/// # Errors
/// What is missing, or there twice, each with the line that names it.
pub fn bind<'a>(
    file: &'a File,
    terms: &Terms<'a>,
    table: Option<Table<'_>>,
    now: Millis,
) -> Result<Bound<'a>, Vec<Problem>> {
    let mut find = Find { file, table, problems: Vec::new() };
    let places = find.places();
    let page = file.page.as_ref().and_then(|text| find.text(text));
    let texts: Vec<_> = file.data.iter().map(|(key, text)| (key, find.text(text))).collect();
    let Find { mut problems, .. } = find;
    let template = terms.template(&file.template, "/template");
    let listed = template.as_ref().ok().and_then(|template| template.in_step(terms.listing).transpose());
    let refused = template.as_ref().err().or(listed.as_ref().and_then(|listed| listed.as_ref().err()));
    problems.extend(refused.map(|why| file.problem(why.code, 1, why.detail.clone())));
    let fixed = fixed(file, now).map_err(|why| problems.push(file.problem("bad_at", file.at.line, why)));
    let (Ok(template), Ok(fixed), true) = (template, fixed, problems.is_empty()) else { return Err(problems) };
    let labels = template.fields(terms.listing);
    let field = |(key, text): (&String, Option<Text<usize>>)| {
        Some(Field::new(key, labels.get(key).map_or("", String::as_str), text?, places.openid))
    };
    let (fixed, notes) = fixed.map_or((None, Vec::new()), |(fixed, notes)| (Some(fixed), notes));
    let mut bound = Bound {
        file,
        columns: table.map(|(columns, _)| columns.to_vec()).unwrap_or_default(),
        places,
        quiet: file.quiet.of(terms.rules),
        fixed,
        texts: Texts {
            rules: terms.fields,
            listed: listed.and_then(Result::ok),
            page,
            fields: texts.into_iter().filter_map(field).collect(),
        },
        notes,
        now,
    };
    bound.notes.extend(bound.quiet_moved());
    Ok(bound)
}

/// Finds columns, and tells those that are missing.
struct Find<'f> {
    file: &'f File,
    table: Option<Table<'f>>,
    problems: Vec<Problem>,
}

impl Find<'_> {
    fn places(&mut self) -> Places {
        let at = match &self.file.at.time {
            Time::Column(column) => self.column(column, self.file.at.line),
            Time::Fixed(_) => None,
        };
        let expires = match &self.file.expires {
            Expires::Column(column) => self.column(column, self.file.expires_line),
            Expires::Known(_) => None,
        };
        let Audience::Table(table @ TableRef { key, line, .. }) = &self.file.audience else {
            return Places { openid: None, key: None, at, expires };
        };
        let openid = self.find(&table.openid(), *line);
        let key = key.as_ref().and_then(|key| self.column(key, *line));
        Places { openid, key, at, expires }
    }

    fn text(&mut self, text: &Text) -> Option<Text<usize>> {
        text.bind(|name| self.column(name, text.line).ok_or(())).ok()
    }

    fn column(&mut self, name: &str, line: u32) -> Option<usize> {
        self.find(&Wanted::Column(name.to_owned()), line)
    }

    fn find(&mut self, wanted: &Wanted, line: u32) -> Option<usize> {
        let Some((_, find)) = self.table else {
            if self.problems.is_empty() {
                self.problems = self.file.without_table();
            }
            return None;
        };
        let found = find(wanted).map_err(|problem| {
            let place = Place { file: Some(self.file.file.clone()), line: Some(line), ..Place::default() };
            self.problems.push(Problem { place, ..problem });
        });
        found.ok()
    }
}

//! The columns that a schedule names, in one table.

use super::{
    Bound,
    instants::fixed,
    message::{Field, Texts},
};
use crate::{
    domain::{Millis, draft::Terms},
    schedule::{
        file::{Audience, Expires, File, Scope, TableRef, Time, scoped},
        problem::{Place, Problem},
        render::text::Text,
        sheet::Wanted,
    },
    words::say,
};

/// The columns of a table: their names as the header shows them, and where each is that is wanted.
pub type Table<'t> = (&'t [String], &'t dyn Fn(&Wanted) -> Result<usize, Problem>);

/// The tables to which a schedule is bound.
#[derive(Clone, Copy, Default)]
pub struct Tables<'t> {
    /// The audience's, unless it is a list or all who have consented.
    pub rows: Option<Table<'t>>,
    /// The table of events. Its columns stand behind those of the other.
    pub events: Option<Table<'t>>,
}

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
    /// Of the keys of the rows' events.
    pub event: Option<usize>,
    /// In the table of events, of the keys.
    pub event_key: Option<usize>,
    /// Of the times.
    pub event_at: Option<usize>,
}

/// Finds every column that the schedule names. What has passed at `now` is no mistake here; what lies too far ahead of it is.
///
/// # Errors
/// What is missing, or there twice, each with the line that names it.
pub fn bind<'a>(file: &'a File, terms: &Terms<'a>, tables: Tables<'_>, now: Millis) -> Result<Bound<'a>, Vec<Problem>> {
    let of_rows = tables.rows.map_or(0, |(columns, _)| columns.len());
    let mut find = Find { file, tables, of_rows, problems: Vec::new() };
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
        columns: [tables.rows, tables.events].into_iter().flatten().flat_map(|(columns, _)| columns.to_vec()).collect(),
        of_rows,
        places,
        quiet: file.quiet.of(terms.rules),
        user: terms.user,
        fixed,
        texts: Texts {
            rules: terms.fields.of(template),
            pages: terms.page,
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
    tables: Tables<'f>,
    of_rows: usize,
    problems: Vec<Problem>,
}

impl Find<'_> {
    fn places(&mut self) -> Places {
        let at = match &self.file.at.time {
            Time::Column(column) => self.column(column, self.file.at.line),
            _ => None,
        };
        let expires = match &self.file.expires {
            Expires::Column(column) => self.column(column, self.file.expires_line),
            Expires::Known(_) => None,
        };
        let (event_key, event_at) = match self.file.events() {
            Some(events) => {
                (self.of_events(&events.key, events.table.line), self.of_events(&events.column, events.table.line))
            }
            None => (None, None),
        };
        let Audience::Table(table @ TableRef { key, event, line, .. }) = &self.file.audience else {
            return Places { at, expires, event_key, event_at, ..Places::default() };
        };
        let mut own = |wanted: &Wanted| {
            let found = self.tables.rows.map(|(_, find)| find(wanted));
            found.and_then(|found| self.found(found, *line))
        };
        let openid = own(&table.openid());
        let key = key.as_ref().and_then(|key| own(&Wanted::Column(key.clone())));
        let event = event.as_ref().and_then(|event| own(&Wanted::Column(event.clone())));
        Places { openid, key, at, expires, event, event_key, event_at }
    }

    /// A column of the table of events alone.
    fn of_events(&mut self, name: &str, line: u32) -> Option<usize> {
        let (_, find) = self.tables.events?;
        self.found(find(&Wanted::Column(name.to_owned())), line).map(|place| place + self.of_rows)
    }

    fn found(&mut self, found: Result<usize, Problem>, line: u32) -> Option<usize> {
        let tell = |problem: Problem| {
            let place = Place { file: Some(self.file.file.clone()), line: Some(line), ..Place::default() };
            self.problems.push(Problem { place, ..problem });
        };
        found.map_err(tell).ok()
    }

    fn text(&mut self, text: &Text) -> Option<Text<usize>> {
        text.bind(|name| self.column(name, text.line).ok_or(())).ok()
    }

    /// The place of a name, in whichever table has it.
    fn column(&mut self, name: &str, line: u32) -> Option<usize> {
        let Tables { rows, events } = self.tables;
        let (scope, name) = scoped(name, events.is_some());
        let wanted = Wanted::Column(name.to_owned());
        let in_rows = rows.filter(|_| scope != Some(Scope::Event)).map(|(_, find)| find(&wanted));
        let in_events = events.filter(|_| scope != Some(Scope::Row)).map(|(_, find)| find(&wanted));
        let of_rows = self.of_rows;
        let behind = |found: Result<usize, Problem>| found.map(|place| place + of_rows);
        let found = match (in_rows, in_events) {
            (Some(Ok(_)), Some(Ok(_))) => Err(Problem::new("column_twice", say!("column_in_both", name = name))),
            (Some(Ok(place)), _) => Ok(place),
            (_, Some(Ok(place))) => behind(Ok(place)),
            (Some(Err(why)), Some(Err(other))) => Err(if why.code == "no_column" { other } else { why }),
            (Some(Err(why)), None) | (None, Some(Err(why))) => Err(why),
            (None, None) if self.problems.is_empty() && scope.is_none() => {
                self.problems = self.file.without_table();
                return None;
            }
            (None, None) => Err(Problem::new("no_column", say!("column_without_table", name = name))),
        };
        self.found(found, line)
    }
}

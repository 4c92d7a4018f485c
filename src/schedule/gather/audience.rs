//! Who: the rows of a table, a list, or all who have consented; and who not.

use super::{
    Reading,
    happenings::{Happening, Happenings, unknown},
    kept::Rows,
    rows::{Gathering, openid_of, together},
};
use crate::{
    schedule::{
        file::{Audience, Exclude, TableRef},
        row::{Bound, Occurrence, RowRead},
        sheet::{Wanted, cell::Cell},
    },
    store::kept::Part,
};
use std::{collections::HashSet, hash::BuildHasher, io};

impl Gathering<'_> {
    /// Reads everybody; `false` if the file can't be used.
    pub fn everybody(
        &mut self,
        bound: &Bound<'_>,
        rows: Option<Rows<'_>>,
        happenings: &Happenings,
    ) -> io::Result<bool> {
        match (&self.file.audience, rows) {
            (Audience::Table(table), Some(rows)) => self.table(bound, table, rows, happenings),
            (Audience::List(openids), _) => {
                for (number, openid) in (1..).zip(openids) {
                    if let Some(said) = self.said(happenings, |of| bound.person(openid, Some(number), of)) {
                        self.keep(Some(number), said, None)?;
                    }
                }
                Ok(true)
            }
            _ => self.consented(bound, happenings).map(|()| true),
        }
    }

    /// What a row says for each occurrence that is read; `None` if there is none.
    fn said(&self, happenings: &Happenings, read: impl Fn(Option<&Occurrence>) -> RowRead) -> Option<RowRead> {
        match happenings {
            Happenings::Each(each) => {
                let reads = each.iter().map(|each| self.of_occurrence(read(Some(&each.occurrence)), each));
                together(reads)
            }
            _ => Some(read(None)),
        }
    }

    /// What a row says for an occurrence.
    pub fn of_occurrence(&self, read: RowRead, happening: &Happening) -> RowRead {
        let RowRead::Right { mut planned, notes } = read else { return read };
        planned.iter_mut().for_each(|planned| planned.later = happening.later);
        if let Reading::Occurrence { made_up: true, .. } = self.desk.reading {
            // One that is made up for comes once, however many occasions it had.
            let last = planned.iter().map(|planned| planned.at).max();
            planned.retain(|planned| Some(planned.at) == last);
            planned.truncate(1);
        }
        RowRead::Right { planned, notes }
    }

    fn table(
        &mut self,
        bound: &Bound<'_>,
        table: &TableRef,
        mut rows: Rows<'_>,
        happenings: &Happenings,
    ) -> io::Result<bool> {
        let key = table.key.clone().map_or_else(|| table.openid(), Wanted::Column);
        let at_key = rows.column(&key).ok();
        self.key_column = at_key.map(|column| (column, rows.columns().get(column).cloned().unwrap_or_default()));
        let openid = rows.column(&table.openid()).ok();
        let names = rows.columns().to_vec();
        let places = self.places(&rows, &self.file.wanted(&|_| false));
        loop {
            let row = match rows.next()? {
                Ok(Some(row)) => row,
                Ok(None) => break,
                Err(problem) => {
                    self.problem(problem);
                    return Ok(false);
                }
            };
            let said = match happenings {
                Happenings::Joined(events) => match bound.event_of(&row) {
                    Ok(event) => match events.get(&event).and_then(Option::as_ref) {
                        Some(occurrence) => bound.row(&row, Some(occurrence)),
                        None => bound.without_event(&row, unknown(events, &event)),
                    },
                    Err(refused) => refused,
                },
                happenings => {
                    let Some(said) = self.said(happenings, |of| bound.row(&row, of)) else { continue };
                    said
                }
            };
            let before = self.rows.len();
            self.keep(Some(row.number), said, Some(&table.file))?;
            if self.rows.len() > before && self.rows[before].right {
                let index = u32::try_from(before).unwrap_or(u32::MAX);
                let cell = openid.and_then(|place| row.cells.get(place)).unwrap_or(&Cell::Blank);
                self.keep_row(Part::Audience, (&names, &places), &row, (Some(index), Some(openid_of(cell))))?;
            }
        }
        self.plan.notes.extend(rows.notes());
        Ok(true)
    }

    fn consented(&mut self, bound: &Bound<'_>, happenings: &Happenings) -> io::Result<()> {
        let (desk, file, digest) = (self.desk, self.file, self.plan.digest.clone());
        let Happenings::Each(each) = happenings else {
            let mut seen = HashSet::new();
            return desk.asks.consented(file, &mut |openid| {
                if seen.insert(self.hash.hash_one(openid.as_str())) {
                    self.keep(None, bound.person(&openid, None, None), None)?;
                }
                Ok(())
            });
        };
        if let Reading::Occurrence { pages, .. } = desk.reading {
            return each.iter().try_for_each(|each| self.in_pages(bound, each, pages));
        }
        for each in each {
            let mut seen = HashSet::new();
            let mut take = |openid: String| {
                if seen.insert(self.hash.hash_one(openid.as_str())) {
                    let read = bound.person(&openid, None, Some(&each.occurrence));
                    let read = self.of_occurrence(read, each);
                    self.keep(None, read, None)?;
                }
                Ok(())
            };
            if each.prepared {
                desk.asks.people(file, &digest, &each.occurrence.name, &mut take)?;
            }
            if !each.prepared {
                desk.asks.consented(file, &mut take)?;
            }
        }
        Ok(())
    }

    /// Whom the file leaves out; `false` if it can't be used.
    pub fn leave_out(&mut self) -> io::Result<bool> {
        match &self.file.exclude {
            None => Ok(true),
            Some(Exclude::List(openids)) => {
                self.excluded = openids.iter().map(|openid| self.hash.hash_one(openid.as_str())).collect();
                Ok(true)
            }
            Some(Exclude::Table(table)) => {
                let wanted = table.openid();
                let opened = self.open(table, std::slice::from_ref(&wanted), Part::Exclude)?;
                let Some(mut rows) = opened else { return Ok(false) };
                let column = match rows.column(&wanted) {
                    Ok(column) => column,
                    Err(problem) => {
                        self.problem(problem);
                        return Ok(false);
                    }
                };
                let names = rows.columns().to_vec();
                loop {
                    match rows.next()? {
                        Ok(Some(row)) => {
                            let openid = openid_of(row.cells.get(column).unwrap_or(&Cell::Blank));
                            self.excluded.insert(self.hash.hash_one(openid.as_str()));
                            self.keep_row(Part::Exclude, (&names, &[column]), &row, (None, Some(openid)))?;
                        }
                        Ok(None) => return Ok(true),
                        Err(problem) => {
                            self.problem(problem);
                            return Ok(false);
                        }
                    }
                }
            }
        }
    }
}

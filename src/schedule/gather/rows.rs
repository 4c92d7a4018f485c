//! What each row says, and those that say the same.

use super::{
    Desk, Input, Reading,
    kept::{Keeping, Rows, ToKeep},
};
use crate::{
    domain::{Millis, draft::Terms, schedule::Planned},
    schedule::{
        file::{Audience, File, scoped},
        plan::Plan,
        problem::{Place, Problem},
        recur::{Look, Occurring},
        row::RowRead,
        sheet::{
            Wanted,
            cell::{Cell, Row},
            cell_name,
        },
        spool::{Spool, Spooled},
    },
    store::kept::Part,
    words::say,
};
use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, Hash, RandomState},
    io,
};
use unicode_normalization::UnicodeNormalization;

/// Reminders that one schedule may have.
pub const REMINDERS: usize = 10_000_000;
/// Rows between two words of progress.
const PROGRESS: u64 = 10_000;

/// What is kept of a row until all are read.
pub struct ReadRow {
    number: Option<u32>,
    key: u64,
    content: u64,
    /// Nothing is wrong with it.
    pub right: bool,
    /// Another row says the same, and counts in its place.
    again: bool,
}

/// All that was read.
pub struct Read {
    /// The reminders, without those of refused rows.
    pub spooled: Spooled,
    /// The number in its sheet of each row.
    pub numbers: Vec<Option<u32>>,
    /// The occurrences that the rows were read for.
    pub occurring: Vec<Occurring>,
    /// What becomes of the occurrences.
    pub look: Option<Look>,
    /// The latest deadline.
    pub ends: Option<Millis>,
    /// Rows for occurrences to come.
    pub to_keep: Option<ToKeep>,
}

/// A file that is being read.
pub struct Gathering<'a> {
    pub input: &'a Input,
    pub desk: &'a Desk<'a>,
    pub file: &'a File,
    pub plan: Plan,
    spool: Spool,
    pub rows: Vec<ReadRow>,
    /// What is refused beside the rows: events, and those who are handed on in pages.
    pub refused_beside: u64,
    pub excluded: HashSet<u64>,
    occasions: Vec<String>,
    /// The places of the occurrences, in the order in which consents are given out.
    ranks: HashMap<String, usize>,
    pub hash: RandomState,
    pub key_column: Option<(usize, String)>,
    keeping: Option<Keeping>,
    pub occurring: Vec<Occurring>,
    pub look: Option<Look>,
    ends: Option<Millis>,
}

impl<'a> Gathering<'a> {
    /// Nothing is read yet.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn new(input: &'a Input, desk: &'a Desk<'a>, file: &'a File, plan: Plan) -> io::Result<Self> {
        let keeps = file.is_recurring() && matches!(desk.reading, Reading::Whole);
        Ok(Self {
            input,
            desk,
            file,
            plan,
            spool: Spool::new()?,
            rows: Vec::new(),
            refused_beside: 0,
            excluded: HashSet::new(),
            occasions: file.at.entries.iter().map(|entry| entry.name()).collect(),
            ranks: HashMap::new(),
            hash: RandomState::new(),
            key_column: None,
            keeping: if keeps { Some(Keeping::new()?) } else { None },
            occurring: Vec::new(),
            look: None,
            ends: None,
        })
    }

    /// Reads everything; nothing if the file can't be used.
    ///
    /// # Errors
    /// Those of the disk and of the store.
    pub fn run(mut self, terms: &Terms<'_>) -> io::Result<(Plan, Option<Read>)> {
        let usable = self.read(terms)?;
        self.plan.rows.right = self.rows.iter().filter(|row| row.right).count() as u64;
        self.plan.rows.refused = self.rows.len() as u64 - self.plan.rows.right + self.refused_beside;
        self.plan.rows.read = self.rows.len() as u64 + self.plan.rows.excluded + self.refused_beside;
        let Self { plan, spool, rows, keeping, occurring, look, ends, .. } = self;
        if !usable {
            return Ok((plan, None));
        }
        let keeps: Vec<bool> = rows.iter().map(|row| row.right && !row.again).collect();
        let numbers = rows.iter().map(|row| row.number).collect();
        drop(rows);
        let spooled = spool.finish(|row| keeps[row as usize])?;
        let to_keep = keeping.map(|keeping| keeping.finish(keeps)).transpose()?;
        Ok((plan, Some(Read { spooled, numbers, occurring, look, ends, to_keep })))
    }

    fn read(&mut self, terms: &Terms<'_>) -> io::Result<bool> {
        let only_looks = matches!(self.desk.reading, Reading::Look(_));
        let mut usable = only_looks || self.leave_out()?;
        let Some(mut opened) = self.tables()? else { return Ok(false) };
        let Some(bound) = self.bind(&opened, terms) else { return Ok(false) };
        let Some(happenings) = self.happenings(&bound, opened.events.take())? else { return Ok(false) };
        if only_looks {
            return Ok(true);
        }
        let ranked = self.occurring.iter().enumerate().filter(|_| self.file.is_recurring());
        self.ranks = ranked.map(|(rank, occurring)| (occurring.name.clone(), rank)).collect();
        usable &= self.everybody(&bound, opened.audience.take(), &happenings)?;
        let may_be_empty = matches!(self.file.audience, Audience::Consented) || self.occurring.is_empty();
        let needs_rows =
            !may_be_empty || !self.file.is_recurring() && !matches!(self.file.audience, Audience::Consented);
        if usable && self.rows.is_empty() && needs_rows {
            self.problem(Problem::new("no_rows", say!("no_rows_in_file")));
            usable = false;
        }
        if usable && self.spool.written() > REMINDERS {
            self.problem(Problem::new("too_large", say!("too_many_reminders", most = REMINDERS)));
            usable = false;
        }
        if usable {
            self.refuse_duplicates();
        }
        Ok(usable)
    }

    /// The file can't be used.
    pub fn problem(&mut self, problem: Problem) {
        self.plan.refuse(problem);
    }

    /// The places of the wanted columns in a table.
    pub fn places(&self, rows: &Rows<'_>, wanted: &[Wanted]) -> Vec<usize> {
        let has_events = self.file.events().is_some();
        // A plain name may be in either table.
        let named = self.file.columns().map(|(name, _)| Wanted::Column(scoped(name, has_events).1.to_owned()));
        let all = wanted.iter().cloned().chain(named);
        let mut places: Vec<usize> = all.filter_map(|wanted| rows.column(&wanted).ok()).collect();
        places.sort_unstable();
        places.dedup();
        places
    }

    /// Keeps a row for occurrences to come, if there are any.
    pub fn keep_row(
        &mut self,
        part: Part,
        (names, places): (&[String], &[usize]),
        row: &Row,
        of: (Option<u32>, Option<String>),
    ) -> io::Result<()> {
        match &mut self.keeping {
            Some(keeping) => keeping.add(part, names, places, row, of),
            None => Ok(()),
        }
    }

    /// Takes in what a row says.
    pub fn keep(&mut self, number: Option<u32>, said: RowRead, table: Option<&str>) -> io::Result<()> {
        let read = self.rows.len() as u64 + self.plan.rows.excluded;
        if read % PROGRESS == PROGRESS - 1 {
            (self.desk.progress)(read + 1);
        }
        let index = u32::try_from(self.rows.len()).unwrap_or(u32::MAX);
        let named = |mut problem: Problem| {
            problem.place.file = problem.place.file.or_else(|| table.map(str::to_owned));
            problem
        };
        match said {
            RowRead::Right { planned, notes } => {
                let Some(first) = planned.first() else { return Ok(()) };
                let user = self.hash.hash_one(first.openid.as_str());
                if self.excluded.contains(&user) {
                    self.plan.rows.excluded += 1;
                    return Ok(());
                }
                let key = self.key(first);
                self.ends = self.ends.max(planned.iter().map(|planned| planned.expires_at).max());
                let content = self.hash.hash_one(planned.iter().map(content).collect::<Vec<_>>());
                self.plan.notes.extend(notes.into_iter().map(named));
                let (occasions, ranks) = (&self.occasions, &self.ranks);
                let place = |planned: &Planned| {
                    let rank = ranks.get(&planned.occurrence).copied().unwrap_or(0);
                    let occasion = occasions.iter().position(|name| *name == planned.occasion).unwrap_or(0);
                    rank * occasions.len().max(1) + occasion
                };
                // Beyond its bound it grows no further, and the file is refused at its end.
                if self.spool.written() <= REMINDERS {
                    self.spool.add(index, user, &planned, place)?;
                }
                self.rows.push(ReadRow { number, key, content, right: true, again: false });
            }
            RowRead::Refused { openid, key, problems } => {
                if openid.as_ref().is_some_and(|openid| self.excluded.contains(&self.hash.hash_one(openid.as_str()))) {
                    self.plan.rows.excluded += 1;
                    return Ok(());
                }
                self.plan.problems.extend(problems.into_iter().map(named));
                // It is like no other row.
                let unlike = self.hash.hash_one(("refused", index));
                let key = key.map_or(unlike, |key| self.hash.hash_one((key.as_str(), "")));
                self.rows.push(ReadRow { number, key, content: unlike, right: false, again: false });
            }
        }
        Ok(())
    }

    /// By what a row is known again: its key; where that is the openid, each of a user's events has a row of its own.
    fn key(&self, planned: &Planned) -> u64 {
        let own_key = matches!(&self.file.audience, Audience::Table(table) if table.key.is_some());
        let by_event = self.file.is_joined() || matches!(self.file.audience, Audience::Consented);
        let occurrence = if by_event && !own_key { planned.occurrence.as_str() } else { "" };
        self.hash.hash_one((planned.key.as_str(), occurrence))
    }

    /// Of two rows with one key the first counts if they say the same; else neither does.
    fn refuse_duplicates(&mut self) {
        let mut order: Vec<u32> = (0..u32::try_from(self.rows.len()).unwrap_or(u32::MAX)).collect();
        order.sort_unstable_by_key(|i| (self.rows[*i as usize].key, *i));
        let (mut refused, mut twice) = (Vec::new(), Vec::new());
        for same in order.chunk_by(|a, b| self.rows[*a as usize].key == self.rows[*b as usize].key) {
            if same.len() < 2 {
                continue;
            }
            let first = &self.rows[same[0] as usize];
            match same.iter().all(|i| self.rows[*i as usize].content == first.content) {
                true => twice.extend_from_slice(&same[1..]),
                false => refused.extend(same.iter().map(|i| (*i, if *i == same[0] { same[1] } else { same[0] }))),
            }
        }
        refused.sort_unstable();
        twice.sort_unstable();
        for (i, other) in refused {
            let other = self.rows[other as usize].number;
            let problem = self.at_key(i, Problem::new("duplicate_key", say!("duplicate_key", other = other)));
            self.rows[i as usize].right = false;
            self.plan.problems.push(problem);
        }
        for i in twice {
            let note = self.at_key(i, Problem::new("same_row_twice", say!("same_row_twice")));
            self.plan.notes.push(note);
            self.rows[i as usize].again = true;
        }
    }

    fn at_key(&self, row: u32, mut problem: Problem) -> Problem {
        let number = self.rows[row as usize].number;
        problem.place = Place { row: number, ..Place::default() };
        if let (Some((column, name)), Some(number)) = (&self.key_column, number) {
            problem.place.file = match &self.file.audience {
                Audience::Table(table) => Some(table.file.clone()),
                _ => None,
            };
            problem.place.column = Some(name.clone());
            problem.place.cell = Some(cell_name(*column, number));
        }
        problem
    }
}

/// What a row says for several occurrences: all of it, or everything that is wrong with it. `None` of none.
pub fn together(reads: impl Iterator<Item = RowRead>) -> Option<RowRead> {
    let mut all: Option<RowRead> = None;
    for read in reads {
        all = Some(match (all, read) {
            (None, read) => read,
            (Some(RowRead::Right { mut planned, mut notes }), RowRead::Right { planned: more, notes: noted }) => {
                planned.extend(more);
                notes.extend(noted.into_iter().filter(|note| !notes.contains(note)).collect::<Vec<_>>());
                RowRead::Right { planned, notes }
            }
            (Some(refused @ RowRead::Refused { .. }), RowRead::Right { .. })
            | (Some(RowRead::Right { .. }), refused @ RowRead::Refused { .. }) => refused,
            (Some(RowRead::Refused { openid, key, mut problems }), RowRead::Refused { problems: more, .. }) => {
                let place = |problem: &Problem| (problem.code, problem.place.clone(), problem.param.clone());
                let known: Vec<_> = problems.iter().map(place).collect();
                problems.extend(more.into_iter().filter(|problem| !known.contains(&place(problem))));
                RowRead::Refused { openid, key, problems }
            }
        });
    }
    all
}

/// Some names for a sentence.
pub fn listed<'n>(names: impl Iterator<Item = &'n String>) -> Vec<String> {
    names.take(10).cloned().collect()
}

/// All that is used of a row.
fn content(planned: &Planned) -> impl Hash {
    let Planned { row: _, key: _, openid, occasion, occurrence, later: _, event, at, expires_at, moves: _, page, data } =
        planned;
    (openid, occasion, occurrence, event, at, expires_at, page, data)
}

/// The openid in a cell, as it is compared.
pub fn openid_of(cell: &Cell) -> String {
    cell.text().nfkc().collect::<String>().trim().to_owned()
}

//! A file and its tables become reminders on disk, and all that is wrong with them: everything that can be said without a look at what is
//! stored. It blocks, so it has a thread of its own.

use super::{
    file::{self, Audience, Exclude, File, TableRef},
    plan::Plan,
    problem::{Place, Problem},
    row::{self, Bound, RowRead},
    sheet::{self, Reader, Source, Table, Wanted, cell::Cell, cell_name},
    spool::{Spool, Spooled},
};
use crate::{
    config::App,
    domain::{Millis, draft::Terms, schedule::Planned, template::Listing, timing::cut},
    words::say,
};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, HashSet},
    hash::{BuildHasher, Hash, RandomState},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};
use unicode_normalization::UnicodeNormalization;

/// Reminders that one schedule may have.
const REMINDERS: usize = 10_000_000;
/// Rows between two words of progress.
const PROGRESS: u64 = 10_000;

/// What was handed in: the text of the file, and where each of its tables lies.
#[derive(Debug, Clone, Default)]
pub struct Input {
    /// The TOML.
    pub text: String,
    /// The line of its first character that is not UTF-8.
    pub not_utf8: Option<u32>,
    /// The file's name, for people.
    pub name: String,
    /// Where the file lies, if it came from this machine.
    pub path: Option<String>,
    /// The tables by the names that the file calls them.
    pub tables: BTreeMap<String, PathBuf>,
    /// A name that leads out of the file's folder is refused: it comes from the network, or from the watched folder.
    pub inside: bool,
    /// Whether a file came at all.
    pub has_schedule: bool,
}

/// Whether the name of a table leads out of the folder of its schedule.
pub fn leads_out(name: &str) -> bool {
    Path::new(name).is_absolute() || name.split(['/', '\\']).any(|part| part == "..")
}

/// The text of a schedule's file without its byte order mark, and the line of its first character that is not UTF-8.
pub fn text(bytes: &[u8]) -> (String, Option<u32>) {
    let fault = std::str::from_utf8(bytes).err();
    let lines = fault.map(|fault| bytes[..fault.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1);
    let line = lines.map(|lines| u32::try_from(lines).unwrap_or(u32::MAX));
    (String::from_utf8_lossy(bytes).trim_start_matches('\u{feff}').to_owned(), line)
}

/// Takes in an openid.
pub type Sink<'s> = dyn FnMut(String) -> io::Result<()> + 's;
/// Hands over whom a file for all who have consented is about.
pub type Consented<'c> = dyn Fn(&File, &mut Sink<'_>) -> io::Result<()> + 'c;

/// What reading a file needs beside it.
pub struct Desk<'a> {
    /// The apps of the configuration.
    pub apps: &'a [App],
    /// What the platform has listed of an app's templates.
    pub listing: &'a dyn Fn(&str) -> Option<Arc<Listing>>,
    /// How tables are read.
    pub reader: &'a Reader,
    /// The users who have consented and those that the schedule has planned before, handed to the sink; for `audience = "consented"`.
    pub consented: &'a Consented<'a>,
    /// Told how many rows were read.
    pub progress: &'a dyn Fn(u64),
    /// Now.
    pub now: Millis,
}

/// All that a file says.
pub struct Gathered {
    /// The file.
    pub file: File,
    /// What its rows say.
    pub said: Said,
}

/// What the rows of a file say.
pub struct Said {
    /// Their reminders, without those of refused rows.
    pub spooled: Spooled,
    /// The number in its sheet of each row that was read.
    pub numbers: Vec<Option<u32>>,
    /// What all reminders have in common, for their digests.
    pub extra: String,
}

/// What is kept of a row until all are read.
struct ReadRow {
    number: Option<u32>,
    key: u64,
    content: u64,
    right: bool,
    /// Another row says the same, and counts in its place.
    again: bool,
}

/// Reads a file whole. The plan has what can be said so far; nothing is gathered if the file can't be used.
///
/// # Errors
/// Those of the disk that holds what was read.
pub fn gather(input: &Input, desk: &Desk<'_>) -> io::Result<(Plan, Option<Gathered>)> {
    let mut plan = Plan { from: input.name.clone(), digest: digest(input)?, ..Plan::default() };
    if let Some(line) = input.not_utf8 {
        let place = Place { file: Some(input.name.clone()), line: Some(line), ..Place::default() };
        plan.refuse(Problem { place, ..Problem::new("bad_toml", say!("toml_not_utf8")) });
        return Ok((plan, None));
    }
    let names = file::Names { apps: desk.apps, listings: desk.listing };
    let file = match file::read(&input.text, &input.name, &names) {
        Ok(file) => file,
        Err(refused) => {
            (plan.schedule, plan.app, plan.template) = (refused.name, refused.app, refused.template);
            plan.refuse_all(refused.problems);
            return Ok((plan, None));
        }
    };
    plan.schedule = Some(file.name.clone());
    plan.app = Some(file.app.clone());
    plan.template = Some(file.template_named.clone());
    plan.strict = file.strict;
    plan.zone = Some(file.zone);
    let app = desk.apps.iter().find(|app| app.name == file.app).expect("the file was checked");
    plan.rate = app.rate;
    plan.test_mode = app.rules.testers.is_some();
    let listing = (desk.listing)(&file.app);
    let terms = app.terms(listing.as_deref());
    let mut gathering = Gathering::new(input, desk, &file, plan)?;
    let done = gathering.run(&terms)?;
    let Gathering { mut plan, spool, rows, .. } = gathering;
    plan.notes.sort();
    if !done {
        return Ok((plan, None));
    }
    plan.problems.sort();
    let keeps: Vec<bool> = rows.iter().map(|row| row.right && !row.again).collect();
    let numbers = rows.iter().map(|row| row.number).collect();
    drop(rows);
    let spooled = spool.finish(|row| keeps[row as usize])?;
    let extra = extra(&file);
    Ok((plan, Some(Gathered { file, said: Said { spooled, numbers, extra } })))
}

/// What the file says for all of its reminders.
fn extra(file: &File) -> String {
    let options: Vec<String> = file.options.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("{}\0{:?}\0{}", file.template, file.claims, options.join("\0"))
}

/// SHA-256 of the file and of each table that it may name, in hex.
pub(super) fn digest(input: &Input) -> io::Result<String> {
    let mut hash = Sha256::new();
    hash.update(&input.text);
    let mut buffer = vec![0; 1 << 16];
    for (name, path) in &input.tables {
        hash.update(format!("\0{name}\0"));
        // What can't be read is told where it is used.
        let Ok(mut table) = std::fs::File::open(path) else { continue };
        loop {
            match table.read(&mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(n) => hash.update(&buffer[..n]),
            }
        }
    }
    Ok(HEXLOWER.encode(&hash.finalize()))
}

struct Gathering<'a> {
    input: &'a Input,
    desk: &'a Desk<'a>,
    file: &'a File,
    plan: Plan,
    spool: Spool,
    rows: Vec<ReadRow>,
    excluded: HashSet<u64>,
    occasions: Vec<String>,
    hash: RandomState,
    key_column: Option<(usize, String)>,
}

impl<'a> Gathering<'a> {
    fn new(input: &'a Input, desk: &'a Desk<'a>, file: &'a File, plan: Plan) -> io::Result<Self> {
        Ok(Self {
            input,
            desk,
            file,
            plan,
            spool: Spool::new()?,
            rows: Vec::new(),
            excluded: HashSet::new(),
            occasions: file.at.entries.iter().map(|entry| entry.name()).collect(),
            hash: RandomState::new(),
            key_column: None,
        })
    }

    /// Reads everything; `false` if the file can't be used.
    fn run(&mut self, terms: &Terms<'_>) -> io::Result<bool> {
        let mut usable = self.exclude()?;
        match &self.file.audience {
            Audience::Consented => usable &= self.consented(terms)?,
            Audience::List(openids) => usable &= self.list(terms, openids)?,
            Audience::Table(table) => usable &= self.table(terms, table)?,
        }
        if usable && self.rows.is_empty() && !matches!(self.file.audience, Audience::Consented) {
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
        self.plan.rows.right = self.rows.iter().filter(|row| row.right).count() as u64;
        self.plan.rows.refused = self.rows.len() as u64 - self.plan.rows.right;
        self.plan.rows.read = self.rows.len() as u64 + self.plan.rows.excluded;
        Ok(usable)
    }

    /// The file can't be used.
    fn problem(&mut self, problem: Problem) {
        self.plan.refuse(problem);
    }

    /// Whom the file leaves out.
    fn exclude(&mut self) -> io::Result<bool> {
        match &self.file.exclude {
            None => Ok(true),
            Some(Exclude::List(openids)) => {
                self.excluded = openids.iter().map(|openid| self.hash.hash_one(openid.as_str())).collect();
                Ok(true)
            }
            Some(Exclude::Table(table)) => {
                let wanted = table.openid();
                let Some(mut read) = self.open(table, std::slice::from_ref(&wanted)) else { return Ok(false) };
                let column = match read.column(&wanted) {
                    Ok(column) => column,
                    Err(problem) => {
                        self.problem(problem);
                        return Ok(false);
                    }
                };
                loop {
                    match read.next() {
                        Ok(Some(row)) => {
                            let openid = openid_of(row.cells.get(column).unwrap_or(&Cell::Blank));
                            self.excluded.insert(self.hash.hash_one(openid.as_str()));
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

    /// Opens a table, or tells why it can't be read.
    fn open(&mut self, table: &TableRef, wanted: &[Wanted]) -> Option<Table> {
        // That the file names no table that is there is a mistake of the file; all else is found in the table.
        let at_line = |problem: Problem| self.file.problem(problem.code, table.line, problem.detail);
        if self.input.inside && leads_out(&table.file) {
            self.problem(at_line(Problem::new("outside_folder", say!("outside_folder", name = cut(&table.file)))));
            return None;
        }
        let Some(path) = self.input.tables.get(&table.file) else {
            let known: Vec<&String> = self.input.tables.keys().collect();
            let detail = match known.is_empty() {
                true => say!("no_table_file", name = table.file),
                false => say!("no_table_file_among", name = table.file, known = known),
            };
            self.problem(at_line(Problem::new("no_file", detail)));
            return None;
        };
        match sheet::open(self.desk.reader, &Source { path, name: &table.file }, &table.spec, wanted) {
            Ok(read) => {
                self.plan.tables.push(read.about().clone());
                Some(read)
            }
            Err(problems) => {
                self.plan.refuse_all(problems);
                None
            }
        }
    }

    fn table(&mut self, terms: &Terms<'_>, table: &TableRef) -> io::Result<bool> {
        let Some(mut read) = self.open(table, &self.file.wanted()) else { return Ok(false) };
        let bound = {
            let columns = &read.about().columns;
            let find = |wanted: &Wanted| read.column(wanted);
            row::bind(self.file, terms, Some((columns, &find)), self.desk.now)
        };
        let bound = match bound {
            Ok(bound) => {
                self.plan.notes.extend(bound.notes().iter().cloned());
                bound
            }
            Err(problems) => {
                self.plan.refuse_all(problems);
                return Ok(false);
            }
        };
        let key = table.key.clone().map_or_else(|| table.openid(), Wanted::Column);
        self.key_column = read
            .column(&key)
            .ok()
            .map(|column| (column, read.about().columns.get(column).cloned().unwrap_or_default()));
        loop {
            match read.next() {
                Ok(Some(row)) => {
                    let said = bound.row(&row);
                    self.keep(Some(row.number), said, Some(&table.file))?;
                }
                Ok(None) => break,
                Err(problem) => {
                    self.problem(problem);
                    return Ok(false);
                }
            }
        }
        self.plan.notes.extend(read.notes());
        Ok(true)
    }

    fn bind<'b>(&mut self, terms: &'b Terms<'b>) -> Option<Bound<'b>>
    where
        'a: 'b,
    {
        let bound =
            row::bind(self.file, terms, None, self.desk.now).map_err(|problems| self.plan.refuse_all(problems)).ok()?;
        self.plan.notes.extend(bound.notes().iter().cloned());
        Some(bound)
    }

    fn list(&mut self, terms: &Terms<'_>, openids: &[String]) -> io::Result<bool> {
        let Some(bound) = self.bind(terms) else { return Ok(false) };
        for (number, openid) in (1..).zip(openids) {
            self.keep(Some(number), bound.person(openid, Some(number)), None)?;
        }
        Ok(true)
    }

    fn consented(&mut self, terms: &Terms<'_>) -> io::Result<bool> {
        let Some(bound) = self.bind(terms) else { return Ok(false) };
        let (desk, file) = (self.desk, self.file);
        let mut seen = HashSet::new();
        (desk.consented)(file, &mut |openid| {
            if seen.insert(self.hash.hash_one(openid.as_str())) {
                self.keep(None, bound.person(&openid, None), None)?;
            }
            Ok(())
        })?;
        Ok(true)
    }

    /// Takes in what a row says.
    fn keep(&mut self, number: Option<u32>, said: RowRead, table: Option<&str>) -> io::Result<()> {
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
                let user = self.hash.hash_one(planned[0].openid.as_str());
                if self.excluded.contains(&user) {
                    self.plan.rows.excluded += 1;
                    return Ok(());
                }
                let key = self.hash.hash_one(planned[0].key.as_str());
                let content = self.hash.hash_one(planned.iter().map(content).collect::<Vec<_>>());
                self.plan.notes.extend(notes.into_iter().map(named));
                let occasions = &self.occasions;
                let place =
                    |planned: &Planned| occasions.iter().position(|name| *name == planned.occasion).unwrap_or(0);
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
                let key = key.map_or(unlike, |key| self.hash.hash_one(key.as_str()));
                self.rows.push(ReadRow { number, key, content: unlike, right: false, again: false });
            }
        }
        Ok(())
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

/// All that is used of a row.
fn content(planned: &Planned) -> impl Hash {
    let Planned { row: _, key: _, openid, occasion, occurrence, later: _, event, at, expires_at, moves: _, page, data } =
        planned;
    (openid, occasion, occurrence, event, at, expires_at, page, data)
}

/// The openid in a cell, as it is compared.
fn openid_of(cell: &Cell) -> String {
    cell.text().nfkc().collect::<String>().trim().to_owned()
}

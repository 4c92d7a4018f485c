//! A file and its tables become reminders on disk, and all that is wrong with them: everything that can be said without a look at what is
//! stored. It blocks, so it has a thread of its own.
//!
//! ```text
//! tables     the tables are opened, and the columns found
//! happenings the occurrences that the rows are read for
//! audience   who
//! pages      all who have consented, handed on page by page
//! rows       what each row says, and those that say the same
//! kept       rows that a recurring schedule keeps
//! ```

mod audience;
mod happenings;
pub mod kept;
mod pages;
mod rows;
mod tables;

use super::{
    file::{self, File},
    plan::Plan,
    problem::{Place, Problem},
    recur::{Look, Occurring, Stored},
    sheet::Reader,
    spool::Spooled,
};
use crate::{
    config::App,
    domain::{Millis, template::Listing},
    words::say,
};
use data_encoding::HEXLOWER;
use kept::{Pages, ToKeep};
pub use pages::Page;
use rows::Gathering;
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::sync::mpsc;

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
/// What reading a file asks of the store.
pub trait Asks {
    /// Whom a file for all who have consented is about: those, and, of a schedule that does not recur, those that it has planned before.
    ///
    /// # Errors
    /// Those of the store.
    fn consented(&self, file: &File, sink: &mut Sink<'_>) -> io::Result<()>;

    /// What is stored of a schedule that recurs. Another digest than the last file's ends its shift, and what was before is not its own.
    ///
    /// # Errors
    /// Those of the store.
    fn recurring(&self, file: &File, digest: &str) -> io::Result<Stored>;

    /// At most so many of those who have consented, who became known after a place, with the place of each; none behind the last.
    ///
    /// # Errors
    /// Those of the store.
    fn consented_after(&self, file: &File, after: i64, most: usize) -> io::Result<Vec<(i64, String)>>;

    /// Whom an occurrence that is prepared is about, without those whom a load has taken off. `digest` is the file's.
    ///
    /// # Errors
    /// Those of the store.
    fn people(&self, file: &File, digest: &str, occurrence: &str, sink: &mut Sink<'_>) -> io::Result<()>;
}

/// What a file is read for.
#[derive(Clone, Copy)]
pub enum Reading<'a> {
    /// To plan or load it: what is prepared of it is read, and its next occurrence.
    Whole,
    /// To see which of its occurrences are due. Its tables are those that were kept.
    Look(Pages<'a>),
    /// To prepare one occurrence. Its tables are those that were kept.
    Occurrence {
        /// Its name.
        name: &'a str,
        /// It is made up for: its last occasion alone is read.
        made_up: bool,
        /// What was kept.
        kept: Pages<'a>,
        /// Where those who have consented are handed to.
        pages: &'a mpsc::Sender<Page>,
    },
}

impl<'a> Reading<'a> {
    /// The tables that were kept, if those are read.
    pub fn kept(self) -> Option<Pages<'a>> {
        match self {
            Self::Whole => None,
            Self::Look(kept) | Self::Occurrence { kept, .. } => Some(kept),
        }
    }
}

/// What reading a file needs beside it.
pub struct Desk<'a> {
    /// The apps of the configuration.
    pub apps: &'a [App],
    /// What the platform has listed of an app's templates.
    pub listing: &'a dyn Fn(&str) -> Option<Arc<Listing>>,
    /// How tables are read.
    pub reader: &'a Reader,
    /// What is stored.
    pub asks: &'a dyn Asks,
    /// What the file is read for.
    pub reading: Reading<'a>,
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
    /// Its occurrences, if it has any: those that its rows were read for.
    pub occurring: Vec<Occurring>,
    /// What becomes of its occurrences, if they are prepared one by one, or are events that its rows name.
    pub look: Option<Look>,
    /// The latest deadline of its reminders.
    pub ends: Option<Millis>,
    /// The rows that its occurrences to come are prepared by.
    pub to_keep: Option<ToKeep>,
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
    if file.is_recurring() || file.is_joined() {
        plan.recurs = happenings::said(&file);
    }
    let gathering = Gathering::new(input, desk, &file, plan)?;
    let (mut plan, read) = gathering.run(&terms)?;
    plan.notes.sort();
    let Some(read) = read else { return Ok((plan, None)) };
    plan.problems.sort();
    let extra = extra(&file);
    let said = Said { spooled: read.spooled, numbers: read.numbers, extra };
    let (occurring, look, ends, to_keep) = (read.occurring, read.look, read.ends, read.to_keep);
    Ok((plan, Some(Gathered { file, said, occurring, look, ends, to_keep })))
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

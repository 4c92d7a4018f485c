//! How a file of CSV is read: its encoding, its delimiter, its header.

use super::{
    super::{
        cell::Row,
        header::{Header, LOOKED_AT},
        spec::{Encoding, TableSpec, Wanted, may_delimit},
    },
    cells::row,
    records::{Record, Records},
    source::{Coding, Text, unreadable},
    survey::{Survey, survey},
};
use crate::{schedule::problem::Problem, words::say};
use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
};

/// The rows among which a header is looked for end after so many bytes.
const MAX_HEAD_BYTES: u64 = 16 << 20;

/// What was chosen.
#[derive(Debug)]
pub struct Chosen {
    /// The encoding.
    pub coding: Coding,
    /// It could have been another.
    pub guessed: bool,
    /// The delimiter.
    pub delimiter: u8,
    /// The header.
    pub header: Header,
    /// How many bytes the file has.
    pub bytes: u64,
}

/// How the header looks with a delimiter.
type Way = (u8, Header);

/// What the delimiters make of a file.
struct Ways {
    found: Vec<Way>,
    /// Why one of them could not be tried to the end.
    trouble: Option<Problem>,
}

/// A cell with more characters is no column's name: the row's end is missing.
const MAX_NAME_CHARS: usize = 4_096;

/// Chooses by the whole file and by the columns that the schedule names.
///
/// # Errors
/// `encoding_unclear`, `no_header`, or what stands in the way of reading it.
pub fn choose(file: &mut File, start: &[u8], spec: &TableSpec, wanted: &[Wanted]) -> Result<Chosen, Problem> {
    let utf16 = super::super::file::utf16(start).map(|little| Coding { encoding: Encoding::Utf16, little });
    let marked = match start {
        [0xef, 0xbb, 0xbf, ..] => Some(Encoding::Utf8.into()),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => utf16,
        _ => None,
    };
    let said = spec.encoding.map(|encoding| match encoding {
        Encoding::Utf16 => utf16.unwrap_or(encoding.into()),
        _ => encoding.into(),
    });
    let known = marked.or(said).or(utf16);
    let codings = known.map_or_else(
        || [Encoding::Utf8, Encoding::Gb18030, Encoding::Big5].map(Coding::from).to_vec(),
        |known| vec![known],
    );
    rewind(file)?;
    let seen = survey(&mut *file, &codings)?;
    let (coding, guessed) = match known {
        Some(known) if seen.valid.is_empty() => {
            let what = say!("encoding_invalid", encoding = known.encoding.word());
            return Err(Problem::new("encoding_unclear", what));
        }
        Some(known) => (known, false),
        None => among(file, &seen, spec, wanted)?,
    };
    let Ways { found, trouble } = ways(file, coding, spec, wanted)?;
    let Some((delimiter, header)) = best(found, wanted) else {
        return Err(trouble.unwrap_or_else(|| no_header(spec)));
    };
    Ok(Chosen { coding, guessed, delimiter, header, bytes: seen.bytes })
}

/// No row has content, or not the one that the schedule says.
fn no_header(spec: &TableSpec) -> Problem {
    match spec.header {
        Some(row) => Problem::new("no_header", say!("header_row_blank", row = row)).in_row(row),
        None => Problem::new("no_header", say!("header_missing", rows = LOOKED_AT)),
    }
}

fn rewind(file: &mut File) -> Result<(), Problem> {
    file.seek(SeekFrom::Start(0)).map(drop).map_err(|e| unreadable(&e))
}

/// One of UTF-8, GB18030 and Big5, and whether that is a guess.
fn among(file: &mut File, seen: &Survey, spec: &TableSpec, wanted: &[Wanted]) -> Result<(Coding, bool), Problem> {
    if seen.ascii {
        return Ok((Encoding::Utf8.into(), false));
    }
    let mut finding = Vec::new();
    for encoding in &seen.valid {
        let ways = ways(file, (*encoding).into(), spec, wanted)?;
        if ways.found.iter().any(|(_, header)| header.found == wanted.len()) {
            finding.push(*encoding);
        }
    }
    let left = if finding.is_empty() { &seen.valid } else { &finding };
    match left[..] {
        [] => Err(Problem::new("encoding_unclear", say!("encoding_unknown"))),
        [only] => Ok((only.into(), false)),
        _ => {
            let guess = guess(left, seen).ok_or(()).or_else(|()| Err(unclear(file, left, spec)?))?;
            // Where nothing is named that could decide, only what the characters leave open is a guess.
            let clear = wanted.is_empty() && !left.contains(&Encoding::Utf8) && seen.gb2312 == seen.beyond_ascii;
            Ok((guess.into(), !clear))
        }
    }
}

/// The likeliest of several, by the characters.
fn guess(left: &[Encoding], seen: &Survey) -> Option<Encoding> {
    let may = |encoding| left.contains(&encoding);
    let all_gb2312 = may(Encoding::Gb18030) && seen.gb2312 == seen.beyond_ascii;
    if may(Encoding::Utf8) && (seen.three_bytes || seen.beside_a_letter || !all_gb2312) {
        return Some(Encoding::Utf8);
    }
    if may(Encoding::Gb18030) && seen.gb2312 * 10 >= seen.beyond_ascii * 9 {
        return Some(Encoding::Gb18030);
    }
    (may(Encoding::Big5) && seen.gb2312 * 4 <= seen.beyond_ascii * 3).then_some(Encoding::Big5)
}

/// Nothing decides: a person sees the first rows in each.
fn unclear(file: &mut File, left: &[Encoding], spec: &TableSpec) -> Result<Problem, Problem> {
    let mut shown = Vec::new();
    for encoding in left {
        let delimiter = spec.delimiter.and_then(ascii).unwrap_or(b',');
        let (rows, _) = first_rows(file, (*encoding).into(), delimiter, 3)?;
        let lines = rows.iter().map(|row| row.cells.iter().map(|cell| cell.text()).collect::<Vec<_>>().join(" "));
        let text = super::super::columns::short(&lines.collect::<Vec<_>>().join(" / "));
        shown.push(say!("encoding_shows", encoding = encoding.word(), text = text));
    }
    Ok(Problem::new("encoding_unclear", say!("encoding_unclear", shown = shown)))
}

fn ascii(delimiter: char) -> Option<u8> {
    may_delimit(delimiter).then(|| u8::try_from(delimiter).ok()).flatten()
}

/// The header with each delimiter that it may be.
fn ways(file: &mut File, coding: Coding, spec: &TableSpec, wanted: &[Wanted]) -> Result<Ways, Problem> {
    let delimiters = spec.delimiter.and_then(ascii).map_or_else(|| b",\t;|".to_vec(), |said| vec![said]);
    let mut ways = Ways { found: Vec::new(), trouble: None };
    for delimiter in delimiters {
        let (rows, trouble) = first_rows(file, coding, delimiter, spec.header.unwrap_or(LOOKED_AT))?;
        let header = Header::choose(&rows, wanted, spec.header).filter(|header| !is_blank(header));
        ways.found.extend(header.filter(is_named).map(|header| (delimiter, header)));
        ways.trouble = ways.trouble.or(trouble);
    }
    Ok(ways)
}

/// Whether its cells can be names.
fn is_named(header: &Header) -> bool {
    let too_long = |name: &String| name.len() > MAX_NAME_CHARS && name.chars().count() > MAX_NAME_CHARS;
    !header.columns.names().iter().any(too_long)
}

/// Whether it is a row of blank cells, read with another delimiter than theirs.
fn is_blank(header: &Header) -> bool {
    header.columns.names().iter().all(|name| name.bytes().all(|byte| b",\t;|".contains(&byte)))
}

/// The way in which the most is found; of several, that with the most cells; of these, the first.
fn best(ways: Vec<Way>, wanted: &[Wanted]) -> Option<Way> {
    let rank = |(_, header): &Way| (header.found == wanted.len(), header.named());
    ways.into_iter().rev().max_by_key(rank)
}

/// The first rows as far as they can be read, and what stood in the way of more.
fn first_rows(file: &mut File, coding: Coding, delimiter: u8, n: u32) -> Result<(Vec<Row>, Option<Problem>), Problem> {
    rewind(file)?;
    let mut records = Records::new(Text::new(file.take(MAX_HEAD_BYTES), coding, None), delimiter);
    let (mut record, mut rows) = (Record::default(), Vec::new());
    let mut kept = 0;
    loop {
        match records.next(&mut record) {
            Ok(true) => {}
            Ok(false) => return Ok((rows, None)),
            Err(trouble) => return Ok((rows, Some(trouble))),
        }
        kept += record.cells().map(str::len).sum::<usize>() as u64;
        // With a header that is fixed far below, what stands above it does not matter.
        if record.number + LOOKED_AT > n {
            rows.push(row(&record, usize::MAX, usize::MAX));
        }
        if record.number >= n || kept > MAX_HEAD_BYTES {
            return Ok((rows, None));
        }
    }
}

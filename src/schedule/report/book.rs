//! The report as a workbook: what it says, and each reminder with what became of it.

use super::Report;
use crate::{
    domain::Millis,
    schedule::{
        annotate::{MAX_ROWS, limited, serial, unwritten},
        sheet::cell::Shows,
    },
    words::{Message, Voice, say, word::word},
};
use chrono::TimeZone;
use chrono_tz::Tz;
use rust_xlsxwriter::{Format, Workbook, Worksheet, XlsxError};
use std::{
    collections::BTreeSet,
    io::{Seek, Write},
    path::Path,
};

/// What became of one reminder.
#[derive(Debug, Clone)]
pub struct Row {
    /// The row of the table, if it comes from one.
    pub row: Option<u32>,
    /// By which the row is known again, if that is not the openid.
    pub key: Option<String>,
    /// The user, as the reader may see them.
    pub user: String,
    /// The entry of `before` or `after`, and the occurrence, if there are any.
    pub occasion: String,
    /// Its id.
    pub id: String,
    /// Its instant.
    pub at: Millis,
    /// Where it stands.
    pub state: Message,
    /// When the platform accepted it.
    pub sent_at: Option<Millis>,
    /// Whether it was delivered, once the platform has said so.
    pub delivered: Option<bool>,
    /// Why it was not sent.
    pub why: Option<Message>,
}

/// A workbook that is being written. Its rows go to a temporary file as they come.
pub struct Book {
    book: Workbook,
    voice: Voice,
    zone: Tz,
    pens: Pens,
    /// Where the next row stands in the last sheet.
    next: u32,
    /// Sheets of rows.
    sheets: u32,
}

struct Pens {
    bold: Format,
    time: Format,
    /// What comes from outside: never a formula.
    text: Format,
    share: Format,
}

impl Book {
    /// Begins with the sheet of what the report says. Times are of `zone`; temporary files stand in `folder`.
    ///
    /// # Errors
    /// What keeps it from being written.
    pub fn begin(name: &str, report: &Report, voice: Voice, zone: Tz, folder: &Path) -> Result<Self, Message> {
        let pens = Pens {
            bold: Format::new().set_bold(),
            time: Format::new().set_num_format("yyyy-mm-dd hh:mm:ss"),
            text: Format::new().set_quote_prefix(),
            share: Format::new().set_num_format("0.0%"),
        };
        let mut book = Workbook::new();
        book.set_tempdir(folder).map_err(unwritten)?;
        let page = book.add_worksheet();
        summary(page, name, report, voice, zone, &pens).map_err(unwritten)?;
        Ok(Self { book, voice, zone, pens, next: MAX_ROWS, sheets: 0 })
    }

    /// Adds a row; a new sheet is begun when one is full.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub fn add(&mut self, row: &Row) -> Result<(), Message> {
        self.write(row).map_err(unwritten)
    }

    fn write(&mut self, row: &Row) -> Result<(), XlsxError> {
        if self.next == MAX_ROWS {
            self.sheets += 1;
            self.next = 1;
            let name = match self.sheets {
                1 => say!("report_rows_sheet"),
                n => say!("report_rows_sheet_n", n = n),
            };
            let page = self.book.add_worksheet_with_constant_memory()?;
            page.set_name(name.say(self.voice))?.set_freeze_panes(1, 0)?;
            for (column, (title, width)) in (0..).zip(titles()) {
                page.set_column_width(column, width)?;
                page.write_string_with_format(0, column, title.say(self.voice), &self.pens.bold)?;
            }
        }
        let (voice, zone, time, text) = (self.voice, self.zone, &self.pens.time, &self.pens.text);
        let page = self.book.worksheet_from_index(self.sheets as usize)?;
        let n = self.next;
        if let Some(number) = row.row {
            page.write_number(n, 0, number)?;
        }
        page.write_string_with_format(n, 1, limited(row.key.as_deref().unwrap_or_default()), text)?;
        page.write_string_with_format(n, 2, limited(&row.user), text)?;
        page.write_string_with_format(n, 3, limited(&row.occasion), text)?;
        write_time(page, n, 4, row.at, zone, time)?;
        page.write_string(n, 5, row.state.say(voice))?;
        if let Some(at) = row.sent_at {
            write_time(page, n, 6, at, zone, time)?;
        }
        if let Some(delivered) = row.delivered {
            page.write_string(n, 7, word(if delivered { "delivered" } else { "undelivered" }).say(voice))?;
        }
        if let Some(why) = &row.why {
            page.write_string(n, 8, limited(&why.say(voice)))?;
        }
        page.write_string(n, 9, &row.id)?;
        self.next += 1;
        Ok(())
    }

    /// Writes the workbook.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub fn finish(mut self, to: impl Write + Seek + Send) -> Result<(), Message> {
        self.book.save_to_writer(to).map_err(unwritten)
    }
}

fn titles() -> [(Message, f64); 10] {
    [
        (say!("report_row"), 8.0),
        (say!("report_key"), 16.0),
        (say!("report_user"), 32.0),
        (say!("report_occasion"), 18.0),
        (say!("report_at"), 20.0),
        (say!("column_state"), 12.0),
        (say!("report_sent_at"), 20.0),
        (say!("column_delivery"), 10.0),
        (say!("column_reason"), 48.0),
        (say!("column_reminder"), 20.0),
    ]
}

/// A time of the zone as the number that spreadsheets have for it.
fn write_time(
    page: &mut Worksheet,
    row: u32,
    column: u16,
    at: Millis,
    zone: Tz,
    pen: &Format,
) -> Result<(), XlsxError> {
    let wall = zone.timestamp_millis_opt(at).single().map(|time| time.naive_local());
    match wall {
        Some(wall) => page.write_number_with_format(row, column, serial(wall, Shows::DateTime), pen).map(drop),
        None => page.write_number(row, column, at as f64).map(drop),
    }
}

fn summary(
    page: &mut Worksheet,
    name: &str,
    report: &Report,
    voice: Voice,
    zone: Tz,
    pens: &Pens,
) -> Result<(), XlsxError> {
    let bold = &pens.bold;
    page.set_name(say!("report_sheet").say(voice))?
        .set_column_width(0, 48)?
        .set_column_width(1, 14)?
        .set_column_width(2, 60)?;
    page.write_string_with_format(0, 0, say!("report_of", name = name).say(voice), bold)?;
    page.write_string(1, 0, say!("report_times", zone = zone.name()).say(voice))?;
    let mut row = 3;
    let most = report.steps.first().map_or(0, |(_, n)| *n);
    for (step, n) in &report.steps {
        page.write_string(row, 0, step.title().say(voice))?;
        page.write_number(row, 1, *n as f64)?;
        if most > 0 {
            page.write_number_with_format(row, 2, *n as f64 / most as f64, &pens.share)?;
        }
        row += 1;
    }
    row += 1;
    for loss in &report.losses {
        page.write_string(row, 0, limited(&loss.why.say(voice)))?;
        page.write_number(row, 1, loss.n as f64)?;
        if let Some(advice) = &loss.advice {
            page.write_string(row, 2, advice.say(voice))?;
        }
        row += 1;
    }
    row += 1;
    page.write_string_with_format(row, 0, say!("report_hour").say(voice), bold)?;
    let states: BTreeSet<&str> = report.hours.values().flat_map(|states| states.keys().copied()).collect();
    for (column, state) in (1..).zip(&states) {
        page.write_string_with_format(row, column, word(state).say(voice), bold)?;
    }
    for (hour, counts) in &report.hours {
        row += 1;
        if row == MAX_ROWS {
            break;
        }
        write_time(page, row, 0, *hour, zone, &pens.time)?;
        for (column, state) in (1..).zip(&states) {
            page.write_number(row, column, counts.get(state).copied().unwrap_or_default() as f64)?;
        }
    }
    Ok(())
}

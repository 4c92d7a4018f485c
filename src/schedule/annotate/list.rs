//! The sheet of all problems.

use super::{Told, limited, names::quoted};
use crate::{
    schedule::sheet::cell_name,
    words::{Voice, say},
};
use rust_xlsxwriter::{Format, FormatAlign, Url, Worksheet, XlsxError};

/// Lists the problems, each with a link to its place, and how many `more` there are.
///
/// # Errors
/// What the workbook refuses.
pub fn write(
    page: &mut Worksheet,
    problems: &[Told],
    more: u64,
    copied: &[String],
    voice: Voice,
) -> Result<(), XlsxError> {
    let heads = [
        (say!("annotate_place"), 18.0),
        (say!("annotate_column"), 16.0),
        (say!("annotate_value"), 28.0),
        (say!("annotate_detail"), 80.0),
        (say!("annotate_fix"), 20.0),
        (say!("annotate_code"), 18.0),
    ];
    let bold = Format::new().set_bold();
    let wrapped = Format::new().set_text_wrap().set_align(FormatAlign::Top);
    let plain = Format::new().set_align(FormatAlign::Top);
    for (column, (head, width)) in (0..).zip(heads) {
        page.write_string_with_format(0, column, head.say(voice), &bold)?;
        page.set_column_width(column, width)?;
    }
    page.set_freeze_panes(1, 0)?;
    let mut row = 1;
    for told in problems {
        match told.table.and_then(|table| copied.get(table)) {
            Some(name) => {
                let cell = cell_name(usize::from(told.cell.unwrap_or(0)), told.row.unwrap_or(1));
                let shown = if told.row.is_some() { format!("{name}!{cell}") } else { name.clone() };
                page.write_url(row, 0, Url::new(format!("internal:{}!{cell}", quoted(name))).set_text(shown))?;
            }
            None => {
                page.write_string_with_format(row, 0, &told.place, &plain)?;
            }
        }
        page.write_string_with_format(row, 1, &told.column, &plain)?;
        page.write_string_with_format(row, 2, limited(&told.value), &wrapped)?;
        page.write_string_with_format(row, 3, limited(&told.detail), &wrapped)?;
        page.write_string_with_format(row, 4, limited(&told.fix), &wrapped)?;
        page.write_string_with_format(row, 5, &told.code, &plain)?;
        row += 1;
    }
    if more > 0 {
        page.write_string(row, 0, say!("annotate_more", n = more).say(voice))?;
    } else if problems.is_empty() {
        page.write_string(row, 0, say!("annotate_none").say(voice))?;
    }
    Ok(())
}

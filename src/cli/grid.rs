//! Rows laid out for a terminal of some width, or for a program that reads them by tabs. Pure.

use super::clean::one_line;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Between two columns.
const GAP: usize = 2;
/// Before what stands below a row, since there was no room for it in the row.
const INDENT: usize = 4;

/// The rows with tabs between their cells, the titles first.
pub fn by_tabs(titles: &[String], rows: &[Vec<String>]) -> Vec<String> {
    let line = |cells: &[String]| cells.iter().map(|cell| one_line(cell)).collect::<Vec<_>>().join("\t");
    std::iter::once(line(titles)).chain(rows.iter().map(|row| line(row))).collect()
}

/// The rows as columns, each as wide as its widest cell. A column that no longer fits into `width` is told below each row that has it, and
/// one in which nothing stands is left out. No word is broken but between Chinese characters, so an id can be copied.
pub fn by_columns(titles: &[String], rows: &[Vec<String>], width: usize) -> Vec<String> {
    let (titles, rows): (Vec<String>, Vec<Vec<String>>) = (lines(titles), rows.iter().map(|row| lines(row)).collect());
    let widest = |column: usize| rows.iter().map(|row| row[column].width()).max().unwrap_or_default();
    let filled: Vec<usize> = (0..titles.len()).filter(|column| rows.is_empty() || widest(*column) > 0).collect();
    let (mut across, mut below, mut used) = (Vec::new(), Vec::new(), 0);
    for column in filled {
        let needs = widest(column).max(titles[column].width());
        let gap = if across.is_empty() { 0 } else { GAP };
        if across.is_empty() || used + gap + needs <= width {
            used += gap + needs;
            across.push((column, needs));
        } else {
            below.push(column);
        }
    }
    let line = |cells: &[String]| {
        let padded = across.iter().map(|(column, needs)| {
            let cell = &cells[*column];
            format!("{cell}{}", " ".repeat(needs.saturating_sub(cell.width())))
        });
        padded.collect::<Vec<_>>().join(&" ".repeat(GAP)).trim_end().to_owned()
    };
    let mut laid = vec![line(&titles), "─".repeat(used.min(width))];
    for row in &rows {
        laid.push(line(row));
        let told = below.iter().filter(|column| !row[**column].is_empty());
        let told: Vec<String> = told.map(|column| format!("{}: {}", titles[*column], row[*column])).collect();
        laid.extend(wrap(&told, width.saturating_sub(INDENT)).into_iter().map(|line| " ".repeat(INDENT) + &line));
    }
    laid
}

fn lines(cells: &[String]) -> Vec<String> {
    cells.iter().map(|cell| one_line(&cell.replace('\n', ", ")).into_owned()).collect()
}

/// Texts on as few lines as they need, two spaces between them.
fn wrap(texts: &[String], width: usize) -> Vec<String> {
    let (mut lines, mut line) = (Vec::new(), String::new());
    for text in texts {
        for (n, piece) in pieces(text).into_iter().enumerate() {
            let gap = match (line.is_empty(), n) {
                (true, _) => 0,
                (false, 0) => GAP,
                // The gap between words is the end of the piece before.
                (false, _) => 0,
            };
            if !line.is_empty() && line.width() + gap + piece.trim_end().width() > width {
                lines.push(std::mem::take(&mut line).trim_end().to_owned());
            } else {
                line.push_str(&" ".repeat(gap));
            }
            line.push_str(piece);
        }
    }
    if !line.is_empty() {
        lines.push(line.trim_end().to_owned());
    }
    lines
}

/// The pieces between which a text may be broken: after white space, and after a wide character.
fn pieces(text: &str) -> Vec<&str> {
    let (mut pieces, mut from) = (Vec::new(), 0);
    for (at, c) in text.char_indices() {
        let end = at + c.len_utf8();
        let follows_space = text[end..].starts_with(' ');
        if (c == ' ' || c.width() == Some(2)) && !follows_space {
            pieces.push(&text[from..end]);
            from = end;
        }
    }
    pieces.push(&text[from..]);
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    const OPENID: &str = "o6_bmjrPTlm6_2sgVt7hMZOPfL2M";

    #[test]
    fn a_list_of_reminders_fits_80_columns_and_no_id_is_broken() {
        let titles = texts(&["计划时间 +08:00", "id", "状态", "openid", "原因", "送达", "应用", "内容"]);
        let data = "thing1=周三读书会，带上你最喜欢的一本书来和大家聊一聊 time2=2027年3月1日 19:30 thing5=三楼301室";
        let row = |state: &str, reason: &str| {
            texts(&["2027-03-01 19:30:00", "r_06w4n2k8c0000", state, OPENID, reason, "", "coffee", data])
        };
        let rows = [row("scheduled", ""), row("failed", "test_mode"), row("unconfirmed", "")];
        for width in [40, 60, 80, 100, 132, 400] {
            let laid = by_columns(&titles, &rows, width);
            for line in &laid {
                assert!(line.width() <= width, "{width}: {line}");
            }
            let text = laid.join("\n");
            assert_eq!(text.matches(OPENID).count(), 3, "{width}: {text}");
            assert_eq!(text.matches("r_06w4n2k8c0000").count(), 3, "{width}: {text}");
            let packed: String = text.split_whitespace().collect();
            assert_eq!(packed.matches("聊一聊time2=2027年3月1日19:30").count(), 3, "{width}: {text}");
            assert!(!text.contains("送达"), "nothing stands there: {text}");
        }
        assert!(by_columns(&titles, &rows, 80)[2].contains(OPENID), "at 80 columns the user stands in the row");
    }

    #[test]
    fn an_id_that_is_wider_than_the_terminal_stays_whole() {
        let long = "o".repeat(128);
        let laid = by_columns(&texts(&["id", "openid"]), &[texts(&["r_1", &long])], 40);
        assert!(laid.iter().any(|line| line.contains(&long)), "{laid:?}");
        assert_eq!(by_columns(&texts(&["id", "openid"]), &[], 40), ["id  openid", "──────────"]);
    }

    #[test]
    fn a_program_gets_a_line_a_row_and_a_tab_between_cells_whatever_stands_in_them() {
        let rows = [texts(&["a\tb", "two\nlines"]), texts(&["", "\u{1b}[31m"])];
        assert_eq!(by_tabs(&texts(&["id", "data"]), &rows), ["id\tdata", "a\\tb\ttwo\\nlines", "\t\\u001b[31m"]);
    }
}

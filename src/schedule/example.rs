//! The apps that tests of schedules speak of, and tables as a few lines of text.

use super::{
    file::{File, Names, Refused, read},
    problem::Problem,
    row::{RowRead, Tables, bind},
    sheet::{
        Wanted,
        cell::{Cell, Row},
    },
};
use crate::{
    config::{App, parse},
    domain::{Millis, did_you_mean},
    platform::BUILT,
    words::say,
};
use std::{collections::BTreeMap, path::Path, sync::LazyLock};

/// When the tests take place: 2031-01-01.
const NOW: Millis = 1_924_992_000_000;

static APPS: LazyLock<Vec<App>> = LazyLock::new(|| {
    let template = |name: &str, fields: &str| {
        format!(
            "[[app.template]]\nname = \"{name}\"\nid = \"T-{name}\"\nkind = \"one-time\"\nfields = {{ {fields} }}\n"
        )
    };
    let mut text = String::from("[server]\nlisten = \"127.0.0.1:8700\"\n[store]\nurl = \"sqlite:tixing.db\"\n");
    for (name, zone) in [("coffee", "Asia/Shanghai"), ("berlin", "Europe/Berlin")] {
        text +=
            &format!("[[app]]\nname = \"{name}\"\nplatform = \"{}\"\nappid = \"wx0123456789abcdef\"\n", BUILT[0].word);
        text += &format!("secret = {{ env = \"S\" }}\ntimezone = \"{zone}\"\n");
        text += &template("event-start", "thing1 = \"活动名称\", time2 = \"开始时间\"");
        text += &template("event-place", "thing1 = \"活动名称\", time2 = \"开始时间\", thing5 = \"地点\"");
        text += &template("coupon", "thing1 = \"券名\", amount3 = \"面额\", date4 = \"到期时间\"");
        text += &template("coupon2", "thing1 = \"券名\", amount3 = \"面额\", thing5 = \"备注\"");
        text += &template("note", "const1 = \"备注\"");
    }
    let secret = |name: &str| (name == "S").then(|| "s3cret".to_owned());
    parse(Path::new("tixing.toml"), &text, &secret, BTreeMap::new()).expect("a good configuration").apps
});

/// The apps `coffee` in Shanghai and `berlin`.
pub fn apps() -> &'static [App] {
    &APPS
}

/// Reads a schedule's file `s.toml`.
pub fn file(text: &str) -> Result<File, Refused> {
    read(text, "s.toml", &Names { apps: apps(), listings: &|_| None })
}

/// A good file, in which `head` says what is to be seen; what it leaves out is an instant for one user.
pub fn of(head: &str, data: &str) -> String {
    let mut text = String::new();
    for (key, usual) in [
        ("name", "\"s\""),
        ("app", "\"coffee\""),
        ("template", "\"event-start\""),
        ("at", "2031-03-01T10:00:00"),
        ("audience", "[\"oA\"]"),
    ] {
        if !head.lines().any(|line| line.split('=').next().is_some_and(|word| word.trim() == key)) {
            text += &format!("{key} = {usual}\n");
        }
    }
    let data = if data.is_empty() { "thing1 = \"周三读书会\"\ntime2 = \"{{@event | datetime}}\"" } else { data };
    format!("{text}{head}\n[data]\n{data}\n")
}

/// A table of text: a header and rows, their cells between `|`.
pub struct Sheet {
    columns: Vec<String>,
    rows: Vec<Row>,
}

impl Sheet {
    /// Of these lines.
    pub fn new(text: &str) -> Self {
        let cells = |line: &str| line.split('|').map(|cell| cell.trim().replace("\\n", "\n")).collect::<Vec<_>>();
        let mut lines = text.lines();
        let columns = cells(lines.next().expect("a header"));
        let cell = |text: String| if text.is_empty() { Cell::Blank } else { Cell::Text(text) };
        let rows = lines.zip(2..).map(|(line, number)| {
            let mut cells: Vec<Cell> = cells(line).into_iter().map(cell).collect();
            let ragged = cells.len() > columns.len();
            cells.resize(columns.len(), Cell::Blank);
            Row { number, hidden: false, cells, ragged }
        });
        Self { rows: rows.collect(), columns }
    }

    /// The same with this cell, in column `column` of row `number`.
    pub fn with(mut self, number: usize, column: usize, cell: Cell) -> Self {
        self.rows[number - 2].cells[column] = cell;
        self
    }

    fn find(&self, wanted: &Wanted) -> Result<usize, Problem> {
        let name = match wanted {
            Wanted::Column(name) => name,
            Wanted::Openid => "openid",
        };
        let columns = self.columns.iter();
        columns.clone().position(|column| column == name).ok_or_else(|| {
            let near = did_you_mean(name, columns.map(String::as_str)).map(str::to_owned);
            Problem { fix: near, ..Problem::new("no_column", say!("column_without_table", name = name)) }
        })
    }
}

/// What becomes of a file and its table: the rows, and the notes about all of them alike.
pub fn rows(text: &str, sheet: Option<&Sheet>) -> Result<(Vec<RowRead>, Vec<Problem>), Vec<Problem>> {
    let file = file(text).map_err(|refused| refused.problems)?;
    let app = App::find(apps(), &file.app).expect("it was found");
    let terms = app.terms(None);
    let find = |wanted: &Wanted| sheet.expect("a table").find(wanted);
    let table = sheet.map(|sheet| (&sheet.columns[..], &find as &dyn Fn(&Wanted) -> Result<usize, Problem>));
    let bound = bind(&file, &terms, Tables { rows: table, events: None }, NOW)?;
    let read = match (&file.audience, sheet) {
        (super::file::Audience::List(list), _) => {
            list.iter().zip(1..).map(|(openid, number)| bound.person(openid, Some(number), None)).collect()
        }
        (_, Some(sheet)) => sheet.rows.iter().map(|row| bound.row(row, None)).collect(),
        (_, None) => vec![bound.person("oA", None, None)],
    };
    Ok((read, bound.notes().to_vec()))
}

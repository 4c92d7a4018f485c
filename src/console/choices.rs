//! What the form shows and changes of a schedule's file. The file is all that is kept: the form is read from it, and written into it. What
//! the form has no input for stays as the file has it.

use std::{collections::BTreeMap, str::FromStr};
use toml::{Table, Value, value::Datetime};

/// Lines for what goes before and after the event.
pub const ENTRIES: usize = 10;
/// The units of a line, as the file writes them.
pub const UNITS: [&str; 4] = ["d", "h", "m", "w"];

/// The keys in the order in which a file has them; `[data]` comes last.
const ORDER: [&str; 16] = [
    "name",
    "app",
    "template",
    "page",
    "at",
    "expires",
    "late",
    "quiet_hours",
    "spread",
    "consent",
    "strict",
    "timezone",
    "lang",
    "miniprogram_state",
    "audience",
    "exclude",
];
/// Keys of the file that are one text each.
const TEXTS: [&str; 6] = ["page", "late", "quiet_hours", "spread", "consent", "name"];
/// Keys of the table of people that are one text each.
const TABLE_TEXTS: [&str; 5] = ["sheet", "encoding", "hidden", "openid", "key"];

/// When a schedule's reminders go, as the form knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timing {
    /// One time for everybody.
    Once,
    /// A time in each row.
    Column,
    /// The file says it in a way for which the form has no input: a recurrence, a table of events, a time with an offset.
    AsWritten,
}

/// How long before or after the event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// How many units; not a number if it was typed so.
    pub n: String,
    /// One of [`UNITS`].
    pub unit: String,
    /// After the event, and not before it.
    pub after: bool,
}

/// What a form says: the names of its inputs, and what was typed.
pub type Said = BTreeMap<String, String>;

/// A schedule's file as the form sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Choices(Table);

impl Choices {
    /// The file; `None` if it is no TOML.
    pub fn of(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }

    /// A new file.
    pub fn begin(name: &str, app: &str, template: &str) -> Self {
        let pairs = [("name", name), ("app", app), ("template", template)];
        Self(pairs.into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect())
    }

    /// People are those of a table.
    pub fn of_table(mut self, file: &str) -> Self {
        let table = Table::from_iter([("file".to_owned(), Value::from(file))]);
        self.0.insert("audience".into(), Value::Table(table));
        self
    }

    /// People are all who have a consent.
    pub fn of_everybody(mut self) -> Self {
        self.0.insert("audience".into(), "consented".into());
        self
    }

    /// A text of the file; empty if there is none.
    pub fn text(&self, key: &str) -> &str {
        self.0.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    /// Whether the file has the key with a text, or lacks it, so that an input can show it.
    pub fn is_plain(&self, key: &str) -> bool {
        self.0.get(key).is_none_or(Value::is_str)
    }

    /// A text of the table of people.
    pub fn of_people(&self, key: &str) -> &str {
        self.people().and_then(|table| table.get(key)).and_then(Value::as_str).unwrap_or_default()
    }

    fn people(&self) -> Option<&Table> {
        self.0.get("audience").and_then(Value::as_table)
    }

    /// A value as the file writes it; empty if there is none.
    pub fn written(&self, key: &str) -> String {
        self.0.get(key).map(Value::to_string).unwrap_or_default()
    }

    /// The row of the table's header, if the file fixes it.
    pub fn header(&self) -> Option<i64> {
        self.people()?.get("header")?.as_integer()
    }

    /// What the message's fields say, if anything does.
    pub fn data(&self) -> Option<BTreeMap<&str, &str>> {
        let data = self.0.get("data").and_then(Value::as_table)?;
        Some(data.iter().filter_map(|(key, text)| Some((key.as_str(), text.as_str()?))).collect())
    }

    fn at(&self, key: &str) -> Option<&Value> {
        self.0.get("at").and_then(Value::as_table).and_then(|at| at.get(key))
    }

    /// When its reminders go.
    pub fn timing(&self) -> Timing {
        let local = |value: &Value| match value {
            Value::Datetime(at) => at.offset.is_none() && at.date.is_some(),
            value => value.is_str(),
        };
        match self.0.get("at") {
            None => Timing::Once,
            Some(Value::Table(at)) if at.contains_key("cron") || at.contains_key("events") => Timing::AsWritten,
            Some(Value::Table(at)) if at.get("column").is_some_and(Value::is_str) => Timing::Column,
            Some(Value::Table(at)) if at.get("event").is_none_or(local) => Timing::Once,
            Some(at) if !at.is_table() && local(at) => Timing::Once,
            Some(_) => Timing::AsWritten,
        }
    }

    /// The one time, as an input for times takes it.
    pub fn time(&self) -> String {
        let at = match self.timing() {
            Timing::Once => self.at("event").or(self.0.get("at").filter(|at| !at.is_table())),
            _ => None,
        };
        match at {
            Some(Value::Datetime(at)) => {
                let text = at.to_string();
                text.strip_suffix(":00").filter(|short| short.len() == 16).unwrap_or(&text).to_owned()
            }
            Some(Value::String(text)) => text.clone(),
            _ => String::new(),
        }
    }

    /// The column with each row's time.
    pub fn column(&self) -> &str {
        self.at("column").and_then(Value::as_str).unwrap_or_default()
    }

    /// The time of day of the reminders.
    pub fn clock(&self) -> &str {
        self.at("clock").and_then(Value::as_str).unwrap_or_default()
    }

    /// What goes before the event, then what goes after it.
    pub fn entries(&self) -> Vec<Entry> {
        let mut all = Vec::new();
        for (key, after) in [("before", false), ("after", true)] {
            let spans = self.at(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
            all.extend(spans.map(|span| {
                let (n, unit) = span.split_at(span.len() - span.chars().next_back().map_or(0, char::len_utf8));
                match UNITS.contains(&unit) {
                    true => Entry { n: n.into(), unit: unit.into(), after },
                    // What cannot be read stays to be seen.
                    false => Entry { n: span.into(), unit: UNITS[0].into(), after },
                }
            }));
        }
        all
    }

    /// The deadline: a text of the file, or a column as `@column`.
    pub fn deadline(&self) -> String {
        match self.0.get("expires") {
            Some(Value::Table(of)) => {
                of.get("column").and_then(Value::as_str).map(|c| format!("@{c}")).unwrap_or_default()
            }
            _ => self.text("expires").to_owned(),
        }
    }

    /// Whether a shape of the deadline has an input.
    pub fn has_plain_deadline(&self) -> bool {
        self.is_plain("expires") || !self.deadline().is_empty()
    }

    /// Takes over what a form says. An input that the form does not have leaves its key as it is, an empty one takes it away.
    pub fn take(&mut self, said: &Said) {
        let told = |name: &str| said.get(name).map(|text| text.trim());
        for key in TEXTS {
            if let Some(text) = told(key) {
                put(&mut self.0, key, text);
            }
        }
        if let Some(Value::Table(people)) = self.0.get_mut("audience") {
            for key in TABLE_TEXTS {
                if let Some(text) = told(key) {
                    put(people, key, text);
                }
            }
        }
        match told("expires") {
            None => {}
            Some(text) => match text.strip_prefix('@') {
                Some(column) => {
                    let of = Table::from_iter([("column".to_owned(), Value::from(column))]);
                    self.0.insert("expires".into(), Value::Table(of));
                }
                None => put(&mut self.0, "expires", text),
            },
        }
        self.take_timing(said);
        let texts = said.iter().filter_map(|(name, text)| Some((name.strip_prefix("data.")?, text)));
        let texts: Vec<(String, Value)> = texts.map(|(key, text)| (key.to_owned(), text.as_str().into())).collect();
        if !texts.is_empty() {
            let data = self.0.entry("data").or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(data) = data {
                data.extend(texts);
            }
        }
    }

    fn take_timing(&mut self, said: &Said) {
        let told = |name: &str| said.get(name).map(|text| text.trim()).unwrap_or_default();
        let (form, value) = match told("timing") {
            "once" => ("event", time(told("time"))),
            "column" => ("column", told("column").into()),
            _ => return,
        };
        let mut at = Table::new();
        at.insert(form.into(), value.clone());
        for (key, side) in [("before", "before"), ("after", "after")] {
            let lines =
                (0..ENTRIES).filter(|i| told(&format!("side{i}")) == side && !told(&format!("n{i}")).is_empty());
            let spans: Vec<Value> =
                lines.map(|i| format!("{}{}", told(&format!("n{i}")), told(&format!("unit{i}"))).into()).collect();
            if !spans.is_empty() {
                at.insert(key.into(), Value::Array(spans));
            }
        }
        put(&mut at, "clock", told("clock"));
        // A time alone is written alone.
        let at = if form == "event" && at.len() == 1 { value } else { Value::Table(at) };
        self.0.insert("at".into(), at);
    }

    /// The file.
    pub fn write(&self) -> String {
        let mut text = String::new();
        let known = ORDER.into_iter().filter_map(|key| Some((key, self.0.get(key)?)));
        let others = self.0.iter().map(|(key, value)| (key.as_str(), value));
        let others = others.filter(|(key, _)| *key != "data" && !ORDER.contains(key));
        for (key, value) in known.chain(others) {
            text += &format!("{} = {value}\n", bare(key));
        }
        match self.0.get("data") {
            Some(Value::Table(data)) => {
                text += "\n[data]\n";
                data.iter().for_each(|(key, value)| text += &format!("{} = {value}\n", bare(key)));
            }
            Some(value) => text += &format!("data = {value}\n"),
            None => {}
        }
        text
    }
}

/// A key that is a text: an empty one is taken away.
fn put(table: &mut Table, key: &str, text: &str) {
    match text {
        "" => drop(table.remove(key)),
        text => drop(table.insert(key.into(), text.into())),
    }
}

/// A time as an input for times sends it; what is none stays as it was typed, and the plan says so.
fn time(text: &str) -> Value {
    let whole = if text.len() == 16 { format!("{text}:00") } else { text.to_owned() };
    Datetime::from_str(&whole).map_or_else(|_| text.into(), Value::Datetime)
}

/// A key as a file writes it.
fn bare(key: &str) -> String {
    let is_bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    if is_bare { key.to_owned() } else { Value::from(key).to_string() }
}

/// A column between braces, as a text of the file names it.
pub fn variable(column: &str) -> String {
    let is_plain = !column.starts_with('@') && !column.contains(['|', '}', '"']);
    if is_plain { format!("{{{{{column}}}}}") } else { format!("{{{{\"{column}\"}}}}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(pairs: &[(&str, &str)]) -> Said {
        pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn a_form_writes_the_file_that_somebody_would_have_written() {
        let mut choices = Choices::begin("春季", "coffee", "event-start").of_table("名 单\".xlsx");
        choices.take(&said(&[
            ("timing", "column"),
            ("column", "开始时间"),
            ("clock", "10:00"),
            ("n0", "3"),
            ("unit0", "d"),
            ("side0", "before"),
            ("n1", ""),
            ("unit1", "h"),
            ("side1", "before"),
            ("n2", "1"),
            ("unit2", "d"),
            ("side2", "after"),
            ("expires", "@结束"),
            ("openid", "用户"),
            ("key", ""),
            ("page", "pages/a?id={{编号}}"),
            ("late", ""),
            ("data.thing1", "\"{{名称}}\""),
            ("data.标题", ""),
        ]));
        let written = "name = \"春季\"\napp = \"coffee\"\ntemplate = \"event-start\"\npage = \"pages/a?id={{编号}}\"\nat = { after = [\"1d\"], before = [\"3d\"], clock = \"10:00\", column = \"开始时间\" }\nexpires = { column = \"结束\" }\naudience = { file = '名 单\".xlsx', openid = \"用户\" }\n\n[data]\nthing1 = '\"{{名称}}\"'\n\"标题\" = \"\"\n";
        assert_eq!(choices.write(), written);
        assert_eq!(Choices::of(written).expect("TOML"), choices, "it is read as it was written");
    }

    #[test]
    fn a_time_stands_in_the_form_as_it_stands_in_the_file() {
        let table = [
            ("at = 2031-03-01T10:00:00", Timing::Once, "2031-03-01T10:00"),
            ("at = 2031-03-01T10:00:30", Timing::Once, "2031-03-01T10:00:30"),
            ("at = { event = 2031-03-01T10:00:00, before = [\"1d\"] }", Timing::Once, "2031-03-01T10:00"),
            ("at = 2031-03-01", Timing::Once, "2031-03-01"),
            ("at = \"soon\"", Timing::Once, "soon"),
            ("at = 2031-03-01T10:00:00Z", Timing::AsWritten, ""),
            ("at = { cron = \"0 9 * * *\" }", Timing::AsWritten, ""),
            ("at = { events = { file = \"k.csv\" } }", Timing::AsWritten, ""),
            ("at = 7", Timing::AsWritten, ""),
            ("", Timing::Once, ""),
        ];
        for (text, timing, shown) in table {
            let choices = Choices::of(text).expect("TOML");
            assert_eq!((choices.timing(), choices.time().as_str()), (timing, shown), "{text}");
            let mut again = choices.clone();
            if timing == Timing::AsWritten {
                again.take(&said(&[("timing", "as_written"), ("spread", "")]));
                assert_eq!(again, choices, "{text}: what has no input stays");
            } else if !shown.is_empty() && choices.entries().is_empty() {
                again.take(&said(&[("timing", "once"), ("time", shown)]));
                assert_eq!(again, choices, "{text}: what was not touched stays");
            }
        }
    }

    #[test]
    fn lines_are_read_also_where_they_are_wrong() {
        let choices =
            Choices::of("at = { event = 2031-03-01, before = [\"1d\", \"soon\", \"\", \"90m\"], after = [\"2h\"] }");
        let entries = choices.expect("TOML").entries();
        let shown: Vec<_> = entries.iter().map(|e| (e.n.as_str(), e.unit.as_str(), e.after)).collect();
        let expected =
            [("1", "d", false), ("soon", "d", false), ("", "d", false), ("90", "m", false), ("2", "h", true)];
        assert_eq!(shown, expected);
    }

    #[test]
    fn the_name_of_a_column_stands_between_braces_as_the_file_wants_it() {
        for (column, written) in
            [("名称", "{{名称}}"), ("a|b", "{{\"a|b\"}}"), ("@x", "{{\"@x\"}}"), ("a b", "{{a b}}")]
        {
            assert_eq!(variable(column), written);
        }
    }
}

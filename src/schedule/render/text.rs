//! The text of a field or a page as a schedule writes it: `{{活动名称 | short(20)}}`.

use super::number::MOST_DECIMALS;
use crate::{
    domain::{did_you_mean, timing::cut},
    words::{Message, say},
};

/// A text in pieces. Its columns are names until it is bound to a table, then the places of their cells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text<C = String> {
    /// From left to right.
    pub pieces: Vec<Piece<C>>,
    /// The line of the file on which it stands.
    pub line: u32,
}

/// A piece of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece<C> {
    /// As it is.
    Words(String),
    /// What stands between braces.
    Variable(Variable<C>),
}

/// `{{source | formatter | formatter}}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable<C> {
    /// Where its value comes from.
    pub source: Source<C>,
    /// What is done with it, in this order.
    pub formatters: Vec<Formatter<C>>,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source<C> {
    /// A column of the table.
    Column(C),
    /// The time that `at` names.
    Event,
    /// The reminder's own instant.
    At,
    /// What lies between them.
    Left,
    /// The user.
    Openid,
}

/// What is done with a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Formatter<C> {
    /// `2031年3月1日`.
    Date,
    /// `09:05`.
    Time,
    /// `2031年3月1日 09:05`.
    DateTime,
    /// `2031-03-01T09:05:00+08:00`.
    Iso,
    /// From this time to that one.
    Range(C),
    /// `¥28.50`, with this sign.
    Amount(String),
    /// Plain digits, with so many decimals if that is said.
    Number(Option<usize>),
    /// At most so long, as the field counts.
    Short(usize),
    /// Without line breaks and tabs.
    Oneline,
    /// If blank.
    Default(String),
    /// Not percent-encoded.
    Raw,
}

/// Where a text stands: a page alone may say `raw`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// In `[data]`.
    Field,
    /// In `page`.
    Page,
}

/// What is wrong with a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// A sentence.
    pub detail: Message,
    /// The word that was meant, if one is near.
    pub fix: Option<String>,
}

impl From<Message> for Mistake {
    fn from(detail: Message) -> Self {
        Self { detail, fix: None }
    }
}

/// A text has no more characters.
const MOST_CHARACTERS: usize = 4_096;
/// A text has no more variables.
const MOST_VARIABLES: usize = 64;
/// A variable has no more formatters.
const MOST_FORMATTERS: usize = 16;
const SOURCES: [&str; 4] = ["@event", "@at", "@left", "@openid"];
const FORMATTERS: [&str; 11] =
    ["date", "time", "datetime", "iso", "range", "amount", "number", "short", "oneline", "default", "raw"];

impl Text {
    /// Reads a text that stands on this line.
    ///
    /// # Errors
    /// What is wrong with it, and what to write.
    pub fn parse(text: &str, kind: Kind, line: u32) -> Result<Self, Mistake> {
        let found = text.chars().count();
        if found > MOST_CHARACTERS {
            return Err(say!("text_too_long", found = found, most = MOST_CHARACTERS).into());
        }
        let (mut pieces, mut words, mut rest) = (Vec::new(), String::new(), text);
        while let Some((before, after)) = rest.split_once("{{") {
            words.push_str(before);
            if let Some(after) = after.strip_prefix("{{") {
                words.push_str("{{");
                rest = after;
                continue;
            }
            let mut pen = Pen { rest: after };
            let variable = pen.variable(kind)?;
            if !words.is_empty() {
                pieces.push(Piece::Words(std::mem::take(&mut words)));
            }
            pieces.push(Piece::Variable(variable));
            rest = pen.rest;
        }
        words.push_str(rest);
        if !words.is_empty() {
            pieces.push(Piece::Words(words));
        }
        let variables = pieces.iter().filter(|piece| matches!(piece, Piece::Variable(_))).count();
        if variables > MOST_VARIABLES {
            return Err(say!("text_variables", found = variables, most = MOST_VARIABLES).into());
        }
        Ok(Self { pieces, line })
    }
}

impl<C> Text<C> {
    /// Its variables.
    pub fn variables(&self) -> impl Iterator<Item = &Variable<C>> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Words(_) => None,
            Piece::Variable(variable) => Some(variable),
        })
    }

    /// The columns that it names, each as often as it does.
    pub fn columns(&self) -> impl Iterator<Item = &C> {
        self.variables().flat_map(|variable| {
            let source = match &variable.source {
                Source::Column(column) => Some(column),
                _ => None,
            };
            let ends = variable.formatters.iter().filter_map(|formatter| match formatter {
                Formatter::Range(column) => Some(column),
                _ => None,
            });
            source.into_iter().chain(ends)
        })
    }

    /// Whether it takes something from this source.
    pub fn takes(&self, source: &Source<C>) -> bool
    where
        C: PartialEq,
    {
        self.variables().any(|variable| variable.source == *source)
    }

    /// The same with other columns.
    ///
    /// # Errors
    /// The first of `bind`.
    pub fn bind<D, E>(&self, mut bind: impl FnMut(&C) -> Result<D, E>) -> Result<Text<D>, E> {
        let mut pieces = Vec::with_capacity(self.pieces.len());
        for piece in &self.pieces {
            pieces.push(match piece {
                Piece::Words(words) => Piece::Words(words.clone()),
                Piece::Variable(variable) => Piece::Variable(variable.bind(&mut bind)?),
            });
        }
        Ok(Text { pieces, line: self.line })
    }
}

impl<C> Variable<C> {
    fn bind<D, E>(&self, bind: &mut impl FnMut(&C) -> Result<D, E>) -> Result<Variable<D>, E> {
        let source = match &self.source {
            Source::Column(column) => Source::Column(bind(column)?),
            Source::Event => Source::Event,
            Source::At => Source::At,
            Source::Left => Source::Left,
            Source::Openid => Source::Openid,
        };
        let mut formatters = Vec::with_capacity(self.formatters.len());
        for formatter in &self.formatters {
            formatters.push(match formatter {
                Formatter::Range(column) => Formatter::Range(bind(column)?),
                Formatter::Date => Formatter::Date,
                Formatter::Time => Formatter::Time,
                Formatter::DateTime => Formatter::DateTime,
                Formatter::Iso => Formatter::Iso,
                Formatter::Amount(sign) => Formatter::Amount(sign.clone()),
                Formatter::Number(decimals) => Formatter::Number(*decimals),
                Formatter::Short(most) => Formatter::Short(*most),
                Formatter::Oneline => Formatter::Oneline,
                Formatter::Default(words) => Formatter::Default(words.clone()),
                Formatter::Raw => Formatter::Raw,
            });
        }
        Ok(Variable { source, formatters })
    }
}

/// Reads what stands between braces from left to right.
struct Pen<'t> {
    rest: &'t str,
}

impl<'t> Pen<'t> {
    fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn takes(&mut self, word: &str) -> bool {
        self.space();
        let rest = self.rest.strip_prefix(word);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn variable(&mut self, kind: Kind) -> Result<Variable<String>, Mistake> {
        let source = self.source()?;
        let mut formatters = Vec::new();
        loop {
            if self.takes("}}") {
                return Ok(Variable { source, formatters });
            }
            if !self.takes("|") {
                let near = self.rest.split("}}").next().unwrap_or_default();
                return Err(match near.chars().next() {
                    None => say!("text_unclosed").into(),
                    Some(_) => say!("text_unexpected", found = cut(near)).into(),
                });
            }
            if formatters.len() == MOST_FORMATTERS {
                return Err(say!("text_formatters", most = MOST_FORMATTERS).into());
            }
            formatters.push(self.formatter(kind)?);
        }
    }

    fn source(&mut self) -> Result<Source<String>, Mistake> {
        self.space();
        if self.rest.starts_with('"') {
            let name = self.quoted()?;
            return if name.trim().is_empty() { Err(say!("text_no_name").into()) } else { Ok(Source::Column(name)) };
        }
        let end = self.rest.find(['|', '}', '"']).ok_or_else(|| say!("text_unclosed"))?;
        let name = self.rest[..end].trim();
        if self.rest[end..].starts_with('}') && !self.rest[end..].starts_with("}}") {
            return Err(say!("text_brace_in_name", name = cut(name)).into());
        }
        if self.rest[end..].starts_with('"') {
            return Err(say!("text_quote_in_name", name = cut(name)).into());
        }
        self.rest = &self.rest[end..];
        match name {
            "" => Err(say!("text_no_name").into()),
            "@event" => Ok(Source::Event),
            "@at" => Ok(Source::At),
            "@left" => Ok(Source::Left),
            "@openid" => Ok(Source::Openid),
            name if name.starts_with('@') => {
                let near = did_you_mean(name, SOURCES);
                let hint = near.map(|near| say!("did_you_mean", near = near));
                let detail = say!("text_unknown_source", name = cut(name), known = SOURCES, hint = hint);
                Err(Mistake { detail, fix: near.map(str::to_owned) })
            }
            name => Ok(Source::Column(name.to_owned())),
        }
    }

    /// A name or an argument in double quotes; a quote in it stands twice.
    fn quoted(&mut self) -> Result<String, Mistake> {
        let mut name = String::new();
        let mut rest = &self.rest[1..];
        loop {
            let end = rest.find('"').ok_or_else(|| say!("text_quote_unclosed"))?;
            name.push_str(&rest[..end]);
            rest = &rest[end + 1..];
            match rest.strip_prefix('"') {
                Some(after) => {
                    name.push('"');
                    rest = after;
                }
                None => break,
            }
        }
        self.rest = rest;
        Ok(name)
    }

    fn formatter(&mut self, kind: Kind) -> Result<Formatter<String>, Mistake> {
        self.space();
        let end = self.rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '-').unwrap_or(self.rest.len());
        let name = &self.rest[..end];
        self.rest = &self.rest[end..];
        if !FORMATTERS.contains(&name) {
            let near = did_you_mean(name, FORMATTERS);
            let hint = near.map(|near| say!("did_you_mean", near = near));
            let detail = say!("text_unknown_formatter", name = cut(name), known = FORMATTERS, hint = hint);
            return Err(Mistake { detail, fix: near.map(str::to_owned) });
        }
        if self.rest.starts_with('（') {
            return Err(say!("text_full_width_bracket", name = name).into());
        }
        let argument = if self.takes("(") { Some(self.argument()?) } else { None };
        let wrong = |usage: &str| Mistake::from(say!("text_formatter_usage", name = name, usage = usage));
        let number = |range: std::ops::RangeInclusive<usize>| {
            let number = argument.as_ref().map(|text| text.parse().ok().filter(|n| range.contains(n)));
            number.map(|number| number.ok_or(()))
        };
        let formatter = match name {
            "range" => {
                Formatter::Range(argument.clone().filter(|name| !name.is_empty()).ok_or_else(|| wrong("range(列)"))?)
            }
            "amount" => Formatter::Amount(match &argument {
                None => "¥".to_owned(),
                Some(sign) if sign.chars().count() <= 3 => sign.clone(),
                Some(_) => return Err(wrong("amount, amount($)")),
            }),
            "number" => {
                let decimals = number(0..=MOST_DECIMALS).transpose();
                Formatter::Number(decimals.map_err(|()| wrong("number, number(1)"))?)
            }
            "short" => {
                let most = number(1..=MOST_CHARACTERS).and_then(Result::ok);
                Formatter::Short(most.ok_or_else(|| wrong("short(20)"))?)
            }
            "default" => Formatter::Default(argument.clone().ok_or_else(|| wrong("default(文字)"))?),
            plain if argument.is_some() => return Err(wrong(plain)),
            "date" => Formatter::Date,
            "time" => Formatter::Time,
            "datetime" => Formatter::DateTime,
            "iso" => Formatter::Iso,
            "oneline" => Formatter::Oneline,
            _ if kind == Kind::Page => Formatter::Raw,
            _ => return Err(say!("text_raw_in_field").into()),
        };
        Ok(formatter)
    }

    /// What stands in brackets, which are open. It ends at the first closing one that a `|` or the end of the variable follows.
    fn argument(&mut self) -> Result<String, Mistake> {
        self.space();
        if self.rest.starts_with('"') {
            let text = self.quoted()?;
            return if self.takes(")") { Ok(text) } else { Err(say!("text_bracket_unclosed").into()) };
        }
        let ends = |(at, _): &(usize, &'t str)| {
            let after = self.rest[at + 1..].trim_start();
            after.starts_with('|') || after.starts_with("}}")
        };
        let (end, _) = self.rest.match_indices(')').find(ends).ok_or_else(|| say!("text_bracket_unclosed"))?;
        let text = self.rest[..end].trim().to_owned();
        self.rest = &self.rest[end + 1..];
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn field(text: &str) -> Result<Vec<Piece<String>>, &'static str> {
        Text::parse(text, Kind::Field, 1)
            .map(|text| text.pieces)
            .map_err(|mistake| mistake.detail.key().to_owned().leak() as &str)
    }

    fn words(words: &str) -> Piece<String> {
        Piece::Words(words.into())
    }

    fn column(name: &str, formatters: &[Formatter<String>]) -> Piece<String> {
        Piece::Variable(Variable { source: Source::Column(name.into()), formatters: formatters.to_vec() })
    }

    #[test]
    fn a_text_is_words_and_variables() {
        use Formatter::{Amount, Date, Default, Number, Oneline, Range, Short};
        for (text, expected) in [
            ("周三", vec![words("周三")]),
            ("", vec![]),
            ("{{名称}}", vec![column("名称", &[])]),
            ("{{ 活动 名称 }}!", vec![column("活动 名称", &[]), words("!")]),
            ("{{{{名称}}", vec![words("{{名称}}")]),
            ("a{b}c}}", vec![words("a{b}c}}")]),
            ("{{\"a|b}\"\"c\"}}", vec![column("a|b}\"c", &[])]),
            ("{{\"@event\" | date}}", vec![column("@event", &[Date])]),
            ("{{a|short(20)|oneline}}", vec![column("a", &[Short(20), Oneline])]),
            ("{{a | range(结束) }}", vec![column("a", &[Range("结束".into())])]),
            ("{{a | range(\"a)b\")}}", vec![column("a", &[Range("a)b".into())])]),
            ("{{a | amount | amount($)}}", vec![column("a", &[Amount("¥".into()), Amount("$".into())])]),
            ("{{a | number | number(0)}}", vec![column("a", &[Number(None), Number(Some(0))])]),
            ("{{a | default(见(附近)页) | short( 5 )}}", vec![column("a", &[Default("见(附近)页".into()), Short(5)])]),
            ("{{a | default()}}", vec![column("a", &[Default(String::new())])]),
            ("{{a | default(x | y)}}", vec![column("a", &[Default("x | y".into())])]),
        ] {
            assert_eq!(field(text).as_ref(), Ok(&expected), "{text}");
        }
        let of_user = Piece::Variable(Variable { source: Source::Openid, formatters: vec![Formatter::Raw] });
        assert_eq!(Text::parse("{{@openid|raw}}", Kind::Page, 1).map(|text| text.pieces), Ok(vec![of_user]));
    }

    #[test]
    fn each_mistake_in_a_text_is_told() {
        for (text, why) in [
            ("{{名称", "text_unclosed"),
            ("{{名称}", "text_brace_in_name"),
            ("{{名称 | short(5)", "text_bracket_unclosed"),
            ("{{名称 | date", "text_unclosed"),
            ("{{}}", "text_no_name"),
            ("{{ | date}}", "text_no_name"),
            ("{{\"\"}}", "text_no_name"),
            ("{{\"a}}", "text_quote_unclosed"),
            ("{{a\"b}}", "text_quote_in_name"),
            ("{{\"a\" b}}", "text_unexpected"),
            ("{{@evnt}}", "text_unknown_source"),
            ("{{a | datetme}}", "text_unknown_formatter"),
            ("{{a |}}", "text_unknown_formatter"),
            ("{{a | short}}", "text_formatter_usage"),
            ("{{a | short(0)}}", "text_formatter_usage"),
            ("{{a | short(x)}}", "text_formatter_usage"),
            ("{{a | number(10)}}", "text_formatter_usage"),
            ("{{a | date(1)}}", "text_formatter_usage"),
            ("{{a | range()}}", "text_formatter_usage"),
            ("{{a | amount(人民币元)}}", "text_formatter_usage"),
            ("{{a | default}}", "text_formatter_usage"),
            ("{{a | default（见活动页）}}", "text_full_width_bracket"),
            ("{{a | raw}}", "text_raw_in_field"),
            (&"x".repeat(4_097), "text_too_long"),
            (&"{{a}}".repeat(65), "text_variables"),
            (&format!("{{{{a{}}}}}", "|oneline".repeat(17)), "text_formatters"),
        ] {
            assert_eq!(field(text), Err(why), "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_a_text_says_it_is_read_or_refused(text in "[{}|()\"@a名 shortdefaultraw0-9]{0,40}|.{0,60}") {
            for kind in [Kind::Field, Kind::Page] {
                let _ = Text::parse(&text, kind, 1);
            }
        }
    }
}

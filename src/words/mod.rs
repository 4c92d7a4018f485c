//! Every sentence that a person reads, in Chinese and in English: one line in `zh.rs` and one in `en.rs`.
//!
//! The rest of the code makes a [`Message`], a key with named arguments, and does not care for the language. The code that speaks to a person
//! has a [`Voice`]. Log lines are not here: they are English, and stand where they are written.

mod en;
mod zh;
pub mod word;

use chrono::{DateTime, SecondsFormat, TimeZone, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::{borrow::Cow, collections::HashMap, fmt, sync::LazyLock};

/// A language that tixing speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Lang {
    /// English.
    #[default]
    En,
    /// 中文。
    Zh,
}

impl Lang {
    /// The language that a caller prefers, by an HTTP `Accept-Language`: English if it names neither.
    pub fn accepted(header: &str) -> Self {
        let mut best = (0.0, Self::En);
        for part in header.split(',') {
            let (tag, parameters) = part.split_once(';').unwrap_or((part, ""));
            let tag = tag.trim();
            let is = |prefix: &str| tag.get(..2).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
            let lang = if is("zh") {
                Self::Zh
            } else if is("en") {
                Self::En
            } else {
                continue;
            };
            let weight = parameters.trim().strip_prefix("q=").map_or(1.0, |q| q.trim().parse::<f32>().unwrap_or(0.0));
            if weight > best.0 {
                best = (weight, lang);
            }
        }
        best.1
    }

    fn sentences(self) -> &'static HashMap<&'static str, &'static str> {
        static EN: LazyLock<HashMap<&str, &str>> = LazyLock::new(|| en::SENTENCES.iter().copied().collect());
        static ZH: LazyLock<HashMap<&str, &str>> = LazyLock::new(|| zh::SENTENCES.iter().copied().collect());
        match self {
            Self::En => &EN,
            Self::Zh => &ZH,
        }
    }
}

/// How a person is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Voice {
    /// In which language.
    pub lang: Lang,
    /// In which zone times are shown; UTC without one.
    pub zone: Option<Tz>,
}

impl Voice {
    /// A voice of this language that shows times in UTC.
    pub const fn new(lang: Lang) -> Self {
        Self { lang, zone: None }
    }

    /// The same with times in this zone.
    #[must_use]
    pub const fn in_zone(self, zone: Option<Tz>) -> Self {
        Self { lang: self.lang, zone }
    }

    /// An instant as a person reads it, with its offset, such as `2027-03-01 10:00:00+08:00`. Milliseconds are shown only if there are any.
    pub fn time(self, at: i64) -> String {
        let seconds = if at % 1_000 == 0 { SecondsFormat::Secs } else { SecondsFormat::Millis };
        let text = match self.zone {
            Some(zone) => zone.timestamp_millis_opt(at).single().map(|t| t.to_rfc3339_opts(seconds, false)),
            None => DateTime::<Utc>::from_timestamp_millis(at).map(|t| t.to_rfc3339_opts(seconds, true)),
        };
        text.map_or_else(|| at.to_string(), |text| text.replacen('T', " ", 1))
    }

    /// A span of time in its two largest units, such as `2 h 30 min`.
    pub fn span(self, ms: i64) -> String {
        let units = [
            (86_400_000, "d", "天"),
            (3_600_000, "h", "小时"),
            (60_000, "min", "分钟"),
            (1_000, "s", "秒"),
            (1, "ms", "毫秒"),
        ];
        let (mut left, mut said) = (ms.max(0), Vec::new());
        for (length, en, zh) in units {
            let n = left / length;
            left %= length;
            // Milliseconds beside minutes are noise.
            if n > 0 && (length > 1 || said.is_empty()) {
                said.push(format!("{n} {}", if self.lang == Lang::En { en } else { zh }));
            }
            if said.len() == 2 {
                break;
            }
        }
        let none = if self.lang == Lang::En { "0 s" } else { "0 秒" };
        if said.is_empty() { none.to_owned() } else { said.join(" ") }
    }
}

/// Words that stand in both languages elsewhere, such as in a platform's table of error codes. As an argument they are said in the
/// message's language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Both {
    /// In English.
    pub en: &'static str,
    /// 中文。
    pub zh: &'static str,
}

/// A sentence, or a part of one, before it has a language: a key of the catalogue and the arguments that its sentence names.
///
/// It serialises as `{"say": key, …arguments}`, so that it can be stored and told years later. [`fmt::Display`] is English, for logs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Map<String, Value>", try_from = "Map<String, Value>")]
pub struct Message {
    key: Cow<'static, str>,
    args: Map<String, Value>,
}

const KEY: &str = "say";

impl Message {
    /// The sentence of this key. [`say!`] is the shorter way.
    pub fn new(key: &'static str) -> Self {
        Self { key: key.into(), args: Map::new() }
    }

    /// The same with an argument more: text, a number, a list, another message, or nothing.
    ///
    /// # Panics
    /// When it cannot be serialised, which those can.
    #[must_use]
    pub fn with(mut self, name: &str, value: &impl Serialize) -> Self {
        self.args
            .insert(name.to_owned(), serde_json::to_value(value).expect("text, numbers, lists and messages serialise"));
        self
    }

    /// Words that have no language of ours: those of a platform or of the system.
    pub fn text(words: impl Into<String>) -> Self {
        Self::new("text").with("text", &words.into())
    }

    /// A value of an enum that is serialised with `#[serde(tag = "say")]`: its variants are keys, their fields the arguments.
    ///
    /// # Panics
    /// When it is serialised otherwise.
    pub fn of(value: &impl Serialize) -> Self {
        serde_json::from_value(serde_json::to_value(value).expect("it serialises")).expect("it is tagged with «say»")
    }

    /// Its key, to branch on in tests and programs.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The sentence as this voice says it. A key that the catalogue lacks, written by a newer version perhaps, is shown with its arguments.
    pub fn say(&self, voice: Voice) -> String {
        match voice.lang.sentences().get(&*self.key) {
            Some(pattern) => self.fill(pattern, voice),
            None => {
                let args: Vec<String> =
                    self.args.iter().map(|(name, v)| format!("{name}: {}", shown(v, "", voice))).collect();
                format!("{} ({})", self.key, args.join(", "))
            }
        }
    }

    fn fill(&self, pattern: &str, voice: Voice) -> String {
        let mut said = String::with_capacity(pattern.len() + 32);
        let mut rest = pattern;
        while let Some(place) = Place::next(rest) {
            said.push_str(&rest[..place.from]);
            said.push_str(&self.args.get(place.name).map(|v| shown(v, place.format, voice)).unwrap_or_default());
            rest = &rest[place.until..];
        }
        said + rest
    }
}

/// A place for an argument in a sentence: `{name}` or `{name:format}`. A brace before anything else is just a brace.
#[derive(Debug, PartialEq, Eq)]
struct Place<'p> {
    from: usize,
    until: usize,
    name: &'p str,
    format: &'p str,
}

impl<'p> Place<'p> {
    /// The first one.
    fn next(pattern: &'p str) -> Option<Self> {
        pattern.match_indices('{').find_map(|(from, _)| {
            let inside = &pattern[from + 1..];
            let end = inside.find('}')?;
            let (name, format) = inside[..end].split_once(':').unwrap_or((&inside[..end], ""));
            let is_name =
                !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
            is_name.then_some(Self { from, until: from + 1 + end + 1, name, format })
        })
    }
}

/// An argument as a person reads it.
///
/// Formats: `time` for an instant in milliseconds, `span` for a duration in milliseconds, `count word` or `count one/many` for a number
/// with its noun in English.
fn shown(value: &Value, format: &str, voice: Voice) -> String {
    match (value, format) {
        (Value::Number(n), "time") if let Some(at) = n.as_i64() => voice.time(at),
        (Value::Number(n), "span") if let Some(ms) = n.as_i64() => voice.span(ms),
        (Value::Number(n), format) if let Some(noun) = format.strip_prefix("count ") => {
            let (one, many) =
                noun.split_once('/').map_or_else(|| (noun, format!("{noun}s")), |(one, many)| (one, many.to_owned()));
            if n.as_i64() == Some(1) { format!("1 {one}") } else { format!("{n} {many}") }
        }
        (Value::String(text), _) => text.clone(),
        (Value::Null, _) => String::new(),
        (Value::Array(values), _) => {
            let values: Vec<String> = values.iter().map(|v| shown(v, format, voice)).collect();
            values.join(if voice.lang == Lang::Zh { "、" } else { ", " })
        }
        (Value::Object(object), _) => match Message::try_from(object.clone()) {
            Ok(message) => message.say(voice),
            Err(_) => {
                let lang = if voice.lang == Lang::Zh { "zh" } else { "en" };
                object.get(lang).and_then(Value::as_str).map_or_else(|| value.to_string(), str::to_owned)
            }
        },
        (Value::Number(_) | Value::Bool(_), _) => value.to_string(),
    }
}

impl From<Both> for Message {
    fn from(both: Both) -> Self {
        Self::new("text").with("text", &both)
    }
}

impl From<Message> for Map<String, Value> {
    fn from(message: Message) -> Self {
        let mut map = message.args;
        map.insert(KEY.to_owned(), message.key.into_owned().into());
        map
    }
}

impl TryFrom<Map<String, Value>> for Message {
    type Error = &'static str;

    fn try_from(mut map: Map<String, Value>) -> Result<Self, Self::Error> {
        match map.remove(KEY) {
            Some(Value::String(key)) => Ok(Self { key: key.into(), args: map }),
            _ => Err("a message has a member «say»"),
        }
    }
}

/// In English, with times in UTC.
impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.say(Voice::default()))
    }
}

impl std::error::Error for Message {}

/// A [`Message`]: `say!("too_long", found = 21, most = 20)`.
macro_rules! say {
    ($key:literal $(, $name:ident = $value:expr)* $(,)?) => {
        $crate::words::Message::new($key)$(.with(stringify!($name), &$value))*
    };
}
pub(crate) use say;

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        collections::{BTreeMap, BTreeSet},
        fs,
        path::Path,
    };

    #[test]
    fn a_message_is_said_in_both_languages_and_survives_being_stored() {
        let message = Message::new("k").with("n", &1).with("until", &1_803_865_800_500_i64).with("left", &9_000_000);
        let message = message.with("why", &Message::text("x"));
        let (en, zh) = (Voice::default(), Voice::new(Lang::Zh).in_zone(Some(chrono_tz::Asia::Shanghai)));
        assert_eq!(
            message.fill("{n:count entry/entries} until {until:time}, in {left:span}: {why} { like = \"this\" }", en),
            "1 entry until 2027-03-01 01:50:00.500Z, in 2 h 30 min: x { like = \"this\" }"
        );
        assert_eq!(
            message.fill("至 {until:time} 共 {n} 条，还有 {left:span}：{why}", zh),
            "至 2027-03-01 09:50:00.500+08:00 共 1 条，还有 2 小时 30 分钟：x"
        );
        let stored = serde_json::to_string(&message).expect("serialises");
        assert_eq!(serde_json::from_str::<Message>(&stored).expect("is one"), message);
        let both = Message::new("k").with("both", &Both { en: "gone", zh: "已删除" });
        assert_eq!([en, zh].map(|voice| both.fill("{both}", voice)), ["gone", "已删除"]);
        let unknown: Message = serde_json::from_str(r#"{"say":"of_tomorrow","n":[2,"a"]}"#).expect("is one");
        assert_eq!(unknown.to_string(), "of_tomorrow (n: 2, a)");
    }

    #[test]
    fn the_callers_language_is_the_one_it_likes_best() {
        for (header, lang) in [
            ("", Lang::En),
            ("zh-CN,zh;q=0.9,en;q=0.8", Lang::Zh),
            ("en;q=0.8, zh-Hans;q=0.9", Lang::Zh),
            ("en-GB,en;q=0.5,zh;q=0.1", Lang::En),
            ("fr, zh;q=0", Lang::En),
            ("*", Lang::En),
            ("日本", Lang::En),
        ] {
            assert_eq!(Lang::accepted(header), lang, "{header}");
        }
    }

    fn places(pattern: &str) -> BTreeSet<&str> {
        let (mut rest, mut names) = (pattern, BTreeSet::new());
        while let Some(place) = Place::next(rest) {
            names.insert(place.name);
            rest = &rest[place.until..];
        }
        names
    }

    #[test]
    fn every_sentence_has_both_languages_and_both_say_the_same() {
        let keys = |sentences: &'static [(&str, &str)]| sentences.iter().map(|(key, _)| *key).collect::<Vec<_>>();
        // In the same order, so that the two files can be read side by side.
        let (en, zh) = (keys(en::SENTENCES), keys(zh::SENTENCES));
        for (i, key) in en.iter().enumerate() {
            assert_eq!(Some(key), zh.get(i), "line {i}: zh.rs has another sentence than en.rs");
        }
        assert_eq!(en.len(), zh.len(), "zh.rs has more sentences than en.rs");
        assert_eq!(en.iter().collect::<BTreeSet<_>>().len(), en.len(), "a key stands twice");
        for ((key, en), (_, zh)) in en::SENTENCES.iter().zip(zh::SENTENCES) {
            assert_eq!(places(en), places(zh), "«{key}» has other arguments in Chinese");
        }
    }

    /// The keys that the source uses, each with the names of its arguments and its file: of `say!(…)` and of enums with `tag = "say"`.
    fn used() -> Vec<(String, BTreeSet<String>, String)> {
        let mut found = Vec::new();
        for (file, text) in sources() {
            for call in text.split("say!(").skip(1).filter(|call| call.trim_start().starts_with('"')) {
                let parts = arguments(call);
                let key = parts[0].trim().trim_matches('"').to_owned();
                let named = parts[1..].iter().filter_map(|part| Some(part.split_once('=')?.0.trim().to_owned()));
                found.push((key, named.collect(), file.clone()));
            }
            // On a page of the console.
            for said in text.split("frame.say(\"").skip(1) {
                let key = said.split('"').next().unwrap_or_default().to_owned();
                found.push((key, BTreeSet::new(), file.clone()));
            }
            for tagged in text.split("tag = \"say\"").skip(1) {
                let body = tagged.split("\n}").next().unwrap_or_default().split_once('{').map_or("", |(_, body)| body);
                let mut in_variant = false;
                for line in body.lines() {
                    let name: String = line.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                    let is_field = line.starts_with("        ") && line.trim().contains(": ");
                    if line.strip_prefix("    ").is_some_and(|rest| rest.starts_with(char::is_uppercase)) {
                        found.push((snake(&name), BTreeSet::new(), file.clone()));
                        in_variant = true;
                    } else if in_variant && is_field && !line.trim().starts_with("//") {
                        found.last_mut().expect("a variant").1.insert(name);
                    }
                }
            }
        }
        found
    }

    fn snake(name: &str) -> String {
        let parts = name.chars().enumerate().flat_map(|(i, c)| {
            let gap = (c.is_uppercase() && i > 0).then_some('_');
            gap.into_iter().chain(c.to_lowercase())
        });
        parts.collect()
    }

    fn sources() -> Vec<(String, String)> {
        fn walk(folder: &Path, found: &mut Vec<(String, String)>) {
            for entry in fs::read_dir(folder).expect("readable").flatten() {
                let path = entry.path();
                if path.is_dir() {
                    walk(&path, found);
                } else if path.extension().is_some_and(|e| e == "rs" || e == "html") {
                    found.push((path.display().to_string(), fs::read_to_string(&path).expect("readable")));
                }
            }
        }
        let mut found = Vec::new();
        walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
        // The catalogue, and this file, which says how it is done.
        found.retain(|(file, _)| {
            !["en", "zh", "mod"].iter().any(|name| file.ends_with(&format!("src/words/{name}.rs")))
        });
        found
    }

    /// What stands between the commas of a macro call, up to its closing parenthesis.
    fn arguments(call: &str) -> Vec<String> {
        let (mut depth, mut text, mut parts, mut part) = (0, false, Vec::new(), String::new());
        let mut chars = call.chars();
        while let Some(c) = chars.next() {
            match c {
                '\\' if text => {
                    chars.next();
                }
                '"' => text = !text,
                _ if text => {}
                '(' | '[' | '{' => depth += 1,
                ')' if depth == 0 => break,
                ')' | ']' | '}' => depth -= 1,
                ',' if depth == 0 => {
                    parts.push(std::mem::take(&mut part));
                    continue;
                }
                _ => {}
            }
            part.push(c);
        }
        parts.push(part);
        parts.retain(|part| !part.trim().is_empty());
        parts
    }

    #[test]
    fn the_source_and_the_catalogue_know_the_same_sentences() {
        let (used, sources) = (used(), sources());
        let known: BTreeMap<&str, &str> = en::SENTENCES.iter().copied().collect();
        for (key, named, file) in &used {
            let pattern = known.get(key.as_str());
            let pattern = pattern.unwrap_or_else(|| panic!("{file} says «{key}», which the catalogue lacks"));
            let placed: BTreeSet<String> = places(pattern).into_iter().map(str::to_owned).collect();
            assert_eq!(named, &placed, "«{key}» in {file} gives other arguments than its sentence names");
        }
        // The words of others have no sentence of ours. A key that is looked up stands in the source all the same.
        for key in known.keys().filter(|key| **key != "text") {
            let said = used.iter().any(|(used, ..)| used == key);
            let looked_up = || sources.iter().any(|(_, text)| text.contains(&format!("\"{key}\"")));
            assert!(said || looked_up(), "nobody says «{key}»: take it out of the catalogue");
        }
    }
}

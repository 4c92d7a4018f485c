//! The concepts of tixing and its decisions, as pure functions of values. No I/O, no clock: `now` is always an argument.

pub mod template;
pub mod options;
pub mod outage;
pub mod text;
pub mod page;
pub mod timing;
pub mod consent;
pub mod ledger;
pub mod ask;
pub mod reminder;
pub mod request;
pub mod outcome;
pub mod reason;
pub mod recall;
pub mod past;
pub mod push;
pub mod due;
pub mod gate;
pub mod decide;
pub mod settle;
pub mod retention;
pub mod draft;
pub mod story;
pub mod absence;
pub mod schedule;
pub mod left_out;
pub mod masked;
pub mod node;

use crate::words::{Message, say};

/// An instant in UTC milliseconds since 1970: the only form in which the engine and the store know time.
pub type Millis = i64;

/// Milliseconds in a second.
pub const SECOND: Millis = 1_000;
/// Milliseconds in a minute.
pub const MINUTE: Millis = 60 * SECOND;
/// Milliseconds in an hour.
pub const HOUR: Millis = 60 * MINUTE;
/// Milliseconds in a day of 24 hours.
pub const DAY: Millis = 24 * HOUR;

/// A refusal of input that names the field at fault: what was found, what is allowed, what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// Stable machine-readable name, listed in the OpenAPI file.
    pub code: &'static str,
    /// JSON pointer to the field at fault, such as `/data/thing1`.
    pub param: String,
    /// One sentence for a person.
    pub detail: Message,
}

impl Invalid {
    /// A refusal of the field at `param`.
    pub fn new(code: &'static str, param: impl Into<String>, detail: impl Into<Message>) -> Self {
        Self { code, param: param.into(), detail: detail.into() }
    }
}

/// A JSON pointer to what lies at these steps. `~` and `/` in a name are escaped, as RFC 6901 wants.
pub fn pointer<S: AsRef<str>>(steps: impl IntoIterator<Item = S>) -> String {
    let escaped = |step: S| format!("/{}", step.as_ref().replace('~', "~0").replace('/', "~1"));
    steps.into_iter().map(escaped).collect()
}

/// «; did you mean …?», if one of `known` is near enough to `word` to be a typing error.
pub fn hint<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<Message> {
    did_you_mean(word, known).map(|near| say!("did_you_mean", near = near))
}

/// The closest of `known` to `word`, if it is near enough to be a typing error.
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|k| (strsim::damerau_levenshtein(word, k), k))
        .filter(|(distance, k)| *distance <= 1 + k.len() / 4)
        .min()
        .map(|(_, k)| k)
}

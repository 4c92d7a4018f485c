//! One code of a platform's error table: what it means for a reminder and what a person should do.

use crate::{
    domain::outcome::Reaction,
    words::{Both, Message},
};

/// One code.
#[derive(Debug, Clone, Copy)]
pub struct Code {
    /// As the platform writes it.
    pub code: &'static str,
    /// What follows.
    pub reaction: Reaction,
    /// What of the template is to blame, if the template is: the next reminder of it will hardly fare better.
    pub blames: Option<Blame>,
    /// Whether the platform may have taken the message all the same: then nothing but a doubt follows.
    pub doubt: bool,
    /// What it means and what to do.
    pub en: &'static str,
    /// The same in Chinese.
    pub zh: &'static str,
}

/// What of a template a refusal blames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Blame {
    /// The account has no such template.
    Gone,
    /// The message does not fit the template's fields.
    Content,
}

impl Code {
    /// A code that blames no template.
    pub const fn new(code: &'static str, reaction: Reaction, en: &'static str, zh: &'static str) -> Self {
        Self { code, reaction, blames: None, doubt: false, en, zh }
    }

    /// A code that does not tell whether the platform has taken the message.
    pub const fn doubt(code: &'static str, en: &'static str, zh: &'static str) -> Self {
        Self { doubt: true, ..Self::new(code, Reaction::Refuse, en, zh) }
    }

    /// What it means and what to do, in both languages.
    pub fn meaning(&self) -> Message {
        Both { en: self.en, zh: self.zh }.into()
    }

    /// The same, but the template is to blame.
    #[must_use]
    pub const fn blaming(self, blame: Blame) -> Self {
        Self { blames: Some(blame), ..self }
    }
}

//! The static facts about one platform. The configuration checks an app by them, and the API a reminder or a consent, so that no other
//! code has to ask which platform it is.

use super::{
    adapter::Adapter,
    code::Code,
    push::{PushSecrets, Pushes},
};
use crate::domain::{
    options::SendOption,
    outcome::Reaction,
    template::{FieldRules, Kind},
};
use secrecy::SecretString;
use std::{collections::BTreeMap, fmt};

/// One platform.
pub struct Facts {
    /// The word in the configuration and in JSON.
    pub word: &'static str,
    /// Where its API answers, unless the app says otherwise.
    pub base_url: &'static str,
    /// How its ids of mini-programs look.
    pub appid: AppidShape,
    /// The keys of the configuration that name an app's secrets.
    pub credentials: &'static [&'static str],
    /// What people call a column of its users' ids in a table, beside the names that are common to all.
    pub openid_columns: &'static [&'static str],
    /// The popup in which a user accepts.
    pub popup: Popup,
    /// The kinds of consent that it knows.
    pub kinds: &'static [Kind],
    /// How the values of a template's fields are checked.
    pub fields: FieldRules,
    /// What a send may choose.
    pub options: &'static [SendOption],
    /// What it can tell about a send whose answer was lost.
    pub doubt: Doubt,
    /// Its codes: what each means and what follows. A code that is not listed has an answer of the adapter's.
    pub codes: &'static [Code],
    /// Its adapter for an app.
    pub adapter: fn(&Account<'_>) -> Box<dyn Adapter>,
    /// How an app's pushes are read, if it pushes. Refuses secrets that do not have the platform's shape.
    pub pushes: Option<ReadPushes>,
}

/// Makes a reader of an app's pushes, or says what is wrong with the secrets.
pub type ReadPushes = fn(&Account<'_>, &PushSecrets) -> Result<Box<dyn Pushes>, String>;

/// A mini-program as its platform knows it.
#[derive(Debug, Clone, Copy)]
pub struct Account<'a> {
    /// Where the platform's API answers, without a slash at the end.
    pub base_url: &'a str,
    /// The platform's id of the mini-program.
    pub appid: &'a str,
    /// Its secrets.
    pub secrets: &'a Secrets,
}

/// An app's secrets by the keys of [`Facts::credentials`], none of which is missing.
pub type Secrets = BTreeMap<&'static str, SecretString>;

/// How a platform's ids of mini-programs look.
pub struct AppidShape {
    /// An example.
    pub like: &'static str,
    /// Whether an id looks so. One that does not is taken all the same, with a warning.
    pub fits: fn(&str) -> bool,
}

/// The popup in which a mini-program asks its user.
pub struct Popup {
    /// Templates that it can ask for at once.
    pub most: usize,
    /// Templates that it asks for unless the app says otherwise: what old clients can show, too.
    pub usual: usize,
    /// The words that it answers with for a template.
    pub words: &'static [&'static str],
    /// Whether a word grants a consent; `None` for a word that nobody knows.
    pub grants: fn(&str) -> Option<bool>,
}

/// What a platform can tell about a send whose answer was lost.
pub struct Doubt {
    /// Whether it refuses a second message for the same consent. Then a message that was sent on a user's only consent can be sent again:
    /// it is accepted only if the first one never arrived.
    pub counts_consents: bool,
    /// Whether it pushes a receipt for a message.
    pub sends_receipts: bool,
}

impl Facts {
    /// What it means by a code, if that is listed.
    pub fn code(&self, code: &str) -> Option<&'static Code> {
        self.codes.iter().find(|known| known.code == code)
    }

    /// Whether a refusal with this code means that the platform knows no consent, so that ours are void.
    pub fn denies(&self, code: &str) -> bool {
        self.code(code).is_some_and(|code| code.reaction == Reaction::Deny)
    }

    /// The option of this name.
    pub fn option(&self, name: &str) -> Option<&'static SendOption> {
        self.options.iter().find(|option| option.name == name)
    }
}

/// There is one value for each platform, so its word tells them apart.
impl PartialEq for Facts {
    fn eq(&self, other: &Self) -> bool {
        self.word == other.word
    }
}

impl fmt::Debug for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word)
    }
}

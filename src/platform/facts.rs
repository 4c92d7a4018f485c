//! The static facts about one platform. The configuration checks an app by them, and the API a reminder or a consent, so that no other
//! code has to ask which platform it is.

use super::{adapter::Adapter, code::Code, push::Pushes, status};
use crate::{
    domain::{
        Millis,
        consent::Tickets,
        options::{Options, SendOption},
        outcome::{Outcome, Reaction, clean},
        page::PageRules,
        pointer,
        template::{FieldRules, Kind},
    },
    words::{Message, say},
};
use secrecy::SecretString;
use serde_json::Value;
use std::{collections::BTreeMap, fmt};

/// One platform.
pub struct Facts {
    /// The word in the configuration and in JSON.
    pub word: &'static str,
    /// Where its API answers, unless the app says otherwise.
    pub base_url: &'static str,
    /// How its ids of mini-programs look.
    pub appid: AppidShape,
    /// The keys of the configuration that name an app's secrets: an app has all of one of these sets. A dot leads into a table.
    pub credentials: &'static [&'static [&'static str]],
    /// Those of them that anybody may read: public keys and certificates.
    pub public: &'static [&'static str],
    /// What else an app can say of itself; the first value is the default.
    pub settings: &'static [SendOption],
    /// Why a text cannot be one of its users' ids, beyond what holds on every platform.
    pub user: fn(&str, &Options) -> Result<(), Message>,
    /// What people call a column of its users' ids in a table, beside the names that are common to all.
    pub openid_columns: &'static [&'static str],
    /// The popup in which a user accepts.
    pub popup: Popup,
    /// The kinds of consent that it knows.
    pub kinds: &'static [Kind],
    /// Whether one accept can be worth several sends within a time, as a template says.
    pub accepts_many: bool,
    /// The tickets that a send can name instead of an accept.
    pub tickets: Tickets,
    /// What an app that says this of itself can name as the page that opens on tap.
    pub page: fn(&Options) -> PageRules,
    /// Whether it takes calls from the addresses alone that an app has listed, and says which one it saw.
    pub lists_addresses: bool,
    /// How many sends a second the platform takes from an app at most, if it says so.
    pub most_per_second: Option<u32>,
    /// How far apart two messages to one user leave, at least.
    pub apart: Option<Millis>,
    /// How the values of a template's fields are checked.
    pub fields: FieldRules,
    /// What a send may choose.
    pub options: &'static [SendOption],
    /// What it can tell about a send whose answer was lost.
    pub doubt: Doubt,
    /// Its codes: what each means and what follows. A code that is not listed has an answer of the adapter's.
    pub codes: &'static [Code],
    /// Its adapter for an app. Refuses secrets that do not have the platform's shape.
    pub adapter: fn(&Account<'_>) -> Result<Box<dyn Adapter>, BadSecret>,
    /// How an app's pushes are read, if it pushes.
    pub pushes: Option<PushFacts>,
    /// An app to start from.
    pub sample: Sample,
}

/// An app of a platform to start from: `init` writes it, and the demo and tests run it. With the sandbox it works as it is.
pub struct Sample {
    /// Its id.
    pub appid: &'static str,
    /// The lines of TOML that name its secrets and what else only this platform asks, with comments for what can be added.
    pub own: &'static str,
    /// The files that they name: their names and texts, which the sandbox takes.
    pub files: &'static [(&'static str, &'static str)],
    /// The lines, as comments, that would let the platform push.
    pub callback: &'static str,
    /// Its templates as TOML, each an `[[app.template]]`. The first is called `event-start`.
    pub templates: &'static str,
    /// The fields of that one: those for what begins, when, and where.
    pub event: [&'static str; 3],
    /// A user's id by a number, in the platform's shape.
    pub openid: fn(u32) -> String,
}

/// What is static about a platform's pushes.
pub struct PushFacts {
    /// The keys of `callback` that name their secrets, and what an app does without if it leaves one out.
    pub secrets: &'static [PushSecret],
    /// What they tell of.
    pub tells: Tells,
    /// Makes a reader of an app's pushes; the secrets are those of `callback`. Refuses secrets that do not have the platform's shape.
    pub reader: ReadPushes,
}

impl PushFacts {
    /// How `callback` is written, for a sentence that says what to add.
    pub fn example(&self) -> String {
        let needed = self.secrets.iter().filter(|secret| secret.left_out != LeftOut::Replaced);
        let needed: Vec<String> = needed.map(|secret| format!("{} = {{…}}", secret.key)).collect();
        if needed.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", needed.join(", ")) }
    }

    /// Whether pushes can be encrypted; those that cannot are signed.
    pub fn encrypts(&self) -> bool {
        self.secrets.iter().any(|secret| secret.left_out == LeftOut::InClear)
    }
}

/// What a platform's pushes tell of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tells {
    /// That a user accepted, or wants no more.
    pub taps: bool,
    /// That a message, or a part of it, did not arrive. Whether they tell that one did is said by [`Doubt::sends_receipts`].
    pub failures: bool,
}

impl Tells {
    /// Nothing that matters to tixing.
    pub const NOTHING: Self = Self { taps: false, failures: false };
}

/// Makes a reader of an app's pushes.
pub type ReadPushes = fn(&Account<'_>, &Secrets) -> Result<Box<dyn Pushes>, BadSecret>;

/// One secret of a platform's pushes.
pub struct PushSecret {
    /// Its key in `callback`.
    pub key: &'static str,
    /// What follows if it is left out.
    pub left_out: LeftOut,
}

/// What follows from a secret that is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftOut {
    /// The configuration is refused.
    Refused,
    /// The pushes come in clear, and a warning says so.
    InClear,
    /// Nothing: a secret of the app takes its place.
    Replaced,
}

/// A secret that does not have the platform's shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadSecret {
    /// Its key in the configuration.
    pub key: &'static str,
    /// What is wrong with it, without a word of it, and what would be right.
    pub why: Message,
}

/// A mini-program as its platform knows it.
#[derive(Debug, Clone, Copy)]
pub struct Account<'a> {
    /// Where the platform's API answers, without a slash at the end.
    pub base_url: &'a str,
    /// The platform's id of the mini-program.
    pub appid: &'a str,
    /// Its secrets by the keys of [`Facts::credentials`]: all of one set, or none where its tokens come from elsewhere.
    pub secrets: &'a Secrets,
    /// What else it says of itself, by the names of [`Facts::settings`].
    pub settings: &'a Options,
}

impl Account<'_> {
    /// The secret of this key; empty where the app's tokens come from elsewhere.
    pub fn secret(&self, key: &str) -> SecretString {
        self.secrets.get(key).cloned().unwrap_or_else(|| String::new().into())
    }
}

/// Secrets by their keys in the configuration.
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
    /// The members of the object that the client's call gives which name no template.
    pub beside: &'static [&'static str],
    /// Whether a word grants a consent; `None` for a word that nobody knows.
    pub grants: fn(&str) -> Option<bool>,
    /// Why a word adds nothing though the user did not refuse; `None` for the others.
    pub adds_nothing: fn(&str) -> Option<Message>,
    /// Reads the object that the client's call gave: the platform's template ids, and what the user chose. Where the object does not say
    /// which template it is about, the id is empty.
    ///
    /// # Errors
    /// Where, what was found, and what the call gives.
    pub read: fn(&Value) -> Result<BTreeMap<String, Choice>, Misread>,
}

/// What a user chose for one template of a popup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// A send.
    Granted,
    /// None.
    Refused,
    /// Neither: nothing is new, and this is why.
    Nothing(Message),
}

impl Choice {
    /// Whether a send was granted; `None` if nothing is new.
    pub fn granted(&self) -> Option<bool> {
        match self {
            Self::Granted => Some(true),
            Self::Refused => Some(false),
            Self::Nothing(_) => None,
        }
    }
}

impl From<bool> for Choice {
    fn from(granted: bool) -> Self {
        if granted { Self::Granted } else { Self::Refused }
    }
}

/// Why the object that a client's call gave cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misread {
    /// A JSON pointer to the culprit in the object; empty for the object itself.
    pub at: String,
    /// What was found, and what the call gives.
    pub why: Message,
}

impl Misread {
    /// The culprit lies at these steps.
    pub fn at<S: AsRef<str>>(steps: impl IntoIterator<Item = S>, why: Message) -> Self {
        Self { at: pointer(steps), why }
    }

    /// The object is none.
    pub fn whole(why: Message) -> Self {
        Self { at: String::new(), why }
    }
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

    /// What an answer with this code means: as it is listed, or `unlisted`.
    pub fn answered(&self, code: String, text: &str, unlisted: Reaction) -> Outcome {
        let known = self.code(&code);
        if let Some(known) = known.filter(|known| known.doubt) {
            return Outcome::Unknown { cause: say!("answered_in_doubt", code = code, why = known.meaning()) };
        }
        let reaction = known.map_or(unlisted, |known| known.reaction);
        Outcome::Answered { code, text: clean(text, 300), reaction }
    }

    /// What its pushes tell of; nothing where it has none.
    pub fn tells(&self) -> Tells {
        self.pushes.as_ref().map_or(Tells::NOTHING, |pushes| pushes.tells)
    }

    /// Whether consents can end by themselves, or be tickets.
    pub fn consents_end(&self) -> bool {
        self.accepts_many || !self.tickets.kinds.is_empty()
    }

    /// All keys that name secrets of an app, each once.
    pub fn secrets(&self) -> impl Iterator<Item = &'static str> {
        let sets = self.credentials;
        let all = sets.iter().enumerate().flat_map(|(i, set)| set.iter().map(move |key| (i, *key)));
        all.filter(|(i, key)| !sets[..*i].iter().any(|earlier| earlier.contains(key))).map(|(_, key)| key)
    }

    /// What a code means and what to do, if the platform's table lists it or it stands for an HTTP status.
    pub fn meaning(&self, code: &str) -> Option<Message> {
        self.code(code).map(Code::meaning).or_else(|| status::meaning(code))
    }

    /// Whether an app with these secrets of `callback` is pushed to in clear.
    pub fn pushes_in_clear(&self, callback: &Secrets) -> bool {
        let known = self.pushes.iter().flat_map(|pushes| pushes.secrets);
        known.filter(|secret| secret.left_out == LeftOut::InClear).any(|secret| !callback.contains_key(secret.key))
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

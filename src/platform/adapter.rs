//! What a platform's adapter does: every one writes a send and reads its answer, and some can do more.

use super::call::{Answer, Request};
use crate::{
    domain::{Millis, consent::Ticket, options::Options, outcome::Outcome, template::Listed},
    words::Message,
};
use secrecy::SecretString;

/// The adapter of one app. What only some platforms have is asked for by its name, and is `None` for the others.
pub trait Adapter: std::marker::Send + Sync {
    /// The request that sends one message. `now` is for a signature that names its time.
    fn build(&self, send: &Send<'_>, auth: &Auth, now: Millis) -> Request;
    /// What the answer to it means.
    fn classify(&self, answer: &Answer) -> Outcome;
    /// What a person should look into though the outcome stands: told as an alarm, and once in a while only.
    fn remark(&self, _answer: &Answer) -> Option<Message> {
        None
    }
    /// Until when its secrets are good, by their keys in the configuration; those that never end are left out.
    fn secrets_end(&self) -> &[(&'static str, Millis)] {
        &[]
    }
    /// The address of ours that the platform saw, if it refuses that.
    fn refused_address<'a>(&self, _code: &str, _text: &'a str) -> Option<&'a str> {
        None
    }
    /// How the platform is asked whether it takes our credentials, where no token shows it.
    fn proofs(&self) -> Option<&dyn Proofs> {
        None
    }
    /// How a token is fetched. Without tokens a request carries [`Auth::Nothing`].
    fn tokens(&self) -> Option<&dyn Tokens> {
        None
    }
    /// How the platform is asked how many sends are left.
    fn quotas(&self) -> Option<&dyn Quotas> {
        None
    }
    /// How the platform is asked which templates there are.
    fn listings(&self) -> Option<&dyn Listings> {
        None
    }
}

/// Of a platform that gives out tokens.
pub trait Tokens {
    /// The request that fetches one; `force` asks for a new one though the old one lives.
    fn request(&self, force: bool) -> Request;
    /// Reads the answer to it.
    ///
    /// # Errors
    /// The platform's refusal, as the outcome that a send would have had.
    fn read(&self, answer: &Answer) -> Result<Granted, Outcome>;
}

/// Of a platform that gives out no tokens, and can be asked something that changes nothing.
pub trait Proofs {
    /// The question.
    fn request(&self, now: Millis) -> Request;
    /// Whether the answer to it shows that the platform believes us, and we it.
    ///
    /// # Errors
    /// Why it does not.
    fn read(&self, answer: &Answer) -> Result<(), Unproven>;
}

/// Why it is not shown that a platform and an app believe each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unproven {
    /// The platform refuses our credentials.
    Ours {
        /// Its code.
        code: String,
        /// Its words.
        text: String,
    },
    /// By the key that we have of it, the answer is another's.
    Theirs(Message),
    /// The answer does not tell.
    Untold(Message),
}

/// Of a platform that says how many sends are left.
pub trait Quotas {
    /// The request that asks for it.
    fn request(&self, auth: &Auth, now: Millis) -> Request;
    /// Reads the answer to it.
    ///
    /// # Errors
    /// The platform's refusal, as the outcome that a send would have had.
    fn read(&self, answer: &Answer) -> Result<Quota, Outcome>;
}

/// Of a platform that lists an account's templates.
pub trait Listings {
    /// The request that asks for them.
    fn request(&self, auth: &Auth, now: Millis) -> Request;
    /// Reads the answer to it.
    ///
    /// # Errors
    /// The platform's refusal, as the outcome that a send would have had.
    fn read(&self, answer: &Answer) -> Result<Vec<Listed>, Outcome>;
}

/// One message to one user.
#[derive(Debug, Clone, Copy)]
pub struct Send<'a> {
    /// The user.
    pub openid: &'a str,
    /// The platform's template id.
    pub template: &'a str,
    /// Page that opens on tap.
    pub page: Option<&'a str>,
    /// The field values as a JSON object of strings.
    pub data: &'a str,
    /// What was chosen of the platform's options.
    pub options: &'a Options,
    /// The ticket that pays for it, if its consent is one.
    pub ticket: Option<&'a Ticket>,
}

/// What a request carries to show whose it is.
#[derive(Debug, Clone)]
pub enum Auth {
    /// Nothing beside the request itself: it is signed with the app's own key, if at all.
    Nothing,
    /// A token that the platform gave out.
    Token(SecretString),
}

/// A token and how long it lives.
#[derive(Debug, Clone)]
pub struct Granted {
    /// The token.
    pub token: SecretString,
    /// For how long, in milliseconds.
    pub lives: Millis,
}

/// What is left of an API's calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Quota {
    /// Calls a day.
    pub limit: i64,
    /// Calls used today.
    pub used: i64,
    /// Calls left today.
    pub left: i64,
    /// So many calls in so many seconds, if the platform says.
    pub rate: Option<(i64, i64)>,
}

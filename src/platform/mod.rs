//! All that is known of the platforms. An adapter is pure: it writes requests and reads answers, with no I/O and no async,
//! so that recorded requests and answers test it. `transport` is the only place that speaks HTTP.

pub mod call;
pub mod transport;
pub mod token;
pub mod wechat;

use crate::{
    config::{App, Platform},
    domain::{
        Millis,
        outcome::{Outcome, Reaction},
        template::Listed,
    },
};
use secrecy::SecretString;

pub use call::{Answer, Method, Request};

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
    /// Language of the card.
    pub lang: Option<&'a str>,
    /// Which build of the mini-program opens.
    pub miniprogram_state: Option<&'a str>,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// What a platform's adapter does.
pub trait Adapter: std::marker::Send + Sync {
    /// The request that fetches a token; `force` asks for a new one though the old one lives.
    fn token_request(&self, force: bool) -> Request;
    /// Reads the answer to it.
    ///
    /// # Errors
    /// What the platform said, as an outcome that a send would have had.
    fn read_token(&self, answer: &Answer) -> Result<Granted, Outcome>;
    /// The request that sends one message. `now` is for a signature that names its time.
    fn build(&self, send: &Send<'_>, auth: &Auth, now: Millis) -> Request;
    /// What the answer to it means.
    fn classify(&self, answer: &Answer) -> Outcome;
    /// The request that asks how many sends are left.
    fn quota_request(&self, token: &SecretString) -> Request;
    /// Reads the answer to it.
    ///
    /// # Errors
    /// What the platform said, as an outcome that a send would have had.
    fn read_quota(&self, answer: &Answer) -> Result<Quota, Outcome>;
    /// The request that lists the account's templates.
    fn templates_request(&self, token: &SecretString) -> Request;
    /// Reads the answer to it.
    ///
    /// # Errors
    /// What the platform said, as an outcome that a send would have had.
    fn read_templates(&self, answer: &Answer) -> Result<Vec<Listed>, Outcome>;
    /// The code's name if it is a documented one: a closed list, fit for a metric's label.
    fn known_code(&self, code: &str) -> Option<&'static str>;
    /// Whether a refusal with this code is the template's fault.
    fn blames_template(&self, code: &str) -> bool;
    /// The address of ours that the platform saw, if it refuses that.
    fn refused_address<'a>(&self, code: &str, text: &'a str) -> Option<&'a str>;
    /// What the code means and what to do, in English and Chinese.
    fn meaning(&self, code: &str) -> Option<(&'static str, &'static str)>;
}

/// The adapter of an app.
pub fn adapter(app: &App) -> Box<dyn Adapter> {
    match app.platform {
        Platform::Wechat => Box::new(wechat::Wechat::new(app.base_url.clone(), app.appid.clone(), app.secret.clone())),
    }
}

/// How an app's pushes are told from forgeries, if it has any.
pub fn callback(app: &App) -> Option<wechat::callback::Callback> {
    let secrets = app.callback.as_ref()?;
    let callback = wechat::callback::Callback::new(app.appid.clone(), secrets.token.clone(), secrets.aes_key.as_ref());
    Some(callback.expect("the configuration has checked the key's shape"))
}

/// The adapter's table without an app, for explanations.
pub fn meaning(platform: Platform, code: &str) -> Option<(&'static str, &'static str)> {
    match platform {
        Platform::Wechat => wechat::errors::find(code).map(|e| (e.en, e.zh)),
    }
}

/// Whether a refusal with this code means that the platform knows no consent, so that ours are void.
pub fn denies(platform: Platform, code: &str) -> bool {
    match platform {
        Platform::Wechat => wechat::errors::find(code).is_some_and(|e| e.reaction == Reaction::Deny),
    }
}

/// Why a push is not believed. Its `Display` names no content of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is not signed by who knows the token.
    #[error("its signature is not made with this app's callback token")]
    Signature,
    /// It was signed too long ago, or for a time to come.
    #[error("it is signed for another time than now: it is a replay, or the clock is wrong")]
    Stale,
    /// It is encrypted by the key of another, or broken.
    #[error("it cannot be decrypted with this app's callback key")]
    Key,
    /// It is about another mini-program.
    #[error("it is for another appid")]
    Appid,
    /// It is in clear though a key is configured.
    #[error("it is not encrypted though this app has a callback key: choose the secure mode in the platform's console")]
    InClear,
    /// It is neither the platform's JSON nor its XML.
    #[error("it is not of the platform's shape")]
    Shape,
}

impl Refused {
    /// A word for metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Signature => "signature",
            Self::Stale => "stale",
            Self::Key => "key",
            Self::Appid => "appid",
            Self::InClear => "in_clear",
            Self::Shape => "shape",
        }
    }
}

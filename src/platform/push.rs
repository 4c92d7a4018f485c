//! What a platform pushes to our callback address, understood: the same for every platform.

use crate::domain::Millis;
use sha2::{Digest, Sha256};

/// A push about one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// The user.
    pub openid: String,
    /// When it happened, by the platform's clock, which counts in seconds.
    pub at: Millis,
    /// What happened, at most [`MAX_ITEMS`].
    pub items: Vec<Item>,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Item {
    /// The user answered a popup.
    Answered {
        /// The platform's template id.
        template: String,
        /// Whether with «allow».
        accepted: bool,
    },
    /// The user turned a template off.
    TurnedOff {
        /// The platform's template id.
        template: String,
    },
    /// What became of a message that the platform had accepted.
    Receipt(Receipt),
}

/// The platform's later word on a message.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Receipt {
    /// The platform's template id.
    pub template: String,
    /// The platform's message id, if it gives one.
    pub message_id: Option<String>,
    /// The code of what went wrong; `None` when it was delivered.
    pub failure: Option<String>,
    /// The platform's words.
    pub text: String,
}

/// Items of one push: a popup shows five templates at most.
pub const MAX_ITEMS: usize = 64;

impl Push {
    /// A name of its content: the same push sent again has the same, whatever carries it and in whatever order its items stand. Wider
    /// than the user and the second, in which two different things can happen.
    pub fn digest(&self) -> String {
        let mut items: Vec<&Item> = self.items.iter().collect();
        items.sort();
        let mut hash = Sha256::new();
        for part in
            std::iter::once(format!("{}\n{}", self.openid, self.at)).chain(items.iter().map(|i| format!("{i:?}")))
        {
            hash.update(Sha256::digest(part.as_bytes()));
        }
        data_encoding::BASE64URL_NOPAD.encode(&hash.finalize())
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

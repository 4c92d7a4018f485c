//! What an operator says that codes of a platform mean: `codes` of an app. Platforms have codes that their documents do not list, and say of
//! others what is not so; who has seen one can map it, and need not wait for a release.

use super::{
    Adapter, Answer, Auth, Request, Send,
    adapter::{Listings, Proofs, Quotas, Tokens},
};
use crate::{
    domain::{
        MINUTE, Millis, SECOND,
        outcome::{Outcome, Reaction},
    },
    words::Message,
};
use std::collections::BTreeMap;

/// What codes mean, by the code as the platform writes it.
pub type Codes = BTreeMap<String, Reaction>;

/// The words by which an operator says what a code means, and what follows.
const MEANINGS: &[(&str, Reaction)] = &[
    ("refuse", Reaction::Refuse),
    ("deny", Reaction::Deny),
    ("later", Reaction::Later { first: 10 * SECOND }),
    ("busy", Reaction::Busy { first: 2 * SECOND }),
    ("slow", Reaction::Slow { pause: MINUTE }),
    ("pause", Reaction::Pause { pause: 10 * MINUTE }),
    ("token", Reaction::Token),
];

/// What follows from a word.
pub fn reaction(word: &str) -> Option<Reaction> {
    MEANINGS.iter().find(|(known, _)| *known == word).map(|(_, reaction)| *reaction)
}

/// The words.
pub fn words() -> Vec<&'static str> {
    MEANINGS.iter().map(|(word, _)| *word).collect()
}

/// An adapter some of whose codes an operator has mapped.
pub struct Mapped {
    own: Box<dyn Adapter>,
    codes: Codes,
}

impl Mapped {
    /// This adapter, with these codes meaning that.
    pub fn new(own: Box<dyn Adapter>, codes: Codes) -> Self {
        Self { own, codes }
    }
}

impl Adapter for Mapped {
    fn build(&self, send: &Send<'_>, auth: &Auth, now: Millis) -> Request {
        self.own.build(send, auth, now)
    }

    fn classify(&self, answer: &Answer) -> Outcome {
        match self.own.classify(answer) {
            Outcome::Answered { code, text, reaction } => {
                let reaction = self.codes.get(&code).copied().unwrap_or(reaction);
                Outcome::Answered { code, text, reaction }
            }
            // That the message was taken, or may have been, is nobody's opinion.
            other => other,
        }
    }

    fn remark(&self, answer: &Answer) -> Option<Message> {
        self.own.remark(answer)
    }

    fn secrets_end(&self) -> &[(&'static str, Millis)] {
        self.own.secrets_end()
    }

    fn refused_address<'a>(&self, code: &str, text: &'a str) -> Option<&'a str> {
        self.own.refused_address(code, text)
    }

    fn proofs(&self) -> Option<&dyn Proofs> {
        self.own.proofs()
    }

    fn tokens(&self) -> Option<&dyn Tokens> {
        self.own.tokens()
    }

    fn quotas(&self) -> Option<&dyn Quotas> {
        self.own.quotas()
    }

    fn listings(&self) -> Option<&dyn Listings> {
        self.own.listings()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers what the body says: a code, `taken` or `lost`.
    struct Plain;

    impl Adapter for Plain {
        fn build(&self, _: &Send<'_>, _: &Auth, _: Millis) -> Request {
            Request::get("https://platform.example".into())
        }

        fn classify(&self, answer: &Answer) -> Outcome {
            let body = String::from_utf8_lossy(&answer.body).into_owned();
            match body.as_str() {
                "taken" => Outcome::Accepted { message_id: None },
                "lost" => Outcome::Unknown { cause: Message::text("lost") },
                _ => Outcome::Answered { code: body, text: String::new(), reaction: Reaction::Refuse },
            }
        }
    }

    #[test]
    fn a_mapped_code_means_what_the_operator_says_and_what_was_taken_or_lost_stays_so() {
        let codes = words().into_iter().map(|word| (word.to_owned(), reaction(word).expect("known")));
        let codes = codes.chain([("taken".to_owned(), Reaction::Deny), ("lost".to_owned(), Reaction::Deny)]);
        let mapped = Mapped::new(Box::new(Plain), codes.collect());
        let classify = |body: &str| {
            let answer = Answer { status: 200, body: body.to_owned().into(), date: None, retry_after: None };
            mapped.classify(&answer)
        };
        for word in words() {
            let Outcome::Answered { reaction: found, .. } = classify(word) else { panic!("{word}") };
            assert_eq!(Some(found), reaction(word), "{word}");
        }
        assert!(matches!(classify("unmapped"), Outcome::Answered { reaction: Reaction::Refuse, .. }));
        assert!(matches!(classify("taken"), Outcome::Accepted { .. }));
        assert!(matches!(classify("lost"), Outcome::Unknown { .. }));
        assert_eq!(reaction("ignore"), None);
    }
}

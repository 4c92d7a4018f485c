//! All that is known of the platforms: a folder for each, and here the one list of them.
//!
//! The rest of the code asks a platform's [`Facts`] and its [`Adapter`], and nothing else ever asks which platform it is. An adapter is
//! pure: it writes requests and reads answers, with no I/O and no async, so that recorded requests and answers test it. `transport` is
//! the only place that speaks HTTP.

pub mod facts;
pub mod code;
pub mod adapter;
pub mod push;
pub mod call;
pub mod status;
pub mod answer;
pub mod values;
pub mod characters;
pub mod popup;
pub mod proxy;
mod gate;
pub mod transport;
pub mod token;
pub mod elsewhere;
pub mod mapped;
pub mod wechat;
pub mod alipay;
pub mod douyin;
pub mod kuaishou;
pub mod baidu;

pub use adapter::{Adapter, Auth, Granted, Quota, Send};
pub use call::{Answer, Method, Request};
pub use facts::{Account, Facts};

/// The platforms that tixing can send on.
pub const BUILT: &[&Facts] = &[&wechat::FACTS, &alipay::FACTS, &douyin::FACTS, &kuaishou::FACTS, &baidu::FACTS];

/// The platform of this word, if tixing can send on it.
pub fn find(word: &str) -> Option<&'static Facts> {
    BUILT.iter().copied().find(|facts| facts.word == word)
}

/// The words of all platforms.
pub fn words() -> Vec<&'static str> {
    BUILT.iter().map(|facts| facts.word).collect()
}

/// What an option of this name can say on any platform.
pub fn values_of(option: &str) -> Vec<&'static str> {
    let options = BUILT.iter().flat_map(|facts| facts.options).filter(|known| known.name == option);
    options.flat_map(|option| option.values.iter().copied()).collect()
}

/// The words that any platform's popup answers with, each once.
pub fn popup_words() -> Vec<&'static str> {
    let all = BUILT.iter().flat_map(|facts| facts.popup.words.iter().copied());
    all.fold(Vec::new(), |mut words, word| {
        if !words.contains(&word) {
            words.push(word);
        }
        words
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{outcome::Outcome, template::Profile};
    use serde_json::json;

    /// The field that names what begins.
    fn field(facts: &Facts) -> &'static str {
        facts.sample.event[0]
    }

    #[test]
    fn what_shows_nothing_is_empty_on_every_platform() {
        for facts in BUILT {
            for value in ["", " ", "\u{200b}", "\u{feff}\u{3000}", "\u{2060}\u{200d}", "\u{fff9}"] {
                let told = (facts.fields.check)(field(facts), value, Profile::Strict);
                assert_eq!(
                    told.map_err(|why| why.key().to_owned()),
                    Err("field_empty".into()),
                    "{}: {value:?}",
                    facts.word
                );
            }
            assert_eq!((facts.fields.check)(field(facts), "a\u{200b}", Profile::Strict), Ok(()), "{}", facts.word);
        }
    }

    #[test]
    fn what_a_platform_says_has_nothing_that_a_terminal_obeys() {
        for facts in BUILT {
            let told = facts.answered("1".into(), "a\u{1b}[31mb\u{202e}c", facts.codes[0].reaction);
            let Outcome::Answered { text, .. } = told else { panic!("{}: {told:?}", facts.word) };
            assert_eq!(text, "a [31mb c", "{}", facts.word);
        }
    }

    #[test]
    fn an_object_that_was_wrapped_up_or_says_nothing_is_refused_on_every_platform() {
        for facts in BUILT {
            let read = |given| (facts.popup.read)(&given);
            for given in [
                json!({}),
                json!({ "result": {} }),
                json!({ "result": { "T1": "accept" } }),
                json!({ "result": { "T1": "accept", "errMsg": "requestSubscribeMessage:ok" } }),
                json!({ "res": { "T1": "accept" } }),
                json!({ "T1": ["accept"] }),
            ] {
                let wrong = read(given.clone()).expect_err(&format!("{}: {given}", facts.word));
                let told = ["popup_result_empty", "popup_word_nested", "no_submit_event"].contains(&wrong.why.key());
                let names_it = wrong.why.key() != "popup_word_nested" || !wrong.at.is_empty();
                assert!(told && names_it, "{}: {given}: {wrong:?}", facts.word);
            }
        }
    }
}

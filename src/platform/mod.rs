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

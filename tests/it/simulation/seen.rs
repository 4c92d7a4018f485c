//! What lives must have come to somewhere, or they were too quiet to prove anything: on whatever platform, and on each in its own codes.

use std::collections::BTreeMap;
use tixing::platform::BUILT;

/// On whatever platform.
const ANYWHERE: [&str; 14] = [
    " is sent",
    " is failed",
    " is expired",
    " is cancelled",
    " is unconfirmed",
    "in_doubt unknown",
    "in_doubt interrupted",
    "scheduled not_sent",
    "failed no_consent",
    "unconfirmed restored",
    "resolved",
    "scheduled template_held",
    "cancelled forgotten",
    "unconfirmed forgotten",
];

/// On each platform: that it is busy, takes no token or key, has a quota and a pace, knows no consent, and says what nobody has listed; and
/// what else only it can tell.
const ON_EACH: [(&str, &[&str]); 5] = [
    (
        "wechat",
        &[
            "scheduled -1",
            "scheduled 40001",
            "scheduled 45009",
            "scheduled 45011",
            "failed 43101",
            "scheduled 987654",
            "sent 43101",
            "sent receipt",
            "failed turned_off",
            "in_doubt awaits_receipt",
        ],
    ),
    (
        "alipay",
        &[
            "in_doubt unknown",
            "scheduled invalid-signature",
            "scheduled exceed-api-balance",
            "scheduled app-call-limited",
            "failed MSG_UNSUBSCRIBED",
            "failed consent_ended",
            "failed 987654",
            "unconfirmed unconfirmed",
        ],
    ),
    (
        "kuaishou",
        &[
            "in_doubt unknown",
            "scheduled 10000500",
            "scheduled 100200102",
            "scheduled 10000302",
            "failed 100200999",
            "failed 987654",
            "unconfirmed unconfirmed",
        ],
    ),
    (
        "douyin",
        &[
            "in_doubt unknown",
            "scheduled 28001005",
            "scheduled 28001003",
            "scheduled 28003017",
            "failed 28014041",
            "failed consent_ended",
            "failed 987654",
            "unconfirmed unconfirmed",
        ],
    ),
    (
        "baidu",
        &[
            "in_doubt unknown",
            "scheduled 2",
            "scheduled 110",
            "scheduled 17",
            "scheduled 18",
            "failed 4007",
            "failed consent_ended",
            "failed 987654",
            "unconfirmed unconfirmed",
        ],
    ),
];

/// By marketers, in lives on a file.
const BY_MARKETERS: [&str; 10] = [
    "a file is loaded",
    "a load is cut off",
    "a load is refused: {\"busy\"}",
    " is paused",
    " is resumed",
    " is shifted",
    "a shift is too far",
    " is cancelled by a marketer",
    "what was cut off is taken up",
    "cancelled removed",
];

/// So many lives must have come to what is seen anywhere, and so many to what is seen on each platform.
const MANY: (u64, u64) = (400, 10_000);

/// How often each thing was seen.
#[derive(Debug, Default)]
pub struct Seen {
    anywhere: Counts,
    /// By the platform's word.
    on_each: BTreeMap<&'static str, Counts>,
}

/// Of so many lives.
#[derive(Debug, Default)]
struct Counts {
    lives: u64,
    seen: BTreeMap<&'static str, usize>,
}

impl Counts {
    fn add<'a>(&mut self, events: impl Iterator<Item = &'a &'static str>, trace: &[String]) {
        self.lives += 1;
        for event in events {
            *self.seen.entry(event).or_default() += trace.iter().filter(|line| line.contains(event)).count();
        }
    }

    /// What was never seen.
    fn missing(&self) -> impl Iterator<Item = &'static str> {
        self.seen.iter().filter(|(_, n)| **n == 0).map(|(event, _)| *event)
    }
}

impl Seen {
    /// A life on this platform has left this trace.
    pub fn add(&mut self, platform: &str, trace: &[String], on_file: bool) {
        let by_marketers = BY_MARKETERS.iter().filter(|_| on_file);
        self.anywhere.add(ANYWHERE.iter().chain(by_marketers), trace);
        if let Some((word, events)) = ON_EACH.iter().find(|(word, _)| *word == platform) {
            self.on_each.entry(word).or_default().add(events.iter(), trace);
        }
    }

    /// What was never seen though the lives were many, with the platform where it should have been.
    pub fn missing(&self) -> Vec<(&'static str, &'static str)> {
        let many = |least| self.anywhere.lives >= least;
        let on_each = self.on_each.iter().flat_map(|(word, counts)| counts.missing().map(|event| (*word, event)));
        let anywhere = self.anywhere.missing().filter(|_| many(MANY.0)).map(|event| ("anywhere", event));
        anywhere.chain(on_each.filter(|_| many(MANY.1))).collect()
    }
}

#[test]
fn every_platform_has_what_must_be_seen_on_it() {
    for platform in BUILT {
        assert!(ON_EACH.iter().any(|(word, _)| *word == platform.word), "{}", platform.word);
    }
}

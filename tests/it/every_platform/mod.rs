//! What must work on every platform, in tables: one configuration with an app on each, one daemon, one sandbox.

mod desk;
mod faults;
mod schedules;
mod people;
mod five;
mod worth;
mod templates;
mod sayings;

use tixing::platform::{BUILT, Facts, alipay, baidu, douyin, kuaishou, wechat};

/// A platform as these tests need to know it.
pub struct Case {
    pub facts: &'static Facts,
    /// The code for a message that its user has turned off.
    pub off: &'static str,
    /// The code for a message that no accept pays for.
    pub unpaid: &'static str,
    /// The code for a token that is not known, or a signature.
    pub stranger: &'static str,
    /// The code for a wrong secret; none where a wrong one is known by its shape.
    pub secret: Option<&'static str>,
    /// Whether a refusal for want of a consent voids it.
    pub voids: bool,
    /// Tickets and accepts whose sends end, and how many sends each is worth.
    pub ending: &'static [(&'static str, u32)],
    /// Whether it has templates for any number of sends.
    pub standing: bool,
}

/// An accept of the template [`TWICE`].
pub const ACCEPT: &str = "accept";
/// The template of two sends within a day, where a platform has such.
pub const TWICE: &str = "twice";
/// The template for any number of sends.
pub const DIGEST: &str = "digest";

pub const CASES: [Case; 5] = [
    Case {
        facts: &wechat::FACTS,
        off: "43101",
        unpaid: "43101",
        stranger: "40001",
        secret: Some("40125"),
        voids: true,
        ending: &[],
        standing: true,
    },
    Case {
        facts: &alipay::FACTS,
        off: "MSG_UNSUBSCRIBED",
        unpaid: "MSG_UNSUBSCRIBED",
        stranger: "invalid-signature",
        secret: None,
        voids: true,
        ending: &[("form", 3), ("payment", 1)],
        standing: true,
    },
    Case {
        facts: &douyin::FACTS,
        off: "28014036",
        unpaid: "28014043",
        stranger: "28001003",
        secret: Some("10013"),
        voids: true,
        ending: &[(ACCEPT, 2)],
        standing: true,
    },
    Case {
        facts: &kuaishou::FACTS,
        off: "100200999",
        unpaid: "100200999",
        stranger: "100200102",
        secret: Some("100200101"),
        // Nobody knows what the code means.
        voids: false,
        ending: &[],
        standing: false,
    },
    Case {
        facts: &baidu::FACTS,
        off: "4007",
        unpaid: "4007",
        stranger: "110",
        secret: Some("invalid_client"),
        voids: true,
        ending: &[("form", 1), ("payment", 3), ("order", 3)],
        standing: false,
    },
];

impl Case {
    /// What its app is called.
    pub fn app(&self) -> &'static str {
        self.facts.word
    }

    /// A user.
    pub fn user(&self, n: u32) -> String {
        (self.facts.sample.openid)(n)
    }
}

#[test]
fn no_platform_is_left_out() {
    let tested: Vec<&str> = CASES.iter().map(|case| case.facts.word).collect();
    let built: Vec<&str> = BUILT.iter().map(|facts| facts.word).collect();
    assert_eq!(tested, built);
    for Case { facts, ending, standing, .. } in &CASES {
        let of_tickets = facts.tickets.kinds.iter().filter(|kind| kind.lives.is_some());
        let known: Vec<(&str, u32)> = of_tickets.map(|kind| (kind.word, kind.sends)).collect();
        let known = if facts.accepts_many { vec![(ACCEPT, 2)] } else { known };
        assert_eq!(*ending, known, "{}: each kind that ends is tested", facts.word);
        assert_eq!(*standing, facts.kinds.contains(&tixing::domain::template::Kind::LongTerm), "{}", facts.word);
    }
}

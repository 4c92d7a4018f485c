//! What the sandbox breaks, and how it refuses: each platform in its own shape and words, as the page on the sandbox lists them.

use super::{CASES, Case};
use crate::harness::{START, rig::deliver, sample};
use serde_json::json;
use std::sync::Arc;
use tixing::{
    clock::ManualClock,
    domain::{consent::Ticket, options::Options, outcome::Outcome},
    platform::{Adapter, Answer, Auth, Send},
    sandbox::{AppSpec, Faults, Sandbox},
};

/// The sandbox without a socket, and the adapter of one platform's sample app.
struct Stand {
    case: &'static Case,
    sandbox: Sandbox,
    adapter: Box<dyn Adapter>,
    template: String,
    spec: AppSpec,
    next: u32,
}

impl Stand {
    fn new(case: &'static Case) -> Self {
        let clock: Arc<ManualClock> = ManualClock::at(START);
        let sandbox = Sandbox::new(clock, 1);
        let app = sample(case.facts, "http://sandbox");
        let spec =
            AppSpec {
                pages: vec!["pages/event".into()], forbidden_words: vec!["加微信".into()], ..AppSpec::of(&app)
            };
        sandbox.world().add_app(spec.clone());
        let template = app.templates[0].code.clone();
        Self { case, sandbox, adapter: app.adapter(), template, spec, next: 0 }
    }

    async fn auth(&self) -> Result<Auth, Outcome> {
        let Some(tokens) = self.adapter.tokens() else { return Ok(Auth::Nothing) };
        let answer = deliver(self.sandbox.router(), tokens.request(false), None).await.expect("an answer");
        tokens.read(&answer).map(|granted| Auth::Token(granted.token))
    }

    /// A user who has accepted so often, and what pays for a message to them.
    fn user(&mut self, accepts: u32) -> (String, Option<Ticket>) {
        self.next += 1;
        let openid = self.case.user(self.next);
        let ticket =
            self.case.facts.tickets.needed.then(|| Ticket { kind: "subscribe".into(), id: format!("tx-{openid}") });
        for _ in 0..accepts {
            let mut world = self.sandbox.world();
            match &ticket {
                None => world.tap(self.case.facts.sample.appid, &openid, &self.template, true),
                Some(ticket) => {
                    world.bring(self.case.facts.sample.appid, &openid, &self.template, ticket, START);
                }
            }
        }
        (openid, ticket)
    }

    async fn send(
        &self,
        user: &(String, Option<Ticket>),
        auth: &Auth,
        template: &str,
        page: &str,
        what: &str,
    ) -> Answer {
        let [first, second, third] = self.case.facts.sample.event;
        let data = json!({ first: what, second: "2031年3月1日 19:30", third: "二楼露台" }).to_string();
        let (options, ticket) = (Options::new(), user.1.as_ref());
        let send = Send { openid: &user.0, template, page: Some(page), data: &data, options: &options, ticket };
        let request = self.adapter.build(&send, auth, START);
        deliver(self.sandbox.router(), request, None).await.expect("an answer")
    }

    /// A good message to a user.
    async fn good(&self, user: &(String, Option<Ticket>)) -> Answer {
        let auth = self.auth().await.expect("a token");
        self.send(user, &auth, &self.template, "pages/event", "春季品鉴会").await
    }

    fn faults(&self, change: impl Fn(&mut Faults)) {
        let mut faults = Faults::default();
        change(&mut faults);
        self.sandbox.world().faults = faults;
    }

    /// What the adapter makes of an answer: the code, or `sent`, or `doubt`.
    fn means(&self, answer: &Answer) -> String {
        word(self.adapter.classify(answer))
    }
}

fn word(outcome: Outcome) -> String {
    match outcome {
        Outcome::Accepted { .. } => "sent".into(),
        Outcome::Answered { code, .. } => code,
        Outcome::Unknown { .. } => "doubt".into(),
        Outcome::NotSent { .. } => "not sent".into(),
    }
}

#[tokio::test]
async fn a_face_cuts_its_own_answer_and_that_is_a_doubt_about_a_message_that_arrived() {
    for case in &CASES {
        let mut stand = Stand::new(case);
        let (first, second) = (stand.user(1), stand.user(1));
        let whole = stand.good(&first).await;
        assert_eq!(stand.means(&whole), "sent", "{}", case.app());
        stand.faults(|faults| faults.half_json_rate = 1.0);
        let half = stand.good(&second).await;
        assert_eq!(stand.means(&half), "doubt", "{}", case.app());
        // Its own words: up to the number of the message they are the same.
        let same = whole.body.iter().zip(&half.body).take_while(|(a, b)| a == b).count();
        assert!(same >= 8 && half.body.len() < whole.body.len(), "{}: {:?}", case.app(), half.body);
        assert!(serde_json::from_slice::<serde_json::Value>(&half.body).is_err(), "{}", case.app());
        assert_eq!(stand.sandbox.world().messages().len(), 2, "{}", case.app());
    }
}

#[tokio::test]
async fn a_signature_of_another_text_is_a_doubt_where_answers_are_signed_and_changes_nothing_elsewhere() {
    for case in &CASES {
        let mut stand = Stand::new(case);
        let (user, stranger) = (stand.user(1), stand.user(0));
        stand.faults(|faults| faults.bad_signature_rate = 1.0);
        let signs = stand.adapter.tokens().is_none();
        let (sent, refused) = (stand.good(&user).await, stand.good(&stranger).await);
        let expected = if signs { ["doubt", "doubt"] } else { ["sent", case.unpaid] };
        assert_eq!([stand.means(&sent), stand.means(&refused)], expected, "{}", case.app());
        assert_eq!(stand.sandbox.world().messages().len(), 1, "{}: it arrived", case.app());
    }
}

/// (what is wrong) → each platform's code, in the order of the table.
const REFUSALS: &[(&str, [&str; 5])] = &[
    ("nothing accepted", ["43101", "MSG_UNSUBSCRIBED", "28014043", "100200999", "4007"]),
    ("used up", ["43101", "MSG_UNSUBSCRIBED", "28014041", "100200999", "4007"]),
    ("turned off", ["43101", "MSG_UNSUBSCRIBED", "28014036", "100200999", "4007"]),
    ("no such template", ["40037", "USER_TEMPLATE_ILLEGAL", "28014001", "100200100", "4001"]),
    ("banned", ["43107", "USER_TEMPLATE_STATUS_ILLEGAL", "1009", "10000303", "6001"]),
    ("no such page", ["41030", "ILLEGAL_ARGUMENT_PARAMS", "28014001", "100200100", "2002"]),
    ("empty", ["47003", "USER_TEMPLATE_LACK_KEYWORD", "28014001", "100200100", "2002"]),
    ("too long", ["47003", "USER_KEYWORD_LENGTH_ERROR", "28014038", "100200100", "2002"]),
    ("forbidden word", ["45168", "DATA_SENSITIVE", "1008", "10000303", "2002"]),
    ("busy", ["-1", "doubt", "28001005", "10000500", "2"]),
    ("quota", ["45009", "exceed-api-balance", "28003017", "10000302", "17"]),
    ("minute", ["45011", "app-call-limited", "28003018", "10000302", "18"]),
    ("revoked", ["40001", "invalid-signature", "28001003", "100200102", "110"]),
    ("refused", ["40001", "invalid-signature", "28001003", "100200102", "110"]),
    ("a code", ["123456", "123456", "123456", "123456", "123456"]),
    ("secret", ["40125", "invalid-signature", "10013", "100200101", "invalid_client"]),
    ("address", ["40164", "illegal-client-ip", "sent", "sent", "sent"]),
];

/// What becomes of a message with this wrong.
async fn refusal(stand: &mut Stand, what: &str) -> String {
    let user = stand.user(u32::from(what != "nothing accepted"));
    let token = stand.auth().await.expect("a token");
    let (mut page, mut text, mut template) = ("pages/event", "春季品鉴会".to_owned(), stand.template.clone());
    match what {
        "nothing accepted" | "secret" | "address" => {}
        "used up" => assert_eq!(stand.means(&stand.good(&user).await), "sent"),
        "turned off" => {
            let id = stand.template.clone();
            stand.sandbox.world().set_switch(stand.case.facts.sample.appid, &user.0, Some(&id), false);
        }
        "no such template" => template = "T-none".into(),
        "banned" => {
            let mut spec = stand.spec.clone();
            spec.templates[0].banned = true;
            stand.sandbox.world().add_app(spec);
        }
        "no such page" => page = "pages/nowhere",
        "empty" => text = String::new(),
        "too long" => text = "长".repeat(60),
        "forbidden word" => text = "加微信领券".into(),
        "busy" => stand.faults(|faults| faults.busy_rate = 1.0),
        "quota" => stand.faults(|faults| faults.quota_left = Some(0)),
        "minute" => stand.faults(|faults| faults.minute_left = Some(0)),
        "revoked" => stand.faults(|faults| faults.token_revoked = true),
        "refused" => stand.faults(|faults| faults.tokens_refused = true),
        "a code" => stand.faults(|faults| faults.account_code = Some(123_456)),
        other => panic!("{other}"),
    }
    if what == "address" {
        stand.faults(|faults| faults.ip_blocked = true);
    }
    if what == "secret" {
        // It was reset in the console.
        let mut spec = stand.spec.clone();
        spec.secrets.values_mut().for_each(|secret| *secret = "another".into());
        stand.sandbox.world().add_app(spec);
    }
    let token = match what {
        "secret" | "address" => match stand.auth().await {
            Ok(token) => token,
            Err(outcome) => return word(outcome),
        },
        _ => token,
    };
    let answer = stand.send(&user, &token, &template, page, &text).await;
    stand.means(&answer)
}

#[tokio::test]
async fn every_refusal_has_its_platforms_own_code_and_the_page_lists_it() {
    let page = include_str!("../../../docs/sandbox.md");
    for (what, codes) in REFUSALS {
        for (case, code) in CASES.iter().zip(codes) {
            let mut stand = Stand::new(case);
            let sent_before = u32::from(*what == "used up");
            // Where two messages to one user are kept apart, the second one is too soon.
            if sent_before == 1 && case.facts.apart.is_some() {
                let mut spec = stand.spec.clone();
                spec.order.retain(|check| *check != tixing::sandbox::Check::Concurrency);
                stand.sandbox.world().add_app(spec);
            }
            assert_eq!(refusal(&mut stand, what).await, *code, "{what} on {}", case.app());
            let listed = ["doubt", "sent", "123456"].contains(code) || page.contains(code);
            assert!(listed, "docs/sandbox.md does not know {code}: {what} on {}", case.app());
        }
    }
}

#[tokio::test]
async fn an_account_can_be_refused_with_a_sub_code_where_there_are_such() {
    let alipay = CASES.iter().find(|case| case.app() == "alipay").expect("it is one of them");
    let mut stand = Stand::new(alipay);
    for (code, sub_code, told) in [
        (40_004, Some("MSG_UNAUTHORIZED"), "MSG_UNAUTHORIZED"),
        (40_005, Some("isv.method-call-limited"), "method-call-limited"),
        (40_006, None, "40006"),
        (20_000, Some("aop.unknow-error"), "doubt"),
    ] {
        let user = stand.user(1);
        stand.faults(|faults| {
            faults.account_code = Some(code);
            faults.account_sub_code = sub_code.map(str::to_owned);
        });
        assert_eq!(stand.means(&stand.good(&user).await), told, "{code} {sub_code:?}");
    }
}

//! One team, five apps: the same reminder on all of them, one user who refuses on each, tokens that die, and nobody else's app disturbed.

use super::{ACCEPT, CASES, Case, desk::Desk};
use serde_json::json;
use tixing::{
    domain::SECOND,
    sandbox::{AppSpec, Faults},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_reminder_goes_out_on_all_and_who_refused_or_turned_it_off_has_none() {
    let desk = Desk::new(|_| String::new()).await;
    let (mut sent, mut off) = (Vec::new(), Vec::new());
    for case in &CASES {
        desk.accepts(case, &case.user(1), "event-start", ACCEPT).await;
        sent.push(desk.remind(case, &Desk::body(case, &case.user(1), 2 * SECOND)).await);
        // Who refused has nothing to be reminded by, and is told so at once.
        let told = desk.answers(case, &case.user(2), "event-start", ACCEPT, "reject").await;
        assert_eq!(told["recorded"], json!([]), "{}: {told}", case.app());
        let (status, refused) = desk.daemon.post("/v1/reminders", &Desk::body(case, &case.user(2), 2 * SECOND)).await;
        assert_eq!((status.as_u16(), &refused["code"]), (409, &json!("no_consent")), "{}: {refused}", case.app());
        // Who turns it off on the phone has accepted before.
        desk.accepts(case, &case.user(3), "event-start", ACCEPT).await;
        off.push(desk.remind(case, &Desk::body(case, &case.user(3), 2 * SECOND)).await);
        desk.turns_off(case, &case.user(3));
    }
    for (case, (sent, off)) in CASES.iter().zip(sent.iter().zip(&off)) {
        desk.becomes(sent, "sent").await;
        let failed = desk.becomes(off, "failed").await;
        assert_eq!(failed["attempts"][0]["code"], case.off, "{}: {failed}", case.app());
        let (en, zh) = desk.why(off).await;
        assert!(en.contains(case.off) && zh.contains(case.off), "{}: {en} {zh}", case.app());
        let messages = desk.received(case);
        assert_eq!((messages.len(), &messages[0].openid), (1, &case.user(1)), "{}", case.app());
        let [what, ..] = case.facts.sample.event;
        assert_eq!(messages[0].data[what], "春季品鉴会", "{}", case.app());
    }
    desk.close(&(1..=3).flat_map(|n| CASES.iter().map(move |case| case.user(n))).collect::<Vec<_>>());
}

/// Whether an app's sends are paused, as the daemon tells it.
async fn is_paused(desk: &Desk, case: &Case) -> bool {
    let (_, stats) = desk.daemon.get(&format!("/v1/stats?app={}", case.app())).await;
    !stats["apps"][0]["paused"].is_null()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_dies_is_renewed_and_a_secret_that_was_reset_stops_its_own_app_alone() {
    let desk = Desk::new(|_| String::new()).await;
    let world = || desk.sandbox.sandbox.world();
    let config = tixing::config::load(&desk.site.path("tixing.toml"), 0).expect("good");
    for (i, case) in CASES.iter().enumerate() {
        let (app, has_tokens) = (case.app(), case.secret.is_some());
        // Those before this one are stopped, and it sends all the same.
        desk.accepts(case, &case.user(1), "event-start", ACCEPT).await;
        let path = desk.remind(case, &Desk::body(case, &case.user(1), 2 * SECOND)).await;
        desk.becomes(&path, "sent").await;
        if has_tokens {
            // The platform forgets all tokens: a new one is fetched, and the message goes.
            world().faults = Faults { token_revoked: true, ..Faults::default() };
            desk.accepts(case, &case.user(2), "event-start", ACCEPT).await;
            let path = desk.remind(case, &Desk::body(case, &case.user(2), 2 * SECOND)).await;
            let sent = desk.becomes(&path, "sent").await;
            let attempts = sent["attempts"].as_array().expect("attempts").iter();
            let refused: Vec<&str> = attempts.filter_map(|attempt| attempt["code"].as_str()).collect();
            assert_eq!(refused, [case.stranger], "{app}: once, and then by a new token: {sent}");
        }
        // Its secret is reset in the console: it waits with its reminders, and the others go on.
        let spec = AppSpec::of(config.apps.iter().find(|known| known.name == app).expect("it is there"));
        let mut reset = spec.clone();
        reset.secrets.values_mut().for_each(|secret| "another".clone_into(secret));
        desk.accepts(case, &case.user(3), "event-start", ACCEPT).await;
        world().add_app(reset);
        world().faults = Faults { token_revoked: has_tokens, ..Faults::default() };
        let stopped = desk.remind(case, &Desk::body(case, &case.user(3), 2 * SECOND)).await;
        let stats = format!("/v1/stats?app={app}");
        let stats = desk.daemon.wait(&stats, 20, |stats| !stats["apps"][0]["paused"].is_null()).await;
        let code = case.secret.unwrap_or(case.stranger);
        assert_eq!(stats["apps"][0]["paused"]["code"], code, "{app}: {stats}");
        for other in &CASES[i + 1..] {
            assert!(!is_paused(&desk, other).await, "{app} stops {}", other.app());
        }
        desk.becomes(&stopped, "scheduled").await;
        let (en, zh) = desk.why(&stopped).await;
        assert!(en.contains(code) && zh.contains(code), "{app}: {en} {zh}");
        assert_eq!(desk.balance(case, &case.user(3), "event-start").await["held"], 1, "{app}: nothing is burnt");
    }
    desk.close(&[]);
}

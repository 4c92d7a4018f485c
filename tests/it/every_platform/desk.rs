//! The five apps at work: their configuration, the daemon, users who answer on the phone, and what they received.

use super::{ACCEPT, CASES, Case, DIGEST, TWICE};
use crate::harness::program::{Program, SandboxServer, Site, now};
use axum::{body::Body, http::Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tixing::{
    cli::init::configuration,
    domain::{Millis, timing::rfc3339},
    platform::Facts,
    sandbox::{AppSpec, Message, Sandbox},
};
use tower::ServiceExt;

/// One configuration with an app on each platform, called by its word, whose secrets lie in a folder of that name. `more` are lines of each app.
pub fn site(sandbox: &SandboxServer, more: impl Fn(&Facts) -> String) -> Site {
    let site = Site { folder: tempfile::tempdir().expect("a folder") };
    let (mut head, mut apps) = (String::new(), String::new());
    for Case { facts, .. } in &CASES {
        let text = configuration(facts).replace("http://127.0.0.1:8790", &sandbox.url);
        let (before, app) = text.split_once("[[app]]").expect("it has an app");
        head = before.replace("127.0.0.1:8700", "127.0.0.1:0");
        let word = facts.word;
        let app = app.replacen("\"coffee\"", &format!("\"{word}\""), 1);
        let app = app.replace("file = \"", &format!("file = \"{word}/"));
        let app = app.replace("timezone =", &format!("{}\ntimezone =", more(facts)));
        apps += &format!("[[app]]{app}\n{}\n", more_templates(facts));
        std::fs::create_dir(site.path(word)).expect("a folder");
        for (name, secret) in facts.sample.files {
            std::fs::write(site.path(word).join(name), secret).expect("written");
        }
    }
    std::fs::write(site.path("tixing.toml"), head + &apps).expect("written");
    let config = tixing::config::load(&site.path("tixing.toml"), now()).unwrap_or_else(|e| panic!("{e}"));
    for app in &config.apps {
        sandbox.sandbox.world().add_app(AppSpec { msgid: false, ..AppSpec::of(app) });
    }
    site
}

/// A template for any number of sends, and one for two within a day, where the platform has such. Their fields are those of `event-start`.
fn more_templates(facts: &Facts) -> String {
    let fields: Vec<String> = facts.sample.event.iter().map(|key| format!("\"{key}\" = \"{key}\"")).collect();
    let fields = fields.join(", ");
    let template = |name: &str, kind: &str, more: &str| {
        let id = id_of(facts, name);
        format!(
            "[[app.template]]\nname = \"{name}\"\nid = \"{id}\"\nkind = \"{kind}\"\nfields = {{ {fields} }}\n{more}\n"
        )
    };
    let mut all = String::new();
    if facts.kinds.contains(&tixing::domain::template::Kind::LongTerm) {
        all += &template(DIGEST, "long-term", "");
    }
    if facts.accepts_many {
        all += &template(TWICE, "one-time", "sends_per_grant = 2\nperiod = \"1d\"");
    }
    all
}

/// The platform's id of a template.
pub fn id_of(facts: &Facts, name: &str) -> String {
    let templates: toml::Table = facts.sample.templates.parse().expect("TOML");
    let all = templates["app"]["template"].as_array().expect("a list");
    let known = all.iter().find(|template| template["name"].as_str() == Some(name));
    known.map_or_else(
        || format!("{}-{name}", facts.word),
        |template| template["id"].as_str().expect("a text").to_owned(),
    )
}

/// An order to the sandbox, or a question.
pub async fn order(sandbox: &Sandbox, path: &str, body: &Value) -> Value {
    let request = Request::post(path).header("content-type", "application/json").body(Body::from(body.to_string()));
    let response = sandbox.router().oneshot(request.expect("a request")).await.expect("infallible");
    let (status, body) = (response.status(), response.into_body().collect().await.expect("a body").to_bytes());
    assert!(status.is_success(), "{path}: {}", String::from_utf8_lossy(&body));
    serde_json::from_slice(&body).expect("JSON")
}

/// All of it.
pub struct Desk {
    pub sandbox: SandboxServer,
    pub site: Site,
    pub daemon: Program,
}

impl Desk {
    pub async fn new(more: impl Fn(&Facts) -> String) -> Self {
        let sandbox = SandboxServer::start(1).await;
        let site = site(&sandbox, more);
        let daemon = site.serve_with_key();
        Self { sandbox, site, daemon }
    }

    /// The user answers on the phone for `template`, and the app's backend passes on what the client gave. `kind` names the ticket that
    /// it is about, or [`ACCEPT`]. Answers the daemon's word on it.
    pub async fn answers(&self, case: &Case, openid: &str, template: &str, kind: &str, word: &str) -> Value {
        let id = id_of(case.facts, template);
        let mut tap = json!({ "appid": case.facts.sample.appid, "openid": openid, "results": { &id: word } });
        let mut report = json!({ "app": case.app(), "openid": openid });
        if kind != ACCEPT {
            // The digit at the end says of some that the user was logged in.
            let ticket = json!({ "kind": kind, "id": format!("{kind}-{}-1", rand::random::<u32>()) });
            (tap["ticket"], report["ticket"]) = (ticket.clone(), ticket);
            report["template"] = template.into();
        } else if case.facts.tickets.needed {
            let wanted = json!({ "app": case.app(), "openid": openid, "template": template });
            let (status, prepared) = self.daemon.post("/v1/consents/prepare", &wanted).await;
            assert_eq!(status, 200, "{prepared}");
            (tap["subscribe_id"], report["subscribe_id"]) =
                (prepared["subscribe_id"].clone(), prepared["subscribe_id"].clone());
        } else {
            report["event"] = format!("{openid}-{}", rand::random::<u32>()).into();
        }
        let given = order(&self.sandbox.sandbox, "/_sandbox/popup", &tap).await;
        report["result"] = given.clone();
        let names_the_template = given.get(&id).is_some();
        if names_the_template {
            report.as_object_mut().expect("it is").remove("template");
        }
        let (status, told) = self.daemon.post("/v1/consents", &report).await;
        assert_eq!(status, 200, "{}: {told} to {report}", case.app());
        told
    }

    /// As [`Self::answers`], with a yes that counts.
    pub async fn accepts(&self, case: &Case, openid: &str, template: &str, kind: &str) {
        let told = self.answers(case, openid, template, kind, "accept").await;
        assert_eq!(told["recorded"], json!([id_of(case.facts, template)]), "{}, {kind}: {told}", case.app());
    }

    /// The mini-program says that the user accepted, and the platform knows nothing of it.
    pub async fn claims(&self, case: &Case, openid: &str) {
        let mut report = json!({ "app": case.app(), "openid": openid, "results": { "event-start": "accept" } });
        if case.facts.tickets.needed {
            report["subscribe_id"] = format!("claimed-{openid}").into();
        }
        let (status, told) = self.daemon.post("/v1/consents", &report).await;
        assert_eq!(status, 200, "{told}");
    }

    /// The user turns the template off on the phone.
    pub fn turns_off(&self, case: &Case, openid: &str) {
        let id = id_of(case.facts, "event-start");
        self.sandbox.sandbox.world().set_switch(case.facts.sample.appid, openid, Some(&id), false);
    }

    /// A reminder that is due in a while, as the API takes it.
    pub fn body(case: &Case, openid: &str, due_in: Millis) -> Value {
        let [what, when, place] = case.facts.sample.event;
        let mut data = json!({});
        for (key, value) in [(what, "春季品鉴会"), (when, "2031年3月1日 19:30"), (place, "二楼露台")] {
            data[key] = value.into();
        }
        json!({ "app": case.app(), "openid": openid, "template": "event-start", "at": rfc3339(now() + due_in), "page": "pages/event",
                "data": data })
    }

    /// Inserts it; its path.
    pub async fn remind(&self, case: &Case, body: &Value) -> String {
        let (status, made) = self.daemon.post("/v1/reminders", body).await;
        assert_eq!(status, 201, "{}: {made}", case.app());
        format!("/v1/reminders/{}", made["id"].as_str().expect("an id"))
    }

    /// Waits for this state of a reminder.
    pub async fn becomes(&self, path: &str, state: &str) -> Value {
        self.daemon.wait(path, 30, |reminder| reminder["state"] == state).await
    }

    /// Why, in English and in Chinese; the command line says the same.
    pub async fn why(&self, path: &str) -> (String, String) {
        let (status, why) = self.daemon.get(&format!("{path}/explain")).await;
        assert_eq!(status, 200, "{why}");
        let text = |lang: &str| why[lang].as_str().expect("a text").to_owned();
        (text("en"), text("zh"))
    }

    /// A user's balance of a template.
    pub async fn balance(&self, case: &Case, openid: &str, template: &str) -> Value {
        let (_, told) = self.daemon.get(&format!("/v1/consents?app={}&openid={openid}", case.app())).await;
        let id = id_of(case.facts, template);
        let all = told["balances"].as_array().into_iter().flatten();
        all.clone().find(|balance| balance["template"] == id.as_str()).cloned().unwrap_or_default()
    }

    /// What users of its app received.
    pub fn received(&self, case: &Case) -> Vec<Message> {
        let world = self.sandbox.sandbox.world();
        world.messages().iter().filter(|message| message.appid == case.facts.sample.appid).cloned().collect()
    }

    /// I1 by the platforms' own ledger; and the daemon ends in good order, with no openid in its log (I9).
    pub fn close(self, openids: &[String]) {
        let ledger = self.sandbox.sandbox.world().ledger();
        for entry in ledger.iter().filter(|entry| !entry.template.ends_with(DIGEST)) {
            assert!(entry.used <= entry.granted, "I1: {entry:?}");
        }
        let (status, log) = self.daemon.terminate();
        assert!(status.success(), "{log}");
        for openid in openids {
            assert!(!log.contains(openid.as_str()), "I9: {log}");
        }
    }
}

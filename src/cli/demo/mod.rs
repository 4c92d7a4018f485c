//! `tixing demo`: users, a marketer, sandbox and daemon in one process, and a picture of it on the terminal.

mod schedule;

use super::{
    clean::{clean, one_line},
    failure::Failure,
    out::{Out, data, paint, talk},
};
use crate::{
    clock::{SharedClock, SystemClock},
    config::{self, App, Config},
    daemon::Daemon,
    domain::{Millis, SECOND, consent::Ticket, reminder::State, timing::rfc3339},
    http,
    platform::{BUILT, Facts},
    sandbox::{Message, Sandbox},
    store::{StoreError, lists::Filter},
    words::{self, say},
};
use axum::{body::Body, http::Request};
use chrono::{DateTime, TimeZone};
use chrono_tz::{Asia::Shanghai, Tz};
use http_body_util::BodyExt;
use rand::{RngExt, seq::IndexedRandom};
use serde_json::{Value, json};
use std::{borrow::Cow, io::IsTerminal, path::Path, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use unicode_width::UnicodeWidthStr;

const USERS: &[&str] = &["小林", "阿珍", "老王", "Mia", "陈晨", "Leo", "思思", "大鹏"];
const EVENTS: &[(&str, &str)] =
    &[("周三读书会", "三楼301室"), ("手冲咖啡课", "吧台"), ("春季品鉴会", "二楼露台"), ("拉花比赛", "一楼大厅")];
const COUPONS: &[(&str, &str)] = &[("拿铁买一送一", "¥18.00"), ("早餐套餐券", "¥12.00"), ("会员生日券", "¥30.00")];
const CLASSES: &[(&str, &str)] = &[("流瑜伽", "A教室"), ("动感单车", "B教室"), ("普拉提", "C教室")];

/// A kind of message that users of an app allow.
struct Kind {
    app: String,
    brand: &'static str,
    template: &'static str,
    title: &'static str,
    choices: &'static [(&'static str, &'static str)],
    /// The fields that say what, where and when.
    fields: [&'static str; 3],
}

/// The kinds of the apps on the first platform, then that of the café on each of the others.
fn kinds() -> Vec<Kind> {
    let kind = |app: &str, brand, template, title, choices, fields| Kind {
        app: app.to_owned(),
        brand,
        template,
        title,
        choices,
        fields,
    };
    let mut kinds = vec![
        kind("coffee", "转角咖啡", "event-start", "活动开始提醒", EVENTS, ["thing1", "thing5", "time2"]),
        kind("coffee", "转角咖啡", "coupon-expiry", "优惠券到期提醒", COUPONS, ["thing1", "amount3", "date4"]),
        kind("studio", "山谷运动", "class-start", "课程开始提醒", CLASSES, ["thing1", "thing2", "time3"]),
    ];
    kinds.extend(BUILT[1..].iter().map(|platform| {
        let [what, when, place] = platform.sample.event;
        kind(&app_on(platform), "转角咖啡", "event-start", "活动开始提醒", EVENTS, [what, place, when])
    }));
    kinds
}

/// What the café's app is called on another platform than the first.
fn app_on(platform: &Facts) -> String {
    format!("coffee-{}", platform.word)
}

/// The configuration; the secrets that it names are written into folders, one for each platform.
fn configuration(folder: &Path, sandbox: &str) -> Result<Config, Failure> {
    let mut text = include_str!("demo.toml").replace("{platform}", BUILT[0].word);
    for platform in &BUILT[1..] {
        let (word, sample) = (platform.word, &platform.sample);
        let own = sample.own.replace("file = \"", &format!("file = \"{word}/"));
        let (name, appid, templates) = (app_on(platform), sample.appid, sample.templates);
        text += &format!(
            "[[app]]\nname = \"{name}\"\nplatform = \"{word}\"\nappid = \"{appid}\"\n{own}base_url = \"{{sandbox}}\"\n\
             timezone = \"Asia/Shanghai\"\n{templates}\n"
        );
        for (name, secret) in sample.files {
            let file = folder.join(word).join(name);
            let written = std::fs::create_dir_all(folder.join(word)).and_then(|()| std::fs::write(&file, secret));
            let cannot = |e: std::io::Error| say!("cannot_write", file = file.to_string_lossy(), why = e.to_string());
            written.map_err(cannot)?;
        }
    }
    let secret = |_: &str| Some("demo-secret".to_owned());
    let text = text.replace("{sandbox}", sandbox);
    config::parse(&folder.join("demo.toml"), &text, &secret, Default::default()).map_err(Failure::from)
}

struct Demo {
    sandbox: Sandbox,
    daemon: Daemon,
    config: Arc<Config>,
    clock: SharedClock,
    out: Out,
    colour: bool,
    kinds: Vec<Kind>,
    /// Whose turn it is: each platform has one before chance decides.
    turn: usize,
    shown: usize,
    accepted: u32,
}

/// Runs the demo for `duration` milliseconds, or until Ctrl-C.
pub async fn run(duration: Option<Millis>, out: Out) -> Result<(), Failure> {
    let folder = std::env::temp_dir().join(format!("tixing-demo-{}", std::process::id()));
    std::fs::create_dir_all(&folder)
        .map_err(|e| Failure::Failed(say!("cannot_write", file = folder.to_string_lossy(), why = e.to_string())))?;
    let result = run_in(&folder, duration, out).await;
    let _ = std::fs::remove_dir_all(&folder);
    result
}

async fn run_in(folder: &Path, duration: Option<Millis>, out: Out) -> Result<(), Failure> {
    let clock = SystemClock::shared();
    let sandbox = Sandbox::new(Arc::clone(&clock), rand::rng().random());
    let part = say!("part_sandbox");
    let cannot = |e: std::io::Error| say!("cannot_start", part = part, why = e.to_string());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.map_err(cannot)?;
    let url = format!("http://{}", listener.local_addr().map_err(cannot)?);
    let stop_sandbox = CancellationToken::new();
    tokio::spawn(http::serve(listener, sandbox.router(), stop_sandbox.clone()));
    let config = configuration(folder, &url)?;
    for app in &config.apps {
        sandbox.world().add_configured(app);
    }
    let daemon = Daemon::start(config, Arc::clone(&clock)).await?;
    daemon.ready().await;
    let colour = !out.json && std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let config = Arc::clone(daemon.api.config());
    let mut demo = Demo { sandbox, daemon, config, clock, out, colour, kinds: kinds(), turn: 0, shown: 0, accepted: 0 };
    demo.introduce(&url);
    demo.play(duration).await?;
    let summary = demo.summary().await?;
    demo.daemon.stop().await?;
    stop_sandbox.cancel();
    data!("{summary}");
    Ok(())
}

impl Demo {
    /// Shows a line of the picture, which is data unless JSON was asked for. It brings its own colours.
    fn show(&self, text: &str) {
        if self.out.json {
            talk!("{text}");
        } else {
            paint(text);
        }
    }

    /// Shows what has just happened.
    fn happened(&self, what: &words::Message) {
        let (dim, off) = if self.colour { ("\x1b[2m", "\x1b[0m") } else { ("", "") };
        self.show(&format!("{dim}{}  {}{off}", clock_text(self.clock.now()), clean(&what.say(self.out.voice))));
    }

    fn introduce(&self, url: &str) {
        self.show(&say!("demo_title").say(self.out.voice));
        let platforms: Vec<&str> = BUILT.iter().map(|platform| platform.word).collect();
        self.happened(&say!("demo_sandbox", platforms = platforms, url = url));
        self.happened(&say!("demo_daemon", address = self.daemon.address));
    }

    async fn play(&mut self, duration: Option<Millis>) -> Result<(), Failure> {
        let start = self.clock.now();
        let ends = duration.map(|d| start + d);
        // Nobody accepts any more in the last few seconds, so that all reminders can arrive.
        let last_call = ends.map(|at| at - (4 * SECOND).min(duration.unwrap_or(0) / 2));
        self.load_tasting(ends).await?;
        self.plan_class().await?;
        let mut next_tap = start;
        let ctrl_c = tokio::signal::ctrl_c();
        tokio::pin!(ctrl_c);
        loop {
            let now = self.clock.now();
            if ends.is_some_and(|at| now >= at) {
                return Ok(());
            }
            if now >= next_tap && last_call.is_none_or(|at| now < at) {
                self.somebody_accepts(ends).await?;
                let first_round = self.turn < self.kinds.len();
                next_tap = now + rand::rng().random_range(if first_round { 150..300 } else { 350..1_100 });
            }
            self.show_arrivals();
            tokio::select! {
                _ = &mut ctrl_c => return Ok(()),
                () = tokio::time::sleep(Duration::from_millis(30)) => {}
            }
        }
    }

    /// A user taps «allow», and the app's backend makes its one call.
    async fn somebody_accepts(&mut self, ends: Option<Millis>) -> Result<(), Failure> {
        let now = self.clock.now();
        let user = rand::rng().random_range(0..USERS.len());
        let kind = self.kinds.len() - 1 - self.turn.min(self.kinds.len() - 1);
        let kind = if self.turn < self.kinds.len() { kind } else { rand::rng().random_range(0..self.kinds.len()) };
        self.turn += 1;
        let kind = &self.kinds[kind];
        let choice = kind.choices.choose(&mut rand::rng()).expect("not empty");
        let latest = ends.map_or(now + 6 * SECOND, |at| (at - 600).min(now + 6 * SECOND));
        let at = rand::rng().random_range(now + 1_200..=latest.max(now + 1_300));
        let app = self.config.apps.iter().find(|a| a.name == kind.app).expect("configured");
        let openid = (app.platform.sample.openid)(u32::try_from(user).expect("a few users"));
        let template = app.template(kind.template).expect("configured").code.clone();
        let accepted = self.accept(app, &openid, &template, now).await?;
        let due = local(at).format("%Y年%-m月%-d日 %H:%M").to_string();
        let body = json!({
            "app": kind.app, "openid": openid, "template": template, "at": rfc3339(at), "expires_at": "2h",
            "page": "pages/detail", "accepted": accepted,
            "data": { kind.fields[0]: choice.0, kind.fields[1]: choice.1, kind.fields[2]: due },
        });
        self.post("/v1/reminders", &body).await?;
        self.accepted += 1;
        let seconds = (at - now) / 1_000;
        let (user, title, brand) = (USERS[user], kind.title, on(kind.brand, app));
        self.happened(&say!(
            "demo_accepts",
            user = user,
            title = title,
            brand = brand,
            what = choice.0,
            seconds = seconds
        ));
        Ok(())
    }

    /// The user accepts on the platform; what the app's backend learns of it.
    async fn accept(&self, app: &App, openid: &str, template: &str, now: Millis) -> Result<Value, Failure> {
        let tickets = app.platform.tickets;
        let Some(kind) = tickets.kinds.iter().find(|kind| tickets.needed && kind.minted) else {
            self.sandbox.world().tap(&app.appid, openid, template, true);
            return Ok(json!({ "source": "demo" }));
        };
        let wish = json!({ "app": app.name, "openid": openid, "template": template });
        let prepared = self.post("/v1/consents/prepare", &wish).await?;
        let id = prepared["subscribe_id"].as_str().unwrap_or_default();
        let ticket = Ticket { kind: kind.word.to_owned(), id: id.to_owned() };
        self.sandbox.world().bring(&app.appid, openid, template, &ticket, now);
        Ok(json!({ "source": "demo", "subscribe_id": id }))
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let request = Request::post(path).header("content-type", "application/json").body(Body::from(body.to_string()));
        self.ask(request.expect("a request")).await
    }

    async fn ask(&self, request: Request<Body>) -> Result<Value, Failure> {
        let response = self.daemon.api.owner_router().oneshot(request).await.expect("infallible");
        let status = response.status();
        let bytes = response.into_body().collect().await.expect("made in this process").to_bytes();
        let answer: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        if status.is_success() { Ok(answer) } else { Err(Failure::Refused(answer)) }
    }

    fn show_arrivals(&mut self) {
        let fresh: Vec<Message> = self.sandbox.world().messages()[self.shown..].to_vec();
        for message in &fresh {
            self.show(&self.card(message));
        }
        self.shown += fresh.len();
    }

    /// The message as its user sees it.
    fn card(&self, message: &Message) -> String {
        const WIDTH: usize = 44;
        let app = self.config.apps.iter().find(|a| a.appid == message.appid);
        let template = app.and_then(|a| a.template(&message.template));
        let brand = self.kinds.iter().find(|k| app.is_some_and(|a| a.name == k.app)).map_or("", |k| k.brand);
        let brand = app.map_or_else(String::new, |app| on(brand, app));
        let is_user = |n: &u32| app.is_some_and(|app| (app.platform.sample.openid)(*n) == message.openid);
        let user = (0..).zip(USERS).find(|(n, _)| is_user(n)).map_or("?", |(_, name)| name);
        let (bold, green, off) = if self.colour { ("\x1b[1m", "\x1b[32m", "\x1b[0m") } else { ("", "", "") };
        let pad = |left: &str, right: &str| {
            let fill = WIDTH.saturating_sub(left.width() + right.width());
            format!("{left}{}{right}", " ".repeat(fill))
        };
        let frame = |line: String| format!("      {green}│{off} {line} {green}│{off}\n");
        let rule = "─".repeat(WIDTH + 2);
        let mut card = format!("      {green}╭{rule}╮{off}\n");
        let to = format!("→ {user}");
        card += &frame(pad(&format!("{brand} · {}", clock_text(message.at)), &to));
        let title = template.map_or("", |t| t.title.as_str());
        card += &frame(format!("{bold}{}{off}", pad(title, "")));
        for (key, label) in template.iter().flat_map(|t| &t.fields) {
            let value = message.data.get(key).map_or(Cow::Borrowed(""), |value| one_line(value));
            let label = format!("{label}{}", " ".repeat(10_usize.saturating_sub(label.width())));
            card += &frame(pad(&format!("{label}{value}"), ""));
        }
        card + &format!("      {green}╰{rule}╯{off}")
    }

    async fn summary(&self) -> Result<String, Failure> {
        let store = self.daemon.api.store();
        let apps: Vec<String> = self.config.apps.iter().map(|app| app.name.clone()).collect();
        let filter = Filter { apps, states: vec![State::Sent], limit: 100_000, ..Filter::default() };
        let sent = store.list(&filter).await.map_err(unread)?;
        let mut latest = 0;
        for stored in &sent {
            let events = store.events(stored).await.map_err(unread)?;
            latest =
                latest.max(events.iter().filter_map(|e| e.began_at).max().unwrap_or(stored.due.at) - stored.due.at);
        }
        let tally = store.tally().await.map_err(unread)?;
        let sum = |name: &str| tally.values().filter_map(|counts| counts.get(name)).sum::<i64>();
        let (used, left) = (sum("consent_used"), sum("consent_available") + sum("consent_held"));
        let waiting = sum("scheduled");
        let (sent, accepted) = (sent.len(), self.accepted);
        if self.out.json {
            let summary = json!({
                "accepted": accepted, "sent": sent, "latest_ms": latest, "used": used, "left": left, "waiting": waiting,
            });
            return Ok(summary.to_string());
        }
        let summary = say!(
            "demo_summary",
            accepted = accepted,
            sent = sent,
            latest = latest,
            used = used,
            left = left,
            waiting = waiting
        );
        Ok(format!("\n{}", summary.say(self.out.voice)))
    }
}

fn unread(e: StoreError) -> words::Message {
    say!("store_unread", why = e.message())
}

/// The brand, and on which platform its app is.
fn on(brand: &str, app: &App) -> String {
    format!("{brand} ({})", app.platform.word)
}

fn local(at: Millis) -> DateTime<Tz> {
    Shanghai.timestamp_millis_opt(at).single().expect("an instant of today")
}

fn clock_text(at: Millis) -> String {
    local(at).format("%H:%M:%S%.3f").to_string()
}

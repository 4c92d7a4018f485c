//! The platforms that lives are lived on: an app of each, as it is given to start from, and how its messages are known again.

use crate::harness::START;
use rand::{RngExt, rngs::StdRng, seq::IndexedRandom};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    sync::{LazyLock, OnceLock},
};
use tixing::{
    config::{self, App},
    domain::{
        HOUR, Millis, SECOND,
        consent::{Ticket, TicketKind},
        outcome::Reaction,
        template::{Profile, Times},
    },
    platform::{BUILT, Facts},
};

/// `coffee` on each platform.
static APPS: LazyLock<Vec<App>> = LazyLock::new(|| BUILT.iter().map(|platform| sample(platform)).collect());

/// What the sandbox answers where there is no consent and no document of the platform says how: its code on each such platform.
const MADE_UP: [(&str, &str); 1] = [("kuaishou", "100200999")];

/// An app as the platform gives it to start from, with the sandbox in the platform's place.
fn sample(platform: &'static Facts) -> App {
    let (word, sample) = (platform.word, &platform.sample);
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in sample.files {
        std::fs::write(folder.path().join(name), text).expect("written");
    }
    let (appid, own, templates) = (sample.appid, sample.own, sample.templates);
    let text = format!(
        "[[app]]\nname = \"coffee\"\nplatform = \"{word}\"\nappid = \"{appid}\"\n{own}base_url = \"http://sandbox\"\n\
         timezone = \"Asia/Shanghai\"\n{templates}\n"
    );
    let read = config::parse(&folder.path().join("tixing.toml"), &text, &|_| Some("a-secret".into()), BTreeMap::new());
    read.unwrap_or_else(|e| panic!("{word}: {e}")).apps.swap_remove(0)
}

/// The app of a life: about half of them are on the first platform, and the others share the rest. Where there are no tokens every request is
/// signed and every answer too, which takes longer than all else in a life: fewer are lived there. `only` names one.
pub fn app(rng: &mut StdRng, only: Option<&str>) -> App {
    let share = |app: &App| if app.adapter().tokens().is_some() { 5 } else { 1 };
    static SHARES: OnceLock<Vec<usize>> = OnceLock::new();
    let shares = SHARES.get_or_init(|| (1..APPS.len()).flat_map(|i| vec![i; share(&APPS[i])]).collect());
    let other = shares.choose(rng).filter(|_| rng.random()).map(|i| &APPS[*i]);
    let only = only.and_then(|word| APPS.iter().find(|app| app.platform.word == word));
    let mut app = only.or(other).unwrap_or(&APPS[0]).clone();
    // Some operators have found out what it means, and say so.
    if let Some((_, code)) = MADE_UP.iter().find(|(word, _)| *word == app.platform.word && rng.random()) {
        app.codes.insert((*code).to_owned(), Reaction::Deny);
    }
    if app.platform.accepts_many && rng.random_ratio(2, 3) {
        // So short that it ends before, between and after the instants of a life.
        let (sends, period) = (rng.random_range(1..=3), rng.random_range(3..90) * SECOND);
        app.templates[0].times = Some(Times { sends, period });
    }
    app
}

/// Whether consents of an app can end, or be tickets.
pub fn is_limited(app: &App) -> bool {
    app.platform.consents_end()
}

/// The ticket that a user brings, and how long ago that was: so long that it ends soon, for most.
pub fn brought(app: &App, number: u32, rng: &mut StdRng) -> Option<(Ticket, TicketKind, Millis)> {
    let tickets = &app.platform.tickets;
    let kind = *tickets.kinds.choose(rng)?;
    if !tickets.needed && rng.random_ratio(1, 2) {
        return None;
    }
    // The last digit may say whether the user was logged in.
    let ticket = Ticket { kind: kind.word.to_owned(), id: format!("ticket-{number}-{}", rng.random_range(0..3)) };
    let soon = kind.lives.filter(|_| rng.random_ratio(3, 4));
    Some((ticket, kind, soon.map_or(0, |lives| lives - rng.random_range(-2_000..90_000))))
}

/// The id of the ticket that a message names which leaves as this body.
pub fn ticket(body: &[u8]) -> Option<String> {
    ["subscribe_id", "scene_id", "form_id"].iter().find_map(|name| said(body, name))
}

/// A page that every reminder of an app can name.
pub fn page(app: &App) -> &'static str {
    if app.page().query { "pages/event?id=7" } else { "pages/event" }
}

/// What all users of an app have in their ids, and nobody else has.
pub fn users(app: &App) -> String {
    (app.platform.sample.openid)(0).trim_end_matches(|c: char| c.is_ascii_digit()).to_owned()
}

/// Field values that tell whose they are and which edition.
pub fn data(app: &App, mark: &str, minute: u32) -> String {
    let [what, when, place] = app.platform.sample.event;
    // As the platform wants a time, which is the same for all minutes.
    let written = [format!("2027年3月1日 10:{minute:02}"), format!("2027-03-01 10:{minute:02}:00")];
    let fits = |value: &&String| (app.platform.fields.check)(when, value, Profile::Strict).is_ok();
    let time = written.iter().find(fits).expect("a platform has a way to write a time");
    let values = BTreeMap::from([(what, mark), (when, time), (place, "上海静安店")]);
    serde_json::to_string(&values).expect("texts")
}

/// The mark in the values of a message.
pub fn mark_in(app: &App, data: &str) -> String {
    let mut data: BTreeMap<String, String> = serde_json::from_str(data).unwrap_or_default();
    data.remove(app.platform.sample.event[0]).unwrap_or_default()
}

/// What a field of a message says that leaves as this body, whatever form that has: JSON, pairs, and JSON within either.
pub fn said(body: &[u8], field: &str) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    match serde_json::from_str::<Value>(text) {
        Ok(json) => within(&json, field),
        Err(_) => form_urlencoded::parse(body)
            .find_map(|(name, value)| if name == field { Some(value.into()) } else { within(&value.into(), field) }),
    }
}

fn within(value: &Value, field: &str) -> Option<String> {
    match value {
        Value::Object(members) => match members.get(field).map(|found| found.get("value").unwrap_or(found)) {
            Some(Value::String(found)) => Some(found.clone()),
            _ => members.values().find_map(|member| within(member, field)),
        },
        Value::Array(items) => items.iter().find_map(|item| within(item, field)),
        Value::String(text) if text.starts_with('{') => within(&serde_json::from_str(text).ok()?, field),
        _ => None,
    }
}

/// Whether a code ends no reminder before its deadline: the platform has only said that it is not to be now.
pub fn is_only_busy(platform: &Facts, code: &str) -> bool {
    let ends = |reaction| matches!(reaction, Reaction::Refuse | Reaction::Deny | Reaction::Unlisted { .. });
    platform.code(code).is_some_and(|known| !known.doubt && !ends(known.reaction))
}

/// Whether a refusal with this code says that the platform knows no consent.
pub fn denies(app: &App, code: &str) -> bool {
    app.denies(code) || MADE_UP.contains(&(app.platform.word, code))
}

/// A code that nobody has listed.
pub const UNLISTED: i64 = 987_654;

/// Codes with which a platform can restrict an account, those of one meaning together. It never says of an account that a user has not
/// accepted; and nothing is told to wait for longer than a life is.
pub fn restrictions(platform: &Facts) -> Vec<Vec<i64>> {
    let mut by_meaning: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    let short = |reaction| !matches!(reaction, Reaction::Pause { pause } if pause > HOUR);
    for known in platform.codes.iter().filter(|known| short(known.reaction) && known.reaction != Reaction::Deny) {
        if let Ok(code) = known.code.parse() {
            let meaning = format!("{:?} {:?} {}", known.reaction, known.blames, known.doubt);
            by_meaning.entry(meaning).or_default().push(code);
        }
    }
    by_meaning.into_values().collect()
}

#[test]
fn a_message_is_known_by_its_mark_on_every_platform() {
    for app in APPS.iter() {
        let (what, mark) = (app.platform.sample.event[0], "c0-K3-17");
        let values = data(app, mark, 7);
        let (openid, template) = ((app.platform.sample.openid)(3), &app.templates[0].code);
        let ticket = app.platform.tickets.kinds.first().filter(|_| app.platform.tickets.needed);
        let ticket = ticket.map(|kind| Ticket { kind: kind.word.into(), id: "t1".into() });
        let send = tixing::platform::Send {
            openid: &openid,
            template,
            page: Some(page(app)),
            data: &values,
            options: &Default::default(),
            ticket: ticket.as_ref(),
        };
        let auth = match app.adapter().tokens() {
            Some(_) => tixing::platform::Auth::Token("a-token".to_owned().into()),
            None => tixing::platform::Auth::Nothing,
        };
        let request = app.adapter().build(&send, &auth, START);
        assert_eq!(said(&request.body, what).as_deref(), Some(mark), "{}", app.platform.word);
        assert_eq!(super::platform::ticket(&request.body), ticket.map(|ticket| ticket.id), "{}", app.platform.word);
        assert_eq!(mark_in(app, &values), mark);
        assert!(openid.contains(&users(app)) && app.page().check(Some(page(app))).is_ok());
        assert!(restrictions(app.platform).len() > 1, "{}: {:?}", app.platform.word, restrictions(app.platform));
    }
}

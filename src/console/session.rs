//! Who is signed in, and how they sign in and out.

use super::{
    Console,
    ask::{error, html},
    extract::{Asked, Posted},
    frame::{Frame, LANGUAGE, cookie},
    guard::address,
    person::Person,
};
use crate::{
    api::Caller,
    domain::Millis,
    http::Peer,
    store::{StoreError, sessions::LONGEST},
    words::{Message, say},
};
use askama::Template;
use axum::{
    extract::{Extension, FromRequestParts, Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header, request::Parts},
    response::{IntoResponse, Redirect, Response},
};
use data_encoding::{BASE32_NOPAD, HEXLOWER};
use rand::RngExt;
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// The login page.
#[derive(Template)]
#[template(path = "login.html", config = "src/console/askama.toml")]
struct LoginPage {
    frame: Frame,
    next: String,
    name: String,
    wrong: Option<String>,
}

/// The page of a link that signs in once. What only looks at links, such as a chat program, uses nothing up.
#[derive(Template)]
#[template(path = "link.html", config = "src/console/askama.toml")]
struct LinkPage {
    frame: Frame,
}

/// Where to go after the sign-in.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Next {
    next: String,
}

/// What somebody signs in by.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct SignIn {
    name: String,
    key: String,
    next: String,
}

/// A language, and the page to go back to.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Language {
    lang: String,
    next: String,
}

fn hash(secret: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(secret.as_bytes()))
}

/// A place of the console; the overview for anything else.
fn inside(next: &str) -> &str {
    let is_inside = next == "/console" || next.starts_with("/console/") || next.starts_with("/console?");
    let is_plain = next.chars().all(|c| c.is_ascii_graphic() && c != '\\')
        && !next.contains("..")
        && !next.contains("/console/login");
    if is_inside && is_plain { next } else { "/console" }
}

impl Console {
    /// A browser takes a cookie with this prefix by TLS alone, and from no other host.
    fn session_cookie(&self) -> &'static str {
        if self.settings.is_https() { "__Host-tixing" } else { "tixing" }
    }

    fn set_cookie(&self, name: &str, value: &str, age: Millis) -> HeaderValue {
        let secure = if self.settings.is_https() { "; Secure" } else { "" };
        let age = age / 1_000;
        let text = format!("{name}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax{secure}");
        HeaderValue::try_from(text).expect("letters and digits")
    }

    /// A new session for somebody; an older one of the same browser ends.
    async fn begin(&self, headers: &HeaderMap, caller: &Caller, next: &str) -> Result<Response, StoreError> {
        if let Some(old) = cookie(headers, self.session_cookie()) {
            self.api.store().end_session(hash(old)).await?;
        }
        let random: [u8; 32] = rand::rng().random();
        let secret = BASE32_NOPAD.encode(&random).to_lowercase();
        self.api.store().begin_session(hash(&secret), caller.key(), self.settings.session).await?;
        tracing::info!(by = caller.name(), "somebody has signed in to the console");
        let mut response = Redirect::to(inside(next)).into_response();
        response.headers_mut().append(header::SET_COOKIE, self.set_cookie(self.session_cookie(), &secret, LONGEST));
        Ok(response)
    }

    /// Who this browser is signed in as.
    async fn person(&self, headers: &HeaderMap) -> Result<Option<Person>, StoreError> {
        let Some(secret) = cookie(headers, self.session_cookie()) else { return Ok(None) };
        let hash = hash(secret);
        let session = self.api.store().session(&hash, self.settings.session, self.clock.now()).await?;
        // A key that was revoked is nobody's any more, and nor is its session.
        let caller = session.and_then(|session| self.api.caller_of(session.key));
        Ok(caller.map(|caller| Person { caller, hash }))
    }

    /// Whether somebody still is. To ask this is no use of the session.
    pub async fn is_signed_in(&self, person: &Person) -> bool {
        let found = self.api.store().look_at_session(&person.hash, self.settings.session, self.clock.now()).await;
        // What the store does not answer ends nobody's session.
        found.is_err() || found.is_ok_and(|found| found.is_some_and(|found| self.api.caller_of(found.key).is_some()))
    }

    /// The page that says that the store did not answer.
    pub fn unavailable(&self, headers: &HeaderMap, why: &StoreError) -> Response {
        tracing::warn!(error = %why, "a page of the console could not be made");
        let frame = self.frame(None, headers, "");
        error(frame, StatusCode::SERVICE_UNAVAILABLE, say!("store_unavailable"))
    }
}

/// Whoever is not signed in is asked to, and comes back to the page that they wanted.
impl FromRequestParts<Console> for Person {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, console: &Console) -> Result<Self, Response> {
        match console.person(&parts.headers).await {
            Ok(Some(person)) => Ok(person),
            Ok(None) => {
                let wanted = parts.uri.path_and_query().map_or("/console", |wanted| wanted.as_str());
                Err(Redirect::to(&format!("/console/login?next={}", super::ask::part(wanted))).into_response())
            }
            Err(e) => Err(console.unavailable(&parts.headers, &e)),
        }
    }
}

/// The form.
pub async fn form(State(console): State<Console>, headers: HeaderMap, Asked(next): Asked<Next>) -> Response {
    let frame = console.frame(None, &headers, "");
    html(&LoginPage { frame, next: inside(&next.next).to_owned(), name: String::new(), wrong: None }).into_response()
}

/// Somebody signs in by the name of an API key and the key.
pub async fn sign_in(
    State(console): State<Console>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    Posted(given): Posted<SignIn>,
) -> Response {
    let again = |status: StatusCode, wrong: Message| {
        let frame = console.frame(None, &headers, "");
        let wrong = Some(wrong.say(frame.voice));
        let next = inside(&given.next).to_owned();
        (status, html(&LoginPage { frame, next, name: given.name.clone(), wrong })).into_response()
    };
    let from = address(peer.map(|Extension(peer)| peer), &headers);
    if !console.attempts.may(from, console.clock.now()) {
        tracing::warn!(%from, "too many attempts to sign in to the console");
        return again(StatusCode::TOO_MANY_REQUESTS, say!("console_too_many_attempts"));
    }
    // A key that was just made is known at once.
    console.api.refresh_keys().await;
    // Which of the two is wrong is nobody's business.
    let Some(caller) = console.api.sign_in(given.name.trim(), given.key.trim()) else {
        return again(StatusCode::FORBIDDEN, say!("console_wrong_key"));
    };
    console.begin(&headers, &caller, &given.next).await.unwrap_or_else(|e| console.unavailable(&headers, &e))
}

/// The session ends.
pub async fn sign_out(State(console): State<Console>, person: Person, headers: HeaderMap) -> Response {
    if let Err(e) = console.api.store().end_session(person.hash).await {
        return console.unavailable(&headers, &e);
    }
    let mut response = Redirect::to("/console/login").into_response();
    response.headers_mut().append(header::SET_COOKIE, console.set_cookie(console.session_cookie(), "", 0));
    response
}

/// The language of this browser from now on.
pub async fn choose_language(State(console): State<Console>, Posted(chosen): Posted<Language>) -> Response {
    let lang = if chosen.lang == "en" { "en" } else { "zh" };
    let next = if chosen.next.starts_with("/console/login") { "/console/login" } else { inside(&chosen.next) };
    let mut response = Redirect::to(next).into_response();
    response.headers_mut().append(header::SET_COOKIE, console.set_cookie(LANGUAGE, lang, 365 * crate::domain::DAY));
    response
}

/// A link of the command line: a button uses it.
pub async fn link(State(console): State<Console>, headers: HeaderMap) -> Response {
    html(&LinkPage { frame: console.frame(None, &headers, "") }).into_response()
}

/// The link is used up, and whoever used it is signed in.
pub async fn use_link(
    State(console): State<Console>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    Path(secret): Path<String>,
) -> Response {
    let from = address(peer.map(|Extension(peer)| peer), &headers);
    let may = console.attempts.may(from, console.clock.now());
    if !may || !console.api.use_link(&secret) {
        let (frame, why) = (console.frame(None, &headers, ""), say!("console_link_dead"));
        return error(frame, StatusCode::FORBIDDEN, why);
    }
    let caller = Caller::by_link();
    console.begin(&headers, &caller, "").await.unwrap_or_else(|e| console.unavailable(&headers, &e))
}

/// There is no such page.
pub async fn nothing(State(console): State<Console>, person: Person, headers: HeaderMap, uri: Uri) -> Response {
    let frame = console.frame(Some(&person), &headers, uri.path());
    error(frame, StatusCode::NOT_FOUND, say!("console_no_page"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_leads_nowhere_but_under_the_console() {
        for good in ["/console", "/console/schedules?state=active", "/console/schedules/%E6%98%A5"] {
            assert_eq!(inside(good), good);
        }
        for bad in [
            "",
            "/",
            "//evil.example",
            "https://evil.example",
            "/consoles",
            "/console/\\evil",
            "/console/\r\nx: y",
            "/console/login?next=x",
            "/v1/keys",
        ] {
            assert_eq!(inside(bad), "/console", "{bad}");
        }
    }
}
